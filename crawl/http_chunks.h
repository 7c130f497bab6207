/* http_chunks - the pieces of a body in chunked coding, one after another, where they lie. */
#ifndef SLUICE_CRAWL_HTTP_CHUNKS_H
#define SLUICE_CRAWL_HTTP_CHUNKS_H
#include "core/base.h"

/* Inside crawl/ only. Zero-initialise but for body; pieces are borrowed from it. */
struct http_chunks {
    struct str body;
    size_t at;
    bool ended;
    bool lied;    /* the body does not even start with a size: it is not chunked */
    bool partial; /* the last chunk was cut */
};
/* True and the next piece, or false at the end. Where a later size is no number, what is left is
 * one last piece, as it stands. */
bool http_chunk_next(struct http_chunks *c, struct str *piece);
#endif

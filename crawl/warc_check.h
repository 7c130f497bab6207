/* warc_check - compares a record's block and payload with the digests its header names. */
#ifndef SLUICE_CRAWL_WARC_CHECK_H
#define SLUICE_CRAWL_WARC_CHECK_H
#include "crawl/digest.h"
#include "crawl/warc.h"

/* Inside crawl/ only: the reader's own. A body that is held whole is digested at its end; one that
 * is not, while it streams past. */
struct warc_check {
    bool on, streaming, request;
    bool payload_split;                          /* streaming: where the payload starts is known */
    uint64_t streamed;                           /* bytes digested so far */
    enum warc_digest block_state, payload_state; /* what is known before the body */
    struct digest block, payload;
    unsigned char block_want[DIGEST_BYTES_MAX], payload_want[DIGEST_BYTES_MAX];
};
/* The header's fields are read; rec needs no body yet. */
void check_begin(struct warc_check *c, const struct warc_record *rec);
/* Bytes of the body that will not be held; held is all that stands before them, which counts at the
 * first call only. */
void check_stream(struct warc_check *c, struct str held, struct str bytes);
/* Fills rec->block_check and payload_check; total: bytes of the body, held or not. */
void check_end(struct warc_check *c, struct warc_record *rec, uint64_t total);
#endif

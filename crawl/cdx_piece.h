/* cdx_piece - a range of bytes of a file here, and one gzip member inflated whole or refused. */
#ifndef SLUICE_CRAWL_CDX_PIECE_H
#define SLUICE_CRAWL_CDX_PIECE_H
#include "core/str.h"

/* The path a file:// URL names, or the text itself when it is no URL; NULL: it lies elsewhere. The
 * result points into where. */
const char *cdx_piece_path(const char *where);
/* Appends bytes [offset, offset + length) of a file; ERR_FORMAT when it is shorter. */
int cdx_piece_read(const char *path, uint64_t offset, uint64_t length, struct buf *out);
/* Appends what the member holds to *out (set out->max). True when it is one gzip member from its
 * first byte to its last, checksum and length right; else *out holds whatever came before. */
bool cdx_piece_inflate(struct str member, struct buf *out);
#endif

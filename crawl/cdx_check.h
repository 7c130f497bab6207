/* cdx_check - is this gzip member the record an index told of? */
#ifndef SLUICE_CRAWL_CDX_CHECK_H
#define SLUICE_CRAWL_CDX_CHECK_H
#include "crawl/cdx.h"

enum { CDX_DECODED_MAX = 256 << 20 };
struct cdx_check;
int cdx_check_open(struct cdx_check **out);
/* 1: one whole gzip member with one whole WARC record of the row's URL and digest, whose own
 * digests hold. 0: it is not, *why (static) says why. Negative: the machine failed. */
int cdx_check_record(struct cdx_check *c, const struct cdx_row *row, struct str member,
                     const char **why);
void cdx_check_close(struct cdx_check *c); /* NULL is fine */
#endif

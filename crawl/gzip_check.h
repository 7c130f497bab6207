/* gzip_check - tells, while bytes arrive, whether they are whole gzip members with right CRCs. */
#ifndef SLUICE_CRAWL_GZIP_CHECK_H
#define SLUICE_CRAWL_GZIP_CHECK_H
#include "core/base.h"

/* Inside crawl/ only. What is decoded is thrown away; memory is fixed. One thread at a time. */
struct gzip_check;
struct gzip_check *gzip_check_open(void); /* NULL and ERR_LIMIT on no memory */
/* As just opened, or as it is behind a whole member, where padding may follow. */
void gzip_check_reset(struct gzip_check *g, bool behind_member);
/* False once the bytes cannot be gzip any more; it stays false. */
bool gzip_check_feed(struct gzip_check *g, const void *bytes, size_t len);
/* True when the bytes so far are one or more whole members (and nothing but zeros behind them). */
bool gzip_check_whole(const struct gzip_check *g);
/* Of the bytes fed, how many at the end belong to a member that is not whole yet. */
uint64_t gzip_check_open_bytes(const struct gzip_check *g);
void gzip_check_close(struct gzip_check *g); /* NULL is fine */
#endif

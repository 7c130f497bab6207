/* gzip_check - tells, while bytes arrive, whether they are whole gzip members with right CRCs. */
#ifndef SLUICE_CRAWL_GZIP_CHECK_H
#define SLUICE_CRAWL_GZIP_CHECK_H
#include "core/base.h"

/* Inside crawl/ only. What is decoded is thrown away; memory is fixed. One thread at a time. */
struct gzip_check;
struct gzip_check *gzip_check_open(void);              /* NULL and ERR_LIMIT on no memory */
void gzip_check_reset(struct gzip_check *g);           /* as just opened */
/* False once the bytes cannot be gzip any more; it stays false. */
bool gzip_check_feed(struct gzip_check *g, const void *bytes, size_t len);
/* True when the bytes so far are one or more whole members (and nothing but zeros behind them). */
bool gzip_check_whole(const struct gzip_check *g);
void gzip_check_close(struct gzip_check *g);           /* NULL is fine */
#endif

/* transfer - one file on its way over libcurl: its partial file, its tries, when it is whole. */
#ifndef SLUICE_CRAWL_TRANSFER_H
#define SLUICE_CRAWL_TRANSFER_H
#include "crawl/crawl.h"

#include <curl/curl.h>

/* Inside crawl/ only; one thread. */
struct transfer;
enum outcome {
    OUTCOME_DONE,      /* whole and checked: commit */
    OUTCOME_RETRY,     /* the line or the server failed: try again later */
    OUTCOME_BUSY,      /* the server asked for patience (403, 429, 5xx): later, and gentler */
    OUTCOME_RESTART,   /* what lay in the partial file was not usable and is gone: try again */
    OUTCOME_REFUSED,   /* nothing listens on that loopback port */
    OUTCOME_NO_HOST,   /* its name does not resolve, or nothing listens there */
    OUTCOME_FAIL,      /* it will not work: 404, a refused redirect, not gzip, too large */
    OUTCOME_FATAL,     /* nothing else will work either: disk */
};
/* Checks the URL, opens and locks item->path.part and takes up what is there. With memory (then
 * path is not used) the body goes there. conf must be filled and outlive the transfer. */
int transfer_open(struct transfer **out, const struct fetch_conf *conf,
                  const struct fetch_item *item, struct buf *memory, struct progress *p);
int transfer_start(struct transfer *t); /* sets the handle up for one more try */
enum outcome transfer_end(struct transfer *t, CURLcode code);  /* what the try came to */
/* Syncs and renames to the item's path. */
int transfer_commit(struct transfer *t, uint64_t *bytes);
CURL *transfer_handle(const struct transfer *t);
uint64_t transfer_bytes(const struct transfer *t);             /* in the partial file */
uint64_t transfer_retry_after_ms(const struct transfer *t);    /* as asked for, at most an hour */
const char *transfer_reason(const struct transfer *t);         /* of the last failure */
int transfer_error(const struct transfer *t, int64_t tries);   /* sets the error text; its code */
void transfer_close(struct transfer *t); /* NULL is fine; the partial file stays */
#endif

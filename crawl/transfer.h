/* transfer - one file on its way over libcurl: its requests, its tries, when it is whole. */
#ifndef SLUICE_CRAWL_TRANSFER_H
#define SLUICE_CRAWL_TRANSFER_H
#include "crawl/fetch.h"
#include "crawl/libcurl.h"

/* Inside crawl/ only; one thread. */
enum outcome {
    OUTCOME_DONE,    /* whole and checked: commit */
    OUTCOME_RETRY,   /* the line or the server failed: try again later */
    OUTCOME_BUSY,    /* the server asked for patience (403, 429, 5xx): later, and gentler */
    OUTCOME_RESTART, /* what lay in the partial file was not usable and is gone: try again */
    OUTCOME_ROOM,    /* feed->room has none now: ask it again, then try */
    OUTCOME_REFUSED, /* nothing listens on that loopback port */
    OUTCOME_NO_HOST, /* its name does not resolve, or nothing listens there */
    OUTCOME_FAIL,    /* it will not work: 404, a refused redirect, not gzip, too large */
    OUTCOME_FATAL,   /* nothing else will work either: disk */
};

/* ---- schemes beyond http, https and file: one file and one row of `schemes` in transfer.c ---- */
enum { TRANSFER_URL_MAX = 8192, TRANSFER_ERROR_BODY_MAX = 4096 };
/* One try: asked for anew each time, so that a signature is never older than its request. */
struct transfer_request {
    const char *method;         /* "GET" or "HEAD" */
    const char *range;          /* what the Range header will say ("bytes=10-"), "": none is sent.
                                 * It and If-Range are added by the transfer itself. */
    char url[TRANSFER_URL_MAX]; /* in: the item's; out: the http or https URL to ask */
    struct curl_slist *headers; /* by transfer_header */
};
/* Adds a header line "Name: value" to the request. */
int transfer_header(struct transfer_request *q, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* An answer that is neither 200 nor 206. */
struct transfer_refusal {
    long status;
    struct str header; /* status line and headers as sent; transfer_header_find reads it */
    struct str body;   /* its first TRANSFER_ERROR_BODY_MAX bytes */
};
/* The value of the last header of that name in a header block; ptr NULL when there is none. */
struct str transfer_header_find(struct str block, const char *name);
struct transfer_scheme {
    const char *name; /* "s3" */
    /* Rewrites the URL and signs. A failure is the item's. Redirects are not followed (a signature
     * is for one host): `judge` sees the 30x. Nothing of q is ever logged. */
    int (*prepare)(const struct fetch_conf *conf, struct transfer_request *q);
    /* What a refusal means, with a reason for people; RESTART: prepare anew and try at once, what
     * has landed stays; OUTCOME_DONE: the common rules decide. May be NULL. It may note things for
     * the next prepare (a new region, fresh credentials). */
    enum outcome (*judge)(const struct fetch_conf *conf, const char *url,
                          const struct transfer_refusal *refusal, char *reason, size_t room);
};

/* ---- for the loop of fetch.c ---- */
struct transfer;
struct transfer_shared {    /* of all transfers of a loop */
    struct fetch_conf conf; /* filled */
    const struct fetch_feed *feed;
    struct progress *progress; /* may be NULL */
    struct pace *pace;
};
/* Checks the URL, opens and locks item->path.part and takes up what is there. The item's out fields
 * are set on the way; it and shared outlive the transfer. */
int transfer_open(struct transfer **out, const struct transfer_shared *shared,
                  struct fetch_item *item);
int transfer_start(struct transfer *t); /* sets the handle up for one more try */
enum outcome transfer_end(struct transfer *t, CURLcode code); /* what the try came to */
/* Makes it final: checks what the item expects, syncs and renames to its path. */
int transfer_commit(struct transfer *t);
/* Less than 1 KB/s of body came in the last stall_ms: end it with CURLE_OPERATION_TIMEDOUT. */
bool transfer_stalled(struct transfer *t, uint64_t now);
/* Goes on when it was paused for the bound on bytes a second, and that allows it again. */
void transfer_unpause(struct transfer *t, uint64_t now);
/* Asks feed->room once more: 1 yes, 0 no, negative: the item fails. */
int transfer_room(struct transfer *t);
CURL *transfer_handle(const struct transfer *t);
uint64_t transfer_bytes(const struct transfer *t);           /* got hold of so far */
uint64_t transfer_retry_after_ms(const struct transfer *t);  /* as asked for, at most an hour */
const char *transfer_reason(const struct transfer *t);       /* of the last failure */
int transfer_error(const struct transfer *t, int64_t tries); /* sets the error text; its code */
void transfer_close(struct transfer *t); /* NULL is fine; the partial file stays */
#endif

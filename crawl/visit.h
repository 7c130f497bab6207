/* visit - one page asked for and taken as it came, byte for byte: what a web archive keeps. */
#ifndef SLUICE_CRAWL_VISIT_H
#define SLUICE_CRAWL_VISIT_H
#include "core/opt.h"
#include "crawl/urljoin.h"

#include <time.h>

/* Inside crawl/ only; one thread. Unlike crawl/fetch.h, which is after whole and right files, this
 * is after what the server really said: HTTP/1.1, one request, no redirect followed, no cookie
 * kept, transfer and content encodings left as they are, cut at a size and a time, never tried
 * again. Politeness is the caller's. */
enum { VISIT_HEADER_MAX = 256 << 10 }; /* bytes of status line and fields; more is a failure */
struct visit_conf {
    const char *user_agent;
    int64_t connections;                   /* at a time */
    int64_t address_connections;           /* of them to one IP address; 0, or with a proxy: as
                                            * many */
    int64_t connect_ms, stall_ms, page_ms; /* to connect; below 100 bytes/s; for the whole page */
    uint64_t page_max;                     /* bytes of a body kept */
    bool compressed;                       /* ask for gzip */
    bool allow_private;
    struct opt_list types; /* media types whose bodies are wanted ("text/html", "text/" and
                            * what else they begin with); empty: all. Looked at for status 200
                            * only; a missing Content-Type is wanted */
    struct opt_list
        connect_to;      /* "HOST:PORT:ADDRESS:PORT" as libcurl has it, empty parts match all */
    const char *ca_file; /* NULL or "": the system's */
};
enum visit_end {
    VISIT_WHOLE,
    VISIT_CUT_LENGTH, /* longer than page_max: the first page_max bytes are there */
    VISIT_CUT_TIME,   /* page_ms passed: what came in time is there */
    VISIT_CUT_LINE,   /* the connection broke, or stalled, inside the body */
    VISIT_UNWANTED,   /* not a wanted type: no body */
    VISIT_FAILED,     /* no answer: see why */
    VISIT_NO_HOST,    /* the name does not resolve */
    VISIT_PRIVATE,    /* its address is a private one */
    VISIT_CROWDED,    /* not asked: as many as may be are at its address; ask again later */
};
struct visit {
    char url[URL_BYTES_MAX + 1];
    void *user; /* the caller's, as are page, host, redirects */
    uint32_t page, host;
    bool robots;      /* the caller's: it is a robots.txt */
    bool any_type;    /* any type is wanted, whatever conf.types */
    int redirects;    /* the caller's: followed so far */
    uint64_t address; /* hash of the IP address: the caller's, of an earlier visit of the host (0:
                       * not known), and then the one connected to */
    /* out */
    enum visit_end end;
    int status;                       /* 0: none came */
    struct buf request, header, body; /* as on the wire; header with its empty line */
    char ip[64];
    time_t started; /* wall clock */
    uint64_t took_ns;
    uint64_t retry_after_ms; /* as asked for, at most an hour; 0: not */
    char why[256];           /* of a failure, for people */
};
struct visits;
int visits_open(struct visits **out, const struct visit_conf *conf);
/* An empty visit to fill in url and user of; NULL: as many as connections are out. */
struct visit *visits_take(struct visits *v);
int visits_start(struct visits *v, struct visit *one);
/* As many visits as may be are at the IP address of that hash. */
bool visits_crowded(const struct visits *v, uint64_t address);
/* Waits at most ms for something to happen. */
int visits_wait(struct visits *v, int ms);
/* A visit that has ended, or NULL: the caller's until visits_release. */
struct visit *visits_ended(struct visits *v);
void visits_release(struct visits *v, struct visit *one);
int visits_out(const struct visits *v); /* taken and not released */
void visits_close(struct visits *v);    /* NULL is fine; what runs is dropped */
#endif

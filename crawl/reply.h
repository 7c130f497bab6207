/* reply - what a server says in front of a body, line by line, and held against itself. */
#ifndef SLUICE_CRAWL_REPLY_H
#define SLUICE_CRAWL_REPLY_H
#include "crawl/landing.h"

#include <time.h>

/* Inside crawl/ only. UINT64_MAX stands for a number that was not said, or was none. */
enum { REPLY_BYTES_MAX = 256 << 10, REPLY_RETRY_AFTER_MAX_S = 3600 };
struct reply {
    struct origin said; /* etag, modified */
    char encoding[64];  /* Content-Encoding */
    bool chunked;
    uint64_t length;                              /* Content-Length */
    uint64_t range_start, range_end, range_total; /* Content-Range */
    uint64_t retry_after_ms;                      /* at most an hour; 0: not asked for */
    struct buf header;                            /* the lines of the last response, as they came */
    size_t bytes;     /* of all headers of the try, interim responses included */
    int redirects;    /* responses 3xx */
    char reason[128]; /* why the try must end, once reply_line said so */
};
void reply_clear(struct reply *r); /* for a new try; zero-initialise before */
/* Takes one line of a header as libcurl hands it out. False: it is not to be believed (two lengths,
 * a length that is no number) or endless: end the try. now is for a Retry-After that is a date. */
bool reply_line(struct reply *r, struct str line, time_t now);
void reply_free(struct reply *r);
#endif

/* pace - how fast requests may go out: bounds over any minute, and slower while answers fail. */
#ifndef SLUICE_CRAWL_PACE_H
#define SLUICE_CRAWL_PACE_H
#include "core/base.h"

/* Inside crawl/ only; one thread. Times are in ns of any monotonic clock, handed in by the caller.
 * Requests: a token every 1/rate s, none saved up, so that any minute holds at most 60 * rate + 1.
 * Bytes: what arrives is paid for afterwards, a second's worth may be saved up, so that any minute
 * holds at most 61 s' worth and what was on the wire. When more than one of twenty requests of the
 * last minute failed (and at least 20 were answered) the rate is halved, at most every 5 s, down to
 * a sixteenth (without a bound of its own: of the rate measured, at least 1/s); below that share it
 * grows by a quarter every 5 s until it is what it was. */
enum { PACE_SLICES = 60 };
struct pace {
    double asked, rate; /* requests/s as configured, and now; 0: no bound */
    double peak;        /* measured when the rate had to fall first, without a bound */
    uint64_t bytes_per_s;
    uint64_t next_request, next_step;
    double credit; /* bytes that may come in now; negative: wait */
    uint64_t credit_time;
    uint64_t slice_now; /* a ring of slices: the last minute */
    struct {
        uint32_t started, ended, failed;
    } slice[PACE_SLICES];
    uint64_t first; /* when the first request went out */
};
void pace_init(struct pace *p, double requests_per_s, uint64_t bytes_per_s, uint64_t now);
/* ns until the next request may go out; 0: now. */
uint64_t pace_request_wait(const struct pace *p, uint64_t now);
void pace_request(struct pace *p, uint64_t now);             /* one goes out */
void pace_answer(struct pace *p, bool failed, uint64_t now); /* one came to its end */
void pace_bytes(struct pace *p, uint64_t bytes, uint64_t now);
/* ns until more bytes may be taken in; 0: now. */
uint64_t pace_bytes_wait(const struct pace *p, uint64_t now);
#endif

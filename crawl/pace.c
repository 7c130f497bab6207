/* pace - the bounds on requests and bytes over a minute, and the answer to failing servers. */
#include "crawl/pace.h"

#include <string.h>

enum { ANSWERS_MIN = 20 };
static const double FAILING = 0.05, SECOND = 1e9, FLOOR_SHARE = 1.0 / 16, FLOOR_RATE = 1;
static const uint64_t SLICE_NS = 1000000000, STEP_SLICES = 5;

void pace_init(struct pace *p, double requests_per_s, uint64_t bytes_per_s, uint64_t now)
{
    memset(p, 0, sizeof *p);
    p->asked = p->rate = requests_per_s;
    p->bytes_per_s = bytes_per_s;
    p->credit_time = now;
    p->credit = (double)bytes_per_s;
    p->slice_now = now / SLICE_NS;
}

/* Empties the slices that time has passed over. */
static void slices_turn(struct pace *p, uint64_t now)
{
    uint64_t at = now / SLICE_NS;
    uint64_t steps = at > p->slice_now ? at - p->slice_now : 0;
    for (uint64_t i = 1; i <= steps && i <= PACE_SLICES; i++)
        memset(&p->slice[(p->slice_now + i) % PACE_SLICES], 0, sizeof p->slice[0]);
    p->slice_now += steps;
}

static void slices_sum(const struct pace *p, double *started, double *ended, double *failed)
{
    *started = *ended = *failed = 0;
    for (int i = 0; i < PACE_SLICES; i++) {
        *started += p->slice[i].started;
        *ended += p->slice[i].ended;
        *failed += p->slice[i].failed;
    }
}

uint64_t pace_request_wait(const struct pace *p, uint64_t now)
{
    return p->rate > 0 && p->next_request > now ? p->next_request - now : 0;
}

void pace_request(struct pace *p, uint64_t now)
{
    slices_turn(p, now);
    if (!p->first)
        p->first = now;
    p->slice[p->slice_now % PACE_SLICES].started++;
    if (p->rate > 0)
        p->next_request = now + (uint64_t)(SECOND / p->rate);
}

/* The rate of requests in the last minute, or since the first if that is less long ago. */
static double measured_rate(const struct pace *p, double started, uint64_t now)
{
    double span = (double)(now - p->first) / SECOND, most = PACE_SLICES;
    span = span < 1 ? 1 : span > most ? most : span;
    return started / span;
}

static void rate_step(struct pace *p, uint64_t now)
{
    double started, ended, failed;
    slices_sum(p, &started, &ended, &failed);
    if (ended < ANSWERS_MIN || now < p->next_step)
        return;
    if (failed > ended * FAILING) {
        if (p->rate <= 0)
            p->rate = p->peak = measured_rate(p, started, now);
        double top = p->asked > 0 ? p->asked : p->peak, least = top * FLOOR_SHARE;
        if (p->asked <= 0 && least < FLOOR_RATE)
            least = FLOOR_RATE;
        p->rate = p->rate / 2 > least ? p->rate / 2 : least;
    } else if (p->rate > 0 && (p->asked <= 0 || p->rate < p->asked)) {
        p->rate *= 1.25;
        if (p->asked > 0 && p->rate > p->asked)
            p->rate = p->asked;
        if (p->asked <= 0 && p->rate > p->peak)
            p->rate = 0;
    } else {
        return;
    }
    p->next_step = now + STEP_SLICES * SLICE_NS;
}

void pace_answer(struct pace *p, bool failed, uint64_t now)
{
    slices_turn(p, now);
    p->slice[p->slice_now % PACE_SLICES].ended++;
    p->slice[p->slice_now % PACE_SLICES].failed += failed;
    rate_step(p, now);
}

static double credit_now(const struct pace *p, uint64_t now)
{
    double rate = (double)p->bytes_per_s;
    double passed = now > p->credit_time ? (double)(now - p->credit_time) / SECOND : 0;
    double credit = p->credit + passed * rate;
    return credit < rate ? credit : rate;
}

void pace_bytes(struct pace *p, uint64_t bytes, uint64_t now)
{
    if (!p->bytes_per_s)
        return;
    p->credit = credit_now(p, now) - (double)bytes;
    p->credit_time = now;
}

uint64_t pace_bytes_wait(const struct pace *p, uint64_t now)
{
    double credit = p->bytes_per_s ? credit_now(p, now) : 1;
    return credit >= 0 ? 0 : (uint64_t)(-credit / (double)p->bytes_per_s * SECOND) + 1;
}

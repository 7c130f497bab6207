/* test_crawl_pace - the bounds of a minute on a clock of our own, against a count of every window.
 */
#include "tests/test.h"

#include "crawl/pace.h"

enum { STARTS_MAX = 20000 };
static const uint64_t S = 1000000000, MINUTE = 60 * (uint64_t)1000000000;

/* The most events in any minute of the list. */
static int most_in_a_minute(const uint64_t *at, int count)
{
    int most = 0;
    for (int from = 0, to = 0; to < count; to++) {
        while (at[to] - at[from] >= MINUTE)
            from++;
        most = to - from + 1 > most ? to - from + 1 : most;
    }
    return most;
}

TEST(crawl_pace_requests_in_any_minute)
{
    static const double rate[] = {0.1, 1, 7.5, 100};
    static uint64_t at[STARTS_MAX];
    for (size_t i = 0; i < COUNT_OF(rate); i++) {
        struct pace p;
        uint64_t now = 5 * S, seed = 1, end = now + 3 * MINUTE;
        int count = 0;
        pace_init(&p, rate[i], 0, now);
        while (now < end && count < STARTS_MAX) {
            if (pace_request_wait(&p, now) == 0) {
                pace_request(&p, now);
                pace_answer(&p, false, now);
                at[count++] = now;
            }
            now += test_random(&seed) % (S / 200); /* looks now and then, and idles for a while */
            if (test_random(&seed) % 1000 == 0)
                now += S / 2;
        }
        int most = most_in_a_minute(at, count);
        CHECK(most <= (int)(60 * rate[i]) + 1);
        CHECK(most >= (int)(60 * rate[i] * 0.6));
    }
}

TEST(crawl_pace_bytes_in_any_minute)
{
    struct pace p;
    uint64_t now = S, seed = 2, bytes[STARTS_MAX], at[STARTS_MAX];
    int count = 0;
    const uint64_t rate = 1000000, chunk_max = 512 << 10;
    pace_init(&p, 0, rate, now);
    while (now < 4 * MINUTE && count < STARTS_MAX) {
        if (pace_bytes_wait(&p, now) == 0) {
            uint64_t len = 1 + test_random(&seed) % chunk_max;
            pace_bytes(&p, len, now);
            at[count] = now;
            bytes[count++] = len;
        } else {
            now += pace_bytes_wait(&p, now);
            CHECK(pace_bytes_wait(&p, now) == 0); /* it says when, exactly */
        }
        now += test_random(&seed) % (S / 50);
    }
    uint64_t most = 0, sum = 0;
    for (int from = 0, to = 0; to < count; to++) {
        sum += bytes[to];
        while (at[to] - at[from] >= MINUTE)
            sum -= bytes[from++];
        most = sum > most ? sum : most;
    }
    CHECK(most <= 61 * rate + chunk_max && most >= 50 * rate);
}

/* Answers of which every n-th fails, a request as soon as one may go out, for so many seconds;
 * returns how many went out in the last ten of them, a second. */
static double run_for(struct pace *p, uint64_t *now, int seconds, int nth, double speed)
{
    uint64_t end = *now + (uint64_t)seconds * S, step = (uint64_t)((double)S / speed);
    int count = 0, last = 0;
    while (*now < end) {
        if (pace_request_wait(p, *now) == 0) {
            pace_request(p, *now);
            pace_answer(p, nth && ++count % nth == 0, *now);
            last += *now + 10 * S >= end;
        }
        *now += step;
    }
    return last / 10.0;
}

TEST(crawl_pace_falls_while_answers_fail)
{
    struct pace p;
    uint64_t now = S;
    pace_init(&p, 10, 0, now);
    CHECK_NUM(run_for(&p, &now, 60, 0, 100), 10, 0.5);
    CHECK_NUM(run_for(&p, &now, 60, 25, 100), 10, 0.5); /* 4 % is in order */
    double failing = run_for(&p, &now, 120, 5, 100);
    CHECK(failing < 1 && failing >= 10 / 16.0 - 0.1);
    CHECK_NUM(run_for(&p, &now, 300, 0, 100), 10, 0.5); /* it comes back */
    /* Without a bound of its own: half of what it was, and free again in the end. */
    pace_init(&p, 0, 0, now);
    CHECK_NUM(run_for(&p, &now, 30, 0, 50), 50, 1);
    failing = run_for(&p, &now, 120, 3, 50);
    CHECK(failing > 1 && failing < 10);
    CHECK_NUM(run_for(&p, &now, 300, 0, 50), 50, 1);
    CHECK(p.rate <= 0);
}

/* test_train_batches - batches made ahead: in order, whole, not further ahead than the ring, errors
 * where they belong. */
#include "tests/test.h"
#include "train/batches.h"

#include "core/err.h"

#include <stdatomic.h>
#include <unistd.h>

enum { TOKENS = 64, ROWS = 4 };

struct maker {
    _Atomic uint64_t filled; /* steps begun */
    uint64_t fails_at;
    unsigned slow_us;
};

static int fill(void *arg, uint64_t step, struct train_batch *b)
{
    struct maker *m = arg;
    atomic_fetch_add(&m->filled, 1);
    if (m->slow_us)
        usleep(m->slow_us);
    if (step == m->fails_at)
        return err_set(ERR_FORMAT, "made to fail at %d", (int)step);
    b->rows = 1 + (uint32_t)(step % ROWS);
    for (uint32_t i = 0; i < TOKENS; i++) {
        b->inputs[i] = (int32_t)(step * 1000 + i);
        b->targets[i] = b->inputs[i] + 1;
        b->doc_start[i] = b->inputs[i] + 2;
    }
    for (uint32_t i = 0; i < b->rows; i++)
        b->domain[i] = (uint32_t)step + i;
    return 0;
}

static struct batches *open_made(struct maker *m, struct stream *s, uint64_t first, uint64_t end)
{
    struct batches *b;
    const struct batches_conf conf = {
        .fill = fill, .arg = m, .first = first, .end = end, .tokens = TOKENS, .rows = ROWS};
    CHECK_OK(batches_open(&b, s, &conf));
    return b;
}

static void check_batch(const struct train_batch *b, uint64_t step)
{
    CHECK_INT(b->rows, 1 + step % ROWS);
    for (uint32_t i = 0; i < TOKENS; i++)
        CHECK(b->inputs[i] == (int32_t)(step * 1000 + i) && b->targets[i] == b->inputs[i] + 1 &&
              b->doc_start[i] == b->inputs[i] + 2);
    for (uint32_t i = 0; i < b->rows; i++)
        CHECK_INT(b->domain[i], step + i);
}

TEST(train_batches_come_in_order_and_stay_until_the_next)
{
    struct stream *s;
    CHECK_OK(device_open(&s, DEV_CPU, 1));
    for (int kind = 0; kind < 3; kind++) { /* a slow maker, a slow taker, neither */
        struct maker m = {.fails_at = UINT64_MAX, .slow_us = kind == 0 ? 300 : 0};
        struct batches *b = open_made(&m, s, 7, 207);
        struct train_batch batch;
        for (uint64_t step = 7; step < 207; step++) {
            CHECK_OK(batches_next(b, step, &batch));
            check_batch(&batch, step);
            if (kind == 1)
                usleep(300);
            check_batch(&batch, step); /* nobody wrote into it meanwhile */
            CHECK(atomic_load(&m.filled) <= step - 7 + BATCHES_AHEAD);
        }
        CHECK_INT(m.filled, 200);
        batches_close(b);
    }
    device_close(s);
}

TEST(train_batches_tell_an_error_at_its_step)
{
    struct stream *s;
    struct train_batch batch;
    CHECK_OK(device_open(&s, DEV_CPU, 1));
    struct maker m = {.fails_at = 3};
    struct batches *b = open_made(&m, s, 0, 100);
    usleep(2000); /* the maker is ahead, but the error waits for its turn */
    for (uint64_t step = 0; step < 3; step++) {
        CHECK_OK(batches_next(b, step, &batch));
        check_batch(&batch, step);
    }
    CHECK_ERR(batches_next(b, 3, &batch), ERR_FORMAT);
    CHECK(strstr(err_text(), "made to fail at 3"));
    CHECK(batches_next(b, 4, &batch) < 0);
    CHECK_INT(m.filled, 4);
    batches_close(b);
    /* Closed while the maker works, waits for room, or has ended. */
    for (int wait = 0; wait < 3; wait++) {
        struct maker other = {.fails_at = UINT64_MAX, .slow_us = wait == 0 ? 5000 : 0};
        b = open_made(&other, s, 0, wait == 2 ? 1 : 1000);
        usleep(wait ? 3000 : 100);
        batches_close(b);
        CHECK(other.filled <= BATCHES_AHEAD);
    }
    batches_close(NULL);
    device_close(s);
}

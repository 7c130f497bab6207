/* batches - a ring of batches between the thread that fills and the step that takes. */
#include "train/batches.h"

#include "core/err.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>

struct slot {
    struct train_batch batch;
    int rc;
    char error[1024];
};
struct batches {
    struct batches_conf conf;
    struct stream *stream;
    int32_t *memory;
    size_t bytes;
    struct slot slot[BATCHES_AHEAD];
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    uint64_t filled, taken; /* steps filled, steps asked for: the last taken is still in use */
    bool stop, running;
};

/* Step s lies in slot s % BATCHES_AHEAD; at most BATCHES_AHEAD - 1 wait beside the one in use. */
static bool wait_for_room(struct batches *f)
{
    pthread_mutex_lock(&f->lock);
    while (!f->stop && f->filled + 1 >= f->taken + BATCHES_AHEAD)
        pthread_cond_wait(&f->changed, &f->lock);
    bool go = !f->stop;
    pthread_mutex_unlock(&f->lock);
    return go;
}

static void *batches_main(void *arg)
{
    struct batches *f = arg;
    for (uint64_t step = f->conf.first; step < f->conf.end && wait_for_room(f); step++) {
        struct slot *slot = &f->slot[step % BATCHES_AHEAD];
        slot->rc = f->conf.fill(f->conf.arg, step, &slot->batch);
        assert(slot->rc < 0 || slot->batch.rows <= f->conf.rows);
        if (slot->rc < 0)
            err_copy_to(slot->error, sizeof slot->error);
        pthread_mutex_lock(&f->lock);
        f->filled = step + 1;
        f->stop |= slot->rc < 0;
        pthread_cond_broadcast(&f->changed);
        pthread_mutex_unlock(&f->lock);
    }
    return NULL;
}

static int open_memory(struct batches *f)
{
    size_t tokens = f->conf.tokens, rows = f->conf.rows;
    void *memory;
    f->bytes = BATCHES_AHEAD * (3 * tokens * sizeof(int32_t) + rows * sizeof(uint32_t));
    TRY(dev_host_alloc(f->stream, f->bytes, &memory));
    f->memory = memory;
    int32_t *at = f->memory;
    for (int i = 0; i < BATCHES_AHEAD; i++, at += 3 * tokens + rows)
        f->slot[i].batch = (struct train_batch){at, at + tokens, at + 2 * tokens,
                                                (uint32_t *)(at + 3 * tokens), 0};
    return 0;
}

int batches_open(struct batches **out, struct stream *s, const struct batches_conf *conf)
{
    struct batches *f = calloc(1, sizeof *f);
    if (!f)
        return err_set(ERR_LIMIT, "train: no memory");
    f->conf = *conf;
    f->stream = s;
    f->filled = f->taken = conf->first;
    pthread_mutex_init(&f->lock, NULL);
    pthread_cond_init(&f->changed, NULL);
    int rc = open_memory(f);
    if (rc >= 0 && pthread_create(&f->thread, NULL, batches_main, f) != 0)
        rc = err_set(ERR_LIMIT, "train: no thread to read batches with");
    f->running = rc >= 0;
    if (rc < 0)
        batches_close(f);
    else
        *out = f;
    return rc;
}

int batches_next(struct batches *f, uint64_t step, struct train_batch *out)
{
    const struct slot *slot = &f->slot[step % BATCHES_AHEAD];
    pthread_mutex_lock(&f->lock);
    assert(step == f->taken);
    assert(step < f->conf.end);
    f->taken = step + 1;
    pthread_cond_broadcast(&f->changed);
    while (f->filled <= step && !f->stop)
        pthread_cond_wait(&f->changed, &f->lock);
    bool ready = f->filled > step;
    pthread_mutex_unlock(&f->lock);
    if (!ready)
        return err_set(ERR_LIMIT, "train: step %llu is asked for behind one that failed",
                       (unsigned long long)step + 1);
    if (slot->rc < 0)
        return err_set(slot->rc, "%s", slot->error);
    *out = slot->batch;
    return 0;
}

void batches_close(struct batches *f)
{
    if (!f)
        return;
    if (f->running) {
        pthread_mutex_lock(&f->lock);
        f->stop = true;
        pthread_cond_broadcast(&f->changed);
        pthread_mutex_unlock(&f->lock);
        pthread_join(f->thread, NULL);
    }
    dev_host_free(f->stream, f->memory, f->bytes);
    pthread_cond_destroy(&f->changed);
    pthread_mutex_destroy(&f->lock);
    free(f);
}

/* pool - a fixed set of threads that share out indexes, and queues of pointers. */
#include "core/pool.h"

#include "core/err.h"
#include "core/log.h"

#include <assert.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

struct worker {
    struct pool *pool;
    pthread_t thread;
    int number;
};

/* One round of work at a time: pool_each raises `round`, every worker takes indexes from `next`
 * until they are used up and lowers `busy`; the last one wakes the caller. */
struct pool {
    pthread_mutex_t lock;
    pthread_cond_t begin, end;
    struct worker worker[POOL_THREADS_MAX];
    int thread_count; /* the caller's included */
    uint64_t round;
    int busy; /* workers still in this round */
    bool closing;
    void (*fn)(void *arg, int index, int thread);
    void *arg;
    int count;
    atomic_int next;
};

static void take_indexes(struct pool *p, int thread)
{
    for (;;) {
        int index = atomic_fetch_add_explicit(&p->next, 1, memory_order_relaxed);
        if (index >= p->count)
            return;
        p->fn(p->arg, index, thread);
    }
}

static void *worker_main(void *arg)
{
    struct worker *self = arg;
    struct pool *p = self->pool;
    uint64_t seen = 0;
    pthread_mutex_lock(&p->lock);
    for (;;) {
        while (p->round == seen && !p->closing)
            pthread_cond_wait(&p->begin, &p->lock);
        if (p->closing)
            break;
        seen = p->round;
        pthread_mutex_unlock(&p->lock);
        take_indexes(p, self->number);
        pthread_mutex_lock(&p->lock);
        if (--p->busy == 0)
            pthread_cond_signal(&p->end);
    }
    pthread_mutex_unlock(&p->lock);
    return NULL;
}

static int online_cores(void)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) > 0)
        return CPU_COUNT(&set);
    return 1;
}

int pool_open(struct pool **out, int threads)
{
    if (threads < 0 || threads > POOL_THREADS_MAX)
        return err_set(ERR_USAGE, "pool: %d threads asked: choose 0 (one a core) to %d", threads,
                       POOL_THREADS_MAX);
    if (threads == 0)
        threads = online_cores();
    if (threads > POOL_THREADS_MAX)
        threads = POOL_THREADS_MAX;
    struct pool *p = calloc(1, sizeof *p);
    if (!p)
        return err_set(ERR_LIMIT, "pool: no memory for %d threads", threads);
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->begin, NULL);
    pthread_cond_init(&p->end, NULL);
    atomic_init(&p->next, 0);
    /* Signals are for the main thread: a worker inherits a mask that lets none through. */
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int started = 1, error = 0;
    for (; started < threads && error == 0; started += error == 0) {
        struct worker *w = &p->worker[started];
        *w = (struct worker){.pool = p, .number = started};
        error = pthread_create(&w->thread, NULL, worker_main, w);
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    /* Workers wait at their first round: nobody has read thread_count yet. */
    p->thread_count = started;
    if (error)
        log_warn("pool: the system gave %d of %d threads (%s): going on with them", started,
                 threads, strerror(error));
    *out = p;
    return 0;
}

int pool_threads(const struct pool *p) { return p->thread_count; }

void pool_each(struct pool *p, int count, void (*fn)(void *arg, int index, int thread), void *arg)
{
    assert(count >= 0 && count < INT32_MAX - POOL_THREADS_MAX);
    if (count == 0)
        return;
    pthread_mutex_lock(&p->lock);
    assert(p->busy == 0);
    p->fn = fn;
    p->arg = arg;
    p->count = count;
    atomic_store_explicit(&p->next, 0, memory_order_relaxed);
    p->busy = p->thread_count - 1;
    p->round++;
    pthread_cond_broadcast(&p->begin);
    pthread_mutex_unlock(&p->lock);
    take_indexes(p, 0);
    pthread_mutex_lock(&p->lock);
    while (p->busy)
        pthread_cond_wait(&p->end, &p->lock);
    pthread_mutex_unlock(&p->lock);
}

struct trying {
    int (*fn)(void *arg, int index, int thread);
    void *arg;
    pthread_mutex_t lock;
    atomic_int rc;
    char error[2048];
};

static void try_index(void *arg, int index, int thread)
{
    struct trying *t = arg;
    if (atomic_load(&t->rc) < 0)
        return;
    int rc = t->fn(t->arg, index, thread);
    if (rc >= 0)
        return;
    pthread_mutex_lock(&t->lock);
    if (atomic_load(&t->rc) >= 0) {
        atomic_store(&t->rc, rc);
        err_copy_to(t->error, sizeof t->error);
    }
    pthread_mutex_unlock(&t->lock);
}

int pool_try(struct pool *p, int count, int (*fn)(void *arg, int index, int thread), void *arg)
{
    struct trying t = {.fn = fn, .arg = arg};
    pthread_mutex_init(&t.lock, NULL);
    pool_each(p, count, try_index, &t);
    pthread_mutex_destroy(&t.lock);
    return t.rc < 0 ? err_set(t.rc, "%s", t.error) : 0;
}

void pool_close(struct pool *p)
{
    if (!p)
        return;
    pthread_mutex_lock(&p->lock);
    p->closing = true;
    pthread_cond_broadcast(&p->begin);
    pthread_mutex_unlock(&p->lock);
    for (int i = 1; i < p->thread_count; i++)
        pthread_join(p->worker[i].thread, NULL);
    pthread_cond_destroy(&p->end);
    pthread_cond_destroy(&p->begin);
    pthread_mutex_destroy(&p->lock);
    free(p);
}

/* ---- queues ---- */

struct queue {
    pthread_mutex_t lock;
    pthread_cond_t not_full, not_empty;
    void **item; /* a ring of capacity places */
    size_t capacity, first, count;
    bool shut;
};

int queue_open(struct queue **out, int capacity)
{
    assert(capacity > 0);
    struct queue *q = calloc(1, sizeof *q);
    void **item = calloc((size_t)capacity, sizeof *item);
    if (!q || !item) {
        free(item);
        free(q);
        return err_set(ERR_LIMIT, "queue: no memory for %d places", capacity);
    }
    q->item = item;
    q->capacity = (size_t)capacity;
    pthread_mutex_init(&q->lock, NULL);
    pthread_cond_init(&q->not_full, NULL);
    pthread_cond_init(&q->not_empty, NULL);
    *out = q;
    return 0;
}

bool queue_put(struct queue *q, void *item)
{
    assert(item);
    pthread_mutex_lock(&q->lock);
    while (q->count == q->capacity && !q->shut)
        pthread_cond_wait(&q->not_full, &q->lock);
    bool taken = !q->shut;
    if (taken) {
        q->item[(q->first + q->count++) % q->capacity] = item;
        pthread_cond_signal(&q->not_empty);
    }
    pthread_mutex_unlock(&q->lock);
    return taken;
}

void *queue_take(struct queue *q)
{
    void *item = NULL;
    pthread_mutex_lock(&q->lock);
    while (q->count == 0 && !q->shut)
        pthread_cond_wait(&q->not_empty, &q->lock);
    if (q->count) {
        item = q->item[q->first];
        q->first = (q->first + 1) % q->capacity;
        q->count--;
        pthread_cond_signal(&q->not_full);
    }
    pthread_mutex_unlock(&q->lock);
    return item;
}

void queue_shut(struct queue *q)
{
    pthread_mutex_lock(&q->lock);
    q->shut = true;
    pthread_cond_broadcast(&q->not_full);
    pthread_cond_broadcast(&q->not_empty);
    pthread_mutex_unlock(&q->lock);
}

void queue_close(struct queue *q)
{
    if (!q)
        return;
    pthread_cond_destroy(&q->not_empty);
    pthread_cond_destroy(&q->not_full);
    pthread_mutex_destroy(&q->lock);
    free(q->item);
    free(q);
}

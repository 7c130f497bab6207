/* device_cpu - the CPU as a device: a stream's own threads take fixed tasks from a shared
 * counter.
 *
 * A training step is thousands of short jobs, so starting one must cost less than a microsecond.
 * Workers spin for a while after each job before they sleep, and the caller never waits for a
 * worker that has not begun: `gate` holds the job's number, an open bit and the count of workers
 * inside. A worker enters by compare-and-swap while the bit is set; the caller works too, and
 * once the counter has run out it clears the bit and waits only for those inside. */
#include "kernels/device.h"

#include "core/err.h"

#include <assert.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

enum { SPINS_BEFORE_SLEEP = 4000, SPINS_BEFORE_YIELD = 20000 };
#define GATE_OPEN ((uint64_t)1 << 31)
#define GATE_INSIDE (GATE_OPEN - 1)
#define GATE_JOB(gate) ((uint32_t)((gate) >> 32))

struct workers {
    _Alignas(64) _Atomic uint64_t gate;
    _Alignas(64) _Atomic int64_t next;
    _Alignas(64) _Atomic int sleepers;
    int64_t count;
    void (*fn)(void *arg, int64_t index, int thread);
    void *arg;
    _Atomic bool stop;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    int threads, started;
    struct worker {
        struct workers *w;
        int thread;
        pthread_t id;
    } worker[STREAM_THREADS_MAX];
};

static inline void spin_pause(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
}

static void work(struct workers *w, int thread)
{
    for (;;) {
        int64_t index = atomic_fetch_add_explicit(&w->next, 1, memory_order_relaxed);
        if (index >= w->count)
            return;
        w->fn(w->arg, index, thread);
    }
}

/* Waits for a job later than `seen`; false when the stream closes. */
static bool wait_job(struct workers *w, uint32_t seen)
{
    for (int spin = 0; spin < SPINS_BEFORE_SLEEP; spin++) {
        if (GATE_JOB(atomic_load(&w->gate)) != seen || atomic_load(&w->stop))
            return !atomic_load(&w->stop);
        spin_pause();
    }
    pthread_mutex_lock(&w->lock);
    atomic_fetch_add(&w->sleepers, 1);
    while (GATE_JOB(atomic_load(&w->gate)) == seen && !atomic_load(&w->stop))
        pthread_cond_wait(&w->wake, &w->lock);
    atomic_fetch_sub(&w->sleepers, 1);
    pthread_mutex_unlock(&w->lock);
    return !atomic_load(&w->stop);
}

static void *worker_main(void *arg)
{
    const struct worker *self = arg;
    struct workers *w = self->w;
    uint32_t seen = 0;
    while (wait_job(w, seen)) {
        uint64_t gate = atomic_load(&w->gate);
        seen = GATE_JOB(gate);
        while ((gate & GATE_OPEN) && !atomic_compare_exchange_weak(&w->gate, &gate, gate + 1))
            ;
        if (!(gate & GATE_OPEN)) {
            seen = GATE_JOB(gate);
            continue;
        }
        seen = GATE_JOB(gate);
        work(w, self->thread);
        atomic_fetch_sub_explicit(&w->gate, 1, memory_order_release);
    }
    return NULL;
}

void stream_each(struct stream *s, int64_t count, void (*fn)(void *arg, int64_t index, int thread),
                 void *arg)
{
    struct workers *w = s->workers;
    assert(s->device == DEV_CPU);
    if (count <= 1 || w->threads == 1) {
        for (int64_t i = 0; i < count; i++)
            fn(arg, i, 0);
        return;
    }
    w->count = count;
    w->fn = fn;
    w->arg = arg;
    atomic_store_explicit(&w->next, 0, memory_order_relaxed);
    uint64_t job = (uint64_t)(GATE_JOB(atomic_load_explicit(&w->gate, memory_order_relaxed)) + 1u)
                   << 32;
    atomic_store(&w->gate, job | GATE_OPEN);
    if (atomic_load(&w->sleepers) > 0) {
        pthread_mutex_lock(&w->lock);
        pthread_cond_broadcast(&w->wake);
        pthread_mutex_unlock(&w->lock);
    }
    work(w, 0);
    atomic_fetch_and(&w->gate, ~GATE_OPEN);
    for (int spin = 0; atomic_load_explicit(&w->gate, memory_order_acquire) & GATE_INSIDE; spin++) {
        if (spin < SPINS_BEFORE_YIELD)
            spin_pause();
        else
            sched_yield();
    }
}

int stream_threads(const struct stream *s)
{
    return s->device == DEV_CPU ? s->workers->threads : 1;
}

int cpu_open(struct stream *s, int threads)
{
    if (threads <= 0)
        threads = (int)sysconf(_SC_NPROCESSORS_ONLN);
    if (threads < 1)
        threads = 1;
    if (threads > STREAM_THREADS_MAX)
        threads = STREAM_THREADS_MAX;
    struct workers *w = aligned_alloc(64, (sizeof *w + 63) / 64 * 64);
    if (!w)
        return err_set(ERR_LIMIT, "device: no memory for a pool of %d threads", threads);
    *w = (struct workers){.threads = threads};
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->wake, NULL);
    s->workers = w;
    for (int i = 1; i < threads; i++) {
        w->worker[i] = (struct worker){.w = w, .thread = i};
        if (pthread_create(&w->worker[i].id, NULL, worker_main, &w->worker[i]) != 0)
            break; /* fewer threads: slower, the same results */
        w->started++;
    }
    w->threads = w->started + 1;
    return 0;
}

void cpu_close(struct stream *s)
{
    struct workers *w = s->workers;
    if (!w)
        return;
    pthread_mutex_lock(&w->lock);
    atomic_store(&w->stop, true);
    pthread_cond_broadcast(&w->wake);
    pthread_mutex_unlock(&w->lock);
    for (int i = 1; i <= w->started; i++)
        pthread_join(w->worker[i].id, NULL);
    pthread_cond_destroy(&w->wake);
    pthread_mutex_destroy(&w->lock);
    free(w);
    s->workers = NULL;
}

/* pipe - one reader, many workers, one ordered sink.
 *
 * A fixed number of batches circulates, so memory is known before the start:
 *
 *     free -> reader fills -> todo -> worker: every stage in turn -> done -> sink in seq order ->
 * free
 *
 * The reader thread numbers batches; workers finish in any order; whoever finishes a batch parks it
 * in `parked` and, when the one the sink waits for is there, drains as many as are in order. Only
 * one thread drains at a time. A batch that is far ahead waits parked: the reader runs out of free
 * batches then, so the window can never exceed the batch count. */
#include "core/pipe.h"

#include "core/err.h"

#include <assert.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

enum { BATCHES_MAX = POOL_THREADS_MAX + 2, ERROR_TEXT = 2048 };
_Atomic int pipe_stop;

struct runner {
    struct stage *stage;
    int stage_count;
    struct source source;
    struct sink sink;
    struct progress *progress;
    struct queue *empty, *todo;
    pthread_mutex_t lock;
    struct batch *parked[BATCHES_MAX]; /* by seq modulo batches */
    int batches;
    uint64_t next_seq; /* the batch the sink takes next */
    bool draining;
    int rc; /* first error */
    char error[ERROR_TEXT];
};

static void runner_fail(struct runner *r, int rc)
{
    pthread_mutex_lock(&r->lock);
    if (r->rc >= 0) {
        r->rc = rc;
        err_copy_to(r->error, sizeof r->error);
    }
    pthread_mutex_unlock(&r->lock);
    queue_shut(r->empty);
    queue_shut(r->todo);
}

static bool runner_failed(struct runner *r)
{
    pthread_mutex_lock(&r->lock);
    bool failed = r->rc < 0;
    pthread_mutex_unlock(&r->lock);
    return failed;
}

static int runner_sink(struct runner *r, struct batch *b)
{
    uint64_t kept = 0;
    for (int i = 0; i < b->doc_count; i++)
        kept += b->doc[i].rule == 0;
    TRY(r->sink.take(r->sink.self, b));
    if (r->progress)
        progress_add(r->progress, (uint64_t)b->doc_count, 0, kept);
    batch_clear(b);
    queue_put(r->empty, b);
    return 0;
}

/* Parks b and hands every batch that is now in order to the sink. */
static int runner_finish(struct runner *r, struct batch *b)
{
    pthread_mutex_lock(&r->lock);
    r->parked[b->seq % (uint64_t)r->batches] = b;
    if (r->draining) {
        pthread_mutex_unlock(&r->lock);
        return 0;
    }
    r->draining = true;
    int rc = 0;
    while (rc >= 0 && r->rc >= 0) {
        uint64_t slot = r->next_seq % (uint64_t)r->batches;
        struct batch *next = r->parked[slot];
        if (!next)
            break;
        assert(next->seq == r->next_seq);
        r->parked[slot] = NULL;
        r->next_seq++;
        pthread_mutex_unlock(&r->lock);
        rc = runner_sink(r, next);
        pthread_mutex_lock(&r->lock);
    }
    r->draining = false;
    pthread_mutex_unlock(&r->lock);
    return rc;
}

static int worker_stages(struct runner *r, void **local, struct batch *b)
{
    for (int i = 0; i < r->stage_count && b->live_count; i++) {
        struct stage *s = &r->stage[i];
        int rc = s->type->run(s, local[i], b);
        if (rc < 0)
            return err_in(rc, "stage %s", s->name);
        batch_sweep(b);
    }
    return 0;
}

static int worker_open(struct runner *r, void **local, int *opened)
{
    for (*opened = 0; *opened < r->stage_count; ++*opened) {
        struct stage *s = &r->stage[*opened];
        size_t size = s->type->local_size ? s->type->local_size : 1;
        local[*opened] = calloc(1, size);
        if (!local[*opened])
            return err_set(ERR_LIMIT,
                           "stage %s: no memory for %zu bytes of scratch: lower --threads", s->name,
                           size);
        int rc = s->type->local_open ? s->type->local_open(s, local[*opened]) : 0;
        if (rc < 0) {
            free(local[*opened]);
            return err_in(rc, "stage %s", s->name);
        }
    }
    return 0;
}

static void *worker(void *arg)
{
    struct runner *r = arg;
    void *local[64];
    int opened, rc = worker_open(r, local, &opened);
    struct batch *b;
    while (rc >= 0 && (b = queue_take(r->todo)) != NULL) {
        if (runner_failed(r))
            break;
        rc = worker_stages(r, local, b);
        if (rc >= 0)
            rc = runner_finish(r, b);
    }
    if (rc < 0)
        runner_fail(r, rc);
    for (int i = 0; i < opened; i++) {
        if (r->stage[i].type->local_close)
            r->stage[i].type->local_close(&r->stage[i], local[i]);
        free(local[i]);
    }
    return NULL;
}

static int reader_loop(struct runner *r)
{
    uint64_t seq = 0;
    int more = 1;
    while (more > 0) {
        struct batch *b = queue_take(r->empty);
        if (!b)
            return 0; /* someone failed */
        if (pipe_stop)
            return err_set(ERR_STOP, "stopped by a signal: run the same command to go on");
        b->seq = seq;
        more = r->source.fill(r->source.self, b);
        if (more < 0)
            return more;
        batch_sweep(b);
        if (b->doc_count == 0) {
            batch_clear(b);
            queue_put(r->empty, b);
            continue;
        }
        seq++;
        if (!queue_put(r->todo, b))
            return 0;
    }
    return 0;
}

static int runner_open(struct runner *r, struct batch **all)
{
    TRY(queue_open(&r->empty, r->batches));
    TRY(queue_open(&r->todo, r->batches));
    for (int i = 0; i < r->batches; i++) {
        TRY(batch_open(&all[i]));
        queue_put(r->empty, all[i]);
    }
    return 0;
}

int pipe_run(struct stage *stages, int stage_count, struct source source, struct sink sink,
             const struct pipe_conf *conf)
{
    assert(stage_count <= 64);
    assert(conf->threads >= 1 && conf->threads <= POOL_THREADS_MAX);
    struct batch *all[BATCHES_MAX] = {0};
    pthread_t thread[POOL_THREADS_MAX];
    int started = 0;
    struct runner r = {.stage = stages,
                       .stage_count = stage_count,
                       .source = source,
                       .sink = sink,
                       .progress = conf->progress,
                       .batches = conf->batches ? conf->batches : conf->threads + 2};
    assert(r.batches <= BATCHES_MAX);
    pthread_mutex_init(&r.lock, NULL);
    int rc = runner_open(&r, all);
    if (rc < 0)
        goto out;
    for (; started < conf->threads; started++)
        if (pthread_create(&thread[started], NULL, worker, &r) != 0)
            break;
    if (started == 0)
        rc = err_set(ERR_LIMIT, "pipe: the system starts no thread: raise ulimit -u");
    else
        rc = reader_loop(&r);
    if (rc < 0)
        runner_fail(&r, rc);
    queue_shut(r.todo); /* takes drain what is there */
    for (int i = 0; i < started; i++)
        pthread_join(thread[i], NULL);
    if (r.rc < 0)
        rc = err_set(r.rc, "%s", r.error);
out:
    for (int i = 0; i < r.batches; i++)
        batch_close(all[i]);
    if (r.todo)
        queue_close(r.todo);
    if (r.empty)
        queue_close(r.empty);
    pthread_mutex_destroy(&r.lock);
    return rc;
}

uint64_t pipe_memory(const struct pipe_conf *conf)
{
    /* A batch: its struct, BATCH_RAW_MAX of raw bytes (one record may overshoot), the text and
     * views built from it (at most about three times the raw bytes in the runs measured). */
    uint64_t batches = (uint64_t)(conf->batches ? conf->batches : conf->threads + 2);
    return batches * (sizeof(struct batch) + 4 * (uint64_t)BATCH_RAW_MAX);
}

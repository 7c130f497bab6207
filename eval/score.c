/* score - bits a model needs for token sequences, windows of one length run together. */
#include "eval/eval.h"

#include "core/err.h"
#include "core/pipe.h"

#include <assert.h>
#include <stdlib.h>

/* A document becomes windows of at most `context` inputs, each half a context behind the last; a
 * window counts only the targets that none before it counted, so each has at least half a context
 * in front of it. Windows wait until there are WINDOWS_MAX of them (or TOKENS_MAX tokens), are
 * sorted by length, and run in batches padded to a multiple of LENGTH_ROUND: short documents do not
 * pay for long ones. */
enum { WINDOWS_MAX = 4096, TOKENS_MAX = 1 << 20, LENGTH_ROUND = 32, ARENA_SLACK = 4 << 20 };

struct window {
    uint32_t start, count, skip;
}; /* inputs token[start ..], targets one further; skip: not counted */

struct model_scorer {
    struct model *model;
    int64_t batch;
    uint32_t eot;
    uint32_t *token; uint64_t token_count, token_room;
    struct window window[WINDOWS_MAX]; uint32_t window_count;
    int32_t *inputs, *targets;
    float *loss;
    struct dev_arena arena;
    struct tape tape;
    double nats;
    struct progress *progress;
};

int model_scorer_open(struct model_scorer **out, struct model *m, int64_t batch, uint32_t eot)
{
    struct model_scorer *s = *out = calloc(1, sizeof *s);
    if (!s)
        return err_set(ERR_LIMIT, "eval: no memory");
    assert(batch > 0);
    s->model = m;
    s->batch = batch;
    s->eot = eot;
    size_t most = (size_t)(batch *
                           ((m->conf.context + LENGTH_ROUND - 1) / LENGTH_ROUND * LENGTH_ROUND));
    s->inputs = malloc(most * sizeof *s->inputs);
    s->targets = malloc(most * sizeof *s->targets);
    s->loss = malloc(most * sizeof *s->loss);
    uint64_t bytes = m->type->activation_bytes(&m->conf, 1, (int64_t)most, false,
                                               dtype_bytes((int)model_dtype(m)));
    int rc = 0;
    if (!s->inputs || !s->targets || !s->loss)
        rc = err_set(ERR_LIMIT, "eval: no memory for batches of %zu tokens: lower batch", most);
    if (rc >= 0)
        rc = dev_arena_open(&s->arena, m->stream, bytes + bytes / 8 + ARENA_SLACK);
    if (rc >= 0)
        rc = tape_open(&s->tape, &s->arena, false, model_dtype(m));
    if (rc < 0) {
        model_scorer_close(s);
        *out = NULL;
    }
    return rc;
}

void model_scorer_show(struct model_scorer *s, struct progress *progress)
{
    s->progress = progress;
}

void model_scorer_close(struct model_scorer *s)
{
    if (!s)
        return;
    if (s->tape.arena)
        tape_close(&s->tape);
    if (s->arena.base)
        dev_arena_close(&s->arena);
    free(s->loss);
    free(s->targets);
    free(s->inputs);
    free(s->token);
    free(s);
}

/* Longer first; the order of addition decides between equals, so that sums are the same every time.
 */
static int by_length(const void *a, const void *b)
{
    const struct window *left = a, *right = b;
    if (left->count != right->count)
        return left->count > right->count ? -1 : 1;
    return left->start < right->start ? -1 : left->start > right->start;
}

static struct tensor *upload(struct tape *t, const int32_t *host, int64_t count)
{
    struct tensor *made = tape_tensor(t, DT_I32, 1, &count, false);
    if (!made || dev_upload(t->stream, made->data, host, (size_t)count * sizeof *host) < 0)
        return NULL;
    return made;
}

static int run_batch(struct model_scorer *s, const struct window *window, uint32_t rows)
{
    struct tape *t = &s->tape;
    uint32_t T = (window[0].count + LENGTH_ROUND - 1) / LENGTH_ROUND * LENGTH_ROUND;
    if (T > (uint64_t)s->model->conf.context)
        T = (uint32_t)s->model->conf.context;
    assert(window[0].count <= T);
    for (uint32_t row = 0; row < rows; row++) {
        const struct window *w = &window[row];
        for (uint32_t i = 0; i < T; i++) {
            bool there = i < w->count;
            s->inputs[row * T + i] = (int32_t)(there ? s->token[w->start + i] : s->eot);
            s->targets[row * T + i] = there && i >= w->skip ? (int32_t)s->token[w->start + i + 1]
                                                            : -1;
        }
    }
    int64_t N = (int64_t)rows * T;
    tape_reset(t);
    struct tensor *inputs = upload(t, s->inputs, N);
    struct tensor *targets = inputs ? upload(t, s->targets, N) : NULL;
    struct tensor *logits = targets ? s->model->type->forward(s->model, t, inputs, NULL, (int32_t)T,
                                                              NULL)
                                    : NULL;
    if (!logits || !cross_entropy_op(t, logits, targets))
        return err_in(ERR_LIMIT, "eval");
    TRY(dev_download(t->stream, s->loss, tape_last(t)->aux[0]->data, (size_t)N * sizeof *s->loss));
    uint64_t scored = 0;
    for (int64_t i = 0; i < N; i++)
        if (s->targets[i] >= 0) {
            s->nats += (double)s->loss[i];
            scored++;
        }
    if (s->progress)
        progress_add(s->progress, scored, 0, 0);
    return 0;
}

static int run_windows(struct model_scorer *s)
{
    qsort(s->window, s->window_count, sizeof s->window[0], by_length);
    for (uint32_t at = 0; at < s->window_count; at += (uint32_t)s->batch) {
        if (pipe_stop)
            return err_set(ERR_STOP, "eval: stopped");
        uint32_t left = s->window_count - at;
        TRY(run_batch(s, s->window + at, left < s->batch ? left : (uint32_t)s->batch));
    }
    s->window_count = 0;
    return 0;
}

static int flush(struct model_scorer *s)
{
    TRY(run_windows(s));
    s->token_count = 0;
    return 0;
}

/* Room for count more tokens. */
static int reserve(struct model_scorer *s, uint64_t count)
{
    if (s->token_count + count <= s->token_room)
        return 0;
    uint64_t room = (s->token_count + count) * 2;
    uint32_t *grown = realloc(s->token, room * sizeof *grown);
    if (!grown)
        return err_set(ERR_LIMIT, "eval: no memory for %llu tokens", (unsigned long long)room);
    s->token = grown;
    s->token_room = room;
    return 0;
}

int model_scorer_add(struct model_scorer *s, const uint32_t *ids, uint32_t count)
{
    uint32_t context = (uint32_t)s->model->conf.context, step = context / 2 ? context / 2 : 1;
    uint32_t targets = count + 1;                        /* the ids and the closing eot */
    if (count >= UINT32_MAX / 2)
        return err_set(ERR_LIMIT, "eval: a document of %u tokens is too long", count);
    if (s->token_count + count > TOKENS_MAX)
        TRY(flush(s));
    TRY(reserve(s, (uint64_t)count + 2));
    uint32_t first = (uint32_t)s->token_count;           /* below TOKENS_MAX */
    s->token[s->token_count++] = s->eot;
    for (uint32_t i = 0; i < count; i++) {
        if (ids[i] >= (uint64_t)s->model->conf.vocab)
            return err_set(ERR_USAGE, "eval: token %u, the model knows %lld: another tokenizer?",
                           ids[i], (long long)s->model->conf.vocab);
        s->token[s->token_count++] = ids[i];
    }
    s->token[s->token_count++] = s->eot;
    uint32_t counted = 0;                                /* targets that a window has counted */
    for (uint32_t at = 0; counted < targets; at += step) {
        uint32_t length = targets - at < context ? targets - at : context;
        if (s->window_count == WINDOWS_MAX)
            TRY(run_windows(s));
        s->window[s->window_count++] = (struct window){first + at, length, counted - at};
        counted = at + length;
    }
    return 0;
}

int model_scorer_finish(struct model_scorer *s, double *bits)
{
    TRY(flush(s));
    *bits = s->nats / 0.69314718055994530942;
    return 0;
}

/* cache - keys and values of past positions: a new token costs one position instead of all. */
#include "model/shared.h"

#include "core/err.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>

/* The matrices run through the tape on the model's device; the attention of the few new positions
 * over the cached ones runs on the host in fp32, one loop for every device. A feed goes through in
 * pieces of FEED_MAX tokens, which bounds the logits. */
enum { FEED_MAX = 64, ARENA_SLACK = 4 << 20 };

struct kv_cache {
    int64_t capacity, length, width, KV; /* positions, positions; numbers of a row of q and of k */
    float *keys, *values;                     /* (layers, capacity, KV) */
    float *q, *k, *v, *score;                 /* host copies of a piece; scores of one position */
    void *raw;                                /* a piece in the activations' dtype */
    struct dev_arena arena;
    struct tape tape;
    struct tensor table;                      /* see kv_position_table */
};

int kv_cache_open(struct kv_cache **out, const struct model *m, int64_t capacity)
{
    const struct model_conf *c = &m->conf;
    assert(capacity > 0);
    struct kv_cache *cache = calloc(1, sizeof *cache);
    *out = cache;
    if (!cache)
        return err_set(ERR_LIMIT, "generate: no memory");
    cache->capacity = capacity;
    cache->width = c->width;
    cache->KV = c->width / c->heads * c->kv_heads;
    size_t history = (size_t)(c->layers * capacity * cache->KV),
           piece = (size_t)(FEED_MAX * c->width);
    cache->keys = malloc(history * sizeof(float));
    cache->values = malloc(history * sizeof(float));
    cache->q = malloc(piece * sizeof(float));
    cache->k = malloc(piece * sizeof(float));
    cache->v = malloc(piece * sizeof(float));
    cache->raw = malloc(piece * sizeof(float));
    cache->score = malloc((size_t)capacity * sizeof(float));
    int rc = 0;
    if (!cache->keys || !cache->values || !cache->q || !cache->k || !cache->v || !cache->raw ||
        !cache->score)
        rc = err_set(ERR_LIMIT,
                     "generate: no memory for keys and values of %lld positions (%zu bytes): "
                     "shorten the "
                     "context",
                     (long long)capacity, 2 * history * sizeof(float));
    uint64_t bytes = m->type->activation_bytes(c, 1, FEED_MAX, false,
                                               dtype_bytes((int)model_dtype(m)));
    if (rc >= 0)
        rc = dev_arena_open(&cache->arena, m->stream, bytes + bytes / 4 + ARENA_SLACK);
    if (rc >= 0)
        rc = tape_open(&cache->tape, &cache->arena, false, model_dtype(m));
    if (rc < 0) {
        kv_cache_close(cache);
        *out = NULL;
    }
    return rc;
}

void kv_cache_close(struct kv_cache *cache)
{
    if (!cache)
        return;
    if (cache->tape.arena)
        tape_close(&cache->tape);
    if (cache->arena.base)
        dev_arena_close(&cache->arena);
    free(cache->keys);
    free(cache->values);
    free(cache->q);
    free(cache->k);
    free(cache->v);
    free(cache->raw);
    free(cache->score);
    free(cache);
}

void kv_cache_clear(struct kv_cache *cache) { cache->length = 0; }
int32_t kv_start(const struct kv_cache *cache) { return (int32_t)cache->length; }

struct tensor *kv_position_table(struct kv_cache *cache, struct tensor *table)
{
    cache->table = *table;
    cache->table.grad = NULL;
    cache->table.data = (unsigned char *)table->data +
                        (size_t)(cache->length * table->dim[1]) * dtype_bytes(table->dtype);
    cache->table.dim[0] -= cache->length;
    return &cache->table;
}

static int fetch(struct kv_cache *cache, struct stream *s, const struct tensor *t, float *to)
{
    size_t count = (size_t)tensor_count(t);
    assert(count <= (size_t)(FEED_MAX * cache->width));
    if (t->dtype == DT_F32)
        return dev_download(s, to, t->data, count * 4);
    TRY(dev_download(s, cache->raw, t->data, count * 2));
    for (size_t i = 0; i < count; i++)
        to[i] = bf16_widen(((const uint16_t *)cache->raw)[i]);
    return 0;
}

/* One head of one new position over keys 0..last: softmax(q k / sqrt D) v, the maximum subtracted
 * before exp. */
static void attend_one(const float *q, const float *keys, const float *values, int64_t stride,
                       int64_t last, int64_t D, float *score, float *out)
{
    float scale = 1.0f / sqrtf((float)D), most = -INFINITY, sum = 0;
    for (int64_t i = 0; i <= last; i++) {
        float dot = 0;
        for (int64_t d = 0; d < D; d++)
            dot += q[d] * keys[i * stride + d];
        score[i] = dot * scale;
        most = score[i] > most ? score[i] : most;
    }
    for (int64_t d = 0; d < D; d++)
        out[d] = 0;
    for (int64_t i = 0; i <= last; i++) {
        float weight = expf(score[i] - most);
        sum += weight;
        for (int64_t d = 0; d < D; d++)
            out[d] += weight * values[i * stride + d];
    }
    for (int64_t d = 0; d < D; d++)
        out[d] /= sum;
}

struct tensor *kv_attend(struct kv_cache *cache, int layer, struct tape *t, struct tensor *q,
                         struct tensor *k, struct tensor *v, int64_t D)
{
    int64_t N = q->dim[0], H = cache->width / D, group = H / (cache->KV / D);
    size_t base = (size_t)(layer * cache->capacity * cache->KV);
    float *keys = cache->keys + base, *values = cache->values + base;
    assert(cache->length + N <= cache->capacity);
    struct tensor *out = tape_tensor(t, t->compute, 2, q->dim, false);
    if (!out || fetch(cache, t->stream, q, cache->q) < 0 ||
        fetch(cache, t->stream, k, cache->k) < 0 || fetch(cache, t->stream, v, cache->v) < 0)
        return NULL;
    size_t fresh = (size_t)(N * cache->KV) * sizeof(float),
           at = (size_t)(cache->length * cache->KV);
    memcpy(keys + at, cache->k, fresh);
    memcpy(values + at, cache->v, fresh);
    for (int64_t n = 0; n < N; n++)
        for (int64_t h = 0; h < H; h++) {
            int64_t kv = h / group * D;
            float one[1024];
            float *row = cache->q + n * cache->width + h * D;
            assert(D <= (int64_t)COUNT_OF(one));
            attend_one(row, keys + kv, values + kv, cache->KV, cache->length + n, D, cache->score,
                       one);
            memcpy(row, one, (size_t)D * sizeof(float));
        }
    size_t count = (size_t)(N * cache->width);
    const void *from = cache->q;
    if (t->compute == DT_BF16) {
        for (size_t i = 0; i < count; i++)
            ((uint16_t *)cache->raw)[i] = bf16_round(cache->q[i]);
        from = cache->raw;
    }
    if (dev_upload(t->stream, out->data, from, count * dtype_bytes(t->compute)) < 0 ||
        dev_sync(t->stream) < 0)
        return NULL;
    return out;
}

static int feed_piece(struct kv_cache *cache, struct model *m, const uint32_t *ids, uint32_t count,
                      float *logits)
{
    struct tape *t = &cache->tape;
    int64_t dim[DIM_MAX] = {count, 1, 1, 1}, V = m->conf.vocab;
    tape_reset(t);
    struct tensor *input = tape_tensor(t, DT_I32, 1, dim, false);
    if (!input)
        return ERR_LIMIT;
    for (uint32_t i = 0; i < count; i++)
        if (ids[i] >= (uint64_t)V)
            return err_set(ERR_USAGE,
                           "generate: token %u, the model knows %lld: another tokenizer?", ids[i],
                           (long long)V);
    TRY(dev_upload(t->stream, input->data, ids, count * sizeof *ids));
    struct tensor *out = m->type->forward(m, t, input, NULL, (int32_t)count, cache);
    if (!out)
        return err_in(ERR_LIMIT, "generate");
    cache->length += count;
    const unsigned char *row = (const unsigned char *)out->data +
                               (size_t)((count - 1) * V) * dtype_bytes(out->dtype);
    if (out->dtype == DT_F32)
        return dev_download(t->stream, logits, row, (size_t)V * 4);
    uint16_t *half = malloc((size_t)V * 2);
    if (!half)
        return err_set(ERR_LIMIT, "generate: no memory for %lld logits", (long long)V);
    int rc = dev_download(t->stream, half, row, (size_t)V * 2);
    for (int64_t i = 0; rc >= 0 && i < V; i++)
        logits[i] = bf16_widen(half[i]);
    free(half);
    return rc;
}

int kv_cache_feed(struct kv_cache *cache, struct model *m, const uint32_t *ids, uint32_t count,
                  float *logits)
{
    if (count == 0 || cache->length + (int64_t)count > cache->capacity)
        return err_set(ERR_LIMIT, "generate: %u tokens behind %lld do not fit in a cache of %lld",
                       count, (long long)cache->length, (long long)cache->capacity);
    for (uint32_t at = 0; at < count; at += FEED_MAX)
        TRY(feed_piece(cache, m, ids + at, count - at < FEED_MAX ? count - at : FEED_MAX, logits));
    return 0;
}

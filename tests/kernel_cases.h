/* kernel_cases - runs an op's cases on a device and brings the results back as floats. */
#ifndef SLUICE_TESTS_KERNEL_CASES_H
#define SLUICE_TESTS_KERNEL_CASES_H
#include "core/err.h"
#include "core/hash.h"
#include "kernels/device.h"
#include "kernels/rows.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Gradients start from this, not from 0: a backward that writes instead of adding is caught. */
#define CASE_GRAD_START 0.25f

struct case_run {
    struct stream *stream;
    struct dev_arena arena, inputs;
    struct tape tape;
    const struct op *op;
    const struct op_case *row;
    struct tensor in[OP_IN_MAX], grad[OP_IN_MAX], *given[OP_IN_MAX];
    int in_count;
    struct tensor *out;
};

static inline double case_normal(uint64_t seed, uint64_t id)
{
    double u = hash_unit(seed, 2 * id), v = hash_unit(seed, 2 * id + 1);
    return sqrt(-2 * log(1 - u)) * cos(6.283185307179586 * v);
}

static inline int64_t case_count(const int64_t dim[DIM_MAX])
{
    int64_t count = dim[0] ? 1 : 0;
    for (int k = 0; k < DIM_MAX && dim[k]; k++)
        count *= dim[k];
    return count;
}

/* Documents of random lengths: each query's entry is the first index of its document within its
 * row of T. */
static inline void case_doc_start(int32_t *to, int64_t count, int64_t T, uint64_t seed)
{
    int32_t start = 0;
    for (int64_t k = 0; k < count; k++) {
        int32_t t = (int32_t)(k % T);
        if (t == 0 || hash_unit(seed, (uint64_t)k) < 0.2)
            start = t;
        to[k] = start;
    }
}

/* count floats from host to a float tensor, rounding to its type. */
static inline int case_put(struct stream *s, const struct tensor *t, const float *from)
{
    size_t count = (size_t)tensor_count(t);
    if (t->dtype == DT_F32)
        return dev_upload(s, t->data, from, count * sizeof *from);
    uint16_t *narrow = malloc(count * sizeof *narrow);
    bf16_round_row(narrow, from, (int64_t)count);
    int rc = dev_upload(s, t->data, narrow, count * sizeof *narrow);
    if (rc >= 0)
        rc = dev_sync(s);
    free(narrow);
    return rc;
}

/* The elements of a float tensor on the heap: free them. */
static inline float *case_take(struct stream *s, const struct tensor *t)
{
    size_t count = (size_t)tensor_count(t);
    float *wide = malloc((count ? count : 1) * sizeof *wide);
    if (t->dtype == DT_F32) {
        if (dev_download(s, wide, t->data, count * sizeof *wide) < 0)
            return NULL;
        return wide;
    }
    uint16_t *narrow = malloc((count ? count : 1) * sizeof *narrow);
    if (dev_download(s, narrow, t->data, count * sizeof *narrow) < 0)
        return NULL;
    bf16_widen_row(wide, narrow, (int64_t)count);
    free(narrow);
    return wide;
}

static inline int case_fill(struct stream *s, const struct tensor *t, float value)
{
    size_t count = (size_t)tensor_count(t);
    float *all = malloc(count * sizeof *all);
    for (size_t k = 0; k < count; k++)
        all[k] = value;
    int rc = case_put(s, t, all);
    if (rc >= 0)
        rc = dev_sync(s);
    free(all);
    return rc;
}

static inline int case_input(struct case_run *r, int k, enum dtype dtype, uint64_t seed)
{
    const int64_t *dim = r->row->in[k];
    int64_t count = case_count(dim);
    int fill = r->row->fill[k];
    struct tensor *t = &r->in[k];
    *t = (struct tensor){.dtype = (uint8_t)(fill ? DT_I32 : dtype),
                         .device = (uint8_t)stream_device(r->stream)};
    for (int d = 0; d < DIM_MAX; d++) {
        t->dim[d] = dim[d] ? dim[d] : 1;
        t->rank = (uint8_t)(dim[d] ? d + 1 : t->rank);
    }
    t->data = dev_push(&r->inputs, (size_t)count * dtype_bytes(t->dtype));
    if (!t->data)
        return ERR_LIMIT;
    r->given[k] = t;
    if (fill) {
        int32_t *ids = malloc((size_t)count * sizeof *ids);
        if (fill < 0)
            case_doc_start(ids, count, -fill, seed + (uint64_t)k);
        for (int64_t i = 0; i < count && fill > 0; i++)
            ids[i] = (int32_t)(hash_unit(seed + (uint64_t)k, (uint64_t)i) * fill);
        int rc = dev_upload(r->stream, t->data, ids, (size_t)count * sizeof *ids);
        rc = rc < 0 ? rc : dev_sync(r->stream);
        free(ids);
        return rc;
    }
    float *values = malloc((size_t)count * sizeof *values);
    for (int64_t i = 0; i < count; i++)
        values[i] = (float)case_normal(seed + (uint64_t)k, (uint64_t)i);
    int rc = case_put(r->stream, t, values);
    rc = rc < 0 ? rc : dev_sync(r->stream);
    free(values);
    TRY(rc);
    r->grad[k] = *t;
    r->grad[k].dtype = DT_F32;
    r->grad[k].data = dev_push(&r->inputs, (size_t)count * sizeof(float));
    if (!r->grad[k].data)
        return ERR_LIMIT;
    t->grad = &r->grad[k];
    return case_fill(r->stream, t->grad, CASE_GRAD_START);
}

/* Makes the inputs of a case: floats of type dtype, gradients wanted for each of them. */
static inline int case_open(struct case_run *r, struct stream *s, const struct op *op,
                            const struct op_case *row, enum dtype dtype, uint64_t seed)
{
    *r = (struct case_run){.stream = s, .op = op, .row = row};
    size_t bytes = 1 << 20;
    for (int k = 0; k < OP_IN_MAX; k++) {
        bytes += (size_t)case_count(row->in[k]) * 12 + 1024;
        if (case_count(row->in[k]))
            r->in_count = k + 1;
    }
    TRY(dev_arena_open(&r->inputs, s, bytes));
    TRY(dev_arena_open(&r->arena, s, bytes * 4 + ((size_t)64 << 20)));
    for (int k = 0; k < r->in_count; k++)
        if (case_count(row->in[k]))
            TRY(case_input(r, k, dtype, seed * 1000 + (uint64_t)k * 10));
    return tape_open(&r->tape, &r->arena, true, dtype);
}

static inline int case_forward(struct case_run *r)
{
    r->out = tape_apply(&r->tape, r->op, r->given, r->in_count, r->row->f, r->row->i);
    return r->out ? 0 : ERR_USAGE;
}

/* Gradient of the output: normal numbers, then the op's own backward (or `backward` when given). */
static inline int case_backward(struct case_run *r, uint64_t seed,
                                int (*backward)(struct stream *s, struct node *n))
{
    size_t count = (size_t)tensor_count(r->out);
    float *dy = malloc(count * sizeof *dy);
    for (size_t k = 0; k < count; k++)
        dy[k] = (float)case_normal(seed + 77, k);
    int rc = case_put(r->stream, r->out->grad, dy);
    rc = rc < 0 ? rc : dev_sync(r->stream);
    free(dy);
    TRY(rc);
    if (!backward)
        backward = r->op->bwd[stream_device(r->stream)];
    TRY(backward(r->stream, tape_last(&r->tape)));
    return dev_sync(r->stream);
}

static inline void case_close(struct case_run *r)
{
    tape_close(&r->tape);
    dev_arena_close(&r->arena);
    dev_arena_close(&r->inputs);
}

/* ||a - b|| / ||b||, in double; infinite when anything is not finite. */
static inline double case_error(const float *a, const float *b, int64_t count)
{
    double difference = 0, size = 0;
    for (int64_t k = 0; k < count; k++) {
        if (!isfinite(a[k]) || !isfinite(b[k]))
            return INFINITY;
        difference += ((double)a[k] - b[k]) * ((double)a[k] - b[k]);
        size += (double)b[k] * b[k];
    }
    return sqrt(difference) / (sqrt(size) + 1e-30);
}

/* One case on two devices: the largest relative error of the output or of any gradient, `other`
 * against `base`. Negative on failure. */
static inline double case_compare(struct stream *base, struct stream *other, const struct op *op,
                                  const struct op_case *row, enum dtype dtype)
{
    struct case_run run[2];
    struct stream *stream[2] = {base, other};
    for (int k = 0; k < 2; k++)
        if (case_open(&run[k], stream[k], op, row, dtype, 2) < 0 || case_forward(&run[k]) < 0 ||
            case_backward(&run[k], 3, NULL) < 0)
            return -1;
    double worst = 0;
    for (int k = -1; k < run[0].in_count; k++) {
        const struct tensor *t[2] = {run[0].out, run[1].out};
        if (k >= 0 && (!run[0].given[k] || !run[0].given[k]->grad))
            continue;
        float *got[2];
        for (int side = 0; side < 2; side++)
            got[side] = case_take(stream[side], k < 0 ? t[side] : &run[side].grad[k]);
        if (!got[0] || !got[1])
            return -1;
        double error = case_error(got[1], got[0], tensor_count(k < 0 ? t[0] : &run[0].in[k]));
        worst = error > worst ? error : worst;
        free(got[0]);
        free(got[1]);
    }
    case_close(&run[0]);
    case_close(&run[1]);
    return worst;
}

/* What case_compare may return: the devices add in other orders, and round to bf16 after it. */
static inline double case_allowed(enum dtype dtype) { return dtype == DT_F32 ? 5e-5 : 1e-2; }
#endif

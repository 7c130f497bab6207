/* layernorm - scales each row to zero mean and unit variance.
 *
 *   m = mean(x)   r = 1 / sqrt(mean((x - m)^2) + eps)   h = (x - m) r          y = h w + b
 *   dh = dy w     dx += r (dh - mean(dh) - h mean(dh h))     dw += sum dy h     db += sum dy
 *   x (N,C), w (C), b (C) or NULL, eps = f[0] -> y (N,C); aux[0], aux[1] F32 (N) = m, r.
 * Source: arXiv:1607.06450. Numerics: variance in a second pass over x - m, not as a difference
 * of squares. Bound: 2 N C elements forward, 4 N C backward. */
#include "kernels/rows.h"

#include "core/err.h"

#include <math.h>

struct tensor *layernorm_op(struct tape *t, struct tensor *x, struct tensor *w, struct tensor *b,
                            float eps)
{
    return tape_apply(t, &op_layernorm, (struct tensor *[]){x, w, b}, 3, (float[OP_F_MAX]){eps},
                      NULL);
}

static int shape(struct tape *t, struct node *n)
{
    const struct tensor *x = n->in[0], *w = n->in[1], *b = n->in[2];
    if (!tensor_is_float(x) || !tensor_is_float(w) || tensor_count(w) != tensor_columns(x))
        return op_refuse(n,
                         "x must be (N,C) and w (C) of floats: x has %lld columns, w %lld elements",
                         (long long)tensor_columns(x), (long long)tensor_count(w));
    if (b && (!tensor_is_float(b) || tensor_count(b) != tensor_columns(x)))
        return op_refuse(n, "b must be (C) floats: it has %lld elements",
                         (long long)tensor_count(b));
    int64_t rows = tensor_rows(x);
    n->out = tape_tensor(t, x->dtype, x->rank, x->dim, node_needs_grad(n));
    n->aux[0] = tape_tensor(t, DT_F32, 1, &rows, false);
    n->aux[1] = tape_tensor(t, DT_F32, 1, &rows, false);
    return n->out && n->aux[0] && n->aux[1] ? 0 : ERR_LIMIT;
}

KERNEL_CLONES static float row_sum(const float *x, int64_t C)
{
    float lane[LANES] = {0};
    int64_t i = 0;
    for (; i + LANES <= C; i += LANES)
        for (int j = 0; j < LANES; j++)
            lane[j] += x[i + j];
    for (int j = 0; i + j < C; j++)
        lane[j] += x[i + j];
    return lanes_sum(lane);
}

KERNEL_CLONES static float row_variance(const float *x, float mean, int64_t C)
{
    float lane[LANES] = {0};
    int64_t i = 0;
    for (; i + LANES <= C; i += LANES)
        for (int j = 0; j < LANES; j++)
            lane[j] += (x[i + j] - mean) * (x[i + j] - mean);
    for (int j = 0; i + j < C; j++)
        lane[j] += (x[i + j] - mean) * (x[i + j] - mean);
    return lanes_sum(lane) / (float)C;
}

KERNEL_CLONES static void normalize_row(float *y, const float *x, const float *w, const float *b,
                                        float mean, float scale, int64_t C)
{
    for (int64_t i = 0; i < C; i++)
        y[i] = (x[i] - mean) * scale * w[i];
    if (b)
        for (int64_t i = 0; i < C; i++)
            y[i] += b[i];
}

struct row {
    const float *x, *w, *dy;
    float mean, scale;
    int64_t C;
};

KERNEL_CLONES static void grad_row(float *dx, float *dw, float *db, const struct row *r)
{
    const float *x = r->x, *w = r->w, *dy = r->dy;
    float mean = r->mean, scale = r->scale, plain[LANES] = {0}, along[LANES] = {0};
    int64_t C = r->C, i = 0;
    for (; i + LANES <= C; i += LANES) {
        for (int j = 0; j < LANES; j++) {
            plain[j] += dy[i + j] * w[i + j];
            along[j] += dy[i + j] * w[i + j] * ((x[i + j] - mean) * scale);
        }
    }
    for (int j = 0; i + j < C; j++) {
        plain[j] += dy[i + j] * w[i + j];
        along[j] += dy[i + j] * w[i + j] * ((x[i + j] - mean) * scale);
    }
    float shift = lanes_sum(plain) / (float)C, pull = lanes_sum(along) / (float)C;
    if (dx)
        for (i = 0; i < C; i++)
            dx[i] += scale * (dy[i] * w[i] - shift - (x[i] - mean) * scale * pull);
    if (dw)
        for (i = 0; i < C; i++)
            dw[i] += dy[i] * ((x[i] - mean) * scale);
    if (db)
        for (i = 0; i < C; i++)
            db[i] += dy[i];
}

struct job {
    const struct node *node;
    int64_t N, C, per_task;
    float *scratch, *part;
    const float *w, *b;
};

static void forward_task(void *arg, int64_t index, int thread)
{
    const struct job *job = arg;
    const struct node *n = job->node;
    int64_t C = job->C,
            until = (index + 1) * job->per_task < job->N ? (index + 1) * job->per_task : job->N;
    float *scratch = job->scratch + (int64_t)thread * 2 * C;
    for (int64_t row = index * job->per_task; row < until; row++) {
        const float *x = floats_read(n->in[0], row * C, C, scratch);
        float *y = floats_write(n->out, row * C, scratch + C);
        float mean = row_sum(x, C) / (float)C;
        float scale = 1.0f / sqrtf(row_variance(x, mean, C) + n->f[0]);
        ((float *)n->aux[0]->data)[row] = mean;
        ((float *)n->aux[1]->data)[row] = scale;
        normalize_row(y, x, job->w, job->b, mean, scale, C);
        floats_done(n->out, row * C, C, y);
    }
}

static void backward_task(void *arg, int64_t index, int thread)
{
    const struct job *job = arg;
    const struct node *n = job->node;
    int64_t C = job->C,
            until = (index + 1) * job->per_task < job->N ? (index + 1) * job->per_task : job->N;
    float *scratch = job->scratch + (int64_t)thread * 2 * C;
    float *dw = job->part + index * C, *db = dw + COLUMN_PARTS_MAX * C;
    memset(dw, 0, (size_t)C * sizeof(float));
    memset(db, 0, (size_t)C * sizeof(float));
    for (int64_t row = index * job->per_task; row < until; row++) {
        struct row r = {
            .x = floats_read(n->in[0], row * C, C, scratch),
            .w = job->w,
            .dy = grad_at(n->out, row * C),
            .mean = ((const float *)n->aux[0]->data)[row],
            .scale = ((const float *)n->aux[1]->data)[row],
            .C = C,
        };
        grad_row(n->in[0]->grad ? grad_at(n->in[0], row * C) : NULL, dw, db, &r);
    }
}

/* Scratch: w and b as floats, two rows a thread, and the parts of dw and db. */
static int job_open(struct job *job, struct stream *s, const struct node *n)
{
    int64_t C = job->C, rows = 2 * stream_threads(s);
    float *scratch = stream_scratch(s, (size_t)(C * (2 + rows + 2 * COLUMN_PARTS_MAX)) *
                                           sizeof(float));
    if (!scratch)
        return ERR_LIMIT;
    job->node = n;
    job->w = floats_read(n->in[1], 0, C, scratch);
    job->b = n->in[2] ? floats_read(n->in[2], 0, C, scratch + C) : NULL;
    job->scratch = scratch + 2 * C;
    job->part = job->scratch + rows * C;
    return 0;
}

static int forward(struct stream *s, struct node *n)
{
    struct job job = {.N = tensor_rows(n->out), .C = tensor_columns(n->out)};
    job.per_task = rows_per_task(job.C);
    TRY(job_open(&job, s, n));
    stream_each(s, count_tasks(job.N, job.per_task), forward_task, &job);
    return 0;
}

static int backward(struct stream *s, struct node *n)
{
    struct job job = {.N = tensor_rows(n->out), .C = tensor_columns(n->out)};
    job.per_task = column_chunk(job.N);
    int64_t parts = count_tasks(job.N, job.per_task);
    TRY(job_open(&job, s, n));
    stream_each(s, parts, backward_task, &job);
    if (n->in[1]->grad)
        column_parts_add(s, grad_at(n->in[1], 0), job.part, parts, job.C);
    if (n->in[2] && n->in[2]->grad)
        column_parts_add(s, grad_at(n->in[2], 0), job.part + COLUMN_PARTS_MAX * job.C, parts,
                         job.C);
    return 0;
}

static double flops(const struct node *n) { return 8.0 * (double)tensor_count(n->out); }

static const struct op_case cases[] = {
    {.in = {{3, 7}, {7}, {7}}, .f = {1e-5f}, .tol = 5e-6f},
    {.in = {{4, 9}, {9}}, .f = {1e-5f}, .tol = 5e-6f}, /* no bias */
    {.in = {{70, 130}, {130}, {130}}, .f = {1e-5f}, .tol = 1e-5f},
    {.in = {{40, 768}, {768}, {768}}, .f = {1e-5f}, .tol = 1e-5f},
};

const struct op op_layernorm = {
    .name = "layernorm",
    .math = "y = (x - mean(x)) / sqrt(var(x) + eps) * w + b",
    .source = "arXiv:1607.06450",
    .shape = shape,
    .fwd = {forward, CUDA_ENTRY(layernorm_fwd)},
    .bwd = {backward, CUDA_ENTRY(layernorm_bwd)},
    .flops = flops,
    .cases = cases,
    .case_count = COUNT_OF(cases),
};

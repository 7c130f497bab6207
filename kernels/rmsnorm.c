/* rmsnorm - scales each row to unit root mean square.
 *
 *   r = 1 / sqrt(mean(x^2) + eps)           y = x r w
 *   dx += r (dy w - x r^2 mean(dy w x))      dw += sum over rows of dy x r
 *   x (N,C), w (C), eps = f[0] -> y (N,C); aux[0] F32 (N) = r.  Source: arXiv:1910.07467.
 * Numerics: sums over C in float, 64 lanes; dw over at most 32 chunks of rows, in order.
 * Bound: 2 N C elements forward, 4 N C backward. */
#include "kernels/rows.h"

#include "core/err.h"

#include <math.h>

struct tensor *rmsnorm_op(struct tape *t, struct tensor *x, struct tensor *w, float eps)
{
    return tape_apply(t, &op_rmsnorm, (struct tensor *[]){x, w}, 2, (float[OP_F_MAX]){eps}, NULL);
}

static int shape(struct tape *t, struct node *n)
{
    const struct tensor *x = n->in[0], *w = n->in[1];
    if (!tensor_is_float(x) || !tensor_is_float(w) || tensor_count(w) != tensor_columns(x))
        return op_refuse(n,
                         "x must be (N,C) and w (C) of floats: x has %lld columns, w %lld elements",
                         (long long)tensor_columns(x), (long long)tensor_count(w));
    int64_t rows = tensor_rows(x);
    n->out = tape_tensor(t, x->dtype, x->rank, x->dim, node_needs_grad(n));
    n->aux[0] = tape_tensor(t, DT_F32, 1, &rows, false);
    return n->out && n->aux[0] ? 0 : ERR_LIMIT;
}

KERNEL_CLONES static void normalize_row(float *y, const float *x, const float *w, float scale,
                                        int64_t C)
{
    for (int64_t i = 0; i < C; i++)
        y[i] = x[i] * scale * w[i];
}

/* The mean of dy w x, then dx and this row's part of dw. */
KERNEL_CLONES static void grad_row(float *dx, float *dw, const float *x, const float *w,
                                   const float *dy, float scale, int64_t C)
{
    float lane[LANES] = {0};
    int64_t i = 0;
    for (; i + LANES <= C; i += LANES)
        for (int j = 0; j < LANES; j++)
            lane[j] += dy[i + j] * w[i + j] * x[i + j];
    for (int j = 0; i + j < C; j++)
        lane[j] += dy[i + j] * w[i + j] * x[i + j];
    float pull = lanes_sum(lane) / (float)C * scale * scale;
    if (dx)
        for (i = 0; i < C; i++)
            dx[i] += scale * (dy[i] * w[i] - x[i] * pull);
    if (dw)
        for (i = 0; i < C; i++)
            dw[i] += dy[i] * x[i] * scale;
}

struct job {
    const struct node *node;
    int64_t N, C, per_task;
    float *scratch, *part;
    const float *w;
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
        float scale = 1.0f / sqrtf(row_dot(x, x, C) / (float)C + n->f[0]);
        ((float *)n->aux[0]->data)[row] = scale;
        normalize_row(y, x, job->w, scale, C);
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
    float *dw = n->in[1]->grad ? job->part + index * C : NULL;
    if (dw)
        memset(dw, 0, (size_t)C * sizeof(float));
    for (int64_t row = index * job->per_task; row < until; row++) {
        const float *x = floats_read(n->in[0], row * C, C, scratch);
        float *dx = n->in[0]->grad ? grad_at(n->in[0], row * C) : NULL;
        grad_row(dx, dw, x, job->w, grad_at(n->out, row * C), ((const float *)n->aux[0]->data)[row],
                 C);
    }
}

/* Scratch: the weights as floats, two rows a thread, and backward's parts of dw. */
static int job_open(struct job *job, struct stream *s, const struct node *n, int64_t parts)
{
    int64_t C = job->C, rows = 2 * stream_threads(s);
    float *scratch = stream_scratch(s, (size_t)(C * (1 + rows + parts)) * sizeof(float));
    if (!scratch)
        return ERR_LIMIT;
    job->node = n;
    job->w = floats_read(n->in[1], 0, C, scratch);
    job->scratch = scratch + C;
    job->part = job->scratch + rows * C;
    return 0;
}

static int forward(struct stream *s, struct node *n)
{
    struct job job = {.N = tensor_rows(n->out), .C = tensor_columns(n->out)};
    job.per_task = rows_per_task(job.C);
    TRY(job_open(&job, s, n, 0));
    stream_each(s, count_tasks(job.N, job.per_task), forward_task, &job);
    return 0;
}

static int backward(struct stream *s, struct node *n)
{
    struct job job = {.N = tensor_rows(n->out), .C = tensor_columns(n->out)};
    job.per_task = column_chunk(job.N);
    int64_t parts = count_tasks(job.N, job.per_task);
    TRY(job_open(&job, s, n, parts));
    stream_each(s, parts, backward_task, &job);
    if (n->in[1]->grad)
        column_parts_add(s, grad_at(n->in[1], 0), job.part, parts, job.C);
    return 0;
}

static double flops(const struct node *n) { return 4.0 * (double)tensor_count(n->out); }

static const struct op_case cases[] = {
    {.in = {{3, 7}, {7}}, .f = {1e-5f}, .tol = 2e-6f},
    {.in = {{70, 130}, {130}}, .f = {1e-5f}, .tol = 5e-6f},
    {.in = {{40, 1, 768}, {768}}, .f = {1e-6f}, .tol = 5e-6f},
};

const struct op op_rmsnorm = {
    .name = "rmsnorm",
    .math = "y = x / sqrt(mean(x^2) + eps) * w",
    .source = "arXiv:1910.07467",
    .shape = shape,
    .fwd = {forward, CUDA_ENTRY(rmsnorm_fwd)},
    .bwd = {backward, CUDA_ENTRY(rmsnorm_bwd)},
    .flops = flops,
    .cases = cases,
    .case_count = COUNT_OF(cases),
};

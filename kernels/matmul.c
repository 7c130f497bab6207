/* matmul - a linear layer.
 *
 *   y = x w^T + b        dx += dy w        dw += dy^T x        db += column sums of dy
 *   x (N,K), w (M,K), b (M) or NULL -> y (N,M).
 * Numerics: float sums over K; with bf16 inputs dy is rounded to bf16 as it is packed, products
 * are exact and sums float. Every output element is summed by one task in one order: any thread
 * count gives the same bits. Bound: 2 N K M flops forward, twice that backward. */
#include "kernels/gemm.h"
#include "kernels/rows.h"

#include "core/err.h"

struct tensor *matmul_op(struct tape *t, struct tensor *x, struct tensor *w, struct tensor *bias)
{
    return tape_apply(t, &op_matmul, (struct tensor *[]){x, w, bias}, 3, NULL, NULL);
}

static int shape(struct tape *t, struct node *n)
{
    const struct tensor *x = n->in[0], *w = n->in[1], *bias = n->in[2];
    if (!tensor_is_float(x) || !tensor_is_float(w) || w->rank != 2 ||
        tensor_columns(x) != w->dim[1])
        return op_refuse(n, "x must be (N,K) and w (M,K) of floats: x has %lld columns, w %lld",
                         (long long)tensor_columns(x), (long long)w->dim[w->rank - 1]);
    if (bias && (!tensor_is_float(bias) || tensor_count(bias) != w->dim[0]))
        return op_refuse(n, "bias must have %lld floats, it has %lld", (long long)w->dim[0],
                         (long long)tensor_count(bias));
    int64_t dim[2] = {tensor_rows(x), w->dim[0]};
    n->out = tape_tensor(t, x->dtype, 2, dim, node_needs_grad(n));
    return n->out ? 0 : ERR_LIMIT;
}

static int forward(struct stream *s, struct node *n)
{
    const struct tensor *x = n->in[0], *w = n->in[1], *bias = n->in[2], *y = n->out;
    struct gemm g = {
        .m = y->dim[0],
        .n = y->dim[1],
        .k = w->dim[1],
        .a = x->data,
        .lda = w->dim[1],
        .a_bf16 = x->dtype == DT_BF16,
        .b = w->data,
        .ldb = w->dim[1],
        .b_turned = true,
        .b_bf16 = w->dtype == DT_BF16,
        .c = y->data,
        .ldc = y->dim[1],
        .c_bf16 = y->dtype == DT_BF16,
        .alpha = 1,
        .bias = bias ? bias->data : NULL,
        .bias_bf16 = bias && bias->dtype == DT_BF16,
    };
    return gemm_run(s, &g);
}

static int grad_x(struct stream *s, const struct node *n)
{
    const struct tensor *w = n->in[1], *dy = n->out->grad;
    struct gemm g = {
        .m = dy->dim[0],
        .n = w->dim[1],
        .k = dy->dim[1],
        .a = dy->data,
        .lda = dy->dim[1],
        .b = w->data,
        .ldb = w->dim[1],
        .b_bf16 = w->dtype == DT_BF16,
        .c = n->in[0]->grad->data,
        .ldc = w->dim[1],
        .alpha = 1,
        .beta = 1,
    };
    return gemm_run(s, &g);
}

static int grad_w(struct stream *s, const struct node *n)
{
    const struct tensor *x = n->in[0], *w = n->in[1], *dy = n->out->grad;
    struct gemm g = {
        .m = w->dim[0],
        .n = w->dim[1],
        .k = dy->dim[0],
        .a = dy->data,
        .lda = dy->dim[1],
        .a_turned = true,
        .b = x->data,
        .ldb = w->dim[1],
        .b_bf16 = x->dtype == DT_BF16,
        .c = w->grad->data,
        .ldc = w->dim[1],
        .alpha = 1,
        .beta = 1,
    };
    return gemm_run(s, &g);
}

struct bias_job {
    const float *dy;
    int64_t N, M, per_task;
    float *part;
};

static void bias_task(void *arg, int64_t index, int thread)
{
    UNUSED(thread);
    const struct bias_job *job = arg;
    int64_t until = (index + 1) * job->per_task < job->N ? (index + 1) * job->per_task : job->N;
    float *part = job->part + index * job->M;
    memset(part, 0, (size_t)job->M * sizeof(float));
    for (int64_t row = index * job->per_task; row < until; row++)
        row_add(part, job->dy + row * job->M, job->M);
}

static int grad_bias(struct stream *s, const struct node *n)
{
    struct bias_job job = {.dy = n->out->grad->data, .N = n->out->dim[0], .M = n->out->dim[1]};
    job.per_task = column_chunk(job.N);
    int64_t parts = count_tasks(job.N, job.per_task);
    job.part = stream_scratch(s, (size_t)(parts * job.M) * sizeof(float));
    if (!job.part)
        return ERR_LIMIT;
    stream_each(s, parts, bias_task, &job);
    column_parts_add(s, grad_at(n->in[2], 0), job.part, parts, job.M);
    return 0;
}

static int backward(struct stream *s, struct node *n)
{
    if (n->in[0]->grad)
        TRY(grad_x(s, n));
    if (n->in[1]->grad)
        TRY(grad_w(s, n));
    if (n->in[2] && n->in[2]->grad)
        TRY(grad_bias(s, n));
    return 0;
}

static double flops(const struct node *n)
{
    return 2.0 * (double)tensor_count(n->out) * (double)n->in[1]->dim[1];
}

static const struct op_case cases[] = {
    {.in = {{4, 6}, {5, 6}, {5}}, .tol = 2e-6f},
    {.in = {{3, 5}, {7, 5}}, .tol = 2e-6f},
    {.in = {{1, 40}, {33, 40}, {33}}, .tol = 5e-6f},
    {.in = {{70, 130}, {90, 130}, {90}}, .tol = 1e-5f},
    {.in = {{300, 96}, {270, 96}, {270}}, .tol = 1e-5f},
};

const struct op op_matmul = {
    .name = "matmul",
    .math = "y = x w^T + b",
    .shape = shape,
    .fwd = {forward, CUDA_ENTRY(matmul_fwd)},
    .bwd = {backward, CUDA_ENTRY(matmul_bwd)},
    .flops = flops,
    .cases = cases,
    .case_count = COUNT_OF(cases),
};

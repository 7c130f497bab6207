/* position - adds a learned vector per position, as GPT-2 does.
 *
 *   y[n,:] = x[n,:] + table[n mod T,:]      dx += dy      dtable[t,:] += sum_b dy[b T + t,:]
 *   x (N,C), table (Tmax,C), T = i[0] <= Tmax, N a multiple of T -> y (N,C).
 * Numerics: sums over b in order. Bound: 3 N C elements. */
#include "kernels/rows.h"

#include "core/err.h"

struct tensor *position_op(struct tape *t, struct tensor *x, struct tensor *table, int32_t T)
{
    return tape_apply(t, &op_position, (struct tensor *[]){x, table}, 2, NULL,
                      (int32_t[OP_I_MAX]){T});
}

static int shape(struct tape *t, struct node *n)
{
    const struct tensor *x = n->in[0], *table = n->in[1];
    int64_t T = n->i[0];
    if (table->rank != 2 || !tensor_is_float(table) || !tensor_is_float(x) ||
        tensor_columns(x) != table->dim[1])
        return op_refuse(n, "x must be (N,C) and the table (Tmax,C) of floats with the same C");
    if (T < 1 || T > table->dim[0] || tensor_rows(x) % T)
        return op_refuse(n,
                         "T is %lld; it must divide the %lld rows and be at most the table's %lld",
                         (long long)T, (long long)tensor_rows(x), (long long)table->dim[0]);
    n->out = tape_tensor(t, x->dtype, x->rank, x->dim, node_needs_grad(n));
    return n->out ? 0 : ERR_LIMIT;
}

struct job {
    const struct node *node;
    int64_t N, C;
    float *scratch;
};

static void forward_task(void *arg, int64_t index, int thread)
{
    const struct job *job = arg;
    const struct node *n = job->node;
    int64_t C = job->C, per_task = rows_per_task(C);
    int64_t until = (index + 1) * per_task < job->N ? (index + 1) * per_task : job->N;
    float *scratch = job->scratch + (int64_t)thread * 3 * C;
    for (int64_t row = index * per_task; row < until; row++) {
        const float *x = floats_read(n->in[0], row * C, C, scratch);
        const float *table = floats_read(n->in[1], row % n->i[0] * C, C, scratch + C);
        float *y = floats_write(n->out, row * C, scratch + 2 * C);
        memcpy(y, x, (size_t)C * sizeof(float));
        row_add(y, table, C);
        floats_done(n->out, row * C, C, y);
    }
}

static int forward(struct stream *s, struct node *n)
{
    struct job job = {.node = n, .N = tensor_rows(n->out), .C = tensor_columns(n->out)};
    job.scratch = stream_scratch(s, (size_t)(stream_threads(s) * 3 * job.C) * sizeof(float));
    if (!job.scratch)
        return ERR_LIMIT;
    stream_each(s, count_tasks(job.N, rows_per_task(job.C)), forward_task, &job);
    return 0;
}

static void backward_task(void *arg, int64_t position, int thread)
{
    UNUSED(thread);
    const struct job *job = arg;
    const struct node *n = job->node;
    for (int64_t row = position; row < job->N; row += n->i[0]) {
        if (n->in[0]->grad)
            row_add(grad_at(n->in[0], row * job->C), grad_at(n->out, row * job->C), job->C);
        if (n->in[1]->grad)
            row_add(grad_at(n->in[1], position * job->C), grad_at(n->out, row * job->C), job->C);
    }
}

static int backward(struct stream *s, struct node *n)
{
    struct job job = {.node = n, .N = tensor_rows(n->out), .C = tensor_columns(n->out)};
    stream_each(s, n->i[0], backward_task, &job);
    return 0;
}

static double flops(const struct node *n) { return (double)tensor_count(n->out); }

static const struct op_case cases[] = {
    {.in = {{6, 5}, {4, 5}}, .i = {3}, .tol = 1e-6f},
    {.in = {{64, 130}, {40, 130}}, .i = {32}, .tol = 1e-6f},
};

const struct op op_position = {
    .name = "position",
    .math = "y[n] = x[n] + table[n mod T]",
    .source = "GPT-2",
    .shape = shape,
    .fwd = {forward, CUDA_ENTRY(position_fwd)},
    .bwd = {backward, CUDA_ENTRY(position_bwd)},
    .flops = flops,
    .cases = cases,
    .case_count = COUNT_OF(cases),
};

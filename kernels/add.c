/* add - the sum of two tensors: residual connections.
 *
 *   y = a + b      da += dy      db += dy      same shapes; y has the type of a.
 * Bound: 3 elements of memory traffic each. */
#include "kernels/rows.h"

#include "core/err.h"

enum { CHUNK = 16384 };

struct tensor *add_op(struct tape *t, struct tensor *a, struct tensor *b)
{
    return tape_apply(t, &op_add, (struct tensor *[]){a, b}, 2, NULL, NULL);
}

static int shape(struct tape *t, struct node *n)
{
    const struct tensor *a = n->in[0], *b = n->in[1];
    if (!tensor_is_float(a) || !tensor_is_float(b) || memcmp(a->dim, b->dim, sizeof a->dim) != 0)
        return op_refuse(n, "both inputs must be floats of one shape: %lld and %lld elements",
                         (long long)tensor_count(a), (long long)tensor_count(b));
    n->out = tape_tensor(t, a->dtype, a->rank, a->dim, node_needs_grad(n));
    return n->out ? 0 : ERR_LIMIT;
}

KERNEL_CLONES static void sum(float *y, const float *a, const float *b, int64_t count)
{
    for (int64_t i = 0; i < count; i++)
        y[i] = a[i] + b[i];
}

struct job {
    const struct node *node;
    float *scratch;
};

static void forward_task(void *arg, int64_t index, int thread)
{
    const struct job *job = arg;
    const struct node *n = job->node;
    float *scratch = job->scratch + (int64_t)thread * 3 * CHUNK;
    int64_t start = index * CHUNK, left = tensor_count(n->out) - start,
            count = left < CHUNK ? left : CHUNK;
    float *y = floats_write(n->out, start, scratch);
    sum(y, floats_read(n->in[0], start, count, scratch + CHUNK),
        floats_read(n->in[1], start, count, scratch + 2 * CHUNK), count);
    floats_done(n->out, start, count, y);
}

static int forward(struct stream *s, struct node *n)
{
    struct job job = {n, stream_scratch(s, (size_t)stream_threads(s) * 3 * CHUNK * sizeof(float))};
    if (!job.scratch)
        return ERR_LIMIT;
    stream_each(s, count_tasks(tensor_count(n->out), CHUNK), forward_task, &job);
    return 0;
}

static void backward_task(void *arg, int64_t index, int thread)
{
    UNUSED(thread);
    const struct node *n = arg;
    int64_t start = index * CHUNK, left = tensor_count(n->out) - start,
            count = left < CHUNK ? left : CHUNK;
    for (int k = 0; k < 2; k++)
        if (n->in[k]->grad)
            row_add(grad_at(n->in[k], start), grad_at(n->out, start), count);
}

static int backward(struct stream *s, struct node *n)
{
    stream_each(s, count_tasks(tensor_count(n->out), CHUNK), backward_task, n);
    return 0;
}

static double flops(const struct node *n) { return (double)tensor_count(n->out); }

static const struct op_case cases[] = {
    {.in = {{3, 7}, {3, 7}}, .tol = 1e-6f},
    {.in = {{130, 257}, {130, 257}}, .tol = 1e-6f},
};

const struct op op_add = {
    .name = "add",
    .math = "y = a + b",
    .shape = shape,
    .fwd = {forward, CUDA_ENTRY(add_fwd)},
    .bwd = {backward, CUDA_ENTRY(add_bwd)},
    .flops = flops,
    .cases = cases,
    .case_count = COUNT_OF(cases),
};

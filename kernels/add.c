/* add - the sum of two tensors: residual connections.
 *
 *   y = a + b      da += dy      db += dy      same shapes; y has the type of a.
 * Bound: 3 elements of memory traffic each. */
#include "kernels/rows.h"

#include "core/err.h"

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

static void chunk_run(const struct chunk *c)
{
    const struct node *n = c->node;
    if (c->back) {
        for (int k = 0; k < 2; k++)
            if (n->in[k]->grad)
                row_add(grad_at(n->in[k], c->start), grad_at(n->out, c->start), c->count);
        return;
    }
    float *y = floats_write(n->out, c->start, c->scratch);
    sum(y, floats_read(n->in[0], c->start, c->count, c->scratch + CHUNK_MAX),
        floats_read(n->in[1], c->start, c->count, c->scratch + 2 * CHUNK_MAX), c->count);
    floats_done(n->out, c->start, c->count, y);
}

static int forward(struct stream *s, struct node *n)
{
    return chunks_each(s, n, 3, false, chunk_run);
}
static int backward(struct stream *s, struct node *n)
{
    return chunks_each(s, n, 3, true, chunk_run);
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

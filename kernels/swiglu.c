/* swiglu - the gated unit of Llama's feed-forward layer.
 *
 *   s = 1 / (1 + exp(-g))      y = g s u      dg += dy u s (1 + g (1 - s))      du += dy g s
 *   gate, up, y of one shape.  Source: arXiv:2002.05202.
 * Numerics: exp is clamped at 88, so s goes to 0, never to NaN. Bound: 3 elements forward, 7
 * backward. */
#include "kernels/rows.h"

#include "core/err.h"

struct tensor *swiglu_op(struct tape *t, struct tensor *gate, struct tensor *up)
{
    return tape_apply(t, &op_swiglu, (struct tensor *[]){gate, up}, 2, NULL, NULL);
}

static int shape(struct tape *t, struct node *n)
{
    const struct tensor *gate = n->in[0], *up = n->in[1];
    if (!tensor_is_float(gate) || !tensor_is_float(up) ||
        memcmp(gate->dim, up->dim, sizeof up->dim) != 0)
        return op_refuse(n, "gate and up must be floats of one shape: %lld and %lld elements",
                         (long long)tensor_count(gate), (long long)tensor_count(up));
    n->out = tape_tensor(t, gate->dtype, gate->rank, gate->dim, node_needs_grad(n));
    return n->out ? 0 : ERR_LIMIT;
}

KERNEL_CLONES static void swiglu_row(float *y, const float *gate, const float *up, int64_t count)
{
    for (int64_t i = 0; i < count; i++)
        y[i] = gate[i] / (1.0f + exp_fast(-gate[i])) * up[i];
}

KERNEL_CLONES static void gate_grad_row(float *dgate, const float *gate, const float *up,
                                        const float *dy, int64_t count)
{
    for (int64_t i = 0; i < count; i++) {
        float sigmoid = 1.0f / (1.0f + exp_fast(-gate[i]));
        dgate[i] += dy[i] * up[i] * sigmoid * (1.0f + gate[i] * (1.0f - sigmoid));
    }
}

KERNEL_CLONES static void up_grad_row(float *dup, const float *gate, const float *dy, int64_t count)
{
    for (int64_t i = 0; i < count; i++)
        dup[i] += dy[i] * gate[i] / (1.0f + exp_fast(-gate[i]));
}

static void chunk_run(const struct chunk *c)
{
    const struct node *n = c->node;
    const float *gate = floats_read(n->in[0], c->start, c->count, c->scratch);
    const float *up = floats_read(n->in[1], c->start, c->count, c->scratch + CHUNK_MAX);
    const float *dy = c->back ? grad_at(n->out, c->start) : NULL;
    if (c->back) {
        if (n->in[0]->grad)
            gate_grad_row(grad_at(n->in[0], c->start), gate, up, dy, c->count);
        if (n->in[1]->grad)
            up_grad_row(grad_at(n->in[1], c->start), gate, dy, c->count);
        return;
    }
    float *y = floats_write(n->out, c->start, c->scratch + 2 * CHUNK_MAX);
    swiglu_row(y, gate, up, c->count);
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
static double flops(const struct node *n) { return 15.0 * (double)tensor_count(n->out); }

static const struct op_case cases[] = {
    {.in = {{3, 7}, {3, 7}}, .tol = 2e-6f},
    {.in = {{100, 333}, {100, 333}}, .tol = 2e-6f},
};

const struct op op_swiglu = {
    .name = "swiglu",
    .math = "y = gate / (1 + exp(-gate)) * up",
    .source = "arXiv:2002.05202",
    .shape = shape,
    .fwd = {forward, CUDA_ENTRY(swiglu_fwd)},
    .bwd = {backward, CUDA_ENTRY(swiglu_bwd)},
    .flops = flops,
    .cases = cases,
    .case_count = COUNT_OF(cases),
};

/* gelu - the tanh form of GELU, as GPT-2 computes it.
 *
 *   u = sqrt(2/pi) (x + 0.044715 x^3)       y = x (1 + tanh u) / 2
 *   dx += dy ((1 + tanh u)/2 + x (1 - tanh^2 u)/2 sqrt(2/pi) (1 + 3 * 0.044715 x^2))
 * Source: arXiv:1606.08415. Numerics: tanh u = 1 - 2/(exp(2u) + 1); absolute error about 1e-7.
 * Bound: 2 elements of memory traffic forward, 3 backward. */
#include "kernels/rows.h"

#include "core/err.h"

#define GELU_SCALE 0.7978845608028654f
#define GELU_CUBE 0.044715f

struct tensor *gelu_op(struct tape *t, struct tensor *x)
{
    return tape_apply(t, &op_gelu, (struct tensor *[]){x}, 1, NULL, NULL);
}

static int shape(struct tape *t, struct node *n)
{
    const struct tensor *x = n->in[0];
    if (!tensor_is_float(x))
        return op_refuse(n, "x must be floats");
    n->out = tape_tensor(t, x->dtype, x->rank, x->dim, node_needs_grad(n));
    return n->out ? 0 : ERR_LIMIT;
}

KERNEL_INLINE float gelu_tanh(float x)
{
    float u = GELU_SCALE * (x + GELU_CUBE * x * x * x);
    return 1.0f - 2.0f / (exp_fast(2.0f * u) + 1.0f);
}

KERNEL_CLONES static void gelu_row(float *y, const float *x, int64_t count)
{
    for (int64_t i = 0; i < count; i++)
        y[i] = 0.5f * x[i] * (1.0f + gelu_tanh(x[i]));
}

KERNEL_CLONES static void gelu_grad_row(float *dx, const float *x, const float *dy, int64_t count)
{
    for (int64_t i = 0; i < count; i++) {
        float tanh_u = gelu_tanh(x[i]);
        float du = GELU_SCALE * (1.0f + 3.0f * GELU_CUBE * x[i] * x[i]);
        dx[i] += dy[i] * (0.5f * (1.0f + tanh_u) + 0.5f * x[i] * (1.0f - tanh_u * tanh_u) * du);
    }
}

static void chunk_run(const struct chunk *c)
{
    const struct node *n = c->node;
    const float *x = floats_read(n->in[0], c->start, c->count, c->scratch);
    if (c->back) {
        gelu_grad_row(grad_at(n->in[0], c->start), x, grad_at(n->out, c->start), c->count);
        return;
    }
    float *y = floats_write(n->out, c->start, c->scratch + CHUNK_MAX);
    gelu_row(y, x, c->count);
    floats_done(n->out, c->start, c->count, y);
}

static int forward(struct stream *s, struct node *n)
{
    return chunks_each(s, n, 2, false, chunk_run);
}
static int backward(struct stream *s, struct node *n)
{
    return n->in[0]->grad ? chunks_each(s, n, 2, true, chunk_run) : 0;
}
static double flops(const struct node *n) { return 20.0 * (double)tensor_count(n->out); }

static const struct op_case cases[] = {
    {.in = {{3, 7}}, .tol = 2e-6f},
    {.in = {{100, 333}}, .tol = 2e-6f},
};

const struct op op_gelu = {
    .name = "gelu",
    .math = "y = x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))) / 2",
    .source = "arXiv:1606.08415",
    .shape = shape,
    .fwd = {forward, CUDA_ENTRY(gelu_fwd)},
    .bwd = {backward, CUDA_ENTRY(gelu_bwd)},
    .flops = flops,
    .cases = cases,
    .case_count = COUNT_OF(cases),
};

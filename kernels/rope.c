/* rope - rotary positions, halves paired as in the Hugging Face code of Llama.
 *
 *   p = n mod T + start    a_j = p theta^(-2j/D)    j < D/2, per head of D columns:
 *   y[j] = x[j] cos a_j - x[j+D/2] sin a_j           y[j+D/2] = x[j+D/2] cos a_j + x[j] sin a_j
 *   dx += the rotation by -a_j of dy
 *   x (N,H*D); T, D, start = i[0..2], theta = f[0] -> y (N,H*D).  Source: arXiv:2104.09864.
 * Numerics: angles in double, cos and sin rounded to float, in a table the stream keeps.
 * Bound: 2 elements of memory traffic each. */
#include "kernels/rows.h"

#include "core/err.h"

enum { ROPE_POSITIONS_MAX = 1 << 24 };

struct tensor *rope_op(struct tape *t, struct tensor *x, int32_t T, int32_t D, float theta,
                       int32_t start)
{
    return tape_apply(t, &op_rope, (struct tensor *[]){x}, 1, (float[OP_F_MAX]){theta},
                      (int32_t[OP_I_MAX]){T, D, start});
}

static int shape(struct tape *t, struct node *n)
{
    const struct tensor *x = n->in[0];
    int64_t T = n->i[0], D = n->i[1], start = n->i[2];
    if (!tensor_is_float(x) || D < 2 || D % 2 || tensor_columns(x) % D)
        return op_refuse(n, "x must be (N,H*D) of floats with an even D: %lld columns, D %lld",
                         (long long)tensor_columns(x), (long long)D);
    if (T < 1 || tensor_rows(x) % T || start < 0 || start + T > ROPE_POSITIONS_MAX ||
        !(n->f[0] > 0))
        return op_refuse(
            n, "T is %lld, start %lld, theta %g: T must divide the %lld rows, positions end at %d",
            (long long)T, (long long)start, (double)n->f[0], (long long)tensor_rows(x),
            ROPE_POSITIONS_MAX);
    n->out = tape_tensor(t, x->dtype, x->rank, x->dim, node_needs_grad(n));
    return n->out ? 0 : ERR_LIMIT;
}

/* table holds pairs (cos, sin); direction -1 turns back. Adds into y: forward clears it first. */
KERNEL_CLONES static void rotate_add(float *restrict y, const float *restrict x,
                                     const float *restrict table, float direction, int64_t half)
{
    for (int64_t j = 0; j < half; j++) {
        float cosine = table[2 * j], sine = table[2 * j + 1] * direction;
        y[j] += x[j] * cosine - x[j + half] * sine;
        y[j + half] += x[j + half] * cosine + x[j] * sine;
    }
}

struct job {
    const struct node *node;
    int64_t N, C;
    const float *table;
    float *scratch;
};

static void forward_task(void *arg, int64_t index, int thread)
{
    const struct job *job = arg;
    const struct node *n = job->node;
    int64_t C = job->C, D = n->i[1], per_task = rows_per_task(C);
    int64_t until = (index + 1) * per_task < job->N ? (index + 1) * per_task : job->N;
    float *scratch = job->scratch + (int64_t)thread * 2 * C;
    for (int64_t row = index * per_task; row < until; row++) {
        const float *x = floats_read(n->in[0], row * C, C, scratch);
        float *y = floats_write(n->out, row * C, scratch + C);
        memset(y, 0, (size_t)C * sizeof(float));
        for (int64_t head = 0; head < C; head += D)
            rotate_add(y + head, x + head, job->table + (row % n->i[0] + n->i[2]) * D, 1, D / 2);
        floats_done(n->out, row * C, C, y);
    }
}

static void backward_task(void *arg, int64_t index, int thread)
{
    UNUSED(thread);
    const struct job *job = arg;
    const struct node *n = job->node;
    int64_t C = job->C, D = n->i[1], per_task = rows_per_task(C);
    int64_t until = (index + 1) * per_task < job->N ? (index + 1) * per_task : job->N;
    for (int64_t row = index * per_task; row < until; row++)
        for (int64_t head = 0; head < C; head += D)
            rotate_add(grad_at(n->in[0], row * C + head), grad_at(n->out, row * C + head),
                       job->table + (row % n->i[0] + n->i[2]) * D, -1, D / 2);
}

static int run(struct stream *s, struct node *n, bool back)
{
    struct job job = {.node = n, .N = tensor_rows(n->out), .C = tensor_columns(n->out)};
    job.table = stream_rope(s, (int64_t)n->i[2] + n->i[0], n->i[1], n->f[0]);
    job.scratch = stream_scratch(s, (size_t)(stream_threads(s) * 2 * job.C) * sizeof(float));
    if (!job.table || !job.scratch)
        return ERR_LIMIT;
    stream_each(s, count_tasks(job.N, rows_per_task(job.C)), back ? backward_task : forward_task,
                &job);
    return 0;
}

static int forward(struct stream *s, struct node *n) { return run(s, n, false); }
static int backward(struct stream *s, struct node *n)
{
    return n->in[0]->grad ? run(s, n, true) : 0;
}
static double flops(const struct node *n) { return 3.0 * (double)tensor_count(n->out); }

static const struct op_case cases[] = {
    {.in = {{6, 12}}, .f = {10000}, .i = {3, 4, 0}, .tol = 2e-6f},
    {.in = {{5, 8}}, .f = {500000}, .i = {5, 8, 1000}, .tol = 2e-6f},
    {.in = {{128, 256}}, .f = {10000}, .i = {64, 64, 7}, .tol = 2e-6f},
};

const struct op op_rope = {
    .name = "rope",
    .math = "(y1, y2) = rotation by position * theta^(-2j/D) of (x1, x2), the halves of a head",
    .source = "arXiv:2104.09864",
    .shape = shape,
    .fwd = {forward, CUDA_ENTRY(rope_fwd)},
    .bwd = {backward, CUDA_ENTRY(rope_bwd)},
    .flops = flops,
    .cases = cases,
    .case_count = COUNT_OF(cases),
};

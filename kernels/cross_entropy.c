/* cross_entropy - softmax and negative log-likelihood of the targets, in one pass each way.
 *
 *   m = max_v z    lse = m + log(sum exp(z - m))    loss[n] = lse - z[target], 0 if target < 0
 *   y = mean of loss over the rows with target >= 0 (0 when there are none)
 *   dz[n,v] += dy / count * (exp(z - lse) - [v = target])          rows with target < 0: nothing
 *   logits (N,V), targets I32 (N) -> F32 (1); aux[0] F32 (N) = loss, aux[1] F32 (N) = lse.
 * Numerics: max subtracted before exp; row sums in float over 64 lanes, the mean in double in
 * row order. Bound: reads N V elements forward; backward reads N V and adds into N V floats. */
#include "kernels/rows.h"

#include "core/err.h"

#include <math.h>

struct tensor *cross_entropy_op(struct tape *t, struct tensor *logits, struct tensor *targets)
{
    return tape_apply(t, &op_cross_entropy, (struct tensor *[]){logits, targets}, 2, NULL, NULL);
}

static int shape(struct tape *t, struct node *n)
{
    const struct tensor *logits = n->in[0], *targets = n->in[1];
    if (logits->rank != 2 || !tensor_is_float(logits))
        return op_refuse(n, "logits must be (N,V) of floats");
    if (targets->dtype != DT_I32 || tensor_count(targets) != logits->dim[0])
        return op_refuse(n, "targets must be I32 (N): %lld targets, %lld rows",
                         (long long)tensor_count(targets), (long long)logits->dim[0]);
    int64_t one = 1;
    n->out = tape_tensor(t, DT_F32, 1, &one, node_needs_grad(n));
    n->aux[0] = tape_tensor(t, DT_F32, 1, &logits->dim[0], false);
    n->aux[1] = tape_tensor(t, DT_F32, 1, &logits->dim[0], false);
    return n->out && n->aux[0] && n->aux[1] ? 0 : ERR_LIMIT;
}

KERNEL_CLONES static float row_max(const float *z, int64_t V)
{
    float lane[LANES];
    for (int j = 0; j < LANES; j++)
        lane[j] = -INFINITY;
    int64_t i = 0;
    for (; i + LANES <= V; i += LANES)
        for (int j = 0; j < LANES; j++)
            lane[j] = z[i + j] > lane[j] ? z[i + j] : lane[j];
    for (int j = 0; i + j < V; j++)
        lane[j] = z[i + j] > lane[j] ? z[i + j] : lane[j];
    return lanes_max(lane);
}

KERNEL_CLONES static float row_exp_sum(const float *z, float max, int64_t V)
{
    float lane[LANES] = {0};
    int64_t i = 0;
    for (; i + LANES <= V; i += LANES)
        for (int j = 0; j < LANES; j++)
            lane[j] += exp_fast(z[i + j] - max);
    for (int j = 0; i + j < V; j++)
        lane[j] += exp_fast(z[i + j] - max);
    return lanes_sum(lane);
}

KERNEL_CLONES static void row_softmax_grad(float *dz, const float *z, float lse, float scale,
                                           int64_t V)
{
    for (int64_t i = 0; i < V; i++)
        dz[i] += exp_fast(z[i] - lse) * scale;
}

struct job {
    const struct node *node;
    float *scratch;
    float scale;
};

static void forward_task(void *arg, int64_t index, int thread)
{
    const struct job *job = arg;
    const struct node *n = job->node;
    const int32_t *targets = n->in[1]->data;
    int64_t N = n->in[0]->dim[0], V = n->in[0]->dim[1], per_task = rows_per_task(V);
    int64_t until = (index + 1) * per_task < N ? (index + 1) * per_task : N;
    for (int64_t row = index * per_task; row < until; row++) {
        float loss = 0, lse = 0;
        if (targets[row] >= 0) {
            const float *z = floats_read(n->in[0], row * V, V, job->scratch + (int64_t)thread * V);
            float max = row_max(z, V);
            lse = max + logf(row_exp_sum(z, max, V));
            loss = lse - z[targets[row]];
        }
        ((float *)n->aux[0]->data)[row] = loss;
        ((float *)n->aux[1]->data)[row] = lse;
    }
}

static int64_t targets_counted(const struct node *n)
{
    const int32_t *targets = n->in[1]->data;
    int64_t counted = 0;
    for (int64_t row = 0; row < n->in[0]->dim[0]; row++)
        counted += targets[row] >= 0;
    return counted;
}

static int forward(struct stream *s, struct node *n)
{
    const int32_t *targets = n->in[1]->data;
    int64_t N = n->in[0]->dim[0], V = n->in[0]->dim[1];
    for (int64_t row = 0; row < N; row++)
        if (targets[row] >= V)
            return err_set(ERR_FORMAT,
                           "cross_entropy: target %d at %lld, the logits have %lld columns: tokens "
                           "of another tokenizer?",
                           targets[row], (long long)row, (long long)V);
    struct job job = {
        .node = n, .scratch = stream_scratch(s, (size_t)(stream_threads(s) * V) * sizeof(float))};
    if (!job.scratch)
        return ERR_LIMIT;
    stream_each(s, count_tasks(N, rows_per_task(V)), forward_task, &job);
    double sum = 0;
    for (int64_t row = 0; row < N; row++)
        sum += (double)((const float *)n->aux[0]->data)[row];
    int64_t counted = targets_counted(n);
    *(float *)n->out->data = counted ? (float)(sum / (double)counted) : 0;
    return 0;
}

static void backward_task(void *arg, int64_t index, int thread)
{
    const struct job *job = arg;
    const struct node *n = job->node;
    const int32_t *targets = n->in[1]->data;
    int64_t N = n->in[0]->dim[0], V = n->in[0]->dim[1], per_task = rows_per_task(V);
    int64_t until = (index + 1) * per_task < N ? (index + 1) * per_task : N;
    for (int64_t row = index * per_task; row < until; row++) {
        if (targets[row] < 0)
            continue;
        const float *z = floats_read(n->in[0], row * V, V, job->scratch + (int64_t)thread * V);
        float *dz = grad_at(n->in[0], row * V);
        row_softmax_grad(dz, z, ((const float *)n->aux[1]->data)[row], job->scale, V);
        dz[targets[row]] -= job->scale;
    }
}

static int backward(struct stream *s, struct node *n)
{
    int64_t counted = targets_counted(n), V = n->in[0]->dim[1];
    if (!n->in[0]->grad || !counted)
        return 0;
    struct job job = {
        .node = n, .scratch = stream_scratch(s, (size_t)(stream_threads(s) * V) * sizeof(float))};
    if (!job.scratch)
        return ERR_LIMIT;
    job.scale = *(const float *)n->out->grad->data / (float)counted;
    stream_each(s, count_tasks(n->in[0]->dim[0], rows_per_task(V)), backward_task, &job);
    return 0;
}

static double flops(const struct node *n) { return 10.0 * (double)tensor_count(n->in[0]); }

static const struct op_case cases[] = {
    {.in = {{5, 9}, {5}}, .fill = {0, 9}, .tol = 2e-6f},
    {.in = {{33, 1000}, {33}}, .fill = {0, 1000}, .tol = 5e-6f},
};

const struct op op_cross_entropy = {
    .name = "cross_entropy",
    .math = "y = mean over targets >= 0 of log(sum(exp(z))) - z[target]",
    .shape = shape,
    .fwd = {forward, CUDA_ENTRY(cross_entropy_fwd)},
    .bwd = {backward, CUDA_ENTRY(cross_entropy_bwd)},
    .flops = flops,
    .cases = cases,
    .case_count = COUNT_OF(cases),
};

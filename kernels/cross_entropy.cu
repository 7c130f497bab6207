/* cross_entropy - softmax and negative log-likelihood on CUDA; contract in cross_entropy.c. A
 * block a row; the mean is one block, in double and in a fixed order. A target outside the
 * logits gives NaN. */
#include "kernels/cuda.h"

template <class T>
__global__ void cross_entropy_forward(float *losses, float *lses, const T *logits,
                                      const int32_t *targets, int64_t V)
{
    int64_t row = blockIdx.x;
    const T *z = logits + row * V;
    int32_t target = targets[row];
    float top = -INFINITY, sum = 0;
    for (int64_t v = threadIdx.x; target >= 0 && v < V; v += BLOCK) {
        float value = to_float(z[v]), higher = fmaxf(top, value);
        sum = higher == -INFINITY ? 0.0f : sum * expf(top - higher) + expf(value - higher);
        top = higher;
    }
    float max = block_max(top);
    float all = block_sum(top == -INFINITY ? 0.0f : sum * expf(top - max));
    if (threadIdx.x != 0)
        return;
    float lse = max + logf(all);
    float wrong = __uint_as_float(0x7fc00000u);
    lses[row] = target >= 0 ? lse : 0.0f;
    losses[row] = target < 0 ? 0.0f : target < V ? lse - to_float(z[target]) : wrong;
}

/* mean[0] = the sum of losses / count, mean[1] = count, both of targets >= 0. */
__global__ void cross_entropy_mean(float *y, float *count, const float *losses,
                                   const int32_t *targets, int64_t N)
{
    __shared__ double sums[BLOCK];
    __shared__ int64_t counts[BLOCK];
    double sum = 0;
    int64_t counted = 0;
    for (int64_t n = threadIdx.x; n < N; n += BLOCK) {
        sum += losses ? (double)losses[n] : 0.0;
        counted += targets[n] >= 0;
    }
    sums[threadIdx.x] = sum;
    counts[threadIdx.x] = counted;
    __syncthreads();
    if (threadIdx.x != 0)
        return;
    for (int k = 1; k < BLOCK; k++) {
        sum += sums[k];
        counted += counts[k];
    }
    if (y)
        *y = counted ? (float)(sum / (double)counted) : 0.0f;
    if (count)
        *count = (float)counted;
}

template <class T>
__global__ void cross_entropy_backward(float *dlogits, const T *logits, const int32_t *targets,
                                       const float *lses, const float *dy, const float *count,
                                       int64_t V)
{
    int64_t row = blockIdx.x;
    if (targets[row] < 0)
        return;
    float scale = *dy / *count, lse = lses[row];
    for (int64_t v = threadIdx.x; v < V; v += BLOCK) {
        float p = expf(to_float(logits[row * V + v]) - lse);
        dlogits[row * V + v] += scale * (v == targets[row] ? p - 1.0f : p);
    }
}

extern "C" int CUDA_NAME(cross_entropy_fwd)(struct stream *s, struct node *n)
{
    const struct tensor *logits = n->in[0];
    const int32_t *targets = (const int32_t *)n->in[1]->data;
    float *losses = (float *)n->aux[0]->data;
    BY_TYPE(logits->dtype,
            LAUNCH(cross_entropy_forward<T>, (unsigned)logits->dim[0], BLOCK, 0, s, losses,
                   (float *)n->aux[1]->data, (const T *)logits->data, targets, logits->dim[1]));
    LAUNCH(cross_entropy_mean, 1, BLOCK, 0, s, (float *)n->out->data, (float *)nullptr, losses,
           targets, logits->dim[0]);
    return 0;
}

extern "C" int CUDA_NAME(cross_entropy_bwd)(struct stream *s, struct node *n)
{
    const struct tensor *logits = n->in[0];
    const int32_t *targets = (const int32_t *)n->in[1]->data;
    float *count = (float *)stream_scratch(s, sizeof *count);
    if (!count)
        return cuda_failed("cross_entropy", "no memory for its scratch");
    if (!logits->grad)
        return 0;
    LAUNCH(cross_entropy_mean, 1, BLOCK, 0, s, (float *)nullptr, count, (const float *)nullptr,
           targets, logits->dim[0]);
    BY_TYPE(logits->dtype, LAUNCH(cross_entropy_backward<T>, (unsigned)logits->dim[0], BLOCK, 0, s,
                                  (float *)logits->grad->data, (const T *)logits->data, targets,
                                  (const float *)n->aux[1]->data, (const float *)n->out->grad->data,
                                  count, logits->dim[1]));
    return 0;
}

/* grad_norm - the sum of squares on CUDA, in double and in a fixed order; contract in
 * grad_norm.c. */
#include "kernels/cuda.h"

enum { CHUNK = 65536 };

/* The sum over the block's threads as a fixed tree; BLOCK doubles of shared memory. */
__device__ inline double block_total(double x)
{
    __shared__ double part[BLOCK];
    part[threadIdx.x] = x;
    __syncthreads();
    for (unsigned half = BLOCK / 2; half > 0; half /= 2) {
        if (threadIdx.x < half)
            part[threadIdx.x] += part[threadIdx.x + half];
        __syncthreads();
    }
    return part[0];
}

__global__ void squares_kernel(double *part, const float *x, int64_t count)
{
    int64_t from = (int64_t)blockIdx.x * CHUNK, until = from + CHUNK < count ? from + CHUNK : count;
    double sum = 0;
    for (int64_t i = from + threadIdx.x; i < until; i += BLOCK)
        sum += (double)x[i] * (double)x[i];
    sum = block_total(sum);
    if (threadIdx.x == 0)
        part[blockIdx.x] = sum;
}

__global__ void total_kernel(double *to, const double *part, int64_t parts)
{
    double sum = 0;
    for (int64_t i = threadIdx.x; i < parts; i += BLOCK)
        sum += part[i];
    sum = block_total(sum);
    if (threadIdx.x == 0)
        *to = sum;
}

extern "C" int CUDA_NAME(grad_norm)(struct stream *s, const struct tensor *grad, double *sum)
{
    int64_t count = tensor_count(grad), parts = (count + CHUNK - 1) / CHUNK;
    double *part = (double *)stream_scratch(s, (size_t)(parts + 1) * sizeof(double)), total = 0;
    if (!part)
        return cuda_failed("grad_norm", "no memory for its scratch");
    LAUNCH(squares_kernel, (unsigned)parts, BLOCK, 0, s, part, (const float *)grad->data, count);
    LAUNCH(total_kernel, 1, BLOCK, 0, s, part + parts, part, parts);
    int rc = dev_download(s, &total, part + parts, sizeof total);
    *sum += total;
    return rc;
}

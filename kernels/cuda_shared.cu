/* cuda_shared - CUDA kernels that several ops use: sums of parts, conversions of type. */
#include "kernels/cuda.h"

__global__ void parts_add_kernel(float *to, const float *part, int64_t parts, int64_t C)
{
    int64_t column = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (column >= C)
        return;
    float sum = 0;
    for (int64_t k = 0; k < parts; k++)
        sum += part[k * C + column];
    to[column] += sum;
}

extern "C" int CUDA_NAME(parts_add)(struct stream *s, float *to, const float *part, int64_t parts,
                                    int64_t C)
{
    LAUNCH(parts_add_kernel, blocks_of(C, BLOCK), BLOCK, 0, s, to, part, parts, C);
    return 0;
}

template <class TO, class FROM>
__global__ void convert_kernel(TO *to, const FROM *from, int64_t count)
{
    float x[4];
    int64_t i = four_index();
    load4(x, from, i, count);
    store4(to, i, count, x);
}

extern "C" int CUDA_NAME(convert)(struct stream *s, void *to, int to_type, const void *from,
                                  int from_type, int64_t count)
{
    if (to_type == DT_BF16)
        BY_TYPE(from_type, LAUNCH((convert_kernel<bf16, T>), four_blocks(count), BLOCK, 0, s,
                                  (bf16 *)to, (const T *)from, count));
    else
        BY_TYPE(from_type, LAUNCH((convert_kernel<float, T>), four_blocks(count), BLOCK, 0, s,
                                  (float *)to, (const T *)from, count));
    return 0;
}

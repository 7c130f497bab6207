/* cuda - what every .cu file uses: launches, element types, sums over a block.
 *
 * For nvcc, and for the emulation of tests/emu, which defines CUDA_EMULATION and CUDA's words
 * before it comes here. */
#ifndef SLUICE_KERNELS_CUDA_H
#define SLUICE_KERNELS_CUDA_H
#include "kernels/device.h"

/* Entry points are called NAME_cuda; the emulation has its own beside them. */
#ifdef CUDA_EMULATION
#define CUDA_NAME(name) name##_emu
#else
#include <cuda_runtime.h>
#define CUDA_NAME(name) name##_cuda
/* A kernel has to ask for more shared memory than this. */
enum { SHARED_PLAIN_MAX = 48 << 10 };

/* Queues kernel<<<grid, block, shared bytes>>>(...) on a stream; on failure leaves the calling
 * function with the error. A kernel with several template arguments needs parentheses. */
#define LAUNCH(kernel, grid, block, shared, s, ...)                                                \
    do {                                                                                           \
        cudaError_t launch_rc_ = cudaSuccess;                                                      \
        if ((shared) > SHARED_PLAIN_MAX)                                                           \
            launch_rc_ = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, \
                                              (int)(shared));                                      \
        if (launch_rc_ == cudaSuccess) {                                                           \
            kernel<<<grid, block, shared, (cudaStream_t)(s)->cuda>>>(__VA_ARGS__);                 \
            launch_rc_ = cudaGetLastError();                                                       \
        }                                                                                          \
        if (launch_rc_ != cudaSuccess)                                                             \
            return cuda_failed(#kernel, cudaGetErrorString(launch_rc_));                           \
    } while (0)
#define DYNAMIC_SHARED(type, name) extern __shared__ __align__(16) type name[]
#endif

enum { WARP = 32, BLOCK = 256 };

/* ---- elements ---- */
struct bf16 {
    uint16_t bits;
};

__device__ inline float to_float(float x) { return x; }
__device__ inline float to_float(struct bf16 x) { return __uint_as_float((uint32_t)x.bits << 16); }

/* Rounds to nearest, ties to even; NaN stays NaN: the same bits as the CPU's. */
__device__ inline struct bf16 to_bf16(float x)
{
    uint32_t bits = __float_as_uint(x), rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
    bool nan = (bits & 0x7fffffffu) > 0x7f800000u;
    return bf16{(uint16_t)(nan ? (bits >> 16) | 0x40u : rounded)};
}

__device__ inline void put(float *to, float x) { *to = x; }
__device__ inline void put(struct bf16 *to, float x) { *to = to_bf16(x); }

/* A float or bf16 of memory whose type is known when the kernel runs only: weights. */
struct either {
    const void *data;
    int32_t bf16;
};
__device__ inline float load_either(struct either from, int64_t i)
{
    return from.bf16 ? to_float(((const struct bf16 *)from.data)[i])
                     : ((const float *)from.data)[i];
}
static inline struct either either_of(const struct tensor *t)
{
    return either{t ? t->data : nullptr, t && t->dtype == DT_BF16};
}

struct either_out {
    void *data;
    int32_t bf16;
};
__device__ inline void store_either(struct either_out to, int64_t i, float x)
{
    if (to.bf16)
        ((struct bf16 *)to.data)[i] = to_bf16(x);
    else
        ((float *)to.data)[i] = x;
}

/* Runs the statements with T as the C++ type of `dtype`. */
#define BY_TYPE(dtype, ...)        \
    do {                           \
        if ((dtype) == DT_F32) {   \
            using T = float;       \
            __VA_ARGS__;           \
        } else {                   \
            using T = struct bf16; \
            __VA_ARGS__;           \
        }                          \
    } while (0)

/* Four neighbours at once where memory allows; beyond `count` they read as 0 and are not
 * written. */
template <class T> struct alignas(4 * sizeof(T)) four {
    T x[4];
};

template <class T> __device__ bool four_fits(const T *at, int64_t i, int64_t count)
{
    return i + 4 <= count && (uintptr_t)(at + i) % sizeof(four<T>) == 0;
}
template <class T> __device__ void load4(float to[4], const T *from, int64_t i, int64_t count)
{
    if (four_fits(from, i, count)) {
        four<T> all = *(const four<T> *)(const void *)(from + i);
        for (int k = 0; k < 4; k++)
            to[k] = to_float(all.x[k]);
    } else {
        for (int k = 0; k < 4; k++)
            to[k] = i + k < count ? to_float(from[i + k]) : 0.0f;
    }
}
template <class T> __device__ void store4(T *to, int64_t i, int64_t count, const float from[4])
{
    if (four_fits(to, i, count)) {
        four<T> all;
        for (int k = 0; k < 4; k++)
            put(&all.x[k], from[k]);
        *(four<T> *)(void *)(to + i) = all;
    } else {
        for (int k = 0; k < 4; k++)
            if (i + k < count)
                put(&to[i + k], from[k]);
    }
}
__device__ inline void add4(float *to, int64_t i, int64_t count, const float more[4])
{
    float sum[4];
    load4(sum, to, i, count);
    for (int k = 0; k < 4; k++)
        sum[k] += more[k];
    store4(to, i, count, sum);
}
/* First of the four elements of this thread; blocks for them all. */
__device__ inline int64_t four_index()
{
    return ((int64_t)blockIdx.x * blockDim.x + threadIdx.x) * 4;
}
static inline unsigned four_blocks(int64_t count)
{
    return (unsigned)((count + 4 * BLOCK - 1) / (4 * BLOCK));
}
static inline unsigned blocks_of(int64_t count, int64_t each)
{
    return (unsigned)((count + each - 1) / each);
}

/* ---- sums over a block of BLOCK threads, in a fixed order; every thread gets the result ---- */
__device__ inline float warp_sum(float x)
{
    for (int step = WARP / 2; step > 0; step /= 2)
        x += __shfl_xor_sync(0xffffffffu, x, step);
    return x;
}
__device__ inline float warp_max(float x)
{
    for (int step = WARP / 2; step > 0; step /= 2)
        x = fmaxf(x, __shfl_xor_sync(0xffffffffu, x, step));
    return x;
}
template <bool MAX> __device__ float block_reduce(float x)
{
    __shared__ float part[BLOCK / WARP];
    x = MAX ? warp_max(x) : warp_sum(x);
    __syncthreads(); /* part may still be read from the call before */
    if (threadIdx.x % WARP == 0)
        part[threadIdx.x / WARP] = x;
    __syncthreads();
    x = part[0];
    for (int k = 1; k < BLOCK / WARP; k++)
        x = MAX ? fmaxf(x, part[k]) : x + part[k];
    return x;
}
__device__ inline float block_sum(float x) { return block_reduce<false>(x); }
__device__ inline float block_max(float x) { return block_reduce<true>(x); }

/* ---- shared by several ops: cuda_shared.cu ---- */
/* Rows are cut by their number alone into at most CUDA_PARTS_MAX chunks, each summed into its
 * own part. */
enum { CUDA_PARTS_MAX = 256 };
static inline int64_t part_rows(int64_t rows)
{
    int64_t each = (rows + CUDA_PARTS_MAX - 1) / CUDA_PARTS_MAX;
    return each < 8 ? 8 : each;
}
extern "C" {
/* to[C] += part[0..parts)[C], in order. */
int CUDA_NAME(parts_add)(struct stream *s, float *to, const float *part, int64_t parts, int64_t C);
/* to[i] = from[i], between float and bf16. */
int CUDA_NAME(convert)(struct stream *s, void *to, int to_type, const void *from, int from_type,
                       int64_t count);
}
#endif

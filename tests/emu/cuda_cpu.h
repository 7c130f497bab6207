/* cuda_cpu - plain CUDA C++ kernels as CPU code: the threads of a block are fibers, blocks run
 * in turn.
 *
 * Included before a .cu file, this gives CUDA's words to g++. A fiber runs until it reaches a
 * barrier, then the next one runs; a warp's shuffles are barriers of 32 fibers with a word to
 * exchange. What a GPU would hang on (threads of a block at different barriers for ever) ends
 * the program with a message; shared memory starts as NaN in every block, grids and shared
 * memory over a GPU's limits are refused as by a launch. Not here: textures, atomics, streams,
 * tensor cores. One OS thread at a time. */
#ifndef SLUICE_TESTS_EMU_CUDA_CPU_H
#define SLUICE_TESTS_EMU_CUDA_CPU_H
#define CUDA_EMULATION 1
#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>

struct dim3 {
    unsigned x, y, z;
    dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
};

namespace emu {
extern dim3 thread, block, block_size, grid_size; /* of the fiber that runs */
void *dynamic_shared();
void block_barrier();
void warp_barrier();
uint32_t warp_exchange(uint32_t mine, unsigned from_lane);
uint32_t warp_ballot(bool mine);
/* How threads take turns: a missing barrier shows as other bits of one order than of another.
 * TOGETHER: all warps go from barrier to barrier. FIRST_AHEAD, LAST_AHEAD: each warp runs as far
 * ahead of the others as barriers let it, from the first to the last or the other way round. */
enum order { TOGETHER, FIRST_AHEAD, LAST_AHEAD };
extern enum order order;
/* NULL, or why a GPU would not have launched it. */
const char *run(dim3 grid, dim3 block, size_t shared_bytes, const std::function<void()> &body);
template <class KERNEL, class... ARGS>
const char *launch(KERNEL kernel, dim3 grid, dim3 size, size_t shared_bytes, ARGS... args)
{
    return run(grid, size, shared_bytes, [&] { kernel(args...); });
}
} // namespace emu
/* Sets emu::order: for tests in C. */
extern "C" void emu_order(int order);

#define __global__ static
#define __device__ static
#define __shared__ static __attribute__((section("emu_shared")))
#define threadIdx emu::thread
#define blockIdx emu::block
#define blockDim emu::block_size
#define gridDim emu::grid_size
#define __syncthreads() emu::block_barrier()
#define __syncwarp() emu::warp_barrier()
#define __popc(x) __builtin_popcount(x)
#define __ballot_sync(mask, flag) emu::warp_ballot(flag)
#define DYNAMIC_SHARED(type, name) type *name = (type *)emu::dynamic_shared()
#define LAUNCH(kernel, grid, block, shared, s, ...)                                      \
    do {                                                                                 \
        UNUSED(s);                                                                       \
        const char *launch_why_ = emu::launch(kernel, grid, block, shared, __VA_ARGS__); \
        if (launch_why_)                                                                 \
            return cuda_failed(#kernel, launch_why_);                                    \
    } while (0)

static inline float __uint_as_float(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}
static inline uint32_t __float_as_uint(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}
static inline float __shfl_xor_sync(uint32_t mask, float x, int lanes)
{
    (void)mask;
    return __uint_as_float(
        emu::warp_exchange(__float_as_uint(x), threadIdx.x % 32 ^ (unsigned)lanes));
}
#endif

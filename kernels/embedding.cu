/* embedding - rows of a table picked by ids on CUDA; contract in embedding.c.
 *
 * Backward without atomics: a block owns IDS rows of the table and BLOCK of their columns. It
 * reads all ids in order, lists those that are its own, and adds their rows into sums in shared
 * memory: every row of the table is summed by one thread a column in the order of n. Reading V /
 * IDS times N ids costs 0.1 G comparisons at V = 50 K, N = 64 K: less than sorting them. */
#include "kernels/cuda.h"

enum { IDS = 32 };

template <class T>
__global__ void embedding_forward(T *y, struct either table, const int32_t *ids, int64_t V,
                                  int64_t C)
{
    int64_t row = blockIdx.x, id = ids[row];
    bool inside = id >= 0 && id < V;
    for (int64_t i = threadIdx.x; i < C; i += blockDim.x)
        put(&y[row * C + i],
            inside ? load_either(table, id * C + i) : __uint_as_float(0x7fc00000u));
}

/* Puts the numbers of this round's own rows into list, in order; returns how many. */
__device__ inline int list_own(int32_t *list, int32_t *ahead, bool own, int32_t number)
{
    int warp = threadIdx.x / WARP, lane = threadIdx.x % WARP;
    unsigned found = __ballot_sync(0xffffffffu, own);
    if (lane == 0)
        ahead[warp] = __popc(found);
    __syncthreads();
    int before = 0, all = 0;
    for (int k = 0; k < BLOCK / WARP; k++) {
        before += k < warp ? ahead[k] : 0;
        all += ahead[k];
    }
    if (own)
        list[before + __popc(found & ((1u << lane) - 1u))] = number;
    __syncthreads();
    return all;
}

__global__ void embedding_backward(float *dtable, const float *dy, const int32_t *ids, int64_t N,
                                   int64_t V, int64_t C)
{
    __shared__ float sum[IDS][BLOCK];
    __shared__ int32_t list[BLOCK], ahead[BLOCK / WARP];
    int64_t first = (int64_t)blockIdx.x * IDS, column = (int64_t)blockIdx.y * BLOCK + threadIdx.x;
    bool any_found = false;
    for (int k = 0; k < IDS; k++)
        sum[k][threadIdx.x] = 0;
    for (int64_t start = 0; start < N; start += BLOCK) {
        int64_t n = start + threadIdx.x;
        bool own = n < N && ids[n] >= first && ids[n] < first + IDS;
        int count = list_own(list, ahead, own, (int32_t)threadIdx.x);
        any_found |= count > 0;
        for (int k = 0; k < count && column < C; k++) {
            int64_t row = start + list[k];
            sum[ids[row] - first][threadIdx.x] += dy[row * C + column];
        }
    }
    for (int k = 0; any_found && k < IDS; k++)
        if (first + k < V && column < C)
            dtable[(first + k) * C + column] += sum[k][threadIdx.x];
}

extern "C" int CUDA_NAME(embedding_fwd)(struct stream *s, struct node *n)
{
    const struct tensor *table = n->in[0];
    BY_TYPE(n->out->dtype, LAUNCH(embedding_forward<T>, (unsigned)n->out->dim[0], BLOCK, 0, s,
                                  (T *)n->out->data, either_of(table),
                                  (const int32_t *)n->in[1]->data, table->dim[0], table->dim[1]));
    return 0;
}

extern "C" int CUDA_NAME(embedding_bwd)(struct stream *s, struct node *n)
{
    const struct tensor *table = n->in[0];
    if (!table->grad)
        return 0;
    dim3 grid(blocks_of(table->dim[0], IDS), blocks_of(table->dim[1], BLOCK));
    LAUNCH(embedding_backward, grid, BLOCK, 0, s, (float *)table->grad->data,
           (const float *)n->out->grad->data, (const int32_t *)n->in[1]->data, n->out->dim[0],
           table->dim[0], table->dim[1]);
    return 0;
}

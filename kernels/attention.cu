/* attention - causal attention on CUDA; contract in attention.c.
 *
 * Flash attention (arXiv:2205.14135, arXiv:2307.08691) in plain CUDA: a block of 16 x 16 threads
 * takes TILE queries of one head and walks over tiles of keys; scores never leave registers and
 * shared memory. Backward recomputes them twice, once for dq (a block owns queries) and once for
 * dk, dv (a block owns keys and loops over the heads that share them), so there are no atomics
 * and every sum has one order. Tiles shrink with D so that four of them fit the 99 KiB that
 * every GPU since sm_80 lets a block have. A thread holds rows ty + 16 i and columns tx + 16 j
 * of every product. */
#include "kernels/cuda.h"

struct attention_shape {
    int64_t T, S; /* queries and keys a row */
    int32_t H, G, D;
    float scale;
    const int32_t *doc_start; /* or NULL */
};

constexpr int SIDE = 16;

/* Keys [first, until) that query t of row b sees; none for t past the end. */
__device__ inline void keys_of(const struct attention_shape &z, int64_t b, int64_t t,
                               int64_t *first, int64_t *until)
{
    *first = *until = 0;
    if (t >= z.T)
        return;
    int64_t last = t + z.S - z.T, start = z.doc_start ? z.doc_start[b * z.T + t] : 0;
    *first = start < 0 ? 0 : start > last ? last : start;
    *until = last + 1;
}

/* Rows [row, row + TILE) of one head to shared memory, D + 1 floats each; 0 past `rows`. */
template <int TILE>
__device__ void tile_load(float *to, struct either from, int64_t at, int64_t stride, int64_t row,
                          int64_t rows, int D)
{
    for (int i = threadIdx.x; i < TILE * D; i += BLOCK) {
        int64_t line = row + i / D;
        to[i / D * (D + 1) + i % D] = line < rows ? load_either(from, at + line * stride + i % D)
                                                  : 0.0f;
    }
}

/* out[i][j] = a[ty + 16 i] . b[tx + 16 j] over D, both rows of D + 1. */
template <int R> __device__ void tile_dot(float out[R][R], const float *a, const float *b, int D)
{
    int tx = threadIdx.x % SIDE, ty = threadIdx.x / SIDE;
    for (int i = 0; i < R; i++)
        for (int j = 0; j < R; j++)
            out[i][j] = 0;
    for (int d = 0; d < D; d++) {
        float left[R], right[R];
        for (int i = 0; i < R; i++) {
            left[i] = a[(ty + SIDE * i) * (D + 1) + d];
            right[i] = b[(tx + SIDE * i) * (D + 1) + d];
        }
        for (int i = 0; i < R; i++)
            for (int j = 0; j < R; j++)
                out[i][j] += left[i] * right[j];
    }
}

/* sum[i][j] += the row or column ty + 16 i of p (TILE x TILE, rows of TILE + 1) times b (TILE
 * rows of D + 1). */
template <int TILE, int DJ, bool TURNED>
__device__ void tile_mix(float sum[TILE / SIDE][DJ], const float *p, const float *b, int D)
{
    int tx = threadIdx.x % SIDE, ty = threadIdx.x / SIDE;
    for (int k = 0; k < TILE; k++) {
        float left[TILE / SIDE];
        for (int i = 0; i < TILE / SIDE; i++)
            left[i] = TURNED ? p[k * (TILE + 1) + ty + SIDE * i]
                             : p[(ty + SIDE * i) * (TILE + 1) + k];
        for (int j = 0; j < DJ; j++) {
            float right = tx + SIDE * j < D ? b[k * (D + 1) + tx + SIDE * j] : 0.0f;
            for (int i = 0; i < TILE / SIDE; i++)
                sum[i][j] += left[i] * right;
        }
    }
}

template <int R> __device__ void tile_put(float *p, const float from[R][R])
{
    int tx = threadIdx.x % SIDE, ty = threadIdx.x / SIDE;
    for (int i = 0; i < R; i++)
        for (int j = 0; j < R; j++)
            p[(ty + SIDE * i) * (R * SIDE + 1) + tx + SIDE * j] = from[i][j];
}

/* Sums and maxima over the 16 threads that share a row: half a warp. */
__device__ inline float row_sum(float x)
{
    for (int step = SIDE / 2; step > 0; step /= 2)
        x += __shfl_xor_sync(0xffffffffu, x, step);
    return x;
}
__device__ inline float row_max(float x)
{
    for (int step = SIDE / 2; step > 0; step /= 2)
        x = fmaxf(x, __shfl_xor_sync(0xffffffffu, x, step));
    return x;
}

/* The visible range of the block's TILE queries, per query in shared memory and over all of
 * them. */
template <int TILE> struct ranges {
    int64_t first[TILE], until[TILE];
};
template <int TILE>
__device__ void ranges_make(struct ranges<TILE> *r, const struct attention_shape &z, int64_t b,
                            int64_t query, int64_t *from, int64_t *until)
{
    if (threadIdx.x < TILE)
        keys_of(z, b, query + threadIdx.x, &r->first[threadIdx.x], &r->until[threadIdx.x]);
    __syncthreads();
    *from = r->first[0];
    *until = r->until[0];
    for (int i = 1; i < TILE; i++) {
        if (r->until[i] == 0) /* past the last query */
            break;
        *from = r->first[i] < *from ? r->first[i] : *from;
        *until = r->until[i];
    }
}

/* Inputs of either type, all of one. */
struct attention_in {
    struct either q, k, v;
};

template <int TILE, int DJ>
__global__ void attention_forward(struct either_out y, float *lse, struct attention_in x,
                                  struct attention_shape z)
{
    constexpr int R = TILE / SIDE;
    DYNAMIC_SHARED(float, shared);
    __shared__ struct ranges<TILE> seen;
    int D = z.D, h = blockIdx.y % z.H, g = h / (z.H / z.G), tx = threadIdx.x % SIDE,
        ty = threadIdx.x / SIDE;
    int64_t b = blockIdx.y / z.H, query = (int64_t)blockIdx.x * TILE, C = (int64_t)z.H * D,
            KC = (int64_t)z.G * D, from, until;
    float *qs = shared, *ks = qs + TILE * (D + 1), *ps = ks + TILE * (D + 1);
    ranges_make<TILE>(&seen, z, b, query, &from, &until);
    tile_load<TILE>(qs, x.q, b * z.T * C + h * D, C, query, z.T, D);
    float sum[R][DJ] = {}, top[R], all[R] = {}, score[R][R];
    for (int i = 0; i < R; i++)
        top[i] = -INFINITY;
    for (int64_t key = from / TILE * TILE; key < until; key += TILE) {
        __syncthreads();
        tile_load<TILE>(ks, x.k, b * z.S * KC + g * D, KC, key, z.S, D);
        __syncthreads();
        tile_dot<R>(score, qs, ks, D);
        for (int i = 0; i < R; i++) {
            int row = ty + SIDE * i;
            float higher = top[i];
            for (int j = 0; j < R; j++) {
                int64_t at = key + tx + SIDE * j;
                score[i][j] = at >= seen.first[row] && at < seen.until[row] ? score[i][j] * z.scale
                                                                            : -INFINITY;
                higher = fmaxf(higher, score[i][j]);
            }
            higher = row_max(higher);
            float fade = higher == -INFINITY ? 1.0f : expf(top[i] - higher), added = 0;
            for (int j = 0; j < R; j++) {
                score[i][j] = higher == -INFINITY ? 0.0f : expf(score[i][j] - higher);
                added += score[i][j];
            }
            all[i] = all[i] * fade + row_sum(added);
            top[i] = higher;
            for (int j = 0; j < DJ; j++)
                sum[i][j] *= fade;
        }
        tile_put<R>(ps, score);
        __syncthreads();
        tile_load<TILE>(ks, x.v, b * z.S * KC + g * D, KC, key, z.S, D);
        __syncthreads();
        tile_mix<TILE, DJ, false>(sum, ps, ks, D);
    }
    for (int i = 0; i < R; i++) {
        int64_t t = query + ty + SIDE * i, row = b * z.T + t;
        if (t >= z.T)
            continue;
        if (tx == 0)
            lse[row * z.H + h] = top[i] + logf(all[i]);
        for (int j = 0; j < DJ; j++)
            if (tx + SIDE * j < D)
                store_either(y, row * C + h * D + tx + SIDE * j, sum[i][j] / all[i]);
    }
}

/* delta = dy . y, a warp a row and head. */
__global__ void attention_delta(float *delta, struct either y, const float *dy, int64_t count,
                                int D)
{
    int64_t at = (int64_t)blockIdx.x * (BLOCK / WARP) + threadIdx.x / WARP;
    float sum = 0;
    for (int d = threadIdx.x % WARP; at < count && d < D; d += WARP)
        sum += load_either(y, at * D + d) * dy[at * D + d];
    sum = warp_sum(sum);
    if (at < count && threadIdx.x % WARP == 0)
        delta[at] = sum;
}

/* What backward reads and writes; gradients may be NULL. */
struct attention_back {
    struct either q, k, v, dy;
    const float *lse, *delta;
    float *dq, *dk, *dv;
};

/* score becomes p, along = dy . v becomes the gradient of q . k; both 0 where nothing is seen. */
template <int TILE>
__device__ void scores_backward(float score[TILE / SIDE][TILE / SIDE],
                                float along[TILE / SIDE][TILE / SIDE],
                                const struct ranges<TILE> &seen, const struct attention_back &x,
                                const struct attention_shape &z, int64_t row, int h, int64_t key)
{
    int tx = threadIdx.x % SIDE, ty = threadIdx.x / SIDE;
    for (int i = 0; i < TILE / SIDE; i++) {
        int r = ty + SIDE * i;
        int64_t stat = (row + r) * z.H + h;
        bool there = seen.until[r] > 0;
        float lse = there ? x.lse[stat] : 0.0f, delta = there ? x.delta[stat] : 0.0f;
        for (int j = 0; j < TILE / SIDE; j++) {
            int64_t at = key + tx + SIDE * j;
            bool visible = at >= seen.first[r] && at < seen.until[r];
            score[i][j] = visible ? expf(score[i][j] * z.scale - lse) : 0.0f;
            along[i][j] = score[i][j] * (along[i][j] - delta) * z.scale;
        }
    }
}

template <int TILE, int DJ>
__global__ void attention_backward_q(struct attention_back x, struct attention_shape z)
{
    constexpr int R = TILE / SIDE;
    DYNAMIC_SHARED(float, shared);
    __shared__ struct ranges<TILE> seen;
    int D = z.D, h = blockIdx.y % z.H, g = h / (z.H / z.G), tx = threadIdx.x % SIDE,
        ty = threadIdx.x / SIDE;
    int64_t b = blockIdx.y / z.H, query = (int64_t)blockIdx.x * TILE, C = (int64_t)z.H * D,
            KC = (int64_t)z.G * D, from, until;
    float *qs = shared, *ds = qs + TILE * (D + 1), *ks = ds + TILE * (D + 1),
          *vs = ks + TILE * (D + 1);
    float *ps = vs + TILE * (D + 1), sum[R][DJ] = {}, score[R][R], along[R][R];
    ranges_make<TILE>(&seen, z, b, query, &from, &until);
    tile_load<TILE>(qs, x.q, b * z.T * C + h * D, C, query, z.T, D);
    tile_load<TILE>(ds, x.dy, b * z.T * C + h * D, C, query, z.T, D);
    for (int64_t key = from / TILE * TILE; key < until; key += TILE) {
        __syncthreads();
        tile_load<TILE>(ks, x.k, b * z.S * KC + g * D, KC, key, z.S, D);
        tile_load<TILE>(vs, x.v, b * z.S * KC + g * D, KC, key, z.S, D);
        __syncthreads();
        tile_dot<R>(score, qs, ks, D);
        tile_dot<R>(along, ds, vs, D);
        scores_backward<TILE>(score, along, seen, x, z, b * z.T + query, h, key);
        tile_put<R>(ps, along);
        __syncthreads();
        tile_mix<TILE, DJ, false>(sum, ps, ks, D);
    }
    for (int i = 0; i < R; i++)
        for (int j = 0; j < DJ; j++)
            if (query + ty + SIDE * i < z.T && tx + SIDE * j < D)
                x.dq[(b * z.T + query + ty + SIDE * i) * C + h * D + tx + SIDE * j] += sum[i][j];
}

template <int TILE, int DJ>
__global__ void attention_backward_kv(struct attention_back x, struct attention_shape z)
{
    constexpr int R = TILE / SIDE;
    DYNAMIC_SHARED(float, shared);
    __shared__ struct ranges<TILE> seen;
    int D = z.D, g = blockIdx.y % z.G, heads = z.H / z.G, tx = threadIdx.x % SIDE,
        ty = threadIdx.x / SIDE;
    int64_t b = blockIdx.y / z.G, key = (int64_t)blockIdx.x * TILE, C = (int64_t)z.H * D,
            KC = (int64_t)z.G * D, from, until;
    float *ks = shared, *vs = ks + TILE * (D + 1), *qs = vs + TILE * (D + 1),
          *ds = qs + TILE * (D + 1);
    float *ps = ds + TILE * (D + 1), *gs = ps + TILE * (TILE + 1);
    float dk[R][DJ] = {}, dv[R][DJ] = {}, score[R][R], along[R][R];
    tile_load<TILE>(ks, x.k, b * z.S * KC + g * D, KC, key, z.S, D);
    tile_load<TILE>(vs, x.v, b * z.S * KC + g * D, KC, key, z.S, D);
    int64_t earliest = key - (z.S - z.T) > 0 ? key - (z.S - z.T)
                                             : 0; /* the first query that sees this tile */
    for (int h = g * heads; h < (g + 1) * heads; h++) {
        for (int64_t query = earliest / TILE * TILE; query < z.T; query += TILE) {
            __syncthreads();
            ranges_make<TILE>(&seen, z, b, query, &from, &until);
            if (from >= key + TILE ||
                until <= key) /* other documents: the same for the whole block */
                continue;
            tile_load<TILE>(qs, x.q, b * z.T * C + h * D, C, query, z.T, D);
            tile_load<TILE>(ds, x.dy, b * z.T * C + h * D, C, query, z.T, D);
            __syncthreads();
            tile_dot<R>(score, qs, ks, D);
            tile_dot<R>(along, ds, vs, D);
            scores_backward<TILE>(score, along, seen, x, z, b * z.T + query, h, key);
            tile_put<R>(ps, score);
            tile_put<R>(gs, along);
            __syncthreads();
            tile_mix<TILE, DJ, true>(dv, ps, ds, D);
            tile_mix<TILE, DJ, true>(dk, gs, qs, D);
        }
    }
    for (int i = 0; i < R; i++) {
        for (int j = 0; j < DJ; j++) {
            int64_t at = (b * z.S + key + ty + SIDE * i) * KC + g * D + tx + SIDE * j;
            bool inside = key + ty + SIDE * i < z.S && tx + SIDE * j < D;
            if (inside && x.dk)
                x.dk[at] += dk[i][j];
            if (inside && x.dv)
                x.dv[at] += dv[i][j];
        }
    }
}

static struct attention_shape shape_of(const struct node *n)
{
    int64_t T = n->i[0], D = n->i[1], B = tensor_rows(n->in[0]) / T;
    struct attention_shape z = {T,
                                tensor_rows(n->in[1]) / B,
                                (int32_t)(tensor_columns(n->in[0]) / D),
                                (int32_t)(tensor_columns(n->in[1]) / D),
                                (int32_t)D,
                                1.0f / sqrtf((float)D),
                                nullptr};
    if (n->in[3])
        z.doc_start = (const int32_t *)n->in[3]->data;
    return z;
}

/* Bytes of shared memory for so many tiles of rows and of scores. */
static size_t shared_bytes(int tile, int D, int rows, int scores)
{
    return (size_t)(tile * (rows * (D + 1) + scores * (tile + 1))) * sizeof(float);
}

static int refuse(const struct attention_shape &z, int64_t B)
{
    if (z.D > 256)
        return cuda_failed("attention",
                           "heads wider than 256 have no CUDA code: train with device = cpu");
    if (B * z.H > 65535)
        return cuda_failed("attention", "batch * heads is over 65535: use smaller micro-batches");
    return 0;
}

template <int TILE, int DJ>
static int forward_tiled(struct stream *s, struct node *n, const struct attention_shape &z)
{
    dim3 grid(blocks_of(z.T, TILE), (unsigned)(tensor_rows(n->in[0]) / z.T * z.H));
    struct attention_in x = {either_of(n->in[0]), either_of(n->in[1]), either_of(n->in[2])};
    struct either_out y = {n->out->data, n->out->dtype == DT_BF16};
    LAUNCH((attention_forward<TILE, DJ>), grid, BLOCK, shared_bytes(TILE, z.D, 2, 1), s, y,
           (float *)n->aux[0]->data, x, z);
    return 0;
}

template <int TILE, int DJ>
static int backward_tiled(struct stream *s, struct node *n, const struct attention_shape &z,
                          float *delta)
{
    unsigned B = (unsigned)(tensor_rows(n->in[0]) / z.T);
    float *grad[3];
    for (int k = 0; k < 3; k++)
        grad[k] = n->in[k]->grad ? (float *)n->in[k]->grad->data : nullptr;
    struct attention_back x = {either_of(n->in[0]),
                               either_of(n->in[1]),
                               either_of(n->in[2]),
                               either_of(n->out->grad),
                               (const float *)n->aux[0]->data,
                               delta,
                               grad[0],
                               grad[1],
                               grad[2]};
    int64_t count = tensor_rows(n->in[0]) * z.H;
    LAUNCH(attention_delta, blocks_of(count, BLOCK / WARP), BLOCK, 0, s, delta, either_of(n->out),
           (const float *)n->out->grad->data, count, z.D);
    dim3 by_query(blocks_of(z.T, TILE), B * (unsigned)z.H),
        by_key(blocks_of(z.S, TILE), B * (unsigned)z.G);
    if (x.dq)
        LAUNCH((attention_backward_q<TILE, DJ>), by_query, BLOCK, shared_bytes(TILE, z.D, 4, 1), s,
               x, z);
    if (x.dk || x.dv)
        LAUNCH((attention_backward_kv<TILE, DJ>), by_key, BLOCK, shared_bytes(TILE, z.D, 4, 2), s,
               x, z);
    return 0;
}

extern "C" int CUDA_NAME(attention_fwd)(struct stream *s, struct node *n)
{
    struct attention_shape z = shape_of(n);
    int rc = refuse(z, tensor_rows(n->in[0]) / z.T);
    if (rc < 0)
        return rc;
    if (z.D <= 64)
        return forward_tiled<64, 4>(s, n, z);
    return z.D <= 128 ? forward_tiled<32, 8>(s, n, z) : forward_tiled<16, 16>(s, n, z);
}

extern "C" int CUDA_NAME(attention_bwd)(struct stream *s, struct node *n)
{
    struct attention_shape z = shape_of(n);
    float *delta = (float *)stream_scratch(s,
                                           (size_t)(tensor_rows(n->in[0]) * z.H) * sizeof(float));
    if (!delta)
        return cuda_failed("attention", "no memory for its scratch");
    if (z.D <= 64)
        return backward_tiled<64, 4>(s, n, z, delta);
    return z.D <= 128 ? backward_tiled<32, 8>(s, n, z, delta)
                      : backward_tiled<16, 16>(s, n, z, delta);
}

/* matmul - a linear layer on CUDA; contract in matmul.c.
 *
 * Products come from cuBLASLt, or, where that is not installed and in the emulation, from the
 * kernel here: 64 x 64 of c a block, 4 x 4 a thread, 16 of k at a time through shared memory. As
 * on the CPU, when one side is bf16 the other (dy) is rounded to bf16 too. */
#include "kernels/cuda.h"
#include "kernels/gemm.h"
#ifndef CUDA_EMULATION
#include "kernels/cublas.h"
#endif

enum { TILE = 64, STEP = 16, EACH = 4 };

/* Element (row, k) of a is a[row * a_row + k * a_k]; so for b with its columns. */
struct product {
    int64_t m, n, k;
    struct either a, b, bias;
    int64_t a_row, a_k, b_column, b_k, ldc;
    float alpha, beta;
    bool narrow;
};

__device__ inline float load_side(struct either from, int64_t i, bool narrow)
{
    float x = load_either(from, i);
    return narrow ? to_float(to_bf16(x)) : x;
}

/* TILE lines x STEP of k to shared memory, neighbours in memory by neighbours in the warp. */
__device__ inline void tile_load(float (*to)[TILE + 1], const struct product &p, bool side_b,
                                 int64_t line, int64_t k)
{
    struct either from = side_b ? p.b : p.a;
    int64_t by_line = side_b ? p.b_column : p.a_row, by_k = side_b ? p.b_k : p.a_k,
            lines = side_b ? p.n : p.m;
    for (int i = threadIdx.x; i < TILE * STEP; i += BLOCK) {
        int at_line = by_k == 1 ? i / STEP : i % TILE, at_k = by_k == 1 ? i % STEP : i / TILE;
        bool inside = line + at_line < lines && k + at_k < p.k;
        to[at_k][at_line] = inside ? load_side(from, (line + at_line) * by_line + (k + at_k) * by_k,
                                               p.narrow)
                                   : 0.0f;
    }
}

template <class T> __global__ void product_kernel(T *c, struct product p)
{
    __shared__ float left[STEP][TILE + 1], right[STEP][TILE + 1];
    int64_t row = (int64_t)blockIdx.y * TILE, column = (int64_t)blockIdx.x * TILE;
    int tx = threadIdx.x % 16, ty = threadIdx.x / 16;
    float sum[EACH][EACH] = {};
    for (int64_t k = 0; k < p.k; k += STEP) {
        tile_load(left, p, false, row, k);
        tile_load(right, p, true, column, k);
        __syncthreads();
        for (int step = 0; step < STEP; step++)
            for (int i = 0; i < EACH; i++)
                for (int j = 0; j < EACH; j++)
                    sum[i][j] += left[step][ty + 16 * i] * right[step][tx + 16 * j];
        __syncthreads();
    }
    for (int i = 0; i < EACH; i++) {
        for (int j = 0; j < EACH; j++) {
            int64_t r = row + ty + 16 * i, q = column + tx + 16 * j;
            if (r >= p.m || q >= p.n)
                continue;
            float value = p.alpha * sum[i][j] + (p.bias.data ? load_either(p.bias, q) : 0.0f);
            if (p.beta != 0)
                value += p.beta * to_float(c[r * p.ldc + q]);
            put(&c[r * p.ldc + q], value);
        }
    }
}

static int own_gemm(struct stream *s, const struct gemm *g)
{
    struct product p = {};
    p.m = g->m, p.n = g->n, p.k = g->k, p.ldc = g->ldc;
    p.a = either{g->a, g->a_bf16}, p.b = either{g->b, g->b_bf16},
    p.bias = either{g->bias, g->bias_bf16};
    p.a_row = g->a_turned ? 1 : g->lda, p.a_k = g->a_turned ? g->lda : 1;
    p.b_column = g->b_turned ? g->ldb : 1, p.b_k = g->b_turned ? 1 : g->ldb;
    p.alpha = g->alpha, p.beta = g->beta, p.narrow = g->a_bf16 || g->b_bf16;
    dim3 grid(blocks_of(g->n, TILE), blocks_of(g->m, TILE));
    if (grid.y > 65535)
        return cuda_failed("matmul", "more than 4 M rows at once: use smaller batches");
    BY_TYPE(g->c_bf16 ? DT_BF16 : DT_F32,
            LAUNCH(product_kernel<T>, grid, BLOCK, 0, s, (T *)g->c, p));
    return 0;
}

#ifndef CUDA_EMULATION
/* cuBLASLt wants a and b of one type and bias of c's: what differs is converted in scratch. */
static int library_gemm(struct stream *s, struct gemm g)
{
    int64_t a_count = (g.a_turned ? g.k : g.m) * g.lda, b_count = (g.b_turned ? g.n : g.k) * g.ldb;
    bool turn_a = !g.a_bf16 && g.b_bf16, turn_b = g.a_bf16 && !g.b_bf16,
         turn_bias = g.bias && g.bias_bf16 != g.c_bf16;
    int64_t count = turn_a ? a_count : turn_b ? b_count : 0;
    size_t bias_at = ((size_t)count * 2 + 255) / 256 * 256;
    char *room = (char *)(count || turn_bias ? stream_scratch(s, bias_at + (size_t)g.n * 4)
                                             : nullptr);
    int rc = 0;
    if ((count || turn_bias) && !room)
        return cuda_failed("matmul", "no memory for its scratch");
    if (count) {
        rc = CUDA_NAME(convert)(s, room, DT_BF16, turn_a ? g.a : g.b, DT_F32, count);
        *(turn_a ? &g.a : &g.b) = room;
        g.a_bf16 = g.b_bf16 = true;
    }
    if (rc >= 0 && turn_bias) {
        rc = CUDA_NAME(convert)(s, room + bias_at, g.c_bf16 ? DT_BF16 : DT_F32, g.bias,
                                g.bias_bf16 ? DT_BF16 : DT_F32, g.n);
        g.bias = room + bias_at;
        g.bias_bf16 = g.c_bf16;
    }
    if (rc >= 0)
        rc = cublas_gemm(s, &g);
    return rc == 0 ? own_gemm(s, &g) : rc;
}
#endif

static int gemm_on(struct stream *s, const struct gemm *g)
{
#ifndef CUDA_EMULATION
    if (s->blas)
        return library_gemm(s, *g);
#endif
    return own_gemm(s, g);
}

__global__ void column_parts(float *part, const float *dy, int64_t N, int64_t M, int64_t rows)
{
    int64_t column = (int64_t)blockIdx.x * BLOCK + threadIdx.x, from = blockIdx.y * rows;
    int64_t until = from + rows < N ? from + rows : N;
    if (column >= M)
        return;
    float sum = 0;
    for (int64_t row = from; row < until; row++)
        sum += dy[row * M + column];
    part[blockIdx.y * M + column] = sum;
}

static int grad_bias(struct stream *s, const struct node *n)
{
    int64_t N = n->out->dim[0], M = n->out->dim[1], rows = part_rows(N),
            parts = (N + rows - 1) / rows;
    float *part = (float *)stream_scratch(s, (size_t)(parts * M) * sizeof(float));
    if (!part)
        return cuda_failed("matmul", "no memory for its scratch");
    dim3 grid(blocks_of(M, BLOCK), (unsigned)parts);
    LAUNCH(column_parts, grid, BLOCK, 0, s, part, (const float *)n->out->grad->data, N, M, rows);
    return CUDA_NAME(parts_add)(s, (float *)n->in[2]->grad->data, part, parts, M);
}

extern "C" int CUDA_NAME(matmul_fwd)(struct stream *s, struct node *n)
{
    const struct tensor *x = n->in[0], *w = n->in[1], *bias = n->in[2], *y = n->out;
    struct gemm g = {};
    g.m = y->dim[0], g.n = y->dim[1], g.k = w->dim[1];
    g.a = x->data, g.lda = g.k, g.a_bf16 = x->dtype == DT_BF16;
    g.b = w->data, g.ldb = g.k, g.b_bf16 = w->dtype == DT_BF16, g.b_turned = true;
    g.c = y->data, g.ldc = g.n, g.c_bf16 = y->dtype == DT_BF16;
    g.alpha = 1;
    if (bias)
        g.bias = bias->data, g.bias_bf16 = bias->dtype == DT_BF16;
    return gemm_on(s, &g);
}

extern "C" int CUDA_NAME(matmul_bwd)(struct stream *s, struct node *n)
{
    const struct tensor *x = n->in[0], *w = n->in[1], *dy = n->out->grad;
    int64_t N = dy->dim[0], M = dy->dim[1], K = w->dim[1];
    struct gemm g = {};
    g.a = dy->data, g.lda = M, g.alpha = g.beta = 1, g.n = K, g.ldb = K, g.ldc = K;
    int rc = 0;
    if (x->grad) {
        struct gemm dx = g;
        dx.m = N, dx.k = M, dx.b = w->data, dx.b_bf16 = w->dtype == DT_BF16, dx.c = x->grad->data;
        rc = gemm_on(s, &dx);
    }
    if (rc >= 0 && w->grad) {
        struct gemm dw = g;
        dw.m = M, dw.k = N, dw.a_turned = true, dw.b = x->data, dw.b_bf16 = x->dtype == DT_BF16,
        dw.c = w->grad->data;
        rc = gemm_on(s, &dw);
    }
    if (rc >= 0 && n->in[2] && n->in[2]->grad)
        rc = grad_bias(s, n);
    return rc;
}

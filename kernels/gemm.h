/* gemm - matrix products on the CPU, cut into tiles by shape: same bits for any thread count. */
#ifndef SLUICE_KERNELS_GEMM_H
#define SLUICE_KERNELS_GEMM_H
#include "kernels/device.h"

/* c = alpha op(a) op(b) + beta c + bias, row-major; op(a) is m x k, op(b) k x n. When a or b is
 * bf16 the other is rounded to bf16 too; sums are always float. Overlapping c with a or b is not
 * allowed. */
struct gemm {
    int64_t m, n, k;
    const void *a, *b;
    int64_t lda, ldb;
    bool a_turned, b_turned;     /* stored as k x m, n x k */
    bool a_bf16, b_bf16, c_bf16; /* else float; a bf16 c must have beta 0 */
    void *c;
    int64_t ldc;
    float alpha, beta; /* with beta 0, c is not read */
    const void *bias;  /* n elements or NULL */
    bool bias_bf16;
};
/* On the stream's threads; uses the stream's scratch. */
int gemm_run(struct stream *s, const struct gemm *g);
/* On the calling thread alone, float c, no bias: for ops that are parallel themselves. `scratch`
 * has gemm_scratch_bytes() of memory, 64-byte aligned. */
void gemm_small(const struct gemm *g, void *scratch);
size_t gemm_scratch_bytes(void);

/* ---- between gemm.c and gemm_kernel.c ---- */
enum { GEMM_ROWS = 8, GEMM_COLUMNS = 32 };
/* One GEMM_ROWS x GEMM_COLUMNS block of c. a and b hold 32-bit elements: floats, or pairs of
 * bf16 that are neighbours in k. Element (row, step) of a is a[row * a_row + step * a_step]; b
 * is packed, GEMM_COLUMNS a step. */
struct gemm_block {
    int64_t steps;
    const void *a;
    int64_t a_row, a_step;
    const void *b;
    float *c;
    int64_t ldc;
    float alpha, beta;
};
struct gemm_kernels {
    const char *name;
    void (*floats)(const struct gemm_block *x);
    void (*pairs)(const struct gemm_block *x);
};
/* The best for this CPU; `pairs` is NULL where it has no bf16 dot product. */
const struct gemm_kernels *gemm_kernels(void);
/* Best first, ended by name NULL; for tests: usable says which of them this CPU runs. */
extern const struct gemm_kernels gemm_kernels_all[];
bool gemm_kernels_usable(const struct gemm_kernels *k);
#endif

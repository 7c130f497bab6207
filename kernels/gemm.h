/* gemm - matrix products on the CPU, cut into tiles by shape so that any number of threads gives the same bits. */
#ifndef SLUICE_KERNELS_GEMM_H
#define SLUICE_KERNELS_GEMM_H
#include "kernels/device.h"

/* c = alpha op(a) op(b) + beta c + bias, row-major; op(a) is m x k, op(b) k x n. */
struct gemm {
    int64_t m, n, k;
    const void *a, *b;
    int64_t lda, ldb;
    bool a_turned, b_turned;        /* stored as k x m, n x k */
    bool a_bf16, b_bf16, c_bf16;    /* else float; a bf16 c must have beta 0 */
    void *c;
    int64_t ldc;
    float alpha, beta;
    const void *bias;               /* n elements or NULL */
    bool bias_bf16;
};
/* On the stream's threads; uses the stream's scratch. */
int gemm_run(struct stream *s, const struct gemm *g);
/* On the calling thread alone, floats only, no bias: for ops that are parallel themselves. `scratch` has
 * gemm_scratch_bytes() of memory, 64-byte aligned. */
void gemm_small(const struct gemm *g, void *scratch);
size_t gemm_scratch_bytes(void);
#endif

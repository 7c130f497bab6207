/* cublas - matrix products from cuBLASLt, opened with dlopen once a GPU is there: no program
 * links it. */
#ifndef SLUICE_KERNELS_CUBLAS_H
#define SLUICE_KERNELS_CUBLAS_H
#include "kernels/gemm.h"
#ifdef __cplusplus
extern "C" {
#endif

/* Opens the library for a stream: s->blas is set, or stays NULL when the library is not here
 * (matmul then runs its own kernel). An error only when the library is here and fails. */
int cublas_open(struct stream *s);
void cublas_close(struct stream *s);
/* "cuBLASLt 13.1.0", or why it is not used. Valid for the life of the program. */
const char *cublas_describe(void);
/* g on device memory; a and b must be of one type, bias of the type of c. Plans are kept by
 * shape. Returns 1, or 0 when cuBLASLt has nothing for this shape (odd strides of bf16, say). */
int cublas_gemm(struct stream *s, const struct gemm *g);

#ifdef __cplusplus
}
#endif
#endif

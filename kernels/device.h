/* device - what ops need of their device: tasks on threads, scratch memory, CUDA entry points. */
#ifndef SLUICE_KERNELS_DEVICE_H
#define SLUICE_KERNELS_DEVICE_H
#include "kernels/tensor.h"
#ifdef __cplusplus
extern "C" {
#endif

#ifndef HAVE_CUDA
#define HAVE_CUDA 0
#endif

enum { STREAM_THREADS_MAX = 256 };
struct workers;
/* Owned by whoever called device_open; one caller at a time. */
struct stream {
    enum device device;
    struct workers *workers; /* CPU: the threads */
    void *cuda;              /* CUDA: the cudaStream_t */
    void *blas;              /* CUDA: struct cublas of cublas.cu, NULL without cuBLASLt */
    void *scratch;
    size_t scratch_bytes;
    struct {
        float *table;
        int64_t positions;
        int32_t D;
        float theta;
    } rope;
};

/* ---- CPU ---- */
int stream_threads(const struct stream *s); /* 1 on CUDA */
/* Calls fn(arg, index, thread) once for each index in [0, count), on the stream's threads; the
 * caller's is thread 0. Which thread gets which index is not defined, so results may depend on
 * index only: cut work into tasks by shape, never by the number of threads. Not reentrant. */
void stream_each(struct stream *s, int64_t count, void (*fn)(void *arg, int64_t index, int thread),
                 void *arg);

/* ---- both ---- */
/* Device memory of at least `bytes`, 256-byte aligned, good until the next call on this stream.
 * NULL and ERR_LIMIT (ERR_GPU) when there is none. Ops queued on one CUDA stream may reuse it
 * one after another. */
void *stream_scratch(struct stream *s, size_t bytes);
/* (positions, D/2, 2) floats: cos and sin of position * theta^(-2j/D), computed in double on the
 * host; at least the positions asked for, kept until the stream closes or asks for more. NULL on
 * error. */
const float *stream_rope(struct stream *s, int64_t positions, int32_t D, float theta);

int cpu_open(struct stream *s, int threads); /* device_cpu.c */
void cpu_close(struct stream *s);

/* ---- CUDA: device_cuda.cu, or device_nocuda.c in CUDA=0 builds ---- */
int cuda_open(struct stream *s);
void cuda_close(struct stream *s);
int cuda_alloc(struct stream *s, size_t bytes, void **out);
void cuda_free(struct stream *s, void *ptr);
int cuda_host_alloc(struct stream *s, size_t bytes, void **out);
void cuda_host_free(struct stream *s, void *ptr);
int cuda_upload(struct stream *s, void *to, const void *from_host, size_t bytes);
int cuda_download(struct stream *s, void *to_host, const void *from, size_t bytes);
int cuda_zero(struct stream *s, void *to, size_t bytes);
int cuda_wait(struct stream *s);
/* "cuBLASLt 13.1.0", or why matmul runs its own kernel; known once a CUDA stream was opened. */
const char *cuda_libraries(void);
/* ERR_GPU with "cuda: what: why". For .cu files, which do not see core/err.h. */
int cuda_failed(const char *what, const char *why);

/* Entry points of the .cu files. A build without CUDA has NULL in their place, and tape_apply
 * refuses. */
#if HAVE_CUDA
#define CUDA_ENTRY(name) name##_cuda
#define OP(name, args)                                     \
    int name##_fwd_cuda(struct stream *s, struct node *n); \
    int name##_bwd_cuda(struct stream *s, struct node *n);
#include "kernels/ops.def"
#undef OP
int adamw_cuda(struct stream *s, const struct adamw *conf, struct tensor *w, float *master,
               float *m, float *v);
int grad_norm_cuda(struct stream *s, const struct tensor *grad, double *sum);
#else
#define CUDA_ENTRY(name) NULL
#endif

/* ---- for shape rules ---- */
/* Error that names the op and what is wrong with which input. */
int op_refuse(const struct node *n, const char *fmt, ...) PRINTF_LIKE(2, 3);
bool node_needs_grad(const struct node *n); /* any input has a gradient */
static inline bool tensor_is_float(const struct tensor *t)
{
    return t->dtype == DT_F32 || t->dtype == DT_BF16;
}
/* Product of all dims but the last: the rows of an (N, C) view; and the last dim. */
static inline int64_t tensor_columns(const struct tensor *t) { return t->dim[t->rank - 1]; }
static inline int64_t tensor_rows(const struct tensor *t)
{
    int64_t columns = tensor_columns(t);
    return columns ? tensor_count(t) / columns : 0;
}
/* Rows per task so that a task has about 16 K elements: by shape only. */
static inline int64_t rows_per_task(int64_t C)
{
    int64_t rows = 16384 / (C > 0 ? C : 1);
    return rows > 0 ? rows : 1;
}
static inline int64_t count_tasks(int64_t count, int64_t per_task)
{
    return (count + per_task - 1) / per_task;
}

#ifdef __cplusplus
}
#endif
#endif

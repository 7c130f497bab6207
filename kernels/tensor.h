/* tensor - dense row-major tensors, the ops over them, and the tape that differentiates them. */
#ifndef SLUICE_KERNELS_TENSOR_H
#define SLUICE_KERNELS_TENSOR_H
#include "core/base.h"
#ifdef __cplusplus
extern "C" {
#endif

enum dtype { DT_F32, DT_BF16, DT_I32, DT_U8 };
enum device { DEV_CPU, DEV_CUDA, DEV_COUNT };
enum { DIM_MAX = 4, OP_IN_MAX = 6, OP_AUX_MAX = 2, OP_F_MAX = 4, OP_I_MAX = 6 };

/* A tensor never owns data; arenas of its device do (params: the model; activations: the tape). */
struct tensor {
    void *data;
    struct tensor *grad; /* F32, same shape; NULL: no gradient wanted. bwd adds into it */
    const char *name;
    int64_t dim[DIM_MAX]; /* dim[rank..] = 1 */
    uint8_t rank, dtype, device;
};
static inline int64_t tensor_count(const struct tensor *t)
{
    return t->dim[0] * t->dim[1] * t->dim[2] * t->dim[3];
}
static inline size_t dtype_bytes(int dtype)
{
    return dtype == DT_F32 || dtype == DT_I32 ? 4 : dtype == DT_BF16 ? 2 : 1;
}

/* ---- devices ---- */
/* Where work runs: on the CPU a pool of threads, on CUDA a CUDA stream and cuBLASLt. One caller at
 * a time. On the CPU results do not depend on the number of threads (0: one per online core); a GPU
 * gives the same bits each time. */
struct stream;
int device_open(struct stream **out, enum device dev, int threads);
void device_close(struct stream *s);
enum device stream_device(const struct stream *s);
/* False when any CUDA call fails, and in CUDA=0 builds; never prints. */
bool cuda_available(void);
const char *cuda_describe(void); /* "H100 80GB, sm_90, 132 SMs" or why not */

/* Device memory: bump allocation over one block. On the CPU mmap, on CUDA cudaMalloc. */
struct dev_arena { struct stream *stream; unsigned char *base; size_t size, used, peak; };
int dev_arena_open(struct dev_arena *a, struct stream *s, size_t size);
/* 256-byte aligned, not zeroed; NULL and ERR_LIMIT when full. */
void *dev_push(struct dev_arena *a, size_t bytes);
void dev_arena_close(struct dev_arena *a);
/* The host's bytes may be changed once dev_upload returns; dev_download waits for the stream. */
int dev_upload(struct stream *s, void *to, const void *from_host, size_t bytes);
int dev_download(struct stream *s, void *to_host, const void *from, size_t bytes);
int dev_zero(struct stream *s, void *to, size_t bytes);
/* Zeroed host memory to upload from. With CUDA it is pinned: a copy from it runs beside the host,
 * which must leave the bytes alone until the stream was waited for (dev_sync, dev_download). */
int dev_host_alloc(struct stream *s, size_t bytes, void **out);
void dev_host_free(struct stream *s, void *host, size_t bytes); /* NULL is fine */
int dev_sync(struct stream *s);

/* ---- ops ---- */
struct node {
    const struct op *op;
    struct tensor *in[OP_IN_MAX], *out, *aux[OP_AUX_MAX]; /* aux: kept for the backward pass */
    float f[OP_F_MAX];                                    /* attributes, meaning by op */
    int32_t i[OP_I_MAX];
};
/* One case of an op's tests: input shapes (rank = leading non-zero dims, none: no input),
 * attributes, tolerance of the output relative to a twin in double. `fill` chooses how inputs are
 * made: 0 normal(0,1); k > 0 integers in [0, k); k < 0 document starts in rows of -k. */
struct op_case {
    int64_t in[OP_IN_MAX][DIM_MAX];
    int32_t fill[OP_IN_MAX];
    float f[OP_F_MAX];
    int32_t i[OP_I_MAX];
    float tol;
};
struct tape;
struct op {
    const char *name, *math, *source; /* "y = x / rms(x) * w", "arXiv:1910.07467" */
    /* Checks in[], makes out and aux from the tape's arena. */
    int (*shape)(struct tape *t, struct node *n);
    int (*fwd[DEV_COUNT])(struct stream *s, struct node *n);
    /* in[k]->grad += ...; NULL grads skipped */
    int (*bwd[DEV_COUNT])(struct stream *s, struct node *n);
    double (*flops)(const struct node *n); /* forward; backward is counted twice that */
    const struct op_case *cases;
    int case_count;
};

/* ---- the tape ---- */
enum { TAPE_NODES_MAX = 8192, TAPE_TENSORS_MAX = 65536 };
struct tape {
    struct dev_arena *arena; /* activations and their gradients; reset per step */
    struct stream *stream;
    struct node *node; /* without train only the last node is kept */
    int node_count;
    struct tensor *tensor; /* what tape_tensor hands out, good until tape_reset */
    int tensor_count;
    bool train;      /* false: no gradients, nothing kept for backward */
    uint8_t compute; /* DT_F32 or DT_BF16: type of activations */
};
int tape_open(struct tape *t, struct dev_arena *arena, bool train, enum dtype compute);
void tape_reset(struct tape *t); /* forgets nodes and tensors, resets the arena */
void tape_close(struct tape *t);
/* Makes a tensor in the tape's arena; with_grad (and t->train) gives it a zeroed F32 gradient. NULL
 * when full. */
struct tensor *tape_tensor(struct tape *t, enum dtype dtype, int rank, const int64_t *dim,
                           bool with_grad);
/* count numbers of the host as a tensor without gradient. On the CPU it is the host's memory
 * itself, which must stay until tape_reset; on CUDA a copy is queued from it (dev_host_alloc). */
struct tensor *tape_input(struct tape *t, enum dtype dtype, int64_t count, const void *host);
/* Records and runs one op; f and i are arrays of OP_F_MAX and OP_I_MAX, or NULL. NULL on error
 * (text in err). */
struct tensor *tape_apply(struct tape *t, const struct op *op, struct tensor *const *in,
                          int in_count, const float *f, const int32_t *i);
/* The node of the last tape_apply: for its aux. NULL on an empty tape. */
static inline struct node *tape_last(const struct tape *t)
{
    return t->node_count ? &t->node[t->node_count - 1] : NULL;
}
/* Seeds loss->grad (one F32) with `seed` and walks back. */
int tape_backward(struct tape *t, struct tensor *loss, float seed);

#define OP(name, args)               \
    extern const struct op op_##name; \
    struct tensor *name##_op args;
#include "kernels/ops.def"
#undef OP
extern const struct op *const ops[]; /* NULL-ended */

/* ---- what is not differentiated ---- */
/* AdamW on one parameter (arXiv:1711.05101), the gradient being w->grad times grad_scale; master, m
 * and v F32; w gets the rounded copy (w->data may be master itself). */
struct adamw {
    float lr, beta1, beta2, eps, weight_decay, grad_scale;
    int64_t step; /* from 1 */
};
int adamw_step(struct stream *s, const struct adamw *conf, struct tensor *w, float *master,
               float *m, float *v);
/* Sum of squares of an F32 tensor in double, in a fixed order (any thread count, same bits). Adds
 * to *sum, on the host: waits for the stream. */
int grad_norm2(struct stream *s, const struct tensor *grad, double *sum);

#ifdef __cplusplus
}
#endif
#endif

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
    struct tensor *grad;             /* F32, same shape; NULL: no gradient wanted. bwd adds into it */
    const char *name;
    int64_t dim[DIM_MAX];            /* dim[rank..] = 1 */
    uint8_t rank, dtype, device;
};
static inline int64_t tensor_count(const struct tensor *t) { return t->dim[0] * t->dim[1] * t->dim[2] * t->dim[3]; }
static inline size_t dtype_bytes(int dtype) { return dtype == DT_F32 || dtype == DT_I32 ? 4 : dtype == DT_BF16 ? 2 : 1; }

/* Where work runs: on the CPU a thread pool; on CUDA a stream and cuBLASLt handle. Made by device_open. */
struct stream;
int device_open(struct stream **out, enum device dev, int threads);
void device_close(struct stream *s);
enum device stream_device(const struct stream *s);
bool cuda_available(void);           /* false when any CUDA call fails; never prints; false in CUDA=0 builds */
const char *cuda_describe(void);     /* "H100 80GB, sm_90, 132 SMs" or why not */
/* Device memory: bump allocation over one block. On the CPU mmap, on CUDA cudaMalloc. */
struct dev_arena { struct stream *stream; unsigned char *base; size_t size, used, peak; };
int dev_arena_open(struct dev_arena *a, struct stream *s, size_t size);
void *dev_push(struct dev_arena *a, size_t bytes);        /* 256-byte aligned; NULL and ERR_LIMIT when full */
void dev_arena_close(struct dev_arena *a);
int dev_upload(struct stream *s, void *to, const void *from_host, size_t bytes);
int dev_download(struct stream *s, void *to_host, const void *from, size_t bytes);   /* waits */
int dev_zero(struct stream *s, void *to, size_t bytes);
int dev_sync(struct stream *s);

struct node {
    const struct op *op;
    struct tensor *in[OP_IN_MAX], *out, *aux[OP_AUX_MAX];  /* aux: kept for the backward pass */
    float f[OP_F_MAX]; int32_t i[OP_I_MAX];                 /* attributes, meaning by op */
};
/* One case of an op's tests: input shapes (rank = trailing non-zero dims), attributes, tolerance. `fill` chooses how
 * inputs are made: 0 normal(0,1); k > 0 integers in [0, k); k < 0 doc_start-like. */
struct op_case { int64_t in[OP_IN_MAX][DIM_MAX]; int32_t fill[OP_IN_MAX]; float f[OP_F_MAX]; int32_t i[OP_I_MAX]; float tol; };
struct tape;
struct op {
    const char *name, *math, *source;                       /* "y = x / rms(x) * w", "arXiv:1910.07467" */
    int (*shape)(struct tape *t, struct node *n);           /* checks in[], makes out and aux from the tape's arena */
    int (*fwd[DEV_COUNT])(struct stream *s, struct node *n);
    int (*bwd[DEV_COUNT])(struct stream *s, struct node *n);/* in[k]->grad += ...; NULL grads skipped */
    double (*flops)(const struct node *n);                   /* forward; backward is counted twice that */
    const struct op_case *cases; int case_count;
};
enum { TAPE_NODES_MAX = 8192, TAPE_TENSORS_MAX = 65536 };
struct tape {
    struct dev_arena *arena;                                 /* activations and their gradients; reset per step */
    struct stream *stream;
    struct node *node; int node_count;                       /* without train only the last node is kept */
    struct tensor *tensor; int tensor_count;                 /* what tape_tensor hands out */
    bool train;                                              /* false: no gradients, nothing kept for backward */
    uint8_t compute;                                         /* DT_F32 or DT_BF16: type of activations */
};
int tape_open(struct tape *t, struct dev_arena *arena, bool train, enum dtype compute);
void tape_reset(struct tape *t);                             /* forgets nodes, resets the arena */
void tape_close(struct tape *t);
/* Makes a tensor in the tape's arena; with_grad (and t->train) gives it a zeroed F32 gradient. NULL when full. */
struct tensor *tape_tensor(struct tape *t, enum dtype dtype, int rank, const int64_t *dim, bool with_grad);
/* Records and runs one op. NULL on error (text in err). */
struct tensor *tape_apply(struct tape *t, const struct op *op, struct tensor *const *in, int in_count, const float *f, const int32_t *i);
/* The node of the last tape_apply: for its aux. NULL on an empty tape. */
static inline struct node *tape_last(const struct tape *t) { return t->node_count ? &t->node[t->node_count - 1] : NULL; }
/* Seeds loss->grad (one F32) with `seed` and walks back. */
int tape_backward(struct tape *t, struct tensor *loss, float seed);

#define OP(name, args) extern const struct op op_##name; struct tensor *name##_op args;
#include "kernels/ops.def"
#undef OP
extern const struct op *const ops[];                         /* NULL-ended */

/* ---- what is not differentiated ---- */
/* AdamW on one parameter (arXiv:1711.05101), fp32 master: master, m, v F32; w gets the rounded copy (may be master itself). */
struct adamw { float lr, beta1, beta2, eps, weight_decay, grad_scale; int64_t step; };   /* step from 1 */
int adamw_step(struct stream *s, const struct adamw *conf, struct tensor *w, float *master, float *m, float *v);
/* Sum of squares of an F32 tensor in double, in a fixed order (any thread count, same bits). Adds to *sum. */
int grad_norm2(struct stream *s, const struct tensor *grad, double *sum);

#ifdef __cplusplus
}
#endif
#endif

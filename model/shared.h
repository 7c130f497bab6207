/* shared - what model/'s architectures have in common: parameters, cached attention, bf16. */
#ifndef SLUICE_MODEL_SHARED_H
#define SLUICE_MODEL_SHARED_H
#include "kernels/rows.h"
#include "model/model.h"

/* One parameter: (rows, cols), or (rows) when cols is 0; drawn as mean + std * normal. */
struct param_shape {
    int64_t rows, cols;
    double mean, std;
    bool decay, transposed;
    int part, parts;                     /* parts 0: a tensor of its own */
};
/* Adds a parameter; its index is the order of calls. ERR_LIMIT past MODEL_PARAMS_MAX. */
int param_add(struct model *m, const struct param_shape *shape, const char *fmt, ...)
    PRINTF_LIKE(3, 4);

/* Attention of q (N,H*D) over the cached positions of a layer and k, v (N,G*D), which are appended:
 * B = 1. The same sums as attention_op, on the host in fp32. NULL on error. */
struct tensor *kv_attend(struct kv_cache *cache, int layer, struct tape *t, struct tensor *q,
                         struct tensor *k, struct tensor *v, int64_t D);
/* Position of the first token of the present feed: where RoPE starts. */
int32_t kv_start(const struct kv_cache *cache);
/* A position table without its first kv_start rows; lives until the cache is closed. */
struct tensor *kv_position_table(struct kv_cache *cache, struct tensor *table);
#endif

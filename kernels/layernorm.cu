/* layernorm - layer normalisation on CUDA; contract in layernorm.c. A block a row forward, a
 * block a chunk of rows backward, whose parts of dw and db lie in shared memory. */
#include "kernels/cuda.h"

struct layernorm_stats {
    float *means, *scales;
};

template <class T>
__global__ void layernorm_forward(T *y, struct layernorm_stats stats, const T *x, struct either w,
                                  struct either b, int64_t C, float eps)
{
    const T *row = x + blockIdx.x * C;
    float sum = 0, squares = 0;
    for (int64_t i = threadIdx.x; i < C; i += BLOCK)
        sum += to_float(row[i]);
    float mean = block_sum(sum) / (float)C;
    for (int64_t i = threadIdx.x; i < C; i += BLOCK)
        squares += (to_float(row[i]) - mean) * (to_float(row[i]) - mean);
    float scale = 1.0f / sqrtf(block_sum(squares) / (float)C + eps);
    if (threadIdx.x == 0) {
        stats.means[blockIdx.x] = mean;
        stats.scales[blockIdx.x] = scale;
    }
    for (int64_t i = threadIdx.x; i < C; i += BLOCK) {
        float value = (to_float(row[i]) - mean) * scale * load_either(w, i);
        put(&y[blockIdx.x * C + i], b.data ? value + load_either(b, i) : value);
    }
}

struct layernorm_grads {
    float *dx, *dw_part, *db_part;
    const float *dy;
    struct layernorm_stats stats;
    int64_t N, C, rows;
};

template <class T>
__global__ void layernorm_backward(struct layernorm_grads g, const T *x, struct either w)
{
    DYNAMIC_SHARED(float, dw);
    int64_t C = g.C, from = blockIdx.x * g.rows, until = from + g.rows < g.N ? from + g.rows : g.N;
    float *db = dw + C;
    for (int64_t i = threadIdx.x; i < C; i += BLOCK)
        dw[i] = db[i] = 0;
    for (int64_t row = from; row < until; row++) {
        const float *dy = g.dy + row * C;
        float plain = 0, along = 0, mean = g.stats.means[row], scale = g.stats.scales[row];
        for (int64_t i = threadIdx.x; i < C; i += BLOCK) {
            float dh = dy[i] * load_either(w, i);
            plain += dh;
            along += dh * ((to_float(x[row * C + i]) - mean) * scale);
        }
        float shift = block_sum(plain) / (float)C, pull = block_sum(along) / (float)C;
        for (int64_t i = threadIdx.x; i < C; i += BLOCK) {
            float h = (to_float(x[row * C + i]) - mean) * scale;
            dw[i] += dy[i] * h;
            db[i] += dy[i];
            if (g.dx)
                g.dx[row * C + i] += scale * (dy[i] * load_either(w, i) - shift - h * pull);
        }
    }
    for (int64_t i = threadIdx.x; i < C; i += BLOCK) {
        g.dw_part[blockIdx.x * C + i] = dw[i];
        g.db_part[blockIdx.x * C + i] = db[i];
    }
}

static struct layernorm_stats stats_of(const struct node *n)
{
    return layernorm_stats{(float *)n->aux[0]->data, (float *)n->aux[1]->data};
}

extern "C" int CUDA_NAME(layernorm_fwd)(struct stream *s, struct node *n)
{
    int64_t C = tensor_columns(n->out), N = tensor_rows(n->out);
    BY_TYPE(n->out->dtype, LAUNCH(layernorm_forward<T>, (unsigned)N, BLOCK, 0, s, (T *)n->out->data,
                                  stats_of(n), (const T *)n->in[0]->data, either_of(n->in[1]),
                                  either_of(n->in[2]), C, n->f[0]));
    return 0;
}

extern "C" int CUDA_NAME(layernorm_bwd)(struct stream *s, struct node *n)
{
    int64_t C = tensor_columns(n->out), N = tensor_rows(n->out), rows = part_rows(N),
            parts = (N + rows - 1) / rows;
    size_t shared = (size_t)(2 * C) * sizeof(float);
    float *part = (float *)stream_scratch(s, (size_t)(2 * parts * C) * sizeof(float));
    if (!part)
        return cuda_failed("layernorm", "no memory for its scratch");
    float *dx = n->in[0]->grad ? (float *)n->in[0]->grad->data : nullptr;
    struct layernorm_grads g = {
        dx, part, part + parts * C, (const float *)n->out->grad->data, stats_of(n), N, C, rows};
    BY_TYPE(n->out->dtype, LAUNCH(layernorm_backward<T>, (unsigned)parts, BLOCK, shared, s, g,
                                  (const T *)n->in[0]->data, either_of(n->in[1])));
    int rc = n->in[1]->grad
                 ? CUDA_NAME(parts_add)(s, (float *)n->in[1]->grad->data, g.dw_part, parts, C)
                 : 0;
    if (rc >= 0 && n->in[2] && n->in[2]->grad)
        rc = CUDA_NAME(parts_add)(s, (float *)n->in[2]->grad->data, g.db_part, parts, C);
    return rc;
}

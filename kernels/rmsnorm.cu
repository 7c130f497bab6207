/* rmsnorm - root mean square normalisation on CUDA; contract in rmsnorm.c. A block a row
 * forward, a block a chunk of rows backward, whose part of dw lies in shared memory. */
#include "kernels/cuda.h"

template <class T>
__global__ void rmsnorm_forward(T *y, float *scales, const T *x, struct either w, int64_t C,
                                float eps)
{
    const T *row = x + blockIdx.x * C;
    float squares = 0;
    for (int64_t i = threadIdx.x; i < C; i += BLOCK)
        squares += to_float(row[i]) * to_float(row[i]);
    float scale = 1.0f / sqrtf(block_sum(squares) / (float)C + eps);
    if (threadIdx.x == 0)
        scales[blockIdx.x] = scale;
    for (int64_t i = threadIdx.x; i < C; i += BLOCK)
        put(&y[blockIdx.x * C + i], to_float(row[i]) * scale * load_either(w, i));
}

struct rmsnorm_grads {
    float *dx, *part;
    const float *dy, *scales;
    int64_t N, C, rows;
};

template <class T>
__global__ void rmsnorm_backward(struct rmsnorm_grads g, const T *x, struct either w)
{
    DYNAMIC_SHARED(float, dw);
    int64_t C = g.C, from = blockIdx.x * g.rows, until = from + g.rows < g.N ? from + g.rows : g.N;
    for (int64_t i = threadIdx.x; i < C; i += BLOCK)
        dw[i] = 0;
    for (int64_t row = from; row < until; row++) {
        const T *xs = x + row * C;
        const float *dy = g.dy + row * C;
        float along = 0, scale = g.scales[row];
        for (int64_t i = threadIdx.x; i < C; i += BLOCK)
            along += dy[i] * load_either(w, i) * to_float(xs[i]);
        float pull = block_sum(along) / (float)C * scale * scale;
        for (int64_t i = threadIdx.x; i < C; i += BLOCK) {
            float value = to_float(xs[i]);
            dw[i] += dy[i] * value * scale;
            if (g.dx)
                g.dx[row * C + i] += scale * (dy[i] * load_either(w, i) - value * pull);
        }
    }
    for (int64_t i = threadIdx.x; i < C; i += BLOCK)
        g.part[blockIdx.x * C + i] = dw[i];
}

extern "C" int CUDA_NAME(rmsnorm_fwd)(struct stream *s, struct node *n)
{
    int64_t C = tensor_columns(n->out), N = tensor_rows(n->out);
    BY_TYPE(n->out->dtype, LAUNCH(rmsnorm_forward<T>, (unsigned)N, BLOCK, 0, s, (T *)n->out->data,
                                  (float *)n->aux[0]->data, (const T *)n->in[0]->data,
                                  either_of(n->in[1]), C, n->f[0]));
    return 0;
}

extern "C" int CUDA_NAME(rmsnorm_bwd)(struct stream *s, struct node *n)
{
    int64_t C = tensor_columns(n->out), N = tensor_rows(n->out), rows = part_rows(N),
            parts = (N + rows - 1) / rows;
    size_t shared = (size_t)C * sizeof(float);
    float *part = (float *)stream_scratch(s, (size_t)(parts * C) * sizeof(float));
    if (!part)
        return cuda_failed("rmsnorm", "no memory for its scratch");
    float *dx = n->in[0]->grad ? (float *)n->in[0]->grad->data : nullptr;
    struct rmsnorm_grads g = {
        dx, part, (const float *)n->out->grad->data, (const float *)n->aux[0]->data, N, C, rows};
    BY_TYPE(n->out->dtype, LAUNCH(rmsnorm_backward<T>, (unsigned)parts, BLOCK, shared, s, g,
                                  (const T *)n->in[0]->data, either_of(n->in[1])));
    return n->in[1]->grad ? CUDA_NAME(parts_add)(s, (float *)n->in[1]->grad->data, part, parts, C)
                          : 0;
}

/* gelu - the tanh form of GELU on CUDA; contract in gelu.c. */
#include "kernels/cuda.h"

constexpr float GELU_SCALE = 0.7978845608028654f, GELU_CUBE = 0.044715f;

__device__ inline float gelu_tanh(float x)
{
    return tanhf(GELU_SCALE * (x + GELU_CUBE * x * x * x));
}

template <class T> __global__ void gelu_forward(T *y, const T *x, int64_t count)
{
    float value[4];
    int64_t i = four_index();
    load4(value, x, i, count);
    for (int k = 0; k < 4; k++)
        value[k] = 0.5f * value[k] * (1.0f + gelu_tanh(value[k]));
    store4(y, i, count, value);
}

template <class T>
__global__ void gelu_backward(float *dx, const T *x, const float *dy, int64_t count)
{
    float value[4], grad[4];
    int64_t i = four_index();
    load4(value, x, i, count);
    load4(grad, dy, i, count);
    for (int k = 0; k < 4; k++) {
        float v = value[k], tanh_u = gelu_tanh(v),
              du = GELU_SCALE * (1.0f + 3.0f * GELU_CUBE * v * v);
        grad[k] *= 0.5f * (1.0f + tanh_u) + 0.5f * v * (1.0f - tanh_u * tanh_u) * du;
    }
    add4(dx, i, count, grad);
}

extern "C" int CUDA_NAME(gelu_fwd)(struct stream *s, struct node *n)
{
    int64_t count = tensor_count(n->out);
    BY_TYPE(n->out->dtype, LAUNCH(gelu_forward<T>, four_blocks(count), BLOCK, 0, s,
                                  (T *)n->out->data, (const T *)n->in[0]->data, count));
    return 0;
}

extern "C" int CUDA_NAME(gelu_bwd)(struct stream *s, struct node *n)
{
    int64_t count = tensor_count(n->out);
    if (!n->in[0]->grad)
        return 0;
    BY_TYPE(n->out->dtype,
            LAUNCH(gelu_backward<T>, four_blocks(count), BLOCK, 0, s, (float *)n->in[0]->grad->data,
                   (const T *)n->in[0]->data, (const float *)n->out->grad->data, count));
    return 0;
}

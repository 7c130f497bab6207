/* swiglu - the gated unit of Llama's feed-forward layer on CUDA; contract in swiglu.c. */
#include "kernels/cuda.h"

template <class T>
__global__ void swiglu_forward(T *y, const T *gate, struct either up, int64_t count)
{
    float value[4];
    int64_t i = four_index();
    load4(value, gate, i, count);
    for (int k = 0; k < 4; k++)
        value[k] = i + k < count ? value[k] / (1.0f + expf(-value[k])) * load_either(up, i + k)
                                 : 0.0f;
    store4(y, i, count, value);
}

template <class T>
__global__ void swiglu_backward(float *dgate, float *dup, const T *gate, struct either up,
                                const float *dy, int64_t count)
{
    float value[4], grad[4], gate_grad[4], up_grad[4];
    int64_t i = four_index();
    load4(value, gate, i, count);
    load4(grad, dy, i, count);
    for (int k = 0; k < 4; k++) {
        float sigmoid = 1.0f / (1.0f + expf(-value[k])),
              other = i + k < count ? load_either(up, i + k) : 0.0f;
        gate_grad[k] = grad[k] * other * sigmoid * (1.0f + value[k] * (1.0f - sigmoid));
        up_grad[k] = grad[k] * value[k] * sigmoid;
    }
    if (dgate)
        add4(dgate, i, count, gate_grad);
    if (dup)
        add4(dup, i, count, up_grad);
}

extern "C" int CUDA_NAME(swiglu_fwd)(struct stream *s, struct node *n)
{
    int64_t count = tensor_count(n->out);
    BY_TYPE(n->out->dtype,
            LAUNCH(swiglu_forward<T>, four_blocks(count), BLOCK, 0, s, (T *)n->out->data,
                   (const T *)n->in[0]->data, either_of(n->in[1]), count));
    return 0;
}

extern "C" int CUDA_NAME(swiglu_bwd)(struct stream *s, struct node *n)
{
    int64_t count = tensor_count(n->out);
    float *dgate = n->in[0]->grad ? (float *)n->in[0]->grad->data : nullptr;
    float *dup = n->in[1]->grad ? (float *)n->in[1]->grad->data : nullptr;
    BY_TYPE(n->out->dtype, LAUNCH(swiglu_backward<T>, four_blocks(count), BLOCK, 0, s, dgate, dup,
                                  (const T *)n->in[0]->data, either_of(n->in[1]),
                                  (const float *)n->out->grad->data, count));
    return 0;
}

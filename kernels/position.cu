/* position - learned position vectors on CUDA; contract in position.c. */
#include "kernels/cuda.h"

template <class T>
__global__ void position_forward(T *y, const T *x, struct either table, int64_t count,
                                 int64_t period)
{
    float value[4];
    int64_t i = four_index();
    load4(value, x, i, count);
    for (int k = 0; k < 4; k++)
        if (i + k < count)
            value[k] += load_either(table, (i + k) % period);
    store4(y, i, count, value);
}

__global__ void position_backward_x(float *dx, const float *dy, int64_t count)
{
    float grad[4];
    int64_t i = four_index();
    load4(grad, dy, i, count);
    add4(dx, i, count, grad);
}

/* A thread owns one element of the table and adds the rows that share it in order. */
__global__ void position_backward_table(float *dtable, const float *dy, int64_t count,
                                        int64_t period)
{
    int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= period)
        return;
    float sum = 0;
    for (int64_t at = i; at < count; at += period)
        sum += dy[at];
    dtable[i] += sum;
}

extern "C" int CUDA_NAME(position_fwd)(struct stream *s, struct node *n)
{
    int64_t count = tensor_count(n->out), period = n->i[0] * tensor_columns(n->out);
    BY_TYPE(n->out->dtype,
            LAUNCH(position_forward<T>, four_blocks(count), BLOCK, 0, s, (T *)n->out->data,
                   (const T *)n->in[0]->data, either_of(n->in[1]), count, period));
    return 0;
}

extern "C" int CUDA_NAME(position_bwd)(struct stream *s, struct node *n)
{
    int64_t count = tensor_count(n->out), period = n->i[0] * tensor_columns(n->out);
    const float *dy = (const float *)n->out->grad->data;
    if (n->in[0]->grad)
        LAUNCH(position_backward_x, four_blocks(count), BLOCK, 0, s, (float *)n->in[0]->grad->data,
               dy, count);
    if (n->in[1]->grad)
        LAUNCH(position_backward_table, blocks_of(period, BLOCK), BLOCK, 0, s,
               (float *)n->in[1]->grad->data, dy, count, period);
    return 0;
}

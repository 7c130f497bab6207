/* add - the sum of two tensors on CUDA; contract in add.c. */
#include "kernels/cuda.h"

template <class T> __global__ void add_forward(T *y, const T *a, struct either b, int64_t count)
{
    float sum[4];
    int64_t i = four_index();
    load4(sum, a, i, count);
    for (int k = 0; k < 4; k++)
        if (i + k < count)
            sum[k] += load_either(b, i + k);
    store4(y, i, count, sum);
}

__global__ void add_backward(float *da, float *db, const float *dy, int64_t count)
{
    float grad[4];
    int64_t i = four_index();
    load4(grad, dy, i, count);
    if (da)
        add4(da, i, count, grad);
    if (db)
        add4(db, i, count, grad);
}

extern "C" int CUDA_NAME(add_fwd)(struct stream *s, struct node *n)
{
    int64_t count = tensor_count(n->out);
    BY_TYPE(n->out->dtype,
            LAUNCH(add_forward<T>, four_blocks(count), BLOCK, 0, s, (T *)n->out->data,
                   (const T *)n->in[0]->data, either_of(n->in[1]), count));
    return 0;
}

extern "C" int CUDA_NAME(add_bwd)(struct stream *s, struct node *n)
{
    int64_t count = tensor_count(n->out);
    float *da = n->in[0]->grad ? (float *)n->in[0]->grad->data : nullptr;
    float *db = n->in[1]->grad ? (float *)n->in[1]->grad->data : nullptr;
    LAUNCH(add_backward, four_blocks(count), BLOCK, 0, s, da, db, (const float *)n->out->grad->data,
           count);
    return 0;
}

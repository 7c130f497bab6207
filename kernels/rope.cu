/* rope - rotary positions on CUDA; contract in rope.c. The table comes from the host, so both
 * devices rotate by the same angles. */
#include "kernels/cuda.h"

struct rope_shape {
    int64_t pairs, columns, T, start;
    int32_t half;
    float direction;
};

/* One thread a pair: row, head and j from its number. */
template <class T, class TO, bool ADD>
__global__ void rotate(TO *y, const T *x, const float *table, struct rope_shape z)
{
    int64_t pair = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (pair >= z.pairs)
        return;
    int64_t per_row = z.columns / 2, row = pair / per_row, in_row = pair % per_row,
            j = in_row % z.half;
    int64_t first = row * z.columns + in_row / z.half * 2 * z.half + j;
    const float *angle = table + ((row % z.T + z.start) * z.half + j) * 2;
    float cosine = angle[0], sine = angle[1] * z.direction;
    float low = to_float(x[first]), high = to_float(x[first + z.half]);
    float new_low = low * cosine - high * sine, new_high = high * cosine + low * sine;
    put(&y[first], ADD ? to_float(y[first]) + new_low : new_low);
    put(&y[first + z.half], ADD ? to_float(y[first + z.half]) + new_high : new_high);
}

static struct rope_shape shape_of(const struct node *n, float direction)
{
    return rope_shape{
        tensor_count(n->out) / 2, tensor_columns(n->out), n->i[0], n->i[2], n->i[1] / 2, direction};
}

extern "C" int CUDA_NAME(rope_fwd)(struct stream *s, struct node *n)
{
    struct rope_shape z = shape_of(n, 1);
    const float *table = stream_rope(s, z.T + z.start, n->i[1], n->f[0]);
    if (!table)
        return cuda_failed("rope", "no memory for the table of angles");
    BY_TYPE(n->out->dtype, LAUNCH((rotate<T, T, false>), blocks_of(z.pairs, BLOCK), BLOCK, 0, s,
                                  (T *)n->out->data, (const T *)n->in[0]->data, table, z));
    return 0;
}

extern "C" int CUDA_NAME(rope_bwd)(struct stream *s, struct node *n)
{
    struct rope_shape z = shape_of(n, -1);
    if (!n->in[0]->grad)
        return 0;
    const float *table = stream_rope(s, z.T + z.start, n->i[1], n->f[0]);
    if (!table)
        return cuda_failed("rope", "no memory for the table of angles");
    LAUNCH((rotate<float, float, true>), blocks_of(z.pairs, BLOCK), BLOCK, 0, s,
           (float *)n->in[0]->grad->data, (const float *)n->out->grad->data, table, z);
    return 0;
}

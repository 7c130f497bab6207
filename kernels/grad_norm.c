/* grad_norm - the sum of squares of a gradient, in double and in a fixed order.
 *
 * Chunks of 64 K elements are summed over 16 double lanes each, then added in order: any number
 * of threads gives the same bits. Bound: reads 4 bytes an element. */
#include "kernels/rows.h"

#include "core/err.h"

enum { CHUNK = 65536, DOUBLE_LANES = 16 };

struct job {
    const float *x;
    int64_t count;
    double *part;
};

KERNEL_CLONES static double row_squares(const float *x, int64_t count)
{
    double lane[DOUBLE_LANES] = {0};
    int64_t i = 0;
    for (; i + DOUBLE_LANES <= count; i += DOUBLE_LANES)
        for (int j = 0; j < DOUBLE_LANES; j++)
            lane[j] += (double)x[i + j] * (double)x[i + j];
    for (int j = 0; i + j < count; j++)
        lane[j] += (double)x[i + j] * (double)x[i + j];
    double sum = 0;
    for (int j = 0; j < DOUBLE_LANES; j++)
        sum += lane[j];
    return sum;
}

static void chunk_task(void *arg, int64_t index, int thread)
{
    UNUSED(thread);
    const struct job *job = arg;
    int64_t start = index * CHUNK, left = job->count - start;
    job->part[index] = row_squares(job->x + start, left < CHUNK ? left : CHUNK);
}

int grad_norm2(struct stream *s, const struct tensor *grad, double *sum)
{
    if (grad->dtype != DT_F32)
        return err_set(ERR_USAGE, "grad_norm: gradients are F32");
    if (s->device == DEV_CUDA) {
#if HAVE_CUDA
        return grad_norm_cuda(s, grad, sum);
#else
        return err_set(ERR_GPU, "grad_norm: this program was built without CUDA");
#endif
    }
    struct job job = {.x = grad->data, .count = tensor_count(grad)};
    int64_t parts = count_tasks(job.count, CHUNK);
    job.part = stream_scratch(s, (size_t)parts * sizeof(double));
    if (!job.part)
        return ERR_LIMIT;
    stream_each(s, parts, chunk_task, &job);
    for (int64_t k = 0; k < parts; k++)
        *sum += job.part[k];
    return 0;
}

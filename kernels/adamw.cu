/* adamw - the AdamW step on CUDA, one launch a parameter; contract in adamw.c. */
#include "kernels/cuda.h"

#include <math.h>

struct adamw_job {
    float *master, *m, *v, *copy;
    struct bf16 *rounded;
    const float *grad;
    int64_t count;
};
struct adamw_rates {
    float beta1, beta2, eps, keep, scale, step, root;
};

__device__ inline float adamw_element(const struct adamw_rates &r, float grad, float p, float *m,
                                      float *v)
{
    float g = grad * r.scale;
    float first = r.beta1 * *m + (1.0f - r.beta1) * g,
          second = r.beta2 * *v + (1.0f - r.beta2) * g * g;
    *m = fabsf(first) < 1e-30f ? 0.0f : first;
    *v = second < 1e-30f ? 0.0f : second;
    return p * r.keep - r.step * *m / (sqrtf(*v * r.root) + r.eps);
}

__global__ void adamw_kernel(struct adamw_job job, struct adamw_rates r)
{
    float p[4], m[4], v[4], grad[4];
    int64_t i = four_index(), count = job.count;
    load4(p, job.master, i, count);
    load4(m, job.m, i, count);
    load4(v, job.v, i, count);
    load4(grad, job.grad, i, count);
    for (int k = 0; k < 4; k++)
        p[k] = adamw_element(r, grad[k], p[k], &m[k], &v[k]);
    store4(job.master, i, count, p);
    store4(job.m, i, count, m);
    store4(job.v, i, count, v);
    if (job.rounded)
        store4(job.rounded, i, count, p);
    if (job.copy)
        store4(job.copy, i, count, p);
}

extern "C" int CUDA_NAME(adamw)(struct stream *s, const struct adamw *conf, struct tensor *w,
                                float *master, float *m, float *v)
{
    struct adamw_job job = {master,         m, v, nullptr, nullptr, (const float *)w->grad->data,
                            tensor_count(w)};
    if (w->dtype == DT_BF16)
        job.rounded = (struct bf16 *)w->data;
    else if (w->data != master)
        job.copy = (float *)w->data;
    float correct_m = (float)(1.0 - pow((double)conf->beta1, (double)conf->step));
    float correct_v = (float)(1.0 - pow((double)conf->beta2, (double)conf->step));
    struct adamw_rates r = {conf->beta1,      conf->beta2,
                            conf->eps,        1.0f - conf->lr * conf->weight_decay,
                            conf->grad_scale, conf->lr / correct_m,
                            1.0f / correct_v};
    LAUNCH(adamw_kernel, four_blocks(job.count), BLOCK, 0, s, job, r);
    return 0;
}

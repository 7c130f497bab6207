/* adamw - the AdamW step of one parameter: decay apart from the gradient, fp32 master weights.
 *
 *   g = grad * grad_scale       m = b1 m + (1 - b1) g       v = b2 v + (1 - b2) g^2
 *   p = p - lr (m / (1 - b1^t) / (sqrt(v / (1 - b2^t)) + eps) + wd p)          w = round(p)
 * Source: arXiv:1711.05101, as PyTorch computes it. Moments under 1e-30 become 0: rows of an
 * embedding that are never seen would else decay into subnormals, which are many times slower.
 * Bound: reads p, g, m, v and writes p, m, v: 28 bytes an element (30 with a bf16 copy). */
#include "kernels/rows.h"

#include "core/err.h"

#include <math.h>

enum { CHUNK = 16384 };

struct job {
    const struct adamw *conf;
    const struct tensor *w;
    float *master, *m, *v, correct_m, correct_v;
};

KERNEL_CLONES static void adamw_row(const struct job *job, const float *restrict grad,
                                    float *restrict p, float *restrict m, float *restrict v,
                                    int64_t count)
{
    float b1 = job->conf->beta1, b2 = job->conf->beta2, eps = job->conf->eps, lr = job->conf->lr;
    float keep = 1.0f - lr * job->conf->weight_decay, scale = job->conf->grad_scale;
    float step = lr / job->correct_m, root = 1.0f / job->correct_v;
    for (int64_t i = 0; i < count; i++) {
        float g = grad[i] * scale;
        float first = b1 * m[i] + (1.0f - b1) * g, second = b2 * v[i] + (1.0f - b2) * g * g;
        float magnitude = first < 0 ? -first : first;
        first = magnitude < 1e-30f ? 0.0f : first;
        second = second < 1e-30f ? 0.0f : second;
        m[i] = first;
        v[i] = second;
        p[i] = p[i] * keep - step * first / (__builtin_sqrtf(second * root) + eps);
    }
}

static void step_task(void *arg, int64_t index, int thread)
{
    UNUSED(thread);
    const struct job *job = arg;
    int64_t start = index * CHUNK, left = tensor_count(job->w) - start,
            count = left < CHUNK ? left : CHUNK;
    adamw_row(job, grad_at(job->w, start), job->master + start, job->m + start, job->v + start,
              count);
    if (job->w->dtype == DT_BF16)
        bf16_round_row((uint16_t *)job->w->data + start, job->master + start, count);
    else if (job->w->data != job->master)
        memcpy((float *)job->w->data + start, job->master + start, (size_t)count * sizeof(float));
}

int adamw_step(struct stream *s, const struct adamw *conf, struct tensor *w, float *master,
               float *m, float *v)
{
    if (!w->grad || !tensor_is_float(w) || conf->step < 1)
        return err_set(ERR_USAGE,
                       "adamw: %s needs a gradient, float weights and a step from 1 (it is %lld)",
                       w->name ? w->name : "the parameter", (long long)conf->step);
    if (s->device == DEV_CUDA) {
#if HAVE_CUDA
        return adamw_cuda(s, conf, w, master, m, v);
#else
        return err_set(ERR_GPU, "adamw: this program was built without CUDA");
#endif
    }
    struct job job = {
        .conf = conf,
        .w = w,
        .master = master,
        .m = m,
        .v = v,
        .correct_m = (float)(1.0 - pow((double)conf->beta1, (double)conf->step)),
        .correct_v = (float)(1.0 - pow((double)conf->beta2, (double)conf->step)),
    };
    stream_each(s, count_tasks(tensor_count(w), CHUNK), step_task, &job);
    return 0;
}

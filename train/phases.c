/* phases - which phase a step belongs to, which rows of the loader's plan it reads, in what shape.
 */
#include "train/train.h"

#include "core/err.h"

enum { STEP_ROWS_MAX = 1 << 24 };

static int check_phase(const struct train_phase *p, const struct train_conf *c,
                       const struct model_conf *model)
{
    if (p->steps < 1)
        return err_set(ERR_USAGE, "train: phase %s has %lld steps: give it at least 1", p->name,
                       (long long)p->steps);
    if (p->sequence > model->context)
        return err_set(ERR_USAGE,
                       "train: sequence %lld of phase %s is longer than the model's context %lld: "
                       "shorten it or raise model.context",
                       (long long)p->sequence, p->name, (long long)model->context);
    if (c->batch * c->sequence % p->sequence != 0)
        return err_set(ERR_USAGE,
                       "train: the %lld tokens of a step (batch %lld x sequence %lld) are no whole "
                       "number of sequences of %lld, which phase %s asks for: change one",
                       (long long)(c->batch * c->sequence), (long long)c->batch,
                       (long long)c->sequence, (long long)p->sequence, p->name);
    if (c->batch * c->sequence / p->sequence > STEP_ROWS_MAX)
        return err_set(ERR_USAGE, "train: a step of phase %s has %lld sequences, at most %d",
                       p->name, (long long)(c->batch * c->sequence / p->sequence), STEP_ROWS_MAX);
    if (!(p->rope_theta >= 1))
        return err_set(ERR_USAGE, "train: rope_theta %g of phase %s must be at least 1",
                       p->rope_theta, p->name);
    return 0;
}

int train_plan_check(struct train_plan *plan, const struct train_conf *c,
                     const struct model_conf *model)
{
    int64_t steps = 0;
    double theta = model->rope_theta;
    if (plan->phase_count < 1 || plan->phase_count > TRAIN_PHASES_MAX)
        return err_set(ERR_USAGE, "train: %u phases: from 1 to %d", plan->phase_count,
                       TRAIN_PHASES_MAX);
    for (uint32_t i = 0; i < plan->phase_count; i++) {
        struct train_phase *p = &plan->phase[i];
        p->sequence = p->sequence ? p->sequence : c->sequence;
        theta = p->rope_theta = p->rope_theta > 0 ? p->rope_theta : theta;
        TRY(check_phase(p, c, model));
        if (p->rope_theta != model->rope_theta && strcmp(model->arch, "llama") != 0)
            return err_set(ERR_USAGE,
                           "train: phase %s sets rope_theta, but %s has no rotary "
                           "positions",
                           p->name, model->arch);
        if (p->steps > c->steps - steps)
            return err_set(ERR_USAGE, "train: with phase %s the phases have more than steps = %lld",
                           p->name, (long long)c->steps);
        steps += p->steps;
    }
    if (steps != c->steps)
        return err_set(ERR_USAGE, "train: the phases have %lld steps together, steps is %lld",
                       (long long)steps, (long long)c->steps);
    return 0;
}

void train_plan_rows(const struct train_plan *plan, const struct train_conf *c,
                     struct loader_conf *out)
{
    memset(out, 0, sizeof *out);
    out->seed = (uint64_t)c->seed;
    out->spill = plan->spill;
    out->packing = strcmp(c->packing, "best_fit") == 0 ? PACK_BEST_FIT : PACK_CONCAT;
    out->source_count = plan->source_count;
    memcpy(out->source, plan->source, sizeof out->source);
    out->phase_count = plan->phase_count;
    for (uint32_t i = 0; i < plan->phase_count; i++) {
        const struct train_phase *p = &plan->phase[i];
        memcpy(out->phase[i].name, p->name, sizeof out->phase[i].name);
        memcpy(out->phase[i].weight, p->weight, sizeof out->phase[i].weight);
        out->phase[i].sequence = (uint32_t)p->sequence;
        out->phase[i].rows = (uint64_t)p->steps * (uint64_t)(c->batch * c->sequence / p->sequence);
    }
}

struct train_place train_place(const struct train_plan *plan, const struct train_conf *c,
                               int64_t step)
{
    struct train_place at = {.phase = 0};
    for (;; at.phase++) {
        const struct train_phase *p = &plan->phase[at.phase];
        at.sequence = (uint32_t)p->sequence;
        at.rows = (uint32_t)(c->batch * c->sequence / p->sequence);
        if (step < at.phase_step + p->steps || at.phase + 1 == plan->phase_count) {
            at.row += (uint64_t)(step - at.phase_step) * at.rows;
            return at;
        }
        at.phase_step += p->steps;
        at.row += (uint64_t)p->steps * at.rows;
    }
}

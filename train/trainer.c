/* trainer - one training step: batch in, gradients by micro batches, a clipped AdamW update. */
#include "train/trainer.h"

#include "core/err.h"
#include "core/log.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>

enum { ARENA_SLACK = 4 << 20, CPU_MICRO_TOKENS = 1024 };

/* ---- opening ---- */

static const struct objective *objective_find(const char *name)
{
#define OBJECTIVE(row)                                                                             \
    if (strcmp(name, #row) == 0)                                                                   \
        return &objective_##row;
#include "train/objectives.def"
#undef OBJECTIVE
    return NULL;
}

static int device_pick(const char *name, enum device *out)
{
    bool there = cuda_available();
    *out = strcmp(name, "cpu") == 0 || (strcmp(name, "auto") == 0 && !there) ? DEV_CPU : DEV_CUDA;
    if (*out == DEV_CUDA && !there)
        return err_set(ERR_GPU, "train: device cuda: %s: use --device=cpu or auto",
                       cuda_describe());
    return 0;
}

/* On the CPU a pass of 1024 tokens keeps the activations of neighbouring ops in the cache: 4 rows
 * of 256 ran 1.39 times as fast as 16 (llama of 4.3 M parameters, 2 cores of an EPYC, 2867 to 2064
 * tok/s). A GPU wants all it can get. */
static int64_t micro_pick(const struct train_conf *c, enum device device)
{
    int64_t rows = c->batch;
    if (c->micro_batch)
        return c->micro_batch;
    if (device == DEV_CPU)
        while (rows > 1 && (c->batch % rows != 0 || rows * c->sequence > CPU_MICRO_TOKENS))
            rows--;
    return rows;
}

static double mib(uint64_t bytes) { return (double)bytes / (1 << 20); }

/* Rows of a pass in a phase: about as many tokens as micro_batch rows of conf.sequence, and a
 * divisor of the step's rows. */
static int64_t phase_micro(const struct train_conf *c, const struct train_place *at)
{
    int64_t micro = c->micro_batch * c->sequence / at->sequence;
    while (micro > 1 && at->rows % micro != 0)
        micro--;
    return micro > 1 ? micro : 1;
}

static struct train_place phase_place(const struct trainer *tr, uint32_t phase)
{
    int64_t step = 0;
    for (uint32_t i = 0; i < phase; i++)
        step += tr->plan.phase[i].steps;
    return train_place(&tr->plan, &tr->conf, step);
}

/* Of the phase that needs most. */
static uint64_t activations_of(const struct trainer *tr, const struct model_conf *c, size_t bytes)
{
    uint64_t most = 0;
    for (uint32_t i = 0; i < tr->plan.phase_count; i++) {
        struct train_place at = phase_place(tr, i);
        uint64_t acts = model_find(c->arch)->activation_bytes(c, phase_micro(&tr->conf, &at),
                                                              at.sequence, true, bytes);
        most = acts > most ? acts : most;
    }
    return most;
}

/* Says what the run will take before any of it is taken. */
static int plan_memory(const struct trainer *tr, const struct model_conf *model, enum device device,
                       uint64_t *activation_bytes)
{
    struct model_plan plan;
    struct model_conf c = *model;
    TRY(model_conf_check(&c));
    TRY(model_plan(&c, device, true, &plan));
    bool half =
        strcmp(c.dtype, "bf16") == 0 || (strcmp(c.dtype, "auto") == 0 && device == DEV_CUDA);
    uint64_t acts = activations_of(tr, &c, half ? 2 : 4);
    *activation_bytes = acts + acts / 16 + ARENA_SLACK;
    uint64_t total = plan.total_bytes + *activation_bytes;
    log_info("train: %s of %.2f M parameters in %s on %s: weights %.1f MiB, gradients %.1f, AdamW "
             "%.1f, "
             "activations %.1f, together %.1f MiB",
             c.arch, (double)plan.parameters / 1e6, half ? "bf16" : "f32",
             device == DEV_CUDA ? cuda_describe() : "the CPU", mib(plan.weight_bytes),
             mib(plan.gradient_bytes), mib(plan.optimizer_bytes), mib(*activation_bytes),
             mib(total));
    if (tr->conf.memory && total > tr->conf.memory)
        return err_set(ERR_LIMIT,
                       "train: the plan needs %.1f MiB, memory is %.1f MiB: raise it, or lower "
                       "micro_batch (%lld), sequence or the model's size",
                       mib(total), mib(tr->conf.memory), (long long)tr->conf.micro_batch);
    return 0;
}

/* Room for the rows of any phase. The pages of `own` are touched only by objectives that fill it.
 */
static int open_batch(struct trainer *tr)
{
    size_t tokens = (size_t)(tr->conf.batch * tr->conf.sequence), rows = 0, pass = 0;
    struct train_batch *b = &tr->batch;
    for (uint32_t i = 0; i < tr->plan.phase_count; i++) {
        struct train_place at = phase_place(tr, i);
        size_t micro = (size_t)phase_micro(&tr->conf, &at) * at.sequence;
        rows = at.rows > rows ? at.rows : rows;
        pass = micro > pass ? micro : pass;
    }
    tr->own = calloc(3 * tokens + rows, sizeof *tr->own);
    tr->row_loss = calloc(pass, sizeof *tr->row_loss);
    if (!tr->own || !tr->row_loss)
        return err_set(ERR_LIMIT, "train: no memory for a batch of %zu tokens: lower batch",
                       tokens);
    b->inputs = tr->own;
    b->targets = b->inputs + tokens;
    b->doc_start = b->targets + tokens;
    b->domain = (uint32_t *)(b->doc_start + tokens);
    return 0;
}

void trainer_enter(struct trainer *tr, uint32_t phase)
{
    struct train_place at = phase_place(tr, phase);
    assert(phase < tr->plan.phase_count);
    tr->phase = phase;
    tr->sequence = at.sequence;
    tr->rows = at.rows;
    tr->micro = phase_micro(&tr->conf, &at);
    tr->batch.rows = at.rows;
    tr->model.conf.rope_theta = tr->plan.phase[phase].rope_theta;
}

/* The plan of those who have none. */
static void plan_single(struct train_plan *plan, const struct train_conf *c)
{
    *plan = (struct train_plan){.phase_count = 1, .phase = {{.name = "stable", .steps = c->steps}}};
}

int trainer_open(struct trainer *tr, const struct train_conf *conf, const struct train_plan *plan,
                 const struct model_conf *model, int threads)
{
    enum device device = DEV_CPU;
    uint64_t activation_bytes = 0;
    int rc;
    memset(tr, 0, sizeof *tr);
    tr->conf = *conf;
    tr->state.loss_before = NAN;
    TRY_OUT(train_conf_check(&tr->conf, model));
    if (plan)
        tr->plan = *plan;
    else
        plan_single(&tr->plan, &tr->conf);
    TRY_OUT(train_plan_check(&tr->plan, &tr->conf, model));
    tr->schedule = schedule_find(tr->conf.schedule);
    tr->objective = objective_find(tr->conf.objective);
    if (!tr->objective) {
        rc = err_set(ERR_USAGE, "train: objective \"%s\" is unknown: use pretrain",
                     tr->conf.objective);
        goto out;
    }
    TRY_OUT(device_pick(tr->conf.device, &device));
    tr->conf.micro_batch = micro_pick(&tr->conf, device);
    TRY_OUT(plan_memory(tr, model, device, &activation_bytes));
    TRY_OUT(device_open(&tr->stream, device, threads));
    TRY_OUT(model_open(&tr->model, model, tr->stream, true));
    TRY_OUT(dev_arena_open(&tr->activations, tr->stream, activation_bytes));
    TRY_OUT(tape_open(&tr->tape, &tr->activations, true, model_dtype(&tr->model)));
    TRY_OUT(open_batch(tr));
    trainer_enter(tr, 0);
    return 0;
out:
    trainer_close(tr);
    return rc;
}

void trainer_close(struct trainer *tr)
{
    free(tr->past);
    free(tr->row_loss);
    free(tr->own);
    if (tr->tape.arena)
        tape_close(&tr->tape);
    if (tr->activations.base)
        dev_arena_close(&tr->activations);
    model_close(&tr->model);
    if (tr->stream)
        device_close(tr->stream);
    memset(tr, 0, sizeof *tr);
}

/* ---- a step ---- */

static uint64_t count_targets(const int32_t *targets, uint64_t count)
{
    uint64_t counted = 0;
    for (uint64_t i = 0; i < count; i++)
        counted += targets[i] >= 0;
    return counted;
}

/* Rows [first, first + rows) of the step's batch. */
static struct train_batch batch_slice(const struct trainer *tr, uint32_t first, uint32_t rows)
{
    size_t at = (size_t)first * (size_t)tr->sequence;
    const struct train_batch *b = &tr->batch;
    return (struct train_batch){b->inputs + at, b->targets + at, b->doc_start + at,
                                b->domain + first, rows};
}

/* Adds the losses of a micro batch to the report, summed in double in row order; they lie in the
 * cross entropy's aux. */
static int add_losses(struct trainer *tr, const struct train_batch *b, struct tensor *loss,
                      uint64_t counted, struct step_report *out)
{
    const struct node *last = tape_last(&tr->tape);
    uint64_t T = (uint64_t)tr->sequence, N = b->rows * T;
    if (!last || last->op != &op_cross_entropy || last->out != loss) {
        float mean;
        TRY(dev_download(tr->stream, &mean, loss->data, sizeof mean));
        out->loss += (double)mean * (double)counted;
        return 0;
    }
    TRY(dev_download(tr->stream, tr->row_loss, last->aux[0]->data, N * sizeof(float)));
    for (uint64_t i = 0; i < N; i++) {
        if (b->targets[i] < 0)
            continue;
        uint32_t domain = b->domain[i / T];
        assert(domain < STORE_DOMAINS_MAX);
        out->loss += (double)tr->row_loss[i];
        out->domain_loss[domain] += (double)tr->row_loss[i];
        out->domain_tokens[domain]++;
    }
    return 0;
}

/* Gradients of the mean over all targets of the step: a micro batch weighs as many as it has. */
static int accumulate(struct trainer *tr, struct step_report *out)
{
    uint64_t T = (uint64_t)tr->sequence;
    uint32_t micro = (uint32_t)tr->micro;
    TRY(dev_zero(tr->stream, tr->model.grad_data, tr->model.grad_bytes));
    for (uint32_t first = 0; first < tr->batch.rows; first += micro) {
        struct train_batch part = batch_slice(tr, first, micro);
        uint64_t counted = count_targets(part.targets, micro * T);
        if (counted == 0)
            continue;
        tape_reset(&tr->tape);
        struct tensor *loss = tr->objective->loss(tr, &tr->tape, &part);
        if (!loss)
            return err_in(ERR_LIMIT, "train: step %llu", (unsigned long long)tr->state.step + 1);
        TRY(add_losses(tr, &part, loss, counted, out));
        TRY(tape_backward(&tr->tape, loss, (float)((double)counted / (double)out->tokens)));
    }
    out->loss /= (double)out->tokens;
    for (int i = 0; i < STORE_DOMAINS_MAX; i++)
        if (out->domain_tokens[i])
            out->domain_loss[i] /= (double)out->domain_tokens[i];
    return 0;
}

static int update(struct trainer *tr, const struct step_report *report)
{
    const struct train_conf *c = &tr->conf;
    bool clipped = c->clip > 0 && report->grad_norm > c->clip;
    struct adamw conf = {
        .lr = (float)report->lr,
        .beta1 = (float)c->beta1,
        .beta2 = (float)c->beta2,
        .eps = (float)c->eps,
        .grad_scale = clipped ? (float)(c->clip / report->grad_norm) : 1,
        .step = (int64_t)++tr->state.updates,
    };
    for (int i = 0; i < tr->model.param_count; i++) {
        struct param *p = &tr->model.param[i];
        conf.weight_decay = p->decay ? (float)c->weight_decay : 0;
        TRY(adamw_step(tr->stream, &conf, &p->w, p->master, p->m, p->v));
    }
    return 0;
}

/* A skipped step leaves weights, moments and AdamW's t as they were: one bad batch costs one step.
 */
static int skip(struct trainer *tr, const struct step_report *report)
{
    struct train_state *s = &tr->state;
    s->skipped++;
    if (++s->skipped_row >= SKIPPED_MAX)
        return err_set(ERR_FORMAT,
                       "train: loss %g, gradient norm %g at step %llu, the %llu-th in a row "
                       "that is not finite: lower lr (%g) or look at the data of these steps",
                       report->loss, report->grad_norm, (unsigned long long)s->step + 1,
                       (unsigned long long)s->skipped_row, tr->conf.lr);
    if (s->skipped <= SKIPPED_WARNINGS)
        log_warn("train: step %llu skipped: loss %g, gradient norm %g",
                 (unsigned long long)s->step + 1, report->loss, report->grad_norm);
    return 0;
}

int trainer_step(struct trainer *tr, struct step_report *out)
{
    struct train_state *s = &tr->state;
    memset(out, 0, sizeof *out);
    TRY(tr->objective->fill(tr, &tr->batch));
    out->tokens = count_targets(tr->batch.targets, tr->batch.rows * (uint64_t)tr->sequence);
    if (out->tokens == 0)
        return err_set(ERR_FORMAT, "train: the batch of step %llu has no token to predict",
                       (unsigned long long)s->step + 1);
    TRY(accumulate(tr, out));
    double sum = 0;
    for (int i = 0; i < tr->model.param_count; i++)
        TRY(grad_norm2(tr->stream, tr->model.param[i].w.grad, &sum));
    out->grad_norm = sqrt(sum);
    out->lr = tr->conf.lr * tr->schedule->lr_frac((int64_t)s->step, &tr->conf);
    out->skipped = !isfinite(out->loss) || !isfinite(out->grad_norm);
    if (out->skipped) {
        TRY(skip(tr, out));
    } else {
        s->skipped_row = 0;
        s->recent[s->recent_count++ % LOSS_WINDOW] = out->loss;
        TRY(update(tr, out));
    }
    s->tokens += out->tokens;
    s->step++;
    return 0;
}

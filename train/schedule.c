/* schedule - the learning rate as a function of the step alone, so that a resumed run needs no
 * memory of it. */
#include "train/train.h"

#include "core/err.h"

#include <math.h>

#define ROW(kind, field, preset, min, max, unit, help, source) \
    OPT_ROW(kind, struct train_conf, field, preset, min, max, unit, help, source)
const struct opt train_opts[] =
    {ROW(OPT_INT, steps, "500", 1, 1e12, "steps", "updates of the whole training", NULL),
     ROW(OPT_INT, warmup_steps, "20", 0, 1e12, "steps", "the learning rate rises from 0 over these",
         NULL),
     ROW(OPT_INT, anneal_steps, "100", 0, 1e12, "steps",
         "the last so many steps read the anneal mixture; wsd lets the learning rate fall there",
         "arXiv:2404.06395"),
     ROW(OPT_ENUM, objective, "pretrain", 0, 0, "pretrain", "what is learnt", NULL),
     ROW(OPT_ENUM, schedule, "wsd", 0, 0, "wsd|cosine|linear|constant",
         "how the learning rate moves after the warm-up", "arXiv:2405.18392"),
     ROW(OPT_ENUM, decay, "sqrt", 0, 0, "sqrt|linear", "shape of wsd's fall: 1 - sqrt or a line",
         "arXiv:2405.18392"),
     ROW(OPT_FLOAT, lr, "3e-3", 0, 10, NULL, "highest learning rate", NULL),
     ROW(OPT_FLOAT, lr_end, "0", 0, 10, NULL, "learning rate at the end of the fall", NULL),
     ROW(OPT_FLOAT, beta1, "0.9", 0, 0.9999, NULL, "AdamW: decay of the first moment",
         "arXiv:1711.05101"),
     ROW(OPT_FLOAT, beta2, "0.95", 0, 0.99999, NULL, "AdamW: decay of the second moment", NULL),
     ROW(OPT_FLOAT, eps, "1e-8", 1e-15, 1, NULL, "AdamW: added to the root of the second moment",
         NULL),
     ROW(OPT_FLOAT, weight_decay, "0.1", 0, 10, NULL,
         "AdamW: decay of matrices, not of norms and biases", NULL),
     ROW(OPT_FLOAT, clip, "1", 0, 1e9, NULL, "largest norm of the whole gradient; 0: not clipped",
         NULL),
     ROW(OPT_INT, batch, "8", 1, 1e6, "sequences", "sequences of one step", NULL),
     ROW(OPT_INT, micro_batch, "0", 0, 1e6, "sequences",
         "sequences of one forward pass; 0: the batch on a GPU, about 1024 tokens on the CPU",
         NULL),
     ROW(OPT_INT, sequence, "0", 0, 1048576, "tokens",
         "tokens of a sequence; 0: the model's context", NULL),
     ROW(OPT_ENUM, packing, "concat", 0, 0, "concat|best_fit",
         "documents one behind the other, cut where a sequence ends; or whole ones laid where they "
         "fit best",
         "arXiv:2404.10830"),
     ROW(OPT_INT, checkpoint_steps, "100", 1, 1e12, "steps", "a checkpoint every so many steps",
         NULL),
     ROW(OPT_INT, keep, "2", 1, 1e6, "checkpoints", "how many of the newest to keep", NULL),
     ROW(OPT_INT, eval_steps, "0", 0, 1e12, "steps",
         "bits per byte every so many steps; 0: at the anneal's start and at the end only", NULL),
     ROW(OPT_INT, eval_documents, "0", 0, 1e6, "documents",
         "held-out documents a domain; 0: as [eval] says", NULL),
     ROW(OPT_ENUM, device, "auto", 0, 0, "auto|cpu|cuda",
         "where to compute; auto: a GPU if one is there", NULL),
     ROW(OPT_INT, seed, "1", 0, 9e15, NULL, "order of the training data follows from it", NULL),
     ROW(OPT_SIZE, memory, "0", 0, 1e18, "bytes", "refuse a plan that needs more; 0: no limit",
         NULL),
     ROW(OPT_FLOAT, peak_tflops, "0", 0, 1e6, "TFLOP/s",
         "what the device can do, for MFU; 0: not shown", NULL),
     OPT_LAST};

int train_conf_check(struct train_conf *c, const struct model_conf *model)
{
    if (c->sequence == 0)
        c->sequence = model->context;
    if (c->steps < 1 || c->batch < 1 || c->micro_batch < 0 || c->sequence < 1 || c->keep < 1 ||
        c->checkpoint_steps < 1 || c->warmup_steps < 0 || c->anneal_steps < 0)
        return err_set(ERR_USAGE, "train: steps, batch, keep and checkpoint_steps must be at least "
                                  "1");
    if (c->micro_batch && c->batch % c->micro_batch != 0)
        return err_set(ERR_USAGE,
                       "train: batch %lld is not a multiple of micro_batch %lld: change one",
                       (long long)c->batch, (long long)c->micro_batch);
    if (c->sequence > model->context)
        return err_set(ERR_USAGE, "train: sequence %lld is longer than the model's context %lld: "
                       "shorten it or raise model.context", (long long)c->sequence,
                       (long long)model->context);
    if (c->warmup_steps + c->anneal_steps > c->steps)
        return err_set(ERR_USAGE, "train: warmup_steps %lld and anneal_steps %lld are more than "
                       "steps %lld: lower them or raise steps", (long long)c->warmup_steps,
                       (long long)c->anneal_steps, (long long)c->steps);
    if (!(c->lr > 0) || !(c->lr_end >= 0) || c->lr_end > c->lr)
        return err_set(ERR_USAGE, "train: lr %g must be above 0 and lr_end %g between 0 and lr",
                       c->lr, c->lr_end);
    if (!schedule_find(c->schedule))
        return err_set(ERR_USAGE, "train: schedule \"%s\" is unknown: use wsd, cosine, linear or "
                       "constant", c->schedule);
    return 0;
}

bool train_is_anneal(const struct train_conf *c, int64_t step)
{
    return step >= c->steps - c->anneal_steps;
}

/* (step + 1) / warmup_steps while warming up, so that the first step already moves; 1 after it. */
static double warmup(int64_t step, const struct train_conf *c)
{
    return step < c->warmup_steps ? (double)(step + 1) / (double)c->warmup_steps : 1;
}

/* 1 at fall 0, lr_end / lr at fall 1. */
static double down_to_end(double left, const struct train_conf *c)
{
    double end = c->lr_end / c->lr;
    return end + (1 - end) * left;
}

static double wsd(int64_t step, const struct train_conf *c)
{
    if (!train_is_anneal(c, step))
        return warmup(step, c);
    double gone = (double)(step - (c->steps - c->anneal_steps)) / (double)c->anneal_steps;
    return down_to_end(strcmp(c->decay, "linear") == 0 ? 1 - gone : 1 - sqrt(gone), c);
}

/* Share of the steps after the warm-up that is behind us: 0 at its end, below 1 at the last step.
 */
static double gone_after_warmup(int64_t step, const struct train_conf *c)
{
    int64_t span = c->steps - c->warmup_steps;
    return span > 0 ? (double)(step - c->warmup_steps) / (double)span : 0;
}

static double cosine(int64_t step, const struct train_conf *c)
{
    if (step < c->warmup_steps)
        return warmup(step, c);
    return down_to_end(0.5 * (1 + cos(3.14159265358979323846 * gone_after_warmup(step, c))), c);
}

static double linear(int64_t step, const struct train_conf *c)
{
    return step < c->warmup_steps ? warmup(step, c)
                                  : down_to_end(1 - gone_after_warmup(step, c), c);
}

const struct schedule schedules[] = {
    {"wsd", "warm-up, level, and a fall over the anneal", wsd},
    {"cosine", "half a cosine from the warm-up to the end", cosine},
    {"linear", "a line from the warm-up to the end", linear},
    {"constant", "level after the warm-up", warmup},
    {NULL, NULL, NULL},
};

const struct schedule *schedule_find(const char *name)
{
    for (const struct schedule *s = schedules; name && s->name; s++)
        if (strcmp(s->name, name) == 0)
            return s;
    return NULL;
}

/* train - one loop runs them all: model x objective x optimizer x schedule, from a store, resumable
 * to the bit. */
#ifndef SLUICE_TRAIN_TRAIN_H
#define SLUICE_TRAIN_TRAIN_H
#include "eval/eval.h"
#include "model/model.h"
#include "store/loader.h"

struct train_conf {
    int64_t steps, warmup_steps,
        anneal_steps; /* anneal: the last so many steps, lr -> lr_end and the anneal mixture */
    const char *objective;                           /* a row of objectives.def */
    const char *schedule;                            /* wsd | cosine | linear | constant */
    const char *decay; /* how wsd falls over the anneal: sqrt (1 - sqrt) | linear */
    double lr, lr_end, beta1, beta2, eps, weight_decay, clip;
    int64_t batch,
        micro_batch;  /* sequences per step, and per forward pass (accumulation); 0: as batch */
    int64_t sequence; /* tokens of a sequence; 0: the model's context */
    int64_t checkpoint_steps, keep;                  /* every so many steps; how many to keep */
    int64_t eval_steps, eval_documents; /* bits per byte during training: every so many steps (0:
                                           only at the anneal's start and at the end) */
    const char *device;                              /* auto | cpu | cuda */
    int64_t seed;
    uint64_t memory;    /* refuse a plan over so many bytes; 0: no limit */
    double peak_tflops; /* of the device, for MFU in speed.jsonl; 0: not shown */
};
extern const struct opt train_opts[];
/* Checks the values against each other and resolves the zeros that mean "as the other"; ERR_USAGE
 * with the remedy. */
int train_conf_check(struct train_conf *c, const struct model_conf *model);

/* lr(step) = lr * lr_frac(step), step from 0; never below lr_end / lr. */
struct schedule {
    const char *name, *help;
    double (*lr_frac)(int64_t step, const struct train_conf *c);
};
extern const struct schedule schedules[];            /* ends with name NULL */
const struct schedule *schedule_find(const char *name);
/* True from the first step of the anneal on. */
bool train_is_anneal(const struct train_conf *c, int64_t step);

/* Objective: what a batch is and what its loss is. Pretraining is the first row of objectives.def.
 */
struct trainer;
struct train_batch { int32_t *inputs, *targets, *doc_start; uint32_t *domain; uint32_t rows; };
struct objective {
    const char *name, *help, *source;
    /* Fills b->rows rows of the trainer's sequence length; a target below 0 is not counted. */
    int (*fill)(struct trainer *tr, struct train_batch *b);
    /* The mean loss over the counted targets of b as the last op of the tape; NULL on error. */
    struct tensor *(*loss)(struct trainer *tr, struct tape *t, const struct train_batch *b);
};
#define OBJECTIVE(name) extern const struct objective objective_##name;
#include "train/objectives.def"
#undef OBJECTIVE

/* Everything a run needs; folders are made below out_dir: checkpoints/step-NNNNNN/, model/ (the
 * final one, loads in transformers), train.jsonl (a row a step: step, phase, loss, lr, grad_norm,
 * tokens and loss per domain; and rows
 * {"step","eval":{domain: bits per byte}}; rewritten on resume so that the file is that of an
 * uninterrupted run; no clock times in it), speed.jsonl (tok/s, GFLOP/s, MFU), eval.json (bits per
 * byte before and after the anneal, mean loss of the last 20 steps of each phase). */
struct train_run {
    struct train_conf train; struct model_conf model;
    struct mixture stable, anneal;                   /* anneal.count 0: as stable */
    const char *store_dir, *tokenizer_dir, *heldout_dir,
        *out_dir; /* tokenizer_dir and heldout_dir may be NULL */
    int threads;
    const char *recipe_hash; /* stored in checkpoints; another recipe's is refused; NULL: "" */
};
/* Trains to the end, resuming from the newest whole checkpoint. Stops with ERR_STOP after saving
 * when pipe_stop is set. A NaN or infinite loss or gradient skips the update and is counted; 10 in
 * a row is an error. */
int train(const struct train_run *run);
#endif

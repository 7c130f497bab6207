/* train - one loop runs them all: model x objective x optimizer x schedule, from a store, resumable to the bit. */
#ifndef SLUICE_TRAIN_TRAIN_H
#define SLUICE_TRAIN_TRAIN_H
#include "eval/eval.h"
#include "model/model.h"
#include "store/store.h"

struct train_conf {
    int64_t steps, warmup_steps, anneal_steps;      /* anneal: the last so many steps, lr -> 0 and the anneal mixture */
    const char *schedule;                            /* wsd | cosine | linear | constant */
    double lr, lr_end, beta1, beta2, eps, weight_decay, clip;
    int64_t batch, micro_batch;                      /* sequences per step, and per forward pass (accumulation) */
    int64_t sequence;                                /* tokens of a sequence */
    int64_t checkpoint_steps, keep;                  /* every so many steps; how many to keep */
    int64_t eval_steps, eval_documents;              /* bits per byte during training: every so many steps (0: only at the anneal's start and at the end) */
    const char *device;                              /* auto | cpu | cuda */
    int64_t seed;
};
extern const struct opt train_opts[];
struct schedule { const char *name, *help; double (*lr_frac)(int64_t step, const struct train_conf *c); };
extern const struct schedule schedules[];            /* ends with name NULL */

/* Objective: what a batch is and what its loss is. Pretraining is the first row of objectives.def. */
struct trainer;
struct train_batch { int32_t *inputs, *targets, *doc_start; uint32_t *domain; uint32_t rows; };
struct objective {
    const char *name, *help, *source;
    int (*fill)(struct trainer *tr, struct train_batch *b);
    struct tensor *(*loss)(struct trainer *tr, struct tape *t, const struct train_batch *b);
};
/* Everything a run needs; folders are made below out_dir: checkpoints/step-NNNNNN/, model/ (the final one, loads in
 * transformers), train.jsonl (a row a step: step, phase, loss, lr, grad_norm, tokens and loss per domain; rewritten
 * on resume so that the file is that of an uninterrupted run; no clock times in it), speed.jsonl (tok/s, MFU). */
struct train_run {
    struct train_conf train; struct model_conf model;
    struct mixture stable, anneal;
    const char *store_dir, *tokenizer_dir, *heldout_dir, *out_dir;
    int threads;
    const char *recipe_hash;                        /* stored in checkpoints; another recipe's is refused */
};
/* Trains to the end, resuming from the newest whole checkpoint. Stops with ERR_STOP after saving when pipe_stop is set.
 * A NaN or infinite loss or gradient skips the update and is counted; 10 in a row is an error. */
int train(const struct train_run *run);
#endif

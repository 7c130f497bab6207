/* train - one loop runs them all: model x objective x optimizer x schedule, from a store, resumable
 * to the bit. */
#ifndef SLUICE_TRAIN_TRAIN_H
#define SLUICE_TRAIN_TRAIN_H
#include "eval/eval.h"
#include "model/model.h"
#include "store/loader.h"

struct train_conf {
    int64_t steps, warmup_steps,
        anneal_steps;      /* anneal: the last so many steps, lr -> lr_end and the anneal mixture */
    const char *objective; /* a row of objectives.def */
    const char *schedule;  /* wsd | cosine | linear | constant */
    const char *decay;     /* how wsd falls over the anneal: sqrt (1 - sqrt) | linear */
    double lr, lr_end, beta1, beta2, eps, weight_decay, clip;
    int64_t batch,
        micro_batch;     /* sequences per step, and per forward pass (accumulation); 0: as batch */
    int64_t sequence;    /* tokens of a sequence; 0: the model's context */
    const char *packing; /* concat | best_fit: see store/loader.h */
    int64_t checkpoint_steps, keep;     /* every so many steps; how many to keep */
    int64_t eval_steps, eval_documents; /* bits per byte during training: every so many steps (0:
                                           only at the anneal's start and at the end) */
    const char *device;                 /* auto | cpu | cuda */
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
extern const struct schedule schedules[]; /* ends with name NULL */
const struct schedule *schedule_find(const char *name);
/* True from the first step of the anneal on. */
bool train_is_anneal(const struct train_conf *c, int64_t step);

/* ---- phases: what is read when (train/phases.c) ---- */
enum { TRAIN_PHASES_MAX = 32 };
/* Every step of every phase has batch x sequence tokens of train_conf: a phase with longer
 * sequences has fewer of them. */
struct train_phase {
    char name[48];
    int64_t steps;
    int64_t sequence;                  /* 0: train_conf's */
    double rope_theta;                 /* 0: as the phase before, the first: the model's */
    double weight[LOADER_SOURCES_MAX]; /* of the plan's sources */
};
struct train_plan {
    uint32_t source_count, phase_count;
    enum loader_spill spill;
    struct loader_source source[LOADER_SOURCES_MAX]; /* their views are borrowed */
    struct train_phase phase[TRAIN_PHASES_MAX];
};
/* Fills the zeros that mean "as the other" and checks phases against c (which was checked) and the
 * model; ERR_USAGE with the remedy. */
int train_plan_check(struct train_plan *plan, const struct train_conf *c,
                     const struct model_conf *model);
/* The same as a plan of rows. */
void train_plan_rows(const struct train_plan *plan, const struct train_conf *c,
                     struct loader_conf *out);
struct train_place {
    uint32_t phase;
    int64_t phase_step; /* the phase's first */
    uint64_t row;       /* the step's first row of the plan */
    uint32_t rows, sequence;
};
/* Where a step (from 0; up to and with the last + 1) lies; O(phases). */
struct train_place train_place(const struct train_plan *plan, const struct train_conf *c,
                               int64_t step);

/* Objective: what a batch is and what its loss is. Pretraining is the first row of objectives.def.
 */
struct trainer;
struct train_batch {
    int32_t *inputs, *targets, *doc_start;
    uint32_t *domain;
    uint32_t rows;
};
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
 * tokens and loss per source; a row {"step","phase","store","mixture":{source: share},...} in front
 * of each phase, with the step it follows; and rows {"step","eval":{domain: bits per byte}};
 * rewritten on resume so that the file is that of an uninterrupted run; no clock times in it),
 * speed.jsonl (tok/s, GFLOP/s, MFU), eval.json (bits per byte before and after the anneal, mean
 * loss of the last 20 steps of each phase). */
struct train_run {
    struct train_conf train;
    struct model_conf model;
    struct train_plan plan;
    struct store *store; /* borrowed, as the views of the plan's sources */
    const char *tokenizer_dir, *heldout_dir, *out_dir; /* the first two may be NULL */
    int threads;
    int64_t eval_batch;      /* at most so many windows are scored at a time; 0: as fits */
    const char *recipe_hash; /* stored in checkpoints; another recipe's is refused; NULL: "" */
    /* Called once, when the plan was found to go with what is there already and before the first
     * step; below 0 ends the training. May be NULL. */
    int (*accepted)(void *arg);
    void *accepted_arg;
};
/* Trains to the end, resuming from the newest whole checkpoint; one whose rows so far are not those
 * of this plan (its past was changed, or the store) is ERR_USAGE with what differs. Stops with
 * ERR_STOP after saving when pipe_stop is set. A NaN or infinite loss or gradient skips the update
 * and is counted; 10 in a row is an error. */
int train(const struct train_run *run);
#endif

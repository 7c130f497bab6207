/* trainer - what the files of train/ share: one step of training, its state, checkpoints and logs.
 */
#ifndef SLUICE_TRAIN_TRAINER_H
#define SLUICE_TRAIN_TRAINER_H
#include "train/train.h"

enum { LOSS_WINDOW = 20, SKIPPED_MAX = 10, SKIPPED_WARNINGS = 5 };

/* All that a step changes apart from weights and moments: it stands in a checkpoint's state.json.
 */
struct train_state {
    uint64_t step;                 /* steps done */
    uint64_t updates;              /* steps that changed the weights: AdamW's t */
    uint64_t tokens;               /* targets seen */
    uint64_t skipped, skipped_row; /* steps skipped for NaN or Inf, and how many of them just now */
    double recent[LOSS_WINDOW];    /* losses of the last steps of this phase, a ring */
    uint64_t recent_count;
    double loss_before; /* mean of the ring when the anneal began; NaN until then */
    struct {
        char domain[48];
        double bits_per_byte;
    } before[STORE_DOMAINS_MAX];
    uint32_t before_count; /* held-out domains as measured when the anneal began */
    uint64_t log_bytes,
        log_chain; /* train.jsonl at this step: its length and its rows' chained hash */
    uint64_t row;  /* of the plan: the next step's first */
};

struct step_report {
    double loss, lr, grad_norm;
    bool skipped;
    uint64_t tokens; /* counted targets */
    uint64_t domain_tokens[STORE_DOMAINS_MAX];
    double domain_loss[STORE_DOMAINS_MAX]; /* mean; unset where domain_tokens is 0 */
};

struct trainer {
    struct train_conf conf;
    const struct objective *objective;
    const struct schedule *schedule;
    struct stream *stream;
    struct model model;
    struct dev_arena activations;
    struct tape tape;
    struct train_plan plan;
    uint32_t phase;                /* of the plan, since trainer_enter */
    int64_t sequence, rows, micro; /* of the phase: tokens of a row, rows of a step, of a pass */
    struct train_batch batch;      /* of the step under way, on the host */
    int32_t *own;                  /* a batch's memory, for objectives that fill their own */
    float *row_loss;               /* of a micro batch, on the host */
    struct loader *loader;         /* both NULL when the objective makes its own batches */
    struct batches *batches;       /* of train/batches.h */
    char *past; /* what the checkpoint that was loaded says of its rows (loader_past), owned */
    struct train_state state;
};

/* Opens device, model and memory, after printing the plan and refusing one over conf.memory.
 * model->vocab must be set. plan (copied; NULL: one phase of all steps) tells the phases' shapes;
 * the first is entered. */
int trainer_open(struct trainer *tr, const struct train_conf *conf, const struct train_plan *plan,
                 const struct model_conf *model, int threads);
/* From now on steps have the shape and the rope_theta of this phase. */
void trainer_enter(struct trainer *tr, uint32_t phase);
/* One step: fill, forward and backward by micro batches, clip, update. state.step counts it in any
 * case. */
int trainer_step(struct trainer *tr, struct step_report *out);
void trainer_close(struct trainer *tr);

/* ---- train/checkpoint.c ---- */
/* Writes DIR/step-NNNNNN as a whole (a folder that is renamed when all its files are on disk) and
 * prunes older ones. */
int checkpoint_save(struct trainer *tr, const char *dir, const char *recipe_hash);
/* Loads the newest whole checkpoint below dir into the trainer: 1 done, 0 there is none. Damaged
 * ones are passed over with a warning; one of another recipe is ERR_USAGE. */
int checkpoint_load(struct trainer *tr, const char *dir, const char *recipe_hash);

/* ---- train/trainlog.c ---- */
struct train_log {
    int fd;
    uint64_t bytes, chain;
};
/* Opens path to append behind the rows that state knows; what lies behind them is cut off. */
int train_log_open(struct train_log *log, const char *path, const struct train_state *state);
/* Appends one row (a JSON object without the newline). */
int train_log_row(struct train_log *log, struct str row);
int train_log_sync(struct train_log *log);
void train_log_close(struct train_log *log);
/* The row of a step. names[domain] are the domains' names. */
int train_log_step(struct train_log *log, const struct trainer *tr,
                   const struct step_report *report, const char *const *names);
#endif

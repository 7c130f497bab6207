/* run - a run's folder and its tasks: pure functions of (resolved recipe, frozen inputs, task,
 * shard).
 *
 * RUN/recipe.toml           resolved recipe
 * RUN/run.json              what, when, by whom; number of inputs and shards
 * RUN/base.json             [store] path: whose store
 * RUN/inputs.json           frozen list: path and bytes
 * RUN/done/TASK/NNNNN.json  manifests
 * RUN/models/               quality.bin
 * RUN/spool/NNNNN.zst       every record, text of the kept
 * RUN/signatures/NNNNN.sig
 * RUN/dedup/                edges-BB.bin, clusters.bin, survivors.zst
 * RUN/tokenizer/            tokenizer.json, .tiktoken, report.json
 * RUN/tokens/NNNNN.bin
 * RUN/corpus/NNNNN.jsonl.zst
 * RUN/ledger/NNNNN.parquet
 * RUN/heldout/DOMAIN.jsonl.zst
 * RUN/store/data.mdb, RUN/store.json
 * RUN/views/NAME.view
 * RUN/samples.jsonl         documents for the report
 * RUN/train/                checkpoints, model, logs
 * RUN/eval.json, RUN/report.html, RUN/report.json, RUN/metrics.jsonl
 *
 * NNNNN is the number of the input file, so no file depends on how many shards or threads there
 * were. */
#ifndef SLUICE_COMMAND_RUN_H
#define SLUICE_COMMAND_RUN_H
#include "command/recipe.h"
#include "store/store.h"

/* name: as the recipe or the mirror's list has it, the same on every machine; path: where it lies
 * here. */
struct input_file {
    const char *name, *path;
    uint64_t bytes;        /* 0 of a remote one */
    bool remote;           /* lies at [source] base and is fetched when it is needed (cache_max) */
};
struct run {
    char dir[IO_PATH_MAX];
    char base[IO_PATH_MAX]; /* whose store/, tokenizer/, heldout/ and ledger/ it uses: dir itself,
                               or the run that [store] path names */
    struct recipe *recipe;
    struct arena arena;
    struct input_file *input;
    uint32_t input_count;
    uint32_t shards;
    int threads;
    bool mixture_pending;      /* recipe's mixture is not that of RUN/recipe.toml: run_accept */
    const char *command_line;  /* of run_create; borrowed */
    struct crawl_ahead *ahead; /* the remote inputs of the task under way */
    struct crawl_file *remote; /* for it, by unit */
    uint32_t *order;
};
struct task {
    const char *name, *help;
    bool inputs;   /* unit i reads input i: a remote one is removed once the unit is done */
    bool trains;   /* depends on the mixture, which the recipe's hash leaves out */
    bool parallel; /* units use one thread each and may run side by side */
    /* How many units of work: input files, bands or 1; 0: nothing to do in this recipe. */
    uint32_t (*units)(const struct run *r);
    /* Does unit, writing its outputs and then its manifest's fields into m. */
    int (*exec)(struct run *r, uint32_t unit, struct manifest *m);
    /* 0: what was done is of something that has changed since, and must be done again. NULL: once
     * done it stays. */
    int (*fresh)(const struct run *r);
};
extern const struct task tasks[]; /* in order; ends with name NULL */
const struct task *task_find(const char *name);
/* Runs the units of a task that fall to this shard (unit % count == index) and are not done yet. */
int task_run(struct run *r, const struct task *t, uint32_t shard_index, uint32_t shard_count);
/* 1: every unit done; 0: some missing. */
int task_done(struct run *r, const struct task *t, uint32_t *done, uint32_t *units);

/* Makes or reopens RUN for recipe: refuses another recipe's folder, freezes the inputs. Keys that
 * the program of then did not know may be there with their defaults: a run goes on with a newer
 * program, under the hashes that it began with. A mixture that differs is noted in RUN only by
 * run_accept, which task_train calls once the training has taken it; refused, RUN stays as it
 * was. */
int run_create(struct run *r, struct recipe *recipe, const char *dir, const char *command_line);
int run_accept(struct run *r); /* does nothing when nothing is pending */
/* Opens an existing folder; the recipe comes from it. */
int run_open(struct run *r, struct recipe *recipe, const char *dir);
void run_close(struct run *r);
/* For a command of that name that works on the run its --run names: run_open with both parts from
 * the arena; ERR_USAGE when dir is NULL or empty. Whatever it returns, run_release *out (which may
 * be NULL). */
int run_of_flag(struct run **out, const char *command, const char *dir, struct arena *a);
void run_release(struct run *r);
/* The first half of it, for those that read the folder otherwise. */
int run_flag_check(const char *command, const char *dir);
/* One process at a time works in a run's folder: ERR_AGAIN when another does. Close *fd at the end;
 * run_create does this for the run it makes. */
int run_lock(const char *dir, int *fd);
/* ---- [store] path (command/base_run.c) ---- */
/* Finds the run that r borrows from and notes it in RUN/base.json; ERR_USAGE when r was begun on
 * another one. */
int base_freeze(struct run *r);
int base_load(struct run *r); /* sets r->base of any run */
/* The folder of the store that the run at run_dir is on. ERR_USAGE with the remedy when it is
 * another run's and gone. */
int base_store(const char *run_dir, char out[IO_PATH_MAX]);
/* ---- inputs (command/inputs.c) ---- */
/* Reads RUN/inputs.json, or makes it: finds the files, fetches a crawl's but for cache_max. */
int inputs_freeze(struct run *r);
int inputs_load(struct run *r); /* reads it */
/* The units given will be read in this order: remote files are fetched ahead, within
 * source.cache_max. Does nothing when all are local. */
int inputs_open(struct run *r, const uint32_t *unit, uint32_t count);
/* Waits until a file can be read; *bytes: its size. */
int input_get(struct run *r, uint32_t unit, uint64_t *bytes);
/* It was read. keep: it may stay while there is room; else a remote one is removed. */
int input_done(struct run *r, uint32_t unit, bool keep);
/* Its unit was done by an earlier process, which may have been killed before it removed it. */
void input_drop(const struct run *r, uint32_t unit);
void inputs_close(struct run *r); /* also after a failed inputs_open */

/* ---- the spool (command/spool.c): every record of an input file, in order ---- */
struct spool_doc {
    uint32_t record, raw_bytes, text_bytes;
    uint64_t offset, id;
    uint16_t rule;
    float value, threshold;
    uint64_t also[RULES_MAX / 64];
    char lang[8];
    struct str url, host, date, title, meta;
    struct str text; /* whole when kept; a snippet (or empty) when dropped */
    float signal[SIGNALS_MAX];
};
struct spool_writer;
int spool_create(struct spool_writer **out, const char *path, int signal_count);
/* raw_bytes: size of the record's body, which a record dropped at the source no longer holds. */
int spool_add(struct spool_writer *w, const struct doc *d, struct str text, uint32_t raw_bytes);
int spool_commit(struct spool_writer *w, struct io_info *info);
void spool_abandon(struct spool_writer *w);
struct spool_reader;
int spool_open(struct spool_reader **out, const char *path, int signal_count);
/* 1 a record, 0 the end; its strings live until the next call. */
int spool_next(struct spool_reader *r, struct spool_doc *d);
void spool_close(struct spool_reader *r);

/* ---- who survived: URLs of kept documents that stand for a cluster (command/survivors.c) ---- */
/* True when the row is the document that stays. */
bool survivor_is(const struct cluster_row *row);
struct survivors;
int survivors_open(struct survivors **out, const char *path);
struct str survivors_url(const struct survivors *s, struct dedup_key key); /* empty when unknown */
void survivors_close(struct survivors *s);
/* Reads the spools once more and writes the URLs of all survivors of c to path. */
int survivors_write(struct run *r, const struct clusters *c, const char *path,
                    struct io_info *info);

/* Total of a count over the manifests of a task. */
int run_count(const struct run *r, const char *task, const char *name, uint64_t *out);

/* ---- decisions of pass 2 that follow from the document alone ---- */
bool run_is_heldout(const struct recipe *r, uint64_t id);
/* Domain index in recipe->domain. */
int run_domain_of(const struct recipe *r, const struct spool_doc *d);

/* ---- the tasks, one file each ---- */
int task_quality(struct run *r, uint32_t unit, struct manifest *m); /* command/quality_train.c */
int task_pass1(struct run *r, uint32_t unit, struct manifest *m);   /* command/pass1.c */
int task_band(struct run *r, uint32_t unit, struct manifest *m);    /* command/settle.c */
int task_clusters(struct run *r, uint32_t unit, struct manifest *m);
int task_tokenizer(struct run *r, uint32_t unit, struct manifest *m);
int task_pass2(struct run *r, uint32_t unit, struct manifest *m); /* command/pass2.c */
int task_store(struct run *r, uint32_t unit, struct manifest *m); /* command/merge.c */
int task_train(struct run *r, uint32_t unit, struct manifest *m); /* command/learn.c */
int task_eval(struct run *r, uint32_t unit, struct manifest *m);
#endif

/* tasks - the list of tasks in order, and the part all share: skip what is done, run, write the
 * manifest. */
#include "command/run.h"
#include "command/views.h"
#include "core/err.h"

#include <stdlib.h>

static uint32_t per_input(const struct run *r) { return r->input_count; }
static uint32_t if_own(const struct run *r) { return !r->recipe->borrowed; }
static uint32_t if_views(const struct run *r)
{
    return r->recipe->borrowed || r->recipe->view_count;
}
static uint32_t if_quality(const struct run *r) { return r->recipe->has_quality; }
static uint32_t if_dedup(const struct run *r) { return r->recipe->has_dedup; }
static uint32_t per_band(const struct run *r)
{
    return r->recipe->has_dedup ? (uint32_t)dedup_band_count(&r->recipe->dedup) : 0;
}
static uint32_t if_train(const struct run *r) { return r->recipe->has_train; }

const struct task tasks[] = {
    {"quality", "train the quality classifier on a sample of the input", .units = if_quality,
     .exec = task_quality},
    {"pass1", "read, extract, measure, judge and sign every record", .inputs = true,
     .units = per_input, .exec = task_pass1},
    {"band", "find candidate duplicates of one band", .parallel = true, .units = per_band,
     .exec = task_band},
    {"clusters", "join duplicates into clusters and choose who stays", .units = if_dedup,
     .exec = task_clusters},
    {"tokenizer", "train the tokenizer on the kept text", .units = if_own, .exec = task_tokenizer},
    {"pass2", "tokenize what stays; write corpus and ledger", .parallel = true, .units = per_input,
     .exec = task_pass2},
    {"store", "gather the tokens into the store", .units = if_own, .exec = task_store},
    {"views", "find the subsets of the store that the mixtures name", .units = if_views,
     .exec = task_views, .fresh = views_fresh},
    {"train", "train the model, with its anneal phase", .trains = true, .units = if_train,
     .exec = task_train},
    {"eval", "score held-out text against its baselines", .trains = true, .units = if_train,
     .exec = task_eval},
    {.name = NULL},
};

static const char *task_hash(const struct run *r, const struct task *t)
{
    return t->trains ? r->recipe->train_hash : r->recipe->hash;
}

const struct task *task_find(const char *name)
{
    for (const struct task *t = tasks; t->name; t++)
        if (strcmp(t->name, name) == 0)
            return t;
    return NULL;
}

static int manifest_path(const struct run *r, const struct task *t, uint32_t unit, char *out)
{
    return io_path(out, "%s/done/%s/%05u.json", r->dir, t->name, unit);
}

static int unit_done(const struct run *r, const struct task *t, uint32_t unit)
{
    char path[IO_PATH_MAX];
    struct manifest *m = calloc(1, sizeof *m);
    if (!m)
        return err_set(ERR_LIMIT, "task %s: no memory", t->name);
    int rc = manifest_path(r, t, unit, path);
    if (rc >= 0)
        rc = manifest_check(m, r->dir, path, task_hash(r, t), false);
    if (rc > 0 && t->fresh)
        rc = t->fresh(r);
    manifest_free(m);
    free(m);
    return rc;
}

static int unit_run(struct run *r, const struct task *t, uint32_t unit)
{
    char path[IO_PATH_MAX];
    uint64_t start = clock_ns();
    struct manifest *m = calloc(1, sizeof *m);
    if (!m)
        return err_set(ERR_LIMIT, "task %s: no memory", t->name);
    snprintf(m->task, sizeof m->task, "%s", t->name);
    snprintf(m->recipe_hash, sizeof m->recipe_hash, "%s", task_hash(r, t));
    m->shard = unit;
    m->shard_count = t->units(r);
    int rc = manifest_path(r, t, unit, path);
    if (rc >= 0)
        rc = t->exec(r, unit, m);
    if (rc >= 0)
        rc = manifest_write(m, r->dir, path);
    if (rc >= 0) {
        char name[64];
        snprintf(name, sizeof name, "task.%s", t->name);
        metric(name, (double)(clock_ns() - start) * 1e-9, "s");
    }
    manifest_free(m);
    free(m);
    return rc < 0 ? err_in(rc, "task %s", t->name) : 0;
}

struct side_by_side {
    struct run *run;
    const struct task *task;
    const uint32_t *unit;
    struct progress *progress;
};

static int run_index(void *arg, int index, int thread)
{
    struct side_by_side *s = arg;
    UNUSED(thread);
    if (pipe_stop)
        return err_set(ERR_STOP, "stopped by a signal: run the same command to go on");
    TRY(unit_run(s->run, s->task, s->unit[index]));
    progress_add(s->progress, 1, 0, 0);
    return 0;
}

static int run_parallel(struct run *r, const struct task *t, const uint32_t *unit, uint32_t count)
{
    struct progress progress;
    struct side_by_side s = {.run = r, .task = t, .unit = unit, .progress = &progress};
    struct pool *pool;
    TRY(recipe_open_stages(r->recipe, r->dir, r->recipe->stage_count));
    TRY(pool_open(&pool, r->threads));
    progress_begin(&progress, t->name, "units", count);
    int rc = pool_try(pool, (int)count, run_index, &s);
    progress_end(&progress);
    pool_close(pool);
    return rc;
}

/* One after the other; a remote input goes when its unit is done. */
static int run_in_turn(struct run *r, const struct task *t, const uint32_t *unit, uint32_t count)
{
    int rc = t->inputs ? inputs_open(r, unit, count) : 0;
    for (uint32_t i = 0; i < count && rc >= 0; i++) {
        rc = pipe_stop ? err_set(ERR_STOP, "stopped by a signal: run the same command to go on")
                       : unit_run(r, t, unit[i]);
        if (rc >= 0 && t->inputs)
            rc = input_done(r, unit[i], false);
    }
    if (t->inputs)
        inputs_close(r);
    return rc;
}

int task_run(struct run *r, const struct task *t, uint32_t shard_index, uint32_t shard_count)
{
    uint32_t units = t->units(r), pending = 0;
    uint32_t *unit = calloc(units ? units : 1, sizeof *unit);
    int rc = unit ? 0 : err_set(ERR_LIMIT, "task %s: no memory", t->name);
    for (uint32_t i = 0; i < units && rc >= 0; i++) {
        if (i % shard_count != shard_index)
            continue;
        rc = unit_done(r, t, i);
        if (rc == 0)
            unit[pending++] = i;
        else if (rc > 0 && t->inputs)
            input_drop(r, i);
    }
    if (rc >= 0 && pending)
        rc = t->parallel ? run_parallel(r, t, unit, pending) : run_in_turn(r, t, unit, pending);
    free(unit);
    return rc < 0 ? rc : 0;
}

int task_done(struct run *r, const struct task *t, uint32_t *done, uint32_t *units)
{
    *units = t->units(r);
    *done = 0;
    for (uint32_t i = 0; i < *units; i++) {
        int rc = unit_done(r, t, i);
        TRY(rc);
        *done += rc > 0;
    }
    return *done == *units;
}

int run_count(const struct run *r, const char *task, const char *name, uint64_t *out)
{
    const struct task *t = task_find(task);
    struct manifest *m = calloc(1, sizeof *m);
    char path[IO_PATH_MAX];
    int rc = m ? 0 : err_set(ERR_LIMIT, "run: no memory");
    *out = 0;
    for (uint32_t i = 0; rc >= 0 && i < t->units(r); i++) {
        memset(m, 0, sizeof *m);
        rc = manifest_path(r, t, i, path);
        if (rc >= 0)
            rc = manifest_check(m, r->dir, path, task_hash(r, t), false);
        if (rc > 0)
            *out += manifest_get_count(m, name);
        manifest_free(m);
    }
    free(m);
    return rc < 0 ? rc : 0;
}

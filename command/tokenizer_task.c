/* tokenizer_task - task tokenizer: a vocabulary trained on the text of the run as the model will
 * see it, by all threads; or a given one copied into the run.
 *
 * The spools are walked twice: once to know how many bytes each domain has, where that decides
 * anything, and once to count. Who is looked at is drawn by (seed, document id), so neither threads
 * nor the order of files matter. Held-out documents are kept apart on the way, and measured at the
 * end: RUN/tokenizer/report.json. */
#include "command/mixture.h"
#include "command/token_kept.h"
#include "command/tokenize_verbs.h"
#include "core/err.h"

#include <math.h>
#include <stdlib.h>

enum {
    WEIGHT_ONE = 1000, /* weights are thousandths */
    HELD_BYTES_MAX = 64 << 20,
    SAMPLE_SEED = 0x70C,
};

/* One domain's part: the share of its documents that is looked at, and how often each counts. */
struct domain_part {
    uint64_t bytes; /* of its text that may be trained on */
    double share;
    uint64_t times;
};
struct walker {
    uint64_t bytes[STORE_DOMAINS_MAX];
    struct bpe_counter *counter;
    struct spool_doc doc;
};
struct tokenizer_run {
    struct run *run;
    struct clusters *clusters;
    struct pool *pool;
    struct walker *walker;       /* [threads] */
    struct bpe_trainer *trainer; /* NULL: bytes are counted */
    struct kept_texts *held;
    struct domain_part part[STORE_DOMAINS_MAX];
    uint64_t weight_one;
    struct walk_end {
        int rc;
        char error[512];
    } * end; /* [items] */
};

static int walk_doc(struct tokenizer_run *t, struct walker *w, uint32_t item)
{
    const struct recipe *recipe = t->run->recipe;
    const struct spool_doc *d = &w->doc;
    const struct cluster_row *row =
        t->clusters ? clusters_find(t->clusters, (struct dedup_key){item, d->record}) : NULL;
    if (d->rule || (row && !survivor_is(row)))
        return 0;
    int domain = run_domain_of(recipe, d);
    bool heldout = run_is_heldout(recipe, d->id);
    if (heldout && t->trainer)
        return kept_add(t->held, hash_mix(d->id), d->text, str_of(recipe->domain[domain].name),
                        str_of(d->lang));
    if (heldout)
        return 0;
    if (!t->trainer) {
        w->bytes[domain] += d->text.len;
        return 0;
    }
    const struct domain_part *part = &t->part[domain];
    if (hash_unit((uint64_t)recipe->run.seed ^ SAMPLE_SEED, d->id) >= part->share)
        return 0;
    return part->times ? bpe_counter_add(w->counter, d->text, part->times) : 0;
}

static void walk_item(void *arg, int item, int thread)
{
    struct tokenizer_run *t = arg;
    struct walker *w = &t->walker[thread];
    struct walk_end *end = &t->end[item];
    struct spool_reader *spool = NULL;
    char path[IO_PATH_MAX];
    int rc = io_path(path, "%s/spool/%05u.zst", t->run->dir, (unsigned)item);
    if (rc >= 0)
        rc = spool_open(&spool, path, t->run->recipe->schema.signal_count);
    while (rc >= 0 && (rc = spool_next(spool, &w->doc)) > 0)
        rc = pipe_stop ? err_set(ERR_STOP, "stopped by a signal: run the same command to go on")
                       : walk_doc(t, w, (uint32_t)item);
    if (spool)
        spool_close(spool);
    end->rc = rc;
    if (rc < 0) {
        err_copy_to(end->error, sizeof end->error);
        err_clear();
    }
}

/* All spools, by all threads; of errors the first file's. */
static int walk(struct tokenizer_run *t)
{
    uint32_t count = t->run->input_count;
    int rc = 0, threads = pool_threads(t->pool);
    t->end = calloc((size_t)count + 1, sizeof *t->end);
    if (!t->end)
        return err_set(ERR_LIMIT, "tokenizer: no memory for %u files", count);
    for (int i = 0; t->trainer && i < threads && rc >= 0; i++)
        rc = bpe_counter_open(&t->walker[i].counter, t->trainer);
    if (rc >= 0)
        pool_each(t->pool, (int)count, walk_item, t);
    for (uint32_t i = 0; i < count && rc >= 0; i++)
        if (t->end[i].rc < 0)
            rc = err_set(t->end[i].rc, "%s", t->end[i].error);
    for (int i = 0; i < threads; i++) {
        int closed = bpe_counter_close(t->walker[i].counter);
        t->walker[i].counter = NULL;
        rc = rc < 0 ? rc : closed;
    }
    free(t->end);
    t->end = NULL;
    return rc;
}

/* ---- how much of what ---- */
/* The shares of the text that is looked at: those of the mixture, what views hold of it spread by
 * bytes. A domain that has less text than its share counts more often, as it will be read more
 * often, but no more often than a domain may be repeated. */
static void parts_by_mixture(struct tokenizer_run *t, const double *weight, uint64_t all,
                             uint64_t sample)
{
    const struct recipe *recipe = t->run->recipe;
    double named = 0;
    for (int d = 0; d < recipe->domain_count; d++)
        named += weight[d];
    for (int d = 0; d < recipe->domain_count; d++) {
        struct domain_part *p = &t->part[d];
        double rest = named < 1 ? (1 - named) * (double)p->bytes / (double)all : 0;
        double want = (double)sample * (weight[d] + rest);
        *p = (struct domain_part){p->bytes, 1, WEIGHT_ONE};
        if (p->bytes == 0)
            continue;
        double times = want / (double)p->bytes;
        if (times < 1) {
            p->share = times;
            continue;
        }
        if (times > recipe->mixture.epochs_max && recipe->mixture.epochs_max >= 1)
            times = recipe->mixture.epochs_max;
        p->times = (uint64_t)llround(times * WEIGHT_ONE);
    }
}

static int parts_decide(struct tokenizer_run *t)
{
    const struct recipe *recipe = t->run->recipe;
    const struct tokenizer_conf *conf = &recipe->tokenizer;
    double weight[STORE_DOMAINS_MAX] = {0};
    uint64_t kept_bytes, all = 0;
    bool mixture = strcmp(conf->weights, "mixture") == 0 && mixture_weights(recipe, weight);
    t->weight_one = mixture ? WEIGHT_ONE : 1;
    for (int d = 0; d < recipe->domain_count; d++)
        t->part[d] = (struct domain_part){0, 1, t->weight_one};
    TRY(run_count(t->run, "pass1", "kept_bytes", &kept_bytes));
    if (!mixture && kept_bytes <= conf->sample_bytes)
        return 0; /* everything, once */
    TRY(walk(t));
    for (int d = 0; d < recipe->domain_count; d++) {
        for (int i = 0; i < pool_threads(t->pool); i++)
            t->part[d].bytes += t->walker[i].bytes[d];
        all += t->part[d].bytes;
    }
    uint64_t sample = all < conf->sample_bytes ? all : conf->sample_bytes;
    if (all == 0)
        return 0;
    if (mixture)
        parts_by_mixture(t, weight, all, sample);
    for (int d = 0; d < recipe->domain_count && !mixture; d++)
        t->part[d].share = (double)sample / (double)all;
    return 0;
}

/* ---- the report ---- */
static void report_domains(const struct tokenizer_run *t, struct json_writer *w)
{
    const struct recipe *recipe = t->run->recipe;
    json_field_str(w, "weights", t->weight_one == 1 ? STR("text") : STR("mixture"));
    json_field_open(w, "domains", '[');
    for (int d = 0; d < recipe->domain_count; d++) {
        json_open(w, '{');
        json_field_text(w, "domain", recipe->domain[d].name);
        json_field_num(w, "share_looked_at", t->part[d].share);
        json_field_num(w, "counted_times", (double)t->part[d].times / (double)t->weight_one);
        json_close(w, '}');
    }
    json_close(w, ']');
}

static int report_write(struct tokenizer_run *t, const char *dir, struct manifest *m)
{
    const struct opt_list *compare = &t->run->recipe->tokenizer.compare;
    struct bpe_train_stats stats = bpe_trainer_stats(t->trainer);
    struct measure *measure = NULL;
    struct buf text = {0};
    struct json_writer w;
    struct io_info info;
    struct io_writer *out;
    char path[IO_PATH_MAX];
    int rc;
    TRY_OUT(measure_open(&measure, pool_threads(t->pool)));
    TRY_OUT(measure_tokenizer_named(measure, dir, "tokenizer", -1));
    for (size_t i = 0; i < compare->count; i++)
        TRY_OUT(measure_tokenizer(measure, compare->item[i], -1));
    TRY_OUT(kept_measure(t->held, measure, t->pool));
    json_begin(&w, &text);
    json_open(&w, '{');
    train_counts_json(&w, &stats, t->held);
    report_domains(t, &w);
    json_key(&w, "held_out");
    measure_json(measure, &w);
    json_close(&w, '}');
    buf_char(&text, '\n');
    TRY_OUT(text.failed ? err_set(ERR_LIMIT, "tokenizer: no memory for its report") : 0);
    TRY_OUT(io_path(path, "%s/report.json", dir));
    TRY_OUT(io_create(&out, path, IO_PLAIN, 0));
    rc = io_write_str(out, buf_view(&text));
    if (rc < 0) {
        io_abandon(out);
        goto out;
    }
    TRY_OUT(io_commit(out, &info));
    rc = manifest_add_output(m, "tokenizer/report.json", &info);
out:
    measure_close(measure);
    buf_free(&text);
    return rc < 0 ? rc : 0;
}

/* ---- the task ---- */
static int trainer_open(struct bpe_trainer **out, const struct tokenizer_conf *conf,
                        struct bpe_train_conf train)
{
    train.vocab_size = conf->vocab_size;
    train.pair_min = conf->pair_min;
    train.special = conf->special_tokens.item;
    train.special_count = conf->special_tokens.count;
    TRY(train_pretok(conf->pretok, conf->digits, &train.pretok));
    return bpe_trainer_open(out, &train);
}

int tokenizer_conf_check(const struct tokenizer_conf *conf)
{
    struct bpe_trainer *t = NULL;
    TRY(trainer_open(&t, conf, (struct bpe_train_conf){.weight_one = 1}));
    bpe_trainer_close(t);
    return 0;
}

/* What the report will be beside is looked at first, not hours later. */
static int compare_check(const struct tokenizer_conf *conf)
{
    struct tokenizer *t;
    for (size_t i = 0; i < conf->compare.count; i++) {
        TRY(tokenizer_open(&t, conf->compare.item[i]));
        tokenizer_close(t);
    }
    return 0;
}

/* The error of a run that has no text to learn from: how many records there were, and the rules
 * that took most of them. */
static int nothing_kept(const struct run *r)
{
    enum { RULES_NAMED = 3 };
    const struct schema *s = &r->recipe->schema;
    uint64_t in, left, count, most[RULES_NAMED] = {0};
    const char *name[RULES_NAMED] = {NULL};
    char text[512];
    size_t len = 0;
    TRY(run_count(r, "pass1", "in", &in));
    left = in;
    for (int i = 1; i < s->rule_count; i++) {
        TRY(run_count(r, "pass1", s->rule[i].name, &count));
        left -= count;
        const char *rule = s->rule[i].name;
        for (int k = 0; k < RULES_NAMED && count; k++)
            if (count > most[k]) {
                uint64_t smaller = most[k];
                const char *other = name[k];
                most[k] = count;
                name[k] = rule;
                count = smaller;
                rule = other;
            }
    }
    if (in == 0)
        return err_set(ERR_GATE, "tokenizer: there is no page and no text in the input of %s: give "
                                 "WARC, WET, JSON lines or text files",
                       r->dir);
    for (int k = 0; k < RULES_NAMED && most[k]; k++)
        len += (size_t)snprintf(text + len, sizeof text - len, "%s%llu by %s", k ? ", " : "",
                                (unsigned long long)most[k], name[k]);
    if (left)
        return err_set(ERR_GATE,
                       "tokenizer: the %llu documents kept of %llu are all held out or weigh 0: "
                       "lower heldout.share, or give more input",
                       (unsigned long long)left, (unsigned long long)in);
    return err_set(ERR_GATE,
                   "tokenizer: none of %llu records was kept (%s): `sluice why --run=%s '*' "
                   "--limit=3` shows each with value and limit",
                   (unsigned long long)in, text, r->dir);
}

static int tokenizer_learn(struct run *r, struct manifest *m)
{
    struct tokenizer_run t = {.run = r};
    char path[IO_PATH_MAX], dir[IO_PATH_MAX];
    struct io_info json, ranks;
    int rc;
    TRY(compare_check(&r->recipe->tokenizer));
    TRY(io_path(dir, "%s/tokenizer", r->dir));
    TRY(io_path(path, "%s/dedup/clusters.bin", r->dir));
    if (r->recipe->has_dedup)
        TRY_OUT(clusters_open(&t.clusters, path));
    TRY_OUT(pool_open(&t.pool, r->threads));
    t.walker = calloc((size_t)pool_threads(t.pool), sizeof *t.walker);
    TRY_OUT(t.walker ? 0 : err_set(ERR_LIMIT, "tokenizer: no memory for %d threads", r->threads));
    TRY_OUT(kept_open(&t.held, HELD_BYTES_MAX));
    TRY_OUT(parts_decide(&t));
    struct bpe_train_conf train = {
        .weight_one = t.weight_one, .memory = r->recipe->run.memory, .spill_dir = r->dir};
    TRY_OUT(trainer_open(&t.trainer, &r->recipe->tokenizer, train));
    TRY_OUT(walk(&t));
    struct bpe_train_stats stats = bpe_trainer_stats(t.trainer);
    if (stats.texts == 0) {
        rc = nothing_kept(r);
        goto out;
    }
    TRY_OUT(bpe_trainer_finish(t.trainer, dir, &json, &ranks));
    TRY_OUT(manifest_add_count(m, "documents", stats.texts));
    TRY_OUT(manifest_add_count(m, "bytes", stats.bytes));
    TRY_OUT(manifest_add_output(m, "tokenizer/tokenizer.json", &json));
    TRY_OUT(manifest_add_output(m, "tokenizer/tokenizer.tiktoken", &ranks));
    rc = report_write(&t, dir, m);
out:
    bpe_trainer_close(t.trainer);
    kept_close(t.held);
    free(t.walker);
    pool_close(t.pool);
    if (t.clusters)
        clusters_close(t.clusters);
    return rc < 0 ? rc : 0;
}

/* A given tokenizer is copied into the run, so that the run stands alone. */
static int tokenizer_copy(struct run *r, struct manifest *m, const char *from)
{
    char to[IO_PATH_MAX], relative[64], *bytes;
    size_t len;
    struct io_info info;
    struct tokenizer *t;
    TRY(tokenizer_open(&t, from));
    tokenizer_close(t);
    snprintf(relative, sizeof relative, "tokenizer/tokenizer.%s",
             str_ends(str_of(from), ".json") ? "json" : "tiktoken");
    TRY(io_path(to, "%s/%s", r->dir, relative));
    TRY(io_read_file(from, 256 << 20, &bytes, &len));
    int rc = io_write_file(to, (struct str){bytes, len});
    free(bytes);
    TRY(rc);
    TRY(io_hash_file(to, &info));
    return manifest_add_output(m, relative, &info);
}

int task_tokenizer(struct run *r, uint32_t unit, struct manifest *m)
{
    UNUSED(unit);
    const char *given = r->recipe->tokenizer.path;
    if (given && given[0])
        return tokenizer_copy(r, m, given);
    TRY(recipe_open_stages(r->recipe, r->dir, r->recipe->stage_count));
    return tokenizer_learn(r, m);
}

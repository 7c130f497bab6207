/* tokenize_train - `sluice tokenize train`: a vocabulary learned from files, and a report of how it
 * fits text that it was not learned from. */
#include "command/token_feed.h"
#include "command/token_kept.h"
#include "command/tokenize_verbs.h"
#include "core/err.h"
#include "core/log.h"

#include <math.h>
#include <stdlib.h>

enum {
    HELD_BYTES_MAX = 64 << 20,
    WEIGHT_ONE = 1000, /* weights are thousandths */
    HELD_SEED = 1,
    SAMPLE_SEED = 2,
};
#define WEIGHT_MAX 1e6

struct named_weight {
    struct str name;
    uint64_t times;
    _Atomic bool used;
};
struct training {
    const struct token_flags *flags;
    struct bpe_trainer *trainer;
    struct bpe_counter **counter; /* [threads] */
    struct kept_texts *held;
    struct named_weight *weight;
    size_t weights;
};

int train_pretok(const char *pattern, const char *digits, enum pretok *out)
{
    static const struct {
        enum pretok pattern;
        const char *digits;
        enum pretok is;
    } known[] = {
        {PRETOK_GPT2, "any", PRETOK_GPT2},           {PRETOK_CL100K, "1-3", PRETOK_CL100K},
        {PRETOK_CL100K, "1", PRETOK_QWEN2},          {PRETOK_QWEN2, "1", PRETOK_QWEN2},
        {PRETOK_QWEN2, "1-3", PRETOK_CL100K},        {PRETOK_O200K, "1-3", PRETOK_O200K},
        {PRETOK_DEEPSEEK3, "1-3", PRETOK_DEEPSEEK3},
    };
    int found = pretok_find(pattern);
    if (found < 0)
        return err_set(ERR_USAGE, "tokenizer: there is no pattern \"%s\"", pattern);
    if (!digits || !digits[0] || strcmp(digits, "pattern") == 0) {
        *out = (enum pretok)found;
        return 0;
    }
    for (size_t i = 0; i < COUNT_OF(known); i++)
        if (known[i].pattern == (enum pretok)found && strcmp(known[i].digits, digits) == 0) {
            *out = known[i].is;
            return 0;
        }
    return err_set(ERR_USAGE,
                   "tokenizer: %s has no form with %s digits a piece: gpt2 has any number, o200k "
                   "and deepseek-v3 1-3, cl100k 1-3 or 1 (which is Qwen's pattern)",
                   pattern, digits);
}

/* ---- weights ---- */
static int weights_read(struct training *tr)
{
    const struct opt_list *list = &tr->flags->weight;
    tr->weight = calloc(list->count + 1, sizeof *tr->weight);
    if (!tr->weight)
        return err_set(ERR_LIMIT, "tokenize train: no memory");
    for (size_t i = 0; i < list->count; i++) {
        const char *equals = strrchr(list->item[i], '=');
        double weight;
        if (!equals || !str_f64(str_of(equals + 1), &weight) || !(weight >= 0) ||
            weight > WEIGHT_MAX)
            return err_set(ERR_USAGE,
                           "tokenize train: --weight=%s: give NAME=WEIGHT, the name of a domain or "
                           "file and a number from 0 to %.0f",
                           list->item[i], WEIGHT_MAX);
        struct named_weight *w = &tr->weight[tr->weights++];
        w->name = (struct str){list->item[i], (size_t)(equals - list->item[i])};
        w->times = (uint64_t)llround(weight * WEIGHT_ONE);
    }
    return 0;
}

/* By the domain, then by the file. */
static uint64_t weight_of(struct training *tr, const struct token_feed_text *t)
{
    struct named_weight *found = NULL;
    for (size_t i = 0; i < tr->weights && !found; i++)
        if (str_eq(tr->weight[i].name, t->domain))
            found = &tr->weight[i];
    for (size_t i = 0; i < tr->weights && !found; i++)
        if (str_is(tr->weight[i].name, t->path))
            found = &tr->weight[i];
    if (!found)
        return tr->weights ? WEIGHT_ONE : 1;
    found->used = true;
    return found->times;
}

static int weights_check(const struct training *tr)
{
    for (size_t i = 0; i < tr->weights; i++)
        if (!tr->weight[i].used)
            return err_set(ERR_USAGE,
                           "tokenize train: --weight names \"%.*s\", which is no domain or file of "
                           "any text (--domain_field=%s)",
                           STR_ARG(tr->weight[i].name), tr->flags->domain_field);
    return 0;
}

/* ---- texts ---- */
/* What becomes of a text is drawn by its bytes: the same text, come twice, is held out twice or
 * not at all, and neither order nor threads matter. */
static int train_text(void *self, int thread, const struct token_feed_text *t)
{
    struct training *tr = self;
    uint64_t mark = hash_str(t->text, 0), order = hash_mix(HELD_SEED ^ hash_mix(mark));
    uint64_t times = weight_of(tr, t);
    if (hash_unit(SAMPLE_SEED, mark) >= tr->flags->share)
        return 0;
    if (hash_unit(HELD_SEED, mark) < tr->flags->held_out)
        return kept_add(tr->held, order, t->text, t->domain, t->lang);
    return bpe_counter_add(tr->counter[thread], t->text, times);
}

static int counters_open(struct training *tr, int threads)
{
    tr->counter = calloc((size_t)threads, sizeof(struct bpe_counter *));
    if (!tr->counter)
        return err_set(ERR_LIMIT, "tokenize train: no memory for %d threads", threads);
    for (int i = 0; i < threads; i++)
        TRY(bpe_counter_open(&tr->counter[i], tr->trainer));
    return 0;
}

static int counters_close(struct training *tr, int threads)
{
    int rc = 0;
    for (int i = 0; tr->counter && i < threads; i++) {
        int one = bpe_counter_close(tr->counter[i]);
        rc = rc < 0 ? rc : one;
    }
    free(tr->counter);
    tr->counter = NULL;
    return rc;
}

/* All texts, by all threads. */
static int feed_all(struct training *tr, const char *const *paths, int count)
{
    const struct token_flags *flags = tr->flags;
    struct token_feed_conf conf = {flags->jsonl, flags->field, flags->domain_field,
                                   flags->lang_field, (int)flags->threads};
    struct token_feed *f = NULL;
    int rc, threads = 0;
    TRY_OUT(token_feed_open(&f, &conf, &threads));
    TRY_OUT(counters_open(tr, threads));
    rc = token_feed_run(f, paths, count, train_text, tr);
out:
    token_feed_close(f);
    int closed = counters_close(tr, threads);
    return rc < 0 ? rc : closed;
}

/* ---- the report ---- */
void train_counts_json(struct json_writer *w, const struct bpe_train_stats *s,
                       const struct kept_texts *held)
{
    uint64_t came, kept;
    kept_counts(held, &came, &kept);
    const struct {
        const char *name;
        uint64_t value;
    } counts[] = {{"trained_documents", s->texts},
                  {"trained_bytes", s->bytes},
                  {"pieces", s->pieces},
                  {"pieces_learned", s->learned_pieces},
                  {"pieces_least", s->piece_least},
                  {"merges", s->merges},
                  {"last_merge_count", s->last_count},
                  {"held_out_documents", came},
                  {"measured_documents", kept}};
    for (size_t i = 0; i < COUNT_OF(counts); i++)
        json_field_u64(w, counts[i].name, counts[i].value);
}

static void report_json(const struct training *tr, struct measure *m, struct buf *to)
{
    struct bpe_train_stats stats = bpe_trainer_stats(tr->trainer);
    struct json_writer w;
    json_begin(&w, to);
    json_open(&w, '{');
    train_counts_json(&w, &stats, tr->held);
    json_key(&w, "held_out");
    measure_json(m, &w);
    json_close(&w, '}');
    buf_char(to, '\n');
}

static int report(const struct training *tr)
{
    const struct token_flags *flags = tr->flags;
    struct measure *m = NULL;
    struct pool *pool = NULL;
    struct buf text = {0};
    char path[IO_PATH_MAX];
    uint64_t came, kept;
    int rc;
    kept_counts(tr->held, &came, &kept);
    TRY_OUT(pool_open(&pool, (int)flags->threads));
    TRY_OUT(measure_open(&m, pool_threads(pool)));
    TRY_OUT(measure_tokenizer(m, flags->out, -1));
    for (size_t i = 0; i < flags->compare.count; i++)
        TRY_OUT(measure_tokenizer(m, flags->compare.item[i], -1));
    TRY_OUT(kept_measure(tr->held, m, pool));
    report_json(tr, m, &text);
    TRY_OUT(io_path(path, "%s/report.json", flags->out));
    TRY_OUT(text.failed ? err_set(ERR_LIMIT, "%s: no memory", path)
                        : io_write_file(path, buf_view(&text)));
    if (flags->json)
        fwrite(text.ptr, 1, text.len, stdout);
    else if (kept)
        measure_print(m, stdout);
    rc = fflush(stdout) ? err_sys("standard output") : 0;
out:
    measure_close(m);
    pool_close(pool);
    buf_free(&text);
    return rc < 0 ? rc : 0;
}

static void say_what_was_done(const struct training *tr)
{
    struct bpe_train_stats s = bpe_trainer_stats(tr->trainer);
    uint64_t came, kept;
    kept_counts(tr->held, &came, &kept);
    log_info(
        "%s: %llu merges from %llu texts, %llu bytes, %llu different pieces; the last pair was "
        "seen %llu times",
        tr->flags->out, (unsigned long long)s.merges, (unsigned long long)s.texts,
        (unsigned long long)s.bytes, (unsigned long long)s.pieces,
        (unsigned long long)s.last_count);
    if (s.piece_least > 1)
        log_info("pieces seen fewer than %llu times were left out",
                 (unsigned long long)s.piece_least);
    if (s.spilled)
        log_info("%llu MiB of counts went through a temporary file",
                 (unsigned long long)(s.spilled >> 20));
    if ((int64_t)s.merges + 257 + (int64_t)tr->flags->special_tokens.count < tr->flags->vocab_size)
        log_warn("no more pairs to merge: the vocabulary has %llu tokens, fewer than asked for",
                 (unsigned long long)s.merges + 257 + tr->flags->special_tokens.count);
    if (kept)
        log_info("held out: %llu texts, %llu of them measured", (unsigned long long)came,
                 (unsigned long long)kept);
    else
        log_info("held out: none of the texts, so nothing is measured: raise --held-out (%g)",
                 tr->flags->held_out);
}

int tokenize_train(const struct token_flags *flags, const char *const *paths, int count)
{
    struct training tr = {.flags = flags};
    struct bpe_train_conf conf = {
        .vocab_size = flags->vocab_size,
        .piece_min = flags->piece_min,
        .pair_min = flags->pair_min,
        .weight_one = flags->weight.count ? WEIGHT_ONE : 1,
        .memory = flags->memory,
        .special = flags->special_tokens.item,
        .special_count = flags->special_tokens.count,
    };
    struct tokenizer *known;
    int rc;
    if (!flags->out || !flags->out[0])
        return err_set(ERR_USAGE, "tokenize train: name a folder: --out=DIR");
    TRY(train_pretok(flags->pretok, flags->digits, &conf.pretok));
    /* What is to be compared with is looked at first, not hours later. */
    for (size_t i = 0; i < flags->compare.count; i++) {
        TRY(tokenizer_open(&known, flags->compare.item[i]));
        tokenizer_close(known);
    }
    TRY_OUT(weights_read(&tr));
    TRY_OUT(kept_open(&tr.held, HELD_BYTES_MAX));
    TRY_OUT(bpe_trainer_open(&tr.trainer, &conf));
    TRY_OUT(feed_all(&tr, paths, count));
    TRY_OUT(weights_check(&tr));
    TRY_OUT(bpe_trainer_finish(tr.trainer, flags->out, NULL, NULL));
    say_what_was_done(&tr);
    rc = report(&tr);
out:
    bpe_trainer_close(tr.trainer);
    kept_close(tr.held);
    free(tr.weight);
    return rc < 0 ? rc : 0;
}

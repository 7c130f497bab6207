/* summary - gathers the counts of the manifests, the store and the evaluation, and prints them. */
#include "command/summary.h"

#include "command/mixture.h"
#include "core/err.h"
#include "core/json.h"

#include <math.h>
#include <stdlib.h>

enum { RULES_SHOWN = 12, PHASES_SHOWN = 5 };

/* What each source of the mixture is drawn with, phase by phase. */
struct draws {
    struct mixture mixture;
    bool known; /* false: there is no training, or its plan cannot be made yet (it will say why) */
    struct {
        double share[TRAIN_PHASES_MAX]; /* when the phase begins */
        double epochs[TRAIN_PHASES_MAX];
    } of[LOADER_SOURCES_MAX];
};

static int draws_open(struct draws *d, const struct run *r, struct store *s)
{
    const struct train_plan *plan = &d->mixture.plan;
    struct loader_stretch *st;
    struct loader *l;
    uint32_t phase = UINT32_MAX;
    if (!r->recipe->has_train)
        return 0;
    TRY(mixture_open(&d->mixture, r, s));
    TRY(mixture_loader(&l, &d->mixture, s, true));
    st = malloc(sizeof *st);
    for (uint64_t i = 0; st && i < loader_stretches(l); i++) {
        loader_stretch(l, i, st);
        for (uint32_t k = 0; k < plan->source_count; k++) {
            double tokens = (double)d->mixture.view[k].tokens;
            if (st->phase != phase)
                d->of[k].share[st->phase] = st->share[k];
            if (tokens > 0)
                d->of[k].epochs[st->phase] +=
                    (double)st->rows_of[k] * (double)plan->phase[st->phase].sequence / tokens;
        }
        phase = st->phase;
    }
    d->known = st != NULL;
    free(st);
    loader_close(l);
    return 0;
}

/* Ends a row with a share and a number of epochs for each phase: source -1 is not drawn from. */
static void put_draws(const struct draws *d, int source, struct json_writer *w)
{
    uint32_t phases = d->known ? d->mixture.plan.phase_count : 0;
    json_field_open(w, "shares", '[');
    for (uint32_t i = 0; i < phases; i++)
        json_put_num(w, source < 0 ? 0 : d->of[source].share[i]);
    json_close(w, ']');
    json_field_open(w, "epochs", '[');
    for (uint32_t i = 0; i < phases; i++)
        json_put_num(w, source < 0 ? 0 : d->of[source].epochs[i]);
    json_close(w, ']');
    json_close(w, '}');
}

static void put_phases(const struct draws *d, struct json_writer *w)
{
    json_field_open(w, "phases", '[');
    for (uint32_t i = 0; d->known && i < d->mixture.plan.phase_count; i++) {
        const struct train_phase *phase = &d->mixture.plan.phase[i];
        json_open(w, '{');
        json_field_text(w, "name", phase->name);
        json_field_i64(w, "steps", phase->steps);
        json_field_i64(w, "sequence", phase->sequence);
        json_close(w, '}');
    }
    json_close(w, ']');
}

static void put_held(struct json_writer *w, const char *name, uint64_t documents, uint64_t tokens)
{
    json_open(w, '{');
    json_field_text(w, "name", name);
    json_field_u64(w, "documents", documents);
    json_field_u64(w, "tokens", tokens);
}

/* "phases", "domains", and "views" that the mixture draws from. */
static int store_rows(const struct run *r, struct store *s, struct json_writer *w)
{
    const struct store_meta *meta = store_meta(s);
    struct draws *draws = calloc(1, sizeof *draws);
    if (!draws)
        return err_set(ERR_LIMIT, "summary: no memory");
    if (draws_open(draws, r, s) < 0)
        err_clear();
    const struct train_plan *plan = &draws->mixture.plan;
    put_phases(draws, w);
    json_field_open(w, "domains", '[');
    for (uint32_t d = 0; d < meta->domain_count; d++) {
        int source = -1;
        for (uint32_t k = 0; k < plan->source_count; k++)
            if (strcmp(draws->mixture.view[k].name, meta->domain[d].name) == 0)
                source = (int)k;
        put_held(w, meta->domain[d].name,
                 meta->domain[d].documents - meta->domain[d].removed_documents,
                 meta->domain[d].tokens - meta->domain[d].removed_tokens);
        json_field_u64(w, "bytes", meta->domain[d].bytes - meta->domain[d].removed_bytes);
        put_draws(draws, source, w);
    }
    json_close(w, ']');
    json_field_open(w, "views", '[');
    for (uint32_t k = 0; k < plan->source_count; k++) {
        const struct token_view *v = &draws->mixture.view[k];
        if (store_domain(s, v->name) >= 0)
            continue;
        put_held(w, v->name, v->documents, v->tokens);
        json_field_text(w, "where", v->where);
        put_draws(draws, (int)k, w);
    }
    json_close(w, ']');
    mixture_close(&draws->mixture);
    free(draws);
    return 0;
}

int summary_store_json(struct run *r)
{
    char path[IO_PATH_MAX];
    struct store *store;
    struct buf out = {0};
    struct json_writer w;
    uint64_t tokens = 0;
    TRY(io_path(path, "%s/store", r->base));
    TRY(store_open(&store, path));
    const struct store_meta *meta = store_meta(store);
    for (uint32_t d = 0; d < meta->domain_count; d++)
        tokens += meta->domain[d].tokens - meta->domain[d].removed_tokens;
    json_begin(&w, &out);
    json_open(&w, '{');
    json_field_u64(&w, "tokens", tokens);
    json_field_u64(&w, "vocab", meta->vocab_size);
    int rc = store_rows(r, store, &w);
    json_close(&w, '}');
    buf_char(&out, '\n');
    store_close(store);
    if (rc >= 0)
        rc = io_path(path, "%s/store.json", r->dir);
    if (rc >= 0)
        rc = io_write_file(path, buf_view(&out));
    buf_free(&out);
    return rc;
}

/* ---- the screen ---- */
struct drop {
    const char *rule;
    uint64_t count;
};
struct totals {
    uint64_t in, kept, heldout, duplicates, tokens, damaged;
    struct drop drop[RULES_MAX];
    int drop_count;
};

static int by_count(const void *a, const void *b)
{
    const struct drop *x = a, *y = b;
    if (x->count != y->count)
        return x->count > y->count ? -1 : 1;
    return strcmp(x->rule, y->rule);
}

static int totals_read(struct run *r, struct totals *t)
{
    memset(t, 0, sizeof *t);
    TRY(recipe_open_stages(r->recipe, r->dir, r->recipe->stage_count));
    TRY(run_count(r, "pass1", "in", &t->in));
    TRY(run_count(r, "pass1", "warc_damaged", &t->damaged));
    TRY(run_count(r, "pass2", "kept", &t->kept));
    TRY(run_count(r, "pass2", "heldout", &t->heldout));
    TRY(run_count(r, "pass2", "duplicates", &t->duplicates));
    TRY(run_count(r, "pass2", "tokens", &t->tokens));
    const struct schema *s = &r->recipe->schema;
    for (int i = 1; i < s->rule_count; i++) {
        uint64_t count;
        TRY(run_count(r, "pass1", s->rule[i].name, &count));
        if (count)
            t->drop[t->drop_count++] = (struct drop){s->rule[i].name, count};
    }
    if (t->duplicates)
        t->drop[t->drop_count++] = (struct drop){"dedup (a copy of a kept page)", t->duplicates};
    qsort(t->drop, (size_t)t->drop_count, sizeof t->drop[0], by_count);
    return 0;
}

static int read_json(struct run *r, const char *name, struct json **out)
{
    char path[IO_PATH_MAX], *text;
    size_t len;
    *out = NULL;
    TRY(io_path(path, "%s/%s", r->dir, name));
    if (!io_exists(path))
        return 0;
    TRY(io_read_file(path, 64 << 20, &text, &len));
    int rc = json_parse(&r->arena, (struct str){text, len}, out);
    free(text);
    return rc < 0 ? err_in(rc, "%s", path) : 0;
}

static double percent(uint64_t part, uint64_t all)
{
    return all ? 100.0 * (double)part / (double)all : 0;
}

static void print_eval(const struct json *eval)
{
    const struct json *rows = json_get(eval, "rows");
    bool scored = rows && rows->count > 0;
    printf("\n  loss %.3f before the anneal, %.3f after it\n",
           json_num(eval, "loss_before_anneal", NAN), json_num(eval, "loss_after_anneal", NAN));
    if (scored)
        printf("\n  held-out bits per byte (less is better)\n  %-16s %10s %14s %14s %10s %8s\n",
               "domain", "bytes", "before anneal", "after anneal", "unigram", "xz -9");
    for (const struct json *v = scored ? rows->child : NULL; v; v = v->next)
        printf("  %-16.*s %10.0f %14.3f %14.3f %10.3f %8.3f\n",
               STR_ARG(json_str(v, "domain", STR("?"))), json_num(v, "bytes", 0),
               json_num(v, "before_anneal_bits_per_byte", NAN), json_num(v, "bits_per_byte", NAN),
               json_num(v, "unigram", NAN), json_num(v, "xz", NAN));
}

/* Shares of the first PHASES_SHOWN phases stand beside each domain or view. */
static void print_domains(const struct json *store, const char *what)
{
    const struct json *rows = json_get(store, what), *phases = json_get(store, "phases");
    int shown = 0;
    if (!rows || rows->count == 0)
        return;
    printf("\n  %-16.*s %10s %12s", (int)strlen(what) - 1, what, "documents", "tokens");
    for (const struct json *p = phases ? phases->child : NULL; p && shown < PHASES_SHOWN;
         p = p->next, shown++)
        printf(" %8.*s", (int)str_slice(json_str(p, "name", STR("?")), 0, 8).len,
               json_str(p, "name", STR("?")).ptr);
    printf(phases && (int)phases->count > shown ? "  ...\n" : "\n");
    for (const struct json *v = rows->child; v; v = v->next) {
        const struct json *shares = json_get(v, "shares");
        const struct json *share = shares ? shares->child : NULL;
        printf("  %-16.*s %10.0f %12.0f", STR_ARG(json_str(v, "name", STR("?"))),
               json_num(v, "documents", 0), json_num(v, "tokens", 0));
        for (int i = 0; share && i < shown; i++, share = share->next)
            printf(" %7.1f%%", 100 * share->number);
        printf("\n");
    }
}

static void print_text(struct run *r, const struct totals *t, const struct json *store,
                       const struct json *eval)
{
    uint64_t left = t->kept + t->heldout + t->duplicates ? 0 : t->in; /* before pass 2 */
    for (int i = 0; i < t->drop_count && left; i++)
        left -= t->drop[i].count;
    if (r->recipe->borrowed)
        printf("\n  %s: on the store of %s, %.0f tokens\n", r->recipe->run.name, r->base,
               json_num(store, "tokens", 0));
    else if (left)
        printf("\n  %s: %llu pages in so far, %llu passed every rule (%.1f %%); what becomes of "
               "them is still to be settled: sluice status --run=%s\n",
               r->recipe->run.name, (unsigned long long)t->in, (unsigned long long)left,
               percent(left, t->in), r->dir);
    else
        printf("\n  %s: %llu pages in, %llu kept (%.1f %%), %llu held out, %llu tokens\n",
               r->recipe->run.name, (unsigned long long)t->in, (unsigned long long)t->kept,
               percent(t->kept, t->in), (unsigned long long)t->heldout,
               (unsigned long long)t->tokens);
    if (t->damaged)
        printf("  %llu damaged places in the archives were stepped over\n",
               (unsigned long long)t->damaged);
    if (t->drop_count)
        printf("\n  why pages were dropped\n");
    for (int i = 0; i < t->drop_count && i < RULES_SHOWN; i++)
        printf("  %8llu  %5.1f %%  %s\n", (unsigned long long)t->drop[i].count,
               percent(t->drop[i].count, t->in), t->drop[i].rule);
    if (t->drop_count > RULES_SHOWN)
        printf("  and %d rules more: see the report\n", t->drop_count - RULES_SHOWN);
    if (r->recipe->has_dedup && t->duplicates == 0 && t->kept)
        printf("  note: dedup removed 0 of %llu\n", (unsigned long long)t->kept);
    if (store) {
        print_domains(store, "domains");
        print_domains(store, "views");
    }
    if (eval)
        print_eval(eval);
    printf("\n  report: %s/report.html\n", r->dir);
}

static void json_copy(struct json_writer *w, const struct json *v)
{
    /* Depth is bounded by the parser (JSON_DEPTH_MAX), so recursion is too. */
    switch (v->type) {
    case JSON_NULL: json_put_null(w); break;
    case JSON_BOOL: json_put_bool(w, v->boolean); break;
    case JSON_NUMBER: json_put_num(w, v->number); break;
    case JSON_STRING: json_put_str(w, v->string); break;
    case JSON_ARRAY:
    case JSON_OBJECT:
        json_open(w, v->type == JSON_ARRAY ? '[' : '{');
        for (const struct json *c = v->child; c; c = c->next) {
            if (v->type == JSON_OBJECT) {
                char key[256];
                snprintf(key, sizeof key, "%.*s", STR_ARG(c->key));
                json_key(w, key);
            }
            json_copy(w, c);
        }
        json_close(w, v->type == JSON_ARRAY ? ']' : '}');
        break;
    }
}

static int print_json(struct run *r, const struct totals *t, const struct json *store,
                      const struct json *eval)
{
    struct buf out = {0};
    struct json_writer w;
    json_begin(&w, &out);
    json_open(&w, '{');
    json_field_text(&w, "run", r->dir);
    json_field_text(&w, "recipe_hash", r->recipe->hash);
    const struct {
        const char *name;
        uint64_t value;
    } count[] = {{"in", t->in},           {"kept", t->kept},
                 {"heldout", t->heldout}, {"duplicates", t->duplicates},
                 {"tokens", t->tokens},   {"damaged", t->damaged}};
    for (size_t i = 0; i < COUNT_OF(count); i++)
        json_field_u64(&w, count[i].name, count[i].value);
    json_field_open(&w, "dropped", '{');
    for (int i = 0; i < t->drop_count; i++) {
        const char *rule = t->drop[i].rule;
        json_field_u64(&w, rule[0] == 'd' && rule[5] == ' ' ? "dedup" : rule, t->drop[i].count);
    }
    json_close(&w, '}');
    if (store) {
        json_key(&w, "store");
        json_copy(&w, store);
    }
    if (eval) {
        json_key(&w, "eval");
        json_copy(&w, eval);
    }
    json_close(&w, '}');
    buf_char(&out, '\n');
    int rc = out.failed ? err_set(ERR_LIMIT, "summary: no memory") : 0;
    if (rc == 0 && fwrite(out.ptr, 1, out.len, stdout) != out.len)
        rc = err_sys("summary: standard output");
    buf_free(&out);
    return rc;
}

int summary_print(struct run *r, bool json)
{
    struct totals *t = malloc(sizeof *t);
    struct json *store, *eval;
    int rc = t ? totals_read(r, t) : err_set(ERR_LIMIT, "summary: no memory");
    if (rc >= 0)
        rc = read_json(r, "store.json", &store);
    if (rc >= 0)
        rc = read_json(r, "eval.json", &eval);
    if (rc >= 0 && store) /* with the end of each text, as the rows of the store below have them */
        t->tokens = (uint64_t)json_num(store, "tokens", (double)t->tokens);
    if (rc >= 0 && json)
        rc = print_json(r, t, store, eval);
    else if (rc >= 0)
        print_text(r, t, store, eval);
    free(t);
    return rc < 0 ? rc : 0;
}

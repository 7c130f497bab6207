/* store_rows - which pages a training step reads, and what a mixture will draw until when. */
#include "command/run.h"
#include "command/store_tool.h"
#include "core/err.h"
#include "core/json.h"
#include "core/ledger.h"
#include "train/train.h"

#include <stdlib.h>

/* ---- a run's rows ---- */
struct rows {
    struct run run;
    struct recipe *recipe;
    struct store *store;
    struct loader *loader;
    struct train_conf train;
    struct mixture phase[2];
};

static void rows_close(struct rows *r)
{
    loader_close(r->loader);
    store_close(r->store);
    run_close(&r->run);
    if (r->recipe)
        recipe_close(r->recipe);
}

static int rows_open(struct rows *r, const char *dir, struct arena *a)
{
    char path[IO_PATH_MAX];
    memset(r, 0, sizeof *r);
    if (!dir || !dir[0])
        return err_set(ERR_USAGE, "store: --run=DIR is missing: name a folder that `sluice run` "
                                  "made");
    r->recipe = arena_push_zero(a, sizeof *r->recipe, 16);
    if (!r->recipe)
        return ERR_LIMIT;
    TRY(run_open(&r->run, r->recipe, dir));
    if (!r->recipe->has_train)
        return err_set(ERR_USAGE, "%s: its recipe has no [train]: nothing draws from its store",
                       dir);
    TRY(io_path(path, "%s/store", dir));
    TRY(store_open(&r->store, path));
    r->train = r->recipe->train;
    TRY(train_conf_check(&r->train, &r->recipe->model));
    TRY(mixture_resolve(&r->recipe->stable, r->store, "stable", &r->phase[0]));
    TRY(mixture_resolve(r->recipe->anneal.count ? &r->recipe->anneal : &r->recipe->stable, r->store,
                        "anneal", &r->phase[1]));
    TRY(loader_open(&r->loader, r->store, (uint32_t)r->train.sequence, (uint64_t)r->train.seed));
    return loader_phase(r->loader, 0, &r->phase[0]);
}

static int64_t anneal_from(const struct train_conf *c) { return c->steps - c->anneal_steps; }

/* Puts the loader in front of a step, counted from 1 as in train.jsonl. */
static int rows_seek(struct rows *r, int64_t number)
{
    int64_t step = number - 1;
    int64_t stable = step < anneal_from(&r->train) ? step : anneal_from(&r->train);
    TRY(loader_skip(r->loader, (uint64_t)(stable * r->train.batch)));
    if (!train_is_anneal(&r->train, step))
        return 0;
    TRY(loader_phase(r->loader, 1, &r->phase[1]));
    return loader_skip(r->loader, (uint64_t)((step - stable) * r->train.batch));
}

/* ---- origins ---- */
static int origin_compare(const void *a, const void *b)
{
    uint64_t x = ((const struct origin *)a)->id, y = ((const struct origin *)b)->id;
    return x < y ? -1 : x > y;
}

const struct origin *origins_at(const struct origin *origin, size_t count, uint64_t id)
{
    struct origin key = {.id = id};
    return bsearch(&key, origin, count, sizeof *origin, origin_compare);
}

struct origins {
    struct origin *origin;
    size_t count, left;
};

static int origin_row(void *arg, const struct ledger_row *row, struct str source,
                      const struct schema *schema)
{
    struct origins *o = arg;
    UNUSED(schema);
    if (str_is(row->verdict, "dropped"))
        return 0;
    struct origin *at = (struct origin *)origins_at(o->origin, o->count, row->id);
    if (!at || at->found)
        return 0;
    at->found = true;
    at->offset = row->offset;
    at->record = row->record;
    at->url = strndup(row->url.ptr ? row->url.ptr : "", row->url.len);
    at->source = strndup(source.ptr, source.len);
    if (!at->url || !at->source)
        return err_set(ERR_LIMIT, "store: no memory for an address");
    return --o->left == 0;
}

int origins_find(const char *run_dir, struct origin *origin, size_t count)
{
    struct origins o = {.origin = origin, .count = count};
    if (count == 0)
        return 0;
    qsort(origin, count, sizeof *origin, origin_compare);
    for (size_t i = 0; i < count; i++)
        o.left += i == 0 || origin[i].id != origin[i - 1].id;
    return ledger_walk(run_dir, origin_row, &o);
}

void origins_free(struct origin *origin, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        free(origin[i].url);
        free(origin[i].source);
    }
    free(origin);
}

/* ---- trace ---- */
struct traced {
    uint32_t row, domain, from, tokens; /* from: place in the row */
    uint64_t id, document;
};
struct trace {
    struct traced *item;
    size_t count, max;
    struct origin *origin;
    size_t origins;
};

static int trace_add(struct trace *t, struct traced item)
{
    if (t->count == t->max) {
        size_t max = t->max ? t->max * 2 : 256;
        struct traced *grown = realloc(t->item, sizeof *grown * max);
        if (!grown)
            return err_set(ERR_LIMIT, "store trace: no memory for %zu documents", max);
        t->item = grown;
        t->max = max;
    }
    t->item[t->count++] = item;
    return 0;
}

/* The documents that a row's inputs come from. */
static int trace_row(struct trace *t, struct store *s, uint32_t row,
                     const struct loader_place *place)
{
    uint64_t at = place->start, end = place->start + place->count;
    while (at < end) {
        struct store_doc doc;
        uint64_t index;
        TRY(store_doc_of(s, place->domain, at, &index, &doc));
        uint64_t doc_end = doc.token_start + doc.token_count;
        uint64_t stop = doc_end < end ? doc_end : end;
        TRY(trace_add(t, (struct traced){row, place->domain, (uint32_t)(at - place->start),
                                         (uint32_t)(stop - at), doc.id, index}));
        at = stop;
    }
    return 0;
}

static void print_clean(const char *s)
{
    for (; *s; s++)
        putchar((unsigned char)*s < 32 || *s == 127 ? '?' : *s);
}

static void print_traced(const struct store_meta *meta, const struct traced *item,
                         const struct origin *from)
{
    printf("row %-4u %-16s tokens %5u to %5u  document %llu  %016llx  ", item->row,
           meta->domain[item->domain].name, item->from, item->from + item->tokens - 1,
           (unsigned long long)item->document, (unsigned long long)item->id);
    if (from && from->found) {
        print_clean(from->url);
        printf("  %s at byte %llu, record %u\n", from->source, (unsigned long long)from->offset,
               from->record);
    } else {
        printf("(no ledger row)\n");
    }
}

static void print_traced_json(const struct store_meta *meta, const struct traced *item,
                              const struct origin *from, struct buf *line)
{
    struct json_writer w;
    char id[17];
    snprintf(id, sizeof id, "%016llx", (unsigned long long)item->id);
    const struct {
        const char *key;
        uint64_t value;
    } number[] = {{"row", item->row},
                  {"first", item->from},
                  {"tokens", item->tokens},
                  {"document", item->document}};
    buf_clear(line);
    json_begin(&w, line);
    json_open(&w, '{');
    for (size_t i = 0; i < COUNT_OF(number); i++) {
        json_key(&w, number[i].key);
        json_put_u64(&w, number[i].value);
    }
    json_key(&w, "domain");
    json_put_str(&w, str_of(meta->domain[item->domain].name));
    json_key(&w, "id");
    json_put_str(&w, str_of(id));
    if (from && from->found) {
        json_key(&w, "url");
        json_put_str(&w, str_of(from->url));
        json_key(&w, "source");
        json_put_str(&w, str_of(from->source));
        json_key(&w, "offset");
        json_put_u64(&w, from->offset);
        json_key(&w, "record");
        json_put_u64(&w, from->record);
    }
    json_close(&w, '}');
    printf("%s\n", buf_cstr(line));
}

static int trace_step(struct rows *r, const struct store_flags *flags, struct trace *t)
{
    uint32_t batch = (uint32_t)r->train.batch;
    if (flags->step < 1 || flags->step > r->train.steps)
        return err_set(ERR_USAGE, "store trace: step %lld: the recipe trains steps 1 to %lld",
                       (long long)flags->step, (long long)r->train.steps);
    if (flags->row >= batch)
        return err_set(ERR_USAGE, "store trace: row %lld: a step has rows 0 to %u",
                       (long long)flags->row, batch - 1);
    struct loader_place *place = calloc(batch, sizeof *place);
    if (!place)
        return err_set(ERR_LIMIT, "store trace: no memory for %u rows", batch);
    int rc = rows_seek(r, flags->step);
    if (rc >= 0)
        rc = loader_places(r->loader, batch, place);
    for (uint32_t row = 0; row < batch && rc >= 0; row++)
        if (flags->row < 0 || (uint32_t)flags->row == row)
            rc = trace_row(t, r->store, row, &place[row]);
    free(place);
    return rc;
}

int store_trace(const struct store_flags *flags, struct arena *a)
{
    struct rows r;
    struct trace t = {0};
    struct buf line = {0};
    int rc;
    TRY_OUT(rows_open(&r, flags->run, a));
    TRY_OUT(trace_step(&r, flags, &t));
    t.origin = calloc(t.count ? t.count : 1, sizeof *t.origin);
    TRY_OUT(t.origin ? 0 : err_set(ERR_LIMIT, "store trace: no memory"));
    for (t.origins = 0; t.origins < t.count; t.origins++)
        t.origin[t.origins].id = t.item[t.origins].id;
    TRY_OUT(origins_find(flags->run, t.origin, t.origins));
    for (size_t i = 0; i < t.count; i++) {
        const struct origin *from = origins_at(t.origin, t.origins, t.item[i].id);
        if (flags->json)
            print_traced_json(store_meta(r.store), &t.item[i], from, &line);
        else
            print_traced(store_meta(r.store), &t.item[i], from);
    }
out:
    free(t.item);
    origins_free(t.origin, t.origins);
    buf_free(&line);
    rows_close(&r);
    return rc < 0 ? rc : 0;
}

/* ---- mix ---- */
/* The step at which each domain gives its last row, SIZE_MAX: it does not run out. */
struct drawn {
    uint64_t rows[2];
    int64_t last_step;
    bool out;
};

static int mix_draw(struct rows *r, struct drawn *drawn, int64_t *dry)
{
    struct loader_state state;
    const struct store_meta *meta = store_meta(r->store);
    uint64_t before[STORE_DOMAINS_MAX] = {0}, open = 0;
    *dry = -1;
    for (int64_t step = 0; step < r->train.steps; step++) {
        bool anneal = train_is_anneal(&r->train, step);
        if (step && anneal && !train_is_anneal(&r->train, step - 1)) {
            TRY(loader_phase(r->loader, 1, &r->phase[1]));
            open = 0;
        }
        int rc = loader_skip(r->loader, (uint64_t)r->train.batch);
        if (rc == ERR_LIMIT) {
            err_clear();
            *dry = step + 1;
            return 0;
        }
        TRY(rc);
        loader_get_state(r->loader, &state);
        for (uint32_t d = 0; d < meta->domain_count; d++) {
            uint64_t now = state.taken[d];
            if (now > before[d])
                drawn[d].last_step = step + 1;
            drawn[d].rows[anneal] += now - before[d];
            before[d] = now;
            drawn[d].out |= open >> d & 1 && !(state.quota_open >> d & 1);
        }
        open = state.quota_open;
    }
    return 0;
}

static void mix_print(const struct rows *r, const struct drawn *drawn, bool json)
{
    const struct store_meta *meta = store_meta(r->store);
    double row = (double)r->train.sequence;
    if (!json)
        printf("%-20s %14s %14s %8s %14s %8s  %s\n", "domain", "tokens", "stable draws", "epochs",
               "anneal draws", "epochs", "last drawn");
    for (uint32_t d = 0; d < meta->domain_count; d++) {
        double have = meta->domain[d].tokens ? (double)meta->domain[d].tokens : 1;
        double stable = (double)drawn[d].rows[0] * row, anneal = (double)drawn[d].rows[1] * row;
        if (json)
            printf("%s{\"domain\":\"%s\",\"tokens\":%llu,\"stable_tokens\":%.0f,\"stable_epochs\":"
                   "%.6f,\"anneal_tokens\":%.0f,\"anneal_epochs\":%.6f,\"exhausted_at_step\":%lld}",
                   d ? "," : "", meta->domain[d].name, (unsigned long long)meta->domain[d].tokens,
                   stable, stable / have, anneal, anneal / have,
                   drawn[d].out ? (long long)drawn[d].last_step : -1ll);
        else
            printf("%-20s %14llu %14.0f %8.3f %14.0f %8.3f  step %lld%s\n", meta->domain[d].name,
                   (unsigned long long)meta->domain[d].tokens, stable, stable / have, anneal,
                   anneal / have, (long long)drawn[d].last_step,
                   drawn[d].out ? ": epochs_max reached" : "");
    }
}

int store_mix(const struct store_flags *flags, struct arena *a)
{
    struct rows r;
    struct drawn *drawn = calloc(STORE_DOMAINS_MAX, sizeof *drawn);
    int64_t dry;
    int rc;
    TRY_OUT(rows_open(&r, flags->run, a));
    TRY_OUT(drawn ? 0 : err_set(ERR_LIMIT, "store mix: no memory"));
    for (int d = 0; d < STORE_DOMAINS_MAX; d++)
        drawn[d].last_step = -1;
    TRY_OUT(mix_draw(&r, drawn, &dry));
    if (flags->json)
        printf("{\"steps\":%lld,\"batch\":%lld,\"sequence\":%lld,\"runs_dry_at_step\":%lld,"
               "\"domains\":[",
               (long long)r.train.steps, (long long)r.train.batch, (long long)r.train.sequence,
               (long long)dry);
    mix_print(&r, drawn, flags->json);
    if (flags->json)
        printf("]}\n");
    else if (dry >= 0)
        printf("At step %lld of %lld every domain has reached epochs_max: raise it, add data or "
               "train for fewer steps.\n",
               (long long)dry, (long long)r.train.steps);
    else
        printf("%lld steps of %lld rows of %lld tokens.\n", (long long)r.train.steps,
               (long long)r.train.batch, (long long)r.train.sequence);
out:
    free(drawn);
    rows_close(&r);
    return rc < 0 ? rc : 0;
}

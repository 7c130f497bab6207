/* store_rows - which pages a training step reads. */
#include "command/run.h"
#include "command/store_tool.h"
#include "core/err.h"
#include "core/json.h"
#include "core/ledger.h"
#include "core/log.h"

#include <math.h>
#include <stdlib.h>

/* ---- a run's rows ---- */
void store_rows_close(struct store_rows *r)
{
    loader_close(r->loader);
    mixture_close(&r->mixture);
    store_close(r->store);
    run_close(&r->run);
    if (r->recipe)
        recipe_close(r->recipe);
}

int store_rows_open(struct store_rows *r, const char *dir, bool partial, struct arena *a)
{
    char path[IO_PATH_MAX];
    memset(r, 0, sizeof *r);
    TRY(run_flag_check("store", dir));
    r->recipe = arena_push_zero(a, sizeof *r->recipe, 16);
    if (!r->recipe)
        return ERR_LIMIT;
    TRY(run_open(&r->run, r->recipe, dir));
    if (!r->recipe->has_train)
        return err_set(ERR_USAGE, "%s: its recipe has no [train]: nothing draws from its store",
                       dir);
    TRY(base_store(dir, path));
    TRY(store_open(&r->store, path));
    TRY(mixture_open(&r->mixture, &r->run, r->store));
    return mixture_loader(&r->loader, &r->mixture, r->store, partial);
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

/* Of an imported document: the file it was read from stands for its address. */
static int origin_import(void *arg, const struct store_doc *doc, struct str path)
{
    const struct ledger_row row = {.id = doc->id, .record = doc->record, .url = path};
    return origin_row(arg, &row, path, NULL);
}

/* A run has a ledger, a folder that `sluice store import` made a list of files. */
static int origins_walk(const char *dir, struct origins *o)
{
    char base[IO_PATH_MAX], note[IO_PATH_MAX];
    TRY(ledger_base(dir, base));
    TRY(io_path(note, "%s/import.json", base));
    return io_exists(note) ? import_walk(base, origin_import, o) : ledger_walk(dir, origin_row, o);
}

int origins_find(const char *run_dir, const struct store *s, struct origin *origin, size_t count)
{
    struct origins o = {.origin = origin, .count = count};
    uint32_t runs = 0;
    const struct store_origin *run = store_origins(s, &runs);
    if (count == 0)
        return 0;
    qsort(origin, count, sizeof *origin, origin_compare);
    for (size_t i = 0; i < count; i++)
        o.left += i == 0 || origin[i].id != origin[i - 1].id;
    TRY(origins_walk(run_dir, &o));
    for (uint32_t i = 0; i < runs && o.left; i++)
        if (origins_walk(run[i].run, &o) < 0) {
            log_warn("store: the ledger of %s, whose documents were appended, cannot be read: %s",
                     run[i].run, err_text());
            err_clear();
        }
    return 0;
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
    uint64_t document;                  /* its number in the domain */
    struct store_doc doc;
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

/* The documents that a run of a domain's tokens is of. */
static int trace_tokens(struct trace *t, struct store *s, uint32_t row, uint32_t from,
                        uint32_t domain, uint64_t at, uint64_t end)
{
    while (at < end) {
        struct store_doc doc;
        uint64_t index;
        TRY(store_doc_of(s, domain, at, &index, &doc));
        uint64_t doc_end = doc.token_start + doc.token_count;
        uint64_t stop = doc_end < end ? doc_end : end;
        TRY(trace_add(t, (struct traced){row, domain, from, (uint32_t)(stop - at), index, doc}));
        from += (uint32_t)(stop - at);
        at = stop;
    }
    return 0;
}

/* The documents that a row's inputs come from. */
static int trace_row(struct trace *t, const struct store_rows *r, uint32_t row, uint64_t number)
{
    struct loader_place place = loader_place(r->loader, number);
    const struct token_view *v = &r->mixture.view[place.source];
    struct loader_piece piece;
    for (uint32_t i = 0; loader_piece(r->loader, &place, i, &piece); i++) {
        uint64_t at = token_view_find(v, piece.start);
        for (uint32_t done = 0; done < piece.count; at++) {
            const struct extent *e = &v->extent[at];
            uint64_t skip = piece.start + done - e->before, left = e->count - skip;
            uint32_t now = left < piece.count - done ? (uint32_t)left : piece.count - done;
            uint64_t first = e->start + skip;
            TRY(trace_tokens(t, r->store, row, piece.at + done, e->domain, first, first + now));
            done += now;
        }
    }
    return 0;
}

static void print_clean(const char *s)
{
    for (; *s; s++)
        putchar((unsigned char)*s < 32 || *s == 127 ? '?' : *s);
}

/* 1: what the trainer wrote of its store in front of the first phase is not what the store is now;
 * 0: it is, or nothing was trained yet. */
static int store_changed(const struct store_rows *r, struct arena *a)
{
    char path[IO_PATH_MAX], now[33];
    struct io_reader *log = NULL;
    struct json *row;
    struct str line;
    int rc;
    TRY(io_path(path, "%s/train/train.jsonl", r->run.dir));
    if (!io_exists(path))
        return 0;
    TRY(io_open(&log, path));
    TRY_OUT(io_read_line(log, &line));
    if (rc == 0)
        goto out;
    TRY_OUT(json_parse(a, line, &row));
    struct str then = json_str(row, "store", STR(""));
    hash_hex(store_identity(r->store), now);
    rc = then.len > 0 && !str_is(then, now);
out:
    io_close(log);
    return rc;
}

static void print_traced(const struct store_meta *meta, const struct traced *item,
                         const struct origin *from)
{
    printf("row %-4u %-16s tokens %5u to %5u  document %llu  %016llx  ", item->row,
           meta->domain[item->domain].name, item->from, item->from + item->tokens - 1,
           (unsigned long long)item->document, (unsigned long long)item->doc.id);
    if (from && from->found) {
        print_clean(from->url);
        printf("  %s at byte %llu, record %u\n", from->source, (unsigned long long)from->offset,
               from->record);
    } else {
        printf("(no ledger row)\n");
    }
}

static void print_traced_json(const struct store_meta *meta, const struct traced *item,
                              const struct origin *from, bool changed, struct buf *line)
{
    struct json_writer w;
    char id[17];
    snprintf(id, sizeof id, "%016llx", (unsigned long long)item->doc.id);
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
    for (size_t i = 0; i < COUNT_OF(number); i++)
        json_field_u64(&w, number[i].key, number[i].value);
    json_field_text(&w, "domain", meta->domain[item->domain].name);
    json_field_text(&w, "id", id);
    if (item->doc.lang[0])
        json_field_str(
            &w, "lang",
            (struct str){item->doc.lang, strnlen(item->doc.lang, sizeof item->doc.lang)});
    if (!isnan(item->doc.lang_score))
        json_field_num(&w, "language.score", item->doc.lang_score);
    if (!isnan(item->doc.score))
        json_field_num(&w, "quality.score", item->doc.score);
    if (from && from->found) {
        json_field_text(&w, "url", from->url);
        json_field_text(&w, "source", from->source);
        json_field_u64(&w, "offset", from->offset);
        json_field_u64(&w, "record", from->record);
    }
    if (changed)
        json_field_bool(&w, "store_changed", true);
    json_close(&w, '}');
    printf("%s\n", buf_cstr(line));
}

static int trace_step(const struct store_rows *r, const struct store_flags *flags, struct trace *t)
{
    const struct train_conf *c = &r->mixture.train;
    if (flags->step < 1 || flags->step > c->steps)
        return err_set(ERR_USAGE, "store trace: step %lld: the recipe trains steps 1 to %lld",
                       (long long)flags->step, (long long)c->steps);
    struct train_place at = train_place(&r->mixture.plan, c, flags->step - 1);
    if (flags->row >= at.rows)
        return err_set(ERR_USAGE, "store trace: row %lld: step %lld has rows 0 to %u",
                       (long long)flags->row, (long long)flags->step, at.rows - 1);
    if (at.row + at.rows > loader_rows(r->loader))
        return err_set(ERR_USAGE, "store trace: step %lld: the mixture runs dry before it",
                       (long long)flags->step);
    for (uint32_t row = 0; row < at.rows; row++)
        if (flags->row < 0 || (uint32_t)flags->row == row)
            TRY(trace_row(t, r, row, at.row + row));
    return 0;
}

int store_trace(const struct store_flags *flags, struct arena *a)
{
    struct store_rows *r = calloc(1, sizeof *r);
    struct trace t = {0};
    struct buf line = {0};
    int rc, changed;
    if (!r)
        return err_set(ERR_LIMIT, "store trace: no memory");
    TRY_OUT(store_rows_open(r, flags->run, true, a));
    TRY_OUT(trace_step(r, flags, &t));
    TRY_OUT(changed = store_changed(r, a));
    if (changed)
        log_warn("store trace: the store was changed since %s was trained (documents were appended "
                 "or removed): these are the rows that a new training would read",
                 flags->run);
    t.origin = calloc(t.count ? t.count : 1, sizeof *t.origin);
    TRY_OUT(t.origin ? 0 : err_set(ERR_LIMIT, "store trace: no memory"));
    for (t.origins = 0; t.origins < t.count; t.origins++)
        t.origin[t.origins].id = t.item[t.origins].doc.id;
    TRY_OUT(origins_find(flags->run, r->store, t.origin, t.origins));
    for (size_t i = 0; i < t.count; i++) {
        const struct origin *from = origins_at(t.origin, t.origins, t.item[i].doc.id);
        if (flags->json)
            print_traced_json(store_meta(r->store), &t.item[i], from, changed, &line);
        else
            print_traced(store_meta(r->store), &t.item[i], from);
    }
out:
    free(t.item);
    origins_free(t.origin, t.origins);
    buf_free(&line);
    store_rows_close(r);
    free(r);
    return rc < 0 ? rc : 0;
}

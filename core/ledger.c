/* ledger - Parquet files with one row an input record; the schema of the run travels in their
 * metadata. */
#include "core/ledger.h"

#include "core/err.h"
#include "core/json.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { WALK_ARENA = 1 << 30, NAMES_ARENA = 64 << 20 };

const struct pq_column ledger_columns[LEDGER_COLUMNS] = {
    {"id", PQ_U64, false, false},         {"url", PQ_STRING, false, false},
    {"source", PQ_STRING, false, true},   {"offset", PQ_U64, false, false},
    {"record", PQ_U32, false, false},     {"host", PQ_STRING, false, true},
    {"lang", PQ_STRING, false, true},     {"raw_bytes", PQ_U32, false, false},
    {"text_bytes", PQ_U32, false, false}, {"verdict", PQ_STRING, false, true},
    {"stage", PQ_STRING, false, true},    {"rule", PQ_STRING, false, true},
    {"value", PQ_F32, true, false},       {"threshold", PQ_F32, true, false},
    {"also", PQ_STRING, false, true},     {"dup_of", PQ_STRING, false, false},
    {"cluster", PQ_U64, false, false},    {"cluster_size", PQ_U32, false, false},
    {"domain", PQ_STRING, false, true},   {"tokens", PQ_U32, false, false},
};

struct ledger_writer {
    struct pq_writer *pq;
    struct str source;
    char *source_text;
    int signal_count;
};

/* {"signals":[{"name","unit"}],"rules":[{"name","stage","signal","threshold","sense"}]} */
static void schema_json(const struct schema *s, struct buf *to)
{
    struct json_writer w;
    json_begin(&w, to);
    json_open(&w, '{');
    json_field_open(&w, "signals", '[');
    for (int i = 0; i < s->signal_count; i++) {
        json_open(&w, '{');
        json_field_text(&w, "name", s->signal[i].name);
        json_field_text(&w, "unit", s->signal[i].unit ? s->signal[i].unit : "");
        json_close(&w, '}');
    }
    json_close(&w, ']');
    json_field_open(&w, "rules", '[');
    for (int i = 1; i < s->rule_count; i++) {
        json_open(&w, '{');
        json_field_text(&w, "name", s->rule[i].name);
        json_field_text(&w, "stage", s->rule[i].stage);
        json_field_i64(&w, "signal", s->rule[i].signal);
        json_field_num(&w, "threshold", s->rule[i].threshold);
        json_field_i64(&w, "sense", s->rule[i].sense);
        json_close(&w, '}');
    }
    json_close(&w, ']');
    json_close(&w, '}');
}

static int schema_from_json(struct arena *a, struct str text, struct schema *s)
{
    struct json *root;
    schema_init(s);
    TRY(json_parse(a, text, &root));
    const struct json *signals = json_get(root, "signals"), *rules = json_get(root, "rules");
    for (const struct json *v = signals ? signals->child : NULL; v; v = v->next) {
        const char *name = arena_strdup(a, json_str(v, "name", STR("")));
        const char *unit = arena_strdup(a, json_str(v, "unit", STR("")));
        if (!name || !unit || strlen(name) >= sizeof s->signal[0].name)
            return err_set(ERR_FORMAT, "signal name of %zu bytes", name ? strlen(name) : 0);
        TRY(schema_signal(s, name, unit));
    }
    for (const struct json *v = rules ? rules->child : NULL; v; v = v->next) {
        const char *name = arena_strdup(a, json_str(v, "name", STR("")));
        const char *stage = arena_strdup(a, json_str(v, "stage", STR("")));
        int signal = (int)json_num(v, "signal", -1);
        if (!name || !stage || strlen(name) >= sizeof s->rule[0].name || signal >= s->signal_count)
            return err_set(ERR_FORMAT, "a rule of the schema does not fit");
        TRY(schema_rule(s, stage, name, signal < 0 ? -1 : signal, json_num(v, "threshold", NAN),
                        (int)json_num(v, "sense", 0)));
    }
    return 0;
}

static int ledger_begin(struct ledger_writer *w, const char *path, const char *source,
                        const struct schema *schema)
{
    struct pq_column column[LEDGER_COLUMNS + SIGNALS_MAX];
    struct buf json = {0};
    memcpy(column, ledger_columns, sizeof ledger_columns);
    for (int i = 0; i < schema->signal_count; i++) {
        struct pq_column *c = &column[LEDGER_COLUMNS + i];
        *c = (struct pq_column){.type = PQ_F32, .optional = true};
        snprintf(c->name, sizeof c->name, "signal.%s", schema->signal[i].name);
    }
    w->signal_count = schema->signal_count;
    w->source_text = strdup(source);
    if (!w->source_text)
        return err_set(ERR_LIMIT, "ledger: no memory");
    w->source = str_of(w->source_text);
    TRY(pq_create(&w->pq, path, column, LEDGER_COLUMNS + schema->signal_count));
    schema_json(schema, &json);
    int rc = json.failed ? err_set(ERR_LIMIT, "ledger: no memory")
                         : pq_meta(w->pq, "sluice.schema", buf_view(&json));
    buf_free(&json);
    return rc;
}

int ledger_create(struct ledger_writer **out, const char *path, const char *source,
                  const struct schema *schema)
{
    struct ledger_writer *w = calloc(1, sizeof *w);
    if (!w)
        return err_set(ERR_LIMIT, "ledger: no memory");
    int rc = ledger_begin(w, path, source, schema);
    if (rc < 0) {
        ledger_abandon(w);
        return rc;
    }
    *out = w;
    return 0;
}

/* URLs and hosts are captured bytes: what is not UTF-8 goes in percent-encoded. */
static void put_bytes(struct pq_writer *pq, struct str s)
{
    if (!s.ptr)
        s = STR("");
    if (utf8_valid(s)) {
        pq_put_str(pq, s);
        return;
    }
    struct buf safe = {0};
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];
        if (c >= 0x80)
            buf_printf(&safe, "%%%02X", c);
        else
            buf_char(&safe, (char)c);
    }
    pq_put_str(pq, buf_view(&safe));
    buf_free(&safe);
}

int ledger_add(struct ledger_writer *w, const struct ledger_row *row)
{
    pq_put_u64(w->pq, row->id);
    put_bytes(w->pq, row->url);
    pq_put_str(w->pq, w->source);
    pq_put_u64(w->pq, row->offset);
    pq_put_u64(w->pq, row->record);
    put_bytes(w->pq, row->host);
    put_bytes(w->pq, row->lang);
    pq_put_u64(w->pq, row->raw_bytes);
    pq_put_u64(w->pq, row->text_bytes);
    put_bytes(w->pq, row->verdict);
    put_bytes(w->pq, row->stage);
    put_bytes(w->pq, row->rule);
    pq_put_f32(w->pq, row->value);
    pq_put_f32(w->pq, row->threshold);
    put_bytes(w->pq, row->also);
    put_bytes(w->pq, row->dup_of);
    pq_put_u64(w->pq, row->cluster);
    pq_put_u64(w->pq, row->cluster_size);
    put_bytes(w->pq, row->domain);
    pq_put_u64(w->pq, row->tokens);
    for (int i = 0; i < w->signal_count; i++)
        pq_put_f32(w->pq, row->signal[i]);
    return pq_end_row(w->pq);
}

int ledger_commit(struct ledger_writer *w, struct io_info *info)
{
    struct pq_writer *pq = w->pq;
    w->pq = NULL;
    ledger_abandon(w);
    return pq_commit(pq, info);
}

void ledger_abandon(struct ledger_writer *w)
{
    if (!w)
        return;
    if (w->pq)
        pq_abandon(w->pq);
    free(w->source_text);
    free(w);
}

/* ---- reading ---- */
struct ledger_reader {
    struct pq_reader *pq;
    struct arena arena; /* schema's texts, then a row group's values */
    struct schema schema;
    char path[IO_PATH_MAX];
};

static int read_column(struct ledger_reader *r, int group, const char *name, enum pq_type type,
                       struct pq_data *data)
{
    int column = pq_find(r->pq, name);
    if (column < 0)
        return err_set(ERR_FORMAT, "column %s is missing: not a ledger of this version", name);
    if (pq_column(r->pq, column)->type != type)
        return err_set(ERR_FORMAT, "column %s has another type: not a ledger of this version",
                       name);
    return pq_read(r->pq, group, column, &r->arena, data);
}

/* The record's number is read in any case: it tells how many rows there are. */
static int read_group(struct ledger_reader *r, int group, const struct ledger_need *need,
                      struct pq_data *data)
{
    memset(data, 0, sizeof *data * (LEDGER_COLUMNS + SIGNALS_MAX));
    for (int i = 0; i < LEDGER_COLUMNS; i++)
        if (!need || need->column[i] || i == LEDGER_RECORD)
            TRY(read_column(r, group, ledger_columns[i].name, ledger_columns[i].type, &data[i]));
    for (int i = 0; i < r->schema.signal_count; i++) {
        char name[64];
        snprintf(name, sizeof name, "signal.%s", r->schema.signal[i].name);
        if (!need || need->signal[i])
            TRY(read_column(r, group, name, PQ_F32, &data[LEDGER_COLUMNS + i]));
    }
    for (int i = 0; i < LEDGER_COLUMNS + r->schema.signal_count; i++) {
        bool here = data[i].str || data[i].u64 || data[i].f32;
        if (here && data[i].rows != data[LEDGER_RECORD].rows)
            return err_set(ERR_FORMAT, "row group %d: columns differ in length", group);
    }
    return 0;
}

static float f32_at(const struct pq_data *d, uint32_t row)
{
    return !d->f32 || (d->valid && !d->valid[row]) ? NAN : d->f32[row];
}
static uint64_t u64_at(const struct pq_data *d, uint32_t row) { return d->u64 ? d->u64[row] : 0; }
static struct str str_at(const struct pq_data *d, uint32_t row)
{
    return d->str ? d->str[row] : (struct str){"", 0};
}

static int walk_group(const struct pq_data *data, const struct schema *schema, ledger_fn *fn,
                      void *arg)
{
    float signal[SIGNALS_MAX];
    int here[SIGNALS_MAX], count = 0; /* the signals that were read */
    for (int s = 0; s < schema->signal_count; s++) {
        signal[s] = NAN;
        if (data[LEDGER_COLUMNS + s].f32)
            here[count++] = s;
    }
    for (uint32_t i = 0; i < data[LEDGER_RECORD].rows; i++) {
        struct ledger_row row = {
            .id = u64_at(&data[LEDGER_ID], i),
            .url = str_at(&data[LEDGER_URL], i),
            .offset = u64_at(&data[LEDGER_OFFSET], i),
            .record = (uint32_t)u64_at(&data[LEDGER_RECORD], i),
            .host = str_at(&data[LEDGER_HOST], i),
            .lang = str_at(&data[LEDGER_LANG], i),
            .raw_bytes = (uint32_t)u64_at(&data[LEDGER_RAW_BYTES], i),
            .text_bytes = (uint32_t)u64_at(&data[LEDGER_TEXT_BYTES], i),
            .verdict = str_at(&data[LEDGER_VERDICT], i),
            .stage = str_at(&data[LEDGER_STAGE], i),
            .rule = str_at(&data[LEDGER_RULE], i),
            .value = f32_at(&data[LEDGER_VALUE], i),
            .threshold = f32_at(&data[LEDGER_THRESHOLD], i),
            .also = str_at(&data[LEDGER_ALSO], i),
            .dup_of = str_at(&data[LEDGER_DUP_OF], i),
            .cluster = u64_at(&data[LEDGER_CLUSTER], i),
            .cluster_size = (uint32_t)u64_at(&data[LEDGER_CLUSTER_SIZE], i),
            .domain = str_at(&data[LEDGER_DOMAIN], i),
            .tokens = (uint32_t)u64_at(&data[LEDGER_TOKENS], i),
            .signal = signal,
        };
        for (int s = 0; s < count; s++)
            signal[here[s]] = f32_at(&data[LEDGER_COLUMNS + here[s]], i);
        int rc = fn(arg, &row, str_at(&data[LEDGER_SOURCE], i), schema);
        if (rc != 0)
            return rc;
    }
    return 0;
}

int ledger_open(struct ledger_reader **out, const char *path)
{
    struct ledger_reader *r = calloc(1, sizeof *r);
    if (!r)
        return err_set(ERR_LIMIT, "ledger: no memory");
    int rc = io_path(r->path, "%s", path);
    if (rc >= 0)
        rc = arena_open(&r->arena, WALK_ARENA);
    if (rc >= 0)
        rc = pq_open(&r->pq, path);
    if (rc >= 0)
        rc = schema_from_json(&r->arena, pq_get_meta(r->pq, "sluice.schema"), &r->schema);
    if (rc < 0) {
        err_in(rc, "ledger: %s", path);
        ledger_close(r);
        return rc;
    }
    *out = r;
    return 0;
}

const struct schema *ledger_schema(const struct ledger_reader *r) { return &r->schema; }

int ledger_rows(struct ledger_reader *r, const struct ledger_need *need, ledger_fn *fn, void *arg)
{
    struct pq_data data[LEDGER_COLUMNS + SIGNALS_MAX];
    size_t mark = arena_mark(&r->arena);
    int rc = 0;
    for (int group = 0; group < pq_groups(r->pq) && rc == 0; group++) {
        rc = read_group(r, group, need, data);
        if (rc >= 0)
            rc = walk_group(data, &r->schema, fn, arg);
        arena_reset(&r->arena, mark);
    }
    return rc < 0 ? err_in(rc, "ledger: %s", r->path) : rc;
}

void ledger_close(struct ledger_reader *r)
{
    if (!r)
        return;
    if (r->pq)
        pq_close(r->pq);
    arena_close(&r->arena);
    free(r);
}

int ledger_base(const char *run_dir, char out[IO_PATH_MAX])
{
    char path[IO_PATH_MAX], *text;
    size_t len;
    struct arena a = {0};
    struct json *root;
    TRY(io_path(path, "%s/base.json", run_dir));
    if (!io_exists(path))
        return io_path(out, "%s", run_dir);
    TRY(io_read_file(path, LEDGER_BASE_MAX, &text, &len));
    int rc = arena_open(&a, NAMES_ARENA);
    if (rc >= 0)
        rc = json_parse(&a, (struct str){text, len}, &root);
    struct str base = rc >= 0 ? json_str(root, "path", STR("")) : STR("");
    if (rc >= 0 && (base.len == 0 || memchr(base.ptr, 0, base.len)))
        rc = err_set(ERR_FORMAT, "it names no folder");
    if (rc >= 0)
        rc = io_path(out, "%.*s", STR_ARG(base));
    arena_close(&a);
    free(text);
    return rc < 0 ? err_in(rc, "%s", path) : 0;
}

int ledger_walk(const char *run_dir, ledger_fn *fn, void *arg)
{
    char base[IO_PATH_MAX], pattern[IO_PATH_MAX];
    const char **path;
    size_t count;
    struct arena names = {0};
    int rc;
    TRY(ledger_base(run_dir, base));
    TRY(io_path(pattern, "%s/ledger/*.parquet", base));
    TRY_OUT(arena_open(&names, NAMES_ARENA));
    TRY_OUT(io_glob(pattern, &names, &path, &count));
    for (size_t i = 0; i < count && rc == 0; i++) {
        struct ledger_reader *r;
        TRY_OUT(ledger_open(&r, path[i]));
        rc = ledger_rows(r, NULL, fn, arg);
        ledger_close(r);
    }
out:
    arena_close(&names);
    return rc < 0 ? rc : 0;
}

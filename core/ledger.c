/* ledger - Parquet files with one row an input record; the schema of the run travels in their
 * metadata. */
#include "core/ledger.h"

#include "core/err.h"
#include "core/json.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { FIXED_COLUMNS = 20, WALK_ARENA = 1 << 30 };

static const struct pq_column fixed[FIXED_COLUMNS] = {
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
    json_key(&w, "signals");
    json_open(&w, '[');
    for (int i = 0; i < s->signal_count; i++) {
        json_open(&w, '{');
        json_key(&w, "name");
        json_put_str(&w, str_of(s->signal[i].name));
        json_key(&w, "unit");
        json_put_str(&w, str_of(s->signal[i].unit ? s->signal[i].unit : ""));
        json_close(&w, '}');
    }
    json_close(&w, ']');
    json_key(&w, "rules");
    json_open(&w, '[');
    for (int i = 1; i < s->rule_count; i++) {
        json_open(&w, '{');
        json_key(&w, "name");
        json_put_str(&w, str_of(s->rule[i].name));
        json_key(&w, "stage");
        json_put_str(&w, str_of(s->rule[i].stage));
        json_key(&w, "signal");
        json_put_i64(&w, s->rule[i].signal);
        json_key(&w, "threshold");
        json_put_num(&w, s->rule[i].threshold);
        json_key(&w, "sense");
        json_put_i64(&w, s->rule[i].sense);
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
    struct pq_column column[FIXED_COLUMNS + SIGNALS_MAX];
    struct buf json = {0};
    memcpy(column, fixed, sizeof fixed);
    for (int i = 0; i < schema->signal_count; i++) {
        struct pq_column *c = &column[FIXED_COLUMNS + i];
        *c = (struct pq_column){.type = PQ_F32, .optional = true};
        snprintf(c->name, sizeof c->name, "signal.%s", schema->signal[i].name);
    }
    w->signal_count = schema->signal_count;
    w->source_text = strdup(source);
    if (!w->source_text)
        return err_set(ERR_LIMIT, "ledger: no memory");
    w->source = str_of(w->source_text);
    TRY(pq_create(&w->pq, path, column, FIXED_COLUMNS + schema->signal_count));
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

static int read_group(struct pq_reader *r, int group, struct arena *a, const struct schema *schema,
                      struct pq_data *data)
{
    for (int i = 0; i < FIXED_COLUMNS; i++) {
        int column = pq_find(r, fixed[i].name);
        if (column < 0)
            return err_set(ERR_FORMAT, "column %s is missing: not a ledger of this version",
                           fixed[i].name);
        if (pq_column(r, column)->type != fixed[i].type)
            return err_set(ERR_FORMAT, "column %s has another type: not a ledger of this version",
                           fixed[i].name);
        TRY(pq_read(r, group, column, a, &data[i]));
    }
    for (int i = 0; i < schema->signal_count; i++) {
        char name[64];
        snprintf(name, sizeof name, "signal.%s", schema->signal[i].name);
        int column = pq_find(r, name);
        if (column < 0 || pq_column(r, column)->type != PQ_F32)
            return err_set(ERR_FORMAT, "column %s is missing: not a ledger of this version", name);
        TRY(pq_read(r, group, column, a, &data[FIXED_COLUMNS + i]));
    }
    for (int i = 0; i < FIXED_COLUMNS + schema->signal_count; i++)
        if (data[i].rows != data[0].rows)
            return err_set(ERR_FORMAT, "row group %d: columns differ in length", group);
    return 0;
}

static float f32_at(const struct pq_data *d, uint32_t row)
{
    return d->valid && !d->valid[row] ? NAN : d->f32[row];
}

static int walk_group(const struct pq_data *data, const struct schema *schema, ledger_fn *fn,
                      void *arg)
{
    float signal[SIGNALS_MAX];
    for (uint32_t i = 0; i < data[0].rows; i++) {
        struct ledger_row row = {
            .id = data[0].u64[i],
            .url = data[1].str[i],
            .offset = data[3].u64[i],
            .record = (uint32_t)data[4].u64[i],
            .host = data[5].str[i],
            .lang = data[6].str[i],
            .raw_bytes = (uint32_t)data[7].u64[i],
            .text_bytes = (uint32_t)data[8].u64[i],
            .verdict = data[9].str[i],
            .stage = data[10].str[i],
            .rule = data[11].str[i],
            .value = f32_at(&data[12], i),
            .threshold = f32_at(&data[13], i),
            .also = data[14].str[i],
            .dup_of = data[15].str[i],
            .cluster = data[16].u64[i],
            .cluster_size = (uint32_t)data[17].u64[i],
            .domain = data[18].str[i],
            .tokens = (uint32_t)data[19].u64[i],
            .signal = signal,
        };
        for (int s = 0; s < schema->signal_count; s++)
            signal[s] = f32_at(&data[FIXED_COLUMNS + s], i);
        int rc = fn(arg, &row, data[2].str[i], schema);
        if (rc != 0)
            return rc;
    }
    return 0;
}

static int walk_file(const char *path, struct arena *a, ledger_fn *fn, void *arg)
{
    struct pq_reader *r = NULL;
    struct schema *schema = NULL;
    struct pq_data data[FIXED_COLUMNS + SIGNALS_MAX];
    size_t mark;
    int rc;
    TRY_OUT(pq_open(&r, path));
    schema = calloc(1, sizeof *schema);
    if (!schema) {
        rc = err_set(ERR_LIMIT, "ledger: no memory");
        goto out;
    }
    TRY_OUT(schema_from_json(a, pq_get_meta(r, "sluice.schema"), schema));
    mark = arena_mark(a);
    for (int group = 0; group < pq_groups(r); group++) {
        TRY_OUT(read_group(r, group, a, schema, data));
        rc = walk_group(data, schema, fn, arg);
        if (rc != 0)
            goto out;
        arena_reset(a, mark);
    }
    rc = 0;
out:
    if (rc < 0)
        err_in(rc, "ledger: %s", path);
    free(schema);
    if (r)
        pq_close(r);
    return rc;
}

int ledger_walk(const char *run_dir, ledger_fn *fn, void *arg)
{
    char pattern[IO_PATH_MAX];
    const char **path;
    size_t count;
    struct arena names = {0}, rows = {0};
    int rc;
    TRY(io_path(pattern, "%s/ledger/*.parquet", run_dir));
    TRY_OUT(arena_open(&names, 64 << 20));
    TRY_OUT(arena_open(&rows, WALK_ARENA));
    TRY_OUT(io_glob(pattern, &names, &path, &count));
    rc = 0;
    for (size_t i = 0; i < count && rc == 0; i++) {
        rc = walk_file(path[i], &rows, fn, arg);
        arena_trim(&rows, 1 << 20);
    }
out:
    arena_close(&rows);
    arena_close(&names);
    return rc < 0 ? rc : 0;
}

/* json_rows - JSON lines, or a line of JSON for each row of a Parquet file. */
#include "command/json_rows.h"

#include "core/err.h"
#include "core/io.h"
#include "core/json.h"
#include "core/parquet.h"

#include <stdlib.h>

struct json_rows {
    struct io_reader *lines; /* NULL: Parquet */
    struct pq_reader *file;
    struct pq_stream *stream[JSON_ROWS_NAMES_MAX];
    const char *name[JSON_ROWS_NAMES_MAX]; /* of the file's columns */
    int columns;
    struct buf line;
};

/* The columns of a list of names that are not read yet: of strings, or behind the first of
 * integers.
 */
static int columns_add(struct json_rows *r, struct str names)
{
    while (names.len && r->columns < JSON_ROWS_NAMES_MAX) {
        struct str name = str_cut(names, ',', &names);
        for (int i = 0; i < pq_column_count(r->file); i++) {
            const struct pq_column *c = pq_column(r->file, i);
            bool integer = c->type == PQ_U64 || c->type == PQ_U32;
            bool wanted =
                (c->type == PQ_STRING || (integer && r->columns)) && str_is(name, c->name);
            for (int k = 0; k < r->columns; k++)
                wanted &= !str_is(name, r->name[k]);
            if (!wanted)
                continue;
            TRY(pq_stream_open(&r->stream[r->columns], r->file, i));
            r->name[r->columns++] = c->name;
            break;
        }
    }
    return 0;
}

static int table_open_rows(struct json_rows *r, const char *path, const char *const *names,
                           int count)
{
    TRY(pq_open(&r->file, path));
    for (int i = 0; i < count; i++) {
        TRY(columns_add(r, str_of(names[i])));
        if (r->columns)
            continue;
        struct buf have = {0};
        pq_names(r->file, &have);
        int rc = err_set(ERR_FORMAT,
                         "%s: no column \"%s\" of strings, only %s: --field names another one",
                         path, names[i], buf_cstr(&have));
        buf_free(&have);
        return rc;
    }
    return 0;
}

int json_rows_open(struct json_rows **out, const char *path, const char *const *names, int count)
{
    struct json_rows *r = calloc(1, sizeof *r);
    *out = NULL;
    if (!r)
        return err_set(ERR_LIMIT, "no memory to read %s", path);
    int rc = pq_is(path) ? table_open_rows(r, path, names, count) : io_open(&r->lines, path);
    if (rc < 0) {
        json_rows_close(r);
        return rc;
    }
    *out = r;
    return 0;
}

/* 1: with the row's line made; 0: the first column has ended. */
static int row_next(struct json_rows *r)
{
    struct json_writer w;
    buf_clear(&r->line);
    json_begin(&w, &r->line);
    json_open(&w, '{');
    for (int i = 0; i < r->columns; i++) {
        struct pq_value v;
        int rc = pq_stream_next(r->stream[i], &v);
        if (rc < 0 || (rc == 0 && i == 0))
            return rc;
        if (rc == 0)
            return err_set(ERR_FORMAT, "column %s ends too early", r->name[i]);
        if (v.valid && v.str.ptr)
            json_field_str(&w, r->name[i], v.str);
        else if (v.valid)
            json_field_i64(&w, r->name[i], (int64_t)v.u64);
    }
    json_close(&w, '}');
    return r->line.failed ? err_set(ERR_LIMIT, "no memory for a row") : 1;
}

int json_rows_next(struct json_rows *r, struct str *line)
{
    if (r->lines)
        return io_read_line(r->lines, line);
    int rc = row_next(r);
    *line = buf_view(&r->line);
    return rc;
}

void json_rows_close(struct json_rows *r)
{
    if (!r)
        return;
    io_close(r->lines);
    for (int i = 0; i < r->columns; i++)
        pq_stream_close(r->stream[i]);
    if (r->file)
        pq_close(r->file);
    buf_free(&r->line);
    free(r);
}

int json_rows_refuse(const char *path)
{
    return pq_is(path)
               ? err_set(ERR_FORMAT, "%s is Parquet: give --jsonl, and each row is a text", path)
               : 0;
}

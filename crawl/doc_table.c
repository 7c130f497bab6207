/* doc_table - rows of a Parquet file as documents: one stream a column, read in step. */
#include "crawl/doc_table.h"

#include "core/err.h"
#include "core/parquet.h"

#include <stdlib.h>

enum column { BODY, URL, ID, DATE, COLUMNS };
struct doc_table {
    struct pq_reader *file;
    struct pq_stream *stream[COLUMNS]; /* NULL: no such column */
    bool html;
    char id[24]; /* of an integer */
    uint64_t rows, next;
};

/* The first of the names that is a column of strings (or of integers); -1: none is. */
static int find_column(const struct pq_reader *r, const char *const *name, bool integers)
{
    for (; *name; name++) {
        int at = pq_find(r, *name);
        enum pq_type type = at < 0 ? PQ_BOOL : pq_column(r, at)->type;
        if (type == PQ_STRING || (integers && (type == PQ_U64 || type == PQ_U32)))
            return at;
    }
    return -1;
}

static int no_text(const struct pq_reader *r, const char *path)
{
    struct buf names = {0};
    pq_names(r, &names);
    int rc =
        err_set(ERR_FORMAT,
                "crawl: %s has no column of strings named html, text or content, only %s: name "
                "the column of its texts so",
                path, buf_cstr(&names));
    buf_free(&names);
    return rc;
}

int doc_table_open(struct doc_table **out, const char *path)
{
    static const char *const name[COLUMNS][4] = {
        {"html", "text", "content"}, {"url"}, {"id"}, {"date", "timestamp"}};
    struct doc_table *t = calloc(1, sizeof *t);
    int rc = 0;
    *out = NULL;
    if (!t)
        return err_set(ERR_LIMIT, "crawl: no memory to open %s", path);
    TRY_OUT(pq_open(&t->file, path));
    t->rows = pq_rows(t->file);
    for (int i = 0; i < COLUMNS; i++) {
        int column = find_column(t->file, name[i], i == ID);
        if (column < 0 && i == BODY) {
            rc = no_text(t->file, path);
            goto out;
        }
        if (column < 0)
            continue;
        if (i == BODY)
            t->html = strcmp(pq_column(t->file, column)->name, name[BODY][0]) == 0;
        TRY_OUT(pq_stream_open(&t->stream[i], t->file, column));
    }
    *out = t;
    return 0;
out:
    doc_table_close(t);
    return rc;
}

int doc_table_next(struct doc_table *t, struct doc_table_row *row)
{
    struct pq_value v[COLUMNS] = {{0}};
    *row = (struct doc_table_row){.html = t->html};
    if (t->next == t->rows)
        return 0;
    for (int i = 0; i < COLUMNS; i++) {
        int rc = t->stream[i] ? pq_stream_next(t->stream[i], &v[i]) : 1;
        TRY(rc);
        if (rc == 0)
            return err_set(ERR_FORMAT, "a column ends at row %llu of %llu",
                           (unsigned long long)t->next, (unsigned long long)t->rows);
    }
    t->next++;
    row->body = v[BODY].str;
    row->at = v[BODY].at;
    row->url = v[URL].str;
    row->date = v[DATE].str;
    row->id = v[ID].str;
    if (v[ID].valid && !row->id.ptr)
        row->id = (struct str){t->id,
                               (size_t)snprintf(t->id, sizeof t->id, "%lld", (long long)v[ID].u64)};
    return 1;
}

uint64_t doc_table_bytes(const struct doc_table *t) { return pq_stream_at(t->stream[BODY]); }

void doc_table_close(struct doc_table *t)
{
    if (!t)
        return;
    for (int i = 0; i < COLUMNS; i++)
        pq_stream_close(t->stream[i]);
    if (t->file)
        pq_close(t->file);
    free(t);
}

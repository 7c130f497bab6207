/* parquet_read - the columns of a Parquet file: a row group's as a whole, or one page after
 * another.
 */
#include "core/parquet_pages.h"

#include "core/err.h"

#include <assert.h>
#include <stdlib.h>

/* ---- a column of a row group, fetched with one pread ---- */
static int read_pages(struct pq_decoder *d, const struct pq_chunk *c)
{
    const uint8_t *at = (const uint8_t *)d->r->stored.ptr;
    struct thrift_in in = {at, at + c->bytes, false};
    while (d->done < d->rows) {
        struct pq_page p;
        if (in.at == in.end)
            return err_set(ERR_FORMAT, "the pages end after %u of %u rows", d->done, d->rows);
        TRY(pq_page_header(&in, in.end - in.at, &p));
        const uint8_t *from = in.at;
        in.at += p.stored;
        TRY(pq_page_take(d, &p, from));
    }
    return 0;
}

static int chunk_check(const struct pq_leaf *column, const struct pq_chunk *c, uint32_t rows)
{
    if (c->elsewhere)
        return err_set(ERR_FORMAT, "the data stands in another file, which is not read");
    if (c->physical != (int64_t)column->physical || c->values != (int64_t)rows)
        return err_set(ERR_FORMAT,
                       "a column chunk of %lld values, type %lld: the schema says %u, %d",
                       (long long)c->values, (long long)c->physical, rows, (int)column->physical);
    return 0;
}

static const struct pq_chunk *chunk_of(const struct pq_reader *r, int group, int column)
{
    return &r->chunk[(size_t)group * (size_t)r->leaf_count + (size_t)r->column[column].leaf];
}

static int read_column(struct pq_decoder *d, const struct pq_chunk *c, uint32_t rows)
{
    struct pq_reader *r = d->r;
    TRY(chunk_check(d->column, c, rows));
    d->rows = rows;
    d->codec = c->codec;
    d->valid = arena_push(d->arena, rows, 1);
    if (!d->valid)
        return ERR_LIMIT;
    TRY(pq_values_open(d, &d->out, rows));
    buf_clear(&r->stored);
    r->stored.failed = r->page.failed = false;
    char *to = buf_room(&r->stored, (size_t)c->bytes);
    if (!to)
        return err_set(ERR_LIMIT, "no memory for %lld bytes", (long long)c->bytes);
    TRY(pq_read_at(r, to, (size_t)c->bytes, (uint64_t)c->start));
    return read_pages(d, c);
}

int pq_read(struct pq_reader *r, int group, int column, struct arena *a, struct pq_data *out)
{
    assert(group >= 0);
    assert(group < r->group_count);
    assert(column >= 0);
    assert(column < r->column_count);
    struct pq_decoder d = {.r = r, .column = &r->column[column], .arena = a};
    uint32_t rows = (uint32_t)r->group_rows[group];
    size_t mark = arena_mark(a);
    int rc = read_column(&d, chunk_of(r, group, column), rows);
    *out = (struct pq_data){0};
    if (rc < 0) {
        arena_reset(a, mark);
        return err_in(rc, "parquet: %s: row group %d, column %s", r->path, group,
                      d.column->spec.name);
    }
    *out = (struct pq_data){rows, d.valid, d.out.str, d.out.u64, d.out.f32};
    return 0;
}

/* ---- a column page by page ---- */
enum {
    HEADER_BYTES = 64 << 10,     /* read at once in the hope of a page's header ... */
    HEADER_BYTES_MAX = 16 << 20, /* and most: some writers put whole values into statistics */
    STREAM_ARENA = 1 << 30,      /* address space */
};
struct pq_stream {
    struct pq_reader *r;
    int column, group; /* group: at hand */
    uint64_t at, end;  /* in the file: the next page of the chunk, and what is behind its last */
    uint64_t page;     /* in the file: the one at hand */
    uint32_t group_left, next; /* rows of the group in no page so far; next row of the page */
    struct pq_decoder d;
    struct arena values, dictionary;
    struct buf stored;
};

int pq_stream_open(struct pq_stream **out, struct pq_reader *r, int column)
{
    assert(column >= 0);
    assert(column < r->column_count);
    struct pq_stream *s = calloc(1, sizeof *s);
    *out = NULL;
    if (!s)
        return err_set(ERR_LIMIT, "parquet: no memory");
    s->r = r;
    s->column = column;
    s->group = -1;
    int rc = arena_open(&s->values, STREAM_ARENA);
    if (rc >= 0)
        rc = arena_open(&s->dictionary, STREAM_ARENA);
    if (rc < 0) {
        pq_stream_close(s);
        return rc;
    }
    *out = s;
    return 0;
}

void pq_stream_close(struct pq_stream *s)
{
    if (!s)
        return;
    arena_close(&s->values);
    arena_close(&s->dictionary);
    buf_free(&s->stored);
    free(s);
}

/* 1: at the beginning of the next row group that has rows; 0: there is none. */
static int stream_group(struct pq_stream *s)
{
    const struct pq_reader *r = s->r;
    while (s->group_left == 0) {
        if (s->group + 1 == r->group_count)
            return 0;
        s->group_left = (uint32_t)r->group_rows[++s->group];
    }
    const struct pq_chunk *c = chunk_of(r, s->group, s->column);
    arena_trim(&s->dictionary, 0);
    s->d = (struct pq_decoder){.r = s->r, .column = &s->r->column[s->column], .codec = c->codec};
    TRY(chunk_check(s->d.column, c, s->group_left));
    s->at = (uint64_t)c->start;
    s->end = s->at + (uint64_t)c->bytes;
    return 1;
}

/* len bytes of the chunk from s->at on, to s->stored. */
static int stream_read(struct pq_stream *s, size_t len)
{
    buf_clear(&s->stored);
    s->stored.failed = false;
    char *to = buf_room(&s->stored, len);
    return to ? pq_read_at(s->r, to, len, s->at)
              : err_set(ERR_LIMIT, "no memory for %zu bytes", len);
}

static int stream_header(struct pq_stream *s, struct pq_page *p)
{
    for (size_t max = HEADER_BYTES;; max *= 16) {
        uint64_t left = s->end - s->at;
        size_t len = left < max ? (size_t)left : max;
        TRY(stream_read(s, len));
        const uint8_t *bytes = (const uint8_t *)s->stored.ptr;
        struct thrift_in in = {bytes, bytes + len, false};
        int rc = pq_page_header(&in, (int64_t)left, p);
        if (rc < 0 && in.bad && len < left && max < HEADER_BYTES_MAX)
            continue;
        TRY(rc);
        s->at += (uint64_t)(in.at - bytes);
        return 0;
    }
}

/* The next page with rows. */
static int stream_page(struct pq_stream *s)
{
    struct pq_page p;
    bool data = false;
    while (!data) {
        s->page = s->at;
        if (s->at == s->end)
            return err_set(ERR_FORMAT, "the pages end %u rows before the group does",
                           s->group_left);
        TRY(stream_header(s, &p));
        TRY(stream_read(s, (size_t)p.stored));
        s->at += (uint64_t)p.stored;
        data = p.kind == PAGE_DATA || p.kind == PAGE_DATA_V2;
        s->d.arena = &s->dictionary;
        if (data) {
            if (p.values < 0 || p.values > s->group_left)
                return err_set(ERR_FORMAT, "pages of more rows than the row group has");
            arena_trim(&s->values, 4 * (size_t)PQ_PAGE_BYTES);
            s->d.arena = &s->values;
            s->d.rows = (uint32_t)p.values;
            s->d.done = 0;
            s->d.valid = arena_push(&s->values, (size_t)p.values + 1, 1);
            TRY(s->d.valid ? pq_values_open(&s->d, &s->d.out, s->d.rows) : ERR_LIMIT);
        }
        TRY(pq_page_take(&s->d, &p, (const uint8_t *)s->stored.ptr));
        data = data && p.values > 0;
    }
    s->group_left -= s->d.rows;
    s->next = 0;
    return 0;
}

int pq_stream_next(struct pq_stream *s, struct pq_value *v)
{
    int rc = 1;
    *v = (struct pq_value){0};
    while (rc > 0 && s->next == s->d.rows) {
        if (s->group_left == 0)
            rc = stream_group(s);
        int page = rc > 0 ? stream_page(s) : 0;
        rc = page < 0 ? page : rc;
    }
    if (rc < 0)
        return err_in(rc, "parquet: %s: row group %d, column %s", s->r->path, s->group,
                      s->r->column[s->column].spec.name);
    if (rc == 0)
        return 0;
    uint32_t i = s->next++;
    *v = (struct pq_value){.valid = s->d.valid[i],
                           .str = s->d.out.str ? s->d.out.str[i] : (struct str){0},
                           .u64 = s->d.out.u64 ? s->d.out.u64[i] : 0,
                           .at = s->page};
    return 1;
}

uint64_t pq_stream_at(const struct pq_stream *s) { return s->at; }

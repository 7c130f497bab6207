/* parquet_footer - opens a Parquet file: its schema, and one small struct for every column chunk.
 */
#include "core/parquet_reader.h"

#include "core/err.h"
#include "core/thrift.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { TAIL_BYTES = 8, LEAVES_MAX = 8192, SCHEMA_DEPTH_MAX = 64 };

struct element {
    struct str name;
    int64_t physical, repetition, children, converted; /* -1: not given */
};

int pq_read_at(const struct pq_reader *r, void *to, size_t bytes, uint64_t at)
{
    for (size_t done = 0; done < bytes;) {
        ssize_t got = pread(r->fd, (char *)to + done, bytes - done, (off_t)(at + done));
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return err_sys("parquet: reading %s", r->path);
        if (got == 0)
            return err_set(ERR_FORMAT, "parquet: %s became shorter while it was read", r->path);
        done += (size_t)got;
    }
    return 0;
}

/* ---- footer ---- */
static void read_element(struct thrift_in *in, struct element *e)
{
    struct thrift_field f = {0};
    *e = (struct element){.physical = -1, .repetition = -1, .converted = -1};
    while (thrift_next(in, &f)) {
        if (f.id == 1)
            e->physical = thrift_int(in, f.type);
        else if (f.id == 3)
            e->repetition = thrift_int(in, f.type);
        else if (f.id == 4)
            e->name = thrift_str(in, f.type);
        else if (f.id == 5)
            e->children = thrift_int(in, f.type);
        else if (f.id == 6)
            e->converted = thrift_int(in, f.type);
        else
            thrift_skip(in, f.type);
    }
}

/* Shows the column to callers when it is flat and of a type they can have; others are passed over.
 */
static int add_leaf(struct pq_reader *r, const struct element *e, bool flat)
{
    static const enum pq_type type_of[] = {
        [PHYSICAL_BOOLEAN] = PQ_BOOL, [PHYSICAL_INT32] = PQ_U32,  [PHYSICAL_INT64] = PQ_U64,
        [PHYSICAL_FLOAT] = PQ_F32,    [PHYSICAL_DOUBLE] = PQ_F32, [PHYSICAL_BYTE_ARRAY] = PQ_STRING,
    };
    int leaf = r->leaf_count++;
    bool known =
        e->physical >= 0 && e->physical <= PHYSICAL_BYTE_ARRAY && e->physical != PHYSICAL_INT96;
    if (r->leaf_count > LEAVES_MAX)
        return err_set(ERR_FORMAT, "more than %d columns", LEAVES_MAX);
    if (!flat || !known || e->name.len >= sizeof r->column[0].spec.name || e->name.len == 0)
        return 0;
    if (r->column_count == PQ_COLUMNS_MAX)
        return err_set(ERR_FORMAT, "more than %d flat columns", PQ_COLUMNS_MAX);
    struct pq_leaf *c = &r->column[r->column_count++];
    c->leaf = leaf;
    c->physical = (enum pq_physical)e->physical;
    c->is_signed = e->converted != CONVERTED_UINT_32 && e->converted != CONVERTED_UINT_64;
    c->spec.type = type_of[e->physical];
    if (c->physical == PHYSICAL_INT32 && c->is_signed)
        c->spec.type = PQ_U64; /* so that a negative number stays one */
    c->spec.optional = e->repetition == REPEAT_OPTIONAL;
    memcpy(c->spec.name, e->name.ptr, e->name.len);
    return 0;
}

/* Elements stand in depth-first order; `left` counts the children still to come at each depth. */
static int read_schema(struct pq_reader *r, struct thrift_in *in, enum thrift_type type)
{
    int64_t left[SCHEMA_DEPTH_MAX] = {1};
    int depth = 0;
    uint32_t count = thrift_list(in, type, THRIFT_STRUCT);
    for (uint32_t i = 0; i < count && !in->bad; i++) {
        struct element e;
        read_element(in, &e);
        while (depth > 0 && left[depth] == 0)
            depth--;
        if (left[depth]-- <= 0 || e.children < 0 || e.children > count)
            return err_set(ERR_FORMAT, "the schema's tree is broken at element %u", i);
        if (i == 0 || e.children > 0) {
            if (++depth == SCHEMA_DEPTH_MAX)
                return err_set(ERR_FORMAT, "the schema is nested deeper than %d", SCHEMA_DEPTH_MAX);
            left[depth] = e.children;
        } else {
            TRY(add_leaf(r, &e, depth == 1 && e.repetition != REPEAT_REPEATED));
        }
    }
    while (depth > 0 && left[depth] == 0)
        depth--;
    if (in->bad || depth || left[0] || r->leaf_count == 0)
        return err_set(ERR_FORMAT, "the schema is damaged");
    return 0;
}

static void read_chunk_meta(struct thrift_in *in, struct pq_chunk *c)
{
    struct thrift_field f = {0};
    while (thrift_next(in, &f)) {
        if (f.id == 1)
            c->physical = thrift_int(in, f.type);
        else if (f.id == 4)
            c->codec = thrift_int(in, f.type);
        else if (f.id == 5)
            c->values = thrift_int(in, f.type);
        else if (f.id == 7)
            c->bytes = thrift_int(in, f.type);
        else if (f.id == 9)
            c->data_at = thrift_int(in, f.type);
        else if (f.id == 11)
            c->dictionary_at = thrift_int(in, f.type);
        else
            thrift_skip(in, f.type);
    }
}

static int read_chunk(struct pq_reader *r, struct thrift_in *in)
{
    struct thrift_field f = {0};
    struct pq_chunk c = {.physical = -1, .codec = -1, .values = -1, .bytes = -1, .data_at = -1};
    while (thrift_next(in, &f)) {
        if (f.id == 1)
            c.elsewhere = thrift_str(in, f.type).len > 0;
        else if (f.id == 3 && thrift_struct(in, f.type))
            read_chunk_meta(in, &c);
        else
            thrift_skip(in, f.type);
    }
    bool first = c.dictionary_at > 0 && c.dictionary_at < c.data_at;
    c.start = first ? c.dictionary_at : c.data_at;
    if (in->bad || c.start < 4 || c.bytes < 0 || c.values < 0 || (uint64_t)c.start > r->body_end ||
        (uint64_t)c.bytes > r->body_end - (uint64_t)c.start)
        return err_set(ERR_FORMAT, "a column chunk lies outside of the file");
    if (r->chunk_count == r->chunk_room) {
        size_t room = r->chunk_room ? r->chunk_room * 2 : 64;
        struct pq_chunk *more = realloc(r->chunk, room * sizeof *more);
        if (!more)
            return err_set(ERR_LIMIT, "no memory for %zu column chunks", room);
        r->chunk = more;
        r->chunk_room = room;
    }
    r->chunk[r->chunk_count++] = c;
    return 0;
}

static int read_group(struct pq_reader *r, struct thrift_in *in, int64_t *rows)
{
    struct thrift_field f = {0};
    size_t before = r->chunk_count;
    *rows = -1;
    while (thrift_next(in, &f)) {
        if (f.id == 1) {
            uint32_t count = thrift_list(in, f.type, THRIFT_STRUCT);
            if (count != (uint32_t)r->leaf_count || r->chunk_count != before)
                return err_set(ERR_FORMAT, "a row group has %u columns, the schema %d", count,
                               r->leaf_count);
            for (uint32_t i = 0; i < count; i++)
                TRY(read_chunk(r, in));
        } else if (f.id == 3) {
            *rows = thrift_int(in, f.type);
        } else {
            thrift_skip(in, f.type);
        }
    }
    if (in->bad || r->chunk_count - before != (size_t)r->leaf_count)
        return err_set(ERR_FORMAT, "a row group's description is damaged");
    if (*rows < 0 || *rows > PQ_GROUP_ROWS_MAX)
        return err_set(ERR_FORMAT, "a row group of %lld rows, at most %d are read",
                       (long long)*rows, PQ_GROUP_ROWS_MAX);
    return 0;
}

static int read_groups(struct pq_reader *r, struct thrift_in *in, enum thrift_type type)
{
    uint32_t count = thrift_list(in, type, THRIFT_STRUCT);
    uint64_t sum = 0;
    if (in->bad || count > INT32_MAX)
        return err_set(ERR_FORMAT, "the list of row groups is damaged");
    r->group_rows = calloc(count + 1u, sizeof *r->group_rows);
    if (!r->group_rows)
        return err_set(ERR_LIMIT, "no memory for %u row groups", count);
    for (uint32_t i = 0; i < count; i++) {
        TRY(read_group(r, in, &r->group_rows[i]));
        sum += (uint64_t)r->group_rows[i];
    }
    r->group_count = (int)count;
    if (sum != r->rows)
        return err_set(ERR_FORMAT, "row groups of %llu rows together, the footer says %llu",
                       (unsigned long long)sum, (unsigned long long)r->rows);
    return 0;
}

static int parse_footer(struct pq_reader *r)
{
    const uint8_t *bytes = (const uint8_t *)r->footer;
    struct thrift_in in = {bytes, bytes + r->footer_bytes, false}, schema = in, groups = in;
    struct thrift_field f = {0};
    enum thrift_type schema_type = THRIFT_STOP, groups_type = THRIFT_STOP;
    int64_t rows = -1;
    while (thrift_next(&in, &f)) {
        if (f.id == 2) {
            schema = in;
            schema_type = f.type;
        } else if (f.id == 4) {
            groups = in;
            groups_type = f.type;
        }
        if (f.id == 3)
            rows = thrift_int(&in, f.type);
        else
            thrift_skip(&in, f.type);
    }
    if (in.bad || rows < 0 || schema_type == THRIFT_STOP || groups_type == THRIFT_STOP)
        return err_set(ERR_FORMAT, "the footer is damaged");
    r->rows = (uint64_t)rows;
    TRY(read_schema(r, &schema, schema_type));
    return read_groups(r, &groups, groups_type);
}

static int load_footer(struct pq_reader *r)
{
    struct stat st;
    unsigned char tail[TAIL_BYTES], head[4];
    uint32_t len;
    if (fstat(r->fd, &st) < 0)
        return err_sys("fstat");
    if (!S_ISREG(st.st_mode) || st.st_size < 4 + TAIL_BYTES)
        return err_set(ERR_FORMAT, "not a Parquet file");
    uint64_t size = (uint64_t)st.st_size;
    TRY(pq_read_at(r, head, 4, 0));
    TRY(pq_read_at(r, tail, TAIL_BYTES, size - TAIL_BYTES));
    if (memcmp(head, "PARE", 4) == 0)
        return err_set(ERR_FORMAT, "the file is encrypted, which is not read: decrypt it first");
    if (memcmp(head, PQ_MAGIC, 4) != 0)
        return err_set(ERR_FORMAT, "not a Parquet file");
    if (memcmp(tail + 4, PQ_MAGIC, 4) != 0)
        return err_set(ERR_FORMAT,
                       "the end is missing after %llu bytes: fetch or make the file again",
                       (unsigned long long)size);
    memcpy(&len, tail, 4);
    if (len > size - 4 - TAIL_BYTES || len > PQ_FOOTER_MAX)
        return err_set(ERR_FORMAT, "a footer of %u bytes in a file of %llu, at most %d are read",
                       len, (unsigned long long)size, PQ_FOOTER_MAX);
    r->footer_bytes = len;
    r->body_end = size - TAIL_BYTES - len;
    r->footer = malloc(len + 1u);
    if (!r->footer)
        return err_set(ERR_LIMIT, "no memory for a footer of %u bytes", len);
    TRY(pq_read_at(r, r->footer, len, r->body_end));
    return parse_footer(r);
}

bool pq_is(const char *path)
{
    char head[4];
    struct stat st;
    /* A FIFO that is opened to look at it, and closed again, is broken for who writes into it. */
    if (stat(path, &st) != 0 || !S_ISREG(st.st_mode))
        return false;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    bool is = fd >= 0 && pread(fd, head, sizeof head, 0) == sizeof head &&
              memcmp(head, PQ_MAGIC, sizeof head) == 0;
    if (fd >= 0)
        close(fd);
    return is;
}

int pq_open(struct pq_reader **out, const char *path)
{
    struct pq_reader *r = calloc(1, sizeof *r);
    int rc;
    if (!r)
        return err_set(ERR_LIMIT, "parquet: no memory");
    r->fd = open(path, O_RDONLY | O_CLOEXEC);
    if (r->fd < 0) {
        free(r);
        return err_sys("parquet: open %s", path);
    }
    r->path = strdup(path);
    r->zstd = ZSTD_createDCtx();
    r->stored.max = r->page.max = SIZE_MAX / 2;
    rc = r->path && r->zstd ? load_footer(r) : err_set(ERR_LIMIT, "no memory");
    if (rc < 0) {
        pq_close(r);
        return err_in(rc, "parquet: %s", path);
    }
    *out = r;
    return 0;
}

void pq_close(struct pq_reader *r)
{
    if (!r)
        return;
    close(r->fd);
    free(r->path);
    free(r->footer);
    free(r->group_rows);
    free(r->chunk);
    buf_free(&r->stored);
    buf_free(&r->page);
    ZSTD_freeDCtx(r->zstd);
    free(r);
}

int pq_column_count(const struct pq_reader *r) { return r->column_count; }

const struct pq_column *pq_column(const struct pq_reader *r, int index)
{
    assert(index >= 0);
    assert(index < r->column_count);
    return &r->column[index].spec;
}

void pq_names(const struct pq_reader *r, struct buf *to)
{
    for (int i = 0; i < r->column_count; i++)
        buf_printf(to, "%s%s", i ? ", " : "", r->column[i].spec.name);
    if (!r->column_count)
        buf_text(to, "nested ones");
}

int pq_find(const struct pq_reader *r, const char *name)
{
    for (int i = 0; i < r->column_count; i++)
        if (strcmp(r->column[i].spec.name, name) == 0)
            return i;
    return -1;
}

uint64_t pq_rows(const struct pq_reader *r) { return r->rows; }

int pq_groups(const struct pq_reader *r) { return r->group_count; }

struct str pq_get_meta(const struct pq_reader *r, const char *key)
{
    const uint8_t *bytes = (const uint8_t *)r->footer;
    struct thrift_in in = {bytes, bytes + r->footer_bytes, false};
    struct thrift_field f = {0};
    while (thrift_next(&in, &f)) {
        if (f.id != 5) {
            thrift_skip(&in, f.type);
            continue;
        }
        uint32_t count = thrift_list(&in, f.type, THRIFT_STRUCT);
        for (uint32_t i = 0; i < count && !in.bad; i++) {
            struct thrift_field pair = {0};
            struct str name = {0}, value = {0};
            while (thrift_next(&in, &pair)) {
                if (pair.id == 1)
                    name = thrift_str(&in, pair.type);
                else if (pair.id == 2)
                    value = thrift_str(&in, pair.type);
                else
                    thrift_skip(&in, pair.type);
            }
            if (!in.bad && value.ptr && str_is(name, key))
                return value;
        }
    }
    return (struct str){0};
}

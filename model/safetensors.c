/* safetensors - length, JSON header, raw little-endian data; nothing in a file is trusted. */
#include "model/model.h"

#include "core/err.h"
#include "core/json.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { LENGTH_BYTES = 8, DATA_ALIGN = 64, NODE_ROOM = 20 };   /* parse memory per byte of header */

static const struct { const char *name; enum dtype dtype; } dtypes[] = {
    {"F32", DT_F32}, {"BF16", DT_BF16}, {"I32", DT_I32}, {"U8", DT_U8},
};

static const char *dtype_label(enum dtype dtype)
{
    for (size_t i = 0; i < COUNT_OF(dtypes); i++)
        if (dtypes[i].dtype == dtype)
            return dtypes[i].name;
    return "?";
}

/* ---- writing ---- */

static uint64_t tensor_bytes(const struct safetensor *t)
{
    uint64_t count = 1;
    for (int i = 0; i < t->rank; i++)
        count *= (uint64_t)t->dim[i];
    return count * dtype_bytes((int)t->dtype);
}

static int header_build(const struct safetensor *t, int count, struct buf *out)
{
    struct json_writer w;
    json_begin(&w, out);
    json_open(&w, '{');
    json_field_open(&w, "__metadata__", '{');
    json_field_text(&w, "format", "pt"); /* transformers refuses a file without it */
    json_close(&w, '}');
    uint64_t at = 0;
    for (int i = 0; i < count; i++) {
        json_field_open(&w, t[i].name, '{');
        json_field_text(&w, "dtype", dtype_label(t[i].dtype));
        json_field_open(&w, "shape", '[');
        for (int k = 0; k < t[i].rank; k++)
            json_put_i64(&w, t[i].dim[k]);
        json_close(&w, ']');
        json_field_open(&w, "data_offsets", '[');
        json_put_u64(&w, at);
        at += tensor_bytes(&t[i]);
        json_put_u64(&w, at);
        json_close(&w, ']');
        json_close(&w, '}');
    }
    json_close(&w, '}');
    while (!out->failed && (out->len + LENGTH_BYTES) % DATA_ALIGN != 0)
        buf_char(out, ' ');
    return out->failed
               ? err_set(ERR_LIMIT, "safetensors: no memory for a header of %d tensors", count)
               : 0;
}

int safetensors_write(const char *path, const struct safetensor *t, int count, struct io_info *info)
{
    struct buf header = {0};
    struct io_writer *w = NULL;
    int rc;
    TRY_OUT(header_build(t, count, &header));
    if (header.len > SAFETENSORS_HEADER_MAX) {
        rc = err_set(ERR_LIMIT, "safetensors: %s: header of %zu bytes is over %d", path, header.len,
                     SAFETENSORS_HEADER_MAX);
        goto out;
    }
    TRY_OUT(io_create(&w, path, IO_PLAIN, 0));
    unsigned char length[LENGTH_BYTES];
    for (int i = 0; i < LENGTH_BYTES; i++)
        length[i] = (unsigned char)((uint64_t)header.len >> (8 * i));
    TRY_OUT(io_write(w, length, sizeof length));
    TRY_OUT(io_write(w, header.ptr, header.len));
    for (int i = 0; i < count; i++)
        TRY_OUT(io_write(w, t[i].data, (size_t)tensor_bytes(&t[i])));
    struct io_writer *done = w;
    w = NULL;
    rc = io_commit(done, info);
out:
    if (w)
        io_abandon(w);
    buf_free(&header);
    return rc;
}

/* ---- reading ---- */

struct entry { struct safetensor tensor; uint64_t begin, end; };

static int read_exactly(FILE *file, void *to, uint64_t bytes, const char *path)
{
    if (fread(to, 1, (size_t)bytes, file) == bytes)
        return 0;
    if (ferror(file))
        return err_sys("safetensors: read %s", path);
    return err_set(ERR_FORMAT, "safetensors: %s: shrank while it was read", path);
}

/* Opens path and checks the length field against the size: *header_bytes fits in what is there. */
static int open_checked(const char *path, FILE **file, uint64_t *header_bytes, uint64_t *data_bytes)
{
    struct stat st;
    *file = fopen(path, "rb");
    if (!*file)
        return err_sys("safetensors: open %s", path);
    if (fstat(fileno(*file), &st) < 0)
        return err_sys("safetensors: stat %s", path);
    if (!S_ISREG(st.st_mode))
        return err_set(ERR_FORMAT, "safetensors: %s is not a plain file", path);
    uint64_t size = (uint64_t)st.st_size, length = 0;
    if (size < LENGTH_BYTES + 2)
        return err_set(ERR_FORMAT, "safetensors: %s has %llu bytes, a header needs 10", path,
                       (unsigned long long)size);
    unsigned char field[LENGTH_BYTES];
    TRY(read_exactly(*file, field, sizeof field, path));
    for (int i = LENGTH_BYTES - 1; i >= 0; i--)
        length = length << 8 | field[i];
    if (length < 2 || length > SAFETENSORS_HEADER_MAX || length > size - LENGTH_BYTES)
        return err_set(ERR_FORMAT,
                       "safetensors: %s: header of %llu bytes in a file of %llu (at most %d): "
                       "damaged, "
                       "fetch it again",
                       path, (unsigned long long)length, (unsigned long long)size,
                       SAFETENSORS_HEADER_MAX);
    *header_bytes = length;
    *data_bytes = size - LENGTH_BYTES - length;
    return 0;
}

static int bad_entry(const char *path, struct str name, const char *what)
{
    int shown = name.len < 80 ? (int)name.len : 80;
    return err_set(ERR_FORMAT, "safetensors: %s: tensor \"%.*s\": %s", path, shown, name.ptr, what);
}

static int entry_shape(const struct json *shape, const char *path, struct str name,
                       struct entry *out)
{
    struct safetensor *t = &out->tensor;
    if (!shape || shape->type != JSON_ARRAY)
        return bad_entry(path, name, "no shape");
    if (shape->count > DIM_MAX)
        return bad_entry(path, name, "more than 4 dimensions");
    uint64_t bytes = dtype_bytes((int)t->dtype);
    for (int i = 0; i < DIM_MAX; i++)
        t->dim[i] = 1;
    for (const struct json *d = shape->child; d; d = d->next) {
        uint64_t dim;
        if (!json_u64(d, &dim) || dim > INT64_MAX)
            return bad_entry(path, name, "a dimension is no whole number");
        if (__builtin_mul_overflow(bytes, dim, &bytes))
            return bad_entry(path, name, "the shape overflows 64 bits");
        t->dim[t->rank++] = (int64_t)dim;
    }
    if (bytes != out->end - out->begin)
        return bad_entry(path, name, "shape and offsets disagree");
    return 0;
}

static int entry_parse(const struct json *value, const char *path, uint64_t data_bytes,
                       struct entry *out)
{
    struct str name = value->key;
    memset(out, 0, sizeof *out);
    if (value->type != JSON_OBJECT)
        return bad_entry(path, name, "is no object");
    if (name.len == 0 || memchr(name.ptr, 0, name.len))
        return bad_entry(path, name, "an empty name or one with a NUL");
    struct str label = json_str(value, "dtype", STR(""));
    bool known = false;
    for (size_t i = 0; i < COUNT_OF(dtypes); i++)
        if (str_is(label, dtypes[i].name)) {
            out->tensor.dtype = dtypes[i].dtype;
            known = true;
        }
    if (!known)
        return bad_entry(path, name,
                         "dtype is not F32, BF16, I32 or U8: convert the file to one of them");
    const struct json *offsets = json_get(value, "data_offsets");
    if (!offsets || offsets->type != JSON_ARRAY || offsets->count != 2 ||
        !json_u64(offsets->child, &out->begin) || !json_u64(offsets->child->next, &out->end))
        return bad_entry(path, name, "data_offsets are not two whole numbers");
    if (out->begin > out->end || out->end > data_bytes)
        return bad_entry(path, name, "data_offsets lie outside the file");
    return entry_shape(json_get(value, "shape"), path, name, out);
}

static int by_begin(const void *a, const void *b)
{
    const struct entry *left = a, *right = b;
    if (left->begin != right->begin)
        return left->begin < right->begin ? -1 : 1;
    if (left->end != right->end)
        return left->end < right->end ? -1 : 1;
    return strcmp(left->tensor.name, right->tensor.name);
}

static int by_name(const void *a, const void *b)
{
    return strcmp((*(const struct entry *const *)a)->tensor.name,
                  (*(const struct entry *const *)b)->tensor.name);
}

/* Sorted by offset the tensors must follow each other without gap or overlap to the end; names
 * differ. */
static int entries_check(struct entry *entry, uint32_t count, const char *path, uint64_t data_bytes)
{
    uint64_t at = 0;
    qsort(entry, count, sizeof *entry, by_begin);
    for (uint32_t i = 0; i < count; i++) {
        if (entry[i].begin != at)
            return bad_entry(path, str_of(entry[i].tensor.name),
                             entry[i].begin < at ? "overlaps another" : "a hole lies before it");
        at = entry[i].end;
    }
    if (at != data_bytes)
        return err_set(ERR_FORMAT,
                       "safetensors: %s: %llu bytes of data, tensors end at %llu: cut or padded",
                       path, (unsigned long long)data_bytes, (unsigned long long)at);
    const struct entry **order = malloc((count + 1) * sizeof *order);
    if (!order)
        return err_set(ERR_LIMIT, "safetensors: no memory for %u names", count);
    for (uint32_t i = 0; i < count; i++)
        order[i] = &entry[i];
    qsort(order, count, sizeof *order, by_name);
    int rc = 0;
    for (uint32_t i = 1; i < count && rc == 0; i++)
        if (strcmp(order[i - 1]->tensor.name, order[i]->tensor.name) == 0)
            rc = bad_entry(path, str_of(order[i]->tensor.name), "appears twice");
    free(order);
    return rc;
}

/* Header text -> checked entries on the heap, names in the caller's arena. */
static int header_parse(struct str text, const char *path, uint64_t data_bytes, struct arena *a,
                        struct entry **entries, uint32_t *count)
{
    struct arena parse = {0};
    struct json *root;
    int rc;
    TRY_OUT(arena_open(&parse, text.len * NODE_ROOM + (1 << 20)));
    rc = json_parse(&parse, text, &root);
    if (rc < 0) {
        rc = err_in(rc, "safetensors: %s: header", path);
        goto out;
    }
    if (text.ptr[0] != '{' || root->type != JSON_OBJECT) {
        rc = err_set(ERR_FORMAT, "safetensors: %s: the header is no JSON object", path);
        goto out;
    }
    struct entry *entry = *entries = malloc((root->count + 1) * sizeof *entry);
    if (!entry) {
        rc = err_set(ERR_LIMIT, "safetensors: no memory for %u tensors", root->count);
        goto out;
    }
    for (const struct json *value = root->child; value; value = value->next) {
        if (str_is(value->key, "__metadata__"))
            continue;
        TRY_OUT(entry_parse(value, path, data_bytes, &entry[*count]));
        if (!(entry[*count].tensor.name = arena_strdup(a, value->key))) {
            rc = err_in(ERR_LIMIT, "safetensors: %s", path);
            goto out;
        }
        (*count)++;
    }
    rc = entries_check(entry, *count, path, data_bytes);
out:
    arena_close(&parse);
    return rc;
}

int safetensors_read(const char *path, struct arena *a, struct safetensor **t, int *count)
{
    FILE *file = NULL;
    char *header = NULL;
    struct entry *entry = NULL;
    uint32_t entries = 0;
    uint64_t header_bytes = 0, data_bytes = 0;
    int rc;
    TRY_OUT(open_checked(path, &file, &header_bytes, &data_bytes));
    if (!(header = malloc((size_t)header_bytes))) {
        rc = err_set(ERR_LIMIT, "safetensors: %s: no memory for a header of %llu bytes", path,
                     (unsigned long long)header_bytes);
        goto out;
    }
    TRY_OUT(read_exactly(file, header, header_bytes, path));
    TRY_OUT(header_parse((struct str){header, (size_t)header_bytes}, path, data_bytes, a, &entry,
                         &entries));
    *t = arena_array(a, struct safetensor, entries + 1);
    unsigned char *data = arena_push(a, (size_t)data_bytes, DATA_ALIGN);
    if (!*t || !data) {
        rc = err_in(ERR_LIMIT, "safetensors: %s", path);
        goto out;
    }
    TRY_OUT(read_exactly(file, data, data_bytes, path));
    for (uint32_t i = 0; i < entries; i++) {
        (*t)[i] = entry[i].tensor;
        (*t)[i].data = data + entry[i].begin;
    }
    *count = (int)entries;
out:
    free(entry);
    free(header);
    if (file)
        fclose(file);
    return rc;
}

const struct safetensor *safetensors_find(const struct safetensor *t, int count, const char *name)
{
    for (int i = 0; i < count; i++)
        if (strcmp(t[i].name, name) == 0)
            return &t[i];
    return NULL;
}

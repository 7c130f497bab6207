/* sketch - sketch files: written in groups of columns, read back as one checked table.
 *
 *   header   64 B  magic, version, item, shape (methods, bands, rows, shingle, seed), XXH3-64
 *   groups         SKETCH_GROUP_ROWS rows each (the last may have fewer), column after column:
 *                  head 16 B a row, facts 24 B, exact 16 B, a key of 8 B for each band, MinHash
 *                  values
 *   sums           per group an XXH3-64 for each column but the values (a row's values are checked
 *                  against values_hash of its head, which its column's sum covers)
 *   trailer  32 B  magic, rows, XXH3-128 of header, sums and rows
 *
 * Columns, because settling a band needs 24 of about 620 bytes a row; groups, because an item may
 * be larger than memory. All numbers are little-endian. The size of a file follows from its row
 * count: a cut file is seen at once. */
#include "dedup/sketch.h"

#include "core/err.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "sketch files are written as the structs lie in memory: this needs a little-endian machine"
#endif

enum { SKETCH_VERSION = 1, OPEN_FILES_MAX = 256, TEXT_BYTES_MAX = 1 << 30 };
static const char magic_head[8] = "SLSKETCH", magic_tail[8] = "SLSKTAIL";

struct file_header {
    char magic[8];
    uint32_t version, item, methods, bands, rows, shingle;
    uint64_t seed;
    unsigned char zero[16];
    uint64_t sum;
};
struct file_trailer {
    char magic[8];
    uint64_t count;
    struct hash128 sum;
};
_Static_assert(sizeof(struct file_header) == 64, "no padding");
_Static_assert(sizeof(struct file_trailer) == 32, "no padding");
_Static_assert(sizeof(struct sketch_head) == 16, "no padding");
_Static_assert(sizeof(struct sketch_facts) == 24, "no padding");

/* What all files of one conf share. */
struct shape {
    uint32_t methods, bands, rows, shingle, values;
    uint64_t seed;
};

static struct shape shape_of(const struct dedup_conf *conf)
{
    struct shape s = {0};
    s.methods = (conf->exact ? SKETCH_EXACT : 0u) | (conf->minhash ? SKETCH_MINHASH : 0u);
    if (conf->minhash) {
        s.bands = (uint32_t)conf->bands;
        s.rows = (uint32_t)conf->rows;
        s.shingle = (uint32_t)conf->shingle;
        s.seed = (uint64_t)conf->seed;
        s.values = s.bands * s.rows;
    }
    return s;
}

static uint32_t column_bytes(const struct shape *s, int column)
{
    switch (column) {
    case COLUMN_HEAD: return sizeof(struct sketch_head);
    case COLUMN_FACTS: return sizeof(struct sketch_facts);
    case COLUMN_EXACT: return s->methods & SKETCH_EXACT ? sizeof(struct hash128) : 0;
    default: return sizeof(uint64_t);
    }
}

static int column_count(const struct shape *s) { return COLUMN_KEYS + (int)s->bands; }

/* Bytes a row takes in the columns before `column`; column_count() is where the values stand. */
static uint64_t bytes_before(const struct shape *s, int column)
{
    uint64_t bytes = 0;
    for (int i = 0; i < column; i++)
        bytes += column_bytes(s, i);
    return bytes;
}

static uint64_t row_bytes(const struct shape *s)
{
    return bytes_before(s, column_count(s)) + (uint64_t)s->values * sizeof(uint32_t);
}

/* ---- writing ---- */

struct sketch_writer {
    struct io_writer *file;
    struct shape shape;
    uint32_t item, last_record;
    uint64_t count;
    uint32_t rows; /* in the group being filled */
    unsigned char *column[COLUMN_KEYS + DEDUP_BANDS_MAX];
    uint32_t *values;
    uint64_t *sums;
    size_t sum_count, sum_cap;
    struct file_header header;
};

static void writer_free(struct sketch_writer *w)
{
    free(w->column[0]);
    free(w->values);
    free(w->sums);
    free(w);
}

static int writer_columns(struct sketch_writer *w)
{
    const struct shape *s = &w->shape;
    w->column[0] = malloc(bytes_before(s, column_count(s)) * SKETCH_GROUP_ROWS);
    w->values = malloc(((size_t)s->values + 1) * sizeof(uint32_t) * SKETCH_GROUP_ROWS);
    if (!w->column[0] || !w->values)
        return err_set(ERR_LIMIT, "dedup: no %llu bytes to collect sketches",
                       (unsigned long long)row_bytes(s) * SKETCH_GROUP_ROWS);
    for (int i = 1; i < column_count(s); i++)
        w->column[i] = w->column[0] + bytes_before(s, i) * SKETCH_GROUP_ROWS;
    return 0;
}

int sketch_create(struct sketch_writer **out, const char *path, uint32_t item,
                  const struct dedup_conf *conf)
{
    int rc = 0;
    TRY(dedup_check(conf));
    struct sketch_writer *w = calloc(1, sizeof *w);
    if (!w)
        return err_set(ERR_LIMIT, "dedup: no memory for a sketch writer");
    w->shape = shape_of(conf);
    w->item = item;
    struct file_header *h = &w->header;
    memcpy(h->magic, magic_head, sizeof h->magic);
    h->version = SKETCH_VERSION;
    h->item = item;
    h->methods = w->shape.methods;
    h->bands = w->shape.bands;
    h->rows = w->shape.rows;
    h->shingle = w->shape.shingle;
    h->seed = w->shape.seed;
    h->sum = hash64(h, offsetof(struct file_header, sum), 0);
    TRY_OUT(writer_columns(w));
    TRY_OUT(io_create(&w->file, path, IO_PLAIN, 0));
    TRY_OUT(io_write(w->file, h, sizeof *h));
    *out = w;
    return 0;
out:
    sketch_abandon(w);
    return rc;
}

static int writer_flush(struct sketch_writer *w)
{
    int columns = column_count(&w->shape);
    if (!w->rows)
        return 0;
    if (w->sum_count + (size_t)columns > w->sum_cap) {
        size_t cap = (w->sum_cap + (size_t)columns) * 2;
        uint64_t *grown = realloc(w->sums, cap * sizeof *grown);
        if (!grown)
            return err_set(ERR_LIMIT, "dedup: no memory for the sums of %llu sketches",
                           (unsigned long long)w->count);
        w->sums = grown;
        w->sum_cap = cap;
    }
    for (int i = 0; i < columns; i++) {
        size_t bytes = (size_t)column_bytes(&w->shape, i) * w->rows;
        w->sums[w->sum_count++] = hash64(w->column[i], bytes, (uint64_t)i);
        TRY(io_write(w->file, w->column[i], bytes));
    }
    TRY(io_write(w->file, w->values, (size_t)w->shape.values * sizeof(uint32_t) * w->rows));
    w->rows = 0;
    return 0;
}

/* "2024-05-18T01:58:10Z" -> 20240518015810: dates compare as numbers. What is no such date is 0,
 * the oldest. */
static uint64_t date_number(struct str date)
{
    uint64_t number = 0;
    int digits = 0;
    for (size_t i = 0; i < date.len && digits < 14; i++) {
        if (date.ptr[i] < '0' || date.ptr[i] > '9')
            continue;
        number = number * 10 + (uint64_t)(date.ptr[i] - '0');
        digits++;
    }
    if (digits < 8)
        return 0;
    for (; digits < 14; digits++)
        number *= 10;
    return number;
}

int sketch_add(struct sketch_writer *w, const struct doc *d, float quality)
{
    const struct sketch_pack *pack = d->sketch;
    const struct shape *s = &w->shape;
    if (!pack)
        return 0;
    uint32_t exact = column_bytes(s, COLUMN_EXACT), values = s->values * (uint32_t)sizeof(uint32_t);
    assert(d->item == w->item);
    assert(w->count == 0 || d->record > w->last_record);
    assert(pack->bytes == exact + values);
    uint32_t row = w->rows++;
    uint32_t *value = w->values + (size_t)row * s->values;
    if (exact)
        memcpy(w->column[COLUMN_EXACT] + (size_t)row * exact, pack->slot, exact);
    if (values)
        memcpy(value, pack->slot + exact, values);
    for (uint32_t i = 0; i < s->bands; i++) {
        uint64_t key = hash64(value + (size_t)i * s->rows, s->rows * sizeof *value, i);
        memcpy(w->column[COLUMN_KEYS + i] + (size_t)row * sizeof key, &key, sizeof key);
    }
    struct sketch_head head = {
        .record = d->record, .has = pack->has, .values_hash = hash64(value, values, 0)};
    struct sketch_facts facts = {.id = d->id, .date = date_number(d->date), .quality = quality};
    facts.text_bytes = d->text.len > TEXT_BYTES_MAX ? TEXT_BYTES_MAX : (uint32_t)d->text.len;
    memcpy(w->column[COLUMN_HEAD] + (size_t)row * sizeof head, &head, sizeof head);
    memcpy(w->column[COLUMN_FACTS] + (size_t)row * sizeof facts, &facts, sizeof facts);
    w->last_record = d->record;
    w->count++;
    return w->rows == SKETCH_GROUP_ROWS ? writer_flush(w) : 0;
}

static int file_sum(const struct file_header *h, const uint64_t *sums, size_t sum_count,
                    uint64_t count, struct hash128 *out)
{
    struct hash_stream *stream;
    TRY(hash_begin(&stream));
    hash_add(stream, h, sizeof *h);
    hash_add(stream, sums, sum_count * sizeof *sums);
    hash_add(stream, &count, sizeof count);
    *out = hash_end(stream);
    return 0;
}

int sketch_commit(struct sketch_writer *w, struct io_info *info)
{
    int rc;
    struct file_trailer tail = {.count = w->count};
    memcpy(tail.magic, magic_tail, sizeof tail.magic);
    TRY_OUT(writer_flush(w));
    TRY_OUT(file_sum(&w->header, w->sums, w->sum_count, w->count, &tail.sum));
    TRY_OUT(io_write(w->file, w->sums, w->sum_count * sizeof *w->sums));
    TRY_OUT(io_write(w->file, &tail, sizeof tail));
    rc = io_commit(w->file, info);
    writer_free(w);
    return rc;
out:
    sketch_abandon(w);
    return rc;
}

void sketch_abandon(struct sketch_writer *w)
{
    if (!w)
        return;
    io_abandon(w->file);
    writer_free(w);
}

/* ---- reading ---- */

struct sketch_file {
    const char *path;
    uint32_t item;
    int fd;                /* -1: closed to stay below OPEN_FILES_MAX */
    uint64_t first, count; /* rows */
    struct hash128 sum;
    uint64_t *sums;
};
struct sketch_set {
    struct shape shape;
    struct sketch_file *file;
    uint32_t file_count;
    uint64_t rows, hash;
    uint32_t open[OPEN_FILES_MAX], open_count, evict; /* indexes of files with an fd, a ring */
};

static int file_damaged(const struct sketch_file *f, const char *what)
{
    return err_set(ERR_FORMAT, "dedup: sketch file %s: %s: sign that item again", f->path, what);
}

static int file_read(const struct sketch_file *f, void *to, uint64_t len, uint64_t at)
{
    char *into = to;
    while (len) {
        ssize_t done = pread(f->fd, into, len, (off_t)at);
        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0)
            return err_sys("dedup: read %s", f->path);
        if (done == 0)
            return file_damaged(f, "cut short");
        into += done;
        at += (uint64_t)done;
        len -= (uint64_t)done;
    }
    return 0;
}

/* Makes sure that the file has an fd; another one may lose its own. */
static int file_wake(struct sketch_set *s, uint32_t index)
{
    struct sketch_file *f = &s->file[index];
    if (f->fd >= 0)
        return 0;
    uint32_t slot = s->open_count;
    if (slot == OPEN_FILES_MAX) {
        slot = s->evict++ % OPEN_FILES_MAX;
        close(s->file[s->open[slot]].fd);
        s->file[s->open[slot]].fd = -1;
        s->open_count--;
    }
    f->fd = open(f->path, O_RDONLY | O_CLOEXEC);
    if (f->fd < 0) {
        s->open[slot] = s->open[s->open_count]; /* keeps the ring dense */
        return err_sys("dedup: open sketch file %s", f->path);
    }
    s->open[slot] = index;
    s->open_count++;
    return 0;
}

static uint64_t group_count(const struct sketch_file *f)
{
    return (f->count + SKETCH_GROUP_ROWS - 1) / SKETCH_GROUP_ROWS;
}

static int header_check(const struct sketch_set *s, const struct sketch_file *f,
                        const struct file_header *h)
{
    if (memcmp(h->magic, magic_head, sizeof h->magic) != 0)
        return file_damaged(f, "no sketch file");
    if (h->sum != hash64(h, offsetof(struct file_header, sum), 0))
        return file_damaged(f, "damaged header");
    if (h->version != SKETCH_VERSION)
        return err_set(ERR_FORMAT,
                       "dedup: sketch file %s has version %u, this program reads %d: sign again",
                       f->path, h->version, SKETCH_VERSION);
    const struct shape *want = &s->shape;
    if (h->methods != want->methods || h->bands != want->bands || h->rows != want->rows ||
        h->shingle != want->shingle || h->seed != want->seed)
        return err_set(
            ERR_USAGE,
            "dedup: sketch file %s was signed with other options (methods %u, %u bands of %u, "
            "shingle %u, seed %llu): settle with those, or sign again",
            f->path, h->methods, h->bands, h->rows, h->shingle, (unsigned long long)h->seed);
    return 0;
}

static int file_load(struct sketch_set *s, uint32_t index)
{
    struct sketch_file *f = &s->file[index];
    struct file_header header;
    struct file_trailer tail;
    struct stat st;
    TRY(file_wake(s, index));
    if (fstat(f->fd, &st) != 0)
        return err_sys("dedup: stat %s", f->path);
    uint64_t size = (uint64_t)st.st_size;
    if (size < sizeof header + sizeof tail)
        return file_damaged(f, "too short");
    TRY(file_read(f, &header, sizeof header, 0));
    TRY(header_check(s, f, &header));
    TRY(file_read(f, &tail, sizeof tail, size - sizeof tail));
    if (memcmp(tail.magic, magic_tail, sizeof tail.magic) != 0 || tail.count > DEDUP_DOCS_MAX)
        return file_damaged(f, "no trailer (cut short?)");
    f->item = header.item;
    f->count = tail.count;
    f->sum = tail.sum;
    uint64_t sum_count = group_count(f) * (uint64_t)column_count(&s->shape);
    uint64_t sums_at = sizeof header + f->count * row_bytes(&s->shape);
    if (size != sums_at + sum_count * sizeof(uint64_t) + sizeof tail)
        return file_damaged(f, "its size does not go with its number of rows");
    f->sums = malloc(sum_count * sizeof(uint64_t) + 1);
    if (!f->sums)
        return err_set(ERR_LIMIT, "dedup: no memory for the sums of %s", f->path);
    TRY(file_read(f, f->sums, sum_count * sizeof(uint64_t), sums_at));
    struct hash128 sum;
    TRY(file_sum(&header, f->sums, sum_count, f->count, &sum));
    if (sum.low != tail.sum.low || sum.high != tail.sum.high)
        return file_damaged(f, "damaged sums");
    return 0;
}

static int by_item(const void *a, const void *b)
{
    uint32_t one = ((const struct sketch_file *)a)->item,
             two = ((const struct sketch_file *)b)->item;
    return one < two ? -1 : one > two;
}

/* Orders the files by item and numbers their rows. */
static int set_number(struct sketch_set *s)
{
    qsort(s->file, s->file_count, sizeof *s->file, by_item);
    s->open_count = 0;
    for (uint32_t i = 0; i < s->file_count; i++) {
        struct sketch_file *f = &s->file[i];
        if (f->fd >= 0)
            s->open[s->open_count++] = i;
        if (i > 0 && f->item == f[-1].item)
            return err_set(ERR_USAGE, "dedup: item %u is signed in both %s and %s: leave one out",
                           f->item, f[-1].path, f->path);
        f->first = s->rows;
        s->rows += f->count;
        if (s->rows > DEDUP_DOCS_MAX)
            return err_set(ERR_LIMIT,
                           "dedup: more than %llu signed documents: settle fewer items at a time",
                           (unsigned long long)DEDUP_DOCS_MAX);
        uint64_t mark[3] = {s->hash, f->item, f->sum.low};
        s->hash = hash64(mark, sizeof mark, f->sum.high);
    }
    return 0;
}

int sketch_set_open(struct sketch_set **out, const struct dedup_conf *conf,
                    const char *const *paths, uint32_t items)
{
    int rc = 0;
    TRY(dedup_check(conf));
    struct sketch_set *s = calloc(1, sizeof *s);
    if (!s)
        return err_set(ERR_LIMIT, "dedup: no memory for %u sketch files", items);
    s->shape = shape_of(conf);
    s->file = calloc((size_t)items + 1, sizeof *s->file);
    if (!s->file) {
        rc = err_set(ERR_LIMIT, "dedup: no memory for %u sketch files", items);
        goto out;
    }
    for (uint32_t i = 0; i < items; i++) {
        s->file[i].path = paths[i];
        s->file[i].fd = -1;
        s->file_count = i + 1;
        TRY_OUT(file_load(s, i));
    }
    TRY_OUT(set_number(s));
    *out = s;
    return 0;
out:
    sketch_set_close(s);
    return rc;
}

uint64_t sketch_set_rows(const struct sketch_set *s) { return s->rows; }
uint64_t sketch_set_hash(const struct sketch_set *s) { return s->hash; }

bool sketch_set_group(const struct sketch_set *s, struct sketch_group *at)
{
    if (at->rows)
        at->group++;
    while (at->file < s->file_count && at->group >= group_count(&s->file[at->file])) {
        at->file++;
        at->group = 0;
    }
    if (at->file >= s->file_count)
        return false;
    const struct sketch_file *f = &s->file[at->file];
    uint64_t before = at->group * SKETCH_GROUP_ROWS, left = f->count - before;
    at->item = f->item;
    at->rows = left < SKETCH_GROUP_ROWS ? (uint32_t)left : SKETCH_GROUP_ROWS;
    at->first = f->first + before;
    return true;
}

int sketch_set_column(struct sketch_set *s, const struct sketch_group *g, int column, void *to)
{
    struct sketch_file *f = &s->file[g->file];
    assert(column < column_count(&s->shape));
    TRY(file_wake(s, g->file));
    uint64_t at = sizeof(struct file_header) + g->group * SKETCH_GROUP_ROWS * row_bytes(&s->shape) +
                  bytes_before(&s->shape, column) * g->rows;
    uint64_t bytes = (uint64_t)column_bytes(&s->shape, column) * g->rows;
    TRY(file_read(f, to, bytes, at));
    uint64_t want = f->sums[g->group * (uint64_t)column_count(&s->shape) + (uint64_t)column];
    if (hash64(to, bytes, (uint64_t)column) != want)
        return file_damaged(f, "damaged column");
    return 0;
}

int sketch_set_values(struct sketch_set *s, uint64_t row, uint64_t expect, uint32_t *values)
{
    assert(row < s->rows);
    uint32_t low = 0, high = s->file_count;
    while (high - low > 1) {
        uint32_t middle = low + (high - low) / 2;
        if (s->file[middle].first <= row)
            low = middle;
        else
            high = middle;
    }
    struct sketch_file *f = &s->file[low];
    TRY(file_wake(s, low));
    uint64_t index = row - f->first, before = index / SKETCH_GROUP_ROWS * SKETCH_GROUP_ROWS;
    uint64_t left = f->count - before, rows = left < SKETCH_GROUP_ROWS ? left : SKETCH_GROUP_ROWS;
    uint64_t bytes = (uint64_t)s->shape.values * sizeof *values;
    uint64_t at = sizeof(struct file_header) + before * row_bytes(&s->shape) +
                  bytes_before(&s->shape, column_count(&s->shape)) * rows +
                  (index - before) * bytes;
    TRY(file_read(f, values, bytes, at));
    if (hash64(values, bytes, 0) != expect)
        return file_damaged(f, "damaged MinHash values");
    return 0;
}

void sketch_set_close(struct sketch_set *s)
{
    if (!s)
        return;
    for (uint32_t i = 0; i < s->file_count; i++) {
        if (s->file[i].fd >= 0)
            close(s->file[i].fd);
        free(s->file[i].sums);
    }
    free(s->file);
    free(s);
}

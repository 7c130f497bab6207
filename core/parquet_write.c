/* parquet_write - rows in, a Parquet file out: one row group in memory, encoded column by column.
 *
 * A row group is buffered as PLAIN values per column. When it is full, each column chunk becomes
 *     [dictionary page] data page, data page, ...      (each page: thrift header, zstd bytes)
 * and its description is appended to the list of row groups that the footer will hold. Nothing in a
 * file depends on time, threads or addresses, so equal rows make equal bytes. */
#include "core/parquet.h"

#include "core/err.h"
#include "core/parquet_format.h"
#include "core/thrift.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <zlib.h>
#include <zstd.h>

enum {
    ZSTD_LEVEL = 3,
    STAT_BYTES = 64,
    HASH_SLOTS = 4 * PQ_GROUP_ROWS,
    RUN_MIN = 8,
    PROBES_MAX = 64
};

struct chunk {
    struct buf values; /* PLAIN, but a byte for each bool */
    uint8_t *valid;    /* one for each row, optional columns only */
    uint32_t nulls;
};

struct pq_writer {
    struct io_writer *io;
    struct pq_column column[PQ_COLUMNS_MAX];
    struct chunk chunk[PQ_COLUMNS_MAX];
    int column_count, next; /* next: the column that the next value goes to */
    uint32_t rows;          /* in this group */
    uint64_t rows_total, group_bytes;
    struct buf groups, meta; /* thrift elements of the footer's lists */
    size_t group_count, meta_count;
    struct buf page, header, packed;
    uint32_t *index, *slots; /* of dictionaries */
    uint32_t *scratch;       /* levels of a page; places of dictionary entries */
    ZSTD_CCtx *zstd;
    bool failed;              /* no memory */
    uint64_t too_long;        /* bytes of a string that was refused */
    const char *too_long_for; /* its column */
};

/* What the footer says of a column chunk. */
struct chunk_info {
    uint64_t dictionary_at, data_at; /* offsets in the file; dictionary_at 0: none */
    uint64_t plain_bytes, stored_bytes;
    bool has_range, min_exact, max_exact;
    uint8_t min[STAT_BYTES], max[STAT_BYTES];
    size_t min_len, max_len;
};

static enum pq_physical physical_of(enum pq_type type)
{
    switch (type) {
    case PQ_STRING:
        return PHYSICAL_BYTE_ARRAY;
    case PQ_U64:
        return PHYSICAL_INT64;
    case PQ_U32:
        return PHYSICAL_INT32;
    case PQ_F32:
        return PHYSICAL_FLOAT;
    case PQ_BOOL:
        break;
    }
    return PHYSICAL_BOOLEAN;
}

static size_t value_bytes(enum pq_type type)
{
    return type == PQ_U64 ? 8 : type == PQ_BOOL ? 1 : 4;
}

static void writer_free(struct pq_writer *w)
{
    for (int i = 0; i < w->column_count; i++) {
        buf_free(&w->chunk[i].values);
        free(w->chunk[i].valid);
    }
    buf_free(&w->groups);
    buf_free(&w->meta);
    buf_free(&w->page);
    buf_free(&w->header);
    buf_free(&w->packed);
    free(w->index);
    free(w->slots);
    free(w->scratch);
    ZSTD_freeCCtx(w->zstd);
    free(w);
}

static int writer_init(struct pq_writer *w, const struct pq_column *columns, int count)
{
    assert(count > 0);
    assert(count <= PQ_COLUMNS_MAX);
    memcpy(w->column, columns, (size_t)count * sizeof *columns);
    w->column_count = count;
    w->index = malloc(PQ_GROUP_ROWS * sizeof *w->index);
    w->slots = malloc(HASH_SLOTS * sizeof *w->slots);
    w->scratch = malloc(PQ_GROUP_ROWS * sizeof *w->scratch);
    w->zstd = ZSTD_createCCtx();
    bool made = w->index && w->slots && w->scratch && w->zstd;
    for (int i = 0; i < count && made; i++) {
        assert(columns[i].name[0]);
        assert(!columns[i].dictionary || columns[i].type == PQ_STRING);
        if (columns[i].optional)
            w->chunk[i].valid = malloc(PQ_GROUP_ROWS);
        made = !columns[i].optional || w->chunk[i].valid;
    }
    return made ? 0 : err_set(ERR_LIMIT, "parquet: no memory for a writer of %d columns", count);
}

int pq_create(struct pq_writer **out, const char *path, const struct pq_column *columns, int count)
{
    struct pq_writer *w = calloc(1, sizeof *w);
    if (!w)
        return err_set(ERR_LIMIT, "parquet: no memory");
    int rc = writer_init(w, columns, count);
    if (rc == 0)
        rc = io_create(&w->io, path, IO_PLAIN, 0);
    if (rc == 0)
        rc = io_write(w->io, PQ_MAGIC, 4);
    if (rc < 0) {
        pq_abandon(w);
        return rc;
    }
    *out = w;
    return 0;
}

/* ---- one row ---- */
static struct chunk *next_chunk(struct pq_writer *w)
{
    assert(w->next < w->column_count);
    return &w->chunk[w->next];
}

static void value_done(struct pq_writer *w, struct chunk *c, size_t bytes)
{
    if (c->valid)
        c->valid[w->rows] = 1;
    w->failed |= c->values.failed;
    w->group_bytes += bytes;
    w->next++;
}

void pq_put_null(struct pq_writer *w)
{
    struct chunk *c = next_chunk(w);
    assert(c->valid);
    c->valid[w->rows] = 0;
    c->nulls++;
    w->next++;
}

/* Readers refuse a whole file for one wrong byte, so what is not UTF-8 becomes U+FFFD here. */
static void put_repaired(struct pq_writer *w, struct str s)
{
    struct buf safe = {0};
    for (const char *at = s.ptr, *end = s.ptr + s.len; at < end;) {
        uint32_t cp;
        char bytes[4];
        at += utf8_decode(at, end, &cp);
        buf_add(&safe, bytes, (size_t)utf8_encode(cp, bytes));
    }
    w->failed |= safe.failed;
    pq_put_str(w, buf_view(&safe));
    buf_free(&safe);
}

void pq_put_str(struct pq_writer *w, struct str v)
{
    struct chunk *c = next_chunk(w);
    assert(w->column[w->next].type == PQ_STRING);
    if (!v.ptr && c->valid) {
        pq_put_null(w);
        return;
    }
    if (v.len > PQ_STRING_MAX) {
        w->too_long = v.len;
        w->too_long_for = w->column[w->next].name;
        v = STR("");
    }
    if (!utf8_valid(v)) {
        put_repaired(w, v);
        return;
    }
    uint32_t len = (uint32_t)v.len;
    buf_add(&c->values, &len, 4);
    buf_str(&c->values, v);
    value_done(w, c, v.len + 4);
}

void pq_put_u64(struct pq_writer *w, uint64_t v)
{
    struct chunk *c = next_chunk(w);
    enum pq_type type = w->column[w->next].type;
    assert(type == PQ_U64 || type == PQ_U32);
    assert(type == PQ_U64 || v <= UINT32_MAX);
    buf_add(&c->values, &v, value_bytes(type)); /* little-endian: the low bytes come first */
    value_done(w, c, value_bytes(type));
}

void pq_put_f32(struct pq_writer *w, float v)
{
    struct chunk *c = next_chunk(w);
    assert(w->column[w->next].type == PQ_F32);
    if (isnan(v) && c->valid) {
        pq_put_null(w);
        return;
    }
    buf_add(&c->values, &v, sizeof v);
    value_done(w, c, sizeof v);
}

void pq_put_bool(struct pq_writer *w, bool v)
{
    struct chunk *c = next_chunk(w);
    assert(w->column[w->next].type == PQ_BOOL);
    buf_char(&c->values, v);
    value_done(w, c, 1);
}

/* ---- runs and packed bits: levels and dictionary indexes ---- */
static void put_varint(struct buf *to, uint32_t value)
{
    for (; value >= 0x80; value >>= 7)
        buf_char(to, (char)(value | 0x80));
    buf_char(to, (char)value);
}

static uint32_t run_length(const uint32_t *value, uint32_t count, uint32_t max)
{
    uint32_t run = 1;
    while (run < count && run < max && value[run] == value[0])
        run++;
    return run;
}

static void put_bits(struct buf *to, const uint32_t *value, uint32_t count, int width)
{
    uint64_t bits = 0;
    int filled = 0;
    for (uint32_t i = 0; i < (count + 7) / 8 * 8; i++) {
        bits |= (uint64_t)(i < count ? value[i] : 0) << filled;
        for (filled += width; filled >= 8; filled -= 8, bits >>= 8)
            buf_char(to, (char)bits);
    }
    assert(filled == 0);
}

/* Runs of RUN_MIN equal values or more as runs, all else packed in groups of eight. */
static void put_hybrid(struct buf *to, const uint32_t *value, uint32_t count, int width)
{
    for (uint32_t i = 0; i < count;) {
        uint32_t run = run_length(value + i, count - i, UINT32_MAX);
        if (run >= RUN_MIN) {
            put_varint(to, run << 1);
            buf_add(to, &value[i], (size_t)(width + 7) / 8);
            i += run;
            continue;
        }
        uint32_t start = i;
        do
            i = count - i > 8 ? i + 8 : count;
        while (i < count && run_length(value + i, count - i, RUN_MIN) < RUN_MIN);
        put_varint(to, ((i - start + 7) / 8) << 1 | 1);
        put_bits(to, value + start, i - start, width);
    }
}

/* ---- pages ---- */
static int write_page(struct pq_writer *w, struct chunk_info *info, int kind, uint32_t values,
                      int encoding)
{
    struct thrift_out t;
    size_t room = ZSTD_compressBound(w->page.len);
    buf_clear(&w->packed);
    buf_clear(&w->header);
    char *to = buf_room(&w->packed, room);
    if (w->page.failed || !to)
        return err_set(ERR_LIMIT, "parquet: no memory for a page of %zu bytes", w->page.len);
    size_t packed = ZSTD_compressCCtx(w->zstd, to, room, w->page.ptr, w->page.len, ZSTD_LEVEL);
    if (ZSTD_isError(packed))
        return err_set(ERR_LIMIT, "parquet: zstd: %s", ZSTD_getErrorName(packed));
    buf_grown(&w->packed, packed);
    uint32_t crc = (uint32_t)crc32(0, (const Bytef *)to, (uInt)packed);

    thrift_start(&t, &w->header);
    thrift_put_int(&t, 1, THRIFT_I32, kind);
    thrift_put_int(&t, 2, THRIFT_I32, (int64_t)w->page.len);
    thrift_put_int(&t, 3, THRIFT_I32, (int64_t)packed);
    thrift_put_int(&t, 4, THRIFT_I32, (int32_t)crc);
    thrift_open(&t, kind == PAGE_DATA ? 5 : 7);
    thrift_put_int(&t, 1, THRIFT_I32, values);
    thrift_put_int(&t, 2, THRIFT_I32, encoding);
    if (kind == PAGE_DATA) {
        thrift_put_int(&t, 3, THRIFT_I32, ENCODING_RLE);
        thrift_put_int(&t, 4, THRIFT_I32, ENCODING_RLE);
    }
    thrift_close(&t);
    thrift_close(&t);
    if (w->header.failed)
        return err_set(ERR_LIMIT, "parquet: no memory for a page header");
    info->plain_bytes += w->header.len + w->page.len;
    info->stored_bytes += w->header.len + packed;
    TRY(io_write(w->io, w->header.ptr, w->header.len));
    return io_write(w->io, w->packed.ptr, w->packed.len);
}

/* Starts a data page with the definition levels of rows [from, to). */
static void page_begin(struct pq_writer *w, const struct chunk *c, uint32_t from, uint32_t to)
{
    buf_clear(&w->page);
    if (!c->valid)
        return;
    uint32_t len = 0;
    buf_add(&w->page, &len, 4);
    for (uint32_t i = from; i < to; i++)
        w->scratch[i - from] = c->valid[i];
    put_hybrid(&w->page, w->scratch, to - from, 1);
    len = (uint32_t)(w->page.len - 4);
    if (!w->page.failed)
        memcpy(w->page.ptr, &len, 4);
}

static void put_bool_bits(struct buf *to, const char *bytes, uint32_t count)
{
    for (uint32_t i = 0; i < count; i += 8) {
        unsigned packed = 0;
        for (uint32_t bit = 0; bit < 8 && i + bit < count; bit++)
            packed |= (unsigned)(bytes[i + bit] != 0) << bit;
        buf_char(to, (char)packed);
    }
}

static int write_plain(struct pq_writer *w, int column, struct chunk_info *info)
{
    struct chunk *c = &w->chunk[column];
    enum pq_type type = w->column[column].type;
    size_t at = 0;
    info->data_at = io_written(w->io);
    for (uint32_t row = 0; row < w->rows;) {
        uint32_t from = row, values = 0;
        size_t start = at;
        for (; row < w->rows && at - start < PQ_PAGE_BYTES; row++) {
            uint32_t len = 0;
            if (c->valid && !c->valid[row])
                continue;
            if (type == PQ_STRING)
                memcpy(&len, c->values.ptr + at, 4);
            at += value_bytes(type) + len;
            values++;
        }
        page_begin(w, c, from, row);
        if (type == PQ_BOOL)
            put_bool_bits(&w->page, c->values.ptr + start, values);
        else if (at > start)
            buf_add(&w->page, c->values.ptr + start, at - start);
        TRY(write_page(w, info, PAGE_DATA, row - from, ENCODING_PLAIN));
    }
    assert(at == c->values.len);
    return 0;
}

/* The slot of an entry (a PLAIN string) or the free one for it; HASH_SLOTS after too many probes.
 */
static uint32_t find_slot(const struct pq_writer *w, const char *entry, uint32_t bytes)
{
    uint32_t slot = (uint32_t)hash64(entry, bytes, 0) % HASH_SLOTS;
    for (int probe = 0; probe < PROBES_MAX; probe++, slot = (slot + 1) % HASH_SLOTS) {
        if (!w->slots[slot])
            return slot;
        uint32_t place = w->scratch[w->slots[slot] - 1];
        if (w->page.len - place >= bytes && memcmp(w->page.ptr + place, entry, bytes) == 0)
            return slot;
    }
    return HASH_SLOTS;
}

/* Gives every value its index; distinct values go to w->page in PLAIN form, slots hold 1 + index.
 * False when the dictionary would be no smaller than the values, or chosen strings flood one place
 * of the table: then the column is written PLAIN. */
static bool build_dictionary(struct pq_writer *w, const struct chunk *c, uint32_t values,
                             uint32_t *distinct)
{
    size_t at = 0;
    buf_clear(&w->page);
    *distinct = 0;
    memset(w->slots, 0, HASH_SLOTS * sizeof *w->slots);
    for (uint32_t i = 0; i < values; i++) {
        uint32_t bytes;
        const char *entry = c->values.ptr + at;
        memcpy(&bytes, entry, 4);
        bytes += 4;
        uint32_t slot = find_slot(w, entry, bytes);
        if (slot == HASH_SLOTS)
            return false;
        if (!w->slots[slot]) {
            w->scratch[*distinct] = (uint32_t)w->page.len;
            w->slots[slot] = ++*distinct;
            buf_add(&w->page, entry, bytes);
        }
        if (w->page.failed)
            return false;
        w->index[i] = w->slots[slot] - 1;
        at += bytes;
    }
    return w->page.len + values / 4 < c->values.len;
}

static int bit_width(uint32_t count)
{
    int width = 1;
    while (width < 32 && (count - 1) >> width)
        width++;
    return width;
}

static int write_dictionary(struct pq_writer *w, int column, struct chunk_info *info,
                            uint32_t values, uint32_t distinct)
{
    int width = bit_width(distinct);
    info->dictionary_at = io_written(w->io);
    TRY(write_page(w, info, PAGE_DICTIONARY, distinct, ENCODING_PLAIN));
    info->data_at = io_written(w->io);
    page_begin(w, &w->chunk[column], 0, w->rows);
    buf_char(&w->page, (char)width);
    put_hybrid(&w->page, w->index, values, width);
    return write_page(w, info, PAGE_DATA, w->rows, ENCODING_RLE_DICTIONARY);
}

/* ---- statistics ---- */
/* Longest prefix of at most STAT_BYTES that ends between characters. */
static struct str short_prefix(struct str s)
{
    if (s.len <= STAT_BYTES)
        return s;
    size_t len = STAT_BYTES;
    while (len && ((unsigned char)s.ptr[len] & 0xC0) == 0x80)
        len--;
    return str_slice(s, 0, len);
}

static void string_range(const struct chunk *c, struct chunk_info *info)
{
    struct str least = {0}, most = {0};
    for (size_t at = 0; at < c->values.len;) {
        uint32_t len;
        memcpy(&len, c->values.ptr + at, 4);
        struct str value = {c->values.ptr + at + 4, len};
        if (!least.ptr || str_cmp(value, least) < 0)
            least = value;
        if (!most.ptr || str_cmp(value, most) > 0)
            most = value;
        at += len + 4u;
    }
    struct str low = short_prefix(least), high = short_prefix(most);
    info->min_exact = low.len == least.len;
    info->max_exact = high.len == most.len;
    memcpy(info->min, low.ptr, low.len);
    memcpy(info->max, high.ptr, high.len);
    info->min_len = low.len;
    info->max_len = high.len;
    /* A cut maximum must lie above all values: raise its last ASCII character by one. */
    while (!info->max_exact && info->max_len && info->max[info->max_len - 1] >= 0x7F)
        info->max_len--;
    if (!info->max_exact && info->max_len)
        info->max[info->max_len - 1]++;
    info->has_range = info->max_exact || info->max_len;
}

static void float_range(const struct chunk *c, struct chunk_info *info)
{
    float least = INFINITY, most = -INFINITY;
    for (size_t at = 0; at < c->values.len; at += sizeof(float)) {
        float value;
        memcpy(&value, c->values.ptr + at, sizeof value);
        if (isnan(value))
            continue;
        info->has_range = true;
        least = value < least ? value : least;
        most = value > most ? value : most;
    }
    least =
        least == 0 ? -0.0f : least; /* the format asks for it: either zero may have come first */
    most = most == 0 ? 0.0f : most;
    memcpy(info->min, &least, sizeof least);
    memcpy(info->max, &most, sizeof most);
}

static void integer_range(const struct chunk *c, size_t bytes, struct chunk_info *info)
{
    uint64_t least = UINT64_MAX, most = 0;
    for (size_t at = 0; at < c->values.len; at += bytes) {
        uint64_t value = 0;
        memcpy(&value, c->values.ptr + at, bytes);
        least = value < least ? value : least;
        most = value > most ? value : most;
    }
    info->has_range = true;
    memcpy(info->min, &least, sizeof least);
    memcpy(info->max, &most, sizeof most);
}

static void find_range(const struct chunk *c, enum pq_type type, struct chunk_info *info)
{
    if (c->values.len == 0)
        return;
    info->min_len = info->max_len = value_bytes(type);
    info->min_exact = info->max_exact = true;
    if (type == PQ_STRING)
        string_range(c, info);
    else if (type == PQ_F32)
        float_range(c, info);
    else
        integer_range(c, value_bytes(type), info);
}

/* ---- groups and footer ---- */
static void describe_chunk(struct pq_writer *w, struct thrift_out *t, int column,
                           const struct chunk_info *info)
{
    const struct pq_column *spec = &w->column[column];
    bool dictionary = info->dictionary_at != 0;
    thrift_open(t, 0);
    thrift_put_int(t, 2, THRIFT_I64, 0); /* no copy of the description stands beside the chunk */
    thrift_open(t, 3);
    thrift_put_int(t, 1, THRIFT_I32, physical_of(spec->type));
    thrift_put_list(t, 2, THRIFT_I32, dictionary ? 3 : 2);
    thrift_put_int(t, 0, THRIFT_I32, ENCODING_PLAIN);
    thrift_put_int(t, 0, THRIFT_I32, ENCODING_RLE);
    if (dictionary)
        thrift_put_int(t, 0, THRIFT_I32, ENCODING_RLE_DICTIONARY);
    thrift_put_list(t, 3, THRIFT_BINARY, 1);
    thrift_put_str(t, 0, str_of(spec->name));
    thrift_put_int(t, 4, THRIFT_I32, CODEC_ZSTD);
    thrift_put_int(t, 5, THRIFT_I64, w->rows);
    thrift_put_int(t, 6, THRIFT_I64, (int64_t)info->plain_bytes);
    thrift_put_int(t, 7, THRIFT_I64, (int64_t)info->stored_bytes);
    thrift_put_int(t, 9, THRIFT_I64, (int64_t)info->data_at);
    if (dictionary)
        thrift_put_int(t, 11, THRIFT_I64, (int64_t)info->dictionary_at);
    thrift_open(t, 12);
    thrift_put_int(t, 3, THRIFT_I64, w->chunk[column].nulls);
    if (info->has_range) {
        thrift_put_str(t, 5, (struct str){(const char *)info->max, info->max_len});
        thrift_put_str(t, 6, (struct str){(const char *)info->min, info->min_len});
        thrift_put_bool(t, 7, info->max_exact);
        thrift_put_bool(t, 8, info->min_exact);
    }
    thrift_close(t);
    thrift_close(t);
    thrift_close(t);
}

static int write_group(struct pq_writer *w)
{
    struct thrift_out t;
    uint64_t start = io_written(w->io), plain_bytes = 0;
    if (w->rows == 0)
        return 0;
    thrift_start(&t, &w->groups);
    thrift_put_list(&t, 1, THRIFT_STRUCT, (size_t)w->column_count);
    for (int i = 0; i < w->column_count; i++) {
        struct chunk *c = &w->chunk[i];
        struct chunk_info info = {0};
        uint32_t values = w->rows - c->nulls, distinct;
        find_range(c, w->column[i].type, &info);
        if (w->column[i].dictionary && build_dictionary(w, c, values, &distinct))
            TRY(write_dictionary(w, i, &info, values, distinct));
        else
            TRY(write_plain(w, i, &info));
        describe_chunk(w, &t, i, &info);
        plain_bytes += info.plain_bytes;
        buf_clear(&c->values);
        c->nulls = 0;
    }
    thrift_put_int(&t, 2, THRIFT_I64, (int64_t)plain_bytes);
    thrift_put_int(&t, 3, THRIFT_I64, w->rows);
    thrift_put_int(&t, 5, THRIFT_I64, (int64_t)start);
    thrift_put_int(&t, 6, THRIFT_I64, (int64_t)(io_written(w->io) - start));
    thrift_close(&t);
    w->group_count++;
    w->rows = 0;
    w->group_bytes = 0;
    return w->groups.failed ? err_set(ERR_LIMIT, "parquet: no memory for the footer") : 0;
}

int pq_end_row(struct pq_writer *w)
{
    assert(w->next == w->column_count);
    if (w->failed)
        return err_set(ERR_LIMIT, "parquet: no memory for a row group");
    if (w->too_long_for)
        return err_set(ERR_LIMIT,
                       "parquet: column %s: a string of %llu bytes, at most %d fit: cut it",
                       w->too_long_for, (unsigned long long)w->too_long, PQ_STRING_MAX);
    w->next = 0;
    w->rows++;
    w->rows_total++;
    return w->rows == PQ_GROUP_ROWS || w->group_bytes >= PQ_GROUP_BYTES ? write_group(w) : 0;
}

int pq_meta(struct pq_writer *w, const char *key, struct str value)
{
    struct thrift_out t;
    thrift_start(&t, &w->meta);
    thrift_put_str(&t, 1, str_of(key));
    thrift_put_str(&t, 2, value);
    thrift_close(&t);
    w->meta_count++;
    return w->meta.failed ? err_set(ERR_LIMIT, "parquet: no memory for metadata %s", key) : 0;
}

static void put_integer_type(struct thrift_out *t, int bits)
{
    thrift_put_int(t, 6, THRIFT_I32, bits == 64 ? CONVERTED_UINT_64 : CONVERTED_UINT_32);
    thrift_open(t, 10);
    thrift_open(t, 10); /* INTEGER */
    thrift_put_int(t, 1, THRIFT_I8, bits);
    thrift_put_bool(t, 2, false); /* not signed */
    thrift_close(t);
    thrift_close(t);
}

static void put_schema(struct pq_writer *w, struct thrift_out *t)
{
    thrift_put_list(t, 2, THRIFT_STRUCT, (size_t)w->column_count + 1);
    thrift_open(t, 0);
    thrift_put_str(t, 4, STR("schema"));
    thrift_put_int(t, 5, THRIFT_I32, w->column_count);
    thrift_close(t);
    for (int i = 0; i < w->column_count; i++) {
        const struct pq_column *spec = &w->column[i];
        thrift_open(t, 0);
        thrift_put_int(t, 1, THRIFT_I32, physical_of(spec->type));
        thrift_put_int(t, 3, THRIFT_I32, spec->optional ? REPEAT_OPTIONAL : REPEAT_REQUIRED);
        thrift_put_str(t, 4, str_of(spec->name));
        if (spec->type == PQ_STRING) {
            thrift_put_int(t, 6, THRIFT_I32, CONVERTED_UTF8);
            thrift_open(t, 10);
            thrift_open(t, 1); /* STRING */
            thrift_close(t);
            thrift_close(t);
        } else if (spec->type == PQ_U64 || spec->type == PQ_U32) {
            put_integer_type(t, spec->type == PQ_U64 ? 64 : 32);
        }
        thrift_close(t);
    }
}

static int write_footer(struct pq_writer *w)
{
    struct thrift_out t;
    struct buf *to = &w->page;
    buf_clear(to);
    thrift_start(&t, to);
    thrift_put_int(&t, 1, THRIFT_I32, 2); /* format version 2: unsigned types, RLE_DICTIONARY */
    put_schema(w, &t);
    thrift_put_int(&t, 3, THRIFT_I64, (int64_t)w->rows_total);
    thrift_put_list(&t, 4, THRIFT_STRUCT, w->group_count);
    buf_str(to, buf_view(&w->groups));
    if (w->meta_count) {
        thrift_put_list(&t, 5, THRIFT_STRUCT, w->meta_count);
        buf_str(to, buf_view(&w->meta));
    }
    thrift_put_str(&t, 6, STR("sluice " SLUICE_VERSION));
    thrift_put_list(&t, 7, THRIFT_STRUCT, (size_t)w->column_count);
    for (int i = 0; i < w->column_count; i++) {
        thrift_open(&t, 0);
        thrift_open(&t, 1); /* TYPE_ORDER: without it readers may not use the ranges */
        thrift_close(&t);
        thrift_close(&t);
    }
    thrift_close(&t);
    uint32_t len = (uint32_t)to->len;
    buf_add(to, &len, 4);
    buf_text(to, PQ_MAGIC);
    if (to->failed || to->len > PQ_FOOTER_MAX)
        return err_set(ERR_LIMIT, "parquet: a footer of %zu bytes: write more and smaller files",
                       to->len);
    return io_write(w->io, to->ptr, to->len);
}

int pq_commit(struct pq_writer *w, struct io_info *info)
{
    assert(w->next == 0);
    int rc = write_group(w);
    if (rc == 0)
        rc = write_footer(w);
    if (rc < 0) {
        pq_abandon(w);
        return rc;
    }
    rc = io_commit(w->io, info);
    writer_free(w);
    return rc;
}

void pq_abandon(struct pq_writer *w)
{
    if (!w)
        return;
    io_abandon(w->io);
    writer_free(w);
}

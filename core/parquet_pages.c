/* parquet_pages - one page of a column chunk, ours or another program's: unpacked, levels, values.
 *
 * Nothing in a file is believed: sizes are checked against the chunk, counts against the bytes they
 * would need, page bytes against their CRC-32 where they have one. */
#include "core/parquet_pages.h"

#include "core/err.h"
#include "core/snappy.h"

#include <math.h>
#include <zlib.h>

/* ---- runs and packed bits ---- */
struct hybrid {
    const uint8_t *at, *end;
    int width, filled; /* bits a value; bits in `bits` */
    bool packed, bad;
    uint32_t left, value; /* values left in this run; the value of an equal run */
    uint64_t bits;
};

static void hybrid_start(struct hybrid *h)
{
    uint64_t header = 0;
    int shift = 0;
    do {
        if (h->at == h->end || shift > 28) {
            h->bad = true;
            return;
        }
        header |= (uint64_t)(*h->at & 127) << shift;
        shift += 7;
    } while (*h->at++ & 128);
    h->packed = header & 1;
    h->left = (uint32_t)(header >> 1);
    h->bits = 0;
    h->filled = 0;
    if (h->packed) {
        /* Writers may stop before the padding of the last group, so only values used are checked.
         */
        h->left = h->left > UINT32_MAX / 8 ? UINT32_MAX : h->left * 8;
        return;
    }
    h->value = 0;
    for (int i = 0; i < (h->width + 7) / 8; i++) {
        if (h->at == h->end) {
            h->bad = true;
            return;
        }
        h->value |= (uint32_t)*h->at++ << 8 * i;
    }
}

static inline uint32_t hybrid_next(struct hybrid *h)
{
    while (h->left == 0) {
        if (h->bad)
            return 0;
        hybrid_start(h);
        if (h->bad)
            return 0;
    }
    h->left--;
    if (!h->packed)
        return h->value;
    while (h->filled < h->width) {
        if (h->at == h->end) {
            h->bad = true;
            return 0;
        }
        h->bits |= (uint64_t)*h->at++ << h->filled;
        h->filled += 8;
    }
    uint32_t value = (uint32_t)(h->bits & (((uint64_t)1 << h->width) - 1));
    h->bits >>= h->width;
    h->filled -= h->width;
    return value;
}

/* ---- pages ---- */
static void read_page_kind(struct thrift_in *in, struct pq_page *p, bool second)
{
    struct thrift_field f = {0};
    while (thrift_next(in, &f)) {
        if (f.id == 1)
            p->values = thrift_int(in, f.type);
        else if (f.id == (second ? 4 : 2))
            p->encoding = thrift_int(in, f.type);
        else if (second && f.id == 5)
            p->level_bytes = thrift_int(in, f.type);
        else if (second && f.id == 6)
            p->repeat_bytes = thrift_int(in, f.type);
        else if (second && f.id == 7)
            p->unpacked = thrift_int(in, f.type) == 0;
        else if (!second && f.id == 3 && p->kind == PAGE_DATA)
            p->level_encoding = thrift_int(in, f.type);
        else
            thrift_skip(in, f.type);
    }
}

int pq_page_header(struct thrift_in *in, int64_t left, struct pq_page *p)
{
    struct thrift_field f = {0};
    const uint8_t *begin = in->at;
    *p = (struct pq_page){.kind = -1,
                          .plain = -1,
                          .stored = -1,
                          .values = -1,
                          .encoding = -1,
                          .level_encoding = ENCODING_RLE};
    while (thrift_next(in, &f)) {
        if (f.id == 1) {
            p->kind = thrift_int(in, f.type);
        } else if (f.id == 2) {
            p->plain = thrift_int(in, f.type);
        } else if (f.id == 3) {
            p->stored = thrift_int(in, f.type);
        } else if (f.id == 4) {
            p->crc = (uint32_t)thrift_int(in, f.type);
            p->has_crc = true;
        } else if (f.id == 5 || f.id == 7 || f.id == 8) {
            if (thrift_struct(in, f.type))
                read_page_kind(in, p, f.id == 8);
        } else {
            thrift_skip(in, f.type);
        }
    }
    if (in->bad || p->plain < 0 || p->stored < 0 || p->stored > left - (in->at - begin))
        return err_set(ERR_FORMAT, "a page header is damaged");
    if (p->plain > PQ_PAGE_MAX || p->stored > PQ_PAGE_MAX)
        return err_set(ERR_FORMAT, "a page of %lld bytes, at most %d are read",
                       (long long)(p->plain > p->stored ? p->plain : p->stored), PQ_PAGE_MAX);
    return 0;
}

static int inflate_all(const uint8_t *from, size_t bytes, unsigned char *to, size_t to_bytes)
{
    z_stream z = {.next_in = (Bytef *)(uintptr_t)from,
                  .avail_in = (uInt)bytes,
                  .next_out = to,
                  .avail_out = (uInt)to_bytes};
    if (inflateInit2(&z, 15 + 32) != Z_OK)
        return err_set(ERR_LIMIT, "no memory for zlib");
    int rc = inflate(&z, Z_FINISH);
    inflateEnd(&z);
    return rc == Z_STREAM_END && z.total_out == to_bytes
               ? 0
               : err_set(ERR_FORMAT, "gzip: damaged page");
}

static int unpack(struct pq_decoder *d, const uint8_t *from, size_t bytes, unsigned char *to,
                  size_t to_bytes)
{
    size_t got = 0;
    switch (d->codec) {
    case CODEC_NONE:
        if (bytes != to_bytes)
            return err_set(ERR_FORMAT, "a plain page of %zu bytes says %zu", bytes, to_bytes);
        memcpy(to, from, bytes);
        return 0;
    case CODEC_SNAPPY:
        if (!snappy_decode((struct str){(const char *)from, bytes}, to, to_bytes))
            return err_set(ERR_FORMAT, "snappy: damaged page");
        return 0;
    case CODEC_GZIP: return inflate_all(from, bytes, to, to_bytes);
    case CODEC_ZSTD:
        got = ZSTD_decompressDCtx(d->r->zstd, to, to_bytes, from, bytes);
        if (ZSTD_isError(got) || got != to_bytes)
            return err_set(ERR_FORMAT, "zstd: damaged page");
        return 0;
    default:
        return err_set(ERR_FORMAT,
                       "compressed with codec %lld, which is not read: use zstd or snappy",
                       (long long)d->codec);
    }
}

/* The page's bytes, unpacked: in the arena where strings will point to them, else in r->page. */
static int load_page(struct pq_decoder *d, const struct pq_page *p, const uint8_t *from,
                     struct str *body)
{
    size_t levels = (size_t)(p->kind == PAGE_DATA_V2 ? p->level_bytes + p->repeat_bytes : 0);
    size_t plain = (size_t)p->plain, stored = (size_t)p->stored;
    unsigned char *to;
    if (d->column->spec.type == PQ_STRING) {
        to = arena_push(d->arena, plain + 1, 1);
    } else {
        buf_clear(&d->r->page);
        to = (unsigned char *)buf_room(&d->r->page, plain + 1);
    }
    if (!to)
        return err_set(ERR_LIMIT, "no memory for a page of %zu bytes", plain);
    if (p->kind == PAGE_DATA_V2 &&
        (p->level_bytes < 0 || p->repeat_bytes != 0 || levels > stored || levels > plain))
        return err_set(ERR_FORMAT, "the levels of a page are damaged");
    memcpy(to, from, levels); /* levels of v2 pages are never packed */
    *body = (struct str){(const char *)to, plain};
    if (p->unpacked) {
        if (stored != plain)
            return err_set(ERR_FORMAT, "a plain page of %zu bytes says %zu", stored, plain);
        memcpy(to + levels, from + levels, stored - levels);
        return 0;
    }
    if (plain == levels && stored == levels)
        return 0; /* a page of nulls alone */
    return unpack(d, from + levels, stored - levels, to + levels, plain - levels);
}

static void put_null(struct pq_values *v, uint32_t at)
{
    if (v->str)
        v->str[at] = (struct str){0};
    else if (v->u64)
        v->u64[at] = 0;
    else
        v->f32[at] = NAN;
}

/* Takes one PLAIN value off body; false when it does not fit. Bits of bools are not for here. */
static inline bool take_plain(const struct pq_leaf *c, struct str *body, struct pq_values *v,
                              uint32_t at)
{
    uint32_t word;
    uint64_t number;
    double real;
    size_t bytes = c->physical == PHYSICAL_INT64 || c->physical == PHYSICAL_DOUBLE ? 8 : 4;
    if (body->len < bytes)
        return false;
    memcpy(&word, body->ptr, 4);
    switch (c->physical) {
    case PHYSICAL_INT32: v->u64[at] = c->is_signed ? (uint64_t)(int64_t)(int32_t)word : word; break;
    case PHYSICAL_INT64:
        memcpy(&number, body->ptr, 8);
        v->u64[at] = number;
        break;
    case PHYSICAL_FLOAT: memcpy(&v->f32[at], &word, 4); break;
    case PHYSICAL_DOUBLE:
        memcpy(&real, body->ptr, 8);
        v->f32[at] = (float)real;
        break;
    default:
        if (word > body->len - 4)
            return false;
        v->str[at] = (struct str){body->ptr + 4, word};
        bytes += word;
    }
    body->ptr += bytes;
    body->len -= bytes;
    return true;
}

int pq_values_open(struct pq_decoder *d, struct pq_values *v, uint32_t count)
{
    *v = (struct pq_values){.count = count};
    enum pq_type type = d->column->spec.type;
    if (type == PQ_STRING)
        v->str = arena_array(d->arena, struct str, count);
    else if (type == PQ_F32)
        v->f32 = arena_array(d->arena, float, count);
    else
        v->u64 = arena_array(d->arena, uint64_t, count);
    return v->str || v->f32 || v->u64 ? 0 : ERR_LIMIT;
}

static int read_dictionary(struct pq_decoder *d, const struct pq_page *p, struct str body)
{
    if (d->has_dictionary || d->done)
        return err_set(ERR_FORMAT, "a second dictionary");
    if (p->encoding != ENCODING_PLAIN && p->encoding != ENCODING_PLAIN_DICTIONARY)
        return err_set(ERR_FORMAT, "a dictionary with encoding %lld", (long long)p->encoding);
    if (d->column->physical == PHYSICAL_BOOLEAN || p->values < 0 || p->values > p->plain)
        return err_set(ERR_FORMAT, "a dictionary of %lld values in %lld bytes",
                       (long long)p->values, (long long)p->plain);
    d->has_dictionary = true;
    TRY(pq_values_open(d, &d->dictionary, (uint32_t)p->values));
    for (uint32_t i = 0; i < d->dictionary.count; i++)
        if (!take_plain(d->column, &body, &d->dictionary, i))
            return err_set(ERR_FORMAT, "a dictionary ends inside value %u", i);
    return 0;
}

/* Fills valid[] of the page's rows and steps over the levels. */
static int read_levels(struct pq_decoder *d, const struct pq_page *p, struct str *body)
{
    uint32_t count = (uint32_t)p->values, len = (uint32_t)p->level_bytes;
    uint8_t *valid = d->valid + d->done;
    if (!d->column->spec.optional) {
        memset(valid, 1, count);
        *body = str_slice(*body, len, body->len);
        return 0;
    }
    if (p->kind == PAGE_DATA) {
        if (p->level_encoding != ENCODING_RLE)
            return err_set(ERR_FORMAT, "levels with encoding %lld, which is not read",
                           (long long)p->level_encoding);
        if (body->len < 4)
            return err_set(ERR_FORMAT, "a page ends inside its levels");
        memcpy(&len, body->ptr, 4);
        *body = str_slice(*body, 4, body->len);
    }
    if (len > body->len)
        return err_set(ERR_FORMAT, "a page ends inside its levels");
    const uint8_t *at = (const uint8_t *)body->ptr;
    struct hybrid h = {.at = at, .end = at + len, .width = 1};
    for (uint32_t i = 0; i < count; i++)
        valid[i] = (uint8_t)hybrid_next(&h);
    *body = str_slice(*body, len, body->len);
    for (uint32_t i = 0; i < count && !h.bad; i++)
        h.bad = valid[i] > 1;
    return h.bad ? err_set(ERR_FORMAT, "the levels of a page are damaged") : 0;
}

static int read_plain(struct pq_decoder *d, uint32_t count, struct str body)
{
    size_t bits = 0;
    bool is_bool = d->column->physical == PHYSICAL_BOOLEAN;
    for (uint32_t i = d->done; i < d->done + count; i++) {
        if (!d->valid[i]) {
            put_null(&d->out, i);
        } else if (is_bool) {
            if (bits / 8 == body.len)
                return err_set(ERR_FORMAT, "a page ends inside row %u", i);
            d->out.u64[i] = (unsigned char)body.ptr[bits / 8] >> bits % 8 & 1;
            bits++;
        } else if (!take_plain(d->column, &body, &d->out, i)) {
            return err_set(ERR_FORMAT, "a page ends inside row %u", i);
        }
    }
    return 0;
}

static int read_indexes(struct pq_decoder *d, uint32_t count, struct str body)
{
    const uint8_t *at = (const uint8_t *)body.ptr;
    struct pq_values *out = &d->out;
    const struct pq_values *from = &d->dictionary;
    if (body.len == 0) /* fine when all are null */
        body.ptr = "";
    struct hybrid h = {.at = at + (body.len > 0), .end = at + body.len, .bad = body.len == 0};
    h.width = body.len ? *at : 0;
    if (h.width > 32)
        return err_set(ERR_FORMAT, "dictionary indexes of %d bits", h.width);
    for (uint32_t i = d->done; i < d->done + count; i++) {
        if (!d->valid[i]) {
            put_null(out, i);
            continue;
        }
        uint32_t index = hybrid_next(&h);
        if (h.bad || index >= from->count)
            return err_set(ERR_FORMAT, "row %u: damaged dictionary index", i);
        if (out->str)
            out->str[i] = from->str[index];
        else if (out->u64)
            out->u64[i] = from->u64[index];
        else
            out->f32[i] = from->f32[index];
    }
    return 0;
}

/* Bools of v2 pages: runs behind their length. */
static int read_bool_runs(struct pq_decoder *d, uint32_t count, struct str body)
{
    if (body.len < 4)
        return err_set(ERR_FORMAT, "a page ends inside its values");
    const uint8_t *at = (const uint8_t *)body.ptr;
    struct hybrid h = {.at = at + 4, .end = at + body.len, .width = 1};
    for (uint32_t i = d->done; i < d->done + count; i++)
        d->out.u64[i] = d->valid[i] ? hybrid_next(&h) & 1 : 0;
    return h.bad ? err_set(ERR_FORMAT, "a page ends inside its values") : 0;
}

static int read_data(struct pq_decoder *d, const struct pq_page *p, struct str body)
{
    static const char *const name[] = {"PLAIN",
                                       "1",
                                       "PLAIN_DICTIONARY",
                                       "RLE",
                                       "BIT_PACKED",
                                       "DELTA_BINARY_PACKED",
                                       "DELTA_LENGTH_BYTE_ARRAY",
                                       "DELTA_BYTE_ARRAY",
                                       "RLE_DICTIONARY",
                                       "BYTE_STREAM_SPLIT"};
    if (p->values < 0 || p->values > d->rows - d->done)
        return err_set(ERR_FORMAT, "pages of more than the row group's %u rows", d->rows);
    uint32_t count = (uint32_t)p->values;
    TRY(read_levels(d, p, &body));
    if (p->encoding == ENCODING_PLAIN)
        TRY(read_plain(d, count, body));
    else if (p->encoding == ENCODING_RLE_DICTIONARY || p->encoding == ENCODING_PLAIN_DICTIONARY)
        TRY(read_indexes(d, count, body));
    else if (p->encoding == ENCODING_RLE && d->column->physical == PHYSICAL_BOOLEAN)
        TRY(read_bool_runs(d, count, body));
    else if (p->encoding >= ENCODING_DELTA_BINARY_PACKED &&
             p->encoding <= ENCODING_DELTA_BYTE_ARRAY)
        TRY(pq_delta_take(d, p->encoding, count, body));
    else
        return err_set(ERR_FORMAT, "encoding %s is not read: write PLAIN or dictionaries",
                       p->encoding >= 0 && p->encoding < (int64_t)COUNT_OF(name) ? name[p->encoding]
                                                                                 : "unknown");
    d->done += count;
    return 0;
}

int pq_page_take(struct pq_decoder *d, const struct pq_page *p, const uint8_t *from)
{
    struct str body = {0};
    if (p->has_crc && p->crc != (uint32_t)crc32(0, from, (uInt)p->stored))
        return err_set(ERR_FORMAT, "a page is damaged: its CRC-32 differs");
    if (p->kind != PAGE_DATA && p->kind != PAGE_DATA_V2 && p->kind != PAGE_DICTIONARY)
        return 0;
    TRY(load_page(d, p, from, &body));
    return p->kind == PAGE_DICTIONARY ? read_dictionary(d, p, body) : read_data(d, p, body);
}

/* parquet_delta - the delta encodings: numbers by their differences, strings by their lengths and
 * by what they share with the one before.
 *
 * A page of such strings holds two or three sequences one behind the other: all lengths (of shared
 * beginnings, then of endings), then all bytes. */
#include "core/parquet_pages.h"

#include "core/err.h"

enum { BLOCK_MAX = 1 << 16, MINIS_MAX = 512 };

/* DELTA_BINARY_PACKED: blocks of miniblocks, each of differences packed in a width of its own. */
struct delta {
    const uint8_t *at, *end; /* at: behind the miniblock at hand */
    const uint8_t *widths;   /* of the block's miniblocks */
    const uint8_t *bits;     /* of the miniblock at hand */
    uint64_t last, least;    /* the value before; the block's least difference */
    uint64_t total, given;
    uint32_t per_mini, minis, mini, in_mini, width;
    size_t bit;
    bool bad;
};

static uint64_t take_varint(struct delta *d)
{
    uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
        if (d->at == d->end)
            break;
        uint8_t byte = *d->at++;
        value |= (uint64_t)(byte & 127) << shift;
        if (byte < 128)
            return value;
    }
    d->bad = true;
    return 0;
}

static uint64_t take_zigzag(struct delta *d)
{
    uint64_t value = take_varint(d);
    return value >> 1 ^ (0 - (value & 1));
}

static void delta_open(struct delta *d, const uint8_t *at, const uint8_t *end)
{
    *d = (struct delta){.at = at, .end = end};
    uint64_t block = take_varint(d), minis = take_varint(d);
    d->total = take_varint(d);
    d->last = take_zigzag(d);
    d->bad = d->bad || minis < 1 || minis > MINIS_MAX || block > BLOCK_MAX || block % minis != 0 ||
             block / minis % 8 != 0 || block == 0;
    if (d->bad)
        return;
    d->minis = d->mini = (uint32_t)minis;
    d->per_mini = d->in_mini = (uint32_t)(block / minis);
}

static void mini_next(struct delta *d)
{
    if (d->mini == d->minis) {
        d->least = take_zigzag(d);
        d->bad = d->bad || (size_t)(d->end - d->at) < d->minis;
        if (d->bad)
            return;
        d->widths = d->at;
        d->at += d->minis;
        d->mini = 0;
    }
    d->width = d->widths[d->mini++];
    size_t bytes = (size_t)d->per_mini / 8 * d->width, left = (size_t)(d->end - d->at);
    d->bad = d->width > 64;
    d->bits = d->at;
    d->at += bytes < left ? bytes : left; /* a last one may come without its padding */
    d->in_mini = 0;
    d->bit = 0;
}

static uint64_t bits_take(struct delta *d)
{
    uint64_t value = 0;
    if ((d->bit + d->width + 7) / 8 > (size_t)(d->at - d->bits)) {
        d->bad = true;
        return 0;
    }
    for (uint32_t have = 0; have < d->width;) {
        uint32_t skip = (uint32_t)(d->bit % 8), now = 8 - skip;
        if (now > d->width - have)
            now = d->width - have;
        uint64_t part = (uint64_t)(d->bits[d->bit / 8] >> skip) & ((1u << now) - 1);
        value |= part << have;
        have += now;
        d->bit += now;
    }
    return value;
}

/* The next number, modulo 2^64; 0 and bad when there is none. */
static uint64_t delta_next(struct delta *d)
{
    if (d->bad || d->given == d->total) {
        d->bad = true;
        return 0;
    }
    if (d->given++ == 0)
        return d->last;
    if (d->in_mini == d->per_mini)
        mini_next(d);
    if (d->bad)
        return 0;
    d->in_mini++;
    return d->last += d->least + bits_take(d);
}

static int damaged(void) { return err_set(ERR_FORMAT, "a page of differences is damaged"); }

/* count numbers off body, to out. */
static int numbers_take(struct str *body, uint32_t count, uint64_t *out)
{
    struct delta d;
    const uint8_t *at = (const uint8_t *)body->ptr;
    if (body->len == 0)
        return count ? damaged() : 0;
    delta_open(&d, at, at + body->len);
    for (uint32_t i = 0; i < count; i++)
        out[i] = delta_next(&d);
    if (d.bad || d.total != count)
        return damaged();
    *body = str_slice(*body, (size_t)(d.at - at), body->len);
    return 0;
}

static uint32_t valid_count(const struct pq_decoder *d, uint32_t count)
{
    uint32_t valid = 0;
    for (uint32_t i = d->done; i < d->done + count; i++)
        valid += d->valid[i];
    return valid;
}

static int take_integers(struct pq_decoder *d, uint32_t count, const uint64_t *number)
{
    const struct pq_leaf *c = d->column;
    if (c->physical != PHYSICAL_INT32 && c->physical != PHYSICAL_INT64)
        return err_set(ERR_FORMAT, "differences of what is no integer");
    for (uint32_t i = d->done; i < d->done + count; i++) {
        uint64_t value = d->valid[i] ? *number++ : 0;
        if (c->physical == PHYSICAL_INT32)
            value = c->is_signed ? (uint64_t)(int64_t)(int32_t)(uint32_t)value : (uint32_t)value;
        d->out.u64[i] = value;
    }
    return 0;
}

/* One string: shared bytes of the one before, then len bytes off body. */
static int take_string(struct pq_decoder *d, struct str *body, uint64_t shared, uint64_t len,
                       struct str *last, size_t *made)
{
    if (shared > last->len || len > body->len)
        return damaged();
    struct str ending = {body->ptr, (size_t)len};
    *body = str_slice(*body, (size_t)len, body->len);
    if (shared == 0) {
        *last = ending;
        return 0;
    }
    *made += (size_t)(shared + len);
    if (*made > PQ_PAGE_MAX)
        return err_set(ERR_LIMIT, "a page of more than %d bytes of strings", PQ_PAGE_MAX);
    char *to = arena_push(d->arena, (size_t)(shared + len), 1);
    if (!to)
        return ERR_LIMIT;
    memcpy(to, last->ptr, (size_t)shared);
    memcpy(to + shared, ending.ptr, ending.len);
    *last = (struct str){to, (size_t)(shared + len)};
    return 0;
}

static int take_strings(struct pq_decoder *d, uint32_t count, struct str body,
                        const uint64_t *shared, const uint64_t *len)
{
    struct str last = {"", 0};
    size_t made = 0;
    if (!d->out.str)
        return err_set(ERR_FORMAT, "lengths of what is no string");
    for (uint32_t i = d->done; i < d->done + count; i++) {
        d->out.str[i] = (struct str){0};
        if (!d->valid[i])
            continue;
        TRY(take_string(d, &body, shared ? *shared++ : 0, *len++, &last, &made));
        d->out.str[i] = last;
    }
    return 0;
}

int pq_delta_take(struct pq_decoder *d, int64_t encoding, uint32_t count, struct str body)
{
    uint32_t valid = valid_count(d, count);
    uint64_t *one = arena_array(d->arena, uint64_t, valid + 1);
    uint64_t *two =
        encoding == ENCODING_DELTA_BYTE_ARRAY ? arena_array(d->arena, uint64_t, valid + 1) : one;
    if (!one || !two)
        return ERR_LIMIT;
    TRY(numbers_take(&body, valid, one));
    if (encoding == ENCODING_DELTA_BINARY_PACKED)
        return take_integers(d, count, one);
    if (encoding == ENCODING_DELTA_LENGTH_BYTE_ARRAY)
        return take_strings(d, count, body, NULL, one);
    TRY(numbers_take(&body, valid, two));
    return take_strings(d, count, body, one, two);
}

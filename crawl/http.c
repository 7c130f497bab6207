/* http - the parts of an archived HTTP response, with what the server packed it in undone. */
#include "crawl/warc.h"

#include "core/err.h"
#include "crawl/http_chunks.h"

#include <brotli/decode.h>
#include <isa-l/igzip_lib.h>
#include <zstd.h>

enum {
    LAYERS_MAX = 3,        /* content encodings undone one after another */
    INTERIM_MAX = 4,       /* 1xx responses in front of the real one */
    OUT_STEP = 64 << 10,
    ZSTD_WINDOW_LOG = 23,  /* 8 MiB: RFC 9659's limit for HTTP */
};
enum outcome { UNDONE, NOT_CODED /* not in this encoding: the bytes stay */, TOO_LARGE };

/* Bytes growing at the arena's end: nothing else is pushed between two steps. */
struct growth { struct arena *arena; unsigned char *at; size_t len, room, max; };

/* Makes room for more. 1, 0 at the limit, ERR_LIMIT when the arena is full. */
static int growth_step(struct growth *g)
{
    size_t step = g->max - g->len < OUT_STEP ? g->max - g->len : OUT_STEP;
    if (step == 0)
        return 0;
    unsigned char *more = arena_push(g->arena, step, 1);
    if (!more)
        return ERR_LIMIT;
    if (!g->at)
        g->at = more;
    g->room = step;
    return 1;
}

/* One byte more than body_max is allowed in, so that "exactly body_max" and "more" differ. */
static struct growth growth_of(struct arena *a, size_t body_max)
{
    return (struct growth){.arena = a, .max = body_max < SIZE_MAX ? body_max + 1 : body_max};
}

/* ---- decoders: step() fills g->at + g->len, room bytes, and says whether it goes on ---- */
enum go { GO_ON, GO_END, GO_SHORT, GO_BAD };
struct decoder {
    enum go (*step)(struct decoder *d, unsigned char *to, size_t room, size_t *made);
    struct str in;
    void *state;
};

static enum go step_inflate(struct decoder *d, unsigned char *to, size_t room, size_t *made)
{
    struct inflate_state *s = d->state;
    s->next_out = to;
    s->avail_out = (uint32_t)room;
    for (;;) {
        size_t feed = d->in.len < (1u << 30) ? d->in.len : 1u << 30;
        s->next_in = (uint8_t *)(uintptr_t)d->in.ptr;
        s->avail_in = (uint32_t)feed;
        int rc = isal_inflate(s);
        size_t used = feed - s->avail_in;
        d->in = str_slice(d->in, used, d->in.len);
        *made = room - s->avail_out;
        if (rc < 0)
            return GO_BAD;
        if (s->block_state == ISAL_BLOCK_FINISH) {
            if (s->crc_flag != ISAL_GZIP || !str_starts(d->in, "\x1f\x8b\x08"))
                return GO_END;
            isal_inflate_reset(s);
        } else if (s->avail_out == 0) {
            return GO_ON;
        } else if (used == 0) {
            return GO_SHORT;
        }
    }
}

static enum go step_brotli(struct decoder *d, unsigned char *to, size_t room, size_t *made)
{
    const uint8_t *next = (const uint8_t *)d->in.ptr;
    size_t avail = d->in.len, left = room;
    BrotliDecoderResult rc =
        BrotliDecoderDecompressStream(d->state, &avail, &next, &left, &to, NULL);
    d->in = str_slice(d->in, d->in.len - avail, d->in.len);
    *made = room - left;
    switch (rc) {
    case BROTLI_DECODER_RESULT_SUCCESS: return GO_END;
    case BROTLI_DECODER_RESULT_NEEDS_MORE_OUTPUT: return GO_ON;
    case BROTLI_DECODER_RESULT_NEEDS_MORE_INPUT: return GO_SHORT;
    default: return GO_BAD;
    }
}

static enum go step_zstd(struct decoder *d, unsigned char *to, size_t room, size_t *made)
{
    ZSTD_inBuffer in = {d->in.ptr, d->in.len, 0};
    ZSTD_outBuffer out = {to, room, 0};
    size_t rc = ZSTD_decompressStream(d->state, &out, &in);
    d->in = str_slice(d->in, in.pos, d->in.len);
    *made = out.pos;
    if (ZSTD_isError(rc))
        return GO_BAD;
    if (rc == 0)
        return GO_END;
    return out.pos == room || d->in.len ? GO_ON : GO_SHORT;
}

/* Runs the decoder. The result starts at `mark` of the arena, whatever was pushed meanwhile. */
static int decode(struct arena *a, size_t mark, struct decoder *d, size_t body_max, struct str *out,
                  enum outcome *outcome, bool *partial)
{
    struct growth g = growth_of(a, body_max);
    enum go go = GO_ON;
    while (go == GO_ON) {
        int rc = growth_step(&g);
        if (rc < 0)
            return rc;
        if (rc == 0)
            break;
        size_t made = 0;
        go = d->step(d, g.at + g.len, g.room, &made);
        g.len += made;
        arena_reset(a, (size_t)(g.at - a->base) + g.len);
    }
    *outcome = UNDONE;
    if (g.len > body_max)
        *outcome = TOO_LARGE;
    else if (go == GO_BAD || (g.len == 0 && go != GO_END))
        *outcome = NOT_CODED;
    if (*outcome != UNDONE) {
        arena_reset(a, mark);
        return 0;
    }
    *partial |= go == GO_SHORT;
    memmove(a->base + mark, g.at, g.len);
    arena_reset(a, mark + g.len);
    *out = (struct str){(const char *)a->base + mark, g.len};
    return 0;
}

enum coding { CODING_NONE, CODING_GZIP, CODING_ZLIB, CODING_DEFLATE, CODING_BROTLI, CODING_ZSTD };

static int undo_inflate(struct arena *a, uint32_t flag, struct str in, size_t body_max,
                        struct str *out, enum outcome *outcome, bool *partial)
{
    struct decoder d = {step_inflate, in, arena_push(a, sizeof(struct inflate_state), 64)};
    if (!d.state)
        return ERR_LIMIT;
    size_t mark = (size_t)((unsigned char *)d.state - a->base); /* the result takes its place */
    isal_inflate_init(d.state);
    ((struct inflate_state *)d.state)->crc_flag = flag;
    return decode(a, mark, &d, body_max, out, outcome, partial);
}

static int undo_brotli(struct arena *a, struct str in, size_t body_max, struct str *out,
                       enum outcome *outcome, bool *partial)
{
    struct decoder d = {step_brotli, in, BrotliDecoderCreateInstance(NULL, NULL, NULL)};
    if (!d.state)
        return err_set(ERR_LIMIT, "crawl: no memory for a brotli decoder");
    int rc = decode(a, arena_mark(a), &d, body_max, out, outcome, partial);
    BrotliDecoderDestroyInstance(d.state);
    return rc;
}

static int undo_zstd(struct arena *a, struct str in, size_t body_max, struct str *out,
                     enum outcome *outcome, bool *partial)
{
    struct decoder d = {step_zstd, in, ZSTD_createDStream()};
    if (!d.state)
        return err_set(ERR_LIMIT, "crawl: no memory for a zstd decoder");
    ZSTD_DCtx_setParameter(d.state, ZSTD_d_windowLogMax, ZSTD_WINDOW_LOG);
    int rc = decode(a, arena_mark(a), &d, body_max, out, outcome, partial);
    ZSTD_freeDStream(d.state);
    return rc;
}

/* ---- chunks ---- */
static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* The size line at *at: hexadecimal digits, then blanks or an extension, then the line end. */
static bool chunk_size(struct str body, size_t *at, uint64_t *size)
{
    size_t i = *at;
    int digits = 0;
    for (*size = 0; i < body.len && hex_value(body.ptr[i]) >= 0; i++, digits++) {
        if (digits >= 15)
            return false;
        *size = *size * 16 + (uint64_t)hex_value(body.ptr[i]);
    }
    if (digits == 0)
        return false;
    while (i < body.len && (body.ptr[i] == ' ' || body.ptr[i] == '\t'))
        i++;
    if (i < body.len && body.ptr[i] == ';')
        while (i < body.len && body.ptr[i] != '\n' && body.ptr[i] != '\r')
            i++;
    i += i < body.len && body.ptr[i] == '\r';
    if (i >= body.len || body.ptr[i] != '\n')
        return false;
    *at = i + 1;
    return true;
}

bool http_chunk_next(struct http_chunks *c, struct str *piece)
{
    uint64_t size;
    size_t at = c->at, left = c->body.len - at;
    if (c->ended)
        return false;
    if (at > 0) { /* the line end behind a chunk */
        at += at < c->body.len && c->body.ptr[at] == '\r';
        at += at < c->body.len && c->body.ptr[at] == '\n';
    }
    if (at == c->body.len) { /* the last chunk is missing, as many servers leave it */
        c->ended = true;
        return false;
    }
    if (!chunk_size(c->body, &at, &size)) {
        *piece = str_slice(c->body, c->at, c->body.len);
        c->ended = true;
        c->lied = c->at == 0;
        return c->at > 0 && left > 0;
    }
    c->ended = size == 0;
    left = c->body.len - at;
    c->partial |= size > left;
    *piece = str_slice(c->body, at, at + (size < left ? (size_t)size : left));
    c->at = at + piece->len;
    c->ended |= size > left;
    return piece->len > 0;
}

/* Undoes chunked coding. A first size that is none: the header lied, the body stays. A later one:
 * what is left is taken as it stands, since the bytes before were right. */
static int undo_chunks(struct arena *a, struct str body, struct str *out, bool *partial)
{
    struct http_chunks chunks = {.body = body};
    struct str piece;
    bool more = http_chunk_next(&chunks, &piece);
    if (chunks.lied || body.len == 0)
        return 0;
    char *to = arena_push(a, body.len, 1);
    if (!to)
        return ERR_LIMIT;
    size_t mark = (size_t)((unsigned char *)to - a->base), len = 0;
    for (; more; more = http_chunk_next(&chunks, &piece)) {
        memcpy(to + len, piece.ptr, piece.len);
        len += piece.len;
    }
    *partial |= chunks.partial;
    arena_reset(a, mark + len);
    *out = (struct str){to, len};
    return 0;
}

/* ---- header ---- */
/* Cuts the header off: up to the first blank line, which belongs to neither; without one the block
 * is all header. */
static struct str split_header(struct str block, struct str *body)
{
    for (size_t i = 0; i < block.len;) {
        const char *line = memchr(block.ptr + i, '\n', block.len - i);
        if (!line)
            break;
        i = (size_t)(line - block.ptr) + 1;
        size_t skip = i < block.len && block.ptr[i] == '\r' ? 1 : 0;
        if (i + skip < block.len && block.ptr[i + skip] == '\n') {
            *body = str_slice(block, i + skip + 1, block.len);
            return str_slice(block, 0, i);
        }
    }
    *body = str_slice(block, block.len, block.len);
    return block;
}

/* The number of "HTTP/1.1 200 OK", also without version or with odd blanks; 0: none. */
static int status_of(struct str header)
{
    struct str rest, line = str_cut(header, '\n', &rest);
    size_t i = str_find_char(line, ' ');
    for (i = i == SIZE_MAX ? line.len : i; i < line.len && line.ptr[i] == ' ';)
        i++;
    int status = 0;
    for (int digit = 0; digit < 3; digit++, i++) {
        if (i >= line.len || line.ptr[i] < '0' || line.ptr[i] > '9')
            return 0;
        status = status * 10 + (line.ptr[i] - '0');
    }
    return i < line.len && line.ptr[i] >= '0' && line.ptr[i] <= '9' ? 0 : status;
}

/* First value of the field, folded lines included as they stand; len 0 when absent or empty. */
static struct str field_of(struct str header, const char *name)
{
    struct str rest = header;
    str_cut(rest, '\n', &rest);
    while (rest.len) {
        struct str value, line = str_cut(rest, '\n', &rest);
        if (!str_eq_nocase(str_trim(str_cut(line, ':', &value)), str_of(name)) || !value.ptr)
            continue;
        while (rest.len && (rest.ptr[0] == ' ' || rest.ptr[0] == '\t')) {
            struct str more = str_cut(rest, '\n', &rest);
            value.len = (size_t)(more.ptr + more.len - value.ptr);
        }
        value = str_trim(value);
        if (value.len)
            return value;
    }
    return (struct str){"", 0};
}

/* charset=... among the parameters of a content type, without quotes. */
static struct str charset_of(struct str type)
{
    struct str rest = type;
    str_cut(rest, ';', &rest);
    while (rest.len) {
        struct str value, part = str_cut(rest, ';', &rest);
        if (!str_eq_nocase(str_trim(str_cut(part, '=', &value)), STR("charset")) || !value.ptr)
            continue;
        value = str_trim(value);
        while (value.len && (value.ptr[0] == '"' || value.ptr[0] == '\''))
            value = str_slice(value, 1, value.len);
        while (value.len && strchr("\"'", value.ptr[value.len - 1]) && value.ptr[value.len - 1])
            value.len--;
        return str_trim(value);
    }
    return (struct str){"", 0};
}

static int lower_type(struct arena *a, struct str type, struct str *out)
{
    struct str rest, bare = str_trim(str_cut(type, ';', &rest));
    bare = str_trim(str_cut(bare, ',', &rest)); /* two headers joined by a proxy */
    char *at = arena_strdup(a, bare);
    if (!at)
        return ERR_LIMIT;
    for (size_t i = 0; i < bare.len; i++)
        if (at[i] >= 'A' && at[i] <= 'Z')
            at[i] = (char)(at[i] + 32);
    *out = (struct str){at, bare.len};
    return 0;
}

/* ---- encodings ---- */
static bool has_magic(struct str s, const char *magic, size_t len)
{
    return s.len >= len && memcmp(s.ptr, magic, len) == 0;
}

static bool is_zlib(struct str s)
{
    if (s.len < 2)
        return false;
    unsigned first = (unsigned char)s.ptr[0], second = (unsigned char)s.ptr[1];
    return (first & 0x0f) == 8 && first >> 4 <= 7 && (first * 256 + second) % 31 == 0
           && !(second & 0x20);
}

/* What the bytes and the header's word together say. Bytes win: Common Crawl, proxies and other
 * crawlers undo encodings and leave the word, or send them without it. */
static enum coding coding_of(struct str word, struct str body, bool text_type)
{
    bool named = word.len > 0;
    if (has_magic(body, "\x1f\x8b\x08", 3) && (named || text_type))
        return CODING_GZIP;
    if (has_magic(body, "\x28\xb5\x2f\xfd", 4) && (named || text_type))
        return CODING_ZSTD;
    if (str_eq_nocase(word, STR("deflate")))
        return is_zlib(body) ? CODING_ZLIB : CODING_DEFLATE;
    return str_eq_nocase(word, STR("br")) ? CODING_BROTLI : CODING_NONE;
}

static int undo_layer(struct arena *a, enum coding coding, size_t body_max,
                      struct http_response *http, enum outcome *outcome)
{
    struct str in = http->body, *out = &http->body;
    bool *partial = &http->partial;
    *outcome = NOT_CODED;
    switch (coding) {
    case CODING_NONE: return 0;
    case CODING_GZIP: return undo_inflate(a, ISAL_GZIP, in, body_max, out, outcome, partial);
    case CODING_ZLIB: return undo_inflate(a, ISAL_ZLIB, in, body_max, out, outcome, partial);
    case CODING_DEFLATE: return undo_inflate(a, ISAL_DEFLATE, in, body_max, out, outcome, partial);
    case CODING_BROTLI: return undo_brotli(a, in, body_max, out, outcome, partial);
    case CODING_ZSTD: return undo_zstd(a, in, body_max, out, outcome, partial);
    }
    return 0;
}

static int undo_codings(struct arena *a, struct str header, size_t body_max,
                        struct http_response *http)
{
    struct str words = field_of(header, "Content-Encoding");
    const struct str type = http->content_type;
    bool text_type = type.len == 0 || str_starts(type, "text/")
                     || str_is(type, "application/xhtml+xml");
    for (int layer = 0; layer < LAYERS_MAX && !http->too_large; layer++) {
        size_t comma = words.len; /* the last word was applied last */
        while (comma > 0 && words.ptr[comma - 1] != ',')
            comma--;
        struct str word = str_trim(str_slice(words, comma, words.len));
        words = str_slice(words, 0, comma ? comma - 1 : 0);
        enum outcome outcome;
        TRY(undo_layer(a, coding_of(word, http->body, text_type), body_max, http, &outcome));
        http->too_large = outcome == TOO_LARGE;
        if (outcome == NOT_CODED && words.len == 0)
            break;
    }
    return 0;
}

struct str http_header(struct str block, struct str *body)
{
    *body = block;
    if (!str_starts_nocase(block, "HTTP/"))
        return (struct str){"", 0};
    split_header(block, body);
    return str_slice(block, 0, block.len - body->len);
}

struct str http_field(struct str header, const char *name)
{
    struct str value = field_of(header, name);
    return value.len ? value : (struct str){NULL, 0};
}

int http_parse(struct arena *a, struct str block, size_t body_max, struct http_response *out)
{
    *out = (struct http_response){
        .content_type = {"", 0}, .charset = {"", 0}, .header = {"", 0}, .body = block};
    struct str header = {"", 0};
    for (int i = 0; i < INTERIM_MAX && str_starts_nocase(out->body, "HTTP/"); i++) {
        header = split_header(out->body, &out->body);
        out->status = status_of(header);
        if (out->status / 100 != 1)
            break;
    }
    if (!header.len)
        return 0;
    out->header = header;
    struct str type = field_of(header, "Content-Type");
    struct str coding = field_of(header, "Transfer-Encoding");
    out->charset = charset_of(type);
    TRY(lower_type(a, type, &out->content_type));
    struct str last, word;
    for (word = str_cut(coding, ',', &last); last.ptr; word = str_cut(last, ',', &last))
        continue;
    if (str_eq_nocase(str_trim(word), STR("chunked")))
        TRY(undo_chunks(a, out->body, &out->body, &out->partial));
    if (out->body.len > body_max)
        out->too_large = true;
    TRY(undo_codings(a, header, body_max, out));
    if (out->too_large)
        out->body = (struct str){"", 0};
    return 0;
}

/* json - a parser without recursion and a writer whose text is safe inside HTML. */
#include "core/json.h"

#include "core/err.h"

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- reading ---- */

struct parser {
    struct arena *arena;
    const char *start, *at, *end;
    struct json *open[JSON_DEPTH_MAX];   /* containers around the place, outermost first */
    struct json *last[JSON_DEPTH_MAX];   /* the newest child of each */
    int depth;
};

static int wrong(const struct parser *p, const char *what)
{
    return err_set(ERR_FORMAT, "json: byte %zu: %s", (size_t)(p->at - p->start), what);
}

static void skip_space(struct parser *p)
{
    while (p->at < p->end && (*p->at == ' ' || *p->at == '\n' || *p->at == '\r' || *p->at == '\t'))
        p->at++;
}

static int hex4(const char *s, const char *end)
{
    int value = 0;
    if (end - s < 4)
        return -1;
    for (int i = 0; i < 4; i++) {
        char c = s[i];
        int digit = c >= '0' && c <= '9' ? c - '0'
                  : c >= 'a' && c <= 'f' ? c - 'a' + 10
                  : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
        if (digit < 0)
            return -1;
        value = value << 4 | digit;
    }
    return value;
}

/* \uXXXX, and a second one when the first is a high surrogate. A lone surrogate is U+FFFD: Python
 * writes them for text it could not decode, and one broken letter is no reason to lose a page. */
static int read_escape_u(struct parser *p, uint32_t *cp)
{
    int unit = hex4(p->at, p->end);
    if (unit < 0)
        return wrong(p, "\\u needs four hex digits");
    p->at += 4;
    *cp = (uint32_t)unit;
    if (unit < 0xD800 || unit > 0xDFFF)
        return 0;
    *cp = 0xFFFD;
    if (unit <= 0xDBFF && p->end - p->at >= 6 && p->at[0] == '\\' && p->at[1] == 'u') {
        int low = hex4(p->at + 2, p->end);
        if (low >= 0xDC00 && low <= 0xDFFF) {
            *cp = 0x10000 + (((uint32_t)unit - 0xD800) << 10) + ((uint32_t)low - 0xDC00);
            p->at += 6;
        }
    }
    return 0;
}

/* Behind a backslash. Writes what it stands for at *to and moves it on. */
static int read_escape(struct parser *p, char **to)
{
    static const char from[] = "\"\\/bfnrt", into[] = "\"\\/\b\f\n\r\t";
    if (p->at == p->end)
        return wrong(p, "the string does not end");
    const char *known = *p->at ? strchr(from, *p->at) : NULL;
    if (known) {
        *(*to)++ = into[known - from];
        p->at++;
        return 0;
    }
    if (*p->at != 'u')
        return wrong(p, "unknown escape in a string");
    p->at++;
    uint32_t cp = 0;
    TRY(read_escape_u(p, &cp));
    *to += utf8_encode(cp, *to);
    return 0;
}

/* Copies s, each byte that is not valid UTF-8 becoming U+FFFD; to has room for 3 * s.len. */
static char *copy_repaired(char *to, struct str s)
{
    const char *at = s.ptr, *end = s.ptr + s.len;
    while (at < end) {
        uint32_t cp;
        at += utf8_decode(at, end, &cp);
        to += utf8_encode(cp, to);
    }
    return to;
}

/* The first quote, backslash or control character, eight bytes at a time: x - 0x01.. & ~x has a
 * high bit exactly when some byte of x is 0, v - 0x20.. & ~v when some byte of v is below 0x20. */
static const char *plain_end(const char *at, const char *end)
{
    const uint64_t ones = 0x0101010101010101u, highs = ones * 0x80;
    for (; end - at >= 8; at += 8) {
        uint64_t eight;
        memcpy(&eight, at, 8);
        uint64_t quote = eight ^ ones * '"', back = eight ^ ones * '\\';
        uint64_t hit = ((quote - ones) & ~quote) | ((back - ones) & ~back) |
                       ((eight - ones * 0x20) & ~eight);
        if (hit & highs)
            break;
    }
    while (at < end && *at != '"' && *at != '\\' && (unsigned char)*at >= 0x20)
        at++;
    return at;
}

static int read_string(struct parser *p, struct str *out)
{
    assert(*p->at == '"');
    const char *first = ++p->at;
    /* Find the end first: the copy then needs one piece of memory. No form grows but broken bytes,
     * from one to three, and those only where there is one. */
    const char *close = plain_end(first, p->end);
    while (close < p->end && *close == '\\')
        close = plain_end(close + 2 < p->end ? close + 2 : p->end, p->end);
    if (close == p->end)
        return wrong(p, "the string does not end");
    if (*close != '"') {
        p->at = close;
        return wrong(p, "a control character stands bare in a string");
    }
    struct str body = {first, (size_t)(close - first)};
    bool valid = utf8_valid(body);
    size_t room = valid ? body.len : body.len * 3;
    char *text = arena_push(p->arena, room + 1, 1), *to = text;
    if (!text)
        return ERR_LIMIT;
    while (p->at < close) {
        const char *stop = plain_end(p->at, close);
        size_t len = (size_t)(stop - p->at);
        to = valid ? (char *)mempcpy(to, p->at, len) : copy_repaired(to, (struct str){p->at, len});
        p->at = stop;
        if (p->at == close)
            break;
        p->at++;
        TRY(read_escape(p, &to));
    }
    p->at = close + 1;
    *to = 0;
    *out = (struct str){text, (size_t)(to - text)};
    return 0;
}

static bool is_digit(const struct parser *p)
{
    return p->at < p->end && *p->at >= '0' && *p->at <= '9';
}

static int skip_digits(struct parser *p)
{
    if (!is_digit(p))
        return wrong(p, "a digit is missing in a number");
    while (is_digit(p))
        p->at++;
    return 0;
}

static int read_number(struct parser *p, struct json *value)
{
    const char *first = p->at;
    bool whole = true;
    if (*p->at == '-')
        p->at++;
    if (p->at < p->end && *p->at == '0') {
        p->at++;
        if (is_digit(p))
            return wrong(p, "a number may not start with 0");
    } else {
        TRY(skip_digits(p));
    }
    if (p->at < p->end && *p->at == '.') {
        whole = false;
        p->at++;
        TRY(skip_digits(p));
    }
    if (p->at < p->end && (*p->at == 'e' || *p->at == 'E')) {
        whole = false;
        p->at++;
        if (p->at < p->end && (*p->at == '+' || *p->at == '-'))
            p->at++;
        TRY(skip_digits(p));
    }
    value->type = JSON_NUMBER;
    value->string = arena_str(p->arena, (struct str){first, (size_t)(p->at - first)});
    if (!value->string.ptr)
        return ERR_LIMIT;
    int64_t integer;
    if (whole && value->string.len <= 15 && *first != '-' && str_i64(value->string, &integer)) {
        value->number = (double)integer;
        return 0;
    }
    value->number = strtod(value->string.ptr, NULL);
    if (isinf(value->number)) {
        p->at = first;
        return wrong(p, "the number is too large for a double");
    }
    return 0;
}

static int read_word(struct parser *p, struct json *value)
{
    static const struct { const char *text; enum json_type type; bool boolean; } words[] = {
        {"null", JSON_NULL, false}, {"true", JSON_BOOL, true}, {"false", JSON_BOOL, false}};
    struct str rest = {p->at, (size_t)(p->end - p->at)};
    for (size_t i = 0; i < COUNT_OF(words); i++) {
        if (!str_starts(rest, words[i].text))
            continue;
        p->at += strlen(words[i].text);
        value->type = words[i].type;
        value->boolean = words[i].boolean;
        return 0;
    }
    return wrong(p, "a value was expected");
}

/* A new value at the place, linked behind its elder sibling. */
static struct json *add_value(struct parser *p, struct str key)
{
    struct json *value = arena_array_zero(p->arena, struct json, 1);
    if (!value)
        return NULL;
    value->key = key;
    if (p->depth) {
        struct json *parent = p->open[p->depth - 1], **last = &p->last[p->depth - 1];
        *(*last ? &(*last)->next : &parent->child) = value;
        *last = value;
        parent->count++;
    }
    return value;
}

/* Reads one value; a container is only opened. */
static int read_value(struct parser *p, struct str key, struct json **out)
{
    if (p->at == p->end)
        return wrong(p, "the text ends where a value was expected");
    struct json *value = add_value(p, key);
    if (!value)
        return ERR_LIMIT;
    *out = value;
    switch (*p->at) {
    case '{': case '[':
        if (p->depth == JSON_DEPTH_MAX)
            return wrong(p, "nested deeper than 64 levels");
        value->type = *p->at++ == '{' ? JSON_OBJECT : JSON_ARRAY;
        p->open[p->depth] = value;
        p->last[p->depth++] = NULL;
        return 0;
    case '"':
        value->type = JSON_STRING;
        return read_string(p, &value->string);
    case '-': case '0': case '1': case '2': case '3': case '4':
    case '5': case '6': case '7': case '8': case '9':
        return read_number(p, value);
    default:
        return read_word(p, value);
    }
}

/* Inside a container: its end, or a comma when one is due, then a key when it is an object. */
static int read_next(struct parser *p)
{
    struct json *parent = p->open[p->depth - 1], *value;
    struct str key = {0};
    bool object = parent->type == JSON_OBJECT;
    skip_space(p);
    if (p->at < p->end && *p->at == (object ? '}' : ']')) {
        p->at++;
        p->depth--;
        return 0;
    }
    if (parent->count) {
        if (p->at == p->end || *p->at != ',')
            return wrong(p, object ? "expected , or }" : "expected , or ]");
        p->at++;
        skip_space(p);
    }
    if (object) {
        if (p->at == p->end || *p->at != '"')
            return wrong(p, "expected a key in double quotes");
        TRY(read_string(p, &key));
        skip_space(p);
        if (p->at == p->end || *p->at != ':')
            return wrong(p, "expected : behind a key");
        p->at++;
        skip_space(p);
    }
    return read_value(p, key, &value);
}

int json_parse(struct arena *a, struct str text, struct json **out)
{
    struct parser p = {.arena = a, .start = text.ptr, .at = text.ptr, .end = text.ptr + text.len};
    if (str_starts(text, "\xEF\xBB\xBF"))
        p.at += 3;
    skip_space(&p);
    TRY(read_value(&p, (struct str){0}, out));
    while (p.depth)
        TRY(read_next(&p));
    skip_space(&p);
    return p.at == p.end ? 0 : wrong(&p, "something follows the value");
}

const struct json *json_get(const struct json *object, const char *key)
{
    const struct json *found = NULL;
    if (!object || object->type != JSON_OBJECT)
        return NULL;
    size_t len = strlen(key);
    for (const struct json *child = object->child; child; child = child->next)
        if (child->key.len == len && memcmp(child->key.ptr, key, len) == 0)
            found = child;
    return found;
}

struct str json_str(const struct json *object, const char *key, struct str preset)
{
    const struct json *value = json_get(object, key);
    return value && value->type == JSON_STRING ? value->string : preset;
}

double json_num(const struct json *object, const char *key, double preset)
{
    const struct json *value = json_get(object, key);
    return value && value->type == JSON_NUMBER ? value->number : preset;
}

bool json_u64(const struct json *value, uint64_t *out)
{
    return value && value->type == JSON_NUMBER && str_u64(value->string, out);
}

/* ---- writing ---- */

void json_begin(struct json_writer *w, struct buf *to)
{
    *w = (struct json_writer){.to = to};
}

static void before_value(struct json_writer *w)
{
    if (w->after_key) {
        w->after_key = false;
        return;
    }
    if (w->depth == 0)
        return;
    if (!w->first[w->depth - 1])
        buf_char(w->to, ',');
    w->first[w->depth - 1] = false;
}

void json_open(struct json_writer *w, char bracket)
{
    assert(bracket == '{' || bracket == '[');
    assert(w->depth < JSON_DEPTH_MAX);
    before_value(w);
    buf_char(w->to, bracket);
    w->first[w->depth++] = true;
}

void json_close(struct json_writer *w, char bracket)
{
    assert(bracket == '}' || bracket == ']');
    assert(w->depth > 0);
    assert(!w->after_key);
    buf_char(w->to, bracket);
    w->depth--;
}

/* Writes the escaped form of the code point at the place: its length in bytes, or 0 when it may be
 * copied as it is. */
static int escape(struct buf *to, const char *at, const char *end)
{
    unsigned char c = (unsigned char)*at;
    static const char from[] = "\"\\\b\f\n\r\t", into[] = "\"\\bfnrt";
    if (c < 0x80) {
        const char *known = c ? strchr(from, c) : NULL;
        if (known) {
            char pair[2] = {'\\', into[known - from]};
            buf_add(to, pair, 2);
        } else if (c < 0x20 || c == '<' || c == '>' || c == '&' || c == 0x7F) {
            buf_printf(to, "\\u%04x", c);
        } else {
            return 0;
        }
        return 1;
    }
    uint32_t cp;
    int len = utf8_decode(at, end, &cp);
    if (cp == 0x2028 || cp == 0x2029)
        buf_printf(to, "\\u%04x", cp);
    else if (cp == 0xFFFD)
        buf_add(to, "\xEF\xBF\xBD", 3);
    else
        return 0;
    return len;
}

static void put_string(struct buf *to, struct str s)
{
    const char *at = s.ptr, *end = s.ptr + s.len, *from = at;
    buf_char(to, '"');
    while (at < end) {
        unsigned char c = (unsigned char)*at;
        /* The common run: letters, digits and most punctuation. */
        if (c >= 0x20 && c < 0x7F && c != '"' && c != '\\' && c != '<' && c != '>' && c != '&') {
            at++;
            continue;
        }
        buf_add(to, from, (size_t)(at - from));
        from = at;
        int taken = escape(to, at, end);
        if (taken) {
            at += taken;
            from = at;
        } else {
            uint32_t cp;
            at += utf8_decode(at, end, &cp);
        }
    }
    buf_add(to, from, (size_t)(at - from));
    buf_char(to, '"');
}

void json_key(struct json_writer *w, const char *key)
{
    assert(w->depth > 0);
    assert(!w->after_key);
    before_value(w);
    put_string(w->to, str_of(key));
    buf_char(w->to, ':');
    w->after_key = true;
}

void json_put_str(struct json_writer *w, struct str s)
{
    before_value(w);
    put_string(w->to, s);
}

void json_put_u64(struct json_writer *w, uint64_t v)
{
    before_value(w);
    buf_printf(w->to, "%llu", (unsigned long long)v);
}

void json_put_i64(struct json_writer *w, int64_t v)
{
    before_value(w);
    buf_printf(w->to, "%lld", (long long)v);
}

void json_put_num(struct json_writer *w, double v)
{
    before_value(w);
    if (isfinite(v))
        buf_num(w->to, v);
    else
        buf_text(w->to, "null"); /* JSON has no infinity and no NaN */
}

void json_put_bool(struct json_writer *w, bool v)
{
    before_value(w);
    buf_text(w->to, v ? "true" : "false");
}

void json_put_null(struct json_writer *w)
{
    before_value(w);
    buf_text(w->to, "null");
}

void json_put_raw(struct json_writer *w, struct str json)
{
    before_value(w);
    buf_str(w->to, json);
}

void json_field_open(struct json_writer *w, const char *key, char bracket)
{
    json_key(w, key);
    json_open(w, bracket);
}

void json_field_str(struct json_writer *w, const char *key, struct str value)
{
    json_key(w, key);
    json_put_str(w, value);
}

void json_field_text(struct json_writer *w, const char *key, const char *value)
{
    json_key(w, key);
    json_put_str(w, str_of(value));
}

void json_field_u64(struct json_writer *w, const char *key, uint64_t value)
{
    json_key(w, key);
    json_put_u64(w, value);
}

void json_field_i64(struct json_writer *w, const char *key, int64_t value)
{
    json_key(w, key);
    json_put_i64(w, value);
}

void json_field_num(struct json_writer *w, const char *key, double value)
{
    json_key(w, key);
    json_put_num(w, value);
}

void json_field_bool(struct json_writer *w, const char *key, bool value)
{
    json_key(w, key);
    json_put_bool(w, value);
}

void json_field_raw(struct json_writer *w, const char *key, struct str json)
{
    json_key(w, key);
    json_put_raw(w, json);
}

/* str - borrowed strings, growable buffers, UTF-8. */
#include "core/str.h"

#include <errno.h>
#include <float.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static unsigned char lower(char c) { return (unsigned char)(c >= 'A' && c <= 'Z' ? c + 32 : c); }

static bool equal_nocase(const char *a, const char *b, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (lower(a[i]) != lower(b[i]))
            return false;
    return true;
}

bool str_eq_nocase(struct str a, struct str b)
{
    return a.len == b.len && equal_nocase(a.ptr, b.ptr, a.len);
}

bool str_starts(struct str s, const char *prefix)
{
    size_t len = strlen(prefix);
    return s.len >= len && (len == 0 || memcmp(s.ptr, prefix, len) == 0);
}

bool str_starts_nocase(struct str s, const char *prefix)
{
    size_t len = strlen(prefix);
    return s.len >= len && equal_nocase(s.ptr, prefix, len);
}

bool str_ends(struct str s, const char *suffix)
{
    size_t len = strlen(suffix);
    return s.len >= len && (len == 0 || memcmp(s.ptr + s.len - len, suffix, len) == 0);
}

int str_cmp(struct str a, struct str b)
{
    size_t len = a.len < b.len ? a.len : b.len;
    int order = len ? memcmp(a.ptr, b.ptr, len) : 0;
    return order ? order : a.len < b.len ? -1 : a.len > b.len;
}

static bool is_blank(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

struct str str_trim(struct str s)
{
    while (s.len && is_blank(s.ptr[0]))
        s.ptr++, s.len--;
    while (s.len && is_blank(s.ptr[s.len - 1]))
        s.len--;
    return s;
}

struct str str_slice(struct str s, size_t start, size_t end)
{
    if (end > s.len)
        end = s.len;
    if (start > end)
        start = end;
    return (struct str){s.ptr ? s.ptr + start : NULL, end - start};
}

size_t str_find(struct str s, struct str needle)
{
    if (needle.len == 0)
        return 0;
    if (s.len < needle.len)
        return SIZE_MAX;
    const char *at = memmem(s.ptr, s.len, needle.ptr, needle.len);
    return at ? (size_t)(at - s.ptr) : SIZE_MAX;
}

size_t str_find_char(struct str s, char c)
{
    const char *at = s.len ? memchr(s.ptr, c, s.len) : NULL;
    return at ? (size_t)(at - s.ptr) : SIZE_MAX;
}

size_t str_count(struct str s, struct str needle)
{
    size_t count = 0, at;
    if (needle.len == 0)
        return 0;
    while ((at = str_find(s, needle)) != SIZE_MAX) {
        count++;
        s = str_slice(s, at + needle.len, s.len);
    }
    return count;
}

struct str str_cut(struct str s, char sep, struct str *rest)
{
    size_t at = str_find_char(s, sep);
    if (at == SIZE_MAX) {
        *rest = (struct str){0};
        return s;
    }
    *rest = (struct str){s.ptr + at + 1, s.len - at - 1};
    return (struct str){s.ptr, at};
}

bool str_glob(const char *pattern, struct str s)
{
    const char *star = NULL;
    size_t at = 0, star_at = 0;
    while (at < s.len) {
        if (*pattern == '*') {
            star = pattern++;
            star_at = at;
        } else if (*pattern && (*pattern == '?' || *pattern == s.ptr[at])) {
            pattern++;
            at++;
        } else if (star) {
            pattern = star + 1;
            at = ++star_at;
        } else {
            return false;
        }
    }
    while (*pattern == '*')
        pattern++;
    return *pattern == 0;
}

bool str_u64(struct str s, uint64_t *out)
{
    uint64_t value = 0;
    if (s.len == 0)
        return false;
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] < '0' || s.ptr[i] > '9')
            return false;
        if (__builtin_mul_overflow(value, 10u, &value) ||
            __builtin_add_overflow(value, (uint64_t)(s.ptr[i] - '0'), &value))
            return false;
    }
    *out = value;
    return true;
}

bool str_i64(struct str s, int64_t *out)
{
    bool negative = s.len && s.ptr[0] == '-';
    uint64_t value;
    if (s.len && (s.ptr[0] == '-' || s.ptr[0] == '+'))
        s = str_slice(s, 1, s.len);
    if (!str_u64(s, &value) || value > (uint64_t)INT64_MAX + negative)
        return false;
    *out = negative ? (int64_t)(0 - value) : (int64_t)value;
    return true;
}

bool str_f64(struct str s, double *out)
{
    char text[64], *end;
    if (s.len == 0 || s.len >= sizeof text || is_blank(s.ptr[0]))
        return false;
    memcpy(text, s.ptr, s.len);
    text[s.len] = 0;
    errno = 0;
    *out = strtod(text, &end);
    return *end == 0 && !(errno == ERANGE && isinf(*out));
}

int str_distance(struct str a, struct str b)
{
    enum { NAME_MAX_LEN = 64 };
    int row[NAME_MAX_LEN + 1];
    if (a.len > NAME_MAX_LEN || b.len > NAME_MAX_LEN)
        return NAME_MAX_LEN;
    for (size_t j = 0; j <= b.len; j++)
        row[j] = (int)j;
    for (size_t i = 1; i <= a.len; i++) {
        int diagonal = row[0];
        row[0] = (int)i;
        for (size_t j = 1; j <= b.len; j++) {
            int best = diagonal + (a.ptr[i - 1] != b.ptr[j - 1]);
            diagonal = row[j];
            best = best < row[j] + 1 ? best : row[j] + 1;
            row[j] = best < row[j - 1] + 1 ? best : row[j - 1] + 1;
        }
    }
    return row[b.len];
}

char *buf_room(struct buf *b, size_t len)
{
    size_t max = b->max ? b->max : (size_t)1 << 30;
    if (b->failed || len > max || b->len > max - len) {
        b->failed = true;
        return NULL;
    }
    if (b->len + len + 1 > b->cap) {
        size_t cap = b->cap ? b->cap : 256;
        while (cap < b->len + len + 1)
            cap *= 2;
        char *grown = realloc(b->ptr, cap);
        if (!grown) {
            b->failed = true;
            return NULL;
        }
        b->ptr = grown;
        b->cap = cap;
    }
    return b->ptr + b->len;
}

void buf_add(struct buf *b, const void *bytes, size_t len)
{
    char *at = len ? buf_room(b, len) : NULL;
    if (!at)
        return;
    memcpy(at, bytes, len);
    b->len += len;
}

void buf_str(struct buf *b, struct str s) { buf_add(b, s.ptr, s.len); }

void buf_text(struct buf *b, const char *text) { buf_add(b, text, strlen(text)); }

void buf_char(struct buf *b, char c) { buf_add(b, &c, 1); }

void buf_printf(struct buf *b, const char *fmt, ...)
{
    va_list args, again;
    va_start(args, fmt);
    va_copy(again, args);
    int len = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    char *at = len >= 0 ? buf_room(b, (size_t)len + 1) : NULL;
    if (at) {
        vsnprintf(at, (size_t)len + 1, fmt, again);
        b->len += (size_t)len;
    }
    va_end(again);
}

void buf_num(struct buf *b, double v)
{
    char text[40];
    /* 15 digits always survive the way there and back and 17 always suffice; only numbers below the
     * normal range may need fewer than 15. %g drops trailing zeros. */
    for (int digits = fabs(v) < DBL_MIN ? 1 : 15; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, v);
        if (strtod(text, NULL) == v)
            break;
    }
    buf_text(b, text);
}

const char *buf_cstr(struct buf *b)
{
    if (!b->ptr && !buf_room(b, 1))
        return "";
    b->ptr[b->len] = 0;
    return b->ptr;
}

void buf_free(struct buf *b)
{
    free(b->ptr);
    *b = (struct buf){0};
}

static bool tail_byte(unsigned char c) { return (c & 0xC0) == 0x80; }

int utf8_decode(const char *s, const char *end, uint32_t *cp)
{
    const unsigned char *u = (const unsigned char *)s;
    ptrdiff_t left = end - s;
    if (u[0] < 0x80) {
        *cp = u[0];
        return 1;
    }
    if (u[0] >= 0xC2 && u[0] < 0xE0 && left >= 2 && tail_byte(u[1])) {
        *cp = (u[0] & 31u) << 6 | (u[1] & 63u);
        return 2;
    }
    if (u[0] >= 0xE0 && u[0] < 0xF0 && left >= 3 && tail_byte(u[1]) && tail_byte(u[2])) {
        uint32_t value = (u[0] & 15u) << 12 | (u[1] & 63u) << 6 | (u[2] & 63u);
        if (value >= 0x800 && (value < 0xD800 || value > 0xDFFF)) {
            *cp = value;
            return 3;
        }
    }
    if (u[0] >= 0xF0 && u[0] < 0xF5 && left >= 4 && tail_byte(u[1]) && tail_byte(u[2]) &&
        tail_byte(u[3])) {
        uint32_t value = (u[0] & 7u) << 18 | (u[1] & 63u) << 12 | (u[2] & 63u) << 6 | (u[3] & 63u);
        if (value >= 0x10000 && value <= 0x10FFFF) {
            *cp = value;
            return 4;
        }
    }
    *cp = 0xFFFD;
    return 1;
}

int utf8_encode(uint32_t cp, char out[4])
{
    if (cp > 0x10FFFF || (cp >= 0xD800 && cp <= 0xDFFF))
        cp = 0xFFFD;
    if (cp < 0x80) {
        out[0] = (char)cp;
        return 1;
    }
    if (cp < 0x800) {
        out[0] = (char)(0xC0 | cp >> 6);
        out[1] = (char)(0x80 | (cp & 63));
        return 2;
    }
    if (cp < 0x10000) {
        out[0] = (char)(0xE0 | cp >> 12);
        out[1] = (char)(0x80 | (cp >> 6 & 63));
        out[2] = (char)(0x80 | (cp & 63));
        return 3;
    }
    out[0] = (char)(0xF0 | cp >> 18);
    out[1] = (char)(0x80 | (cp >> 12 & 63));
    out[2] = (char)(0x80 | (cp >> 6 & 63));
    out[3] = (char)(0x80 | (cp & 63));
    return 4;
}

bool utf8_valid(struct str s)
{
    const char *at = s.ptr, *end = s.ptr + s.len;
    while (at < end) {
        uint64_t eight;
        if (end - at >= 8 && (memcpy(&eight, at, 8), (eight & 0x8080808080808080u) == 0)) {
            at += 8;
            continue;
        }
        uint32_t cp;
        int len = utf8_decode(at, end, &cp);
        if (len == 1 && cp == 0xFFFD)
            return false;
        at += len;
    }
    return true;
}

size_t utf8_count(struct str s)
{
    size_t count = 0;
    for (size_t i = 0; i < s.len; i++)
        count += !tail_byte((unsigned char)s.ptr[i]);
    return count;
}

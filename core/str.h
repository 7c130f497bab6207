/* str - borrowed strings, a growable buffer with a hard limit, and UTF-8. */
#ifndef SLUICE_CORE_STR_H
#define SLUICE_CORE_STR_H
#include "core/base.h"
#include <string.h>

static inline struct str str_of(const char *text)
{
    return (struct str){text, text ? strlen(text) : 0};
}
static inline bool str_eq(struct str a, struct str b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}
static inline bool str_is(struct str a, const char *text) { return str_eq(a, str_of(text)); }
bool str_eq_nocase(struct str a, struct str b);   /* ASCII case only */
bool str_starts(struct str s, const char *prefix);
bool str_starts_nocase(struct str s, const char *prefix);
bool str_ends(struct str s, const char *suffix);
int str_cmp(struct str a, struct str b);          /* memcmp order, shorter first */
struct str str_trim(struct str s);                /* ASCII white space at both ends */
struct str str_slice(struct str s, size_t start, size_t end); /* clamped */
/* Position of needle in s, or SIZE_MAX. */
size_t str_find(struct str s, struct str needle);
size_t str_find_char(struct str s, char c);
size_t str_count(struct str s, struct str needle); /* non-overlapping */
/* Cuts s at the first sep: returns the part before it, *rest becomes the part behind (ptr NULL when
 * there was none). */
struct str str_cut(struct str s, char sep, struct str *rest);
/* Shell-style match with * and ? (no brackets); linear time. */
bool str_glob(const char *pattern, struct str s);
/* Whole-string numbers; false when anything is left over or out of range. */
bool str_u64(struct str s, uint64_t *out);
bool str_i64(struct str s, int64_t *out);
bool str_f64(struct str s, double *out);
/* Number of edits between two short names (Levenshtein), for "did you mean". */
int str_distance(struct str a, struct str b);

/* Growable bytes on the heap. Zero-initialise, buf_free at the end. Growing beyond max (0: 1 GiB)
 * or failing to allocate sets `failed`, keeps what is there and ignores further appends: check
 * once. */
struct buf { char *ptr; size_t len, cap, max; bool failed; };
void buf_add(struct buf *b, const void *bytes, size_t len);
void buf_str(struct buf *b, struct str s);
void buf_text(struct buf *b, const char *text);
void buf_char(struct buf *b, char c);
void buf_printf(struct buf *b, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* The shortest decimal form that reads back as v, which must be finite. */
void buf_num(struct buf *b, double v);
/* Reserves at least len more bytes and returns where they start (NULL: failed); then
 * buf_grown(). */
char *buf_room(struct buf *b, size_t len);
static inline void buf_grown(struct buf *b, size_t len) { b->len += len; }
static inline struct str buf_view(const struct buf *b) { return (struct str){b->ptr, b->len}; }
static inline void buf_clear(struct buf *b) { b->len = 0; }
/* NUL-terminated contents ("" when empty); the NUL is not counted in len. */
const char *buf_cstr(struct buf *b);
void buf_free(struct buf *b);

/* Decodes one code point at s (s < end), returns its length in bytes 1..4; on an invalid sequence
 * *cp = 0xFFFD and returns 1. Overlong forms, surrogates and values over 10FFFF are invalid. */
int utf8_decode(const char *s, const char *end, uint32_t *cp);
int utf8_encode(uint32_t cp, char out[4]);        /* length 1..4; surrogates become U+FFFD */
bool utf8_valid(struct str s);
size_t utf8_count(struct str s);                  /* code points of valid UTF-8 */
#endif

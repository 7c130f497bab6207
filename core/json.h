/* json - reading JSON into an arena and writing it into a buffer; hostile input costs bounded
 * time. */
#ifndef SLUICE_CORE_JSON_H
#define SLUICE_CORE_JSON_H
#include "core/arena.h"
#include "core/str.h"

enum { JSON_DEPTH_MAX = 64 };
enum json_type { JSON_NULL, JSON_BOOL, JSON_NUMBER, JSON_STRING, JSON_ARRAY, JSON_OBJECT };
/* A value; children are a linked list in input order. Strings are unescaped UTF-8 in the arena
 * (they may hold NUL). For numbers both forms are kept: `number` and the source text in
 * `string`. */
struct json {
    enum json_type type;
    bool boolean;
    double number;
    struct str key;      /* when the parent is an object */
    struct str string;
    struct json *child, *next;
    uint32_t count;      /* children */
};
/* Parses one value and nothing but white space behind it. ERR_FORMAT with the byte offset; strict
 * but for text: broken UTF-8 and lone surrogates become U+FFFD. NaN, infinities and numbers beyond
 * a double are errors. About 80 bytes of arena a value; ERR_LIMIT when it is full. */
int json_parse(struct arena *a, struct str text, struct json **out);
/* The member, the last one where a key stands twice (as in Python); NULL when absent or no
 * object. */
const struct json *json_get(const struct json *object, const char *key);
/* Typed access with a default for absent or otherwise typed values. */
struct str json_str(const struct json *object, const char *key, struct str preset);
double json_num(const struct json *object, const char *key, double preset);
bool json_u64(const struct json *value, uint64_t *out); /* exact, from the source text */

/* Writing: the caller places commas through the helpers; strings are escaped, invalid UTF-8 becomes
 * U+FFFD, and `<` `>` `&` U+2028 U+2029 are escaped so that the text is safe inside HTML. */
struct json_writer { struct buf *to; int depth; bool first[JSON_DEPTH_MAX]; bool after_key; };
void json_begin(struct json_writer *w, struct buf *to);
void json_open(struct json_writer *w, char bracket);    /* '{' or '[' */
void json_close(struct json_writer *w, char bracket);   /* '}' or ']' */
void json_key(struct json_writer *w, const char *key);
void json_put_str(struct json_writer *w, struct str s);
void json_put_u64(struct json_writer *w, uint64_t v);
void json_put_i64(struct json_writer *w, int64_t v);
void json_put_num(struct json_writer *w, double v);  /* shortest form; NaN and infinity: null */
void json_put_bool(struct json_writer *w, bool v);
void json_put_null(struct json_writer *w);
void json_put_raw(struct json_writer *w, struct str json); /* a value that is JSON already */
/* A member of the open object: its key with its value, or with the bracket that opens its value. */
void json_field_open(struct json_writer *w, const char *key, char bracket);
void json_field_str(struct json_writer *w, const char *key, struct str value);
void json_field_text(struct json_writer *w, const char *key, const char *value);
void json_field_u64(struct json_writer *w, const char *key, uint64_t value);
void json_field_i64(struct json_writer *w, const char *key, int64_t value);
void json_field_num(struct json_writer *w, const char *key, double value);
void json_field_bool(struct json_writer *w, const char *key, bool value);
void json_field_raw(struct json_writer *w, const char *key, struct str json);
#endif

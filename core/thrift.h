/* thrift - the compact protocol of Apache Thrift, as far as Parquet footers and pages need it. */
#ifndef SLUICE_CORE_THRIFT_H
#define SLUICE_CORE_THRIFT_H
#include "core/str.h"

enum { THRIFT_DEPTH_MAX = 32 };
enum thrift_type {
    THRIFT_STOP, THRIFT_TRUE, THRIFT_FALSE, THRIFT_I8, THRIFT_I16, THRIFT_I32, THRIFT_I64,
    THRIFT_DOUBLE, THRIFT_BINARY, THRIFT_LIST, THRIFT_SET, THRIFT_MAP, THRIFT_STRUCT,
};

/* ---- writing into a buffer ---- */
/* Ids must rise within a struct. Field id 0 writes the bare value: an element of a list. */
struct thrift_out { struct buf *to; int depth; int last[THRIFT_DEPTH_MAX]; };
void thrift_start(struct thrift_out *w, struct buf *to);      /* opens the outermost struct */
void thrift_open(struct thrift_out *w, int id);               /* a struct */
void thrift_close(struct thrift_out *w);
void thrift_put_list(struct thrift_out *w, int id, enum thrift_type element, size_t count);
void thrift_put_int(struct thrift_out *w, int id, enum thrift_type type, int64_t value);
void thrift_put_str(struct thrift_out *w, int id, struct str value);
void thrift_put_bool(struct thrift_out *w, int id, bool value); /* as a field only */

/* ---- reading bytes that may be hostile ---- */
/* The first fault sets bad; from then on every call returns 0 or false, so loops end and one check
 * of bad behind them is enough. No call recurses or reads beyond end. */
struct thrift_in { const uint8_t *at, *end; bool bad; };
struct thrift_field { int id; enum thrift_type type; };
/* The next field of a struct; *field must be zeroed before the first. False at the end or when
 * bad. */
bool thrift_next(struct thrift_in *r, struct thrift_field *field);
/* The value of a field of any integer type; another type is a fault. */
int64_t thrift_int(struct thrift_in *r, enum thrift_type type);
struct str thrift_str(struct thrift_in *r, enum thrift_type type); /* points into the input */
/* Elements of a list, which must be of the type asked for and fit the bytes left. */
uint32_t thrift_list(struct thrift_in *r, enum thrift_type type, enum thrift_type element);
bool thrift_struct(struct thrift_in *r, enum thrift_type type); /* checks the type only */
void thrift_skip(struct thrift_in *r, enum thrift_type type);
#endif

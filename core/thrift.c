/* thrift - zigzag numbers, field headers and a skip without recursion. */
#include "core/thrift.h"

#include <assert.h>

static void put_varint(struct buf *to, uint64_t value)
{
    while (value >= 0x80) {
        buf_char(to, (char)(value | 0x80));
        value >>= 7;
    }
    buf_char(to, (char)value);
}

static void put_header(struct thrift_out *w, int id, enum thrift_type type)
{
    if (id == 0)
        return;
    int step = id - w->last[w->depth];
    assert(step > 0 && step < 16);
    buf_char(w->to, (char)(step << 4 | (int)type));
    w->last[w->depth] = id;
}

void thrift_start(struct thrift_out *w, struct buf *to) { *w = (struct thrift_out){.to = to}; }

void thrift_open(struct thrift_out *w, int id)
{
    put_header(w, id, THRIFT_STRUCT);
    assert(w->depth + 1 < THRIFT_DEPTH_MAX);
    w->last[++w->depth] = 0;
}

void thrift_close(struct thrift_out *w)
{
    buf_char(w->to, THRIFT_STOP);
    w->depth--;
}

void thrift_put_list(struct thrift_out *w, int id, enum thrift_type element, size_t count)
{
    put_header(w, id, THRIFT_LIST);
    if (count < 15) {
        buf_char(w->to, (char)(count << 4 | (size_t)element));
        return;
    }
    buf_char(w->to, (char)(0xF0 | (int)element));
    put_varint(w->to, count);
}

void thrift_put_int(struct thrift_out *w, int id, enum thrift_type type, int64_t value)
{
    put_header(w, id, type);
    if (type == THRIFT_I8)
        buf_char(w->to, (char)value);
    else
        put_varint(w->to, (uint64_t)value << 1 ^ (uint64_t)(value >> 63));
}

void thrift_put_str(struct thrift_out *w, int id, struct str value)
{
    put_header(w, id, THRIFT_BINARY);
    put_varint(w->to, value.len);
    buf_str(w->to, value);
}

void thrift_put_bool(struct thrift_out *w, int id, bool value)
{
    assert(id > 0);
    put_header(w, id, value ? THRIFT_TRUE : THRIFT_FALSE);
}

static uint8_t get_byte(struct thrift_in *r)
{
    if (r->bad || r->at == r->end) {
        r->bad = true;
        return 0;
    }
    return *r->at++;
}

static uint64_t get_varint(struct thrift_in *r)
{
    uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
        uint8_t byte = get_byte(r);
        value |= (uint64_t)(byte & 127) << shift;
        if (byte < 128)
            return r->bad ? 0 : value;
    }
    r->bad = true;
    return 0;
}

static int64_t get_zigzag(struct thrift_in *r)
{
    uint64_t value = get_varint(r);
    return (int64_t)(value >> 1 ^ (0 - (value & 1)));
}

bool thrift_next(struct thrift_in *r, struct thrift_field *field)
{
    uint8_t byte = get_byte(r);
    if (r->bad || byte == THRIFT_STOP)
        return false;
    int64_t id = byte >> 4 ? field->id + (byte >> 4) : get_zigzag(r);
    int type = byte & 15;
    if (r->bad || id < INT16_MIN || id > INT16_MAX || type == THRIFT_STOP || type > THRIFT_STRUCT) {
        r->bad = true;
        return false;
    }
    field->id = (int)id;
    field->type = (enum thrift_type)type;
    return true;
}

int64_t thrift_int(struct thrift_in *r, enum thrift_type type)
{
    if (type == THRIFT_TRUE || type == THRIFT_FALSE)
        return type == THRIFT_TRUE;
    if (type == THRIFT_I8)
        return (int8_t)get_byte(r);
    if (type == THRIFT_I16 || type == THRIFT_I32 || type == THRIFT_I64)
        return get_zigzag(r);
    r->bad = true;
    return 0;
}

struct str thrift_str(struct thrift_in *r, enum thrift_type type)
{
    uint64_t len = type == THRIFT_BINARY ? get_varint(r) : 0;
    if (type != THRIFT_BINARY || r->bad || len > (uint64_t)(r->end - r->at)) {
        r->bad = true;
        return STR("");
    }
    struct str value = {(const char *)r->at, (size_t)len};
    r->at += len;
    return value;
}

static uint32_t get_list(struct thrift_in *r, enum thrift_type *element)
{
    uint8_t byte = get_byte(r);
    uint64_t count = byte >> 4 == 15 ? get_varint(r) : byte >> 4;
    *element = (enum thrift_type)(byte & 15);
    /* Every element takes a byte or more, so a count beyond the bytes left is a lie. */
    if (r->bad || count > (uint64_t)(r->end - r->at) || count > UINT32_MAX) {
        r->bad = true;
        return 0;
    }
    return (uint32_t)count;
}

uint32_t thrift_list(struct thrift_in *r, enum thrift_type type, enum thrift_type element)
{
    enum thrift_type found = element;
    uint32_t count = type == THRIFT_LIST ? get_list(r, &found) : 0;
    if (type != THRIFT_LIST || (found != element && count)) {
        r->bad = true;
        return 0;
    }
    return count;
}

bool thrift_struct(struct thrift_in *r, enum thrift_type type)
{
    if (type != THRIFT_STRUCT)
        r->bad = true;
    return !r->bad;
}

static void skip_bytes(struct thrift_in *r, uint64_t count)
{
    if (r->bad || count > (uint64_t)(r->end - r->at))
        r->bad = true;
    else
        r->at += count;
}

/* What is open while skipping: a struct (left SKIP_STRUCT) or so many elements of one or two types.
 */
struct skip_level {
    uint64_t left;
    enum thrift_type type[2];
    struct thrift_field field;
};
#define SKIP_STRUCT UINT64_MAX

static bool skip_open(struct thrift_in *r, enum thrift_type type, struct skip_level *level)
{
    *level = (struct skip_level){.left = SKIP_STRUCT};
    if (type == THRIFT_STRUCT)
        return true;
    if (type == THRIFT_LIST || type == THRIFT_SET) {
        level->left = get_list(r, &level->type[0]);
        level->type[1] = level->type[0];
        return true;
    }
    if (type != THRIFT_MAP)
        return false;
    uint64_t pairs = get_varint(r);
    uint8_t types = pairs ? get_byte(r) : 0;
    if (pairs > (uint64_t)(r->end - r->at))
        r->bad = true;
    level->left = pairs * 2;
    level->type[0] = (enum thrift_type)(types & 15); /* the last one left is a value */
    level->type[1] = (enum thrift_type)(types >> 4);
    return true;
}

static void skip_plain(struct thrift_in *r, enum thrift_type type, bool in_list)
{
    if (type == THRIFT_TRUE || type == THRIFT_FALSE)
        skip_bytes(r, in_list); /* a field's header holds its value */
    else if (type == THRIFT_DOUBLE)
        skip_bytes(r, 8);
    else if (type == THRIFT_BINARY)
        thrift_str(r, type);
    else
        thrift_int(r, type);
}

void thrift_skip(struct thrift_in *r, enum thrift_type type)
{
    struct skip_level level[THRIFT_DEPTH_MAX];
    int depth = 0;
    if (!skip_open(r, type, &level[0])) {
        skip_plain(r, type, false);
        return;
    }
    while (depth >= 0 && !r->bad) {
        struct skip_level *top = &level[depth];
        enum thrift_type next;
        if (top->left == SKIP_STRUCT) {
            if (!thrift_next(r, &top->field)) {
                depth--;
                continue;
            }
            next = top->field.type;
        } else {
            if (top->left == 0) {
                depth--;
                continue;
            }
            next = top->type[--top->left & 1];
        }
        if (next < THRIFT_LIST)
            skip_plain(r, next, top->left != SKIP_STRUCT);
        else if (depth + 1 == THRIFT_DEPTH_MAX)
            r->bad = true;
        else
            skip_open(r, next, &level[++depth]);
    }
}

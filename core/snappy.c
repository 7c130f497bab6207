/* snappy - literals and copies, as google/snappy's format_description.txt defines them. */
#include "core/snappy.h"

#include <string.h>

struct snappy {
    const unsigned char *at, *end;
    unsigned char *to;
    size_t done, size;
};

static bool get_little(struct snappy *s, int bytes, size_t *value)
{
    if (s->end - s->at < bytes)
        return false;
    *value = 0;
    for (int i = 0; i < bytes; i++)
        *value |= (size_t)s->at[i] << 8 * i;
    s->at += bytes;
    return true;
}

static bool get_size(struct snappy *s, size_t *size)
{
    *size = 0;
    for (int shift = 0; shift < 35 && s->at < s->end; shift += 7) {
        unsigned char byte = *s->at++;
        *size |= (size_t)(byte & 127) << shift;
        if (byte < 128)
            return true;
    }
    return false;
}

static bool put_literal(struct snappy *s, size_t tag)
{
    size_t len = tag >> 2;
    if (len >= 60 && !get_little(s, (int)len - 59, &len))
        return false;
    len++;
    if (len > (size_t)(s->end - s->at) || len > s->size - s->done)
        return false;
    memcpy(s->to + s->done, s->at, len);
    s->at += len;
    s->done += len;
    return true;
}

static bool put_copy(struct snappy *s, size_t tag)
{
    size_t len = (tag >> 2) + 1, offset;
    if ((tag & 3) == 1) {
        len = (tag >> 2 & 7) + 4;
        if (!get_little(s, 1, &offset))
            return false;
        offset |= tag >> 5 << 8;
    } else if (!get_little(s, (tag & 3) == 2 ? 2 : 4, &offset)) {
        return false;
    }
    if (offset == 0 || offset > s->done || len > s->size - s->done)
        return false;
    unsigned char *to = s->to + s->done;
    const unsigned char *from = to - offset;
    for (size_t i = 0; i < len; i++)
        to[i] = from[i]; /* may overlap: a short offset repeats itself */
    s->done += len;
    return true;
}

bool snappy_decode(struct str from, unsigned char *to, size_t to_len)
{
    const unsigned char *at = (const unsigned char *)from.ptr;
    struct snappy s = {.at = at, .end = at + from.len, .to = to};
    if (!get_size(&s, &s.size) || s.size != to_len)
        return false;
    while (s.at < s.end) {
        size_t tag = *s.at++;
        if (!((tag & 3) == 0 ? put_literal(&s, tag) : put_copy(&s, tag)))
            return false;
    }
    return s.done == s.size;
}

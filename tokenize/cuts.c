/* cuts - places inside a piece where no token can reach across, so that each side is merged alone.
 *
 * BPE joins two neighbours only into a token. Where no token of the vocabulary holds the end of one
 * character followed by the beginning of the next, nothing is ever joined across that place, and
 * the piece may be cut there: the ids stay the same. Text written without spaces (Chinese,
 * Japanese, Thai) makes pieces as long as sentences, which hardly ever come again; cut like this
 * they fall into words and characters that do, and that the piece cache knows. */
#include "core/err.h"
#include "tokenize/bpe.h"

#include <stdlib.h>

enum { FILTER_BITS = 20 };

static inline bool is_tail(unsigned char c) { return (c & 0xC0) == 0x80; }

static inline uint32_t char_len(unsigned char lead)
{
    return lead < 0x80 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
}

/* Place in the filter of a pair: the last bytes of a character and the first ones of the next, each
 * as a big-endian number. Two pairs may share a place: then a cut is missed, no harm is done. */
static inline uint64_t pair_place(uint32_t left, uint32_t right)
{
    return ((uint64_t)left << 32 | right) * 0xD6E8FEB86659FD93u >> (64 - FILTER_BITS);
}

static inline bool pair_has(const struct cuts *c, uint32_t left, uint32_t right)
{
    uint64_t bit = pair_place(left, right);
    return c->filter[bit >> 6] >> (bit & 63) & 1;
}

static inline uint32_t bytes_number(const unsigned char *p, uint32_t len)
{
    uint32_t number = 0;
    for (uint32_t i = 0; i < len; i++)
        number = number << 8 | p[i];
    return number;
}

static void token_places(struct cuts *c, struct str token)
{
    const unsigned char *first = (const unsigned char *)token.ptr, *end = first + token.len;
    for (const unsigned char *at = first + 1; at < end; at++) {
        if (is_tail(*at))
            continue;
        uint32_t left = 1, right = char_len(*at);
        while (left < 4 && at - left > first && is_tail(at[-(int)left]))
            left++;
        if (is_tail(at[-(int)left]))
            c->part_left[at[-(int)left]] = true;
        if (right > (uint64_t)(end - at)) {
            right = (uint32_t)(end - at);
            c->part_right[*at] = true;
        }
        uint64_t bit = pair_place(bytes_number(at - left, left), bytes_number(at, right));
        c->filter[bit >> 6] |= (uint64_t)1 << (bit & 63);
    }
}

int cuts_open(struct cuts *c, const struct str *token, uint32_t count)
{
    c->filter = calloc((size_t)1 << (FILTER_BITS - 6), sizeof *c->filter);
    if (!c->filter)
        return err_set(ERR_LIMIT, "tokenizer: no memory for its cuts");
    for (uint32_t id = 0; id < count; id++)
        if (token[id].ptr)
            token_places(c, token[id]);
    return 0;
}

void cuts_close(struct cuts *c)
{
    free(c->filter);
    c->filter = NULL;
}

/* A character of the text: its bytes as a number, how many, 0: it is no lead byte with all its tail
 * bytes. */
struct whole {
    uint32_t number, len;
};

static inline struct whole char_at(const unsigned char *p, const unsigned char *end)
{
    ptrdiff_t room = end - p;
    if (p[0] < 0x80)
        return (struct whole){p[0], 1};
    if (is_tail(p[0]))
        return (struct whole){0, 0};
    if (p[0] < 0xE0)
        return room > 1 && is_tail(p[1]) ? (struct whole){(uint32_t)p[0] << 8 | p[1], 2}
                                         : (struct whole){0, 0};
    if (p[0] < 0xF0)
        return room > 2 && is_tail(p[1]) && is_tail(p[2])
                   ? (struct whole){(uint32_t)p[0] << 16 | (uint32_t)p[1] << 8 | p[2], 3}
                   : (struct whole){0, 0};
    return room > 3 && is_tail(p[1]) && is_tail(p[2]) && is_tail(p[3])
               ? (struct whole){bytes_number(p, 4), 4}
               : (struct whole){0, 0};
}

/* Pairs of which one side is only part of a character. */
static bool reaches_in_part(const struct cuts *c, struct whole left, struct whole right,
                            uint32_t least_left, uint32_t least_right)
{
    for (uint32_t i = least_left; i <= left.len; i++)
        for (uint32_t k = least_right; k <= right.len; k++)
            if (pair_has(c, left.number & (uint32_t)(((uint64_t)1 << 8 * i) - 1),
                         right.number >> 8 * (right.len - k)))
                return true;
    return false;
}

/* May a token reach from the one character into the next? Yes when in doubt. */
static bool reaches(const struct cuts *c, struct whole left, struct whole right)
{
    if (pair_has(c, left.number, right.number))
        return true;
    uint32_t least_left = left.len, least_right = right.len;
    for (uint32_t i = left.len; i-- > 1;)
        if (c->part_left[left.number >> 8 * (i - 1) & 255])
            least_left = i;
    if (c->part_right[right.number >> 8 * (right.len - 1)])
        least_right = 1;
    return (least_left < left.len || least_right < right.len) &&
           reaches_in_part(c, left, right, least_left, least_right);
}

/* The same for characters of up to three bytes, which the memory may know. */
static inline bool reaches_known(const struct cuts *c, struct cuts_memory *m, struct whole left,
                                 struct whole right)
{
    uint64_t pair = ((uint64_t)left.number << 24 | right.number) + 1; /* 0 is a free place */
    uint64_t *known = &m->pair[pair * 0x9E3779B97F4A7C15u >> (64 - CUTS_MEMORY_BITS)];
    if (*known >> 1 != pair)
        *known = pair << 1 | reaches(c, left, right);
    return *known & 1;
}

uint32_t cuts_find(const struct cuts *c, struct cuts_memory *m, struct str piece, size_t pos,
                   uint32_t *end, uint32_t max)
{
    const unsigned char *first = (const unsigned char *)piece.ptr, *at = first + pos;
    const unsigned char *last = first + piece.len;
    struct whole left = char_at(at, last), right;
    uint32_t count = 0;
    for (; left.len && at + left.len < last; left = right) {
        at += left.len;
        right = char_at(at, last);
        if (right.len == 0)
            break; /* no UTF-8: not cut any more */
        if (left.len <= 3 && right.len <= 3 ? reaches_known(c, m, left, right)
                                            : reaches(c, left, right))
            continue;
        end[count++] = (uint32_t)(at - first);
        if (count == max)
            return count;
    }
    end[count++] = (uint32_t)piece.len;
    return count;
}

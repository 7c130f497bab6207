/* exact - equal texts: XXH3-128 of the whole text with its white space normalised. */
#include "dedup/sketch.h"

#include "core/err.h"
#include "core/unicode.h"

#define BYTES(value) (0x0101010101010101u * (value))

/* True when 8 bytes can be copied as they are: ASCII, no control characters, and no two spaces in a
 * row (`gap`: a space stands in front of them). May say false where true would do. */
static bool is_plain(uint64_t eight, bool gap)
{
    uint64_t control = (eight - BYTES(0x20)) & ~eight, high = eight;
    uint64_t not_space = eight ^ BYTES(0x20);
    uint64_t space = (not_space - BYTES(1)) & ~not_space & BYTES(0x80);
    uint64_t doubled = space & (space << 8 | (gap ? 0x80 : 0));
    return ((control | high) & BYTES(0x80)) == 0 && doubled == 0;
}

/* Runs of white space become one space, none at either end: line ends, indentation and the no-break
 * spaces that templates scatter do not make a new text. Letters are left alone: case is content.
 * Returns the bytes written, never more than text.len. */
static size_t text_normalise(struct str text, char *to)
{
    const char *at = text.ptr, *end = text.ptr + text.len;
    size_t used = 0;
    bool gap = true; /* the last byte written is a space, or there is none */
    while (at < end) {
        uint64_t eight;
        if (end - at >= 8) {
            memcpy(&eight, at, sizeof eight);
            if (is_plain(eight, gap)) {
                memcpy(to + used, &eight, sizeof eight);
                gap = at[7] == ' ';
                used += sizeof eight;
                at += sizeof eight;
                continue;
            }
        }
        uint32_t cp = (unsigned char)*at;
        int len = cp < 0x80 ? 1 : utf8_decode(at, end, &cp);
        bool space = cp < 0x80 ? cp == ' ' || (cp >= 9 && cp <= 13) : uc_is_space(cp);
        if (space && !gap)
            to[used++] = ' ';
        for (int i = 0; i < len && !space; i++)
            to[used++] = at[i];
        gap = space;
        at += len;
    }
    return used > 0 && to[used - 1] == ' ' ? used - 1 : used;
}

static int exact_sign(const void *conf, void *local, struct batch *b, struct doc *d)
{
    UNUSED(conf);
    UNUSED(local);
    d->sketch = NULL;
    d->sketch_bytes = 0;
    struct hash128 *slot = arena_array(&b->arena, struct hash128, 1);
    size_t mark = arena_mark(&b->arena);
    char *normal = arena_push(&b->arena, d->text.len + 1, 1);
    if (!slot || !normal)
        return err_in(ERR_LIMIT, "dedup: text of %zu bytes", d->text.len);
    size_t len = text_normalise(d->text, normal);
    *slot = hash128(normal, len);
    arena_reset(&b->arena, mark);
    if (len == 0)
        return 0;
    d->sketch = slot;
    d->sketch_bytes = sizeof *slot;
    return 0;
}

static uint32_t exact_bytes(const void *conf)
{
    return ((const struct dedup_conf *)conf)->exact ? sizeof(struct hash128) : 0;
}

const struct dedup_method dedup_exact = {
    .sign = exact_sign,
    .sketch_bytes = exact_bytes,
    .bands = 1,
};

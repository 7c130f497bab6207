/* nfc - decomposes, orders and composes the few characters of a text that need it.
 *
 * Source: Unicode Standard Annex 15. Text is nearly always in NFC: characters that can neither
 * change nor be changed by what follows them ("safe") are copied; a safe character and the unsure
 * ones behind it are a cluster, normalised on its own. */
#include "tokenize/nfc.h"

#include "core/err.h"
#include "core/unicode.h"
#include "tokenize/nfc_table.h"

enum {
    HANGUL = 0xAC00,
    LEAD = 0x1100,
    VOWEL = 0x1161,
    TRAIL = 0x11A7,
    LEADS = 19,
    VOWELS = 21,
    TRAILS = 28,
    SYLLABLES = LEADS * VOWELS * TRAILS,
    FIRST_UNSURE = 0x300,     /* no code point below it is unsure */
    UNSURE_STARTER = 255,     /* in the table: class 0 and yet unsure */
    LATE_COMPOSITE = 0x11938, /* DIVES AKURU VOWEL SIGN O, of Unicode 13.0 */
    INSERTION_MAX = 32,       /* marks in a row up to which insertion orders them */
};

static uint8_t class_of(uint32_t cp)
{
    return class_value[(uint32_t)class_block[cp >> 7] << 7 | (cp & 127)];
}

static bool is_unsure(uint32_t cp) { return cp >= FIRST_UNSURE && class_of(cp); }

static uint8_t combining_class(uint32_t cp)
{
    uint8_t value = class_of(cp);
    return value == UNSURE_STARTER ? 0 : value;
}

/* Code point at p; bytes that are no UTF-8 give one that is safe, *len 1. */
static uint32_t point_at(const char *p, const char *end, size_t *len)
{
    uint32_t cp;
    *len = (size_t)utf8_decode(p, end, &cp);
    return cp;
}

static void point_put(struct buf *to, uint32_t cp) { buf_add(to, &cp, sizeof cp); }

/* Decompositions never change once they are there; the one that came between the normalizer's
 * Unicode 9.0 and the 14.0 of core/unicode.h is left out. */
static void decompose(struct buf *to, uint32_t cp)
{
    uint32_t parts[4];
    int count = cp == LATE_COMPOSITE ? 0 : uc_decompose(cp, parts);
    if (count == 0)
        point_put(to, cp);
    for (int i = 0; i < count; i++)
        point_put(to, parts[i]);
}

/* Marks in order of their class; those of one class keep theirs. */
static void order_run(uint32_t *cp, size_t count, struct buf *spare)
{
    if (count <= INSERTION_MAX) {
        for (size_t i = 1; i < count; i++) {
            uint32_t moving = cp[i];
            uint8_t class = combining_class(moving);
            size_t at = i;
            for (; at && combining_class(cp[at - 1]) > class; at--)
                cp[at] = cp[at - 1];
            cp[at] = moving;
        }
        return;
    }
    size_t start[257] = {0}, first = spare->len;
    char *room = buf_room(spare, count * sizeof *cp); /* a mark may come a million times */
    if (!room)
        return;
    for (size_t i = 0; i < count; i++)
        start[combining_class(cp[i]) + 1]++;
    for (int class = 0; class < 256; class ++)
        start[class + 1] += start[class];
    for (size_t i = 0; i < count; i++)
        memcpy(room + start[combining_class(cp[i])]++ * sizeof *cp, &cp[i], sizeof *cp);
    memcpy(cp, spare->ptr + first, count * sizeof *cp);
}

static void order(uint32_t *cp, size_t count, struct buf *spare)
{
    for (size_t i = 0, end; i < count; i = end + 1) {
        for (end = i; end < count && combining_class(cp[end]); end++)
            ;
        order_run(cp + i, end - i, spare);
    }
}

/* The primary composite of two code points, 0: none. */
static uint32_t compose_pair(uint32_t first, uint32_t second)
{
    if (first - LEAD < LEADS && second - VOWEL < VOWELS)
        return HANGUL + ((first - LEAD) * VOWELS + (second - VOWEL)) * TRAILS;
    if (first - HANGUL < SYLLABLES && (first - HANGUL) % TRAILS == 0 && second > TRAIL &&
        second < TRAIL + TRAILS)
        return first + (second - TRAIL);
    size_t low = 0, high = COUNT_OF(compose);
    while (low < high) {
        size_t mid = (low + high) / 2;
        if (compose[mid][0] < first || (compose[mid][0] == first && compose[mid][1] < second))
            low = mid + 1;
        else
            high = mid;
    }
    bool found = low < COUNT_OF(compose) && compose[low][0] == first && compose[low][1] == second;
    return found ? compose[low][2] : 0;
}

/* Composes in place; returns how many are left. */
static size_t compose_all(uint32_t *cp, size_t count)
{
    size_t kept = 0, starter = SIZE_MAX;
    int last_class = -1; /* of what stands between the starter and here; -1: nothing */
    for (size_t i = 0; i < count; i++) {
        uint8_t class = combining_class(cp[i]);
        uint32_t joined =
            starter != SIZE_MAX && last_class < (int)class ? compose_pair(cp[starter], cp[i]) : 0;
        if (joined) {
            cp[starter] = joined;
            continue;
        }
        if (class == 0) {
            starter = kept;
            last_class = -1;
        } else {
            last_class = class;
        }
        cp[kept++] = cp[i];
    }
    return kept;
}

static void cluster(const char *p, const char *end, struct nfc_work *w)
{
    size_t len;
    buf_clear(&w->points);
    for (; p < end; p += len)
        decompose(&w->points, point_at(p, end, &len));
    size_t count = w->points.len / sizeof(uint32_t);
    if (w->points.failed)
        return;
    /* Room for ordering comes first: the buffer may move when it grows. */
    if (!buf_room(&w->points, count * sizeof(uint32_t)))
        return;
    uint32_t *cp = (uint32_t *)(void *)w->points.ptr;
    order(cp, count, &w->points);
    count = compose_all(cp, count);
    for (size_t i = 0; i < count; i++) {
        char utf8[4];
        buf_add(&w->text, utf8, (size_t)utf8_encode(cp[i], utf8));
    }
}

/* The character that ends at p and begins at or behind `first`; p when it is no UTF-8. */
static const char *char_before(const char *p, const char *first)
{
    const char *at = p;
    size_t len;
    while (at > first && p - at < 4 && (*--at & 0xC0) == 0x80)
        ;
    if (at == p)
        return p;
    point_at(at, p, &len);
    return len == (size_t)(p - at) && (len > 1 || (unsigned char)*at < 0x80) ? at : p;
}

int nfc_normalize(struct str text, struct nfc_work *w, struct str *out)
{
    const char *p = text.ptr, *end = p + text.len, *copied = p;
    size_t len;
    *out = text;
    buf_clear(&w->text);
    while (p < end) {
        if ((unsigned char)*p < 0xCC) { /* below U+0300, or the rest of such a character */
            p++;
            continue;
        }
        uint32_t cp = point_at(p, end, &len);
        if (!is_unsure(cp)) {
            p += len;
            continue;
        }
        const char *first = char_before(p, copied);
        while (p < end && is_unsure(point_at(p, end, &len)))
            p += len;
        buf_add(&w->text, copied, (size_t)(first - copied));
        cluster(first, p, w);
        copied = p;
    }
    if (copied > text.ptr) {
        buf_add(&w->text, copied, (size_t)(end - copied));
        *out = buf_view(&w->text);
    }
    return w->text.failed || w->points.failed
               ? err_set(ERR_LIMIT, "no memory to normalise %zu bytes", text.len)
               : 0;
}

void nfc_work_free(struct nfc_work *w)
{
    buf_free(&w->text);
    buf_free(&w->points);
}

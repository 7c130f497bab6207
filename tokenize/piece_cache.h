/* piece_cache - what pieces of text came to, by their bytes: three tables that grow with the text.
 *
 * Short pieces (up to 15 bytes, nearly all there are) lie two in a cache line, key and ids, and may
 * stand in the line beside theirs as well. Pieces of 16 to 31 bytes have a line each, in their own
 * place or the one beside it. Wide ones (32 to 128 bytes: rules of dashes, indents, long names) are
 * few and have one place. A piece that comes when its places are taken pushes out the second of
 * its line: what came first is what is common, and mostly stands first.
 *
 * The tables lie where they will lie when they are largest, and only the part in use is ever
 * touched: memory never touched before costs more than a look at it (0.1 ms a MiB, in some virtual
 * machines 2). When half of the places are taken their number is doubled, up to a million short
 * ones.
 *
 * Looks are inline, because they are most of what encoding does; the rest is in piece_cache.c. */
#ifndef SLUICE_TOKENIZE_PIECE_CACHE_H
#define SLUICE_TOKENIZE_PIECE_CACHE_H
#include "tokenize/bpe.h"

enum {
    SHORT_IDS = 4,
    LONG_BYTES = 31,
    LONG_IDS = 7,
    WIDE_BYTES = 128,
    WIDE_IDS = 31,
    LINE_BITS = 17, /* 8 MiB at first: fewer forget too much of a small text */
    LINE_BITS_MAX = 19,
    LONG_BITS = 15, /* 2 MiB at first */
    LONG_BITS_MAX = 18,
    WIDE_BITS = 13,   /* 2 MiB */
    COUNT_SHIFT = 24, /* ids are below 2^22: the first one carries the count */
    ID_MASK = (1 << COUNT_SHIFT) - 1,
    PART = 16,      /* in a key beside the length: a part of a piece */
    LONG_MARK = 32, /* the same in a long key */
};

struct short_entry {
    struct piece_key key;
    uint32_t id[SHORT_IDS]; /* with a count of 0, id[1] is whose who put it there: see encode.c */
};
struct short_line {
    struct short_entry way[2];
};
/* Up to LONG_BYTES as four numbers; their count (and LONG_MARK) in the top byte, 0: free. */
struct long_key {
    uint64_t word[4];
};
struct long_entry {
    struct long_key key;
    uint32_t id[LONG_IDS], count;
};
struct wide_entry {
    uint8_t len, mark; /* len 0: free */
    uint16_t count;
    char byte[WIDE_BYTES];
    uint32_t id[WIDE_IDS];
};
struct piece_cache {
    struct short_line *line;
    struct long_entry *longer;
    struct wide_entry *wide;
    uint64_t line_mask, longer_mask; /* places in use, less one */
    uint64_t shorts, longs;          /* entries taken */
    struct table_memory line_memory, longer_memory, wide_memory;
};

/* Touches what is in use at first, so that no text pays for it. ERR_LIMIT: no memory. */
int piece_cache_open(struct piece_cache *c);
void piece_cache_close(struct piece_cache *c);
/* Doubles a table that is filling up: places found before are none any more. */
void piece_cache_grow(struct piece_cache *c);

/* ---- short pieces ---- */
static inline uint32_t short_place(const struct piece_cache *c, struct piece_key k)
{
    return (uint32_t)(key_hash(k) & c->line_mask);
}

static inline bool key_equal(struct piece_key a, struct piece_key b)
{
    return a.low == b.low && a.high == b.high;
}

static inline const struct short_entry *line_find(const struct short_entry *way, struct piece_key k)
{
    bool first = key_equal(way[0].key, k), second = key_equal(way[1].key, k);
    return first || second ? &way[!first] : NULL;
}

static inline const struct short_entry *short_find(const struct piece_cache *c, struct piece_key k,
                                                   uint32_t place)
{
    const struct short_entry *way = c->line[place].way, *found = line_find(way, k);
    if (found || !way[1].key.high)
        return found; /* only what found its line full stands beside it */
    return line_find(c->line[place ^ 1].way, k);
}

static inline uint32_t short_count(const struct short_entry *s) { return s->id[0] >> COUNT_SHIFT; }

/* Writes SHORT_IDS ids, of which the returned count are meant. */
static inline uint32_t short_copy(const struct short_entry *s, uint32_t *out)
{
    memcpy(out, s->id, sizeof s->id);
    uint32_t count = out[0] >> COUNT_SHIFT;
    out[0] &= ID_MASK;
    return count;
}

/* Makes an entry for a key that has none, with a count of 0. */
struct short_entry *short_put(struct piece_cache *c, struct piece_key k, uint32_t place);
/* Gives it up to SHORT_IDS ids; a count of 0 says that the piece is kept, but among the long ones.
 */
void short_set(struct short_entry *s, const uint32_t *id, uint32_t count);

/* ---- long pieces ---- */
/* The key of len (up to LONG_BYTES) bytes at p; none behind end is read. */
static inline struct long_key long_key(const char *p, uint32_t len, const char *end, uint32_t mark)
{
    struct long_key k = {{0}};
    if (end - p < LONG_BYTES + 1) {
        memcpy(k.word, p, len);
    } else {
        memcpy(k.word, p, sizeof k.word);
        /* The last word that counts loses its upper bytes, those behind it lose all. */
        for (uint32_t i = 0; i < 4; i++) {
            uint32_t bytes = len > 8 * i ? len - 8 * i : 0;
            k.word[i] = bytes == 0   ? 0
                        : bytes >= 8 ? k.word[i]
                                     : k.word[i] << (64 - 8 * bytes) >> (64 - 8 * bytes);
        }
    }
    k.word[3] |= (uint64_t)(len | mark) << 56;
    return k;
}

static inline uint32_t long_place(const struct piece_cache *c, const struct long_key *k)
{
    struct piece_key halves[2] = {{k->word[0], k->word[1]}, {k->word[2], k->word[3]}};
    return (uint32_t)((key_hash(halves[0]) ^ key_hash(halves[1])) & c->longer_mask);
}

static inline bool long_equal(const struct long_key *a, const struct long_key *b)
{
    return ((a->word[0] ^ b->word[0]) | (a->word[1] ^ b->word[1]) | (a->word[2] ^ b->word[2]) |
            (a->word[3] ^ b->word[3])) == 0;
}

static inline const struct long_entry *long_find(const struct piece_cache *c,
                                                 const struct long_key *k, uint32_t place)
{
    const struct long_entry *own = &c->longer[place], *beside = &c->longer[place ^ 1];
    return long_equal(&own->key, k) ? own : long_equal(&beside->key, k) ? beside : NULL;
}

/* Writes LONG_IDS ids, of which the returned count are meant. */
static inline uint32_t long_copy(const struct long_entry *l, uint32_t *out)
{
    memcpy(out, l->id, sizeof l->id);
    return l->count;
}

void long_put(struct piece_cache *c, const struct long_key *k, uint32_t place, const uint32_t *id,
              uint32_t count);

/* ---- wide pieces ---- */
/* The place of a piece of up to WIDE_BYTES bytes, whatever it holds. */
struct wide_entry *wide_at(const struct piece_cache *c, struct str piece);
/* Writes its ids, of which there are at most WIDE_IDS, when it holds the piece with this mark;
 * returns their count, 0: it does not. */
uint32_t wide_copy(const struct wide_entry *w, struct str piece, uint32_t mark, uint32_t *out);
void wide_put(struct wide_entry *w, struct str piece, uint32_t mark, const uint32_t *id,
              uint32_t count);
#endif

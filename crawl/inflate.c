/* inflate - a DEFLATE decoder for whole buffers: 64 bits at a time, one table look-up a symbol. */
#include "crawl/inflate.h"

#include <stdlib.h>
#include <string.h>

/* How it works. The next bits stand in a 64-bit word, lowest first. A table indexed by the next 11
 * bits (8 for distances) says what symbol they start and how long its code is; longer codes lead to
 * a second table. An entry holds all a symbol needs, so that decoding is: look up, shift, act.
 *
 *      literal   1 . . . . . . . | byte      | 0         | code length
 *      length    0 base (9 bits)             | code length   | code length + extra bits
 *      distance  0 base (15 bits)            | code length   | code length + extra bits
 *      special   0 start of second table     | 1 kind, bits  | bits of the first table
 *
 * Length and distance take their extra bits from the word as it was before the shift, with one
 * mask. Away from the ends of both buffers nothing is checked but distances: 56 bits are topped up
 * without a branch and cover a whole length and distance (48), or three literals of the first table
 * (33), and copies run over by up to 40 bytes. The last bytes go symbol by symbol.
 *
 * The entries and the branchless top-up are ideas of libdeflate (E. Biggers) and of F. Giesen's
 * notes on bit readers. */
enum {
    LITLEN_BITS = 11, DISTANCE_BITS = 8, PRECODE_BITS = 7, CODE_MAX = 15,
    LITLEN_COUNT = 288, DISTANCE_COUNT = 32, PRECODE_COUNT = 19,
    /* Entries of first and second tables at worst: `enough 288 11 15` and `enough 32 8 15` of
     * zlib's examples. */
    LITLEN_ENTRIES = 2342, DISTANCE_ENTRIES = 402,
    COPY_MAX = 258, VECTOR = 16, WORDS = 40, IN_SLACK = 32,
    OUT_SLACK = COPY_MAX + WORDS + 8,
    END_SYMBOL = 256, FIRST_LENGTH = 257, STORED_MAX = 65535,
};
#define LITERAL 0x80000000u
#define SPECIAL 0x8000u
#define SECOND 0x4000u /* special: go on in a second table; else the block's end or no symbol */
#define END 0x2000u

struct inflate_tables {
    uint32_t litlen[LITLEN_ENTRIES], distance[DISTANCE_ENTRIES], precode[1 << PRECODE_BITS];
    unsigned char lengths[LITLEN_COUNT + DISTANCE_COUNT + 140]; /* a run may pass the end */
    uint16_t sorted[LITLEN_COUNT];
    bool fixed;
};
struct state {
    const unsigned char *in, *end;
    uint64_t word;       /* bits above `bits` are 0 outside decode_fast */
    unsigned bits;
    unsigned char *base, *out, *out_end;
};

struct inflate_tables *inflate_tables_new(void)
{
    struct inflate_tables *t = calloc(1, sizeof *t);
    return t;
}

/* ---- tables ---- */
static const uint16_t length_base[] = {3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 19, 23, 27, 31,
                                       35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258};
static const uint8_t length_extra[] = {0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2,
                                       2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0};
static const uint16_t distance_base[] = {
    1, 2, 3, 4, 5, 7, 9, 13, 17, 25, 33, 49, 65, 97, 129, 193, 257, 385, 513, 769, 1025, 1537, 2049,
    3073, 4097, 6145, 8193, 12289, 16385, 24577};
static const uint8_t distance_extra[] = {0, 0, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6,
                                         7, 7, 8, 8, 9, 9, 10, 10, 11, 11, 12, 12, 13, 13};

/* The entry of a symbol but for its code length, which is added to the low byte and from bit 8. */
static uint32_t litlen_entry(unsigned symbol)
{
    if (symbol < END_SYMBOL)
        return LITERAL | symbol << 16;
    if (symbol == END_SYMBOL)
        return SPECIAL | END;
    symbol -= FIRST_LENGTH;
    if (symbol >= sizeof length_extra)
        return SPECIAL;
    return (uint32_t)length_base[symbol] << 16 | length_extra[symbol];
}

static uint32_t distance_entry(unsigned symbol)
{
    if (symbol >= sizeof distance_extra)
        return SPECIAL;
    return (uint32_t)distance_base[symbol] << 16 | distance_extra[symbol];
}

static uint32_t precode_entry(unsigned symbol) { return symbol << 16; }

struct code {
    uint32_t *table;
    unsigned first_bits, entries_max;
    uint32_t (*entry)(unsigned symbol);
};

static uint32_t with_length(uint32_t entry, unsigned length)
{
    return entry + length + (entry & (LITERAL | SPECIAL) ? 0 : length << 8);
}

/* The next code of the same length, bits in the order they are read. */
static unsigned next_code(unsigned code, unsigned length)
{
    unsigned bit = 1u << (length - 1);
    while (code & bit)
        bit >>= 1;
    return bit ? (code & (bit - 1)) | bit : 0;
}

/* Sorts symbols by code length; false unless the code is complete. */
static bool sort_symbols(const unsigned char *lengths, unsigned count, uint16_t *sorted,
                         unsigned *of_length)
{
    unsigned start[CODE_MAX + 2] = {0};
    int64_t room = 1;
    memset(of_length, 0, (CODE_MAX + 1) * sizeof *of_length);
    for (unsigned i = 0; i < count; i++)
        of_length[lengths[i]]++;
    for (unsigned i = 1; i <= CODE_MAX; i++) {
        room = room * 2 - of_length[i];
        if (room < 0)
            return false;
        start[i + 1] = start[i] + of_length[i];
    }
    for (unsigned i = 0; i < count; i++)
        if (lengths[i])
            sorted[start[lengths[i]]++] = (uint16_t)i;
    return room == 0;
}

/* Fills the second tables: codes longer than the first table's bits, in order. */
static bool build_second(const struct code *c, const uint16_t *symbol, unsigned *left,
                         unsigned length, unsigned code)
{
    unsigned first_mask = (1u << c->first_bits) - 1, start = 1u << c->first_bits, bits = 0;
    unsigned prefix = UINT32_MAX;
    for (; length <= CODE_MAX; length++)
        for (; left[length]; left[length]--) {
            if ((code & first_mask) != prefix) {
                prefix = code & first_mask;
                start += bits ? 1u << bits : 0; /* behind the one before */
                bits = length - c->first_bits;
                /* As large as the codes with this prefix, taken in order, fill it. */
                uint64_t filled = left[length];
                for (unsigned i = length; filled < 1u << bits && i < CODE_MAX;) {
                    bits++;
                    filled = filled * 2 + left[++i];
                }
                if (start + (1u << bits) > c->entries_max)
                    return false;
                c->table[prefix] = start << 16 | SPECIAL | SECOND | bits << 8 | c->first_bits;
            }
            uint32_t entry = with_length(c->entry(*symbol++), length - c->first_bits);
            for (unsigned i = code >> c->first_bits; i < 1u << bits;
                 i += 1u << (length - c->first_bits))
                c->table[start + i] = entry;
            code = next_code(code, length);
        }
    return true;
}

static bool build(const struct code *c, const unsigned char *lengths, unsigned count,
                  uint16_t *sorted)
{
    unsigned left[CODE_MAX + 1], code = 0, filled = 1;
    if (!sort_symbols(lengths, count, sorted, left))
        return false;
    const uint16_t *symbol = sorted;
    unsigned length = 1;
    for (; length <= c->first_bits; length++) {
        /* The table so far, for codes of up to length - 1 bits, twice over. */
        memcpy(c->table + filled, c->table, filled * sizeof *c->table);
        filled *= 2;
        for (; left[length]; left[length]--) {
            c->table[code] = with_length(c->entry(*symbol++), length);
            code = next_code(code, length);
        }
    }
    return build_second(c, symbol, left, length, code);
}

/* ---- bits, near the ends ---- */
static void top_up(struct state *s)
{
    while (s->bits < 56 && s->in < s->end) {
        s->word |= (uint64_t)*s->in++ << s->bits;
        s->bits += 8;
    }
}

static unsigned take(struct state *s, unsigned bits)
{
    unsigned value = (unsigned)(s->word & ((1u << bits) - 1));
    s->word >>= bits;
    s->bits -= bits;
    return value;
}

/* ---- block headers ---- */
static enum inflate_result build_tables(struct inflate_tables *t, unsigned literals,
                                        unsigned distances)
{
    const struct code litlen = {t->litlen, LITLEN_BITS, LITLEN_ENTRIES, litlen_entry};
    const struct code distance = {t->distance, DISTANCE_BITS, DISTANCE_ENTRIES, distance_entry};
    unsigned char lengths[DISTANCE_COUNT] = {0};
    unsigned used = 0;
    memcpy(lengths, t->lengths + literals, distances);
    for (unsigned i = 0; i < distances; i++)
        used += lengths[i] > 0;
    /* None or one of length 1 is allowed: what is missing is filled with what is no distance. */
    for (unsigned i = used; i < 2; i++)
        lengths[DISTANCE_COUNT - 1 - i] = 1;
    return build(&litlen, t->lengths, literals, t->sorted)
                   && build(&distance, lengths, DISTANCE_COUNT, t->sorted)
               ? INFLATE_DONE : INFLATE_BAD;
}

static enum inflate_result fixed_tables(struct inflate_tables *t)
{
    if (t->fixed)
        return INFLATE_DONE;
    memset(t->lengths, 8, 144);
    memset(t->lengths + 144, 9, 112);
    memset(t->lengths + 256, 7, 24);
    memset(t->lengths + 280, 8, 8);
    memset(t->lengths + LITLEN_COUNT, 5, DISTANCE_COUNT);
    t->fixed = true;
    return build_tables(t, LITLEN_COUNT, DISTANCE_COUNT);
}

static enum inflate_result read_precode(struct inflate_tables *t, struct state *s, unsigned count)
{
    static const uint8_t order[] = {16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1,
                                    15};
    unsigned char lengths[PRECODE_COUNT] = {0};
    const struct code precode = {t->precode, PRECODE_BITS, 1 << PRECODE_BITS, precode_entry};
    for (unsigned i = 0; i < count; i++) {
        top_up(s);
        if (s->bits < 3)
            return INFLATE_SHORT;
        lengths[order[i]] = (unsigned char)take(s, 3);
    }
    return build(&precode, lengths, PRECODE_COUNT, t->sorted) ? INFLATE_DONE : INFLATE_BAD;
}

static enum inflate_result dynamic_tables(struct inflate_tables *t, struct state *s)
{
    t->fixed = false;
    if (s->bits < 14)
        return INFLATE_SHORT;
    unsigned literals = take(s, 5) + 257, distances = take(s, 5) + 1, at = 0;
    if (literals > 286 || distances > 30)
        return INFLATE_BAD;
    enum inflate_result rc = read_precode(t, s, take(s, 4) + 4);
    while (rc == INFLATE_DONE && at < literals + distances) {
        top_up(s);
        uint32_t entry = t->precode[s->word & ((1u << PRECODE_BITS) - 1)];
        unsigned symbol = entry >> 16, bits = entry & 0xff, run = 1;
        unsigned extra = symbol < 16 ? 0 : symbol == 16 ? 2 : symbol == 17 ? 3 : 7;
        if (s->bits < bits + extra)
            return INFLATE_SHORT;
        take(s, bits);
        unsigned char length = symbol < 16 ? (unsigned char)symbol : 0;
        if (symbol == 16 && at == 0)
            return INFLATE_BAD;
        if (symbol >= 16)
            run = take(s, extra) + (symbol == 18 ? 11 : 3);
        if (symbol == 16)
            length = t->lengths[at - 1];
        memset(t->lengths + at, length, run);
        at += run;
    }
    if (rc == INFLATE_DONE && at > literals + distances)
        rc = INFLATE_BAD;
    return rc == INFLATE_DONE ? build_tables(t, literals, distances) : rc;
}

static enum inflate_result copy_stored(struct state *s)
{
    take(s, s->bits % 8);
    s->in -= s->bits / 8; /* whole bytes go back */
    s->word = 0;
    s->bits = 0;
    if (s->end - s->in < 4)
        return INFLATE_SHORT;
    size_t len = s->in[0] | (size_t)s->in[1] << 8, check = s->in[2] | (size_t)s->in[3] << 8;
    if ((len ^ check) != STORED_MAX)
        return INFLATE_BAD;
    s->in += 4;
    if ((size_t)(s->end - s->in) < len)
        return INFLATE_SHORT;
    if ((size_t)(s->out_end - s->out) < len)
        return INFLATE_FULL;
    memcpy(s->out, s->in, len);
    s->in += len;
    s->out += len;
    return INFLATE_DONE;
}

/* ---- symbols ---- */
static inline __attribute__((always_inline)) uint64_t load64(const unsigned char *at)
{
    uint64_t word;
    memcpy(&word, at, sizeof word);
    return word;
}

/* Base plus the extra bits, which stand behind the code in `word`. */
static inline __attribute__((always_inline)) unsigned value_of(uint32_t entry, uint64_t word)
{
    uint64_t both = word & (((uint64_t)1 << (entry & 63)) - 1);
    return (entry >> 16) + (unsigned)(both >> (entry >> 8 & 15));
}

/* Copies length bytes from distance back; may write WORDS bytes past them. Most matches are short:
 * WORDS bytes without a question are cheaper than a branch that guesses wrong. */
static inline __attribute__((always_inline)) void copy_match(unsigned char *out, size_t distance,
                                                             size_t length)
{
    const unsigned char *from = out - distance;
    unsigned char *end = out + length;
    if (__builtin_expect(distance >= 8, 1)) {
        memcpy(out, from, 8);
        memcpy(out + 8, from + 8, 8);
        memcpy(out + 16, from + 16, 8);
        memcpy(out + 24, from + 24, 8);
        memcpy(out + 32, from + 32, 8);
        if (length <= WORDS)
            return;
        out += WORDS;
        from += WORDS;
        do {
            memcpy(out, from, 8);
            memcpy(out + 8, from + 8, 8);
            out += 16;
            from += 16;
        } while (out < end);
    } else if (distance == 1) {
        do {
            memset(out, *from, VECTOR);
            out += VECTOR;
        } while (out < end);
    } else { /* each step writes 8 bytes, of which `distance` are final */
        do {
            memcpy(out, from, 8);
            out += distance;
            from += distance;
        } while (out < end);
    }
}

#define TOP_UP()                                                                                   \
    do {                                                                                           \
        word |= load64(in) << (bits & 63);                                                         \
        in += 7 - (bits >> 3 & 7);                                                                 \
        bits |= 56;                                                                                \
    } while (0)
#define SHIFT(entry)                                                                               \
    do {                                                                                           \
        word >>= (entry) & 63;                                                                     \
        bits -= (entry);                                                                           \
    } while (0)

/* Decodes while both buffers are far from their ends. True at the block's end; *bad when the data
 * are. */
static inline __attribute__((always_inline)) bool decode_loop(const struct inflate_tables *t,
                                                              struct state *s, bool *bad)
{
    enum { LITLEN_MASK = (1 << LITLEN_BITS) - 1, DISTANCE_MASK = (1 << DISTANCE_BITS) - 1 };
    const unsigned char *in = s->in, *in_fast = s->end - IN_SLACK;
    unsigned char *out = s->out, *out_fast = s->out_end - OUT_SLACK, *const base = s->base;
    uint64_t word = s->word;
    unsigned bits = s->bits;
    bool ended = false;
    TOP_UP();
    uint32_t entry = t->litlen[word & LITLEN_MASK];
    while (in < in_fast && out < out_fast) {
        if (entry & LITERAL) {
            SHIFT(entry);
            *out++ = (unsigned char)(entry >> 16);
            entry = t->litlen[word & LITLEN_MASK];
            if (entry & LITERAL) {
                SHIFT(entry);
                *out++ = (unsigned char)(entry >> 16);
                entry = t->litlen[word & LITLEN_MASK];
                if (entry & LITERAL) {
                    SHIFT(entry);
                    *out++ = (unsigned char)(entry >> 16);
                    TOP_UP();
                    entry = t->litlen[word & LITLEN_MASK];
                    continue;
                }
            }
            TOP_UP();
        }
        if (__builtin_expect(entry & SPECIAL, 0)) {
            if (entry & SECOND) {
                SHIFT(entry);
                entry = t->litlen[(entry >> 16) + (word & ((1u << (entry >> 8 & 15)) - 1))];
            }
            if (entry & LITERAL) {
                SHIFT(entry);
                *out++ = (unsigned char)(entry >> 16);
                TOP_UP();
                entry = t->litlen[word & LITLEN_MASK];
                continue;
            }
            if (entry & SPECIAL) {
                SHIFT(entry);
                ended = true;
                *bad = !(entry & END);
                break;
            }
        }
        size_t length = value_of(entry, word);
        SHIFT(entry);
        entry = t->distance[word & DISTANCE_MASK];
        if (__builtin_expect(entry & SECOND, 0)) {
            SHIFT(entry);
            entry = t->distance[(entry >> 16) + (word & ((1u << (entry >> 8 & 15)) - 1))];
        }
        size_t distance = value_of(entry, word);
        SHIFT(entry);
        if ((entry & SPECIAL) || distance > (size_t)(out - base)) {
            *bad = ended = true;
            break;
        }
        TOP_UP();
        entry = t->litlen[word & LITLEN_MASK];
        copy_match(out, distance, length);
        out += length;
    }
    s->in = in;
    s->out = out;
    s->bits = bits & 63;
    s->word = word & (((uint64_t)1 << (bits & 63)) - 1);
    return ended;
}

static bool decode_plain(const struct inflate_tables *t, struct state *s, bool *bad)
{
    return decode_loop(t, s, bad);
}

#if defined(__x86_64__)
/* The same with shifts that need not go through one register: 10 % faster. */
__attribute__((target("bmi2"))) static bool decode_bmi2(const struct inflate_tables *t,
                                                        struct state *s, bool *bad)
{
    return decode_loop(t, s, bad);
}
#endif

static bool decode_fast(const struct inflate_tables *t, struct state *s, bool *bad)
{
    if (s->end - s->in < IN_SLACK || s->out_end - s->out < OUT_SLACK)
        return false;
#if defined(__x86_64__)
    if (__builtin_cpu_supports("bmi2"))
        return decode_bmi2(t, s, bad);
#endif
    return decode_plain(t, s, bad);
}

/* The entry of the next symbol, its code taken off but for extra bits; false: the input ends. */
static bool next_entry(struct state *s, const uint32_t *table, unsigned first_bits, uint32_t *out)
{
    top_up(s);
    uint32_t entry = table[s->word & ((1u << first_bits) - 1)];
    if ((entry & (LITERAL | SPECIAL | SECOND)) == (SPECIAL | SECOND)) {
        if (s->bits < first_bits)
            return false;
        take(s, first_bits);
        entry = table[(entry >> 16) + (s->word & ((1u << (entry >> 8 & 15)) - 1))];
    }
    *out = entry;
    return s->bits >= (entry & 63);
}

static enum inflate_result decode_block(const struct inflate_tables *t, struct state *s)
{
    bool bad = false;
    if (decode_fast(t, s, &bad))
        return bad ? INFLATE_BAD : INFLATE_DONE;
    for (;;) {
        uint32_t entry;
        if (!next_entry(s, t->litlen, LITLEN_BITS, &entry))
            return INFLATE_SHORT;
        size_t length = entry & LITERAL ? 1 : value_of(entry, s->word);
        take(s, entry & 63);
        if (!(entry & LITERAL) && (entry & SPECIAL))
            return entry & END ? INFLATE_DONE : INFLATE_BAD;
        if ((size_t)(s->out_end - s->out) < length)
            return INFLATE_FULL;
        if (entry & LITERAL) {
            *s->out++ = (unsigned char)(entry >> 16);
            continue;
        }
        if (!next_entry(s, t->distance, DISTANCE_BITS, &entry))
            return INFLATE_SHORT;
        size_t distance = value_of(entry, s->word);
        take(s, entry & 63);
        if ((entry & SPECIAL) || distance > (size_t)(s->out - s->base))
            return INFLATE_BAD;
        for (; length; length--, s->out++)
            *s->out = *(s->out - distance);
    }
}

enum inflate_result inflate_whole(struct inflate_tables *t, const unsigned char *in, size_t len,
                                  unsigned char *to, size_t room, size_t *used, size_t *made)
{
    struct state s = {.in = in, .end = in + len, .base = to, .out = to, .out_end = to + room};
    enum inflate_result rc = INFLATE_DONE;
    for (bool last = false; rc == INFLATE_DONE && !last;) {
        top_up(&s);
        if (s.bits < 3)
            return INFLATE_SHORT;
        last = take(&s, 1);
        switch (take(&s, 2)) {
        case 0: rc = copy_stored(&s); continue;
        case 1: rc = fixed_tables(t); break;
        case 2: rc = dynamic_tables(t, &s); break;
        default: return INFLATE_BAD;
        }
        if (rc == INFLATE_DONE)
            rc = decode_block(t, &s);
    }
    *used = (size_t)(s.in - in) - s.bits / 8;
    *made = (size_t)(s.out - to);
    return rc;
}

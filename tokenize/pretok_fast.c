/* pretok_fast - the splits of pretok.c, 64 bytes at a time.
 *
 * A block of 64 bytes that begins at the start of a piece becomes one bit mask a kind of character;
 * a little algebra on the masks gives a mask of the places where pieces start. Of what is not
 * ASCII, the letters of most of the world's text are told by their first bytes (Latin, Greek,
 * Cyrillic, Hebrew, Arabic, Han, kana, Hangul), and common punctuation. What the bytes behind the
 * block (or behind its first byte that is not understood) could change is left out, and the next
 * block begins at the last start that is certain. Everything else is cut by pretok_next, which is
 * the definition: tests compare the two on every kind of text.
 *
 * Offsets are 32 bits; pretok_split stops before they could overflow. */
#include "tokenize/tokenize.h"

#if defined __x86_64__
#include <immintrin.h>
#endif

enum {
    BLOCK = 64,
    MARGIN = 4,     /* bytes before the end of what is seen that a start must keep */
    KNOWN_MIN = 16, /* fewer bytes understood than this are not worth the masks */
    SCALAR_RUN = 4, /* pieces cut one by one after a block that was not worth it */
};
#define OFFSET_MAX ((size_t)1 << 31)

#if defined __x86_64__
/* All bytes of a character are in the mask of its kind. high: what is not understood; both: letters
 * without case (Lo, Lm); pair_sign and wide_sign: first bytes of signs of two and three bytes;
 * white_tail: second bytes of U+00A0, of which pages are full. */
struct masks {
    uint64_t letter, upper, both, digit, space, white, newline, high, quote, slash, pair_sign,
        wide_sign, white_tail;
};

/* ---- the algebra ---- */
/* Bits of the runs of `in` that begin at the bits of `first`. */
static inline uint64_t runs_from(uint64_t in, uint64_t first) { return in & ~(in + first); }

/* What begins at the second byte of a blank begins at its first. */
static inline uint64_t blanks_whole(const struct masks *m, uint64_t found)
{
    return (found & ~m->white_tail) | (found & m->white_tail) >> 1;
}

static inline int contraction_len(const char *p, unsigned char fold)
{
    unsigned char a = (unsigned char)p[1] | fold, b = (unsigned char)p[2] | fold;
    if (a == 's' || a == 't' || a == 'm' || a == 'd')
        return 2;
    return (a == 'r' && b == 'e') || (a == 'v' && b == 'e') || (a == 'l' && b == 'l') ? 3 : 0;
}

/* \p{N}{1,3}: run starts and every third digit after them. */
static inline uint64_t digit_starts(uint64_t digit)
{
    uint64_t pair = digit & digit << 1, four = pair & pair << 2;
    uint64_t found = digit & ~(digit << 1);
    for (uint64_t next = found << 3 & four; next; next = next << 3 & four)
        found |= next;
    return found;
}

/* White space with newlines: \s*[\r\n]+|\s+(?!\S)|\s+. taken: newlines that signs before them have
 * swallowed. */
static inline uint64_t newline_starts(const struct masks *m, uint64_t taken)
{
    uint64_t all = m->space | m->white | m->newline, blank = m->space | m->white;
    uint64_t after = blank & m->newline << 1;
    uint64_t found = (all & ~(all << 1) & ~taken) | (blank & ~(all >> 1)) | after;
    /* Blanks between two newlines go with the second one, unless signs have taken the first. */
    uint64_t inner = (blank + after) & ~blank & m->newline;
    for (; inner; inner &= inner - 1) {
        uint64_t below = m->newline & ((inner & -inner) - 1);
        int start = 64 - __builtin_clzll(below);
        if (!(taken >> (start - 1) & 1))
            found &= ~((uint64_t)1 << start);
    }
    return blanks_whole(m, found);
}

static inline uint64_t starts_gpt2(const struct masks *m, const char *p)
{
    uint64_t all = m->space | m->white | m->newline;
    uint64_t sign = ~(m->letter | m->digit | all | m->high);
    uint64_t sign_starts = sign & ~(sign << 1) & ~(m->space << 1);
    uint64_t found = (m->letter & ~(m->letter << 1) & ~(m->space << 1)) |
                     (m->digit & ~(m->digit << 1) & ~(m->space << 1)) | sign_starts |
                     blanks_whole(m, all & (~(all << 1) | ~(all >> 1)));
    uint64_t quote = m->quote & sign_starts & m->letter >> 1;
    for (quote &= ~(uint64_t)0 >> MARGIN; quote; quote &= quote - 1) {
        int at = __builtin_ctzll(quote), len = contraction_len(p + at, 0);
        if (len)
            found = (found & ~((uint64_t)2 << at)) | (uint64_t)1 << (at + len);
    }
    return found;
}

/* The last bytes of signs that begin a piece: a letter behind them goes with them. */
static inline uint64_t prefix_ends(const struct masks *m, uint64_t sign_starts)
{
    return (sign_starts & ~(m->wide_sign | m->pair_sign)) | (sign_starts & m->pair_sign) << 1 |
           (sign_starts & m->wide_sign) << 2;
}

static inline uint64_t starts_cl100k(const struct masks *m, const char *p, bool one_digit)
{
    uint64_t blank = m->space | m->white;
    uint64_t sign = ~(m->letter | m->digit | blank | m->newline | m->high);
    uint64_t sign_starts = sign & ~(sign << 1) & ~(m->space << 1);
    uint64_t taken = runs_from(m->newline, m->newline & sign << 1);
    uint64_t found = (m->letter & ~((m->letter | blank | prefix_ends(m, sign_starts)) << 1)) |
                     sign_starts | (one_digit ? m->digit : digit_starts(m->digit)) |
                     newline_starts(m, taken);
    uint64_t quote = m->quote & sign_starts & m->letter >> 1;
    for (quote &= ~(uint64_t)0 >> MARGIN; quote; quote &= quote - 1) {
        int at = __builtin_ctzll(quote), len = contraction_len(p + at, 32);
        if (len)
            found |= (uint64_t)1 << (at + len);
    }
    return found;
}

static inline uint64_t starts_o200k(const struct masks *m, const char *p, uint64_t *stop)
{
    uint64_t blank = m->space | m->white, lower = m->letter & ~m->upper;
    uint64_t sign = ~(m->letter | m->digit | blank | m->newline | m->high);
    uint64_t sign_starts = sign & ~(sign << 1) & ~(m->space << 1);
    uint64_t taken = runs_from(m->newline, m->newline & sign << 1);
    uint64_t found = (m->letter & ~((m->letter | blank | prefix_ends(m, sign_starts)) << 1)) |
                     sign_starts | (m->upper & lower << 1) | digit_starts(m->digit) |
                     newline_starts(m, taken);
    /* Left to the definition: [\r\n/]* that goes on over slashes behind newlines, and capitals
     * behind letters without case, where what follows decides. */
    *stop = (m->slash & taken << 1) | (m->upper & m->both << 1);
    uint64_t quote = m->quote & m->letter << 1 & m->letter >> 1;
    int end = -1; /* of the last contraction: no other one follows at once */
    for (quote &= ~(uint64_t)0 >> MARGIN; quote; quote &= quote - 1) {
        int at = __builtin_ctzll(quote), len = contraction_len(p + at, 32);
        if (!len || at == end)
            continue;
        end = at + len;
        found = (found & ~((((uint64_t)1 << len) - 1) << at)) | (uint64_t)1 << end;
    }
    return found;
}

/* Starts that are certain, without the one at 0. */
static inline uint64_t block_starts(enum pretok pretok, const struct masks *m, const char *p)
{
    uint64_t stop = m->high, found;
    if (pretok == PRETOK_GPT2) {
        found = starts_gpt2(m, p);
    } else if (pretok == PRETOK_O200K) {
        found = starts_o200k(m, p, &stop);
        stop |= m->high;
    } else {
        found = starts_cl100k(m, p, pretok == PRETOK_QWEN2);
    }
    /* seen: bytes before the first that is not understood. White space that reaches its end is cut
     * at its beginning only. */
    uint64_t seen = stop ? (stop & -stop) - 1 : ~(uint64_t)0;
    uint64_t all = m->space | m->white | m->newline;
    uint64_t other = ~all & seen;
    if (!other)
        return 0;
    uint64_t last_other = (uint64_t)1 << (63 - __builtin_clzll(other));
    uint64_t keep = seen >> MARGIN & ((last_other << 2) - 1);
    return found & keep & ~(uint64_t)1;
}

/* ---- reading the masks ---- */
#define TARGET_512 __attribute__((target("avx512f,avx512bw,avx512vl,avx512vbmi2,bmi,bmi2,lzcnt")))
#define TARGET_256 __attribute__((target("avx2,bmi,bmi2,lzcnt")))

struct bytes_512 {
    __m512i v;
};
struct bytes_256 {
    __m256i low, high;
};

TARGET_512 static inline struct bytes_512 load_512(const char *p)
{
    return (struct bytes_512){_mm512_loadu_si512(p)};
}

/* Bytes of first .. first + count - 1. */
TARGET_512 static inline uint64_t range_512(const struct bytes_512 *b, int first, int count)
{
    return _mm512_cmplt_epu8_mask(_mm512_sub_epi8(b->v, _mm512_set1_epi8((char)first)),
                                  _mm512_set1_epi8((char)count));
}

TARGET_512 static inline uint64_t equal_512(const struct bytes_512 *b, int c)
{
    return _mm512_cmpeq_epi8_mask(b->v, _mm512_set1_epi8((char)c));
}

TARGET_256 static inline struct bytes_256 load_256(const char *p)
{
    return (struct bytes_256){_mm256_loadu_si256((const __m256i *)(const void *)p),
                              _mm256_loadu_si256((const __m256i *)(const void *)(p + 32))};
}

TARGET_256 static inline uint64_t bits_256(__m256i low, __m256i high)
{
    return (uint32_t)_mm256_movemask_epi8(low) | (uint64_t)(uint32_t)_mm256_movemask_epi8(high)
                                                     << 32;
}

TARGET_256 static inline uint64_t range_256(const struct bytes_256 *b, int first, int count)
{
    __m256i from = _mm256_set1_epi8((char)first), most = _mm256_set1_epi8((char)(count - 1));
    __m256i low = _mm256_sub_epi8(b->low, from), high = _mm256_sub_epi8(b->high, from);
    return bits_256(_mm256_cmpeq_epi8(_mm256_min_epu8(low, most), low),
                    _mm256_cmpeq_epi8(_mm256_min_epu8(high, most), high));
}

TARGET_256 static inline uint64_t equal_256(const struct bytes_256 *b, int c)
{
    __m256i want = _mm256_set1_epi8((char)c);
    return bits_256(_mm256_cmpeq_epi8(b->low, want), _mm256_cmpeq_epi8(b->high, want));
}

/* The same text for both widths. READ_WIDE moves what it understands from m->high to letters and
 * signs. By first byte: C3 U+00C0-00FF; C4-C9 U+0100-024F, letters whose case alternates, so not
 * where case counts; D0 D1 U+0400-047F, of which the last 32 alternate; CE CF Greek; D7 Hebrew;
 * D8-DB Arabic (letters alone, and where case counts Greek up to U+03CE); E3 81-83 kana; E4-E9 Han;
 * EA-ED Hangul; C2 U+00A0 and signs; E2 and E3 80 punctuation and signs. U+017F stays out: 's may
 * be written with it. */
#define READ_WIDE(name, target, type, range, equal)                                                \
    target static inline void name(const struct type *b, struct masks *m, bool by_case)            \
    {                                                                                              \
        uint64_t tail = range(b, 0x80, 64), one = tail >> 1, two = one & tail >> 2;                \
        uint64_t latin = equal(b, 0xC3) & one & ~((equal(b, 0x97) | equal(b, 0xB7)) >> 1);         \
        uint64_t d0 = equal(b, 0xD0) & one, d1 = equal(b, 0xD1) & one, pairs, upper;               \
        if (by_case) {                                                                             \
            d1 &= range(b, 0x80, 32) >> 1;                                                         \
            upper = (latin & range(b, 0x80, 31) >> 1) | (d0 & range(b, 0x80, 48) >> 1);            \
            m->upper |= upper | upper << 1;                                                        \
            pairs = latin | d0 | d1;                                                               \
        } else {                                                                                   \
            pairs = latin | d0 | d1 |                                                              \
                    (range(b, 0xC4, 6) & one & ~(equal(b, 0xC5) & equal(b, 0xBF) >> 1));           \
        }                                                                                          \
        uint64_t more = (range(b, 0xCE, 2) | range(b, 0xD7, 5)) & one, caseless = 0;               \
        if (more) {                                                                                \
            uint64_t ce = equal(b, 0xCE), cf = equal(b, 0xCF), greek, second = range(b, 0x8E, 50); \
            second =                                                                               \
                (second & ~equal(b, 0xA2)) | range(b, 0x88, 3) | equal(b, 0x86) | equal(b, 0x8C);  \
            greek = (ce & second >> 1) |                                                           \
                    (cf & (by_case ? range(b, 0x80, 15) : tail & ~equal(b, 0xB6)) >> 1);           \
            caseless = (equal(b, 0xD7) & range(b, 0x90, 27) >> 1) |                                \
                       (equal(b, 0xD8) & range(b, 0xA0, 32) >> 1) |                                \
                       (equal(b, 0xD9) & range(b, 0x80, 11) >> 1) | equal(b, 0xDA) |               \
                       (equal(b, 0xDB) & range(b, 0x80, 20) >> 1);                                 \
            greek &= more;                                                                         \
            caseless &= more;                                                                      \
            upper = greek & ce & ~((range(b, 0xAC, 20) | equal(b, 0x90)) >> 1);                    \
            m->upper |= by_case ? upper | upper << 1 : 0;                                          \
            m->both = caseless | caseless << 1;                                                    \
            pairs |= greek | caseless;                                                             \
        }                                                                                          \
        uint64_t both = 0, sign = 0, e = range(b, 0xE2, 12) & two, c2 = equal(b, 0xC2) & one;      \
        if (c2) {                                                                                  \
            uint64_t blank = c2 & equal(b, 0xA0) >> 1;                                             \
            uint64_t others = range(b, 0x80, 33) | equal(b, 0xAA) | range(b, 0xB2, 2) |            \
                              equal(b, 0xB5) | range(b, 0xB9, 2) | range(b, 0xBC, 3);              \
            m->pair_sign = c2 & ~(others >> 1);                                                    \
            m->white_tail = blank << 1;                                                            \
            m->white |= blank | m->white_tail;                                                     \
            m->high &= ~(blank | m->white_tail | m->pair_sign | m->pair_sign << 1);                \
        }                                                                                          \
        if (e) {                                                                                   \
            uint64_t e3 = equal(b, 0xE3), high = range(b, 0xB8, 8);                                \
            both = range(b, 0xE5, 5) | range(b, 0xEB, 2) | (equal(b, 0xE4) & high >> 1) |          \
                   (equal(b, 0xEA) & range(b, 0xB0, 16) >> 1) |                                    \
                   (equal(b, 0xED) & range(b, 0x80, 30) >> 1) |                                    \
                   (e3 & equal(b, 0x81) >> 1 & ~(equal(b, 0x80) >> 2)) |                           \
                   (e3 & equal(b, 0x82) >> 1 & ~((range(b, 0x97, 6) | equal(b, 0xA0)) >> 2)) |     \
                   (e3 & equal(b, 0x83) >> 1 & ~(equal(b, 0xBB) >> 2));                            \
            sign = (equal(b, 0xE2) &                                                               \
                    ((equal(b, 0x80) >> 1 & (range(b, 0x8B, 29) | range(b, 0xB0, 16)) >> 2) |      \
                     (equal(b, 0x86) >> 1 & range(b, 0x90, 48) >> 2) |                             \
                     (equal(b, 0x9D) >> 1 & range(b, 0x80, 54) >> 2) |                             \
                     (range(b, 0x87, 10) | range(b, 0x94, 9) | range(b, 0x9F, 17)) >> 1)) |        \
                   (e3 & equal(b, 0x80) >> 1 & (range(b, 0x81, 3) | range(b, 0x88, 24)) >> 2);     \
            both &= e;                                                                             \
            sign &= e;                                                                             \
            m->wide_sign = sign;                                                                   \
            sign |= sign << 1 | sign << 2;                                                         \
            m->both |= both | both << 1 | both << 2;                                               \
        }                                                                                          \
        uint64_t letters = pairs | pairs << 1 | m->both;                                           \
        m->letter |= letters;                                                                      \
        m->high &= ~(letters | sign);                                                              \
    }

#define READ_MASKS(name, target, type, load, range, equal, wide)                                   \
    target static inline void name(const char *p, struct masks *m, bool by_case)                   \
    {                                                                                              \
        struct type bytes = load(p), *b = &bytes;                                                  \
        m->upper = range(b, 'A', 26);                                                              \
        m->letter = m->upper | range(b, 'a', 26);                                                  \
        m->digit = range(b, '0', 10);                                                              \
        m->space = equal(b, ' ');                                                                  \
        m->newline = equal(b, '\n') | equal(b, '\r');                                              \
        m->white = range(b, 9, 5) & ~m->newline;                                                   \
        m->high = range(b, 0x80, 128);                                                             \
        m->quote = equal(b, '\'');                                                                 \
        m->slash = equal(b, '/');                                                                  \
        m->both = m->pair_sign = m->wide_sign = m->white_tail = 0;                                 \
        if (m->high)                                                                               \
            wide(b, m, by_case);                                                                   \
    }

READ_WIDE(wide_512, TARGET_512, bytes_512, range_512, equal_512)
READ_WIDE(wide_256, TARGET_256, bytes_256, range_256, equal_256)
READ_MASKS(read_512, TARGET_512, bytes_512, load_512, range_512, equal_512, wide_512)
READ_MASKS(read_256, TARGET_256, bytes_256, load_256, range_256, equal_256, wide_256)

/* ---- writing the places ---- */
/* Writes base + place of every bit; room for 64 is needed. */
TARGET_512 static inline uint32_t write_512(uint64_t bits, uint32_t base, uint32_t *out)
{
    static const uint8_t places[64] = {
        0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21,
        22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40, 41, 42, 43,
        44, 45, 46, 47, 48, 49, 50, 51, 52, 53, 54, 55, 56, 57, 58, 59, 60, 61, 62, 63};
    uint32_t count = (uint32_t)__builtin_popcountll(bits);
    __m512i place = _mm512_maskz_compress_epi8(bits, _mm512_loadu_si512(places));
    __m512i first = _mm512_set1_epi32((int)base);
    _mm512_storeu_si512(
        out, _mm512_add_epi32(first, _mm512_cvtepu8_epi32(_mm512_castsi512_si128(place))));
    _mm512_storeu_si512(
        out + 16,
        _mm512_add_epi32(first, _mm512_cvtepu8_epi32(_mm512_extracti32x4_epi32(place, 1))));
    if (count > 32) {
        _mm512_storeu_si512(
            out + 32,
            _mm512_add_epi32(first, _mm512_cvtepu8_epi32(_mm512_extracti32x4_epi32(place, 2))));
        _mm512_storeu_si512(
            out + 48,
            _mm512_add_epi32(first, _mm512_cvtepu8_epi32(_mm512_extracti32x4_epi32(place, 3))));
    }
    return count;
}

TARGET_256 static inline uint32_t write_256(uint64_t bits, uint32_t base, uint32_t *out)
{
    uint32_t count = (uint32_t)__builtin_popcountll(bits);
    for (uint32_t done = 0; done < count; done += 8)
        for (uint32_t i = 0; i < 8; i++, bits &= bits - 1)
            out[done + i] = base + (bits ? (uint32_t)__builtin_ctzll(bits) : 0);
    return count;
}

/* One loop for each width: names and targets differ, nothing else. */
#define SPLIT_LOOP(name, target, read, write)                                                      \
    target static inline __attribute__((always_inline)) uint32_t name(                             \
        enum pretok pretok, struct str text, size_t pos, uint32_t *end, uint32_t max)              \
    {                                                                                              \
        uint32_t count = 0, scalar = 0;                                                            \
        size_t at = pos;                                                                           \
        while (count + BLOCK <= max && text.len - at >= BLOCK && at - pos < OFFSET_MAX) {          \
            if (!scalar) {                                                                         \
                struct masks m;                                                                    \
                read(text.ptr + at, &m, pretok == PRETOK_O200K);                                   \
                if (m.high & (((uint64_t)1 << KNOWN_MIN) - 1))                                     \
                    scalar = SCALAR_RUN;                                                           \
                uint64_t starts = block_starts(pretok, &m, text.ptr + at);                         \
                if (starts) {                                                                      \
                    count += write(starts, (uint32_t)(at - pos), end + count);                     \
                    at += 63 - (unsigned)__builtin_clzll(starts);                                  \
                    continue;                                                                      \
                }                                                                                  \
            } else {                                                                               \
                scalar--;                                                                          \
            }                                                                                      \
            at = pretok_next(pretok, text, at);                                                    \
            if (at - pos >= OFFSET_MAX)                                                            \
                return count;                                                                      \
            end[count++] = (uint32_t)(at - pos);                                                   \
        }                                                                                          \
        return count;                                                                              \
    }

SPLIT_LOOP(loop_512, TARGET_512, read_512, write_512)
SPLIT_LOOP(loop_256, TARGET_256, read_256, write_256)

/* A loop a pattern, so that the choice of pattern is made by the compiler. */
#define SPLIT_PATTERNS(name, target, loop)                                                         \
    target static uint32_t name(enum pretok p, struct str text, size_t pos, uint32_t *end,         \
                                uint32_t max)                                                      \
    {                                                                                              \
        if (p == PRETOK_GPT2)                                                                      \
            return loop(PRETOK_GPT2, text, pos, end, max);                                         \
        if (p == PRETOK_O200K)                                                                     \
            return loop(PRETOK_O200K, text, pos, end, max);                                        \
        if (p == PRETOK_QWEN2)                                                                     \
            return loop(PRETOK_QWEN2, text, pos, end, max);                                        \
        return p == PRETOK_CL100K_TT ? loop(PRETOK_CL100K_TT, text, pos, end, max)                 \
                                     : loop(PRETOK_CL100K, text, pos, end, max);                   \
    }

SPLIT_PATTERNS(split_512, TARGET_512, loop_512)
SPLIT_PATTERNS(split_256, TARGET_256, loop_256)

static uint32_t split_blocks(enum pretok p, struct str text, size_t pos, uint32_t *end,
                             uint32_t max)
{
    if (p == PRETOK_DEEPSEEK3)
        return 0;
    if (__builtin_cpu_supports("avx512vbmi2") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512vl"))
        return split_512(p, text, pos, end, max);
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi2")
               ? split_256(p, text, pos, end, max)
               : 0;
}
#else
static uint32_t split_blocks(enum pretok p, struct str text, size_t pos, uint32_t *end,
                             uint32_t max)
{
    UNUSED(p), UNUSED(text), UNUSED(pos), UNUSED(end), UNUSED(max);
    return 0;
}
#endif

uint32_t pretok_split(enum pretok p, struct str text, size_t pos, uint32_t *end, uint32_t max)
{
    uint32_t count = split_blocks(p, text, pos, end, max);
    size_t at = count ? pos + end[count - 1] : pos;
    while (count < max && at < text.len) {
        at = pretok_next(p, text, at);
        if (at - pos >= OFFSET_MAX && count)
            break;
        end[count++] = (uint32_t)(at - pos);
    }
    return count;
}

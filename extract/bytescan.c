/* bytescan - what the bytes of a page are: valid UTF-8 or not, how many beyond ASCII, NUL, ESC. */
/* 32 bytes at a time where the processor can. Every fault of UTF-8 shows in two neighbouring bytes
 * (Keiser and Lemire, Validating UTF-8 in less than one instruction per byte, 2021): three look-ups
 * of half bytes give the faults that each half allows, and what all three allow is one. Only the
 * second continuation byte of three or four needs another look. A page with a fault is looked at
 * again, slowly, to count them. */
#include "extract/parts.h"

/* Length of a valid sequence at s, or minus the bytes of its longest valid start (at least 1): what
 * the standard's decoder replaces by one U+FFFD. */
int utf8_step(const unsigned char *s, const unsigned char *end)
{
    unsigned low = 0x80, high = 0xBF;
    int need = s[0] < 0xC2 ? 0 : s[0] < 0xE0 ? 1 : s[0] < 0xF0 ? 2 : s[0] < 0xF5 ? 3 : 0;
    if (need == 0)
        return -1;
    if (s[0] == 0xE0)
        low = 0xA0;
    else if (s[0] == 0xED)
        high = 0x9F;
    else if (s[0] == 0xF0)
        low = 0x90;
    else if (s[0] == 0xF4)
        high = 0x8F;
    for (int i = 1; i <= need; i++, low = 0x80, high = 0xBF)
        if (s + i >= end || s[i] < low || s[i] > high)
            return -i;
    return need + 1;
}

const unsigned char *skip_ascii(const unsigned char *s, const unsigned char *end)
{
    for (uint64_t eight; end - s >= 8; s += 8) {
        memcpy(&eight, s, 8);
        if (eight & 0x8080808080808080u)
            break;
    }
    while (s < end && *s < 0x80)
        s++;
    return s;
}

struct byte_facts bytes_look_slowly(struct str raw)
{
    struct byte_facts f = {0};
    const unsigned char *s = (const unsigned char *)raw.ptr, *end = s + raw.len;
    while (raw.len && (s = skip_ascii(s, end)) < end) {
        int step = utf8_step(s, end);
        if (step > 0)
            f.sequences++;
        else
            f.bad++;
        s += step > 0 ? step : -step;
        if (f.bad * BYTES_SCARS > f.sequences + (uint64_t)(end - s) / 2)
            break; /* whatever comes, it is not UTF-8 with scars */
    }
    for (size_t i = 0; i < raw.len; i++)
        f.high += (unsigned char)raw.ptr[i] >> 7;
    f.nul = raw.len && memchr(raw.ptr, 0, raw.len);
    f.escape = raw.len && memchr(raw.ptr, 0x1B, raw.len);
    return f;
}

#if defined(__x86_64__)
#include <immintrin.h>

/* Faults, one bit each: of the byte before and the byte at hand. */
enum {
    SHORT = 1,                /* a start, then no continuation */
    LONG = 2,                 /* ASCII, then a continuation */
    OVERLONG_3 = 4,           /* E0 80..9F */
    LARGE = 8,                /* F4 90.., F5.. 90.. */
    SURROGATE = 16,           /* ED A0..BF */
    OVERLONG_2 = 32,          /* C0, C1 */
    LARGE_OVERLONG_4 = 64,    /* F5.. 80..8F, F0 80..8F */
    TWO = 128,                /* two continuations: none if three bytes before says so */
    ANY = SHORT | LONG | TWO, /* whatever the low half of the byte before is */
};
static const uint8_t before_high[16] = {
    LONG,
    LONG,
    LONG,
    LONG,
    LONG,
    LONG,
    LONG,
    LONG,
    TWO,
    TWO,
    TWO,
    TWO,
    SHORT | OVERLONG_2,
    SHORT,
    SHORT | OVERLONG_3 | SURROGATE,
    SHORT | LARGE | LARGE_OVERLONG_4,
};
static const uint8_t before_low[16] = {
    ANY | OVERLONG_2 | OVERLONG_3 | LARGE_OVERLONG_4,
    ANY | OVERLONG_2,
    ANY,
    ANY,
    ANY | LARGE,
    ANY | LARGE | LARGE_OVERLONG_4,
    ANY | LARGE | LARGE_OVERLONG_4,
    ANY | LARGE | LARGE_OVERLONG_4,
    ANY | LARGE | LARGE_OVERLONG_4,
    ANY | LARGE | LARGE_OVERLONG_4,
    ANY | LARGE | LARGE_OVERLONG_4,
    ANY | LARGE | LARGE_OVERLONG_4,
    ANY | LARGE | LARGE_OVERLONG_4,
    ANY | LARGE | LARGE_OVERLONG_4 | SURROGATE,
    ANY | LARGE | LARGE_OVERLONG_4,
    ANY | LARGE | LARGE_OVERLONG_4,
};
static const uint8_t here_high[16] = {
    SHORT,
    SHORT,
    SHORT,
    SHORT,
    SHORT,
    SHORT,
    SHORT,
    SHORT,
    LONG | TWO | OVERLONG_2 | OVERLONG_3 | LARGE_OVERLONG_4,
    LONG | TWO | OVERLONG_2 | OVERLONG_3 | LARGE,
    LONG | TWO | OVERLONG_2 | SURROGATE | LARGE,
    LONG | TWO | OVERLONG_2 | SURROGATE | LARGE,
    SHORT,
    SHORT,
    SHORT,
    SHORT,
};

/* The block `back` bytes earlier. */
#define EARLIER(here, last, back)                                                                  \
    _mm256_alignr_epi8(here, _mm256_permute2x128_si256(last, here, 0x21), 16 - (back))

__attribute__((target("avx2"))) static inline __m256i table(const uint8_t entries[16])
{
    __m128i half;
    memcpy(&half, entries, sizeof half);
    return _mm256_broadcastsi128_si256(half);
}

/* Not zero where here, with the bytes before it, is no UTF-8. */
__attribute__((target("avx2"))) static inline __m256i faults(__m256i here, __m256i last)
{
    const __m256i half = _mm256_set1_epi8(15);
    __m256i one = EARLIER(here, last, 1), two = EARLIER(here, last, 2);
    __m256i three = EARLIER(here, last, 3);
    __m256i found =
        _mm256_shuffle_epi8(table(before_high), _mm256_and_si256(_mm256_srli_epi16(one, 4), half));
    found = _mm256_and_si256(found,
                             _mm256_shuffle_epi8(table(before_low), _mm256_and_si256(one, half)));
    found = _mm256_and_si256(
        found,
        _mm256_shuffle_epi8(table(here_high), _mm256_and_si256(_mm256_srli_epi16(here, 4), half)));
    /* 80 where a start of three bytes stands two before, or one of four three before */
    __m256i inside = _mm256_or_si256(_mm256_subs_epu8(two, _mm256_set1_epi8(0xE0 - 0x80)),
                                     _mm256_subs_epu8(three, _mm256_set1_epi8(0xF0 - 0x80)));
    return _mm256_xor_si256(found, _mm256_and_si256(inside, _mm256_set1_epi8((char)0x80)));
}

__attribute__((target("avx2,popcnt"))) static bool look_avx2(struct str raw, struct byte_facts *f)
{
    const __m256i zero = _mm256_setzero_si256(), escape = _mm256_set1_epi8(0x1B);
    __m256i last = zero, fault = zero, nul = zero, esc = zero;
    bool pending = false; /* the last block was not all ASCII: it may have ended in a start */
    size_t at = 0;
    for (; at <= raw.len; at += 32) { /* the last block, empty or not, is filled up with blanks */
        char tail[32];
        const char *from = raw.ptr + at;
        if (raw.len - at < 32) {
            memset(tail, ' ', sizeof tail);
            if (raw.len > at)
                memcpy(tail, from, raw.len - at);
            from = tail;
        }
        __m256i here = _mm256_loadu_si256((const __m256i *)(const void *)from);
        uint32_t high = (uint32_t)_mm256_movemask_epi8(here);
        nul = _mm256_or_si256(nul, _mm256_cmpeq_epi8(here, zero));
        esc = _mm256_or_si256(esc, _mm256_cmpeq_epi8(here, escape));
        if (high || pending)
            fault = _mm256_or_si256(fault, faults(here, last));
        if (high) { /* starts of sequences are C0 and above: -64 to -1 */
            __m256i above = _mm256_cmpgt_epi8(here, _mm256_set1_epi8((char)0xBF));
            f->sequences += (uint64_t)_mm_popcnt_u32((uint32_t)_mm256_movemask_epi8(above) & high);
            f->high += (uint64_t)_mm_popcnt_u32(high);
        }
        pending = high != 0;
        last = here;
    }
    f->nul = !_mm256_testz_si256(nul, nul);
    f->escape = !_mm256_testz_si256(esc, esc);
    return _mm256_testz_si256(fault, fault);
}
#endif

struct byte_facts bytes_look(struct str raw)
{
#if defined(__x86_64__)
    struct byte_facts f = {0};
    if (raw.len >= 32 && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("popcnt") &&
        look_avx2(raw, &f))
        return f;
#endif
    return bytes_look_slowly(raw);
}

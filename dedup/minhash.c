/* minhash - near-duplicates: the least hashes of a document's word shingles under many hash
 * functions.
 *
 * A word's hash is XXH3-64 of its lower-cased bytes; a shingle's is a polynomial in the hashes of
 * its words, mixed. The polynomial rolls: its price does not depend on the shingle's length. Each
 * of the bands * rows values is the least of lo * a + hi * b mod 2^32 over the shingles, with a
 * odd. As (lo, hi) are 64 well-mixed bits, this needs no prime modulus: two 32-bit multiplications
 * and a minimum, 16 values at a time with AVX-512. (The usual (h * a + b) mod 2^61-1 needs 64-bit
 * products and a reduction per value, and stores twice the bytes.) Two unequal shingles share a
 * value by chance with probability about shingles / 2^32. */
#include "dedup/sketch.h"

#include "core/err.h"
#include "core/unicode.h"

#include <assert.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

enum { LANES = 16, BLOCK_SHINGLES = 512, SHINGLE_MAX = 64, WORD_CHUNK = 240 };
#define POLYNOMIAL 0x9FB21C651E98DF25u /* odd, bits well spread: one of XXH3's own constants */

struct minhash_local {
    bool ready;
    int level;
    uint32_t lanes;
    uint64_t drop; /* POLYNOMIAL ^ shingle: takes the oldest word out */
    uint32_t mul_low[DEDUP_VALUES_MAX], mul_high[DEDUP_VALUES_MAX], value[DEDUP_VALUES_MAX];
    uint32_t low[BLOCK_SHINGLES], high[BLOCK_SHINGLES];
    uint64_t window[SHINGLE_MAX]; /* hashes of the last words, a ring */
};

uint32_t sketch_values_count(const struct dedup_conf *conf)
{
    return conf->minhash ? (uint32_t)(conf->bands * conf->rows) : 0;
}

void minhash_multipliers(uint64_t seed, uint32_t index, uint32_t *mul_low, uint32_t *mul_high)
{
    uint64_t drawn = hash_mix(hash_mix(seed) ^ index);
    *mul_low = (uint32_t)drawn | 1;
    *mul_high = (uint32_t)(drawn >> 32);
}

/* ---- folding: the loop that takes the time ---- */

static void fold_plain(uint32_t *values, const uint32_t *mul_low, const uint32_t *mul_high,
                       uint32_t lanes, const uint32_t *low, const uint32_t *high, uint32_t count)
{
    for (uint32_t s = 0; s < count; s++) {
        for (uint32_t i = 0; i < lanes; i++) {
            uint32_t hash = low[s] * mul_low[i] + high[s] * mul_high[i];
            values[i] = hash < values[i] ? hash : values[i];
        }
    }
}

#if defined(__x86_64__)
__attribute__((target("avx2"))) static void fold_avx2(uint32_t *values, const uint32_t *mul_low,
                                                      const uint32_t *mul_high, uint32_t lanes,
                                                      const uint32_t *low, const uint32_t *high,
                                                      uint32_t count)
{
    for (uint32_t i = 0; i < lanes; i += LANES) {
        __m256i a0 = _mm256_loadu_si256((const __m256i *)(mul_low + i));
        __m256i a1 = _mm256_loadu_si256((const __m256i *)(mul_low + i + 8));
        __m256i b0 = _mm256_loadu_si256((const __m256i *)(mul_high + i));
        __m256i b1 = _mm256_loadu_si256((const __m256i *)(mul_high + i + 8));
        __m256i least0 = _mm256_loadu_si256((const __m256i *)(values + i));
        __m256i least1 = _mm256_loadu_si256((const __m256i *)(values + i + 8));
        for (uint32_t s = 0; s < count; s++) {
            __m256i lo = _mm256_set1_epi32((int)low[s]), hi = _mm256_set1_epi32((int)high[s]);
            __m256i hash0 =
                _mm256_add_epi32(_mm256_mullo_epi32(lo, a0), _mm256_mullo_epi32(hi, b0));
            __m256i hash1 =
                _mm256_add_epi32(_mm256_mullo_epi32(lo, a1), _mm256_mullo_epi32(hi, b1));
            least0 = _mm256_min_epu32(least0, hash0);
            least1 = _mm256_min_epu32(least1, hash1);
        }
        _mm256_storeu_si256((__m256i *)(values + i), least0);
        _mm256_storeu_si256((__m256i *)(values + i + 8), least1);
    }
}

/* Two vectors at a time: their products overlap, one alone would wait for its own latency. */
__attribute__((target("avx512f"))) static void fold_avx512(uint32_t *values,
                                                           const uint32_t *mul_low,
                                                           const uint32_t *mul_high, uint32_t lanes,
                                                           const uint32_t *low,
                                                           const uint32_t *high, uint32_t count)
{
    for (uint32_t i = 0; i < lanes; i += 2 * LANES) {
        uint32_t j = i + LANES < lanes ? i + LANES : i;
        __m512i a0 = _mm512_loadu_si512(mul_low + i), a1 = _mm512_loadu_si512(mul_low + j);
        __m512i b0 = _mm512_loadu_si512(mul_high + i), b1 = _mm512_loadu_si512(mul_high + j);
        __m512i least0 = _mm512_loadu_si512(values + i), least1 = _mm512_loadu_si512(values + j);
        for (uint32_t s = 0; s < count; s++) {
            __m512i lo = _mm512_set1_epi32((int)low[s]), hi = _mm512_set1_epi32((int)high[s]);
            __m512i hash0 =
                _mm512_add_epi32(_mm512_mullo_epi32(lo, a0), _mm512_mullo_epi32(hi, b0));
            __m512i hash1 =
                _mm512_add_epi32(_mm512_mullo_epi32(lo, a1), _mm512_mullo_epi32(hi, b1));
            least0 = _mm512_min_epu32(least0, hash0);
            least1 = _mm512_min_epu32(least1, hash1);
        }
        _mm512_storeu_si512(values + i, least0);
        _mm512_storeu_si512(values + j, least1);
    }
}
#endif

int minhash_level(void)
{
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f"))
        return 2;
    if (__builtin_cpu_supports("avx2"))
        return 1;
#endif
    return 0;
}

void minhash_fold(int level, uint32_t *values, const uint32_t *mul_low, const uint32_t *mul_high,
                  uint32_t lanes, const uint32_t *low, const uint32_t *high, uint32_t count)
{
    assert(lanes % LANES == 0);
#if defined(__x86_64__)
    if (level == 2) {
        fold_avx512(values, mul_low, mul_high, lanes, low, high, count);
        return;
    }
    if (level == 1) {
        fold_avx2(values, mul_low, mul_high, lanes, low, high, count);
        return;
    }
#endif
    UNUSED(level);
    fold_plain(values, mul_low, mul_high, lanes, low, high, count);
}

/* ---- words to shingles ---- */

/* Chained in chunks, so that a word of megabytes needs no memory. */
uint64_t minhash_word(struct str word)
{
    char chunk[WORD_CHUNK + 4];
    size_t used = 0;
    uint64_t hash = 0;
    const char *at = word.ptr, *end = word.ptr + word.len;
    while (at < end) {
        unsigned char c = (unsigned char)*at;
        if (c < 0x80) {
            chunk[used++] = (char)(c >= 'A' && c <= 'Z' ? c + 32 : c);
            at++;
        } else {
            uint32_t cp;
            at += utf8_decode(at, end, &cp);
            used += (size_t)utf8_encode(uc_lower(cp), chunk + used);
        }
        if (used >= WORD_CHUNK) {
            hash = hash64(chunk, used, hash);
            used = 0;
        }
    }
    return used || word.len == 0 ? hash64(chunk, used, hash) : hash;
}

static void local_init(struct minhash_local *l, const struct dedup_conf *conf)
{
    uint32_t count = sketch_values_count(conf);
    l->lanes = (count + LANES - 1) / LANES * LANES;
    assert(l->lanes <= DEDUP_VALUES_MAX);
    for (uint32_t i = 0; i < l->lanes; i++)
        minhash_multipliers((uint64_t)conf->seed, i, &l->mul_low[i], &l->mul_high[i]);
    l->drop = 1;
    for (int64_t i = 0; i < conf->shingle; i++)
        l->drop *= POLYNOMIAL;
    l->level = minhash_level();
    l->ready = true;
}

struct folder {
    struct minhash_local *l;
    uint32_t count;
};

static void fold_shingle(struct folder *f, uint64_t polynomial)
{
    struct minhash_local *l = f->l;
    uint64_t hash = hash_mix(polynomial);
    l->low[f->count] = (uint32_t)hash;
    l->high[f->count] = (uint32_t)(hash >> 32);
    if (++f->count < BLOCK_SHINGLES)
        return;
    minhash_fold(l->level, l->value, l->mul_low, l->mul_high, l->lanes, l->low, l->high, f->count);
    f->count = 0;
}

/* Number of words that counted; the values are in l->value. */
static uint64_t fold_document(struct minhash_local *l, const struct dedup_conf *conf,
                              struct str text, struct view words)
{
    uint32_t width = (uint32_t)conf->shingle;
    uint64_t seen = 0, polynomial = 0;
    uint32_t oldest = 0;
    struct folder f = {l, 0};
    memset(l->value, 0xff, l->lanes * sizeof l->value[0]);
    for (uint32_t i = 0; i < words.count; i++) {
        struct str word = span_str(text, words.span[i]);
        if (!word_is_alnum(word))
            continue;
        uint64_t hash = minhash_word(word);
        uint64_t *slot = &l->window[oldest];
        oldest = oldest + 1 == width ? 0 : oldest + 1;
        polynomial = polynomial * POLYNOMIAL + hash;
        if (seen >= width)
            polynomial -= l->drop * *slot;
        *slot = hash;
        if (++seen >= width)
            fold_shingle(&f, polynomial);
    }
    if (seen > 0 && seen < width)
        fold_shingle(&f,
                     polynomial ^
                         hash_mix(seen)); /* fewer words than a shingle: the whole text is one */
    minhash_fold(l->level, l->value, l->mul_low, l->mul_high, l->lanes, l->low, l->high, f.count);
    return seen;
}

static int minhash_sign(const void *conf_, void *local, struct batch *b, struct doc *d)
{
    const struct dedup_conf *conf = conf_;
    struct minhash_local *l = local;
    if (!l->ready)
        local_init(l, conf);
    d->sketch = NULL;
    d->sketch_bytes = 0;
    struct view words = doc_words(b, d);
    if (!fold_document(l, conf, d->text, words))
        return 0;
    uint32_t count = sketch_values_count(conf);
    uint32_t *slot = arena_array(&b->arena, uint32_t, count);
    if (!slot)
        return err_in(ERR_LIMIT, "dedup: %u MinHash values", count);
    memcpy(slot, l->value, count * sizeof *slot);
    d->sketch = slot;
    d->sketch_bytes = (uint32_t)(count * sizeof *slot);
    return 0;
}

static uint32_t minhash_bytes(const void *conf)
{
    return sketch_values_count(conf) * (uint32_t)sizeof(uint32_t);
}

const struct dedup_method dedup_minhash = {
    .local_size = sizeof(struct minhash_local),
    .sign = minhash_sign,
    .sketch_bytes = minhash_bytes,
    .bands = 0,
};

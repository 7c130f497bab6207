/* merge_many - merging many short pieces in step with each other.
 *
 * One piece alone waits: a merge is chosen, the orders of its two new neighbours are looked up in a
 * table larger than the nearer caches, and only then is the next merge known. In step, each piece
 * asks for the lines of its two looks and is left alone until the others have done the same. With
 * AVX-512 a piece's symbols and orders are a register each, a look is one comparison of a line, and
 * no branch depends on whether a pair merges, which is as good as a coin: 84 ns a made-up word
 * where the plain loop below, which is the definition, takes 131. */
#include "tokenize/bpe.h"

#include <assert.h>

#if defined __x86_64__
#include <immintrin.h>
#endif

/* ---- without AVX-512 ---- */
static inline void job_begin(const struct tokenizer *t, struct merge_job *j)
{
    const uint32_t *byte_pair = t->fast.byte_pair;
    unsigned char byte[sizeof j->key];
    memcpy(byte, &j->key, sizeof byte);
    for (uint32_t i = 0; i + 1 < j->state.count; i++) {
        j->symbol[i] = t->byte_id[byte[i]];
        j->order[i] = byte_pair[byte[i] << 8 | byte[i + 1]];
    }
    j->symbol[j->state.count - 1] = t->byte_id[byte[j->state.count - 1]];
}

static inline void ask(const struct merge_map *m, uint64_t key)
{
    __builtin_prefetch(&m->slot[merge_place(m, key)]);
}

/* The lowest merge of a piece, and a request for the orders of its new neighbours; false: none. */
static inline bool job_merge(const struct merge_map *m, struct merge_job *j)
{
    /* Order and place in one number: the lowest is the leftmost of its kind. */
    uint32_t lowest = NO_ID;
    for (uint32_t i = 0; i + 1 < j->state.count; i++) {
        uint32_t here = j->order[i] << 4 | i;
        lowest = here < lowest ? here : lowest;
    }
    if (lowest >= NO_ID << 4)
        return false;
    uint32_t at = lowest & 15;
    j->symbol[at] = m->id ? m->id[lowest >> 4] : lowest >> 4;
    j->state.count--;
    for (uint32_t i = at + 1; i < j->state.count; i++) {
        j->symbol[i] = j->symbol[i + 1];
        j->order[i - 1] = j->order[i];
    }
    j->state.at = at;
    if (at)
        ask(m, merge_key(j->symbol[at - 1], j->symbol[at]));
    if (at + 1 < j->state.count)
        ask(m, merge_key(j->symbol[at], j->symbol[at + 1]));
    return j->state.count > 1;
}

static inline void job_look(const struct merge_map *m, struct merge_job *j)
{
    uint32_t at = j->state.at;
    if (at)
        j->order[at - 1] = merge_find(m, j->symbol[at - 1], j->symbol[at]);
    if (at + 1 < j->state.count)
        j->order[at] = merge_find(m, j->symbol[at], j->symbol[at + 1]);
}

void bpe_merge_plain(const struct tokenizer *t, struct merge_job **job, uint32_t count)
{
    uint32_t active = count;
    for (uint32_t i = 0; i < count; i++)
        job_begin(t, job[i]);
    for (bool first = true; active; first = false) {
        uint32_t kept = 0;
        for (uint32_t i = 0; i < active; i++) {
            if (!first)
                job_look(&t->fast, job[i]);
            if (job_merge(&t->fast, job[i]))
                job[kept++] = job[i];
        }
        active = kept;
    }
}

void bpe_merge_wide_plain(const struct tokenizer *t, struct merge_wide **job, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        struct merge_wide *j = job[i];
        struct str bytes = {(const char *)j->byte, j->state.count};
        j->state.count = bpe_merge_bytes(t, bytes, j->symbol, NULL); /* too few for work */
    }
}

/* ---- with AVX-512 ---- */
#if defined __x86_64__
/* Vectors of the numbers that go into one key, as gcc would have them, cost more than they save. */
#define TARGET __attribute__((target("avx512f,bmi,bmi2,lzcnt"), optimize("no-tree-slp-vectorize")))
#define INLINE_TARGET TARGET static inline __attribute__((always_inline))

/* One vector of a job of up to 16 symbols, the first or the second of one of up to 32. */
INLINE_TARGET void vector_begin(const struct tokenizer *t, const unsigned char *byte, uint32_t in,
                                uint32_t *symbol, uint32_t *order)
{
    __m512i one = _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)(const void *)byte));
    __m512i next = _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)(const void *)(byte + 1)));
    __m512i two = _mm512_or_si512(_mm512_slli_epi32(one, 8), next), none = _mm512_set1_epi32(-1);
    _mm512_store_si512(symbol,
                       _mm512_mask_i32gather_epi32(none, (__mmask16)in, one, t->byte_id, 4));
    _mm512_store_si512(
        order, _mm512_mask_i32gather_epi32(none, (__mmask16)(in >> 1), two, t->fast.byte_pair, 4));
}

INLINE_TARGET uint64_t asked(const struct merge_map *m, uint64_t key)
{
    ask(m, key);
    return key;
}

/* A vector without its first one, and with the first of the next one where there is more. */
INLINE_TARGET __m512i moved_up(const uint32_t *from, bool more)
{
    __m512i here = _mm512_load_si512(from), none = _mm512_set1_epi32(-1);
    return _mm512_alignr_epi32(more ? _mm512_load_si512(from + 16) : none, here, 1);
}

/* As job_merge. Beside the first and the last symbol there is nothing, and looks for it are wasted:
 * vector_look does not use what they find. */
INLINE_TARGET bool vector_merge(const struct merge_map *m, uint32_t *symbol, uint32_t *order,
                                struct merge_state *s, uint32_t width)
{
    const __m512i places = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
    const uint32_t bits = width == 16 ? 4 : 5, most = width - 1;
    __m512i here = _mm512_or_si512(_mm512_slli_epi32(_mm512_load_si512(order), bits), places);
    if (width > 16) {
        __m512i there = _mm512_slli_epi32(_mm512_load_si512(order + 16), bits);
        there = _mm512_or_si512(there, _mm512_or_si512(places, _mm512_set1_epi32(16)));
        here = _mm512_min_epu32(here, there);
    }
    uint32_t lowest = _mm512_reduce_min_epu32(here);
    if (lowest >= NO_ID << bits)
        return false;
    uint32_t at = lowest & most, made = m->id ? m->id[lowest >> bits] : lowest >> bits;
    s->left = asked(m, merge_key(symbol[(at - 1) & most], made));
    s->right = asked(m, merge_key(made, symbol[(at + 2) & most]));
    s->at = at;
    /* What stands behind moves up by one. */
    uint64_t behind = ~(uint64_t)1 << at, place = (uint64_t)1 << at;
    for (uint32_t i = 0; i < width; i += 16) {
        __m512i next = moved_up(symbol + i, i + 16 < width),
                after = moved_up(order + i, i + 16 < width);
        __m512i now =
            _mm512_mask_mov_epi32(_mm512_load_si512(symbol + i), (__mmask16)(behind >> i), next);
        now = _mm512_mask_mov_epi32(now, (__mmask16)(place >> i), _mm512_set1_epi32((int)made));
        _mm512_store_si512(symbol + i, now);
        _mm512_store_si512(order + i, _mm512_mask_mov_epi32(_mm512_load_si512(order + i),
                                                            (__mmask16)(behind >> i), after));
    }
    return --s->count > 1;
}

/* merge_find, a line at a time. */
INLINE_TARGET uint32_t line_look(const struct merge_map *m, uint64_t key)
{
    const __m512i want = _mm512_set1_epi64((long long)key);
    uint64_t at = merge_place(m, key), mask = ~(uint64_t)0 >> m->shift;
    for (;; at = (at + MERGE_LINE) & mask) {
        __m512i differ = _mm512_xor_si512(_mm512_load_si512(&m->slot[at]), want);
        differ = _mm512_srli_epi64(differ, MERGE_ORDER_BITS);
        uint32_t found = _mm512_testn_epi64_mask(differ, differ);
        uint64_t slot = m->slot[at + (uint32_t)__builtin_ctz(found | 1 << (MERGE_LINE - 1))];
        if (__builtin_expect(!found && slot != MERGE_FREE, 0))
            continue;
        return found ? (uint32_t)slot & ((1 << MERGE_ORDER_BITS) - 1) : NO_ID;
    }
}

INLINE_TARGET void vector_look(const struct merge_map *m, uint32_t *order,
                               const struct merge_state *s, uint32_t width)
{
    uint32_t at = s->at, left = line_look(m, s->left), right = line_look(m, s->right);
    right = at + 1 < s->count ? right : NO_ID;
    for (uint32_t i = 0; i < width; i += 16) {
        __mmask16 before = (__mmask16)(((uint64_t)1 << at) >> 1 >> i),
                  here = (__mmask16)(((uint64_t)1 << at) >> i);
        __m512i now = _mm512_mask_mov_epi32(_mm512_load_si512(order + i), before,
                                            _mm512_set1_epi32((int)left));
        _mm512_store_si512(order + i,
                           _mm512_mask_mov_epi32(now, here, _mm512_set1_epi32((int)right)));
    }
}

#define MERGE_LOOP(name, type, bytes, width)                                                       \
    TARGET static void name(const struct tokenizer *t, struct type **job, uint32_t active)         \
    {                                                                                              \
        const struct merge_map *m = &t->fast;                                                      \
        uint32_t kept = 0;                                                                         \
        for (uint32_t i = 0; i < active; i++) {                                                    \
            struct type *j = job[i];                                                               \
            uint32_t in = (uint32_t)(((uint64_t)1 << j->state.count) - 1);                         \
            vector_begin(t, (const unsigned char *)&j->bytes, in, j->symbol, j->order);            \
            if (width > 16)                                                                        \
                vector_begin(t, (const unsigned char *)&j->bytes + 16, in >> 16,                   \
                             j->symbol + width - 16, j->order + width - 16);                       \
            job[kept] = j;                                                                         \
            kept += vector_merge(m, j->symbol, j->order, &j->state, width);                        \
        }                                                                                          \
        for (active = kept; active; active = kept) {                                               \
            kept = 0;                                                                              \
            for (uint32_t i = 0; i < active; i++) {                                                \
                struct type *j = job[i];                                                           \
                vector_look(m, j->order, &j->state, width);                                        \
                job[kept] = j;                                                                     \
                kept += vector_merge(m, j->symbol, j->order, &j->state, width);                    \
            }                                                                                      \
        }                                                                                          \
    }
/* The two widths: names, types and where the bytes are differ, nothing else. */
MERGE_LOOP(merge_vectors, merge_job, key, 16)
MERGE_LOOP(merge_vectors_wide, merge_wide, byte, 32)

static bool has_vectors(void)
{
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("bmi2");
}
#endif

void bpe_merge_many(const struct tokenizer *t, struct merge_job **job, uint32_t count)
{
    assert(count <= MERGE_JOBS);
#if defined __x86_64__
    if (has_vectors()) {
        merge_vectors(t, job, count);
        return;
    }
#endif
    bpe_merge_plain(t, job, count);
}

void bpe_merge_wide(const struct tokenizer *t, struct merge_wide **job, uint32_t count)
{
#if defined __x86_64__
    if (has_vectors()) {
        merge_vectors_wide(t, job, count);
        return;
    }
#endif
    bpe_merge_wide_plain(t, job, count);
}

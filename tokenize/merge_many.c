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
    for (uint32_t i = 0; i + 1 < j->count; i++) {
        j->symbol[i] = t->byte_id[byte[i]];
        j->order[i] = byte_pair[byte[i] << 8 | byte[i + 1]];
    }
    j->symbol[j->count - 1] = t->byte_id[byte[j->count - 1]];
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
    for (uint32_t i = 0; i + 1 < j->count; i++) {
        uint32_t here = j->order[i] << 4 | i;
        lowest = here < lowest ? here : lowest;
    }
    if (lowest >= NO_ID << 4)
        return false;
    uint32_t at = lowest & 15;
    j->symbol[at] = m->id ? m->id[lowest >> 4] : lowest >> 4;
    j->count--;
    for (uint32_t i = at + 1; i < j->count; i++) {
        j->symbol[i] = j->symbol[i + 1];
        j->order[i - 1] = j->order[i];
    }
    j->at = at;
    if (at)
        ask(m, merge_key(j->symbol[at - 1], j->symbol[at]));
    if (at + 1 < j->count)
        ask(m, merge_key(j->symbol[at], j->symbol[at + 1]));
    return j->count > 1;
}

static inline void job_look(const struct merge_map *m, struct merge_job *j)
{
    uint32_t at = j->at;
    if (at)
        j->order[at - 1] = merge_find(m, j->symbol[at - 1], j->symbol[at]);
    if (at + 1 < j->count)
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

/* ---- with AVX-512 ---- */
#if defined __x86_64__
/* Vectors of the numbers that go into one key, as gcc would have them, cost more than they save. */
#define TARGET __attribute__((target("avx512f,bmi,bmi2,lzcnt"), optimize("no-tree-slp-vectorize")))
#define INLINE_TARGET TARGET static inline __attribute__((always_inline))

INLINE_TARGET void vector_begin(const struct tokenizer *t, struct merge_job *j)
{
    __m128i byte = _mm_loadu_si128((const __m128i *)(const void *)&j->key);
    __m512i one = _mm512_cvtepu8_epi32(byte), none = _mm512_set1_epi32(-1);
    __m512i two =
        _mm512_or_si512(_mm512_slli_epi32(one, 8), _mm512_cvtepu8_epi32(_mm_srli_si128(byte, 1)));
    uint32_t in = (1u << j->count) - 1;
    __m512i symbol = _mm512_mask_i32gather_epi32(none, (__mmask16)in, one, t->byte_id, 4);
    __m512i order =
        _mm512_mask_i32gather_epi32(none, (__mmask16)(in >> 1), two, t->fast.byte_pair, 4);
    _mm512_store_si512(j->symbol, symbol);
    _mm512_store_si512(j->order, order);
}

INLINE_TARGET uint64_t asked(const struct merge_map *m, uint64_t key)
{
    ask(m, key);
    return key;
}

/* As job_merge. Beside the first and the last symbol there is nothing, and looks for it are wasted:
 * vector_look does not use what they find. */
INLINE_TARGET bool vector_merge(const struct merge_map *m, struct merge_job *j)
{
    const __m512i places = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
    __m512i order = _mm512_load_si512(j->order), symbol = _mm512_load_si512(j->symbol);
    uint32_t lowest = _mm512_reduce_min_epu32(_mm512_or_si512(_mm512_slli_epi32(order, 4), places));
    if (lowest >= NO_ID << 4)
        return false;
    uint32_t at = lowest & 15, made = m->id ? m->id[lowest >> 4] : lowest >> 4;
    j->left = asked(m, merge_key(j->symbol[(at - 1) & 15], made));
    j->right = asked(m, merge_key(made, j->symbol[(at + 2) & 15]));
    j->at = at;
    __mmask16 kept = (__mmask16) ~(2u << at), here = (__mmask16)(1u << at);
    symbol = _mm512_maskz_compress_epi32(kept, symbol);
    _mm512_store_si512(j->symbol,
                       _mm512_mask_mov_epi32(symbol, here, _mm512_set1_epi32((int)made)));
    _mm512_store_si512(j->order, _mm512_mask_compress_epi32(_mm512_set1_epi32(-1), kept, order));
    return --j->count > 1;
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

INLINE_TARGET void vector_look(const struct merge_map *m, struct merge_job *j)
{
    uint32_t at = j->at, left = line_look(m, j->left), right = line_look(m, j->right);
    right = at + 1 < j->count ? right : NO_ID;
    __m512i order = _mm512_load_si512(j->order);
    order =
        _mm512_mask_mov_epi32(order, (__mmask16)((1u << at) >> 1), _mm512_set1_epi32((int)left));
    order = _mm512_mask_mov_epi32(order, (__mmask16)(1u << at), _mm512_set1_epi32((int)right));
    _mm512_store_si512(j->order, order);
}

TARGET static void merge_vectors(const struct tokenizer *t, struct merge_job **job, uint32_t active)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < active; i++) {
        struct merge_job *j = job[i];
        vector_begin(t, j);
        job[kept] = j;
        kept += vector_merge(&t->fast, j);
    }
    for (active = kept; active; active = kept) {
        kept = 0;
        for (uint32_t i = 0; i < active; i++) {
            struct merge_job *j = job[i];
            vector_look(&t->fast, j);
            job[kept] = j;
            kept += vector_merge(&t->fast, j);
        }
    }
}
#endif

void bpe_merge_many(const struct tokenizer *t, struct merge_job **job, uint32_t count)
{
    assert(count <= MERGE_JOBS);
#if defined __x86_64__
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("bmi2")) {
        merge_vectors(t, job, count);
        return;
    }
#endif
    bpe_merge_plain(t, job, count);
}

/* forest - sums of decision trees over many rows at once. */
/* Walking down a tree is a chain of loads and mispredicted branches: 10 ns. Instead all splits of a
 * tree are asked, 16 rows at a time, and each answer "not left" strikes out the leaves of its left
 * part: one compare, one or, one and for eight rows; with AVX-512 a compare and a masked and for
 * all sixteen. The leftmost leaf that is left over is where the row ends (QuickScorer, Lucchese et
 * al., SIGIR 2015). Sums are of whole numbers: the same on every machine. Measured in
 * docs/SPEED.md. */
#include "extract/forest.h"

#include <assert.h>
#include <stdalign.h>
#include <string.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

enum { LANES = 8, ROWS = 2 * LANES };
#define FLOATS float __attribute__((vector_size(4 * LANES)))
#define WORDS int32_t __attribute__((vector_size(4 * LANES)))

/* Orders the leaves under `at`, which are next and on; returns one behind the last. The depth is
 * that of a compiled-in tree. */
static uint32_t order(struct forest *f, const struct split *split, const int16_t *leaf, int at,
                      uint32_t next)
{
    if (at < 0) {
        f->ordered[leaf - f->leaf + next] = leaf[-1 - at];
        return next + 1;
    }
    uint32_t middle = order(f, split, leaf, split[at].left, next);
    f->keep[split - f->split + at] = ~((uint32_t)((1ull << middle) - (1ull << next)));
    f->features = split[at].feature >= f->features ? split[at].feature + 1u : f->features;
    return order(f, split, leaf, split[at].right, middle);
}

void forest_ready(struct forest *f)
{
    const struct split *split = f->split;
    const int16_t *leaf = f->leaf;
    f->features = 0;
    for (uint32_t tree = 0; tree < f->trees; tree++) {
        assert(f->splits[tree] <= FOREST_SPLITS_MAX);
        uint32_t leaves = order(f, split, leaf, f->splits[tree] ? 0 : -1, 0);
        assert(leaves == f->splits[tree] + 1u);
        UNUSED(leaves);
        split += f->splits[tree];
        leaf += f->splits[tree] + 1;
    }
    assert(f->features <= FOREST_FEATURES_MAX);
}

/* Sixteen rows, feature by feature. */
struct columns {
    alignas(4 * ROWS) float of[FOREST_FEATURES_MAX][ROWS];
};

static inline __attribute__((always_inline)) void add_trees(const struct forest *f,
                                                            const struct columns *c,
                                                            int32_t scores[ROWS])
{
    const struct split *split = f->split;
    const uint32_t *keep = f->keep;
    const int16_t *leaf = f->ordered;
    for (uint32_t tree = 0; tree < f->trees; tree++) {
        WORDS low = {0}, high = {0};
        uint32_t left_over[ROWS];
        low = ~low;
        high = ~high;
        for (uint32_t i = 0; i < f->splits[tree]; i++, split++, keep++) {
            const FLOATS *column = (const FLOATS *)c->of[split->feature];
            low &= (column[0] <= split->limit) | (int32_t)*keep;
            high &= (column[1] <= split->limit) | (int32_t)*keep;
        }
        memcpy(left_over, &low, sizeof low);
        memcpy(left_over + LANES, &high, sizeof high);
        for (int i = 0; i < ROWS; i++)
            scores[i] += leaf[__builtin_ctz(left_over[i])];
        leaf += f->splits[tree] + 1;
    }
}

static void add_any(const struct forest *f, const struct columns *c, int32_t scores[ROWS])
{
    add_trees(f, c, scores);
}

#if defined(__x86_64__)
__attribute__((target("avx2,bmi"))) static void add_avx2(const struct forest *f,
                                                         const struct columns *c,
                                                         int32_t scores[ROWS])
{
    add_trees(f, c, scores);
}

_Static_assert(ROWS == 16 && FOREST_SPLITS_MAX < 32, "a row is a lane, a leaf half a lane");

/* The leaves of a tree are a vector of their own, from which every row picks one. */
__attribute__((target("avx512f,avx512bw,avx512cd"))) static void add_avx512(const struct forest *f,
                                                                            const struct columns *c,
                                                                            int32_t scores[ROWS])
{
    const struct split *split = f->split;
    const uint32_t *keep = f->keep;
    const int16_t *leaf = f->ordered;
    const __m512i top = _mm512_set1_epi32(31);
    __m512i sum = _mm512_loadu_si512(scores);
    for (uint32_t tree = 0; tree < f->trees; tree++) {
        uint32_t splits = f->splits[tree];
        __m512i left_over = _mm512_set1_epi32(-1);
        for (uint32_t i = 0; i < splits; i++, split++, keep++) {
            __mmask16 right = _mm512_cmp_ps_mask(_mm512_load_ps(c->of[split->feature]),
                                                 _mm512_set1_ps(split->limit), _CMP_NLE_UQ);
            left_over =
                _mm512_mask_and_epi32(left_over, right, left_over, _mm512_set1_epi32((int)*keep));
        }
        __m512i lowest =
            _mm512_and_si512(left_over, _mm512_sub_epi32(_mm512_setzero_si512(), left_over));
        __m512i at = _mm512_sub_epi32(top, _mm512_lzcnt_epi32(lowest));
        __m512i leaves = _mm512_maskz_loadu_epi16((__mmask32)((2ull << splits) - 1), leaf);
        __m512i picked = _mm512_permutexvar_epi16(at, leaves);
        sum = _mm512_add_epi32(sum, _mm512_srai_epi32(_mm512_slli_epi32(picked, 16), 16));
        leaf += splits + 1;
    }
    _mm512_storeu_si512(scores, sum);
}
#endif

int forest_level(void)
{
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512cd"))
        return 2;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi"))
        return 1;
#endif
    return 0;
}

void forest_scores(int level, const struct forest *f, uint32_t forests, const float *rows,
                   size_t count, size_t stride, int32_t *scores)
{
    void (*add)(const struct forest *, const struct columns *, int32_t *) = add_any;
    struct columns c;
    uint32_t features = 0;
    for (uint32_t k = 0; k < forests; k++)
        features = f[k].features > features ? f[k].features : features;
#if defined(__x86_64__)
    add = level == 2 ? add_avx512 : level == 1 ? add_avx2 : add_any;
#endif
    UNUSED(level);
    for (size_t at = 0; at < count; at += ROWS) {
        size_t here = count - at < ROWS ? count - at : ROWS;
        for (size_t lane = 0; lane < ROWS; lane++) { /* what is missing at the end: the last row */
            const float *row = rows + (at + (lane < here ? lane : here - 1)) * stride;
            for (uint32_t i = 0; i < features; i++)
                c.of[i][lane] = row[i];
        }
        for (uint32_t k = 0; k < forests; k++) {
            int32_t sums[ROWS] = {0};
            add(&f[k], &c, sums);
            memcpy(scores + k * count + at, sums, here * sizeof *sums);
        }
    }
}

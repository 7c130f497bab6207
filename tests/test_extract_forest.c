/* test_extract_forest - sums over trees, against walking down each. */
#include "extract/forest.h"
#include "tests/test.h"

#include <math.h>

enum { TREES = 60, FEATURES = 37 };

static struct split splits[TREES * FOREST_SPLITS_MAX];
static int16_t leaves[TREES * (FOREST_SPLITS_MAX + 1)], ordered[TREES * (FOREST_SPLITS_MAX + 1)];
static uint32_t keep[TREES * FOREST_SPLITS_MAX];
static uint8_t counts[TREES];

/* A tree grown at random leaf by leaf, so that the numbers of its leaves are in no order. */
static void grow(struct split *split, int16_t *leaf, uint32_t count, uint64_t *state)
{
    int8_t *hole[FOREST_SPLITS_MAX + 1];
    uint32_t holes = 0, leaf_count = 0;
    for (uint32_t i = 0; i < count; i++) {
        split[i].feature = (uint16_t)(test_random(state) % FEATURES);
        split[i].limit = (float)(test_random(state) % 16);
        if (i > 0) {
            uint64_t at = test_random(state) % holes;
            *hole[at] = (int8_t)i;
            hole[at] = hole[--holes];
        }
        hole[holes++] = &split[i].left;
        hole[holes++] = &split[i].right;
    }
    while (holes > 0) {
        uint64_t at = test_random(state) % holes;
        *hole[at] = (int8_t)(-1 - (int)leaf_count++);
        hole[at] = hole[--holes];
    }
    for (uint32_t i = 0; i <= count; i++)
        leaf[i] = (int16_t)(test_random(state) % 60000 - 30000);
}

static int32_t walked(const struct forest *f, const float *row)
{
    const struct split *split = f->split;
    const int16_t *leaf = f->leaf;
    int32_t sum = 0;
    for (uint32_t tree = 0; tree < f->trees; tree++) {
        int at = f->splits[tree] ? 0 : -1;
        while (at >= 0)
            at = row[split[at].feature] <= split[at].limit ? split[at].left : split[at].right;
        sum += leaf[-1 - at];
        split += f->splits[tree];
        leaf += f->splits[tree] + 1;
    }
    return sum;
}

/* Oracle: the walk from the root. Ties with the limit, no numbers and infinities are among the
 * rows; trees of 0 to FOREST_SPLITS_MAX splits; row counts around the width of a step; every level
 * that this machine has. */
TEST(extract_forest_walks)
{
    struct forest f = {splits, leaves, counts, TREES, keep, ordered, 0};
    uint64_t state = 7;
    static float rows[50 * (FEATURES + 3)];
    int32_t scores[51];
    size_t at = 0;
    for (uint32_t tree = 0; tree < TREES; tree++) {
        counts[tree] = (uint8_t)(tree < 32 ? tree : test_random(&state) % 32);
        grow(splits + at, leaves + at + tree, counts[tree], &state);
        at += counts[tree];
    }
    forest_ready(&f);
    CHECK_INT(f.features, FEATURES);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        uint64_t pick = test_random(&state) % 100;
        rows[i] = pick == 0   ? NAN
                  : pick == 1 ? INFINITY
                  : pick == 2 ? -INFINITY
                              : (float)(test_random(&state) % 33) / 2;
    }
    for (int level = forest_level(); level >= 0; level--)
        for (size_t count = 0; count <= 50; count++) {
            scores[count] = 12345;
            forest_scores(level, &f, 1, rows, count, FEATURES + 3, scores);
            for (size_t i = 0; i < count; i++)
                CHECK_INT(scores[i], walked(&f, rows + i * (FEATURES + 3)));
            CHECK_INT(scores[count], 12345);
        }
}

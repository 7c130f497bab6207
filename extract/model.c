/* model - two steps of boosted decision trees that judge every block of a page. */
/* The first step sees each block with its surroundings; the second sees the first's opinion of the
 * neighbours and containers as well, which makes the choice consistent: a short line between two
 * paragraphs is kept, a long one between two menus is not. The trees were fitted
 * (tests/bench/extract_train.py) to the share of each block's words that annotators counted as main
 * text. Scores are sums of whole numbers and the logistic function is computed with plain
 * multiplications, so that every machine chooses the same text. */
#include "core/err.h"
#include "extract/parts.h"

/* A split: row[feature] <= limit goes left. Children >= 0 are splits of the same tree, < 0 leaves
 * (-1 - index). */
struct split { uint8_t feature; float limit; int8_t left, right; };
/* Splits and leaves of all trees one behind the other; a tree of n splits has n + 1 leaves. */
struct forest { const struct split *split; const int16_t *leaf; const uint8_t *splits; int trees; };

enum { LEAF_UNIT = 4096 }; /* leaves are logits times this */

#include "extract/trees.def"

static const struct forest first = {first_split, first_leaf, first_splits, COUNT_OF(first_splits)};
static const struct forest second = {second_split, second_leaf, second_splits,
                                     COUNT_OF(second_splits)};

/* 1 / (1 + e^-x), with e^-x as (1 - x/1024)^1024: within 1 % of it where it matters, and the same
 * bits anywhere. */
static float logistic(int32_t score)
{
    double x = (double)score / LEAF_UNIT;
    x = x > 16 ? 16 : x < -16 ? -16 : x;
    double power = 1.0 - x / 1024;
    for (int i = 0; i < 10; i++)
        power *= power;
    return (float)(1.0 / (1.0 + power));
}

static float judge(const struct forest *forest, const float *row)
{
    const struct split *split = forest->split;
    const int16_t *leaf = forest->leaf;
    int32_t score = 0;
    for (int tree = 0; tree < forest->trees; tree++) {
        int at = forest->splits[tree] ? 0 : -1;
        while (at >= 0)
            at = row[split[at].feature] <= split[at].limit ? split[at].left : split[at].right;
        score += leaf[-1 - at];
        split += forest->splits[tree];
        leaf += forest->splits[tree] + 1;
    }
    return logistic(score);
}

bool model_judge(struct arena *a, const struct page *p, float *keep)
{
    float row[FEATURES_FIRST + FEATURES_SECOND];
    struct features *f = features_open(a, p);
    float *opinion = arena_array(a, float, (size_t)p->block_count + 1);
    if (!f || !opinion)
        return false;
    for (uint32_t i = 0; i < p->block_count; i++) {
        features_first(f, i, row);
        opinion[i] = judge(&first, row);
    }
    features_judged(f, opinion);
    for (uint32_t i = 0; i < p->block_count; i++) {
        features_first(f, i, row);
        features_second(f, i, row + FEATURES_FIRST);
        keep[i] = judge(&second, row);
    }
    return true;
}

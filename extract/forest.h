/* forest - sums of decision trees over many rows at once. */
#ifndef SLUICE_EXTRACT_FOREST_H
#define SLUICE_EXTRACT_FOREST_H
#include "core/base.h"

enum { FOREST_SPLITS_MAX = 31 }; /* of one tree: its leaves are bits of a word */
enum { FOREST_FEATURES_MAX = 512 };

/* row[feature] <= limit goes left (what is no number goes right). Children >= 0 are splits of the
 * same tree, < 0 its leaves (-1 - index). */
struct split {
    uint16_t feature;
    float limit;
    int8_t left, right;
};
/* Splits and leaves of all trees one behind the other; a tree of n splits has n + 1 leaves. The
 * three tables come from trees.def; forest_ready fills the other two, for which the owner has
 * room. */
struct forest {
    const struct split *split; /* of all trees */
    const int16_t *leaf;
    const uint8_t *splits; /* of each tree */
    uint32_t trees;
    uint32_t *keep;    /* a word for each split: the leaves outside its left part */
    int16_t *ordered;  /* leaves from left to right */
    uint32_t features; /* one more than the highest that is asked for */
};
/* Once, before any forest_scores; not by two threads at a time. */
void forest_ready(struct forest *f);
/* What this machine can do: 0 plain C, 1 AVX2, 2 AVX-512. The sums are the same at every level. */
int forest_level(void);
/* scores[k * count + i] = sum of the leaves of forest f[k] that row i, at rows + i * stride, ends
 * in. level: at most forest_level(). Any thread. */
void forest_scores(int level, const struct forest *f, uint32_t forests, const float *rows,
                   size_t count, size_t stride, int32_t *scores);
#endif

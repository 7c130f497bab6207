/* model - boosted decision trees that judge every block of a page, and tell what kind it is. */
/* Three forests. The first sees each block with its surroundings. The second tells the page's kind
 * from counts over the page and the first one's opinions. The third sees the block again, the
 * first's opinion of its neighbours, its containers, the blocks like it, and the kind: that makes
 * the choice consistent. A short line between two paragraphs is kept, a long one between two menus
 * is not. The trees were fitted (tests/bench/extract_train.py) to the share of each block's words
 * that annotators counted as main text. Scores are sums of whole numbers and the logistic function
 * is computed with plain multiplications, so that every machine chooses the same text. */
#include "extract/forest.h"
#include "extract/judge.h"

#include <assert.h>
#include <pthread.h>

enum { LEAF_UNIT = 4096 }; /* leaves are logits times this */
enum {
    WIDTH = FEATURES_FIRST + FEATURES_SECOND,
    ROWS_KEPT =
        1024, /* blocks whose measures stay for the second step; larger pages measure twice */
    ROWS_PART = 128, /* judged at once: what fits a cache */
};

#include "extract/trees.def"

#define FOREST(name)                                                                               \
    static uint32_t name##_room[COUNT_OF(name##_split)];                                           \
    static int16_t name##_ordered[COUNT_OF(name##_leaf)];                                          \
    static struct forest name = {.split = name##_split,                                            \
                                 .leaf = name##_leaf,                                              \
                                 .splits = name##_splits,                                          \
                                 .trees = COUNT_OF(name##_splits),                                 \
                                 .keep = name##_room,                                              \
                                 .ordered = name##_ordered}
FOREST(first);
FOREST(second);

static pthread_once_t forests_once = PTHREAD_ONCE_INIT;

static void make_forests(void)
{
    forest_ready(&first);
    forest_ready(&second);
}

/* e^x, as (1 + x/1024)^1024: within 1 % of it where it matters, and the same bits anywhere. */
static double power_of(int32_t score)
{
    double x = (double)score / LEAF_UNIT;
    x = x > 16 ? 16 : x < -16 ? -16 : x;
    double power = 1.0 + x / 1024;
    for (int i = 0; i < 10; i++)
        power *= power;
    return power;
}

static float logistic(int32_t score) { return (float)(1.0 / (1.0 + power_of(-score))); }

/* Trees of the kinds take turns: tree t votes for kind t % PAGE_KIND_COUNT. */
static void tell_kind(const struct features *f, struct judgement *out)
{
    float row[FEATURES_PAGE_JUDGED];
    int32_t score[PAGE_KIND_COUNT] = {0};
    double power[PAGE_KIND_COUNT], sum = 0;
    const struct split *split = kind_split;
    const int16_t *leaf = kind_leaf;
    features_page_judged(f, row);
    for (uint32_t tree = 0; tree < COUNT_OF(kind_splits); tree++) {
        int at = kind_splits[tree] ? 0 : -1;
        while (at >= 0)
            at = row[split[at].feature] <= split[at].limit ? split[at].left : split[at].right;
        score[tree % PAGE_KIND_COUNT] += leaf[-1 - at];
        split += kind_splits[tree];
        leaf += kind_splits[tree] + 1;
    }
    out->kind = PAGE_ARTICLE;
    for (int k = 0; k < PAGE_KIND_COUNT; k++) {
        sum += power[k] = power_of(score[k]);
        out->kind = score[k] > score[out->kind] ? (enum page_kind)k : out->kind;
    }
    for (int k = 0; k < PAGE_KIND_COUNT; k++)
        out->kind_share[k] = (float)(power[k] / sum);
}

/* Judges all blocks, ROWS_PART at a time. kinds: NULL in the first step. */
static void judge_blocks(const struct forest *forest, const struct features *f, uint32_t blocks,
                         const float *kinds, float *rows, float *keep)
{
    int32_t score[ROWS_PART];
    bool kept = blocks <= ROWS_KEPT;
    for (uint32_t from = 0; from < blocks; from += ROWS_PART) {
        uint32_t count = blocks - from < ROWS_PART ? blocks - from : ROWS_PART;
        float *part = kept ? rows + from * (size_t)WIDTH : rows;
        for (uint32_t i = 0; i < count; i++) {
            float *row = part + i * (size_t)WIDTH;
            if (!kinds || !kept)
                features_first(f, from + i, row);
            if (kinds)
                features_second(f, from + i, kinds, row + FEATURES_FIRST);
        }
        forest_scores(forest, part, count, WIDTH, score);
        for (uint32_t i = 0; i < count; i++)
            keep[from + i] = logistic(score[i]);
    }
}

bool model_judge(struct arena *a, const struct page *p, const struct asides *asides,
                 struct judgement *out)
{
    size_t rows_most = p->block_count <= ROWS_KEPT ? p->block_count + 1u : ROWS_PART;
    pthread_once(&forests_once, make_forests);
    out->keep = arena_array(a, float, (size_t)p->block_count + 1);
    float *opinion = arena_array(a, float, (size_t)p->block_count + 1);
    out->features = features_open(a, p, asides);
    size_t mark = arena_mark(a);
    float *rows = arena_array(a, float, rows_most *WIDTH);
    if (!out->keep || !opinion || !out->features || !rows)
        return false;
    judge_blocks(&first, out->features, p->block_count, NULL, rows, opinion);
    features_judged(out->features, opinion);
    tell_kind(out->features, out);
    judge_blocks(&second, out->features, p->block_count, out->kind_share, rows, out->keep);
    arena_reset(a, mark);
    return true;
}

/* ---- why ---- */
/* Mean of the leaves below a child, every split taken as even. Trees are small: no table. */
static double mean_below(const struct split *split, const int16_t *leaf, int at)
{
    int stack[64], depth = 0;
    double share[64], sum = 0;
    stack[depth] = at;
    share[depth++] = 1;
    while (depth > 0) {
        double part = share[--depth];
        int node = stack[depth];
        if (node < 0) {
            sum += part * leaf[-1 - node];
            continue;
        }
        assert(depth + 2 <= 64);
        stack[depth] = split[node].left;
        share[depth++] = part / 2;
        stack[depth] = split[node].right;
        share[depth++] = part / 2;
    }
    return sum;
}

/* A split's measure gets the difference between the side taken and what was expected before. */
double model_reasons(const struct judgement *j, uint32_t index, float *weight, float *row)
{
    const struct split *split = second.split;
    const int16_t *leaf = second.leaf;
    features_first(j->features, index, row);
    features_second(j->features, index, j->kind_share, row + FEATURES_FIRST);
    double base = 0;
    memset(weight, 0, WIDTH * sizeof *weight);
    for (uint32_t tree = 0; tree < second.trees; tree++) {
        int at = second.splits[tree] ? 0 : -1;
        double before = mean_below(split, leaf, at);
        base += before / LEAF_UNIT;
        while (at >= 0) {
            uint16_t feature = split[at].feature;
            at = row[feature] <= split[at].limit ? split[at].left : split[at].right;
            double after = mean_below(split, leaf, at);
            weight[feature] += (float)((after - before) / LEAF_UNIT);
            before = after;
        }
        split += second.splits[tree];
        leaf += second.splits[tree] + 1;
    }
    return base;
}

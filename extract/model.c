/* model - boosted decision trees that judge every block of a page, and tell what kind it is. */
/* Three forests. The first sees each block with its surroundings. The second tells the page's kind
 * from counts over the page and the first one's opinions. The third sees the block again, the
 * first's opinion of its neighbours, its containers, the blocks like it, and the kind: that makes
 * the choice consistent. A short line between two paragraphs is kept, a long one between two menus
 * is not. The trees were fitted (tests/bench/extract_train.py) to the share of each block's words
 * that annotators counted as main text. The first and the third are several fits each, averaged:
 * one alone turns whole pages over by chance. Scores are sums of whole numbers and the logistic
 * function is computed with plain multiplications, so that every machine chooses the same text. */
#include "extract/forest.h"
#include "extract/judge.h"

#include <assert.h>
#include <pthread.h>

enum { LEAF_UNIT = 4096 }; /* leaves are logits times this */
enum {
    WIDTH = FEATURES_FIRST + MEMBERS * FEATURES_SECOND, /* trees know their member's columns */
    ROWS_KEPT =
        1024, /* blocks whose measures stay for the second step; larger pages measure twice */
    ROWS_PART = 128, /* judged at once: what fits a cache */
};

#include "extract/trees.def"

_Static_assert((int)FITTED_MEMBERS == (int)MEMBERS, "fit the trees again");

static uint32_t first_room[COUNT_OF(first_split)], second_room[COUNT_OF(second_split)];
static int16_t first_ordered[COUNT_OF(first_leaf)], second_ordered[COUNT_OF(second_leaf)];
static struct forest first[MEMBERS], kind[MEMBERS], second[MEMBERS];
static int level; /* of this machine */
static pthread_once_t forests_once = PTHREAD_ONCE_INIT;

/* Every member has as many trees as the next. */
static void share_out(struct forest *out, struct forest all)
{
    uint32_t splits = 0, trees = all.trees / MEMBERS;
    assert(all.trees % MEMBERS == 0);
    for (uint32_t m = 0; m < MEMBERS; m++) {
        uint32_t leaves = splits + m * trees;
        out[m] = (struct forest){.split = all.split + splits,
                                 .leaf = all.leaf + leaves,
                                 .splits = all.splits + m * trees,
                                 .trees = trees};
        if (all.keep) {
            out[m].keep = all.keep + splits;
            out[m].ordered = all.ordered + leaves;
            forest_ready(&out[m]);
        }
        for (uint32_t tree = 0; tree < trees; tree++)
            splits += out[m].splits[tree];
    }
}

static void make_forests(void)
{
    level = forest_level();
    share_out(first, (struct forest){.split = first_split,
                                     .leaf = first_leaf,
                                     .splits = first_splits,
                                     .trees = COUNT_OF(first_splits),
                                     .keep = first_room,
                                     .ordered = first_ordered});
    share_out(second, (struct forest){.split = second_split,
                                      .leaf = second_leaf,
                                      .splits = second_splits,
                                      .trees = COUNT_OF(second_splits),
                                      .keep = second_room,
                                      .ordered = second_ordered});
    share_out(kind, (struct forest){.split = kind_split,
                                    .leaf = kind_leaf,
                                    .splits = kind_splits,
                                    .trees = COUNT_OF(kind_splits)});
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

/* Trees of the kinds take turns: tree t votes for kind t % PAGE_KIND_COUNT. row: of
 * FEATURES_PAGE_JUDGED. */
static void tell_kind(const struct forest *f, const float *row, float *shares)
{
    int32_t score[PAGE_KIND_COUNT] = {0};
    double power[PAGE_KIND_COUNT], sum = 0;
    const struct split *split = f->split;
    const int16_t *leaf = f->leaf;
    for (uint32_t tree = 0; tree < f->trees; tree++) {
        int at = f->splits[tree] ? 0 : -1;
        while (at >= 0)
            at = row[split[at].feature] <= split[at].limit ? split[at].left : split[at].right;
        score[tree % PAGE_KIND_COUNT] += leaf[-1 - at];
        split += f->splits[tree];
        leaf += f->splits[tree] + 1;
    }
    for (int k = 0; k < PAGE_KIND_COUNT; k++)
        sum += power[k] = power_of(score[k]);
    for (int k = 0; k < PAGE_KIND_COUNT; k++)
        shares[k] = (float)(power[k] / sum);
}

static void tell_kinds(struct judgement *out)
{
    float row[FEATURES_PAGE_JUDGED];
    features_page(out->features, row);
    memset(out->kind_share, 0, sizeof out->kind_share);
    for (int m = 0; m < MEMBERS; m++) {
        features_page_judged(out->features, m, row);
        tell_kind(&kind[m], row, out->kinds[m]);
        for (int k = 0; k < PAGE_KIND_COUNT; k++)
            out->kind_share[k] += out->kinds[m][k] / MEMBERS;
    }
    out->kind = PAGE_ARTICLE;
    for (int k = 0; k < PAGE_KIND_COUNT; k++)
        if (out->kind_share[k] > out->kind_share[out->kind])
            out->kind = (enum page_kind)k;
}

/* Blocks are judged ROWS_PART at a time; rows hold the measures of all of them where few are. */
struct rows {
    float *row;
    bool kept;
};

static float *rows_from(const struct rows *r, uint32_t index)
{
    return r->kept ? r->row + index * (size_t)WIDTH : r->row;
}

/* opinion: of member m, from m * blocks on. */
static void judge_first(const struct features *f, uint32_t blocks, const struct rows *rows,
                        float *opinion)
{
    int32_t score[MEMBERS * ROWS_PART];
    for (uint32_t from = 0; from < blocks; from += ROWS_PART) {
        uint32_t count = blocks - from < ROWS_PART ? blocks - from : ROWS_PART;
        float *part = rows_from(rows, from);
        for (uint32_t i = 0; i < count; i++)
            features_first(f, from + i, part + i * (size_t)WIDTH);
        forest_scores(level, first, MEMBERS, part, count, WIDTH, score);
        for (uint32_t m = 0; m < MEMBERS; m++)
            for (uint32_t i = 0; i < count; i++)
                opinion[(size_t)m * blocks + from + i] = logistic(score[m * count + i]);
    }
}

static void judge_second(const struct judgement *j, uint32_t blocks, const struct rows *rows)
{
    int32_t score[MEMBERS * ROWS_PART];
    for (uint32_t from = 0; from < blocks; from += ROWS_PART) {
        uint32_t count = blocks - from < ROWS_PART ? blocks - from : ROWS_PART;
        float *part = rows_from(rows, from);
        for (uint32_t i = 0; i < count; i++) {
            float *row = part + i * (size_t)WIDTH;
            if (!rows->kept)
                features_first(j->features, from + i, row);
            features_second(j->features, from + i, j->kinds, row + FEATURES_FIRST);
        }
        forest_scores(level, second, MEMBERS, part, count, WIDTH, score);
        for (uint32_t i = 0; i < count; i++) {
            int32_t sum = 0;
            for (uint32_t m = 0; m < MEMBERS; m++)
                sum += score[m * count + i];
            j->keep[from + i] = logistic(sum / MEMBERS);
        }
    }
}

bool model_judge(struct arena *a, const struct page *p, const struct asides *asides,
                 struct judgement *out)
{
    struct rows rows = {.kept = p->block_count <= ROWS_KEPT};
    size_t most = rows.kept ? p->block_count + 1u : ROWS_PART;
    pthread_once(&forests_once, make_forests);
    out->keep = arena_array(a, float, (size_t)p->block_count + 1);
    float *opinion = arena_array(a, float, (size_t)p->block_count *MEMBERS + 1);
    out->features = features_open(a, p, asides);
    size_t mark = arena_mark(a);
    rows.row = arena_array(a, float, most *WIDTH);
    if (!out->keep || !opinion || !out->features || !rows.row)
        return false;
    judge_first(out->features, p->block_count, &rows, opinion);
    for (int m = 0; m < MEMBERS; m++)
        features_judged(out->features, m, opinion + (size_t)m * p->block_count);
    tell_kinds(out);
    judge_second(out, p->block_count, &rows);
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

/* The column of a member's opinions, of those that are told. */
static uint32_t column_of(uint32_t feature)
{
    return feature < FEATURES_FIRST ? feature
                                    : FEATURES_FIRST + (feature - FEATURES_FIRST) % FEATURES_SECOND;
}

/* Adds what moved one member. A split's measure gets the difference between the side taken and what
 * was expected before. */
static double add_reasons(const struct forest *f, const float *row, float *weight)
{
    const struct split *split = f->split;
    const int16_t *leaf = f->leaf;
    double base = 0;
    for (uint32_t tree = 0; tree < f->trees; tree++) {
        int at = f->splits[tree] ? 0 : -1;
        double before = mean_below(split, leaf, at);
        base += before / (LEAF_UNIT * MEMBERS);
        while (at >= 0) {
            uint16_t feature = split[at].feature;
            at = row[feature] <= split[at].limit ? split[at].left : split[at].right;
            double after = mean_below(split, leaf, at);
            weight[column_of(feature)] += (float)((after - before) / (LEAF_UNIT * MEMBERS));
            before = after;
        }
        split += f->splits[tree];
        leaf += f->splits[tree] + 1;
    }
    return base;
}

double model_reasons(const struct judgement *j, uint32_t index, float *weight, float *row)
{
    float all[WIDTH];
    double base = 0;
    features_first(j->features, index, all);
    features_second(j->features, index, j->kinds, all + FEATURES_FIRST);
    memcpy(row, all, FEATURES_FIRST * sizeof *row);
    memset(row + FEATURES_FIRST, 0, FEATURES_SECOND * sizeof *row);
    memset(weight, 0, (FEATURES_FIRST + FEATURES_SECOND) * sizeof *weight);
    for (uint32_t c = FEATURES_FIRST; c < WIDTH; c++)
        row[column_of(c)] += all[c] / MEMBERS;
    for (int m = 0; m < MEMBERS; m++)
        base += add_reasons(&second[m], all, weight);
    return base;
}

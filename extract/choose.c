/* choose - takes from the judged blocks those that make the main text. */
#include "core/hash.h"
#include "extract/judge.h"

#include <stdlib.h>

enum { COPY_CHARS = 60 }; /* a block this long that stood before on the page is not wanted twice */

struct ranked {
    float keep;
    uint32_t index;
};

static int by_keep(const void *left, const void *right)
{
    const struct ranked *a = left, *b = right;
    if (a->keep != b->keep)
        return a->keep > b->keep ? -1 : 1;
    return a->index < b->index ? -1 : a->index > b->index;
}

static double weight_of(const struct block *b) { return b->words ? b->words : 0.5; }

/* Takes the blocks from the likeliest down to where the expected F of the choice is highest: with
 * keep as the share of main words, choosing words m of which c are expected right out of all
 * expected e gives (1 + b^2) c / (m + b^2 e), b being the weight of recall. A fixed threshold is
 * right for articles but throws half of a listing away, where every block is a guess near one
 * half. */
static bool choose(struct arena *a, const struct page *p, double beta, struct choice *out)
{
    const float *keep = out->judged.keep;
    struct ranked *order = arena_array(a, struct ranked, p->block_count);
    if (!order)
        return false;
    double expected = 0, right = 0, taken = 0, best = -1;
    for (uint32_t i = 0; i < p->block_count; i++) {
        order[i] = (struct ranked){keep[i], i};
        expected += (double)keep[i] * weight_of(&p->block[i]);
    }
    qsort(order, p->block_count, sizeof *order, by_keep);
    uint32_t count = 0;
    for (uint32_t i = 0; i < p->block_count; i++) {
        double weight = weight_of(&p->block[order[i].index]);
        right += (double)order[i].keep * weight;
        taken += weight;
        double value = right / (taken + beta * beta * expected);
        if (value > best) {
            best = value;
            count = i + 1;
        }
    }
    for (uint32_t i = 0; i < count; i++)
        out->decision[order[i].index] = LIKELY;
    out->threshold = count ? order[count - 1].keep : 1;
    return true;
}

/* Galleries and lazy menus carry the same long text several times: the first one stays. */
static bool drop_copies(struct arena *a, const struct page *p, uint8_t *decision)
{
    uint64_t size = 16;
    while (size < (uint64_t)p->block_count * 2)
        size *= 2;
    uint64_t *seen = arena_array_zero(a, uint64_t, size);
    if (!seen)
        return false;
    for (uint32_t i = 0; i < p->block_count; i++) {
        const struct block *b = &p->block[i];
        if (decision[i] != LIKELY || b->copies < 2 || b->chars < COPY_CHARS)
            continue;
        uint64_t key = hash_str(block_text(p, b), 0) | 1, at = key >> 32 & (size - 1);
        while (seen[at] && seen[at] != key)
            at = (at + 1) & (size - 1);
        if (seen[at])
            decision[i] = COPY;
        seen[at] = key;
    }
    return true;
}

bool choice_make(struct arena *a, const struct page *p, const struct asides *asides,
                 const struct choice_conf *conf, struct choice *out)
{
    *out = (struct choice){.threshold = 1};
    out->decision = arena_array_zero(a, uint8_t, (size_t)p->block_count + 1);
    out->chosen = arena_array_zero(a, bool, (size_t)p->block_count + 1);
    if (!out->decision || !out->chosen)
        return false;
    if ((!conf->all || conf->explained) && !model_judge(a, p, asides, &out->judged))
        return false;
    if (conf->all) {
        out->threshold = 0;
        for (uint32_t i = 0; i < p->block_count; i++)
            out->decision[i] = p->block[i].flags & BLOCK_HIDDEN ? UNSEEN : LIKELY;
    } else if (!choose(a, p, conf->beta, out) || !drop_copies(a, p, out->decision)) {
        return false;
    }
    for (uint32_t i = 0; i < p->block_count; i++)
        out->chosen[i] = out->decision[i] == LIKELY;
    return true;
}

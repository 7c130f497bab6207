/* choose - takes from the judged blocks those that make the main text. */
#include "core/hash.h"
#include "extract/judge.h"

#include <stdlib.h>

enum {
    COPY_CHARS = 60,      /* a block this long that stood before on the page is not wanted twice */
    LEVELS = 64,          /* at which the page's main text may end */
    SHELL_OUTSIDE = 5,    /* words: fewer outside of menus and footers, and fewer of main text */
    SHELL_EXPECTED = 100, /* expected than this: a shell */
    CODE_AROUND = 2,
    CODE_WORDS = 100,
};
#define CODE_SHARE 0.8

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

/* Words of main text in the page when everything with a keep above each level is main. */
static void fill_levels(const struct page *p, const struct ranked *order, double words[LEVELS])
{
    double taken = 0;
    uint32_t at = 0;
    for (int level = LEVELS - 1; level >= 0; level--) {
        while (at < p->block_count && (double)order[at].keep > (level + 0.5) / LEVELS)
            taken += block_weight(&p->block[order[at++].index]);
        words[level] = taken;
    }
}

/* Takes the blocks from the likeliest down to where the expected F of the choice is highest. What
 * is uncertain is mostly where a page's main text ends (whether its lists, its comments, its prices
 * belong to it), less each block by itself: so the truth is taken to be the blocks above a level
 * that is anywhere between 0 and 1, and of m words chosen and e words in truth the lesser is right:
 * F = (1 + b^2) min(m, e) / (m + b^2 e), b being the weight of recall. Taking every block's chance
 * as its own instead let a hundred unlikely links outvote an article: F1 .858 against .864, sites
 * held out. A fixed threshold throws half of a listing away, where all is a guess near one half. */
static bool choose(struct arena *a, const struct page *p, double beta, struct choice *out)
{
    const float *keep = out->judged.keep;
    struct ranked *order = arena_array(a, struct ranked, p->block_count);
    double truth[LEVELS], taken = 0, best = -1, weight = beta * beta;
    uint32_t count = 0;
    if (!order)
        return false;
    for (uint32_t i = 0; i < p->block_count; i++)
        order[i] = (struct ranked){keep[i], i};
    qsort(order, p->block_count, sizeof *order, by_keep);
    fill_levels(p, order, truth);
    for (uint32_t i = 0; i < p->block_count; i++) {
        double value = 0;
        taken += block_weight(&p->block[order[i].index]);
        for (int level = 0; level < LEVELS; level++)
            value +=
                (taken < truth[level] ? taken : truth[level]) / (taken + weight * truth[level]);
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

/* Code stays with the text it stands in: a listing that the judge doubts is taken when the part of
 * the page that holds CODE_AROUND times its words was taken but for little. (The same for every
 * doubtful block gains on as many pages as it loses.) */
static bool keep_code(struct arena *a, const struct page *p, const struct features *f,
                      uint8_t *decision)
{
    bool any = false;
    for (uint32_t i = 0; i < p->block_count && !any; i++)
        any = (p->block[i].flags & BLOCK_PRE) && decision[i] == UNLIKELY;
    if (!any)
        return true;
    double *all = arena_array_zero(a, double, p->node_count);
    double *taken = arena_array_zero(a, double, p->node_count);
    if (!all || !taken)
        return false;
    for (uint32_t i = 0; i < p->block_count; i++) {
        const struct block *b = &p->block[i];
        if (b->flags & BLOCK_HIDDEN)
            continue;
        all[b->node] += block_weight(b);
        taken[b->node] += decision[i] == LIKELY ? block_weight(b) : 0;
    }
    for (uint32_t n = p->node_count; n-- > 1;) { /* parents stand before their children */
        uint32_t parent = p->node[n].parent;
        if (parent == NO_NODE)
            continue;
        all[parent] += all[n];
        taken[parent] += taken[n];
    }
    for (uint32_t i = 0; i < p->block_count; i++) {
        const struct block *b = &p->block[i];
        uint32_t n = b->node;
        if (!(b->flags & BLOCK_PRE) || (b->flags & BLOCK_HIDDEN) || decision[i] != UNLIKELY ||
            b->link_chars * 2 > b->chars || features_furniture(f, i))
            continue;
        while (n != NO_NODE && (all[n] - block_weight(b) < CODE_AROUND * block_weight(b) ||
                                all[n] - block_weight(b) < CODE_WORDS))
            n = p->node[n].parent;
        if (n != NO_NODE && p->node[n].parent != NO_NODE &&
            taken[n] >= CODE_SHARE * (all[n] - block_weight(b)))
            decision[i] = LIKELY;
    }
    return true;
}

/* A shell: a page whose text comes by script, and of which only menus and a footer are there. Its
 * main text is nothing. */
static bool is_shell(const struct page *p, const struct judgement *j)
{
    double outside = 0, inside = 0, expected = 0;
    for (uint32_t i = 0; i < p->block_count; i++) {
        const struct block *b = &p->block[i];
        bool furniture = (b->flags & BLOCK_HIDDEN) || features_furniture(j->features, i);
        *(furniture ? &inside : &outside) += block_weight(b);
        expected += (double)j->keep[i] * block_weight(b);
    }
    return outside < SHELL_OUTSIDE && outside * 10 < inside && expected < SHELL_EXPECTED;
}

/* What a slider or a pager may say again: not a cell, a number or code. */
static bool is_line(const struct block *b)
{
    return b->copies > 1 && b->letters > 1 && !(b->flags & BLOCK_PRE) && b->tag != GUMBO_TAG_TD &&
           b->tag != GUMBO_TAG_TH;
}

/* Headings stand in a list of contents as well, and what is hidden is a copy of what is not. */
static bool is_running(const struct block *b)
{
    return b->level == 0 && !(b->flags & BLOCK_HIDDEN) && b->link_chars * 2 < b->chars;
}

/* Galleries and lazy menus carry the same long text several times, sliders the same line over and
 * over: the first one stays. References describe an argument alike wherever it stands. */
static bool drop_copies(struct arena *a, const struct page *p, enum page_kind kind,
                        uint8_t *decision)
{
    uint64_t size = 16;
    while (size < (uint64_t)p->block_count * 2)
        size *= 2;
    uint64_t *seen = arena_array_zero(a, uint64_t, size);
    if (!seen)
        return false;
    uint32_t last = UINT32_MAX; /* chosen */
    for (uint32_t i = 0; i < p->block_count; i++) {
        const struct block *b = &p->block[i];
        if (decision[i] != LIKELY)
            continue;
        bool again = last != UINT32_MAX && is_line(b) &&
                     str_eq(block_text(p, b), block_text(p, &p->block[last]));
        last = i;
        if (again)
            decision[i] = COPY;
        if (again || (kind == PAGE_DOCUMENTATION && is_running(b)) || b->copies < 2 ||
            b->chars < COPY_CHARS)
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
    } else if (conf->beta <= 1 && is_shell(p, &out->judged)) {
        memset(out->decision, SHELL, p->block_count);
    } else if (!choose(a, p, conf->beta, out) ||
               !keep_code(a, p, out->judged.features, out->decision) ||
               !whole_tables(a, p, out->judged.keep, out->threshold, out->decision) ||
               !drop_copies(a, p, out->judged.kind, out->decision)) {
        return false;
    } else {
        if (conf->beta <= 1 && out->judged.kind == PAGE_ARTICLE)
            whole_articles(p, out->decision);
        if (conf->beta >= 1 && out->judged.kind == PAGE_DOCUMENTATION)
            whole_manual(p, &out->judged, out->threshold, out->decision);
        whole_headings(p, out->decision);
    }
    for (uint32_t i = 0; i < p->block_count; i++)
        out->chosen[i] = out->decision[i] == LIKELY;
    return true;
}

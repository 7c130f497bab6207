/* whole - the choice of blocks corrected where blocks are read together or not at all. */
#include "extract/judge.h"

enum { ROWS_LEAST = 2, CELL_WORDS = 15, TAIL_WORDS = 12, LINKS_LEAST = 3 };
#define MANUAL_SHARE 0.8
#define MANUAL_DOUBT 0.5f

/* ---- data tables ---- */
struct table {
    uint32_t rows, cells, blocks, shown;
    bool nested, heads;
    double words, mass;
};

/* Of each element, the innermost table it stands in, a table in itself; NO_NODE: none. */
static void find_tables(const struct page *p, uint32_t *inside, struct table *table)
{
    inside[0] = NO_NODE;
    for (uint32_t i = 1; i < p->node_count; i++) {
        uint32_t around = inside[p->node[i].parent];
        GumboTag tag = (GumboTag)p->node[i].tag;
        inside[i] = tag == GUMBO_TAG_TABLE ? i : around;
        if (around == NO_NODE)
            continue;
        table[around].nested |= tag == GUMBO_TAG_TABLE;
        table[around].rows += tag == GUMBO_TAG_TR;
        table[around].cells += tag == GUMBO_TAG_TD || tag == GUMBO_TAG_TH;
    }
}

static bool is_data(const struct table *t)
{
    return !t->nested && !t->heads && t->rows >= ROWS_LEAST && t->cells >= 2 * t->rows &&
           t->blocks <= t->cells && t->words <= CELL_WORDS * (double)t->cells;
}

bool whole_tables(struct arena *a, const struct page *p, const float *keep, float threshold,
                  uint8_t *decision)
{
    size_t mark = arena_mark(a);
    uint32_t *inside = arena_array(a, uint32_t, (size_t)p->node_count + 1);
    struct table *table = arena_array_zero(a, struct table, (size_t)p->node_count + 1);
    if (!inside || !table)
        return false;
    find_tables(p, inside, table);
    for (uint32_t i = 0; i < p->block_count; i++) {
        const struct block *b = &p->block[i];
        if (inside[b->node] == NO_NODE)
            continue;
        struct table *t = &table[inside[b->node]];
        t->blocks++;
        t->heads |= b->level > 0;
        if (b->flags & BLOCK_HIDDEN)
            continue;
        t->shown += decision[i] == LIKELY;
        t->words += block_weight(b);
        t->mass += block_weight(b) * (double)keep[i];
    }
    for (uint32_t i = 0; i < p->block_count; i++) {
        const struct block *b = &p->block[i];
        if (inside[b->node] == NO_NODE || (b->flags & BLOCK_HIDDEN))
            continue;
        const struct table *t = &table[inside[b->node]];
        if (t->shown > 0 && is_data(t))
            decision[i] = t->mass >= (double)threshold * t->words ? LIKELY : UNLIKELY;
    }
    arena_reset(a, mark);
    return true;
}

/* ---- manuals ---- */
static bool is_running(const struct judgement *j, const struct block *b, uint32_t index)
{
    return !(b->flags & BLOCK_HIDDEN) && b->link_chars * 2 <= b->chars &&
           !features_furniture(j->features, index);
}

void whole_manual(const struct page *p, const struct judgement *j, float threshold,
                  uint8_t *decision)
{
    uint32_t from = 0, to = p->block_count;
    double all = 0, taken = 0;
    while (from < to && decision[from] != LIKELY)
        from++;
    while (to > from && decision[to - 1] != LIKELY)
        to--;
    for (uint32_t i = from; i < to; i++) {
        double weight = is_running(j, &p->block[i], i) ? block_weight(&p->block[i]) : 0;
        all += weight;
        taken += decision[i] == LIKELY ? weight : 0;
    }
    if (taken < MANUAL_SHARE * all)
        return;
    for (uint32_t i = from; i < to; i++)
        if (decision[i] == UNLIKELY && j->keep[i] >= MANUAL_DOUBT * threshold &&
            is_running(j, &p->block[i], i))
            decision[i] = LIKELY;
}

/* ---- headings of nothing ---- */
void whole_headings(const struct page *p, uint8_t *decision)
{
    uint32_t last = p->block_count;
    while (last > 0 && decision[last - 1] != LIKELY)
        last--;
    while (last > 0 && p->block[last - 1].level > 0 && p->block[last - 1].words <= TAIL_WORDS) {
        uint32_t before = last - 1;
        while (before > 0 && decision[before - 1] != LIKELY)
            before--;
        if (before == 0 || p->block[before - 1].level > 0)
            return; /* names of things, or all there is */
        decision[last - 1] = UNLIKELY;
        last = before;
    }
}

/* ---- lists of other pages ---- */
static bool all_links(const struct block *b)
{
    return b->chars > 0 && b->link_chars * 10 >= b->chars * 9;
}

void whole_articles(const struct page *p, uint8_t *decision)
{
    uint32_t at = p->block_count;
    while (at > 0 && !(decision[at - 1] == LIKELY && block_is_long(&p->block[at - 1])))
        at--;
    while (at > 0 && at < p->block_count) {
        uint32_t end = at;
        while (end < p->block_count && all_links(&p->block[end]))
            end++;
        for (uint32_t i = at; i < end && end - at >= LINKS_LEAST; i++)
            decision[i] = decision[i] == LIKELY ? UNLIKELY : decision[i];
        at = end + 1;
    }
}

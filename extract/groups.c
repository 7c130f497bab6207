/* groups - finds what repeats on a page: equal siblings, like siblings, blocks under one path. */
#include "core/hash.h"
#include "extract/judge.h"

enum { UNITS_LEAST = 3, MAIN_UNITS = 4 };

struct slot {
    uint64_t key;
    uint32_t group;
};
struct finder {
    struct slot *slot;
    uint64_t mask;
    struct groups *out;
};

static uint32_t group_for(struct finder *f, uint64_t key)
{
    uint64_t at = hash_mix(key);
    key = at | 1; /* 0 marks an empty slot */
    for (at = at >> 20 & f->mask; f->slot[at].key && f->slot[at].key != key;)
        at = (at + 1) & f->mask;
    if (!f->slot[at].key) {
        f->slot[at] = (struct slot){key, f->out->count};
        f->out->list[f->out->count++] = (struct group){.first = UINT32_MAX};
    }
    return f->slot[at].group;
}

static void add_node(struct group *g, const struct node *n, struct range range)
{
    g->units++;
    g->blocks += n->blocks;
    g->chars += n->chars;
    g->link_chars += n->link_chars;
    g->ends += n->ends;
    g->words += n->words;
    g->longest = n->chars > g->longest ? n->chars : g->longest;
    g->first = range.from < g->first ? range.from : g->first;
    g->last = range.to - 1 > g->last ? range.to - 1 : g->last;
}

static void group_nodes(struct finder *f, const struct page *p, const struct range *range)
{
    struct groups *out = f->out;
    out->same[0] = out->alike[0] = NO_GROUP;
    for (uint32_t i = 1; i < p->node_count; i++) {
        const struct node *n = &p->node[i];
        out->same[i] = out->alike[i] = NO_GROUP;
        if (n->blocks == 0 || n->inline_)
            continue;
        uint64_t parent = (uint64_t)n->parent << 34;
        out->same[i] = group_for(f, parent ^ n->signature ^ 1ull << 32);
        add_node(&out->list[out->same[i]], n, range[i]);
        out->alike[i] = group_for(f, parent ^ n->tag ^ 2ull << 32);
        add_node(&out->list[out->alike[i]], n, range[i]);
    }
}

static uint64_t path_of(const struct page *p, const struct block *b)
{
    uint64_t key = 3ull << 32 ^ b->tag;
    uint32_t node = b->node;
    for (int up = 0; up < 3 && node != NO_NODE; up++, node = p->node[node].parent)
        key = hash_mix(key ^ p->node[node].signature);
    return key;
}

static void group_blocks(struct finder *f, const struct page *p)
{
    for (uint32_t i = 0; i < p->block_count; i++) {
        const struct block *b = &p->block[i];
        uint32_t index = f->out->path[i] = group_for(f, path_of(p, b));
        struct group *g = &f->out->list[index];
        g->units++;
        g->blocks++;
        g->chars += b->chars;
        g->link_chars += b->link_chars;
        g->ends += b->ends;
        g->words += b->words;
        g->longest = b->chars > g->longest ? b->chars : g->longest;
        g->first = i < g->first ? i : g->first;
        g->last = i;
        g->fresh += FRESH / (b->copies ? b->copies : 1);
    }
}

static void find_main(const struct page *p, struct groups *out)
{
    uint64_t most = 0;
    out->main = NO_GROUP;
    out->unit[0] = NO_NODE;
    for (uint32_t i = 1; i < p->node_count; i++) {
        uint32_t alike = out->alike[i], same = out->same[i];
        bool unit = alike != NO_GROUP && out->list[alike].units >= UNITS_LEAST;
        out->unit[i] = unit ? i : out->unit[p->node[i].parent];
        if (same == NO_GROUP || out->list[same].units < MAIN_UNITS)
            continue;
        uint64_t rest = out->list[same].chars - out->list[same].longest;
        if (rest > most) {
            most = rest;
            out->main = same;
        }
    }
}

bool groups_find(struct arena *a, const struct page *p, const struct range *range,
                 struct groups *out)
{
    uint64_t most = (uint64_t)p->node_count * 2 + p->block_count + 1, size = 64;
    while (size < most * 2)
        size *= 2;
    *out = (struct groups){0};
    out->list = arena_array(a, struct group, most);
    out->same = arena_array(a, uint32_t, (size_t)p->node_count + 1);
    out->alike = arena_array(a, uint32_t, (size_t)p->node_count + 1);
    out->unit = arena_array(a, uint32_t, (size_t)p->node_count + 1);
    out->path = arena_array(a, uint32_t, (size_t)p->block_count + 1);
    size_t mark = arena_mark(a);
    struct finder f = {arena_array_zero(a, struct slot, size), size - 1, out};
    if (!out->list || !out->same || !out->alike || !out->unit || !out->path || !f.slot)
        return false;
    group_nodes(&f, p, range);
    group_blocks(&f, p);
    find_main(p, out);
    arena_reset(a, mark);
    return true;
}

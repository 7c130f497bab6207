/* titles - the titles that stand over a block: headings, and short lines that a part begins with.
 */
#include "extract/judge.h"

#include <assert.h>

enum { TITLE_WORDS = 14, LABEL_WORDS = 6, LEVELS = HEADING_LEVELS + 1 };

/* A heading but the page's own, or a short line that is no sentence and no link. */
static bool is_title(const struct block *b)
{
    if (b->level > 0)
        return b->words > 0 && b->words <= TITLE_WORDS;
    return b->words > 0 && b->words <= LABEL_WORDS && !b->sentence && b->link_chars * 2 <= b->chars;
}

/* The part of the page that each element's title names: the elements whose first block it is, if
 * they hold more than it. A title over nearly the whole page is none. */
static void find_parts(const struct page *p, const struct range *range, struct titles *t)
{
    for (uint32_t i = 0; i < p->node_count; i++) {
        const struct node *n = &p->node[i];
        struct titled *part = &t->part[i];
        if (i == 0)
            *part = (struct titled){.node = NO_NODE};
        else
            *part = t->part[n->parent];
        for (int topic = 0; topic < TOPIC_COUNT; topic++)
            if (i == 0)
                part->near[topic] = NEAR_NONE;
            else if (part->near[topic] < NEAR_NONE)
                part->near[topic]++;
        uint32_t from = range[i].from;
        if (range[i].to < from + 2 || from == UINT32_MAX ||
            (uint64_t)n->chars * 10 > p->chars * 8 || !is_title(&p->block[from]))
            continue;
        part->node = i;
        for (uint32_t left = t->topics[from]; left; left &= left - 1)
            part->near[__builtin_ctz(left)] = 0;
    }
}

static void find_sections(const struct page *p, struct titles *t)
{
    uint32_t open[LEVELS], next[LEVELS]; /* of each level, the heading that is open or comes next */
    for (int level = 0; level < LEVELS; level++)
        open[level] = next[level] = UINT32_MAX;
    for (uint32_t i = 0; i < p->block_count; i++) {
        const struct block *b = &p->block[i];
        t->topics[i] = is_title(b) ? (uint16_t)cues_topics(block_text(p, b)) : 0;
        for (int level = b->level; b->level > 0 && level < LEVELS; level++)
            open[level] = level == b->level ? i : UINT32_MAX;
        memcpy(t->above[i].heading, open, sizeof open);
    }
    for (uint32_t i = p->block_count; i-- > 0;) {
        const struct block *b = &p->block[i];
        t->end[i] = next[b->level] == UINT32_MAX ? p->block_count : next[b->level];
        for (int level = b->level; b->level > 0 && level < LEVELS; level++)
            next[level] = i; /* of this level or a wider one */
    }
}

bool titles_find(struct arena *a, const struct page *p, const struct range *range,
                 struct titles *out)
{
    out->p = p;
    out->range = range;
    out->part = arena_array(a, struct titled, (size_t)p->node_count + 1);
    out->topics = arena_array(a, uint16_t, (size_t)p->block_count + 1);
    out->above = arena_array(a, struct above, (size_t)p->block_count + 1);
    out->end = arena_array(a, uint32_t, (size_t)p->block_count + 1);
    if (!out->part || !out->topics || !out->above || !out->end)
        return false;
    find_sections(p, out);
    find_parts(p, range, out);
    return true;
}

struct range titles_part(const struct titles *t, uint32_t index)
{
    uint32_t node = t->part[t->p->block[index].node].node;
    return node == NO_NODE ? (struct range){0, t->p->block_count} : t->range[node];
}

struct range titles_chapter(const struct titles *t, uint32_t index)
{
    for (int level = 2; level < LEVELS; level++) {
        uint32_t heading = t->above[index].heading[level];
        if (heading != UINT32_MAX)
            return (struct range){heading, t->end[heading]};
    }
    return (struct range){0, t->p->block_count};
}

float *titles_block(float *f, const struct titles *t, uint32_t index)
{
    const float *start = f;
    const struct page *p = t->p;
    const struct titled *part = &t->part[p->block[index].node];
    for (int topic = 0; topic < TOPIC_COUNT; topic++)
        *f++ = part->near[topic];
    float since[TOPIC_COUNT];
    for (int topic = 0; topic < TOPIC_COUNT; topic++)
        since[topic] = t->topics[index] >> topic & 1 ? 0.0f : -1.0f;
    for (int level = HEADING_LEVELS; level >= 2; level--) {
        uint32_t heading = t->above[index].heading[level];
        if (heading == UINT32_MAX)
            continue;
        for (uint32_t left = t->topics[heading]; left; left &= left - 1) {
            float *one = &since[__builtin_ctz(left)];
            *one = *one < 0 ? (float)(index - heading) : *one;
        }
    }
    memcpy(f, since, sizeof since);
    f += TOPIC_COUNT;
    const struct range range = titles_part(t, index);
    const struct block *title = part->node == NO_NODE ? NULL : &p->block[range.from];
    *f++ = title ? (float)(range.to - range.from) : -1.0f;
    *f++ = title ? (float)(index - range.from) : -1.0f;
    *f++ = title ? (float)title->words : -1.0f;
    *f++ = title ? title->level : -1.0f;
    const struct node *whole = title ? &p->node[part->node] : NULL;
    *f++ = whole ? (float)whole->link_chars / ((float)whole->chars + 1.0f) : -1.0f;
    assert(f - start == TITLES_BLOCK);
    UNUSED(start);
    return f;
}

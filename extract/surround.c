/* surround - measures where a block stands: among repeated things, headings and longer texts. */
#include "extract/judge.h"

#include <assert.h>

enum { LONG_CHARS = 80, UNITS = 2, HEADLINE_BLOCKS = 400, HEADLINE_LEVEL_MAX = 4 };

static float ratio(double part, double whole) { return whole > 0 ? (float)(part / whole) : 0.0f; }

bool block_is_long(const struct block *b)
{
    return b->chars >= LONG_CHARS && b->link_chars * 3 < b->chars;
}

/* ---- what is found once a page ---- */
static void find_ranges(const struct page *p, struct range *range)
{
    for (uint32_t i = 0; i < p->node_count; i++)
        range[i] = (struct range){UINT32_MAX, 0};
    for (uint32_t i = 0; i < p->block_count; i++) {
        struct range *r = &range[p->block[i].node];
        r->from = i < r->from ? i : r->from;
        r->to = i + 1;
    }
    for (uint32_t i = p->node_count; i-- > 1;) {
        struct range *up = &range[p->node[i].parent];
        up->from = range[i].from < up->from ? range[i].from : up->from;
        up->to = range[i].to > up->to ? range[i].to : up->to;
    }
}

/* ---- the names above an element ---- */
static int slot_of_tag(uint8_t tag)
{
    static const uint8_t tags[ASPECT_TAGS] = {
        GUMBO_TAG_NAV,  GUMBO_TAG_HEADER,  GUMBO_TAG_FOOTER, GUMBO_TAG_ASIDE,
        GUMBO_TAG_MAIN, GUMBO_TAG_ARTICLE, GUMBO_TAG_FORM,   GUMBO_TAG_LI,
    };
    for (int i = 0; i < ASPECT_TAGS; i++)
        if (tags[i] == tag)
            return i;
    return -1;
}

static uint8_t one_up(uint8_t levels)
{
    return levels < NEAR_NONE ? (uint8_t)(levels + 1) : levels;
}

static void find_aspects(const struct page *p, struct aspect *aspect)
{
    static const struct aspect none = {0};
    for (uint32_t i = 0; i < p->node_count; i++) {
        const struct node *n = &p->node[i];
        struct aspect *a = &aspect[i];
        bool wide = (uint64_t)n->chars * 10 > p->chars * 8;
        if (i == 0) {
            *a = none;
            memset(a->near, NEAR_NONE, sizeof a->near);
            memset(a->tag, NEAR_NONE, sizeof a->tag);
        } else {
            *a = aspect[n->parent];
            for (int c = 0; c < CUE_COUNT; c++)
                a->near[c] = one_up(a->near[c]);
            for (int t = 0; t < ASPECT_TAGS; t++)
                a->tag[t] = one_up(a->tag[t]);
        }
        int slot = slot_of_tag(n->tag);
        if (slot >= 0)
            a->tag[slot] = 0;
        for (uint32_t cues = wide ? 0 : n->cues; cues; cues &= cues - 1)
            a->near[__builtin_ctz(cues)] = 0;
    }
}

static bool all_links(const struct block *b)
{
    return b->chars > 0 && b->link_chars * 10 >= b->chars * 9;
}

static void find_neighbours(struct surround *s)
{
    const struct page *p = s->p;
    uint32_t last = UINT32_MAX, run = 0;
    for (uint32_t i = 0; i < p->block_count; i++) {
        s->long_before[i] = last;
        last = block_is_long(&p->block[i]) ? i : last;
        run = all_links(&p->block[i]) ? run + 1 : 0;
        s->link_run[i] = run;
    }
    uint32_t next = UINT32_MAX, end = p->block_count;
    for (uint32_t i = p->block_count; i-- > 0;) {
        s->long_after[i] = next;
        next = block_is_long(&p->block[i]) ? i : next;
        s->section_end[i] = end;
        end = p->block[i].level ? i : end;
        if (i + 1 < p->block_count && s->link_run[i] > 0 && s->link_run[i + 1] > s->link_run[i])
            s->link_run[i] = s->link_run[i + 1];
    }
}

/* ---- marks in the text ---- */
static bool is_digit(char c) { return c >= '0' && c <= '9'; }

static uint32_t longest_run(struct str text)
{
    uint32_t longest = 0, run = 0;
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        run = c > ' ' && c < 0x7F ? run + 1 : 0;
        longest = run > longest ? run : longest;
    }
    return longest;
}

/* A currency sign beside a digit: $ or a multi-byte one (pound, yen, euro, rupee, won, rouble). */
static bool is_currency(const char *at, const char *end)
{
    static const char *const signs[] = {"$", "\xC2\xA3", "\xC2\xA5", "\xE2\x82", "\xEF\xBF\xA5"};
    for (size_t i = 0; i < COUNT_OF(signs); i++) {
        size_t len = strlen(signs[i]);
        if ((size_t)(end - at) >= len && memcmp(at, signs[i], len) == 0)
            return true;
    }
    return false;
}

static struct marks marks_of(struct str text, bool digits)
{
    struct marks m = {0};
    const char *end = text.ptr + text.len;
    if (!digits && str_find_char(text, '{') == SIZE_MAX && str_find_char(text, '(') == SIZE_MAX)
        return m;
    uint32_t groups = 0; /* numbers in a row with one separator between: 12/31/2024, 10:45 */
    char last = 0;
    for (const char *at = text.ptr; at < end; at++) {
        char c = *at;
        if (is_digit(c) && !is_digit(last))
            groups++;
        else if (!is_digit(c) &&
                 !(is_digit(last) && (c == '/' || c == ':' || c == '-' || c == '.')))
            groups = 0;
        m.date |= groups >= 3 || (groups == 2 && at - text.ptr > 1 && at[-1] == ':');
        if ((c == '$' || (unsigned char)c >= 0xC2) && is_currency(at, end)) {
            bool before = at > text.ptr && (is_digit(last) ||
                                            (last == ' ' && at > text.ptr + 1 && is_digit(at[-2])));
            for (int i = 1; i <= 4 && at + i < end; i++)
                m.price |= is_digit(at[i]);
            m.price |= before;
        }
        m.placeholder |= (c == '{' && (last == '{' || last == '$')) || (c == '(' && last == '$');
        last = c;
    }
    return m;
}

/* ---- the headline ---- */
/* The heading with most words of the title tag and its like, at least half of its own; else the
 * first h1. A logo is often an h1 too, and forums and manuals set their titles as h2. */
static void find_headline(struct surround *s)
{
    const struct page *p = s->p;
    struct headline *h = &s->headline;
    uint32_t count = p->block_count < HEADLINE_BLOCKS ? p->block_count : HEADLINE_BLOCKS;
    float most = 0;
    h->block = UINT32_MAX;
    h->levels = 0;
    for (uint32_t i = 0; i < count; i++) {
        const struct block *b = &p->block[i];
        if (b->level == 0 || b->level > HEADLINE_LEVEL_MAX || (b->flags & BLOCK_HIDDEN))
            continue;
        struct said_shares said = said_of_block(&s->said, p, i);
        float fit = said.title < 0.5f ? 0 : said.title * said.title * (float)b->words;
        if (fit > most || (h->block == UINT32_MAX && b->level == 1)) {
            most = fit;
            h->block = i;
        }
    }
    if (h->block == UINT32_MAX)
        return;
    uint32_t node = p->block[h->block].node;
    for (; node != NO_NODE && h->levels < HEADLINE_LEVELS; node = p->node[node].parent)
        h->above[h->levels++] = node;
}

/* How far a block stands from the headline, in the text and in the tree. */
static float *put_headline(float *f, const struct surround *s, uint32_t index)
{
    const struct page *p = s->p;
    const struct headline *h = &s->headline;
    const struct block *b = &p->block[index];
    const bool none = h->block == UINT32_MAX;
    const struct block *head = none ? b : &p->block[h->block];
    uint32_t up = 0;
    while (up + 1 < h->levels && (b->node < h->above[up] || b->node >= p->node[h->above[up]].end))
        up++;
    const struct node *common = none ? &p->node[0] : &p->node[h->above[up]];
    *f++ = none ? 0.0f : (float)index - (float)h->block;
    *f++ = ratio((double)b->before - (double)head->before, (double)p->chars);
    *f++ = none ? -1.0f : (float)up;
    *f++ = none ? -1.0f : (float)p->node[b->node].depth - (float)common->depth;
    *f++ = none ? -1.0f : ratio(common->chars, (double)p->chars);
    *f++ = none ? -1.0f : (float)head->level;
    return f;
}

struct surround *surround_open(struct arena *a, const struct page *p, const struct asides *asides)
{
    struct surround *s = arena_array_zero(a, struct surround, 1);
    if (!s)
        return NULL;
    size_t blocks = (size_t)p->block_count + 1;
    s->p = p;
    s->aspect = arena_array(a, struct aspect, (size_t)p->node_count + 1);
    s->range = arena_array(a, struct range, (size_t)p->node_count + 1);
    s->long_before = arena_array(a, uint32_t, blocks);
    s->long_after = arena_array(a, uint32_t, blocks);
    s->section_end = arena_array(a, uint32_t, blocks);
    s->link_run = arena_array(a, uint32_t, blocks);
    s->marks = arena_array(a, struct marks, blocks);
    if (!s->aspect || !s->range || !s->long_before || !s->long_after || !s->section_end ||
        !s->link_run || !s->marks)
        return NULL;
    find_ranges(p, s->range);
    find_aspects(p, s->aspect);
    find_neighbours(s);
    for (uint32_t i = 0; i < p->block_count; i++) {
        s->marks[i] = marks_of(block_text(p, &p->block[i]), p->block[i].digits > 0);
        s->marks[i].run = longest_run(block_text(p, &p->block[i]));
    }
    if (!groups_find(a, p, s->range, &s->groups) || !titles_find(a, p, s->range, &s->titles) ||
        !said_open(a, p, asides, &s->said))
        return NULL;
    find_headline(s);
    return s;
}

/* ---- one block ---- */
static float *put_group(float *f, const struct surround *s, uint32_t index)
{
    const struct group *g = index == NO_GROUP ? NULL : &s->groups.list[index];
    *f++ = g ? (float)g->units : 0.0f;
    *f++ = g ? ratio((double)g->chars, (double)s->p->chars) : 0.0f;
    *f++ = g ? ratio(g->longest, (double)g->chars) : 0.0f;
    *f++ = g ? ratio((double)g->link_chars, (double)g->chars) : 0.0f;
    *f++ = g ? ratio((double)g->ends, (double)g->words) : 0.0f;
    return f;
}

static float *put_said(float *f, const struct surround *s, uint32_t index)
{
    struct said_shares said = said_of_block(&s->said, s->p, index);
    const struct marks marks = s->marks[index];
    *f++ = said.title;
    *f++ = said.title_covered;
    *f++ = said.name;
    *f++ = said.about;
    *f++ = said.review;
    *f++ = said.topic;
    *f++ = marks.price;
    *f++ = marks.date;
    *f++ = marks.placeholder;
    return f;
}

static float *put_path(float *f, const struct surround *s, uint32_t index)
{
    const struct group *g = &s->groups.list[s->groups.path[index]];
    *f++ = (float)g->units;
    *f++ = ratio((double)g->chars, g->units);
    *f++ = ratio((double)g->link_chars, (double)g->chars);
    *f++ = ratio((double)g->ends, (double)g->words);
    *f++ = ratio(index - g->first, g->last - g->first + 1);
    return f;
}

static float *put_same(float *f, const struct surround *s, uint32_t node)
{
    for (int unit = 0; unit < UNITS; unit++) {
        while (node != NO_NODE && s->p->node[node].twins < 2)
            node = s->p->node[node].parent;
        f = put_group(f, s, node == NO_NODE ? NO_GROUP : s->groups.same[node]);
        node = node == NO_NODE ? NO_NODE : s->p->node[node].parent;
    }
    return f;
}

static float *put_unit(float *f, const struct surround *s, uint32_t index)
{
    uint32_t node = s->groups.unit[s->p->block[index].node];
    const struct node *n = node == NO_NODE ? &s->p->node[0] : &s->p->node[node];
    struct range range = node == NO_NODE ? (struct range){0, s->p->block_count} : s->range[node];
    *f++ = (float)n->chars;
    *f++ = (float)n->blocks;
    *f++ = ratio(n->link_chars, n->chars);
    *f++ = ratio(n->ends, n->words);
    *f++ = (float)(index - range.from);
    *f++ = ratio(index - range.from, range.to - range.from);
    uint32_t group = node == NO_NODE ? NO_GROUP : s->groups.alike[node];
    f = put_group(f, s, group);
    const struct group *g = group == NO_GROUP ? NULL : &s->groups.list[group];
    *f++ = g ? ratio(range.from - g->first, g->last - g->first + 1) : 0.0f;
    return f;
}

static float *put_place(float *f, const struct surround *s, uint32_t index)
{
    const struct page *p = s->p;
    const struct block *b = &p->block[index];
    const struct group *g = s->groups.main == NO_GROUP ? NULL : &s->groups.list[s->groups.main];
    *f++ = !g ? -2.0f : index < g->first ? -1.0f : index > g->last ? 1.0f : 0.0f;
    uint32_t before = s->long_before[index], after = s->long_after[index];
    *f++ = before == UINT32_MAX ? -1.0f : (float)(index - before);
    *f++ = before == UINT32_MAX ? -1.0f : (float)(b->before - p->block[before].before);
    *f++ = after == UINT32_MAX ? -1.0f : (float)(after - index);
    *f++ = after == UINT32_MAX ? -1.0f : (float)(p->block[after].before - b->before);
    *f++ = (float)s->link_run[index];
    uint32_t from = b->level ? index : b->heading == UINT32_MAX ? 0 : b->heading;
    uint32_t to = s->section_end[index];
    uint64_t chars = 0, links = 0, ends = 0;
    uint32_t last = to < from + 64 ? to : from + 64; /* long sections are told by their start */
    for (uint32_t i = from; i < last; i++) {
        chars += p->block[i].chars;
        links += p->block[i].link_chars;
        ends += p->block[i].ends;
    }
    *f++ = (float)(to - from);
    *f++ = (float)chars;
    *f++ = ratio((double)links, (double)chars);
    *f++ = ratio((double)ends, last - from);
    return f;
}

float *surround_block(float *f, const struct surround *s, uint32_t index)
{
    const float *start = f;
    f = put_said(f, s, index);
    f = put_path(f, s, index);
    f = put_same(f, s, s->p->block[index].node);
    f = put_unit(f, s, index);
    f = put_place(f, s, index);
    const struct aspect *a = &s->aspect[s->p->block[index].node];
    for (int t = 0; t < ASPECT_TAGS; t++)
        *f++ = a->tag[t];
    f = titles_block(f, &s->titles, index);
    const struct group *g = &s->groups.list[s->groups.path[index]];
    *f++ = ratio((double)g->fresh, (double)g->units * FRESH);
    *f++ = ratio(s->p->block[index].copies, g->units);
    *f++ = (float)s->marks[index].run;
    f = put_headline(f, s, index);
    assert(f - start == SURROUND_BLOCK);
    UNUSED(start);
    return f;
}

/* ---- the page ---- */
struct shares {
    double price, date, placeholder, hidden, item, cell, pre, sentence, blocks;
};

static struct shares shares_of(const struct surround *around)
{
    const struct page *p = around->p;
    struct shares s = {.blocks = p->block_count};
    for (uint32_t i = 0; i < p->block_count; i++) {
        const struct block *b = &p->block[i];
        const struct marks marks = around->marks[i];
        s.price += marks.price;
        s.date += marks.date;
        s.placeholder += marks.placeholder;
        s.hidden += b->flags & BLOCK_HIDDEN ? b->chars : 0;
        s.item += b->tag == GUMBO_TAG_LI;
        s.cell += b->tag == GUMBO_TAG_TD || b->tag == GUMBO_TAG_TH;
        s.pre += b->flags & BLOCK_PRE ? b->chars : 0;
        s.sentence += b->sentence && block_is_long(b);
    }
    return s;
}

float *surround_page(float *f, const struct surround *s)
{
    const float *start = f;
    const struct said *said = &s->said;
    const struct shares shares = shares_of(s);
    for (uint32_t bit = JSON_ARTICLE; bit <= JSON_ANY; bit *= 2)
        *f++ = (said->json & bit) != 0;
    *f++ = (float)said->items;
    *f++ = (float)said->about_words;
    *f++ = (float)said->review_words;
    *f++ = said->og_article;
    *f++ = said->og_product;
    *f++ = said->og_website;
    *f++ = ratio(shares.price, shares.blocks);
    *f++ = ratio(shares.date, shares.blocks);
    *f++ = ratio(shares.placeholder, shares.blocks);
    *f++ = ratio(shares.hidden, (double)s->p->chars);
    *f++ = ratio(shares.item, shares.blocks);
    *f++ = ratio(shares.cell, shares.blocks);
    *f++ = ratio(shares.pre, (double)s->p->chars);
    *f++ = (float)shares.sentence;
    const struct group *g = s->groups.main == NO_GROUP ? NULL : &s->groups.list[s->groups.main];
    f = put_group(f, s, s->groups.main);
    *f++ = g ? ratio((double)g->chars, g->units) : 0.0f;
    assert(f - start == SURROUND_PAGE);
    UNUSED(start);
    return f;
}

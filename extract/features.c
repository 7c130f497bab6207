/* features - measures each block: text, neighbours, containers, and the names it stands under. */
/* Counts and ratios only, computed with plain IEEE arithmetic: a logarithm would tell a decision
 * tree nothing new and may differ in its last bit between machines. They rest on the page's
 * language as little as possible: lengths, link shares, punctuation, the place in the tree,
 * repetition, and class-name cues. The order of the columns is part of the model in model.c: a new
 * column goes to the end of its part, and the model is trained again. */
#include "core/hash.h"
#include "extract/judge.h"

#include <assert.h>

enum {
    CONTAINERS = 4,
    UNITS = 2,
    AROUND = 2,
    WINDOW = 5,
    PATH_MAX_NODES = 64,
    TITLE_WORDS = 64,
};

struct sums {
    double chars, kept;
};

/* What one member of the judges thinks at first, and its running sums. */
struct opinions {
    const float *keep;
    struct sums *sums;
    struct sums *paths; /* of each group of blocks under one path */
    float keep_max;
    uint32_t keep_half;
};

struct features {
    const struct page *p;
    const struct asides *asides; /* may be NULL */
    uint32_t h1, first_long, last_long, longs, paragraphs, headings, articles;
    float chars, links_share, long_share, block_mean, ends_per_word, repeated_share;
    uint32_t path[PATH_MAX_NODES], path_len; /* from the root along the child with most text */
    uint64_t title[TITLE_WORDS];
    uint32_t title_words;
    struct surround *around;
    const struct range *range;  /* of each element: the blocks in it */
    float whole[SURROUND_PAGE]; /* the same for every block */
    struct opinions first[MEMBERS];
};

static float ratio(double part, double whole) { return whole > 0 ? (float)(part / whole) : 0.0f; }
static double good_chars(const struct node *n)
{
    return n->chars ? (double)n->long_chars * (1.0 - (double)n->link_chars / n->chars) + n->ends
                    : 0;
}

/* ---- the page as a whole ---- */
static uint32_t words_hashed(struct str text, uint64_t *out, uint32_t max)
{
    uint32_t count = 0;
    char word[32];
    size_t len = 0;
    for (size_t i = 0; i <= text.len && count < max; i++) {
        unsigned char c = i < text.len ? (unsigned char)text.ptr[i] : ' ';
        bool letter = c >= 0x80 || (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z');
        if (letter && len < sizeof word)
            word[len++] = (char)(c >= 'A' && c <= 'Z' ? c + 32 : c);
        if (!letter && len > 0) {
            out[count++] = hash64(word, len, 0);
            len = 0;
        }
    }
    return count;
}

static void find_path(struct features *c)
{
    const struct page *p = c->p;
    uint32_t at = 0;
    c->path_len = 0;
    while (c->path_len < PATH_MAX_NODES) {
        c->path[c->path_len++] = at;
        double whole = good_chars(&p->node[at]), most = 0;
        uint32_t best = NO_NODE;
        for (uint32_t child = at + 1; child < p->node[at].end; child = p->node[child].end) {
            double chars = good_chars(&p->node[child]);
            if (chars > most)
                most = chars, best = child;
        }
        if (best == NO_NODE || most < 0.5 * whole)
            break;
        at = best;
    }
}

static void measure_page(struct features *c)
{
    const struct page *p = c->p;
    uint64_t ends = 0, words = 0, long_chars = 0, repeated = 0;
    c->h1 = c->first_long = c->last_long = UINT32_MAX;
    for (uint32_t i = 0; i < p->block_count; i++) {
        const struct block *b = &p->block[i];
        ends += b->ends;
        words += b->words;
        if (b->level == 1 && c->h1 == UINT32_MAX)
            c->h1 = i;
        c->headings += b->level > 0;
        c->paragraphs += b->tag == GUMBO_TAG_P;
        if (block_is_long(b)) {
            if (c->first_long == UINT32_MAX)
                c->first_long = i;
            c->last_long = i;
            c->longs++;
            long_chars += b->chars;
        }
        uint32_t twins = 0, node = b->node;
        for (int up = 0; up < 4 && node != NO_NODE; up++, node = p->node[node].parent)
            twins = p->node[node].twins > twins ? p->node[node].twins : twins;
        repeated += twins >= 4 ? b->chars : 0;
    }
    for (uint32_t i = 0; i < p->node_count; i++)
        c->articles += p->node[i].tag == GUMBO_TAG_ARTICLE;
    c->chars = (float)p->chars;
    c->links_share = ratio((double)p->link_chars, (double)p->chars);
    c->long_share = ratio((double)long_chars, (double)p->chars);
    c->block_mean = ratio((double)p->chars, p->block_count);
    c->ends_per_word = ratio((double)ends, (double)words);
    c->repeated_share = ratio((double)repeated, (double)p->chars);
    c->title_words = words_hashed(p->title, c->title, TITLE_WORDS);
    find_path(c);
}

/* ---- one block ---- */
static float *put_own(float *f, const struct page *p, const struct block *b)
{
    struct str text = block_text(p, b);
    unsigned char first = (unsigned char)text.ptr[0], last = (unsigned char)text.ptr[text.len - 1];
    *f++ = (float)b->chars;
    *f++ = (float)b->words;
    *f++ = ratio(b->letters, b->chars);
    *f++ = ratio(b->upper, b->letters);
    *f++ = ratio(b->digits, b->letters);
    *f++ = (float)b->ends;
    *f++ = (float)b->commas;
    *f++ = ratio(b->ends, b->words);
    *f++ = ratio(b->letters, b->words);
    *f++ = ratio(b->link_chars, b->chars);
    *f++ = ratio(b->place_chars, b->chars);
    *f++ = (float)b->links;
    *f++ = ratio(b->link_chars, b->links);
    *f++ = (float)b->furniture;
    *f++ = ratio(b->furniture, b->words);
    *f++ = (float)b->copies;
    *f++ = b->tag == GUMBO_TAG_P;
    *f++ = b->tag == GUMBO_TAG_LI;
    *f++ = b->tag == GUMBO_TAG_TD || b->tag == GUMBO_TAG_TH;
    *f++ = b->tag == GUMBO_TAG_DT || b->tag == GUMBO_TAG_DD;
    *f++ = b->tag == GUMBO_TAG_BUTTON || b->tag == GUMBO_TAG_LEGEND || b->tag == GUMBO_TAG_SUMMARY;
    *f++ = b->tag == GUMBO_TAG_BLOCKQUOTE;
    *f++ = b->level;
    *f++ = (b->flags & BLOCK_PRE) != 0;
    *f++ = (b->flags & BLOCK_BREAKS) != 0;
    *f++ = (b->flags & BLOCK_HIDDEN) != 0;
    *f++ = b->sentence;
    *f++ = first >= 'a' && first <= 'z';
    *f++ = last == '.' || last == '!' || last == '?';
    *f++ = last == ':';
    *f++ = str_find(text, STR("\xC2\xA9")) != SIZE_MAX;
    return f;
}

static float *put_title(float *f, const struct features *c, const struct block *b)
{
    uint64_t word[TITLE_WORDS];
    uint32_t count = words_hashed(block_text(c->p, b), word, TITLE_WORDS), common = 0;
    for (uint32_t i = 0; i < count; i++)
        for (uint32_t t = 0; t < c->title_words; t++)
            if (word[i] == c->title[t]) {
                common++;
                break;
            }
    *f++ = ratio(common, count);
    *f++ = ratio(common, c->title_words);
    return f;
}

static float *put_cues(float *f, const struct features *c, const struct block *b)
{
    const struct aspect *n = &c->around->aspect[b->node];
    for (int cue = 0; cue < CUE_COUNT; cue++)
        *f++ = b->inner_cues >> cue & 1   ? 0.0f
               : n->near[cue] < NEAR_NONE ? (float)(n->near[cue] + 1)
                                          : NEAR_NONE;
    return f;
}

static float *put_container(float *f, const struct features *c, const struct node *n,
                            uint32_t levels)
{
    *f++ = (float)n->chars;
    *f++ = ratio(n->link_chars, n->chars);
    *f++ = (float)n->blocks;
    *f++ = ratio(n->chars, c->chars);
    *f++ = ratio(n->ends, n->words);
    *f++ = ratio(n->long_chars, n->chars);
    *f++ = ratio(n->chars, n->blocks);
    *f++ = (float)n->twins;
    *f++ = (float)levels;
    return f;
}

/* The smallest ancestors that hold at least twice as many blocks as the one before. */
static float *put_containers(float *f, const struct features *c, const struct block *b)
{
    const struct page *p = c->p;
    uint32_t node = b->node, levels = 0;
    float *end = f + CONTAINERS * 9;
    f = put_container(f, c, &p->node[node], 0);
    uint32_t blocks = p->node[node].blocks;
    while (f < end) {
        uint32_t up = p->node[node].parent;
        while (up != NO_NODE && p->node[up].blocks < blocks * 2)
            up = p->node[up].parent, levels++;
        if (up == NO_NODE)
            up = 0;
        f = put_container(f, c, &p->node[up], levels);
        node = up;
        blocks = p->node[up].blocks;
    }
    return f;
}

/* The nearest ancestors that stand among equals: rows of a listing, posts of a forum. */
static float *put_units(float *f, const struct features *c, const struct block *b)
{
    const struct page *p = c->p;
    uint32_t node = b->node, levels = 0;
    for (int unit = 0; unit < UNITS; unit++) {
        while (node != NO_NODE && p->node[node].twins < 2)
            node = p->node[node].parent, levels++;
        const struct node *n = node == NO_NODE ? &p->node[0] : &p->node[node];
        *f++ = (float)n->twins;
        *f++ = (float)n->chars;
        *f++ = (float)n->blocks;
        *f++ = ratio(n->link_chars, n->chars);
        *f++ = ratio(n->ends, n->words);
        *f++ = ratio(n->rank, n->twins);
        *f++ = node == NO_NODE ? -1.0f : (float)levels;
        if (node != NO_NODE)
            node = p->node[node].parent, levels++;
    }
    return f;
}

static float *put_around(float *f, const struct page *p, uint32_t index)
{
    for (int step = -AROUND; step <= AROUND; step++) {
        int64_t at = (int64_t)index + step;
        if (step == 0)
            continue;
        const struct block *b = at >= 0 && at < p->block_count ? &p->block[at] : NULL;
        *f++ = b ? (float)b->chars : -1.0f;
        *f++ = b ? ratio(b->link_chars, b->chars) : -1.0f;
        *f++ = b ? (float)b->level : -1.0f;
        *f++ = b ? ratio(b->furniture, b->words) : -1.0f;
        *f++ = b && b->node == p->block[index].node;
    }
    uint64_t chars = 0, links = 0, ends = 0, count = 0;
    uint32_t from = index > WINDOW ? index - WINDOW : 0;
    uint32_t to = index + WINDOW < p->block_count ? index + WINDOW : p->block_count - 1;
    for (uint32_t i = from; i <= to; i++, count++) {
        chars += p->block[i].chars;
        links += p->block[i].link_chars;
        ends += p->block[i].ends;
    }
    *f++ = ratio((double)chars, (double)count);
    *f++ = ratio((double)links, (double)chars);
    *f++ = ratio((double)ends, (double)count);
    return f;
}

static float *put_place(float *f, const struct features *c, uint32_t index)
{
    const struct page *p = c->p;
    const struct block *b = &p->block[index];
    *f++ = ratio(index, p->block_count);
    *f++ = ratio(b->before, c->chars);
    *f++ = (float)p->node[b->node].depth;
    *f++ = c->h1 == UINT32_MAX ? -1.0f
           : index < c->h1     ? -(float)(c->h1 - index)
                               : (float)(index - c->h1);
    *f++ = c->longs == 0           ? 0.0f
           : index < c->first_long ? -(float)(c->first_long - index)
           : index > c->last_long  ? (float)(index - c->last_long)
                                   : 0.0f;
    uint32_t level = 0; /* how far along the path to the densest text the block's own path goes */
    for (uint32_t i = 0; i < c->path_len; i++)
        if (b->node >= c->path[i] && b->node < p->node[c->path[i]].end)
            level = i;
    const struct node *deepest = &p->node[c->path[c->path_len - 1]];
    *f++ = (float)(c->path_len - 1 - level);
    *f++ = b->node < c->path[c->path_len - 1] ? -1.0f : b->node >= deepest->end ? 1.0f : 0.0f;
    *f++ = ratio(p->node[c->path[level]].chars, c->chars);
    return f;
}

static float *put_page(float *f, const struct features *c)
{
    *f++ = (float)c->chars;
    *f++ = (float)c->p->block_count;
    *f++ = c->links_share;
    *f++ = c->long_share;
    *f++ = c->block_mean;
    *f++ = c->ends_per_word;
    *f++ = c->repeated_share;
    *f++ = (float)c->longs;
    *f++ = (float)c->paragraphs;
    *f++ = (float)c->headings;
    *f++ = (float)c->articles;
    const struct node *deepest = &c->p->node[c->path[c->path_len - 1]];
    *f++ = ratio(deepest->chars, c->chars);
    *f++ = (float)deepest->blocks;
    return f;
}

/* What stands under a heading is often told by the heading: "Related articles", "3 comments". */
static float *put_heading(float *f, const struct features *c, uint32_t index)
{
    const struct page *p = c->p;
    uint32_t heading = p->block[index].heading;
    const struct block *h = heading == UINT32_MAX ? NULL : &p->block[heading];
    *f++ = h ? (float)(index - heading) : -1.0f;
    *f++ = h ? (float)h->level : -1.0f;
    *f++ = h ? (float)h->furniture : -1.0f;
    *f++ = h ? (float)h->words : -1.0f;
    *f++ = h ? (float)c->around->aspect[h->node].near[CUE_RELATED] : -1.0f;
    return f;
}

struct features *features_open(struct arena *a, const struct page *p, const struct asides *asides)
{
    struct features *c = arena_array_zero(a, struct features, 1);
    if (!c)
        return NULL;
    c->p = p;
    c->asides = asides;
    c->around = surround_open(a, p, asides);
    if (!c->around)
        return NULL;
    for (int member = 0; member < MEMBERS; member++) {
        struct opinions *o = &c->first[member];
        o->sums = arena_array(a, struct sums, (size_t)p->block_count + 1);
        o->paths = arena_array(a, struct sums, (size_t)c->around->groups.count + 1);
        if (!o->sums || !o->paths)
            return NULL;
    }
    c->range = c->around->range;
    measure_page(c);
    surround_page(c->whole, c->around);
    return c;
}

void features_first(const struct features *c, uint32_t index, float *row)
{
    const struct page *p = c->p;
    const struct block *b = &p->block[index];
    float *f = row;
    f = put_own(f, p, b);
    f = put_title(f, c, b);
    f = put_cues(f, c, b);
    f = put_containers(f, c, b);
    f = put_units(f, c, b);
    f = put_around(f, p, index);
    f = put_place(f, c, index);
    f = put_page(f, c);
    f = put_heading(f, c, index);
    f = surround_block(f, c->around, index);
    memcpy(f, c->whole, sizeof c->whole);
    assert(f + SURROUND_PAGE - row == FEATURES_FIRST);
}

void features_page(const struct features *c, float *row)
{
    float *f = put_page(row, c);
    memcpy(f, c->whole, sizeof c->whole);
    f = hints_page(f + SURROUND_PAGE, c->p, c->asides, c->around->aspect);
    assert(f - row == FEATURES_PAGE);
    UNUSED(f);
}

bool features_furniture(const struct features *c, uint32_t index)
{
    enum { NAV, HEADER, FOOTER, ASIDE, MAIN, ARTICLE }; /* as in struct aspect */
    const uint8_t *tag = c->around->aspect[c->p->block[index].node].tag;
    return tag[NAV] < NEAR_NONE || tag[FOOTER] < NEAR_NONE ||
           (tag[HEADER] < NEAR_NONE && tag[MAIN] == NEAR_NONE && tag[ARTICLE] == NEAR_NONE);
}

struct pools features_pools(const struct features *c, uint32_t index)
{
    const struct page *p = c->p;
    const struct surround *s = c->around;
    const struct block *b = &p->block[index];
    struct pools out = {.path = s->groups.path[index],
                        .heading = b->heading,
                        .long_before = s->long_before[index],
                        .long_after = s->long_after[index]};
    uint32_t node = b->node, blocks = 1;
    for (int container = 0; container < CONTAINERS; container++) {
        while (p->node[node].parent != NO_NODE && p->node[node].blocks < blocks * 2)
            node = p->node[node].parent;
        out.range[container] = c->range[node];
        blocks = p->node[node].blocks;
        if (p->node[node].parent != NO_NODE)
            node = p->node[node].parent;
    }
    const struct range whole = {0, p->block_count};
    uint32_t unit = s->groups.unit[b->node];
    uint32_t alike = unit == NO_NODE ? NO_GROUP : s->groups.alike[unit], most = s->groups.main;
    const struct group *list = s->groups.list;
    out.range[4] = unit == NO_NODE ? whole : c->range[unit];
    out.range[5] =
        alike == NO_GROUP ? whole : (struct range){list[alike].first, list[alike].last + 1};
    out.range[6] = (struct range){b->level                   ? index
                                  : b->heading == UINT32_MAX ? 0
                                                             : b->heading,
                                  s->section_end[index]};
    out.range[7] = most == NO_GROUP ? whole : (struct range){list[most].first, list[most].last + 1};
    out.range[8] = titles_part(&s->titles, index);
    out.range[9] = titles_chapter(&s->titles, index);
    return out;
}

/* ---- after the first judgement ---- */
/* Mean of keep over the blocks of a range, weighted by their length: prefix sums make each one
 * subtraction. */
static float mean_between(const struct sums *sums, uint32_t from, uint32_t to)
{
    return ratio(sums[to].kept - sums[from].kept, sums[to].chars - sums[from].chars);
}

static float keep_at(const struct page *p, const float *keep, int64_t at)
{
    return at >= 0 && at < p->block_count ? keep[at] : -1.0f;
}

void features_judged(struct features *c, int member, const float *keep)
{
    const struct page *p = c->p;
    struct opinions *o = &c->first[member];
    o->keep = keep;
    o->keep_max = 0;
    o->keep_half = 0;
    o->sums[0] = (struct sums){0, 0};
    memset(o->paths, 0, c->around->groups.count * sizeof *o->paths);
    for (uint32_t i = 0; i < p->block_count; i++) {
        double chars = p->block[i].chars, kept = (double)keep[i] * chars;
        struct sums *path = &o->paths[c->around->groups.path[i]];
        o->sums[i + 1] = (struct sums){o->sums[i].chars + chars, o->sums[i].kept + kept};
        path->chars += chars;
        path->kept += kept;
        o->keep_max = keep[i] > o->keep_max ? keep[i] : o->keep_max;
        o->keep_half += keep[i] > 0.5f;
    }
}

void features_page_judged(const struct features *c, int member, float *row)
{
    const uint32_t end = c->p->block_count;
    const struct groups *g = &c->around->groups;
    const struct opinions *o = &c->first[member];
    float *f = row + FEATURES_PAGE;
    *f++ = mean_between(o->sums, 0, end);
    *f++ = (float)o->sums[end].kept;
    *f++ = o->keep_max;
    *f++ = ratio(o->keep_half, end);
    *f++ = g->main == NO_GROUP
               ? -1.0f
               : mean_between(o->sums, g->list[g->main].first, g->list[g->main].last + 1);
    *f++ = mean_between(o->sums, 0, end / 2);
    assert(f - row == FEATURES_PAGE_JUDGED);
}

/* What stands around a block, by the opinions of one member. */
static float *put_opinions(float *f, const struct features *c, const struct opinions *o,
                           const struct pools *pools, uint32_t index, const float *kinds)
{
    const struct page *p = c->p;
    const struct sums *sums = o->sums;
    const uint32_t end = p->block_count;
    for (int64_t step = -4; step <= 4; step++)
        *f++ = keep_at(p, o->keep, (int64_t)index + step);
    for (int i = 0; i < POOLS; i++)
        *f++ = mean_between(sums, pools->range[i].from, pools->range[i].to);
    *f++ = ratio(o->paths[pools->path].kept, o->paths[pools->path].chars);
    *f++ = pools->heading == UINT32_MAX ? -1.0f : o->keep[pools->heading];
    *f++ = pools->long_before == UINT32_MAX ? -1.0f : o->keep[pools->long_before];
    *f++ = pools->long_after == UINT32_MAX ? -1.0f : o->keep[pools->long_after];
    *f++ = mean_between(sums, 0, end);
    *f++ = (float)sums[end].kept;
    *f++ = ratio(sums[index].kept, sums[end].kept); /* how much of what is kept stands before */
    *f++ = mean_between(sums, index > 10 ? index - 10 : 0, index);
    *f++ = mean_between(sums, index + 1, index + 11 < end ? index + 11 : end);
    *f++ = o->keep_max;
    memcpy(f, kinds, PAGE_KIND_COUNT * sizeof *kinds);
    return f + PAGE_KIND_COUNT;
}

void features_second(const struct features *c, uint32_t index,
                     const float kinds[MEMBERS][PAGE_KIND_COUNT], float *row)
{
    const struct pools pools = features_pools(c, index);
    float *f = row;
    for (int member = 0; member < MEMBERS; member++)
        f = put_opinions(f, c, &c->first[member], &pools, index, kinds[member]);
    assert(f - row == MEMBERS * FEATURES_SECOND);
}

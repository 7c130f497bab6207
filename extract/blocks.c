/* blocks - one walk over the tree that leaves flat arrays: elements, and blocks of text. */
/* A block is the text between two block-level tags, white space folded as a browser would show it.
 * Elements and blocks are arrays in document order; a subtree is a range of them, so sums over
 * subtrees are one backward loop. */
#include "core/err.h"
#include "core/hash.h"
#include "extract/parts.h"

#include <assert.h>

enum { FRAMES_MAX = 8192, LONG_CHARS = 80 };

/* How an element stands in the text. SPACED: inline, but its text does not join its neighbour's. */
enum display {
    DISPLAY_INLINE, DISPLAY_SPACED, DISPLAY_BLOCK, DISPLAY_PRE, DISPLAY_BREAK, DISPLAY_RULE,
    DISPLAY_NONE,
};
static const uint8_t displays[GUMBO_TAG_LAST] = {
    [GUMBO_TAG_HTML] = DISPLAY_BLOCK, [GUMBO_TAG_BODY] = DISPLAY_BLOCK,
    [GUMBO_TAG_ARTICLE] = DISPLAY_BLOCK, [GUMBO_TAG_SECTION] = DISPLAY_BLOCK,
    [GUMBO_TAG_NAV] = DISPLAY_BLOCK, [GUMBO_TAG_ASIDE] = DISPLAY_BLOCK,
    [GUMBO_TAG_H1] = DISPLAY_BLOCK, [GUMBO_TAG_H2] = DISPLAY_BLOCK, [GUMBO_TAG_H3] = DISPLAY_BLOCK,
    [GUMBO_TAG_H4] = DISPLAY_BLOCK, [GUMBO_TAG_H5] = DISPLAY_BLOCK, [GUMBO_TAG_H6] = DISPLAY_BLOCK,
    [GUMBO_TAG_HGROUP] = DISPLAY_BLOCK, [GUMBO_TAG_HEADER] = DISPLAY_BLOCK,
    [GUMBO_TAG_FOOTER] = DISPLAY_BLOCK, [GUMBO_TAG_ADDRESS] = DISPLAY_BLOCK,
    [GUMBO_TAG_P] = DISPLAY_BLOCK, [GUMBO_TAG_HR] = DISPLAY_RULE, [GUMBO_TAG_BR] = DISPLAY_BREAK,
    [GUMBO_TAG_PRE] = DISPLAY_PRE, [GUMBO_TAG_LISTING] = DISPLAY_PRE,
    [GUMBO_TAG_XMP] = DISPLAY_PRE, [GUMBO_TAG_PLAINTEXT] = DISPLAY_PRE,
    [GUMBO_TAG_BLOCKQUOTE] = DISPLAY_BLOCK, [GUMBO_TAG_OL] = DISPLAY_BLOCK,
    [GUMBO_TAG_UL] = DISPLAY_BLOCK, [GUMBO_TAG_LI] = DISPLAY_BLOCK, [GUMBO_TAG_DL] = DISPLAY_BLOCK,
    [GUMBO_TAG_DT] = DISPLAY_BLOCK, [GUMBO_TAG_DD] = DISPLAY_BLOCK,
    [GUMBO_TAG_FIGURE] = DISPLAY_BLOCK, [GUMBO_TAG_FIGCAPTION] = DISPLAY_BLOCK,
    [GUMBO_TAG_MAIN] = DISPLAY_BLOCK, [GUMBO_TAG_DIV] = DISPLAY_BLOCK,
    [GUMBO_TAG_TABLE] = DISPLAY_BLOCK, [GUMBO_TAG_CAPTION] = DISPLAY_BLOCK,
    [GUMBO_TAG_TBODY] = DISPLAY_BLOCK, [GUMBO_TAG_THEAD] = DISPLAY_BLOCK,
    [GUMBO_TAG_TFOOT] = DISPLAY_BLOCK, [GUMBO_TAG_TR] = DISPLAY_BLOCK,
    [GUMBO_TAG_TD] = DISPLAY_BLOCK, [GUMBO_TAG_TH] = DISPLAY_BLOCK,
    [GUMBO_TAG_FORM] = DISPLAY_BLOCK, [GUMBO_TAG_FIELDSET] = DISPLAY_BLOCK,
    [GUMBO_TAG_LEGEND] = DISPLAY_BLOCK, [GUMBO_TAG_BUTTON] = DISPLAY_BLOCK,
    [GUMBO_TAG_DETAILS] = DISPLAY_BLOCK, [GUMBO_TAG_SUMMARY] = DISPLAY_BLOCK,
    [GUMBO_TAG_MENU] = DISPLAY_BLOCK, [GUMBO_TAG_DIR] = DISPLAY_BLOCK,
    [GUMBO_TAG_CENTER] = DISPLAY_BLOCK, [GUMBO_TAG_LABEL] = DISPLAY_SPACED,
    [GUMBO_TAG_OPTION] = DISPLAY_NONE, [GUMBO_TAG_OPTGROUP] = DISPLAY_NONE,
    [GUMBO_TAG_DATALIST] = DISPLAY_NONE, [GUMBO_TAG_SELECT] = DISPLAY_NONE,
    [GUMBO_TAG_VIDEO] = DISPLAY_NONE, [GUMBO_TAG_AUDIO] = DISPLAY_NONE,
    [GUMBO_TAG_CANVAS] = DISPLAY_NONE, [GUMBO_TAG_OBJECT] = DISPLAY_NONE,
    [GUMBO_TAG_APPLET] = DISPLAY_NONE, [GUMBO_TAG_PROGRESS] = DISPLAY_NONE,
    [GUMBO_TAG_METER] = DISPLAY_NONE, [GUMBO_TAG_MAP] = DISPLAY_NONE,
    [GUMBO_TAG_RP] = DISPLAY_NONE, [GUMBO_TAG_RT] = DISPLAY_NONE, [GUMBO_TAG_TITLE] = DISPLAY_NONE,
    [GUMBO_TAG_SCRIPT] = DISPLAY_NONE, [GUMBO_TAG_STYLE] = DISPLAY_NONE,
    [GUMBO_TAG_TEMPLATE] = DISPLAY_NONE, [GUMBO_TAG_SVG] = DISPLAY_NONE,
    [GUMBO_TAG_IFRAME] = DISPLAY_NONE, [GUMBO_TAG_NOSCRIPT] = DISPLAY_NONE,
    [GUMBO_TAG_TEXTAREA] = DISPLAY_NONE, [GUMBO_TAG_NOEMBED] = DISPLAY_NONE,
    [GUMBO_TAG_NOFRAMES] = DISPLAY_NONE, [GUMBO_TAG_UNKNOWN] = DISPLAY_SPACED,
};

struct frame { const GumboNode *node; uint32_t next, index; bool link, place, hidden; };
struct walk {
    struct arena *arena;
    struct page *page;
    struct frame *frame; uint32_t frame_count;
    uint32_t owner;            /* the block element that text now belongs to */
    uint32_t pre;              /* open pre elements */
    uint32_t blocks_max, text_max;
    struct block block;        /* being filled */
    uint32_t link_depth, place_depth, hidden_depth;
    bool space, gap;           /* since the last character: white space, an inline element's end */
};

/* ---- counting first, so that arrays are asked for once ---- */
struct census { uint32_t nodes, depth; uint64_t text; };

static const GumboVector *children_of(const GumboNode *node)
{
    if (node->type == GUMBO_NODE_ELEMENT || node->type == GUMBO_NODE_TEMPLATE)
        return &node->v.element.children;
    return node->type == GUMBO_NODE_DOCUMENT ? &node->v.document.children : NULL;
}

static bool is_text(const GumboNode *node)
{
    return node->type == GUMBO_NODE_TEXT || node->type == GUMBO_NODE_WHITESPACE ||
           node->type == GUMBO_NODE_CDATA;
}

static void take_census(struct frame *frame, const GumboNode *root, struct census *c)
{
    uint32_t depth = 1;
    frame[0] = (struct frame){.node = root};
    c->nodes = 1;
    while (depth > 0) {
        struct frame *top = &frame[depth - 1];
        const GumboVector *children = children_of(top->node);
        if (!children || top->next >= children->length) {
            depth--;
            continue;
        }
        const GumboNode *child = children->data[top->next++];
        if (is_text(child)) {
            c->text += strlen(child->v.text.text) + 2;
        } else if (children_of(child)) {
            c->nodes++;
            if (depth < FRAMES_MAX)
                frame[depth++] = (struct frame){.node = child};
        }
    }
}

/* ---- text ---- */
static bool is_dropped(uint32_t cp)
{
    return cp < 0x20 || (cp >= 0x7F && cp < 0xA0) || cp == 0xAD ||
           (cp >= 0x200B && cp <= 0x200F && cp != 0x200C && cp != 0x200D) ||
           (cp >= 0x202A && cp <= 0x202E) || (cp >= 0x2060 && cp <= 0x2064) || cp == 0xFEFF ||
           (cp >= 0xE000 && cp <= 0xF8FF); /* private use: icon fonts */
}

static bool is_blank(uint32_t cp)
{
    return cp == ' ' || (cp >= '\t' && cp <= '\r') || cp == 0xA0 || cp == 0x1680 ||
           (cp >= 0x2000 && cp <= 0x200A) || cp == 0x2028 || cp == 0x2029 || cp == 0x202F ||
           cp == 0x205F || cp == 0x3000;
}

static void put_char(struct walk *w, const char *bytes, size_t len)
{
    struct page *p = w->page;
    assert(p->text_len + len + 1 <= w->text_max);
    struct block *b = &w->block;
    b->len = p->text_len - b->start;
    if (w->space && b->len > 0 && p->text[p->text_len - 1] != '\n') {
        p->text[p->text_len++] = ' ';
        b->chars++;
        b->link_chars += w->link_depth > 0;
        b->place_chars += w->place_depth > 0;
    }
    w->space = w->gap = false;
    if (w->hidden_depth)
        b->flags |= BLOCK_HIDDEN;
    memcpy(p->text + p->text_len, bytes, len);
    p->text_len += (uint32_t)len;
    b->chars++;
    b->link_chars += w->link_depth > 0;
    b->place_chars += w->place_depth > 0;
}

static void put_newline(struct walk *w)
{
    struct page *p = w->page;
    while (p->text_len > w->block.start && p->text[p->text_len - 1] == ' ')
        p->text_len--;
    if (p->text_len > w->block.start) {
        p->text[p->text_len++] = '\n';
        w->block.flags |= BLOCK_BREAKS;
    }
    w->space = w->gap = false;
}

/* In pre, blanks and line ends count; elsewhere they fold. */
static void put_pre_blank(struct walk *w, uint32_t cp)
{
    struct page *p = w->page;
    if (cp == '\n' || cp == '\r')
        put_newline(w);
    else if (p->text_len > w->block.start) /* a first blank of the block would be lost anyway */
        p->text[p->text_len++] = cp == '\t' ? '\t' : ' ';
}

static void put_text(struct walk *w, const char *text)
{
    const char *at = text, *end = text + strlen(text);
    while (at < end) {
        uint32_t cp = (unsigned char)*at;
        int len = 1;
        char bad[4];
        const char *bytes = at;
        if (cp >= 0x80)
            len = utf8_decode(at, end, &cp);
        at += len;
        if (is_blank(cp)) {
            if (w->pre)
                put_pre_blank(w, cp);
            else
                w->space = true;
            continue;
        }
        if (is_dropped(cp))
            continue;
        if (cp == 0xFFFD) {
            len = utf8_encode(cp, bad);
            bytes = bad;
        }
        put_char(w, bytes, (size_t)len);
    }
}

/* ---- blocks ---- */
static bool is_wide_letter(uint32_t cp) { return cp >= 0x2E80 && cp <= 0xD7FF; }

static bool is_word_char(uint32_t cp)
{
    if (cp < 0x80)
        return (cp >= '0' && cp <= '9') || ((cp | 32) >= 'a' && (cp | 32) <= 'z');
    return cp >= 0xC0 && !(cp >= 0x2000 && cp < 0x2C00) && !(cp >= 0x3000 && cp < 0x3040) &&
           cp != 0xD7 && cp != 0xF7 && !(cp >= 0xFF00 && cp < 0xFF10) &&
           !(cp >= 0xFF1A && cp < 0xFF20);
}

static bool is_sentence_end(uint32_t cp)
{
    return cp == '.' || cp == '!' || cp == '?' || cp == 0x3002 || cp == 0xFF01 || cp == 0xFF1F ||
           cp == 0x2026 || cp == 0x0964 || cp == 0x061F || cp == 0x06D4;
}

static void measure_block(const struct page *p, struct block *b)
{
    const char *at = p->text + b->start, *end = at + b->len;
    bool in_word = false, ended = false;
    uint32_t wide = 0;
    while (at < end) {
        uint32_t cp = (unsigned char)*at;
        at += cp < 0x80 ? 1 : utf8_decode(at, end, &cp);
        bool word = is_word_char(cp);
        if (word) {
            b->letters++;
            b->digits += cp >= '0' && cp <= '9';
            b->upper += (cp >= 'A' && cp <= 'Z') || (cp >= 0xC0 && cp <= 0xDE) ||
                        (cp >= 0x410 && cp <= 0x42F);
            wide += is_wide_letter(cp);
            b->words += !in_word;
        }
        /* a stop inside a number or a name ends nothing: only one before a blank, a quote or the
         * end does */
        if (ended && !word)
            b->ends++;
        ended = is_sentence_end(cp);
        b->ends += ended && cp > 0x2E80 ? 1 : 0;
        b->commas += cp == ',' || cp == 0x3001 || cp == 0xFF0C || cp == 0x060C;
        in_word = word;
        if (!word &&
            (cp == '"' || cp == ')' || cp == ']' || cp == 0x201D || cp == 0x2019 || cp == 0xBB))
            ended = b->sentence;
        b->sentence = ended || cp == ':';
    }
    b->ends += ended;
    b->words += wide / 2; /* two letters make a word where no spaces do */
    b->furniture = cues_furniture(block_text(p, b));
}

static uint8_t tag_of_block(const struct page *p, uint32_t node)
{
    /* A paragraph inside a list item or a cell is its text: the tag that names the role wins. */
    for (int up = 0; up < 3 && node != NO_NODE; up++, node = p->node[node].parent) {
        uint8_t tag = p->node[node].tag;
        if (tag != GUMBO_TAG_DIV && tag != GUMBO_TAG_P && tag != GUMBO_TAG_UNKNOWN &&
            tag != GUMBO_TAG_SECTION)
            return tag;
        if (tag == GUMBO_TAG_P && up == 0) {
            uint32_t parent = p->node[node].parent;
            uint8_t around = parent == NO_NODE ? GUMBO_TAG_DIV : p->node[parent].tag;
            bool role = around == GUMBO_TAG_LI || around == GUMBO_TAG_TD ||
                        around == GUMBO_TAG_DD || around == GUMBO_TAG_BLOCKQUOTE ||
                        around == GUMBO_TAG_FIGCAPTION || around == GUMBO_TAG_TH;
            return role ? around : GUMBO_TAG_P;
        }
    }
    return GUMBO_TAG_DIV;
}

static void start_block(struct walk *w)
{
    w->block = (struct block){.start = w->page->text_len};
    w->space = w->gap = false;
}

static void end_block(struct walk *w)
{
    struct page *p = w->page;
    struct block *b = &w->block;
    while (p->text_len > b->start &&
           (p->text[p->text_len - 1] == ' ' || p->text[p->text_len - 1] == '\n' ||
            p->text[p->text_len - 1] == '\t'))
        p->text_len--;
    b->len = p->text_len - b->start;
    if (b->len > 0) {
        b->node = w->owner;
        if (w->pre)
            b->flags |= BLOCK_PRE;
        b->tag = tag_of_block(p, w->owner);
        if (b->tag >= GUMBO_TAG_H1 && b->tag <= GUMBO_TAG_H6)
            b->level = (uint8_t)(b->tag - GUMBO_TAG_H1 + 1);
        for (uint32_t i = w->frame_count; i-- > 0 && w->frame[i].index != w->owner;)
            b->inner_cues |= p->node[w->frame[i].index].cues;
        measure_block(p, b);
        assert(p->block_count < w->blocks_max);
        p->block[p->block_count++] = *b;
        p->text[p->text_len++] = '\n';
    }
    start_block(w);
}

/* ---- elements ---- */
static const char *attribute(const GumboElement *e, const char *name)
{
    for (unsigned i = 0; i < e->attributes.length; i++) {
        const GumboAttribute *a = e->attributes.data[i];
        if (strcmp(a->name, name) == 0)
            return a->value;
    }
    return NULL;
}

static void fill_node(struct walk *w, const GumboNode *from, uint32_t index, uint32_t parent)
{
    const GumboElement *e = &from->v.element;
    struct node *n = &w->page->node[index];
    const struct node *up = parent == NO_NODE ? NULL : &w->page->node[parent];
    *n = (struct node){
        .parent = parent, .tag = (uint8_t)e->tag, .depth = (uint16_t)(up ? up->depth + 1 : 0)};
    n->hidden = up && up->hidden;
    n->signature = (uint32_t)e->tag;
    n->cues = cues_of_tag(e->tag);
    for (unsigned i = 0; i < e->attributes.length; i++) {
        const GumboAttribute *a = e->attributes.data[i];
        struct str value = str_of(a->value);
        if (strcmp(a->name, "hidden") == 0)
            n->hidden = true;
        else if (strcmp(a->name, "href") != 0)
            n->cues |= cues_of(value);
        if (strcmp(a->name, "class") == 0)
            n->signature = (uint32_t)hash_str(value, e->tag);
    }
    for (int c = 0; c < CUE_COUNT; c++) {
        uint8_t above = up ? up->near[c] : NEAR_NONE;
        n->near[c] = n->cues >> c & 1 ? 0 : above < NEAR_NONE ? (uint8_t)(above + 1) : NEAR_NONE;
    }
}

static enum display display_of(const GumboElement *e)
{
    return e->tag_namespace == GUMBO_NAMESPACE_SVG ? DISPLAY_NONE : (enum display)displays[e->tag];
}

static void open_element(struct walk *w, const GumboNode *from)
{
    const GumboElement *e = &from->v.element;
    enum display display = display_of(e);
    if (display == DISPLAY_NONE && e->tag == GUMBO_TAG_TITLE && w->page->title.len == 0 &&
        e->children.length > 0) {
        const GumboNode *text = e->children.data[0];
        if (is_text(text))
            w->page->title = str_of(text->v.text.text);
    }
    if (display == DISPLAY_NONE || w->frame_count == FRAMES_MAX) {
        w->space = true;
        return;
    }
    if (display == DISPLAY_BREAK) {
        put_newline(w);
        return;
    }
    if (display == DISPLAY_RULE) {
        end_block(w);
        return;
    }
    if (display >= DISPLAY_BLOCK)
        end_block(w);
    uint32_t index = w->page->node_count++,
             parent = w->frame_count ? w->frame[w->frame_count - 1].index : NO_NODE;
    fill_node(w, from, index, parent);
    struct node *n = &w->page->node[index];
    n->inline_ = display < DISPLAY_BLOCK;
    struct frame frame = {.node = from, .index = index};
    const char *href = e->tag == GUMBO_TAG_A ? attribute(e, "href") : NULL;
    frame.link = href != NULL;
    frame.place = href && *href == '#';
    frame.hidden = n->hidden;
    w->link_depth += frame.link;
    w->block.links += frame.link;
    w->place_depth += frame.place;
    w->hidden_depth += frame.hidden;
    w->pre += display == DISPLAY_PRE;
    if (display >= DISPLAY_BLOCK) {
        w->owner = index;
        w->block.links = w->link_depth > 0; /* a link around blocks is one in each of them */
    } else if ((display == DISPLAY_SPACED || w->gap) && !w->pre) {
        w->space = true; /* </span><span>, </a><a>: style sheets show them apart */
    }
    w->frame[w->frame_count++] = frame;
}

static void close_element(struct walk *w)
{
    struct frame *top = &w->frame[--w->frame_count];
    enum display display = display_of(&top->node->v.element);
    struct node *n = &w->page->node[top->index];
    if (display >= DISPLAY_BLOCK) {
        end_block(w);
        w->owner = n->parent;
        while (w->owner != NO_NODE && w->page->node[w->owner].inline_)
            w->owner = w->page->node[w->owner].parent;
    } else {
        w->block.inner_cues |= n->cues;
        w->space |= display == DISPLAY_SPACED && !w->pre;
        w->gap = true;
    }
    n->end = w->page->node_count;
    w->link_depth -= top->link;
    w->place_depth -= top->place;
    w->hidden_depth -= top->hidden;
    w->pre -= display == DISPLAY_PRE;
    if (display >= DISPLAY_BLOCK)
        w->block.links = w->link_depth > 0;
}

static void walk_tree(struct walk *w, const GumboNode *root)
{
    open_element(w, root);
    while (w->frame_count > 0) {
        struct frame *top = &w->frame[w->frame_count - 1];
        const GumboVector *children = &top->node->v.element.children;
        if (top->next >= children->length) {
            close_element(w);
            continue;
        }
        const GumboNode *child = children->data[top->next++];
        if (is_text(child)) {
            /* text right behind </span> joins it: only an element after an element is set apart */
            w->gap = false;
            put_text(w, child->v.text.text);
        } else if (child->type == GUMBO_NODE_ELEMENT) {
            open_element(w, child);
        }
    }
}

/* ---- sums and counts over what was read ---- */
static void sum_subtrees(struct page *p)
{
    uint32_t heading = UINT32_MAX;
    for (uint32_t i = 0; i < p->block_count; i++) {
        struct block *b = &p->block[i];
        b->heading = heading;
        b->before = (uint32_t)p->chars;
        heading = b->level ? i : heading;
        struct node *n = &p->node[b->node];
        n->chars += b->chars;
        n->link_chars += b->link_chars;
        n->links += b->links;
        n->words += b->words;
        n->ends += b->ends;
        n->blocks++;
        n->long_chars += b->chars >= LONG_CHARS ? b->chars : 0;
        p->chars += b->chars;
        p->link_chars += b->link_chars;
    }
    for (uint32_t i = p->node_count; i-- > 1;) {
        const struct node *n = &p->node[i];
        struct node *up = &p->node[n->parent];
        up->chars += n->chars;
        up->link_chars += n->link_chars;
        up->links += n->links;
        up->words += n->words;
        up->ends += n->ends;
        up->blocks += n->blocks;
        up->long_chars += n->long_chars;
    }
}

struct counter { uint64_t key; uint32_t count; };

static struct counter *slot_for(struct counter *slots, uint64_t mask, uint64_t key)
{
    uint64_t at = hash_mix(key) & mask;
    key |= 1; /* 0 marks an empty slot */
    while (slots[at].key && slots[at].key != key)
        at = (at + 1) & mask;
    slots[at].key = key;
    return &slots[at];
}

/* Counts equal siblings and equal texts. */
static bool count_equals(struct arena *a, struct page *p)
{
    uint64_t size = 16, most = p->node_count > p->block_count ? p->node_count : p->block_count;
    while (size < most * 2)
        size *= 2;
    size_t mark = arena_mark(a);
    struct counter *slots = arena_array_zero(a, struct counter, size);
    if (!slots)
        return false;
    for (int pass = 0; pass < 2; pass++)
        for (uint32_t i = 1; i < p->node_count; i++) {
            struct node *n = &p->node[i];
            struct counter *s = slot_for(slots, size - 1,
                                      hash_mix((uint64_t)n->parent << 32 | n->signature));
            if (pass == 0)
                n->rank = s->count++;
            else
                n->twins = s->count - 1;
        }
    memset(slots, 0, size * sizeof *slots);
    for (int pass = 0; pass < 2; pass++)
        for (uint32_t i = 0; i < p->block_count; i++) {
            struct counter *s = slot_for(slots, size - 1, hash_str(block_text(p, &p->block[i]), 0));
            s->count += pass == 0;
            p->block[i].copies = s->count;
        }
    arena_reset(a, mark);
    return true;
}

enum extract_verdict page_read(struct arena *a, const GumboOutput *html, struct page *out)
{
    struct frame *frame = arena_array(a, struct frame, FRAMES_MAX);
    if (!frame)
        return EXTRACT_MEMORY;
    struct census census = {0};
    take_census(frame, html->root, &census);
    *out = (struct page){0};
    struct walk w = {.arena = a, .page = out, .frame = frame, .owner = NO_NODE};
    w.blocks_max = census.nodes * 2 + 2;
    if (census.text + census.nodes * 2 + 64 > UINT32_MAX / 3)
        return EXTRACT_MEMORY;
    w.text_max = (uint32_t)(census.text * 3 + census.nodes * 4 + 64); /* a bad byte becomes three */
    out->node = arena_array(a, struct node, census.nodes);
    out->block = arena_array(a, struct block, w.blocks_max);
    out->text = arena_array(a, char, w.text_max);
    if (!out->node || !out->block || !out->text)
        return EXTRACT_MEMORY;
    start_block(&w);
    walk_tree(&w, html->root);
    sum_subtrees(out);
    return count_equals(a, out) ? EXTRACT_OK : EXTRACT_MEMORY;
}

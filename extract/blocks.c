/* blocks - one walk over the tree that leaves flat arrays: elements, and blocks of text. */
/* A block is the text between two block-level tags, white space folded as a browser would show it.
 * Elements and blocks are arrays in document order; a subtree is a range of them, so sums over
 * subtrees are one backward loop. */
#include "core/hash.h"
#include "extract/maths.h"
#include "extract/parts.h"

#include <assert.h>

enum {
    FRAMES_MAX = 8192,
    LONG_CHARS = 80,
    INNER_MAX = 64,   /* as deep as the skeleton nests them in a segment */
    FORMATS_MAX = 32, /* open formatting elements remembered in a block */
    MATHS_SPARE = 8,  /* bytes a formula may grow by */
};

/* How an element stands in the text. SPACED: inline, but its text does not join its neighbour's. */
enum display {
    DISPLAY_INLINE,
    DISPLAY_SPACED,
    DISPLAY_BLOCK,
    DISPLAY_PRE,
    DISPLAY_BREAK,
    DISPLAY_RULE,
    DISPLAY_NONE,
};
static const uint8_t displays[GUMBO_TAG_LAST] = {
    [GUMBO_TAG_HTML] = DISPLAY_BLOCK,     [GUMBO_TAG_BODY] = DISPLAY_BLOCK,
    [GUMBO_TAG_ARTICLE] = DISPLAY_BLOCK,  [GUMBO_TAG_SECTION] = DISPLAY_BLOCK,
    [GUMBO_TAG_NAV] = DISPLAY_BLOCK,      [GUMBO_TAG_ASIDE] = DISPLAY_BLOCK,
    [GUMBO_TAG_H1] = DISPLAY_BLOCK,       [GUMBO_TAG_H2] = DISPLAY_BLOCK,
    [GUMBO_TAG_H3] = DISPLAY_BLOCK,       [GUMBO_TAG_H4] = DISPLAY_BLOCK,
    [GUMBO_TAG_H5] = DISPLAY_BLOCK,       [GUMBO_TAG_H6] = DISPLAY_BLOCK,
    [GUMBO_TAG_HGROUP] = DISPLAY_BLOCK,   [GUMBO_TAG_HEADER] = DISPLAY_BLOCK,
    [GUMBO_TAG_FOOTER] = DISPLAY_BLOCK,   [GUMBO_TAG_ADDRESS] = DISPLAY_BLOCK,
    [GUMBO_TAG_P] = DISPLAY_BLOCK,        [GUMBO_TAG_HR] = DISPLAY_RULE,
    [GUMBO_TAG_BR] = DISPLAY_BREAK,       [GUMBO_TAG_PRE] = DISPLAY_PRE,
    [GUMBO_TAG_LISTING] = DISPLAY_PRE,    [GUMBO_TAG_XMP] = DISPLAY_PRE,
    [GUMBO_TAG_PLAINTEXT] = DISPLAY_PRE,  [GUMBO_TAG_BLOCKQUOTE] = DISPLAY_BLOCK,
    [GUMBO_TAG_OL] = DISPLAY_BLOCK,       [GUMBO_TAG_UL] = DISPLAY_BLOCK,
    [GUMBO_TAG_LI] = DISPLAY_BLOCK,       [GUMBO_TAG_DL] = DISPLAY_BLOCK,
    [GUMBO_TAG_DT] = DISPLAY_BLOCK,       [GUMBO_TAG_DD] = DISPLAY_BLOCK,
    [GUMBO_TAG_FIGURE] = DISPLAY_BLOCK,   [GUMBO_TAG_FIGCAPTION] = DISPLAY_BLOCK,
    [GUMBO_TAG_MAIN] = DISPLAY_BLOCK,     [GUMBO_TAG_DIV] = DISPLAY_BLOCK,
    [GUMBO_TAG_TABLE] = DISPLAY_BLOCK,    [GUMBO_TAG_CAPTION] = DISPLAY_BLOCK,
    [GUMBO_TAG_TBODY] = DISPLAY_BLOCK,    [GUMBO_TAG_THEAD] = DISPLAY_BLOCK,
    [GUMBO_TAG_TFOOT] = DISPLAY_BLOCK,    [GUMBO_TAG_TR] = DISPLAY_BLOCK,
    [GUMBO_TAG_TD] = DISPLAY_BLOCK,       [GUMBO_TAG_TH] = DISPLAY_BLOCK,
    [GUMBO_TAG_FORM] = DISPLAY_BLOCK,     [GUMBO_TAG_FIELDSET] = DISPLAY_BLOCK,
    [GUMBO_TAG_LEGEND] = DISPLAY_BLOCK,   [GUMBO_TAG_BUTTON] = DISPLAY_BLOCK,
    [GUMBO_TAG_DETAILS] = DISPLAY_BLOCK,  [GUMBO_TAG_SUMMARY] = DISPLAY_BLOCK,
    [GUMBO_TAG_MENU] = DISPLAY_BLOCK,     [GUMBO_TAG_DIR] = DISPLAY_BLOCK,
    [GUMBO_TAG_CENTER] = DISPLAY_BLOCK,   [GUMBO_TAG_LABEL] = DISPLAY_SPACED,
    [GUMBO_TAG_OPTION] = DISPLAY_NONE,    [GUMBO_TAG_OPTGROUP] = DISPLAY_NONE,
    [GUMBO_TAG_DATALIST] = DISPLAY_NONE,  [GUMBO_TAG_SELECT] = DISPLAY_NONE,
    [GUMBO_TAG_VIDEO] = DISPLAY_NONE,     [GUMBO_TAG_AUDIO] = DISPLAY_NONE,
    [GUMBO_TAG_CANVAS] = DISPLAY_NONE,    [GUMBO_TAG_OBJECT] = DISPLAY_NONE,
    [GUMBO_TAG_APPLET] = DISPLAY_NONE,    [GUMBO_TAG_PROGRESS] = DISPLAY_NONE,
    [GUMBO_TAG_METER] = DISPLAY_NONE,     [GUMBO_TAG_MAP] = DISPLAY_NONE,
    [GUMBO_TAG_RP] = DISPLAY_NONE,        [GUMBO_TAG_RT] = DISPLAY_NONE,
    [GUMBO_TAG_TITLE] = DISPLAY_NONE,     [GUMBO_TAG_SCRIPT] = DISPLAY_NONE,
    [GUMBO_TAG_STYLE] = DISPLAY_NONE,     [GUMBO_TAG_TEMPLATE] = DISPLAY_NONE,
    [GUMBO_TAG_SVG] = DISPLAY_NONE,       [GUMBO_TAG_IFRAME] = DISPLAY_NONE,
    [GUMBO_TAG_NOSCRIPT] = DISPLAY_NONE,  [GUMBO_TAG_TEXTAREA] = DISPLAY_NONE,
    [GUMBO_TAG_NOEMBED] = DISPLAY_NONE,   [GUMBO_TAG_NOFRAMES] = DISPLAY_NONE,
    [GUMBO_TAG_UNKNOWN] = DISPLAY_SPACED,
};

struct frame {
    const GumboNode *node;
    uint32_t next, index;
    bool link, place, hidden, skip, pre;
};
struct open_format {
    uint32_t at, start;
    uint8_t tag;
};
struct walk {
    const struct skeleton *from;
    struct page *page;
    uint32_t handed; /* of from->handed: where the next element's tag should be found */
    uint32_t inner[INNER_MAX];
    uint32_t inner_count; /* marks of inline elements in a segment */
    struct open_format format[FORMATS_MAX];
    uint32_t format_count, formats_max;
    struct frame *frame;
    uint32_t frame_count;
    uint32_t owner; /* the block element that text now belongs to */
    uint32_t pre;   /* open pre elements */
    uint32_t blocks_max, text_max;
    struct block block; /* being filled */
    uint32_t link_depth, place_depth, hidden_depth, skip_depth;
    bool space, gap; /* since the last character: white space, an inline element's end */
    bool line;       /* right behind <pre>: a line end there is none */
    bool shown;      /* some of the block is not hidden */
};

/* ---- counting first, so that arrays are asked for once ---- */
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

static uint32_t count_elements(struct frame *frame, const GumboNode *root)
{
    uint32_t depth = 1, count = 1;
    frame[0] = (struct frame){.node = root};
    while (depth > 0) {
        struct frame *top = &frame[depth - 1];
        const GumboVector *children = children_of(top->node);
        if (top->next >= children->length) {
            depth--;
            continue;
        }
        const GumboNode *child = children->data[top->next++];
        if (!children_of(child))
            continue;
        count++;
        if (depth < FRAMES_MAX)
            frame[depth++] = (struct frame){.node = child};
    }
    return count;
}

/* At most as many bytes as the pieces can become. */
static uint64_t count_text(const struct skeleton *from)
{
    uint64_t bytes = from->html.len;
    for (uint32_t i = 0; i < from->piece_count; i++) {
        uint64_t len = piece_len(from->piece[i]);
        enum piece_kind kind = piece_kind(from->piece[i]);
        bool formula = kind == PIECE_MATH || kind == PIECE_SCRIPT || kind == PIECE_PICTURE;
        bytes += len + len / 5 + (formula ? MATHS_SPARE + 2 : 2); /* &nGt; makes 6 bytes of 5 */
    }
    return bytes;
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

enum { INK, BLANK, CONTROL, REFERENCE, HIGH }; /* what a byte of text is */
static const uint8_t byte_kinds[256] = {
    [0 ... 8] = CONTROL, ['\t' ... '\r'] = BLANK, [14 ... 31] = CONTROL, [' '] = BLANK,
    ['&'] = REFERENCE,   [127] = CONTROL,         [128 ... 255] = HIGH,
};

/* Puts bytes that are `chars` visible characters, and the blank due before them. */
static void put_ink(struct walk *w, const char *bytes, size_t len, uint32_t chars)
{
    struct page *p = w->page;
    struct block *b = &w->block;
    assert(p->text_len + len + 1 <= w->text_max);
    if (w->space && p->text_len > b->start && p->text[p->text_len - 1] != '\n') {
        p->text[p->text_len++] = ' ';
        chars++;
    }
    w->space = w->gap = w->line = false;
    w->shown |= w->hidden_depth == 0;
    memcpy(p->text + p->text_len, bytes, len);
    p->text_len += (uint32_t)len;
    b->chars += chars;
    if (w->link_depth)
        b->link_chars += chars;
    if (w->place_depth)
        b->place_chars += chars;
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
    w->space = w->gap = w->line = false;
}

/* In pre, blanks and line ends count. */
static void put_pre_blank(struct walk *w, uint32_t cp)
{
    struct page *p = w->page;
    if (cp != '\n') {
        p->text[p->text_len++] = cp == '\t' ? '\t' : ' ';
    } else if (!w->line) {
        p->text[p->text_len++] = '\n';
        w->block.flags |= BLOCK_BREAKS;
    }
    w->line = w->space = false;
}

static void put_blank(struct walk *w, uint32_t cp)
{
    if (w->pre)
        put_pre_blank(w, cp);
    else
        w->space = true;
}

static void put_cp(struct walk *w, uint32_t cp)
{
    char bytes[4];
    if (is_blank(cp))
        put_blank(w, cp);
    else if (!is_dropped(cp))
        put_ink(w, bytes, (size_t)utf8_encode(cp, bytes), 1);
}

static size_t put_high(struct walk *w, const char *at, const char *end)
{
    uint32_t cp;
    size_t len = (size_t)utf8_decode(at, end, &cp);
    if (is_blank(cp))
        put_blank(w, ' ');
    else if (!is_dropped(cp))
        put_ink(w, at, len, 1);
    return len;
}

/* Text as it stands in the page. */
static void put_text(struct walk *w, const char *at, const char *end, bool references)
{
    if (w->skip_depth)
        return;
    while (at < end) {
        const char *start = at;
        uint32_t cp[2];
        size_t len;
        while (at < end && byte_kinds[(unsigned char)*at] == INK)
            at++;
        if (at > start)
            put_ink(w, start, (size_t)(at - start), (uint32_t)(at - start));
        if (at == end)
            break;
        switch (byte_kinds[(unsigned char)*at]) {
        case HIGH: at += put_high(w, at, end); break;
        case REFERENCE:
            len = references ? entity_read(at, end, false, cp) : 0;
            if (len == 0) {
                put_ink(w, at++, 1, 1);
                break;
            }
            put_cp(w, cp[0]);
            if (cp[1])
                put_cp(w, cp[1]);
            at += len;
            break;
        case BLANK:
            if (*at == '\r' && at + 1 < end && at[1] == '\n')
                at++;
            put_blank(w, *at == '\r' ? '\n' : (unsigned char)*at);
            at++;
            break;
        default: at++; break; /* a control character shows as nothing */
        }
    }
}

/* ---- formatting, only where it is asked for ---- */
static void format_start(struct walk *w, uint8_t tag, uint32_t at)
{
    if (w->formats_max && w->format_count < FORMATS_MAX)
        w->format[w->format_count++] = (struct open_format){at, w->page->text_len, tag};
}

static void format_put(struct walk *w, struct open_format f)
{
    struct page *p = w->page;
    if (p->format_count < w->formats_max && (p->text_len > f.start || f.tag == GUMBO_TAG_IMG))
        p->format[p->format_count++] = (struct format){f.start, p->text_len, f.at, f.tag};
}

/* Ends the innermost one of this name, and those inside it. */
static void format_end(struct walk *w, uint8_t tag)
{
    uint32_t at = w->format_count;
    while (at > 0 && w->format[at - 1].tag != tag)
        at--;
    if (at == 0)
        return;
    while (w->format_count >= at)
        format_put(w, w->format[--w->format_count]);
}

static void format_tag(struct walk *w, uint32_t at)
{
    struct str page = w->from->page;
    struct tag t;
    if (!w->formats_max || !tag_read(page.ptr + at, page.ptr + page.len, &t))
        return;
    if (t.element.tag == GUMBO_TAG_IMG)
        format_put(w, (struct open_format){at, w->page->text_len, GUMBO_TAG_IMG});
    else if (t.closing)
        format_end(w, (uint8_t)t.element.tag);
    else
        format_start(w, (uint8_t)t.element.tag, at);
}

/* Behind the text is room for the longest formula. */
static void put_formula(struct walk *w, struct str at, enum piece_kind kind)
{
    char *room = w->page->text + w->text_max;
    size_t len, most = at.len + MATHS_SPARE;
    struct tag t;
    if (kind == PIECE_MATH) {
        len = maths_text(at, room, most);
    } else {
        bool read = tag_read(at.ptr, at.ptr + at.len, &t);
        assert(read);
        UNUSED(read);
        if (kind == PIECE_PICTURE)
            len = maths_picture(t.alt, room, most);
        else
            len = maths_script(t.type, str_slice(at, (size_t)(t.end - at.ptr), at.len), room, most);
    }
    w->gap = false;
    struct open_format whole = {(uint32_t)(at.ptr - w->from->page.ptr), w->page->text_len,
                                GUMBO_TAG_MATH};
    put_text(w, room, room + len, false);
    format_put(w, whole);
}

/* ---- what stands between two tags ---- */
static enum display display_of(GumboTag tag) { return (enum display)displays[tag]; }

static void inner_open(struct walk *w, uint32_t mark)
{
    const struct mark *m = &w->from->mark[mark];
    assert(w->inner_count < INNER_MAX);
    w->inner[w->inner_count++] = mark;
    w->link_depth += (m->flags & MARK_LINK) != 0;
    w->block.links += (m->flags & MARK_LINK) != 0;
    w->place_depth += (m->flags & MARK_PLACE) != 0;
    w->hidden_depth += (m->flags & MARK_HIDDEN) != 0;
    w->skip_depth += (m->flags & MARK_SKIP) != 0;
    if ((display_of(m->tag) == DISPLAY_SPACED || w->gap) && !w->pre && !w->skip_depth)
        w->space = true; /* </span><span>, </a><a>: style sheets show them apart */
    if (m->tag == GUMBO_TAG_A)
        format_start(w, m->tag, m->at);
}

static void inner_close(struct walk *w)
{
    assert(w->inner_count > 0);
    const struct mark *m = &w->from->mark[w->inner[--w->inner_count]];
    if (m->tag == GUMBO_TAG_A)
        format_end(w, m->tag);
    w->block.inner_cues |= m->cues | cues_of_tag(m->tag);
    w->space |= display_of(m->tag) == DISPLAY_SPACED && !w->pre && !w->skip_depth;
    w->gap = true;
    w->link_depth -= (m->flags & MARK_LINK) != 0;
    w->place_depth -= (m->flags & MARK_PLACE) != 0;
    w->hidden_depth -= (m->flags & MARK_HIDDEN) != 0;
    w->skip_depth -= (m->flags & MARK_SKIP) != 0;
}

/* Whether the text ends in an amount: $2,898 */
static bool ends_in_price(const struct page *p, uint32_t from)
{
    uint32_t at = p->text_len;
    while (at > from &&
           ((p->text[at - 1] >= '0' && p->text[at - 1] <= '9') || p->text[at - 1] == ','))
        at--;
    struct str before = {p->text + from, at - from};
    return at < p->text_len &&
           (str_ends(before, "$") || str_ends(before, "€") || str_ends(before, "£"));
}

/* 10<sup>6</sup> is not 106, and $549<sup>00</sup> not 54900. */
static void put_caret(struct walk *w, bool two_digits)
{
    struct page *p = w->page;
    char last = p->text_len > w->block.start && !w->space ? p->text[p->text_len - 1] : ' ';
    bool letter = (last | 0x20) >= 'a' && (last | 0x20) <= 'z';
    bool price = two_digits && !w->space && ends_in_price(p, w->block.start);
    if (letter || (last >= '0' && last <= '9') || last == ')' || (last & 0x80))
        put_ink(w, price ? "." : "^", 1, 1);
}

static void put_segment(struct walk *w, struct segment segment)
{
    for (uint32_t i = segment.from; i < segment.to; i++) {
        struct piece piece = w->from->piece[i];
        struct str at = {w->from->page.ptr + piece.at, piece_len(piece)};
        bool element = piece_kind(piece) == PIECE_OPEN || piece_kind(piece) == PIECE_CLOSE;
        if (w->skip_depth && !element)
            continue;
        switch (piece_kind(piece)) {
        case PIECE_SPACED:
        case PIECE_BROKEN:
        case PIECE_TEXT:
            if (piece_kind(piece) == PIECE_SPACED)
                put_blank(w, ' ');
            else if (piece_kind(piece) == PIECE_BROKEN)
                put_newline(w);
            w->gap = false; /* text right behind </span> joins it: only elements are set apart */
            put_text(w, at.ptr, at.ptr + at.len, true);
            break;
        case PIECE_RAW: put_text(w, at.ptr, at.ptr + at.len, false); break;
        case PIECE_SCRIPT:
        case PIECE_PICTURE:
        case PIECE_MATH: put_formula(w, at, piece_kind(piece)); break;
        case PIECE_OPEN: inner_open(w, piece.at); break;
        case PIECE_CLOSE: inner_close(w); break;
        case PIECE_BREAK: put_newline(w); break;
        case PIECE_SPACE: put_blank(w, ' '); break;
        case PIECE_NOTHING: break;
        case PIECE_CARET: put_caret(w, piece_len(piece) == 2); break;
        case PIECE_FORMAT: format_tag(w, piece.at); break;
        }
    }
    assert(w->inner_count == 0);
}

/* What Gumbo holds as text: white space and the characters that stand for segments. */
static void put_placeholders(struct walk *w, const char *at)
{
    for (const char *end = at + strlen(at); at < end;) {
        uint32_t cp;
        at += utf8_decode(at, end, &cp);
        if (cp >= 0xE000 && segment_index(cp) < w->from->segment_count)
            put_segment(w, w->from->segment[segment_index(cp)]);
        else
            put_blank(w, cp);
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

/* What an ASCII character is to the counts of a block. */
enum { IN_WORD = 1, IN_NUMBER = 2, IN_UPPER = 4, IN_END = 8, IN_COMMA = 16, IN_CLOSING = 32 };
static const uint8_t signs[128] = {
    ['0' ... '9'] = IN_WORD | IN_NUMBER,
    ['A' ... 'Z'] = IN_WORD | IN_UPPER,
    ['a' ... 'z'] = IN_WORD,
    ['.'] = IN_END,
    ['!'] = IN_END,
    ['?'] = IN_END,
    [','] = IN_COMMA,
    ['"'] = IN_CLOSING,
    [')'] = IN_CLOSING,
    [']'] = IN_CLOSING,
};

/* The full stops of Urdu and Hindi and the comma of Arabic are in words to is_word_char. */
static uint8_t sign_of(uint32_t cp)
{
    if (cp < 0x80)
        return signs[cp];
    bool upper = (cp >= 0xC0 && cp <= 0xDE) || (cp >= 0x410 && cp <= 0x42F);
    uint8_t sign = !is_word_char(cp) ? 0 : upper ? IN_WORD | IN_UPPER : IN_WORD;
    if (is_sentence_end(cp))
        return sign | IN_END;
    if (cp == 0x3001 || cp == 0xFF0C || cp == 0x060C)
        return sign | IN_COMMA;
    return cp == 0x201D || cp == 0x2019 || cp == 0xBB ? IN_CLOSING : sign;
}

static void measure_block(const struct page *p, struct block *b)
{
    const char *at = p->text + b->start, *end = at + b->len;
    bool in_word = false, ended = false;
    uint32_t wide = 0;
    while (at < end) {
        uint32_t cp = (unsigned char)*at;
        at += cp < 0x80 ? 1 : utf8_decode(at, end, &cp);
        uint8_t sign = sign_of(cp);
        bool word = sign & IN_WORD;
        if (word) {
            b->letters++;
            b->digits += (sign & IN_NUMBER) != 0;
            b->upper += (sign & IN_UPPER) != 0;
            b->words += !in_word;
            wide += is_wide_letter(cp);
        }
        /* a stop inside a number or a name ends nothing: only one before a blank, a quote or the
         * end does */
        b->ends += ended && !word;
        ended = (sign & IN_END) != 0;
        b->ends += ended && cp > 0x2E80;
        b->commas += (sign & IN_COMMA) != 0;
        in_word = word;
        if (sign & IN_CLOSING)
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
    w->shown = false;
    w->space = w->gap = w->line = false;
}

static void end_block(struct walk *w)
{
    struct page *p = w->page;
    struct block *b = &w->block;
    while (w->format_count > 0) /* no formatting reaches over the end of a block */
        format_put(w, w->format[--w->format_count]);
    while (p->text_len > b->start &&
           (p->text[p->text_len - 1] == ' ' || p->text[p->text_len - 1] == '\n' ||
            p->text[p->text_len - 1] == '\t'))
        p->text_len--;
    b->len = p->text_len - b->start;
    if (b->len > 0) {
        b->node = w->owner;
        if (!w->shown)
            b->flags |= BLOCK_HIDDEN;
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
/* The mark of the tag an element came from; NULL when no tag made it. Elements come in the order of
 * their tags unless Gumbo moved them. */
static const struct mark *mark_of(struct walk *w, const GumboElement *e)
{
    const struct skeleton *from = w->from;
    if (!e->original_tag.data)
        return e->tag == GUMBO_TAG_BODY && from->body != NO_NODE ? &from->mark[from->body] : NULL;
    uint32_t out = (uint32_t)(e->original_tag.data - from->html.ptr);
    uint32_t low = 0, high = from->handed_count, at = w->handed;
    while (low < high) {
        if (at >= high)
            at = low + (high - low) / 2;
        uint32_t found = from->mark[from->handed[at]].out;
        if (found == out) {
            w->handed = at + 1;
            return &from->mark[from->handed[at]];
        }
        if (found < out)
            low = at + 1;
        else
            high = at;
        at = low + (high - low) / 2;
    }
    return NULL;
}

static void fill_node(struct walk *w, const struct mark *m, GumboTag tag, uint32_t parent)
{
    struct node *n = &w->page->node[w->page->node_count++];
    const struct node *up = parent == NO_NODE ? NULL : &w->page->node[parent];
    *n = (struct node){.parent = parent, .tag = (uint8_t)tag, .at = m ? m->at : NO_NODE};
    n->depth = (uint16_t)(up ? up->depth + 1 : 0);
    n->hidden = (up && up->hidden) || (m && (m->flags & MARK_HIDDEN));
    n->signature = m ? m->signature : (uint32_t)tag;
    n->cues = cues_of_tag(tag) | (m ? m->cues : 0);
    n->inline_ = display_of(tag) < DISPLAY_BLOCK;
    n->pre = display_of(tag) == DISPLAY_PRE || (m && (m->flags & MARK_PRE) && !n->inline_);
    if (!up)
        memset(n->near, NEAR_NONE, sizeof n->near);
    for (int c = 0; up && c < CUE_COUNT; c++)
        n->near[c] = (uint8_t)(up->near[c] + (up->near[c] < NEAR_NONE));
    for (uint32_t left = n->cues; left; left &= left - 1)
        n->near[__builtin_ctz(left)] = 0;
}

static void open_element(struct walk *w, const GumboNode *from)
{
    const GumboElement *e = &from->v.element;
    enum display display = display_of(e->tag);
    if (display == DISPLAY_NONE || w->frame_count == FRAMES_MAX) {
        w->space |= e->tag != GUMBO_TAG_RT && e->tag != GUMBO_TAG_RP; /* inside words of Japanese */
        return;
    }
    if (display >= DISPLAY_BLOCK || display == DISPLAY_RULE)
        end_block(w);
    if (display == DISPLAY_RULE)
        return;
    const struct mark *m = mark_of(w, e);
    uint32_t index = w->page->node_count,
             parent = w->frame_count ? w->frame[w->frame_count - 1].index : NO_NODE;
    fill_node(w, m, e->tag, parent);
    struct frame frame = {.node = from, .index = index, .hidden = w->page->node[index].hidden};
    frame.link = m && (m->flags & MARK_LINK);
    frame.place = m && (m->flags & MARK_PLACE);
    w->link_depth += frame.link;
    w->block.links += frame.link;
    w->place_depth += frame.place;
    w->hidden_depth += frame.hidden;
    frame.skip = m && (m->flags & MARK_SKIP);
    w->skip_depth += frame.skip;
    frame.pre = w->page->node[index].pre;
    w->pre += frame.pre;
    w->line = display == DISPLAY_PRE;
    if (display >= DISPLAY_BLOCK) {
        w->owner = index;
        w->block.links = w->link_depth > 0; /* a link around blocks is one in each of them */
    } else if ((display == DISPLAY_SPACED || w->gap) && !w->pre && !w->skip_depth) {
        w->space = true;
    }
    if (frame.link)
        format_start(w, (uint8_t)e->tag, m->at);
    w->frame[w->frame_count++] = frame;
}

static void close_element(struct walk *w)
{
    struct frame *top = &w->frame[--w->frame_count];
    enum display display = display_of(top->node->v.element.tag);
    struct node *n = &w->page->node[top->index];
    if (top->link)
        format_end(w, GUMBO_TAG_A);
    if (display >= DISPLAY_BLOCK) {
        end_block(w);
        w->owner = n->parent;
        while (w->owner != NO_NODE && w->page->node[w->owner].inline_)
            w->owner = w->page->node[w->owner].parent;
    } else {
        w->block.inner_cues |= n->cues;
        w->space |= display == DISPLAY_SPACED && !w->pre && !w->skip_depth;
        w->gap = true;
    }
    n->end = w->page->node_count;
    w->link_depth -= top->link;
    w->place_depth -= top->place;
    w->skip_depth -= top->skip;
    w->hidden_depth -= top->hidden;
    w->pre -= top->pre;
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
        if (is_text(child))
            put_placeholders(w, child->v.text.text);
        else if (child->type == GUMBO_NODE_ELEMENT)
            open_element(w, child);
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

struct counter {
    uint64_t key;
    uint32_t count;
};

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
            struct counter *s =
                slot_for(slots, size - 1, hash_mix((uint64_t)n->parent << 32 | n->signature));
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

static bool make_room(struct walk *w, struct arena *a, uint32_t nodes)
{
    struct page *out = w->page;
    const struct skeleton *from = w->from;
    uint64_t text = count_text(from) + (uint64_t)nodes * 2 + 64;
    if (text > UINT32_MAX / 2)
        return false;
    w->blocks_max = nodes * 2 + 2;
    w->text_max = (uint32_t)text;
    w->formats_max = from->formats;
    out->node = arena_array(a, struct node, nodes);
    out->block = arena_array(a, struct block, w->blocks_max);
    out->format = arena_array(a, struct format, w->formats_max);
    out->text = arena_array(a, char, text + from->maths_max + MATHS_SPARE);
    return out->node && out->block && out->format && out->text;
}

enum extract_verdict page_read(struct arena *a, const GumboOutput *html,
                               const struct skeleton *from, struct page *out)
{
    const struct aside *title = asides_find(&from->facts.asides, ASIDE_TITLE, NULL);
    struct frame *frame = arena_array(a, struct frame, FRAMES_MAX);
    struct walk *w = arena_array_zero(a, struct walk, 1);
    if (!frame || !w)
        return EXTRACT_MEMORY;
    *out = (struct page){.html = from->page};
    w->from = from;
    w->page = out;
    w->frame = frame;
    w->owner = NO_NODE;
    if (!make_room(w, a, count_elements(frame, html->root)))
        return EXTRACT_MEMORY;
    start_block(w);
    walk_tree(w, html->root);
    arena_reset(a, (size_t)((unsigned char *)out->text + out->text_len - a->base));
    if (title)
        out->title = aside_text(a, title);
    sum_subtrees(out);
    return count_equals(a, out) ? EXTRACT_OK : EXTRACT_MEMORY;
}

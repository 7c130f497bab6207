/* skeleton - one linear pass that leaves the tree builder little but the block tags of a page. */
/* Gumbo parses about 30 MB/s and spends it on bytes: text, attributes, scripts. So it gets none of
 * them. The pass follows the tokenizer's states over the page and writes for Gumbo only the names
 * of tags and, for all that stands between two of them, one private-use character that names a
 * segment:
 *
 *   <div class=x>Hello <a href=/y>you</a></div>   ->   <div>\uE000</div>
 *        mark 0   segment 0: TEXT OPEN(mark 1) TEXT CLOSE
 *
 * What Gumbo does with text (moving it out of tables, giving it to paragraphs) it does with the
 * character, and blocks.c reads the segment where the character ended up. Attributes are looked at
 * once, here, and what they say is in the mark of their element, which is found again by the place
 * of the tag in what Gumbo got. Its cost is per block tag, not per byte. What happens to markup:
 *
 *   left out with its content   comment, script, style, svg, template, iframe, textarea, select,
 *                               short noscript; some of it is kept aside (asides.c)
 *   tags left out, text kept    formatting (b, em, font ...), img and other voids, span without
 *                               class or id; a formula is a piece of its own
 *   in the segment              br; a, span, label, time and unknown tags that are closed before
 *                               any other tag comes: no rule of the tree builder touches them
 *   handed on                   everything else, without attributes
 *   flattened                   tags beyond the limits on depth and number: a space stands for them
 *
 * It differs from browsers on purpose where an element's end never comes: textarea, title, iframe
 * and the like lose their tag only, not the rest of the page. A short noscript goes as in a browser
 * with scripts, a long one is the page. Script and style without end do swallow the rest. */
#include "core/err.h"
#include "core/hash.h"
#include "extract/maths.h"
#include "extract/scan.h"

#include <assert.h>

enum {
    SPANS_MAX = 1024,     /* nested spans whose start tags are remembered */
    INNER_MAX = 64,       /* nested inline elements that may stay in a segment */
    INNER_MARKS = 100000, /* of them on a page; further ones lose their tags */
    NOSCRIPT_MIN = 1024,  /* bytes; a longer noscript holds content, a shorter one a notice */
    KNOWN = 512,          /* attribute values whose cues are remembered */
    TAG_BYTES = 24,       /* at most written for a tag and the segment before it */
};

const uint8_t tag_acts[GUMBO_TAG_LAST] = {
    [GUMBO_TAG_HTML] = ACT_VOID,
    [GUMBO_TAG_HEAD] = ACT_VOID,
    [GUMBO_TAG_BODY] = ACT_BODY,
    [GUMBO_TAG_EM] = ACT_FORMAT,
    [GUMBO_TAG_STRONG] = ACT_FORMAT,
    [GUMBO_TAG_SMALL] = ACT_FORMAT,
    [GUMBO_TAG_S] = ACT_FORMAT,
    [GUMBO_TAG_CITE] = ACT_FORMAT,
    [GUMBO_TAG_Q] = ACT_FORMAT,
    [GUMBO_TAG_DFN] = ACT_FORMAT,
    [GUMBO_TAG_ABBR] = ACT_FORMAT,
    [GUMBO_TAG_ACRONYM] = ACT_FORMAT,
    [GUMBO_TAG_DATA] = ACT_FORMAT,
    [GUMBO_TAG_CODE] = ACT_FORMAT,
    [GUMBO_TAG_VAR] = ACT_FORMAT,
    [GUMBO_TAG_SAMP] = ACT_FORMAT,
    [GUMBO_TAG_KBD] = ACT_FORMAT,
    [GUMBO_TAG_SUB] = ACT_FORMAT,
    [GUMBO_TAG_SUP] = ACT_FORMAT,
    [GUMBO_TAG_I] = ACT_FORMAT,
    [GUMBO_TAG_B] = ACT_FORMAT,
    [GUMBO_TAG_U] = ACT_FORMAT,
    [GUMBO_TAG_MARK] = ACT_FORMAT,
    [GUMBO_TAG_BDI] = ACT_FORMAT,
    [GUMBO_TAG_BDO] = ACT_FORMAT,
    [GUMBO_TAG_INS] = ACT_FORMAT,
    [GUMBO_TAG_DEL] = ACT_FORMAT,
    [GUMBO_TAG_STRIKE] = ACT_FORMAT,
    [GUMBO_TAG_BIG] = ACT_FORMAT,
    [GUMBO_TAG_FONT] = ACT_FORMAT,
    [GUMBO_TAG_TT] = ACT_FORMAT,
    [GUMBO_TAG_NOBR] = ACT_FORMAT,
    [GUMBO_TAG_BLINK] = ACT_FORMAT,
    [GUMBO_TAG_RB] = ACT_FORMAT,
    [GUMBO_TAG_RTC] = ACT_FORMAT,
    [GUMBO_TAG_MENUITEM] = ACT_VOID,
    [GUMBO_TAG_FRAMESET] = ACT_VOID,
    [GUMBO_TAG_COLGROUP] = ACT_VOID,
    [GUMBO_TAG_SPAN] = ACT_SPAN,
    [GUMBO_TAG_BR] = ACT_BREAK,
    [GUMBO_TAG_HR] = ACT_RULE,
    [GUMBO_TAG_LINK] = ACT_VOID,
    [GUMBO_TAG_META] = ACT_VOID,
    [GUMBO_TAG_BASE] = ACT_VOID,
    [GUMBO_TAG_BASEFONT] = ACT_VOID,
    [GUMBO_TAG_BGSOUND] = ACT_VOID,
    [GUMBO_TAG_IMG] = ACT_VOID,
    [GUMBO_TAG_IMAGE] = ACT_VOID,
    [GUMBO_TAG_INPUT] = ACT_VOID,
    [GUMBO_TAG_SOURCE] = ACT_VOID,
    [GUMBO_TAG_TRACK] = ACT_VOID,
    [GUMBO_TAG_EMBED] = ACT_VOID,
    [GUMBO_TAG_PARAM] = ACT_VOID,
    [GUMBO_TAG_AREA] = ACT_VOID,
    [GUMBO_TAG_WBR] = ACT_VOID,
    [GUMBO_TAG_COL] = ACT_VOID,
    [GUMBO_TAG_FRAME] = ACT_VOID,
    [GUMBO_TAG_KEYGEN] = ACT_VOID,
    [GUMBO_TAG_ISINDEX] = ACT_VOID,
    [GUMBO_TAG_SPACER] = ACT_VOID,
    [GUMBO_TAG_NEXTID] = ACT_VOID,
    [GUMBO_TAG_STYLE] = ACT_RAW,
    [GUMBO_TAG_IFRAME] = ACT_RAW,
    [GUMBO_TAG_NOEMBED] = ACT_RAW,
    [GUMBO_TAG_NOFRAMES] = ACT_RAW,
    [GUMBO_TAG_NOSCRIPT] = ACT_RAW,
    [GUMBO_TAG_TEXTAREA] = ACT_RAW,
    [GUMBO_TAG_SCRIPT] = ACT_SCRIPT,
    [GUMBO_TAG_TITLE] = ACT_TITLE,
    [GUMBO_TAG_XMP] = ACT_XMP,
    [GUMBO_TAG_PLAINTEXT] = ACT_PLAINTEXT,
    [GUMBO_TAG_SELECT] = ACT_SELECT,
    [GUMBO_TAG_SVG] = ACT_SVG,
    [GUMBO_TAG_MATH] = ACT_MATH,
    [GUMBO_TAG_TEMPLATE] = ACT_TEMPLATE,
    [GUMBO_TAG_A] = ACT_INNER,
    [GUMBO_TAG_LABEL] = ACT_INNER,
    [GUMBO_TAG_TIME] = ACT_INNER,
    [GUMBO_TAG_UNKNOWN] = ACT_INNER,
};

/* An inline element that is open in the segment: its OPEN piece. */
struct pending {
    struct element element;
    uint32_t piece;
};
struct known {
    uint64_t hash;
    uint32_t cues;
    uint8_t flags; /* enum class_flag */
};

/* A formatting element that is hidden: open, and how many of its name have opened inside it. */
struct veil {
    bool open;
    uint32_t inside;
};

struct pass {
    struct scan scan;
    const char *begin;
    char *out, *out_end;
    struct skeleton *to;
    struct skeleton_limits limits;
    struct nesting nesting;
    uint32_t first; /* piece that the open segment begins with */
    struct pending inner[INNER_MAX];
    uint32_t inner_count;
    uint32_t inner_marks, pieces_max, link_ends;
    uint32_t links_live;  /* links handed on that Gumbo may still reopen */
    uint32_t link_scopes; /* scopes that were open when the last one was handed on */
    bool after_inline;    /* the last tag handed on was an inline element's */
    bool full;            /* out of room for pieces */
    bool seen_title;
    bool span_kept[SPANS_MAX]; /* of scan.spans */
    struct known known[KNOWN];
    struct veil veil[GUMBO_TAG_LAST];
};

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\f' || c == '\r';
}

/* ---- pieces ---- */
static uint32_t place(const struct pass *s, const char *at) { return (uint32_t)(at - s->begin); }

static void put_piece(struct pass *s, enum piece_kind kind, uint32_t at, size_t len)
{
    struct skeleton *to = s->to;
    if (to->piece_count == s->pieces_max)
        s->full = true;
    else
        to->piece[to->piece_count++] = (struct piece){at, (uint32_t)(len << 4) | kind};
}

/* Of the open segment; PIECE_TEXT when it has none. */
static enum piece_kind last_kind(const struct pass *s)
{
    const struct skeleton *to = s->to;
    return to->piece_count > s->first ? piece_kind(to->piece[to->piece_count - 1]) : PIECE_TEXT;
}

static void put_text(struct pass *s, const char *from, const char *to)
{
    if (from == to)
        return;
    enum piece_kind last = last_kind(s), kind = PIECE_TEXT;
    if (last == PIECE_SPACE || last == PIECE_BREAK) { /* one for both: pages may have millions */
        kind = last == PIECE_SPACE ? PIECE_SPACED : PIECE_BROKEN;
        s->to->piece_count--;
    }
    put_piece(s, kind, place(s, from), (size_t)(to - from));
}

/* Something is left out in whose place a browser shows something. */
static void put_space(struct pass *s)
{
    if (last_kind(s) != PIECE_SPACE)
        put_piece(s, PIECE_SPACE, 0, 0);
}

/* A tag is left out at which Gumbo would reopen a link. */
static void put_nothing(struct pass *s)
{
    if (s->links_live)
        put_piece(s, PIECE_NOTHING, 0, 0);
}

static void put_format(struct pass *s, const struct tag *t)
{
    if (s->limits.formats) {
        put_piece(s, PIECE_FORMAT, place(s, t->name) - 1 - t->closing, 0);
        s->to->formats++;
    }
}

/* ---- marks: what the attributes of an element say ---- */
static const struct known *known_of(struct pass *s, struct str value, bool class, uint64_t hash)
{
    struct known *k = &s->known[hash % KNOWN];
    if (k->hash != hash)
        *k = (struct known){hash, cues_of(value), class ? class_flags(value) : 0};
    return k;
}

static bool in_pre(const struct pass *s)
{
    return nesting_has(&s->nesting, GUMBO_TAG_PRE) || nesting_has(&s->nesting, GUMBO_TAG_LISTING);
}

/* What a class changes about an element's being shown. */
static void mark_class(const struct pass *s, struct mark *m, const struct tag *t, uint8_t flags)
{
    bool container = str_eq_nocase((struct str){t->name, t->name_len}, STR("mjx-container"));
    if ((flags & CLASS_RENDERED && !container) || (flags & CLASS_GUTTER && in_pre(s)))
        m->flags |= MARK_SKIP;
    if (flags & CLASS_LINES)
        m->flags |= MARK_PRE;
    if (flags & CLASS_SHOWN)
        m->flags &= (uint8_t)~MARK_HIDDEN;
}

/* The label of a link, a button or a picture says what it does, not what stands around it. */
static bool names_part(const struct tag *t)
{
    GumboTag tag = t->element.tag;
    return tag != GUMBO_TAG_A && tag != GUMBO_TAG_BUTTON && tag != GUMBO_TAG_SPAN &&
           tag != GUMBO_TAG_IMG && tag != GUMBO_TAG_INPUT && tag != GUMBO_TAG_UNKNOWN;
}

static uint32_t mark_new(struct pass *s, const struct tag *t)
{
    struct skeleton *to = s->to;
    struct mark *m = &to->mark[to->mark_count];
    *m = (struct mark){.at = place(s, t->name) - 1, .out = NO_NODE, .tag = (uint8_t)t->element.tag};
    m->flags = t->hidden ? MARK_HIDDEN : 0;
    m->signature = t->element.tag;
    if (t->element.tag == GUMBO_TAG_UNKNOWN &&
        str_starts((struct str){t->name, t->name_len}, "mjx-"))
        m->tag = GUMBO_TAG_SPAN; /* MathJax 3: inside the line */
    for (int i = 0; i < SLOT_CUES; i++) {
        if (!t->slot[i].ptr || (i == SLOT_LABEL && !names_part(t)))
            continue;
        uint64_t hash = hash_str(t->slot[i], i == SLOT_CLASS) | 1; /* classes apart from others */
        const struct known *known = known_of(s, t->slot[i], i == SLOT_CLASS, hash);
        m->cues |= known->cues;
        if (i != SLOT_CLASS)
            continue;
        m->signature = (uint32_t)hash_mix(hash + t->element.tag);
        if (known->flags)
            mark_class(s, m, t, known->flags);
    }
    if (t->element.tag == GUMBO_TAG_A && t->rel.len) /* prev, next, author, tag, sponsored ... */
        m->cues |= known_of(s, str_slice(t->rel, 0, ATTRIBUTE_MAX), false,
                            hash_str(str_slice(t->rel, 0, ATTRIBUTE_MAX), 0) | 1)
                       ->cues;
    if (t->element.tag == GUMBO_TAG_A && t->href.ptr)
        m->flags |= t->href.len && *t->href.ptr == '#' ? MARK_LINK | MARK_PLACE : MARK_LINK;
    to->formats += s->limits.formats && t->element.tag == GUMBO_TAG_A;
    return to->mark_count++;
}

/* ---- what Gumbo sees ---- */
enum content { CONTENT_SPACES, CONTENT_BLANKS, CONTENT_INK }; /* SPACES: no text at all */

static enum content content_of(const struct pass *s, uint32_t from, uint32_t to)
{
    enum content found = CONTENT_SPACES;
    for (uint32_t i = from; i < to; i++) {
        struct piece p = s->to->piece[i];
        if (piece_kind(p) == PIECE_SPACE)
            continue;
        if (piece_kind(p) != PIECE_TEXT && piece_kind(p) != PIECE_SPACED)
            return CONTENT_INK;
        const char *at = s->begin + p.at, *end = at + piece_len(p);
        while (at < end && is_space(*at))
            at++;
        if (at < end)
            return CONTENT_INK;
        found = CONTENT_BLANKS;
    }
    return found;
}

/* Writes the character for some pieces. White space between two block tags means nothing, unless it
 * makes Gumbo reopen a link. raw: blanks count. */
static void write_segment(struct pass *s, uint32_t from, uint32_t end, bool block, bool raw)
{
    struct skeleton *to = s->to;
    if (from == end)
        return;
    enum content content = raw || in_pre(s) ? CONTENT_INK : content_of(s, from, end);
    if (content != CONTENT_INK) {
        if (s->links_live ? content == CONTENT_BLANKS : s->after_inline || !block)
            *s->out++ = ' ';
        if (end == to->piece_count)
            to->piece_count = from;
        return;
    }
    assert(to->segment_count < SEGMENTS_MAX);
    s->out += utf8_encode(segment_char(to->segment_count), s->out);
    to->segment[to->segment_count++] = (struct segment){from, end};
}

static void end_segment(struct pass *s, bool block)
{
    write_segment(s, s->first, s->to->piece_count, block, false);
    s->first = s->to->piece_count;
}

static void write_tag(struct pass *s, struct element e, bool closing)
{
    assert(s->out_end - s->out >= TAG_BYTES);
    *s->out++ = '<';
    if (closing)
        *s->out++ = '/';
    if (e.tag == GUMBO_TAG_UNKNOWN) { /* a short name for a name of any length */
        static const char digits[] = "0123456789abcdef";
        *s->out++ = 'x';
        *s->out++ = '-';
        for (int shift = 28; shift >= 0; shift -= 4)
            *s->out++ = digits[e.hash >> shift & 15];
    } else {
        const char *name = gumbo_normalized_tagname(e.tag);
        size_t len = strlen(name);
        memcpy(s->out, name, len);
        s->out += len;
    }
    *s->out++ = '>';
    s->after_inline = tag_acts[e.tag] == ACT_INNER || tag_acts[e.tag] == ACT_SPAN;
}

static void write_start(struct pass *s, struct element e, uint32_t mark)
{
    s->to->mark[mark].out = (uint32_t)(s->out - s->to->html.ptr);
    s->to->handed[s->to->handed_count++] = mark;
    s->to->facts.tags++;
    write_tag(s, e, false);
}

/* The rules of nesting decide what becomes of a start tag. */
static enum nesting_verdict enter(struct pass *s, struct element e)
{
    struct skeleton_facts *facts = &s->to->facts;
    bool full = facts->tags >= s->limits.tags_max;
    enum nesting_verdict verdict = nesting_start(&s->nesting, e, full);
    uint32_t depth = nesting_depth(&s->nesting);
    if (!full && depth > facts->depth)
        facts->depth = depth;
    facts->flattened += verdict == NESTING_FLATTEN;
    return verdict;
}

/* ---- links that Gumbo may reopen ---- */
static uint32_t scopes(const struct nesting *n)
{
    return n->named[GUMBO_TAG_TD] + n->named[GUMBO_TAG_TH] + n->named[GUMBO_TAG_CAPTION] +
           n->named[GUMBO_TAG_OBJECT] + n->named[GUMBO_TAG_MARQUEE] + n->named[GUMBO_TAG_APPLET] +
           n->named[GUMBO_TAG_BUTTON];
}

static void link_opened(struct pass *s)
{
    s->links_live++;
    s->link_scopes = scopes(&s->nesting);
}

/* True when Gumbo has to see the end tag. */
static bool link_closed(struct pass *s)
{
    if (s->links_live == 0 || s->link_ends == s->limits.tags_max)
        return false;
    s->link_ends++;
    if (s->links_live == 1 && s->link_scopes == scopes(&s->nesting))
        s->links_live = 0;
    return true;
}

/* ---- inline elements ---- */
/* A tag comes that is none of a segment's: the inline elements that are open around it become tags
 * of the skeleton. */
static void hand_on_inner(struct pass *s)
{
    struct skeleton *to = s->to;
    for (uint32_t i = 0; i < s->inner_count; i++) {
        struct pending *p = &s->inner[i];
        struct piece *open = &to->piece[p->piece];
        uint32_t mark = open->at;
        bool link = p->element.tag == GUMBO_TAG_A;
        s->scan.inner[p->element.tag]--;
        if (enter(s, p->element) == NESTING_KEEP) {
            write_segment(s, s->first, p->piece, false, false);
            write_start(s, p->element, mark);
            s->first = p->piece + 1;
            if (link)
                link_opened(s);
        } else {
            *open = (struct piece){0, PIECE_SPACE};
        }
    }
    s->inner_count = 0;
}

static void element_start(struct pass *s, const struct tag *t)
{
    hand_on_inner(s);
    s->scan.at = t->end;
    enum nesting_verdict verdict = enter(s, t->element);
    if (verdict == NESTING_KEEP) {
        end_segment(s, tag_acts[t->element.tag] == ACT_ELEMENT);
        write_start(s, t->element, mark_new(s, t));
        if (t->element.tag == GUMBO_TAG_A)
            link_opened(s);
    } else if (verdict == NESTING_FLATTEN) {
        put_space(s);
    }
}

static void element_end(struct pass *s, const struct tag *t)
{
    hand_on_inner(s);
    s->scan.at = t->end;
    if (t->element.tag == GUMBO_TAG_A && s->links_live == 0)
        return;
    uint32_t unknown = s->nesting.named[GUMBO_TAG_UNKNOWN];
    enum nesting_verdict verdict = nesting_end(&s->nesting, t->element);
    if (verdict == NESTING_FLATTEN) {
        put_space(s);
        return;
    }
    bool bare_p = verdict == NESTING_IGNORE && t->element.tag == GUMBO_TAG_P &&
                  s->to->facts.tags < s->limits.tags_max; /* makes an empty paragraph */
    if ((verdict != NESTING_KEEP && !bare_p) || (t->element.tag == GUMBO_TAG_A && !link_closed(s)))
        return;
    s->to->facts.tags += bare_p;
    end_segment(s, tag_acts[t->element.tag] == ACT_ELEMENT);
    if (t->element.tag == GUMBO_TAG_FORM && s->out[-1] != '>') {
        memcpy(s->out, "<!>", 3); /* Gumbo 0.10 puts text right before </form> behind it */
        s->out += 3;
    }
    write_tag(s, t->element, true);
    if (t->element.tag == GUMBO_TAG_UNKNOWN) /* Gumbo closes one of any unknown name */
        for (unknown -= s->nesting.named[GUMBO_TAG_UNKNOWN]; unknown > 1; unknown--)
            write_tag(s, t->element, true);
}

static void inner_start(struct pass *s, const struct tag *t)
{
    GumboTag tag = t->element.tag;
    bool ends_link = tag == GUMBO_TAG_A && (s->links_live || s->scan.inner[tag]);
    if (ends_link || s->inner_count == INNER_MAX) {
        element_start(s, t);
        return;
    }
    s->scan.at = t->end;
    if (s->inner_marks == INNER_MARKS) {
        put_space(s);
        return;
    }
    s->inner_marks++;
    s->scan.inner[tag]++;
    s->inner[s->inner_count++] = (struct pending){t->element, s->to->piece_count};
    put_piece(s, PIECE_OPEN, mark_new(s, t), 0);
    uint32_t depth = nesting_depth(&s->nesting) + s->inner_count;
    if (depth > s->to->facts.depth)
        s->to->facts.depth = depth;
}

static void inner_end(struct pass *s, const struct tag *t)
{
    if (s->inner_count > 0) {
        struct element top = s->inner[s->inner_count - 1].element;
        if (top.tag == t->element.tag && top.hash == t->element.hash) {
            s->inner_count--;
            s->scan.inner[top.tag]--;
            s->scan.at = t->end;
            put_piece(s, PIECE_CLOSE, 0, 0);
            return;
        }
    }
    element_end(s, t);
}

static void span_tag(struct pass *s, const struct tag *t)
{
    s->scan.at = t->end;
    if (!t->closing) {
        bool kept = (t->slots > 0 || t->hidden) && s->scan.spans < SPANS_MAX;
        if (s->scan.spans < SPANS_MAX)
            s->span_kept[s->scan.spans] = kept;
        s->scan.spans++;
        if (kept)
            inner_start(s, t);
        else
            put_nothing(s);
    } else if (s->scan.spans > 0 && --s->scan.spans < SPANS_MAX && s->span_kept[s->scan.spans]) {
        inner_end(s, t);
    }
}

/* ---- formatting tags: nothing, unless they hide what is in them ---- */
static struct tag veiled(const struct tag *t)
{
    struct tag other = *t; /* no name that the tree builder knows: it does not reopen this one */
    other.element = (struct element){GUMBO_TAG_UNKNOWN, 0x80000000u | t->element.tag};
    return other;
}

/* Bytes of a number, with its sign, when that is all that stands from here to </sup>; else 0. */
static size_t exponent_len(const struct pass *s, const char *at)
{
    static const char *const signs[] = {"&minus;", "\xE2\x88\x92", "\xE2\x80\x93", "-", "+"};
    enum { DIGITS_MAX = 4 };
    struct str rest = {at, (size_t)(s->scan.end - at)};
    for (size_t i = 0; i < COUNT_OF(signs); i++)
        if (str_starts(rest, signs[i])) {
            rest = str_slice(rest, strlen(signs[i]), rest.len);
            break;
        }
    size_t digits = 0, sign = (size_t)(rest.ptr - at);
    while (digits < rest.len && rest.ptr[digits] >= '0' && rest.ptr[digits] <= '9')
        digits++;
    bool number = digits > 0 && digits <= DIGITS_MAX &&
                  str_starts_nocase(str_slice(rest, digits, rest.len), "</sup>");
    return number ? sign + digits : 0;
}

static void formatting_start(struct pass *s, const struct tag *t)
{
    struct veil *veil = &s->veil[t->element.tag];
    veil->inside += veil->open;
    if (t->hidden && !veil->open) {
        struct tag other = veiled(t);
        *veil = (struct veil){true, 0};
        inner_start(s, &other);
        return;
    }
    put_nothing(s);
    put_format(s, t);
    size_t exponent =
        t->element.tag == GUMBO_TAG_SUP && !s->limits.formats ? exponent_len(s, t->end) : 0;
    if (exponent)
        put_piece(s, PIECE_CARET, 0, exponent);
}

static void formatting_end(struct pass *s, const struct tag *t)
{
    struct veil *veil = &s->veil[t->element.tag];
    if (veil->open && veil->inside == 0) {
        struct tag other = veiled(t);
        veil->open = false;
        inner_end(s, &other);
        return;
    }
    veil->inside -= veil->open;
    put_format(s, t);
}

/* ---- the rest ---- */
static void rule(struct pass *s, const struct tag *t)
{
    hand_on_inner(s);
    s->scan.at = t->end;
    if (s->to->facts.tags >= s->limits.tags_max || t->closing) {
        put_space(s);
        return;
    }
    end_segment(s, true);
    nesting_void(&s->nesting, t->element);
    write_start(s, t->element, mark_new(s, t));
}

static struct str raw_content(const struct pass *s, const struct tag *t)
{
    return (struct str){t->end, (size_t)(s->scan.raw_close - t->end)};
}

static void title(struct pass *s, const struct tag *t)
{
    if (!scan_raw(&s->scan, t)) {
        put_space(s);
        return;
    }
    if (!s->seen_title)
        asides_add(&s->to->facts.asides, ASIDE_TITLE, (struct str){0}, raw_content(s, t));
    s->seen_title = true;
}

/* Text without markup, and an element around it that only Gumbo knows of. */
static void raw_element(struct pass *s, const struct tag *t, struct str content)
{
    hand_on_inner(s);
    bool full = s->to->facts.tags >= s->limits.tags_max;
    if (!full) {
        end_segment(s, true);
        nesting_void(&s->nesting, t->element);
        write_start(s, t->element, mark_new(s, t));
    }
    if (content.len)
        put_piece(s, PIECE_RAW, place(s, content.ptr), content.len);
    if (full)
        return;
    write_segment(s, s->first, s->to->piece_count, true, true);
    s->first = s->to->piece_count;
    if (t->element.tag == GUMBO_TAG_XMP)
        write_tag(s, t->element, true);
}

static void xmp(struct pass *s, const struct tag *t)
{
    if (scan_raw(&s->scan, t))
        raw_element(s, t, raw_content(s, t));
    else
        put_space(s);
}

static void put_formula(struct pass *s, enum piece_kind kind, const struct tag *t,
                        struct str content)
{
    const char *start = t->name - 1;
    size_t len = (size_t)(content.ptr + content.len - start);
    if (content.len == 0)
        return;
    put_piece(s, kind, place(s, start), len);
    s->to->formats += s->limits.formats;
    if (len > s->to->maths_max)
        s->to->maths_max = (uint32_t)len;
}

/* As WordPress, MediaWiki before MathML and LaTeX2HTML leave formulas. */
static bool is_formula_picture(const struct tag *t)
{
    struct str alt = str_trim(t->alt);
    return alt.len > 0 &&
           ((t->slot[SLOT_CLASS].len && class_flags(t->slot[SLOT_CLASS]) & CLASS_TEX) ||
            maths_is_tex(alt));
}

static void picture(struct pass *s, const struct tag *t)
{
    const char *start = t->name - 1;
    if (is_formula_picture(t)) {
        size_t len = (size_t)(t->end - start);
        put_piece(s, PIECE_PICTURE, place(s, start), len);
        s->to->formats += s->limits.formats;
        if (len > s->to->maths_max)
            s->to->maths_max = (uint32_t)len;
    } else {
        put_format(s, t);
    }
    put_nothing(s);
}

static bool has_part(struct str value, const char *part)
{
    return value.len && str_find(value, str_of(part)) != SIZE_MAX;
}

static void script(struct pass *s, const struct tag *t)
{
    struct skeleton_facts *facts = &s->to->facts;
    if (!scan_raw(&s->scan, t)) {
        s->scan.at = s->scan.end;
        return;
    }
    struct str text = raw_content(s, t);
    if (has_part(t->type, "ld+json")) {
        asides_add(&facts->asides, ASIDE_JSON, t->type, text);
        if (facts->json_count < SKELETON_JSON_MAX)
            facts->json[facts->json_count++] = text;
    } else if (has_part(t->type, "math/") && text.len) {
        asides_add(&facts->asides, ASIDE_MATH, t->type, text);
        put_formula(s, PIECE_SCRIPT, t, text);
    }
}

static void raw(struct pass *s, const struct tag *t)
{
    bool done = scan_raw(&s->scan, t);
    if (!done && t->element.tag == GUMBO_TAG_STYLE)
        s->scan.at = s->scan.end;
    if (done && t->element.tag == GUMBO_TAG_NOSCRIPT) {
        if (s->scan.at - t->end > NOSCRIPT_MIN)
            s->scan.at = t->end; /* the whole page for readers without scripts: only the tag goes */
        else
            asides_add(&s->to->facts.asides, ASIDE_NOSCRIPT, (struct str){0}, raw_content(s, t));
    }
    put_space(s);
}

static void formula(struct pass *s, const struct tag *t)
{
    put_formula(s, PIECE_MATH, t, scan_math(&s->scan, t));
}

static void body(struct pass *s, const struct tag *t)
{
    hand_on_inner(s);
    if (s->to->body != NO_NODE || s->to->facts.tags >= s->limits.tags_max)
        return;
    end_segment(s, true);
    s->to->body = mark_new(s, t);
    write_start(s, t->element, s->to->body);
}

static void void_tag(struct pass *s, const struct tag *t)
{
    switch ((GumboTag)t->element.tag) {
    case GUMBO_TAG_IMG:
    case GUMBO_TAG_IMAGE: picture(s, t); break;
    case GUMBO_TAG_AREA:
    case GUMBO_TAG_EMBED:
    case GUMBO_TAG_INPUT:
    case GUMBO_TAG_KEYGEN:
    case GUMBO_TAG_WBR: put_nothing(s); break;
    default: break;
    }
}

static void start_tag(struct pass *s, const struct tag *t)
{
    s->scan.at = t->end;
    asides_tag(&s->to->facts.asides, t);
    switch ((enum act)tag_acts[t->element.tag]) {
    case ACT_ELEMENT: element_start(s, t); break;
    case ACT_INNER: inner_start(s, t); break;
    case ACT_FORMAT: formatting_start(s, t); break;
    case ACT_VOID: void_tag(s, t); break;
    case ACT_SPAN: span_tag(s, t); break;
    case ACT_BREAK: put_piece(s, PIECE_BREAK, 0, 0); break;
    case ACT_RULE: rule(s, t); break;
    case ACT_SCRIPT: script(s, t); break;
    case ACT_PLAINTEXT:
        s->scan.at = s->scan.end;
        raw_element(s, t, (struct str){t->end, (size_t)(s->scan.end - t->end)});
        break;
    case ACT_MATH: formula(s, t); break;
    case ACT_XMP: xmp(s, t); break;
    case ACT_TITLE: title(s, t); break;
    case ACT_BODY: body(s, t); break;
    case ACT_RAW: raw(s, t); break;
    case ACT_SELECT:
        scan_select(&s->scan, t);
        put_space(s);
        put_nothing(s);
        break;
    case ACT_SVG:
        scan_svg(&s->scan, t);
        put_space(s);
        put_nothing(s);
        break;
    case ACT_TEMPLATE:
        if (!t->shadow) /* a declarative shadow root is shown */
            scan_template(&s->scan, t);
        put_space(s);
        break;
    }
}

static void end_tag(struct pass *s, const struct tag *t)
{
    s->scan.at = t->end;
    switch ((enum act)tag_acts[t->element.tag]) {
    case ACT_ELEMENT: element_end(s, t); break;
    case ACT_INNER: inner_end(s, t); break;
    case ACT_SPAN: span_tag(s, t); break;
    case ACT_FORMAT: formatting_end(s, t); break;
    case ACT_BREAK: put_piece(s, PIECE_BREAK, 0, 0); break; /* </br> is <br> to the standard */
    case ACT_RULE: put_space(s); break;
    default: break;
    }
}

static void run(struct pass *s)
{
    struct tag t;
    while (s->scan.at < s->scan.end && !s->full) {
        const char *at = s->scan.at, *end = s->scan.end;
        const char *open = memchr(at, '<', (size_t)(end - at));
        while (open && markup_at(open, end) == MARKUP_TEXT)
            open = memchr(open + 1, '<', (size_t)(end - open - 1));
        put_text(s, at, open ? open : end);
        if (!open)
            break;
        if (markup_at(open, end) == MARKUP_DECLARATION) {
            s->scan.at = declaration_end(open, end, false);
            continue;
        }
        if (!tag_read(open, end, &t))
            break; /* the page was cut inside a tag */
        if (t.closing)
            end_tag(s, &t);
        else
            start_tag(s, &t);
    }
    hand_on_inner(s);
    end_segment(s, true);
}

/* Room for the arrays: pieces at most one for two bytes of the page, the rest by the limits. */
static int make_room(struct pass *s, struct arena *a, size_t page)
{
    struct skeleton *to = s->to;
    uint64_t tags =
        (uint64_t)s->limits.tags_max * 4 + 16; /* starts, their ends, ends of links, p */
    uint64_t out = page * 8 + 64 < tags * TAG_BYTES ? page * 8 + 64 : tags * TAG_BYTES;
    uint64_t marks =
        page / 3 < s->limits.tags_max + INNER_MARKS ? page / 3 : s->limits.tags_max + INNER_MARKS;
    uint64_t segments = page + 1 < SEGMENTS_MAX ? page + 1 : SEGMENTS_MAX;
    s->pieces_max = (uint32_t)(page / 2 + 8);
    char *html = arena_push(a, out, 1);
    to->mark = arena_array(a, struct mark, marks + 2);
    to->handed = arena_array(a, uint32_t, marks + 2);
    to->segment = arena_array(a, struct segment, segments);
    if (!html || !to->mark || !to->handed || !to->segment)
        return ERR_LIMIT;
    size_t left = (a->size_max - a->used) / sizeof(struct piece);
    if (s->pieces_max > left && left > 0)
        s->pieces_max = (uint32_t)left - 1;
    to->piece = arena_array(a, struct piece, s->pieces_max);
    to->html.ptr = s->out = html;
    s->out_end = html + out;
    return to->piece ? 0 : ERR_LIMIT;
}

int skeleton_make(struct arena *a, struct str page, const struct skeleton_limits *limits,
                  struct skeleton *out)
{
    static const char doctype[] = "<!doctype html>"; /* no quirks: a table ends its paragraph */
    assert(limits->tags_max <= SKELETON_TAGS_MAX);
    *out = (struct skeleton){.page = page, .body = NO_NODE};
    struct pass *s = arena_array_zero(a, struct pass, 1);
    if (!s || page.len > SKELETON_PAGE_MAX || asides_open(&out->facts.asides, a) < 0)
        return err_set(ERR_LIMIT, "skeleton: a page of %zu bytes", page.len);
    s->to = out;
    s->limits = *limits;
    if (make_room(s, a, page.len) < 0)
        return err_in(ERR_LIMIT, "skeleton: a page of %zu bytes", page.len);
    s->begin = s->scan.at = page.ptr;
    s->scan.end = page.ptr + page.len;
    s->scan.nesting = &s->nesting;
    nesting_init(&s->nesting, limits->depth_max);
    memcpy(s->out, doctype, sizeof doctype - 1);
    s->out += sizeof doctype - 1;
    run(s);
    if (s->full)
        return err_set(ERR_LIMIT, "skeleton: more than %u pieces in a page of %zu bytes",
                       s->pieces_max, page.len);
    out->html.len = (size_t)(s->out - out->html.ptr);
    arena_reset(a, (size_t)((unsigned char *)(out->piece + out->piece_count) - a->base));
    return 0;
}

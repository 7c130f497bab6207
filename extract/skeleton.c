/* skeleton - one linear pass over a page that leaves out what the tree builder need not see. */
/* Gumbo parses about 30 MB/s and half of a page is script, style, drawings, comments and attributes
 * nobody asks for; this pass runs at memory speed and takes them out, so that the page parses two
 * to three times faster. Four things can happen to markup:
 *
 *   left out with its content   comment, script, style, svg, template, iframe, textarea, select,
 *                               short noscript, annotation of a formula
 *   tags left out, text kept    formatting (b, em, font ...), img and other voids, span without
 *                               class or id, MathML (its text in linear form: x^2, a/b)
 *   kept                        everything else, with class, id, role, itemprop, itemtype, hidden
 *                               (also when a style says so), href (empty, or # inside the page):
 *                               each once and cut at ATTRIBUTE_MAX, so that neither number nor
 *                               length of attributes can cost anything
 *   flattened                   tags beyond the limits on depth and number: a space stands for them
 *
 * It differs from browsers on purpose where an element's end never comes: textarea, title, iframe
 * and the like lose their tag only, not the rest of the page. A short noscript goes as in a browser
 * with scripts, a long one is the page. Script and style without end do swallow the rest. */
#include "core/err.h"
#include "extract/nesting.h"
#include "extract/parts.h"

#include <assert.h>

enum {
    SPANS_MAX = 1024,     /* nested spans whose start tags are remembered */
    FOREIGN_MAX = 64,     /* nested svg islands, or MathML elements, that are followed exactly */
    NOSCRIPT_MIN = 1024,  /* bytes; a longer noscript holds content, a shorter one a notice */
    TAIL_MAX = 40,        /* bytes of text in which an entity may be unfinished */
};
enum act {
    ACT_ELEMENT, ACT_INLINE, ACT_SPAN, ACT_LINE, ACT_VOID, ACT_RAW, ACT_SCRIPT, ACT_TITLE, ACT_XMP,
    ACT_PLAINTEXT, ACT_SELECT, ACT_SVG, ACT_MATH, ACT_TEMPLATE, ACT_BODY,
};

static const uint8_t acts[GUMBO_TAG_LAST] = {
    [GUMBO_TAG_HTML] = ACT_INLINE, [GUMBO_TAG_HEAD] = ACT_INLINE, [GUMBO_TAG_BODY] = ACT_BODY,
    [GUMBO_TAG_EM] = ACT_INLINE, [GUMBO_TAG_STRONG] = ACT_INLINE, [GUMBO_TAG_SMALL] = ACT_INLINE,
    [GUMBO_TAG_S] = ACT_INLINE, [GUMBO_TAG_CITE] = ACT_INLINE, [GUMBO_TAG_Q] = ACT_INLINE,
    [GUMBO_TAG_DFN] = ACT_INLINE, [GUMBO_TAG_ABBR] = ACT_INLINE, [GUMBO_TAG_ACRONYM] = ACT_INLINE,
    [GUMBO_TAG_DATA] = ACT_INLINE, [GUMBO_TAG_CODE] = ACT_INLINE, [GUMBO_TAG_VAR] = ACT_INLINE,
    [GUMBO_TAG_SAMP] = ACT_INLINE, [GUMBO_TAG_KBD] = ACT_INLINE, [GUMBO_TAG_SUB] = ACT_INLINE,
    [GUMBO_TAG_SUP] = ACT_INLINE, [GUMBO_TAG_I] = ACT_INLINE, [GUMBO_TAG_B] = ACT_INLINE,
    [GUMBO_TAG_U] = ACT_INLINE, [GUMBO_TAG_MARK] = ACT_INLINE, [GUMBO_TAG_BDI] = ACT_INLINE,
    [GUMBO_TAG_BDO] = ACT_INLINE, [GUMBO_TAG_INS] = ACT_INLINE, [GUMBO_TAG_DEL] = ACT_INLINE,
    [GUMBO_TAG_STRIKE] = ACT_INLINE, [GUMBO_TAG_BIG] = ACT_INLINE, [GUMBO_TAG_FONT] = ACT_INLINE,
    [GUMBO_TAG_TT] = ACT_INLINE, [GUMBO_TAG_NOBR] = ACT_INLINE, [GUMBO_TAG_BLINK] = ACT_INLINE,
    [GUMBO_TAG_RB] = ACT_INLINE, [GUMBO_TAG_RTC] = ACT_INLINE,
    [GUMBO_TAG_MENUITEM] = ACT_INLINE, [GUMBO_TAG_FRAMESET] = ACT_INLINE,
    [GUMBO_TAG_COLGROUP] = ACT_INLINE, [GUMBO_TAG_SPAN] = ACT_SPAN, [GUMBO_TAG_BR] = ACT_LINE,
    [GUMBO_TAG_HR] = ACT_LINE, [GUMBO_TAG_LINK] = ACT_VOID, [GUMBO_TAG_META] = ACT_VOID,
    [GUMBO_TAG_BASE] = ACT_VOID, [GUMBO_TAG_BASEFONT] = ACT_VOID, [GUMBO_TAG_BGSOUND] = ACT_VOID,
    [GUMBO_TAG_IMG] = ACT_VOID, [GUMBO_TAG_IMAGE] = ACT_VOID, [GUMBO_TAG_INPUT] = ACT_VOID,
    [GUMBO_TAG_SOURCE] = ACT_VOID, [GUMBO_TAG_TRACK] = ACT_VOID, [GUMBO_TAG_EMBED] = ACT_VOID,
    [GUMBO_TAG_PARAM] = ACT_VOID, [GUMBO_TAG_AREA] = ACT_VOID, [GUMBO_TAG_WBR] = ACT_VOID,
    [GUMBO_TAG_COL] = ACT_VOID, [GUMBO_TAG_FRAME] = ACT_VOID, [GUMBO_TAG_KEYGEN] = ACT_VOID,
    [GUMBO_TAG_ISINDEX] = ACT_VOID, [GUMBO_TAG_SPACER] = ACT_VOID, [GUMBO_TAG_NEXTID] = ACT_VOID,
    [GUMBO_TAG_STYLE] = ACT_RAW, [GUMBO_TAG_IFRAME] = ACT_RAW, [GUMBO_TAG_NOEMBED] = ACT_RAW,
    [GUMBO_TAG_NOFRAMES] = ACT_RAW, [GUMBO_TAG_NOSCRIPT] = ACT_RAW, [GUMBO_TAG_TEXTAREA] = ACT_RAW,
    [GUMBO_TAG_SCRIPT] = ACT_SCRIPT, [GUMBO_TAG_TITLE] = ACT_TITLE, [GUMBO_TAG_XMP] = ACT_XMP,
    [GUMBO_TAG_PLAINTEXT] = ACT_PLAINTEXT, [GUMBO_TAG_SELECT] = ACT_SELECT,
    [GUMBO_TAG_SVG] = ACT_SVG, [GUMBO_TAG_MATH] = ACT_MATH, [GUMBO_TAG_TEMPLATE] = ACT_TEMPLATE,
};

struct skeleton {
    const char *begin, *at, *end, *tag_start;
    char *out, *out_start;
    char *text_start;              /* where the run of text that ends at out began */
    struct skeleton_limits limits;
    struct skeleton_facts facts;
    struct nesting nesting;
    const char *raw_close;         /* the '<' of the end tag of the last raw text skipped */
    bool endless[GUMBO_TAG_LAST];  /* no end tag of this name comes any more: searched once */
    bool seen_title, seen_body, seen_doctype;
    bool span_kept[SPANS_MAX]; uint32_t span_count;
};

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\f' || c == '\r';
}
static bool is_alpha(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

/* ---- writing ---- */
static void put(struct skeleton *s, const char *bytes, size_t len)
{
    memcpy(s->out, bytes, len);
    s->out += len;
}

/* Control characters become blanks: Gumbo would make U+FFFD of each. */
static void put_text(struct skeleton *s, const char *from, const char *to)
{
    char *out = s->out;
    for (; from < to; from++) {
        unsigned char c = (unsigned char)*from;
        bool c1 = c == 0xC2 && to - from > 1 && (unsigned char)from[1] < 0xA0;
        from += c1;
        *out++ = c1 || (c < 0x20 && !is_space((char)c)) || c == 0x7F ? ' ' : (char)c;
    }
    s->out = out;
}

static void put_markup_end(struct skeleton *s) { s->text_start = s->out; }

static void put_space(struct skeleton *s)
{
    if (s->out > s->out_start && !is_space(s->out[-1]))
        *s->out++ = ' ';
}

/* Leaving markup out joins the text on both sides. Where that would make a tag or an entity that
 * the page does not have
 * ("&am" + "p;"), an empty comment keeps them apart; all that is ever left out is at least its 3
 * bytes long. */
static void put_nothing(struct skeleton *s)
{
    const char *at = s->out;
    while (at > s->text_start && s->out - at < TAIL_MAX) {
        char c = *--at;
        if (c == '<' || c == '&') {
            put(s, "<!>", 3);
            put_markup_end(s);
            return;
        }
        if (!is_alpha(c) && !(c >= '0' && c <= '9') && c != '#' && c != '/' && c != '!')
            return;
    }
}

static void put_tag(struct skeleton *s, const struct tag *t)
{
    static const char *const names[SLOT_COUNT] = {"class",  "id",       "role",    "href",
                                                  "hidden", "itemprop", "itemtype"};
    bool open_value = true;
    put(s, t->closing ? "</" : "<", t->closing ? 2 : 1);
    put(s, t->name, t->name_len);
    for (uint32_t i = 0; !t->closing && i < t->order_count; i++) {
        const struct value *v = &t->slot[t->order[i]];
        if (open_value || v->spaced)
            put(s, " ", 1);
        put(s, names[t->order[i]], strlen(names[t->order[i]]));
        open_value = v->len == 0 || !v->quote;
        if (v->len == 0)
            continue;
        put(s, "=", 1);
        if (v->quote)
            put(s, &v->quote, 1);
        put(s, v->ptr, v->len);
        if (v->quote)
            put(s, &v->quote, 1);
    }
    put(s, ">", 1);
    put_markup_end(s);
}

/* Skips to the next tag from s->at on, over text and declarations; false at the end of the page. */
static bool next_tag(struct skeleton *s, struct tag *t, bool foreign)
{
    while (s->at < s->end) {
        const char *open = memchr(s->at, '<', (size_t)(s->end - s->at));
        if (!open)
            break;
        enum markup markup = markup_at(open, s->end);
        s->at = open;
        if (markup == MARKUP_TAG)
            return tag_read(s->at, s->end, t);
        s->at = markup == MARKUP_TEXT ? open + 1 : declaration_end(open, s->end, foreign);
    }
    return false;
}

/* Behind the end tag at `close`. */
static const char *skip_end_tag(struct skeleton *s, const char *close)
{
    struct tag t;
    s->at = close;
    return tag_read(s->at, s->end, &t) ? t.end : s->end;
}

/* Skips the content of a raw-text element; false when its end never comes (then nothing is
 * skipped). */
static bool skip_raw(struct skeleton *s, const struct tag *t)
{
    const char *name = gumbo_normalized_tagname(t->element.tag);
    if (s->endless[t->element.tag])
        return false;
    const char *close = t->element.tag == GUMBO_TAG_SCRIPT
                            ? script_end(t->end, s->end)
                            : raw_end(t->end, s->end, name, t->name_len);
    if (!close) {
        s->endless[t->element.tag] = true;
        return false;
    }
    s->raw_close = close;
    s->at = skip_end_tag(s, close);
    return true;
}

/* Start tags that end foreign content although it is still open: the standard's list. */
static bool breaks_out(GumboTag tag)
{
    switch (tag) {
    case GUMBO_TAG_B:
    case GUMBO_TAG_BIG:
    case GUMBO_TAG_BLOCKQUOTE:
    case GUMBO_TAG_BODY:
    case GUMBO_TAG_BR:
    case GUMBO_TAG_CENTER:
    case GUMBO_TAG_CODE:
    case GUMBO_TAG_DD:
    case GUMBO_TAG_DIV:
    case GUMBO_TAG_DL:
    case GUMBO_TAG_DT:
    case GUMBO_TAG_EM:
    case GUMBO_TAG_EMBED:
    case GUMBO_TAG_H1:
    case GUMBO_TAG_H2:
    case GUMBO_TAG_H3:
    case GUMBO_TAG_H4:
    case GUMBO_TAG_H5:
    case GUMBO_TAG_H6:
    case GUMBO_TAG_HEAD:
    case GUMBO_TAG_HR:
    case GUMBO_TAG_I:
    case GUMBO_TAG_IMG:
    case GUMBO_TAG_LI:
    case GUMBO_TAG_LISTING:
    case GUMBO_TAG_MENU:
    case GUMBO_TAG_META:
    case GUMBO_TAG_NOBR:
    case GUMBO_TAG_OL:
    case GUMBO_TAG_P:
    case GUMBO_TAG_PRE:
    case GUMBO_TAG_RUBY:
    case GUMBO_TAG_S:
    case GUMBO_TAG_SMALL:
    case GUMBO_TAG_SPAN:
    case GUMBO_TAG_STRONG:
    case GUMBO_TAG_STRIKE:
    case GUMBO_TAG_SUB:
    case GUMBO_TAG_SUP:
    case GUMBO_TAG_TABLE:
    case GUMBO_TAG_TT:
    case GUMBO_TAG_U:
    case GUMBO_TAG_UL:
    case GUMBO_TAG_VAR: return true;
    default: return false;
    }
}

/* An end tag in foreign content that closes an HTML element around it, and the drawing with it. */
static bool ends_outer(const struct skeleton *s, const struct tag *t)
{
    GumboTag tag = t->element.tag;
    return t->closing && tag != GUMBO_TAG_UNKNOWN && tag != GUMBO_TAG_A && tag != GUMBO_TAG_TITLE &&
           (acts[tag] == ACT_ELEMENT || tag == GUMBO_TAG_BODY || tag == GUMBO_TAG_HTML) &&
           (nesting_has(&s->nesting, tag) || tag == GUMBO_TAG_BODY || tag == GUMBO_TAG_HTML ||
            tag == GUMBO_TAG_P);
}

/* Elements of svg in which HTML stands again. */
static bool is_island(const struct tag *t)
{
    return t->element.tag == GUMBO_TAG_FOREIGNOBJECT || t->element.tag == GUMBO_TAG_DESC ||
           t->element.tag == GUMBO_TAG_TITLE;
}

static bool is_raw(enum act act)
{
    return act == ACT_RAW || act == ACT_SCRIPT || act == ACT_XMP || act == ACT_TITLE;
}

/* Skips an svg whose start tag is behind s->at. stack: 's' svg, 'h' HTML inside it; deeper than the
 * stack only counts. */
static void skip_svg(struct skeleton *s)
{
    char stack[FOREIGN_MAX] = {'s'};
    uint32_t depth = 1, islands = 0;
    struct tag t;
    while (depth > 0) {
        bool known = islands == 0 || depth <= FOREIGN_MAX;
        bool drawing = islands == 0 || depth > FOREIGN_MAX || stack[depth - 1] == 's';
        if (!next_tag(s, &t, drawing)) {
            s->at = s->end;
            return;
        }
        GumboTag tag = t.element.tag;
        if (drawing && known && ((!t.closing && breaks_out(tag)) || ends_outer(s, &t))) {
            if (islands == 0)
                return; /* the tag is HTML: the caller reads it again */
            while (stack[depth - 1] == 's')
                depth--;
            s->at = t.end;
            continue;
        }
        s->at = t.end;
        if (t.closing) {
            bool island = known && !drawing && is_island(&t);
            islands -= island;
            depth -= island || (tag == GUMBO_TAG_SVG && drawing);
        } else if (t.self_closing && (drawing || tag == GUMBO_TAG_SVG)) {
            continue;
        } else if (tag == GUMBO_TAG_SVG || (drawing && is_island(&t))) {
            bool island = tag != GUMBO_TAG_SVG && depth < FOREIGN_MAX;
            if (depth < FOREIGN_MAX)
                stack[depth] = island ? 'h' : 's';
            islands += island;
            depth++;
        } else if (!drawing && is_raw(acts[tag])) {
            skip_raw(s, &t);
        }
    }
}

/* Skips a template's content; those inside it count. */
static void skip_template(struct skeleton *s)
{
    uint64_t depth = 1;
    struct tag t;
    while (depth > 0 && next_tag(s, &t, false)) {
        s->at = t.end;
        if (t.element.tag == GUMBO_TAG_TEMPLATE)
            depth += t.closing ? UINT64_MAX : 1;
        else if (!t.closing && is_raw(acts[t.element.tag]))
            skip_raw(s, &t);
    }
    if (depth > 0)
        s->at = s->end;
}

/* Skips a select up to what closes it; an input or a textarea also does. Never closed: only its tag
 * is left out. */
static void skip_select(struct skeleton *s, const struct tag *start)
{
    struct tag t;
    s->at = start->end;
    while (!s->endless[GUMBO_TAG_SELECT] && next_tag(s, &t, false)) {
        GumboTag tag = t.element.tag;
        bool part = tag == GUMBO_TAG_TABLE || tag == GUMBO_TAG_TR || tag == GUMBO_TAG_TD ||
                    tag == GUMBO_TAG_TH;
        if (part || (!t.closing && (tag == GUMBO_TAG_INPUT || tag == GUMBO_TAG_TEXTAREA ||
                                    tag == GUMBO_TAG_KEYGEN)))
            return;
        s->at = t.end;
        if (tag == GUMBO_TAG_SELECT)
            return; /* a second start tag is an end tag to the standard */
        if (!t.closing && is_raw(acts[tag]))
            skip_raw(s, &t);
    }
    s->endless[GUMBO_TAG_SELECT] = true;
    s->at = start->end;
}

/* ---- MathML as text: x^2, a/b, sums with _ and ^ ---- */
struct math { const char *kind; uint32_t children; };

static const char *math_sign(const struct math *parent)
{
    static const struct {
        const char *kind, *second, *third;
    } signs[] = {
        {"mfrac", "/", ""},       {"msup", "^", ""},   {"mover", "^", ""},
        {"msub", "_", ""},        {"munder", "_", ""}, {"msubsup", "_", "^"},
        {"munderover", "_", "^"}, {"mtr", " ", " "},   {"mtable", ";", ";"},
    };
    for (size_t i = 0; i < COUNT_OF(signs); i++)
        if (parent->kind == signs[i].kind)
            return parent->children == 2  ? signs[i].second
                   : parent->children > 2 ? signs[i].third
                                          : "";
    return "";
}

static const char *math_kind(const struct tag *t)
{
    static const char *const kinds[] = {"mfrac",      "msup", "mover",  "msub", "munder", "msubsup",
                                        "munderover", "mtr",  "mtable", "mrow", "mtd"};
    for (size_t i = 0; i < COUNT_OF(kinds); i++)
        if (str_eq_nocase((struct str){t->name, t->name_len}, str_of(kinds[i])))
            return kinds[i];
    return "";
}

static void math_tag(struct skeleton *s, const struct tag *t, struct math *stack, uint32_t *depth)
{
    s->at = t->end;
    bool exact = *depth <= FOREIGN_MAX;
    if (t->closing) {
        *depth -= *depth > 0;
        return;
    }
    if (exact && *depth > 0) {
        struct math *parent = &stack[*depth - 1];
        parent->children++;
        const char *sign = math_sign(parent);
        if ((size_t)(s->out - s->out_start) + strlen(sign) <= (size_t)(s->at - s->begin))
            put(s, sign, strlen(sign));
    }
    bool annotation = str_starts_nocase((struct str){t->name, t->name_len}, "annotation");
    if (annotation && !t->self_closing) {
        const char *name = t->name_len == 14 ? "annotation-xml" : "annotation";
        const char *close = s->endless[GUMBO_TAG_MATH]
                                ? NULL
                                : raw_end(t->end, s->end, name, strlen(name));
        s->endless[GUMBO_TAG_MATH] |= !close;
        if (close)
            s->at = skip_end_tag(s, close);
        return;
    }
    if (t->self_closing)
        return;
    if (*depth < FOREIGN_MAX)
        stack[*depth] = (struct math){math_kind(t), 0};
    ++*depth;
}

/* Copies the text of a formula whose start tag is behind s->at, up to </math> or what breaks out of
 * it. */
static void copy_math(struct skeleton *s)
{
    struct math stack[FOREIGN_MAX];
    uint32_t depth = 0;
    struct tag t;
    put_nothing(s);
    while (s->at < s->end) {
        const char *open = memchr(s->at, '<', (size_t)(s->end - s->at));
        const char *text_end = open ? open : s->end;
        while (s->at < text_end && is_space(*s->at))
            s->at++;
        put_text(s, s->at, text_end);
        s->at = text_end;
        if (!open)
            return;
        enum markup markup = markup_at(open, s->end);
        if (markup == MARKUP_TEXT) {
            put(s, open, 1);
            s->at++;
            continue;
        }
        put_nothing(s);
        if (markup == MARKUP_DECLARATION) {
            s->at = declaration_end(open, s->end, true);
        } else if (!tag_read(s->at, s->end, &t)) {
            s->at = s->end;
        } else if (t.element.tag == GUMBO_TAG_MATH && t.closing) {
            s->at = t.end;
            return;
        } else if ((!t.closing && breaks_out(t.element.tag)) || ends_outer(s, &t)) {
            return;
        } else {
            math_tag(s, &t, stack, &depth);
        }
    }
}

/* ---- the pass ---- */
static void element_start(struct skeleton *s, const struct tag *t)
{
    bool full = s->facts.tags >= s->limits.tags_max;
    bool in_p = t->element.tag == GUMBO_TAG_TABLE && !full && nesting_in_p(&s->nesting);
    size_t slack = (size_t)(s->tag_start - s->begin) - (size_t)(s->out - s->out_start);
    enum nesting_verdict verdict = nesting_start(&s->nesting, t->element, full);
    uint32_t depth = nesting_depth(&s->nesting);
    if (!full && depth > s->facts.depth)
        s->facts.depth = depth;
    s->at = t->end;
    if (verdict == NESTING_KEEP) {
        s->facts.tags++;
        if (in_p && slack >= 4)
            put(s, "</p>", 4); /* in quirks mode a table would stay in the paragraph */
        put_tag(s, t);
        return;
    }
    s->facts.flattened += verdict == NESTING_FLATTEN;
    put_space(s);
}

static void element_end(struct skeleton *s, const struct tag *t)
{
    enum nesting_verdict verdict = nesting_end(&s->nesting, t->element);
    s->at = t->end;
    bool bare_p = verdict == NESTING_IGNORE &&
                  t->element.tag == GUMBO_TAG_P; /* makes an empty paragraph */
    if (verdict == NESTING_KEEP || (bare_p && s->facts.tags < s->limits.tags_max)) {
        s->facts.tags += bare_p;
        put_tag(s, t);
    } else {
        put_space(s);
    }
}

/* br and hr. </br> is <br> to the standard. */
static void line_tag(struct skeleton *s, struct tag *t)
{
    s->at = t->end;
    if (s->facts.tags >= s->limits.tags_max || (t->closing && t->element.tag == GUMBO_TAG_HR)) {
        put_space(s);
        return;
    }
    nesting_void(&s->nesting, t->element);
    s->facts.tags++;
    t->closing = false;
    t->order_count = 0;
    put_tag(s, t);
}

static void span_tag(struct skeleton *s, struct tag *t)
{
    if (!t->closing) {
        bool kept = t->order_count > 0 && s->span_count < SPANS_MAX;
        if (s->span_count < SPANS_MAX)
            s->span_kept[s->span_count] = kept;
        s->span_count++;
        if (kept) {
            element_start(s, t);
            return;
        }
    } else if (s->span_count > 0 && --s->span_count < SPANS_MAX && s->span_kept[s->span_count]) {
        element_end(s, t);
        return;
    }
    s->at = t->end;
    put_nothing(s);
}

/* Copies an element whose content is text to the tokenizer (title, xmp), tags and all; later titles
 * are drawings' or lost. */
static void copy_raw(struct skeleton *s, const struct tag *t, bool wanted)
{
    const char *content = t->end;
    if (!skip_raw(s, t)) {
        s->at = t->end;
        put_space(s);
        return;
    }
    if (!wanted) {
        put_nothing(s);
        return;
    }
    if (t->element.tag == GUMBO_TAG_TITLE)
        asides_add(&s->facts.asides, ASIDE_TITLE, (struct str){0},
                   (struct str){content, (size_t)(s->raw_close - content)});
    const char *tag_end = s->at; /* behind the end tag, whose attributes do no harm */
    put(s, "<", 1);
    put(s, t->name, t->name_len);
    put(s, ">", 1);
    put_text(s, content, tag_end);
    put_markup_end(s);
}

static bool has_part(struct str value, const char *part)
{
    return value.len && str_find(value, str_of(part)) != SIZE_MAX;
}

static void start_script(struct skeleton *s, const struct tag *t)
{
    bool json = has_part(t->type, "ld+json"), math = has_part(t->type, "math/");
    if (!skip_raw(s, t)) {
        s->at = s->end;
    } else if (json || math) {
        struct str text = {t->end, (size_t)(s->raw_close - t->end)};
        asides_add(&s->facts.asides, json ? ASIDE_JSON : ASIDE_MATH, t->type, text);
        if (json && s->facts.json_count < SKELETON_JSON_MAX)
            s->facts.json[s->facts.json_count++] = text;
    }
    put_nothing(s);
}

static void start_raw(struct skeleton *s, const struct tag *t)
{
    bool done = skip_raw(s, t);
    if (!done && t->element.tag == GUMBO_TAG_STYLE)
        s->at = s->end;
    if (done && t->element.tag == GUMBO_TAG_NOSCRIPT) {
        if (s->at - t->end > NOSCRIPT_MIN)
            s->at = t->end; /* the whole page for readers without scripts: only the tag goes */
        else
            asides_add(&s->facts.asides, ASIDE_NOSCRIPT, (struct str){0},
                       (struct str){t->end, (size_t)(s->raw_close - t->end)});
    }
    put_space(s);
}

static void plaintext(struct skeleton *s, const struct tag *t)
{
    put(s, "<plaintext>", 11);
    put_text(s, t->end, s->end);
    s->at = s->end;
}

static void start_tag(struct skeleton *s, struct tag *t)
{
    s->at = t->end;
    asides_tag(&s->facts.asides, t);
    switch ((enum act)acts[t->element.tag]) {
    case ACT_ELEMENT: element_start(s, t); break;
    case ACT_INLINE:
    case ACT_VOID: put_nothing(s); break;
    case ACT_SPAN: span_tag(s, t); break;
    case ACT_LINE: line_tag(s, t); break;
    case ACT_SCRIPT: start_script(s, t); break;
    case ACT_PLAINTEXT: plaintext(s, t); break;
    case ACT_MATH:
        if (!t->self_closing)
            copy_math(s);
        break;
    case ACT_XMP: copy_raw(s, t, s->facts.tags++ < s->limits.tags_max); break;
    case ACT_TITLE:
        copy_raw(s, t, !s->seen_title);
        s->seen_title = true;
        break;
    case ACT_BODY:
        if (!s->seen_body)
            put_tag(s, t);
        s->seen_body = true;
        break;
    case ACT_RAW: start_raw(s, t); break;
    case ACT_SELECT:
        skip_select(s, t);
        put_space(s);
        break;
    case ACT_SVG:
        if (!t->self_closing)
            skip_svg(s);
        put_space(s);
        break;
    case ACT_TEMPLATE:
        if (!t->shadow) /* a declarative shadow root is shown */
            skip_template(s);
        put_space(s);
        break;
    }
}

static void end_tag(struct skeleton *s, struct tag *t)
{
    enum act act = acts[t->element.tag];
    s->at = t->end;
    if (act == ACT_ELEMENT)
        element_end(s, t);
    else if (act == ACT_SPAN)
        span_tag(s, t);
    else if (act == ACT_LINE)
        line_tag(s, t);
    else
        put_nothing(s);
}

static void declaration(struct skeleton *s)
{
    const char *start = s->at;
    s->at = declaration_end(start, s->end, false);
    struct str text = {start, (size_t)(s->at - start)};
    if (!s->seen_doctype && s->facts.tags == 0 && str_starts_nocase(text, "<!doctype") &&
        s->at[-1] == '>') {
        put(s, text.ptr, text.len); /* quirks decide where tables stand */
        put_markup_end(s);
        s->seen_doctype = true;
    } else if (s->at < s->end) { /* at the end it may be shorter than what keeps texts apart */
        put_nothing(s);
    }
}

static void run(struct skeleton *s)
{
    struct tag t;
    while (s->at < s->end) {
        const char *open = memchr(s->at, '<', (size_t)(s->end - s->at));
        put_text(s, s->at, open ? open : s->end);
        if (!open)
            return;
        s->at = s->tag_start = open;
        switch (markup_at(open, s->end)) {
        case MARKUP_TEXT:
            put(s, open, 1);
            s->at++;
            break;
        case MARKUP_DECLARATION: declaration(s); break;
        case MARKUP_TAG:
            if (!tag_read(s->at, s->end, &t))
                return; /* the page was cut inside a tag */
            if (t.closing)
                end_tag(s, &t);
            else
                start_tag(s, &t);
            break;
        }
    }
}

int skeleton_limited(struct arena *a, struct str html, const struct skeleton_limits *limits,
                     struct str *out, struct skeleton_facts *facts)
{
    struct skeleton *s = arena_array_zero(a, struct skeleton, 1);
    char *to = s ? arena_push(a, html.len + 1, 1) : NULL;
    if (!to)
        return err_in(ERR_LIMIT, "skeleton: a page of %zu bytes", html.len);
    TRY(asides_open(&s->facts.asides, a));
    s->begin = s->at = html.ptr;
    s->end = html.ptr + html.len;
    s->out = s->out_start = s->text_start = to;
    s->limits = *limits;
    nesting_init(&s->nesting, limits->depth_max);
    run(s);
    assert((size_t)(s->out - to) <= html.len);
    *out = (struct str){to, (size_t)(s->out - to)};
    *facts = s->facts;
    return 0;
}

int skeleton(struct arena *a, struct str html, struct str *out, uint32_t *depth)
{
    static const struct skeleton_limits limits = {SKELETON_DEPTH_MAX, SKELETON_TAGS_MAX};
    struct skeleton_facts facts;
    TRY(skeleton_limited(a, html, &limits, out, &facts));
    *depth = facts.depth;
    return 0;
}

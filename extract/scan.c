/* scan - skips what is left out of a page with its content: drawings, templates, raw text. */
#include "extract/scan.h"

enum { FOREIGN_MAX = 64 }; /* nested svg islands that are followed exactly */

/* The next tag from s->at on, over text and declarations, s->at on its '<'; false at the end of the
 * page. */
static bool scan_tag(struct scan *s, struct tag *t, bool foreign)
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
static const char *skip_end_tag(struct scan *s, const char *close)
{
    struct tag t;
    s->at = close;
    return tag_read(s->at, s->end, &t) ? t.end : s->end;
}

bool scan_raw(struct scan *s, const struct tag *t)
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
static bool ends_outer(const struct scan *s, const struct tag *t)
{
    GumboTag tag = t->element.tag;
    if (!t->closing || tag == GUMBO_TAG_UNKNOWN || tag == GUMBO_TAG_TITLE)
        return false;
    if (tag == GUMBO_TAG_BODY || tag == GUMBO_TAG_HTML || tag == GUMBO_TAG_P)
        return true;
    return nesting_has(s->nesting, tag) || s->inner[tag] > 0 ||
           (tag == GUMBO_TAG_SPAN && s->spans > 0);
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

/* stack: 's' svg, 'h' HTML inside it; deeper than the stack only counts. */
void scan_svg(struct scan *s, const struct tag *start)
{
    char stack[FOREIGN_MAX] = {'s'};
    uint32_t depth = 1, islands = 0, links = 0; /* links: those of the drawing itself */
    struct tag t;
    s->at = start->end;
    if (start->self_closing)
        return;
    while (depth > 0) {
        bool known = islands == 0 || depth <= FOREIGN_MAX;
        bool drawing = islands == 0 || depth > FOREIGN_MAX || stack[depth - 1] == 's';
        if (!scan_tag(s, &t, drawing)) {
            s->at = s->end;
            return;
        }
        GumboTag tag = t.element.tag;
        if (tag == GUMBO_TAG_A && (links > 0 || !t.closing)) {
            links += t.closing ? UINT32_MAX : !t.self_closing;
            s->at = t.end;
            continue;
        }
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
        } else if (!drawing && is_raw(tag_acts[tag])) {
            scan_raw(s, &t);
        }
    }
}

/* Templates inside it count. */
void scan_template(struct scan *s, const struct tag *start)
{
    uint64_t depth = 1;
    struct tag t;
    s->at = start->end;
    while (depth > 0 && !s->endless[GUMBO_TAG_TEMPLATE] && scan_tag(s, &t, false)) {
        s->at = t.end;
        if (t.element.tag == GUMBO_TAG_TEMPLATE)
            depth += t.closing ? UINT64_MAX : 1;
        else if (!t.closing && is_raw(tag_acts[t.element.tag]))
            scan_raw(s, &t);
    }
    s->endless[GUMBO_TAG_TEMPLATE] = depth > 0;
    if (depth > 0)
        s->at = start->end;
}

/* An input or a textarea closes a select as well. */
void scan_select(struct scan *s, const struct tag *start)
{
    struct tag t;
    s->at = start->end;
    while (!s->endless[GUMBO_TAG_SELECT] && scan_tag(s, &t, false)) {
        GumboTag tag = t.element.tag;
        bool part = tag == GUMBO_TAG_TABLE || tag == GUMBO_TAG_TR || tag == GUMBO_TAG_TD ||
                    tag == GUMBO_TAG_TH;
        if (part || (!t.closing && (tag == GUMBO_TAG_INPUT || tag == GUMBO_TAG_TEXTAREA ||
                                    tag == GUMBO_TAG_KEYGEN)))
            return;
        s->at = t.end;
        if (tag == GUMBO_TAG_SELECT)
            return; /* a second start tag is an end tag to the standard */
        if (!t.closing && is_raw(tag_acts[tag]))
            scan_raw(s, &t);
    }
    s->endless[GUMBO_TAG_SELECT] = true;
    s->at = start->end;
}

/* The content of an annotation is no HTML as a rule, whatever stands in it. */
static void skip_annotation(struct scan *s, const struct tag *t)
{
    if (!str_starts_nocase((struct str){t->name, t->name_len}, "annotation") ||
        s->endless[GUMBO_TAG_MATH])
        return;
    const char *name = t->name_len == 14 ? "annotation-xml" : "annotation";
    const char *close = raw_end(t->end, s->end, name, strlen(name));
    s->endless[GUMBO_TAG_MATH] = !close;
    if (close)
        s->at = skip_end_tag(s, close);
}

struct str scan_math(struct scan *s, const struct tag *start)
{
    struct tag t;
    s->at = start->end;
    if (start->self_closing)
        return (struct str){start->end, 0};
    const char *close = NULL;
    while (!close) {
        if (!scan_tag(s, &t, true)) {
            close = s->at = s->end;
        } else if (t.element.tag == GUMBO_TAG_MATH && t.closing) {
            close = s->at;
            s->at = t.end;
        } else if ((!t.closing && breaks_out(t.element.tag)) || ends_outer(s, &t)) {
            close = s->at;
        } else {
            s->at = t.end;
            if (!t.closing && !t.self_closing)
                skip_annotation(s, &t);
        }
    }
    return (struct str){start->end, (size_t)(close - start->end)};
}

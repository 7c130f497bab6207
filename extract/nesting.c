/* nesting - the stack of open elements, by the implied-close and scope rules of HTML. */
/* It has to agree with Gumbo element by element, or a hostile page could nest deeper there than
 * depth_max. Formatting elements never come here (the skeleton leaves them out) but <a>, which
 * Gumbo may also reopen by itself: one more in each block at most, so that its depth is at most
 * twice ours. Every search is over at most depth_max names. */
#include "extract/nesting.h"

#include <assert.h>
#include <string.h>

enum trait {
    SPECIAL = 1,      /* ends the search for an ordinary end tag's element */
    SCOPE = 2,        /* ends the search for an element in scope */
    CLOSES_P = 4,
    LIST_SCOPE = 8,
    TABLE_PART = 16,
    HEADING = 32,
    SECTION_OF_TABLE = 64,
};
enum { BLOCK = SPECIAL | CLOSES_P };

static const uint8_t traits[GUMBO_TAG_LAST] = {
    [GUMBO_TAG_HTML] = SPECIAL | SCOPE, [GUMBO_TAG_BODY] = SPECIAL, [GUMBO_TAG_HEAD] = SPECIAL,
    [GUMBO_TAG_ARTICLE] = BLOCK, [GUMBO_TAG_SECTION] = BLOCK, [GUMBO_TAG_NAV] = BLOCK,
    [GUMBO_TAG_ASIDE] = BLOCK, [GUMBO_TAG_H1] = BLOCK | HEADING, [GUMBO_TAG_H2] = BLOCK | HEADING,
    [GUMBO_TAG_H3] = BLOCK | HEADING, [GUMBO_TAG_H4] = BLOCK | HEADING,
    [GUMBO_TAG_H5] = BLOCK | HEADING, [GUMBO_TAG_H6] = BLOCK | HEADING, [GUMBO_TAG_HGROUP] = BLOCK,
    [GUMBO_TAG_HEADER] = BLOCK, [GUMBO_TAG_FOOTER] = BLOCK, [GUMBO_TAG_ADDRESS] = BLOCK,
    [GUMBO_TAG_P] = BLOCK, [GUMBO_TAG_HR] = BLOCK, [GUMBO_TAG_PRE] = BLOCK,
    [GUMBO_TAG_LISTING] = BLOCK, [GUMBO_TAG_XMP] = BLOCK, [GUMBO_TAG_BLOCKQUOTE] = BLOCK,
    [GUMBO_TAG_OL] = BLOCK | LIST_SCOPE, [GUMBO_TAG_UL] = BLOCK | LIST_SCOPE,
    [GUMBO_TAG_LI] = BLOCK, [GUMBO_TAG_DL] = BLOCK, [GUMBO_TAG_DT] = BLOCK, [GUMBO_TAG_DD] = BLOCK,
    [GUMBO_TAG_FIGURE] = BLOCK, [GUMBO_TAG_FIGCAPTION] = BLOCK, [GUMBO_TAG_MAIN] = BLOCK,
    [GUMBO_TAG_DIV] = BLOCK, [GUMBO_TAG_OBJECT] = SPECIAL | SCOPE,
    [GUMBO_TAG_APPLET] = SPECIAL | SCOPE, [GUMBO_TAG_MARQUEE] = SPECIAL | SCOPE,
    [GUMBO_TAG_TABLE] = BLOCK | SCOPE, [GUMBO_TAG_CAPTION] = SPECIAL | SCOPE | TABLE_PART,
    [GUMBO_TAG_COLGROUP] = SPECIAL | TABLE_PART,
    [GUMBO_TAG_TBODY] = SPECIAL | TABLE_PART | SECTION_OF_TABLE,
    [GUMBO_TAG_THEAD] = SPECIAL | TABLE_PART | SECTION_OF_TABLE,
    [GUMBO_TAG_TFOOT] = SPECIAL | TABLE_PART | SECTION_OF_TABLE,
    [GUMBO_TAG_TR] = SPECIAL | TABLE_PART, [GUMBO_TAG_TD] = SPECIAL | SCOPE | TABLE_PART,
    [GUMBO_TAG_TH] = SPECIAL | SCOPE | TABLE_PART, [GUMBO_TAG_FORM] = BLOCK,
    [GUMBO_TAG_FIELDSET] = BLOCK, [GUMBO_TAG_BUTTON] = SPECIAL, [GUMBO_TAG_DETAILS] = BLOCK,
    [GUMBO_TAG_SUMMARY] = BLOCK, [GUMBO_TAG_MENU] = BLOCK, [GUMBO_TAG_DIR] = BLOCK,
    [GUMBO_TAG_CENTER] = BLOCK, [GUMBO_TAG_SELECT] = SPECIAL,
};

void nesting_init(struct nesting *n, uint32_t depth_max)
{
    assert(depth_max >= 1);
    n->count = n->over_count = 0;
    memset(n->named, 0, sizeof n->named);
    memset(n->over, 0, sizeof n->over);
    n->form = false;
    n->depth_max = depth_max < NESTING_MAX - NESTING_SPARE ? depth_max
                                                           : NESTING_MAX - NESTING_SPARE;
}

static void push(struct nesting *n, struct element e)
{
    assert(n->count < NESTING_MAX);
    n->open[n->count++] = e;
    n->named[e.tag]++;
}

static void pop_to(struct nesting *n, uint32_t count)
{
    while (n->count > count)
        n->named[n->open[--n->count].tag]--;
}

static bool is(struct element a, struct element b) { return a.tag == b.tag && a.hash == b.hash; }

/* Index of the innermost e that no element with one of the barrier traits hides, or -1. */
static int find(const struct nesting *n, struct element e, unsigned barrier)
{
    if (n->named[e.tag] == 0)
        return -1;
    for (int i = (int)n->count - 1; i >= 0; i--) {
        if (is(n->open[i], e))
            return i;
        if (traits[n->open[i].tag] & barrier)
            return -1;
    }
    return -1;
}

static int innermost(const struct nesting *n, GumboTag tag)
{
    return find(n, (struct element){(uint16_t)tag, 0}, 0);
}

/* Index of the paragraph that a block start would close, or -1. */
static int find_p(const struct nesting *n)
{
    if (n->named[GUMBO_TAG_P] == 0)
        return -1;
    for (int i = (int)n->count - 1; i >= 0; i--) {
        GumboTag tag = n->open[i].tag;
        if (tag == GUMBO_TAG_P)
            return i;
        if ((traits[tag] & SCOPE) || tag == GUMBO_TAG_BUTTON)
            return -1;
    }
    return -1;
}

static void close_p(struct nesting *n)
{
    int at = find_p(n);
    if (at >= 0)
        pop_to(n, (uint32_t)at);
}

/* Elements that end where anything around them ends. */
static void close_optional(struct nesting *n)
{
    while (n->count > 0) {
        switch ((GumboTag)n->open[n->count - 1].tag) {
        case GUMBO_TAG_DD: case GUMBO_TAG_DT: case GUMBO_TAG_LI: case GUMBO_TAG_OPTION:
        case GUMBO_TAG_OPTGROUP: case GUMBO_TAG_P: case GUMBO_TAG_RP: case GUMBO_TAG_RT:
            pop_to(n, n->count - 1);
            break;
        default:
            return;
        }
    }
}

static void remove_at(struct nesting *n, uint32_t at)
{
    n->named[n->open[at].tag]--;
    memmove(&n->open[at], &n->open[at + 1], (n->count - at - 1) * sizeof n->open[0]);
    n->count--;
}

/* A link ends at the next link. Blocks opened inside it stay open, everything else ends with it. */
static void close_a(struct nesting *n)
{
    if (n->named[GUMBO_TAG_A] == 0)
        return;
    bool block = false;
    for (int i = (int)n->count - 1; i >= 0; i--) {
        GumboTag tag = n->open[i].tag;
        if (tag == GUMBO_TAG_A) {
            if (block)
                remove_at(n, (uint32_t)i);
            else
                pop_to(n, (uint32_t)i);
            return;
        }
        if ((traits[tag] & SCOPE) && tag != GUMBO_TAG_TABLE)
            return;
        block = block || (traits[tag] & SPECIAL);
    }
}

/* li closes li, dd and dt close each other: up to the next list or other container. */
static void close_item(struct nesting *n, GumboTag tag)
{
    if (tag == GUMBO_TAG_LI ? !n->named[GUMBO_TAG_LI]
                            : !n->named[GUMBO_TAG_DD] && !n->named[GUMBO_TAG_DT])
        return;
    for (int i = (int)n->count - 1; i >= 0; i--) {
        GumboTag open = n->open[i].tag;
        if (tag == GUMBO_TAG_LI ? open == GUMBO_TAG_LI
                                : open == GUMBO_TAG_DD || open == GUMBO_TAG_DT) {
            pop_to(n, (uint32_t)i);
            return;
        }
        bool passes = open == GUMBO_TAG_ADDRESS || open == GUMBO_TAG_DIV || open == GUMBO_TAG_P;
        if ((traits[open] & SPECIAL) && !passes)
            return;
    }
}

static int after(const struct nesting *n, int table, unsigned wanted_traits, GumboTag wanted)
{
    for (int i = (int)n->count - 1; i > table; i--)
        if (n->open[i].tag == wanted || (traits[n->open[i].tag] & wanted_traits))
            return i;
    return -1;
}

/* Directly in a table or its rows: not in a cell or caption. Returns the table's index, else -1. */
static int loose_in_table(const struct nesting *n)
{
    int table = innermost(n, GUMBO_TAG_TABLE);
    bool cell = after(n, table, 0, GUMBO_TAG_TD) >= 0 || after(n, table, 0, GUMBO_TAG_TH) >= 0 ||
                after(n, table, 0, GUMBO_TAG_CAPTION) >= 0;
    return cell ? -1 : table;
}

/* Brings the stack to where a table part may open; false when there is no table around it. */
static bool open_table_part(struct nesting *n, GumboTag tag)
{
    int table = innermost(n, GUMBO_TAG_TABLE);
    if (table < 0)
        return false;
    if (tag != GUMBO_TAG_TD && tag != GUMBO_TAG_TH && tag != GUMBO_TAG_TR) {
        pop_to(n, (uint32_t)table + 1);
        return true;
    }
    int row = tag == GUMBO_TAG_TR ? -1 : after(n, table, 0, GUMBO_TAG_TR);
    if (row >= 0) {
        pop_to(n, (uint32_t)row + 1);
        return true;
    }
    int section = after(n, table, SECTION_OF_TABLE, GUMBO_TAG_TBODY);
    pop_to(n, (uint32_t)(section >= 0 ? section : table) + 1);
    if (section < 0)
        push(n, (struct element){GUMBO_TAG_TBODY, 0});
    if (tag != GUMBO_TAG_TR)
        push(n, (struct element){GUMBO_TAG_TR, 0});
    return true;
}

static void close_implied(struct nesting *n, struct element e)
{
    struct element none = {GUMBO_TAG_LAST, 0};
    struct element top = n->count ? n->open[n->count - 1] : none;
    switch ((GumboTag)e.tag) {
    case GUMBO_TAG_LI:
    case GUMBO_TAG_DD:
    case GUMBO_TAG_DT: close_item(n, e.tag); break;
    case GUMBO_TAG_OPTION:
    case GUMBO_TAG_OPTGROUP:
        if (top.tag == GUMBO_TAG_OPTION)
            pop_to(n, n->count - 1);
        break;
    case GUMBO_TAG_RT:
    case GUMBO_TAG_RP:
        if (find(n, (struct element){GUMBO_TAG_RUBY, 0}, SCOPE) >= 0)
            close_optional(n);
        break;
    case GUMBO_TAG_A:
        close_a(n);
        break;
    case GUMBO_TAG_TABLE: { /* a table directly in a table ends that one */
        int table = loose_in_table(n);
        if (table >= 0)
            pop_to(n, (uint32_t)table);
        break;
    }
    case GUMBO_TAG_BUTTON: {
        int open = find(n, e, SCOPE);
        if (open >= 0)
            pop_to(n, (uint32_t)open);
        break;
    }
    default: break;
    }
    if (traits[e.tag] & CLOSES_P)
        close_p(n);
    top = n->count ? n->open[n->count - 1] : none;
    if ((traits[e.tag] & HEADING) && top.tag != GUMBO_TAG_LAST && (traits[top.tag] & HEADING))
        pop_to(n, n->count - 1);
}

static enum nesting_verdict flatten(struct nesting *n, struct element e)
{
    n->over[e.tag]++;
    n->over_count++;
    return NESTING_FLATTEN;
}

enum nesting_verdict nesting_start(struct nesting *n, struct element e, bool full)
{
    assert(e.tag < GUMBO_TAG_LAST);
    if (full || n->over_count > 0)
        return flatten(n, e);
    if (e.tag == GUMBO_TAG_FORM && (n->form || loose_in_table(n) >= 0))
        return NESTING_IGNORE; /* loose in a table a form opens and closes at once */
    if (traits[e.tag] & TABLE_PART) {
        if (!open_table_part(n, e.tag))
            return NESTING_IGNORE;
    } else {
        close_implied(n, e);
    }
    if (n->count >= n->depth_max)
        return flatten(n, e);
    n->form = n->form || e.tag == GUMBO_TAG_FORM;
    push(n, e);
    return NESTING_KEEP;
}

void nesting_void(struct nesting *n, struct element e)
{
    if (n->over_count == 0 && (traits[e.tag] & CLOSES_P))
        close_p(n);
}

/* </form> takes only the form itself off the stack: what was opened inside stays open. */
static void close_form(struct nesting *n, int at)
{
    n->form = false;
    if (at >= 0) {
        uint32_t count = n->count;
        close_optional(n);
        assert(n->count > (uint32_t)at && n->count <= count);
        remove_at(n, (uint32_t)at);
        return;
    }
    for (uint32_t i = 0; i < n->count; i++) /* out of reach for good: never to be found again */
        if (n->open[i].tag == GUMBO_TAG_FORM)
            n->open[i].hash = 1;
}

static int find_heading(const struct nesting *n)
{
    for (int i = (int)n->count - 1; i >= 0; i--) {
        if (traits[n->open[i].tag] & HEADING)
            return i;
        if (traits[n->open[i].tag] & SCOPE)
            return -1;
    }
    return -1;
}

/* Which open element an end tag closes, or -1. */
static int find_closed(const struct nesting *n, struct element e)
{
    unsigned trait = traits[e.tag];
    if (e.tag == GUMBO_TAG_LI)
        return find(n, e, SCOPE | LIST_SCOPE);
    if (trait & HEADING)
        return find_heading(n);
    if (e.tag == GUMBO_TAG_TABLE)
        return innermost(n, GUMBO_TAG_TABLE);
    if (trait & TABLE_PART) {
        int table = innermost(n, GUMBO_TAG_TABLE), part = find(n, e, 0);
        return part > table ? part : -1;
    }
    if (e.tag == GUMBO_TAG_P)
        return find_p(n);
    return find(n, e, trait & SPECIAL ? SCOPE : SPECIAL);
}

enum nesting_verdict nesting_end(struct nesting *n, struct element e)
{
    assert(e.tag < GUMBO_TAG_LAST);
    if (n->over[e.tag]) {
        n->over[e.tag]--;
        n->over_count--;
        return NESTING_FLATTEN;
    }
    if (e.tag == GUMBO_TAG_A) { /* also ends a link that a block closed and Gumbo would reopen */
        close_a(n);
        return NESTING_KEEP;
    }
    if (e.tag == GUMBO_TAG_FORM && !n->form)
        return NESTING_IGNORE;
    int at = find_closed(n, e);
    if (at < 0 && e.tag != GUMBO_TAG_FORM)
        return NESTING_IGNORE;
    if (n->over_count) { /* what was too deep ends with the element around it */
        memset(n->over, 0, sizeof n->over);
        n->over_count = 0;
    }
    if (e.tag == GUMBO_TAG_FORM)
        close_form(n, at);
    else
        pop_to(n, (uint32_t)at);
    return NESTING_KEEP;
}

/* outline - which list, quote, table and code each element of a page stands in, in one pass. */
#include "extract/printing.h"

#include <stdio.h>

enum { NUMBER_MAX = 100000000 };

static bool is_list(uint8_t tag)
{
    return tag == GUMBO_TAG_OL || tag == GUMBO_TAG_UL || tag == GUMBO_TAG_MENU ||
           tag == GUMBO_TAG_DIR;
}

/* Lists with headings in their items are galleries and feeds: their items are no bullets. Marks
 * both, from every heading upwards until a marked element is met. */
static void mark_layout(const struct page *p, struct place *place)
{
    for (uint32_t i = 0; i < p->block_count; i++) {
        uint32_t node = p->block[i].level ? p->block[i].node : NO_NODE;
        for (; node != NO_NODE && !place[node].seen; node = p->node[node].parent) {
            place[node].seen = true;
            if (p->node[node].tag == GUMBO_TAG_LI && p->node[node].parent != NO_NODE)
                place[p->node[node].parent].layout = true;
        }
    }
}

struct str tag_attribute(const struct page *p, uint32_t at, const char *name)
{
    struct tag t;
    struct str key, value;
    if (at == NO_NODE || !tag_read(p->html.ptr + at, p->html.ptr + p->html.len, &t))
        return (struct str){0};
    const char *next = t.name + t.name_len;
    while ((next = attribute_next(next, t.end, &key, &value)))
        if (str_eq_nocase(key, str_of(name)))
            return value.ptr ? value : (struct str){"", 0};
    return (struct str){0};
}

struct str outline_attribute(const struct page *p, uint32_t node, const char *name)
{
    return tag_attribute(p, p->node[node].at, name);
}

static bool number_of(const struct page *p, uint32_t node, const char *name, int32_t *out)
{
    struct str text = str_trim(outline_attribute(p, node, name));
    int64_t value;
    if (!text.len || !str_i64(text, &value) || value > NUMBER_MAX || value < -NUMBER_MAX)
        return false;
    *out = (int32_t)value;
    return true;
}

static void read_list(const struct page *p, uint32_t node, struct place *at, bool numbers_only)
{
    struct str type = str_trim(outline_attribute(p, node, "type"));
    at->number = 1;
    at->style = '-';
    at->descending = false;
    if (p->node[node].tag != GUMBO_TAG_OL)
        return;
    at->style = type.len == 1 && !numbers_only && strchr("aAiI", type.ptr[0]) ? type.ptr[0] : '1';
    at->descending = outline_attribute(p, node, "reversed").ptr != NULL;
    if (at->descending) {
        at->number = 0;
        for (uint32_t child = node + 1; child < p->node[node].end; child = p->node[child].end)
            at->number += p->node[child].tag == GUMBO_TAG_LI;
    }
    number_of(p, node, "start", &at->number);
}

static void read_item(const struct page *p, uint32_t node, struct place *place)
{
    char marker[OUTLINE_MARKER_MAX];
    struct place *at = &place[node], *list = &place[p->node[node].parent];
    int32_t value = list->number;
    number_of(p, node, "value", &value);
    list->number = value + (list->descending ? -1 : 1);
    at->item = node;
    at->number = value;
    at->style = list->style;
    at->marker = (uint8_t)outline_marker(at->style, value, marker);
    if (at->indent + at->marker <= OUTLINE_INDENT_MAX)
        at->indent = (uint8_t)(at->indent + at->marker);
}

struct place *outline_read(struct arena *a, const struct page *p, bool numbers_only)
{
    struct place *place = arena_array_zero(a, struct place, (size_t)p->node_count + 1);
    static const struct place outside = {
        .item = NO_NODE, .table = NO_NODE, .cell = NO_NODE, .pre = NO_NODE, .style = '-'};
    if (!place)
        return NULL;
    mark_layout(p, place);
    for (uint32_t i = 0; i < p->node_count; i++) {
        uint32_t parent = p->node[i].parent;
        struct place *at = &place[i];
        uint8_t tag = p->node[i].tag;
        bool layout = at->layout;
        *at = parent == NO_NODE ? outside : place[parent];
        at->table_kind = TABLE_UNKNOWN;
        at->layout = layout;
        if (is_list(tag)) {
            read_list(p, i, at, numbers_only);
        } else if (tag == GUMBO_TAG_LI && parent != NO_NODE && is_list(p->node[parent].tag)) {
            if (!place[parent].layout)
                read_item(p, i, place);
        } else if (tag == GUMBO_TAG_TABLE) {
            at->table = i;
            at->cell = NO_NODE;
        } else if (tag == GUMBO_TAG_TD || tag == GUMBO_TAG_TH) {
            at->cell = i;
        } else if (tag == GUMBO_TAG_BLOCKQUOTE) {
            at->quotes = (uint8_t)(at->quotes < OUTLINE_QUOTES_MAX ? at->quotes + 1 : at->quotes);
        }
        if (p->node[i].pre && at->pre == NO_NODE)
            at->pre = i;
    }
    return place;
}

uint32_t formats_from(const struct page *p, uint32_t at)
{
    uint32_t from = 0, to = p->format_count;
    while (from < to) {
        uint32_t middle = from + (to - from) / 2;
        if (p->format[middle].end < at)
            from = middle + 1;
        else
            to = middle;
    }
    return from;
}

/* ---- markers ---- */
/* 1 a, 26 z, 27 aa, as browsers count; from the end of to. */
static char *letters(int32_t number, char first, char *end)
{
    for (; number > 0; number = (number - 1) / 26)
        *--end = (char)(first + (number - 1) % 26);
    return end;
}

static size_t roman(int32_t number, bool capital, char *to)
{
    static const struct {
        int32_t value;
        const char *small, *large;
    } parts[] = {
        {1000, "m", "M"}, {900, "cm", "CM"}, {500, "d", "D"},  {400, "cd", "CD"}, {100, "c", "C"},
        {90, "xc", "XC"}, {50, "l", "L"},    {40, "xl", "XL"}, {10, "x", "X"},    {9, "ix", "IX"},
        {5, "v", "V"},    {4, "iv", "IV"},   {1, "i", "I"},
    };
    size_t len = 0;
    for (size_t i = 0; i < COUNT_OF(parts); i++)
        for (; number >= parts[i].value; number -= parts[i].value) {
            const char *text = capital ? parts[i].large : parts[i].small;
            memcpy(to + len, text, strlen(text));
            len += strlen(text);
        }
    return len;
}

size_t outline_marker(char style, int32_t number, char to[OUTLINE_MARKER_MAX])
{
    char buffer[OUTLINE_MARKER_MAX], *end = buffer + sizeof buffer, *start;
    if (style == '-')
        return (size_t)snprintf(to, OUTLINE_MARKER_MAX, "- ");
    if ((style == 'a' || style == 'A') && number > 0) {
        start = letters(number, style, end);
        return (size_t)snprintf(to, OUTLINE_MARKER_MAX, "%.*s. ", (int)(end - start), start);
    }
    if ((style == 'i' || style == 'I') && number > 0 && number < 4000) {
        size_t len = roman(number, style == 'I', buffer); /* the longest, 3888, has 15 letters */
        return (size_t)snprintf(to, OUTLINE_MARKER_MAX, "%.*s. ", (int)len, buffer);
    }
    return (size_t)snprintf(to, OUTLINE_MARKER_MAX, "%d. ", number);
}

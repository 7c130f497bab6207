/* tags - reads tags, comments and raw text as the tokenizer of the HTML standard does. */
#include "extract/parts.h"

#include <pthread.h>
#include <stdatomic.h>

enum { SPACE = 1, NAME_END = 2, KEY_END = 4 }; /* what a byte is inside a tag */
static const uint8_t bytes[256] = {
    [' '] = SPACE | NAME_END | KEY_END,  ['\t'] = SPACE | NAME_END | KEY_END,
    ['\n'] = SPACE | NAME_END | KEY_END, ['\f'] = SPACE | NAME_END | KEY_END,
    ['\r'] = SPACE | NAME_END | KEY_END, ['/'] = NAME_END | KEY_END,
    ['>'] = NAME_END | KEY_END,          ['='] = KEY_END,
};
static bool is(char c, uint8_t what) { return bytes[(unsigned char)c] & what; }
static bool is_space(char c) { return is(c, SPACE); }
static bool is_name_end(char c) { return is(c, NAME_END); }
static bool is_alpha(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

/* ---- names: those of up to eight bytes as one word in a table ---- */
enum { NAMES = 1024, NAME_WORD = 8 };
static struct {
    uint64_t word;
    GumboTag tag;
} names[NAMES];
static atomic_bool names_ready;
static pthread_once_t names_once = PTHREAD_ONCE_INIT;

/* Lower case, but letters and digits only: other bytes stay different from all names. */
static uint64_t name_word(const char *name, size_t len)
{
    uint64_t word = 0;
    memcpy(&word, name, len);
    uint64_t upper =
        (word + 0x3F3F3F3F3F3F3F3Fu) & ~(word + 0x2525252525252525u) & ~word & 0x8080808080808080u;
    return word | upper >> 2;
}

static uint32_t name_slot(uint64_t word)
{
    uint32_t at = (uint32_t)(word * 0x9E3779B97F4A7C15u >> 54);
    while (names[at].word && names[at].word != word)
        at = (at + 1) % NAMES;
    return at;
}

static void fill_names(void)
{
    for (int tag = 0; tag < GUMBO_TAG_UNKNOWN; tag++) {
        const char *name = gumbo_normalized_tagname((GumboTag)tag);
        size_t len = strlen(name);
        if (len == 0 || len > NAME_WORD)
            continue;
        uint64_t word = name_word(name, len);
        uint32_t at = name_slot(word);
        names[at].word = word;
        names[at].tag = (GumboTag)tag;
    }
    atomic_store_explicit(&names_ready, true, memory_order_release);
}

static GumboTag tag_of(const char *name, uint32_t len)
{
    if (len > NAME_WORD || len == 0)
        return gumbo_tagn_enum(name, len);
    if (!atomic_load_explicit(&names_ready, memory_order_acquire))
        pthread_once(&names_once, fill_names);
    uint32_t at = name_slot(name_word(name, len));
    return names[at].word ? names[at].tag : GUMBO_TAG_UNKNOWN;
}

/* ---- reading a tag ---- */
static bool name_is(const char *name, size_t len, const char *lower)
{
    for (size_t i = 0; i < len; i++)
        if ((name[i] | 0x20) != lower[i])
            return false;
    return true;
}

static int slot_of(const char *name, size_t len)
{
    switch (len) {
    case 2: return name_is(name, len, "id") ? SLOT_ID : -1;
    case 4: return name_is(name, len, "role") ? SLOT_ROLE : -1;
    case 5: return name_is(name, len, "class") ? SLOT_CLASS : -1;
    case 7: return name_is(name, len, "data-qa") ? SLOT_TEST : -1;
    case 8:
        return name_is(name, len, "itemprop")   ? SLOT_ITEMPROP
               : name_is(name, len, "itemtype") ? SLOT_ITEMTYPE
                                                : -1;
    case 9: return name_is(name, len, "data-test") ? SLOT_TEST : -1;
    case 10: return name_is(name, len, "aria-label") ? SLOT_LABEL : -1;
    case 11: return name_is(name, len, "data-testid") ? SLOT_TEST : -1;
    case 12: return name_is(name, len, "data-test-id") ? SLOT_TEST : -1;
    case 14: return name_is(name, len, "data-component") ? SLOT_TEST : -1;
    default: return -1;
    }
}

/* display:none and visibility:hidden with any blanks. */
static bool style_hides(const char *style, size_t len)
{
    char squeezed[96];
    size_t used = 0;
    for (size_t i = 0; i < len && used < sizeof squeezed; i++)
        if (!is_space(style[i]))
            squeezed[used++] =
                style[i] >= 'A' && style[i] <= 'Z' ? (char)(style[i] + 32) : style[i];
    struct str text = {squeezed, used};
    return str_find(text, STR("display:none")) != SIZE_MAX ||
           str_find(text, STR("visibility:hidden")) != SIZE_MAX;
}

static void attribute(struct tag *t, const char *name, size_t len, struct str v)
{
    int slot = slot_of(name, len);
    if (slot >= 0) {
        if (t->slot[slot].ptr)
            return; /* the first one counts */
        t->slot[slot] = (struct str){v.ptr, v.len < ATTRIBUTE_MAX ? v.len : ATTRIBUTE_MAX};
        t->slots += slot < SLOT_NAMES;
        return;
    }
    switch (len) {
    case 3:
        if (!t->rel.ptr && name_is(name, len, "rel"))
            t->rel = v;
        else if (!t->alt.ptr && name_is(name, len, "alt"))
            t->alt = v;
        break;
    case 4:
        if (!t->href.ptr && name_is(name, len, "href"))
            t->href = v;
        else if (!t->type.ptr && name_is(name, len, "type"))
            t->type = v;
        break;
    case 5:
        if (v.len >= 12 && name_is(name, len, "style") && style_hides(v.ptr, v.len))
            t->hidden = true;
        break;
    case 6: t->hidden |= name_is(name, len, "hidden"); break;
    case 14: t->shadow |= name_is(name, len, "shadowrootmode"); break;
    default: break;
    }
}

/* From behind '=': the value; NULL when the page ends inside. */
static const char *read_value(const char *at, const char *end, struct str *v)
{
    while (at < end && is_space(*at))
        at++;
    if (at == end)
        return NULL;
    if (*at == '>')
        return at;
    if (*at == '"' || *at == '\'') {
        const char *close = memchr(at + 1, *at, (size_t)(end - at - 1));
        if (!close)
            return NULL;
        *v = (struct str){at + 1, (size_t)(close - at - 1)};
        return close + 1;
    }
    v->ptr = at;
    while (at < end && !is_space(*at) && *at != '>')
        at++;
    v->len = (size_t)(at - v->ptr);
    return at < end ? at : NULL;
}

const char *attribute_next(const char *at, const char *end, struct str *name, struct str *value)
{
    while (at < end && (is_space(*at) || *at == '/'))
        at++;
    if (at >= end || *at == '>')
        return NULL;
    const char *start = at++;
    while (at < end && !is(*at, KEY_END))
        at++;
    *name = (struct str){start, (size_t)(at - start)};
    *value = (struct str){"", 0};
    const char *equal = at;
    while (equal < end && is_space(*equal))
        equal++;
    if (equal < end && *equal == '=' && !(at = read_value(equal + 1, end, value)))
        return NULL;
    return at;
}

bool tag_read(const char *at, const char *end, struct tag *t)
{
    at++;
    *t = (struct tag){0};
    t->closing = *at == '/';
    t->name = at += t->closing;
    while (at < end && !is_name_end(*at))
        at++;
    t->name_len = at - t->name > UINT32_MAX ? UINT32_MAX : (uint32_t)(at - t->name);
    while (at < end) {
        struct str v = {"", 0};
        while (at < end && (is_space(*at) || (*at == '/' && at + 1 < end && at[1] != '>')))
            at++;
        if (at == end)
            return false;
        if (*at == '>' || *at == '/') {
            t->self_closing = *at == '/';
            t->end = at + 1 + t->self_closing;
            if (t->end > end)
                return false;
            GumboTag tag = tag_of(t->name, t->name_len);
            t->element.tag = (uint16_t)tag;
            for (uint32_t i = 0; tag == GUMBO_TAG_UNKNOWN && i < t->name_len && i < 64; i++)
                t->element.hash =
                    (t->element.hash ^ (unsigned char)(t->name[i] | 0x20)) * 16777619u;
            return true;
        }
        const char *name = at++;
        while (at < end && !is(*at, KEY_END))
            at++;
        size_t name_len = (size_t)(at - name);
        const char *equal = at;
        while (equal < end && is_space(*equal))
            equal++;
        if (equal < end && *equal == '=' && !(at = read_value(equal + 1, end, &v)))
            return false;
        attribute(t, name, name_len, v);
    }
    return false;
}

/* ---- finding ends ---- */
const char *raw_end(const char *at, const char *end, const char *name, size_t len)
{
    while (at < end) {
        const char *open = memchr(at, '<', (size_t)(end - at));
        if (!open || (size_t)(end - open) < len + 3)
            return NULL;
        if (open[1] == '/' && str_starts_nocase((struct str){open + 2, len}, name) &&
            is_name_end(open[2 + len]))
            return open;
        at = open + 1;
    }
    return NULL;
}

static bool at_script(const char *at, const char *end)
{
    return end - at > 6 && str_starts_nocase((struct str){at, 6}, "script") && is_name_end(at[6]);
}

/* Inside <!-- a <script> hides the next </script>. */
const char *script_end(const char *at, const char *end)
{
    enum { PLAIN, ESCAPED, DOUBLE } state = PLAIN;
    for (; at < end; at++) {
        if (state == PLAIN && !(at = memchr(at, '<', (size_t)(end - at))))
            return NULL;
        struct str rest = {at, (size_t)(end - at)};
        if (*at == '-' && state != PLAIN && str_starts(rest, "-->")) {
            state = PLAIN;
        } else if (*at == '<' && rest.len > 2) {
            if (state == PLAIN && str_starts(rest, "<!--")) {
                state = ESCAPED;
                at++; /* its two dashes may be those of --> */
            } else if (at[1] == '/' && at_script(at + 2, end)) {
                if (state != DOUBLE)
                    return at;
                state = ESCAPED;
            } else if (state == ESCAPED && at_script(at + 1, end)) {
                state = DOUBLE;
            }
        }
    }
    return NULL;
}

const char *declaration_end(const char *at, const char *end, bool foreign)
{
    struct str rest = {at, (size_t)(end - at)};
    if (foreign && str_starts(rest, "<![CDATA[")) {
        size_t close = str_find(rest, STR("]]>"));
        return close == SIZE_MAX ? end : at + close + 3;
    }
    if (!str_starts(rest, "<!--")) {
        const char *close = memchr(at, '>', rest.len);
        return close ? close + 1 : end;
    }
    if (str_starts(rest, "<!-->"))
        return at + 5;
    if (str_starts(rest, "<!--->"))
        return at + 6;
    for (const char *dash = at + 4; dash < end; dash++) {
        dash = memchr(dash, '-', (size_t)(end - dash));
        if (!dash || end - dash < 3)
            return end;
        if (dash[1] == '-' && dash[2] == '>')
            return dash + 3;
        if (dash[1] == '-' && dash[2] == '!' && end - dash > 3 && dash[3] == '>')
            return dash + 4;
    }
    return end;
}

enum markup markup_at(const char *at, const char *end)
{
    char next = end - at > 1 ? at[1] : 0, after = end - at > 2 ? at[2] : 0;
    if (is_alpha(next) || (next == '/' && is_alpha(after)))
        return MARKUP_TAG;
    if (next == '!' || next == '?' || (next == '/' && end - at > 2))
        return MARKUP_DECLARATION;
    return MARKUP_TEXT;
}

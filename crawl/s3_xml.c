/* s3_xml - finds elements by name and decodes entities. */
#include "crawl/s3_xml.h"

enum { ENTITY_MAX = 10 }; /* "&#x10ffff;" */

static bool ends_name(char c)
{
    return c == '>' || c == '/' || c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* Position of "<name" (or "</name") from `from` on, or SIZE_MAX. */
static size_t find_tag(struct str text, size_t from, const char *lead, struct str name)
{
    size_t lead_len = strlen(lead);
    while (from < text.len) {
        const char *at = memchr(text.ptr + from, '<', text.len - from);
        if (!at)
            return SIZE_MAX;
        size_t start = (size_t)(at - text.ptr), end = start + lead_len + name.len;
        if (end < text.len && memcmp(at, lead, lead_len) == 0 &&
            memcmp(at + lead_len, name.ptr, name.len) == 0 && ends_name(text.ptr[end]))
            return start;
        from = start + 1;
    }
    return SIZE_MAX;
}

bool xml_next(struct str *text, const char *name, struct str *content)
{
    struct str n = str_of(name);
    size_t open = find_tag(*text, 0, "<", n);
    if (open == SIZE_MAX)
        return false;
    const char *gt = memchr(text->ptr + open, '>', text->len - open);
    if (!gt)
        return false;
    size_t start = (size_t)(gt - text->ptr) + 1, close = start, end = start;
    if (gt[-1] != '/') {
        close = find_tag(*text, start, "</", n);
        gt = close == SIZE_MAX ? NULL : memchr(text->ptr + close, '>', text->len - close);
        if (!gt)
            return false;
        end = (size_t)(gt - text->ptr) + 1;
    }
    *content = str_slice(*text, start, close);
    *text = str_slice(*text, end, text->len);
    return true;
}

struct str xml_find(struct str text, const char *name)
{
    struct str content = {0};
    return xml_next(&text, name, &content) ? content : (struct str){0};
}

/* Length of the entity at the start of s, 0 when it is none; *cp what it stands for. */
static size_t read_entity(struct str s, uint32_t *cp)
{
    static const struct {
        const char *text;
        uint32_t cp;
    } named[] = {{"&amp;", '&'}, {"&lt;", '<'}, {"&gt;", '>'}, {"&quot;", '"'}, {"&apos;", '\''}};
    for (size_t i = 0; i < COUNT_OF(named); i++)
        if (str_starts(s, named[i].text)) {
            *cp = named[i].cp;
            return strlen(named[i].text);
        }
    if (s.len < 4 || s.ptr[1] != '#')
        return 0;
    uint32_t base = s.ptr[2] == 'x' || s.ptr[2] == 'X' ? 16 : 10, value = 0;
    size_t start = base == 16 ? 3 : 2, at = start;
    for (; at < s.len && at < ENTITY_MAX; at++) {
        char c = s.ptr[at];
        uint32_t digit = c >= '0' && c <= '9'   ? (uint32_t)(c - '0')
                         : c >= 'a' && c <= 'f' ? (uint32_t)(c - 'a' + 10)
                         : c >= 'A' && c <= 'F' ? (uint32_t)(c - 'A' + 10)
                                                : base;
        if (digit >= base)
            break;
        value = value > 0x10ffff ? value : value * base + digit;
    }
    if (at == start || at >= s.len || s.ptr[at] != ';' || value == 0 || value > 0x10ffff)
        return 0;
    *cp = value;
    return at + 1;
}

void xml_text(struct buf *to, struct str content)
{
    for (size_t i = 0; i < content.len;) {
        const char *amp = memchr(content.ptr + i, '&', content.len - i);
        size_t plain = amp ? (size_t)(amp - content.ptr) : content.len;
        buf_add(to, content.ptr + i, plain - i);
        i = plain;
        uint32_t cp = 0;
        size_t len = amp ? read_entity(str_slice(content, i, content.len), &cp) : 0;
        char utf8[4];
        if (len)
            buf_add(to, utf8, (size_t)utf8_encode(cp, utf8));
        else if (amp)
            buf_char(to, '&');
        i += len ? len : amp != NULL;
    }
}

/* entities - character references (&amp; &#228; &notin) as the HTML tokenizer decodes them. */
#include "extract/parts.h"

enum { NAME_MAX_BYTES = 32 };

struct entity {
    const char *name;
    uint32_t first;
    uint16_t second;
    bool bare;
};
static const struct entity table[] = {
#define ENTITY(name, first, second, bare) {name, first, second, bare},
#include "extract/entities.def"
#undef ENTITY
};

static bool is_alnum(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

static const struct entity *find(const char *name, size_t len)
{
    size_t from = 0, to = COUNT_OF(table);
    while (from < to) {
        size_t middle = (from + to) / 2;
        int order = strncmp(table[middle].name, name, len);
        if (order == 0)
            order = table[middle].name[len] != 0;
        if (order == 0)
            return &table[middle];
        if (order < 0)
            from = middle + 1;
        else
            to = middle;
    }
    return NULL;
}

/* What the standard makes of a number: windows-1252 for C1 controls, U+FFFD for what is none. */
static uint32_t numbered(uint32_t cp)
{
    static const uint16_t c1[32] = {
        0x20AC, 0x81,   0x201A, 0x0192, 0x201E, 0x2026, 0x2020, 0x2021, 0x02C6, 0x2030, 0x0160,
        0x2039, 0x0152, 0x8D,   0x017D, 0x8F,   0x90,   0x2018, 0x2019, 0x201C, 0x201D, 0x2022,
        0x2013, 0x2014, 0x02DC, 0x2122, 0x0161, 0x203A, 0x0153, 0x9D,   0x017E, 0x0178,
    };
    if (cp == 0 || cp > 0x10FFFF || (cp >= 0xD800 && cp < 0xE000))
        return 0xFFFD;
    return cp >= 0x80 && cp < 0xA0 ? c1[cp - 0x80] : cp;
}

static size_t number(const char *at, const char *end, uint32_t *cp)
{
    const char *start = at;
    at += 2;
    bool hex = at < end && (*at | 0x20) == 'x';
    at += hex;
    const char *digits = at;
    uint32_t value = 0;
    for (; at < end; at++) {
        char lower = (char)(*at | 0x20);
        int digit = *at >= '0' && *at <= '9'              ? *at - '0'
                    : hex && lower >= 'a' && lower <= 'f' ? lower - 'a' + 10
                                                          : -1;
        if (digit < 0)
            break;
        if (value <= 0x10FFFF)
            value = value * (hex ? 16 : 10) + (uint32_t)digit;
    }
    if (at == digits)
        return 0;
    *cp = numbered(value);
    return (size_t)(at - start) + (at < end && *at == ';');
}

size_t entity_read(const char *at, const char *end, bool attribute, uint32_t cp[2])
{
    cp[1] = 0;
    if (end - at < 3)
        return 0;
    if (at[1] == '#')
        return number(at, end, &cp[0]);
    const char *name = at + 1;
    size_t len = 0,
           most = (size_t)(end - name) < NAME_MAX_BYTES ? (size_t)(end - name) : NAME_MAX_BYTES;
    while (len < most && is_alnum(name[len]))
        len++;
    const struct entity *found = NULL;
    size_t behind = 0;
    if (len > 1 && name + len < end && name[len] == ';' && (found = find(name, len)))
        behind = 1;
    while (!found && len > 1) { /* names that count without ';' may be followed by anything */
        found = len <= 6 ? find(name, len) : NULL;
        if (found && !found->bare)
            found = NULL;
        len -= !found;
    }
    if (!found)
        return 0;
    if (!behind && attribute && name + len < end && (is_alnum(name[len]) || name[len] == '='))
        return 0; /* href="?a=1&copy=2" */
    cp[0] = found->first;
    cp[1] = found->second;
    return len + 1 + behind;
}

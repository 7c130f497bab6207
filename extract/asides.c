/* asides - keeps what a page says of itself outside its text: JSON-LD, metas, licences, links. */
#include "core/err.h"
#include "extract/parts.h"

/* How many of each kind are kept, so that a flood of one cannot push out another. */
static const uint16_t quota[ASIDE_KINDS] = {
    [ASIDE_JSON] = 32, [ASIDE_MATH] = 256,   [ASIDE_NOSCRIPT] = 16, [ASIDE_META] = 256,
    [ASIDE_LINK] = 32, [ASIDE_LICENSE] = 16, [ASIDE_TIME] = 32,     [ASIDE_LANG] = 1,
    [ASIDE_BASE] = 1,  [ASIDE_TITLE] = 1,
};

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\f' || c == '\r';
}

int asides_open(struct asides *out, struct arena *a)
{
    size_t most = 0;
    for (size_t i = 0; i < ASIDE_KINDS; i++)
        most += quota[i];
    *out = (struct asides){.list = arena_array(a, struct aside, most),
                           .href = arena_array(a, struct str, ASIDE_LINKS_MAX)};
    return out->list && out->href ? 0 : err_in(ERR_LIMIT, "extract: the page's asides");
}

void asides_add(struct asides *to, enum aside_kind kind, struct str name, struct str value)
{
    if (to->kinds[kind] == quota[kind] || value.len == 0 || value.len > ASIDE_BYTES_MAX - to->bytes)
        return;
    to->kinds[kind]++;
    to->bytes += value.len;
    to->list[to->count++] = (struct aside){kind, name, value};
}

/* Whether blank-separated words of value hold one of the wanted, which are lower case. */
static bool has_word(struct str value, const char *const *wanted, size_t count)
{
    for (size_t at = 0; at < value.len;) {
        size_t end = at;
        while (end < value.len && !is_space(value.ptr[end]))
            end++;
        for (size_t i = 0; i < count; i++)
            if (str_eq_nocase(str_slice(value, at, end), str_of(wanted[i])))
                return true;
        at = end + 1;
    }
    return false;
}

/* The first attribute of the tag with this name (lower case); ptr NULL when there is none. */
static struct str attribute_of(const struct tag *t, const char *name)
{
    const char *at = t->name + t->name_len;
    struct str key, value;
    while ((at = attribute_next(at, t->end, &key, &value)))
        if (str_eq_nocase(key, str_of(name)))
            return value;
    return (struct str){0};
}

static void take_meta(struct asides *to, const struct tag *t)
{
    static const char *const keys[] = {"property", "name", "itemprop", "http-equiv"};
    struct str content = attribute_of(t, "content");
    for (size_t i = 0; content.ptr && i < COUNT_OF(keys); i++) {
        struct str name = attribute_of(t, keys[i]);
        if (name.ptr)
            asides_add(to, ASIDE_META, name, content);
    }
}

static void take_link(struct asides *to, const struct tag *t)
{
    static const char *const wanted[] = {"canonical", "license",  "licence",   "copyright",
                                         "author",    "amphtml",  "shortlink", "next",
                                         "prev",      "publisher"};
    struct str rel = attribute_of(t, "rel");
    if (has_word(rel, wanted, COUNT_OF(wanted)))
        asides_add(to, ASIDE_LINK, rel, attribute_of(t, "href"));
}

static void take_anchor(struct asides *to, const struct tag *t)
{
    static const char *const wanted[] = {"license", "licence", "copyright"};
    if (t->rel.ptr && has_word(t->rel, wanted, COUNT_OF(wanted)))
        asides_add(to, ASIDE_LICENSE, t->rel, t->href);
    to->href_seen += t->href.ptr != NULL;
    if (t->href.ptr && to->href_count < ASIDE_LINKS_MAX)
        to->href[to->href_count++] = t->href;
}

void asides_tag(struct asides *to, const struct tag *t)
{
    struct str value;
    switch ((GumboTag)t->element.tag) {
    case GUMBO_TAG_META: take_meta(to, t); break;
    case GUMBO_TAG_LINK: take_link(to, t); break;
    case GUMBO_TAG_A: take_anchor(to, t); break;
    case GUMBO_TAG_BASE:
        asides_add(to, ASIDE_BASE, (struct str){0}, attribute_of(t, "href"));
        break;
    case GUMBO_TAG_HTML:
        value = attribute_of(t, "lang");
        asides_add(to, ASIDE_LANG, (struct str){0},
                   value.len ? value : attribute_of(t, "xml:lang"));
        break;
    case GUMBO_TAG_TIME:
        value = attribute_of(t, "itemprop");
        asides_add(to, ASIDE_TIME, value.len ? value : attribute_of(t, "class"),
                   attribute_of(t, "datetime"));
        break;
    default: break;
    }
}

const struct aside *asides_find(const struct asides *from, enum aside_kind kind, const char *name)
{
    for (uint32_t i = 0; i < from->count; i++)
        if (from->list[i].kind == kind &&
            (!name || str_eq_nocase(str_trim(from->list[i].name), str_of(name))))
            return &from->list[i];
    return NULL;
}

struct str aside_text(struct arena *a, const struct aside *aside)
{
    const char *at = aside->value.len ? aside->value.ptr : "", *end = at + aside->value.len;
    size_t mark = arena_mark(a), len = 0;
    char *out = arena_push(a, aside->value.len + aside->value.len / 4 + 4, 1);
    while (out && at < end) {
        uint32_t cp[2] = {(unsigned char)*at, 0};
        size_t step = *at == '&' ? entity_read(at, end, aside->kind != ASIDE_TITLE, cp) : 0;
        if (step == 0)
            step = (unsigned char)*at < 0x80 ? 1 : (size_t)utf8_decode(at, end, cp);
        at += step;
        if (cp[0] <= ' ' || cp[0] == 0xA0 || (cp[0] >= 0x7F && cp[0] < 0xA0)) {
            if (len > 0 && out[len - 1] != ' ')
                out[len++] = ' ';
            continue;
        }
        for (int i = 0; i < 2 && cp[i]; i++)
            len += (size_t)utf8_encode(cp[i], out + len);
    }
    while (len > 0 && out[len - 1] == ' ')
        len--;
    arena_reset(a, mark);
    return (struct str){arena_push(a, len, 1), out ? len : 0};
}

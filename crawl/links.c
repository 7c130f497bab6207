/* links - a tokenizer that only sees tags, and of those only the few that lead somewhere. */
#include "crawl/links.h"

#include "core/err.h"
#include "crawl/robots.h"

#include <iconv.h>
#include <stdio.h>

enum {
    REF_MAX = 8192,     /* bytes of a reference; a longer one is no URL */
};

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f';
}
static bool is_alpha(char c) { return (c | 32) >= 'a' && (c | 32) <= 'z'; }

/* ---- attributes ---- */
/* Those that anything below asks for; each kept the first time it stands in a tag. */
enum attribute { HREF, SRC, REL, NAME, CONTENT, HTTP_EQUIV, CHARSET, TYPE, ATTRIBUTE_COUNT };
static const char *const attribute_name[ATTRIBUTE_COUNT] = {
    "href", "src", "rel", "name", "content", "http-equiv", "charset", "type"};

struct tag {
    struct str name;
    struct str value[ATTRIBUTE_COUNT]; /* ptr NULL: absent */
};
struct scan {
    struct arena *arena;
    const char *at, *end;
    struct page_links *out;
    const char *agent;
    struct str charset;
    iconv_t decoder; /* (iconv_t)-1: none */
    bool decoder_tried;
    uint32_t room;
};

static void attribute_keep(struct tag *tag, struct str name, struct str value)
{
    if (name.len < 3 || name.len > 10)
        return;
    for (size_t i = 0; i < ATTRIBUTE_COUNT; i++)
        if (str_eq_nocase(name, str_of(attribute_name[i]))) {
            if (!tag->value[i].ptr)
                tag->value[i] = value;
            return;
        }
}

/* From behind a tag's name to behind its >; false: the page ends inside, so there is no tag. */
static bool attributes_read(struct scan *s, struct tag *tag)
{
    while (s->at < s->end) {
        while (s->at < s->end && (is_blank(*s->at) || *s->at == '/'))
            s->at++;
        if (s->at < s->end && *s->at == '>') {
            s->at++;
            return true;
        }
        const char *name = s->at;
        if (s->at < s->end)
            s->at++; /* a = in front belongs to the name */
        while (s->at < s->end && !is_blank(*s->at) && !memchr("/>=", *s->at, 3))
            s->at++;
        struct str key = {name, (size_t)(s->at - name)}, value = {s->at, 0};
        while (s->at < s->end && is_blank(*s->at))
            s->at++;
        if (s->at < s->end && *s->at == '=') {
            s->at++;
            while (s->at < s->end && is_blank(*s->at))
                s->at++;
            char quote = s->at < s->end ? *s->at : 0;
            const char *start = s->at;
            if (quote == '"' || quote == '\'') {
                start++;
                const char *close = memchr(start, quote, (size_t)(s->end - start));
                if (!close)
                    return false;
                value = (struct str){start, (size_t)(close - start)};
                s->at = close + 1;
            } else {
                while (s->at < s->end && !is_blank(*s->at) && *s->at != '>')
                    s->at++;
                value = (struct str){start, (size_t)(s->at - start)};
            }
        }
        attribute_keep(tag, key, value);
    }
    return false;
}

/* ---- values ---- */
/* The character an entity at s stands for: its length in the source, 0 when it is none. */
static size_t entity_read(struct str s, char out[4], size_t *out_len)
{
    static const struct {
        const char *name;
        char c;
    } known[] = {{"amp", '&'},   {"lt", '<'},     {"gt", '>'},    {"quot", '"'},
                 {"apos", '\''}, {"sol", '/'},    {"colon", ':'}, {"period", '.'},
                 {"quest", '?'}, {"equals", '='}, {"num", '#'}};
    size_t n = 1;
    uint32_t cp = 0;
    if (s.len > 2 && s.ptr[1] == '#') {
        bool hex = (s.ptr[2] | 32) == 'x';
        size_t start = n = hex ? 3 : 2;
        for (; n < s.len && n < start + 8; n++) {
            char c = s.ptr[n], low = (char)(c | 32);
            uint32_t digit = c >= '0' && c <= '9'              ? (uint32_t)(c - '0')
                             : hex && low >= 'a' && low <= 'f' ? (uint32_t)(low - 'a' + 10)
                                                               : 99;
            if (digit == 99)
                break;
            cp = cp * (hex ? 16 : 10) + digit;
        }
        if (n == start)
            return 0;
        *out_len = (size_t)utf8_encode(cp > 0x10FFFF ? 0xFFFD : cp, out);
        return n + (n < s.len && s.ptr[n] == ';');
    }
    while (n < s.len && n < 8 && is_alpha(s.ptr[n]))
        n++;
    struct str name = str_slice(s, 1, n);
    bool closed = n < s.len && s.ptr[n] == ';';
    bool bare = str_is(name, "amp") && !(n < s.len && s.ptr[n] == '=');
    for (size_t i = 0; i < COUNT_OF(known); i++)
        if (str_is(name, known[i].name) && (closed || bare)) {
            out[0] = known[i].c;
            *out_len = 1;
            return n + closed;
        }
    return 0;
}

/* The value with its entities undone, in the arena where there were any; ptr NULL: arena full. */
static struct str value_plain(struct arena *a, struct str raw)
{
    if (str_find_char(raw, '&') == SIZE_MAX)
        return raw.ptr ? raw : STR("");
    char *to = arena_push(a, raw.len, 1); /* an entity is never shorter than what it stands for */
    size_t n = 0;
    if (!to)
        return (struct str){0};
    for (size_t i = 0; i < raw.len;) {
        char made[4];
        size_t made_len = 0, used = 0;
        if (raw.ptr[i] == '&')
            used = entity_read(str_slice(raw, i, raw.len), made, &made_len);
        if (used) {
            memcpy(to + n, made, made_len);
            n += made_len;
            i += used;
        } else {
            to[n++] = raw.ptr[i++];
        }
    }
    return (struct str){to, n};
}

/* The path part in UTF-8 when it is not yet; as it is when the encoding is not known. */
static struct str value_utf8(struct scan *s, struct str ref)
{
    if (utf8_valid(ref))
        return ref;
    if (!s->decoder_tried) {
        char name[64];
        struct str charset = s->charset.len ? s->charset : s->out->charset;
        snprintf(name, sizeof name, "%.*s", (int)(charset.len < 60 ? charset.len : 60),
                 charset.len ? charset.ptr : "");
        bool latin = str_eq_nocase(charset, STR("iso-8859-1")) || !charset.len ||
                     str_eq_nocase(charset, STR("us-ascii"));
        s->decoder = iconv_open("UTF-8", latin ? "WINDOWS-1252" : name);
        s->decoder_tried = true;
    }
    size_t path = 0;
    while (path < ref.len && ref.ptr[path] != '?' && ref.ptr[path] != '#')
        path++;
    size_t room = 4 * path + (ref.len - path);
    char *to = s->decoder != (iconv_t)-1 ? arena_push(s->arena, room, 1) : NULL;
    if (!to)
        return ref;
    char *in = (char *)(uintptr_t)ref.ptr, *out = to;
    size_t in_left = path, out_left = 4 * path;
    iconv(s->decoder, NULL, NULL, NULL, NULL);
    if (iconv(s->decoder, &in, &in_left, &out, &out_left) == (size_t)-1)
        return ref;
    memcpy(out, ref.ptr + path, ref.len - path);
    return (struct str){to, (size_t)(out - to) + ref.len - path};
}

/* ---- links ---- */
static int link_add(struct scan *s, enum link_kind kind, struct str raw, bool nofollow)
{
    struct page_links *out = s->out;
    raw = str_trim(raw);
    if (!raw.ptr || raw.len == 0 || raw.ptr[0] == '#' || raw.len > REF_MAX)
        return 0;
    out->found++;
    if (out->count == LINKS_MAX)
        return 0;
    if (out->count == s->room) {
        uint32_t room = s->room ? s->room * 2 : 64;
        struct link *grown = arena_array(s->arena, struct link, room);
        if (!grown)
            return ERR_LIMIT;
        if (out->count)
            memcpy(grown, out->link, out->count * sizeof *grown);
        out->link = grown;
        s->room = room;
    }
    struct str ref = value_plain(s->arena, raw);
    if (!ref.ptr)
        return ERR_LIMIT;
    out->link[out->count++] = (struct link){kind, nofollow, value_utf8(s, ref)};
    return 0;
}

/* Is word one of the words of a list parted by blanks? */
static bool has_word(struct str list, const char *word)
{
    size_t i = 0;
    while (i < list.len) {
        size_t start = i;
        while (i < list.len && !is_blank(list.ptr[i]))
            i++;
        if (str_eq_nocase(str_slice(list, start, i), str_of(word)))
            return true;
        i++;
    }
    return false;
}

static int on_link(struct scan *s, const struct tag *tag)
{
    struct str rel = tag->value[REL], type = str_trim(tag->value[TYPE]);
    bool html = !type.len || str_eq_nocase(type, STR("text/html"));
    if (has_word(rel, "stylesheet"))
        return 0;
    if (has_word(rel, "canonical"))
        return link_add(s, LINK_CANONICAL, tag->value[HREF], false);
    if (has_word(rel, "next") || has_word(rel, "prev") || has_word(rel, "previous"))
        return link_add(s, LINK_NEXT, tag->value[HREF], has_word(rel, "nofollow"));
    if (has_word(rel, "alternate") && html)
        return link_add(s, LINK_ALTERNATE, tag->value[HREF], has_word(rel, "nofollow"));
    return 0;
}

/* "5; url='http://...'" as browsers read it: a number, then any of ; , and blank, url = optional.
 */
static struct str refresh_target(struct str content)
{
    size_t i = 0;
    while (i < content.len && (is_blank(content.ptr[i]) || content.ptr[i] == '.' ||
                               (content.ptr[i] >= '0' && content.ptr[i] <= '9')))
        i++;
    while (i < content.len &&
           (is_blank(content.ptr[i]) || content.ptr[i] == ';' || content.ptr[i] == ','))
        i++;
    struct str rest = str_slice(content, i, content.len), value;
    if (str_starts_nocase(rest, "url")) {
        struct str key = str_cut(rest, '=', &value);
        if (value.ptr && str_trim(key).len == 3)
            rest = str_trim(value);
    }
    if (rest.len && (rest.ptr[0] == '"' || rest.ptr[0] == '\'')) {
        struct str quoted = str_slice(rest, 1, rest.len);
        rest = str_slice(quoted, 0, str_find_char(quoted, rest.ptr[0]));
    }
    return rest;
}

static int on_meta(struct scan *s, const struct tag *tag)
{
    struct page_links *out = s->out;
    struct str equiv = str_trim(tag->value[HTTP_EQUIV]), name = str_trim(tag->value[NAME]);
    struct str content = tag->value[CONTENT];
    if (tag->value[CHARSET].ptr && !out->charset.ptr)
        out->charset = str_trim(tag->value[CHARSET]);
    if (str_eq_nocase(equiv, STR("content-type")) && !out->charset.ptr) {
        size_t at = 0;
        while (at + 8 < content.len &&
               !str_starts_nocase(str_slice(content, at, content.len), "charset="))
            at++;
        if (at + 8 < content.len) {
            struct str rest;
            out->charset = str_trim(str_cut(str_slice(content, at + 8, content.len), ';', &rest));
        }
    }
    if (str_eq_nocase(equiv, STR("refresh")))
        return link_add(s, LINK_REFRESH, refresh_target(str_trim(content)), false);
    if (str_eq_nocase(name, STR("robots")) || str_eq_nocase(name, str_of(s->agent)) ||
        str_eq_nocase(equiv, STR("x-robots-tag")))
        out->directives |= robots_directives(content, s->agent);
    if (str_eq_nocase(name, STR("tdm-reservation")) && str_is(str_trim(content), "1"))
        out->directives |= ROBOTS_NOAI;
    return 0;
}

/* ---- the pass ---- */
/* Elements whose text is no markup; their end tag is looked for. */
static bool is_raw_text(struct str name)
{
    static const char *const known[] = {"script", "style",   "title",    "textarea",
                                        "xmp",    "noembed", "noframes", "iframe"};
    for (size_t i = 0; i < COUNT_OF(known); i++)
        if (str_eq_nocase(name, str_of(known[i])))
            return true;
    return false;
}

/* Behind "</name" and a character that may follow it, or to the end. */
static void raw_text_skip(struct scan *s, struct str name)
{
    while (s->at < s->end) {
        const char *open = memchr(s->at, '<', (size_t)(s->end - s->at));
        if (!open || (size_t)(s->end - open) < name.len + 3)
            break;
        s->at = open + 1;
        char after = open[2 + name.len];
        if (open[1] == '/' && str_eq_nocase((struct str){open + 2, name.len}, name) &&
            (is_blank(after) || after == '>' || after == '/')) {
            const char *close = memchr(open, '>', (size_t)(s->end - open));
            s->at = close ? close + 1 : s->end;
            return;
        }
    }
    s->at = s->end;
}

/* Behind "<!" or "<?": a comment ends at -->, --!> or, when it begins so, at > or ->; a doctype and
 * everything else at >. */
static void declaration_skip(struct scan *s)
{
    if (s->end - s->at >= 2 && s->at[0] == '-' && s->at[1] == '-') {
        s->at += 2;
        if (s->at < s->end && *s->at == '>')
            return;
        if (s->end - s->at >= 2 && s->at[0] == '-' && s->at[1] == '>')
            return;
        while (s->at < s->end) {
            const char *dash = memchr(s->at, '-', (size_t)(s->end - s->at));
            size_t left = dash ? (size_t)(s->end - dash) : 0;
            if (left < 3)
                break;
            s->at = dash + 1;
            if (dash[1] == '-' &&
                (dash[2] == '>' || (left > 3 && dash[2] == '!' && dash[3] == '>')))
                return;
        }
        s->at = s->end;
        return;
    }
    const char *close = memchr(s->at, '>', (size_t)(s->end - s->at));
    s->at = close ? close + 1 : s->end;
}

static int on_tag(struct scan *s, const struct tag *tag)
{
    struct str name = tag->name;
    if (str_eq_nocase(name, STR("a")) || str_eq_nocase(name, STR("area")))
        return link_add(s, LINK_ANCHOR, tag->value[HREF], has_word(tag->value[REL], "nofollow"));
    if (str_eq_nocase(name, STR("link")))
        return on_link(s, tag);
    if (str_eq_nocase(name, STR("meta")))
        return on_meta(s, tag);
    if (str_eq_nocase(name, STR("iframe")) || str_eq_nocase(name, STR("frame")))
        return link_add(s, LINK_FRAME, tag->value[SRC], false);
    if (str_eq_nocase(name, STR("base")) && tag->value[HREF].ptr && !s->out->base.ptr &&
        tag->value[HREF].len <= LINKS_BASE_MAX) {
        s->out->base = value_plain(s->arena, tag->value[HREF]);
        return s->out->base.ptr ? 0 : ERR_LIMIT;
    }
    return 0;
}

static int links_scan(struct scan *s)
{
    while (s->at < s->end) {
        const char *open = memchr(s->at, '<', (size_t)(s->end - s->at));
        if (!open || s->end - open < 2)
            return 0;
        s->at = open + 1;
        char c = *s->at;
        if (c == '!' || c == '?') {
            s->at++;
            declaration_skip(s);
            continue;
        }
        bool closing = c == '/';
        s->at += closing;
        if (s->at == s->end || !is_alpha(*s->at))
            continue;
        struct tag tag = {.name = {s->at, 0}};
        while (s->at < s->end && !is_blank(*s->at) && *s->at != '/' && *s->at != '>')
            s->at++;
        tag.name.len = (size_t)(s->at - tag.name.ptr);
        if (!attributes_read(s, &tag))
            return 0;
        if (closing)
            continue;
        TRY(on_tag(s, &tag));
        if (is_raw_text(tag.name))
            raw_text_skip(s, tag.name);
        else if (str_eq_nocase(tag.name, STR("plaintext")))
            return 0;
    }
    return 0;
}

int links_find(struct arena *a, struct str html, struct str charset, const char *agent,
               struct page_links *out)
{
    memset(out, 0, sizeof *out);
    struct scan s = {.arena = a,
                     .at = html.ptr,
                     .end = html.ptr + html.len,
                     .out = out,
                     .agent = agent,
                     .charset = charset,
                     .decoder = (iconv_t)-1};
    int rc = html.len ? links_scan(&s) : 0;
    if (s.decoder != (iconv_t)-1)
        iconv_close(s.decoder);
    return rc;
}

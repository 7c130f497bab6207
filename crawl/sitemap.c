/* sitemap - URLs out of sitemaps, feeds and plain lists, however long or broken they are. */
#include "crawl/links.h"

#include "core/err.h"

#include <isa-l/igzip_lib.h>

enum { LOC_MAX = 4096 };

/* gzip undone into the arena, as much as there is and as may be; what is none comes back as it is.
 */
static int unpack(struct arena *a, struct str body, struct str *out)
{
    *out = body;
    if (!str_starts(body, "\x1f\x8b\x08"))
        return 0;
    struct inflate_state *s = arena_push(a, sizeof *s, 64);
    if (!s)
        return ERR_LIMIT;
    isal_inflate_init(s);
    s->crc_flag = ISAL_GZIP;
    s->next_in = (uint8_t *)(uintptr_t)body.ptr;
    s->avail_in = (uint32_t)(body.len < UINT32_MAX ? body.len : UINT32_MAX);
    size_t len = 0, room = 0;
    char *to = NULL;
    while (s->block_state != ISAL_BLOCK_FINISH && len < SITEMAP_BYTES_MAX) {
        if (len == room) {
            char *more = arena_push(a, 256 << 10, 1); /* grows at its own end */
            if (!more)
                return ERR_LIMIT;
            to = to ? to : more;
            room += 256 << 10;
        }
        s->next_out = (uint8_t *)to + len;
        s->avail_out = (uint32_t)(room - len);
        uint32_t had = s->avail_in;
        int rc = isal_inflate(s);
        size_t made = room - len - s->avail_out;
        len += made;
        if (rc < 0 || (made == 0 && had == s->avail_in))
            break;
    }
    *out = (struct str){to, len};
    return 0;
}

struct list {
    struct arena *arena;
    struct str *url;
    uint32_t count, room;
};

static int list_add(struct list *l, struct str url)
{
    url = str_trim(url);
    if (str_starts(url, "<![CDATA[") && str_ends(url, "]]>"))
        url = str_trim(str_slice(url, 9, url.len - 3));
    if (url.len == 0 || url.len > LOC_MAX || l->count == SITEMAP_URLS_MAX)
        return 0;
    if (l->count == l->room) {
        uint32_t room = l->room ? l->room * 2 : 256;
        struct str *grown = arena_array(l->arena, struct str, room);
        if (!grown)
            return ERR_LIMIT;
        if (l->count)
            memcpy(grown, l->url, l->count * sizeof *grown);
        l->url = grown;
        l->room = room;
    }
    char *to = arena_push(l->arena, url.len, 1);
    if (!to)
        return ERR_LIMIT;
    static const struct {
        const char *name;
        char c;
    } known[] = {{"&amp;", '&'},  {"&lt;", '<'},    {"&gt;", '>'},
                 {"&quot;", '"'}, {"&apos;", '\''}, {"&#38;", '&'},
                 {"&#39;", '\''}, {"&#x26;", '&'},  {"&#x27;", '\''}};
    size_t n = 0;
    for (size_t i = 0; i < url.len;) {
        size_t used = 0;
        for (size_t k = 0; k < COUNT_OF(known) && url.ptr[i] == '&'; k++)
            if (str_starts(str_slice(url, i, url.len), known[k].name)) {
                used = strlen(known[k].name);
                to[n++] = known[k].c;
                break;
            }
        if (!used)
            to[n++] = url.ptr[i];
        i += used ? used : 1;
    }
    l->url[l->count++] = (struct str){to, n};
    return 0;
}

/* Text between <loc> and </loc>, <link> and </link> (RSS), and href of Atom's <link .../>. One look
 * at each < of the file: a tag that is not closed ends the search. */
static int read_xml(struct list *l, struct str text, bool *is_index)
{
    while (text.len) {
        size_t open = str_find_char(text, '<');
        if (open == SIZE_MAX)
            return 0;
        text = str_slice(text, open + 1, text.len);
        if (str_starts(text, "!--")) {
            size_t end = str_find(text, STR("-->"));
            text = str_slice(text, end == SIZE_MAX ? text.len : end, text.len);
            continue;
        }
        size_t close = str_find_char(text, '>');
        if (close == SIZE_MAX)
            return 0;
        struct str tag = str_slice(text, 0, close);
        size_t colon = 0, n = 0;
        while (n < tag.len && tag.ptr[n] != ' ' && tag.ptr[n] != '\n' && tag.ptr[n] != '\t')
            n++;
        struct str name = str_slice(tag, 0, n);
        colon = str_find_char(name, ':');
        if (colon != SIZE_MAX && !str_starts(name, "image:") && !str_starts(name, "video:"))
            name = str_slice(name, colon + 1, name.len);
        text = str_slice(text, close + 1, text.len);
        *is_index = *is_index || str_eq_nocase(name, STR("sitemapindex"));
        bool loc = str_eq_nocase(name, STR("loc")), link = str_eq_nocase(name, STR("link"));
        if (link && tag.len > n) {
            size_t at = str_find(tag, STR("href=\""));
            struct str value = str_slice(tag, at == SIZE_MAX ? tag.len : at + 6, tag.len);
            TRY(list_add(l, str_slice(value, 0, str_find_char(value, '"'))));
        } else if (loc || link) {
            struct str head = str_slice(text, 0, LOC_MAX + 64);
            size_t end = str_find(head, loc ? STR("</") : STR("</link"));
            if (end != SIZE_MAX)
                TRY(list_add(l, str_slice(head, 0, end)));
        }
    }
    return 0;
}

static int read_lines(struct list *l, struct str text)
{
    while (text.ptr && text.len) {
        struct str rest, line = str_trim(str_cut(text, '\n', &rest));
        if (str_starts_nocase(line, "http://") || str_starts_nocase(line, "https://"))
            TRY(list_add(l, line));
        text = rest;
    }
    return 0;
}

int sitemap_read(struct arena *a, struct str body, struct sitemap *out)
{
    memset(out, 0, sizeof *out);
    struct list l = {.arena = a};
    struct str text;
    TRY(unpack(a, body, &text));
    text = str_slice(text, 0, SITEMAP_BYTES_MAX);
    if (str_starts(text, "\xEF\xBB\xBF"))
        text = str_slice(text, 3, text.len);
    text = str_trim(text);
    bool is_index = false;
    int rc = str_starts(text, "<") ? read_xml(&l, text, &is_index) : read_lines(&l, text);
    out->url = l.url;
    out->count = l.count;
    out->is_index = is_index;
    return rc;
}

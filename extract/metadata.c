/* metadata - puts together what a page says of itself, the surest source first. */
/* Order of trust, measured on annotated pages (tests/test_extract_metadata.c): JSON-LD of an
 * article or product, then meta elements, then microdata, then the address, then what readers see.
 * Of what readers see only the neighbourhood of the headline counts: a date elsewhere belongs to
 * something else, and a year in a footer to nothing. */
#include "extract/metadata.h"

#include "core/err.h"
#include "extract/dates.h"
#include "extract/meta_reader.h"

enum { SCRIPTS_MAX = 32 };

/* ---- cleaning ---- */
static bool is_invisible(uint32_t cp)
{
    return cp < 0x20 || (cp >= 0x7F && cp < 0xA0) || cp == 0xAD || (cp >= 0x200B && cp <= 0x200F) ||
           (cp >= 0x202A && cp <= 0x202E) || (cp >= 0x2060 && cp <= 0x2069) || cp == 0xFEFF ||
           (cp >= 0xE000 && cp <= 0xF8FF) || cp == 0xFFFD;
}

/* "</p>", "<b>", "<br/>": JSON and metas hold HTML now and then. Behind it, 0 when it is none. */
static size_t tag_length(struct str s)
{
    size_t i = s.len > 1 && s.ptr[1] == '/' ? 2 : 1;
    if (i >= s.len || (s.ptr[i] | 32) < 'a' || (s.ptr[i] | 32) > 'z')
        return 0;
    size_t close = str_find_char(str_slice(s, 0, 200), '>');
    return close == SIZE_MAX ? 0 : close + 1;
}

/* Decoded, folded, without tags and signs nobody sees, cut at a character. Pushed on to. */
struct str meta_clean(struct meta_reader *r, struct arena *to, struct str raw, size_t max)
{
    size_t mark = arena_mark(r->scratch), len = 0, kept = 0;
    struct aside as_meta = {ASIDE_META, {0}, str_slice(raw, 0, max * 4)};
    struct str text = aside_text(r->scratch, &as_meta);
    if (str_find(text, STR("&#")) != SIZE_MAX || str_find(text, STR("&amp;")) != SIZE_MAX) {
        as_meta.value = text; /* encoded twice by the page's maker */
        text = aside_text(r->scratch, &as_meta);
    }
    char *out = arena_push(r->scratch, text.len + 1, 1);
    for (size_t i = 0; out && i < text.len && len <= max;) {
        uint32_t cp;
        size_t tag = text.ptr[i] == '<' ? tag_length(str_slice(text, i, text.len)) : 0;
        int step = utf8_decode(text.ptr + i, text.ptr + text.len, &cp);
        bool blank = tag > 0 || cp == ' ';
        if (blank ? len > 0 && out[len - 1] != ' ' : !is_invisible(cp)) {
            kept = len;
            if (blank)
                out[len++] = ' ';
            else
                len += (size_t)utf8_encode(cp, out + len); /* never longer than it was */
        }
        i += tag ? tag : (size_t)step;
    }
    len = len > max ? kept : len;
    while (len > 0 && out[len - 1] == ' ')
        len--;
    struct str done = len ? arena_str(to, (struct str){out, len}) : (struct str){0};
    if (to != r->scratch)
        arena_reset(r->scratch, mark);
    return done;
}

bool meta_same_words(struct str a, struct str b)
{
    size_t i = 0, k = 0;
    for (;;) {
        while (i < a.len && (unsigned char)a.ptr[i] < 0x80 &&
               !((a.ptr[i] | 32) >= 'a' && (a.ptr[i] | 32) <= 'z') &&
               !(a.ptr[i] >= '0' && a.ptr[i] <= '9'))
            i++;
        while (k < b.len && (unsigned char)b.ptr[k] < 0x80 &&
               !((b.ptr[k] | 32) >= 'a' && (b.ptr[k] | 32) <= 'z') &&
               !(b.ptr[k] >= '0' && b.ptr[k] <= '9'))
            k++;
        if (i == a.len || k == b.len)
            return i == a.len && k == b.len;
        char x = a.ptr[i++], y = b.ptr[k++];
        x = (char)(x >= 'A' && x <= 'Z' ? x + 32 : x);
        y = (char)(y >= 'A' && y <= 'Z' ? y + 32 : y);
        if (x != y)
            return false;
    }
}

/* ---- meta elements ---- */
/* The first non-empty meta with one of the names, in the order of the names. */
struct str meta_of(struct meta_reader *r, const char *const *names, size_t max)
{
    for (; *names; names++)
        for (uint32_t i = 0; i < r->asides->count; i++) {
            const struct aside *aside = &r->asides->list[i];
            if (aside->kind != ASIDE_META || !str_eq_nocase(str_trim(aside->name), str_of(*names)))
                continue;
            struct str value = meta_clean(r, r->a, aside->value, max);
            if (value.len)
                return value;
        }
    return (struct str){0};
}

static struct str aside_of(struct meta_reader *r, enum aside_kind kind, const char *name,
                           size_t max)
{
    const struct aside *aside = asides_find(r->asides, kind, name);
    return aside ? meta_clean(r, r->a, aside->value, max) : (struct str){0};
}

/* The first link or license whose rel has the word. */
static struct str rel_of(struct meta_reader *r, enum aside_kind kind, const char *word)
{
    for (uint32_t i = 0; i < r->asides->count; i++) {
        const struct aside *aside = &r->asides->list[i];
        struct str rest = aside->name;
        while (aside->kind == kind && rest.ptr)
            if (str_eq_nocase(str_trim(str_cut(rest, ' ', &rest)), str_of(word)))
                return meta_clean(r, r->scratch, aside->value, META_URL_MAX);
    }
    return (struct str){0};
}

/* ---- the neighbourhood of the headline ---- */
/* Blocks around the headline, nearest ones behind it first. */
bool meta_near_headline(const struct meta_reader *r, uint32_t step, uint32_t *index)
{
    uint32_t h = r->headline;
    if (h == UINT32_MAX)
        return false;
    if (step < BYLINE_BEHIND)
        *index = h + 1 + step;
    else if (h >= step - BYLINE_BEHIND + 1)
        *index = h - (step - BYLINE_BEHIND + 1);
    else
        return false;
    return *index < r->page->block_count;
}

/* ---- dates ---- */
static bool keep_date(struct meta_reader *r, struct str *to, const struct date *d)
{
    char text[DATE_TEXT_MAX];
    *to = arena_str(r->a, str_of(date_print(d, text)));
    return to->len > 0;
}

/* Where the numbers alone do not tell, only a declared language with one custom does: "en" alone is
 * both. */
static enum date_order order_of(const struct meta_reader *r)
{
    struct str lang = r->out->language;
    if (str_eq_nocase(lang, STR("en-US")) || str_eq_nocase(lang, STR("en-PH")))
        return DATE_MONTH_FIRST;
    bool both = !lang.len || str_eq_nocase(lang, STR("en")) || str_eq_nocase(lang, STR("en-CA"));
    return both ? DATE_ORDER_UNKNOWN : DATE_DAY_FIRST;
}

static bool any_date(struct meta_reader *r, struct str text, struct date *d)
{
    return date_read(text, d) || date_find(str_slice(text, 0, 200), order_of(r), d, NULL);
}

static bool meta_date(struct meta_reader *r, const char *const *names, struct date *d)
{
    for (; *names; names++) {
        const char *one[] = {*names, NULL};
        struct str value = meta_of(r, one, 64);
        if (value.len && any_date(r, value, d))
            return true;
    }
    return false;
}

static bool class_says(struct str classes, const char *word)
{
    for (size_t i = 0; i + strlen(word) <= classes.len; i++)
        if (str_starts_nocase(str_slice(classes, i, classes.len), word))
            return true;
    return false;
}

/* <time> by itemprop or class; wanted NULL: the first one that says nothing else. */
static bool time_date(struct meta_reader *r, const char *wanted, const char *unwanted,
                      struct date *d)
{
    for (uint32_t i = 0; i < r->asides->count; i++) {
        const struct aside *aside = &r->asides->list[i];
        if (aside->kind != ASIDE_TIME || (wanted && !class_says(aside->name, wanted)) ||
            (unwanted && class_says(aside->name, unwanted)))
            continue;
        if (any_date(r, aside->value, d))
            return true;
    }
    return false;
}

/* A short block by the headline with a date that is not said to be that of a change. */
static bool visible_date(struct meta_reader *r, struct date *d)
{
    const struct page *p = r->page;
    uint32_t index;
    for (uint32_t step = 0; step < BYLINE_BEHIND + BYLINE_BEFORE; step++) {
        if (!meta_near_headline(r, step, &index) || p->block[index].chars > BYLINE_CHARS)
            continue;
        struct str text = block_text(p, &p->block[index]);
        if (str_find(text, STR("\xC2\xA9")) == SIZE_MAX && date_find(text, order_of(r), d, NULL))
            return true;
    }
    return false;
}

static void read_dates(struct meta_reader *r)
{
    static const char *const published[] = {"article:published_time",
                                            "og:published_time",
                                            "datePublished",
                                            "article.published",
                                            "parsely-pub-date",
                                            "sailthru.date",
                                            "citation_publication_date",
                                            "citation_online_date",
                                            "citation_date",
                                            "dc.date.issued",
                                            "dcterms.issued",
                                            "dcterms.created",
                                            "dc.date",
                                            "dcterms.date",
                                            "dc.date.created",
                                            "pubdate",
                                            "publishdate",
                                            "publish-date",
                                            "publish_date",
                                            "publication_date",
                                            "bt:pubdate",
                                            "cxenseparse:recs:publishtime",
                                            "article_date_original",
                                            "originalpublicationdate",
                                            "rnews:datepublished",
                                            "date",
                                            "displaydate",
                                            "release_date",
                                            "dateCreated",
                                            NULL};
    static const char *const modified[] = {"article:modified_time",
                                           "og:updated_time",
                                           "dateModified",
                                           "dcterms.modified",
                                           "dc.date.modified",
                                           "last-modified",
                                           "lastmod",
                                           "article:modified",
                                           "revised",
                                           NULL};
    struct page_meta *m = r->out;
    struct date d;
    if (date_read(r->json.published, &d) && keep_date(r, &m->date, &d))
        m->date_from = "json-ld";
    else if (meta_date(r, published, &d) && keep_date(r, &m->date, &d))
        m->date_from = "meta";
    else if (date_read(r->json.created, &d) && keep_date(r, &m->date, &d))
        m->date_from = "json-ld";
    else if ((time_date(r, "publish", NULL, &d) || time_date(r, "datecreated", NULL, &d) ||
              time_date(r, "entry-date", "updated", &d)) &&
             keep_date(r, &m->date, &d))
        m->date_from = "time";
    else if (date_in_url(r->url, &d) && keep_date(r, &m->date, &d))
        m->date_from = "url";
    else if (visible_date(r, &d) && keep_date(r, &m->date, &d))
        m->date_from = "text";
    else if (time_date(r, NULL, "modif", &d) && keep_date(r, &m->date, &d))
        m->date_from = "time";
    if (date_read(r->json.modified, &d) || meta_date(r, modified, &d) ||
        time_date(r, "modif", NULL, &d) || time_date(r, "updated", "published", &d))
        keep_date(r, &m->modified, &d);
}

/* ---- language, addresses, licence ---- */
/* "en_us", "EN-us" as "en-US": language lower, script title, region upper case. Empty when it is
 * no tag. */
static struct str language_tag(struct meta_reader *r, struct str s)
{
    char out[16];
    size_t len = 0, part = 0;
    s = str_trim(s);
    if (s.len < 2 || s.len >= sizeof out)
        return (struct str){0};
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];
        bool sign = c == '-' || c == '_';
        bool letter = (c | 32) >= 'a' && (c | 32) <= 'z', digit = c >= '0' && c <= '9';
        if (sign ? i == part || i + 1 == s.len : !letter && !(digit && part > 0))
            return (struct str){0};
        if (sign && part == 0 && i > 3)
            return (struct str){0}; /* a word, no code */
        if (sign)
            part = i + 1;
        out[len++] = (char)(sign ? '-' : letter ? c | 32 : c);
    }
    if (part == 0 && len > 3)
        return (struct str){0};
    for (size_t start = 0, i = 0; i <= len; i++)
        if (i == len || out[i] == '-') {
            if (start > 0 && i - start == 2)
                out[start] = (char)(out[start] & ~32),
                out[start + 1] = (char)(out[start + 1] & ~32);
            else if (start > 0 && i - start == 4 && out[start] >= 'a')
                out[start] = (char)(out[start] & ~32);
            start = i + 1;
        }
    return arena_str(r->a, (struct str){out, len});
}

static void read_language(struct meta_reader *r)
{
    static const char *const declared[] = {"content-language", "language",   "dc.language",
                                           "dcterms.language", "inLanguage", NULL};
    static const char *const locale[] = {"og:locale", NULL};
    struct str list = meta_of(r, declared, 64), rest;
    struct str said[] = {aside_of(r, ASIDE_LANG, NULL, 32), str_cut(list, ',', &rest),
                         meta_of(r, locale, 32), r->json.language};
    for (size_t i = 0; i < COUNT_OF(said) && !r->out->language.len; i++)
        r->out->language = language_tag(r, said[i]);
}

static void read_addresses(struct meta_reader *r)
{
    static const char *const og[] = {"og:url", "twitter:url", NULL};
    struct str base = aside_of(r, ASIDE_BASE, NULL, META_URL_MAX);
    base = base.len ? link_resolve(r->a, r->url, base) : r->url;
    struct str canonical = rel_of(r, ASIDE_LINK, "canonical");
    canonical = canonical.len ? link_resolve(r->a, base, canonical) : canonical;
    if (!canonical.len) {
        canonical = meta_of(r, og, META_URL_MAX);
        canonical = canonical.len ? link_resolve(r->a, base, canonical) : canonical;
    }
    r->out->canonical = canonical;
}

static bool take_licence(struct meta_reader *r, struct str url, const char *from)
{
    char id[LICENCE_MAX];
    url = meta_clean(r, r->scratch, url, META_URL_MAX);
    if (!url.len)
        return false;
    bool known = licence_of_url(url, id) || licence_of_text(url, id);
    struct str base = r->url.len ? r->url : r->out->canonical;
    struct str whole = link_resolve(r->a, base, url);
    if (!known && !whole.len)
        return false;
    r->out->licence_url = whole;
    r->out->licence = known ? arena_str(r->a, str_of(id)) : (struct str){0};
    r->out->licence_from = from;
    return known;
}

/* Links without rel count only when all that name a Creative Commons licence name the same one: a
 * page that credits pictures links to several. */
static void linked_licence(struct meta_reader *r)
{
    char id[LICENCE_MAX] = "", next[LICENCE_MAX];
    struct str first = {0};
    for (uint32_t i = 0; i < r->asides->href_count; i++) {
        struct str href = r->asides->href[i];
        if (str_find(href, STR("creativecommons.org/")) == SIZE_MAX || !licence_of_url(href, next))
            continue;
        if (id[0] && strcmp(id, next) != 0)
            return;
        memcpy(id, next, sizeof id);
        first = first.len ? first : href;
    }
    if (id[0])
        take_licence(r, first, "link");
}

static void read_licence(struct meta_reader *r)
{
    static const char *const names[] = {
        "dcterms.license",   "dc.rights", "dcterms.rights", "license", "licence",
        "dc.rights.license", NULL};
    if (take_licence(r, rel_of(r, ASIDE_LICENSE, "license"), "rel") ||
        take_licence(r, rel_of(r, ASIDE_LINK, "license"), "rel") ||
        take_licence(r, r->json.licence, "json-ld"))
        return;
    struct str said = meta_of(r, names, META_URL_MAX);
    char id[LICENCE_MAX];
    if (said.len && (licence_of_url(said, id) || licence_of_text(said, id)))
        take_licence(r, said, "meta");
    if (!r->out->licence.len)
        linked_licence(r);
}

static void count_links(struct meta_reader *r)
{
    struct str host = link_host(r->url.len ? r->url : r->out->canonical);
    for (uint32_t i = 0; i < r->asides->href_count; i++) {
        struct str href = str_trim(r->asides->href[i]);
        bool web = str_starts_nocase(href, "http://") || str_starts_nocase(href, "https://") ||
                   str_starts(href, "//");
        size_t colon = str_find_char(href, ':'), slash = str_find_char(href, '/');
        if (href.len == 0 || href.ptr[0] == '#' || (!web && colon < href.len && colon < slash))
            continue; /* places on the page; mailto:, javascript: and the like */
        if (web && !link_same_site(link_host(href), host))
            r->out->links_external++;
        else
            r->out->links_internal++;
    }
}

static void read_names(struct meta_reader *r)
{
    static const char *const site[] = {"og:site_name", "application-name",
                                       "apple-mobile-web-app-title", "dc.publisher", NULL};
    static const char *const about[] = {"og:description",      "description",
                                        "twitter:description", "dc.description",
                                        "dcterms.description", NULL};
    r->out->site = meta_of(r, site, 200);
    if (!r->out->site.len)
        r->out->site = meta_clean(r, r->a, r->json.site, 200);
    r->out->description = meta_of(r, about, META_TEXT_MAX);
    if (!r->out->description.len)
        r->out->description = meta_clean(r, r->a, r->json.description, META_TEXT_MAX);
}

void metadata_read(struct arena *a, struct arena *scratch, const struct asides *asides,
                   struct str url, const struct page *page, struct page_meta *out)
{
    struct str script[SCRIPTS_MAX];
    uint32_t scripts = 0;
    struct meta_reader r = {.a = a,
                            .scratch = scratch,
                            .asides = asides,
                            .page = page,
                            .url = url,
                            .headline = UINT32_MAX,
                            .out = out};
    size_t mark = arena_mark(scratch);
    *out = (struct page_meta){.licence_from = "", .date_from = ""};
    for (uint32_t i = 0; i < asides->count && scripts < SCRIPTS_MAX; i++)
        if (asides->list[i].kind == ASIDE_JSON)
            script[scripts++] = asides->list[i].value;
    jsonld_read(scratch, script, scripts, &r.json);
    meta_find_headline(&r);
    read_language(&r);
    read_addresses(&r);
    read_names(&r);
    meta_read_title(&r);
    meta_read_author(&r);
    read_dates(&r);
    read_licence(&r);
    count_links(&r);
    arena_reset(scratch, mark);
    err_clear(); /* a full arena only leaves fields empty */
}

void metadata_write(const struct page_meta *m, struct json_writer *to)
{
    const struct {
        const char *key;
        struct str value;
    } text[] = {
        {"author", m->author},           {"date", m->date},
        {"modified", m->modified},       {"language", m->language},
        {"canonical", m->canonical},     {"site", m->site},
        {"description", m->description}, {"licence", m->licence},
        {"licence_url", m->licence_url}, {"licence_from", str_of(m->licence_from)},
    };
    for (size_t i = 0; i < COUNT_OF(text); i++)
        if (text[i].value.len)
            json_field_str(to, text[i].key, text[i].value);
    json_field_u64(to, "links_internal", m->links_internal);
    json_field_u64(to, "links_external", m->links_external);
}

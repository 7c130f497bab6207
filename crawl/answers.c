/* answers - what the focused crawler makes of what servers say: archived, followed, or let be. */
#include "crawl/crawler.h"

#include "core/err.h"
#include "core/log.h"
#include "crawl/robots.h"
#include "crawl/warc.h"

enum {
    ROBOTS_REDIRECTS_MAX = 5, /* RFC 9309 2.3.1.2 */
    ROBOTS_DECODED_MAX = 16 << 20,
    DECODED_TIMES = 4, /* a page may be so many times page_max once unpacked */
    HOST_SITEMAPS_MAX = 500,
};

/* True for answers that may be other ones later: 429, 5xx but 501, 505 and the like, no answer. */
static bool is_passing(const struct visit *v)
{
    int s = v->status;
    if (v->end == VISIT_FAILED || v->end == VISIT_CUT_LINE)
        return true;
    return s == 429 || s == 408 || s == 425 || s == 500 || s == 502 || s == 503 || s == 504 ||
           (s >= 520 && s <= 527) || s == 529;
}

/* The answer with its encodings undone. */
static int decode(struct crawler *c, const struct visit *v, size_t body_max,
                  struct http_response *out)
{
    buf_clear(&c->block);
    buf_str(&c->block, buf_view(&v->header));
    buf_str(&c->block, buf_view(&v->body));
    if (c->block.failed)
        return err_set(ERR_LIMIT, "crawl: no memory for a page of %zu bytes", v->body.len);
    arena_reset(&c->scratch, 0);
    return http_parse(&c->scratch, buf_view(&c->block), body_max, out);
}

static int capture(struct crawler *c, const struct capture_page *page, enum page_end *end,
                   char known[CAPTURE_KNOWN_MAX])
{
    bool revisit;
    c->truncated += page->visit->end != VISIT_WHOLE;
    TRY(capture_write(c->capture, page, &revisit, known));
    *end = revisit ? PAGE_REVISIT : PAGE_WRITTEN;
    return 0;
}

/* ---- robots.txt ---- */
static int sitemaps_add(struct crawler *c, uint32_t host)
{
    const char *const *url;
    size_t count = robots_sitemaps(frontier_host(c->frontier, host)->robots, &url);
    for (size_t i = 0; i < count && c->conf->sitemaps; i++) {
        struct host *h = frontier_host(c->frontier, host);
        if (h->sitemaps >= HOST_SITEMAPS_MAX)
            return 0;
        if (!url_resolve(str_of(h->origin), str_of(url[i]), c->strip, &c->url))
            continue;
        h->sitemaps++;
        TRY(frontier_add(c->frontier, buf_view(&c->url), FRONTIER_NONE, HOP_SITEMAP));
    }
    return 0;
}

/* It is known now (text), or unknown for good and everything is allowed (no text). */
static int robots_known(struct crawler *c, struct visit *v, struct str text)
{
    struct host *h = frontier_host(c->frontier, v->host);
    bool first = !h->robots;
    enum page_end end;
    char known[CAPTURE_KNOWN_MAX];
    robots_close(h->robots);
    TRY(robots_parse(&h->robots, text, c->agent));
    h->robots_ns = clock_ns();
    h->robots_tries = 0;
    h->failures = 0;
    if (!h->robots_kept && v->status) {
        struct capture_page page = {.visit = v, .url = str_of(v->url), .path = "P", .outlinks = -1};
        TRY(capture(c, &page, &end, known));
        journal_line(c->journal, "r %s", h->origin);
        h->robots_kept = true;
        c->robots_read++;
        c->changes++;
    }
    if (first)
        TRY(sitemaps_add(c, v->host));
    return 0;
}

/* Asks for where robots.txt is said to be; 1: asked, 0: nowhere. */
static int robots_follow(struct crawler *c, struct visit *v)
{
    struct str to = http_field(buf_view(&v->header), "Location");
    if (v->redirects == ROBOTS_REDIRECTS_MAX || !to.len ||
        !url_resolve(str_of(v->url), to, 0, &c->url))
        return 0;
    snprintf(v->url, sizeof v->url, "%.*s", STR_ARG(c->url));
    v->redirects++;
    TRY(visits_start(c->visits, v));
    return 1;
}

int answer_robots(struct crawler *c, struct visit *v)
{
    struct host *h = frontier_host(c->frontier, v->host);
    struct str text = {0};
    bool answered = v->status >= 200 && v->status < 300, deny = false;
    if (v->status >= 300 && v->status < 400 && v->end == VISIT_WHOLE) {
        int rc = robots_follow(c, v);
        if (rc != 0)
            return rc < 0 ? rc : 0;
    }
    bool gone = v->end == VISIT_NO_HOST || v->end == VISIT_PRIVATE;
    deny = gone || v->end == VISIT_FAILED || v->status == 429 || v->status >= 500 ||
           (v->status >= 200 && v->status < 300 && v->end == VISIT_CUT_LINE);
    if (!gone && !(c->respect & (RESPECT_ROBOTS | RESPECT_NOAI)))
        deny = false; /* asked for its sitemaps only */
    if (answered && !deny) {
        struct http_response response;
        TRY(decode(c, v, ROBOTS_DECODED_MAX, &response));
        text = response.body;
        deny = response.too_large &&
               c->respect & RESPECT_ROBOTS; /* a bomb: whatever it says, it does not want us */
    }
    int rc = 0;
    if (!deny) {
        rc = robots_known(c, v, text);
        if (rc >= 0)
            rc = frontier_later(c->frontier, v->page, clock_ns() + crawler_pause(c, v));
    } else if (!gone && h->robots_tries < c->conf->page_retries) {
        rc = crawler_again(c, v);
    } else {
        char why[320], status[24] = "";
        if (v->status)
            snprintf(status, sizeof status, "status %d ", v->status);
        snprintf(why, sizeof why, "its robots.txt cannot be had: %s%s", status, v->why);
        crawler_give_up(c, v, gone ? v->why : why);
        if (!c->first_failure[0])
            snprintf(c->first_failure, sizeof c->first_failure, "%.200s: %.250s", v->url,
                     gone ? v->why : why);
        rc = frontier_later(c->frontier, v->page, clock_ns());
    }
    visits_release(c->visits, v);
    return rc;
}

/* ---- pages ---- */
/* All X-Robots-Tag fields, TDM-Reservation and Content-Usage. */
static unsigned header_directives(const struct crawler *c, struct str header)
{
    unsigned flags = 0;
    while (header.len) {
        struct str rest, value, line = str_cut(header, '\n', &rest);
        struct str name = str_cut(line, ':', &value);
        value = str_trim(value);
        if (str_eq_nocase(name, STR("X-Robots-Tag")))
            flags |= robots_directives(value, c->agent);
        else if (str_eq_nocase(name, STR("TDM-Reservation")) && str_is(value, "1"))
            flags |= ROBOTS_NOAI;
        else if (str_eq_nocase(name, STR("Content-Usage")) &&
                 str_find(value, STR("train-ai=n")) != SIZE_MAX)
            flags |= ROBOTS_NOAI;
        header = rest;
    }
    return flags;
}

static bool is_opted_out(const struct crawler *c, unsigned flags)
{
    return (flags & ROBOTS_NOINDEX && c->respect & RESPECT_NOINDEX) ||
           (flags & ROBOTS_NOARCHIVE && c->respect & RESPECT_NOARCHIVE) ||
           (flags & ROBOTS_NOAI && c->respect & RESPECT_NOAI);
}

static int links_add(struct crawler *c, const struct visit *v, const struct page_links *links)
{
    struct str base = str_of(v->url);
    if (links->base.ptr && url_join(base, links->base, &c->base))
        base = buf_view(&c->base);
    for (uint32_t i = 0; i < links->count; i++) {
        const struct link *link = &links->link[i];
        if (link->nofollow && c->respect & RESPECT_NOFOLLOW)
            continue;
        if (!url_resolve(base, link->ref, c->strip, &c->url))
            continue;
        c->links++;
        TRY(frontier_add(c->frontier, buf_view(&c->url), v->page,
                         link->kind == LINK_FRAME ? HOP_FRAME : HOP_LINK));
    }
    return 0;
}

static int redirect_add(struct crawler *c, const struct visit *v)
{
    struct str to = http_field(buf_view(&v->header), "Location");
    bool moved = v->status == 301 || v->status == 302 || v->status == 303 || v->status == 307 ||
                 v->status == 308;
    if (!moved || !to.len || !url_resolve(str_of(v->url), to, c->strip, &c->url))
        return 0;
    return frontier_add(c->frontier, buf_view(&c->url), v->page, HOP_REDIRECT);
}

static int sitemap_add(struct crawler *c, const struct visit *v, const struct sitemap *map)
{
    for (uint32_t i = 0; i < map->count; i++) {
        struct host *h = frontier_host(c->frontier, v->host);
        if (!url_resolve(str_of(v->url), map->url[i], c->strip, &c->url))
            continue;
        /* An index may name sitemaps of its own host only, and not without end. */
        if (map->is_index && (!str_is(url_origin(buf_view(&c->url)), h->origin) ||
                              h->sitemaps++ >= HOST_SITEMAPS_MAX))
            continue;
        c->links++;
        TRY(frontier_add(c->frontier, buf_view(&c->url), v->page,
                         map->is_index ? HOP_SITEMAP : HOP_LINK));
    }
    return 0;
}

static bool is_markup(const struct http_response *r)
{
    return r->content_type.len == 0 || str_is(r->content_type, "text/html") ||
           str_is(r->content_type, "application/xhtml+xml");
}

/* A page whose answer stays: archived, then what it leads to. */
static int page_keep(struct crawler *c, const struct visit *v)
{
    struct http_response r = {0};
    struct page_links links = {0};
    struct sitemap map = {0};
    const struct page *p = frontier_page(c->frontier, v->page);
    bool is_map = p->hop == HOP_SITEMAP, read = v->status == 200 && v->body.len;
    if (read)
        TRY(decode(c, v, (size_t)c->conf->page_max * DECODED_TIMES, &r));
    if (read && !is_map && is_markup(&r))
        TRY(links_find(&c->scratch, r.body, r.charset, c->agent, &links));
    if (read && is_map)
        TRY(sitemap_read(&c->scratch, r.body, &map));
    unsigned flags = links.directives | header_directives(c, buf_view(&v->header));
    enum page_end end = PAGE_OPTED_OUT;
    char known[CAPTURE_KNOWN_MAX] = "", path[FRONTIER_PATH_MAX + 1];
    if (is_map || !is_opted_out(c, flags)) {
        uint32_t seed = v->page;
        frontier_path(c->frontier, v->page, path, &seed);
        struct capture_page page = {
            .visit = v,
            .url = str_of(v->url),
            .path = path,
            .charset = r.charset.len ? r.charset : links.charset,
            .outlinks = read ? (int64_t)(links.found + map.count) : -1,
        };
        if (p->via != FRONTIER_NONE)
            page.via = frontier_url(c->frontier, p->via);
        if (seed != v->page)
            page.seed = frontier_url(c->frontier, seed);
        TRY(capture(c, &page, &end, known));
    }
    bool follow = !(flags & ROBOTS_NOFOLLOW && c->respect & RESPECT_NOFOLLOW);
    bool again = end == PAGE_REVISIT && p->depth > 0; /* its links were followed the first time */
    if (follow && !again)
        TRY(is_map ? sitemap_add(c, v, &map) : links_add(c, v, &links));
    TRY(redirect_add(c, v));
    return crawler_end(c, v, end, known);
}

int answer_page(struct crawler *c, struct visit *v)
{
    struct host *h = frontier_host(c->frontier, v->host);
    const struct page *p = frontier_page(c->frontier, v->page);
    bool retry = is_passing(v) && p->tries < c->conf->page_retries;
    int rc;
    h->failures = v->end == VISIT_FAILED ? h->failures + 1 : 0;
    if (h->failures >= HOST_FAILURES_MAX)
        crawler_give_up(c, v, v->why);
    if (retry && h->given_up == PAGE_WRITTEN)
        rc = crawler_again(c, v);
    else if (v->end == VISIT_NO_HOST || v->end == VISIT_PRIVATE) {
        crawler_give_up(c, v, v->why);
        rc = crawler_end(c, v, v->end == VISIT_PRIVATE ? PAGE_PRIVATE : PAGE_NO_HOST, "");
    } else if (v->end == VISIT_FAILED) {
        rc = crawler_end(c, v, PAGE_FAILED, "");
    } else if (v->end == VISIT_UNWANTED) {
        rc = crawler_end(c, v, PAGE_WRONG_TYPE, "");
    } else {
        rc = page_keep(c, v);
    }
    visits_release(c->visits, v);
    return rc;
}

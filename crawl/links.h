/* links - where a page leads and what it says to crawlers, found in one pass over its bytes. */
#ifndef SLUICE_CRAWL_LINKS_H
#define SLUICE_CRAWL_LINKS_H
#include "core/arena.h"
#include "core/str.h"

enum {
    LINKS_MAX = 20000, /* of one page; more are only counted */
    LINKS_BASE_MAX = 2048,
};
enum link_kind {
    LINK_ANCHOR,    /* a, area */
    LINK_FRAME,     /* frame, iframe */
    LINK_REFRESH,   /* meta refresh */
    LINK_NEXT,      /* link rel=next, prev */
    LINK_CANONICAL, /* link rel=canonical */
    LINK_ALTERNATE, /* link rel=alternate of HTML: other languages, no feeds */
};
struct link {
    enum link_kind kind;
    bool nofollow;
    struct str ref; /* as written, entities undone */
};
struct page_links {
    struct link *link;
    uint32_t count;
    uint64_t found;      /* links on the page, those beyond LINKS_MAX included */
    struct str base;     /* of the first base href; ptr NULL: none */
    struct str charset;  /* as a meta tag says; ptr NULL: none */
    unsigned directives; /* enum robots_page of meta robots, meta AGENT and tdm-reservation */
};
/* Follows HTML's tokenizer where it matters (comments, script, style, title, textarea and the other
 * raw texts are no markup; quoted > ends no tag), but builds no tree. noscript and template count
 * as markup. One pass, linear; memory: 24 bytes a link and its text in the arena. References in
 * bytes that are no UTF-8 come back in UTF-8 when charset (or the page's own) names an encoding
 * iconv knows, path part only: forms answer queries in the page's own bytes. Returns 0 or ERR_LIMIT
 * when the arena is full. */
int links_find(struct arena *a, struct str html, struct str charset, const char *agent,
               struct page_links *out);

/* ---- sitemaps (crawl/sitemap.c) ---- */
enum {
    SITEMAP_BYTES_MAX = 50 << 20, /* decompressed, as sitemaps.org has it; the rest is not read */
    SITEMAP_URLS_MAX = 50000,     /* of one file, the same */
};
struct sitemap {
    const struct str *url;
    uint32_t count;
    bool is_index; /* url are further sitemaps */
};
/* Reads sitemaps.org XML (urlset, sitemapindex), RSS and Atom links, or one URL a line; body may be
 * gzip. Junk gives no URLs. Everything lives in the arena; ERR_LIMIT when it is full. */
int sitemap_read(struct arena *a, struct str body, struct sitemap *out);
#endif

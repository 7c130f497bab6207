/* fuzz_links - any bytes as a page to find links in and as a sitemap: bounded, and found twice. */
#include "crawl/links.h"
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>

/* The longest text a value can become: windows-1252 in UTF-8. */
enum { GROWTH = 4 };

static void check_page(struct str html, struct str charset)
{
    struct arena a, b;
    struct page_links one, two;
    if (arena_open(&a, 64 << 20) < 0 || arena_open(&b, 64 << 20) < 0)
        return;
    int rc = links_find(&a, html, charset, "sluice", &one);
    if (rc != links_find(&b, html, charset, "sluice", &two) || one.count != two.count)
        abort();
    if (one.count > LINKS_MAX || one.found < one.count)
        abort();
    for (uint32_t i = 0; i < one.count; i++)
        if (one.link[i].ref.len > GROWTH * html.len || !str_eq(one.link[i].ref, two.link[i].ref))
            abort();
    arena_close(&a);
    arena_close(&b);
}

static void check_sitemap(struct str body)
{
    struct arena a;
    struct sitemap map;
    if (arena_open(&a, (size_t)256 << 20) < 0)
        return;
    if (sitemap_read(&a, body, &map) == 0 && map.count > SITEMAP_URLS_MAX)
        abort();
    arena_close(&a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str rest, all = {(const char *)data, size};
    struct str charset = str_cut(all, '\n', &rest); /* the first line */
    check_page(rest.ptr ? rest : STR(""), charset);
    check_sitemap(all);
    return 0;
}

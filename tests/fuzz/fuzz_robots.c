/* fuzz_robots - any bytes as a robots.txt and as a value of X-Robots-Tag; the first line is what is
 * asked for. */
#include "crawl/robots.h"
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>

static void check(struct str text, struct str target, const char *agent)
{
    struct robots *one, *two;
    const char *const *sitemap;
    if (robots_parse(&one, text, agent) < 0 || robots_parse(&two, text, agent) < 0)
        abort(); /* there is memory: any bytes are a robots.txt */
    if (!robots_allows(one, STR("/robots.txt")))
        abort();
    if (robots_allows(one, target) != robots_allows(two, target) ||
        robots_no_training(one, target) != robots_no_training(two, target))
        abort();
    if (robots_delay_ms(one) < 0 || robots_delay_ms(one) > ROBOTS_DELAY_MAX_MS)
        abort();
    size_t sitemaps = robots_sitemaps(one, &sitemap);
    if (sitemaps > ROBOTS_SITEMAPS_MAX)
        abort();
    for (size_t i = 0; i < sitemaps; i++)
        if (strlen(sitemap[i]) > text.len)
            abort();
    robots_close(one);
    robots_close(two);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char token[16], line[256];
    struct str rest;
    struct str target = str_cut((struct str){(const char *)data, size}, '\n', &rest);
    struct str text = rest.ptr ? rest : STR("");
    check(text, target, "sluice");
    check(text, target, "");
    unsigned flags = robots_directives(text, "sluice");
    if (flags & ~(unsigned)(ROBOTS_NOINDEX | ROBOTS_NOFOLLOW | ROBOTS_NOARCHIVE | ROBOTS_NOAI))
        abort();
    snprintf(line, sizeof line, "%.*s", (int)(target.len < 255 ? target.len : 255),
             target.len ? target.ptr : "");
    robots_token(line, token, sizeof token);
    if (strlen(token) >= sizeof token)
        abort();
    return 0;
}

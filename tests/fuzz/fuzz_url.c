/* fuzz_url - any bytes as a URL: its parts lie inside it, its keys are of linear size and stable.
 */
#include "crawl/crawl.h"
#include "crawl/urlhost.h"
#include "crawl/urljoin.h"
#include "crawl/warc.h"
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>

static void check_inside(struct str part, struct str whole)
{
    if (part.len && (part.ptr < whole.ptr || part.ptr + part.len > whole.ptr + whole.len))
        abort();
}

/* A URL of one form has no other, and a link to a normalised URL is that URL. */
static void check_form(struct str url)
{
    struct buf one = {0}, two = {0}, three = {0};
    if (url_normalise(url, URL_STRIP_SESSION | URL_STRIP_TRACKING, &one)) {
        struct str form = buf_view(&one);
        if (form.len > URL_BYTES_MAX ||
            !url_normalise(form, URL_STRIP_SESSION | URL_STRIP_TRACKING, &two) ||
            !str_eq(form, buf_view(&two)))
            abort();
        check_inside(url_origin(form), form);
        check_inside(url_host(form), form);
        check_inside(url_target(form), form);
        check_inside(url_domain(url_host(form)), form);
        if (!url_join(STR("https://b.example/c/d?e"), form, &three) ||
            !str_eq(form, buf_view(&three)))
            abort();
    }
    buf_clear(&one);
    if (url_join(STR("https://b.example/c/d?e"), url, &one) && one.len > 4 * URL_BYTES_MAX)
        abort();
    buf_free(&one);
    buf_free(&two);
    buf_free(&three);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str url = {(const char *)data, size};
    struct url_parts parts;
    static struct arena a; /* its pages are kept: mapping them anew took half the time */
    struct buf one = {0}, two = {0};
    if (!a.base && arena_open(&a, 8 << 20) < 0)
        return 0;
    bool is_url = url_split(url, &parts);
    if (is_url) {
        check_inside(parts.scheme, url);
        check_inside(parts.host, url);
        check_inside(parts.port, url);
        check_inside(parts.path, url);
        check_inside(parts.query, url);
        if (parts.scheme.len + parts.host.len + parts.path.len + parts.query.len > size)
            abort();
    }
    struct str host = url_host_lower(&a, url);
    if (host.len > size || (!is_url && host.len))
        abort();
    for (size_t i = 0; i < host.len; i++)
        if (host.ptr[i] >= 'A' && host.ptr[i] <= 'Z')
            abort();
    check_form(url);
    url_surt(url, &one);
    url_surt(url, &two);
    if (one.failed || !str_eq(buf_view(&one), buf_view(&two)) || one.len > 3 * size + 16)
        abort();
    buf_free(&one);
    buf_free(&two);
    arena_reset(&a, 0);
    return 0;
}

/* fuzz_http - any bytes as an HTTP response block: chunks and encodings undone within bounds. */
#include "crawl/warc.h"
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>

enum { BODY_MAX = 64 << 10, ARENA = 16 << 20 };

static void check_inside(struct str part, struct str whole)
{
    if (!part.len)
        return;
    if (part.ptr < whole.ptr || part.ptr + part.len > whole.ptr + whole.len)
        abort();
}

static bool same(const struct http_response *one, const struct http_response *two)
{
    return one->status == two->status && one->too_large == two->too_large &&
           one->partial == two->partial && str_eq(one->body, two->body) &&
           str_eq(one->charset, two->charset) && str_eq(one->content_type, two->content_type);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str block = {(const char *)data, size};
    struct http_response http, again;
    static struct arena a; /* its pages are kept: mapping them anew took half the time */
    if (!a.base && arena_open(&a, ARENA) < 0)
        return 0;
    if (http_parse(&a, block, BODY_MAX, &http) == 0) {
        volatile unsigned char touched = 0;
        check_inside(http.header, block);
        check_inside(http_field(http.header, "content-type"), http.header);
        if (http.too_large && http.body.len)
            abort();
        if (http.body.len > (size > BODY_MAX ? size : BODY_MAX))
            abort();
        for (size_t i = 0; i < http.body.len; i++)
            touched = (unsigned char)(touched ^ (unsigned char)http.body.ptr[i]);
        if (http_parse(&a, block, BODY_MAX, &again) == 0 && !same(&http, &again))
            abort();
        arena_reset(&a, 0);
        if (http_parse(&a, block, 0, &http) == 0 && http.body.len > size)
            abort();
    }
    arena_reset(&a, 0);
    return 0;
}

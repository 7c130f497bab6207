/* fuzz_cdx - any bytes as lines of a URL index; what is read is written and read again the same. */
#include "core/err.h"
#include "crawl/cdx.h"
#include "crawl/cdx_piece.h"
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>

enum { INFLATED_MAX = 1 << 20 };

static bool same(const struct cdx_row *one, const struct cdx_row *two)
{
    return str_eq(one->key, two->key) && str_eq(one->timestamp, two->timestamp) &&
           str_eq(one->url, two->url) && str_eq(one->mime, two->mime) &&
           str_eq(one->status, two->status) && str_eq(one->digest, two->digest) &&
           str_eq(one->filename, two->filename) && one->offset == two->offset &&
           one->length == two->length;
}

static void check_rows(struct cdx_set *first, struct cdx_set *second)
{
    struct buf line = {0};
    for (size_t i = 0; i < first->count; i++) {
        buf_clear(&line);
        cdx_put_line(&line, &first->row[i]);
        struct str text = buf_view(&line);
        if (text.len && text.ptr[text.len - 1] == '\n')
            text.len--;
        if (memchr(text.ptr, '\n', text.len))
            abort();
        if (cdx_line(second, text, NULL, NULL) != 1 || !same(&first->row[i], &second->row[i]))
            abort();
    }
    buf_free(&line);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str rest = {(const char *)data, size};
    struct cdx_set first, second;
    struct cdx_pattern pattern;
    struct buf inflated = {.max = INFLATED_MAX};
    char text[256];
    if (cdx_set_open(&first) < 0 || cdx_set_open(&second) < 0)
        return 0;
    cdx_piece_inflate(rest, &inflated);
    buf_free(&inflated);
    struct str head = str_cut(rest, '\n', &rest);
    snprintf(text, sizeof text, "%.*s", (int)(head.len < 255 ? head.len : 255),
             head.len ? head.ptr : "");
    if (cdx_pattern_parse(&pattern, text, "auto") < 0)
        err_clear();
    else
        cdx_pattern_fits(&pattern, str_slice(rest, 0, 64));
    while (rest.ptr) {
        struct str line = str_cut(rest, '\n', &rest);
        if (cdx_line(&first, line, NULL, NULL) < 0)
            abort();
    }
    check_rows(&first, &second);
    cdx_settle(&second, 3);
    if (second.count > 3)
        abort();
    cdx_set_close(&first);
    cdx_set_close(&second);
    return 0;
}

/* fuzz_gzip - any bytes as a gzip download that arrives in pieces: the verdict and the ends of
 * members are the same whatever the pieces, and zlib agrees with what is called whole. */
#include "crawl/gzip_check.h"
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

/* Feeds in pieces of step bytes; the bytes that stand behind the last whole member. */
static bool feed(struct gzip_check *g, const uint8_t *data, size_t size, size_t step,
                 uint64_t *open)
{
    bool good = true;
    gzip_check_reset(g, false);
    for (size_t at = 0; at < size && good; at += step) {
        good = gzip_check_feed(g, data + at, step < size - at ? step : size - at);
        if (gzip_check_open_bytes(g) > size)
            abort();
    }
    *open = gzip_check_open_bytes(g);
    return good;
}

/* zlib's view: every member whole, and only zeros behind them. */
static bool is_whole(const uint8_t *data, size_t size)
{
    z_stream z = {.next_in = (Bytef *)(uintptr_t)data, .avail_in = (uInt)size};
    char scratch[1 << 14];
    bool whole = true;
    if (inflateInit2(&z, 31) != Z_OK)
        return false;
    while (whole && z.avail_in && (*z.next_in || z.next_in == data)) {
        int rc;
        do {
            z.next_out = (Bytef *)scratch;
            z.avail_out = sizeof scratch;
            rc = inflate(&z, Z_NO_FLUSH);
        } while (rc == Z_OK);
        whole = rc == Z_STREAM_END && inflateReset(&z) == Z_OK;
    }
    for (; z.avail_in; z.avail_in--)
        whole = whole && *z.next_in++ == 0;
    inflateEnd(&z);
    return whole && size;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct gzip_check *g;
    uint64_t open[3];
    if (!g && !(g = gzip_check_open()))
        return 0;
    bool at_once = feed(g, data, size, size ? size : 1, &open[0]);
    bool whole = at_once && gzip_check_whole(g);
    bool by_seven = feed(g, data, size, 7, &open[1]);
    if (at_once != by_seven || (at_once && open[0] != open[1]))
        abort();
    if (by_seven && gzip_check_whole(g) != whole)
        abort();
    if (size < 4096 && feed(g, data, size, 1, &open[2]) != at_once)
        abort();
    if (whole != (open[0] == 0 && at_once && size) || (whole && !is_whole(data, size)))
        abort();
    return 0;
}

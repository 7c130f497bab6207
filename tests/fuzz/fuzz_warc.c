/* fuzz_warc - any bytes as a web archive, read to the end, HTTP responses parsed. */
#include "crawl/crawl.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct warc_reader *r;
    struct warc_record rec;
    struct http_response http;
    struct arena a;
    if (arena_open(&a, 64 << 20) < 0)
        return 0;
    if (warc_open(&r, fuzz_file(data, size), 1 << 20) >= 0) {
        while (warc_next(r, &rec) > 0) {
            http_parse(&a, rec.body, 1 << 20, &http);
            arena_reset(&a, 0);
        }
        warc_close(r);
    }
    arena_close(&a);
    return 0;
}

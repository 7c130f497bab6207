/* fuzz_html - any bytes as a web page: charset, skeleton, Gumbo, main text. */
#include "extract/extract.h"

#include <stdlib.h>
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct extract_scratch *scratch;
    struct extract_conf conf = {.depth_max = 512, .memory_max = 64 << 20, .time_max_ms = 4000};
    struct extract_out out;
    struct str text;
    struct arena a;
    const char *name;
    uint64_t replaced;
    if (!scratch && extract_scratch_open(&scratch, &conf) < 0)
        return 0;
    if (arena_open(&a, 256 << 20) < 0)
        return 0;
    if (charset_to_utf8(&a, (struct str){(const char *)data, size}, (struct str){0}, &text, &name,
                        &replaced) >= 0) {
        if (!utf8_valid(text))
            abort();
        if (extract_main(scratch, &a, text, &out) == EXTRACT_OK && !utf8_valid(out.text))
            abort();
    }
    arena_close(&a);
    return 0;
}

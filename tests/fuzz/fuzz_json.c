/* fuzz_json - any bytes through the JSON parser. */
#include "core/json.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena a;
    struct json *root;
    if (arena_open(&a, 64 << 20) < 0)
        return 0;
    json_parse(&a, (struct str){(const char *)data, size}, &root);
    arena_close(&a);
    return 0;
}

/* fuzz_toml - any bytes as a recipe. */
#include "tests/conf_canonical.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena a;
    struct conf_node *root;
    struct buf out = {0};
    if (arena_open(&a, 64 << 20) < 0)
        return 0;
    if (conf_parse(&a, "fuzz", (struct str){(const char *)data, size}, &root) >= 0)
        conf_canonical(root, &out);
    buf_free(&out);
    arena_close(&a);
    return 0;
}

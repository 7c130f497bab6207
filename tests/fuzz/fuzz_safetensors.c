/* fuzz_safetensors - any bytes as a safetensors file. */
#include "model/model.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct safetensor *t;
    struct arena a;
    int count;
    if (arena_open(&a, 256 << 20) < 0)
        return 0;
    safetensors_read(fuzz_file(data, size), &a, &t, &count);
    arena_close(&a);
    return 0;
}

/* fuzz_tokenizer - any bytes as a tokenizer.json or a rank file. */
#include "tokenize/tokenize.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tokenizer *t;
    if (tokenizer_open(&t, fuzz_file(data, size)) >= 0)
        tokenizer_close(t);
    return 0;
}

/* fuzz_fasttext - any bytes as a fastText model: refused, or safe to predict with. */
#include "classify/classify.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fasttext *m;
    struct score top[4];
    struct str text = {"some words to predict with", 26};
    if (fasttext_open(&m, fuzz_file(data, size)) >= 0) {
        fasttext_predict(m, text, top, 4);
        fasttext_close(m);
    }
    return 0;
}

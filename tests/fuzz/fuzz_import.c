/* fuzz_import - any bytes as token files of others: refused, or documents of sound ids. The first
 * byte names format and width, two how many bytes are the index's; the rest are the tokens'. */
#include "store/exchange.h"
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>

enum { VOCAB = 1000, SEPARATOR = 7 };

static const char *pair_file(int which, const uint8_t *data, size_t size)
{
    static int fd[2] = {-1, -1};
    static char path[2][64];
    if (fd[which] >= 0)
        close(fd[which]);
    fd[which] = memfd_create("fuzz", 0);
    if (fd[which] < 0 || write(fd[which], data, size) != (ssize_t)size)
        return "/nonexistent";
    snprintf(path[which], sizeof path[which], "/proc/self/fd/%d", fd[which]);
    return path[which];
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct import *in;
    struct import_doc doc;
    uint64_t ids = 0, place = 0;
    if (size < 3)
        return 0;
    size_t index_bytes = data[1] | (size_t)data[2] << 8, rest = size - 3;
    index_bytes = index_bytes < rest ? index_bytes : rest;
    struct import_conf conf = {.format = (enum store_format)(data[0] & 3),
                               .vocab_size = data[0] & 8 ? STORE_VOCAB_MAX : VOCAB,
                               .separator = SEPARATOR,
                               .width = data[0] & 4 ? 4 : 2};
    bool indexed = conf.format == STORE_MEGATRON || conf.format == STORE_DATATROVE;
    if (!indexed)
        index_bytes = 0;
    struct import_file file = {.tokens = pair_file(0, data + 3 + index_bytes, rest - index_bytes)};
    if (indexed)
        file.index = pair_file(1, data + 3, index_bytes);
    /* The same pair twice: documents may run from one into the other. */
    struct import_file files[] = {file, file};
    if (import_open(&in, &conf, files, 2) < 0)
        return 0;
    for (uint64_t count = 0; import_next(in, &doc) > 0; count++) {
        uint64_t own = (uint64_t)doc.file << 32 | doc.record;
        if (doc.file > 1 || (count && own <= place))
            abort();
        place = own;
        ids += doc.count;
        for (uint32_t i = 0; i < doc.count; i++)
            if (doc.ids[i] >= conf.vocab_size || doc.ids[i] == SEPARATOR)
                abort();
    }
    if (ids > 2 * (uint64_t)rest)
        abort();
    import_close(in);
    return 0;
}

/* replay - runs a fuzz target over the files of a folder and over mutations of them: what CI does
 * without clang. */
#include "core/io.h"
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { FILE_MAX = 1 << 20, MUTATIONS = 300, LIMIT_SECONDS = 20 };

static uint64_t state = 1;
static uint64_t draw(void) { return hash_mix(state++); }

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void mutate(uint8_t *data, size_t *size)
{
    for (uint64_t n = 1 + draw() % 4; n && *size; n--) {
        size_t at = draw() % *size;
        switch (draw() % 4) {
        case 0: data[at] = (uint8_t)draw(); break;
        case 1: data[at] ^= (uint8_t)(1 << draw() % 8); break;
        case 2: *size = at; break;
        default: memmove(data + at, data + at + 1, *size - at - 1), --*size; break;
        }
    }
}

int main(int argc, char **argv)
{
    struct arena a;
    const char **path;
    size_t count;
    double begin = seconds();
    if (argc != 2 || arena_open(&a, 64 << 20) < 0 || io_glob(argv[1], &a, &path, &count) < 0) {
        fprintf(stderr, "replay: name one folder with inputs\n");
        return 2;
    }
    uint64_t runs = 0;
    for (size_t i = 0; i < count; i++) {
        char *bytes;
        size_t len;
        if (io_read_file(path[i], FILE_MAX, &bytes, &len) < 0)
            return 2;
        LLVMFuzzerTestOneInput((const uint8_t *)bytes, len);
        runs++;
        for (int m = 0; m < MUTATIONS && seconds() - begin < LIMIT_SECONDS; m++, runs++) {
            size_t size = len;
            uint8_t *copy = malloc(len + 1); /* its own block, so that ASan sees its end */
            if (!copy)
                return 2;
            memcpy(copy, bytes, len);
            mutate(copy, &size);
            LLVMFuzzerTestOneInput(copy, size);
            free(copy);
        }
        free(bytes);
    }
    printf("%s: %llu inputs of %zu seeds, %.1f s\n", argv[1], (unsigned long long)runs, count,
           seconds() - begin);
    arena_close(&a);
    return 0;
}

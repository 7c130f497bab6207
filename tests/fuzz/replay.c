/* replay - runs a fuzz target over the files of a folder and over mutations of them: what CI does
 * without clang. */
#include "core/err.h"
#include "core/io.h"
#include "tests/fuzz/fuzz.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { FILE_MAX = 1 << 20, MUTATIONS = 2000, INPUT_SECONDS = 5 };

static uint64_t state = 1;
static double slowest;
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

/* What runs now, and where it goes when the target gives up on it. */
static const uint8_t *now;
static size_t now_size;
static void keep_input(int signal_number)
{
    static const char path[] = "/tmp/fuzz-replay-input", text[] = "\nreplay: input kept: ";
    int file = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    bool kept = file >= 0 && write(file, now, now_size) == (ssize_t)now_size;
    if (kept && write(2, text, sizeof text - 1) + write(2, path, sizeof path - 1) > 0)
        close(file);
    signal(signal_number, SIG_DFL);
    raise(signal_number);
}

static double seconds_used(void) { return (double)clock() / CLOCKS_PER_SEC; }

/* A block of its own for every input, so that ASan sees its end. One that takes seconds of the
 * processor, however busy the machine, is a fault as much as a crash. */
static void run_copy(struct str seed, bool mutated)
{
    size_t size = seed.len;
    uint8_t *copy = malloc(size + 1);
    if (!copy)
        exit(2);
    memcpy(copy, seed.ptr, size);
    if (mutated)
        mutate(copy, &size);
    copy = realloc(copy, size ? size : 1);
    now = copy;
    now_size = size;
    double begin = seconds_used();
    LLVMFuzzerTestOneInput(copy, size);
    double took = seconds_used() - begin;
    slowest = took > slowest ? took : slowest;
    if (took > INPUT_SECONDS) {
        fprintf(stderr, "replay: an input of %zu bytes took %.1f s; its first:", size, took);
        for (size_t i = 0; i < size && i < 64; i++)
            fprintf(stderr, " %02x", copy[i]);
        fprintf(stderr, "\n");
        exit(1);
    }
    free(copy);
}

int main(int argc, char **argv)
{
    struct arena a;
    const char **path;
    size_t count;
    double begin = seconds(), limit = 10;
    if (argc == 3 && !str_f64(str_of(argv[2]), &limit))
        argc = 0;
    if (argc < 2 || argc > 3 || arena_open(&a, 64 << 20) < 0 ||
        io_glob(argv[1], &a, &path, &count) < 0) {
        fprintf(stderr,
                "replay: name one folder with inputs, and how many seconds to mutate them\n");
        return 2;
    }
    signal(SIGABRT, keep_input);
    signal(SIGSEGV, keep_input);
    struct str *seed = arena_array(&a, struct str, count);
    for (size_t i = 0; i < count; i++) {
        char *bytes;
        if (!seed || io_read_file(path[i], FILE_MAX, &bytes, &seed[i].len) < 0) {
            fprintf(stderr, "replay: %s\n", err_text());
            return 2;
        }
        seed[i].ptr = bytes;
        run_copy(seed[i], false);
    }
    uint64_t runs = count;
    /* Seed by seed in turn: where time ends early, each has had its share. */
    for (int m = 0; m < MUTATIONS && count; m++)
        for (size_t i = 0; i < count && seconds() - begin < limit; i++, runs++)
            run_copy(seed[i], true);
    for (size_t i = 0; i < count; i++)
        free((char *)(uintptr_t)seed[i].ptr);
    printf("%s: %llu inputs of %zu seeds, %.1f s, slowest %.3f s\n", argv[1],
           (unsigned long long)runs, count, seconds() - begin, slowest);
    arena_close(&a);
    return count ? 0 : 2;
}

/* bench - CPU time of the program's parts over real or made input, one row a measurement.
 *
 *   bench warc FILE                    reading records; reading and undoing HTTP
 *   bench inflate FILE                 raw ISA-L inflate of a .warc.gz, and reading it
 *   bench extract FILE [OUT [MODE]]    pages in memory to main text; OUT: where the texts go
 *   bench stages FILE                  each stage of a run, over every document that has a text
 *   bench settle DOCS DIR              near-duplicates: signing, settling, over made documents
 *   bench encode TOKENIZER DOCS [IDS]  text to tokens; IDS: where the ids go, as u32
 *   bench passes TOKENIZER DOCS IDS [WARM]  the same, cold and warm; IDS: as count and ids
 *   bench bpe DOCS VOCAB PRETOK DIR    learning a tokenizer
 *   bench language MODEL DOCS [LABELS] language of each text; LABELS: where the answers go
 *   bench store DOCS DIR               writing a store, reading it through the loader
 *   bench windows DIR MEGABYTES        windows of a store beside those of a flat file
 *   bench jumps DIR                    finding any row of a long plan
 *   bench build TOKENIZER DOCS DIR     text to tokens, and to a store
 *   bench gemm                         matrix products of one thread
 *
 * FILE: WARC or jsonl; DOCS: jsonl with "text". Everything runs on one thread. */
#include "tests/bench/bench.h"

#include "core/json.h"

#include <stdlib.h>
#include <time.h>

enum { JSON_ARENA = 64 << 20 };

static double clock_read(clockid_t id)
{
    struct timespec t;
    clock_gettime(id, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

double cpu_now(void) { return clock_read(CLOCK_PROCESS_CPUTIME_ID); }
double wall_now(void) { return clock_read(CLOCK_MONOTONIC); }

struct lap lap_begin(void) { return (struct lap){cpu_now(), wall_now()}; }

void row(const char *name, uint64_t count, const char *unit, uint64_t bytes, double cpu,
         double wall)
{
    printf("%s\t%llu\t%s\t%llu\t%.6f\t%.6f\n", name, (unsigned long long)count, unit,
           (unsigned long long)bytes, cpu, wall);
}

void lap_row(struct lap from, const char *name, uint64_t count, const char *unit, uint64_t bytes)
{
    row(name, count, unit, bytes, cpu_now() - from.cpu, wall_now() - from.wall);
}

void need(int rc)
{
    if (rc >= 0)
        return;
    fprintf(stderr, "bench: %s\n", err_text());
    exit(1);
}

void docs_read(struct docs *d, const char *path)
{
    struct io_reader *r;
    struct arena a;
    struct str line;
    size_t *end = NULL, room = 0;
    int rc;
    *d = (struct docs){.all = {.max = (size_t)4 << 30}};
    need(arena_open(&a, JSON_ARENA));
    need(io_open(&r, path));
    while ((rc = io_read_line(r, &line)) > 0) {
        struct json *value;
        arena_reset(&a, 0);
        need(json_parse(&a, line, &value));
        buf_str(&d->all, json_str(value, "text", STR("")));
        if (d->count == room) {
            room = room ? room * 2 : 1024;
            end = realloc(end, room * sizeof *end);
            need(end ? 0 : err_set(ERR_LIMIT, "no memory for %zu documents", room));
        }
        end[d->count++] = d->all.len;
    }
    need(rc);
    need(d->all.failed ? err_set(ERR_LIMIT, "%s: no memory for the texts", path) : 0);
    io_close(r);
    arena_close(&a);
    d->text = calloc(d->count + 1, sizeof *d->text);
    need(d->text ? 0 : err_set(ERR_LIMIT, "no memory for %u documents", d->count));
    for (uint32_t i = 0; i < d->count; i++) {
        size_t start = i ? end[i - 1] : 0;
        d->text[i] = (struct str){d->all.ptr + start, end[i] - start};
    }
    d->bytes = d->all.len;
    free(end);
}

void docs_free(struct docs *d)
{
    free(d->text);
    buf_free(&d->all);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        int args;
        void (*run)(char **argv);
    } subjects[] = {
        {"warc", 1, bench_warc},         {"stages", 1, bench_stages}, {"settle", 2, bench_settle},
        {"encode", 2, bench_encode},     {"bpe", 4, bench_bpe},       {"store", 2, bench_store},
        {"language", 2, bench_language}, {"gemm", 0, bench_gemm},     {"inflate", 1, bench_inflate},
        {"extract", 1, bench_extract},   {"passes", 3, bench_passes}, {"windows", 2, bench_windows},
        {"jumps", 1, bench_jumps},       {"build", 3, bench_build},
    };
    for (size_t i = 0; argc > 1 && i < COUNT_OF(subjects); i++) {
        if (strcmp(argv[1], subjects[i].name) == 0 && argc - 2 >= subjects[i].args) {
            subjects[i].run(argv + 2);
            return 0;
        }
    }
    fprintf(stderr, "bench: see the head of tests/bench/bench.c for subjects and arguments\n");
    return 2;
}

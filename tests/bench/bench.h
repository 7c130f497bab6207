/* bench - what the measuring programs share: a clock of CPU seconds, rows of results, documents. */
#ifndef SLUICE_TESTS_BENCH_BENCH_H
#define SLUICE_TESTS_BENCH_BENCH_H
#include "core/err.h"
#include "core/io.h"

/* CPU seconds (user and system) of this process, or wall seconds. */
double cpu_now(void);
double wall_now(void);

/* One row: name, count of what, bytes, CPU and wall seconds, split by tabs. With repetitions each
 * prints its row: the reader takes the best. */
struct lap {
    double cpu, wall;
};
struct lap lap_begin(void);
void lap_row(struct lap from, const char *name, uint64_t count, const char *unit, uint64_t bytes);
void row(const char *name, uint64_t count, const char *unit, uint64_t bytes, double cpu,
         double wall);

/* Ends the program with the pending error when rc is negative. */
void need(int rc);

/* The texts of a jsonl file (field "text"), in memory. */
struct docs {
    struct str *text;
    uint32_t count;
    uint64_t bytes;
    struct buf all;
};
void docs_read(struct docs *d, const char *path);
void docs_free(struct docs *d);

/* Subjects; argv holds what follows the subject's name, NULL-ended. */
void bench_warc(char **argv);
void bench_inflate(char **argv);
void bench_extract(char **argv);
void bench_stages(char **argv);
void bench_settle(char **argv);
void bench_encode(char **argv);
void bench_passes(char **argv);
void bench_bpe(char **argv);
void bench_language(char **argv);
void bench_store(char **argv);
void bench_windows(char **argv);
void bench_jumps(char **argv);
void bench_build(char **argv);
void bench_gemm(char **argv);
#endif

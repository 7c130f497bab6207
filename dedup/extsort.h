/* extsort - inside dedup: sorts more fixed-size records than fit in memory, by their first two
 * numbers. */
#ifndef SLUICE_DEDUP_EXTSORT_H
#define SLUICE_DEDUP_EXTSORT_H
#include "core/io.h"

enum { EXTSORT_WORDS_MAX = 16, EXTSORT_MEMORY_MIN = 64 << 10 };
/* Records are `words` u64 each, ordered by word 0, then word 1; the pair must be unique for the
 * order of the others to be defined. Memory stays below `memory` bytes (EXTSORT_MEMORY_MIN at
 * least); what does not fit goes as sorted runs to a file in work_dir that has no name, so that
 * nothing is left behind whatever happens. expect: how many records may come (a bound for the first
 * allocation). */
struct extsort;
int extsort_open(struct extsort **out, uint32_t words, uint64_t memory, uint64_t expect,
                 const char *work_dir);
int extsort_add(struct extsort *s, const uint64_t *record);
/* Ends adding; then extsort_next hands out records in order: 1 a record (valid until the next
 * call), 0 the end. */
int extsort_finish(struct extsort *s);
int extsort_next(struct extsort *s, const uint64_t **record);
uint32_t extsort_runs(
    const struct extsort *s);          /* spilled runs so far: 0 when all fitted in memory */
void extsort_close(struct extsort *s); /* NULL is fine */
#endif

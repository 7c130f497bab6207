/* ledger - one row for every input record, kept or dropped, with all its signals and its verdict.
 */
#ifndef SLUICE_CORE_LEDGER_H
#define SLUICE_CORE_LEDGER_H
#include "core/doc.h"
#include "core/parquet.h"

/* Files: RUN/ledger/NNNNN.parquet, one an input file, rows in record order. Columns: id u64, url,
 * source (input file), offset u64, record u32, host, lang, raw_bytes u32, text_bytes u32, verdict
 * (kept, dropped, heldout), stage, rule, value f32, threshold f32, also (every rule that would have
 * dropped it, joined by spaces), dup_of (url of the survivor), cluster u64, cluster_size u32,
 * domain, tokens u32, then one f32 column per signal ("signal.gopher.words"), null where not
 * measured. */
struct ledger_row {
    uint64_t id, offset, cluster;
    uint32_t record, raw_bytes, text_bytes, cluster_size, tokens;
    struct str url, host, lang, verdict, stage, rule, also, dup_of, domain;
    float value, threshold;
    const float *signal; /* [schema.signal_count] */
};
struct ledger_writer;
int ledger_create(struct ledger_writer **out, const char *path, const char *source,
                  const struct schema *schema);
int ledger_add(struct ledger_writer *w, const struct ledger_row *row);
int ledger_commit(struct ledger_writer *w, struct io_info *info);
void ledger_abandon(struct ledger_writer *w);

/* Walks every row of a run's ledger files in order; fn returns 0 to go on, 1 to stop, <0 for an
 * error. Strings and signals live for the call only. The schema (signal and rule names with
 * thresholds) is rebuilt from the file's metadata and passed along. */
typedef int ledger_fn(void *arg, const struct ledger_row *row, struct str source,
                      const struct schema *schema);
int ledger_walk(const char *run_dir, ledger_fn *fn, void *arg);
#endif

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

/* ---- one file, and of it only the columns that are asked for ---- */
enum ledger_column {
    LEDGER_ID,
    LEDGER_URL,
    LEDGER_SOURCE,
    LEDGER_OFFSET,
    LEDGER_RECORD,
    LEDGER_HOST,
    LEDGER_LANG,
    LEDGER_RAW_BYTES,
    LEDGER_TEXT_BYTES,
    LEDGER_VERDICT,
    LEDGER_STAGE,
    LEDGER_RULE,
    LEDGER_VALUE,
    LEDGER_THRESHOLD,
    LEDGER_ALSO,
    LEDGER_DUP_OF,
    LEDGER_CLUSTER,
    LEDGER_CLUSTER_SIZE,
    LEDGER_DOMAIN,
    LEDGER_TOKENS,
    LEDGER_COLUMNS
};
extern const struct pq_column ledger_columns[LEDGER_COLUMNS]; /* their names and types */
struct ledger_need {
    bool column[LEDGER_COLUMNS], signal[SIGNALS_MAX];
};
/* Called with each row in order; returns 0 to go on, 1 to stop, <0 for an error. Strings and
 * signals live for the call only. The schema (signal and rule names with thresholds) is rebuilt
 * from the file's metadata and passed along. */
typedef int ledger_fn(void *arg, const struct ledger_row *row, struct str source,
                      const struct schema *schema);
/* One thread at a time. The schema lives until ledger_close. */
struct ledger_reader;
int ledger_open(struct ledger_reader **out, const char *path);
const struct schema *ledger_schema(const struct ledger_reader *r);
/* All rows; what is not needed is neither read nor unpacked, but empty, 0 or NaN. NULL: all is
 * needed. Returns 1 when fn stopped it. */
int ledger_rows(struct ledger_reader *r, const struct ledger_need *need, ledger_fn *fn, void *arg);
void ledger_close(struct ledger_reader *r); /* NULL is fine */

/* ---- a run's ledger ---- */
/* The folder whose ledger, store, tokenizer and held-out text a run uses: run_dir itself, or the
 * run it was told to train on ([store] path), which RUN/base.json names. */
enum { LEDGER_BASE_MAX = 64 << 10 }; /* bytes of a base.json */
int ledger_base(const char *run_dir, char out[IO_PATH_MAX]);
/* Walks every row of a run's ledger files in order: those of ledger_base(run_dir). */
int ledger_walk(const char *run_dir, ledger_fn *fn, void *arg);
#endif

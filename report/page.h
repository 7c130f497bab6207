/* page - what the sections of one report share. */
#ifndef SLUICE_REPORT_PAGE_H
#define SLUICE_REPORT_PAGE_H
#include "core/json.h"
#include "report/curves.h"
#include "report/gather.h"

enum {
    PAGE_STAGES_MAX = 256,
    PAGE_SAMPLES_KEPT = 12,
    PAGE_SAMPLES_DROPPED = 48,
    PAGE_SAMPLES_RULE = 3,
    PAGE_SAMPLES_READ = 8 * PAGE_SAMPLES_DROPPED
};

/* A dropped page: its bytes in dropped_samples, and how many pages its rule dropped. */
struct page_sample {
    size_t begin, end;
    uint64_t drops;
};
/* Stages in the order of the recipe, then those only the ledger knows. */
struct page_stage {
    char name[48];
    uint64_t dropped;
};
struct page {
    const char *run_dir;
    struct arena arena;                    /* of the JSON files */
    const struct json *run, *store, *eval; /* NULL when absent */
    const struct json *vocabulary;         /* tokenizer/report.json of the run whose text it is */
    struct gather *gather;
    struct curves *curves;
    bool has_ledger, has_curves;
    struct page_stage stage[PAGE_STAGES_MAX];
    int stage_count;
    struct buf kept_samples, dropped_samples; /* HTML */
    int kept_sample_count, dropped_sample_count;
    struct page_sample dropped_sample[PAGE_SAMPLES_READ]; /* of the busiest rules first */
    struct buf warnings; /* one a line, as plain text */
    int warning_count;
};
void page_warn(struct page *p, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* Reads RUN/samples.jsonl into the two lists of samples. */
int page_read_samples(struct page *p);
/* Notes what did nothing: stages, rules and signals. */
void page_find_idle(struct page *p);

/* Sections; each appends nothing when there is nothing to show. */
void page_put_headline(const struct page *p, struct buf *to);
void page_put_funnel(const struct page *p, struct buf *to);
void page_put_rules(const struct page *p, struct buf *to);
void page_put_languages(const struct page *p, struct buf *to);
void page_put_signals(const struct page *p, struct buf *to);
void page_put_samples(const struct page *p, struct buf *to);
void page_put_duplicates(const struct page *p, struct buf *to);
void page_put_vocabulary(const struct page *p, struct buf *to);
void page_put_mixture(const struct page *p, struct buf *to);
void page_put_training(const struct page *p, struct buf *to);
void page_put_eval(const struct page *p, struct buf *to);
void page_put_provenance(const struct page *p, struct buf *to);

/* The same figures for programs. */
void page_put_json(const struct page *p, struct buf *to);
#endif

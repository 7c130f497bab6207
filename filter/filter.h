/* filter - heuristic rules over a document: each measures named signals, then judges them. */
#ifndef SLUICE_FILTER_FILTER_H
#define SLUICE_FILTER_FILTER_H
#include "core/pipe.h"

/* One filter is one file and one row of filters.def. `measure` fills out[] in the order of
 * signals[]; rules[] look at those numbers alone, so that thresholds can be replayed from the
 * ledger. A signal that does not apply to a document is NaN, and NaN trips no rule. */
enum { FILTER_SIGNALS_MAX = 32, FILTER_RULES_MAX = 32 };
struct filter_rule {
    const char *name;
    int signal; /* index in signals[], -1 none */
    int sense;
    size_t threshold_offset; /* of a double in conf */
};
struct filter {
    const char *name, *help, *source; /* source: paper and table */
    const struct opt *opts;
    size_t conf_size;
    const char *const *signals; /* NULL-ended, "words": becomes "<filter>.words" */
    const char *const *units;   /* NULL-ended, parallel to signals */
    const struct filter_rule *rules;
    int rule_count;
    void (*measure)(struct batch *b, struct doc *d, const void *conf, void *scratch, float *out);
    int (*rewrite)(struct batch *b, struct doc *d, const void *conf); /* optional, before measure */
    size_t scratch_size; /* per thread, zeroed once; measure may keep tables in it */
    int (*open)(void *conf, struct arena *a); /* optional: load lists named in conf */
    bool before_extract;                      /* looks at the URL only */
};
#define FILTER(name) extern const struct filter filter_##name;
#include "filter/filters.def"
#undef FILTER
extern const struct filter *const filters[]; /* NULL-ended, in filters.def's order */
/* The stage that runs one filter; NULL when there is none of that name. Its conf is the filter's
 * conf, its signals are "<filter>.<signal>" and its rules "<filter>.<rule>". The pointer is good
 * for ever. */
const struct stage_type *filter_stage(const char *name);
/* A rule drops when its signal is above (sense +1) or below (-1) its threshold, both rounded to
 * float, so that a value exactly at the threshold stays. 0: none does; else k, where rules[k - 1]
 * is the first that does. Bit k - 1 of *all is set for every one that does. */
int filter_judge(const struct filter *f, const void *conf, const float *signal, uint32_t *all);
/* Number of signals of f. */
int filter_signal_count(const struct filter *f);
#endif

/* gather - two walks over a ledger, and every figure of it that the report shows. */
#ifndef SLUICE_REPORT_GATHER_H
#define SLUICE_REPORT_GATHER_H
#include "core/ledger.h"

enum {
    GATHER_BINS_MAX = 96,
    GATHER_SAMPLE = 8192,    /* rows whose signals are kept for quantiles: those of least hash */
    GATHER_NAMES_MAX = 1024, /* rules, stages or languages told apart; more share the last one */
    GATHER_CLUSTERS = 10,    /* largest duplicate clusters that are shown */
    GATHER_MEMBERS = 4,      /* urls shown of each */
    GATHER_SIZES = 20,       /* classes of cluster sizes: 2, 3-4, 5-8, 9-16, ... */
    GATHER_URL_BYTES = 512,  /* kept of a url */
    GATHER_QUANTILES = 9,
};
/* The shares at which a signal's quantiles are taken. */
extern const double gather_quantile_at[GATHER_QUANTILES];

/* Names in order of first sight, found by hash. Zero-initialise; nothing to free. */
struct names {
    int count;
    char name[GATHER_NAMES_MAX][48];
    uint16_t slot[4 * GATHER_NAMES_MAX];
};
int names_index(struct names *n, struct str name);      /* adds */
int names_find(const struct names *n, struct str name); /* -1 when absent */

struct rule_count {
    uint64_t first, total, only;
}; /* reason shown; would drop; nothing else would */
struct rule_about {
    int stage, signal, sense;
    double threshold;
    bool known;
}; /* known: in the schema */
struct lang_count {
    uint64_t kept, dropped, tokens;
};
struct signal_about {
    char name[48], unit[24];
    uint64_t measured;
    double least, most;                /* exact, over all rows; infinities are left out */
    double quantile[GATHER_QUANTILES]; /* of the sample */
    int bins;                          /* 0: not drawn (nothing measured, or one value only) */
    double edges[GATHER_BINS_MAX + 1];
    bool is_log;
    uint64_t all[GATHER_BINS_MAX], kept[GATHER_BINS_MAX]; /* outer bins take what lies beyond */
};
struct cluster {
    uint64_t id;
    uint32_t size;
    char survivor[GATHER_URL_BYTES];
    char member[GATHER_MEMBERS][GATHER_URL_BYTES];
    int members;
};
struct gather {
    uint64_t rows, kept, dropped, heldout, raw_bytes, text_bytes, kept_text_bytes, tokens;
    double hosts, kept_hosts; /* distinct, estimated to about 1 % */
    struct names rule, stage, lang;
    struct rule_count rule_count[GATHER_NAMES_MAX];
    struct rule_about rule_about[GATHER_NAMES_MAX];
    uint64_t stage_dropped[GATHER_NAMES_MAX];
    struct lang_count lang_count[GATHER_NAMES_MAX];
    struct signal_about signal[SIGNALS_MAX];
    int signal_count;
    uint64_t duplicates, duplicate_bytes, clusters, cluster_sizes[GATHER_SIZES];
    uint32_t largest_cluster;
    struct cluster cluster[GATHER_CLUSTERS]; /* largest first */
    int cluster_count;
    struct gather_work *work; /* while walking */
};
/* 1 when there was a ledger, 0 when RUN has none (all figures zero). Free *out with gather_free. */
int gather_ledger(const char *run_dir, struct gather **out);
void gather_free(struct gather *g);
/* First size of class i of cluster_sizes, and its last one. */
void gather_size_class(int index, uint32_t *first, uint32_t *last);
#endif

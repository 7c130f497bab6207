/* recipe - a run as its TOML file describes it, resolved: every default filled in, every key
 * checked. */
#ifndef SLUICE_COMMAND_RECIPE_H
#define SLUICE_COMMAND_RECIPE_H
#include "core/pipe.h"
#include "crawl/crawl.h"
#include "dedup/dedup.h"
#include "store/loader.h"
#include "tokenize/tokenize.h"
#include "train/train.h"

enum { RECIPE_STAGES_MAX = 48, RECIPE_ARENA = 64 << 20, VIEWS_MAX = 64 };

/* [run]: what does not change the bytes (threads, shards, memory) and the seed, which does. */
struct run_conf {
    const char *name;
    int64_t seed, threads, shards;
    uint64_t memory;
};
/* [source]: one of path (file, folder, glob or list of them) and crawl. */
struct source_conf {
    struct opt_list path;
    struct crawl_conf crawl;
    uint64_t record_max;
    bool keep_truncated;
};
/* [quality_train]: makes RUN/models/quality.bin from the input itself before pass 1. */
struct quality_train_conf {
    struct opt_list positive;      /* globs over URLs: pages like these are what we want more of */
    struct opt_list positive_text; /* or text files, a document a paragraph block */
    int64_t documents;             /* at most so many of each class, chosen by hash */
    int64_t epoch, dim, word_ngrams, bucket;
    double lr;
};
/* [[domain]]: first match names the domain of a kept document; what matches none is "web". */
struct domain_conf {
    const char *name;
    struct opt_list lang, host;
    const char *signal;
    double min, max;
};
struct heldout_conf {
    double share;
    int64_t documents_max;
};
struct tokenizer_conf {
    const char *path;
    int64_t vocab_size;
    const char *pretok, *digits;
    int64_t pair_min;
    struct opt_list special_tokens;
    const char *weights; /* "mixture", "text" */
    uint64_t sample_bytes;
    struct opt_list compare;
};
/* ERR_USAGE for a vocabulary that cannot be trained (command/tokenizer_task.c). */
int tokenizer_conf_check(const struct tokenizer_conf *conf);
struct corpus_conf {
    bool write;
};
/* [store]: a store that is there already, in place of a [source]. */
struct store_conf {
    const char *path;
};
/* [view.NAME] (command/views.h) */
struct view_conf {
    const char *name, *where;
};
/* Numbers by name of a domain or view; count 0: none are named. */
struct mixture_shares {
    int count;
    struct {
        const char *name;
        double weight;
    } part[LOADER_SOURCES_MAX];
};
/* [[phase]]: steps and tokens are settled by mixture_read. */
struct phase_conf {
    const char *name;
    int64_t steps, tokens, sequence;
    double rope_theta;
    struct mixture_shares mixture;
};
/* [mixture]: epochs are limits of their own; without phases there are two, stable and anneal. */
struct mixture_conf {
    double epochs_max, temperature;
    const char *spill;
    struct mixture_shares stable, anneal, epochs;
    struct phase_conf *phase; /* in the recipe's arena */
    int phase_count;
};

struct recipe {
    struct arena arena;
    struct conf_node *root;
    struct run_conf run;
    struct source_conf source;
    struct quality_train_conf quality;
    bool has_quality;
    struct heldout_conf heldout;
    struct tokenizer_conf tokenizer;
    struct corpus_conf corpus;
    struct domain_conf domain[STORE_DOMAINS_MAX];
    int domain_count;                     /* the last one is "web"; 0 when borrowed */
    int domain_signal[STORE_DOMAINS_MAX]; /* column of domain[i].signal, -1: none; known once stages
                                             are open */
    struct store_conf store;
    bool borrowed; /* [store] path is given: no pass runs, training uses that run's store */
    struct view_conf view[VIEWS_MAX];
    int view_count;
    struct mixture_conf mixture;
    struct model_conf model;
    struct train_conf train;
    bool has_train;
    struct bpb_conf eval;
    struct stage stage[RECIPE_STAGES_MAX];
    int stage_count; /* confs filled, not opened */
    struct dedup_conf dedup;
    bool has_dedup;
    struct schema schema; /* filled by recipe_open_stages */
    int opened;
    int rule_dup_exact, rule_dup_near;
    struct buf resolved; /* canonical TOML of all its keys */
    /* What decides the bytes: a line "seed N", then the TOML without [run], how a crawl is fetched,
     * and the mixture (with it, if a tokenizer is trained by it). */
    struct buf decides;
    /* Of `decides`; and of that with the mixture, for what the mixture decides: a training's
     * mixture may change for the phases ahead of it (train/train.h). A folder's run keeps those it
     * was begun with, also under a program that knows more keys (run_create). */
    char hash[33], train_hash[33];
};
/* The tables a recipe may have, for its manual; ends with name NULL. */
struct recipe_section {
    const char *name, *help;
    const struct opt *opts;
};
extern const struct recipe_section recipe_sections[];
/* The stages that are not filters (those: filters[] of filter/filter.h); NULL-ended. */
extern const struct stage_type *const recipe_stages[];

/* Loads path, applies assignments ("a.b=c"), fills and checks everything. */
int recipe_load(struct recipe *r, const char *path, const char *const *assignments, int count);
/* From the resolved text kept in RUN/recipe.toml. */
int recipe_load_text(struct recipe *r, const char *name, struct str text,
                     const char *const *assignments, int count);
/* Opens the stages in order (models load, rules register), at most the first `limit`; a later call
 * goes on where the last one stopped. run_dir may be NULL. Rules and signals get the same numbers
 * every time. */
int recipe_open_stages(struct recipe *r, const char *run_dir, int limit);
/* Index of the stage of this type name in the recipe. */
int recipe_stage_index(const struct recipe *r, const char *type); /* -1: none */
void recipe_close(struct recipe *r);
#endif

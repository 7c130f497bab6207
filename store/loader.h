/* loader - which tokens each row of training holds: a plan of phases, and a closed form of the row.
 */
#ifndef SLUICE_STORE_LOADER_H
#define SLUICE_STORE_LOADER_H
#include "store/token_view.h"

/* A source is a domain or any other view. Its tokens are cut into sequences of T = a phase's
 * `sequence`:
 *   concat    number k holds tokens kT .. kT+T-1 as inputs and those from kT+1 on as targets, so
 *             that in an epoch every token is an input once and a target once; a last one that is
 *             too short (and so any source below T tokens) is filled up.
 *   best_fit  rows of whole documents (see store/pack.h): what is longer than T is cut, nothing
 *             else is; rows that are not full are filled up.
 * What fills up is <|endoftext|> with target -1, which no loss counts. The target of a source's
 * very last token is <|endoftext|>, as after every document.
 *
 * In every epoch the sequences of a source are visited in a permutation keyed by (seed, name of the
 * source, T, epoch): none is seen twice before all were seen once, over all phases of one T. A
 * phase of another T cuts the source anew and has a permutation of its own, so it may read again
 * what the other read in the same epoch; the epochs that count against epochs_max are those of all
 * phases together.
 *
 * Which source a row comes from is a closed form too (store/deal.h), so that any row is found in
 * the same few hundred nanoseconds. After any number of rows of a phase, every source is within two
 * rows of its share. A source that reached epochs_max yields; the plan is cut there and the counts
 * begin anew with those that are left, whose shares follow from `spill`. */
enum { LOADER_SOURCES_MAX = 64, LOADER_PHASES_MAX = 64 };
#define LOADER_ROWS_MAX (1ull << 60)

enum loader_packing { PACK_CONCAT, PACK_BEST_FIT };
/* Whom the share of a source that reached epochs_max goes to: */
enum loader_spill {
    SPILL_WEIGHTS, /* to the others by their weights */
    SPILL_UNSEEN,  /* to those that have not given a whole epoch, by their tokens not yet seen; by
                      weights once there are none */
    SPILL_STOP,    /* to nobody: a plan in which a source runs out is refused */
};
extern const char *const loader_spill_names[]; /* NULL-ended */

struct loader_source {
    const struct token_view *view; /* must outlive the loader; its name is the source's */
    double epochs_max;             /* 0: no limit */
};
struct loader_phase {
    char name[48];
    uint64_t rows;
    uint32_t sequence;                 /* tokens of a row */
    double weight[LOADER_SOURCES_MAX]; /* 0 or more; shares are weight / sum of weights */
};
struct loader_conf {
    uint64_t seed;
    bool partial; /* a plan that runs out of rows ends there instead of failing */
    enum loader_packing packing;
    enum loader_spill spill;
    uint32_t source_count, phase_count;
    struct loader_source source[LOADER_SOURCES_MAX];
    struct loader_phase phase[LOADER_PHASES_MAX]; /* one behind the other */
};

/* All calls below but open and close may come from any number of threads: a loader never changes.
 * Every row is a function of (conf, store, row): any number of ranks and workers that ask for it
 * get the same tokens, and there is nothing to save but the row's number. */
struct loader;
/* Plans all phases; conf is copied. ERR_LIMIT when a phase asks for more rows than its sources may
 * give (naming the phase and the row), ERR_USAGE for a conf that makes no sense. Takes about
 * phases x sources^2 steps, and with best_fit one walk of the document index and 20 bytes a
 * document. */
int loader_open(struct loader **out, struct store *s, const struct loader_conf *conf);
void loader_close(struct loader *l);          /* NULL is fine */
uint64_t loader_rows(const struct loader *l); /* of all phases; fewer where a partial plan ends */

struct loader_place {
    uint32_t phase, source, sequence;
    uint64_t drawn; /* rows its source gave before it to phases of this sequence */
    uint64_t epoch; /* drawn / sequences of an epoch */
    uint64_t index; /* which of the source's sequences it is */
};
/* row < loader_rows(l). */
struct loader_place loader_place(const struct loader *l, uint64_t row);
/* The runs of tokens of a row: number `index` of them into *out; false behind the last. */
struct loader_piece {
    uint64_t start;     /* token of the view */
    uint32_t at, count; /* place in the row */
};
bool loader_piece(const struct loader *l, const struct loader_place *p, uint32_t index,
                  struct loader_piece *out);
/* One row: `sequence` inputs and targets of its phase, written once, straight from the map.
 * doc_start[i]: index in the row where the document of token i begins (attention may not look
 * before it); where a row begins within a document, 0. doc_start may be NULL; *source (may be NULL)
 * tells where the row came from. */
int loader_read(const struct loader *l, uint64_t row, int32_t *inputs, int32_t *targets,
                int32_t *doc_start, uint32_t *source);
/* The same by place, for loops that know the next row's place while they read this one, and
 * loader_touch, which brings the beginning of a row into the processor's cache:
 *   next = loader_place(l, row + 1); loader_touch(l, &next); loader_read_at(l, &this, ...); */
int loader_read_at(const struct loader *l, const struct loader_place *place, int32_t *inputs,
                   int32_t *targets, int32_t *doc_start);
void loader_touch(const struct loader *l, const struct loader_place *place);
/* Asks the disk for a row without waiting. */
void loader_prefetch(const struct loader *l, uint64_t row);

/* A stretch of rows whose sources have the same shares, for those who show the plan. */
struct loader_stretch {
    uint32_t phase;
    uint64_t first, rows;
    double share[LOADER_SOURCES_MAX];     /* add up to 1 */
    uint64_t rows_of[LOADER_SOURCES_MAX]; /* what each source gives to this stretch */
    uint64_t full;                        /* bit s: source s has reached epochs_max when it ends */
};
uint64_t loader_stretches(const struct loader *l);
void loader_stretch(const struct loader *l, uint64_t index, struct loader_stretch *out);
/* Sequences of a source in an epoch of rows of this many tokens; a plan's phase must have them. */
uint64_t loader_epoch_rows(const struct loader *l, uint32_t source, uint32_t sequence);

/* Appends all that decided the rows before `row`, a line a fact: store, seed, packing, sources,
 * phases and shares, how much each source gave. Two plans agree on these rows if their texts are
 * equal; the first line that differs says why not. What lies at `row` or behind is not in it. */
void loader_past(const struct loader *l, uint64_t row, struct buf *out);
#endif

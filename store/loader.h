/* loader - which tokens a row of training holds: mixtures, phases, permutations. */
#ifndef SLUICE_STORE_LOADER_H
#define SLUICE_STORE_LOADER_H
#include "store/store.h"

/* ---- mixture: what share of the rows comes from which domain, how often one may repeat ---- */
struct mixture {
    int count;
    struct {
        uint32_t domain;
        double weight;     /* 0 or more; shares are weight / sum of weights */
        double epochs_max; /* times the domain may be seen over all phases; 0: no limit */
    } part[STORE_DOMAINS_MAX];
};

/* ---- loader (store/loader.c) ---- */

/* A domain of n tokens is cut into ceil(n / T) sequences: number k holds tokens kT .. kT+T-1 as
 * inputs and those from kT+1 on as targets, so that in an epoch every token is an input once and a
 * target once. The last target of a domain is <|endoftext|>, as after every document; a last
 * sequence that is too short (and so any domain below T tokens) is filled with <|endoftext|> whose
 * targets are -1. In every epoch the sequences are visited in a permutation keyed by (seed, name of
 * the domain, epoch): none is seen twice before all were seen once, over all phases.
 *
 * Row after row, the domain is chosen by Tijdeman's rule, which keeps every domain within one row
 * of its weight times the rows drawn. A domain that reached epochs_max yields to the others: from
 * there on the count begins anew with the weights of those left.
 *
 * All state is integers, and the rows follow from seed, store, mixtures and row numbers: any number
 * of ranks that ask for the same rows get the same tokens. One thread at a time. */
struct loader_state {
    uint64_t rows, phase_rows; /* drawn in all, and in this phase */
    uint32_t phase;
    uint64_t taken[STORE_DOMAINS_MAX]; /* rows of each domain over all phases */
    /* Since the set of domains that may be drawn (quota_open, bit d: domain d) last changed: */
    uint64_t quota_open, quota_rows, quota_taken[STORE_DOMAINS_MAX];
};
struct loader;
int loader_open(struct loader **out, struct store *s, uint32_t sequence_tokens, uint64_t seed);
/* Starts a phase (0 stable, 1 anneal, ...) with its mixture; rows go on where the last phase was.
 */
int loader_phase(struct loader *l, uint32_t phase, const struct mixture *m);
/* rows x T inputs and targets; doc_start[i]: index in its row where the document of token i begins
 * (attention may not look before it); a row that begins within a document has 0 there. Target -1
 * only beyond a domain's end: the <|endoftext|> before the next document is predicted, and so is
 * that document's first token. domain[row] tells where each row came from. doc_start and domain may
 * be NULL. ERR_LIMIT when all domains have reached epochs_max; an error leaves the state as it was.
 */
int loader_next(struct loader *l, uint32_t rows, int32_t *inputs, int32_t *targets,
                int32_t *doc_start, uint32_t *domain);
/* Where the next rows lie, without reading them: the state moves on as with loader_next. count is
 * less than T only at a domain's end. */
struct loader_place {
    uint32_t domain, count;
    uint64_t start; /* token in the domain */
};
int loader_places(struct loader *l, uint32_t rows, struct loader_place *out);
/* Passes over rows without reading them: what the other ranks read. */
int loader_skip(struct loader *l, uint64_t rows);
/* Rows this phase can still give; UINT64_MAX: no end. */
uint64_t loader_rows_left(const struct loader *l);
void loader_get_state(const struct loader *l, struct loader_state *out);
/* After loader_phase with the phase and mixture the state was taken in. */
int loader_set_state(struct loader *l, const struct loader_state *state);
void loader_close(struct loader *l); /* NULL is fine */
#endif

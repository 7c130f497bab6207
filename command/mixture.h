/* mixture - what is read when: [mixture] and [[phase]] of a recipe, and the plan they become. */
#ifndef SLUICE_COMMAND_MIXTURE_H
#define SLUICE_COMMAND_MIXTURE_H
#include "command/run.h"
#include "train/train.h"

/* ---- in a recipe ---- */
extern const struct opt mixture_opts[], phase_opts[];
/* Reads the tables once [[domain]], views, [model] and [train] are read; settles how many steps
 * each phase has and, where only phases say so, train.steps. ERR_USAGE with the place and the
 * remedy. */
int mixture_read(struct recipe *r);
void mixture_resolve(const struct recipe *r, struct buf *to); /* as TOML */
/* Mean share of each [[domain]], by its number, over all steps of the phases that name weights,
 * from the recipe alone; false: none does. Parts that are views are left out, so shares may add up
 * to less than 1. */
bool mixture_weights(const struct recipe *r, double weight[STORE_DOMAINS_MAX]);

/* ---- over a store ---- */
/* Owns the views that its plan draws from. */
struct mixture {
    struct train_plan plan;
    struct token_view view[LOADER_SOURCES_MAX];
    struct train_conf train; /* the recipe's, its zeros filled in */
};
/* Domains without tokens are sources that no phase draws from; a view without documents, and a
 * phase that nothing is left of, is ERR_GATE. Weights that the recipe leaves open are tokens^(1 /
 * temperature). */
int mixture_open(struct mixture *out, const struct run *r, struct store *s);
/* The order of all rows; partial as in loader_conf. */
int mixture_loader(struct loader **out, const struct mixture *m, struct store *s, bool partial);
void mixture_close(struct mixture *m); /* also of a zeroed one */
#endif

/* token_kept - texts kept apart in bounded memory, to measure vocabularies on. */
#ifndef SLUICE_COMMAND_TOKEN_KEPT_H
#define SLUICE_COMMAND_TOKEN_KEPT_H
#include "command/token_measure.h"
#include "core/pool.h"

/* Texts kept apart for measuring, at most bytes_max of them: those with the smallest `order`. Which
 * ones stay does not depend on the order in which they come. */
struct kept_texts;
int kept_open(struct kept_texts **out, uint64_t bytes_max);
/* Any thread. */
int kept_add(struct kept_texts *k, uint64_t order, struct str text, struct str domain,
             struct str lang);
/* How many came, and how many of them are kept. */
void kept_counts(const struct kept_texts *k, uint64_t *came, uint64_t *kept);
/* Measures all that are kept, by the pool's threads; m was opened with as many. */
int kept_measure(const struct kept_texts *k, struct measure *m, struct pool *pool);
void kept_close(struct kept_texts *k);
#endif

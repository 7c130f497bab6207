/* batches - inside train: batches made ahead of the step that wants them, by a thread of their own.
 */
#ifndef SLUICE_TRAIN_BATCHES_H
#define SLUICE_TRAIN_BATCHES_H
#include "train/trainer.h"

enum { BATCHES_AHEAD = 3 }; /* one is trained on, one is ready, one is being filled */

/* Fills a batch of rows for a step; called on the thread that fills, in the order of steps. b->rows
 * is set by it, within the room it was opened with. */
typedef int batches_fill(void *arg, uint64_t step, struct train_batch *b);
struct batches_conf {
    batches_fill *fill;
    void *arg;
    uint64_t first, end; /* steps [first, end) */
    uint64_t tokens;     /* room of a batch: tokens and rows, over all steps */
    uint32_t rows;
};
/* The batches lie in memory of dev_host_alloc, so that what the loader wrote once is what a GPU
 * copies from. */
struct batches;
int batches_open(struct batches **out, struct stream *s, const struct batches_conf *conf);
/* The batch of a step, which must be the one after the last asked for; waits for it. Its arrays are
 * its own, good until the next call, by when the step that used them must have waited for its
 * stream. What went wrong while it was filled is returned here. */
int batches_next(struct batches *f, uint64_t step, struct train_batch *out);
void batches_close(struct batches *f); /* NULL is fine; waits for the thread */
#endif

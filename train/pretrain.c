/* pretrain - the objective of next-token prediction over packed documents from the store. */
#include "train/batches.h"

static int fill(struct trainer *tr, struct train_batch *b)
{
    return batches_next(tr->batches, tr->state.step, b);
}

/* Mean of -log p(target) over the counted targets; attention stays within a document. */
static struct tensor *loss(struct trainer *tr, struct tape *t, const struct train_batch *b)
{
    int64_t T = tr->sequence, N = b->rows * T;
    struct tensor *ids = tape_input(t, DT_I32, N, b->inputs);
    struct tensor *starts = ids ? tape_input(t, DT_I32, N, b->doc_start) : NULL;
    struct tensor *targets = starts ? tape_input(t, DT_I32, N, b->targets) : NULL;
    if (!targets)
        return NULL;
    struct model *m = &tr->model;
    struct tensor *logits = m->type->forward(m, t, ids, starts, (int32_t)T, NULL);
    return logits ? cross_entropy_op(t, logits, targets) : NULL;
}

const struct objective objective_pretrain = {
    .name = "pretrain",
    .help = "predict the next token of packed documents",
    .source = NULL,
    .fill = fill,
    .loss = loss,
};

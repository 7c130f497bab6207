/* pretrain - the objective of next-token prediction over packed documents from the store. */
#include "train/trainer.h"

#include "core/err.h"

static int fill(struct trainer *tr, struct train_batch *b)
{
    return loader_next(tr->loader, b->rows, b->inputs, b->targets, b->doc_start, b->domain);
}

static struct tensor *upload(struct trainer *tr, struct tape *t, const int32_t *host, int64_t count)
{
    struct tensor *made = tape_tensor(t, DT_I32, 1, &count, false);
    if (!made || dev_upload(tr->stream, made->data, host, (size_t)count * sizeof *host) < 0)
        return NULL;
    return made;
}

/* Mean of -log p(target) over the counted targets; attention stays within a document. */
static struct tensor *loss(struct trainer *tr, struct tape *t, const struct train_batch *b)
{
    int64_t T = tr->conf.sequence, N = b->rows * T;
    struct tensor *ids = upload(tr, t, b->inputs, N);
    struct tensor *starts = ids ? upload(tr, t, b->doc_start, N) : NULL;
    struct tensor *targets = starts ? upload(tr, t, b->targets, N) : NULL;
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

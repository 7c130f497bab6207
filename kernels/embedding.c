/* embedding - rows of a table picked by ids.
 *
 *   y[n,:] = table[id[n],:]                 dtable[id[n],:] += dy[n,:]
 *   table (V,C), ids I32 (N) -> y (N,C) in the tape's compute type.
 * An id outside the table is an error on the CPU; CUDA, which cannot stop a stream, writes NaN.
 * Numerics: gradients of one row are added in the order of n. Bound: 2 N C elements of memory
 * traffic. */
#include "kernels/rows.h"

#include "core/err.h"

enum { GRAD_COLUMNS = 64 };

struct tensor *embedding_op(struct tape *t, struct tensor *table, struct tensor *ids)
{
    return tape_apply(t, &op_embedding, (struct tensor *[]){table, ids}, 2, NULL, NULL);
}

static int shape(struct tape *t, struct node *n)
{
    const struct tensor *table = n->in[0], *ids = n->in[1];
    if (table->rank != 2 || !tensor_is_float(table))
        return op_refuse(n, "the table must be (V,C) of floats, it has rank %d", table->rank);
    if (ids->dtype != DT_I32)
        return op_refuse(n, "ids must be I32");
    int64_t dim[2] = {tensor_count(ids), table->dim[1]};
    n->out = tape_tensor(t, t->compute, 2, dim, node_needs_grad(n));
    return n->out ? 0 : ERR_LIMIT;
}

static void forward_task(void *arg, int64_t index, int thread)
{
    UNUSED(thread);
    const struct node *n = arg;
    const struct tensor *table = n->in[0], *y = n->out;
    const int32_t *ids = n->in[1]->data;
    int64_t C = table->dim[1], per_task = rows_per_task(C), N = y->dim[0];
    int64_t until = (index + 1) * per_task < N ? (index + 1) * per_task : N;
    for (int64_t row = index * per_task; row < until; row++) {
        int64_t from = ids[row] * C, to = row * C;
        if (table->dtype == y->dtype) {
            size_t bytes = dtype_bytes(y->dtype);
            memcpy((char *)y->data + (size_t)to * bytes,
                   (const char *)table->data + (size_t)from * bytes, (size_t)C * bytes);
        } else if (y->dtype == DT_F32) {
            bf16_widen_row((float *)y->data + to, (const uint16_t *)table->data + from, C);
        } else {
            bf16_round_row((uint16_t *)y->data + to, (const float *)table->data + from, C);
        }
    }
}

static int forward(struct stream *s, struct node *n)
{
    const int32_t *ids = n->in[1]->data;
    int64_t N = n->out->dim[0], V = n->in[0]->dim[0];
    for (int64_t row = 0; row < N; row++)
        if (ids[row] < 0 || ids[row] >= V)
            return err_set(
                ERR_FORMAT,
                "embedding: id %d at %lld, the table has %lld rows: tokens of another tokenizer?",
                ids[row], (long long)row, (long long)V);
    stream_each(s, count_tasks(N, rows_per_task(n->out->dim[1])), forward_task, n);
    return 0;
}

/* A task owns some columns of the whole table: no two tasks meet, and rows are added in the
 * order of n. */
static void backward_task(void *arg, int64_t index, int thread)
{
    UNUSED(thread);
    const struct node *n = arg;
    const int32_t *ids = n->in[1]->data;
    int64_t N = n->out->dim[0], C = n->out->dim[1], from = index * GRAD_COLUMNS;
    int64_t width = C - from < GRAD_COLUMNS ? C - from : GRAD_COLUMNS;
    for (int64_t row = 0; row < N; row++)
        row_add(grad_at(n->in[0], ids[row] * C + from), grad_at(n->out, row * C + from), width);
}

static int backward(struct stream *s, struct node *n)
{
    if (n->in[0]->grad)
        stream_each(s, count_tasks(n->out->dim[1], GRAD_COLUMNS), backward_task, n);
    return 0;
}

static double flops(const struct node *n)
{
    UNUSED(n);
    return 0;
}

static const struct op_case cases[] = {
    {.in = {{7, 5}, {12}}, .fill = {0, 7}, .tol = 1e-6f},
    {.in = {{50, 192}, {300}}, .fill = {0, 50}, .tol = 1e-6f},
    {.in = {{3, 64}, {200}}, .fill = {0, 3}, .tol = 1e-5f}, /* many rows meet in few ids */
};

const struct op op_embedding = {
    .name = "embedding",
    .math = "y[n] = table[id[n]]",
    .shape = shape,
    .fwd = {forward, CUDA_ENTRY(embedding_fwd)},
    .bwd = {backward, CUDA_ENTRY(embedding_bwd)},
    .flops = flops,
    .cases = cases,
    .case_count = COUNT_OF(cases),
};

/* attention - causal attention with grouped key-value heads and document starts.
 *
 *   query t of a row stands at position p = t + S - T among the row's S keys and sees the keys
 *   doc_start <= j <= p; head h reads key-value head h / (H/G):
 *   s_j = q . k_j / sqrt(D)     lse = log(sum exp s_j)     p_j = exp(s_j - lse)     y = sum p_j v_j
 *   dv_j += p_j dy      ds_j = p_j (dy . v_j - dy . y) / sqrt(D)
 *   dq += sum ds_j k_j      dk_j += ds_j q
 *   q (B T, H D), k and v (B S, G D), doc_start I32 (B T) or NULL; T, D = i[0..1]; B = rows / T.
 *   In training S = T; with cached keys S > T. -> y (B T, H D); aux[0] F32 (B T, H) = lse.
 * Source: arXiv:1706.03762, GQA arXiv:2305.13245, recomputing backward arXiv:2205.14135. How: a
 * block of queries against all its keys at once through gemm (a block's scores fit the L2
 * cache), so no T x T matrix exists and no rescaling is needed. A backward task owns one
 * key-value head: its gradients are summed by one thread in one order. Bound: 4 D flops per
 * visible pair and head forward, 10 D backward. */
#include "kernels/gemm.h"
#include "kernels/rows.h"

#include "core/err.h"

#include <math.h>

enum { QUERIES = 64 };

struct tensor *attention_op(struct tape *t, struct tensor *q, struct tensor *k, struct tensor *v,
                            struct tensor *doc_start, int32_t T, int32_t D)
{
    return tape_apply(t, &op_attention, (struct tensor *[]){q, k, v, doc_start}, 4, NULL,
                      (int32_t[OP_I_MAX]){T, D});
}

static int shape(struct tape *t, struct node *n)
{
    const struct tensor *q = n->in[0], *k = n->in[1], *v = n->in[2], *doc_start = n->in[3];
    int64_t T = n->i[0], D = n->i[1];
    if (!tensor_is_float(q) || k->dtype != q->dtype || v->dtype != q->dtype)
        return op_refuse(n, "q, k and v must be floats of one type");
    if (D < 1 || tensor_columns(q) % D || tensor_columns(k) % D ||
        memcmp(k->dim, v->dim, sizeof k->dim) != 0)
        return op_refuse(n, "q must be (N,H*D), k and v (N,G*D): %lld and %lld columns, D %lld",
                         (long long)tensor_columns(q), (long long)tensor_columns(k), (long long)D);
    int64_t heads = tensor_columns(q) / D, groups = tensor_columns(k) / D;
    if (heads % groups)
        return op_refuse(n, "%lld query heads cannot share %lld key-value heads evenly",
                         (long long)heads, (long long)groups);
    if (T < 1 || tensor_rows(q) % T || tensor_rows(k) % (tensor_rows(q) / T) ||
        tensor_rows(k) < tensor_rows(q))
        return op_refuse(n,
                         "T is %lld: it must divide the %lld rows of q, and k (%lld rows) must "
                         "have as many rows or more",
                         (long long)T, (long long)tensor_rows(q), (long long)tensor_rows(k));
    if (doc_start && (doc_start->dtype != DT_I32 || tensor_count(doc_start) != tensor_rows(q)))
        return op_refuse(n, "doc_start must be I32, one for each of the %lld queries",
                         (long long)tensor_rows(q));
    int64_t dim[2] = {tensor_rows(q), heads};
    n->out = tape_tensor(t, q->dtype, q->rank, q->dim, node_needs_grad(n));
    n->aux[0] = tape_tensor(t, DT_F32, 2, dim, false);
    return n->out && n->aux[0] ? 0 : ERR_LIMIT;
}

/* s[from..until) = exp(s - max), 0 elsewhere; *sum = their sum, returns max. */
KERNEL_CLONES static float softmax_row(float *s, int64_t from, int64_t until, int64_t count,
                                       float *sum)
{
    float lane[LANES];
    for (int j = 0; j < LANES; j++)
        lane[j] = -INFINITY;
    int64_t i = from;
    for (; i + LANES <= until; i += LANES)
        for (int j = 0; j < LANES; j++)
            lane[j] = s[i + j] > lane[j] ? s[i + j] : lane[j];
    for (int j = 0; i + j < until; j++)
        lane[j] = s[i + j] > lane[j] ? s[i + j] : lane[j];
    float max = lanes_max(lane);
    for (int j = 0; j < LANES; j++)
        lane[j] = 0;
    for (i = from; i + LANES <= until; i += LANES) {
        for (int j = 0; j < LANES; j++) {
            float e = exp_fast(s[i + j] - max);
            s[i + j] = e;
            lane[j] += e;
        }
    }
    for (int j = 0; i + j < until; j++) {
        float e = exp_fast(s[i + j] - max);
        s[i + j] = e;
        lane[j] += e;
    }
    *sum = lanes_sum(lane);
    memset(s, 0, (size_t)from * sizeof(float));
    memset(s + until, 0, (size_t)(count - until) * sizeof(float));
    return max;
}

/* s becomes the probabilities, dp the gradient of the scores times scale; both 0 outside [from,
 * until). */
KERNEL_CLONES static void softmax_grad_row(float *s, float *dp, float lse, float delta, float scale,
                                           int64_t from, int64_t until)
{
    for (int64_t i = from; i < until; i++) {
        s[i] = exp_fast(s[i] - lse);
        dp[i] = s[i] * (dp[i] - delta) * scale;
    }
}

static void row_scale(float *x, float scale, int64_t count)
{
    for (int64_t i = 0; i < count; i++)
        x[i] *= scale;
}

/* T queries and S keys a row, H heads over G key-value heads of D; what a thread needs of
 * scratch. */
struct job {
    const struct node *node;
    int64_t T, S, H, G, D, blocks;
    float scale;
    char *scratch;
    size_t thread_bytes;
};
struct scratch {
    float *s, *dp, *q, *k, *v, *y;
    void *gemm;
};

/* Queries [first, first + count) of row b and the keys [from, until) that any of them sees. */
struct block {
    int64_t first, count, from, until;
    const int32_t *doc_start;
};

static struct scratch scratch_of(const struct job *job, int thread)
{
    float *at = (float *)(void *)(job->scratch + (size_t)thread * job->thread_bytes);
    struct scratch out = {.gemm = at};
    at += gemm_scratch_bytes() / sizeof(float);
    out.s = at;
    out.dp = out.s + QUERIES * job->S;
    out.q = out.dp + QUERIES * job->S;
    out.y = out.q + QUERIES * job->D;
    out.k = out.y + QUERIES * job->D;
    out.v = out.k + job->S * job->D;
    return out;
}

static int job_open(struct job *job, struct stream *s, const struct node *n)
{
    int64_t D = n->i[1], T = n->i[0], B = tensor_rows(n->in[0]) / T;
    *job = (struct job){.node = n,
                        .T = T,
                        .S = tensor_rows(n->in[1]) / B,
                        .H = tensor_columns(n->in[0]) / D,
                        .G = tensor_columns(n->in[1]) / D,
                        .D = D,
                        .blocks = count_tasks(T, QUERIES),
                        .scale = 1.0f / sqrtf((float)D)};
    bool wide = n->in[0]->dtype == DT_F32;
    int64_t count = QUERIES * (2 * job->S + 2 * D) + (wide ? 0 : 2 * job->S * D);
    job->thread_bytes = ((size_t)count * sizeof(float) + gemm_scratch_bytes() + 63) / 64 * 64;
    job->scratch = stream_scratch(s, job->thread_bytes * (size_t)stream_threads(s));
    return job->scratch ? 0 : ERR_LIMIT;
}

/* rows x D floats of head `head` of t: in place with the tensor's own stride, or widened. */
static const float *head_rows(const struct tensor *t, int64_t row, int64_t rows, int64_t head,
                              int64_t D, float *scratch, int64_t *stride)
{
    int64_t columns = tensor_columns(t);
    *stride = t->dtype == DT_F32 ? columns : D;
    if (t->dtype == DT_F32)
        return (const float *)t->data + row * columns + head * D;
    for (int64_t r = 0; r < rows; r++)
        bf16_widen_row(scratch + r * D, (const uint16_t *)t->data + (row + r) * columns + head * D,
                       D);
    return scratch;
}

/* First key that query t of the block's row may see. */
static int64_t key_first(const struct block *block, int64_t t, int64_t last)
{
    int64_t first = block->doc_start ? block->doc_start[t] : 0;
    return first < 0 ? 0 : first > last ? last : first;
}

static struct block block_make(const struct job *job, int64_t b, int64_t index)
{
    const struct tensor *doc_start = job->node->in[3];
    struct block block = {.first = index * QUERIES};
    block.count = job->T - block.first < QUERIES ? job->T - block.first : QUERIES;
    block.doc_start = doc_start ? (const int32_t *)doc_start->data + b * job->T : NULL;
    block.until = block.first + block.count + job->S - job->T;
    block.from = block.until;
    for (int64_t t = block.first; t < block.first + block.count; t++) {
        int64_t first = key_first(&block, t, t + job->S - job->T);
        block.from = first < block.from ? first : block.from;
    }
    return block;
}

static void forward_task(void *arg, int64_t index, int thread)
{
    const struct job *job = arg;
    const struct node *n = job->node;
    struct scratch room = scratch_of(job, thread);
    int64_t D = job->D, b = index / (job->H * job->blocks), h = index / job->blocks % job->H,
            g = h / (job->H / job->G);
    /* The longest first: short ones fill the gaps at the end. */
    struct block block = block_make(job, b, job->blocks - 1 - index % job->blocks);
    int64_t keys = block.until - block.from, row = b * job->T + block.first,
            key_row = b * job->S + block.from;
    struct gemm scores = {.m = block.count,
                          .n = keys,
                          .k = D,
                          .b_turned = true,
                          .c = room.s,
                          .ldc = keys,
                          .alpha = job->scale};
    scores.a = head_rows(n->in[0], row, block.count, h, D, room.q, &scores.lda);
    scores.b = head_rows(n->in[1], key_row, keys, g, D, room.k, &scores.ldb);
    gemm_small(&scores, room.gemm);
    float scale[QUERIES];
    for (int64_t i = 0; i < block.count; i++) {
        int64_t t = block.first + i, last = t + job->S - job->T;
        float sum, max = softmax_row(room.s + i * keys, key_first(&block, t, last) - block.from,
                                     last + 1 - block.from, keys, &sum);
        ((float *)n->aux[0]->data)[(row + i) * job->H + h] = max + logf(sum);
        scale[i] = 1.0f / sum;
    }
    bool wide = n->out->dtype == DT_F32;
    struct gemm mix = {.m = block.count, .n = D, .k = keys, .a = room.s, .lda = keys, .alpha = 1};
    mix.b = head_rows(n->in[2], key_row, keys, g, D, room.v, &mix.ldb);
    mix.c = wide ? (float *)n->out->data + row * job->H * D + h * D : room.y;
    mix.ldc = wide ? job->H * D : D;
    gemm_small(&mix, room.gemm);
    for (int64_t i = 0; i < block.count; i++) {
        row_scale((float *)mix.c + i * mix.ldc, scale[i], D);
        floats_done(n->out, (row + i) * job->H * D + h * D, D, (float *)mix.c + i * mix.ldc);
    }
}

static int forward(struct stream *s, struct node *n)
{
    struct job job;
    TRY(job_open(&job, s, n));
    stream_each(s, tensor_rows(n->in[0]) / job.T * job.H * job.blocks, forward_task, &job);
    return 0;
}

/* What a block of queries of one head needs on the way back: a pointer and a stride a matrix. */
struct matrix {
    const float *at;
    int64_t stride;
};
struct head {
    int64_t b, h;
    struct matrix q, k, v, y, dy;
};

/* room->s = the probabilities, room->dp = the gradients of the scores, times 1 / sqrt(D). */
static void scores_backward(const struct job *job, const struct scratch *room,
                            const struct block *block, const struct head *x)
{
    int64_t D = job->D, keys = block->until - block->from;
    struct gemm g = {.m = block->count, .n = keys, .k = D, .b_turned = true, .ldc = keys};
    struct gemm scores = g, along = g;
    scores.a = x->q.at, scores.lda = x->q.stride, scores.b = x->k.at, scores.ldb = x->k.stride;
    scores.c = room->s, scores.alpha = job->scale;
    gemm_small(&scores, room->gemm);
    along.a = x->dy.at, along.lda = x->dy.stride, along.b = x->v.at, along.ldb = x->v.stride;
    along.c = room->dp, along.alpha = 1;
    gemm_small(&along, room->gemm);
    const float *lse = job->node->aux[0]->data;
    for (int64_t i = 0; i < block->count; i++) {
        int64_t t = block->first + i, last = t + job->S - job->T;
        int64_t from = key_first(block, t, last) - block->from, until = last + 1 - block->from;
        float *line[2] = {room->s + i * keys, room->dp + i * keys};
        float delta = row_dot(x->y.at + i * x->y.stride, x->dy.at + i * x->dy.stride, D);
        softmax_grad_row(line[0], line[1], lse[(x->b * job->T + t) * job->H + x->h], delta,
                         job->scale, from, until);
        for (int k = 0; k < 2; k++) {
            memset(line[k], 0, (size_t)from * sizeof(float));
            memset(line[k] + until, 0, (size_t)(keys - until) * sizeof(float));
        }
    }
}

/* c += a^T b, a being block.count x keys (dk, dv), or a b (dq). */
static void grad_add(const struct scratch *room, struct gemm shape, const float *a, struct matrix b,
                     float *c, int64_t ldc)
{
    shape.a = a;
    shape.b = b.at;
    shape.ldb = b.stride;
    shape.c = c;
    shape.ldc = ldc;
    shape.alpha = shape.beta = 1;
    gemm_small(&shape, room->gemm);
}

/* The gradients that one block of queries of head h gives. k and v begin at the row's first key. */
static void block_backward(const struct job *job, const struct scratch *room,
                           const struct block *block, int64_t b, int64_t h, struct matrix k,
                           struct matrix v)
{
    const struct node *n = job->node;
    int64_t D = job->D, C = job->H * D, keys = block->until - block->from,
            row = b * job->T + block->first;
    struct head x = {.b = b, .h = h, .k = k, .v = v, .dy = {grad_at(n->out, row * C + h * D), C}};
    x.k.at += block->from * k.stride;
    x.v.at += block->from * v.stride;
    x.q.at = head_rows(n->in[0], row, block->count, h, D, room->q, &x.q.stride);
    x.y.at = head_rows(n->out, row, block->count, h, D, room->y, &x.y.stride);
    scores_backward(job, room, block, &x);
    struct gemm into_keys = {.m = keys, .n = D, .k = block->count, .a_turned = true, .lda = keys};
    struct gemm into_queries = {.m = block->count, .n = D, .k = keys, .lda = keys};
    int64_t key_at = (b * job->S + block->from) * job->G * D + h / (job->H / job->G) * D;
    if (n->in[2]->grad)
        grad_add(room, into_keys, room->s, x.dy, grad_at(n->in[2], key_at), job->G * D);
    if (n->in[1]->grad)
        grad_add(room, into_keys, room->dp, x.q, grad_at(n->in[1], key_at), job->G * D);
    if (n->in[0]->grad)
        grad_add(room, into_queries, room->dp, x.k, grad_at(n->in[0], row * C + h * D), C);
}

static void backward_task(void *arg, int64_t index, int thread)
{
    const struct job *job = arg;
    const struct node *n = job->node;
    struct scratch room = scratch_of(job, thread);
    int64_t b = index / job->G, g = index % job->G, heads = job->H / job->G;
    struct matrix k, v;
    k.at = head_rows(n->in[1], b * job->S, job->S, g, job->D, room.k, &k.stride);
    v.at = head_rows(n->in[2], b * job->S, job->S, g, job->D, room.v, &v.stride);
    for (int64_t h = g * heads; h < (g + 1) * heads; h++) {
        for (int64_t i = 0; i < job->blocks; i++) {
            struct block block = block_make(job, b, i);
            block_backward(job, &room, &block, b, h, k, v);
        }
    }
}

static int backward(struct stream *s, struct node *n)
{
    struct job job;
    TRY(job_open(&job, s, n));
    stream_each(s, tensor_rows(n->in[0]) / job.T * job.G, backward_task, &job);
    return 0;
}

/* 4 D flops for each visible pair: what a full causal triangle has. */
static double flops(const struct node *n)
{
    double T = n->i[0], rows = (double)tensor_rows(n->in[0]),
           S = (double)tensor_rows(n->in[1]) / (rows / T);
    return 4.0 * rows * (S - (T - 1) / 2) * (double)tensor_columns(n->in[0]);
}

static const struct op_case cases[] = {
    {.in = {{6, 8}, {6, 8}, {6, 8}}, .i = {3, 4}, .tol = 5e-6f},
    /* documents, two query heads a key-value head */
    {.in = {{8, 12}, {8, 6}, {8, 6}, {8}}, .fill = {0, 0, 0, -8}, .i = {8, 3}, .tol = 5e-6f},
    /* one new token, five keys */
    {.in = {{2, 8}, {10, 4}, {10, 4}}, .i = {1, 4}, .tol = 5e-6f},
    {.in = {{150, 64}, {150, 32}, {150, 32}, {150}},
     .fill = {0, 0, 0, -75},
     .i = {75, 16},
     .tol = 1e-5f},
    {.in = {{160, 128}, {160, 128}, {160, 128}}, .i = {160, 64}, .tol = 1e-5f},
};

const struct op op_attention = {
    .name = "attention",
    .math = "y = softmax(q k^T / sqrt(D), keys doc_start..position) v",
    .source = "arXiv:1706.03762, arXiv:2305.13245, arXiv:2205.14135",
    .shape = shape,
    .fwd = {forward, CUDA_ENTRY(attention_fwd)},
    .bwd = {backward, CUDA_ENTRY(attention_bwd)},
    .flops = flops,
    .cases = cases,
    .case_count = COUNT_OF(cases),
};

/* fasttext_layout - walks a fastText model file and refuses what libfasttext would trip over.
 *
 * libfasttext 0.9.2 ignores stream errors and trusts every number: a cut or altered file divides
 * by zero, loops for minutes, fails an assertion in predict or is silently accepted. So models
 * are read here, and fasttext_model.c predicts. The layout, all little-endian (formats 11 and
 * 12):
 *
 *     magic i32, version i32
 *     args        dim ws epoch minCount neg wordNgrams loss model bucket minn maxn
 *                 lrUpdateRate i32, t f64
 *     dictionary  size nwords nlabels i32, ntokens pruneidx_size i64
 *                 size x (word bytes, NUL, count i64, type i8): first the words, then the labels
 *                 pruneidx_size x (from i32, to i32), none when it is -1
 *     quantised u8, input matrix; quantised output u8, output matrix
 *     dense       rows cols i64, rows x cols f32
 *     quantised   qnorm u8, rows cols i64, codesize i32, codesize codes u8, quantiser,
 *                 with qnorm: rows norm codes u8, quantiser
 *     quantiser   dim nsubq dsub lastdsub i32, dim x 256 f32
 *
 * What must hold follows from how a prediction indexes: the input has a row for every word and
 * bucket (or every pruned index), the output one for every label, all of them dim wide, and
 * nothing follows. Numbers must be finite and so small that no product of three of them
 * overflows a float. */
#include "classify/fasttext_layout.h"

#include "core/err.h"
#include "core/io.h"

#include <math.h>
#include <stdlib.h>

enum {
    MAGIC = 793712314,
    VERSION_MIN = 11,
    VERSION_MAX = 12,
    MODEL_SUPERVISED = 3,
    ENTRY_MIN = 1 + FASTTEXT_ENTRY_TAIL,
    ARGS_BYTES = 12 * 4 + 8,
    COUNTS_BYTES = 3 * 4 + 2 * 8,
    DENSE_BYTES = 16,
    QUANTISED_BYTES = 21,
    LABELS_MAX = 1 << 24,
    PRUNED_BUCKETS_MAX = 1 << 27, /* the index has a bit a bucket; trained models have 2 million */
};
#define MODEL_BYTES_MAX (UINT64_C(16) << 30)
#define WEIGHT_MAX 1e8f
#define LABEL_COUNT_MAX 1000000000000000 /* hierarchical softmax marks empty nodes with 1e15 */
#define NGRAM_WORK_MAX (UINT64_C(1) << 31)

struct cursor {
    const char *name;
    const unsigned char *start, *at, *end;
};
struct args {
    int32_t dim, ws, epoch, min_count, neg, word_ngrams, loss, model, bucket, minn, maxn, rate;
};

static int damaged(const struct cursor *c, const char *what)
{
    return err_set(ERR_FORMAT,
                   "model %s: %s, at byte %zu of %zu: the file is cut, altered or no fastText "
                   "classifier: get it again or train it again",
                   c->name, what, (size_t)(c->at - c->start), (size_t)(c->end - c->start));
}

/* The next len bytes, or NULL when fewer are left. */
static const unsigned char *take(struct cursor *c, uint64_t len)
{
    const unsigned char *at = c->at;
    if (len > (uint64_t)(c->end - c->at))
        return NULL;
    c->at += len;
    return at;
}

static int32_t i32_at(const unsigned char *at)
{
    int32_t value;
    memcpy(&value, at, sizeof value);
    return value;
}

static int64_t i64_at(const unsigned char *at)
{
    int64_t value;
    memcpy(&value, at, sizeof value);
    return value;
}

static int weights_check(struct cursor *c, uint64_t count)
{
    const unsigned char *at = c->at;
    if (count > (uint64_t)(c->end - c->at) / sizeof(float))
        return damaged(c, "a matrix is larger than what is left of the file");
    for (uint64_t i = 0; i < count; i++) {
        float value;
        memcpy(&value, at + i * sizeof value, sizeof value);
        if (!(fabsf(value) <= WEIGHT_MAX)) {
            c->at = at + i * sizeof value;
            return damaged(c, "a weight is not a number or absurdly large");
        }
    }
    c->at = at + count * sizeof(float);
    return 0;
}

static bool is_ngram_length(int32_t n) { return n >= 0 && n <= FASTTEXT_NGRAM_MAX; }

static int args_check(struct cursor *c, struct fasttext_layout *l)
{
    struct args a;
    double sampling;
    const unsigned char *at = take(c, ARGS_BYTES);
    if (!at)
        return damaged(c, "no room for the training arguments");
    memcpy(&a, at, sizeof a);
    memcpy(&sampling, at + sizeof a, sizeof sampling);
    if (a.dim < 1 || a.dim > FASTTEXT_DIM_MAX)
        return damaged(c, "the dimension is out of range");
    if (a.model != MODEL_SUPERVISED)
        return damaged(c, "the model is not a supervised one");
    if (a.loss < FASTTEXT_HS || a.loss > FASTTEXT_OVA)
        return damaged(c, "the loss is unknown");
    if (a.word_ngrams < 1 || !is_ngram_length(a.word_ngrams) || !is_ngram_length(a.minn) ||
        !is_ngram_length(a.maxn))
        return damaged(c, "an n-gram length is out of range");
    if (a.bucket < 0 || a.ws < 0 || a.epoch < 0 || a.neg < 0 || !isfinite(sampling))
        return damaged(c, "a training argument is out of range");
    l->dim = a.dim;
    l->loss = (enum fasttext_loss)a.loss;
    l->word_ngrams = a.word_ngrams;
    l->bucket = a.bucket;
    l->minn = a.minn;
    l->maxn = l->version > VERSION_MIN ? a.maxn : 0; /* format 11 had none in classifiers */
    if (a.bucket == 0 && (l->maxn > 0 || a.word_ngrams > 1))
        return damaged(c, "n-grams have no buckets");
    return 0;
}

/* One entry: *word_len its bytes, *count how often it was seen. */
static int entry_check(struct cursor *c, bool label, uint64_t *word_len, int64_t *count)
{
    const unsigned char *nul = c->at < c->end ? memchr(c->at, 0, (size_t)(c->end - c->at)) : NULL;
    if (!nul)
        return damaged(c, "a word has no end");
    *word_len = (uint64_t)(nul - c->at);
    c->at = nul + 1;
    const unsigned char *at = take(c, FASTTEXT_ENTRY_TAIL);
    if (!at)
        return damaged(c, "a dictionary entry is cut");
    *count = i64_at(at);
    if (*count < 0 || at[8] != label)
        return damaged(c, "a dictionary entry is of the wrong kind");
    return 0;
}

/* Labels must come in falling order of their counts, all over 0: hierarchical softmax builds its
 * tree from them, which is then at most 72 deep. */
static int entries_check(struct cursor *c, const struct fasttext_layout *l)
{
    uint64_t work = 0, len = 0, ngrams = (uint64_t)l->maxn * (uint64_t)l->maxn;
    int64_t count = 0, total = 0, last = LABEL_COUNT_MAX;
    for (int64_t i = 0; i < (int64_t)l->nwords + l->nlabels; i++) {
        bool label = i >= l->nwords;
        TRY(entry_check(c, label, &len, &count));
        work += len * ngrams;
        if (work > NGRAM_WORK_MAX)
            return damaged(c, "words are too long for their character n-grams");
        if (!label)
            continue;
        if (len == 0 || count < 1 || count > LABEL_COUNT_MAX - total ||
            (l->loss == FASTTEXT_HS && count > last))
            return damaged(c, "the counts of the labels make no tree");
        total += count;
        last = count;
    }
    return 0;
}

static int dictionary_check(struct cursor *c, struct fasttext_layout *l)
{
    const unsigned char *at = take(c, COUNTS_BYTES);
    if (!at)
        return damaged(c, "no room for the dictionary");
    int32_t size = i32_at(at);
    l->nwords = i32_at(at + 4);
    l->nlabels = i32_at(at + 8);
    l->pruned = i64_at(at + 20);
    if (i64_at(at + 12) < 0 || l->nwords < 1 || l->nlabels < 1 || l->nlabels > LABELS_MAX ||
        (int64_t)l->nwords + l->nlabels != size)
        return damaged(c, "the dictionary's sizes do not add up");
    if ((uint64_t)size > (uint64_t)(c->end - c->at) / ENTRY_MIN)
        return damaged(c, "the dictionary is larger than what is left of the file");
    l->entries = c->at;
    return entries_check(c, l);
}

/* The pruned index; *rows becomes how many input rows it and the words need. */
static int pruned_check(struct cursor *c, struct fasttext_layout *l, int64_t *rows)
{
    if (l->pruned < -1 || (l->pruned > 0 && (uint64_t)l->pruned > (uint64_t)(c->end - c->at) / 8))
        return damaged(c, "the pruned index is larger than what is left of the file");
    *rows = (int64_t)l->nwords + (l->pruned < 0 ? l->bucket : l->pruned);
    if (*rows > INT32_MAX || (l->pruned >= 0 && l->bucket > PRUNED_BUCKETS_MAX))
        return damaged(c, "the model has more rows or buckets than can be");
    l->pruned_pairs = c->at;
    for (int64_t i = 0; i < l->pruned; i++) {
        const unsigned char *at = take(c, 8);
        int32_t from = i32_at(at), to = i32_at(at + 4);
        if (from < 0 || from >= l->bucket || to < 0 || to >= l->pruned)
            return damaged(c, "the pruned index points outside the matrix");
    }
    return 0;
}

static int quantiser_check(struct cursor *c, int32_t dim, struct fasttext_quantiser *q)
{
    const unsigned char *at = take(c, 16);
    if (!at)
        return damaged(c, "no room for a quantiser");
    *q = (struct fasttext_quantiser){i32_at(at), i32_at(at + 4), i32_at(at + 8), i32_at(at + 12),
                                     c->at};
    if (q->dim != dim || q->dsub < 1 || q->dsub > dim)
        return damaged(c, "a quantiser's width is wrong");
    int32_t rest = dim % q->dsub;
    if (q->subspaces != dim / q->dsub + (rest > 0) || q->last_dsub != (rest ? rest : q->dsub))
        return damaged(c, "a quantiser's parts do not add up");
    return weights_check(c, (uint64_t)dim * FASTTEXT_CENTROIDS);
}

static int quantised_check(struct cursor *c, struct fasttext_matrix *m)
{
    const unsigned char *at = take(c, QUANTISED_BYTES);
    if (!at)
        return damaged(c, "no room for a quantised matrix");
    uint8_t norms = at[0];
    int64_t code_bytes = i32_at(at + 17);
    if (norms > 1 || i64_at(at + 1) != m->rows || i64_at(at + 9) != m->cols)
        return damaged(c, "a quantised matrix has the wrong shape");
    m->codes = code_bytes < 0 ? NULL : take(c, (uint64_t)code_bytes);
    if (!m->codes)
        return damaged(c, "the codes are larger than what is left of the file");
    TRY(quantiser_check(c, m->cols, &m->quantiser));
    if (m->rows * m->quantiser.subspaces != code_bytes)
        return damaged(c, "the number of codes does not fit the matrix");
    if (!norms)
        return 0;
    m->norm_codes = take(c, (uint64_t)m->rows);
    if (!m->norm_codes)
        return damaged(c, "the norms are larger than what is left of the file");
    return quantiser_check(c, 1, &m->norms);
}

static int matrix_check(struct cursor *c, bool quantised, int64_t rows, int32_t cols,
                        struct fasttext_matrix *m)
{
    *m = (struct fasttext_matrix){.rows = rows, .cols = cols};
    if (quantised)
        return quantised_check(c, m);
    const unsigned char *at = take(c, DENSE_BYTES);
    if (!at)
        return damaged(c, "no room for a matrix");
    if (i64_at(at) != rows || i64_at(at + 8) != cols)
        return damaged(c, "a matrix has the wrong shape");
    m->weights = c->at;
    return weights_check(c, (uint64_t)rows * (uint64_t)cols);
}

static int flag_check(struct cursor *c, bool *out)
{
    const unsigned char *at = take(c, 1);
    if (!at || *at > 1)
        return damaged(c, "a flag is neither 0 nor 1");
    *out = *at;
    return 0;
}

static int layout_check(const char *name, const void *bytes, size_t len,
                        struct fasttext_layout *out)
{
    struct cursor c = {name, bytes, bytes, (const unsigned char *)bytes + len};
    bool quantised = false, output_quantised = false;
    int64_t rows = 0;
    *out = (struct fasttext_layout){0};
    const unsigned char *head = take(&c, FASTTEXT_HEAD_BYTES);
    if (!head || i32_at(head) != MAGIC)
        return damaged(&c, "the magic number is missing");
    out->version = i32_at(head + 4);
    if (out->version < VERSION_MIN || out->version > VERSION_MAX)
        return damaged(&c, "the format's version is unknown");
    TRY(args_check(&c, out));
    TRY(dictionary_check(&c, out));
    TRY(pruned_check(&c, out, &rows));
    TRY(flag_check(&c, &quantised));
    if (!quantised && out->pruned >= 0)
        return damaged(&c, "a dense model is pruned");
    TRY(matrix_check(&c, quantised, rows, out->dim, &out->input));
    TRY(flag_check(&c, &output_quantised));
    TRY(matrix_check(&c, quantised && output_quantised, out->nlabels, out->dim, &out->output));
    if (c.at != c.end)
        return damaged(&c, "the file goes on behind the model");
    return 0;
}

int fasttext_read(const char *path, char **bytes, size_t *len, struct fasttext_layout *out)
{
    TRY(io_read_file(path, MODEL_BYTES_MAX, bytes, len));
    int rc = layout_check(path, *bytes, *len, out);
    if (rc < 0) {
        free(*bytes);
        *bytes = NULL;
    }
    return rc;
}

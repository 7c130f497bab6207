/* fasttext_model - loads fastText classifiers and predicts, several times as fast as
 * libfasttext.
 *
 * The same arithmetic as libfasttext 0.9.2 (a test compares them), on the file's own bytes:
 *
 *     text -> tokens between white space -> rows of the input matrix:
 *             a known word: its own row and those of its character n-grams
 *             another one:  those of its character n-grams
 *             word n-grams: rows of their hashes
 *     hidden = mean of the rows;  label scores = softmax (or tree, or sigmoid) of output x hidden
 *
 * Where the time goes in lid.176 is the n-grams: some 5,000 a page, each a hash, a look-up among
 * the buckets that pruning left, and the sum of a row. So
 * - rows of a quantised matrix are unpacked once, when all fit into UNPACKED_MAX bytes;
 * - a known word's rows are summed once at load: one addition a word afterwards;
 * - the pruned index is a bit set with counts (rank), 0.4 MB for 2 million buckets instead of a
 *   hash map of several MB; it has no worst case that a made-up file could reach for;
 * - nothing is allocated for a prediction with up to LABELS_ON_STACK labels. Sums are grouped
 *   otherwise than in the library, so probabilities may differ in their last digits. */
#include "classify/classify.h"

#include "classify/fasttext_layout.h"
#include "core/err.h"
#include "core/hash.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { LABELS_ON_STACK = 4096, TREE_DEPTH_MAX = 128, SIGMOID_STEPS = 512, SIGMOID_LIMIT = 8 };
#define UNPACKED_MAX (UINT64_C(64) << 20)
#define LABEL_PREFIX "__label__"
#define END_OF_LINE "</s>"
#define WORD_GRAM_FACTOR UINT64_C(116049371)
#define LOG_EPSILON 1e-5f /* the library adds it in front of every logarithm */

/* Node of the Huffman tree over labels: leaves first, in label order; children -1 at leaves. */
struct node {
    int64_t count;
    int32_t left, right;
};
struct fasttext {
    char *bytes;                   /* the file */
    struct fasttext_layout layout; /* points into bytes */
    const char **entry;            /* [nwords + nlabels] names, NUL-terminated, in bytes */
    uint32_t *slot, slot_mask;     /* open addressing: index of entry + 1, 0 empty */
    uint64_t *bucket_bits;         /* pruned: bit set of the buckets that have a row ... */
    uint32_t *bucket_rank;         /* ... how many bits stand in front of each word of it ... */
    int32_t *bucket_row;           /* ... and the rows behind the words', in order of buckets */
    float *rows;                   /* unpacked input matrix, or NULL */
    float *word_sum;               /* [nwords][dim] sums of a word's rows, or NULL */
    uint32_t *word_rows;           /* [nwords] how many rows each sum has */
    struct node *tree;             /* hierarchical softmax: 2 nlabels - 1 nodes, the root last */
};
/* One prediction's running sum. */
struct hidden {
    float sum[FASTTEXT_DIM_MAX];
    uint64_t rows;
};

static void *allocate(size_t count, size_t size)
{
    void *memory = calloc(count ? count : 1, size);
    if (!memory)
        err_set(ERR_LIMIT, "model: no memory for %zu x %zu bytes", count, size);
    return memory;
}

/* ---- rows ---- */

/* sum += scale x the quantised row. */
static void quantised_add(const struct fasttext_matrix *m, int64_t row, float *sum)
{
    const struct fasttext_quantiser *q = &m->quantiser;
    const unsigned char *code = m->codes + row * q->subspaces;
    float scale = 1, value;
    if (m->norm_codes)
        memcpy(&scale, m->norms.centroids + m->norm_codes[row] * sizeof scale, sizeof scale);
    for (int32_t k = 0; k < q->subspaces; k++) {
        int32_t width = k + 1 < q->subspaces ? q->dsub : q->last_dsub;
        size_t first =
            (size_t)k * FASTTEXT_CENTROIDS * (size_t)q->dsub + (size_t)code[k] * (size_t)width;
        for (int32_t i = 0; i < width; i++) {
            memcpy(&value, q->centroids + (first + (size_t)i) * sizeof value, sizeof value);
            sum[k * q->dsub + i] += scale * value;
        }
    }
}

static void dense_add(const float *row, int32_t dim, float *sum)
{
    for (int32_t i = 0; i < dim; i++)
        sum[i] += row[i];
}

/* As dense_add for weights at an address of any alignment. */
static void bytes_add(const unsigned char *row, int32_t dim, float *sum)
{
    float value;
    for (int32_t i = 0; i < dim; i++) {
        memcpy(&value, row + (size_t)i * sizeof value, sizeof value);
        sum[i] += value;
    }
}

static void row_add(const struct fasttext *m, int64_t row, struct hidden *h)
{
    const struct fasttext_matrix *input = &m->layout.input;
    assert(row >= 0 && row < input->rows);
    h->rows++;
    if (m->rows)
        dense_add(m->rows + row * input->cols, input->cols, h->sum);
    else if (input->weights)
        bytes_add(input->weights + (size_t)row * (size_t)input->cols * sizeof(float), input->cols,
                  h->sum);
    else
        quantised_add(input, row, h->sum);
}

static void bucket_add(const struct fasttext *m, uint32_t bucket, struct hidden *h)
{
    if (!m->bucket_bits) {
        row_add(m, (int64_t)m->layout.nwords + bucket, h);
        return;
    }
    uint64_t bits = m->bucket_bits[bucket >> 6], bit = UINT64_C(1) << (bucket & 63);
    if (!(bits & bit))
        return;
    uint32_t rank = m->bucket_rank[bucket >> 6] + (uint32_t)__builtin_popcountll(bits & (bit - 1));
    row_add(m, (int64_t)m->layout.nwords + m->bucket_row[rank], h);
}

/* ---- words ---- */

static inline uint32_t fnv_step(uint32_t hash, char c)
{
    int32_t letter = (signed char)c; /* the library hashes signed bytes */
    return (hash ^ (uint32_t)letter) * 16777619u;
}

#define FNV_START 2166136261u

static inline char marked_char(struct str word, size_t i)
{
    return i == 0 ? '<' : i <= word.len ? word.ptr[i - 1] : '>';
}

static inline bool continues(char c) { return ((unsigned char)c & 0xC0) == 0x80; }

/* Character n-grams of minn to maxn code points of "<word>". */
static void ngrams_add(const struct fasttext *m, struct str word, struct hidden *h)
{
    int32_t minn = m->layout.minn, maxn = m->layout.maxn;
    uint32_t bucket = (uint32_t)m->layout.bucket;
    size_t len = word.len + 2;
    for (size_t start = 0; start < len; start++) {
        uint32_t hash = FNV_START;
        size_t at = start;
        if (continues(marked_char(word, start)))
            continue;
        for (int32_t n = 1; at < len && n <= maxn; n++) {
            do
                hash = fnv_step(hash, marked_char(word, at));
            while (++at < len && continues(marked_char(word, at)));
            if (n >= minn && !(n == 1 && (start == 0 || at == len)))
                bucket_add(m, hash % bucket, h);
        }
    }
}

static uint32_t fnv_hash(struct str word)
{
    uint32_t hash = FNV_START;
    for (size_t i = 0; i < word.len; i++)
        hash = fnv_step(hash, word.ptr[i]);
    return hash;
}

/* Index of the entry, or -1. */
static int32_t entry_find(const struct fasttext *m, struct str word)
{
    for (uint32_t at = (uint32_t)hash_str(word, 0) & m->slot_mask;; at = (at + 1) & m->slot_mask) {
        if (m->slot[at] == 0)
            return -1;
        const char *name = m->entry[m->slot[at] - 1];
        if (strncmp(name, word.ptr, word.len) == 0 && name[word.len] == 0)
            return (int32_t)(m->slot[at] - 1);
    }
}

/* The rows of a known word: its own, and its n-grams' unless it is the end of the line. */
static void entry_add(const struct fasttext *m, int32_t index, struct str word, struct hidden *h)
{
    row_add(m, index, h);
    if (m->layout.maxn > 0 && !str_is(word, END_OF_LINE))
        ngrams_add(m, word, h);
}

/* hash[k] is that of the last k + 1 words; the next word makes count n-grams of them. */
struct word_grams {
    uint64_t hash[FASTTEXT_NGRAM_MAX];
    int count;
};

static void word_grams_add(const struct fasttext *m, struct word_grams *g, uint32_t word_hash,
                           struct hidden *h)
{
    uint64_t value = (uint64_t)(int64_t)(int32_t)word_hash; /* the library's hashes are signed */
    int most = m->layout.word_ngrams - 1;
    for (int k = g->count - 1; k >= 0; k--) {
        uint64_t longer = g->hash[k] * WORD_GRAM_FACTOR + value;
        uint64_t bucket = longer % (uint64_t)m->layout.bucket;
        bucket_add(m, (uint32_t)bucket, h);
        if (k + 1 < most)
            g->hash[k + 1] = longer;
    }
    g->hash[0] = value;
    g->count += g->count < most;
}

static bool is_separator(char c) { return c == ' ' || (c >= '\t' && c <= '\r') || c == 0; }

/* One token; true when it ends the line. Labels in the text are not words. */
static bool token_add(const struct fasttext *m, struct str word, struct word_grams *g,
                      struct hidden *h)
{
    int32_t index = entry_find(m, word);
    bool ends = str_is(word, END_OF_LINE);
    if (index >= m->layout.nwords || (index < 0 && str_starts(word, LABEL_PREFIX)))
        return ends;
    if (index >= 0 && m->word_sum) {
        dense_add(m->word_sum + (size_t)index * (size_t)m->layout.dim, m->layout.dim, h->sum);
        h->rows += m->word_rows[index];
    } else if (index >= 0) {
        entry_add(m, index, word, h);
    } else if (!ends && m->layout.maxn > 0) {
        ngrams_add(m, word, h);
    }
    if (m->layout.word_ngrams > 1)
        word_grams_add(m, g, fnv_hash(word), h);
    return ends;
}

static void text_add(const struct fasttext *m, struct str text, struct hidden *h)
{
    struct word_grams grams = {.count = 0};
    for (size_t at = 0; at < text.len;) {
        size_t from = at;
        while (at < text.len && !is_separator(text.ptr[at]))
            at++;
        if (at > from && token_add(m, str_slice(text, from, at), &grams, h))
            return;
        at++;
    }
    token_add(m, STR(END_OF_LINE), &grams, h);
}

/* ---- labels ---- */

static float output_dot(const struct fasttext *m, int64_t row, const float *hidden)
{
    const struct fasttext_matrix *output = &m->layout.output;
    float unpacked[FASTTEXT_DIM_MAX], dot = 0;
    if (output->weights) {
        memcpy(unpacked, output->weights + (size_t)row * (size_t)output->cols * sizeof(float),
               (size_t)output->cols * sizeof(float));
    } else {
        memset(unpacked, 0, (size_t)output->cols * sizeof(float));
        quantised_add(output, row, unpacked);
    }
    for (int32_t i = 0; i < output->cols; i++)
        dot += unpacked[i] * hidden[i];
    return dot;
}

/* The best labels so far, best first; the earlier label wins a tie. */
struct best {
    struct score *top;
    int32_t *label;
    int count, max;
};
enum { BEST_MAX = 512 };

static bool best_takes(const struct best *b, float score)
{
    return b->count < b->max || score > b->top[b->count - 1].prob;
}

static void best_add(struct best *b, float score, int32_t label)
{
    if (!best_takes(b, score))
        return;
    int at = b->count < b->max ? b->count++ : b->count - 1;
    for (; at > 0 && score > b->top[at - 1].prob; at--) {
        b->top[at].prob = b->top[at - 1].prob;
        b->label[at] = b->label[at - 1];
    }
    b->top[at].prob = score;
    b->label[at] = label;
}

/* The library takes sigmoids from a table of 513 values; so do we, for equal answers. */
static float sigmoid(float x)
{
    if (x < -SIGMOID_LIMIT)
        return 0;
    if (x > SIGMOID_LIMIT)
        return 1;
    int step = (int)((x + SIGMOID_LIMIT) * SIGMOID_STEPS / SIGMOID_LIMIT / 2);
    float at = (float)(step * 2 * SIGMOID_LIMIT) / SIGMOID_STEPS - SIGMOID_LIMIT;
    return (float)(1.0 / (1.0 + (double)expf(-at)));
}

/* Scores of all labels into out[nlabels]. Softmax subtracts the largest before exp. */
static void labels_score(const struct fasttext *m, const float *hidden, float *out)
{
    int32_t count = m->layout.nlabels;
    float most, total = 0;
    for (int32_t i = 0; i < count; i++)
        out[i] = output_dot(m, i, hidden);
    if (m->layout.loss != FASTTEXT_SOFTMAX) {
        for (int32_t i = 0; i < count; i++)
            out[i] = sigmoid(out[i]);
        return;
    }
    most = out[0];
    for (int32_t i = 1; i < count; i++)
        most = out[i] > most ? out[i] : most;
    for (int32_t i = 0; i < count; i++)
        total += out[i] = expf(out[i] - most);
    for (int32_t i = 0; i < count; i++)
        out[i] /= total;
}

static int flat_predict(const struct fasttext *m, const float *hidden, struct best *best)
{
    float on_stack[LABELS_ON_STACK], *scores = on_stack;
    if (m->layout.nlabels > LABELS_ON_STACK)
        scores = allocate((size_t)m->layout.nlabels, sizeof *scores);
    if (!scores)
        return ERR_LIMIT;
    labels_score(m, hidden, scores);
    for (int32_t i = 0; i < m->layout.nlabels; i++)
        best_add(best, scores[i] + LOG_EPSILON, i);
    if (scores != on_stack)
        free(scores);
    return 0;
}

/* Walks the tree depth first, left before right, past branches that cannot reach the best. */
static void tree_predict(const struct fasttext *m, const float *hidden, struct best *best)
{
    struct {
        int32_t node;
        float score;
    } stack[TREE_DEPTH_MAX];
    int depth = 0;
    int32_t leaves = m->layout.nlabels;
    const float least = logf(LOG_EPSILON);
    stack[depth++].node = 2 * leaves - 2;
    stack[0].score = 0;
    while (depth > 0) {
        int32_t node = stack[--depth].node;
        float score = stack[depth].score;
        if (score < least || !best_takes(best, score))
            continue;
        if (node < leaves) {
            best_add(best, score, node);
            continue;
        }
        float right = 1 / (1 + expf(-output_dot(m, node - leaves, hidden)));
        assert(depth + 2 <= TREE_DEPTH_MAX);
        stack[depth].node = m->tree[node].right;
        stack[depth++].score = score + logf(right + LOG_EPSILON);
        stack[depth].node = m->tree[node].left;
        stack[depth++].score = score + logf(1 - right + LOG_EPSILON);
    }
    for (int i = 0; i < best->count; i++)
        best->top[i].prob = expf(best->top[i].prob);
}

static const char *label_name(const struct fasttext *m, int32_t label)
{
    const char *name = m->entry[m->layout.nwords + label];
    return name + (str_starts(str_of(name), LABEL_PREFIX) ? sizeof LABEL_PREFIX - 1 : 0);
}

int fasttext_predict(const struct fasttext *m, struct str text, struct score *top, int top_max)
{
    int32_t label[BEST_MAX];
    struct best best = {top, label, 0, top_max < BEST_MAX ? top_max : BEST_MAX};
    struct hidden h;
    if (top_max < 1)
        return 0;
    memset(h.sum, 0, (size_t)m->layout.dim * sizeof h.sum[0]);
    h.rows = 0;
    text_add(m, text, &h);
    if (h.rows == 0)
        return 0;
    for (int32_t i = 0; i < m->layout.dim; i++)
        h.sum[i] *= (float)(1.0 / (double)h.rows);
    if (m->layout.loss == FASTTEXT_HS)
        tree_predict(m, h.sum, &best);
    else
        TRY(flat_predict(m, h.sum, &best));
    for (int i = 0; i < best.count; i++) {
        snprintf(top[i].label, sizeof top[i].label, "%s", label_name(m, label[i]));
        top[i].prob = top[i].prob < 1 ? top[i].prob : 1;
    }
    return best.count;
}

int fasttext_label_count(const struct fasttext *m) { return m->layout.nlabels; }

const char *fasttext_label(const struct fasttext *m, int i) { return label_name(m, i); }

bool fasttext_has_label(const struct fasttext *m, const char *label)
{
    for (int32_t i = 0; i < m->layout.nlabels; i++)
        if (strcmp(label_name(m, i), label) == 0)
            return true;
    return false;
}

/* ---- loading ---- */

static const unsigned char *count_of(const char *name)
{
    return (const unsigned char *)name + strlen(name) + 1;
}

/* The first of equal names is the one found. */
static int dictionary_load(struct fasttext *m)
{
    uint32_t count = (uint32_t)m->layout.nwords + (uint32_t)m->layout.nlabels;
    uint64_t slots = 16;
    while (slots < (uint64_t)count * 2)
        slots *= 2;
    m->entry = allocate(count, sizeof *m->entry);
    m->slot = allocate(slots, sizeof *m->slot);
    if (!m->entry || !m->slot)
        return ERR_LIMIT;
    m->slot_mask = (uint32_t)(slots - 1);
    const char *at = (const char *)m->layout.entries;
    for (uint32_t i = 0; i < count; i++) {
        struct str name = str_of(at);
        m->entry[i] = at;
        at += name.len + 1 + FASTTEXT_ENTRY_TAIL;
        if (entry_find(m, name) >= 0)
            continue;
        uint32_t slot = (uint32_t)hash_str(name, 0) & m->slot_mask;
        while (m->slot[slot] != 0)
            slot = (slot + 1) & m->slot_mask;
        m->slot[slot] = i + 1;
    }
    return 0;
}

static int32_t pair_value(const struct fasttext *m, int64_t pair, size_t which)
{
    int32_t value;
    memcpy(&value, m->layout.pruned_pairs + pair * 8 + which * 4, sizeof value);
    return value;
}

static int buckets_load(struct fasttext *m)
{
    if (m->layout.pruned < 0)
        return 0;
    size_t words = (size_t)m->layout.bucket / 64 + 1;
    m->bucket_bits = allocate(words, sizeof *m->bucket_bits);
    m->bucket_rank = allocate(words, sizeof *m->bucket_rank);
    m->bucket_row = allocate((size_t)m->layout.pruned, sizeof *m->bucket_row);
    if (!m->bucket_bits || !m->bucket_rank || !m->bucket_row)
        return ERR_LIMIT;
    for (int64_t i = 0; i < m->layout.pruned; i++) {
        uint32_t bucket = (uint32_t)pair_value(m, i, 0);
        m->bucket_bits[bucket >> 6] |= UINT64_C(1) << (bucket & 63);
    }
    for (size_t i = 1; i < words; i++)
        m->bucket_rank[i] =
            m->bucket_rank[i - 1] + (uint32_t)__builtin_popcountll(m->bucket_bits[i - 1]);
    for (int64_t i = 0; i < m->layout.pruned;
         i++) { /* of a bucket named twice the last row stays */
        uint32_t bucket = (uint32_t)pair_value(m, i, 0);
        uint64_t before = m->bucket_bits[bucket >> 6] & ((UINT64_C(1) << (bucket & 63)) - 1);
        m->bucket_row[m->bucket_rank[bucket >> 6] + (uint32_t)__builtin_popcountll(before)] =
            pair_value(m, i, 1);
    }
    return 0;
}

static int rows_unpack(struct fasttext *m)
{
    const struct fasttext_matrix *input = &m->layout.input;
    size_t count = (size_t)input->rows * (size_t)input->cols;
    if (count * sizeof(float) > UNPACKED_MAX)
        return 0;
    float *rows = allocate(count, sizeof *rows);
    if (!rows)
        return ERR_LIMIT;
    if (input->weights)
        memcpy(rows, input->weights, count * sizeof *rows);
    for (int64_t i = 0; !input->weights && i < input->rows; i++)
        quantised_add(input, i, rows + i * input->cols);
    m->rows = rows;
    return 0;
}

static int words_sum(struct fasttext *m)
{
    size_t dim = (size_t)m->layout.dim, words = (size_t)m->layout.nwords;
    if (words * dim * sizeof(float) > UNPACKED_MAX)
        return 0;
    float *sums = allocate(words * dim, sizeof *sums);
    struct hidden *h = allocate(1, sizeof *h);
    m->word_rows = allocate(words, sizeof *m->word_rows);
    if (!sums || !h || !m->word_rows) {
        free(sums);
        free(h);
        return ERR_LIMIT;
    }
    for (size_t i = 0; i < words; i++) {
        memset(h->sum, 0, dim * sizeof h->sum[0]);
        h->rows = 0;
        entry_add(m, (int32_t)i, str_of(m->entry[i]), h);
        memcpy(sums + i * dim, h->sum, dim * sizeof *sums);
        m->word_rows[i] = (uint32_t)h->rows;
    }
    free(h);
    m->word_sum = sums;
    return 0;
}

/* Huffman's tree from counts in falling order, with two queues: unused leaves from the rare end,
 * and nodes in the order in which they were made. */
static int tree_load(struct fasttext *m)
{
    int32_t leaves = m->layout.nlabels, leaf = leaves - 1, node = leaves, total = 2 * leaves - 1;
    if (m->layout.loss != FASTTEXT_HS)
        return 0;
    m->tree = allocate((size_t)total, sizeof *m->tree);
    if (!m->tree)
        return ERR_LIMIT;
    for (int32_t i = 0; i < total; i++) {
        m->tree[i] = (struct node){INT64_MAX, -1, -1};
        if (i < leaves)
            memcpy(&m->tree[i].count, count_of(m->entry[m->layout.nwords + i]),
                   sizeof m->tree[i].count);
    }
    for (int32_t i = leaves; i < total; i++) {
        int32_t least[2];
        for (int k = 0; k < 2; k++)
            least[k] = leaf >= 0 && m->tree[leaf].count < m->tree[node].count ? leaf-- : node++;
        m->tree[i] =
            (struct node){m->tree[least[0]].count + m->tree[least[1]].count, least[0], least[1]};
    }
    return 0;
}

int fasttext_open(struct fasttext **out, const char *path)
{
    size_t len;
    int rc;
    *out = NULL;
    struct fasttext *m = allocate(1, sizeof *m);
    if (!m)
        return ERR_LIMIT;
    TRY_OUT(fasttext_read(path, &m->bytes, &len, &m->layout));
    TRY_OUT(dictionary_load(m));
    TRY_OUT(buckets_load(m));
    TRY_OUT(rows_unpack(m));
    TRY_OUT(words_sum(m));
    TRY_OUT(tree_load(m));
    *out = m;
    return 0;
out:
    fasttext_close(m);
    return rc;
}

void fasttext_close(struct fasttext *m)
{
    if (!m)
        return;
    free(m->tree);
    free(m->word_rows);
    free(m->word_sum);
    free(m->rows);
    free(m->bucket_row);
    free(m->bucket_rank);
    free(m->bucket_bits);
    free(m->slot);
    free(m->entry);
    free(m->bytes);
    free(m);
}

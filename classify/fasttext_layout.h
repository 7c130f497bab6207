/* fasttext_layout - what stands in a fastText model file, every size checked before use. */
#ifndef SLUICE_CLASSIFY_FASTTEXT_LAYOUT_H
#define SLUICE_CLASSIFY_FASTTEXT_LAYOUT_H
#include "core/base.h"
#ifdef __cplusplus
extern "C" {
#endif

enum { FASTTEXT_HEAD_BYTES = 8, FASTTEXT_DIM_MAX = 8192, FASTTEXT_NGRAM_MAX = 24 };
enum { FASTTEXT_CENTROIDS = 256 };
enum fasttext_loss { FASTTEXT_HS = 1, FASTTEXT_NS, FASTTEXT_SOFTMAX, FASTTEXT_OVA };
/* Product quantisation of one matrix: a row is `subspaces` codes, each naming one of 256 vectors
 * of dsub floats (the last subspace may be narrower). Pointers may be unaligned. */
struct fasttext_quantiser {
    int32_t dim, subspaces, dsub, last_dsub;
    const unsigned char *centroids;
};
struct fasttext_matrix {
    int64_t rows;
    int32_t cols;
    const unsigned char *weights;                /* dense: rows x cols f32; NULL: quantised */
    const unsigned char *codes, *norm_codes;     /* norm_codes NULL: rows were not normalised */
    struct fasttext_quantiser quantiser, norms;
};
/* All pointers lead into the bytes that were checked. */
struct fasttext_layout {
    int32_t version, dim, word_ngrams, bucket, minn, maxn; /* maxn 0: no character n-grams */
    enum fasttext_loss loss;
    int32_t nwords, nlabels;
    int64_t pruned;                              /* -1: every bucket has a row */
    const unsigned char *entries;                /* words, labels: bytes, NUL, count i64, type i8 */
    const unsigned char *pruned_pairs;           /* bucket i32, row behind the words i32 */
    struct fasttext_matrix input, output;
};
enum { FASTTEXT_ENTRY_TAIL = 9 };                /* bytes of an entry behind its NUL */
/* Reads the model at path to the heap (free *bytes) and checks that every size agrees with the
 * others and with the file's, that every index stays inside its matrix and every number is finite:
 * ERR_FORMAT with the byte offset otherwise. */
int fasttext_read(const char *path, char **bytes, size_t *len, struct fasttext_layout *out);

/* ---- fasttext.cc: what needs libfasttext ---- */
struct fasttext_train;
/* Trains and saves to temp, which nothing has checked yet. */
int fasttext_train_to(const struct fasttext_train *conf, const char *input, const char *temp);
/* The library's own answer for one line of text: best label (without prefix) and its
 * probability. Only for models of our own making or checking: the library trusts what it reads. */
int fasttext_reference(const char *path, struct str line, char label[64], float *prob);
/* True once the program was asked to stop. */
bool fasttext_should_stop(void);

#ifdef __cplusplus
}
#endif
#endif

/* classify - text to label scores: fastText behind a C face, language identification, quality. */
#ifndef SLUICE_CLASSIFY_CLASSIFY_H
#define SLUICE_CLASSIFY_CLASSIFY_H
#ifndef __cplusplus
#include "core/pipe.h"
#else
#include "core/base.h"
extern "C" {
#endif
/* ---- fastText classifiers: our own reader and predictor; training by libfasttext
 * (classify/fasttext.cc, the only C++ outside .cu, where every exception becomes an err) ---- */
struct fasttext;
struct score {
    char label[64];
    float prob;
}; /* label without __label__ */
/* Loads .bin or .ftz, every size checked against the others and the file's length; a truncated
 * or altered model is ERR_FORMAT. Read-only and thread-safe afterwards. Holds the file and at
 * most 192 MiB more. */
int fasttext_open(struct fasttext **out, const char *path);
/* At most top_max labels (and 512), best first; line breaks in text count as blanks and the
 * closing newline is fed, as the official tools do. Returns how many: 0 when the model knows
 * nothing of the text. Probabilities are the tools' (softmax plus 1e-5), clamped to 1. As in the
 * tools, a token "</s>" ends the text and tokens that start with "__label__" are not words.
 * ERR_LIMIT only for want of memory. */
int fasttext_predict(const struct fasttext *m, struct str text, struct score *top, int top_max);
bool fasttext_has_label(const struct fasttext *m, const char *label);
int fasttext_label_count(const struct fasttext *m);
/* Label i, from 0, as in `struct score`; lives as long as the model. */
const char *fasttext_label(const struct fasttext *m, int i);
void fasttext_close(struct fasttext *m); /* NULL is fine */
struct fasttext_train {
    double lr;
    int epoch, word_ngrams, dim, bucket, minn, maxn, min_count;
    int64_t seed;
};
/* Trains a supervised model from a file of "__label__x text" lines with one thread
 * (reproducible: the same lines and seed give the same bytes on one machine), to a temp file
 * that is read back, checked and renamed to path. ERR_STOP when pipe_stop is set meanwhile. */
int fasttext_train(const struct fasttext_train *conf, const char *input, const char *path);
#ifdef __cplusplus
}
#else

/* Stage `language`: lid.176.ftz over the text. Sets doc.lang, signal language.score; rules
 * language.other (not in `keep`) and language.uncertain (score below min_score). Model: conf,
 * else the cache folder of `sluice model get`. */
extern const struct stage_type stage_language;
/* Stage `quality`: a fastText model trained before pass 1 (RUN/models/quality.bin) or given;
 * signal quality.score = probability of the label `hq`; rule quality.min_score. */
extern const struct stage_type stage_quality;
/* What a quality classifier is trained on and judges by, in one form: runs of white space and
 * controls are one blank, tokens that mean something to fastText ("__label__...", "</s>") are
 * left out, the first QUALITY_TEXT_MAX bytes count. Appends to the buffer. */
enum { QUALITY_TEXT_MAX = 100000 };
void quality_text(struct buf *to, struct str text);
/* Appends one training line, "__label__LABEL text\n". ERR_USAGE for a label with white space; 0
 * and nothing appended when the text holds no word. */
int quality_sample_line(struct buf *to, const char *label, struct str text);
/* The model cache: $SLUICE_MODELS, else $XDG_CACHE_HOME/sluice/models, else ~/.cache/sluice/models.
 */
int model_cache_path(const char *file, char *out, size_t out_bytes);
struct pinned_model {
    const char *name, *file, *url, *sha256, *licence;
    uint64_t bytes;
};
const struct pinned_model *pinned_model(const char *name); /* "lid176"; NULL: unknown */
/* Size and SHA-256 of the file at path against the pin: 0, or ERR_FORMAT saying what differs. */
int pinned_model_check(const struct pinned_model *pin, const char *path);
#endif
#endif

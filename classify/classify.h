/* classify - text to label scores: fastText behind a C face, language identification, quality. */
#ifndef SLUICE_CLASSIFY_CLASSIFY_H
#define SLUICE_CLASSIFY_CLASSIFY_H
#include "core/pipe.h"

#ifdef __cplusplus
extern "C" {
#endif
/* ---- the shim (classify/fasttext.cc, the only C++ outside .cu): every exception becomes an err ---- */
struct fasttext;
struct score { char label[64]; float prob; };                /* label without __label__ */
/* Loads .bin or .ftz. The header's sizes are checked against the file's length and the magic before libfasttext
 * sees it; a truncated or altered model is ERR_FORMAT. Read-only and thread-safe afterwards. */
int fasttext_open(struct fasttext **out, const char *path);
/* At most top_max labels, best first; line breaks in text count as blanks and the closing newline is fed, as
 * the official tools do. Returns how many. */
int fasttext_predict(const struct fasttext *m, struct str text, struct score *top, int top_max);
void fasttext_close(struct fasttext *m);
struct fasttext_train { double lr; int epoch, word_ngrams, dim, bucket, minn, maxn, min_count; int64_t seed; };
/* Trains a supervised model from a file of "__label__x text" lines with one thread (reproducible), to a temp
 * file that is read back, checked and renamed to path. */
int fasttext_train(const struct fasttext_train *conf, const char *input, const char *path);
#ifdef __cplusplus
}
#endif

/* Stage `language`: lid.176.ftz over the text. Sets doc.lang, signal language.score; rules language.other (not in
 * `keep`) and language.uncertain (score below min_score). Model: conf, else the cache folder of `sluice model get`. */
extern const struct stage_type stage_language;
/* Stage `quality`: a fastText model trained before pass 1 (RUN/models/quality.bin) or given; signal quality.score =
 * probability of the label `hq`; rule quality.min_score. */
extern const struct stage_type stage_quality;
/* The model cache: $SLUICE_MODELS, else $XDG_CACHE_HOME/sluice/models, else ~/.cache/sluice/models. */
int model_cache_path(const char *file, char *out, size_t out_bytes);
struct pinned_model { const char *name, *file, *url, *sha256, *licence; uint64_t bytes; };
const struct pinned_model *pinned_model(const char *name);  /* "lid176"; NULL: unknown */
#endif

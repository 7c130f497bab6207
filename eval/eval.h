/* eval - how good a model is: bits per byte on held-out text, per domain, against simple baselines.
 */
#ifndef SLUICE_EVAL_EVAL_H
#define SLUICE_EVAL_EVAL_H
#include "core/log.h"
#include "model/model.h"
#include "tokenize/tokenize.h"

/* Held-out text: RUN/heldout/NAME.jsonl.zst ({"id","url","text"} a line), one file a domain. */
struct bpb_row {
    char domain[48];               /* the file's name without .jsonl and what follows it */
    uint64_t documents, bytes, tokens;
    double bits_per_byte; /* sum of -log2 p over all tokens and the closing <|endoftext|>, / bytes
                             of UTF-8 text */
    double unigram_bits_per_byte; /* the same text and tokens under the training tokens' frequencies
                                     (+1 smoothing) */
    double xz_bits_per_byte; /* `xz -9` (LZMA2, preset 9) on all its documents, joined by a newline,
                                in one file; NaN when xz is not there */
};
struct bpb_conf {
    int64_t batch, documents_max; /* documents_max 0: all; else the first by id order */
    struct progress *progress;    /* gets each token when it is scored; NULL: nobody looks */
};
/* The calls below fill domain, documents, bytes and tokens (eval_xz: not tokens) and their own
 * measure, and leave the other fields of *out alone. A file without text is ERR_FORMAT. */

/* A document longer than the context is read in windows with half a context of overlap; every token
 * is scored once. The first token is scored behind <|endoftext|>. ERR_STOP when pipe_stop is set.
 */
int eval_bpb(struct model *m, const struct tokenizer *tok, const char *heldout_file,
             const struct bpb_conf *c, struct bpb_row *out);
/* How many tokens eval_bpb would score, at the price of reading and encoding the file. */
int eval_tokens(const struct tokenizer *tok, const char *heldout_file, const struct bpb_conf *c,
                uint64_t *tokens);
/* counts[vocab] = occurrences of each id in the training store. documents_max as in bpb_conf: what
 * is compared is measured on the same documents. */
int eval_unigram(const struct tokenizer *tok, const char *heldout_file, int64_t documents_max,
                 const uint64_t *counts, struct bpb_row *out);
int eval_xz(const char *heldout_file, int64_t documents_max, struct bpb_row *out);

/* ---- shared by the three (eval/heldout.c) ---- */
/* Walks the documents of a file in file order, or of them the documents_max (0: all) whose ids
 * come first. id and text live until the next call. */
struct heldout;
int heldout_open(struct heldout **out, const char *path, int64_t documents_max);
int heldout_next(struct heldout *h, struct str *id, struct str *text);   /* 1, 0 at the end */
void heldout_close(struct heldout *h);
/* Empties an arena and makes sure that bytes fit: one for the largest document is not reserved
 * before it comes. */
int heldout_room(struct arena *a, size_t bytes);
void heldout_domain(const char *path, char out[48]);
/* Sum of -log2 p over ids[0..count) and a closing eot, each behind all that stands before it (eot
 * first), as far as the context reaches. The piece of eval_bpb that needs no tokenizer. */
struct model_scorer;
int model_scorer_open(struct model_scorer **out, struct model *m, int64_t batch, uint32_t eot);
void model_scorer_show(struct model_scorer *s, struct progress *progress); /* see bpb_conf */
int model_scorer_add(struct model_scorer *s, const uint32_t *ids, uint32_t count);
int model_scorer_finish(struct model_scorer *s,
                        double *bits); /* scores what is left; total of all documents */
void model_scorer_close(struct model_scorer *s);
#endif

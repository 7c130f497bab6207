/* eval - how good a model is: bits per byte on held-out text, per domain, against simple baselines. */
#ifndef SLUICE_EVAL_EVAL_H
#define SLUICE_EVAL_EVAL_H
#include "model/model.h"
#include "tokenize/tokenize.h"

/* Held-out text: RUN/heldout/NAME.jsonl.zst ({"id","url","text"} a line), one file a domain. */
struct bpb_row {
    char domain[48];
    uint64_t documents, bytes, tokens;
    double bits_per_byte;          /* sum of -log2 p over all tokens and the closing <|endoftext|>, / bytes of UTF-8 text */
    double unigram_bits_per_byte;  /* the same text and tokens under the training tokens' frequencies (+1 smoothing) */
    double xz_bits_per_byte;       /* `xz -9` (LZMA2, preset 9) on all its documents, joined by a newline, in one file; NaN when xz is not there */
};
struct bpb_conf { int64_t batch, documents_max; };   /* documents_max 0: all; else the first by id order */
/* A document longer than the context is read in windows with half a context of overlap; every token is scored once. */
int eval_bpb(struct model *m, const struct tokenizer *tok, const char *heldout_file, const struct bpb_conf *c, struct bpb_row *out);
/* counts[vocab] = occurrences of each id in the training store. */
int eval_unigram(const struct tokenizer *tok, const char *heldout_file, const uint64_t *counts, struct bpb_row *out);
int eval_xz(const char *heldout_file, struct bpb_row *out);
#endif

/* bpb - bits per byte of a domain's held-out text under a model: comparable across tokenizers. */
#include "eval/eval.h"

#include "core/err.h"
#include "core/pipe.h"

#include <math.h>
#include <stdlib.h>

enum { ENCODE_ROOM = 8 }; /* bytes of arena per byte of text */

/* ---- scoring ---- */

/* Runs visit over the tokens of every document, or of the first documents_max by id. */
struct visit { int (*tokens)(void *arg, const uint32_t *ids, uint32_t count); void *arg; };

static int walk(const struct tokenizer *tok, const char *path, int64_t documents_max,
                struct visit visit, struct bpb_row *out)
{
    struct heldout *h = NULL;
    struct encoder *encoder = NULL;
    struct arena a = {0};
    struct str id, text;
    int rc;
    TRY_OUT(heldout_open(&h, path, documents_max));
    TRY_OUT(encoder_open(&encoder, tok));
    while ((rc = heldout_next(h, &id, &text)) > 0) {
        const uint32_t *ids;
        uint32_t count;
        TRY_OUT(heldout_room(&a, text.len * ENCODE_ROOM + (1 << 20)));
        TRY_OUT(encoder_encode(encoder, text, &a, &ids, &count));
        TRY_OUT(visit.tokens(visit.arg, ids, count));
        out->documents++;
        out->bytes += text.len;
        out->tokens += (uint64_t)count + 1;
    }
    if (rc == 0 && out->bytes == 0)
        rc = err_set(ERR_FORMAT, "eval: %s holds no text", path);
out:
    arena_close(&a);
    if (encoder)
        encoder_close(encoder);
    heldout_close(h);
    return rc;
}

static void row_begin(struct bpb_row *row, const char *path)
{
    heldout_domain(path, row->domain);
    row->documents = row->bytes = row->tokens = 0;
}

static int to_nobody(void *arg, const uint32_t *ids, uint32_t count)
{
    UNUSED(arg);
    UNUSED(ids);
    UNUSED(count);
    return pipe_stop ? err_set(ERR_STOP, "eval: stopped") : 0;
}

int eval_tokens(const struct tokenizer *tok, const char *heldout_file, const struct bpb_conf *c,
                uint64_t *tokens)
{
    struct bpb_row row = {.tokens = 0};
    int rc = walk(tok, heldout_file, c->documents_max, (struct visit){to_nobody, NULL}, &row);
    *tokens = row.tokens;
    return rc;
}

static int to_scorer(void *arg, const uint32_t *ids, uint32_t count)
{
    return model_scorer_add(arg, ids, count);
}

int eval_bpb(struct model *m, const struct tokenizer *tok, const char *heldout_file,
             const struct bpb_conf *c, struct bpb_row *out)
{
    struct model_scorer *scorer = NULL;
    double bits;
    int rc;
    if (c->batch < 1)
        return err_set(ERR_USAGE, "eval: batch %lld must be at least 1", (long long)c->batch);
    row_begin(out, heldout_file);
    TRY_OUT(model_scorer_open(&scorer, m, c->batch, tokenizer_eot(tok)));
    model_scorer_show(scorer, c->progress);
    TRY_OUT(walk(tok, heldout_file, c->documents_max, (struct visit){to_scorer, scorer}, out));
    TRY_OUT(model_scorer_finish(scorer, &bits));
    out->bits_per_byte = bits / (double)out->bytes;
out:
    model_scorer_close(scorer);
    return rc;
}

/* ---- the unigram baseline ---- */

struct unigram { const uint64_t *counts; uint32_t vocab, eot; double log2_total, bits; };

static int to_unigram(void *arg, const uint32_t *ids, uint32_t count)
{
    struct unigram *u = arg;
    for (uint32_t i = 0; i <= count; i++) {
        uint32_t id = i < count ? ids[i] : u->eot;
        u->bits += u->log2_total - log2((double)(u->counts[id] + 1));
    }
    return 0;
}

int eval_unigram(const struct tokenizer *tok, const char *heldout_file, int64_t documents_max,
                 const uint64_t *counts, struct bpb_row *out)
{
    struct unigram u = {.counts = counts, .vocab = tokenizer_vocab(tok), .eot = tokenizer_eot(tok)};
    uint64_t total = u.vocab;                            /* +1 for each id */
    for (uint32_t i = 0; i < u.vocab; i++)
        total += counts[i];
    u.log2_total = log2((double)total);
    row_begin(out, heldout_file);
    TRY(walk(tok, heldout_file, documents_max, (struct visit){to_unigram, &u}, out));
    out->unigram_bits_per_byte = u.bits / (double)out->bytes;
    return 0;
}

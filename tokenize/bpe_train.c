/* bpe_train - a vocabulary learned from text: pieces counted (bpe_count), merges learned from them
 * (bpe_learn), files written (formats_write).
 *
 * Learning looks at different pieces, each with its count, so its time and memory depend on how
 * many different pieces there are, not on how much text. Of a very large text the rarest pieces
 * are left out, by a limit that is a constant: neither --memory nor the threads change a byte. */
#include "core/err.h"
#include "tokenize/bpe_count.h"
#include "tokenize/bpe_learn.h"

#include <assert.h>
#include <stdlib.h>

enum {
    PIECE_MAX_PRESET = 256,      /* longer pieces (base64, rules of dashes) teach nothing */
    PAIR_MIN_PRESET = 2,         /* a pair seen once is not a pattern */
    LEARN_PIECES_MAX = 12 << 20, /* different pieces that are learned from */
    LEARN_BYTES_MAX = 96 << 20,  /* and bytes of them */
};
#define MEMORY_PRESET ((uint64_t)1500 << 20)

struct bpe_trainer {
    struct bpe_train_conf conf;
    struct piece_counts *counts;
    struct bpe_counter *own; /* of bpe_trainer_add */
    struct bpe_learner *learner;
    struct arena arena; /* bytes of tokens */
    struct str *token;
    uint32_t merges;
    struct bpe_train_stats stats;
};
struct bpe_counter {
    struct bpe_trainer *trainer;
    struct piece_counter *pieces;
    uint64_t texts, bytes;
};

static int conf_fill(struct bpe_train_conf *c)
{
    if (c->piece_bytes_max <= 0)
        c->piece_bytes_max = PIECE_MAX_PRESET;
    if (c->pair_min <= 0)
        c->pair_min = PAIR_MIN_PRESET;
    if (c->piece_min <= 0)
        c->piece_min = 1;
    if (c->weight_one == 0)
        c->weight_one = 1;
    if (c->memory == 0)
        c->memory = MEMORY_PRESET;
    for (size_t i = 0; i < c->special_count; i++) {
        struct str text = str_of(c->special[i]);
        if (text.len == 0 || text.len > TOKEN_BYTES_MAX || !utf8_valid(text))
            return err_set(ERR_USAGE, "tokenizer: special token %zu is empty or no valid text", i);
        if (str_is(text, TRAINED_EOT))
            return err_set(ERR_USAGE, "tokenizer: %s is there anyway: leave it out", TRAINED_EOT);
        for (size_t k = 0; k < i; k++)
            if (str_is(text, c->special[k]))
                return err_set(ERR_USAGE, "tokenizer: special token \"%s\" is given twice",
                               c->special[i]);
    }
    if (c->vocab_size < 257 + (int64_t)c->special_count || c->vocab_size > VOCAB_MAX)
        return err_set(ERR_USAGE,
                       "tokenizer: a vocabulary of %lld has no room for 256 bytes, %s and %zu "
                       "special tokens, or is above %d",
                       (long long)c->vocab_size, TRAINED_EOT, c->special_count, VOCAB_MAX);
    return 0;
}

int bpe_trainer_open(struct bpe_trainer **out, const struct bpe_train_conf *conf)
{
    struct bpe_trainer *t = calloc(1, sizeof *t);
    if (!t)
        return err_set(ERR_LIMIT, "tokenizer: no memory");
    t->conf = *conf;
    int rc = conf_fill(&t->conf);
    if (rc >= 0)
        rc = piece_counts_open(&t->counts, t->conf.memory / 2, t->conf.spill_dir);
    if (rc < 0) {
        bpe_trainer_close(t);
        return rc;
    }
    *out = t;
    return 0;
}

int bpe_counter_open(struct bpe_counter **out, struct bpe_trainer *t)
{
    struct bpe_counter *c = calloc(1, sizeof *c);
    if (!c)
        return err_set(ERR_LIMIT, "tokenizer: no memory");
    c->trainer = t;
    int rc = piece_counter_open(&c->pieces, t->counts);
    if (rc < 0) {
        free(c);
        return rc;
    }
    *out = c;
    return 0;
}

int bpe_counter_add(struct bpe_counter *c, struct str text, uint64_t weight)
{
    const struct bpe_train_conf *conf = &c->trainer->conf;
    c->texts++;
    c->bytes += text.len;
    return piece_counter_add(c->pieces, conf->pretok, text, weight,
                             (uint32_t)conf->piece_bytes_max);
}

int bpe_counter_close(struct bpe_counter *c)
{
    if (!c)
        return 0;
    int rc = piece_counter_flush(c->pieces);
    struct bpe_train_stats *stats = &c->trainer->stats;
    __atomic_fetch_add(&stats->texts, c->texts, __ATOMIC_RELAXED);
    __atomic_fetch_add(&stats->bytes, c->bytes, __ATOMIC_RELAXED);
    piece_counter_close(c->pieces);
    free(c);
    return rc;
}

int bpe_trainer_add(struct bpe_trainer *t, struct str text, uint64_t weight)
{
    if (!t->own)
        TRY(bpe_counter_open(&t->own, t));
    return bpe_counter_add(t->own, text, weight);
}

/* ---- learning ---- */
static int learn_piece(void *self, struct str piece, uint64_t times)
{
    uint32_t symbol[BPE_WORD_MAX];
    for (size_t i = 0; i < piece.len; i++)
        symbol[i] = (unsigned char)piece.ptr[i];
    return bpe_learner_word(self, symbol, (uint32_t)piece.len, times);
}

static int learn(struct bpe_trainer *t, uint32_t wanted)
{
    struct piece_totals totals;
    struct bpe_learn_conf learn = {.first_id = 256, .merges_max = wanted};
    TRY(piece_counts_settle(t->counts, t->conf.weight_one, (uint64_t)t->conf.piece_min,
                            LEARN_PIECES_MAX, LEARN_BYTES_MAX, &totals));
    learn.words = totals.pieces;
    learn.symbols = totals.bytes;
    learn.least = (uint64_t)t->conf.pair_min * t->conf.weight_one;
    t->stats.pieces = totals.all_pieces;
    t->stats.learned_pieces = totals.pieces;
    t->stats.piece_least = totals.least;
    t->stats.spilled = totals.spilled;
    uint64_t need = bpe_learner_memory(&learn);
    if (need > t->conf.memory)
        return err_set(ERR_LIMIT,
                       "tokenizer: learning from %llu different pieces needs %llu MiB, --memory is "
                       "%llu MiB: raise it, leave out rarer pieces (piece_min) or train on less "
                       "text (sample_bytes)",
                       (unsigned long long)totals.pieces, (unsigned long long)(need >> 20),
                       (unsigned long long)(t->conf.memory >> 20));
    TRY(bpe_learner_open(&t->learner, &learn));
    TRY(piece_counts_each(t->counts, learn_piece, t->learner));
    piece_counts_close(t->counts);
    t->counts = NULL;
    return bpe_learner_run(t->learner);
}

/* What each token stands for, from the merges. */
static int tokens_join(struct bpe_trainer *t, const struct bpe_pair *merge, uint32_t merges)
{
    size_t bytes = 256;
    char *at;
    t->token = calloc(256 + (size_t)merges, sizeof *t->token);
    if (!t->token)
        return err_set(ERR_LIMIT, "tokenizer: no memory for %u tokens", merges);
    for (uint32_t id = 0; id < 256 + merges; id++) {
        const struct bpe_pair *p = id < 256 ? NULL : &merge[id - 256];
        t->token[id].len = p ? t->token[p->left].len + t->token[p->right].len : 1;
        bytes += t->token[id].len;
    }
    TRY(arena_open(&t->arena, bytes + 4096));
    for (uint32_t id = 0; id < 256 + merges; id++) {
        const struct bpe_pair *p = id < 256 ? NULL : &merge[id - 256];
        at = arena_push(&t->arena, t->token[id].len, 1);
        if (!at)
            return ERR_LIMIT;
        t->token[id].ptr = at;
        if (!p) {
            *at = (char)id;
            continue;
        }
        memcpy(at, t->token[p->left].ptr, t->token[p->left].len);
        memcpy(at + t->token[p->left].len, t->token[p->right].ptr, t->token[p->right].len);
    }
    return 0;
}

int bpe_trainer_finish(struct bpe_trainer *t, const char *dir, struct io_info *json_info,
                       struct io_info *ranks_info)
{
    uint32_t wanted = (uint32_t)(t->conf.vocab_size - 257) - (uint32_t)t->conf.special_count;
    const struct bpe_pair *merge;
    assert(!t->learner);
    struct bpe_counter *own = t->own;
    t->own = NULL;
    TRY(bpe_counter_close(own));
    TRY(learn(t, wanted));
    merge = bpe_learner_merges(t->learner, &t->merges);
    t->stats.merges = t->merges;
    t->stats.last_count = bpe_learner_last(t->learner) / t->conf.weight_one;
    TRY(tokens_join(t, merge, t->merges));
    return tokenizer_write(dir, t->conf.pretok, t->token, merge, t->merges, t->conf.special,
                           t->conf.special_count, json_info, ranks_info);
}

struct bpe_train_stats bpe_trainer_stats(const struct bpe_trainer *t) { return t->stats; }

void bpe_trainer_close(struct bpe_trainer *t)
{
    if (!t)
        return;
    if (t->own) {
        piece_counter_close(t->own->pieces);
        free(t->own);
    }
    piece_counts_close(t->counts);
    bpe_learner_close(t->learner);
    free(t->token);
    arena_close(&t->arena);
    free(t);
}

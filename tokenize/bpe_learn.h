/* bpe_learn - merges learned from counted words: the commonest pair of neighbours, again and again.
 */
#ifndef SLUICE_TOKENIZE_BPE_LEARN_H
#define SLUICE_TOKENIZE_BPE_LEARN_H
#include "tokenize/bpe.h"

struct bpe_learner;
enum { BPE_WORD_MAX = 0xFFFF }; /* symbols of a word */
struct bpe_learn_conf {
    uint64_t words, symbols; /* how many words will be added at most, and symbols in them */
    uint32_t first_id;       /* the first merge makes this; all symbols of words are below it */
    uint32_t merges_max;
    uint64_t least; /* pairs counted less often are not merged */
    uint64_t start; /* pairs counted less often are left alone at first; 0: a good guess. The
                       result is the same for any. */
};
/* Bytes that learning needs at most: words and symbols, the lists of where pairs stand, and what is
 * kept for each id. */
uint64_t bpe_learner_memory(const struct bpe_learn_conf *conf);
int bpe_learner_open(struct bpe_learner **out, const struct bpe_learn_conf *conf);
/* A word that occurs so many times; words of one symbol teach nothing and are left out. */
int bpe_learner_word(struct bpe_learner *l, const uint32_t *symbol, uint32_t count, uint64_t times);
/* Merges the commonest pair until merges_max is reached or the commonest is rarer than `least`.
 * Ties: the smaller left id, then the smaller right id. A run of one symbol counts as many pairs as
 * there are neighbours in it, and is merged from the left. Neither the order of words nor of
 * symbols' ids' places in memory decides anything. */
int bpe_learner_run(struct bpe_learner *l);
/* Merge number i made first_id + i; lives with l. */
const struct bpe_pair *bpe_learner_merges(const struct bpe_learner *l, uint32_t *count);
/* How often the pair of the last merge was counted; 0 before any. */
uint64_t bpe_learner_last(const struct bpe_learner *l);
void bpe_learner_close(struct bpe_learner *l);
#endif

/* bpe - what the files of this room share: the table of merges and a tokenizer's insides. */
#ifndef SLUICE_TOKENIZE_BPE_H
#define SLUICE_TOKENIZE_BPE_H
#include "tokenize/tokenize.h"

enum {
    VOCAB_MAX = 1 << 22, /* ids a tokenizer may have */
    TOKEN_BYTES_MAX = 1 << 16,
    NO_ID = 0xFFFFFFFF,
};

/* Open addressing over u64 keys with two u32 values; key ~0 is free. */
struct pair_slot {
    uint64_t key;
    uint32_t rank, id;
};
struct pair_table {
    struct pair_slot *slot;
    uint64_t mask, count;
};
int pair_table_open(struct pair_table *t, uint64_t expected);
int pair_table_put(struct pair_table *t, uint32_t left, uint32_t right, uint32_t rank, uint32_t id);
void pair_table_close(struct pair_table *t);
static inline uint64_t pair_key(uint32_t left, uint32_t right)
{
    return (uint64_t)left << 32 | right;
}
static inline const struct pair_slot *pair_find(const struct pair_table *t, uint32_t left,
                                                uint32_t right)
{
    uint64_t key = pair_key(left, right), at = (key * 0x9E3779B97F4A7C15u) >> 20 & t->mask;
    while (t->slot[at].key != key) {
        if (t->slot[at].key == ~(uint64_t)0)
            return NULL;
        at = (at + 1) & t->mask;
    }
    return &t->slot[at];
}

/* Tokens by their bytes. */
struct token_map {
    uint32_t *slot;
    uint64_t mask;
};

struct tokenizer {
    enum pretok pretok;
    bool whole_piece_first; /* a piece that is a token is that token, merges or not */
    uint32_t vocab, eot;
    struct str *token; /* [vocab]; ptr NULL: special or unused */
    uint32_t byte_id[256];
    struct pair_table merges;
    struct token_map map;
    struct arena arena; /* owns the bytes */
    struct hash128 hash;
};
int token_map_open(struct token_map *m, const struct str *token, uint32_t count);
uint32_t token_map_find(const struct token_map *m, const struct str *token,
                        struct str bytes); /* NO_ID */
void token_map_close(struct token_map *m);
/* Checks byte coverage, builds the map and the hash; called by every reader at its end. */
int tokenizer_seal(struct tokenizer *t);

/* Merges symbols in place by rank; returns how many are left. work holds 4 * count u32 and more for
 * long pieces: see bpe.c. */
struct merge_work {
    uint32_t *prev, *next;
    struct merge_item *heap;
    uint32_t max;
};
struct merge_item {
    uint32_t rank, pos, left, right;
};
uint32_t bpe_merge(const struct pair_table *merges, uint32_t *symbol, uint32_t count,
                   struct merge_work *w);
int merge_work_grow(struct merge_work *w, uint32_t count);
void merge_work_free(struct merge_work *w);

/* ---- files (tokenize/formats.c reads, tokenize/formats_write.c writes) ---- */
int tokenizer_read_json(struct tokenizer *t, struct str text);
int tokenizer_read_ranks(struct tokenizer *t, struct str text);
/* The split pattern as tokenizer.json states it. */
const char *pretok_pattern(enum pretok p);
/* GPT-2's printable form of a byte: a code point. */
uint32_t byte_char(unsigned char byte);
/* tokens[0..255] single bytes; then one per merge; pair[i] made token 256 + i. */
struct bpe_pair {
    uint32_t left, right;
};
int tokenizer_write(const char *dir, enum pretok p, const struct str *token,
                    const struct bpe_pair *pair, uint32_t merges, struct io_info *json_info,
                    struct io_info *ranks_info);
#endif

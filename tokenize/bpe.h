/* bpe - what the files of this room share: the table of merges and a tokenizer's insides. */
#ifndef SLUICE_TOKENIZE_BPE_H
#define SLUICE_TOKENIZE_BPE_H
#include "tokenize/tokenize.h"

enum {
    VOCAB_MAX = 1 << 21, /* ids a tokenizer may have */
    MERGES_MAX = 1 << 22,
    TOKEN_BYTES_MAX = 1 << 16,
    BPE_SCAN_MAX = 64, /* symbols up to which scanning is the faster way */
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

/* ---- tables (tokenize/token_map.c) ---- */
/* Zeroed memory that begins on a huge page where the kernel gives one: a look at a random place
 * then costs no walk of the page table. */
struct table_memory {
    void *base;
    size_t bytes;
};
void *table_open(struct table_memory *m, size_t bytes); /* NULL: no memory */
/* Has the kernel lay memory under the first bytes of it now, where it can. */
void table_touch(void *table, size_t bytes);
void table_close(struct table_memory *m);

/* Up to 15 bytes as two numbers, their count (and a mark above it) in the top byte. */
enum { SHORT_BYTES = 15 };
struct piece_key {
    uint64_t low, high;
};
/* Reads 16 bytes from p, of which len (0 to 15) count. */
static inline struct piece_key key_read(const char *p, uint32_t len, uint32_t mark)
{
    static const uint64_t mask[9] = {
        0,
        0xFF,
        0xFFFF,
        0xFFFFFF,
        0xFFFFFFFF,
        0xFFFFFFFFFF,
        0xFFFFFFFFFFFF,
        0xFFFFFFFFFFFFFF,
        0xFFFFFFFFFFFFFFFF,
    };
    struct piece_key k;
    memcpy(&k.low, p, sizeof k.low);
    memcpy(&k.high, p + 8, sizeof k.high);
    k.low &= mask[len < 8 ? len : 8];
    k.high = (k.high & mask[len < 8 ? 0 : len - 8]) | (uint64_t)(len | mark) << 56;
    return k;
}
static inline uint64_t key_hash(struct piece_key k)
{
    unsigned __int128 product =
        (unsigned __int128)(k.low ^ 0x9E3779B97F4A7C15u) * (k.high ^ 0xD6E8FEB86659FD93u);
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

/* Tokens by their bytes. A slot holds the lower half of the hash, whose upper bits are the place,
 * and the id; NO_ID: free. The bytes of short tokens stand once more in an order of their own, so
 * that a look costs two memory accesses: the slot (one that is not this token's nearly always says
 * so) and the key. */
struct token_map {
    struct token_slot {
        uint32_t hash, id;
    } * slot;
    struct piece_key *key; /* [vocab], of tokens of up to SHORT_BYTES */
    uint32_t shift;
    size_t longest;       /* bytes */
    uint64_t *long_known; /* a bit for the hashed first 8 bytes and length of longer tokens */
    struct table_memory memory;
};

/* ---- cuts (tokenize/cuts.c): where a piece may be cut and its sides merged alone ---- */
struct cuts {
    uint64_t *filter; /* a bit for each hashed pair of neighbours inside a token */
    bool part_left[256], part_right[256]; /* a token begins, ends inside a character with it */
};
int cuts_open(struct cuts *c, const struct str *token, uint32_t count);
/* Each encoder's memory of pairs of characters, of which text has few: the pair and, in the lowest
 * bit, whether a token may reach across. Zero-initialise. */
enum { CUTS_MEMORY_BITS = 14 };
struct cuts_memory {
    uint64_t pair[1 << CUTS_MEMORY_BITS];
};
/* Ends of up to max parts of piece from pos on (0 or an end), as offsets in it: places behind pos
 * where it may be cut, and its end as the last one. */
uint32_t cuts_find(const struct cuts *c, struct cuts_memory *m, struct str piece, size_t pos,
                   uint32_t *end, uint32_t max);
void cuts_close(struct cuts *c);

/* A token outside of the merges: <|endoftext|> and what else a tokenizer's file adds. */
struct added_token {
    struct str text;
    uint32_t id;
    bool special, lstrip, rstrip, single_word;
};
/* The merges again, in the form that encoding wants: one slot of 8 bytes a merge (left, right and
 * order in 21, 21 and 22 bits), so that the table of a common vocabulary is 2 MiB. The order of a
 * merge is its place among all of them; every token has one merge, see merge_map_open. */
struct merge_map {
    uint64_t *slot;
    uint32_t shift;
    uint32_t *id;               /* of the token an order makes; NULL: the order is the id */
    uint32_t *byte_pair;        /* [256 * 256] order of two bytes' merge, NO_ID: none */
    struct table_memory memory; /* of slot and byte_pair */
};
enum { MERGE_ORDER_BITS = 22, MERGE_LINE = 8 }; /* slots in a line of the processor's caches */
#define MERGE_FREE (~(uint64_t)0)
static inline uint64_t merge_key(uint32_t left, uint32_t right)
{
    return ((uint64_t)left << 21 | right) << MERGE_ORDER_BITS;
}
/* The first slot of a key's line; a full line goes on in the next one. */
static inline uint64_t merge_place(const struct merge_map *m, uint64_t key)
{
    uint64_t place = (key >> MERGE_ORDER_BITS) * 0x9E3779B97F4A7C15u >> m->shift;
    return place & ~(uint64_t)(MERGE_LINE - 1);
}
/* Order of the merge of two tokens, NO_ID: they do not merge. */
static inline uint32_t merge_find(const struct merge_map *m, uint32_t left, uint32_t right)
{
    uint64_t key = merge_key(left, right), mask = ~(uint64_t)0 >> m->shift;
    for (uint64_t at = merge_place(m, key);; at = (at + 1) & mask) {
        uint64_t slot = m->slot[at];
        if ((slot ^ key) >> MERGE_ORDER_BITS == 0)
            return (uint32_t)slot & ((1 << MERGE_ORDER_BITS) - 1);
        if (slot == MERGE_FREE)
            return NO_ID;
    }
}

struct tokenizer {
    enum pretok pretok;
    bool nfc;               /* text is normalised before it is split */
    bool whole_piece_first; /* a piece that is a token is that token, merges or not */
    uint32_t vocab, eot;
    uint32_t bos, eos; /* what its files say begins a text and ends an answer; NO_ID: nothing */
    struct str chat_template;  /* Jinja; empty: none */
    struct str *token;         /* [vocab]; ptr NULL: added or unused */
    struct added_token *added; /* in the order of the file until sealed, then by their bytes */
    uint32_t added_count;
    bool added_first[256]; /* an added token begins with this byte */
    uint32_t byte_id[256];
    struct pair_table merges; /* as the file has them */
    struct merge_map fast;
    struct token_map map;
    struct cuts cuts;
    struct arena arena; /* owns the bytes */
    struct hash128 hash;
};
const struct tokenizer *encoder_tokenizer(const struct encoder *e);
int token_map_open(struct token_map *m, const struct str *token, uint32_t count);
uint32_t token_map_find(const struct token_map *m, const struct str *token,
                        struct str bytes); /* NO_ID */
/* May more than SHORT_BYTES be a token? Most are none, and this tells it without a look at the
 * table.
 */
enum { LONG_KNOWN_BITS = 16 };
static inline uint32_t token_long_bit(struct str bytes)
{
    uint64_t first;
    memcpy(&first, bytes.ptr, sizeof first);
    return (uint32_t)((first + bytes.len) * 0x9E3779B97F4A7C15u >> (64 - LONG_KNOWN_BITS));
}
static inline bool token_map_may(const struct token_map *m, struct str bytes)
{
    uint32_t bit = token_long_bit(bytes);
    return bytes.len <= m->longest && (m->long_known[bit >> 6] >> (bit & 63) & 1);
}
/* The same in two steps, for many keys (without a mark) at a time: the slot that key_hash leads to,
 * which may be asked for early, and the look. */
static inline const struct token_slot *token_slot_at(const struct token_map *m, uint64_t hash)
{
    return &m->slot[hash >> m->shift];
}
uint32_t token_map_find_key(const struct token_map *m, struct piece_key k, uint64_t hash);
void token_map_close(struct token_map *m);
/* Fills byte_id; ERR_FORMAT when a byte has no token. */
int tokenizer_bytes_known(struct tokenizer *t);
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
/* ---- merging under a sealed tokenizer (tokenize/merge_map.c) ---- */
/* bpe_merge for bytes: ids to symbol (room for one a byte), their count. work must have grown to
 * piece.len when that is above BPE_SCAN_MAX. */
uint32_t bpe_merge_bytes(const struct tokenizer *t, struct str piece, uint32_t *symbol,
                         struct merge_work *w);
int merge_map_open(struct tokenizer *t); /* from t->merges, tokens and byte_id */
void merge_map_close(struct merge_map *m);
int merge_work_grow(struct merge_work *w, uint32_t count);
void merge_work_free(struct merge_work *w);

/* ---- many short pieces in step with each other (tokenize/merge_many.c) ---- */
enum { MERGE_JOBS = 64 };
/* Where a job is: keys of the two new neighbours, symbols, the last merge. */
struct merge_state {
    uint64_t left, right;
    uint32_t count, at;
};
struct merge_job {
    _Alignas(64) uint32_t symbol[SHORT_BYTES + 1];
    uint32_t order[SHORT_BYTES + 1];
    struct piece_key key; /* before: the bytes; what stands behind count of them does not matter */
    struct merge_state state; /* count: before: bytes, 1 to SHORT_BYTES; then ids in symbol */
};
/* The same of up to WIDE_SYMBOLS - 1 bytes. */
enum { WIDE_SYMBOLS = 32 };
struct merge_wide {
    _Alignas(64) uint32_t symbol[WIDE_SYMBOLS];
    uint32_t order[WIDE_SYMBOLS];
    unsigned char byte[WIDE_SYMBOLS];
    struct merge_state state;
};
/* Up to MERGE_JOBS of them; the list of pointers is used up. */
void bpe_merge_many(const struct tokenizer *t, struct merge_job **job, uint32_t count);
void bpe_merge_wide(const struct tokenizer *t, struct merge_wide **job, uint32_t count);
/* The same for machines without AVX-512, and the definition. */
void bpe_merge_plain(const struct tokenizer *t, struct merge_job **job, uint32_t count);
void bpe_merge_wide_plain(const struct tokenizer *t, struct merge_wide **job, uint32_t count);

/* ---- reading (tokenize/formats.c; gguf.c; formats_pair.c) ----
 * Each fills pretok, tokens, added tokens and merges of a zeroed tokenizer with an open arena, from
 * the bytes of a file; tokenizer_seal follows. ERR_FORMAT says where and why. */
/* pretok: -1 by tokenizer.ggml.pre. bytes may end anywhere behind the vocabulary. */
int tokenizer_read_gguf(struct tokenizer *t, struct str bytes, int pretok);
/* encoder.json with vocab.bpe, or vocab.json with merges.txt: text is one of them, path its name,
 * the other one lies beside it. pretok: -1 gpt2. */
int tokenizer_read_pair(struct tokenizer *t, const char *path, struct str text, int pretok);
int tokenizer_read_halves(struct tokenizer *t, struct str vocab, struct str merges);
/* Any of them, told by content, and sealed. path: where files beside it are looked for, NULL: none
 * are. */
int tokenizer_open_bytes(struct tokenizer **out, const char *path, struct str bytes, int pretok);
bool is_gguf(struct str bytes);
bool is_sentencepiece(struct str bytes); /* a ModelProto: field 1 thrice, each a piece */
/* tokenizer_config.json and chat_template.jinja beside tokenizer.json, where they are: first and
 * last token, chat template. Added tokens must be known. */
int tokenizer_read_config(struct tokenizer *t, const char *path);

/* What the readers share. */
int tokenizer_add(struct tokenizer *t, const struct added_token *token); /* copies the text */
int tokens_alloc(struct tokenizer *t, uint64_t count); /* sets vocab; none has bytes yet */
/* Printable characters back to bytes, into the tokenizer's arena; ERR_FORMAT: not all of them. */
int token_bytes(struct tokenizer *t, struct str printable, struct str *out);
/* merges_begin, then each merge in its order by its printable sides, then merges_end. Two ids with
 * the same bytes are ERR_FORMAT at the begin. */
int merges_begin(struct tokenizer *t, uint64_t count);
int merges_add(struct tokenizer *t, struct str left, struct str right, uint32_t rank);
void merges_end(struct tokenizer *t);
/* Sets eot: the added token that ends a document, by name, the commonest names first; else `other`
 * (NO_ID: ERR_FORMAT). */
int find_eot(struct tokenizer *t, uint32_t other);
uint32_t added_find(const struct tokenizer *t, struct str text); /* id, NO_ID */

/* The split pattern as tokenizer.json states it; of deepseek-v3's three, number 0, 1 or 2. */
const char *pretok_pattern(enum pretok p, int number);
int pretok_splits(enum pretok p); /* how many splits, one inside the other: 1 or 3 */
/* GPT-2's printable form of a byte: a code point. */
uint32_t byte_char(unsigned char byte);
void put_token(struct buf *to, struct str token); /* printable */

/* ---- writing (tokenize/formats_write.c, gguf.c, convert.c) ---- */
struct bpe_pair {
    uint32_t left, right;
};
/* All that a file can say, borrowed. */
struct vocab_parts {
    enum pretok pretok;
    bool nfc, whole_piece_first;
    uint32_t vocab, eot, bos, eos;   /* bos, eos: NO_ID when not said */
    const struct str *token;         /* [tokens]; ptr NULL: added or unused */
    uint32_t tokens;                 /* <= vocab: behind them only added ones and gaps */
    const struct added_token *added; /* by id */
    uint32_t added_count;
    const struct bpe_pair *pair; /* merges in their order */
    uint32_t pairs;
    struct str chat_template;
};
/* Each appends a file to `to`; no memory: to->failed. */
void put_tokenizer_json(struct buf *to, const struct vocab_parts *v);
void put_tokenizer_config(struct buf *to, const struct vocab_parts *v);
void put_special_tokens_map(struct buf *to, const struct vocab_parts *v);
void put_ranks(struct buf *to, const struct vocab_parts *v);
void put_gguf(struct buf *to, const struct vocab_parts *v);
/* Writes dir/name atomically; info may be NULL. */
int write_vocab_file(const char *dir, const char *name, const struct buf *text,
                     struct io_info *info);
#define TRAINED_EOT "<|endoftext|>"
/* tokens[0..255] single bytes; then one per merge; pair[i] made token 256 + i; then TRAINED_EOT and
 * the special tokens. Writes tokenizer.json, tokenizer.tiktoken, tokenizer_config.json and
 * special_tokens_map.json. */
int tokenizer_write(const char *dir, enum pretok p, const struct str *token,
                    const struct bpe_pair *pair, uint32_t merges, const char *const *special,
                    size_t special_count, struct io_info *json_info, struct io_info *ranks_info);
#endif

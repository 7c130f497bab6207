/* bpe_train - learns merges from text: count the splitter's pieces, then merge the commonest pair,
 * again and again.
 *
 * Pieces are counted in one hash table, so the cost of merging depends on how many different pieces
 * there are, not on how much text. Each pair knows the pieces it may stand in; a heap of (count,
 * pair) is refreshed lazily: an entry whose count is out of date goes back in with the true one.
 * Ties go to the smaller (left, right) ids, and counts are sums, so neither the order of documents
 * nor of pieces matters. (Same rule as Hugging Face's trainer: count down, then pair up.) */
#include "core/err.h"
#include "core/hash.h"
#include "tokenize/bpe.h"

#include <assert.h>
#include <stdlib.h>

enum {
    PIECE_MAX_PRESET =
        256, /* longer pieces (base64, rules of dashes) teach nothing and are left out */
    PAIR_START = 1 << 16,
    SPLIT_MAX = 512, /* pieces cut at a time */
};

struct piece {
    uint64_t hash, count;
    const char *bytes;
    uint32_t len;
};
struct word {
    uint32_t start, len;
    uint64_t count;
}; /* symbols in a flat array */
struct list {
    uint32_t *item;
    uint32_t count, max;
};
struct pair_info {
    uint64_t key;
    int64_t count;
    struct list words;
};
struct candidate {
    int64_t count;
    uint64_t key;
};

struct bpe_trainer {
    struct bpe_train_conf conf;
    struct arena bytes;
    struct piece *slot;
    uint64_t mask, pieces;
    /* learning */
    uint32_t *symbol;
    struct word *word;
    uint32_t words;
    struct pair_info *pair;
    uint64_t pair_mask, pairs;
    struct candidate *heap;
    size_t heap_count, heap_max;
    uint64_t *born; /* pairs first seen in the merge at hand */
    size_t born_count, born_max;
    struct str *token;
    struct bpe_pair *merge;
    uint32_t merges;
};

int bpe_trainer_open(struct bpe_trainer **out, const struct bpe_train_conf *conf)
{
    struct bpe_trainer *t = calloc(1, sizeof *t);
    if (!t)
        return err_set(ERR_LIMIT, "tokenizer: no memory");
    t->conf = *conf;
    if (t->conf.piece_bytes_max <= 0)
        t->conf.piece_bytes_max = PIECE_MAX_PRESET;
    t->mask = (1 << 16) - 1;
    t->slot = calloc(t->mask + 1, sizeof *t->slot);
    size_t bytes_max = conf->memory ? (size_t)conf->memory : (size_t)64 << 30;
    int rc =
        t->slot ? arena_open(&t->bytes, bytes_max) : err_set(ERR_LIMIT, "tokenizer: no memory");
    if (rc < 0) {
        bpe_trainer_close(t);
        return rc;
    }
    *out = t;
    return 0;
}

static uint64_t trainer_memory(const struct bpe_trainer *t)
{
    /* Table, bytes, then symbols, words, pairs and lists of the learning: about 40 bytes a piece
     * byte. */
    return (t->mask + 1) * sizeof *t->slot + t->bytes.used * 40;
}

static int pieces_grow(struct bpe_trainer *t)
{
    uint64_t mask = t->mask * 2 + 1;
    struct piece *slot = calloc(mask + 1, sizeof *slot);
    if (!slot)
        return err_set(ERR_LIMIT,
                       "tokenizer: no memory for %llu pieces: lower tokenizer.sample_bytes",
                       (unsigned long long)t->pieces);
    for (uint64_t i = 0; i <= t->mask; i++) {
        if (!t->slot[i].count)
            continue;
        uint64_t at = t->slot[i].hash & mask;
        while (slot[at].count)
            at = (at + 1) & mask;
        slot[at] = t->slot[i];
    }
    free(t->slot);
    t->slot = slot;
    t->mask = mask;
    return 0;
}

static int piece_count(struct bpe_trainer *t, struct str piece, uint64_t weight)
{
    uint64_t hash = hash64(piece.ptr, piece.len, 0), at = hash & t->mask;
    for (; t->slot[at].count; at = (at + 1) & t->mask) {
        struct piece *p = &t->slot[at];
        if (p->hash == hash && p->len == piece.len && memcmp(p->bytes, piece.ptr, piece.len) == 0) {
            p->count += weight;
            return 0;
        }
    }
    const char *copy = arena_str(&t->bytes, piece).ptr;
    if (!copy)
        return ERR_LIMIT;
    t->slot[at] = (struct piece){hash, weight, copy, (uint32_t)piece.len};
    if (++t->pieces * 3 > t->mask * 2)
        TRY(pieces_grow(t));
    if (t->conf.memory && trainer_memory(t) > t->conf.memory)
        return err_set(ERR_LIMIT,
                       "tokenizer: %llu different pieces need more than the %llu MiB of --memory: "
                       "raise it or lower "
                       "tokenizer.sample_bytes",
                       (unsigned long long)t->pieces, (unsigned long long)(t->conf.memory >> 20));
    return 0;
}

int bpe_trainer_add(struct bpe_trainer *t, struct str text, uint64_t weight)
{
    uint32_t end[SPLIT_MAX];
    for (size_t pos = 0; pos < text.len;) {
        uint32_t pieces = pretok_split(t->conf.pretok, text, pos, end, SPLIT_MAX), start = 0;
        for (uint32_t i = 0; i < pieces; i++) {
            if (end[i] - start <= (uint64_t)t->conf.piece_bytes_max)
                TRY(piece_count(t, str_slice(text, pos + start, pos + end[i]), weight));
            start = end[i];
        }
        pos += start;
    }
    return 0;
}

/* ---- learning ---- */
static int by_bytes(const void *a, const void *b)
{
    const struct piece *x = a, *y = b;
    return str_cmp((struct str){x->bytes, x->len}, (struct str){y->bytes, y->len});
}

/* Words in byte order, so that the insides do not depend on the hash table either. */
static int words_make(struct bpe_trainer *t)
{
    uint64_t total = 0, used = 0;
    for (uint64_t i = 0; i <= t->mask; i++)
        if (t->slot[i].count) {
            total += t->slot[i].len;
            t->slot[used++] = t->slot[i];
        }
    if (total > UINT32_MAX || used > UINT32_MAX / 2)
        return err_set(ERR_LIMIT,
                       "tokenizer: %llu bytes of different pieces: lower tokenizer.sample_bytes",
                       (unsigned long long)total);
    qsort(t->slot, used, sizeof *t->slot, by_bytes);
    t->words = (uint32_t)used;
    t->word = malloc((used + 1) * sizeof *t->word);
    t->symbol = malloc((total + 1) * sizeof *t->symbol);
    if (!t->word || !t->symbol)
        return err_set(ERR_LIMIT,
                       "tokenizer: no memory for %llu pieces: lower tokenizer.sample_bytes",
                       (unsigned long long)used);
    uint32_t at = 0;
    for (uint32_t w = 0; w < t->words; w++) {
        t->word[w] = (struct word){at, t->slot[w].len, t->slot[w].count};
        for (uint32_t i = 0; i < t->slot[w].len; i++)
            t->symbol[at++] = (unsigned char)t->slot[w].bytes[i];
    }
    return 0;
}

static int list_add(struct list *l, uint32_t item)
{
    if (l->count && l->item[l->count - 1] == item)
        return 0; /* the same word again */
    if (l->count == l->max) {
        uint32_t max = l->max ? l->max * 2 : 4;
        uint32_t *grown = realloc(l->item, max * sizeof *grown);
        if (!grown)
            return err_set(ERR_LIMIT, "tokenizer: no memory: lower tokenizer.sample_bytes");
        l->item = grown;
        l->max = max;
    }
    l->item[l->count++] = item;
    return 0;
}

static struct pair_info *pair_at(struct pair_info *table, uint64_t mask, uint64_t key)
{
    uint64_t at = hash_mix(key) & mask;
    while (table[at].key != ~(uint64_t)0 && table[at].key != key)
        at = (at + 1) & mask;
    return &table[at];
}

static int pairs_alloc(uint64_t size, struct pair_info **out)
{
    struct pair_info *table = calloc(size, sizeof *table);
    if (!table)
        return err_set(ERR_LIMIT,
                       "tokenizer: no memory for %llu pairs: lower tokenizer.sample_bytes",
                       (unsigned long long)size);
    for (uint64_t i = 0; i < size; i++)
        table[i].key = ~(uint64_t)0;
    *out = table;
    return 0;
}

static int pair_add(struct bpe_trainer *t, uint64_t key, int64_t count, uint32_t word, bool *fresh)
{
    if ((t->pairs + 1) * 2 > t->pair_mask + 1) {
        struct pair_info *grown = NULL;
        uint64_t mask = t->pair_mask * 2 + 1;
        TRY(pairs_alloc(mask + 1, &grown));
        for (uint64_t i = 0; i <= t->pair_mask; i++)
            if (t->pair[i].key != ~(uint64_t)0)
                *pair_at(grown, mask, t->pair[i].key) = t->pair[i];
        free(t->pair);
        t->pair = grown;
        t->pair_mask = mask;
    }
    struct pair_info *p = pair_at(t->pair, t->pair_mask, key);
    *fresh = p->key != key;
    if (*fresh) {
        p->key = key;
        t->pairs++;
    }
    p->count += count;
    return count > 0 ? list_add(&p->words, word) : 0;
}

static bool candidate_before(const struct candidate *a, const struct candidate *b)
{
    return a->count != b->count ? a->count > b->count : a->key < b->key;
}

static int candidate_push(struct bpe_trainer *t, struct candidate c)
{
    if (t->heap_count == t->heap_max) {
        size_t max = t->heap_max ? t->heap_max * 2 : 1 << 16;
        struct candidate *grown = realloc(t->heap, max * sizeof *grown);
        if (!grown)
            return err_set(ERR_LIMIT, "tokenizer: no memory: lower tokenizer.sample_bytes");
        t->heap = grown;
        t->heap_max = max;
    }
    size_t at = t->heap_count++;
    for (; at && candidate_before(&c, &t->heap[(at - 1) / 2]); at = (at - 1) / 2)
        t->heap[at] = t->heap[(at - 1) / 2];
    t->heap[at] = c;
    return 0;
}

static struct candidate candidate_pop(struct bpe_trainer *t)
{
    struct candidate top = t->heap[0], last = t->heap[--t->heap_count];
    size_t at = 0;
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= t->heap_count)
            break;
        if (child + 1 < t->heap_count && candidate_before(&t->heap[child + 1], &t->heap[child]))
            child++;
        if (!candidate_before(&t->heap[child], &last))
            break;
        t->heap[at] = t->heap[child];
        at = child;
    }
    t->heap[at] = last;
    return top;
}

static int pairs_make(struct bpe_trainer *t)
{
    bool fresh;
    t->pair_mask = PAIR_START - 1;
    TRY(pairs_alloc(PAIR_START, &t->pair));
    for (uint32_t w = 0; w < t->words; w++) {
        const uint32_t *s = t->symbol + t->word[w].start;
        for (uint32_t i = 0; i + 1 < t->word[w].len; i++)
            TRY(pair_add(t, pair_key(s[i], s[i + 1]), (int64_t)t->word[w].count, w, &fresh));
    }
    for (uint64_t i = 0; i <= t->pair_mask; i++)
        if (t->pair[i].key != ~(uint64_t)0)
            TRY(candidate_push(t, (struct candidate){t->pair[i].count, t->pair[i].key}));
    return 0;
}

/* The pair count of one word changes by delta. Only pairs with the newest token can grow, and all
 * of them are born in this merge: they are noted, and offered to the heap when their counts are
 * whole. */
static int pair_change(struct bpe_trainer *t, uint32_t left, uint32_t right, int64_t delta,
                       uint32_t word)
{
    bool fresh;
    uint64_t key = pair_key(left, right);
    TRY(pair_add(t, key, delta, word, &fresh));
    if (!fresh)
        return 0;
    if (t->born_count == t->born_max) {
        size_t max = t->born_max ? t->born_max * 2 : 1024;
        uint64_t *grown = realloc(t->born, max * sizeof *grown);
        if (!grown)
            return err_set(ERR_LIMIT, "tokenizer: no memory: lower tokenizer.sample_bytes");
        t->born = grown;
        t->born_max = max;
    }
    t->born[t->born_count++] = key;
    return 0;
}

static int word_merge(struct bpe_trainer *t, uint32_t w, uint32_t left, uint32_t right, uint32_t id)
{
    struct word *word = &t->word[w];
    uint32_t *s = t->symbol + word->start, kept = 0;
    int64_t count = (int64_t)word->count;
    for (uint32_t i = 0; i < word->len; i++) {
        if (i + 1 >= word->len || s[i] != left || s[i + 1] != right) {
            s[kept++] = s[i];
            continue;
        }
        /* s[0, kept) is done; what follows i + 1 is not looked at yet. */
        if (kept) {
            TRY(pair_change(t, s[kept - 1], left, -count, w));
            TRY(pair_change(t, s[kept - 1], id, count, w));
        }
        if (i + 2 < word->len) {
            TRY(pair_change(t, right, s[i + 2], -count, w));
            TRY(pair_change(t, id, s[i + 2], count, w));
        }
        s[kept++] = id;
        i++;
    }
    word->len = kept;
    return 0;
}

static int token_join(struct bpe_trainer *t, uint32_t left, uint32_t right, uint32_t id)
{
    struct str a = t->token[left], b = t->token[right];
    char *bytes = arena_push(&t->bytes, a.len + b.len, 1);
    if (!bytes)
        return ERR_LIMIT;
    memcpy(bytes, a.ptr, a.len);
    memcpy(bytes + a.len, b.ptr, b.len);
    t->token[id] = (struct str){bytes, a.len + b.len};
    return 0;
}

static int learn(struct bpe_trainer *t, uint32_t merges_wanted)
{
    while (t->merges < merges_wanted && t->heap_count) {
        struct candidate c = candidate_pop(t);
        struct pair_info *p = pair_at(t->pair, t->pair_mask, c.key);
        if (p->count != c.count) {
            if (p->count > 0)
                TRY(candidate_push(t, (struct candidate){p->count, c.key}));
            continue;
        }
        if (c.count < 2)
            break; /* a pair seen once is not a pattern */
        uint32_t left = (uint32_t)(c.key >> 32), right = (uint32_t)c.key, id = 256 + t->merges;
        TRY(token_join(t, left, right, id));
        t->merge[t->merges++] = (struct bpe_pair){left, right};
        struct list words = p->words;
        p->words = (struct list){0};
        p->count = 0;
        int rc = 0;
        for (uint32_t i = 0; i < words.count && rc >= 0; i++)
            rc = word_merge(t, words.item[i], left, right, id);
        free(words.item);
        TRY(rc);
        /* Where left == right, word_merge has taken the pair's own count below zero; it is used up.
         */
        pair_at(t->pair, t->pair_mask, c.key)->count = 0;
        for (size_t i = 0; i < t->born_count; i++) {
            int64_t count = pair_at(t->pair, t->pair_mask, t->born[i])->count;
            if (count > 0)
                TRY(candidate_push(t, (struct candidate){count, t->born[i]}));
        }
        t->born_count = 0;
    }
    return 0;
}

int bpe_trainer_finish(struct bpe_trainer *t, const char *dir, struct io_info *json_info,
                       struct io_info *ranks_info)
{
    uint32_t wanted = t->conf.vocab_size > 257 ? (uint32_t)(t->conf.vocab_size - 257) : 0;
    assert(!t->word);
    t->token = calloc(256 + (size_t)wanted, sizeof *t->token);
    t->merge = calloc((size_t)wanted + 1, sizeof *t->merge);
    char *single = arena_push(&t->bytes, 256, 1);
    if (!t->token || !t->merge || !single)
        return err_set(ERR_LIMIT, "tokenizer: no memory for %u tokens", wanted);
    for (uint32_t b = 0; b < 256; b++) {
        single[b] = (char)b;
        t->token[b] = (struct str){single + b, 1};
    }
    TRY(words_make(t));
    TRY(pairs_make(t));
    TRY(learn(t, wanted));
    return tokenizer_write(dir, t->conf.pretok, t->token, t->merge, t->merges, json_info,
                           ranks_info);
}

void bpe_trainer_close(struct bpe_trainer *t)
{
    if (!t)
        return;
    for (uint64_t i = 0; t->pair && i <= t->pair_mask; i++)
        free(t->pair[i].words.item);
    free(t->pair);
    free(t->heap);
    free(t->born);
    free(t->word);
    free(t->symbol);
    free(t->token);
    free(t->merge);
    free(t->slot);
    arena_close(&t->bytes);
    free(t);
}

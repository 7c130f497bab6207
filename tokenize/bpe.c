/* bpe - encoding and decoding with a table of merges.
 *
 * A piece of the splitter is looked up in a small per-thread cache (most pieces recur: 99 % of them
 * on web text); a miss is merged. Short pieces are merged by scanning for the lowest rank each
 * time, which beats everything below about a hundred symbols; long ones by a linked list and a heap
 * with lazy deletion, so that a million equal letters cost n log n, never n squared. */
#include "tokenize/bpe.h"

#include "core/err.h"
#include "core/hash.h"

#include <assert.h>
#include <stdlib.h>

enum {
    SCAN_MAX = 64, /* symbols up to which scanning is the faster way */
    CACHE_BYTES = 46,
    CACHE_IDS = 12,
    CACHE_SLOTS = 1 << 15, /* entries of 104 bytes: 3.4 MB a thread */
};

struct cache_entry {
    uint64_t hash;
    uint32_t id[CACHE_IDS];
    uint8_t len, count;
    char key[CACHE_BYTES];
};
struct encoder {
    const struct tokenizer *t;
    struct cache_entry *cache;
    struct merge_work work;
    uint32_t *symbol, symbol_max;
};

/* ---- tables ---- */
int pair_table_open(struct pair_table *t, uint64_t expected)
{
    uint64_t size = 1024;
    while (size < expected * 2)
        size *= 2;
    t->slot = malloc(size * sizeof *t->slot);
    if (!t->slot)
        return err_set(ERR_LIMIT, "tokenizer: no memory for %llu merges",
                       (unsigned long long)expected);
    memset(t->slot, 0xFF, size * sizeof *t->slot);
    t->mask = size - 1;
    t->count = 0;
    return 0;
}

int pair_table_put(struct pair_table *t, uint32_t left, uint32_t right, uint32_t rank, uint32_t id)
{
    if ((t->count + 1) * 2 > t->mask + 1) {
        struct pair_table grown = {0};
        TRY(pair_table_open(&grown, t->count * 2 + 2));
        for (uint64_t i = 0; i <= t->mask; i++)
            if (t->slot[i].key != ~(uint64_t)0)
                TRY(pair_table_put(&grown, (uint32_t)(t->slot[i].key >> 32),
                                   (uint32_t)t->slot[i].key, t->slot[i].rank, t->slot[i].id));
        free(t->slot);
        *t = grown;
    }
    uint64_t key = pair_key(left, right), at = (key * 0x9E3779B97F4A7C15u) >> 20 & t->mask;
    while (t->slot[at].key != ~(uint64_t)0) {
        if (t->slot[at].key == key)
            return 0; /* the first one counts */
        at = (at + 1) & t->mask;
    }
    t->slot[at] = (struct pair_slot){key, rank, id};
    t->count++;
    return 0;
}

void pair_table_close(struct pair_table *t)
{
    free(t->slot);
    *t = (struct pair_table){0};
}

int token_map_open(struct token_map *m, const struct str *token, uint32_t count)
{
    uint64_t size = 1024;
    while (size < (uint64_t)count * 2)
        size *= 2;
    m->slot = malloc(size * sizeof *m->slot);
    if (!m->slot)
        return err_set(ERR_LIMIT, "tokenizer: no memory for %u tokens", count);
    memset(m->slot, 0xFF, size * sizeof *m->slot);
    m->mask = size - 1;
    for (uint32_t id = 0; id < count; id++) {
        if (!token[id].ptr)
            continue;
        uint64_t at = hash_str(token[id], 0) & m->mask;
        while (m->slot[at] != NO_ID)
            at = (at + 1) & m->mask;
        m->slot[at] = id;
    }
    return 0;
}

uint32_t token_map_find(const struct token_map *m, const struct str *token, struct str bytes)
{
    uint64_t at = hash_str(bytes, 0) & m->mask;
    for (; m->slot[at] != NO_ID; at = (at + 1) & m->mask)
        if (str_eq(token[m->slot[at]], bytes))
            return m->slot[at];
    return NO_ID;
}

void token_map_close(struct token_map *m)
{
    free(m->slot);
    *m = (struct token_map){0};
}

/* ---- merging ---- */
int merge_work_grow(struct merge_work *w, uint32_t count)
{
    if (count <= w->max)
        return 0;
    merge_work_free(w);
    w->prev = malloc(sizeof *w->prev * count);
    w->next = malloc(sizeof *w->next * count);
    w->heap = malloc(sizeof *w->heap * 3 * (size_t)count); /* n - 1 pairs, then two per merge */
    if (!w->prev || !w->next || !w->heap) {
        merge_work_free(w);
        return err_set(ERR_LIMIT, "tokenizer: no memory for a piece of %u bytes", count);
    }
    w->max = count;
    return 0;
}

void merge_work_free(struct merge_work *w)
{
    free(w->prev);
    free(w->next);
    free(w->heap);
    *w = (struct merge_work){0};
}

static uint32_t merge_scan(const struct pair_table *merges, uint32_t *symbol, uint32_t count)
{
    uint32_t rank[SCAN_MAX], id[SCAN_MAX];
    for (uint32_t i = 0; i + 1 < count; i++) {
        const struct pair_slot *s = pair_find(merges, symbol[i], symbol[i + 1]);
        rank[i] = s ? s->rank : NO_ID;
        id[i] = s ? s->id : NO_ID;
    }
    while (count > 1) {
        uint32_t best = 0;
        for (uint32_t i = 1; i + 1 < count; i++)
            if (rank[i] < rank[best])
                best = i;
        if (rank[best] == NO_ID)
            break;
        symbol[best] = id[best];
        count--;
        for (uint32_t i = best + 1; i < count; i++) {
            symbol[i] = symbol[i + 1];
            rank[i - 1] = rank[i];
            id[i - 1] = id[i];
        }
        for (uint32_t i = best ? best - 1 : 0; i <= best && i + 1 < count; i++) {
            const struct pair_slot *s = pair_find(merges, symbol[i], symbol[i + 1]);
            rank[i] = s ? s->rank : NO_ID;
            id[i] = s ? s->id : NO_ID;
        }
    }
    return count;
}

static bool item_before(const struct merge_item *a, const struct merge_item *b)
{
    return a->rank != b->rank ? a->rank < b->rank : a->pos < b->pos;
}

static void heap_push(struct merge_item *heap, uint32_t *size, struct merge_item item)
{
    uint32_t at = (*size)++;
    for (; at; at = (at - 1) / 2) {
        if (!item_before(&item, &heap[(at - 1) / 2]))
            break;
        heap[at] = heap[(at - 1) / 2];
    }
    heap[at] = item;
}

static struct merge_item heap_pop(struct merge_item *heap, uint32_t *size)
{
    struct merge_item top = heap[0], last = heap[--*size];
    uint32_t at = 0;
    for (;;) {
        uint32_t child = 2 * at + 1;
        if (child >= *size)
            break;
        if (child + 1 < *size && item_before(&heap[child + 1], &heap[child]))
            child++;
        if (!item_before(&heap[child], &last))
            break;
        heap[at] = heap[child];
        at = child;
    }
    heap[at] = last;
    return top;
}

static void offer(const struct pair_table *merges, const uint32_t *symbol, struct merge_work *w,
                  uint32_t *size, uint32_t left)
{
    if (left == NO_ID || w->next[left] == NO_ID)
        return;
    uint32_t right = w->next[left];
    const struct pair_slot *s = pair_find(merges, symbol[left], symbol[right]);
    if (s)
        heap_push(w->heap, size, (struct merge_item){s->rank, left, symbol[left], symbol[right]});
}

static uint32_t merge_heap(const struct pair_table *merges, uint32_t *symbol, uint32_t count,
                           struct merge_work *w)
{
    uint32_t size = 0, kept = 0;
    for (uint32_t i = 0; i < count; i++) {
        w->prev[i] = i ? i - 1 : NO_ID;
        w->next[i] = i + 1 < count ? i + 1 : NO_ID;
    }
    for (uint32_t i = 0; i < count; i++)
        offer(merges, symbol, w, &size, i);
    while (size) {
        struct merge_item item = heap_pop(w->heap, &size);
        uint32_t left = item.pos, right = w->next[left];
        /* Stale when either side has changed; a symbol merged away is NO_ID and matches nothing. */
        if (symbol[left] != item.left || right == NO_ID || symbol[right] != item.right)
            continue;
        symbol[left] = pair_find(merges, item.left, item.right)->id;
        symbol[right] = NO_ID;
        w->next[left] = w->next[right];
        if (w->next[right] != NO_ID)
            w->prev[w->next[right]] = left;
        offer(merges, symbol, w, &size, w->prev[left]);
        offer(merges, symbol, w, &size, left);
    }
    for (uint32_t i = 0; i < count; i++)
        if (symbol[i] != NO_ID)
            symbol[kept++] = symbol[i];
    return kept;
}

uint32_t bpe_merge(const struct pair_table *merges, uint32_t *symbol, uint32_t count,
                   struct merge_work *w)
{
    return count <= SCAN_MAX ? merge_scan(merges, symbol, count)
                             : merge_heap(merges, symbol, count, w);
}

/* ---- the tokenizer ---- */
int tokenizer_seal(struct tokenizer *t)
{
    struct hash_stream *h;
    for (int b = 0; b < 256; b++)
        t->byte_id[b] = NO_ID;
    for (uint32_t id = 0; id < t->vocab; id++)
        if (t->token[id].ptr && t->token[id].len == 1)
            t->byte_id[(unsigned char)t->token[id].ptr[0]] = id;
    for (int b = 0; b < 256; b++)
        if (t->byte_id[b] == NO_ID)
            return err_set(ERR_FORMAT, "no token for byte %d: not a byte-level BPE", b);
    TRY(token_map_open(&t->map, t->token, t->vocab));
    TRY(hash_begin(&h));
    uint32_t head[4] = {(uint32_t)t->pretok, t->whole_piece_first, t->vocab, t->eot};
    hash_add(h, head, sizeof head);
    for (uint32_t id = 0; id < t->vocab; id++) {
        uint32_t len = (uint32_t)t->token[id].len;
        hash_add(h, &len, sizeof len);
        hash_add(h, t->token[id].ptr, len);
    }
    uint64_t sum = 0; /* over the merges, in any order */
    for (uint64_t i = 0; i <= t->merges.mask; i++)
        if (t->merges.slot[i].key != ~(uint64_t)0)
            sum +=
                hash_mix(t->merges.slot[i].key ^
                         hash_mix((uint64_t)t->merges.slot[i].rank << 32 | t->merges.slot[i].id));
    hash_add(h, &sum, sizeof sum);
    t->hash = hash_end(h);
    return 0;
}

uint32_t tokenizer_vocab(const struct tokenizer *t) { return t->vocab; }
uint32_t tokenizer_eot(const struct tokenizer *t) { return t->eot; }
struct hash128 tokenizer_hash(const struct tokenizer *t) { return t->hash; }

struct str tokenizer_bytes(const struct tokenizer *t, uint32_t id)
{
    return id < t->vocab ? t->token[id] : (struct str){0};
}

int tokenizer_decode(const struct tokenizer *t, const uint32_t *ids, uint32_t count, struct buf *to)
{
    for (uint32_t i = 0; i < count; i++) {
        if (ids[i] >= t->vocab)
            return err_set(ERR_FORMAT, "tokenizer: id %u at %u, the vocabulary has %u", ids[i], i,
                           t->vocab);
        buf_str(to, t->token[ids[i]]);
    }
    return to->failed ? err_set(ERR_LIMIT, "tokenizer: no memory for the text of %u tokens", count)
                      : 0;
}

void tokenizer_close(struct tokenizer *t)
{
    if (!t)
        return;
    pair_table_close(&t->merges);
    token_map_close(&t->map);
    free(t->token);
    arena_close(&t->arena);
    free(t);
}

/* ---- the encoder ---- */
int encoder_open(struct encoder **out, const struct tokenizer *t)
{
    struct encoder *e = calloc(1, sizeof *e);
    if (e)
        e->cache = calloc(CACHE_SLOTS, sizeof *e->cache);
    if (!e || !e->cache) {
        free(e);
        return err_set(ERR_LIMIT, "encoder: no memory");
    }
    e->t = t;
    *out = e;
    return 0;
}

void encoder_close(struct encoder *e)
{
    if (!e)
        return;
    merge_work_free(&e->work);
    free(e->symbol);
    free(e->cache);
    free(e);
}

static int symbols_grow(struct encoder *e, size_t count)
{
    if (count <= e->symbol_max)
        return 0;
    if (count > UINT32_MAX / 16)
        return err_set(ERR_LIMIT, "encoder: a piece of %zu bytes", count);
    uint32_t *grown = realloc(e->symbol, sizeof *grown * count);
    if (!grown)
        return err_set(ERR_LIMIT, "encoder: no memory for a piece of %zu bytes", count);
    e->symbol = grown;
    e->symbol_max = (uint32_t)count;
    return count > SCAN_MAX ? merge_work_grow(&e->work, (uint32_t)count) : 0;
}

/* Ids of one piece into e->symbol. */
static int encode_piece(struct encoder *e, struct str piece, uint32_t *count)
{
    const struct tokenizer *t = e->t;
    TRY(symbols_grow(e, piece.len < SCAN_MAX ? SCAN_MAX : piece.len));
    if (t->whole_piece_first) {
        uint32_t id = token_map_find(&t->map, t->token, piece);
        if (id != NO_ID) {
            e->symbol[0] = id;
            *count = 1;
            return 0;
        }
    }
    for (size_t i = 0; i < piece.len; i++)
        e->symbol[i] = t->byte_id[(unsigned char)piece.ptr[i]];
    *count = bpe_merge(&t->merges, e->symbol, (uint32_t)piece.len, &e->work);
    return 0;
}

/* Ids of one piece, from the cache when they are there. The pointer holds until the next call. */
static int piece_ids(struct encoder *e, struct str piece, const uint32_t **ids, uint32_t *count)
{
    if (piece.len > CACHE_BYTES) {
        *ids = NULL;
        int rc = encode_piece(e, piece, count);
        *ids = e->symbol;
        return rc;
    }
    uint64_t hash = hash64(piece.ptr, piece.len, 0);
    struct cache_entry *c = &e->cache[hash & (CACHE_SLOTS - 1)];
    if (c->hash == hash && c->len == piece.len && memcmp(c->key, piece.ptr, piece.len) == 0) {
        *ids = c->id;
        *count = c->count;
        return 0;
    }
    TRY(encode_piece(e, piece, count));
    *ids = e->symbol;
    if (*count <= CACHE_IDS) {
        c->hash = hash;
        c->len = (uint8_t)piece.len;
        c->count = (uint8_t)*count;
        memcpy(c->key, piece.ptr, piece.len);
        memcpy(c->id, e->symbol, sizeof *e->symbol * *count);
    }
    return 0;
}

int encoder_encode(struct encoder *e, struct str text, struct arena *a, const uint32_t **ids,
                   uint32_t *count)
{
    if (text.len > UINT32_MAX / 16)
        return err_set(ERR_LIMIT, "encoder: a text of %zu bytes", text.len);
    size_t pos = 0, mark = arena_mark(a);
    uint32_t total = 0;
    uint32_t *out =
        arena_array(a, uint32_t, text.len ? text.len : 1); /* never more ids than bytes */
    if (!out)
        return ERR_LIMIT;
    while (pos < text.len) {
        const uint32_t *piece;
        uint32_t piece_count;
        size_t end = pretok_next(e->t->pretok, text, pos);
        assert(end > pos);
        TRY(piece_ids(e, str_slice(text, pos, end), &piece, &piece_count));
        memcpy(out + total, piece, sizeof *piece * piece_count);
        total += piece_count;
        pos = end;
    }
    arena_reset(a, mark); /* keep what was used */
    *ids = arena_array(a, uint32_t, total ? total : 1);
    *count = total;
    return 0;
}

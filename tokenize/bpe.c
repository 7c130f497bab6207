/* bpe - tables of tokens and merges, and merging itself.
 *
 * Short pieces are merged by scanning for the lowest rank each time, which beats everything below
 * about a hundred symbols; long ones by a linked list and a heap with lazy deletion, so that a
 * million equal letters cost n log n, never n squared. */
#include "tokenize/bpe.h"

#include "core/err.h"
#include "core/hash.h"

#include <assert.h>
#include <stdlib.h>

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

/* Bit of the first 8 bytes of 32 and more: most long pieces are no token, and this tells it. */
static inline uint32_t long_bit(const char *bytes)
{
    uint64_t first;
    memcpy(&first, bytes, sizeof first);
    return (uint32_t)(first * 0x9E3779B97F4A7C15u >> 52);
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
    m->longest = 0;
    memset(m->long_first, 0, sizeof m->long_first);
    for (uint32_t id = 0; id < count; id++) {
        if (!token[id].ptr)
            continue;
        if (token[id].len >= TOKEN_LONG) {
            uint32_t bit = long_bit(token[id].ptr);
            m->long_first[bit >> 6] |= (uint64_t)1 << (bit & 63);
        }
        uint64_t hash = hash_str(token[id], 0), at = hash & m->mask;
        while (m->slot[at].id != NO_ID)
            at = (at + 1) & m->mask;
        m->slot[at] = (struct token_slot){(uint32_t)(hash >> 32), id};
        m->longest = token[id].len > m->longest ? token[id].len : m->longest;
    }
    return 0;
}

uint32_t token_map_find(const struct token_map *m, const struct str *token, struct str bytes)
{
    if (bytes.len > m->longest)
        return NO_ID;
    if (bytes.len >= TOKEN_LONG) {
        uint32_t bit = long_bit(bytes.ptr);
        if (!(m->long_first[bit >> 6] >> (bit & 63) & 1))
            return NO_ID;
    }
    uint64_t hash = hash_str(bytes, 0), at = hash & m->mask;
    for (; m->slot[at].id != NO_ID; at = (at + 1) & m->mask)
        if (m->slot[at].hash == (uint32_t)(hash >> 32) && str_eq(token[m->slot[at].id], bytes))
            return m->slot[at].id;
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

/* Straight from the definition: the lowest rank first, the leftmost of its kind. */
static uint32_t merge_scan(const struct pair_table *merges, uint32_t *symbol, uint32_t count)
{
    uint32_t rank[BPE_SCAN_MAX], id[BPE_SCAN_MAX];
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

uint32_t bpe_merge(const struct pair_table *merges, uint32_t *symbol, uint32_t count,
                   struct merge_work *w)
{
    return count > BPE_SCAN_MAX ? merge_heap(merges, symbol, count, w)
                                : merge_scan(merges, symbol, count);
}

/* The same with the fast map; count is 2 to BPE_SCAN_MAX bytes. */
static uint32_t merge_bytes_scan(const struct tokenizer *t, const unsigned char *byte,
                                 uint32_t count, uint32_t *symbol)
{
    const struct merge_map *m = &t->fast;
    uint32_t order[BPE_SCAN_MAX];
    for (uint32_t i = 0; i + 1 < count; i++) {
        symbol[i] = t->byte_id[byte[i]];
        order[i] = m->byte_pair[byte[i] << 8 | byte[i + 1]];
    }
    symbol[count - 1] = t->byte_id[byte[count - 1]];
    for (;;) {
        uint32_t best = 0, lowest = order[0];
        for (uint32_t i = 1; i + 1 < count; i++) {
            best = order[i] < lowest ? i : best;
            lowest = order[i] < lowest ? order[i] : lowest;
        }
        if (lowest == NO_ID)
            return count;
        symbol[best] = m->id ? m->id[lowest] : lowest;
        if (--count == 1)
            return count;
        for (uint32_t i = best + 1; i < count; i++) {
            symbol[i] = symbol[i + 1];
            order[i - 1] = order[i];
        }
        if (best)
            order[best - 1] = merge_find(m, symbol[best - 1], symbol[best]);
        if (best + 1 < count)
            order[best] = merge_find(m, symbol[best], symbol[best + 1]);
    }
}

uint32_t bpe_merge_bytes(const struct tokenizer *t, struct str piece, uint32_t *symbol,
                         struct merge_work *w)
{
    const unsigned char *byte = (const unsigned char *)piece.ptr;
    uint32_t count = (uint32_t)piece.len;
    if (count > 1 && count <= BPE_SCAN_MAX)
        return merge_bytes_scan(t, byte, count, symbol);
    for (uint32_t i = 0; i < count; i++)
        symbol[i] = t->byte_id[byte[i]];
    return count > 1 ? merge_heap(&t->merges, symbol, count, w) : count;
}

/* ---- the merges as encoding wants them ---- */
struct made_by {
    uint32_t left, right, rank; /* rank NO_ID: by no merge */
};

/* A token that several merges can make is made by one of them wherever it stands: the one its own
 * bytes end with. (Inside a longer text nothing outside takes part in what happens between its
 * bytes until the last two of its parts meet.) rank NO_ID when its bytes never come to it. */
static void made_alone(const struct tokenizer *t, uint32_t id, struct made_by *out)
{
    struct str bytes = t->token[id];
    uint32_t symbol[256], count = (uint32_t)bytes.len;
    out->rank = NO_ID;
    if (bytes.len > COUNT_OF(symbol))
        return;
    for (uint32_t i = 0; i < count; i++)
        symbol[i] = t->byte_id[(unsigned char)bytes.ptr[i]];
    while (count > 1) {
        const struct pair_slot *lowest = NULL;
        uint32_t best = 0;
        for (uint32_t i = 0; i + 1 < count; i++) {
            const struct pair_slot *s = pair_find(&t->merges, symbol[i], symbol[i + 1]);
            if (s && (!lowest || s->rank < lowest->rank)) {
                lowest = s;
                best = i;
            }
        }
        if (!lowest)
            return;
        if (count == 2 && lowest->id == id)
            *out = (struct made_by){symbol[0], symbol[1], lowest->rank};
        symbol[best] = lowest->id;
        count--;
        memmove(symbol + best + 1, symbol + best + 2, sizeof *symbol * (count - best - 1));
    }
}

static void made_by_all(const struct tokenizer *t, struct made_by *made)
{
    bool *many = (bool *)(made + t->vocab);
    for (uint32_t id = 0; id < t->vocab; id++)
        made[id].rank = NO_ID;
    for (uint64_t i = 0; i <= t->merges.mask; i++) {
        const struct pair_slot *s = &t->merges.slot[i];
        if (s->key == ~(uint64_t)0)
            continue;
        many[s->id] = made[s->id].rank != NO_ID;
        made[s->id] = (struct made_by){(uint32_t)(s->key >> 32), (uint32_t)s->key, s->rank};
    }
    for (uint32_t id = 0; id < t->vocab; id++)
        if (many[id])
            made_alone(t, id, &made[id]);
}

static void merge_map_fill(struct tokenizer *t, const struct made_by *made, const uint32_t *order)
{
    struct merge_map *m = &t->fast;
    uint64_t mask = ~(uint64_t)0 >> m->shift;
    memset(m->slot, 0xFF, (mask + 1) * sizeof *m->slot);
    memset(m->byte_pair, 0xFF, sizeof *m->byte_pair << 16);
    for (uint32_t id = 0; id < t->vocab; id++) {
        if (made[id].rank == NO_ID)
            continue;
        uint64_t key = merge_key(made[id].left, made[id].right), at = merge_place(m, key);
        while (m->slot[at] != MERGE_FREE)
            at = (at + 1) & mask;
        m->slot[at] = key | (order ? order[id] : id);
    }
    for (uint32_t pair = 0; pair < 1 << 16; pair++)
        m->byte_pair[pair] = merge_find(m, t->byte_id[pair >> 8], t->byte_id[pair & 255]);
}

struct ranked {
    uint32_t rank, id;
};

static int ranked_compare(const void *a, const void *b)
{
    uint32_t left = ((const struct ranked *)a)->rank, right = ((const struct ranked *)b)->rank;
    return left < right ? -1 : left > right;
}

/* order[id] of every token that a merge makes, and its inverse m->id: only when the ids themselves
 * are not in the order of the ranks. */
static int merge_orders(struct tokenizer *t, const struct made_by *made, uint32_t **order)
{
    uint32_t last = 0, count = 0;
    bool sorted = true;
    for (uint32_t id = 0; id < t->vocab; id++) {
        if (made[id].rank == NO_ID)
            continue;
        sorted &= count == 0 || made[id].rank > last;
        last = made[id].rank;
        count++;
    }
    *order = NULL;
    if (sorted)
        return 0;
    struct ranked *list = malloc(sizeof *list * count);
    *order = malloc(sizeof **order * t->vocab);
    t->fast.id = malloc(sizeof *t->fast.id * count);
    if (list && *order && t->fast.id) {
        uint32_t at = 0;
        for (uint32_t id = 0; id < t->vocab; id++)
            if (made[id].rank != NO_ID)
                list[at++] = (struct ranked){made[id].rank, id};
        qsort(list, count, sizeof *list, ranked_compare);
        for (uint32_t i = 0; i < count; i++) {
            t->fast.id[i] = list[i].id;
            (*order)[list[i].id] = i;
        }
    }
    bool enough = list && *order && t->fast.id;
    free(list);
    return enough ? 0 : err_set(ERR_LIMIT, "tokenizer: no memory for %u merges", count);
}

int merge_map_open(struct tokenizer *t)
{
    struct merge_map *m = &t->fast;
    uint32_t bits = 10, *order = NULL;
    while ((uint64_t)1 << bits < (uint64_t)t->vocab * 2)
        bits++;
    m->shift = 64 - bits;
    m->slot = malloc(sizeof *m->slot << bits);
    m->byte_pair = malloc(sizeof *m->byte_pair << 16);
    struct made_by *made = calloc(t->vocab, sizeof *made + sizeof(bool));
    int rc = m->slot && m->byte_pair && made
                 ? 0
                 : err_set(ERR_LIMIT, "tokenizer: no memory for its merges");
    if (rc >= 0) {
        made_by_all(t, made);
        rc = merge_orders(t, made, &order);
    }
    if (rc >= 0)
        merge_map_fill(t, made, order);
    free(order);
    free(made);
    return rc;
}

void merge_map_close(struct merge_map *m)
{
    free(m->slot);
    free(m->byte_pair);
    free(m->id);
    *m = (struct merge_map){0};
}

/* ---- the tokenizer ---- */
int tokenizer_bytes_known(struct tokenizer *t)
{
    for (int b = 0; b < 256; b++)
        t->byte_id[b] = NO_ID;
    for (uint32_t id = 0; id < t->vocab; id++)
        if (t->token[id].ptr && t->token[id].len == 1)
            t->byte_id[(unsigned char)t->token[id].ptr[0]] = id;
    for (int b = 0; b < 256; b++)
        if (t->byte_id[b] == NO_ID)
            return err_set(ERR_FORMAT, "no token for byte %d: not a byte-level BPE", b);
    return 0;
}

static int added_compare(const void *a, const void *b)
{
    return str_cmp(((const struct added_token *)a)->text, ((const struct added_token *)b)->text);
}

static int added_sort(struct tokenizer *t)
{
    if (t->added_count)
        qsort(t->added, t->added_count, sizeof *t->added, added_compare);
    for (uint32_t i = 0; i < t->added_count; i++) {
        const struct added_token *token = &t->added[i];
        if (i && str_eq(token->text, token[-1].text))
            return err_set(ERR_FORMAT, "the added tokens %u and %u have the same text",
                           token[-1].id, token->id);
        t->added_first[(unsigned char)token->text.ptr[0]] = true;
    }
    return 0;
}

int tokenizer_seal(struct tokenizer *t)
{
    struct hash_stream *h;
    TRY(tokenizer_bytes_known(t));
    TRY(token_map_open(&t->map, t->token, t->vocab));
    TRY(cuts_open(&t->cuts, t->token, t->vocab));
    TRY(merge_map_open(t));
    TRY(added_sort(t));
    TRY(hash_begin(&h));
    uint32_t head[4] = {(uint32_t)t->pretok | (uint32_t)t->nfc << 8, t->whole_piece_first, t->vocab,
                        t->eot};
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

uint32_t tokenizer_bos(const struct tokenizer *t) { return t->bos; }
uint32_t tokenizer_eos(const struct tokenizer *t) { return t->eos; }
struct str tokenizer_chat_template(const struct tokenizer *t) { return t->chat_template; }

void tokenizer_close(struct tokenizer *t)
{
    if (!t)
        return;
    pair_table_close(&t->merges);
    token_map_close(&t->map);
    cuts_close(&t->cuts);
    merge_map_close(&t->fast);
    free(t->token);
    free(t->added);
    arena_close(&t->arena);
    free(t);
}

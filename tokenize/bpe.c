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

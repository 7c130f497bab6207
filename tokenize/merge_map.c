/* merge_map - the merges in the form that encoding wants, and merging with them. */
#include "core/err.h"
#include "tokenize/bpe.h"

#include <stdlib.h>

/* Straight from the definition, as merge_scan of bpe.c; count is 2 to BPE_SCAN_MAX bytes. */
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
    return count > 1 ? bpe_merge(&t->merges, symbol, count, w) : count;
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
    m->slot = table_open(&m->memory, (sizeof *m->slot << bits) + (sizeof *m->byte_pair << 16));
    m->byte_pair = m->slot ? (void *)(m->slot + ((size_t)1 << bits)) : NULL;
    struct made_by *made = calloc(t->vocab, sizeof *made + sizeof(bool));
    int rc = m->slot && made ? 0 : err_set(ERR_LIMIT, "tokenizer: no memory for its merges");
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
    table_close(&m->memory);
    free(m->id);
    *m = (struct merge_map){0};
}

/* token_map - tokens by their bytes, and the memory that tables of random places lie in. */
#include "core/err.h"
#include "core/hash.h"
#include "tokenize/bpe.h"

#include <stdlib.h>
#include <sys/mman.h>

enum { HUGE = 2 << 20, STEPS_MAX = 1 << 28 };

void *table_open(struct table_memory *m, size_t bytes)
{
    bytes = (bytes + HUGE - 1) / HUGE * HUGE; /* or the last piece is none of huge pages */
    m->bytes = bytes + HUGE;
    m->base = mmap(NULL, m->bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (m->base == MAP_FAILED) {
        m->base = NULL;
        return NULL;
    }
    char *table = (char *)m->base + (HUGE - (uintptr_t)m->base % HUGE) % HUGE;
    madvise(table, bytes, MADV_HUGEPAGE);
    return table;
}

void table_touch(void *table, size_t bytes)
{
    madvise(table, bytes, MADV_POPULATE_WRITE); /* before Linux 5.14 the first looks do it */
}

void table_close(struct table_memory *m)
{
    if (m->base)
        munmap(m->base, m->bytes);
    m->base = NULL;
}

static struct piece_key key_copied(struct str bytes)
{
    char padded[SHORT_BYTES + 1] = {0};
    memcpy(padded, bytes.ptr, bytes.len);
    return key_read(padded, (uint32_t)bytes.len, 0);
}

/* Returns how far from its place the token had to be put. */
static uint64_t token_put(struct token_map *m, const struct str *token, uint32_t id)
{
    struct str bytes = token[id];
    uint64_t hash, mask = ~(uint64_t)0 >> m->shift;
    if (bytes.len <= SHORT_BYTES) {
        m->key[id] = key_copied(bytes);
        hash = key_hash(m->key[id]);
    } else {
        uint32_t bit = token_long_bit(bytes);
        m->long_known[bit >> 6] |= (uint64_t)1 << (bit & 63);
        hash = hash_str(bytes, 0);
    }
    uint64_t at = hash >> m->shift, steps = 0;
    for (; m->slot[at].id != NO_ID; steps++)
        at = (at + 1) & mask;
    m->slot[at] = (struct token_slot){(uint32_t)hash, id};
    m->longest = bytes.len > m->longest ? bytes.len : m->longest;
    return steps;
}

int token_map_open(struct token_map *m, const struct str *token, uint32_t count)
{
    uint32_t bits = 10;
    while ((uint64_t)1 << bits < (uint64_t)count * 2)
        bits++;
    size_t slot_bytes = sizeof *m->slot << bits, key_bytes = sizeof *m->key * count;
    char *at =
        table_open(&m->memory, slot_bytes + key_bytes + ((size_t)1 << (LONG_KNOWN_BITS - 3)));
    if (!at)
        return err_set(ERR_LIMIT, "tokenizer: no memory for %u tokens", count);
    m->slot = (void *)at;
    m->key = (void *)(at + slot_bytes);
    m->long_known = (void *)(at + slot_bytes + key_bytes);
    m->shift = 64 - bits;
    m->longest = 0;
    memset(m->slot, 0xFF, slot_bytes);
    uint64_t steps = 0;
    for (uint32_t id = 0; id < count; id++) {
        steps += token[id].ptr ? token_put(m, token, id) : 0;
        if (steps > STEPS_MAX)
            return err_set(ERR_FORMAT, "token %u: tokens that are all meant for one place", id);
    }
    return 0;
}

uint32_t token_map_find_key(const struct token_map *m, struct piece_key k, uint64_t hash)
{
    uint64_t mask = ~(uint64_t)0 >> m->shift, at = hash >> m->shift;
    for (; m->slot[at].id != NO_ID; at = (at + 1) & mask) {
        struct token_slot s = m->slot[at];
        if (s.hash == (uint32_t)hash && m->key[s.id].low == k.low && m->key[s.id].high == k.high)
            return s.id;
    }
    return NO_ID;
}

uint32_t token_map_find(const struct token_map *m, const struct str *token, struct str bytes)
{
    if (bytes.len <= SHORT_BYTES) {
        struct piece_key k = key_copied(bytes);
        return token_map_find_key(m, k, key_hash(k));
    }
    if (!token_map_may(m, bytes))
        return NO_ID;
    uint64_t hash = hash_str(bytes, 0), mask = ~(uint64_t)0 >> m->shift, at = hash >> m->shift;
    for (; m->slot[at].id != NO_ID; at = (at + 1) & mask)
        if (m->slot[at].hash == (uint32_t)hash && str_eq(token[m->slot[at].id], bytes))
            return m->slot[at].id;
    return NO_ID;
}

void token_map_close(struct token_map *m)
{
    table_close(&m->memory);
    *m = (struct token_map){0};
}

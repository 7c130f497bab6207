/* piece_cache - opening, growing and filling the tables of pieces. */
#include "tokenize/piece_cache.h"

#include "core/err.h"
#include "core/hash.h"

#include <assert.h>

int piece_cache_open(struct piece_cache *c)
{
    *c = (struct piece_cache){.line_mask = (1 << LINE_BITS) - 1,
                              .longer_mask = (1 << LONG_BITS) - 1};
    c->line = table_open(&c->line_memory, sizeof *c->line << LINE_BITS_MAX);
    c->longer = table_open(&c->longer_memory, sizeof *c->longer << LONG_BITS_MAX);
    c->wide = table_open(&c->wide_memory, sizeof *c->wide << WIDE_BITS);
    if (!c->line || !c->longer || !c->wide) {
        piece_cache_close(c);
        return err_set(ERR_LIMIT, "encoder: no memory for a cache of pieces");
    }
    table_touch(c->line, sizeof *c->line << LINE_BITS);
    table_touch(c->longer, sizeof *c->longer << LONG_BITS);
    return 0;
}

void piece_cache_close(struct piece_cache *c)
{
    table_close(&c->line_memory);
    table_close(&c->longer_memory);
    table_close(&c->wide_memory);
    *c = (struct piece_cache){0};
}

/* ---- filling ---- */
static struct short_entry *short_victim(struct piece_cache *c, uint32_t place)
{
    struct short_line *line = &c->line[place], *beside = &c->line[place ^ 1];
    struct short_entry *places[] = {&line->way[0], &line->way[1], &beside->way[0], &beside->way[1]};
    for (size_t i = 0; i < COUNT_OF(places); i++) {
        if (!places[i]->key.high) {
            c->shorts++;
            return places[i];
        }
    }
    return &line->way[1];
}

struct short_entry *short_put(struct piece_cache *c, struct piece_key k, uint32_t place)
{
    struct short_entry *s = short_victim(c, place);
    *s = (struct short_entry){.key = k};
    return s;
}

void short_set(struct short_entry *s, const uint32_t *id, uint32_t count)
{
    assert(count <= SHORT_IDS);
    memset(s->id, 0, sizeof s->id);
    for (uint32_t i = 0; i < count; i++)
        s->id[i] = id[i];
    s->id[0] |= count << COUNT_SHIFT;
}

static struct long_entry *long_victim(struct piece_cache *c, uint32_t place)
{
    struct long_entry *own = &c->longer[place], *beside = &c->longer[place ^ 1];
    struct long_entry *victim = own->key.word[3] ? beside : own;
    c->longs += !victim->key.word[3];
    return victim;
}

void long_put(struct piece_cache *c, const struct long_key *k, uint32_t place, const uint32_t *id,
              uint32_t count)
{
    struct long_entry *l = long_victim(c, place);
    assert(count <= LONG_IDS);
    l->key = *k;
    l->count = count;
    memcpy(l->id, id, sizeof *id * count);
}

struct wide_entry *wide_at(const struct piece_cache *c, struct str piece)
{
    assert(piece.len && piece.len <= WIDE_BYTES);
    return &c->wide[hash_str(piece, 0) >> (64 - WIDE_BITS)];
}

uint32_t wide_copy(const struct wide_entry *w, struct str piece, uint32_t mark, uint32_t *out)
{
    if (w->len != piece.len || w->mark != mark || memcmp(w->byte, piece.ptr, piece.len) != 0)
        return 0;
    memcpy(out, w->id, sizeof *out * w->count);
    return w->count;
}

void wide_put(struct wide_entry *w, struct str piece, uint32_t mark, const uint32_t *id,
              uint32_t count)
{
    assert(count <= WIDE_IDS);
    w->len = (uint8_t)piece.len;
    w->mark = (uint8_t)mark;
    w->count = (uint16_t)count;
    memcpy(w->byte, piece.ptr, piece.len);
    memcpy(w->id, id, sizeof *id * count);
}

/* ---- growing ----
 * A place is the low bits of a hash. With one bit more an entry stays where it is or goes as many
 * places further as there were, and a place and the one beside it stay neighbours: so two lines
 * are emptied and dealt out again at a time. */
static void lines_double(struct piece_cache *c)
{
    uint64_t lines = c->line_mask + 1;
    c->line_mask = lines * 2 - 1;
    c->shorts = 0;
    for (uint64_t i = 0; i < lines; i += 2) {
        struct short_line pair[2];
        memcpy(pair, &c->line[i], sizeof pair);
        memset(&c->line[i], 0, sizeof pair);
        for (int k = 0; k < 4; k++) {
            const struct short_entry *s = &pair[k & 1].way[k >> 1];
            if (s->key.high)
                *short_victim(c, short_place(c, s->key)) = *s;
        }
    }
}

static void longer_double(struct piece_cache *c)
{
    uint64_t places = c->longer_mask + 1;
    c->longer_mask = places * 2 - 1;
    c->longs = 0;
    for (uint64_t i = 0; i < places; i += 2) {
        struct long_entry pair[2];
        memcpy(pair, &c->longer[i], sizeof pair);
        memset(&c->longer[i], 0, sizeof pair);
        for (int k = 0; k < 2; k++)
            if (pair[k].key.word[3])
                *long_victim(c, long_place(c, &pair[k].key)) = pair[k];
    }
}

void piece_cache_grow(struct piece_cache *c)
{
    if (c->line_mask + 1 < (uint64_t)1 << LINE_BITS_MAX && c->shorts > c->line_mask)
        lines_double(c);
    if (c->longer_mask + 1 < (uint64_t)1 << LONG_BITS_MAX && c->longs * 2 > c->longer_mask)
        longer_double(c);
}

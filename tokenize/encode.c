/* encode - text to ids: pieces are looked up in a cache, and only what is new is merged.
 *
 * Pieces recur: in web text 99 of 100 have been seen before. So the work is to cut (pretok_fast.c)
 * and to look up, and both are done for many pieces at a time: the key of a piece of up to 15 bytes
 * is its bytes and its length in 16; its place in the cache is asked for early (prefetch) and two
 * places share a cache line. Pieces of 16 to 31 bytes have a cache of their own with longer keys.
 * Longer pieces, and all pieces where no token reaches across some place in them (cuts.c), are
 * taken apart there first.
 *
 * A piece that is a token is that token where the tokenizer says so (tiktoken; Llama 3), without
 * regard to merges. A part of a piece is not a piece: its entry in the cache carries a mark. */
#include "core/err.h"
#include "core/hash.h"
#include "tokenize/bpe.h"
#include "tokenize/nfc.h"

#include <assert.h>
#include <stdlib.h>
#include <sys/mman.h>

enum {
    SHORT_BYTES = 15,
    SHORT_IDS = 4,
    LONG_BYTES = 31,
    LONG_IDS = 7,
    LINE_BITS = 17,   /* 8 MiB: fewer forget too much, more miss the processor's caches */
    LONG_BITS = 15,   /* 2 MiB */
    COUNT_SHIFT = 24, /* ids are below 2^22: the first one carries the count */
    ID_MASK = (1 << COUNT_SHIFT) - 1,
    PART = 16,        /* beside the length: a part of a piece */
    LONG_MARK = 32,   /* the same in the other cache */
    SPLIT_MAX = 1024, /* pieces cut at a time */
    AHEAD = 64,       /* pieces whose places are asked for before they are looked at */
    ROOM = 16,        /* ids written past the end of what counts */
};

struct short_entry {
    uint64_t low, high; /* the bytes; the length (and PART) in the top byte */
    uint32_t id[SHORT_IDS];
};
struct short_line {
    struct short_entry way[2];
};
struct long_entry {
    char key[LONG_BYTES];
    uint8_t len; /* and LONG_MARK; 0: free */
    uint32_t id[LONG_IDS], count;
};
struct key {
    uint64_t low, high;
};
struct table_memory {
    void *base;
    size_t bytes;
};
struct encoder {
    const struct tokenizer *t;
    struct short_line *line;
    struct long_entry *longer;
    struct table_memory line_memory, longer_memory;
    struct merge_work work;
    uint32_t *symbol, symbol_max;
    const char *limit; /* end of the text that is being encoded */
    struct nfc_work normal;
    uint32_t end[SPLIT_MAX];
};

/* ---- keys ---- */
/* Reads 16 bytes from p, of which len (1 to 15) count. */
static inline struct key key_read(const char *p, uint32_t len, uint32_t mark)
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
    struct key k;
    memcpy(&k.low, p, sizeof k.low);
    memcpy(&k.high, p + 8, sizeof k.high);
    k.low &= mask[len < 8 ? len : 8];
    k.high = (k.high & mask[len < 8 ? 0 : len - 8]) | (uint64_t)(len | mark) << 56;
    return k;
}

/* The same when fewer than 16 bytes may be read. */
static struct key key_read_end(const char *p, uint32_t len, uint32_t mark)
{
    char bytes[16] = {0};
    memcpy(bytes, p, len);
    return key_read(bytes, len, mark);
}

static inline uint64_t key_place(struct key k)
{
    unsigned __int128 product =
        (unsigned __int128)(k.low ^ 0x9E3779B97F4A7C15u) * (k.high ^ 0xD6E8FEB86659FD93u);
    return ((uint64_t)product ^ (uint64_t)(product >> 64)) >> (64 - LINE_BITS);
}

static inline struct key piece_key(const char *p, uint32_t len, const char *end, uint32_t mark)
{
    return end - p >= 16 ? key_read(p, len, mark) : key_read_end(p, len, mark);
}

/* ---- what is not in a cache ---- */
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
    return count > BPE_SCAN_MAX ? merge_work_grow(&e->work, (uint32_t)count) : 0;
}

/* Ids of one piece, or of a part of one, into e->symbol. */
static int piece_merge(struct encoder *e, struct str piece, bool part, uint32_t *count)
{
    const struct tokenizer *t = e->t;
    TRY(symbols_grow(e, piece.len < BPE_SCAN_MAX ? BPE_SCAN_MAX : piece.len));
    if (t->whole_piece_first && !part) {
        uint32_t id = token_map_find(&t->map, t->token, piece);
        if (id != NO_ID) {
            e->symbol[0] = id;
            *count = 1;
            return 0;
        }
    }
    *count = bpe_merge_bytes(t, piece, e->symbol, &e->work);
    return 0;
}

static inline void short_fill(struct short_entry *s, struct key k, const uint32_t *id,
                              uint32_t count)
{
    s->low = k.low;
    s->high = k.high;
    s->id[0] = 0;
    for (uint32_t i = 0; i < count; i++)
        s->id[i] = id[i];
    s->id[0] |= count << COUNT_SHIFT;
}

/* Where a new entry goes: its line, the line's neighbour when that is full, and in a full
 * neighbourhood the place of the youngest: what came first is what is common. */
static struct short_entry *short_victim(struct encoder *e, uint64_t place)
{
    struct short_line *line = &e->line[place], *beside = &e->line[place ^ 1];
    for (int way = 0; way < 2; way++)
        if (!line->way[way].high)
            return &line->way[way];
    for (int way = 0; way < 2; way++)
        if (!beside->way[way].high)
            return &beside->way[way];
    return &line->way[1];
}

/* ---- the cache of longer pieces, and of short ones with many ids ---- */
static struct long_entry *long_place(const struct encoder *e, struct str bytes, bool marked)
{
    return &e->longer[hash64(bytes.ptr, bytes.len, marked) >> (64 - LONG_BITS)];
}

static bool long_holds(const struct long_entry *l, struct str bytes, bool marked)
{
    return l->len == (bytes.len | (marked ? LONG_MARK : 0)) &&
           memcmp(l->key, bytes.ptr, bytes.len) == 0;
}

static uint32_t long_copy(const struct long_entry *l, uint32_t *out)
{
    memcpy(out, l->id, sizeof l->id);
    return l->count;
}

static void long_fill(struct long_entry *l, struct str bytes, bool marked, const uint32_t *id,
                      uint32_t count)
{
    memcpy(l->key, bytes.ptr, bytes.len);
    memcpy(l->id, id, sizeof *id * count);
    l->len = (uint8_t)(bytes.len | (marked ? LONG_MARK : 0));
    l->count = count;
}

/* At most LONG_BYTES that are not for the short cache: their ids from the other one, or by merging,
 * *count of them to out. */
static int long_or_merge(struct encoder *e, struct str bytes, bool part, uint32_t *out,
                         uint32_t *count)
{
    bool marked = part && e->t->whole_piece_first;
    struct long_entry *l = long_place(e, bytes, marked);
    if (long_holds(l, bytes, marked)) {
        *count = long_copy(l, out);
        return 0;
    }
    TRY(piece_merge(e, bytes, part, count));
    memcpy(out, e->symbol, sizeof *out * *count);
    if (*count <= LONG_IDS && (*count > SHORT_IDS || bytes.len > SHORT_BYTES))
        long_fill(l, bytes, marked, out, *count);
    return 0;
}

/* A piece of up to SHORT_BYTES that the cache does not have; *count ids to out. Where they are too
 * many for an entry, one with the count 0 says that the other cache has them. */
static int short_miss(struct encoder *e, struct str piece, bool part, struct key k, uint32_t *out,
                      uint32_t *count)
{
    TRY(piece_merge(e, piece, part, count));
    memcpy(out, e->symbol, sizeof *out * *count);
    if (*count > LONG_IDS)
        return 0;
    bool many = *count > SHORT_IDS, marked = part && e->t->whole_piece_first;
    if (many)
        long_fill(long_place(e, piece, marked), piece, marked, out, *count);
    short_fill(short_victim(e, key_place(k)), k, out, many ? 0 : *count);
    return 0;
}

static inline const struct short_entry *line_find(const struct short_entry *way, struct key k)
{
    bool first = way[0].low == k.low && way[0].high == k.high;
    bool second = way[1].low == k.low && way[1].high == k.high;
    return first || second ? &way[!first] : NULL;
}

static inline const struct short_entry *short_find(const struct encoder *e, struct key k,
                                                   uint64_t place)
{
    const struct short_entry *found = line_find(e->line[place].way, k);
    return found ? found : line_find(e->line[place ^ 1].way, k);
}

/* Writes SHORT_IDS ids, of which the returned count are meant. */
static inline uint32_t short_copy(const struct short_entry *s, uint32_t *out)
{
    memcpy(out, s->id, sizeof s->id);
    uint32_t count = out[0] >> COUNT_SHIFT;
    out[0] &= ID_MASK;
    return count;
}

/* One part of a piece that is not cut any further. */
static int part_ids(struct encoder *e, struct str part, uint32_t *out, uint32_t *count)
{
    bool marked = e->t->whole_piece_first;
    if (part.len <= SHORT_BYTES) {
        struct key k = piece_key(part.ptr, (uint32_t)part.len, e->limit, marked ? PART : 0);
        const struct short_entry *s = short_find(e, k, key_place(k));
        if (!s)
            return short_miss(e, part, true, k, out, count);
        *count = short_copy(s, out);
        return *count ? 0 : long_or_merge(e, part, true, out, count);
    }
    if (part.len <= LONG_BYTES)
        return long_or_merge(e, part, true, out, count);
    TRY(piece_merge(e, part, true, count));
    memcpy(out, e->symbol, sizeof *out * *count);
    return 0;
}

/* A piece of more than SHORT_BYTES that no cache has. ASCII is not cut: tokens reach across every
 * place in it. */
static int long_miss(struct encoder *e, struct str piece, uint32_t *out, uint32_t *count)
{
    const struct tokenizer *t = e->t;
    uint32_t total = 0;
    if (t->whole_piece_first) {
        uint32_t id = token_map_find(&t->map, t->token, piece);
        if (id != NO_ID) {
            *out = id;
            *count = 1;
            return 0;
        }
    }
    bool whole = (unsigned char)piece.ptr[piece.len / 2] < 0x80;
    for (size_t at = 0; at < piece.len;) {
        uint32_t found;
        size_t end = whole ? piece.len : cuts_next(&t->cuts, piece, at);
        TRY(part_ids(e, str_slice(piece, at, end), out + total, &found));
        total += found;
        at = end;
    }
    *count = total;
    return 0;
}

static int long_ids(struct encoder *e, struct str piece, uint32_t *out, uint32_t *count)
{
    if (piece.len > LONG_BYTES)
        return long_miss(e, piece, out, count);
    struct long_entry *l = long_place(e, piece, false);
    if (long_holds(l, piece, false)) {
        *count = long_copy(l, out);
        return 0;
    }
    TRY(long_miss(e, piece, out, count));
    if (*count <= LONG_IDS)
        long_fill(l, piece, false, out, *count);
    return 0;
}

/* ---- opening ---- */
/* A zeroed table that begins on a huge page where the kernel gives one: a look at a random place
 * then costs no walk of the page table. */
static void *table_open(struct table_memory *m, size_t bytes)
{
    enum { HUGE = 2 << 20 };
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

static void table_close(struct table_memory *m)
{
    if (m->base)
        munmap(m->base, m->bytes);
}

int encoder_open(struct encoder **out, const struct tokenizer *t)
{
    struct encoder *e = calloc(1, sizeof *e);
    if (!e)
        return err_set(ERR_LIMIT, "encoder: no memory");
    e->t = t;
    e->line = table_open(&e->line_memory, sizeof *e->line << LINE_BITS);
    e->longer = table_open(&e->longer_memory, sizeof *e->longer << LONG_BITS);
    if (!e->line || !e->longer) {
        encoder_close(e);
        return err_set(ERR_LIMIT, "encoder: no memory for %zu bytes of pieces",
                       e->line_memory.bytes + e->longer_memory.bytes);
    }
    *out = e;
    return 0;
}

void encoder_close(struct encoder *e)
{
    if (!e)
        return;
    table_close(&e->line_memory);
    table_close(&e->longer_memory);
    merge_work_free(&e->work);
    nfc_work_free(&e->normal);
    free(e->symbol);
    free(e);
}

const struct tokenizer *encoder_tokenizer(const struct encoder *e) { return e->t; }

/* ---- encoding ---- */
/* Up to AHEAD pieces, whose ends are given as offsets from base. */
static int pieces_encode(struct encoder *e, struct str text, size_t base, size_t start,
                         const uint32_t *end, uint32_t pieces, uint32_t *out, uint32_t *total)
{
    struct key key[AHEAD];
    uint64_t place[AHEAD];
    const char *from = text.ptr + start;
    for (uint32_t i = 0; i < pieces; i++) {
        const char *to = text.ptr + base + end[i];
        size_t len = (size_t)(to - from);
        key[i] = piece_key(from, len <= SHORT_BYTES ? (uint32_t)len : SHORT_BYTES, e->limit, 0);
        place[i] = key_place(key[i]);
        __builtin_prefetch(&e->line[place[i]]);
        from = to;
    }
    from = text.ptr + start;
    for (uint32_t i = 0; i < pieces; i++) {
        const char *to = text.ptr + base + end[i];
        struct str piece = {from, (size_t)(to - from)};
        uint32_t count;
        from = to;
        if (piece.len <= SHORT_BYTES) {
            const struct short_entry *s = short_find(e, key[i], place[i]);
            count = s ? short_copy(s, out) : 0;
            if (!s)
                TRY(short_miss(e, piece, false, key[i], out, &count));
            else if (!count)
                TRY(long_or_merge(e, piece, false, out, &count));
        } else {
            TRY(long_ids(e, piece, out, &count));
        }
        out += count;
        *total += count;
    }
    return 0;
}

int encoder_encode(struct encoder *e, struct str text, struct arena *a, const uint32_t **ids,
                   uint32_t *count)
{
    if (e->t->nfc)
        TRY(nfc_normalize(text, &e->normal, &text));
    if (text.len > UINT32_MAX / 16)
        return err_set(ERR_LIMIT, "encoder: a text of %zu bytes", text.len);
    size_t mark = arena_mark(a);
    uint32_t total = 0;
    e->limit = text.ptr + text.len;
    /* Never more ids than bytes. */
    uint32_t *out = arena_array(a, uint32_t, text.len + ROOM);
    if (!out)
        return ERR_LIMIT;
    for (size_t pos = 0; pos < text.len;) {
        uint32_t pieces = pretok_split(e->t->pretok, text, pos, e->end, SPLIT_MAX);
        size_t start = pos;
        assert(pieces > 0);
        for (uint32_t done = 0; done < pieces; done += AHEAD) {
            uint32_t now = pieces - done < AHEAD ? pieces - done : AHEAD;
            TRY(pieces_encode(e, text, pos, start, e->end + done, now, out + total, &total));
            start = pos + e->end[done + now - 1];
        }
        pos = start;
    }
    arena_reset(a, mark); /* keep what was used */
    *ids = arena_array(a, uint32_t, total ? total : 1);
    *count = total;
    return 0;
}

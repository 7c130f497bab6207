/* encode - text to ids: pieces are looked up in a cache, and only what is new is merged.
 *
 * Pieces recur: in web text 99 of 100 have been seen before. So the work is to cut (pretok_fast.c)
 * and to look up, and both are done for many pieces at a time: the key of a piece of up to 15 bytes
 * is its bytes and its length in 16, and its place in the cache (piece_cache.h) is asked for early
 * (prefetch). Pieces of 16 to 31 and of 32 to 128 bytes have caches of their own. Longer pieces,
 * and those of text without spaces between words, are taken apart where no token reaches across
 * (cuts.c); their parts are looked up in the same way.
 *
 * What is new costs memory accesses far apart: the token of that name, then a look for each pair of
 * neighbours. One after the other they took 0.6 us a piece, three quarters of a first pass over
 * text; so the new pieces of a batch are learnt together (units_learn), each asking for what it
 * needs next while the others work.
 *
 * A piece that is a token is that token where the tokenizer says so (tiktoken; Llama 3), without
 * regard to merges. A part of a piece is not a piece: its entry in the cache carries a mark. */
#include "core/err.h"
#include "tokenize/nfc.h"
#include "tokenize/piece_cache.h"

#include <assert.h>
#include <stdlib.h>

enum {
    SPLIT_MAX = 1024, /* pieces cut at a time */
    AHEAD = 256,      /* pieces whose places are asked for before they are looked at */
    PARTS = 64,       /* the same of parts of a piece */
    ROOM = 16,        /* ids written past the end of what counts */
};

/* Place of a unit that no cache is asked for: it is long, or text without spaces. */
#define NO_PLACE UINT32_MAX

/* A piece, or a part of one, and where the caches would have it. */
struct unit {
    struct piece_key key; /* of a short one */
    const char *ptr;
    uint32_t len, place;
};
struct encoder {
    const struct tokenizer *t;
    struct piece_cache cache;
    struct merge_work work;
    uint32_t *symbol, symbol_max;
    const char *limit; /* end of the text that is being encoded */
    struct nfc_work normal;
    uint32_t end[SPLIT_MAX];
    struct cuts_memory pairs;
    struct merge_job job[MERGE_JOBS];
    const struct unit *job_unit[MERGE_JOBS];
};

/* ---- keys ---- */
static inline struct piece_key piece_key(const char *p, uint32_t len, const char *end,
                                         uint32_t mark)
{
    if (end - p >= SHORT_BYTES + 1)
        return key_read(p, len, mark);
    char bytes[SHORT_BYTES + 1] = {0};
    memcpy(bytes, p, len);
    return key_read(bytes, len, mark);
}

static inline uint32_t long_mark(const struct encoder *e, uint32_t mark)
{
    return mark && e->t->whole_piece_first ? LONG_MARK : 0;
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

/* Ids of bytes that are no piece's all, or no token. */
static int bytes_merge(struct encoder *e, struct str bytes, uint32_t *out, uint32_t *count)
{
    TRY(symbols_grow(e, bytes.len < BPE_SCAN_MAX ? BPE_SCAN_MAX : bytes.len));
    *count = bpe_merge_bytes(e->t, bytes, e->symbol, &e->work);
    memcpy(out, e->symbol, sizeof *out * *count);
    return 0;
}

/* A piece that is a token, where that comes first. */
static bool piece_token(const struct encoder *e, struct str piece, uint32_t *out, uint32_t *count)
{
    uint32_t id = e->t->whole_piece_first ? token_map_find(&e->t->map, e->t->token, piece) : NO_ID;
    if (id == NO_ID)
        return false;
    *out = id;
    *count = 1;
    return true;
}

/* Keeps what a short unit came to. Where the ids are too many for an entry, one with the count 0
 * says that the other cache has them. */
static void short_keep(struct encoder *e, const struct unit *u, uint32_t mark, const uint32_t *id,
                       uint32_t count)
{
    if (count > LONG_IDS)
        return;
    if (count > SHORT_IDS) {
        struct long_key k = long_key(u->ptr, u->len, e->limit, long_mark(e, mark));
        long_put(&e->cache, &k, long_place(&e->cache, &k), id, count);
    }
    short_put(&e->cache, u->key, u->place, id, count > SHORT_IDS ? 0 : count);
}

/* Those that the cache lacks and that nothing needs to be known of but their bytes: merged in step
 * with each other. */
static void jobs_learn(struct encoder *e, uint32_t jobs, uint32_t mark)
{
    bpe_merge_many(e->t, e->job, jobs);
    for (uint32_t i = 0; i < jobs; i++)
        short_keep(e, e->job_unit[i], mark, e->job[i].symbol, e->job[i].count);
}

/* Fills the cache with those of the units that it lacks, all of them together: what one needs from
 * memory comes while the others work. */
static void units_learn(struct encoder *e, const struct unit *unit, uint32_t count, uint32_t mark)
{
    const struct tokenizer *t = e->t;
    const struct unit *unknown[AHEAD];
    uint32_t unknowns = 0, jobs = 0;
    bool by_token = t->whole_piece_first && !mark;
    for (uint32_t i = 0; i < count; i++) {
        const struct unit *u = &unit[i];
        if (u->len > SHORT_BYTES || line_find(e->cache.line[u->place].way, u->key))
            continue;
        __builtin_prefetch(&e->cache.line[u->place ^ 1]);
        if (by_token)
            __builtin_prefetch(token_slot_at(&t->map, key_hash(u->key)));
        unknown[unknowns++] = u;
    }
    if (by_token)
        for (uint32_t i = 0; i < unknowns; i++) {
            uint32_t id = token_slot_at(&t->map, key_hash(unknown[i]->key))->id;
            if (id != NO_ID)
                __builtin_prefetch(&t->map.key[id]);
        }
    for (uint32_t i = 0; i < unknowns; i++) {
        const struct unit *u = unknown[i];
        if (short_find(&e->cache, u->key, u->place))
            continue;
        uint32_t id = by_token ? token_map_find_key(&t->map, u->key, key_hash(u->key)) : NO_ID;
        if (id != NO_ID) {
            short_keep(e, u, mark, &id, 1);
            continue;
        }
        e->job[jobs].byte = (const unsigned char *)u->ptr;
        e->job[jobs].count = u->len;
        e->job_unit[jobs++] = u;
        if (jobs == MERGE_JOBS) {
            jobs_learn(e, jobs, mark);
            jobs = 0;
        }
    }
    jobs_learn(e, jobs, mark);
}

static int cut_encode(struct encoder *e, struct str piece, uint32_t *out, uint32_t *count);

/* A unit that is not short, and a short one that has many ids or is in no cache for other reasons.
 */
static int unit_encode(struct encoder *e, const struct unit *u, uint32_t mark, uint32_t *out,
                       uint32_t *count)
{
    struct str bytes = {u->ptr, u->len};
    if (u->place == NO_PLACE)
        return mark ? bytes_merge(e, bytes, out, count) : cut_encode(e, bytes, out, count);
    struct long_key k = long_key(u->ptr, u->len, e->limit, long_mark(e, mark));
    uint32_t place = u->len > SHORT_BYTES ? u->place : long_place(&e->cache, &k);
    const struct long_entry *l = long_find(&e->cache, &k, place);
    if (l) {
        *count = long_copy(l, out);
        return 0;
    }
    if (mark || u->len <= SHORT_BYTES) {
        if (mark || !piece_token(e, bytes, out, count))
            TRY(bytes_merge(e, bytes, out, count));
    } else {
        TRY(cut_encode(e, bytes, out, count));
    }
    if (*count <= LONG_IDS && (*count > SHORT_IDS || u->len > SHORT_BYTES))
        long_put(&e->cache, &k, place, out, *count);
    return 0;
}

/* Their ids one after the other; mark: PART when they are parts of a piece. */
static inline int units_encode(struct encoder *e, const struct unit *unit, uint32_t units,
                               uint32_t mark, uint32_t *out, uint32_t *total)
{
    bool learnt = false;
    for (uint32_t i = 0; i < units; i++) {
        const struct unit *u = &unit[i];
        uint32_t count = 0;
        if (u->len <= SHORT_BYTES) {
            const struct short_entry *s = short_find(&e->cache, u->key, u->place);
            if (!s && !learnt) {
                units_learn(e, u, units - i, mark);
                learnt = true;
                s = short_find(&e->cache, u->key, u->place);
            }
            if (s)
                count = short_copy(s, out);
        }
        if (!count)
            TRY(unit_encode(e, u, mark, out, &count));
        out += count;
        *total += count;
    }
    return 0;
}

static inline void unit_short(const struct encoder *e, struct unit *u, const char *from,
                              uint32_t len, uint32_t mark)
{
    u->key = piece_key(from, len, e->limit, mark);
    u->ptr = from;
    u->len = len;
    u->place = short_place(&e->cache, u->key);
    __builtin_prefetch(&e->cache.line[u->place]);
}

/* Han and kana stand without spaces between words: what is long there hardly ever comes again. */
static inline bool is_spaceless(const char *p)
{
    return (unsigned char)p[0] - 0xE3u < 7 || (unsigned char)p[1] - 0xE3u < 7;
}

static inline void unit_long(const struct encoder *e, struct unit *u, const char *from,
                             uint32_t len, uint32_t mark)
{
    u->ptr = from;
    u->len = len;
    u->place = NO_PLACE;
    if (len <= LONG_BYTES && (mark || !is_spaceless(from))) {
        struct long_key k = long_key(from, len, e->limit, long_mark(e, mark));
        u->place = long_place(&e->cache, &k);
        __builtin_prefetch(&e->cache.longer[u->place]);
    }
}

/* A piece that is not cut: what came to it before, or its merges. */
static int whole_encode(struct encoder *e, struct str piece, uint32_t *out, uint32_t *count)
{
    if (piece.len <= LONG_BYTES || piece.len > WIDE_BYTES)
        return bytes_merge(e, piece, out, count);
    struct wide_entry *w = wide_at(&e->cache, piece);
    if (wide_is(w, piece)) {
        *count = w->count;
        memcpy(out, w->id, sizeof *out * w->count);
        return 0;
    }
    TRY(bytes_merge(e, piece, out, count));
    if (*count <= WIDE_IDS)
        wide_put(w, piece, out, *count);
    return 0;
}

/* A piece of more than SHORT_BYTES that no cache has, or that is not kept as a whole. ASCII is not
 * cut: tokens reach across every place in it. */
static int cut_encode(struct encoder *e, struct str piece, uint32_t *out, uint32_t *count)
{
    struct unit unit[PARTS];
    uint32_t end[PARTS], mark = e->t->whole_piece_first ? PART : 0;
    *count = 0;
    if (piece_token(e, piece, out, count))
        return 0;
    if ((unsigned char)piece.ptr[piece.len / 2] < 0x80)
        return whole_encode(e, piece, out, count);
    for (uint32_t at = 0; at < piece.len;) {
        uint32_t units = cuts_find(&e->t->cuts, &e->pairs, piece, at, end, PARTS);
        for (uint32_t i = 0; i < units; at = end[i++]) {
            if (end[i] - at <= SHORT_BYTES)
                unit_short(e, &unit[i], piece.ptr + at, end[i] - at, mark);
            else
                unit_long(e, &unit[i], piece.ptr + at, end[i] - at, PART);
        }
        TRY(units_encode(e, unit, units, PART, out + *count, count));
    }
    return 0;
}

/* ---- opening ---- */
int encoder_open(struct encoder **out, const struct tokenizer *t)
{
    struct encoder *e = calloc(1, sizeof *e);
    if (!e)
        return err_set(ERR_LIMIT, "encoder: no memory");
    e->t = t;
    int rc = piece_cache_open(&e->cache);
    if (rc < 0) {
        free(e);
        return rc;
    }
    *out = e;
    return 0;
}

void encoder_close(struct encoder *e)
{
    if (!e)
        return;
    piece_cache_close(&e->cache);
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
    struct unit unit[AHEAD];
    const char *from = text.ptr + start;
    for (uint32_t i = 0; i < pieces; i++) {
        const char *to = text.ptr + base + end[i];
        size_t len = (size_t)(to - from);
        if (len <= SHORT_BYTES)
            unit_short(e, &unit[i], from, (uint32_t)len, 0);
        else
            unit_long(e, &unit[i], from, (uint32_t)len, 0);
        from = to;
    }
    return units_encode(e, unit, pieces, 0, out, total);
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
        piece_cache_grow(&e->cache);
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

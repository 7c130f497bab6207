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
 * text. So a new piece is put off (piece_later): a gap as long as it may need is left among the
 * ids, and an entry in the cache says that it is known to be new. When 64 are put off they are
 * merged in step, each asking for what it needs next while the others work (merge_many.c), and the
 * gaps are closed. New parts of a piece are learnt together in the same way, but at once
 * (parts_learn): what a piece comes to is kept as one.
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
    GAPS = 256,       /* places of pieces that are put off */
    PARTS = 64,       /* the same of parts of a piece, at most MERGE_JOBS */
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
/* Pieces put off: their jobs, and where in out ids of which are missing. */
struct later {
    struct merge_job job[MERGE_JOBS];
    struct unit unit[MERGE_JOBS];
    struct gap {
        uint32_t at, job;
    } gap[GAPS];
    uint32_t jobs, gaps;
};
struct encoder {
    struct later later;
    struct merge_job job[MERGE_JOBS]; /* of parts */
    const struct unit *job_unit[MERGE_JOBS];
    const struct tokenizer *t;
    struct piece_cache cache;
    struct merge_work work;
    uint32_t *symbol, symbol_max;
    const char *limit; /* end of the text that is being encoded */
    struct nfc_work normal;
    uint32_t end[SPLIT_MAX];
    uint32_t *out; /* ids of the text that is being encoded */
    struct cuts_memory pairs;
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
static void short_keep(struct encoder *e, struct short_entry *s, const struct unit *u,
                       uint32_t mark, const struct merge_job *j)
{
    if (j->count > SHORT_IDS && j->count <= LONG_IDS) {
        struct long_key k = long_key(u->ptr, u->len, e->limit, long_mark(e, mark));
        long_put(&e->cache, &k, long_place(&e->cache, &k), j->symbol, j->count);
    }
    short_set(s, j->symbol, j->count > SHORT_IDS ? 0 : j->count);
}

static inline void job_of(struct merge_job *j, const struct unit *u)
{
    j->key = u->key;
    j->count = u->len;
}

/* Those that the cache lacks and that nothing needs to be known of but their bytes: merged in step
 * with each other. */
static void jobs_learn(struct encoder *e, uint32_t jobs)
{
    struct merge_job *job[MERGE_JOBS];
    for (uint32_t i = 0; i < jobs; i++)
        job[i] = &e->job[i];
    bpe_merge_many(e->t, job, jobs);
    for (uint32_t i = 0; i < jobs; i++) {
        const struct unit *u = e->job_unit[i];
        short_keep(e, short_put(&e->cache, u->key, u->place), u, PART, &e->job[i]);
    }
}

/* Fills the cache with those of the parts that it lacks, all of them together: what one needs from
 * memory comes while the others work. */
static void parts_learn(struct encoder *e, const struct unit *unit, uint32_t count)
{
    const struct unit *unknown[PARTS];
    uint32_t unknowns = 0, jobs = 0;
    assert(count <= PARTS);
    for (uint32_t i = 0; i < count; i++) {
        const struct unit *u = &unit[i];
        if (u->len > SHORT_BYTES || line_find(e->cache.line[u->place].way, u->key))
            continue;
        __builtin_prefetch(&e->cache.line[u->place ^ 1]);
        unknown[unknowns++] = u;
    }
    for (uint32_t i = 0; i < unknowns; i++) {
        const struct unit *u = unknown[i];
        if (short_find(&e->cache, u->key, u->place))
            continue;
        job_of(&e->job[jobs], u);
        e->job_unit[jobs++] = u;
    }
    jobs_learn(e, jobs);
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

/* Ids of the parts of a piece, one after the other. */
static int parts_encode(struct encoder *e, const struct unit *unit, uint32_t units, uint32_t *out,
                        uint32_t *total)
{
    bool learnt = false;
    for (uint32_t i = 0; i < units; i++) {
        const struct unit *u = &unit[i];
        uint32_t count = 0;
        if (u->len <= SHORT_BYTES) {
            const struct short_entry *s = short_find(&e->cache, u->key, u->place);
            if (!s && !learnt) {
                parts_learn(e, u, units - i);
                learnt = true;
                s = short_find(&e->cache, u->key, u->place);
            }
            if (s)
                count = short_copy(s, out);
        }
        if (!count)
            TRY(unit_encode(e, u, PART, out, &count));
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
        TRY(parts_encode(e, unit, units, out + *count, count));
    }
    return 0;
}

/* ---- opening ---- */
int encoder_open(struct encoder **out, const struct tokenizer *t)
{
    struct encoder *e = aligned_alloc(_Alignof(struct encoder), sizeof *e);
    if (!e)
        return err_set(ERR_LIMIT, "encoder: no memory");
    memset(e, 0, sizeof *e);
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

/* ---- pieces that are put off ---- */
/* What each of them comes to. */
static void later_merge(struct encoder *e)
{
    const struct token_map *map = &e->t->map;
    struct later *l = &e->later;
    struct merge_job *job[MERGE_JOBS];
    bool by_token = e->t->whole_piece_first;
    uint32_t jobs = 0;
    for (uint32_t i = 0; by_token && i < l->jobs; i++) {
        uint32_t id = token_slot_at(map, key_hash(l->unit[i].key))->id;
        if (id != NO_ID)
            __builtin_prefetch(&map->key[id]);
    }
    for (uint32_t i = 0; i < l->jobs; i++) {
        struct piece_key k = l->unit[i].key;
        uint32_t id = by_token ? token_map_find_key(map, k, key_hash(k)) : NO_ID;
        if (id == NO_ID) {
            job_of(&l->job[i], &l->unit[i]);
            job[jobs++] = &l->job[i];
        } else {
            l->job[i].symbol[0] = id;
            l->job[i].count = 1;
        }
    }
    bpe_merge_many(e->t, job, jobs);
    for (uint32_t i = 0; i < l->jobs; i++) {
        const struct unit *u = &l->unit[i];
        /* Looked for again: its place may be another one by now, or its entry pushed out. */
        uint32_t place = short_place(&e->cache, u->key);
        struct short_entry *s = (struct short_entry *)short_find(&e->cache, u->key, place);
        short_keep(e, s ? s : short_put(&e->cache, u->key, place), u, 0, &l->job[i]);
    }
}

/* Merges what was put off and closes the gaps in the ids, which end at out: returns their new end.
 */
static uint32_t *later_close(struct encoder *e, uint32_t *out)
{
    struct later *l = &e->later;
    uint32_t *to = l->gaps ? e->out + l->gap[0].at : out;
    later_merge(e);
    for (uint32_t i = 0; i < l->gaps; i++) {
        const struct merge_job *j = &l->job[l->gap[i].job];
        const uint32_t *from = e->out + l->gap[i].at + l->unit[l->gap[i].job].len;
        const uint32_t *end = i + 1 < l->gaps ? e->out + l->gap[i + 1].at : out;
        memcpy(to, j->symbol, sizeof *to * j->count);
        memmove(to + j->count, from, sizeof *to * (size_t)(end - from));
        to += j->count + (size_t)(end - from);
    }
    l->jobs = l->gaps = 0;
    return to;
}

/* Puts off a piece that is not in the cache, or by s there only as put off, which says which job it
 * is. Of another text's s only the key is true. Returns the end of the ids. */
__attribute__((noinline)) static uint32_t *piece_later(struct encoder *e, const struct unit *u,
                                                       uint32_t *out)
{
    struct later *l = &e->later;
    if (l->gaps == GAPS || l->jobs == MERGE_JOBS)
        out = later_close(e, out);
    struct short_entry *s = (struct short_entry *)short_find(&e->cache, u->key, u->place);
    uint32_t job = s && !short_count(s) ? s->id[1] - 1 : NO_ID;
    if (job >= l->jobs || !key_equal(l->unit[job].key, u->key)) {
        job = l->jobs++;
        l->unit[job] = *u;
        s = s ? s : short_put(&e->cache, u->key, u->place);
        short_set(s, NULL, 0);
        s->id[1] = job + 1;
        __builtin_prefetch(token_slot_at(&e->t->map, key_hash(u->key)));
    }
    l->gap[l->gaps++] = (struct gap){(uint32_t)(out - e->out), job};
    return out + u->len;
}

/* ---- encoding ---- */
static inline bool is_later(const struct short_entry *s) { return !s || s->id[1]; }

/* Up to AHEAD pieces, whose ends are given as offsets from base; to: the end of the ids. */
static int pieces_encode(struct encoder *e, struct str text, size_t base, size_t start,
                         const uint32_t *end, uint32_t pieces, uint32_t **to)
{
    struct unit unit[AHEAD];
    const char *from = text.ptr + start;
    uint32_t *out = *to;
    for (uint32_t i = 0; i < pieces; i++) {
        const char *stop = text.ptr + base + end[i];
        size_t len = (size_t)(stop - from);
        if (len <= SHORT_BYTES)
            unit_short(e, &unit[i], from, (uint32_t)len, 0);
        else
            unit_long(e, &unit[i], from, (uint32_t)len, 0);
        from = stop;
    }
    for (uint32_t i = 0; i < pieces; i++) {
        const struct unit *u = &unit[i];
        uint32_t count = 0;
        if (u->len <= SHORT_BYTES) {
            const struct short_entry *s = short_find(&e->cache, u->key, u->place);
            if (s)
                count = short_copy(s, out);
            if (!count && is_later(s)) {
                out = piece_later(e, u, out);
                continue;
            }
        }
        if (!count)
            TRY(unit_encode(e, u, 0, out, &count));
        out += count;
    }
    *to = out;
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
    e->limit = text.ptr + text.len;
    e->later.jobs = e->later.gaps = 0; /* a text that failed may have left some */
    /* Never more ids than bytes. */
    uint32_t *out = e->out = arena_array(a, uint32_t, text.len + ROOM);
    if (!out)
        return ERR_LIMIT;
    for (size_t pos = 0; pos < text.len;) {
        uint32_t pieces = pretok_split(e->t->pretok, text, pos, e->end, SPLIT_MAX);
        size_t start = pos;
        assert(pieces > 0);
        piece_cache_grow(&e->cache);
        for (uint32_t done = 0; done < pieces; done += AHEAD) {
            uint32_t now = pieces - done < AHEAD ? pieces - done : AHEAD;
            TRY(pieces_encode(e, text, pos, start, e->end + done, now, &out));
            start = pos + e->end[done + now - 1];
        }
        pos = start;
    }
    out = later_close(e, out);
    arena_reset(a, mark); /* keep what was used */
    *count = (uint32_t)(out - e->out);
    *ids = arena_array(a, uint32_t, *count ? *count : 1);
    return 0;
}

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
 * gaps are closed. Long pieces are put off as well (long_later); what they are made of is learnt
 * together (parts_learn). Parts of text without spaces are looked up like pieces, without their
 * piece being put together again: it would not come again either.
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
    AHEAD = 128,      /* pieces whose places are asked for before they are looked at */
    GAPS = 256,       /* places of pieces that are put off */
    LONGS = 32,       /* long pieces that are put off */
    PARTS = 64,       /* parts of a piece that are looked at together, at most MERGE_JOBS */
    ROOM = 32,        /* ids written past the end of what counts */
};

/* Place of a unit that no cache is asked for: it is long, or text without spaces. */
#define NO_PLACE UINT32_MAX

/* A piece, or a part of one, and where the caches would have it. */
struct unit {
    struct piece_key key; /* of a short one; else its mark alone */
    const char *ptr;
    uint32_t len, place;
};
/* Pieces put off, short ones and long ones with what they came to, and where in out whose ids are
 * missing. */
struct later {
    struct merge_job job[MERGE_JOBS];
    struct unit unit[MERGE_JOBS];
    struct unit longer[LONGS];
    struct ids {
        uint32_t count, id[LONG_BYTES + ROOM];
    } long_ids[LONGS];
    struct gap {
        uint32_t at, job; /* job: from MERGE_JOBS on the long ones */
    } gap[GAPS];
    uint32_t jobs, longs, gaps;
};
struct encoder {
    struct later later;
    struct merge_job job[MERGE_JOBS]; /* of parts */
    const struct unit *job_unit[MERGE_JOBS];
    struct merge_wide wide[LONGS]; /* of longer parts and pieces */
    const struct unit *wide_unit[LONGS];
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

static inline uint32_t unit_mark(const struct unit *u)
{
    return (uint32_t)(u->key.high >> 56) & PART;
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

static inline struct long_key unit_long_key(const struct encoder *e, const struct unit *u)
{
    return long_key(u->ptr, u->len, e->limit, long_mark(e, unit_mark(u)));
}

/* Keeps what a unit of up to LONG_BYTES came to, among the wide ones where the ids are many: then
 * an entry with the count 0 says so. */
static void long_keep(struct encoder *e, const struct unit *u, const uint32_t *id, uint32_t count)
{
    struct long_key k = unit_long_key(e, u);
    struct str bytes = {u->ptr, u->len};
    long_put(&e->cache, &k, long_place(&e->cache, &k), id, count > LONG_IDS ? 0 : count);
    if (count > LONG_IDS)
        wide_put(wide_at(&e->cache, bytes), bytes, long_mark(e, unit_mark(u)), id, count);
}

/* Writes the ids of a unit that is kept among the long or wide ones and returns their count, 0: it
 * is not. */
static inline uint32_t long_known(const struct encoder *e, const struct unit *u, uint32_t *out)
{
    struct long_key k = unit_long_key(e, u);
    struct str bytes = {u->ptr, u->len};
    uint32_t place = u->len > SHORT_BYTES ? u->place : long_place(&e->cache, &k);
    const struct long_entry *l = long_find(&e->cache, &k, place);
    if (!l)
        return 0;
    uint32_t count = long_copy(l, out);
    return count ? count
                 : wide_copy(wide_at(&e->cache, bytes), bytes, long_mark(e, unit_mark(u)), out);
}

/* Keeps what a short unit came to. Where the ids are too many for an entry, one with the count 0
 * says that the other caches have them. */
static void short_keep(struct encoder *e, struct short_entry *s, const struct unit *u,
                       const struct merge_job *j)
{
    uint32_t count = j->state.count;
    if (count > SHORT_IDS)
        long_keep(e, u, j->symbol, count);
    short_set(s, j->symbol, count > SHORT_IDS ? 0 : count);
}

static inline void job_of(struct merge_job *j, const struct unit *u)
{
    j->key = u->key;
    j->state.count = u->len;
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
        short_keep(e, short_put(&e->cache, u->key, u->place), u, &e->job[i]);
    }
}

static void wide_of(struct encoder *e, uint32_t wides, const struct unit *u)
{
    e->wide_unit[wides] = u;
    memcpy(e->wide[wides].byte, u->ptr, u->len);
    e->wide[wides].state.count = u->len;
}

static void wides_merge(struct encoder *e, uint32_t wides)
{
    struct merge_wide *job[LONGS];
    for (uint32_t i = 0; i < wides; i++)
        job[i] = &e->wide[i];
    bpe_merge_wide(e->t, job, wides);
}

static void wides_learn(struct encoder *e, uint32_t wides)
{
    wides_merge(e, wides);
    for (uint32_t i = 0; i < wides; i++)
        long_keep(e, e->wide_unit[i], e->wide[i].symbol, e->wide[i].state.count);
}

/* Learns the long ones that no cache has, asks for short ones and returns the count of those: they
 * may be in the line beside theirs. */
static uint32_t parts_sift(struct encoder *e, const struct unit *unit, uint32_t count,
                           const struct unit **unknown)
{
    uint32_t unknowns = 0, wides = 0;
    for (uint32_t i = 0; i < count; i++) {
        const struct unit *u = &unit[i];
        if (u->len > SHORT_BYTES) {
            struct long_key k = unit_long_key(e, u);
            if (u->place == NO_PLACE || long_find(&e->cache, &k, u->place))
                continue;
            wide_of(e, wides++, u);
            if (wides == LONGS) {
                wides_learn(e, wides);
                wides = 0;
            }
        } else if (!line_find(e->cache.line[u->place].way, u->key)) {
            __builtin_prefetch(&e->cache.line[u->place ^ 1]);
            unknown[unknowns++] = u;
        }
    }
    wides_learn(e, wides);
    return unknowns;
}

/* Fills the cache with those of the parts that it lacks, all of them together: what one needs from
 * memory comes while the others work. */
static void parts_learn(struct encoder *e, const struct unit *unit, uint32_t count)
{
    const struct unit *unknown[2 * PARTS];
    assert(count <= 2 * PARTS);
    uint32_t jobs = 0, unknowns = parts_sift(e, unit, count, unknown);
    for (uint32_t i = 0; i < unknowns; i++) {
        const struct unit *u = unknown[i];
        if (short_find(&e->cache, u->key, u->place))
            continue;
        job_of(&e->job[jobs], u);
        e->job_unit[jobs++] = u;
        if (jobs == MERGE_JOBS) {
            jobs_learn(e, jobs);
            jobs = 0;
        }
    }
    jobs_learn(e, jobs);
}

static int cut_encode(struct encoder *e, struct str piece, uint32_t *out, uint32_t *count);

/* A unit that is not short, and a short one that has many ids or is in no cache for other reasons.
 */
static int unit_encode(struct encoder *e, const struct unit *u, uint32_t *out, uint32_t *count)
{
    struct str bytes = {u->ptr, u->len};
    if (u->place == NO_PLACE)
        return unit_mark(u) ? bytes_merge(e, bytes, out, count) : cut_encode(e, bytes, out, count);
    *count = long_known(e, u, out);
    if (*count)
        return 0;
    if (unit_mark(u) || !piece_token(e, bytes, out, count))
        TRY(bytes_merge(e, bytes, out, count));
    if (*count > SHORT_IDS || u->len > SHORT_BYTES)
        long_keep(e, u, out, *count);
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
            TRY(unit_encode(e, u, out, &count));
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
    u->key.high = (uint64_t)mark << 56;
    u->ptr = from;
    u->len = len;
    u->place = NO_PLACE;
    if (len <= LONG_BYTES && (mark || !is_spaceless(from))) {
        struct long_key k = long_key(from, len, e->limit, long_mark(e, mark));
        u->place = long_place(&e->cache, &k);
        __builtin_prefetch(&e->cache.longer[u->place]);
    }
}

static inline void unit_part(const struct encoder *e, struct unit *u, const char *from,
                             uint32_t len)
{
    if (len <= SHORT_BYTES)
        unit_short(e, u, from, len, e->t->whole_piece_first ? PART : 0);
    else
        unit_long(e, u, from, len, PART);
}

/* A piece that is not cut: what came to it before, or its merges. */
static int whole_encode(struct encoder *e, struct str piece, uint32_t *out, uint32_t *count)
{
    if (piece.len <= LONG_BYTES || piece.len > WIDE_BYTES)
        return bytes_merge(e, piece, out, count);
    struct wide_entry *w = wide_at(&e->cache, piece);
    *count = wide_copy(w, piece, 0, out);
    if (*count)
        return 0;
    TRY(bytes_merge(e, piece, out, count));
    if (*count <= WIDE_IDS)
        wide_put(w, piece, 0, out, *count);
    return 0;
}

/* A piece of more than SHORT_BYTES that no cache has, or that is not kept as a whole. ASCII is not
 * cut: tokens reach across every place in it. */
static int cut_encode(struct encoder *e, struct str piece, uint32_t *out, uint32_t *count)
{
    struct unit unit[PARTS];
    uint32_t end[PARTS];
    *count = 0;
    if (piece_token(e, piece, out, count))
        return 0;
    if ((unsigned char)piece.ptr[piece.len / 2] < 0x80)
        return whole_encode(e, piece, out, count);
    for (uint32_t at = 0; at < piece.len;) {
        uint32_t units = cuts_find(&e->t->cuts, &e->pairs, piece, at, end, PARTS);
        for (uint32_t i = 0; i < units; at = end[i++])
            unit_part(e, &unit[i], piece.ptr + at, end[i] - at);
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
/* What each of the short ones comes to. */
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
        uint32_t id =
            by_token && !unit_mark(&l->unit[i]) ? token_map_find_key(map, k, key_hash(k)) : NO_ID;
        if (id == NO_ID) {
            job_of(&l->job[i], &l->unit[i]);
            job[jobs++] = &l->job[i];
        } else {
            l->job[i].symbol[0] = id;
            l->job[i].state.count = 1;
        }
    }
    bpe_merge_many(e->t, job, jobs);
    for (uint32_t i = 0; i < l->jobs; i++) {
        const struct unit *u = &l->unit[i];
        /* Looked for again: its place may be another one by now, or its entry pushed out. */
        uint32_t place = short_place(&e->cache, u->key);
        struct short_entry *s = (struct short_entry *)short_find(&e->cache, u->key, place);
        short_keep(e, s ? s : short_put(&e->cache, u->key, place), u, &l->job[i]);
    }
}

/* Long ones in a row, and the parts they are made of. */
struct long_run {
    struct unit unit[2 * PARTS];
    uint32_t units, end[LONGS], from; /* end: of each one's units; from: the first of the run */
};

static int long_run_encode(struct encoder *e, struct long_run *r, uint32_t to)
{
    struct later *l = &e->later;
    parts_learn(e, r->unit, r->units);
    for (uint32_t i = r->from, at = 0; i < to; at = r->end[i++])
        TRY(parts_encode(e, r->unit + at, r->end[i] - at, l->long_ids[i].id + l->long_ids[i].count,
                         &l->long_ids[i].count));
    r->units = 0;
    r->from = to;
    return 0;
}

/* Those that are tokens, and those that are merged whole: parts, and ASCII. */
static void later_whole(struct encoder *e)
{
    struct later *l = &e->later;
    uint32_t wides = 0, owner[LONGS];
    for (uint32_t i = 0; i < l->longs; i++) {
        const struct unit *u = &l->longer[i];
        struct str bytes = {u->ptr, u->len};
        struct ids *ids = &l->long_ids[i];
        ids->count = 0;
        if (!unit_mark(u) && (piece_token(e, bytes, ids->id, &ids->count) ||
                              (unsigned char)bytes.ptr[u->len / 2] >= 0x80))
            continue;
        owner[wides] = i;
        wide_of(e, wides++, u);
    }
    wides_merge(e, wides);
    for (uint32_t i = 0; i < wides; i++) {
        struct ids *ids = &l->long_ids[owner[i]];
        ids->count = e->wide[i].state.count;
        memcpy(ids->id, e->wide[i].symbol, sizeof *ids->id * ids->count);
    }
}

/* What the long ones come to. */
static int later_long(struct encoder *e)
{
    struct later *l = &e->later;
    struct long_run r;
    r.units = r.from = 0;
    later_whole(e);
    for (uint32_t i = 0; i < l->longs; i++) {
        struct str bytes = {l->longer[i].ptr, l->longer[i].len};
        if (r.units > PARTS)
            TRY(long_run_encode(e, &r, i));
        if (!l->long_ids[i].count) {
            uint32_t end[PARTS], parts = cuts_find(&e->t->cuts, &e->pairs, bytes, 0, end, PARTS);
            for (uint32_t k = 0, at = 0; k < parts; at = end[k++])
                unit_part(e, &r.unit[r.units++], bytes.ptr + at, end[k] - at);
        }
        r.end[i] = r.units;
    }
    TRY(long_run_encode(e, &r, l->longs));
    for (uint32_t i = 0; i < l->longs; i++)
        long_keep(e, &l->longer[i], l->long_ids[i].id, l->long_ids[i].count);
    return 0;
}

/* Merges what was put off and closes the gaps in the ids, of which out is the end. */
static int later_close(struct encoder *e, uint32_t **out)
{
    struct later *l = &e->later;
    uint32_t *to = l->gaps ? e->out + l->gap[0].at : *out;
    later_merge(e);
    TRY(later_long(e));
    for (uint32_t i = 0; i < l->gaps; i++) {
        uint32_t job = l->gap[i].job, number = job - MERGE_JOBS;
        bool is_long = job >= MERGE_JOBS;
        uint32_t len = is_long ? l->longer[number].len : l->unit[job].len;
        uint32_t count = is_long ? l->long_ids[number].count : l->job[job].state.count;
        const uint32_t *from = e->out + l->gap[i].at + len;
        const uint32_t *end = i + 1 < l->gaps ? e->out + l->gap[i + 1].at : *out;
        memcpy(to, is_long ? l->long_ids[number].id : l->job[job].symbol, sizeof *to * count);
        memmove(to + count, from, sizeof *to * (size_t)(end - from));
        to += count + (size_t)(end - from);
    }
    l->jobs = l->longs = l->gaps = 0;
    *out = to;
    return 0;
}

/* Puts off a long piece, or a part of one that is text without spaces. */
__attribute__((noinline)) static int long_later(struct encoder *e, const struct unit *u,
                                                uint32_t **out)
{
    struct later *l = &e->later;
    if (l->gaps == GAPS || l->longs == LONGS)
        TRY(later_close(e, out));
    l->longer[l->longs] = *u;
    l->gap[l->gaps++] = (struct gap){(uint32_t)(*out - e->out), MERGE_JOBS + l->longs++};
    *out += u->len;
    return 0;
}

/* Puts off a piece that the cache does not have (known: NULL) or has as put off. Which job it is
 * says the entry; if that job is not there or of another key, the entry is one of a text that
 * failed. */
__attribute__((noinline)) static int piece_later(struct encoder *e, const struct unit *u,
                                                 const struct short_entry *known, uint32_t **out)
{
    struct later *l = &e->later;
    if (l->gaps == GAPS || l->jobs == MERGE_JOBS) {
        TRY(later_close(e, out));
        known = short_find(&e->cache, u->key, u->place);
    }
    struct short_entry *s = (struct short_entry *)known;
    uint32_t job = s && !short_count(s) ? s->id[1] - 1 : NO_ID;
    if (job >= l->jobs || !key_equal(l->unit[job].key, u->key)) {
        job = l->jobs++;
        l->unit[job] = *u;
        s = s ? s : short_put(&e->cache, u->key, u->place);
        short_set(s, NULL, 0);
        s->id[1] = job + 1;
        __builtin_prefetch(token_slot_at(&e->t->map, key_hash(u->key)));
    }
    l->gap[l->gaps++] = (struct gap){(uint32_t)(*out - e->out), job};
    *out += u->len;
    return 0;
}

/* ---- encoding ---- */
/* Ids of a unit that is not among the short ones with theirs. */
__attribute__((noinline)) static int unit_other(struct encoder *e, const struct unit *u,
                                                uint32_t **out)
{
    uint32_t count = 0;
    if (u->len <= SHORT_BYTES) {
        const struct short_entry *s = short_find(&e->cache, u->key, u->place);
        if (!s || s->id[1])
            return piece_later(e, u, s, out);
    } else if (u->place != NO_PLACE) {
        count = long_known(e, u, *out);
        if (!count)
            return long_later(e, u, out);
    }
    if (!count)
        TRY(unit_encode(e, u, *out, &count));
    *out += count;
    return 0;
}

/* Their ids; to: the end of all. Twice in the code, because it is most of what encoding does. */
static inline __attribute__((always_inline)) int units_encode(struct encoder *e,
                                                              const struct unit *unit,
                                                              uint32_t units, uint32_t **to)
{
    uint32_t *out = *to;
    for (uint32_t i = 0; i < units; i++) {
        const struct unit *u = &unit[i];
        if (u->len <= SHORT_BYTES) {
            const struct short_entry *s = short_find(&e->cache, u->key, u->place);
            uint32_t count = s ? short_copy(s, out) : 0;
            out += count;
            if (count)
                continue;
        }
        uint32_t *end = out; /* whose address is taken, not that of the other */
        TRY(unit_other(e, u, &end));
        out = end;
    }
    *to = out;
    return 0;
}

/* The parts of a piece without spaces as units of their own, behind those there are; when they are
 * AHEAD, they are encoded. */
__attribute__((noinline)) static int piece_parts(struct encoder *e, struct str piece,
                                                 struct unit *unit, uint32_t *units, uint32_t **to)
{
    uint32_t end[PARTS];
    for (uint32_t at = 0; at < piece.len;) {
        uint32_t parts = cuts_find(&e->t->cuts, &e->pairs, piece, at, end, PARTS);
        struct unit *u = unit + *units;
        *units += parts;
        for (uint32_t i = 0; i < parts; at = end[i++])
            unit_part(e, u++, piece.ptr + at, end[i] - at);
        if (*units >= AHEAD) {
            TRY(units_encode(e, unit, *units, to));
            *units = 0;
        }
    }
    return 0;
}

static inline bool in_parts(const struct encoder *e, const char *from, size_t len)
{
    return is_spaceless(from) &&
           !(e->t->whole_piece_first && token_map_may(&e->t->map, (struct str){from, len}));
}

/* Up to AHEAD pieces, whose ends are given as offsets from base; to: the end of the ids. */
static int pieces_encode(struct encoder *e, struct str text, size_t base, size_t start,
                         const uint32_t *end, uint32_t pieces, uint32_t **to)
{
    struct unit unit[2 * AHEAD + PARTS], *u = unit;
    const char *from = text.ptr + start;
    for (uint32_t i = 0; i < pieces; i++) {
        const char *stop = text.ptr + base + end[i];
        size_t len = (size_t)(stop - from);
        if (len <= SHORT_BYTES)
            unit_short(e, u++, from, (uint32_t)len, 0);
        else if (!in_parts(e, from, len))
            unit_long(e, u++, from, (uint32_t)len, 0);
        else {
            uint32_t units = (uint32_t)(u - unit);
            TRY(piece_parts(e, (struct str){from, len}, unit, &units, to));
            u = unit + units;
        }
        from = stop;
    }
    return units_encode(e, unit, (uint32_t)(u - unit), to);
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
    e->later.jobs = e->later.longs = e->later.gaps = 0; /* a text that failed may have left some */
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
    TRY(later_close(e, &out));
    arena_reset(a, mark); /* keep what was used */
    *count = (uint32_t)(out - e->out);
    *ids = arena_array(a, uint32_t, *count ? *count : 1);
    return 0;
}

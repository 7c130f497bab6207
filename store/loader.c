/* loader - plans the phases of a training and reads any row of them.
 *
 * A plan is a list of stretches: rows of one phase over which the same sources are open with the
 * same shares. Inside a stretch the deal (store/deal.h) tells the source of a row and how many rows
 * that source gave before it; added to what it had given when the stretch began, that is its place
 * in the source's permutations. A stretch ends with its phase, or with the row at which the first
 * of its sources has given all it may; that row is found by bisection, so that planning costs
 * nothing per row. */
#include "store/loader.h"

#include "core/err.h"
#include "store/deal.h"
#include "store/pack.h"
#include "store/widen.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>

enum { SHUFFLE_ROUNDS = 4 };
static_assert((int)DEAL_MAX == (int)LOADER_SOURCES_MAX, "a deal must hold every source");

static const char *const packing_names[] = {"concat", "best_fit"};
const char *const loader_spill_names[] = {"weights", "unseen", "stop", NULL};

/* The sources cut into sequences of one length. */
struct cut {
    uint32_t sequence;
    uint64_t rows[LOADER_SOURCES_MAX];  /* in an epoch */
    uint64_t taken[LOADER_SOURCES_MAX]; /* while planning: rows given so far */
    uint64_t key[LOADER_SOURCES_MAX];   /* of its permutations */
    struct pack *pack[LOADER_SOURCES_MAX];
};
struct stretch {
    uint64_t first, rows;
    uint32_t phase;
    uint64_t full;                       /* sources that have given all when it ends */
    uint64_t weight[LOADER_SOURCES_MAX]; /* of DEAL_UNIT; 0: not drawn from */
    uint64_t base[LOADER_SOURCES_MAX];   /* rows of the phase's cut given before it */
    struct deal deal;
};
struct loader {
    struct store *store;
    struct loader_conf conf;
    uint32_t cut_count, cut_of[LOADER_PHASES_MAX];
    struct cut *cut;
    struct stretch *stretch;
    uint64_t stretch_count, stretch_max, rows;
    bool dry; /* it ended where no source was left, as conf.partial allows */
};

/* ---- checks ---- */

static int check_source(const struct loader_conf *c, uint32_t s)
{
    const struct loader_source *source = &c->source[s];
    if (!(source->epochs_max >= 0) || !isfinite(source->epochs_max))
        return err_set(ERR_USAGE, "loader: %s may be seen %g times: it must be 0 or more",
                       source->view->name, source->epochs_max);
    for (uint32_t other = 0; other < s; other++)
        if (strcmp(c->source[other].view->name, source->view->name) == 0)
            return err_set(ERR_USAGE, "loader: the mixture names %s twice", source->view->name);
    return 0;
}

static int check_phase(const struct loader_conf *c, uint32_t p)
{
    const struct loader_phase *phase = &c->phase[p];
    double sum = 0;
    if (phase->sequence < 1 || phase->sequence > STORE_SEQUENCE_MAX)
        return err_set(ERR_USAGE, "loader: phase %s has sequences of %u tokens: from 1 to %d",
                       phase->name, phase->sequence, STORE_SEQUENCE_MAX);
    for (uint32_t s = 0; s < c->source_count; s++) {
        if (!(phase->weight[s] >= 0) || !isfinite(phase->weight[s]))
            return err_set(ERR_USAGE, "loader: phase %s gives %s the weight %g: 0 or more",
                           phase->name, c->source[s].view->name, phase->weight[s]);
        sum += phase->weight[s];
    }
    if (!(sum > 0) || !isfinite(sum))
        return err_set(ERR_USAGE, "loader: the weights of phase %s add up to %g", phase->name, sum);
    return 0;
}

static int check_conf(const struct loader_conf *c)
{
    uint64_t rows = 0;
    if (c->source_count < 1 || c->source_count > LOADER_SOURCES_MAX || c->phase_count < 1 ||
        c->phase_count > LOADER_PHASES_MAX)
        return err_set(ERR_USAGE, "loader: %u sources in %u phases: 1 to %d in 1 to %d",
                       c->source_count, c->phase_count, LOADER_SOURCES_MAX, LOADER_PHASES_MAX);
    for (uint32_t s = 0; s < c->source_count; s++)
        TRY(check_source(c, s));
    for (uint32_t p = 0; p < c->phase_count; p++) {
        TRY(check_phase(c, p));
        if (c->phase[p].rows > LOADER_ROWS_MAX - rows)
            return err_set(ERR_USAGE, "loader: more than %llu rows in all phases", LOADER_ROWS_MAX);
        rows += c->phase[p].rows;
    }
    return 0;
}

/* ---- cuts ---- */

static int cut_open(struct loader *l, struct cut *cut, uint32_t sequence)
{
    const struct loader_conf *c = &l->conf;
    cut->sequence = sequence;
    for (uint32_t s = 0; s < c->source_count; s++) {
        const struct token_view *v = c->source[s].view;
        cut->key[s] = hash_mix(hash_str(str_of(v->name), c->seed) ^ hash_mix(sequence));
        cut->rows[s] = v->tokens / sequence + (v->tokens % sequence != 0);
        if (c->packing == PACK_BEST_FIT && v->tokens) {
            TRY(pack_open(&cut->pack[s], l->store, v, sequence));
            cut->rows[s] = pack_rows(cut->pack[s]);
        }
    }
    return 0;
}

static int cuts_open(struct loader *l)
{
    const struct loader_conf *c = &l->conf;
    l->cut = calloc(c->phase_count, sizeof *l->cut);
    if (!l->cut)
        return err_set(ERR_LIMIT, "loader: no memory for %u phases", c->phase_count);
    for (uint32_t p = 0; p < c->phase_count; p++) {
        uint32_t at = 0;
        while (at < l->cut_count && l->cut[at].sequence != c->phase[p].sequence)
            at++;
        l->cut_of[p] = at;
        if (at == l->cut_count) {
            l->cut_count++;
            TRY(cut_open(l, &l->cut[at], c->phase[p].sequence));
        }
    }
    return 0;
}

static const struct cut *phase_cut(const struct loader *l, uint32_t phase)
{
    return &l->cut[l->cut_of[phase]];
}

/* ---- planning ---- */

/* Rows of this cut that a source may still give until it was seen `epochs` times; UINT64_MAX: no
 * end. What it gave to other cuts counts by the epochs it was. */
static uint64_t rows_until(const struct loader *l, const struct cut *cut, uint32_t s, double epochs)
{
    double rows = (double)cut->rows[s];
    if (cut->rows[s] == 0)
        return 0;
    if (epochs <= 0)
        return UINT64_MAX;
    for (uint32_t i = 0; i < l->cut_count; i++)
        if (&l->cut[i] != cut)
            epochs -= (double)l->cut[i].taken[s] / (double)l->cut[i].rows[s];
    double most = floor(epochs * rows + 1e-9);
    if (most >= 0x1p62)
        return UINT64_MAX;
    return most <= (double)cut->taken[s] ? 0 : (uint64_t)most - cut->taken[s];
}

static uint64_t rows_left(const struct loader *l, const struct cut *cut, uint32_t s)
{
    return rows_until(l, cut, s, l->conf.source[s].epochs_max);
}

static struct stretch *stretch_push(struct loader *l)
{
    if (l->stretch_count == l->stretch_max) {
        uint64_t max = l->stretch_max ? l->stretch_max * 2 : 4;
        struct stretch *grown = realloc(l->stretch, max * sizeof *grown);
        if (!grown)
            return NULL;
        l->stretch = grown;
        l->stretch_max = max;
    }
    return memset(&l->stretch[l->stretch_count++], 0, sizeof *l->stretch);
}

/* Shares of the open sources by their own weights and, with SPILL_UNSEEN, what the closed ones
 * leave by the tokens not yet seen. */
static void stretch_weights(const struct loader *l, const struct cut *cut, struct stretch *st,
                            uint64_t open, bool *by_unseen)
{
    const double *weight = l->conf.phase[st->phase].weight;
    double kept = 0, spilt = 0, unseen = 0, share[LOADER_SOURCES_MAX] = {0};
    for (uint32_t s = 0; s < l->conf.source_count; s++) {
        if (!(open >> s & 1)) {
            spilt += weight[s];
            continue;
        }
        kept += weight[s];
        unseen += (double)rows_until(l, cut, s, 1);
    }
    *by_unseen = l->conf.spill == SPILL_UNSEEN && spilt > 0 && unseen > 0;
    for (uint32_t s = 0; s < l->conf.source_count; s++) {
        if (!(open >> s & 1))
            continue;
        share[s] = weight[s] / kept;
        if (*by_unseen)
            share[s] =
                (weight[s] + spilt * (double)rows_until(l, cut, s, 1) / unseen) / (kept + spilt);
        double units = floor(share[s] * (double)DEAL_UNIT + 0.5);
        st->weight[s] = units < 1 ? 1 : units > (double)DEAL_UNIT ? DEAL_UNIT : (uint64_t)units;
    }
}

/* The most rows, up to `most`, over which nothing changes: no source becomes full, and none that
 * takes over by what is unseen of it has given a whole epoch. */
static uint64_t stretch_length(const struct loader *l, const struct cut *cut,
                               const struct stretch *st, uint64_t open, bool by_unseen,
                               uint64_t most)
{
    for (uint32_t s = 0; s < l->conf.source_count; s++) {
        if (!(open >> s & 1))
            continue;
        uint64_t left = rows_left(l, cut, s), fresh = rows_until(l, cut, s, 1);
        if (left != UINT64_MAX)
            most = deal_when(&st->deal, s, left, most);
        if (by_unseen && fresh)
            most = deal_when(&st->deal, s, fresh, most);
    }
    return most;
}

static int run_out(struct loader *l, uint32_t p, uint64_t drawn, uint64_t full)
{
    if (l->conf.partial) {
        l->rows += drawn;
        l->dry = true;
        return 0;
    }
    const struct loader_phase *phase = &l->conf.phase[p];
    if (!full)
        return err_set(ERR_LIMIT,
                       "loader: phase %s asks for %llu rows, and after %llu every source of its "
                       "mixture has reached epochs_max: raise it, add data or train for fewer "
                       "steps",
                       phase->name, (unsigned long long)phase->rows, (unsigned long long)drawn);
    uint32_t s = (uint32_t)__builtin_ctzll(full);
    return err_set(ERR_LIMIT,
                   "loader: in phase %s, after %llu of its %llu rows, %s has been seen %g times, "
                   "and spill is \"stop\": raise its epochs, lower its weight, or set spill to "
                   "\"weights\" or \"unseen\"",
                   phase->name, (unsigned long long)drawn, (unsigned long long)phase->rows,
                   l->conf.source[s].view->name, l->conf.source[s].epochs_max);
}

/* Bit s: the phase gives source s a weight, it has tokens, and it may (or, with full, may not)
 * still be drawn from. */
static uint64_t sources_of(const struct loader *l, uint32_t p, bool full)
{
    const struct cut *cut = phase_cut(l, p);
    uint64_t mask = 0;
    for (uint32_t s = 0; s < l->conf.source_count; s++)
        if (l->conf.phase[p].weight[s] > 0 && cut->rows[s] > 0)
            mask |= (uint64_t)((rows_left(l, cut, s) == 0) == full) << s;
    return mask;
}

static int plan_phase(struct loader *l, uint32_t p)
{
    struct cut *cut = &l->cut[l->cut_of[p]];
    uint64_t drawn = 0, rows = l->conf.phase[p].rows;
    while (drawn < rows) {
        uint64_t open = sources_of(l, p, false), full = sources_of(l, p, true);
        bool by_unseen;
        if (l->conf.spill == SPILL_STOP && full)
            return run_out(l, p, drawn, full);
        if (!open)
            return run_out(l, p, drawn, 0);
        struct stretch *st = stretch_push(l);
        if (!st)
            return err_set(ERR_LIMIT, "loader: no memory for the plan of phase %s",
                           l->conf.phase[p].name);
        st->phase = p;
        st->first = l->rows + drawn;
        memcpy(st->base, cut->taken, sizeof st->base);
        stretch_weights(l, cut, st, open, &by_unseen);
        deal_open(&st->deal, st->weight);
        st->rows = stretch_length(l, cut, st, open, by_unseen, rows - drawn);
        assert(st->rows > 0);
        drawn += st->rows;
        for (uint32_t s = 0; s < l->conf.source_count; s++)
            if (open >> s & 1)
                cut->taken[s] += deal_count(&st->deal, s, st->rows);
        st->full = sources_of(l, p, true);
    }
    l->rows += rows;
    return 0;
}

int loader_open(struct loader **out, struct store *s, const struct loader_conf *conf)
{
    int rc;
    TRY(check_conf(conf));
    struct loader *l = calloc(1, sizeof *l);
    if (!l)
        return err_set(ERR_LIMIT, "loader: no memory");
    l->store = s;
    l->conf = *conf;
    TRY_OUT(cuts_open(l));
    for (uint32_t p = 0; p < conf->phase_count && !l->dry; p++)
        TRY_OUT(plan_phase(l, p));
    *out = l;
    return 0;
out:
    loader_close(l);
    return rc;
}

void loader_close(struct loader *l)
{
    if (!l)
        return;
    for (uint32_t i = 0; i < l->cut_count; i++)
        for (uint32_t s = 0; s < l->conf.source_count; s++)
            pack_close(l->cut[i].pack[s]);
    free(l->cut);
    free(l->stretch);
    free(l);
}

uint64_t loader_rows(const struct loader *l) { return l->rows; }

uint64_t loader_epoch_rows(const struct loader *l, uint32_t source, uint32_t sequence)
{
    for (uint32_t i = 0; i < l->cut_count; i++)
        if (l->cut[i].sequence == sequence)
            return l->cut[i].rows[source];
    return 0;
}

/* ---- places ---- */

/* A Feistel network over the bits that hold count, walked until it lands inside: a bijection on
 * [0, count) without a table, in fewer than two walks on average. Its halves need not be equal:
 * each round changes one by what the other is mixed to. */
static uint64_t shuffle(uint64_t index, uint64_t count, uint64_t key)
{
    unsigned bits = count > 2 ? 64 - (unsigned)__builtin_clzll(count - 1) : 2, low = bits / 2;
    uint64_t low_mask = (1ull << low) - 1, high_mask = (1ull << (bits - low)) - 1;
    uint64_t round_key[SHUFFLE_ROUNDS];
    for (uint64_t i = 0; i < SHUFFLE_ROUNDS; i++) /* ahead: these need not wait for each other */
        round_key[i] = hash_mix(key + i);
    do {
        uint64_t left = index >> low, right = index & low_mask;
        for (int i = 0; i < SHUFFLE_ROUNDS; i += 2) {
            left ^= hash_mix(round_key[i] ^ right) & high_mask;
            right ^= hash_mix(round_key[i + 1] ^ left) & low_mask;
        }
        index = left << low | right;
    } while (index >= count);
    return index;
}

static const struct stretch *stretch_of(const struct loader *l, uint64_t row)
{
    uint64_t low = 0, high = l->stretch_count;
    assert(row < l->rows);
    while (high - low > 1) {
        uint64_t middle = low + (high - low) / 2;
        if (l->stretch[middle].first <= row)
            low = middle;
        else
            high = middle;
    }
    return &l->stretch[low];
}

struct loader_place loader_place(const struct loader *l, uint64_t row)
{
    const struct stretch *st = stretch_of(l, row);
    const struct cut *cut = phase_cut(l, st->phase);
    struct loader_place p = {.phase = st->phase, .sequence = cut->sequence};
    uint64_t before;
    p.source = deal_choose(&st->deal, row - st->first, &before);
    p.drawn = st->base[p.source] + before;
    uint64_t rows = cut->rows[p.source];
    p.epoch = p.drawn / rows;
    p.index = shuffle(p.drawn % rows, rows, hash_mix(cut->key[p.source] ^ hash_mix(p.epoch)));
    return p;
}

bool loader_piece(const struct loader *l, const struct loader_place *p, uint32_t index,
                  struct loader_piece *out)
{
    const struct cut *cut = phase_cut(l, p->phase);
    if (cut->pack[p->source])
        return pack_piece(cut->pack[p->source], p->index, index, out);
    uint64_t start = p->index * p->sequence;
    uint64_t left = l->conf.source[p->source].view->tokens - start;
    *out = (struct loader_piece){start, 0, left < p->sequence ? (uint32_t)left : p->sequence};
    return index == 0;
}

/* ---- rows ---- */

/* The tokens of a piece and the one behind it, which is the target of its last. */
static int piece_read(const struct loader *l, const struct token_view *v,
                      const struct loader_piece *piece, struct widen *w)
{
    const uint32_t bytes = store_meta(l->store)->token_bytes;
    uint64_t at = token_view_find(v, piece->start);
    uint64_t skip = piece->start - v->extent[at].before;
    bool first = true;
    w->at = piece->at;
    w->start = (int32_t)piece->at;
    for (uint32_t left = piece->count; left;) {
        const struct extent *e = &v->extent[at];
        const void *ids;
        uint32_t have, want = e->count - skip < left ? (uint32_t)(e->count - skip) : left;
        TRY(store_window(l->store, e->domain, e->start + skip, want, &ids, &have));
        widen_ids(w, ids, have, bytes, first);
        first = false;
        left -= have;
        skip += have;
        if (skip == e->count) {
            at++;
            skip = 0;
        }
    }
    int32_t behind = w->eot;
    if (at < v->extent_count) {
        const void *id;
        uint32_t have;
        TRY(store_window(l->store, v->extent[at].domain, v->extent[at].start + skip, 1, &id,
                         &have));
        behind = bytes == 2 ? *(const uint16_t *)id : (int32_t) * (const uint32_t *)id;
    }
    w->targets[w->at - 1] = behind;
    return 0;
}

int loader_read_at(const struct loader *l, const struct loader_place *place, int32_t *inputs,
                   int32_t *targets, int32_t *doc_start)
{
    const struct token_view *v = l->conf.source[place->source].view;
    struct widen w = {inputs, targets, doc_start, (int32_t)store_meta(l->store)->eot, 0, 0};
    struct loader_piece piece;
    for (uint32_t i = 0; loader_piece(l, place, i, &piece); i++)
        TRY(piece_read(l, v, &piece, &w));
    for (uint32_t i = w.at; i < place->sequence; i++) {
        inputs[i] = w.eot;
        targets[i] = -1;
        if (doc_start)
            doc_start[i] = (int32_t)i;
    }
    return 0;
}

int loader_read(const struct loader *l, uint64_t row, int32_t *inputs, int32_t *targets,
                int32_t *doc_start, uint32_t *source)
{
    struct loader_place place = loader_place(l, row);
    if (source)
        *source = place.source;
    return loader_read_at(l, &place, inputs, targets, doc_start);
}

/* The processor fetches ahead by itself inside a page, once it has seen its beginning: so the first
 * lines of every page. A row waits about 300 ns for them otherwise. */
void loader_touch(const struct loader *l, const struct loader_place *place)
{
    enum { PAGE = 4096, LINE = 64, LINES = 4 };
    const struct token_view *v = l->conf.source[place->source].view;
    struct loader_piece piece;
    const void *ids;
    uint32_t have;
    if (!loader_piece(l, place, 0, &piece))
        return;
    const struct extent *e = &v->extent[token_view_find(v, piece.start)];
    uint64_t skip = piece.start - e->before, left = e->count - skip;
    uint32_t count = left < piece.count ? (uint32_t)left : piece.count;
    if (store_window(l->store, e->domain, e->start + skip, count, &ids, &have) < 0) {
        err_clear(); /* who reads the row will be told */
        return;
    }
    const char *at = ids, *end = at + (size_t)have * store_meta(l->store)->token_bytes;
    for (; at < end; at += PAGE - (uintptr_t)at % PAGE)
        for (int line = 0; line < LINES; line++)
            __builtin_prefetch(at + line * LINE);
}

void loader_prefetch(const struct loader *l, uint64_t row)
{
    struct loader_place place = loader_place(l, row);
    const struct token_view *v = l->conf.source[place.source].view;
    struct loader_piece piece;
    for (uint32_t i = 0; loader_piece(l, &place, i, &piece); i++) {
        uint64_t at = token_view_find(v, piece.start), end = piece.start + piece.count;
        for (uint64_t pos = piece.start; pos < end; at++) {
            const struct extent *e = &v->extent[at];
            uint64_t skip = pos - e->before, left = e->count - skip;
            uint64_t now = left < end - pos ? left : end - pos;
            store_prefetch(l->store, e->domain, e->start + skip, now);
            pos += now;
        }
    }
}

/* ---- the plan for others ---- */

uint64_t loader_stretches(const struct loader *l) { return l->stretch_count; }

void loader_stretch(const struct loader *l, uint64_t index, struct loader_stretch *out)
{
    const struct stretch *st = &l->stretch[index];
    assert(index < l->stretch_count);
    *out = (struct loader_stretch){
        .phase = st->phase, .first = st->first, .rows = st->rows, .full = st->full};
    for (uint32_t s = 0; s < l->conf.source_count; s++) {
        if (!st->weight[s])
            continue;
        out->share[s] = (double)st->weight[s] / (double)DEAL_UNIT;
        out->rows_of[s] = deal_count(&st->deal, s, st->rows);
    }
}

/* Which documents a view holds, as one value. */
static uint64_t view_hash(const struct token_view *v)
{
    uint64_t hash = v->extent_count;
    for (uint64_t i = 0; i < v->extent_count; i++) {
        const uint64_t fact[3] = {v->extent[i].domain, v->extent[i].start, v->extent[i].count};
        hash = hash64(fact, sizeof fact, hash);
    }
    return hash;
}

static void past_sources(const struct loader *l, const uint64_t *given, struct buf *out)
{
    for (uint32_t s = 0; s < l->conf.source_count; s++) {
        const struct token_view *v = l->conf.source[s].view;
        if (given[s])
            buf_printf(out, "source %s: %llu tokens, documents %016llx\n", v->name,
                       (unsigned long long)v->tokens, (unsigned long long)view_hash(v));
    }
}

static void past_stretch(const struct loader *l, const struct stretch *st, uint64_t row,
                         struct buf *out)
{
    buf_printf(out, "from row %llu, phase %s of %u tokens a row:", (unsigned long long)st->first,
               l->conf.phase[st->phase].name, phase_cut(l, st->phase)->sequence);
    for (uint32_t s = 0; s < l->conf.source_count; s++)
        if (st->weight[s])
            buf_printf(out, " %s %.16g", l->conf.source[s].view->name,
                       (double)st->weight[s] / (double)DEAL_UNIT);
    buf_printf(out, "\nup to row %llu:", (unsigned long long)row);
    for (uint32_t s = 0; s < l->conf.source_count; s++)
        if (st->weight[s])
            buf_printf(
                out, " %s %llu", l->conf.source[s].view->name,
                (unsigned long long)(st->base[s] + deal_count(&st->deal, s, row - st->first)));
    buf_char(out, '\n');
}

void loader_past(const struct loader *l, uint64_t row, struct buf *out)
{
    uint64_t given[LOADER_SOURCES_MAX] = {0};
    char hex[33];
    hash_hex(store_identity(l->store), hex);
    buf_printf(out, "store %s\nseed %llu\npacking %s\n", hex, (unsigned long long)l->conf.seed,
               packing_names[l->conf.packing]);
    for (uint64_t i = 0; i < l->stretch_count && l->stretch[i].first < row; i++)
        for (uint32_t s = 0; s < l->conf.source_count; s++)
            given[s] |= l->stretch[i].weight[s];
    past_sources(l, given, out);
    for (uint64_t i = 0; i < l->stretch_count && l->stretch[i].first < row; i++) {
        const struct stretch *st = &l->stretch[i];
        uint64_t end = st->first + st->rows;
        past_stretch(l, st, row < end ? row : end, out);
    }
}

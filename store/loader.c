/* loader - which tokens a row of training holds, as a function of seed, store, mixtures and row. */
#include "store/loader.h"

#include "core/err.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>

/* Weights as integers, so that the choice of domains is exact and alike on every machine. */
#define WEIGHT_UNIT 4294967296.0
enum { SHUFFLE_ROUNDS = 4 };

struct part {
    uint64_t sequences; /* in an epoch */
    uint64_t cap;       /* rows the domain may give over all phases; UINT64_MAX: no end */
    uint64_t weight;    /* of WEIGHT_UNIT; 0: not in the mixture */
    uint64_t key;       /* of its permutations */
};
struct loader {
    struct store *store;
    uint32_t length, domain_count; /* tokens of a row */
    struct part part[STORE_DOMAINS_MAX];
    struct loader_state state;
    uint32_t *ids; /* length + 1 */
    bool started;
};

int loader_open(struct loader **out, struct store *s, uint32_t sequence_tokens, uint64_t seed)
{
    const struct store_meta *meta = store_meta(s);
    if (sequence_tokens < 1 || sequence_tokens > STORE_SEQUENCE_MAX)
        return err_set(ERR_USAGE, "loader: sequences of %u tokens: from 1 to %d", sequence_tokens,
                       STORE_SEQUENCE_MAX);
    struct loader *l = calloc(1, sizeof *l);
    if (!l)
        return err_set(ERR_LIMIT, "loader: no memory");
    l->store = s;
    l->length = sequence_tokens;
    l->domain_count = meta->domain_count;
    l->ids = malloc(((size_t)sequence_tokens + 1) * sizeof *l->ids);
    if (!l->ids) {
        free(l);
        return err_set(ERR_LIMIT, "loader: no memory for a row of %u tokens", sequence_tokens);
    }
    for (uint32_t i = 0; i < meta->domain_count; i++) {
        uint64_t tokens = meta->domain[i].tokens;
        l->part[i].sequences = tokens / sequence_tokens + (tokens % sequence_tokens != 0);
        l->part[i].key = hash_str(str_of(meta->domain[i].name), seed);
    }
    *out = l;
    return 0;
}

void loader_close(struct loader *l)
{
    if (!l)
        return;
    free(l->ids);
    free(l);
}

/* ---- permutation of an epoch ---- */

/* A Feistel network over the least even number of bits that holds count, walked until it lands
 * inside: a bijection on [0, count) without a table. Fewer than four steps on average. */
static uint64_t shuffle(uint64_t index, uint64_t count, uint64_t key)
{
    unsigned half = 1;
    while (half < 32 && (1ull << (2 * half)) < count)
        half++;
    uint64_t mask = (1ull << half) - 1;
    do {
        uint64_t left = index >> half, right = index & mask;
        for (uint64_t round = 0; round < SHUFFLE_ROUNDS; round++) {
            uint64_t mixed = left ^ (hash_mix((key + round) ^ hash_mix(right)) & mask);
            left = right;
            right = mixed;
        }
        index = left << half | right;
    } while (index >= count);
    return index;
}

static uint64_t sequence_of(const struct part *p, uint64_t taken)
{
    uint64_t epoch = taken / p->sequences;
    return shuffle(taken % p->sequences, p->sequences, hash_mix(p->key ^ hash_mix(epoch)));
}

/* ---- choice of the domain ---- */

static uint64_t rows_of_epochs(double epochs, uint64_t sequences)
{
    double rows = floor(epochs * (double)sequences + 1e-9);
    return epochs <= 0 || rows >= 0x1p63 ? UINT64_MAX : (uint64_t)rows;
}

static int mixture_check(const struct loader *l, const struct mixture *m, double *sum)
{
    uint64_t seen = 0;
    *sum = 0;
    if (m->count < 1 || m->count > STORE_DOMAINS_MAX)
        return err_set(ERR_USAGE, "loader: a mixture of %d domains: from 1 to %d", m->count,
                       STORE_DOMAINS_MAX);
    for (int i = 0; i < m->count; i++) {
        uint32_t d = m->part[i].domain;
        double weight = m->part[i].weight, epochs = m->part[i].epochs_max;
        if (d >= l->domain_count)
            return err_set(ERR_USAGE, "loader: the mixture names domain %u, the store has %u", d,
                           l->domain_count);
        if (!(weight >= 0) || !isfinite(weight) || !(epochs >= 0))
            return err_set(ERR_USAGE,
                           "loader: domain %u has weight %g and at most %g epochs: neither may be "
                           "below 0",
                           d, weight, epochs);
        if (seen & 1ull << d)
            return err_set(ERR_USAGE, "loader: the mixture names domain %u twice", d);
        seen |= 1ull << d;
        *sum += weight;
    }
    if (!(*sum > 0) || !isfinite(*sum))
        return err_set(ERR_USAGE, "loader: the weights of the mixture add up to %g", *sum);
    return 0;
}

static bool part_open(const struct loader *l, uint32_t domain)
{
    const struct part *p = &l->part[domain];
    return p->weight > 0 && p->sequences > 0 && l->state.taken[domain] < p->cap;
}

static uint64_t open_mask(const struct loader *l)
{
    uint64_t mask = 0;
    for (uint32_t d = 0; d < l->domain_count; d++)
        mask |= (uint64_t)part_open(l, d) << d;
    return mask;
}

int loader_phase(struct loader *l, uint32_t phase, const struct mixture *m)
{
    double sum;
    TRY(mixture_check(l, m, &sum));
    for (uint32_t d = 0; d < l->domain_count; d++)
        l->part[d].weight = 0;
    for (int i = 0; i < m->count; i++) {
        struct part *p = &l->part[m->part[i].domain];
        double share = m->part[i].weight / sum * WEIGHT_UNIT;
        p->weight = m->part[i].weight > 0 && share < 1 ? 1 : (uint64_t)(share + 0.5);
        p->cap = rows_of_epochs(m->part[i].epochs_max, p->sequences);
    }
    struct loader_state *s = &l->state;
    s->phase = phase;
    s->phase_rows = 0;
    s->quota_rows = 0;
    memset(s->quota_taken, 0, sizeof s->quota_taken);
    s->quota_open = open_mask(l);
    l->started = true;
    return 0;
}

/* Tijdeman, "The chairman assignment problem" (1980). With shares a and k rows to be drawn, a
 * domain lacks s = a k - taken; of those that lack 1 / (2n - 2) or more, the one with the least (1
 * - 1 / (2n - 2) - s) / a, which is the first that would fall behind by a row. No domain is ever
 * further than 1 - 1 / (2n - 2) rows from its share. (Always the greatest s would drift further.)
 * Here all is multiplied by the sum of weights and by 2n - 2; at most 2^32 * 126 * 2^32. */
static uint32_t choose(const struct loader *l, uint64_t mask)
{
    const struct loader_state *s = &l->state;
    __int128 total = 0, best_slack = 0;
    int count = __builtin_popcountll(mask), scale = 2 * count - 2;
    uint32_t best = UINT32_MAX;
    if (count == 1)
        return (uint32_t)__builtin_ctzll(mask);
    for (uint32_t d = 0; d < l->domain_count; d++)
        total += mask >> d & 1 ? l->part[d].weight : 0;
    for (uint32_t d = 0; d < l->domain_count; d++) {
        if (!(mask >> d & 1))
            continue;
        __int128 weight = l->part[d].weight;
        __int128 lacks = (weight * (s->quota_rows + 1) - total * s->quota_taken[d]) * scale;
        if (lacks < total)
            continue;
        __int128 slack = total * (scale - 1) - lacks;
        if (best == UINT32_MAX || slack * l->part[best].weight < best_slack * weight) {
            best = d;
            best_slack = slack;
        }
    }
    assert(best != UINT32_MAX); /* the lacks add up to one row */
    return best;
}

/* Takes the next row: its domain and sequence. */
static int advance(struct loader *l, uint32_t *domain, uint64_t *sequence)
{
    struct loader_state *s = &l->state;
    uint64_t mask = open_mask(l);
    assert(l->started);
    if (!mask)
        return err_set(ERR_LIMIT,
                       "loader: after %llu rows every domain of the mixture has reached "
                       "epochs_max: raise it, add data or train for fewer steps",
                       (unsigned long long)s->rows);
    if (mask != s->quota_open) {
        s->quota_open = mask;
        s->quota_rows = 0;
        memset(s->quota_taken, 0, sizeof s->quota_taken);
    }
    *domain = choose(l, mask);
    *sequence = sequence_of(&l->part[*domain], s->taken[*domain]);
    s->taken[*domain]++;
    s->quota_taken[*domain]++;
    s->quota_rows++;
    s->phase_rows++;
    s->rows++;
    return 0;
}

int loader_places(struct loader *l, uint32_t rows, struct loader_place *out)
{
    const struct store_meta *meta = store_meta(l->store);
    struct loader_state before = l->state;
    for (uint32_t i = 0; i < rows; i++) {
        uint64_t sequence;
        int rc = advance(l, &out[i].domain, &sequence);
        if (rc < 0) {
            l->state = before;
            return rc;
        }
        uint64_t left = meta->domain[out[i].domain].tokens - sequence * l->length;
        out[i].start = sequence * l->length;
        out[i].count = left < l->length ? (uint32_t)left : l->length;
    }
    return 0;
}

int loader_skip(struct loader *l, uint64_t rows)
{
    struct loader_state before = l->state;
    uint32_t domain;
    uint64_t sequence;
    for (uint64_t i = 0; i < rows; i++) {
        int rc = advance(l, &domain, &sequence);
        if (rc < 0) {
            l->state = before;
            return rc;
        }
    }
    return 0;
}

uint64_t loader_rows_left(const struct loader *l)
{
    uint64_t left = 0;
    assert(l->started);
    for (uint32_t d = 0; d < l->domain_count; d++) {
        if (!part_open(l, d))
            continue;
        if (l->part[d].cap == UINT64_MAX)
            return UINT64_MAX;
        left += l->part[d].cap - l->state.taken[d];
    }
    return left;
}

/* ---- rows ---- */

static int row_read(struct loader *l, uint32_t domain, uint64_t sequence, int32_t *inputs,
                    int32_t *targets, int32_t *doc_start)
{
    const struct store_meta *meta = store_meta(l->store);
    uint64_t first = sequence * l->length, left = meta->domain[domain].tokens - first;
    uint32_t want = l->length + 1, have = left < want ? (uint32_t)left : want;
    int32_t start = 0;
    TRY(store_read(l->store, domain, first, have, l->ids));
    for (uint32_t i = have; i < want; i++)
        l->ids[i] = meta->eot;
    for (uint32_t i = 0; i < l->length; i++) {
        if (l->ids[i] == meta->eot)
            start = (int32_t)i;
        inputs[i] = (int32_t)l->ids[i];
        targets[i] = i < have ? (int32_t)l->ids[i + 1] : -1;
        if (doc_start)
            doc_start[i] = start;
    }
    return 0;
}

/* Asks the disk for the rows behind those just read, so that they are there when their turn comes.
 */
static void lookahead(struct loader *l, uint32_t rows)
{
    struct loader_state now = l->state;
    uint64_t left = loader_rows_left(l), sequence;
    uint32_t domain;
    if (rows > STORE_LOOKAHEAD_MAX)
        rows = STORE_LOOKAHEAD_MAX;
    for (uint32_t i = 0; i < rows && i < left; i++)
        if (advance(l, &domain, &sequence) >= 0)
            store_prefetch(l->store, domain, sequence * l->length, (uint64_t)l->length + 1);
    l->state = now;
}

int loader_next(struct loader *l, uint32_t rows, int32_t *inputs, int32_t *targets,
                int32_t *doc_start, uint32_t *domain)
{
    struct loader_state before = l->state;
    int rc = 0;
    for (uint32_t i = 0; i < rows; i++) {
        size_t at = (size_t)i * l->length;
        uint32_t from;
        uint64_t sequence;
        TRY_OUT(advance(l, &from, &sequence));
        TRY_OUT(row_read(l, from, sequence, inputs + at, targets + at,
                         doc_start ? doc_start + at : NULL));
        if (domain)
            domain[i] = from;
    }
    lookahead(l, rows);
out:
    if (rc < 0)
        l->state = before;
    return rc;
}

/* ---- state ---- */

void loader_get_state(const struct loader *l, struct loader_state *out) { *out = l->state; }

int loader_set_state(struct loader *l, const struct loader_state *state)
{
    uint64_t taken = 0, quota = 0;
    if (!l->started || state->phase != l->state.phase)
        return err_set(ERR_USAGE, "loader: the state is of phase %u: start that phase first",
                       state->phase);
    for (uint32_t d = 0; d < STORE_DOMAINS_MAX; d++) {
        bool known = d < l->domain_count;
        if (!known && (state->taken[d] || state->quota_taken[d] || state->quota_open >> d & 1))
            return err_set(ERR_FORMAT, "loader: the state has a domain %u, the store has %u", d,
                           l->domain_count);
        taken += state->taken[d];
        quota += state->quota_taken[d];
    }
    if (taken != state->rows || quota != state->quota_rows ||
        state->quota_rows > state->phase_rows || state->phase_rows > state->rows ||
        (state->phase_rows > 0 && state->quota_rows == 0))
        return err_set(ERR_FORMAT,
                       "loader: the state does not add up (%llu rows, %llu in the phase, %llu of "
                       "the quota): it is damaged or of another version",
                       (unsigned long long)state->rows, (unsigned long long)state->phase_rows,
                       (unsigned long long)state->quota_rows);
    l->state = *state;
    return 0;
}

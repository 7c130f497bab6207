/* test_store_loader - rows against a slow twin: every token once an epoch, exact shares, exact
 * resume. */
#include "store/loader.h"
#include "tests/store_made.h"

#include <math.h>

static const char *store_at(void)
{
    static char path[IO_PATH_MAX];
    snprintf(path, sizeof path, "%s/store", test_dir());
    return path;
}

/* A store of given numbers of tokens, <|endoftext|> included; documents of about `doc` tokens. */
static void make_sized(struct made *m, const uint64_t *tokens, uint32_t domains, uint32_t doc)
{
    struct store_meta meta = made_meta(1000, domains);
    struct store_writer *w;
    uint64_t state = 77;
    memset(m, 0, sizeof *m);
    m->domains = domains;
    CHECK_OK(store_create(&w, store_at(), &meta));
    for (uint32_t d = 0; d < domains; d++) {
        for (uint32_t i = 0; m->domain[d].count < tokens[d]; i++) {
            uint64_t left = tokens[d] - m->domain[d].count, n = test_random(&state) % (2 * doc);
            made_add(m, w, d, (uint32_t)(n < left ? n : left - 1), i, 1000, &state);
        }
        CHECK_INT(m->domain[d].count, tokens[d]);
    }
    CHECK_OK(store_commit(w, NULL));
}

struct rows {
    uint32_t length, count;
    int32_t *inputs, *targets, *doc_start;
    uint32_t *domain;
};

static void rows_open(struct rows *r, uint32_t count, uint32_t length)
{
    size_t n = (size_t)count * length;
    *r = (struct rows){.length = length, .count = count};
    r->inputs = malloc((n + 1) * sizeof *r->inputs);
    r->targets = malloc((n + 1) * sizeof *r->targets);
    r->doc_start = malloc((n + 1) * sizeof *r->doc_start);
    r->domain = malloc((count + 1) * sizeof *r->domain);
}

static void rows_close(struct rows *r)
{
    free(r->inputs);
    free(r->targets);
    free(r->doc_start);
    free(r->domain);
}

/* Reads rows [from, from + count) of r. */
static int rows_next(struct loader *l, struct rows *r, uint32_t from, uint32_t count)
{
    size_t at = (size_t)from * r->length;
    return loader_next(l, count, r->inputs + at, r->targets + at, r->doc_start + at,
                       r->domain + from);
}

static bool rows_equal(const struct rows *a, const struct rows *b, uint32_t from, uint32_t count)
{
    size_t at = (size_t)from * a->length, bytes = (size_t)count * a->length * sizeof(int32_t);
    return memcmp(a->inputs + at, b->inputs + at, bytes) == 0 &&
           memcmp(a->targets + at, b->targets + at, bytes) == 0 &&
           memcmp(a->doc_start + at, b->doc_start + at, bytes) == 0 &&
           memcmp(a->domain + from, b->domain + from, count * sizeof *a->domain) == 0;
}

static struct mixture mixture_of(const double *weights, int count, double epochs)
{
    struct mixture m = {.count = count};
    for (int i = 0; i < count; i++) {
        m.part[i].domain = (uint32_t)i;
        m.part[i].weight = weights[i];
        m.part[i].epochs_max = epochs;
    }
    return m;
}

/* Which sequence of the domain a row holds, found by content; checks all of the row against the
 * arrays. */
static uint64_t row_sequence(const struct made_domain *d, const struct rows *r, uint32_t row)
{
    const uint32_t eot = 999;
    const int32_t *in = r->inputs + (size_t)row * r->length;
    const int32_t *out = r->targets + (size_t)row * r->length;
    const int32_t *starts = r->doc_start + (size_t)row * r->length;
    uint64_t sequences = (d->count + r->length - 1) / r->length, found = UINT64_MAX;
    for (uint64_t k = 0; k < sequences; k++) {
        uint64_t same = 0;
        while (same < r->length && k * r->length + same < d->count &&
               (uint32_t)in[same] == d->ids[k * r->length + same])
            same++;
        if (same < r->length && k * r->length + same < d->count)
            continue;
        CHECK(found == UINT64_MAX); /* random ids: no two sequences are alike */
        found = k;
    }
    CHECK(found != UINT64_MAX);
    int32_t start = 0;
    for (uint32_t i = 0; i < r->length; i++) {
        uint64_t at = found * r->length + i;
        bool data = at < d->count;
        CHECK_INT(in[i], data ? d->ids[at] : eot);
        CHECK_INT(out[i], !data ? -1 : at + 1 < d->count ? (int32_t)d->ids[at + 1] : (int32_t)eot);
        if ((uint32_t)in[i] == eot)
            start = (int32_t)i;
        CHECK_INT(starts[i], start);
    }
    return found;
}

TEST(store_loader_sees_every_token_once_an_epoch)
{
    /* Several sequences, exactly one, one token more, one less, and far less than a row. */
    const uint64_t tokens[] = {1000, 32, 33, 31, 5, 64};
    const double weights[] = {1, 1, 1, 1, 1, 1};
    struct made m;
    struct store *s;
    make_sized(&m, tokens, COUNT_OF(tokens), 12);
    CHECK_OK(store_open(&s, store_at()));
    for (uint32_t d = 0; d < COUNT_OF(tokens); d++) {
        struct loader *l;
        struct mixture mix = mixture_of(weights, COUNT_OF(tokens), 3);
        uint32_t n = (uint32_t)((tokens[d] + 31) / 32), moved = 0;
        uint64_t first[32] = {0};
        struct rows r;
        mix.part[0].domain = d;
        mix.count = 1;
        rows_open(&r, 3 * n, 32);
        CHECK_OK(loader_open(&l, s, 32, 5));
        CHECK_OK(loader_phase(l, 0, &mix));
        CHECK_INT(loader_rows_left(l), 3 * n);
        CHECK_OK(rows_next(l, &r, 0, 3 * n));
        for (uint32_t epoch = 0; epoch < 3; epoch++) {
            uint64_t seen = 0;
            for (uint32_t i = 0; i < n; i++) {
                uint64_t k = row_sequence(&m.domain[d], &r, epoch * n + i);
                CHECK(!(seen >> k & 1));
                seen |= 1ull << k;
                moved += epoch > 0 && first[i] != k;
                if (epoch == 0)
                    first[i] = k;
                CHECK_INT(r.domain[epoch * n + i], d);
            }
            CHECK(seen == (1ull << n) - 1);
        }
        if (n >= 32)
            CHECK(moved > n); /* another order in every epoch */
        CHECK_INT(loader_rows_left(l), 0);
        CHECK_ERR(rows_next(l, &r, 0, 1), ERR_LIMIT);
        CHECK_ERR(loader_skip(l, 1), ERR_LIMIT);
        loader_close(l);
        rows_close(&r);
    }
    store_close(s);
    made_close(&m);
}

/* Another seed, another order; the same seed, the same. */
TEST(store_loader_order_follows_the_seed)
{
    const uint64_t tokens[] = {20000};
    const double weights[] = {1};
    struct made m;
    struct store *s;
    struct rows r[3];
    make_sized(&m, tokens, 1, 50);
    CHECK_OK(store_open(&s, store_at()));
    for (uint64_t i = 0; i < 3; i++) {
        struct loader *l;
        struct mixture mix = mixture_of(weights, 1, 0);
        rows_open(&r[i], 100, 20);
        CHECK_OK(loader_open(&l, s, 20, i / 2));
        CHECK_OK(loader_phase(l, 0, &mix));
        CHECK(loader_rows_left(l) == UINT64_MAX);
        CHECK_OK(rows_next(l, &r[i], 0, 100));
        loader_close(l);
    }
    CHECK(rows_equal(&r[0], &r[1], 0, 100));
    CHECK(!rows_equal(&r[0], &r[2], 0, 100));
    /* Not the order of the file either: of 1000 sequences no more than a few are where they were.
     */
    int fixed = 0;
    for (uint32_t i = 0; i < 100; i++)
        fixed += (uint32_t)r[0].inputs[i * 20] == m.domain[0].ids[i * 20] &&
                 (uint32_t)r[0].inputs[i * 20 + 1] == m.domain[0].ids[i * 20 + 1];
    CHECK(fixed < 5);
    for (int i = 0; i < 3; i++)
        rows_close(&r[i]);
    store_close(s);
    made_close(&m);
}

/* After any number of rows, every domain is within one row of its share. */
TEST(store_loader_keeps_shares_within_a_row)
{
    static const double weights[][8] = {{.5, .3, .2, 0, 0, 0, 0, 0},
                                        {1, 1, 1, 1, 1, 1, 1, 1},
                                        {.9, .01, .01, .01, .01, .01, .01, .04},
                                        {1e-9, 1, 1e-3, 7, 3, 3, 3, 0},
                                        {100, 1, 1, 1, 1, 1, 1, 1}};
    uint64_t tokens[8], state = 9;
    struct made m;
    struct store *s;
    double worst = 0;
    for (int i = 0; i < 8; i++)
        tokens[i] = 500;
    make_sized(&m, tokens, 8, 20);
    CHECK_OK(store_open(&s, store_at()));
    for (size_t trial = 0; trial < 40; trial++) {
        double weight[8], sum = 0;
        struct loader *l;
        uint64_t taken[8] = {0};
        struct loader_state before, after;
        for (int d = 0; d < 8; d++) {
            double drawn = hash_unit(1, test_random(&state));
            weight[d] = trial < COUNT_OF(weights) ? weights[trial][d] : drawn * drawn * drawn;
            sum += weight[d];
        }
        struct mixture mix = mixture_of(weight, 8, 0);
        CHECK_OK(loader_open(&l, s, 16, 1));
        CHECK_OK(loader_phase(l, 0, &mix));
        for (uint64_t row = 1; row <= 3000; row++) {
            loader_get_state(l, &before);
            CHECK_OK(loader_skip(l, 1));
            loader_get_state(l, &after);
            for (int d = 0; d < 8; d++) {
                taken[d] += after.taken[d] - before.taken[d];
                double off = fabs((double)taken[d] - weight[d] / sum * (double)row);
                worst = off > worst ? off : worst;
            }
        }
        loader_close(l);
    }
    CHECK(worst < 1);
    store_close(s);
    made_close(&m);
}

TEST(store_loader_full_domains_yield)
{
    const uint64_t tokens[] = {160, 1600, 16000, 40}; /* 10, 100, 1000 and 3 sequences */
    const double weights[] = {.5, .3, .15, .05};
    struct made m;
    struct store *s;
    struct loader *l;
    struct loader_state state;
    make_sized(&m, tokens, 4, 20);
    CHECK_OK(store_open(&s, store_at()));
    CHECK_OK(loader_open(&l, s, 16, 1));
    struct mixture mix = mixture_of(weights, 4, 2);
    mix.part[2].epochs_max = 0; /* no limit */
    CHECK_OK(loader_phase(l, 0, &mix));
    CHECK(loader_rows_left(l) == UINT64_MAX);
    CHECK_OK(loader_skip(l, 40)); /* the first: 20 rows of two epochs */
    loader_get_state(l, &state);
    CHECK_INT(state.taken[0], 20);
    CHECK_INT(state.taken[1], 12);
    CHECK_INT(state.taken[2], 6);
    CHECK_INT(state.taken[3], 2);
    for (uint64_t k = 1; k <= 40; k++) { /* now .6, .3, .1 of what is left */
        CHECK_OK(loader_skip(l, 1));
        loader_get_state(l, &state);
        if (k == 1) /* counted anew since the first one closed */
            CHECK(state.quota_rows == 1 && state.quota_open == 0xe);
        CHECK(fabs((double)state.taken[1] - 12 - .6 * (double)k) < 1);
        CHECK(fabs((double)state.taken[2] - 6 - .3 * (double)k) < 1);
        CHECK(fabs((double)state.taken[3] - 2 - .1 * (double)k) < 1);
    }
    CHECK_INT(state.taken[0], 20);
    CHECK_OK(loader_skip(l, 1000));
    loader_get_state(l, &state);
    CHECK_INT(state.taken[1], 200);
    CHECK_INT(state.taken[3], 6);
    CHECK_INT(state.taken[2], 1080 - 226);
    /* All at their end: the error names the remedy and takes nothing. */
    mix.part[2].epochs_max = 1;
    CHECK_OK(loader_phase(l, 0, &mix));
    CHECK_INT(loader_rows_left(l), 1000 - (1080 - 226));
    CHECK_ERR(loader_skip(l, 147), ERR_LIMIT);
    CHECK(strstr(err_text(), "epochs_max") != NULL);
    struct rows r;
    rows_open(&r, 150, 16);
    CHECK_ERR(rows_next(l, &r, 0, 150), ERR_LIMIT);
    rows_close(&r);
    CHECK_OK(loader_skip(l, 146));
    CHECK_INT(loader_rows_left(l), 0);
    /* Half an epoch. */
    loader_close(l);
    CHECK_OK(loader_open(&l, s, 16, 1));
    mix = mixture_of(weights, 4, .5);
    CHECK_OK(loader_phase(l, 0, &mix));
    CHECK_INT(loader_rows_left(l), 5 + 50 + 500 + 1);
    CHECK_OK(loader_skip(l, 556));
    loader_close(l);
    store_close(s);
    made_close(&m);
}

/* Two phases with limits, read in pieces of every size with a new loader each time, as a run that
 * is stopped and resumed; and by two ranks of which each reads its half of every step. */
TEST(store_loader_resumes_and_ranks_agree)
{
    enum { ROWS = 240, SWITCH = 150, LENGTH = 24 };
    const uint64_t tokens[] = {400, 3000, 900};
    const double stable[] = {.3, .6, .1}, anneal[] = {.1, .1, .8};
    struct made m;
    struct store *s;
    struct loader *l;
    struct rows whole, parts, ranks;
    make_sized(&m, tokens, 3, 20);
    CHECK_OK(store_open(&s, store_at()));
    struct mixture mix[2] = {mixture_of(stable, 3, 2), mixture_of(anneal, 3, 2.5)};
    rows_open(&whole, ROWS, LENGTH);
    rows_open(&parts, ROWS, LENGTH);
    rows_open(&ranks, ROWS, LENGTH);
    CHECK_OK(loader_open(&l, s, LENGTH, 3));
    CHECK_OK(loader_phase(l, 0, &mix[0]));
    CHECK_OK(rows_next(l, &whole, 0, SWITCH));
    CHECK_OK(loader_phase(l, 1, &mix[1]));
    CHECK_OK(rows_next(l, &whole, SWITCH, ROWS - SWITCH));
    loader_close(l);
    struct loader_state state = {0};
    for (uint32_t row = 0, step = 1; row < ROWS; step = step % 7 + 1) {
        uint32_t phase = row >= SWITCH, end = phase ? ROWS : SWITCH;
        uint32_t now = step < end - row ? step : end - row;
        CHECK_OK(loader_open(&l, s, LENGTH, 3));
        if (row == SWITCH) { /* resumes in the old phase, then starts the new one */
            CHECK_OK(loader_phase(l, 0, &mix[0]));
            CHECK_OK(loader_set_state(l, &state));
            CHECK_OK(loader_phase(l, 1, &mix[1]));
        } else {
            CHECK_OK(loader_phase(l, phase, &mix[phase]));
            CHECK_OK(loader_set_state(l, &state));
        }
        CHECK_OK(rows_next(l, &parts, row, now));
        loader_get_state(l, &state);
        loader_close(l);
        row += now;
    }
    CHECK(rows_equal(&whole, &parts, 0, ROWS));
    for (uint32_t rank = 0; rank < 2; rank++) {
        CHECK_OK(loader_open(&l, s, LENGTH, 3));
        for (uint32_t row = 0; row < ROWS; row += 10) {
            if (row == 0 || row == SWITCH)
                CHECK_OK(loader_phase(l, row > 0, &mix[row > 0]));
            CHECK_OK(loader_skip(l, rank * 5));
            CHECK_OK(rows_next(l, &ranks, row + rank * 5, 5));
            CHECK_OK(loader_skip(l, 5 - rank * 5));
        }
        loader_close(l);
    }
    CHECK(rows_equal(&whole, &ranks, 0, ROWS));
    rows_close(&whole);
    rows_close(&parts);
    rows_close(&ranks);
    store_close(s);
    made_close(&m);
}

TEST(store_loader_misuse_is_told)
{
    const uint64_t tokens[] = {100, 0, 50};
    const double weights[] = {1, 2, 1};
    struct made m;
    struct store *s;
    struct loader *l;
    struct loader_state state;
    int32_t in[20], out[20];
    make_sized(&m, tokens, 3, 20);
    CHECK_OK(store_open(&s, store_at()));
    CHECK_ERR(loader_open(&l, s, 0, 1), ERR_USAGE);
    CHECK_ERR(loader_open(&l, s, STORE_SEQUENCE_MAX + 1, 1), ERR_USAGE);
    CHECK_OK(loader_open(&l, s, 10, 1));
    struct mixture mix = mixture_of(weights, 3, 0);
    struct mixture bad = mix;
    bad.count = 0;
    CHECK_ERR(loader_phase(l, 0, &bad), ERR_USAGE);
    bad = mix;
    bad.part[1].domain = 3;
    CHECK_ERR(loader_phase(l, 0, &bad), ERR_USAGE);
    bad.part[1].domain = 0;
    CHECK_ERR(loader_phase(l, 0, &bad), ERR_USAGE);
    const double wrong[] = {-1, (double)NAN, (double)INFINITY};
    for (int i = 0; i < 3; i++) {
        bad = mix;
        bad.part[1].weight = wrong[i];
        CHECK_ERR(loader_phase(l, 0, &bad), ERR_USAGE);
    }
    bad = mix;
    bad.part[0].epochs_max = (double)NAN;
    CHECK_ERR(loader_phase(l, 0, &bad), ERR_USAGE);
    for (int i = 0; i < 3; i++)
        bad.part[i] = mix.part[i], bad.part[i].weight = 0;
    CHECK_ERR(loader_phase(l, 0, &bad), ERR_USAGE);
    loader_get_state(l, &state);
    CHECK_ERR(loader_set_state(l, &state), ERR_USAGE); /* no phase yet */
    CHECK_OK(loader_phase(l, 0, &mix));
    CHECK_OK(loader_next(l, 2, in, out, NULL, NULL)); /* the two last arguments may be absent */
    CHECK_OK(loader_skip(l, 48));
    loader_get_state(l, &state);
    CHECK_INT(state.taken[1], 0); /* a domain without tokens yields at once */
    CHECK_NUM((double)state.taken[0], 25, 1);
    CHECK_OK(loader_set_state(l, &state));
    struct loader_state other = state;
    other.phase = 1;
    CHECK_ERR(loader_set_state(l, &other), ERR_USAGE);
    other = state;
    other.taken[0]++;
    CHECK_ERR(loader_set_state(l, &other), ERR_FORMAT);
    other = state;
    other.quota_taken[2]--;
    CHECK_ERR(loader_set_state(l, &other), ERR_FORMAT);
    other = state;
    other.quota_rows = 0;
    memset(other.quota_taken, 0, sizeof other.quota_taken);
    CHECK_ERR(loader_set_state(l, &other), ERR_FORMAT); /* of a version without them */
    other = state;
    other.taken[7] = 1;
    other.taken[0]--;
    CHECK_ERR(loader_set_state(l, &other), ERR_FORMAT);
    loader_close(l);
    mix.part[0].weight = mix.part[2].weight = 0; /* only the empty domain is left */
    CHECK_OK(loader_open(&l, s, 10, 1));
    CHECK_OK(loader_phase(l, 0, &mix));
    CHECK_ERR(loader_next(l, 1, in, out, NULL, NULL), ERR_LIMIT);
    loader_close(l);
    store_close(s);
    made_close(&m);
}

/* Vocabularies of one id and rows of one token: nothing but <|endoftext|> is left to say. */
TEST(store_loader_smallest_rows)
{
    struct store_meta meta = made_meta(1, 1);
    struct store_writer *w;
    struct store *s;
    struct loader *l;
    int32_t in[4], out[4], start[4];
    const double weights[] = {1};
    struct mixture mix = mixture_of(weights, 1, 2);
    struct store_doc doc = {.token_count = 0};
    CHECK_OK(store_create(&w, store_at(), &meta));
    for (uint32_t i = 0; i < 2; i++) {
        doc.record = i;
        CHECK_OK(store_append(w, 0, &doc, NULL));
    }
    CHECK_OK(store_commit(w, NULL));
    CHECK_OK(store_open(&s, store_at()));
    CHECK_OK(loader_open(&l, s, 1, 1));
    CHECK_OK(loader_phase(l, 0, &mix));
    CHECK_OK(loader_next(l, 4, in, out, start, NULL));
    for (int i = 0; i < 4; i++)
        CHECK(in[i] == 0 && out[i] == 0 && start[i] == 0);
    CHECK_ERR(loader_next(l, 1, in, out, start, NULL), ERR_LIMIT);
    loader_close(l);
    store_close(s);
}

/* test_store_loader - rows against slow twins: every token once an epoch, exact shares, any row at
 * once. */
#include "tests/loader_rows.h"

#include "core/log.h"

#include <math.h>
#include <pthread.h>

static const double even[LOADER_SOURCES_MAX] = {1, 1, 1, 1, 1, 1, 1, 1};

/* Which sequence of the domain a row holds, found by content; checks all of the row against the
 * arrays. */
static uint64_t row_sequence(const struct made_domain *d, const struct rows *r, uint32_t row)
{
    const uint32_t eot = ROWS_VOCAB - 1;
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
    struct planned *p = planned_open(tokens, COUNT_OF(tokens), 12);
    for (uint32_t d = 0; d < COUNT_OF(tokens); d++) {
        uint32_t n = (uint32_t)((tokens[d] + 31) / 32), moved = 0;
        uint64_t first[32] = {0};
        double only[LOADER_SOURCES_MAX] = {0};
        struct rows r;
        only[d] = 1;
        p->conf.phase_count = 0;
        p->conf.source[d].epochs_max = 3;
        planned_phase(p, "stable", 3 * n, 32, only);
        rows_open(&r, 3 * n, 32);
        CHECK_OK(planned_go(p));
        CHECK_INT(loader_rows(p->loader), 3 * n);
        CHECK_INT(loader_epoch_rows(p->loader, d, 32), n);
        for (uint32_t i = 0; i < 3 * n; i++)
            CHECK_OK(rows_read(p->loader, &r, i, i));
        for (uint32_t epoch = 0; epoch < 3; epoch++) {
            uint64_t seen = 0;
            for (uint32_t i = 0; i < n; i++) {
                uint64_t k = row_sequence(&p->made.domain[d], &r, epoch * n + i);
                struct loader_place place = loader_place(p->loader, epoch * n + i);
                CHECK(place.index == k && place.epoch == epoch && place.source == d);
                CHECK(!(seen >> k & 1));
                seen |= 1ull << k;
                moved += epoch > 0 && first[i] != k;
                if (epoch == 0)
                    first[i] = k;
                CHECK_INT(r.source[epoch * n + i], d);
            }
            CHECK(seen == (1ull << n) - 1);
        }
        if (n >= 32)
            CHECK(moved > n); /* another order in every epoch */
        p->conf.phase[0].rows++;
        CHECK_ERR(planned_go(p), ERR_LIMIT);
        CHECK(strstr(err_text(), "epochs_max"));
        rows_close(&r);
    }
    planned_close(p);
}

/* A permutation for every number of sequences: each is drawn once in an epoch. */
TEST(store_loader_permutes_any_count)
{
    const uint64_t tokens[] = {9000};
    struct planned *p = planned_open(tokens, 1, 50);
    unsigned char *seen = malloc(9000);
    for (uint32_t T = 1; T <= 9000; T += 1 + T / 20) {
        uint64_t count = (9000 + T - 1) / T, moved = 0;
        memset(seen, 0, 9000);
        p->conf.phase_count = 0;
        planned_phase(p, "stable", 3 * count, T, even);
        CHECK_OK(planned_go(p));
        for (uint64_t row = 0; row < 3 * count; row++) {
            struct loader_place place = loader_place(p->loader, row);
            CHECK(place.index < count && seen[place.index]++ == row / count);
            moved += place.index != row % count;
        }
        CHECK(count < 20 || moved > 2 * count);
    }
    free(seen);
    planned_close(p);
}

/* Another seed, another order; the same seed, the same; and not the order of the file either. */
TEST(store_loader_order_follows_the_seed)
{
    const uint64_t tokens[] = {20000};
    struct planned *p = planned_open(tokens, 1, 50);
    struct rows r[3];
    int fixed = 0;
    planned_phase(p, "stable", 100, 20, even);
    for (uint64_t i = 0; i < 3; i++) {
        p->conf.seed = i / 2;
        CHECK_OK(planned_go(p));
        rows_open(&r[i], 100, 20);
        for (uint32_t row = 0; row < 100; row++)
            CHECK_OK(rows_read(p->loader, &r[i], row, row));
    }
    CHECK(rows_equal(&r[0], &r[1]));
    CHECK(!rows_equal(&r[0], &r[2]));
    for (uint32_t i = 0; i < 100; i++)
        fixed += memcmp(&r[0].inputs[i * 20], &r[2].inputs[i * 20], 80) == 0 ||
                 loader_place(p->loader, i).index == i;
    CHECK(fixed < 5);
    for (int i = 0; i < 3; i++)
        rows_close(&r[i]);
    planned_close(p);
}

/* The bound that deal.c proves: within 1.75 rows of the share, after any number of rows. */
TEST(store_loader_keeps_shares_within_two_rows)
{
    static const double weights[][LOADER_SOURCES_MAX] = {
        {.5, .3, .2, 0, 0, 0, 0, 0},
        {1, 1, 1, 1, 1, 1, 1, 1},
        {.9, .01, .01, .01, .01, .01, .01, .04},
        {1e-9, 1, 1e-3, 7, 3, 3, 3, 0},
        {100, 1, 1, 1, 1, 1, 1, 1},
        {1, 2, 3, 5, 8, 13, 21, 34}, /* the deepest tree */
    };
    uint64_t tokens[8], state = 9;
    double worst = 0;
    for (int i = 0; i < 8; i++)
        tokens[i] = 500;
    struct planned *p = planned_open(tokens, 8, 20);
    for (size_t trial = 0; trial < 60; trial++) {
        double weight[LOADER_SOURCES_MAX] = {0}, sum = 0;
        uint64_t taken[8] = {0};
        for (int d = 0; d < 8; d++) {
            double drawn = hash_unit(1, test_random(&state));
            weight[d] = trial < COUNT_OF(weights) ? weights[trial][d] : drawn * drawn * drawn;
            sum += weight[d];
        }
        p->conf.phase_count = 0;
        planned_phase(p, "stable", 3000, 16, weight);
        CHECK_OK(planned_go(p));
        for (uint64_t row = 0; row < 3000; row++) {
            struct loader_place place = loader_place(p->loader, row);
            CHECK(place.drawn == taken[place.source]); /* the closed form against the walk */
            taken[place.source]++;
            for (int d = 0; d < 8; d++)
                worst = fmax(worst, fabs((double)taken[d] - weight[d] / sum * (double)(row + 1)));
        }
    }
    CHECK(worst < 1.75);
    CHECK(worst > 0.5); /* else the measure is broken */
    planned_close(p);
}

/* Ten million rows: the counts of a random draw would be off by sqrt(n p (1 - p)); these are off by
 * less than two. */
TEST(store_loader_ten_million_draws_match_the_mixture)
{
    enum { DRAWS = 10000000, SOURCES = 24 };
    static uint64_t taken[SOURCES];
    uint64_t tokens[SOURCES], state = 4;
    double weight[LOADER_SOURCES_MAX] = {0}, sum = 0;
    for (int i = 0; i < SOURCES; i++) {
        tokens[i] = 200 + (uint64_t)i;
        weight[i] = pow(hash_unit(3, test_random(&state)), 4) + 1e-6;
        sum += weight[i];
    }
    struct planned *p = planned_open(tokens, SOURCES, 40);
    planned_phase(p, "stable", DRAWS, 16, weight);
    CHECK_OK(planned_go(p));
    for (uint64_t row = 0; row < DRAWS; row++)
        taken[loader_place(p->loader, row).source]++;
    for (int i = 0; i < SOURCES; i++) {
        double share = weight[i] / sum, want = share * DRAWS;
        CHECK(fabs((double)taken[i] - want) < 4 * sqrt(want * (1 - share)));
        CHECK(fabs((double)taken[i] - want) < 2);
    }
    planned_close(p);
}

/* ---- limits ---- */

/* Walks a plan row by row and checks that every jump finds what the walk finds. */
static void check_walk(struct planned *p, uint64_t *taken)
{
    uint64_t rows = loader_rows(p->loader), state = rows, row = 0;
    uint32_t sources = p->conf.source_count;
    uint32_t *source = malloc(rows * sizeof *source);
    uint64_t *drawn = malloc(rows * sizeof *drawn);
    CHECK(source && drawn);
    memset(taken, 0, sources * sizeof *taken);
    for (uint32_t phase = 0; phase < p->conf.phase_count; phase++)
        for (uint64_t i = 0; i < p->conf.phase[phase].rows; i++, row++) {
            struct loader_place place = loader_place(p->loader, row);
            CHECK_INT(place.phase, phase);
            CHECK(p->conf.phase[phase].weight[place.source] > 0);
            CHECK_INT(place.drawn, taken[place.source]);
            source[row] = place.source;
            drawn[row] = taken[place.source]++;
        }
    for (int i = 0; i < 5000; i++) {
        row = test_random(&state) % rows;
        struct loader_place place = loader_place(p->loader, row);
        CHECK(place.source == source[row] && place.drawn == drawn[row]);
    }
    free(source);
    free(drawn);
}

TEST(store_loader_full_sources_yield)
{
    const uint64_t tokens[] = {160, 1600, 16000, 40}; /* 10, 100, 1000 and 3 sequences */
    const double weights[] = {.5, .3, .15, .05};
    uint64_t taken[4];
    struct loader_stretch st;
    struct planned *p = planned_open(tokens, 4, 20);
    for (int s = 0; s < 4; s++)
        p->conf.source[s].epochs_max = s == 2 ? 0 : 2;
    planned_phase(p, "stable", 1080, 16, weights);
    CHECK_OK(planned_go(p));
    check_walk(p, taken);
    CHECK_INT(taken[0], 20);
    CHECK_INT(taken[1], 200);
    CHECK_INT(taken[3], 6);
    CHECK_INT(taken[2], 1080 - 226);
    /* 20 rows of the first are .5 of 40 rows, give or take two; then .6, .3, .1 of what is left. */
    loader_stretch(p->loader, 0, &st);
    CHECK(st.first == 0 && st.rows >= 37 && st.rows <= 42 && st.full == 1 && st.rows_of[0] == 20);
    CHECK_NUM(st.share[1], .3, 1e-12);
    loader_stretch(p->loader, 1, &st);
    CHECK_NUM(st.share[0], 0, 0);
    CHECK_NUM(st.share[1], .6, 1e-12);
    CHECK_NUM(st.share[2], .3, 1e-12);
    CHECK_INT(loader_stretches(p->loader), 4); /* each of the three that are limited ends one */
    /* No row more than all may give; exactly as many is fine, over phases too. */
    p->conf.source[2].epochs_max = 1;
    p->conf.phase[0].rows = 1000;
    planned_phase(p, "anneal", 226 + 1000 - 1000, 16, even);
    CHECK_OK(planned_go(p));
    check_walk(p, taken);
    CHECK(taken[0] == 20 && taken[1] == 200 && taken[2] == 1000 && taken[3] == 6);
    p->conf.phase[1].rows++;
    CHECK_ERR(planned_go(p), ERR_LIMIT);
    CHECK(strstr(err_text(), "anneal") && strstr(err_text(), "epochs_max"));
    /* Half an epoch. */
    p->conf.phase_count = 0;
    for (int s = 0; s < 4; s++)
        p->conf.source[s].epochs_max = .5;
    planned_phase(p, "stable", 5 + 50 + 500 + 1, 16, weights);
    CHECK_OK(planned_go(p));
    check_walk(p, taken);
    CHECK(taken[0] == 5 && taken[1] == 50 && taken[2] == 500 && taken[3] == 1);
    planned_close(p);
}

TEST(store_loader_spill_goes_where_it_is_told)
{
    const uint64_t tokens[] = {160, 8000, 1600, 160}; /* 10, 500, 100, 10 sequences */
    const double weights[] = {.5, .2, .2, .1};
    uint64_t taken[4];
    struct loader_stretch st;
    struct planned *p = planned_open(tokens, 4, 20);
    p->conf.source[0].epochs_max = 1;
    planned_phase(p, "stable", 1000, 16, weights);
    p->conf.spill = SPILL_UNSEEN;
    CHECK_OK(planned_go(p));
    check_walk(p, taken);
    CHECK_INT(taken[0], 10);
    /* After about 20 rows the first is full: about 496, 96 and 8 sequences are unseen. */
    loader_stretch(p->loader, 1, &st);
    CHECK_NUM(st.share[1], .2 + .5 * 496 / 600, 2e-3);
    CHECK_NUM(st.share[2], .2 + .5 * 96 / 600, 2e-3);
    CHECK_NUM(st.share[3], .1 + .5 * 8 / 600, 2e-3);
    CHECK_INT(st.full, 1);
    /* It ends when the smallest has given its epoch, which from there on has its own weight. */
    CHECK_INT(st.rows_of[3] + 2, 10);
    loader_stretch(p->loader, 2, &st);
    CHECK_NUM(st.share[3], .1, 1e-9);
    CHECK(st.share[1] > .6);
    /* In the end all were seen once, and the weights rule. */
    loader_stretch(p->loader, loader_stretches(p->loader) - 1, &st);
    CHECK_NUM(st.share[1], .4, 1e-9);
    CHECK_NUM(st.share[2], .4, 1e-9);
    CHECK_NUM(st.share[3], .2, 1e-9);
    CHECK(taken[1] >= 500 && taken[2] >= 100 && taken[3] >= 10);
    p->conf.spill = SPILL_STOP;
    CHECK_ERR(planned_go(p), ERR_LIMIT);
    CHECK(strstr(err_text(), "domain-0") && strstr(err_text(), "spill"));
    p->conf.phase[0].rows = 19;
    CHECK_OK(planned_go(p));
    p->conf.source[0].epochs_max = 0;
    p->conf.phase[0].rows = 100000;
    CHECK_OK(planned_go(p));
    planned_close(p);
}

/* Phases of two lengths: each cuts the sources anew, and their epochs count together. */
TEST(store_loader_phases_of_other_lengths_share_the_epochs)
{
    const uint64_t tokens[] = {6400, 6400};
    const double one[LOADER_SOURCES_MAX] = {1, 0};
    struct planned *p = planned_open(tokens, 2, 30);
    uint64_t seen = 0;
    p->conf.source[0].epochs_max = 2;
    planned_phase(p, "short", 150, 64, one); /* 1.5 epochs of 100 rows */
    planned_phase(p, "long", 12, 256, one);  /* leaves half an epoch of 25: 12 rows */
    planned_phase(p, "short again", 2, 64, even);
    CHECK_OK(planned_go(p));
    for (uint64_t row = 150; row < 162; row++) {
        struct loader_place place = loader_place(p->loader, row);
        CHECK(place.sequence == 256 && place.phase == 1 && place.index < 25);
        CHECK_INT(place.drawn, row - 150);
        CHECK(!(seen >> place.index & 1));
        seen |= 1ull << place.index;
    }
    /* 1.5 + 12 / 25 = 1.98 epochs: two rows of 100 are left, and go on where the first stopped. */
    struct loader_place place = loader_place(p->loader, 162);
    CHECK(place.source != 0 || place.drawn == 150);
    p->conf.phase[1].rows = 13;
    CHECK_ERR(planned_go(p), ERR_LIMIT);
    CHECK(strstr(err_text(), "long"));
    planned_close(p);
}

/* ---- ranks and workers ---- */

struct worker {
    struct loader *loader;
    struct rows *to;
    uint32_t first, step; /* rows first, first + step, ... */
    pthread_t id;
};

static void *work(void *arg)
{
    struct worker *w = arg;
    for (uint32_t row = w->first; row < w->to->count; row += w->step)
        if (rows_read(w->loader, w->to, row, row) < 0)
            return "failed";
    return NULL;
}

/* Every rank has a store and a loader of its own and reads rows r mod n with some threads: together
 * they hold what one reader holds, over phases, limits and views. */
TEST(store_loader_ranks_and_workers_read_the_same_batches)
{
    enum { ROWS = 600, LENGTH = 24 };
    const uint64_t tokens[] = {4000, 30000, 900};
    const double stable[] = {.3, .6, .1}, anneal[] = {.1, .1, .8};
    struct planned *p = planned_open(tokens, 3, 20);
    struct rows whole;
    for (int s = 0; s < 3; s++)
        p->conf.source[s].epochs_max = 4;
    planned_phase(p, "stable", 500, LENGTH, stable);
    planned_phase(p, "anneal", 100, LENGTH, anneal);
    CHECK_OK(planned_go(p));
    rows_open(&whole, ROWS, LENGTH);
    for (uint32_t row = 0; row < ROWS; row++)
        CHECK_OK(rows_read(p->loader, &whole, row, row));
    static const uint32_t ranks[] = {1, 2, 4, 7}, workers[] = {3, 1, 2, 1};
    for (size_t i = 0; i < COUNT_OF(ranks); i++) {
        struct rows parts;
        rows_open(&parts, ROWS, LENGTH);
        memset(parts.inputs, 0x55, ROWS * LENGTH * sizeof *parts.inputs);
        for (uint32_t rank = 0; rank < ranks[i]; rank++) {
            struct worker worker[3];
            struct store *s;
            struct loader *l;
            CHECK_OK(store_open(&s, store_at()));
            CHECK_OK(loader_open(&l, s, &p->conf));
            for (uint32_t k = 0; k < workers[i]; k++) {
                worker[k] =
                    (struct worker){l, &parts, rank + k * ranks[i], ranks[i] * workers[i], 0};
                CHECK_INT(pthread_create(&worker[k].id, NULL, work, &worker[k]), 0);
            }
            for (uint32_t k = 0; k < workers[i]; k++) {
                void *failed;
                pthread_join(worker[k].id, &failed);
                CHECK(failed == NULL);
            }
            loader_close(l);
            store_close(s);
        }
        CHECK(rows_equal(&whole, &parts));
        rows_close(&parts);
    }
    rows_close(&whole);
    planned_close(p);
}

/* A row far out is found as fast as the first: the bar is a millisecond. */
TEST(store_loader_jumps_to_row_ten_to_the_twelve)
{
    enum { JUMPS = 1000, SOURCES = 32 };
    uint64_t tokens[SOURCES], state = 12;
    double weight[LOADER_SOURCES_MAX] = {0};
    int32_t in[64], out[64], starts[64];
    for (int i = 0; i < SOURCES; i++) {
        tokens[i] = 1000 + 100 * (uint64_t)i;
        weight[i] = 1 + i * i;
    }
    struct planned *p = planned_open(tokens, SOURCES, 40);
    for (int phase = 0; phase < 8; phase++) {
        for (int i = 0; i < SOURCES / 2; i++) /* some run out in every phase */
            p->conf.source[i].epochs_max = 1000.0 * i;
        planned_phase(p, "stable", 250000000000ull, 64, weight);
    }
    CHECK_OK(planned_go(p));
    CHECK(loader_stretches(p->loader) >= 8 + SOURCES / 2 - 1);
    uint64_t began = clock_ns();
    for (int i = 0; i < JUMPS; i++) {
        uint64_t row = 1000000000000ull + test_random(&state) % 1000000000000ull;
        CHECK_OK(loader_read(p->loader, row, in, out, starts, NULL));
    }
    CHECK((clock_ns() - began) / JUMPS < 1000000); /* measured: under 2 microseconds */
    /* And it is the row that its neighbours say: numbers of a source follow one another. */
    uint64_t base = 1999999000000ull, next[SOURCES] = {0};
    for (uint64_t row = base; row < base + 5000; row++) {
        struct loader_place place = loader_place(p->loader, row);
        CHECK(next[place.source] == 0 || place.drawn == next[place.source]);
        next[place.source] = place.drawn + 1;
    }
    planned_close(p);
}

/* ---- what rows hold ---- */

static bool pick_odd(void *arg, uint32_t domain, uint64_t index, const struct store_doc *doc)
{
    UNUSED(arg), UNUSED(doc);
    return (index * 7 + domain) % 3 == 0;
}

/* Rows over views whose runs are shorter than a row, over ends of blocks, in both widths of ids,
 * against the tokens as store_read gives them one by one. */
TEST(store_loader_reads_views_across_runs_and_blocks)
{
    const uint64_t tokens[] = {300000, 3000};
    for (uint32_t vocab = 1000; vocab <= 100000; vocab *= 100) {
        struct made m;
        struct store *s;
        struct token_view view[3];
        struct loader *l;
        static struct loader_conf conf;
        enum { LENGTH = 1000 };
        static int32_t in[LENGTH], out[LENGTH], starts[LENGTH];
        make_sized(&m, tokens, 2, 300, vocab);
        CHECK_OK(store_open(&s, store_at()));
        CHECK_OK(token_view_make(&view[0], s, "some", pick_odd, NULL));
        CHECK_OK(token_view_domain(&view[1], s, 0));
        CHECK(view[0].extent_count > 100);
        memset(&conf, 0, sizeof conf);
        conf.source_count = 2;
        conf.phase_count = 1;
        conf.phase[0] = (struct loader_phase){"stable", 500, LENGTH, {1, 2}};
        conf.source[0].view = &view[0];
        conf.source[1].view = &view[1];
        CHECK_OK(loader_open(&l, s, &conf));
        for (uint64_t row = 0; row < 500; row++) {
            struct loader_place place = loader_place(l, row);
            const struct token_view *v = &view[place.source];
            uint64_t first = place.index * LENGTH;
            int32_t start = 0;
            CHECK_OK(loader_read(l, row, in, out, starts, NULL));
            for (uint32_t i = 0; i < LENGTH; i++) {
                uint32_t id = vocab - 1, next = vocab - 1;
                if (first + i < v->tokens)
                    CHECK_OK(token_view_read(v, s, first + i, 1, &id));
                if (first + i + 1 < v->tokens)
                    CHECK_OK(token_view_read(v, s, first + i + 1, 1, &next));
                start = id == vocab - 1 ? (int32_t)i : start;
                CHECK(in[i] == (int32_t)id && starts[i] == start);
                CHECK_INT(out[i], first + i < v->tokens ? (int32_t)next : -1);
            }
        }
        loader_close(l);
        token_view_close(&view[0]);
        token_view_close(&view[1]);
        store_close(s);
        made_close(&m);
    }
}

/* Vocabularies of one id and rows of one token: nothing but <|endoftext|> is left to say. */
TEST(store_loader_smallest_rows)
{
    struct store_meta meta = made_meta(1, 1);
    struct store_writer *w;
    struct store *s;
    struct loader *l;
    struct token_view view;
    static struct loader_conf conf;
    int32_t in, out, start;
    struct store_doc doc = {.token_count = 0};
    CHECK_OK(store_create(&w, store_at(), &meta));
    for (uint32_t i = 0; i < 2; i++) {
        doc.record = i;
        CHECK_OK(store_append(w, 0, &doc, NULL));
    }
    CHECK_OK(store_commit(w, NULL));
    CHECK_OK(store_open(&s, store_at()));
    CHECK_OK(token_view_domain(&view, s, 0));
    conf.source_count = conf.phase_count = 1;
    conf.source[0] = (struct loader_source){&view, 2};
    conf.phase[0] = (struct loader_phase){"stable", 4, 1, {1}};
    CHECK_OK(loader_open(&l, s, &conf));
    for (uint64_t row = 0; row < 4; row++) {
        CHECK_OK(loader_read(l, row, &in, &out, row % 2 ? &start : NULL, NULL));
        CHECK(in == 0 && out == 0 && (row % 2 == 0 || start == 0));
    }
    loader_close(l);
    token_view_close(&view);
    store_close(s);
}

/* ---- the past and misuse ---- */

static void past_of(struct planned *p, uint64_t row, char *out, size_t room)
{
    struct buf text = {0};
    CHECK_OK(planned_go(p));
    loader_past(p->loader, row, &text);
    snprintf(out, room, "%s", buf_cstr(&text));
    CHECK(text.len < room);
    buf_free(&text);
}

TEST(store_loader_past_tells_plans_apart)
{
    const uint64_t tokens[] = {4000, 30000, 900};
    const double stable[] = {.3, .6, .1}, anneal[] = {.1, .1, .8}, none[] = {0, 1, 0};
    char was[4096], now[4096];
    struct planned *p = planned_open(tokens, 3, 20);
    planned_phase(p, "stable", 300, 16, stable);
    planned_phase(p, "anneal", 100, 16, anneal);
    past_of(p, 300, was, sizeof was);
    CHECK(strstr(was, "stable") && !strstr(was, "anneal"));
    /* What lies ahead may change, */
    p->conf.phase[1].weight[0] = 5;
    p->conf.phase[1].sequence = 64;
    planned_phase(p, "late", 50, 16, none);
    p->conf.source[2].epochs_max = 50;
    past_of(p, 300, now, sizeof now);
    CHECK_STR(str_of(now), was);
    p->conf.phase[0].rows = 400; /* the phase under way may be longer too, */
    past_of(p, 300, now, sizeof now);
    CHECK_STR(str_of(now), was);
    /* what lies behind may not. */
    p->conf.source[2].epochs_max = .4; /* full before row 300 */
    past_of(p, 300, now, sizeof now);
    CHECK(strcmp(now, was) != 0);
    p->conf.source[2].epochs_max = 0;
    p->conf.phase[0].weight[1] = .7;
    past_of(p, 300, now, sizeof now);
    CHECK(strcmp(now, was) != 0);
    p->conf.phase[0].weight[1] = .6;
    p->conf.seed++;
    past_of(p, 300, now, sizeof now);
    CHECK(strcmp(now, was) != 0);
    p->conf.seed--;
    past_of(p, 301, now, sizeof now);
    CHECK(strcmp(now, was) != 0);
    past_of(p, 300, now, sizeof now);
    CHECK_STR(str_of(now), was);
    p->conf.phase[0].rows = 299; /* the switch would have been a row earlier */
    past_of(p, 300, now, sizeof now);
    CHECK(strcmp(now, was) != 0);
    planned_close(p);
}

TEST(store_loader_misuse_is_told)
{
    const uint64_t tokens[] = {100, 0, 50};
    const double weights[] = {1, 2, 1};
    struct planned *p = planned_open(tokens, 3, 20);
    planned_phase(p, "stable", 50, 10, weights);
    CHECK_OK(planned_go(p));
    struct loader_stretch st;
    loader_stretch(p->loader, 0, &st); /* a source without tokens yields at once */
    CHECK(st.rows_of[0] == 25 && st.rows_of[1] == 0 && st.rows_of[2] == 25 && st.full == 0);
    struct loader_conf good = p->conf;
#define REFUSED(change, code)                                                                      \
    do {                                                                                           \
        p->conf = good;                                                                            \
        change;                                                                                    \
        CHECK_ERR(planned_go(p), code);                                                            \
    } while (0)
    REFUSED(p->conf.source_count = 0, ERR_USAGE);
    REFUSED(p->conf.source_count = LOADER_SOURCES_MAX + 1, ERR_USAGE);
    REFUSED(p->conf.phase_count = 0, ERR_USAGE);
    REFUSED(p->conf.phase_count = LOADER_PHASES_MAX + 1, ERR_USAGE);
    REFUSED(p->conf.phase[0].sequence = 0, ERR_USAGE);
    REFUSED(p->conf.phase[0].sequence = STORE_SEQUENCE_MAX + 1, ERR_USAGE);
    REFUSED(p->conf.phase[0].rows = LOADER_ROWS_MAX + 1, ERR_USAGE);
    REFUSED(p->conf.phase[0].weight[1] = -1, ERR_USAGE);
    REFUSED(p->conf.phase[0].weight[1] = (double)NAN, ERR_USAGE);
    REFUSED(p->conf.phase[0].weight[1] = (double)INFINITY, ERR_USAGE);
    REFUSED(memset(p->conf.phase[0].weight, 0, sizeof p->conf.phase[0].weight), ERR_USAGE);
    REFUSED(p->conf.source[0].epochs_max = (double)NAN, ERR_USAGE);
    REFUSED(p->conf.source[0].epochs_max = -1, ERR_USAGE);
    REFUSED(p->conf.source[1].view = &p->view[0], ERR_USAGE);
    CHECK(strstr(err_text(), "twice"));
    /* Only the empty domain is left. */
    REFUSED(p->conf.phase[0].weight[0] = p->conf.phase[0].weight[2] = 0, ERR_LIMIT);
#undef REFUSED
    planned_close(p);
}

/* test_dedup - signatures against slow twins, banding against its formula, clusters against stated
 * ones. */
#include "dedup/extsort.h"
#include "tests/dedup_run.h"

#include <math.h>

/* ---- sorting ---- */

static int by_pair(const void *a, const void *b)
{
    const uint64_t *one = a, *two = b;
    if (one[0] != two[0])
        return one[0] < two[0] ? -1 : 1;
    return one[1] < two[1] ? -1 : one[1] > two[1];
}

/* Oracle: qsort. kind 0: random keys, 1: all keys equal, 2: descending, 3: few keys. */
static void sort_check(uint32_t words, size_t count, uint64_t memory, int kind, bool spills)
{
    struct extsort *s;
    uint64_t *all = calloc(count + 1, words * sizeof *all), state = 7;
    const uint64_t *got;
    CHECK_OK(extsort_open(&s, words, memory, count, test_dir()));
    for (size_t i = 0; i < count; i++) {
        uint64_t *record = all + i * words;
        uint64_t keys[] = {test_random(&state), 5, UINT64_MAX - i, test_random(&state) % 3};
        record[0] = keys[kind];
        record[1] = hash_mix(i);
        if (words > 2)
            record[words - 1] = record[0] ^ record[1];
        CHECK_OK(extsort_add(s, record));
    }
    CHECK_OK(extsort_finish(s));
    qsort(all, count, words * sizeof *all, by_pair);
    for (size_t i = 0; i < count; i++) {
        CHECK_INT(extsort_next(s, &got), 1);
        CHECK(memcmp(got, all + i * words, words * sizeof *all) == 0);
    }
    CHECK_INT(extsort_next(s, &got), 0);
    CHECK_INT(extsort_next(s, &got), 0);
    CHECK(spills == (extsort_runs(s) > 0));
    extsort_close(s);
    free(all);
}

TEST(dedup_extsort_equals_qsort)
{
    sort_check(3, 0, 1 << 20, 0, false);
    sort_check(3, 1, 1 << 20, 0, false);
    for (int kind = 0; kind < 4; kind++) {
        sort_check(3, 5000, 1 << 20, kind, false);
        sort_check(3, 50000, 0, kind, true); /* 19 runs, 3 at a time: passes of merging */
        sort_check(10, 5000, 100000, kind, true);
        sort_check(2, 4096, EXTSORT_MEMORY_MIN, kind, false);
        sort_check(2, 4097, EXTSORT_MEMORY_MIN, kind, true);
    }
}

/* ---- signatures ---- */

TEST(dedup_minhash_levels_agree)
{
    enum { LANES = 112, COUNT = 333 };
    uint32_t low[COUNT], high[COUNT], mul_low[LANES], mul_high[LANES], want[LANES], got[LANES];
    uint64_t state = 3;
    for (uint32_t i = 0; i < COUNT; i++) {
        low[i] = (uint32_t)test_random(&state);
        high[i] = (uint32_t)test_random(&state);
    }
    for (uint32_t i = 0; i < LANES; i++) {
        minhash_multipliers(9, i, &mul_low[i], &mul_high[i]);
        CHECK(mul_low[i] & 1);
        want[i] = UINT32_MAX;
        for (uint32_t k = 0; k < COUNT; k++) {
            uint32_t hash = low[k] * mul_low[i] + high[k] * mul_high[i];
            want[i] = hash < want[i] ? hash : want[i];
        }
    }
    for (int level = 0; level <= minhash_level(); level++) {
        memset(got, 0xff, sizeof got);
        minhash_fold(level, got, mul_low, mul_high, LANES, low, high, COUNT);
        CHECK(memcmp(got, want, sizeof got) == 0);
        minhash_fold(level, got, mul_low, mul_high, LANES, low, high, 0);
        CHECK(memcmp(got, want, sizeof got) == 0);
    }
}

struct signer {
    struct batch *b;
    void *local;
    struct stage stage;
    struct dedup_conf conf;
};

static void signer_open(struct signer *s, struct dedup_conf conf)
{
    memset(s, 0, sizeof *s);
    s->conf = conf;
    s->stage = (struct stage){.type = &stage_dedup, .name = "dedup", .conf = &s->conf};
    CHECK_OK(batch_open(&s->b));
    CHECK_OK(stage_dedup.open(&s->stage, NULL));
    CHECK_OK(stage_dedup.local_open(&s->stage, &s->local));
}

/* The packed sketch of a text; lives until the next batch_clear. */
static const struct sketch_pack *signer_sign(struct signer *s, struct str text)
{
    struct doc *d = batch_add(s->b);
    CHECK(d != NULL);
    doc_set_text(d, text);
    s->b->live[0] = (uint16_t)(s->b->doc_count - 1);
    s->b->live_count = 1;
    CHECK_OK(stage_dedup.run(&s->stage, &s->local, s->b));
    return d->sketch;
}

static void signer_close(struct signer *s)
{
    stage_dedup.local_close(&s->stage, &s->local);
    batch_close(s->b);
}

static struct hash128 pack_exact(const struct sketch_pack *p)
{
    struct hash128 h;
    memcpy(&h, p->slot, sizeof h);
    return h;
}

static const uint32_t *pack_values(const struct sketch_pack *p)
{
    return (const uint32_t *)(const void *)(p->slot + sizeof(struct hash128));
}

/* Slow twin: every shingle from scratch, every value in 64-bit arithmetic. */
static void twin_values(const struct dedup_conf *conf, struct str text, uint32_t *values)
{
    struct arena a = {0};
    struct view words;
    CHECK_OK(arena_open(&a, 64 << 20));
    CHECK_OK(text_words(&a, text, &words));
    uint64_t *hash = arena_array(&a, uint64_t, words.count + 1);
    size_t count = 0;
    for (uint32_t i = 0; i < words.count; i++) {
        struct str word = span_str(text, words.span[i]);
        if (word_is_alnum(word))
            hash[count++] = minhash_word(word);
    }
    size_t width = (size_t)conf->shingle, shingles = count >= width ? count - width + 1 : count > 0;
    for (uint32_t v = 0; v < conf->bands * conf->rows; v++) {
        uint32_t a_mul, b_mul;
        minhash_multipliers((uint64_t)conf->seed, v, &a_mul, &b_mul);
        values[v] = UINT32_MAX;
        for (size_t i = 0; i < shingles; i++) {
            size_t len = count < width ? count : width;
            uint64_t sum = 0;
            for (size_t k = 0; k < len; k++)
                sum = sum * 0x9FB21C651E98DF25u + hash[i + k];
            if (count < width)
                sum ^= hash_mix(count);
            uint64_t mixed = hash_mix(sum);
            uint64_t value = (mixed & UINT32_MAX) * a_mul + (mixed >> 32) * b_mul;
            if ((uint32_t)value < values[v])
                values[v] = (uint32_t)value;
        }
    }
    arena_close(&a);
}

TEST(dedup_minhash_equals_slow_twin)
{
    struct signer s;
    uint64_t state = 11;
    uint32_t want[112];
    for (int shingle = 1; shingle <= 9; shingle += 4) {
        struct dedup_conf conf = conf_preset();
        conf.shingle = shingle;
        conf.seed = shingle;
        signer_open(&s, conf);
        int counts[] = {1, 2, 4, 5, 6, 40, 700, 1300};
        for (size_t i = 0; i < COUNT_OF(counts); i++) {
            struct buf text = {0};
            words_add(&text, &state, counts[i]);
            buf_text(&text, "-- !! \xc3\x89t\xc3\xa9 \xe4\xb8\xad\xe6\x96\x87");
            const struct sketch_pack *p = signer_sign(&s, buf_view(&text));
            CHECK(p != NULL);
            CHECK_INT(p->has, SKETCH_EXACT | SKETCH_MINHASH);
            twin_values(&conf, buf_view(&text), want);
            CHECK(memcmp(want, pack_values(p), sizeof want) == 0);
            buf_free(&text);
        }
        signer_close(&s);
    }
}

TEST(dedup_minhash_word_folds_case)
{
    CHECK(minhash_word(STR("Hello")) == minhash_word(STR("hELLO")));
    CHECK(minhash_word(STR("\xc3\x89"
                           "cole")) == minhash_word(STR("\xc3\xa9"
                                                        "COLE")));
    CHECK(minhash_word(STR("hello")) != minhash_word(STR("hello1")));
    CHECK(minhash_word(STR("")) != minhash_word(STR("a")));
    /* Words longer than the chunks they are hashed in: order and length still count. */
    char long_word[2000];
    memset(long_word, 'x', sizeof long_word);
    uint64_t whole = minhash_word((struct str){long_word, sizeof long_word});
    CHECK(whole != minhash_word((struct str){long_word, sizeof long_word - 1}));
    long_word[1999] = 'X';
    CHECK(whole == minhash_word((struct str){long_word, sizeof long_word}));
    long_word[100] = 'y';
    CHECK(whole != minhash_word((struct str){long_word, sizeof long_word}));
}

TEST(dedup_exact_normalises_white_space_only)
{
    struct signer s;
    signer_open(&s, conf_preset());
    struct hash128 base = pack_exact(signer_sign(&s, STR("one two three")));
    static const char *const same[] = {" one two three", "one  two\r\n\tthree\n",
                                       "one\xc2\xa0two\xe3\x80\x80three"};
    static const char *const other[] = {"One two three", "onetwo three", "one two three.",
                                        "one two"};
    for (size_t i = 0; i < COUNT_OF(same); i++) {
        struct hash128 h = pack_exact(signer_sign(&s, str_of(same[i])));
        CHECK(h.low == base.low && h.high == base.high);
    }
    for (size_t i = 0; i < COUNT_OF(other); i++) {
        struct hash128 h = pack_exact(signer_sign(&s, str_of(other[i])));
        CHECK(h.low != base.low);
    }
    /* Slow twin over random strings of letters and all kinds of white space, at every offset of a
     * word. */
    static const char *const piece[] = {"a",  "Bc", "\xc3\xa9", " ",    " ",    "  ",
                                        "\n", "\t", "\xc2\xa0", "\x7f", "\x01", "!"};
    uint64_t state = 31;
    for (int trial = 0; trial < 20000; trial++) {
        struct buf text = {0}, twin = {0};
        bool gap = false;
        for (uint64_t n = test_random(&state) % 40; n > 0; n--) {
            size_t which = test_random(&state) % COUNT_OF(piece);
            bool space = which >= 3 && which <= 8;
            buf_text(&text, piece[which]);
            if (!space && gap && twin.len > 0)
                buf_char(&twin, ' ');
            if (!space)
                buf_text(&twin, piece[which]);
            gap = space;
        }
        const struct sketch_pack *p = signer_sign(&s, buf_view(&text));
        CHECK((p == NULL) == (twin.len == 0));
        struct hash128 expected = hash128(twin.ptr, twin.len);
        CHECK(!p || (pack_exact(p).low == expected.low && pack_exact(p).high == expected.high));
        buf_free(&text);
        buf_free(&twin);
        batch_clear(s.b);
    }
    /* The hash is the published XXH3-128 of the normalised text. */
    struct hash128 want = hash128("one two three", 13);
    CHECK(base.low == want.low && base.high == want.high);
    signer_close(&s);
}

TEST(dedup_sign_of_nothing)
{
    struct signer s;
    signer_open(&s, conf_preset());
    CHECK(signer_sign(&s, STR("")) == NULL);
    CHECK(signer_sign(&s, STR(" \n\t\xc2\xa0")) == NULL);
    const struct sketch_pack *symbols = signer_sign(&s, STR("*** --- ***"));
    CHECK(symbols != NULL);
    CHECK_INT(symbols->has, SKETCH_EXACT);
    signer_close(&s);
    struct dedup_conf conf = conf_preset();
    conf.exact = false;
    signer_open(&s, conf);
    CHECK(signer_sign(&s, STR("*** --- ***")) == NULL);
    signer_close(&s);
}

/* Truth: the sets of shingles as strings. J of two windows of one stream of words, moved by `shift`
 * words, is (n - shift) / (n + shift) when all shingles differ. */
TEST(dedup_minhash_estimates_jaccard)
{
    enum { WORDS = 304, SHINGLES = 300 };
    struct signer s;
    signer_open(&s, conf_preset());
    double bias = 0, worst = 0;
    int pairs = 0;
    for (int trial = 0; trial < 40; trial++) {
        for (int shift = 0; shift <= 200; shift += 20) {
            struct buf one = {0}, two = {0};
            for (int i = 0; i < WORDS; i++) {
                buf_printf(&one, "w%dx%d ", trial, i);
                buf_printf(&two, "w%dx%d ", trial, i + shift);
            }
            const struct sketch_pack *a = signer_sign(&s, buf_view(&one));
            const struct sketch_pack *b = signer_sign(&s, buf_view(&two));
            double truth = (double)(SHINGLES - shift) / (double)(SHINGLES + shift);
            double error = sketch_share(pack_values(a), pack_values(b), 112) - truth;
            if (shift == 0)
                CHECK_NUM(error, 0, 0);
            bias += error;
            worst = error * error > worst * worst ? error : worst;
            pairs++;
            buf_free(&one);
            buf_free(&two);
            batch_clear(s.b);
        }
    }
    /* 112 draws: sigma of one pair is at most .047, so of the mean of 440 about .002. */
    CHECK_NUM(bias / pairs, 0, 0.008);
    CHECK_NUM(worst, 0, 0.21);
    signer_close(&s);
}

/* P(pair found) = 1 - (1 - J^rows)^bands: .924 at J = .8, .053 at .5 (data: 14 bands of 8). Words
 * are the set's elements here (shingle 1), so J is exact: 90 words of which 80 shared, or 90
 * and 60. */
static double found_share(int shared, const char *name)
{
    enum { PAIRS = 1500, WORDS = 90 };
    static struct run r;
    struct given *docs = calloc(2 * PAIRS, sizeof *docs);
    struct buf *text = calloc(2 * PAIRS, sizeof *text);
    run_init(&r, name);
    r.conf.verify = 0;
    r.conf.shingle = 1;
    for (int i = 0; i < 2 * PAIRS; i++) {
        for (int k = 0; k < WORDS; k++)
            buf_printf(&text[i], "p%dw%d%s ", i / 2, k, k < shared ? "" : i % 2 ? "b" : "a");
        docs[i] = (struct given){.record = (uint32_t)i, .text = buf_view(&text[i])};
    }
    struct clusters *c = run_clusters(&r, docs, 2 * PAIRS);
    int found = 0;
    for (int i = 0; i < 2 * PAIRS; i += 2)
        found += together(c, &docs[i], &docs[i + 1]);
    CHECK_INT(clusters_count(c), 2 * found); /* and nobody else */
    clusters_close(c);
    for (int i = 0; i < 2 * PAIRS; i++)
        buf_free(&text[i]);
    free(text);
    free(docs);
    return (double)found / PAIRS;
}

TEST(dedup_banding_finds_what_the_formula_says)
{
    CHECK_NUM(found_share(80, "high"), 0.924, 0.025);
    CHECK_NUM(found_share(60, "low"), 0.053, 0.022);
}

/* ---- clusters ---- */

/* datatrove's test: windows of 400 characters of one text must form exactly these groups. */
TEST(dedup_clusters_of_text_windows)
{
    static const uint32_t starts[] = {0,   20,  50,   400,  420,  800,  810,  820,
                                      840, 860, 1205, 1215, 1225, 1245, 1600, 2000};
    static const int group[] = {0, 0, 0, 1, 1, 2, 2, 2, 2, 2, 3, 3, 3, 3, 4, 5};
    static const uint32_t size[] = {3, 2, 5, 4};
    static struct run r;
    struct buf text = {0};
    uint64_t state = 2024;
    struct given docs[COUNT_OF(starts)];
    words_add(&text, &state, 600);
    run_init(&r, "windows");
    r.conf.verify = 0.5;
    r.conf.bands = 28; /* windows moved by 60 characters share about .7 of their shingles */
    r.conf.rows = 4;
    for (uint32_t i = 0; i < COUNT_OF(starts); i++)
        docs[i] = (struct given){.record = i,
                                 .text = str_slice(buf_view(&text), starts[i], starts[i] + 400)};
    struct clusters *c = run_clusters(&r, docs, COUNT_OF(docs));
    CHECK_INT(clusters_count(c), 14);
    for (size_t i = 0; i < COUNT_OF(docs); i++) {
        const struct cluster_row *row = row_of(c, &docs[i]);
        if (group[i] >= 4) {
            CHECK(row == NULL);
            continue;
        }
        CHECK(row != NULL);
        CHECK_INT(row->size, size[group[i]]);
        CHECK(row->id == hash_mix(docs[i].record));
        CHECK(row->survivor_id == hash_mix(row->survivor.record));
        CHECK_INT(row->exact, 0);
        for (size_t k = 0; k < i; k++)
            CHECK_INT(together(c, &docs[i], &docs[k]), group[i] == group[k]);
    }
    clusters_close(c);
    buf_free(&text);
}

TEST(dedup_clusters_of_nothing)
{
    static struct run r;
    struct clusters *c;
    run_init(&r, "nothing");
    CHECK_OK(run_settle(&r)); /* no item at all */
    CHECK_OK(clusters_open(&c, r.path));
    CHECK_INT(clusters_count(c), 0);
    CHECK(clusters_find(c, (struct dedup_key){0, 0}) == NULL);
    clusters_close(c);
    struct given docs[] = {{.item = 0, .text = STR("")},
                           {.item = 1, .record = 5, .text = STR("  ")},
                           {.item = 1, .record = 6, .text = STR("\n")},
                           {.item = 2, .text = STR("alone here")}};
    c = run_clusters(&r, docs, COUNT_OF(docs)); /* items without a signed document */
    CHECK_INT(clusters_count(c), 0);
    clusters_close(c);
}

TEST(dedup_short_texts_meet_whole)
{
    static struct run r;
    run_init(&r, "short");
    struct given docs[] = {
        {.record = 0, .text = STR("Page not found")},
        {.record = 1, .text = STR("page NOT found!")},
        {.record = 2, .text = STR("page not")},
        {.record = 3, .text = STR("found not page")},
        {.record = 4, .text = STR("Page  not found")},
        {.record = 5, .text = STR("page not")},
        {.record = 6, .text = STR("***")},
        {.record = 7, .text = STR("***")},
    };
    struct clusters *c = run_clusters(&r, docs, COUNT_OF(docs));
    CHECK(together(c, &docs[0], &docs[1])); /* same words, by MinHash */
    CHECK(together(c, &docs[0], &docs[4])); /* same text, exactly */
    CHECK(together(c, &docs[2], &docs[5]));
    CHECK(together(c, &docs[6], &docs[7])); /* no words: exactly */
    CHECK(!together(c, &docs[0], &docs[2]));
    CHECK(row_of(c, &docs[3]) == NULL);
    CHECK_INT(row_of(c, &docs[0])->exact, 0);
    CHECK_INT(row_of(c, &docs[1])->exact, 0);
    CHECK_INT(row_of(c, &docs[4])->exact, 1);
    CHECK_INT(row_of(c, &docs[4])->size, 3);
    clusters_close(c);
}

/* Windows of one stream, each moved by 8 words: neighbours alike, the ends not. */
static struct str window(struct buf *text, int start, int words)
{
    buf_clear(text);
    for (int i = start; i < start + words; i++)
        buf_printf(text, "word%d ", i);
    return buf_view(text);
}

TEST(dedup_chain_keeps_what_is_unlike_the_survivor)
{
    static struct run r;
    struct buf text[3] = {0};
    struct given docs[3];
    run_init(&r, "chain");
    r.conf.bands = 56; /* so that both edges of the chain are surely found */
    r.conf.rows = 2;
    r.conf.verify = 0.75;
    for (int i = 0; i < 3; i++) /* J of neighbours 184/216 = .85, of the ends 168/232 = .72 */
        docs[i] = (struct given){.record = (uint32_t)i, .text = window(&text[i], 16 * i, 204)};
    struct clusters *c = run_clusters(&r, docs, 3);
    CHECK(together(c, &docs[0], &docs[1]));
    CHECK(row_of(c, &docs[2]) == NULL); /* like the dropped one only: it stays */
    CHECK_INT(clusters_count(c), 2);
    clusters_close(c);
    r.conf.verify = 0; /* no check: the chain is one cluster */
    CHECK_OK(run_settle(&r));
    CHECK_OK(clusters_open(&c, r.path));
    CHECK_INT(clusters_count(c), 3);
    clusters_close(c);
    for (int i = 0; i < 3; i++)
        buf_free(&text[i]);
}

/* A chain of 100 documents: every dropped one is like its survivor, and no neighbours both stay. */
TEST(dedup_long_chain_splits)
{
    enum { LINKS = 100 };
    static struct run r;
    static struct buf text[LINKS + 2];
    struct given docs[LINKS + 2];
    struct signer s;
    const uint32_t *values[LINKS + 2];
    run_init(&r, "long");
    r.conf.bands = 56;
    r.conf.rows = 2;
    signer_open(&s, r.conf);
    for (int i = 0; i < LINKS + 2; i++) { /* the last two are copies of the 98th */
        int start = i < LINKS ? i : LINKS - 2;
        docs[i] = (struct given){.record = (uint32_t)i, .text = window(&text[i], 16 * start, 204)};
        values[i] = pack_values(signer_sign(&s, docs[i].text));
    }
    struct clusters *c = run_clusters(&r, docs, LINKS + 2);
    int stays = 0;
    for (int i = 0; i < LINKS + 2; i++) {
        const struct cluster_row *row = row_of(c, &docs[i]);
        stays += !row || row->survivor.record == (uint32_t)i;
        if (row)
            CHECK(sketch_share(values[row->survivor.record], values[i], 112) >= 0.7);
    }
    CHECK(stays >= LINKS / 5);
    CHECK(stays <= LINKS / 2 + 1);
    CHECK(together(c, &docs[LINKS], &docs[LINKS + 1]));
    CHECK(together(c, &docs[LINKS], &docs[LINKS - 2]));
    clusters_close(c);
    signer_close(&s);
    for (int i = 0; i < LINKS + 2; i++)
        buf_free(&text[i]);
}

TEST(dedup_policies)
{
    static const struct {
        const char *policy;
        uint32_t stays;
    } want[] = {{"longest", 3}, {"first", 0}, {"quality", 2}, {"newest", 1}};
    static struct run r;
    for (size_t i = 0; i < COUNT_OF(want); i++) {
        struct given docs[] = {
            {.record = 0,
             .text = STR("a b c d e"),
             .date = "2023-01-02T03:04:05Z",
             .quality = 0.25f},
            {.record = 1,
             .text = STR("a b c d e"),
             .date = "2024-11-02T03:04:05Z",
             .quality = (float)NAN},
            {.record = 2,
             .text = STR("A b c d e"),
             .date = "2024-10-30T23:59:59Z",
             .quality = 0.5f},
            {.record = 3, .text = STR("a  b c  d e"), .date = "99 no date", .quality = 0.5f},
            {.item = 1, .text = STR("a b c d e\n\n"), .date = "20241102030405", .quality = 0.5f},
        };
        char name[32];
        snprintf(name, sizeof name, "policy%zu", i);
        run_init(&r, name);
        r.conf.policy = want[i].policy;
        struct clusters *c = run_clusters(&r, docs, COUNT_OF(docs));
        CHECK_INT(clusters_count(c), 5);
        for (uint64_t k = 0; k < 5; k++) {
            const struct cluster_row *row = clusters_at(c, k);
            CHECK_INT(row->survivor.item, 0);
            CHECK_INT(row->survivor.record, want[i].stays);
            CHECK_INT(row->size, 5);
            bool itself = row->doc.item == 0 && row->doc.record == want[i].stays;
            bool capital = row->doc.record == 2 || want[i].stays == 2;
            CHECK_INT(row->exact, !itself && !capital);
        }
        clusters_close(c);
    }
}

TEST(dedup_identical_documents_stay_linear)
{
    enum { COPIES = 100000 };
    static struct run r;
    struct given *docs = calloc(COPIES, sizeof *docs);
    struct buf text = {0};
    uint64_t state = 5, edges = 0, bytes;
    words_add(&text, &state, 30);
    run_init(&r, "copies");
    for (uint32_t i = 0; i < COPIES; i++)
        docs[i] = (struct given){.item = i / 20000, .record = i % 20000, .text = buf_view(&text)};
    struct clusters *c = run_clusters(&r, docs, COPIES);
    CHECK_INT(clusters_count(c), COPIES);
    for (int band = 0; band < dedup_band_count(&r.conf); band++) {
        CHECK_OK(io_size(r.edges[band], &bytes));
        edges += (bytes - 64) / 16;
    }
    CHECK_INT(edges, 15ull * (COPIES - 1)); /* a star in each band */
    for (uint64_t i = 0; i < COPIES; i++) {
        const struct cluster_row *row = clusters_at(c, i);
        CHECK(row->size == COPIES && row->survivor.item == 0 && row->survivor.record == 0 &&
              row->exact == (i > 0));
    }
    clusters_close(c);
    buf_free(&text);
    free(docs);
}

/* Nothing hostile in a text may take more than linear time or unbounded memory. */
TEST(dedup_hostile_texts)
{
    struct signer s;
    size_t bytes = 4 << 20;
    char *text = malloc(bytes);
    signer_open(&s, conf_preset());
    memset(text, 'A', bytes); /* one word of 4 MiB */
    CHECK(signer_sign(&s, (struct str){text, bytes}) != NULL);
    batch_clear(s.b);
    for (size_t i = 0; i < bytes; i++) /* two million words, all equal */
        text[i] = i % 2 ? ' ' : 'z';
    CHECK(signer_sign(&s, (struct str){text, bytes}) != NULL);
    batch_clear(s.b);
    memset(text, ' ', bytes);
    CHECK(signer_sign(&s, (struct str){text, bytes}) == NULL);
    batch_clear(s.b);
    memset(text, 0, bytes); /* NUL is valid UTF-8 */
    CHECK(signer_sign(&s, (struct str){text, bytes}) != NULL);
    signer_close(&s);
    free(text);
}

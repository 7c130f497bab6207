/* test_dedup_settle - the same bytes whatever the memory, grouping and order; damage and misuse are
 * told. */
#include "tests/dedup_run.h"

#include <math.h>

/* ---- the same bytes whatever the way ---- */

/* Documents in families of a few near copies, some exact, in a fixed order. */
static struct given *families(size_t count, struct buf **texts)
{
    struct given *docs = calloc(count, sizeof *docs);
    struct buf *text = calloc(count, sizeof *text);
    for (size_t i = 0; i < count; i++) {
        uint64_t state = hash_mix(i) % (count / 4) * 1000, own = i + 77;
        words_add(&text[i], &state, 60);
        if (i % 3)
            words_add(&text[i], &own, (int)(i % 7));
        docs[i] = (struct given){
            .record = (uint32_t)i, .text = buf_view(&text[i]), .quality = (float)hash_unit(1, i)};
    }
    *texts = text;
    return docs;
}

static void families_free(struct given *docs, struct buf *text, size_t count)
{
    for (size_t i = 0; i < count; i++)
        buf_free(&text[i]);
    free(text);
    free(docs);
}

static bool same_file(const char *one, const char *two)
{
    struct io_info a, b;
    CHECK_OK(io_hash_file(one, &a));
    CHECK_OK(io_hash_file(two, &b));
    return a.bytes == b.bytes && a.hash.low == b.hash.low && a.hash.high == b.hash.high;
}

TEST(dedup_spilling_gives_the_same_bytes)
{
    enum { DOCS = 20000 };
    static struct run r;
    struct buf *text;
    struct given *docs = families(DOCS, &text);
    char path[IO_PATH_MAX];
    run_init(&r, "spill");
    r.conf.policy = "quality";
    struct clusters *c = run_clusters(&r, docs, DOCS);
    CHECK(clusters_count(c) > DOCS / 4); /* the test is about something */
    clusters_close(c);
    CHECK_OK(io_path(path, "%s/roomy.bin", r.dir));
    CHECK_INT(rename(r.path, path), 0);
    r.conf.memory = 65536; /* 20000 keys of 24 bytes: 8 runs a band; members and rows spill too */
    CHECK_OK(run_settle(&r));
    CHECK(same_file(path, r.path));
    families_free(docs, text, DOCS);
}

/* Places change with the grouping, so clusters are compared as sets of documents. */
TEST(dedup_grouping_and_order_do_not_matter)
{
    enum { DOCS = 3000 };
    static struct run one, many;
    struct buf *text;
    struct given *docs = families(DOCS, &text);
    struct given *split = calloc(DOCS, sizeof *split);
    run_init(&one, "one");
    run_init(&many, "many");
    struct clusters *a = run_clusters(&one, docs, DOCS);
    for (uint32_t i = 0; i < DOCS; i++) { /* 300 files: more than stay open */
        split[i] = docs[i];
        split[i].item = i / 10 * 2;
        split[i].record = i % 10 * 3;
    }
    run_sign(&many, split, DOCS);
    for (uint32_t i = 0; i < many.items / 2; i++) { /* sketches in reverse */
        const char *held = many.sketches[i];
        many.sketches[i] = many.sketches[many.items - 1 - i];
        many.sketches[many.items - 1 - i] = held;
    }
    CHECK_OK(run_settle(&many));
    struct clusters *b;
    CHECK_OK(clusters_open(&b, many.path));
    CHECK_INT(clusters_count(a), clusters_count(b));
    for (uint32_t i = 0; i < DOCS; i++) {
        const struct cluster_row *x = row_of(a, &docs[i]), *y = row_of(b, &split[i]);
        CHECK((x == NULL) == (y == NULL));
        if (!x)
            continue;
        uint32_t survivor = y->survivor.item / 2 * 10 + y->survivor.record / 3;
        CHECK_INT(x->survivor.record, survivor);
        CHECK(x->size == y->size && x->exact == y->exact);
    }
    clusters_close(b);
    /* Edges in reverse give the same file. */
    char path[IO_PATH_MAX];
    const char *edges[DEDUP_BANDS_MAX];
    int bands = dedup_band_count(&many.conf);
    for (int i = 0; i < bands; i++)
        edges[i] = many.edges[bands - 1 - i];
    CHECK_OK(io_path(path, "%s/again.bin", many.dir));
    CHECK_OK(
        dedup_settle_clusters(&many.conf, many.sketches, many.items, edges, bands, path, NULL));
    CHECK(same_file(path, many.path));
    clusters_close(a);
    free(split);
    families_free(docs, text, DOCS);
}

/* ---- damage and misuse ---- */

static void write_raw(const char *path, const char *bytes, size_t len)
{
    FILE *f = fopen(path, "wb");
    CHECK(f != NULL);
    CHECK(fwrite(bytes, 1, len, f) == len);
    CHECK_INT(fclose(f), 0);
}

/* After any damage: an error, or (where the byte was not needed) the very same result. Never
 * another result. */
TEST(dedup_damaged_sketches_are_told)
{
    enum { DOCS = 40 };
    static struct run r;
    struct buf *text;
    struct given *docs = families(DOCS, &text);
    char *good, kept[IO_PATH_MAX];
    size_t len;
    run_init(&r, "damaged");
    clusters_close(run_clusters(&r, docs, DOCS));
    CHECK_OK(io_path(kept, "%s/good.bin", r.dir));
    CHECK_INT(rename(r.path, kept), 0);
    CHECK_OK(io_read_file(r.sketch[0], 1 << 24, &good, &len));
    char *bad = malloc(len + 1);
    for (size_t cut = 0; cut < len; cut += cut < 200 ? 1 : 997) {
        write_raw(r.sketch[0], good, cut);
        CHECK_ERR(run_settle(&r), ERR_FORMAT);
    }
    memcpy(bad, good, len);
    bad[len] = 0;
    write_raw(r.sketch[0], bad, len + 1);
    CHECK_ERR(run_settle(&r), ERR_FORMAT);
    int found = 0, unused = 0;
    for (size_t at = 0; at < len; at += at < 64 || at + 200 > len ? 1 : 41) {
        memcpy(bad, good, len);
        bad[at] = (char)(bad[at] ^ (1 << at % 8));
        write_raw(r.sketch[0], bad, len);
        int rc = run_settle(&r);
        CHECK(rc == ERR_FORMAT || rc >= 0);
        found += rc < 0;
        unused += rc >= 0;
        if (rc >= 0)
            CHECK(same_file(r.path, kept));
    }
    CHECK(found > 200);
    CHECK(unused < found * 4); /* values of documents that are nobody's candidate are never read */
    free(bad);
    free(good);
    families_free(docs, text, DOCS);
}

TEST(dedup_damaged_edges_and_clusters_are_told)
{
    enum { DOCS = 40 };
    static struct run r;
    struct buf *text;
    struct given *docs = families(DOCS, &text);
    struct clusters *c;
    char *good;
    size_t len;
    run_init(&r, "damaged");
    clusters_close(run_clusters(&r, docs, DOCS));
    int bands = dedup_band_count(&r.conf);
    const char *files[] = {r.edge[0], r.path};
    for (int which = 0; which < 2; which++) {
        CHECK_OK(io_read_file(files[which], 1 << 24, &good, &len));
        CHECK(len > 64 + 16);
        for (size_t at = 0; at < len; at++) {
            good[at] = (char)(good[at] ^ 4);
            write_raw(files[which], good, len);
            if (which)
                CHECK_ERR(clusters_open(&c, r.path), ERR_FORMAT);
            else
                CHECK_ERR(dedup_settle_clusters(&r.conf, r.sketches, r.items, r.edges, bands,
                                                r.path, NULL),
                          ERR_FORMAT);
            good[at] = (char)(good[at] ^ 4);
            write_raw(files[which], good, at);
            if (which)
                CHECK_ERR(clusters_open(&c, r.path), ERR_FORMAT);
            else
                CHECK_ERR(dedup_settle_clusters(&r.conf, r.sketches, r.items, r.edges, bands,
                                                r.path, NULL),
                          ERR_FORMAT);
        }
        write_raw(files[which], good, len);
        free(good);
    }
    CHECK_ERR(clusters_open(&c, "/nonexistent/clusters.bin"), ERR_IO);
    families_free(docs, text, DOCS);
}

TEST(dedup_misuse_is_told)
{
    static struct run r, other;
    struct given docs[] = {{.text = STR("some words to be signed here")},
                           {.item = 1, .text = STR("and here")}};
    run_init(&r, "misuse");
    run_init(&other, "other");
    clusters_close(run_clusters(&r, docs, 2));
    int bands = dedup_band_count(&r.conf);
    CHECK_INT(bands, 15);
    struct dedup_conf conf = r.conf;
    conf.seed = 2;
    CHECK_ERR(dedup_settle_band(&conf, r.sketches, 2, 0, r.dir, r.edge[0], NULL), ERR_USAGE);
    CHECK_ERR(dedup_settle_band(&r.conf, r.sketches, 2, 15, r.dir, r.edge[0], NULL), ERR_USAGE);
    CHECK_ERR(dedup_settle_clusters(&r.conf, r.sketches, 2, r.edges, 14, r.path, NULL), ERR_USAGE);
    const char *twice[] = {r.sketches[0], r.sketches[0]};
    CHECK_ERR(dedup_settle_band(&r.conf, twice, 2, 0, r.dir, r.edge[0], NULL), ERR_USAGE);
    const char *held = r.edges[3];
    r.edges[3] = r.edges[4];
    CHECK_ERR(dedup_settle_clusters(&r.conf, r.sketches, 2, r.edges, bands, r.path, NULL),
              ERR_USAGE);
    r.edges[3] = held;
    /* Edges of other sketches. */
    docs[1].text = STR("and there");
    run_sign(&other, docs, 2);
    CHECK_ERR(dedup_settle_clusters(&r.conf, other.sketches, 2, r.edges, bands, r.path, NULL),
              ERR_FORMAT);
    const char *missing[] = {"/nonexistent/0.sig"};
    CHECK_ERR(dedup_settle_band(&r.conf, missing, 1, 0, r.dir, r.edge[0], NULL), ERR_IO);
    struct {
        int64_t bands, rows, shingle;
        double verify;
        const char *policy;
        bool on;
    } bad[] = {{0, 8, 5, .7, "first", true},           {257, 1, 5, .7, "first", true},
               {14, 1000, 5, .7, "first", true},       {14, INT64_MAX, 5, .7, "first", true},
               {14, 8, 0, .7, "first", true},          {14, 8, 65, .7, "first", true},
               {14, 8, 5, (double)NAN, "first", true}, {14, 8, 5, 1.5, "first", true},
               {14, 8, 5, .7, "best", true},           {14, 8, 5, .7, NULL, true},
               {14, 8, 5, .7, "first", false}};
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        conf = (struct dedup_conf){.exact = false,
                                   .minhash = bad[i].on,
                                   .bands = bad[i].bands,
                                   .rows = bad[i].rows,
                                   .shingle = bad[i].shingle,
                                   .verify = bad[i].verify,
                                   .policy = bad[i].policy};
        CHECK_ERR(dedup_check(&conf), ERR_USAGE);
    }
}

/* The presets of the options are those of the conf this file tests with, where a paper fixes them.
 */
TEST(dedup_presets_follow_the_paper)
{
    struct arena a = {0};
    struct dedup_conf conf;
    CHECK_OK(arena_open(&a, 1 << 20));
    memset(&conf, 0, sizeof conf);
    CHECK_OK(opt_defaults(dedup_opts, &conf, &a));
    CHECK_OK(dedup_check(&conf));
    CHECK(conf.exact && conf.minhash && conf.bands == 14 && conf.rows == 8 && conf.shingle == 5);
    CHECK_INT(dedup_band_count(&conf), 15);
    arena_close(&a);
}

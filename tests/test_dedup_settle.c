/* test_dedup_settle - the same bytes whatever the memory, grouping and order; damage and misuse are
 * told. */
#include "tests/dedup_run.h"

#include <fcntl.h>
#include <math.h>
#include <unistd.h>

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

TEST_LIMIT(dedup_spilling_gives_the_same_bytes, 180)
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
TEST_LIMIT(dedup_grouping_and_order_do_not_matter, 180)
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

/* ---- buckets by hand ---- */

/* A document of one item whose two bands of four values are `common` (or own, when 0) and `other`;
 * the last `changed` values differ from those. */
struct crafted {
    uint32_t common, other, changed;
};

static void craft(struct run *r, const struct crafted *docs, uint32_t count)
{
    struct sketch_writer *w;
    r->conf.exact = false;
    r->conf.bands = 2;
    r->conf.rows = 4;
    snprintf(r->sketch[0], sizeof r->sketch[0], "%.200s/0.sig", r->dir);
    r->sketches[0] = r->sketch[0];
    r->items = 1;
    CHECK_OK(sketch_create(&w, r->sketch[0], 0, &r->conf));
    for (uint32_t i = 0; i < count; i++) {
        uint32_t value[8];
        for (uint32_t k = 0; k < 8; k++)
            value[k] = (k < 4 ? docs[i].common : docs[i].other) * 10 + k;
        for (uint32_t k = 0; k < docs[i].changed; k++)
            value[7 - k] = 1000000 + i;
        struct sketch_pack *pack = malloc(sizeof *pack + sizeof value);
        pack->has = SKETCH_MINHASH;
        pack->bytes = sizeof value;
        memcpy(pack->slot, value, sizeof value);
        struct doc d = {.record = i, .id = i, .sketch = pack};
        CHECK_OK(sketch_add(w, &d, 0));
        free(pack);
    }
    CHECK_OK(sketch_commit(w, NULL));
}

static uint64_t edge_count(const struct run *r, int band)
{
    uint64_t bytes;
    CHECK_OK(io_size(r->edges[band], &bytes));
    return (bytes - 64) / 16;
}

TEST(dedup_bucket_compares_with_all_that_differ)
{
    /* All share the first band. 1 and 2 are alike (7 of 8 values), 0 is like neither (4 of 8). */
    const struct crafted docs[] = {{1, 2, 0}, {1, 3, 0}, {1, 3, 1}};
    static struct run r;
    struct clusters *c;
    run_init(&r, "bucket");
    craft(&r, docs, COUNT_OF(docs));
    CHECK_OK(run_settle(&r));
    CHECK_INT(edge_count(&r, 0), 1);
    CHECK_INT(edge_count(&r, 1), 0);
    CHECK_OK(clusters_open(&c, r.path));
    CHECK_INT(clusters_count(c), 2);
    CHECK_INT(clusters_at(c, 0)->doc.record, 1);
    CHECK_INT(clusters_at(c, 1)->survivor.record, 1);
    clusters_close(c);
    r.conf.verify = 0.5; /* now 0 is like both */
    CHECK_OK(run_settle(&r));
    CHECK_INT(edge_count(&r, 0), 2);
    r.conf.verify = 0;
    CHECK_OK(run_settle(&r));
    CHECK_INT(edge_count(&r, 0), 2);
    CHECK_OK(clusters_open(&c, r.path));
    CHECK_INT(clusters_count(c), 3);
    clusters_close(c);
}

/* The limit of a bucket: 20 that are unlike one another, then one like the 15th and one like the
 * 18th. */
TEST(dedup_bucket_has_a_limit)
{
    static struct run r;
    struct crafted docs[22];
    struct clusters *c;
    run_init(&r, "limit");
    for (uint32_t i = 0; i < 20; i++)
        docs[i] = (struct crafted){1, 10 + i, 0};
    docs[20] = (struct crafted){1, 10 + DEDUP_HUBS_MAX - 1, 1};
    docs[21] = (struct crafted){1, 10 + DEDUP_HUBS_MAX + 1, 1};
    craft(&r, docs, COUNT_OF(docs));
    CHECK_OK(run_settle(&r));
    CHECK_INT(edge_count(&r, 0), 1);
    CHECK_OK(clusters_open(&c, r.path));
    CHECK_INT(clusters_count(c), 2);
    CHECK_INT(clusters_at(c, 0)->doc.record, DEDUP_HUBS_MAX - 1);
    CHECK_INT(clusters_at(c, 1)->doc.record, 20);
    clusters_close(c);
}

/* More survivors in a component than all are compared with: the later ones are found by their
 * bands. */
TEST(dedup_component_of_many_survivors)
{
    enum { KINDS = 100 };
    static struct run r;
    struct crafted docs[2 * KINDS];
    struct clusters *c;
    run_init(&r, "survivors");
    for (uint32_t i = 0; i < KINDS; i++) { /* a chain by the bands: (1,2) (3,2) (3,4) (5,4) ... */
        docs[i] = (struct crafted){1 + (i + 1) / 2 * 2, 2 + i / 2 * 2, 0};
        docs[KINDS + i] = docs[i];       /* and nearly a copy of each, */
        docs[KINDS + i].changed = i % 2; /* in one band at least */
    }
    r.conf.verify = 0.5;
    craft(&r, docs, COUNT_OF(docs));
    CHECK_OK(run_settle(&r));
    r.conf.verify = 0.8; /* the edges stay: only the diameter rule is stricter */
    CHECK_OK(dedup_settle_clusters(&r.conf, r.sketches, 1, r.edges, 2, r.path, NULL));
    CHECK_OK(clusters_open(&c, r.path));
    CHECK_INT(clusters_count(c), 2 * KINDS);
    for (uint32_t i = 0; i < 2 * KINDS; i++) {
        CHECK_INT(clusters_at(c, i)->survivor.record, i % KINDS);
        CHECK_INT(clusters_at(c, i)->size, 2);
    }
    clusters_close(c);
}

/* A page that changes from crawl to crawl, 3000 times, and exact copies of old states of it.
 * Neighbours are alike, so few may stay; nobody may go with what it is unlike; and it must not take
 * quadratic time. */
TEST(dedup_chain_of_thousands)
{
    enum { LINKS = 3000, COPIES = 300 };
    static struct run r;
    static struct buf text[LINKS + COPIES];
    static struct given docs[LINKS + COPIES];
    int stays = 0;
    run_init(&r, "thousands");
    for (int i = 0; i < LINKS + COPIES; i++) {
        int start = i < LINKS ? i : (i - LINKS) * 10;
        for (int k = 0; k < 100; k++)
            buf_printf(&text[i], "word%d ", start * 2 + k);
        docs[i] = (struct given){.record = (uint32_t)i, .text = buf_view(&text[i])};
    }
    struct clusters *c = run_clusters(&r, docs, LINKS + COPIES);
    for (int i = 0; i < LINKS + COPIES; i++) {
        const struct cluster_row *row = row_of(c, &docs[i]);
        stays += !row || row->survivor.record == (uint32_t)i;
        if (!row)
            continue;
        int own = i < LINKS ? i : (i - LINKS) * 10, other = (int)row->survivor.record;
        CHECK(other < LINKS);          /* a copy never stays: the first does */
        CHECK(abs(own - other) <= 15); /* J = (96 - 30) / (96 + 30) = .52: far out for .7 */
        if (i >= LINKS && (uint32_t)own == row->survivor.record)
            CHECK_INT(row->exact, 1);
    }
    /* J of .7 is 8 links: at best every 17th would stay, by the first one every 9th. */
    CHECK(stays >= LINKS / 17);
    CHECK(stays <= LINKS / 4);
    clusters_close(c);
    for (int i = 0; i < LINKS + COPIES; i++)
        buf_free(&text[i]);
}

/* ---- damage and misuse ---- */

/* Not through O_TRUNC: some file systems sync a file that was emptied and written again. */
static void write_raw(const char *path, const char *bytes, size_t len)
{
    int fd = open(path, O_WRONLY | O_CREAT, 0666);
    CHECK(fd >= 0);
    CHECK(pwrite(fd, bytes, len, 0) == (ssize_t)len);
    CHECK_INT(ftruncate(fd, (off_t)len), 0);
    close(fd);
}

/* After any damage: an error, or (where the byte was not needed) the very same result. Never
 * another result. */
TEST_LIMIT(dedup_damaged_sketches_are_told, 180)
{
    enum { DOCS = 40 };
    static struct run r;
    struct buf *text;
    struct given *docs = families(DOCS, &text);
    char *good, kept[IO_PATH_MAX];
    size_t len;
    run_init(&r, "damaged");
    r.conf.bands = 3; /* every settling syncs a file for each band */
    clusters_close(run_clusters(&r, docs, DOCS));
    CHECK_OK(io_path(kept, "%s/good.bin", r.dir));
    CHECK_INT(rename(r.path, kept), 0);
    CHECK_OK(io_read_file(r.sketch[0], 1 << 24, &good, &len));
    char *bad = malloc(len + 1);
    for (size_t cut = 0; cut < len; cut += cut < 80 ? 1 : 397) {
        write_raw(r.sketch[0], good, cut);
        CHECK_ERR(run_settle(&r), ERR_FORMAT);
    }
    memcpy(bad, good, len);
    bad[len] = 0;
    write_raw(r.sketch[0], bad, len + 1);
    CHECK_ERR(run_settle(&r), ERR_FORMAT);
    int found = 0, unused = 0;
    for (size_t at = 0; at < len; at += at < 64 || at + 100 > len ? 1 : 61) {
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
    CHECK(found > 150);
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
    r.conf.bands = 3; /* every settling syncs a file for each band */
    clusters_close(run_clusters(&r, docs, DOCS));
    int bands = dedup_band_count(&r.conf);
    const char *files[] = {r.edge[0], r.path};
    for (int which = 0; which < 2; which++) {
        CHECK_OK(io_read_file(files[which], 1 << 24, &good, &len));
        CHECK(len > 64 + 16);
        for (size_t at = 0; at < len; at += 3) {
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

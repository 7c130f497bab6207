/* dedup_run - for the tests of dedup: texts in, clusters out, by the same calls as the pipeline's.
 */
#ifndef SLUICE_TESTS_DEDUP_RUN_H
#define SLUICE_TESTS_DEDUP_RUN_H
#include "dedup/sketch.h"
#include "tests/test.h"

enum { PATHS_MAX = 512 };
struct run {
    struct dedup_conf conf;
    char dir[IO_PATH_MAX];
    char sketch[PATHS_MAX][64 + 256];
    const char *sketches[PATHS_MAX];
    uint32_t items;
    char edge[DEDUP_BANDS_MAX + 1][64 + 256];
    const char *edges[DEDUP_BANDS_MAX + 1];
    char path[64 + 256];
};
/* What a document of a test is: where it stands and what the policies look at. */
struct given {
    uint32_t item, record;
    struct str text;
    const char *date;
    float quality;
};

static inline struct dedup_conf conf_preset(void)
{
    struct dedup_conf conf = {.exact = true,
                              .minhash = true,
                              .bands = 14,
                              .rows = 8,
                              .shingle = 5,
                              .verify = 0.7,
                              .seed = 1,
                              .policy = "first",
                              .memory = 1 << 24};
    return conf;
}

static inline void run_init(struct run *r, const char *name)
{
    memset(r, 0, sizeof *r);
    r->conf = conf_preset();
    snprintf(r->dir, sizeof r->dir, "%s/%s", test_dir(), name);
    snprintf(r->path, sizeof r->path, "%.200s/clusters.bin", r->dir);
}

/* Signs through the stage, as the pipeline does. docs are in ascending place. */
static inline void run_sign(struct run *r, const struct given *docs, size_t count)
{
    struct batch *b;
    void *local = NULL;
    struct stage stage = {.type = &stage_dedup, .name = "dedup", .conf = &r->conf};
    CHECK_OK(batch_open(&b));
    CHECK_OK(stage_dedup.open(&stage, NULL));
    CHECK_OK(stage_dedup.local_open(&stage, &local));
    struct sketch_writer *w = NULL;
    for (size_t i = 0; i < count; i++) {
        if (!w || docs[i].item != docs[i - 1].item) {
            if (w)
                CHECK_OK(sketch_commit(w, NULL));
            CHECK(r->items < PATHS_MAX);
            char *path = r->sketch[r->items];
            snprintf(path, sizeof r->sketch[0], "%.200s/%05u.sig", r->dir, docs[i].item);
            r->sketches[r->items++] = path;
            CHECK_OK(sketch_create(&w, path, docs[i].item, &r->conf));
        }
        struct doc *d = batch_add(b);
        d->item = docs[i].item;
        d->record = docs[i].record;
        d->id = hash_mix((uint64_t)d->item << 32 | d->record);
        d->date = str_of(docs[i].date ? docs[i].date : "");
        doc_set_text(d, docs[i].text);
        CHECK_OK(stage_dedup.run(&stage, &local, b));
        CHECK_OK(sketch_add(w, d, docs[i].quality));
        batch_clear(b);
    }
    if (w)
        CHECK_OK(sketch_commit(w, NULL));
    stage_dedup.local_close(&stage, &local);
    batch_close(b);
}

static inline int run_settle(struct run *r)
{
    int bands = dedup_band_count(&r->conf);
    for (int i = 0; i < bands; i++) {
        snprintf(r->edge[i], sizeof r->edge[i], "%.200s/band-%03d.edges", r->dir, i);
        r->edges[i] = r->edge[i];
        TRY(dedup_settle_band(&r->conf, r->sketches, r->items, i, r->dir, r->edge[i], NULL));
    }
    return dedup_settle_clusters(&r->conf, r->sketches, r->items, r->edges, bands, r->path, NULL);
}

static inline struct clusters *run_clusters(struct run *r, const struct given *docs, size_t count)
{
    struct clusters *c;
    run_sign(r, docs, count);
    CHECK_OK(run_settle(r));
    CHECK_OK(clusters_open(&c, r->path));
    return c;
}

static inline const struct cluster_row *row_of(const struct clusters *c, const struct given *g)
{
    return clusters_find(c, (struct dedup_key){g->item, g->record});
}

static inline bool together(const struct clusters *c, const struct given *a, const struct given *b)
{
    const struct cluster_row *one = row_of(c, a), *two = row_of(c, b);
    return one && two && one->survivor.item == two->survivor.item &&
           one->survivor.record == two->survivor.record;
}

/* Pseudo-Latin words: the same for every run of the tests. */
static inline void words_add(struct buf *to, uint64_t *state, int count)
{
    static const char *const part[] = {"lo",  "rem", "ip",  "sum", "do", "lor", "sit",
                                       "a",   "met", "con", "sec", "te", "tur", "ad",
                                       "pis", "ci",  "e",   "lit", "ma", "gna"};
    for (int i = 0; i < count; i++) {
        int parts = 1 + (int)(test_random(state) % 4);
        for (int k = 0; k < parts; k++)
            buf_text(to, part[test_random(state) % COUNT_OF(part)]);
        buf_char(to, ' ');
    }
}
#endif

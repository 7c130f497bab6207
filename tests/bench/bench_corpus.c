/* bench_corpus - measures what happens to a page: WARC, extraction, language, filters, dedup. */
#include "tests/bench/bench.h"

#include "classify/classify.h"
#include "crawl/crawl.h"
#include "dedup/dedup.h"
#include "extract/extract.h"
#include "filter/filter.h"

#include <stdlib.h>

enum {
    ARENA_BYTES = 256 << 20,
    BANDS_PATHS = DEDUP_BANDS_MAX + 1,
    MADE_WORDS = 400,
    MADE_VOCABULARY = 5000,
};

/* ---- WARC ---- */

void bench_warc(char **argv)
{
    struct arena a;
    need(arena_open(&a, ARENA_BYTES));
    for (int http = 0; http < 2; http++) {
        struct warc_reader *r;
        struct warc_record rec;
        uint64_t records = 0, bytes = 0;
        int rc;
        struct lap lap = lap_begin();
        need(warc_open(&r, argv[0], DOC_RAW_MAX));
        while ((rc = warc_next(r, &rec)) > 0) {
            struct http_response answer;
            records++;
            bytes += rec.header.len + rec.body.len;
            arena_reset(&a, 0);
            if (http && str_is(rec.type, "response"))
                need(http_parse(&a, rec.body, DOC_RAW_MAX, &answer));
        }
        need(rc);
        lap_row(lap, http ? "warc.http" : "warc.read", records, "records", bytes);
        row(http ? "warc.http.stored" : "warc.read.stored", records, "records",
            warc_stats(r)->compressed_bytes, cpu_now() - lap.cpu, wall_now() - lap.wall);
        warc_close(r);
    }
    arena_close(&a);
}

/* ---- stages ---- */

enum { STAGES_MAX = 16 };
struct measured {
    struct stage stage;
    void *local;
    struct lap sum;
};
struct bench_run {
    struct schema schema;
    struct arena arena;
    struct measured m[STAGES_MAX];
    int count;
};

static void stage_add(struct bench_run *r, const struct stage_type *type)
{
    struct measured *m = &r->m[r->count];
    m->stage = (struct stage){.type = type, .name = type->name, .arena = &r->arena};
    m->stage.conf = calloc(1, type->conf_size + 1);
    m->local = calloc(1, type->local_size + 1);
    need(m->stage.conf && m->local ? 0 : err_set(ERR_LIMIT, "no memory for %s", type->name));
    if (type->opts)
        need(opt_defaults(type->opts, m->stage.conf, &r->arena));
    int rc = type->open(&m->stage, &r->schema);
    if (rc < 0 && type == &stage_language) { /* its model is fetched, not shipped */
        fprintf(stderr, "bench: skipped language: %s\n", err_text());
        free(m->stage.conf);
        free(m->local);
        return;
    }
    need(rc);
    if (type->local_open)
        need(type->local_open(&m->stage, m->local));
    r->count++;
}

static void bench_run_close(struct bench_run *r)
{
    for (int s = 0; s < r->count; s++) {
        struct measured *m = &r->m[s];
        if (m->stage.type->local_close)
            m->stage.type->local_close(&m->stage, m->local);
        if (m->stage.type->close)
            m->stage.type->close(&m->stage);
        free(m->stage.conf);
        free(m->local);
    }
    arena_close(&r->arena);
}

static struct lap lap_add(struct lap sum, struct lap from)
{
    return (struct lap){sum.cpu + cpu_now() - from.cpu, sum.wall + wall_now() - from.wall};
}

/* Every stage sees every document that has a text: verdicts are noted, nothing is swept away but
 * what extraction (or the source) had to drop. Batches are those of a run. */
static void batch_measure(struct bench_run *r, struct batch *b, struct lap *views, uint64_t *docs,
                          uint64_t *raw, uint64_t *text)
{
    for (int s = 0; s < r->count; s++) {
        struct measured *m = &r->m[s];
        bool extract = m->stage.type == &stage_extract;
        for (int i = 0; extract && i < b->live_count; i++)
            *raw += b->doc[b->live[i]].raw.len;
        struct lap lap = lap_begin();
        need(m->stage.type->run(&m->stage, m->local, b));
        m->sum = lap_add(m->sum, lap);
        if (!extract)
            continue;
        batch_sweep(b);
        lap = lap_begin();
        for (int i = 0; i < b->live_count; i++) {
            doc_words(b, &b->doc[b->live[i]]);
            doc_lines(b, &b->doc[b->live[i]]);
        }
        *views = lap_add(*views, lap);
        for (int i = 0; i < b->live_count; i++)
            *text += b->doc[b->live[i]].text.len;
        *docs += (uint64_t)b->live_count;
    }
}

static void stages_row(const struct bench_run *r, struct lap source, struct lap views,
                       uint64_t pages, uint64_t docs, uint64_t raw, uint64_t text)
{
    struct lap rules = views, all = source;
    row("source", pages, "pages", raw, source.cpu, source.wall);
    row("words and lines", docs, "docs", text, views.cpu, views.wall);
    for (int s = 0; s < r->count; s++) {
        const struct measured *m = &r->m[s];
        bool extract = m->stage.type == &stage_extract;
        row(m->stage.name, extract ? pages : docs, extract ? "pages" : "docs",
            extract ? raw : text, m->sum.cpu, m->sum.wall);
        all = (struct lap){all.cpu + m->sum.cpu, all.wall + m->sum.wall};
        if (filter_stage(m->stage.name))
            rules = (struct lap){rules.cpu + m->sum.cpu, rules.wall + m->sum.wall};
    }
    row("filters", docs, "docs", text, rules.cpu, rules.wall);
    row("pass1", pages, "pages", raw, all.cpu + views.cpu, all.wall + views.wall);
}

void bench_stages(char **argv)
{
    static const char *const names[] = {"length", "gopher_repetition", "gopher_quality", "c4",
                                        "fineweb"};
    struct bench_run r = {0};
    struct batch *b;
    struct input *in;
    struct lap source = {0}, views = {0};
    uint64_t pages = 0, docs = 0, raw = 0, text = 0;
    schema_init(&r.schema);
    need(arena_open(&r.arena, ARENA_BYTES));
    need(batch_open(&b));
    need(source_rules(&r.schema, DOC_RAW_MAX, true));
    stage_add(&r, &stage_extract);
    stage_add(&r, &stage_language);
    for (size_t i = 0; i < COUNT_OF(names); i++)
        stage_add(&r, filter_stage(names[i]));
    stage_add(&r, &stage_dedup);
    need(source_open(&in, argv[0], 0, DOC_RAW_MAX, &r.schema));
    for (int more = 1; more;) {
        batch_clear(b);
        struct lap lap = lap_begin();
        more = source_fill(in, b);
        need(more);
        source = lap_add(source, lap);
        batch_sweep(b);
        pages += (uint64_t)b->live_count;
        batch_measure(&r, b, &views, &docs, &raw, &text);
    }
    stages_row(&r, source, views, pages, docs, raw, text);
    source_close(in);
    bench_run_close(&r);
    batch_close(b);
}

/* ---- settling ---- */

/* Document n is its own prose; one of eight repeats an earlier one but for three words, one of
 * sixteen to the letter. */
static void made_text(struct buf *to, uint64_t n)
{
    uint64_t of = n && n % 8 == 0 ? hash_mix(n) % n : n;
    uint64_t other = n % 16 == 8 ? MADE_WORDS / 3 : UINT64_MAX;
    buf_clear(to);
    for (uint64_t i = 0; i < MADE_WORDS; i++) {
        uint64_t from = other != UINT64_MAX && i % other == 0 ? n : of;
        double u = hash_unit(from, i);
        uint64_t word = (uint64_t)(u * u * MADE_VOCABULARY); /* some words are common */
        for (uint64_t w = hash_mix(word), k = 0; k < 2 + word % 9; k++, w >>= 5)
            buf_char(to, (char)('a' + w % 26));
        buf_char(to, i % 14 == 13 ? '\n' : ' ');
    }
}

static uint64_t settle_sign(struct measured *m, uint64_t docs, const char *path, double *sign_cpu)
{
    struct sketch_writer *w;
    struct batch *b;
    struct buf text = {0};
    uint64_t bytes = 0;
    need(batch_open(&b));
    need(sketch_create(&w, path, 0, m->stage.conf));
    for (uint64_t n = 0; n < docs; n++) {
        batch_clear(b);
        struct doc *d = batch_add(b);
        made_text(&text, n);
        need(text.failed ? ERR_LIMIT : 0);
        d->record = (uint32_t)n;
        d->id = hash_mix(n);
        doc_set_text(d, buf_view(&text));
        bytes += text.len;
        double from = cpu_now();
        need(m->stage.type->run(&m->stage, m->local, b));
        need(sketch_add(w, d, 0));
        *sign_cpu += cpu_now() - from;
    }
    double from = cpu_now();
    need(sketch_commit(w, NULL));
    *sign_cpu += cpu_now() - from;
    buf_free(&text);
    batch_close(b);
    return bytes;
}

void bench_settle(char **argv)
{
    static char edges[BANDS_PATHS][IO_PATH_MAX];
    const char *edge_list[BANDS_PATHS], *sketches[1];
    char sketch[IO_PATH_MAX], path[IO_PATH_MAX];
    struct bench_run r = {0};
    struct clusters *c;
    uint64_t docs;
    double sign_cpu = 0;
    need(str_u64(str_of(argv[0]), &docs) ? 0 : err_set(ERR_USAGE, "settle: %s documents", argv[0]));
    schema_init(&r.schema);
    need(arena_open(&r.arena, ARENA_BYTES));
    stage_add(&r, &stage_dedup);
    const struct dedup_conf *conf = r.m[0].stage.conf;
    need(io_path(sketch, "%s/00000.sig", argv[1]));
    uint64_t bytes = settle_sign(&r.m[0], docs, sketch, &sign_cpu);
    row("dedup.sign and write", docs, "docs", bytes, sign_cpu, sign_cpu);
    sketches[0] = sketch;
    int bands = dedup_band_count(conf);
    struct lap lap = lap_begin();
    for (int i = 0; i < bands; i++) {
        need(io_path(edges[i], "%s/edges-%03d.bin", argv[1], i));
        edge_list[i] = edges[i];
        need(dedup_settle_band(conf, sketches, 1, i, argv[1], edges[i], NULL));
    }
    need(io_path(path, "%s/clusters.bin", argv[1]));
    need(dedup_settle_clusters(conf, sketches, 1, edge_list, bands, path, NULL));
    lap_row(lap, "dedup.settle", docs, "docs", bytes);
    need(clusters_open(&c, path));
    row("dedup.in clusters", clusters_count(c), "docs", 0, 0, 0);
    clusters_close(c);
    bench_run_close(&r);
}

/* ---- language ---- */

void bench_language(char **argv)
{
    struct fasttext *model;
    struct docs d;
    struct score best;
    FILE *labels = argv[2] ? fopen(argv[2], "w") : NULL;
    need(argv[2] && !labels ? err_sys("open %s", argv[2]) : 0);
    need(fasttext_open(&model, argv[0]));
    docs_read(&d, argv[1]);
    struct lap lap = lap_begin();
    for (uint32_t i = 0; i < d.count; i++) {
        int found = fasttext_predict(model, d.text[i], &best, 1);
        need(found);
        if (labels)
            fprintf(labels, "%s %.6f\n", found ? best.label : "-", found ? (double)best.prob : 0.0);
    }
    lap_row(lap, "language.predict", d.count, "docs", d.bytes);
    if (labels)
        fclose(labels);
    docs_free(&d);
    fasttext_close(model);
}

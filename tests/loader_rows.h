/* loader_rows - for the tests of the loader: a made store, a plan over it, rows in memory. */
#ifndef SLUICE_TESTS_LOADER_ROWS_H
#define SLUICE_TESTS_LOADER_ROWS_H
#include "store/loader.h"
#include "tests/store_made.h"

enum { ROWS_VOCAB = 1000 };

static inline const char *store_at(void)
{
    static char path[IO_PATH_MAX];
    snprintf(path, sizeof path, "%s/store", test_dir());
    return path;
}

/* A store of given numbers of tokens, <|endoftext|> included; documents of about `doc` tokens. */
static inline void make_sized(struct made *m, const uint64_t *tokens, uint32_t domains,
                              uint32_t doc, uint32_t vocab)
{
    struct store_meta meta = made_meta(vocab, domains);
    struct store_writer *w;
    uint64_t state = 77;
    memset(m, 0, sizeof *m);
    m->domains = domains;
    CHECK_OK(store_create(&w, store_at(), &meta));
    for (uint32_t d = 0; d < domains; d++) {
        for (uint32_t i = 0; m->domain[d].count < tokens[d]; i++) {
            uint64_t left = tokens[d] - m->domain[d].count, n = test_random(&state) % (2 * doc);
            made_add(m, w, d, (uint32_t)(n < left ? n : left - 1), i, vocab, &state);
        }
        CHECK_INT(m->domain[d].count, tokens[d]);
    }
    CHECK_OK(store_commit(w, NULL));
}

/* An open store whose domains are the sources of a plan; phases are added one by one. */
struct planned {
    struct made made;
    struct store *store;
    struct token_view view[LOADER_SOURCES_MAX];
    struct loader_conf conf;
    struct loader *loader;
};

static inline struct planned *planned_open(const uint64_t *tokens, uint32_t domains, uint32_t doc)
{
    struct planned *p = calloc(1, sizeof *p);
    CHECK(p);
    make_sized(&p->made, tokens, domains, doc, ROWS_VOCAB);
    CHECK_OK(store_open(&p->store, store_at()));
    p->conf.seed = 5;
    p->conf.source_count = domains;
    for (uint32_t d = 0; d < domains; d++) {
        CHECK_OK(token_view_domain(&p->view[d], p->store, d));
        p->conf.source[d].view = &p->view[d];
    }
    return p;
}

static inline void planned_phase(struct planned *p, const char *name, uint64_t rows,
                                 uint32_t sequence, const double *weights)
{
    struct loader_phase *phase = &p->conf.phase[p->conf.phase_count++];
    snprintf(phase->name, sizeof phase->name, "%s", name);
    phase->rows = rows;
    phase->sequence = sequence;
    for (uint32_t s = 0; s < LOADER_SOURCES_MAX; s++)
        phase->weight[s] = s < p->conf.source_count ? weights[s] : 0;
}

/* Plans anew; the loader of the last call goes. */
static inline int planned_go(struct planned *p)
{
    loader_close(p->loader);
    p->loader = NULL;
    return loader_open(&p->loader, p->store, &p->conf);
}

static inline void planned_close(struct planned *p)
{
    loader_close(p->loader);
    for (uint32_t s = 0; s < LOADER_SOURCES_MAX; s++)
        token_view_close(&p->view[s]);
    store_close(p->store);
    made_close(&p->made);
    free(p);
}

/* `count` rows of one length. */
struct rows {
    uint32_t length, count;
    int32_t *inputs, *targets, *doc_start;
    uint32_t *source;
};

static inline void rows_open(struct rows *r, uint32_t count, uint32_t length)
{
    size_t n = (size_t)count * length + 1;
    *r = (struct rows){.length = length, .count = count};
    r->inputs = malloc(n * sizeof *r->inputs);
    r->targets = malloc(n * sizeof *r->targets);
    r->doc_start = malloc(n * sizeof *r->doc_start);
    r->source = malloc((count + 1) * sizeof *r->source);
    CHECK(r->inputs && r->targets && r->doc_start && r->source);
}

static inline void rows_close(struct rows *r)
{
    free(r->inputs);
    free(r->targets);
    free(r->doc_start);
    free(r->source);
}

/* Reads row `row` of the plan to place `at` of r. */
static inline int rows_read(const struct loader *l, struct rows *r, uint64_t row, uint32_t at)
{
    size_t from = (size_t)at * r->length;
    return loader_read(l, row, r->inputs + from, r->targets + from, r->doc_start + from,
                       &r->source[at]);
}

static inline bool rows_equal(const struct rows *a, const struct rows *b)
{
    size_t bytes = (size_t)a->count * a->length * sizeof(int32_t);
    return memcmp(a->inputs, b->inputs, bytes) == 0 && memcmp(a->targets, b->targets, bytes) == 0 &&
           memcmp(a->doc_start, b->doc_start, bytes) == 0 &&
           memcmp(a->source, b->source, a->count * sizeof *a->source) == 0;
}
#endif

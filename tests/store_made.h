/* store_made - for the tests of the store: a store of random documents, and the same in plain
 * arrays. */
#ifndef SLUICE_TESTS_STORE_MADE_H
#define SLUICE_TESTS_STORE_MADE_H
#include "store/store.h"
#include "tests/test.h"

#include <math.h>

struct made_domain {
    uint32_t *ids; /* as they must stand in the store */
    uint64_t count, cap;
    struct store_doc *doc;
    uint64_t docs, doc_cap;
};
struct made {
    uint32_t domains;
    struct made_domain domain[STORE_DOMAINS_MAX];
};

static inline struct store_meta made_meta(uint32_t vocab, uint32_t domains)
{
    struct store_meta meta = {.vocab_size = vocab, .domain_count = domains, .eot = vocab - 1};
    meta.tokenizer_hash = (struct hash128){11, 22};
    for (uint32_t i = 0; i < domains; i++)
        snprintf(meta.domain[i].name, sizeof meta.domain[i].name, "domain-%u", i);
    return meta;
}

static inline void made_push(struct made_domain *d, uint32_t id)
{
    if (d->count == d->cap) {
        d->cap = d->cap ? d->cap * 2 : 1024;
        d->ids = realloc(d->ids, d->cap * sizeof *d->ids);
        CHECK(d->ids != NULL);
    }
    d->ids[d->count++] = id;
}

/* Appends one document of n random ids to both. */
static inline void made_add(struct made *m, struct store_writer *w, uint32_t domain, uint32_t n,
                            uint32_t record, uint32_t vocab, uint64_t *state)
{
    struct made_domain *d = &m->domain[domain];
    if (d->docs == d->doc_cap) {
        d->doc_cap = d->doc_cap ? d->doc_cap * 2 : 64;
        d->doc = realloc(d->doc, d->doc_cap * sizeof *d->doc);
        CHECK(d->doc != NULL);
    }
    struct store_doc *doc = &d->doc[d->docs++];
    memset(doc, 0, sizeof *doc);
    doc->id = test_random(state);
    doc->item = record / 100;
    doc->record = record % 100 * 7;
    doc->text_bytes = n * 4;
    doc->token_start = d->count;
    snprintf(doc->lang, sizeof doc->lang, "%s", record % 3 ? "en" : "zh-Hant");
    doc->lang_score = (float)record / 1e6f;
    doc->score = record % 5 ? -(float)record : NAN;
    made_push(d, vocab - 1);
    uint64_t first = d->count;
    for (uint32_t k = 0; k < n; k++)
        made_push(d, vocab < 2 ? 0 : (uint32_t)(test_random(state) % (vocab - 1)));
    struct store_doc given = *doc;
    given.token_start = 12345; /* what a caller has there does not count */
    given.token_count = n;
    doc->token_count = n + 1;
    CHECK_OK(store_append(w, domain, &given, d->ids + first));
}

/* docs documents of up to 2 * doc_tokens tokens, dealt to the domains at random. */
static inline void made_open(struct made *m, const char *dir, uint32_t vocab, uint32_t domains,
                             uint32_t docs, uint32_t doc_tokens, uint64_t seed)
{
    struct store_meta meta = made_meta(vocab, domains);
    struct store_writer *w;
    struct io_info info;
    char path[IO_PATH_MAX];
    uint64_t state = seed * 1000003, bytes;
    memset(m, 0, sizeof *m);
    m->domains = domains;
    CHECK_OK(store_create(&w, dir, &meta));
    for (uint32_t i = 0; i < docs; i++) {
        uint32_t domain = (uint32_t)(test_random(&state) % domains);
        uint32_t n = (uint32_t)(test_random(&state) % (2 * doc_tokens + 1));
        made_add(m, w, domain, n, i, vocab, &state);
    }
    CHECK_OK(store_commit(w, &info));
    CHECK_OK(io_path(path, "%s/data.mdb", dir));
    CHECK_OK(io_size(path, &bytes));
    CHECK_INT(info.bytes, bytes);
}

static inline void made_close(struct made *m)
{
    for (uint32_t i = 0; i < STORE_DOMAINS_MAX; i++) {
        free(m->domain[i].ids);
        free(m->domain[i].doc);
    }
}
#endif

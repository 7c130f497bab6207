/* test_command_views - looking for views: which documents, over files, domains and threads, beside
 * a twin that decides while the ledger and the store are written. */
#include "command/views.h"

#include "tests/test.h"

#include <math.h>

enum { FILES = 5, ROWS = 700, DOMAINS = 3, DOCS_MAX = FILES * ROWS };

struct made_view {
    char dir[IO_PATH_MAX];
    uint64_t documents[DOMAINS], tokens[DOMAINS], rows;
    /* By the twin: documents of each domain that the predicate holds of, in order. */
    bool holds[DOMAINS][DOCS_MAX];
};

static const char where_text[] =
    "(lang == 'de' or quality.score > 0.5) and tokens >= 40 and not url ~ '*7'";

static void schema_make(struct schema *s)
{
    schema_init(s);
    CHECK_INT(schema_signal(s, "quality.score", ""), 0);
    CHECK_INT(schema_signal(s, "language.score", ""), 1);
}

/* One row, and its document when it is kept. */
static void row_make(struct made_view *m, struct ledger_writer *l, struct store_writer *w,
                     uint32_t item, uint32_t record, uint64_t *state)
{
    static const char *const domains[DOMAINS] = {"domain-0", "domain-1", "domain-2"};
    uint32_t ids[100], domain = (uint32_t)(test_random(state) % DOMAINS);
    uint32_t count = (uint32_t)(test_random(state) % 100);
    uint64_t kind = test_random(state) % 10; /* 0, 1: dropped, 2: held out */
    float signal = test_random(state) % 5 ? (float)hash_unit(3, *state) : NAN;
    float signals[] = {signal, (float)hash_unit(4, *state)};
    char url[32];
    for (uint32_t i = 0; i < count; i++)
        ids[i] = (uint32_t)(test_random(state) % 200);
    snprintf(url, sizeof url, "http://a/%llu", (unsigned long long)(test_random(state) % 1000));
    struct ledger_row row = {.id = test_random(state),
                             .record = record,
                             .url = str_of(url),
                             .lang = test_random(state) % 2 ? STR("de") : STR("en"),
                             .verdict = kind > 2   ? STR("kept")
                                        : kind < 2 ? STR("dropped")
                                                   : STR("heldout"),
                             .domain = kind > 1 ? str_of(domains[domain]) : STR(""),
                             .tokens = count, /* the store adds <|endoftext|> */

                             .value = NAN,
                             .threshold = NAN,
                             .signal = signals};
    CHECK_OK(ledger_add(l, &row));
    if (kind <= 2)
        return;
    struct store_doc doc = {.id = row.id,
                            .item = item,
                            .record = record,
                            .token_count = count,
                            .lang_score = signals[1],
                            .score = signal};
    memcpy(doc.lang, row.lang.ptr, row.lang.len);
    CHECK_OK(store_append(w, domain, &doc, ids));
    bool holds = (str_is(row.lang, "de") || signal > 0.5f) && row.tokens >= 40 &&
                 url[strlen(url) - 1] != '7';
    m->holds[domain][m->documents[domain]++] = holds;
    m->rows += holds;
    m->tokens[domain] += holds ? count + 1 : 0;
}

static struct made_view *view_made(uint64_t seed)
{
    struct made_view *m = calloc(1, sizeof *m);
    struct schema *schema = calloc(1, sizeof *schema);
    struct store_meta *meta = calloc(1, sizeof *meta);
    struct store_writer *w;
    char path[IO_PATH_MAX];
    uint64_t state = seed;
    CHECK(m && schema && meta);
    CHECK_OK(io_path(m->dir, "%s", test_dir()));
    schema_make(schema);
    meta->vocab_size = 201;
    meta->eot = 200;
    meta->domain_count = DOMAINS;
    for (int d = 0; d < DOMAINS; d++)
        snprintf(meta->domain[d].name, sizeof meta->domain[d].name, "domain-%d", d);
    CHECK_OK(io_path(path, "%s/store", m->dir));
    CHECK_OK(store_create(&w, path, meta));
    for (uint32_t item = 0; item < FILES; item++) {
        struct ledger_writer *l;
        CHECK_OK(io_path(path, "%s/ledger/%05u.parquet", m->dir, item));
        CHECK_OK(ledger_create(&l, path, "in/x", schema));
        for (uint32_t i = 0; i < (item == 2 ? 0 : ROWS); i++) /* a file may be empty */
            row_make(m, l, w, item, i * 3, &state);
        CHECK_OK(ledger_commit(l, NULL));
    }
    CHECK_OK(store_commit(w, NULL));
    free(meta);
    free(schema);
    return m;
}

static void open_made(const struct made_view *m, struct store **s)
{
    char path[IO_PATH_MAX];
    CHECK_OK(io_path(path, "%s/store", m->dir));
    CHECK_OK(store_open(s, path));
}

TEST(command_views_are_the_documents_of_the_predicate)
{
    struct made_view *m = view_made(5);
    struct store *s;
    struct where *w, *all;
    CHECK_OK(where_parse(&w, where_text));
    CHECK_OK(where_parse(&all, "true"));
    open_made(m, &s);
    for (int threads = 1; threads <= 7; threads += 3) {
        struct view_query query[2] = {{.where = w}, {.where = all}};
        struct view_share share[STORE_DOMAINS_MAX];
        struct token_view v, whole;
        uint64_t unmatched, documents = 0;
        CHECK_OK(view_search(query, 2, s, m->dir, threads, &unmatched));
        CHECK_INT(unmatched, 0);
        CHECK_OK(view_of_query(&v, &query[0], s, "v", share));
        for (int d = 0; d < DOMAINS; d++) {
            documents += m->documents[d];
            CHECK_INT(share[d].tokens, m->tokens[d]);
            for (uint64_t i = 0; i < m->documents[d]; i++)
                CHECK_INT(query[0].bits[d][i / 64] >> (i % 64) & 1, m->holds[d][i]);
        }
        CHECK_INT(v.documents, m->rows);
        CHECK(v.documents > 100 && v.documents < documents - 100);
        CHECK_OK(view_of_query(&whole, &query[1], s, "w", NULL));
        CHECK_INT(whole.documents, documents);
        CHECK_INT(whole.extent_count, DOMAINS);
        token_view_close(&v);
        token_view_close(&whole);
        view_query_free(&query[0]);
        view_query_free(&query[1]);
    }
    where_free(w);
    where_free(all);
    store_close(s);
    free(m);
}

/* A ledger of other documents is not joined with the store by place alone. */
TEST(command_views_of_a_foreign_ledger_are_refused)
{
    struct made_view *m = view_made(5);
    struct schema *schema = calloc(1, sizeof *schema);
    struct view_query query = {0};
    struct ledger_writer *l;
    struct store *s;
    struct where *w;
    char path[IO_PATH_MAX];
    uint64_t unmatched;
    const float signal[2] = {1, 1}; /* of schema_make */
    CHECK(schema != NULL);
    schema_make(schema);
    CHECK_OK(where_parse(&w, "true"));
    query.where = w;
    open_made(m, &s);
    CHECK_OK(io_path(path, "%s/ledger/00003.parquet", m->dir));
    CHECK_OK(ledger_create(&l, path, "in/x", schema));
    for (uint32_t i = 0; i < 40; i++) /* places between the documents: no match, and no error */
        CHECK_OK(ledger_add(l, &(struct ledger_row){.record = i * 3 + 1,
                                                    .verdict = STR("kept"),
                                                    .domain = STR("domain-1"),
                                                    .signal = signal}));
    CHECK_OK(ledger_commit(l, NULL));
    CHECK_OK(view_search(&query, 1, s, m->dir, 2, &unmatched));
    CHECK_INT(unmatched, 40);
    view_query_free(&query);
    CHECK_OK(ledger_create(&l, path, "in/x", schema));
    for (uint32_t i = 0; i < 40; i++)
        CHECK_OK(ledger_add(l, &(struct ledger_row){.record = i * 3,
                                                    .verdict = STR("kept"),
                                                    .domain = STR("domain-1"),
                                                    .signal = signal}));
    CHECK_OK(ledger_commit(l, NULL));
    CHECK_ERR(view_search(&query, 1, s, m->dir, 2, &unmatched), ERR_FORMAT);
    CHECK(strstr(err_text(), "not of one run") != NULL);
    view_query_free(&query);
    where_free(w);
    store_close(s);
    free(schema);
    free(m);
}

TEST(command_views_need_a_ledger_that_knows_the_names)
{
    struct made_view *m = view_made(5);
    struct view_query query = {0};
    struct store *s;
    struct where *w;
    char path[IO_PATH_MAX];
    open_made(m, &s);
    CHECK_OK(where_parse(&w, "quality.scores > 1"));
    query.where = w;
    CHECK_ERR(view_search(&query, 1, s, m->dir, 2, NULL), ERR_USAGE);
    CHECK(strstr(err_text(), "did you mean quality.score?") != NULL);
    view_query_free(&query);
    CHECK_OK(io_path(path, "%s/nowhere", m->dir));
    CHECK_ERR(view_search(&query, 1, s, path, 2, NULL), ERR_USAGE);
    CHECK(strstr(err_text(), "there is no such folder") != NULL);
    view_query_free(&query);
    where_free(w);
    store_close(s);
    free(m);
}

/* What the store's index knows is the same as in the ledger: the twin is the search over that. */
TEST(command_views_without_a_ledger_ask_the_index)
{
    static const char *const known[] = {"tokens >= 40 and not domain == 'domain-1'",
                                        "id < '7' or record in [3, 6, 9, 300]",
                                        "draw(4) < 0.25 and verdict == 'kept' and text_bytes == 0",
                                        "lang == 'de' and not quality.score >= 0.5",
                                        "quality.score is null or quality.score < 0.125",
                                        "language.score < 0.375 and lang in ['en', 'fr']"};
    static const struct {
        const char *where, *why;
    } unknown[] = {
        {"host == 'de'", "column host is not known of its documents, only id, record, lang"},
        {"tokens > 3 and offset > 1", "column offset is not known"},
        {"gopher.words > 0.5", "column or signal gopher.words is not known"},
        {"margin('quality.score') > 0", ", language.score, quality.score"},
        {"source ~ '*'", "column source is not known"}, /* it was not imported */
        {"not rule('x.y')", "rule x.y is not known"}};
    struct made_view *m = view_made(5);
    struct view_query with[COUNT_OF(known)] = {{0}}, without[COUNT_OF(known)] = {{0}};
    struct where *w[COUNT_OF(known)];
    struct store *s;
    char path[IO_PATH_MAX], aside[IO_PATH_MAX];
    uint64_t held[COUNT_OF(known)] = {0}, documents = 0;
    open_made(m, &s);
    for (size_t i = 0; i < COUNT_OF(known); i++) {
        CHECK_OK(where_parse(&w[i], known[i]));
        with[i].where = without[i].where = w[i];
    }
    CHECK_OK(view_search(with, COUNT_OF(known), s, m->dir, 2, NULL));
    CHECK_OK(io_path(path, "%s/ledger", m->dir));
    CHECK_OK(io_path(aside, "%s/aside", m->dir));
    CHECK(rename(path, aside) == 0);
    CHECK_OK(view_search(without, COUNT_OF(known), s, m->dir, 2, NULL));
    for (int d = 0; d < DOMAINS; d++) {
        documents += m->documents[d];
        for (size_t i = 0; i < COUNT_OF(known); i++)
            for (uint64_t k = 0; k < m->documents[d]; k++) {
                CHECK_INT(without[i].bits[d][k / 64] >> (k % 64) & 1,
                          with[i].bits[d][k / 64] >> (k % 64) & 1);
                held[i] += with[i].bits[d][k / 64] >> (k % 64) & 1;
            }
    }
    for (size_t i = 0; i < COUNT_OF(known); i++) {
        CHECK(held[i] > 0 && held[i] < documents);
        view_query_free(&with[i]);
        view_query_free(&without[i]);
        where_free(w[i]);
    }
    for (size_t i = 0; i < COUNT_OF(unknown); i++) {
        struct view_query query = {0};
        CHECK_OK(where_parse(&w[0], unknown[i].where));
        query.where = w[0];
        CHECK_ERR(view_search(&query, 1, s, m->dir, 2, NULL), ERR_USAGE);
        if (!strstr(err_text(), unknown[i].why) || !strstr(err_text(), "has no ledger"))
            test_fail(__FILE__, __LINE__, "\"%s\" of %s", err_text(), unknown[i].where);
        view_query_free(&query);
        where_free(w[0]);
    }
    store_close(s);
    free(m);
}

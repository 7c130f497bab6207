/* test_store_view - views of a store: which tokens they give, and their files, whole and damaged.
 */
#include "store/token_view.h"

#include "tests/store_made.h"

#include <unistd.h>

/* Documents whose id has one of the low bits of mask. */
struct by_id {
    uint64_t mask;
    uint64_t asked;
};
static bool pick_by_id(void *arg, uint32_t domain, uint64_t index, const struct store_doc *doc)
{
    struct by_id *by = arg;
    by->asked++;
    UNUSED(domain);
    UNUSED(index);
    return (doc->id & by->mask) != 0;
}

/* What the view must hold, by the plain arrays: the slow twin. */
static uint64_t expected(const struct made *m, uint64_t mask, uint32_t **out, uint64_t *documents)
{
    uint64_t count = 0, total = 0;
    for (uint32_t d = 0; d < m->domains; d++)
        total += m->domain[d].count;
    *out = malloc(sizeof **out * (total ? total : 1));
    CHECK(*out != NULL);
    *documents = 0;
    for (uint32_t d = 0; d < m->domains; d++)
        for (uint64_t i = 0; i < m->domain[d].docs; i++) {
            const struct store_doc *doc = &m->domain[d].doc[i];
            if (!(doc->id & mask))
                continue;
            memcpy(*out + count, m->domain[d].ids + doc->token_start,
                   sizeof **out * doc->token_count);
            count += doc->token_count;
            ++*documents;
        }
    return count;
}

static const char *made_store(struct made *m, struct store **s, uint32_t domains, uint32_t docs,
                              uint64_t seed)
{
    static char dir[IO_PATH_MAX];
    CHECK_OK(io_path(dir, "%s/store-%llu", test_dir(), (unsigned long long)seed));
    made_open(m, dir, 300, domains, docs, 40, seed);
    CHECK_OK(store_open(s, dir));
    return dir;
}

static void same_tokens(const struct token_view *v, struct store *s, const uint32_t *want,
                        uint64_t count)
{
    uint32_t got[257];
    uint64_t state = 5;
    CHECK_INT(v->tokens, count);
    for (uint64_t at = 0; at < count; at += 257) {
        uint32_t now = count - at < 257 ? (uint32_t)(count - at) : 257;
        CHECK_OK(token_view_read(v, s, at, now, got));
        CHECK(memcmp(got, want + at, sizeof *got * now) == 0);
    }
    for (int i = 0; i < 300 && count; i++) { /* and from anywhere */
        uint64_t at = test_random(&state) % count;
        uint32_t now = (uint32_t)(test_random(&state) % (count - at < 257 ? count - at : 257)) + 1;
        CHECK_OK(token_view_read(v, s, at, now, got));
        CHECK(memcmp(got, want + at, sizeof *got * now) == 0);
        const struct extent *e = &v->extent[token_view_find(v, at)];
        CHECK(e->before <= at);
        CHECK(at - e->before < e->count);
    }
    CHECK_ERR(token_view_read(v, s, count, 1, got), ERR_LIMIT);
}

TEST(store_view_gives_the_tokens_of_its_documents)
{
    static const uint64_t masks[] = {0, 1, 3, 15, ~(uint64_t)0};
    for (size_t k = 0; k < COUNT_OF(masks); k++) {
        struct made m;
        struct store *s;
        struct token_view v;
        struct by_id by = {.mask = masks[k]};
        uint32_t *want;
        uint64_t documents;
        made_store(&m, &s, 3, 400, k + 1);
        uint64_t count = expected(&m, masks[k], &want, &documents);
        CHECK_OK(token_view_make(&v, s, "mine", pick_by_id, &by));
        CHECK_INT(by.asked, 400);
        CHECK_INT(v.documents, documents);
        same_tokens(&v, s, want, count);
        if (masks[k] == ~(uint64_t)0)
            CHECK(v.extent_count <= 4); /* an id of 0 would part one */
        token_view_close(&v);
        free(want);
        store_close(s);
        made_close(&m);
    }
}

TEST(store_view_of_a_domain_is_all_of_it)
{
    struct made m;
    struct store *s;
    struct token_view v;
    made_store(&m, &s, 2, 300, 9);
    for (uint32_t d = 0; d < 2; d++) {
        CHECK_OK(token_view_domain(&v, s, d));
        CHECK_STR(str_of(v.name), d ? "domain-1" : "domain-0");
        CHECK_INT(v.documents, m.domain[d].docs);
        same_tokens(&v, s, m.domain[d].ids, m.domain[d].count);
        token_view_close(&v);
    }
    store_close(s);
    made_close(&m);
}

static void check_same(const struct token_view *a, const struct token_view *b)
{
    CHECK_STR(str_of(a->name), b->name);
    CHECK_INT(a->tokens, b->tokens);
    CHECK_INT(a->documents, b->documents);
    CHECK_INT(a->extent_count, b->extent_count);
    for (uint64_t i = 0; i < a->extent_count; i++) {
        CHECK_INT(a->extent[i].domain, b->extent[i].domain);
        CHECK_INT(a->extent[i].start, b->extent[i].start);
        CHECK_INT(a->extent[i].count, b->extent[i].count);
        CHECK_INT(a->extent[i].before, b->extent[i].before);
    }
}

TEST(store_view_file_reads_back)
{
    static const uint64_t masks[] = {0, 1, 63};
    char path[IO_PATH_MAX];
    for (size_t k = 0; k < COUNT_OF(masks); k++) {
        struct made m;
        struct store *s;
        struct token_view v, back;
        struct io_info info, have;
        struct by_id by = {.mask = masks[k]};
        made_store(&m, &s, 3, 500, 20 + k);
        CHECK_OK(token_view_make(&v, s, "good", pick_by_id, &by));
        CHECK_OK(io_path(path, "%s/views/good.view", test_dir()));
        CHECK_OK(token_view_write(&v, s, "lang == 'en'", path, &info));
        CHECK_OK(io_hash_file(path, &have));
        CHECK(have.bytes == info.bytes && have.hash.low == info.hash.low);
        CHECK_OK(token_view_open(&back, path, s));
        check_same(&v, &back);
        CHECK_STR(str_of(back.where), "lang == 'en'");
        CHECK_OK(token_view_write(&v, s, "lang == 'en'", path, &have));
        CHECK(have.hash.low == info.hash.low); /* the same bytes again */
        token_view_close(&v);
        token_view_close(&back);
        store_close(s);
        made_close(&m);
    }
}

TEST(store_view_of_another_store_is_refused)
{
    struct made m, other;
    struct store *s, *t;
    struct token_view v;
    struct by_id by = {.mask = 1};
    char path[IO_PATH_MAX];
    made_store(&m, &s, 2, 100, 31);
    made_store(&other, &t, 2, 101, 31000);
    CHECK_OK(io_path(path, "%s/a.view", test_dir()));
    CHECK_OK(token_view_make(&v, s, "a", pick_by_id, &by));
    CHECK_OK(token_view_write(&v, s, "tokens > 1", path, NULL));
    token_view_close(&v);
    CHECK_ERR(token_view_open(&v, path, t), ERR_USAGE);
    CHECK(strstr(err_text(), "make it again") != NULL);
    CHECK(v.extent == NULL && v.where == NULL);
    store_close(s);
    store_close(t);
    made_close(&m);
    made_close(&other);
}

static void put_file(const char *path, const char *bytes, size_t len)
{
    FILE *f = fopen(path, "wb");
    CHECK(f != NULL);
    CHECK_INT(fwrite(bytes, 1, len, f), len);
    CHECK_INT(fclose(f), 0);
}

/* Every byte flipped, every length cut, and something behind the end: never used, never a crash. */
TEST(store_view_file_damaged_is_refused)
{
    struct made m;
    struct store *s;
    struct token_view v;
    struct by_id by = {.mask = 1};
    char path[IO_PATH_MAX], bad[IO_PATH_MAX], *bytes;
    size_t len;
    made_store(&m, &s, 2, 16, 41);
    CHECK_OK(io_path(path, "%s/a.view", test_dir()));
    CHECK_OK(io_path(bad, "%s/bad.view", test_dir()));
    CHECK_OK(token_view_make(&v, s, "a", pick_by_id, &by));
    CHECK_OK(token_view_write(&v, s, "quality.score > 0.5", path, NULL));
    token_view_close(&v);
    CHECK_OK(io_read_file(path, 1 << 20, &bytes, &len));
    for (size_t i = 0; i < len; i++) {
        bytes[i] ^= (char)(1 << (i % 8));
        put_file(bad, bytes, len);
        bytes[i] ^= (char)(1 << (i % 8));
        int rc = token_view_open(&v, bad, s);
        CHECK(rc == ERR_FORMAT || rc == ERR_USAGE); /* USAGE: the identity is what was hit */
        CHECK(v.extent == NULL && v.where == NULL);
    }
    for (size_t i = 0; i < len; i++) {
        put_file(bad, bytes, i);
        CHECK_ERR(token_view_open(&v, bad, s), ERR_FORMAT);
    }
    bytes[len] = 'x'; /* in place of the NUL behind it */
    put_file(bad, bytes, len + 1);
    CHECK_ERR(token_view_open(&v, bad, s), ERR_FORMAT);
    CHECK_OK(io_path(bad, "%s/missing.view", test_dir()));
    CHECK_ERR(token_view_open(&v, bad, s), ERR_USAGE);
    free(bytes);
    store_close(s);
    made_close(&m);
}

TEST(store_view_predicate_too_long_is_refused)
{
    struct made m;
    struct store *s;
    struct token_view v;
    struct by_id by = {.mask = 1};
    char path[IO_PATH_MAX];
    char *where = calloc(1, TOKEN_VIEW_WHERE_MAX + 2);
    CHECK(where != NULL);
    made_store(&m, &s, 1, 20, 51);
    CHECK_OK(token_view_make(&v, s, "long", pick_by_id, &by));
    CHECK_OK(io_path(path, "%s/long.view", test_dir()));
    memset(where, 'x', TOKEN_VIEW_WHERE_MAX + 1);
    CHECK_ERR(token_view_write(&v, s, where, path, NULL), ERR_LIMIT);
    CHECK(!io_exists(path));
    where[TOKEN_VIEW_WHERE_MAX] = 0;
    CHECK_OK(token_view_write(&v, s, where, path, NULL));
    token_view_close(&v);
    CHECK_OK(token_view_open(&v, path, s));
    CHECK_INT(strlen(v.where), TOKEN_VIEW_WHERE_MAX);
    token_view_close(&v);
    free(where);
    store_close(s);
    made_close(&m);
}

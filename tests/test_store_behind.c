/* test_store_behind - the thread that writes a new store's blocks: the same bytes as without it,
 * and its errors. */
#include "store/behind.h"
#include "tests/store_made.h"

#include <signal.h>
#include <sys/resource.h>

enum { DOCS = 900, DOC_TOKENS = 2000, VOCAB = 5000, DOMAINS = 3 };

/* Documents of up to DOC_TOKENS tokens, the same for every call. */
static int fill(struct store_writer *w)
{
    static uint32_t ids[DOC_TOKENS];
    uint64_t state = 77;
    for (uint32_t i = 0; i < DOCS; i++) {
        uint32_t domain = (uint32_t)(test_random(&state) % DOMAINS);
        struct store_doc doc = {.id = test_random(&state),
                                .item = i,
                                .token_count = (uint32_t)(test_random(&state) % DOC_TOKENS)};
        for (uint32_t k = 0; k < doc.token_count; k++)
            ids[k] = (uint32_t)(test_random(&state) % VOCAB);
        TRY(store_append(w, domain, &doc, ids));
    }
    return 0;
}

static struct hash128 built(const char *name, bool behind)
{
    char dir[IO_PATH_MAX];
    struct store_meta meta = made_meta(VOCAB, DOMAINS);
    struct store_writer *w;
    struct io_info info;
    CHECK_OK(io_path(dir, "%s/%s", test_dir(), name));
    CHECK_OK(store_create(&w, dir, &meta));
    CHECK(w->behind != NULL);
    if (!behind) {
        CHECK_OK(behind_end(w->behind));
        w->behind = NULL;
    }
    CHECK_OK(fill(w));
    CHECK_OK(store_commit(w, &info));
    return info.hash;
}

/* The twin is the writer that puts each block itself; transactions are small, so that there are
 * many, and they end at the same blocks. */
TEST(store_behind_thread_gives_the_same_bytes)
{
    uint64_t whole = writer_txn_bytes;
    writer_txn_bytes = 3 * STORE_BLOCK_BYTES;
    struct hash128 with = built("with", true), without = built("without", false);
    writer_txn_bytes = whole;
    struct hash128 few = built("few", true); /* the bytes do depend on the transactions */
    CHECK(with.low == without.low && with.high == without.high);
    CHECK(with.low != few.low || with.high != few.high);
}

/* What the thread could not write is told by a later append or by the commit, once; the error of an
 * append of our own is not lost to the thread's when the writer is abandoned. */
TEST(store_behind_thread_tells_its_error)
{
    char dir[IO_PATH_MAX];
    struct store_meta meta = made_meta(VOCAB, DOMAINS);
    struct store_writer *w;
    struct rlimit old, small;
    CHECK_OK(io_path(dir, "%s/s", test_dir()));
    CHECK(getrlimit(RLIMIT_FSIZE, &old) == 0);
    signal(SIGXFSZ, SIG_IGN);
    writer_txn_bytes = 2 * STORE_BLOCK_BYTES;
    CHECK_OK(store_create(&w, dir, &meta));
    small = (struct rlimit){3 * STORE_BLOCK_BYTES, old.rlim_max};
    CHECK(setrlimit(RLIMIT_FSIZE, &small) == 0);
    int rc = fill(w);
    if (rc < 0)
        store_abandon(w);
    else
        rc = store_commit(w, NULL);
    CHECK(setrlimit(RLIMIT_FSIZE, &old) == 0);
    CHECK(rc == ERR_IO || rc == ERR_AGAIN);
    CHECK(strstr(err_text(), "store: write to") != NULL);
    CHECK(!io_exists(dir));
    CHECK_OK(store_create(&w, dir, &meta));
    CHECK(setrlimit(RLIMIT_FSIZE, &small) == 0);
    struct store_doc doc = {.item = 1, .token_count = 1};
    CHECK_ERR(store_append(w, 0, &doc, &(uint32_t){VOCAB}), ERR_FORMAT);
    store_abandon(w);
    CHECK(strstr(err_text(), "outside the vocabulary") != NULL);
    CHECK(setrlimit(RLIMIT_FSIZE, &old) == 0);
}

/* An id that would fit when its upper half is cut off, at every place of vectors and rests. */
TEST(store_ids_of_another_tokenizer_are_refused_wherever_they_stand)
{
    char dir[IO_PATH_MAX];
    struct store_meta meta = made_meta(VOCAB, 1);
    static const uint32_t place[] = {0, 1, 30, 31, 32, 33, 63, 64, 69};
    uint32_t ids[70] = {0};
    CHECK_OK(io_path(dir, "%s/s", test_dir()));
    for (uint32_t i = 0; i < 2 * COUNT_OF(place); i++) {
        struct store_writer *w;
        struct store_doc doc = {.token_count = COUNT_OF(ids)};
        uint32_t id = i < COUNT_OF(place) ? 0x10001 : VOCAB;
        char said[32];
        ids[place[i % COUNT_OF(place)]] = id;
        CHECK_OK(store_create(&w, dir, &meta));
        CHECK_ERR(store_append(w, 0, &doc, ids), ERR_FORMAT);
        store_abandon(w);
        snprintf(said, sizeof said, "id %u is outside", id);
        CHECK(strstr(err_text(), said) != NULL);
        ids[place[i % COUNT_OF(place)]] = 0;
    }
}

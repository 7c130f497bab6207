/* test_store_change - appending and removing in place: the same store as one built at once,
 * whatever is killed when; who may write; where. */
#include "store/token_view.h"
#include "store/writing.h"
#include "core/log.h"
#include "tests/store_made.h"

#include <fcntl.h>
#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* ---- stores from the same documents, built in other ways ---- */

/* Documents from to end - 1 of each domain of m, as the writer's domains of the same number. */
static int put_documents(struct store_writer *w, const struct made *m, const uint64_t *from,
                         const uint64_t *end)
{
    for (uint32_t d = 0; d < m->domains; d++)
        for (uint64_t i = from[d]; i < end[d]; i++) {
            struct store_doc doc = m->domain[d].doc[i];
            doc.token_count--;
            TRY(store_append(w, d, &doc, m->domain[d].ids + doc.token_start + 1));
        }
    return 0;
}

static int build_part(const char *dir, const struct made *m, uint32_t vocab, const uint64_t *end)
{
    uint64_t zero[STORE_DOMAINS_MAX] = {0};
    struct store_meta meta = made_meta(vocab, m->domains);
    struct store_writer *w;
    TRY(store_create(&w, dir, &meta));
    int rc = put_documents(w, m, zero, end);
    if (rc < 0) {
        store_abandon(w);
        return rc;
    }
    return store_commit(w, NULL);
}

static struct store_origin origin_made(uint32_t first, uint32_t count, uint64_t identity)
{
    struct store_origin o = {.first_item = first, .item_count = count, .identity = {identity, 9}};
    snprintf(o.run, sizeof o.run, "/runs/%llu", (unsigned long long)identity);
    snprintf(o.recipe, sizeof o.recipe, "r%llu", (unsigned long long)identity);
    return o;
}

static int append_part(const char *dir, const struct made *m, uint32_t vocab, const uint64_t *from,
                       const uint64_t *end)
{
    struct store_meta meta = made_meta(vocab, m->domains);
    struct store_writer *w;
    TRY(store_extend(&w, dir, &meta, NULL, 0));
    int rc = put_documents(w, m, from, end);
    if (rc < 0) {
        store_abandon(w);
        return rc;
    }
    return store_commit(w, NULL);
}

static struct hash128 identity_of(const char *dir)
{
    struct store *s;
    CHECK_OK(store_open(&s, dir));
    struct hash128 id = store_identity(s);
    store_close(s);
    return id;
}

static bool same(struct hash128 a, struct hash128 b) { return a.low == b.low && a.high == b.high; }

static void check_verify(const char *dir)
{
    struct store *s;
    CHECK_OK(store_open(&s, dir));
    CHECK_OK(store_verify(s));
    store_close(s);
}

/* The oracle of appending: the store that was built at once has the same identity, which chains
 * every block's sum and the counts. parts: where each domain is cut, in parts of 4. */
static void check_appended(uint32_t vocab, uint32_t domains, uint32_t docs, uint32_t doc_tokens,
                           uint64_t seed)
{
    struct made m;
    const char *whole = test_path("whole"), *grown = test_path("grown");
    uint64_t state = seed, cut[5][STORE_DOMAINS_MAX] = {{0}};
    made_open(&m, whole, vocab, domains, docs, doc_tokens, seed);
    for (uint32_t d = 0; d < domains; d++)
        for (int k = 1; k <= 4; k++) {
            uint64_t left = m.domain[d].docs - cut[k - 1][d];
            cut[k][d] =
                k == 4 ? m.domain[d].docs : cut[k - 1][d] + test_random(&state) % (left + 1);
        }
    CHECK_OK(build_part(grown, &m, vocab, cut[1]));
    for (int k = 1; k < 4; k++) {
        CHECK_OK(append_part(grown, &m, vocab, cut[k], cut[k + 1]));
        check_verify(grown);
    }
    CHECK(same(identity_of(whole), identity_of(grown)));
    CHECK(!io_exists(test_path("grown.lock")));
    made_close(&m);
}

TEST(store_append_equals_building_at_once)
{
    check_appended(50257, 3, 2000, 300, 1); /* several blocks of tokens */
    check_appended(70000, 2, 1500, 400, 2); /* of 4 bytes */
    check_appended(300, 1, 30000, 2, 3);    /* several blocks of documents */
    check_appended(300, 64, 600, 5, 4);     /* small blocks, which lie inside leaves */
    check_appended(50257, 2, 6, 200000, 5); /* documents longer than blocks */
    check_appended(300, 2, 0, 0, 6);        /* nothing to nothing */
}

/* Blocks that end exactly where a part does. */
TEST(store_append_at_the_edges_of_blocks)
{
    enum { IDS = STORE_BLOCK_BYTES / 2 };
    struct store_meta meta = made_meta(50257, 1);
    uint32_t *ids = calloc(3 * IDS, sizeof *ids);
    const uint32_t counts[] = {IDS - 1, IDS - 2, IDS};
    for (size_t first = 0; first < COUNT_OF(counts); first++)
        for (size_t then = 0; then < COUNT_OF(counts); then++) {
            struct store_writer *w;
            struct store_doc one = {.record = 1, .token_count = counts[first]},
                             two = {.record = 2, .token_count = counts[then]};
            CHECK_OK(store_create(&w, test_path("whole"), &meta));
            CHECK_OK(store_append(w, 0, &one, ids));
            CHECK_OK(store_append(w, 0, &two, ids));
            CHECK_OK(store_commit(w, NULL));
            CHECK_OK(store_create(&w, test_path("grown"), &meta));
            CHECK_OK(store_append(w, 0, &one, ids));
            CHECK_OK(store_commit(w, NULL));
            CHECK_OK(store_extend(&w, test_path("grown"), &meta, NULL, 0));
            CHECK_OK(store_append(w, 0, &two, ids));
            CHECK_OK(store_commit(w, NULL));
            check_verify(test_path("grown"));
            CHECK(same(identity_of(test_path("whole")), identity_of(test_path("grown"))));
        }
    free(ids);
}

TEST(store_append_adds_domains_by_name)
{
    struct made m;
    struct store *s;
    struct store_writer *w;
    const uint32_t ids[] = {1, 2, 3};
    uint32_t out[4];
    made_open(&m, test_path("store"), 300, 2, 100, 20, 1);
    struct store_meta meta = made_meta(300, 2);
    snprintf(meta.domain[0].name, sizeof meta.domain[0].name, "new");
    snprintf(meta.domain[1].name, sizeof meta.domain[1].name, "domain-0");
    struct store_doc doc = {.item = 900, .token_count = 3};
    CHECK_OK(store_extend(&w, test_path("store"), &meta, NULL, 0));
    CHECK_OK(store_append(w, 0, &doc, ids));
    CHECK_OK(store_append(w, 1, &doc, ids));
    CHECK_OK(store_commit(w, NULL));
    CHECK_OK(store_open(&s, test_path("store")));
    CHECK_INT(store_meta(s)->domain_count, 3);
    CHECK_INT(store_domain(s, "new"), 2);
    CHECK_INT(store_meta(s)->domain[0].tokens, m.domain[0].count + 4);
    CHECK_INT(store_meta(s)->domain[1].tokens, m.domain[1].count);
    CHECK_OK(store_read(s, 2, 0, 4, out));
    CHECK(out[0] == 299 && memcmp(out + 1, ids, sizeof ids) == 0);
    CHECK_OK(store_read(s, 0, m.domain[0].count, 4, out));
    CHECK(out[0] == 299 && memcmp(out + 1, ids, sizeof ids) == 0);
    CHECK_OK(store_verify(s));
    store_close(s);
    made_close(&m);
}

TEST(store_append_keeps_origins)
{
    struct made m;
    struct store *s;
    struct store_writer *w;
    struct store_meta meta = made_meta(300, 1);
    struct store_origin one[] = {origin_made(10, 5, 1), origin_made(15, 3, 2)},
                        two = origin_made(30, 2, 3), again = origin_made(40, 2, 1),
                        low = origin_made(31, 9, 4);
    uint32_t count;
    const char *dir = test_path("store");
    made_open(&m, dir, 300, 1, 100, 20, 1);
    CHECK_OK(store_open(&s, dir));
    CHECK(store_origin_of(s, 0) == NULL && store_origins(s, &count) == NULL && count == 0);
    store_close(s);
    CHECK_OK(store_extend(&w, dir, &meta, one, 2));
    CHECK_OK(store_commit(w, NULL));
    CHECK_OK(store_extend(&w, dir, &meta, &two, 1));
    CHECK_OK(store_commit(w, NULL));
    CHECK_ERR(store_extend(&w, dir, &meta, &again, 1), ERR_USAGE);
    CHECK(strstr(err_text(), "has these documents already: they were appended from /runs/1"));
    CHECK_ERR(store_extend(&w, dir, &meta, &low, 1), ERR_USAGE);
    CHECK_OK(store_open(&s, dir));
    CHECK(memcmp(store_origins(s, &count), one, sizeof one) == 0);
    CHECK_INT(count, 3);
    for (uint32_t item = 0; item < 40; item++) {
        const struct store_origin *o = store_origin_of(s, item);
        uint64_t want = item < 10                ? 0
                        : item < 15              ? 1
                        : item < 18              ? 2
                        : item < 30 || item > 31 ? 0
                                                 : 3;
        CHECK_INT(o ? o->identity.low : 0, want);
    }
    store_close(s);
    made_close(&m);
}

TEST(store_append_refuses_what_does_not_fit)
{
    struct made m;
    struct store_writer *w;
    const char *dir = test_path("store");
    made_open(&m, dir, 300, 60, 100, 20, 1);
    struct hash128 before = identity_of(dir);
    struct store_meta meta = made_meta(300, 1);
    meta.tokenizer_hash.low++;
    CHECK_ERR(store_extend(&w, dir, &meta, NULL, 0), ERR_USAGE);
    CHECK(strstr(err_text(), "tokenizer") != NULL);
    meta = made_meta(301, 1);
    CHECK_ERR(store_extend(&w, dir, &meta, NULL, 0), ERR_USAGE);
    meta = made_meta(300, 5);
    for (uint32_t d = 0; d < 5; d++)
        snprintf(meta.domain[d].name, sizeof meta.domain[d].name, "other-%u", d);
    CHECK_ERR(store_extend(&w, dir, &meta, NULL, 0), ERR_LIMIT);
    CHECK_ERR(store_extend(&w, test_path("none"), &meta, NULL, 0), ERR_IO);
    meta = made_meta(300, 60); /* not behind the documents that the store has */
    struct store_doc doc = {.item = 0, .record = 0};
    uint32_t full = 0;
    while (m.domain[full].docs == 0)
        full++;
    CHECK_OK(store_extend(&w, dir, &meta, NULL, 0));
    CHECK_ERR(store_append(w, full, &doc, NULL), ERR_FORMAT);
    store_abandon(w);
    CHECK(same(before, identity_of(dir)));
    check_verify(dir);
    made_close(&m);
}

/* ---- removing ---- */

/* Every third document of m or so, by id; oracle arrays follow: its tokens become <|endoftext|>. */
struct chosen {
    uint64_t ids[40000], count;
    uint64_t documents[STORE_DOMAINS_MAX], tokens[STORE_DOMAINS_MAX];
    bool *gone[STORE_DOMAINS_MAX];
};

static void choose(struct chosen *c, const struct made *m, uint32_t one_in, uint64_t seed)
{
    uint64_t state = seed;
    memset(c, 0, sizeof *c);
    for (uint32_t d = 0; d < m->domains; d++) {
        c->gone[d] = calloc(m->domain[d].docs + 1, sizeof(bool));
        for (uint64_t i = 0; i < m->domain[d].docs; i++) {
            if (test_random(&state) % one_in)
                continue;
            c->gone[d][i] = true;
            CHECK(c->count < COUNT_OF(c->ids));
            c->ids[c->count++] = m->domain[d].doc[i].id;
            c->documents[d]++;
            c->tokens[d] += m->domain[d].doc[i].token_count;
        }
    }
}

static void chosen_close(struct chosen *c)
{
    for (int d = 0; d < STORE_DOMAINS_MAX; d++)
        free(c->gone[d]);
}

/* Beginnings of documents of 9 tokens or more: their first 8 ids as they lie in a file. */
struct beginnings {
    unsigned char (*begin)[32];
    size_t count, width;
    bool *found;
    unsigned char seen[1 << 17]; /* a bit for a hash of the first 8 bytes of each */
};

static void beginning_add(struct beginnings *b, const struct made_domain *from, uint64_t index)
{
    const uint32_t *ids = from->ids + from->doc[index].token_start + 1;
    if (from->doc[index].token_count < 9)
        return;
    for (size_t i = 0; i < 8; i++)
        memcpy(b->begin[b->count] + i * b->width, &ids[i], b->width);
    uint64_t at = hash64(b->begin[b->count++], 8, 0) % (8 * sizeof b->seen);
    b->seen[at / 8] |= (unsigned char)(1 << at % 8);
}

static int beginning_compare(const void *a, const void *b) { return memcmp(a, b, 32); }

/* How many of them stand somewhere in a file. */
static size_t beginnings_find(struct beginnings *b, const char *bytes, size_t len)
{
    size_t found = 0;
    qsort(b->begin, b->count, sizeof *b->begin, beginning_compare);
    for (size_t at = 0; at + 8 * b->width <= len; at += 2) {
        uint64_t bit = hash64(bytes + at, 8, 0) % (8 * sizeof b->seen);
        unsigned char key[32] = {0};
        if (!(b->seen[bit / 8] >> bit % 8 & 1))
            continue;
        memcpy(key, bytes + at, 8 * b->width);
        unsigned char(*hit)[32] =
            b->count ? bsearch(key, b->begin, b->count, sizeof key, beginning_compare) : NULL;
        if (hit && !b->found[hit - b->begin]) {
            b->found[hit - b->begin] = true;
            found++;
        }
    }
    return found;
}

static void beginnings_open(struct beginnings *b, uint64_t most, size_t width)
{
    memset(b, 0, sizeof *b);
    b->begin = calloc(most + 1, sizeof *b->begin);
    b->found = calloc(most + 1, sizeof *b->found);
    b->width = width;
}

static void beginnings_close(struct beginnings *b)
{
    free(b->begin);
    free(b->found);
}

/* The store against the arrays it was made from: the slow twin of removing. */
static void check_removed(const char *dir, const struct made *m, const struct chosen *c,
                          uint32_t vocab)
{
    struct store *s;
    char path[IO_PATH_MAX], *bytes;
    size_t len;
    static struct beginnings gone, kept;
    uint64_t *want = calloc(vocab, sizeof *want), *have = calloc(vocab, sizeof *have);
    CHECK_OK(store_open(&s, dir));
    CHECK_OK(io_path(path, "%s/data.mdb", dir));
    CHECK_OK(io_read_file(path, 1u << 30, &bytes, &len));
    beginnings_open(&gone, 40000, store_meta(s)->token_bytes);
    beginnings_open(&kept, 40000, store_meta(s)->token_bytes);
    for (uint32_t d = 0; d < m->domains; d++) {
        const struct made_domain *from = &m->domain[d];
        struct token_view view;
        uint32_t *ids = malloc((from->count + 1) * sizeof *ids);
        CHECK_INT(store_meta(s)->domain[d].tokens, from->count);
        CHECK_INT(store_removed_count(s, d), c->documents[d]);
        CHECK_INT(store_meta(s)->domain[d].removed_tokens, c->tokens[d]);
        CHECK_OK(store_read(s, d, 0, (uint32_t)from->count, ids));
        CHECK_OK(token_view_domain(&view, s, d));
        CHECK_INT(view.tokens, from->count - c->tokens[d]);
        uint64_t at = 0;
        for (uint64_t i = 0; i < from->docs; i++) {
            const struct store_doc *doc = &from->doc[i];
            uint64_t count = doc->token_count;
            CHECK(store_removed(s, d, i) == c->gone[d][i]);
            if (c->gone[d][i]) {
                for (uint64_t k = 0; k < count; k++)
                    CHECK(ids[doc->token_start + k] == vocab - 1);
                beginning_add(&gone, from, i);
                continue;
            }
            CHECK(memcmp(ids + doc->token_start, from->ids + doc->token_start, count * 4) == 0);
            beginning_add(&kept, from, i);
            uint32_t *read = malloc(count * sizeof *read);
            CHECK_OK(token_view_read(&view, s, at, (uint32_t)count, read));
            CHECK(memcmp(read, from->ids + doc->token_start, count * sizeof *read) == 0);
            free(read);
            at += count;
            for (uint64_t k = 0; k < count; k++)
                want[from->ids[doc->token_start + k]]++;
        }
        token_view_close(&view);
        free(ids);
    }
    CHECK_INT(beginnings_find(&gone, bytes, len), 0);
    CHECK(beginnings_find(&kept, bytes, len) * 10 >= kept.count * 9); /* some cross blocks */
    beginnings_close(&gone);
    beginnings_close(&kept);
    CHECK_OK(store_unigram(s, have));
    CHECK(memcmp(have, want, vocab * sizeof *have) == 0);
    CHECK_OK(store_verify(s));
    store_close(s);
    free(bytes);
    free(want);
    free(have);
}

static void remove_some(uint32_t vocab, uint32_t domains, uint32_t docs, uint32_t doc_tokens,
                        uint32_t one_in)
{
    struct made m;
    struct store_removal done;
    static struct chosen c;
    const char *dir = test_path("store");
    uint64_t more[3] = {1, 2, 3};
    enum store_fate *fate;
    made_open(&m, dir, vocab, domains, docs, doc_tokens, 7);
    struct hash128 before = identity_of(dir);
    choose(&c, &m, one_in, 5);
    fate = calloc(c.count + 1, sizeof *fate);
    CHECK_OK(store_remove(dir, c.ids, c.count, fate, &done));
    CHECK_INT(done.documents, c.count);
    CHECK_INT(done.proved, c.count);
    CHECK_INT(done.unknown, 0);
    for (uint64_t i = 0; i < c.count; i++)
        CHECK_INT(fate[i], STORE_REMOVED_NOW);
    CHECK(!same(before, identity_of(dir)));
    check_removed(dir, &m, &c, vocab);
    struct hash128 after = identity_of(dir);
    /* Again, and ids that nobody has: nothing more happens. */
    CHECK_OK(store_remove(dir, c.ids, c.count, fate, &done));
    CHECK_INT(done.documents + done.blocks + done.unknown, 0);
    CHECK_INT(done.proved, c.count);
    for (uint64_t i = 0; i < c.count; i++)
        CHECK_INT(fate[i], STORE_REMOVED_BEFORE);
    CHECK_OK(store_remove(dir, more, 3, fate, &done));
    CHECK_INT(done.unknown, 3);
    CHECK_INT(fate[1], STORE_UNKNOWN);
    CHECK(same(after, identity_of(dir)));
    CHECK(!io_exists(test_path("store.lock")));
    free(fate);
    chosen_close(&c);
    made_close(&m);
}

TEST(store_remove_u16) { remove_some(50257, 3, 3000, 200, 10); }
TEST(store_remove_u32) { remove_some(70000, 2, 2000, 200, 3); }
TEST(store_remove_many_documents) { remove_some(300, 1, 17000, 10, 2); }
TEST(store_remove_long_documents) { remove_some(50257, 2, 12, 200000, 2); }
TEST(store_remove_all) { remove_some(300, 5, 300, 20, 1); }
TEST(store_remove_from_small_blocks) { remove_some(50257, 40, 200, 10, 4); }

/* Appending behind what was removed, and removing what was appended: as if built and removed at
 * once. */
TEST(store_remove_and_append_in_turn)
{
    struct made m;
    struct store_removal done;
    static struct chosen c;
    const char *grown = test_path("grown"), *whole = test_path("whole");
    uint64_t zero[STORE_DOMAINS_MAX] = {0}, half[STORE_DOMAINS_MAX], all[STORE_DOMAINS_MAX];
    made_open(&m, whole, 50257, 3, 3000, 150, 3);
    choose(&c, &m, 7, 11);
    for (uint32_t d = 0; d < 3; d++) {
        all[d] = m.domain[d].docs;
        half[d] = all[d] / 2 + d;
    }
    CHECK_OK(build_part(grown, &m, 50257, zero));
    CHECK_OK(append_part(grown, &m, 50257, zero, half));
    CHECK_OK(store_remove(grown, c.ids, c.count, NULL, &done));
    CHECK(done.unknown > 0 && done.documents > 0);
    CHECK_OK(append_part(grown, &m, 50257, half, all));
    uint64_t first = done.documents;
    CHECK_OK(store_remove(grown, c.ids, c.count, NULL, &done));
    CHECK_INT(done.documents, c.count - first);
    CHECK_OK(store_remove(whole, c.ids, c.count, NULL, &done));
    CHECK(same(identity_of(grown), identity_of(whole)));
    check_removed(grown, &m, &c, 50257);
    check_removed(whole, &m, &c, 50257);
    chosen_close(&c);
    made_close(&m);
}

/* A damaged block keeps its sum: a removal may not make it look whole. */
TEST(store_remove_refuses_damaged_blocks)
{
    struct made m;
    struct store_removal done;
    struct store *s;
    char *bytes;
    size_t len, at = 0;
    const char *dir = test_path("store");
    made_open(&m, dir, 70000, 1, 1000, 200, 1);
    CHECK_OK(io_read_file(test_path("store/data.mdb"), 1 << 24, &bytes, &len));
    while (at + 4096 < len && memcmp(bytes + at, m.domain[0].ids, 4096) != 0)
        at += 16;
    int fd = open(test_path("store/data.mdb"), O_RDWR);
    bytes[at + 200000] ^= 4;
    CHECK(pwrite(fd, bytes + at + 200000, 1, (off_t)(at + 200000)) == 1);
    CHECK_ERR(store_remove(dir, &m.domain[0].doc[0].id, 1, NULL, &done), ERR_FORMAT);
    CHECK(strstr(err_text(), "block 0 of the tokens of domain domain-0") != NULL);
    CHECK_OK(store_open(&s, dir));
    CHECK_INT(store_removed_count(s, 0), 0);
    CHECK_ERR(store_verify(s), ERR_FORMAT);
    store_close(s);
    close(fd);
    free(bytes);
    made_close(&m);
}

/* ---- kills ---- */

enum { KILLS = 25 };

static void kill_later(pid_t pid, uint64_t *state, uint64_t most_us)
{
    struct timespec nap = {0, (long)(test_random(state) % most_us) * 1000};
    nanosleep(&nap, NULL);
    kill(pid, SIGKILL);
    CHECK(waitpid(pid, NULL, 0) == pid);
}

/* Microseconds that a child takes for all of it, so that kills fall all over it. */
static uint64_t child_time(void (*work)(void *), void *arg)
{
    struct timespec from, to;
    clock_gettime(CLOCK_MONOTONIC, &from);
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        work(arg);
        _exit(0);
    }
    int status;
    CHECK(waitpid(pid, &status, 0) == pid);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    clock_gettime(CLOCK_MONOTONIC, &to);
    return (uint64_t)(to.tv_sec - from.tv_sec) * 1000000 +
           (uint64_t)((to.tv_nsec - from.tv_nsec) / 1000) + 1000;
}

static void child_killed(void (*work)(void *), void *arg, uint64_t *state, uint64_t most_us)
{
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        err_clear();
        work(arg);
        _exit(0);
    }
    kill_later(pid, state, most_us);
}

static void copy_store(const char *from, const char *to)
{
    char path[IO_PATH_MAX], *bytes;
    size_t len;
    CHECK_OK(io_path(path, "%s/data.mdb", from));
    CHECK_OK(io_read_file(path, 1u << 30, &bytes, &len));
    CHECK_OK(io_path(path, "%s/data.mdb", to));
    CHECK_OK(io_mkdirs(to)); /* not synced: there are many of these */
    FILE *file = fopen(path, "wb");
    CHECK(file != NULL && fwrite(bytes, 1, len, file) == len && fclose(file) == 0);
    free(bytes);
}

struct job {
    const struct made *m;
    const struct chosen *c;
    const uint64_t *half, *all;
};

static void job_append(void *arg)
{
    const struct job *j = arg;
    CHECK_OK(append_part(test_path("now"), j->m, 50257, j->half, j->all));
}

static void job_remove(void *arg)
{
    const struct job *j = arg;
    struct store_removal done;
    CHECK_OK(store_remove(test_path("now"), j->c->ids, j->c->count, NULL, &done));
}

static void job_create(void *arg)
{
    const struct job *j = arg;
    CHECK_OK(build_part(test_path("now"), j->m, 50257, j->all));
}

/* Kills work again and again, each time on what the last kill left; after each the store is the old
 * one or the new one by its identity, or (when parts are allowed) one that verifies. */
static void kill_often(void (*work)(void *), struct job *j, struct hash128 old, struct hash128 new,
                       bool parts)
{
    uint64_t state = 77, most = child_time(work, j);
    int olds = 0, news = 0, others = 0;
    CHECK(same(identity_of(test_path("now")), new));
    for (int i = 0; i < KILLS; i++) {
        copy_store(test_path("old"), test_path("now"));
        for (int twice = 0; twice < 2; twice++) {
            child_killed(work, j, &state, most);
            struct hash128 id = identity_of(test_path("now"));
            check_verify(test_path("now"));
            if (same(id, old))
                olds++;
            else if (same(id, new))
                news++;
            else
                others++;
            if (same(id, new))
                break;
        }
    }
    CHECK(olds > 0);
    CHECK(parts || others == 0);
    /* And the same call ends it; what is then there is what an undisturbed one makes. */
    copy_store(test_path("old"), test_path("now"));
    child_killed(work, j, &state, most / 2);
    if (!same(identity_of(test_path("now")), new))
        child_time(work, j);
    CHECK(same(identity_of(test_path("now")), new));
    check_verify(test_path("now"));
    printf("     %d kills left the old store, %d the new one, %d one in between\n", olds, news,
           others);
}

static void job_open(struct job *j, struct made *m, uint64_t *half, uint64_t *all, struct chosen *c)
{
    log_open(LOG_QUIET); /* opening what a kill left warns */
    writer_txn_bytes = 300 << 10;
    made_open(m, test_path("whole"), 50257, 2, 1200, 600, 3);
    for (uint32_t d = 0; d < 2; d++) {
        all[d] = m->domain[d].docs;
        half[d] = all[d] / 4;
    }
    choose(c, m, 5, 11);
    *j = (struct job){m, c, half, all};
}

/* From half of the documents to all of them, in place or anew. */
static void growing_survives_kills(void (*work)(void *arg))
{
    struct job j;
    struct made m;
    static struct chosen c;
    uint64_t half[STORE_DOMAINS_MAX], all[STORE_DOMAINS_MAX];
    job_open(&j, &m, half, all, &c);
    CHECK_OK(build_part(test_path("old"), &m, 50257, half));
    copy_store(test_path("old"), test_path("now"));
    kill_often(work, &j, identity_of(test_path("old")), identity_of(test_path("whole")), false);
    chosen_close(&c);
    made_close(&m);
}

TEST_LIMIT(store_append_survives_kills, 120) { growing_survives_kills(job_append); }
TEST_LIMIT(store_create_survives_kills, 120) { growing_survives_kills(job_create); }

TEST_LIMIT(store_remove_survives_kills, 120)
{
    struct job j;
    struct made m;
    struct store_removal done;
    static struct chosen c;
    uint64_t half[STORE_DOMAINS_MAX], all[STORE_DOMAINS_MAX];
    job_open(&j, &m, half, all, &c);
    copy_store(test_path("whole"), test_path("old"));
    struct hash128 old = identity_of(test_path("old"));
    CHECK_OK(store_remove(test_path("whole"), c.ids, c.count, NULL, &done));
    copy_store(test_path("old"), test_path("now"));
    kill_often(job_remove, &j, old, identity_of(test_path("whole")), true);
    /* A kill behind the last block and in front of the wiping leaves a store that is the new one by
     * its identity and says that the removal is not over: the same call ends that too, and what was
     * left in free pages is gone. */
    child_time(job_remove, &j);
    check_removed(test_path("now"), &m, &c, 50257);
    chosen_close(&c);
    made_close(&m);
}

/* ---- files of earlier versions, and of this one as it was written first ---- */

/* tests/golden/store: 200 documents, document i of id 1000 + i in domain "short" when i % 5 is 0,
 * else in "long"; its token k is (7i + 13k + domain) % 299. v1 was written by the last program
 * whose version was 1; v2 got one document from another run, and lost those of ids 1003, 1005,
 * 1199; v3 has languages and scores as lang_check wants them. */
static const char *golden_open(int version)
{
    static char dir[IO_PATH_MAX];
    char from[IO_PATH_MAX], to[IO_PATH_MAX];
    struct io_reader *in;
    struct buf bytes = {0};
    char chunk[65536];
    int64_t got;
    CHECK_OK(io_path(from, "tests/golden/store/v%d.mdb.zst", version));
    if (!io_exists(from))
        test_skip("%s is not here: run from the root of the tree", from);
    CHECK_OK(io_open(&in, from));
    while ((got = io_read(in, chunk, sizeof chunk)) > 0)
        buf_str(&bytes, (struct str){chunk, (size_t)got});
    CHECK_OK(got);
    io_close(in);
    CHECK_OK(io_path(dir, "%s/golden-%d", test_dir(), version));
    CHECK_OK(io_path(to, "%s/data.mdb", dir));
    CHECK_OK(io_write_file(to, buf_view(&bytes)));
    buf_free(&bytes);
    return dir;
}

static void lang_check(const struct store_doc *doc, uint32_t i, bool known)
{
    const char *lang = i % 4 == 0 ? "" : i % 2 ? "en" : "zh-Hant";
    CHECK_STR(str_of(doc->lang), known ? lang : "");
    CHECK(known && i % 3 ? doc->lang_score == (float)i / 256 : isnan(doc->lang_score));
    CHECK(known && i % 7 ? doc->score == -(float)i : isnan(doc->score));
}

static void golden_check(const char *dir, int version)
{
    struct store *s;
    uint32_t ids[64], own[2] = {0};
    CHECK_OK(store_open(&s, dir));
    CHECK_INT(store_meta(s)->version, version);
    CHECK(store_knows_lang(s) == (version == 3));
    CHECK_INT(store_domain(s, "short"), 1);
    for (uint32_t i = 0; i < 200; i++) {
        uint32_t d = i % 5 == 0, n = d ? i % 3 : i % 40;
        struct store_doc doc;
        bool gone = version == 2 && (i == 3 || i == 5 || i == 199);
        CHECK(store_removed(s, d, own[d]) == gone);
        CHECK_OK(store_doc_at(s, d, own[d]++, &doc));
        CHECK_INT(doc.id, 1000 + i);
        CHECK_INT(doc.token_count, n + 1);
        lang_check(&doc, i, version == 3);
        CHECK_OK(store_read(s, d, doc.token_start, n + 1, ids));
        for (uint32_t k = 0; k < n; k++)
            CHECK_INT(ids[k + 1], gone ? 299 : (i * 7 + k * 13 + d) % 299);
    }
    const struct store_origin *o = store_origin_of(s, 11);
    CHECK((version == 2) == (o != NULL && strcmp(o->run, "/runs/other") == 0));
    CHECK_OK(store_verify(s));
    store_close(s);
}

TEST(store_reads_files_of_all_versions)
{
    golden_check(golden_open(1), 1);
    golden_check(golden_open(2), 2);
    golden_check(golden_open(3), 3);
}

/* A change in place makes a file of version 1 one of version 2, as the golden v2 was made, and what
 * is new in it has no language either. */
TEST(store_changes_files_of_earlier_versions)
{
    const char *dir = golden_open(1);
    const uint64_t gone[] = {1003, 1005, 1199};
    const uint32_t id = 7;
    struct store_meta meta = {.vocab_size = 300, .domain_count = 1, .eot = 299};
    struct store_origin o = {10, 2, {5, 6}, "abc", "/runs/other"};
    struct store_doc doc = {.id = 5000, .item = 11, .record = 3, .token_count = 1, .text_bytes = 2};
    snprintf(doc.lang, sizeof doc.lang, "de");
    struct store_writer *w;
    struct store_removal done;
    meta.tokenizer_hash = (struct hash128){11, 22};
    snprintf(meta.domain[0].name, sizeof meta.domain[0].name, "long");
    CHECK_OK(store_extend(&w, dir, &meta, &o, 1));
    CHECK_OK(store_append(w, 0, &doc, &id));
    CHECK_OK(store_commit(w, NULL));
    CHECK_OK(store_remove(dir, gone, 3, NULL, &done));
    CHECK_INT(done.documents, 3);
    golden_check(dir, 2);
    struct hash128 have = identity_of(dir);
    CHECK(same(have, identity_of(golden_open(2))));
}

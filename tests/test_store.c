/* test_store - what is written comes back, the same bytes every time, and no damage is fatal. */
#include "store/store.h"
#include "tests/store_made.h"

#include <dirent.h>
#include <fcntl.h>
#include <malloc.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* Every token, document and count of a store against what it was made from. */
static void check_all(struct store *s, const struct made *m)
{
    const struct store_meta *meta = store_meta(s);
    uint64_t *counts = calloc(meta->vocab_size, sizeof *counts);
    uint64_t *want = calloc(meta->vocab_size, sizeof *want);
    CHECK_INT(meta->domain_count, m->domains);
    for (uint32_t d = 0; d < m->domains; d++) {
        const struct made_domain *from = &m->domain[d];
        uint64_t bytes = 0;
        CHECK_INT(meta->domain[d].tokens, from->count);
        CHECK_INT(meta->domain[d].documents, from->docs);
        CHECK_INT(store_domain(s, meta->domain[d].name), d);
        uint32_t *ids = malloc((from->count + 1) * sizeof *ids);
        CHECK_OK(store_read(s, d, 0, (uint32_t)from->count, ids));
        CHECK(from->count == 0 || memcmp(ids, from->ids, from->count * sizeof *ids) == 0);
        for (uint64_t i = 0; i < from->count; i++)
            want[ids[i]]++;
        for (uint64_t i = 0; i < from->docs; i++) {
            struct store_doc doc;
            CHECK_OK(store_doc_at(s, d, i, &doc));
            CHECK(memcmp(&doc, &from->doc[i], sizeof doc) == 0);
            bytes += doc.text_bytes;
        }
        CHECK_INT(meta->domain[d].bytes, bytes);
        free(ids);
    }
    CHECK_OK(store_unigram(s, counts));
    CHECK(memcmp(counts, want, meta->vocab_size * sizeof *counts) == 0);
    CHECK_OK(store_verify(s));
    free(counts);
    free(want);
}

static void round_trip(uint32_t vocab, uint32_t domains, uint32_t docs, uint32_t doc_tokens)
{
    struct made m;
    struct store *s;
    made_open(&m, test_path("store"), vocab, domains, docs, doc_tokens, 1);
    CHECK_OK(store_open(&s, test_path("store")));
    CHECK_INT(store_meta(s)->token_bytes, vocab <= 65536 ? 2 : 4);
    CHECK_INT(store_meta(s)->eot, vocab - 1);
    CHECK(store_meta(s)->tokenizer_hash.low == 11 && store_meta(s)->tokenizer_hash.high == 22);
    check_all(s, &m);
    store_close(s);
    made_close(&m);
}

TEST(store_round_trip_u16) { round_trip(50257, 3, 3000, 300); }
TEST(store_round_trip_u16_full_vocabulary) { round_trip(65536, 2, 50, 20); }
TEST(store_round_trip_u32) { round_trip(65537, 3, 1500, 300); }
/* More documents than two blocks of the index hold, in a domain; many of them empty. */
TEST(store_round_trip_many_documents) { round_trip(300, 1, 20000, 3); }
TEST(store_round_trip_long_documents) { round_trip(50257, 2, 4, 700000); }
TEST(store_round_trip_all_domains) { round_trip(100, STORE_DOMAINS_MAX, 640, 5); }

TEST(store_of_nothing)
{
    struct made m;
    struct store *s;
    struct store_doc doc;
    uint32_t id;
    made_open(&m, test_path("store"), 10, 2, 0, 0, 1);
    CHECK_OK(store_open(&s, test_path("store")));
    check_all(s, &m);
    CHECK_OK(store_read(s, 1, 0, 0, &id));
    CHECK_ERR(store_read(s, 1, 0, 1, &id), ERR_LIMIT);
    CHECK_ERR(store_doc_at(s, 0, 0, &doc), ERR_LIMIT);
    CHECK_ERR(store_doc_of(s, 0, 0, NULL, &doc), ERR_LIMIT);
    CHECK_INT(store_domain(s, "no such"), -1);
    store_close(s);
    made_close(&m);
}

/* Windows at random and across every block's edge; the oracle is the array they were made from. */
TEST(store_reads_any_window)
{
    struct made m;
    struct store *s;
    uint64_t state = 4;
    uint32_t ids[5000];
    made_open(&m, test_path("store"), 70000, 2, 3000, 100, 2);
    CHECK_OK(store_open(&s, test_path("store")));
    for (int i = 0; i < 3000; i++) {
        uint32_t d = (uint32_t)(test_random(&state) % 2),
                 n = (uint32_t)(test_random(&state) % 5000);
        uint64_t at = test_random(&state) % (m.domain[d].count - n);
        if (i % 10 == 0)
            at = STORE_BLOCK_BYTES / 4 - n / 2;
        CHECK(m.domain[d].count > STORE_BLOCK_BYTES / 4 + 5000);
        store_prefetch(s, d, at, n);
        CHECK_OK(store_read(s, d, at, n, ids));
        CHECK(memcmp(ids, m.domain[d].ids + at, n * sizeof *ids) == 0);
    }
    uint64_t end = m.domain[0].count;
    CHECK_OK(store_read(s, 0, end - 1, 1, ids));
    CHECK_OK(store_read(s, 0, end, 0, ids));
    CHECK_ERR(store_read(s, 0, end, 1, ids), ERR_LIMIT);
    CHECK_ERR(store_read(s, 0, end - 1, 2, ids), ERR_LIMIT);
    CHECK_ERR(store_read(s, 0, UINT64_MAX, 1, ids), ERR_LIMIT);
    CHECK_ERR(store_read(s, 0, UINT64_MAX, UINT32_MAX, ids), ERR_LIMIT);
    store_prefetch(s, 0, UINT64_MAX, UINT64_MAX);
    store_prefetch(s, 0, 0, UINT64_MAX);
    store_close(s);
    made_close(&m);
}

TEST(store_tells_the_document_of_every_token)
{
    struct made m;
    struct store *s;
    made_open(&m, test_path("store"), 300, 2, 20000, 4, 3);
    CHECK_OK(store_open(&s, test_path("store")));
    for (uint32_t d = 0; d < 2; d++) {
        uint64_t pos = 0;
        for (uint64_t i = 0; i < m.domain[d].docs; i++) { /* slow twin: walk along */
            for (uint32_t k = 0; k < m.domain[d].doc[i].token_count; k++, pos++) {
                struct store_doc doc;
                uint64_t index;
                CHECK_OK(store_doc_of(s, d, pos, &index, &doc));
                CHECK_INT(index, i);
                CHECK(memcmp(&doc, &m.domain[d].doc[i], sizeof doc) == 0);
            }
        }
        CHECK_INT(pos, m.domain[d].count);
    }
    store_close(s);
    made_close(&m);
}

/* ---- the same bytes ---- */

static void build_in_child(const char *dir, int perturb, uint32_t docs)
{
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        struct made m;
        mallopt(M_PERTURB, perturb); /* what malloc hands out is full of these */
        free(malloc((size_t)perturb * 10000 + 1));
        made_open(&m, dir, 50257, 3, docs, 2000, 1);
        _exit(0);
    }
    int status;
    CHECK(waitpid(pid, &status, 0) == pid);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

TEST_LIMIT(store_same_documents_same_bytes, 180)
{
    struct io_info a, b;
    char path[IO_PATH_MAX];
    const char *one = test_path("one"), *two = test_path("two");
    /* 80 MB: more than one transaction, so that pages are freed and used again. */
    build_in_child(one, 0x11, 40000);
    build_in_child(two, 0xEE, 40000);
    CHECK_OK(io_path(path, "%s/data.mdb", one));
    CHECK_OK(io_hash_file(path, &a));
    CHECK_OK(io_path(path, "%s/data.mdb", two));
    CHECK_OK(io_hash_file(path, &b));
    CHECK(a.bytes > 70u << 20);
    CHECK(a.bytes == b.bytes && a.hash.low == b.hash.low && a.hash.high == b.hash.high);
    CHECK(!io_exists(test_path("one/lock.mdb")));
}

/* ---- kills, replacement, full disks ---- */

static int count_entries(const char *dir)
{
    struct dirent *entry;
    int count = 0;
    DIR *listing = opendir(dir);
    CHECK(listing != NULL);
    while ((entry = readdir(listing)) != NULL)
        count += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
    closedir(listing);
    return count;
}

TEST(store_killed_writer_leaves_nothing_at_dir)
{
    const char *folder = test_path("runs"), *dir = test_path("runs/store");
    CHECK_OK(io_mkdirs(folder));
    for (int i = 0; i < 5; i++) {
        pid_t pid = fork();
        CHECK(pid >= 0);
        if (pid == 0) {
            struct store_meta meta = made_meta(50257, 1);
            struct store_writer *w;
            uint32_t ids[1000] = {0};
            CHECK_OK(store_create(&w, dir, &meta));
            for (uint32_t record = 0;; record++) {
                struct store_doc doc = {.record = record, .token_count = COUNT_OF(ids)};
                CHECK_OK(store_append(w, 0, &doc, ids));
            }
        }
        struct timespec nap = {0, (20 + 30 * i) * 1000000};
        nanosleep(&nap, NULL);
        CHECK(kill(pid, SIGKILL) == 0);
        CHECK(waitpid(pid, NULL, 0) == pid);
        CHECK(!io_exists(dir));
        struct store *s;
        CHECK_ERR(store_open(&s, dir), ERR_IO);
    }
    /* The next writer clears up after them and works. */
    struct made m;
    struct store *s;
    made_open(&m, dir, 300, 1, 10, 10, 1);
    CHECK_INT(count_entries(folder), 1);
    CHECK_OK(store_open(&s, dir));
    check_all(s, &m);
    store_close(s);
    made_close(&m);
}

TEST(store_replaces_an_old_one)
{
    struct made one, two;
    struct store *old, *s;
    const char *folder = test_path("runs");
    char dir[IO_PATH_MAX];
    CHECK_OK(io_path(dir, "%s/store", folder));
    made_open(&one, dir, 300, 1, 500, 50, 1);
    CHECK_OK(store_open(&old, dir));
    char slash[IO_PATH_MAX];
    CHECK_OK(io_path(slash, "%s//", dir));
    made_open(&two, slash, 70000, 2, 100, 5, 2);
    CHECK_INT(count_entries(folder), 1);
    CHECK_INT(count_entries(dir), 1);
    CHECK_OK(store_open(&s, dir));
    check_all(s, &two);
    check_all(old, &one); /* who reads the old one goes on reading it */
    store_close(s);
    store_close(old);
    /* Abandoning leaves what is there. */
    struct store_meta meta = made_meta(9, 1);
    struct store_writer *w;
    CHECK_OK(store_create(&w, dir, &meta));
    CHECK_INT(count_entries(folder), 3); /* the store, the new one, the lock */
    store_abandon(w);
    CHECK_INT(count_entries(folder), 1);
    CHECK_OK(store_open(&s, dir));
    check_all(s, &two);
    store_close(s);
    made_close(&one);
    made_close(&two);
}

TEST(store_full_disk_is_told)
{
    const char *mount_at = test_path("small");
    CHECK_OK(io_mkdirs(mount_at));
    test_mount_small(mount_at);
    struct store_meta meta = made_meta(50257, 1);
    struct store_writer *w;
    uint32_t *ids = calloc(1 << 20, sizeof *ids);
    int rc = 0;
    CHECK_OK(store_create(&w, test_path("small/store"), &meta));
    for (uint32_t record = 0; record < 100 && rc >= 0; record++) {
        struct store_doc doc = {.record = record, .token_count = 1 << 20};
        rc = store_append(w, 0, &doc, ids);
    }
    CHECK_ERR(rc, ERR_AGAIN);
    CHECK(strstr(err_text(), "disk full") != NULL);
    store_abandon(w);
    CHECK_INT(count_entries(mount_at), 0);
    /* The same at the end: what fitted in one transaction is written by the commit. */
    CHECK_OK(store_create(&w, test_path("small/store"), &meta));
    for (uint32_t record = 0; record < 15; record++) {
        struct store_doc doc = {.record = record, .token_count = 1 << 20};
        CHECK_OK(store_append(w, 0, &doc, ids));
    }
    CHECK_ERR(store_commit(w, NULL), ERR_AGAIN);
    CHECK_INT(count_entries(mount_at), 0);
    free(ids);
}

/* ---- damage ---- */

static void put_byte(int fd, uint64_t at, unsigned char byte)
{
    CHECK(pwrite(fd, &byte, 1, (off_t)at) == 1);
}

TEST(store_cut_files_are_told)
{
    struct made m;
    struct store *s;
    char *bytes, path[IO_PATH_MAX];
    size_t len;
    made_open(&m, test_path("store"), 300, 2, 2000, 60, 1);
    CHECK_OK(io_path(path, "%s", test_path("store/data.mdb")));
    CHECK_OK(io_read_file(path, 1 << 24, &bytes, &len));
    int fd = open(path, O_RDWR);
    CHECK(fd >= 0);
    for (size_t cut = len - 1;; cut = cut > 3333 ? cut - 3333 : 0) {
        CHECK_INT(ftruncate(fd, (off_t)cut), 0);
        CHECK_ERR(store_open(&s, test_path("store")), ERR_FORMAT);
        if (cut == 0)
            break;
    }
    uint64_t state = 6;
    for (size_t i = 0; i < len; i++)
        bytes[i] = (char)test_random(&state);
    CHECK(pwrite(fd, bytes, len, 0) == (ssize_t)len);
    CHECK_ERR(store_open(&s, test_path("store")), ERR_FORMAT);
    CHECK_ERR(store_open(&s, test_path("no such store")), ERR_IO);
    close(fd);
    free(bytes);
    made_close(&m);
}

/* A leaf or branch by its header: its own number, and the flag of either. */
static bool is_tree_page(const char *bytes, uint64_t page)
{
    uint64_t number;
    memcpy(&number, bytes + page * 4096, sizeof number);
    return number == page && page > 1 && (bytes[page * 4096 + 10] & 3) != 0;
}

/* All calls are made on what opens, whatever they say; returns what opening or verifying said. */
static int use_all(const struct made *m, uint64_t *state)
{
    struct store *s;
    struct store_doc doc;
    uint32_t ids[64];
    TRY(store_open(&s, test_path("store")));
    for (uint32_t d = 0; d < 2; d++) {
        store_read(s, d, test_random(state) % m->domain[d].count, 64, ids);
        store_doc_of(s, d, test_random(state) % m->domain[d].count, NULL, &doc);
    }
    int rc = store_verify(s);
    if (rc >= 0)
        check_all(s, m); /* no check saw it, so nothing that is used has changed */
    store_close(s);
    return rc < 0 ? rc - 100 : 0;
}

/* A flipped bit anywhere, or up to 8 bytes of garbage in a page of the trees: opening fails, or
 * verification does, or it is in a byte that nothing uses. Never a signal. */
TEST_LIMIT(store_damage_is_never_fatal, 180)
{
    struct made m;
    char *bytes;
    size_t len;
    uint64_t state = 8;
    int refused = 0, found = 0, unused = 0;
    made_open(&m, test_path("store"), 300, 2, 3000, 60, 1);
    CHECK_OK(io_read_file(test_path("store/data.mdb"), 1 << 24, &bytes, &len));
    int fd = open(test_path("store/data.mdb"), O_RDWR);
    CHECK(fd >= 0);
    for (int trial = 0; trial < 1500; trial++) {
        size_t at = test_random(&state) % (len - 8), wide = 1 + test_random(&state) % 8;
        uint64_t garbage = test_random(&state);
        char bad[8];
        if (trial % 3) { /* these pages are few: two thirds of the trials go for them */
            size_t pages = len / 4096, page = test_random(&state) % pages;
            while (!is_tree_page(bytes, page))
                page = (page + 1) % pages;
            at = page * 4096 + test_random(&state) % (trial % 2 ? 64 : 4088);
        }
        memcpy(bad, bytes + at, sizeof bad);
        if (trial % 3 == 2)
            memcpy(bad, &garbage, wide);
        else
            bad[0] ^= (char)(1 << trial % 8);
        CHECK(pwrite(fd, bad, sizeof bad, (off_t)at) == sizeof bad);
        int rc = use_all(&m, &state);
        CHECK(rc == 0 || rc == ERR_FORMAT || rc == ERR_FORMAT - 100);
        refused += rc == ERR_FORMAT;
        found += rc == ERR_FORMAT - 100;
        unused += rc == 0;
        CHECK(pwrite(fd, bytes + at, sizeof bad, (off_t)at) == sizeof bad);
    }
    close(fd);
    free(bytes);
    made_close(&m);
    CHECK(refused > 120);
    CHECK(found > 300);
    CHECK(unused > 0);
}

TEST(store_verify_finds_any_flipped_bit_of_a_block)
{
    struct made m;
    struct store *s;
    char *bytes;
    size_t len, at = 0;
    made_open(&m, test_path("store"), 70000, 1, 1000, 200, 1);
    CHECK_OK(io_read_file(test_path("store/data.mdb"), 1 << 24, &bytes, &len));
    /* Where the first block lies: its first 4 KiB stand nowhere else. */
    while (at + 4096 < len && memcmp(bytes + at, m.domain[0].ids, 4096) != 0)
        at += 16;
    CHECK(at + STORE_BLOCK_BYTES < len);
    int fd = open(test_path("store/data.mdb"), O_RDWR);
    for (size_t k = 0; k < STORE_BLOCK_BYTES; k += 3271) {
        put_byte(fd, at + k, (unsigned char)bytes[at + k] ^ 1);
        CHECK_OK(store_open(&s, test_path("store")));
        CHECK_ERR(store_verify(s), ERR_FORMAT);
        CHECK(strstr(err_text(), "block 0 of the tokens of domain domain-0") != NULL);
        store_close(s);
        put_byte(fd, at + k, (unsigned char)bytes[at + k]);
    }
    close(fd);
    free(bytes);
    made_close(&m);
}

/* Where `len` bytes first stand in a file of `bytes`, in steps of `step`. */
static size_t find_bytes(const char *bytes, size_t total, const void *what, size_t len, size_t step)
{
    size_t at = 0;
    while (at + len < total && memcmp(bytes + at, what, len) != 0)
        at += step;
    CHECK(at + len < total);
    return at;
}

/* An id outside the vocabulary never gets to a model: in any place of a block, of both widths, also
 * when the sum of the block was made to fit. */
static void outside(uint32_t vocab, const char *dir)
{
    struct made m;
    struct store *s;
    char *bytes, path[IO_PATH_MAX];
    size_t len;
    uint32_t ids[200], width = vocab <= 65536 ? 2 : 4;
    unsigned char first[512];
    made_open(&m, dir, vocab, 1, 1000, 200, 1);
    for (uint32_t i = 0; i < sizeof first / width; i++)
        memcpy(first + (size_t)i * width, &m.domain[0].ids[i], width);
    CHECK_OK(io_path(path, "%s/data.mdb", dir));
    CHECK_OK(io_read_file(path, 1 << 24, &bytes, &len));
    size_t at = find_bytes(bytes, len, first, sizeof first, 16);
    uint64_t bytes_used = m.domain[0].count * width, sum;
    if (bytes_used > STORE_BLOCK_BYTES)
        bytes_used = STORE_BLOCK_BYTES;
    sum = hash64(bytes + at, bytes_used, 0);
    size_t sum_at = find_bytes(bytes, len, &sum, sizeof sum, 2);
    int fd = open(path, O_RDWR);
    for (uint64_t i = 0; i < bytes_used / width; i += i < 140 ? 7 : 9973) {
        size_t high = at + (size_t)i * width + width / 2;
        char was = bytes[high];
        bytes[high] = (char)(width == 2 ? 0xff : 0x02); /* 65280 of 50257, 131072 of 70000 */
        put_byte(fd, high, (unsigned char)bytes[high]);
        CHECK_OK(store_open(&s, dir));
        CHECK_ERR(store_read(s, 0, 0, 200, ids), ERR_FORMAT);
        CHECK(strstr(err_text(), "not what its sum says") != NULL);
        CHECK_ERR(store_read(s, 0, i ? 0 : 1, 1, ids), ERR_FORMAT); /* the block, whatever of it */
        CHECK_ERR(store_verify(s), ERR_FORMAT);
        store_close(s);
        sum = hash64(bytes + at, bytes_used, 0);
        CHECK(pwrite(fd, &sum, sizeof sum, (off_t)sum_at) == sizeof sum);
        CHECK_OK(store_open(&s, dir));
        CHECK_ERR(store_read(s, 0, 0, 200, ids), ERR_FORMAT);
        CHECK(strstr(err_text(), "outside the vocabulary") != NULL);
        CHECK_ERR(store_verify(s), ERR_FORMAT);
        store_close(s);
        bytes[high] = was;
        put_byte(fd, high, (unsigned char)was);
    }
    close(fd);
    free(bytes);
    made_close(&m);
}

TEST(store_read_refuses_ids_outside_the_vocabulary)
{
    outside(50257, test_path("narrow"));
    outside(70000, test_path("wide"));
}

/* ---- misuse ---- */

TEST(store_misuse_is_told)
{
    struct store_writer *w;
    uint32_t ids[] = {1, 2, 9};
    struct store_meta meta = made_meta(10, 2);
    const char *dir = test_path("store");
    struct store_doc doc = {.item = 1, .record = 5, .token_count = 2};
    CHECK_OK(store_create(&w, dir, &meta));
    CHECK_OK(store_append(w, 0, &doc, ids));
    CHECK_OK(store_append(w, 1, &doc, ids)); /* another domain has its own order */
    CHECK_ERR(store_append(w, 0, &doc, ids), ERR_FORMAT);
    store_abandon(w);
    CHECK_OK(store_create(&w, dir, &meta));
    ids[1] = 10;
    CHECK_ERR(store_append(w, 0, &doc, ids), ERR_FORMAT);
    store_abandon(w);
    CHECK(!io_exists(dir));
    meta.eot = 10;
    CHECK_ERR(store_create(&w, dir, &meta), ERR_USAGE);
    meta = made_meta(0, 2);
    CHECK_ERR(store_create(&w, dir, &meta), ERR_USAGE);
    meta = made_meta(10, 0);
    CHECK_ERR(store_create(&w, dir, &meta), ERR_USAGE);
    meta = made_meta(10, 2);
    meta.domain_count = STORE_DOMAINS_MAX + 1;
    CHECK_ERR(store_create(&w, dir, &meta), ERR_USAGE);
    meta = made_meta(10, 2);
    memcpy(meta.domain[1].name, meta.domain[0].name, sizeof meta.domain[0].name);
    CHECK_ERR(store_create(&w, dir, &meta), ERR_USAGE);
    memset(meta.domain[1].name, 'x', sizeof meta.domain[1].name);
    CHECK_ERR(store_create(&w, dir, &meta), ERR_USAGE);
    meta = made_meta(10, 2);
    CHECK_ERR(store_create(&w, "/proc/no/store", &meta), ERR_IO);
    CHECK_INT(count_entries(test_dir()), 0);
}

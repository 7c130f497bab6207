/* test_store_faults - locks, foreign file systems, full disks and damage, in stores that change. */
#include "store/layout.h"
#include "store/token_view.h"
#include "core/log.h"
#include "tests/store_made.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static struct hash128 identity_of(const char *dir)
{
    struct store *s;
    CHECK_OK(store_open(&s, dir));
    CHECK_OK(store_verify(s));
    struct hash128 id = store_identity(s);
    store_close(s);
    return id;
}

static bool same(struct hash128 a, struct hash128 b) { return a.low == b.low && a.high == b.high; }

/* ---- who may do what ---- */

/* A child that runs `hold`, tells us, and lives until *until is closed. */
static pid_t holder(void (*hold)(void), int *until)
{
    int ready[2], end[2];
    char byte;
    CHECK(pipe(ready) == 0 && pipe(end) == 0);
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        close(end[1]);
        hold();
        CHECK(write(ready[1], "x", 1) == 1);
        CHECK(read(end[0], &byte, 1) == 0);
        _exit(0);
    }
    close(end[0]);
    close(ready[1]);
    CHECK(read(ready[0], &byte, 1) == 1);
    close(ready[0]);
    *until = end[1];
    return pid;
}

static void holder_end(pid_t pid, int until)
{
    close(until);
    CHECK(waitpid(pid, NULL, 0) == pid);
}

static void hold_reader(void)
{
    struct store *s;
    CHECK_OK(store_open(&s, test_path("store")));
}

static void hold_writer(void)
{
    struct store_meta meta = made_meta(300, 1);
    struct store_writer *w;
    CHECK_OK(store_create(&w, test_path("store"), &meta));
}

static void hold_changer(void)
{
    struct store_meta meta = made_meta(300, 1);
    struct store_writer *w;
    CHECK_OK(store_extend(&w, test_path("store"), &meta, NULL, 0));
}

static void check_names(pid_t pid, const char *what)
{
    char want[64];
    snprintf(want, sizeof want, "%s%d", what, (int)pid);
    if (!strstr(err_text(), want))
        test_fail(__FILE__, __LINE__, "\"%s\" does not say \"%s\"", err_text(), want);
}

TEST(store_changes_wait_for_readers)
{
    struct made m;
    struct store_meta meta = made_meta(300, 1);
    struct store_writer *w;
    struct store_removal done;
    struct store *s;
    uint64_t id = 1;
    int until;
    made_open(&m, test_path("store"), 300, 1, 100, 20, 1);
    pid_t pid = holder(hold_reader, &until);
    CHECK_ERR(store_extend(&w, test_path("store"), &meta, NULL, 0), ERR_AGAIN);
    check_names(pid, "is being read by process ");
    CHECK_ERR(store_remove(test_path("store"), &id, 1, NULL, &done), ERR_AGAIN);
    check_names(pid, "is being read by process ");
    CHECK_OK(store_open(&s, test_path("store"))); /* readers do not mind one another */
    store_close(s);
    holder_end(pid, until);
    CHECK_OK(store_remove(test_path("store"), &id, 1, NULL, &done));
    made_close(&m);
}

TEST(store_second_writers_are_told_who_writes)
{
    struct made m;
    struct store_meta meta = made_meta(300, 1);
    struct store_writer *w;
    struct store_removal done;
    struct store *s;
    uint64_t id = 1;
    int until;
    made_open(&m, test_path("store"), 300, 1, 100, 20, 1);
    for (int change = 0; change < 2; change++) {
        pid_t pid = holder(change ? hold_changer : hold_writer, &until);
        CHECK_ERR(store_create(&w, test_path("store"), &meta), ERR_AGAIN);
        check_names(pid, "is being written by process ");
        CHECK(strstr(err_text(), " on ") != NULL && strstr(err_text(), "unit") != NULL);
        CHECK_ERR(store_extend(&w, test_path("store/"), &meta, NULL, 0), ERR_AGAIN);
        check_names(pid, "is being written by process ");
        CHECK_ERR(store_remove(test_path("store"), &id, 1, NULL, &done), ERR_AGAIN);
        if (change) {
            CHECK_ERR(store_open(&s, test_path("store")), ERR_AGAIN);
            check_names(pid, "is being changed by process ");
        } else { /* one that builds anew keeps nobody from reading */
            CHECK_OK(store_open(&s, test_path("store")));
            store_close(s);
        }
        kill(pid, SIGKILL);
        holder_end(pid, until);
        CHECK(io_exists(test_path("store.lock"))); /* left by the killed one, and no hindrance */
        CHECK_OK(store_open(&s, test_path("store")));
        store_close(s);
    }
    CHECK_OK(store_create(&w, test_path("store"), &meta));
    store_abandon(w);
    CHECK(!io_exists(test_path("store.lock")));
    made_close(&m);
}

/* Many writers at once: one at a time gets in, and no lock is lost between removing and taking. */
TEST(store_lock_lets_one_in)
{
    enum { CHILDREN = 6, ROUNDS = 300 };
    pid_t pid[CHILDREN];
    const char *inside = test_path("inside");
    for (int i = 0; i < CHILDREN; i++) {
        pid[i] = fork();
        CHECK(pid[i] >= 0);
        if (pid[i])
            continue;
        for (int k = 0; k < ROUNDS; k++) {
            int fd;
            if (writer_lock(test_path("store"), &fd) < 0)
                continue;
            int mine = open(inside, O_CREAT | O_EXCL | O_WRONLY, 0666);
            if (mine < 0)
                _exit(1); /* somebody else is in */
            close(mine);
            unlink(inside);
            writer_unlock(test_path("store"), fd);
        }
        _exit(0);
    }
    for (int i = 0; i < CHILDREN; i++) {
        int status;
        CHECK(waitpid(pid[i], &status, 0) == pid[i]);
        CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    }
}

/* ---- network file systems ---- */

static uint64_t network_type;
static uint64_t type_network(const char *path)
{
    UNUSED(path);
    return network_type;
}

static const char *fuse_kind = "fuse.sshfs";
static void kind_fuse(const char *path, char to[FS_KIND_MAX])
{
    UNUSED(path);
    snprintf(to, FS_KIND_MAX, "%s", fuse_kind);
}

TEST(store_network_file_systems_are_refused)
{
    static const struct {
        uint64_t type;
        const char *name;
    } known[] = {{0x6969, "NFS"},      {0xFE534D42, "SMB2"},  {0xFF534D42, "CIFS"},
                 {0x5346414F, "AFS"},  {0x01021997, "9P"},    {0x00C36400, "CEPH"},
                 {0x65735546, "FUSE"}, {0x0BD00BD0, "Lustre"}};
    struct made m;
    struct store *s;
    struct store_writer *w;
    struct store_removal done;
    struct store_meta meta = made_meta(300, 1);
    uint64_t id = 1;
    made_open(&m, test_path("store"), 300, 1, 100, 20, 1);
    fs_type = type_network;
    fs_kind = kind_fuse;
    for (size_t i = 0; i < COUNT_OF(known); i++) {
        network_type = known[i].type;
        unsetenv("SLUICE_NETWORK_STORE");
        CHECK_ERR(store_open(&s, test_path("store")), ERR_USAGE);
        CHECK(strstr(err_text(), known[i].name) && strstr(err_text(), "copy it to a local disk"));
        setenv("SLUICE_NETWORK_STORE", "1", 1);
        CHECK_OK(store_open(&s, test_path("store")));
        store_close(s);
        CHECK_ERR(store_create(&w, test_path("other"), &meta), ERR_USAGE);
        CHECK(strstr(err_text(), known[i].name) &&
              strstr(err_text(), "write the store to a local"));
        CHECK_ERR(store_extend(&w, test_path("store"), &meta, NULL, 0), ERR_USAGE);
        CHECK_ERR(store_remove(test_path("store"), &id, 1, NULL, &done), ERR_USAGE);
    }
    static const uint64_t local[] = {0xEF53, 0x01021994, 0x58465342, 0x9123683E, 0x794C7630, 0};
    unsetenv("SLUICE_NETWORK_STORE"); /* ext4, tmpfs, XFS, btrfs, overlayfs, unknown */
    for (size_t i = 0; i < COUNT_OF(local); i++) {
        network_type = local[i];
        CHECK_OK(store_open(&s, test_path("store")));
        store_close(s);
    }
    network_type = 0x65735546;
    fuse_kind = "fuse.fuse-overlayfs"; /* a container without root */
    CHECK_OK(store_open(&s, test_path("store")));
    store_close(s);
    CHECK(!io_exists(test_path("other")) && !io_exists(test_path("other.lock")));
    made_close(&m);
}

/* ---- disks that are full or fail ---- */

/* Appends documents of a mega token until that fails. */
static int append_much(const char *dir, uint32_t documents)
{
    struct store_meta meta = made_meta(50257, 1);
    struct store_writer *w;
    uint32_t *ids = calloc(1 << 20, sizeof *ids);
    int rc = store_extend(&w, dir, &meta, NULL, 0);
    for (uint32_t i = 0; i < documents && rc >= 0; i++) {
        struct store_doc doc = {.item = 1000, .record = i, .token_count = 1 << 20};
        rc = store_append(w, 0, &doc, ids);
        if (rc < 0)
            store_abandon(w);
    }
    free(ids);
    return rc < 0 ? rc : store_commit(w, NULL);
}

TEST(store_full_disk_while_appending_keeps_the_store)
{
    struct made m;
    const char *dir = test_path("small/store");
    CHECK_OK(io_mkdirs(test_path("small")));
    test_mount_small(test_path("small"));
    made_open(&m, dir, 50257, 1, 2000, 1000, 1);
    struct hash128 before = identity_of(dir);
    for (int i = 0; i < 3; i++) {
        /* In the middle, where a transaction of 64 MiB ends, and in the last one. */
        CHECK_ERR(append_much(dir, i == 1 ? 12 : 100), ERR_AGAIN);
        CHECK(strstr(err_text(), "disk full") != NULL);
        CHECK(same(before, identity_of(dir)));
    }
    CHECK_OK(append_much(dir, 1)); /* what does fit still does */
    CHECK(!same(before, identity_of(dir)));
    made_close(&m);
}

TEST(store_full_disk_while_removing_keeps_the_store)
{
    struct made m;
    struct store *s;
    struct store_removal done;
    const char *dir = test_path("small/store");
    uint64_t *ids;
    CHECK_OK(io_mkdirs(test_path("small")));
    test_mount_small(test_path("small"));
    /* 12 MB, of which every block is to be written anew, beside the old ones. */
    made_open(&m, dir, 50257, 1, 6000, 1000, 1);
    ids = calloc(m.domain[0].docs, sizeof *ids);
    for (uint64_t i = 0; i < m.domain[0].docs / 2; i++)
        ids[i] = m.domain[0].doc[2 * i].id;
    CHECK_ERR(store_remove(dir, ids, m.domain[0].docs / 2, NULL, &done), ERR_AGAIN);
    CHECK(strstr(err_text(), "disk full") != NULL);
    CHECK_OK(store_open(&s, dir));
    CHECK_OK(store_verify(s));
    CHECK(s->change == CHANGE_REMOVE || store_removed_count(s, 0) == 0);
    store_close(s);
    free(ids);
    made_close(&m);
}

/* A write that fails though the disk is not full is not called a full disk. */
TEST(store_failing_writes_are_told)
{
    struct made m;
    struct rlimit limit;
    const char *dir = test_path("store");
    made_open(&m, dir, 50257, 1, 100, 100, 1);
    struct hash128 before = identity_of(dir);
    signal(SIGXFSZ, SIG_IGN);
    CHECK(getrlimit(RLIMIT_FSIZE, &limit) == 0);
    limit.rlim_cur = 8 << 20;
    CHECK(setrlimit(RLIMIT_FSIZE, &limit) == 0);
    CHECK_ERR(append_much(dir, 100), ERR_IO);
    CHECK(strstr(err_text(), "disk full") == NULL && strstr(err_text(), "write to") != NULL);
    CHECK(same(before, identity_of(dir)));
    made_close(&m);
}

/* Pages that cannot be read are an error where touching them would be SIGBUS; here because the file
 * was cut while it was open, else because the disk fails. */
TEST(store_unreadable_blocks_are_told)
{
    struct made m;
    struct store *s;
    uint32_t id;
    int said = 0;
    made_open(&m, test_path("store"), 50257, 1, 2000, 1000, 1);
    CHECK_OK(store_open(&s, test_path("store")));
    CHECK(truncate(test_path("store/data.mdb"), 1 << 20) == 0);
    for (uint64_t at = 0; at < m.domain[0].count; at += STORE_BLOCK_BYTES / 2) {
        pid_t pid = fork();
        CHECK(pid >= 0);
        if (pid == 0) {
            int rc = store_read(s, 0, at, 1, &id);
            _exit(rc == 0 ? 0 : rc == ERR_IO && strstr(err_text(), "cannot be read") ? 1 : 2);
        }
        int status;
        CHECK(waitpid(pid, &status, 0) == pid);
        if (WIFSIGNALED(status) && WTERMSIG(status) == SIGBUS)
            test_skip("this kernel is older than 5.14 and has no MADV_POPULATE_READ");
        CHECK(WIFEXITED(status) && WEXITSTATUS(status) < 2);
        said += WEXITSTATUS(status) == 1;
    }
    CHECK(said > 5);
    store_close(s);
    made_close(&m);
}

/* ---- many threads ---- */

struct reading {
    struct store *s;
    const struct made *m;
    uint64_t seed;
    int wrong;
};

static void *read_windows(void *arg)
{
    struct reading *r = arg;
    uint64_t state = r->seed;
    uint32_t ids[300];
    for (int i = 0; i < 3000; i++) {
        uint64_t at = test_random(&state) % (r->m->domain[0].count - 300);
        struct store_doc doc;
        if (store_read(r->s, 0, at, 300, ids) < 0 ||
            memcmp(ids, r->m->domain[0].ids + at, sizeof ids) != 0 ||
            store_doc_of(r->s, 0, at, NULL, &doc) < 0 || doc.token_start > at)
            r->wrong++;
    }
    return NULL;
}

TEST(store_first_reads_from_many_threads)
{
    enum { THREADS = 8 };
    struct made m;
    struct store *s;
    struct reading r[THREADS];
    pthread_t thread[THREADS];
    made_open(&m, test_path("store"), 300, 1, 20000, 200, 1);
    for (int round = 0; round < 4; round++) {
        CHECK_OK(store_open(&s, test_path("store")));
        for (int i = 0; i < THREADS; i++) {
            r[i] = (struct reading){s, &m, (uint64_t)(round * THREADS + i + 1), 0};
            CHECK(pthread_create(&thread[i], NULL, read_windows, &r[i]) == 0);
        }
        for (int i = 0; i < THREADS; i++) {
            CHECK(pthread_join(thread[i], NULL) == 0);
            CHECK_INT(r[i].wrong, 0);
        }
        store_close(s);
    }
    made_close(&m);
}

/* A window ends where a block does, is aligned, and holds what store_read gives. */
TEST(store_windows_are_what_is_read)
{
    static const uint32_t vocabs[] = {300, 70000};
    for (size_t k = 0; k < COUNT_OF(vocabs); k++) {
        struct made m;
        struct store *s;
        uint64_t state = 3;
        const char *dir = test_path(k ? "wide" : "narrow");
        made_open(&m, dir, vocabs[k], 30, 3000, 400, 1);
        CHECK_OK(store_open(&s, dir));
        uint32_t width = store_meta(s)->token_bytes, rows = STORE_BLOCK_BYTES / width;
        for (int i = 0; i < 5000; i++) {
            uint32_t d = (uint32_t)(test_random(&state) % 30);
            uint64_t at = test_random(&state) % m.domain[d].count, left = m.domain[d].count - at;
            uint32_t count = (uint32_t)(test_random(&state) % (left + 1)), have, id;
            const void *window = NULL;
            CHECK_OK(store_window(s, d, at, count, &window, &have));
            CHECK_INT(have, count < rows - at % rows ? count : rows - at % rows);
            CHECK((uintptr_t)window % width == 0);
            for (uint32_t n = 0; n < have; n += 1 + have / 50) {
                id = width == 2 ? ((const uint16_t *)window)[n] : ((const uint32_t *)window)[n];
                CHECK(id == m.domain[d].ids[at + n]);
            }
            CHECK_ERR(store_window(s, d, at, (uint32_t)left + 1, &window, &have), ERR_LIMIT);
            CHECK_INT(have, 0);
        }
        store_close(s);
        made_close(&m);
    }
}

/* ---- damage ---- */

/* All that reading a store calls, whatever it says. */
static int use_all(const char *dir)
{
    struct store *s;
    struct token_view view;
    uint32_t ids[64], count;
    TRY(store_open(&s, dir));
    for (uint32_t d = 0; d < store_meta(s)->domain_count; d++) {
        if (token_view_domain(&view, s, d) >= 0)
            token_view_close(&view);
        store_read(s, d, 0, 64, ids);
    }
    store_origins(s, &count);
    for (uint32_t i = 0; i < count; i++)
        store_origin_of(s, i * 3);
    int rc = store_verify(s);
    store_close(s);
    return rc;
}

/* Flipped bits and garbage in a store with removals, origins and the rests of an append: opening
 * fails, or verifying does, or all is as it was; and changing it ends in an error or a store that
 * can be verified, never in a signal. */
TEST_LIMIT(store_damage_in_a_changed_store_is_never_fatal, 180)
{
    struct made m;
    struct store_removal done;
    struct store_meta meta = made_meta(300, 2);
    struct store_writer *w;
    char *bytes;
    size_t len;
    uint64_t state = 8, ids[300];
    int refused = 0, found = 0, unused = 0, changed = 0;
    const char *dir = test_path("store"), *file = test_path("store/data.mdb");
    struct store_origin origin = {.first_item = 500, .item_count = 3, .run = "/runs/1"};
    log_open(LOG_QUIET);
    made_open(&m, dir, 300, 2, 1500, 30, 1);
    for (int i = 0; i < 300; i++)
        ids[i] = m.domain[i % 2].doc[i].id;
    CHECK_OK(store_remove(dir, ids, 200, NULL, &done));
    CHECK_OK(store_extend(&w, dir, &meta, &origin, 1));
    CHECK_OK(store_commit(w, NULL));
    CHECK_OK(io_read_file(file, 1 << 24, &bytes, &len));
    struct hash128 before = identity_of(dir);
    int fd = open(file, O_RDWR);
    CHECK(fd >= 0);
    for (int trial = 0; trial < 60; trial++) {
        size_t at = test_random(&state) % (len - 8);
        if (trial % 4) { /* pages of the trees are few: most trials go for them */
            uint64_t page = test_random(&state) % (len / 4096), number;
            do {
                page = (page + 1) % (len / 4096);
                memcpy(&number, bytes + page * 4096, sizeof number);
            } while (page > 1 && (number != page || (bytes[page * 4096 + 10] & 3) == 0));
            at = page * 4096 + test_random(&state) % (trial % 2 ? 64 : 4088);
        }
        uint64_t bad;
        memcpy(&bad, bytes + at, sizeof bad);
        bad = trial % 3 ? bad ^ (uint64_t)1 << test_random(&state) % 64 : test_random(&state);
        CHECK(pwrite(fd, &bad, sizeof bad, (off_t)at) == sizeof bad);
        int rc = use_all(dir);
        CHECK(rc == 0 || rc == ERR_FORMAT || rc == ERR_LIMIT);
        if (rc == 0) {
            CHECK(same(identity_of(dir), before));
            unused++;
        } else {
            refused++;
        }
        if (trial % 2) {
            rc = store_remove(dir, ids + 200, 100, NULL, &done);
        } else {
            rc = store_extend(&w, dir, &meta, NULL, 0);
            if (rc >= 0)
                rc = store_commit(w, NULL);
        }
        changed += rc >= 0;
        found += rc < 0;
        CHECK(pwrite(fd, bytes, len, 0) == (ssize_t)len && ftruncate(fd, (off_t)len) == 0);
    }
    CHECK(same(identity_of(dir), before));
    CHECK(refused > 5 && found > 5 && unused > 0 && changed > 0);
    close(fd);
    free(bytes);
    made_close(&m);
}

/* Where a block lies in a file: its beginning stands nowhere else. */
static size_t block_find(const char *bytes, size_t len, const void *begin, size_t begin_bytes)
{
    const char *at = memmem(bytes, len, begin, begin_bytes);
    CHECK(at != NULL);
    return (size_t)(at - bytes);
}

/* A flipped bit in any block: the first read of it names the block, the others read as they were.
 */
TEST(store_first_read_names_the_damaged_block)
{
    enum { ROWS = STORE_BLOCK_BYTES / 4 };
    struct made m;
    char *bytes, want[96];
    size_t len;
    uint64_t state = 5;
    const char *dir = test_path("store"), *file = test_path("store/data.mdb");
    made_open(&m, dir, 70000, 2, 20000, 20, 1);
    CHECK_OK(io_read_file(file, 1 << 26, &bytes, &len));
    int fd = open(file, O_RDWR);
    for (uint32_t d = 0; d < 2; d++)
        for (int kind = 0; kind < KIND_COUNT; kind++) {
            uint64_t rows = kind == KIND_TOKENS ? ROWS : docs_per_block(STORE_VERSION);
            uint64_t all = kind == KIND_TOKENS ? m.domain[d].count : m.domain[d].docs;
            for (uint64_t b = 0; b * rows < all; b++) {
                uint64_t here = all - b * rows < rows ? all - b * rows : rows;
                const void *from = kind == KIND_TOKENS ? (const void *)(m.domain[d].ids + b * rows)
                                                       : (const void *)(m.domain[d].doc + b * rows);
                size_t size = here * (kind == KIND_TOKENS ? 4 : sizeof(struct store_doc));
                size_t at = block_find(bytes, len, from, size) + test_random(&state) % size;
                unsigned char bad = (unsigned char)(bytes[at] ^ 1 << test_random(&state) % 8);
                struct store *s;
                CHECK(pwrite(fd, &bad, 1, (off_t)at) == 1);
                CHECK_OK(store_open(&s, dir));
                snprintf(want, sizeof want, "block %llu of the %s of domain domain-%u ",
                         (unsigned long long)b, store_kind_names[kind], d);
                for (uint64_t k = 0; k * rows < all; k++) {
                    uint32_t id;
                    struct store_doc doc;
                    int rc = kind == KIND_TOKENS ? store_read(s, d, k * rows, 1, &id)
                                                 : store_doc_at(s, d, k * rows, &doc);
                    CHECK_INT(rc, k == b ? ERR_FORMAT : 0);
                    if (k == b && (!strstr(err_text(), want) || !strstr(err_text(), "data.mdb")))
                        test_fail(__FILE__, __LINE__, "%s: not %s", err_text(), want);
                }
                store_close(s);
                CHECK(pwrite(fd, bytes + at, 1, (off_t)at) == 1);
            }
        }
    close(fd);
    free(bytes);
    made_close(&m);
}

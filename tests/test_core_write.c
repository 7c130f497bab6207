/* test_core_write - atomic files under kills and full disks, leftovers, globs, manifests. */
#include "core/io.h"
#include "tests/test.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static void check_holds(const char *path, const char *want)
{
    char *bytes;
    size_t len;
    CHECK_OK(io_read_file(path, 1 << 20, &bytes, &len));
    CHECK_STR(((struct str){bytes, len}), want);
    free(bytes);
}

/* ---- the writer ---- */

static const char *temp_of(const char *name, pid_t pid)
{
    char temp[300];
    snprintf(temp, sizeof temp, "%s.tmp-%d", name, (int)pid);
    return test_path(temp);
}

/* A kill after `writes` writes: path is absent or as it was, and the sweep takes the leftover. */
TEST(core_write_killed)
{
    char *zeros = calloc(1, 1 << 20);
    for (int old = 0; old < 2; old++)
        for (int writes = 0; writes < 3; writes++) {
            if (old)
                CHECK_OK(io_write_file(test_path("a"), STR("old")));
            pid_t pid = fork();
            if (pid == 0) {
                struct io_writer *w;
                CHECK_OK(io_create(&w, test_path("a"), (enum io_format)writes, 0));
                for (int i = 0; i < writes; i++)
                    CHECK_OK(io_write(w, zeros, 1 << 20));
                raise(SIGKILL);
            }
            int status;
            waitpid(pid, &status, 0);
            CHECK(WIFSIGNALED(status));
            CHECK(io_exists(test_path("a")) == (old == 1));
            if (old)
                check_holds(test_path("a"), "old");
            CHECK(io_exists(temp_of("a", pid)));
            CHECK_OK(io_sweep_temps(test_dir()));
            CHECK(!io_exists(temp_of("a", pid)));
        }
    free(zeros);
}

/* RLIMIT_FSIZE makes write() fail in the middle, as a full disk does. */
TEST(core_write_no_room)
{
    struct rlimit limit = {.rlim_cur = 100000, .rlim_max = RLIM_INFINITY};
    const struct rlimit none = {.rlim_cur = RLIM_INFINITY, .rlim_max = RLIM_INFINITY};
    uint64_t seed = 1;
    char noise[4096];
    signal(SIGXFSZ, SIG_IGN);
    CHECK_OK(io_write_file(test_path("a"), STR("old")));
    for (int f = IO_PLAIN; f <= IO_GZIP; f++) {
        struct io_writer *w;
        struct io_info info;
        int rc = 0;
        CHECK(setrlimit(RLIMIT_FSIZE, &limit) == 0);
        CHECK_OK(io_create(&w, test_path("a"), (enum io_format)f, 0));
        for (int i = 0; i < 200 && rc == 0; i++) {
            for (size_t k = 0; k < sizeof noise; k++)
                noise[k] = (char)test_random(&seed);
            rc = io_write(w, noise, sizeof noise);
        }
        CHECK_INT(rc, ERR_IO);
        CHECK(strstr(err_text(), "/a at byte"));
        /* The failure sticks even when there is room again: neither more bytes nor a commit can
         * make a file with a hole in it look whole. */
        CHECK(setrlimit(RLIMIT_FSIZE, &none) == 0);
        CHECK_ERR(io_write(w, noise, 1), ERR_IO);
        CHECK_ERR(io_commit(w, &info), ERR_IO);
        CHECK(strstr(err_text(), "/a at byte"));
        check_holds(test_path("a"), "old");
        CHECK(!io_exists(temp_of("a", getpid())));
    }
    /* Bytes still gathered fail at commit, not before. */
    struct io_writer *w;
    limit.rlim_cur = 10;
    CHECK_OK(io_create(&w, test_path("a"), IO_PLAIN, 0));
    CHECK_OK(io_write(w, noise, sizeof noise));
    CHECK(setrlimit(RLIMIT_FSIZE, &limit) == 0);
    CHECK_ERR(io_commit(w, NULL), ERR_IO);
    check_holds(test_path("a"), "old");
    CHECK(!io_exists(temp_of("a", getpid())));
}

TEST(core_write_abandon)
{
    struct io_writer *w;
    CHECK_OK(io_write_file(test_path("a"), STR("old")));
    CHECK_OK(io_create(&w, test_path("a"), IO_ZSTD, 0));
    CHECK_OK(io_write_str(w, STR("new")));
    CHECK(io_exists(temp_of("a", getpid())));
    io_abandon(w);
    io_abandon(NULL);
    CHECK(!io_exists(temp_of("a", getpid())));
    check_holds(test_path("a"), "old");
}

/* The folder was taken away under the writer: rename fails, and says so. */
TEST(core_write_folder_gone)
{
    struct io_writer *w;
    CHECK_OK(io_create(&w, test_path("sub/a"), IO_PLAIN, 0));
    CHECK_OK(io_remove_tree(test_path("sub")));
    CHECK_ERR(io_commit(w, NULL), ERR_IO);
    CHECK(strstr(err_text(), "rename"));
}

TEST(core_write_refuses)
{
    struct io_writer *w, *second;
    CHECK_ERR(io_create(&w, test_dir(), IO_PLAIN, 0), ERR_USAGE);
    CHECK_ERR(io_create(&w, test_path("x/"), IO_PLAIN, 0), ERR_USAGE);
    CHECK_ERR(io_create(&w, "", IO_PLAIN, 0), ERR_USAGE);
    CHECK_ERR(io_create(&w, "/dev/null", IO_PLAIN, 0), ERR_USAGE);
    CHECK_OK(io_write_file(test_path("file"), STR("")));
    CHECK_ERR(io_create(&w, test_path("file/below"), IO_PLAIN, 0), ERR_USAGE);
    char longer[IO_PATH_MAX + 10];
    memset(longer, 'a', sizeof longer);
    longer[sizeof longer - 1] = 0;
    CHECK_ERR(io_create(&w, longer, IO_PLAIN, 0), ERR_LIMIT);
    /* Two writers of one path: the second is told, the first is not harmed. */
    CHECK_OK(io_create(&w, test_path("a"), IO_PLAIN, 0));
    CHECK_ERR(io_create(&second, test_path("a"), IO_PLAIN, 0), ERR_IO);
    CHECK(strstr(err_text(), "locked"));
    CHECK_OK(io_write_str(w, STR("first")));
    CHECK_OK(io_commit(w, NULL));
    check_holds(test_path("a"), "first");
}

/* In a container the next process often has the number of the one that died. */
TEST(core_write_over_own_leftover)
{
    CHECK_OK(io_write_file(test_path("left"), STR("much longer than what comes")));
    CHECK(rename(test_path("left"), temp_of("a", getpid())) == 0);
    CHECK_OK(io_write_file(test_path("a"), STR("short")));
    check_holds(test_path("a"), "short");
    CHECK(!io_exists(temp_of("a", getpid())));
}

TEST(core_write_sweep)
{
    int ready[2];
    char byte;
    CHECK(pipe(ready) == 0);
    pid_t pid = fork();
    if (pid == 0) {
        struct io_writer *w;
        CHECK_OK(io_create(&w, test_path("sub/live"), IO_PLAIN, 0));
        CHECK(write(ready[1], "x", 1) == 1);
        pause();
    }
    CHECK(read(ready[0], &byte, 1) == 1);
    /* The same writer as seen from another machine: its number is nobody's here, its lock holds. */
    CHECK(link(temp_of("sub/live", pid), test_path("far.tmp-2147483647")) == 0);
    const char *stay[] = {"b.tmp-", "b.tmp-12x", ".tmp-2147483646", "b.tmp", "b-2147483646"};
    for (size_t i = 0; i < COUNT_OF(stay); i++)
        CHECK_OK(io_write_file(test_path(stay[i]), STR("")));
    CHECK_OK(io_mkdirs(test_path("dir.tmp-2147483646")));
    CHECK_OK(io_write_file(test_path("from"), STR("")));
    CHECK(rename(test_path("from"), test_path("sub/gone.tmp-2147483646")) == 0);
    CHECK(symlink(test_path("b.tmp"), test_path("link.tmp-2147483646")) == 0);
    CHECK_OK(io_sweep_temps(test_dir()));
    for (size_t i = 0; i < COUNT_OF(stay); i++)
        CHECK(io_exists(test_path(stay[i])));
    CHECK(io_exists(temp_of("sub/live", pid)));
    CHECK(io_exists(test_path("far.tmp-2147483647")));
    CHECK(io_exists(test_path("dir.tmp-2147483646")));
    CHECK(io_exists(test_path("link.tmp-2147483646")));
    CHECK(!io_exists(test_path("sub/gone.tmp-2147483646")));
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    CHECK_OK(io_sweep_temps(test_dir()));
    CHECK(!io_exists(temp_of("sub/live", pid)));
    CHECK(!io_exists(test_path("far.tmp-2147483647")));
    CHECK_OK(io_sweep_temps(test_path("nowhere")));
}

/* ---- folders and globs ---- */

TEST(core_write_remove_tree)
{
    CHECK_OK(io_write_file(test_path("keep/file"), STR("kept")));
    CHECK_OK(io_write_file(test_path("tree/a/b/c"), STR("x")));
    CHECK(symlink(test_path("keep"), test_path("tree/a/link")) == 0);
    CHECK(symlink(test_path("keep"), test_path("link")) == 0);
    CHECK_OK(io_remove_tree(test_path("tree")));
    CHECK(!io_exists(test_path("tree")));
    CHECK_OK(io_remove_tree(test_path("link")));
    check_holds(test_path("keep/file"), "kept");
    CHECK_OK(io_remove_tree(test_path("tree")));
    CHECK_ERR(io_mkdirs(test_path("keep/file/x")), ERR_USAGE);
    CHECK_OK(io_mkdirs(test_path("keep//x/y/")));
    CHECK_OK(io_mkdirs(test_path("keep/x/y")));
}

TEST(core_write_glob)
{
    struct arena a;
    const char **paths;
    size_t count;
    char pattern[IO_PATH_MAX];
    static const char *const files[] = {"d[1]/b.gz", "d[1]/a.gz", "d[1]/A.gz", "d[1]/.hidden",
                                        "d[1]/sub/x.gz", "c*.gz", "caa.gz"};
    CHECK_OK(arena_open(&a, 1 << 20));
    for (size_t i = 0; i < COUNT_OF(files); i++)
        CHECK_OK(io_write_file(test_path(files[i]), STR("")));
    CHECK(link(test_path("caa.gz"), test_path("d[1]/c.gz.tmp-99")) == 0);
    CHECK_OK(io_glob(test_path("d[1]"), &a, &paths, &count));
    CHECK_INT(count, 3);
    CHECK_STR(str_of(paths[0]), test_path("d[1]/A.gz"));
    CHECK_STR(str_of(paths[1]), test_path("d[1]/a.gz"));
    CHECK_STR(str_of(paths[2]), test_path("d[1]/b.gz"));
    /* A name that exists is that file, whatever a pattern would make of it. */
    CHECK_OK(io_glob(test_path("c*.gz"), &a, &paths, &count));
    CHECK_INT(count, 1);
    CHECK_STR(str_of(paths[0]), test_path("c*.gz"));
    CHECK_OK(io_glob(test_path("c?a.gz"), &a, &paths, &count));
    CHECK_INT(count, 1);
    CHECK_OK(io_path(pattern, "%s/*/*.gz", test_dir()));
    CHECK_OK(io_glob(pattern, &a, &paths, &count));
    CHECK_INT(count, 3);
    CHECK_ERR(io_glob(test_path("*.warc"), &a, &paths, &count), ERR_USAGE);
    CHECK(strstr(err_text(), "*.warc"));
    CHECK_OK(io_mkdirs(test_path("empty")));
    CHECK_ERR(io_glob(test_path("empty"), &a, &paths, &count), ERR_USAGE);
    CHECK_OK(io_glob("-", &a, &paths, &count));
    CHECK_STR(str_of(paths[0]), "-");
    arena_close(&a);
}

/* ---- manifests ---- */

static const char hash_a[] = "0123456789abcdef0123456789abcdef";

static void write_manifest(void)
{
    struct manifest m = {.task = "map", .recipe_hash = "0123456789abcdef0123456789abcdef",
                         .shard = 3, .shard_count = 8};
    for (int i = 0; i < 5; i++) {
        char name[32];
        struct io_info info;
        snprintf(name, sizeof name, "out/%d", i);
        CHECK_OK(io_write_file(test_path(name), (struct str){"contents", (size_t)i}));
        CHECK_OK(io_hash_file(test_path(name), &info));
        CHECK_OK(manifest_add_output(&m, name, &info));
    }
    CHECK_OK(manifest_add_count(&m, "kept", 40));
    CHECK_OK(manifest_add_count(&m, "a \"<\xC3\xA9", UINT64_MAX));
    CHECK_OK(manifest_add_count(&m, "kept", 2));
    CHECK_OK(manifest_write(&m, test_dir(), test_path("m.json")));
    manifest_free(&m);
}

static int check_manifest(const char *recipe, bool verify)
{
    struct manifest m;
    int rc = manifest_check(&m, test_dir(), test_path("m.json"), recipe, verify);
    if (rc == 1) {
        CHECK_STR(str_of(m.task), "map");
        CHECK(m.shard == 3 && m.shard_count == 8 && m.output_count == 5);
        CHECK_STR(str_of(m.output[4].path), "out/4");
        CHECK(m.output[4].info.bytes == 4);
        CHECK(manifest_get_count(&m, "kept") == 42);
        CHECK(manifest_get_count(&m, "a \"<\xC3\xA9") == UINT64_MAX);
        CHECK(manifest_get_count(&m, "other") == 0);
        manifest_free(&m);
    } else {
        CHECK(m.output == NULL);
    }
    return rc;
}

TEST(core_manifest_round_trip)
{
    CHECK_INT(check_manifest(hash_a, true), 0);
    write_manifest();
    CHECK_INT(check_manifest(hash_a, false), 1);
    CHECK_INT(check_manifest(hash_a, true), 1);
    CHECK_ERR(check_manifest("1123456789abcdef0123456789abcdef", false), ERR_USAGE);
    CHECK(strstr(err_text(), "another run folder"));
    /* Same size, other bytes: only verify sees it. */
    CHECK_OK(io_write_file(test_path("out/4"), STR("CONT")));
    CHECK_INT(check_manifest(hash_a, false), 1);
    CHECK_INT(check_manifest(hash_a, true), 0);
    CHECK_OK(io_write_file(test_path("out/4"), STR("CON")));
    CHECK_INT(check_manifest(hash_a, false), 0);
    CHECK(unlink(test_path("out/4")) == 0);
    CHECK_INT(check_manifest(hash_a, false), 0);
}

/* Every byte changed, every cut, and an edit that keeps the JSON right: never taken for done. */
TEST(core_manifest_tampered)
{
    char *text;
    size_t len;
    write_manifest();
    CHECK_OK(io_read_file(test_path("m.json"), 1 << 20, &text, &len));
    CHECK(freopen("/dev/null", "w", stderr)); /* hundreds of warnings */
    for (size_t i = 0; i < len; i++) {
        text[i] ^= 1;
        test_write(test_path("m.json"), text, len);
        CHECK_INT(check_manifest(hash_a, false), 0);
        text[i] ^= 1;
        test_write(test_path("m.json"), text, i);
        CHECK_INT(check_manifest(hash_a, false), 0);
    }
    char *count = strstr(text, "\"kept\":42");
    CHECK(count);
    count[8] = '3';
    test_write(test_path("m.json"), text, len);
    CHECK_INT(check_manifest(hash_a, false), 0);
    free(text);
}

TEST(core_manifest_refuses)
{
    struct manifest m = {.task = "map"};
    struct io_info info = {.bytes = 1};
    static const char *const bad[] = {"", "/etc/passwd", "..", "../x", "a/../../x", "a/.."};
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        CHECK_ERR(manifest_add_output(&m, bad[i], &info), ERR_LIMIT);
    CHECK_OK(manifest_add_output(&m, "a..b/c", &info));
    CHECK_ERR(manifest_write(&m, test_dir(), test_path("m.json")), ERR_IO);
    CHECK(!io_exists(test_path("m.json")));
    for (int i = 1; i < MANIFEST_OUTPUTS_MAX; i++)
        CHECK_OK(manifest_add_output(&m, "x", &info));
    CHECK_ERR(manifest_add_output(&m, "x", &info), ERR_LIMIT);
    for (int i = 0; i < MANIFEST_COUNTS_MAX; i++) {
        char name[16];
        snprintf(name, sizeof name, "c%d", i);
        CHECK_OK(manifest_add_count(&m, name, 1));
    }
    CHECK_ERR(manifest_add_count(&m, "more", 1), ERR_LIMIT);
    CHECK_OK(manifest_add_count(&m, "c0", 1));
    char longer[60];
    memset(longer, 'n', sizeof longer);
    longer[48] = 0;
    manifest_free(&m);
    CHECK_ERR(manifest_add_count(&m, longer, 1), ERR_LIMIT);
    longer[47] = 0;
    CHECK_OK(manifest_add_count(&m, longer, 1));
    manifest_free(&m);
}

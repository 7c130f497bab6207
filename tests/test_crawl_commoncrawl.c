/* test_crawl_commoncrawl - a crawl's layout: lists, samples, manifests, streams, files fetched
 * ahead. */
#include "tests/hostile.h"

#include "crawl/crawl.h"
#include "crawl/fetched.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>

/* ---- Common Crawl's layout, from a folder ---- */
enum { LISTED = 30 };
static void mirror_make(const char *crawl)
{
    char path[IO_PATH_MAX];
    struct buf list = {0};
    for (int i = 0; i < LISTED; i++) {
        snprintf(path, sizeof path, "crawl-data/%s/segments/%d/warc/file-%02d.warc.gz", crawl,
                 i % 7, i);
        buf_printf(&list, "%s\n", path);
        char full[IO_PATH_MAX];
        CHECK_OK(io_path(full, "%s/mirror/%s", test_dir(), path));
        struct io_writer *w;
        CHECK_OK(io_create(&w, full, IO_GZIP, 1));
        char text[32];
        CHECK_OK(io_write(w, text, (size_t)snprintf(text, sizeof text, "content %d", i)));
        CHECK_OK(io_commit(w, NULL));
    }
    CHECK_OK(io_path(path, "%s/mirror/crawl-data/%s/warc.paths.gz", test_dir(), crawl));
    struct io_writer *w;
    CHECK_OK(io_create(&w, path, IO_GZIP, 1));
    CHECK_OK(io_write_str(w, buf_view(&list)));
    CHECK_OK(io_commit(w, NULL));
    buf_free(&list);
}

static struct crawl_conf crawl_conf_for(struct arena *a, const char *crawl)
{
    struct crawl_conf conf = {0};
    CHECK_OK(arena_open(a, 4 << 20));
    CHECK_OK(opt_defaults(crawl_opts, &conf, a));
    CHECK_OK(opt_defaults(crawl_how_opts, &conf, a));
    static char mirror[IO_PATH_MAX], cache[IO_PATH_MAX];
    snprintf(mirror, sizeof mirror, "file://%s/mirror", test_dir());
    snprintf(cache, sizeof cache, "%s/cache", test_dir());
    conf.base = mirror;
    conf.cache = cache;
    conf.crawl = crawl;
    return conf;
}

TEST(crawl_commoncrawl_sample)
{
    log_open(LOG_QUIET);
    struct arena a;
    struct crawl_conf conf = crawl_conf_for(&a, "CC-MAIN-2024-22");
    mirror_make(conf.crawl);
    CHECK(conf.fetch.connections == 4 && conf.fetch.retries == 8 &&
          conf.fetch.file_max == (uint64_t)4 << 30);
    const char **small, **large, **again, **seeded, **all;
    size_t count;
    conf.files = 5;
    CHECK_OK(crawl_files(&conf, &a, &small, &count));
    CHECK_INT(count, 5);
    conf.files = 12;
    CHECK_OK(crawl_files(&conf, &a, &large, &count));
    CHECK_INT(count, 12);
    for (int i = 0; i < 12; i++) {
        CHECK(io_exists(large[i]));
        CHECK(str_starts(str_of(large[i]), conf.cache));
        CHECK(i == 0 || strcmp(strrchr(large[i], '/'), strrchr(large[i - 1], '/')) >
                            0); /* the list's order */
    }
    for (int i = 0, k = 0; i < 5; i++, k++) { /* a larger sample holds the smaller one */
        while (k < 12 && strcmp(large[k], small[i]) != 0)
            k++;
        CHECK(k < 12);
    }
    CHECK_OK(crawl_files(&conf, &a, &again, &count));
    for (int i = 0; i < 12; i++)
        CHECK(strcmp(again[i], large[i]) == 0);
    conf.seed = 2;
    CHECK_OK(crawl_files(&conf, &a, &seeded, &count));
    int same = 0;
    for (int i = 0; i < 12; i++)
        for (int k = 0; k < 12; k++)
            same += strcmp(seeded[i], large[k]) == 0;
    CHECK(same < 12);
    conf.files = 0;
    CHECK_OK(crawl_files(&conf, &a, &all, &count));
    CHECK_INT(count, LISTED);
    conf.files = 99;
    CHECK_OK(crawl_files(&conf, &a, &all, &count));
    CHECK_INT(count, LISTED);
    /* What is there is not fetched again: the mirror may be gone. */
    CHECK_OK(io_remove_tree(target("mirror")));
    CHECK_OK(crawl_files(&conf, &a, &all, &count));
    arena_close(&a);
}

TEST(crawl_commoncrawl_refuses_paths_that_leave)
{
    static const char *const bad[] = {"/etc/passwd", "../x.gz", "a/../../x.gz", "a/./b", "a//b",
                                      "a\\b",        "a b",     "a?x",          "a#x",   "a\x01",
                                      "http://b/x",  "a/..",    "%2e%2e/x",     ".",     "a/"};
    log_open(LOG_QUIET);
    struct arena a;
    struct crawl_conf conf = crawl_conf_for(&a, "CC-MAIN-X");
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        CHECK_OK(io_remove_tree(target("cache")));
        char path[IO_PATH_MAX];
        CHECK_OK(io_path(path, "%s/mirror/crawl-data/%s/warc.paths.gz", test_dir(), conf.crawl));
        struct io_writer *w;
        CHECK_OK(io_create(&w, path, IO_GZIP, 1));
        CHECK_OK(io_write_str(w, str_of("crawl-data/good.warc.gz\n")));
        CHECK_OK(io_write_str(w, str_of(bad[i])));
        CHECK_OK(io_commit(w, NULL));
        const char **paths;
        size_t count;
        if (crawl_files(&conf, &a, &paths, &count) != ERR_FORMAT || !strstr(err_text(), "line 2"))
            test_fail(__FILE__, __LINE__, "\"%s\" was taken: %s", bad[i], err_text());
    }
    arena_close(&a);
}

TEST(crawl_commoncrawl_wrong_conf)
{
    log_open(LOG_QUIET);
    struct arena a;
    const char **paths;
    size_t count;
    struct crawl_conf conf = crawl_conf_for(&a, "");
    static const char *const bad[] = {"", "../x", "a/b", "CC MAIN", ".."};
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        conf.crawl = bad[i];
        CHECK_ERR(crawl_files(&conf, &a, &paths, &count), ERR_USAGE);
    }
    conf.crawl = "CC-MAIN-9999-99";
    CHECK_ERR(crawl_files(&conf, &a, &paths, &count), ERR_IO); /* no such crawl */
    CHECK(strstr(err_text(), "CC-MAIN-9999-99"));
    conf.crawl = "CC-NEWS/2024/05"; /* the one with months */
    CHECK_ERR(crawl_files(&conf, &a, &paths, &count), ERR_IO);
    CHECK(strstr(err_text(), "/crawl-data/CC-NEWS/2024/05/warc.paths.gz"));
    conf.crawl = "CC-NEWS/../05";
    CHECK_ERR(crawl_files(&conf, &a, &paths, &count), ERR_USAGE);
    static const char *const place[] = {"", "/srv/mirror", "mirror", "file:///srv/a mirror"};
    conf.crawl = "CC-MAIN-9999-99";
    for (size_t i = 0; i < COUNT_OF(place); i++) {
        conf.base = place[i];
        CHECK_ERR(crawl_files(&conf, &a, &paths, &count), ERR_USAGE);
        CHECK(i == 0 || strstr(err_text(), "file:///path"));
    }
    arena_close(&a);
}

/* ---- lists of one's own, the manifest, streams ---- */
static struct buf slurp(const char *path)
{
    char *bytes;
    size_t len;
    struct buf out = {0};
    CHECK_OK(io_read_file(path, 1 << 24, &bytes, &len));
    buf_add(&out, bytes, len);
    free(bytes);
    return out;
}

TEST(crawl_commoncrawl_paths_file)
{
    log_open(LOG_QUIET);
    struct arena a;
    struct crawl_conf conf = crawl_conf_for(&a, "CC-MAIN-2024-22");
    mirror_make(conf.crawl);
    static const char list[] = "crawl-data/CC-MAIN-2024-22/segments/3/warc/file-03.warc.gz\n\n"
                               "crawl-data/CC-MAIN-2024-22/segments/1/warc/file-01.warc.gz\r\n";
    put("paths", list, sizeof list - 1);
    char paths[IO_PATH_MAX];
    snprintf(paths, sizeof paths, "%s", target("paths"));
    conf.paths = paths;
    conf.crawl = NULL;
    struct crawl_file *file_list;
    size_t count;
    CHECK_OK(crawl_list(&conf, &a, &file_list, &count));
    CHECK_INT(count, 2);
    CHECK(str_ends(str_of(file_list[0].name), "file-03.warc.gz") && !file_list[0].here);
    uint64_t total, want;
    bool exact;
    CHECK_OK(crawl_sizes(&conf, file_list, count, &total, &exact));
    CHECK_OK(io_size(file_list[0].url + strlen("file://"), &want));
    CHECK(exact && file_list[0].bytes == want && total > want && !io_exists(file_list[0].path));
    struct crawl_done done = {0};
    CHECK_OK(crawl_fetch(&conf, file_list, count, &done));
    CHECK(done.fetched == 2 && done.bytes == total && done.requests == 2 && file_list[0].here);
    CHECK_OK(crawl_fetch(&conf, file_list, count, &done));
    CHECK_INT(done.requests, 2); /* nothing more */
    arena_close(&a);
}

/* Lists as people pass them on: with the place in front, comments, a line twice. */
TEST(crawl_commoncrawl_paths_as_passed_on)
{
#define SEGMENTS "crawl-data/CC-MAIN-2024-22/segments/"
    log_open(LOG_QUIET);
    struct arena a;
    struct crawl_conf conf = crawl_conf_for(&a, "CC-MAIN-2024-22");
    mirror_make(conf.crawl);
    struct buf list = {0};
    buf_printf(&list, "# ours\n%s/" SEGMENTS "1/warc/file-01.warc.gz\n", conf.base);
    buf_text(&list, "https://data.commoncrawl.org/" SEGMENTS "3/warc/file-03.warc.gz\n");
    buf_text(&list, "s3://commoncrawl/" SEGMENTS "1/warc/file-01.warc.gz\n");
    buf_text(&list, SEGMENTS "1/warc/file-01.warc.gz\n");
    put("paths", list.ptr, list.len);
    buf_free(&list);
    char paths[IO_PATH_MAX];
    snprintf(paths, sizeof paths, "%s", target("paths"));
    conf.paths = paths;
    const char **local;
    size_t count;
    CHECK_OK(crawl_files(&conf, &a, &local, &count));
    CHECK_INT(count, 2);
    CHECK(str_ends(str_of(local[0]), "cache/" SEGMENTS "1/warc/file-01.warc.gz"));
    CHECK(str_ends(str_of(local[1]), "cache/" SEGMENTS "3/warc/file-03.warc.gz"));
    put("paths", "https://elsewhere.example/x.gz\n", 31);
    CHECK_ERR(crawl_files(&conf, &a, &local, &count), ERR_FORMAT);
    CHECK(strstr(err_text(), "line 1") && strstr(err_text(), "give lines like"));
    arena_close(&a);
#undef SEGMENTS
}

/* The manifest knows each file as it is; a torn line, a repeated one and a vanished file are borne;
 * a file that was put there by hand is read before it counts. */
TEST(crawl_commoncrawl_manifest)
{
    log_open(LOG_QUIET);
    struct arena a;
    struct crawl_conf conf = crawl_conf_for(&a, "CC-MAIN-2024-22");
    mirror_make(conf.crawl);
    conf.files = 4;
    const char **paths;
    size_t count;
    CHECK_OK(crawl_files(&conf, &a, &paths, &count));
    struct fetched *t;
    CHECK_OK(fetched_open(&t, conf.cache));
    for (size_t i = 0; i < count; i++) {
        struct io_info info;
        CHECK_OK(io_hash_file(paths[i], &info));
        const struct fetched_file *f = fetched_find(t, paths[i] + strlen(conf.cache) + 1);
        CHECK(f && f->bytes == info.bytes && f->hash.low == info.hash.low &&
              f->hash.high == info.hash.high);
    }
    CHECK(!fetched_find(t, "elsewhere"));
    fetched_close(t);
    struct buf text = slurp(target("cache/manifest.jsonl"));
    CHECK_INT(str_count(buf_view(&text), STR("\n")), 5);  /* the list too */
    put("cache/manifest.jsonl", text.ptr, text.len - 20); /* the last line is torn */
    CHECK_OK(fetched_open(&t, conf.cache));
    char etag[] = "\"x\"";
    struct fetch_item item = {.url = "https://u:p@h/x?Signature=abc", .bytes = 5};
    memcpy(item.etag, etag, sizeof etag);
    CHECK_OK(fetched_add(t, "one/more", &item));
    CHECK_OK(fetched_add(t, "one/more", &item)); /* nothing new */
    fetched_close(t);
    buf_free(&text);
    text = slurp(target("cache/manifest.jsonl"));
    CHECK_INT(str_count(buf_view(&text), STR("\n")), 6);
    CHECK_INT(str_count(buf_view(&text), STR("one/more")), 1);
    CHECK(str_find(buf_view(&text), STR("u:p")) == SIZE_MAX);
    CHECK(str_find(buf_view(&text), STR("=abc")) == SIZE_MAX);
    buf_free(&text);
    CHECK_OK(fetched_open(&t, conf.cache));
    CHECK(fetched_find(t, "one/more") && fetched_find(t, "one/more")->bytes == 5);
    fetched_close(t);
    /* One file is damaged where the manifest does not know it, one has another size than it says.
     */
    CHECK(unlink(target("cache/manifest.jsonl")) == 0);
    struct buf good = slurp(paths[1]);
    put(paths[1] + strlen(test_dir()) + 1, "damaged", 7);
    CHECK_OK(crawl_files(&conf, &a, &paths, &count));
    struct buf again = slurp(paths[1]);
    CHECK(str_eq(buf_view(&good), buf_view(&again)));
    put(paths[1] + strlen(test_dir()) + 1, "cut", 3);
    buf_free(&again);
    CHECK_OK(crawl_files(&conf, &a, &paths, &count));
    again = slurp(paths[1]);
    CHECK(str_eq(buf_view(&good), buf_view(&again)));
    buf_free(&again);
    buf_free(&good);
    arena_close(&a);
}

static int keep(void *self, const void *bytes, size_t len)
{
    buf_add(self, bytes, len);
    return 0;
}

/* In the list's order, from the cache and from the mirror alike, and nothing lands. */
TEST(crawl_commoncrawl_stream)
{
    log_open(LOG_QUIET);
    struct arena a;
    struct crawl_conf conf = crawl_conf_for(&a, "CC-MAIN-2024-22");
    mirror_make(conf.crawl);
    conf.files = 6;
    struct crawl_file *list;
    size_t count;
    CHECK_OK(crawl_list(&conf, &a, &list, &count));
    CHECK_OK(crawl_fetch(&conf, list + 2, 2, NULL)); /* two in the middle are here */
    struct buf want = {0}, out = {0};
    for (size_t i = 0; i < count; i++) {
        struct buf one = slurp(list[i].url + strlen("file://"));
        buf_str(&want, buf_view(&one));
        buf_free(&one);
    }
    struct fetch_sink sink = {keep, &out};
    struct crawl_done done = {0};
    CHECK_OK(crawl_stream(&conf, list, count, &sink, &done));
    CHECK(str_eq(buf_view(&out), buf_view(&want)) && done.bytes == want.len && done.fetched == 4);
    CHECK(!io_exists(list[0].path) && io_exists(list[2].path));
    /* A file that is missing ends it behind the files in front of it. */
    buf_clear(&out);
    CHECK(unlink(list[4].url + strlen("file://")) == 0);
    CHECK_INT(crawl_stream(&conf, list, count, &sink, &done), ERR_IO);
    CHECK(out.len < want.len && out.len > 0 && memcmp(out.ptr, want.ptr, out.len) == 0);
    buf_free(&out);
    buf_free(&want);
    arena_close(&a);
}

/* ---- files fetched ahead ---- */
enum { AHEAD = 12, AHEAD_MAX = 100000 };
struct ahead_rig {
    struct arena arena;
    struct crawl_conf conf;
    struct crawl_file list[AHEAD];
    uint32_t order[AHEAD];
    atomic_bool stop;
    _Atomic uint64_t most; /* bytes on disk at a time, seen by the watcher */
    pthread_t watcher;
};

static uint64_t disk_bytes(const struct ahead_rig *r)
{
    uint64_t sum = 0;
    static const char *const end[] = {"", ".part"};
    for (int i = 0; i < AHEAD; i++)
        for (int k = 0; k < 2; k++) {
            char path[IO_PATH_MAX + 8];
            struct stat st;
            snprintf(path, sizeof path, "%s%s", r->list[i].path, end[k]);
            sum += stat(path, &st) == 0 ? (uint64_t)st.st_size : 0;
        }
    return sum;
}

/* A file that is renamed between two looks would count twice: the least of three sums is true. */
static void *watch(void *arg)
{
    struct ahead_rig *r = arg;
    while (!atomic_load(&r->stop)) {
        uint64_t least = disk_bytes(r);
        for (int i = 0; i < 2; i++) {
            uint64_t sum = disk_bytes(r);
            least = sum < least ? sum : least;
        }
        if (least > r->most)
            r->most = least;
    }
    return NULL;
}

/* A mirror of files of 10 to 40 kB. */
static void ahead_start(struct ahead_rig *r)
{
    memset(r, 0, sizeof *r);
    server_start();
    CHECK_OK(arena_open(&r->arena, 4 << 20));
    CHECK_OK(opt_defaults(crawl_opts, &r->conf, &r->arena));
    CHECK_OK(opt_defaults(crawl_how_opts, &r->conf, &r->arena));
    char *bytes = malloc(60000);
    uint64_t seed = 9;
    CHECK(bytes);
    for (uint32_t i = 0; i < AHEAD; i++) {
        char name[64], path[IO_PATH_MAX], url[IO_PATH_MAX];
        snprintf(name, sizeof name, "mirror-%u.gz", i);
        put(name, bytes, gzip_member(bytes, 60000, 10000 + i * 7919 % 30000, 0, &seed));
        snprintf(path, sizeof path, "%s/cache-%u.gz", test_dir(), i);
        snprintf(url, sizeof url, "file://%s/mirror-%u.gz", test_dir(), i);
        r->list[i].path = arena_strdup(&r->arena, str_of(path));
        r->list[i].url = arena_strdup(&r->arena, str_of(url));
        r->list[i].name = r->list[i].path + strlen(test_dir()) + 1;
        r->order[i] = i;
    }
    free(bytes);
    r->conf.cache = test_dir();
    r->conf.cache_max = AHEAD_MAX;
    CHECK(pthread_create(&r->watcher, NULL, watch, r) == 0);
}

static void ahead_stop(struct ahead_rig *r)
{
    atomic_store(&r->stop, true);
    pthread_join(r->watcher, NULL);
    CHECK(r->most > 0 && r->most <= AHEAD_MAX);
    arena_close(&r->arena);
}

/* Reads files [from, to) of the order: each is whole and the mirror's. */
static void ahead_read(struct ahead_rig *r, struct crawl_ahead *h, int from, int to, bool stays)
{
    for (int i = from; i < to; i++) {
        uint64_t bytes;
        uint32_t index = r->order[i];
        CHECK_OK(crawl_ahead_get(h, index, &bytes));
        if (i == from && to - from > 3) { /* a reader that takes its time: others are fetched */
            nanosleep(&(struct timespec){0, 200000000}, NULL);
            CHECK(disk_bytes(r) > bytes);
        }
        struct buf want = slurp(r->list[index].url + strlen("file://"));
        struct buf got = slurp(r->list[index].path);
        CHECK(got.len == bytes && str_eq(buf_view(&got), buf_view(&want)));
        buf_free(&want);
        buf_free(&got);
        CHECK_OK(crawl_ahead_done(h, index, stays));
        CHECK(stays || !io_exists(r->list[index].path)); /* it may have had to yield already */
    }
}

/* All arrive in order, within the bound, and are gone behind the reader; a second round, as after a
 * first pass over the same files, finds what stayed; a third one begins in the middle. */
TEST(crawl_ahead_within_its_bound)
{
    struct ahead_rig r;
    struct crawl_ahead *h;
    ahead_start(&r);
    for (int i = 0; i < AHEAD; i++) /* any order will do */
        r.order[i] = (uint32_t)(i * 5 % AHEAD);
    CHECK_OK(crawl_ahead_open(&h, &r.conf, r.list, r.order, AHEAD));
    ahead_read(&r, h, 0, AHEAD, true);
    crawl_ahead_close(h);
    CHECK(disk_bytes(&r) > 0); /* as many as there is room for */
    CHECK_OK(crawl_ahead_open(&h, &r.conf, r.list, r.order, AHEAD));
    ahead_read(&r, h, 0, 3, false);
    crawl_ahead_close(h); /* with files under way and whole ones behind */
    CHECK_OK(crawl_ahead_open(&h, &r.conf, r.list, r.order + 3, AHEAD - 3));
    crawl_ahead_close(h); /* at once */
    CHECK_OK(crawl_ahead_open(&h, &r.conf, r.list, r.order + 3, AHEAD - 3));
    ahead_read(&r, h, 3, AHEAD, false);
    crawl_ahead_close(h);
    CHECK_INT(disk_bytes(&r), 0);
    ahead_stop(&r);
}

/* The disk is full of files that are read last, and of a partial one: they yield. */
TEST(crawl_ahead_gives_room_to_the_next)
{
    struct ahead_rig r;
    struct crawl_ahead *h;
    ahead_start(&r);
    for (int i = 0; i < AHEAD; i++)
        r.order[i] = (uint32_t)(AHEAD - 1 - i);
    CHECK_OK(crawl_ahead_open(&h, &r.conf, r.list, r.order, 4)); /* the last four fill the cache */
    ahead_read(&r, h, 0, 4, true);
    crawl_ahead_close(h);
    put("cache-7.gz.part", "half of it", 10);
    CHECK(disk_bytes(&r) > AHEAD_MAX / 2);
    r.conf.cache_max = disk_bytes(&r); /* not a byte is free */
    for (int i = 0; i < AHEAD; i++)
        r.order[i] = (uint32_t)i;
    CHECK_OK(crawl_ahead_open(&h, &r.conf, r.list, r.order, AHEAD));
    ahead_read(&r, h, 0, AHEAD, false);
    crawl_ahead_close(h);
    CHECK_INT(disk_bytes(&r), 0);
    ahead_stop(&r);
}

TEST(crawl_ahead_errors)
{
    struct ahead_rig r;
    struct crawl_ahead *h;
    uint64_t bytes;
    ahead_start(&r);
    /* A file larger than the bound: those in front of it are read all the same. */
    char *big = malloc(AHEAD_MAX + 1000);
    CHECK(big);
    uint64_t seed = 1;
    put("mirror-3.gz", big, gzip_member(big, AHEAD_MAX + 1000, AHEAD_MAX + 100, 0, &seed));
    free(big);
    CHECK_OK(crawl_ahead_open(&h, &r.conf, r.list, r.order, AHEAD));
    ahead_read(&r, h, 0, 3, false);
    CHECK_INT(crawl_ahead_get(h, 3, &bytes), ERR_LIMIT);
    CHECK(strstr(err_text(), "cache_max") && !io_exists(r.list[3].path));
    crawl_ahead_close(h);
    /* A file that changed since it was fetched first. */
    put("mirror-1.gz", file, gzip_member(file, sizeof file, 5000, 0, &seed));
    CHECK_OK(crawl_ahead_open(&h, &r.conf, r.list, r.order, 2));
    ahead_read(&r, h, 0, 1, false);
    CHECK_INT(crawl_ahead_get(h, 1, &bytes), ERR_FORMAT);
    CHECK(strstr(err_text(), "not the one fetched before") && !io_exists(r.list[1].path));
    crawl_ahead_close(h);
    /* One that is missing. */
    CHECK(unlink(target("mirror-2.gz")) == 0);
    CHECK_OK(crawl_ahead_open(&h, &r.conf, r.list, r.order + 2, 1));
    CHECK_INT(crawl_ahead_get(h, 2, &bytes), ERR_IO);
    crawl_ahead_close(h);
    ahead_stop(&r);
}

/* Over a server of which nothing is known in advance, whose answers break off and stall. */
TEST(crawl_ahead_over_http)
{
    struct ahead_rig r;
    struct crawl_ahead *h;
    static const char *const path[] = {"/many/1.gz", "/half.gz",    "/flaky/1.gz",
                                       "/rst.gz",    "/flaky/2.gz", "/many/2.gz"};
    ahead_start(&r);
    r.conf.fetch.backoff_ms = 10;
    r.conf.cache_max = file_len * 2 + 100;
    for (size_t i = 0; i < COUNT_OF(path); i++) {
        char url[256];
        snprintf(url, sizeof url, "%s%s", base, path[i]);
        r.list[i].url = arena_strdup(&r.arena, str_of(url));
    }
    CHECK_OK(crawl_ahead_open(&h, &r.conf, r.list, r.order, COUNT_OF(path)));
    for (uint32_t i = 0; i < COUNT_OF(path); i++) {
        uint64_t bytes;
        CHECK_OK(crawl_ahead_get(h, i, &bytes));
        struct buf got = slurp(r.list[i].path);
        CHECK(bytes == file_len && got.len == bytes && memcmp(got.ptr, file, bytes) == 0);
        buf_free(&got);
        CHECK(disk_bytes(&r) <= r.conf.cache_max);
        CHECK_OK(crawl_ahead_done(h, i, false));
    }
    crawl_ahead_close(h);
    CHECK_INT(disk_bytes(&r), 0);
    atomic_store(&r.stop, true);
    pthread_join(r.watcher, NULL);
    CHECK(r.most <= r.conf.cache_max);
    arena_close(&r.arena);
}

/* test_crawl_fetch - downloads from the hostile server: what arrives, what is refused, how fast. */
#include "tests/hostile.h"

#include "crawl/address.h"
#include "crawl/crawl.h"
#include "crawl/libcurl.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>

TEST(crawl_fetch_plain_files)
{
    server_start();
    CHECK_OK(get("/ok.gz", "sub/folder/ok.gz"));
    CHECK(is_file("sub/folder/ok.gz", file, file_len));
    CHECK(!exists("sub/folder/ok.gz.part") && !exists("sub/folder/ok.gz.part.meta"));
    CHECK_OK(get("/text", "text"));
    CHECK(is_file("text", "hello", 5));
    CHECK_OK(get("/empty.txt", "empty.txt"));
    CHECK(is_file("empty.txt", "", 0));
    CHECK_OK(get("/moved", "moved"));
    CHECK(is_file("moved", "hello", 5));
    char url[IO_PATH_MAX + 16];
    snprintf(url, sizeof url, "file://%s", target("text"));
    struct fetch_item item = {.url = url, .path = target("copy")};
    CHECK_OK(fetch_all(&quick, &item, 1, NULL));
    CHECK(is_file("copy", "hello", 5) && item.bytes == 5);
    snprintf(url, sizeof url, "file://%s", target("absent"));
    CHECK_INT(fetch_all(&quick, &item, 1, NULL), ERR_IO);
}

TEST(crawl_fetch_memory)
{
    server_start();
    char url[256], *out;
    size_t len;
    snprintf(url, sizeof url, "%s/text", base);
    CHECK_OK(fetch_memory(&quick, url, 5, &out, &len));
    CHECK(len == 5 && strcmp(out, "hello") == 0);
    free(out);
    CHECK_INT(fetch_memory(&quick, url, 4, &out, &len), ERR_LIMIT);
    CHECK(!out);
    snprintf(url, sizeof url, "%s/absent", base);
    CHECK_INT(fetch_memory(&quick, url, 100, &out, &len), ERR_IO);
    CHECK_INT(hits("/absent"), 1); /* 404 is not asked again */
    CHECK(strstr(err_text(), "404"));
    snprintf(url, sizeof url, "%s/empty.txt", base);
    CHECK_OK(fetch_memory(&quick, url, 100, &out, &len));
    CHECK(len == 0 && out && *out == 0);
    free(out);
}

/* A connection that ends early is taken up by a range, and only if the file is still the same. */
TEST(crawl_fetch_resumes)
{
    static const struct {
        const char *path;
        bool changed;
        int asked, resumed;
    } way[] = {
        {"/half.gz", false, 2, 1},    {"/rst.gz", false, 2, 1}, {"/changed.gz", true, 2, 1},
        {"/ignores.gz", false, 2, 1}, {"/liar.gz", true, 3, 1}, {"/shifted.gz", false, 3, 1},
    };
    server_start();
    for (size_t i = 0; i < COUNT_OF(way); i++) {
        atomic_store(&counts->resumed, 0);
        if (get(way[i].path, way[i].path + 1) < 0)
            test_fail(__FILE__, __LINE__, "%s: %s", way[i].path, err_text());
        if (!is_file(way[i].path + 1, way[i].changed ? other : file,
                     way[i].changed ? other_len : file_len))
            test_fail(__FILE__, __LINE__, "%s: the bytes are wrong", way[i].path);
        if (hits(way[i].path) != way[i].asked || atomic_load(&counts->resumed) != way[i].resumed)
            test_fail(__FILE__, __LINE__, "%s: %d requests, %d ranges", way[i].path,
                      hits(way[i].path), atomic_load(&counts->resumed));
    }
}

static void put_meta(const char *name, const char *path, size_t total)
{
    char text[512];
    char url[256];
    snprintf(url, sizeof url, "%s%s", base, path);
    int len = snprintf(text, sizeof text, "%016llx %s\n\"a\"\n\n%zu\n",
                       (unsigned long long)hash_str(str_of(url), 0), url, total);
    put(name, text, (size_t)len);
}

/* What another run left behind is used when it fits and thrown away when not. */
TEST(crawl_fetch_takes_up_old_parts)
{
    server_start();
    put("complete.gz.part", file, file_len);
    put_meta("complete.gz.part.meta", "/complete.gz", file_len);
    CHECK_OK(get("/complete.gz", "complete.gz")); /* 416: there is no more */
    CHECK(is_file("complete.gz", file, file_len));
    put("shrunk.gz.part", file, file_len / 2);
    put_meta("shrunk.gz.part.meta", "/shrunk.gz", file_len);
    CHECK_OK(get("/shrunk.gz", "shrunk.gz"));
    CHECK(is_file("shrunk.gz", file, file_len));
    /* Damaged bytes, a note of another URL, a broken note, no note: each starts from nothing. */
    file[100] ^= 1;
    put("ok.gz.part", file, file_len - 1);
    file[100] ^= 1;
    put_meta("ok.gz.part.meta", "/ok.gz", file_len);
    CHECK_OK(get("/ok.gz", "ok.gz"));
    CHECK(is_file("ok.gz", file, file_len));
    for (int i = 0; i < 3; i++) {
        atomic_store(&counts->resumed, 0);
        put("ok.gz.part", file, file_len / 2);
        if (i == 0)
            put_meta("ok.gz.part.meta", "/elsewhere.gz", file_len);
        if (i == 1)
            put("ok.gz.part.meta", "\n\n\n\n\n\n", 6);
        CHECK_OK(get("/ok.gz", "ok.gz"));
        CHECK(is_file("ok.gz", file, file_len));
        CHECK_INT(atomic_load(&counts->resumed), 0);
    }
}

static void nobody_listens(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;
    CHECK(fd >= 0 && bind(fd, (struct sockaddr *)&at, len) == 0);
    CHECK(getsockname(fd, (struct sockaddr *)&at, &len) == 0);
    snprintf(base, sizeof base, "http://127.0.0.1:%d", ntohs(at.sin_port));
    close(fd);
}

/* A port nobody listens on: quick, and with the remedy. */
TEST(crawl_fetch_connection_refused)
{
    log_open(LOG_QUIET);
    nobody_listens();
    double start = now_s();
    struct fetch_conf conf = {.retries = 8, .backoff_ms = 100};
    char url[2][256];
    snprintf(url[0], sizeof url[0], "%s/crawl-data/x", base);
    snprintf(url[1], sizeof url[1], "%s/crawl-data/y", base);
    struct fetch_item item[8];
    for (int i = 0; i < 8; i++)
        item[i] = (struct fetch_item){.url = url[i % 2], .path = target("never")};
    conf.connections = 1;
    CHECK_INT(fetch_all(&conf, item, 8, NULL), ERR_IO);
    CHECK(strstr(err_text(), "connection refused: is the mirror running?"));
    CHECK(strstr(err_text(), "crawl: GET http://127.0.0.1:"));
    CHECK(now_s() - start < 8);
    CHECK_INT(item[0].rc, ERR_IO);
    CHECK(item[7].rc == ERR_IO && item[7].tries == 0); /* nothing is tried behind it */
    CHECK(!exists("never") && !exists("never.part"));
}

TEST(crawl_fetch_needs_a_contact)
{
    struct fetch_item item = {.url = "https://data.example.invalid/x", .path = target("x")};
    static const char *const bad[] = {NULL, "", "sluice/0.1", "Mozilla/5.0"};
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        struct fetch_conf conf = {.user_agent = bad[i]};
        CHECK_INT(fetch_all(&conf, &item, 1, NULL), ERR_USAGE);
        CHECK(strstr(err_text(), "contact") && !exists("x.part"));
    }
    static const char *const url[] = {"ftp://127.0.0.1/x",   "x",        "", "/etc/passwd",
                                      "gopher://127.0.0.1/", "http:///x"};
    for (size_t i = 0; i < COUNT_OF(url); i++) {
        item.url = url[i];
        CHECK_INT(fetch_all(&quick, &item, 1, NULL), ERR_USAGE);
    }
}

/* Many files, at most so many at a time, and one that is missing among them. */
TEST(crawl_fetch_many)
{
    enum { MANY = 40 };
    server_start();
    static char url[MANY][128], path[MANY][512];
    struct fetch_item item[MANY];
    for (int i = 0; i < MANY; i++) {
        snprintf(url[i], sizeof url[i], i == 9 || i == 30 ? "%s/missing/%d" : "%s/many/%d", base,
                 i);
        snprintf(path[i], sizeof path[i], "%s/%d.gz", test_dir(), i);
        item[i] = (struct fetch_item){.url = url[i], .path = path[i]};
    }
    struct fetch_conf conf = quick;
    conf.connections = 5;
    struct progress p;
    memset(&p, 0, sizeof p);
    CHECK_INT(fetch_all(&conf, item, MANY, &p), ERR_IO);
    CHECK(strstr(err_text(), "/missing/9:"));
    for (int i = 0; i < MANY; i++) {
        CHECK_INT(item[i].rc, i == 9 || i == 30 ? ERR_IO : 0);
        CHECK_INT(item[i].bytes, i == 9 || i == 30 ? 0 : file_len);
    }
    CHECK(atomic_load(&counts->most) <= 5 && atomic_load(&counts->most) >= 3);
    CHECK_INT(p.done, MANY - 2);
    CHECK_INT(p.bytes, (MANY - 2) * file_len);
}

static void *stop_soon(void *arg)
{
    UNUSED(arg);
    nanosleep(&(struct timespec){0, 300000000}, NULL);
    pipe_stop = 1;
    return NULL;
}

/* Stopped in the middle: soon, and the bytes so far are there for the next run. */
TEST(crawl_fetch_stops)
{
    server_start();
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, stop_soon, NULL) == 0);
    struct fetch_conf conf = quick;
    conf.stall_ms = 30000;
    char url[256];
    snprintf(url, sizeof url, "%s/stall.gz", base);
    struct fetch_item item = {.url = url, .path = target("stall.gz")};
    double start = now_s();
    CHECK_INT(fetch_all(&conf, &item, 1, NULL), ERR_STOP);
    CHECK(now_s() - start < 1.5);
    pthread_join(thread, NULL);
    CHECK(is_file("stall.gz.part", file, 1000) && exists("stall.gz.part.meta") &&
          !exists("stall.gz"));
}

/* Two processes, one path: the second is told to wait and harms nothing. */
TEST(crawl_fetch_same_path_twice)
{
    server_start();
    char url[256];
    snprintf(url, sizeof url, "%s/ok.gz", base);
    struct fetch_item item[2] = {{.url = url, .path = target("same.gz")},
                                 {.url = url, .path = target("same.gz")}};
    int rc = fetch_all(&quick, item, 2, NULL);
    CHECK(rc == ERR_AGAIN || rc == 0);
    CHECK(is_file("same.gz", file, file_len));
}

TEST(crawl_fetch_full_disk_is_temporary)
{
    server_start();
    CHECK(symlink("/dev/full", target("full.part")) == 0);
    CHECK(get("/ok.gz", "full") < 0 && !exists("full")); /* links are not followed */
    struct rlimit small = {1000, 1000};
    signal(SIGXFSZ, SIG_IGN);
    CHECK(setrlimit(RLIMIT_FSIZE, &small) == 0);
    CHECK_INT(get("/ok.gz", "limited"), ERR_IO);
    CHECK(strstr(err_text(), "File too large"));
    CHECK_INT(hits("/ok.gz"), 1);
}

/* ---- rates ---- */
TEST(crawl_fetch_keeps_to_its_rates)
{
    enum { FILES = 9 };
    server_start();
    static char url[FILES][96], path[FILES][IO_PATH_MAX];
    static struct fetch_item item[FILES];
    for (int i = 0; i < FILES; i++) {
        snprintf(url[i], sizeof url[i], "%s/many/%d", base, i);
        snprintf(path[i], sizeof path[i], "%s/rate-%d.gz", test_dir(), i);
        item[i] = (struct fetch_item){.url = url[i], .path = path[i]};
    }
    struct fetch_conf conf = quick;
    conf.requests_per_s = 20;
    double start = now_s();
    CHECK_OK(fetch_all(&conf, item, FILES, NULL));
    double took = now_s() - start;
    CHECK(took >= (FILES - 1) / 20.0 && took < 2);
    /* A second's worth may come at once; the rest at the rate. */
    conf.requests_per_s = 0;
    conf.bytes_per_s = file_len;
    start = now_s();
    CHECK_OK(fetch_all(&conf, item, 2, NULL));
    took = now_s() - start;
    CHECK(took >= 0.6 && took < 3);
}

/* ---- ranges, pages and heads ---- */
TEST(crawl_fetch_ranges_pages_and_heads)
{
    server_start();
    static char url[7][96];
    static const char *const path[7] = {"/ok.gz", "/absent",  "/moved", "/ok.gz",
                                        "/text",  "/half.gz", "/text"};
    struct buf memory[7] = {{0}};
    struct fetch_answer answer[7] = {{0}};
    struct fetch_item item[7];
    for (int i = 0; i < 7; i++) {
        snprintf(url[i], sizeof url[i], "%s%s", base, path[i]);
        item[i] = (struct fetch_item){.url = url[i], .memory = &memory[i], .answer = &answer[i]};
    }
    static const char *const extra[] = {"X-Extra: yes", NULL};
    item[0] = (struct fetch_item){.url = url[0], .flags = FETCH_HEAD};
    item[1].flags = FETCH_ANY_STATUS;
    item[2].flags = FETCH_NO_REDIRECT;
    item[3].offset = 10; /* the server sends all from 10 on: too much */
    item[3].length = 100;
    item[4].header = extra;
    item[5].offset = 0; /* the whole where a part was asked for */
    item[5].length = 7;
    item[6].flags = FETCH_CUT;
    memory[6].max = 3;
    fetch_all(&quick, item, 7, NULL);
    CHECK(item[0].rc == 0 && item[0].bytes == file_len);
    CHECK(item[1].rc == 0 && answer[1].status == 404 && str_is(buf_view(&memory[1]), "no\n"));
    CHECK(item[2].rc == 0 && answer[2].status == 302 &&
          str_ends(str_of(answer[2].location), "/text"));
    CHECK(str_is(fetch_answer_header(&answer[2], "location"), "/text"));
    CHECK(item[3].rc == ERR_IO && item[5].rc == ERR_IO);
    CHECK(item[4].rc == 0 && str_is(buf_view(&memory[4]), "hello"));
    CHECK(str_starts(buf_view(&answer[4].request), "GET /text HTTP/1.1\r\n"));
    CHECK(str_find(buf_view(&answer[4].request), STR("X-Extra: yes\r\n")) != SIZE_MAX);
    CHECK(str_starts(buf_view(&answer[4].header), "HTTP/1.1 200 OK\r\n"));
    CHECK(strcmp(answer[4].ip, "127.0.0.1") == 0);
    CHECK(item[6].rc == 0 && item[6].cut && str_is(buf_view(&memory[6]), "hel"));
    for (int i = 0; i < 7; i++) {
        buf_free(&memory[i]);
        fetch_answer_free(&answer[i]);
    }
}

/* ---- streams ---- */
static int keep(void *self, const void *bytes, size_t len)
{
    buf_add(self, bytes, len);
    return 0;
}

/* Whole gzip members and nothing else, by zlib. */
static bool is_whole_members(struct str bytes)
{
    z_stream z = {.next_in = (Bytef *)(uintptr_t)bytes.ptr, .avail_in = (uInt)bytes.len};
    char scratch[1 << 16];
    bool whole = true;
    CHECK(inflateInit2(&z, 31) == Z_OK);
    while (z.avail_in && whole) {
        int rc;
        do {
            z.next_out = (Bytef *)scratch;
            z.avail_out = sizeof scratch;
            rc = inflate(&z, Z_NO_FLUSH);
        } while (rc == Z_OK);
        whole = rc == Z_STREAM_END && inflateReset(&z) == Z_OK;
    }
    inflateEnd(&z);
    return whole;
}

/* What goes out is a prefix of the file, of whole members; all of it, or an error says so. */
TEST(crawl_fetch_streams_whole_members)
{
    static const struct {
        const char *path;
        int rc;
        bool all;
    } way[] = {
        {"/ok.gz", 0, true},
        {"/half.gz", 0, true},
        {"/rst.gz", 0, true},
        {"/changed.gz", ERR_IO, false},
        {"/ignores.gz", ERR_IO, false},
        {"/half-always.gz", ERR_IO, false},
        {"/corrupt.gz", ERR_IO, false},
        {"/short.gz", ERR_IO, false},
        {"/page.gz", ERR_FORMAT, false},
        {"/text", 0, true},
    };
    server_start();
    for (size_t i = 0; i < COUNT_OF(way); i++) {
        struct buf out = {0};
        struct fetch_sink sink = {keep, &out};
        char url[256];
        snprintf(url, sizeof url, "%s%s", base, way[i].path);
        struct fetch_item item = {.url = url, .sink = &sink};
        int rc = fetch_all(&quick, &item, 1, NULL);
        bool text = way[i].path[1] == 't';
        bool good =
            text ? str_is(buf_view(&out), "hello")
                 : out.len <= file_len && (!out.len || memcmp(out.ptr, file, out.len) == 0) &&
                       is_whole_members(buf_view(&out)) && (out.len == file_len) == way[i].all;
        if (!good || (rc == 0) != (way[i].rc == 0))
            test_fail(__FILE__, __LINE__, "%s: %d, %zu of %zu bytes out: %s", way[i].path, rc,
                      out.len, file_len, err_text());
        if (way[i].path[1] == 'h' || way[i].path[1] == 'c') /* a member was out before it broke */
            CHECK(out.len > file_len / 4);
        buf_free(&out);
    }
}

static int take_none(void *self, const void *bytes, size_t len)
{
    UNUSED(self);
    UNUSED(bytes);
    UNUSED(len);
    return err_set(ERR_LIMIT, "the reader wants no more");
}

TEST(crawl_fetch_stream_limits)
{
    server_start();
    uint64_t seed = 3;
    size_t room = FETCH_MEMBER_MAX + (2 << 20);
    char *big = malloc(room);
    CHECK(big);
    size_t len = gzip_member(big, room, FETCH_MEMBER_MAX + (1 << 20), 0, &seed);
    put("big.gz", big, len);
    free(big);
    struct buf out = {0};
    struct fetch_sink sink = {keep, &out}, none = {take_none, NULL};
    char url[IO_PATH_MAX + 16];
    snprintf(url, sizeof url, "file://%s", target("big.gz"));
    struct fetch_item item = {.url = url, .sink = &sink};
    CHECK_INT(fetch_all(&(struct fetch_conf){0}, &item, 1, NULL), ERR_LIMIT);
    CHECK(out.len == 0 && strstr(err_text(), "cannot be streamed"));
    snprintf(url, sizeof url, "%s/ok.gz", base);
    item = (struct fetch_item){.url = url, .sink = &none};
    CHECK_INT(fetch_all(&quick, &item, 1, NULL), ERR_LIMIT);
    CHECK(strstr(err_text(), "the reader wants no more") && hits("/ok.gz") == 1);
    buf_free(&out);
}

/* ---- what is expected, what is shown, what is private ---- */
TEST(crawl_fetch_expects_the_same_file)
{
    server_start();
    char url[256];
    snprintf(url, sizeof url, "%s/ok.gz", base);
    struct fetch_item item = {.url = url,
                              .path = target("same.gz"),
                              .expect_bytes = file_len,
                              .expect_hash = hash128(file, file_len)};
    CHECK_OK(fetch_all(&quick, &item, 1, NULL));
    CHECK(item.hash.low == item.expect_hash.low && item.hash.high == item.expect_hash.high);
    item.expect_hash.low ^= 1;
    item.path = target("differs.gz");
    CHECK_INT(fetch_all(&quick, &item, 1, NULL), ERR_FORMAT);
    CHECK(strstr(err_text(), "not the one fetched before") && !exists("differs.gz"));
    CHECK(!exists("differs.gz.part"));
}

TEST(crawl_fetch_url_shown)
{
    static const struct {
        const char *url, *shown;
    } way[] = {
        {"https://host/a/b.gz", "https://host/a/b.gz"},
        {"https://me:secret@host/a?b=c", "https://***@host/a?b=c"},
        {"https://a@b@host/x", "https://***@host/x"},
        {"https://h/x?X-Amz-Signature=0123&X-Amz-Date=2&token=t&v",
         "https://h/x?X-Amz-Signature=***"
         "&X-Amz-Date=2&token=***&v"},
        {"s3://bucket/key@x", "s3://bucket/key@x"},
        {"no url", "no url"},
    };
    char to[IO_PATH_MAX];
    for (size_t i = 0; i < COUNT_OF(way); i++)
        CHECK_STR(str_of(fetch_url_shown(way[i].url, to)), way[i].shown);
}

/* Expected values: the registries of RFC 6890 and its successors. */
TEST(crawl_fetch_private_addresses)
{
    static const struct {
        const char *ip;
        bool private;
    } way[] = {
        {"127.0.0.1", true},
        {"127.255.255.254", true},
        {"10.1.2.3", true},
        {"172.16.0.1", true},
        {"172.31.255.255", true},
        {"172.32.0.1", false},
        {"172.15.255.255", false},
        {"192.168.1.1", true},
        {"192.169.0.1", false},
        {"169.254.169.254", true},
        {"100.64.0.1", true},
        {"100.128.0.1", false},
        {"0.0.0.0", true},
        {"224.0.0.1", true},
        {"255.255.255.255", true},
        {"8.8.8.8", false},
        {"1.1.1.1", false},
        {"::1", true},
        {"::", true},
        {"fe80::1", true},
        {"fc00::1", true},
        {"fd12::1", true},
        {"ff02::1", true},
        {"::ffff:127.0.0.1", true},
        {"::ffff:8.8.8.8", false},
        {"64:ff9b::a00:1", true},
        {"64:ff9b::808:808", false},
        {"2002:7f00:1::", true},
        {"2002:808:808::", false},
        {"2606:4700::1111", false},
        {"fec0::1", true},
    };
    for (size_t i = 0; i < COUNT_OF(way); i++)
        if (address_text_is_private(way[i].ip, address_is_private) != way[i].private)
            test_fail(__FILE__, __LINE__, "%s", way[i].ip);
    CHECK(address_host_is_private(STR("LocalHost"), address_is_private));
    CHECK(!address_host_is_private(STR("127.0.0.1.example.org"), address_is_private));
    CHECK(!address_host_is_private(STR("example.org"), address_is_private));
}

/* URLs that come out of pages never lead to a private address, written, named or redirected. */
TEST(crawl_fetch_public_only)
{
    server_start();
    struct fetch_conf conf = quick;
    conf.user_agent = "test (+me@example.org)";
    conf.public_only = true;
    conf.retries = 0;
    char url[256], name[64];
    snprintf(name, sizeof name, "inside.example:%d:127.0.0.1", atomic_load(&counts->port));
    const char *const resolve[] = {name, NULL};
    conf.resolve = resolve;
    static const char *const host[] = {"127.0.0.1", "localhost", "inside.example", "[::1]"};
    for (size_t i = 0; i < COUNT_OF(host); i++) {
        snprintf(url, sizeof url, "http://%s:%d/text", host[i], atomic_load(&counts->port));
        struct buf memory = {0};
        struct fetch_item item = {.url = url, .memory = &memory};
        CHECK_INT(fetch_all(&conf, &item, 1, NULL), ERR_IO);
        CHECK(strstr(err_text(), "private address") && memory.len == 0);
        buf_free(&memory);
    }
    CHECK_INT(hits("/text"), 0);
}

/* The functions are found in the library itself, and values of each kind arrive. */
TEST(crawl_libcurl_is_loaded)
{
    char url[] = "file:///dev/null", *effective = NULL;
    long status = -1;
    CHECK(libcurl_ready() == 0);
    CHECK(strncmp(curl_easy_strerror(CURLE_COULDNT_RESOLVE_HOST), "Couldn't resolve", 16) == 0);
    CHECK(curl_getdate("Sun, 06 Nov 1994 08:49:37 GMT", NULL) == 784111777); /* RFC 9110 5.6.7 */
    CURL *easy = curl_easy_init();
    CHECK(easy);
    CHECK(curl_easy_setopt(easy, CURLOPT_URL, url) == CURLE_OK);
    CHECK(curl_easy_setopt(easy, CURLOPT_NOBODY, 1L) == CURLE_OK);
    CHECK(curl_easy_setopt(easy, CURLOPT_MAXFILESIZE_LARGE, (curl_off_t)-1) ==
          CURLE_BAD_FUNCTION_ARGUMENT);
    CHECK(curl_easy_perform(easy) == CURLE_OK);
    CHECK(curl_easy_getinfo(easy, CURLINFO_EFFECTIVE_URL, &effective) == CURLE_OK);
    CHECK_STR(str_of(effective), url);
    CHECK(curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status) == CURLE_OK && status == 0);
    curl_easy_cleanup(easy);
    curl_easy_cleanup(NULL);
}

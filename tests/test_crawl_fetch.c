/* test_crawl_fetch - downloads from a hostile HTTP server on 127.0.0.1, and Common Crawl's layout.
 */
#include "tests/test.h"

#include "core/io.h"
#include "core/log.h"
#include "crawl/crawl.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <zlib.h>

/* ---- the file that is served ---- */
static char file[300000], other[300000];
static size_t file_len, other_len;

static size_t gzip_into(char *to, size_t room, uint64_t seed)
{
    size_t len = 0;
    for (int member = 0; member < 3; member++) {
        char text[90000];
        for (size_t i = 0; i < sizeof text; i++)
            text[i] = (char)(test_random(&seed) % 200);
        z_stream z = {.next_in = (Bytef *)text,
                      .avail_in = sizeof text,
                      .next_out = (Bytef *)to + len,
                      .avail_out = (uInt)(room - len)};
        CHECK(deflateInit2(&z, 1, Z_DEFLATED, 31, 9, Z_DEFAULT_STRATEGY) == Z_OK);
        CHECK(deflate(&z, Z_FINISH) == Z_STREAM_END);
        len += z.total_out;
        deflateEnd(&z);
    }
    return len;
}

/* ---- the server: a process that forks for every connection ---- */
struct shared { atomic_int hits[1 << 16], running, most, resumed; char range[256]; };
static struct shared *shared;
static char base[64];

static void say(int to, const void *bytes, size_t len)
{
    while (len) {
        ssize_t sent = send(to, bytes, len, MSG_NOSIGNAL);
        if (sent <= 0)
            _exit(0);
        bytes = (const char *)bytes + sent;
        len -= (size_t)sent;
    }
}

static void say_text(int to, const char *fmt, ...) PRINTF_LIKE(2, 3);
static void say_text(int to, const char *fmt, ...)
{
    char text[1024];
    va_list args;
    va_start(args, fmt);
    int len = vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    say(to, text, (size_t)len);
}

static void say_file(int to, const char *bytes, size_t len, size_t from, const char *etag)
{
    if (from)
        say_text(to, "HTTP/1.1 206 Partial\r\nContent-Range: bytes %zu-%zu/%zu\r\n", from, len - 1,
                 len);
    else
        say_text(to, "HTTP/1.1 200 OK\r\n");
    say_text(to, "ETag: %s\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n", etag, len - from);
    say(to, bytes + from, len - from);
}

static void pause_for(long ms)
{
    nanosleep(&(struct timespec){ms / 1000, ms % 1000 * 1000000}, NULL);
}

static void reset(int to)
{
    pause_for(30); /* what was sent arrives first */
    setsockopt(to, SOL_SOCKET, SO_LINGER, &(struct linger){1, 0}, sizeof(struct linger));
    close(to);
    _exit(0);
}

static void say_half(int to, bool rst)
{
    say_text(to,
             "HTTP/1.1 200 OK\r\nETag: \"a\"\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n",
             file_len);
    say(to, file, file_len / 2);
    if (rst)
        reset(to);
}

#define OK "HTTP/1.1 200 OK\r\n"
#define FOUND "HTTP/1.1 302 Found\r\nContent-Length: 0\r\n"
#define CLOSE "Connection: close\r\n"
static const struct { const char *path, *first, *later; } fixed[] = {
    {"/text", OK "Content-Length: 5\r\n\r\nhello", NULL},
    {"/empty.txt", OK "Content-Length: 0\r\n\r\n", NULL},
    {"/loop", FOUND "Location: /loop\r\n\r\n", NULL},
    {"/moved", FOUND "Location: /text\r\n\r\n", NULL},
    {"/passwd", FOUND "Location: file:///etc/passwd\r\n\r\n", NULL},
    {"/gopher", FOUND "Location: gopher://127.0.0.1/x\r\n\r\n", NULL},
    {"/busy", "HTTP/1.1 503 Busy\r\nRetry-After: 1\r\nContent-Length: 4\r\n" CLOSE "\r\nlate",
     OK "Content-Length: 5\r\n\r\nhello"},
    {"/always-503", "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n", NULL},
    {"/page.gz", OK "Content-Length: 21\r\n" CLOSE "\r\n<html>sorry, no</html>", NULL},
    {"/negative", OK "Content-Length: -5\r\n" CLOSE "\r\nhello", NULL},
    {"/two", OK "Content-Length: 9\r\nContent-Length: 5\r\n" CLOSE "\r\nhel", NULL},
    {"/overflow", OK "Content-Length: 9223372036854775808\r\n" CLOSE "\r\nhello", NULL},
    {"/chunks", OK "Transfer-Encoding: chunked\r\n" CLOSE "\r\n5\r\nhello\r\nffffff\r\nlie", NULL},
    {"/old", "<html>HTTP/0.9</html>", NULL},
    {"/unmodified", "HTTP/1.1 304 Not Modified\r\n\r\n", NULL},
    {"/huge", OK "Content-Length: 99999999999\r\n\r\nhello", NULL},
};

/* Paths whose first answer breaks off, or that answer ranges in their own ways. */
static bool behave_range(int to, const char *path, int nth, size_t from, bool if_range)
{
    bool breaks = strcmp(path, "/half.gz") == 0 || strcmp(path, "/rst.gz") == 0;
    bool whole = strcmp(path, "/changed.gz") == 0 || strcmp(path, "/ignores.gz") == 0;
    bool liar = strcmp(path, "/liar.gz") == 0, shifted = strcmp(path, "/shifted.gz") == 0;
    if (strcmp(path, "/complete.gz") == 0)
        say_text(to,
                 "HTTP/1.1 416 Range\r\nContent-Range: bytes */%zu\r\nContent-Length: 0\r\n\r\n",
                 file_len);
    else if (strcmp(path, "/shrunk.gz") == 0 && from)
        say_text(to, "HTTP/1.1 416 Range\r\nContent-Range: bytes */9\r\nContent-Length: 0\r\n\r\n");
    else if (strcmp(path, "/shrunk.gz") == 0)
        say_file(to, file, file_len, 0, "\"b\"");
    else if ((breaks || whole || liar || shifted) && nth == 0)
        say_half(to, path[1] == 'r');
    else if (breaks && from == file_len / 2 && if_range)
        say_file(to, file, file_len, from, "\"a\"");
    else if (whole && path[1] == 'c') /* If-Range does not hold */
        say_file(to, other, other_len, 0, "\"b\"");
    else if (whole) /* ranges are not known here */
        say_file(to, file, file_len, 0, "\"a\"");
    else if (liar) /* a range of another file */
        say_file(to, other, other_len, nth == 1 ? from : 0, "\"b\"");
    else if (shifted)
        say_file(to, file, file_len, nth == 1 ? from - 7 : 0, "\"a\"");
    else
        return false;
    return true;
}

/* Paths that wait or never end. */
static bool behave_slow(int to, const char *path)
{
    if (strcmp(path, "/stall.gz") == 0) {
        say_text(to, OK "ETag: \"a\"\r\nContent-Length: %zu\r\n\r\n", file_len);
        say(to, file, 1000);
        pause_for(60000);
    } else if (strcmp(path, "/silent") == 0) {
        pause_for(60000);
    } else if (strcmp(path, "/drip") == 0) {
        for (int i = 0; i < 600; i++) {
            say(to, OK "X: y" + i % 20, 1);
            pause_for(100);
        }
    } else if (strcmp(path, "/headers") == 0) {
        say_text(to, OK);
        for (;;)
            say_text(to, "X-Header: %0500d\r\n", 1);
    } else if (strcmp(path, "/interim") == 0) {
        for (;;)
            say_text(to, "HTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\n");
    } else if (strcmp(path, "/endless") == 0) {
        say_text(to, OK "Transfer-Encoding: chunked\r\n" CLOSE "\r\n");
        for (;;) {
            say_text(to, "%zx\r\n", file_len);
            say(to, file, file_len);
            say_text(to, "\r\n");
        }
    }
    return false;
}

/* What a path does; nth counts requests for it from 0; from is the range asked for (0: none). */
static void behave(int to, const char *path, int nth, size_t from, bool if_range)
{
    for (size_t i = 0; i < COUNT_OF(fixed); i++)
        if (strcmp(path, fixed[i].path) == 0) {
            const char *text = nth && fixed[i].later ? fixed[i].later : fixed[i].first;
            say(to, text, strlen(text));
            return;
        }
    if (behave_range(to, path, nth, from, if_range) || behave_slow(to, path))
        return;
    if (strcmp(path, "/ok.gz") == 0) {
        say_file(to, file, file_len, 0, "\"a\"");
    } else if (strncmp(path, "/many/", 6) == 0) {
        pause_for(20);
        say_file(to, file, file_len, 0, "\"a\"");
    } else if (strcmp(path, "/busy-date") == 0 && nth == 0) {
        char date[64];
        time_t then = time(NULL) + 2;
        struct tm tm;
        strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S GMT", gmtime_r(&then, &tm));
        say_text(to, "HTTP/1.1 429 Slow\r\nRetry-After: %s\r\nContent-Length: 0\r\n\r\n", date);
    } else if (strcmp(path, "/busy-date") == 0) {
        say_text(to, OK "Content-Length: 5\r\n\r\nhello");
    } else if (strcmp(path, "/cut.gz") == 0) { /* no length, so only the gzip members tell */
        say_text(to, OK "Transfer-Encoding: chunked\r\n" CLOSE "\r\n%zx\r\n", file_len - 5);
        say(to, file, file_len - 5);
        say_text(to, "\r\n0\r\n\r\n");
    } else if (strcmp(path, "/corrupt.gz") == 0) {
        file[file_len / 2] ^= 0x10;
        say_file(to, file, file_len, 0, "\"a\"");
    } else {
        say_text(to, "HTTP/1.1 404 Not Found\r\nContent-Length: 3\r\n" CLOSE "\r\nno\n");
    }
}

static int hit_slot(const char *path)
{
    return (int)(hash_str(str_of(path), 1) % COUNT_OF(shared->hits));
}

static void serve(int to)
{
    char request[4096], path[256] = "";
    size_t len = 0;
    while (len < sizeof request - 1 && (len < 4 || !memmem(request, len, "\r\n\r\n", 4))) {
        ssize_t got = recv(to, request + len, sizeof request - 1 - len, 0);
        if (got <= 0)
            return;
        len += (size_t)got;
    }
    request[len] = 0;
    if (sscanf(request, "GET %255s", path) != 1)
        return;
    size_t from = 0;
    const char *range = strstr(request, "Range: bytes=");
    if (range && sscanf(range, "Range: bytes=%zu-", &from) == 1)
        atomic_fetch_add(&shared->resumed, 1);
    behave(to, path, atomic_fetch_add(&shared->hits[hit_slot(path)], 1), from,
           strstr(request, "If-Range: \"a\"") != NULL);
}

static int listen_somewhere(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;
    CHECK(fd >= 0 && bind(fd, (struct sockaddr *)&at, len) == 0 && listen(fd, 64) == 0);
    CHECK(getsockname(fd, (struct sockaddr *)&at, &len) == 0);
    snprintf(base, sizeof base, "http://127.0.0.1:%d", ntohs(at.sin_port));
    return fd;
}

static void server_start(void)
{
    log_open(LOG_QUIET);
    file_len = gzip_into(file, sizeof file, 1);
    other_len = gzip_into(other, sizeof other, 2);
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(shared != MAP_FAILED);
    int fd = listen_somewhere();
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid > 0) {
        close(fd);
        return;
    }
    signal(SIGCHLD, SIG_IGN);
    for (;;) {
        int to = accept(fd, NULL, NULL);
        if (to < 0 || fork() > 0) {
            close(to);
            continue;
        }
        int now = atomic_fetch_add(&shared->running, 1) + 1;
        if (now > atomic_load(&shared->most))
            atomic_store(&shared->most, now);
        serve(to);
        atomic_fetch_sub(&shared->running, 1);
        _exit(0);
    }
}

static int hits(const char *path) { return atomic_load(&shared->hits[hit_slot(path)]); }

/* ---- asking ---- */
static const struct fetch_conf quick = {
    .retries = 3, .connect_ms = 2000, .stall_ms = 1000, .backoff_ms = 10, .file_max = 1 << 20};

static const char *target(const char *name)
{
    static char path[IO_PATH_MAX];
    snprintf(path, sizeof path, "%s/%s", test_dir(), name);
    return path;
}

static int get(const char *path, const char *to)
{
    char url[256];
    snprintf(url, sizeof url, "%s%s", base, path);
    struct fetch_item item = {.url = url, .path = target(to)};
    int rc = fetch_all(&quick, &item, 1, NULL);
    CHECK_INT(item.rc, rc);
    return rc;
}

static bool is_file(const char *name, const char *bytes, size_t len)
{
    char *got;
    size_t got_len;
    if (io_read_file(target(name), 1 << 24, &got, &got_len) < 0)
        return false;
    bool same = got_len == len && memcmp(got, bytes, len) == 0;
    free(got);
    return same;
}

static bool exists(const char *name) { return access(target(name), F_OK) == 0; }

static double now_s(void) { return (double)clock_ns() * 1e-9; }

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
    static const struct { const char *path; bool changed; int asked, resumed; } way[] = {
        {"/half.gz", false, 2, 1}, {"/rst.gz", false, 2, 1}, {"/changed.gz", true, 2, 1},
        {"/ignores.gz", false, 2, 1}, {"/liar.gz", true, 3, 1}, {"/shifted.gz", false, 3, 1},
    };
    server_start();
    for (size_t i = 0; i < COUNT_OF(way); i++) {
        atomic_store(&shared->resumed, 0);
        if (get(way[i].path, way[i].path + 1) < 0)
            test_fail(__FILE__, __LINE__, "%s: %s", way[i].path, err_text());
        if (!is_file(way[i].path + 1, way[i].changed ? other : file,
                     way[i].changed ? other_len : file_len))
            test_fail(__FILE__, __LINE__, "%s: the bytes are wrong", way[i].path);
        if (hits(way[i].path) != way[i].asked || atomic_load(&shared->resumed) != way[i].resumed)
            test_fail(__FILE__, __LINE__, "%s: %d requests, %d ranges", way[i].path,
                      hits(way[i].path), atomic_load(&shared->resumed));
    }
}

static void put(const char *name, const char *bytes, size_t len)
{
    FILE *f = fopen(target(name), "wb");
    CHECK(f && fwrite(bytes, 1, len, f) == len && fclose(f) == 0);
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
        atomic_store(&shared->resumed, 0);
        put("ok.gz.part", file, file_len / 2);
        if (i == 0)
            put_meta("ok.gz.part.meta", "/elsewhere.gz", file_len);
        if (i == 1)
            put("ok.gz.part.meta", "\n\n\n\n\n\n", 6);
        CHECK_OK(get("/ok.gz", "ok.gz"));
        CHECK(is_file("ok.gz", file, file_len));
        CHECK_INT(atomic_load(&shared->resumed), 0);
    }
}

/* Every answer that must not become a file: the error, what it says, and that nothing is left at
 * the path. */
TEST_LIMIT(crawl_fetch_refuses, 60)
{
    static const struct { const char *path; int rc; const char *says; int asked;
    } bad[] = {
        {"/absent.gz", ERR_IO, "404", 1},
        {"/loop", ERR_IO, "redirects", 6},
        {"/passwd", ERR_IO, "may not lead", 1},
        {"/gopher", ERR_IO, "may not lead", 1},
        {"/always-503", ERR_AGAIN, "tried 4 times", 4},
        {"/page.gz", ERR_FORMAT, "<html>sorry", 4},
        {"/cut.gz", ERR_FORMAT, "ends inside", 4},
        {"/corrupt.gz", ERR_FORMAT, "damaged", 4},
        {"/headers", ERR_IO, "headers", 1},
        {"/interim", ERR_IO, "headers", 1},
        {"/old", ERR_IO, "HTTP/0.9", 1},
        {"/unmodified", ERR_IO, "304", 1},
        {"/huge", ERR_LIMIT, "file_max", 1},
        {"/endless", ERR_LIMIT, "file_max", 1},
        {"/negative", ERR_IO, "Content-Length", 4},
        {"/two", ERR_IO, "Content-Length", 1},
        {"/overflow", ERR_IO, "Content-Length", 1},
        {"/chunks", ERR_IO, "tried 4 times", 4},
    };
    server_start();
    struct rusage before, after;
    getrusage(RUSAGE_SELF, &before);
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        double start = now_s();
        int rc = get(bad[i].path, strstr(bad[i].path, ".gz") ? "out.gz" : "out");
        if (rc != bad[i].rc || !strstr(err_text(), bad[i].says)
            || (bad[i].asked && hits(bad[i].path) != bad[i].asked))
            test_fail(__FILE__, __LINE__, "%s: %d after %d requests: %s", bad[i].path, rc,
                      hits(bad[i].path), err_text());
        CHECK(now_s() - start < 5);
        CHECK(!exists("out.gz") && !exists("out"));
    }
    getrusage(RUSAGE_SELF, &after);
    CHECK(after.ru_maxrss - before.ru_maxrss < 32 << 10); /* KiB */
}

/* Silence in the header, in the body, or a byte now and then: given up after stall_ms, each time.
 */
TEST_LIMIT(crawl_fetch_stalls_are_given_up, 60)
{
    static const char *const path[] = {"/silent", "/stall.gz", "/drip"};
    server_start();
    struct fetch_conf conf = quick;
    conf.retries = 1;
    static char url[3][256], to[3][IO_PATH_MAX];
    struct fetch_item item[3];
    for (int i = 0; i < 3; i++) {
        snprintf(url[i], sizeof url[i], "%s%s", base, path[i]);
        snprintf(to[i], sizeof to[i], "%s/%d.gz", test_dir(), i);
        item[i] = (struct fetch_item){.url = url[i], .path = to[i]};
    }
    double start = now_s();
    CHECK_INT(fetch_all(&conf, item, 3, NULL), ERR_IO);
    CHECK(now_s() - start > 1.5 && now_s() - start < 8);
    for (int i = 0; i < 3; i++) {
        CHECK_INT(hits(path[i]), 2);
        CHECK(item[i].rc == ERR_IO && access(to[i], F_OK) != 0);
    }
}

TEST(crawl_fetch_retry_after)
{
    server_start();
    double start = now_s();
    CHECK_OK(get("/busy", "busy"));
    CHECK(now_s() - start >= 1 && now_s() - start < 3);
    CHECK_INT(hits("/busy"), 2);
    start = now_s();
    CHECK_OK(get("/busy-date", "busy-date"));
    CHECK(now_s() - start >= 0.9 && now_s() - start < 4);
}

/* A port nobody listens on: quick, and with the remedy. */
TEST(crawl_fetch_connection_refused)
{
    log_open(LOG_QUIET);
    close(listen_somewhere());
    double start = now_s();
    struct fetch_conf conf = {.retries = 8};
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
    CHECK(atomic_load(&shared->most) <= 5 && atomic_load(&shared->most) >= 3);
    CHECK_INT(p.done, MANY - 2);
    CHECK_INT(p.bytes, (MANY - 2) * file_len);
}

static void *stop_soon(void *arg)
{
    UNUSED(arg);
    pause_for(300);
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
    CHECK(is_file("stall.gz.part", file, 1000) && exists("stall.gz.part.meta")
          && !exists("stall.gz"));
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
    CHECK(conf.fetch.connections == 4 && conf.fetch.retries == 8
          && conf.fetch.file_max == (uint64_t)4 << 30);
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
        CHECK(i == 0
              || strcmp(strrchr(large[i], '/'), strrchr(large[i - 1], '/'))
                     > 0); /* the list's order */
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
    conf.base = "";
    CHECK_ERR(crawl_files(&conf, &a, &paths, &count), ERR_USAGE);
    arena_close(&a);
}

/* test_crawl_fetch_hostile - what a hostile server does to downloads, one behaviour a row. */
#include "tests/hostile.h"

#include "crawl/address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>

/* ---- the behaviours of a hostile server ---- */
/* 127.0.0.2 plays the open internet, everything else is what it is. */
static bool two_is_public(const struct sockaddr *a)
{
    return address_is_private(a) &&
           !(a->sa_family == AF_INET &&
             ((const struct sockaddr_in *)(const void *)a)->sin_addr.s_addr ==
                 htonl(INADDR_LOOPBACK + 1));
}

/* A name that led to a public address first and leads to a private one then (DNS rebinding): the
 * first connection is looked at twice, as its socket opens and before its request. */
static bool rebinds(const struct sockaddr *a)
{
    static int looked;
    UNUSED(a);
    return ++looked > 2;
}

enum from { LOCAL, PUBLIC, REBIND, NAMED };
/* R18 to R21 of the reliability list: what each comes to, what is said, and how many requests it
 * costs. `same`: the file arrives all the same. max_s bounds the time; memory is bounded for all.
 */
static const struct behaviour {
    const char *path;
    int rc;
    const char *says;
    int asked; /* 0: not counted */
    enum from from;
    double max_s;
} behaviours[] = {
    /* stalls */
    {"/silent", ERR_IO, "no answer for", 2, LOCAL, 6},
    {"/stall.gz", ERR_IO, "less than 1 KB/s", 2, LOCAL, 6},
    {"/drip", ERR_IO, "no answer for", 2, LOCAL, 6},
    {"/drip-body.gz", ERR_IO, "less than 1 KB/s", 2, LOCAL, 6},
    /* connections that end */
    {"/half.gz", 0, "", 2, LOCAL, 6},
    {"/rst.gz", 0, "", 2, LOCAL, 6},
    {"/nothing", ERR_IO, "tried 4 times", 4, LOCAL, 6},
    {"/half-always.gz", ERR_IO, "ended before the file did", 4, LOCAL, 6},
    {"/fin.gz", ERR_IO, "where the file ends", 1, LOCAL, 6},
    {"/no-length", ERR_IO, "where the file ends", 1, LOCAL, 6},
    /* lengths */
    {"/long.gz", ERR_IO, "ended before the file did", 4, LOCAL, 6},
    {"/short.gz", ERR_FORMAT, "ends inside", 4, LOCAL, 6},
    {"/negative", ERR_IO, "Content-Length", 4, LOCAL, 6},
    {"/overflow", ERR_IO, "Content-Length", 1, LOCAL, 6},
    {"/two", ERR_IO, "Content-Length", 1, LOCAL, 6},
    {"/huge", ERR_LIMIT, "file_max", 1, LOCAL, 6},
    {"/endless", ERR_LIMIT, "file_max", 1, LOCAL, 6},
    {"/chunks", ERR_IO, "tried 4 times", 4, LOCAL, 6},
    {"/chunk-text", ERR_IO, "tried 4 times", 4, LOCAL, 6},
    {"/chunk-huge", ERR_IO, "tried 4 times", 4, LOCAL, 6},
    /* headers */
    {"/headers", ERR_IO, "headers of more", 1, LOCAL, 6},
    {"/header-line", ERR_IO, "", 0, LOCAL, 6},
    {"/interim", ERR_IO, "headers of more", 1, LOCAL, 6},
    {"/old", ERR_IO, "HTTP/0.9", 1, LOCAL, 6},
    /* answers that are not the file */
    {"/absent.gz", ERR_IO, "404", 1, LOCAL, 6},
    {"/page.gz", ERR_FORMAT, "<html>sorry", 4, LOCAL, 6},
    {"/gzip-lie.gz", ERR_FORMAT, "<html>sorry", 4, LOCAL, 6},
    {"/encoded", ERR_IO, "Content-Encoding br", 1, LOCAL, 6},
    {"/corrupt.gz", ERR_FORMAT, "damaged", 4, LOCAL, 6},
    {"/cut.gz", ERR_FORMAT, "ends inside", 4, LOCAL, 6},
    {"/unmodified", ERR_IO, "304", 1, LOCAL, 6},
    {"/partial", ERR_IO, "range", 4, LOCAL, 6},
    {"/liar.gz", 0, "", 3, LOCAL, 6},
    {"/shifted.gz", 0, "", 3, LOCAL, 6},
    {"/changed.gz", 0, "", 2, LOCAL, 6},
    {"/ignores.gz", 0, "", 2, LOCAL, 6},
    /* patience */
    {"/always-503", ERR_AGAIN, "tried 4 times", 4, LOCAL, 6},
    {"/busy-absent", 0, "", 2, LOCAL, 6},
    {"/busy-past", 0, "", 2, LOCAL, 6},
    {"/busy-garbage", 0, "", 2, LOCAL, 6},
    {"/forbidden", 0, "", 2, LOCAL, 6},
    /* where a redirect leads */
    {"/moved", 0, "", 1, LOCAL, 6},
    {"/loop", ERR_IO, "redirects", 6, LOCAL, 6},
    {"/passwd", ERR_IO, "may not lead", 1, LOCAL, 6},
    {"/gopher", ERR_IO, "may not lead", 1, LOCAL, 6},
    {"/nowhere", ERR_IO, "", 4, LOCAL, 8},
    {"/to-public", 0, "", 1, PUBLIC, 6},
    {"/to-loopback", ERR_IO, "private address", 1, PUBLIC, 6},
    {"/to-localhost", ERR_IO, "private address", 1, PUBLIC, 6},
    {"/to-six", ERR_IO, "private address", 1, PUBLIC, 6},
    {"/metadata", ERR_IO, "private address", 1, PUBLIC, 6},
    {"/mapped", ERR_IO, "private address", 1, PUBLIC, 6},
    {"/decimal", ERR_IO, "private address", 1, PUBLIC, 6},
    {"/half.gz?rebind", ERR_IO, "private address", 1, REBIND, 6},
    {"/text?named", ERR_IO, "resolve", 0, NAMED, 8},
};

/* One behaviour, in a process of its own; what it came to goes to the pipe. */
static void behaviour_run(const struct behaviour *b, int index, int to)
{
    char url[300], path[IO_PATH_MAX], name[64], text[1024] = "";
    const char *const resolve[] = {name, NULL};
    struct fetch_conf conf = quick;
    int port = atomic_load(&counts->port);
    conf.user_agent = "test (+me@example.org)";
    conf.is_private = b->from == REBIND ? rebinds : two_is_public;
    conf.retries = strstr(b->says, "no answer") || strstr(b->says, "1 KB") ? 1 : 3;
    conf.stall_ms = 500;
    static const char *const host[] = {"127.0.0.1", "127.0.0.2", "rebinds.example",
                                       "no-such-host.invalid"};
    snprintf(name, sizeof name, "rebinds.example:%d:127.0.0.2", port);
    conf.resolve = resolve;
    snprintf(url, sizeof url, "http://%s:%d%s", host[b->from], port, b->path);
    snprintf(path, sizeof path, "%s/out-%d%s", test_dir(), index,
             strstr(b->path, ".gz") ? ".gz" : "");
    struct fetch_item item = {.url = url, .path = path};
    double start = now_s();
    int rc = fetch_all(&conf, &item, 1, NULL);
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    bool there = access(path, F_OK) == 0;
    int asked = hits(b->path);
    if (rc != b->rc || (rc < 0 && !strstr(err_text(), b->says)) || (b->asked && asked != b->asked))
        snprintf(text, sizeof text, "%s: %d after %d requests: %s", b->path, rc, asked, err_text());
    else if (there != (rc == 0))
        snprintf(text, sizeof text, "%s: a file is %s", b->path, there ? "left" : "missing");
    else if (now_s() - start > b->max_s)
        snprintf(text, sizeof text, "%s: took %.1f s", b->path, now_s() - start);
    else if (usage.ru_maxrss > MEMORY_MAX_KIB)
        snprintf(text, sizeof text, "%s: %ld KiB of memory", b->path, usage.ru_maxrss);
    if (rc == 0 && strstr(path, ".gz")) {
        bool new = strcmp(b->path, "/changed.gz") == 0 || strcmp(b->path, "/liar.gz") == 0;
        snprintf(name, sizeof name, "out-%d.gz", index);
        if (!is_file(name, new ? other : file, new ? other_len : file_len))
            snprintf(text, sizeof text, "%s: the bytes are wrong", b->path);
    }
    _exit(write(to, text, strlen(text)) < 0);
}

/* All at once: most of their time is waiting. */
TEST_LIMIT(crawl_fetch_hostile_server, 60)
{
    server_start();
    int from[COUNT_OF(behaviours)], failed = 0;
    for (size_t i = 0; i < COUNT_OF(behaviours); i++) {
        int ends[2];
        CHECK(pipe(ends) == 0);
        from[i] = ends[0];
        pid_t pid = fork();
        CHECK(pid >= 0);
        if (pid == 0)
            behaviour_run(&behaviours[i], (int)i, ends[1]);
        close(ends[1]);
    }
    for (size_t i = 0; i < COUNT_OF(behaviours); i++) {
        char text[1024];
        ssize_t len = read(from[i], text, sizeof text - 1);
        if (len > 0)
            fprintf(stderr, "    %.*s\n", (int)len, text);
        failed += len != 0;
    }
    int status;
    while (waitpid(-1, &status, WNOHANG) > 0)
        failed += !WIFEXITED(status) || WEXITSTATUS(status);
    CHECK_INT(failed, 0);
    CHECK_INT(hits("/secret"), 0); /* nothing of ours was asked for over a redirect */
}

/* Asks in a process that is ended after two seconds: it should be waiting still. */
static pid_t ask_and_wait(const char *path)
{
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid > 0)
        return pid;
    char url[256];
    snprintf(url, sizeof url, "%s%s", base, path);
    signal(SIGALRM, SIG_DFL);
    alarm(2);
    struct fetch_item item = {.url = url, .path = target(path + 1)};
    fetch_all(&quick, &item, 1, NULL);
    _exit(0); /* it gave up, or thought it had the file */
}

/* Answers put together at random: none becomes a .gz, and a plain file only when a length or chunks
 * said where it ends (the longest there can be has a few hundred bytes). */
TEST_LIMIT(crawl_fetch_random_answers, 60)
{
    enum { ANSWERS = 150 };
    server_start();
    static char url[ANSWERS][96], path[ANSWERS][IO_PATH_MAX];
    static struct fetch_item item[ANSWERS];
    for (int i = 0; i < ANSWERS; i++) {
        snprintf(url[i], sizeof url[i], "%s/random/%d", base, i);
        snprintf(path[i], sizeof path[i], "%s/random-%d%s", test_dir(), i, i % 2 ? ".gz" : "");
        item[i] = (struct fetch_item){.url = url[i], .path = path[i]};
    }
    struct fetch_conf conf = quick;
    conf.retries = 1;
    conf.connections = 32;
    conf.requests_per_s = 20000; /* it falls to a sixteenth of that */
    conf.stall_ms = 300;
    conf.is_private = two_is_public;
    fetch_all(&conf, item, ANSWERS, NULL);
    int whole = 0;
    for (int i = 0; i < ANSWERS; i++) {
        CHECK((item[i].rc == 0) == (access(path[i], F_OK) == 0));
        CHECK(item[i].rc < 0 || (i % 2 == 0 && item[i].bytes < 1000));
        CHECK(item[i].rc == 0 || item[i].tries > 0);
        whole += item[i].rc == 0;
    }
    if (whole == 0 || whole > ANSWERS / 2)
        test_fail(__FILE__, __LINE__, "%d answers were taken for files", whole);
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    CHECK(usage.ru_maxrss < MEMORY_MAX_KIB);
}

/* Retry-After in seconds and as a date is waited for, and an absurd one is no reason to go on. */
TEST(crawl_fetch_retry_after)
{
    static const char *const never[] = {"/busy-absurd", "/busy-year"};
    pid_t pid[COUNT_OF(never)];
    server_start();
    for (size_t i = 0; i < COUNT_OF(never); i++)
        pid[i] = ask_and_wait(never[i]);
    double start = now_s();
    CHECK_OK(get("/busy", "busy"));
    CHECK(now_s() - start >= 1 && now_s() - start < 3.5);
    CHECK_INT(hits("/busy"), 2);
    start = now_s();
    CHECK_OK(get("/busy-date", "busy-date"));
    CHECK(now_s() - start >= 0.9 && now_s() - start < 4.5);
    for (size_t i = 0; i < COUNT_OF(never); i++) {
        int status;
        CHECK(waitpid(pid[i], &status, 0) == pid[i] && WIFSIGNALED(status));
        CHECK_INT(hits(never[i]), 1);
    }
}

/* R23 in small: three of ten requests fail; all files arrive, at little more than the price of the
 * failures themselves (1 / 0.7 = 1.43 requests a file). */
TEST_LIMIT(crawl_fetch_against_thirty_percent_failures, 60)
{
    enum { FILES = 200, LANDED = 20 }; /* the others go to memory, which needs no syncing */
    server_start();
    static char url[FILES][96], path[LANDED][IO_PATH_MAX];
    static struct buf memory[FILES];
    static struct fetch_item item[FILES];
    for (int i = 0; i < FILES; i++) {
        snprintf(url[i], sizeof url[i], "%s/flaky/%d.gz", base, i);
        item[i] = (struct fetch_item){.url = url[i], .memory = &memory[i]};
        if (i >= LANDED)
            continue;
        snprintf(path[i], sizeof path[i], "%s/flaky-%d.gz", test_dir(), i);
        item[i] = (struct fetch_item){.url = url[i], .path = path[i]};
    }
    struct fetch_conf conf = quick;
    conf.retries = 12;
    conf.connections = 16;
    conf.requests_per_s = 4000; /* it falls to a sixteenth of that */
    CHECK_OK(fetch_all(&conf, item, FILES, NULL));
    for (int i = 0; i < FILES; i++) {
        char name[32];
        snprintf(name, sizeof name, "flaky-%d.gz", i);
        if (i < LANDED)
            CHECK(is_file(name, file, file_len));
        else
            CHECK(memory[i].len == file_len && memcmp(memory[i].ptr, file, file_len) == 0);
        buf_free(&memory[i]);
    }
    int requests = atomic_load(&counts->requests);
    if (requests > FILES * 16 / 10 || requests < FILES * 12 / 10)
        test_fail(__FILE__, __LINE__, "%d requests for %d files", requests, FILES);
}

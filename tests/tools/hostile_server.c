/* hostile_server - an HTTP server that breaks every promise a server can break, by path.
 *
 *   hostile_server FILE OTHER COUNTS
 *
 * FILE and OTHER are what it serves (gzip of several members each, so that both look right), COUNTS
 * is a file for struct hostile_counts (created). It listens on 127.0.0.1 and 127.0.0.2, on one free
 * port that it prints, forks for each connection, answers one request on each, and ends with its
 * parent. The path of a request names the behaviour; see `fixed` and the behave_ functions. */
#include "tests/tools/hostile_server.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static char *file, *other;
static size_t file_len, other_len;
static struct hostile_counts *counts;

static void leave(void)
{
    atomic_fetch_sub(&counts->running, 1);
    _exit(0);
}

/* ---- saying things ---- */
static void say(int to, const void *bytes, size_t len)
{
    while (len) {
        ssize_t sent = send(to, bytes, len, MSG_NOSIGNAL);
        if (sent <= 0)
            leave();
        bytes = (const char *)bytes + sent;
        len -= (size_t)sent;
    }
}

__attribute__((format(printf, 2, 3))) static void say_text(int to, const char *fmt, ...)
{
    char text[2048];
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
    leave();
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

/* ---- behaviours ---- */
#define OK "HTTP/1.1 200 OK\r\n"
#define FOUND "HTTP/1.1 302 Found\r\nContent-Length: 0\r\nConnection: close\r\nLocation: "
#define CLOSE "Connection: close\r\n"
#define EMPTY "Content-Length: 0\r\n" CLOSE "\r\n"
#define PAGE "Content-Length: 21\r\n" CLOSE "\r\n<html>sorry, no</html"
static const struct {
    const char *path, *first, *later; /* later: from the second request on; NULL: the same */
} fixed[] = {
    {"/text", OK "Content-Length: 5\r\n" CLOSE "\r\nhello", NULL},
    {"/empty.txt", OK EMPTY, NULL},
    {"/loop", FOUND "/loop\r\n\r\n", NULL},
    {"/moved", FOUND "/text\r\n\r\n", NULL},
    {"/passwd", FOUND "file:///etc/passwd\r\n\r\n", NULL},
    {"/gopher", FOUND "gopher://127.0.0.1/x\r\n\r\n", NULL},
    {"/metadata", FOUND "http://169.254.169.254/latest/meta-data/\r\n\r\n", NULL},
    {"/mapped", FOUND "http://[::ffff:127.0.0.1]/text\r\n\r\n", NULL},
    {"/decimal", FOUND "http://2130706433/text\r\n\r\n", NULL},
    {"/nowhere", FOUND "http:///x\r\n\r\n", NULL},
    {"/busy", "HTTP/1.1 503 Busy\r\nRetry-After: 1\r\nContent-Length: 4\r\n" CLOSE "\r\nlate",
     OK "Content-Length: 5\r\n" CLOSE "\r\nhello"},
    {"/busy-absent", "HTTP/1.1 503 Busy\r\n" EMPTY, OK "Content-Length: 5\r\n" CLOSE "\r\nhello"},
    {"/busy-past", "HTTP/1.1 429 Slow\r\nRetry-After: Mon, 01 Jan 2001 00:00:00 GMT\r\n" EMPTY,
     OK "Content-Length: 5\r\n" CLOSE "\r\nhello"},
    {"/busy-garbage", "HTTP/1.1 429 Slow\r\nRetry-After: soon, -5\r\n" EMPTY,
     OK "Content-Length: 5\r\n" CLOSE "\r\nhello"},
    {"/busy-absurd", "HTTP/1.1 503 Busy\r\nRetry-After: 99999999999999999999\r\n" EMPTY, NULL},
    {"/busy-year", "HTTP/1.1 503 Busy\r\nRetry-After: 31536000\r\n" EMPTY, NULL},
    {"/forbidden", "HTTP/1.1 403 No\r\n" EMPTY, OK "Content-Length: 5\r\n" CLOSE "\r\nhello"},
    {"/always-503", "HTTP/1.1 503 Busy\r\n" EMPTY, NULL},
    {"/page.gz", OK PAGE, NULL},
    {"/gzip-lie.gz", OK "Content-Encoding: gzip\r\n" PAGE, NULL},
    {"/encoded", OK "Content-Encoding: br\r\n" PAGE, NULL},
    {"/negative", OK "Content-Length: -5\r\n" CLOSE "\r\nhello", NULL},
    {"/two", OK "Content-Length: 9\r\nContent-Length: 5\r\n" CLOSE "\r\nhel", NULL},
    {"/overflow", OK "Content-Length: 9223372036854775808\r\n" CLOSE "\r\nhello", NULL},
    {"/no-length", OK CLOSE "\r\nhello", NULL},
    {"/chunks", OK "Transfer-Encoding: chunked\r\n" CLOSE "\r\n5\r\nhello\r\nffffff\r\nlie", NULL},
    {"/chunk-text", OK "Transfer-Encoding: chunked\r\n" CLOSE "\r\nzz\r\nhello\r\n0\r\n\r\n", NULL},
    {"/chunk-huge", OK "Transfer-Encoding: chunked\r\n" CLOSE "\r\nfffffffffffffffff\r\nhello",
     NULL},
    {"/old", "<html>HTTP/0.9</html>", NULL},
    {"/unmodified", "HTTP/1.1 304 Not Modified\r\n" CLOSE "\r\n", NULL},
    {"/partial",
     "HTTP/1.1 206 Partial\r\nContent-Range: bytes 0-4/9\r\nContent-Length: 5\r\n" CLOSE
     "\r\nhello",
     NULL},
    {"/huge", OK "Content-Length: 99999999999\r\n" CLOSE "\r\nhello", NULL},
    {"/nothing", "", NULL},
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
    else if (breaks && from && if_range)
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
    } else if (strcmp(path, "/drip") == 0) { /* a header line that never ends */
        for (int i = 0; i < 600; i++) {
            say(to, OK "X: y" + i % 20, 1);
            pause_for(50);
        }
    } else if (strcmp(path, "/drip-body.gz") == 0) {
        say_text(to, OK "Content-Length: %zu\r\n\r\n", file_len);
        for (size_t i = 0; i < file_len; i++) {
            say(to, file + i, 1);
            pause_for(20);
        }
    } else if (strcmp(path, "/headers") == 0) {
        say_text(to, OK);
        for (;;)
            say_text(to, "X-Header: %0500d\r\n", 1);
    } else if (strcmp(path, "/header-line") == 0) {
        say_text(to, OK "X-Long: ");
        for (;;)
            say_text(to, "%01000d", 1);
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

/* /flaky/N.gz: three of ten requests fail, each kind in turn, drawn from N and the try. */
static void behave_flaky(int to, const char *path, int nth)
{
    uint32_t draw = (uint32_t)hostile_slot(path) * 2654435761u + (uint32_t)nth * 40503u;
    draw = (draw ^ (draw >> 15)) * 2246822519u;
    draw ^= draw >> 13;
    if (draw % 10 >= 3) {
        say_file(to, file, file_len, 0, "\"a\"");
        return;
    }
    switch (draw / 10 % 5) {
    case 0: say_text(to, "HTTP/1.1 503 Busy\r\n" EMPTY); break;
    case 1: say_text(to, "HTTP/1.1 500 Oops\r\n" EMPTY); break;
    case 2: reset(to); break;
    case 3: /* it ends early, without a way to resume */
        say_text(to, OK "Content-Length: %zu\r\n" CLOSE "\r\n", file_len);
        say(to, file, file_len / 3);
        break;
    default: break; /* it closes without a word */
    }
}

/* /random/N: pieces of answers in any order, some of them noise; all of it drawn from N. */
static void behave_random(int to, const char *path, int nth)
{
    static const char *const piece[] = {
        "HTTP/1.1 200 OK\r\n",
        "HTTP/1.1 206 Partial\r\n",
        "HTTP/1.0 200\r\n",
        "HTTP/1.1 100 C\r\n",
        "HTTP/1.1 301 M\r\n",
        "HTTP/9.9 200 OK\r\n",
        "HTTP/1.1 -1 x\r\n",
        "\r\n",
        "\n",
        "\r",
        "Content-Length: 7\r\n",
        "Content-Length: 0\r\n",
        "Content-Length: 18446744073709551615\r\n",
        "Content-Length:\r\n",
        "content-length: +7\r\n",
        "Content-Length: 7, 7\r\n",
        "Transfer-Encoding: chunked\r\n",
        "Transfer-Encoding: gzip, chunked\r\n",
        "Transfer-Encoding: identity\r\n",
        "Content-Range: bytes 0-6/7\r\n",
        "Content-Range: bytes 5-1/0\r\n",
        "Content-Range: \r\n",
        "Location: \r\n",
        "Location: //127.0.0.1:1/\r\n",
        "Location: ?\r\n",
        "Retry-After: x\r\n",
        "ETag: \"a\r\n",
        " folded\r\n",
        ":\r\n",
        "no colon\r\n",
        "Connection: close\r\n",
        "\r\n\r\n",
        "5\r\nhello\r\n",
        "0\r\n\r\n",
        "-1\r\n",
        "ffffffffffffffff\r\n",
        "hello!!",
        "\x1f\x8b\x08",
    };
    uint64_t draw = hostile_slot(path) * 0x9E3779B97F4A7C15u + (uint64_t)nth;
    int count = 1 + (int)(draw >> 60);
    if ((draw >> 20 & 7) == 0) { /* odd, but whole */
        say_text(to,
                 OK "Content-Length: 7\r\nETag: \"a\r\nRetry-After: x\r\n folded\r\n\r\nhello!!");
        return;
    }
    if (draw >> 32 & 3)
        say_text(to, "%s", piece[draw >> 40 & 1]);
    for (int i = 0; i < count; i++) {
        draw = (draw ^ (draw >> 29)) * 0xBF58476D1CE4E5B9u;
        if (draw >> 61 == 0)
            say(to, &draw, sizeof draw);
        else
            say_text(to, "%s", piece[(draw >> 33) % (sizeof piece / sizeof piece[0])]);
    }
}

static bool behave_redirect(int to, const char *path)
{
    int port = atomic_load(&counts->port);
    if (strcmp(path, "/to-loopback") == 0)
        say_text(to, FOUND "http://127.0.0.1:%d/secret\r\n\r\n", port);
    else if (strcmp(path, "/to-localhost") == 0)
        say_text(to, FOUND "http://localhost:%d/secret\r\n\r\n", port);
    else if (strcmp(path, "/to-six") == 0)
        say_text(to, FOUND "http://[::1]:%d/secret\r\n\r\n", port);
    else if (strcmp(path, "/to-public") == 0)
        say_text(to, FOUND "http://127.0.0.2:%d/text\r\n\r\n", port);
    else
        return false;
    return true;
}

/* Lengths that are not the file's. */
static bool behave_length(int to, const char *path)
{
    if (strcmp(path, "/long.gz") == 0) {
        say_text(to, OK "Content-Length: %zu\r\n" CLOSE "\r\n", file_len + 100);
        say(to, file, file_len);
    } else if (strcmp(path, "/short.gz") == 0) {
        say_text(to, OK "Content-Length: %zu\r\n" CLOSE "\r\n", file_len - 100);
        say(to, file, file_len);
    } else if (strcmp(path, "/cut.gz") == 0) { /* chunks that end well, so only gzip can tell */
        say_text(to, OK "Transfer-Encoding: chunked\r\n" CLOSE "\r\n%zx\r\n", file_len - 5);
        say(to, file, file_len - 5);
        say_text(to, "\r\n0\r\n\r\n");
    } else if (strcmp(path, "/fin.gz") == 0) { /* no length: the end of the line is no end */
        say_text(to, OK CLOSE "\r\n");
        say(to, file, file_len / 2);
    } else if (strcmp(path, "/corrupt.gz") == 0) {
        file[file_len / 2] ^= 0x10;
        say_file(to, file, file_len, 0, "\"a\"");
    } else if (strcmp(path, "/half-always.gz") == 0) {
        say_half(to, false);
    } else {
        return false;
    }
    return true;
}

/* What a path does; nth counts requests for it from 0; from is the range asked for (0: none). */
static void behave(int to, const char *path, int nth, size_t from, bool if_range)
{
    for (size_t i = 0; i < sizeof fixed / sizeof fixed[0]; i++)
        if (strcmp(path, fixed[i].path) == 0) {
            const char *text = nth && fixed[i].later ? fixed[i].later : fixed[i].first;
            say(to, text, strlen(text));
            return;
        }
    if (behave_range(to, path, nth, from, if_range) || behave_length(to, path) ||
        behave_redirect(to, path) || behave_slow(to, path))
        return;
    if (strcmp(path, "/ok.gz") == 0) {
        say_file(to, file, file_len, 0, "\"a\"");
    } else if (strncmp(path, "/flaky/", 7) == 0) {
        behave_flaky(to, path, nth);
    } else if (strncmp(path, "/random/", 8) == 0) {
        behave_random(to, path, nth);
    } else if (strncmp(path, "/many/", 6) == 0) {
        pause_for(20);
        say_file(to, file, file_len, 0, "\"a\"");
    } else if (strcmp(path, "/busy-date") == 0 && nth == 0) {
        char date[64];
        time_t then = time(NULL) + 2;
        struct tm tm;
        strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S GMT", gmtime_r(&then, &tm));
        say_text(to, "HTTP/1.1 429 Slow\r\nRetry-After: %s\r\n" EMPTY, date);
    } else if (strcmp(path, "/busy-date") == 0) {
        say_text(to, OK "Content-Length: 5\r\n" CLOSE "\r\nhello");
    } else {
        say_text(to, "HTTP/1.1 404 Not Found\r\nContent-Length: 3\r\n" CLOSE "\r\nno\n");
    }
}

/* ---- the server ---- */
static void serve(int to)
{
    char request[8192], path[256] = "";
    size_t len = 0;
    while (len < sizeof request - 1 && (len < 4 || !memmem(request, len, "\r\n\r\n", 4))) {
        ssize_t got = recv(to, request + len, sizeof request - 1 - len, 0);
        if (got <= 0)
            return;
        len += (size_t)got;
    }
    request[len] = 0;
    if (sscanf(request, "%*[A-Z] %255s", path) != 1)
        return;
    size_t from = 0;
    const char *range = strstr(request, "Range: bytes=");
    if (range && sscanf(range, "Range: bytes=%zu-", &from) == 1)
        atomic_fetch_add(&counts->resumed, 1);
    atomic_fetch_add(&counts->requests, 1);
    int nth = atomic_fetch_add(&counts->hits[hostile_slot(path)], 1);
    path[strcspn(path, "?")] = 0; /* counted apart, but the same file */
    behave(to, path, nth, from, strstr(request, "If-Range: \"a\"") != NULL);
}

static int listen_on(uint32_t address, int port)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in at = {.sin_family = AF_INET,
                             .sin_addr.s_addr = htonl(address),
                             .sin_port = htons((uint16_t)port)};
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int));
    if (fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof at) < 0 || listen(fd, 256) < 0)
        return -1;
    return fd;
}

static char *load(const char *path, size_t *len)
{
    FILE *in = fopen(path, "rb");
    char *bytes = malloc(1 << 24);
    if (!in || !bytes) {
        perror(path);
        exit(1);
    }
    *len = fread(bytes, 1, 1 << 24, in);
    fclose(in);
    return bytes;
}

int main(int argc, char **argv)
{
    if (argc != 4) {
        fprintf(stderr, "usage: hostile_server FILE OTHER COUNTS\n");
        return 2;
    }
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    signal(SIGCHLD, SIG_IGN);
    file = load(argv[1], &file_len);
    other = load(argv[2], &other_len);
    int fd = open(argv[3], O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0 || ftruncate(fd, sizeof *counts) < 0)
        return perror(argv[3]), 1;
    counts = mmap(NULL, sizeof *counts, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (counts == MAP_FAILED)
        return perror("mmap"), 1;
    struct pollfd at[2] = {{listen_on(INADDR_LOOPBACK, 0), POLLIN, 0}, {-1, POLLIN, 0}};
    struct sockaddr_in name;
    socklen_t name_len = sizeof name;
    if (at[0].fd < 0 || getsockname(at[0].fd, (struct sockaddr *)&name, &name_len) < 0)
        return perror("listen"), 1;
    int port = ntohs(name.sin_port);
    at[1].fd = listen_on(INADDR_LOOPBACK + 1, port);
    if (at[1].fd < 0)
        return perror("listen on 127.0.0.2"), 1;
    printf("%d\n", port);
    fflush(stdout);
    atomic_store(&counts->port, port);
    for (;;) {
        poll(at, 2, -1);
        for (int i = 0; i < 2; i++) {
            int to = at[i].revents & POLLIN ? accept(at[i].fd, NULL, NULL) : -1;
            if (to < 0)
                continue;
            int now = atomic_fetch_add(&counts->running, 1) + 1;
            if (now > atomic_load(&counts->most))
                atomic_store(&counts->most, now);
            if (fork() == 0) {
                prctl(PR_SET_PDEATHSIG, SIGKILL);
                serve(to);
                leave();
            }
            close(to);
        }
    }
}

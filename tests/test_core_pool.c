/* test_core_pool - threads and queues under contention, and what log and progress print. */
#include "core/io.h"
#include "core/json.h"
#include "core/log.h"
#include "core/pool.h"
#include "tests/test.h"

#include <fcntl.h>
#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <unistd.h>

/* ---- pool ---- */

enum { ROUND_MAX = 5000 };
struct tally {
    int threads;
    atomic_int calls[ROUND_MAX];
    uint64_t by_thread[POOL_THREADS_MAX];
};

static void count_call(void *arg, int index, int thread)
{
    struct tally *t = arg;
    CHECK(thread >= 0 && thread < t->threads);
    atomic_fetch_add(&t->calls[index], 1);
    t->by_thread[thread]++; /* a thread number is one thread's: TSan would see two */
}

/* Every index once, for rounds of many sizes, one after another without a pause. */
TEST(core_pool_each_once)
{
    static const int threads[] = {1, 2, 3, 7, 32};
    struct tally *t = calloc(1, sizeof *t);
    for (size_t k = 0; k < COUNT_OF(threads); k++) {
        struct pool *p;
        uint64_t total = 0, seen = 0, seed = k;
        CHECK_OK(pool_open(&p, threads[k]));
        CHECK_INT(pool_threads(p), threads[k]);
        t->threads = threads[k];
        memset(t->by_thread, 0, sizeof t->by_thread);
        for (int round = 0; round < 300; round++) {
            int count = (int)(test_random(&seed) % (round % 30 == 0 ? ROUND_MAX : 8));
            for (int i = 0; i < count; i++)
                atomic_store(&t->calls[i], 0);
            pool_each(p, count, count_call, t);
            for (int i = 0; i < count; i++)
                CHECK_INT(atomic_load(&t->calls[i]), 1);
            total += (uint64_t)count;
        }
        pool_close(p);
        for (int i = 0; i < threads[k]; i++)
            seen += t->by_thread[i];
        CHECK(seen == total);
    }
    free(t);
}

struct meet {
    atomic_int here;
    int want;
};

static void wait_for_all(void *arg, int index, int thread)
{
    struct meet *m = arg;
    UNUSED(index);
    UNUSED(thread);
    atomic_fetch_add(&m->here, 1);
    while (atomic_load(&m->here) < m->want)
        sched_yield();
}

/* As many calls as threads, each waiting for the others: ends only when all run at once. */
TEST_LIMIT(core_pool_runs_at_once, 20)
{
    struct pool *p;
    CHECK_OK(pool_open(&p, 5));
    for (int round = 0; round < 50; round++) {
        struct meet m = {.want = 5};
        pool_each(p, 5, wait_for_all, &m);
    }
    pool_close(p);
}

TEST(core_pool_arguments)
{
    struct pool *p;
    CHECK_ERR(pool_open(&p, -1), ERR_USAGE);
    CHECK_ERR(pool_open(&p, POOL_THREADS_MAX + 1), ERR_USAGE);
    CHECK(strstr(err_text(), "257"));
    CHECK_OK(pool_open(&p, 0));
    CHECK(pool_threads(p) >= 1);
    pool_close(p);
    pool_close(NULL);
}

static void note_mask(void *arg, int index, int thread)
{
    sigset_t mask;
    UNUSED(index);
    pthread_sigmask(SIG_SETMASK, NULL, &mask);
    if (thread > 0 && !sigismember(&mask, SIGINT))
        atomic_fetch_add((atomic_int *)arg, 1);
    usleep(100);
}

/* Ctrl-C must reach the main thread. */
TEST(core_pool_blocks_signals)
{
    struct pool *p;
    sigset_t mask;
    atomic_int open = 0;
    CHECK_OK(pool_open(&p, 4));
    pool_each(p, 100, note_mask, &open);
    pool_close(p);
    CHECK_INT(atomic_load(&open), 0);
    pthread_sigmask(SIG_SETMASK, NULL, &mask);
    CHECK(!sigismember(&mask, SIGINT));
}

/* ---- queue ---- */

enum { PRODUCERS = 4, CONSUMERS = 3, ITEMS = 20000 };
struct exchange {
    struct queue *q;
    atomic_int next;
    unsigned char *seen;
    atomic_int taken;
};

static void *produce(void *arg)
{
    struct exchange *x = arg;
    for (intptr_t item; (item = atomic_fetch_add(&x->next, 1)) < ITEMS;)
        CHECK(queue_put(x->q, (void *)(item + 1)));
    return NULL;
}

static void *consume(void *arg)
{
    struct exchange *x = arg;
    intptr_t last = 0;
    for (intptr_t item; (item = (intptr_t)queue_take(x->q)) != 0; last = item) {
        x->seen[item - 1]++; /* each item is one consumer's */
        atomic_fetch_add(&x->taken, 1);
    }
    return (void *)last;
}

TEST(core_queue_contention)
{
    for (int capacity = 1; capacity <= 64; capacity *= 8) {
        struct exchange x = {.seen = calloc(1, ITEMS)};
        pthread_t producer[PRODUCERS], consumer[CONSUMERS];
        CHECK_OK(queue_open(&x.q, capacity));
        for (int i = 0; i < CONSUMERS; i++)
            CHECK(pthread_create(&consumer[i], NULL, consume, &x) == 0);
        for (int i = 0; i < PRODUCERS; i++)
            CHECK(pthread_create(&producer[i], NULL, produce, &x) == 0);
        for (int i = 0; i < PRODUCERS; i++)
            pthread_join(producer[i], NULL);
        queue_shut(x.q);
        for (int i = 0; i < CONSUMERS; i++)
            pthread_join(consumer[i], NULL);
        CHECK_INT(atomic_load(&x.taken), ITEMS);
        for (int i = 0; i < ITEMS; i++)
            CHECK_INT(x.seen[i], 1);
        queue_close(x.q);
        free(x.seen);
    }
}

static void *put_one(void *arg) { return (void *)(intptr_t)queue_put(arg, "late"); }
static void *take_one(void *arg) { return queue_take(arg); }

/* Those who wait are woken by the shutting; what is in still comes out, in order. */
TEST_LIMIT(core_queue_shut, 20)
{
    struct queue *q;
    pthread_t waiting;
    void *result;
    CHECK_OK(queue_open(&q, 2));
    CHECK(queue_put(q, "a") && queue_put(q, "b"));
    CHECK(pthread_create(&waiting, NULL, put_one, q) == 0);
    usleep(20000);
    queue_shut(q);
    pthread_join(waiting, &result);
    CHECK(result == NULL);
    CHECK(!queue_put(q, "c"));
    CHECK_STR(str_of(queue_take(q)), "a");
    CHECK_STR(str_of(queue_take(q)), "b");
    CHECK(queue_take(q) == NULL);
    queue_close(q);
    CHECK_OK(queue_open(&q, 1));
    CHECK(pthread_create(&waiting, NULL, take_one, q) == 0);
    usleep(20000);
    queue_shut(q);
    pthread_join(waiting, &result);
    CHECK(result == NULL);
    queue_close(q);
    queue_close(NULL);
}

/* ---- log ---- */

/* Sends stderr to a file; says what came. */
static char log_path[IO_PATH_MAX];
static int saved_stderr;

static void catch_stderr(void)
{
    CHECK_OK(io_path(log_path, "%s/stderr", test_dir()));
    fflush(stderr);
    saved_stderr = dup(STDERR_FILENO);
    int fd = open(log_path, O_CREAT | O_TRUNC | O_WRONLY | O_APPEND, 0600);
    CHECK(dup2(fd, STDERR_FILENO) >= 0);
    close(fd);
}

static char *caught(void)
{
    char *text;
    size_t len;
    dup2(saved_stderr, STDERR_FILENO);
    close(saved_stderr);
    CHECK_OK(io_read_file(log_path, 1 << 20, &text, &len));
    return text;
}

TEST(core_log_lines)
{
    catch_stderr();
    log_open(LOG_INFO);
    log_info("plain %d", 7);
    log_warn("evil \033]0;title\007\x9b"
             "31m url\nsecond\tcell \xC2\x9B \xE2\x80\xAE "
             "\xC3\xA9\xFF");
    log_debug("not shown");
    log_open(LOG_QUIET);
    log_info("not shown");
    log_warn("not shown");
    log_open(LOG_DEBUG);
    log_debug("shown");
    char *text = caught();
    CHECK_STR(str_of(text), "plain 7\nwarning: evil ?]0;title??31m url second cell ? ? \xC3\xA9?\n"
                            "debug: shown\n");
    CHECK(!log_is_terminal());
    free(text);
}

TEST(core_log_long_line)
{
    char *url = malloc(100001);
    memset(url, 'u', 100000);
    url[100000] = 0;
    catch_stderr();
    log_open(LOG_INFO);
    log_info("%s", url);
    char *text = caught();
    CHECK(strlen(text) > 1000 && strlen(text) < 3000);
    CHECK(text[strlen(text) - 1] == '\n');
    free(text);
    free(url);
}

/* On a terminal: colour unless NO_COLOR, one line drawn over, cut to the screen. */
static char *on_terminal(const char *no_colour)
{
    int primary = posix_openpt(O_RDWR | O_NOCTTY);
    static char text[65536];
    if (primary < 0 || grantpt(primary) != 0 || unlockpt(primary) != 0)
        test_skip("no pseudo-terminals here");
    int replica = open(ptsname(primary), O_RDWR | O_NOCTTY), saved = dup(STDERR_FILENO);
    CHECK(replica >= 0);
    dup2(replica, STDERR_FILENO);
    setenv("TERM", "xterm", 1);
    setenv("NO_COLOR", no_colour, 1);
    log_open(LOG_INFO);
    CHECK(log_is_terminal());
    struct progress p;
    progress_begin(&p, "extract", "records", 10);
    progress_add(&p, 5, 0, 0);
    progress_note(&p, "retrying %s", "503\033[2J");
    log_warn("beware");
    progress_end(&p);
    dup2(saved, STDERR_FILENO);
    fcntl(primary, F_SETFL, O_NONBLOCK);
    ssize_t got, len = 0;
    while ((got = read(primary, text + len, sizeof text - 1 - (size_t)len)) > 0)
        len += got;
    text[len] = 0;
    close(primary);
    close(replica);
    close(saved);
    return text;
}

TEST(core_log_terminal)
{
    char *text = on_terminal("");
    CHECK(strstr(text, "\r\033[Kextract  5/10 records  50%"));
    CHECK(strstr(text, "retrying 503?[2J"));
    CHECK(strstr(text, "\r\033[K\033[33mwarning: \033[0mbeware\r\n"));
    CHECK(strstr(text, "in 0s\r\n"));
    text = on_terminal("1");
    CHECK(strstr(text, "\r\033[Kwarning: beware\r\n"));
    CHECK(!strstr(text, "\033[33m"));
}

static void check_line(struct progress *p, double seconds, bool final, const char *want)
{
    struct buf text = {0};
    progress_text(p, (uint64_t)(seconds * 1e9), final, &text);
    CHECK_STR(buf_view(&text), want);
    buf_free(&text);
}

TEST(core_progress_line)
{
    struct progress p;
    progress_begin(&p, "extract", "docs", 1000);
    check_line(&p, 10, false, "extract  0/1000 docs  0%");
    progress_add(&p, 412, 0, 0);
    check_line(&p, 100, false, "extract  412/1000 docs  41%  4.1 docs/s  ETA 2m23s");
    /* With bytes known, they and not the documents say how far it is: 1/4 in 100 s, 300 s to go. */
    p.show_kept = true;
    p.bytes_total = 4000000000;
    progress_add(&p, 0, 1000000000, 157);
    check_line(&p, 100, false,
               "extract  412/1000 docs  25%  10.0 MB/s  4.1 docs/s  kept 38.1%  ETA 5m00s");
    check_line(&p, 8000, true,
               "extract  412/1000 docs  1.0 GB  125 kB/s  0.1 docs/s  kept 38.1%  in 2h13m");
    /* More than promised is 100 %, not 250 %. */
    progress_add(&p, 0, UINT32_MAX, 0);
    check_line(&p, 100, false,
               "extract  412/1000 docs  100%  52.9 MB/s  4.1 docs/s  kept 38.1%  ETA 0s");
    progress_begin(&p, "scan", "files", 0);
    progress_add(&p, 1234567, 0, 0);
    check_line(&p, 0.001, false, "scan  1.23M files");
    check_line(&p, 200000, false, "scan  1.23M files  6.2 files/s");
}

static void *add_many(void *arg)
{
    for (int i = 0; i < 20000; i++)
        progress_add(arg, 1, 2, 1);
    return NULL;
}

TEST(core_progress_threads)
{
    struct progress p;
    pthread_t thread[4];
    catch_stderr();
    log_open(LOG_INFO);
    progress_begin(&p, "x", "docs", 0);
    for (int i = 0; i < 4; i++)
        CHECK(pthread_create(&thread[i], NULL, add_many, &p) == 0);
    for (int i = 0; i < 4; i++)
        pthread_join(thread[i], NULL);
    progress_end(&p);
    char *text = caught();
    CHECK(atomic_load(&p.done) == 80000 && atomic_load(&p.bytes) == 160000);
    CHECK(strstr(text, "x  80000 docs") == text);
    free(text);
}

/* ---- metrics ---- */

static void *metric_many(void *arg)
{
    for (int i = 0; i < 500; i++)
        metric(arg, i, "docs");
    return NULL;
}

/* Rows of several threads are whole; half a row left by a kill costs only itself. */
TEST(core_metrics_rows)
{
    char path[IO_PATH_MAX];
    pthread_t thread[4];
    struct io_reader *r;
    struct str line;
    struct arena a;
    int rows = 0, broken = 0;
    metric("before", 1, "x");
    CHECK_OK(io_path(path, "%s/metrics.jsonl", test_dir()));
    CHECK_OK(io_write_file(path, STR("{\"time\":1,\"na")));
    CHECK_OK(metrics_open(path));
    for (int i = 0; i < 4; i++)
        CHECK(pthread_create(&thread[i], NULL, metric_many, "a \"name\"\n") == 0);
    for (int i = 0; i < 4; i++)
        pthread_join(thread[i], NULL);
    metric("loss", NAN, "nats");
    metrics_close();
    metric("after", 1, "x");
    CHECK_OK(arena_open(&a, 1 << 20));
    CHECK_OK(io_open(&r, path));
    while (io_read_line(r, &line) == 1) {
        struct json *row;
        arena_reset(&a, 0);
        rows++;
        if (json_parse(&a, line, &row) < 0) {
            broken++;
            continue;
        }
        CHECK(json_num(row, "time", 0) > 1.7e9);
        CHECK_STR(json_str(row, "name", STR("")), rows == 2002 ? "loss" : "a \"name\"\n");
        CHECK(json_get(row, "value")->type == (rows == 2002 ? JSON_NULL : JSON_NUMBER));
    }
    CHECK_INT(rows, 2002);
    CHECK_INT(broken, 1);
    io_close(r);
    arena_close(&a);
    CHECK_ERR(metrics_open(test_dir()), ERR_IO);
}

static int fails_at(void *arg, int index, int thread)
{
    atomic_int *seen = arg;
    UNUSED(thread);
    atomic_fetch_add(seen, 1);
    return index == 7 ? err_set(ERR_FORMAT, "index %d", index) : 0;
}

TEST(core_pool_try_returns_the_error)
{
    for (int threads = 1; threads <= 4; threads += 3) {
        struct pool *p;
        atomic_int seen = 0;
        CHECK_OK(pool_open(&p, threads));
        CHECK_OK(pool_try(p, 7, fails_at, &seen)); /* 0 to 6: none fails */
        CHECK_INT(seen, 7);
        seen = 0;
        CHECK_ERR(pool_try(p, 1000, fails_at, &seen), ERR_FORMAT);
        CHECK_STR(str_of(err_text()), "index 7");
        CHECK(threads > 1 || seen == 8); /* what follows is not begun */
        pool_close(p);
    }
}

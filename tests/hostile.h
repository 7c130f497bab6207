/* hostile - starts the hostile server of tests/tools for a test, and asks it what was asked. */
#ifndef SLUICE_TESTS_HOSTILE_H
#define SLUICE_TESTS_HOSTILE_H
#include "tests/test.h"
#include "tests/tools/hostile_server.h"

#include "core/io.h"
#include "core/log.h"
#include "crawl/fetch.h"

#include <fcntl.h>
#include <libgen.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <zlib.h>

/* Bound on the memory of a process that downloads; sanitizers keep what was freed. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { MEMORY_MAX_KIB = 1 << 20 };
#else
enum { MEMORY_MAX_KIB = 64 << 10 };
#endif

/* What it serves: three gzip members each. */
static char file[300000], other[300000];
static size_t file_len, other_len;
static struct hostile_counts *counts;
static char base[64]; /* http://127.0.0.1:PORT */

static inline const char *target(const char *name)
{
    static char path[IO_PATH_MAX];
    snprintf(path, sizeof path, "%s/%s", test_dir(), name);
    return path;
}

static inline void put(const char *name, const char *bytes, size_t len)
{
    FILE *f = fopen(target(name), "wb");
    CHECK(f && fwrite(bytes, 1, len, f) == len && fclose(f) == 0);
}

/* Appends a gzip member of len random bytes (level 0: stored) to to; its length. */
static inline size_t gzip_member(char *to, size_t room, size_t len, int level, uint64_t *seed)
{
    char *text = malloc(len ? len : 1);
    CHECK(text);
    for (size_t i = 0; i < len; i++)
        text[i] = (char)(test_random(seed) % 200);
    z_stream z = {.next_in = (Bytef *)text,
                  .avail_in = (uInt)len,
                  .next_out = (Bytef *)to,
                  .avail_out = (uInt)room};
    CHECK(deflateInit2(&z, level, Z_DEFLATED, 31, 9, Z_DEFAULT_STRATEGY) == Z_OK);
    CHECK(deflate(&z, Z_FINISH) == Z_STREAM_END);
    size_t made = z.total_out;
    deflateEnd(&z);
    free(text);
    return made;
}

static inline size_t gzip_into(char *to, size_t room, uint64_t seed)
{
    size_t len = 0;
    for (int member = 0; member < 3; member++)
        len += gzip_member(to + len, room - len, 90000, 1, &seed);
    return len;
}

static inline void server_start(void)
{
    char program[IO_PATH_MAX + 32], self[IO_PATH_MAX] = "", names[3][IO_PATH_MAX];
    log_open(LOG_QUIET);
    file_len = gzip_into(file, sizeof file, 1);
    other_len = gzip_into(other, sizeof other, 2);
    put("served", file, file_len);
    put("served-other", other, other_len);
    snprintf(names[0], sizeof names[0], "%s/served", test_dir());
    snprintf(names[1], sizeof names[1], "%s/served-other", test_dir());
    snprintf(names[2], sizeof names[2], "%s/counts", test_dir());
    CHECK(readlink("/proc/self/exe", self, sizeof self - 1) > 0);
    snprintf(program, sizeof program, "%s/hostile_server", dirname(self));
    int fd = open(names[2], O_RDWR | O_CREAT, 0600);
    CHECK(fd >= 0 && ftruncate(fd, sizeof *counts) == 0);
    counts = mmap(NULL, sizeof *counts, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    CHECK(counts != MAP_FAILED);
    close(fd);
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        int null = open("/dev/null", O_WRONLY);
        dup2(null, STDOUT_FILENO);
        execl(program, program, names[0], names[1], names[2], (char *)NULL);
        perror(program);
        _exit(127);
    }
    for (int i = 0; i < 500 && !atomic_load(&counts->port); i++)
        nanosleep(&(struct timespec){0, 10000000}, NULL);
    CHECK(atomic_load(&counts->port));
    snprintf(base, sizeof base, "http://127.0.0.1:%d", atomic_load(&counts->port));
}

static inline int hits(const char *path) { return atomic_load(&counts->hits[hostile_slot(path)]); }

static inline bool is_file(const char *name, const char *bytes, size_t len)
{
    char *got;
    size_t got_len;
    if (access(target(name), R_OK) != 0 || io_read_file(target(name), 1 << 24, &got, &got_len) < 0)
        return false;
    bool same = got_len == len && memcmp(got, bytes, len) == 0;
    free(got);
    return same;
}

static inline bool exists(const char *name) { return access(target(name), F_OK) == 0; }

static inline double now_s(void) { return (double)clock_ns() * 1e-9; }

/* ---- asking ---- */
static const struct fetch_conf quick = {
    .retries = 3, .connect_ms = 2000, .stall_ms = 1000, .backoff_ms = 10, .file_max = 1 << 20};

static inline int get(const char *path, const char *to)
{
    char url[256];
    snprintf(url, sizeof url, "%s%s", base, path);
    struct fetch_item item = {.url = url, .path = target(to)};
    int rc = fetch_all(&quick, &item, 1, NULL);
    CHECK_INT(item.rc, rc);
    return rc;
}
#endif

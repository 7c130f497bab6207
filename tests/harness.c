/* harness - runs the registered tests, each in a child process, and counts what passed. */
#include "tests/test.h"

#include "core/io.h"

#include <fcntl.h>
#include <fnmatch.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { PATIENCE = 4 }; /* sanitizers make everything slower, not wrong */
#else
enum { PATIENCE = 1 };
#endif
enum { TESTS_MAX = 4096, EXIT_SKIP = 77 };
static struct {
    const char *name;
    test_fn *fn;
    int seconds;
} tests[TESTS_MAX];
static int test_count;
static char dir[256];

void test_register(const char *name, test_fn *fn, int seconds)
{
    if (test_count == TESTS_MAX)
        abort();
    tests[test_count].name = name;
    tests[test_count].fn = fn;
    tests[test_count++].seconds = seconds;
}

void test_fail(const char *file, int line, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    fprintf(stderr, "    %s:%d: ", file, line);
    vfprintf(stderr, fmt, args);
    fprintf(stderr, "\n");
    va_end(args);
    exit(1);
}

void test_skip(const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    fprintf(stderr, "    skipped: ");
    vfprintf(stderr, fmt, args);
    fprintf(stderr, "\n");
    va_end(args);
    exit(EXIT_SKIP);
}

const char *test_dir(void) { return dir; }

const char *test_path(const char *name)
{
    static char path[8][IO_PATH_MAX];
    static int next;
    char *out = path[next++ % 8];
    CHECK_OK(io_path(out, "%s/%s", dir, name));
    return out;
}

void test_write(const char *path, const void *bytes, size_t len)
{
    FILE *f = fopen(path, "wb");
    CHECK(f);
    CHECK(len == 0 || fwrite(bytes, 1, len, f) == len);
    CHECK(fclose(f) == 0);
}

const char *test_put(const char *name, struct str bytes)
{
    const char *path = test_path(name);
    if (strchr(name, '/')) {
        char folder[IO_PATH_MAX];
        CHECK_OK(io_path(folder, "%.*s", (int)(strrchr(path, '/') - path), path));
        CHECK_OK(io_mkdirs(folder));
    }
    test_write(path, bytes.ptr, bytes.len);
    return path;
}

int test_server(const char *script)
{
    int in[2], out[2];
    char line[32] = "", *end;
    if (access(script, R_OK) != 0)
        test_skip("not run from the root of the tree");
    CHECK(pipe(in) == 0 && pipe(out) == 0);
    fcntl(in[1], F_SETFD, FD_CLOEXEC);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, in[0], 0);
    posix_spawn_file_actions_adddup2(&actions, out[1], 1);
    char *argv[] = {"python3", (char *)(uintptr_t)script, dir, NULL};
    pid_t pid;
    if (posix_spawnp(&pid, "python3", &actions, NULL, argv, environ) != 0)
        test_skip("no python3 here");
    posix_spawn_file_actions_destroy(&actions);
    close(in[0]);
    close(out[1]);
    for (size_t len = 0; len < sizeof line - 1 && !strchr(line, '\n'); len++)
        CHECK(read(out[0], line + len, 1) == 1);
    long port = strtol(line, &end, 10);
    CHECK(port > 0 && port < 65536 && *end == '\n');
    return (int)port;
}

const char *test_data(const char *relative)
{
    static char path[4][IO_PATH_MAX];
    static int next;
    const char *root = getenv("SLUICE_DATA");
    char *out = path[next++ % 4];
    snprintf(out, IO_PATH_MAX, "%s/%s", root ? root : "../shared/data", relative);
    if (access(out, R_OK) != 0)
        test_skip("%s is not here", out);
    return out;
}

static void proc_write(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY);
    CHECK(fd >= 0);
    CHECK(write(fd, text, strlen(text)) == (ssize_t)strlen(text));
    close(fd);
}

void test_mount_small(const char *path)
{
    char users[64], groups[64];
    snprintf(users, sizeof users, "0 %d 1", (int)getuid());
    snprintf(groups, sizeof groups, "0 %d 1", (int)getgid());
    if (unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0)
        test_skip("no name space of users can be made here");
    proc_write("/proc/self/setgroups", "deny");
    proc_write("/proc/self/uid_map", users);
    proc_write("/proc/self/gid_map", groups);
    if (mount("none", path, "tmpfs", 0, "size=20m") != 0)
        test_skip("no file system can be mounted here");
}

uint64_t test_random(uint64_t *state) { return hash_mix((*state)++); }

static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int run_one(int index)
{
    snprintf(dir, sizeof dir, "/tmp/sluice-test-%d-%d", (int)getpid(), index);
    io_remove_tree(dir);
    if (io_mkdirs(dir) < 0)
        return 1;
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        setpgid(0, 0);
        alarm((unsigned)tests[index].seconds * PATIENCE);
        tests[index].fn();
        exit(0);
    }
    int status = 0;
    waitpid(pid, &status, 0);
    kill(-pid, SIGKILL); /* children a failed test left behind */
    io_remove_tree(dir);
    if (WIFEXITED(status))
        return WEXITSTATUS(status);
    fprintf(stderr, "    ended by signal %d%s\n", WTERMSIG(status),
            WTERMSIG(status) == SIGALRM ? " (time limit)" : "");
    return 1;
}

/* A name that matches no test is a mistake of whoever typed it, never a pass. */
static bool names_known(int argc, char **argv)
{
    bool known = true;
    for (int k = 1; k < argc; k++) {
        bool found = false;
        for (int i = 0; i < test_count && !found; i++)
            found = fnmatch(argv[k], tests[i].name, 0) == 0;
        if (!found)
            fprintf(stderr, "unit: no test is named %s\n", argv[k]);
        known &= found;
    }
    return known;
}

int main(int argc, char **argv)
{
    int passed = 0, failed = 0, skipped = 0;
    qsort(tests, (size_t)test_count, sizeof tests[0], by_name);
    if (!names_known(argc, argv))
        return 2;
    for (int i = 0; i < test_count; i++) {
        bool wanted = argc < 2;
        for (int k = 1; k < argc; k++)
            wanted |= fnmatch(argv[k], tests[i].name, 0) == 0;
        if (!wanted)
            continue;
        struct timespec t0, t1;
        clock_gettime(CLOCK_MONOTONIC, &t0);
        int rc = run_one(i);
        clock_gettime(CLOCK_MONOTONIC, &t1);
        double seconds = (double)(t1.tv_sec - t0.tv_sec) + (double)(t1.tv_nsec - t0.tv_nsec) * 1e-9;
        passed += rc == 0;
        skipped += rc == EXIT_SKIP;
        failed += rc != 0 && rc != EXIT_SKIP;
        printf("%s %s (%.2f s)\n",
               rc == 0           ? "ok  "
               : rc == EXIT_SKIP ? "skip"
                                 : "FAIL",
               tests[i].name, seconds);
    }
    printf("%d passed, %d failed, %d skipped\n", passed, failed, skipped);
    return failed ? 1 : 0;
}

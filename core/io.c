/* io - whole files, folders, globs and the sweep of leftovers. */
#include "core/io.h"

#include "core/err.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <glob.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { HASH_CHUNK = 1 << 20, TREE_OPEN_MAX = 32 };

int io_path(char *out, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    int len = vsnprintf(out, IO_PATH_MAX, fmt, args);
    va_end(args);
    if (len < 0 || len >= IO_PATH_MAX)
        return err_set(ERR_LIMIT, "path: \"%.80s...\" has %d bytes, at most %d fit", out, len,
                       IO_PATH_MAX - 1);
    return 0;
}

/* The user named a file that is not there: his mistake, not the disk's. */
static int path_error(const char *path)
{
    if (errno == ENOENT || errno == ENOTDIR)
        return err_set(ERR_USAGE, "%s: no such file: check the name", path);
    return err_sys("open %s", path);
}

int io_open_file(const char *path, uint64_t *bytes)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return path_error(path);
    struct stat st;
    int rc = 0;
    if (fstat(fd, &st) < 0)
        rc = err_sys("stat %s", path);
    else if (S_ISDIR(st.st_mode))
        rc = err_set(ERR_USAGE, "%s: is a directory: name a file in it", path);
    if (rc < 0) {
        close(fd);
        return rc;
    }
    *bytes = S_ISREG(st.st_mode) ? (uint64_t)st.st_size : 0;
    return fd;
}

static int64_t read_some(int fd, void *to, size_t len)
{
    ssize_t got;
    do
        got = read(fd, to, len);
    while (got < 0 && errno == EINTR);
    return got;
}

int io_read_file(const char *path, size_t max, char **out, size_t *out_len)
{
    struct buf all = {.max = max == SIZE_MAX ? max : max + 1};
    uint64_t size;
    int fd = io_open_file(path, &size), rc = 0;
    if (fd < 0)
        return fd;
    if (size > max) {
        rc = err_set(ERR_LIMIT, "%s: has %llu bytes, at most %zu are read: name a smaller file",
                     path, (unsigned long long)size, max);
        goto out;
    }
    /* The size is a hint only: the file may grow meanwhile, and /proc and pipes report none. */
    for (size_t want = (size_t)size + 1;; want = 65536) {
        size_t room = max - all.len < want ? max - all.len + 1 : want;
        char *to = buf_room(&all, room);
        if (!to) {
            rc = err_set(ERR_LIMIT, "%s: no memory for its %zu bytes", path, all.len + room);
            goto out;
        }
        int64_t got = read_some(fd, to, room);
        if (got < 0) {
            rc = err_sys("read %s at byte %zu", path, all.len);
            goto out;
        }
        if (got == 0)
            break;
        buf_grown(&all, (size_t)got);
        if (all.len > max) {
            rc = err_set(ERR_LIMIT, "%s: has more than the %zu bytes that are read at most", path,
                         max);
            goto out;
        }
    }
    buf_cstr(&all);
    *out = all.ptr;
    *out_len = all.len;
    all = (struct buf){0};
out:
    buf_free(&all);
    close(fd);
    return rc;
}

bool io_exists(const char *path) { return access(path, F_OK) == 0; }

int io_size(const char *path, uint64_t *bytes)
{
    struct stat st;
    if (stat(path, &st) < 0)
        return path_error(path);
    if (S_ISDIR(st.st_mode))
        return err_set(ERR_USAGE, "%s: is a directory: name a file in it", path);
    *bytes = (uint64_t)st.st_size;
    return 0;
}

static int make_dir(const char *path)
{
    struct stat st;
    if (mkdir(path, 0777) == 0)
        return 0;
    int error = errno;
    if (stat(path, &st) == 0) {
        if (S_ISDIR(st.st_mode))
            return 0;
        return err_set(ERR_USAGE, "%s: is a file, a folder is needed: remove it or name another",
                       path);
    }
    errno = error;
    return err_sys("make folder %s", path);
}

int io_mkdirs(const char *path)
{
    char part[IO_PATH_MAX];
    TRY(io_path(part, "%s", path));
    for (char *at = part; *at; at++) {
        if (*at != '/' || at == part)
            continue;
        *at = 0;
        TRY(make_dir(part));
        *at = '/';
    }
    return part[0] ? make_dir(part) : 0;
}

static int remove_entry(const char *path, const struct stat *st, int kind, struct FTW *where)
{
    UNUSED(st);
    UNUSED(kind);
    UNUSED(where);
    return remove(path) < 0 && errno != ENOENT ? -1 : 0;
}

int io_remove_tree(const char *path)
{
    struct stat st;
    if (lstat(path, &st) < 0)
        return errno == ENOENT || errno == ENOTDIR ? 0 : err_sys("remove %s", path);
    if (nftw(path, remove_entry, TREE_OPEN_MAX, FTW_DEPTH | FTW_PHYS) != 0)
        return err_sys("remove %s and what is in it", path);
    return 0;
}

/* ---- globs ---- */

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Leftovers of writers and hidden files are nobody's input. */
static bool is_input_name(const char *path)
{
    const char *name = strrchr(path, '/');
    name = name ? name + 1 : path;
    return name[0] != '.' && !io_is_temp(name, NULL);
}

static bool is_directory(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

/* Keeps the files among what glob(3) found; sorted by bytes, whatever the locale. */
static int keep_files(glob_t *found, struct arena *a, const char ***paths, size_t *count)
{
    *count = 0;
    *paths = arena_array(a, const char *, found->gl_pathc ? found->gl_pathc : 1);
    if (!*paths)
        return ERR_LIMIT;
    for (size_t i = 0; i < found->gl_pathc; i++) {
        const char *path = found->gl_pathv[i];
        if (!is_input_name(path) || is_directory(path))
            continue;
        char *kept = arena_strdup(a, str_of(path));
        if (!kept)
            return ERR_LIMIT;
        (*paths)[(*count)++] = kept;
    }
    if (*count > 1)
        qsort(*paths, *count, sizeof **paths, by_text);
    return 0;
}

/* A folder's files, as a pattern: its own name may hold characters that glob(3) would read. */
static int folder_pattern(const char *folder, char out[IO_PATH_MAX])
{
    size_t len = 0;
    for (const char *at = folder; *at; at++) {
        if (len + 4 >= IO_PATH_MAX)
            return err_set(ERR_LIMIT, "path: \"%.80s...\" is too long", folder);
        if (strchr("*?[\\", *at))
            out[len++] = '\\';
        out[len++] = *at;
    }
    memcpy(out + len, "/*", 3);
    return 0;
}

int io_glob(const char *pattern, struct arena *a, const char ***paths, size_t *count)
{
    char inside[IO_PATH_MAX];
    bool folder = is_directory(pattern);
    if (!folder && (io_exists(pattern) || strcmp(pattern, "-") == 0)) {
        *paths = arena_array(a, const char *, 1);
        if (!*paths || !((*paths)[0] = arena_strdup(a, str_of(pattern))))
            return ERR_LIMIT;
        *count = 1;
        return 0;
    }
    if (folder)
        TRY(folder_pattern(pattern, inside));
    glob_t found = {0};
    int rc, got = glob(folder ? inside : pattern, GLOB_NOSORT, NULL, &found);
    if (got == GLOB_NOSPACE)
        rc = err_set(ERR_LIMIT, "%s: no memory for the list of files", pattern);
    else if (got == GLOB_ABORTED)
        rc = err_sys("list %s", pattern);
    else
        rc = keep_files(&found, a, paths, count);
    globfree(&found);
    TRY(rc);
    if (*count == 0)
        return err_set(ERR_USAGE, "%s: %s", pattern, folder ? "the folder holds no files"
                       : "no file matches: check the path, and quote the pattern");
    return 0;
}

int io_sync_dir(const char *dir)
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC), rc = 0;
    if (fd < 0)
        return err_sys("open folder %s", dir);
    /* Some network file systems have no fsync for folders and say EINVAL: no more can be done. */
    if (fsync(fd) < 0 && errno != EINVAL && errno != ENOTSUP)
        rc = err_sys("sync folder %s", dir);
    close(fd);
    return rc;
}

int io_hash_file(const char *path, struct io_info *info)
{
    uint64_t size;
    struct hash_stream *hash = NULL;
    int fd = io_open_file(path, &size), rc = 0;
    if (fd < 0)
        return fd;
    char *chunk = malloc(HASH_CHUNK);
    if (!chunk) {
        rc = err_set(ERR_LIMIT, "%s: no memory to hash it", path);
        goto out;
    }
    TRY_OUT(hash_begin(&hash));
    info->bytes = 0;
    for (int64_t got; (got = read_some(fd, chunk, HASH_CHUNK)) != 0;) {
        if (got < 0) {
            rc = err_sys("read %s at byte %llu", path, (unsigned long long)info->bytes);
            goto out;
        }
        hash_add(hash, chunk, (size_t)got);
        info->bytes += (uint64_t)got;
    }
out:
    if (hash)
        info->hash = hash_end(hash);
    free(chunk);
    close(fd);
    return rc;
}

/* ---- leftovers of dead writers ---- */

bool io_is_temp(const char *name, uint64_t *pid)
{
    const char *mark = NULL;
    uint64_t number;
    for (const char *at = name; (at = strstr(at, ".tmp-")); at++)
        mark = at;
    if (!mark || mark == name || !str_u64(str_of(mark + 5), &number) || number > INT32_MAX)
        return false;
    if (pid)
        *pid = number;
    return true;
}

/* True when nobody writes the file: its process is gone (or is this one, which in a container often
 * has the number of the one that died) and no writer anywhere holds its lock. */
static bool is_abandoned(const char *path, uint64_t pid)
{
    if ((pid_t)pid != getpid() && (kill((pid_t)pid, 0) == 0 || errno == EPERM))
        return false;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0)
        return false;
    bool locked = flock(fd, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK;
    close(fd);
    return !locked;
}

static int sweep_entry(const char *path, const struct stat *st, int kind, struct FTW *where)
{
    uint64_t pid;
    if (kind == FTW_F && S_ISREG(st->st_mode) && io_is_temp(path + where->base, &pid) &&
        is_abandoned(path, pid) && unlink(path) < 0 && errno != ENOENT)
        return -1;
    return 0;
}

int io_sweep_temps(const char *dir)
{
    if (!io_exists(dir))
        return 0;
    if (nftw(dir, sweep_entry, TREE_OPEN_MAX, FTW_PHYS) != 0)
        return err_sys("sweep leftovers below %s", dir);
    return 0;
}

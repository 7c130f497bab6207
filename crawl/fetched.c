/* fetched - reads and appends to the manifest of a cache of downloads. */
#include "crawl/fetched.h"
#include "crawl/gzip_check.h"

#include "core/err.h"
#include "core/json.h"
#include "core/pipe.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { TABLE_ARENA = 1 << 30, LINE_ARENA = 1 << 20, ROWS_MIN = 1024, COPY_BYTES = 1 << 20 };

struct fetched {
    char cache[IO_PATH_MAX];
    struct arena arena;        /* of the paths */
    struct fetched_file **row; /* a hash table by path, at most half full */
    size_t row_max, count;
};

static size_t row_of(const struct fetched *t, const char *path)
{
    size_t at = (size_t)hash_str(str_of(path), 0) & (t->row_max - 1);
    while (t->row[at] && strcmp(t->row[at]->path, path) != 0)
        at = (at + 1) & (t->row_max - 1);
    return at;
}

static int table_grow(struct fetched *t)
{
    struct fetched_file **old = t->row;
    size_t old_max = t->row_max;
    t->row_max = old_max ? old_max * 2 : ROWS_MIN;
    t->row = calloc(t->row_max, sizeof(struct fetched_file *));
    if (!t->row) {
        t->row = old;
        t->row_max = old_max;
        return err_set(ERR_LIMIT, "crawl: no memory for the manifest of %s", t->cache);
    }
    for (size_t i = 0; i < old_max; i++)
        if (old[i])
            t->row[row_of(t, old[i]->path)] = old[i];
    free(old);
    return 0;
}

static int table_put(struct fetched *t, struct str path, uint64_t bytes, struct hash128 hash)
{
    const char *name = arena_strdup(&t->arena, path);
    if (!name)
        return ERR_LIMIT;
    if (t->count * 2 >= t->row_max)
        TRY(table_grow(t));
    size_t at = row_of(t, name);
    if (!t->row[at]) {
        t->row[at] = arena_push_zero(&t->arena, sizeof(struct fetched_file), 16);
        if (!t->row[at])
            return ERR_LIMIT;
        t->row[at]->path = name;
        t->count++;
    }
    t->row[at]->bytes = bytes;
    t->row[at]->hash = hash;
    return 0;
}

/* A line that is no entry (cut by a crash) says nothing. */
static int line_read(struct fetched *t, struct arena *a, struct str line)
{
    struct json *v;
    uint64_t bytes;
    struct hash128 hash;
    if (json_parse(a, line, &v) < 0 || v->type != JSON_OBJECT) {
        err_clear();
        return 0;
    }
    struct str path = json_str(v, "path", STR(""));
    if (path.len == 0 || memchr(path.ptr, 0, path.len) || !json_get(v, "bytes") ||
        !json_u64(json_get(v, "bytes"), &bytes) ||
        !hash_from_hex(json_str(v, "xxh3", STR("")), &hash))
        return 0;
    return table_put(t, path, bytes, hash);
}

static int table_read(struct fetched *t)
{
    char path[IO_PATH_MAX];
    struct io_reader *in;
    struct arena a = {0};
    struct str line;
    TRY(io_path(path, "%s/manifest.jsonl", t->cache));
    uint64_t bytes = 0;
    if (!io_exists(path) || io_size(path, &bytes) < 0 || bytes == 0)
        return 0;
    TRY(io_open(&in, path));
    int rc = arena_open(&a, LINE_ARENA), got = 0;
    while (rc >= 0 && (got = io_read_line(in, &line)) > 0) {
        arena_reset(&a, 0);
        rc = line_read(t, &a, line);
    }
    io_close(in);
    arena_close(&a);
    return rc < 0 ? rc : got;
}

int fetched_open(struct fetched **out, const char *cache)
{
    struct fetched *t = calloc(1, sizeof *t);
    *out = NULL;
    if (!t)
        return err_set(ERR_LIMIT, "crawl: no memory for the manifest of %s", cache);
    int rc = io_path(t->cache, "%s", cache);
    if (rc >= 0)
        rc = arena_open(&t->arena, TABLE_ARENA);
    if (rc >= 0)
        rc = table_grow(t);
    if (rc >= 0)
        rc = table_read(t);
    if (rc < 0) {
        fetched_close(t);
        return rc;
    }
    *out = t;
    return 0;
}

const struct fetched_file *fetched_find(const struct fetched *t, const char *path)
{
    return t->row[row_of(t, path)];
}

/* ---- a new line ---- */
static void line_make(struct buf *to, const char *path, const struct fetch_item *item)
{
    char shown[IO_PATH_MAX], hex[33], when[32];
    struct json_writer w;
    time_t now = time(NULL);
    struct tm utc;
    strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &utc));
    hash_hex(item->hash, hex);
    json_begin(&w, to);
    json_open(&w, '{');
    json_field_text(&w, "path", path);
    json_field_text(&w, "url", fetch_url_shown(item->url, shown));
    json_field_u64(&w, "bytes", item->bytes);
    json_field_text(&w, "xxh3", hex);
    json_field_text(&w, "etag", item->etag);
    json_field_text(&w, "last_modified", item->modified);
    json_field_text(&w, "date", when);
    json_field_i64(&w, "requests", item->tries);
    json_close(&w, '}');
    buf_char(to, '\n');
}

/* Behind a line that a crash cut, a new one begins. */
static int line_write(int fd, const char *path, struct str line)
{
    struct stat st;
    char last = '\n';
    if (fstat(fd, &st) < 0)
        return err_sys("crawl: looking at %s", path);
    if (st.st_size > 0 && pread(fd, &last, 1, st.st_size - 1) != 1)
        return err_sys("crawl: reading %s", path);
    if (last != '\n' && write(fd, "\n", 1) != 1)
        return err_sys("crawl: writing %s", path);
    ssize_t wrote = write(fd, line.ptr, line.len);
    if (wrote >= 0 && (size_t)wrote != line.len)
        errno = ENOSPC;
    if (wrote < 0 || (size_t)wrote != line.len || fsync(fd) < 0)
        return err_sys("crawl: writing %s", path);
    return 0;
}

static int line_append(const struct fetched *t, struct str line)
{
    char path[IO_PATH_MAX], lock[IO_PATH_MAX];
    TRY(io_mkdirs(t->cache));
    TRY(io_path(path, "%s/manifest.jsonl", t->cache));
    TRY(io_path(lock, "%s/manifest.lock", t->cache));
    int held = open(lock, O_RDWR | O_CREAT | O_CLOEXEC, 0666), rc = 0;
    if (held < 0)
        return err_sys("crawl: opening %s", lock);
    int fd = -1;
    if (flock(held, LOCK_EX) < 0)
        rc = err_sys("crawl: locking %s", lock);
    else if ((fd = open(path, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC, 0666)) < 0)
        rc = err_sys("crawl: opening %s", path);
    else
        rc = line_write(fd, path, line);
    if (fd >= 0)
        close(fd);
    close(held);
    return rc;
}

int fetched_add(struct fetched *t, const char *path, const struct fetch_item *item)
{
    const struct fetched_file *known = fetched_find(t, path);
    if (known && known->bytes == item->bytes && known->hash.low == item->hash.low &&
        known->hash.high == item->hash.high)
        return 0;
    struct buf line = {0};
    line_make(&line, path, item);
    int rc = line.failed ? err_set(ERR_LIMIT, "crawl: no memory for a line of the manifest")
                         : line_append(t, buf_view(&line));
    buf_free(&line);
    return rc < 0 ? rc : table_put(t, str_of(path), item->bytes, item->hash);
}

/* ---- files that are here ---- */
bool fetched_is_here(const struct fetched *table, const char *name, const char *path,
                     uint64_t *size)
{
    struct stat st;
    const struct fetched_file *known = fetched_find(table, name);
    *size = known ? known->bytes : 0;
    return known && stat(path, &st) == 0 && S_ISREG(st.st_mode) &&
           (uint64_t)st.st_size == known->bytes;
}

int fetched_adopt(struct fetched *table, const char *name, const char *path, const char *url)
{
    struct fetch_item item = {.url = url};
    struct stat st;
    if (fetched_find(table, name) || stat(path, &st) < 0 || !S_ISREG(st.st_mode))
        return 0;
    bool gz = str_ends(str_of(path), ".gz"), good = st.st_size > 0;
    struct gzip_check *gzip = gz ? gzip_check_open() : NULL;
    struct hash_stream *hash = NULL;
    char *bytes = malloc(COPY_BYTES);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    int rc = bytes && (!gz || gzip) ? hash_begin(&hash) : ERR_LIMIT;
    ssize_t got = 0;
    while (rc >= 0 && fd >= 0 && good && !pipe_stop && (got = read(fd, bytes, COPY_BYTES)) > 0) {
        item.bytes += (uint64_t)got;
        hash_add(hash, bytes, (size_t)got);
        good = !gz || gzip_check_feed(gzip, bytes, (size_t)got);
    }
    good = good && rc >= 0 && fd >= 0 && got == 0 && (!gz || gzip_check_whole(gzip));
    if (hash)
        item.hash = hash_end(hash);
    if (fd >= 0)
        close(fd);
    free(bytes);
    gzip_check_close(gzip);
    if (rc >= 0 && good)
        rc = fetched_add(table, name, &item);
    else if (rc >= 0 && !pipe_stop)
        log_warn("crawl: %s is damaged or not readable and is fetched again", path);
    return rc < 0 ? rc : good;
}

void fetched_close(struct fetched *t)
{
    if (!t)
        return;
    free(t->row);
    arena_close(&t->arena);
    free(t);
}

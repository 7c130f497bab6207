/* io_write - files that appear whole or not at all, plain, zstd or gzip.
 *
 * temp file beside the target -> write -> fsync -> rename -> fsync of the folder. Whatever goes
 * wrong before the rename leaves the target as it was. The temp file is locked while it is
 * written: a second writer of the same path, or a sweep on another machine, sees the lock. */
#include "core/io.h"

#include "core/err.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

enum {
    STORE_BYTES = 256 << 10,  /* stored bytes gathered before a write() */
    FEED_MAX = 1 << 30,       /* bytes given to zlib at once: its counters have 32 bits */
    GZIP_LEVEL = 6, ZSTD_LEVEL = 3,
    TRIES_MAX = 3,
};

struct io_writer {
    char *path, *temp;
    int fd;
    enum io_format format;
    ZSTD_CCtx *zstd;
    z_stream *gzip;
    unsigned char *store;
    size_t store_len;
    struct hash_stream *hash;
    uint64_t written, stored;
    int failed;                /* the first error, kept: commit reports it again */
    char why[512];
};

static int fail(struct io_writer *w, int rc)
{
    if (rc < 0 && !w->failed) {
        w->failed = rc;
        err_copy_to(w->why, sizeof w->why);
    }
    return rc;
}

static int flush_store(struct io_writer *w)
{
    size_t at = 0;
    while (at < w->store_len) {
        ssize_t put = write(w->fd, w->store + at, w->store_len - at);
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return fail(w, err_sys("write %s at byte %llu", w->path,
                                   (unsigned long long)(w->stored + at)));
        at += (size_t)put;
    }
    hash_add(w->hash, w->store, w->store_len);
    w->stored += w->store_len;
    w->store_len = 0;
    return 0;
}

static int put_plain(struct io_writer *w, const char *bytes, size_t len)
{
    while (len) {
        size_t room = STORE_BYTES - w->store_len, take = len < room ? len : room;
        memcpy(w->store + w->store_len, bytes, take);
        w->store_len += take;
        bytes += take;
        len -= take;
        if (w->store_len == STORE_BYTES)
            TRY(flush_store(w));
    }
    return 0;
}

static int put_zstd(struct io_writer *w, const char *bytes, size_t len, bool end)
{
    ZSTD_inBuffer in = {bytes, len, 0};
    for (;;) {
        ZSTD_outBuffer out = {w->store, STORE_BYTES, w->store_len};
        size_t left = ZSTD_compressStream2(w->zstd, &out, &in, end ? ZSTD_e_end : ZSTD_e_continue);
        w->store_len = out.pos;
        if (ZSTD_isError(left))
            return fail(w, err_set(ERR_LIMIT, "%s: zstd: %s", w->path, ZSTD_getErrorName(left)));
        if (w->store_len == STORE_BYTES)
            TRY(flush_store(w));
        else if (end ? left == 0 : in.pos == in.size)
            return 0;
        if (end && left == 0)
            return 0;
    }
}

static int put_gzip(struct io_writer *w, const char *bytes, size_t len, bool end)
{
    /* zlib takes bytes it promises not to change through a pointer that is not const. */
    w->gzip->next_in = (unsigned char *)(uintptr_t)bytes;
    do {
        size_t take = len < FEED_MAX ? len : FEED_MAX;
        w->gzip->avail_in = (uInt)take;
        len -= take;
        int code;
        do {
            w->gzip->next_out = w->store + w->store_len;
            w->gzip->avail_out = (uInt)(STORE_BYTES - w->store_len);
            code = deflate(w->gzip, end && len == 0 ? Z_FINISH : Z_NO_FLUSH);
            assert(code != Z_STREAM_ERROR);
            w->store_len = STORE_BYTES - w->gzip->avail_out;
            if (w->store_len == STORE_BYTES)
                TRY(flush_store(w));
        } while (w->gzip->avail_in || (end && len == 0 && code != Z_STREAM_END));
    } while (len);
    return 0;
}

/* Opens the temp file under its lock. One that is there and not locked is a dead process's. */
static int open_temp(struct io_writer *w)
{
    for (int i = 0; i < TRIES_MAX; i++) {
        w->fd = open(w->temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0666);
        if (w->fd >= 0) {
            /* A file system without locks still gets the file, only not the protection. */
            flock(w->fd, LOCK_EX | LOCK_NB);
            return 0;
        }
        if (errno != EEXIST)
            return err_sys("create %s", w->temp);
        int old = open(w->temp, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
        if (old < 0)
            continue;
        bool busy = flock(old, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK;
        close(old);
        if (busy)
            return err_set(ERR_IO, "%s: somebody is writing it now (%s is locked): wait for the "
                           "other run or stop it", w->path, w->temp);
        if (unlink(w->temp) < 0 && errno != ENOENT)
            return err_sys("remove the leftover %s", w->temp);
    }
    return err_set(ERR_IO, "%s: could not be created in %d tries: remove it", w->temp, TRIES_MAX);
}

static int open_encoder(struct io_writer *w, int level)
{
    if (w->format == IO_ZSTD) {
        w->zstd = ZSTD_createCCtx();
        if (!w->zstd)
            return err_set(ERR_LIMIT, "%s: no memory to write zstd", w->path);
        ZSTD_CCtx_setParameter(w->zstd, ZSTD_c_compressionLevel, level ? level : ZSTD_LEVEL);
        ZSTD_CCtx_setParameter(w->zstd, ZSTD_c_checksumFlag, 1);
    }
    if (w->format == IO_GZIP) {
        /* zlib and not ISA-L: the latter's output depends on what the CPU can do. windowBits + 16
         * asks for the gzip wrapper, whose time zlib leaves 0: the same bytes every time. */
        w->gzip = calloc(1, sizeof *w->gzip);
        level = level > 0 && level < 10 ? level : GZIP_LEVEL;
        if (!w->gzip || deflateInit2(w->gzip, level, Z_DEFLATED, 15 + 16, 8,
                                     Z_DEFAULT_STRATEGY) != Z_OK) {
            free(w->gzip);
            w->gzip = NULL;
            return err_set(ERR_LIMIT, "%s: no memory to write gzip", w->path);
        }
    }
    return 0;
}

/* The folder of path, "." when it names none. */
static int parent_of(const char *path, char out[IO_PATH_MAX])
{
    const char *slash = strrchr(path, '/');
    if (!slash)
        return io_path(out, ".");
    return io_path(out, "%.*s", slash == path ? 1 : (int)(slash - path), path);
}

static int check_target(const char *path)
{
    struct stat st;
    char folder[IO_PATH_MAX];
    if (!*path || path[strlen(path) - 1] == '/')
        return err_set(ERR_USAGE, "\"%s\": is not the name of a file to write", path);
    if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
        return err_set(ERR_USAGE, "%s: is a directory: name a file in it", path);
    /* The rename would replace a device or pipe by a file, for root even /dev/null. */
    if (stat(path, &st) == 0 && !S_ISREG(st.st_mode))
        return err_set(ERR_USAGE, "%s: is a device or pipe: name a regular file", path);
    TRY(parent_of(path, folder));
    return io_mkdirs(folder);
}

/* Frees everything but the files on disk. */
static void writer_free(struct io_writer *w)
{
    if (w->hash)
        hash_end(w->hash);
    ZSTD_freeCCtx(w->zstd);
    if (w->gzip)
        deflateEnd(w->gzip);
    free(w->gzip);
    if (w->fd >= 0)
        close(w->fd);
    free(w->store);
    free(w->temp);
    free(w->path);
    free(w);
}

int io_create(struct io_writer **out, const char *path, enum io_format format, int level)
{
    char temp[IO_PATH_MAX];
    TRY(io_path(temp, "%s.tmp-%d", path, (int)getpid()));
    TRY(check_target(path));
    struct io_writer *w = calloc(1, sizeof *w);
    if (!w)
        return err_set(ERR_LIMIT, "%s: no memory to write it", path);
    int rc = 0;
    w->fd = -1;
    w->format = format;
    w->path = strdup(path);
    w->temp = strdup(temp);
    w->store = malloc(STORE_BYTES);
    if (!w->path || !w->temp || !w->store) {
        rc = err_set(ERR_LIMIT, "%s: no memory to write it", path);
        goto out;
    }
    TRY_OUT(hash_begin(&w->hash));
    TRY_OUT(open_encoder(w, level));
    TRY_OUT(open_temp(w));
    *out = w;
    return 0;
out:
    writer_free(w);
    return rc;
}

static int put(struct io_writer *w, const char *bytes, size_t len, bool end)
{
    switch (w->format) {
    case IO_ZSTD: return put_zstd(w, bytes, len, end);
    case IO_GZIP: return put_gzip(w, bytes, len, end);
    default: return put_plain(w, bytes, len);
    }
}

int io_write(struct io_writer *w, const void *bytes, size_t len)
{
    if (w->failed)
        return err_set(w->failed, "%s", w->why);
    if (len == 0)
        return 0;
    w->written += len;
    return put(w, bytes, len, false);
}

int io_write_str(struct io_writer *w, struct str s) { return io_write(w, s.ptr, s.len); }

uint64_t io_written(const struct io_writer *w) { return w->written; }

static int finish(struct io_writer *w)
{
    char folder[IO_PATH_MAX];
    if (w->failed)
        return err_set(w->failed, "%s", w->why);
    TRY(put(w, "", 0, true));
    TRY(flush_store(w));
    if (fsync(w->fd) < 0)
        return err_sys("sync %s", w->path);
    /* The descriptor, and with it the lock, stays open over the rename: a sweep in between must not
     * take the temp file away. What close() could still report, fsync() has. */
    if (rename(w->temp, w->path) < 0)
        return err_sys("rename %s to %s", w->temp, w->path);
    TRY(parent_of(w->path, folder));
    return io_sync_dir(folder);
}

int io_commit(struct io_writer *w, struct io_info *info)
{
    int rc = finish(w);
    if (rc < 0) {
        char why[sizeof w->why];
        err_copy_to(why, sizeof why);
        unlink(w->temp);
        writer_free(w);
        return err_set(rc, "%s", why);
    }
    struct io_info done = {.bytes = w->stored, .hash = hash_end(w->hash)};
    w->hash = NULL;
    if (info)
        *info = done;
    writer_free(w);
    return 0;
}

void io_abandon(struct io_writer *w)
{
    if (!w)
        return;
    unlink(w->temp);
    writer_free(w);
}

int io_write_file(const char *path, struct str bytes)
{
    struct io_writer *w;
    TRY(io_create(&w, path, IO_PLAIN, 0));
    int rc = io_write_str(w, bytes);
    if (rc < 0) {
        io_abandon(w);
        return rc;
    }
    return io_commit(w, NULL);
}

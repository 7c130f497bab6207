/* landing - keeps a download's bytes: partial files that can be resumed, and streams that only let
 * whole gzip members through. */
#include "crawl/landing.h"

#include "core/err.h"
#include "core/log.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { META_MAX = 16384 };

static int hash_renew(struct landing *l)
{
    if (l->hash)
        hash_end(l->hash);
    l->hash = NULL;
    return hash_begin(&l->hash);
}

void landing_drop(struct landing *l)
{
    bool file = l->item->path != NULL;
    l->have = l->sent;
    buf_clear(&l->pending);
    if (l->sent == 0)
        l->origin = (struct origin){.total = UINT64_MAX};
    if (l->gzip)
        gzip_check_reset(l->gzip, l->sent > 0);
    if (l->item->memory)
        l->item->memory->len = l->memory_base;
    if (file && ftruncate(l->fd, 0) < 0)
        l->broken = errno;
    if (file)
        unlink(l->meta);
    if (file && hash_renew(l) < 0)
        l->broken = ENOMEM;
}

/* ---- the partial file ---- */
/* Without a validator the bytes could be of an older file: then nothing is noted, nor resumed. The
 * URL itself may hold a password, so its hash stands for it. */
static void meta_write(const struct landing *l)
{
    const struct origin *o = &l->origin;
    char shown[IO_PATH_MAX];
    if (!l->item->path || (!o->etag[0] && !o->modified[0]))
        return;
    struct buf text = {0};
    buf_printf(
        &text, "%016llx %s\n%s\n%s\n%llu\n", (unsigned long long)hash_str(str_of(l->item->url), 0),
        fetch_url_shown(l->item->url, shown), o->etag, o->modified, (unsigned long long)o->total);
    FILE *f = fopen(l->meta, "w");
    bool good = f && !text.failed && fwrite(text.ptr, 1, text.len, f) == text.len;
    if ((f && fclose(f) != 0) || !good)
        unlink(l->meta);
    buf_free(&text);
}

static bool meta_read(struct landing *l)
{
    char *text, id[20];
    size_t len;
    if (!io_exists(l->meta) || io_read_file(l->meta, META_MAX, &text, &len) < 0)
        return false;
    struct str rest = {text, len}, line[4] = {{0}};
    for (size_t i = 0; i < COUNT_OF(line); i++)
        line[i] = str_cut(rest, '\n', &rest);
    snprintf(id, sizeof id, "%016llx ", (unsigned long long)hash_str(str_of(l->item->url), 0));
    bool good = rest.ptr && str_starts(line[0], id) && str_u64(line[3], &l->origin.total) &&
                line[1].len < sizeof l->origin.etag && line[2].len < sizeof l->origin.modified;
    if (good) {
        memcpy(l->origin.etag, line[1].ptr, line[1].len);
        memcpy(l->origin.modified, line[2].ptr, line[2].len);
    }
    free(text);
    return good;
}

/* Runs what is already there through the hash and the gzip check. */
static bool part_check(struct landing *l)
{
    enum { STEP = 256 << 10 };
    char *bytes = l->have ? malloc(STEP) : NULL;
    if (!bytes)
        return !l->have;
    bool good = true;
    for (uint64_t at = 0; at < l->have && good;) {
        ssize_t got = pread(l->fd, bytes, STEP, (off_t)at);
        good = got > 0 && (!l->gzip || gzip_check_feed(l->gzip, bytes, (size_t)got));
        if (good)
            hash_add(l->hash, bytes, (size_t)got);
        at += got > 0 ? (uint64_t)got : 0;
    }
    free(bytes);
    return good;
}

/* Opens and locks PATH.part. A file of that name may be renamed away by another process between the
 * two, so it is looked at once more. */
static int part_lock(struct landing *l)
{
    for (int i = 0; i < 8; i++) {
        struct stat mine, named;
        l->fd = open(l->part, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
        if (l->fd < 0)
            return err_sys("crawl: opening %s", l->part);
        if (flock(l->fd, LOCK_EX | LOCK_NB) < 0) {
            close(l->fd); /* the file is the other's */
            l->fd = -1;
            return err_set(ERR_AGAIN,
                           "crawl: %s is being downloaded by another process: wait for it",
                           l->path);
        }
        if (fstat(l->fd, &mine) < 0)
            return err_sys("crawl: looking at %s", l->part);
        if (stat(l->part, &named) == 0 && named.st_ino == mine.st_ino &&
            named.st_dev == mine.st_dev) {
            l->have = (uint64_t)mine.st_size;
            return 0;
        }
        close(l->fd);
        l->fd = -1;
    }
    return err_set(ERR_AGAIN, "crawl: %s changes all the time: is another process at work?",
                   l->part);
}

static int part_open(struct landing *l)
{
    TRY(io_path(l->path, "%s", l->item->path));
    TRY(io_path(l->part, "%s.part", l->item->path));
    TRY(io_path(l->meta, "%s.part.meta", l->item->path));
    char folder[IO_PATH_MAX];
    memcpy(folder, l->path, sizeof folder);
    char *slash = strrchr(folder, '/');
    if (slash && slash != folder) {
        *slash = 0;
        TRY(io_mkdirs(folder));
    }
    TRY(part_lock(l));
    if (l->have && (!meta_read(l) || l->have > l->origin.total || !part_check(l)))
        landing_drop(l);
    if (l->have)
        log_debug("fetch: %s: taken up at byte %llu", l->path, (unsigned long long)l->have);
    if (l->broken) {
        errno = l->broken;
        return err_sys("crawl: emptying %s", l->part);
    }
    return 0;
}

/* "x.gz", also in front of a query. */
static bool is_gzip_name(const struct fetch_item *item)
{
    if (item->path)
        return str_ends(str_of(item->path), ".gz");
    struct str rest, url = str_cut(str_of(item->url), '?', &rest);
    return item->sink && str_ends(str_cut(url, '#', &rest), ".gz");
}

int landing_open(struct landing *l, const struct fetch_item *item)
{
    memset(l, 0, sizeof *l);
    l->item = item;
    l->fd = -1;
    l->origin.total = UINT64_MAX;
    l->pending.max = FETCH_MEMBER_MAX;
    l->memory_base = item->memory ? item->memory->len : 0;
    if (is_gzip_name(item) && !(l->gzip = gzip_check_open()))
        return ERR_LIMIT;
    if (!item->memory)
        TRY(hash_renew(l));
    return item->path ? part_open(l) : 0;
}

void landing_begin(struct landing *l, const struct origin *said)
{
    l->origin = *said;
    meta_write(l);
}

/* ---- bytes ---- */
static enum landing_said write_file(struct landing *l, const char *bytes, size_t len)
{
    for (size_t done = 0; done < len;) {
        ssize_t wrote = pwrite(l->fd, bytes + done, len - done, (off_t)(l->have + done));
        if (wrote < 0 && errno == EINTR)
            continue;
        if (wrote < 0) {
            l->broken = errno;
            return LANDING_BROKEN;
        }
        done += (size_t)wrote;
    }
    hash_add(l->hash, bytes, len);
    return LANDING_TAKEN;
}

static int sink_take(struct landing *l, const char *bytes, size_t len)
{
    int rc = len ? l->item->sink->take(l->item->sink->self, bytes, len) : 0;
    if (rc < 0) {
        l->rc = rc;
        err_copy_to(l->text, sizeof l->text);
        return rc;
    }
    hash_add(l->hash, bytes, len);
    l->sent += len;
    return 0;
}

/* Of the bytes behind `sent`, those up to the end of the last whole member go out. What was pending
 * ends no member, or it would have gone before: so the end lies in the new bytes. */
static enum landing_said write_sink(struct landing *l, const char *bytes, size_t len)
{
    uint64_t open = l->gzip ? gzip_check_open_bytes(l->gzip) : 0;
    if (l->have + len - open > l->sent) {
        assert(open <= len);
        size_t out = len - (size_t)open;
        if (sink_take(l, l->pending.ptr, l->pending.len) < 0 || sink_take(l, bytes, out) < 0)
            return LANDING_BROKEN;
        buf_clear(&l->pending);
        bytes += out;
        len -= out;
    }
    buf_add(&l->pending, bytes, len);
    if (l->pending.failed) {
        l->rc = ERR_LIMIT;
        snprintf(l->text, sizeof l->text,
                 "a gzip member of more than %d MiB cannot be streamed: fetch the file instead",
                 FETCH_MEMBER_MAX >> 20);
        return LANDING_BROKEN;
    }
    return LANDING_TAKEN;
}

enum landing_said landing_write(struct landing *l, const void *bytes, size_t len)
{
    enum landing_said said = LANDING_TAKEN;
    if (l->gzip && !gzip_check_feed(l->gzip, bytes, len))
        return LANDING_NOT_GZIP;
    if (l->item->memory) {
        buf_add(l->item->memory, bytes, len);
        l->broken = l->item->memory->failed ? ENOMEM : 0;
        said = l->broken ? LANDING_BROKEN : LANDING_TAKEN;
    } else if (l->item->path) {
        said = write_file(l, bytes, len);
    } else if (l->item->sink) {
        said = write_sink(l, bytes, len);
    }
    if (said == LANDING_TAKEN)
        l->have += len;
    return said;
}

bool landing_whole(const struct landing *l)
{
    bool sent = l->item->sink && l->sent > 0 && l->have == l->sent;
    return !l->gzip || sent || gzip_check_whole(l->gzip);
}

struct hash128 landing_hash(struct landing *l)
{
    struct hash128 hash = {0};
    if (l->hash)
        hash = hash_end(l->hash);
    l->hash = NULL;
    return hash;
}

int landing_commit(struct landing *l)
{
    if (!l->item->path)
        return 0;
    if (fsync(l->fd) < 0)
        return err_sys("crawl: syncing %s", l->part);
    if (rename(l->part, l->path) < 0)
        return err_sys("crawl: renaming %s", l->part);
    unlink(l->meta);
    char folder[IO_PATH_MAX];
    memcpy(folder, l->path, sizeof folder);
    char *slash = strrchr(folder, '/');
    if (slash)
        slash[slash == folder] = 0;
    return io_sync_dir(slash ? folder : ".");
}

void landing_close(struct landing *l)
{
    if (l->hash)
        hash_end(l->hash);
    gzip_check_close(l->gzip);
    buf_free(&l->pending);
    if (l->fd >= 0) {
        if (l->have == 0 && unlinkat(AT_FDCWD, l->part, 0) == 0)
            unlink(l->meta); /* an empty partial file helps nobody */
        close(l->fd);
    }
    l->fd = -1;
    l->hash = NULL;
    l->gzip = NULL;
}

/* haul - gets the files of a crawl: into the cache, out as one stream, or only their sizes. */
#include "crawl/crawl.h"
#include "crawl/fetched.h"

#include "core/err.h"
#include "core/log.h"
#include "core/pipe.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/statvfs.h>
#include <unistd.h>

enum { COPY_BYTES = 1 << 20 };

/* ---- into the cache ---- */
/* Those that are not here, one after the other. */
struct job {
    struct crawl_file *file;
    const struct crawl_file *listed; /* of a stream */
    size_t count, next;
    struct fetched *table;
    struct crawl_done *done;
    struct fetch_item item[64]; /* one for each connection at most */
    const struct fetch_sink *sink;
    size_t first_failed;
    int rc;
    char text[2048];
    const char *cache;
    size_t missing;
    bool weighed; /* whether the disk may hold them all */
};

static struct fetch_item *item_free(struct job *j)
{
    for (size_t i = 0; i < COUNT_OF(j->item); i++)
        if (!j->item[i].user)
            return &j->item[i];
    return NULL;
}

static int job_next(void *self, struct fetch_item **item)
{
    struct job *j = self;
    for (; j->next < j->count; j->next++) {
        struct crawl_file *f = &j->file[j->next];
        if (f->here)
            continue;
        int rc = fetched_adopt(j->table, f->name, f->path, f->url);
        if (rc < 0)
            return rc;
        if (rc) {
            f->here = fetched_is_here(j->table, f->name, f->path, &f->bytes);
            continue;
        }
        *item = item_free(j);
        if (!*item)
            return FETCH_LATER;
        **item = (struct fetch_item){.url = f->url, .path = f->path, .user = f};
        j->next++;
        return FETCH_ITEM;
    }
    return FETCH_END;
}

static int job_done(void *self, struct fetch_item *item)
{
    struct job *j = self;
    struct crawl_file *f = item->user;
    item->user = NULL;
    j->done->requests += (uint64_t)item->tries;
    if (item->rc < 0) {
        j->done->failed++;
        if (j->rc == 0 || (size_t)(f - j->file) < j->first_failed) {
            j->rc = item->rc;
            j->first_failed = (size_t)(f - j->file);
            err_copy_to(j->text, sizeof j->text);
        }
        /* A wrong option fails them all; a server that is busy through all tries is left alone. */
        bool all = item->rc == ERR_USAGE || (item->rc == ERR_AGAIN && item->tries > 1);
        return all ? item->rc : 0;
    }
    j->done->fetched++;
    j->done->bytes += item->bytes;
    f->here = true;
    f->bytes = item->bytes;
    return fetched_add(j->table, f->name, item);
}

/* A crawl's files are a gigabyte each and there are 90,000: the first one's size tells that before
 * the disk is full. */
static int job_room(void *self, struct fetch_item *item, uint64_t total)
{
    struct job *j = self;
    struct statvfs disk;
    UNUSED(item);
    if (j->weighed || total == UINT64_MAX || statvfs(j->cache, &disk) < 0)
        return 1;
    j->weighed = true;
    double room = (double)disk.f_bavail * (double)disk.f_frsize;
    double need = (double)total * (double)j->missing;
    if (need > room)
        log_warn(
            "crawl: %zu files of %.3g GB, as the first has, are %.3g GB, and the disk of %s has "
            "%.3g GB free: take fewer (files), stream them (--stdout) or bound the cache of a "
            "run (cache_max)",
            j->missing, (double)total * 1e-9, need * 1e-9, j->cache, room * 1e-9);
    return 1;
}

int crawl_fetch(const struct crawl_conf *conf, struct crawl_file *file, size_t count,
                struct crawl_done *done)
{
    struct crawl_done ignored = {0};
    struct progress p;
    size_t missing = 0;
    for (size_t i = 0; i < count; i++)
        missing += !file[i].here;
    if (missing == 0)
        return 0;
    struct job *j = calloc(1, sizeof *j);
    if (!j)
        return err_set(ERR_LIMIT, "crawl: no memory for downloads");
    *j = (struct job){.file = file,
                      .count = count,
                      .done = done ? done : &ignored,
                      .cache = conf->cache,
                      .missing = missing};
    struct fetch_feed feed = {.next = job_next, .room = job_room, .done = job_done, .self = j};
    char shown[IO_PATH_MAX];
    int rc = fetched_open(&j->table, conf->cache);
    if (rc >= 0) {
        log_info("crawl: %zu of %zu files are fetched from %s", missing, count,
                 fetch_url_shown(conf->base, shown));
        progress_begin(&p, "fetch", "files", missing);
        rc = fetch_feed(&conf->fetch, &feed, &p);
        progress_end(&p);
    }
    if (rc >= 0 && j->rc < 0)
        rc = err_set(j->rc, "%s", j->text);
    fetched_close(j->table);
    free(j);
    return rc;
}

int crawl_files(const struct crawl_conf *conf, struct arena *a, const char ***paths, size_t *count)
{
    struct crawl_file *file;
    size_t listed;
    *paths = NULL;
    *count = 0;
    TRY(crawl_list(conf, a, &file, &listed));
    const char **local = arena_array(a, const char *, listed);
    if (!local)
        return ERR_LIMIT;
    TRY(crawl_fetch(conf, file, listed, NULL));
    for (size_t i = 0; i < listed; i++)
        local[i] = file[i].path;
    *paths = local;
    *count = listed;
    return 0;
}

/* ---- a stream of them ---- */
/* One that is here was verified when it landed. */
static int copy_out(struct job *j, const struct crawl_file *f)
{
    char *bytes = malloc(COPY_BYTES);
    int fd = open(f->path, O_RDONLY | O_CLOEXEC), rc = 0;
    if (!bytes)
        rc = err_set(ERR_LIMIT, "crawl: no memory to read %s", f->path);
    else if (fd < 0)
        rc = err_sys("crawl: opening %s", f->path);
    while (rc >= 0) {
        if (pipe_stop) {
            rc = err_set(ERR_STOP, "crawl: stopped");
            break;
        }
        ssize_t got = read(fd, bytes, COPY_BYTES);
        if (got == 0)
            break;
        if (got < 0 && errno == EINTR)
            continue;
        rc = got < 0 ? err_sys("crawl: reading %s", f->path)
                     : j->sink->take(j->sink->self, bytes, (size_t)got);
        j->done->bytes += got > 0 ? (uint64_t)got : 0;
    }
    if (fd >= 0)
        close(fd);
    free(bytes);
    return rc;
}

static int stream_next(void *self, struct fetch_item **item)
{
    struct job *j = self;
    for (; j->next < j->count; j->next++) {
        const struct crawl_file *f = &j->listed[j->next];
        if (!f->here) {
            *item = &j->item[0];
            **item = (struct fetch_item){.url = f->url, .sink = j->sink};
            j->next++;
            return FETCH_ITEM;
        }
        TRY(copy_out(j, f));
    }
    return FETCH_END;
}

static int stream_done(void *self, struct fetch_item *item)
{
    struct job *j = self;
    j->done->requests += (uint64_t)item->tries;
    j->done->fetched += item->rc >= 0;
    j->done->bytes += item->bytes;
    j->done->failed += item->rc < 0;
    return item->rc;
}

int crawl_stream(const struct crawl_conf *conf, const struct crawl_file *file, size_t count,
                 const struct fetch_sink *sink, struct crawl_done *done)
{
    struct crawl_done ignored = {0};
    struct progress p;
    struct job *j = calloc(1, sizeof *j);
    if (!j)
        return err_set(ERR_LIMIT, "crawl: no memory for downloads");
    *j = (struct job){.listed = file, .count = count, .done = done ? done : &ignored, .sink = sink};
    struct fetch_feed feed = {.next = stream_next, .done = stream_done, .self = j};
    struct fetch_conf one = conf->fetch;
    one.connections = 1; /* the order is the list's */
    progress_begin(&p, "stream", "files", count);
    int rc = fetch_feed(&one, &feed, &p);
    progress_end(&p);
    free(j);
    return rc;
}

/* ---- sizes ---- */
int crawl_sizes(const struct crawl_conf *conf, struct crawl_file *file, size_t count,
                uint64_t *total, bool *exact)
{
    struct fetch_item item[CRAWL_HEADS_MAX];
    size_t missing = 0, asked = 0, seen = 0, known = 0;
    *total = 0;
    for (size_t i = 0; i < count; i++)
        missing += !file[i].here && !file[i].bytes;
    size_t heads = missing < CRAWL_HEADS_MAX ? missing : CRAWL_HEADS_MAX;
    for (size_t i = 0; i < count; i++) {
        if (file[i].here || file[i].bytes)
            continue;
        if (seen++ * heads / missing == asked && asked < heads)
            item[asked++] =
                (struct fetch_item){.url = file[i].url, .flags = FETCH_HEAD, .user = &file[i]};
    }
    TRY(fetch_all(&conf->fetch, item, asked, NULL));
    for (size_t i = 0; i < asked; i++)
        if (item[i].bytes != UINT64_MAX)
            ((struct crawl_file *)item[i].user)->bytes = item[i].bytes;
    for (size_t i = 0; i < count; i++) {
        *total += file[i].bytes;
        known += file[i].bytes > 0;
    }
    *exact = known == count;
    if (!*exact && known)
        *total = (uint64_t)((double)*total / (double)known * (double)count);
    return 0;
}

/* ahead - fetches files before they are read and removes them behind the reader, within a bound. */
#include "crawl/crawl.h"
#include "crawl/fetched.h"

#include "core/err.h"
#include "core/log.h"
#include "core/pipe.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* How it works. One thread runs the download loop; the reader waits for the file it is at. Room on
 * the disk is reserved for a whole file when its size is known, at the first byte of the answer,
 * and only in the order of reading: a file is not even asked for before the one in front of it has
 * its room. So the file that the reader waits for always gets its room first, and what lies behind
 * it on the disk (from an earlier run) is given up for it when need be: no deadlock, and never more
 * than the bound. A file of unknown length gets all the room there is.
 *
 *   order    done  done  read  here  here  fetching  fetching  waiting  waiting ...
 *   on disk    -    (kept)  x    x     x      x         x         -        -     <= cache_max */
enum { ITEMS_MAX = 64, WAIT_MS = 100, TALK_MS = 5000 };
enum state { WAITING, FETCHING, HERE, READ, KEPT, GONE };
struct unit {
    enum state state;
    uint64_t room; /* bytes reserved for it, 0: none; of WAITING: of its partial file */
};
struct crawl_ahead {
    struct crawl_conf conf;
    const struct crawl_file *file;
    const uint32_t *order;
    size_t count, first;   /* first: no unit in front of it waits */
    uint32_t *position;    /* of a file in the order */
    struct unit *unit;     /* by position */
    struct fetched *table; /* the thread's own */
    struct fetch_item item[ITEMS_MAX];
    uint64_t used, guess; /* guess: size of the file before, for the next */
    pthread_t thread;
    bool running, ended;
    _Atomic bool stop;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int rc; /* of the thread */
    char text[2048];
};

static const struct crawl_file *file_at(const struct crawl_ahead *h, size_t position)
{
    return &h->file[h->order[position]];
}

/* ---- room (all with the lock held) ---- */
static void part_remove(const char *path)
{
    char part[IO_PATH_MAX];
    if (io_path(part, "%s.part", path) >= 0)
        unlink(part);
    if (io_path(part, "%s.part.meta", path) >= 0)
        unlink(part);
}

static int unit_remove(struct crawl_ahead *h, size_t position)
{
    struct unit *u = &h->unit[position];
    const char *path = file_at(h, position)->path;
    if (u->state == WAITING)
        part_remove(path);
    else if (unlink(path) < 0 && errno != ENOENT)
        return err_sys("crawl: removing %s", path);
    assert(h->used >= u->room);
    h->used -= u->room;
    u->room = 0;
    u->state = u->state == KEPT ? GONE : WAITING;
    if (u->state == WAITING && position < h->first)
        h->first = position;
    return 0;
}

/* Makes room for a unit: first by what was read, then by what is read after it, from the end. */
static int room_make(struct crawl_ahead *h, size_t position, uint64_t need)
{
    for (size_t i = 0; i < h->count && h->used + need > h->conf.cache_max; i++)
        if (h->unit[i].state == KEPT)
            TRY(unit_remove(h, i));
    for (size_t i = h->count; i-- > position + 1 && h->used + need > h->conf.cache_max;)
        if (h->unit[i].state == HERE || (h->unit[i].state == WAITING && h->unit[i].room))
            TRY(unit_remove(h, i));
    return h->used + need <= h->conf.cache_max;
}

static int room_for(void *self, struct fetch_item *item, uint64_t total)
{
    struct crawl_ahead *h = self;
    const struct crawl_file *f = item->user;
    size_t position = h->position[f - h->file];
    uint64_t need = total == UINT64_MAX ? h->conf.cache_max : total;
    if (need > h->conf.cache_max)
        return err_set(ERR_LIMIT, "cache_max is %llu bytes, and this file alone has %llu: raise it",
                       (unsigned long long)h->conf.cache_max, (unsigned long long)need);
    pthread_mutex_lock(&h->lock);
    struct unit *u = &h->unit[position];
    uint64_t had = u->room; /* of an earlier try, or of the partial file found */
    h->used -= had;
    u->room = 0;
    int rc = room_make(h, position, need);
    u->room = rc == 1 ? need : had;
    h->used += u->room;
    if (rc == 1)
        u->state = FETCHING;
    pthread_mutex_unlock(&h->lock);
    return rc;
}

/* ---- the thread ---- */
static struct fetch_item *item_free(struct crawl_ahead *h)
{
    for (size_t i = 0; i < ITEMS_MAX; i++)
        if (!h->item[i].user)
            return &h->item[i];
    return NULL;
}

/* An item that was handed out and has no room yet: its unit is WAITING still. */
static bool is_asked_for(const struct crawl_ahead *h, size_t position)
{
    for (size_t i = 0; i < ITEMS_MAX; i++)
        if (h->item[i].user == file_at(h, position))
            return true;
    return false;
}

static bool is_idle(const struct crawl_ahead *h)
{
    for (size_t i = 0; i < ITEMS_MAX; i++)
        if (h->item[i].user)
            return false;
    return true;
}

static void wait_changed(struct crawl_ahead *h)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += WAIT_MS * 1000000L;
    until.tv_sec += until.tv_nsec / 1000000000L;
    until.tv_nsec %= 1000000000L;
    pthread_cond_timedwait(&h->changed, &h->lock, &until);
}

/* The first unit that waits; SIZE_MAX: none. */
static size_t first_waiting(struct crawl_ahead *h)
{
    while (h->first < h->count && h->unit[h->first].state != WAITING)
        h->first++;
    return h->first < h->count ? h->first : SIZE_MAX;
}

/* Hands out the unit, if there is likely to be room for it: its size is known, or that of the file
 * before is a guess. */
static int item_make(struct crawl_ahead *h, size_t position, struct fetch_item **out)
{
    const struct crawl_file *f = file_at(h, position);
    const struct fetched_file *known = fetched_find(h->table, f->name);
    uint64_t need = known ? known->bytes : h->guess, part = h->unit[position].room;
    need = need < h->conf.cache_max ? need : h->conf.cache_max;
    struct fetch_item *item = item_free(h);
    h->used -= part; /* it is part of what is needed */
    int room = room_make(h, position, need);
    h->used += part;
    if (room != 1 || !item)
        return room < 0 ? room : FETCH_LATER;
    *item = (struct fetch_item){.url = f->url, .path = f->path, .user = (void *)(uintptr_t)f};
    if (known) {
        item->expect_bytes = known->bytes;
        item->expect_hash = known->hash;
    }
    *out = item;
    return FETCH_ITEM;
}

static int next_item(void *self, struct fetch_item **out)
{
    struct crawl_ahead *h = self;
    pthread_mutex_lock(&h->lock);
    size_t position = first_waiting(h);
    int next = FETCH_LATER;
    if (position == SIZE_MAX && is_idle(h))
        next = FETCH_END;
    else if (position != SIZE_MAX && !is_asked_for(h, position))
        next = item_make(h, position, out);
    if (next == FETCH_LATER && is_idle(h))
        wait_changed(h);
    pthread_mutex_unlock(&h->lock);
    return next;
}

static int item_ended(void *self, struct fetch_item *item)
{
    struct crawl_ahead *h = self;
    const struct crawl_file *f = item->user;
    if (item->rc < 0)
        return item->rc;
    int rc = fetched_add(h->table, f->name, item);
    pthread_mutex_lock(&h->lock);
    struct unit *u = &h->unit[h->position[f - h->file]];
    h->used -= u->room;
    u->room = item->bytes;
    h->used += u->room;
    u->state = HERE;
    h->guess = item->bytes;
    item->user = NULL;
    pthread_cond_broadcast(&h->changed);
    pthread_mutex_unlock(&h->lock);
    return rc;
}

static void *run_thread(void *arg)
{
    struct crawl_ahead *h = arg;
    struct fetch_feed feed = {next_item, room_for, item_ended, h, &h->stop};
    int rc = fetch_feed(&h->conf.fetch, &feed, NULL);
    pthread_mutex_lock(&h->lock);
    h->rc = rc;
    err_copy_to(h->text, sizeof h->text);
    h->ended = true;
    pthread_cond_broadcast(&h->changed);
    pthread_mutex_unlock(&h->lock);
    return NULL;
}

/* ---- open and close ---- */
/* What is on the disk already, from a run before. */
static int look_at_disk(struct crawl_ahead *h)
{
    for (size_t i = 0; i < h->count && !pipe_stop; i++) {
        const struct crawl_file *f = file_at(h, i);
        struct stat st;
        char part[IO_PATH_MAX];
        uint64_t bytes;
        int here = fetched_is_here(h->table, f->name, f->path, &bytes);
        if (!here)
            here = fetched_adopt(h->table, f->name, f->path, f->url);
        TRY(here);
        TRY(io_path(part, "%s.part", f->path));
        if (here && fetched_is_here(h->table, f->name, f->path, &h->unit[i].room))
            h->unit[i].state = HERE;
        else if (!here && unlink(f->path) < 0 && errno != ENOENT) /* it would be fetched over */
            return err_sys("crawl: removing %s", f->path);
        if (!here)
            h->unit[i].room = stat(part, &st) == 0 ? (uint64_t)st.st_size : 0;
        h->used += h->unit[i].room;
    }
    return room_make(h, 0, 0) < 0 ? ERR_IO : 0;
}

int crawl_ahead_open(struct crawl_ahead **out, const struct crawl_conf *conf,
                     const struct crawl_file *file, const uint32_t *order, size_t count)
{
    uint32_t most = 0;
    *out = NULL;
    for (size_t i = 0; i < count; i++)
        most = order[i] > most ? order[i] : most;
    struct crawl_ahead *h = calloc(1, sizeof *h);
    if (!h)
        return err_set(ERR_LIMIT, "crawl: no memory for downloads");
    h->conf = *conf;
    h->conf.cache_max = conf->cache_max ? conf->cache_max : UINT64_MAX / 2;
    h->file = file;
    h->order = order;
    h->count = count;
    pthread_mutex_init(&h->lock, NULL);
    pthread_cond_init(&h->changed, NULL);
    h->unit = calloc(count ? count : 1, sizeof *h->unit);
    h->position = calloc((size_t)most + 1, sizeof *h->position);
    int rc = h->unit && h->position ? 0 : err_set(ERR_LIMIT, "crawl: no memory for downloads");
    for (size_t i = 0; rc >= 0 && i < count; i++)
        h->position[order[i]] = (uint32_t)i;
    if (rc >= 0)
        rc = fetched_open(&h->table, conf->cache);
    if (rc >= 0)
        rc = look_at_disk(h);
    if (rc >= 0 && pthread_create(&h->thread, NULL, run_thread, h) != 0)
        rc = err_set(ERR_AGAIN, "crawl: no thread for downloads can be started");
    h->running = rc >= 0;
    if (rc < 0) {
        crawl_ahead_close(h);
        return rc;
    }
    *out = h;
    return 0;
}

void crawl_ahead_close(struct crawl_ahead *h)
{
    if (!h)
        return;
    h->stop = true;
    pthread_mutex_lock(&h->lock);
    pthread_cond_broadcast(&h->changed);
    pthread_mutex_unlock(&h->lock);
    if (h->running)
        pthread_join(h->thread, NULL);
    fetched_close(h->table);
    pthread_cond_destroy(&h->changed);
    pthread_mutex_destroy(&h->lock);
    free(h->unit);
    free(h->position);
    free(h);
}

/* ---- the reader's side ---- */
int crawl_ahead_get(struct crawl_ahead *h, uint32_t index, uint64_t *bytes)
{
    struct unit *u = &h->unit[h->position[index]];
    uint64_t start = clock_ns();
    bool said = false;
    int rc = 0;
    pthread_mutex_lock(&h->lock);
    while (u->state != HERE && !h->ended && !pipe_stop) {
        wait_changed(h);
        if (!said && clock_ns() - start > TALK_MS * (uint64_t)1000000) {
            log_info("crawl: waiting for %s", h->file[index].name);
            said = true;
        }
    }
    if (u->state == HERE) {
        u->state = READ;
        *bytes = u->room;
    } else if (pipe_stop) {
        rc = err_set(ERR_STOP, "stopped by a signal: run the same command to go on");
    } else {
        rc = h->rc < 0 ? err_set(h->rc, "%s", h->text)
                       : err_set(ERR_IO, "crawl: %s was not fetched", h->file[index].name);
    }
    pthread_mutex_unlock(&h->lock);
    return rc;
}

int crawl_ahead_done(struct crawl_ahead *h, uint32_t index, bool keep)
{
    size_t position = h->position[index];
    int rc = 0;
    pthread_mutex_lock(&h->lock);
    assert(h->unit[position].state == READ);
    h->unit[position].state = KEPT;
    if (!keep)
        rc = unit_remove(h, position);
    pthread_cond_broadcast(&h->changed);
    pthread_mutex_unlock(&h->lock);
    return rc;
}

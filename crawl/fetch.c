/* fetch - the download loop: who may start when, what is tried again, and what counts as done. */
#include "crawl/crawl.h"
#include "crawl/address.h"
#include "crawl/pace.h"
#include "crawl/transfer.h"

#include "core/err.h"
#include "core/pipe.h"

#include <assert.h>
#include <stdlib.h>
#include <time.h>

/* How it works. Each of `connections` slots carries one item from first try to last. A slot is
 * empty, waiting for its time, or running. A failed try says what it was by its outcome: RETRY
 * waits longer each time, BUSY (the server asked for patience) also quiets the whole host and
 * halves the number of slots that may run, RESTART starts over at once since only the partial file
 * was to blame, ROOM waits for the caller's disk, FAIL gives the item up and FATAL everything.
 * Progress of a megabyte forgives earlier failures, so that a long file over a bad line arrives in
 * the end. crawl/pace.c bounds all hosts together. */
enum {
    CONNECTIONS_MAX = 64,
    HOSTS_MAX = 4096, /* a power of two; hosts beyond share one row */
    POLL_MS = 100,
    WAIT_MAX_MS = 60000,
    FORGIVEN_BYTES = 1 << 20,
    CALM_AFTER = 8,  /* successes before one more slot may run again */
    QUICK_TRIES = 3, /* on a host that never answered: no mirror there, or a wrong name */
    QUICK_WAIT_MS = 100,
    RESTARTS_MAX = 3, /* times a partial file may be thrown away */
    TALK_MS = 10000,  /* a wait so long is told */
    ROOM_WAIT_MS = 50,
    JITTER_MAX_MS = 1000, /* on top of a Retry-After, so that not all come back at once */
};
static const uint64_t MS = 1000000;

struct host {
    uint64_t name; /* hash; 0: an empty row */
    uint64_t quiet_until, next_retry;
    bool answered, dead; /* dead: it never answered and was given up */
    char why[256];       /* of the death */
};
struct slot {
    struct transfer *transfer; /* NULL: empty */
    struct fetch_item *item;
    struct host *host;
    bool running, wants_room;
    int64_t failures, restarts;
    uint64_t not_before, had;
};
struct fetcher {
    struct transfer_shared shared;
    struct pace pace;
    CURLM *multi;
    struct slot slot[CONNECTIONS_MAX];
    struct host *host; /* a hash table, and the row that the hosts beyond it share */
    int host_count, allowed, calm, running;
    bool ended; /* the feed has no more */
    int rc;     /* that of the feed's callbacks */
    char text[2048];
};

static struct fetch_conf conf_filled(const struct fetch_conf *given)
{
    struct fetch_conf c = *given;
    c.user_agent = c.user_agent ? c.user_agent : "";
    c.connections = c.connections > 0 ? c.connections : 4;
    c.connections = c.connections < CONNECTIONS_MAX ? c.connections : CONNECTIONS_MAX;
    c.retries = c.retries > 0 ? c.retries : 0;
    c.connect_ms = c.connect_ms > 0 ? c.connect_ms : 10000;
    c.stall_ms = c.stall_ms > 0 ? c.stall_ms : 30000;
    c.backoff_ms = c.backoff_ms > 0 ? c.backoff_ms : 1000;
    c.file_max = c.file_max ? c.file_max : (uint64_t)4 << 30;
    c.ca_file = c.ca_file && c.ca_file[0] ? c.ca_file : NULL;
    c.is_private = c.is_private ? c.is_private : address_is_private;
    return c;
}

/* Hosts beyond the table share one row: they are only treated more gently. */
static struct host *host_of(struct fetcher *f, const char *url)
{
    struct url_parts parts;
    uint64_t name = 1;
    if (url_split(str_of(url), &parts))
        name = hash_str(parts.host, hash_str(parts.port, hash_str(parts.scheme, 0))) | 1;
    size_t at = (size_t)(name >> 1) % HOSTS_MAX;
    while (f->host[at].name && f->host[at].name != name)
        at = (at + 1) % HOSTS_MAX;
    if (f->host[at].name == name)
        return &f->host[at];
    if (f->host_count >= HOSTS_MAX * 3 / 4)
        return &f->host[HOSTS_MAX];
    f->host_count++;
    f->host[at].name = name;
    return &f->host[at];
}

/* ---- ends of items ---- */
static void feed_failed(struct fetcher *f, int rc)
{
    if (f->rc < 0)
        return;
    f->rc = rc;
    err_copy_to(f->text, sizeof f->text);
}

static void item_done(struct fetcher *f, struct fetch_item *item, int rc)
{
    const struct fetch_feed *feed = f->shared.feed;
    item->rc = rc;
    if (rc < 0)
        item->bytes = 0;
    int said = feed->done(feed->self, item);
    if (said < 0)
        feed_failed(f, said);
}

static void slot_clear(struct slot *s)
{
    transfer_close(s->transfer);
    memset(s, 0, sizeof *s);
}

static void slot_done(struct fetcher *f, struct slot *s)
{
    struct fetch_item *item = s->item;
    int rc = transfer_commit(s->transfer);
    s->host->answered = true;
    slot_clear(s);
    if (rc < 0) {
        item_done(f, item, rc);
        return;
    }
    if (f->shared.progress)
        progress_add(f->shared.progress, 1, 0, 0);
    if (f->allowed < f->shared.conf.connections && ++f->calm >= CALM_AFTER) {
        f->allowed++;
        f->calm = 0;
    }
    item_done(f, item, 0);
}

/* ---- tries ---- */
static double jitter(const struct slot *s)
{
    return hash_unit(hash_str(str_of(s->item->url), 0), (uint64_t)s->failures);
}

static uint64_t backoff(const struct fetcher *f, const struct slot *s)
{
    int64_t shift = s->failures - 1 < 10 ? s->failures - 1 : 10;
    int64_t wait = f->shared.conf.backoff_ms << shift;
    wait = wait < WAIT_MAX_MS ? wait : WAIT_MAX_MS;
    return (uint64_t)((double)wait * (0.5 + jitter(s)) * (double)MS);
}

static void host_asked_for_patience(struct fetcher *f, struct slot *s, uint64_t now)
{
    uint64_t asked = transfer_retry_after_ms(s->transfer), spread = asked / 10;
    spread = spread < JITTER_MAX_MS ? spread : JITTER_MAX_MS;
    f->allowed = f->allowed > 1 ? f->allowed / 2 : 1;
    f->calm = 0;
    uint64_t until = now + asked * MS + (uint64_t)(jitter(s) * (double)(spread * MS));
    if (!asked || until <= s->host->quiet_until)
        return;
    s->host->quiet_until = until;
    if (asked >= TALK_MS) {
        char shown[IO_PATH_MAX];
        log_info("crawl: the server asks for %llu s of patience (%s)",
                 (unsigned long long)asked / 1000, fetch_url_shown(s->item->url, shown));
    }
}

static void slot_gives_up(struct fetcher *f, struct slot *s, enum outcome outcome)
{
    struct fetch_item *item = s->item;
    int rc = transfer_error(s->transfer, s->failures);
    bool silent = outcome == OUTCOME_REFUSED || outcome == OUTCOME_NO_HOST;
    if (silent && !s->host->answered && s->host != &f->host[HOSTS_MAX]) {
        s->host->dead = true;
        snprintf(s->host->why, sizeof s->host->why, "%s", transfer_reason(s->transfer));
    }
    slot_clear(s);
    if (outcome == OUTCOME_FATAL)
        feed_failed(f, rc);
    item_done(f, item, rc);
}

static void slot_failed(struct fetcher *f, struct slot *s, enum outcome outcome)
{
    uint64_t now = clock_ns(), wait = 0;
    struct transfer *t = s->transfer;
    int64_t tries = f->shared.conf.retries;
    if (transfer_bytes(t) >= s->had + FORGIVEN_BYTES)
        s->failures = 0;
    s->failures++;
    bool silent = outcome == OUTCOME_REFUSED || outcome == OUTCOME_NO_HOST;
    s->host->answered |= !silent;
    if (silent && !s->host->answered)
        tries = tries < QUICK_TRIES ? tries : QUICK_TRIES;
    if (outcome == OUTCOME_REFUSED && !s->host->answered) {
        wait = QUICK_WAIT_MS * MS;
    } else if (outcome == OUTCOME_RESTART) {
        tries = ++s->restarts > RESTARTS_MAX ? 0 : tries;
    } else {
        wait = backoff(f, s);
    }
    if (outcome == OUTCOME_BUSY)
        host_asked_for_patience(f, s, now);
    if (outcome == OUTCOME_FAIL || outcome == OUTCOME_FATAL || s->failures > tries) {
        slot_gives_up(f, s, outcome);
        return;
    }
    char shown[IO_PATH_MAX];
    log_debug("fetch: %s: %s: try %d of %d in %.1f s", fetch_url_shown(s->item->url, shown),
              transfer_reason(t), (int)s->failures + 1, (int)tries + 1, (double)wait * 1e-9);
    s->not_before = now + wait;
}

static void slot_ended(struct fetcher *f, struct slot *s, CURLcode code)
{
    curl_multi_remove_handle(f->multi, transfer_handle(s->transfer));
    s->running = false;
    f->running--;
    enum outcome outcome = transfer_end(s->transfer, code);
    bool line = outcome == OUTCOME_RETRY || outcome == OUTCOME_BUSY || outcome == OUTCOME_REFUSED ||
                outcome == OUTCOME_NO_HOST;
    pace_answer(&f->pace, line, clock_ns());
    if (outcome == OUTCOME_DONE)
        slot_done(f, s);
    else if (outcome == OUTCOME_ROOM)
        s->wants_room = true;
    else
        slot_failed(f, s, outcome);
}

static int slot_start(struct fetcher *f, struct slot *s, uint64_t now)
{
    int64_t apart = f->shared.conf.backoff_ms < 1000 ? f->shared.conf.backoff_ms : 1000;
    if (s->failures)
        s->host->next_retry = now + (uint64_t)apart * MS;
    s->had = transfer_bytes(s->transfer);
    TRY(transfer_start(s->transfer));
    if (curl_multi_add_handle(f->multi, transfer_handle(s->transfer)) != CURLM_OK)
        return err_set(ERR_LIMIT, "crawl: libcurl takes no more transfers");
    pace_request(&f->pace, now);
    s->item->tries++;
    s->running = true;
    f->running++;
    return 0;
}

/* Takes items from the feed into a slot until one can be tried; false: there is none now. */
static bool slot_fill(struct fetcher *f, struct slot *s)
{
    const struct fetch_feed *feed = f->shared.feed;
    while (!s->transfer && !f->ended && f->rc >= 0) {
        struct fetch_item *item = NULL;
        int next = feed->next(feed->self, &item);
        if (next == FETCH_LATER)
            return false;
        f->ended = next == FETCH_END;
        if (next < 0)
            feed_failed(f, next);
        if (next != FETCH_ITEM)
            return false;
        item->tries = 0;
        item->bytes = 0;
        item->cut = false;
        item->etag[0] = item->modified[0] = 0;
        s->item = item;
        s->host = host_of(f, item->url);
        char shown[IO_PATH_MAX];
        int rc = s->host->dead ? err_set(ERR_IO, "crawl: GET %s: %s",
                                         fetch_url_shown(item->url, shown), s->host->why)
                               : transfer_open(&s->transfer, &f->shared, item);
        if (rc < 0) {
            memset(s, 0, sizeof *s);
            item_done(f, item, rc);
        }
    }
    return s->transfer;
}

/* When a slot that waits may run at the earliest. */
static uint64_t slot_due_at(const struct slot *s)
{
    uint64_t at = s->not_before;
    at = s->host->quiet_until > at ? s->host->quiet_until : at;
    return s->failures && s->host->next_retry > at ? s->host->next_retry : at;
}

/* Whether a slot that carries an item may run now. */
static bool slot_due(struct fetcher *f, struct slot *s, uint64_t now)
{
    bool due = !s->running && now >= slot_due_at(s) && f->running < f->allowed &&
               pace_request_wait(&f->pace, now) == 0;
    if (!due || !s->wants_room)
        return due;
    int room = transfer_room(s->transfer);
    s->not_before = now + ROOM_WAIT_MS * MS;
    s->wants_room = room == 0;
    return room != 0; /* an error of the room's is that of the next try's end */
}

/* Fills empty slots and starts those whose time has come. */
static void slots_start(struct fetcher *f)
{
    uint64_t now = clock_ns();
    for (int64_t i = 0; i < f->shared.conf.connections && f->rc >= 0; i++) {
        struct slot *s = &f->slot[i];
        if (!s->transfer && !slot_fill(f, s))
            continue;
        int rc = slot_due(f, s, now) ? slot_start(f, s, now) : 0;
        if (rc < 0) {
            struct fetch_item *item = s->item;
            slot_clear(s);
            item_done(f, item, rc);
        }
    }
}

static bool slots_empty(const struct fetcher *f)
{
    for (int64_t i = 0; i < f->shared.conf.connections; i++)
        if (f->slot[i].transfer)
            return false;
    return true;
}

static void slots_ended(struct fetcher *f)
{
    CURLMsg *message;
    int left;
    while ((message = curl_multi_info_read(f->multi, &left))) {
        if (message->msg != CURLMSG_DONE)
            continue;
        CURL *handle = message->easy_handle;
        CURLcode code = message->data.result;
        for (int64_t i = 0; i < f->shared.conf.connections; i++)
            if (f->slot[i].running && transfer_handle(f->slot[i].transfer) == handle) {
                slot_ended(f, &f->slot[i], code);
                break;
            }
    }
    uint64_t now = clock_ns();
    for (int64_t i = 0; i < f->shared.conf.connections; i++) {
        struct slot *s = &f->slot[i];
        if (s->running)
            transfer_unpause(s->transfer, now);
        if (s->running && transfer_stalled(s->transfer, now))
            slot_ended(f, s, CURLE_OPERATION_TIMEDOUT);
    }
}

/* Sleeps until something can happen: bytes, a slot's time, what the bounds on the rate allow. */
static void wait_a_while(struct fetcher *f)
{
    uint64_t now = clock_ns(), request = pace_request_wait(&f->pace, now),
             bytes = pace_bytes_wait(&f->pace, now), wait = POLL_MS * MS;
    wait = bytes && bytes < wait ? bytes : wait;
    for (int64_t i = 0; i < f->shared.conf.connections && f->running < f->allowed; i++) {
        const struct slot *s = &f->slot[i];
        uint64_t at = s->transfer && !s->running ? slot_due_at(s) : UINT64_MAX;
        at = at < now + request ? now + request : at;
        wait = at < now + wait ? at > now ? at - now : 0 : wait;
    }
    if (f->running)
        curl_multi_poll(f->multi, NULL, 0, (int)((wait + MS - 1) / MS), NULL);
    else
        nanosleep(&(struct timespec){0, (long)(wait < 5 * MS ? wait : 5 * MS)}, NULL);
}

static int fetch_loop(struct fetcher *f)
{
    const _Atomic bool *stop = f->shared.feed->stop;
    while (!pipe_stop && !(stop && *stop)) {
        slots_start(f);
        if (f->rc < 0)
            return err_set(f->rc, "%s", f->text);
        if (slots_empty(f) && f->ended)
            return 0;
        int running;
        if (curl_multi_perform(f->multi, &running) != CURLM_OK)
            return err_set(ERR_IO, "crawl: libcurl's transfer loop failed");
        slots_ended(f);
        wait_a_while(f);
    }
    return err_set(ERR_STOP, "crawl: stopped; what was downloaded stays and is resumed next time");
}

/* What is under way when the loop ends was not tried to its end. */
static void slots_close(struct fetcher *f)
{
    for (int64_t i = 0; i < f->shared.conf.connections; i++) {
        struct slot *s = &f->slot[i];
        if (s->running)
            curl_multi_remove_handle(f->multi, transfer_handle(s->transfer));
        if (s->transfer) {
            s->item->rc = ERR_AGAIN;
            slot_clear(s);
        }
    }
}

int fetch_feed(const struct fetch_conf *conf, const struct fetch_feed *feed, struct progress *p)
{
    TRY(libcurl_ready());
    TRY(libcurl_check_ca(conf->ca_file));
    struct fetcher *f = calloc(1, sizeof *f);
    struct host *host = calloc(HOSTS_MAX + 1, sizeof *host);
    int rc = f && host ? 0 : err_set(ERR_LIMIT, "crawl: no memory for downloads");
    if (rc < 0)
        goto out;
    f->host = host;
    f->shared = (struct transfer_shared){conf_filled(conf), feed, p, &f->pace};
    f->allowed = (int)f->shared.conf.connections;
    pace_init(&f->pace, conf->requests_per_s, conf->bytes_per_s, clock_ns());
    f->multi = curl_multi_init();
    if (!f->multi) {
        rc = err_set(ERR_LIMIT, "crawl: libcurl does not start");
        goto out;
    }
    curl_multi_setopt(f->multi, CURLMOPT_MAX_TOTAL_CONNECTIONS, (long)f->shared.conf.connections);
    rc = fetch_loop(f);
    slots_close(f);
out:
    if (f)
        curl_multi_cleanup(f->multi);
    free(host);
    free(f);
    return rc;
}

/* ---- a list of items ---- */
struct list_feed {
    struct fetch_item *item;
    size_t count, next, first_failed;
    bool given_up; /* what failed would fail the others too */
    int rc;
    char text[2048]; /* of the first failed item's error */
};

static int list_next(void *self, struct fetch_item **item)
{
    struct list_feed *l = self;
    if (l->given_up || l->next == l->count)
        return FETCH_END;
    *item = &l->item[l->next++];
    return FETCH_ITEM;
}

static int list_done(void *self, struct fetch_item *item)
{
    struct list_feed *l = self;
    size_t index = (size_t)(item - l->item);
    if (item->rc >= 0)
        return 0;
    if (l->rc == 0 || index < l->first_failed) {
        l->rc = item->rc;
        l->first_failed = index;
        err_copy_to(l->text, sizeof l->text);
    }
    /* A server that stays busy through all the tries of one file is left alone. */
    l->given_up |= item->rc == ERR_USAGE || (item->rc == ERR_AGAIN && item->tries > 1);
    return 0;
}

int fetch_all(const struct fetch_conf *conf, struct fetch_item *items, size_t count,
              struct progress *p)
{
    struct list_feed l = {.item = items, .count = count};
    struct fetch_feed feed = {.next = list_next, .done = list_done, .self = &l};
    for (size_t i = 0; i < count; i++) {
        items[i].rc = ERR_AGAIN;
        items[i].bytes = 0;
    }
    int rc = count ? fetch_feed(conf, &feed, p) : 0;
    return rc < 0 && (rc == ERR_STOP || l.rc == 0) ? rc
           : l.rc < 0                              ? err_set(l.rc, "%s", l.text)
                                                   : 0;
}

int fetch_memory(const struct fetch_conf *conf, const char *url, size_t max, char **out,
                 size_t *len)
{
    *out = NULL;
    *len = 0;
    struct fetch_conf c = *conf;
    if (!c.file_max || c.file_max > max)
        c.file_max = max;
    struct buf memory = {.max = max + 1};
    struct fetch_item item = {.url = url, .memory = &memory};
    int rc = fetch_all(&c, &item, 1, NULL);
    if (rc < 0) {
        buf_free(&memory);
        return rc;
    }
    *len = memory.len;
    buf_cstr(&memory);
    if (memory.failed) {
        buf_free(&memory);
        return err_set(ERR_LIMIT, "crawl: no memory for a document of %zu bytes", *len);
    }
    *out = memory.ptr;
    return 0;
}

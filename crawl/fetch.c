/* fetch - the download loop: who may start when, what is tried again, and what counts as done. */
#include "crawl/crawl.h"
#include "crawl/transfer.h"

#include "core/err.h"
#include "core/log.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

/* How it works. Each of `connections` slots carries one item from first try to last. A slot is
 * empty, waiting for its time, or running. A failed try says what it was by its outcome: RETRY
 * waits longer each time, BUSY (the server asked for patience) also quiets the whole host and
 * halves the number of slots that may run, RESTART starts over at once since only the partial file
 * was to blame, FAIL gives the item up and FATAL everything. Progress of a megabyte forgives
 * earlier failures, so that a long file over a bad line arrives in the end. */
enum {
    CONNECTIONS_MAX = 64,
    HOSTS_MAX = 64,
    POLL_MS = 100,
    WAIT_MAX_MS = 60000,
    FORGIVEN_BYTES = 1 << 20,
    CALM_AFTER = 8,          /* successes before one more slot may run again */
    QUICK_TRIES = 3,         /* on a host that never answered: no mirror there, or a wrong name */
    QUICK_WAIT_MS = 100,
    RESTARTS_MAX = 3,        /* times a partial file may be thrown away */
};
static const uint64_t MS = 1000000;

struct host { char name[256]; uint64_t quiet_until, next_retry; bool answered; };
struct slot {
    struct transfer *transfer;   /* NULL: empty */
    size_t index;
    struct host *host;
    bool running;
    int64_t failures, restarts;
    uint64_t not_before, had;
};
struct fetcher {
    struct fetch_conf conf;
    CURLM *multi;
    struct slot slot[CONNECTIONS_MAX];
    struct host host[HOSTS_MAX];
    int host_count, allowed, calm, running;
    struct fetch_item *items;
    size_t count, next, first_failed;
    struct buf *memory;
    struct progress *progress;
    bool fatal;
    int rc;
    char text[2048];             /* of the first failed item's error */
};

static pthread_once_t curl_once = PTHREAD_ONCE_INIT;
static void curl_start(void) { curl_global_init(CURL_GLOBAL_DEFAULT); }

static struct fetch_conf conf_filled(const struct fetch_conf *given)
{
    struct fetch_conf c = *given;
    c.user_agent = c.user_agent ? c.user_agent : "";
    c.connections = c.connections > 0 ? c.connections : 4;
    c.connections = c.connections < CONNECTIONS_MAX ? c.connections : CONNECTIONS_MAX;
    c.retries = c.retries == 0 ? 8 : c.retries < 0 ? 0 : c.retries;
    c.connect_ms = c.connect_ms > 0 ? c.connect_ms : 10000;
    c.stall_ms = c.stall_ms > 0 ? c.stall_ms : 30000;
    c.backoff_ms = c.backoff_ms > 0 ? c.backoff_ms : 1000;
    c.file_max = c.file_max ? c.file_max : (uint64_t)4 << 30;
    return c;
}

/* Hosts beyond the table share its last row: they are only treated more gently. */
static struct host *host_of(struct fetcher *f, const char *url)
{
    struct url_parts parts;
    char name[256] = "";
    if (url_split(str_of(url), &parts))
        snprintf(name, sizeof name, "%.*s:%.*s", (int)(parts.host.len < 200 ? parts.host.len : 200),
                 parts.host.ptr, (int)(parts.port.len < 8 ? parts.port.len : 8), parts.port.ptr);
    for (int i = 0; i < f->host_count; i++)
        if (strcmp(f->host[i].name, name) == 0)
            return &f->host[i];
    if (f->host_count == HOSTS_MAX)
        return &f->host[HOSTS_MAX - 1];
    struct host *h = &f->host[f->host_count++];
    memcpy(h->name, name, sizeof name);
    return h;
}

/* ---- ends of items ---- */
static void item_failed(struct fetcher *f, size_t index, int rc)
{
    assert(rc < 0);
    f->items[index].rc = rc;
    if (f->rc == 0 || index < f->first_failed) {
        f->rc = rc;
        f->first_failed = index;
        err_copy_to(f->text, sizeof f->text);
    }
    if (rc == ERR_USAGE)
        f->fatal = true;
}

static void slot_clear(struct slot *s)
{
    transfer_close(s->transfer);
    memset(s, 0, sizeof *s);
}

static void slot_done(struct fetcher *f, struct slot *s)
{
    int rc = transfer_commit(s->transfer, &f->items[s->index].bytes);
    if (rc < 0) {
        item_failed(f, s->index, rc);
    } else {
        f->items[s->index].rc = 0;
        s->host->answered = true;
        if (f->progress)
            progress_add(f->progress, 1, 0, 0);
        if (f->allowed < f->conf.connections && ++f->calm >= CALM_AFTER) {
            f->allowed++;
            f->calm = 0;
        }
    }
    slot_clear(s);
}

/* ---- tries ---- */
static uint64_t backoff(const struct fetcher *f, const struct slot *s)
{
    int64_t shift = s->failures - 1 < 10 ? s->failures - 1 : 10, wait = f->conf.backoff_ms << shift;
    wait = wait < WAIT_MAX_MS ? wait : WAIT_MAX_MS;
    uint64_t seed = hash_str(str_of(f->items[s->index].url), 0);
    return (uint64_t)((double)wait * (0.5 + hash_unit(seed, (uint64_t)s->failures)) * (double)MS);
}

static void slot_failed(struct fetcher *f, struct slot *s, enum outcome outcome)
{
    uint64_t now = clock_ns(), wait = 0;
    struct transfer *t = s->transfer;
    int64_t tries = f->conf.retries;
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
    if (outcome == OUTCOME_BUSY) {
        f->allowed = f->allowed > 1 ? f->allowed / 2 : 1;
        f->calm = 0;
        uint64_t asked = now + transfer_retry_after_ms(t) * MS;
        s->host->quiet_until = s->host->quiet_until > asked ? s->host->quiet_until : asked;
    }
    if (outcome == OUTCOME_FAIL || outcome == OUTCOME_FATAL || s->failures > tries) {
        int rc = transfer_error(t, s->failures);
        f->fatal |= outcome == OUTCOME_FATAL || silent || rc == ERR_AGAIN;
        item_failed(f, s->index, rc);
        slot_clear(s);
        return;
    }
    log_debug("fetch: %s: %s: try %d of %d in %.1f s", f->items[s->index].url, transfer_reason(t),
              (int)s->failures + 1, (int)tries + 1, (double)wait * 1e-9);
    s->not_before = now + wait;
}

static void slot_ended(struct fetcher *f, struct slot *s, CURLcode code)
{
    curl_multi_remove_handle(f->multi, transfer_handle(s->transfer));
    s->running = false;
    f->running--;
    enum outcome outcome = transfer_end(s->transfer, code);
    if (outcome == OUTCOME_DONE)
        slot_done(f, s);
    else
        slot_failed(f, s, outcome);
}

static int slot_start(struct fetcher *f, struct slot *s, uint64_t now)
{
    if (s->failures)
        s->host->next_retry =
            now + (uint64_t)(f->conf.backoff_ms < 1000 ? f->conf.backoff_ms : 1000) * MS;
    s->had = transfer_bytes(s->transfer);
    TRY(transfer_start(s->transfer));
    if (curl_multi_add_handle(f->multi, transfer_handle(s->transfer)) != CURLM_OK)
        return err_set(ERR_LIMIT, "crawl: libcurl takes no more transfers");
    s->running = true;
    f->running++;
    return 0;
}

/* Fills empty slots and starts those whose time has come. */
static void slots_start(struct fetcher *f)
{
    uint64_t now = clock_ns();
    for (int64_t i = 0; i < f->conf.connections; i++) {
        struct slot *s = &f->slot[i];
        while (!s->transfer && f->next < f->count && !f->fatal) {
            s->index = f->next++;
            s->host = host_of(f, f->items[s->index].url);
            const struct fetch_item *item = &f->items[s->index];
            int rc = transfer_open(&s->transfer, &f->conf, item, f->memory, f->progress);
            if (rc < 0)
                item_failed(f, s->index, rc);
        }
        bool due = s->transfer && !s->running && now >= s->not_before && now >= s->host->quiet_until
                   && (!s->failures || now >= s->host->next_retry) && f->running < f->allowed;
        int rc = due ? slot_start(f, s, now) : 0;
        if (rc < 0) {
            item_failed(f, s->index, rc);
            slot_clear(s);
        }
    }
}

static bool slots_empty(const struct fetcher *f)
{
    for (int64_t i = 0; i < f->conf.connections; i++)
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
        for (int64_t i = 0; i < f->conf.connections; i++)
            if (f->slot[i].running && transfer_handle(f->slot[i].transfer) == handle) {
                slot_ended(f, &f->slot[i], code);
                break;
            }
    }
}

static int fetch_loop(struct fetcher *f)
{
    while (!pipe_stop) {
        slots_start(f);
        if (slots_empty(f) && (f->fatal || f->next == f->count))
            return f->rc < 0 ? err_set(f->rc, "%s", f->text) : 0;
        int running;
        if (curl_multi_perform(f->multi, &running) != CURLM_OK)
            return err_set(ERR_IO, "crawl: libcurl's transfer loop failed");
        slots_ended(f);
        if (f->running)
            curl_multi_poll(f->multi, NULL, 0, POLL_MS, NULL);
        else
            nanosleep(&(struct timespec){0, 5000000}, NULL);
    }
    return err_set(ERR_STOP, "crawl: stopped; what was downloaded stays and is resumed next time");
}

static int fetch_run(const struct fetch_conf *conf, struct fetch_item *items, size_t count,
                     struct buf *memory, struct progress *p)
{
    pthread_once(&curl_once, curl_start);
    struct fetcher *f = calloc(1, sizeof *f);
    if (!f)
        return err_set(ERR_LIMIT, "crawl: no memory for downloads");
    f->conf = conf_filled(conf);
    f->allowed = (int)f->conf.connections;
    f->items = items;
    f->count = count;
    f->memory = memory;
    f->progress = p;
    for (size_t i = 0; i < count; i++) {
        items[i].rc = ERR_AGAIN;
        items[i].bytes = 0;
    }
    int rc = 0;
    f->multi = curl_multi_init();
    if (!f->multi) {
        rc = err_set(ERR_LIMIT, "crawl: libcurl does not start");
        goto out;
    }
    curl_multi_setopt(f->multi, CURLMOPT_MAX_TOTAL_CONNECTIONS, (long)f->conf.connections);
    rc = fetch_loop(f);
out:
    for (int64_t i = 0; i < f->conf.connections; i++) {
        if (f->slot[i].running)
            curl_multi_remove_handle(f->multi, transfer_handle(f->slot[i].transfer));
        if (f->slot[i].transfer)
            slot_clear(&f->slot[i]);
    }
    curl_multi_cleanup(f->multi);
    free(f);
    return rc;
}

int fetch_all(const struct fetch_conf *conf, struct fetch_item *items, size_t count,
              struct progress *p)
{
    return count ? fetch_run(conf, items, count, NULL, p) : 0;
}

int fetch_memory(const struct fetch_conf *conf, const char *url, size_t max, char **out,
                 size_t *len)
{
    *out = NULL;
    *len = 0;
    struct fetch_conf c = *conf;
    if (!c.file_max || c.file_max > max)
        c.file_max = max;
    struct fetch_item item = {.url = url};
    struct buf memory = {.max = max + 1};
    int rc = fetch_run(&c, &item, 1, &memory, NULL);
    if (rc < 0) {
        buf_free(&memory);
        return rc;
    }
    *len = memory.len;
    buf_cstr(&memory);
    if (memory.failed) {
        buf_free(&memory);
        return err_set(ERR_LIMIT, "crawl: no memory for the %zu bytes of %s", *len, url);
    }
    *out = memory.ptr;
    return 0;
}

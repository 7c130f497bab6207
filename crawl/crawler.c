/* crawler - the focused crawler's loop: who is asked when, and what is certain to stay. */
#include "crawl/crawler.h"

#include "core/err.h"
#include "core/log.h"
#include "core/pipe.h"
#include "crawl/robots.h"

enum {
    CHECKPOINT_LINES = 8 << 20, /* bytes of journal lines waiting */
    WAIT_MAX_MS = 100,
    ROBOTS_FRESH_S = 24 * 3600, /* RFC 9309 2.4 */
    BACKOFF_MAX_S = 300,
};
static const uint64_t SECOND = 1000000000, CROWDED_NS = 20000000;

static uint64_t seconds_ns(double seconds) { return (uint64_t)(seconds * 1e9); }

/* ---- politeness ---- */
uint64_t crawler_pause(const struct crawler *c, const struct visit *v)
{
    const struct host *h = frontier_host(c->frontier, v->host);
    uint64_t wait = seconds_ns(c->conf->delay), most = seconds_ns(c->conf->delay_max);
    uint64_t asked = h->robots && c->respect & RESPECT_ROBOTS
                         ? (uint64_t)robots_delay_ms(h->robots) * 1000000
                         : 0;
    double scaled = c->conf->delay_factor * (double)v->took_ns;
    uint64_t adaptive = scaled < (double)most ? (uint64_t)scaled : most;
    wait = wait > asked ? wait : asked;
    return wait > adaptive ? wait : adaptive;
}

/* Before a page or a robots.txt is tried again. */
static uint64_t pause_again(const struct crawler *c, const struct visit *v, unsigned tries)
{
    int64_t first = c->fetch->backoff_ms > 0 ? c->fetch->backoff_ms : 1000;
    uint64_t wait = (uint64_t)first * 1000000 << (tries < 12 ? tries : 12);
    uint64_t most = BACKOFF_MAX_S * SECOND, asked = v->retry_after_ms * 1000000;
    uint64_t least = crawler_pause(c, v);
    wait = wait < most ? wait : most;
    wait = wait > asked ? wait : asked;
    return wait > least ? wait : least;
}

int crawler_end(struct crawler *c, const struct visit *v, enum page_end end, const char *digest)
{
    bool written = end == PAGE_WRITTEN || end == PAGE_REVISIT;
    c->changes++;
    c->bytes += written ? v->body.len : 0;
    if (v->status > 0)
        c->status_count[v->status / 100 < STATUS_CLASSES ? v->status / 100 : 0]++;
    if (!written && !c->first_failure[0] && v->why[0])
        snprintf(c->first_failure, sizeof c->first_failure, "%.200s: %.250s", v->url, v->why);
    if (c->progress && written)
        progress_add(c->progress, 1, v->body.len, 0);
    return frontier_done(c->frontier, v->page, end, v->status, v->body.len, digest,
                         clock_ns() + crawler_pause(c, v));
}

int crawler_again(struct crawler *c, const struct visit *v)
{
    struct host *h = frontier_host(c->frontier, v->host);
    unsigned tries =
        v->robots ? h->robots_tries++ : frontier_page_of(c->frontier, v->page)->tries++;
    uint64_t wait = pause_again(c, v, tries);
    c->retried++;
    log_debug("crawl: %s: %d %s: again in %.1f s", v->url, v->status, v->why, (double)wait * 1e-9);
    return frontier_later(c->frontier, v->page, clock_ns() + wait);
}

void crawler_give_up(struct crawler *c, const struct visit *v, const char *why)
{
    struct host *h = frontier_host(c->frontier, v->host);
    h->given_up = v->end == VISIT_NO_HOST   ? PAGE_NO_HOST
                  : v->end == VISIT_PRIVATE ? PAGE_PRIVATE
                                            : PAGE_UNREACHABLE;
    log_warn("crawl: %s is left alone: %s", h->origin, why);
}

/* ---- what is asked for ---- */
static int start(struct crawler *c, uint32_t page, bool robots, uint64_t now)
{
    struct visit *v = visits_take(c->visits);
    const struct page *p = frontier_page(c->frontier, page);
    if (robots)
        snprintf(v->url, sizeof v->url, "%.*s/robots.txt", URL_BYTES_MAX - 16,
                 frontier_host(c->frontier, p->host)->origin);
    else
        snprintf(v->url, sizeof v->url, "%.*s", STR_ARG(frontier_url(c->frontier, page)));
    v->page = page;
    v->host = p->host;
    v->address = frontier_host(c->frontier, p->host)->address;
    v->robots = robots;
    v->any_type = robots || p->hop == HOP_SITEMAP;
    pace_request(&c->pace, now);
    return visits_start(c->visits, v);
}

/* A page whose host is ours now: asked for, or finished without asking. */
static int dispatch(struct crawler *c, uint32_t page, uint64_t now)
{
    struct host *h = frontier_host(c->frontier, frontier_page(c->frontier, page)->host);
    struct str target = url_target(frontier_url(c->frontier, page));
    enum page_end end = PAGE_ENDS;
    bool ask = c->respect & (RESPECT_ROBOTS | RESPECT_NOAI) || c->conf->sitemaps;
    if (h->given_up != PAGE_WRITTEN)
        end = h->given_up;
    else if (c->conf->host_pages && h->pages >= (uint64_t)c->conf->host_pages)
        end = PAGE_OVER_LIMIT;
    else if (ask && (!h->robots || now - h->robots_ns > ROBOTS_FRESH_S * SECOND))
        return start(c, page, true, now);
    else if (c->respect & RESPECT_ROBOTS && !robots_allows(h->robots, target))
        end = PAGE_EXCLUDED;
    else if (c->respect & RESPECT_NOAI && robots_no_training(h->robots, target))
        end = PAGE_OPTED_OUT;
    else
        return start(c, page, false, now);
    c->changes++;
    return frontier_done(c->frontier, page, end, 0, 0, "", h->due_ns);
}

static uint64_t pages_written(const struct crawler *c)
{
    const struct frontier_counts *n = frontier_counts(c->frontier);
    return n->end[PAGE_WRITTEN] + n->end[PAGE_REVISIT];
}

/* No more than the limits leave room for, those on their way counted. */
static bool has_room(const struct crawler *c)
{
    uint64_t out = (uint64_t)visits_out(c->visits);
    if (c->conf->max_pages && pages_written(c) + out >= (uint64_t)c->conf->max_pages)
        return false;
    if (c->conf->max_bytes && capture_bytes(c->capture) >= c->conf->max_bytes)
        return false;
    return (int64_t)out < c->visit_conf.connections;
}

static int fill(struct crawler *c)
{
    while (!pipe_stop && has_room(c)) {
        uint64_t now = clock_ns();
        if (pace_request_wait(&c->pace, now) || pace_bytes_wait(&c->pace, now))
            return 0;
        uint32_t page = frontier_take(c->frontier, now);
        if (page == FRONTIER_NONE)
            return 0;
        const struct host *h = frontier_host(c->frontier, frontier_page(c->frontier, page)->host);
        if (visits_crowded(c->visits, h->address)) {
            TRY(frontier_later(c->frontier, page, now + CROWDED_NS));
            continue;
        }
        TRY(dispatch(c, page, now));
    }
    return 0;
}

/* The archive first, then the journal that says how long it is. A file that is complete gets its
 * name only after the journal knows. */
static int checkpoint(struct crawler *c, bool complete)
{
    const char *name, *info_id;
    uint64_t bytes;
    TRY(capture_sync(c->capture, &name, &info_id, &bytes));
    complete = complete && name[0];
    if (complete)
        journal_line(c->journal, "f %llu %s", (unsigned long long)bytes, name);
    if (complete || !name[0])
        TRY(journal_checkpoint(c->journal, "0 - -"));
    else
        TRY(journal_checkpoint(c->journal, "%llu %s %s", (unsigned long long)bytes, name, info_id));
    c->checkpoint_ns = clock_ns();
    c->changes = 0;
    return complete ? capture_complete(c->capture) : 0;
}

/* ---- what came ---- */
static int take_in(struct crawler *c)
{
    struct visit *v;
    while ((v = visits_ended(c->visits))) {
        uint64_t now = clock_ns();
        pace_answer(&c->pace, false, now); /* hosts are slowed one by one, not all for one */
        pace_bytes(&c->pace, v->header.len + v->body.len, now);
        if (v->redirects == 0)
            frontier_host(c->frontier, v->host)->address = v->address;
        if (v->end == VISIT_CROWDED) {
            TRY(frontier_later(c->frontier, v->page, now + CROWDED_NS));
            visits_release(c->visits, v);
            continue;
        }
        TRY(v->robots ? answer_robots(c, v) : answer_page(c, v));
        arena_trim(&c->scratch, 16 << 20);
        if (capture_full(c->capture))
            TRY(checkpoint(c, true));
    }
    return 0;
}

/* ms until something is due. */
static int wait_ms(const struct crawler *c)
{
    uint64_t now = clock_ns(), wait = frontier_wait(c->frontier, now);
    uint64_t request = pace_request_wait(&c->pace, now), bytes = pace_bytes_wait(&c->pace, now);
    if (!has_room(c))
        return WAIT_MAX_MS; /* until an answer comes */
    wait = wait > request ? wait : request;
    wait = wait > bytes ? wait : bytes;
    return wait > WAIT_MAX_MS * 1000000ull ? WAIT_MAX_MS : (int)((wait + 999999) / 1000000);
}

int crawler_run(struct crawler *c)
{
    c->checkpoint_ns = clock_ns();
    while (!pipe_stop) {
        TRY(fill(c));
        bool over = frontier_wait(c->frontier, clock_ns()) == UINT64_MAX || !has_room(c);
        if (visits_out(c->visits) == 0 && over)
            return checkpoint(c, true);
        TRY(visits_wait(c->visits, wait_ms(c)));
        TRY(take_in(c));
        uint64_t since = clock_ns() - c->checkpoint_ns;
        if ((c->changes && since > seconds_ns(c->conf->sync_s)) ||
            journal_waiting(c->journal) > CHECKPOINT_LINES)
            TRY(checkpoint(c, false));
    }
    TRY(checkpoint(c, false));
    return err_set(ERR_STOP, "crawl: stopped; all so far is saved, and the same command goes on");
}

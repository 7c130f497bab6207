/* cdx_server - asks a CDX server for captures, a page at a time and never two at once. */
#include "crawl/cdx.h"
#include "crawl/s3_sign.h"

#include "core/err.h"
#include "core/json.h"
#include "core/log.h"
#include "core/pipe.h"

#include <stdlib.h>
#include <time.h>

/* How it works. The number of pages is asked for first (showNumPages), then one page after the
 * other until there are enough captures. Servers of this kind are small and shared: requests go out
 * one by one, at most `rate` a second, and the download layer's patience (Retry-After, doubling
 * waits on 429 and 503) lies between tries. */
enum {
    PAGE_BYTES_MAX = 64 << 20,
    COUNT_BYTES_MAX = 64 << 10,
    SERVER_RETRIES = 6,
    SERVER_BACKOFF_MS = 2000,
};

struct asker {
    const struct cdx_conf *conf;
    const struct cdx_pattern *pattern;
    struct fetch_conf fetch;
    struct buf url;   /* without what is asked of a page */
    uint64_t last_ns; /* when the last request was answered */
};

/* In short steps, so that a signal is heard. */
static int wait_turn(const struct asker *a)
{
    uint64_t gap = (uint64_t)(1e9 / a->conf->rate);
    while (a->last_ns && clock_ns() < a->last_ns + gap) {
        if (pipe_stop)
            return err_set(ERR_STOP, "crawl: stopped while the index was asked");
        nanosleep(&(struct timespec){0, 20000000}, NULL);
    }
    return 0;
}

/* 1: *body is the answer. 0: the server knows of no captures. */
static int ask(struct asker *a, const char *more, struct buf *body)
{
    struct buf url = {.max = 8 << 10};
    struct fetch_answer answer = {0};
    buf_str(&url, buf_view(&a->url));
    buf_text(&url, more);
    struct fetch_item item = {
        .url = buf_cstr(&url), .memory = body, .flags = FETCH_ANY_STATUS, .answer = &answer};
    buf_clear(body);
    int rc = url.failed ? err_set(ERR_USAGE, "crawl: the index pattern is too long for a request")
                        : wait_turn(a);
    if (rc == 0)
        rc = fetch_all(&a->fetch, &item, 1, NULL);
    a->last_ns = clock_ns();
    struct str said = buf_view(body);
    said.len = said.len < 200 ? said.len : 200;
    if (rc == 0 && answer.status == 200)
        rc = 1;
    else if (rc == 0 && answer.status == 404 && str_find(said, STR("No Captures")) != SIZE_MAX)
        rc = 0;
    else if (rc == 0)
        rc = err_set(ERR_IO,
                     "crawl: the index server answered %ld to %s: %.*s: is the crawl's "
                     "name right? %scollinfo.json lists them",
                     answer.status, buf_cstr(&url), STR_ARG(said), a->conf->server);
    fetch_answer_free(&answer);
    buf_free(&url);
    return rc;
}

static int make_url(struct asker *a, const struct crawl_conf *crawl)
{
    static const char *const match[] = {"exact", "prefix", "host", "domain"};
    size_t len = strlen(a->conf->server);
    buf_printf(&a->url, "%s%s%s-index?url=", a->conf->server,
               len && a->conf->server[len - 1] == '/' ? "" : "/", crawl->crawl);
    sign_encode(&a->url, a->pattern->url, false);
    buf_printf(&a->url, "&matchType=%s&output=json", match[a->pattern->match]);
    for (size_t i = 0; i < a->conf->filter.count; i++)
        if (a->conf->filter.item[i][0]) {
            buf_text(&a->url, "&filter=");
            sign_encode(&a->url, str_of(a->conf->filter.item[i]), false);
        }
    return a->url.failed ? err_set(ERR_LIMIT, "crawl: no memory for a URL") : 0;
}

/* {"pages": 4, "pageSize": 5, "blocks": 17}, or the bare number of other servers. */
static int read_pages(struct str text, uint64_t *pages)
{
    struct arena a;
    struct json *root;
    text = str_trim(text);
    if (str_u64(text, pages))
        return 0;
    TRY(arena_open(&a, 4 << 20));
    int rc = json_parse(&a, text, &root);
    const struct json *value = rc == 0 ? json_get(root, "pages") : NULL;
    if (rc < 0 || !value || !json_u64(value, pages))
        rc = err_set(ERR_FORMAT, "crawl: the index server's count of pages is none: \"%.*s\"",
                     text.len < 80 ? (int)text.len : 80, text.ptr);
    arena_close(&a);
    return rc;
}

static int read_page(struct cdx_set *s, struct str body, const struct cdx_filters *f)
{
    while (body.ptr && body.len) {
        int rc = cdx_line(s, str_cut(body, '\n', &body), NULL, f);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static int ask_pages(struct asker *a, struct cdx_set *s, const struct cdx_filters *f)
{
    struct buf body = {.max = COUNT_BYTES_MAX};
    uint64_t pages = 0, most = (uint64_t)a->conf->pages;
    int rc = ask(a, "&showNumPages=true", &body);
    if (rc > 0)
        rc = read_pages(buf_view(&body), &pages);
    s->full = pages > most;
    body.max = PAGE_BYTES_MAX + 1;
    for (uint64_t i = 0; rc == 0 && i < pages && i < most; i++) {
        char more[48];
        snprintf(more, sizeof more, "&page=%llu", (unsigned long long)i);
        rc = ask(a, more, &body);
        if (rc > 0)
            rc = read_page(s, buf_view(&body), f);
        /* Pages come in key order: what further ones hold would be cut off. */
        if (rc == 0 && s->count > (uint64_t)a->conf->max) {
            s->full = true;
            break;
        }
    }
    buf_free(&body);
    return rc;
}

int cdx_ask_server(struct cdx_set *s, const struct crawl_conf *crawl, const struct cdx_conf *conf,
                   const struct cdx_pattern *p, const struct cdx_filters *f)
{
    struct asker a = {.conf = conf, .pattern = p, .fetch = crawl->fetch, .url = {.max = 8 << 10}};
    a.fetch.connections = 1;
    a.fetch.file_max = PAGE_BYTES_MAX;
    a.fetch.retries = a.fetch.retries > SERVER_RETRIES ? SERVER_RETRIES : a.fetch.retries;
    if (conf->rate <= 1 && a.fetch.backoff_ms < SERVER_BACKOFF_MS)
        a.fetch.backoff_ms = SERVER_BACKOFF_MS;
    if (!crawl->crawl || !crawl->crawl[0])
        return err_set(ERR_USAGE, "crawl: --index asks the index of one crawl: give "
                                  "--crawl=CC-MAIN-YYYY-WW");
    int rc = make_url(&a, crawl);
    if (rc == 0)
        rc = ask_pages(&a, s, f);
    buf_free(&a.url);
    return rc;
}

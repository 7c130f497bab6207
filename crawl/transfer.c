/* transfer - one download's requests over libcurl: what is asked, what the answer is worth. */
#include "crawl/transfer.h"
#include "crawl/address.h"
#include "crawl/crawl.h"
#include "crawl/landing.h"
#include "crawl/pace.h"
#include "crawl/reply.h"
#include "crawl/s3.h"

#include "core/err.h"
#include "core/pipe.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <time.h>

/* How it works. A try is a GET of the whole file, or of the rest behind what has landed (Range with
 * If-Range). The header callback notes what the server says; the first byte of the body decides, in
 * body_begin, whether the bytes belong to what is there, start anew, or are no part of the file.
 * transfer_end turns the end of the try into an outcome. Every number of the server's is checked
 * against the others: Content-Length, Content-Range, the bytes that came, the gzip members.
 *
 * Addresses are looked at where the socket is opened and, for a connection that is used again,
 * before each request (libcurl's PREREQ), so that neither a redirect nor a name that resolves anew
 * (DNS rebinding) leads from the open internet into the local network. */
enum {
    REDIRECTS_MAX = 5,
    ERROR_BODY_MAX = 64 << 10, /* bytes of an error page read before the connection is dropped */
    HEAD_SHOWN = 24,
};

static const struct transfer_scheme *const schemes[] = {&scheme_s3, &scheme_s3_list};

struct transfer {
    const struct transfer_shared *shared;
    const struct fetch_conf *conf;
    struct fetch_item *item;
    const struct transfer_scheme *scheme; /* NULL: http, https, file */
    struct landing landing;
    CURL *easy;
    struct curl_slist *headers, *resolve;
    bool file, loopback; /* by its URL: on this machine, whatever a proxy says */
    int first;           /* the first address connected to: -1 none yet, 1 private */
    uint64_t asked;      /* offset of the range asked for, 0: the whole */
    /* of the try */
    struct reply reply;
    char shown[IO_PATH_MAX]; /* the URL without its secrets */
    long status;
    size_t ignored;
    struct buf error_body;
    bool begun, take, refuse, refuse_for_good, not_gzip, too_large, cut, no_room, paused, connected;
    uint64_t window_start, window_bytes; /* of the check for stalls */
    char head[HEAD_SHOWN + 1];           /* first bytes, to show what came instead of gzip */
    char curl_text[CURL_ERROR_SIZE], reason[512];
    int code; /* enum err of the reason */
};

CURL *transfer_handle(const struct transfer *t) { return t->easy; }
uint64_t transfer_bytes(const struct transfer *t) { return t->landing.have; }
uint64_t transfer_retry_after_ms(const struct transfer *t) { return t->reply.retry_after_ms; }
const char *transfer_reason(const struct transfer *t) { return t->reason; }

int transfer_error(const struct transfer *t, int64_t tries)
{
    if (tries > 1)
        return err_set(t->code, "crawl: GET %s: %s (tried %d times)", t->shown, t->reason,
                       (int)tries);
    return err_set(t->code, "crawl: GET %s: %s", t->shown, t->reason);
}

PRINTF_LIKE(2, 3)
static void refuse(struct transfer *t, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    vsnprintf(t->reason, sizeof t->reason, fmt, args);
    va_end(args);
    t->refuse = true;
}

/* ---- addresses ---- */
/* Where the first connection leads is the user's own choice (but for public_only); from a public
 * address nothing may lead to a private one. */
static bool address_allowed(struct transfer *t, bool private)
{
    if (t->first < 0 && !(private && t->conf->public_only))
        t->first = private;
    bool allowed = !private || t->first == 1;
    if (!allowed) {
        refuse(t, "%s a private address, which is refused",
               t->reply.redirects ? "redirected to" : "the host's name leads to");
        t->refuse_for_good = true;
    }
    return allowed;
}

static curl_socket_t on_socket(void *self, curlsocktype purpose, struct curl_sockaddr *address)
{
    struct transfer *t = self;
    UNUSED(purpose);
    if (!proxy_is_at(&address->addr) &&
        !address_allowed(t, t->conf->is_private(&address->addr)))
        return CURL_SOCKET_BAD;
    return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

/* Behind a proxy only what the URL itself says can be looked at. Without one on this machine the
 * first host is a public one. */
static bool leads_inside(struct transfer *t)
{
    char *url = NULL;
    struct url_parts parts;
    t->first = t->first < 0 ? 0 : t->first;
    return curl_easy_getinfo(t->easy, CURLINFO_EFFECTIVE_URL, &url) == CURLE_OK && url &&
           url_split(str_of(url), &parts) &&
           address_host_is_private(parts.host, t->conf->is_private);
}

static int on_request(void *self, char *to, char *from, int to_port, int from_port)
{
    struct transfer *t = self;
    UNUSED(from);
    UNUSED(from_port);
    bool proxy = proxy_is_text(to, to_port);
    if (!address_allowed(t, proxy ? leads_inside(t)
                                  : address_text_is_private(to, t->conf->is_private)))
        return CURL_PREREQFUNC_ABORT;
    if (t->item->answer)
        snprintf(t->item->answer->ip, sizeof t->item->answer->ip, "%s", to);
    t->connected = true;
    t->window_start = clock_ns();
    t->window_bytes = 0;
    return CURL_PREREQFUNC_OK;
}

/* ---- what the server says ---- */
static size_t on_header(char *bytes, size_t size, size_t count, void *self)
{
    struct transfer *t = self;
    if (!reply_line(&t->reply, (struct str){bytes, size * count}, time(NULL))) {
        refuse(t, "%s", t->reply.reason);
        return 0;
    }
    return size * count;
}

static int on_debug(CURL *easy, curl_infotype type, char *bytes, size_t len, void *self)
{
    struct fetch_answer *answer = ((struct transfer *)self)->item->answer;
    UNUSED(easy);
    if (type == CURLINFO_HEADER_OUT) {
        buf_clear(&answer->request);
        buf_add(&answer->request, bytes, len);
    }
    return 0;
}

struct str transfer_header_find(struct str block, const char *name)
{
    struct str found = {0};
    while (block.ptr) {
        struct str value, line = str_cut(block, '\n', &block);
        struct str key = str_cut(line, ':', &value);
        if (value.ptr && str_eq_nocase(key, str_of(name)))
            found = str_trim(value);
    }
    return found;
}

struct str fetch_answer_header(const struct fetch_answer *a, const char *name)
{
    return transfer_header_find(buf_view(&a->header), name);
}

void fetch_answer_free(struct fetch_answer *a)
{
    buf_free(&a->request);
    buf_free(&a->header);
    memset(a, 0, sizeof *a);
}

/* ---- bytes ---- */
static bool same_if_said(const char *said, const char *known)
{
    return !said[0] || !known[0] || strcmp(said, known) == 0;
}

/* The rest of the file that was asked for, of the version we have. */
static bool range_fits(const struct transfer *t)
{
    const struct origin *o = &t->landing.origin;
    if (t->item->length)
        return t->reply.range_start == t->item->offset &&
               t->reply.range_end - t->reply.range_start + 1 == t->item->length;
    return t->asked && t->reply.range_start == t->asked &&
           same_if_said(t->reply.said.etag, o->etag) &&
           same_if_said(t->reply.said.modified, o->modified) &&
           (t->reply.range_total == UINT64_MAX || o->total == UINT64_MAX ||
            t->reply.range_total == o->total) &&
           (t->reply.range_total == UINT64_MAX || t->reply.range_end == UINT64_MAX ||
            t->reply.range_end + 1 == t->reply.range_total);
}

/* 200: the whole file, from its first byte. */
static void whole_begins(struct transfer *t, uint64_t length)
{
    struct landing *l = &t->landing;
    if (t->item->length) {
        refuse(t, "the server sends the whole file where a range was asked for");
        t->refuse_for_good = true;
        return;
    }
    if (l->have)
        landing_drop(l);
    if (l->sent) {
        refuse(t, "the file changed, or cannot be resumed, and %llu bytes of it are out already",
               (unsigned long long)l->sent);
        t->refuse_for_good = true;
        return;
    }
    t->reply.said.total = length;
    landing_begin(l, &t->reply.said);
}

static void part_begins(struct transfer *t)
{
    struct landing *l = &t->landing;
    if (!range_fits(t)) {
        refuse(t, "the range in the answer is not the one asked for");
        return;
    }
    if (t->item->length) {
        t->reply.said.total = t->item->length;
        landing_begin(l, &t->reply.said);
    } else if (l->origin.total == UINT64_MAX) {
        l->origin.total = t->reply.range_total;
    }
}

/* Without a length and without chunks the file ends where the connection does, for whatever reason:
 * a short one could not be told from a whole one. */
static void check_end(struct transfer *t)
{
    if (!t->file && !t->item->memory && t->reply.length == UINT64_MAX && !t->reply.chunked) {
        refuse(t, "the server does not say where the file ends (no Content-Length)");
        t->refuse_for_good = true;
    }
}

static bool is_result(const struct transfer *t)
{
    bool page = t->status == 200 || t->status == 206 || t->status == 0;
    bool any = (t->item->flags & FETCH_ANY_STATUS) && t->status != 429 && t->status != 503;
    bool redirect = (t->item->flags & FETCH_NO_REDIRECT) && t->status / 100 == 3;
    return page || any || redirect;
}

/* What was asked for without an encoding and comes in one is not the file. Of a .gz the bytes
 * themselves are checked, and servers that call them encoded are many. */
static void check_encoding(struct transfer *t)
{
    bool pages = t->item->flags & FETCH_ANY_STATUS;
    if (t->reply.encoding[0] && strcmp(t->reply.encoding, "identity") != 0 && !t->landing.gzip &&
        !pages) {
        refuse(t, "the file comes in Content-Encoding %s, which was not asked for",
               t->reply.encoding);
        t->refuse_for_good = true;
    }
}

/* Decides, at the first byte (or the end of an empty body), where the bytes belong. */
static void body_begin(struct transfer *t)
{
    if (t->begun)
        return;
    t->begun = true;
    curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &t->status);
    curl_off_t length = -1;
    curl_easy_getinfo(t->easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
    t->take = is_result(t);
    if (!t->take)
        return;
    if (t->item->flags & FETCH_HEAD) {
        t->reply.said.total = t->reply.length;
        if (t->file && length >= 0)
            t->reply.said.total = (uint64_t)length;
        t->landing.origin = t->reply.said;
        return;
    }
    check_encoding(t);
    check_end(t);
    if (t->refuse)
        return;
    if (t->status == 206)
        part_begins(t);
    else
        whole_begins(t, length >= 0 ? (uint64_t)length : UINT64_MAX);
    uint64_t total = t->landing.origin.total;
    bool cut = t->item->flags & FETCH_CUT;
    t->too_large = total != UINT64_MAX && total > t->conf->file_max && !cut;
    if (!t->refuse && !t->too_large)
        t->no_room = transfer_room(t) != 1;
}

int transfer_room(struct transfer *t)
{
    const struct fetch_feed *feed = t->shared->feed;
    int rc = feed->room ? feed->room(feed->self, t->item, t->landing.origin.total) : 1;
    if (rc < 0) {
        t->landing.rc = rc;
        err_copy_to(t->landing.text, sizeof t->landing.text);
    }
    return rc;
}

static uint64_t bytes_max(const struct transfer *t)
{
    uint64_t max = t->conf->file_max;
    const struct buf *memory = t->item->memory;
    if (memory && memory->max && memory->max - t->landing.memory_base < max)
        max = memory->max - t->landing.memory_base;
    if (t->item->length && t->item->length < max)
        max = t->item->length;
    return max;
}

static size_t take_body(struct transfer *t, const char *bytes, size_t len)
{
    struct landing *l = &t->landing;
    uint64_t room = bytes_max(t) - l->have;
    if (len > room) {
        t->cut = t->item->flags & FETCH_CUT;
        t->too_large = !t->cut;
        if (!t->cut)
            return 0;
        len = (size_t)room;
    }
    if (l->have < HEAD_SHOWN)
        for (size_t i = 0; i < len && l->have + i < HEAD_SHOWN; i++)
            t->head[l->have + i] = isprint((unsigned char)bytes[i]) ? bytes[i] : '?';
    enum landing_said said = landing_write(l, bytes, len);
    t->not_gzip = said == LANDING_NOT_GZIP;
    if (said != LANDING_TAKEN)
        return 0;
    if (t->item->sink) { /* it may have waited for whoever reads; this is no stall of the server */
        t->window_start = clock_ns();
        t->window_bytes = 0;
    }
    if (t->shared->progress)
        progress_add(t->shared->progress, 0, len, 0);
    return t->cut ? 0 : len;
}

static size_t on_body(char *bytes, size_t size, size_t count, void *self)
{
    struct transfer *t = self;
    size_t len = size * count;
    uint64_t now = clock_ns();
    if (pipe_stop)
        return 0;
    if (!t->file && pace_bytes_wait(t->shared->pace, now)) {
        t->paused = true;
        return CURL_WRITEFUNC_PAUSE;
    }
    body_begin(t);
    if (t->refuse || t->too_large || t->no_room)
        return 0;
    if (!t->file)
        pace_bytes(t->shared->pace, len, now);
    t->window_bytes += len;
    if (!t->take) {
        size_t room = TRANSFER_ERROR_BODY_MAX - t->error_body.len;
        buf_add(&t->error_body, bytes, len < room ? len : room);
        t->ignored += len;
        return t->ignored > ERROR_BODY_MAX ? 0 : len;
    }
    return take_body(t, bytes, len);
}

bool transfer_stalled(struct transfer *t, uint64_t now)
{
    uint64_t span = (uint64_t)t->conf->stall_ms * 1000000;
    if (!t->connected || t->paused || now < t->window_start + span)
        return false;
    bool stalled = t->window_bytes < (uint64_t)t->conf->stall_ms; /* 1 byte a ms: 1 KB/s */
    if (stalled && t->begun)
        snprintf(t->curl_text, sizeof t->curl_text, "less than 1 KB/s for %.1f s",
                 (double)t->conf->stall_ms * 1e-3);
    else if (stalled)
        snprintf(t->curl_text, sizeof t->curl_text, "no answer for %.1f s",
                 (double)t->conf->stall_ms * 1e-3);
    t->window_start = now;
    t->window_bytes = 0;
    return stalled;
}

void transfer_unpause(struct transfer *t, uint64_t now)
{
    if (!t->paused || pace_bytes_wait(t->shared->pace, now))
        return;
    t->paused = false;
    t->window_start = now;
    t->window_bytes = 0;
    curl_easy_pause(t->easy, CURLPAUSE_CONT);
}

/* ---- tries ---- */
static const struct transfer_scheme *scheme_find(struct str name)
{
    for (size_t i = 0; i < COUNT_OF(schemes); i++)
        if (str_eq_nocase(name, str_of(schemes[i]->name)))
            return schemes[i];
    return NULL;
}

static int url_check(struct transfer *t)
{
    struct url_parts parts;
    const char *agent = t->conf->user_agent;
    bool split = url_split(str_of(t->item->url), &parts);
    bool web = split && (str_eq_nocase(parts.scheme, STR("http")) ||
                         str_eq_nocase(parts.scheme, STR("https")));
    t->file = split && str_eq_nocase(parts.scheme, STR("file"));
    t->scheme = split ? scheme_find(parts.scheme) : NULL;
    if (!web && !t->file && !t->scheme)
        return err_set(ERR_USAGE, "crawl: \"%s\" is no https, http or file URL", t->shown);
    t->loopback = t->file || address_host_is_private(parts.host, t->conf->is_private);
    if (t->loopback && t->conf->public_only)
        return err_set(ERR_IO, "crawl: %s: a private address, which is refused", t->shown);
    if (web && !t->loopback && !strchr(agent, '@') && !strstr(agent, "+http"))
        return err_set(ERR_USAGE,
                       "crawl: %s is a public host, which wants to know who asks: put a contact "
                       "into user_agent, as in \"sluice (you@example.org)\"",
                       t->shown);
    return 0;
}

int transfer_open(struct transfer **out, const struct transfer_shared *shared,
                  struct fetch_item *item)
{
    *out = NULL;
    assert((item->path != NULL) + (item->memory != NULL) + (item->sink != NULL) == 1 ||
           (item->flags & FETCH_HEAD));
    struct transfer *t = calloc(1, sizeof *t);
    if (!t)
        return err_set(ERR_LIMIT, "crawl: no memory for a download");
    t->shared = shared;
    t->conf = &shared->conf;
    t->item = item;
    t->first = -1;
    t->landing.fd = -1;
    t->reply.header.max = REPLY_BYTES_MAX;
    fetch_url_shown(item->url, t->shown);
    int rc = url_check(t);
    if (rc == 0 && !(t->easy = curl_easy_init()))
        rc = err_set(ERR_LIMIT, "crawl: libcurl gives no handle");
    if (rc == 0)
        rc = landing_open(&t->landing, item);
    for (size_t i = 0; rc == 0 && t->conf->resolve && t->conf->resolve[i]; i++) {
        struct curl_slist *grown = curl_slist_append(t->resolve, t->conf->resolve[i]);
        rc = grown ? 0 : err_set(ERR_LIMIT, "crawl: no memory for a request");
        t->resolve = grown ? grown : t->resolve;
    }
    if (rc < 0) {
        transfer_close(t);
        return rc;
    }
    *out = t;
    return 0;
}

static int header_add(struct curl_slist **list, const char *line)
{
    struct curl_slist *grown = curl_slist_append(*list, line);
    if (!grown)
        return err_set(ERR_LIMIT, "crawl: no memory for a request");
    *list = grown;
    return 0;
}

int transfer_header(struct transfer_request *q, const char *fmt, ...)
{
    struct buf line = {.max = 64 << 10};
    char text[2048];
    va_list args;
    va_start(args, fmt);
    int len = vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    if (len >= (int)sizeof text) {
        char *room = buf_room(&line, (size_t)len + 1);
        va_start(args, fmt);
        if (room)
            vsnprintf(room, (size_t)len + 1, fmt, args);
        va_end(args);
    }
    int rc = line.failed ? err_set(ERR_LIMIT, "crawl: a header of %d bytes is too long", len)
                         : header_add(&q->headers, line.ptr ? line.ptr : text);
    if (line.ptr)
        explicit_bzero(line.ptr, line.cap);
    explicit_bzero(text, sizeof text);
    buf_free(&line);
    return rc;
}

/* Asks for the rest of what is there, if the server can tell that it is still the same file; or for
 * the range the item is. */
static int ask_range(struct transfer *t, struct transfer_request *q, char *range, size_t room)
{
    struct landing *l = &t->landing;
    const struct fetch_item *item = t->item;
    bool strong = l->origin.etag[0] && strncmp(l->origin.etag, "W/", 2) != 0;
    const char *validator = strong ? l->origin.etag : l->origin.modified;
    t->asked = 0;
    range[0] = 0;
    q->range = range;
    if (l->have && (item->memory || t->file || !validator[0]))
        landing_drop(l);
    if (l->broken) {
        errno = l->broken;
        return err_sys("crawl: emptying %s", l->part);
    }
    if (item->length)
        snprintf(range, room, "bytes=%llu-%llu", (unsigned long long)item->offset,
                 (unsigned long long)(item->offset + item->length - 1));
    else if (l->have)
        snprintf(range, room, "bytes=%llu-", (unsigned long long)l->have);
    if (!range[0])
        return 0;
    t->asked = l->have;
    TRY(transfer_header(q, "Range: %s", range));
    return l->have ? transfer_header(q, "If-Range: %s", validator) : 0;
}

/* A scheme's headers may hold a session token. */
static void headers_free(struct transfer *t)
{
    for (struct curl_slist *at = t->headers; at; at = at->next)
        explicit_bzero(at->data, strlen(at->data));
    curl_slist_free_all(t->headers);
    t->headers = NULL;
}

static int try_reset(struct transfer *t)
{
    reply_clear(&t->reply);
    t->ignored = 0;
    t->landing.broken = t->landing.rc = 0;
    t->begun = t->take = t->refuse = t->refuse_for_good = t->not_gzip = t->too_large = false;
    t->cut = t->no_room = t->paused = t->connected = false;
    t->window_bytes = 0;
    t->status = 0;
    t->curl_text[0] = t->reason[0] = 0;
    buf_clear(&t->error_body);
    headers_free(t);
    struct fetch_answer *answer = t->item->answer;
    if (answer) {
        buf_clear(&answer->request);
        buf_clear(&answer->header);
        answer->status = 0;
        answer->ip[0] = answer->location[0] = 0;
    }
    return 0;
}

static void set_options(struct transfer *t, const struct transfer_request *q)
{
    CURL *e = t->easy;
    const struct fetch_conf *c = t->conf;
    libcurl_request(e,
                    &(struct libcurl_request){
                        .url = q->url,
                        .user_agent = c->user_agent[0] ? c->user_agent : "sluice/" SLUICE_VERSION,
                        .ca_file = c->ca_file,
                        .headers = t->headers,
                        .connect_ms = c->connect_ms,
                        .error = t->curl_text,
                        .self = t,
                        .on_header = on_header,
                        .on_body = on_body,
                        .on_socket = on_socket,
                        .on_debug = t->item->answer ? on_debug : NULL,
                    });
    curl_easy_setopt(e, CURLOPT_PREREQFUNCTION, on_request);
    curl_easy_setopt(e, CURLOPT_PREREQDATA, t);
    curl_easy_setopt(e, CURLOPT_RESOLVE, t->resolve);
    curl_easy_setopt(e, CURLOPT_NOBODY, t->item->flags & FETCH_HEAD ? 1L : 0L);
    curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https,file");
    bool tls = str_starts_nocase(str_of(q->url), "https");
    curl_easy_setopt(e, CURLOPT_REDIR_PROTOCOLS_STR, tls ? "https" : "http,https");
    bool follow = !t->scheme && !(t->item->flags & FETCH_NO_REDIRECT);
    curl_easy_setopt(e, CURLOPT_FOLLOWLOCATION, follow ? 1L : 0L);
    curl_easy_setopt(e, CURLOPT_MAXREDIRS, (long)REDIRECTS_MAX);
    curl_easy_setopt(e, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(e, CURLOPT_BUFFERSIZE, 512L << 10);
    struct url_parts parts; /* of where it goes, which a scheme decides */
    bool near = t->scheme && url_split(str_of(q->url), &parts) &&
                address_host_is_private(parts.host, c->is_private);
    if (t->loopback || near)
        curl_easy_setopt(e, CURLOPT_NOPROXY, "*");
    if (t->scheme)
        curl_easy_setopt(e, CURLOPT_PATH_AS_IS, 1L); /* dots are part of a key */
    else if (!c->public_only)
        curl_easy_setopt(e, CURLOPT_NETRC, (long)CURL_NETRC_OPTIONAL);
}

int transfer_start(struct transfer *t)
{
    struct transfer_request q = {.method = t->item->flags & FETCH_HEAD ? "HEAD" : "GET"};
    char range[64];
    TRY(try_reset(t));
    if (snprintf(q.url, sizeof q.url, "%s", t->item->url) >= (int)sizeof q.url)
        return err_set(ERR_USAGE, "crawl: %s: a URL of more than %d bytes", t->shown,
                       TRANSFER_URL_MAX - 1);
    int rc = ask_range(t, &q, range, sizeof range);
    for (size_t i = 0; rc == 0 && t->item->header && t->item->header[i]; i++)
        rc = header_add(&q.headers, t->item->header[i]);
    if (rc == 0 && t->scheme)
        rc = t->scheme->prepare(t->conf, &q);
    t->headers = q.headers;
    TRY(rc);
    t->window_start = clock_ns();
    set_options(t, &q);
    return 0;
}

/* ---- verdicts ---- */
PRINTF_LIKE(4, 5)
static enum outcome verdict(struct transfer *t, enum outcome what, int code, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    vsnprintf(t->reason, sizeof t->reason, fmt, args);
    va_end(args);
    t->code = code;
    return what;
}

static enum outcome end_of_status(struct transfer *t)
{
    long s = t->status;
    if (t->scheme && t->scheme->judge) {
        struct transfer_refusal refusal = {s, buf_view(&t->reply.header), buf_view(&t->error_body)};
        enum outcome said =
            t->scheme->judge(t->conf, t->item->url, &refusal, t->reason, sizeof t->reason);
        t->code = said == OUTCOME_BUSY ? ERR_AGAIN : ERR_IO;
        if (said != OUTCOME_DONE)
            return said;
    }
    if (s == 416 && t->asked) {
        if (t->reply.range_total == t->landing.have && landing_whole(&t->landing))
            return OUTCOME_DONE;
        landing_drop(&t->landing);
        return verdict(t, OUTCOME_RESTART, ERR_IO, "the partial file did not fit the server's");
    }
    if (s == 404 || s == 410)
        return verdict(t, OUTCOME_FAIL, ERR_IO,
                       "the server has no such file (%ld): check the base URL, the crawl's name "
                       "and the path",
                       s);
    if (s == 403 || s == 408 || s == 425 || s == 429 || s >= 500)
        return verdict(t, OUTCOME_BUSY, s == 429 || s == 503 ? ERR_AGAIN : ERR_IO,
                       "the server answered %ld%s", s, s == 403 ? ": slower, or not allowed" : "");
    if (s == 401)
        return verdict(t, OUTCOME_FAIL, ERR_IO,
                       "the server wants a name and a password (401): write them into ~/.netrc, "
                       "machine HOST login NAME password WORD");
    return verdict(t, OUTCOME_FAIL, ERR_IO, "the server answered %ld instead of the file", s);
}

static enum outcome end_of_curl(struct transfer *t, CURLcode code)
{
    const char *text = t->curl_text[0] ? t->curl_text : curl_easy_strerror(code);
    long error = 0;
    curl_easy_getinfo(t->easy, CURLINFO_OS_ERRNO, &error);
    switch (code) {
    case CURLE_COULDNT_CONNECT:
        if (error == ECONNREFUSED && t->first == 1)
            return verdict(t, OUTCOME_REFUSED, ERR_IO,
                           "connection refused: is the mirror running? start it, or give another "
                           "base URL");
        return verdict(t, OUTCOME_NO_HOST, ERR_IO, "%s: is the host right and the network up?",
                       text);
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
        return verdict(t, OUTCOME_NO_HOST, ERR_IO, "%s: is the host right and the network up?",
                       text);
    case CURLE_TOO_MANY_REDIRECTS:
        return verdict(t, OUTCOME_FAIL, ERR_IO, "more than %d redirects", REDIRECTS_MAX);
    case CURLE_UNSUPPORTED_PROTOCOL:
        return verdict(t, OUTCOME_FAIL, ERR_IO, "%s%s",
                       t->reply.redirects ? "redirected to where it may not lead: " : "", text);
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
        return verdict(t, OUTCOME_FAIL, ERR_IO,
                       "the server's certificate is not trusted: %s: look at this machine's clock, "
                       "or name the authority of a mirror or proxy with ca_file",
                       text);
    case CURLE_FILE_COULDNT_READ_FILE: return verdict(t, OUTCOME_FAIL, ERR_IO, "%s", text);
    case CURLE_URL_MALFORMAT:
        return verdict(t, OUTCOME_FAIL, t->reply.redirects ? ERR_IO : ERR_USAGE, "%s", text);
    case CURLE_PARTIAL_FILE:
        return verdict(t, OUTCOME_RETRY, ERR_IO, "the connection ended before the file did: %s",
                       text);
    default: return verdict(t, OUTCOME_RETRY, ERR_IO, "%s", text);
    }
}

static enum outcome end_of_content(struct transfer *t)
{
    struct landing *l = &t->landing;
    uint64_t total = l->origin.total;
    if (t->item->flags & FETCH_HEAD)
        return OUTCOME_DONE;
    if (total != UINT64_MAX && l->have != total) {
        bool more = l->have > total;
        unsigned long long had = l->have;
        if (more)
            landing_drop(l);
        return verdict(t, OUTCOME_RETRY, ERR_IO, "%llu bytes came of %llu", had,
                       (unsigned long long)total);
    }
    if (!landing_whole(l)) {
        landing_drop(l);
        return verdict(t, OUTCOME_RESTART, ERR_FORMAT, "the gzip file ends inside a member");
    }
    return OUTCOME_DONE;
}

static void answer_fill(struct transfer *t)
{
    struct fetch_answer *answer = t->item->answer;
    char *location = NULL;
    if (!answer)
        return;
    curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &answer->status);
    curl_easy_getinfo(t->easy, CURLINFO_REDIRECT_URL, &location);
    buf_clear(&answer->header);
    buf_str(&answer->header, buf_view(&t->reply.header));
    if (location && strlen(location) < sizeof answer->location)
        snprintf(answer->location, sizeof answer->location, "%s", location);
}

/* What we ourselves made of the bytes; OUTCOME_DONE: nothing against them. */
static enum outcome end_of_taking(struct transfer *t, CURLcode code)
{
    struct landing *l = &t->landing;
    if (l->broken) {
        errno = l->broken;
        int rc = err_sys("writing %s", t->item->memory ? "to memory" : l->part);
        return verdict(t, OUTCOME_FATAL, rc, "%s", err_text());
    }
    if (l->rc < 0)
        return verdict(t, OUTCOME_FAIL, l->rc, "%s", l->text);
    if (t->too_large || code == CURLE_FILESIZE_EXCEEDED) {
        landing_drop(l);
        return verdict(t, OUTCOME_FAIL, ERR_LIMIT,
                       "larger than file_max, %llu bytes: raise it if that is right",
                       (unsigned long long)bytes_max(t));
    }
    if (t->not_gzip) {
        landing_drop(l);
        return verdict(t, OUTCOME_RESTART, ERR_FORMAT,
                       "what came is not gzip, or damaged; it starts with \"%s\"", t->head);
    }
    if (t->refuse && t->status == 206 && !t->refuse_for_good) {
        landing_drop(l);
        t->code = ERR_IO;
        return OUTCOME_RESTART;
    }
    if (t->refuse) {
        t->code = ERR_IO;
        return OUTCOME_FAIL;
    }
    return OUTCOME_DONE;
}

enum outcome transfer_end(struct transfer *t, CURLcode code)
{
    if (code == CURLE_OK && !t->refuse)
        body_begin(t);
    answer_fill(t);
    enum outcome ours = end_of_taking(t, code);
    if (ours != OUTCOME_DONE)
        return ours;
    if (t->no_room)
        return verdict(t, OUTCOME_ROOM, ERR_AGAIN, "no room for it now");
    if (t->begun && !t->take)
        return end_of_status(t);
    if (t->cut)
        return OUTCOME_DONE;
    return code == CURLE_OK ? end_of_content(t) : end_of_curl(t, code);
}

int transfer_commit(struct transfer *t)
{
    struct fetch_item *item = t->item;
    struct landing *l = &t->landing;
    item->bytes = item->flags & FETCH_HEAD ? l->origin.total : l->have;
    item->hash = landing_hash(l);
    item->cut = t->cut;
    memcpy(item->etag, l->origin.etag, sizeof item->etag);
    memcpy(item->modified, l->origin.modified, sizeof item->modified);
    if (item->expect_bytes &&
        (item->bytes != item->expect_bytes || item->hash.low != item->expect_hash.low ||
         item->hash.high != item->expect_hash.high)) {
        unsigned long long got = item->bytes;
        if (item->path)
            landing_drop(l);
        return err_set(ERR_FORMAT,
                       "crawl: GET %s: the file is not the one fetched before (%llu bytes now, "
                       "%llu then, or another hash): start anew with an empty cache",
                       t->shown, got, (unsigned long long)item->expect_bytes);
    }
    return landing_commit(l);
}

void transfer_close(struct transfer *t)
{
    if (!t)
        return;
    curl_easy_cleanup(t->easy);
    headers_free(t);
    curl_slist_free_all(t->resolve);
    landing_close(&t->landing);
    reply_free(&t->reply);
    buf_free(&t->error_body);
    free(t);
}

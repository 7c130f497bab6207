/* visit - libcurl asked for one page at a time a host, and everything it said kept. */
#include "crawl/visit.h"

#include "core/err.h"
#include "core/log.h"
#include "crawl/address.h"
#include "crawl/crawl.h"
#include "crawl/libcurl.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    STALL_BYTES_S = 100,
    RETRY_AFTER_MAX_S = 3600,
    BODY_KEPT = 1 << 20, /* a slot's memory beyond this is given back between pages */
    CONNECTIONS_MAX = 256,
};

struct slot {
    struct visit visit; /* first: a visit is its slot */
    struct visits *all;
    CURL *easy;
    bool taken, running, ended;
    bool over, unwanted, private, crowded, header_over, no_memory, begun;
    uint64_t start_ns;
    char text[CURL_ERROR_SIZE];
};
struct visits {
    const struct visit_conf *conf;
    CURLM *multi;
    struct curl_slist *header, *connect_to;
    struct slot *slot;
    int64_t address_connections; /* 0: no bound */
    int count, out;
};

/* ---- what libcurl tells ---- */
static int on_debug(CURL *easy, curl_infotype type, char *bytes, size_t len, void *self)
{
    struct slot *s = self;
    UNUSED(easy);
    if (type == CURLINFO_HEADER_OUT)
        buf_add(&s->visit.request, bytes, len);
    return 0;
}

/* Whether the address has its share without this visit (NULL: without any). */
static bool crowded(const struct visits *v, const struct slot *but, uint64_t address)
{
    int64_t there = 0;
    for (int i = 0; i < v->count; i++)
        there += v->slot[i].running && &v->slot[i] != but && v->slot[i].visit.address == address;
    return address && v->address_connections && there >= v->address_connections;
}

bool visits_crowded(const struct visits *v, uint64_t address) { return crowded(v, NULL, address); }

/* Hosts that share an address are told apart by name only, and their machine serves them all. */
static curl_socket_t on_socket(void *self, curlsocktype purpose, struct curl_sockaddr *address)
{
    struct slot *s = self;
    UNUSED(purpose);
    s->visit.address = address_hash(&address->addr);
    s->crowded = crowded(s->all, s, s->visit.address);
    if (s->crowded)
        return CURL_SOCKET_BAD;
    if (!s->all->conf->allow_private && address_is_private(&address->addr) &&
        !proxy_is_at(&address->addr)) {
        s->private = true;
        return CURL_SOCKET_BAD;
    }
    return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

/* Fields of an interim answer (100, 103) are not those of the answer. */
static size_t on_header(char *bytes, size_t size, size_t count, void *self)
{
    struct slot *s = self;
    struct buf *header = &s->visit.header;
    if (str_starts((struct str){bytes, size * count}, "HTTP/"))
        buf_clear(header);
    s->header_over = header->len + size * count > VISIT_HEADER_MAX;
    if (s->header_over)
        return 0;
    buf_add(header, bytes, size * count);
    s->no_memory |= header->failed;
    return size * count;
}

static bool type_wanted(const struct slot *s)
{
    const struct opt_list *types = &s->all->conf->types;
    struct curl_header *type;
    if (s->visit.any_type || types->count == 0 ||
        curl_easy_header(s->easy, "Content-Type", 0, CURLH_HEADER, -1, &type) != CURLHE_OK)
        return true;
    struct str value = str_trim(str_of(type->value));
    for (size_t i = 0; i < types->count; i++)
        if (str_starts_nocase(value, types->item[i]))
            return true;
    return value.len == 0;
}

static size_t on_body(char *bytes, size_t size, size_t count, void *self)
{
    struct slot *s = self;
    struct buf *body = &s->visit.body;
    size_t len = size * count;
    if (!s->begun) {
        long status = 0;
        curl_easy_getinfo(s->easy, CURLINFO_RESPONSE_CODE, &status);
        s->begun = true;
        s->unwanted = status == 200 && !type_wanted(s);
    }
    if (s->unwanted)
        return 0;
    uint64_t room = s->all->conf->page_max - body->len;
    s->over = len > room;
    buf_add(body, bytes, s->over ? (size_t)room : len);
    s->no_memory |= body->failed;
    return s->over || s->no_memory ? 0 : len;
}

/* ---- one visit ---- */
static void reset(struct slot *s)
{
    struct visit *one = &s->visit;
    s->over = s->unwanted = s->private = s->crowded = false;
    s->header_over = s->no_memory = s->begun = false;
    s->ended = false;
    s->text[0] = 0;
    buf_clear(&one->request);
    buf_clear(&one->header);
    buf_clear(&one->body);
    one->status = 0;
    one->ip[0] = one->why[0] = 0;
    one->retry_after_ms = 0;
}

static void set_up(struct slot *s)
{
    const struct visit_conf *c = s->all->conf;
    CURL *e = s->easy;
    libcurl_request(e, &(struct libcurl_request){
                           .url = s->visit.url,
                           .user_agent = c->user_agent,
                           .ca_file = c->ca_file,
                           .headers = s->all->header,
                           .connect_ms = c->connect_ms,
                           .error = s->text,
                           .self = s,
                           .on_header = on_header,
                           .on_body = on_body,
                           .on_socket = on_socket,
                           .on_debug = on_debug,
                       });
    curl_easy_setopt(e, CURLOPT_PATH_AS_IS, 1L);
    curl_easy_setopt(e, CURLOPT_CONNECT_TO, s->all->connect_to);
    curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(e, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(e, CURLOPT_HTTP_TRANSFER_DECODING, 0L);
    curl_easy_setopt(e, CURLOPT_HTTP_CONTENT_DECODING, 0L);
    curl_easy_setopt(e, CURLOPT_HTTP09_ALLOWED, 0L);
    curl_easy_setopt(e, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    curl_easy_setopt(e, CURLOPT_TIMEOUT_MS, (long)c->page_ms);
    curl_easy_setopt(e, CURLOPT_LOW_SPEED_LIMIT, (long)STALL_BYTES_S);
    curl_easy_setopt(e, CURLOPT_LOW_SPEED_TIME, (long)((c->stall_ms + 999) / 1000));
    curl_easy_setopt(e, CURLOPT_PRIVATE, s);
    struct url_parts parts; /* no proxy is asked for a private address: it is refused here */
    bool inside = url_split(str_of(s->visit.url), &parts) &&
                  address_host_is_private(parts.host, address_is_private);
    if (c->allow_private || inside)
        curl_easy_setopt(e, CURLOPT_NOPROXY, "*");
}

int visits_start(struct visits *v, struct visit *one)
{
    struct slot *s = (struct slot *)one;
    reset(s);
    set_up(s);
    one->started = time(NULL);
    s->start_ns = clock_ns();
    if (curl_multi_add_handle(v->multi, s->easy) != CURLM_OK)
        return err_set(ERR_LIMIT, "crawl: libcurl takes no more transfers");
    s->running = true;
    return 0;
}

static void read_retry_after(struct visit *one, CURL *easy)
{
    curl_off_t seconds = 0; /* libcurl reads both forms, a number and a date */
    if (curl_easy_getinfo(easy, CURLINFO_RETRY_AFTER, &seconds) == CURLE_OK && seconds > 0)
        one->retry_after_ms =
            (uint64_t)(seconds < RETRY_AFTER_MAX_S ? seconds : RETRY_AFTER_MAX_S) * 1000;
}

/* libcurl's timer, in whole ms, may be that much ahead of our clock. */
static uint64_t page_ns(const struct visit_conf *c)
{
    return (uint64_t)(c->page_ms > 2 ? c->page_ms - 2 : 0) * 1000000;
}

/* What a try that did not end well came to. */
static enum visit_end end_of(struct slot *s, CURLcode code)
{
    struct visit *one = &s->visit;
    bool inside = one->status && str_ends(buf_view(&one->header), "\r\n\r\n");
    snprintf(one->why, sizeof one->why, "%s", s->text[0] ? s->text : curl_easy_strerror(code));
    if (s->unwanted) {
        struct str type = http_field(buf_view(&one->header), "Content-Type");
        snprintf(one->why, sizeof one->why, "its type, %.*s, is not among --types",
                 (int)(type.len < 60 ? type.len : 60), type.ptr ? type.ptr : "");
        return VISIT_UNWANTED;
    }
    if (s->over)
        return VISIT_CUT_LENGTH;
    if (s->crowded && !one->status)
        return VISIT_CROWDED;
    if (s->private) {
        snprintf(one->why, sizeof one->why, "it leads to a private address");
        return VISIT_PRIVATE;
    }
    if (s->header_over)
        snprintf(one->why, sizeof one->why, "headers of more than %d bytes", VISIT_HEADER_MAX);
    if (s->no_memory)
        snprintf(one->why, sizeof one->why, "no memory for the page");
    if (s->header_over || s->no_memory)
        return VISIT_FAILED;
    if (code == CURLE_COULDNT_RESOLVE_HOST || code == CURLE_COULDNT_RESOLVE_PROXY)
        return VISIT_NO_HOST;
    bool late = code == CURLE_OPERATION_TIMEDOUT && one->took_ns >= page_ns(s->all->conf);
    if (late && inside && one->body.len)
        return VISIT_CUT_TIME;
    return inside && one->body.len ? VISIT_CUT_LINE : VISIT_FAILED;
}

static void ended(struct slot *s, CURLcode code)
{
    struct visit *one = &s->visit;
    long status = 0;
    const char *ip = NULL;
    curl_easy_getinfo(s->easy, CURLINFO_RESPONSE_CODE, &status);
    one->status = (int)status;
    if (curl_easy_getinfo(s->easy, CURLINFO_PRIMARY_IP, &ip) == CURLE_OK && ip)
        snprintf(one->ip, sizeof one->ip, "%s", ip);
    one->took_ns = clock_ns() - s->start_ns;
    read_retry_after(one, s->easy);
    one->end = code == CURLE_OK ? VISIT_WHOLE : end_of(s, code);
    s->running = false;
    s->ended = true;
}

/* ---- all of them ---- */
int visits_wait(struct visits *v, int ms)
{
    int running, left;
    CURLMsg *message;
    if (curl_multi_perform(v->multi, &running) != CURLM_OK ||
        curl_multi_poll(v->multi, NULL, 0, ms, NULL) != CURLM_OK ||
        curl_multi_perform(v->multi, &running) != CURLM_OK)
        return err_set(ERR_IO, "crawl: libcurl's transfer loop failed");
    while ((message = curl_multi_info_read(v->multi, &left))) {
        struct slot *s = NULL;
        CURLcode code = message->data.result;
        if (message->msg != CURLMSG_DONE)
            continue;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&s);
        ended(s, code);
        curl_multi_remove_handle(v->multi, s->easy);
    }
    return 0;
}

struct visit *visits_ended(struct visits *v)
{
    for (int i = 0; i < v->count; i++)
        if (v->slot[i].ended) {
            v->slot[i].ended = false;
            return &v->slot[i].visit;
        }
    return NULL;
}

struct visit *visits_take(struct visits *v)
{
    for (int i = 0; i < v->count; i++)
        if (!v->slot[i].taken) {
            v->slot[i].taken = true;
            v->out++;
            return &v->slot[i].visit;
        }
    return NULL;
}

void visits_release(struct visits *v, struct visit *one)
{
    struct slot *s = (struct slot *)one;
    if (one->body.cap > BODY_KEPT)
        buf_free(&one->body);
    one->body.max = (size_t)v->conf->page_max + 1;
    one->robots = one->any_type = false;
    one->address = 0;
    one->redirects = 0;
    s->taken = false;
    v->out--;
}

int visits_out(const struct visits *v) { return v->out; }

static int add_line(struct curl_slist **list, const char *line)
{
    struct curl_slist *grown = curl_slist_append(*list, line);
    if (!grown)
        return err_set(ERR_LIMIT, "crawl: no memory for a request");
    *list = grown;
    return 0;
}

static int lists_make(struct visits *v)
{
    TRY(add_line(&v->header, "Accept: text/html,application/xhtml+xml,text/plain;q=0.9,*/*;q=0.8"));
    TRY(add_line(&v->header,
                 v->conf->compressed ? "Accept-Encoding: gzip" : "Accept-Encoding: identity"));
    for (size_t i = 0; i < v->conf->connect_to.count; i++)
        TRY(add_line(&v->connect_to, v->conf->connect_to.item[i]));
    return 0;
}

int visits_open(struct visits **out, const struct visit_conf *conf)
{
    *out = NULL;
    TRY(libcurl_ready());
    TRY(libcurl_check_ca(conf->ca_file));
    struct visits *v = calloc(1, sizeof *v);
    if (!v)
        return err_set(ERR_LIMIT, "crawl: no memory for connections");
    v->conf = conf;
    bool behind_proxy = proxy_is_set() && !conf->allow_private; /* all connections lead there */
    v->address_connections = behind_proxy ? 0 : conf->address_connections;
    int64_t count = conf->connections < CONNECTIONS_MAX ? conf->connections : CONNECTIONS_MAX;
    v->slot = calloc((size_t)count, sizeof *v->slot);
    v->multi = curl_multi_init();
    int rc =
        v->slot && v->multi ? lists_make(v) : err_set(ERR_LIMIT, "crawl: libcurl does not start");
    for (int i = 0; i < count && rc == 0; i++) {
        struct slot *s = &v->slot[v->count];
        s->all = v;
        s->visit.body.max = (size_t)conf->page_max + 1;
        s->easy = curl_easy_init();
        v->count += s->easy != NULL;
        if (!s->easy)
            rc = err_set(ERR_LIMIT, "crawl: libcurl gives no handle");
    }
    if (rc < 0) {
        visits_close(v);
        return rc;
    }
    *out = v;
    return 0;
}

void visits_close(struct visits *v)
{
    if (!v)
        return;
    for (int i = 0; i < v->count; i++) {
        struct slot *s = &v->slot[i];
        if (s->running)
            curl_multi_remove_handle(v->multi, s->easy);
        curl_easy_cleanup(s->easy);
        buf_free(&s->visit.request);
        buf_free(&s->visit.header);
        buf_free(&s->visit.body);
    }
    curl_multi_cleanup(v->multi);
    curl_slist_free_all(v->header);
    curl_slist_free_all(v->connect_to);
    free(v->slot);
    free(v);
}

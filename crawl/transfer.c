/* transfer - writes one download into its partial file, resumes it and checks it. */
#include "crawl/transfer.h"
#include "crawl/gzip_check.h"

#include "core/err.h"
#include "core/log.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
    REDIRECTS_MAX = 5,
    HEADERS_MAX = 256 << 10,      /* bytes of all headers of one try, interim responses included */
    ERROR_BODY_MAX = 64 << 10,    /* bytes of an error page read before the connection is dropped */
    RETRY_AFTER_MAX_S = 3600,
    META_MAX = 8192,
    STALL_BYTES_S = 1000,
    HEAD_SHOWN = 24,
};

/* What lies in the partial file, and what the server said of it: the text of PATH.part.meta. */
struct origin { char etag[256], modified[64]; uint64_t total; /* UINT64_MAX: unknown */ };

struct transfer {
    const struct fetch_conf *conf;
    const char *url;
    char path[IO_PATH_MAX], part[IO_PATH_MAX], meta[IO_PATH_MAX];
    struct buf *memory;
    struct progress *progress;
    struct gzip_check *gzip;      /* NULL: path does not end in .gz */
    CURL *easy;
    struct curl_slist *headers;
    int fd;
    bool local;                   /* the URL's own host is a private one */
    struct origin origin;         /* of the bytes we have */
    uint64_t have, asked;         /* asked: offset of the range asked for, 0: the whole */
    /* of the try */
    struct origin said;
    long status;
    uint64_t range_start, range_total, length, retry_after_ms; /* UINT64_MAX: not said */
    size_t header_bytes, ignored;
    int redirects, broken;        /* broken: an errno of our own writing */
    bool begun, refuse, not_gzip, too_large;
    char head[HEAD_SHOWN + 1];    /* first bytes, to show what came instead of gzip */
    char curl_text[CURL_ERROR_SIZE], reason[512];
    int code;                     /* enum err of the reason */
};

CURL *transfer_handle(const struct transfer *t) { return t->easy; }
uint64_t transfer_bytes(const struct transfer *t) { return t->have; }
uint64_t transfer_retry_after_ms(const struct transfer *t) { return t->retry_after_ms; }
const char *transfer_reason(const struct transfer *t) { return t->reason; }

int transfer_error(const struct transfer *t, int64_t tries)
{
    if (tries > 1)
        return err_set(t->code, "crawl: GET %s: %s (tried %d times)", t->url, t->reason,
                       (int)tries);
    return err_set(t->code, "crawl: GET %s: %s", t->url, t->reason);
}

/* ---- the partial file ---- */
static void part_drop(struct transfer *t)
{
    t->have = 0;
    t->origin = (struct origin){.total = UINT64_MAX};
    if (t->memory)
        buf_clear(t->memory);
    else if (ftruncate(t->fd, 0) < 0)
        t->broken = errno;
    if (!t->memory)
        unlink(t->meta);
    if (t->gzip)
        gzip_check_reset(t->gzip);
}

/* Without a validator the bytes could be of an older file: then nothing is noted, nor resumed. */
static void meta_write(const struct transfer *t)
{
    struct origin o = t->origin;
    if (t->memory || (!o.etag[0] && !o.modified[0]))
        return;
    struct buf text = {0};
    buf_printf(&text, "%s\n%s\n%s\n%llu\n", t->url, o.etag, o.modified,
               (unsigned long long)o.total);
    FILE *f = fopen(t->meta, "w");
    bool good = f && !text.failed && fwrite(text.ptr, 1, text.len, f) == text.len;
    if ((f && fclose(f) != 0) || !good)
        unlink(t->meta);
    buf_free(&text);
}

static bool meta_read(struct transfer *t)
{
    char *text;
    size_t len;
    if (!io_exists(t->meta) || io_read_file(t->meta, META_MAX, &text, &len) < 0)
        return false;
    struct str rest = {text, len}, line[4] = {{0}};
    for (size_t i = 0; i < COUNT_OF(line); i++)
        line[i] = str_cut(rest, '\n', &rest);
    bool good = rest.ptr && str_is(line[0], t->url) && str_u64(line[3], &t->origin.total)
                && line[1].len < sizeof t->origin.etag && line[2].len < sizeof t->origin.modified;
    if (good) {
        memcpy(t->origin.etag, line[1].ptr, line[1].len);
        memcpy(t->origin.modified, line[2].ptr, line[2].len);
    }
    free(text);
    return good;
}

/* Runs what is already there through the gzip check. */
static bool part_check(struct transfer *t)
{
    enum { STEP = 256 << 10 };
    char *bytes = t->gzip && t->have ? malloc(STEP) : NULL;
    if (!bytes)
        return !t->gzip || !t->have;
    bool good = true;
    for (uint64_t at = 0; at < t->have && good;) {
        ssize_t got = pread(t->fd, bytes, STEP, (off_t)at);
        good = got > 0 && gzip_check_feed(t->gzip, bytes, (size_t)got);
        at += got > 0 ? (uint64_t)got : 0;
    }
    free(bytes);
    return good;
}

/* Opens and locks PATH.part. A file of that name may be renamed away by another process between the
 * two, so it is looked at once more. */
static int part_lock(struct transfer *t)
{
    for (int i = 0; i < 8; i++) {
        struct stat mine, named;
        t->fd = open(t->part, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
        if (t->fd < 0)
            return err_sys("crawl: opening %s", t->part);
        if (flock(t->fd, LOCK_EX | LOCK_NB) < 0) {
            close(t->fd); /* the file is the other's */
            t->fd = -1;
            return err_set(ERR_AGAIN,
                           "crawl: %s is being downloaded by another process: wait for it",
                           t->path);
        }
        if (fstat(t->fd, &mine) < 0)
            return err_sys("crawl: looking at %s", t->part);
        if (stat(t->part, &named) == 0 && named.st_ino == mine.st_ino
            && named.st_dev == mine.st_dev) {
            t->have = (uint64_t)mine.st_size;
            return 0;
        }
        close(t->fd);
        t->fd = -1;
    }
    return err_set(ERR_AGAIN, "crawl: %s changes all the time: is another process at work?",
                   t->part);
}

static int part_open(struct transfer *t, const char *path)
{
    TRY(io_path(t->path, "%s", path));
    TRY(io_path(t->part, "%s.part", path));
    TRY(io_path(t->meta, "%s.part.meta", path));
    char folder[IO_PATH_MAX];
    memcpy(folder, t->path, sizeof folder);
    char *slash = strrchr(folder, '/');
    if (slash && slash != folder) {
        *slash = 0;
        TRY(io_mkdirs(folder));
    }
    if (str_ends(str_of(path), ".gz") && !(t->gzip = gzip_check_open()))
        return ERR_LIMIT;
    TRY(part_lock(t));
    if (t->have && (!meta_read(t) || t->have > t->origin.total || !part_check(t)))
        part_drop(t);
    if (t->have)
        log_debug("fetch: %s: taken up at byte %llu", t->path, (unsigned long long)t->have);
    return t->broken ? err_sys("crawl: emptying %s", t->part) : 0;
}

/* ---- addresses ---- */
static bool is_loopback_name(struct str host)
{
    return str_eq_nocase(host, STR("localhost")) || str_starts(host, "127.") || str_is(host, "::1");
}

/* Loopback, link-local, private and unspecified: where a public server may not send us. */
static bool is_private(const struct sockaddr *a)
{
    uint32_t v4 = 0;
    if (a->sa_family == AF_INET) {
        v4 = ntohl(((const struct sockaddr_in *)(const void *)a)->sin_addr.s_addr);
    } else if (a->sa_family == AF_INET6) {
        const struct in6_addr *six = &((const struct sockaddr_in6 *)(const void *)a)->sin6_addr;
        if (!IN6_IS_ADDR_V4MAPPED(six))
            return IN6_IS_ADDR_LOOPBACK(six) || IN6_IS_ADDR_LINKLOCAL(six)
                   || IN6_IS_ADDR_UNSPECIFIED(six) || (six->s6_addr[0] & 0xfe) == 0xfc;
        memcpy(&v4, six->s6_addr + 12, 4);
        v4 = ntohl(v4);
    } else {
        return true;
    }
    return v4 >> 24 == 127 || v4 >> 24 == 10 || v4 >> 24 == 0 || v4 >> 16 == 0xa9fe
           || v4 >> 16 == 0xc0a8 || v4 >> 20 == 0xac1;
}

static curl_socket_t on_socket(void *self, curlsocktype purpose, struct curl_sockaddr *address)
{
    struct transfer *t = self;
    UNUSED(purpose);
    bool private = is_private(&address->addr);
    if (t->redirects == 0)
        t->local |= private; /* the user's own choice */
    else if (private && !t->local) {
        t->refuse = true;
        snprintf(t->reason, sizeof t->reason, "redirected to a private address, which is refused");
        return CURL_SOCKET_BAD;
    }
    return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

/* ---- what the server says ---- */
static void copy_header(char *to, size_t room, struct str value)
{
    if (value.len < room && !memchr(value.ptr, '\r', value.len)) {
        memcpy(to, value.ptr, value.len);
        to[value.len] = 0;
    }
}

/* "bytes 10-99/100" and "bytes *" "/100". */
static void read_range(struct transfer *t, struct str value)
{
    struct str total, start, rest;
    if (!str_starts_nocase(value, "bytes"))
        return;
    value = str_trim(str_slice(value, 5, value.len));
    start = str_cut(value, '/', &total);
    start = str_cut(start, '-', &rest);
    if (!str_u64(start, &t->range_start))
        t->range_start = UINT64_MAX;
    if (!str_u64(total, &t->range_total))
        t->range_total = UINT64_MAX;
}

static void read_retry_after(struct transfer *t, struct str value)
{
    char text[64];
    uint64_t seconds = 0;
    if (!str_u64(value, &seconds)) {
        snprintf(text, sizeof text, "%.*s", (int)(value.len < 60 ? value.len : 60), value.ptr);
        time_t when = curl_getdate(text, NULL), now = time(NULL);
        seconds = when > now ? (uint64_t)(when - now) : 0;
    }
    t->retry_after_ms = (seconds < RETRY_AFTER_MAX_S ? seconds : RETRY_AFTER_MAX_S) * 1000;
}

/* curl reads to the end of the connection when the length is no number: a short file would pass. */
static bool read_length(struct transfer *t, struct str value)
{
    uint64_t length = 0;
    bool good = str_u64(value, &length) && length <= INT64_MAX
                && (t->length == UINT64_MAX || t->length == length);
    t->length = length;
    if (!good) {
        t->refuse = true;
        snprintf(t->reason, sizeof t->reason,
                 "Content-Length is no length, or there are two: \"%.*s\"",
                 (int)(value.len < 40 ? value.len : 40), value.ptr);
    }
    return good;
}

static size_t on_header(char *bytes, size_t size, size_t count, void *self)
{
    struct transfer *t = self;
    struct str line = {bytes, size * count}, value;
    t->header_bytes += line.len;
    if (t->header_bytes > HEADERS_MAX) {
        snprintf(t->reason, sizeof t->reason, "headers of more than %d bytes", HEADERS_MAX);
        t->refuse = true;
        return 0;
    }
    if (str_starts(line, "HTTP/")) { /* a new response: what the one before said is void */
        t->redirects += str_find(line, STR(" 3")) < 12;
        t->said = (struct origin){.total = UINT64_MAX};
        t->range_start = t->range_total = t->length = UINT64_MAX;
        t->retry_after_ms = 0;
        return line.len;
    }
    struct str name = str_cut(line, ':', &value);
    value = str_trim(value);
    if (str_eq_nocase(name, STR("ETag")))
        copy_header(t->said.etag, sizeof t->said.etag, value);
    else if (str_eq_nocase(name, STR("Last-Modified")))
        copy_header(t->said.modified, sizeof t->said.modified, value);
    else if (str_eq_nocase(name, STR("Content-Range")))
        read_range(t, value);
    else if (str_eq_nocase(name, STR("Retry-After")))
        read_retry_after(t, value);
    else if (str_eq_nocase(name, STR("Content-Length")) && !read_length(t, value))
        return 0;
    return line.len;
}

/* ---- bytes ---- */
static bool same_if_said(const char *said, const char *known)
{
    return !said[0] || !known[0] || strcmp(said, known) == 0;
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
    if (t->status == 200 || t->status == 0) {
        if (t->have)
            part_drop(t);
        t->origin = t->said;
        t->origin.total = length >= 0 ? (uint64_t)length : UINT64_MAX;
        meta_write(t);
    } else if (t->status == 206) {
        bool same = t->asked && t->range_start == t->asked
                    && same_if_said(t->said.etag, t->origin.etag)
                    && same_if_said(t->said.modified, t->origin.modified)
                    && (t->range_total == UINT64_MAX || t->origin.total == UINT64_MAX
                        || t->range_total == t->origin.total);
        t->refuse = !same;
        if (t->refuse)
            snprintf(t->reason, sizeof t->reason,
                     "the range in the answer is not the one asked for");
        if (same && t->origin.total == UINT64_MAX)
            t->origin.total = t->range_total;
    }
    if (t->origin.total != UINT64_MAX && t->origin.total > t->conf->file_max && t->status < 300)
        t->too_large = true;
}

static bool body_write(struct transfer *t, const char *bytes, size_t len)
{
    if (t->memory) {
        buf_add(t->memory, bytes, len);
        t->broken = t->memory->failed ? ENOMEM : 0;
        return !t->memory->failed;
    }
    for (size_t done = 0; done < len;) {
        ssize_t wrote = pwrite(t->fd, bytes + done, len - done, (off_t)(t->have + done));
        if (wrote < 0 && errno == EINTR)
            continue;
        if (wrote < 0) {
            t->broken = errno;
            return false;
        }
        done += (size_t)wrote;
    }
    return true;
}

static size_t on_body(char *bytes, size_t size, size_t count, void *self)
{
    struct transfer *t = self;
    size_t len = size * count;
    body_begin(t);
    if (t->refuse || t->too_large || t->broken)
        return 0;
    if (t->status != 200 && t->status != 206 && t->status != 0) {
        t->ignored += len;
        return t->ignored > ERROR_BODY_MAX ? 0 : len;
    }
    if (t->have + len > t->conf->file_max) {
        t->too_large = true;
        return 0;
    }
    if (t->have < HEAD_SHOWN)
        for (size_t i = 0; i < len && t->have + i < HEAD_SHOWN; i++)
            t->head[t->have + i] = isprint((unsigned char)bytes[i]) ? bytes[i] : '?';
    if (t->gzip && !gzip_check_feed(t->gzip, bytes, len)) {
        t->not_gzip = true;
        return 0;
    }
    if (!body_write(t, bytes, len))
        return 0;
    t->have += len;
    if (t->progress)
        progress_add(t->progress, 0, len, 0);
    return len;
}

/* ---- tries ---- */
int transfer_open(struct transfer **out, const struct fetch_conf *conf,
                  const struct fetch_item *item, struct buf *memory, struct progress *p)
{
    *out = NULL;
    struct url_parts parts;
    bool split = url_split(str_of(item->url), &parts);
    bool file = split && str_eq_nocase(parts.scheme, STR("file"));
    bool web = split && !file && str_starts_nocase(parts.scheme, "http") && parts.scheme.len <= 5;
    if (!file && !web)
        return err_set(ERR_USAGE, "crawl: \"%s\" is no https, http or file URL", item->url);
    bool loopback = file || is_loopback_name(parts.host);
    if (!loopback && !strchr(conf->user_agent, '@') && !strstr(conf->user_agent, "+http"))
        return err_set(ERR_USAGE, "crawl: %s is a public host, which wants to know who asks: put a "
                       "contact into user_agent, as in \"sluice (you@example.org)\"", item->url);
    struct transfer *t = calloc(1, sizeof *t);
    if (!t)
        return err_set(ERR_LIMIT, "crawl: no memory for a download");
    t->conf = conf;
    t->url = item->url;
    t->memory = memory;
    t->progress = p;
    t->fd = -1;
    t->local = loopback;
    t->origin.total = UINT64_MAX;
    t->easy = curl_easy_init();
    int rc = t->easy ? 0 : err_set(ERR_LIMIT, "crawl: libcurl gives no handle");
    if (rc == 0 && !memory)
        rc = part_open(t, item->path);
    if (rc < 0) {
        transfer_close(t);
        return rc;
    }
    *out = t;
    return 0;
}

/* Asks for the rest of what is there, if the server can tell that it is still the same file. */
static int ask_range(struct transfer *t)
{
    curl_slist_free_all(t->headers);
    t->headers = NULL;
    t->asked = 0;
    bool strong = t->origin.etag[0] && strncmp(t->origin.etag, "W/", 2) != 0;
    const char *validator = strong ? t->origin.etag : t->origin.modified;
    if (t->memory || strncmp(t->url, "file:", 5) == 0 || !validator[0])
        part_drop(t);
    if (!t->have)
        return t->broken ? err_sys("crawl: emptying %s", t->part) : 0;
    char line[512];
    snprintf(line, sizeof line, "Range: bytes=%llu-", (unsigned long long)t->have);
    struct curl_slist *one = curl_slist_append(NULL, line);
    snprintf(line, sizeof line, "If-Range: %s", validator);
    t->headers = one ? curl_slist_append(one, line) : NULL;
    if (!t->headers) {
        curl_slist_free_all(one);
        return err_set(ERR_LIMIT, "crawl: no memory for a request");
    }
    t->asked = t->have;
    return 0;
}

int transfer_start(struct transfer *t)
{
    CURL *e = t->easy;
    const struct fetch_conf *c = t->conf;
    TRY(ask_range(t));
    t->said = (struct origin){.total = UINT64_MAX};
    t->range_start = t->range_total = t->length = UINT64_MAX;
    t->retry_after_ms = 0;
    t->header_bytes = t->ignored = 0;
    t->redirects = t->broken = 0;
    t->begun = t->refuse = t->not_gzip = t->too_large = false;
    t->status = 0;
    t->curl_text[0] = t->reason[0] = 0;
    curl_easy_reset(e);
    curl_easy_setopt(e, CURLOPT_URL, t->url);
    curl_easy_setopt(e, CURLOPT_USERAGENT,
                     c->user_agent[0] ? c->user_agent : "sluice/" SLUICE_VERSION);
    curl_easy_setopt(e, CURLOPT_HTTPHEADER, t->headers);
    curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https,file");
    bool tls = str_starts_nocase(str_of(t->url), "https");
    curl_easy_setopt(e, CURLOPT_REDIR_PROTOCOLS_STR, tls ? "https" : "http,https");
    curl_easy_setopt(e, CURLOPT_FOLLOWLOCATION, 1L);
    curl_easy_setopt(e, CURLOPT_MAXREDIRS, (long)REDIRECTS_MAX);
    curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS, (long)c->connect_ms);
    curl_easy_setopt(e, CURLOPT_LOW_SPEED_LIMIT, (long)STALL_BYTES_S);
    curl_easy_setopt(e, CURLOPT_LOW_SPEED_TIME, (long)((c->stall_ms + 999) / 1000));
    curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(e, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(e, CURLOPT_BUFFERSIZE, 512L << 10);
    curl_easy_setopt(e, CURLOPT_ERRORBUFFER, t->curl_text);
    curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(e, CURLOPT_HEADERDATA, t);
    curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(e, CURLOPT_WRITEDATA, t);
    curl_easy_setopt(e, CURLOPT_OPENSOCKETFUNCTION, on_socket);
    curl_easy_setopt(e, CURLOPT_OPENSOCKETDATA, t);
    if (t->local)
        curl_easy_setopt(e, CURLOPT_NOPROXY, "*");
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
    if (s == 416 && t->asked) {
        bool whole = t->range_total == t->have && (!t->gzip || gzip_check_whole(t->gzip));
        if (whole)
            return OUTCOME_DONE;
        part_drop(t);
        return verdict(t, OUTCOME_RESTART, ERR_IO, "the partial file did not fit the server's");
    }
    if (s == 404 || s == 410)
        return verdict(t, OUTCOME_FAIL, ERR_IO,
                       "the server has no such file (%ld): check the base URL, the crawl's name "
                       "and "
                       "the path",
                       s);
    if (s == 403 || s == 408 || s == 425 || s == 429 || s >= 500)
        return verdict(t, OUTCOME_BUSY, s == 429 || s == 503 ? ERR_AGAIN : ERR_IO,
                       "the server answered %ld%s", s, s == 403 ? ": slower, or not allowed" : "");
    return verdict(t, OUTCOME_FAIL, ERR_IO, "the server answered %ld instead of the file", s);
}

static enum outcome end_of_curl(struct transfer *t, CURLcode code)
{
    const char *text = t->curl_text[0] ? t->curl_text : curl_easy_strerror(code);
    long error = 0;
    curl_easy_getinfo(t->easy, CURLINFO_OS_ERRNO, &error);
    switch (code) {
    case CURLE_COULDNT_CONNECT:
        if (error == ECONNREFUSED && t->local)
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
                       t->redirects ? "redirected to where it may not lead: " : "", text);
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
        return verdict(t, OUTCOME_FAIL, ERR_IO, "the server's certificate is not trusted: %s",
                       text);
    case CURLE_FILE_COULDNT_READ_FILE:
        return verdict(t, OUTCOME_FAIL, ERR_IO, "%s", text);
    case CURLE_URL_MALFORMAT:
        return verdict(t, OUTCOME_FAIL, ERR_USAGE, "%s", text);
    case CURLE_PARTIAL_FILE:
        return verdict(t, OUTCOME_RETRY, ERR_IO, "the connection ended before the file did: %s",
                       text);
    default:
        return verdict(t, OUTCOME_RETRY, ERR_IO, "%s", text);
    }
}

static enum outcome end_of_content(struct transfer *t)
{
    uint64_t total = t->origin.total;
    if (total != UINT64_MAX && t->have != total) {
        bool more = t->have > total;
        unsigned long long had = t->have;
        if (more)
            part_drop(t);
        return verdict(t, OUTCOME_RETRY, ERR_IO, "%llu bytes came of %llu", had,
                       (unsigned long long)total);
    }
    if (t->gzip && !gzip_check_whole(t->gzip)) {
        part_drop(t);
        return verdict(t, OUTCOME_RESTART, ERR_FORMAT, "the gzip file ends inside a member");
    }
    return OUTCOME_DONE;
}

enum outcome transfer_end(struct transfer *t, CURLcode code)
{
    if (code == CURLE_OK)
        body_begin(t);
    if (t->broken) {
        errno = t->broken;
        int rc = err_sys("writing %s", t->memory ? "to memory" : t->part);
        return verdict(t, OUTCOME_FATAL, rc, "%s", err_text());
    }
    if (t->too_large || code == CURLE_FILESIZE_EXCEEDED) {
        part_drop(t);
        return verdict(t, OUTCOME_FAIL, ERR_LIMIT,
                       "larger than file_max, %llu bytes: raise it if that is right",
                       (unsigned long long)t->conf->file_max);
    }
    if (t->not_gzip) {
        part_drop(t);
        return verdict(t, OUTCOME_RESTART, ERR_FORMAT,
                       "what came is not gzip, or damaged; it starts with \"%s\"",
                       t->head);
    }
    if (t->refuse && t->status == 206) {
        part_drop(t);
        return verdict(t, OUTCOME_RESTART, ERR_IO,
                       "the range in the answer is not the one asked for");
    }
    if (t->refuse) {
        t->code = ERR_IO;
        return OUTCOME_FAIL;
    }
    bool body = t->begun && (t->status == 200 || t->status == 206 || t->status == 0);
    if (t->begun && !body)
        return end_of_status(t);
    return code == CURLE_OK ? end_of_content(t) : end_of_curl(t, code);
}

int transfer_commit(struct transfer *t, uint64_t *bytes)
{
    *bytes = t->have;
    if (t->memory)
        return 0;
    if (fsync(t->fd) < 0)
        return err_sys("crawl: syncing %s", t->part);
    if (rename(t->part, t->path) < 0)
        return err_sys("crawl: renaming %s", t->part);
    unlink(t->meta);
    char folder[IO_PATH_MAX];
    memcpy(folder, t->path, sizeof folder);
    char *slash = strrchr(folder, '/');
    if (slash)
        slash[slash == folder] = 0;
    return io_sync_dir(slash ? folder : ".");
}

void transfer_close(struct transfer *t)
{
    if (!t)
        return;
    curl_easy_cleanup(t->easy);
    curl_slist_free_all(t->headers);
    gzip_check_close(t->gzip);
    if (t->fd >= 0) {
        if (t->have == 0 && t->path[0] && unlinkat(AT_FDCWD, t->part, 0) == 0)
            unlink(t->meta); /* an empty partial file helps nobody */
        close(t->fd);
    }
    free(t);
}

/* s3_machine - asks the container agent or the EC2 metadata service for temporary keys. */
#include "crawl/s3_machine.h"

#include "core/err.h"
#include "core/io.h"
#include "core/json.h"
#include "crawl/crawl.h"
#include "crawl/libcurl.h"

#include <stdlib.h>
#include <time.h>

enum {
    CONNECT_MS = 1000,
    TOTAL_MS = 5000,
    ANSWER_MAX = 32 << 10,
    URL_MAX = 2048,
    LINE_MAX_BYTES = 10000,
    HEADERS_MAX = 2,
};
static const char ecs_host[] = "169.254.170.2", eks_host[] = "169.254.170.23";

struct answer {
    char text[ANSWER_MAX];
    size_t len;
};
struct question {
    const char *method, *url;
    const char *header[HEADERS_MAX]; /* "Name: value" or NULL */
};

static size_t on_body(char *bytes, size_t size, size_t count, void *self)
{
    struct answer *a = self;
    size_t len = size * count;
    if (len >= sizeof a->text - a->len)
        return 0;
    memcpy(a->text + a->len, bytes, len);
    a->len += len;
    a->text[a->len] = 0;
    return len;
}

static int ask(const struct question *q, uint64_t deadline, struct answer *a)
{
    a->len = 0;
    a->text[0] = 0;
    uint64_t now = clock_ns() / 1000000;
    if (now >= deadline)
        return err_set(ERR_IO, "s3: asking %s for credentials took longer than %d ms", q->url,
                       TOTAL_MS);
    TRY(libcurl_ready());
    struct curl_slist *headers = NULL;
    CURL *e = curl_easy_init();
    int rc = e ? 0 : err_set(ERR_LIMIT, "s3: libcurl gives no handle");
    for (size_t i = 0; i < HEADERS_MAX && rc == 0 && q->header[i]; i++) {
        struct curl_slist *longer = curl_slist_append(headers, q->header[i]);
        rc = longer ? 0 : err_set(ERR_LIMIT, "s3: no memory for a request");
        headers = longer ? longer : headers;
    }
    if (rc < 0)
        goto out;
    curl_easy_setopt(e, CURLOPT_URL, q->url);
    curl_easy_setopt(e, CURLOPT_CUSTOMREQUEST, q->method);
    curl_easy_setopt(e, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(e, CURLOPT_NOPROXY, "*");
    curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_MS);
    curl_easy_setopt(e, CURLOPT_TIMEOUT_MS, (long)(deadline - now));
    curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(e, CURLOPT_WRITEDATA, a);
    CURLcode code = curl_easy_perform(e);
    long status = 0;
    curl_easy_getinfo(e, CURLINFO_RESPONSE_CODE, &status);
    if (code != CURLE_OK)
        rc = err_set(ERR_IO, "s3: asking %s for credentials: %s", q->url, curl_easy_strerror(code));
    else if (status != 200)
        rc = err_set(ERR_IO, "s3: asking %s for credentials: it answered %ld", q->url, status);
out:
    for (struct curl_slist *at = headers; at; at = at->next)
        explicit_bzero(at->data, strlen(at->data));
    curl_slist_free_all(headers);
    curl_easy_cleanup(e);
    return rc;
}

/* ---- the answer ---- */
static int take(const struct json *root, const char *name, char *to, size_t room)
{
    struct str value = json_str(root, name, STR(""));
    if (!value.len || value.len >= room || memchr(value.ptr, '\n', value.len) ||
        memchr(value.ptr, '\r', value.len) || memchr(value.ptr, 0, value.len))
        return err_set(ERR_FORMAT, "s3: the answer with credentials has no usable %s", name);
    memcpy(to, value.ptr, value.len);
    to[value.len] = 0;
    return 0;
}

/* "2026-11-23T18:00:00Z"; 0 for anything else. */
static int64_t read_time(struct str text)
{
    char copy[32];
    struct tm tm = {0};
    if (text.len >= sizeof copy)
        return 0;
    memcpy(copy, text.ptr ? text.ptr : "", text.len);
    copy[text.len] = 0;
    const char *end = strptime(copy, "%Y-%m-%dT%H:%M:%S", &tm);
    return end && *end == 'Z' ? (int64_t)timegm(&tm) : 0;
}

static int read_keys(struct s3_keys *k, const struct answer *a, const char *origin)
{
    struct arena arena;
    struct json *root;
    TRY(arena_open(&arena, 1 << 20));
    int rc = json_parse(&arena, (struct str){a->text, a->len}, &root);
    if (rc < 0)
        rc = err_in(rc, "s3: the answer with credentials");
    if (rc == 0)
        rc = take(root, "AccessKeyId", k->id, sizeof k->id);
    if (rc == 0)
        rc = take(root, "SecretAccessKey", k->secret, sizeof k->secret);
    if (rc == 0)
        rc = take(root, "Token", k->token, sizeof k->token);
    if (rc == 0) {
        k->expires = read_time(json_str(root, "Expiration", STR("")));
        snprintf(k->origin, sizeof k->origin, "%s", origin);
        rc = 1;
    }
    explicit_bzero(arena.base, arena.used);
    arena_close(&arena);
    return rc;
}

/* ---- container ---- */
bool s3_machine_container(void)
{
    const char *full = getenv("AWS_CONTAINER_CREDENTIALS_FULL_URI");
    const char *relative = getenv("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
    return (full && full[0]) || (relative && relative[0]);
}

static int container_url(char *url)
{
    const char *full = getenv("AWS_CONTAINER_CREDENTIALS_FULL_URI");
    const char *relative = getenv("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
    struct url_parts parts;
    int len = relative && relative[0] ? snprintf(url, URL_MAX, "http://%s%s", ecs_host, relative)
                                      : snprintf(url, URL_MAX, "%s", full ? full : "");
    if (len >= URL_MAX || !url_split(str_of(url), &parts))
        return err_set(ERR_USAGE, "s3: AWS_CONTAINER_CREDENTIALS_FULL_URI is no URL");
    bool here = str_is(parts.host, "127.0.0.1") || str_is(parts.host, "localhost") ||
                str_is(parts.host, "::1") || str_is(parts.host, ecs_host) ||
                str_is(parts.host, eks_host) || str_is(parts.host, "fd00:ec2::23");
    if (!here && !str_eq_nocase(parts.scheme, STR("https")))
        return err_set(ERR_USAGE, "s3: AWS_CONTAINER_CREDENTIALS_FULL_URI asks another machine "
                                  "over plain http, which is refused: use https");
    return 0;
}

/* The line to prove who we are with, if there is one to send. */
static int container_authorization(char *line, const char **header)
{
    const char *file = getenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE");
    const char *token = getenv("AWS_CONTAINER_AUTHORIZATION_TOKEN");
    char *text = NULL;
    size_t text_len = 0;
    *header = NULL;
    if (file && file[0])
        TRY(io_read_file(file, LINE_MAX_BYTES / 2, &text, &text_len));
    struct str value = str_trim(text ? (struct str){text, text_len} : str_of(token));
    int rc = 0;
    if (value.len >= LINE_MAX_BYTES - 32 || (value.len && memchr(value.ptr, '\n', value.len)))
        rc = err_set(ERR_USAGE, "s3: the container's authorization token is no single line");
    if (rc == 0 && value.len) {
        snprintf(line, LINE_MAX_BYTES, "Authorization: %.*s", STR_ARG(value));
        *header = line;
    }
    if (text)
        explicit_bzero(text, text_len);
    free(text);
    return rc;
}

static int container_keys(struct s3_keys *k, struct answer *a, uint64_t deadline)
{
    char url[URL_MAX], line[LINE_MAX_BYTES];
    struct question q = {.method = "GET", .url = url};
    TRY(container_url(url));
    int rc = container_authorization(line, &q.header[0]);
    if (rc == 0)
        rc = ask(&q, deadline, a);
    explicit_bzero(line, sizeof line);
    return rc < 0 ? rc : read_keys(k, a, "the container's credentials address");
}

/* ---- instance ---- */
static bool is_role(struct str name)
{
    for (size_t i = 0; i < name.len; i++)
        if (name.ptr[i] <= ' ' || name.ptr[i] > '~' || strchr("/?#%", name.ptr[i]))
            return false;
    return name.len > 0 && name.len < 256;
}

static int instance_keys(struct s3_keys *k, struct answer *a, uint64_t deadline)
{
    static const char folder[] = "latest/meta-data/iam/security-credentials/";
    const char *given = getenv("AWS_EC2_METADATA_SERVICE_ENDPOINT");
    const char *base = given && given[0] ? given : "http://169.254.169.254/";
    const char *slash = base[strlen(base) - 1] == '/' ? "" : "/";
    char url[URL_MAX], token[2048], role[256];
    snprintf(url, sizeof url, "%s%slatest/api/token", base, slash);
    struct question first = {"PUT", url, {"X-aws-ec2-metadata-token-ttl-seconds: 300", NULL}};
    TRY(ask(&first, deadline, a));
    struct str said = str_trim((struct str){a->text, a->len});
    if (!said.len || said.len >= sizeof token - 64 || memchr(said.ptr, '\n', said.len))
        return err_set(ERR_FORMAT, "s3: %s gave no usable token", url);
    snprintf(token, sizeof token, "X-aws-ec2-metadata-token: %.*s", STR_ARG(said));
    snprintf(url, sizeof url, "%s%s%s", base, slash, folder);
    struct question second = {"GET", url, {token, NULL}};
    int rc = ask(&second, deadline, a);
    struct str rest, name = str_trim(str_cut((struct str){a->text, a->len}, '\n', &rest));
    if (rc == 0 && !is_role(name))
        rc = err_set(ERR_FORMAT, "s3: %s names no role: has this machine one?", url);
    if (rc == 0) {
        snprintf(role, sizeof role, "%.*s", STR_ARG(name));
        snprintf(url, sizeof url, "%s%s%s%s", base, slash, folder, role);
        rc = ask(&second, deadline, a);
    }
    if (rc == 0)
        rc = read_keys(k, a, "the machine's metadata service");
    explicit_bzero(token, sizeof token);
    return rc;
}

int s3_machine_keys(struct s3_keys *k, bool container)
{
    uint64_t deadline = clock_ns() / 1000000 + TOTAL_MS;
    struct answer *a = calloc(1, sizeof *a);
    if (!a)
        return err_set(ERR_LIMIT, "s3: no memory for credentials");
    int rc = container ? container_keys(k, a, deadline) : instance_keys(k, a, deadline);
    explicit_bzero(a, sizeof *a);
    free(a);
    return rc;
}

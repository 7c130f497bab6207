/* s3 - signs one try at a time, and learns from refusals what the next one needs. */
#include "crawl/s3.h"
#include "crawl/crawl.h"
#include "crawl/s3_credentials.h"
#include "crawl/s3_sign.h"
#include "crawl/s3_xml.h"
#include "crawl/transfer.h"

#include "core/err.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <time.h>

/* How it works. `prepare` turns s3://bucket/key into the URL and headers of one try, with the keys,
 * region and clock known now, and notes the generation of that knowledge for the URL. `judge` reads
 * a refusal. One that teaches something (region, time, fresh keys) begins a new generation, and the
 * try is repeated at once; so is one that was signed by an older generation, as happens to the
 * other transfers under way. One that teaches nothing is final. */
enum {
    BUCKET_MAX = 255,
    REGION_MAX = 40,
    HOST_MAX = 512,
    BUCKETS_MAX = 64,
    NOTES = 4096,         /* a power of two; many more than transfers under way */
    SKEW_MIN_S = 60,      /* a smaller difference of clocks is not the cause */
    SKEW_ALLOWED_S = 900, /* S3's own limit */
    EXPIRY_MARGIN_S = 60,
    MESSAGE_MAX = 200,
};

static struct {
    pthread_mutex_t lock;
    struct s3_keys *keys;                   /* NULL: not loaded */
    char from[32], profile[S3_PROFILE_MAX]; /* what they were loaded for */
    bool guarded;                           /* no core dumps, for the sake of a token */
    int64_t clock_offset;                   /* seconds to add to our clock */
    uint32_t generation;
    struct {
        char name[BUCKET_MAX + 1], region[REGION_MAX];
    } bucket[BUCKETS_MAX];
    size_t bucket_count;
    struct {
        uint64_t url;
        uint32_t generation;
    } note[NOTES];
} session = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* ---- addresses ---- */
struct place {
    struct str bucket, key; /* key: the prefix of a listing */
    struct str token;       /* percent-encoded, of a listing's next page */
    bool list;
};

static bool is_bucket(struct str name)
{
    for (size_t i = 0; i < name.len; i++) {
        char c = name.ptr[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              (i && strchr("._-", c))))
            return false;
    }
    return name.len >= 1 && name.len <= BUCKET_MAX;
}

/* "s3://bucket/key" and "s3list://bucket/TOKEN/prefix". */
static int place_parse(const char *url, struct place *p)
{
    struct str rest, text = str_of(url), scheme = str_cut(text, ':', &rest);
    *p = (struct place){.list = str_eq_nocase(scheme, STR("s3list"))};
    if (!str_starts(rest, "//") || !(p->list || str_eq_nocase(scheme, STR("s3"))))
        return err_set(ERR_USAGE, "s3: \"%.200s\" is no s3://bucket/key", url);
    rest = str_slice(rest, 2, rest.len);
    p->bucket = str_cut(rest, '/', &p->key);
    if (p->list)
        p->token = str_cut(p->key, '/', &p->key);
    if (!is_bucket(p->bucket))
        return err_set(ERR_USAGE,
                       "s3: \"%.200s\" names no bucket: a name is letters, digits, "
                       "dots, dashes and underscores",
                       url);
    if (!p->list && !p->key.len)
        return err_set(ERR_USAGE, "s3: \"%.200s\" names a bucket but no key", url);
    return 0;
}

bool s3_is_url(const char *url) { return str_starts_nocase(str_of(url), "s3://"); }

/* Regions stand in host names: nothing else may get there. */
static bool is_region(struct str r)
{
    for (size_t i = 0; i < r.len; i++)
        if (!((r.ptr[i] >= 'a' && r.ptr[i] <= 'z') || (r.ptr[i] >= '0' && r.ptr[i] <= '9') ||
              (i && r.ptr[i] == '-')))
            return false;
    return r.len > 0 && r.len < REGION_MAX;
}

/* Can be a label of a host name that TLS certificates of *.s3.REGION.amazonaws.com cover. */
static bool is_label(struct str bucket)
{
    for (size_t i = 0; i < bucket.len; i++) {
        char c = bucket.ptr[i];
        bool dash = c == '-' && i && i + 1 < bucket.len;
        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || dash))
            return false;
    }
    return bucket.len >= 3 && bucket.len <= 63;
}

/* The first that is set: the option, the variables, the profile's setting. */
static bool setting(const char *given, const char *const variable[2], const char *profile,
                    const char *name, char *out, size_t room)
{
    for (int i = -1; i < 2; i++) {
        const char *value = i < 0 ? given : getenv(variable[i]);
        if (value && value[0]) {
            snprintf(out, room, "%s", value);
            return true;
        }
    }
    return s3_setting(profile, name, out, room);
}

static int find_bucket(struct str name)
{
    for (size_t i = 0; i < session.bucket_count; i++)
        if (str_is(name, session.bucket[i].name))
            return (int)i;
    return -1;
}

static int region_of(const struct fetch_conf *conf, struct str bucket, char region[REGION_MAX])
{
    static const char *const variable[2] = {"AWS_REGION", "AWS_DEFAULT_REGION"};
    char found[256];
    int known = find_bucket(bucket);
    if (known >= 0) {
        memcpy(region, session.bucket[known].region, REGION_MAX);
        return 0;
    }
    if (!setting(conf->s3_region, variable, conf->s3_profile, "region", found, sizeof found))
        snprintf(found, sizeof found, "us-east-1");
    if (!is_region(str_of(found)))
        return err_set(ERR_USAGE, "s3: \"%.80s\" is no region: give one as us-east-1", found);
    snprintf(region, REGION_MAX, "%.*s", REGION_MAX - 1, found);
    return 0;
}

/* Where a request goes: scheme and host of the URL, and the raw path. */
struct target {
    const char *scheme;
    char host[HOST_MAX];
    struct buf path;
};

/* An endpoint of the user's own: scheme://host[:port][/prefix]. */
static int target_endpoint(struct target *t, const struct place *p, const char *endpoint,
                           bool label)
{
    struct url_parts parts;
    bool good = url_split(str_of(endpoint), &parts) && !parts.query.len && !strchr(endpoint, '@') &&
                parts.host.len + parts.port.len + 280 < HOST_MAX;
    bool tls = good && str_eq_nocase(parts.scheme, STR("https"));
    if (!good || !(tls || str_eq_nocase(parts.scheme, STR("http"))))
        return err_set(ERR_USAGE, "s3: the endpoint is no URL as in https://minio.example.org:9000 "
                                  "(no user, password or query)");
    t->scheme = tls ? "https" : "http";
    bool six = memchr(parts.host.ptr, ':', parts.host.len) != NULL;
    bool usual = str_is(parts.port, tls ? "443" : "80");
    snprintf(t->host, sizeof t->host, "%.*s%s%s%.*s%s%s%.*s", label ? (int)p->bucket.len : 0,
             p->bucket.ptr, label ? "." : "", six ? "[" : "", STR_ARG(parts.host), six ? "]" : "",
             parts.port.len && !usual ? ":" : "", usual ? 0 : (int)parts.port.len, parts.port.ptr);
    for (char *c = t->host; *c; c++)
        *c = *c >= 'A' && *c <= 'Z' ? (char)(*c + 32) : *c;
    while (parts.path.len && parts.path.ptr[parts.path.len - 1] == '/')
        parts.path.len--;
    buf_str(&t->path, parts.path);
    return 0;
}

static int target_find(struct target *t, const struct fetch_conf *conf, const struct place *p,
                       const char *region)
{
    static const char *const variable[2] = {"AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"};
    char endpoint[HOST_MAX];
    const char *style = conf->s3_style ? conf->s3_style : "auto";
    bool own = setting(conf->s3_endpoint, variable, conf->s3_profile, "endpoint_url", endpoint,
                       sizeof endpoint);
    bool label =
        strcmp(style, "host") == 0 || (strcmp(style, "path") != 0 && !own && is_label(p->bucket));
    if (own) {
        TRY(target_endpoint(t, p, endpoint, label));
    } else {
        t->scheme = "https";
        snprintf(t->host, sizeof t->host, "%.*s%ss3.%s.amazonaws.com%s",
                 label ? (int)p->bucket.len : 0, p->bucket.ptr, label ? "." : "", region,
                 str_starts(str_of(region), "cn-") ? ".cn" : "");
    }
    buf_char(&t->path, '/');
    if (!label)
        buf_str(&t->path, p->bucket);
    if (!label && !p->list)
        buf_char(&t->path, '/');
    if (!p->list)
        buf_str(&t->path, p->key);
    return t->path.failed ? err_set(ERR_LIMIT, "s3: no memory for a request") : 0;
}

/* ---- keys ---- */
/* A session token travels in a header, through buffers of libcurl's that cannot be kept out of core
 * dumps one by one: while there is one, the process leaves none at all (nor can be traced). */
static void guard_token(void)
{
    bool token = session.keys && session.keys->token[0];
    if (token && !session.guarded && prctl(PR_GET_DUMPABLE) == 1)
        session.guarded = prctl(PR_SET_DUMPABLE, 0) == 0;
    else if (!token && session.guarded)
        session.guarded = prctl(PR_SET_DUMPABLE, 1) != 0;
}

/* With the lock held. A reload that finds no keys leaves those there are. */
static int keys_reload(const struct fetch_conf *conf)
{
    struct s3_keys *fresh = s3_keys_new();
    if (!fresh)
        return ERR_LIMIT;
    int rc = s3_keys_load(fresh, conf->s3_credentials, conf->s3_profile);
    if (rc < 0) {
        s3_keys_free(fresh);
        return rc;
    }
    if (!session.keys || !s3_keys_same(session.keys, fresh))
        session.generation++;
    s3_keys_free(session.keys);
    session.keys = fresh;
    guard_token();
    return 0;
}

static int keys_ready(const struct fetch_conf *conf)
{
    const char *from = conf->s3_credentials ? conf->s3_credentials : "auto";
    const char *profile = conf->s3_profile ? conf->s3_profile : "";
    bool same =
        session.keys && strcmp(from, session.from) == 0 && strcmp(profile, session.profile) == 0;
    int64_t expires = same ? session.keys->expires : 0;
    bool stale = expires && (int64_t)time(NULL) > expires - EXPIRY_MARGIN_S;
    if (same && !stale)
        return 0;
    int rc = keys_reload(conf);
    if (rc < 0)
        return same ? 0 : rc; /* they may still do */
    snprintf(session.from, sizeof session.from, "%s", from);
    snprintf(session.profile, sizeof session.profile, "%s", profile);
    return 0;
}

/* ---- one try ---- */
static void note_try(uint64_t hash)
{
    session.note[hash % NOTES].url = hash;
    session.note[hash % NOTES].generation = session.generation;
}

/* Something was learned since this URL was signed; or its note made room for another URL's, and it
 * is taken to be so: one more try settles it, and the loop allows three. */
static bool is_outdated(const char *url)
{
    uint64_t hash = hash_str(str_of(url), 0);
    return session.note[hash % NOTES].url != hash ||
           session.note[hash % NOTES].generation != session.generation;
}

static size_t list_query(const struct place *p, struct sign_pair *query, struct buf *token)
{
    size_t count = 0;
    if (!p->list)
        return 0;
    for (size_t i = 0; i < p->token.len; i++) { /* the token was encoded by s3_list */
        unsigned value = 0;
        if (p->token.ptr[i] == '%' && i + 2 < p->token.len &&
            sscanf(p->token.ptr + i + 1, "%2x", &value) == 1)
            i += 2;
        else
            value = (unsigned char)p->token.ptr[i];
        buf_char(token, (char)value);
    }
    query[count++] = (struct sign_pair){STR("list-type"), STR("2")};
    query[count++] = (struct sign_pair){STR("encoding-type"), STR("url")};
    query[count++] = (struct sign_pair){STR("prefix"), p->key};
    if (token->len)
        query[count++] = (struct sign_pair){STR("continuation-token"), buf_view(token)};
    return count;
}

static int sign_headers(struct transfer_request *q, struct sign_request *r, const char *region,
                        const struct target *t, bool payer)
{
    char stamp[32];
    struct tm tm;
    time_t now = (time_t)((int64_t)time(NULL) + session.clock_offset);
    strftime(stamp, sizeof stamp, "%Y%m%dT%H%M%SZ", gmtime_r(&now, &tm));
    struct sign_pair header[5] = {{STR("host"), str_of(t->host)},
                                  {STR("x-amz-content-sha256"), STR(SIGN_EMPTY)},
                                  {STR("x-amz-date"), str_of(stamp)}};
    r->header = header;
    r->header_count = 3;
    if (session.keys->token[0])
        header[r->header_count++] =
            (struct sign_pair){STR("x-amz-security-token"), str_of(session.keys->token)};
    if (payer)
        header[r->header_count++] =
            (struct sign_pair){STR("x-amz-request-payer"), STR("requester")};
    struct buf line = {0};
    int rc = sign_authorize(&line, r, &(struct sign_scope){stamp, region, "s3"},
                            str_of(session.keys->id), str_of(session.keys->secret));
    for (size_t i = 1; i < r->header_count && rc == 0; i++) /* host is curl's own */
        rc = transfer_header(q, "%.*s: %.*s", STR_ARG(header[i].name), STR_ARG(header[i].value));
    if (rc == 0)
        rc = transfer_header(q, "Authorization: %s", buf_cstr(&line));
    buf_free(&line);
    return rc;
}

static int prepare(const struct fetch_conf *conf, struct transfer_request *q, const struct place *p)
{
    struct target t = {0};
    struct buf url = {0}, token = {0};
    struct sign_pair query[4];
    char region[REGION_MAX];
    int rc = 0;
    TRY_OUT(region_of(conf, p->bucket, region));
    TRY_OUT(target_find(&t, conf, p, region));
    if (!conf->s3_anonymous)
        TRY_OUT(keys_ready(conf));
    struct sign_request r = {.method = q->method,
                             .path = buf_view(&t.path),
                             .query = query,
                             .query_count = list_query(p, query, &token),
                             .payload = SIGN_EMPTY};
    buf_printf(&url, "%s://%s", t.scheme, t.host);
    sign_encode(&url, r.path, true);
    if (r.query_count) {
        buf_char(&url, '?');
        TRY_OUT(sign_query(&url, query, r.query_count));
    }
    if (!conf->s3_anonymous)
        TRY_OUT(sign_headers(q, &r, region, &t, conf->s3_requester_pays));
    buf_cstr(&url);
    if (url.failed || url.len >= sizeof q->url)
        rc = err_set(ERR_LIMIT, "s3: a URL of %zu bytes; %zu are the most", url.len,
                     sizeof q->url - 1);
    else
        memcpy(q->url, url.ptr, url.len + 1);
out:
    buf_free(&t.path);
    buf_free(&url);
    buf_free(&token);
    return rc;
}

static int s3_prepare(const struct fetch_conf *conf, struct transfer_request *q)
{
    struct place p;
    TRY(place_parse(q->url, &p));
    pthread_mutex_lock(&session.lock);
    uint64_t hash = hash_str(str_of(q->url), 0);
    int rc = prepare(conf, q, &p);
    note_try(hash);
    pthread_mutex_unlock(&session.lock);
    return rc;
}

/* ---- refusals ---- */
struct refusal {
    const struct transfer_refusal *answer;
    struct str code;              /* of the XML, "" when there is none */
    char text[MESSAGE_MAX + 200]; /* "AccessDenied: Access Denied (request 4442587FB7D0A2F9)" */
};

/* Printable, and without anything of ours that a server sends back to us. */
static void clean(char *text)
{
    const char *secret[] = {"", "", ""};
    if (session.keys) {
        secret[0] = session.keys->id;
        secret[1] = session.keys->secret;
        secret[2] = session.keys->token;
    }
    for (size_t i = 0; i < COUNT_OF(secret); i++) {
        size_t len = strlen(secret[i]);
        for (char *at = text; len > 3 && (at = strstr(at, secret[i]));)
            memset(at, '*', len);
    }
    for (char *c = text; *c; c++)
        if (*c < ' ' || *c > '~')
            *c = '?';
}

static void refusal_read(struct refusal *r, const struct transfer_refusal *answer)
{
    struct buf message = {.max = 4 * TRANSFER_ERROR_BODY_MAX};
    struct str error = xml_find(answer->body, "Error");
    *r = (struct refusal){.answer = answer, .code = xml_find(error, "Code")};
    if (r->code.len > 60)
        r->code = (struct str){0};
    xml_text(&message, xml_find(error, "Message"));
    clean((char *)(uintptr_t)buf_cstr(&message));
    struct str id = transfer_header_find(answer->header, "x-amz-request-id");
    if (!id.len)
        id = xml_find(error, "RequestId");
    char status[40];
    snprintf(status, sizeof status, "the server answered %ld", answer->status);
    snprintf(r->text, sizeof r->text, "%.*s%s%.*s%s%.*s%s", r->code.len ? (int)r->code.len : 40,
             r->code.len ? r->code.ptr : status, message.len ? ": " : "",
             message.len < MESSAGE_MAX ? (int)message.len : MESSAGE_MAX, buf_cstr(&message),
             id.len ? " (request " : "", id.len < 80 ? (int)id.len : 80, id.len ? id.ptr : "",
             id.len ? ")" : "");
    clean(r->text);
    buf_free(&message);
}

static bool is_code(const struct refusal *r, const char *const *codes)
{
    for (; *codes; codes++)
        if (str_is(r->code, *codes))
            return true;
    return false;
}

/* The region a refusal names, or ptr NULL: header, XML, or the host it would send us to. */
static struct str named_region(const struct refusal *r)
{
    struct str region = transfer_header_find(r->answer->header, "x-amz-bucket-region");
    if (!region.len)
        region = xml_find(r->answer->body, "Region");
    struct str host = xml_find(r->answer->body, "Endpoint"), tail = STR(".amazonaws.com");
    size_t end = str_find(host, tail);
    if (!region.len && end != SIZE_MAX) { /* bucket.s3-eu-west-1 or bucket.s3.eu-west-1 */
        host = str_slice(host, 0, end);
        size_t mark = SIZE_MAX;
        for (size_t i = 0; i + 3 < host.len; i++)
            if (memcmp(host.ptr + i, "s3", 2) == 0 &&
                (host.ptr[i + 2] == '-' || host.ptr[i + 2] == '.'))
                mark = i + 3;
        region = mark == SIZE_MAX ? (struct str){0} : str_slice(host, mark, host.len);
    }
    region = str_trim(region);
    return is_region(region) ? region : (struct str){0};
}

/* Each bucket may move once: a server that sends us to and fro is not followed. */
static enum outcome learn_region(const struct refusal *r, const struct place *p, const char *url,
                                 char *reason, size_t room)
{
    struct str region = named_region(r);
    bool first = find_bucket(p->bucket) < 0 && session.bucket_count < BUCKETS_MAX;
    if (region.len && first) {
        size_t at = session.bucket_count++;
        snprintf(session.bucket[at].name, sizeof session.bucket[at].name, "%.*s",
                 STR_ARG(p->bucket));
        snprintf(session.bucket[at].region, REGION_MAX, "%.*s", STR_ARG(region));
        session.generation++;
    }
    if (is_outdated(url)) {
        snprintf(reason, room, "the bucket lies in another region");
        return OUTCOME_RESTART;
    }
    snprintf(reason, room, "the bucket lies in another region%s%.*s: set s3_region (%s)",
             region.len ? ", " : "", STR_ARG(region), r->text);
    return OUTCOME_FAIL;
}

/* Seconds the server's clock is ahead of the time that requests are signed with; 0: not known. */
static int64_t clock_change(const struct refusal *r)
{
    char date[64];
    struct str said = transfer_header_find(r->answer->header, "Date");
    snprintf(date, sizeof date, "%.*s", said.len < 60 ? (int)said.len : 60, said.ptr);
    time_t server = said.len ? curl_getdate(date, NULL) : -1;
    return server > 0 ? (int64_t)server - (int64_t)time(NULL) - session.clock_offset : 0;
}

static enum outcome learn_time(const struct refusal *r, const char *url, char *reason, size_t room)
{
    int64_t change = clock_change(r);
    if (!is_outdated(url) && (change >= SKEW_MIN_S || change <= -SKEW_MIN_S)) {
        session.clock_offset += change;
        session.generation++;
    }
    if (is_outdated(url)) {
        snprintf(reason, room, "the server's clock differs from ours");
        return OUTCOME_RESTART;
    }
    snprintf(reason, room, "the server finds our clock wrong: set this machine's time (%s)",
             r->text);
    return OUTCOME_FAIL;
}

static enum outcome learn_keys(const struct fetch_conf *conf, const struct refusal *r,
                               const char *url, char *reason, size_t room)
{
    if (!is_outdated(url) && !conf->s3_anonymous && keys_reload(conf) < 0)
        err_clear();
    if (is_outdated(url)) {
        snprintf(reason, room, "the credentials have been renewed");
        return OUTCOME_RESTART;
    }
    snprintf(reason, room,
             "%s: renew the credentials (they came from %s), then run the same "
             "command",
             r->text, session.keys ? session.keys->origin : "nowhere");
    return OUTCOME_FAIL;
}

/* The server names a region that is not the one we signed for. */
static bool is_elsewhere(const struct fetch_conf *conf, const struct refusal *r,
                         const struct place *p)
{
    char region[REGION_MAX];
    struct str named = named_region(r);
    return named.len && region_of(conf, p->bucket, region) == 0 && !str_is(named, region);
}

static enum outcome judge(const struct fetch_conf *conf, const struct place *p, const char *url,
                          const struct refusal *r, char *reason, size_t room)
{
    static const char *const moved[] = {"PermanentRedirect",
                                        "TemporaryRedirect",
                                        "Redirect",
                                        "AuthorizationHeaderMalformed",
                                        "IllegalLocationConstraintException",
                                        NULL};
    static const char *const expired[] = {"ExpiredToken",          "TokenRefreshRequired",
                                          "InvalidToken",          "InvalidAccessKeyId",
                                          "SignatureDoesNotMatch", NULL};
    static const char *const busy[] = {"SlowDown",
                                       "InternalError",
                                       "ServiceUnavailable",
                                       "RequestTimeout",
                                       "OperationAborted",
                                       "ThrottlingException",
                                       "TooManyRequestsException",
                                       "RequestLimitExceeded",
                                       NULL};
    long s = r->answer->status;
    bool redirect = s >= 300 && s < 400 && s != 304;
    /* The answer to a HEAD has no body: a 400 or 403 is told by what its header lets us see. */
    bool silent = !r->code.len && (s == 400 || s == 403);
    int64_t change = clock_change(r);
    if (redirect || is_code(r, moved) || (silent && s == 400 && is_elsewhere(conf, r, p)))
        return learn_region(r, p, url, reason, room);
    if (str_is(r->code, "RequestTimeTooSkewed") ||
        (silent && s == 403 && (change > SKEW_ALLOWED_S || change < -SKEW_ALLOWED_S)))
        return learn_time(r, url, reason, room);
    if (is_code(r, expired) || (silent && s == 400))
        return learn_keys(conf, r, url, reason, room);
    snprintf(reason, room, "%s%s", r->text,
             s == 403 && conf->s3_anonymous ? ": it may want credentials (s3_anonymous is set)"
             : s == 403                     ? ": the credentials do not allow it"
                                            : "");
    if (s >= 500 || s == 408 || s == 429 || is_code(r, busy))
        return OUTCOME_BUSY;
    if (s == 416 || s == 304)
        return OUTCOME_DONE; /* the common rules know */
    return OUTCOME_FAIL;
}

static enum outcome s3_judge(const struct fetch_conf *conf, const char *url,
                             const struct transfer_refusal *answer, char *reason, size_t room)
{
    struct place p;
    struct refusal r;
    if (place_parse(url, &p) < 0)
        return OUTCOME_FAIL;
    pthread_mutex_lock(&session.lock);
    refusal_read(&r, answer);
    enum outcome outcome = judge(conf, &p, url, &r, reason, room);
    pthread_mutex_unlock(&session.lock);
    return outcome;
}

const struct transfer_scheme scheme_s3 = {"s3", s3_prepare, s3_judge};
const struct transfer_scheme scheme_s3_list = {"s3list", s3_prepare, s3_judge};

void s3_forget(void)
{
    pthread_mutex_lock(&session.lock);
    s3_keys_free(session.keys);
    session.keys = NULL;
    guard_token();
    session.clock_offset = 0;
    session.bucket_count = 0;
    session.generation++;
    pthread_mutex_unlock(&session.lock);
}

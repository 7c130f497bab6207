/* test_crawl_s3 - s3:// against a server that checks every signature by its own means. */
#include "tests/s3_env.h"

#include "core/io.h"
#include "crawl/crawl.h"
#include "crawl/remote.h"
#include "crawl/s3.h"
#include "crawl/s3_xml.h"
#include "crawl/transfer.h"

#include <pthread.h>

#define KEY_ID "AKIDEXAMPLE"
#define SECRET "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
#define TOKEN "FwoGZXIvYXdzEBYaD+very/secret/session=="

static char endpoint[64];
static int port;

/* ---- the server ---- */
static void server_start(const char *keys)
{
    clean_environment();
    test_put("keys", str_of(keys));
    test_put("credentials", STR(KEY_ID " " SECRET "\nOLDKEY oldsecretoldsecret " TOKEN "\n"
                                       "NEWKEY newsecretnewsecret " TOKEN "2\n"));
    port = test_server("tests/tools/fake_s3.py");
    snprintf(endpoint, sizeof endpoint, "http://127.0.0.1:%d", port);
    setenv("AWS_ENDPOINT_URL", endpoint, 1);
    s3_forget();
}

static void use_keys(const char *id, const char *secret, const char *token)
{
    setenv("AWS_ACCESS_KEY_ID", id, 1);
    setenv("AWS_SECRET_ACCESS_KEY", secret, 1);
    if (token)
        setenv("AWS_SESSION_TOKEN", token, 1);
    else
        unsetenv("AWS_SESSION_TOKEN");
    s3_forget();
}

static const struct fetch_conf quick = {
    .retries = 4, .connect_ms = 2000, .stall_ms = 2000, .backoff_ms = 10, .file_max = 1 << 20};

/* The server's rule for the bytes of an object. */
static bool is_content(struct str got, struct str key, size_t size)
{
    if (got.len != size)
        return false;
    for (size_t i = 0; i < size; i++)
        if ((unsigned char)got.ptr[i] !=
            (unsigned char)((unsigned char)key.ptr[i % key.len] + i / 256))
            return false;
    return true;
}

static int get(const struct fetch_conf *conf, const char *bucket, const char *key, size_t size)
{
    char url[4096], *out;
    size_t len;
    snprintf(url, sizeof url, "s3://%s/%s", bucket, key);
    TRY(fetch_memory(conf, url, 1 << 20, &out, &len));
    bool same = is_content((struct str){out, len}, str_of(key), size);
    free(out);
    if (!same)
        test_fail(__FILE__, __LINE__, "%s: the bytes are wrong", url);
    return 0;
}

/* How many lines of the server's log hold the text. */
static size_t logged(const char *text)
{
    char *log;
    size_t len;
    CHECK_OK(io_read_file(test_path("log"), 1 << 20, &log, &len));
    size_t count = str_count((struct str){log, len}, str_of(text));
    free(log);
    return count;
}

static void add_key(struct buf *list, const char *bucket, const char *key, int size)
{
    buf_printf(list, "%s ", bucket);
    for (const char *c = key; *c; c++)
        buf_printf(list, "%02x", (unsigned char)*c);
    buf_printf(list, " %d\n", size);
}

/* Blanks, plus, percent, unicode, bytes that are no text, slashes and dots: each reaches the server
 * as the key it is, under a signature it accepts; in the path and in the host. */
TEST(crawl_s3_awkward_keys)
{
    static const char *const key[] = {"plain.txt",
                                      "crawl=CC-MAIN-2024-22/part+1.warc.gz",
                                      "a b",
                                      "a+b",
                                      "a%20b",
                                      "%",
                                      "%2F%2f",
                                      "a//b",
                                      "/lead",
                                      "//",
                                      "trail/",
                                      "a/./b",
                                      "a/../b",
                                      "./a",
                                      "..",
                                      "../../x",
                                      "~user/-._~",
                                      "\303\274ber/\346\227\245\346\234\254.html",
                                      "\360\237\230\200",
                                      "?versionId=1&x=y#frag",
                                      "!*'()",
                                      "a&b=c;d:e@f,g$h",
                                      "\"<>\\^`{|}[]",
                                      "\001\t\177",
                                      "\377\376",
                                      "@",
                                      "a:b@c/d"};
    struct buf list = {0};
    char longest[1025];
    memset(longest, 'k', 1024);
    longest[1024] = 0;
    for (size_t i = 0; i < COUNT_OF(key); i++)
        add_key(&list, "bucket", key[i], 700);
    add_key(&list, "bucket", longest, 700);
    server_start(buf_cstr(&list));
    buf_free(&list);
    use_keys(KEY_ID, SECRET, NULL);
    char rule[128], host[64];
    snprintf(host, sizeof host, "http://s3.test:%d/", port);
    snprintf(rule, sizeof rule, "bucket.s3.test:%d:127.0.0.1", port);
    const char *resolve[] = {rule, NULL};
    struct fetch_conf by_host = quick;
    by_host.s3_style = "host";
    by_host.s3_endpoint = host;
    by_host.resolve = resolve;
    for (size_t i = 0; i < COUNT_OF(key); i++) {
        if (get(&quick, "bucket", key[i], 700) < 0 || get(&by_host, "bucket", key[i], 700) < 0)
            test_fail(__FILE__, __LINE__, "%s: %s", key[i], err_text());
    }
    CHECK_OK(get(&quick, "bucket", longest, 700));
    CHECK_INT(logged("2xx - GET"), COUNT_OF(key) * 2 + 1);
    CHECK_INT(logged("SignatureDoesNotMatch"), 0);
}

/* What a request is made of, without a server: hosts, styles, regions, the headers that are sent.
 */
static const char *prepared(const struct fetch_conf *conf, const char *url, char *out)
{
    struct transfer_request q = {.method = "GET", .range = ""};
    snprintf(q.url, sizeof q.url, "%s", url);
    if (scheme_s3.prepare(conf, &q) < 0)
        return err_text();
    snprintf(out, TRANSFER_URL_MAX, "%s", q.url);
    for (struct curl_slist *at = q.headers; at; at = at->next)
        CHECK(!strstr(at->data, SECRET));
    curl_slist_free_all(q.headers);
    return out;
}

TEST(crawl_s3_addresses)
{
    static const struct {
        const char *url, *region, *endpoint, *style, *want;
    } where[] = {
        {"s3://commoncrawl/a/b c", "", "", "auto",
         "https://commoncrawl.s3.us-east-1.amazonaws.com/a/b%20c"},
        {"S3://bucket-1/k", "eu-west-2", "", "auto",
         "https://bucket-1.s3.eu-west-2.amazonaws.com/k"},
        {"s3://bucket/k", "cn-north-1", "", "auto",
         "https://bucket.s3.cn-north-1.amazonaws.com.cn/k"},
        {"s3://with.dots/k", "", "", "auto", "https://s3.us-east-1.amazonaws.com/with.dots/k"},
        {"s3://Capital_x/k", "", "", "auto", "https://s3.us-east-1.amazonaws.com/Capital_x/k"},
        {"s3://ab/k", "", "", "auto", "https://s3.us-east-1.amazonaws.com/ab/k"},
        {"s3://abc-/k", "", "", "auto", "https://s3.us-east-1.amazonaws.com/abc-/k"},
        {"s3://bucket/k", "", "", "path", "https://s3.us-east-1.amazonaws.com/bucket/k"},
        {"s3://with.dots/k", "", "", "host", "https://with.dots.s3.us-east-1.amazonaws.com/k"},
        {"s3://bucket/k", "", "http://MinIO:9000", "auto", "http://minio:9000/bucket/k"},
        {"s3://bucket/k", "", "https://r2.example.org:443/", "auto",
         "https://r2.example.org/bucket/k"},
        {"s3://bucket/k", "", "http://[::1]:9000/a b/", "auto", "http://[::1]:9000/a%20b/bucket/k"},
        {"s3://bucket/k", "", "http://minio:9000", "host", "http://bucket.minio:9000/k"},
        {"s3://bucket/?x#y", "", "http://h", "auto", "http://h/bucket/%3Fx%23y"},
        {"s3://bucket//", "", "http://h", "auto", "http://h/bucket//"},
    };
    static const char *const bad[][2] = {
        {"s3://bucket", "no key"},      {"s3://bucket/", "no key"},
        {"s3:///k", "no bucket"},       {"s3://b\203d/k", "no bucket"},
        {"s3://a b/k", "no bucket"},    {"s3://.hidden/k", "no bucket"},
        {"s3://user@b/k", "no bucket"}, {"s3://b:80/k", "no bucket"}};
    char out[TRANSFER_URL_MAX];
    clean_environment();
    use_keys(KEY_ID, SECRET, TOKEN);
    for (size_t i = 0; i < COUNT_OF(where); i++) {
        struct fetch_conf conf = {.s3_region = where[i].region,
                                  .s3_endpoint = where[i].endpoint,
                                  .s3_style = where[i].style};
        CHECK_STR(str_of(prepared(&conf, where[i].url, out)), where[i].want);
    }
    struct fetch_conf conf = {0};
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        if (!strstr(prepared(&conf, bad[i][0], out), bad[i][1]))
            test_fail(__FILE__, __LINE__, "%s: %s", bad[i][0], prepared(&conf, bad[i][0], out));
    conf.s3_region = "evil.org/";
    CHECK(strstr(prepared(&conf, "s3://bucket/k", out), "is no region"));
    static const char *const no_endpoint[] = {"ftp://h", "h:9000", "http://u:p@h/", "http://h/?q"};
    for (size_t i = 0; i < COUNT_OF(no_endpoint); i++) {
        conf = (struct fetch_conf){.s3_endpoint = no_endpoint[i]};
        CHECK(strstr(prepared(&conf, "s3://bucket/k", out), "endpoint is no URL"));
        CHECK(!strstr(err_text(), "u:p"));
    }
    /* Option, then variables, then the profile. */
    conf = (struct fetch_conf){0};
    test_put("aws-config", STR("[default]\nregion = ap-south-1\n[profile far]\nregion=sa-east-1\n"
                               "endpoint_url = https://own.example.org\n"));
    CHECK(strstr(prepared(&conf, "s3://bucket/k", out), ".ap-south-1."));
    setenv("AWS_DEFAULT_REGION", "eu-north-1", 1);
    CHECK(strstr(prepared(&conf, "s3://bucket/k", out), ".eu-north-1."));
    setenv("AWS_REGION", "eu-south-1", 1);
    CHECK(strstr(prepared(&conf, "s3://bucket/k", out), ".eu-south-1."));
    conf.s3_region = "us-west-2";
    CHECK(strstr(prepared(&conf, "s3://bucket/k", out), ".us-west-2."));
    setenv("AWS_PROFILE", "far", 1);
    CHECK_STR(str_of(prepared(&conf, "s3://bucket/k", out)), "https://own.example.org/bucket/k");
    setenv("AWS_ENDPOINT_URL", "https://any.example.org", 1);
    CHECK_STR(str_of(prepared(&conf, "s3://bucket/k", out)), "https://any.example.org/bucket/k");
    setenv("AWS_ENDPOINT_URL_S3", "https://s3.example.org", 1);
    CHECK_STR(str_of(prepared(&conf, "s3://bucket/k", out)), "https://s3.example.org/bucket/k");
}

/* 301 by header, 307 by the endpoint's name, 400 by the region in the XML: each once. */
TEST(crawl_s3_regions)
{
    struct buf list = {0};
    static const char *const bucket[] = {"west301", "west307", "west400"};
    for (size_t i = 0; i < 3; i++)
        add_key(&list, bucket[i], "k", 10);
    server_start(buf_cstr(&list));
    buf_free(&list);
    use_keys(KEY_ID, SECRET, NULL);
    for (size_t i = 0; i < 3; i++) {
        CHECK_OK(get(&quick, bucket[i], "k", 10));
        CHECK_OK(get(&quick, bucket[i], "k", 10)); /* known now */
    }
    CHECK_INT(logged("PermanentRedirect"), 1);
    CHECK_INT(logged("TemporaryRedirect"), 1);
    CHECK_INT(logged("AuthorizationHeaderMalformed"), 1);
    CHECK_INT(logged("2xx"), 6);
    CHECK_ERR(get(&quick, "pingpong", "k", 10), ERR_IO);
    CHECK(strstr(err_text(), "eu-west-2") && strstr(err_text(), "s3_region"));
    CHECK_INT(logged("/pingpong/k"), 2);
    CHECK_ERR(get(&quick, "nowhere", "k", 10), ERR_IO);
    CHECK(!strstr(err_text(), "evil"));
    CHECK_INT(logged("/nowhere/k"), 1);
}

/* The server's clock is three hours ahead: learned from its Date, once. */
TEST(crawl_s3_clock)
{
    server_start("skewed 6b 10\n");
    use_keys(KEY_ID, SECRET, NULL);
    CHECK_OK(get(&quick, "skewed", "k", 10));
    CHECK_OK(get(&quick, "skewed", "k", 10));
    CHECK_INT(logged("RequestTimeTooSkewed"), 1);
    CHECK_INT(logged("2xx"), 2);
}

/* The same lessons from answers to HEAD, which have no body to tell them by. */
TEST(crawl_s3_heads)
{
    server_start("skewed 6b 10\nwest400 6b 20\nexpire 6b 30\nbucket 6b 40\n");
    use_keys(KEY_ID, SECRET, NULL);
    static const struct {
        const char *url;
        uint64_t bytes;
        int refused;
    } given[] = {{"s3://bucket/k", 40, 0}, {"s3://skewed/k", 10, 1}, {"s3://west400/k", 20, 1}};
    for (size_t i = 0; i < COUNT_OF(given); i++) {
        struct fetch_item item = {.url = given[i].url, .flags = FETCH_HEAD};
        CHECK_OK(fetch_all(&quick, &item, 1, NULL));
        CHECK_INT(item.bytes, given[i].bytes);
        CHECK_INT(item.tries, 1 + given[i].refused);
        s3_forget();
    }
    struct fetch_item absent = {.url = "s3://bucket/absent", .flags = FETCH_HEAD};
    CHECK_ERR(fetch_all(&quick, &absent, 1, NULL), ERR_IO);
    CHECK(strstr(err_text(), "404") && absent.tries == 1);
    /* 400 without a word: expired keys, which the file has anew by now. */
    unsetenv("AWS_ACCESS_KEY_ID");
    unsetenv("AWS_SECRET_ACCESS_KEY");
    test_put("aws-credentials", STR("[default]\naws_access_key_id = OLDKEY\n"
                                    "aws_secret_access_key = oldsecretoldsecret\n"
                                    "aws_session_token = " TOKEN "\n"));
    s3_forget();
    struct fetch_item head = {.url = "s3://expire/k", .flags = FETCH_HEAD};
    for (int i = 0; i < 3; i++)
        CHECK_OK(fetch_all(&quick, &head, 1, NULL));
    test_put("aws-credentials", STR("[default]\naws_access_key_id = NEWKEY\n"
                                    "aws_secret_access_key = newsecretnewsecret\n"
                                    "aws_session_token = " TOKEN "2\n"));
    CHECK_OK(fetch_all(&quick, &head, 1, NULL));
    CHECK_INT(head.tries, 2);
}

/* Temporary keys expire while files are fetched; another program renewed them in the file. */
TEST(crawl_s3_keys_expire)
{
    enum { MANY = 24 };
    struct buf list = {0};
    static char url[MANY][64], path[MANY][IO_PATH_MAX];
    struct fetch_item item[MANY];
    for (int i = 0; i < MANY; i++) {
        char key[16];
        snprintf(key, sizeof key, "k%d", i);
        add_key(&list, "expire", key, 5000);
        snprintf(url[i], sizeof url[i], "s3://expire/%s", key);
        snprintf(path[i], sizeof path[i], "%s/out/%d", test_dir(), i);
        item[i] = (struct fetch_item){.url = url[i], .path = path[i]};
    }
    server_start(buf_cstr(&list));
    buf_free(&list);
    test_put("aws-credentials", STR("[default]\naws_access_key_id = OLDKEY\n"
                                    "aws_secret_access_key = oldsecretoldsecret\n"
                                    "aws_session_token = " TOKEN "\n"));
    CHECK_OK(get(&quick, "expire", "k0", 5000));
    test_put("aws-credentials", STR("[default]\naws_access_key_id = NEWKEY\n"
                                    "aws_secret_access_key = newsecretnewsecret\n"
                                    "aws_session_token = " TOKEN "2\n"));
    CHECK_OK(fetch_all(&quick, item, MANY, NULL));
    CHECK(logged("ExpiredToken") >= 1 && logged("ExpiredToken") <= 8);
    CHECK_INT(logged("2xx"), MANY + 1);
    /* Nobody renewed them: one more look at the file, then the reason. */
    test_put("aws-credentials", STR("[default]\naws_access_key_id = OLDKEY\n"
                                    "aws_secret_access_key = oldsecretoldsecret\n"
                                    "aws_session_token = " TOKEN "\n"));
    s3_forget();
    CHECK_ERR(get(&quick, "expire", "k1", 5000), ERR_IO);
    CHECK(strstr(err_text(), "ExpiredToken") && strstr(err_text(), "renew the credentials"));
    CHECK(strstr(err_text(), "aws-credentials") && strstr(err_text(), "4442587FB7D0A2F9"));
    CHECK(!strstr(err_text(), "oldsecret") && !strstr(err_text(), "FwoG"));
}

/* Two URLs whose notes share a place (their XXH3-64 agree in the last 12 bits): what was learned by
 * one refusal is not lost on the other. Found by a run that failed once in some hundred. */
TEST(crawl_s3_notes_that_collide)
{
    static char url[2][64];
    uint64_t first = 0;
    clean_environment();
    test_put("aws-credentials", STR("[default]\naws_access_key_id = OLDKEY\n"
                                    "aws_secret_access_key = oldsecretoldsecret\n"));
    s3_forget();
    for (int i = 0; !url[1][0]; i++) {
        int side = i > 0;
        snprintf(url[side], sizeof url[side], "s3://bucket/k%d", i);
        uint64_t hash = hash_str(str_of(url[side]), 0);
        first = i ? first : hash;
        if (i && hash % 4096 != first % 4096)
            url[1][0] = 0;
    }
    struct transfer_request q[2];
    struct fetch_conf conf = {.s3_endpoint = "http://127.0.0.1:1"};
    struct transfer_refusal expired = {
        400, STR("HTTP/1.1 400 Bad Request\r\n\r\n"),
        STR("<Error><Code>ExpiredToken</Code><Message>expired</Message></Error>")};
    char reason[512];
    for (int i = 0; i < 2; i++) {
        q[i] = (struct transfer_request){.method = "GET", .range = ""};
        snprintf(q[i].url, sizeof q[i].url, "%s", url[i]);
        CHECK_OK(scheme_s3.prepare(&conf, &q[i]));
        curl_slist_free_all(q[i].headers);
    }
    test_put("aws-credentials", STR("[default]\naws_access_key_id = NEWKEY\n"
                                    "aws_secret_access_key = newsecretnewsecret\n"));
    for (int i = 1; i >= 0; i--)
        CHECK_INT(scheme_s3.judge(&conf, url[i], &expired, reason, sizeof reason), OUTCOME_RESTART);
    /* Signed with the new keys and refused again: final. */
    q[0] = (struct transfer_request){.method = "GET", .range = ""};
    snprintf(q[0].url, sizeof q[0].url, "%s", url[0]);
    CHECK_OK(scheme_s3.prepare(&conf, &q[0]));
    curl_slist_free_all(q[0].headers);
    CHECK_INT(scheme_s3.judge(&conf, url[0], &expired, reason, sizeof reason), OUTCOME_FAIL);
    CHECK(strstr(reason, "renew the credentials"));
}

static void *get_some(void *arg)
{
    char key[16];
    for (int i = 0; i < 6; i++) {
        snprintf(key, sizeof key, "k%d", *(const int *)arg * 6 + i);
        if (get(&quick, "expire", key, 500) < 0)
            return arg;
    }
    return NULL;
}

/* Several threads with one set of keys, which expire under way. */
TEST(crawl_s3_threads)
{
    enum { THREADS = 4 };
    pthread_t thread[THREADS];
    int number[THREADS];
    struct buf list = {0};
    for (int i = 0; i < THREADS * 6; i++) {
        char key[16];
        snprintf(key, sizeof key, "k%d", i);
        add_key(&list, "expire", key, 500);
    }
    server_start(buf_cstr(&list));
    buf_free(&list);
    test_put("aws-credentials", STR("[default]\naws_access_key_id = OLDKEY\n"
                                    "aws_secret_access_key = oldsecretoldsecret\n"
                                    "aws_session_token = " TOKEN "\n"));
    CHECK_OK(get(&quick, "expire", "k0", 500));
    test_put("aws-credentials", STR("[default]\naws_access_key_id = NEWKEY\n"
                                    "aws_secret_access_key = newsecretnewsecret\n"
                                    "aws_session_token = " TOKEN "2\n"));
    for (int i = 0; i < THREADS; i++) {
        number[i] = i;
        CHECK(pthread_create(&thread[i], NULL, get_some, &number[i]) == 0);
    }
    for (int i = 0; i < THREADS; i++) {
        void *failed;
        pthread_join(thread[i], &failed);
        CHECK(!failed);
    }
    CHECK_INT(logged("2xx"), THREADS * 6 + 1);
}

TEST(crawl_s3_refusals)
{
    struct buf list = {0};
    add_key(&list, "slow", "k", 10);
    add_key(&list, "payer", "k", 10);
    add_key(&list, "anonymous", "k", 10);
    add_key(&list, "bucket", "k", 10);
    server_start(buf_cstr(&list));
    buf_free(&list);
    use_keys(KEY_ID, SECRET, NULL);
    CHECK_OK(get(&quick, "slow", "k", 10));
    CHECK_INT(logged("SlowDown"), 2);
    CHECK_ERR(get(&quick, "bucket", "absent", 10), ERR_IO);
    CHECK(strstr(err_text(), "NoSuchKey: The specified key does not exist. (request 4442587FB"));
    CHECK_INT(logged("/bucket/absent"), 1);
    CHECK_ERR(get(&quick, "html", "k", 10), ERR_AGAIN);
    CHECK(strstr(err_text(), "the server answered 500 (request"));
    CHECK_INT(logged("/html/k"), 5); /* 500: tried again */
    CHECK_ERR(get(&quick, "payer", "k", 10), ERR_IO);
    struct fetch_conf conf = quick;
    conf.s3_requester_pays = true;
    CHECK_OK(get(&conf, "payer", "k", 10));
    conf = quick;
    conf.s3_anonymous = true;
    CHECK_OK(get(&conf, "anonymous", "k", 10));
    CHECK_ERR(get(&conf, "bucket", "k", 10), ERR_IO);
    CHECK(strstr(err_text(), "s3_anonymous"));
    /* A server that sends back all that we sent: shown without what is ours. */
    use_keys(KEY_ID, SECRET, TOKEN);
    CHECK_ERR(get(&quick, "denied", "k", 10), ERR_IO);
    CHECK(strstr(err_text(), "AccessDenied") && !strstr(err_text(), "FwoG"));
    CHECK(!strstr(err_text(), KEY_ID) && !strstr(err_text(), SECRET));
    CHECK_INT(logged("/denied/k"), 1); /* 403 of S3 is final */
    use_keys(KEY_ID, "wrong", NULL);
    CHECK_ERR(get(&quick, "bucket", "k", 10), ERR_IO);
    CHECK(strstr(err_text(), "SignatureDoesNotMatch") && strstr(err_text(), "the environment"));
    use_keys("NOBODY", SECRET, NULL);
    CHECK_ERR(get(&quick, "bucket", "k", 10), ERR_IO);
    CHECK(strstr(err_text(), "InvalidAccessKeyId"));
}

/* A line that breaks is taken up by a signed range; a file that changed meanwhile starts anew. */
TEST(crawl_s3_resumes)
{
    server_start(
        "cut 6b6579 100000\netag 6b6579 100000\nblind 6b6579 100000\nbucket 6b6579 100000\n");
    use_keys(KEY_ID, SECRET, TOKEN "x");
    static const char *const bucket[] = {"cut", "etag", "blind"}; /* blind to If-Range */
    test_put("credentials", STR(KEY_ID " " SECRET " " TOKEN "x\n"));
    for (int i = 0; i < 3; i++) {
        char url[64], *got;
        size_t len;
        snprintf(url, sizeof url, "s3://%s/key", bucket[i]);
        struct fetch_item item = {.url = url, .path = test_path(bucket[i])};
        CHECK_OK(fetch_all(&quick, &item, 1, NULL));
        CHECK_OK(io_read_file(item.path, 1 << 20, &got, &len));
        if (i >= 1)
            for (size_t k = 0; k < len / 2; k++) {
                char kept = got[k];
                got[k] = got[len - 1 - k];
                got[len - 1 - k] = kept;
            }
        CHECK(is_content((struct str){got, len}, STR("key"), 100000));
        CHECK_INT(item.tries, i == 2 ? 3 : 2);
        free(got);
    }
    struct buf memory = {.max = 1000};
    struct fetch_item part = {
        .url = "s3://bucket/key", .memory = &memory, .offset = 99500, .length = 500};
    CHECK_OK(fetch_all(&quick, &part, 1, NULL));
    CHECK(memory.len == 500 &&
          (unsigned char)memory.ptr[0] == (unsigned char)("key"[99500 % 3] + 99500 / 256));
    buf_free(&memory);
}

TEST(crawl_s3_lists)
{
    static const char *const key[] = {"a/1",    "a/10 +%", "a/2<&>\"", "a/\303\274",
                                      "a/sub/", "a/sub/x", "a/z",      "b/1"};
    struct buf list = {0};
    static const char *const bucket[] = {"list", "listraw", "listloop"};
    for (size_t b = 0; b < 3; b++)
        for (size_t i = 0; i < COUNT_OF(key); i++)
            add_key(&list, bucket[b], key[i], strcmp(key[i], "a/sub/") == 0 ? 0 : 100 + (int)i);
    server_start(buf_cstr(&list));
    buf_free(&list);
    use_keys(KEY_ID, SECRET, NULL);
    struct arena a;
    struct s3_object *object;
    size_t count;
    CHECK_OK(arena_open(&a, 1 << 20));
    for (size_t b = 0; b < 2; b++) {
        static const int want[] = {0, 1, 2, 5, 6, 3}; /* in byte order, no folder */
        char prefix[64], url[128];
        snprintf(prefix, sizeof prefix, "s3://%s/a/", bucket[b]);
        CHECK_OK(s3_list(&quick, prefix, &a, &object, &count));
        CHECK_INT(count, COUNT_OF(want));
        for (size_t i = 0; i < count; i++) {
            snprintf(url, sizeof url, "s3://%s/%s", bucket[b], key[want[i]]);
            CHECK_STR(str_of(object[i].url), url);
            CHECK_INT(object[i].bytes, 100 + want[i]);
            CHECK_OK(get(&quick, bucket[b], key[want[i]], (size_t)(100 + want[i])));
        }
    }
    CHECK_OK(s3_list(&quick, "s3://list/", &a, &object, &count));
    CHECK_INT(count, COUNT_OF(key) - 1);
    CHECK_OK(s3_list(&quick, "s3://list", &a, &object, &count));
    CHECK_INT(count, COUNT_OF(key) - 1);
    CHECK_OK(s3_list(&quick, "s3://list/none", &a, &object, &count));
    CHECK_INT(count, 0);
    CHECK_ERR(s3_list(&quick, "s3://listloop/", &a, &object, &count), ERR_FORMAT);
    CHECK(strstr(err_text(), "does not say where"));
    CHECK_ERR(s3_list(&quick, "s3://html/", &a, &object, &count), ERR_AGAIN);
    CHECK(strstr(err_text(), "listing s3://html/: the server answered 500"));
    CHECK_ERR(s3_list(&quick, "https://list/", &a, &object, &count), ERR_USAGE);
    arena_close(&a);
}

/* ---- URLs as inputs ---- */
/* Where a URL lands: nothing leaves the cache, no two URLs meet. */
TEST(crawl_remote_names)
{
    static const char *const given[][2] = {
        {"s3://bucket/a/b.gz", "remote/s3/bucket/a/b.gz"},
        {"S3://bucket/a b+%", "remote/s3/bucket/a%20b%2B%25"},
        {"s3://bucket/../../x", "remote/s3/bucket/%2E%2E/%2E%2E/x"},
        {"s3://bucket/a//b/", "remote/s3/bucket/a/%/b/%"},
        {"s3://bucket/./...", "remote/s3/bucket/%2E/%2E%2E%2E"},
        {"https://h.example.org:8080/x?y=1#z", "remote/https/h.example.org%3A8080/x%3Fy%3D1%23z"},
        {"http://h/\303\274", "remote/http/h/%C3%BC"}};
    struct buf name = {0}, other = {0};
    for (size_t i = 0; i < COUNT_OF(given); i++) {
        buf_clear(&name);
        remote_name(&name, given[i][0]);
        CHECK_STR(buf_view(&name), given[i][1]);
    }
    char large[2][2000];
    for (int i = 0; i < 2; i++) {
        memset(large[i], 'k', sizeof large[i]);
        memcpy(large[i], "s3://bucket/", 12);
        large[i][1998] = (char)('a' + i);
        large[i][1999] = 0;
    }
    buf_clear(&name);
    remote_name(&name, large[0]);
    remote_name(&other, large[1]);
    CHECK(name.len < 300 && !str_eq(buf_view(&name), buf_view(&other)));
    CHECK(remote_is_url("HTTPS://x/") && remote_is_url("s3://b") && !remote_is_url("a/b") &&
          !remote_is_url("file:///x") && !remote_is_url("ftp://x"));
    buf_free(&name);
    buf_free(&other);
}

TEST(crawl_remote_prefixes)
{
    static const char *const key[] = {"a/1.gz", "a/2.txt", "a/sub/", "a/sub/3.gz", "b/4.gz"};
    struct buf list = {0};
    for (size_t i = 0; i < COUNT_OF(key); i++)
        add_key(&list, "list", key[i], strcmp(key[i], "a/sub/") == 0 ? 0 : 100);
    server_start(buf_cstr(&list));
    buf_free(&list);
    use_keys(KEY_ID, SECRET, NULL);
    static const struct {
        const char *url, *want;
    } given[] = {{"s3://list/a/", "a/1.gz a/2.txt a/sub/3.gz "},
                 {"s3://list/a/*.txt", "a/2.txt "},
                 {"s3://list/*.gz", "a/1.gz a/sub/3.gz b/4.gz "},
                 {"s3://list/a/?.gz", "a/1.gz "},
                 {"s3://list/a/2.txt", "a/2.txt "},
                 {"s3://list", "a/1.gz a/2.txt a/sub/3.gz b/4.gz "}};
    struct crawl_conf conf = {.fetch = quick};
    char cache[IO_PATH_MAX];
    struct arena a;
    struct crawl_file *file;
    size_t count;
    snprintf(cache, sizeof cache, "%s/cache", test_dir());
    conf.cache = cache;
    CHECK_OK(arena_open(&a, 1 << 20));
    for (size_t i = 0; i < COUNT_OF(given); i++) {
        struct buf got = {0};
        CHECK_OK(remote_files(&conf, given[i].url, &a, &file, &count));
        for (size_t k = 0; k < count; k++) {
            CHECK(str_starts(str_of(file[k].url), "s3://list/"));
            CHECK(str_starts(str_of(file[k].name), "remote/s3/list/"));
            buf_printf(&got, "%s ", file[k].url + 10);
        }
        CHECK_STR(buf_view(&got), given[i].want);
        buf_free(&got);
    }
    CHECK_ERR(remote_files(&conf, "s3://list/none/", &a, &file, &count), ERR_USAGE);
    CHECK(strstr(err_text(), "nothing lies at"));
    arena_close(&a);
}

/* ---- XML ---- */
TEST(crawl_s3_xml_elements)
{
    struct str text = STR("<?xml?><A x='1'><Name>one</Name><Names>no</Names><Name/>"
                          "<Name >t&amp;wo</Name ><Empty></Empty><Open>");
    struct str rest = text, content;
    CHECK(xml_next(&rest, "Name", &content));
    CHECK_STR(content, "one");
    CHECK(xml_next(&rest, "Name", &content));
    CHECK_STR(content, "");
    CHECK(xml_next(&rest, "Name", &content));
    CHECK_STR(content, "t&amp;wo");
    CHECK(!xml_next(&rest, "Name", &content));
    CHECK_STR(rest, "<Empty></Empty><Open>");
    CHECK_STR(xml_find(text, "Empty"), "");
    CHECK(!xml_find(text, "Open").ptr && !xml_find(text, "Nam").ptr && !xml_find(text, "A").ptr);
    static const char *const pair[][2] = {{"a&amp;b&lt;c&gt;&quot;&apos;", "a&b<c>\"'"},
                                          {"&#65;&#x42;&#X43;", "ABC"},
                                          {"&#xFC;&#128512;", "\303\274\360\237\230\200"},
                                          {"&", "&"},
                                          {"&amp", "&amp"},
                                          {"&#;&#x;&#0;&#xD800;&#x110000;&#99999999999999;",
                                           "&#;&#x;&#0;\357\277\275&#x110000;"
                                           "&#99999999999999;"},
                                          {"&unknown;&amp;amp;", "&unknown;&amp;"},
                                          {"", ""}};
    for (size_t i = 0; i < COUNT_OF(pair); i++) {
        struct buf out = {0};
        xml_text(&out, str_of(pair[i][0]));
        CHECK_STR(buf_view(&out), pair[i][1]);
        buf_free(&out);
    }
    struct buf large = {0}; /* linear: a megabyte of openings */
    for (int i = 0; i < 1 << 18; i++)
        buf_text(&large, "<Key");
    CHECK(!xml_find(buf_view(&large), "Key").ptr);
    buf_free(&large);
}

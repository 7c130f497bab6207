/* test_crawl_s3_credentials - where AWS keys come from: variables, files, agents, the machine. */
#include "tests/s3_env.h"

#include "crawl/s3_credentials.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static int load(struct s3_keys *keys, const char *from, const char *profile)
{
    int rc = s3_keys_load(keys, from, profile);
    CHECK(!strstr(err_text(), "ecret1"));
    return rc;
}

TEST(crawl_s3_credentials_chain)
{
    clean_environment();
    struct s3_keys *k = s3_keys_new();
    CHECK(k);
    CHECK_ERR(load(k, NULL, NULL), ERR_USAGE);
    CHECK(strstr(err_text(), "AWS_ACCESS_KEY_ID") && strstr(err_text(), "s3_anonymous"));
    test_put("aws-credentials",
             STR("# a comment\r\n[default]\r\n  aws_access_key_id = AKID1\r\n"
                 "aws_access_key_id = AKID2 \r\nAWS_SECRET_ACCESS_KEY=Secret1/+=\r\n"
                 "[ other ]\naws_access_key_id=AKID3\naws_secret_access_key = Secret13\n"
                 "aws_session_token = tok=en\n[half]\naws_access_key_id=AKID4\n"
                 "[blank]\naws_access_key_id=A B\naws_secret_access_key=Secret1\n"
                 "[role]\nrole_arn = arn:aws:iam::1:role/x\nsource_profile = default\n"
                 "[process]\ncredential_process = /bin/keys\n"));
    test_put("aws-config",
             STR("[profile conf]\naws_access_key_id = AKID5\naws_secret_access_key=Secret15\n"
                 "s3 =\n  aws_access_key_id = NESTED\n[profile sso]\nsso_session = x\n"
                 "[other]\naws_access_key_id=WRONG\n[profile process]\n"
                 "aws_access_key_id = AKID6\naws_secret_access_key=Secret16\n"
                 "[profile late]\nregion = eu-west-1\n"
                 "[profile late]\nregion = eu-west-3\n"));
    CHECK_OK(load(k, NULL, NULL));
    CHECK_STR(str_of(k->id), "AKID2"); /* the indented line is no setting of the profile */
    CHECK_STR(str_of(k->secret), "Secret1/+=");
    CHECK(!k->token[0] && strstr(k->origin, "aws-credentials"));
    CHECK_OK(load(k, "auto", "other"));
    CHECK_STR(str_of(k->token), "tok=en");
    CHECK_OK(load(k, "file", "conf"));
    CHECK_STR(str_of(k->id), "AKID5");
    CHECK_ERR(load(k, NULL, "half"), ERR_USAGE);
    CHECK(strstr(err_text(), "only one of"));
    CHECK_ERR(load(k, NULL, "blank"), ERR_USAGE);
    CHECK(strstr(err_text(), "place 2"));
    CHECK_ERR(load(k, NULL, "sso"), ERR_USAGE);
    CHECK(strstr(err_text(), "sso_session") && strstr(err_text(), "export-credentials"));
    CHECK_ERR(load(k, NULL, "role"), ERR_USAGE); /* it stands in the other file, as it may */
    CHECK(strstr(err_text(), "role_arn") && strstr(err_text(), "aws-credentials"));
    CHECK(strstr(err_text(), "export-credentials") && !strstr(err_text(), "iam::1"));
    CHECK_OK(load(k, NULL, "process")); /* keys of the config file come before */
    CHECK_STR(str_of(k->id), "AKID6");
    CHECK_ERR(load(k, NULL, "nobody"), ERR_USAGE);
    CHECK(strstr(err_text(), "no profile nobody"));
    setenv("AWS_WEB_IDENTITY_TOKEN_FILE", "/var/run/token", 1);
    CHECK_ERR(load(k, NULL, "late"), ERR_USAGE);
    CHECK(strstr(err_text(), "AWS_WEB_IDENTITY_TOKEN_FILE") &&
          strstr(err_text(), "export-credentials"));
    unsetenv("AWS_WEB_IDENTITY_TOKEN_FILE");
    CHECK_ERR(load(k, NULL, "late"), ERR_USAGE);
    CHECK(strstr(err_text(), "no AWS credentials"));
    setenv("AWS_PROFILE", "conf", 1);
    CHECK_OK(load(k, NULL, NULL));
    CHECK_STR(str_of(k->id), "AKID5");
    setenv("AWS_ACCESS_KEY_ID", "AKIDENV", 1);
    CHECK_ERR(load(k, NULL, NULL), ERR_USAGE);
    setenv("AWS_SECRET_ACCESS_KEY", "Secret1env", 1);
    CHECK_OK(load(k, NULL, NULL));
    CHECK_STR(str_of(k->id), "AKIDENV");
    CHECK_OK(load(k, NULL, "other")); /* named by the user: stronger than the environment */
    CHECK_STR(str_of(k->id), "AKID3");
    CHECK_OK(load(k, "file", NULL));
    CHECK_STR(str_of(k->id), "AKID5");
    char region[32];
    CHECK(s3_setting("late", "region", region, sizeof region) && strcmp(region, "eu-west-3") == 0);
    CHECK(!s3_setting("late", "endpoint_url", region, sizeof region));
    CHECK(!s3_setting("late", "region", region, 9));
    s3_keys_free(k);
}

/* Any bytes as a credentials file: an error or keys, never more. */
TEST(crawl_s3_credentials_hostile_files)
{
    clean_environment();
    struct s3_keys *k = s3_keys_new();
    uint64_t seed = 7;
    static const char piece[] =
        "[default]\naws_access_key_id=A\naws_secret_access_key = B\n]=[ \t;#\r";
    for (int round = 0; round < 100; round++) {
        FILE *f = fopen(test_path("aws-credentials"), "wb");
        CHECK(f);
        for (uint64_t i = test_random(&seed) % 40; i > 0; i--) {
            size_t at = test_random(&seed) % (sizeof piece - 1);
            fwrite(piece + at, 1, test_random(&seed) % (sizeof piece - at), f);
            if (test_random(&seed) % 8 == 0)
                fputc((int)(test_random(&seed) % 256), f);
        }
        CHECK(fclose(f) == 0);
        CHECK(s3_keys_load(k, "file", NULL) <= 0);
    }
    FILE *f = fopen(test_path("aws-credentials"), "wb");
    CHECK(f && ftruncate(fileno(f), (1 << 20) + 1) == 0 && fclose(f) == 0);
    CHECK_ERR(s3_keys_load(k, "file", NULL), ERR_USAGE);
    CHECK(unlink(test_path("aws-credentials")) == 0 &&
          mkdir(test_path("aws-credentials"), 0700) == 0);
    CHECK_ERR(s3_keys_load(k, "file", NULL), ERR_USAGE);
    s3_keys_free(k);
}

/* VmFlags "dd" of the mapping that holds an address: it is left out of core dumps. */
static bool is_not_dumped(const void *address)
{
    char line[512];
    bool inside = false, found = false;
    FILE *f = fopen("/proc/self/smaps", "r");
    if (!f)
        test_skip("no /proc/self/smaps here");
    while (fgets(line, sizeof line, f)) {
        unsigned long start, end;
        if (sscanf(line, "%lx-%lx ", &start, &end) == 2)
            inside = (uintptr_t)address >= start && (uintptr_t)address < end;
        else if (inside && strncmp(line, "VmFlags:", 8) == 0)
            found = strstr(line, " dd") != NULL;
    }
    fclose(f);
    return found;
}

TEST(crawl_s3_secrets_are_not_dumped)
{
    clean_environment();
    int local = 0;
    CHECK(!is_not_dumped(&local)); /* the check can fail */
    struct s3_keys *k = s3_keys_new();
    setenv("AWS_ACCESS_KEY_ID", "AKID", 1);
    setenv("AWS_SECRET_ACCESS_KEY", "Secret1", 1);
    CHECK_OK(load(k, "env", NULL));
    CHECK(is_not_dumped(k) && is_not_dumped((char *)k + sizeof *k - 1));
    CHECK(is_not_dumped(getenv("AWS_SECRET_ACCESS_KEY")));
    s3_keys_free(k);
}

/* ---- the machine's own keys ---- */
static void serve_once(int fd, const char *const (*say)[2], size_t count)
{
    for (size_t i = 0; i < count; i++) {
        char request[4096] = "";
        size_t len = 0;
        int to = accept(fd, NULL, NULL);
        while (to >= 0 && len < sizeof request - 1 && !strstr(request, "\r\n\r\n")) {
            ssize_t got = read(to, request + len, sizeof request - 1 - len);
            if (got <= 0)
                break;
            request[len += (size_t)got] = 0;
        }
        char answer[4096];
        bool good = strstr(request, say[i][0]) != NULL;
        int n = snprintf(answer, sizeof answer,
                         "HTTP/1.1 %s\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n%s",
                         good ? "200 OK" : "400 Bad", good ? strlen(say[i][1]) : 0,
                         good ? say[i][1] : "");
        if (write(to, answer, (size_t)n) != n)
            _exit(1);
        close(to);
    }
    _exit(0);
}

static pid_t machine_start(const char *const (*say)[2], size_t count, char *url, size_t room)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;
    CHECK(fd >= 0 && bind(fd, (struct sockaddr *)&at, len) == 0 && listen(fd, 4) == 0);
    CHECK(getsockname(fd, (struct sockaddr *)&at, &len) == 0);
    snprintf(url, room, "http://127.0.0.1:%d", ntohs(at.sin_port));
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0)
        serve_once(fd, say, count);
    close(fd);
    return pid;
}

#define ANSWER                                                                                     \
    "{\"AccessKeyId\":\"ASIA1\",\"SecretAccessKey\":\"Secret1\",\"Token\":\"T1\","                 \
    "\"Expiration\":\"2026-11-23T18:00:00Z\"}"
TEST(crawl_s3_credentials_of_the_machine)
{
    static const char *const instance[][2] = {
        {"PUT /latest/api/token HTTP/1.1\r\n", "session-token\n"},
        {"GET /latest/meta-data/iam/security-credentials/ HTTP", "my-role\n"},
        {"X-aws-ec2-metadata-token: session-token\r\n", ANSWER}};
    static const char *const bad_role[][2] = {{"PUT /latest/api/token", "t"},
                                              {"GET /latest/meta-data", "../../user-data"}};
    static const char *const container[][2] = {{"Authorization: Basic abc\r\n", ANSWER}};
    static const char *const no_json[][2] = {{"GET /creds HTTP", "<html>Secret1"}};
    char url[128], full[160];
    clean_environment();
    struct s3_keys *k = s3_keys_new();
    machine_start(instance, 3, url, sizeof url);
    setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", url, 1);
    CHECK_OK(load(k, "instance", NULL));
    CHECK(strcmp(k->id, "ASIA1") == 0 && strcmp(k->token, "T1") == 0);
    CHECK_INT(k->expires, 1795456800); /* date -d 2026-11-23T18:00:00Z +%s */
    machine_start(bad_role, 2, url, sizeof url);
    setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", url, 1);
    CHECK_ERR(load(k, "instance", NULL), ERR_FORMAT);
    CHECK(strstr(err_text(), "names no role"));
    setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", "Basic abc", 1);
    machine_start(container, 1, url, sizeof url);
    snprintf(full, sizeof full, "%s/creds", url);
    setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", full, 1);
    CHECK_OK(load(k, NULL, NULL)); /* the variable is set: that is asking for it */
    CHECK(strcmp(k->id, "ASIA1") == 0 && strstr(k->origin, "container"));
    machine_start(no_json, 1, url, sizeof url);
    snprintf(full, sizeof full, "%s/creds", url);
    setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", full, 1);
    CHECK_ERR(load(k, "container", NULL), ERR_FORMAT);
    setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://example.org/creds", 1);
    CHECK_ERR(load(k, "container", NULL), ERR_USAGE);
    CHECK(strstr(err_text(), "use https"));
    s3_keys_free(k);
}

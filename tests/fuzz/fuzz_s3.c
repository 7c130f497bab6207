/* fuzz_s3 - any bytes as an answer of S3, as a credentials file, and as something to sign. */
#include "core/err.h"
#include "crawl/s3_credentials.h"
#include "crawl/s3_sign.h"
#include "crawl/s3_xml.h"
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>

static void check_xml(struct str text)
{
    static const char *const names[] = {"Contents", "Key", "Code",
                                        "Message",  "a",   "NextContinuationToken"};
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        struct str left = text, content;
        size_t found = 0;
        while (xml_next(&left, names[i], &content)) {
            struct buf plain = {0};
            if (content.ptr < text.ptr || content.ptr + content.len > left.ptr)
                abort();
            xml_text(&plain, content);
            if (plain.failed || plain.len > content.len)
                abort();
            buf_free(&plain);
            if (++found > text.len)
                abort();
        }
        content = xml_find(text, names[i]);
        if ((found > 0) != (content.ptr != NULL))
            abort();
    }
}

static void check_credentials(struct str text)
{
    char value[256];
    struct s3_keys *keys = s3_keys_new();
    const char *path = fuzz_file((const uint8_t *)text.ptr, text.len);
    if (!keys)
        return;
    setenv("AWS_SHARED_CREDENTIALS_FILE", path, 1);
    setenv("AWS_CONFIG_FILE", path, 1);
    if (s3_keys_load(keys, "file", "default") < 0)
        err_clear();
    else if (!keys->id[0] || !keys->secret[0] || strlen(keys->token) >= S3_TOKEN_MAX)
        abort();
    if (s3_setting("default", "region", value, sizeof value) && strlen(value) >= sizeof value)
        abort();
    s3_keys_free(keys);
}

static void check_signature(struct str text)
{
    struct sign_pair query[4], header = {STR("host"), STR("a.example")};
    struct sign_request request = {.method = "GET",
                                   .path = text,
                                   .query = query,
                                   .header = &header,
                                   .header_count = 1,
                                   .payload = SIGN_EMPTY};
    struct sign_scope scope = {"20150830T123600Z", "us-east-1", "s3"};
    struct str rest = text;
    struct buf one = {0}, two = {0};
    while (rest.ptr && request.query_count < COUNT_OF(query)) {
        struct str name = str_cut(rest, '\n', &rest);
        query[request.query_count++] = (struct sign_pair){str_slice(name, 0, name.len / 2), name};
    }
    sign_encode(&one, text, true);
    if (one.len < text.len || one.len > 3 * text.len)
        abort();
    buf_clear(&one);
    int rc = sign_authorize(&one, &request, &scope, STR("AKID"), STR("secret"));
    if (rc != sign_authorize(&two, &request, &scope, STR("AKID"), STR("secret")) ||
        !str_eq(buf_view(&one), buf_view(&two)))
        abort();
    if (rc < 0)
        err_clear();
    else if (str_find(buf_view(&one), STR("secret")) != SIZE_MAX)
        abort();
    buf_free(&one);
    buf_free(&two);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str text = {(const char *)data, size};
    check_xml(text);
    check_signature(text);
    check_credentials(text);
    return 0;
}

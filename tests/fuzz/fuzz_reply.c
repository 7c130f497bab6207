/* fuzz_reply - any bytes as the headers of an answer and as a URL: bounded, and nothing that could
 * end a header line of our own. */
#include "crawl/reply.h"
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>

static void check_value(const char *value, size_t room)
{
    size_t len = strnlen(value, room);
    if (len == room || memchr(value, '\n', len) || memchr(value, '\r', len))
        abort();
}

static void hear(const uint8_t *data, size_t size)
{
    struct reply r = {0};
    struct str rest = {(const char *)data, size};
    bool good = true;
    reply_clear(&r);
    while (rest.len && good) {
        size_t end = str_find_char(rest, '\n');
        end = end == SIZE_MAX ? rest.len : end + 1;
        good = reply_line(&r, str_slice(rest, 0, end), 784111777);
        rest = str_slice(rest, end, rest.len);
    }
    check_value(r.said.etag, sizeof r.said.etag);
    check_value(r.said.modified, sizeof r.said.modified);
    check_value(r.encoding, sizeof r.encoding);
    if (good != (r.reason[0] == 0) || r.header.len > REPLY_BYTES_MAX)
        abort();
    if (good && r.length != UINT64_MAX && r.length > INT64_MAX)
        abort();
    if (r.retry_after_ms > REPLY_RETRY_AFTER_MAX_S * 1000)
        abort();
    reply_free(&r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char shown[IO_PATH_MAX];
    hear(data, size);
    char *url = malloc(size + 1);
    if (!url)
        return 0;
    memcpy(url, data, size);
    url[size] = 0;
    if (strlen(fetch_url_shown(url, shown)) >= IO_PATH_MAX)
        abort();
    free(url);
    return 0;
}

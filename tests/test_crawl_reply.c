/* test_crawl_reply - the headers of an answer: what is read, what is not believed, what is bounded.
 */
#include "tests/test.h"

#include "crawl/reply.h"

/* Hands over a header line by line, as libcurl does; false: it was refused on the way. */
static bool hear(struct reply *r, const char *text, time_t now)
{
    struct str rest = str_of(text);
    reply_clear(r);
    while (rest.len) {
        size_t end = str_find_char(rest, '\n');
        end = end == SIZE_MAX ? rest.len : end + 1;
        if (!reply_line(r, str_slice(rest, 0, end), now))
            return false;
        rest = str_slice(rest, end, rest.len);
    }
    return true;
}

TEST(crawl_reply_fields)
{
    struct reply r = {0};
    CHECK(hear(&r,
               "HTTP/1.1 206 Partial\r\nETag:  \"a b\" \r\nlast-modified: yesterday\r\n"
               "CONTENT-LENGTH: 90\r\nContent-Range: bytes 10-99/100\r\n"
               "Content-Encoding: gzip\r\nTransfer-Encoding: Chunked\r\n\r\n",
               0));
    CHECK(strcmp(r.said.etag, "\"a b\"") == 0 && strcmp(r.said.modified, "yesterday") == 0);
    CHECK(r.length == 90 && r.range_start == 10 && r.range_end == 99 && r.range_total == 100);
    CHECK(strcmp(r.encoding, "gzip") == 0 && r.chunked && r.redirects == 0);
    CHECK(str_starts(buf_view(&r.header), "HTTP/1.1 206") &&
          str_ends(buf_view(&r.header), "\r\n\r\n"));
    /* What another response said before is void. */
    CHECK(hear(&r,
               "HTTP/1.1 302 Found\r\nContent-Length: 5\r\nETag: \"x\"\r\nRetry-After: 9\r\n\r\n"
               "HTTP/1.1 200 OK\r\nContent-Range: bytes */7\r\n\r\n",
               0));
    CHECK(r.length == UINT64_MAX && r.said.etag[0] == 0 && r.retry_after_ms == 0);
    CHECK(r.redirects == 1 && r.range_total == 7 && r.range_start == UINT64_MAX);
    reply_free(&r);
}

/* RFC 9110 8.6: a length is digits alone, and said once, or the same each time. */
TEST(crawl_reply_lengths)
{
    static const struct {
        const char *value;
        bool good;
    } way[] = {
        {"0", true},
        {"9223372036854775807", true},
        {"9223372036854775808", false},
        {"18446744073709551616", false},
        {"-5", false},
        {"+5", false},
        {"5 5", false},
        {"5, 5", false},
        {"0x5", false},
        {"", false},
        {"5.0", false},
        {"five", false},
        {"5\r\nContent-Length: 5", true},
        {"5\r\nContent-Length: 6", false},
    };
    struct reply r = {0};
    for (size_t i = 0; i < COUNT_OF(way); i++) {
        char text[256];
        snprintf(text, sizeof text, "HTTP/1.1 200 OK\r\nContent-Length: %s\r\n", way[i].value);
        if (hear(&r, text, 0) != way[i].good)
            test_fail(__FILE__, __LINE__, "\"%s\"", way[i].value);
        CHECK(way[i].good || strstr(r.reason, "Content-Length"));
    }
    reply_free(&r);
}

/* RFC 9110 10.2.3: seconds or a date; an hour at most, and nothing for what is neither. */
TEST(crawl_reply_retry_after)
{
    const time_t now = 784111777; /* Sun, 06 Nov 1994 08:49:37 GMT, the RFC's own date */
    static const struct {
        const char *value;
        uint64_t seconds;
    } way[] = {
        {"0", 0},
        {"1", 1},
        {"3600", 3600},
        {"3601", 3600},
        {"31536000", 3600},
        {"99999999999999999999999", 3600},
        {"Sun, 06 Nov 1994 08:50:07 GMT", 30},
        {"Sunday, 06-Nov-94 08:50:07 GMT", 30},
        {"Sun Nov  6 08:50:07 1994", 30},
        {"Sun, 06 Nov 1994 08:49:07 GMT", 0},
        {"Mon, 07 Nov 1994 08:49:37 GMT", 3600},
        {"-5", 0},
        {"soon", 0},
        {"", 0},
        {"1.5", 0},
    };
    struct reply r = {0};
    for (size_t i = 0; i < COUNT_OF(way); i++) {
        char text[256];
        snprintf(text, sizeof text, "HTTP/1.1 503 Busy\r\nRetry-After: %s\r\n", way[i].value);
        CHECK(hear(&r, text, now));
        if (r.retry_after_ms != way[i].seconds * 1000)
            test_fail(__FILE__, __LINE__, "\"%s\": %llu ms", way[i].value,
                      (unsigned long long)r.retry_after_ms);
    }
    reply_free(&r);
}

TEST(crawl_reply_bounds)
{
    struct reply r = {0};
    char line[1000];
    int lines = 0;
    memset(line, 'x', sizeof line);
    memcpy(line, "ETag: ", 6);
    reply_clear(&r);
    while (reply_line(&r, (struct str){line, sizeof line}, 0))
        lines++;
    CHECK_INT(lines, REPLY_BYTES_MAX / 1000);
    CHECK(r.header.len <= REPLY_BYTES_MAX && strstr(r.reason, "headers of more"));
    CHECK(r.said.etag[0] == 0); /* too long to be compared */
    /* A value that would end our own header lines is none. */
    CHECK(hear(&r, "HTTP/1.1 200 OK\r\n", 0));
    static const char evil[] = "ETag: \"a\r\nX-Evil: 1";
    CHECK(reply_line(&r, (struct str){evil, sizeof evil - 1}, 0));
    CHECK(r.said.etag[0] == 0);
    reply_free(&r);
}

/* reply - reads the headers of answers, of which every number may be a lie. */
#include "crawl/reply.h"

#include "crawl/libcurl.h"

#include <ctype.h>
#include <stdio.h>

static void copy_header(char *to, size_t room, struct str value)
{
    to[0] = 0;
    if (value.len < room && !memchr(value.ptr, '\r', value.len) &&
        !memchr(value.ptr, 0, value.len) && !memchr(value.ptr, '\n', value.len)) {
        memcpy(to, value.ptr, value.len);
        to[value.len] = 0;
    }
}

/* "bytes 10-99/100" and "bytes *" "/100". */
static void read_range(struct reply *r, struct str value)
{
    struct str total, start, end;
    if (!str_starts_nocase(value, "bytes"))
        return;
    value = str_trim(str_slice(value, 5, value.len));
    start = str_cut(value, '/', &total);
    start = str_cut(start, '-', &end);
    if (!str_u64(start, &r->range_start))
        r->range_start = UINT64_MAX;
    if (!str_u64(end, &r->range_end))
        r->range_end = UINT64_MAX;
    if (!str_u64(total, &r->range_total))
        r->range_total = UINT64_MAX;
}

static void read_retry_after(struct reply *r, struct str value, time_t now)
{
    char text[64];
    uint64_t seconds = 0;
    if (!str_u64(value, &seconds)) {
        snprintf(text, sizeof text, "%.*s", (int)(value.len < 60 ? value.len : 60), value.ptr);
        bool digits = value.len > 0;
        for (size_t i = 0; i < value.len; i++)
            digits = digits && isdigit((unsigned char)value.ptr[i]);
        time_t when = digits ? INT32_MAX : curl_getdate(text, NULL);
        seconds = when > now ? (uint64_t)(when - now) : 0;
    }
    r->retry_after_ms =
        (seconds < REPLY_RETRY_AFTER_MAX_S ? seconds : REPLY_RETRY_AFTER_MAX_S) * 1000;
}

/* curl reads to the end of the connection when the length is no number: a short file would pass. */
static bool read_length(struct reply *r, struct str value)
{
    uint64_t length = 0;
    bool good = str_u64(value, &length) && length <= INT64_MAX &&
                (r->length == UINT64_MAX || r->length == length);
    r->length = length;
    if (!good)
        snprintf(r->reason, sizeof r->reason,
                 "Content-Length is no length, or there are two: \"%.*s\"",
                 (int)(value.len < 40 ? value.len : 40), value.ptr);
    return good;
}

static void response_begins(struct reply *r)
{
    r->said = (struct origin){.total = UINT64_MAX};
    r->range_start = r->range_end = r->range_total = r->length = UINT64_MAX;
    r->retry_after_ms = 0;
    r->encoding[0] = 0;
    r->chunked = false;
    buf_clear(&r->header);
}

static bool read_field(struct reply *r, struct str line, time_t now)
{
    struct str value, name = str_cut(line, ':', &value);
    if (!value.ptr)
        return true;
    value = str_trim(value);
    if (str_eq_nocase(name, STR("ETag")))
        copy_header(r->said.etag, sizeof r->said.etag, value);
    else if (str_eq_nocase(name, STR("Last-Modified")))
        copy_header(r->said.modified, sizeof r->said.modified, value);
    else if (str_eq_nocase(name, STR("Content-Encoding")))
        copy_header(r->encoding, sizeof r->encoding, value);
    else if (str_eq_nocase(name, STR("Transfer-Encoding")))
        r->chunked = str_starts_nocase(value, "chunked");
    else if (str_eq_nocase(name, STR("Content-Range")))
        read_range(r, value);
    else if (str_eq_nocase(name, STR("Retry-After")))
        read_retry_after(r, value, now);
    else if (str_eq_nocase(name, STR("Content-Length")))
        return read_length(r, value);
    return true;
}

bool reply_line(struct reply *r, struct str line, time_t now)
{
    r->bytes += line.len;
    if (r->bytes > REPLY_BYTES_MAX) {
        snprintf(r->reason, sizeof r->reason, "headers of more than %d bytes", REPLY_BYTES_MAX);
        return false;
    }
    bool first = str_starts(line, "HTTP/"); /* a new response: what the one before said is void */
    if (first) {
        r->redirects += str_find(line, STR(" 3")) < 12;
        response_begins(r);
    }
    buf_str(&r->header, line);
    return first || read_field(r, line, now);
}

void reply_clear(struct reply *r)
{
    response_begins(r);
    r->bytes = 0;
    r->redirects = 0;
    r->reason[0] = 0;
}

void reply_free(struct reply *r) { buf_free(&r->header); }

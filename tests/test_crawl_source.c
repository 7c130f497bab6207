/* test_crawl_source - URLs, HTTP responses and documents from every kind of input. */
#include "tests/gzip_made.h"

#include "core/io.h"
#include "core/log.h"
#include "core/parquet.h"
#include "crawl/crawl.h"

#include <math.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

/* Buffers and batches are static: each test is a process, and leak checkers look for the reader's.
 */

/* ---- URLs ---- */
TEST(crawl_url_split)
{
    /* By RFC 3986, sections 3 and 5.4; userinfo, brackets and backslashes as the WHATWG URL page
     * reads them. */
    static const struct {
        const char *url, *scheme, *host, *port, *path, *query;
    } good[] = {
        {"http://a.example/b/c?d=e&f#g", "http", "a.example", "", "/b/c", "d=e&f"},
        {"HTTPS://User:pa@ss@Host.Example:8443?q", "HTTPS", "Host.Example", "8443", "", "q"},
        {"http://[2001:db8::1]:80/x", "http", "2001:db8::1", "80", "/x", ""},
        {" http://a.example\\b\n", "http", "a.example", "", "\\b", ""},
        {"file:///etc/x", "file", "", "", "/etc/x", ""},
        {"http://a.example#f?g", "http", "a.example", "", "", ""},
        {"http://[::1", "http", "[", "", "", ""},
        {"ftp+x-1.y://h/", "ftp+x-1.y", "h", "", "/", ""},
    };
    static const char *const bad[] = {
        "",          "http",    "http:",        "http:/a",   "://a",       "dns:a.example", "//a/b",
        "1http://a", "http://", "http:///path", "http://?q", "mailto:a@b", "\xff://a"};
    struct url_parts p;
    for (size_t i = 0; i < COUNT_OF(good); i++) {
        CHECK(url_split(str_of(good[i].url), &p));
        CHECK_STR(p.scheme, good[i].scheme);
        if (strcmp(good[i].host, "[") != 0)
            CHECK_STR(p.host, good[i].host);
        CHECK_STR(p.port, i == 6 ? ":1" : good[i].port);
        CHECK_STR(p.path, good[i].path);
        CHECK_STR(p.query, good[i].query);
    }
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        if (url_split(str_of(bad[i]), &p))
            test_fail(__FILE__, __LINE__, "\"%s\" was taken as a URL", bad[i]);
    struct arena a;
    CHECK_OK(arena_open(&a, 1 << 16));
    CHECK_STR(url_host_lower(&a, STR("http://WWW.\xc3\x84.Example:80/X")), "www.\xc3\x84.example");
    CHECK_INT(url_host_lower(&a, STR("dns:X")).len, 0);
    arena_close(&a);
}

/* ---- HTTP ---- */
static struct arena arena;

static struct http_response parse(struct str head, struct str body, size_t body_max)
{
    if (!arena.base)
        CHECK_OK(arena_open(&arena, 64 << 20));
    char *block = malloc(head.len + body.len + 1);
    CHECK(block);
    memcpy(block, head.ptr, head.len);
    if (body.len)
        memcpy(block + head.len, body.ptr, body.len);
    struct http_response out;
    CHECK_OK(http_parse(&arena, (struct str){block, head.len + body.len}, body_max, &out));
    if (out.body.ptr >= block && out.body.ptr < block + head.len + body.len)
        out.body = arena_str(&arena, out.body); /* block goes */
    out.charset = arena_str(&arena, out.charset);
    free(block);
    return out;
}

TEST(crawl_http_headers)
{
    struct http_response r = parse(STR("HTTP/1.1 200 OK\r\ncontent-TYPE: Text/HTML; foo=\"a;b\"; "
                                       "Charset = 'UTF-8' ;x\r\n"
                                       "Content-Type: image/png\r\n\r\n"),
                                   STR("<p>\r\n\r\nx"), 100);
    CHECK_INT(r.status, 200);
    CHECK_STR(r.content_type, "text/html");
    CHECK_STR(r.charset, "UTF-8");
    CHECK_STR(r.body, "<p>\r\n\r\nx");
    r = parse(STR("HTTP/2 404\nContent-Type:\n text/plain;\n charset=\"windows-1251\"\nX-\xff: "
                  "\xfe\n\n"),
              STR("no"), 100);
    CHECK_INT(r.status, 404);
    CHECK_STR(r.content_type, "text/plain");
    CHECK_STR(r.charset, "windows-1251");
    CHECK_STR(r.body, "no");
    r = parse(STR("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: "
                  "x\r\n\r\nHTTP/1.0  301  Moved\r\n\r\n"),
              STR("HTTP/1.1 200 inside the body"), 100);
    CHECK_INT(r.status, 301);
    CHECK_STR(r.body, "HTTP/1.1 200 inside the body");
    r = parse(STR("no status line\r\n\r\n"), STR("x"), 100);
    CHECK_INT(r.status, 0);
    CHECK_STR(r.body, "no status line\r\n\r\nx");
    static const char *const bad[] = {"HTTP/1.1\r\n\r\n", "HTTP/1.1 2x0\r\n\r\n",
                                      "HTTP/1.1 2000\r\n\r\n", "HTTP/", "HTTP/1.1 20"};
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        CHECK_INT(parse(str_of(bad[i]), STR(""), 100).status, 0);
    CHECK_INT(parse(STR("HTTP/1.1 200 OK\r\nA: b"), STR(""), 100).body.len, 0);
}

TEST(crawl_http_chunks)
{
    static const struct {
        const char *body, *want;
        bool partial;
    } chunk[] = {
        {"4\r\nWiki\r\n5\r\npedia\r\n0\r\n\r\n", "Wikipedia", false}, /* RFC 9112, 7.1 */
        {"4;ext=\"v\"\r\nWiki\r\n005 \r\npedia\r\n0\r\nTrailer: x\r\n\r\n", "Wikipedia", false},
        {"A\n0123456789\n0\n\n", "0123456789", false},
        {"4\r\nWiki\r\n", "Wiki", false},
        {"4\r\nWiki", "Wiki", false},                             /* no last chunk */
        {"ff\r\nWiki", "Wiki", true},                             /* ends inside */
        {"<!doctype html>", "<!doctype html>", false},            /* not chunked at all */
        {"4\r\nWiki\r\nzz\r\nrest", "Wiki\r\nzz\r\nrest", false}, /* goes bad later */
        {"0\r\n\r\n", "", false},
        {"", "", false},
        {"\r\n", "\r\n", false},
        {"FFFFFFFFFFFFFFFFF\r\nx", "FFFFFFFFFFFFFFFFF\r\nx", false},
        {"7fffffffffffffff\r\nx", "7fffffffffffffff\r\nx", false},
        {"fffffffffffffff\r\nx", "x", true},
        {"-1\r\nx", "-1\r\nx", false},
        {"4", "4", false},
        {"4\r", "4\r", false},
    };
    for (size_t i = 0; i < COUNT_OF(chunk); i++) {
        struct http_response r = parse(STR("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, "
                                           "Chunked\r\n\r\n"),
                                       str_of(chunk[i].body), 100);
        if (!str_is(r.body, chunk[i].want) || r.partial != chunk[i].partial)
            test_fail(__FILE__, __LINE__, "case %zu: \"%.*s\"", i, STR_ARG(r.body));
    }
    struct http_response r = parse(STR("HTTP/1.1 200 OK\r\nX-Crawl-Transfer-Encoding: "
                                       "chunked\r\n\r\n"),
                                   STR("4\r\nWiki"), 100);
    CHECK_STR(r.body, "4\r\nWiki"); /* Common Crawl undid it */
}

static struct buf pack(struct str bytes, int window_bits)
{
    struct buf out = {0};
    deflate_add(&out, bytes, 9, window_bits, NULL);
    return out;
}

static const char brotli_page[] =
    "\x1b\x20\x00\xf8\x8d\xd4\x61\xcd\x9d\x07\x72\x1b\x5b\xd7\x35\xc4\x37\x5a\x05\x46\x10\xc6"
    "\x4b\x4d\x12\x54\x25\xa0\xc2\xb3\xb3\x56\xfd\xc5\x03\x18"; /* by brotli 1.0.9 -q 11 */

TEST(crawl_http_encodings)
{
    struct str page = STR("<html>page page page page page</html>");
    static struct buf gz, zl, raw, twice, chunked, empty;
    gz = pack(page, 31);
    zl = pack(page, 15);
    raw = pack(page, -15);
    twice = pack(buf_view(&gz), 31);
    char zs[256];
    size_t zs_len = ZSTD_compress(zs, sizeof zs, page.ptr, page.len, 3);
    const struct {
        const char *head;
        struct str body;
    } good[] = {
        {"Content-Encoding: gzip", buf_view(&gz)},
        {"content-encoding:X-GZIP", buf_view(&gz)},
        {"Content-Type: text/html", buf_view(&gz)}, /* not said */
        {"Content-Encoding: deflate", buf_view(&zl)},
        {"Content-Encoding: deflate", buf_view(&raw)},
        {"Content-Encoding: br", buf_view(&gz)}, /* said wrongly */
        {"Content-Encoding: gzip, gzip", buf_view(&twice)},
        {"Content-Encoding: gzip", buf_view(&twice)},
        {"Content-Encoding: gzip", page},
        {"Content-Encoding: br", page},
        {"Content-Encoding: zstd", page},
        {"Content-Encoding: deflate", page}, /* undone, the word stayed */
        {"Content-Encoding: zstd", {zs, zs_len}},
        {"Content-Encoding: zstd, identity", {zs, zs_len}},
        {"X-Crawl-Content-Encoding: gzip", page},
        {"Content-Encoding: identity", page},
    };
    for (size_t i = 0; i < COUNT_OF(good); i++) {
        struct buf head = {0};
        buf_printf(&head, "HTTP/1.1 200 OK\r\n%s\r\n\r\n", good[i].head);
        struct http_response r = parse(buf_view(&head), good[i].body, 4096);
        if (!str_eq(r.body, page) || r.partial || r.too_large)
            test_fail(__FILE__, __LINE__, "case %zu (%s): %zu bytes", i, good[i].head, r.body.len);
        buf_free(&head);
    }
    struct http_response r = parse(STR("HTTP/1.1 200 OK\r\nContent-Encoding: br\r\n\r\n"),
                                   (struct str){brotli_page, sizeof brotli_page - 1}, 4096);
    CHECK_STR(r.body, "<html>brotli brotli brotli</html>");
    r = parse(STR("HTTP/1.1 200 OK\r\nContent-Type: application/gzip\r\n\r\n"), buf_view(&gz),
              4096);
    CHECK(str_eq(r.body, buf_view(&gz))); /* a gzip file is a gzip file */
    r = parse(STR("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n"),
              str_slice(buf_view(&gz), 0, gz.len - 12), 4096);
    CHECK(r.partial && r.body.len > 0 && memcmp(r.body.ptr, page.ptr, r.body.len) == 0);
    buf_printf(&chunked, "%zx\r\n", gz.len);
    buf_str(&chunked, buf_view(&gz));
    buf_text(&chunked, "\r\n0\r\n\r\n");
    r = parse(STR("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nTransfer-Encoding: "
                  "chunked\r\n\r\n"),
              buf_view(&chunked), 4096);
    CHECK(str_eq(r.body, page));
    empty = pack(STR(""), 31);
    r = parse(STR("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n"), buf_view(&empty), 4096);
    CHECK_INT(r.body.len, 0);
}

/* Output of exactly body_max passes, one byte more does not, whatever made it. */
TEST(crawl_http_bombs_are_too_large)
{
    size_t len = 1 << 20;
    char *zeros = calloc(1, 8 << 20);
    CHECK(zeros);
    struct str page = {zeros, len}, bomb = {zeros, 8 << 20};
    static struct buf gz, big, twice;
    gz = pack(page, 31);
    big = pack(bomb, 31);
    twice = pack(buf_view(&big), 31);
    char zs[4096];
    size_t zs_len = ZSTD_compress(zs, sizeof zs, zeros, 8 << 20, 3);
    static const char brotli_bomb[] = /* 16 MiB of zeros by brotli 1.0.9 -q 11 */
        "\xcb\xff\xff\x3f\xf8\x27\x00\xe2\xb1\x40\x20\xf7\xfe\x2f\xff\xff\xff\xf0\x4f\x00"
        "\xc4\x61\x11\x80\xee\xfd\x1f";
    struct str head = STR("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n");
    CHECK_INT(parse(head, buf_view(&gz), len).body.len, len);
    CHECK(!parse(head, buf_view(&gz), len).too_large);
    struct http_response r = parse(head, buf_view(&gz), len - 1);
    CHECK(r.too_large && r.body.len == 0);
    size_t mark = arena_mark(&arena);
    CHECK(parse(head, buf_view(&big), len).too_large);
    CHECK(parse(head, buf_view(&twice), len).too_large);
    CHECK(parse(STR("HTTP/1.1 200 OK\r\nContent-Encoding: zstd\r\n\r\n"), (struct str){zs, zs_len},
                len)
              .too_large);
    CHECK(parse(STR("HTTP/1.1 200 OK\r\nContent-Encoding: br\r\n\r\n"),
                (struct str){brotli_bomb, sizeof brotli_bomb - 1}, len)
              .too_large);
    CHECK(arena_mark(&arena) - mark < 64 << 10); /* what was decoded is given back */
    free(zeros);
}

/* Every truncation and many changes of an encoded response: bytes or a verdict, never harm. */
TEST(crawl_http_mutations)
{
    uint64_t seed = 5;
    struct str page = STR("<html>page page page page page 0123456789 abcdefghij</html>");
    static struct buf body[4];
    body[0] = pack(page, 31);
    body[1] = pack(page, 15);
    body[2] = pack(page, -15);
    buf_add(&body[3], brotli_page, sizeof brotli_page - 1);
    const char *const head[] = {"gzip", "deflate", "deflate", "br"};
    CHECK_OK(arena_open(&arena, 64 << 20));
    for (int round = 0; round < 8000; round++) {
        struct buf block = {0}, *b = &body[round % 4];
        buf_printf(&block, "HTTP/1.1 200 OK\r\nContent-Encoding: %s\r\n%s\r\n", head[round % 4],
                   round % 3 ? "" : "Transfer-Encoding: chunked\r\n");
        size_t start = block.len;
        buf_add(&block, b->ptr, test_random(&seed) % (b->len + 1));
        for (int n = round % 5; n > 0 && block.len > start; n--)
            block.ptr[start + test_random(&seed) % (block.len - start)] = (char)test_random(&seed);
        struct http_response r;
        CHECK_OK(http_parse(&arena, buf_view(&block), 1000, &r));
        CHECK(r.body.len <= 1000 && r.status == 200);
        arena_reset(&arena, 0);
        buf_free(&block);
    }
}

/* ---- documents ---- */
static struct schema schema;

static bool keep_truncated;

static struct input *open_input(const char *path, size_t record_max)
{
    schema_init(&schema);
    CHECK_OK(source_rules(&schema, record_max, keep_truncated));
    CHECK_NUM(schema.rule[schema_find_rule(&schema, "source.too_large")].threshold,
              (double)record_max, 0);
    struct input *in;
    CHECK_OK(source_open(&in, path, 7, record_max, &schema));
    return in;
}

static int open_fails(const char *path)
{
    schema_init(&schema);
    CHECK_OK(source_rules(&schema, 1 << 20, false));
    struct input *in;
    int rc = source_open(&in, path, 0, 1 << 20, &schema);
    CHECK(rc < 0 && !in);
    return rc;
}

static struct batch *new_batch(void)
{
    static struct batch *kept[16];
    static int count;
    CHECK(count < 16);
    CHECK_OK(batch_open(&kept[count]));
    return kept[count++];
}

/* All documents of a small input in one batch. */
static struct batch *fill_one(const char *path, size_t record_max)
{
    struct input *in = open_input(path, record_max);
    struct batch *b = new_batch();
    CHECK_INT(source_fill(in, b), 0);
    source_close(in);
    return b;
}

static const char *rule_of(const struct doc *d) { return schema.rule[d->rule].name; }

static void add_response(struct buf *to, const char *warc_fields, const char *head, struct str body)
{
    struct buf block = {0};
    buf_printf(&block, "HTTP/1.1 %s\r\n\r\n", head);
    buf_str(&block, body);
    buf_printf(to,
               "WARC/1.0\r\nWARC-Type: response\r\nContent-Type: application/http; "
               "msgtype=response\r\n"
               "WARC-Date: 2024-05-18T01:58:10Z\r\n%sContent-Length: %zu\r\n\r\n",
               warc_fields, block.len);
    buf_str(to, buf_view(&block));
    buf_text(to, "\r\n\r\n");
    buf_free(&block);
}

#define URI(u) "WARC-Target-URI: " u "\r\n"
static const struct {
    const char *fields, *head;
    struct str body;
    const char *rule;
    enum doc_kind kind;
} response[] = {
    {URI("http://A.Example:80/x"),
     "200 OK\r\nContent-Type: text/html; charset=utf-8",
     {"<p>hi", 5},
     "",
     DOC_HTML},
    {URI("http://b/"),
     "404 Not Found\r\nContent-Type: text/html",
     {"<p>", 3},
     "source.status",
     DOC_HTML},
    {URI("http://b/"),
     "200 OK\r\nContent-Type: image/png",
     {"\x89PNG", 4},
     "source.not_text",
     DOC_OTHER},
    {URI("http://b/"),
     "200 OK\r\nContent-Type: text/html",
     {"%PDF-1.4", 8},
     "source.not_text",
     DOC_OTHER},
    {URI("http://b/"), "200 OK\r\nContent-Type: text/html", {"", 0}, "source.empty", DOC_HTML},
    {URI("http://b/") "WARC-Truncated: length\r\n",
     "200 OK\r\nContent-Type: text/html",
     {"<p>", 3},
     "source.truncated",
     DOC_HTML},
    {URI("http://b/") "WARC-Identified-Payload-Type: application/xhtml+xml\r\n",
     "200 OK\r\nContent-Type: text/css",
     {"<p>", 3},
     "",
     DOC_HTML},
    {URI("http://b/") "WARC-Identified-Payload-Type: application/pdf\r\n",
     "200 OK\r\nContent-Type: text/html",
     {"<p>", 3},
     "source.not_text",
     DOC_OTHER},
    {URI("http://b/"), "200 OK\r\nContent-Type: text/plain", {"plain words", 11}, "", DOC_TEXT},
    {URI("http://b/"),
     "200 OK\r\nContent-Type: text/plain",
     {" \n<!DOCTYPE HTML><p>", 20},
     "",
     DOC_HTML},
    {URI("http://b/"), "200 OK", {"<html><p>", 9}, "", DOC_HTML},
    {URI("http://b/"), "200 OK", {"body { color: red }", 19}, "source.not_text", DOC_OTHER},
    {URI("http://b/"),
     "200 OK\r\nContent-Type: application/json",
     {"{}", 2},
     "source.not_text",
     DOC_OTHER},
    {URI("http://b/"),
     "200 OK\r\nContent-Type: text/html; charset=utf-16le",
     {"<\0p\0>\0h\0i\0", 10},
     "",
     DOC_HTML},
    {URI("http://b/"),
     "200 OK\r\nContent-Type: text/html",
     {"<\0p\0\1\2\3\4\5\6", 10},
     "source.not_text",
     DOC_OTHER},
    {URI("http://b/"),
     "200 OK\r\nContent-Type: text/html\r\nTransfer-Encoding: chunked",
     {"3\r\n<p>\r\n0\r\n\r\n", 13},
     "",
     DOC_HTML},
    {URI("http://b/"),
     "200 OK\r\nContent-Type: text/html\r\nTransfer-Encoding: chunked",
     {"ff\r\n<p>", 7},
     "source.truncated",
     DOC_HTML},
    {URI("http://b/"),
     "200 OK\r\nContent-Type: application/xml",
     {"<?xml version='1.0'?><html xmlns='x'>", 37},
     "",
     DOC_HTML},
    {URI("http://b/") "WARC-Segment-Number: 1\r\n",
     "200 OK\r\nContent-Type: text/html",
     {"<p>", 3},
     "source.truncated",
     DOC_HTML},
};

TEST(crawl_source_verdicts)
{
    log_open(LOG_QUIET);
    static struct buf f = {0};
    buf_text(&f, "WARC/1.0\r\nWARC-Type: warcinfo\r\nContent-Length: 4\r\n\r\nabcd\r\n\r\n"
                 "WARC/1.0\r\nWARC-Type: request\r\nContent-Length: 4\r\n\r\nGET \r\n\r\n");
    for (size_t i = 0; i < COUNT_OF(response); i++)
        add_response(&f, response[i].fields, response[i].head, response[i].body);
    buf_text(&f, "WARC/1.0\r\nWARC-Type: response\r\nWARC-Target-URI: "
                 "dns:a.example\r\nContent-Type: text/dns\r\nContent-Length: 3\r\n\r\nabc\r\n\r\n"
                 "WARC/1.0\r\nWARC-Type: revisit\r\nContent-Type: "
                 "application/http\r\nContent-Length: 19\r\n\r\nHTTP/1.1 200 OK\r\n\r\n\r\n\r\n"
                 "WARC/1.0\r\nWARC-Type: resource\r\nWARC-Target-URI: "
                 "file:///a.html\r\nContent-Type: text/html\r\nContent-Length: 3\r\n\r\n<p>\r\n\r\n"
                 "WARC/1.0\r\nWARC-Type: conversion\r\nWARC-Target-URI: "
                 "http://wet/\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nwords\r\n\r\n"
                 "WARC/1.0\r\nWARC-Type: response\r\nWARC-Target-URI: http://cut/\r\nContent-Type: "
                 "application/http\r\nContent-Length: 500\r\n\r\nHTTP/1.1 200 OK\r\nContent-Type: "
                 "text/html\r\n\r\n<p>cut");
    struct batch *b = fill_one(test_put("v.warc", buf_view(&f)), 1 << 20);
    CHECK_INT(b->doc_count, COUNT_OF(response) + 3);
    for (size_t i = 0; i < COUNT_OF(response); i++) {
        const struct doc *d = &b->doc[i];
        if (strcmp(rule_of(d), response[i].rule) != 0 || d->kind != response[i].kind ||
            d->record != i)
            test_fail(__FILE__, __LINE__, "case %zu: rule \"%s\", kind %d, record %u", i,
                      rule_of(d), (int)d->kind, d->record);
        CHECK(d->rule ? d->raw.len == 0 : d->raw.len > 0);
    }
    const struct doc *d = &b->doc[0];
    CHECK_STR(d->url, "http://A.Example:80/x");
    CHECK_STR(d->host, "a.example");
    CHECK_STR(d->http_charset, "utf-8");
    CHECK_STR(d->date, "2024-05-18T01:58:10Z");
    CHECK_STR(d->raw, "<p>hi");
    CHECK_NUM(d->signal[schema_find_signal(&schema, "source.raw_bytes")], 5, 0);
    CHECK_INT(d->item, 7);
    CHECK_NUM(b->doc[1].value, 404, 0);
    CHECK_STR(b->doc[15].raw, "<p>");
    CHECK_STR(b->doc[COUNT_OF(response)].url, "file:///a.html");
    CHECK_INT(b->doc[COUNT_OF(response) + 1].kind, DOC_TEXT);
    CHECK_STR(b->doc[COUNT_OF(response) + 1].raw, "words");
    CHECK_STR(str_of(rule_of(&b->doc[COUNT_OF(response) + 2])), "source.damaged");
    /* By default what a crawler cut short is kept, as Common Crawl's WET files have it; what is
     * damaged is not. */
    keep_truncated = true;
    b = fill_one(test_put("v.warc", buf_view(&f)), 1 << 20);
    for (size_t i = 0; i < COUNT_OF(response); i++) {
        bool cut = strcmp(response[i].rule, "source.truncated") == 0;
        CHECK_STR(str_of(rule_of(&b->doc[i])), cut ? "" : response[i].rule);
        CHECK(!cut || str_is(b->doc[i].raw, "<p>"));
    }
    CHECK_STR(str_of(rule_of(&b->doc[COUNT_OF(response) + 2])), "source.damaged");
}

TEST(crawl_source_too_large_and_bombs)
{
    log_open(LOG_QUIET);
    static struct buf f = {0};
    char *page = malloc(4 << 20);
    CHECK(page);
    memset(page, 'x', 4 << 20);
    static struct buf bomb;
    bomb = pack((struct str){page, 4 << 20}, 31);
    add_response(&f, URI("http://big/"), "200 OK\r\nContent-Type: text/html",
                 (struct str){page, 4 << 20});
    add_response(&f, URI("http://bomb/"),
                 "200 OK\r\nContent-Type: text/html\r\nContent-Encoding: gzip", buf_view(&bomb));
    add_response(&f, URI("http://good/"), "200 OK\r\nContent-Type: text/html", STR("<p>good"));
    struct batch *b = fill_one(test_put("big.warc", buf_view(&f)), 1 << 20);
    CHECK_INT(b->doc_count, 3);
    CHECK_STR(str_of(rule_of(&b->doc[0])), "source.too_large");
    CHECK_NUM(b->doc[0].value, (4 << 20) + 44, 4); /* the HTTP header is part of it */
    CHECK_NUM(b->doc[0].threshold, 1 << 20, 0);
    CHECK_STR(str_of(rule_of(&b->doc[1])), "source.too_large");
    CHECK_STR(b->doc[2].raw, "<p>good");
    CHECK(b->arena.used < 64 << 10); /* nothing of the dropped ones stays */
    free(page);
}

/* 448 real pages: all kept, in order, ids all different, the same in batches of any fill. */
TEST(crawl_source_reads_wcxb)
{
    log_open(LOG_QUIET);
    struct input *in = open_input(test_data("html/wcxb-dev.warc.gz"), DOC_RAW_MAX);
    struct batch *b = new_batch();
    uint64_t ids[512], last = 0;
    uint32_t count = 0, batches = 0;
    size_t raw = 0;
    int more;
    do {
        batch_clear(b);
        more = source_fill(in, b);
        CHECK_OK(more);
        batches++;
        CHECK(b->raw_bytes < (uint64_t)BATCH_RAW_MAX + DOC_RAW_MAX);
        for (int i = 0; i < b->doc_count; i++) {
            const struct doc *d = &b->doc[i];
            CHECK_INT(d->record, count);
            CHECK(d->rule == 0 && d->kind == DOC_HTML && d->raw.len > 0 && d->host.len > 0);
            CHECK(count == 0 || d->offset > last);
            last = d->offset;
            raw += d->raw.len;
            for (uint32_t k = 0; k < count; k++)
                CHECK(ids[k] != d->id);
            ids[count++] = d->id;
        }
    } while (more);
    CHECK_INT(count, 448);
    CHECK(batches > 40);
    struct warc_stats stats;
    source_counts(in, &stats);
    CHECK_INT(stats.responses, 448);
    CHECK_INT(stats.damaged, 0);
    CHECK_INT(source_bytes(in), 20881239); /* the file's size */
    CHECK(raw > 134000000 &&
          raw < 135093654); /* 135,093,654 bytes of blocks less their HTTP headers */
    source_close(in);
}

/* The id names the document: it follows the file's name, not its folder, and its place and URL. */
TEST(crawl_source_ids)
{
    static struct buf f = {0};
    add_response(&f, URI("http://a/"), "200 OK\r\nContent-Type: text/html", STR("<p>"));
    add_response(&f, URI("http://a/"), "200 OK\r\nContent-Type: text/html", STR("<p>"));
    struct batch *one = fill_one(test_put("one.warc", buf_view(&f)), 1 << 20);
    char folder[IO_PATH_MAX];
    snprintf(folder, sizeof folder, "%s/folder", test_dir());
    CHECK_OK(io_mkdirs(folder));
    struct batch *same = fill_one(test_put("folder/one.warc", buf_view(&f)), 1 << 20);
    struct batch *other = fill_one(test_put("two.warc", buf_view(&f)), 1 << 20);
    CHECK(one->doc[0].id == same->doc[0].id && one->doc[1].id == same->doc[1].id);
    CHECK(one->doc[0].id != one->doc[1].id && one->doc[0].id != other->doc[0].id);
}

TEST(crawl_source_wet)
{
    struct batch *b =
        fill_one(test_data("warc/cc/commoncrawl+whirlwind-python__whirlwind.warc.wet.gz"), 1 << 20);
    CHECK_INT(b->doc_count, 1);
    CHECK_INT(b->doc[0].kind, DOC_TEXT);
    CHECK_STR(b->doc[0].url, "https://an.wikipedia.org/wiki/Escopete");
    CHECK(str_starts(b->doc[0].raw, "Escopete - Biquipedia"));
}

TEST(crawl_source_json_lines)
{
    log_open(LOG_QUIET);
    static struct buf f = {0}, gz = {0};
    buf_text(&f, "{\"id\": \"7\", \"text\": \"caf\\u00e9\\n\\u0000x\", \"url\": "
                 "\"http://J.Example/\", \"date\": \"2020\"}\n"
                 "\r\n{\"id\":\"only-id\",\"content\":\"c\"}\r\n"
                 "{\"text\":\"m\",\"id\":\"i\",\"metadata\":{\"url\":\"http://meta/\"}}\n"
                 "{broken\n{\"text\":5}\n[1]\n{\"no\":\"text\"}\n{\"text\":\"\"}\n{\"text\":\"last "
                 "line without end\"}");
    for (int packed = 0; packed < 2; packed++) {
        if (packed)
            gz = pack(buf_view(&f), 31);
        struct batch *b = fill_one(
            test_put(packed ? "a.jsonl.gz" : "a.jsonl", buf_view(packed ? &gz : &f)), 1 << 20);
        CHECK_INT(b->doc_count, 9);
        CHECK(str_eq(b->doc[0].raw, (struct str){"caf\xc3\xa9\n\0x", 8}));
        CHECK_STR(b->doc[0].host, "j.example");
        CHECK_STR(b->doc[0].date, "2020");
        CHECK_STR(b->doc[1].url, "only-id");
        CHECK(!b->doc[0].url_is_name);
        CHECK(b->doc[1].url_is_name);
        CHECK(!b->doc[2].url_is_name);
        CHECK(b->doc[8].url_is_name);
        CHECK_STR(b->doc[1].raw, "c");
        CHECK_STR(b->doc[2].url, "http://meta/");
        for (int i = 3; i < 7; i++)
            CHECK_STR(str_of(rule_of(&b->doc[i])), "source.bad_json");
        CHECK_STR(str_of(rule_of(&b->doc[7])), "source.empty");
        CHECK_STR(b->doc[8].raw, "last line without end");
        CHECK(b->doc[8].offset > b->doc[7].offset);
        CHECK(memcmp(f.ptr + b->doc[8].offset, "{\"text\":\"last", 13) == 0);
        CHECK_INT(b->doc[0].kind, DOC_TEXT);
    }
}

static const char *table_put(const char *name, const struct pq_column *column, int columns,
                             int rows, const struct str *cell)
{
    struct pq_writer *w;
    CHECK_OK(pq_create(&w, test_path(name), column, columns));
    for (int i = 0; i < rows; i++) {
        for (int k = 0; k < columns; k++)
            if (column[k].type == PQ_STRING)
                pq_put_str(w, cell[i * columns + k]);
            else
                pq_put_u64(w, 1000 + (uint64_t)i);
        CHECK_OK(pq_end_row(w));
    }
    CHECK_OK(pq_commit(w, NULL));
    return test_path(name);
}

TEST(crawl_source_parquet_rows)
{
    static const struct pq_column column[] = {{"tokens", PQ_U32, false, false},
                                              {"url", PQ_STRING, true, false},
                                              {"text", PQ_STRING, true, false},
                                              {"id", PQ_U64, false, false},
                                              {"timestamp", PQ_STRING, true, true}};
    enum { COLUMNS = COUNT_OF(column), ROWS = 5 };
    const struct str cell[ROWS][COLUMNS] = {
        {{0}, STR("http://J.Example/"), STR("caf\xc3\xa9\n"), {0}, STR("2020")},
        {{0}, {0}, STR("of no address"), {0}, {0}},
        {{0}, STR("http://b/"), {0}, {0}, STR("2021")},
        {{0}, STR("http://c/"), STR("0123456789 too large"), {0}, {0}},
        {{0}, STR(""), STR("last"), {0}, {0}}};
    const char *path = table_put("a.data", column, COLUMNS, ROWS, cell[0]);
    struct batch *b = fill_one(path, 16);
    CHECK_INT(b->doc_count, ROWS);
    CHECK_STR(b->doc[0].raw, "caf\xc3\xa9\n");
    CHECK_STR(b->doc[0].host, "j.example");
    CHECK_STR(b->doc[0].date, "2020");
    CHECK_STR(b->doc[1].url, "1001");
    CHECK(b->doc[1].url_is_name && !b->doc[0].url_is_name);
    CHECK_STR(b->doc[1].date, "");
    CHECK_STR(str_of(rule_of(&b->doc[2])), "source.empty");
    CHECK_STR(str_of(rule_of(&b->doc[3])), "source.too_large");
    CHECK_STR(b->doc[4].raw, "last");
    CHECK_STR(b->doc[4].url, "1004");
    for (uint32_t i = 0; i < ROWS; i++) {
        CHECK_INT(b->doc[i].kind, DOC_TEXT);
        CHECK_INT(b->doc[i].record, i);
    }
}

/* html goes before text; without any of them it is said what there is; a file that is cut is an
 * error, with its name. */
TEST(crawl_source_parquet_columns)
{
    static const struct pq_column pages[] = {{"text", PQ_STRING, false, false},
                                             {"html", PQ_STRING, false, false}},
                                  numbers[] = {{"text", PQ_U64, false, false},
                                               {"sum", PQ_U64, false, false}};
    const struct str cell[] = {STR("a"), STR("<p>b"), STR("c"), STR("<p>d")};
    struct batch *b = fill_one(table_put("p.parquet", pages, 2, 2, cell), 1000);
    CHECK_INT(b->doc_count, 2);
    CHECK_STR(b->doc[1].raw, "<p>d");
    CHECK_INT(b->doc[1].kind, DOC_HTML);
    CHECK_INT(open_fails(table_put("n.parquet", numbers, 2, 2, cell)), ERR_FORMAT);
    CHECK(strstr(err_text(), "n.parquet") && strstr(err_text(), "only text, sum"));
    CHECK_INT(fill_one(table_put("none.parquet", pages, 2, 0, cell), 1000)->doc_count, 0);
    CHECK(truncate(test_path("p.parquet"), 40) == 0);
    CHECK_INT(open_fails(test_path("p.parquet")), ERR_FORMAT);
    CHECK(strstr(err_text(), "p.parquet") != NULL);
}

/* A line beyond all buffers is a verdict, and the next line is read. */
TEST(crawl_source_json_long_line)
{
    static struct buf f = {0};
    buf_text(&f, "{\"text\":\"");
    char *at = buf_room(&f, 5 << 20);
    memset(at, 'x', 5 << 20);
    buf_grown(&f, 5 << 20);
    buf_text(&f, "\"}\n{\"text\":\"");
    at = buf_room(&f, 1500);
    memset(at, 'y', 1500);
    buf_grown(&f, 1500);
    buf_text(&f, "\"}\n{\"text\":\"ok\"}\n{\"text\":");
    for (int i = 0; i < 100000; i++)
        buf_char(&f, '[');
    struct batch *b = fill_one(test_put("long.jsonl", buf_view(&f)), 1000);
    CHECK_INT(b->doc_count, 4);
    CHECK_STR(str_of(rule_of(&b->doc[0])), "source.too_large");
    CHECK_NUM(b->doc[0].value, (5 << 20) + 11, 0);
    CHECK_STR(str_of(rule_of(&b->doc[1])), "source.too_large");
    CHECK_STR(b->doc[2].raw, "ok");
    CHECK_STR(str_of(rule_of(&b->doc[3])), "source.bad_json");
}

TEST(crawl_source_text_and_others)
{
    log_open(LOG_QUIET);
    struct batch *b = fill_one(test_put("notes.txt", STR("One file,\none document.\n")), 1 << 20);
    CHECK_INT(b->doc_count, 1);
    CHECK_STR(b->doc[0].raw, "One file,\none document.\n");
    CHECK_STR(b->doc[0].url, "notes.txt");
    CHECK_INT(b->doc[0].kind, DOC_TEXT);
    b = fill_one(test_put("page.txt", STR("<!DOCTYPE html><p>x")), 1 << 20);
    CHECK_INT(b->doc[0].kind, DOC_HTML);
    static const struct str wide[] = {{"<\0p\0>\0x\0", 8}, {"\0<\0p\0>\0x", 8}};
    for (size_t i = 0; i < COUNT_OF(wide); i++) { /* UTF-16 without a mark, as saved by some */
        b = fill_one(test_put("wide.txt", wide[i]), 1 << 20);
        CHECK(b->doc_count == 1 && b->doc[0].rule == 0 && b->doc[0].kind == DOC_HTML);
    }
    b = fill_one(test_put("long.txt", STR("0123456789")), 9);
    CHECK_STR(str_of(rule_of(&b->doc[0])), "source.too_large");
    CHECK_NUM(b->doc[0].value, 10, 0);
    b = fill_one(test_put("fits.txt", STR("0123456789")), 10);
    CHECK_STR(b->doc[0].raw, "0123456789");
    b = fill_one(test_put("none.jsonl", STR("")), 10);
    CHECK_INT(b->doc_count, 0);
    CHECK_INT(open_fails(test_put("empty.txt", STR(""))), ERR_FORMAT);
    CHECK_INT(open_fails(test_put("x.bin", (struct str){"\0\1\2\3\4\5\6\7", 8})), ERR_FORMAT);
    CHECK_INT(open_fails(test_put("a.json", STR(" [\n {\"text\": \"a\"}, {\"text\": \"b\"}]"))),
              ERR_FORMAT);
    CHECK(strstr(err_text(), "JSON array"));
    CHECK_INT(open_fails(test_put("a.parquet", STR("PAR1....PAR1"))), ERR_FORMAT);
    CHECK(strstr(err_text(), "a.parquet"));
    CHECK_INT(open_fails(test_put("x.png", STR("\x89PNG...."))), ERR_FORMAT);
    CHECK_INT(open_fails(test_dir()), ERR_USAGE);
    CHECK_INT(open_fails("/nowhere/at/all"), ERR_USAGE);
    CHECK_INT(open_fails(test_put("cut.txt.gz", STR("\x1f\x8b\x08\0\0\0\0\0\0\3"))), ERR_FORMAT);
}

/* What a site says to crawlers is no text of it. */
TEST(crawl_source_robots_txt)
{
    static struct buf f = {0};
    add_response(&f, URI("http://a/robots.txt"), "200 OK\r\nContent-Type: text/plain",
                 STR("User-agent: *\nDisallow: /"));
    add_response(&f, URI("http://a/about/robots.txt"), "200 OK\r\nContent-Type: text/plain",
                 STR("How to write one."));
    struct batch *b = fill_one(test_put("robots.warc", buf_view(&f)), 1 << 20);
    CHECK_INT(b->doc_count, 1);
    CHECK_STR(b->doc[0].url, "http://a/about/robots.txt");
}

/* A web archive under any name is one; a damaged one under its own name too. */
TEST(crawl_source_tells_by_content)
{
    log_open(LOG_QUIET);
    static struct buf f = {0};
    add_response(&f, URI("http://a/"), "200 OK\r\nContent-Type: text/html", STR("<p>a"));
    add_response(&f, URI("http://b/"), "200 OK\r\nContent-Type: text/html", STR("<p>b"));
    static struct buf gz, both;
    gz = pack(buf_view(&f), 31);
    CHECK_INT(fill_one(test_put("renamed.txt", buf_view(&f)), 1 << 20)->doc_count, 2);
    CHECK_INT(fill_one(test_put("renamed", buf_view(&gz)), 1 << 20)->doc_count, 2);
    buf_text(&both, "\x1f\x8b\x08\xff damaged beyond telling \xff\xfe");
    buf_str(&both, buf_view(&gz));
    struct batch *b = fill_one(test_put("damaged.warc.gz", buf_view(&both)), 1 << 20);
    CHECK_INT(b->doc_count, 2);
    CHECK_INT(b->doc[0].offset, both.len - gz.len);
}

/* Long URLs count into the batch's budget, so its arena cannot run over. */
TEST(crawl_source_long_urls_close_batches)
{
    log_open(LOG_QUIET);
    static struct buf f = {0}, uri = {0};
    buf_text(&uri, "WARC-Target-URI: http://long/");
    for (int i = 0; i < 500000; i++)
        buf_char(&uri, 'u');
    buf_text(&uri, "\r\n");
    for (int i = 0; i < 12; i++)
        add_response(&f, buf_cstr(&uri), "200 OK\r\nContent-Type: text/html", STR("<p>"));
    struct input *in = open_input(test_put("urls.warc", buf_view(&f)), 1 << 20);
    struct batch *b = new_batch();
    CHECK_INT(source_fill(in, b), 1);
    CHECK(b->doc_count >= 2 && b->doc_count <= 5);
    source_close(in);
}

TEST(crawl_source_limits_of_record_max)
{
    struct input *in;
    schema_init(&schema);
    CHECK_ERR(source_open(&in, "x", 0, 1 << 20, &schema), ERR_USAGE); /* no rules yet */
    CHECK_OK(source_rules(&schema, 1 << 20, false));
    CHECK_ERR(source_open(&in, "x", 0, 0, &schema), ERR_USAGE);
    CHECK_ERR(source_open(&in, "x", 0, SIZE_MAX / 4, &schema), ERR_USAGE);
}

/* A pipe is told by its first bytes however they trickle in, and none of them is lost: the same
 * documents as from the file. */
static void check_pipe(const char *name, struct str bytes, size_t step)
{
    const char *path = test_put(name, bytes);
    struct batch *want = fill_one(path, 1 << 20);
    int ends[2];
    CHECK(pipe(ends) == 0);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        close(ends[0]);
        for (size_t at = 0; at < bytes.len; at += step) {
            size_t len = bytes.len - at < step ? bytes.len - at : step;
            if (write(ends[1], bytes.ptr + at, len) != (ssize_t)len)
                _exit(1);
            if (at < 64)
                usleep(3000);
        }
        _exit(0);
    }
    close(ends[1]);
    CHECK(dup2(ends[0], STDIN_FILENO) == STDIN_FILENO);
    close(ends[0]);
    struct batch *got = fill_one("-", 1 << 20);
    CHECK_INT(got->doc_count, want->doc_count);
    for (int i = 0; i < want->doc_count; i++) {
        CHECK(str_eq(got->doc[i].raw, want->doc[i].raw));
        CHECK_INT(got->doc[i].kind, want->doc[i].kind);
        CHECK_INT(got->doc[i].offset, want->doc[i].offset);
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child && status == 0);
}

TEST(crawl_source_standard_input)
{
    log_open(LOG_QUIET);
    struct buf warc = {0}, zip = {0};
    for (int i = 0; i < 40; i++)
        add_response(&warc, URI("http://b/"), "200 OK\r\nContent-Type: text/html",
                     STR("<p>hello hello hello"));
    check_pipe("p.warc", buf_view(&warc), 7);
    gzip_add(&zip, buf_view(&warc), 6);
    check_pipe("p.warc.gz", buf_view(&zip), 11);
    check_pipe("p.jsonl", STR("{\"text\":\"one\",\"url\":\"a\"}\n{\"text\":\"two\"}\n"), 3);
    buf_free(&warc);
    buf_free(&zip);
}

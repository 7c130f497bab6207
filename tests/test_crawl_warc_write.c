/* test_crawl_warc_write - the archive writer, its digests and the index keys, against published
 * values, zlib, zstd and the reader. */
#include "tests/test.h"

#include "core/io.h"
#include "core/log.h"
#include "crawl/digest.h"
#include "crawl/warc.h"

#include <zlib.h>

/* ---- digests ---- */
static void hex_of(enum digest_kind kind, const char *text, size_t times, size_t step, char *out)
{
    struct digest d;
    unsigned char sum[DIGEST_BYTES_MAX];
    struct buf all = {0};
    for (size_t i = 0; i < times; i++)
        buf_text(&all, text);
    digest_begin(&d, kind);
    for (size_t at = 0; at < all.len; at += step)
        digest_add(&d, all.ptr + at, all.len - at < step ? all.len - at : step);
    digest_end(&d, sum);
    for (size_t i = 0; i < digest_bytes(kind); i++)
        snprintf(out + i * 2, 3, "%02x", sum[i]);
    buf_free(&all);
}

/* RFC 1321 A.5, and FIPS 180 (1, 2 blocks, a million letters). */
TEST(crawl_digest_published_values)
{
    static const struct {
        enum digest_kind kind;
        const char *text;
        size_t times;
        const char *hex;
    } want[] = {
        {DIGEST_MD5, "", 1, "d41d8cd98f00b204e9800998ecf8427e"},
        {DIGEST_MD5, "message digest", 1, "f96b697d7cb7938d525a2f31aaf161d0"},
        {DIGEST_MD5, "1234567890", 8, "57edf4a22be3c955ac49da2e2107b67a"},
        {DIGEST_SHA1, "", 1, "da39a3ee5e6b4b0d3255bfef95601890afd80709"},
        {DIGEST_SHA1, "abc", 1, "a9993e364706816aba3e25717850c26c9cd0d89d"},
        {DIGEST_SHA1, "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 1,
         "84983e441c3bd26ebaae4aa1f95129e5e54670f1"},
        {DIGEST_SHA1, "a", 1000000, "34aa973cd4c4daa4f61eeb2bdbad27316534016f"},
        {DIGEST_SHA256, "abc", 1,
         "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
        {DIGEST_SHA256, "a", 1000000,
         "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"},
    };
    char got[DIGEST_BYTES_MAX * 2 + 1];
    static const size_t step[] = {1, 3, 55, 56, 63, 64, 65, 1 << 20};
    for (size_t i = 0; i < COUNT_OF(want); i++)
        for (size_t k = 0; k < COUNT_OF(step); k++) {
            hex_of(want[i].kind, want[i].text, want[i].times, step[k], got);
            CHECK_STR(str_of(got), want[i].hex);
        }
}

/* Every length around the block edges, in two pieces, against core's SHA-256. */
TEST(crawl_digest_every_length)
{
    char bytes[200], want[65], got[65];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (char)(i * 7);
    for (size_t len = 0; len <= sizeof bytes; len++) {
        struct digest d;
        unsigned char sum[DIGEST_BYTES_MAX];
        digest_begin(&d, DIGEST_SHA256);
        digest_add(&d, bytes, len / 3);
        digest_add(&d, bytes + len / 3, len - len / 3);
        digest_end(&d, sum);
        for (size_t i = 0; i < 32; i++)
            snprintf(got + i * 2, 3, "%02x", sum[i]);
        sha256_hex(bytes, len, want);
        CHECK_STR(str_of(got), want);
    }
}

TEST(crawl_digest_texts)
{
    unsigned char sum[DIGEST_BYTES_MAX], back[DIGEST_BYTES_MAX];
    char text[40];
    struct digest d;
    digest_begin(&d, DIGEST_SHA1);
    digest_end(&d, sum);
    digest_text(sum, text); /* the digest of nothing, as many a revisit in the archives has it */
    CHECK_STR(str_of(text), "sha1:3I42H3S6NNFQ2MSVX7XZKYAYSCX5QBYJ");
    static const char *const good[] = {
        "sha1:3I42H3S6NNFQ2MSVX7XZKYAYSCX5QBYJ",
        "SHA-1: 3i42h3s6nnfq2msvx7xzkyayscx5qbyj",
        "sha1:da39a3ee5e6b4b0d3255bfef95601890afd80709",
        "sha1:DA39A3EE5E6B4B0D3255BFEF95601890AFD80709=",
    };
    for (size_t i = 0; i < COUNT_OF(good); i++) {
        CHECK_INT(digest_parse(str_of(good[i]), back), DIGEST_SHA1);
        CHECK(memcmp(back, sum, 20) == 0);
    }
    CHECK_INT(digest_parse(STR("md5:d41d8cd98f00b204e9800998ecf8427e"), back), DIGEST_MD5);
    CHECK_INT(back[0], 0xd4);
    CHECK_INT(
        digest_parse(STR("sha256:4OYMIQUY7QOBJGX36TEJS35ZEQT24QPEMSNZGTFESWMRW6CSXBKQ===="), back),
        DIGEST_SHA256);
    CHECK_INT(back[0], 0xe3);
    static const char *const bad[] = {"",
                                      "sha1",
                                      "sha1:",
                                      "sha1:abc",
                                      "xxh128:00",
                                      "sha1:3I42H3S6NNFQ2MSVX7XZKYAYSCX5QBY1",
                                      "blake3:3I42H3S6NNFQ2MSVX7XZKYAYSCX5QBYJ"};
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        CHECK_INT(digest_parse(str_of(bad[i]), back), DIGEST_UNKNOWN);
}

/* ---- keys ---- */
/* Made with the Python package surt 0.3.1, which pywb and cdxj-indexer use. */
static const struct {
    const char *url, *key;
} keys[] = {
    {"http://www.Example.com:80/A/../b//c/./?b=2&a=1&&c", "com,example)/b/c?&a=1&b=2&c"},
    {"https://www2.example.com:443/", "com,example)/"},
    {"http://1.2.3/", "3,0,2,1)/"},
    {"http://2130706433/x", "1,0,0,127)/x"},
    {"http://0177.1/", "1,0,0,127)/"},
    {"http://[::1]:8080/x", "::1:8080)/x"},
    {"example.com/x", "com,example)/x"},
    {"http://https://order.1and1.com", "com,1and1,order)/"},
    {"http:////////www.vikings.com/x", "com,vikings)/x"},
    {"ftp://user:pw@ftp.x.org/a b/", "org,x,ftp)/a%20b"},
    {"dns:www.x.com", "dns:www.x.com"},
    {"urn:uuid:abc/", "urn:uuid:abc"},
    {"http://example.com?x", "com,example)/?x"},
    {"http://example.com/?", "com,example)/"},
    {"http://ex.com/a%2525252fb%41", "com,ex)/a/ba"},
    {"http://b\303\274cher.de/stra\303\237e?\303\274=\303\266",
     "de,xn--bcher-kva)/stra%c3%9fe?%c3%bc=%c3%b6"},
    {"http://ex.com/(S(4hqa0555fwsecu455xqckv45))/mileg.aspx", "com,ex)/mileg.aspx"},
    {"http://ex.com/(4hqa0555fwsecu455xqckv45)/mileg.aspx?x=(4hqa0555fwsecu455xqckv45)/a.aspx",
     "com,ex)/mileg.aspx?x=(4hqa0555fwsecu455xqckv45)/a.aspx"},
    {"http://e.com/"
     "?jsessionid=0123456789abcdefghijklemopqrstuv&sid=9682993c8daa2c5497996114facdc805&x=y",
     "com,e)/?x=y"},
    {"http://e.com/?cfid=1169&cftoken=aaaa&hei=1&CFID=2&CFTOKEN=b",
     "com,e)/?&cfid=1169&cftoken=aaaa&hei=1"},
    {"http://e.com/?ASPSESSIONIDABCDEFGH=abcdefghijklmnopqrstuvwx", "com,e)/"},
    {"http://e.com:/x", "com,e)/x"},
    {"http://e.com:0/", "com,e)/"},
    {"http://www.www.com/", "com,www)/"},
    {"http://www./", "www)/"},
    {"http://..a..b../", "b,a)/"},
    {"http://e.com/a/b/..", "com,e)/a"},
    {"http://e.com/../../x", "com,e)/x"},
    {"http://e.com/a//../b", "com,e)/a/b"},
    {"http://e.com/%", "com,e)/%25"},
    {"http://e.com/%%341", "com,e)/a"},
    {"http://e.com/#x", "com,e)/"},
    {"HTTP://E.com:80/", "com,e)/"},
    {"http://e.com/a;b=c?q#f?g", "com,e)/a;b=c?q"},
    {"mailto:a@b.c", "mailto:a@b.c"},
    {"http://999/", "231,3,0,0)/"},
    {"http://1.2.3.4.5/", "5,4,3,2,1)/"},
    {"http://1.2.3.4/", "4,3,2,1)/"},
    {"http://01.2/", "2,0,0,1)/"},
    {"http://e.com/?a=1&a&a=0", "com,e)/?a&a=0&a=1"},
    {"file:///C:/x y", "file:/c:/x%20y"},
    {"http://[fe80::1%25eth0]/", "fe80::1%25eth0)/"},
    {"http://a@b@c.com/", "com,c)/"},
    {"javascript:alert(1)?x", "javascript:alert(1)?x"},
    {"http://e.com/a?b?c", "com,e)/a?b?c"},
    {"//e.com/x", "com,e)/x"},
    {"filedesc://x", "filedesc://x"},
    {"?x", "http:/?x"},
    {"http://", "http:"},
    {"http:///", "http:/"},
    {"http://?x", "http:/?x"},
};

TEST(crawl_surt_keys_of_the_reference)
{
    for (size_t i = 0; i < COUNT_OF(keys); i++) {
        struct buf got = {0};
        url_surt(str_of(keys[i].url), &got);
        if (!str_is(buf_view(&got), keys[i].key))
            test_fail(__FILE__, __LINE__, "%s: \"%s\", not \"%s\"", keys[i].url, buf_cstr(&got),
                      keys[i].key);
        buf_free(&got);
    }
}

/* A port that is no number: no key can be made, so the URL is one, without the blank that would end
 * it. */
TEST(crawl_surt_what_has_no_key)
{
    struct buf got = {0};
    url_surt(STR("http://e.com:abc/x y"), &got);
    CHECK_STR(buf_view(&got), "http://e.com:abc/x%20y");
    buf_clear(&got);
    url_surt(STR(""), &got);
    CHECK_STR(buf_view(&got), "-");
    buf_free(&got);
}

/* Repeated patterns of a megabyte: what a careless reader of them would take hours for. */
TEST_LIMIT(crawl_surt_linear_time, 20)
{
    static const char *const part[] = {
        "%25",
        "cfid=",
        "/(S(4hqa0555fwsecu455xqckv45))/",
        "../",
        "a/../",
        "&",
        "&&a",
        "www.",
        "%%4",
        "/(4hqa0555fwsecu455xqckv45)/",
        "http://",
        "(a(",
        "sid=",
        "\xc3\xa9",
        "cfid=1&",
        "@",
        ".",
    };
    static const char *const head[] = {"http://e.com/", "http://e.com/?", "http://", "x:"};
    for (size_t i = 0; i < COUNT_OF(part); i++)
        for (size_t k = 0; k < COUNT_OF(head); k++) {
            struct buf url = {0}, key = {0};
            buf_text(&url, head[k]);
            while (url.len < 1 << 19)
                buf_text(&url, part[i]);
            url_surt(buf_view(&url), &key);
            CHECK(!key.failed && key.len <= url.len * 3 + 16);
            buf_free(&url);
            buf_free(&key);
        }
}

TEST(crawl_warc_date14)
{
    static const struct {
        const char *date, *want;
    } dates[] = {
        {"2024-05-18T01:58:10Z", "20240518015810"},
        {"2016-11-22T19:05:37.123456Z", "20161122190537"},
        {"2008", "2008"},
        {"", ""},
        {"soon", ""},
    };
    for (size_t i = 0; i < COUNT_OF(dates); i++) {
        char got[15];
        warc_date14(str_of(dates[i].date), got);
        CHECK_STR(str_of(got), dates[i].want);
    }
}

/* ---- writing ---- */
static const char http_head[] = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n";
static const char page[] = "<p>hello</p>";

/* The records of one fetch, named by each other, as a crawler writes them. */
static void write_fetch(const char *path, struct warc_written *response)
{
    struct warc_writer *w;
    struct warc_written request;
    CHECK_OK(warc_writer_open(&w, path, 0));
    CHECK_OK(warc_writer_record(
        w,
        &(struct warc_write){.type = "warcinfo",
                             .date = STR("2024-05-18T01:58:10Z"),
                             .body = STR("software: sluice\r\nformat: WARC File Format 1.1\r\n")},
        NULL));
    CHECK_OK(warc_writer_record(w,
                                &(struct warc_write){.type = "response",
                                                     .target_uri = STR("http://e.com/a b\r\nX: y"),
                                                     .date = STR("2024-05-18T01:58:11Z"),
                                                     .head = str_of(http_head),
                                                     .body = str_of(page)},
                                response));
    struct warc_field field[] = {{"WARC-Concurrent-To", str_of(response->record_id)},
                                 {"WARC-IP-Address", STR("192.0.2.7")}};
    CHECK_OK(warc_writer_record(
        w,
        &(struct warc_write){.type = "request",
                             .target_uri = STR("http://e.com/"),
                             .date = STR("2024-05-18T01:58:11Z"),
                             .head = STR("GET / HTTP/1.1\r\n\r\n"),
                             .payload_digest = STR("sha1:3I42H3S6NNFQ2MSVX7XZKYAYSCX5QBYJ"),
                             .field = field,
                             .field_count = 2},
        &request));
    struct warc_field refers[] = {
        {"WARC-Refers-To", str_of(response->record_id)},
        {"WARC-Profile", STR("http://netpreserve.org/warc/1.1/revisit/identical-payload-digest")}};
    CHECK_OK(
        warc_writer_record(w,
                           &(struct warc_write){.type = "revisit",
                                                .target_uri = STR("http://e.com/2"),
                                                .date = STR("2024-05-18T01:58:12Z"),
                                                .head = str_of(http_head),
                                                .payload_digest = str_of(response->payload_digest),
                                                .field = refers,
                                                .field_count = 2},
                           NULL));
    CHECK_OK(warc_writer_record(w,
                                &(struct warc_write){.type = "conversion",
                                                     .target_uri = STR("http://e.com/"),
                                                     .date = STR("2024-05-18T01:58:13Z"),
                                                     .body = STR("hello\n")},
                                NULL));
    CHECK_INT(warc_writer_bytes(w) > request.offset + request.length, 1);
    CHECK(!io_exists(path));
    CHECK_OK(warc_writer_close(w));
}

static void check_fetch(const char *path, const struct warc_written *response)
{
    static const char *const type[] = {"warcinfo", "response", "request", "revisit", "conversion"};
    struct warc_reader *r;
    struct warc_record rec;
    CHECK_OK(warc_open(&r, path, 1 << 20));
    warc_check_digests(r);
    for (size_t i = 0; i < COUNT_OF(type); i++) {
        CHECK_INT(warc_next(r, &rec), 1);
        CHECK_STR(rec.type, type[i]);
        CHECK_INT(rec.block_check, WARC_DIGEST_GOOD);
        CHECK_INT(rec.payload_check, i == 1 || i == 2 ? WARC_DIGEST_GOOD
                                     : i == 3         ? WARC_DIGEST_UNCHECKED
                                                      : WARC_DIGEST_NONE);
        if (i == 1) {
            CHECK_STR(rec.target_uri, "http://e.com/a%20b%0D%0AX:%20y");
            CHECK_STR(rec.record_id, response->record_id);
            CHECK_INT(rec.offset, response->offset);
            CHECK_INT(rec.stored, response->length - (str_ends(str_of(path), ".warc") ? 4 : 0));
            CHECK_STR(rec.content_type, "application/http; msgtype=response");
            CHECK_INT(rec.body.len, strlen(http_head) + strlen(page));
        }
        if (i == 2)
            CHECK_STR(warc_record_field(&rec, "warc-concurrent-to"), response->record_id);
        if (i == 3)
            CHECK_STR(rec.payload_digest, response->payload_digest);
        if (i == 4)
            CHECK_STR(rec.body, "hello\n");
    }
    CHECK_INT(warc_next(r, &rec), 0);
    CHECK_INT(warc_stats(r)->damaged, 0);
    warc_close(r);
}

TEST(crawl_warc_write_is_read_back)
{
    static const char *const name[] = {"a.warc", "a.warc.gz", "a.warc.zst"};
    for (size_t i = 0; i < COUNT_OF(name); i++) {
        struct warc_written response;
        write_fetch(test_path(name[i]), &response);
        check_fetch(test_path(name[i]), &response);
    }
}

/* SHA-1 of "<p>hello</p>" by sha1sum and base32; the same records give the same bytes. */
TEST(crawl_warc_write_repeats)
{
    struct warc_written first, second;
    struct io_info one, two;
    write_fetch(test_path("1.warc.gz"), &first);
    CHECK_OK(io_hash_file(test_path("1.warc.gz"), &one));
    write_fetch(test_path("2.warc.gz"), &second);
    CHECK_OK(io_hash_file(test_path("2.warc.gz"), &two));
    CHECK(one.hash.low == two.hash.low && one.hash.high == two.hash.high);
    CHECK_STR(str_of(first.payload_digest), "sha1:EH2SPSI2J7IA53E7X7MLVOIBNGZPXYIP");
    CHECK(first.record_id[24] == '5' && strlen(first.record_id) == 47); /* <urn:uuid:8-4-5... */
}

/* Each record can be inflated alone, by zlib, and is no byte longer than said. */
TEST(crawl_warc_write_members_stand_alone)
{
    struct warc_written response;
    write_fetch(test_path("m.warc.gz"), &response);
    char *bytes;
    size_t len;
    CHECK_OK(io_read_file(test_path("m.warc.gz"), 1 << 20, &bytes, &len));
    char text[2048];
    z_stream z = {.next_in = (Bytef *)bytes + response.offset,
                  .avail_in = (uInt)response.length,
                  .next_out = (Bytef *)text,
                  .avail_out = sizeof text};
    CHECK(inflateInit2(&z, 31) == Z_OK);
    CHECK(inflate(&z, Z_FINISH) == Z_STREAM_END && z.avail_in == 0);
    struct str all = {text, z.total_out};
    CHECK(str_starts(all, "WARC/1.1\r\n") && str_ends(all, "</p>\r\n\r\n"));
    inflateEnd(&z);
    free(bytes);
}

/* What a server sent, a megabyte of it in every packing, comes back as it was. */
TEST(crawl_warc_write_large_bodies)
{
    static const char *const name[] = {"l.warc", "l.warc.gz", "l.warc.zst"};
    uint64_t seed = 3;
    struct buf body = {0};
    while (body.len < 3 << 20) {
        uint64_t word = test_random(&seed);
        buf_add(&body, &word, sizeof word);
    }
    for (size_t i = 0; i < COUNT_OF(name); i++) {
        struct warc_writer *w;
        struct warc_reader *r;
        struct warc_record rec;
        CHECK_OK(warc_writer_open(&w, test_path(name[i]), 1));
        for (int k = 0; k < 2; k++)
            CHECK_OK(warc_writer_record(w,
                                        &(struct warc_write){.type = "resource",
                                                             .target_uri = STR("file:///x"),
                                                             .date = STR("2024"),
                                                             .body = buf_view(&body)},
                                        NULL));
        CHECK_OK(warc_writer_close(w));
        CHECK_OK(warc_open(&r, test_path(name[i]), 4 << 20));
        warc_check_digests(r);
        for (int k = 0; k < 2; k++) {
            CHECK_INT(warc_next(r, &rec), 1);
            CHECK(str_eq(rec.body, buf_view(&body)));
            CHECK_INT(rec.block_check, WARC_DIGEST_GOOD);
            CHECK_INT(rec.payload_check, WARC_DIGEST_GOOD);
        }
        CHECK_INT(warc_next(r, &rec), 0);
        warc_close(r);
    }
    buf_free(&body);
}

TEST(crawl_warc_write_abandoned_leaves_nothing)
{
    struct warc_writer *w;
    CHECK_OK(warc_writer_open(&w, test_path("gone.warc.gz"), 0));
    CHECK_OK(
        warc_writer_record(w, &(struct warc_write){.type = "warcinfo", .date = STR("2024")}, NULL));
    warc_writer_abandon(w);
    CHECK(!io_exists(test_path("gone.warc.gz")));
    warc_writer_abandon(NULL);
}

/* A kill between two syncs: what is behind the last one is cut off, and the file is then the same
 * as one written without a break. */
TEST(crawl_warc_write_resumes)
{
    struct warc_writer *w;
    uint64_t offset, end;
    char *bytes[2];
    size_t len[2];
    for (int broken = 0; broken < 2; broken++) {
        const char *path = test_path(broken ? "broken.warc.gz" : "one.warc.gz");
        CHECK_OK(warc_writer_resume(&w, path, 0, 0));
        struct warc_write rec = {.type = "resource", .date = STR("2024"), .body = STR("one")};
        CHECK_OK(warc_writer_record(w, &rec, NULL));
        CHECK_OK(warc_writer_sync(w, &offset));
        if (broken) {
            rec.body = STR("lost");
            CHECK_OK(warc_writer_record(w, &rec, NULL));
            warc_writer_abandon(w);
            CHECK_OK(warc_writer_resume(&w, path, 0, offset));
        }
        rec.body = STR("two");
        CHECK_OK(warc_writer_record(w, &rec, NULL));
        CHECK_OK(warc_writer_sync(w, &end));
        CHECK_OK(warc_writer_close(w));
        CHECK_OK(io_read_file(path, 1 << 20, &bytes[broken], &len[broken]));
        CHECK_INT(len[broken], end);
        CHECK_ERR(warc_writer_resume(&w, path, 0, end + 1), ERR_FORMAT);
        CHECK(w == NULL);
    }
    CHECK(len[0] == len[1] && memcmp(bytes[0], bytes[1], len[0]) == 0);
    free(bytes[0]);
    free(bytes[1]);
}

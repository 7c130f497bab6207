/* test_crawl_warc_hostile - archives made to hurt a reader, dictionaries, digests, and where damage
 * is said to be; ARC 1 in every packing. */
#include "tests/gzip_made.h"

#include "core/io.h"
#include "core/log.h"
#include "crawl/digest.h"
#include "crawl/warc.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>
#include <zstd.h>

enum { BODY_MAX = 1 << 20 };

static void add_record(struct buf *to, const char *uri, const char *fields, struct str body)
{
    buf_printf(to,
               "WARC/1.0\r\nWARC-Type: response\r\nWARC-Target-URI: %s\r\n%s"
               "Content-Length: %zu\r\n\r\n",
               uri, fields, body.len);
    buf_str(to, body);
    buf_text(to, "\r\n\r\n");
}

static struct warc_reader *open_at(const char *path, size_t body_max)
{
    struct warc_reader *r;
    log_open(LOG_QUIET);
    CHECK_OK(warc_open(&r, path, body_max));
    return r;
}

static long peak_kib(void)
{
    struct rusage use;
    getrusage(RUSAGE_SELF, &use);
    return use.ru_maxrss;
}

/* ---- size ---- */
/* Header lines for 256 MiB in a few hundred KB, without an end: stepped over in little memory, and
 * the record behind it is found. */
TEST_LIMIT(crawl_warc_header_bomb, 30)
{
    enum { LINES = 4 << 20, LINE = 64 };
    const char *path = test_path("bomb.warc.gz");
    static char lines[1 << 16];
    for (size_t i = 0; i < sizeof lines; i++)
        lines[i] = i % LINE == LINE - 1 ? '\n' : i % LINE == 9 ? ':' : 'h';
    gzFile f = gzopen(path, "wb1");
    CHECK(f && gzprintf(f, "WARC/1.0\r\n") > 0);
    for (int i = 0; i < LINES / 1024; i++)
        CHECK(gzwrite(f, lines, sizeof lines) == (int)sizeof lines);
    CHECK(gzclose(f) == Z_OK);
    f = gzopen(path, "ab");
    CHECK(f &&
          gzprintf(f, "WARC/1.0\r\nWARC-Type: response\r\nContent-Length: 2\r\n\r\nok\r\n\r\n") >
              0);
    CHECK(gzclose(f) == Z_OK);
    long before = peak_kib();
    struct warc_reader *r = open_at(path, BODY_MAX);
    struct warc_record rec;
    size_t count;
    CHECK_INT(warc_next(r, &rec), 1);
    CHECK_STR(rec.body, "ok");
    CHECK_INT(warc_next(r, &rec), 0);
    CHECK_INT(warc_stats(r)->damaged, 1);
    CHECK_STR(str_of(warc_damages(r, &count)[0].why), "a record header over 1 MiB");
    CHECK_INT(count, 1);
    warc_close(r);
    CHECK(peak_kib() - before < 48 << 10);
}

/* A body of 5 GiB that is a hole in the file: stepped over, all 33 bits of its length kept. */
TEST_LIMIT(crawl_warc_sparse_body, 30)
{
    const char *path = test_path("sparse.warc");
    uint64_t hole = (uint64_t)5 << 30;
    char head[128], tail[] =
                        "\r\n\r\nWARC/1.0\r\nWARC-Type: resource\r\nContent-Length: 3\r\n\r\nend"
                        "\r\n\r\n";
    int len = snprintf(head, sizeof head,
                       "WARC/1.0\r\nWARC-Type: resource\r\nContent-Length: %llu"
                       "\r\n\r\n",
                       (unsigned long long)hole);
    int fd = open(path, O_RDWR | O_CREAT, 0600);
    CHECK(fd >= 0 && write(fd, head, (size_t)len) == len);
    CHECK(pwrite(fd, tail, sizeof tail - 1, (off_t)((uint64_t)len + hole)) == sizeof tail - 1);
    close(fd);
    for (size_t max = 0; max <= 100; max += 50) {
        struct warc_reader *r = open_at(path, max);
        struct warc_record rec;
        CHECK_INT(warc_next(r, &rec), 1);
        CHECK_INT(rec.content_length, hole);
        CHECK(rec.cut && rec.body.len == max && !rec.damaged);
        CHECK_INT(rec.stored, (uint64_t)len + hole);
        CHECK_INT(warc_next(r, &rec), 1);
        CHECK_INT(rec.offset, (uint64_t)len + hole + 4);
        CHECK(max < 3 || str_is(rec.body, "end"));
        CHECK_INT(warc_next(r, &rec), 0);
        CHECK_INT(warc_stats(r)->damaged, 0);
        warc_close(r);
    }
}

/* Members that hold nothing at all, a million of them, and files stuck together: linear, and every
 * record is there. */
TEST_LIMIT(crawl_warc_empty_members_and_concatenations, 30)
{
    struct buf file = {0}, one = {0}, empty = {0};
    add_record(&one, "http://a/", "", STR("body"));
    gzip_add(&empty, STR(""), 6);
    for (int part = 0; part < 3; part++) {
        gzip_add(&file, buf_view(&one), 6);
        for (int i = 0; i < 300000; i++)
            buf_str(&file, buf_view(&empty));
    }
    struct warc_reader *r = open_at(test_put("many.warc.gz", buf_view(&file)), BODY_MAX);
    struct warc_record rec;
    for (int part = 0; part < 3; part++) {
        CHECK_INT(warc_next(r, &rec), 1);
        CHECK_STR(rec.body, "body");
    }
    CHECK_INT(warc_next(r, &rec), 0);
    CHECK_INT(warc_stats(r)->damaged, 0);
    CHECK_INT(warc_stats(r)->compressed_bytes, file.len);
    warc_close(r);
    buf_free(&file);
    buf_free(&one);
    buf_free(&empty);
}

/* Members of every size around what is decoded in one go, among them some that do not fit. */
TEST(crawl_warc_members_of_all_sizes)
{
    static const size_t sizes[] = {0, 1, 300, 65535, 65536, 1 << 20, 9 << 20, 40, 17 << 20, 2};
    struct buf file = {0}, body = {0};
    uint64_t seed = 8;
    while (body.len < 17 << 20) {
        uint64_t word = test_random(&seed);
        buf_add(&body, &word, 1 + word % 7);
    }
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        struct buf one = {0};
        add_record(&one, "http://a/", "", str_slice(buf_view(&body), 0, sizes[i]));
        gzip_add(&file, buf_view(&one), 6);
        buf_free(&one);
    }
    const char *path = test_put("sizes.warc.gz", buf_view(&file));
    for (int bodies = 0; bodies < 2; bodies++) {
        struct warc_reader *r = open_at(path, bodies ? 32 << 20 : 0);
        struct warc_record rec;
        for (size_t i = 0; i < COUNT_OF(sizes); i++) {
            CHECK_INT(warc_next(r, &rec), 1);
            CHECK_INT(rec.content_length, sizes[i]);
            CHECK(!rec.damaged && rec.cut == (!bodies && sizes[i] > 0));
            if (bodies)
                CHECK(str_eq(rec.body, str_slice(buf_view(&body), 0, sizes[i])));
        }
        CHECK_INT(warc_next(r, &rec), 0);
        CHECK_INT(warc_stats(r)->damaged, 0);
        warc_close(r);
    }
    buf_free(&file);
    buf_free(&body);
}

/* ---- zstd dictionaries ---- */
static size_t zstd_frame(struct buf *to, struct str bytes, struct str dictionary)
{
    ZSTD_CCtx *c = ZSTD_createCCtx();
    size_t bound = ZSTD_compressBound(bytes.len);
    char *at = buf_room(to, bound);
    CHECK(c && at);
    if (dictionary.len)
        CHECK(!ZSTD_isError(ZSTD_CCtx_loadDictionary(c, dictionary.ptr, dictionary.len)));
    size_t len = ZSTD_compress2(c, at, bound, bytes.ptr, bytes.len);
    CHECK(!ZSTD_isError(len));
    buf_grown(to, len);
    ZSTD_freeCCtx(c);
    return len;
}

/* The IIPC's .warc.zst: the dictionary in a skippable frame in front, plain or packed; a second
 * file behind the first brings its own. */
TEST(crawl_warc_zstd_dictionary)
{
    struct buf dictionary = {0}, packed = {0}, file = {0}, one = {0};
    for (int i = 0; i < 200; i++)
        buf_printf(&dictionary, "http://host%d.example/path <html><head><title>%d</title>", i,
                   i * 7);
    zstd_frame(&packed, buf_view(&dictionary), STR(""));
    for (int form = 0; form < 2; form++) {
        struct str dict = form ? buf_view(&packed) : buf_view(&dictionary);
        unsigned char head[8] = {0x5d, 0x2a, 0x4d, 0x18};
        for (size_t i = 0; i < 4; i++)
            head[4 + i] = (unsigned char)(dict.len >> (8 * i));
        buf_add(&file, head, sizeof head);
        buf_str(&file, dict);
        for (int i = 0; i < 3; i++) {
            buf_clear(&one);
            add_record(&one, "http://host7.example/path", "",
                       STR("<html><head><title>7</title> and some words"));
            zstd_frame(&file, buf_view(&one), buf_view(&dictionary));
        }
    }
    static const size_t buffer[] = {1, 100, 1 << 20};
    for (size_t i = 0; i < COUNT_OF(buffer); i++) {
        struct warc_reader *r;
        struct warc_record rec;
        CHECK_OK(
            warc_open_buffer(&r, test_put("d.warc.zst", buf_view(&file)), BODY_MAX, buffer[i]));
        for (int k = 0; k < 6; k++) {
            CHECK_INT(warc_next(r, &rec), 1);
            CHECK_STR(rec.body, "<html><head><title>7</title> and some words");
            CHECK(!rec.damaged && rec.stored > 0);
        }
        CHECK_INT(warc_next(r, &rec), 0);
        CHECK_INT(warc_stats(r)->damaged, 0);
        warc_close(r);
    }
    buf_free(&dictionary);
    buf_free(&packed);
    buf_free(&file);
    buf_free(&one);
}

/* ---- digests ---- */
static void digest_field(struct buf *to, const char *name, struct str bytes)
{
    char text[40];
    warc_digest(bytes, text);
    buf_printf(to, "%s: %s\r\n", name, text);
}

/* Held or streaming past, raw or with chunks joined; wrong and unknown ones are told. */
TEST(crawl_warc_digests_checked)
{
    struct buf body = {0}, fields[4] = {{0}}, file = {0};
    buf_text(&body, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    size_t head = body.len;
    buf_text(&body, "5\r\nhello\r\n7;x=y\r\n, world\r\n0\r\n\r\n");
    struct str block = buf_view(&body), payload = str_slice(block, head, block.len);
    digest_field(&fields[0], "WARC-Block-Digest", block);
    digest_field(&fields[0], "WARC-Payload-Digest", payload);
    digest_field(&fields[1], "WARC-Payload-Digest", STR("hello, world"));
    digest_field(&fields[2], "WARC-Block-Digest", payload);
    digest_field(&fields[2], "WARC-Payload-Digest", block);
    buf_text(&fields[3], "WARC-Block-Digest: blake3:abc\r\n");
    static const enum warc_digest want[][2] = {{WARC_DIGEST_GOOD, WARC_DIGEST_GOOD},
                                               {WARC_DIGEST_NONE, WARC_DIGEST_GOOD},
                                               {WARC_DIGEST_BAD, WARC_DIGEST_BAD},
                                               {WARC_DIGEST_UNKNOWN, WARC_DIGEST_NONE}};
    for (size_t i = 0; i < COUNT_OF(fields); i++)
        add_record(&file, "http://a/", buf_cstr(&fields[i]), block);
    const char *path = test_put("digests.warc", buf_view(&file));
    for (size_t max = 0; max <= 100; max += 25) {
        struct warc_reader *r = open_at(path, max ? max : BODY_MAX);
        struct warc_record rec;
        warc_check_digests(r);
        bool whole = max == 0 || max >= block.len, split = max == 0 || max > head;
        for (size_t i = 0; i < COUNT_OF(fields); i++) {
            CHECK_INT(warc_next(r, &rec), 1);
            CHECK_INT(rec.block_check, want[i][0]);
            /* What streams past cannot be joined, so a digest that does not fit proves nothing. */
            bool unsure = want[i][1] != WARC_DIGEST_NONE && !whole && (i > 0 || !split);
            CHECK_INT(rec.payload_check, unsure ? WARC_DIGEST_UNCHECKED : want[i][1]);
        }
        CHECK_INT(warc_next(r, &rec), 0);
        warc_close(r);
    }
    for (size_t i = 0; i < COUNT_OF(fields); i++)
        buf_free(&fields[i]);
    buf_free(&body);
    buf_free(&file);
}

/* ---- places ---- */
TEST(crawl_warc_damage_has_a_place)
{
    struct buf file = {0}, one = {0};
    size_t start[6];
    for (size_t i = 0; i < 6; i++) {
        buf_clear(&one);
        add_record(&one, "http://a/", "", STR("some body that is not too short"));
        start[i] = file.len;
        gzip_add(&file, buf_view(&one), 6);
        if (i == 2)
            buf_text(&file, "<html>503</html>");
    }
    size_t garbage = start[3] - 16;
    file.ptr[start[5] - 6] ^= 0x10; /* its checksum */
    struct warc_reader *r = open_at(test_put("hurt.warc.gz", buf_view(&file)), BODY_MAX);
    struct warc_record rec;
    size_t count = 0, good = 0;
    while (warc_next(r, &rec) > 0)
        good += !rec.damaged;
    const struct warc_damage *damage = warc_damages(r, &count);
    CHECK_INT(good, 5);
    CHECK_INT(count, 2);
    CHECK_INT(damage[0].offset, garbage);
    CHECK_STR(str_of(damage[0].why), "bytes that are no record and no member");
    CHECK_INT(damage[1].offset, start[4]);
    CHECK(strstr(damage[1].why, "gzip"));
    /* And one goes straight to any record, also behind the damage. */
    for (size_t i = 6; i-- > 0;) {
        CHECK_OK(warc_seek(r, start[i]));
        CHECK_INT(warc_next(r, &rec), 1);
        CHECK_INT(rec.offset, start[i]);
        CHECK_INT(rec.stored, i == 4   ? 0
                              : i == 2 ? garbage - start[2]
                                       : (i == 5 ? file.len : start[i + 1]) - start[i]);
    }
    warc_close(r);
    buf_free(&file);
    buf_free(&one);
}

/* ---- ARC ---- */
static const char arc_about[] =
    "1 0 Test\nURL IP-address Archive-date Content-type Archive-length\n\n";

static void add_arc(struct buf *to, const char *url, bool second_form, struct str body)
{
    buf_printf(to, "%s 192.0.2.7 20080430204825 text/html %s%zu\n", url,
               second_form ? "200 fac069150613fe55599cc7fa88aa089d - 209 x.arc " : "", body.len);
    buf_str(to, body);
    buf_text(to, "\n");
}

static void check_arc(const char *path, size_t buffer)
{
    struct warc_reader *r;
    struct warc_record rec;
    CHECK_OK(warc_open_buffer(&r, path, BODY_MAX, buffer));
    CHECK_INT(warc_next(r, &rec), 1);
    CHECK_STR(rec.type, "warcinfo");
    CHECK_INT(warc_next(r, &rec), 1);
    CHECK(rec.arc);
    CHECK_STR(rec.type, "response");
    CHECK_STR(rec.target_uri, "http://a.example/with a blank");
    CHECK_STR(rec.date, "2008-04-30T20:48:25Z");
    CHECK_STR(warc_record_field(&rec, "WARC-IP-Address"), "192.0.2.7");
    CHECK(str_ends(rec.body, "http://no.example/ 1.2.3.4 20080430204825 text/html x\n"));
    CHECK_INT(warc_next(r, &rec), 1);
    CHECK_STR(rec.type, "resource");
    CHECK_STR(rec.content_type, "text/html");
    CHECK_STR(rec.body, "<p>no header");
    CHECK_INT(warc_next(r, &rec), 1);
    CHECK_INT(rec.body.len, 0);
    CHECK_INT(warc_next(r, &rec), 0);
    CHECK_INT(warc_stats(r)->damaged, 0);
    warc_close(r);
}

/* Both forms of line, a body that quotes one, an empty one; plain, a member each, one member. */
TEST(crawl_warc_arc_packings)
{
    struct buf raw = {0}, each = {0}, all = {0};
    size_t cut[5] = {0};
    log_open(LOG_QUIET);
    buf_printf(&raw, "filedesc://x.arc 0.0.0.0 20080430204825 text/plain %zu\n%s\n",
               sizeof arc_about - 1, arc_about);
    cut[1] = raw.len;
    add_arc(&raw, "http://a.example/with a blank", false,
            STR("HTTP/1.0 200 OK\r\n\r\nhttp://no.example/ 1.2.3.4 20080430204825 text/html x\n"));
    cut[2] = raw.len;
    add_arc(&raw, "http://b.example/", true, STR("<p>no header"));
    cut[3] = raw.len;
    add_arc(&raw, "dns:b.example", true, STR(""));
    cut[4] = raw.len;
    for (size_t i = 0; i < 4; i++)
        gzip_add(&each, str_slice(buf_view(&raw), cut[i], cut[i + 1]), 6);
    gzip_add(&all, buf_view(&raw), 6);
    static const size_t buffer[] = {1, 13, 4096, 1 << 20};
    for (size_t i = 0; i < COUNT_OF(buffer); i++) {
        check_arc(test_put("p.arc", buf_view(&raw)), buffer[i]);
        check_arc(test_put("e.arc.gz", buf_view(&each)), buffer[i]);
        check_arc(test_put("w.arc.gz", buf_view(&all)), buffer[i]);
    }
    /* The first member lost: the name says what the others are. */
    each.ptr[20] ^= 0x40;
    struct warc_reader *r = open_at(test_put("hurt.arc.gz", buf_view(&each)), BODY_MAX);
    struct warc_record rec;
    size_t good = 0;
    while (warc_next(r, &rec) > 0)
        good += !rec.damaged;
    CHECK_INT(good, 3);
    warc_close(r);
    buf_free(&raw);
    buf_free(&each);
    buf_free(&all);
}

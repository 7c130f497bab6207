/* test_crawl_warc_damage - WARC files cut, flipped, lying about lengths, huge or none at all. */
#include "tests/warc_made.h"

#include "core/io.h"
#include "core/log.h"
#include "crawl/crawl.h"

#include <sys/resource.h>
#include <unistd.h>
#include <zstd.h>

/* ---- damage ---- */
static void check_truncated(bool gzip)
{
    size_t start[RECORDS + 1];
    struct buf file = make_file(gzip, start);
    const char *path = test_put("cut.warc", buf_view(&file));
    struct result whole = read_all(path, BODY_MAX, 4096);
    CHECK_INT(whole.count, RECORDS);
    for (size_t len = file.len; len-- > 0;) {
        CHECK(truncate(path, (off_t)len) == 0);
        struct result cut = read_all(path, BODY_MAX, 4096);
        size_t before = 0;
        while (before < RECORDS && start[before + 1] - (gzip ? 0 : 4) <= len)
            before++;
        CHECK(cut.rc == 0 || (cut.rc == ERR_FORMAT && cut.count == 0 && before == 0));
        CHECK(cut.count >= before && cut.count <= before + 1);
        for (size_t i = 0; i < before; i++)
            CHECK(same_seen(&cut.rec[i], &whole.rec[i]) && !cut.rec[i].damaged);
        CHECK(cut.count == before || cut.rec[before].damaged);
        result_free(&cut);
    }
    result_free(&whole);
    buf_free(&file);
}

TEST(crawl_warc_truncated_at_every_byte_gzip)
{
    log_open(LOG_QUIET);
    check_truncated(true);
}

TEST(crawl_warc_truncated_at_every_byte_plain)
{
    log_open(LOG_QUIET);
    check_truncated(false);
}

static void put_byte(FILE *f, size_t at, int byte)
{
    CHECK(fseek(f, (long)at, SEEK_SET) == 0 && fputc(byte, f) != EOF && fflush(f) == 0);
}

/* A changed byte costs at most the record it is in; behind a checksum nothing wrong passes as good.
 */
static void check_flipped(bool gzip)
{
    size_t start[RECORDS + 1];
    struct buf file = make_file(gzip, start);
    const char *path = test_put(gzip ? "flip.warc.gz" : "flip.warc", buf_view(&file));
    struct result whole = read_all(path, BODY_MAX, 4096);
    static const unsigned char change[] = {0x01, 0x20, 0x80, 0xff};
    FILE *f = fopen(path, "r+b");
    CHECK(f);
    for (size_t at = 0; at < file.len; at++) {
        unsigned char old = (unsigned char)file.ptr[at];
        put_byte(f, at, old ^ change[at % COUNT_OF(change)]);
        struct result got = read_all(path, BODY_MAX, 4096);
        put_byte(f, at, old);
        size_t found = 0, next = 0;
        for (size_t i = 0; i < got.count; i++) {
            bool known = false;
            for (size_t k = next; k < RECORDS && !known; k++)
                if ((known = same_seen(&got.rec[i], &whole.rec[k])))
                    next = k + 1;
            found += known && !got.rec[i].damaged;
            if (gzip && !known && !got.rec[i].damaged)
                test_fail(__FILE__, __LINE__,
                          "byte %zu: a wrong record passed as good (%s, body %zu)", at,
                          got.rec[i].uri, got.rec[i].body);
        }
        size_t allowed = 1; /* in a plain file the line end in front of a record belongs to both */
        for (int k = 1; k < RECORDS && !gzip; k++)
            allowed += at < start[k] && at + 4 >= start[k];
        if (found + allowed < RECORDS)
            test_fail(__FILE__, __LINE__, "byte %zu flipped: only %zu good records of %d", at,
                      found, RECORDS);
        result_free(&got);
    }
    fclose(f);
    result_free(&whole);
    buf_free(&file);
}

TEST(crawl_warc_every_byte_flipped_gzip)
{
    log_open(LOG_QUIET);
    check_flipped(true);
}

TEST(crawl_warc_every_byte_flipped_plain)
{
    log_open(LOG_QUIET);
    check_flipped(false);
}

/* Bytes missing or inserted anywhere: the records apart from the place are found. */
TEST(crawl_warc_holes_and_insertions)
{
    log_open(LOG_QUIET);
    uint64_t seed = 11;
    for (int round = 0; round < 200; round++) {
        bool gzip = round % 2;
        size_t start[RECORDS + 1];
        struct buf file = make_file(gzip, start), out = {0};
        struct result whole = read_all(test_put("whole", buf_view(&file)), BODY_MAX, 4096);
        size_t at = test_random(&seed) % file.len, len = 1 + test_random(&seed) % 200;
        bool hole = test_random(&seed) % 2;
        buf_add(&out, file.ptr, at);
        for (size_t i = 0; !hole && i < len; i++)
            buf_char(&out, (char)test_random(&seed));
        size_t rest = hole && at + len < file.len ? at + len : hole ? file.len : at;
        buf_add(&out, file.ptr + rest, file.len - rest);
        size_t touched = 0;
        for (int i = 0; i < RECORDS; i++)
            touched += start[i] <= rest && start[i + 1] >= at;
        struct result got = read_all(test_put("got.gz", buf_view(&out)), BODY_MAX, 4096);
        size_t found = 0, next = 0;
        for (size_t i = 0; i < got.count; i++)
            for (size_t k = next; k < RECORDS; k++)
                if (same_seen(&got.rec[i], &whole.rec[k])) {
                    next = k + 1;
                    found++;
                    break;
                }
        if (found + touched < RECORDS)
            test_fail(__FILE__, __LINE__, "round %d: %zu of %d records, %zu touched", round, found,
                      RECORDS, touched);
        result_free(&got);
        result_free(&whole);
        buf_free(&file);
        buf_free(&out);
    }
}

/* Garbage of every kind between good members, and headers with every optional field. */
TEST(crawl_warc_gzip_oddities)
{
    log_open(LOG_QUIET);
    struct buf file = {0}, one = {0};
    unsigned char extra[300];
    memset(extra, 'x', sizeof extra);
    gz_header head = {.text = 1,
                      .time = 7,
                      .os = 3,
                      .extra = extra,
                      .extra_len = sizeof extra,
                      .name = (Bytef *)"name.warc",
                      .comment = (Bytef *)"a comment",
                      .hcrc = 1};
    make_record(&one, 0);
    deflate_add(&file, buf_view(&one), 9, 31, &head);
    for (int i = 0; i < 100000; i++) /* empty members: 2 MB that hold nothing */
        buf_add(&file, "\x1f\x8b\x08\0\0\0\0\0\0\3\3\0\0\0\0\0\0\0\0\0", 20);
    buf_clear(&one);
    make_record(&one, 1);
    size_t second = file.len;
    gzip_add(&file, buf_view(&one), 0);
    buf_text(&file, "<html>503 \x1f\x8b\x08 not a member</html>");
    buf_clear(&one);
    make_record(&one, 2);
    size_t third = file.len;
    gzip_add(&file, buf_view(&one), 1);
    for (int i = 0; i < 512; i++)
        buf_char(&file, 0);
    for (int small = 0; small < 2; small++) {
        struct result got =
            read_all(test_put("odd.warc.gz", buf_view(&file)), BODY_MAX, small ? 5 : 65536);
        CHECK_INT(got.rc, 0);
        CHECK_INT(got.count, 3);
        CHECK_INT(got.rec[0].offset, 0);
        CHECK_INT(got.rec[1].offset, second);
        CHECK_INT(got.rec[2].offset, third);
        CHECK(!got.rec[0].damaged && !got.rec[1].damaged && !got.rec[2].damaged);
        CHECK_INT(got.stats.damaged, 2); /* the garbage, and the zeros at the end */
        CHECK_INT(got.stats.compressed_bytes, file.len);
        result_free(&got);
    }
    buf_free(&file);
    buf_free(&one);
}

TEST(crawl_warc_zstd_frames)
{
    log_open(LOG_QUIET);
    struct buf file = {0}, one = {0};
    size_t start[3];
    for (int i = 0; i < 3; i++) {
        buf_clear(&one);
        make_record(&one, i);
        start[i] = file.len;
        size_t bound = ZSTD_compressBound(one.len);
        char *at = buf_room(&file, bound);
        size_t len = ZSTD_compress(at, bound, one.ptr, one.len, 3);
        CHECK(!ZSTD_isError(len));
        buf_grown(&file, len);
    }
    struct result got = read_all(test_put("a.warc.zst", buf_view(&file)), BODY_MAX, 16);
    CHECK_INT(got.count, 3);
    for (size_t i = 0; i < 3; i++)
        CHECK_INT(got.rec[i].offset, start[i]);
    result_free(&got);
    file.ptr[start[1] + 20] ^= 0x55;
    got = read_all(test_put("b.warc.zst", buf_view(&file)), BODY_MAX, 16);
    CHECK(got.count >= 2 && got.stats.damaged == 1);
    CHECK_STR(str_of(got.rec[got.count - 1].uri), "http://host2.example/page");
    result_free(&got);
    buf_free(&file);
    buf_free(&one);
}

/* ---- lengths that lie ---- */
/* Three records, the middle one with this Content-Length; packed as 0 plain, 1 gzip each, 2 one
 * gzip. */
static struct result read_lying(const char *length, int packing, const char *body)
{
    struct buf file = {0}, raw = {0};
    size_t cut[4] = {0};
    for (int i = 0; i < 3; i++) {
        char uri[32];
        snprintf(uri, sizeof uri, "http://%c.example/", 'a' + i);
        add_record(&raw, "response", uri, i == 1 ? length : NULL,
                   i == 1 ? str_of(body) : STR("0123456789"));
        cut[i + 1] = raw.len;
    }
    for (int i = 0; i < 3 && packing == 1; i++)
        gzip_add(&file, str_slice(buf_view(&raw), cut[i], cut[i + 1]), 6);
    if (packing == 2)
        gzip_add(&file, buf_view(&raw), 6);
    struct result got =
        read_all(test_put("lie.gz", buf_view(packing ? &file : &raw)), BODY_MAX, 4096);
    buf_free(&file);
    buf_free(&raw);
    return got;
}

TEST(crawl_warc_lengths_that_lie)
{
    static const struct {
        const char *length, *body;
        bool damaged;
    } lie[] = {
        {"4294967296", "hello body", true},
        {"18446744073709551615", "hello body", true},
        {"99", "hello body", true},
        {"15", "hello body", true},
        {"9", "hello body", false},
        {"0", "hello body", false},
        {"", "hello body", false},
        {"-1", "hello body", false},
        {"99999999999999999999999", "hello body", false},
        {"ten", "hello body", false},
        {"3", "a\r\n\r\nb\nWARC is a word\nWARC/x", false},
    };
    log_open(LOG_QUIET);
    for (size_t i = 0; i < COUNT_OF(lie); i++)
        for (int packing = 0; packing < 3; packing++) {
            struct result got = read_lying(lie[i].length, packing, lie[i].body);
            bool good = got.rc == 0 && got.count == 3 && got.rec[1].body == strlen(lie[i].body) &&
                        got.rec[1].damaged == lie[i].damaged && got.stats.damaged == 1 &&
                        strcmp(got.rec[2].uri, "http://c.example/") == 0 && !got.rec[2].damaged;
            if (!good)
                test_fail(__FILE__, __LINE__,
                          "length \"%s\", packing %d: %zu records, body %zu, damaged %d",
                          lie[i].length, packing, got.count, got.count > 1 ? got.rec[1].body : 0,
                          (int)got.stats.damaged);
            result_free(&got);
        }
}

/* A page that quotes WARC headers is one body while its length is right. */
TEST(crawl_warc_body_that_holds_a_warc)
{
    for (int packing = 0; packing < 3; packing++) {
        struct result got =
            read_lying(NULL, packing, "see:\nWARC/1.0\r\nWARC-Type: response\r\n\r\nx\r\n\r\n");
        CHECK_INT(got.count, 3);
        CHECK_INT(got.stats.damaged, 0);
        result_free(&got);
    }
}

/* Forms of header a strict reader would refuse. */
TEST(crawl_warc_header_forms)
{
    log_open(LOG_QUIET);
    struct buf file = {0};
    buf_text(&file, "\r\n\nWARC/0.18\nwarc-type:response\nWARC-Target-URI: <http://lf.example/>\n"
                    "CONTENT-LENGTH:  3 \nWARC-Date:\n 2008-10-294T05:21:46-0700\nWARC-Type: "
                    "request\n\nabc\n\n"
                    "WARC/1.2\r\nNo colon here\r\n: empty name\r\nContent-Length: "
                    "2\r\nContent-Length: 99\r\n"
                    "WARC-Type: resource\r\nWARC-Target-URI: http://caf\xe9.example/\x81\r\n"
                    "WARC-Truncated: length\r\nWARC-Segment-Number: 1\r\n\r\nxy\r\n\r\n");
    struct warc_reader *r;
    struct warc_record rec;
    CHECK_OK(warc_open(&r, test_put("forms.warc", buf_view(&file)), BODY_MAX));
    CHECK_INT(warc_next(r, &rec), 1);
    CHECK_STR(rec.type, "response");
    CHECK_STR(rec.target_uri, "http://lf.example/");
    CHECK_STR(rec.date, "2008-10-294T05:21:46-0700");
    CHECK_STR(rec.body, "abc");
    CHECK_INT(rec.offset, 3);
    CHECK_INT(warc_next(r, &rec), 1);
    CHECK_STR(rec.type, "resource");
    CHECK_STR(rec.body, "xy");
    CHECK_STR(rec.target_uri, "http://caf\xe9.example/\x81");
    CHECK_STR(rec.truncated, "length");
    CHECK_STR(rec.segment, "1");
    CHECK_INT(warc_next(r, &rec), 0);
    CHECK_INT(warc_stats(r)->damaged, 0);
    warc_close(r);
    buf_free(&file);
}

TEST(crawl_warc_endless_header_is_stepped_over)
{
    log_open(LOG_QUIET);
    struct buf file = {0};
    add_record(&file, "response", "http://a/", NULL, STR("one"));
    buf_text(&file, "WARC/1.0\r\n");
    for (int i = 0; i < 3 << 20; i += 16)
        buf_text(&file, "X-Header: 12345\n");
    add_record(&file, "response", "http://b/", NULL, STR("two"));
    struct result got = read_all(test_put("endless.warc", buf_view(&file)), BODY_MAX, 4096);
    CHECK_INT(got.rc, 0);
    CHECK_INT(got.count, 2);
    CHECK_STR(str_of(got.rec[1].uri), "http://b/");
    CHECK_INT(got.stats.damaged, 1);
    result_free(&got);
    buf_free(&file);
}

/* ---- size ---- */
static long peak_kib(void)
{
    struct rusage use;
    getrusage(RUSAGE_SELF, &use);
    return use.ru_maxrss;
}

/* 256 MiB of zeros in a quarter of a megabyte: streamed past in little memory, and the next record
 * is found. */
TEST(crawl_warc_bomb_is_streamed_past)
{
    enum { STEP = 1 << 20, STEPS = 256 };
    log_open(LOG_QUIET);
    char path[IO_PATH_MAX];
    snprintf(path, sizeof path, "%s/bomb.warc.gz", test_dir());
    gzFile f = gzopen(path, "wb1");
    char *zeros = calloc(1, STEP);
    CHECK(f && zeros);
    gzprintf(f, "WARC/1.0\r\nWARC-Type: response\r\nContent-Length: %d\r\n\r\n", STEP * STEPS);
    for (int i = 0; i < STEPS; i++)
        CHECK(gzwrite(f, zeros, STEP) == STEP);
    gzprintf(f, "\r\n\r\n");
    CHECK(gzclose(f) == Z_OK);
    free(zeros);
    f = gzopen(path, "ab");
    CHECK(f);
    gzprintf(f, "WARC/1.0\r\nWARC-Type: response\r\nContent-Length: 2\r\n\r\nok\r\n\r\n");
    CHECK(gzclose(f) == Z_OK);
    long before = peak_kib();
    struct result got = read_all(path, 1 << 20, 256 << 10);
    CHECK_INT(got.count, 2);
    CHECK(got.rec[0].cut && got.rec[0].body == 1 << 20 && !got.rec[0].damaged);
    CHECK_INT(got.rec[0].length, (uint64_t)STEP * STEPS);
    CHECK_INT(got.rec[1].body, 2);
    CHECK_INT(got.stats.damaged, 0);
    CHECK(peak_kib() - before < 32 << 10);
    result_free(&got);
}

/* Bodies of exactly body_max, one less and one more, at small buffers. */
TEST(crawl_warc_body_max_edges)
{
    log_open(LOG_QUIET);
    for (int packing = 0; packing < 3; packing++)
        for (size_t max = 8; max <= 12; max++) {
            struct buf raw = {0}, file = {0};
            add_record(&raw, "response", "http://a/", NULL, STR("0123456789"));
            size_t first = raw.len;
            add_record(&raw, "response", "http://b/", NULL, STR("abc"));
            if (packing == 2)
                gzip_add(&file, buf_view(&raw), 6);
            for (int i = 0; packing == 1 && i < 2; i++)
                gzip_add(&file, str_slice(buf_view(&raw), i ? first : 0, i ? raw.len : first), 6);
            const char *path = test_put("edge.gz", buf_view(packing ? &file : &raw));
            struct result got = read_all(path, max, 1);
            CHECK_INT(got.count, 2);
            CHECK_INT(got.rec[0].body, max < 10 ? max : 10);
            CHECK_INT(got.rec[0].cut, max < 10);
            CHECK_INT(got.rec[1].body, 3);
            CHECK_INT(got.stats.damaged, 0);
            result_free(&got);
            buf_free(&raw);
            buf_free(&file);
        }
}

/* ---- time ---- */
static double seconds_of(struct str file, size_t *count)
{
    const char *path = test_put("slow.warc.gz", file);
    uint64_t start = clock_ns();
    struct result got = read_all(path, BODY_MAX, 256 << 10);
    *count = got.count;
    result_free(&got);
    return (double)(clock_ns() - start) * 1e-9;
}

/* Members inside the stored blocks of the members before them, all running to the file's damaged
 * end. */
TEST_LIMIT(crawl_warc_overlapping_members_take_linear_time, 20)
{
    log_open(LOG_QUIET);
    struct buf file = {0};
    static const char inner[] = "\x1f\x8b\x08\0\0\0\0\0\0\3\0\x0a\0\xf5\xff"
                                "WARC/1.0\r\n";
    for (int i = 0; i < 60000; i++)
        buf_add(&file, inner,
                sizeof inner - 1);    /* each block ends where the next header is no block */
    for (int i = 0; i < 40000; i++) { /* a chain: 30 bytes stored, which are a member's start */
        buf_add(&file, "\0\x19\0\xe6\xff", 5);
        buf_add(&file, inner, sizeof inner - 1);
    }
    size_t count;
    CHECK(seconds_of(buf_view(&file), &count) < 10);
    buf_free(&file);
}

/* One gzip member, every record claiming a megabyte: each walks back, within the allowance. */
TEST_LIMIT(crawl_warc_lying_lengths_take_linear_time, 20)
{
    log_open(LOG_QUIET);
    struct buf raw = {0}, file = {0};
    for (int i = 0; i < 40000; i++)
        add_record(&raw, "response", "http://a/", "1000000", STR("a body of some bytes"));
    gzip_add(&file, buf_view(&raw), 1);
    size_t count;
    CHECK(seconds_of(buf_view(&file), &count) < 10);
    CHECK(count > 20);
    CHECK(seconds_of(buf_view(&raw), &count) < 10);
    CHECK_INT(count, 40000);
    buf_free(&raw);
    buf_free(&file);
}

/* ---- what is no web archive ---- */
TEST(crawl_warc_other_files_are_refused_by_name)
{
    log_open(LOG_QUIET);
    static const struct {
        const char *name;
        struct str bytes;
        const char *says;
    } bad[] = {
        {"a.warc.bz2", {"BZh91AY&SY..", 12}, "bzip2"},
        {"a.warc.lz4", {"\x04\x22\x4d\x18....", 8}, "lz4"},
        {"a.warc.xz",
         {"\xfd"
          "7zXZ\0..",
          8},
         "xz"},
        {"a.parquet", {"PAR1....", 8}, "Parquet"},
        {"a.arc", {"filedesc://x.arc 0.0.0.0 2008\n", 30}, "ARC"},
        {"a.warc", {"", 0}, "no WARC record"},
        {"b.warc", {"hello\nworld\n", 12}, "no WARC record"},
        {"c.warc", {"WARC/1.0", 8}, "no WARC record"},
    };
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        struct result got = read_all(test_put(bad[i].name, bad[i].bytes), BODY_MAX, 4096);
        CHECK_INT(got.rc, ERR_FORMAT);
        if (!strstr(err_text(), bad[i].says) || !strstr(err_text(), bad[i].name))
            test_fail(__FILE__, __LINE__, "%s: \"%s\"", bad[i].name, err_text());
    }
    CHECK_INT(read_all("/nowhere/x.warc.gz", BODY_MAX, 4096).rc, ERR_USAGE);
    CHECK_INT(read_all(test_dir(), BODY_MAX, 4096).rc, ERR_USAGE);
    CHECK(strstr(err_text(), "folder"));
}

/* Any bytes at all: spliced and changed samples never do harm. */
TEST_LIMIT(crawl_warc_random_mutations, 60)
{
    log_open(LOG_QUIET);
    size_t start[RECORDS + 1];
    uint64_t seed = 99;
    for (size_t round = 0; round < 500; round++) {
        struct buf file = make_file(round % 2, start);
        for (uint64_t n = test_random(&seed) % 20; n > 0; n--) {
            size_t at = test_random(&seed) % file.len, to = test_random(&seed) % file.len;
            size_t len = test_random(&seed) % 64;
            len = len < file.len - at ? len : file.len - at;
            len = len < file.len - to ? len : file.len - to;
            if (n % 3)
                memmove(file.ptr + to, file.ptr + at, len);
            else
                file.ptr[at] = (char)test_random(&seed);
        }
        struct result got =
            read_all(test_put("mutant.warc.gz", buf_view(&file)), 256, 1 + round % 50);
        CHECK(got.rc == 0 || got.rc == ERR_FORMAT);
        result_free(&got);
        buf_free(&file);
    }
}

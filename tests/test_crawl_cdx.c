/* test_crawl_cdx - URL patterns, filters, index files and a server; single records into one file.
 */
#include "tests/gzip_made.h"

#include "core/io.h"
#include "core/log.h"
#include "core/opt.h"
#include "crawl/cdx.h"
#include "crawl/cdx_check.h"
#include "crawl/cdx_piece.h"

#include <sys/stat.h>
#include <unistd.h>

extern char **environ;

/* ---- patterns ---- */
/* What pywb's search ranges say of them (pywb/utils/canonicalize.py, calc_search_range). */
TEST(crawl_cdx_patterns)
{
    static const struct {
        const char *pattern, *match, *key;
        bool fits;
    } given[] = {
        {"example.org/page", "auto", "org,example)/page", true},
        {"http://www.Example.org:80/page", "auto", "org,example)/page", true},
        {"example.org/page", "auto", "org,example)/page/2", false},
        {"example.org/page", "auto", "org,example)/page?x=1", false},
        {"example.org", "auto", "org,example)/", true},
        {"example.org/*", "auto", "org,example)/", true},
        {"example.org/*", "auto", "org,example)/a/b", true},
        {"example.org/*", "auto", "org,example,www2)/a", false},
        {"example.org/dir/*", "auto", "org,example)/dir/x", true},
        {"example.org/dir/*", "auto", "org,example)/dirx", false},
        {"example.org/dir*", "auto", "org,example)/dirx", true},
        {"example.org*", "auto", "org,example)/x", true},
        {"*.example.org", "auto", "org,example)/x", true},
        {"*.example.org", "auto", "org,example,a,b)/x", true},
        {"*.example.org", "auto", "org,example2)/x", false},
        {"*.example.org", "auto", "org,example-x)/x", false},
        {"*.example.org", "auto", "org,exampl)/x", false},
        {"example.org/x", "host", "org,example)/other", true},
        {"example.org/x", "host", "org,example,sub)/other", false},
        {"example.org/x", "domain", "org,example,sub)/other", true},
        {"example.org/dir", "prefix", "org,example)/directory", true},
        {"*.example.org", "exact", "org,example)/", true},
    };
    static const char *const bad[] = {"", "*", "*.", "**", "a*b", "*.example.org/*", "   "};
    static struct cdx_pattern p;
    for (size_t i = 0; i < COUNT_OF(given); i++) {
        CHECK_OK(cdx_pattern_parse(&p, given[i].pattern, given[i].match));
        struct str key = str_of(given[i].key);
        if (cdx_pattern_fits(&p, key) != given[i].fits)
            test_fail(__FILE__, __LINE__, "%s (%s) and %s", given[i].pattern, given[i].match,
                      given[i].key);
        /* The range that clusters are searched by holds every key that fits. */
        if (given[i].fits)
            CHECK(strcmp(p.low, given[i].key) <= 0 && strcmp(given[i].key, p.high) < 0);
    }
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        CHECK_ERR(cdx_pattern_parse(&p, bad[i], "auto"), ERR_USAGE);
    static char large[8000];
    memset(large, 'a', sizeof large - 1);
    CHECK_ERR(cdx_pattern_parse(&p, large, "auto"), ERR_USAGE);
}

/* ---- filters and lines ---- */
static const char cc_line[] =
    "org,wikipedia,an)/wiki/escopete 20240518015810 {\"url\": \"https://an.wikipedia.org/wiki/"
    "Escopete\", \"mime\": \"text/html\", \"mime-detected\": \"text/html\", \"status\": \"200\", "
    "\"digest\": \"RY7PLBUFQNI2FFV5FTUQK72W6SNPXLQU\", \"length\": \"17351\", \"offset\": "
    "\"1023\", \"filename\": \"commoncrawl+whirlwind-python__whirlwind.warc.gz\", \"languages\": "
    "\"spa\", \"encoding\": \"UTF-8\"}";

TEST(crawl_cdx_lines)
{
    static const char *const bad[] = {
        "{",
        "[]",
        "3",
        "key 2024",
        "key 2024 {}",
        "key 2024 {\"url\":\"u\"}",
        "{\"urlkey\":\"k\",\"timestamp\":\"1\",\"url\":\"u\",\"filename\":\"f\",\"offset\":\"-1\","
        "\"length\":\"1\"}",
        "{\"urlkey\":\"k\",\"timestamp\":\"1\",\"url\":\"u\",\"filename\":\"f\",\"offset\":\"1\","
        "\"length\":\"0\"}",
        "{\"urlkey\":\"k\",\"timestamp\":\"1\",\"url\":\"u\",\"filename\":\"f\",\"offset\":\"1\","
        "\"length\":\"99999999999999999999\"}",
        "{\"urlkey\":\"k\",\"timestamp\":\"1\",\"url\":\"a\\nb\",\"filename\":\"f\",\"offset\":1,"
        "\"length\":1}",
        "{\"urlkey\":\"k k\",\"timestamp\":\"1\",\"url\":\"u\",\"filename\":\"f\",\"offset\":1,"
        "\"length\":1}"};
    struct cdx_set s;
    CHECK_OK(cdx_set_open(&s));
    CHECK_INT(cdx_line(&s, str_of(cc_line), NULL, NULL), 1);
    const struct cdx_row *r = &s.row[0];
    CHECK_STR(r->key, "org,wikipedia,an)/wiki/escopete");
    CHECK_STR(r->timestamp, "20240518015810");
    CHECK_STR(r->url, "https://an.wikipedia.org/wiki/Escopete");
    CHECK_STR(r->languages, "spa");
    CHECK(r->offset == 1023 && r->length == 17351);
    /* As servers send it, with numbers as numbers and an escape. */
    CHECK_INT(cdx_line(&s,
                       STR("{\"urlkey\":\"k\",\"timestamp\":\"1\",\"url\":\"\\u00fc\","
                           "\"filename\":\"f\",\"offset\":5,\"length\":7}\r"),
                       NULL, NULL),
              1);
    CHECK_STR(s.row[1].url, "\303\274");
    CHECK(s.row[1].offset == 5 && s.row[1].length == 7);
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        CHECK_INT(cdx_line(&s, str_of(bad[i]), NULL, NULL), 0);
    CHECK_INT(s.bad, COUNT_OF(bad));
    CHECK_INT(cdx_line(&s, STR("  "), NULL, NULL), 0);
    CHECK_INT(s.count, 2);
    /* Written and read again it is the same. */
    struct buf text = {0};
    cdx_put_line(&text, &s.row[0]);
    CHECK_INT(cdx_line(&s, buf_view(&text), NULL, NULL), 1);
    CHECK(str_eq(s.row[2].url, s.row[0].url) && s.row[2].offset == 1023);
    CHECK(str_eq(s.row[2].digest, s.row[0].digest));
    buf_free(&text);
    cdx_settle(&s, 10); /* the double is gone, and keys are in order */
    CHECK_INT(s.count, 2);
    CHECK_STR(s.row[0].key, "k");
    CHECK(!s.full && s.row[1].place == 1);
    cdx_settle(&s, 1);
    CHECK(s.count == 1 && s.full);
    cdx_set_close(&s);
}

/* As Common Crawl's table has it (cc-index-table's schema), in JSON lines: the least and the usual
 * columns. */
TEST(crawl_cdx_lines_of_the_table)
{
    struct cdx_set t;
    CHECK_OK(cdx_set_open(&t));
    CHECK_INT(cdx_line(&t,
                       STR("{\"url\":\"http://www.Example.org/B?a\",\"warc_filename\":\"f\","
                           "\"warc_record_offset\":5,\"warc_record_length\":\"7\"}"),
                       NULL, NULL),
              1);
    CHECK_STR(t.row[0].key, "org,example)/b?a");
    CHECK_STR(t.row[0].timestamp, "00000000000000");
    CHECK(t.row[0].offset == 5 && t.row[0].length == 7);
    CHECK_INT(cdx_line(&t,
                       STR("{\"url_surtkey\":\"org,example)/\",\"url\":\"http://example.org/\","
                           "\"fetch_time\":\"2024-05-18 01:58:10.000\",\"fetch_status\":200,"
                           "\"content_digest\":\"ABC\",\"warc_filename\":\"f\","
                           "\"warc_record_offset\":5,\"warc_record_length\":7}"),
                       NULL, NULL),
              1);
    CHECK_STR(t.row[1].timestamp, "20240518015810");
    CHECK_STR(t.row[1].digest, "ABC");
    CHECK_STR(t.row[1].status, "200");
    cdx_set_close(&t);
}

TEST(crawl_cdx_filters)
{
    static const struct {
        const char *filter;
        bool fits;
    } given[] = {
        {"=status:200", true},        {"!=status:200", false},   {"=status:20", false},
        {"status:20", true},          {"!status:40", true},      {"~status:2..", true},
        {"~status:0", false},         {"~url:.*wiki", true},     {"!~url:.*wiki", false},
        {"mime-detected:html", true}, {"=languages:eng", false}, {"~languages:(eng|spa)$", true},
        {"=digest:", false},          {"=status:200 ", false}};
    static const char *const bad[] = {"status", "=color:red", "", "~url:(", "!", "=:x"};
    struct cdx_set s;
    struct cdx_filters *f;
    CHECK_OK(cdx_set_open(&s));
    CHECK_INT(cdx_line(&s, str_of(cc_line), NULL, NULL), 1);
    for (size_t i = 0; i < COUNT_OF(given); i++) {
        struct opt_list list = {(const char *[]){given[i].filter}, 1};
        CHECK_OK(cdx_filters_parse(&f, &list));
        if (cdx_filters_fit(f, &s.row[0]) != given[i].fits)
            test_fail(__FILE__, __LINE__, "%s", given[i].filter);
        cdx_filters_free(f);
    }
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        struct opt_list list = {(const char *[]){bad[i]}, 1};
        if (bad[i][0])
            CHECK_ERR(cdx_filters_parse(&f, &list), ERR_USAGE);
        else
            CHECK_OK(cdx_filters_parse(&f, &list));
        cdx_filters_free(f);
    }
    struct opt_list both = {(const char *[]){"=status:200", "=languages:eng"}, 2};
    CHECK_OK(cdx_filters_parse(&f, &both));
    CHECK(!cdx_filters_fit(f, &s.row[0]));
    cdx_filters_free(f);
    cdx_set_close(&s);
}

/* ---- a small archive in two files, and its index ---- */
static const char *const pages[] = {"http://example.org/",
                                    "http://example.org/a",
                                    "http://example.org/a/1",
                                    "http://www.example.org/a/2",
                                    "http://sub.example.org/",
                                    "http://sub.example.org/x?b=2&a=1",
                                    "http://example.org/missing",
                                    "http://example.net/",
                                    "http://example.org.evil.com/a",
                                    "http://example.org/b/1",
                                    "http://example.org/b/2",
                                    "http://example.org/b/3",
                                    "http://deep.sub.example.org/y",
                                    "http://example.com/\303\274",
                                    "http://exampleXorg/"};

static void page_text(struct buf *to, int i)
{
    buf_clear(to);
    for (int k = 0; k < 200; k++)
        buf_printf(to, "<p>page %d, paragraph %d of %s</p>\n", i, k * i, pages[i]);
}

/* Rows in key order go to index.cdxj; sorted by sort(1)'s rule, bytes. */
static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void archive_make(void)
{
    static const char *const file[] = {"crawl-data/T/first.warc.gz", "crawl-data/T/second.warc.gz"};
    struct warc_writer *w[2];
    char path[IO_PATH_MAX], *line[COUNT_OF(pages)];
    struct buf text = {0}, row = {0};
    for (int k = 0; k < 2; k++) {
        CHECK_OK(io_path(path, "%s/data/%s", test_dir(), file[k]));
        *strrchr(path, '/') = 0;
        CHECK_OK(io_mkdirs(path));
        CHECK_OK(io_path(path, "%s/data/%s", test_dir(), file[k]));
        CHECK_OK(warc_writer_open(&w[k], path, 0));
    }
    for (int i = 0; i < (int)COUNT_OF(pages); i++) {
        static const char head[2][64] = {"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n",
                                         "HTTP/1.1 404 Not Found\r\n\r\n"};
        bool missing = i == 6;
        struct warc_written at;
        page_text(&text, i);
        struct warc_write request = {.type = "request",
                                     .target_uri = str_of(pages[i]),
                                     .date = STR("2024-05-18T01:58:10Z"),
                                     .head = STR("GET / HTTP/1.1\r\n\r\n")};
        struct warc_write rec = {.type = "response",
                                 .target_uri = str_of(pages[i]),
                                 .date = STR("2024-05-18T01:58:10Z"),
                                 .head = str_of(head[missing]),
                                 .body = buf_view(&text)};
        CHECK_OK(warc_writer_record(w[i % 3 == 2], &request, NULL));
        CHECK_OK(warc_writer_record(w[i % 3 == 2], &rec, &at));
        buf_clear(&row);
        url_surt(str_of(pages[i]), &row);
        buf_printf(&row,
                   " 202405180158%02d {\"url\": \"%s\", \"mime\": \"text/html\", "
                   "\"status\": \"%d\", \"digest\": \"%s\", \"length\": \"%llu\", \"offset\": "
                   "\"%llu\", \"filename\": \"%s\"}\n",
                   i, pages[i], missing ? 404 : 200, at.payload_digest + 5,
                   (unsigned long long)at.length, (unsigned long long)at.offset, file[i % 3 == 2]);
        line[i] = strdup(buf_cstr(&row));
        CHECK(line[i]);
    }
    qsort(line, COUNT_OF(pages), sizeof *line, by_text);
    buf_clear(&row);
    for (size_t i = 0; i < COUNT_OF(pages); i++) {
        buf_text(&row, line[i]);
        free(line[i]);
    }
    test_put("index.cdxj", buf_view(&row));
    for (int k = 0; k < 2; k++)
        CHECK_OK(warc_writer_close(w[k]));
    buf_free(&text);
    buf_free(&row);
}

/* ---- the server ---- */
static char server[64];

static void server_start(void)
{
    log_open(LOG_QUIET);
    int port = test_server("tests/tools/fake_cdx.py");
    snprintf(server, sizeof server, "http://127.0.0.1:%d/", port);
}

static size_t logged(const char *text)
{
    char *log;
    size_t len;
    if (!io_exists(test_path("log")))
        return 0;
    CHECK_OK(io_read_file(test_path("log"), 1 << 20, &log, &len));
    size_t count = str_count((struct str){log, len}, str_of(text));
    free(log);
    return count;
}

struct ask {
    struct crawl_conf crawl;
    struct cdx_conf cdx;
    struct cdx_done done;
    char out[IO_PATH_MAX];
};

static const char *const filter_200[] = {"=status:200"};
static struct ask ask_for(const char *pattern, const char *out)
{
    static char cache[IO_PATH_MAX];
    snprintf(cache, sizeof cache, "%s/cache", test_dir());
    struct ask a = {
        .crawl = {.base = server,
                  .crawl = "CC-MAIN-TEST",
                  .cache = cache,
                  .fetch = {.retries = 3, .connect_ms = 2000, .stall_ms = 2000, .backoff_ms = 10}},
        .cdx = {.index = pattern,
                .match = "auto",
                .server = server,
                .filter = {(const char **)(uintptr_t)filter_200, 1},
                .max = 1000,
                .pages = 50,
                .rate = 1000}};
    snprintf(a.out, sizeof a.out, "%s/%s", test_dir(), out);
    return a;
}

static int crawl(struct ask *a)
{
    a->cdx.out = a->out;
    return cdx_crawl(&a->crawl, &a->cdx, &a->done);
}

/* The archive holds exactly these pages (numbers in `pages`, ascending, ended by -1), each as it
 * was; its index opens each at its place. */
static void check_archive(const char *path, const int *want)
{
    struct warc_reader *r;
    struct warc_record rec;
    struct buf text = {0}, member = {.max = 1 << 20};
    char index[IO_PATH_MAX];
    int got[COUNT_OF(pages)] = {0}, rc;
    CHECK_OK(warc_open(&r, path, 1 << 20));
    warc_check_digests(r);
    while ((rc = warc_next(r, &rec)) > 0) {
        size_t i = 0;
        while (i < COUNT_OF(pages) && !str_is(rec.target_uri, pages[i]))
            i++;
        CHECK(i < COUNT_OF(pages) && str_is(rec.type, "response"));
        CHECK(rec.payload_check == WARC_DIGEST_GOOD && !rec.damaged && rec.stored > 0);
        page_text(&text, (int)i);
        CHECK(str_find(rec.body, buf_view(&text)) != SIZE_MAX);
        got[i]++;
    }
    CHECK_INT(rc, 0);
    CHECK_INT(warc_stats(r)->damaged, 0);
    warc_close(r);
    size_t count = 0;
    for (; want[count] >= 0; count++)
        CHECK_INT(got[want[count]]--, 1);
    for (size_t i = 0; i < COUNT_OF(pages); i++)
        if (got[i])
            test_fail(__FILE__, __LINE__, "%s is in the archive", pages[i]);
    CHECK_OK(io_path(index, "%s.cdxj", path));
    struct cdx_set s;
    struct io_reader *in;
    struct str line;
    struct cdx_check *check;
    CHECK_OK(cdx_set_open(&s));
    CHECK_OK(cdx_check_open(&check));
    CHECK_OK(io_open(&in, index));
    while (io_read_line(in, &line) > 0)
        CHECK_INT(cdx_line(&s, line, NULL, NULL), 1);
    io_close(in);
    CHECK_INT(s.count, count);
    for (size_t i = 0; i < s.count; i++) {
        const char *why;
        buf_clear(&member);
        CHECK(i == 0 || str_cmp(s.row[i - 1].key, s.row[i].key) <= 0);
        CHECK_STR(s.row[i].filename, strrchr(path, '/') + 1);
        CHECK_OK(cdx_piece_read(path, s.row[i].offset, s.row[i].length, &member));
        CHECK_INT(cdx_check_record(check, &s.row[i], buf_view(&member), &why), 1);
    }
    cdx_check_close(check);
    cdx_set_close(&s);
    buf_free(&text);
    buf_free(&member);
}

static uint64_t hash_of(const char *path)
{
    struct io_info info;
    CHECK_OK(io_hash_file(path, &info));
    return info.hash.low;
}

TEST(crawl_cdx_server)
{
    static const struct {
        const char *pattern;
        int want[16];
    } given[] = {
        {"*.example.org", {0, 1, 2, 3, 4, 5, 9, 10, 11, 12, -1}},
        {"example.org/*", {0, 1, 2, 3, 9, 10, 11, -1}},
        {"example.org/a/*", {2, 3, -1}},
        {"http://example.org/a", {1, -1}},
        {"sub.example.org/x?a=1&b=2", {5, -1}},
    };
    archive_make();
    test_put("mode", STR("busy"));
    server_start();
    for (size_t i = 0; i < COUNT_OF(given) - 1; i++) {
        char name[32];
        snprintf(name, sizeof name, "out/%zu.warc.gz", i);
        struct ask a = ask_for(given[i].pattern, name);
        CHECK_OK(crawl(&a));
        check_archive(a.done.path, given[i].want);
        CHECK_INT(a.done.refused, 0);
        char part[IO_PATH_MAX];
        CHECK_OK(io_path(part, "%s.part", a.done.path));
        CHECK(!io_exists(part));
        if (i == 0) { /* neighbours came together, the busy server was asked again */
            CHECK(a.done.requests < 5);
            CHECK_INT(logged(" 503 "), 2);
            /* Asked for again: it is here. */
            size_t before = logged("\n");
            struct cdx_done first = a.done;
            CHECK_OK(crawl(&a));
            CHECK_INT(logged("\n"), before);
            CHECK(a.done.written == first.written && a.done.bytes == first.bytes);
            a.cdx.index = "example.org/*";
            CHECK_ERR(crawl(&a), ERR_USAGE);
            CHECK(strstr(err_text(), "another query"));
        }
    }
    char *most;
    size_t len;
    CHECK_OK(io_read_file(test_path("most"), 10, &most, &len));
    CHECK_STR(str_trim((struct str){most, len}), "1"); /* never two at once */
    free(most);
}

/* Caps, no captures, lines that are none, an unknown crawl, a count that is none. */
TEST(crawl_cdx_server_limits)
{
    archive_make();
    server_start();
    struct ask a = ask_for("*.example.org", "max.warc.gz");
    a.cdx.max = 3;
    CHECK_OK(crawl(&a));
    CHECK(a.done.captures == 3 && a.done.full);
    check_archive(a.done.path, (const int[]){0, 1, 2, -1}); /* the first by key */
    CHECK_INT(logged("index 200"), 1);
    a = ask_for("*.example.org", "pages.warc.gz");
    a.cdx.pages = 2;
    CHECK_OK(crawl(&a));
    CHECK(a.done.full && a.done.captures == 7 /* and the 404 */);
    CHECK_INT(logged("index 200"), 3);
    a = ask_for("nothing.example.org/*", "none.warc.gz");
    CHECK_OK(crawl(&a));
    CHECK(a.done.captures == 0 && !a.done.path[0] && !io_exists(a.out));
    test_put("mode", STR("junk"));
    a = ask_for("example.org/a/*", "junk.warc.gz");
    CHECK_OK(crawl(&a));
    check_archive(a.done.path, (const int[]){2, 3, -1});
    test_put("mode", STR("nocount"));
    a = ask_for("example.org/a/*", "nocount.warc.gz");
    CHECK_ERR(crawl(&a), ERR_FORMAT);
    test_put("mode", STR(""));
    a = ask_for("example.org/a/*", "unknown.warc.gz");
    a.crawl.crawl = "CC-MAIN-1999-01";
    CHECK_ERR(crawl(&a), ERR_IO);
    CHECK(strstr(err_text(), "collinfo.json"));
    a = ask_for("example.org/a/*", "name.txt");
    CHECK_ERR(crawl(&a), ERR_USAGE);
    a = ask_for("example.org/missing", "filter.warc.gz");
    a.cdx.filter.count = 0;
    CHECK_OK(crawl(&a));
    CHECK_INT(a.done.captures, 1);
    a = ask_for("example.org/a/*", "");
    a.out[0] = 0; /* named by what is asked */
    CHECK_OK(crawl(&a));
    CHECK(strstr(a.done.path, "/cache/index/CC-MAIN-TEST-example.orga-"));
}

/* Broken off and failing on the way: the same bytes in the end, and the index is asked once. */
TEST(crawl_cdx_resumes)
{
    static const int want[] = {0, 1, 2, 3, 4, 5, 9, 10, 11, 12, -1};
    archive_make();
    server_start();
    struct ask whole = ask_for("*.example.org", "whole/x.warc.gz");
    CHECK_OK(crawl(&whole));
    uint64_t hash = hash_of(whole.done.path);
    struct ask a = ask_for("*.example.org", "broken/x.warc.gz");
    test_put("mode", STR("gone")); /* one of the two files is missing */
    size_t asked = logged("index 200");
    CHECK(crawl(&a) < 0);
    CHECK(strstr(err_text(), "404") && strstr(err_text(), "run the same command again"));
    CHECK(!io_exists(a.out) && a.done.written == 7);
    size_t ranges = logged("data 206");
    test_put("mode", STR("flaky"));
    CHECK_OK(crawl(&a));
    CHECK_INT(logged("data 206") - ranges, 1); /* only what was missing */
    CHECK_INT(logged("index 200") - asked, 3);
    CHECK(hash_of(a.done.path) == hash);
    check_archive(a.done.path, want);
    /* A note without its line feed, a spool with more than the notes say, a spool that is gone. */
    for (int i = 0; i < 3; i++) {
        char name[64], path[IO_PATH_MAX];
        snprintf(name, sizeof name, "torn%d/x.warc.gz", i);
        struct ask t = ask_for("*.example.org", name);
        test_put("mode", STR("gone"));
        CHECK(crawl(&t) < 0);
        CHECK_OK(io_path(path, "%s.part%s", t.out, i == 0 ? ".log" : ""));
        if (i == 2) {
            CHECK(truncate(path, 10) == 0);
        } else {
            FILE *f = fopen(path, "a");
            CHECK(f && fputs("7 0", f) >= 0 && fclose(f) == 0);
        }
        test_put("mode", STR(""));
        CHECK_OK(crawl(&t));
        CHECK(hash_of(t.done.path) == hash);
    }
    test_put("mode", STR("short"));
    a = ask_for("*.example.org", "short/x.warc.gz");
    CHECK(crawl(&a) < 0);
    CHECK(!io_exists(a.out) && a.done.written == 0);
}

/* An index that lies: what it names is looked at, and left out. */
TEST(crawl_cdx_refuses_records)
{
    archive_make();
    server_start();
    char *index, *line[COUNT_OF(pages)];
    size_t len, count = 0;
    CHECK_OK(io_read_file(test_path("index.cdxj"), 1 << 20, &index, &len));
    for (char *at = index; at < index + len; at = strchr(at, '\n') + 1)
        line[count++] = at;
    struct buf text = {0};
    static const struct {
        const char *field, *value;
    } lie[] = {{"digest", "AAAABBBBCCCCDDDDEEEEFFFFGGGGHHHH"},
               {"length", "40"},
               {"offset", "3"},
               {"offset", "99999999"},
               {"filename", "../../../../etc/passwd.gz"},
               {"filename", "http://127.0.0.1:1/x.gz"},
               {"filename", "crawl-data/T/index.cdxj"},
               {"length", "900000000000"},
               {"url", "http://other.example.org/"}};
    for (size_t i = 0; i < count; i++) {
        struct str rest, one = str_cut(str_of(line[i]), '\n', &rest);
        size_t back = count - 1 - i; /* the last lines are of *.org */
        if (back < COUNT_OF(lie)) {
            char mark[32];
            snprintf(mark, sizeof mark, "\"%s\": \"", lie[back].field);
            size_t start = str_find(one, str_of(mark)) + strlen(mark);
            size_t end = start + str_find_char(str_slice(one, start, one.len), '"');
            buf_printf(&text, "%.*s%s%.*s\n", (int)start, one.ptr, lie[back].value,
                       (int)(one.len - end), one.ptr + end);
        } else {
            buf_str(&text, one);
            buf_char(&text, '\n');
        }
    }
    free(index);
    test_put("lies.cdxj", buf_view(&text));
    buf_free(&text);
    struct ask a = ask_for("*.org", "lies.warc.gz");
    a.cdx.file = test_path("lies.cdxj");
    a.cdx.filter.count = 0;
    CHECK(crawl(&a) < 0); /* an offset behind the end is a range that does not come */
    CHECK(strstr(err_text(), "416") || strstr(err_text(), "range"));
    CHECK(a.done.refused >= 5 && a.done.written >= 1 && !io_exists(a.out));
    CHECK(logged("passwd") == 0);
}

/* ---- cluster.idx ---- */
/* Blocks of `step` lines in files of `per_file` blocks. */
static void cluster_make(const char *folder, char **line, size_t count, size_t step,
                         size_t per_file)
{
    struct buf idx = {0}, blocks = {0}, text = {0};
    char name[64];
    size_t number = 0;
    for (size_t i = 0; i < count; number++) {
        struct str rest, first = str_of(line[i]), key = str_cut(first, ' ', &rest);
        struct str after, time = str_cut(rest, ' ', &after);
        size_t start = blocks.len;
        buf_clear(&text);
        for (size_t k = 0; k < step && i < count; k++, i++)
            buf_text(&text, line[i]);
        gzip_add(&blocks, buf_view(&text), 6);
        buf_printf(&idx, "%.*s %.*s\tcdx-%05zu.gz\t%zu\t%zu\t%zu\n", STR_ARG(key), STR_ARG(time),
                   number / per_file, start, blocks.len - start, number + 1);
        if (number % per_file == per_file - 1 || i == count) {
            snprintf(name, sizeof name, "%s/cdx-%05zu.gz", folder, number / per_file);
            test_put(name, buf_view(&blocks));
            buf_clear(&blocks);
        }
    }
    snprintf(name, sizeof name, "%s/cluster.idx", folder);
    test_put(name, buf_view(&idx));
    buf_free(&idx);
    buf_free(&blocks);
    buf_free(&text);
}

/* The slow twin of every lookup: all lines, one by one. */
TEST(crawl_cdx_cluster_twin)
{
    enum { LINES = 600 };
    static char *line[LINES];
    uint64_t seed = 3;
    log_open(LOG_QUIET);
    struct buf text = {0};
    for (int i = 0; i < LINES; i++) {
        static const char *const host[] = {"org,example", "org,example,a", "org,example,b",
                                           "org,exa",     "org,examplf",   "com,x"};
        char row[400];
        uint64_t page = test_random(&seed) % 60;
        snprintf(row, sizeof row,
                 "%s)/%s%llu 2024%010d {\"url\": \"http://x/\", \"status\": "
                 "\"200\", \"length\": \"10\", \"offset\": \"%d\", \"filename\": \"f.warc.gz\"}\n",
                 host[test_random(&seed) % 6], page % 3 ? "p" : "dir/", (unsigned long long)page, i,
                 i);
        line[i] = strdup(row);
        CHECK(line[i]);
    }
    qsort(line, LINES, sizeof *line, by_text);
    for (int i = 0; i < LINES; i++)
        buf_text(&text, line[i]);
    test_put("all.cdxj", buf_view(&text));
    static const char *const pattern[] = {
        "example.org/*", "*.example.org",     "example.org/dir/*", "a.example.org/p1", "x.com/*",
        "exa.org/*",     "example.org/dir/3", "nowhere.org/*",     "aaa.aaa/*",        "zzz.zzz/*",
        "x.com/p59",     "examplf.org/dir/*", "b.example.org*"};
    static const size_t step[] = {1, 7, 1000};
    for (size_t k = 0; k < COUNT_OF(step); k++) {
        char folder[32];
        snprintf(folder, sizeof folder, "c%zu", k);
        cluster_make(folder, line, LINES, step[k], 4);
        for (size_t i = 0; i < COUNT_OF(pattern); i++) {
            static struct cdx_pattern p;
            char path[2][IO_PATH_MAX];
            struct cdx_set set[2];
            struct crawl_conf crawl_conf = {.base = "", .cache = ""};
            CHECK_OK(cdx_pattern_parse(&p, pattern[i], "auto"));
            snprintf(path[0], IO_PATH_MAX, "%s", test_path("all.cdxj"));
            snprintf(path[1], IO_PATH_MAX, "%s/%s/cluster.idx", test_dir(), folder);
            for (int j = 0; j < 2; j++) {
                struct cdx_conf conf = {.file = path[j], .max = 100000, .pages = 100000};
                CHECK_OK(cdx_set_open(&set[j]));
                CHECK_OK(cdx_ask_file(&set[j], &crawl_conf, &conf, &p, NULL));
                cdx_settle(&set[j], 100000);
                CHECK(!set[j].full && !set[j].bad);
            }
            if (set[0].count != set[1].count)
                test_fail(__FILE__, __LINE__, "%s in blocks of %zu: %zu, want %zu", pattern[i],
                          step[k], set[1].count, set[0].count);
            for (size_t j = 0; j < set[0].count; j++)
                CHECK(set[0].row[j].offset == set[1].row[j].offset);
            CHECK(i != 0 || set[1].count > 30);
            cdx_set_close(&set[0]);
            cdx_set_close(&set[1]);
        }
    }
    for (int i = 0; i < LINES; i++)
        free(line[i]);
    buf_free(&text);
}

/* The crawl's own cluster below base: its list lands in the cache once, blocks come by range. */
TEST(crawl_cdx_cluster_of_the_crawl)
{
    char *index, *line[COUNT_OF(pages)];
    size_t len, count = 0;
    archive_make();
    server_start();
    CHECK_OK(io_read_file(test_path("index.cdxj"), 1 << 20, &index, &len));
    struct str rest = {index, len};
    while (rest.ptr && rest.len) {
        struct str one = str_cut(rest, '\n', &rest);
        line[count++] = strndup(one.ptr, one.len + 1);
    }
    cluster_make("data/cc-index/collections/CC-MAIN-TEST/indexes", line, count, 2, 3);
    struct ask a = ask_for("*.example.org", "cluster.warc.gz");
    a.cdx.file = "cluster";
    CHECK_OK(crawl(&a));
    check_archive(a.done.path, (const int[]){0, 1, 2, 3, 4, 5, 9, 10, 11, 12, -1});
    CHECK_INT(logged("index "), 0); /* the server's interface is not asked */
    CHECK_INT(logged("cluster.idx"), 1);
    a = ask_for("example.org/b/*", "cluster2.warc.gz");
    a.cdx.file = "cluster";
    CHECK_OK(crawl(&a));
    check_archive(a.done.path, (const int[]){9, 10, 11, -1});
    CHECK_INT(logged("cluster.idx"), 1);
    a = ask_for("*.example.org", "cluster3.warc.gz");
    a.cdx.file = "cluster";
    a.cdx.pages = 2;
    CHECK_OK(crawl(&a));
    CHECK(a.done.full && a.done.captures <= 4);
    /* From a folder: no server at all. */
    char base[IO_PATH_MAX + 16];
    snprintf(base, sizeof base, "file://%s/data/", test_dir());
    a = ask_for("*.example.org", "folder.warc.gz");
    a.cdx.file = "cluster";
    a.crawl.base = base;
    CHECK_OK(crawl(&a));
    CHECK(hash_of(a.done.path) == hash_of(test_path("cluster.warc.gz")));
    for (size_t i = 0; i < count; i++)
        free(line[i]);
    free(index);
}

TEST(crawl_cdx_cluster_damaged)
{
    static const char *const idx[] = {
        "no tabs at all\n",         "k 1\tcdx.gz\tx\t5\t1\n",   "k 1\tcdx.gz\t0\t99999999999\t1\n",
        "k 1\t../up.gz\t0\t5\t1\n", "k 1\t.hidden\t0\t5\t1\n",  "k 1\tabsent.gz\t0\t5\t1\n",
        "k 1\tcdx.gz\t0\t5\t1\n",   "k 1\tcdx.gz\t9\t500\t1\n", "\n\n\n",
        "k\tcdx.gz\t0\t0\t1\n"};
    static struct cdx_pattern p;
    log_open(LOG_QUIET);
    test_put("cdx.gz", STR("hello, this is no gzip"));
    CHECK_OK(cdx_pattern_parse(&p, "example.org/*", "auto"));
    char path[IO_PATH_MAX];
    snprintf(path, sizeof path, "%s", test_path("cluster.idx"));
    struct cdx_conf conf = {.file = path, .max = 100, .pages = 100};
    struct crawl_conf crawl_conf = {.base = "", .cache = ""};
    for (size_t i = 0; i < COUNT_OF(idx); i++) {
        struct cdx_set s;
        test_put("cluster.idx", str_of(idx[i]));
        CHECK_OK(cdx_set_open(&s));
        int rc = cdx_ask_file(&s, &crawl_conf, &conf, &p, NULL);
        if (rc != ERR_FORMAT && !(i == 5 && rc == ERR_USAGE))
            test_fail(__FILE__, __LINE__, "%s: %d, %s", idx[i], rc, err_text());
        cdx_set_close(&s);
    }
    struct cdx_set s;
    test_put("cluster.idx", STR(""));
    CHECK_OK(cdx_set_open(&s));
    CHECK_OK(cdx_ask_file(&s, &crawl_conf, &conf, &p, NULL));
    CHECK_INT(s.count, 0);
    cdx_set_close(&s);
    uint64_t seed = 9; /* any bytes: an error or nothing, in bounded time */
    for (int round = 0; round < 60; round++) {
        char noise[600];
        size_t len = test_random(&seed) % sizeof noise;
        for (size_t i = 0; i < len; i++)
            noise[i] = "k o,)/\t\n0129cdx.gz"[test_random(&seed) % 18];
        test_put("cluster.idx", (struct str){noise, len});
        CHECK_OK(cdx_set_open(&s));
        CHECK(cdx_ask_file(&s, &crawl_conf, &conf, &p, NULL) <= 0);
        cdx_set_close(&s);
    }
}

/* ---- members ---- */
TEST(crawl_cdx_members_whole_or_refused)
{
    struct buf member = {0}, out = {.max = 1 << 20}, small = {.max = 100};
    char text[5000];
    for (size_t i = 0; i < sizeof text; i++)
        text[i] = (char)(i * i % 97);
    gzip_add(&member, (struct str){text, sizeof text}, 6);
    CHECK(cdx_piece_inflate(buf_view(&member), &out));
    CHECK(out.len == sizeof text && memcmp(out.ptr, text, sizeof text) == 0);
    for (size_t cut = 0; cut < member.len; cut++) {
        buf_clear(&out);
        CHECK(!cdx_piece_inflate((struct str){member.ptr, cut}, &out));
    }
    for (size_t i = member.len - 8; i < member.len; i++) { /* CRC and length */
        member.ptr[i] ^= 1;
        buf_clear(&out);
        CHECK(!cdx_piece_inflate(buf_view(&member), &out));
        member.ptr[i] ^= 1;
    }
    CHECK(!cdx_piece_inflate(buf_view(&member), &small));
    buf_char(&member, 0);
    buf_clear(&out);
    CHECK(!cdx_piece_inflate(buf_view(&member), &out)); /* a byte too many */
    buf_free(&member);
    buf_free(&out);
    buf_free(&small);
}

/* Common Crawl's own capture, by Common Crawl's own index line: the member, byte for byte. */
TEST(crawl_cdx_whirlwind)
{
    const char *name = "warc/cc/commoncrawl+whirlwind-python__whirlwind.warc.gz";
    char base[IO_PATH_MAX + 16], path[IO_PATH_MAX], *got;
    size_t len;
    log_open(LOG_QUIET);
    CHECK(realpath(test_data(name), path));
    snprintf(base, sizeof base, "file://%.*s", (int)(strrchr(path, '/') - path), path);
    test_put("cc.cdxj", str_of(cc_line));
    struct ask a = ask_for("an.wikipedia.org/*", "cc.warc.gz");
    char file[IO_PATH_MAX];
    snprintf(file, sizeof file, "%s", test_path("cc.cdxj"));
    a.cdx.file = file;
    a.crawl.base = base;
    CHECK_OK(crawl(&a));
    CHECK(a.done.written == 1 && a.done.bytes == 17351);
    struct buf want = {0};
    CHECK_OK(cdx_piece_read(path, 1023, 17351, &want));
    CHECK_OK(io_read_file(a.out, 1 << 20, &got, &len));
    CHECK(len == want.len && memcmp(got, want.ptr, len) == 0);
    free(got);
    buf_free(&want);
}

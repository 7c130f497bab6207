/* test_crawl_seeds - the parts of the focused crawler: journal, frontier, scope, links, sitemaps.
 * The whole of it is tested over HTTP in tests/cli/seeds.sh. */
#include "core/io.h"
#include "crawl/frontier.h"
#include "crawl/links.h"
#include "tests/gzip_made.h"

#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

/* ---- journal ---- */
struct seen {
    struct buf text;
    int checkpoints;
};

static int on_line(void *self, struct str line, bool is_checkpoint)
{
    struct seen *seen = self;
    buf_str(&seen->text, line);
    buf_char(&seen->text, '\n');
    seen->checkpoints += is_checkpoint;
    return 0;
}

static struct journal *opened(const char *path, struct seen *seen)
{
    struct journal *j;
    struct journal_reader reader = {on_line, seen};
    memset(seen, 0, sizeof *seen);
    CHECK_OK(journal_open(&j, path, &reader));
    return j;
}

/* Whatever length a kill leaves, opening gives all up to the last whole checkpoint before it, and
 * the journal goes on from there. The oracle: where each checkpoint ended. */
TEST(crawl_seeds_journal_cut_anywhere)
{
    char path[IO_PATH_MAX];
    struct seen seen;
    uint64_t end[4] = {0};
    size_t want_len[4] = {0};
    struct buf want = {0};
    CHECK_OK(io_path(path, "%s/j", test_dir()));
    struct journal *j = opened(path, &seen);
    for (int i = 1; i < 4; i++) {
        for (int k = 0; k < i; k++) {
            journal_line(j, "line %d %d of\nmany", i, k);
            buf_printf(&want, "line %d %d of many\n", i, k);
        }
        CHECK_OK(journal_checkpoint(j, "state %d", i));
        buf_printf(&want, "state %d\n", i);
        CHECK_OK(io_size(path, &end[i]));
        want_len[i] = want.len;
    }
    journal_line(j, "never synced");
    journal_close(j);
    buf_free(&seen.text);
    char *all;
    size_t len;
    CHECK_OK(io_read_file(path, 1 << 20, &all, &len));
    CHECK_INT(len, end[3]);
    for (size_t cut = 0; cut <= len; cut++) {
        int last = 0;
        FILE *f = fopen(path, "wb");
        CHECK(f && fwrite(all, 1, cut, f) == cut && fclose(f) == 0);
        for (int i = 1; i < 4; i++)
            last = cut >= end[i] ? i : last;
        j = opened(path, &seen);
        CHECK_INT(seen.checkpoints, last);
        CHECK(str_eq(buf_view(&seen.text), str_slice(buf_view(&want), 0, want_len[last])));
        buf_free(&seen.text);
        journal_line(j, "more");
        CHECK_OK(journal_checkpoint(j, "after"));
        journal_close(j);
        j = opened(path, &seen);
        CHECK_INT(seen.checkpoints, last + 1);
        CHECK(str_ends(buf_view(&seen.text), "more\nafter\n"));
        buf_free(&seen.text);
        journal_close(j);
    }
    free(all);
    buf_free(&want);
}

/* A byte changed anywhere costs its part and what is behind it, and never gives another line. */
TEST(crawl_seeds_journal_damage)
{
    char path[IO_PATH_MAX];
    struct seen seen;
    CHECK_OK(io_path(path, "%s/j", test_dir()));
    struct journal *j = opened(path, &seen);
    for (int i = 0; i < 3; i++) {
        journal_line(j, "u %d", i);
        CHECK_OK(journal_checkpoint(j, "%d", i));
    }
    journal_close(j);
    char *all;
    size_t len;
    CHECK_OK(io_read_file(path, 1 << 20, &all, &len));
    for (size_t at = 0; at < len; at++) {
        char was = all[at];
        all[at] = (char)(was ^ 1);
        FILE *f = fopen(path, "wb");
        CHECK(f && fwrite(all, 1, len, f) == len && fclose(f) == 0);
        j = opened(path, &seen);
        CHECK(seen.checkpoints < 3);
        CHECK(str_starts(STR("u 0\n0\nu 1\n1\n"), buf_cstr(&seen.text)));
        journal_close(j);
        buf_free(&seen.text);
        all[at] = was;
    }
    free(all);
}

TEST(crawl_seeds_journal_locked)
{
    char path[IO_PATH_MAX];
    struct seen seen;
    struct journal *two;
    struct journal_reader reader = {on_line, &seen};
    CHECK_OK(io_path(path, "%s/j", test_dir()));
    struct journal *one = opened(path, &seen);
    CHECK_ERR(journal_open(&two, path, &reader), ERR_AGAIN);
    journal_close(one);
}

/* ---- scope ---- */
static struct opt_list list_of(const char **item, size_t count)
{
    return (struct opt_list){item, count};
}

TEST(crawl_seeds_scope_places)
{
    static const struct {
        enum scope_kind kind;
        const char *url;
        bool in;
    } rows[] = {
        {SCOPE_HOST, "http://a.example.com/x", true},
        {SCOPE_HOST, "https://a.example.com/x", true},
        {SCOPE_HOST, "http://a.example.com:8080/x", false},
        {SCOPE_HOST, "http://b.example.com/x", false},
        {SCOPE_DOMAIN, "http://b.example.com/x", true},
        {SCOPE_DOMAIN, "http://example.com/", true},
        {SCOPE_DOMAIN, "http://badexample.com/", false},
        {SCOPE_PREFIX, "http://a.example.com/docs/v1/x", true},
        {SCOPE_PREFIX, "https://a.example.com/docs/", true},
        {SCOPE_PREFIX, "http://a.example.com/docs/?q=/", true},
        {SCOPE_PREFIX, "http://a.example.com/docs", false},
        {SCOPE_PREFIX, "http://a.example.com/other/?u=/docs/", false},
        {SCOPE_ANY, "http://elsewhere.example/", true},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct scope *s;
        struct scope_conf conf = {.kind = rows[i].kind};
        CHECK_OK(scope_open(&s, &conf));
        CHECK_OK(scope_seed(s, STR("http://a.example.com/docs/index.html?x=/a/b")));
        if ((scope_judge(s, str_of(rows[i].url)) == SCOPE_IN) != rows[i].in)
            test_fail(__FILE__, __LINE__, "scope %d: %s", (int)rows[i].kind, rows[i].url);
        scope_close(s);
    }
}

TEST(crawl_seeds_scope_patterns_and_traps)
{
    static const struct {
        const char *url;
        enum scope_verdict verdict;
    } rows[] = {
        {"http://h/docs/a", SCOPE_IN},
        {"http://h/other/a", SCOPE_EXCLUDED},
        {"http://h/docs/private/a", SCOPE_EXCLUDED},
        {"http://h/docs/a.JPG", SCOPE_TYPE},
        {"http://h/docs/a.jpg?x", SCOPE_TYPE},
        {"http://h/docs/jpg", SCOPE_IN},
        {"http://h/docs.jpg/a", SCOPE_EXCLUDED},
        {"http://h/docs/x/x/x", SCOPE_TRAP},
        {"http://h/docs/x/x/y", SCOPE_IN},
        {"http://h/docs/a/b/a/b/a/b/c", SCOPE_TRAP},
        {"http://h/docs/a/b/a/b/a/c", SCOPE_IN},
        {"http://h/docs/1/2/3/4/5/6/7/8/9/10/11/12/13/14/15/16/17/18/19", SCOPE_IN},
        {"http://h/docs/1/2/3/4/5/6/7/8/9/10/11/12/13/14/15/16/17/18/19/20", SCOPE_TRAP},
    };
    const char *include[] = {"*/docs/*"}, *exclude[] = {"*/private/*"}, *skip[] = {"jpg"};
    struct scope_conf conf = {SCOPE_ANY, list_of(include, 1), list_of(exclude, 1), list_of(skip, 1),
                              0};
    struct scope *s;
    CHECK_OK(scope_open(&s, &conf));
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        if (scope_judge(s, str_of(rows[i].url)) != rows[i].verdict)
            test_fail(__FILE__, __LINE__, "%s", rows[i].url);
    scope_close(s);
    /* A calendar: digits and values do not make another pattern, names do. */
    struct scope_conf few = {.kind = SCOPE_ANY, .pattern_max = 10};
    CHECK_OK(scope_open(&s, &few));
    int in = 0;
    for (int i = 0; i < 100; i++) {
        char url[128];
        snprintf(url, sizeof url, "http://h/calendar/%d/%d?view=%c&day=%d", 1990 + i, i % 12,
                 'a' + i % 3, i);
        in += scope_judge(s, str_of(url)) == SCOPE_IN;
    }
    CHECK_INT(in, 10);
    CHECK_INT(scope_judge(s, STR("http://h/calendar/1990/1?view=a&month=1")), SCOPE_IN);
    CHECK_INT(scope_judge(s, STR("http://g/calendar/1990/1?view=a&day=1")), SCOPE_IN);
    for (int i = 0; i < 100; i++) { /* digits of a host are its name */
        char url[64];
        snprintf(url, sizeof url, "http://h%d/calendar/%d", i, i);
        CHECK_INT(scope_judge(s, str_of(url)), SCOPE_IN);
    }
    scope_close(s);
}

TEST(crawl_seeds_hash_set)
{
    struct hash_set set = {0};
    bool is_new;
    CHECK_INT(hash_set_get(&set, 7), 0);
    for (uint64_t i = 0; i < 5000; i++) {
        uint32_t *at = hash_set_at(&set, i * 1024, &is_new); /* all begin at the same place */
        CHECK(at && is_new);
        *at = (uint32_t)i + 1;
    }
    for (uint64_t i = 0; i < 5000; i++)
        CHECK_INT(hash_set_get(&set, i * 1024), i + 1);
    CHECK_INT(hash_set_get(&set, 3), 0);
    CHECK(hash_set_at(&set, 0, &is_new) && !is_new);
    hash_set_free(&set);
}

/* ---- frontier ---- */
static struct frontier *frontier_made(const struct frontier_conf *conf)
{
    struct frontier *f;
    CHECK_OK(frontier_open(&f, conf));
    return f;
}

/* Every URL comes once, shallow before deep, one page of a host at a time, none before its time.
 * The oracle: plain arrays of what was added, looked through each time. */
TEST(crawl_seeds_frontier_order)
{
    enum { HOSTS = 7, PAGES = 4000 };
    struct frontier_conf conf = {.scope = {.kind = SCOPE_ANY}, .depth = 6, .urls_max = 100000};
    struct frontier *f = frontier_made(&conf);
    static bool waiting[PAGES];
    bool out[HOSTS] = {0};
    uint64_t due[HOSTS] = {0}, now = 1000, state = 5;
    uint32_t holding[HOSTS], count = 0, done = 0;
    char url[64];
    while (done < PAGES) {
        if (count < PAGES && test_random(&state) % 3) {
            uint32_t via = count ? (uint32_t)(test_random(&state) % count) : FRONTIER_NONE;
            snprintf(url, sizeof url, "http://h%d/%u", (int)(test_random(&state) % HOSTS), count);
            enum hop hop = via == FRONTIER_NONE ? HOP_SEED : HOP_LINK;
            int verdict = frontier_add(f, str_of(url), via, hop);
            CHECK(verdict == FRONTIER_ADDED || verdict == FRONTIER_DEEP);
            if (verdict == FRONTIER_ADDED) {
                CHECK_INT(frontier_add(f, str_of(url), via, HOP_LINK), FRONTIER_KNOWN);
                waiting[count++] = true;
            }
            continue;
        }
        now += test_random(&state) % 50;
        uint32_t page = frontier_take(f, now);
        uint32_t best = FRONTIER_NONE;
        bool any = false;
        for (uint32_t i = 0; i < count; i++) {
            uint32_t host = frontier_page(f, i)->host;
            any |= waiting[i] && !out[host] && due[host] <= now;
            if (page != FRONTIER_NONE && waiting[i] && host == frontier_page(f, page)->host &&
                (best == FRONTIER_NONE ||
                 frontier_page(f, i)->depth < frontier_page(f, best)->depth))
                best = i;
        }
        CHECK_INT(page != FRONTIER_NONE, any);
        if (page != FRONTIER_NONE) {
            uint32_t host = frontier_page(f, page)->host;
            CHECK_INT(page, best);
            CHECK(!out[host] && due[host] <= now);
            out[host] = true;
            holding[host] = page;
            waiting[page] = false;
        }
        uint32_t host = (uint32_t)(test_random(&state) % HOSTS);
        if (host < frontier_host_count(f) && out[host]) {
            due[host] = now + test_random(&state) % 100;
            out[host] = false;
            if (test_random(&state) % 5 == 0) {
                CHECK_OK(frontier_later(f, holding[host], due[host]));
                waiting[holding[host]] = true;
            } else {
                CHECK_OK(frontier_done(f, holding[host], PAGE_WRITTEN, 200, 1, "", due[host]));
                done++;
            }
        }
    }
    CHECK_INT(frontier_counts(f)->waiting, 0);
    CHECK_INT(frontier_counts(f)->end[PAGE_WRITTEN], PAGES);
    CHECK(frontier_wait(f, now) == UINT64_MAX);
    frontier_close(f);
}

static int on_replay(void *self, struct str line, bool is_checkpoint)
{
    return is_checkpoint || frontier_replay(self, line) ? 0 : ERR_FORMAT;
}

/* Played back, a frontier hands out the same pages in the same order as the one that wrote. */
TEST(crawl_seeds_frontier_replay)
{
    struct frontier_conf conf = {
        .scope = {.kind = SCOPE_HOST, .pattern_max = 50}, .depth = 3, .urls_max = 1000};
    char path[IO_PATH_MAX], url[64], hops[FRONTIER_PATH_MAX + 1];
    struct journal *j;
    uint32_t seed;
    CHECK_OK(io_path(path, "%s/j", test_dir()));
    struct frontier *one = frontier_made(&conf), *two = frontier_made(&conf);
    struct journal_reader reader = {on_replay, two};
    CHECK_OK(journal_open(&j, path, &reader));
    frontier_journal(one, j);
    CHECK_INT(frontier_add(one, STR("http://a/"), FRONTIER_NONE, HOP_SEED), FRONTIER_ADDED);
    CHECK_INT(frontier_add(one, STR("http://b/moved"), 0, HOP_REDIRECT), FRONTIER_ADDED);
    CHECK_INT(frontier_add(one, STR("http://b/in"), 1, HOP_LINK), FRONTIER_ADDED);
    CHECK_INT(frontier_add(one, STR("http://c/out"), 1, HOP_LINK), SCOPE_OUT);
    CHECK_INT(frontier_add(one, STR("http://c/map"), FRONTIER_NONE, HOP_SITEMAP), FRONTIER_ADDED);
    CHECK_INT(frontier_add(one, STR("http://a/listed"), 3, HOP_LINK), FRONTIER_ADDED);
    CHECK_INT(frontier_page(one, 4)->depth, 1);
    for (int i = 0; i < 100; i++) {
        snprintf(url, sizeof url, "http://a/%d", i);
        int verdict = frontier_add(one, str_of(url), (uint32_t)(i ? 4 + i % 2 : 0), HOP_LINK);
        CHECK_INT(verdict, i < 50 ? FRONTIER_ADDED : SCOPE_TRAP);
    }
    uint32_t page = frontier_take(one, 0);
    CHECK_OK(frontier_done(one, page, PAGE_WRITTEN, 200, 10, "sha1:X date", 0));
    CHECK_OK(journal_checkpoint(j, "x"));
    journal_close(j);
    frontier_journal(one, NULL);
    CHECK_OK(journal_open(&j, path, &reader));
    CHECK_OK(frontier_ready(two));
    CHECK_INT(frontier_counts(two)->waiting, frontier_counts(one)->waiting);
    CHECK_INT(frontier_add(two, STR("http://a/51"), 4, HOP_LINK), SCOPE_TRAP);
    CHECK_INT(frontier_add(two, STR("http://b/2"), 1, HOP_LINK), FRONTIER_ADDED);
    CHECK_INT(frontier_add(one, STR("http://b/2"), 1, HOP_LINK), FRONTIER_ADDED);
    for (;;) {
        page = frontier_take(one, 0);
        CHECK_INT(frontier_take(two, 0), page);
        if (page == FRONTIER_NONE)
            break;
        CHECK(str_eq(frontier_url(one, page), frontier_url(two, page)));
        CHECK_OK(frontier_done(one, page, PAGE_FAILED, 0, 0, "", 0));
        CHECK_OK(frontier_done(two, page, PAGE_FAILED, 0, 0, "", 0));
    }
    frontier_path(two, 2, hops, &seed);
    CHECK_STR(str_of(hops), "RL");
    CHECK_INT(seed, 0);
    frontier_path(two, 4, hops, &seed);
    CHECK_STR(str_of(hops), "ML");
    journal_close(j);
    frontier_close(one);
    frontier_close(two);
}

/* A run without a network finishes nothing: the next one asks again, and what then comes counts. */
TEST(crawl_seeds_frontier_asks_again)
{
    static const enum page_end end[] = {PAGE_FAILED, PAGE_NO_HOST, PAGE_UNREACHABLE,
                                        PAGE_OVER_LIMIT, PAGE_EXCLUDED};
    struct frontier_conf conf = {
        .scope = {.kind = SCOPE_HOST, .pattern_max = 50}, .depth = 3, .urls_max = 1000};
    char path[IO_PATH_MAX];
    struct journal *j;
    CHECK_OK(io_path(path, "%s/again", test_dir()));
    for (int run = 0; run < 4; run++) { /* 0: down; 1: down again; 2: up; 3: looks */
        struct frontier *f = frontier_made(&conf);
        struct journal_reader reader = {on_replay, f};
        CHECK_OK(journal_open(&j, path, &reader));
        CHECK_OK(frontier_ready(f));
        frontier_journal(f, j);
        for (int i = 0; i < 5 && run == 0; i++) {
            char url[] = "http://0/";
            url[7] = (char)('a' + i);
            CHECK_INT(frontier_add(f, str_of(url), FRONTIER_NONE, HOP_SEED), FRONTIER_ADDED);
        }
        const struct frontier_counts *n = frontier_counts(f);
        CHECK_INT(n->waiting, run == 0 ? 5 : run == 3 ? 0 : 4);
        CHECK_INT(n->end[PAGE_WRITTEN], run == 3 ? 4 : 0);
        CHECK_INT(n->end[PAGE_EXCLUDED], run > 0);
        CHECK_INT(n->end[PAGE_FAILED] + n->end[PAGE_NO_HOST] + n->end[PAGE_UNREACHABLE], 0);
        for (uint32_t page; (page = frontier_take(f, 0)) != FRONTIER_NONE;)
            CHECK_OK(frontier_done(f, page, run < 2 ? end[page] : PAGE_WRITTEN, 0, 0, "", 0));
        CHECK_OK(journal_checkpoint(j, "x"));
        journal_close(j);
        frontier_close(f);
    }
}

/* Redirects in a row, depth, and the number of URLs have ends. */
TEST(crawl_seeds_frontier_limits)
{
    struct frontier_conf conf = {.scope = {.kind = SCOPE_ANY}, .depth = 2, .urls_max = 20};
    struct frontier *f = frontier_made(&conf);
    char url[64];
    CHECK_INT(frontier_add(f, STR("http://a/"), FRONTIER_NONE, HOP_SEED), FRONTIER_ADDED);
    for (int i = 1; i <= FRONTIER_REDIRECTS_MAX + 1; i++) {
        snprintf(url, sizeof url, "http://a/r%d", i);
        CHECK_INT(frontier_add(f, str_of(url), (uint32_t)i - 1, HOP_REDIRECT),
                  i <= FRONTIER_REDIRECTS_MAX ? FRONTIER_ADDED : FRONTIER_DEEP);
    }
    CHECK_INT(frontier_add(f, STR("http://a/1"), 0, HOP_LINK), FRONTIER_ADDED);
    CHECK_INT(frontier_add(f, STR("http://a/2"), 11, HOP_LINK), FRONTIER_ADDED);
    CHECK_INT(frontier_add(f, STR("http://a/3"), 12, HOP_LINK), FRONTIER_DEEP);
    for (int i = 13; i <= 20; i++) {
        snprintf(url, sizeof url, "http://a/s%d", i);
        CHECK_INT(frontier_add(f, str_of(url), 0, HOP_LINK),
                  i < 20 ? FRONTIER_ADDED : FRONTIER_FULL);
    }
    CHECK_INT(frontier_counts(f)->refused[FRONTIER_FULL], 1);
    frontier_close(f);
}

/* ---- links ---- */
static const char *links_text(const char *html, const char *charset)
{
    static char out[4096];
    static const char letter[] = "afrnch";
    struct arena a;
    struct page_links links;
    size_t n = 0;
    CHECK_OK(arena_open(&a, 1 << 20));
    CHECK_OK(links_find(&a, str_of(html), str_of(charset), "us", &links));
    for (uint32_t i = 0; i < links.count; i++)
        n += (size_t)snprintf(out + n, sizeof out - n, "%s%c%s:%.*s", n ? " " : "",
                              letter[links.link[i].kind], links.link[i].nofollow ? "!" : "",
                              STR_ARG(links.link[i].ref));
    if (links.base.ptr)
        n += (size_t)snprintf(out + n, sizeof out - n, " base=%.*s", STR_ARG(links.base));
    if (links.directives)
        n += (size_t)snprintf(out + n, sizeof out - n, " %u", links.directives);
    out[n] = 0;
    arena_close(&a);
    return out;
}

/* Expected by hand from the HTML standard's tokenizer. */
TEST(crawl_seeds_links)
{
    static const char *const rows[][2] = {
        {"<a href=x>", "a:x"},
        {"<A HREF = 'x y' href=z>", "a:x y"},
        {"<a title='>' href=\"x\">", "a:x"},
        {"<a data-href=x nohref>", ""},
        {"<a\nhref=x/>", "a:x/"},
        {"<a/href=x>", "a:x"},
        {"<area href=m rel='x NoFollow'><a href=n rel=nofollowed>", "a!:m a:n"},
        {"<a href=\"?a=1&amp;b=2&#x26;c=3&copy=4&amp\">", "a:?a=1&b=2&c=3&copy=4&"},
        {"<a href=\"&#104;ttp&colon;//h&#47;\">", "a:http://h/"},
        {"<a href='#top'><a href=''><a href=' '>", ""},
        {"<!-- <a href=x> --><a href=y>", "a:y"},
        {"<!--><a href=x>", "a:x"},
        {"<!---><a href=x>", "a:x"},
        {"<!-- --!><a href=x>", "a:x"},
        {"<!-- -- > <a href=x>", ""},
        {"<!doctype html><a href=x>", "a:x"},
        {"<?php <a href=x> ?><a href=y>", "a:y"},
        {"<script>'<a href=x>'</script><a href=y>", "a:y"},
        {"<script>'</scriptx><a href=x>'</SCRIPT ><a href=y>", "a:y"},
        {"<style><a href=x></style><title><a href=y></title><a href=z>", "a:z"},
        {"<textarea><a href=x></textarea ><noscript><a href=y></noscript>", "a:y"},
        {"<script><a href=x>", ""},
        {"<iframe src=f><a href=x></iframe><frame src=g>", "f:f f:g"},
        {"<link rel=next href=n><link rel='stylesheet next' href=s><link rel=canonical href=c>",
         "n:n c:c"},
        {"<link rel=alternate hreflang=de href=d><link rel=alternate type='application/rss+xml' "
         "href=r>",
         "h:d"},
        {"<base href=/b/><base href=/c/><a href=x>", "a:x base=/b/"},
        {"<meta http-equiv=refresh content=\"5; URL='next.html'\">", "r:next.html"},
        {"<meta http-equiv=Refresh content='0;u.html'>", "r:u.html"},
        {"<meta http-equiv=refresh content='30'>", ""},
        {"<meta name=robots content='noindex,nofollow'>", " 3"},
        {"<meta name=US content=none><meta name=other content=noai>", " 3"},
        {"<meta name=tdm-reservation content=1>", " 8"},
        {"<plaintext><a href=x>", ""},
        {"< a href=x><1 href=y></a href=z>", ""},
        {"<a href='x", ""},
        {"<a href=x", ""},
        {"a < b <a href=x>", "a:x"},
        {"<svg><a href=x></svg>", "a:x"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        if (strcmp(links_text(rows[i][0], ""), rows[i][1]) != 0)
            test_fail(__FILE__, __LINE__, "%s: got \"%s\", want \"%s\"", rows[i][0],
                      links_text(rows[i][0], ""), rows[i][1]);
}

TEST(crawl_seeds_links_charset)
{
    CHECK_STR(str_of(links_text("<a href='/\xE9?\xE9'>", "iso-8859-1")), "a:/\xC3\xA9?\xE9");
    CHECK_STR(str_of(links_text("<meta charset=windows-1251><a href='/\xE9'>", "")), "a:/\xD0\xB9");
    CHECK_STR(str_of(links_text("<meta http-equiv=content-type content='text/html; "
                                "charset=shift_jis'><a href='/\x83\x84'>",
                                "")),
              "a:/\xE3\x83\xA4");
    CHECK_STR(str_of(links_text("<a href='/\xC3\xA9'>", "iso-8859-1")), "a:/\xC3\xA9");
    CHECK_STR(str_of(links_text("<a href='/\xE9'>", "no-such-charset")), "a:/\xE9");
}

/* Linear: a megabyte of each thing that could make a scan start over takes no time to speak of
 * (the test's own limit); bounded: no more links than the maximum, all counted. */
TEST_LIMIT(crawl_seeds_links_hostile, 20)
{
    static const char *const units[] = {
        "<a href=x>", "<!--",       "<script>",      "</script",
        "<a href='",  "<",          "<a ",           "<!",
        "&amp",       "<a href=&#", "<title>",       "--",
        "<a =",       "<iframe>",   "<base href=x>", "<meta name=robots content=a,"};
    for (size_t i = 0; i < COUNT_OF(units); i++) {
        struct buf html = {0};
        struct arena a;
        struct page_links links;
        while (html.len < 4 << 20)
            buf_text(&html, units[i]);
        CHECK_OK(arena_open(&a, 64 << 20));
        CHECK_OK(links_find(&a, buf_view(&html), STR(""), "us", &links));
        CHECK(links.count <= LINKS_MAX);
        CHECK(i != 0 || links.found == html.len / strlen(units[0]));
        arena_close(&a);
        buf_free(&html);
    }
}

TEST(crawl_seeds_links_any_bytes)
{
    static const char pieces[][24] = {"<a ",       "href=",
                                      "'",         "\"",
                                      ">",         "<!--",
                                      "-->",       "<script>",
                                      "</script>", "x",
                                      "&#",        ";",
                                      "<meta ",    "http-equiv=refresh ",
                                      "content=",  "<base ",
                                      "\xE9",      "charset=utf-7",
                                      "/",         "\0",
                                      "<",         "rel=nofollow ",
                                      "=",         "url=",
                                      "1"};
    uint64_t state = 9;
    struct buf html = {0};
    struct arena a;
    CHECK_OK(arena_open(&a, 1 << 20));
    for (int round = 0; round < 30000; round++) {
        struct page_links links;
        buf_clear(&html);
        for (uint64_t i = test_random(&state) % 30; i > 0; i--) {
            const char *piece = pieces[test_random(&state) % COUNT_OF(pieces)];
            buf_add(&html, piece, piece[0] ? strlen(piece) : 1);
        }
        char *exact = malloc(html.len + 1); /* so that ASan sees a byte read too many */
        memcpy(exact, html.ptr ? html.ptr : "", html.len);
        CHECK_OK(links_find(&a, (struct str){exact, html.len}, STR("x"), "us", &links));
        arena_reset(&a, 0);
        free(exact);
    }
    buf_free(&html);
    arena_close(&a);
}

/* ---- sitemaps ---- */
static const char *sitemap_text(struct str body)
{
    static char out[2048];
    struct arena a;
    struct sitemap map;
    size_t n = 0;
    CHECK_OK(arena_open(&a, (size_t)256 << 20));
    CHECK_OK(sitemap_read(&a, body, &map));
    out[0] = 0;
    for (uint32_t i = 0; i < map.count && n < 1900; i++)
        n += (size_t)snprintf(out + n, sizeof out - n, "%s%.*s", n ? " " : "", STR_ARG(map.url[i]));
    if (map.is_index)
        snprintf(out + n, sizeof out - n, " index");
    arena_close(&a);
    return out;
}

/* The forms sitemaps.org and search engines name. */
TEST(crawl_seeds_sitemaps)
{
    static const char *const rows[][2] = {
        {"<?xml version=\"1.0\"?><urlset xmlns=\"x\"><url><loc>http://a/1?a&amp;b</loc>"
         "<image:loc>http://a/i</image:loc></url><url><loc> http://a/2\n</loc></url></urlset>",
         "http://a/1?a&b http://a/2"},
        {"\xEF\xBB\xBF<sitemapindex><sitemap><loc><![CDATA[http://a/m.xml]]></loc></sitemap>"
         "</sitemapindex>",
         "http://a/m.xml index"},
        {"<s:urlset xmlns:s='x'><s:url><s:loc>http://a/</s:loc></s:url></s:urlset>", "http://a/"},
        {"<rss><channel><item><link>http://a/item</link></item></channel></rss>", "http://a/item"},
        {"<feed><entry><link href=\"http://a/entry\"/></entry></feed>", "http://a/entry"},
        {"http://a/1\r\nnot a URL\nhttps://a/2\n", "http://a/1 https://a/2"},
        {"<!-- <loc>http://a/no</loc> --><loc>http://a/yes</loc>", "http://a/yes"},
        {"<loc>http://a/open", ""},
        {"", ""},
        {"<html>404</html>", ""},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        CHECK_STR(str_of(sitemap_text(str_of(rows[i][0]))), rows[i][1]);
    struct buf packed = {0};
    gzip_add(&packed, STR("<urlset><url><loc>http://a/z</loc></url></urlset>"), 9);
    CHECK_STR(str_of(sitemap_text(buf_view(&packed))), "http://a/z");
    (void)sitemap_text(str_slice(buf_view(&packed), 0, packed.len / 2)); /* cut: no crash */
    buf_free(&packed);
}

/* A bomb is unpacked up to the limit, and no more URLs are taken than one file may hold. */
TEST(crawl_seeds_sitemap_limits)
{
    enum { TIMES = 3000000 };
    static const char unit[] = "<loc>http://a/0</loc>";
    struct arena a;
    struct sitemap map;
    size_t room = 1 << 20;
    unsigned char *packed = malloc(room);
    z_stream z = {.next_out = packed, .avail_out = (uInt)room};
    CHECK(packed && deflateInit2(&z, 1, Z_DEFLATED, 31, 9, Z_DEFAULT_STRATEGY) == Z_OK);
    for (int i = 0; i < TIMES; i++) {
        z.next_in = (Bytef *)(uintptr_t)unit;
        z.avail_in = sizeof unit - 1;
        CHECK(deflate(&z, i + 1 == TIMES ? Z_FINISH : Z_NO_FLUSH) >= 0);
    }
    CHECK_OK(arena_open(&a, (size_t)256 << 20));
    CHECK_OK(sitemap_read(&a, (struct str){(char *)packed, z.total_out}, &map));
    CHECK_INT(map.count, SITEMAP_URLS_MAX);
    CHECK(a.peak < (size_t)80 << 20);
    deflateEnd(&z);
    free(packed);
    arena_close(&a);
}

/* test_crawl_robots - robots.txt against RFC 9309's own examples and google/robotstxt's published
 * cases (the facts of robots_test.cc, 2024), and where we differ from the latter. */
#include "crawl/robots.h"
#include "tests/test.h"

static bool allowed(const char *text, const char *agent, const char *target)
{
    struct robots *r;
    CHECK_OK(robots_parse(&r, str_of(text), agent));
    bool yes = robots_allows(r, str_of(target));
    robots_close(r);
    return yes;
}
#define YES(text, agent, target) CHECK(allowed(text, agent, target))
#define NO(text, agent, target) CHECK(!allowed(text, agent, target))

TEST(crawl_robots_google_lines_and_groups)
{
    static const char groups[] = "allow: /foo/bar/\n\nuser-agent: FooBot\ndisallow: /\nallow: /x/\n"
                                 "user-agent: BarBot\ndisallow: /\nallow: /y/\n\n\nallow: /w/\n"
                                 "user-agent: BazBot\n\nuser-agent: FooBot\nallow: /z/\n"
                                 "disallow: /\n";
    NO("user-agent: FooBot\ndisallow: /\n", "FooBot", "/x/y");
    YES("foo: FooBot\nbar: /\n", "FooBot", "/x/y");
    NO("user-agent FooBot\ndisallow /\n", "FooBot", "/x/y");
    YES("", "FooBot", "");
    YES("user-agent: FooBot\ndisallow: /\n", "", "/");
    NO("user-agent: FooBot\ndisallow: /\n", "FooBot", "");
    YES(groups, "FooBot", "/x/b");
    YES(groups, "FooBot", "/z/d");
    NO(groups, "FooBot", "/y/c");
    YES(groups, "BarBot", "/y/c");
    YES(groups, "BarBot", "/w/a");
    NO(groups, "BarBot", "/z/d");
    YES(groups, "BazBot", "/z/d");
    NO(groups, "FooBot", "/foo/bar/");
    NO(groups, "BarBot", "/foo/bar/");
    NO(groups, "BazBot", "/foo/bar/");
    NO("USER-AGENT: FooBot\nALLOW: /x/\nDISALLOW: /\n", "FooBot", "/a/b");
    YES("uSeR-aGeNt: FooBot\nAlLoW: /x/\ndIsAlLoW: /\n", "FooBot", "/x/y");
}

TEST(crawl_robots_google_agents)
{
    static const char foo[] = "User-Agent: FoO bAr\nAllow: /x/\nDisallow: /\n";
    static const char two[] = "User-Agent: *\nDisallow: /\nUser-Agent: Foo Bar\nAllow: /x/\n"
                              "Disallow: /\n";
    static const char global[] = "user-agent: *\nallow: /\nuser-agent: FooBot\ndisallow: /\n";
    static const char only[] = "user-agent: FooBot\nallow: /\nuser-agent: BarBot\ndisallow: /\n"
                               "user-agent: BazBot\ndisallow: /\n";
    YES(foo, "Foo", "/x/y");
    YES(foo, "foo", "/x/y");
    NO(foo, "FOO", "/a/b");
    YES(two, "Foo", "/x/y");
    NO(two, "Foo Bar", "/x/y");
    NO(global, "FooBot", "/x/y");
    YES(global, "BarBot", "/x/y");
    YES(only, "QuxBot", "/x/y");
    YES("user-agent: FooBot-News\ndisallow: /\n", "FooBot", "/");
    NO("user-agent: FooBot/2.1\ndisallow: /\n", "FooBot", "/");
    NO("user-agent: bot360\ndisallow: /\n", "bot360", "/");
    char token[16];
    robots_token("my-bot_2/1.0 (+http://a.example)", token, sizeof token);
    CHECK_STR(str_of(token), "my-bot_2");
    robots_token("(odd)", token, sizeof token);
    CHECK_STR(str_of(token), "");
    robots_token("a-token-longer-than-its-room", token, sizeof token);
    CHECK_STR(str_of(token), "a-token-longer-");
}

TEST(crawl_robots_google_longest_match)
{
    NO("user-agent: FooBot\ndisallow: /x/\n", "FooBot", "/x/y");
    YES("user-agent: FooBot\ndisallow: /X/\n", "FooBot", "/x/y");
    NO("user-agent: FooBot\ndisallow: /x/page.html\nallow: /x/\n", "FooBot", "/x/page.html");
    YES("user-agent: FooBot\nallow: /x/page.html\ndisallow: /x/\n", "FooBot", "/x/page.html");
    NO("user-agent: FooBot\nallow: /x/page.html\ndisallow: /x/\n", "FooBot", "/x/");
    YES("user-agent: FooBot\ndisallow: \nallow: \n", "FooBot", "/x/page.html");
    YES("user-agent: FooBot\ndisallow: /\nallow: /\n", "FooBot", "/x/page.html");
    NO("user-agent: FooBot\ndisallow: /x\nallow: /x/\n", "FooBot", "/x");
    YES("user-agent: FooBot\ndisallow: /x\nallow: /x/\n", "FooBot", "/x/");
    YES("user-agent: FooBot\ndisallow: /x/page.html\nallow: /x/page.html\n", "FooBot",
        "/x/page.html");
    NO("user-agent: FooBot\nallow: /page\ndisallow: /*.html\n", "FooBot", "/page.html");
    YES("user-agent: FooBot\nallow: /page\ndisallow: /*.html\n", "FooBot", "/page");
    YES("user-agent: FooBot\nallow: /x/page.\ndisallow: /*.html\n", "FooBot", "/x/page.html");
    NO("user-agent: FooBot\nallow: /x/page.\ndisallow: /*.html\n", "FooBot", "/x/y.html");
    YES("User-agent: *\nDisallow: /x/\nUser-agent: FooBot\nDisallow: /y/\n", "FooBot", "/x/page");
    NO("User-agent: *\nDisallow: /x/\nUser-agent: FooBot\nDisallow: /y/\n", "FooBot", "/y/page");
}

/* Google matches bytes, RFC 9309 2.2.2 compares what they mean: a bare letter of a URL and its %XX
 * are one. URLs come here normalised, so a bare non-ASCII letter means its %XX as well. */
TEST(crawl_robots_encoding)
{
    static const char all[] = "User-agent: FooBot\nDisallow: /\nAllow: ";
    static const struct {
        const char *rule, *target;
        bool yes;
    } rows[] = {
        {"/foo/bar?qux=taz&baz=http://foo.bar?tar&par",
         "/foo/bar?qux=taz&baz=http://foo.bar?tar&par", true},
        {"/foo/bar/\xE3\x83\x84", "/foo/bar/%E3%83%84", true},
        {"/foo/bar/%E3%83%84", "/foo/bar/%E3%83%84", true},
        {"/foo/bar/%e3%83%84", "/foo/bar/%E3%83%84", true},
        {"/foo/bar/%E3%83%84", "/foo/bar/\xE3\x83\x84", true},
        {"/foo/bar/%62%61%7A", "/foo/bar/baz", true},
        {"/foo/bar/%62%61%7A", "/foo/bar/%62%61%7A", true},
        {"/foo/bar/%2F", "/foo/bar//", false},
        {"/a b", "/a%20b", true},
        {"/path/file-with-a-%2A.html", "/path/file-with-a-*.html", true},
        {"/path/file-with-a-%2A.html", "/path/file-with-a-b.html", false},
        {"/path/foo-%24", "/path/foo-$", true},
        {"/path/foo-%24", "/path/foo-", false},
        {"/a$b", "/a$b", true},
        {"/a$b", "/a", false},
        {"/100%", "/100%25", true},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        char text[512];
        snprintf(text, sizeof text, "%s%s\n", all, rows[i].rule);
        if (allowed(text, "FooBot", rows[i].target) != rows[i].yes)
            test_fail(__FILE__, __LINE__, "%s against %s", rows[i].rule, rows[i].target);
    }
}

TEST(crawl_robots_google_special_characters)
{
    static const char star[] = "User-agent: FooBot\nDisallow: /foo/bar/quz\nAllow: /foo/*/qux\n";
    static const char end[] = "User-agent: FooBot\nDisallow: /foo/bar$\nAllow: /foo/bar/qux\n";
    static const char note[] = "User-agent: FooBot\n# Disallow: /\nDisallow: /foo/quz#qux\n"
                               "Allow: /\n";
    NO(star, "FooBot", "/foo/bar/quz");
    YES(star, "FooBot", "/foo/quz");
    YES(star, "FooBot", "/foo//quz");
    YES(star, "FooBot", "/foo/bax/quz");
    NO(end, "FooBot", "/foo/bar");
    YES(end, "FooBot", "/foo/bar/qux");
    YES(end, "FooBot", "/foo/bar/");
    YES(end, "FooBot", "/foo/bar/baz");
    YES(note, "FooBot", "/foo/bar");
    NO(note, "FooBot", "/foo/quz");
}

/* developers.google.com/search/reference/robots_txt: "URL matching based on path values". */
TEST(crawl_robots_google_documentation)
{
    static const struct {
        const char *rule;
        const char *yes[8], *no[9];
    } rows[] = {
        {"/fish",
         {"/fish", "/fish.html", "/fish/salmon.html", "/fishheads", "/fishheads/yummy.html",
          "/fish.html?id=anything"},
         {"/bar", "/Fish.asp", "/catfish", "/?id=fish"}},
        {"/fish*",
         {"/fish", "/fish.html", "/fish/salmon.html", "/fishheads", "/fishheads/yummy.html",
          "/fish.html?id=anything"},
         {"/bar", "/Fish.bar", "/catfish", "/?id=fish"}},
        {"/fish/",
         {"/fish/", "/fish/salmon", "/fish/?salmon", "/fish/salmon.html", "/fish/?id=anything"},
         {"/bar", "/fish", "/fish.html", "/Fish/Salmon.html"}},
        {"/*.php",
         {"/filename.php", "/folder/filename.php", "/folder/filename.php?parameters",
          "//folder/any.php.file.html", "/filename.php/", "/index?f=filename.php/"},
         {"/bar", "/php/", "/index?php", "/windows.PHP"}},
        {"/*.php$",
         {"/filename.php", "/folder/filename.php"},
         {"/bar", "/filename.php?parameters", "/filename.php/", "/filename.php5", "/php/",
          "/filename?php", "/aaaphpaaa", "//windows.PHP"}},
        {"/fish*.php", {"/fish.php", "/fishheads/catfish.php?parameters"}, {"/bar", "/Fish.PHP"}},
        {"/$", {"/"}, {"/page.html"}},
        {"/p", {"/page"}, {"/"}},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        char text[256];
        snprintf(text, sizeof text, "user-agent: FooBot\ndisallow: /\nallow: %s\n", rows[i].rule);
        for (size_t j = 0; j < COUNT_OF(rows[i].yes) && rows[i].yes[j]; j++)
            if (!allowed(text, "FooBot", rows[i].yes[j]))
                test_fail(__FILE__, __LINE__, "%s refuses %s", rows[i].rule, rows[i].yes[j]);
        for (size_t j = 0; j < COUNT_OF(rows[i].no) && rows[i].no[j]; j++)
            if (allowed(text, "FooBot", rows[i].no[j]))
                test_fail(__FILE__, __LINE__, "%s allows %s", rows[i].rule, rows[i].no[j]);
    }
    YES("user-agent: FooBot\nallow: /folder\ndisallow: /folder\n", "FooBot", "/folder/page");
    NO("user-agent: FooBot\nallow: /page\ndisallow: /*.htm\n", "FooBot", "/page.htm");
    /* Google's own rule, not the RFC's: "/index.html" allowed means "/" too. Not here. */
    NO("User-Agent: *\nAllow: /d/index.html\nDisallow: /\n", "foobot", "/d/");
    YES("User-Agent: *\nAllow: /d/index.html\nDisallow: /\n", "foobot", "/d/index.html");
}

/* RFC 9309 section 5.1, the first example; 5.2 (longest match). */
TEST(crawl_robots_rfc9309)
{
    static const char simple[] =
        "User-Agent: *\nDisallow: *.gif$\nDisallow: /example/\nAllow: /publications/\n\n"
        "User-Agent: foobot\nDisallow:/\nAllow:/example/page.html\nAllow:/example/allowed.gif\n\n"
        "User-Agent: barbot\nUser-Agent: bazbot\nDisallow: /example/page.html\n\n"
        "User-Agent: quxbot\n\nEOF\n";
    static const char longest[] = "User-Agent: foobot\nAllow: /example/page/\n"
                                  "Disallow: /example/page/disallowed.gif\n";
    NO(simple, "other", "/a/b.gif");
    YES(simple, "other", "/a/b.gif?c");
    NO(simple, "other", "/example/x");
    YES(simple, "other", "/publications/x");
    NO(simple, "foobot", "/publications/");
    YES(simple, "foobot", "/example/page.html");
    YES(simple, "foobot", "/example/allowed.gif");
    NO(simple, "bazbot", "/example/page.html");
    YES(simple, "barbot", "/a.gif");
    YES(simple, "quxbot", "/example/page.html");
    NO(longest, "foobot", "/example/page/disallowed.gif");
    YES(longest, "foobot", "/example/page/x");
    YES("User-agent: *\nDisallow: /\n", "any", "/robots.txt");
}

TEST(crawl_robots_bytes)
{
    static const char *const ends[] = {"\n", "\r\n", "\r"};
    char text[256];
    for (size_t i = 0; i < COUNT_OF(ends); i++) {
        snprintf(text, sizeof text,
                 "User-Agent: foo%sAllow: /some/%sUser-Agent: bar%s%s%sDisallow: /", ends[i],
                 ends[i], ends[i], ends[i], ends[i]);
        NO(text, "bar", "/x");
        YES(text, "foo", "/x");
    }
    NO("\xEF\xBB\xBFUser-Agent: foo\nDisallow: /\n", "foo", "/x");
    NO("\xEF\xBBUser-Agent: foo\nDisallow: /\n", "foo", "/x");
    NO("\xEFUser-Agent: foo\nDisallow: /\n", "foo", "/x");
    YES("\xEF\x11\xBFUser-Agent: foo\nDisallow: /\n", "foo", "/x");
    YES("User-Agent: foo\n\xEF\xBB\xBF"
        "Disallow: /\n",
        "foo", "/x");
    YES("<!DOCTYPE html><html><body>Disallow: / is what you want?</body></html>", "foo", "/x");
    NO("junk \xFF\xFE\n: /\n\nUser-agent: *\nDisallow: private\n", "foo", "/private/x");
    NO("User-agent: *\nCrawl-delay: 1\nUser-agent: foo\nSitemap: x\nDisallow: /\n", "bar", "/x");
}

/* 500 KiB are read and no half line; rules beyond do not count. */
TEST(crawl_robots_size)
{
    struct buf text = {0};
    struct robots *r;
    buf_text(&text, "User-agent: *\nDisallow: /in\n");
    while (text.len < ROBOTS_MAX - 20)
        buf_text(&text, "# padding\n");
    while (text.len < ROBOTS_MAX - 10)
        buf_char(&text, '\n');
    buf_text(&text, "Disallow: /beyond\nDisallow: /out\n");
    CHECK(text.len > ROBOTS_MAX);
    CHECK_OK(robots_parse(&r, buf_view(&text), "foo"));
    CHECK(!robots_allows(r, STR("/in")));
    CHECK(robots_allows(r, STR("/out")));
    CHECK(robots_allows(r, STR("/a"))); /* "Disallow: /" of the line cut in two would forbid it */
    robots_close(r);
    /* The costliest rules: stars that match everywhere, against a long URL. */
    buf_clear(&text);
    buf_text(&text, "User-agent: *\n");
    while (text.len < ROBOTS_MAX - 200)
        buf_text(&text, "Disallow: /*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*ab$\n");
    char target[2048];
    memset(target, 'a', sizeof target);
    target[0] = '/';
    CHECK_OK(robots_parse(&r, buf_view(&text), "foo"));
    CHECK(robots_allows(r, (struct str){target, sizeof target}));
    robots_close(r);
    buf_free(&text);
}

TEST(crawl_robots_delay_and_sitemaps)
{
    static const struct {
        const char *text;
        int64_t all, us;
    } rows[] = {
        {"User-agent: *\nCrawl-delay: 2.5\n", 2500, 2500},
        {"User-agent: *\nCrawl-delay: 3\nUser-agent: us\nCrawl-delay: 7s\nDisallow:\n", 3000, 7000},
        {"User-agent: *\nCrawl-delay: 3\nDisallow:\nUser-agent: us\nDisallow: /x\n", 3000, 0},
        {"User-agent: *\nCrawl-delay: 999999\n", ROBOTS_DELAY_MAX_MS, ROBOTS_DELAY_MAX_MS},
        {"User-agent: *\nCrawl-delay: -1\nCrawl-delay: x\n", 0, 0},
        {"Crawl-delay: 5\nUser-agent: *\n", 0, 0},
        {"User-agent: *\nRequest-rate: 1/5\n", 5000, 5000},
        {"User-agent: *\nRequest-rate: 30/1m 0600-0845\n", 2000, 2000},
        {"User-agent: *\nRequest-rate: 0/0\nRequest-rate: 1/\n", 0, 0},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct robots *r;
        CHECK_OK(robots_parse(&r, str_of(rows[i].text), "other"));
        CHECK_INT(robots_delay_ms(r), rows[i].all);
        robots_close(r);
        CHECK_OK(robots_parse(&r, str_of(rows[i].text), "us"));
        CHECK_INT(robots_delay_ms(r), rows[i].us);
        robots_close(r);
    }
    struct buf text = {0};
    buf_text(&text, "Sitemap: http://a/1.xml\nUser-agent: x\nsite-map: /2.xml # c\nDisallow: /\n");
    for (int i = 0; i < 2 * ROBOTS_SITEMAPS_MAX; i++)
        buf_printf(&text, "Sitemap: http://a/more%d\n", i);
    struct robots *r;
    const char *const *url;
    CHECK_OK(robots_parse(&r, buf_view(&text), "us"));
    CHECK_INT(robots_sitemaps(r, &url), ROBOTS_SITEMAPS_MAX);
    CHECK_STR(str_of(url[0]), "http://a/1.xml");
    CHECK_STR(str_of(url[1]), "/2.xml");
    robots_close(r);
    buf_free(&text);
}

static bool kept_from_training(const char *text, const char *target)
{
    struct robots *r;
    CHECK_OK(robots_parse(&r, str_of(text), "us"));
    bool no = robots_no_training(r, str_of(target));
    robots_close(r);
    return no;
}

TEST(crawl_robots_training)
{
    CHECK(kept_from_training("User-agent: *\nContent-Signal: search=yes,ai-train=no\nAllow: /\n",
                             "/x"));
    CHECK(!kept_from_training("User-agent: *\nContent-Signal: search=yes, ai-train=yes\n", "/x"));
    CHECK(!kept_from_training("User-agent: *\nContent-Signal: search=no\n", "/x"));
    CHECK(!kept_from_training("User-agent: x\nContent-Signal: ai-train=no\nDisallow: /\n", "/x"));
    CHECK(kept_from_training("User-agent: *\nContent-Usage: train-ai=n\n", "/x"));
    CHECK(!kept_from_training(
        "User-agent: *\nContent-Usage: train-ai=n\nContent-Usage: /open/ train-ai=y\n", "/open/x"));
    CHECK(kept_from_training("User-agent: *\nContent-Usage: /closed/ train-ai=n\n", "/closed/x"));
    CHECK(!kept_from_training("User-agent: *\nContent-Usage: /closed/ train-ai=n\n", "/x"));
    CHECK_INT(robots_directives(STR("noindex, NoFollow"), "us"), ROBOTS_NOINDEX | ROBOTS_NOFOLLOW);
    CHECK_INT(robots_directives(STR("none"), "us"), ROBOTS_NOINDEX | ROBOTS_NOFOLLOW);
    CHECK_INT(robots_directives(STR("noai, noimageai,noarchive"), "us"),
              ROBOTS_NOAI | ROBOTS_NOARCHIVE);
    CHECK_INT(robots_directives(STR("otherbot: noindex, nofollow"), "us"), 0);
    CHECK_INT(robots_directives(STR("otherbot: noindex, US: nofollow"), "us"), ROBOTS_NOFOLLOW);
    CHECK_INT(robots_directives(STR("unavailable_after: 25 Jun 2010 15:00:00 PST, noindex"), "us"),
              ROBOTS_NOINDEX);
    CHECK_INT(robots_directives(STR("max-snippet:-1, index, follow"), "us"), 0);
}

TEST(crawl_robots_any_bytes)
{
    static const char pieces[][20] = {"User-agent: ",
                                      "*",
                                      "us",
                                      "\n",
                                      "\r",
                                      "Disallow: ",
                                      "Allow: ",
                                      "/",
                                      "$",
                                      "%2",
                                      "%41",
                                      "\xFF",
                                      "#",
                                      ":",
                                      "Crawl-delay:",
                                      "9e99",
                                      "Content-Usage: ",
                                      "train-ai=n",
                                      "Request-rate: ",
                                      "1/0",
                                      " "};
    uint64_t state = 3;
    struct buf text = {0};
    for (int round = 0; round < 20000; round++) {
        struct robots *r;
        buf_clear(&text);
        for (uint64_t i = test_random(&state) % 40; i > 0; i--)
            buf_text(&text, pieces[test_random(&state) % COUNT_OF(pieces)]);
        CHECK_OK(robots_parse(&r, buf_view(&text), "us"));
        (void)robots_allows(r, STR("/a/*$%41\xFF"));
        (void)robots_no_training(r, STR(""));
        CHECK(robots_delay_ms(r) >= 0 && robots_delay_ms(r) <= ROBOTS_DELAY_MAX_MS);
        robots_close(r);
    }
    buf_free(&text);
}

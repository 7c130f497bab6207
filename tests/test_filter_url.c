/* test_filter_url - lists and words in addresses. The table of blocked names is datatrove's
 * test_url, with the verdicts changed where the header of filter/url.c says that we differ. */
#include "core/io.h"
#include "tests/filter_run.h"

#include <math.h>

/* The rule for one address; host as crawlers fill it: lower case, no port. */
static const char *rule_of(struct filter_run *r, const char *url, const char *host)
{
    batch_clear(r->batch);
    struct doc *d = batch_add(r->batch);
    d->url = str_of(url);
    d->host = str_of(host);
    CHECK_OK(r->stage.type->run(&r->stage, r->local, r->batch));
    return filter_run_rule(r, d);
}

static void add_list(struct filter_run *r, const char *name, const char *path)
{
    for (const struct opt *row = r->stage.type->opts; row->type != OPT_END; row++) {
        if (!str_is(str_of(name), row->name))
            continue;
        struct opt_list *list = (struct opt_list *)(void *)((char *)r->stage.conf + row->offset);
        list->item = arena_array(&r->arena, const char *, 1);
        CHECK(list->item);
        list->item[0] = path;
        list->count = 1;
        return;
    }
    CHECK(!"list row");
}

TEST(filter_url_domains)
{
    struct filter_run r;
    filter_run_open(&r, "url", NULL);
    add_list(&r, "domains",
             test_put("domains",
                      STR("blocked.com\nDANGER.org.\r\n# comment\n\nbadsubdomain.nice.com\n")));
    CHECK_OK(r.stage.type->open(&r.stage, &r.schema));
    static const struct {
        const char *url, *host, *want;
    } cases[] = {
        {"https://blocked.com/some-sub-url?with=stuff", "blocked.com", "url.domain"},
        {"https://hey.danger.org/some-sub-url?with=stuff", "hey.danger.org", "url.domain"},
        {"http://www.danger.org/some-sub-url?with=stuff", "www.danger.org", "url.domain"},
        {"https://nice.com/some-sub-url?with=stuff", "nice.com", ""},
        {"https://badsubdomain.nice.com/x", "badsubdomain.nice.com", "url.domain"},
        {"https://sdsd.badsubdomain.nice.com/x", "sdsd.badsubdomain.nice.com",
         "url.domain"}, /* we: yes */
        {"https://blocke.dcom/some-sub-url?with=stuff", "blocke.dcom", ""},
        {"https://notblocked.com/", "notblocked.com", ""},
        {"https://blocked.com.org/", "blocked.com.org", ""},
        {"https://example.org/http://blocked.com/", "example.org", ""},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        const char *got = rule_of(&r, cases[i].url, cases[i].host);
        if (strcmp(got, cases[i].want) != 0)
            test_fail(__FILE__, __LINE__, "%s: got %s, want %s", cases[i].url, got, cases[i].want);
    }
    filter_run_close(&r);
}

TEST(filter_url_shape)
{
    struct filter_run r;
    filter_run_start(&r, "url", NULL);
    char *path = repeat("a", 3000);
    char address[4096];
    snprintf(address, sizeof address, "https://example.com/%s", path);
    CHECK_STR(str_of(rule_of(&r, address, "example.com")), "url.too_long");
    address[2048] = 0;
    CHECK_STR(str_of(rule_of(&r, address, "example.com")), "");
    CHECK_STR(str_of(rule_of(&r, "ftp://example.com/", "example.com")), "url.scheme");
    CHECK_STR(str_of(rule_of(&r, "HTTPS://example.com/", "example.com")), "");
    CHECK_STR(str_of(rule_of(&r, "", "")), "url.scheme");
    CHECK_STR(str_of(rule_of(&r, "http:///x", "")), "url.no_host");
    CHECK_STR(str_of(rule_of(&r, "http://192.168.0.1/x", "192.168.0.1")), "url.ip_host");
    CHECK_STR(str_of(rule_of(&r, "http://[::1]/x", "[::1]")), "url.ip_host");
    CHECK_STR(str_of(rule_of(&r, "http://123.com/x", "123.com")), "");
    CHECK_STR(str_of(rule_of(&r, "http://example.com/Free-CASINO-Poker", "example.com")),
              "url.soft_words");
    CHECK_STR(str_of(rule_of(&r, "http://example.com/poker/poker/POKER", "example.com")), "");
    CHECK_STR(str_of(rule_of(&r, "http://essex.com/middlesex/xxxiv", "essex.com")), "");
    filter_run_close(&r);
}

/* Texts of one's own have a name, not an address: nothing is measured, nothing dropped. */
TEST(filter_url_is_a_name)
{
    struct filter_run r;
    filter_run_start(&r, "url", NULL);
    for (int named = 0; named < 2; named++) {
        batch_clear(r.batch);
        struct doc *d = batch_add(r.batch);
        d->url = STR("books/casino-poker.txt");
        d->url_is_name = named;
        CHECK_OK(r.stage.type->run(&r.stage, r.local, r.batch));
        CHECK_STR(str_of(filter_run_rule(&r, d)), named ? "" : "url.scheme");
        CHECK_INT(isnan(d->signal[schema_find_signal(&r.schema, "url.bytes")]) != 0, named);
    }
    filter_run_close(&r);
}

TEST(filter_url_word_lists)
{
    struct filter_run r;
    filter_run_open(&r, "url", NULL);
    add_list(&r, "banned_words", test_put("banned", STR("Forbidden\n")));
    add_list(&r, "soft_words", test_put("soft", STR("cheap\nwatches\n")));
    add_list(&r, "subwords", test_put("sub", STR("free-stuff\nabc\n")));
    add_list(&r, "urls", test_put("urls", STR("example.com/Bad/page\nhttp://www.other.org/\n")));
    CHECK_OK(r.stage.type->open(&r.stage, &r.schema));
    CHECK_STR(str_of(rule_of(&r, "http://a.com/x/FORBIDDEN.html", "a.com")), "url.banned_word");
    CHECK_STR(str_of(rule_of(&r, "http://a.com/x/forbiddenx.html", "a.com")), "");
    CHECK_STR(str_of(rule_of(&r, "http://a.com/cheap/watches", "a.com")), "url.soft_words");
    CHECK_STR(str_of(rule_of(&r, "http://a.com/cheap/poker", "a.com")), "url.soft_words");
    CHECK_STR(str_of(rule_of(&r, "http://a.com/cheap/clocks", "a.com")), "");
    CHECK_STR(str_of(rule_of(&r, "http://a.com/my_Free_Stuff", "a.com")), "url.subword");
    CHECK_STR(str_of(rule_of(&r, "http://a.com/xxab-cxx", "a.com")), "url.subword");
    CHECK_STR(str_of(rule_of(&r, "http://a.com/xxab", "a.com")), "");
    CHECK_STR(str_of(rule_of(&r, "https://www.example.com/bad/page/", "www.example.com")),
              "url.address");
    CHECK_STR(str_of(rule_of(&r, "https://user@example.com/bad/page#top", "example.com")),
              "url.address");
    CHECK_STR(str_of(rule_of(&r, "https://example.com/bad/page2", "example.com")), "");
    CHECK_STR(str_of(rule_of(&r, "https://other.org", "other.org")), "url.address");
    filter_run_close(&r);
}

TEST(filter_url_list_errors)
{
    struct filter_run r;
    filter_run_open(&r, "url", NULL);
    add_list(&r, "domains", "/nonexistent/domains");
    CHECK(r.stage.type->open(&r.stage, &r.schema) < 0);
    CHECK(strstr(err_text(), "/nonexistent/domains"));
    r.stage.type->close(&r.stage);
    filter_run_close(&r);
    filter_run_open(&r, "url", NULL);
    add_list(&r, "subwords", test_put("short", STR("a-b\n")));
    CHECK_ERR(r.stage.type->open(&r.stage, &r.schema), ERR_USAGE);
    filter_run_close(&r);
}

/* Every name of a real UT1 list is found, itself and below; names made up are not. */
TEST(filter_url_ut1)
{
    const char *path = test_data("lists/ut1/gambling/domains");
    struct filter_run r;
    filter_run_open(&r, "url", NULL);
    add_list(&r, "domains", path);
    CHECK_OK(r.stage.type->open(&r.stage, &r.schema));
    char *bytes;
    size_t len;
    CHECK_OK(io_read_file(path, 64 << 20, &bytes, &len));
    struct str rest = {bytes, len};
    int count = 0, step = 0;
    while (rest.ptr && rest.len) {
        struct str name = str_trim(str_cut(rest, '\n', &rest));
        if (name.len == 0 || step++ % 20)
            continue;
        char host[512], address[1024];
        snprintf(host, sizeof host, "%s%.*s", step & 1 ? "www." : "a.b.", STR_ARG(name));
        snprintf(address, sizeof address, "http://%s/", host);
        batch_clear(r.batch);
        struct doc *d = batch_add(r.batch);
        d->url = str_of(address);
        d->host = str_of(host);
        CHECK_OK(r.stage.type->run(&r.stage, r.local, r.batch));
        CHECK_NUM(filter_run_signal(&r, d, "url.listed"), 1, 0);
        snprintf(host, sizeof host, "%.*sx", STR_ARG(name));
        d->host = str_of(host);
        d->rule = 0;
        CHECK_OK(r.stage.type->run(&r.stage, r.local, r.batch));
        CHECK_NUM(filter_run_signal(&r, d, "url.listed"), 0, 0);
        count++;
    }
    CHECK(count > 1000);
    free(bytes);
    filter_run_close(&r);
}

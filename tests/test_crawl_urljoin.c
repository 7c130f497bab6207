/* test_crawl_urljoin - resolution against RFC 3986's own examples, hosts against RFC 3492's, and
 * one form for each URL. */
#include "crawl/urlhost.h"
#include "crawl/urljoin.h"
#include "tests/test.h"

static const char *joined(const char *base, const char *ref)
{
    static char out[4096];
    struct buf to = {0};
    bool good = url_join(str_of(base), str_of(ref), &to);
    snprintf(out, sizeof out, "%s", good ? buf_cstr(&to) : "refused");
    buf_free(&to);
    return out;
}

static const char *normal(const char *url, unsigned strip)
{
    static char out[4096];
    struct buf to = {0};
    bool good = url_normalise(str_of(url), strip, &to);
    snprintf(out, sizeof out, "%s", good ? buf_cstr(&to) : "refused");
    buf_free(&to);
    return out;
}

/* RFC 3986 5.4.1 and 5.4.2, every row; "http:g" as 5.4.2 allows it and browsers do it. */
TEST(crawl_urljoin_rfc3986)
{
    static const char *const rows[][2] = {
        {"g:h", "g:h"},
        {"g", "http://a/b/c/g"},
        {"./g", "http://a/b/c/g"},
        {"g/", "http://a/b/c/g/"},
        {"/g", "http://a/g"},
        {"//g", "http://g"},
        {"?y", "http://a/b/c/d;p?y"},
        {"g?y", "http://a/b/c/g?y"},
        {"#s", "http://a/b/c/d;p?q#s"},
        {"g#s", "http://a/b/c/g#s"},
        {"g?y#s", "http://a/b/c/g?y#s"},
        {";x", "http://a/b/c/;x"},
        {"g;x", "http://a/b/c/g;x"},
        {"g;x?y#s", "http://a/b/c/g;x?y#s"},
        {"", "http://a/b/c/d;p?q"},
        {".", "http://a/b/c/"},
        {"./", "http://a/b/c/"},
        {"..", "http://a/b/"},
        {"../", "http://a/b/"},
        {"../g", "http://a/b/g"},
        {"../..", "http://a/"},
        {"../../", "http://a/"},
        {"../../g", "http://a/g"},
        {"../../../g", "http://a/g"},
        {"../../../../g", "http://a/g"},
        {"/./g", "http://a/g"},
        {"/../g", "http://a/g"},
        {"g.", "http://a/b/c/g."},
        {".g", "http://a/b/c/.g"},
        {"g..", "http://a/b/c/g.."},
        {"..g", "http://a/b/c/..g"},
        {"./../g", "http://a/b/g"},
        {"./g/.", "http://a/b/c/g/"},
        {"g/./h", "http://a/b/c/g/h"},
        {"g/../h", "http://a/b/c/h"},
        {"g;x=1/./y", "http://a/b/c/g;x=1/y"},
        {"g;x=1/../y", "http://a/b/c/y"},
        {"g?y/./x", "http://a/b/c/g?y/./x"},
        {"g?y/../x", "http://a/b/c/g?y/../x"},
        {"g#s/./x", "http://a/b/c/g#s/./x"},
        {"g#s/../x", "http://a/b/c/g#s/../x"},
        {"http:g", "http://a/b/c/g"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        CHECK_STR(str_of(joined("http://a/b/c/d;p?q", rows[i][0])), rows[i][1]);
}

/* What browsers do beyond the RFC (WHATWG URL, section 4.4). */
TEST(crawl_urljoin_as_browsers)
{
    static const char *const rows[][3] = {
        {"http://a.example", "x", "http://a.example/x"},
        {"http://a.example?q", "x", "http://a.example/x"},
        {"http://a/b/c", " \n g\t\n \f", "http://a/b/c"},
        {"http://a/b/c", "  g\th\r\ni ", "http://a/b/ghi"},
        {"http://a/b/c", "\\d\\e?f\\g", "http://a/d/e?f\\g"},
        {"http://a/b/c", "\\\\host\\p", "http://host/p"},
        {"http://a/b/c", "///host/p", "http://host/p"},
        {"https://a/b/c", "//host/p", "https://host/p"},
        {"https://a/b/c", "http:/host/p", "http:/host/p"},
        {"http://a/b/c", "%2e%2E/%2e/x", "http://a/x"},
        {"http://a/b/c", "mailto:x@y.z", "mailto:x@y.z"},
        {"http://a/b/c", "javascript:a\\b", "javascript:a\\b"},
        {"http://a/b/c", "x:80", "x:80"},
        {"http://a/b/c", "HTTP:x", "http://a/b/x"},
        {"nonsense", "x", "refused"},
    };
    CHECK_STR(str_of(joined(rows[0][0], rows[0][1])), rows[0][2]);
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        if (i != 2)
            CHECK_STR(str_of(joined(rows[i][0], rows[i][1])), rows[i][2]);
    CHECK_STR(str_of(joined("http://a/b/c", " \n g\t\n \f")), "http://a/b/g");
}

TEST(crawl_urljoin_one_form)
{
    static const char *const rows[][2] = {
        {"HTTP://WWW.Example.COM:80/%7Ejoe/%c3%a9/../a%2fb?#x",
         "http://www.example.com/~joe/a%2Fb"},
        {"https://example.com:443", "https://example.com/"},
        {"https://example.com:0443/", "https://example.com/"},
        {"http://example.com:8080", "http://example.com:8080/"},
        {"http://example.com:/", "http://example.com/"},
        {"http://example.com./x", "http://example.com/x"},
        {"http://user:secret@example.com/", "http://example.com/"},
        {"http://a@b@example.com/", "http://example.com/"},
        {"http://example.com/a b\"<>`{}|^", "http://example.com/a%20b%22%3C%3E%60%7B%7D%7C%5E"},
        {"http://example.com/\xC3\xA9?\xE9", "http://example.com/%C3%A9?%E9"},
        {"http://example.com/100%", "http://example.com/100%25"},
        {"http://example.com/%%34%31", "http://example.com/%2541"},
        {"http://example.com/a?b=%2f&c=%41", "http://example.com/a?b=%2F&c=A"},
        {"http://example.com//a///b", "http://example.com//a///b"},
        {"http://0x7f.1/", "http://127.0.0.1/"},
        {"http://2130706433/", "http://127.0.0.1/"},
        {"http://017700000001/", "http://127.0.0.1/"},
        {"http://1.2.3.4.5/", "refused"},
        {"http://1.2.3.999/", "refused"},
        {"http://[0:0:0:0:0:0:0:1]:80/", "http://[::1]/"},
        {"http://[::g]/", "refused"},
        {"http://ex%41mple.com/", "http://example.com/"},
        {"http://exa mple.com/", "refused"},
        {"http://ex%00ample.com/", "refused"},
        {"http://a..b/", "refused"},
        {"http:///", "refused"},
        {"http://:80/", "refused"},
        {"http://example.com:65536/", "refused"},
        {"http://example.com:-1/", "refused"},
        {"http://example.com:8x/", "refused"},
        {"ftp://example.com/", "refused"},
        {"javascript:alert(1)", "refused"},
        {"/relative", "refused"},
        {"", "refused"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        CHECK_STR(str_of(normal(rows[i][0], 0)), rows[i][1]);
}

/* Domains as registries list them; the samples of RFC 3492 7.1 that could be host names. */
TEST(crawl_urljoin_hosts)
{
    static const char *const rows[][2] = {
        {"b\xC3\xBC"
         "cher.example",
         "xn--bcher-kva.example"},
        {"M\xC3\x9CNCHEN.de", "xn--mnchen-3ya.de"},
        {"\xE4\xBE\x8B\xE5\xAD\x90\xE3\x80\x82\xE6\xB5\x8B\xE8\xAF\x95", "xn--fsqu00a.xn--0zwm56d"},
        {"\xE4\xBB\x96\xE4\xBB\xAC\xE4\xB8\xBA\xE4\xBB\x80\xE4\xB9\x88\xE4\xB8\x8D\xE8\xAF\xB4"
         "\xE4\xB8\xAD\xE6\x96\x87",
         "xn--ihqwcrb4cv8a8dqg056pqjye"},
        {"Pro\xC4\x8Dprost\xC4\x9Bnemluv\xC3\xAD\xC4\x8D"
         "esky",
         "xn--proprostnemluvesky-uyb24dma41a"},
        {"\xD7\x9C\xD7\x9E\xD7\x94\xD7\x94\xD7\x9D\xD7\xA4\xD7\xA9\xD7\x95\xD7\x98\xD7\x9C\xD7\x90"
         "\xD7\x9E\xD7\x93\xD7\x91\xD7\xA8\xD7\x99\xD7\x9D\xD7\xA2\xD7\x91\xD7\xA8\xD7\x99\xD7\xAA",
         "xn--4dbcagdahymbxekheh6e0a7fei0b"},
        {"xn--bcher-kva.example", "xn--bcher-kva.example"},
        {"stra\xC3\x9F"
         "e.de",
         "xn--strae-oqa.de"},
        {"my_host.example", "my_host.example"},
        {"\xF0\x9F\x98\x80.com", "refused"},
        {"\xEF\xBD\x81.com", "refused"},
        {"\xFF.com", "refused"},
        {"a*b.com", "refused"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct buf to = {0};
        bool good = url_host_add(str_of(rows[i][0]), &to);
        CHECK_STR(good ? buf_view(&to) : STR("refused"), rows[i][1]);
        buf_free(&to);
    }
    char label[80];
    memset(label, 'a', 64);
    label[63] = 0;
    struct buf to = {0};
    CHECK(url_host_add(str_of(label), &to));
    label[63] = 'a';
    label[64] = 0;
    CHECK(!url_host_add(str_of(label), &to));
    buf_free(&to);
    CHECK_STR(url_domain(STR("a.b.example.com")), "example.com");
    CHECK_STR(url_domain(STR("example.com")), "example.com");
    CHECK_STR(url_domain(STR("a.b.example.co.uk")), "example.co.uk");
    CHECK_STR(url_domain(STR("example.co.uk")), "example.co.uk");
    CHECK_STR(url_domain(STR("co.com")), "co.com");
    CHECK_STR(url_domain(STR("a.b.github.io")), "b.github.io");
    CHECK_STR(url_domain(STR("b.github.io")), "b.github.io");
    CHECK_STR(url_domain(STR("github.io")), "github.io");
    CHECK_STR(url_domain(STR("a.notgithub.io")), "notgithub.io");
    CHECK_STR(url_domain(STR("a.b.com.io")), "b.com.io");
    CHECK_STR(url_domain(STR("localhost")), "localhost");
    CHECK_STR(url_domain(STR("10.1.2.3")), "10.1.2.3");
    CHECK_STR(url_domain(STR("[::1]")), "[::1]");
}

TEST(crawl_urljoin_strips)
{
    static const char *const rows[][2] = {
        {"http://a/x;jsessionid=0A1B?p=1", "http://a/x?p=1"},
        {"http://a/x?PHPSESSID=abc&p=1&utm_source=x&q", "http://a/x?p=1&q"},
        {"http://a/x?sid=0123456789abcdef0123456789abcdef", "http://a/x"},
        {"http://a/x?sid=17&s=search", "http://a/x?sid=17&s=search"},
        {"http://a/(S(4hqa0555fwsecu455xqckv45))/b", "http://a/b"},
        {"http://a/x?fbclid=1&gclid=2", "http://a/x"},
        {"http://a/x;v=1;jsessionid=9;w=2/y", "http://a/x;v=1;w=2/y"},
        {"http://a/x?%75tm_source=x", "http://a/x"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        CHECK_STR(str_of(normal(rows[i][0], URL_STRIP_SESSION | URL_STRIP_TRACKING)), rows[i][1]);
    CHECK_STR(str_of(normal("http://a/x?utm_source=1&PHPSESSID=2", 0)),
              "http://a/x?utm_source=1&PHPSESSID=2");
    CHECK_STR(str_of(normal("http://a/x?utm_source=1&PHPSESSID=2", URL_STRIP_SESSION)),
              "http://a/x?utm_source=1");
}

TEST(crawl_urljoin_parts)
{
    struct str url = STR("http://[::1]:8080/a/b?c=http://d/");
    CHECK_STR(url_origin(url), "http://[::1]:8080");
    CHECK_STR(url_host(url), "[::1]");
    CHECK_STR(url_target(url), "/a/b?c=http://d/");
    CHECK_STR(url_host(STR("https://example.com/")), "example.com");
    CHECK_STR(url_host(STR("https://example.com:81/:")), "example.com");
}

/* Any bytes: no crash, and the form of the form is the form. */
TEST(crawl_urljoin_any_bytes)
{
    static const char pieces[][12] = {"http://", "a.b",   "/",   "..", "%2e",        "%",     "%41",
                                      "?",       "&sid=", "#",   "\\", "\xC3\xA9",   "\xFF",  ";",
                                      "utm_a=",  "(S(",   "))",  ":",  "@",          "[::1]", " ",
                                      "\t",      "%25",   "%zz", "=",  "1234567890", "xn--"};
    uint64_t state = 11;
    struct buf text = {0}, once = {0}, twice = {0};
    size_t good = 0;
    for (int round = 0; round < 60000; round++) {
        buf_clear(&text);
        buf_text(&text, round % 3 ? "http://h.example/" : "");
        for (uint64_t i = test_random(&state) % 9; i > 0; i--)
            buf_text(&text, pieces[test_random(&state) % COUNT_OF(pieces)]);
        unsigned strip = (unsigned)(test_random(&state) % 4);
        if (!url_resolve(STR("http://base.example/x/y"), buf_view(&text), strip, &once))
            continue;
        good++;
        if (!url_normalise(buf_view(&once), strip, &twice) ||
            !str_eq(buf_view(&once), buf_view(&twice)))
            test_fail(__FILE__, __LINE__, "%.*s: %.*s, then %.*s", STR_ARG(text), STR_ARG(once),
                      STR_ARG(twice));
    }
    CHECK(good > 20000);
    buf_free(&text);
    buf_free(&once);
    buf_free(&twice);
}

TEST(crawl_urljoin_limits)
{
    struct buf url = {0}, to = {0};
    buf_text(&url, "http://a/");
    while (url.len < URL_BYTES_MAX)
        buf_char(&url, 'x');
    CHECK(url_normalise(buf_view(&url), 0, &to));
    buf_char(&url, 'x');
    CHECK(!url_normalise(buf_view(&url), 0, &to));
    buf_clear(&url);
    buf_text(&url, "http://a/");
    for (int i = 0; i < 700; i++)
        buf_text(&url, "a/");
    CHECK(!url_normalise(buf_view(&url), 0, &to));
    for (int i = 0; i < 100000; i++)
        buf_text(&url, "../");
    CHECK(!url_join(STR("http://a/"), buf_view(&url), &to));
    buf_free(&url);
    buf_free(&to);
}

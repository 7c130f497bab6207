/* test_extract_asides - what is kept of a page beside its text, and character references. */
#include "extract/parts.h"
#include "tests/test.h"

static struct arena work;

static void open_arenas(void) { CHECK_OK(arena_open(&work, 1u << 30)); }

static void close_arenas(void) { arena_close(&work); }

static void check_aside(const struct asides *from, enum aside_kind kind, const char *name,
                        const char *want)
{
    const struct aside *found = asides_find(from, kind, name);
    if (!found)
        test_fail(__FILE__, __LINE__, "no aside of kind %d called %s", (int)kind,
                  name ? name : "anything");
    CHECK_STR(aside_text(&work, found), want);
}

TEST(extract_asides_kept)
{
    static const char page[] =
        "<!doctype html><html LANG='de-AT'><head><base href=/x/><title>A &amp;\n B</title>"
        "<meta name=description property='og:description' content='caf&eacute; &copy=1'>"
        "<META CONTENT=\"2024-01-02\" ITEMPROP=datePublished><meta charset=utf-8>"
        "<meta name=empty content=''><link rel='stylesheet' href=a.css>"
        "<link rel=\"nofollow Canonical\" href='https://e.org/?a=1&amp;b=2'>"
        "<script type='application/ld+json'>{\"a\":\"&amp;</p>\"}</script>"
        "<script>var no</script></head><body><script type='math/tex; mode=display'>a<b</script>"
        "<noscript><img src=pixel></noscript><time class=when datetime=2020-02-03>then</time>"
        "<a rel='noopener license' href=//c.org/by>CC</a><a href=#top>x</a><a name=y>z</a>"
        "<template><meta name=inert content=1></template><svg><title>no</title></svg>";
    static const struct skeleton_limits limits = {512, 1000, false};
    struct skeleton sk;
    open_arenas();
    CHECK_OK(skeleton_make(&work, STR(page), &limits, &sk));
    const struct asides *a = &sk.facts.asides;
    check_aside(a, ASIDE_LANG, NULL, "de-AT");
    check_aside(a, ASIDE_BASE, NULL, "/x/");
    check_aside(a, ASIDE_TITLE, NULL, "A & B");
    check_aside(a, ASIDE_META, "description", "caf\xC3\xA9 &copy=1");
    check_aside(a, ASIDE_META, "og:description", "caf\xC3\xA9 &copy=1");
    check_aside(a, ASIDE_META, "datepublished", "2024-01-02");
    CHECK(!asides_find(a, ASIDE_META, "empty"));
    CHECK(!asides_find(a, ASIDE_META, "inert"));
    check_aside(a, ASIDE_LINK, NULL, "https://e.org/?a=1&b=2");
    CHECK_STR(asides_find(a, ASIDE_JSON, NULL)->value, "{\"a\":\"&amp;</p>\"}");
    CHECK_STR(asides_find(a, ASIDE_MATH, NULL)->value, "a<b");
    CHECK_STR(asides_find(a, ASIDE_MATH, NULL)->name, "math/tex; mode=display");
    CHECK_STR(asides_find(a, ASIDE_NOSCRIPT, NULL)->value, "<img src=pixel>");
    check_aside(a, ASIDE_TIME, "when", "2020-02-03");
    check_aside(a, ASIDE_LICENSE, NULL, "//c.org/by");
    CHECK_INT(a->href_count, 2);
    CHECK_STR(a->href[1], "#top");
    CHECK_INT(a->kinds[ASIDE_META], 3);
    close_arenas();
}

/* Neither number nor size of one kind pushes out another. */
TEST(extract_asides_capped)
{
    static const struct skeleton_limits limits = {512, 1000, false};
    struct skeleton sk;
    size_t room = 9u << 20, len = 0;
    char *page = malloc(room);
    CHECK(page != NULL);
    for (int i = 0; i < 5000; i++)
        len += (size_t)snprintf(page + len, 64, "<meta name=n%d content=c><a href=%d>", i, i);
    for (int i = 0; i < 30000; i++)
        len += (size_t)snprintf(page + len, 64, "<a href=%d>", i);
    len += (size_t)snprintf(page + len, 64, "<script type=application/ld+json>");
    memset(page + len, ' ', 5u << 20);
    len += 5u << 20;
    len +=
        (size_t)snprintf(page + len, 128, "</script><script type=application/ld+json>{}</script>");
    open_arenas();
    CHECK_OK(skeleton_make(&work, (struct str){page, len}, &limits, &sk));
    CHECK_INT(sk.facts.asides.kinds[ASIDE_META], 256);
    CHECK_INT(sk.facts.asides.kinds[ASIDE_JSON], 1);
    CHECK_STR(asides_find(&sk.facts.asides, ASIDE_JSON, NULL)->value, "{}");
    CHECK_INT(sk.facts.asides.href_count, ASIDE_LINKS_MAX);
    CHECK_INT(sk.facts.asides.href_seen, 35000);
    close_arenas();
    free(page);
}

static void check_entity(const char *text, bool attribute, size_t len, uint32_t first,
                         uint32_t second)
{
    uint32_t cp[2] = {0, 0};
    size_t got = entity_read(text, text + strlen(text), attribute, cp);
    if (got != len || (len && (cp[0] != first || cp[1] != second)))
        test_fail(__FILE__, __LINE__, "%s: %zu bytes, U+%04X U+%04X", text, got, cp[0], cp[1]);
}

/* Oracle: the HTML standard, 13.2.5.72 to 13.2.5.80. */
TEST(extract_entities_rules)
{
    check_entity("&amp;", false, 5, '&', 0);
    check_entity("&ampx", false, 4, '&', 0);
    check_entity("&ampx", true, 0, 0, 0);
    check_entity("&amp=", true, 0, 0, 0);
    check_entity("&amp ", true, 4, '&', 0);
    check_entity("&notit;", false, 4, 0xAC, 0);
    check_entity("&notit;", true, 0, 0, 0);
    check_entity("&notin;", true, 7, 0x2209, 0);
    check_entity("&notin", false, 4, 0xAC, 0);
    check_entity("&NotEqualTilde;", false, 15, 0x2242, 0x338);
    check_entity("&CounterClockwiseContourIntegral;", false, 33, 0x2233, 0);
    check_entity("&nosuch;", false, 0, 0, 0);
    check_entity("&;", false, 0, 0, 0);
    check_entity("&#65;", false, 5, 'A', 0);
    check_entity("&#x41", false, 5, 'A', 0);
    check_entity("&#X4e2d;", false, 8, 0x4E2D, 0);
    check_entity("&#;", false, 0, 0, 0);
    check_entity("&#x;", false, 0, 0, 0);
    check_entity("&#0;", false, 4, 0xFFFD, 0);
    check_entity("&#xD800;", false, 8, 0xFFFD, 0);
    check_entity("&#99999999999999999999;", false, 23, 0xFFFD, 0);
    check_entity("&#128;", false, 6, 0x20AC, 0);
    check_entity("&#x9f;", false, 6, 0x178, 0);
}

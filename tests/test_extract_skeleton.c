/* test_extract_skeleton - what is left out of a page, and that nothing else changes. */
#include "extract/parts.h"
#include "tests/extract_pages.h"

static struct arena tree, work;

static void open_arenas(void)
{
    CHECK_OK(arena_open(&tree, 1u << 30));
    CHECK_OK(arena_open(&work, 1u << 30));
}

static void close_arenas(void)
{
    arena_close(&tree);
    arena_close(&work);
}

static struct str skeleton_of(struct str html)
{
    struct str out;
    uint32_t depth;
    CHECK_OK(skeleton(&work, html, &out, &depth));
    CHECK(out.len <= html.len);
    return out;
}

static void check(const char *html, const char *want)
{
    CHECK_STR(skeleton_of(str_of(html)), want);
}

/* Oracle: the tokenizer section of the HTML standard, read case by case. */
TEST(extract_skeleton_tokenizer)
{
    open_arenas();
    check("a<!-- x -->b<!--> c --> d<!---> e<!-- f --!>g<!-- - -- > -->h", "ab c --> d eg"
                                                                           "h");
    check("a<!doctype html><!x>b<?php > c </ d>e</>f", "a<!doctype html>b c ef");
    check("<p title='a>b' class=\"x>y\">t", "<p class=\"x>y\">t");
    check("<p a=b/class=z>t</p >", "<p>t</p>");
    check("<div class=a class=b ID = 'c' data-x>t", "<div class=a id='c'>t");
    check("<div title=\"x\"id=b class=a/>t", "<div id=b class=a/>t");
    check("1 < 2 <3 a<b", "1 < 2 <3 a");
    check("<title>a<b></title>x<title>no</title>", "<title>a<b></title>x");
    check("a<textarea><p>no</textarea >b<xmp><i></xmp>c", "a b<xmp><i></xmp>c");
    check("a<script>'</p>'</script >b<style>p>a{}</style>c", "ab c");
    check("a<script><!-- <script></script> --></script>b", "ab");
    check("a<script><!-- x</script>b", "ab");
    check("a<script><!--><script></script>b", "ab");
    check("a<script>x</scripts>y</script>b", "ab");
    check("a<script>never ends<p>b", "a");
    check("a<textarea>never ends<p>b", "a never ends<p>b");
    check("a<svg><title><p>x</title><g/><svg></svg></svg>b<svg/>c", "a b c");
    check("a<svg><path><p>b", "a <p>b");
    check("<div><svg><path></div>b", "<div> </div>b");
    check("a<svg><![CDATA[</svg>]]></svg>b", "a b");
    check("a<svg><foreignObject><div></svg></div></foreignObject></svg>b", "a b");
    check("a<template><p>x<template>y</template>z</template>b", "a b");
    check("a<template shadowrootmode=open>x</template>b", "a xb");
    check("<select><option>x<p>y</select>z", "z");
    check("<select><option>x<input>y", "y");
    check("<b>bold</b> <span>s<span id=k>t</span>u</span>v", "bold s<span id=k>t</span>uv");
    check("<plaintext><b>x", "<plaintext><b>x");
    check("x<p class=\"unfinished>more", "x");
    close_arenas();
}

/* Leaving something out must not glue text into markup. */
TEST(extract_skeleton_joints)
{
    open_arenas();
    check("<<!-- x -->b>", "<<!>b>");
    check("&am<b></b>p;", "&am<!>p;");
    check("&#6<i></i>5;", "&#6<!>5;");
    check("a &amp; b<i>c</i>", "a &amp; bc");
    check("<<!-- x -->/p>", "<<!>/p>");
    close_arenas();
}

TEST(extract_skeleton_attributes)
{
    open_arenas();
    check("<a href='http://x/y'>o</a><a href=#top>p</a><a name=z>q</a>",
          "<a href>o</a><a href=#>p</a><a>q</a>");
    check(
        "<p style='color:red'>a<p style='Display : none'>b<p style=visibility:hidden>c<p hidden>d",
        "<p>a<p hidden>b<p hidden>c<p hidden>d");
    check("<p class=\"a\"id=\"b\">x", "<p class=\"a\"id=\"b\">x");
    char page[2000] = "<p class='", end[] = "'>x";
    memset(page + 10, 'k', 900);
    memcpy(page + 910, end, sizeof end);
    struct str out = skeleton_of(str_of(page));
    CHECK_INT(out.len, 10 + ATTRIBUTE_MAX + 3);
    close_arenas();
}

TEST(extract_skeleton_math)
{
    open_arenas();
    check("x <math><mfrac><mi>a</mi><mi>b</mi></mfrac></math> y", "x a/b y");
    check(
        "<math><msup><mi>x</mi><mn>2</mn></msup><mo>+</mo><msub><mi>y</mi><mi>i</mi></msub></math>",
        "x^2+y_i");
    check(
        "<math><semantics><mi>x</mi><annotation encoding='t'>\\x</annotation></semantics></math>z",
        "xz");
    check("<math><mi>x<p>y", "x<p>y");
    close_arenas();
}

/* ---- against Gumbo alone: the same text must come out ---- */
static bool is_left_out(const GumboNode *node)
{
    const GumboElement *e = &node->v.element;
    switch (e->tag) {
    case GUMBO_TAG_SCRIPT:
    case GUMBO_TAG_STYLE:
    case GUMBO_TAG_TEMPLATE:
    case GUMBO_TAG_IFRAME:
    case GUMBO_TAG_TEXTAREA:
    case GUMBO_TAG_SELECT:
    case GUMBO_TAG_TITLE:
    case GUMBO_TAG_NOEMBED:
    case GUMBO_TAG_NOFRAMES:
    case GUMBO_TAG_NOSCRIPT: return true;
    default: return e->tag_namespace != GUMBO_NAMESPACE_HTML;
    }
}

/* Text without blanks, appended to out; its length. Iterative: soups may be deep. */
static size_t text_of(const GumboNode *root, char *out)
{
    static struct {
        const GumboNode *node;
        unsigned next;
    } stack[20000];
    size_t len = 0, depth = 0;
    stack[depth++].node = root;
    stack[0].next = 0;
    while (depth > 0) {
        const GumboNode *top = stack[depth - 1].node;
        if (stack[depth - 1].next >= top->v.element.children.length) {
            depth--;
            continue;
        }
        const GumboNode *child = top->v.element.children.data[stack[depth - 1].next++];
        if (child->type == GUMBO_NODE_TEXT) {
            for (const char *s = child->v.text.text; *s; s++)
                if (strncmp(s, "\xEF\xBF\xBD", 3) == 0)
                    s += 2; /* Gumbo's picture of a control character, which we leave out */
                else if ((unsigned char)*s > ' ')
                    out[len++] = *s;
        } else if (child->type == GUMBO_NODE_ELEMENT && !is_left_out(child)) {
            CHECK(depth < COUNT_OF(stack));
            stack[depth].node = child;
            stack[depth++].next = 0;
        }
    }
    return len;
}

/* Length of the text without blanks that Gumbo alone sees, which stays in *text until the arena is
 * reset. */
static struct str plain_text(struct str html)
{
    enum extract_verdict verdict;
    const GumboOutput *parsed = html_parse(&tree, html, 60000, &verdict);
    CHECK(parsed != NULL);
    char *out = arena_push(&work, html.len * 2 + 16, 1);
    CHECK(out != NULL);
    return (struct str){out, text_of(parsed->root, out)};
}

TEST_LIMIT(extract_skeleton_keeps_text, 120)
{
    struct pages pages;
    struct str url, html;
    int count = 0, compared = 0, different = 0;
    open_arenas();
    pages_open(&pages);
    while (pages_next(&pages, &url, &html)) {
        bool skipped = str_find(html, STR("<math")) != SIZE_MAX ||
                       str_find(html, STR("<noscript")) != SIZE_MAX;
        if (skipped || count++ % 2) /* noscript and formulas are changed on purpose */
            continue;
        arena_reset(&work, 0);
        struct str raw = plain_text(html), small = plain_text(skeleton_of(html));
        if (!str_eq(raw, small)) {
            printf("    %.*s: %zu bytes of text, then %zu\n", STR_ARG(url), raw.len, small.len);
            different++;
        }
        compared += raw.len > 0;
    }
    CHECK(compared >= 50);
    CHECK_INT(different, 0);
    pages_close(&pages);
    close_arenas();
}

/* Random tag soup, cut short so that foster parents in unclosed nested tables stay rare: there
 * alone the order of text depends on formatting elements, which the skeleton leaves out. */
TEST_LIMIT(extract_skeleton_soup, 60)
{
    static const char *const pieces[] = {
        "<div>", "</div>", "<p>", "</p>", "<b>", "</b>", "<a href=x>", "</a>", "<span>", "</span>",
        "<span class=k>", "</span>", "<ul>", "<li>", "</li>", "</ul>", "<table>", "<tr>", "<td>",
        "</td>", "</table>", "<h1>", "</h1>", "<h2>", "</h3>", "<form>", "</form>", "<button>",
        "</button>", "<dl>", "<dt>", "<dd>", "</dl>", "<!-- c -->", "<!-->", "<!--x--!>", "<?pi?>",
        "</ x>", "<br>", "</br>", "<hr>", "<img alt='a>b'>", "<script>var a='<p>x';</script>",
        "<script><!--<script></script>--></script>", "<style>p>a{}</style>",
        "<svg><path d='1'/><g></g></svg>", "<svg/>", "<title>t<b></title>", "<x-y>", "</x-y>",
        "&amp;", "&am", "p;", "<", "a<b", "text", "x ", "<i class=\"a>b\" id=c>", "</i>",
        "<center>", "</center>", "<blockquote>", "</blockquote>", "<pre>", "</pre>", "<th>",
        "<tbody>", "<caption>", "</caption>", "<object>", "</object>", "<article class='a b'id=x>",
        "</article>", "<input>", "<label>", "</label>", "<p/>", "<div/class=z>", "<em", "&#x41",
        "&lt;p>", "</p x='>'>", "<address>", "<nobr>", "<textarea>x<p></textarea>",
        "<svg><title>u</title><p>", "<rt>", "<ruby>", "<fieldset>", "<section hidden>",
        "</section>", "<option>q", "<marquee>", "</marquee>",
    };
    char html[4096];
    uint64_t state = 1;
    open_arenas();
    for (int round = 0; round < 20000; round++) {
        size_t len = 0;
        for (uint64_t i = test_random(&state) % 14; i > 0; i--) {
            len += (size_t)snprintf(html + len, 100, "%s",
                                    pieces[test_random(&state) % COUNT_OF(pieces)]);
            if (test_random(&state) % 3 == 0)
                len += (size_t)snprintf(html + len, 16, "w%d", (int)i);
        }
        arena_reset(&work, 0);
        struct str page = {html, len}, raw = plain_text(page),
                   small = plain_text(skeleton_of(page));
        if (!str_eq(raw, small))
            test_fail(__FILE__, round, "%.*s: \"%.*s\", then \"%.*s\"", STR_ARG(page), STR_ARG(raw),
                      STR_ARG(small));
    }
    close_arenas();
}

/* Whatever the soup, Gumbo may not nest deeper than twice the limit (a link is reopened in each
 * block): the model of its stack must never be too short. */
TEST_LIMIT(extract_skeleton_depth_holds, 60)
{
    static const char *const pieces[] = {
        "<div>", "</div>", "<p>", "<a href=x>", "<ul>", "<li>", "</ul>", "<table>", "<tr>", "<td>",
        "</table>", "<form>", "</form>", "<button>", "<dl>", "<dd>", "<h1>", "</h2>", "<object>",
        "<x-y>", "</x-y>", "<section>", "<span id=a>", "</span>", "<caption>", "<th>", "</p>",
        "<label>", "<blockquote>",
    };
    static const struct skeleton_limits limits = {24, SKELETON_TAGS_MAX};
    static char html[60000];
    uint64_t state = 3;
    open_arenas();
    for (int round = 0; round < 400; round++) {
        size_t len = 0, kinds = 2 + test_random(&state) % 12,
               first = test_random(&state) % COUNT_OF(pieces);
        while (len < 20000)
            len +=
                (size_t)snprintf(html + len, 100, "%sx",
                                 pieces[(first + test_random(&state) % kinds) % COUNT_OF(pieces)]);
        arena_reset(&work, 0);
        struct str out;
        struct skeleton_facts facts;
        struct page page;
        enum extract_verdict verdict;
        CHECK_OK(skeleton_limited(&work, (struct str){html, len}, &limits, &out, &facts));
        const GumboOutput *parsed = html_parse(&tree, out, 60000, &verdict);
        CHECK(parsed != NULL);
        CHECK_INT(page_read(&work, parsed, &page), EXTRACT_OK);
        for (uint32_t i = 0; i < page.node_count; i++)
            CHECK(page.node[i].depth <= 2 * 24 + 6);
    }
    close_arenas();
}

TEST(extract_skeleton_flattens)
{
    static const struct skeleton_limits limits = {3, 100};
    struct str out;
    struct skeleton_facts facts;
    open_arenas();
    CHECK_OK(skeleton_limited(&work,
                              STR("<div>1<div>2<div>3<div>4<p>5</p></div></div>6</div></div>7"),
                              &limits, &out, &facts));
    CHECK_STR(out, "<div>1<div>2<div>3 4 5 </div>6</div></div>7");
    CHECK_INT(facts.depth, 5);
    CHECK_INT(facts.flattened, 2);
    struct skeleton_limits few = {100, 2};
    CHECK_OK(skeleton_limited(&work, STR("<p>1<p>2<p>3<br>4"), &few, &out, &facts));
    CHECK_STR(out, "<p>1<p>2 3 4");
    close_arenas();
}

/* Every prefix of a page that has everything in it. */
TEST(extract_skeleton_truncation)
{
    static const char page[] =
        "<!doctype html><html><head><title>T &amp; "
        "t</title><script>a<!--<script>b</script>--></script>"
        "<style>p{}</style></head><body class='a b' id=c><svg><desc>x</desc><foreignObject><p>y</p>"
        "</foreignObject><![CDATA[z]]></svg><math><mfrac><mi>a</mi><mi>b</mi></mfrac><annotation>q"
        "</annotation></math><select><option>o</select><textarea>t</textarea><template><p>u</"
        "template>"
        "<table><tr><td style='display:none'>v</table><!-- w --!><a "
        "href=\"#x\">l</a><plaintext>end";
    struct str whole = STR(page);
    open_arenas();
    for (size_t len = 0; len <= whole.len; len++) {
        char *exact = malloc(len + 1); /* its own allocation: ASan sees a read behind the end */
        CHECK(exact != NULL);
        memcpy(exact, page, len);
        exact = realloc(exact, len ? len : 1);
        arena_reset(&work, 0);
        struct str out = skeleton_of((struct str){exact, len});
        enum extract_verdict verdict;
        CHECK(html_parse(&tree, out, 10000, &verdict) != NULL);
        free(exact);
    }
    close_arenas();
}

TEST(extract_skeleton_remembers_json)
{
    static const struct skeleton_limits limits = {512, 1000};
    struct str out;
    struct skeleton_facts facts;
    open_arenas();
    CHECK_OK(skeleton_limited(
        &work, STR("<script type='application/ld+json'>{\"a\":1}</script><script>x</script>p"),
        &limits, &out, &facts));
    CHECK_INT(facts.json_count, 1);
    CHECK_STR(facts.json[0], "{\"a\":1}");
    CHECK_STR(out, "p");
    close_arenas();
}

/* ---- kept aside ---- */
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
    static const struct skeleton_limits limits = {512, 1000};
    struct str out;
    struct skeleton_facts facts;
    open_arenas();
    CHECK_OK(skeleton_limited(&work, STR(page), &limits, &out, &facts));
    const struct asides *a = &facts.asides;
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
    static const struct skeleton_limits limits = {512, 1000};
    struct str out;
    struct skeleton_facts facts;
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
    len += (size_t)snprintf(page + len, 128,
                            "</script><script type=application/ld+json>{}</script>");
    open_arenas();
    CHECK_OK(skeleton_limited(&work, (struct str){page, len}, &limits, &out, &facts));
    CHECK_INT(facts.asides.kinds[ASIDE_META], 256);
    CHECK_INT(facts.asides.kinds[ASIDE_JSON], 1);
    CHECK_STR(asides_find(&facts.asides, ASIDE_JSON, NULL)->value, "{}");
    CHECK_INT(facts.asides.href_count, ASIDE_LINKS_MAX);
    CHECK_INT(facts.asides.href_seen, 35000);
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

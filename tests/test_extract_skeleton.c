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

static const struct skeleton_limits preset = {SKELETON_DEPTH_MAX, SKELETON_TAGS_MAX, false};

/* ---- a skeleton to read: tags as Gumbo sees them, pieces written where their character is ---- */
static void show_piece(struct buf *to, const struct skeleton *sk, struct piece p)
{
    switch (piece_kind(p)) {
    case PIECE_SPACED:
    case PIECE_BROKEN:
        buf_char(to, piece_kind(p) == PIECE_SPACED ? '_' : '|');
        buf_add(to, sk->page.ptr + p.at, piece_len(p));
        break;
    case PIECE_TEXT:
    case PIECE_RAW:
    case PIECE_MATH:
    case PIECE_SCRIPT:
    case PIECE_PICTURE: buf_add(to, sk->page.ptr + p.at, piece_len(p)); break;
    case PIECE_OPEN:
        buf_printf(to, "{%s%s%s:", gumbo_normalized_tagname(sk->mark[p.at].tag),
                   sk->mark[p.at].flags & MARK_LINK ? " link" : "",
                   sk->mark[p.at].flags & MARK_PLACE ? " place" : "");
        break;
    case PIECE_CLOSE: buf_char(to, '}'); break;
    case PIECE_BREAK: buf_char(to, '|'); break;
    case PIECE_SPACE: buf_char(to, '_'); break;
    case PIECE_NOTHING: break;
    case PIECE_CARET: buf_char(to, '^'); break;
    case PIECE_FORMAT: buf_char(to, '*'); break;
    }
}

static struct str show(const struct skeleton *sk)
{
    static struct buf out;
    const char *at = sk->html.ptr, *end = at + sk->html.len;
    CHECK(str_starts(sk->html, "<!doctype html>"));
    buf_clear(&out);
    for (at += 15; at < end;) {
        uint32_t cp;
        int len = utf8_decode(at, end, &cp);
        if (cp >= 0xE000) {
            CHECK(segment_index(cp) < sk->segment_count);
            struct segment s = sk->segment[segment_index(cp)];
            for (uint32_t i = s.from; i < s.to; i++)
                show_piece(&out, sk, sk->piece[i]);
        } else {
            buf_add(&out, at, (size_t)len);
        }
        at += len;
    }
    return buf_view(&out);
}

static struct skeleton skeleton_of(struct str html)
{
    struct skeleton sk;
    CHECK_OK(skeleton_make(&work, html, &preset, &sk));
    return sk;
}

static void check(const char *html, const char *want)
{
    struct skeleton sk = skeleton_of(str_of(html));
    CHECK_STR(show(&sk), want);
}

/* Oracle: the tokenizer section of the HTML standard, read case by case. */
TEST(extract_skeleton_tokenizer)
{
    open_arenas();
    check("a<!-- x -->b<!--> c --> d<!---> e<!-- f --!>g<!-- - -- > -->h", "ab c --> d egh");
    check("a<!doctype html><!x>b<?php > c </ d>e</>f", "ab c ef");
    check("<p title='a>b' class=\"x>y\">t", "<p>t");
    check("<p a=b/class=z>t</p >", "<p>t</p>");
    check("1 < 2 <3 a<b", "1 < 2 <3 a");
    check("<title>a<b></title>x<title>no</title>", "x");
    check("a<textarea><p>no</textarea >b<xmp><i></xmp>c", "a_b<xmp><i></xmp>c");
    check("a<script>'</p>'</script >b<style>p>a{}</style>c", "ab_c");
    check("a<script><!-- <script></script> --></script>b", "ab");
    check("a<script><!-- x</script>b", "ab");
    check("a<script><!--><script></script>b", "ab");
    check("a<script>x</scripts>y</script>b", "ab");
    check("a<script>never ends<p>b", "a");
    check("a<textarea>never ends<p>b", "a_never ends<p>b");
    check("a<svg><title><p>x</title><g/><svg></svg></svg>b<svg/>c", "a_b_c");
    check("a<svg><path><p>b", "a_<p>b");
    check("<div><svg><path></div>b", "<div></div>b");
    check("a<svg><![CDATA[</svg>]]></svg>b", "a_b");
    check("a<svg><foreignObject><div></svg></div></foreignObject></svg>b", "a_b");
    check("a<template><p>x<template>y</template>z</template>b", "a_b");
    check("a<template shadowrootmode=open>x</template>b", "a_xb");
    check("a<template>x<template>y</template><p>z", "a_x_y<p>z");
    check("<select><option>x<p>y</select>z", "_z");
    check("<select><option>x<input>y", "_y");
    check("<plaintext><b>x", "<plaintext><b>x");
    check("x<p class=\"unfinished>more", "x");
    check("a<math><mi>x</mi></math>b<math><mi>y<p>z", "a<math><mi>x</mi>b<math><mi>y<p>z");
    check("a<script type=math/tex>x<y</script>b<script type='math/tex'></script>",
          "a<script type=math/tex>x<yb");
    close_arenas();
}

/* Inline elements stay in the text where nothing else comes between, and are tags where it does. */
TEST(extract_skeleton_inner)
{
    open_arenas();
    check("<b>bold</b> <span>s<span id=k>t</span>u</span>v", "bold s{span:t}uv");
    check("<p>a <a href=/x>b</a><br>c<a name=y>d</a><a href=#z>e</a>",
          "<p>a {a link:b}|c{a:d}{a link place:e}");
    check("<a href=x>1<div>2</div>3</a>4", "<a>1<div>2</div>3</a>4");
    check("<span class=a>1<label>2<p>3</p>4</label>5</span>6",
          "<span>1<label>2<p>3</p>4</label>5</span>6");
    check("<span class=a>x<a href=y>z</span>", "<span>x<a>z</span>");
    check("<a href=x>1<a href=y>2</a>", "<a>1<a>2</a>");
    check("<x-y>1</x-y><x-y>2<hr>3</x-y>", "{:1}<x-90cdbe92>2<hr>3</x-90cdbe92>");
    check("<span style='display:none'>x</span>", "{span:x}");
    check("a<b hidden>x<b>y</b>z</b>c<b>d</b>", "a{:xyz}cd");
    check("<i style=display:none>x<p>y</p></i>z", "<x-80000038>x<p>y</p></x-80000038>z");
    check("<div><a href=x>1</div>2<a href=y>3</a>4<a href=y>5</a>",
          "<div><a>1</div>2<a>3</a>4<a>5</a>");
    close_arenas();
}

/* White space between block tags is nothing, but for pre and where Gumbo would reopen a link. */
TEST(extract_skeleton_blanks)
{
    open_arenas();
    check("<div> <p>a</p>\n</div> b", "<div><p>a</p></div> b");
    check("<pre> <i> </i>\n<div>\n</div></pre> <p>", "<pre>  \n<div>\n</div></pre><p>");
    check("<a><p>x</p></a> <p>y", "<a><p>x</p></a> <p>y");
    check("<div><a>x</div> <div>y", "<div><a>x</div> <div>y");
    check("<form><p>x</p>y</form>z<form>a</form>", "<form><p>x</p>y<!></form>z<form>a<!></form>");
    close_arenas();
}

static const struct mark *mark_at(const struct skeleton *sk, uint32_t index)
{
    CHECK(index < sk->mark_count);
    return &sk->mark[index];
}

TEST(extract_skeleton_marks)
{
    open_arenas();
    struct skeleton sk = skeleton_of(STR("<p style='color:red'>a<p style='Display : none'>b"
                                         "<p style=visibility:hidden>c<p hidden>d<P CLASS=nav>e"
                                         "<p class=nav id=footer>f<p role=search class='k nav'>g"));
    CHECK_INT(sk.mark_count, 7);
    for (uint32_t i = 0; i < 7; i++) {
        CHECK_INT(mark_at(&sk, i)->tag, GUMBO_TAG_P);
        CHECK(memcmp(sk.page.ptr + mark_at(&sk, i)->at, i == 4 ? "<P" : "<p", 2) == 0);
        CHECK(memcmp(sk.html.ptr + mark_at(&sk, i)->out, "<p>", 3) == 0);
        CHECK_INT(mark_at(&sk, i)->flags, i >= 1 && i <= 3 ? MARK_HIDDEN : 0);
    }
    CHECK_INT(mark_at(&sk, 0)->cues, 0);
    CHECK_INT(mark_at(&sk, 4)->cues, cues_of(STR("nav")));
    CHECK_INT(mark_at(&sk, 5)->cues, cues_of(STR("nav")) | cues_of(STR("footer")));
    CHECK_INT(mark_at(&sk, 6)->cues, cues_of(STR("nav")) | cues_of(STR("search")));
    CHECK_INT(mark_at(&sk, 4)->signature, mark_at(&sk, 5)->signature);
    CHECK(mark_at(&sk, 4)->signature != mark_at(&sk, 6)->signature);
    CHECK(mark_at(&sk, 4)->signature != mark_at(&sk, 0)->signature);
    sk = skeleton_of(STR("<body class=a><div class=b>"));
    CHECK_INT(sk.body, 0);
    close_arenas();
}

/* The first of equal attributes counts, however they are written. */
TEST(extract_tags_attributes)
{
    static const char text[] = "<div class=a class=b ID = 'c' data-x title=\"x>\"itemprop=d/>t";
    struct tag t;
    struct str name, value;
    CHECK(tag_read(text, text + sizeof text - 1, &t));
    CHECK_STR(t.slot[SLOT_CLASS], "a");
    CHECK_STR(t.slot[SLOT_ID], "c");
    CHECK_STR(t.slot[SLOT_ITEMPROP], "d/"); /* an unquoted value takes the slash */
    CHECK(!t.self_closing);
    CHECK_STR(str_of(t.end), "t");
    static const char *const want[] = {"class",  "a", "class", "b",  "ID",       "c",
                                       "data-x", "",  "title", "x>", "itemprop", "d/"};
    const char *at = t.name + t.name_len;
    for (size_t i = 0; i < COUNT_OF(want); i += 2) {
        CHECK((at = attribute_next(at, t.end, &name, &value)) != NULL);
        CHECK_STR(name, want[i]);
        CHECK_STR(value, want[i + 1]);
    }
    CHECK(!attribute_next(at, t.end, &name, &value));
}

/* Whatever the soup, Gumbo may not nest deeper than twice the limit (a link is reopened in each
 * block): the model of its stack must never be too short. */
TEST_LIMIT(extract_skeleton_depth_holds, 60)
{
    static const char *const pieces[] = {
        "<div>",     "</div>",   "<p>",    "<a href=x>", "<ul>",         "<li>",
        "</ul>",     "<table>",  "<tr>",   "<td>",       "</table>",     "<form>",
        "</form>",   "<button>", "<dl>",   "<dd>",       "<h1>",         "</h2>",
        "<object>",  "<x-y>",    "</x-y>", "<section>",  "<span id=a>",  "</span>",
        "<caption>", "<th>",     "</p>",   "<label>",    "<blockquote>",
    };
    static const struct skeleton_limits limits = {24, SKELETON_TAGS_MAX, false};
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
        struct skeleton sk;
        struct page page;
        enum extract_verdict verdict;
        CHECK_OK(skeleton_make(&work, (struct str){html, len}, &limits, &sk));
        const GumboOutput *parsed = html_parse(&tree, sk.html, 60000, &verdict);
        CHECK(parsed != NULL);
        CHECK_INT(page_read(&work, parsed, &sk, &page), EXTRACT_OK);
        for (uint32_t i = 0; i < page.node_count; i++)
            CHECK(page.node[i].depth <= 2 * 24 + 6);
    }
    close_arenas();
}

TEST(extract_skeleton_flattens)
{
    static const struct skeleton_limits limits = {3, 100, false}, few = {100, 2, false};
    struct skeleton sk;
    open_arenas();
    CHECK_OK(skeleton_make(&work, STR("<div>1<div>2<div>3<div>4<p>5</p></div></div>6</div></div>7"),
                           &limits, &sk));
    CHECK_STR(show(&sk), "<div>1<div>2<div>3_4_5_</div>6</div></div>7");
    CHECK_INT(sk.facts.depth, 5);
    CHECK_INT(sk.facts.flattened, 2);
    CHECK_OK(skeleton_make(&work, STR("<p>1<p>2<p>3<hr>4<xmp>5</xmp></p>"), &few, &sk));
    CHECK_STR(show(&sk), "<p>1<p>2_3_45_");
    CHECK_INT(sk.facts.tags, 2);
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
        struct skeleton sk = skeleton_of((struct str){exact, len});
        enum extract_verdict verdict;
        struct page read;
        const GumboOutput *parsed = html_parse(&tree, sk.html, 10000, &verdict);
        CHECK(parsed != NULL);
        CHECK_INT(page_read(&work, parsed, &sk, &read), EXTRACT_OK);
        free(exact);
    }
    close_arenas();
}

/* Oracle: Gumbo's own table, for every name it has in both cases, names one letter off, and names
 * with bytes that are no letters. */
TEST(extract_tags_names)
{
    for (int tag = 0; tag < GUMBO_TAG_UNKNOWN; tag++) {
        const char *name = gumbo_normalized_tagname((GumboTag)tag);
        for (int change = 0; change < 6; change++) {
            char text[64];
            struct tag t;
            int len = snprintf(text, sizeof text, "<%s>", name);
            for (int i = 1; i < len - 1 && (change & 1); i++)
                text[i] = (char)(text[i] >= 'a' && text[i] <= 'z' ? text[i] - 32 : text[i]);
            if (change >= 2)
                text[len - 2] = "x@[`"[change - 2];
            if (!tag_read(text, text + len, &t))
                test_fail(__FILE__, __LINE__, "%s is no tag", text);
            if (t.element.tag != gumbo_tagn_enum(text + 1, (unsigned)len - 2))
                test_fail(__FILE__, __LINE__, "%s: %d", text, t.element.tag);
        }
    }
}

/* test_extract_markup - chosen blocks as text: lists, tables, code, Markdown; fixtures by hand. */
#include "core/io.h"
#include "core/log.h"
#include "extract/printing.h"
#include "tests/test.h"

static void check_as(const char *format, bool links, struct str html, const char *want)
{
    struct extract_conf conf = {.depth_max = 512,
                                .memory_max = 96u << 20,
                                .time_max_ms = 10000,
                                .mode = "all",
                                .format = format,
                                .links = links,
                                .images = links};
    struct extract_scratch *scratch;
    struct extract_out out;
    struct arena a;
    CHECK_OK(arena_open(&a, 64u << 20));
    CHECK_OK(extract_scratch_open(&scratch, &conf));
    CHECK_INT(extract_main(scratch, &a, html, &out), EXTRACT_OK);
    CHECK(utf8_valid(out.text));
    CHECK_STR(out.text, want);
    extract_scratch_close(scratch);
    arena_close(&a);
}
static void check_text(const char *html, const char *want)
{
    check_as("text", false, str_of(html), want);
}
static void check_markdown(const char *html, const char *want)
{
    check_as("markdown", false, str_of(html), want);
}

/* ---- lists ---- */
TEST(extract_markup_lists)
{
    check_text("<ul><li>one<li>two<ul><li>deep<li>er</ul><li>three</ul>",
               "- one\n- two\n  - deep\n  - er\n- three");
    check_text("<ol><li>one<li>two<ul><li>deep</ul><li>three</ol>",
               "1. one\n2. two\n   - deep\n3. three");
    check_text("<ul><li><p>one</p><p>more</p><li>two</ul>", "- one\n  more\n- two");
    check_text("<p>before<ul><li>one</ul><p>behind", "before\n- one\nbehind");
    check_text("<li>no list", "no list");
    check_markdown("<p>before<ul><li>one<li>two<ol><li>deep<li>er</ol></ul><p>behind",
                   "before\n\n- one\n- two\n  1. deep\n  2. er\n\nbehind");
    check_markdown("<ol><li><p>one</p><p>more</p><li>two</ol>", "1. one\n\n   more\n\n2. two");
}

/* The HTML standard's examples of ol: start, reversed, value. */
TEST(extract_markup_numbers)
{
    check_text("<ol start=3><li>a<li>b</ol>", "3. a\n4. b");
    check_text("<ol reversed><li>a<li>b<li>c</ol>", "3. a\n2. b\n1. c");
    check_text("<ol><li value=7>a<li>b<li value=-2>c<li>d</ol>", "7. a\n8. b\n-2. c\n-1. d");
    check_text("<ol type=a start=26><li>a<li>b</ol>", "z. a\naa. b");
    check_text("<ol type=I start=1988><li>a<li>b</ol>", "MCMLXXXVIII. a\nMCMLXXXIX. b");
    check_text("<ol type=i start=0><li>a</ol>", "0. a");
    check_text("<ol start=99999999999999999999><li>a</ol>", "1. a");
    check_markdown("<ol type=a start=2><li>a</ol>", "2. a");
}

/* Cards in a list are no bullet points. */
TEST(extract_markup_cards)
{
    check_text("<ul><li><h3>Name</h3><p>About it</p><li><h3>Other</h3><p>And it</p></ul>",
               "Name\nAbout it\nOther\nAnd it");
    check_markdown("<ul><li><h3>Name</h3><ul><li>point</ul></ul>", "### Name\n\n- point");
}

/* ---- tables ---- */
TEST(extract_markup_tables)
{
    check_text("<table><caption>Prices</caption><tr><th>what<th>cost<tr><td>tea<td>2</table>",
               "Prices\nwhat\tcost\ntea\t2");
    check_markdown("<table><caption>Prices</caption><tr><th>what<th>cost<tr><td>a|b<td>2</table>",
                   "Prices\n\n| what | cost |\n| --- | --- |\n| a\\|b | 2 |");
    check_text("<table><tr><th rowspan=2>a<th colspan=2>b<th>c<tr><td>1<td>2<td>3</table>",
               "a\tb\t\tc\n\t1\t2\t3");
    check_markdown("<table><tr><th rowspan=2>a<th colspan=2>b<th>c<tr><td>1<td>2<td>3</table>",
                   "| a | b |  | c |\n| --- | --- | --- | --- |\n|  | 1 | 2 | 3 |");
    check_markdown("<table><tr><td>x<td>one<p>two</table><p>end", "x\n\none\n\ntwo\n\nend");
    check_markdown("<table><tr><td>a<td>b<tr><td>c<br>d<td>e</table>",
                   "| a | b |\n| --- | --- |\n| c<br>d | e |");
    check_markdown("<table><tr><td>a<td>b</table>", "a | b");
    check_text("<table><tr><td>a<td><table><tr><td>1<td>2<tr><td>3<td>4</table></table>",
               "a\n1\t2\n3\t4");
    check_text("<table role=presentation><tr><td>a<td>b<tr><td>c<td>d</table>", "a\nb\nc\nd");
    check_text("<ul><li>x<table><tr><td>a<td>b<tr><td>c<td>d</table></ul>", "- x\n  a\tb\n  c\td");
}

TEST_LIMIT(extract_markup_hostile_tables, 20)
{
    struct buf page = {.max = 32 << 20};
    struct extract_conf conf = {.depth_max = 512,
                                .memory_max = 96u << 20,
                                .time_max_ms = 10000,
                                .mode = "all",
                                .format = "markdown"};
    static const char *const rows[] = {
        "<tr><td rowspan=1000000000 colspan=1000000000>a<td>b",
        "<tr><td rowspan=99999 colspan=63>a<td>b",
        "<tr><td rowspan=-1 colspan=0>a<td rowspan=x colspan=18446744073709551616>b",
        "<table><tr><td>a<td>b",
        "<td>a<td>b",
        "<tr><td>a<td><ol start=2147483647><li>b",
        "<tr><td><pre>1\n2\n3</pre><td>b",
        "<blockquote><ol><li>a",
        "<ol reversed><li>a<li value=9>",
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct extract_scratch *scratch;
        struct extract_out out;
        struct arena a;
        buf_clear(&page);
        buf_text(&page, "<table>");
        for (int k = 0; k < 30000; k++)
            buf_text(&page, rows[i]);
        CHECK(!page.failed);
        uint64_t start = clock_ns();
        CHECK_OK(arena_open(&a, 256u << 20));
        CHECK_OK(extract_scratch_open(&scratch, &conf));
        CHECK_INT(extract_main(scratch, &a, buf_view(&page), &out), EXTRACT_OK);
        CHECK(utf8_valid(out.text));
        CHECK(out.text.len < (32u << 20));
        CHECK(clock_ns() - start < 3000000000u * (uint64_t)(getenv("ASAN_OPTIONS") ? 8 : 1));
        extract_scratch_close(scratch);
        arena_close(&a);
    }
    buf_free(&page);
}

/* ---- code ---- */
TEST(extract_markup_code)
{
    check_text("<pre>\n\n  if (x)\n\treturn;  \n\n\nend</pre>", "\n  if (x)\n\treturn;  \n\n\nend");
    check_text("<pre>a\r\nb<br>c</pre>", "a\nb\nc");
    check_markdown("<p>see</p><pre><code class=\"language-c hljs\"><span class=k>int</span> "
                   "x = 1;\n\n// *p_ `a` &lt;b&gt;\n</code></pre><p>done",
                   "see\n\n```c\nint x = 1;\n\n// *p_ `a` <b>\n```\n\ndone");
    check_markdown("<pre>```\nfence\n```</pre>", "````\n```\nfence\n```\n````");
    check_markdown("<ul><li>run<pre>make\n\nmake test</pre></ul>",
                   "- run\n\n  ```\n  make\n\n  make test\n  ```");
    check_markdown("<div class=\"highlight highlight-source-rust\"><pre>fn main() {}</pre></div>",
                   "```rust\nfn main() {}\n```");
    check_text("<table class=highlighttable><tr><td class=linenos><div><pre>1\n2\n3</pre></div><td "
               "class=code><div><pre>a = 1\nb = 2\nc = 3</pre></div></table>",
               "a = 1\nb = 2\nc = 3");
    check_text("<pre>1\n2\n3</pre>", "1\n2\n3");
}

TEST(extract_markup_code_classes)
{
    CHECK_STR(code_language(STR("hljs language-typescript")), "typescript");
    CHECK_STR(code_language(STR("brush: js; toolbar: false")), "js");
    CHECK_STR(code_language(STR("highlight highlight-source-c++")), "c++");
    CHECK_STR(code_language(STR("sourceCode haskell")), "haskell");
    CHECK_STR(code_language(STR("highlight-python3 notranslate")), "python3");
    CHECK_STR(code_language(STR("highlight-wrapper wide")), "");
    CHECK_STR(code_language(STR("highlight-default notranslate")), "");
    CHECK_STR(code_language(STR("lang-none")), "");
    CHECK_STR(code_language(STR("wp-block-code")), "");
    CHECK_INT(class_flags(STR("hljs-ln-line hljs-ln-numbers")), CLASS_GUTTER);
    CHECK_INT(class_flags(STR("line-numbers-rows")), CLASS_GUTTER);
    CHECK_INT(class_flags(STR("line-numbers-container code")), 0);
    CHECK_INT(class_flags(STR("katex-html")), CLASS_RENDERED);
    CHECK_INT(class_flags(STR("mwe-math-mathml-inline mwe-math-mathml-a11y")), CLASS_SHOWN);
    CHECK(code_is_numbers(STR("9\n 10\n11\n")));
    CHECK(!code_is_numbers(STR("1\n2")));
    CHECK(!code_is_numbers(STR("1\n2\n4")));
}

/* ---- Markdown ---- */
TEST(extract_markup_headings)
{
    check_markdown("<h1>One</h1><p>text<h3>Three<br>lines</h3><p>more",
                   "# One\n\ntext\n\n### Three "
                   "lines\n\nmore");
    check_markdown("<blockquote><p>said<p>again<blockquote>deep</blockquote></blockquote><p>end",
                   "> said\n>\n> again\n>\n> > deep\n\nend");
    check_markdown("<dl><dt>term<dd>meaning<dd>other</dl>", "term\n: meaning\n: other");
    check_markdown("<p>a<br>b", "a  \nb");
    check_markdown("<dl><dd>no term</dl>", "no term");
    check_markdown("<h2>Use<a href=#use>\xC2\xB6</a></h2>", "## Use");
    check_text("<blockquote>said</blockquote>", "said");
}

/* Each is a line of CommonMark 0.31.2's specification that means something there, and its text. */
TEST(extract_markup_escapes)
{
    check_markdown("<p># no heading", "\\# no heading");
    check_markdown("<p>#hash and C# and 5 &gt; 4", "#hash and C# and 5 > 4");
    check_markdown("<p>&gt; no quote", "\\> no quote");
    check_markdown("<p>- no item<p>+ nor<p>-1 and -x", "\\- no item\n\n\\+ nor\n\n-1 and -x");
    check_markdown("<p>1. no item<p>1986) nor<p>1.5 and 3.",
                   "1\\. no item\n\n1986\\) nor\n\n1.5 and 3.");
    check_markdown("<p>***<p>---<p>a<br>===", "\\*\\*\\*\n\n\\---\n\na  \n\\===");
    check_markdown("<p>2 * 3 is *not* snake_case nor _so_", "2 * 3 is \\*not\\* snake_case nor "
                                                            "\\_so\\_");
    check_markdown("<p>a ` tick ~~ and ~ a &amp;amp; b & c",
                   "a \\` tick \\~\\~ and ~ a \\&amp; b & c");
    check_markdown("<p>[a](b) [c] [d]: e [f][g]", "[a\\](b) [c] [d\\]: e [f\\][g]");
    check_markdown("<p>&lt;b&gt; 1 &lt; 2 &lt;!-- x", "\\<b> 1 < 2 \\<!-- x");
    check_markdown("<p>C:\\dir\\* \\ end", "C:\\dir\\\\\\* \\ end");
    check_markdown("<p>| pipes | are text", "| pipes | are text");
}

/* Emphasis, code and links; the flanking rules are those of CommonMark 0.31.2, section 6.2. */
TEST(extract_markup_inline)
{
    check_markdown("<p>a <b>bold</b>, <i>it</i> and <code>x_1 = *p`</code>.",
                   "a **bold**, *it* and `` x_1 = *p` ``.");
    check_markdown("<p><strong> spaced </strong>and<em>mid</em>word", "**spaced** and*mid*word");
    check_markdown("<p>no<b>(</b>this", "no(this");
    check_markdown("<p><b>Note:</b>text", "Note:text");
    check_markdown("<p><b>one <i>two</i></b> <b><b>x</b></b> <b></b>y", "**one *two*** **x** y");
    check_markdown("<p>H<sub>2</sub>O <del>old</del> <kbd>Ctrl</kbd>",
                   "H<sub>2</sub>O ~~old~~ `Ctrl`");
    check_markdown("<h2><b>Title</b> <code>f()</code></h2>", "## Title `f()`");
    check_text("<h2>Past <span class=mw-editsection>[<a href=/e>edit</a>]</span></h2>", "Past");
    check_markdown("<h3>1. First</h3>", "### 1. First");
    check_markdown("<p>I &lt;3 it", "I <3 it");
    check_markdown("<p>see <a href=/x>this</a>", "see this");
    check_as("markdown", true, STR("<p>see <a href='/x (1)?a=1&amp;b=2'>this <b>one</b></a>."),
             "see [this **one**](/x%20%281%29?a=1&b=2).");
    check_as("markdown", true, STR("<p>a <img src=/p.png alt='a [picture]'> b"),
             "a ![a  picture ](/p.png) b");
    check_markdown("<table><tr><td>a<td><code>x|y</code><tr><td><b>c</b><td>d</table>",
                   "| a | `x\\|y` |\n| --- | --- |\n| **c** | d |");
    check_text("<p>a <b>bold</b> <code>c</code> <img alt=no>", "a bold c");
}

/* As MediaWiki, KaTeX, MathJax and plain MathML leave it in a page: once, and not escaped. */
TEST(extract_markup_maths)
{
    static const char katex[] =
        "<p>so <span class=katex><span class=katex-mathml><math><semantics><mrow><mi>x</mi></mrow>"
        "<annotation encoding='application/x-tex'>x_1*y_2*</annotation></semantics></math></span>"
        "<span class=katex-html aria-hidden=true><span class=base>x1y2</span></span></span> holds";
    check_text(katex, "so $x_1*y_2*$ holds");
    check_markdown(katex, "so $x_1*y_2*$ holds");
    check_text("<p>by <span class=mwe-math-element><span class='mwe-math-mathml-inline "
               "mwe-math-mathml-a11y' style='display: none;'><math alttext='{\\displaystyle c}'>"
               "<mi>c</mi><annotation encoding='application/x-tex'>{\\displaystyle c}</annotation>"
               "</math></span><img class='mwe-math-fallback-image-inline' alt='c'></span> known",
               "by $c$ known");
    check_text(
        "<p>a <span class=MathJax_Preview>[x]</span><span class=MathJax><nobr>x</nobr></span>"
        "<script type='math/tex'>x^2</script> b",
        "a $x^2$ b");
    check_text("<p>then <script type='math/tex; mode=display'>\\frac{a}{b}</script>",
               "then $$\\frac{a}{b}$$");
    check_text("<p>with <math><mfrac><mi>a</mi><mi>b</mi></mfrac></math>", "with a/b");
    check_text(
        "<p>so <mjx-container class=MathJax jax=CHTML><mjx-math class=MJX-TEX aria-hidden=true>"
        "<mjx-mi>x</mjx-mi></mjx-math><mjx-assistive-mml><math><mi>x</mi></math>"
        "</mjx-assistive-mml></mjx-container>, as said",
        "so x, as said");
    /* what is left out leaves no blank: the full stop stands at the formula */
    check_text(
        "<p>so <span class=katex><span class=katex-mathml><math><mi>x</mi></math></span><span "
        "class=katex-html><span class=base> <b>x</b> <a href=y>y</a></span></span></span>.",
        "so x.");
}

/* Formulas as pictures: WordPress, MediaWiki before MathML, LaTeX2HTML; and pictures that are none.
 */
TEST(extract_markup_formula_pictures)
{
    check_text("<p>so <img src='https://s0.wp.com/latex.php?latex=E' class=latex "
               "alt='E=mc^2 &gt; 0'> holds",
               "so $E=mc^2 > 0$ holds");
    check_markdown("<p>so <img class='mwe-math-fallback-png-inline tex' alt='a_1*b_2*'>, too",
                   "so $a_1*b_2*$, too");
    check_text("<p>let <IMG ALT=\"$ x_i$\" SRC=img1.gif>. <img alt='\\[ \\sum y \\]' src=a>",
               "let $x_i$. $$\\sum y$$");
    check_text("<p>a <img alt='$n$'> b <img alt='\\(m\\)'>", "a $n$ b $m$");
    check_text("<p>costs <img alt='$100 or $'> and <img alt='$5$'> <img class=latex> "
               "<img class=latex alt=' '> <img class=texture alt=wood> <img alt='tex'>",
               "costs and");
    check_as("markdown", true, STR("<p>b <img class=tex alt='x*y*z' src=/f.png> c"), "b $x*y*z$ c");
}

/* Code that no pre holds: a gist's table and Crayon's divisions (WordPress). */
TEST(extract_markup_lines_of_code)
{
    static const char gist[] =
        "<table class='highlight tab-size js-file-line-container'><tr><td class='blob-num' "
        "data-line-number=1></td>\n<td class='blob-code blob-code-inner js-file-line'>def f():</td>"
        "</tr>\n<tr><td class=blob-num></td> <td class=blob-code>    return  1</td></tr></table>";
    static const char crayon[] =
        "<table><tr><td class=crayon-nums><div>1</div><div>2</div></td><td class=crayon-code><div "
        "class=crayon-pre><div class=crayon-line><span>if (a) {</span></div>\n<div "
        "class=crayon-line><span class=crayon-h>&nbsp;&nbsp;</span><span>b();</span></div></div>"
        "</td></tr></table>";
    check_text(gist, "def f():\n    return  1");
    check_markdown(gist, "```\ndef f():\n    return  1\n```");
    check_text(crayon, "if (a) {\n  b();");
    check_markdown(crayon, "```\nif (a) {\n  b();\n```");
}

/* Exponents stay apart from what they stand over; ordinals, marks and notes are left as they are.
 */
TEST(extract_markup_exponents)
{
    check_text(
        "<p>10<sup>6</sup> m<SUP>2</SUP>, (a)<sup>12</sup> 10<sup>&minus;3</sup> s<sup>-1</sup>",
        "10^6 m^2, (a)^12 10^\xE2\x88\x92"
        "3 s^-1");
    check_text(
        "<p>1<sup>st</sup> A<sup>TM</sup> word<sup>[1]</sup> note<sup><a href=#n>1</a></sup> "
        "H<sub>2</sub>O a <sup>3</sup>He end.<sup>4</sup> x<sup>12345</sup> y<sup>7",
        "1st ATM word[1] note1 H2O a 3He end.4 x12345 y7");
    check_text("<p>$2,898<sup>00</sup> \xC2\xA3"
               "5<sup>99</sup> x $7<sup>3</sup>",
               "$2,898.00 \xC2\xA3"
               "5.99 x $7^3");
    check_markdown("<p>10<sup>6</sup>", "10<sup>6</sup>");
}

/* Readings over Japanese words go, and the word stays one. */
TEST(extract_markup_ruby)
{
    check_text("<p>これは<ruby>漢<rp>(</rp><rt>かん</rt><rp>)</rp>字<rp>(</rp><rt>じ</rt><rp>)</rp>"
               "</ruby>です。",
               "これは漢字です。");
    check_text("<p><ruby>東京<rt>とうきょう</ruby>へ<ruby><rb>行<rt>い</rt></rb></ruby>く",
               "東京へ行く");
}

TEST(extract_markup_gutters)
{
    check_text("<pre><span class=lineno>1</span>int x;\n<span class=lineno>2</span>int y;</pre>",
               "int x;\nint y;");
    check_text("<p class=gutter>text", "text");
}

/* What a terminal or a reader could be fooled by is gone: controls, NUL, bidirectional overrides.
 */
TEST(extract_markup_controls)
{
    check_as("markdown", true,
             STR("<p>a\x1b[31mb\0c\xE2\x80\xAE"
                 "d\x07"),
             "a[31mbcd");
    check_as("text", false,
             STR("<pre>a\x1b]0;x\x07"
                 "b\0c\xE2\x80\xAE"
                 "d</pre>"),
             "a]0;xbcd");
}

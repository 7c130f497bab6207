/* test_extract_maths - formulas: TeX annotations as sites write them, MathML in one line. */
#include "extract/maths.h"

#include "tests/test.h"

static void check_maths(const char *mathml, const char *want)
{
    char out[2000];
    size_t room = strlen(mathml) + 8;
    CHECK(room <= sizeof out);
    size_t len = maths_text(str_of(mathml), out, room);
    CHECK_STR(((struct str){out, len}), want);
    CHECK(utf8_valid((struct str){out, len}));
}

/* The markup of MediaWiki, KaTeX and LaTeXML as their pages carry it. */
TEST(extract_maths_tex)
{
    check_maths("<semantics><mrow class=\"MJX-TeXAtom-ORD\"><mstyle displaystyle=\"true\" "
                "scriptlevel=\"0\"><mi>E</mi><mo>=</mo><mi>m</mi><msup><mi>c</mi><mn>2</mn></msup>"
                "</mstyle></mrow><annotation encoding=\"application/x-tex\">{\\displaystyle "
                "E=mc^{2}}</annotation></semantics>",
                "$E=mc^{2}$");
    check_maths("<semantics><mrow><mi>a</mi><mo>&lt;</mo><mi>b</mi></mrow><annotation "
                "encoding=\"application/x-tex\">a &lt; b \\\\\n  c</annotation></semantics>",
                "$a < b \\\\ c$");
    check_maths("<mi>x</mi><annotation encoding='application/x-llamapun'>italic_x</annotation>"
                "<annotation id=a encoding=application/x-tex>x</annotation>",
                "$x$");
    check_maths("<mi>x</mi><annotation encoding=application/x-tex>never closed", "x");
}

/* What AsciiMath writes for the examples of its own page and of the MathML recommendation. */
TEST(extract_maths_linear)
{
    check_maths("<msup><mi>x</mi><mn>2</mn></msup><mo>+</mo><mn>4</mn><mo>&#x2062;</mo><mi>x</mi>"
                "<mo>+</mo><mn>4</mn><mo>=</mo><mn>0</mn>",
                "x^2 + 4x + 4 = 0");
    check_maths("<mi>x</mi><mo>=</mo><mfrac><mrow><mrow><mo>-</mo><mi>b</mi></mrow><mo>&#xB1;</mo>"
                "<msqrt><mrow><msup><mi>b</mi><mn>2</mn></msup><mo>-</mo><mrow><mn>4</mn><mi>a</mi>"
                "<mi>c</mi></mrow></mrow></msqrt></mrow><mrow><mn>2</mn><mi>a</mi></mrow></mfrac>",
                "x = (-b \xC2\xB1 sqrt(b^2 - 4ac))/(2a)");
    check_maths("<munderover><mo>&sum;</mo><mrow><mi>i</mi><mo>=</mo><mn>1</mn></mrow><mi>n</mi>"
                "</munderover><msup><mi>i</mi><mn>3</mn></msup>",
                "\xE2\x88\x91_(i = 1)^n i^3");
    check_maths(
        "<msub><mi>x</mi><mn>1</mn></msub><msup><mi>y</mi><mn>2</mn></msup><mo>+</mo><mfrac>"
        "<mi>a</mi><mn>2</mn></mfrac><mi>b</mi>",
        "x_1 y^2 + a/2 b");
    check_maths("<mn>2</mn><mi>sin</mi><mo>&#x2061;</mo><mi>x</mi><mo>(</mo><mi>y</mi><mo>)</mo>",
                "2 sin x(y)");
    check_maths("<msup><mrow><mo>(</mo><msub><mi>a</mi><mi>i</mi></msub><mi>b</mi><mo>)</mo></mrow>"
                "<mn>2</mn></msup><mi>c</mi>",
                "(a_i b)^2 c");
    check_maths("<mroot><mi>x</mi><mn>3</mn></mroot>", "root(3)(x)");
    check_maths("<msub><mi>a</mi><mrow><mi>i</mi><mo>+</mo><mn>1</mn></mrow></msub>", "a_(i + 1)");
    check_maths("<msubsup><mo>&int;</mo><mn>0</mn><mi>t</mi></msubsup>", "\xE2\x88\xAB_0^t");
    check_maths("<mtable><mtr><mtd><mi>a</mi></mtd><mtd><mi>b</mi></mtd></mtr><mtr><mtd><mi>c</mi>"
                "</mtd><mtd><mi>d</mi></mtd></mtr></mtable>",
                "[[a, b], [c, d]]");
    check_maths("<mfenced><mi>a</mi><mi>b</mi></mfenced>", "(a, b)");
    check_maths("<mi>f</mi><mo>&#x2061;</mo><mo>(</mo><mi>x</mi><mo>,</mo><mi>y</mi><mo>)</mo>",
                "f(x, y)");
    check_maths("<mtext>if </mtext><mi>x</mi><mphantom><mi>q</mi></mphantom>", "if x");
    check_maths("<mfrac><mrow><mo>(</mo><mi>a</mi><mo>+</mo><mi>b</mi><mo>)</mo></mrow><mi>c</mi>"
                "</mfrac>",
                "(a + b)/c");
}

TEST(extract_maths_scripts)
{
    char out[100];
    size_t len = maths_script(STR("math/tex"), STR(" \\frac{a}{b} "), out, sizeof out);
    CHECK_STR(((struct str){out, len}), "$\\frac{a}{b}$");
    len = maths_script(STR("math/tex; mode=display"), STR("x < y"), out, sizeof out);
    CHECK_STR(((struct str){out, len}), "$$x < y$$");
    len = maths_script(STR("math/tex"), STR("% <![CDATA[\nx %]]>"), out, sizeof out);
    CHECK_STR(((struct str){out, len}), "$x$");
    CHECK_INT(maths_script(STR("math/tex"), STR("  "), out, sizeof out), 0);
    CHECK_INT(maths_script(STR("math/tex"), STR("far too long"), out, 10), 0);
}

/* Unbalanced, deep and endless markup: the text is there, and time stays linear. */
TEST_LIMIT(extract_maths_hostile, 10)
{
    static const char *const units[] = {"<mrow>",       "<mfrac><mi>x</mi>",
                                        "<msup>x",      "</mrow>",
                                        "<annotation>", "<annotation encoding=tex>",
                                        "<mroot><mi>y", "<mtable><mtr><mtd>z",
                                        "<mo>=",        "&",
                                        "<!--",         "<"};
    size_t size = 1 << 20;
    char *in = malloc(size), *out = malloc(size + 8);
    CHECK(in != NULL);
    CHECK(out != NULL);
    for (size_t u = 0; u < COUNT_OF(units); u++) {
        size_t len = 0, unit = strlen(units[u]);
        while (len + unit < size) {
            memcpy(in + len, units[u], unit);
            len += unit;
        }
        size_t got = maths_text((struct str){in, len}, out, len + 8);
        CHECK(got <= len + 8);
        CHECK(maths_text((struct str){in, len}, out, 3) <= 3);
    }
    check_maths("</mi></mrow><mi>x</mi></mfrac>", "x");
    free(in);
    free(out);
}

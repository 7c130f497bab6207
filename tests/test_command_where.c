/* test_command_where - predicates over the ledger: values and precedence by cases worked out by
 * hand, random ones against a slow twin, messages with their columns. */
#include "command/where.h"

#include "core/json.h"
#include "tests/test.h"

#include <math.h>

static struct schema *made_schema(void)
{
    struct schema *s = calloc(1, sizeof *s);
    CHECK(s != NULL);
    schema_init(s);
    CHECK_OK(schema_signal(s, "quality.score", "probability"));
    CHECK_OK(schema_signal(s, "gopher.words", "words"));
    CHECK_OK(schema_signal(s, "odd-name", ""));
    CHECK_OK(schema_signal(s, "never.measured", ""));
    CHECK_OK(schema_rule(s, "gopher", "gopher.min_words", 1, 50, -1));
    CHECK_OK(schema_rule(s, "gopher", "gopher.max_words", 1, 1000, 1));
    CHECK_OK(schema_rule(s, "c4", "c4.curly", -1, NAN, 0));
    return s;
}

static const float row_signals[] = {0.9f, 120, 7, NAN};
static const struct ledger_row row = {.id = 0x00AB,
                                      .offset = 5000000000u,
                                      .record = 12,
                                      .url = {"https://a.edu/it's?x=1", 22},
                                      .host = {"a.edu", 5},
                                      .lang = {"en", 2},
                                      .verdict = {"dropped", 7},
                                      .rule = {"c4.curly", 8},
                                      .also = {"c4.curly gopher.max_words", 25},
                                      .domain = {"web", 3},
                                      .raw_bytes = 4000,
                                      .text_bytes = 1000,
                                      .tokens = 250,
                                      .cluster_size = 3,
                                      .value = NAN,
                                      .threshold = 0.1f,
                                      .signal = row_signals};

static bool holds(const char *text)
{
    struct where *w;
    struct where_names names;
    struct schema *s = made_schema();
    int rc = where_parse(&w, text);
    if (rc < 0)
        test_fail(__FILE__, __LINE__, "%s: %s", text, err_text());
    rc = where_bind(w, s, false, &names);
    if (rc < 0)
        test_fail(__FILE__, __LINE__, "%s: %s", text, err_text());
    bool is = where_true(w, &names, &row, STR("in/a.warc.gz"));
    where_free(w);
    free(s);
    return is;
}

static const char *const yes[] = {
    "true",
    "not false",
    "lang == 'en'",
    "lang == \"en\"",
    "lang in ['de', 'en', 'fr']",
    "lang not in ['de','fr']",
    "lang not in []",
    "lang != ''",
    "lang < 'eo' and lang > 'em'",
    "id == '00000000000000ab'",
    "id in ['1', '00000000000000ab']",
    "offset == 5e9 and offset > 4_999_999_999",
    "source ~ '*.warc.gz' and host ~ '?.edu' and url !~ '*.org/*'",
    "url ~ '*it''s*'",
    "url ~ \"*it's*\"",
    "domain == 'web' and verdict == 'dropped' and stage == '' and dup_of == ''",
    "rule == 'c4.curly'",
    "rule('c4.curly') and rule('gopher.max_words') and not rule('gopher.min_words')",
    "quality.score >= 0.9",
    "0.9 <= quality.score",
    "quality.score == 0.9",
    "quality.score in [0.1, 0.9]",
    "signal.quality.score > 0.5",
    "signal('odd-name') == 7",
    "threshold == 0.1",
    "tokens == 250 and record == 12 and raw_bytes == 4000 and cluster_size >= 2",
    "text_bytes / tokens == 4",
    "raw_bytes - text_bytes - 1000 == 2000",
    "2 + 3 * 4 == 14 and (2 + 3) * 4 == 20",
    "-tokens < 0 and -(-3) == 3 and - -3 == 3 and 1 - -1 == 2",
    "12 / 3 / 2 == 2",
    "tokens > -1",
    "-1 in [-1]",
    "1/0 > 1e300",
    "margin('gopher.min_words') == 70 and margin('gopher.max_words') == 880",
    "draw(1) >= 0 and draw(1) < 1 and draw(1) != draw(2)",
    /* null */
    "never.measured is null and value is null and quality.score is not null",
    "not never.measured > 0",
    "not (never.measured != 3)",
    "never.measured + 1 is null and 0 / 0 is null",
    "not never.measured in [1] and not (never.measured not in [1])",
    /* and before or, not before and */
    "true or true and false",
    "not false and true",
    "not (true and false)",
    "false and true or true",
    " \t\ntrue\r\n",
};
static const char *const no[] = {
    "false",
    "lang == 'EN'",
    "lang in []",
    "lang in ['e', 'enn']",
    "never.measured == never.measured",
    "never.measured != 0",
    "never.measured not in [1]",
    "never.measured < 1 or never.measured >= 1",
    "(true or true) and false",
    "rule('gopher.min_words')",
    "rule('c4.curly') and rule('gopher.min_words')",
    "quality.score > 0.9",
    "quality.score < 0.9",
    "url ~ 'a.edu'",
    "tokens == 250 and tokens == 251 or false",
    "draw(7) != draw(7)",
};

TEST(command_where_values)
{
    for (size_t i = 0; i < COUNT_OF(yes); i++)
        if (!holds(yes[i]))
            test_fail(__FILE__, __LINE__, "must hold: %s", yes[i]);
    for (size_t i = 0; i < COUNT_OF(no); i++)
        if (holds(no[i]))
            test_fail(__FILE__, __LINE__, "must not hold: %s", no[i]);
}

/* Texts that are refused, and what the message must say; column numbers counted by hand. */
TEST(command_where_errors_name_column_and_remedy)
{
    static const struct {
        const char *text, *says;
    } bad[] = {
        {"", "column 1: expected a value, but the predicate ends"},
        {"lang", "column 1: this is text, where a condition is needed"},
        {"tokens", "column 1: this is a number, where a condition is needed"},
        {"lang = 'en'", "column 6: = is written == here"},
        {"tokens > 1 && tokens < 9", "column 12: && is written and here"},
        {"tokens > 1 || tokens < 9", "column 12: || is written or here"},
        {"!rule('c4.curly')", "column 1: ! is written not here"},
        {"tokens <> 1", "column 8: <> is written != here"},
        {"lang == 5", "column 9: text is compared with a number"},
        {"tokens == 'x'", "column 11: a number is compared with text"},
        {"tokens in ['a']", "column 12: this is text, where a number is needed"},
        {"lang in [1]", "column 10: this is a number, where text is needed"},
        {"lang in ['a'", "column 13: expected , or ], but the predicate ends"},
        {"lang in 'a'", "column 9: expected [, found 'a'"},
        {"lang ~ 5", "column 8: expected a pattern in quotes, found 5"},
        {"tokens ~ 'x'", "column 1: this is a number, where text is needed"},
        {"lang is null", "column 1: text is never null: compare it with ''"},
        {"tokens is 5", "column 11: expected null, found 5"},
        {"lang == 'en", "column 9: the text that begins here has no closing '"},
        {"tokens > 1..5", "column 10: 1..5 is no number"},
        {"tokens > 1e999", "column 10: 1e999 is no number"},
        {"tokens > 5x", "column 10: 5x is no number"},
        {"(tokens > 5", "column 12: expected ), but the predicate ends"},
        {"tokens > 5)", "column 11: expected and, or, or the end, found )"},
        {"tokens > 5 lang == 'en'", "column 12: expected and, or, or the end, found lang"},
        {"0 < tokens < 5", "column 12: expected and, or, or the end, found <"},
        {"(tokens > 5) == true", "conditions are joined"},
        {"tokens and true", "column 1: this is a number, where a condition is needed"},
        {"true and tokens", "column 10: this is a number, where a condition is needed"},
        {"not tokens", "column 5: this is a number, where a condition is needed"},
        {"lang + 1 > 2", "column 1: this is text, where a number is needed"},
        {"1 + lang > 2", "column 5: this is text, where a number is needed"},
        {"-lang == 'x'", "column 2: this is text, where a number is needed"},
        {"tokens > ", "column 10: expected a value, but the predicate ends"},
        {"and", "column 1: expected a value, found and"},
        {"lang not 'x'", "column 10: expected in, found 'x'"},
        {"rules('x')", "column 1: there is no function rules"},
        {"rule(x)", "column 6: expected a name in quotes, found x"},
        {"margin('x' > 5", "column 12: expected ), found >"},
        {"draw('x') < 1", "column 6: expected a number, the seed of the draw, found 'x'"},
        {"draw(1.5) < 1", "column 6: a seed is a whole number"},
        {"tokens > 5 # x", "column 12: # has no meaning here"},
        {"tokens \xC3\xA9 5", "column 8: byte 0xC3 has no meaning outside of quotes"},
        {"lang in [-'x']", "column 11: this is text, where a number is needed"},
    };
    struct where *w;
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        CHECK_ERR(where_parse(&w, bad[i].text), ERR_USAGE);
        if (!strstr(err_text(), bad[i].says))
            test_fail(__FILE__, __LINE__, "%s: says \"%s\", not \"%s\"", bad[i].text, err_text(),
                      bad[i].says);
    }
}

TEST(command_where_unknown_names_get_the_nearest)
{
    static const struct {
        const char *text, *says;
    } bad[] = {
        {"quality.scor > 1", "column 1: there is no column or signal quality.scor: did you mean "
                             "quality.score?"},
        {"true and langs > 1", "column 10: there is no column or signal langs: did you mean lang?"},
        {"xyzzyxyzzy > 1", "column 1: there is no column or signal xyzzyxyzzy: sluice store view"},
        {"rule('c4.curl')", "column 6: there is no rule c4.curl: did you mean c4.curly?"},
        {"margin('gopher.min_word') > 0", "did you mean gopher.min_words?"},
        {"gopher.mean_word_count > 5", "no column or signal gopher.mean_word_count: did you mean "
                                       "gopher.words? (there are gopher.words)"},
        {"score >= 0.5", "no column or signal score: did you mean quality.score?"},
        {"filter.words > 5", "did you mean gopher.words?"},
        {"rule('gopher.anything')", "did you mean gopher.min_words? (there are gopher.min_words, "
                                    "gopher.max_words)"},
        {"margin('c4.curly') > 0", "column 8: rule c4.curly rests on no single number"},
    };
    struct schema *s = made_schema();
    struct where_names names;
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        struct where *w;
        CHECK_OK(where_parse(&w, bad[i].text));
        CHECK_ERR(where_bind(w, s, false, &names), ERR_USAGE);
        if (!strstr(err_text(), bad[i].says))
            test_fail(__FILE__, __LINE__, "%s: says \"%s\"", bad[i].text, err_text());
        where_free(w);
    }
    struct where *w;
    CHECK_OK(where_parse(&w, "not rule('c4.curl') and quality.scor is null and "
                             "margin('none') is null"));
    CHECK_OK(where_bind(w, s, true, &names)); /* lax: null, and a rule that never fired */
    CHECK(where_true(w, &names, &row, STR("")));
    where_free(w);
    free(s);
}

static char *repeated(const char *head, const char *part, int times, const char *tail)
{
    struct buf b = {0};
    buf_text(&b, head);
    for (int i = 0; i < times; i++)
        buf_text(&b, part);
    buf_text(&b, tail);
    char *text = strdup(buf_cstr(&b));
    buf_free(&b);
    return text;
}

static void limit(char *text, int code, const char *says)
{
    struct where *w = NULL;
    int rc = where_parse(&w, text);
    CHECK_INT(rc, code);
    if (rc < 0)
        CHECK(strstr(err_text(), says) != NULL);
    else
        where_free(w);
    free(text);
}

TEST(command_where_limits)
{
    struct buf names = {0};
    limit(repeated("", "(", WHERE_DEPTH_MAX, "true"), ERR_USAGE, "but the predicate ends");
    limit(repeated("", "(", WHERE_DEPTH_MAX + 1, "true"), ERR_USAGE, "column 65: nested more");
    limit(repeated("", "(", 60000, ""), ERR_USAGE, "nested more than 64 deep");
    limit(repeated("", "not ", WHERE_DEPTH_MAX, "true"), 0, "");
    limit(repeated("", "not ", WHERE_DEPTH_MAX + 1, "true"), ERR_USAGE, "nested more");
    limit(repeated("", "- ", WHERE_DEPTH_MAX + 1, "1 > 0"), ERR_USAGE, "nested more");
    limit(repeated("tokens in [", "1,", 30000, "2]"), 0, "");
    limit(repeated("true", " or true", 8000, ""), 0, "");
    limit(repeated("", " ", WHERE_BYTES_MAX - 4, "true"), 0, "");
    limit(repeated("", " ", WHERE_BYTES_MAX - 3, "true"), ERR_USAGE, "at most 65536");
    /* Deepest stack: 64 levels with a comparison, a sum and a product open at each. */
    struct buf deep = {0};
    for (int i = 0; i < WHERE_DEPTH_MAX; i++)
        buf_text(&deep, i ? "1 + 2 * (" : "0 < 1 + 2 * (");
    buf_text(&deep, "tokens");
    for (int i = 0; i < WHERE_DEPTH_MAX; i++)
        buf_char(&deep, ')');
    CHECK(holds(buf_cstr(&deep)));
    buf_free(&deep);
    for (int i = 0; i < WHERE_NAMES_MAX + 1; i++) {
        if (i == WHERE_NAMES_MAX)
            limit(strdup(buf_cstr(&names)), 0, "");
        buf_printf(&names, "%sx%d > 0", i ? " or " : "", i);
    }
    limit(strdup(buf_cstr(&names)), ERR_USAGE, "more than 256 signals and rules");
    buf_free(&names);
}

TEST(command_where_asks_for_the_columns_it_uses)
{
    struct schema *s = made_schema();
    struct where *w;
    struct where_names names;
    struct ledger_need need = {0};
    int columns = 0;
    CHECK_OK(where_parse(&w, "lang == 'en' and (margin('gopher.min_words') > 2 or draw(1) < 0.5) "
                             "and not rule('c4.curly')"));
    CHECK_OK(where_bind(w, s, false, &names));
    where_need(w, &names, &need);
    for (int i = 0; i < LEDGER_COLUMNS; i++)
        columns += need.column[i];
    CHECK_INT(columns, 4);
    CHECK(need.column[LEDGER_LANG] && need.column[LEDGER_ID] && need.column[LEDGER_RULE] &&
          need.column[LEDGER_ALSO]);
    CHECK(need.signal[1] && !need.signal[0] && !need.signal[2]);
    where_free(w);
    free(s);
}

/* ---- random conditions against a twin that evaluates while it writes them ---- */
struct twin {
    uint64_t state;
    struct buf text;
};

static double twin_number(struct twin *t, int depth)
{
    static const struct {
        const char *text;
        double value;
    } leaf[] = {{"tokens", 250},
                {"quality.score", (double)0.9f},
                {"never.measured", NAN},
                {"3", 3},
                {"0.25", 0.25},
                {"cluster_size", 3},
                {"0", 0}};
    uint64_t which = test_random(&t->state) % (depth > 3 ? 7 : 11);
    if (which < 7) {
        buf_text(&t->text, leaf[which].text);
        return leaf[which].value;
    }
    buf_char(&t->text, '(');
    double a = twin_number(t, depth + 1);
    buf_text(&t->text, which == 7 ? " + " : which == 8 ? "-" : which == 9 ? " * " : " / ");
    double b = twin_number(t, depth + 1);
    buf_char(&t->text, ')');
    return which == 7 ? a + b : which == 8 ? a - b : which == 9 ? a * b : a / b;
}

static bool twin_condition(struct twin *t, int depth)
{
    uint64_t which = test_random(&t->state) % (depth > 5 ? 3 : 7);
    bool a, b;
    if (which == 0) {
        buf_text(&t->text, "lang == 'en'");
        return true;
    }
    if (which <= 2) { /* parenthesised, so that nothing is rounded beside a signal */
        buf_text(&t->text, "1 * ");
        double x = twin_number(t, 1);
        buf_text(&t->text, which == 1 ? " < 1 * " : " != 1 * ");
        double y = twin_number(t, 1);
        return which == 1 ? x < y : !isnan(x) && !isnan(y) && x != y;
    }
    if (which == 3) {
        buf_text(&t->text, "not (");
        a = twin_condition(t, depth + 1);
        buf_char(&t->text, ')');
        return !a;
    }
    buf_char(&t->text, '(');
    a = twin_condition(t, depth + 1);
    buf_text(&t->text, which < 6 ? ") and (" : ") or (");
    b = twin_condition(t, depth + 1);
    buf_char(&t->text, ')');
    return which < 6 ? a && b : a || b;
}

TEST(command_where_as_its_twin)
{
    struct twin t = {.state = 11};
    int held = 0;
    enum { TIMES = 3000 };
    for (int i = 0; i < TIMES; i++) {
        buf_clear(&t.text);
        bool want = twin_condition(&t, 0);
        if (holds(buf_cstr(&t.text)) != want)
            test_fail(__FILE__, __LINE__, "twin says %d: %s", want, buf_cstr(&t.text));
        held += want;
    }
    CHECK(held > TIMES / 10 && held < TIMES * 9 / 10);
    buf_free(&t.text);
}

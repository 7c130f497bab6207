/* test_filter_c4 - C4's line rules one by one, their order, and the counting of sentences.
 * Expected texts follow from the published order of rules (datatrove c4_filters.py), worked out
 * by hand. */
#include "filter/text_scan.h"
#include "tests/filter_run.h"

#define FILL "One line that stays. Two of them. Three of them. Four of them. Five of them."

static const char *c4_text(const char *text, const char *const *settings)
{
    static char out[8192];
    struct filter_run r;
    filter_run_start(&r, "c4", settings);
    struct doc *d = filter_run_text(&r, str_of(text), "en");
    CHECK(d->text.len < sizeof out);
    memcpy(out, d->text.ptr, d->text.len);
    out[d->text.len] = 0;
    filter_run_close(&r);
    return out;
}
#define C4(text, ...) str_of(c4_text(text, (const char *const[]){__VA_ARGS__ __VA_OPT__(, ) NULL}))

TEST(filter_c4_cuts_lines)
{
    CHECK_STR(C4("A good line here.\nThis site uses cookies for tracking.\nAnother valid line."),
              "A good line here.\nAnother valid line.");
    CHECK_STR(C4("A good line here.\nPlease enable JavaScript now.\nAnother valid line."),
              "A good line here.\nAnother valid line.");
    CHECK_STR(C4("A good line here.\nRead our Privacy Policy first.\nAnother valid line."),
              "A good line here.\nAnother valid line.");
    CHECK_STR(C4("A good line here.\nHome\nTwo words\nAnother valid line."),
              "A good line here.\nAnother valid line.");
    CHECK_STR(C4("A good line here.\nThe TERMS OF USE apply.\nWe use cookies here.\nuse of cookies "
                 "on it\n"
                 "our cookie policy is\nAnother valid line."),
              "A good line here.\nAnother valid line.");
    CHECK_STR(C4("I like my cookie very much.\nUse a policy."),
              "I like my cookie very much.\nUse a policy.");
    CHECK_STR(C4("We use cookies here.\nPlease enable JavaScript now.", "policy=false",
                 "javascript=false"),
              "We use cookies here.\nPlease enable JavaScript now.");
    CHECK_STR(C4("Menu\nHome"), "");
}

TEST(filter_c4_citations)
{
    CHECK_STR(C4("Known since 1901[1][23] and later[] on[citation needed].\nHistory of it[edit]"),
              "Known since 1901 and later on.\nHistory of it");
    CHECK_STR(C4("Keep [a1] and [12 and 3] and [12"), "Keep [a1] and [12 and 3] and [12");
    CHECK_STR(C4("Known since 1901[1] or so", "citations=false"), "Known since 1901[1] or so");
    CHECK_STR(C4("Words here come before it.[2]\nNo stop here at all", "terminal_punct=true"),
              "Words here come before it.");
}

TEST(filter_c4_keeps_bytes_and_paragraphs)
{
    CHECK_STR(C4("  An indented line here.\r\n\n\n\nAnother one  comes then. \n"),
              "  An indented line here.\r\n\n\n\nAnother one  comes then. \n"); /* nothing cut */
    CHECK_STR(C4("A good line here.\n\nHome\n\n  Another valid line.\n\nEnd"),
              "A good line here.\n\n  Another valid line.");
}

TEST(filter_c4_terminal_option)
{
    CHECK_STR(C4("Ends with a stop.\nEnds with an ellipsis...\nEnds \"with quotes\"\nHas no "
                 "end\nWhat is it?\n"
                 "Cut by dots…\nHe said (it was.)",
                 "terminal_punct=true"),
              "Ends with a stop.\nEnds \"with quotes\"\nWhat is it?\nHe said (it was.)");
}

TEST(filter_c4_long_words)
{
    char *word = repeat("x", 1000), text[4096];
    snprintf(text, sizeof text, "two words %s\nA good line here.", word);
    CHECK_STR(C4(text), text);
    snprintf(text, sizeof text, "two words %sx\nA good line here.", word);
    CHECK_STR(C4(text), "A good line here.");
    char *wide = repeat("é", 1000); /* characters, not bytes */
    snprintf(text, sizeof text, "two words %s\nA good line here.", wide);
    CHECK_STR(C4(text), text);
}

/* "{" and lorem ipsum count only on lines that passed the rules before them; javascript goes
 * before "{", "{" before policies, lorem ipsum before both. */
TEST(filter_c4_order_of_rules)
{
    CHECK_STR(str_of(FILTER_RULE("c4", FILL "\n{ x\n")), "");
    CHECK_STR(str_of(FILTER_RULE("c4", FILL "\nif (x) { y; }\n")), "c4.curly_bracket");
    CHECK_STR(str_of(FILTER_RULE("c4", FILL "\njavascript code { here too\n")), "");
    CHECK_STR(str_of(FILTER_RULE("c4", FILL "\nthe privacy policy { here too\n")),
              "c4.curly_bracket");
    CHECK_STR(str_of(FILTER_RULE("c4", FILL "\nLorem IPSUM in javascript here\n")),
              "c4.lorem_ipsum");
    CHECK_STR(str_of(FILTER_RULE("c4", FILL "\nlorem ipsum\n")), "");
    CHECK_STR(str_of(FILTER_RULE("c4", FILL "\nif (x) { y; }\n", "max_curly_lines=1")), "");
}

TEST(filter_sentences_counted)
{
    static const struct {
        const char *line;
        int want;
    } cases[] = {
        {"", 0},
        {"No stop at all", 1},
        {"One. Two. Three.", 3},
        {"One! Two? Three", 3},
        {"Wait... what? Yes.", 2}, /* lower case goes on */
        {"Mr. Smith met Dr. Jones at 5 p.m. in St. Ives.", 1},
        {"J. R. R. Tolkien wrote it. He did.", 2},
        {"It costs 3.14 euros. See example.com for it.", 2},
        {"He said \"stop.\" Then he left.", 2},
        {"...", 1},
        {"你好。再见！真的吗？是", 4},
        {"यह एक है। यह दो है।", 2},
        {"What?! No!!! Yes.", 3},
        {"Am I? So am I. Then go.", 3},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        uint32_t got = line_sentences(line_trim(str_of(cases[i].line)));
        if ((int)got != cases[i].want)
            test_fail(__FILE__, __LINE__, "\"%s\": got %u, want %d", cases[i].line, got,
                      cases[i].want);
    }
}

TEST(filter_terminals_are_unicode_s)
{
    CHECK(char_ends_sentence('.') && char_ends_sentence(0x3002) && char_ends_sentence(0x964));
    CHECK(char_ends_sentence(0x6D4) && char_ends_sentence(0xFF61) && char_ends_sentence(0x1DA88));
    CHECK(!char_ends_sentence(0x2026) && !char_ends_sentence(':') && !char_ends_sentence(0x1DA89));
    CHECK(!char_ends_sentence('"') && !char_ends_sentence(0) && !char_ends_sentence(0x10FFFF));
    int count = 0;
    for (uint32_t cp = 0; cp <= 0x10FFFF; cp++)
        count += char_ends_sentence(cp);
    CHECK_INT(count,
              152 + 8); /* perl 5.36's \p{Sentence_Terminal} (Unicode 14), and eight added since */
    CHECK(line_ends_sentence(STR("He said \"stop.\"")) &&
          line_ends_sentence(STR("Ja (wirklich!)“")));
    CHECK(!line_ends_sentence(STR("the \"word\"")) && !line_ends_sentence(STR("...)x")) &&
          !line_ends_sentence(STR("\"")));
}

/* test_filter - the stage adapter, published examples of verdicts, values exactly at thresholds,
 * and hostile texts. Examples and their reasons: datatrove,
 * tests/pipeline/filters/test_filters.py. */
#include "tests/filter_run.h"

#include <math.h>

#define FRODO                                                                                      \
    "I wish it need not have happened in my time,' said Frodo. 'So do I,' said Gandalf, 'and so "  \
    "do all who "                                                                                  \
    "live to see such times. But that is not for them to decide. All we have to decide is what "   \
    "to do with the "                                                                              \
    "time that is given us.'"

#define CHECK_RULE(got, want) CHECK_STR(str_of(got), want)

/* ---- the adapter ---- */

TEST(filter_stage_every_row)
{
    int count = 0;
    for (; filters[count]; count++) {
        const struct filter *f = filters[count];
        const struct stage_type *type = filter_stage(f->name);
        CHECK(type && type->opts == f->opts && type->conf_size == f->conf_size);
        CHECK(filter_stage(f->name) == type);
        int signals = filter_signal_count(f), units = 0;
        while (f->units[units])
            units++;
        CHECK_INT(units, signals);
        CHECK(signals <= FILTER_SIGNALS_MAX && f->rule_count <= FILTER_RULES_MAX);
        struct filter_run r;
        filter_run_start(&r, f->name, NULL);
        CHECK_INT(r.schema.signal_count, signals);
        CHECK_INT(r.schema.rule_count, f->rule_count + 1);
        for (int i = 1; i < r.schema.rule_count; i++) {
            CHECK(str_starts(str_of(r.schema.rule[i].name), f->name));
            CHECK_STR(str_of(r.schema.rule[i].stage), f->name);
        }
        filter_run_close(&r);
    }
    CHECK(count >= 6);
    CHECK(filter_stage("no such filter") == NULL);
    CHECK(filter_stage("url") && filters[0]->before_extract);
}

TEST(filter_stage_first_verdict_and_also)
{
    struct filter_run r;
    filter_run_start(&r, "length", (const char *const[]){"min_words=5", "min_chars=100", NULL});
    struct doc *d = filter_run_text(&r, STR("two words"), "en");
    CHECK_RULE(filter_run_rule(&r, d), "length.min_words");
    CHECK_NUM(d->value, 2, 0);
    CHECK_NUM(d->threshold, 5, 0);
    int words = schema_find_rule(&r.schema, "length.min_words"),
        chars = schema_find_rule(&r.schema, "length.min_chars");
    CHECK_INT(d->also[0], 1 << words | 1 << chars);
    CHECK_NUM(filter_run_signal(&r, d, "length.chars"), 9, 0);
    CHECK_NUM(filter_run_signal(&r, d, "length.lines"), 1, 0);
    filter_run_close(&r);
}

TEST(filter_stage_only_live_documents)
{
    struct filter_run r;
    filter_run_start(&r, "length", NULL);
    for (int i = 0; i < 3; i++)
        doc_set_text(batch_add(r.batch), STR("short"));
    doc_drop(&r.batch->doc[1], schema_rule(&r.schema, "test", "test.first", -1, 0, 0), 1, 2);
    batch_sweep(r.batch);
    CHECK_OK(r.stage.type->run(&r.stage, r.local, r.batch));
    CHECK_RULE(filter_run_rule(&r, &r.batch->doc[1]), "test.first");
    CHECK(isnan(r.batch->doc[1].signal[0]));
    CHECK_RULE(filter_run_rule(&r, &r.batch->doc[2]), "length.min_chars");
    filter_run_close(&r);
}

/* Judges see signals alone; a value exactly at the threshold stays, though 0.1 is no float. */
TEST(filter_judge_at_the_threshold)
{
    for (int i = 0; filters[i]; i++) {
        const struct filter *f = filters[i];
        struct filter_run r;
        filter_run_open(&r, f->name, NULL);
        float signal[FILTER_SIGNALS_MAX];
        uint32_t all = 7;
        for (int k = 0; k < FILTER_SIGNALS_MAX; k++)
            signal[k] = NAN;
        CHECK_INT(filter_judge(f, r.stage.conf, signal, &all), 0);
        CHECK_INT(all, 0);
        for (int k = 0; k < f->rule_count; k++) {
            const struct filter_rule *rule = &f->rules[k];
            double limit;
            memcpy(&limit, (char *)r.stage.conf + rule->threshold_offset, sizeof limit);
            signal[rule->signal] = (float)limit;
            CHECK_INT(filter_judge(f, r.stage.conf, signal, &all), 0);
            signal[rule->signal] = nextafterf((float)limit, rule->sense > 0 ? INFINITY : -INFINITY);
            CHECK_INT(filter_judge(f, r.stage.conf, signal, &all), k + 1);
            CHECK_INT(all, 1 << k);
            signal[rule->signal] = NAN;
        }
        filter_run_close(&r);
    }
}

/* ---- published examples ---- */

TEST(filter_gopher_repetition_published)
{
    CHECK_RULE(FILTER_RULE("gopher_repetition", repeat("I am your father.\n", 4)),
               "gopher_repetition.dup_lines");
    CHECK_RULE(FILTER_RULE("gopher_repetition", repeat("I am your father.\n\n", 4)),
               "gopher_repetition.dup_paragraphs");
    CHECK_RULE(
        FILTER_RULE("gopher_repetition",
                    "I am groot.\n\nYou are a wizard.\n\nI am your father.\n\n"
                    "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxx.\n\nxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx.\n\n"),
        "gopher_repetition.dup_paragraph_chars");
    CHECK_RULE(FILTER_RULE("gopher_repetition",
                           "I am groot.\nYou are a wizard.\nI am your father.\n"
                           "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx."
                           "\nxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx.\n"),
               "gopher_repetition.dup_line_chars");
    CHECK_RULE(FILTER_RULE("gopher_repetition", "I am Frank, I am Frank, I am Frank"),
               "gopher_repetition.top_2_gram");
    CHECK_RULE(FILTER_RULE("gopher_repetition",
                           "I am Frank, you are Jhon. I am Frank. I am Frank you are Jhon"),
               "gopher_repetition.top_3_gram");
    CHECK_RULE(FILTER_RULE("gopher_repetition", "I am a solo traveller I am a solo traveller I am "
                                                "a solo traveller I am a solo traveller " FRODO),
               "gopher_repetition.dup_5_grams");
    CHECK_RULE(FILTER_RULE("gopher_repetition", ""), "gopher_repetition.min_words");
    CHECK_RULE(FILTER_RULE("gopher_repetition", FRODO), "");
}

TEST(filter_gopher_quality_published)
{
#define QUALITY(text) FILTER_RULE("gopher_quality", text, "min_words=10", "max_words=1000")
    CHECK_RULE(QUALITY("I am too small..."), "gopher_quality.min_words");
    CHECK_RULE(QUALITY(repeat("I am ", 20)), "gopher_quality.min_word_chars");
    CHECK_RULE(QUALITY(repeat("interconnection ", 20)), "gopher_quality.max_word_chars");
    CHECK_RULE(QUALITY(repeat("# comment ", 20)), "gopher_quality.max_hash_ratio");
    CHECK_RULE(QUALITY(repeat("... comment ", 20)), "gopher_quality.max_ellipsis_ratio");
    CHECK_RULE(
        QUALITY(repeat("the ./!*?<><> apple <?////> orange  ++ interconnection !<>??? have", 20)),
        "gopher_quality.min_alpha_words");
    CHECK_RULE(QUALITY(FRODO), "");
    CHECK_RULE(FILTER_RULE("gopher_quality", "", "min_words=0"), "gopher_quality.min_word_chars");
    CHECK_RULE(FILTER_RULE("gopher_quality", "   \n  \n", "min_words=0"),
               "gopher_quality.min_word_chars");
}

TEST(filter_c4_published)
{
    CHECK_RULE(FILTER_RULE("c4", "This is a well-written paragraph with several sentences.\n"
                                 "The content continues with more good information here.\n"
                                 "Another important point is being made in this line.\n"
                                 "We can see that this document has quality content.\n"
                                 "Finally, the conclusion wraps everything up nicely.\n"
                                 "An additional sentence to ensure we pass the threshold."),
               "");
    CHECK_RULE(
        FILTER_RULE(
            "c4",
            "This is a sentence with lorem ipsum dolor sit amet.\n"
            "Another sentence with proper punctuation.\nMore content to fill out the document.\n"
            "Even more content is needed to pass the check.\nThe final sentence of the document."),
        "c4.lorem_ipsum");
    CHECK_RULE(
        FILTER_RULE("c4",
                    "This is some code with a { bracket.\nAnother sentence follows this one.\n"
                    "More content to fill out the document.\nEven more content is needed to pass.\n"
                    "The final sentence of the document."),
        "c4.curly_bracket");
    CHECK_RULE(FILTER_RULE("c4", "Just one sentence."), "c4.min_sentences");
}

TEST(filter_fineweb_published)
{
    CHECK_RULE(FILTER_RULE("fineweb", ""), "fineweb.empty");
    CHECK_RULE(FILTER_RULE("fineweb",
                           "No punctuation here\nAnother line without any\nStill nothing",
                           "min_line_punct=0.5"),
               "fineweb.line_punct");
    CHECK_RULE(FILTER_RULE("fineweb", "hi.\nbye.\nok.\nno.\nyes.", "max_short_lines=0.5",
                           "min_line_punct=0"),
               "fineweb.short_lines");
    CHECK_RULE(
        FILTER_RULE("fineweb",
                    "This is a well-written paragraph that ends with proper punctuation.\n"
                    "The content here is substantial and has meaningful information.\n"
                    "Quality filtering ensures that only the best documents pass through.\n"
                    "Each line here is long enough and ends with a terminal punctuation mark.\n"
                    "This document should pass all the quality checks applied by the filter."),
        "");
    struct filter_run r;
    filter_run_start(&r, "fineweb", NULL);
    struct doc *d = filter_run_text(&r, str_of(repeat("a\n", 50)), "en");
    CHECK(filter_run_signal(&r, d, "fineweb.list_ratio") > 0.3);
    CHECK(d->rule != 0);
    filter_run_close(&r);
}

/* ---- edges ---- */

/* 3 of 10 lines, 9 of 10, 67 of 100: the share itself stays, one more goes. */
TEST(filter_line_shares_at_the_threshold)
{
    char ten[2048] = "", eleven[2048] = "";
    for (int i = 0; i < 10; i++) {
        char line[128];
        snprintf(line, sizeof line, "line number %d of the text that we have here goes on%s\n", i,
                 i < 3 ? "..." : ".");
        strncat(ten, line, sizeof ten - strlen(ten) - 1);
        snprintf(line, sizeof line, "line number %d of the text that we have here goes on%s\n", i,
                 i < 4 ? "…" : ".");
        strncat(eleven, line, sizeof eleven - strlen(eleven) - 1);
    }
    CHECK_RULE(FILTER_RULE("gopher_quality", ten), "");
    CHECK_RULE(FILTER_RULE("gopher_quality", eleven), "gopher_quality.max_ellipsis_lines");
    struct buf text = {0};
    for (int i = 0; i < 100; i++)
        buf_printf(&text,
                   i < 67 ? "%d short.\n" : "%d this line is long enough not to be called short.\n",
                   100 + i);
    CHECK_RULE(filter_rule_of("fineweb", buf_view(&text), NULL), "");
    buf_text(&text, "one more.\n");
    CHECK_RULE(filter_rule_of("fineweb", buf_view(&text), NULL), "fineweb.short_lines");
    buf_free(&text);
}

/* With CRLF, with trailing blanks, with a last line break: the same text for rules on lines. */
TEST(filter_line_ends_do_not_matter)
{
    static const char *const names[] = {"gopher_quality", "gopher_repetition", "fineweb", "length"};
    static const char *const texts[] = {
        "- one thing that is here\n- one thing that is here\nthe end of it.\nand ...",
        "- one thing that is here\r\n- one thing that is here\r\nthe end of it.\r\nand ...\r\n",
        "- one thing that is here  \n- one thing that is here\t\n\xC2\xA0the end of "
        "it.\xE3\x80\x80\nand ...\n",
    };
    static const char *const same[] = {
        "gopher_quality.bullet_lines", "gopher_quality.ellipsis_lines",
        "gopher_repetition.dup_lines", "fineweb.line_punct",
        "fineweb.short_lines",         "length.lines"};
    double first[COUNT_OF(same)];
    for (size_t k = 0; k < COUNT_OF(texts); k++) {
        for (size_t i = 0; i < COUNT_OF(names); i++) {
            struct filter_run r;
            filter_run_start(&r, names[i], NULL);
            struct doc *d = filter_run_text(&r, str_of(texts[k]), "en");
            for (size_t s = 0; s < COUNT_OF(same); s++) {
                if (!str_starts(str_of(same[s]), names[i]))
                    continue;
                double got = filter_run_signal(&r, d, same[s]);
                if (k == 0)
                    first[s] = got;
                CHECK_NUM(got, first[s], 0);
            }
            filter_run_close(&r);
        }
    }
    CHECK_NUM(first[0], 0.5, 0);
    CHECK_NUM(first[1], 0.25, 0);
    CHECK_NUM(first[2], 0.25, 0);
    CHECK_NUM(first[3], 0.5, 0); /* "and ..." ends in a full stop, as datatrove has it */
    CHECK_NUM(first[5], 4, 0);
}

/* Equally frequent n-grams: the first one counts, not the longest or last. */
TEST(filter_top_gram_tie)
{
    struct filter_run r;
    filter_run_start(&r, "gopher_repetition", NULL);
    struct str text = STR("a b x longer word y a b z longer word");
    struct doc *d = filter_run_text(&r, text, "en");
    CHECK_NUM(filter_run_signal(&r, d, "gopher_repetition.top_2_gram"), 3.0 * 2 / (double)text.len,
              1e-6);
    text = STR("one two three"); /* a count of 1 is not exempt: the first pair */
    d = filter_run_text(&r, text, "en");
    CHECK_NUM(filter_run_signal(&r, d, "gopher_repetition.top_2_gram"), 7.0 / (double)text.len,
              1e-6);
    CHECK_NUM(filter_run_signal(&r, d, "gopher_repetition.top_4_gram"), 0, 0);
    filter_run_close(&r);
}

/* "ab c" and "a bc" are different n-grams, though their letters are one string. */
TEST(filter_grams_keep_word_borders)
{
    struct filter_run r;
    filter_run_start(&r, "gopher_repetition", NULL);
    struct doc *d = filter_run_text(&r, STR("ab c d e f . a bc d e f , abc d ef g h"), "en");
    CHECK_NUM(filter_run_signal(&r, d, "gopher_repetition.dup_5_grams"), 0, 0);
    d = filter_run_text(&r, STR("ab c d e f . ab c d e f"), "en");
    CHECK_NUM(filter_run_signal(&r, d, "gopher_repetition.dup_5_grams"), 6.0 / 23, 1e-6);
    filter_run_close(&r);
}

TEST(filter_stop_words_by_language)
{
    struct filter_run r;
    filter_run_start(&r, "gopher_quality", NULL);
    static const struct {
        const char *lang, *text;
        double want;
    } cases[] = {
        {"en", "The cat and THE dog", 2},
        {"", "the cat and the dog", 2},
        {"de", "Der Hund und die Katze", 3},
        {"fr", "Le chat est là", 2},
        {"zh", "我是人", 3},
        {"ru", "Он И она не В дом", 4},
        {"en", "der Hund und die Katze", 0},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct doc *d = filter_run_text(&r, str_of(cases[i].text), cases[i].lang);
        CHECK_NUM(filter_run_signal(&r, d, "gopher_quality.stop_words"), cases[i].want, 0);
    }
    struct doc *d = filter_run_text(&r, STR("no list for this"), "xx");
    CHECK(isnan(filter_run_signal(&r, d, "gopher_quality.stop_words")));
    filter_run_close(&r);
}

/* Chinese and Korean prose must not fall to rules made for spaces and Latin letters. */
TEST(filter_spaceless_prose_stays)
{
    static const char *const zh =
        "人人生而自由，在尊严和权利上一律平等。他们赋有理性和良心，并应以兄弟关系的精神相对待。\n"
        "人人有资格享有本宣言所载的一切权利和自由，不分种族、肤色、性别、语言、宗教、政治或其他见解"
        "。\n"
        "并且不得因一人所属的国家或领土的政治的、行政的或者国际的地位之不同而有所区别。\n"
        "任何人不得使为奴隶或奴役；一切形式的奴隶制度和奴隶买卖，均应予以禁止。\n"
        "任何人不得加以酷刑，或施以残忍的、不人道的或侮辱性的待遇或刑罚。";
    static const char *const names[] = {"gopher_quality", "gopher_repetition", "c4", "fineweb"};
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        struct filter_run r;
        filter_run_start(&r, names[i], NULL);
        struct doc *d = filter_run_text(&r, str_of(zh), "zh");
        CHECK_RULE(filter_run_rule(&r, d), "");
        CHECK_INT(d->text.len, strlen(zh));
        if (i == 2)
            CHECK_NUM(filter_run_signal(&r, d, "c4.sentences"), 6, 0);
        filter_run_close(&r);
    }
    struct filter_run r;
    filter_run_start(&r, "gopher_quality", (const char *const[]){"min_words=5", NULL});
    struct doc *d = filter_run_text(
        &r, STR("모든 인간은 태어날 때부터 자유로우며 그 존엄과 권리에 있어 동등하다."), "ko");
    CHECK(isnan(filter_run_signal(&r, d, "gopher_quality.word_chars")));
    filter_run_close(&r);
}

/* ---- hostile texts: no crash, no hang, sane numbers ---- */

static void check_sane(struct str text)
{
    for (int i = 0; filters[i]; i++) {
        struct filter_run r;
        filter_run_start(&r, filters[i]->name, NULL);
        struct doc *d = filter_run_text(&r, text, "en");
        for (int k = 0; k < r.schema.signal_count; k++) {
            double value = (double)d->signal[k];
            CHECK(isnan(value) || value >= 0);
            if (str_starts(str_of(r.schema.signal[k].unit), "of "))
                CHECK(isnan(value) || value <= 1.0);
        }
        CHECK(utf8_valid(d->text));
        filter_run_close(&r);
    }
}

TEST(filter_hostile_texts)
{
    static const char nul[] = "a\0b\0\0c\n\0\nd { lorem ipsum\0";
    check_sane(STR(""));
    check_sane((struct str){nul, sizeof nul - 1});
    check_sane(STR("\n\n\n"));
    check_sane(STR("\xEF\xBB\xBF\xE2\x80\x8B\n\xC2\xAD\n"));
    check_sane(STR("\xC2\x85\xC2\x9F\x01\x1F\x7F"));
    check_sane(STR("#"));
    static const char *const units[] = {"a\n",
                                        "\xE2\x80\x8B\n",
                                        ". ",
                                        "[[",
                                        "{\n",
                                        "a.b ",
                                        "\xF0\x9F\x98\x80",
                                        "I am. ",
                                        "…",
                                        "的",
                                        "\t",
                                        "[1]x ",
                                        "ab\n\n",
                                        ".\xC2\xA0",
                                        "[edit]\n"};
    for (size_t i = 0; i < COUNT_OF(units); i++) {
        char *text = repeat(units[i], 300000);
        check_sane(str_of(text));
    }
}

/* A text past the cap on words is measured on its front; what is behind changes nothing. */
TEST(filter_repetition_long_text)
{
    struct filter_run r;
    struct buf text = {0};
    filter_run_start(&r, "gopher_repetition", NULL);
    for (int i = 0; i < 140000; i++)
        buf_printf(&text, "w%d%c", i, i % 20 == 19 ? '\n' : ' ');
    struct doc *d = filter_run_text(&r, buf_view(&text), "en");
    CHECK_NUM(filter_run_signal(&r, d, "gopher_repetition.words"), 131072, 0);
    CHECK_NUM(filter_run_signal(&r, d, "gopher_repetition.dup_5_grams"), 0, 0);
    CHECK_NUM(filter_run_signal(&r, d, "gopher_repetition.dup_lines"), 0, 0);
    for (int i = 0; i < 50000; i++)
        buf_text(&text, "again again\n");
    d = filter_run_text(&r, buf_view(&text), "en");
    CHECK_NUM(filter_run_signal(&r, d, "gopher_repetition.dup_lines"), 0, 0);
    CHECK_NUM(filter_run_signal(&r, d, "gopher_repetition.dup_10_grams"), 0, 0);
    CHECK_RULE(filter_run_rule(&r, d), "");
    buf_free(&text);
    filter_run_close(&r);
}

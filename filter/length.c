/* length - drops documents with too few or too many words, characters or lines.
 *
 * The limits every pipeline has in some form. Words are letters-and-numbers words of the native
 * dialect `sluice@1` (symbol runs are not counted), characters are Unicode code points including
 * white space, lines are those with something on them. Presets keep whatever could be a
 * paragraph: DCLM and Gopher ask for 50 words themselves (gopher_quality), so min_words is off
 * here. */
#include "filter/filter.h"
#include "filter/text_scan.h"

struct length_conf {
    double min_words, max_words, min_chars, max_chars, min_lines;
};
enum { WORDS, CHARS, LINES };

static const struct opt opts[] = {
    OPT_ROW(OPT_FLOAT, struct length_conf, min_words, "0", 0, 1e9, "words",
            "fewer drop the document", NULL),
    OPT_ROW(OPT_FLOAT, struct length_conf, max_words, "100000", 0, 1e9, "words",
            "more drop the document", "arXiv:2112.11446 table A1"),
    OPT_ROW(OPT_FLOAT, struct length_conf, min_chars, "200", 0, 1e9, "characters",
            "fewer drop the document (Dolma 3 asks for 150)", NULL),
    OPT_ROW(OPT_FLOAT, struct length_conf, max_chars, "2000000", 0, 1e9, "characters",
            "more drop the document", NULL),
    OPT_ROW(OPT_FLOAT, struct length_conf, min_lines, "1", 0, 1e9, "lines",
            "fewer drop the document", NULL),
    OPT_LAST,
};
static const char *const signals[] = {"words", "chars", "lines", NULL};
static const char *const units[] = {"words", "characters", "lines", NULL};
static const struct filter_rule rules[] = {
    {"min_words", WORDS, -1, offsetof(struct length_conf, min_words)},
    {"max_words", WORDS, +1, offsetof(struct length_conf, max_words)},
    {"min_chars", CHARS, -1, offsetof(struct length_conf, min_chars)},
    {"max_chars", CHARS, +1, offsetof(struct length_conf, max_chars)},
    {"min_lines", LINES, -1, offsetof(struct length_conf, min_lines)},
};

static void measure(struct batch *b, struct doc *d, const void *conf, void *scratch, float *out)
{
    UNUSED(conf);
    UNUSED(scratch);
    struct view words = doc_words(b, d), lines = doc_lines(b, d);
    uint32_t alnum = 0, filled = 0;
    for (uint32_t i = 0; i < words.count; i++)
        alnum += word_is_alnum(span_str(d->text, words.span[i]));
    for (uint32_t i = 0; i < lines.count; i++)
        filled += line_trim(span_str(d->text, lines.span[i])).len > 0;
    out[WORDS] = (float)alnum;
    out[CHARS] = (float)text_chars(d->text);
    out[LINES] = (float)filled;
}

const struct filter filter_length = {
    .name = "length",
    .help = "too few or too many words, characters or lines",
    .source = NULL,
    .opts = opts,
    .conf_size = sizeof(struct length_conf),
    .signals = signals,
    .units = units,
    .rules = rules,
    .rule_count = COUNT_OF(rules),
    .measure = measure,
};

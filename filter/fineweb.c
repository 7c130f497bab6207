/* fineweb - FineWeb's own rules over lines (arXiv:2406.17557, section 3.4 and table 2).
 *
 * Shares are over lines with something on them; comparisons are strict, as datatrove does since
 * 0.4 (FineWeb itself was built with 0.2, which counted blank lines, called a closing quote a
 * sentence end and dropped at equality). char_dup: the paper's text says 0.1, its table 2 and
 * the code say 0.01; the preset is the code's, FineWeb-2 uses 0.1.
 *
 * Where we differ, in the native dialect `sluice@1`:
 * - a line ends a sentence by any Sentence_Terminal of Unicode, also in front of closing quotes
 *   and brackets;
 * - a code point of a spaceless script counts as three when a line is short: 10 Han characters
 *   say what 30 Latin ones do;
 * - list_ratio counts line breaks between lines over the tokens of core/doc.h; no token: it is
 *   not measured;
 * - duplicate lines are looked for among the first LINES_MAX lines. */
#include "filter/filter.h"

#include "core/hash.h"
#include "core/unicode.h"
#include "filter/text_scan.h"

#include <math.h>

enum { LINES_MAX = 1 << 16, SLOTS_MAX = LINES_MAX * 2, SLOTS_MIN = 64, SPACELESS_WEIGHT = 3 };
struct line_set {
    uint64_t slot[SLOTS_MAX];
}; /* hashes, open addressing, 0: empty */

struct fineweb_conf {
    double min_lines, min_line_punct, max_short_lines, short_line_chars, max_char_dup,
        max_list_ratio;
};
enum { LINES, LINE_PUNCT, SHORT_LINES, CHAR_DUP, LIST_RATIO };

#define SOURCE "arXiv:2406.17557 section 3.4"
static const struct opt opts[] = {
    OPT_ROW(OPT_FLOAT, struct fineweb_conf, min_lines, "1", 0, 1e9, "lines",
            "fewer lines with something on them drop the document", NULL),
    OPT_ROW(OPT_FLOAT, struct fineweb_conf, min_line_punct, "0.12", 0, 1, "of lines",
            "a smaller share of lines that end a sentence drops", SOURCE),
    OPT_ROW(OPT_FLOAT, struct fineweb_conf, max_short_lines, "0.67", 0, 1, "of lines",
            "a larger share of short lines drops; 1: off", SOURCE),
    OPT_ROW(OPT_FLOAT, struct fineweb_conf, short_line_chars, "30", 0, 1e6, "characters",
            "a line of at most so many is short", SOURCE),
    OPT_ROW(OPT_FLOAT, struct fineweb_conf, max_char_dup, "0.01", 0, 1, "of characters",
            "a larger share of characters in lines seen before drops; 1: off (FineWeb-2: 0.1)",
            SOURCE),
    OPT_ROW(OPT_FLOAT, struct fineweb_conf, max_list_ratio, "0.3", 0, 1e9, "per token",
            "more line breaks per token drop the document", "datatrove FineWebQualityFilter"),
    OPT_LAST,
};
static const char *const signals[] = {"lines",    "line_punct", "short_lines",
                                      "char_dup", "list_ratio", NULL};
static const char *const units[] = {"lines",         "of lines",  "of lines",
                                    "of characters", "per token", NULL};
#define RULE(name, signal, sense, field) \
    {name, signal, sense, offsetof(struct fineweb_conf, field)}
static const struct filter_rule rules[] = {
    RULE("empty", LINES, -1, min_lines),
    RULE("line_punct", LINE_PUNCT, -1, min_line_punct),
    RULE("short_lines", SHORT_LINES, +1, max_short_lines),
    RULE("char_dup", CHAR_DUP, +1, max_char_dup),
    RULE("list_ratio", LIST_RATIO, +1, max_list_ratio),
};

static uint32_t set_clear(struct line_set *set, uint32_t count)
{
    uint32_t slots = SLOTS_MIN;
    while (slots < count * 2 && slots < SLOTS_MAX)
        slots *= 2;
    memset(set->slot, 0, slots * sizeof set->slot[0]);
    return slots - 1;
}

static bool set_seen(struct line_set *set, uint32_t mask, uint64_t hash)
{
    hash += hash == 0;
    uint32_t at = (uint32_t)(hash >> 32) & mask;
    while (set->slot[at] != 0 && set->slot[at] != hash)
        at = (at + 1) & mask;
    bool seen = set->slot[at] == hash;
    set->slot[at] = hash;
    return seen;
}

/* The line's length as the eye sees it; stops counting beyond limit. */
static bool line_is_short(struct str line, uint32_t chars, double limit)
{
    double width = chars;
    if (width > limit)
        return false;
    for (size_t at = 0; at < line.len && width <= limit;) {
        uint32_t cp;
        if ((unsigned char)line.ptr[at] < 0xE0) { /* below U+0800: no spaceless script */
            at++;
            continue;
        }
        at += (size_t)utf8_decode(line.ptr + at, line.ptr + line.len, &cp);
        width += uc_is_spaceless(cp) ? SPACELESS_WEIGHT - 1 : 0;
    }
    return width <= limit;
}

static void measure(struct batch *b, struct doc *d, const void *conf, void *scratch, float *out)
{
    const struct fineweb_conf *c = conf;
    struct view lines = doc_lines(b, d), words = doc_words(b, d);
    uint32_t filled = 0, ended = 0, brief = 0, mask = set_clear(scratch, lines.count);
    uint64_t copied_chars = 0;
    for (uint32_t i = 0; i < lines.count; i++) {
        struct str line = line_trim(span_str(d->text, lines.span[i]));
        if (line.len == 0)
            continue;
        uint32_t chars = text_chars(line);
        ended += line_ends_sentence(line);
        brief += line_is_short(line, chars, c->short_line_chars);
        if (filled < LINES_MAX && set_seen(scratch, mask, hash_str(line, 0)))
            copied_chars += chars;
        filled++;
    }
    double total = filled ? filled : 1;
    uint32_t breaks = lines.count ? lines.count - 1 : 0;
    uint32_t chars = text_chars(d->text);
    out[LINES] = (float)filled;
    out[LINE_PUNCT] = (float)(ended / total);
    out[SHORT_LINES] = (float)(brief / total);
    out[CHAR_DUP] = chars > breaks ? (float)((double)copied_chars / (chars - breaks)) : 0.0f;
    out[LIST_RATIO] = words.count ? (float)((double)breaks / words.count) : NAN;
}

const struct filter filter_fineweb = {
    .name = "fineweb",
    .help = "FineWeb's rules: sentence ends, short lines, repeated lines, lists",
    .source = SOURCE,
    .opts = opts,
    .conf_size = sizeof(struct fineweb_conf),
    .signals = signals,
    .units = units,
    .rules = rules,
    .rule_count = COUNT_OF(rules),
    .measure = measure,
    .scratch_size = sizeof(struct line_set),
};

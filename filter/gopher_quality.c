/* gopher_quality - is this running text? Gopher's quality rules (arXiv:2112.11446, table A1).
 *
 * Follows datatrove 0.10's reading: shares are over all tokens, symbol tokens included; counts
 * of words and their mean length are over words that are not symbols; every comparison is
 * strict.
 *
 * Where we differ, in the native dialect `sluice@1`:
 * - words are those of core/doc.h (a run of punctuation is one token), so shares move by a few
 *   percent;
 * - lines are those with something on them, split at \n, their ends trimmed (CRLF changes
 *   nothing);
 * - bullets are also U+2023 U+25CF U+25E6 U+25AA, and "*" before a blank;
 * - stop words are compared without case, in the document's language (doc.lang; not known:
 *   English). A language without a list leaves stop_words NaN, which trips nothing;
 * - mean word length is NaN where most words are single code points (Han, Kana, Thai, ...) or
 *   Hangul, whose words are half as long as English ones: a bound of 3..10 means nothing there. */
#include "filter/filter.h"

#include "core/unicode.h"
#include "filter/stop_words.h"
#include "filter/text_scan.h"

#include <math.h>

struct gopher_quality_conf {
    double min_words, max_words, min_word_chars, max_word_chars, max_hash_ratio, max_ellipsis_ratio,
        max_bullet_lines, max_ellipsis_lines, min_alpha_words, min_stop_words;
};
enum { WORDS, WORD_CHARS, HASHES, ELLIPSES, BULLETS, ELLIPSIS_LINES, ALPHA, STOPS };

#define SOURCE "arXiv:2112.11446 table A1"
#define ROW(field, preset, max, unit, help)                                                        \
    OPT_ROW(OPT_FLOAT, struct gopher_quality_conf, field, preset, 0, max, unit, help, SOURCE)
static const struct opt opts[] = {
    ROW(min_words, "50", 1e9, "words", "fewer words (symbols not counted) drop the document"),
    ROW(max_words, "100000", 1e9, "words", "more words drop the document"),
    ROW(min_word_chars, "3", 1000, "characters", "a shorter mean word drops the document"),
    ROW(max_word_chars, "10", 1e9, "characters", "a longer mean word drops the document"),
    ROW(max_hash_ratio, "0.1", 1e9, "per token", "more '#' per token drop the document"),
    ROW(max_ellipsis_ratio, "0.1", 1e9, "per token", "more ellipses per token drop the document"),
    ROW(max_bullet_lines, "0.9", 1, "of lines",
        "a larger share of lines that start with a bullet drops"),
    ROW(max_ellipsis_lines, "0.3", 1, "of lines",
        "a larger share of lines that end in an ellipsis drops"),
    ROW(min_alpha_words, "0.8", 1, "of tokens", "a smaller share of tokens with a letter drops"),
    ROW(min_stop_words, "2", 16, "words", "fewer different stop words of the language drop"),
    OPT_LAST,
};
static const char *const signals[] = {"words",          "word_chars",   "hash_ratio",
                                      "ellipsis_ratio", "bullet_lines", "ellipsis_lines",
                                      "alpha_words",    "stop_words",   NULL};
static const char *const units[] = {"words",    "characters", "per token", "per token", "of lines",
                                    "of lines", "of tokens",  "words",     NULL};
#define RULE(name, signal, sense) \
    {#name, signal, sense, offsetof(struct gopher_quality_conf, name)}
static const struct filter_rule rules[] = {
    RULE(min_words, WORDS, -1),           RULE(max_words, WORDS, +1),
    RULE(min_word_chars, WORD_CHARS, -1), RULE(max_word_chars, WORD_CHARS, +1),
    RULE(max_hash_ratio, HASHES, +1),     RULE(max_ellipsis_ratio, ELLIPSES, +1),
    RULE(max_bullet_lines, BULLETS, +1),  RULE(max_ellipsis_lines, ELLIPSIS_LINES, +1),
    RULE(min_alpha_words, ALPHA, -1),     RULE(min_stop_words, STOPS, -1),
};

/* What is counted over the words of a document. */
struct word_counts {
    uint32_t plain, letters, unbounded;
    uint64_t chars;
    uint32_t stops;
};

static bool is_ascii_letter(unsigned char c) { return (unsigned)((c | 32) - 'a') < 26; }

static bool word_has_letter(struct str word)
{
    for (size_t at = 0; at < word.len;) {
        unsigned char c = (unsigned char)word.ptr[at];
        if (c < 0x80) {
            if (is_ascii_letter(c))
                return true;
            at++;
            continue;
        }
        uint32_t cp;
        at += (size_t)utf8_decode(word.ptr + at, word.ptr + word.len, &cp);
        if (uc_is_letter(cp) || uc_is_spaceless(cp))
            return true;
    }
    return false;
}

/* Words whose length says nothing: one code point of a spaceless script, or Hangul. */
static bool word_is_unbounded(struct str word)
{
    uint32_t cp;
    if ((unsigned char)word.ptr[0] < 0xE0) /* below U+0800: no such script */
        return false;
    utf8_decode(word.ptr, word.ptr + word.len, &cp);
    return uc_is_spaceless(cp) || (cp >= 0xAC00 && cp <= 0xD7A3);
}

static struct word_counts words_count(struct str text, struct view words,
                                      const struct stop_list *list)
{
    struct word_counts n = {0};
    uint32_t seen = 0, wanted = list ? (UINT32_C(1) << list->count) - 1 : 0;
    for (uint32_t i = 0; i < words.count; i++) {
        struct str word = span_str(text, words.span[i]);
        bool ascii_letter = is_ascii_letter((unsigned char)word.ptr[0]);
        if (!ascii_letter && !word_is_alnum(word))
            continue;
        n.plain++;
        n.chars += text_chars(word);
        n.letters += ascii_letter || word_has_letter(word);
        n.unbounded += word_is_unbounded(word);
        if (seen != wanted)
            seen |= stop_word_bit(list, word);
    }
    n.stops = (uint32_t)__builtin_popcount(seen);
    return n;
}

static bool line_is_bullet(struct str line)
{
    uint32_t cp;
    int len = utf8_decode(line.ptr, line.ptr + line.len, &cp);
    switch (cp) {
    case '-':
    case 0x2022:
    case 0x2023:
    case 0x25CF:
    case 0x25E6:
    case 0x25AA:
        return true;
    case '*':
        return (size_t)len < line.len && line.ptr[len] == ' ';
    default:
        return false;
    }
}

static bool line_is_cut(struct str line) { return str_ends(line, "...") || str_ends(line, "…"); }

static void lines_measure(struct str text, struct view lines, float *out)
{
    uint32_t filled = 0, bullets = 0, cut = 0;
    for (uint32_t i = 0; i < lines.count; i++) {
        struct str line = line_trim(span_str(text, lines.span[i]));
        if (line.len == 0)
            continue;
        filled++;
        bullets += line_is_bullet(line);
        cut += line_is_cut(line);
    }
    double total = filled ? filled : 1;
    out[BULLETS] = (float)(bullets / total);
    out[ELLIPSIS_LINES] = (float)(cut / total);
}

static size_t char_count(struct str text, char c)
{
    size_t count = 0, at;
    while ((at = str_find_char(text, c)) != SIZE_MAX) {
        count++;
        text = str_slice(text, at + 1, text.len);
    }
    return count;
}

static void measure(struct batch *b, struct doc *d, const void *conf, void *scratch, float *out)
{
    UNUSED(conf);
    UNUSED(scratch);
    struct view words = doc_words(b, d);
    const struct stop_list *list = stop_list_of(d->lang);
    struct word_counts n = words_count(d->text, words, list);
    double tokens = words.count ? words.count : 1;
    out[WORDS] = (float)n.plain;
    out[WORD_CHARS] = n.plain == 0                ? 0.0f
                      : n.unbounded * 2 > n.plain ? NAN
                                                  : (float)((double)n.chars / n.plain);
    out[HASHES] = (float)((double)char_count(d->text, '#') / tokens);
    size_t ellipses = str_count(d->text, STR("...")) + str_count(d->text, STR("…"));
    out[ELLIPSES] = (float)((double)ellipses / tokens);
    lines_measure(d->text, doc_lines(b, d), out);
    out[ALPHA] = (float)(n.letters / tokens);
    out[STOPS] = list ? (float)n.stops : NAN;
}

const struct filter filter_gopher_quality = {
    .name = "gopher_quality",
    .help = "is this running text: words, symbols, bullets, letters, stop words",
    .source = SOURCE,
    .opts = opts,
    .conf_size = sizeof(struct gopher_quality_conf),
    .signals = signals,
    .units = units,
    .rules = rules,
    .rule_count = COUNT_OF(rules),
    .measure = measure,
};

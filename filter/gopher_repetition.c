/* gopher_repetition - how much of the text says the same again (arXiv:2112.11446, table A1).
 *
 * Follows datatrove 0.10's reading of the paper, measured in code points over the whole text,
 * white space included in the denominator:
 * - dup lines and paragraphs: a segment counts from its second copy on;
 * - top n-gram, n = 2..4: characters of the most frequent n-gram with its blanks, times its
 *   count, at most 1. The first of equally frequent ones is taken; a count of 1 is not exempt;
 * - dup n-grams, n = 5..10: a greedy walk; an n-gram seen before adds the characters of its
 *   words and the walk jumps behind it.
 *
 * Where we differ, in the native dialect `sluice@1`:
 * - words are those of core/doc.h; an n-gram is its sequence of words (datatrove joins them with
 *   nothing between, so that "ab c" and "a bc" are one);
 * - lines are trimmed and must hold something; a paragraph is a run of such lines;
 * - a text over WORDS_MAX words is measured on its first WORDS_MAX words.
 *
 * How: every word becomes a 64-bit hash once. The n-gram hashes of one n follow from the last
 * n's, gram[i] = gram[i] * BASE + word[i + n - 1], so each of the nine n costs one
 * multiplication and one probe of an open-addressed table a word. The table is sized for the
 * document (at most half full, so a page's table stays in the first-level cache) and lives in
 * the thread's scratch. Linear time whatever the input; two different n-grams meet in one 64-bit
 * hash with a chance below 1e-9 even at WORDS_MAX words. */
#include "filter/filter.h"

#include "core/hash.h"
#include "filter/text_scan.h"

#include <assert.h>

enum {
    WORDS_MAX = 1 << 17,
    SLOTS_MAX = WORDS_MAX * 2,
    SLOTS_MIN = 64,
    TOP_FIRST = 2,
    TOP_LAST = 4,
    DUP_FIRST = 5,
    DUP_LAST = 10,
};
#define GRAM_BASE UINT64_C(0x9FB21C651E98DF25)

struct slot {
    uint64_t hash;
    uint32_t count, first;
}; /* hash 0: empty */
struct tables {
    struct slot slot[SLOTS_MAX];
    uint64_t word[WORDS_MAX], gram[WORDS_MAX];
    uint32_t chars_before[WORDS_MAX + 1]; /* characters of the words in front of word i */
};

struct gopher_repetition_conf {
    double min_words, dup_lines, dup_line_chars, dup_paragraphs, dup_paragraph_chars, top_2_gram,
        top_3_gram, top_4_gram, dup_5_grams, dup_6_grams, dup_7_grams, dup_8_grams, dup_9_grams,
        dup_10_grams;
};
enum {
    WORDS,
    PARAGRAPHS,
    PARAGRAPH_CHARS,
    LINES,
    LINE_CHARS,
    TOP,
    DUP = TOP + TOP_LAST - TOP_FIRST + 1
};

#define SOURCE "arXiv:2112.11446 table A1"
#define ROW(field, preset, unit, help)                                                             \
    OPT_ROW(OPT_FLOAT, struct gopher_repetition_conf, field, preset, 0, 1, unit, help, SOURCE)
#define GRAMS "a larger share of characters in repeated n-grams drops; 1: off"
static const struct opt opts[] = {
    OPT_ROW(OPT_FLOAT, struct gopher_repetition_conf, min_words, "1", 0, 1e9, "words",
            "fewer tokens: nothing to measure, the document is dropped", NULL),
    ROW(dup_lines, "0.3", "of lines", "a larger share of lines seen before drops; 1: off"),
    ROW(dup_line_chars, "0.2", "of characters",
        "a larger share of characters in such lines drops; 1: off"),
    ROW(dup_paragraphs, "0.3", "of paragraphs",
        "a larger share of paragraphs seen before drops; 1: off"),
    ROW(dup_paragraph_chars, "0.2", "of characters",
        "a larger share in such paragraphs drops; 1: off"),
    ROW(top_2_gram, "0.2", "of characters",
        "a larger share in the most frequent pair of words drops"),
    ROW(top_3_gram, "0.18", "of characters", "a larger share in the most frequent 3 words drops"),
    ROW(top_4_gram, "0.16", "of characters", "a larger share in the most frequent 4 words drops"),
    ROW(dup_5_grams, "0.15", "of characters", GRAMS),
    ROW(dup_6_grams, "0.14", "of characters", GRAMS),
    ROW(dup_7_grams, "0.13", "of characters", GRAMS),
    ROW(dup_8_grams, "0.12", "of characters", GRAMS),
    ROW(dup_9_grams, "0.11", "of characters", GRAMS),
    ROW(dup_10_grams, "0.10", "of characters", GRAMS),
    OPT_LAST,
};
static const char *const signals[] = {
    "words",       "dup_paragraphs", "dup_paragraph_chars", "dup_lines",    "dup_line_chars",
    "top_2_gram",  "top_3_gram",     "top_4_gram",          "dup_5_grams",  "dup_6_grams",
    "dup_7_grams", "dup_8_grams",    "dup_9_grams",         "dup_10_grams", NULL};
static const char *const units[] = {
    "tokens",        "of paragraphs", "of characters", "of lines",      "of characters",
    "of characters", "of characters", "of characters", "of characters", "of characters",
    "of characters", "of characters", "of characters", "of characters", NULL};
#define RULE(name, signal) \
    {#name, signal, +1, offsetof(struct gopher_repetition_conf, name)}
static const struct filter_rule rules[] = {
    {"min_words", WORDS, -1, offsetof(struct gopher_repetition_conf, min_words)},
    RULE(dup_paragraphs, PARAGRAPHS),
    RULE(dup_paragraph_chars, PARAGRAPH_CHARS),
    RULE(dup_lines, LINES),
    RULE(dup_line_chars, LINE_CHARS),
    RULE(top_2_gram, TOP),
    RULE(top_3_gram, TOP + 1),
    RULE(top_4_gram, TOP + 2),
    RULE(dup_5_grams, DUP),
    RULE(dup_6_grams, DUP + 1),
    RULE(dup_7_grams, DUP + 2),
    RULE(dup_8_grams, DUP + 3),
    RULE(dup_9_grams, DUP + 4),
    RULE(dup_10_grams, DUP + 5),
};

/* Empties as many slots as hold count entries at most half full; the mask of their indexes. */
static uint32_t table_clear(struct tables *t, uint32_t count)
{
    uint32_t slots = SLOTS_MIN;
    while (slots < count * 2)
        slots *= 2;
    assert(slots <= SLOTS_MAX);
    memset(t->slot, 0, slots * sizeof t->slot[0]);
    return slots - 1;
}

/* The slot of hash: an empty one (hash 0) or the one that holds it. */
static inline struct slot *table_find(struct tables *t, uint32_t mask, uint64_t hash)
{
    uint32_t at = (uint32_t)(hash >> 32) & mask;
    while (t->slot[at].hash != 0 && t->slot[at].hash != hash)
        at = (at + 1) & mask;
    return &t->slot[at];
}

static inline uint64_t never_zero(uint64_t hash) { return hash ? hash : 1; }

/* True when hash was there already. */
static inline bool table_seen(struct tables *t, uint32_t mask, uint64_t hash)
{
    struct slot *slot = table_find(t, mask, hash);
    bool seen = slot->hash != 0;
    slot->hash = hash;
    return seen;
}

/* Segments of one kind: how many, how many of them copies, and the characters in copies. */
struct copies {
    uint32_t count, copies;
    uint64_t chars;
};

static void copies_add(struct copies *c, struct tables *t, uint32_t mask, uint64_t hash,
                       uint32_t chars)
{
    c->count++;
    if (table_seen(t, mask, never_zero(hash))) {
        c->copies++;
        c->chars += chars;
    }
}

static void copies_store(struct copies c, double text_len, float *share, float *char_share)
{
    *share = c.count ? (float)((double)c.copies / c.count) : 0.0f;
    *char_share = (float)((double)c.chars / text_len);
}

/* A line of nothing but invisible characters holds no word, so the cap on words does not bound
 * lines. */
static void lines_measure(struct tables *t, struct str text, struct view lines, double text_len,
                          float *out)
{
    struct copies line = {0};
    uint32_t mask = table_clear(t, lines.count < WORDS_MAX ? lines.count : WORDS_MAX);
    for (uint32_t i = 0; i < lines.count && lines.span[i].start < text.len; i++) {
        struct str trimmed = line_trim(span_str(text, lines.span[i]));
        if (trimmed.len && line.count < WORDS_MAX)
            copies_add(&line, t, mask, hash_str(trimmed, 0), text_chars(trimmed));
    }
    copies_store(line, text_len, &out[LINES], &out[LINE_CHARS]);
}

/* A paragraph's hash is a chain over its lines', its length counts the line breaks inside. */
static void paragraphs_measure(struct tables *t, struct str text, struct view lines,
                               double text_len, float *out)
{
    struct copies paragraph = {0};
    uint64_t hash = 0;
    uint32_t chars = 0, mask = table_clear(t, lines.count < WORDS_MAX ? lines.count : WORDS_MAX);
    for (uint32_t i = 0; i < lines.count && lines.span[i].start < text.len; i++) {
        struct str trimmed = line_trim(span_str(text, lines.span[i]));
        if (trimmed.len) {
            chars += text_chars(trimmed) + (chars > 0);
            hash = hash_str(trimmed, hash);
        } else if (chars) {
            if (paragraph.count < WORDS_MAX)
                copies_add(&paragraph, t, mask, hash, chars);
            hash = chars = 0;
        }
    }
    if (chars && paragraph.count < WORDS_MAX)
        copies_add(&paragraph, t, mask, hash, chars);
    copies_store(paragraph, text_len, &out[PARAGRAPHS], &out[PARAGRAPH_CHARS]);
}

static uint32_t words_hash(struct tables *t, struct str text, struct view words)
{
    uint32_t count = words.count < WORDS_MAX ? words.count : WORDS_MAX;
    t->chars_before[0] = 0;
    for (uint32_t i = 0; i < count; i++) {
        struct str word = span_str(text, words.span[i]);
        t->word[i] = t->gram[i] = hash_str(word, 0);
        t->chars_before[i + 1] = t->chars_before[i] + text_chars(word);
    }
    return count;
}

/* Characters of the most frequent n-gram, blanks between its words included, times its count. */
static uint64_t top_gram_chars(struct tables *t, uint32_t grams, uint32_t n)
{
    uint32_t mask = table_clear(t, grams), best_count = 0, best_first = 0;
    for (uint32_t i = 0; i < grams; i++) {
        struct slot *slot = table_find(t, mask, never_zero(t->gram[i]));
        if (slot->hash == 0)
            *slot = (struct slot){never_zero(t->gram[i]), 0, i};
        uint32_t count = ++slot->count;
        if (count > best_count || (count == best_count && slot->first < best_first)) {
            best_count = count;
            best_first = slot->first;
        }
    }
    uint32_t chars = t->chars_before[best_first + n] - t->chars_before[best_first] + n - 1;
    return (uint64_t)chars * best_count;
}

static uint64_t dup_gram_chars(struct tables *t, uint32_t grams, uint32_t n)
{
    uint64_t chars = 0;
    uint32_t mask = table_clear(t, grams);
    for (uint32_t i = 0; i < grams;) {
        if (table_seen(t, mask, never_zero(t->gram[i]))) {
            chars += t->chars_before[i + n] - t->chars_before[i];
            i += n;
        } else {
            i++;
        }
    }
    return chars;
}

static void measure(struct batch *b, struct doc *d, const void *conf, void *scratch, float *out)
{
    UNUSED(conf);
    struct tables *t = scratch;
    struct str text = d->text;
    struct view words = doc_words(b, d), lines = doc_lines(b, d);
    uint32_t count = words_hash(t, text, words);
    if (count < words.count)
        text.len = words.span[count].start;
    double text_len = text.len ? text_chars(text) : 1;
    out[WORDS] = (float)count;
    paragraphs_measure(t, text, lines, text_len, out);
    lines_measure(t, text, lines, text_len, out);
    for (uint32_t n = 2; n <= DUP_LAST; n++) {
        uint32_t grams = count >= n ? count - n + 1 : 0;
        for (uint32_t i = 0; i < grams; i++)
            t->gram[i] = t->gram[i] * GRAM_BASE + t->word[i + n - 1];
        uint64_t chars = 0;
        if (grams)
            chars = n <= TOP_LAST ? top_gram_chars(t, grams, n) : dup_gram_chars(t, grams, n);
        double share = (double)chars / text_len;
        out[TOP + n - TOP_FIRST] = share < 1 ? (float)share : 1.0f; /* a a a: copies overlap */
    }
}

const struct filter filter_gopher_repetition = {
    .name = "gopher_repetition",
    .help = "how much of the text repeats: lines, paragraphs, n-grams of 2 to 10 words",
    .source = SOURCE,
    .opts = opts,
    .conf_size = sizeof(struct gopher_repetition_conf),
    .signals = signals,
    .units = units,
    .rules = rules,
    .rule_count = COUNT_OF(rules),
    .measure = measure,
    .scratch_size = sizeof(struct tables),
};

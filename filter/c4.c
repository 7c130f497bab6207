/* c4 - C4's line rules (arXiv:1910.10683, section 2.2): cuts bad lines, drops code and filler.
 *
 * Rewrites, line by line, in the order of datatrove's C4QualityFilter (which FineWeb runs with
 * the rule on terminal punctuation off, as the preset here is). A line goes when it has a word
 * over max_word_chars, when it lacks a terminal mark (option), has fewer than min_line_words
 * words, speaks of javascript or of cookie and privacy policies; [1], [edit] and [citation
 * needed] are cut out. Then the page is judged by its lines with "lorem ipsum", its lines with
 * "{" and its number of sentences. The order matters and is kept: lorem ipsum and "{" are seen
 * only on lines that passed the rules before them, so such lines are kept by the rewrite for the
 * judge to see.
 *
 * Where we differ, in the native dialect `sluice@1`:
 * - a line's words are runs between white space, and each code point of a spaceless script
 *   counts as one: otherwise no Chinese line has three;
 * - blank lines between kept lines stay, one at most, so that paragraphs survive; kept lines
 *   keep their indentation, and a text no rule touches keeps every byte;
 * - sentences are counted by terminal marks (text_scan.h: East Asian ones too, abbreviations and
 *   initials looked at), not by nltk's punkt;
 * - the terminal rule, when on, knows all scripts' marks; "..." and the ellipsis still do not
 *   end a line. */
#include "filter/filter.h"

#include "core/err.h"
#include "core/unicode.h"
#include "filter/text_scan.h"

struct c4_conf {
    bool terminal_punct, citations, javascript, policy;
    double max_word_chars, min_line_words, max_lorem_lines, max_curly_lines, min_sentences;
};
enum { LOREM, CURLY, SENTENCES };

#define SOURCE "arXiv:1910.10683 section 2.2"
static const struct opt opts[] = {
    OPT_ROW(OPT_BOOL, struct c4_conf, terminal_punct, "false", 0, 1, NULL,
            "cut lines that do not end in a terminal mark or a quote (C4: true, FineWeb: false)",
            SOURCE),
    OPT_ROW(OPT_BOOL, struct c4_conf, citations, "true", 0, 1, NULL,
            "cut [1], [], [edit] and [citation needed] out of lines", SOURCE),
    OPT_ROW(OPT_BOOL, struct c4_conf, javascript, "true", 0, 1, NULL,
            "cut lines with \"javascript\"", SOURCE),
    OPT_ROW(OPT_BOOL, struct c4_conf, policy, "true", 0, 1, NULL,
            "cut lines on terms of use, privacy and cookie policies", SOURCE),
    OPT_ROW(OPT_FLOAT, struct c4_conf, max_word_chars, "1000", 1, 1e9, "characters",
            "cut lines with a longer word", SOURCE),
    OPT_ROW(OPT_FLOAT, struct c4_conf, min_line_words, "3", 0, 1000, "words",
            "cut lines with fewer words", SOURCE),
    OPT_ROW(OPT_FLOAT, struct c4_conf, max_lorem_lines, "0", 0, 1e9, "lines",
            "more lines with \"lorem ipsum\" drop the document", SOURCE),
    OPT_ROW(OPT_FLOAT, struct c4_conf, max_curly_lines, "0", 0, 1e9, "lines",
            "more lines with \"{\" drop the document; 1e9: off, for corpora with code", SOURCE),
    OPT_ROW(OPT_FLOAT, struct c4_conf, min_sentences, "5", 0, 1e6, "sentences",
            "fewer sentences drop the document", SOURCE),
    OPT_LAST,
};
static const char *const signals[] = {"lorem_lines", "curly_lines", "sentences", NULL};
static const char *const units[] = {"lines", "lines", "sentences", NULL};
static const struct filter_rule rules[] = {
    {"lorem_ipsum", LOREM, +1, offsetof(struct c4_conf, max_lorem_lines)},
    {"curly_bracket", CURLY, +1, offsetof(struct c4_conf, max_curly_lines)},
    {"min_sentences", SENTENCES, -1, offsetof(struct c4_conf, min_sentences)},
};

/* Finds lower-case needle by its rarest letter, needle[rare]: one memchr run and few
 * comparisons. */
static bool has_phrase(struct str lower, const char *needle, size_t rare)
{
    size_t len = strlen(needle);
    if (lower.len < len)
        return false;
    const char *at = lower.ptr + rare, *end = lower.ptr + lower.len - (len - 1 - rare);
    while (at < end && (at = memchr(at, needle[rare], (size_t)(end - at)))) {
        if (memcmp(at - rare, needle, len) == 0)
            return true;
        at++;
    }
    return false;
}

static bool has_lorem(struct str lower) { return has_phrase(lower, "lorem ipsum", 7); }
static bool has_javascript(struct str lower) { return has_phrase(lower, "javascript", 0); }
static bool has_policy(struct str lower)
{
    return has_phrase(lower, "privacy policy", 3) || has_phrase(lower, "terms of use", 10) ||
           (has_phrase(lower, "cookie", 3) &&
            (has_phrase(lower, "cookie policy", 3) || has_phrase(lower, "uses cookies", 8) ||
             has_phrase(lower, "use of cookies", 10) || has_phrase(lower, "use cookies", 7)));
}

/* What a page can hold at all, so that most pages never look for it line by line. */
struct page {
    bool lorem, javascript, policy, citations;
};

static void ascii_lower(char *to, struct str from)
{
    for (size_t i = 0; i < from.len; i++) {
        char c = from.ptr[i];
        to[i] = (char)(c + ((c >= 'A' && c <= 'Z') << 5));
    }
}

/* Words of a line and characters of its longest one. */
static void line_words(struct str line, uint32_t *words, uint32_t *longest)
{
    uint32_t count = 0, chars = 0, most = 0;
    for (size_t at = 0; at < line.len;) {
        unsigned char c = (unsigned char)line.ptr[at];
        uint32_t cp = c;
        bool blank = c <= ' ', whole = false;
        if (c < 0x80) {
            at++;
        } else {
            at += (size_t)utf8_decode(line.ptr + at, line.ptr + line.len, &cp);
            blank = uc_is_space(cp);
            whole = cp >= 0x800 && uc_is_spaceless(cp);
        }
        if (blank || whole) {
            count += (uint32_t)(chars > 0) + (uint32_t)whole;
            chars = 0;
        } else {
            chars++;
            most = chars > most ? chars : most;
        }
    }
    *words = count + (chars > 0);
    *longest = most;
}

/* Length of the citation mark at s, 0 when there is none: "[" digits "]", [edit], [citation
 * needed]. */
static size_t citation_len(struct str s)
{
    if (str_starts(s, "[edit]"))
        return 6;
    if (str_starts(s, "[citation needed]"))
        return 17;
    size_t at = 1;
    while (at < s.len && s.ptr[at] >= '0' && s.ptr[at] <= '9')
        at++;
    return at < s.len && s.ptr[at] == ']' ? at + 1 : 0;
}

/* Copies line without citation marks; its new length. */
static size_t citations_cut(char *to, struct str line)
{
    size_t len = 0;
    for (size_t at = 0; at < line.len;) {
        size_t mark = line.ptr[at] == '[' ? citation_len(str_slice(line, at, line.len)) : 0;
        if (mark)
            at += mark;
        else
            to[len++] = line.ptr[at++];
    }
    return len;
}

static bool has_citation(struct str text)
{
    size_t at;
    while ((at = str_find_char(text, '[')) != SIZE_MAX) {
        text = str_slice(text, at, text.len);
        if (citation_len(text))
            return true;
        text = str_slice(text, 1, text.len);
    }
    return false;
}

static bool line_is_terminated(struct str line)
{
    size_t len;
    uint32_t cp = last_char(line, &len);
    if (str_ends(line, "..."))
        return false;
    return cp == '"' || cp == '\'' || line_ends_sentence(line);
}

/* Does the trimmed line stay? lower is its lower-case twin; room takes a copy without citations. */
static bool line_stays(const struct c4_conf *c, const struct page *page, struct str line,
                       struct str lower, char *room)
{
    uint32_t words, longest;
    line_words(line, &words, &longest);
    if (longest > c->max_word_chars)
        return false;
    struct str cut = page->citations ? (struct str){room, citations_cut(room, line)} : line;
    if (c->terminal_punct && !line_is_terminated(line_trim(cut)))
        return false;
    if (words < c->min_line_words)
        return false;
    if (page->lorem && has_lorem(lower))
        return true;
    if (page->javascript && has_javascript(lower))
        return false;
    if (!page->policy)
        return true;
    if (str_find_char(line, '{') != SIZE_MAX)
        return true;
    return !has_policy(lower);
}

/* Where the rewritten text grows. blank: a blank line waits to be written before the next kept
 * one. */
struct rewriting {
    char *to;
    size_t len;
    bool blank, changed;
};

/* Appends a line (or, changed, what is left of it) behind a line break. */
static void line_keep(struct rewriting *r, const struct page *page, struct str line)
{
    if (r->len) {
        r->to[r->len++] = '\n';
        if (r->blank)
            r->to[r->len++] = '\n';
    }
    r->blank = false;
    if (!page->citations) {
        memcpy(r->to + r->len, line.ptr, line.len);
        r->len += line.len;
        return;
    }
    size_t len = citations_cut(r->to + r->len, line);
    r->changed |= len != line.len;
    r->len += len;
}

static int rewrite(struct batch *b, struct doc *d, const void *conf)
{
    const struct c4_conf *c = conf;
    struct view lines = doc_lines(b, d);
    struct str text = d->text;
    if (text.len == 0)
        return 0;
    if (!lines.span)
        return err_set(ERR_LIMIT, "filter c4: no room to split %zu bytes of text", text.len);
    size_t mark = arena_mark(&b->arena);
    char *to = arena_push(&b->arena, text.len, 1);
    size_t behind = arena_mark(&b->arena);
    char *lower = to ? arena_push(&b->arena, text.len, 1) : NULL;
    if (!lower)
        return err_in(ERR_LIMIT, "filter c4: rewriting %zu bytes", text.len);
    ascii_lower(lower, text);
    struct str all = {lower, text.len};
    struct page page = {
        .lorem = has_lorem(all),
        .javascript = c->javascript && has_javascript(all),
        .policy = c->policy && has_policy(all),
        .citations = c->citations && has_citation(text),
    };
    struct rewriting r = {.to = to};
    for (uint32_t i = 0; i < lines.count; i++) {
        struct str line = span_str(text, lines.span[i]), trimmed = line_trim(line);
        if (trimmed.len == 0) {
            r.blank = true;
            continue;
        }
        struct str low = {lower + (trimmed.ptr - text.ptr), trimmed.len};
        if (line_stays(c, &page, trimmed, low, to + r.len))
            line_keep(&r, &page, line);
        else
            r.changed = true;
    }
    arena_reset(&b->arena, r.changed ? behind : mark);
    if (r.changed)
        doc_set_text(d, (struct str){to, r.len});
    return 0;
}

static bool has_lorem_nocase(struct str text)
{
    for (size_t at = 7; at < text.len; at++) /* by its rarest letter, the p at 7 */
        if ((text.ptr[at] | 32) == 'p' &&
            str_starts_nocase(str_slice(text, at - 7, text.len), "lorem ipsum"))
            return true;
    return false;
}

static void measure(struct batch *b, struct doc *d, const void *conf, void *scratch, float *out)
{
    UNUSED(conf);
    UNUSED(scratch);
    struct view lines = doc_lines(b, d);
    bool brackets = str_find_char(d->text, '{') != SIZE_MAX, filler = has_lorem_nocase(d->text);
    uint32_t lorem = 0, curly = 0, sentences = 0;
    for (uint32_t i = 0; i < lines.count; i++) {
        struct str line = line_trim(span_str(d->text, lines.span[i]));
        sentences += line_sentences(line);
        curly += brackets && str_find_char(line, '{') != SIZE_MAX;
        lorem += filler && has_lorem_nocase(line);
    }
    out[LOREM] = (float)lorem;
    out[CURLY] = (float)curly;
    out[SENTENCES] = (float)sentences;
}

const struct filter filter_c4 = {
    .name = "c4",
    .help = "cuts bad lines, drops pages of filler, of code and of few sentences",
    .source = SOURCE,
    .opts = opts,
    .conf_size = sizeof(struct c4_conf),
    .signals = signals,
    .units = units,
    .rules = rules,
    .rule_count = COUNT_OF(rules),
    .measure = measure,
    .rewrite = rewrite,
};

/* view - splits text into lines and words once, for every stage that comes after. */
#include "core/doc.h"
#include "core/err.h"
#include "core/unicode.h"

#include <assert.h>

enum kind { SPACE, LETTER, NUMBER, MARK, SPACELESS, PUNCT, SYMBOL, OTHER, IGNORED };
enum joins { JOINS_LETTERS = 1, JOINS_NUMBERS = 2 };
enum { ASCII = 128, SPANS_STEP = 4096, ZERO_WIDTH_SPACE = 0x200B };

static const uint8_t ascii_kind[ASCII] = {
    [0 ... 8] = OTHER,      [9 ... 13] = SPACE,    [14 ... 31] = OTHER,    [127] = OTHER,
    [' '] = SPACE,          ['!' ... '#'] = PUNCT, ['$'] = SYMBOL,         ['%' ... '*'] = PUNCT,
    ['+'] = SYMBOL,         [',' ... '/'] = PUNCT, ['0' ... '9'] = NUMBER, [':' ... ';'] = PUNCT,
    ['<' ... '>'] = SYMBOL, ['?' ... '@'] = PUNCT, ['A' ... 'Z'] = LETTER, ['[' ... ']'] = PUNCT,
    ['^'] = SYMBOL,         ['_'] = PUNCT,         ['`'] = SYMBOL,         ['a' ... 'z'] = LETTER,
    ['{'] = PUNCT,          ['|'] = SYMBOL,        ['}'] = PUNCT,          ['~'] = SYMBOL,
};
static const uint8_t class_kind[] = {
    [UC_OTHER] = OTHER,   [UC_UPPER] = LETTER,  [UC_LOWER] = LETTER,
    [UC_LETTER] = LETTER, [UC_MARK] = MARK,     [UC_NUMBER] = NUMBER,
    [UC_PUNCT] = PUNCT,   [UC_SYMBOL] = SYMBOL, [UC_SPACE] = SPACE,
};

/* Spans grow at the top of an arena that nobody else pushes to meanwhile: steps are contiguous. */
struct spans {
    struct arena *arena;
    struct span *span;
    uint32_t count, room;
};

static int spans_open(struct spans *s, struct arena *a, struct str text)
{
    *s = (struct spans){.arena = a, .room = SPANS_STEP};
    if (text.len > UINT32_MAX)
        return err_set(ERR_LIMIT,
                       "view: a text of %zu bytes cannot be split, 4 GiB is the most: cut it",
                       text.len);
    s->span = arena_array(a, struct span, SPANS_STEP);
    return s->span ? 0 : ERR_LIMIT;
}

static inline int spans_add(struct spans *s, size_t start, size_t end)
{
    if (s->count == s->room) {
        struct span *more = arena_array(s->arena, struct span, SPANS_STEP);
        if (!more)
            return ERR_LIMIT;
        assert(more == s->span + s->room);
        s->room += SPANS_STEP;
    }
    s->span[s->count++] = (struct span){(uint32_t)start, (uint32_t)(end - start)};
    return 0;
}

static int spans_end(struct spans *s, int rc, struct view *out)
{
    size_t from = (size_t)((unsigned char *)s->span - s->arena->base);
    *out = (struct view){0};
    arena_reset(s->arena, from + (rc < 0 ? 0 : s->count * sizeof *s->span));
    if (rc == 0)
        *out = (struct view){s->span, s->count};
    return rc;
}

int text_lines(struct arena *a, struct str text, struct view *out)
{
    struct spans spans;
    *out = (struct view){0};
    int rc = spans_open(&spans, a, text);
    if (rc < 0)
        return rc;
    for (size_t at = 0; at < text.len && rc == 0;) {
        const char *stop = memchr(text.ptr + at, '\n', text.len - at);
        size_t end = stop ? (size_t)(stop - text.ptr) : text.len;
        rc = spans_add(&spans, at, end);
        at = end + 1;
    }
    return spans_end(&spans, rc, out);
}

/* The code point at s, known to be whole and valid but for a cut at end. */
static inline uint32_t decode(const unsigned char *s, const unsigned char *end, size_t *len)
{
    if (s[0] < 0xE0 && end - s >= 2) {
        *len = 2;
        return (s[0] & 31u) << 6 | (s[1] & 63u);
    }
    if (s[0] < 0xF0 && end - s >= 3) {
        *len = 3;
        return (s[0] & 15u) << 12 | (s[1] & 63u) << 6 | (s[2] & 63u);
    }
    if (s[0] >= 0xF0 && end - s >= 4) {
        *len = 4;
        return (s[0] & 7u) << 18 | (s[1] & 63u) << 12 | (s[2] & 63u) << 6 | (s[3] & 63u);
    }
    *len = 1;
    return 0xFFFD;
}

static inline enum kind kind_at(const unsigned char *s, const unsigned char *end, size_t *len)
{
    if (s[0] < ASCII) {
        *len = 1;
        return (enum kind)ascii_kind[s[0]];
    }
    uint32_t cp = decode(s, end, len);
    uint8_t props = uc_props(cp);
    enum kind kind = (enum kind)class_kind[props & UC_CLASS_BITS];
    if (kind == OTHER && (props & UC_IGNORABLE))
        return IGNORED;
    if ((props & UC_SPACELESS) && kind != MARK)
        return SPACELESS;
    return cp == ZERO_WIDTH_SPACE ? SPACE : kind;
}

static inline bool is_word_kind(enum kind kind)
{
    return kind == LETTER || kind == NUMBER || kind == MARK;
}

/* What the code point at s may join: MidLetter, MidNum and MidNumLet of UAX #29 but for
 * (semi)colons. */
static int joins_at(const unsigned char *s, const unsigned char *end, size_t *len)
{
    *len = 1;
    if (s[0] == '\'' || s[0] == '.')
        return JOINS_LETTERS | JOINS_NUMBERS;
    if (s[0] == ',')
        return JOINS_NUMBERS;
    if (s[0] < ASCII)
        return 0;
    switch (decode(s, end, len)) {
    case 0x2019: /* right single quotation mark, the typographic apostrophe */
    case 0xFF07: /* full-width apostrophe */
    case 0xFF0E: /* full-width full stop */
        return JOINS_LETTERS | JOINS_NUMBERS;
    case 0xB7:   /* middle dot of Catalan */
    case 0x2027: /* hyphenation point */
    case 0x5F4:  /* gershayim of Hebrew acronyms */
        return JOINS_LETTERS;
    case 0x66B:  /* Arabic decimal separator */
    case 0x66C:  /* Arabic thousands separator */
    case 0xFF0C: /* full-width comma */
        return JOINS_NUMBERS;
    default:
        return 0;
    }
}

/* Steps over invisible format characters. */
static const unsigned char *skip_ignored(const unsigned char *at, const unsigned char *end)
{
    size_t len;
    while (at < end && *at >= ASCII && kind_at(at, end, &len) == IGNORED)
        at += len;
    return at;
}

/* End of the word that starts at `at` with a letter, mark or number. */
static const unsigned char *word_end(const unsigned char *at, const unsigned char *end)
{
    enum kind last = MARK; /* what a joiner would stand behind: marks take their letter's kind */
    size_t len, next_len;
    for (;;) {
        const unsigned char *from = at;
        while (at < end && *at < ASCII && (unsigned)(ascii_kind[*at] - LETTER) <= NUMBER - LETTER)
            at++;
        if (at > from)
            last = (enum kind)ascii_kind[at[-1]];
        if (at == end || (*at < ASCII && (ascii_kind[*at] == SPACE || last == MARK)))
            return at;
        enum kind kind = kind_at(at, end, &len);
        if (is_word_kind(kind)) {
            last = kind == MARK ? last : kind;
            at += len;
            continue;
        }
        if (kind == IGNORED) {
            const unsigned char *behind = skip_ignored(at, end);
            if (behind == end || !is_word_kind(kind_at(behind, end, &len)))
                return at;
            at = behind;
            continue;
        }
        int joins = kind == PUNCT ? joins_at(at, end, &len) : 0;
        if (joins == 0 || at + len >= end)
            return at;
        enum kind next = kind_at(at + len, end, &next_len);
        int asked = next == LETTER ? JOINS_LETTERS : next == NUMBER ? JOINS_NUMBERS : 0;
        if (next != last || !(joins & asked))
            return at;
        at += len;
    }
}

/* End of a run of one kind; marks belong to what they stand on. */
static const unsigned char *run_end(const unsigned char *at, const unsigned char *end,
                                    enum kind run)
{
    size_t len;
    while (at < end) {
        enum kind kind = kind_at(at, end, &len);
        const unsigned char *behind = kind == IGNORED ? skip_ignored(at, end) : at + len;
        if (kind == IGNORED && (behind == end || kind_at(behind, end, &len) != run))
            return at;
        if (kind != IGNORED && kind != MARK && kind != run)
            return at;
        at = behind;
    }
    return at;
}

static const unsigned char *marks_end(const unsigned char *at, const unsigned char *end)
{
    size_t len;
    while (at < end && *at >= ASCII && kind_at(at, end, &len) == MARK)
        at += len;
    return at;
}

int text_words(struct arena *a, struct str text, struct view *out)
{
    struct spans spans;
    *out = (struct view){0};
    int rc = spans_open(&spans, a, text);
    if (rc < 0)
        return rc;
    const unsigned char *base = (const unsigned char *)text.ptr, *at = base, *end = base + text.len;
    while (at < end && rc == 0) {
        size_t len;
        const unsigned char *start = at;
        enum kind kind = kind_at(at, end, &len);
        if (kind == SPACE || kind == IGNORED) {
            at += len;
            continue;
        }
        if (is_word_kind(kind))
            at = word_end(at, end);
        else if (kind == SPACELESS)
            at = marks_end(at + len, end);
        else
            at = run_end(at + len, end, kind);
        rc = spans_add(&spans, (size_t)(start - base), (size_t)(at - base));
    }
    return spans_end(&spans, rc, out);
}

struct view doc_lines(struct batch *b, struct doc *d)
{
    if (!d->lines.span)
        text_lines(&b->arena, d->text, &d->lines);
    return d->lines;
}

struct view doc_words(struct batch *b, struct doc *d)
{
    if (!d->words.span)
        text_words(&b->arena, d->text, &d->words);
    return d->words;
}

bool word_is_alnum(struct str word)
{
    size_t len;
    if (word.len == 0)
        return false;
    const unsigned char *at = (const unsigned char *)word.ptr;
    enum kind kind = kind_at(at, at + word.len, &len);
    return is_word_kind(kind) || kind == SPACELESS;
}

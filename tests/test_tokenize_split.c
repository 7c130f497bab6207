/* test_tokenize_split - the splitters against a small regex engine that runs the patterns
 * themselves. */
#include "core/hash.h"
#include "tests/test.h"
#include "tokenize/bpe.h"
#include "tokenize/kinds.h"
#include "tokenize/nfc.h"

/* ---- the oracle: a backtracking matcher for what these patterns are written in ----
 * Literals, escapes (\s \S \r \n \p{..}), [classes] with ^ and ranges, (?i:a|b), (?!x), $, and the
 * quantifiers ? * + {m,n}, each possessive when a + follows. Slow, and on purpose nothing like the
 * splitters: it reads the pattern that is written into tokenizer.json. */
struct regex {
    const uint32_t *pattern;
    size_t pattern_len;
    const uint32_t *text;
    const uint8_t *kind;
    size_t text_len;
};

static bool property_has(const char *name, uint8_t kind)
{
    static const struct {
        const char *name;
        uint32_t kinds;
    } known[] = {
        {"L", KINDS_L},           {"N", KINDS_N},          {"M", 1 << KIND_MARK},
        {"P", 1 << KIND_PUNCT},   {"S", 1 << KIND_SYMBOL}, {"Lu", 1 << KIND_UPPER},
        {"Lt", 1 << KIND_UPPER},  {"Ll", 1 << KIND_LOWER}, {"Lm", 1 << KIND_LETTER},
        {"Lo", 1 << KIND_LETTER},
    };
    for (size_t i = 0; i < COUNT_OF(known); i++)
        if (strcmp(known[i].name, name) == 0)
            return KIND_BIT(kind) & known[i].kinds;
    test_fail(__FILE__, __LINE__, "property %s", name);
}

/* Reads one escape or character of the pattern at *p; whether it holds for the character at pos, or
 * the literal it stands for (*literal). */
static bool atom_simple(const struct regex *r, size_t *p, size_t pos, uint32_t *literal)
{
    uint32_t c = r->pattern[(*p)++];
    uint8_t kind = pos < r->text_len ? r->kind[pos] : KIND_OTHER;
    *literal = c;
    if (c != '\\')
        return pos < r->text_len && r->text[pos] == c;
    c = r->pattern[(*p)++];
    *literal = UINT32_MAX;
    if (c == 's' || c == 'S')
        return pos < r->text_len && ((KIND_BIT(kind) & KINDS_S) != 0) == (c == 's');
    if (c == 'p') {
        char name[4] = {0};
        for (size_t i = 0, at = ++*p; r->pattern[at + i] != '}'; i++)
            name[i] = (char)r->pattern[at + i];
        *p += strlen(name) + 1;
        return pos < r->text_len && property_has(name, kind);
    }
    *literal = c == 'r' ? '\r' : c == 'n' ? '\n' : c;
    return pos < r->text_len && r->text[pos] == *literal;
}

static bool atom_class(const struct regex *r, size_t *p, size_t pos)
{
    bool negated = r->pattern[*p] == '^', found = false;
    uint32_t from, to;
    *p += negated;
    while (r->pattern[*p] != ']') {
        found |= atom_simple(r, p, pos, &from);
        if (r->pattern[*p] == '-' && r->pattern[*p + 1] != ']' && from != UINT32_MAX) {
            ++*p;
            found |= atom_simple(r, p, pos, &to);
            found |= pos < r->text_len && r->text[pos] >= from && r->text[pos] <= to;
        }
    }
    ++*p;
    return pos < r->text_len && found != negated;
}

static size_t group_end(const struct regex *r, size_t p)
{
    for (int depth = 1; depth; p++) {
        if (r->pattern[p] == '\\')
            p++;
        else if (r->pattern[p] == '[')
            while (r->pattern[++p] != ']')
                p += r->pattern[p] == '\\';
        else
            depth += r->pattern[p] == '(' ? 1 : r->pattern[p] == ')' ? -1 : 0;
    }
    return p; /* behind the ) */
}

static uint32_t fold(uint32_t c) { return c == 0x17F ? 's' : c >= 'A' && c <= 'Z' ? c + 32 : c; }

enum { MATCHES_MAX = 8 };

/* Lengths that the group at p (behind its head) can match at pos, in order of preference. */
static int group_matches(const struct regex *r, size_t p, size_t end, size_t pos, bool any_case,
                         size_t *len)
{
    int count = 0;
    size_t at = pos;
    bool fits = true;
    for (;; p++) {
        if (p == end || r->pattern[p] == '|') {
            if (fits)
                len[count++] = at - pos;
            at = pos;
            fits = true;
            if (p == end)
                return count;
            continue;
        }
        if (r->pattern[p] == '[') {
            size_t inside = p + 1;
            bool found = false;
            for (; r->pattern[inside] != ']'; inside++)
                found |= at < r->text_len && fold(r->text[at]) == r->pattern[inside];
            fits = fits && found;
            p = inside;
        } else {
            fits = fits && at < r->text_len &&
                   (any_case ? fold(r->text[at]) : r->text[at]) == r->pattern[p];
        }
        at++;
    }
}

static size_t sequence(const struct regex *r, size_t p, size_t end, size_t pos);

/* An element that is one character wide, with its quantifier; the rest of the alternative follows.
 */
static size_t repeat(const struct regex *r, size_t p, size_t end, size_t pos)
{
    size_t behind = p, least = 1, most = 1, fit = 0;
    bool possessive = false;
    for (;; fit++) { /* how many characters fit */
        uint32_t literal;
        behind = p;
        bool ok;
        if (r->pattern[behind] == '[') {
            behind++;
            ok = atom_class(r, &behind, pos + fit);
        } else {
            ok = atom_simple(r, &behind, pos + fit, &literal);
        }
        if (!ok)
            break;
    }
    uint32_t c = behind < end ? r->pattern[behind] : 0;
    if (c == '?' || c == '*' || c == '+') {
        least = c == '+';
        most = c == '?' ? 1 : SIZE_MAX;
        behind++;
    } else if (c == '{') {
        least = r->pattern[behind + 1] - '0';
        most = r->pattern[behind + 3] - '0';
        behind += 5;
    }
    if (behind < end && r->pattern[behind] == '+') {
        possessive = true;
        behind++;
    }
    for (size_t n = fit < most ? fit : most;; n--) {
        if (n < least || n == SIZE_MAX)
            return SIZE_MAX;
        size_t matched = sequence(r, behind, end, pos + n);
        if (matched != SIZE_MAX || possessive)
            return matched;
        if (n == 0)
            return SIZE_MAX;
    }
}

/* End of the match of one alternative, SIZE_MAX: none. */
static size_t sequence(const struct regex *r, size_t p, size_t end, size_t pos)
{
    if (p == end)
        return pos;
    if (r->pattern[p] == '$')
        return pos == r->text_len ? sequence(r, p + 1, end, pos) : SIZE_MAX;
    if (r->pattern[p] != '(')
        return repeat(r, p, end, pos);
    size_t behind = group_end(r, p + 1), len[MATCHES_MAX];
    if (r->pattern[p + 2] == '!') { /* (?!\S) */
        uint32_t literal;
        size_t inner = p + 3;
        return atom_simple(r, &inner, pos, &literal) ? SIZE_MAX : sequence(r, behind, end, pos);
    }
    int count = group_matches(r, p + 4, behind - 1, pos, true, len);
    bool optional = behind < end && r->pattern[behind] == '?';
    for (int i = 0; i < count; i++) {
        size_t matched = sequence(r, behind + optional, end, pos + len[i]);
        if (matched != SIZE_MAX)
            return matched;
    }
    return optional ? sequence(r, behind + 1, end, pos) : SIZE_MAX;
}

static size_t regex_match(const struct regex *r, size_t pos)
{
    for (size_t p = 0; p < r->pattern_len;) {
        size_t end = p;
        while (end < r->pattern_len && r->pattern[end] != '|') {
            if (r->pattern[end] == '(')
                end = group_end(r, end + 1);
            else if (r->pattern[end] == '[')
                for (end++; r->pattern[end++] != ']';)
                    end += r->pattern[end - 1] == '\\';
            else
                end += r->pattern[end] == '\\' ? 2 : 1;
        }
        size_t matched = sequence(r, p, end, pos);
        if (matched != SIZE_MAX && matched > pos)
            return matched;
        p = end + 1;
    }
    return SIZE_MAX;
}

/* Cuts text[from..to) by split `number` of the pattern and the ones after it, "Isolated": matches
 * are pieces and so is what lies between them. cut[i]: a piece ends before character i. */
static void regex_cut(enum pretok p, int number, const uint32_t *text, const uint8_t *kind,
                      size_t from, size_t to, bool *cut)
{
    static uint32_t pattern[512];
    size_t len = 0, at = from, gap = from;
    if (number == pretok_splits(p)) {
        cut[to] = true;
        return;
    }
    struct str source = str_of(pretok_pattern(p, number));
    for (size_t i = 0; i < source.len;)
        i += (size_t)utf8_decode(source.ptr + i, source.ptr + source.len, &pattern[len++]);
    size_t ends[4096], starts[4096], count = 0;
    struct regex r = {pattern, len, text + from, kind + from, to - from};
    while (at < to) {
        size_t matched = regex_match(&r, at - from);
        if (matched == SIZE_MAX) {
            at++;
            continue;
        }
        if (gap < at)
            starts[count] = gap, ends[count++] = at;
        starts[count] = at, ends[count++] = from + matched;
        gap = at = from + matched;
    }
    if (gap < to)
        starts[count] = gap, ends[count++] = to;
    for (size_t i = 0; i < count; i++)
        regex_cut(p, number + 1, text, kind, starts[i], ends[i], cut);
}

/* ---- texts ---- */
struct draw {
    uint64_t seed, count;
};

static uint32_t draw_below(struct draw *d, uint32_t limit)
{
    return (uint32_t)(hash_mix(d->seed ^ hash_mix(++d->count)) % limit);
}

static uint32_t draw_point(struct draw *d, int zone)
{
    static const uint32_t from_to[][2] = {
        {0x20, 0x7F},     {0x80, 0x100},      {0x100, 0x250},   {0x2B0, 0x400},   {0x400, 0x530},
        {0x590, 0x700},   {0x900, 0x980},     {0xE00, 0xE80},   {0x2000, 0x2070}, {0x3000, 0x3100},
        {0x4DF0, 0x4E20}, {0x9F90, 0xA000},   {0xABF0, 0xAC20}, {0xD790, 0xD7A8}, {0xFE00, 0x10000},
        {0, 0x20},        {0x10400, 0x10450}, {0, 0x110000},
    };
    static const char common[] = "aAbsStTrReEvVlLmMdD'' ''  \n\r\t/.,;-(0123 \n";
    if (zone < 0)
        return (unsigned char)common[draw_below(d, sizeof common - 1)];
    const uint32_t *range = from_to[(size_t)zone % COUNT_OF(from_to)];
    uint32_t cp = range[0] + draw_below(d, range[1] - range[0]);
    return cp >= 0xD800 && cp < 0xE000 ? ' ' : cp;
}

/* A text of characters of two zones and of those that the patterns name. */
static size_t draw_text(struct draw *d, char *text, size_t max)
{
    int zone[2] = {(int)draw_below(d, 18), (int)draw_below(d, 18)};
    size_t len = 0, want = 1 + draw_below(d, (uint32_t)max - 8);
    uint32_t commons = draw_below(d, 4);
    while (len < want) {
        uint32_t kind = draw_below(d, 4);
        uint32_t cp = draw_point(d, kind < commons ? -1 : zone[kind & 1]);
        for (uint32_t times = draw_below(d, 12) ? 1 : 1 + draw_below(d, 9); times && len < want;
             times--)
            len += (size_t)utf8_encode(cp, text + len);
    }
    return len;
}

static void check_against_regex(enum pretok p, struct str text)
{
    uint32_t cp[1024] = {0};
    uint8_t kind[1024] = {0};
    size_t at[1025], count = 0, len;
    bool cut[1025] = {0};
    for (size_t i = 0; i < text.len; i += len, count++) {
        at[count] = i;
        kind[count] = kind_flags(text.ptr + i, text.ptr + text.len, &len) & 15;
        utf8_decode(text.ptr + i, text.ptr + text.len, &cp[count]);
    }
    at[count] = text.len;
    regex_cut(p, 0, cp, kind, 0, count, cut);
    size_t pos = 0;
    for (size_t i = 1; i <= count; i++) {
        if (!cut[i])
            continue;
        size_t got = pretok_next(p, text, pos);
        if (got != at[i])
            test_fail(__FILE__, __LINE__,
                      "%s: at byte %zu of \"%.*s\" a piece of %zu bytes, want %zu", pretok_name(p),
                      pos, STR_ARG(text), got - pos, at[i] - pos);
        pos = got;
    }
}

TEST(tokenize_split_equals_the_patterns)
{
    struct draw d = {11, 0};
    char text[400];
    for (int i = 0; i < 4000; i++) {
        size_t len = draw_text(&d, text, i % 7 ? 80 : sizeof text);
        for (int p = 0; p < PRETOK_COUNT; p++)
            check_against_regex((enum pretok)p, (struct str){text, len});
    }
}

static void check_fast(enum pretok p, struct str text, uint32_t batch)
{
    static uint32_t end[512];
    size_t pos = 0;
    while (pos < text.len) {
        uint32_t count = pretok_split(p, text, pos, end, batch);
        CHECK(count > 0 && count <= batch);
        size_t at = pos;
        for (uint32_t i = 0; i < count; i++) {
            at = pretok_next(p, text, at);
            if (pos + end[i] != at)
                test_fail(__FILE__, __LINE__, "%s: piece ends at %zu of \"%.*s\", want %zu",
                          pretok_name(p), pos + end[i], STR_ARG(text), at);
        }
        pos = at;
    }
}

TEST(tokenize_split_many_equals_one_by_one)
{
    struct draw d = {12, 0};
    char text[2000];
    for (int i = 0; i < 3000; i++) {
        size_t len = draw_text(&d, text, sizeof text);
        if (i % 3 == 0) /* bytes that are no UTF-8 */
            for (int k = 0; k < 20; k++)
                text[draw_below(&d, (uint32_t)len)] = (char)draw_below(&d, 256);
        for (int p = 0; p < PRETOK_COUNT; p++)
            check_fast((enum pretok)p, (struct str){text, len}, i % 2 ? 512 : 70);
    }
}

/* Runs longer than any block: of white space (indented empty lines, as pages have them), of signs,
 * of letters. A block of nothing but white space was once cut behind its newlines. */
TEST(tokenize_split_long_runs)
{
    static const char *const atoms[] = {" ",
                                        "  ",
                                        "\n",
                                        "                \n",
                                        " \n",
                                        "\r\n",
                                        "\t",
                                        "\t\n",
                                        "\n\n",
                                        "a",
                                        "-",
                                        "/\n",
                                        "\xC3\xA9",
                                        "A",
                                        "1",
                                        "'s",
                                        ".",
                                        "x ",
                                        " \t ",
                                        "\xC2\xA0",
                                        "\xE3\x80\x80\n",
                                        "'",
                                        "!",
                                        "\xE4\xB8\xAD"};
    struct draw d = {13, 0};
    struct buf text = {0};
    for (int i = 0; i < 3000; i++) {
        buf_clear(&text);
        for (int run = 0; run < 4; run++) {
            const char *atom = atoms[draw_below(&d, (uint32_t)COUNT_OF(atoms))];
            const char *between = atoms[draw_below(&d, (uint32_t)COUNT_OF(atoms))];
            bool mixed = draw_below(&d, 2);
            for (uint32_t left = 1 + draw_below(&d, 90); left; left--)
                buf_text(&text, mixed && draw_below(&d, 20) == 0 ? between : atom);
        }
        for (int p = 0; p < PRETOK_COUNT; p++)
            check_fast((enum pretok)p, buf_view(&text), i % 2 ? 512 : 70);
    }
    buf_free(&text);
}

/* Every code point between letters, signs, digits and blanks. */
TEST(tokenize_split_every_code_point)
{
    struct buf text = {0};
    for (uint32_t cp = 0x80; cp < 0x30000; cp++) {
        char utf8[4];
        if (cp >= 0xD800 && cp < 0xE000)
            continue;
        size_t len = (size_t)utf8_encode(cp, utf8);
        static const char *const around[] = {"a", "A", " ", ".",  "7", "\n",
                                             " ", "'", "",  "aB", "  "};
        for (size_t i = 0; i < COUNT_OF(around); i++) {
            buf_add(&text, utf8, len);
            buf_text(&text, around[i]);
        }
        if (text.len > 100000 || cp + 1 == 0x30000) {
            for (int p = 0; p < PRETOK_COUNT; p++)
                check_fast((enum pretok)p, buf_view(&text), 512);
            buf_clear(&text);
        }
    }
    buf_free(&text);
}

/* ---- NFC: UAX 15, figures 3 to 6 and tables; each value by the published algorithm ---- */
TEST(tokenize_nfc_examples)
{
    static const struct {
        const char *from, *to;
    } cases[] = {
        {"plain", "plain"},
        {"e\xCC\x81", "\xC3\xA9"},                                /* e + acute */
        {"A\xCC\x8A", "\xC3\x85"},                                /* A + ring */
        {"\xE2\x84\xAB", "\xC3\x85"},                             /* Angstrom sign */
        {"\xE2\x84\xA6", "\xCE\xA9"},                             /* Ohm sign */
        {"s\xCC\x87\xCC\xA3", "\xE1\xB9\xA9"},                    /* marks out of order */
        {"\xE1\xB8\x8B\xCC\xA3", "\xE1\xB8\x8D\xCC\x87"},         /* d-dot-above + dot below */
        {"q\xCC\x87\xCC\xA3", "q\xCC\xA3\xCC\x87"},               /* ordered, nothing to compose */
        {"\xE0\xA4\x95\xE0\xA4\xBC", "\xE0\xA4\x95\xE0\xA4\xBC"}, /* an exclusion stays apart */
        {"\xE0\xA5\x98", "\xE0\xA4\x95\xE0\xA4\xBC"},             /* and is taken apart */
        {"\xE1\x84\x92\xE1\x85\xA1\xE1\x86\xAB", "\xED\x95\x9C"}, /* Hangul */
        {"\xED\x95\x98\xE1\x86\xAB", "\xED\x95\x9C"},
        {"x\x80\xCC\x81y", "x\x80\xCC\x81y"}, /* a stray byte is left alone */
        {"\xCC\x81"
         "a",
         "\xCC\x81"
         "a"}, /* a mark with nothing before it */
    };
    struct nfc_work w = {0};
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct str out;
        CHECK_OK(nfc_normalize(str_of(cases[i].from), &w, &out));
        CHECK_STR(out, cases[i].to);
    }
    nfc_work_free(&w);
}

TEST_LIMIT(tokenize_nfc_a_million_marks, 10)
{
    struct nfc_work w = {0};
    struct buf text = {0}, want = {0};
    struct str out;
    buf_char(&text, 'q');
    buf_char(&want, 'q');
    for (int i = 0; i < 500000; i++)
        buf_text(&text, i % 2 ? "\xCC\xA3" : "\xCC\x87");
    for (int i = 0; i < 500000; i++)
        buf_text(&want, i < 250000 ? "\xCC\xA3" : "\xCC\x87");
    CHECK_OK(nfc_normalize(buf_view(&text), &w, &out));
    CHECK(str_eq(out, buf_view(&want)));
    buf_free(&text);
    buf_free(&want);
    nfc_work_free(&w);
}

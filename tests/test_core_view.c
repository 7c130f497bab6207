/* test_core_view - lines and words against written-out examples and a slow twin over code points.
 */
#include "core/doc.h"
#include "core/unicode.h"
#include "tests/test.h"

#include <time.h>

static struct arena memory;

static struct view words_of(const char *text)
{
    struct view view;
    if (!memory.base)
        CHECK_OK(arena_open(&memory, (size_t)1 << 30));
    CHECK_OK(text_words(&memory, str_of(text), &view));
    return view;
}

/* Words joined by | : the readable form of a split. */
static const char *split(const char *text)
{
    static struct buf out;
    struct view view = words_of(text);
    buf_clear(&out);
    for (uint32_t i = 0; i < view.count; i++) {
        if (i)
            buf_char(&out, '|');
        buf_str(&out, span_str(str_of(text), view.span[i]));
    }
    return buf_cstr(&out);
}

#define CHECK_SPLIT(text, want) CHECK_STR(str_of(split(text)), want)

TEST(core_view_words_ascii)
{
    CHECK_SPLIT("", "");
    CHECK_SPLIT(" \t\r\n\f\v", "");
    CHECK_SPLIT("The quick brown fox", "The|quick|brown|fox");
    CHECK_SPLIT("can't stop, won't stop.", "can't|stop|,|won't|stop|.");
    CHECK_SPLIT("3.14 1,234,567.89 1,x x,1", "3.14|1,234,567.89|1|,|x|x|,|1");
    CHECK_SPLIT("yes,no example.com v2.0 3.x", "yes|,|no|example.com|v2.0|3|.|x");
    CHECK_SPLIT("'quoted' dogs' end.", "'|quoted|'|dogs|'|end|.");
    CHECK_SPLIT("a..b x''y", "a|..|b|x|''|y");
    CHECK_SPLIT("snake_case a-b", "snake|_|case|a|-|b");
    CHECK_SPLIT("$100+20% ##!! <b>", "$|100|+|20|%|##!!|<|b|>");
    CHECK_SPLIT("a\x01\x02z", "a|\x01\x02|z");
}

TEST(core_view_words_scripts)
{
    CHECK_SPLIT("Größe naïve Ελλάδα", "Größe|naïve|Ελλάδα");
    CHECK_SPLIT("l’été aujourd’hui col·lecció", "l’été|aujourd’hui|col·lecció");
    CHECK_SPLIT("中文字 and 日本", "中|文|字|and|日|本");
    CHECK_SPLIT("カタカナ", "カ|タ|カ|ナ");
    CHECK_SPLIT("ที่นี่", "ที่|นี่"); /* marks stay with their letter */
    CHECK_SPLIT("한국어는 띄어쓰기를 한다", "한국어는|띄어쓰기를|한다");
    CHECK_SPLIT("e\u0301te\u0301 x", "e\u0301te\u0301|x");
    CHECK_SPLIT("हिन्दी में", "हिन्दी|में");
    CHECK_SPLIT("“Hi”…", "“|Hi|”…");
    CHECK_SPLIT("a\u3000b\u00A0c\u200Bd", "a|b|c|d");
}

TEST(core_view_words_invisible)
{
    CHECK_SPLIT("Donau\u00ADdampf", "Donau\u00ADdampf");
    CHECK_SPLIT("می\u200Cخواهم", "می\u200Cخواهم");
    CHECK_SPLIT("\uFEFFstart end\u200D", "start|end");
    CHECK_SPLIT("\u200E\u200F \u2060", "");
    CHECK_SPLIT("a\u00AD\u00AD b", "a|b");
    CHECK_SPLIT("\u2764\uFE0F\u2764", "\u2764\uFE0F\u2764");
    CHECK_SPLIT("\U0001F469\u200D\U0001F4BB!", "\U0001F469\u200D\U0001F4BB|!");
}

TEST(core_view_word_is_alnum)
{
    CHECK(word_is_alnum(STR("a")) && word_is_alnum(STR("9")) && word_is_alnum(STR("é")));
    CHECK(word_is_alnum(STR("中")) && word_is_alnum(STR("\u0301")));
    CHECK(!word_is_alnum(STR("")) && !word_is_alnum(STR(".")) && !word_is_alnum(STR("$")));
    CHECK(!word_is_alnum(STR("…")) && !word_is_alnum(STR("\u2764\uFE0F")));
}

TEST(core_view_lines)
{
    static const struct {
        const char *text;
        uint32_t count;
        const char *last;
    } rows[] = {{"", 0, ""},      {"\n", 1, ""},    {"a", 1, "a"},        {"a\n", 1, "a"},
                {"a\nb", 2, "b"}, {"a\n\n", 2, ""}, {"a\n\nb\n", 3, "b"}, {"a\r\nb", 2, "b"}};
    struct arena a;
    CHECK_OK(arena_open(&a, 1 << 20));
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct view view;
        struct str text = str_of(rows[i].text);
        CHECK_OK(text_lines(&a, text, &view));
        CHECK_INT(view.count, rows[i].count);
        CHECK(view.span != NULL);
        if (view.count)
            CHECK_STR(span_str(text, view.span[view.count - 1]), rows[i].last);
    }
}

/* ---- the slow twin: an array of code points with one property each, rules written one by one ----
 */
struct point {
    uint32_t cp, start, len;
    char kind; /* ' ' a letter, 1 number, m mark, c spaceless, p s o, i ignored */
};

static char twin_kind(uint32_t cp)
{
    enum uc_class class = uc_class(cp);
    if (class == UC_SPACE || cp == 0x200B)
        return ' ';
    if (uc_is_ignorable(cp))
        return 'i';
    if (class == UC_MARK)
        return 'm';
    if (uc_is_spaceless(cp))
        return 'c';
    return class == UC_NUMBER   ? '1'
           : uc_is_letter(cp)   ? 'a'
           : class == UC_PUNCT  ? 'p'
           : class == UC_SYMBOL ? 's'
                                : 'o';
}

static bool twin_joins(uint32_t cp, char left, char right)
{
    bool letters = cp == '\'' || cp == '.' || cp == 0x2019 || cp == 0xFF07 || cp == 0xFF0E ||
                   cp == 0xB7 || cp == 0x2027 || cp == 0x5F4;
    bool numbers = cp == '\'' || cp == '.' || cp == 0x2019 || cp == 0xFF07 || cp == 0xFF0E ||
                   cp == ',' || cp == 0x66B || cp == 0x66C || cp == 0xFF0C;
    return (left == 'a' && right == 'a' && letters) || (left == '1' && right == '1' && numbers);
}

/* True when no word border stands between point i and i + 1; last is the kind before marks. */
static bool twin_glued(const struct point *p, int count, int i, char last, char first)
{
    int next = i + 1;
    bool word = first == 'a' || first == '1' || first == 'm';
    while (next < count && p[next].kind == 'i')
        next++;
    if (next == count)
        return false;
    char kind = p[next].kind;
    if (next > i + 1)
        return word ? kind == 'a' || kind == '1' || kind == 'm' : first != 'c' && kind == first;
    if (kind == 'm')
        return true;
    if (word && (kind == 'a' || kind == '1'))
        return true;
    if (word && kind == 'p' && next + 1 < count)
        return twin_joins(p[next].cp, last, p[next + 1].kind);
    return first != 'c' && !word && kind == first;
}

static void twin_check(struct str text)
{
    static struct point p[4096];
    int count = 0;
    for (uint32_t at = 0; at < text.len; count++) {
        int len = utf8_decode(text.ptr + at, text.ptr + text.len, &p[count].cp);
        p[count].start = at;
        p[count].len = (uint32_t)len;
        p[count].kind = twin_kind(p[count].cp);
        at += (uint32_t)len;
    }
    struct view view;
    uint32_t word = 0;
    size_t mark = arena_mark(&memory);
    CHECK_OK(text_words(&memory, text, &view));
    for (int i = 0; i < count; i++) {
        if (p[i].kind == ' ' || p[i].kind == 'i')
            continue;
        char first = p[i].kind, last = first;
        uint32_t start = p[i].start;
        while (twin_glued(p, count, i, last, first)) {
            i++;
            while (p[i].kind == 'i')
                i++;
            if (p[i].kind == 'a' || p[i].kind == '1')
                last = p[i].kind;
        }
        uint32_t end = p[i].start + p[i].len;
        if (word >= view.count || view.span[word].start != start ||
            view.span[word].len != end - start)
            test_fail(__FILE__, __LINE__, "word %u of \"%.*s\": want bytes %u to %u", word,
                      STR_ARG(text), start, end);
        word++;
    }
    CHECK_INT(view.count, word);
    arena_reset(&memory, mark);
}

TEST(core_view_words_twin)
{
    static const uint32_t alphabet[] = {
        'a',     'Z',    '7',    ' ',  '\n',   '\'',   '.',      ',',    '-',    '_',
        '$',     '+',    1,      0xE9, 0x416,  0x661,  0x301,    0x4E2D, 0xE01,  0xE35,
        0x30FC,  0xAC00, 0x2019, 0xB7, 0x66B,  0xFF0C, 0xAD,     0x200B, 0x200D, 0xFEFF,
        0x1F600, 0xFE0F, 0x2026, 0xA0, 0x3000, 0xE000, 0x10FFFF, 0x378};
    uint64_t seed = 1;
    words_of("");
    for (int round = 0; round < 20000; round++) {
        char text[256];
        size_t len = 0;
        int count = (int)(test_random(&seed) % 40);
        for (int i = 0; i < count; i++)
            len +=
                (size_t)utf8_encode(alphabet[test_random(&seed) % COUNT_OF(alphabet)], text + len);
        twin_check((struct str){text, len});
    }
}

/* Text that ends inside a sequence is not valid, yet must not be read past its end. */
TEST(core_view_words_cut_sequence)
{
    static const char bytes[] = "ab\xF0\x9F\x98\x80";
    words_of("");
    for (size_t len = 0; len < sizeof bytes; len++) {
        char *copy = malloc(len + 1);
        struct view view;
        memcpy(copy, bytes, len);
        char *tight = realloc(copy, len ? len : 1);
        CHECK_OK(text_words(&memory, (struct str){tight, len}, &view));
        CHECK(view.count <= len);
        free(tight);
    }
}

/* Adversarial runs must cost linear time: each would take hours at quadratic cost. */
TEST_LIMIT(core_view_words_linear, 20)
{
    static const char *const unit[] = {"\u00AD", "a\u00AD", "a.", "\u0301", "!\u00AD", "1,", "'"};
    struct arena a;
    CHECK_OK(arena_open(&a, (size_t)1 << 30));
    for (size_t i = 0; i < COUNT_OF(unit); i++) {
        struct buf text = {0};
        struct view view;
        while (text.len < 4 << 20)
            buf_text(&text, unit[i]);
        CHECK_OK(text_words(&a, buf_view(&text), &view));
        arena_reset(&a, 0);
        buf_free(&text);
    }
}

TEST(core_view_no_memory)
{
    struct arena a;
    struct view view;
    struct buf text = {0};
    CHECK_OK(arena_open(&a, 1 << 16));
    while (text.len < 1 << 16)
        buf_text(&text, "x ");
    size_t mark = arena_mark(&a);
    CHECK_ERR(text_words(&a, buf_view(&text), &view), ERR_LIMIT);
    CHECK(view.span == NULL && view.count == 0);
    CHECK_INT(arena_mark(&a), mark);
    buf_free(&text);
}

TEST(core_view_doc_caches)
{
    struct batch *b;
    CHECK_OK(batch_open(&b));
    struct doc *d = batch_add(b);
    doc_set_text(d, STR("one two\nthree"));
    const struct span *first = doc_words(b, d).span;
    CHECK(doc_words(b, d).span == first);
    CHECK_INT(doc_words(b, d).count, 3);
    CHECK_INT(doc_lines(b, d).count, 2);
    doc_set_text(d, STR("four"));
    CHECK_INT(doc_words(b, d).count, 1);
    CHECK_INT(doc_lines(b, d).count, 1);
    batch_close(b);
}

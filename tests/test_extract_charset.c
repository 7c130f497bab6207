/* test_extract_charset - labels, the prescan, what is believed, conversion of everything. */
#include "core/io.h"
#include "extract/parts.h"
#include "tests/test.h"

#include <iconv.h>

static struct arena arena;

static void open_arena(void) { CHECK_OK(arena_open(&arena, 512u << 20)); }

static struct str convert(struct str raw, const char *http, const char **name, uint64_t *replaced)
{
    struct str text;
    CHECK_OK(charset_to_utf8(&arena, raw, str_of(http), &text, name, replaced));
    CHECK(utf8_valid(text));
    CHECK(text.len == 0 || !memchr(text.ptr, 0, text.len));
    return text;
}

static void check(struct str raw, const char *http, const char *name, const char *want)
{
    const char *got;
    uint64_t replaced;
    struct str text = convert(raw, http, &got, &replaced);
    CHECK_STR(str_of(got), name);
    CHECK_STR(text, want);
    CHECK_INT(replaced, 0);
}

/* Oracle: the label table of the Encoding standard. */
TEST(extract_charset_labels)
{
    static const char *const pairs[][2] = {
        {"latin1", "windows-1252"},
        {"ASCII", "windows-1252"},
        {" iso-8859-1\n", "windows-1252"},
        {"gb2312", "GBK"},
        {"GBK", "GBK"},
        {"gb18030", "gb18030"},
        {"x-sjis", "Shift_JIS"},
        {"ks_c_5601-1987", "EUC-KR"},
        {"windows-949", "EUC-KR"},
        {"utf8", "UTF-8"},
        {"unicode-1-1-utf-8", "UTF-8"},
        {"iso-8859-9", "windows-1254"},
        {"tis-620", "windows-874"},
        {"koi8-ru", "KOI8-U"},
        {"big5-hkscs", "Big5"},
        {"x-euc-jp", "EUC-JP"},
        {"csiso2022jp", "ISO-2022-JP"},
        {"utf-16", "UTF-16LE"},
        {"unicodefffe", "UTF-16BE"},
        {"hz-gb-2312", "replacement"},
        {"logical", "ISO-8859-8-I"},
        {"l9", "ISO-8859-15"},
        {"x-mac-ukrainian", "x-mac-cyrillic"},
        {"dos-874", "windows-874"},
        {"866", "IBM866"},
    };
    for (size_t i = 0; i < COUNT_OF(pairs); i++)
        CHECK_STR(str_of(charset_label(str_of(pairs[i][0]))), pairs[i][1]);
    CHECK(charset_label(STR("utf-7")) == NULL);
    CHECK(charset_label(STR("")) == NULL);
    CHECK(charset_label(STR("utf")) == NULL);
    CHECK(charset_label(STR("utf-8 utf8")) == NULL);
}

/* Sections of html5lib's .dat files: "#data\n...\n#encoding\nname". */
/* Some cases test a meta behind the first 1024 bytes, where the parser changes over: the same scan,
 * longer. */
static int run_dat(const char *path)
{
    char *bytes;
    size_t len;
    int cases = 0;
    CHECK_OK(io_read_file(path, 1 << 20, &bytes, &len));
    struct str rest = {bytes, len};
    while (rest.len > 6) {
        size_t start = str_find(rest, STR("#data\n")), mid = str_find(rest, STR("\n#encoding\n"));
        if (start == SIZE_MAX || mid == SIZE_MAX)
            break;
        struct str data = str_slice(rest, start + 6, mid);
        struct str name = str_slice(rest, mid + 11, rest.len);
        size_t end = str_find_char(name, '\n');
        rest = end == SIZE_MAX ? (struct str){0} : str_slice(name, end, name.len);
        name = str_trim(str_slice(name, 0, end == SIZE_MAX ? name.len : end));
        const char *want = charset_label(name), *got = charset_prescan(data, 1 << 20), *used;
        uint64_t replaced;
        struct str text;
        CHECK_OK(charset_to_utf8(&arena, data, (struct str){0}, &text, &used, &replaced));
        if (str_starts(data, "\xEF\xBB\xBF"))
            got = used;
        CHECK(want != NULL);
        if (strcmp(got ? got : "windows-1252", want) != 0)
            test_fail(path, cases, "\"%.*s\": got %s, want %s", STR_ARG(data), got ? got : "none",
                      want);
        cases++;
    }
    free(bytes);
    return cases;
}

TEST(extract_charset_prescan_html5lib)
{
    open_arena();
    CHECK_INT(run_dat(test_data("html/html5lib-tests/encoding/tests2.dat")) > 5, 1);
    CHECK_INT(run_dat(test_data("html/html5lib-tests/encoding/test-yahoo-jp.dat")), 1);
    CHECK_INT(run_dat(test_data("html/html5lib-tests/encoding/tests1.dat")) > 40, 1);
    arena_close(&arena);
}

TEST(extract_charset_prescan_rules)
{
    static const char *const none[] = {
        "<!-- <meta charset=koi8-r>",
        "<p title='<meta charset=koi8-r>'>x</p>",
        "<meta http-equiv=refresh content='text/html; charset=koi8-r'>",
        "<meta content='text/html; charset=koi8-r'>",
        "<meta charset=nonsense>",
        "<metacharset=koi8-r>",
        "<meta charset=koi8-r",
        "<!doctype <meta charset=koi8-r>",
    };
    for (size_t i = 0; i < COUNT_OF(none); i++)
        CHECK(charset_prescan(str_of(none[i]), 1024) == NULL);
    CHECK_STR(str_of(charset_prescan(STR("<meta charset=utf-16le>"), 1024)), "UTF-8");
    CHECK_STR(str_of(charset_prescan(STR("<meta charset=x-user-defined>"), 1024)), "windows-1252");
    CHECK_STR(str_of(charset_prescan(STR("<META x CHARSET = 'KOI8-R' >"), 1024)), "KOI8-R");
    CHECK_STR(str_of(charset_prescan(STR("<!-- a --><meta charset=koi8-r>"), 1024)), "KOI8-R");
    char page[2048];
    memset(page, ' ', sizeof page);
    memcpy(page + 1000, "<meta charset=koi8-r>", 21);
    CHECK_STR(str_of(charset_prescan((struct str){page, sizeof page}, 1024)), "KOI8-R");
    memset(page, ' ', sizeof page);
    memcpy(page + 1004, "<meta charset=koi8-r>", 21); /* its last byte is the 1025th */
    CHECK(charset_prescan((struct str){page, sizeof page}, 1024) == NULL);
}

TEST(extract_charset_order)
{
    open_arena();
    check(STR("plain"), "koi8-r", "UTF-8", "plain");
    check(STR("\xEF\xBB\xBFpr\xC3\xA9"), "koi8-r", "UTF-8", "pré");
    check(STR("\xFF\xFEh\0\xE9\0"), "koi8-r", "UTF-16LE", "hé");
    check(STR("\xFE\xFF\0h\0\xE9"), "", "UTF-16BE", "hé");
    check(STR("\xFF\xFE\0\0h\0\0\0"), "", "UTF-32LE", "h");
    check(STR("\0\0\xFE\xFF\0\0\0h"), "", "UTF-32BE", "h");
    check(STR("<\0p\0>\0"), "", "UTF-16LE", "<p>");
    check(STR("pr\xE9"), "latin1", "windows-1252", "pré");
    check(STR("\x93quoted\x94"), "iso-8859-1", "windows-1252", "“quoted”");
    /* bytes that are UTF-8 overrule a single-byte label, and what a few double bytes say by chance
     * does not */
    check(STR("na\xC3\xAFve"), "iso-8859-1", "UTF-8", "naïve");
    check(STR("<meta charset=windows-1251><p>\xCF\xF0\xE8\xE2\xE5\xF2"), "", "windows-1251",
          "<meta charset=windows-1251><p>Привет");
    check(STR("<meta charset=koi8-r>\xF0\xF2\xE9"), "windows-1251", "windows-1251",
          "<meta charset=koi8-r>ртй");
    check(STR("\xC3\xE7\xC3\xF1"), "gb2312", "GBK", "苗民"); /* oracle: iconv -f GB18030 */
    check(STR("\x1B$B$3$s\x1B(B"), "iso-2022-jp", "ISO-2022-JP", "こん");
    check(STR("<p>\x1B$B$3$s\x1B(B ok"), "", "ISO-2022-JP", "<p>こん ok");
    check(STR("<p>\x1B$B$3$s\x1B(J"), "shift_jis", "ISO-2022-JP", "<p>こん");
    check(STR("a \x1B[31mred\x1B[0m $B$3"), "", "UTF-8", "a \x1B[31mred\x1B[0m $B$3");
    check(STR("\x1B$B$3$\x1B(B"), "", "UTF-8", "\x1B$B$3$\x1B(B"); /* half a character */
    check(STR("\x1B$B no kanji"), "", "UTF-8", "\x1B$B no kanji");
    check(STR("\x1B$B\x1B$B\x1B(B"), "", "UTF-8", "\x1B$B\x1B$B\x1B(B"); /* codes for nothing */
    check(STR("\x87\x40\x83\x65"), "shift_jis", "Shift_JIS", "①テ");
    check(STR("\x80\xB0\xA1"), "gbk", "GBK", "€啊");
    check(STR("\xB0\xA1\x8C\x63"), "euc-kr", "EUC-KR", "가똠"); /* UHC beyond KS X 1001 */
    check(STR("\xAD\xA1\xA4\xA2"), "euc-jp", "EUC-JP", "①あ");
    arena_close(&arena);
}

/* Every byte of every single-byte encoding against iconv alone, one character at a time. */
TEST(extract_charset_single_bytes)
{
    static const char *const names[][2] = {
        {"windows-1250", "CP1250"},   {"windows-1251", "CP1251"},   {"windows-1253", "CP1253"},
        {"windows-1254", "CP1254"},   {"windows-1256", "CP1256"},   {"windows-1257", "CP1257"},
        {"iso-8859-2", "ISO-8859-2"}, {"iso-8859-7", "ISO-8859-7"}, {"koi8-r", "KOI8-R"},
        {"ibm866", "IBM866"},         {"iso-8859-4", "ISO-8859-4"}, {"iso-8859-15", "ISO-8859-15"},
    };
    open_arena();
    for (size_t n = 0; n < COUNT_OF(names); n++) {
        iconv_t cd = iconv_open("UTF-8", names[n][1]);
        CHECK(cd != (iconv_t)-1);
        for (int byte = 0x80; byte < 256; byte++) {
            /* C0 is a letter everywhere and never UTF-8; enough of them keep the label credible */
            char raw[41], out[8] = {0};
            memset(raw, 0xC0, sizeof raw);
            raw[20] = (char)byte;
            char one[1] = {(char)byte}, *from = one, *to = out;
            size_t in = 1, room = sizeof out;
            bool defined = iconv(cd, &from, &in, &to, &room) != (size_t)-1;
            const char *name;
            uint64_t replaced;
            struct str text = convert((struct str){raw, sizeof raw}, names[n][0], &name, &replaced);
            struct str want = {out, (size_t)(to - out)};
            if (defined)
                CHECK(str_find(text, want) != SIZE_MAX);
            else
                CHECK_INT(replaced, byte >= 0xA0);
            arena_reset(&arena, 0);
        }
        iconv_close(cd);
    }
    arena_close(&arena);
}

TEST(extract_charset_damage)
{
    const char *name;
    uint64_t replaced;
    open_arena();
    /* oracle: Python's bytes.decode("utf-8", "replace"): one U+FFFD for each longest valid start */
    struct str text =
        convert(STR("\xC3\xA9\xC3\xA9 \xC3\xA9\xC3\xA9\xC3\xA9\xC3\xA9\xC3\xA9\xC3\xA9"
                    "\xC3\xA9\xC3\xA9\xC3\xA9\xE2\x82 z"),
                "utf-8", &name, &replaced);
    CHECK_STR(text, "éé ééééééééé\xEF\xBF\xBD z");
    CHECK_INT(replaced, 2);
    CHECK_STR(str_of(name), "UTF-8");
    text =
        convert(STR("\xEF\xBB\xBF\xED\xA0\x80\xC0\xAF\xF4\x90\x80\x80\xFF"), "", &name, &replaced);
    CHECK_INT(replaced,
              10); /* surrogate, overlong, beyond 10FFFF, never a byte: each byte for itself */
    CHECK_INT(text.len, 30);
    text = convert(STR("\xFF\xFE\x00\xD8\x41\x00\x42"), "", &name, &replaced);
    CHECK_STR(text, "\xEF\xBF\xBD"
                    "A\xEF\xBF\xBD"); /* a lone surrogate and half a unit */
    CHECK_INT(replaced, 3);
    text = convert(STR("a\0b\0\0c"), "", &name, &replaced);
    CHECK_STR(text, "abc");
    text = convert(STR("\x81\x81\x20\x8F\xFF"), "shift_jis", &name, &replaced);
    CHECK(text.len > 0);
    CHECK_STR(convert((struct str){0}, "utf-8", &name, &replaced), "");
    arena_close(&arena);
}

/* A paragraph in many encodings must come back when only the detector can know. */
TEST(extract_charset_detector)
{
    static const char *const russian =
        "Все люди рождаются свободными и равными в своем достоинстве и правах. Они наделены "
        "разумом и совестью и должны поступать в отношении друг друга в духе братства.";
    static const char *const japanese =
        "すべての人間は、生まれながらにして自由であり、かつ、尊厳と権利とについて平等である。"
        "人間は、理性と良心とを授けられており、互いに同胞の精神をもって行動しなければならない。";
    static const char *const chinese =
        "人人生而自由，在尊严和权利上一律平等。他们赋有理性和良心，并应以兄弟关系的精神相对待。";
    const char *const cases[][2] = {{russian, "CP1251"},
                                    {russian, "KOI8-R"},
                                    {japanese, "EUC-JP"},
                                    {japanese, "SHIFT_JIS"},
                                    {chinese, "GB18030"}};
    open_arena();
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char raw[1024], *to = raw;
        union {
            const char *in;
            char *iconv;
        } from = {cases[i][0]};
        size_t in = strlen(cases[i][0]), room = sizeof raw;
        iconv_t cd = iconv_open(cases[i][1], "UTF-8");
        CHECK(iconv(cd, &from.iconv, &in, &to, &room) != (size_t)-1);
        iconv_close(cd);
        const char *name;
        uint64_t replaced;
        struct str text = convert((struct str){raw, (size_t)(to - raw)}, "", &name, &replaced);
        if (!str_is(text, cases[i][0]))
            test_fail(__FILE__, __LINE__, "%s taken for %s", cases[i][1], name);
    }
    arena_close(&arena);
}

/* Random bytes under every label: always valid UTF-8, never more than three bytes a byte. */
TEST(extract_charset_random_bytes)
{
    static const char *const labels[] = {
        "utf-8",  "gbk",     "big5",       "euc-jp",       "iso-2022-jp",  "sjis",
        "euc-kr", "utf-16",  "utf-16be",   "windows-1255", "windows-1258", "x-user-defined",
        "",       "gb18030", "hz-gb-2312", "koi8-r",
    };
    char raw[600];
    uint64_t state = 7;
    open_arena();
    for (int round = 0; round < 1500; round++) {
        size_t len = test_random(&state) % sizeof raw;
        for (size_t i = 0; i < len; i++) {
            uint64_t draw = test_random(&state);
            raw[i] = draw % 4 ? (char)(draw >> 8) : "\x1B$B<\0a"[draw >> 8 & 5];
        }
        const char *name;
        uint64_t replaced;
        struct str text = convert((struct str){raw, len}, labels[round % (int)COUNT_OF(labels)],
                                  &name, &replaced);
        CHECK(text.len <= 3 * len);
        CHECK(replaced <= len);
        arena_reset(&arena, 0);
    }
    arena_close(&arena);
}

TEST(extract_charset_arena_full)
{
    struct arena small;
    struct str text;
    const char *name;
    uint64_t replaced;
    char raw[9000];
    memset(raw, 0xE9, sizeof raw);
    CHECK_OK(arena_open(&small, 4096));
    CHECK_ERR(charset_to_utf8(&small, (struct str){raw, sizeof raw}, STR("latin1"), &text, &name,
                              &replaced),
              ERR_LIMIT);
    arena_close(&small);
}

/* ---- all bytes at a glance ---- */
static void check_look(const unsigned char *bytes, size_t len)
{
    struct str raw = {(const char *)bytes, len};
    struct byte_facts fast = bytes_look(raw), slow = bytes_look_slowly(raw);
    bool same = fast.high == slow.high && fast.sequences == slow.sequences &&
                fast.bad == slow.bad && fast.nul == slow.nul && fast.escape == slow.escape;
    uint64_t bad = 0, sequences = 0;
    for (const unsigned char *s = bytes, *end = bytes + len; s < end;) {
        int step = *s < 0x80 ? 1 : utf8_step(s, end);
        sequences += step > 1;
        bad += step < 0;
        s += step > 0 ? step : -step;
    }
    if (!same || (slow.bad == 0) != utf8_valid(raw) ||
        (bad * BYTES_SCARS > sequences) != (slow.bad * BYTES_SCARS > slow.sequences))
        test_fail(__FILE__, __LINE__, "%zu bytes: bad %d high %d, slowly bad %d high %d", len,
                  (int)fast.bad, (int)fast.high, (int)slow.bad, (int)slow.high);
}

/* Oracle: the slow twin, and core's own check. Every pair and triple of bytes that decides
 * something at every place in a block, ends at every length, random soups of pieces of sequences.
 */
TEST(extract_charset_look)
{
    static const unsigned char edges[] = {0x00, 0x1B, 'a',  0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0,
                                          0xBF, 0xC0, 0xC1, 0xC2, 0xDF, 0xE0, 0xE1, 0xEC, 0xED,
                                          0xEE, 0xEF, 0xF0, 0xF1, 0xF3, 0xF4, 0xF5, 0xF8, 0xFF};
    unsigned char block[128];
    uint64_t state = 5;
    for (size_t one = 0; one < 256; one++)
        for (size_t two = 0; two < COUNT_OF(edges); two++)
            for (size_t three = 0; three < COUNT_OF(edges); three++) {
                size_t at = test_random(&state) % 94;
                memset(block, 'x', sizeof block);
                block[at] = (unsigned char)one;
                block[at + 1] = edges[two];
                block[at + 2] = edges[three];
                check_look(block, at + 3 + test_random(&state) % 30);
                check_look(block, at + 3);
            }
    static const char *const pieces[] = {"a",
                                         "\xC3\xA9",
                                         "\xE4\xBD\xA0",
                                         "\xF0\x9F\x98\x80",
                                         "\xE4\xBD",
                                         "\xF0\x9F\x98",
                                         "\x80",
                                         "\xED\x9F\xBF",
                                         "\xED\xA0\x80",
                                         "\xF4\x8F\xBF\xBF",
                                         "\xF4\x90\x80\x80",
                                         "\xE0\x9F\x80",
                                         "plain text that is long",
                                         "\x1B",
                                         "\xC1\x80",
                                         "\xF0\x8F\x80\x80"};
    for (int round = 0; round < 200000; round++) {
        size_t len = 0, kinds = round % 2 ? COUNT_OF(pieces) : 4;
        while (len < 40 + test_random(&state) % 60) {
            const char *piece = pieces[test_random(&state) % kinds];
            memcpy(block + len, piece, strlen(piece));
            len += strlen(piece);
        }
        check_look(block, len);
    }
}

/* Oracle: the index files and decoders of the Encoding standard, where iconv's tables differ. */
TEST(extract_charset_as_the_standard)
{
    open_arena();
    check(STR("\xF0\xD2\xC9\xD7\xC5\xD4 \xAE\xBE"), "koi8-u", "KOI8-U", "Привет ўЎ");
    check(STR("caf\x8E \xDB \xC6"), "macintosh", "macintosh", "café € ∆");
    check(STR("\x8F\xF0\xE8\xE2\xE5\xF2 \xFF"), "x-mac-cyrillic", "x-mac-cyrillic", "Привет €");
    check(STR("\xCA\xE0"), "windows-1255", "windows-1255", "\xD6\xBA\xD7\x90");
    check(STR("\x80 \xC4\xE3"), "gb2312", "GBK", "€ 你");
    check(STR("\x80 \xC4\xE3 \x81\x30\x84\x36"), "gb18030", "gb18030", "€ 你 ¥");
    check(STR("\x1B$B$3$s\x1B(B a\x1B(I1\x1B(B"), "iso-2022-jp", "ISO-2022-JP", "こん aｱ");
    check(STR("\x81\x60 \x5C \xB1"), "shift_jis", "Shift_JIS", "～ \\ ｱ");
    check(STR("\xA1\xC1 \x8E\xB1"), "euc-jp", "EUC-JP", "～ ｱ");
    check(STR("\xA4\xA4\xA4\xE5"), "big5", "Big5", "中文");
    check(STR("\xC7\xD1\xB1\xDB"), "ks_c_5601-1987", "EUC-KR", "한글");
    uint64_t replaced;
    const char *name;
    struct str text =
        convert(STR("some text that keeps the label credible \x1B$B$3\x0E\x1B(B\x0F ok"),
                "iso-2022-jp", &name, &replaced);
    CHECK(str_ends(text, "こ\xEF\xBF\xBD\xEF\xBF\xBD ok"));
    CHECK_INT(replaced, 2);
    /* a pair that is none goes as a whole, an ASCII byte behind a start does not */
    text = convert(STR("\xC4\xE3\xBA\xC3 \x81\xFF\xC4\xE3 \x81<b>\xC4\xE3\xBA\xC3\xC4\xE3\xBA\xC3"
                       "\xC4\xE3\xBA\xC3\xC4\xE3\xBA\xC3\xC4\xE3\xBA\xC3\xC4\xE3\xBA\xC3"),
                   "gbk", &name, &replaced);
    CHECK_STR(text, "你好 \xEF\xBF\xBD你 \xEF\xBF\xBD<b>你好你好你好你好你好你好");
    CHECK_INT(replaced, 3);
    arena_close(&arena);
}

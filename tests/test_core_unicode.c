/* test_core_unicode - the tables against figures and examples of the Unicode Standard 14.0. */
#include "core/unicode.h"
#include "tests/test.h"

/* Totals of DerivedGeneralCategory-14.0.0.txt; white space is counted apart. */
TEST(core_unicode_class_totals)
{
    static const long want[] = {
        [UC_UPPER] = 1831 + 31,
        [UC_LOWER] = 2227,
        [UC_LETTER] = 334 + 127333,
        [UC_MARK] = 1950 + 445 + 13,
        [UC_NUMBER] = 660 + 236 + 895,
        [UC_PUNCT] = 819,
        [UC_SYMBOL] = 948 + 63 + 125 + 6605,
        [UC_SPACE] = 25,
    };
    long got[9] = {0}, decimals = 0, nonspacing = 0;
    for (uint32_t cp = 0; cp <= 0x10FFFF; cp++) {
        got[uc_class(cp)]++;
        decimals += uc_is_decimal(cp);
        nonspacing += uc_is_nonspacing(cp);
    }
    for (int i = UC_UPPER; i <= UC_SPACE; i++)
        CHECK_INT(got[i], want[i]);
    CHECK_INT(decimals, 660);
    CHECK_INT(nonspacing, 1950);
}

TEST(core_unicode_class_examples)
{
    CHECK_INT(uc_class('A'), UC_UPPER);
    CHECK_INT(uc_class(0x1C5), UC_UPPER); /* Lt */
    CHECK_INT(uc_class(0xDF), UC_LOWER);
    CHECK_INT(uc_class(0x4E00), UC_LETTER);
    CHECK_INT(uc_class(0x301), UC_MARK);
    CHECK_INT(uc_class(0x2167), UC_NUMBER);
    CHECK_INT(uc_class('_'), UC_PUNCT);
    CHECK_INT(uc_class('$'), UC_SYMBOL);
    CHECK_INT(uc_class(0x1F600), UC_SYMBOL);
    CHECK_INT(uc_class(0x85), UC_SPACE);
    CHECK_INT(uc_class(0x200B), UC_OTHER);
    CHECK_INT(uc_class(0xD800), UC_OTHER);
    CHECK_INT(uc_class(0x110000), UC_OTHER);
    CHECK_INT(uc_class(UINT32_MAX), UC_OTHER);
    CHECK(uc_is_space(0x3000) && !uc_is_space(0x180E));
    CHECK(uc_is_ignorable(0xAD) && uc_is_ignorable(0xFEFF) && !uc_is_ignorable(0x200B));
}

TEST(core_unicode_spaceless_scripts)
{
    static const uint32_t yes[] = {0x4E00, 0x9FFF, 0x3042,  0x30AB,      0x30FC,
                                   0xFF76, 0x0E01, 0x0E31,  0x0E81,      0x1780,
                                   0x1000, 0x3005, 0x20000, 0x31350 - 6, 0xF900};
    static const uint32_t no[] = {'a',    0xAC00,  0x0E50,   0x0410,    0x3001,
                                  0xFF21, 0x31350, 0x10FFFF, UINT32_MAX};
    for (size_t i = 0; i < COUNT_OF(yes); i++)
        if (!uc_is_spaceless(yes[i]))
            test_fail(__FILE__, __LINE__, "U+%04X is not spaceless", (unsigned)yes[i]);
    for (size_t i = 0; i < COUNT_OF(no); i++)
        if (uc_is_spaceless(no[i]))
            test_fail(__FILE__, __LINE__, "U+%04X is spaceless", (unsigned)no[i]);
}

TEST(core_unicode_lower)
{
    static const uint32_t pair[][2] = {
        {'A', 'a'},         {'Z', 'z'},      {'@', '@'},       {'[', '['},
        {0xC4, 0xE4},       {0x130, 'i'},    {0x1C4, 0x1C6},   {0x1C5, 0x1C6},
        {0x3A3, 0x3C3},     {0x410, 0x430},  {0x1E9E, 0xDF},   {0x2126, 0x3C9},
        {0x212A, 'k'},      {0xA78D, 0x265}, {0x10A0, 0x2D00}, {0x10400, 0x10428},
        {0x1E900, 0x1E922}, {0xDF, 0xDF},    {0x4E00, 0x4E00}, {UINT32_MAX, UINT32_MAX},
    };
    int mapped = 0;
    for (size_t i = 0; i < COUNT_OF(pair); i++)
        CHECK_INT(uc_lower(pair[i][0]), pair[i][1]);
    for (uint32_t cp = 0; cp <= 0x10FFFF; cp++)
        mapped += uc_lower(cp) != cp;
    CHECK_INT(mapped,
              1433); /* entries of UnicodeData-14.0.0.txt with a simple lower-case mapping */
}

static bool decomposes(uint32_t cp, const uint32_t *want, int count)
{
    uint32_t out[4];
    return uc_decompose(cp, out) == count && memcmp(out, want, (size_t)count * sizeof *want) == 0;
}

/* Examples of UAX #15 and of section 3.12 (Hangul). */
TEST(core_unicode_decompose)
{
    CHECK(decomposes('a', (const uint32_t[]){'a'}, 1));
    CHECK(decomposes(0xC5, (const uint32_t[]){'A', 0x30A}, 2));
    CHECK(decomposes(0x212B, (const uint32_t[]){'A', 0x30A}, 2));
    CHECK(decomposes(0x1E69, (const uint32_t[]){'s', 0x323, 0x307}, 3));
    CHECK(decomposes(0x1F82, (const uint32_t[]){0x3B1, 0x313, 0x300, 0x345}, 4));
    CHECK(decomposes(0xD4DB, (const uint32_t[]){0x1111, 0x1171, 0x11B6}, 3));
    CHECK(decomposes(0xAC00, (const uint32_t[]){0x1100, 0x1161}, 2));
    CHECK(decomposes(0xD7A4, (const uint32_t[]){0xD7A4}, 1));
    CHECK(decomposes(0x2F800, (const uint32_t[]){0x4E3D}, 1));
    CHECK(decomposes(0xFB01, (const uint32_t[]){0xFB01}, 1)); /* compatibility only */
    CHECK(decomposes(UINT32_MAX, (const uint32_t[]){UINT32_MAX}, 1));
    int changed = 0;
    uint32_t out[4];
    for (uint32_t cp = 0; cp <= 0x10FFFF; cp++)
        changed += uc_decompose(cp, out) > 1 || out[0] != cp;
    CHECK_INT(changed,
              11172 + 2061); /* syllables, and canonical mappings of UnicodeData-14.0.0.txt */
}

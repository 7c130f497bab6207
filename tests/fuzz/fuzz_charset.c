/* fuzz_charset - any bytes in any declared charset become valid UTF-8 of linear size, always the
 * same. */
#include "extract/extract.h"
#include "extract/parts.h"
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>

enum { GROWTH_MAX = 3, PRESCAN = 1024 };

/* The first byte chooses what the HTTP header said: nothing, one of these, or the first line. */
static const char *const labels[] = {
    "",           "utf-8",          "windows-1252", "shift_jis",   "euc-jp",       "iso-2022-jp",
    "gbk",        "gb18030",        "big5",         "euc-kr",      "utf-16le",     "utf-16be",
    "koi8-u",     "ibm866",         "macintosh",    "iso-8859-16", "windows-1257", "replacement",
    "hz-gb-2312", "x-user-defined",
};

static struct str label_of(struct str *bytes)
{
    if (!bytes->len)
        return STR("");
    size_t choice = (unsigned char)bytes->ptr[0];
    *bytes = str_slice(*bytes, 1, bytes->len);
    if (choice < COUNT_OF(labels))
        return str_of(labels[choice]);
    if (choice % 2)
        return STR("");
    struct str rest;
    struct str line = str_cut(*bytes, '\n', &rest);
    *bytes = rest.ptr ? rest : STR("");
    return line;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str bytes = {(const char *)data, size};
    struct str label = label_of(&bytes), text, again;
    static struct arena a; /* its pages are kept: mapping them anew took half the time */
    const char *name, *name_again;
    uint64_t replaced, replaced_again;
    if (!a.base && arena_open(&a, 64 << 20) < 0)
        return 0;
    if (charset_to_utf8(&a, bytes, label, &text, &name, &replaced) < 0)
        abort(); /* 64 MiB hold three times what the fuzzer sends: nothing else may fail */
    if (!name || (!charset_label(str_of(name)) && !str_starts(str_of(name), "UTF-32")))
        abort(); /* an encoding of the table, or one that only a byte order mark tells */
    if (!utf8_valid(text))
        abort();
    if (text.len > GROWTH_MAX * bytes.len + 4 || replaced > bytes.len)
        abort();
    if (charset_to_utf8(&a, bytes, label, &again, &name_again, &replaced_again) < 0)
        abort();
    if (!str_eq(text, again) || name != name_again || replaced != replaced_again)
        abort();
    /* The prescan reads no further than it is told to. */
    size_t max = bytes.len < PRESCAN ? bytes.len : PRESCAN;
    if (charset_prescan(bytes, max) != charset_prescan(str_slice(bytes, 0, max), max))
        abort();
    arena_reset(&a, 0);
    return 0;
}

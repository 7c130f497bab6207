/* text_scan - line ends, sentence ends and the code points that make them. */
#include "filter/text_scan.h"

#include "core/unicode.h"

struct range {
    uint32_t first, last;
};

/* Sentence_Terminal. U+2024, Khmer, Coptic and Kawi came after Unicode 14. */
static const struct range terminals[] = {
    {0x21, 0x21},       {0x2E, 0x2E},       {0x3F, 0x3F},       {0x589, 0x589},
    {0x61D, 0x61F},     {0x6D4, 0x6D4},     {0x700, 0x702},     {0x7F9, 0x7F9},
    {0x837, 0x837},     {0x839, 0x839},     {0x83D, 0x83E},     {0x964, 0x965},
    {0x104A, 0x104B},   {0x1362, 0x1362},   {0x1367, 0x1368},   {0x166E, 0x166E},
    {0x1735, 0x1736},   {0x17D4, 0x17D5},   {0x1803, 0x1803},   {0x1809, 0x1809},
    {0x1944, 0x1945},   {0x1AA8, 0x1AAB},   {0x1B5A, 0x1B5B},   {0x1B5E, 0x1B5F},
    {0x1B7D, 0x1B7E},   {0x1C3B, 0x1C3C},   {0x1C7E, 0x1C7F},   {0x2024, 0x2024},
    {0x203C, 0x203D},   {0x2047, 0x2049},   {0x2CF9, 0x2CFB},   {0x2E2E, 0x2E2E},
    {0x2E3C, 0x2E3C},   {0x2E53, 0x2E54},   {0x3002, 0x3002},   {0xA4FF, 0xA4FF},
    {0xA60E, 0xA60F},   {0xA6F3, 0xA6F3},   {0xA6F7, 0xA6F7},   {0xA876, 0xA877},
    {0xA8CE, 0xA8CF},   {0xA92F, 0xA92F},   {0xA9C8, 0xA9C9},   {0xAA5D, 0xAA5F},
    {0xAAF0, 0xAAF1},   {0xABEB, 0xABEB},   {0xFE52, 0xFE52},   {0xFE56, 0xFE57},
    {0xFF01, 0xFF01},   {0xFF0E, 0xFF0E},   {0xFF1F, 0xFF1F},   {0xFF61, 0xFF61},
    {0x10A56, 0x10A57}, {0x10F55, 0x10F59}, {0x10F86, 0x10F89}, {0x11047, 0x11048},
    {0x110BE, 0x110C1}, {0x11141, 0x11143}, {0x111C5, 0x111C6}, {0x111CD, 0x111CD},
    {0x111DE, 0x111DF}, {0x11238, 0x11239}, {0x1123B, 0x1123C}, {0x112A9, 0x112A9},
    {0x1144B, 0x1144C}, {0x115C2, 0x115C3}, {0x115C9, 0x115D7}, {0x11641, 0x11642},
    {0x1173C, 0x1173E}, {0x11944, 0x11944}, {0x11946, 0x11946}, {0x11A42, 0x11A43},
    {0x11A9B, 0x11A9C}, {0x11C41, 0x11C42}, {0x11EF7, 0x11EF8}, {0x11F43, 0x11F44},
    {0x16A6E, 0x16A6F}, {0x16AF5, 0x16AF5}, {0x16B37, 0x16B38}, {0x16B44, 0x16B44},
    {0x16E98, 0x16E98}, {0x1BC9F, 0x1BC9F}, {0x1DA88, 0x1DA88},
};

bool char_ends_sentence(uint32_t cp)
{
    if (cp < 128)
        return cp == '.' || cp == '!' || cp == '?';
    size_t low = 0, high = COUNT_OF(terminals);
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (cp > terminals[middle].last)
            low = middle + 1;
        else
            high = middle;
    }
    return low < COUNT_OF(terminals) && cp >= terminals[low].first;
}

bool char_closes(uint32_t cp)
{
    switch (cp) {
    case '"':
    case '\'':
    case ')':
    case ']':
    case '}':
    case 0xAB:
    case 0xBB: /* guillemets: either may close */
    case 0x2018:
    case 0x2019:
    case 0x201C:
    case 0x201D: /* German closes with the English opener */
    case 0x203A:
    case 0x3009:
    case 0x300B:
    case 0x300D:
    case 0x300F:
    case 0x3011:
    case 0xFF02:
    case 0xFF07:
    case 0xFF09:
    case 0xFF3D:
    case 0xFF5D:
    case 0xFF63:
        return true;
    default:
        return false;
    }
}

/* White space, and what nobody sees: soft hyphens, joiners, zero width spaces, byte order marks. */
static bool is_blank_char(uint32_t cp)
{
    return uc_is_space(cp) || (cp >= 0x80 && (cp == 0x200B || uc_is_ignorable(cp)));
}

uint32_t last_char(struct str s, size_t *len)
{
    uint32_t cp = 0;
    *len = 0;
    if (s.len == 0)
        return 0;
    size_t back = 1;
    while (back < 4 && back < s.len && ((unsigned char)s.ptr[s.len - back] & 0xC0) == 0x80)
        back++;
    utf8_decode(s.ptr + s.len - back, s.ptr + s.len, &cp);
    *len = back;
    return cp;
}

struct str line_trim(struct str line)
{
    line = str_trim(line);
    while (line.len && (unsigned char)line.ptr[0] >= 0x80) {
        uint32_t cp;
        int len = utf8_decode(line.ptr, line.ptr + line.len, &cp);
        if (!is_blank_char(cp))
            break;
        line = str_trim(str_slice(line, (size_t)len, line.len));
    }
    while (line.len && (unsigned char)line.ptr[line.len - 1] >= 0x80) {
        size_t len;
        if (!is_blank_char(last_char(line, &len)))
            break;
        line = str_trim(str_slice(line, 0, line.len - len));
    }
    return line;
}

bool line_ends_sentence(struct str line)
{
    size_t len;
    uint32_t cp = last_char(line, &len);
    while (len && char_closes(cp)) {
        line.len -= len;
        cp = last_char(line, &len);
    }
    return len && char_ends_sentence(cp);
}

/* Words that end in a full stop inside a sentence. Lower case, without the stop. */
static bool is_abbreviation(struct str word)
{
    static const char *const known[] = {
        "mr",   "mrs",    "ms",   "dr",  "prof", "st",  "jr",  "sr",  "vs",  "etc", "e.g",
        "i.e",  "cf",     "al",   "fig", "no",   "vol", "pp",  "inc", "ltd", "co",  "corp",
        "dept", "approx", "u.s",  "a.m", "p.m",  "jan", "feb", "mar", "apr", "jun", "jul",
        "aug",  "sep",    "sept", "oct", "nov",  "dec", "bzw", "z.b", "ca",  "sra", "mme",
    };
    if (word.len == 1)
        return (word.ptr[0] | 32) >= 'a' && (word.ptr[0] | 32) <= 'z' && word.ptr[0] != 'I';
    for (size_t i = 0; i < COUNT_OF(known); i++)
        if (str_eq_nocase(word, str_of(known[i])))
            return true;
    return false;
}

/* A full stop ends a sentence unless it closes an initial or an abbreviation, or what follows
 * goes on in lower case. at: of the stop; rest: what stands behind it and its closers, without
 * blanks. */
static bool stop_ends(struct str line, size_t at, struct str rest)
{
    enum { ABBREVIATION_MAX = 8 };
    uint32_t next = 0;
    if (rest.len == 0)
        return true;
    utf8_decode(rest.ptr, rest.ptr + rest.len, &next);
    if (uc_class(next) == UC_LOWER)
        return false;
    size_t start = at;
    while (start > 0 && at - start <= ABBREVIATION_MAX && line.ptr[start - 1] != ' ' &&
           line.ptr[start - 1] != '(')
        start--;
    return !is_abbreviation(str_slice(line, start, at));
}

/* Skips terminals and closers from `at`; *spaced says whether the line ends or a blank follows. */
static size_t skip_end(struct str line, size_t at, bool *spaced)
{
    uint32_t cp = 0;
    while (at < line.len) {
        int len = utf8_decode(line.ptr + at, line.ptr + line.len, &cp);
        if (!char_ends_sentence(cp) && !char_closes(cp))
            break;
        at += (size_t)len;
    }
    *spaced = at == line.len || is_blank_char(cp);
    return at;
}

uint32_t line_sentences(struct str line)
{
    uint32_t count = 0;
    bool open = false; /* something stands behind the last sentence end */
    for (size_t at = 0; at < line.len;) {
        unsigned char c = (unsigned char)line.ptr[at];
        if (c < 0x80 && c != '.' && c != '!' && c != '?') {
            open |= c > ' ';
            at++;
            continue;
        }
        uint32_t cp;
        size_t start = at;
        at += (size_t)utf8_decode(line.ptr + at, line.ptr + line.len, &cp);
        if (!char_ends_sentence(cp)) {
            open |= !is_blank_char(cp);
            continue;
        }
        bool spaced;
        at = skip_end(line, at, &spaced);
        bool wide = cp >= 0x3000; /* East Asian stops need no blank behind them */
        struct str rest = line_trim(str_slice(line, at, line.len));
        bool ends = wide || (spaced && (cp != '.' || stop_ends(line, start, rest)));
        count += ends;
        open = !ends;
    }
    return count + open;
}

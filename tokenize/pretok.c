/* pretok - splits text into the pieces that BPE merges inside, by hand and without a regex engine.
 *
 * Each splitter follows the pattern that pretok_pattern() gives, alternative by alternative, as the
 * regex engines of tiktoken and tokenizers run it: first alternative that matches, greedy inside.
 * Where an alternative would backtrack, a comment says what comes of it. \s is White_Space; the
 * tables are of Unicode 16.0. This file defines the splits; pretok_fast.c must agree with it. */
#include "tokenize/kinds.h"

#include "tokenize/bpe.h"
#include "tokenize/pretok_table.h"

static const char *const names[PRETOK_COUNT] = {
    [PRETOK_GPT2] = "gpt2",   [PRETOK_CL100K] = "cl100k", [PRETOK_CL100K_TT] = "cl100k-tiktoken",
    [PRETOK_O200K] = "o200k", [PRETOK_QWEN2] = "qwen2",   [PRETOK_DEEPSEEK3] = "deepseek-v3",
};
/* Other names people know them by. */
static const struct {
    const char *name;
    enum pretok pretok;
} aliases[] = {
    {"r50k", PRETOK_GPT2},
    {"p50k", PRETOK_GPT2},
    {"llama3", PRETOK_CL100K},
    {"llama-bpe", PRETOK_CL100K},
    {"gpt-oss", PRETOK_O200K},
    {"qwen3", PRETOK_QWEN2},
    {"deepseek-r1", PRETOK_DEEPSEEK3},
};

const char *pretok_name(enum pretok p) { return names[p]; }

int pretok_find(const char *name)
{
    for (int i = 0; i < PRETOK_COUNT; i++)
        if (strcmp(names[i], name) == 0)
            return i;
    for (size_t i = 0; i < COUNT_OF(aliases); i++)
        if (strcmp(aliases[i].name, name) == 0)
            return (int)aliases[i].pretok;
    return -1;
}

const uint8_t kind_ascii[128] = {
    [9] = KIND_SPACE,
    [10] = KIND_NEWLINE,
    [11] = KIND_SPACE,
    [12] = KIND_SPACE,
    [13] = KIND_NEWLINE,
    [' '] = KIND_SPACE,
    ['0' ... '9'] = KIND_NUMBER,
    ['A' ... 'Z'] = KIND_UPPER,
    ['a' ... 'z'] = KIND_LOWER,
    ['!' ... '#'] = KIND_PUNCT,
    ['$'] = KIND_SYMBOL,
    ['%' ... '*'] = KIND_PUNCT,
    ['+'] = KIND_SYMBOL,
    [',' ... '/'] = KIND_PUNCT,
    [':' ... ';'] = KIND_PUNCT,
    ['<' ... '>'] = KIND_SYMBOL,
    ['?' ... '@'] = KIND_PUNCT,
    ['[' ... ']'] = KIND_PUNCT,
    ['^'] = KIND_SYMBOL,
    ['_'] = KIND_PUNCT,
    ['`'] = KIND_SYMBOL,
    ['{'] = KIND_PUNCT,
    ['|'] = KIND_SYMBOL,
    ['}'] = KIND_PUNCT,
    ['~'] = KIND_SYMBOL,
};

static inline bool is_tail(char c) { return (signed char)c < -64; }

uint8_t kind_wide(const char *p, const char *end, size_t *len)
{
    const unsigned char *u = (const unsigned char *)p;
    ptrdiff_t left = end - p;
    uint32_t cp = 0;
    *len = 1;
    if (u[0] >= 0xC2 && u[0] < 0xE0 && left > 1 && is_tail(p[1])) {
        cp = (u[0] & 31u) << 6 | (u[1] & 63u);
        *len = 2;
    } else if (u[0] >= 0xE0 && u[0] < 0xF0 && left > 2 && is_tail(p[1]) && is_tail(p[2])) {
        cp = (u[0] & 15u) << 12 | (u[1] & 63u) << 6 | (u[2] & 63u);
        if (cp < 0x800 || (cp >= 0xD800 && cp < 0xE000))
            return KIND_OTHER;
        *len = 3;
    } else if (u[0] >= 0xF0 && u[0] < 0xF5 && left > 3 && is_tail(p[1]) && is_tail(p[2]) &&
               is_tail(p[3])) {
        cp = (u[0] & 7u) << 18 | (u[1] & 63u) << 12 | (u[2] & 63u) << 6 | (u[3] & 63u);
        if (cp < 0x10000 || cp > 0x10FFFF)
            return KIND_OTHER;
        *len = 4;
    }
    return kind_value[(uint32_t)kind_block[cp >> 7] << 7 | (cp & 127)];
}

/* ---- what the patterns have in common ---- */
/* End of the run of characters of these kinds from p on. */
static const char *run_end(const char *p, const char *end, uint32_t kinds)
{
    size_t len;
    while (p < end && kind_bit(p, end, &len) & kinds)
        p += len;
    return p;
}

static const char *letters_end(const char *p, const char *end)
{
    size_t len;
    for (;;) {
        while (p < end && (unsigned char)((*p | 32) - 'a') < 26)
            p++;
        if (p == end || !(kind_bit(p, end, &len) & KINDS_L))
            return p;
        p += len;
    }
}

/* \p{N}{1,3} */
static const char *digits_end(const char *p, const char *end, int max)
{
    size_t len;
    for (; max && p < end && kind_bit(p, end, &len) & KINDS_N; max--)
        p += len;
    return p;
}

/* 's 't 're 've 'm 'll 'd at the apostrophe p; NULL: none. U+017F folds to s. */
static const char *contraction_end(const char *p, const char *end, bool any_case)
{
    unsigned char fold = any_case ? 32 : 0;
    unsigned char a = end - p > 1 ? (unsigned char)p[1] : 0,
                  b = end - p > 2 ? (unsigned char)p[2] : 0;
    if (any_case && a == 0xC5 && b == 0xBF)
        return p + 3;
    if (a < 'A' || a >= 0x80)
        return NULL;
    a |= fold;
    b |= fold;
    if (a == 's' || a == 't' || a == 'm' || a == 'd')
        return p + 2;
    if ((a == 'r' && b == 'e') || (a == 'v' && b == 'e') || (a == 'l' && b == 'l'))
        return p + 3;
    return NULL;
}

/* How white space is cut. JOIN_END: \s++$ comes first. STOP_HAN_NUMBER: the text ends, for this
 * purpose, at Han, kana and numbers, which an earlier split has taken out. */
enum { NEWLINES = 1, JOIN_END = 2, STOP_HAN_NUMBER = 4 };

/* [\s++$|]\s*[\r\n]+|\s+(?!\S)|\s+ at the white space p: up to the last newline where newlines
 * count; else, before a character, all but the last blank, which goes with what follows. */
static const char *space_end(const char *p, const char *end, int how)
{
    const char *at = p, *last = p, *after_newline = NULL;
    size_t len;
    bool ends = true;
    while (at < end) {
        uint8_t flags = kind_flags(at, end, &len);
        uint32_t bit = KIND_BIT(flags & 15);
        if (!(bit & KINDS_S)) {
            ends = how & STOP_HAN_NUMBER && (bit & KINDS_N || flags & KIND_HAN_KANA);
            break;
        }
        last = at;
        at += len;
        if (bit & KINDS_NL)
            after_newline = at;
    }
    if (ends && how & JOIN_END)
        return at;
    if (how & NEWLINES && after_newline)
        return after_newline;
    return ends || last == p ? at : last;
}

/* ---- the patterns ---- */
static const char *next_gpt2(const char *p, const char *end)
{
    size_t len, next_len;
    uint32_t bit = kind_bit(p, end, &len);
    if (*p == '\'') {
        const char *contraction = contraction_end(p, end, false);
        if (contraction)
            return contraction;
    }
    if (*p == ' ' && p + 1 < end) {
        uint32_t next = kind_bit(p + 1, end, &next_len);
        if (!(next & KINDS_S)) {
            p++;
            bit = next;
        }
    }
    if (bit & KINDS_L)
        return letters_end(p, end);
    if (bit & KINDS_N)
        return run_end(p, end, KINDS_N);
    return bit & KINDS_S ? space_end(p, end, 0) : run_end(p, end, KINDS_SIGN);
}

/* cl100k and its kin: digits in a piece, and how white space ends, tell them apart. */
static const char *next_cl100k(const char *p, const char *end, int digits, int how)
{
    size_t len, next_len;
    uint32_t bit = kind_bit(p, end, &len), next = 0;
    if (*p == '\'') {
        const char *contraction = contraction_end(p, end, true);
        if (contraction)
            return contraction;
    }
    if (bit & KINDS_L)
        return letters_end(p, end);
    if (bit & KINDS_N)
        return digits_end(p, end, digits);
    if (p + len < end)
        next = kind_bit(p + len, end, &next_len);
    if (next & KINDS_L && !(bit & KINDS_NL))
        return letters_end(p + len, end);
    if (bit & KINDS_SIGN || (*p == ' ' && next & KINDS_SIGN))
        return run_end(run_end(p + (bit & KINDS_SIGN ? 0 : 1), end, KINDS_SIGN), end, KINDS_NL);
    return space_end(p, end, NEWLINES | how);
}

/* [Lu Lt Lm Lo M]*[Ll Lm Lo M]+ or, failing that, [Lu Lt Lm Lo M]+[Ll Lm Lo M]* at p; NULL: none.
 * The first part is greedy. When no small letter follows it, it gives back characters until the
 * second part can begin, which is at the last one that both sets have; when there is none such,
 * the whole run is capitals, and the second alternative takes it. only_first: that one is not
 * tried. */
static const char *case_word_end(const char *p, const char *end, bool only_first)
{
    enum {
        BOTH = 1 << KIND_LETTER | 1 << KIND_MARK,
        FIRST = BOTH | 1 << KIND_UPPER,
        SECOND = BOTH | 1 << KIND_LOWER,
    };
    const char *at = p, *after_both = NULL;
    size_t len;
    while (at < end) {
        unsigned char c = (unsigned char)*at;
        if ((unsigned char)(c - 'a') < 26)
            return run_end(at, end, SECOND);
        uint32_t bit = kind_bit(at, end, &len);
        if (!(bit & FIRST)) {
            if (bit & SECOND)
                return run_end(at, end, SECOND);
            break;
        }
        at += len;
        if (bit & BOTH)
            after_both = at;
    }
    if (after_both)
        return after_both;
    return at == p || only_first ? NULL : at;
}

static const char *next_o200k(const char *p, const char *end)
{
    size_t len;
    uint32_t bit = kind_bit(p, end, &len);
    const char *word = NULL;
    if (bit & (KINDS_L | 1 << KIND_MARK)) {
        /* A mark may also be the optional sign in front: that is tried first. */
        if (bit & 1 << KIND_MARK && p + len < end)
            word = case_word_end(p + len, end, true);
        if (!word)
            word = case_word_end(p, end, false);
    } else if (!(bit & (KINDS_NL | KINDS_N)) && p + len < end) {
        word = case_word_end(p + len, end, false);
    }
    if (word) {
        const char *contraction =
            word < end && *word == '\'' ? contraction_end(word, end, true) : NULL;
        return contraction ? contraction : word;
    }
    if (bit & KINDS_N)
        return digits_end(p, end, 3);
    const char *sign = p + (*p == ' ' && p + 1 < end);
    if (kind_bit(sign, end, &len) & KINDS_SIGN) {
        for (p = run_end(sign, end, KINDS_SIGN);
             p < end && (*p == '\r' || *p == '\n' || *p == '/');)
            p++;
        return p;
    }
    return space_end(p, end, NEWLINES);
}

static bool is_ascii_sign(char c)
{
    return (c >= '!' && c <= '/') || (c >= ':' && c <= '@') || (c >= '[' && c <= '`') ||
           (c >= '{' && c <= '~');
}

static bool is_ascii_letter(char c) { return (unsigned char)((c | 32) - 'a') < 26; }

/* The first two splits of deepseek make segments: up to three numbers; a run of Han and kana;
 * everything else. The third runs inside each, so what it sees ends with the segment. */
static uint32_t segment_bit(const char *p, const char *end, uint8_t segment, size_t *len)
{
    uint8_t flags = kind_flags(p, end, len);
    uint32_t bit = KIND_BIT(flags & 15);
    return (flags & KIND_HAN_KANA) == segment && !(bit & KINDS_N) ? bit : 0;
}

static const char *segment_run(const char *p, const char *end, uint8_t segment, uint32_t kinds)
{
    size_t len;
    while (p < end && segment_bit(p, end, segment, &len) & kinds)
        p += len;
    return p;
}

/* The third split at p, a character of the segment; NULL: no alternative matches there. */
static const char *deepseek_third(const char *p, const char *end, uint8_t segment)
{
    size_t len;
    uint32_t bit = segment_bit(p, end, segment, &len);
    if (is_ascii_sign(*p) && p + 1 < end && is_ascii_letter(p[1])) {
        for (p++; p < end && is_ascii_letter(*p);)
            p++;
        return p;
    }
    if (bit & KINDS_LM)
        return segment_run(p, end, segment, KINDS_LM);
    if (!(bit & (KINDS_NL | KINDS_PS))) {
        const char *word = segment_run(p + len, end, segment, KINDS_LM);
        if (word > p + len)
            return word;
    }
    const char *sign = segment_run(p + (*p == ' '), end, segment, KINDS_PS);
    if (sign > p + (*p == ' '))
        return segment_run(sign, end, segment, KINDS_NL);
    return bit & KINDS_S ? space_end(p, end, NEWLINES | STOP_HAN_NUMBER) : NULL;
}

static const char *next_deepseek3(const char *p, const char *end)
{
    size_t len;
    uint8_t flags = kind_flags(p, end, &len), segment = flags & KIND_HAN_KANA;
    if (KIND_BIT(flags & 15) & KINDS_N)
        return digits_end(p, end, 3);
    const char *match = deepseek_third(p, end, segment);
    /* What nothing matches stays together up to where something does, or the segment ends. */
    while (!match) {
        p += len;
        if (p == end || !segment_bit(p, end, segment, &len) || deepseek_third(p, end, segment))
            return p;
    }
    return match;
}

size_t pretok_next(enum pretok p, struct str text, size_t pos)
{
    const char *at = text.ptr + pos, *end = text.ptr + text.len, *next = NULL;
    switch (p) {
    case PRETOK_GPT2: next = next_gpt2(at, end); break;
    case PRETOK_CL100K: next = next_cl100k(at, end, 3, 0); break;
    case PRETOK_CL100K_TT: next = next_cl100k(at, end, 3, JOIN_END); break;
    case PRETOK_QWEN2: next = next_cl100k(at, end, 1, 0); break;
    case PRETOK_O200K: next = next_o200k(at, end); break;
    case PRETOK_DEEPSEEK3: next = next_deepseek3(at, end); break;
    case PRETOK_COUNT: break;
    }
    return (size_t)(next - text.ptr);
}

/* pretok - splits text into the pieces that BPE merges inside, by hand and without a regex engine.
 *
 * The splits are those of these patterns (as Hugging Face runs them; \s is Unicode White_Space):
 *   gpt2    's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
 *   cl100k  (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|
 * ?[^\s\p{L}\p{N}]+[\r\n]*
 *           |\s*[\r\n]+|\s+(?!\S)|\s+
 * tiktoken's own cl100k has \s++$ in front of the last three, which joins white space at the end of
 * the text across newlines. cl100k's vocabulary has no token that could tell the difference; a
 * vocabulary trained here is trained with the form above, the one that tokenizer.json can express.
 * Every byte that is not valid UTF-8 is a character of class "other". */
#include "core/unicode.h"
#include "tokenize/bpe.h"

enum kind { KIND_OTHER, KIND_LETTER, KIND_NUMBER, KIND_SPACE, KIND_NEWLINE };

static const char *const names[PRETOK_COUNT] = {"gpt2", "cl100k"};

const char *pretok_name(enum pretok p) { return names[p]; }

int pretok_find(const char *name)
{
    for (int i = 0; i < PRETOK_COUNT; i++)
        if (strcmp(names[i], name) == 0)
            return i;
    return -1;
}

static enum kind kind_of_ascii(unsigned char c)
{
    if ((unsigned char)((c | 32) - 'a') < 26)
        return KIND_LETTER;
    if ((unsigned char)(c - '0') < 10)
        return KIND_NUMBER;
    if (c == '\n' || c == '\r')
        return KIND_NEWLINE;
    return c == ' ' || (c >= 9 && c <= 12) ? KIND_SPACE : KIND_OTHER;
}

/* Kind of the character at pos (pos < text.len); *len its bytes. */
static enum kind kind_at(struct str text, size_t pos, size_t *len)
{
    unsigned char c = (unsigned char)text.ptr[pos];
    *len = 1;
    if (c < 0x80)
        return kind_of_ascii(c);
    uint32_t cp;
    *len = (size_t)utf8_decode(text.ptr + pos, text.ptr + text.len, &cp);
    switch (uc_class(cp)) {
    case UC_UPPER:
    case UC_LOWER:
    case UC_LETTER: return KIND_LETTER;
    case UC_NUMBER: return KIND_NUMBER;
    case UC_SPACE: return KIND_SPACE;
    default: return KIND_OTHER;
    }
}

/* End of the run of one kind that starts at pos; at most max characters. */
static size_t run_end(struct str text, size_t pos, enum kind kind, size_t max)
{
    size_t len;
    for (; pos < text.len && max; max--) {
        if (kind == KIND_LETTER)
            while (pos < text.len && (unsigned char)((text.ptr[pos] | 32) - 'a') < 26)
                pos++;
        if (pos == text.len || kind_at(text, pos, &len) != kind)
            break;
        pos += len;
    }
    return pos;
}

static char lower_at(struct str text, size_t pos, bool any_case)
{
    char c = pos < text.len ? text.ptr[pos] : 0;
    return any_case && c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}

/* Bytes of a contraction at the apostrophe at pos, 0: none. U+017F folds to s. */
static size_t contraction(struct str text, size_t pos, bool any_case)
{
    char a = lower_at(text, pos + 1, any_case), b = lower_at(text, pos + 2, any_case);
    if (a == 's' || a == 't' || a == 'm' || a == 'd')
        return 2;
    if ((a == 'r' && b == 'e') || (a == 'v' && b == 'e') || (a == 'l' && b == 'l'))
        return 3;
    if (any_case && a == '\xC5' && b == '\xBF')
        return 3;
    return 0;
}

/* White space from pos on: with newlines (where they count) up to the last one; else, before a
 * character, all but the last blank, which goes with what follows. */
static size_t space_end(struct str text, size_t pos, bool newlines)
{
    size_t at = pos, len, last = pos, after_newline = 0;
    while (at < text.len) {
        enum kind kind = kind_at(text, at, &len);
        if (kind != KIND_SPACE && kind != KIND_NEWLINE)
            break;
        last = at;
        at += len;
        if (kind == KIND_NEWLINE)
            after_newline = at;
    }
    if (newlines && after_newline)
        return after_newline;
    return at == text.len || last == pos ? at : last;
}

static size_t next_cl100k(struct str text, size_t pos)
{
    size_t len, next_len = 0;
    enum kind kind = kind_at(text, pos, &len), next = KIND_OTHER;
    if (text.ptr[pos] == '\'' && contraction(text, pos, true))
        return pos + contraction(text, pos, true);
    if (kind == KIND_LETTER)
        return run_end(text, pos, KIND_LETTER, SIZE_MAX);
    bool more = pos + len < text.len;
    if (more)
        next = kind_at(text, pos + len, &next_len);
    if (kind != KIND_NEWLINE && kind != KIND_NUMBER && more && next == KIND_LETTER)
        return run_end(text, pos + len, KIND_LETTER, SIZE_MAX);
    if (kind == KIND_NUMBER)
        return run_end(text, pos, KIND_NUMBER, 3);
    if (kind == KIND_OTHER || (text.ptr[pos] == ' ' && more && next == KIND_OTHER)) {
        size_t end = run_end(text, pos + (kind == KIND_OTHER ? 0 : 1), KIND_OTHER, SIZE_MAX);
        return run_end(text, end, KIND_NEWLINE, SIZE_MAX);
    }
    return space_end(text, pos, true);
}

static size_t next_gpt2(struct str text, size_t pos)
{
    size_t len, start = pos;
    enum kind kind = kind_at(text, pos, &len);
    if (text.ptr[pos] == '\'' && contraction(text, pos, false))
        return pos + contraction(text, pos, false);
    if (text.ptr[pos] == ' ' && pos + 1 < text.len) {
        enum kind next = kind_at(text, pos + 1, &len);
        if (next != KIND_SPACE && next != KIND_NEWLINE) {
            start = pos + 1;
            kind = next;
        }
    }
    if (kind == KIND_SPACE || kind == KIND_NEWLINE)
        return space_end(text, pos, false);
    return run_end(text, start, kind, SIZE_MAX);
}

size_t pretok_next(enum pretok p, struct str text, size_t pos)
{
    return p == PRETOK_GPT2 ? next_gpt2(text, pos) : next_cl100k(text, pos);
}

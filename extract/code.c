/* code - what the markup around code says: its language, and the columns that are no code. */
#include "extract/printing.h"

static bool is_word(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '+' ||
           c == '#' || c == '-' || c == '_' || c == '.' || (unsigned char)c >= 0x80;
}

static struct str next_word(struct str *rest)
{
    size_t from = 0, to;
    while (from < rest->len && !is_word(rest->ptr[from]))
        from++;
    to = from;
    while (to < rest->len && is_word(rest->ptr[to]))
        to++;
    struct str word = str_slice(*rest, from, to);
    *rest = str_slice(*rest, to, rest->len);
    return word;
}

struct str code_language(struct str classes)
{
    static const char *const heads[] = {"language-",   "lang-", "highlight-source-", "brush-",
                                        "sourceCode-", "src-",  "highlight-text-"};
    static const char *const none[] = {"none",        "plain",   "plaintext", "text",  "txt",
                                       "nohighlight", "default", "unknown",   "output"};
    struct str rest = classes, word;
    bool brush = false;
    while ((word = next_word(&rest)).len) {
        struct str found = brush ? word : (struct str){0};
        for (size_t i = 0; i < COUNT_OF(heads) && !found.len; i++)
            if (str_starts_nocase(word, heads[i]))
                found = str_slice(word, strlen(heads[i]), word.len);
        brush = str_eq_nocase(word, STR("brush")) || str_eq_nocase(word, STR("sourceCode")) ||
                str_eq_nocase(word, STR("src"));
        for (size_t i = 0; i < COUNT_OF(none); i++)
            if (str_eq_nocase(found, str_of(none[i])))
                found = (struct str){0};
        if (found.len && found.len <= 20)
            return found;
    }
    return (struct str){0};
}

bool code_is_gutter(struct str classes)
{
    static const char *const words[] = {
        "linenos",
        "lineno",
        "linenumber",
        "linenumbers",
        "line-number",
        "line-numbers",
        "gutter",
        "blob-num",
        "hljs-ln-numbers",
        "hljs-ln-n",
        "rouge-gutter",
        "lntd-num",
        "lnt",
        "ln",
        "line-numbers-rows",
        "react-code-line-number",
        "code-line-number",
        "line_numbers",
        "crayon-num",
        "crayon-nums",
        "lineno-col",
        "linenodiv",
        "LineNumbers",
        "syntaxhighlighter-gutter",
    };
    struct str rest = classes, word;
    while ((word = next_word(&rest)).len)
        for (size_t i = 0; i < COUNT_OF(words); i++)
            if (str_eq_nocase(word, str_of(words[i])))
                return true;
    return false;
}

bool code_is_numbers(struct str text)
{
    uint64_t before = 0, value, lines = 0;
    for (struct str rest = text; rest.ptr;) {
        struct str line = str_trim(str_cut(rest, '\n', &rest));
        if (line.len == 0)
            continue;
        if (!str_u64(line, &value) || (lines > 0 && value != before + 1))
            return false;
        before = value;
        lines++;
    }
    return lines >= 3;
}

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
    struct str rest = str_trim(classes), word;
    bool brush = false, sphinx = str_starts(rest, "highlight-");
    if (sphinx) { /* "highlight-python notranslate", and nothing else */
        word = next_word(&rest);
        struct str more = str_trim(rest), found = str_slice(word, 10, word.len);
        if ((more.len == 0 || str_is(more, "notranslate")) && !str_starts(found, "source-") &&
            !str_starts(found, "text-") && !str_is(found, "default") && !str_is(found, "none") &&
            found.len <= 20)
            return found;
        rest = str_trim(classes);
    }
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

uint8_t class_flags(struct str classes)
{
#define WORD(text, flag)                                                                           \
    {                                                                                              \
        text, sizeof text - 1, flag                                                                \
    }
    static const struct {
        const char *word;
        size_t len;
        uint8_t flag;
    } words[] = {
        WORD("linenos", CLASS_GUTTER),
        WORD("lineno", CLASS_GUTTER),
        WORD("linenumber", CLASS_GUTTER),
        WORD("linenumbers", CLASS_GUTTER),
        WORD("line-number", CLASS_GUTTER),
        WORD("line-numbers-rows", CLASS_GUTTER),
        WORD("gutter", CLASS_GUTTER),
        WORD("blob-num", CLASS_GUTTER),
        WORD("hljs-ln-numbers", CLASS_GUTTER),
        WORD("hljs-ln-n", CLASS_GUTTER),
        WORD("rouge-gutter", CLASS_GUTTER),
        WORD("lnt", CLASS_GUTTER),
        WORD("ln", CLASS_GUTTER),
        WORD("code-line-number", CLASS_GUTTER),
        WORD("line_numbers", CLASS_GUTTER),
        WORD("crayon-num", CLASS_GUTTER),
        WORD("linenodiv", CLASS_GUTTER),
        WORD("katex-html", CLASS_RENDERED),
        WORD("MathJax_Preview", CLASS_RENDERED),
        WORD("MathJax", CLASS_RENDERED),
        WORD("MathJax_Display", CLASS_RENDERED),
        WORD("MathJax_SVG", CLASS_RENDERED),
        WORD("MathJax_SVG_Display", CLASS_RENDERED),
        WORD("MathJax_CHTML", CLASS_RENDERED),
        WORD("mjx-chtml", CLASS_RENDERED),
        WORD("MJX-TEX", CLASS_RENDERED),
        WORD("mw-editsection", CLASS_RENDERED),
        WORD("mwe-math-mathml-inline", CLASS_SHOWN),
        WORD("mwe-math-mathml-display", CLASS_SHOWN),
        WORD("crayon-nums", CLASS_RENDERED),
        WORD("crayon-pre", CLASS_LINES),
        WORD("js-file-line-container", CLASS_LINES),
        WORD("tex", CLASS_TEX),
        WORD("latex", CLASS_TEX),
    };
#undef WORD
    uint8_t flags = 0;
    struct str rest = classes, word;
    while ((word = next_word(&rest)).len)
        for (size_t i = 0; i < COUNT_OF(words); i++)
            if (words[i].len == word.len && *words[i].word == *word.ptr &&
                memcmp(words[i].word, word.ptr, word.len) == 0)
                flags |= words[i].flag;
    return flags;
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

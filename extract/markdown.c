/* markdown - a block's text with what Markdown would misread escaped, or as plain text. */
/* As little as possible is escaped: a corpus full of backslashes teaches backslashes. What decides
 * is CommonMark 0.31: a sign is escaped only where it would mean something. */
#include "extract/printing.h"

static bool is_alnum(unsigned char c)
{
    return (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z') || c >= 0x80;
}
static bool is_punct(unsigned char c) { return c > ' ' && c < 0x7F && !is_alnum(c); }
static bool is_blank(unsigned char c) { return c == ' ' || c == '\t' || c == '\n' || c == 0; }

/* A text being copied: the sign at `at`, and its neighbours (0 beyond the ends). */
struct copy {
    const char *text;
    size_t len, at, line;
};

static unsigned char char_at(const struct copy *c, size_t at)
{
    return at < c->len ? (unsigned char)c->text[at] : 0;
}

/* "&amp;", "&#38;": would be decoded. */
static bool is_entity(const struct copy *c)
{
    size_t i = c->at + 1;
    i += char_at(c, i) == '#';
    size_t start = i;
    while (i < c->at + 34 && is_alnum(char_at(c, i)) && char_at(c, i) < 0x80)
        i++;
    return i > start && char_at(c, i) == ';';
}

/* A line of one sign only, as under headings and between sections. */
static bool is_rule(const struct copy *c)
{
    char sign = c->text[c->at];
    size_t i = c->at;
    while (char_at(c, i) == (unsigned char)sign || char_at(c, i) == ' ')
        i++;
    return i >= c->len || c->text[i] == '\n';
}

static bool needs_at_line_start(const struct copy *c)
{
    size_t i = c->at;
    unsigned char sign = char_at(c, i);
    switch (sign) {
    case '#':
        while (char_at(c, i) == '#')
            i++;
        return is_blank(char_at(c, i)) && i - c->at <= 6;
    case '>': return true;
    case '+': return is_blank(char_at(c, i + 1));
    case '-': return is_blank(char_at(c, i + 1)) || is_rule(c);
    case '=': return is_rule(c);
    default: return false;
    }
}

/* "12." or "12)" at the start of a line would begin a list: the sign behind the number. */
static bool is_list_number(const struct copy *c)
{
    size_t i = c->line;
    while (i < c->at && char_at(c, i) >= '0' && char_at(c, i) <= '9')
        i++;
    return i == c->at && i > c->line && i - c->line <= 9 && is_blank(char_at(c, i + 1));
}

static bool needs_escape(const struct copy *c, bool in_table)
{
    unsigned char before = c->at > c->line ? char_at(c, c->at - 1) : 0,
                  next = char_at(c, c->at + 1);
    if (c->at == c->line && needs_at_line_start(c))
        return true;
    switch (c->text[c->at]) {
    case '\\': return is_punct(next);
    case '`': return true;
    case '*': return !(is_blank(before) && is_blank(next)) || c->at == c->line;
    case '_': return !(is_alnum(before) && is_alnum(next)) && !(is_blank(before) && is_blank(next));
    case ']': return next == '(' || next == '[' || next == ':';
    case '<': return (is_alnum(next) && next < 0x80) || next == '/' || next == '!' || next == '?';
    case '&': return is_entity(c);
    case '~': return next == '~' || before == '~';
    case '|': return in_table;
    case '.':
    case ')': return is_list_number(c);
    default: return false;
    }
}

static void put_line_end(struct printer *to, const struct inline_conf *conf)
{
    if (conf->one_line) {
        out_text(&to->out, conf->in_table ? "<br>" : " ");
        return;
    }
    out_text(&to->out, to->markdown ? "  \n" : "\n"); /* two blanks keep the line end */
    out_put(&to->out, conf->prefix.ptr, conf->prefix.len);
}

void print_inline(struct printer *to, const struct block *b, const struct inline_conf *conf)
{
    struct str text = block_text(to->p, b);
    struct copy c = {text.ptr, text.len, 0, 0};
    size_t copied = 0;
    for (; c.at < c.len; c.at++) {
        char sign = c.text[c.at];
        if (sign == '\n') { /* empty lines mean nothing outside code */
            out_put(&to->out, c.text + copied, c.at - copied);
            while (char_at(&c, c.at + 1) == '\n')
                c.at++;
            put_line_end(to, conf);
            copied = c.line = c.at + 1;
        } else if (sign == '\t' || (to->markdown && is_punct((unsigned char)sign) &&
                                    needs_escape(&c, conf->in_table))) {
            out_put(&to->out, c.text + copied, c.at - copied);
            out_text(&to->out, sign == '\t' ? " " : "\\");
            copied = c.at + (sign == '\t');
        }
    }
    out_put(&to->out, c.text + copied, c.len - copied);
}

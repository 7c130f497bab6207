/* markdown - a block's text with what Markdown would misread escaped, or as plain text. */
/* As little as possible is escaped: a corpus full of backslashes teaches backslashes. What decides
 * is CommonMark 0.31: a sign is escaped only where it would mean something. */
#include "extract/printing.h"

#include <stdio.h>

enum {
    SPANS_MAX = 256, /* formats followed in one block; further ones stay plain */
    SPANS_OPEN = 8,
    ADDRESS_MAX = 2048, /* bytes; a longer address is left out */
};

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
    bool inside; /* something stands before it on its line: a heading's or a table's sign */
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
    return !c->inside && i == c->at && i > c->line && i - c->line <= 9 &&
           is_blank(char_at(c, i + 1));
}

static bool needs_escape(const struct copy *c, bool in_table)
{
    unsigned char before = c->at > c->line ? char_at(c, c->at - 1) : 0,
                  next = char_at(c, c->at + 1);
    bool starts = c->at == c->line && !c->inside;
    if (starts && needs_at_line_start(c))
        return true;
    switch (c->text[c->at]) {
    case '\\': return is_punct(next);
    case '`': return true;
    case '*': return !(is_blank(before) && is_blank(next)) || starts;
    case '_': return !(is_alnum(before) && is_alnum(next)) && !(is_blank(before) && is_blank(next));
    case ']': return next == '(' || next == '[' || next == ':';
    case '<':
        return ((next | 32) >= 'a' && (next | 32) <= 'z') || next == '/' || next == '!' ||
               next == '?';
    case '&': return is_entity(c);
    case '~': return next == '~' || before == '~';
    case '|': return in_table;
    case '.':
    case ')': return is_list_number(c);
    default: return false;
    }
}

/* The block's text without the sign of a link to itself behind it ("Use¶"). */
static struct str print_text(const struct page *p, const struct block *b)
{
    static const char *const signs[] = {"\xC2\xB6", "\xF0\x9F\x94\x97", "\xC2\xA7", "#"};
    struct str text = block_text(p, b);
    for (size_t i = 0; i < COUNT_OF(signs) && b->place_chars > 0; i++)
        if (str_ends(text, signs[i]) && text.len > strlen(signs[i]) && (i == 0 || b->level))
            return str_trim(str_slice(text, 0, text.len - strlen(signs[i])));
    return text;
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

/* ---- emphasis, code, links ---- */
/* What a format is in Markdown; NULL for those that have no sign. */
static const char *sign_of(uint8_t tag)
{
    switch ((GumboTag)tag) {
    case GUMBO_TAG_B:
    case GUMBO_TAG_STRONG: return "**";
    case GUMBO_TAG_I:
    case GUMBO_TAG_EM: return "*";
    case GUMBO_TAG_DEL:
    case GUMBO_TAG_S:
    case GUMBO_TAG_STRIKE: return "~~";
    case GUMBO_TAG_CODE:
    case GUMBO_TAG_TT:
    case GUMBO_TAG_KBD:
    case GUMBO_TAG_SAMP: return "`";
    case GUMBO_TAG_SUB: return "<sub>";
    case GUMBO_TAG_SUP: return "<sup>";
    case GUMBO_TAG_A: return "[";
    case GUMBO_TAG_IMG: return "!";
    case GUMBO_TAG_MATH: return "$";
    default: return NULL;
    }
}

static bool is_emphasis(const char *sign) { return *sign == '*' || *sign == '~'; }

/* What would end a link's address, or the text of a picture, becomes percent signs or blanks; what
 * nobody sees goes. Returns the length. */
static size_t put_character(char *to, uint32_t cp, bool address)
{
    bool odd =
        cp <= ' ' || cp == 0x7F || (address && cp < 0x80 && strchr("()<>\\\"", (int)cp) != NULL);
    bool hidden = (cp >= 0x80 && cp < 0xA0) || (cp >= 0x200B && cp <= 0x200F) ||
                  (cp >= 0x202A && cp <= 0x202E);
    if (odd && address)
        return (size_t)snprintf(to, 4, "%%%02X", (unsigned)(cp & 0x7F));
    if (odd || (!address && (cp == '[' || cp == ']')))
        return (size_t)utf8_encode(' ', to);
    return hidden ? 0 : (size_t)utf8_encode(cp, to);
}

/* An attribute's value, decoded, in at most ADDRESS_MAX * 4 bytes. */
static struct str decode(struct str value, char *to, bool address)
{
    size_t len = 0;
    value = str_trim(value);
    if (value.len > ADDRESS_MAX)
        return (struct str){to, 0};
    for (const char *p = value.ptr, *stop = p + value.len; p < stop;) {
        uint32_t cp[2] = {0, 0};
        size_t step = *p == '&' ? entity_read(p, stop, true, cp) : 0;
        p += step ? step : (size_t)utf8_decode(p, stop, cp);
        len += put_character(to + len, cp[0], address);
        if (cp[1])
            len += put_character(to + len, cp[1], address);
    }
    return (struct str){to, len};
}

/* href or src of the tag at `at`, absolute where the page's own address is known. */
static void put_address(struct printer *to, uint32_t at, const char *name)
{
    char buffer[ADDRESS_MAX * 4];
    struct str address = decode(tag_attribute(to->p, at, name), buffer, true);
    size_t hash = str_find_char(address, '#'), mark = arena_mark(to->scratch);
    struct str whole = {0};
    if (to->url.len && address.len && hash != 0)
        whole = link_resolve(to->scratch, to->url, address);
    out_put(&to->out, whole.len ? whole.ptr : address.ptr, whole.len ? whole.len : address.len);
    if (whole.len && hash != SIZE_MAX)
        out_put(&to->out, address.ptr + hash, address.len - hash);
    arena_reset(to->scratch, mark);
}

static void put_alternative(struct printer *to, uint32_t at)
{
    char buffer[ADDRESS_MAX * 4];
    struct str text = decode(tag_attribute(to->p, at, "alt"), buffer, false);
    out_put(&to->out, text.ptr, text.len);
}

/* CommonMark's flanking rules: a sign between a letter and punctuation does not open (or close). */
static bool flanks(unsigned char outside, unsigned char inside)
{
    return !is_blank(inside) && (!is_punct(inside) || is_blank(outside) || is_punct(outside));
}

/* Formats that cover part of the block, the outer ones first where several begin. */
struct spans {
    const struct format *span[SPANS_MAX];
    uint32_t count, next;
};

static bool wanted(const struct printer *to, const struct format *f)
{
    bool link = f->tag == GUMBO_TAG_A, image = f->tag == GUMBO_TAG_IMG;
    return sign_of(f->tag) && (to->links || !link) && (to->images || !image);
}

/* They stand in the page by their ends: the block's are those that end inside it. */
static void find_spans(struct printer *to, const struct block *b, size_t len, struct spans *s)
{
    const struct page *p = to->p;
    *s = (struct spans){.count = 0};
    for (uint32_t i = formats_from(p, b->start);
         i < p->format_count && p->format[i].end <= b->start + len; i++) {
        const struct format *f = &p->format[i];
        if (f->start < b->start || !wanted(to, f) || s->count == SPANS_MAX)
            continue;
        uint32_t at = s->count++;
        for (; at > 0 && s->span[at - 1]->start >= f->start; at--)
            s->span[at] = s->span[at - 1];
        s->span[at] = f;
    }
}

/* ---- one block ---- */
struct open_span {
    const struct format *format;
    size_t end;
    bool silent;
};
struct inliner {
    struct printer *to;
    const struct inline_conf *conf;
    const struct block *block;
    struct copy c;
    size_t copied;
    struct spans spans;
    struct open_span open[SPANS_OPEN];
    uint32_t open_count;
    uint32_t verbatim; /* open spans in which nothing is escaped */
};

static void copy_up_to(struct inliner *in, size_t at)
{
    if (at > in->copied)
        out_put(&in->to->out, in->c.text + in->copied, at - in->copied);
    in->copied = at;
}

static void put_code_sign(struct inliner *in, const struct format *f, bool opens)
{
    struct str code = {in->to->p->text + f->start, f->end - f->start};
    size_t run = 0, longest = 0;
    for (size_t i = 0; i < code.len; i++) {
        run = code.ptr[i] == '`' ? run + 1 : 0;
        longest = run > longest ? run : longest;
    }
    if (longest && !opens)
        out_text(&in->to->out, " ");
    for (size_t i = 0; i <= longest; i++)
        out_text(&in->to->out, "`");
    if (longest && opens)
        out_text(&in->to->out, " ");
}

static void close_span(struct inliner *in)
{
    struct open_span *top = &in->open[--in->open_count];
    const char *sign = sign_of(top->format->tag);
    bool code = *sign == '`', math = *sign == '$';
    in->verbatim -= code || math;
    if (top->silent || math)
        return;
    if (code) {
        put_code_sign(in, top->format, false);
    } else if (*sign == '[') {
        out_text(&in->to->out, "](");
        put_address(in->to, top->format->at, "href");
        out_text(&in->to->out, ")");
    } else if (*sign == '<') {
        out_text(&in->to->out, sign[3] == 'b' ? "</sub>" : "</sup>");
    } else {
        out_text(&in->to->out, sign);
    }
}

/* Closes what ends at or before the place, inner ones first. */
static void close_spans(struct inliner *in, size_t at)
{
    while (in->open_count > 0 && in->open[in->open_count - 1].end <= at) {
        copy_up_to(in, in->open[in->open_count - 1].end);
        close_span(in);
    }
}

static void put_image(struct inliner *in, const struct format *f, size_t at)
{
    bool first = at == in->c.line, blank = at > 0 && is_blank(char_at(&in->c, at - 1));
    out_text(&in->to->out, first || blank ? "![" : " ![");
    put_alternative(in->to, f->at);
    out_text(&in->to->out, "](");
    put_address(in->to, f->at, "src");
    out_text(&in->to->out, is_blank(char_at(&in->c, at)) ? ")" : ") ");
}

static void open_span(struct inliner *in, const struct format *f, size_t start, size_t end)
{
    const char *sign = sign_of(f->tag);
    bool inside = in->open_count > 0 && in->open[in->open_count - 1].end < end;
    if (in->open_count == SPANS_OPEN || inside || in->verbatim)
        return; /* crossing ones cannot be told in Markdown */
    struct open_span *o = &in->open[in->open_count++];
    *o = (struct open_span){f, end, false};
    bool code = *sign == '`', math = *sign == '$';
    in->verbatim += code || math;
    unsigned char before = start ? char_at(&in->c, start - 1) : 0;
    if (is_emphasis(sign))
        o->silent = in->block->level > 0 || !flanks(before, char_at(&in->c, start)) ||
                    !flanks(char_at(&in->c, end), char_at(&in->c, end - 1));
    for (uint32_t i = 0; i + 1 < in->open_count && !o->silent; i++)
        o->silent = !in->open[i].silent && strcmp(sign_of(in->open[i].format->tag), sign) == 0;
    if (memchr(in->c.text + start, '\n', end - start))
        o->silent |= code; /* a code span does not keep line ends */
    in->verbatim -= o->silent && code;
    if (o->silent && code)
        in->open_count--;
    else if (code)
        put_code_sign(in, f, true);
    else if (!o->silent && !math)
        out_text(&in->to->out, sign);
}

/* Opens what begins at the place. Blanks at the ends of a format stand outside its signs. */
static void open_spans(struct inliner *in, size_t at)
{
    struct spans *s = &in->spans;
    for (; s->next < s->count; s->next++) {
        const struct format *f = s->span[s->next];
        size_t start = f->start - in->block->start, end = f->end - in->block->start;
        end = end > in->c.len ? in->c.len : end;
        while (start < end && is_blank(char_at(&in->c, start)))
            start++;
        while (end > start && is_blank(char_at(&in->c, end - 1)))
            end--;
        if (start > at)
            return;
        if (f->tag == GUMBO_TAG_IMG) {
            copy_up_to(in, at);
            if (!in->verbatim)
                put_image(in, f, at);
        } else if (start == at && start < end) {
            copy_up_to(in, at);
            open_span(in, f, start, end);
        }
    }
}

static void print_marked(struct printer *to, const struct block *b, const struct inline_conf *conf)
{
    struct str text = print_text(to->p, b);
    struct inliner in = {.to = to,
                         .conf = conf,
                         .block = b,
                         .c = {text.ptr, text.len, 0, 0, conf->in_table || b->level > 0}};
    struct copy *c = &in.c;
    find_spans(to, b, text.len, &in.spans);
    for (; c->at < c->len; c->at++) {
        char sign = c->text[c->at];
        close_spans(&in, c->at);
        open_spans(&in, c->at);
        if (sign == '\n') { /* empty lines mean nothing outside code */
            copy_up_to(&in, c->at);
            while (char_at(c, c->at + 1) == '\n')
                c->at++;
            put_line_end(to, conf);
            in.copied = c->line = c->at + 1;
        } else if (is_punct((unsigned char)sign) &&
                   (in.verbatim ? sign == '|' && conf->in_table
                                : needs_escape(c, conf->in_table))) {
            copy_up_to(&in, c->at);
            out_text(&to->out, "\\");
        }
    }
    close_spans(&in, c->len);
    open_spans(&in, c->len); /* pictures at the end */
    copy_up_to(&in, c->len);
}

static void print_plain(struct printer *to, const struct block *b, const struct inline_conf *conf)
{
    struct str text = print_text(to->p, b);
    size_t copied = 0;
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] != '\n' && text.ptr[i] != '\t')
            continue;
        out_put(&to->out, text.ptr + copied, i - copied);
        while (text.ptr[i] == '\n' && i + 1 < text.len && text.ptr[i + 1] == '\n')
            i++;
        if (text.ptr[i] == '\n')
            put_line_end(to, conf);
        else
            out_text(&to->out, " ");
        copied = i + 1;
    }
    out_put(&to->out, text.ptr + copied, text.len - copied);
}

void print_inline(struct printer *to, const struct block *b, const struct inline_conf *conf)
{
    if (to->markdown)
        print_marked(to, b, conf);
    else
        print_plain(to, b, conf);
}

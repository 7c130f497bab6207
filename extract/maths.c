/* maths - formulas as text: TeX where the page carries it, else MathML in one line. */
/* The linear form is written while the tags are read. What a parent adds to a child (a sign before
 * it, brackets around more than one symbol) is known when the child ends, so brackets are put in by
 * moving it one byte: at most DEPTH_MAX times for any byte. */
#include "extract/maths.h"

#include "extract/parts.h"

enum { DEPTH_MAX = 48 };
enum kind {
    KIND_ROW,
    KIND_LEAF,
    KIND_FRACTION,
    KIND_SUP,
    KIND_SUB,
    KIND_SUBSUP,
    KIND_SQRT,
    KIND_ROOT,
    KIND_TABLE,
    KIND_TABLE_ROW,
    KIND_FENCED,
    KIND_SKIP,
};
static const struct {
    const char *name;
    enum kind kind;
} kinds[] = {
    {"mi", KIND_LEAF},
    {"mn", KIND_LEAF},
    {"mo", KIND_LEAF},
    {"mtext", KIND_LEAF},
    {"ms", KIND_LEAF},
    {"mfrac", KIND_FRACTION},
    {"msup", KIND_SUP},
    {"mover", KIND_SUP},
    {"msub", KIND_SUB},
    {"munder", KIND_SUB},
    {"msubsup", KIND_SUBSUP},
    {"munderover", KIND_SUBSUP},
    {"msqrt", KIND_SQRT},
    {"mroot", KIND_ROOT},
    {"mtable", KIND_TABLE},
    {"mtr", KIND_TABLE_ROW},
    {"mlabeledtr", KIND_TABLE_ROW},
    {"mfenced", KIND_FENCED},
    {"mphantom", KIND_SKIP},
    {"annotation", KIND_SKIP},
    {"annotation-xml", KIND_SKIP},
    {"maligngroup", KIND_SKIP},
    {"malignmark", KIND_SKIP},
};

struct frame {
    enum kind kind;
    struct str name;
    size_t start;     /* where this element's text starts in out */
    size_t child;     /* where its current child's does */
    size_t first_end; /* of a root: the end of its first child */
    uint32_t children, symbols, child_symbols;
    bool operator_; /* mo */
};
struct writer {
    char *out;
    size_t len, room;
    struct frame frame[DEPTH_MAX];
    uint32_t depth;
    uint32_t deeper; /* open elements beyond DEPTH_MAX: rows */
    uint32_t skip;   /* open elements whose text is not wanted */
    bool apart;      /* behind a script, a fraction or a word: letters would join it */
};

static void put(struct writer *w, const char *bytes, size_t len)
{
    if (w->room - w->len < len)
        return;
    memcpy(w->out + w->len, bytes, len);
    w->len += len;
    w->apart &= len == 0;
}
static void put_text(struct writer *w, const char *text) { put(w, text, strlen(text)); }

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f';
}

static struct frame *top(struct writer *w) { return &w->frame[w->depth - 1]; }

/* ---- brackets and signs ---- */
/* Whether out[from, len) is one bracketed whole. */
static bool is_bracketed(const struct writer *w, size_t from)
{
    int open = 0;
    if (w->len - from < 2 || w->out[from] != '(' || w->out[w->len - 1] != ')')
        return false;
    for (size_t i = from; i < w->len; i++) {
        open += w->out[i] == '(';
        open -= w->out[i] == ')';
        if (open == 0 && i + 1 < w->len)
            return false;
    }
    return open == 0;
}

static void bracket(struct writer *w, size_t from)
{
    if (w->room - w->len < 2 || is_bracketed(w, from))
        return;
    memmove(w->out + from + 1, w->out + from, w->len - from);
    w->out[from] = '(';
    w->len++;
    put(w, ")", 1);
}

static void trim_blanks(struct writer *w, size_t from)
{
    while (w->len > from && w->out[w->len - 1] == ' ')
        w->len--;
}

/* What stands before child `index` of a kind. */
static const char *sign_before(enum kind kind, uint32_t index)
{
    switch (kind) {
    case KIND_FRACTION: return index == 1 ? "/" : "";
    case KIND_SUP: return index == 1 ? "^" : "";
    case KIND_SUB: return index == 1 ? "_" : "";
    case KIND_SUBSUP: return index == 1 ? "_" : index == 2 ? "^" : "";
    case KIND_TABLE:
    case KIND_TABLE_ROW:
    case KIND_FENCED: return index > 0 ? ", " : "";
    default: return "";
    }
}

static bool brackets_children(enum kind kind)
{
    return kind == KIND_FRACTION || kind == KIND_SUP || kind == KIND_SUB || kind == KIND_SUBSUP;
}

static void child_begins(struct writer *w)
{
    struct frame *f = top(w);
    if (f->kind != KIND_ROW && f->kind != KIND_SQRT)
        trim_blanks(w, f->start);
    put_text(w, sign_before(f->kind, f->children));
    f->children++;
    f->child = w->len;
    f->child_symbols = 0;
}

static void child_ends(struct writer *w, uint32_t symbols)
{
    struct frame *f = top(w);
    f->child_symbols += symbols;
    f->symbols += symbols;
    bool always = f->kind == KIND_ROOT;
    if (always || brackets_children(f->kind)) {
        trim_blanks(w, f->child);
        if (always || f->child_symbols > 1)
            bracket(w, f->child);
    }
    if (f->kind == KIND_ROOT && f->children == 1)
        f->first_end = w->len;
}

static void reverse(char *from, char *to)
{
    while (from + 1 < to) {
        char c = *from;
        *from++ = *--to;
        *to = c;
    }
}

/* ---- elements ---- */
static void open_frame(struct writer *w, const struct tag *t)
{
    struct frame f = {.kind = KIND_ROW, .name = {t->name, t->name_len}};
    for (size_t i = 0; i < COUNT_OF(kinds); i++)
        if (str_eq_nocase(f.name, str_of(kinds[i].name)))
            f.kind = kinds[i].kind;
    f.operator_ = str_eq_nocase(f.name, STR("mo"));
    if (w->depth == DEPTH_MAX) {
        w->deeper++;
        return;
    }
    if (w->skip == 0 && f.kind != KIND_SKIP)
        child_begins(w);
    w->skip += f.kind == KIND_SKIP;
    f.start = f.child = w->len;
    w->frame[w->depth++] = f;
    if (w->skip)
        return;
    if (f.kind == KIND_SQRT)
        put_text(w, "sqrt(");
    else if (f.kind == KIND_ROOT)
        put_text(w, "root");
    else if (f.kind == KIND_TABLE || f.kind == KIND_TABLE_ROW)
        put_text(w, "[");
    else if (f.kind == KIND_FENCED)
        put_text(w, "(");
    if (f.kind == KIND_ROOT)
        top(w)->start = w->len;
}

static void close_frame(struct writer *w)
{
    struct frame f = *top(w);
    w->depth--;
    w->skip -= f.kind == KIND_SKIP;
    if (w->skip || f.kind == KIND_SKIP)
        return;
    uint32_t symbols = f.symbols;
    if (f.kind != KIND_ROW && f.kind != KIND_LEAF)
        trim_blanks(w, f.start);
    if (f.kind == KIND_SQRT || f.kind == KIND_FENCED)
        put_text(w, ")");
    if (f.kind == KIND_TABLE || f.kind == KIND_TABLE_ROW)
        put_text(w, "]");
    if (f.kind == KIND_ROOT && f.children == 2) { /* root(index)(base): the index stands second */
        char *a = w->out + f.start, *b = w->out + f.first_end, *c = w->out + w->len;
        reverse(a, b);
        reverse(b, c);
        reverse(a, c);
    }
    if (f.kind >= KIND_SQRT)
        symbols = 1;
    else if (f.kind == KIND_FRACTION)
        symbols = 2;
    if (w->depth > 0)
        child_ends(w, symbols);
    w->apart |= f.kind >= KIND_FRACTION && f.kind <= KIND_SUBSUP;
}

static void end_element(struct writer *w, const struct tag *t)
{
    struct str name = {t->name, t->name_len};
    if (w->deeper > 0) {
        w->deeper--;
        return;
    }
    uint32_t at = w->depth;
    while (at > 1 && !str_eq_nocase(w->frame[at - 1].name, name))
        at--;
    while (at > 1 && w->depth >= at)
        close_frame(w);
}

/* ---- characters ---- */
/* Relations and binary operators get blanks around them where something stands before. */
static bool is_spaced(struct str sign)
{
    static const char *const signs[] = {
        "=", "+", "-", "−", "±", "∓", "×", "⋅", "·", "÷", "<", ">",  "≤", "≥", "≠", "≈",
        "≡", "∼", "≃", "≅", "∝", "→", "←", "↔", "⇒", "⇐", "⇔", "↦",  "∈", "∉", "⊂", "⊆",
        "⊃", "⊇", "∪", "∩", "∧", "∨", "∘", "⊕", "⊗", "≪", "≫", ":=", "∣", "∥", "≔",
    };
    for (size_t i = 0; i < COUNT_OF(signs); i++)
        if (str_is(sign, signs[i]))
            return true;
    return false;
}

/* Function application, invisible times, comma and plus; zero-width and bidirectional marks. */
static bool is_unseen(uint32_t cp)
{
    return cp < 0x20 || (cp >= 0x7F && cp < 0xA0) || (cp >= 0x2061 && cp <= 0x2064) ||
           (cp >= 0x200B && cp <= 0x200F) || (cp >= 0x202A && cp <= 0x202E) || cp == 0xFEFF ||
           cp == 0xAD;
}

static void put_cp(struct writer *w, uint32_t cp)
{
    char bytes[4];
    if (cp == 0xA0 || (cp >= 0x2000 && cp <= 0x200A) || cp == 0x202F || cp == 0x205F)
        cp = ' ';
    if (!is_unseen(cp))
        put(w, bytes, (size_t)utf8_encode(cp, bytes));
}

/* Decodes and folds white space; blanks at both ends go. */
static void put_decoded(struct writer *w, struct str s)
{
    s = str_trim(s);
    for (const char *at = s.ptr, *end = s.ptr + s.len; at < end;) {
        uint32_t cp[2] = {0, 0};
        size_t step = *at == '&' ? entity_read(at, end, false, cp) : 0;
        if (step == 0)
            step = (size_t)utf8_decode(at, end, cp);
        if (is_blank(*at)) {
            while (at + step < end && is_blank(at[step]))
                step++;
            cp[0] = ' ';
        }
        at += step;
        put_cp(w, cp[0]);
        if (cp[1])
            put_cp(w, cp[1]);
    }
}

static bool is_joint(char c)
{
    return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') || (c & 0x80);
}

/* "sin", "if": more than one letter, and no sign. */
static bool is_word(struct str sign)
{
    for (size_t i = 0; i < sign.len; i++)
        if (!((sign.ptr[i] | 0x20) >= 'a' && (sign.ptr[i] | 0x20) <= 'z'))
            return false;
    return sign.len > 1;
}

static void take_text(struct writer *w, struct str text)
{
    text = str_trim(text);
    struct frame *f = top(w);
    if (w->skip || text.len == 0)
        return;
    size_t from = w->len;
    bool apart = w->apart;
    bool first = from == 0 || strchr("([^_/ ", w->out[from - 1]) != NULL;
    bool in_row = w->depth < 2 || w->frame[w->depth - 2].kind <= KIND_LEAF ||
                  w->frame[w->depth - 2].kind == KIND_SQRT;
    put_decoded(w, text);
    struct str sign = {w->out + from, w->len - from};
    if (sign.len == 0)
        return; /* an invisible sign */
    if (f->operator_ && in_row && !first && is_spaced(sign) && w->room - w->len >= 2) {
        memmove(w->out + from + 1, w->out + from, sign.len);
        w->out[from] = ' ';
        w->len++;
        put(w, " ", 1);
    } else if (f->operator_ && (str_is(sign, ",") || str_is(sign, ";"))) {
        put(w, " ", 1);
    } else if (!f->operator_) { /* a^n b, sin x, 2 if x */
        bool word = is_word(sign);
        if ((apart || word) && from > 0 && is_joint(w->out[from - 1]) && is_joint(*sign.ptr) &&
            w->room > w->len) {
            memmove(w->out + from + 1, w->out + from, sign.len);
            w->out[from] = ' ';
            w->len++;
        }
        w->apart = word;
    }
    f->symbols++;
}

/* ---- TeX ---- */
static struct str unwrap(struct str tex)
{
    static const char *const styles[] = {"\\displaystyle", "\\textstyle", "\\scriptstyle"};
    tex = str_trim(tex);
    for (int i = 0; i < 2; i++) {
        bool braces =
            tex.len > 2 && tex.ptr[0] == '{' && tex.ptr[1] == '\\' && tex.ptr[tex.len - 1] == '}';
        struct str inner = braces ? str_trim(str_slice(tex, 1, tex.len - 1)) : tex;
        for (size_t s = 0; s < COUNT_OF(styles); s++)
            if (str_starts(inner, styles[s]) && inner.len > strlen(styles[s]) &&
                (inner.ptr[strlen(styles[s])] == ' ' || inner.ptr[strlen(styles[s])] == '\\'))
                tex = str_trim(str_slice(inner, strlen(styles[s]), inner.len));
    }
    return tex;
}

static size_t put_tex(struct str tex, bool display, char *out, size_t room)
{
    struct writer w = {.out = out, .room = room};
    const char *sign = display ? "$$" : "$";
    tex = unwrap(tex);
    if (tex.len == 0 || room < tex.len + 4)
        return 0;
    put_text(&w, sign);
    put_decoded(&w, tex);
    put_text(&w, sign);
    return w.len;
}

/* The content of the first annotation in TeX; len 0 when there is none. */
static struct str tex_of(struct str mathml)
{
    static const char *const forms[] = {"application/x-tex", "text/x-tex", "application/x-latex",
                                        "latex", "tex"};
    size_t from = 0;
    for (;;) {
        struct str rest = str_slice(mathml, from, mathml.len), key, value;
        size_t at = str_find(rest, STR("<annotation"));
        struct tag t;
        if (at == SIZE_MAX || !tag_read(rest.ptr + at, rest.ptr + rest.len, &t))
            return (struct str){0};
        const char *end = raw_end(t.end, rest.ptr + rest.len, "annotation", 10);
        if (!end)
            return (struct str){0};
        for (const char *next = t.name + t.name_len;
             (next = attribute_next(next, t.end, &key, &value));)
            for (size_t i = 0; i < COUNT_OF(forms); i++)
                if (str_eq_nocase(key, STR("encoding")) && str_eq_nocase(value, str_of(forms[i])))
                    return (struct str){t.end, (size_t)(end - t.end)};
        from += at + 11;
    }
}

/* ---- the whole ---- */
/* An attribute of the <math> tag that the range may begin with. */
static struct str math_attribute(struct str mathml, const char *name)
{
    struct tag t;
    struct str key, value;
    if (!str_starts_nocase(mathml, "<math") || !tag_read(mathml.ptr, mathml.ptr + mathml.len, &t))
        return (struct str){0};
    for (const char *at = t.name + t.name_len; (at = attribute_next(at, t.end, &key, &value));)
        if (str_eq_nocase(key, str_of(name)))
            return value;
    return (struct str){0};
}

size_t maths_text(struct str mathml, char *out, size_t room)
{
    struct str tex = tex_of(mathml);
    bool display = str_eq_nocase(math_attribute(mathml, "display"), STR("block"));
    if (!tex.len) { /* others write words there */
        struct str alt = math_attribute(mathml, "alttext");
        tex = str_find_char(alt, '\\') == SIZE_MAX ? tex : alt;
    }
    size_t len = tex.len ? put_tex(tex, display, out, room) : 0;
    if (len)
        return len;
    struct writer w = {.out = out, .room = room, .depth = 1};
    const char *at = mathml.ptr, *end = at + mathml.len;
    while (at < end) {
        struct tag t;
        const char *open = memchr(at, '<', (size_t)(end - at));
        take_text(&w, (struct str){at, (size_t)((open ? open : end) - at)});
        if (!open)
            break;
        enum markup markup = markup_at(open, end);
        at = open + 1;
        if (markup == MARKUP_DECLARATION)
            at = declaration_end(open, end, true);
        if (markup != MARKUP_TAG)
            continue;
        if (!tag_read(open, end, &t))
            break;
        at = t.end;
        if (t.closing)
            end_element(&w, &t);
        else if (!t.self_closing)
            open_frame(&w, &t);
    }
    while (w.depth > 1)
        close_frame(&w);
    trim_blanks(&w, 0);
    return w.len;
}

size_t maths_script(struct str type, struct str script, char *out, size_t room)
{
    struct str s = str_trim(script);
    if (str_find(type, STR("mml")) != SIZE_MAX)
        return maths_text(s, out, room);
    if (str_starts(s, "% <![CDATA[") && str_ends(s, "%]]>")) /* MathJax's way in XHTML */
        s = str_slice(s, 11, s.len - 4);
    return put_tex(s, str_find(type, STR("display")) != SIZE_MAX, out, room);
}

/* ---- pictures ---- */
static bool cut_signs(struct str *tex, const char *left, const char *right)
{
    size_t before = strlen(left), behind = strlen(right);
    if (tex->len <= before + behind || !str_starts(*tex, left) || !str_ends(*tex, right))
        return false;
    *tex = str_slice(*tex, before, tex->len - behind);
    return true;
}

size_t maths_picture(struct str alt, char *out, size_t room)
{
    struct str tex = str_trim(alt);
    bool display =
        cut_signs(&tex, "$$", "$$") || cut_signs(&tex, "\\[", "\\]") || str_starts(tex, "\\begin{");
    if (!display && !cut_signs(&tex, "$", "$"))
        cut_signs(&tex, "\\(", "\\)");
    return put_tex(tex, display, out, room);
}

bool maths_is_tex(struct str alt)
{
    if (cut_signs(&alt, "\\(", "\\)") || cut_signs(&alt, "\\[", "\\]") ||
        str_starts(alt, "\\begin{"))
        return true;
    if (!cut_signs(&alt, "$$", "$$") && !cut_signs(&alt, "$", "$"))
        return false;
    bool letter = false, sign = false, blank = false; /* "$100 or $" is a price */
    for (size_t i = 0; i < alt.len; i++) {
        char c = (char)(alt.ptr[i] | 0x20);
        letter |= c >= 'a' && c <= 'z';
        sign |= memchr("\\^_{}=", alt.ptr[i], 6) != NULL;
        blank |= is_blank(alt.ptr[i]);
        if (alt.ptr[i] == '$')
            return false;
    }
    return sign || (letter && !blank);
}

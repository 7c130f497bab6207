/* where - reads a predicate into a short program for a stack; where_run.c runs it for every row.
 *
 * Types are known while parsing (columns have theirs, signals are numbers), so that a program that
 * was accepted cannot go wrong. `and` and `or` jump: what decides first ends the matter. Depth is
 * bounded by WHERE_DEPTH_MAX, and with it the parser's recursion and the program's stack. */
#include "command/where.h"

#include "command/where_code.h"
#include "core/err.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { WHERE_ARENA = 32 << 20 };
static const char *const type_names[] = {"a condition", "a number", "text"};

/* ---- words ---- */
enum token { END, NAME, NUMBER, TEXT, SIGN };
struct parser {
    struct where *w;
    const char *text;
    size_t len, at, start; /* at: behind the token under way, which begins at start */
    enum token token;
    struct str word; /* NAME: its letters; SIGN: one or two of them; TEXT: its contents */
    double number;
    int depth;
};

static unsigned column_of(const struct parser *p) { return (unsigned)p->start + 1; }

/* What stands there, for a message. */
static int expected(const struct parser *p, const char *what)
{
    if (p->token == END)
        return err_set(ERR_USAGE, "column %u: expected %s, but the predicate ends", column_of(p),
                       what);
    struct str found = {p->text + p->start, p->at - p->start};
    return err_set(ERR_USAGE, "column %u: expected %s, found %.*s%s", column_of(p), what,
                   (int)(found.len < 40 ? found.len : 40), found.ptr, found.len < 40 ? "" : "...");
}

static bool is_name_start(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}
static bool is_digit(char c) { return c >= '0' && c <= '9'; }

static int lex_text(struct parser *p)
{
    char quote = p->text[p->at++];
    char *to = arena_push(&p->w->arena, p->len - p->at + 1, 1);
    size_t len = 0;
    if (!to)
        return ERR_LIMIT;
    for (;; p->at++) {
        if (p->at == p->len)
            return err_set(ERR_USAGE, "column %u: the text that begins here has no closing %c",
                           column_of(p), quote);
        if (p->text[p->at] == quote) {
            if (p->at + 1 == p->len || p->text[p->at + 1] != quote)
                break;
            p->at++;
        }
        to[len++] = p->text[p->at];
    }
    p->at++;
    to[len] = 0;
    arena_reset(&p->w->arena, (size_t)((unsigned char *)to - p->w->arena.base) + len + 1);
    p->token = TEXT;
    p->word = (struct str){to, len};
    return 0;
}

static int lex_number(struct parser *p)
{
    char digits[64];
    size_t len = 0;
    while (p->at < p->len) {
        char c = p->text[p->at], before = p->at > p->start ? p->text[p->at - 1] : 0;
        bool sign = (c == '+' || c == '-') && (before == 'e' || before == 'E');
        if (!is_digit(c) && !is_name_start(c) && c != '.' && !sign)
            break;
        if (c != '_' && len < sizeof digits - 1)
            digits[len++] = c;
        p->at++;
    }
    p->token = NUMBER;
    if (p->at - p->start >= sizeof digits || !str_f64((struct str){digits, len}, &p->number) ||
        !isfinite(p->number))
        return err_set(ERR_USAGE, "column %u: %.*s is no number", column_of(p),
                       (int)(p->at - p->start < 60 ? p->at - p->start : 60), p->text + p->start);
    return 0;
}

/* Signs of other languages get the word that is meant here. */
static int wrong_sign(const struct parser *p, size_t len)
{
    static const struct {
        const char *wrong, *right;
    } other[] = {{"&&", "and"}, {"&", "and"}, {"||", "or"}, {"|", "or"},
                 {"<>", "!="},  {"=", "=="},  {"!", "not"}};
    for (size_t i = 0; i < COUNT_OF(other); i++)
        if (len >= strlen(other[i].wrong) &&
            memcmp(p->text + p->start, other[i].wrong, strlen(other[i].wrong)) == 0)
            return err_set(ERR_USAGE, "column %u: %s is written %s here", column_of(p),
                           other[i].wrong, other[i].right);
    unsigned char c = (unsigned char)p->text[p->start];
    if (c > 32 && c < 127)
        return err_set(ERR_USAGE, "column %u: %c has no meaning here", column_of(p), c);
    return err_set(ERR_USAGE, "column %u: byte 0x%02X has no meaning outside of quotes",
                   column_of(p), c);
}

static int next(struct parser *p)
{
    static const char *const two[] = {"==", "!=", "<=", ">=", "!~"};
    while (p->at < p->len && strchr(" \t\r\n", p->text[p->at]))
        p->at++;
    p->start = p->at;
    if (p->at == p->len) {
        p->token = END;
        return 0;
    }
    char c = p->text[p->at];
    size_t left = p->len - p->at;
    if (c == '\'' || c == '"')
        return lex_text(p);
    if (is_digit(c) || (c == '.' && left > 1 && is_digit(p->text[p->at + 1])))
        return lex_number(p);
    if (is_name_start(c)) {
        while (p->at < p->len &&
               (is_name_start(p->text[p->at]) || is_digit(p->text[p->at]) || p->text[p->at] == '.'))
            p->at++;
        p->token = NAME;
        p->word = (struct str){p->text + p->start, p->at - p->start};
        return 0;
    }
    p->token = SIGN;
    size_t len = 0;
    for (size_t i = 0; i < COUNT_OF(two) && left > 1; i++)
        if (memcmp(p->text + p->at, two[i], 2) == 0)
            len = 2;
    if (left > 1 && memcmp(p->text + p->at, "<>", 2) == 0)
        return wrong_sign(p, left);
    if (len == 0 && strchr("<>~()[],+-*/", c))
        len = 1;
    if (len == 0)
        return wrong_sign(p, left);
    p->word = (struct str){p->text + p->at, len};
    p->at += len;
    return 0;
}

static bool is_sign(const struct parser *p, const char *sign)
{
    return p->token == SIGN && str_is(p->word, sign);
}
static bool is_word(const struct parser *p, const char *word)
{
    return p->token == NAME && str_is(p->word, word);
}

/* ---- the program ---- */
static void emit(struct parser *p, enum where_code code, enum where_type type, uint32_t arg)
{
    assert(p->w->ops < p->w->room); /* every op comes of a token of its own, and there is one for
                                       each byte of the text */
    p->w->op[p->w->ops++] = (struct where_op){(uint8_t)code, (uint8_t)type, arg};
}

static uint32_t add_constant(struct parser *p, double number, struct str text)
{
    assert(p->w->constants < p->w->room);
    p->w->constant[p->w->constants] = (struct where_constant){number, text};
    return p->w->constants++;
}

static int add_name(struct parser *p, struct str text, bool rule, bool margin, uint32_t *out)
{
    struct where *w = p->w;
    for (*out = 0; *out < w->name_count; ++*out)
        if (str_eq(w->name[*out].text, text) && w->name[*out].rule == rule &&
            w->name[*out].margin == margin)
            return 0;
    if (w->name_count == WHERE_NAMES_MAX)
        return err_set(ERR_USAGE, "column %u: more than %d signals and rules", column_of(p),
                       WHERE_NAMES_MAX);
    w->name[w->name_count++] = (struct where_name){text, column_of(p), rule, margin};
    return 0;
}

static int deeper(struct parser *p)
{
    if (++p->depth > WHERE_DEPTH_MAX)
        return err_set(ERR_USAGE, "column %u: nested more than %d deep", column_of(p),
                       WHERE_DEPTH_MAX);
    return 0;
}

static int need_type(unsigned column, enum where_type have, enum where_type want)
{
    if (have == want)
        return 0;
    return err_set(ERR_USAGE, "column %u: this is %s, where %s is needed", column, type_names[have],
                   type_names[want]);
}

/* ---- values ---- */
static int parse_or(struct parser *p, enum where_type *type);

/* Behind the name of a function: ( and one constant of the type and ). */
static int parse_argument(struct parser *p, enum token token, const char *what)
{
    TRY(next(p));
    if (!is_sign(p, "("))
        return expected(p, "(");
    TRY(next(p));
    if (p->token != token)
        return expected(p, what);
    return 0;
}

static int close_bracket(struct parser *p, const char *sign)
{
    return is_sign(p, sign) ? next(p) : expected(p, sign);
}

/* rule('R'), margin('R'), signal('S'), draw(1): 1 when the name was one of them. */
static int parse_function(struct parser *p, enum where_type *type)
{
    static const struct {
        const char *name;
        enum where_code code;
        enum where_type type;
    } function[] = {{"rule", CODE_RULE, TYPE_BOOL},
                    {"margin", CODE_MARGIN, TYPE_NUMBER},
                    {"signal", CODE_SIGNAL, TYPE_NUMBER}};
    uint32_t arg;
    if (is_word(p, "draw")) {
        TRY(parse_argument(p, NUMBER, "a number, the seed of the draw"));
        if (p->number < 0 || p->number > 0x1p53 || p->number != floor(p->number))
            return err_set(ERR_USAGE, "column %u: a seed is a whole number from 0 on",
                           column_of(p));
        emit(p, CODE_DRAW, TYPE_NUMBER, add_constant(p, p->number, (struct str){0}));
        *type = TYPE_NUMBER;
        TRY(next(p));
        TRY(close_bracket(p, ")"));
        return 1;
    }
    for (size_t i = 0; i < COUNT_OF(function); i++) {
        if (!is_word(p, function[i].name))
            continue;
        TRY(parse_argument(p, TEXT, "a name in quotes"));
        TRY(add_name(p, p->word, function[i].code != CODE_SIGNAL, function[i].code == CODE_MARGIN,
                     &arg));
        emit(p, function[i].code, function[i].type, arg);
        *type = function[i].type;
        TRY(next(p));
        TRY(close_bracket(p, ")"));
        return 1;
    }
    return 0;
}

static bool column_is_text(int column)
{
    return column == LEDGER_ID || ledger_columns[column].type == PQ_STRING;
}

/* A bare word that is no function: true, false, a column or a signal. */
static int parse_name(struct parser *p, enum where_type *type)
{
    static const char *const taken[] = {"and", "or", "not", "in", "is", "null"};
    uint32_t arg;
    for (size_t i = 0; i < COUNT_OF(taken); i++)
        if (is_word(p, taken[i]))
            return expected(p, "a value");
    if (is_word(p, "true") || is_word(p, "false")) {
        *type = TYPE_BOOL;
        emit(p, CODE_BOOL, *type, is_word(p, "true"));
        return next(p);
    }
    /* `rule` is a column too, and a function where ( follows. */
    size_t behind = p->at;
    while (behind < p->len && strchr(" \t\r\n", p->text[behind]))
        behind++;
    bool call = behind < p->len && p->text[behind] == '(';
    int rc = call ? parse_function(p, type) : 0;
    if (rc != 0)
        return rc < 0 ? rc : 0;
    if (call)
        return err_set(ERR_USAGE,
                       "column %u: there is no function %.*s: there are rule, margin, signal, draw",
                       column_of(p), STR_ARG(str_slice(p->word, 0, 40)));
    for (int i = 0; i < LEDGER_COLUMNS; i++) {
        if (!str_is(p->word, ledger_columns[i].name))
            continue;
        *type = column_is_text(i) ? TYPE_TEXT : TYPE_NUMBER;
        emit(p, *type == TYPE_TEXT ? CODE_COLUMN_TEXT : CODE_COLUMN_NUMBER, *type, (uint32_t)i);
        return next(p);
    }
    struct str name = p->word;
    if (str_starts(name, "signal."))
        name = str_slice(name, strlen("signal."), name.len);
    TRY(add_name(p, name, false, false, &arg));
    *type = TYPE_NUMBER;
    emit(p, CODE_SIGNAL, *type, arg);
    return next(p);
}

static int parse_primary(struct parser *p, enum where_type *type)
{
    if (is_sign(p, "(")) {
        TRY(deeper(p));
        TRY(next(p));
        TRY(parse_or(p, type));
        p->depth--;
        return close_bracket(p, ")");
    }
    if (is_sign(p, "-")) {
        unsigned column = column_of(p);
        TRY(deeper(p));
        TRY(next(p));
        TRY(parse_primary(p, type));
        p->depth--;
        TRY(need_type(column + 1, *type, TYPE_NUMBER));
        struct where_op *last = &p->w->op[p->w->ops - 1];
        if (last->code == CODE_NUMBER) /* so that -1 is a constant */
            p->w->constant[last->arg].number = -p->w->constant[last->arg].number;
        else
            emit(p, CODE_NEGATE, TYPE_NUMBER, 0);
        return 0;
    }
    if (p->token == NUMBER || p->token == TEXT) {
        bool number = p->token == NUMBER;
        *type = number ? TYPE_NUMBER : TYPE_TEXT;
        emit(p, number ? CODE_NUMBER : CODE_TEXT, *type,
             add_constant(p, number ? p->number : 0, number ? (struct str){0} : p->word));
        return next(p);
    }
    return p->token == NAME ? parse_name(p, type) : expected(p, "a value");
}

/* Left-associative: level 0 is sums, 1 is products. */
static int parse_sum(struct parser *p, int level, enum where_type *type)
{
    static const char *const sign[2][2] = {{"+", "-"}, {"*", "/"}};
    static const enum where_code code[2][2] = {{CODE_ADD, CODE_SUBTRACT},
                                               {CODE_MULTIPLY, CODE_DIVIDE}};
    unsigned column = column_of(p);
    TRY(level ? parse_primary(p, type) : parse_sum(p, 1, type));
    while (is_sign(p, sign[level][0]) || is_sign(p, sign[level][1])) {
        enum where_code which = code[level][is_sign(p, sign[level][1])];
        TRY(need_type(column, *type, TYPE_NUMBER));
        TRY(next(p));
        column = column_of(p);
        TRY(level ? parse_primary(p, type) : parse_sum(p, 1, type));
        TRY(need_type(column, *type, TYPE_NUMBER));
        emit(p, which, TYPE_NUMBER, 0);
    }
    return 0;
}

/* ---- comparisons ---- */
static bool rounds(const struct where_op *op)
{
    return op->code == CODE_SIGNAL ||
           (op->code == CODE_COLUMN_NUMBER && ledger_columns[op->arg].type == PQ_F32);
}

/* A number that is compared with a signal becomes what a signal can be. */
static void round_beside(struct where *w, uint32_t left, uint32_t right, uint32_t end)
{
    struct where_op *a = &w->op[left], *b = &w->op[right];
    if (right - left != 1 || end - right != 1)
        return;
    if (rounds(b) && a->code == CODE_NUMBER)
        b = a, a = &w->op[right];
    if (rounds(a) && b->code == CODE_NUMBER)
        w->constant[b->arg].number = (double)(float)w->constant[b->arg].number;
}

static int compare_constants(const void *a, const void *b)
{
    const struct where_constant *x = a, *y = b;
    if (x->number != y->number)
        return x->number < y->number ? -1 : 1;
    return str_cmp(x->text, y->text);
}

/* [a, b, ...] behind `in`; all of the type on the left, which ends at op. */
static int parse_list(struct parser *p, enum where_type type, bool negated, bool f32)
{
    struct where *w = p->w;
    struct where_list *list = &w->list[w->lists];
    list->first = w->constants;
    if (!is_sign(p, "["))
        return expected(p, "[");
    TRY(next(p));
    while (!is_sign(p, "]")) {
        bool minus = is_sign(p, "-");
        if (minus)
            TRY(next(p));
        if (p->token != NUMBER && p->token != TEXT)
            return expected(p, "a number or text in quotes");
        TRY(need_type(column_of(p), p->token == NUMBER ? TYPE_NUMBER : TYPE_TEXT,
                      minus ? TYPE_NUMBER : type));
        TRY(need_type(column_of(p), p->token == NUMBER ? TYPE_NUMBER : TYPE_TEXT, type));
        double number = p->token == NUMBER ? (minus ? -p->number : p->number) : 0;
        add_constant(p, f32 ? (double)(float)number : number,
                     p->token == TEXT ? p->word : (struct str){0});
        TRY(next(p));
        if (is_sign(p, ","))
            TRY(next(p));
        else if (!is_sign(p, "]"))
            return expected(p, ", or ]");
    }
    list->count = w->constants - list->first;
    qsort(w->constant + list->first, list->count, sizeof *w->constant, compare_constants);
    emit(p, negated ? CODE_NOT_IN : CODE_IN, type, w->lists++);
    return next(p);
}

static int parse_null(struct parser *p, enum where_type type, unsigned column)
{
    TRY(next(p));
    bool negated = is_word(p, "not");
    if (negated)
        TRY(next(p));
    if (!is_word(p, "null"))
        return expected(p, "null");
    if (type == TYPE_TEXT)
        return err_set(ERR_USAGE, "column %u: text is never null: compare it with ''", column);
    TRY(need_type(column, type, TYPE_NUMBER));
    emit(p, negated ? CODE_NOT_NULL : CODE_NULL, TYPE_NUMBER, 0);
    return next(p);
}

static int parse_glob(struct parser *p, enum where_type type, unsigned column)
{
    bool negated = is_sign(p, "!~");
    TRY(need_type(column, type, TYPE_TEXT));
    TRY(next(p));
    if (p->token != TEXT)
        return expected(p, "a pattern in quotes");
    if (memchr(p->word.ptr, 0, p->word.len))
        return err_set(ERR_USAGE, "column %u: a pattern may not hold byte 0", column_of(p));
    emit(p, negated ? CODE_UNLIKE : CODE_LIKE, TYPE_TEXT, add_constant(p, 0, p->word));
    return next(p);
}

static int parse_relation(struct parser *p, enum where_code code, enum where_type *type,
                          uint32_t left)
{
    uint32_t right = p->w->ops;
    enum where_type other;
    TRY(next(p));
    unsigned column = column_of(p);
    TRY(parse_sum(p, 0, &other));
    if (*type == TYPE_BOOL || other == TYPE_BOOL)
        return err_set(ERR_USAGE, "column %u: conditions are joined by and, or, not, not compared",
                       column);
    if (*type != other)
        return err_set(ERR_USAGE,
                       "column %u: %s is compared with %s (text are id, url, source, host, lang, "
                       "verdict, stage, rule, also, dup_of, domain; all other names are numbers)",
                       column, type_names[*type], type_names[other]);
    round_beside(p->w, left, right, p->w->ops);
    emit(p, code, other, 0);
    *type = TYPE_BOOL;
    return 0;
}

static int parse_comparison(struct parser *p, enum where_type *type)
{
    static const struct {
        const char *sign;
        enum where_code code;
    } relation[] = {{"==", CODE_EQUAL},      {"!=", CODE_UNEQUAL}, {"<", CODE_LESS},
                    {"<=", CODE_LESS_EQUAL}, {">", CODE_GREATER},  {">=", CODE_GREATER_EQUAL}};
    unsigned column = column_of(p);
    uint32_t left = p->w->ops;
    TRY(parse_sum(p, 0, type));
    bool negated = is_word(p, "not");
    if (negated)
        TRY(next(p));
    if (negated && !is_word(p, "in"))
        return expected(p, "in");
    if (is_word(p, "in")) {
        if (*type == TYPE_BOOL)
            return need_type(column, *type, TYPE_NUMBER);
        TRY(next(p));
        bool f32 = p->w->ops - left == 1 && rounds(&p->w->op[left]);
        TRY(parse_list(p, *type, negated, f32));
        *type = TYPE_BOOL;
    } else if (is_word(p, "is")) {
        TRY(parse_null(p, *type, column));
        *type = TYPE_BOOL;
    } else if (is_sign(p, "~") || is_sign(p, "!~")) {
        TRY(parse_glob(p, *type, column));
        *type = TYPE_BOOL;
    } else {
        for (size_t i = 0; i < COUNT_OF(relation); i++)
            if (is_sign(p, relation[i].sign))
                return parse_relation(p, relation[i].code, type, left);
    }
    return 0;
}

/* ---- conditions ---- */
static int parse_not(struct parser *p, enum where_type *type)
{
    if (!is_word(p, "not"))
        return parse_comparison(p, type);
    TRY(deeper(p));
    TRY(next(p));
    unsigned column = column_of(p);
    TRY(parse_not(p, type));
    p->depth--;
    TRY(need_type(column, *type, TYPE_BOOL));
    emit(p, CODE_NOT, TYPE_BOOL, 0);
    return 0;
}

/* level 0: or, 1: and. The left side's jump goes behind the right side. */
static int parse_join(struct parser *p, int level, enum where_type *type)
{
    static const char *const word[2] = {"or", "and"};
    static const enum where_code code[2] = {CODE_OR, CODE_AND};
    unsigned column = column_of(p);
    TRY(level ? parse_not(p, type) : parse_join(p, 1, type));
    while (is_word(p, word[level])) {
        uint32_t jump = p->w->ops;
        TRY(need_type(column, *type, TYPE_BOOL));
        emit(p, code[level], TYPE_BOOL, 0);
        TRY(next(p));
        column = column_of(p);
        TRY(level ? parse_not(p, type) : parse_join(p, 1, type));
        TRY(need_type(column, *type, TYPE_BOOL));
        p->w->op[jump].arg = p->w->ops;
    }
    return 0;
}

static int parse_or(struct parser *p, enum where_type *type) { return parse_join(p, 0, type); }

static int parse_all(struct where *w, const char *text, size_t len)
{
    struct parser p = {.w = w, .text = text, .len = len};
    enum where_type type;
    w->room = (uint32_t)len + 2;
    w->op = arena_array(&w->arena, struct where_op, w->room);
    w->constant = arena_array(&w->arena, struct where_constant, w->room);
    w->list = arena_array(&w->arena, struct where_list, w->room);
    /* Names point into it. */
    p.text = arena_strdup(&w->arena, (struct str){text, len});
    if (!w->op || !w->constant || !w->list || !p.text)
        return ERR_LIMIT;
    TRY(next(&p));
    TRY(parse_or(&p, &type));
    if (p.token != END)
        return expected(&p, type == TYPE_BOOL ? "and, or, or the end" : "a comparison");
    return need_type(1, type, TYPE_BOOL);
}

int where_parse(struct where **out, const char *text)
{
    size_t len = strlen(text);
    if (len > WHERE_BYTES_MAX)
        return err_set(ERR_USAGE, "a predicate of %zu bytes, at most %d are read", len,
                       WHERE_BYTES_MAX);
    struct where *w = calloc(1, sizeof *w);
    if (!w)
        return err_set(ERR_LIMIT, "where: no memory");
    int rc = arena_open(&w->arena, WHERE_ARENA);
    if (rc >= 0)
        rc = parse_all(w, text, len);
    if (rc < 0) {
        where_free(w);
        return rc;
    }
    *out = w;
    return 0;
}

void where_free(struct where *w)
{
    if (w)
        arena_close(&w->arena);
    free(w);
}

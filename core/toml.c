/* toml - reads TOML 1.0 without dates into a tree that knows where each key stands.
 *
 * Which tables may still be added to is the subtle part of TOML; `how` records who made a node:
 *
 *   CONF_BY_PATH    [a.b] made a on the way   may become [a] once or be added to by dots
 *   CONF_BY_HEADER  [a]                       may be walked through, not opened again
 *   CONF_BY_DOTS    a.b = 1 made a            dotted keys add to it, headers walk through
 *   CONF_BY_DOUBLE  [[a]]                     array that [[a]] appends to; walks enter its last
 *   CONF_CLOSED     a = {...}, [...], 1       complete */
#include "core/toml.h"

#include "core/err.h"

#include <assert.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>

enum {
    TEXT_MAX = 1 << 20,     /* bytes of a recipe */
    PARTS_MAX = 16,         /* parts of a dotted key */
    NEST_MAX = 16,          /* arrays and inline tables in one another */
    CHILDREN_MAX = 4096,    /* keys of one table: finding one is a walk along a list */
    NUMBER_MAX = 64,        /* bytes of a number */
};

struct parser {
    struct arena *arena;
    const char *file, *at, *end;
    int line, nest;
    struct buf text;        /* the string being read */
};
struct path { const char *part[PARTS_MAX]; int count; };

static int wrong(const struct parser *p, const char *fmt, ...) PRINTF_LIKE(2, 3);
static int wrong(const struct parser *p, const char *fmt, ...)
{
    char what[512];
    va_list args;
    va_start(args, fmt);
    vsnprintf(what, sizeof what, fmt, args);
    va_end(args);
    if (p->line == 0)
        return err_set(ERR_USAGE, "%s: %s", p->file, what);
    return err_set(ERR_USAGE, "%s:%d: %s", p->file, p->line, what);
}

static int unexpected(const struct parser *p, const char *expected)
{
    if (p->at == p->end)
        return wrong(p, "expected %s, but the text ends", expected);
    if (*p->at == '\n' || *p->at == '\r')
        return wrong(p, "expected %s, but the line ends", expected);
    uint32_t cp;
    int len = utf8_decode(p->at, p->end, &cp);
    if (cp < 0x20 || cp == 0x7F)
        return wrong(p, "expected %s, found the control character %u", expected, cp);
    return wrong(p, "expected %s, found '%.*s'", expected, len, p->at);
}

/* ---- space ---- */

static bool is_at(const struct parser *p, char c) { return p->at < p->end && *p->at == c; }

static void skip_blanks(struct parser *p)
{
    while (is_at(p, ' ') || is_at(p, '\t'))
        p->at++;
}

/* Bytes of the line end at the place: 0, 1 or 2. */
static int line_end(const struct parser *p)
{
    if (is_at(p, '\n'))
        return 1;
    return is_at(p, '\r') && p->end - p->at > 1 && p->at[1] == '\n' ? 2 : 0;
}

static bool is_control(char c) { return ((unsigned char)c < 0x20 && c != '\t') || c == 0x7F; }

static int skip_comment(struct parser *p)
{
    if (!is_at(p, '#'))
        return 0;
    while (p->at < p->end && !line_end(p)) {
        if (is_control(*p->at))
            return wrong(p, "a control character stands in a comment");
        p->at++;
    }
    return 0;
}

/* Blanks, comments and line ends. */
static int skip_lines(struct parser *p)
{
    for (;;) {
        skip_blanks(p);
        TRY(skip_comment(p));
        int len = line_end(p);
        if (len == 0)
            return 0;
        p->at += len;
        p->line++;
    }
}

/* ---- strings ---- */

static int read_unicode(struct parser *p, int digits)
{
    uint32_t cp = 0;
    char utf8[4];
    for (int i = 0; i < digits; i++, p->at++) {
        char c = p->at < p->end ? *p->at : 0;
        uint32_t digit = c >= '0' && c <= '9' ? (uint32_t)(c - '0')
                       : c >= 'a' && c <= 'f' ? (uint32_t)(c - 'a' + 10)
                       : c >= 'A' && c <= 'F' ? (uint32_t)(c - 'A' + 10) : 16;
        if (digit == 16)
            return wrong(p, "expected %d hex digits in the escape", digits);
        cp = cp << 4 | digit;
    }
    if (cp > 0x10FFFF || (cp >= 0xD800 && cp <= 0xDFFF))
        return wrong(p, "U+%X is not a character", cp);
    buf_add(&p->text, utf8, (size_t)utf8_encode(cp, utf8));
    return 0;
}

/* A backslash at the end of a line takes the line end and all space behind it away. */
static bool skip_folded(struct parser *p)
{
    struct parser ahead = *p;
    skip_blanks(&ahead);
    if (!line_end(&ahead))
        return false;
    for (int len; skip_blanks(&ahead), (len = line_end(&ahead)) > 0;) {
        ahead.at += len;
        ahead.line++;
    }
    p->at = ahead.at;
    p->line = ahead.line;
    return true;
}

static int read_escape(struct parser *p, bool many_lines)
{
    static const char from[] = "btnfr\"\\", into[] = "\b\t\n\f\r\"\\";
    p->at++;
    if (many_lines && skip_folded(p))
        return 0;
    char c = p->at < p->end ? *p->at : 0;
    const char *known = c ? strchr(from, c) : NULL;
    if (known) {
        buf_char(&p->text, into[known - from]);
        p->at++;
        return 0;
    }
    if (c != 'u' && c != 'U')
        return unexpected(p, "one of b t n f r \" \\ u U behind a backslash");
    p->at++;
    return read_unicode(p, c == 'u' ? 4 : 8);
}

/* Inside """ or ''': quotes at the place. True when they end the string; up to two belong to it. */
static bool take_quotes(struct parser *p, char quote)
{
    size_t run = 0;
    while (run < 5 && p->at + run < p->end && p->at[run] == quote)
        run++;
    p->at += run;
    for (size_t i = run >= 3 ? 3 : 0; i < run; i++)
        buf_char(&p->text, quote);
    return run >= 3;
}

static bool at_triple(const struct parser *p, char quote)
{
    return p->end - p->at >= 3 && p->at[0] == quote && p->at[1] == quote && p->at[2] == quote;
}

/* Everything up to the closing quote goes to p->text. */
static int read_body(struct parser *p, char quote, bool many_lines)
{
    int first_line = p->line;
    for (;;) {
        if (p->at == p->end)
            return wrong(p, "the string begun in line %d does not end", first_line);
        int end = line_end(p);
        if (end && !many_lines)
            return wrong(p, "the string does not end on its line: close it with %c", quote);
        if (end) {
            buf_char(&p->text, '\n');
            p->at += end;
            p->line++;
        } else if (*p->at == quote && many_lines) {
            if (take_quotes(p, quote))
                return 0;
        } else if (*p->at == quote) {
            p->at++;
            return 0;
        } else if (*p->at == '\\' && quote == '"') {
            TRY(read_escape(p, many_lines));
        } else if (is_control(*p->at)) {
            return wrong(p, "a control character stands in a string: write it as an escape");
        } else {
            buf_char(&p->text, *p->at++);
        }
    }
}

static int read_string(struct parser *p, bool may_be_long, struct str *out)
{
    char quote = *p->at;
    bool many_lines = may_be_long && at_triple(p, quote);
    p->at += many_lines ? 3 : 1;
    int end = many_lines ? line_end(p) : 0;
    p->at += end;
    p->line += end > 0;
    buf_clear(&p->text);
    TRY(read_body(p, quote, many_lines));
    if (p->text.failed)
        return err_set(ERR_LIMIT, "%s: no memory for a string", p->file);
    *out = arena_str(p->arena, buf_view(&p->text));
    return out->ptr ? 0 : ERR_LIMIT;
}

/* ---- keys ---- */

static bool is_bare(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-';
}

static int read_key_part(struct parser *p, const char **out)
{
    struct str key;
    if (is_at(p, '"') || is_at(p, '\'')) {
        TRY(read_string(p, false, &key));
        if (memchr(key.ptr, 0, key.len))
            return wrong(p, "a key may not hold a zero byte");
    } else {
        const char *from = p->at;
        while (p->at < p->end && is_bare(*p->at))
            p->at++;
        if (p->at == from)
            return unexpected(p, "a key");
        key = arena_str(p->arena, (struct str){from, (size_t)(p->at - from)});
        if (!key.ptr)
            return ERR_LIMIT;
    }
    *out = key.ptr;
    return 0;
}

static int read_path(struct parser *p, struct path *path)
{
    path->count = 0;
    for (;;) {
        if (path->count == PARTS_MAX)
            return wrong(p, "a key of more than %d parts", PARTS_MAX);
        skip_blanks(p);
        TRY(read_key_part(p, &path->part[path->count]));
        path->count++;
        skip_blanks(p);
        if (!is_at(p, '.'))
            return 0;
        p->at++;
    }
}

/* ---- the tree ---- */

static struct conf_node *find(const struct conf_node *table, const char *key)
{
    struct conf_node *child = table->child;
    while (child && strcmp(child->key, key) != 0)
        child = child->next;
    return child;
}

static int new_node(struct parser *p, const char *key, enum conf_type type, enum conf_how how,
                    struct conf_node **out)
{
    *out = arena_array_zero(p->arena, struct conf_node, 1);
    if (!*out)
        return ERR_LIMIT;
    **out = (struct conf_node){
        .type = type, .how = how, .key = key, .file = p->file, .line = p->line};
    return 0;
}

static int append(struct parser *p, struct conf_node *parent, struct conf_node *child)
{
    int count = 0;
    struct conf_node **end = &parent->child;
    for (; *end; end = &(*end)->next)
        count++;
    if (count >= CHILDREN_MAX)
        return wrong(p, "more than %d keys in one table", CHILDREN_MAX);
    *end = child;
    return 0;
}

static int add_child(struct parser *p, struct conf_node *parent, const char *key,
                     enum conf_type type, enum conf_how how, struct conf_node **out)
{
    TRY(new_node(p, key, type, how, out));
    return append(p, parent, *out);
}

static int twice(const struct parser *p, const struct conf_node *old)
{
    return wrong(p, "'%s' is already defined in line %d: keep one of them", old->key, old->line);
}

/* The node for key = value: makes the tables its dots name. */
static int place_key(struct parser *p, struct conf_node *table, const struct path *path,
                     struct conf_node **out)
{
    for (int i = 0; i + 1 < path->count; i++) {
        struct conf_node *child = find(table, path->part[i]);
        if (!child)
            TRY(add_child(p, table, path->part[i], CONF_TABLE, CONF_BY_DOTS, &child));
        else if (child->how != CONF_BY_DOTS && child->how != CONF_BY_PATH)
            return twice(p, child);
        child->how = CONF_BY_DOTS;
        table = child;
    }
    const char *key = path->part[path->count - 1];
    struct conf_node *old = find(table, key);
    if (old)
        return twice(p, old);
    return add_child(p, table, key, CONF_TABLE, CONF_CLOSED, out);
}

static struct conf_node *last_child(const struct conf_node *array)
{
    struct conf_node *last = array->child;
    while (last && last->next)
        last = last->next;
    return last;
}

/* The table that holds the last part of a header. */
static int walk_header(struct parser *p, struct conf_node **table, const struct path *path)
{
    for (int i = 0; i + 1 < path->count; i++) {
        struct conf_node *child = find(*table, path->part[i]);
        if (!child)
            TRY(add_child(p, *table, path->part[i], CONF_TABLE, CONF_BY_PATH, &child));
        else if (child->how == CONF_BY_DOUBLE)
            child = last_child(child);
        else if (child->how == CONF_CLOSED)
            return twice(p, child);
        *table = child;
    }
    return 0;
}

/* ---- values ---- */

static int read_value(struct parser *p, struct conf_node *node);

/* Underscores may stand between two digits only; copies without them. */
static bool drop_underscores(struct str from, char to[NUMBER_MAX], struct str *out)
{
    size_t len = 0;
    bool hex = from.len > 2 && from.ptr[0] == '0' && from.ptr[1] == 'x';
    for (size_t i = 0; i < from.len; i++) {
        char c = from.ptr[i];
        if (c != '_') {
            to[len++] = c;
            continue;
        }
        for (int side = -1; side <= 1; side += 2) {
            char n = i > 0 && i + 1 < from.len ? from.ptr[i + (size_t)side] : 0;
            bool letter = (n >= 'a' && n <= 'f') || (n >= 'A' && n <= 'F');
            if (!(n >= '0' && n <= '9') && !(hex && letter))
                return false;
        }
    }
    to[len] = 0;
    *out = (struct str){to, len};
    return true;
}

static bool read_based(struct str digits, unsigned base, int64_t *out)
{
    uint64_t value = 0;
    if (digits.len == 0)
        return false;
    for (size_t i = 0; i < digits.len; i++) {
        char c = digits.ptr[i];
        unsigned digit = c >= '0' && c <= '9' ? (unsigned)(c - '0')
                       : c >= 'a' && c <= 'f' ? (unsigned)(c - 'a' + 10)
                       : c >= 'A' && c <= 'F' ? (unsigned)(c - 'A' + 10) : 16;
        if (digit >= base || value > (uint64_t)INT64_MAX / base)
            return false;
        value = value * base + digit;
        if (value > INT64_MAX)
            return false;
    }
    *out = (int64_t)value;
    return true;
}

static size_t digits_at(struct str s, size_t at)
{
    size_t from = at;
    while (at < s.len && s.ptr[at] >= '0' && s.ptr[at] <= '9')
        at++;
    return at - from;
}

/* Decimal grammar: sign, digits without a leading 0, fraction, exponent. *whole: an integer. */
static bool is_decimal(struct str s, bool *whole)
{
    size_t at = s.len && (s.ptr[0] == '+' || s.ptr[0] == '-'), count = digits_at(s, at);
    if (count == 0 || (count > 1 && s.ptr[at] == '0'))
        return false;
    at += count;
    *whole = at == s.len;
    if (at < s.len && s.ptr[at] == '.') {
        count = digits_at(s, at + 1);
        if (count == 0)
            return false;
        at += count + 1;
    }
    if (at < s.len && (s.ptr[at] == 'e' || s.ptr[at] == 'E')) {
        at++;
        at += at < s.len && (s.ptr[at] == '+' || s.ptr[at] == '-');
        count = digits_at(s, at);
        if (count == 0)
            return false;
        at += count;
    }
    return at == s.len;
}

static bool is_date(struct str s)
{
    size_t count = digits_at(s, 0);
    return (count == 4 && s.len > 4 && s.ptr[4] == '-') ||
           (count == 2 && s.len > 2 && s.ptr[2] == ':');
}

static bool read_special(struct str s, struct conf_node *node)
{
    struct str bare = s.len && (s.ptr[0] == '+' || s.ptr[0] == '-') ? str_slice(s, 1, s.len) : s;
    if (str_is(s, "true") || str_is(s, "false")) {
        node->type = CONF_BOOL;
        node->boolean = s.ptr[0] == 't';
        return true;
    }
    if (!str_is(bare, "inf") && !str_is(bare, "nan"))
        return false;
    node->type = CONF_FLOAT;
    node->number = str_is(bare, "inf") ? (double)INFINITY : (double)NAN;
    if (s.ptr[0] == '-')
        node->number = -node->number;
    return true;
}

static int read_number(struct parser *p, struct str token, struct conf_node *node)
{
    char text[NUMBER_MAX];
    struct str s;
    bool whole = false;
    if (is_date(token))
        return wrong(p, "dates are not read: write \"%.*s\" in quotes", STR_ARG(token));
    if (token.len >= NUMBER_MAX || !drop_underscores(token, text, &s))
        return wrong(p, "'%.80s' is not a value: text needs quotes", node->string.ptr);
    char kind = s.len > 2 && s.ptr[0] == '0' ? s.ptr[1] : 0;
    if (kind == 'x' || kind == 'o' || kind == 'b') {
        node->type = CONF_INT;
        unsigned base = kind == 'x' ? 16 : kind == 'o' ? 8 : 2;
        if (!read_based(str_slice(s, 2, s.len), base, &node->integer))
            return wrong(p, "'%s' is not an integer of base %u below 2^63", text, base);
        node->number = (double)node->integer;
        return 0;
    }
    if (!is_decimal(s, &whole))
        return wrong(p, "'%.80s' is not a value: text needs quotes", node->string.ptr);
    node->type = whole ? CONF_INT : CONF_FLOAT;
    if (whole ? !str_i64(s, &node->integer) : !str_f64(s, &node->number))
        return wrong(p, "%s is too large", text);
    if (whole)
        node->number = (double)node->integer;
    return 0;
}

static int read_plain(struct parser *p, struct conf_node *node)
{
    const char *from = p->at;
    while (p->at < p->end && (is_bare(*p->at) || strchr("+.:", *p->at)) && *p->at)
        p->at++;
    struct str token = {from, (size_t)(p->at - from)};
    if (token.len == 0)
        return unexpected(p, "a value");
    node->string = arena_str(p->arena, token);
    if (!node->string.ptr)
        return ERR_LIMIT;
    return read_special(token, node) ? 0 : read_number(p, token, node);
}

static int read_array(struct parser *p, struct conf_node *node)
{
    struct conf_node **end = &node->child;
    int first_line = p->line;
    node->type = CONF_ARRAY;
    p->at++;
    for (;;) {
        TRY(skip_lines(p));
        if (p->at == p->end)
            return wrong(p, "the array begun in line %d does not end", first_line);
        if (is_at(p, ']')) {
            p->at++;
            return 0;
        }
        TRY(new_node(p, NULL, CONF_TABLE, CONF_CLOSED, end));
        TRY(read_value(p, *end));
        end = &(*end)->next;
        TRY(skip_lines(p));
        if (is_at(p, ','))
            p->at++;
        else if (p->at < p->end && !is_at(p, ']'))
            return unexpected(p, "',' or ']'");
    }
}

static int read_key_value(struct parser *p, struct conf_node *table)
{
    struct path path;
    struct conf_node *node;
    TRY(read_path(p, &path));
    if (!is_at(p, '='))
        return unexpected(p, "'=' behind the key");
    p->at++;
    skip_blanks(p);
    TRY(place_key(p, table, &path, &node));
    return read_value(p, node);
}

static int read_inline_table(struct parser *p, struct conf_node *node)
{
    node->type = CONF_TABLE;
    p->at++;
    skip_blanks(p);
    if (is_at(p, '}')) {
        p->at++;
        return 0;
    }
    for (;;) {
        TRY(read_key_value(p, node));
        skip_blanks(p);
        if (is_at(p, '}'))
            break;
        if (!is_at(p, ','))
            return unexpected(p, "',' or '}' (an inline table stands on one line)");
        p->at++;
        skip_blanks(p);
    }
    p->at++;
    return 0;
}

static int read_value(struct parser *p, struct conf_node *node)
{
    int rc;
    char c = p->at < p->end ? *p->at : 0;
    if (p->nest == NEST_MAX)
        return wrong(p, "nested deeper than %d levels", NEST_MAX);
    p->nest++;
    if (c == '"' || c == '\'') {
        node->type = CONF_STRING;
        rc = read_string(p, true, &node->string);
    } else if (c == '[') {
        rc = read_array(p, node);
    } else if (c == '{') {
        rc = read_inline_table(p, node);
    } else {
        rc = read_plain(p, node);
    }
    p->nest--;
    return rc;
}

/* ---- statements ---- */

static int read_header(struct parser *p, struct conf_node *root, struct conf_node **table)
{
    struct path path;
    bool array = p->end - p->at > 1 && p->at[1] == '[';
    p->at += array ? 2 : 1;
    TRY(read_path(p, &path));
    for (int i = 0; i < 1 + array; i++, p->at++)
        if (!is_at(p, ']'))
            return unexpected(p, array ? "']]'" : "']'");
    struct conf_node *parent = root;
    TRY(walk_header(p, &parent, &path));
    const char *key = path.part[path.count - 1];
    struct conf_node *child = find(parent, key);
    if (array) {
        if (!child)
            TRY(add_child(p, parent, key, CONF_ARRAY, CONF_BY_DOUBLE, &child));
        else if (child->how != CONF_BY_DOUBLE)
            return twice(p, child);
        return add_child(p, child, NULL, CONF_TABLE, CONF_BY_HEADER, table);
    }
    if (!child)
        return add_child(p, parent, key, CONF_TABLE, CONF_BY_HEADER, table);
    if (child->how != CONF_BY_PATH)
        return twice(p, child);
    child->how = CONF_BY_HEADER;
    child->line = p->line;
    *table = child;
    return 0;
}

static int check_utf8(struct parser *p, struct str text)
{
    if (utf8_valid(text))
        return 0;
    const char *at = text.ptr, *end = text.ptr + text.len;
    for (int len; at < end; at += len) {
        uint32_t cp;
        len = utf8_decode(at, end, &cp);
        if (len == 1 && cp == 0xFFFD)
            break;
        p->line += p->line > 0 && *at == '\n';
    }
    return wrong(p, "byte 0x%02X is not UTF-8: save the text as UTF-8", (unsigned char)*at);
}

static int read_document(struct parser *p, struct conf_node *root)
{
    struct conf_node *table = root;
    for (;;) {
        TRY(skip_lines(p));
        if (p->at == p->end)
            return 0;
        if (is_at(p, '['))
            TRY(read_header(p, root, &table));
        else
            TRY(read_key_value(p, table));
        skip_blanks(p);
        TRY(skip_comment(p));
        if (p->at < p->end && !line_end(p))
            return unexpected(p, "the end of the line");
    }
}

int conf_parse_at(struct arena *a, const char *file, int line, struct str text,
                  struct conf_node **root)
{
    struct parser p = {.arena = a, .file = arena_strdup(a, str_of(file)), .line = line};
    if (!p.file)
        return ERR_LIMIT;
    if (text.len > TEXT_MAX)
        return err_set(ERR_USAGE, "%s: has %zu bytes, a recipe at most %d", file, text.len,
                       TEXT_MAX);
    if (str_starts(text, "\xEF\xBB\xBF"))
        text = str_slice(text, 3, text.len);
    TRY(check_utf8(&p, text));
    p.at = text.ptr;
    p.end = text.ptr + text.len;
    TRY(new_node(&p, NULL, CONF_TABLE, CONF_BY_HEADER, root));
    int rc = read_document(&p, *root);
    buf_free(&p.text);
    return rc;
}

int conf_parse(struct arena *a, const char *file, struct str text, struct conf_node **root)
{
    return conf_parse_at(a, file, 1, text, root);
}

/* opt - parameters from presets, recipes and flags, checked against the row that describes them. */
#include "core/opt.h"

#include "core/err.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

enum { ROWS_MAX = 256, ITEMS_MAX = 65536, HELP_COLUMN = 30, HELP_WIDTH = 100 };

static void *field_of(const struct opt *row, void *conf) { return (char *)conf + row->offset; }

/* ---- names ---- */

/* Flags are written with - or _, recipes with _. */
static bool same_name(const char *name, struct str text)
{
    size_t i = 0;
    for (; i < text.len && name[i]; i++)
        if (name[i] != (text.ptr[i] == '-' ? '_' : text.ptr[i]))
            return false;
    return i == text.len && !name[i];
}

static const struct opt *find_row(const struct opt *rows, struct str name)
{
    for (; rows->type != OPT_END; rows++)
        if (same_name(rows->name, name))
            return rows;
    return NULL;
}

/* "did you mean" over rows and `also`, or NULL. */
static const char *nearest(const struct opt *rows, const char *const *also, const char *name)
{
    const char *known[ROWS_MAX + 1];
    int count = 0;
    for (; rows->type != OPT_END && count < ROWS_MAX; rows++)
        known[count++] = rows->name;
    for (; also && *also && count < ROWS_MAX; also++)
        known[count++] = *also;
    known[count] = NULL;
    return conf_nearest(name, known);
}

/* ---- text to values ---- */

/* [min, max] as people write it: integers whole, sizes with their suffix. */
static void print_range(const struct opt *row, char out[80])
{
    if (row->min == 0 && row->max == 0)
        out[0] = 0;
    else
        snprintf(out, 80, "%.10g to %.10g", row->min, row->max);
}

static int check_range(const struct opt *row, double value, const char *text, const char *where)
{
    char range[80];
    /* A row that gives no range has both ends 0. */
    if ((row->min == 0 && row->max == 0) || (value >= row->min && value <= row->max))
        return 0;
    print_range(row, range);
    return err_set(ERR_USAGE, "%s: %s = %s is out of range: %s%s%s", where, row->name, text, range,
                   row->unit ? " " : "", row->unit ? row->unit : "");
}

static int not_a(const struct opt *row, const char *what, const char *text, const char *where)
{
    return err_set(ERR_USAGE, "%s: %s expects %s, got \"%.100s\"", where, row->name, what, text);
}

/* Copies text without underscores between digits; false when it is too long for a number. */
static bool plain_number(const char *text, char out[64])
{
    size_t len = 0;
    for (size_t i = 0; text[i]; i++) {
        bool joint = text[i] == '_' && i > 0 && strchr("0123456789", text[i - 1]) && text[i + 1] &&
                     strchr("0123456789", text[i + 1]);
        if (joint)
            continue;
        if (len == 63)
            return false;
        out[len++] = text[i];
    }
    out[len] = 0;
    return len > 0;
}

/* Finite only: no parameter of ours means anything at infinity. strtod also reads hex and words. */
static bool read_double(const char *text, double *out)
{
    char plain[64];
    if (!plain_number(text, plain) || strspn(plain, "0123456789+-.eE") != strlen(plain))
        return false;
    return str_f64(str_of(plain), out) && isfinite(*out);
}

static int set_int(const struct opt *row, void *field, const char *text, const char *where)
{
    char plain[64];
    int64_t value;
    double real;
    if (!plain_number(text, plain) || !str_i64(str_of(plain), &value)) {
        /* 1e9 is an integer to people. Up to 2^53 every one has its own double. */
        if (!read_double(text, &real) || real != floor(real) || fabs(real) > 0x1p53)
            return not_a(row, "an integer", text, where);
        value = (int64_t)real;
    }
    TRY(check_range(row, (double)value, text, where));
    memcpy(field, &value, sizeof value);
    return 0;
}

static int set_float(const struct opt *row, void *field, const char *text, const char *where)
{
    double value;
    if (!read_double(text, &value))
        return not_a(row, "a number", text, where);
    TRY(check_range(row, value, text, where));
    memcpy(field, &value, sizeof value);
    return 0;
}

/* 65536, 64k, 1.5G, 512MiB: powers of 1024. */
static int set_size(const struct opt *row, void *field, const char *text, const char *where)
{
    static const char letters[] = "kmgt";
    struct str s = str_trim(str_of(text));
    char digits[64];
    double scale = 1, real;
    uint64_t value;
    if (str_ends(s, "iB"))
        s.len -= 2;
    char last = s.len ? s.ptr[s.len - 1] : 0;
    const char *letter = last ? strchr(letters, last | 32) : NULL;
    if (letter) {
        scale = ldexp(1, 10 * (int)(letter - letters + 1));
        s = str_trim(str_slice(s, 0, s.len - 1));
    } else if (s.len + 2 == strlen(text) && s.len) {
        return not_a(row, "bytes such as 4096, 512k, 64M, 1.5G", text, where);
    }
    snprintf(digits, sizeof digits, "%.*s", STR_ARG(s));
    char plain[64];
    if (scale == 1 && plain_number(digits, plain) && str_u64(str_of(plain), &value)) {
        TRY(check_range(row, (double)value, text, where));
    } else {
        if (s.len >= sizeof digits || !read_double(digits, &real) || real < 0 ||
            real * scale >= 0x1p63 || real * scale != floor(real * scale))
            return not_a(row, "bytes such as 4096, 512k, 64M, 1.5G", text, where);
        TRY(check_range(row, real * scale, text, where));
        value = (uint64_t)(real * scale);
    }
    memcpy(field, &value, sizeof value);
    return 0;
}

static int set_bool(const struct opt *row, void *field, const char *text, const char *where)
{
    static const char *const yes[] = {"true", "yes", "on", "1"};
    static const char *const no[] = {"false", "no", "off", "0"};
    for (size_t i = 0; i < COUNT_OF(yes); i++) {
        bool value = strcmp(text, yes[i]) == 0;
        if (!value && strcmp(text, no[i]) != 0)
            continue;
        memcpy(field, &value, sizeof value);
        return 0;
    }
    return not_a(row, "true or false", text, where);
}

static int set_text(void *field, struct str text, struct arena *a)
{
    const char *copy = arena_strdup(a, text);
    if (!copy)
        return ERR_LIMIT;
    memcpy(field, &copy, sizeof copy);
    return 0;
}

static int set_enum(const struct opt *row, void *field, const char *text, const char *where,
                    struct arena *a)
{
    struct str rest = str_of(row->unit);
    while (rest.ptr)
        if (str_is(str_cut(rest, '|', &rest), text))
            return set_text(field, str_of(text), a);
    return err_set(ERR_USAGE, "%s: %s is one of %s, not \"%.100s\"", where, row->name, row->unit,
                   text);
}

/* Length of the first item: up to a comma that no bracket or quote encloses. */
static size_t item_length(struct str s)
{
    int nest = 0;
    char quote = 0;
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];
        if (quote)
            quote = c == quote ? 0 : quote;
        else if (c == '"' || c == '\'')
            quote = c;
        else if (c == '[' || c == '{')
            nest++;
        else if (c == ']' || c == '}')
            nest--;
        else if (c == ',' && nest <= 0)
            return i;
    }
    return s.len;
}

static int add_item(struct opt_list *list, struct str item, struct arena *a)
{
    assert(list->count < ITEMS_MAX);
    list->item[list->count] = arena_strdup(a, item);
    return list->item[list->count++] ? 0 : ERR_LIMIT;
}

/* "a, b" to items; kept ones of *field stay in front. */
static int set_list(const struct opt *row, struct opt_list *field, bool keep, const char *text,
                    const char *where, struct arena *a)
{
    struct opt_list list = {0};
    struct str s = str_of(text);
    size_t room = (keep ? field->count : 0) + str_count(s, STR(",")) + 1;
    if (room > ITEMS_MAX)
        return err_set(ERR_USAGE, "%s: %s has more than %d items", where, row->name, ITEMS_MAX);
    list.item = arena_array(a, const char *, room);
    if (!list.item)
        return ERR_LIMIT;
    for (size_t i = 0; keep && i < field->count; i++)
        list.item[list.count++] = field->item[i];
    while (s.len) {
        size_t len = item_length(s);
        struct str item = str_trim(str_slice(s, 0, len));
        if (item.len == 0 && str_trim(s).len)
            return err_set(ERR_USAGE, "%s: %s has an empty item in \"%.100s\"", where, row->name,
                           text);
        if (item.len)
            TRY(add_item(&list, item, a));
        s = str_slice(s, len + (len < s.len), s.len);
    }
    *field = list;
    return 0;
}

int opt_set(const struct opt *row, void *conf, const char *text, const char *where, struct arena *a)
{
    void *field = field_of(row, conf);
    switch (row->type) {
    case OPT_BOOL: return set_bool(row, field, text, where);
    case OPT_INT: return set_int(row, field, text, where);
    case OPT_FLOAT: return set_float(row, field, text, where);
    case OPT_SIZE: return set_size(row, field, text, where);
    case OPT_STR: return set_text(field, str_of(text), a);
    case OPT_ENUM: return set_enum(row, field, text, where, a);
    case OPT_LIST: return set_list(row, field, false, text, where, a);
    case OPT_END: break;
    }
    return err_set(ERR_USAGE, "%s: %s has no type", where, row->name);
}

int opt_defaults(const struct opt *rows, void *conf, struct arena *a)
{
    static const char *const empty[] = {
        [OPT_BOOL] = "false", [OPT_INT] = "0", [OPT_FLOAT] = "0",
        [OPT_SIZE] = "0", [OPT_LIST] = ""};
    for (; rows->type != OPT_END; rows++) {
        if (!rows->preset && (rows->type == OPT_STR || rows->type == OPT_ENUM))
            TRY(set_text(field_of(rows, conf), STR(""), a));
        else
            TRY(opt_set(rows, conf, rows->preset ? rows->preset : empty[rows->type], "preset", a));
    }
    return 0;
}

/* ---- recipes ---- */

static const char *const type_names[] = {
    [OPT_BOOL] = "true or false", [OPT_INT] = "an integer", [OPT_FLOAT] = "a number",
    [OPT_SIZE] = "bytes such as 4096 or \"64M\"", [OPT_STR] = "a text in quotes",
    [OPT_ENUM] = "a text in quotes", [OPT_LIST] = "a list of texts"};
static const char *const node_names[] = {
    [CONF_TABLE] = "a table", [CONF_ARRAY] = "a list", [CONF_STRING] = "a text",
    [CONF_INT] = "an integer", [CONF_FLOAT] = "a number", [CONF_BOOL] = "true or false"};

/* Files say their types; what came from the command line is text first and always may try. */
static bool type_fits(enum opt_type want, const struct conf_node *node)
{
    bool number = node->type == CONF_INT || node->type == CONF_FLOAT;
    if (node->type == CONF_TABLE)
        return false;
    if (node->type == CONF_ARRAY)
        return want == OPT_LIST;
    if (node->line == 0)
        return true;
    switch (want) {
    case OPT_BOOL: return node->type == CONF_BOOL;
    case OPT_INT: case OPT_FLOAT: return number;
    case OPT_SIZE: return number || node->type == CONF_STRING;
    default: return node->type == CONF_STRING;
    }
}

/* A scalar as the text opt_set reads: hex and such in their decimal form. */
static const char *node_text(enum opt_type want, const struct conf_node *node, char out[64])
{
    bool number = want == OPT_INT || want == OPT_FLOAT || want == OPT_SIZE;
    if (number && node->type == CONF_INT)
        snprintf(out, 64, "%" PRId64, node->integer);
    else if (number && node->type == CONF_FLOAT)
        snprintf(out, 64, "%.17g", node->number);
    else
        return node->string.ptr; /* the arena's copies end with a NUL */
    return out;
}

static int set_array(const struct opt *row, struct opt_list *field, const struct conf_node *array,
                     const char *where, struct arena *a)
{
    size_t count = 0;
    struct opt_list list = {0};
    for (const struct conf_node *item = array->child; item; item = item->next, count++)
        if (item->type == CONF_TABLE || item->type == CONF_ARRAY)
            return err_set(ERR_USAGE, "%s: %s expects a list of texts, item %zu is %s", where,
                           row->name, count + 1, node_names[item->type]);
    if (count > ITEMS_MAX)
        return err_set(ERR_USAGE, "%s: %s has %zu items, at most %d are read", where, row->name,
                       count, ITEMS_MAX);
    list.item = arena_array(a, const char *, count ? count : 1);
    if (!list.item)
        return ERR_LIMIT;
    for (const struct conf_node *item = array->child; item; item = item->next)
        TRY(add_item(&list, item->string, a));
    *field = list;
    return 0;
}

static int set_node(const struct opt *row, void *conf, const struct conf_node *node,
                    struct arena *a)
{
    char where_text[256], text[64];
    const char *where = conf_where(node, where_text);
    if (!type_fits(row->type, node))
        return err_set(ERR_USAGE, "%s: %s expects %s, got %s", where, row->name,
                       type_names[row->type], node_names[node->type]);
    if (node->type == CONF_ARRAY)
        return set_array(row, field_of(row, conf), node, where, a);
    const char *value = node_text(row->type, node, text);
    if (node->type == CONF_STRING && strlen(value) != node->string.len)
        return err_set(ERR_USAGE, "%s: %s may not hold a zero byte", where, row->name);
    return opt_set(row, conf, value, where, a);
}

int opt_from_recipe(const struct opt *rows, void *conf, const struct conf_node *table,
                    const char *const *also, struct arena *a)
{
    char where[256];
    if (!table)
        return 0;
    if (table->type != CONF_TABLE)
        return err_set(ERR_USAGE, "%s: %s is to be a table: write [%s]", conf_where(table, where),
                       table->key, table->key);
    for (struct conf_node *node = table->child; node; node = node->next) {
        const struct opt *row = NULL;
        for (const struct opt *each = rows; each->type != OPT_END && !row; each++)
            row = strcmp(each->name, node->key) == 0 ? each : NULL;
        if (row) {
            node->used = true;
            TRY(set_node(row, conf, node, a));
            continue;
        }
        const char *const *other = also;
        while (other && *other && strcmp(*other, node->key) != 0)
            other++;
        if (other && *other)
            continue;
        const char *near = nearest(rows, also, node->key);
        return err_set(ERR_USAGE, "%s: unknown key '%s': %s%s%s", conf_where(node, where),
                       node->key, near ? "did you mean '" : "remove it", near ? near : "",
                       near ? "'?" : "");
    }
    return 0;
}

/* ---- flags ---- */

static int unknown_flag(const struct opt *rows, struct str name)
{
    char text[64], flag[64];
    snprintf(text, sizeof text, "%.*s", (int)(name.len < 63 ? name.len : 63), name.ptr);
    for (char *at = text; *at; at++)
        *at = *at == '-' ? '_' : *at;
    const char *near = nearest(rows, NULL, text);
    if (!near && strncmp(text, "no_", 3) == 0)
        near = nearest(rows, NULL, text + 3);
    if (!near)
        return err_set(ERR_USAGE, "there is no flag --%.60s: --help lists them", name.ptr);
    snprintf(flag, sizeof flag, "%s", near);
    for (char *at = flag; *at; at++)
        *at = *at == '_' ? '-' : *at;
    return err_set(ERR_USAGE, "there is no flag --%.*s: did you mean --%s?", STR_ARG(name), flag);
}

/* The row of --name or --no-name. */
static const struct opt *find_flag(const struct opt *rows, struct str name, bool *off)
{
    const struct opt *row = find_row(rows, name);
    *off = false;
    if (row || !str_starts(name, "no-"))
        return row;
    row = find_row(rows, str_slice(name, 3, name.len));
    *off = true;
    return row && row->type == OPT_BOOL ? row : NULL;
}

/* One flag at argv[*at]; moves *at on when its value is the next argument. */
static int take_flag(const struct opt *rows, void *conf, int argc, char **argv, int *at,
                     bool *again, struct arena *a)
{
    struct str value, name = str_cut(str_of(argv[*at] + 2), '=', &value);
    char where[80];
    bool off;
    const struct opt *row = find_flag(rows, name, &off);
    if (!row)
        return unknown_flag(rows, name);
    snprintf(where, sizeof where, "--%.*s", STR_ARG(name));
    if (off && value.ptr)
        return err_set(ERR_USAGE, "%s takes no value: it means %s=false", where, row->name);
    const char *text = value.ptr;
    if (!text && row->type == OPT_BOOL) {
        text = off ? "false" : "true";
    } else if (!text) {
        if (*at + 1 >= argc || strncmp(argv[*at + 1], "--", 2) == 0)
            return err_set(ERR_USAGE, "%s needs a value, %s: %s=...", where, type_names[row->type],
                           where);
        text = argv[++*at];
    }
    /* The first --list replaces the preset, further ones add to it. */
    bool keep = again[row - rows];
    again[row - rows] = true;
    if (row->type == OPT_LIST)
        return set_list(row, field_of(row, conf), keep, text, where, a);
    return opt_set(row, conf, text, where, a);
}

int opt_from_args(const struct opt *rows, void *conf, int *argc, char **argv, struct arena *a)
{
    int kept = 0, count = 0;
    bool again[ROWS_MAX] = {false};
    while (rows[count].type != OPT_END)
        count++;
    assert(count <= ROWS_MAX);
    for (int i = 0; i < *argc; i++) {
        const char *text = argv[i];
        if (strcmp(text, "--") == 0) {
            while (++i < *argc)
                argv[kept++] = argv[i];
            break;
        }
        if (strncmp(text, "--", 2) == 0)
            TRY(take_flag(rows, conf, *argc, argv, &i, again, a));
        else if (text[0] == '-' && text[1] && !strchr(".0123456789", text[1]))
            return err_set(ERR_USAGE, "there is no flag %.60s: flags have long names, --help lists "
                           "them (put -- before a file of this name)", text);
        else
            argv[kept++] = argv[i];
    }
    *argc = kept;
    return 0;
}

/* ---- help and the resolved values ---- */

static const char *value_name(const struct opt *row)
{
    static const char *const names[] = {
        [OPT_INT] = "N", [OPT_FLOAT] = "X", [OPT_SIZE] = "SIZE", [OPT_STR] = "TEXT",
        [OPT_ENUM] = "NAME", [OPT_LIST] = "A,B"};
    return names[row->type];
}

/* Writes text behind column HELP_COLUMN, broken at spaces before HELP_WIDTH. */
static void print_wrapped(struct str text, int column, FILE *to)
{
    while (text.len) {
        struct str word = str_cut(text, ' ', &text);
        int width = (int)utf8_count(word);
        if (column > HELP_COLUMN && column + 1 + width > HELP_WIDTH) {
            fprintf(to, "\n%*s", HELP_COLUMN, "");
            column = HELP_COLUMN;
        } else if (column > HELP_COLUMN) {
            fputc(' ', to);
            column++;
        }
        fprintf(to, "%.*s", STR_ARG(word));
        column += width;
    }
    fputc('\n', to);
}

static void describe(const struct opt *row, struct buf *text)
{
    char range[80];
    const char *gap = "";
    bool number = row->type == OPT_INT || row->type == OPT_FLOAT || row->type == OPT_SIZE;
    buf_printf(text, "%s (", row->help);
    if (row->type == OPT_ENUM) {
        buf_printf(text, "%s", row->unit);
        gap = "; ";
    }
    print_range(row, range);
    if (number && *range) {
        buf_printf(text, "%s", range);
        gap = "; ";
    }
    if (number && row->unit)
        buf_printf(text, "%s%s", *range ? " " : "", row->unit);
    if (number && row->unit)
        gap = "; ";
    if (row->preset && *row->preset) {
        buf_printf(text, "%spreset %s", gap, row->preset);
        gap = "; ";
    }
    if (row->source)
        buf_printf(text, "%s%s", gap, row->source);
    buf_char(text, ')');
    if (str_ends(buf_view(text), " ()"))
        text->len -= 3;
}

static void print_described(const struct opt *row, struct buf *name, FILE *to)
{
    struct buf text = {0};
    describe(row, &text);
    fprintf(to, "%s", buf_cstr(name));
    if (name->len + 2 > HELP_COLUMN)
        fprintf(to, "\n%*s", HELP_COLUMN, "");
    else
        fprintf(to, "%*s", HELP_COLUMN - (int)name->len, "");
    print_wrapped(buf_view(&text), HELP_COLUMN, to);
    buf_free(name);
    buf_free(&text);
}

void opt_print_help(const struct opt *rows, FILE *to)
{
    for (; rows->type != OPT_END; rows++) {
        struct buf flag = {0};
        bool on = rows->type == OPT_BOOL && rows->preset && strcmp(rows->preset, "true") == 0;
        buf_printf(&flag, "  --%s%s", on ? "[no-]" : "", rows->name);
        for (size_t i = 0; i < flag.len; i++)
            flag.ptr[i] = flag.ptr[i] == '_' ? '-' : flag.ptr[i];
        if (rows->type != OPT_BOOL)
            buf_printf(&flag, "=%s", value_name(rows));
        print_described(rows, &flag, to);
    }
}

void opt_print_keys(const struct opt *rows, FILE *to)
{
    for (; rows->type != OPT_END; rows++) {
        static const char *const values[] = {[OPT_BOOL] = "true|false", [OPT_INT] = "N",
            [OPT_FLOAT] = "X", [OPT_SIZE] = "\"SIZE\"", [OPT_STR] = "\"TEXT\"",
            [OPT_ENUM] = "\"NAME\"", [OPT_LIST] = "[\"A\", ...]"};
        struct buf key = {0};
        buf_printf(&key, "  %s = %s", rows->name, values[rows->type]);
        print_described(rows, &key, to);
    }
}

static void write_list(const struct opt_list *list, struct buf *to)
{
    buf_char(to, '[');
    for (size_t i = 0; i < list->count; i++) {
        buf_text(to, i ? ", " : "");
        conf_write_string(to, str_of(list->item[i]));
    }
    buf_char(to, ']');
}

void opt_write(const struct opt *rows, const void *conf, struct buf *to)
{
    for (; rows->type != OPT_END; rows++) {
        union {
            bool flag; int64_t integer; double real; uint64_t size; const char *text;
            struct opt_list list;
        } value;
        const char *field = (const char *)conf + rows->offset;
        buf_printf(to, "%s = ", rows->name);
        switch (rows->type) {
        case OPT_BOOL:
            memcpy(&value.flag, field, sizeof value.flag);
            buf_text(to, value.flag ? "true" : "false");
            break;
        case OPT_INT:
            memcpy(&value.integer, field, sizeof value.integer);
            buf_printf(to, "%" PRId64, value.integer);
            break;
        case OPT_FLOAT:
            memcpy(&value.real, field, sizeof value.real);
            conf_write_number(to, value.real);
            break;
        case OPT_SIZE:
            memcpy(&value.size, field, sizeof value.size);
            buf_printf(to, "%" PRIu64, value.size);
            break;
        case OPT_LIST:
            memcpy(&value.list, field, sizeof value.list);
            write_list(&value.list, to);
            break;
        default:
            memcpy(&value.text, field, sizeof value.text);
            conf_write_string(to, str_of(value.text));
        }
        buf_char(to, '\n');
    }
}

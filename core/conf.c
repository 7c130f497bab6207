/* conf - finding, setting and writing what a recipe says. */
#include "core/toml.h"

#include "core/err.h"

#include <math.h>
#include <stdio.h>

enum { NAME_MAX_BYTES = 256, NEAR_EDITS = 3 };

const char *conf_where(const struct conf_node *node, char buf[256])
{
    if (node->line == 0)
        return node->file;
    snprintf(buf, 256, "%s:%d", node->file, node->line);
    return buf;
}

static struct conf_node *child_of(const struct conf_node *table, const char *key)
{
    if (!table || table->type != CONF_TABLE)
        return NULL;
    struct conf_node *child = table->child;
    while (child && strcmp(child->key, key) != 0)
        child = child->next;
    return child;
}

struct conf_node *conf_get(const struct conf_node *table, const char *key)
{
    struct conf_node *child = child_of(table, key);
    if (child)
        child->used = true;
    return child;
}

/* ---- elements of arrays of tables, by name ---- */

static bool says(const struct conf_node *element, const char *key, const char *value)
{
    const struct conf_node *child = child_of(element, key);
    return child && child->type == CONF_STRING && str_is(child->string, value);
}

/* Elements of array whose `key` is value: their number, *found one of them. */
static int count_elements(const struct conf_node *array, const char *key, const char *value,
                          struct conf_node **found)
{
    int count = 0;
    for (struct conf_node *element = array->child; element; element = element->next) {
        if (!says(element, key, value))
            continue;
        *found = element;
        count++;
    }
    return count;
}

/* The element called value in one array, or in any array of table when array is NULL. `name` goes
 * before `use`: names are given to tell elements of one use apart. *found NULL: there is none. */
static int find_element(const struct conf_node *array, const struct conf_node *table,
                        const char *value, struct conf_node **found)
{
    static const char *const keys[] = {"name", "use"};
    *found = NULL;
    for (size_t i = 0; i < COUNT_OF(keys) && !*found; i++) {
        int count = 0;
        if (array)
            count = count_elements(array, keys[i], value, found);
        struct conf_node *child = array ? NULL : table->child;
        for (; child; child = child->next)
            if (child->type == CONF_ARRAY)
                count += count_elements(child, keys[i], value, found);
        if (count > 1)
            return err_set(ERR_USAGE, "%d tables have %s = \"%s\": give each its own `name`", count,
                           keys[i], value);
    }
    return 0;
}

struct conf_node *conf_path(const struct conf_node *root, const char *dotted)
{
    struct str rest = str_of(dotted);
    struct conf_node *node = NULL;
    for (const struct conf_node *from = root; rest.ptr && from; from = node) {
        char key[NAME_MAX_BYTES];
        struct str part = str_cut(rest, '.', &rest);
        snprintf(key, sizeof key, "%.*s", STR_ARG(part));
        if (from->type == CONF_ARRAY) {
            if (find_element(from, NULL, key, &node) < 0)
                return NULL;
        } else {
            node = child_of(from, key);
        }
        if (node)
            node->used = true;
    }
    return node;
}

/* ---- setting ---- */

/* Position of the '=' behind the key, quoted parts skipped. */
static size_t find_equals(struct str s)
{
    char quote = 0;
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];
        if (quote)
            quote = c == quote ? 0 : quote;
        else if (c == '"' || c == '\'')
            quote = c;
        else if (c == '=')
            return i;
    }
    return SIZE_MAX;
}

/* "key=value" as a tree of its own: value as TOML, or else as a string. */
static int parse_assignment(struct arena *a, const char *assignment, struct conf_node **fresh)
{
    struct str whole = str_of(assignment);
    size_t at = find_equals(whole);
    struct str key = str_trim(str_slice(whole, 0, at));
    if (at == SIZE_MAX || key.len == 0 || key.ptr[0] == '[' || key.ptr[0] == '#' ||
        memchr(key.ptr, '\n', key.len))
        return err_set(ERR_USAGE, "--set %s: write KEY=VALUE, as in --set source.path=x",
                       assignment);
    struct buf text = {0}, name = {0};
    buf_printf(&name, "--set %s", assignment);
    int rc = conf_parse_at(a, buf_cstr(&name), 0, whole, fresh);
    if (rc == ERR_USAGE || (rc == 0 && (*fresh)->child->next)) {
        buf_str(&text, key);
        buf_char(&text, '=');
        conf_write_string(&text, str_trim(str_slice(whole, at + 1, whole.len)));
        rc = conf_parse_at(a, buf_cstr(&name), 0, buf_view(&text), fresh);
    }
    buf_free(&text);
    buf_free(&name);
    return rc;
}

static void put_child(struct conf_node *table, struct conf_node *child)
{
    struct conf_node **at = &table->child;
    while (*at && strcmp((*at)->key, child->key) != 0)
        at = &(*at)->next;
    child->next = *at ? (*at)->next : NULL;
    *at = child;
}

/* One step of an assignment's dotted key, from *target to what `step` names: 0. Where that is not
 * there yet, step becomes it with all that hangs below: 1, and the value is in its place. */
static int step_into(const struct conf_node *root, struct conf_node **target,
                     struct conf_node *step)
{
    struct conf_node *next;
    int rc = 0;
    if ((*target)->type == CONF_ARRAY) {
        rc = find_element(*target, NULL, step->key, &next);
        if (rc == 0 && !next)
            rc = err_set(ERR_USAGE, "no [[%s]] has name or use \"%s\"", (*target)->key, step->key);
    } else {
        next = child_of(*target, step->key);
        if (!next && *target == root)
            rc = find_element(NULL, root, step->key, &next);
    }
    if (rc < 0)
        return err_in(rc, "%s", step->file);
    if (!next) {
        put_child(*target, step);
        return 1;
    }
    if (next->type != CONF_TABLE && next->type != CONF_ARRAY)
        return err_set(ERR_USAGE, "%s: %s is a value, not a table", step->file, step->key);
    *target = next;
    return 0;
}

int conf_set(struct arena *a, struct conf_node *root, const char *assignment)
{
    struct conf_node *fresh, *target = root, *step;
    TRY(parse_assignment(a, assignment, &fresh));
    for (step = fresh->child; step->how == CONF_BY_DOTS; step = step->child) {
        int made = step_into(root, &target, step);
        TRY(made);
        if (made)
            return 0;
    }
    if (target->type == CONF_ARRAY)
        return err_set(ERR_USAGE, "--set %s: say which of the [[%s]]: %s.NAME.%s=...", assignment,
                       target->key, target->key, step->key);
    put_child(target, step);
    return 0;
}

/* ---- unknown keys ---- */

const char *conf_nearest(const char *name, const char *const *known)
{
    const char *best = NULL;
    int best_edits = NEAR_EDITS + 1;
    for (; known && *known; known++) {
        int edits = str_distance(str_of(name), str_of(*known));
        /* Of a short name few letters may differ, or anything would be near. */
        if (edits < best_edits && edits * 2 <= (int)strlen(*known)) {
            best = *known;
            best_edits = edits;
        }
    }
    return best;
}

int conf_check_unused(const struct conf_node *table, const char *const *known)
{
    char where[256];
    for (const struct conf_node *child = table ? table->child : NULL; child; child = child->next) {
        if (child->used || !child->key)
            continue;
        const char *near = conf_nearest(child->key, known);
        if (near)
            return err_set(ERR_USAGE, "%s: unknown key '%s': did you mean '%s'?",
                           conf_where(child, where), child->key, near);
        return err_set(ERR_USAGE, "%s: unknown key '%s': remove it", conf_where(child, where),
                       child->key);
    }
    return 0;
}

/* ---- writing ---- */

void conf_write_string(struct buf *to, struct str value)
{
    static const char from[] = "\"\\\b\t\n\f\r", into[] = "\"\\btnfr";
    buf_char(to, '"');
    for (size_t i = 0; i < value.len; i++) {
        char c = value.ptr[i];
        const char *known = c ? strchr(from, c) : NULL;
        if (known) {
            buf_char(to, '\\');
            buf_char(to, into[known - from]);
        } else if ((unsigned char)c < 0x20 || c == 0x7F) {
            buf_printf(to, "\\u%04X", (unsigned char)c);
        } else {
            buf_char(to, c);
        }
    }
    buf_char(to, '"');
}

void conf_write_number(struct buf *to, double value)
{
    size_t from = to->len;
    if (!isfinite(value)) {
        buf_text(to, isnan(value) ? "nan" : value > 0 ? "inf" : "-inf");
        return;
    }
    buf_num(to, value);
    struct str text = str_slice(buf_view(to), from, to->len);
    if (str_find_char(text, '.') == SIZE_MAX && str_find_char(text, 'e') == SIZE_MAX)
        buf_text(to, ".0");
}

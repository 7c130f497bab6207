/* conf_canonical - a parsed recipe written out in one form, for tests to see all that was read. */
#ifndef SLUICE_TESTS_CONF_CANONICAL_H
#define SLUICE_TESTS_CONF_CANONICAL_H
#include "core/toml.h"

#include <stdlib.h>

static inline void write_key(struct buf *to, const char *key)
{
    size_t bare = strspn(key, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-");
    if (*key && !key[bare])
        buf_text(to, key);
    else
        conf_write_string(to, str_of(key));
}

static inline int by_key(const void *a, const void *b)
{
    const struct conf_node *const *left = a, *const *right = b;
    return strcmp((*left)->key, (*right)->key);
}

/* The children in order of their keys, NULL-ended, to free; NULL without memory. */
static inline const struct conf_node **sorted(const struct conf_node *table)
{
    size_t count = 0, i = 0;
    for (const struct conf_node *child = table->child; child; child = child->next)
        count++;
    const struct conf_node **list = calloc(count + 1, sizeof *list);
    if (!list)
        return NULL;
    for (const struct conf_node *child = table->child; child; child = child->next)
        list[i++] = child;
    if (count > 1)
        qsort(list, count, sizeof *list, by_key);
    return list;
}

/* Depth is bounded by the reader: parts of keys and nesting have their maxima. */
static inline void write_value(const struct conf_node *node, struct buf *to)
{
    const char *gap = "";
    const struct conf_node **list;
    switch (node->type) {
    case CONF_STRING: conf_write_string(to, node->string); break;
    case CONF_INT: buf_printf(to, "%lld", (long long)node->integer); break;
    case CONF_FLOAT: conf_write_number(to, node->number); break;
    case CONF_BOOL: buf_text(to, node->boolean ? "true" : "false"); break;
    case CONF_ARRAY:
        buf_char(to, '[');
        for (const struct conf_node *child = node->child; child; child = child->next) {
            buf_text(to, gap);
            write_value(child, to);
            gap = ", ";
        }
        buf_char(to, ']');
        break;
    case CONF_TABLE:
        list = sorted(node);
        to->failed |= !list;
        buf_char(to, '{');
        for (size_t i = 0; list && list[i]; i++) {
            buf_text(to, i ? ", " : "");
            write_key(to, list[i]->key);
            buf_text(to, " = ");
            write_value(list[i], to);
        }
        buf_char(to, '}');
        free(list);
        break;
    }
}

static inline bool is_table_array(const struct conf_node *node)
{
    if (node->type != CONF_ARRAY || !node->child)
        return false;
    for (const struct conf_node *child = node->child; child; child = child->next)
        if (child->type != CONF_TABLE)
            return false;
    return true;
}

static inline bool has_own_header(const struct conf_node *node)
{
    return node->type == CONF_TABLE || is_table_array(node);
}

static inline void write_table(const struct conf_node *table, struct buf *path, struct buf *to);

static inline void write_header(const char *open, const struct buf *path, const char *close,
                         struct buf *to)
{
    if (to->len)
        buf_char(to, '\n');
    buf_text(to, open);
    buf_str(to, buf_view(path));
    buf_text(to, close);
}

static inline void write_part(const struct conf_node *node, struct buf *path, struct buf *to)
{
    size_t mark = path->len;
    bool bare = node->type == CONF_TABLE && !node->child;
    if (mark)
        buf_char(path, '.');
    write_key(path, node->key);
    if (node->type == CONF_TABLE) {
        for (const struct conf_node *child = node->child; child; child = child->next)
            bare |= !has_own_header(child);
        /* A table that holds tables only shows in their headers. */
        if (bare)
            write_header("[", path, "]\n", to);
        write_table(node, path, to);
    } else {
        for (const struct conf_node *child = node->child; child; child = child->next) {
            write_header("[[", path, "]]\n", to);
            write_table(child, path, to);
        }
    }
    path->len = mark;
}

static inline void write_table(const struct conf_node *table, struct buf *path, struct buf *to)
{
    const struct conf_node **list = sorted(table);
    to->failed |= !list || path->failed;
    for (size_t i = 0; list && list[i]; i++) {
        if (has_own_header(list[i]))
            continue;
        write_key(to, list[i]->key);
        buf_text(to, " = ");
        write_value(list[i], to);
        buf_char(to, '\n');
    }
    for (size_t i = 0; list && list[i]; i++)
        if (has_own_header(list[i]))
            write_part(list[i], path, to);
    free(list);
}

/* The same data gives the same text, however it was written: keys sorted, values before tables,
 * strings in double quotes, [[...]] for every array that holds tables only. */
static inline void conf_canonical(const struct conf_node *root, struct buf *to)
{
    struct buf path = {0};
    write_table(root, &path, to);
    buf_free(&path);
}
#endif

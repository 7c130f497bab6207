/* toml - recipes: a TOML document as a tree that remembers file and line of every key. */
#ifndef SLUICE_CORE_TOML_H
#define SLUICE_CORE_TOML_H
#include "core/arena.h"
#include "core/str.h"

enum conf_type { CONF_TABLE, CONF_ARRAY, CONF_STRING, CONF_INT, CONF_FLOAT, CONF_BOOL };
/* A node lives in the arena it was parsed into. Order is the file's order. */
struct conf_node {
    enum conf_type type;
    const char *key;          /* NULL for array elements and the root */
    const char *file; int line;
    struct str string;        /* CONF_STRING: its text; numbers and bools: their source text */
    int64_t integer;
    double number;            /* CONF_FLOAT and CONF_INT */
    bool boolean;
    bool used;                /* set by readers; what nobody used is an unknown key */
    struct conf_node *child, *next;
};
/* TOML 1.0 but dates: tables, arrays of tables, dotted keys, inline tables, all string kinds, hex, octal
 * and binary integers, underscores. Errors name file:line and what was expected. */
int conf_parse(struct arena *a, const char *file, struct str text, struct conf_node **root);
int conf_load(struct arena *a, const char *path, struct conf_node **root);
struct conf_node *conf_get(const struct conf_node *table, const char *key); /* NULL when absent */
struct conf_node *conf_path(const struct conf_node *root, const char *dotted);
/* "a.b.c=value" from the command line: makes tables on the way; value is TOML, or else a string. An
 * array of tables is addressed by the value of its elements' `use` or `name` key: stages by name. */
int conf_set(struct arena *a, struct conf_node *root, const char *assignment);
/* Error for the first key of table that no reader used, naming the nearest of `known` (NULL-ended). */
int conf_check_unused(const struct conf_node *table, const char *const *known);
void conf_write(const struct conf_node *root, struct buf *to); /* canonical TOML: sorted, one form */
#endif

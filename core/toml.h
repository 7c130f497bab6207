/* toml - recipes: a TOML document as a tree that remembers file and line of every key. */
#ifndef SLUICE_CORE_TOML_H
#define SLUICE_CORE_TOML_H
#include "core/arena.h"
#include "core/str.h"

enum conf_type { CONF_TABLE, CONF_ARRAY, CONF_STRING, CONF_INT, CONF_FLOAT, CONF_BOOL };
/* Who made a node: the reader's own book-keeping (see toml.c). */
enum conf_how { CONF_CLOSED, CONF_BY_PATH, CONF_BY_HEADER, CONF_BY_DOTS, CONF_BY_DOUBLE };
/* A node lives in the arena it was parsed into. Order is the file's order. */
struct conf_node {
    enum conf_type type;
    enum conf_how how;
    const char *key;          /* NULL for array elements and the root */
    const char *file; int line; /* line 0: from the command line, file is then "--set ..." */
    struct str string;        /* CONF_STRING: its text; numbers and bools: their source text */
    int64_t integer;
    double number;            /* CONF_FLOAT and CONF_INT */
    bool boolean;
    bool used;                /* somebody asked for it: what nobody used is an unknown key */
    struct conf_node *child, *next;
};
/* TOML 1.0 but dates: tables, arrays of tables, dotted keys, inline tables, all string kinds, hex,
 * octal and binary integers, underscores. ERR_USAGE names file:line, what was expected and what was
 * found. Nothing points into text afterwards. */
int conf_parse(struct arena *a, const char *file, struct str text, struct conf_node **root);
/* As conf_parse for text whose first line is line; 0 for text that is no file's. */
int conf_parse_at(struct arena *a, const char *file, int line, struct str text,
                  struct conf_node **root);
/* The child called key, marked used; NULL when absent or table is no table (or NULL). */
struct conf_node *conf_get(const struct conf_node *table, const char *key);
/* "a.b.c": conf_get step by step; an array of tables is entered by the `name` or `use` of an
 * element. */
struct conf_node *conf_path(const struct conf_node *root, const char *dotted);
/* "a.b.c=value" from the command line: makes tables on the way; value is TOML, or else a string. An
 * array of tables is addressed by the value of its elements' `name` or `use` key, with or without
 * the array's own key in front: "stage.gopher.min_words=40" or "gopher.min_words=40" where no table
 * [gopher] stands at the top. Two elements of one name are ERR_USAGE. */
int conf_set(struct arena *a, struct conf_node *root, const char *assignment);
/* ERR_USAGE for the first key of table that no reader used, naming the nearest of `known`
 * (NULL-ended, may be NULL). Looks at table's own keys only. */
int conf_check_unused(const struct conf_node *table, const char *const *known);
/* "file:line" of a node, or what the command line said; valid as long as the arena or until buf
 * changes. */
const char *conf_where(const struct conf_node *node, char buf[256]);
/* The one of `known` (NULL-ended) that is a few edits away from name, or NULL: for "did you
 * mean". */
const char *conf_nearest(const char *name, const char *const *known);
/* TOML's own forms: a string in double quotes, the shortest float that reads back. */
void conf_write_string(struct buf *to, struct str value);
void conf_write_number(struct buf *to, double value);
#endif

/* opt - one row per parameter; flag, recipe key, range check, help and docs all come from it. */
#ifndef SLUICE_CORE_OPT_H
#define SLUICE_CORE_OPT_H
#include "core/toml.h"
#include <stdio.h>

/* The field in the conf struct has type: bool, int64_t, double, uint64_t (SIZE, bytes; "64M" is
 * read), const char * (STR, ENUM), struct opt_list (LIST). Strings live in the arena given. */
enum opt_type { OPT_END, OPT_BOOL, OPT_INT, OPT_FLOAT, OPT_SIZE, OPT_STR, OPT_ENUM, OPT_LIST };
struct opt_list { const char **item; size_t count; };
struct opt {
    enum opt_type type;
    const char *name;          /* recipe key; the flag is --name */
    size_t offset;             /* in the owner's conf struct */
    const char *preset;        /* default as text; NULL: empty string or list */
    double min, max;           /* inclusive range of numbers; both 0: any */
    const char *unit;          /* "words", "bytes"; for ENUM the choices "a|b|c" */
    const char *help;          /* one line */
    const char *source;        /* "arXiv:2112.11446 table A1" or NULL */
};
#define OPT_ROW(kind, type_, field, preset, min, max, unit, help, source) \
    { kind, #field, offsetof(type_, field), preset, min, max, unit, help, source }
#define OPT_LAST { OPT_END, 0, 0, 0, 0, 0, 0, 0, 0 }

/* Fills every field from its preset; a preset that its own row refuses is an error. */
int opt_defaults(const struct opt *rows, void *conf, struct arena *a);
/* Reads a recipe table (NULL is fine). Every key must be a row, or stand in `also` (NULL-ended, may
 * be NULL); an unknown key is ERR_USAGE naming file:line and the nearest row. */
int opt_from_recipe(const struct opt *rows, void *conf, const struct conf_node *table,
                    const char *const *also, struct arena *a);
/* Takes --name=value, --name value and (bool) --name / --no-name out of argv, which starts with the
 * first argument (no program name); the rest stays in order. - and _ are the same in names. A list
 * flag replaces the preset, given again it adds; commas inside brackets or quotes do not split.
 * Unknown --flags are ERR_USAGE naming the nearest; "--" ends flags and is taken out. */
int opt_from_args(const struct opt *rows, void *conf, int *argc, char **argv, struct arena *a);
/* Sets one row from text, with range check; where is for the message. Integers may be 1e9 or
 * 1_000_000, sizes 4096, 512k, 64M, 1.5G (powers of 1024), bools true/yes/on/1 and
 * false/no/off/0. */
int opt_set(const struct opt *row, void *conf, const char *text, const char *where,
            struct arena *a);
void opt_print_help(const struct opt *rows, FILE *to); /* as flags: --min-words=N */
void opt_print_keys(const struct opt *rows, FILE *to); /* as keys of a recipe: min_words = N */
/* The resolved values as TOML lines, one row each, in row order. */
void opt_write(const struct opt *rows, const void *conf, struct buf *to);
#endif

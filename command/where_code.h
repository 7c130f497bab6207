/* where_code - inside where: the program a predicate becomes (where.c writes it, where_run.c runs
 * it). */
#ifndef SLUICE_COMMAND_WHERE_CODE_H
#define SLUICE_COMMAND_WHERE_CODE_H
#include "command/where.h"

/* A level of parentheses leaves at most the left sides of a comparison, a sum and a product on the
 * stack below it. */
enum { WHERE_STACK_MAX = 3 * WHERE_DEPTH_MAX + 8 };

enum where_type { TYPE_BOOL, TYPE_NUMBER, TYPE_TEXT };

enum where_code {
    CODE_BOOL,
    CODE_NUMBER,
    CODE_TEXT, /* constants */
    CODE_COLUMN_NUMBER,
    CODE_COLUMN_TEXT, /* arg: enum ledger_column */
    CODE_SIGNAL,
    CODE_RULE,
    CODE_MARGIN, /* arg: name */
    CODE_DRAW,   /* arg: constant */
    CODE_NEGATE,
    CODE_ADD,
    CODE_SUBTRACT,
    CODE_MULTIPLY,
    CODE_DIVIDE,
    CODE_EQUAL,
    CODE_UNEQUAL,
    CODE_LESS,
    CODE_LESS_EQUAL,
    CODE_GREATER,
    CODE_GREATER_EQUAL,
    CODE_IN,
    CODE_NOT_IN, /* arg: list */
    CODE_LIKE,
    CODE_UNLIKE, /* arg: constant */
    CODE_NULL,
    CODE_NOT_NULL,
    CODE_NOT,
    CODE_AND,
    CODE_OR /* arg: where to go on when the left side decides */
};
struct where_op {
    uint8_t code, type; /* type: of what a comparison compares */
    uint32_t arg;
};
struct where_constant {
    double number;
    struct str text; /* a NUL stands behind it */
};
struct where_list {
    uint32_t first, count; /* constants, ascending */
};
struct where_name {
    struct str text;
    uint32_t column;   /* in the predicate, from 1 */
    bool rule, margin; /* else a signal; margin: of a rule */
};
struct where {
    struct arena arena;
    struct where_op *op;
    struct where_constant *constant;
    struct where_list *list;
    uint32_t ops, constants, lists, name_count, room;
    struct where_name name[WHERE_NAMES_MAX];
};
#endif

/* where_run - finds a predicate's names in a schema, and runs its program for one row. */
#include "command/where.h"

#include "command/where_code.h"
#include "core/err.h"
#include "core/toml.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- names ---- */
static bool same_group(const char *name, const char *other)
{
    const char *dot = strchr(name, '.');
    return dot && strncmp(name, other, (size_t)(dot - name) + 1) == 0;
}

/* Fewer edits first; a name of the same group (before the dot) is nearer than any other. */
static const char *nearest_of_group(const char *name, const char *const *known)
{
    const char *best = NULL;
    int least = 0;
    for (; *known; known++) {
        int edits = str_distance(str_of(name), str_of(*known));
        if (same_group(name, *known) && (!best || edits < least)) {
            best = *known;
            least = edits;
        }
    }
    return best;
}

/* score for quality.score: the known name whose part behind the dot is that of name. */
static const char *same_tail(const char *name, const char *const *known)
{
    const char *dot = strrchr(name, '.'), *tail = dot ? dot + 1 : name;
    for (; *known; known++) {
        const char *other = strrchr(*known, '.');
        if (other && strcmp(other + 1, tail) == 0)
            return *known;
    }
    return NULL;
}

/* A name gets the one that ends alike, or one that is a few edits off; else one that begins
 * alike gets its group. */
static int unknown_name(const struct where_name *n, const char *text, const struct schema *schema)
{
    const char *known[LEDGER_COLUMNS + SIGNALS_MAX + RULES_MAX + 1];
    struct buf also = {0};
    int count = 0;
    for (int i = 0; i < LEDGER_COLUMNS && !n->rule; i++)
        known[count++] = ledger_columns[i].name;
    for (int i = 0; i < schema->signal_count && !n->rule; i++)
        known[count++] = schema->signal[i].name;
    for (int i = 1; i < schema->rule_count && n->rule; i++)
        known[count++] = schema->rule[i].name;
    known[count] = NULL;
    const char *near = same_tail(text, known), *group = nearest_of_group(text, known);
    if (!near)
        near = conf_nearest(text, known);
    if (near || group)
        buf_printf(&also, ": did you mean %s?", near ? near : group);
    for (int i = 0; i < count && group && !near; i++)
        if (same_group(text, known[i]))
            buf_printf(&also, "%s%s", strchr(also.ptr, '(') ? ", " : " (there are ", known[i]);
    if (group && !near)
        buf_char(&also, ')');
    if (!group && !near)
        buf_text(&also, ": sluice store view --run=DIR lists what there is");
    int rc = err_set(ERR_USAGE, "column %u: there is no %s %s%s", n->column,
                     n->rule ? "rule" : "column or signal", text, buf_cstr(&also));
    buf_free(&also);
    return rc;
}

static int bind_rule(const struct where_name *n, const char *text, const struct schema *schema,
                     bool lax, struct where_names *out, uint32_t at)
{
    int rule = schema_find_rule(schema, text);
    if (rule < 1)
        return lax ? 0 : unknown_name(n, text, schema);
    const struct rule_info *info = &schema->rule[rule];
    if (!n->margin)
        return 0;
    if (info->signal < 0 || info->sense == 0 || isnan(info->threshold))
        return err_set(ERR_USAGE, "column %u: rule %s rests on no single number: it has no margin",
                       n->column, text);
    out->at[at].signal = info->signal;
    out->at[at].threshold = info->threshold;
    out->at[at].sense = info->sense;
    return 0;
}

int where_bind(const struct where *w, const struct schema *schema, bool lax,
               struct where_names *out)
{
    out->unknown = 0;
    for (uint32_t i = 0; i < w->name_count; i++) {
        const struct where_name *n = &w->name[i];
        char text[64];
        out->at[i].signal = -1;
        out->at[i].threshold = NAN;
        out->at[i].sense = 0;
        snprintf(text, sizeof text, "%.*s", STR_ARG(n->text));
        if (n->rule) {
            TRY(bind_rule(n, text, schema, lax, out, i));
            continue;
        }
        if (strlen(text) == n->text.len)
            out->at[i].signal = schema_find_signal(schema, text);
        if (out->at[i].signal < 0 && !lax)
            return unknown_name(n, text, schema);
    }
    return 0;
}

static int missing(const char *kind, struct str name, const bool has[static LEDGER_COLUMNS],
                   const char *const *signal)
{
    struct buf known = {0};
    for (int i = 0; i < LEDGER_COLUMNS; i++)
        if (has[i])
            buf_printf(&known, "%s%s", known.len ? ", " : "", ledger_columns[i].name);
    for (; signal && *signal; signal++)
        buf_printf(&known, ", %s", *signal);
    int rc = err_set(ERR_USAGE, "%s %.*s is not known of its documents, only %s", kind,
                     STR_ARG(name), buf_cstr(&known));
    buf_free(&known);
    return rc;
}

int where_bind_columns(const struct where *w, const bool has[static LEDGER_COLUMNS],
                       const char *const *signal, bool lax, struct where_names *out)
{
    static_assert(LEDGER_COLUMNS <= 32, "a bit a column");
    out->unknown = 0;
    for (uint32_t i = 0; i < w->name_count; i++) {
        out->at[i].signal = -1;
        for (int k = 0; signal && signal[k] && !w->name[i].rule; k++)
            if (str_is(w->name[i].text, signal[k]))
                out->at[i].signal = k;
        if (out->at[i].signal < 0 && !lax)
            return missing(w->name[i].rule ? "rule" : "column or signal", w->name[i].text, has,
                           signal);
    }
    for (uint32_t i = 0; i < w->ops; i++) {
        const struct where_op *op = &w->op[i];
        bool column = op->code == CODE_COLUMN_NUMBER || op->code == CODE_COLUMN_TEXT;
        if (!column || has[op->arg])
            continue;
        if (!lax)
            return missing("column", str_of(ledger_columns[op->arg].name), has, signal);
        out->unknown |= 1u << op->arg;
    }
    return 0;
}

void where_need(const struct where *w, const struct where_names *names, struct ledger_need *need)
{
    for (uint32_t i = 0; i < w->ops; i++) {
        const struct where_op *op = &w->op[i];
        if (op->code == CODE_COLUMN_NUMBER || op->code == CODE_COLUMN_TEXT)
            need->column[op->arg] = true;
        else if (op->code == CODE_DRAW)
            need->column[LEDGER_ID] = true;
        else if (op->code == CODE_RULE)
            need->column[LEDGER_RULE] = need->column[LEDGER_ALSO] = true;
        else if ((op->code == CODE_SIGNAL || op->code == CODE_MARGIN) &&
                 names->at[op->arg].signal >= 0)
            need->signal[names->at[op->arg].signal] = true;
    }
}

/* ---- values of a row ---- */
struct value {
    double number; /* of a condition: 0 or 1 */
    struct str text;
};

static double column_number(const struct ledger_row *row, uint32_t column)
{
    switch (column) {
    case LEDGER_OFFSET: return (double)row->offset;
    case LEDGER_RECORD: return row->record;
    case LEDGER_RAW_BYTES: return row->raw_bytes;
    case LEDGER_TEXT_BYTES: return row->text_bytes;
    case LEDGER_VALUE: return (double)row->value;
    case LEDGER_THRESHOLD: return (double)row->threshold;
    case LEDGER_CLUSTER: return (double)row->cluster;
    case LEDGER_CLUSTER_SIZE: return row->cluster_size;
    case LEDGER_TOKENS: return row->tokens;
    default: assert(!"a column of text"); return NAN;
    }
}

static struct str column_text(const struct ledger_row *row, struct str source, uint32_t column,
                              char hex[17])
{
    switch (column) {
    case LEDGER_ID:
        snprintf(hex, 17, "%016llx", (unsigned long long)row->id);
        return (struct str){hex, 16};
    case LEDGER_URL: return row->url;
    case LEDGER_SOURCE: return source;
    case LEDGER_HOST: return row->host;
    case LEDGER_LANG: return row->lang;
    case LEDGER_VERDICT: return row->verdict;
    case LEDGER_STAGE: return row->stage;
    case LEDGER_RULE: return row->rule;
    case LEDGER_ALSO: return row->also;
    case LEDGER_DUP_OF: return row->dup_of;
    case LEDGER_DOMAIN: return row->domain;
    default: assert(!"a column of numbers"); return (struct str){0};
    }
}

static bool rule_fired(const struct ledger_row *row, struct str rule)
{
    struct str rest = row->also;
    if (rule.len && str_eq(row->rule, rule))
        return true;
    while (rest.len)
        if (str_eq(str_cut(rest, ' ', &rest), rule))
            return true;
    return false;
}

static double margin_of(const struct ledger_row *row, const struct where_names *names, uint32_t at)
{
    int signal = names->at[at].signal;
    if (signal < 0)
        return NAN;
    double distance = names->at[at].threshold - (double)row->signal[signal];
    return names->at[at].sense > 0 ? distance : -distance;
}

static double signal_of(const struct ledger_row *row, const struct where_names *names, uint32_t at)
{
    return names->at[at].signal < 0 ? NAN : (double)row->signal[names->at[at].signal];
}

/* ---- comparisons ---- */
/* Three-way; 2 when one of them is null. */
static int order_of(const struct value *a, const struct value *b, enum where_type type)
{
    if (type == TYPE_TEXT)
        return str_cmp(a->text, b->text);
    if (isnan(a->number) || isnan(b->number))
        return 2;
    return a->number < b->number ? -1 : a->number > b->number;
}

static bool relation_holds(enum where_code code, int order)
{
    if (order == 2)
        return false;
    switch (code) {
    case CODE_EQUAL: return order == 0;
    case CODE_UNEQUAL: return order != 0;
    case CODE_LESS: return order < 0;
    case CODE_LESS_EQUAL: return order <= 0;
    case CODE_GREATER: return order > 0;
    default: return order >= 0;
    }
}

static bool list_holds(const struct where *w, uint32_t list, const struct value *v,
                       enum where_type type)
{
    uint32_t low = w->list[list].first, high = low + w->list[list].count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        struct value at = {w->constant[middle].number, w->constant[middle].text};
        int order = order_of(v, &at, type);
        if (order == 0)
            return true;
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return false;
}

static double arithmetic(enum where_code code, double a, double b)
{
    switch (code) {
    case CODE_ADD: return a + b;
    case CODE_SUBTRACT: return a - b;
    case CODE_MULTIPLY: return a * b;
    default: return a / b;
    }
}

/* What an op without a left side puts on the stack. */
static struct value load(const struct where *w, const struct where_names *names,
                         const struct where_op *op, const struct ledger_row *row, struct str source,
                         char hex[17])
{
    struct value v = {0};
    switch (op->code) {
    case CODE_BOOL: v.number = op->arg; break;
    case CODE_NUMBER: v.number = w->constant[op->arg].number; break;
    case CODE_TEXT: v.text = w->constant[op->arg].text; break;
    case CODE_COLUMN_NUMBER:
        v.number = names->unknown >> op->arg & 1 ? NAN : column_number(row, op->arg);
        break;
    case CODE_COLUMN_TEXT: v.text = column_text(row, source, op->arg, hex); break;
    case CODE_SIGNAL: v.number = signal_of(row, names, op->arg); break;
    case CODE_RULE: v.number = rule_fired(row, w->name[op->arg].text); break;
    case CODE_MARGIN: v.number = margin_of(row, names, op->arg); break;
    case CODE_DRAW: v.number = hash_unit((uint64_t)w->constant[op->arg].number, row->id); break;
    default: assert(!"an op that loads nothing");
    }
    return v;
}

/* Changes the value on top (b is above it, for ops of two). */
static void apply(const struct where *w, const struct where_op *op, struct value *a,
                  const struct value *b)
{
    switch (op->code) {
    case CODE_NEGATE: a->number = -a->number; break;
    case CODE_ADD:
    case CODE_SUBTRACT:
    case CODE_MULTIPLY:
    case CODE_DIVIDE: a->number = arithmetic(op->code, a->number, b->number); break;
    case CODE_IN:
    case CODE_NOT_IN:
        if (op->type == TYPE_NUMBER && isnan(a->number))
            a->number = 0;
        else
            a->number = list_holds(w, op->arg, a, op->type) == (op->code == CODE_IN);
        break;
    case CODE_LIKE:
    case CODE_UNLIKE:
        a->number = str_glob(w->constant[op->arg].text.ptr, a->text) == (op->code == CODE_LIKE);
        break;
    case CODE_NULL: a->number = isnan(a->number); break;
    case CODE_NOT_NULL: a->number = !isnan(a->number); break;
    case CODE_NOT: a->number = a->number == 0; break;
    default: a->number = relation_holds(op->code, order_of(a, b, op->type)); break;
    }
}

static bool is_load(uint8_t code) { return code <= CODE_DRAW; }
static bool takes_two(uint8_t code)
{
    return (code >= CODE_ADD && code <= CODE_DIVIDE) ||
           (code >= CODE_EQUAL && code <= CODE_GREATER_EQUAL);
}

bool where_true(const struct where *w, const struct where_names *names,
                const struct ledger_row *row, struct str source)
{
    struct value stack[WHERE_STACK_MAX];
    char hex[WHERE_STACK_MAX][17];
    uint32_t depth = 0;
    for (uint32_t i = 0; i < w->ops; i++) {
        const struct where_op *op = &w->op[i];
        if (is_load(op->code)) {
            assert(depth < WHERE_STACK_MAX);
            stack[depth] = load(w, names, op, row, source, hex[depth]);
            depth++;
        } else if (op->code == CODE_AND || op->code == CODE_OR) {
            assert(depth >= 1);
            bool left = stack[depth - 1].number != 0;
            if (left == (op->code == CODE_OR))
                i = op->arg - 1; /* decided: it stays on top */
            else
                depth--;
        } else {
            assert(depth >= 1u + takes_two(op->code));
            depth -= takes_two(op->code);
            apply(w, op, &stack[depth - 1], &stack[depth]);
        }
    }
    assert(depth == 1);
    return stack[0].number != 0;
}

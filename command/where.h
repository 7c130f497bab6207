/* where - a predicate over the ledger: which documents a view holds. */
#ifndef SLUICE_COMMAND_WHERE_H
#define SLUICE_COMMAND_WHERE_H
#include "core/ledger.h"

/*   lang in ['en', 'de'] and quality.score >= 0.5 and not host ~ '*.edu'
 *
 * Loosest first: or; and; not; one comparison; + -; * /; unary -; parentheses.
 *   values       numbers (0.5, 1e-3, 1_000), text in '' or "" (the quote itself is written twice),
 *                true, false
 *   names        the ledger's columns and signals, as `sluice store view` without a predicate lists
 *                them. Text: url source host lang verdict stage rule also dup_of domain, and id as
 *                16 hex digits. All else is numbers. signal.NAME is NAME; signal('NAME') is for
 *                names that cannot be written bare.
 *   comparisons  == != < <= > >= between numbers or between texts (by bytes); x in [a, b],
 *                x not in [a, b]; text ~ 'glob' and !~ with * and ?; x is null, x is not null
 *   rule('R')    the rule dropped the record or would have: never so of a kept document
 *   margin('R')  how far the record's signal is on the right side of the threshold of R, in the
 *                signal's unit; below 0: R dropped it
 *   draw(SEED)   a number in [0, 1) that follows from the document's id and SEED alone
 *
 * What was not measured is null. A comparison with null is false, != and !~ too; arithmetic with
 * null is null. `not` turns a false comparison into true whatever made it false. A number beside a
 * signal is rounded to f32, which is what signals are: quality.score >= 0.9 holds of 0.9. */
enum {
    WHERE_BYTES_MAX = 64 << 10,
    WHERE_DEPTH_MAX = 64,  /* parentheses, nots and minus signs around a value */
    WHERE_NAMES_MAX = 256, /* signals and rules a predicate may name */
};
struct where; /* read-only once parsed: any number of threads */
/* ERR_USAGE with the column (from 1) in the text, what was found and what was expected. */
int where_parse(struct where **out, const char *text);
void where_free(struct where *w); /* NULL is fine */

/* Names of a predicate as places in one schema. */
struct where_names {
    struct {
        int signal;       /* -1: the schema has it not; then it is null */
        double threshold; /* of a margin's rule */
        int sense;
    } at[WHERE_NAMES_MAX];
    uint32_t unknown; /* columns of numbers, by bit, that are null in every row */
};
/* ERR_USAGE for a name that is neither column nor signal nor rule of the schema, with the nearest
 * one; with lax it is null instead (a rule then never fired). */
int where_bind(const struct where *w, const struct schema *schema, bool lax,
               struct where_names *out);
/* The same for rows of some columns and signals only, without rules: ERR_USAGE names what is not
 * among them and what is; with lax it is null, or empty text. signal: names in the order of a row's
 * signals, NULL behind the last; or NULL. */
int where_bind_columns(const struct where *w, const bool has[static LEDGER_COLUMNS],
                       const char *const *signal, bool lax, struct where_names *out);
/* Adds to need what where_true looks at. */
void where_need(const struct where *w, const struct where_names *names, struct ledger_need *need);
bool where_true(const struct where *w, const struct where_names *names,
                const struct ledger_row *row, struct str source);
#endif

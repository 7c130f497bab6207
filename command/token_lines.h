/* token_lines - lines in, lines out, in order, by any number of threads: what `sluice tokenize`
 * does with JSON lines. */
#ifndef SLUICE_COMMAND_TOKEN_LINES_H
#define SLUICE_COMMAND_TOKEN_LINES_H
#include "core/json.h"
#include "core/opt.h"
#include "core/str.h"
#include "tokenize/tokenize.h"

struct token_flags {
    const char *tokenizer, *pattern, *out, *field, *domain_field, *lang_field, *text, *by;
    bool jsonl, json, special;
    int64_t threads, max_tokens;
    /* train */
    const char *pretok, *digits;
    int64_t vocab_size, pair_min, piece_min;
    uint64_t memory;
    double held_out, share;
    struct opt_list special_tokens, weight, compare;
};
/* The splitter that --pattern names, -1 when it is not given. */
int token_pattern(const struct token_flags *flags, int *pretok);

/* One worker's state. */
struct token_worker {
    struct encoder *encoder;
    struct arena arena;
    struct buf out; /* what its lines came to, in their order */
    uint64_t documents, bytes, tokens;
    int rc;
    char error[512];
};
/* Handles one line (without its end); appends to w->out what is to be printed. Errors name what is
 * wrong with the line; its file and number are added. */
typedef int token_line_fn(const struct token_flags *flags, const struct tokenizer *t,
                          struct token_worker *w, struct str line);
struct token_totals {
    uint64_t documents, bytes, tokens;
};
/* Calls fn for every line of every path ("-": standard input; gzip, zstd and Parquet, whose rows
 * are lines, are told by content)
 * and prints what it appended. The output is the same for any number of threads. */
int token_lines(const struct token_flags *flags, const struct tokenizer *t,
                const char *const *paths, int count, token_line_fn *fn,
                struct token_totals *totals);
/* Calls fn for each document: a line's text with --jsonl, else a file as a whole. */
typedef int token_text_fn(void *self, struct str text);
int token_texts(const struct token_flags *flags, const char *const *paths, int count,
                token_text_fn *fn, void *self);
/* The text of a JSON line; ERR_FORMAT when there is none. Lives in a. */
int token_line_text(const struct token_flags *flags, struct str line, struct arena *a,
                    struct json **row, struct str *text);
#endif

/* token_feed - texts out of files, handed to threads: JSON lines whole, plain text in parts. */
#ifndef SLUICE_COMMAND_TOKEN_FEED_H
#define SLUICE_COMMAND_TOKEN_FEED_H
#include "core/str.h"

struct token_feed_conf {
    bool jsonl;
    /* Members of a JSON line, or columns of a Parquet file: the text; the name of its domain, and
     * its language: the first of several with commas, dots lead into objects
     * ("lang,metadata.lang"), and there may be none. */
    const char *field, *domain_field, *lang_field;
    int threads; /* 0: one per core */
};
/* A text; everything lives until the call returns. domain: the file's name without its folder where
 * the line names none; lang: "" where it names none. number: place among all texts of the call. */
struct token_feed_text {
    struct str text, domain, lang;
    const char *path;
    uint64_t number;
};
/* Called on any thread, 0 <= thread < *threads of token_feed_open. */
typedef int token_feed_fn(void *self, int thread, const struct token_feed_text *text);

/* Calls fn for each text of each path ("-": standard input; gzip, zstd and, with jsonl, Parquet are
 * told by content) and returns when all are done; of errors, the one of the first text in order.
 * ERR_STOP after a signal.
 *
 * Plain text comes in parts of about 64 KiB. They end behind a line whose last character and whose
 * next one are no white space (nor the next a slash): there every pattern begins a new piece,
 * whatever follows, so that the pieces are those of the whole file. Where no such place comes in
 * 4 MiB the text is cut behind the last line that ends there, or (one line of a gigabyte) before a
 * character. A file therefore needs a few MiB of memory, whatever its size. */
struct token_feed;
int token_feed_open(struct token_feed **out, const struct token_feed_conf *conf, int *threads);
int token_feed_run(struct token_feed *f, const char *const *paths, int count, token_feed_fn *fn,
                   void *self);
void token_feed_close(struct token_feed *f);
#endif

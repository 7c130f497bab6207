/* token_view - some of a store's documents as one sequence of tokens, without a copy of any. */
#ifndef SLUICE_STORE_TOKEN_VIEW_H
#define SLUICE_STORE_TOKEN_VIEW_H
#include "store/store.h"

/* Runs of tokens that are read one after the other: whole documents, each with its <|endoftext|> in
 * front, in the order of the store. Number k of a view's tokens is number k - before of the extent
 * that holds it. Sixteen-odd bytes a run, none a token. */
struct extent {
    uint64_t start, count; /* tokens of the domain */
    uint64_t before;       /* tokens of the view in front of these */
    uint32_t domain;
};
struct token_view {
    char name[48];
    uint64_t tokens, documents, extent_count;
    struct extent *extent; /* ascending by (domain, start); neighbours that touch are one */
    char *where;           /* predicate of a view that was read from a file, else NULL; owned */
};

/* All documents of a domain that were not removed: what a mixture that names the domain draws from.
 */
int token_view_domain(struct token_view *out, struct store *s, uint32_t domain);
/* The documents that pick says true of, over all domains; removed ones are not asked about. */
typedef bool token_view_pick(void *arg, uint32_t domain, uint64_t index,
                             const struct store_doc *doc);
int token_view_make(struct token_view *out, struct store *s, const char *name,
                    token_view_pick *pick, void *arg);
/* Index of the extent that holds token pos of the view; pos < tokens. */
uint64_t token_view_find(const struct token_view *v, uint64_t pos);
/* count ids from token start of the view on; ERR_LIMIT past its end. */
int token_view_read(const struct token_view *v, struct store *s, uint64_t start, uint32_t count,
                    uint32_t *ids);
void token_view_close(struct token_view *v); /* also of a zeroed one */

/* ---- a view as a file (layout: docs/FORMATS.md) ---- */
enum { TOKEN_VIEW_WHERE_MAX = 64 << 10 }; /* bytes of a predicate */
/* Writes v whole or not at all, with the identity of s and where, the predicate it was made by
 * (of at most TOKEN_VIEW_WHERE_MAX bytes). *info may be NULL. */
int token_view_write(const struct token_view *v, const struct store *s, const char *where,
                     const char *path, struct io_info *info);
/* Reads it back for use with s. What is damaged, cut short or not a view is ERR_FORMAT; a view of a
 * store with another identity (another run's, or this one before documents came or went) is
 * ERR_USAGE: it must be made again. On failure *out is zeroed. 24 bytes of memory a run of
 * documents. */
int token_view_open(struct token_view *out, const char *path, const struct store *s);
#endif

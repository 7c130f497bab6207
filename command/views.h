/* views - subsets of a store by predicates over the ledger: found once, kept as files, named by
 * mixtures. */
#ifndef SLUICE_COMMAND_VIEWS_H
#define SLUICE_COMMAND_VIEWS_H
#include "command/run.h"
#include "command/where.h"
#include "store/token_view.h"

/* ---- in a recipe ---- */
extern const struct opt view_opts[];
/* Reads the tables [view.NAME]; a predicate that cannot be read is ERR_USAGE with its place. */
int views_read(struct recipe *r);
void views_resolve(const struct recipe *r, struct buf *to); /* as TOML */
/* Every predicate against the schema of the recipe's own stages, once those are open. */
int views_check(const struct recipe *r);
/* NAME may stand in a mixture: a domain or a view of the recipe. With [store] path the domains are
 * those of a store that is not looked at here, and all names may stand. */
bool part_known(const struct recipe *r, const char *name);

/* ---- in a run ---- */
/* What a mixture draws from by that name: a domain of the store, or RUN/views/NAME.view of a view
 * of the recipe. ERR_USAGE: there is neither (with the nearest), or the view is not of this store
 * and predicate. */
int part_open(struct token_view *out, const struct run *r, struct store *s, const char *name);
/* The task between store and train. */
int task_views(struct run *r, uint32_t unit, struct manifest *m);
/* 1: the views of the run are of the store as it is and of the recipe; 0: to be made again. */
int views_fresh(const struct run *r);

/* ---- looking for them (command/view_search.c) ---- */
/* One subset that is looked for: a bit for each document. Zero-initialise but for where. */
struct view_query {
    const struct where *where;
    uint64_t *bits[STORE_DOMAINS_MAX];
};
/* Walks the ledgers of the store once, for all queries: base/ledger and those of appended runs,
 * files side by side on threads threads. Reads only columns that the predicates name. Memory: a bit
 * a document and query, and a row group a thread. Where there is no ledger (an imported store), the
 * store's index is asked in its place. A name that is not known of base's documents is ERR_USAGE;
 * of an appended run's it is null, or empty text. *unmatched: kept rows that the store has no
 * document for. */
int view_search(struct view_query *query, int count, struct store *s, const char *base, int threads,
                uint64_t *unmatched);
void view_query_free(struct view_query *q);
/* What of a view lies in a domain. */
struct view_share {
    uint64_t documents, tokens;
};
/* The query's documents as a view; share[STORE_DOMAINS_MAX] may be NULL. */
int view_of_query(struct token_view *out, const struct view_query *q, struct store *s,
                  const char *name, struct view_share *share);
/* The first ledger file of base, for its schema; ERR_USAGE when base has none. */
int view_ledger(struct ledger_reader **out, const char *base);

/* ---- documents without a ledger (command/view_index.c) ---- */
/* 1: dir has a ledger, and all columns are there. 0: it has none; has says what the store's index
 * knows (and import.json, of imported files: their paths as `source`). Where that is `lang`, it
 * knows view_index_signals too. s may be NULL: not opened, so languages are not known. */
int view_columns(const char *dir, const struct store *s, bool has[static LEDGER_COLUMNS]);
extern const char *const view_index_signals[]; /* NULL behind the last */
/* As view_search, for the items first .. first + items - 1 of s, which dir's store brought. */
int view_index_walk(struct view_query *query, const struct where_names *names, int count,
                    struct store *s, const char *dir, uint32_t first, uint64_t items);
#endif

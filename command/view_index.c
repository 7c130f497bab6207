/* view_index - what views may ask of documents that have no ledger: what the store's index knows.
 *
 * Those are the documents of `sluice store import`, and of a run whose ledger was removed. */
#include "command/views.h"

#include "command/store_tool.h"
#include "core/err.h"

enum { INDEX_ARENA = 1 << 30 };

const char *const view_index_signals[] = {"language.score", "quality.score", NULL};
enum { INDEX_SIGNALS = COUNT_OF(view_index_signals) - 1 };

int view_columns(const char *dir, const struct store *s, bool has[static LEDGER_COLUMNS])
{
    static const enum ledger_column index[] = {LEDGER_ID,     LEDGER_RECORD, LEDGER_TEXT_BYTES,
                                               LEDGER_TOKENS, LEDGER_DOMAIN, LEDGER_VERDICT};
    char path[IO_PATH_MAX];
    TRY(io_path(path, "%s/ledger", dir));
    bool ledger = io_exists(path);
    for (int i = 0; i < LEDGER_COLUMNS; i++)
        has[i] = ledger;
    for (size_t i = 0; i < COUNT_OF(index); i++)
        has[index[i]] = true;
    if (!ledger) {
        TRY(io_path(path, "%s/import.json", dir));
        has[LEDGER_SOURCE] = io_exists(path);
        has[LEDGER_LANG] = s && store_knows_lang(s) && !has[LEDGER_SOURCE];
    }
    return ledger;
}

/* First document of a domain whose item is at least item. */
static int first_of_item(struct store *s, uint32_t domain, uint64_t item, uint64_t *at)
{
    uint64_t low = 0, high = store_meta(s)->domain[domain].documents;
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        struct store_doc doc;
        TRY(store_doc_at(s, domain, middle, &doc));
        if (doc.item < item)
            low = middle + 1;
        else
            high = middle;
    }
    *at = low;
    return 0;
}

struct index_walk {
    struct store *store;
    uint32_t first;
    const struct str *path; /* of the files imported, by item - first */
    uint32_t paths;
    struct view_query *query;
    const struct where_names *names; /* [count] */
    int count;
};

static void walk_doc(const struct index_walk *w, uint32_t domain, uint64_t at,
                     const struct store_doc *doc)
{
    uint32_t file = doc->item - w->first;
    const float signal[INDEX_SIGNALS] = {doc->lang_score, doc->score};
    const struct ledger_row row = {.id = doc->id,
                                   .record = doc->record,
                                   .text_bytes = doc->text_bytes,
                                   .tokens = doc->token_count - 1,
                                   .lang = {doc->lang, strnlen(doc->lang, sizeof doc->lang)},
                                   .signal = signal,
                                   .verdict = STR("kept"),
                                   .domain = str_of(store_meta(w->store)->domain[domain].name)};
    struct str source = file < w->paths ? w->path[file] : STR("");
    for (int i = 0; i < w->count; i++)
        if (where_true(w->query[i].where, &w->names[i], &row, source))
            __atomic_fetch_or(&w->query[i].bits[domain][at / 64], (uint64_t)1 << (at % 64),
                              __ATOMIC_RELAXED);
}

static int walk_domain(const struct index_walk *w, uint32_t domain, uint64_t items)
{
    uint64_t at, end;
    TRY(first_of_item(w->store, domain, w->first, &at));
    TRY(first_of_item(w->store, domain, w->first + items, &end));
    for (; at < end; at++) {
        struct store_doc doc;
        if (at % 65536 == 0 && pipe_stop)
            return err_set(ERR_STOP, "stopped by a signal: run the same command to go on");
        TRY(store_doc_at(w->store, domain, at, &doc));
        walk_doc(w, domain, at, &doc);
    }
    return 0;
}

int view_index_walk(struct view_query *query, const struct where_names *names, int count,
                    struct store *s, const char *dir, uint32_t first, uint64_t items)
{
    struct index_walk w = {
        .store = s, .first = first, .query = query, .names = names, .count = count};
    struct arena a = {0};
    bool has[LEDGER_COLUMNS];
    struct str *path = NULL;
    int rc;
    TRY_OUT(arena_open(&a, INDEX_ARENA));
    TRY_OUT(view_columns(dir, s, has));
    if (has[LEDGER_SOURCE])
        TRY_OUT(import_paths(dir, &a, &path, &w.paths));
    w.path = path;
    for (uint32_t d = 0; d < store_meta(s)->domain_count; d++)
        TRY_OUT(walk_domain(&w, d, items));
out:
    arena_close(&a);
    return rc < 0 ? rc : 0;
}

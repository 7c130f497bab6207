/* view_search - which documents of a store predicates hold of: one walk of its ledgers.
 *
 * Rows of a ledger file and the documents of a domain are both in the order of (item, record), so
 * that a file is joined with the store by one cursor a domain, which a search puts at the file's
 * first document. Files know nothing of one another and run side by side; they meet in the bits.
 * Where a run has no ledger, its range of the store's index stands for one file. */
#include "command/views.h"

#include "core/err.h"
#include "core/pool.h"

#include <stdlib.h>

enum { SEARCH_ARENA = 512 << 20, NOT_BEGUN = -1 };

struct ledger_file {
    const char *path; /* NULL: dir has none, and items of the store's index are walked */
    const char *dir;
    uint32_t item;
    uint64_t items;
    bool lax;
};
struct search {
    struct view_query *query;
    int count;
    struct store *store;
    struct arena arena;
    struct ledger_file *file;
    size_t files, room;
    uint64_t unmatched;
};

/* ---- which files ---- */
static int add_file(struct search *s, const struct ledger_file *f)
{
    if (s->files == s->room) {
        size_t room = s->room ? s->room * 2 : 64;
        struct ledger_file *grown = realloc(s->file, room * sizeof *grown);
        if (!grown)
            return err_set(ERR_LIMIT, "views: no memory for %zu ledgers", room);
        s->file = grown;
        s->room = room;
    }
    s->file[s->files++] = *f;
    return 0;
}

/* NNNNN of .../NNNNN.parquet is the item, plus first; those from limit on are not the store's. */
static int add_run(struct search *s, const char *dir, uint32_t first, uint32_t limit, bool lax)
{
    char pattern[IO_PATH_MAX];
    const char **path;
    size_t count;
    struct ledger_file f = {.dir = dir, .item = first, .items = limit, .lax = lax};
    bool has[LEDGER_COLUMNS];
    if (!io_exists(dir))
        return err_set(ERR_USAGE,
                       "%s: there is no such folder: documents of this run were appended, and its "
                       "ledger says what they are: put it back",
                       dir);
    int ledger = view_columns(dir, s->store, has);
    TRY(ledger);
    if (!ledger)
        return add_file(s, &f);
    TRY(io_path(pattern, "%s/ledger/*.parquet", dir));
    TRY(io_glob(pattern, &s->arena, &path, &count));
    for (size_t i = 0; i < count; i++) {
        struct str name = str_of(strrchr(path[i], '/') + 1);
        uint64_t item;
        if (!str_u64(str_slice(name, 0, name.len - strlen(".parquet")), &item))
            return err_set(ERR_FORMAT, "%s: a ledger's name is the number of its input file",
                           path[i]);
        f.path = path[i];
        f.item = first + (uint32_t)item;
        if (item < limit)
            TRY(add_file(s, &f));
    }
    return 0;
}

static int find_files(struct search *s, const char *base)
{
    uint32_t count;
    const struct store_origin *origin = store_origins(s->store, &count);
    TRY(add_run(s, base, 0, count ? origin[0].first_item : UINT32_MAX, false));
    for (uint32_t i = 0; i < count; i++)
        TRY(add_run(s, origin[i].run, origin[i].first_item, origin[i].item_count, true));
    return 0;
}

/* ---- one file ---- */
struct file_walk {
    struct search *search;
    uint32_t item;
    struct where_names *names; /* [search->count] */
    uint32_t domain;           /* of the row before: most rows are of the same one */
    uint64_t unmatched;
    struct cursor {
        int64_t at; /* document, or NOT_BEGUN */
        struct store_doc doc;
    } cursor[STORE_DOMAINS_MAX];
};

static bool before(const struct store_doc *doc, uint32_t item, uint32_t record)
{
    return doc->item < item || (doc->item == item && doc->record < record);
}

/* The first document of a domain that is not before the item. */
static int cursor_begin(struct file_walk *w, uint32_t domain)
{
    struct cursor *c = &w->cursor[domain];
    uint64_t low = 0, high = store_meta(w->search->store)->domain[domain].documents;
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        TRY(store_doc_at(w->search->store, domain, middle, &c->doc));
        if (before(&c->doc, w->item, 0))
            low = middle + 1;
        else
            high = middle;
    }
    c->at = (int64_t)low;
    if (low < store_meta(w->search->store)->domain[domain].documents)
        return store_doc_at(w->search->store, domain, low, &c->doc);
    return 0;
}

/* 1 with the cursor at the row's document, 0: the store has none. */
static int cursor_find(struct file_walk *w, uint32_t domain, const struct ledger_row *row)
{
    struct cursor *c = &w->cursor[domain];
    uint64_t count = store_meta(w->search->store)->domain[domain].documents;
    if (c->at == NOT_BEGUN)
        TRY(cursor_begin(w, domain));
    while ((uint64_t)c->at < count && before(&c->doc, w->item, row->record)) {
        if ((uint64_t)++c->at < count)
            TRY(store_doc_at(w->search->store, domain, (uint64_t)c->at, &c->doc));
    }
    if ((uint64_t)c->at == count || c->doc.item != w->item || c->doc.record != row->record)
        return 0;
    if (c->doc.id != row->id)
        return err_set(ERR_FORMAT,
                       "record %u has id %016llx here and %016llx in the store: they are not of "
                       "one run",
                       row->record, (unsigned long long)row->id, (unsigned long long)c->doc.id);
    return 1;
}

static int walk_row(void *arg, const struct ledger_row *row, struct str source,
                    const struct schema *schema)
{
    struct file_walk *w = arg;
    const struct store_meta *meta = store_meta(w->search->store);
    UNUSED(schema);
    if (!str_is(row->verdict, "kept"))
        return 0;
    if (w->domain >= meta->domain_count || !str_is(row->domain, meta->domain[w->domain].name))
        for (w->domain = 0; w->domain < meta->domain_count; w->domain++)
            if (str_is(row->domain, meta->domain[w->domain].name))
                break;
    int found = w->domain < meta->domain_count ? cursor_find(w, w->domain, row) : 0;
    TRY(found);
    w->unmatched += !found;
    for (int i = 0; i < w->search->count && found; i++) {
        const struct view_query *q = &w->search->query[i];
        uint64_t at = (uint64_t)w->cursor[w->domain].at;
        if (where_true(q->where, &w->names[i], row, source))
            __atomic_fetch_or(&q->bits[w->domain][at / 64], (uint64_t)1 << (at % 64),
                              __ATOMIC_RELAXED);
    }
    return 0;
}

static int walk_file(struct search *s, const struct ledger_file *f)
{
    struct ledger_reader *r = NULL;
    struct ledger_need *need = calloc(1, sizeof *need);
    struct file_walk *w = calloc(1, sizeof *w);
    int rc;
    if (!need || !w || !(w->names = calloc((size_t)s->count, sizeof *w->names))) {
        rc = err_set(ERR_LIMIT, "views: no memory");
        goto out;
    }
    w->search = s;
    w->item = f->item;
    for (int d = 0; d < STORE_DOMAINS_MAX; d++)
        w->cursor[d].at = NOT_BEGUN;
    need->column[LEDGER_VERDICT] = need->column[LEDGER_DOMAIN] = need->column[LEDGER_ID] = true;
    TRY_OUT(ledger_open(&r, f->path));
    for (int i = 0; i < s->count; i++) {
        TRY_OUT(where_bind(s->query[i].where, ledger_schema(r), f->lax, &w->names[i]));
        where_need(s->query[i].where, &w->names[i], need);
    }
    TRY_OUT(ledger_rows(r, need, walk_row, w));
    __atomic_fetch_add(&s->unmatched, w->unmatched, __ATOMIC_RELAXED);
out:
    ledger_close(r);
    free(w ? w->names : NULL);
    free(w);
    free(need);
    return rc < 0 ? rc : 0;
}

/* A run's documents that have no ledger. */
static int walk_items(struct search *s, const struct ledger_file *f)
{
    bool has[LEDGER_COLUMNS];
    struct where_names *names = calloc((size_t)s->count, sizeof *names);
    int rc = names ? view_columns(f->dir, s->store, has) : err_set(ERR_LIMIT, "views: no memory");
    for (int i = 0; i < s->count && rc >= 0; i++)
        rc = where_bind_columns(s->query[i].where, has,
                                has[LEDGER_LANG] ? view_index_signals : NULL, f->lax, &names[i]);
    if (rc == ERR_USAGE)
        rc = err_in(rc, "%s has no ledger", f->dir);
    else if (rc >= 0)
        rc = view_index_walk(s->query, names, s->count, s->store, f->dir, f->item, f->items);
    free(names);
    return rc;
}

static int walk_index(void *arg, int index, int thread)
{
    struct search *s = arg;
    const struct ledger_file *f = &s->file[index];
    UNUSED(thread);
    if (pipe_stop)
        return err_set(ERR_STOP, "stopped by a signal: run the same command to go on");
    return f->path ? walk_file(s, f) : walk_items(s, f);
}

/* ---- all of them ---- */
static int query_open(struct view_query *q, const struct store_meta *meta)
{
    for (uint32_t d = 0; d < meta->domain_count; d++) {
        q->bits[d] = calloc(meta->domain[d].documents / 64 + 1, sizeof *q->bits[d]);
        if (!q->bits[d])
            return err_set(ERR_LIMIT, "views: no memory for a bit for each of %llu documents",
                           (unsigned long long)meta->domain[d].documents);
    }
    return 0;
}

static int search_all(struct search *s, const char *base, int threads)
{
    struct pool *pool;
    TRY(arena_open(&s->arena, SEARCH_ARENA));
    TRY(find_files(s, base));
    for (int i = 0; i < s->count; i++)
        TRY(query_open(&s->query[i], store_meta(s->store)));
    TRY(pool_open(&pool, threads));
    int rc = pool_try(pool, (int)s->files, walk_index, s);
    pool_close(pool);
    return rc;
}

int view_search(struct view_query *query, int count, struct store *store, const char *base,
                int threads, uint64_t *unmatched)
{
    struct search s = {.query = query, .count = count, .store = store};
    int rc = search_all(&s, base, threads);
    if (unmatched)
        *unmatched = s.unmatched;
    free(s.file);
    arena_close(&s.arena);
    return rc;
}

void view_query_free(struct view_query *q)
{
    for (int d = 0; d < STORE_DOMAINS_MAX; d++) {
        free(q->bits[d]);
        q->bits[d] = NULL;
    }
}

struct picked {
    const struct view_query *query;
    struct view_share *share;
};

static bool pick_bit(void *arg, uint32_t domain, uint64_t index, const struct store_doc *doc)
{
    struct picked *p = arg;
    const uint64_t *bits = p->query->bits[domain];
    bool is = bits && bits[index / 64] >> (index % 64) & 1;
    if (is && p->share) {
        p->share[domain].documents++;
        p->share[domain].tokens += doc->token_count;
    }
    return is;
}

int view_of_query(struct token_view *out, const struct view_query *q, struct store *s,
                  const char *name, struct view_share *share)
{
    struct picked p = {q, share};
    if (share)
        memset(share, 0, sizeof *share * STORE_DOMAINS_MAX);
    return token_view_make(out, s, name, pick_bit, &p);
}

int view_ledger(struct ledger_reader **out, const char *base)
{
    struct search s = {0};
    TRY(arena_open(&s.arena, SEARCH_ARENA));
    int rc = add_run(&s, base, 0, UINT32_MAX, false);
    if (rc >= 0)
        rc = s.file[0].path ? ledger_open(out, s.file[0].path)
                            : err_set(ERR_USAGE, "%s: no ledger there (ledger/*.parquet)", base);
    free(s.file);
    arena_close(&s.arena);
    return rc;
}

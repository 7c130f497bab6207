/* views - the tables [view.NAME] of a recipe, the task that finds them, and who may draw from them.
 */
#include "command/views.h"

#include "command/summary.h"
#include "core/err.h"
#include "core/log.h"
#include "core/toml.h"

#include <stdlib.h>

const struct opt view_opts[] = {
    OPT_ROW(OPT_STR, struct view_conf, where, NULL, 0, 0, NULL,
            "predicate over the ledger's columns and signals: lang in ['en'] and "
            "quality.score >= 0.5 (sluice store view --run=DIR lists them)",
            NULL),
    OPT_LAST,
};

/* ---- in a recipe ---- */
static int domain_index(const struct recipe *r, const char *name)
{
    for (int i = 0; i < r->domain_count; i++)
        if (strcmp(r->domain[i].name, name) == 0)
            return i;
    return -1;
}

static int view_index(const struct recipe *r, const char *name)
{
    for (int i = 0; i < r->view_count; i++)
        if (strcmp(r->view[i].name, name) == 0)
            return i;
    return -1;
}

static int check_name(const struct recipe *r, const struct conf_node *at)
{
    size_t len = strlen(at->key);
    bool plain = len > 0 && len < sizeof((struct token_view *)0)->name;
    for (const char *c = at->key; *c; c++)
        plain &= (*c >= 'a' && *c <= 'z') || (*c >= '0' && *c <= '9') || *c == '-' || *c == '_';
    if (!plain)
        return err_set(ERR_USAGE,
                       "%s:%d: view \"%s\": names are 1 to 47 of a-z 0-9 - _ (they name files)",
                       at->file, at->line, at->key);
    if (domain_index(r, at->key) >= 0)
        return err_set(ERR_USAGE, "%s:%d: view %s has the name of a domain: call it otherwise",
                       at->file, at->line, at->key);
    return 0;
}

static int read_view(struct recipe *r, struct conf_node *table)
{
    struct where *w;
    if (table->type != CONF_TABLE)
        return err_set(ERR_USAGE, "%s:%d: views are written [view.NAME], with where = \"...\"",
                       table->file, table->line);
    if (r->view_count == VIEWS_MAX)
        return err_set(ERR_LIMIT, "%s:%d: more than %d views", table->file, table->line, VIEWS_MAX);
    TRY(check_name(r, table));
    struct view_conf *v = &r->view[r->view_count++];
    table->used = true;
    v->name = table->key;
    TRY(opt_defaults(view_opts, v, &r->arena));
    TRY(opt_from_recipe(view_opts, v, table, NULL, &r->arena));
    if (!v->where || !v->where[0])
        return err_set(ERR_USAGE, "%s:%d: view %s has no where: say which documents it holds",
                       table->file, table->line, v->name);
    int rc = where_parse(&w, v->where);
    if (rc < 0)
        return err_in(rc, "%s:%d: view %s", table->file, table->line, v->name);
    where_free(w);
    return 0;
}

int views_read(struct recipe *r)
{
    struct conf_node *list = conf_get(r->root, "view");
    if (list && list->type != CONF_TABLE)
        return err_set(ERR_USAGE, "%s:%d: views are written [view.NAME], with where = \"...\"",
                       list->file, list->line);
    for (struct conf_node *table = list ? list->child : NULL; table; table = table->next)
        TRY(read_view(r, table));
    return 0;
}

void views_resolve(const struct recipe *r, struct buf *to)
{
    for (int i = 0; i < r->view_count; i++) {
        buf_printf(to, "\n[view.%s]\n", r->view[i].name);
        opt_write(view_opts, &r->view[i], to);
    }
}

int views_check(const struct recipe *r)
{
    for (int i = 0; i < r->view_count; i++) {
        struct where *w;
        struct where_names names;
        int rc = where_parse(&w, r->view[i].where);
        if (rc >= 0) {
            rc = where_bind(w, &r->schema, false, &names);
            where_free(w);
        }
        if (rc < 0)
            return err_in(rc, "recipe: view %s", r->view[i].name);
    }
    return 0;
}

bool part_known(const struct recipe *r, const char *name)
{
    return r->borrowed || domain_index(r, name) >= 0 || view_index(r, name) >= 0;
}

/* ---- in a run ---- */
static int unknown_part(const struct recipe *r, const struct store_meta *meta, const char *name)
{
    const char *known[STORE_DOMAINS_MAX + VIEWS_MAX + 1];
    int count = 0;
    for (uint32_t d = 0; d < meta->domain_count; d++)
        known[count++] = meta->domain[d].name;
    for (int i = 0; i < r->view_count; i++)
        known[count++] = r->view[i].name;
    known[count] = NULL;
    const char *near = conf_nearest(name, known);
    return err_set(ERR_USAGE, "recipe: there is no domain or view \"%s\"%s%s%s", name,
                   near ? ": did you mean \"" : ": see sluice store ls", near ? near : "",
                   near ? "\"?" : "");
}

static int view_open(struct token_view *out, const struct run *r, struct store *s,
                     const struct view_conf *v)
{
    char path[IO_PATH_MAX];
    TRY(io_path(path, "%s/views/%s.view", r->dir, v->name));
    TRY(token_view_open(out, path, s));
    if (strcmp(out->where, v->where) == 0)
        return 0;
    token_view_close(out);
    return err_set(ERR_USAGE,
                   "%s: is of another predicate than the recipe's: run `sluice run` "
                   "again, which makes it anew",
                   path);
}

int part_open(struct token_view *out, const struct run *r, struct store *s, const char *name)
{
    int domain = store_domain(s, name), view = view_index(r->recipe, name);
    if (domain >= 0)
        return token_view_domain(out, s, (uint32_t)domain);
    if (view < 0)
        return unknown_part(r->recipe, store_meta(s), name);
    return view_open(out, r, s, &r->recipe->view[view]);
}

int views_fresh(const struct run *r)
{
    char path[IO_PATH_MAX];
    struct store *s;
    bool fresh = true;
    TRY(io_path(path, "%s/store", r->base));
    int rc = store_open(&s, path);
    if (rc < 0) {
        err_clear(); /* what needs the store will say so */
        return 1;
    }
    for (int i = 0; i < r->recipe->view_count && fresh; i++) {
        struct token_view v;
        fresh = view_open(&v, r, s, &r->recipe->view[i]) >= 0;
        if (fresh)
            token_view_close(&v);
    }
    store_close(s);
    if (!fresh)
        log_info("views: %s: they are looked for again", err_text());
    err_clear();
    return fresh;
}

/* ---- the task ---- */
struct view_work {
    struct view_query query[VIEWS_MAX];
    struct where *where[VIEWS_MAX];
    int count;
};

static int work_open(struct view_work *w, const struct run *r, const struct store *s)
{
    for (w->count = 0; w->count < r->recipe->view_count; w->count++) {
        const struct view_conf *v = &r->recipe->view[w->count];
        if (store_domain(s, v->name) >= 0)
            return err_set(ERR_USAGE,
                           "recipe: view %s has the name of a domain of the store: "
                           "call it otherwise",
                           v->name);
        int rc = where_parse(&w->where[w->count], v->where);
        if (rc < 0)
            return err_in(rc, "view %s", v->name);
        w->query[w->count].where = w->where[w->count];
    }
    return 0;
}

static int write_view(struct run *r, const struct view_work *w, int index, struct store *s,
                      struct manifest *m)
{
    const struct view_conf *v = &r->recipe->view[index];
    struct token_view view;
    char path[IO_PATH_MAX], relative[64];
    struct io_info info;
    TRY(view_of_query(&view, &w->query[index], s, v->name, NULL));
    snprintf(relative, sizeof relative, "views/%s.view", v->name);
    int rc = io_path(path, "%s/%s", r->dir, relative);
    if (rc >= 0)
        rc = token_view_write(&view, s, v->where, path, &info);
    if (rc >= 0 && view.documents == 0)
        log_warn("view %s holds no document: %s", v->name, v->where);
    else if (rc >= 0)
        log_info("view %s: %llu documents, %llu tokens", v->name,
                 (unsigned long long)view.documents, (unsigned long long)view.tokens);
    token_view_close(&view);
    return rc < 0 ? rc : manifest_add_output(m, relative, &info);
}

static int find_views(struct run *r, struct view_work *w, struct store *s, struct manifest *m)
{
    uint64_t unmatched;
    TRY(work_open(w, r, s));
    if (w->count == 0)
        return 0;
    TRY(view_search(w->query, w->count, s, r->base, r->threads, &unmatched));
    if (unmatched)
        log_warn("views: %llu kept rows of the ledger have no document in the store",
                 (unsigned long long)unmatched);
    for (int i = 0; i < w->count; i++)
        TRY(write_view(r, w, i, s, m));
    return manifest_add_count(m, "views", (uint64_t)w->count);
}

int task_views(struct run *r, uint32_t unit, struct manifest *m)
{
    char path[IO_PATH_MAX];
    struct store *s;
    struct view_work *w = calloc(1, sizeof *w);
    UNUSED(unit);
    int rc = w ? base_store(r->dir, path) : err_set(ERR_LIMIT, "views: no memory");
    if (rc >= 0)
        rc = store_open(&s, path);
    if (rc >= 0) {
        rc = find_views(r, w, s, m);
        store_close(s);
    }
    for (int i = 0; w && i < VIEWS_MAX; i++) {
        view_query_free(&w->query[i]);
        where_free(w->where[i]);
    }
    free(w);
    return rc < 0 ? rc : summary_store_json(r);
}

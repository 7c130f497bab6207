/* store_view - `sluice store view`: what of a store a predicate holds of, and what may be asked. */
#include "command/store_tool.h"
#include "command/views.h"
#include "core/err.h"
#include "core/json.h"
#include "core/log.h"
#include "core/toml.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { LIST_ARENA = 64 << 20 };

/* ---- what may be asked ---- */
static void list_columns(const bool has[static LEDGER_COLUMNS])
{
    printf("columns\n");
    for (int i = 0; i < LEDGER_COLUMNS; i++)
        if (has[i])
            printf("  %-36s %s\n", ledger_columns[i].name,
                   i == LEDGER_ID                        ? "text: 16 hex digits"
                   : ledger_columns[i].type == PQ_STRING ? "text"
                   : ledger_columns[i].optional          ? "number or null"
                                                         : "number");
}

/* Of documents without a ledger. */
static int list_index(const struct store_flags *flags, const char *base)
{
    bool has[LEDGER_COLUMNS];
    struct store *s;
    TRY(store_of_run(flags, &s));
    int rc = view_columns(base, s, has);
    store_close(s);
    TRY(rc);
    list_columns(has);
    if (has[LEDGER_LANG])
        printf("signals (numbers; null where not measured)\n");
    for (int i = 0; has[LEDGER_LANG] && view_index_signals[i]; i++)
        printf("  %s\n", view_index_signals[i]);
    printf("there is no ledger in %s, so these are all: no %srules\n", base,
           has[LEDGER_LANG] ? "other signals, no " : "signals, no ");
    return 0;
}

static int list_names(const struct store_flags *flags)
{
    char base[IO_PATH_MAX];
    bool has[LEDGER_COLUMNS];
    struct ledger_reader *r;
    TRY(ledger_base(flags->run, base));
    int ledger = view_columns(base, NULL, has);
    TRY(ledger);
    if (!ledger)
        return list_index(flags, base);
    list_columns(has);
    TRY(view_ledger(&r, base));
    const struct schema *s = ledger_schema(r);
    printf("signals (numbers; null where not measured)\n");
    for (int i = 0; i < s->signal_count; i++)
        printf("  %-36s %s\n", s->signal[i].name, s->signal[i].unit);
    printf("rules: rule('NAME'), and where a threshold is given margin('NAME')\n");
    for (int i = 1; i < s->rule_count; i++) {
        const struct rule_info *rule = &s->rule[i];
        printf("  %-36s", rule->name);
        if (rule->signal >= 0 && rule->sense && !isnan(rule->threshold))
            printf(" %s %s %g", s->signal[rule->signal].name, rule->sense > 0 ? "above" : "below",
                   rule->threshold);
        printf("\n");
    }
    ledger_close(r);
    return 0;
}

/* ---- the views a run has ---- */
static void list_view(const char *path, struct store *s, bool json, bool first)
{
    struct token_view v;
    int rc = token_view_open(&v, path, s);
    struct str name = str_of(strrchr(path, '/') + 1);
    name = str_slice(name, 0, name.len - strlen(".view"));
    if (json && rc >= 0)
        printf("%s{\"name\":\"%.*s\",\"documents\":%llu,\"tokens\":%llu}", first ? "" : ",",
               STR_ARG(name), (unsigned long long)v.documents, (unsigned long long)v.tokens);
    else if (json)
        printf("%s{\"name\":\"%.*s\",\"stale\":true}", first ? "" : ",", STR_ARG(name));
    else if (rc >= 0)
        printf("view %-19.*s %12llu %16llu  %s\n", STR_ARG(name), (unsigned long long)v.documents,
               (unsigned long long)v.tokens, v.where);
    else
        printf("view %-19.*s %s\n", STR_ARG(name),
               rc == ERR_USAGE ? "of the store before it changed: sluice run makes it again"
                               : "damaged: sluice run makes it again");
    err_clear();
    token_view_close(&v);
}

int store_list_views(const struct store_flags *flags, struct store *s)
{
    char pattern[IO_PATH_MAX];
    const char **path;
    size_t count = 0;
    struct arena a = {0};
    TRY(io_path(pattern, "%s/views/*.view", flags->run));
    TRY(arena_open(&a, LIST_ARENA));
    int rc = io_glob(pattern, &a, &path, &count);
    if (rc == ERR_USAGE) { /* it has none */
        err_clear();
        rc = 0;
        count = 0;
    }
    for (size_t i = 0; i < count && rc >= 0; i++)
        list_view(path[i], s, flags->json, i == 0);
    arena_close(&a);
    return rc;
}

/* ---- what a predicate holds of ---- */
struct found {
    const struct store_flags *flags;
    const char *where;
    struct store *store;
    struct view_share share[STORE_DOMAINS_MAX];
    struct token_view view;
    char file[IO_PATH_MAX]; /* empty: not written */
};

static void print_rows(const struct found *f)
{
    const struct store_meta *meta = store_meta(f->store);
    uint64_t documents = 0, tokens = 0, live_documents = 0, live_tokens = 0;
    printf("%-24s %12s %16s %10s %10s\n", "domain", "documents", "tokens", "of docs", "of tokens");
    for (uint32_t d = 0; d <= meta->domain_count; d++) {
        bool all = d == meta->domain_count;
        uint64_t have = all ? f->view.documents : f->share[d].documents;
        uint64_t held = all ? f->view.tokens : f->share[d].tokens;
        if (!all) {
            live_documents = meta->domain[d].documents - meta->domain[d].removed_documents;
            live_tokens = meta->domain[d].tokens - meta->domain[d].removed_tokens;
        }
        double of_documents = (double)(all ? documents : live_documents);
        double of_tokens = (double)(all ? tokens : live_tokens);
        printf("%-24s", all ? "all" : meta->domain[d].name);
        printf(" %12llu %16llu %9.2f%% %9.2f%%\n", (unsigned long long)have,
               (unsigned long long)held, of_documents > 0 ? 100 * (double)have / of_documents : 0,
               of_tokens > 0 ? 100 * (double)held / of_tokens : 0);
        documents += live_documents;
        tokens += live_tokens;
    }
}

static void print_json(const struct found *f)
{
    const struct store_meta *meta = store_meta(f->store);
    struct buf out = {0};
    struct json_writer w;
    json_begin(&w, &out);
    json_open(&w, '{');
    json_field_text(&w, "where", f->where);
    json_field_u64(&w, "documents", f->view.documents);
    json_field_u64(&w, "tokens", f->view.tokens);
    json_field_u64(&w, "runs_of_documents", f->view.extent_count);
    json_field_open(&w, "domains", '[');
    for (uint32_t d = 0; d < meta->domain_count; d++) {
        json_open(&w, '{');
        json_field_text(&w, "name", meta->domain[d].name);
        json_field_u64(&w, "documents", f->share[d].documents);
        json_field_u64(&w, "tokens", f->share[d].tokens);
        json_close(&w, '}');
    }
    json_close(&w, ']');
    if (f->file[0])
        json_field_text(&w, "file", f->file);
    json_close(&w, '}');
    printf("%s\n", buf_cstr(&out));
    buf_free(&out);
}

static int view_name(const struct store_flags *flags, const struct store *s)
{
    for (const char *c = flags->name; *c; c++)
        if (!((*c >= 'a' && *c <= 'z') || (*c >= '0' && *c <= '9') || *c == '-' || *c == '_') ||
            c - flags->name >= 47)
            return err_set(ERR_USAGE, "store view: --name=%s: names are 1 to 47 of a-z 0-9 - _",
                           flags->name);
    if (store_domain(s, flags->name) >= 0)
        return err_set(ERR_USAGE, "store view: --name=%s is the name of a domain: choose another",
                       flags->name);
    return 0;
}

static int view_keep(struct found *f)
{
    if (!f->flags->name || !f->flags->name[0])
        return 0;
    TRY(view_name(f->flags, f->store));
    TRY(io_path(f->file, "%s/views/%s.view", f->flags->run, f->flags->name));
    return token_view_write(&f->view, f->store, f->where, f->file, NULL);
}

static int view_find(struct found *f, const struct where *w)
{
    struct view_query q = {.where = w};
    char base[IO_PATH_MAX];
    uint64_t unmatched = 0;
    TRY(ledger_base(f->flags->run, base));
    int rc = view_search(&q, 1, f->store, base, 0, &unmatched);
    if (rc >= 0)
        rc = view_of_query(&f->view, &q, f->store, f->flags->name ? f->flags->name : "", f->share);
    view_query_free(&q);
    if (unmatched)
        log_warn("%llu kept rows of the ledger have no document in the store",
                 (unsigned long long)unmatched);
    return rc;
}

int store_view(const struct store_flags *flags, const char *predicate)
{
    struct where *w = NULL;
    struct found *f = NULL;
    int rc;
    TRY(run_flag_check("store", flags->run));
    if (!predicate)
        return list_names(flags);
    rc = where_parse(&w, predicate);
    if (rc < 0)
        return err_in(rc, "store view");
    f = calloc(1, sizeof *f);
    TRY_OUT(f ? 0 : err_set(ERR_LIMIT, "store view: no memory"));
    f->flags = flags;
    f->where = predicate;
    TRY_OUT(store_of_run(flags, &f->store));
    TRY_OUT(view_find(f, w));
    TRY_OUT(view_keep(f));
    if (flags->json)
        print_json(f);
    else
        print_rows(f);
    if (f->file[0] && !flags->json) {
        struct buf quoted = {0};
        conf_write_string(&quoted, str_of(predicate));
        printf("written to %s. In a recipe:\n[view.%s]\nwhere = %s\n", f->file, flags->name,
               buf_cstr(&quoted));
        buf_free(&quoted);
    }
out:
    if (f) {
        token_view_close(&f->view);
        store_close(f->store);
    }
    free(f);
    where_free(w);
    return rc < 0 ? rc : 0;
}

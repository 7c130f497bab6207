/* report - reads what a run left, and writes its page and the same figures as JSON. */
#include "report/report.h"

#include "core/err.h"
#include "report/hypertext.h"
#include "report/page.h"

#include <stdio.h>
#include <stdlib.h>

enum { JSON_BYTES_MAX = 64 << 20, PAGE_ARENA = 512 << 20 };

/* A file that is there but cannot be used costs its section, not the page. */
static void load_json(struct page *p, const char *dir, const char *name, const struct json **out)
{
    char path[IO_PATH_MAX], *bytes = NULL;
    size_t len;
    struct json *value = NULL;
    int rc = io_path(path, "%s/%s", dir, name);
    *out = NULL;
    if (rc >= 0 && !io_exists(path))
        return;
    if (rc >= 0)
        rc = io_read_file(path, JSON_BYTES_MAX, &bytes, &len);
    if (rc >= 0) {
        struct str text = arena_str(&p->arena, (struct str){bytes, len});
        rc = text.ptr ? json_parse(&p->arena, text, &value) : ERR_LIMIT;
    }
    free(bytes);
    if (rc < 0)
        page_warn(p, "%s was left out: %s", name, err_text());
    else if (value->type != JSON_OBJECT)
        page_warn(p, "%s was left out: not an object", name);
    else
        *out = value;
    err_clear();
}

static int find_stage(const struct page *p, struct str name)
{
    for (int i = 0; i < p->stage_count; i++)
        if (str_is(name, p->stage[i].name))
            return i;
    return -1;
}

/* Puts a new stage at a place; returns where the stage stands then. */
static int add_stage(struct page *p, struct str name, int at)
{
    name = str_slice(name, 0, sizeof p->stage[0].name - 1);
    int known = find_stage(p, name);
    if (known >= 0 || name.len == 0 || p->stage_count == PAGE_STAGES_MAX)
        return known >= 0 ? known : at - 1;
    memmove(&p->stage[at + 1], &p->stage[at], (size_t)(p->stage_count - at) * sizeof *p->stage);
    p->stage[at] = (struct page_stage){0};
    memcpy(p->stage[at].name, name.ptr, name.len);
    int index = names_find(&p->gather->stage, name);
    p->stage[at].dropped = index >= 0 ? p->gather->stage_dropped[index] : 0;
    p->stage_count++;
    return at;
}

/* The recipe's stages, and among them those that only the ledger knows, each behind the one that
 * registered its rules before it: reading the source comes first though no recipe names it. */
static void order_stages(struct page *p)
{
    const struct json *stages = json_get(p->run, "stages");
    if (!p->has_ledger)
        return;
    for (const struct json *s = stages ? stages->child : NULL; s; s = s->next)
        if (s->type == JSON_STRING)
            add_stage(p, s->string, p->stage_count);
    for (int i = 0, before = -1; i < p->gather->stage.count; i++)
        before = add_stage(p, str_of(p->gather->stage.name[i]), before + 1);
}

static int load(struct page *p)
{
    char base[IO_PATH_MAX];
    TRY(arena_open(&p->arena, PAGE_ARENA));
    TRY(ledger_base(p->run_dir, base));
    p->curves = calloc(1, sizeof *p->curves);
    if (!p->curves)
        return err_set(ERR_LIMIT, "report: no memory");
    load_json(p, p->run_dir, "run.json", &p->run);
    load_json(p, p->run_dir, "store.json", &p->store);
    load_json(p, p->run_dir, "eval.json", &p->eval);
    load_json(p, base, "tokenizer/report.json", &p->vocabulary);
    int rc = gather_ledger(p->run_dir, &p->gather);
    if (rc < 0)
        return err_in(rc, "report");
    p->has_ledger = rc > 0;
    rc = curves_read(p->run_dir, p->curves);
    p->has_curves = rc > 0;
    if (rc < 0)
        page_warn(p, "train/train.jsonl was left out: %s", err_text());
    rc = page_read_samples(p);
    if (rc < 0)
        page_warn(p, "samples.jsonl was read in part: %s", err_text());
    err_clear();
    order_stages(p);
    page_find_idle(p);
    return 0;
}

static void put_warnings(const struct page *p, struct buf *to)
{
    struct str rest = buf_view(&p->warnings);
    if (p->warning_count == 0)
        return;
    buf_text(to, "<section id=\"warnings\"><div class=\"warn\"><h2>Worth a look</h2>\n");
    if (p->warning_count > 12)
        buf_printf(to, "<details><summary>%d remarks</summary>", p->warning_count);
    buf_text(to, "<ul>\n");
    while (rest.len) {
        buf_text(to, "<li>");
        html_escape(to, str_cut(rest, '\n', &rest));
        buf_text(to, "</li>\n");
    }
    buf_text(to, p->warning_count > 12 ? "</ul></details></div></section>\n"
                                       : "</ul></div></section>\n");
}

/* Links to the sections that are there, found by their ids in the finished body. */
static void put_nav(struct str body, struct buf *to)
{
    static const struct {
        const char *id, *name;
    } link[] = {
        {"funnel", "Funnel"},         {"rules", "Rules"},          {"languages", "Languages"},
        {"signals", "Signals"},       {"samples", "Samples"},      {"duplicates", "Duplicates"},
        {"vocabulary", "Vocabulary"}, {"mixture", "Mixture"},      {"training", "Training"},
        {"heldout", "Held out"},      {"provenance", "Provenance"}};
    buf_text(to, "<nav>");
    for (size_t i = 0; i < COUNT_OF(link); i++) {
        char mark[64];
        snprintf(mark, sizeof mark, "<section id=\"%s\"", link[i].id);
        if (str_find(body, str_of(mark)) != SIZE_MAX)
            buf_printf(to, "<a href=\"#%s\">%s</a>", link[i].id, link[i].name);
    }
    buf_text(to, "</nav>");
}

static void put_page(const struct page *p, struct buf *to)
{
    struct str name = json_str(p->run, "name", STR(""));
    struct buf body = {0}, title = {0};
    if (name.len == 0)
        name = STR("sluice");
    buf_str(&title, name);
    buf_text(&title, ": the run's report");
    page_put_headline(p, &body);
    put_warnings(p, &body);
    page_put_funnel(p, &body);
    page_put_rules(p, &body);
    page_put_languages(p, &body);
    page_put_signals(p, &body);
    page_put_samples(p, &body);
    page_put_duplicates(p, &body);
    page_put_vocabulary(p, &body);
    page_put_mixture(p, &body);
    page_put_training(p, &body);
    page_put_eval(p, &body);
    page_put_provenance(p, &body);
    html_head(to, buf_view(&title));
    buf_text(to, "<header><h1>");
    html_escape(to, name);
    buf_text(to, "</h1><div class=\"soft\">From web pages to tokens");
    buf_text(to, p->has_curves ? " to a trained model: what went in, what stayed, and why.</div>\n"
                               : ": what went in, what stayed, and why.</div>\n");
    put_nav(buf_view(&body), to);
    buf_text(to, "</header>\n<main>\n");
    buf_str(to, buf_view(&body));
    buf_text(to, "</main>\n");
    html_foot(to);
    to->failed |=
        body.failed || title.failed || p->kept_samples.failed || p->dropped_samples.failed;
    buf_free(&body);
    buf_free(&title);
}

static int write_file(const struct page *p, const char *name, struct buf *bytes)
{
    char path[IO_PATH_MAX];
    if (bytes->failed)
        return err_set(ERR_LIMIT, "report: no memory for %s", name);
    TRY(io_path(path, "%s/%s", p->run_dir, name));
    return io_write_file(path, buf_view(bytes));
}

int report_write(const char *run_dir)
{
    struct buf html = {0}, json = {0};
    int rc;
    struct page *p = calloc(1, sizeof *p);
    if (!p)
        return err_set(ERR_LIMIT, "report: no memory");
    p->run_dir = run_dir;
    TRY_OUT(load(p));
    put_page(p, &html);
    page_put_json(p, &json);
    TRY_OUT(write_file(p, "report.html", &html));
    TRY_OUT(write_file(p, "report.json", &json));
out:
    buf_free(&html);
    buf_free(&json);
    buf_free(&p->kept_samples);
    buf_free(&p->dropped_samples);
    buf_free(&p->warnings);
    gather_free(p->gather);
    free(p->curves);
    arena_close(&p->arena);
    free(p);
    return rc;
}

/* page_samples - pages to look at, and the warnings about what did nothing. */
#include "report/page.h"

#include "core/err.h"
#include "core/log.h"
#include "report/hypertext.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { TEXT_POINTS = 1200, URL_POINTS = 300, SAMPLE_ARENA = 256 << 20, WARNINGS_MAX = 200 };

void page_warn(struct page *p, const char *fmt, ...)
{
    char text[4096];
    va_list args;
    if (p->warning_count == WARNINGS_MAX)
        return;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    for (char *at = text; *at; at++)
        *at = *at == '\n' ? ' ' : *at;
    buf_text(&p->warnings, text);
    buf_char(&p->warnings, '\n');
    p->warning_count++;
}

/* ---- samples ---- */
static void put_reason(struct buf *to, const struct json *row, bool kept)
{
    struct str rule = json_str(row, "rule", STR("")), lang = json_str(row, "lang", STR(""));
    double value = json_num(row, "value", NAN), threshold = json_num(row, "threshold", NAN);
    if (kept)
        buf_text(to, "<span class=\"tag keep\">kept</span>");
    else {
        buf_text(to, "<span class=\"tag drop\">");
        html_clip(to, rule.len ? rule : json_str(row, "stage", STR("dropped")), 64);
        buf_text(to, "</span>");
    }
    buf_text(to, "<span class=\"url\">");
    html_clip(to, json_str(row, "url", STR("")), URL_POINTS);
    buf_text(to, "</span> <span class=\"soft\">");
    if (!kept && isfinite(value)) {
        html_num(to, value);
        if (isfinite(threshold)) {
            buf_text(to, ", limit ");
            html_num(to, threshold);
            if (threshold != 0 && fabs(value - threshold) <= 0.1 * fabs(threshold))
                buf_text(to, ", near the line");
        }
        buf_text(to, lang.len ? " \u00B7 " : "");
    }
    html_clip(to, lang, 16);
    buf_text(to, "</span>");
}

static void put_sample(struct buf *to, const struct json *row, bool kept, bool open)
{
    struct str text = json_str(row, "text", STR(""));
    buf_text(to, open ? "<details open><summary>" : "<details><summary>");
    put_reason(to, row, kept);
    buf_text(to, "</summary><div class=\"doc\" dir=\"auto\">");
    if (text.len)
        html_clip(to, text, TEXT_POINTS);
    else
        buf_text(to, "<span class=\"soft\">no text</span>");
    buf_text(to, "</div></details>\n");
}

static void take_sample(struct page *p, struct names *rules, uint8_t *taken, const struct json *row)
{
    if (!str_is(json_str(row, "verdict", STR("")), "dropped")) {
        if (p->kept_sample_count < PAGE_SAMPLES_KEPT) {
            put_sample(&p->kept_samples, row, true, p->kept_sample_count == 0);
            p->kept_sample_count++;
        }
        return;
    }
    int rule = names_index(rules, json_str(row, "rule", STR("")));
    if (p->dropped_sample_count < PAGE_SAMPLES_READ && taken[rule] < PAGE_SAMPLES_RULE) {
        struct page_sample *sample = &p->dropped_sample[p->dropped_sample_count++];
        int known = names_find(&p->gather->rule, json_str(row, "rule", STR("")));
        sample->begin = p->dropped_samples.len;
        put_sample(&p->dropped_samples, row, false, false);
        sample->end = p->dropped_samples.len;
        sample->drops = known < 0 ? 0 : p->gather->rule_count[known].first;
        taken[rule]++;
    }
}

/* The file has them by the rules' names. */
static int by_drops(const void *a, const void *b)
{
    const struct page_sample *x = a, *y = b;
    if (x->drops != y->drops)
        return x->drops > y->drops ? -1 : 1;
    return x->begin < y->begin ? -1 : x->begin > y->begin;
}

static int read_sample_rows(struct page *p, struct io_reader *in, struct arena *a,
                            struct names *rules)
{
    uint8_t taken[GATHER_NAMES_MAX] = {0};
    struct str line;
    int rc;
    uint64_t number = 0;
    while ((rc = io_read_line(in, &line)) > 0) {
        struct json *row;
        arena_reset(a, 0);
        number++;
        if (str_trim(line).len == 0)
            continue;
        rc = json_parse(a, line, &row);
        if (rc < 0)
            return err_in(rc, "line %llu", (unsigned long long)number);
        take_sample(p, rules, taken, row);
    }
    return rc;
}

int page_read_samples(struct page *p)
{
    char path[IO_PATH_MAX];
    struct io_reader *in = NULL;
    struct arena a = {0};
    struct names *rules = NULL;
    int rc;
    TRY(io_path(path, "%s/samples.jsonl", p->run_dir));
    if (!io_exists(path))
        return 0;
    rules = calloc(1, sizeof *rules);
    if (!rules)
        return err_set(ERR_LIMIT, "report: no memory");
    TRY_OUT(arena_open(&a, SAMPLE_ARENA));
    TRY_OUT(io_open(&in, path));
    rc = read_sample_rows(p, in, &a, rules);
    qsort(p->dropped_sample, (size_t)p->dropped_sample_count, sizeof p->dropped_sample[0],
          by_drops);
out:
    if (in)
        io_close(in);
    arena_close(&a);
    free(rules);
    return rc;
}

void page_put_samples(const struct page *p, struct buf *to)
{
    if (p->kept_sample_count + p->dropped_sample_count == 0)
        return;
    buf_text(
        to,
        "<section id=\"samples\" class=\"long\"><h2>Pages to look at</h2><p class=\"soft\">A draw "
        "by document id, of the rules that dropped most first; open one to read its beginning. "
        "Control characters and direction marks are shown as \uFFFD.</p>\n<div class=\"two\">\n");
    if (p->dropped_sample_count) {
        static const char fold[] = "<details>", open[] = "<details open>";
        buf_text(to, "<div><h3>Dropped</h3>\n");
        for (int i = 0; i < p->dropped_sample_count && i < PAGE_SAMPLES_DROPPED; i++) {
            const struct page_sample *s = &p->dropped_sample[i];
            struct str html = str_slice(buf_view(&p->dropped_samples), s->begin, s->end);
            buf_text(to, i == 0 ? open : fold);
            buf_str(to, str_slice(html, sizeof fold - 1, html.len));
        }
        buf_text(to, "</div>\n");
    }
    if (p->kept_sample_count) {
        buf_text(to, "<div><h3>Kept</h3>\n");
        buf_str(to, buf_view(&p->kept_samples));
        buf_text(to, "</div>\n");
    }
    buf_text(to, "</div></section>\n");
}

/* ---- what did nothing ---- */
/* Stages of the recipe, or all when there is none, that could have dropped something. */
static bool stage_is_asked(const struct page *p, struct str name)
{
    const struct gather *g = p->gather;
    const struct json *stages = json_get(p->run, "stages");
    bool named = !stages;
    for (const struct json *s = stages ? stages->child : NULL; s; s = s->next)
        named |= str_eq(s->string, name);
    int stage = names_find(&g->stage, name);
    bool found = false;
    for (int i = 0; i < g->rule.count && stage >= 0; i++)
        found |= g->rule_about[i].known && g->rule_about[i].stage == stage;
    return found && named;
}

/* "Rules that never fired: a, b." as one warning. */
static void warn_list(struct page *p, const char *what, struct buf *names)
{
    if (names->len)
        page_warn(p, "%s: %s.", what, buf_cstr(names));
    buf_free(names);
}

static void list_add(struct buf *names, const char *name)
{
    if (names->len)
        buf_text(names, ", ");
    buf_text(names, name);
}

static void find_idle_rows(struct page *p)
{
    const struct gather *g = p->gather;
    struct buf rules = {0}, unmeasured = {0}, constant = {0};
    for (int i = 0; i < p->stage_count; i++) {
        const char *name = p->stage[i].name;
        if (p->stage[i].dropped == 0 && stage_is_asked(p, str_of(name)))
            page_warn(p, "Stage %s removed 0 of %llu pages.", name, (unsigned long long)g->rows);
    }
    for (int i = 0; i < g->rule.count; i++)
        if (g->rule_about[i].known && g->rule_count[i].total == 0)
            list_add(&rules, g->rule.name[i]);
    for (int i = 0; i < g->signal_count; i++) {
        const struct signal_about *s = &g->signal[i];
        if (s->measured == 0)
            list_add(&unmeasured, s->name);
        if (s->least != s->most || g->rows < 2)
            continue;
        list_add(&constant, s->name);
        buf_printf(&constant, " (%g)", s->least);
    }
    warn_list(p, "Rules that never fired", &rules);
    warn_list(p, "Signals that were never measured", &unmeasured);
    warn_list(p, "Signals with one value on all pages", &constant);
}

void page_find_idle(struct page *p)
{
    const struct gather *g = p->gather;
    if (p->has_ledger && g->rows == 0)
        page_warn(p, "The ledger has no rows: nothing was read.");
    if (p->has_ledger && g->rows && g->kept + g->heldout == 0)
        page_warn(p, "No page was kept of %llu.", (unsigned long long)g->rows);
    if (p->has_ledger && g->rows)
        find_idle_rows(p);
    if (p->has_curves && p->curves->not_finite)
        page_warn(p, "The loss was not a number in %llu of %llu steps.",
                  (unsigned long long)p->curves->not_finite, (unsigned long long)p->curves->rows);
}

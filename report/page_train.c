/* page_train - the sections about tokens and the model: mixture, curves, held-out texts,
 * provenance. */
#include "report/page.h"

#include "report/hypertext.h"
#include "report/report.h"

#include <math.h>
#include <stdlib.h>

enum { RECIPE_POINTS = 60000, PHASES_MAX = 64 };

/* ---- mixture ---- */
/* A share and a number of epochs for each phase. */
static void put_draws(struct buf *to, const struct json *d, uint32_t phases)
{
    const struct json *shares = json_get(d, "shares"), *epochs = json_get(d, "epochs");
    const struct json *share = shares ? shares->child : NULL,
                      *epoch = epochs ? epochs->child : NULL;
    for (uint32_t i = 0; i < phases; i++) {
        html_num_cell(to, share && share->type == JSON_NUMBER ? share->number : NAN);
        html_num_cell(to, epoch && epoch->type == JSON_NUMBER ? epoch->number : NAN);
        share = share ? share->next : NULL;
        epoch = epoch ? epoch->next : NULL;
    }
}

/* A view's predicate stands below its name. */
static void put_mixture_row(struct buf *to, const struct json *d, double total, uint32_t phases)
{
    double tokens = json_num(d, "tokens", 0);
    struct str where = json_str(d, "where", STR(""));
    buf_text(to, where.len ? "<tr><td class=\"w\">view " : "<tr><td class=\"w\">");
    html_escape(to, json_str(d, "name", STR("")));
    if (where.len) {
        buf_text(to, "<br><span class=\"soft\">");
        html_escape(to, where);
        buf_text(to, "</span>");
    }
    buf_text(to, "</td>");
    html_num_cell(to, json_num(d, "documents", NAN));
    html_num_cell(to, tokens);
    buf_text(to, "<td class=\"n\">");
    html_bytes(to, json_num(d, "bytes", NAN));
    buf_printf(to, "</td><td class=\"n\">%.1f\u202F%%</td>", total > 0 ? 100 * tokens / total : 0);
    put_draws(to, d, phases);
    buf_text(to, "</tr>\n");
}

static void put_mixture_head(struct buf *to, const struct json *phases)
{
    buf_text(
        to,
        "<section id=\"mixture\"><h2>Domains and mixture</h2><p class=\"soft\">What the store "
        "holds, the weight each domain or view has in each phase of the training, and how often "
        "its tokens are seen in that phase.</p>\n<div class=\"scroll\"><table><thead><tr>"
        "<th>domain</th><th class=\"n\">documents</th><th class=\"n\">tokens</th>"
        "<th class=\"n\">text</th><th class=\"n\">share</th>");
    for (const struct json *p = phases ? phases->child : NULL; p; p = p->next) {
        buf_text(to, "<th class=\"n\">weight, ");
        html_escape(to, json_str(p, "name", STR("")));
        buf_text(to, "</th><th class=\"n\">epochs</th>");
    }
    buf_text(to, "</tr></thead><tbody>\n");
}

void page_put_mixture(const struct page *p, struct buf *to)
{
    const struct json *domains = json_get(p->store, "domains"),
                      *views = json_get(p->store, "views"), *phases = json_get(p->store, "phases");
    uint32_t phase_count = phases && phases->type == JSON_ARRAY ? phases->count : 0;
    if (phase_count > PHASES_MAX)
        phase_count = 0; /* no file of ours */
    double documents = 0, tokens = 0, bytes = 0;
    if (!domains || domains->type != JSON_ARRAY || domains->count == 0)
        return;
    for (const struct json *d = domains->child; d; d = d->next) {
        documents += json_num(d, "documents", 0);
        tokens += json_num(d, "tokens", 0);
        bytes += json_num(d, "bytes", 0);
    }
    put_mixture_head(to, phase_count ? phases : NULL);
    for (const struct json *d = domains->child; d; d = d->next)
        put_mixture_row(to, d, tokens, phase_count);
    if (domains->count > 1) {
        buf_text(to, "<tr class=\"sum\"><td>all</td>");
        html_num_cell(to, documents);
        html_num_cell(to, tokens);
        buf_text(to, "<td class=\"n\">");
        html_bytes(to, bytes);
        buf_text(to, "</td><td></td>");
        for (uint32_t i = 0; i < 2 * phase_count; i++)
            buf_text(to, "<td></td>");
        buf_text(to, "</tr>\n");
    }
    /* Behind the sum, of which they are a part. */
    for (const struct json *v = views ? views->child : NULL; v; v = v->next)
        put_mixture_row(to, v, tokens, phase_count);
    buf_text(to, "</tbody></table></div>");
    if (json_get(p->store, "vocab")) {
        buf_text(to, "<p class=\"soft\" style=\"margin-top:12px\">Vocabulary: ");
        html_num(to, json_num(p->store, "vocab", NAN));
        buf_text(to, " tokens.</p>");
    }
    buf_text(to, "</section>\n");
}

/* ---- curves ---- */
static bool any_finite(const double *value, int count)
{
    for (int i = 0; i < count; i++)
        if (isfinite(value[i]))
            return true;
    return false;
}

/* Where to cut the steep start of a loss curve, so that the rest can be seen: the greatest value
 * behind the first 25th of the points. Infinity when the whole curve fits. */
static double find_cut(const double *y, int count)
{
    double most = -INFINITY, least = INFINITY, later = -INFINITY;
    for (int i = 0; i < count; i++) {
        if (!isfinite(y[i]))
            continue;
        most = fmax(most, y[i]);
        least = fmin(least, y[i]);
        if (i >= count / 25)
            later = fmax(later, y[i]);
    }
    return count >= 100 && most - least > 1.5 * (later - least) ? later : INFINITY;
}

static void put_curve(const struct curves *c, const double *values, const char *name, bool cut,
                      struct buf *to)
{
    double y[CURVE_POINTS], limit = cut ? find_cut(values, c->count) : INFINITY;
    struct svg_series series = {name, c->step, y, c->count};
    if (!any_finite(values, c->count))
        return;
    for (int i = 0; i < c->count; i++)
        y[i] = values[i] <= limit ? values[i] : NAN;
    buf_text(to, "<div><h3>");
    html_text(to, name);
    if (isfinite(limit))
        buf_printf(to, " <span class=\"soft\">(the start, above %.3g, is cut off)</span>", limit);
    buf_text(to, "</h3>\n");
    svg_lines(to, &(struct svg_plot){&series, 1, "step", "", c->anneal_step, "anneal"});
    buf_text(to, "</div>\n");
}

static void put_eval_curve(const struct curves *c, struct buf *to)
{
    struct svg_series series[CURVE_DOMAINS];
    int count = 0;
    for (int i = 0; i < c->domain_count && count < 4; i++)
        if (any_finite(c->eval[i], c->eval_count))
            series[count++] =
                (struct svg_series){c->domain[i], c->eval_step, c->eval[i], c->eval_count};
    if (c->eval_count < 2 || count == 0)
        return;
    buf_text(to, "<div><h3>Held-out bits per byte");
    if (count == 1) {
        buf_text(to, ": ");
        html_text(to, series[0].name);
    }
    buf_text(to, "</h3>\n");
    svg_lines(to, &(struct svg_plot){series, count, "step", "", c->anneal_step, "anneal"});
    buf_text(to, "</div>\n");
}

void page_put_training(const struct page *p, struct buf *to)
{
    const struct curves *c = p->curves;
    if (!p->has_curves)
        return;
    buf_text(to, "<section id=\"training\"><h2>Training</h2><p class=\"soft\">");
    html_count(to, c->rows);
    buf_text(to, c->rows == 1 ? " step in the log" : " steps in the log");
    if (c->tokens > 0) {
        buf_text(to, ", ");
        html_count(to, (uint64_t)c->tokens);
        buf_text(to, " tokens");
    }
    if (isfinite(c->last_loss))
        buf_printf(to, ", loss %.4f at the end", c->last_loss);
    if (isfinite(c->anneal_step)) {
        buf_text(to, ", annealing from step ");
        html_num(to, c->anneal_step);
    }
    if (c->rows > (uint64_t)c->count) {
        buf_text(to, "; each point is the mean of about ");
        html_count(to, (c->rows + (uint64_t)c->count - 1) / (uint64_t)c->count);
        buf_text(to, " steps");
    }
    buf_text(to, ".</p>\n");
    put_curve(c, c->loss, "Loss", true, to);
    buf_text(to, "<div class=\"two\">\n");
    put_curve(c, c->lr, "Learning rate", false, to);
    put_curve(c, c->grad_norm, "Norm of the gradient", false, to);
    put_eval_curve(c, to);
    buf_text(to, "</div></section>\n");
}

/* ---- held-out texts ---- */
static bool rows_have(const struct json *rows, const char *key)
{
    for (const struct json *r = rows->child; r; r = r->next)
        if (isfinite(json_num(r, key, NAN)))
            return true;
    return false;
}

static const struct {
    const char *key, *head;
} eval_column[] = {
    {"bits_per_byte", "model"},
    {"before_anneal_bits_per_byte", "before anneal"},
    {"unigram", "unigram"},
    {"xz", "xz"},
};

static void put_eval_row(struct buf *to, const struct json *row, const bool *shown)
{
    buf_text(to, "<tr><td class=\"w\">");
    html_escape(to, json_str(row, "domain", STR("")));
    buf_text(to, "</td>");
    html_num_cell(to, json_num(row, "documents", NAN));
    buf_text(to, "<td class=\"n\">");
    html_bytes(to, json_num(row, "bytes", NAN));
    buf_text(to, "</td>");
    html_num_cell(to, json_num(row, "tokens", NAN));
    for (size_t i = 0; i < COUNT_OF(eval_column); i++) {
        double value = json_num(row, eval_column[i].key, NAN);
        if (!shown[i])
            continue;
        buf_text(to, i == 0 ? "<td class=\"n\"><b>" : "<td class=\"n\">");
        if (isfinite(value))
            buf_printf(to, "%.4f", value);
        else
            buf_text(to, "\u2013");
        buf_text(to, i == 0 ? "</b></td>" : "</td>");
    }
    buf_text(to, "</tr>\n");
}

void page_put_eval(const struct page *p, struct buf *to)
{
    const struct json *rows = json_get(p->eval, "rows");
    bool shown[COUNT_OF(eval_column)];
    double before = json_num(p->eval, "loss_before_anneal", NAN);
    double after = json_num(p->eval, "loss_after_anneal", NAN);
    if (!rows || rows->type != JSON_ARRAY || rows->count == 0)
        return;
    buf_text(
        to,
        "<section id=\"heldout\"><h2>Held-out texts</h2><p class=\"soft\">Bits the model needs for "
        "a byte of text it has not seen; lower is better. Beside it a model that knows only how "
        "frequent each token is, and the xz compressor on the same bytes.</p>\n"
        "<div class=\"scroll\"><table><thead><tr><th>domain</th><th class=\"n\">documents</th>"
        "<th class=\"n\">text</th><th class=\"n\">tokens</th>");
    for (size_t i = 0; i < COUNT_OF(eval_column); i++) {
        shown[i] = i == 0 || rows_have(rows, eval_column[i].key);
        if (shown[i])
            buf_printf(to, "<th class=\"n\">%s</th>", eval_column[i].head);
    }
    buf_text(to, "</tr></thead><tbody>\n");
    for (const struct json *r = rows->child; r; r = r->next)
        put_eval_row(to, r, shown);
    buf_text(to, "</tbody></table></div>");
    if (isfinite(before) && isfinite(after))
        buf_printf(
            to,
            "<p style=\"margin-top:12px\">Annealing took the training loss from %.4f to %.4f "
            "(%+.4f).</p>",
            before, after, after - before);
    buf_text(to, "</section>\n");
}

/* ---- provenance ---- */
static void put_fact(struct buf *to, const char *label, struct str value)
{
    if (value.len == 0)
        return;
    buf_text(to, "<tr><th>");
    html_text(to, label);
    buf_text(to, "</th><td class=\"w\">");
    html_escape(to, value);
    buf_text(to, "</td></tr>\n");
}

void page_put_provenance(const struct page *p, struct buf *to)
{
    const struct json *inputs = json_get(p->run, "inputs"), *shards = json_get(p->run, "shards");
    struct str recipe = json_str(p->run, "recipe", STR(""));
    if (!p->run)
        return;
    buf_text(to, "<section id=\"provenance\"><h2>Where this came from</h2>\n<div class=\"scroll\">"
                 "<table><tbody>\n");
    put_fact(to, "run", json_str(p->run, "name", STR("")));
    put_fact(to, "program", json_str(p->run, "version", STR("")));
    put_fact(to, "command", json_str(p->run, "command", STR("")));
    put_fact(to, "on the store of", json_str(p->run, "base", STR("")));
    put_fact(to, "recipe hash", json_str(p->run, "recipe_hash", STR("")));
    put_fact(to, "input files", inputs ? inputs->string : STR(""));
    put_fact(to, "shards", shards ? shards->string : STR(""));
    buf_text(to, "</tbody></table></div>\n");
    if (recipe.len) {
        buf_text(to, "<details style=\"margin-top:12px\"><summary>The resolved recipe</summary>"
                     "<pre class=\"doc\">");
        html_clip(to, recipe, RECIPE_POINTS);
        buf_text(to, "</pre></details>\n");
    }
    buf_text(to, "</section>\n");
}

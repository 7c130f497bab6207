/* page_data - the sections about documents: funnel, rules, languages, signals, duplicates. */
#include "report/page.h"

#include "report/hypertext.h"
#include "report/report.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { LANGUAGES_SHOWN = 30 };

static void put_card(struct buf *to, const char *label)
{
    buf_text(to, "</b><span>");
    html_text(to, label);
    buf_text(to, "</span></div>\n");
}

static void card_open(struct buf *to) { buf_text(to, "<div class=\"card\"><b>"); }

static void card_big(struct buf *to, double value, const char *label)
{
    card_open(to);
    html_big(to, value);
    put_card(to, label);
}

static void headline_ledger(const struct gather *g, struct buf *to)
{
    card_big(to, (double)g->rows, "pages in");
    card_open(to);
    html_big(to, (double)g->kept);
    buf_text(to, "</b><span>pages kept, ");
    html_share(to, g->kept, g->rows);
    buf_text(to, "</span></div>\n");
    if (g->heldout)
        card_big(to, (double)g->heldout, "pages held out for evaluation");
    card_open(to);
    html_bytes(to, (double)g->kept_text_bytes);
    put_card(to, g->heldout ? "of text kept or held out" : "of text kept");
}

void page_put_headline(const struct page *p, struct buf *to)
{
    const struct gather *g = p->gather;
    double tokens = json_num(p->store, "tokens", p->has_ledger ? (double)g->tokens : NAN);
    const struct json *domains = json_get(p->store, "domains");
    buf_text(to, "<div class=\"cards\">\n");
    if (p->has_ledger)
        headline_ledger(g, to);
    if (tokens > 0)
        card_big(to, tokens, "tokens");
    if (domains && domains->count)
        card_big(to, domains->count, domains->count == 1 ? "domain" : "domains");
    if (p->has_ledger && g->hosts > 0)
        card_big(to, round(g->kept_hosts), "web hosts kept, about");
    if (p->has_ledger && g->duplicates)
        card_big(to, (double)g->duplicates, "duplicates removed");
    if (p->has_curves && isfinite(p->curves->last_loss)) {
        card_open(to);
        buf_printf(to, "%.3f", p->curves->last_loss);
        put_card(to, "training loss at the end");
    }
    buf_text(to, "</div>\n");
}

void page_put_funnel(const struct page *p, struct buf *to)
{
    struct svg_bar bar[PAGE_STAGES_MAX + 3];
    struct buf notes = {0};
    size_t end[PAGE_STAGES_MAX + 3];
    uint64_t left = p->gather->rows;
    int count = 0;
    if (!p->has_ledger)
        return;
    html_count(&notes, left);
    bar[count] = (struct svg_bar){.label = STR("pages in"), .value = (double)left};
    end[count++] = notes.len;
    for (int i = 0; i < p->stage_count; i++) {
        const struct page_stage *s = &p->stage[i];
        uint64_t before = left;
        left -= s->dropped < left ? s->dropped : left;
        html_count(&notes, left);
        buf_text(&notes, " \u00B7 ");
        if (s->dropped) {
            buf_text(&notes, "\u2212");
            html_count(&notes, s->dropped);
            buf_printf(&notes, " (%.1f\u202F%%)",
                       before ? 100.0 * (double)s->dropped / (double)before : 0);
        } else {
            buf_text(&notes, "none dropped");
        }
        bar[count] = (struct svg_bar){.label = str_of(s->name), .value = (double)left};
        end[count++] = notes.len;
    }
    html_count(&notes, p->gather->kept);
    buf_printf(&notes, " (%.1f\u202F%% of all)",
               p->gather->rows ? 100.0 * (double)p->gather->kept / (double)p->gather->rows : 0);
    bar[count] = (struct svg_bar){.label = STR("kept"), .value = (double)p->gather->kept};
    end[count++] = notes.len;
    if (p->gather->heldout) {
        html_count(&notes, p->gather->heldout);
        bar[count] = (struct svg_bar){.label = STR("held out for evaluation"),
                                      .value = (double)p->gather->heldout};
        end[count++] = notes.len;
    }
    for (int i = 0; i < count && !notes.failed; i++)
        bar[i].note = str_slice(buf_view(&notes), i ? end[i - 1] : 0, end[i]);
    buf_text(
        to, "<section id=\"funnel\"><h2>Funnel</h2><p class=\"soft\">Pages left behind each stage, "
            "and how many of those that reached it the stage dropped.</p>\n");
    svg_bars(to, "Pages left behind each stage", bar, count);
    buf_text(to, "</section>\n");
    buf_free(&notes);
}

/* ---- rules ---- */
static _Thread_local const struct gather *sorted_gather;

static int by_total(const void *a, const void *b)
{
    int left = *(const int *)a, right = *(const int *)b;
    const struct rule_count *l = &sorted_gather->rule_count[left],
                            *r = &sorted_gather->rule_count[right];
    if (l->total != r->total)
        return l->total < r->total ? 1 : -1;
    return left - right;
}

/* Rule indexes of gather, those that would drop most first; order holds GATHER_NAMES_MAX. */
static int rule_order(const struct gather *g, int *order)
{
    for (int i = 0; i < g->rule.count; i++)
        order[i] = i;
    sorted_gather = g;
    qsort(order, (size_t)g->rule.count, sizeof *order, by_total);
    return g->rule.count;
}

static void put_limit(struct buf *to, const struct rule_about *about)
{
    if (!about->known || isnan(about->threshold) || about->sense == 0)
        return;
    buf_text(to, about->sense > 0 ? "above " : "below ");
    html_num(to, about->threshold);
}

static void put_rule_row(const struct gather *g, int rule, uint64_t most, struct buf *to)
{
    const struct rule_count *c = &g->rule_count[rule];
    const struct rule_about *about = &g->rule_about[rule];
    buf_text(to, "<tr><td class=\"w\">");
    html_text(to, g->rule.name[rule]);
    buf_text(to, "</td><td>");
    put_limit(to, about);
    buf_text(to, "</td>");
    html_count_cell(to, c->first);
    html_count_cell(to, c->total);
    html_count_cell(to, c->only);
    buf_text(to, "<td class=\"n\">");
    html_share(to, c->total, g->rows);
    buf_printf(to, "</td><td class=\"bar\"><i style=\"width:%.1f%%\"></i></td></tr>\n",
               most ? 100.0 * (double)c->total / (double)most : 0);
}

void page_put_rules(const struct page *p, struct buf *to)
{
    static _Thread_local int order[GATHER_NAMES_MAX];
    const struct gather *g = p->gather;
    int count = rule_order(g, order);
    if (!p->has_ledger || count == 0)
        return;
    buf_text(
        to,
        "<section id=\"rules\" class=\"long\"><h2>What dropped pages</h2><p class=\"soft\">"
        "<b>First</b>: pages for which the rule is the reason recorded. <b>In all</b>: pages it "
        "would have dropped, other rules or not. <b>Alone</b>: pages that no other rule would "
        "have dropped, so what would come back without it. Rules behind a page's drop were not "
        "asked.</p>\n<div class=\"scroll\"><table><thead><tr><th>rule</th><th>drops</th>"
        "<th class=\"n\">first</th><th class=\"n\">in all</th><th class=\"n\">alone</th>"
        "<th class=\"n\">of pages</th><th class=\"bar\"></th></tr></thead><tbody>\n");
    for (int i = 0; i < count && g->rule_count[order[i]].total > 0; i++)
        put_rule_row(g, order[i], g->rule_count[order[0]].total, to);
    buf_text(to, "</tbody></table></div>\n");
    buf_text(to, "</section>\n");
}

/* ---- languages ---- */
static int by_pages(const void *a, const void *b)
{
    int left = *(const int *)a, right = *(const int *)b;
    const struct lang_count *l = &sorted_gather->lang_count[left],
                            *r = &sorted_gather->lang_count[right];
    uint64_t left_pages = l->kept + l->dropped, right_pages = r->kept + r->dropped;
    if (left_pages != right_pages)
        return left_pages < right_pages ? 1 : -1;
    return strcmp(sorted_gather->lang.name[left], sorted_gather->lang.name[right]);
}

static void put_lang_row(struct buf *to, const char *name, const struct lang_count *c,
                         uint64_t most)
{
    uint64_t pages = c->kept + c->dropped;
    buf_text(to, "<tr><td>");
    html_text(to, name[0] ? name : "not determined");
    buf_text(to, "</td>");
    html_count_cell(to, pages);
    html_count_cell(to, c->kept);
    html_count_cell(to, c->dropped);
    buf_text(to, "<td class=\"n\">");
    html_share(to, c->kept, pages);
    buf_text(to, "</td>");
    html_count_cell(to, c->tokens);
    buf_printf(to,
               "<td class=\"bar\"><i style=\"width:%.1f%%;background:linear-gradient(90deg,"
               "var(--kept) %.1f%%,var(--drop) 0)\"></i></td></tr>\n",
               most ? 100.0 * (double)pages / (double)most : 0,
               pages ? 100.0 * (double)c->kept / (double)pages : 0);
}

void page_put_languages(const struct page *p, struct buf *to)
{
    static _Thread_local int order[GATHER_NAMES_MAX];
    const struct gather *g = p->gather;
    struct lang_count rest = {0};
    uint64_t most = 0;
    if (!p->has_ledger || g->lang.count == 0)
        return;
    for (int i = 0; i < g->lang.count; i++)
        order[i] = i;
    sorted_gather = g;
    qsort(order, (size_t)g->lang.count, sizeof *order, by_pages);
    buf_text(to,
             "<section id=\"languages\"><h2>Languages</h2>\n<div class=\"legend\"><span>"
             "<i class=\"ik\"></i>kept</span><span><i class=\"id\"></i>dropped</span></div>"
             "<div class=\"scroll\"><table><thead><tr><th>language</th><th class=\"n\">pages</th>"
             "<th class=\"n\">kept</th><th class=\"n\">dropped</th><th class=\"n\">share kept</th>"
             "<th class=\"n\">tokens</th><th class=\"bar\"></th></tr></thead><tbody>\n");
    for (int i = 0; i < g->lang.count; i++) {
        const struct lang_count *c = &g->lang_count[order[i]];
        if (i == 0)
            most = c->kept + c->dropped;
        if (i < LANGUAGES_SHOWN) {
            put_lang_row(to, g->lang.name[order[i]], c, most);
            continue;
        }
        rest.kept += c->kept;
        rest.dropped += c->dropped;
        rest.tokens += c->tokens;
    }
    if (g->lang.count > LANGUAGES_SHOWN) {
        char name[48];
        snprintf(name, sizeof name, "%d others", g->lang.count - LANGUAGES_SHOWN);
        put_lang_row(to, name, &rest, most);
    }
    buf_text(to, "</tbody></table></div></section>\n");
}

/* ---- signals ---- */
/* Where to put the threshold to drop 1, 5, 10 or 25 % of the pages measured. */
static void put_moves(struct buf *to, const struct signal_about *s, int sense)
{
    static const int below[] = {0, 1, 2, 3}, above[] = {8, 7, 6, 5};
    buf_text(to, "<li>to drop 1, 5, 10, 25\u202F%: ");
    for (int i = 0; i < 4; i++) {
        buf_text(to, i ? ", " : sense > 0 ? "above " : "below ");
        html_rough(to, s->quantile[sense > 0 ? above[i] : below[i]]);
    }
    buf_text(to, "</li>");
}

static int put_rules_of(struct buf *to, const struct gather *g, int signal, struct svg_mark *mark)
{
    int count = 0;
    for (int i = 0; i < g->rule.count; i++) {
        const struct rule_about *about = &g->rule_about[i];
        if (!about->known || about->signal != signal)
            continue;
        if (count < 8 && isfinite(about->threshold))
            mark[count++] = (struct svg_mark){about->threshold, about->sense};
        if (!to)
            continue;
        buf_text(to, "<li><b>");
        html_text(to, g->rule.name[i]);
        buf_text(to, "</b> ");
        if (about->sense && isfinite(about->threshold)) {
            buf_text(to, "drops ");
            put_limit(to, about);
            buf_text(to, ": ");
        }
        html_count(to, g->rule_count[i].total);
        buf_text(to, g->rule_count[i].total == 1 ? " page, " : " pages, ");
        html_count(to, g->rule_count[i].only);
        buf_text(to, " alone</li>");
    }
    return count;
}

static void put_signal_facts(struct buf *to, const struct gather *g, int signal)
{
    const struct signal_about *s = &g->signal[signal];
    struct svg_mark mark[8];
    int marks = put_rules_of(NULL, g, signal, mark), sides[2] = {0, 0};
    put_rules_of(to, g, signal, mark);
    if (s->measured == 0 || !(s->least <= s->most)) {
        buf_text(to, "<li>never measured</li>");
        return;
    }
    for (int i = 0; i < marks && isfinite(s->quantile[0]); i++)
        if (mark[i].sense && !sides[mark[i].sense > 0]++)
            put_moves(to, s, mark[i].sense);
    buf_text(to, "<li>");
    if (s->least == s->most) {
        buf_text(to, "always ");
        html_num(to, s->least);
    } else {
        html_num(to, s->least);
        buf_text(to, " to ");
        html_num(to, s->most);
        buf_text(to, ", median ");
        html_num(to, s->quantile[GATHER_QUANTILES / 2]);
    }
    buf_text(to, " \u00B7 on ");
    html_share(to, s->measured, g->rows);
    buf_text(to, " of pages</li>");
}

static void put_signal(struct buf *to, const struct gather *g, int signal)
{
    const struct signal_about *s = &g->signal[signal];
    struct svg_mark mark[8];
    buf_text(to, "<div class=\"card\"><h3>");
    html_text(to, s->name);
    if (s->unit[0]) {
        buf_text(to, " <span class=\"soft\">");
        html_text(to, s->unit);
        buf_text(to, "</span>");
    }
    buf_text(to, "</h3>\n");
    if (s->bins) {
        struct svg_hist hist = {.title = s->name,
                                .edges = s->edges,
                                .counts = s->all,
                                .kept = s->kept,
                                .bins = s->bins,
                                .marks = mark,
                                .mark_count = put_rules_of(NULL, g, signal, mark)};
        svg_hist(to, &hist);
    }
    buf_text(to, "<ul>");
    put_signal_facts(to, g, signal);
    buf_text(to, "</ul></div>\n");
}

/* Signals of one value have no shape to look at. */
static bool is_drawn(const struct gather *g, int signal)
{
    bool found = false;
    for (int i = 0; i < g->rule.count; i++)
        found |= g->rule_about[i].known && g->rule_about[i].signal == signal;
    return found && g->signal[signal].bins > 0;
}

void page_put_signals(const struct page *p, struct buf *to)
{
    const struct gather *g = p->gather;
    int others = 0;
    if (!p->has_ledger || g->signal_count == 0)
        return;
    buf_text(
        to,
        "<section id=\"signals\" class=\"long\"><h2>Signals and thresholds</h2><p class=\"soft\">"
        "How every measured number is distributed, from the 1st to the 99th percentile; the outer "
        "bars hold what lies beyond. Scales of long-tailed counts are logarithmic.</p>"
        "<div class=\"legend\"><span><i class=\"ik\"></i>pages kept</span><span>"
        "<i class=\"id\"></i>pages dropped, for any reason</span><span><i class=\"is\"></i>side "
        "that a rule drops</span></div>\n<div class=\"grid\">\n");
    for (int i = 0; i < g->signal_count; i++) {
        if (is_drawn(g, i))
            put_signal(to, g, i);
        else
            others++;
    }
    buf_text(to, "</div>\n");
    if (others) {
        buf_printf(to,
                   "<details style=\"margin-top:16px\"><summary>%d more signal%s, without a rule "
                   "or with one value</summary>"
                   "<div class=\"grid\" style=\"margin-top:12px\">\n",
                   others, others == 1 ? "" : "s");
        for (int i = 0; i < g->signal_count; i++)
            if (!is_drawn(g, i))
                put_signal(to, g, i);
        buf_text(to, "</div></details>\n");
    }
    buf_text(to, "</section>\n");
}

/* ---- duplicates ---- */
static void put_cluster_sizes(const struct gather *g, struct buf *to)
{
    struct svg_bar bar[GATHER_SIZES];
    struct buf text = {0};
    size_t label_end[GATHER_SIZES], note_end[GATHER_SIZES];
    int count = 0;
    for (int i = 0; i < GATHER_SIZES; i++) {
        uint32_t first, last;
        if (g->cluster_sizes[i] == 0)
            continue;
        gather_size_class(i, &first, &last);
        if (first == last)
            buf_printf(&text, "%u pages", first);
        else if (last == UINT32_MAX)
            buf_printf(&text, "%u pages or more", first);
        else
            buf_printf(&text, "%u to %u pages", first, last);
        label_end[count] = text.len;
        html_count(&text, g->cluster_sizes[i]);
        note_end[count] = text.len;
        bar[count++].value = (double)g->cluster_sizes[i];
    }
    for (int i = 0; i < count && !text.failed; i++) {
        bar[i].label = str_slice(buf_view(&text), i ? note_end[i - 1] : 0, label_end[i]);
        bar[i].note = str_slice(buf_view(&text), label_end[i], note_end[i]);
    }
    buf_text(to, "<h3>Clusters by size</h3>\n");
    if (!text.failed)
        svg_bars(to, "Clusters by size", bar, count);
    buf_free(&text);
}

static void put_cluster(const struct cluster *c, struct buf *to)
{
    buf_text(to, "<tr><td>");
    html_count(to, c->size);
    buf_text(to, "</td><td class=\"w\"><span class=\"url\">");
    html_clip(to, str_of(c->survivor), 200);
    buf_text(to, "</span></td><td class=\"w\">");
    for (int i = 0; i < c->members; i++) {
        buf_text(to, i ? "<br><span class=\"url\">" : "<span class=\"url\">");
        html_clip(to, str_of(c->member[i]), 120);
        buf_text(to, "</span>");
    }
    if (c->size > (uint32_t)c->members + 1) {
        buf_text(to, "<br><span class=\"soft\">and ");
        html_count(to, c->size - 1u - (uint32_t)c->members);
        buf_text(to, " more</span>");
    }
    buf_text(to, "</td></tr>\n");
}

void page_put_duplicates(const struct page *p, struct buf *to)
{
    const struct gather *g = p->gather;
    if (!p->has_ledger || (g->clusters == 0 && g->duplicates == 0))
        return;
    buf_text(to, "<section id=\"duplicates\" class=\"long\"><h2>Duplicates</h2><p>");
    html_count(to, g->duplicates);
    buf_text(to, " pages (");
    html_share(to, g->duplicates, g->rows);
    buf_text(to, ") with ");
    html_bytes(to, (double)g->duplicate_bytes);
    buf_text(to, " of text are copies of a page that stayed; they form ");
    html_count(to, g->clusters);
    buf_text(to, g->clusters == 1 ? " cluster" : " clusters");
    if (g->largest_cluster) {
        buf_text(to, ", the largest of ");
        html_count(to, g->largest_cluster);
        buf_text(to, " pages");
    }
    buf_text(to, ".</p>\n");
    if (g->clusters)
        put_cluster_sizes(g, to);
    if (g->cluster_count) {
        buf_text(to, "<h3>Largest clusters</h3><div class=\"scroll\"><table><thead><tr><th>pages"
                     "</th><th>who stayed</th><th>some that went</th></tr></thead><tbody>\n");
        for (int i = 0; i < g->cluster_count; i++)
            put_cluster(&g->cluster[i], to);
        buf_text(to, "</tbody></table></div>\n");
    }
    buf_text(to, "</section>\n");
}

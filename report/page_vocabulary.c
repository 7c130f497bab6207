/* page_vocabulary - the section about the tokenizer: how many bytes a token has, by domain and
 * language, beside other vocabularies. */
#include "report/page.h"

#include "report/hypertext.h"
#include "report/report.h"

#include <math.h>
#include <stdlib.h>

enum { GROUPS_SHOWN = 40, VOCABULARIES_SHOWN = 16 };

static double number_at(const struct json *list, int index)
{
    const struct json *v = list && list->type == JSON_ARRAY ? list->child : NULL;
    for (; v && index > 0; index--)
        v = v->next;
    return v && v->type == JSON_NUMBER ? v->number : NAN;
}

static uint64_t count_at(const struct json *object, const char *key)
{
    double value = json_num(object, key, 0);
    return value > 0 && value < 0x1p53 ? (uint64_t)value : 0;
}

static void put_said(struct buf *to, uint64_t count, const char *what)
{
    html_count(to, count);
    buf_text(to, what);
}

/* How it was learned; of a vocabulary that was given there is nothing to say. */
static void put_learned(const struct json *v, struct buf *to)
{
    if (count_at(v, "merges") == 0)
        return;
    put_said(to, count_at(v, "merges"), " merges, learned from ");
    put_said(to, count_at(v, "trained_documents"), " documents (");
    html_bytes(to, json_num(v, "trained_bytes", 0));
    buf_text(to, ") that are not held out");
    buf_text(to, str_is(json_str(v, "weights", STR("")), "mixture")
                     ? ", each domain counted as the mixture will draw it. "
                     : ". ");
    buf_text(to, "The last merge was seen ");
    put_said(to, count_at(v, "last_merge_count"), " times. ");
}

/* The file's name, or its folder's where all such files have the same one. */
static struct str short_name(struct str path)
{
    struct str rest = path, last = path, folder = path;
    if (str_is(path, "tokenizer"))
        return STR("this run's");
    while (rest.len) {
        folder = last;
        last = str_cut(rest, '/', &rest);
    }
    return str_is(last, "tokenizer.json") && folder.len ? folder : last;
}

static void put_names(const struct json *tokenizers, int count, struct buf *to)
{
    const struct json *t = tokenizers->child;
    for (int i = 0; i < count; i++, t = t->next) {
        buf_text(to, "<th class=\"n\">");
        html_escape(to, short_name(json_str(t, "path", STR("?"))));
        buf_text(to, "<br><span class=\"soft\">");
        put_said(to, count_at(t, "vocab"), " tokens</span></th>");
    }
}

static void put_head(const struct json *tokenizers, int count, const char *title, struct buf *to)
{
    buf_printf(to,
               "<h3>%s</h3>\n<div class=\"scroll\"><table><thead><tr><th>domain</th>"
               "<th>language</th><th class=\"n\">documents</th><th class=\"n\">text</th>",
               title);
    put_names(tokenizers, count, to);
    buf_text(to, "</tr></thead><tbody>\n");
}

/* The best of the row is set off when there are several. */
static void put_numbers(const struct json *list, int count, int sense, struct buf *to)
{
    double best = NAN;
    for (int i = 0; i < count; i++) {
        double value = number_at(list, i);
        if (isfinite(value) && !(sense * best >= sense * value))
            best = value;
    }
    for (int i = 0; i < count; i++) {
        double value = number_at(list, i);
        bool first = count > 1 && value == best;
        buf_text(to, "<td class=\"n\">");
        buf_text(to, first ? "<b>" : "");
        if (isfinite(value))
            buf_printf(to, "%.2f", value);
        buf_text(to, first ? "</b></td>" : "</td>");
    }
}

struct column {
    const char *key, *title;
    int sense; /* +1: more is better */
    int count; /* of vocabularies */
};

static void put_row(const struct json *group, bool all, const struct column *c, struct buf *to)
{
    buf_text(to, "<tr><td class=\"w\">");
    if (all)
        buf_text(to, "<b>all</b>");
    else
        html_escape(to, json_str(group, "domain", STR("")));
    buf_text(to, "</td><td>");
    html_escape(to, all ? STR("") : json_str(group, "lang", STR("")));
    buf_text(to, "</td>");
    html_count_cell(to, count_at(group, "documents"));
    buf_text(to, "<td class=\"n\">");
    html_bytes(to, json_num(group, "bytes", 0));
    buf_text(to, "</td>");
    put_numbers(json_get(group, c->key), c->count, c->sense, to);
    buf_text(to, "</tr>\n");
}

static int by_bytes(const void *a, const void *b)
{
    double left = json_num(*(const struct json *const *)a, "bytes", 0),
           right = json_num(*(const struct json *const *)b, "bytes", 0);
    return (left < right) - (left > right);
}

/* Those with most text, in the order of the file. */
static void put_groups(const struct json *groups, const struct column *c, struct buf *to)
{
    const struct json **sorted = calloc(groups->count + 1u, sizeof *sorted);
    uint32_t found = 0;
    if (!sorted) {
        to->failed = true;
        return;
    }
    for (const struct json *g = groups->child; g; g = g->next)
        sorted[found++] = g;
    qsort(sorted, found, sizeof *sorted, by_bytes);
    double least = found > GROUPS_SHOWN ? json_num(sorted[GROUPS_SHOWN - 1], "bytes", 0) : 0;
    uint32_t shown = 0;
    for (const struct json *g = groups->child; g && shown < GROUPS_SHOWN; g = g->next)
        if (json_num(g, "bytes", 0) >= least) {
            put_row(g, false, c, to);
            shown++;
        }
    free(sorted);
}

void page_put_vocabulary(const struct page *p, struct buf *to)
{
    const struct json *held = json_get(p->vocabulary, "held_out");
    const struct json *tokenizers = json_get(held, "tokenizers"), *all = json_get(held, "all");
    const struct json *groups = json_get(held, "groups");
    if (!tokenizers || tokenizers->type != JSON_ARRAY || !groups || groups->type != JSON_ARRAY)
        return;
    int count =
        tokenizers->count < VOCABULARIES_SHOWN ? (int)tokenizers->count : VOCABULARIES_SHOWN;
    if (count == 0 || groups->count == 0)
        return;
    buf_text(to, "<section id=\"vocabulary\"><h2>Vocabulary</h2><p class=\"soft\">");
    put_learned(p->vocabulary, to);
    buf_text(to, "Measured on held-out text, which this run's never saw: more bytes "
                 "per token and fewer tokens per word are better. In scripts without blanks each "
                 "character counts as a word.</p>\n");
    const struct column column[] = {{"bytes_per_token", "Bytes per token", 1, count},
                                    {"tokens_per_word", "Tokens per word", -1, count}};
    for (size_t i = 0; i < COUNT_OF(column); i++) {
        put_head(tokenizers, count, column[i].title, to);
        put_groups(groups, &column[i], to);
        put_row(all, true, &column[i], to);
        buf_text(to, "</tbody></table></div>\n");
    }
    if (groups->count > GROUPS_SHOWN)
        buf_printf(to,
                   "<p class=\"soft\">%u groups with less text are in "
                   "tokenizer/report.json.</p>\n",
                   groups->count - GROUPS_SHOWN);
    buf_text(to, "</section>\n");
}

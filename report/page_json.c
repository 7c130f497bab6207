/* page_json - the report's figures for programs: one JSON object. */
#include "report/page.h"

#include <math.h>

static void put_totals(struct json_writer *w, const struct gather *g)
{
    json_field_open(w, "pages", '{');
    json_field_u64(w, "in", g->rows);
    json_field_u64(w, "kept", g->kept);
    json_field_u64(w, "heldout", g->heldout);
    json_field_u64(w, "dropped", g->dropped);
    json_field_u64(w, "raw_bytes", g->raw_bytes);
    json_field_u64(w, "text_bytes", g->text_bytes);
    json_field_u64(w, "kept_text_bytes", g->kept_text_bytes);
    json_field_u64(w, "tokens", g->tokens);
    json_field_num(w, "hosts_about", round(g->hosts));
    json_field_num(w, "kept_hosts_about", round(g->kept_hosts));
    json_close(w, '}');
}

static void put_stages(struct json_writer *w, const struct page *p)
{
    uint64_t left = p->gather->rows;
    json_field_open(w, "stages", '[');
    for (int i = 0; i < p->stage_count; i++) {
        left -= p->stage[i].dropped < left ? p->stage[i].dropped : left;
        json_open(w, '{');
        json_field_text(w, "name", p->stage[i].name);
        json_field_u64(w, "dropped", p->stage[i].dropped);
        json_field_u64(w, "left", left);
        json_close(w, '}');
    }
    json_close(w, ']');
}

static void put_rules(struct json_writer *w, const struct gather *g)
{
    json_field_open(w, "rules", '[');
    for (int i = 0; i < g->rule.count; i++) {
        const struct rule_about *about = &g->rule_about[i];
        json_open(w, '{');
        json_field_text(w, "name", g->rule.name[i]);
        if (about->known) {
            json_field_text(w, "stage", g->stage.name[about->stage]);
            json_field_text(w, "signal", about->signal >= 0 ? g->signal[about->signal].name : "");
            json_field_num(w, "threshold", about->threshold);
            json_field_i64(w, "sense", about->sense);
        }
        json_field_u64(w, "first", g->rule_count[i].first);
        json_field_u64(w, "total", g->rule_count[i].total);
        json_field_u64(w, "only", g->rule_count[i].only);
        json_close(w, '}');
    }
    json_close(w, ']');
}

static void put_languages(struct json_writer *w, const struct gather *g)
{
    json_field_open(w, "languages", '[');
    for (int i = 0; i < g->lang.count; i++) {
        json_open(w, '{');
        json_field_text(w, "lang", g->lang.name[i]);
        json_field_u64(w, "kept", g->lang_count[i].kept);
        json_field_u64(w, "dropped", g->lang_count[i].dropped);
        json_field_u64(w, "tokens", g->lang_count[i].tokens);
        json_close(w, '}');
    }
    json_close(w, ']');
}

static void put_signal(struct json_writer *w, const struct signal_about *s)
{
    json_open(w, '{');
    json_field_text(w, "name", s->name);
    json_field_text(w, "unit", s->unit);
    json_field_u64(w, "measured", s->measured);
    json_field_num(w, "min", s->least);
    json_field_num(w, "max", s->most);
    json_field_open(w, "quantiles", '['); /* of a sample */
    for (int i = 0; i < GATHER_QUANTILES && s->least < s->most; i++) {
        json_open(w, '[');
        json_put_num(w, gather_quantile_at[i]);
        json_put_num(w, s->quantile[i]);
        json_close(w, ']');
    }
    json_close(w, ']');
    json_field_open(w, "edges", '[');
    for (int i = 0; i <= s->bins && s->bins; i++)
        json_put_num(w, s->edges[i]);
    json_close(w, ']');
    json_field_open(w, "counts", '[');
    for (int i = 0; i < s->bins; i++)
        json_put_u64(w, s->all[i]);
    json_close(w, ']');
    json_field_open(w, "kept", '[');
    for (int i = 0; i < s->bins; i++)
        json_put_u64(w, s->kept[i]);
    json_close(w, ']');
    json_close(w, '}');
}

static void put_duplicates(struct json_writer *w, const struct gather *g)
{
    json_field_open(w, "duplicates", '{');
    json_field_u64(w, "pages", g->duplicates);
    json_field_u64(w, "text_bytes", g->duplicate_bytes);
    json_field_u64(w, "clusters", g->clusters);
    json_field_open(w, "sizes", '[');
    for (int i = 0; i < GATHER_SIZES; i++) {
        uint32_t first, last;
        gather_size_class(i, &first, &last);
        if (g->cluster_sizes[i] == 0)
            continue;
        json_open(w, '{');
        json_field_u64(w, "from", first);
        json_field_u64(w, "to", last);
        json_field_u64(w, "clusters", g->cluster_sizes[i]);
        json_close(w, '}');
    }
    json_close(w, ']');
    json_field_open(w, "largest", '[');
    for (int i = 0; i < g->cluster_count; i++) {
        json_open(w, '{');
        json_field_u64(w, "size", g->cluster[i].size);
        json_field_text(w, "survivor", g->cluster[i].survivor);
        json_field_open(w, "members", '[');
        for (int k = 0; k < g->cluster[i].members; k++)
            json_put_str(w, str_of(g->cluster[i].member[k]));
        json_close(w, ']');
        json_close(w, '}');
    }
    json_close(w, ']');
    json_close(w, '}');
}

static void put_training(struct json_writer *w, const struct curves *c)
{
    json_field_open(w, "training", '{');
    json_field_u64(w, "steps", c->rows);
    json_field_num(w, "last_step", c->last_step);
    json_field_num(w, "last_loss", c->last_loss);
    json_field_num(w, "anneal_step", c->anneal_step);
    json_field_u64(w, "not_finite", c->not_finite);
    json_close(w, '}');
}

static void put_numbers(struct json_writer *w, const char *key, const struct json *list)
{
    json_field_open(w, key, '[');
    for (const struct json *v = list ? list->child : NULL; v; v = v->next)
        json_put_num(w, v->type == JSON_NUMBER ? v->number : NAN);
    json_close(w, ']');
}

static void put_drawn(struct json_writer *w, const char *key, const struct json *rows)
{
    json_field_open(w, key, '[');
    for (const struct json *v = rows ? rows->child : NULL; v; v = v->next) {
        json_open(w, '{');
        json_field_str(w, "name", json_str(v, "name", STR("")));
        json_field_num(w, "documents", json_num(v, "documents", NAN));
        json_field_num(w, "tokens", json_num(v, "tokens", NAN));
        if (json_get(v, "where"))
            json_field_str(w, "where", json_str(v, "where", STR("")));
        put_numbers(w, "shares", json_get(v, "shares"));
        put_numbers(w, "epochs", json_get(v, "epochs"));
        json_close(w, '}');
    }
    json_close(w, ']');
}

/* What the store holds and what each phase draws of it, a share and a number of epochs a phase. */
static void put_mixture(struct json_writer *w, const struct json *store)
{
    const struct json *phases = json_get(store, "phases");
    json_field_open(w, "mixture", '{');
    json_field_open(w, "phases", '[');
    for (const struct json *v = phases ? phases->child : NULL; v; v = v->next)
        json_put_str(w, json_str(v, "name", STR("")));
    json_close(w, ']');
    put_drawn(w, "domains", json_get(store, "domains"));
    put_drawn(w, "views", json_get(store, "views"));
    json_close(w, '}');
}

static void put_vocabulary_group(struct json_writer *w, const struct json *g, bool all)
{
    json_open(w, '{');
    if (!all) {
        json_field_str(w, "domain", json_str(g, "domain", STR("")));
        json_field_str(w, "lang", json_str(g, "lang", STR("")));
    }
    json_field_num(w, "documents", json_num(g, "documents", NAN));
    json_field_num(w, "bytes", json_num(g, "bytes", NAN));
    put_numbers(w, "bytes_per_token", json_get(g, "bytes_per_token"));
    put_numbers(w, "tokens_per_word", json_get(g, "tokens_per_word"));
    json_close(w, '}');
}

/* Held-out text under each vocabulary; lists are in the order of the vocabularies. */
static void put_vocabulary(struct json_writer *w, const struct json *held)
{
    const struct json *tokenizers = json_get(held, "tokenizers"),
                      *groups = json_get(held, "groups");
    json_field_open(w, "vocabulary", '{');
    json_field_open(w, "tokenizers", '[');
    for (const struct json *v = tokenizers ? tokenizers->child : NULL; v; v = v->next)
        json_put_str(w, json_str(v, "path", STR("")));
    json_close(w, ']');
    json_field_open(w, "groups", '[');
    for (const struct json *v = groups ? groups->child : NULL; v; v = v->next)
        put_vocabulary_group(w, v, false);
    json_close(w, ']');
    json_key(w, "all");
    put_vocabulary_group(w, json_get(held, "all"), true);
    json_close(w, '}');
}

void page_put_json(const struct page *p, struct buf *to)
{
    struct json_writer w;
    struct str rest = buf_view(&p->warnings);
    json_begin(&w, to);
    json_open(&w, '{');
    json_field_str(&w, "name", json_str(p->run, "name", STR("")));
    json_field_text(&w, "version", SLUICE_VERSION);
    if (p->has_ledger) {
        put_totals(&w, p->gather);
        put_stages(&w, p);
        put_rules(&w, p->gather);
        put_languages(&w, p->gather);
        json_field_open(&w, "signals", '[');
        for (int i = 0; i < p->gather->signal_count; i++)
            put_signal(&w, &p->gather->signal[i]);
        json_close(&w, ']');
        put_duplicates(&w, p->gather);
    }
    if (json_get(p->vocabulary, "held_out"))
        put_vocabulary(&w, json_get(p->vocabulary, "held_out"));
    if (p->store)
        put_mixture(&w, p->store);
    if (p->has_curves)
        put_training(&w, p->curves);
    json_field_open(&w, "warnings", '[');
    while (rest.len)
        json_put_str(&w, str_cut(rest, '\n', &rest));
    json_close(&w, ']');
    json_close(&w, '}');
    buf_char(to, '\n');
}

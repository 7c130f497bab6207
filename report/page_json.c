/* page_json - the report's figures for programs: one JSON object. */
#include "report/page.h"

#include <math.h>

static void put_count(struct json_writer *w, const char *key, uint64_t value)
{
    json_key(w, key);
    json_put_u64(w, value);
}

static void put_text(struct json_writer *w, const char *key, const char *value)
{
    json_key(w, key);
    json_put_str(w, str_of(value));
}

static void put_number(struct json_writer *w, const char *key, double value)
{
    json_key(w, key);
    json_put_num(w, isfinite(value) ? value : NAN);
}

static void put_totals(struct json_writer *w, const struct gather *g)
{
    json_key(w, "pages");
    json_open(w, '{');
    put_count(w, "in", g->rows);
    put_count(w, "kept", g->kept);
    put_count(w, "heldout", g->heldout);
    put_count(w, "dropped", g->dropped);
    put_count(w, "raw_bytes", g->raw_bytes);
    put_count(w, "text_bytes", g->text_bytes);
    put_count(w, "kept_text_bytes", g->kept_text_bytes);
    put_count(w, "tokens", g->tokens);
    put_number(w, "hosts_about", round(g->hosts));
    put_number(w, "kept_hosts_about", round(g->kept_hosts));
    json_close(w, '}');
}

static void put_stages(struct json_writer *w, const struct page *p)
{
    uint64_t left = p->gather->rows;
    json_key(w, "stages");
    json_open(w, '[');
    for (int i = 0; i < p->stage_count; i++) {
        left -= p->stage[i].dropped < left ? p->stage[i].dropped : left;
        json_open(w, '{');
        put_text(w, "name", p->stage[i].name);
        put_count(w, "dropped", p->stage[i].dropped);
        put_count(w, "left", left);
        json_close(w, '}');
    }
    json_close(w, ']');
}

static void put_rules(struct json_writer *w, const struct gather *g)
{
    json_key(w, "rules");
    json_open(w, '[');
    for (int i = 0; i < g->rule.count; i++) {
        const struct rule_about *about = &g->rule_about[i];
        json_open(w, '{');
        put_text(w, "name", g->rule.name[i]);
        if (about->known) {
            put_text(w, "stage", g->stage.name[about->stage]);
            put_text(w, "signal", about->signal >= 0 ? g->signal[about->signal].name : "");
            put_number(w, "threshold", about->threshold);
            json_key(w, "sense");
            json_put_i64(w, about->sense);
        }
        put_count(w, "first", g->rule_count[i].first);
        put_count(w, "total", g->rule_count[i].total);
        put_count(w, "only", g->rule_count[i].only);
        json_close(w, '}');
    }
    json_close(w, ']');
}

static void put_languages(struct json_writer *w, const struct gather *g)
{
    json_key(w, "languages");
    json_open(w, '[');
    for (int i = 0; i < g->lang.count; i++) {
        json_open(w, '{');
        put_text(w, "lang", g->lang.name[i]);
        put_count(w, "kept", g->lang_count[i].kept);
        put_count(w, "dropped", g->lang_count[i].dropped);
        put_count(w, "tokens", g->lang_count[i].tokens);
        json_close(w, '}');
    }
    json_close(w, ']');
}

static void put_signal(struct json_writer *w, const struct signal_about *s)
{
    json_open(w, '{');
    put_text(w, "name", s->name);
    put_text(w, "unit", s->unit);
    put_count(w, "measured", s->measured);
    put_number(w, "min", s->least);
    put_number(w, "max", s->most);
    json_key(w, "quantiles"); /* of a sample */
    json_open(w, '[');
    for (int i = 0; i < GATHER_QUANTILES && s->least < s->most; i++) {
        json_open(w, '[');
        json_put_num(w, gather_quantile_at[i]);
        json_put_num(w, s->quantile[i]);
        json_close(w, ']');
    }
    json_close(w, ']');
    json_key(w, "edges");
    json_open(w, '[');
    for (int i = 0; i <= s->bins && s->bins; i++)
        json_put_num(w, s->edges[i]);
    json_close(w, ']');
    json_key(w, "counts");
    json_open(w, '[');
    for (int i = 0; i < s->bins; i++)
        json_put_u64(w, s->all[i]);
    json_close(w, ']');
    json_key(w, "kept");
    json_open(w, '[');
    for (int i = 0; i < s->bins; i++)
        json_put_u64(w, s->kept[i]);
    json_close(w, ']');
    json_close(w, '}');
}

static void put_duplicates(struct json_writer *w, const struct gather *g)
{
    json_key(w, "duplicates");
    json_open(w, '{');
    put_count(w, "pages", g->duplicates);
    put_count(w, "text_bytes", g->duplicate_bytes);
    put_count(w, "clusters", g->clusters);
    json_key(w, "sizes");
    json_open(w, '[');
    for (int i = 0; i < GATHER_SIZES; i++) {
        uint32_t first, last;
        gather_size_class(i, &first, &last);
        if (g->cluster_sizes[i] == 0)
            continue;
        json_open(w, '{');
        put_count(w, "from", first);
        put_count(w, "to", last);
        put_count(w, "clusters", g->cluster_sizes[i]);
        json_close(w, '}');
    }
    json_close(w, ']');
    json_key(w, "largest");
    json_open(w, '[');
    for (int i = 0; i < g->cluster_count; i++) {
        json_open(w, '{');
        put_count(w, "size", g->cluster[i].size);
        put_text(w, "survivor", g->cluster[i].survivor);
        json_key(w, "members");
        json_open(w, '[');
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
    json_key(w, "training");
    json_open(w, '{');
    put_count(w, "steps", c->rows);
    put_number(w, "last_step", c->last_step);
    put_number(w, "last_loss", c->last_loss);
    put_number(w, "anneal_step", c->anneal_step);
    put_count(w, "not_finite", c->not_finite);
    json_close(w, '}');
}

static void put_numbers(struct json_writer *w, const char *key, const struct json *list)
{
    json_key(w, key);
    json_open(w, '[');
    for (const struct json *v = list ? list->child : NULL; v; v = v->next)
        json_put_num(w, v->type == JSON_NUMBER ? v->number : NAN);
    json_close(w, ']');
}

static void put_drawn(struct json_writer *w, const char *key, const struct json *rows)
{
    json_key(w, key);
    json_open(w, '[');
    for (const struct json *v = rows ? rows->child : NULL; v; v = v->next) {
        json_open(w, '{');
        json_key(w, "name");
        json_put_str(w, json_str(v, "name", STR("")));
        put_number(w, "documents", json_num(v, "documents", NAN));
        put_number(w, "tokens", json_num(v, "tokens", NAN));
        if (json_get(v, "where")) {
            json_key(w, "where");
            json_put_str(w, json_str(v, "where", STR("")));
        }
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
    json_key(w, "mixture");
    json_open(w, '{');
    json_key(w, "phases");
    json_open(w, '[');
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
        json_key(w, "domain");
        json_put_str(w, json_str(g, "domain", STR("")));
        json_key(w, "lang");
        json_put_str(w, json_str(g, "lang", STR("")));
    }
    put_number(w, "documents", json_num(g, "documents", NAN));
    put_number(w, "bytes", json_num(g, "bytes", NAN));
    put_numbers(w, "bytes_per_token", json_get(g, "bytes_per_token"));
    put_numbers(w, "tokens_per_word", json_get(g, "tokens_per_word"));
    json_close(w, '}');
}

/* Held-out text under each vocabulary; lists are in the order of the vocabularies. */
static void put_vocabulary(struct json_writer *w, const struct json *held)
{
    const struct json *tokenizers = json_get(held, "tokenizers"),
                      *groups = json_get(held, "groups");
    json_key(w, "vocabulary");
    json_open(w, '{');
    json_key(w, "tokenizers");
    json_open(w, '[');
    for (const struct json *v = tokenizers ? tokenizers->child : NULL; v; v = v->next)
        json_put_str(w, json_str(v, "path", STR("")));
    json_close(w, ']');
    json_key(w, "groups");
    json_open(w, '[');
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
    json_key(&w, "name");
    json_put_str(&w, json_str(p->run, "name", STR("")));
    put_text(&w, "version", SLUICE_VERSION);
    if (p->has_ledger) {
        put_totals(&w, p->gather);
        put_stages(&w, p);
        put_rules(&w, p->gather);
        put_languages(&w, p->gather);
        json_key(&w, "signals");
        json_open(&w, '[');
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
    json_key(&w, "warnings");
    json_open(&w, '[');
    while (rest.len)
        json_put_str(&w, str_cut(rest, '\n', &rest));
    json_close(&w, ']');
    json_close(&w, '}');
    buf_char(to, '\n');
}

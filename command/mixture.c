/* mixture - reads who is drawn from when, and makes the plan of it over a store. */
#include "command/mixture.h"

#include "command/views.h"
#include "core/err.h"

#include <math.h>
#include <stdlib.h>

const struct opt mixture_opts[] = {
    OPT_ROW(OPT_FLOAT, struct mixture_conf, epochs_max, "100", 0.01, 1e6, "epochs",
            "a source that was seen so often yields to others; [mixture.epochs] says so of one",
            "arXiv:2305.16264"),
    OPT_ROW(OPT_ENUM, struct mixture_conf, spill, "weights", 0, 0, "weights|unseen|stop",
            "who gets the share of a source that yielded: the others by their weights, those not "
            "yet seen once by what is unseen of them, or nobody (such a plan is refused)",
            NULL),
    OPT_ROW(OPT_FLOAT, struct mixture_conf, temperature, "1", 0.01, 1e6, NULL,
            "where no weights are named, shares go by tokens^(1/temperature): 1 by size, large "
            "values even them out",
            "arXiv:1907.05019"),
    OPT_LAST,
};
const struct opt phase_opts[] = {
    OPT_ROW(OPT_STR, struct phase_conf, name, NULL, 0, 0, NULL, "name of the phase", NULL),
    OPT_ROW(OPT_INT, struct phase_conf, steps, "0", 0, 1e12, "steps",
            "its steps; one phase may leave it out and gets what is left of train.steps", NULL),
    OPT_ROW(OPT_INT, struct phase_conf, tokens, "0", 0, 1e18, "tokens",
            "its tokens, in place of steps; rounded up to whole steps", NULL),
    OPT_ROW(OPT_INT, struct phase_conf, sequence, "0", 0, 1048576, "tokens",
            "tokens of a sequence, with as many fewer of them in a step; 0: train.sequence", NULL),
    OPT_ROW(OPT_FLOAT, struct phase_conf, rope_theta, "0", 0, 1e9, NULL,
            "base of the rotary positions from here on; 0: as before", "arXiv:2309.16039"),
    OPT_LAST,
};

/* ---- reading ---- */

/* A table of NAME = number. */
static int read_shares(const struct recipe *r, struct conf_node *table, const char *where,
                       struct mixture_shares *out)
{
    if (!table)
        return 0;
    table->used = true;
    if (table->type != CONF_TABLE)
        return err_set(ERR_USAGE, "%s:%d: %s is written { web = 0.7, books = 0.3 }", table->file,
                       table->line, where);
    for (struct conf_node *n = table->child; n; n = n->next) {
        n->used = true;
        if (!part_known(r, n->key))
            return err_set(ERR_USAGE,
                           "%s:%d: %s names \"%s\": there is no such [[domain]] and no [view.NAME]",
                           n->file, n->line, where, n->key);
        if ((n->type != CONF_FLOAT && n->type != CONF_INT) || !(n->number >= 0) ||
            !isfinite(n->number))
            return err_set(ERR_USAGE, "%s:%d: %s: %s must be a number of at least 0", n->file,
                           n->line, where, n->key);
        if (out->count == LOADER_SOURCES_MAX)
            return err_set(ERR_LIMIT, "%s:%d: %s names more than %d", n->file, n->line, where,
                           LOADER_SOURCES_MAX);
        out->part[out->count].name = n->key;
        out->part[out->count++].weight = n->number;
    }
    return 0;
}

static int read_phase(struct recipe *r, struct conf_node *table, struct phase_conf *p)
{
    static const char *const also[] = {"mixture", NULL};
    table->used = true;
    TRY(opt_defaults(phase_opts, p, &r->arena));
    TRY(opt_from_recipe(phase_opts, p, table, also, &r->arena));
    if (!p->name || !p->name[0] || strlen(p->name) >= sizeof((struct train_phase *)0)->name)
        return err_set(ERR_USAGE, "%s:%d: a [[phase]] needs a name of 1 to 47 characters",
                       table->file, table->line);
    if (p->steps && p->tokens)
        return err_set(ERR_USAGE, "%s:%d: phase %s has both steps and tokens: keep one",
                       table->file, table->line, p->name);
    for (struct phase_conf *other = r->mixture.phase; other < p; other++)
        if (strcmp(other->name, p->name) == 0)
            return err_set(ERR_USAGE, "%s:%d: there are two phases named %s", table->file,
                           table->line, p->name);
    return read_shares(r, conf_get(table, "mixture"), "the phase's mixture", &p->mixture);
}

static int read_phases(struct recipe *r, struct conf_node *list)
{
    struct mixture_conf *m = &r->mixture;
    if (list->type != CONF_ARRAY)
        return err_set(ERR_USAGE, "%s:%d: phases are written [[phase]]", list->file, list->line);
    if (m->stable.count || m->anneal.count)
        return err_set(ERR_USAGE,
                       "%s:%d: there are [[phase]] and [mixture.stable] or [mixture.anneal]: say "
                       "it in one of the two ways",
                       list->file, list->line);
    m->phase = arena_array_zero(&r->arena, struct phase_conf, TRAIN_PHASES_MAX);
    if (!m->phase)
        return ERR_LIMIT;
    for (struct conf_node *table = list->child; table; table = table->next) {
        if (m->phase_count == TRAIN_PHASES_MAX)
            return err_set(ERR_LIMIT, "%s:%d: more than %d phases", table->file, table->line,
                           TRAIN_PHASES_MAX);
        TRY(read_phase(r, table, &m->phase[m->phase_count]));
        m->phase_count++;
    }
    return 0;
}

/* Steps of all phases: tokens become steps, the one without either gets what is left. */
static int settle_steps(struct recipe *r, bool steps_given)
{
    struct mixture_conf *m = &r->mixture;
    struct train_conf *t = &r->train;
    int64_t sequence = t->sequence ? t->sequence : r->model.context, sum = 0;
    int64_t step_tokens = t->batch * sequence;
    struct phase_conf *open = NULL;
    for (int i = 0; i < m->phase_count; i++) {
        struct phase_conf *p = &m->phase[i];
        if (p->tokens && step_tokens > 0)
            p->steps = p->tokens / step_tokens + (p->tokens % step_tokens != 0);
        p->tokens = 0; /* the resolved recipe has steps */
        if (p->steps == 0 && open)
            return err_set(ERR_USAGE,
                           "recipe: phases %s and %s have neither steps nor tokens: "
                           "only one may take what is left",
                           open->name, p->name);
        open = p->steps ? open : p;
        sum += p->steps;
    }
    if (!open && !steps_given)
        t->steps = sum;
    if (open)
        open->steps = t->steps - sum;
    if (open ? open->steps < 1 : sum != t->steps)
        return err_set(
            ERR_USAGE, "recipe: the phases have %lld steps%s%s, train.steps is %lld: change one",
            (long long)sum, open ? " without " : "", open ? open->name : "", (long long)t->steps);
    return 0;
}

int mixture_read(struct recipe *r)
{
    static const char *const also[] = {"stable", "anneal", "epochs", NULL};
    struct mixture_conf *m = &r->mixture;
    struct conf_node *table = conf_get(r->root, "mixture"), *list = conf_get(r->root, "phase");
    struct conf_node *train = conf_get(r->root, "train");
    if (table)
        table->used = true;
    TRY(opt_defaults(mixture_opts, m, &r->arena));
    TRY(opt_from_recipe(mixture_opts, m, table, also, &r->arena));
    if (table) {
        TRY(read_shares(r, conf_get(table, "stable"), "mixture.stable", &m->stable));
        TRY(read_shares(r, conf_get(table, "anneal"), "mixture.anneal", &m->anneal));
        TRY(read_shares(r, conf_get(table, "epochs"), "mixture.epochs", &m->epochs));
    }
    if (!list)
        return 0;
    list->used = true;
    TRY(read_phases(r, list));
    return r->has_train ? settle_steps(r, train && conf_get(train, "steps")) : 0;
}

/* ---- writing ---- */

static void write_shares(const struct mixture_shares *m, struct buf *to)
{
    for (int i = 0; i < m->count; i++) {
        buf_printf(to, "%s = ", m->part[i].name);
        buf_num(to, m->part[i].weight);
        buf_char(to, '\n');
    }
}

void mixture_resolve(const struct recipe *r, struct buf *to)
{
    const struct mixture_conf *m = &r->mixture;
    buf_text(to, "\n[mixture]\n");
    opt_write(mixture_opts, m, to);
    if (m->epochs.count) {
        buf_text(to, "\n[mixture.epochs]\n");
        write_shares(&m->epochs, to);
    }
    if (m->phase_count == 0) {
        buf_text(to, "\n[mixture.stable]\n");
        write_shares(&m->stable, to);
        buf_text(to, "\n[mixture.anneal]\n");
        write_shares(&m->anneal, to);
    }
    for (int i = 0; i < m->phase_count; i++) {
        buf_text(to, "\n[[phase]]\n");
        opt_write(phase_opts, &m->phase[i], to);
        if (m->phase[i].mixture.count) {
            buf_text(to, "[phase.mixture]\n");
            write_shares(&m->phase[i].mixture, to);
        }
    }
}

/* ---- phases of either form ---- */

/* Phase number i as the recipe has it: a [[phase]], or one of the two of the short form, of which
 * those without steps are left out. */
static struct phase_conf phase_of(const struct recipe *r, uint32_t i)
{
    const struct mixture_conf *m = &r->mixture;
    const struct train_conf *t = &r->train;
    if (m->phase_count)
        return m->phase[i];
    if (i == 0 && t->steps > t->anneal_steps)
        return (struct phase_conf){
            .name = "stable", .steps = t->steps - t->anneal_steps, .mixture = m->stable};
    return (struct phase_conf){.name = "anneal",
                               .steps = t->anneal_steps,
                               .mixture = m->anneal.count ? m->anneal : m->stable};
}

static uint32_t phase_count(const struct recipe *r)
{
    const struct train_conf *t = &r->train;
    if (r->mixture.phase_count)
        return (uint32_t)r->mixture.phase_count;
    return t->anneal_steps > 0 && t->anneal_steps < t->steps ? 2 : 1;
}

static double shares_sum(const struct mixture_shares *m)
{
    double sum = 0;
    for (int i = 0; i < m->count; i++)
        sum += m->part[i].weight;
    return sum;
}

bool mixture_weights(const struct recipe *r, double weight[STORE_DOMAINS_MAX])
{
    double steps = 0;
    memset(weight, 0, STORE_DOMAINS_MAX * sizeof *weight);
    for (uint32_t p = 0; p < phase_count(r); p++) {
        struct phase_conf phase = phase_of(r, p);
        double sum = shares_sum(&phase.mixture), times = r->has_train ? (double)phase.steps : 1;
        if (!(sum > 0))
            continue;
        steps += times;
        for (int i = 0; i < phase.mixture.count; i++)
            for (int d = 0; d < r->domain_count; d++)
                if (strcmp(r->domain[d].name, phase.mixture.part[i].name) == 0)
                    weight[d] += times * phase.mixture.part[i].weight / sum;
    }
    for (int d = 0; d < r->domain_count && steps > 0; d++)
        weight[d] /= steps;
    return steps > 0;
}

/* ---- the plan ---- */

static double epochs_of(const struct mixture_conf *m, const char *name)
{
    for (int i = 0; i < m->epochs.count; i++)
        if (strcmp(m->epochs.part[i].name, name) == 0)
            return m->epochs.part[i].weight;
    return m->epochs_max;
}

/* Number of the source called name, opened when it is new: sources stand in the order in which the
 * phases name them, so that phases added at the end change nothing before them. */
static int source_number(struct mixture *m, const struct run *r, struct store *s, const char *name)
{
    struct train_plan *plan = &m->plan;
    for (uint32_t i = 0; i < plan->source_count; i++)
        if (strcmp(m->view[i].name, name) == 0)
            return (int)i;
    if (plan->source_count == LOADER_SOURCES_MAX)
        return err_set(ERR_LIMIT, "mixture: more than %d domains and views in all phases",
                       LOADER_SOURCES_MAX);
    struct token_view *view = &m->view[plan->source_count];
    TRY(part_open(view, r, s, name));
    if (view->tokens == 0 && store_domain(s, name) < 0)
        return err_set(ERR_GATE,
                       "mixture: view %s holds no document of the store: widen it, or "
                       "leave it out",
                       name);
    plan->source[plan->source_count] =
        (struct loader_source){view, epochs_of(&r->recipe->mixture, name)};
    return (int)plan->source_count++;
}

/* Weights by name; a part of weight 0 is not drawn from and need not exist. */
static int weigh_named(struct mixture *m, const struct run *r, struct store *s,
                       const struct mixture_shares *shares, struct train_phase *phase)
{
    for (int i = 0; i < shares->count; i++) {
        if (!(shares->part[i].weight > 0))
            continue;
        int source = source_number(m, r, s, shares->part[i].name);
        TRY(source);
        if (m->view[source].tokens)
            phase->weight[source] = shares->part[i].weight;
    }
    return 0;
}

/* Weights of all domains by how much there is of them. */
static int weigh_by_tokens(struct mixture *m, const struct run *r, struct store *s,
                           struct train_phase *phase)
{
    const struct store_meta *meta = store_meta(s);
    double most = 0, power = 1 / r->recipe->mixture.temperature;
    for (uint32_t d = 0; d < meta->domain_count; d++)
        most = fmax(most, (double)(meta->domain[d].tokens));
    for (uint32_t d = 0; d < meta->domain_count; d++) {
        if (meta->domain[d].tokens == 0)
            continue;
        int source = source_number(m, r, s, meta->domain[d].name);
        TRY(source);
        double share = (double)m->view[source].tokens / most; /* at most 1: no power overflows */
        phase->weight[source] = share > 0 ? fmax(pow(share, power), 1e-12) : 0;
    }
    return 0;
}

static int plan_phase(struct mixture *m, const struct run *r, struct store *s, uint32_t i)
{
    struct phase_conf conf = phase_of(r->recipe, i);
    struct train_phase *phase = &m->plan.phase[i];
    double sum = 0;
    snprintf(phase->name, sizeof phase->name, "%s", conf.name);
    phase->steps = conf.steps;
    phase->sequence = conf.sequence;
    phase->rope_theta = conf.rope_theta;
    if (conf.mixture.count)
        TRY(weigh_named(m, r, s, &conf.mixture, phase));
    else
        TRY(weigh_by_tokens(m, r, s, phase));
    for (int k = 0; k < LOADER_SOURCES_MAX; k++)
        sum += phase->weight[k];
    if (!(sum > 0))
        return err_set(ERR_GATE,
                       "mixture of phase %s: nothing with tokens has a weight: see "
                       "store.json",
                       phase->name);
    return 0;
}

int mixture_open(struct mixture *out, const struct run *r, struct store *s)
{
    const struct recipe *recipe = r->recipe;
    int rc = 0;
    memset(out, 0, sizeof *out);
    out->train = recipe->train;
    TRY(train_conf_check(&out->train, &recipe->model));
    for (int i = 0; loader_spill_names[i]; i++)
        if (strcmp(loader_spill_names[i], recipe->mixture.spill) == 0)
            out->plan.spill = (enum loader_spill)i;
    out->plan.phase_count = phase_count(recipe);
    for (uint32_t i = 0; i < out->plan.phase_count && rc >= 0; i++)
        rc = plan_phase(out, r, s, i);
    if (rc >= 0)
        rc = train_plan_check(&out->plan, &out->train, &recipe->model);
    if (rc < 0)
        mixture_close(out);
    return rc < 0 ? rc : 0;
}

int mixture_loader(struct loader **out, const struct mixture *m, struct store *s, bool partial)
{
    struct loader_conf *conf = malloc(sizeof *conf);
    if (!conf)
        return err_set(ERR_LIMIT, "mixture: no memory");
    train_plan_rows(&m->plan, &m->train, conf);
    conf->partial = partial;
    int rc = loader_open(out, s, conf);
    free(conf);
    return rc;
}

void mixture_close(struct mixture *m)
{
    for (uint32_t i = 0; i < LOADER_SOURCES_MAX; i++)
        token_view_close(&m->view[i]);
    memset(m, 0, sizeof *m);
}

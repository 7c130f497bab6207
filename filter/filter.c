/* filter - runs any filter as a stage: measures, writes the signals, judges, notes every hit. */
#include "filter/filter.h"

#include "core/err.h"

#include <assert.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#define FILTER(name) &filter_##name,
const struct filter *const filters[] = {
#include "filter/filters.def"
    NULL,
};
#undef FILTER
enum { FILTER_COUNT = COUNT_OF(filters) - 1, NAME_MAX_BYTES = 48 };

static struct stage_type stage_types[FILTER_COUNT];
static pthread_once_t stage_types_once = PTHREAD_ONCE_INIT;

/* Where this stage's signals and rules stand in the schema. */
struct placed {
    const struct filter *filter;
    int signal[FILTER_SIGNALS_MAX];
    int rule[FILTER_RULES_MAX];
    int signal_count;
};

int filter_signal_count(const struct filter *f)
{
    int count = 0;
    while (f->signals[count])
        count++;
    return count;
}

static double threshold_of(const struct filter *f, const void *conf, int rule)
{
    double value;
    memcpy(&value, (const char *)conf + f->rules[rule].threshold_offset, sizeof value);
    return value;
}

int filter_judge(const struct filter *f, const void *conf, const float *signal, uint32_t *all)
{
    uint32_t hits = 0;
    for (int i = 0; i < f->rule_count; i++) {
        float value = signal[f->rules[i].signal], limit = (float)threshold_of(f, conf, i);
        bool drops = f->rules[i].sense > 0 ? value > limit : value < limit;
        hits |= (uint32_t)drops << i;
    }
    *all = hits;
    return hits ? __builtin_ctz(hits) + 1 : 0;
}

static int placed_open(struct placed *p, const struct filter *f, const void *conf,
                       struct schema *schema)
{
    char name[NAME_MAX_BYTES];
    p->filter = f;
    p->signal_count = filter_signal_count(f);
    assert(p->signal_count <= FILTER_SIGNALS_MAX);
    assert(f->rule_count <= FILTER_RULES_MAX);
    for (int i = 0; i < p->signal_count; i++) {
        int len = snprintf(name, sizeof name, "%s.%s", f->name, f->signals[i]);
        assert(len > 0 && (size_t)len < sizeof name);
        p->signal[i] = schema_signal(schema, name, f->units[i]);
        TRY(p->signal[i]);
    }
    for (int i = 0; i < f->rule_count; i++) {
        const struct filter_rule *rule = &f->rules[i];
        int len = snprintf(name, sizeof name, "%s.%s", f->name, rule->name);
        assert(len > 0 && (size_t)len < sizeof name);
        assert(rule->signal >= 0 && rule->signal < p->signal_count);
        p->rule[i] = schema_rule(schema, f->name, name, p->signal[rule->signal],
                                 threshold_of(f, conf, i), rule->sense);
        TRY(p->rule[i]);
    }
    return 0;
}

static int stage_open(struct stage *s, struct schema *schema)
{
    const struct filter *f = filters[s->type - stage_types];
    struct placed *p = calloc(1, sizeof *p);
    s->shared = p;
    if (!p)
        return err_set(ERR_LIMIT, "filter %s: no memory for %zu bytes", f->name, sizeof *p);
    int rc = f->open ? f->open(s->conf, s->arena) : 0;
    if (rc < 0)
        return err_in(rc, "filter %s", f->name);
    return placed_open(p, f, s->conf, schema);
}

static void stage_close(struct stage *s)
{
    free(s->shared);
    s->shared = NULL;
}

/* Judges one document; the verdict is the first rule that drops it, the others are noted in
 * `also`. */
static void doc_judge(const struct placed *p, const void *conf, struct doc *d, const float *signal)
{
    const struct filter *f = p->filter;
    uint32_t all = 0;
    int first = filter_judge(f, conf, signal, &all);
    if (!first)
        return;
    assert(all >> (first - 1) & 1);
    doc_drop(d, p->rule[first - 1], (double)signal[f->rules[first - 1].signal],
             threshold_of(f, conf, first - 1));
    for (all &= ~(UINT32_C(1) << (first - 1)); all; all &= all - 1) {
        int k = __builtin_ctz(all);
        doc_drop(d, p->rule[k], (double)signal[f->rules[k].signal], threshold_of(f, conf, k));
    }
}

static int stage_run(struct stage *s, void *local, struct batch *b)
{
    const struct placed *p = s->shared;
    const struct filter *f = p->filter;
    for (int i = 0; i < b->live_count; i++) {
        struct doc *d = &b->doc[b->live[i]];
        float signal[FILTER_SIGNALS_MAX];
        if (f->rewrite)
            TRY(f->rewrite(b, d, s->conf));
        if (!f->before_extract && (!doc_words(b, d).span || !doc_lines(b, d).span))
            return err_in(ERR_LIMIT, "filter %s: splitting %zu bytes of text", f->name,
                          d->text.len);
        for (int k = 0; k < p->signal_count; k++)
            signal[k] = NAN;
        f->measure(b, d, s->conf, local, signal);
        for (int k = 0; k < p->signal_count; k++)
            d->signal[p->signal[k]] = signal[k];
        doc_judge(p, s->conf, d, signal);
    }
    return 0;
}

static void stage_types_fill(void)
{
    for (int i = 0; i < FILTER_COUNT; i++) {
        const struct filter *f = filters[i];
        stage_types[i] = (struct stage_type){
            .name = f->name,
            .help = f->help,
            .source = f->source,
            .opts = f->opts,
            .conf_size = f->conf_size,
            .local_size = f->scratch_size,
            .open = stage_open,
            .run = stage_run,
            .close = stage_close,
        };
    }
}

const struct stage_type *filter_stage(const char *name)
{
    pthread_once(&stage_types_once, stage_types_fill);
    for (int i = 0; i < FILTER_COUNT; i++)
        if (strcmp(filters[i]->name, name) == 0)
            return &stage_types[i];
    return NULL;
}

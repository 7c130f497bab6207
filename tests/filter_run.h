/* filter_run - one filter over texts, as the runner would run it. */
#ifndef SLUICE_TESTS_FILTER_RUN_H
#define SLUICE_TESTS_FILTER_RUN_H
#include "filter/filter.h"
#include "tests/test.h"

struct filter_run {
    struct stage stage;
    struct schema schema;
    struct arena arena;
    struct batch *batch;
    void *local;
};

/* settings: "min_words=10", ..., ended by NULL; applied over the presets. */
static inline void filter_run_open(struct filter_run *r, const char *name,
                                   const char *const *settings)
{
    memset(r, 0, sizeof *r);
    CHECK_OK(arena_open(&r->arena, 256 << 20));
    CHECK_OK(batch_open(&r->batch));
    schema_init(&r->schema);
    const struct stage_type *type = filter_stage(name);
    CHECK(type);
    r->stage = (struct stage){.type = type, .name = name, .arena = &r->arena};
    r->stage.conf = calloc(1, type->conf_size);
    r->local = calloc(1, type->local_size ? type->local_size : 1);
    CHECK(r->stage.conf && r->local);
    CHECK_OK(opt_defaults(type->opts, r->stage.conf, &r->arena));
    for (; settings && *settings; settings++) {
        const char *equals = strchr(*settings, '=');
        CHECK(equals);
        const struct opt *row = type->opts;
        while (row->type != OPT_END &&
               !str_is((struct str){*settings, (size_t)(equals - *settings)}, row->name))
            row++;
        CHECK(row->type != OPT_END);
        CHECK_OK(opt_set(row, r->stage.conf, equals + 1, "test", &r->arena));
    }
}

static inline void filter_run_start(struct filter_run *r, const char *name,
                                    const char *const *settings)
{
    filter_run_open(r, name, settings);
    CHECK_OK(r->stage.type->open(&r->stage, &r->schema));
}

static inline void filter_run_close(struct filter_run *r)
{
    r->stage.type->close(&r->stage);
    free(r->stage.conf);
    free(r->local);
    batch_close(r->batch);
    arena_close(&r->arena);
}

/* Runs the text alone in a batch; the document lives until the next call. */
static inline struct doc *filter_run_text(struct filter_run *r, struct str text, const char *lang)
{
    batch_clear(r->batch);
    struct doc *d = batch_add(r->batch);
    d->url = STR("https://example.com/");
    d->host = STR("example.com");
    snprintf(d->lang, sizeof d->lang, "%s", lang);
    doc_set_text(d, text);
    CHECK_OK(r->stage.type->run(&r->stage, r->local, r->batch));
    return d;
}

/* Name of the rule that dropped it, "" when it was kept. */
static inline const char *filter_run_rule(const struct filter_run *r, const struct doc *d)
{
    return r->schema.rule[d->rule].name;
}

static inline double filter_run_signal(const struct filter_run *r, const struct doc *d,
                                       const char *name)
{
    int column = schema_find_signal(&r->schema, name);
    if (column < 0)
        test_fail(__FILE__, __LINE__, "no signal %s", name);
    return (double)d->signal[column];
}

/* The rule for one text with the presets changed by settings (NULL-ended list, may be NULL). */
#define FILTER_RULE(name, text, ...)                                                               \
    filter_rule_of(name, str_of(text), (const char *const[]){__VA_ARGS__ __VA_OPT__(, ) NULL})
static inline const char *filter_rule_of(const char *name, struct str text,
                                         const char *const *settings)
{
    static char rule[64];
    struct filter_run r;
    filter_run_start(&r, name, settings);
    snprintf(rule, sizeof rule, "%s", filter_run_rule(&r, filter_run_text(&r, text, "en")));
    filter_run_close(&r);
    return rule;
}

/* text, count times over; good until the eighth call after. */
static inline char *repeat(const char *text, int count)
{
    static char *kept[8];
    static int next;
    char **out = &kept[next++ % 8];
    size_t len = strlen(text);
    *out = realloc(*out, len * (size_t)count + 1);
    CHECK(*out);
    for (int i = 0; i < count; i++)
        memcpy(*out + len * (size_t)i, text, len);
    (*out)[len * (size_t)count] = 0;
    return *out;
}
#endif

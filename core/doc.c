/* doc - schemas, batches and verdicts; the word and line views are in view.c. */
#include "core/doc.h"

#include "core/err.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { BATCH_KEEP = 8 << 20 }; /* bytes of a batch's arena that stay committed between uses */

void schema_init(struct schema *s)
{
    memset(s, 0, sizeof *s);
    s->rule[0].signal = -1;
    s->rule_count = 1;
}

int schema_find_signal(const struct schema *s, const char *name)
{
    for (int i = 0; i < s->signal_count; i++)
        if (strcmp(s->signal[i].name, name) == 0)
            return i;
    return -1;
}

int schema_find_rule(const struct schema *s, const char *name)
{
    for (int i = 1; i < s->rule_count; i++)
        if (strcmp(s->rule[i].name, name) == 0)
            return i;
    return -1;
}

int schema_signal(struct schema *s, const char *name, const char *unit)
{
    int old = schema_find_signal(s, name);
    if (old >= 0)
        return old;
    assert(strlen(name) < sizeof s->signal[0].name);
    if (s->signal_count == SIGNALS_MAX)
        return err_set(ERR_LIMIT,
                       "schema: signal %s is one more than the %d a run may have: use fewer stages",
                       name, SIGNALS_MAX);
    struct signal_info *info = &s->signal[s->signal_count];
    snprintf(info->name, sizeof info->name, "%s", name);
    info->unit = unit;
    return s->signal_count++;
}

int schema_rule(struct schema *s, const char *stage, const char *name, int signal, double threshold,
                int sense)
{
    int old = schema_find_rule(s, name);
    if (old >= 0)
        return old;
    assert(strlen(name) < sizeof s->rule[0].name);
    if (s->rule_count == RULES_MAX)
        return err_set(ERR_LIMIT,
                       "schema: rule %s is one more than the %d a run may have: use fewer stages",
                       name, RULES_MAX);
    struct rule_info *info = &s->rule[s->rule_count];
    snprintf(info->name, sizeof info->name, "%s", name);
    snprintf(info->stage, sizeof info->stage, "%s", stage);
    info->signal = signal;
    info->threshold = threshold;
    info->sense = sense;
    return s->rule_count++;
}

int batch_open(struct batch **out)
{
    struct batch *b = calloc(1, sizeof *b);
    if (!b)
        return err_set(ERR_LIMIT, "batch: no memory for %zu bytes: lower --threads", sizeof *b);
    int rc = arena_open(&b->arena, BATCH_ARENA_MAX);
    if (rc < 0) {
        free(b);
        return rc;
    }
    *out = b;
    return 0;
}

void batch_clear(struct batch *b)
{
    arena_trim(&b->arena, BATCH_KEEP);
    b->doc_count = b->live_count = 0;
    b->raw_bytes = 0;
    b->seq = 0;
}

void batch_close(struct batch *b)
{
    if (!b)
        return;
    arena_close(&b->arena);
    free(b);
}

struct doc *batch_add(struct batch *b)
{
    if (b->doc_count >= BATCH_DOCS_MAX)
        return NULL;
    int index = b->doc_count++;
    struct doc *d = &b->doc[index];
    memset(d, 0, sizeof *d);
    d->signal = b->signals[index];
    for (int i = 0; i < SIGNALS_MAX; i++)
        d->signal[i] = NAN;
    b->live[b->live_count++] = (uint16_t)index;
    return d;
}

void doc_drop(struct doc *d, int rule, double value, double threshold)
{
    assert(rule > 0 && rule < RULES_MAX);
    d->also[rule / 64] |= (uint64_t)1 << (rule % 64);
    if (d->rule)
        return;
    d->rule = (uint16_t)rule;
    d->value = (float)value;
    d->threshold = (float)threshold;
}

void batch_sweep(struct batch *b)
{
    int kept = 0;
    for (int i = 0; i < b->live_count; i++)
        if (!b->doc[b->live[i]].rule)
            b->live[kept++] = b->live[i];
    b->live_count = kept;
}

void doc_set_text(struct doc *d, struct str text)
{
    d->text = text;
    d->words = (struct view){0};
    d->lines = (struct view){0};
}

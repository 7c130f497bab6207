/* store_mix - `sluice store mix`: what each phase will draw from each source, what runs out when,
 * and who takes over. It reads the plan, so its time does not grow with the steps. */
#include "command/store_tool.h"

#include "core/err.h"
#include "core/json.h"

#include <stdio.h>
#include <stdlib.h>

struct drawn {
    uint64_t rows[TRAIN_PHASES_MAX];
    double epochs[TRAIN_PHASES_MAX];
    double share[TRAIN_PHASES_MAX]; /* when the phase begins */
    int64_t full_step;              /* the step in which it reached its epochs; -1: it does not */
};
struct mix {
    struct store_rows rows;
    struct loader_stretch stretch;
    struct drawn drawn[LOADER_SOURCES_MAX];
    int64_t dry_step; /* the first step that cannot be drawn; -1: none */
};

/* The step, from 1, that reads a row of the plan. */
static int64_t step_of_row(const struct mixture *m, uint64_t row)
{
    int64_t low = 0, high = m->train.steps;
    while (high - low > 1) {
        int64_t middle = low + (high - low) / 2;
        if (train_place(&m->plan, &m->train, middle).row <= row)
            low = middle;
        else
            high = middle;
    }
    return low + 1;
}

static uint64_t plan_rows(const struct mixture *m)
{
    return train_place(&m->plan, &m->train, m->train.steps).row;
}

static void add_stretch(struct mix *x, bool first)
{
    const struct mixture *m = &x->rows.mixture;
    const struct loader_stretch *st = &x->stretch;
    for (uint32_t s = 0; s < m->plan.source_count; s++) {
        struct drawn *d = &x->drawn[s];
        uint64_t epoch =
            loader_epoch_rows(x->rows.loader, s, (uint32_t)m->plan.phase[st->phase].sequence);
        if (first)
            d->share[st->phase] = st->share[s];
        d->rows[st->phase] += st->rows_of[s];
        d->epochs[st->phase] += epoch ? (double)st->rows_of[s] / (double)epoch : 0;
        if (st->full >> s & 1 && d->full_step < 0)
            d->full_step = step_of_row(m, st->first + st->rows - 1);
    }
}

static void mix_draw(struct mix *x)
{
    uint32_t phase = UINT32_MAX;
    for (uint32_t s = 0; s < LOADER_SOURCES_MAX; s++)
        x->drawn[s].full_step = -1;
    for (uint64_t i = 0; i < loader_stretches(x->rows.loader); i++) {
        loader_stretch(x->rows.loader, i, &x->stretch);
        add_stretch(x, x->stretch.phase != phase);
        phase = x->stretch.phase;
    }
    uint64_t rows = loader_rows(x->rows.loader);
    x->dry_step = rows < plan_rows(&x->rows.mixture) ? step_of_row(&x->rows.mixture, rows) : -1;
}

static double sum_of(const double *values)
{
    double sum = 0;
    for (int i = 0; i < TRAIN_PHASES_MAX; i++)
        sum += values[i];
    return sum;
}

/* ---- for people ---- */

static void print_phase(const struct mix *x, uint32_t p, int64_t first)
{
    const struct mixture *m = &x->rows.mixture;
    const struct train_phase *phase = &m->plan.phase[p];
    printf("\nphase %s: steps %lld to %lld, %lld rows of %lld tokens each", phase->name,
           (long long)first, (long long)(first + phase->steps - 1),
           (long long)(m->train.batch * m->train.sequence / phase->sequence),
           (long long)phase->sequence);
    if (phase->rope_theta != x->rows.recipe->model.rope_theta)
        printf(", rope_theta %g", phase->rope_theta);
    printf("\n  %-24s %8s %18s %10s\n", "source", "share", "tokens drawn", "epochs");
    for (uint32_t s = 0; s < m->plan.source_count; s++) {
        const struct drawn *d = &x->drawn[s];
        if (phase->weight[s] > 0)
            printf("  %-24s %7.2f%% %18llu %10.4f\n", m->view[s].name, 100 * d->share[p],
                   (unsigned long long)(d->rows[p] * (uint64_t)phase->sequence), d->epochs[p]);
    }
}

/* Who yields inside a phase, and who has its share from there on. */
static void print_spills(struct mix *x)
{
    const struct mixture *m = &x->rows.mixture;
    uint64_t full = 0;
    uint32_t phase = 0;
    for (uint64_t i = 0; i < loader_stretches(x->rows.loader); i++) {
        loader_stretch(x->rows.loader, i, &x->stretch);
        const struct loader_stretch *st = &x->stretch;
        if (i > 0 && phase == st->phase) {
            printf("\nfrom step %lld on, in phase %s:", (long long)step_of_row(m, st->first),
                   m->plan.phase[phase].name);
            for (uint32_t s = 0; s < m->plan.source_count; s++)
                if (full >> s & 1)
                    printf(" %s yields;", m->view[s].name);
            for (uint32_t s = 0; s < m->plan.source_count; s++)
                if (st->share[s] > 0)
                    printf(" %s %.2f%%", m->view[s].name, 100 * st->share[s]);
            putchar('\n');
        }
        full = st->full;
        phase = st->phase;
    }
}

static void print_sources(const struct mix *x)
{
    const struct mixture *m = &x->rows.mixture;
    printf("\nin all phases\n  %-24s %16s %10s %10s  %s\n", "source", "tokens", "epochs", "at most",
           "reached");
    for (uint32_t s = 0; s < m->plan.source_count; s++) {
        printf("  %-24s %16llu %10.4f ", m->view[s].name, (unsigned long long)m->view[s].tokens,
               sum_of(x->drawn[s].epochs));
        if (m->plan.source[s].epochs_max > 0)
            printf("%10g  ", m->plan.source[s].epochs_max);
        else
            printf("%10s  ", "any");
        if (x->drawn[s].full_step >= 0)
            printf("at step %lld\n", (long long)x->drawn[s].full_step);
        else
            printf("no\n");
    }
}

/* Repeats up to some 4 times are nearly worth new text, more are worth ever less (Muennighoff et
 * al. 2023, arXiv:2305.16264, section 6). The cap is not there by preset: a small corpus of one's
 * own is read more often knowingly. */
static void print_repeats(const struct mix *x)
{
    enum { WORTH_NEW_TEXT = 4 };
    const struct mixture *m = &x->rows.mixture;
    for (uint32_t s = 0; s < m->plan.source_count; s++) {
        double epochs = sum_of(x->drawn[s].epochs);
        if (epochs > WORTH_NEW_TEXT)
            printf("\n%s is read %.1f times: beyond some %d a repeat is worth less and less "
                   "(arXiv:2305.16264); a cap: mixture.epochs.%s = %d\n",
                   m->view[s].name, epochs, WORTH_NEW_TEXT, m->view[s].name, WORTH_NEW_TEXT);
    }
}

static void print_text(struct mix *x)
{
    const struct mixture *m = &x->rows.mixture;
    int64_t first = 1;
    printf("%lld steps of %lld tokens, packing %s, spill %s\n", (long long)m->train.steps,
           (long long)(m->train.batch * m->train.sequence), m->train.packing,
           loader_spill_names[m->plan.spill]);
    for (uint32_t p = 0; p < m->plan.phase_count; p++) {
        print_phase(x, p, first);
        first += m->plan.phase[p].steps;
    }
    print_spills(x);
    print_sources(x);
    print_repeats(x);
    if (x->dry_step >= 0)
        printf("\nStep %lld cannot be drawn: %s: raise epochs, add data or train for fewer "
               "steps.\n",
               (long long)x->dry_step,
               m->plan.spill == SPILL_STOP ? "a source has reached its epochs, and spill is "
                                             "\"stop\""
                                           : "every source of its phase has reached its epochs");
}

/* ---- for programs ---- */

static void put_phase(const struct mix *x, uint32_t p, struct json_writer *w)
{
    const struct mixture *m = &x->rows.mixture;
    const struct train_phase *phase = &m->plan.phase[p];
    json_open(w, '{');
    json_field_text(w, "phase", phase->name);
    json_field_i64(w, "steps", phase->steps);
    json_field_i64(w, "sequence", phase->sequence);
    json_field_num(w, "rope_theta", phase->rope_theta);
    json_field_open(w, "sources", '[');
    for (uint32_t s = 0; s < m->plan.source_count; s++) {
        if (!(phase->weight[s] > 0))
            continue;
        json_open(w, '{');
        json_field_text(w, "source", m->view[s].name);
        json_field_num(w, "share", x->drawn[s].share[p]);
        json_field_u64(w, "tokens", x->drawn[s].rows[p] * (uint64_t)phase->sequence);
        json_field_num(w, "epochs", x->drawn[s].epochs[p]);
        json_close(w, '}');
    }
    json_close(w, ']');
    json_close(w, '}');
}

static void put_sources(const struct mix *x, struct json_writer *w)
{
    const struct mixture *m = &x->rows.mixture;
    json_field_open(w, "sources", '[');
    for (uint32_t s = 0; s < m->plan.source_count; s++) {
        json_open(w, '{');
        json_field_text(w, "source", m->view[s].name);
        json_field_u64(w, "tokens", m->view[s].tokens);
        json_field_u64(w, "documents", m->view[s].documents);
        json_field_num(w, "epochs", sum_of(x->drawn[s].epochs));
        json_field_num(w, "epochs_max", m->plan.source[s].epochs_max);
        json_field_i64(w, "exhausted_at_step", x->drawn[s].full_step);
        json_close(w, '}');
    }
    json_close(w, ']');
}

static void put_stretches(struct mix *x, struct json_writer *w)
{
    const struct mixture *m = &x->rows.mixture;
    json_field_open(w, "stretches", '[');
    for (uint64_t i = 0; i < loader_stretches(x->rows.loader); i++) {
        loader_stretch(x->rows.loader, i, &x->stretch);
        json_open(w, '{');
        json_field_text(w, "phase", m->plan.phase[x->stretch.phase].name);
        json_field_i64(w, "from_step", step_of_row(m, x->stretch.first));
        json_field_u64(w, "rows", x->stretch.rows);
        json_field_open(w, "shares", '{');
        for (uint32_t s = 0; s < m->plan.source_count; s++)
            if (x->stretch.share[s] > 0)
                json_field_num(w, m->view[s].name, x->stretch.share[s]);
        json_close(w, '}');
        json_close(w, '}');
    }
    json_close(w, ']');
}

static int print_json(struct mix *x)
{
    const struct mixture *m = &x->rows.mixture;
    struct buf out = {0};
    struct json_writer w;
    json_begin(&w, &out);
    json_open(&w, '{');
    json_field_i64(&w, "steps", m->train.steps);
    json_field_i64(&w, "batch", m->train.batch);
    json_field_i64(&w, "sequence", m->train.sequence);
    json_field_text(&w, "packing", m->train.packing);
    json_field_text(&w, "spill", loader_spill_names[m->plan.spill]);
    json_field_i64(&w, "runs_dry_at_step", x->dry_step);
    json_field_open(&w, "phases", '[');
    for (uint32_t p = 0; p < m->plan.phase_count; p++)
        put_phase(x, p, &w);
    json_close(&w, ']');
    put_sources(x, &w);
    put_stretches(x, &w);
    json_close(&w, '}');
    int rc = out.failed ? err_set(ERR_LIMIT, "store mix: no memory") : 0;
    if (rc == 0)
        printf("%s\n", buf_cstr(&out));
    buf_free(&out);
    return rc;
}

int store_mix(const struct store_flags *flags, struct arena *a)
{
    struct mix *x = calloc(1, sizeof *x);
    if (!x)
        return err_set(ERR_LIMIT, "store mix: no memory");
    int rc = store_rows_open(&x->rows, flags->run, true, a);
    if (rc >= 0) {
        mix_draw(x);
        if (flags->json)
            rc = print_json(x);
        else
            print_text(x);
    }
    store_rows_close(&x->rows);
    free(x);
    return rc < 0 ? rc : 0;
}

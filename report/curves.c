/* curves - one pass over train.jsonl: full, the points are merged two by two. */
#include "report/curves.h"

#include "core/err.h"
#include "core/io.h"
#include "core/json.h"

#include <math.h>
#include <stdlib.h>

enum { LINES = 3, LINE_ARENA = 16 << 20 };
struct point {
    double first_step, step_sum;
    double sum[LINES];
    uint64_t rows, has[LINES];
};
struct merge {
    struct point point[2 * CURVE_POINTS];
    int count;
    uint64_t rows_each;
};

static void point_join(struct point *to, const struct point *from)
{
    to->step_sum += from->step_sum;
    to->rows += from->rows;
    for (int i = 0; i < LINES; i++) {
        to->sum[i] += from->sum[i];
        to->has[i] += from->has[i];
    }
}

static void merge_add(struct merge *m, const struct point *row)
{
    /* Steps written again after a restart: what a crash left behind is forgotten. */
    while (m->count && m->point[m->count - 1].first_step >= row->first_step)
        m->count--;
    if (m->count && m->point[m->count - 1].rows < m->rows_each) {
        point_join(&m->point[m->count - 1], row);
        return;
    }
    if (m->count == 2 * CURVE_POINTS) {
        for (int i = 0; i < CURVE_POINTS; i++) {
            m->point[i] = m->point[2 * i];
            point_join(&m->point[i], &m->point[2 * i + 1]);
        }
        m->count = CURVE_POINTS;
        m->rows_each *= 2;
    }
    m->point[m->count++] = *row;
}

static int domain_index(struct curves *out, struct str name)
{
    name = str_slice(name, 0, sizeof out->domain[0] - 1);
    for (int i = 0; i < out->domain_count; i++)
        if (str_is(name, out->domain[i]))
            return i;
    if (out->domain_count == CURVE_DOMAINS || name.len == 0)
        return -1;
    memcpy(out->domain[out->domain_count], name.ptr, name.len);
    for (int i = 0; i < CURVE_EVALS; i++)
        out->eval[out->domain_count][i] = NAN;
    return out->domain_count++;
}

static void take_eval(struct curves *out, double step, const struct json *eval)
{
    while (out->eval_count && out->eval_step[out->eval_count - 1] >= step)
        out->eval_count--;
    if (out->eval_count == CURVE_EVALS) { /* every other one is left out */
        out->eval_count /= 2;
        for (int i = 0; i < out->eval_count; i++) {
            out->eval_step[i] = out->eval_step[2 * i + 1];
            for (int d = 0; d < out->domain_count; d++)
                out->eval[d][i] = out->eval[d][2 * i + 1];
        }
    }
    int at = out->eval_count++;
    out->eval_step[at] = step;
    for (int d = 0; d < out->domain_count; d++)
        out->eval[d][at] = NAN;
    for (const struct json *v = eval->child; v; v = v->next) {
        int d = domain_index(out, v->key);
        if (d >= 0 && v->type == JSON_NUMBER)
            out->eval[d][at] = v->number;
    }
}

static bool is_anneal(const struct json *row)
{
    return json_num(row, "phase", 0) >= 1 || str_is(json_str(row, "phase", STR("")), "anneal");
}

static void take_row(struct merge *m, struct curves *out, const struct json *row)
{
    static const char *const key[LINES] = {"loss", "lr", "grad_norm"};
    double step = json_num(row, "step", NAN);
    const struct json *eval = json_get(row, "eval");
    if (isfinite(step) && eval && eval->type == JSON_OBJECT)
        take_eval(out, step, eval);
    if (!isfinite(step) || !json_get(row, "loss"))
        return;
    struct point p = {.first_step = step, .step_sum = step, .rows = 1};
    for (int i = 0; i < LINES; i++) {
        double value = json_num(row, key[i], NAN);
        if (isfinite(value)) {
            p.sum[i] = value;
            p.has[i] = 1;
        }
    }
    out->rows++;
    out->tokens += json_num(row, "tokens", 0);
    out->not_finite += p.has[0] == 0;
    if (isnan(out->anneal_step) && is_anneal(row))
        out->anneal_step = step;
    out->last_step = step;
    merge_add(m, &p);
}

/* At most CURVE_POINTS, so that the page stays small. */
static void take_points(struct merge *m, struct curves *out)
{
    int each = m->count > CURVE_POINTS ? 2 : 1;
    out->count = 0;
    out->last_loss = NAN;
    for (int i = 0; i < m->count; i += each) {
        struct point p = m->point[i];
        if (each == 2 && i + 1 < m->count)
            point_join(&p, &m->point[i + 1]);
        double *line[LINES] = {out->loss, out->lr, out->grad_norm};
        out->step[out->count] = p.step_sum / (double)p.rows;
        for (int k = 0; k < LINES; k++)
            line[k][out->count] = p.has[k] ? p.sum[k] / (double)p.has[k] : NAN;
        if (isfinite(out->loss[out->count]))
            out->last_loss = out->loss[out->count];
        out->count++;
    }
}

static int read_rows(struct io_reader *in, struct arena *a, struct merge *m, struct curves *out)
{
    struct str line;
    int rc;
    while ((rc = io_read_line(in, &line)) > 0) {
        struct json *row;
        arena_reset(a, 0);
        /* A run that was cut off may leave half a line; the next start goes on behind it. */
        if (json_parse(a, line, &row) < 0)
            err_clear();
        else
            take_row(m, out, row);
    }
    return rc;
}

int curves_read(const char *run_dir, struct curves *out)
{
    char path[IO_PATH_MAX];
    struct io_reader *in = NULL;
    struct arena a = {0};
    struct merge *m = NULL;
    int rc;
    *out = (struct curves){.anneal_step = NAN, .last_loss = NAN};
    TRY(io_path(path, "%s/train/train.jsonl", run_dir));
    if (!io_exists(path))
        return 0;
    m = calloc(1, sizeof *m);
    if (!m)
        return err_set(ERR_LIMIT, "report: no memory");
    m->rows_each = 1;
    TRY_OUT(arena_open(&a, LINE_ARENA));
    TRY_OUT(io_open(&in, path));
    TRY_OUT(read_rows(in, &a, m, out));
    take_points(m, out);
    rc = out->count > 0;
out:
    if (in)
        io_close(in);
    arena_close(&a);
    free(m);
    return rc;
}

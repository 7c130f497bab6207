/* test_train - schedules, one step against AdamW written out, skipped steps, accumulation. */
#include "tests/train_run.h"

#include <math.h>

static struct train_conf conf_of(const char *schedule)
{
    struct arena a;
    struct train_conf c;
    CHECK_OK(arena_open(&a, 1 << 20));
    CHECK_OK(opt_defaults(train_opts, &c, &a));
    c.schedule = schedule;
    c.steps = 100;
    c.warmup_steps = 10;
    c.anneal_steps = 25;
    c.lr = 2;
    c.lr_end = 0.5;
    return c;
}

TEST(train_schedule_values)
{
    /* By hand from the formulas: warm-up (s + 1) / 10; wsd falls over steps 75..99 by 1 - sqrt(gone
     * / 25) or 1 - gone / 25 from 1 to 0.25; cosine and linear over steps 10..99, gone / 90. */
    static const struct { const char *schedule, *decay; int64_t step; double want;
    } cases[] = {
        {"wsd", "sqrt", 0, 0.1},
        {"wsd", "sqrt", 8, 0.9},
        {"wsd", "sqrt", 9, 1},
        {"wsd", "sqrt", 10, 1},
        {"wsd", "sqrt", 74, 1},
        {"wsd", "sqrt", 75, 1},
        {"wsd", "sqrt", 76, 0.25 + 0.75 * 0.8},
        {"wsd", "sqrt", 79, 0.25 + 0.75 * 0.6},
        {"wsd", "sqrt", 84, 0.25 + 0.75 * 0.4},
        {"wsd", "sqrt", 91, 0.25 + 0.75 * 0.2},
        {"wsd", "linear", 75, 1},
        {"wsd", "linear", 80, 0.25 + 0.75 * 0.8},
        {"wsd", "linear", 95, 0.25 + 0.75 * 0.2},
        {"cosine", "sqrt", 4, 0.5},
        {"cosine", "sqrt", 10, 1},
        {"cosine", "sqrt", 55, 0.625},
        {"cosine", "sqrt", 40, 0.25 + 0.75 * 0.75},
        {"linear", "sqrt", 10, 1},
        {"linear", "sqrt", 55, 0.625},
        {"linear", "sqrt", 28, 0.25 + 0.75 * 0.8},
        {"constant", "sqrt", 3, 0.4},
        {"constant", "sqrt", 50, 1},
        {"constant", "sqrt", 99, 1},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct train_conf c = conf_of(cases[i].schedule);
        c.decay = cases[i].decay;
        const struct schedule *s = schedule_find(cases[i].schedule);
        CHECK(s);
        CHECK_NUM(s->lr_frac(cases[i].step, &c), cases[i].want, 1e-12);
    }
    CHECK(!schedule_find("wavy"));
    CHECK(!schedule_find(NULL));
}

TEST(train_schedule_edges)
{
    for (const struct schedule *s = schedules; s->name; s++) {
        struct train_conf c = conf_of(s->name);
        c.warmup_steps = 0;
        c.anneal_steps = 0;
        CHECK_NUM(s->lr_frac(0, &c), 1, 1e-12);             /* no division by zero, no jump */
        c.warmup_steps = c.steps;
        CHECK_NUM(s->lr_frac(99, &c), 1, 1e-12);
        c.warmup_steps = 0;
        c.anneal_steps = c.steps;
        for (int64_t step = 1; step < c.steps; step++) {
            double now = s->lr_frac(step, &c), was = s->lr_frac(step - 1, &c);
            CHECK(now <= was && now >= 0.25);
        }
    }
    struct train_conf c = conf_of("wsd");
    CHECK(!train_is_anneal(&c, 74));
    CHECK(train_is_anneal(&c, 75));
}

TEST(train_conf_check_names_what_is_wrong)
{
    struct model_conf model = {.context = 64};
    struct { const char *what; struct train_conf conf; } bad[8];
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        bad[i].conf = conf_of("wsd");
    bad[0].conf.steps = 0, bad[0].what = "steps";
    bad[1].conf.micro_batch = 5, bad[1].what = "micro_batch";
    bad[2].conf.sequence = 65, bad[2].what = "context";
    bad[3].conf.warmup_steps = 80, bad[3].what = "warmup_steps";
    bad[4].conf.lr_end = 3, bad[4].what = "lr_end";
    bad[5].conf.lr = NAN, bad[5].what = "lr";
    bad[6].conf.schedule = "wavy", bad[6].what = "wavy";
    bad[7].conf.batch = -1, bad[7].what = "batch";
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        CHECK_ERR(train_conf_check(&bad[i].conf, &model), ERR_USAGE);
        CHECK(strstr(err_text(), bad[i].what));
    }
    struct train_conf good = conf_of("wsd");
    CHECK_OK(train_conf_check(&good, &model));
    CHECK_INT(good.sequence, 64);
}

/* ---- single steps on batches made here ---- */

static uint64_t batch_state;
static int poison_at = -1, fills;

static int fill_counting(struct trainer *tr, struct train_batch *b)
{
    uint64_t T = (uint64_t)tr->sequence;
    for (uint64_t row = 0; row < b->rows; row++) {
        int32_t at = (int32_t)(test_random(&batch_state) % RUN_EOT);
        for (uint64_t i = 0; i < T; i++) {
            b->inputs[row * T + i] = at;
            at = (at + 1) % RUN_EOT;
            b->targets[row * T + i] = row == 0 && i < 5 ? -1 : at;   /* rows of different weight */
            b->doc_start[row * T + i] = 0;
        }
        b->domain[row] = (uint32_t)(row % 2);
    }
    fills++;
    return 0;
}

/* The pretraining loss, with a NaN put into the first gradient at one step. */
static struct tensor *loss_poisoned(struct trainer *tr, struct tape *t, const struct train_batch *b)
{
    struct tensor *loss = objective_pretrain.loss(tr, t, b);
    if (fills - 1 == poison_at)
        ((float *)tr->model.param[0].w.grad->data)[3] = NAN;
    return loss;
}

static const struct objective objective_counting = {
    .name = "counting", .help = "", .fill = fill_counting, .loss = loss_poisoned};

static void open_counting(struct trainer *tr, int64_t micro_batch, struct arena *a)
{
    struct train_run run;
    CHECK_OK(arena_open(a, 1 << 20));
    run = small_run(a, test_dir());
    run.model.vocab = RUN_VOCAB;
    run.train.micro_batch = micro_batch;
    batch_state = 1;
    fills = 0;
    CHECK_OK(trainer_open(tr, &run.train, NULL, &run.model, 2));
    tr->objective = &objective_counting;
}

/* Every number of the model: weights, then first and second moments. */
static size_t snapshot(const struct trainer *tr, float **out)
{
    size_t total = (size_t)model_parameters(&tr->model), at = 0;
    *out = malloc(3 * total * sizeof **out);
    for (int part = 0; part < 3; part++)
        for (int i = 0; i < tr->model.param_count; i++) {
            const struct param *p = &tr->model.param[i];
            size_t count = (size_t)tensor_count(&p->w);
            memcpy(*out + at, part == 0 ? p->master : part == 1 ? p->m : p->v, count * 4);
            at += count;
        }
    return 3 * total;
}

TEST(train_step_is_clipped_adamw)
{
    struct trainer tr;
    struct arena a;
    struct step_report report;
    open_counting(&tr, 4, &a);
    tr.conf.clip = 0.5;
    tr.conf.weight_decay = 0.3;
    tr.conf.lr = 0.01;
    for (int step = 1; step <= 3; step++) {
        float *before, *after;
        size_t total = snapshot(&tr, &before) / 3, at = 0;
        CHECK_OK(trainer_step(&tr, &report));
        snapshot(&tr, &after);
        double norm = 0;
        for (size_t i = 0; i < tr.model.grad_bytes / 4; i++)    /* padding is zero */
            norm += pow((double)((float *)tr.model.grad_data)[i], 2);
        CHECK_NUM(report.grad_norm, sqrt(norm), 1e-5 * sqrt(norm));
        CHECK(report.grad_norm > 0.5);
        CHECK_NUM(report.lr, 0.01 * (step < 3 ? step / 3.0 : 1), 1e-12);
        double scale = 0.5 / sqrt(norm);
        for (int p = 0; p < tr.model.param_count; p++) {
            const struct param *param = &tr.model.param[p];
            bool matrix = param->w.rank == 2;
            CHECK_INT(param->decay, matrix);
            for (int64_t k = 0; k < tensor_count(&param->w); k++, at++) {
                double g = (double)((float *)param->w.grad->data)[k] * scale;
                double m = 0.9 * (double)before[total + at] + 0.1 * g;
                double v = 0.95 * (double)before[2 * total + at] + 0.05 * g * g;
                double move = m / (1 - pow(0.9, step)) / (sqrt(v / (1 - pow(0.95, step))) + 1e-8);
                double want = (double)before[at] -
                              report.lr * (move + (matrix ? 0.3 : 0) * (double)before[at]);
                CHECK_NUM(after[at], want, 1e-5 * (0.01 + fabs(want)));
            }
        }
        free(before);
        free(after);
    }
    trainer_close(&tr);
}

TEST(train_step_skips_nan_and_goes_on)
{
    struct trainer tr;
    struct arena a;
    struct step_report report;
    float *before, *after;
    open_counting(&tr, 4, &a);
    poison_at = 1;
    CHECK_OK(trainer_step(&tr, &report));
    CHECK(!report.skipped);
    size_t count = snapshot(&tr, &before);
    CHECK_OK(trainer_step(&tr, &report));
    CHECK(report.skipped);
    CHECK_INT(tr.state.step, 2);
    CHECK_INT(tr.state.updates, 1);
    CHECK_INT(tr.state.skipped, 1);
    snapshot(&tr, &after);
    CHECK(memcmp(before, after, count * sizeof *before) == 0);   /* bit for bit as it was */
    CHECK_OK(trainer_step(&tr, &report));
    CHECK(!report.skipped && isfinite(report.loss));
    CHECK_INT(tr.state.skipped_row, 0);
    CHECK_INT(tr.state.updates, 2);
    free(before);
    free(after);
    trainer_close(&tr);
}

TEST(train_step_gives_up_after_ten_nans)
{
    struct trainer tr;
    struct arena a;
    struct step_report report;
    float poison = NAN;
    open_counting(&tr, 4, &a);
    CHECK_OK(dev_upload(tr.stream, tr.model.param[0].w.data, &poison, sizeof poison));
    tr.conf.steps = 100;
    for (int i = 0; i < 9; i++)
        CHECK_OK(trainer_step(&tr, &report));
    CHECK_ERR(trainer_step(&tr, &report), ERR_FORMAT);
    CHECK(strstr(err_text(), "in a row"));
    trainer_close(&tr);
}

/* Micro batches weigh by their targets, so any cut of the batch is the same mean but for rounding.
 */
TEST(train_step_accumulates)
{
    struct trainer whole;
    struct arena a;
    struct step_report want, got;
    open_counting(&whole, 8, &a);
    CHECK_OK(trainer_step(&whole, &want));
    CHECK_INT(want.tokens, 8 * 32 - 5);
    CHECK_INT(want.domain_tokens[0], 4 * 32 - 5);
    CHECK_INT(want.domain_tokens[1], 4 * 32);
    CHECK_NUM(want.loss,
              (want.domain_loss[0] * (4 * 32 - 5) + want.domain_loss[1] * 4 * 32) / (8 * 32 - 5),
              1e-12);
    for (int64_t micro = 1; micro <= 4; micro *= 2) {
        struct trainer tr;
        struct arena b;
        open_counting(&tr, micro, &b);
        CHECK_OK(trainer_step(&tr, &got));
        CHECK_NUM(got.loss, want.loss, 1e-6);
        CHECK_NUM(got.grad_norm, want.grad_norm, 1e-5 * want.grad_norm);
        for (size_t i = 0; i < tr.model.grad_bytes / 4; i++)
            CHECK_NUM(((float *)tr.model.grad_data)[i], ((float *)whole.model.grad_data)[i], 1e-6);
        trainer_close(&tr);
    }
    trainer_close(&whole);
}

TEST(train_open_refuses_over_memory)
{
    struct trainer tr;
    struct arena a;
    CHECK_OK(arena_open(&a, 1 << 20));
    struct train_run run = small_run(&a, test_dir());
    run.model.vocab = RUN_VOCAB;
    run.train.memory = 1 << 20;
    CHECK_ERR(trainer_open(&tr, &run.train, NULL, &run.model, 1), ERR_LIMIT);
    CHECK(strstr(err_text(), "memory is 1.0 MiB"));
    run.train.memory = 64 << 20;
    CHECK_OK(trainer_open(&tr, &run.train, NULL, &run.model, 1));
    trainer_close(&tr);
    run.train.objective = "magic";
    CHECK_ERR(trainer_open(&tr, &run.train, NULL, &run.model, 1), ERR_USAGE);
}

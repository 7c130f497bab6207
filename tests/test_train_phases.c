/* test_train_phases - steps against a walk over the phases; runs of many phases, resumed, changed
 * ahead and changed behind. */
#include "tests/train_run.h"

#include "core/json.h"

TEST(train_place_is_what_a_walk_finds)
{
    struct train_conf c = {.steps = 30, .batch = 8, .sequence = 32, .packing = "concat"};
    struct model_conf model = {.arch = "llama", .context = 128, .rope_theta = 10000};
    struct train_plan plan = {
        .phase_count = 4,
        .phase = {{.name = "a", .steps = 7},
                  {.name = "b", .steps = 1, .sequence = 128, .rope_theta = 5e5},
                  {.name = "c", .steps = 20, .sequence = 16},
                  {.name = "d", .steps = 2}},
    };
    uint64_t row = 0;
    int64_t step = 0;
    CHECK_OK(train_plan_check(&plan, &c, &model));
    CHECK_NUM(plan.phase[0].rope_theta, 10000, 0);
    CHECK_NUM(plan.phase[3].rope_theta, 5e5, 0); /* as the phase before */
    static const uint32_t rows[] = {8, 2, 16, 8}, sequence[] = {32, 128, 16, 32};
    for (uint32_t p = 0; p < 4; p++) {
        int64_t first = step;
        for (int64_t i = 0; i < plan.phase[p].steps; i++, step++, row += rows[p]) {
            struct train_place at = train_place(&plan, &c, step);
            CHECK(at.phase == p && at.phase_step == first && at.row == row);
            CHECK(at.rows == rows[p] && at.sequence == sequence[p]);
        }
    }
    CHECK_INT(train_place(&plan, &c, 30).row, row); /* behind the last */
    struct loader_conf *conf = calloc(1, sizeof *conf);
    uint64_t sum = 0;
    train_plan_rows(&plan, &c, conf);
    for (uint32_t p = 0; p < conf->phase_count; p++) {
        CHECK_INT(conf->phase[p].sequence, sequence[p]);
        sum += conf->phase[p].rows;
    }
    CHECK_INT(sum, row);
    free(conf);
}

TEST(train_plan_check_names_what_is_wrong)
{
    const struct train_conf c = {.steps = 30, .batch = 8, .sequence = 32, .packing = "concat"};
    const struct model_conf llama = {.arch = "llama", .context = 128, .rope_theta = 10000};
    const struct model_conf gpt2 = {.arch = "gpt2", .context = 128, .rope_theta = 10000};
    const struct train_plan good = {
        .phase_count = 2, .phase = {{.name = "one", .steps = 10}, {.name = "two", .steps = 20}}};
    struct train_plan p = good;
    CHECK_OK(train_plan_check(&p, &c, &llama));
    p = good;
    p.phase_count = 0;
    CHECK_ERR(train_plan_check(&p, &c, &llama), ERR_USAGE);
    p = good;
    p.phase[1].steps = 19;
    CHECK_ERR(train_plan_check(&p, &c, &llama), ERR_USAGE);
    CHECK(strstr(err_text(), "29 steps") && strstr(err_text(), "30"));
    p.phase[1].steps = 21;
    CHECK_ERR(train_plan_check(&p, &c, &llama), ERR_USAGE);
    CHECK(strstr(err_text(), "two"));
    p.phase[1].steps = 0;
    CHECK_ERR(train_plan_check(&p, &c, &llama), ERR_USAGE);
    p = good;
    p.phase[1].sequence = 256;
    CHECK_ERR(train_plan_check(&p, &c, &llama), ERR_USAGE);
    CHECK(strstr(err_text(), "context"));
    p = good;
    p.phase[1].sequence = 48; /* 256 tokens are no whole number of these */
    CHECK_ERR(train_plan_check(&p, &c, &llama), ERR_USAGE);
    CHECK(strstr(err_text(), "256 tokens"));
    p = good;
    p.phase[1].rope_theta = 5e5;
    CHECK_ERR(train_plan_check(&p, &c, &gpt2), ERR_USAGE);
    CHECK(strstr(err_text(), "rotary"));
    p = good;
    p.phase[0].rope_theta = .5;
    CHECK_ERR(train_plan_check(&p, &c, &llama), ERR_USAGE);
}

/* Four phases in 20 steps: another mixture at step 6, longer rows with another theta at 11, shorter
 * ones at 16. */
static struct train_run phased_run(struct arena *a, const char *dir)
{
    struct train_run run = small_run(a, dir);
    run.model.context = 64;
    run.train.sequence = 32;
    run.plan.phase_count = 4;
    run.plan.phase[0] = (struct train_phase){.name = "first", .steps = 6, .weight = {3, 1}};
    run.plan.phase[1] = (struct train_phase){.name = "second", .steps = 5, .weight = {1, 1}};
    run.plan.phase[2] = (struct train_phase){
        .name = "long", .steps = 5, .sequence = 64, .rope_theta = 5e4, .weight = {0, 1}};
    run.plan.phase[3] =
        (struct train_phase){.name = "short", .steps = 4, .sequence = 16, .weight = {1, 0}};
    return run;
}

TEST(train_phases_change_mixture_length_and_theta)
{
    struct arena a;
    CHECK_OK(arena_open(&a, 1 << 22));
    const char *dir = dir_of("phased");
    struct train_run run = phased_run(&a, dir);
    char *text;
    size_t bytes;
    struct json *row;
    CHECK_OK(train(&run));
    CHECK_OK(io_read_file(dir_of("phased/train.jsonl"), 1 << 20, &text, &bytes));
    struct str rest = {text, bytes};
    int step = 0, begun = 0;
    while (rest.len) {
        static const int first[] = {0, 6, 11, 16}, sequence[] = {32, 32, 64, 16};
        static const char *const name[] = {"first", "second", "long", "short"};
        CHECK_OK(json_parse(&a, str_cut(rest, '\n', &rest), &row));
        if (json_get(row, "mixture")) {
            CHECK_NUM(json_num(row, "step", -1), first[begun], 0);
            CHECK_NUM(json_num(row, "sequence", -1), sequence[begun], 0);
            CHECK_NUM(json_num(row, "rows", -1), 8 * 32 / sequence[begun], 0);
            CHECK_NUM(json_num(row, "rope_theta", -1), begun > 1 ? 5e4 : 1e4, 0);
            CHECK_INT(json_str(row, "store", STR("")).len, 32);
            begun++;
            continue;
        }
        CHECK_NUM(json_num(row, "step", -1), ++step, 0);
        CHECK_STR(json_str(row, "phase", STR("")), name[begun - 1]);
        const struct json *domains = json_get(row, "domains");
        CHECK((json_get(domains, "web") != NULL) == (begun != 3));
        CHECK((json_get(domains, "gold") != NULL) == (begun != 4));
    }
    CHECK(step == 20 && begun == 4);
    free(text);
    struct stream *s;
    struct model m;
    CHECK_OK(device_open(&s, DEV_CPU, 1));
    CHECK_OK(model_load(&m, dir_of("phased/model"), s, false));
    CHECK_NUM(m.conf.rope_theta, 5e4, 0); /* the model says what it was trained with last */
    model_close(&m);
    device_close(s);
    arena_close(&a);
}

/* From checkpoints within a phase and where two meet. */
TEST(train_phases_resume_to_the_same_bytes)
{
    struct arena a;
    CHECK_OK(arena_open(&a, 1 << 22));
    char whole[IO_PATH_MAX], pieces[IO_PATH_MAX];
    CHECK_OK(io_path(whole, "%s", dir_of("whole")));
    CHECK_OK(io_path(pieces, "%s", dir_of("pieces")));
    struct train_run run = phased_run(&a, whole);
    CHECK_OK(train(&run));
    run.out_dir = pieces;
    run.train.checkpoint_steps = 1;
    run.train.keep = 30;
    CHECK_OK(train(&run));
    check_same_run(whole, pieces);
    static const int stops[] = {6, 13};
    for (size_t i = COUNT_OF(stops); i-- > 0;) {
        char path[64];
        for (int step = stops[i] + 1; step <= 20; step++) {
            snprintf(path, sizeof path, "pieces/checkpoints/step-%06d", step);
            CHECK_OK(io_remove_tree(dir_of(path)));
        }
        CHECK_OK(train(&run));
        check_same_run(whole, pieces);
    }
    arena_close(&a);
}

TEST(train_phases_ahead_may_change_those_behind_not)
{
    struct arena a;
    CHECK_OK(arena_open(&a, 1 << 22));
    struct train_run run = phased_run(&a, dir_of("changed"));
    CHECK_OK(train(&run));
    CHECK_OK(io_remove_tree(dir_of("changed/checkpoints/step-000020")));
    /* At step 15: other weights, a phase more, other lengths ahead. */
    struct train_run ahead = run;
    ahead.plan.phase[3].steps = 2;
    ahead.plan.phase[3].weight[1] = 1;
    ahead.plan.phase[4] = (struct train_phase){.name = "new", .steps = 2, .weight = {1, 5}};
    ahead.plan.phase_count = 5;
    CHECK_OK(train(&ahead));
    CHECK_INT(count_lines(run.out_dir, "train.jsonl"), 20 + 5);
    CHECK_OK(io_remove_tree(dir_of("changed/checkpoints/step-000020")));
    struct train_run behind = run;
    behind.plan.phase[1].weight[0] = 2;
    CHECK_ERR(train(&behind), ERR_USAGE);
    CHECK(strstr(err_text(), "second") && strstr(err_text(), "step 15"));
    behind = run;
    behind.plan.phase[0].steps--;
    behind.plan.phase[1].steps++;
    CHECK_ERR(train(&behind), ERR_USAGE);
    behind = run;
    behind.train.seed++;
    CHECK_ERR(train(&behind), ERR_USAGE);
    CHECK(strstr(err_text(), "seed"));
    behind = run;
    behind.train.packing = "best_fit";
    CHECK_ERR(train(&behind), ERR_USAGE);
    CHECK(strstr(err_text(), "packing"));
    CHECK_OK(train(&run));
    arena_close(&a);
}

/* The same run with documents packed whole. */
TEST(train_phases_pack_by_best_fit)
{
    struct arena a;
    CHECK_OK(arena_open(&a, 1 << 22));
    struct train_run run = phased_run(&a, dir_of("packed"));
    run.train.packing = "best_fit";
    CHECK_OK(train(&run));
    run.out_dir = dir_of("again");
    run.threads = 1;
    CHECK_OK(train(&run));
    check_same_run(dir_of("packed"), dir_of("again"));
    arena_close(&a);
}

/* test_train_resume - stopped, killed or damaged: what a run leaves is what an undisturbed one
 * leaves. */
#include "tests/train_run.h"

#include "core/json.h"
#include "core/pipe.h"

#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

static struct arena arena_new(void)
{
    struct arena a;
    CHECK_OK(arena_open(&a, 1 << 20));
    return a;
}

/* The undisturbed run that the others are compared with. */
static const char *reference(struct arena *a)
{
    const char *dir = dir_of("reference");
    struct train_run run = small_run(a, dir);
    CHECK_OK(train(&run));
    return dir;
}

TEST(train_run_learns_and_leaves_what_it_should)
{
    struct arena a = arena_new();
    const char *dir = reference(&a);
    char path[IO_PATH_MAX], *text;
    size_t bytes;
    struct json *row;
    CHECK_INT(count_lines(dir, "train.jsonl"), 20 + 2); /* and where each phase begins */
    CHECK(count_lines(dir, "speed.jsonl") >= 1);
    CHECK_OK(io_path(path, "%s/train.jsonl", dir));
    CHECK_OK(io_read_file(path, 1 << 20, &text, &bytes));
    struct str rest = {text, bytes};
    double first = 0, loss = 0;
    bool begun = false;
    for (int step = 1; step <= 20; step++) {
        struct str line = str_cut(rest, '\n', &rest);
        CHECK_OK(json_parse(&a, line, &row));
        const struct json *shares = json_get(row, "mixture");
        CHECK((shares != NULL) == (!begun && (step == 1 || step == 15)));
        if (shares) {
            begun = true;
            CHECK_NUM(json_num(row, "step", -1), --step, 0); /* the last before it */
            CHECK_STR(json_str(row, "phase", STR("")), step ? "anneal" : "stable");
            CHECK_NUM(json_num(row, "sequence", 0), 32, 0);
            CHECK_NUM(json_num(shares, "gold", 0), step ? 1 : .25, 1e-12);
            CHECK_NUM(json_num(shares, "web", 0), step ? 0 : .75, 1e-12);
            continue;
        }
        begun = false;
        CHECK_NUM(json_num(row, "step", -1), step, 0);
        CHECK_STR(json_str(row, "phase", STR("")), step > 14 ? "anneal" : "stable");
        CHECK_NUM(json_num(row, "lr", -1),
                  step <= 3    ? 1e-2 * step / 3
                  : step <= 14 ? 1e-2
                               : 1e-2 * (1 - sqrt((step - 15) / 6.0)),
                  1e-12);
        const struct json *domains = json_get(row, "domains"), *web = json_get(domains, "web");
        CHECK((web == NULL) == (step > 14));                /* the anneal mixture is gold alone */
        double gold = json_num(json_get(domains, "gold"), "tokens", 0);
        CHECK(gold >= (step > 14 ? 8 * 32 - 31 : 1));
        loss = json_num(row, "loss", NAN);
        first = step == 1 ? loss : first;
    }
    CHECK_NUM(first, log(64), 0.3);                         /* 40 tokens, rounded up to 64 rows */
    CHECK(loss < first - 1);
    CHECK_OK(io_path(path, "%s/eval.json", dir));
    free(text);
    CHECK_OK(io_read_file(path, 1 << 20, &text, &bytes));
    CHECK_OK(json_parse(&a, (struct str){text, bytes}, &row));
    CHECK(json_num(row, "loss_after", 9) < json_num(row, "loss_before", 0));
    free(text);
    CHECK(io_exists(dir_of("reference/checkpoints/step-000015/manifest.json")));
    CHECK(!io_exists(dir_of("reference/checkpoints/step-000010")));   /* keep is 2 */
    struct stream *s;
    struct model m;
    CHECK_OK(device_open(&s, DEV_CPU, 1));
    CHECK_OK(model_load(&m, dir_of("reference/model"), s, false));
    CHECK_INT(m.eot, RUN_EOT);
    model_close(&m);
    device_close(s);
}

TEST(train_run_is_the_same_for_any_threads)
{
    struct arena a = arena_new();
    const char *want = reference(&a);
    for (int threads = 1; threads <= 3; threads += 2) {
        const char *dir = dir_of(threads == 1 ? "one" : "three");
        struct train_run run = small_run(&a, dir);
        run.threads = threads;
        CHECK_OK(train(&run));
        check_same_run(want, dir);
    }
}

/* kill -9 at ever later rows of the log, some inside a checkpoint's writing, then the same call
 * again. */
TEST(train_run_bears_kills)
{
    struct arena a = arena_new();
    const char *want = reference(&a), *dir = dir_of("killed");
    struct train_run run = small_run(&a, dir);
    int killed = 0;
    for (int lines = 2; lines <= 18; lines += 4) {
        pid_t pid = fork();
        if (pid == 0) {
            int rc = train(&run);
            _exit(rc < 0 ? 1 : 0);
        }
        int status;
        while (count_lines(dir, "train.jsonl") < lines && waitpid(pid, &status, WNOHANG) == 0)
            usleep(200);
        kill(pid, SIGKILL);
        waitpid(pid, &status, 0);
        killed += WIFSIGNALED(status);
    }
    CHECK(killed >= 2);
    CHECK_OK(train(&run));
    check_same_run(want, dir);
    CHECK_OK(train(&run)); /* a finished run finishes again, with nothing changed */
    check_same_run(want, dir);
}

static void *stop_soon(void *arg)
{
    while (count_lines(arg, "train.jsonl") < 7)
        usleep(200);
    pipe_stop = 1;
    return NULL;
}

TEST(train_run_stops_when_asked)
{
    struct arena a = arena_new();
    const char *want = reference(&a), *dir = dir_of("stopped");
    struct train_run run = small_run(&a, dir);
    pthread_t thread;
    pipe_stop = 1;
    CHECK_ERR(train(&run), ERR_STOP);                       /* before the first step */
    pipe_stop = 0;
    CHECK_INT(count_lines(dir, "train.jsonl"), 0);
    CHECK_INT(pthread_create(&thread, NULL, stop_soon, (void *)(uintptr_t)dir), 0);
    int rc = train(&run);
    pthread_join(thread, NULL);
    pipe_stop = 0;
    CHECK(rc == ERR_STOP || rc == 0);
    CHECK_OK(train(&run));
    check_same_run(want, dir);
}

static void damage(const char *path, long at)
{
    FILE *file = fopen(path, "r+b");
    CHECK(file);
    CHECK(fseek(file, at, at < 0 ? SEEK_END : SEEK_SET) == 0);
    int byte = fgetc(file);
    CHECK(byte != EOF && fseek(file, -1, SEEK_CUR) == 0);
    CHECK(fputc(byte ^ 1, file) != EOF && fclose(file) == 0);
}

TEST(train_run_falls_back_from_damage)
{
    struct arena a = arena_new();
    const char *want = reference(&a), *dir = dir_of("damaged");
    struct train_run run = small_run(&a, dir);
    run.train.keep = 9;
    CHECK_OK(train(&run));
    damage(dir_of("damaged/checkpoints/step-000020/weights.safetensors"), -5);
    CHECK(unlink(dir_of("damaged/checkpoints/step-000015/v.safetensors")) == 0);
    CHECK(truncate(dir_of("damaged/checkpoints/step-000010/m.safetensors"), 1000) == 0);
    CHECK_OK(train(&run));                                  /* from step 5 */
    check_same_run(want, dir);
    for (int step = 5; step <= 20; step += 5) {
        char path[64];
        snprintf(path, sizeof path, "damaged/checkpoints/step-%06d/%s", step,
                 step % 10 ? "state.json" : "manifest.json");
        damage(dir_of(path), 20);
    }
    CHECK_OK(train(&run));                                  /* from the start */
    check_same_run(want, dir);
}

TEST(train_run_sweeps_what_the_dead_left)
{
    struct arena a = arena_new();
    struct train_run run = small_run(&a, dir_of("swept"));
    CHECK_OK(io_mkdirs(dir_of("swept/checkpoints/step-000003.tmp-4194304/x")));
    CHECK_OK(io_mkdirs(dir_of("swept/checkpoints/step-000099"))); /* an empty folder is no
                                                                     checkpoint */
    CHECK_OK(train(&run));
    CHECK(!io_exists(dir_of("swept/checkpoints/step-000003.tmp-4194304")));
    CHECK_INT(count_lines(dir_of("swept"), "train.jsonl"), 20 + 2);
}

TEST(train_run_refuses_another_recipe)
{
    struct arena a = arena_new();
    struct train_run run = small_run(&a, dir_of("other"));
    run.train.steps = 10;
    run.plan.phase[0].steps = 4;
    CHECK_OK(train(&run));
    run.recipe_hash = "ffffffffffffffffffffffffffffffff";
    CHECK_ERR(train(&run), ERR_USAGE);
    CHECK(strstr(err_text(), "recipe"));
    run.recipe_hash = "0123456789abcdef0123456789abcdef";
    run.model.width = 64; /* a caller that forgot to hash its recipe */
    CHECK_ERR(train(&run), ERR_USAGE);
    CHECK(strstr(err_text(), "another model"));
}

TEST(train_run_keeps_a_lost_log_from_stopping_it)
{
    struct arena a = arena_new();
    const char *dir = dir_of("lost");
    struct train_run run = small_run(&a, dir);
    run.train.steps = 20;
    CHECK_OK(train(&run));
    CHECK_OK(io_remove_tree(dir_of("lost/checkpoints/step-000020")));
    damage(dir_of("lost/train.jsonl"), 30);                 /* no longer what the checkpoint saw */
    CHECK_OK(train(&run));
    CHECK_INT(count_lines(dir, "train.jsonl"), 5);          /* steps 16 to 20 */
}

TEST(train_run_refuses_a_dry_mixture_before_it_starts)
{
    struct arena a = arena_new();
    const char *dir = dir_of("dry");
    struct train_run run = small_run(&a, dir);
    run.plan.source[1].epochs_max = 0.1;
    CHECK_ERR(train(&run), ERR_LIMIT);
    CHECK(strstr(err_text(), "anneal"));
    CHECK_INT(count_lines(dir, "train.jsonl"), 0);
    run = small_run(&a, dir);
    run.plan.phase[0].weight[0] = -1;
    CHECK_ERR(train(&run), ERR_USAGE);
    run = small_run(&a, dir);
    run.model.vocab = 39;
    CHECK_ERR(train(&run), ERR_USAGE);
}

/* test_command_rundir - a run's folder and its recipe: the same one by meaning, another one, a
 * mixture that waits until it is taken, folders of other versions of the program. */
#include "command/run.h"
#include "core/log.h"
#include "tests/test.h"

#include <stdlib.h>

static const char recipe_text[] =
    "[source]\npath = \"%s/page.jsonl\"\n[[stage]]\nuse = \"extract\"\n[[domain]]\nname = \"a\"\n"
    "[tokenizer]\nweights = \"text\"\n[model]\ncontext = 64\n[train]\nsteps = %d\n"
    "anneal_steps = 5\nwarmup_steps = 1\n[mixture.stable]\nweb = %d\n%s";

struct opened {
    struct recipe recipe;
    struct run run;
};

static void opened_close(struct opened *o)
{
    run_close(&o->run);
    recipe_close(&o->recipe);
    free(o);
}

/* Runs the recipe in the folder, as `sluice run` begins; *rc tells what became of it. */
static struct opened *begin(const char *dir, int steps, int web, const char *more, int *rc)
{
    char text[4096], page[IO_PATH_MAX], run[IO_PATH_MAX];
    struct opened *o = calloc(1, sizeof *o);
    CHECK(o);
    snprintf(page, sizeof page, "%s/page.jsonl", dir);
    CHECK_OK(io_write_file(page, STR("{\"text\":\"a\"}\n")));
    snprintf(run, sizeof run, "%s/run", dir);
    snprintf(text, sizeof text, recipe_text, dir, steps, web, more);
    CHECK_OK(recipe_load_text(&o->recipe, "test.toml", str_of(text), NULL, 0));
    *rc = run_create(&o->run, &o->recipe, run, "sluice run test.toml");
    return o;
}

static char *read_text(const char *dir, const char *name)
{
    char path[IO_PATH_MAX], *text;
    size_t len;
    snprintf(path, sizeof path, "%s/run/%s", dir, name);
    CHECK_OK(io_read_file(path, 1 << 20, &text, &len));
    return text;
}

/* What an older or newer program would have written: every `from` of RUN/name becomes `to`. */
static void rewrite(const char *dir, const char *name, const char *from, const char *to)
{
    char path[IO_PATH_MAX], *text = read_text(dir, name);
    struct buf out = {0};
    int found = 0;
    for (const char *at = text; *at;) {
        if (strncmp(at, from, strlen(from)) == 0) {
            buf_text(&out, to);
            at += strlen(from);
            found++;
        } else {
            buf_char(&out, *at++);
        }
    }
    CHECK(found > 0);
    snprintf(path, sizeof path, "%s/run/%s", dir, name);
    CHECK_OK(io_write_file(path, buf_view(&out)));
    buf_free(&out);
    free(text);
}

static void refused(const char *dir, int steps, int web, const char *more, int code,
                    const char *why)
{
    int rc;
    char path[IO_PATH_MAX], *before = read_text(dir, "run.json"),
        *recipe = read_text(dir, "recipe.toml");
    snprintf(path, sizeof path, "%s/run/done", dir); /* there is work that would be lost */
    CHECK_OK(io_mkdirs(path));
    struct opened *o = begin(dir, steps, web, more, &rc);
    CHECK_INT(rc, code);
    if (!strstr(err_text(), why))
        test_fail(__FILE__, __LINE__, "\"%s\" does not say \"%s\"", err_text(), why);
    opened_close(o);
    char *now = read_text(dir, "run.json"), *recipe_now = read_text(dir, "recipe.toml");
    CHECK_STR(str_of(now), before);
    CHECK_STR(str_of(recipe_now), recipe);
    free(before);
    free(now);
    free(recipe);
    free(recipe_now);
}

TEST(command_rundir_takes_the_same_recipe_only)
{
    const char *dir = test_dir();
    int rc;
    struct opened *o = begin(dir, 20, 1, "", &rc);
    CHECK_OK(rc);
    opened_close(o);
    o = begin(dir, 20, 1, "[run]\nthreads = 2\nshards = 3\n", &rc); /* changes no byte */
    CHECK_OK(rc);
    CHECK_INT(o->run.shards, 3);
    opened_close(o);
    refused(dir, 20, 1, "[heldout]\nshare = 0.25\n", ERR_USAGE,
            "[heldout] there `share = 0.01`, here `share = 0.25`");
    refused(dir, 21, 1, "", ERR_USAGE, "[train] there `steps = 20`, here `steps = 21`");
    refused(dir, 20, 1, "[run]\nseed = 8\n", ERR_USAGE, "there `seed 1`, here `seed 8`");
}

/* A recipe put right before anything is done takes the folder over. */
TEST(command_rundir_begins_anew_when_nothing_is_done)
{
    const char *dir = test_dir();
    int rc;
    struct opened *o = begin(dir, 20, 1, "", &rc);
    CHECK_OK(rc);
    opened_close(o);
    o = begin(dir, 21, 1, "[heldout]\nshare = 0.25\n", &rc);
    CHECK_OK(rc);
    opened_close(o);
    char *now = read_text(dir, "recipe.toml");
    CHECK(strstr(now, "share = 0.25") && strstr(now, "steps = 21"));
    free(now);
    refused(dir, 20, 1, "", ERR_USAGE, "another recipe");
}

/* A folder of an older program: its recipe has fewer keys, and its hashes are of fewer keys. */
TEST(command_rundir_of_an_older_program_goes_on)
{
    static const char then[] = "00000000000000000000000000001234",
                      trained[] = "00000000000000000000000000005678";
    const char *dir = test_dir();
    char path[IO_PATH_MAX], hash[33], train_hash[33];
    int rc;
    struct opened *o = begin(dir, 20, 1, "", &rc);
    CHECK_OK(rc);
    snprintf(hash, sizeof hash, "%s", o->recipe.hash);
    snprintf(train_hash, sizeof train_hash, "%s", o->recipe.train_hash);
    opened_close(o);
    rewrite(dir, "run.json", hash, then);
    rewrite(dir, "run.json", train_hash, trained);
    rewrite(dir, "run.json", "pair_min = 2\\n", "");
    rewrite(dir, "run.json", "spill = \\\"weights\\\"\\n", "");
    rewrite(dir, "run.json", ",\"format\":1", "");
    rewrite(dir, "recipe.toml", "pair_min = 2\n", "");
    snprintf(path, sizeof path, "%s/run", dir);
    struct opened *looked = calloc(1, sizeof *looked);
    CHECK(looked);
    CHECK_OK(run_open(&looked->run, &looked->recipe, path));
    CHECK_STR(str_of(looked->recipe.hash), then);
    CHECK_STR(str_of(looked->recipe.train_hash), trained);
    opened_close(looked);
    refused(dir, 20, 1, "[heldout]\nshare = 0.25\n", ERR_USAGE, "`share = 0.25`");
    o = begin(dir, 20, 1, "", &rc);
    CHECK_OK(rc);
    CHECK_STR(str_of(o->recipe.hash), then); /* what its manifests and checkpoints carry */
    CHECK_STR(str_of(o->recipe.train_hash), trained);
    opened_close(o);
    o = begin(dir, 20, 1, "", &rc); /* and once run.json knows all keys */
    CHECK_OK(rc);
    CHECK_STR(str_of(o->recipe.hash), then);
    opened_close(o);
    o = begin(dir, 20, 2, "", &rc); /* another mixture is another training of the same run */
    CHECK_OK(rc);
    CHECK_STR(str_of(o->recipe.hash), then);
    CHECK(strcmp(o->recipe.train_hash, trained) != 0);
    CHECK(o->run.mixture_pending);
    opened_close(o);
}

/* Before it was noted in run.json, a finished training's manifest alone had the second hash. */
TEST(command_rundir_finds_the_hash_of_a_finished_training)
{
    const char *dir = test_dir();
    char path[IO_PATH_MAX], noted[64];
    int rc;
    struct opened *o = begin(dir, 20, 1, "", &rc);
    CHECK_OK(rc);
    snprintf(noted, sizeof noted, ",\"train_hash\":\"%s\"", o->recipe.train_hash);
    opened_close(o);
    rewrite(dir, "run.json", noted, "");
    snprintf(path, sizeof path, "%s/run/done/train", dir);
    CHECK_OK(io_mkdirs(path));
    snprintf(path, sizeof path, "%s/run/done/train/00000.json", dir);
    CHECK_OK(io_write_file(path, STR("{\"recipe\":\"00000000000000000000000000005678\"}\n")));
    o = begin(dir, 20, 1, "", &rc);
    CHECK_OK(rc);
    CHECK_STR(str_of(o->recipe.train_hash), "00000000000000000000000000005678");
    opened_close(o);
    refused(dir, 20, 2, "", ERR_USAGE, "store.path=");
}

TEST(command_rundir_of_another_format_is_refused)
{
    const char *dir = test_dir();
    int rc;
    struct opened *o = begin(dir, 20, 1, "", &rc);
    CHECK_OK(rc);
    opened_close(o);
    rewrite(dir, "run.json", "\"version\":\"" SLUICE_VERSION "\"", "\"version\":\"7.5.0\"");
    refused(dir, 21, 1, "", ERR_USAGE, "made by sluice 7.5.0, this is " SLUICE_VERSION);
    rewrite(dir, "run.json", "pair_min = 2\\n", "pair_most = 2\\n");
    refused(dir, 20, 1, "", ERR_USAGE, "whose recipe this sluice " SLUICE_VERSION " cannot read");
    rewrite(dir, "run.json", "\"format\":1", "\"format\":2");
    refused(dir, 20, 1, "", ERR_FORMAT,
            "made by sluice 7.5.0 in run format 2; this is sluice " SLUICE_VERSION);
}

/* Whatever becomes of it later, a mixture stands in the folder only once it was taken. */
TEST(command_rundir_notes_a_mixture_when_it_is_taken)
{
    const char *dir = test_dir();
    int rc;
    struct opened *o = begin(dir, 20, 1, "", &rc);
    CHECK_OK(rc);
    CHECK(!o->run.mixture_pending);
    opened_close(o);
    char *before = read_text(dir, "recipe.toml"), *json = read_text(dir, "run.json");
    o = begin(dir, 20, 7, "", &rc);
    CHECK_OK(rc);
    CHECK(o->run.mixture_pending);
    char *during = read_text(dir, "recipe.toml"), *json_during = read_text(dir, "run.json");
    CHECK_STR(str_of(during), before);
    CHECK_STR(str_of(json_during), json);
    CHECK_OK(run_accept(&o->run));
    CHECK_OK(run_accept(&o->run));
    CHECK(!o->run.mixture_pending);
    char *after = read_text(dir, "recipe.toml");
    CHECK(strstr(after, "web = 7\n"));
    opened_close(o);
    o = begin(dir, 20, 7, "", &rc);
    CHECK_OK(rc);
    CHECK(!o->run.mixture_pending);
    opened_close(o);
    free(before);
    free(json);
    free(during);
    free(json_during);
    free(after);
}

/* cmd_run - `sluice run RECIPE`: every task of a run in order, skipping what is done. */
#include "command/run.h"

#include "command/command.h"
#include "command/summary.h"
#include "core/err.h"
#include "report/report.h"

enum { ASSIGNMENTS_MAX = 256 };

struct run_flags {
    const char *run;
    int64_t threads, shards;
    uint64_t memory;
    bool json, dry_run;
};
static const struct opt run_flag_opts[] = {
    OPT_ROW(OPT_STR, struct run_flags, run, NULL, 0, 0, NULL,
            "folder of the run; empty: runs/NAME of the recipe", NULL),
    OPT_ROW(OPT_INT, struct run_flags, threads, "-1", -1, POOL_THREADS_MAX, "threads",
            "worker threads; 0: one a core; -1: as the recipe says", NULL),
    OPT_ROW(OPT_INT, struct run_flags, shards, "-1", -1, 100000, "shards",
            "deal the input files to so many tasks; -1: as the recipe says", NULL),
    OPT_ROW(OPT_SIZE, struct run_flags, memory, "0", 0, 1e15, "bytes",
            "memory the passes and sorts may use; 0: as the recipe says", NULL),
    OPT_ROW(OPT_BOOL, struct run_flags, json, "false", 0, 1, NULL, "print the summary as JSON",
            NULL),
    OPT_ROW(OPT_BOOL, struct run_flags, dry_run, "false", 0, 1, NULL,
            "print the resolved recipe and stop", NULL),
    OPT_LAST,
};

/* The folder's options and the recipe they make; assignments come from --set and the flags. */
static int load_recipe(struct recipe *recipe, const struct run_flags *flags, const char *path,
                       const char **set, int count, struct arena *a)
{
    const struct {
        const char *key;
        int64_t value;
        bool given;
    } number[] = {
        {"run.threads", flags->threads, flags->threads >= 0},
        {"run.shards", flags->shards, flags->shards >= 1},
        {"run.memory", (int64_t)flags->memory, flags->memory > 0},
    };
    for (size_t i = 0; i < COUNT_OF(number); i++) {
        if (!number[i].given)
            continue;
        char text[64];
        snprintf(text, sizeof text, "%s=%lld", number[i].key, (long long)number[i].value);
        if (count == ASSIGNMENTS_MAX)
            return err_set(ERR_USAGE, "run: more than %d --set", ASSIGNMENTS_MAX);
        set[count++] = arena_strdup(a, str_of(text));
    }
    return recipe_load(recipe, path, set, count);
}

static int run_tasks(struct run *r, bool json)
{
    for (const struct task *t = tasks; t->name; t++)
        for (uint32_t shard = 0; shard < r->shards; shard++)
            TRY(task_run(r, t, shard, r->shards));
    TRY(report_write(r->dir));
    return summary_print(r, json);
}

/* What would be typed to do this run again, for run.json and the report. */
static const char *command_line(struct arena *a, const char *recipe, const char *const *set,
                                int count)
{
    struct buf text = {0};
    buf_printf(&text, "sluice run %s", recipe);
    for (int i = 0; i < count; i++)
        buf_printf(&text, " --set %s", set[i]);
    const char *line = arena_strdup(a, buf_view(&text));
    buf_free(&text);
    return line ? line : "sluice run";
}

static int command_run_main(void *conf, int argc, char **argv, struct arena *a)
{
    const struct run_flags *flags = conf;
    struct recipe *recipe = arena_push_zero(a, sizeof *recipe, 16);
    struct run *r = arena_push_zero(a, sizeof *r, 16);
    const char *set[ASSIGNMENTS_MAX];
    int count = 0, rest = 0;
    char dir[IO_PATH_MAX];
    if (!recipe || !r)
        return ERR_LIMIT;
    for (int i = 0; i < argc; i++) {
        if (strncmp(argv[i], "set:", 4) != 0)
            argv[rest++] = argv[i];
        else if (count < ASSIGNMENTS_MAX)
            set[count++] = argv[i] + 4;
        else
            return err_set(ERR_USAGE, "run: more than %d --set", ASSIGNMENTS_MAX);
    }
    if (rest != 1)
        return err_set(
            ERR_USAGE,
            "run: name one recipe (got %d): sluice run recipes/warc.toml --set source.path=FILE",
            rest);
    int rc = load_recipe(recipe, flags, argv[0], set, count, a);
    if (rc >= 0 && flags->dry_run)
        printf("# hash %s\n%s", recipe->hash, buf_cstr(&recipe->resolved));
    if (rc >= 0 && !flags->dry_run) {
        rc = flags->run && flags->run[0] ? io_path(dir, "%s", flags->run)
                                         : io_path(dir, "runs/%s", recipe->run.name);
        if (rc >= 0)
            rc = run_create(r, recipe, dir, command_line(a, argv[0], set, count));
        if (rc >= 0)
            rc = run_tasks(r, flags->json);
        run_close(r);
    }
    recipe_close(recipe);
    return rc;
}

const struct command command_run = {
    .name = "run",
    .group = "corpus",
    .usage = "run RECIPE [--run=DIR] [--set KEY=VALUE ...] [--threads=N] [--shards=N] "
             "[--memory=SIZE] [--json]",
    .help = "do everything a recipe says, from archives to a trained model and a report",
    .text = "What is done already is skipped, so the same command goes on after any stop. Outputs "
            "are the same bytes for\n"
            "any number of threads and shards. --set changes one key of the recipe, stages by "
            "their name:\n"
            "  sluice run recipes/warc.toml --set source.path=a.warc.gz --set "
            "gopher_quality.min_words=40 --run=out",
    .opts = run_flag_opts,
    .conf_size = sizeof(struct run_flags),
    .assignments = true,
    .run = command_run_main,
};

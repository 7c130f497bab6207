/* cmd_task - `sluice task NAME --run DIR --shard I/N`: one shard of one task, for job arrays and
 * other engines. */
#include "command/command.h"
#include "command/run.h"
#include "core/err.h"
#include "report/report.h"

struct task_flags {
    const char *run, *shard;
};
static const struct opt task_flag_opts[] = {
    OPT_ROW(OPT_STR, struct task_flags, run, NULL, 0, 0, NULL, "folder of the run", NULL),
    OPT_ROW(OPT_STR, struct task_flags, shard, "0/1", 0, 0, NULL,
            "I/N: this shard, from 0, and how many there are", NULL),
    OPT_LAST,
};

static int parse_shard(const char *text, uint32_t *index, uint32_t *count)
{
    struct str rest, first = str_cut(str_of(text), '/', &rest);
    uint64_t i, n;
    if (!str_u64(first, &i) || !str_u64(rest, &n) || n == 0 || i >= n || n > 1000000)
        return err_set(ERR_USAGE, "task: --shard=%s: write I/N with 0 <= I < N, for example 3/8",
                       text);
    *index = (uint32_t)i;
    *count = (uint32_t)n;
    return 0;
}

static int task_list(void)
{
    for (const struct task *t = tasks; t->name; t++)
        printf("%-10s %s\n", t->name, t->help);
    return 0;
}

static int command_task_main(void *conf, int argc, char **argv, struct arena *a)
{
    const struct task_flags *flags = conf;
    struct run *r;
    uint32_t index = 0, count = 1;
    if (argc == 0)
        return task_list();
    const struct task *t = task_find(argv[0]);
    bool report = strcmp(argv[0], "report") == 0;
    if (argc != 1 || (!t && !report))
        return err_set(ERR_USAGE, "task: there is no task \"%s\": `sluice task` lists them",
                       argv[0]);
    TRY(run_flag_check("task", flags->run));
    TRY(parse_shard(flags->shard, &index, &count));
    int rc = run_of_flag(&r, "task", flags->run, a);
    if (rc >= 0 && count != r->shards && count != 1)
        rc = err_set(ERR_USAGE, "task: --shard=%s, but the run has %u shards (run.json): pass I/%u",
                     flags->shard, r->shards, r->shards);
    if (rc >= 0)
        rc = report ? report_write(r->dir) : task_run(r, t, index, count);
    run_release(r);
    return rc;
}

const struct command command_task = {
    .name = "task",
    .group = "corpus",
    .usage = "task NAME --run=DIR [--shard=I/N]",
    .help = "do one shard of one task of a run, as any engine's job would; without NAME: list them",
    .text = "A task is a pure function of the run's recipe, its frozen inputs, its name and the "
            "shard. The run must have been\n"
            "begun with `sluice run` (it freezes recipe and inputs). In a Slurm array:\n"
            "  sluice task pass1 --run=$DIR --shard=$SLURM_ARRAY_TASK_ID/$N",
    .opts = task_flag_opts,
    .conf_size = sizeof(struct task_flags),
    .run = command_task_main,
};

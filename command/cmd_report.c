/* cmd_report - `sluice report`: writes a run's report page again and prints its summary. */
#include "command/command.h"
#include "command/run.h"
#include "command/summary.h"
#include "core/err.h"
#include "report/report.h"

struct report_flags {
    const char *run;
    bool json;
};
static const struct opt report_flag_opts[] = {
    OPT_ROW(OPT_STR, struct report_flags, run, NULL, 0, 0, NULL, "folder of the run", NULL),
    OPT_ROW(OPT_BOOL, struct report_flags, json, "false", 0, 1, NULL, "print the summary as JSON",
            NULL),
    OPT_LAST,
};

static int command_report_main(void *conf, int argc, char **argv, struct arena *a)
{
    const struct report_flags *flags = conf;
    struct recipe *recipe = arena_push_zero(a, sizeof *recipe, 16);
    struct run *r = arena_push_zero(a, sizeof *r, 16);
    const char *dir = argc == 1 ? argv[0] : flags->run;
    if (!recipe || !r)
        return ERR_LIMIT;
    if (!dir || !dir[0])
        return err_set(ERR_USAGE,
                       "report: --run=DIR is missing: name a folder that `sluice run` made");
    int rc = run_open(r, recipe, dir);
    if (rc >= 0)
        rc = report_write(dir);
    if (rc >= 0)
        rc = summary_print(r, flags->json);
    run_close(r);
    recipe_close(recipe);
    return rc;
}

const struct command command_report = {
    .name = "report",
    .group = "looking",
    .usage = "report --run=DIR [--json]",
    .help = "write report.html and report.json of a run again and print its summary",
    .opts = report_flag_opts,
    .conf_size = sizeof(struct report_flags),
    .run = command_report_main,
};

/* cmd_report - `sluice report`: writes a run's report page again and prints its summary. */
#include "command/command.h"
#include "command/run.h"
#include "command/summary.h"
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
    const char *dir = argc == 1 ? argv[0] : flags->run;
    struct run *r;
    int rc = run_of_flag(&r, "report", dir, a);
    if (rc >= 0)
        rc = report_write(dir);
    if (rc >= 0)
        rc = summary_print(r, flags->json);
    run_release(r);
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

/* cmd_status - `sluice status`: what of a run is done and what is missing. */
#include "command/command.h"
#include "command/run.h"
#include "core/json.h"

struct status_flags {
    const char *run;
    bool json;
};
static const struct opt status_flag_opts[] = {
    OPT_ROW(OPT_STR, struct status_flags, run, NULL, 0, 0, NULL, "folder of the run", NULL),
    OPT_ROW(OPT_BOOL, struct status_flags, json, "false", 0, 1, NULL, "print JSON", NULL),
    OPT_LAST,
};

static int status_rows(struct run *r, bool json)
{
    struct buf out = {0};
    struct json_writer w;
    json_begin(&w, &out);
    json_open(&w, '[');
    if (r->recipe->borrowed && !json)
        printf("on the store of %s\n", r->base);
    for (const struct task *t = tasks; t->name; t++) {
        uint32_t done, units;
        int rc = task_done(r, t, &done, &units);
        if (rc < 0) {
            buf_free(&out);
            return rc;
        }
        if (!json)
            printf("%-10s %6u of %6u  %s\n", t->name, done, units,
                   units == 0      ? (r->recipe->borrowed ? "of that run" : "not in this recipe")
                   : done == units ? "done"
                                   : "missing");
        json_open(&w, '{');
        json_field_text(&w, "task", t->name);
        json_field_u64(&w, "done", done);
        json_field_u64(&w, "units", units);
        json_close(&w, '}');
    }
    json_close(&w, ']');
    if (json)
        printf("%s\n", buf_cstr(&out));
    buf_free(&out);
    return 0;
}

static int command_status_main(void *conf, int argc, char **argv, struct arena *a)
{
    const struct status_flags *flags = conf;
    struct run *r;
    int rc = run_of_flag(&r, "status", argc == 1 ? argv[0] : flags->run, a);
    if (rc >= 0)
        rc = status_rows(r, flags->json);
    run_release(r);
    return rc;
}

const struct command command_status = {
    .name = "status",
    .group = "looking",
    .usage = "status --run=DIR [--json]",
    .help = "what of a run is done and what is missing",
    .opts = status_flag_opts,
    .conf_size = sizeof(struct status_flags),
    .run = command_status_main,
};

/* cmd_status - `sluice status`: what of a run is done and what is missing. */
#include "command/command.h"
#include "command/run.h"
#include "core/err.h"
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

/* How far a training is that is not done: from the last step in its log. False: there is none. */
struct train_state {
    uint64_t step;
    double loss;
};
static bool train_state(const struct run *r, struct train_state *s)
{
    char path[IO_PATH_MAX];
    struct io_reader *log = NULL;
    struct buf last = {0};
    struct arena a = {0};
    struct json *row;
    struct str line;
    int rc = io_path(path, "%s/train/train.jsonl", r->dir);
    if (rc < 0 || !io_exists(path) || io_open(&log, path) < 0)
        goto none;
    while ((rc = io_read_line(log, &line)) > 0) {
        if (!str_starts(line, "{\"step\":") || str_find(line, STR("\"loss\":")) == SIZE_MAX)
            continue;
        buf_clear(&last);
        buf_str(&last, line);
    }
    io_close(log);
    if (!last.len || last.failed || arena_open(&a, 1 << 24) < 0 ||
        json_parse(&a, buf_view(&last), &row) < 0)
        goto none;
    s->step = (uint64_t)json_num(row, "step", 0);
    s->loss = json_num(row, "loss", 0);
    arena_close(&a);
    buf_free(&last);
    return true;
none:
    err_clear(); /* a log that cannot be read says nothing, and the table stands without it */
    arena_close(&a);
    buf_free(&last);
    return false;
}

static void print_task(const struct run *r, const struct task *t, uint32_t done, uint32_t units,
                       const struct train_state *at)
{
    printf("%-10s %6u of %6u  ", t->name, done, units);
    if (at)
        printf("at step %llu of %lld, loss %.4f\n", (unsigned long long)at->step,
               (long long)r->recipe->train.steps, at->loss);
    else
        puts(units == 0      ? (r->recipe->borrowed ? "of that run" : "not in this recipe")
             : done == units ? "done"
                             : "missing");
}

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
        struct train_state at;
        bool under_way = strcmp(t->name, "train") == 0 && done < units && train_state(r, &at);
        if (!json)
            print_task(r, t, done, units, under_way ? &at : NULL);
        json_open(&w, '{');
        json_field_text(&w, "task", t->name);
        json_field_u64(&w, "done", done);
        json_field_u64(&w, "units", units);
        if (under_way) {
            json_field_u64(&w, "step", at.step);
            json_field_i64(&w, "steps", r->recipe->train.steps);
            json_field_num(&w, "loss", at.loss);
        }
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

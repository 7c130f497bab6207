/* rundir - a run's folder: created once for one recipe and one list of inputs, reopened ever after.
 */
#include "command/run.h"
#include "core/err.h"
#include "core/json.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

enum { RUN_JSON_MAX = 64 << 20, RUN_ARENA = 1 << 30 };
static int lock_fd = -1; /* one run a process */

int run_lock(const char *dir, int *fd)
{
    char path[IO_PATH_MAX];
    TRY(io_path(path, "%s/lock", dir));
    *fd = open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0666);
    if (*fd < 0)
        return err_sys("run: open %s", path);
    if (flock(*fd, LOCK_EX | LOCK_NB) != 0) {
        int why = errno;
        close(*fd);
        *fd = -1;
        errno = why;
        if (why != EWOULDBLOCK)
            return err_sys("run: lock %s", path);
        return err_set(ERR_AGAIN,
                       "run: %s is in use by another sluice: wait for it, or choose another --run",
                       dir);
    }
    return 0;
}

/* ---- run.json ---- */
static int run_json_write(struct run *r, const char *command_line)
{
    char path[IO_PATH_MAX], when[32];
    struct buf text = {0};
    struct json_writer w;
    time_t now = time(NULL);
    struct tm utc;
    strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &utc));
    json_begin(&w, &text);
    json_open(&w, '{');
    json_key(&w, "name");
    json_put_str(&w, str_of(r->recipe->run.name));
    json_key(&w, "version");
    json_put_str(&w, STR(SLUICE_VERSION));
    json_key(&w, "command");
    json_put_str(&w, str_of(command_line));
    json_key(&w, "created");
    json_put_str(&w, str_of(when));
    json_key(&w, "recipe_hash");
    json_put_str(&w, str_of(r->recipe->hash));
    json_key(&w, "recipe");
    json_put_str(&w, buf_view(&r->recipe->resolved));
    if (r->recipe->borrowed) {
        json_key(&w, "base");
        json_put_str(&w, str_of(r->base));
    }
    json_key(&w, "inputs");
    json_put_u64(&w, r->input_count);
    json_key(&w, "shards");
    json_put_u64(&w, r->shards);
    json_key(&w, "stages");
    json_open(&w, '[');
    for (int i = 0; i < r->recipe->stage_count; i++)
        json_put_str(&w, str_of(r->recipe->stage[i].type->name));
    json_close(&w, ']');
    json_close(&w, '}');
    buf_char(&text, '\n');
    int rc = io_path(path, "%s/run.json", r->dir);
    if (rc >= 0)
        rc = text.failed ? err_set(ERR_LIMIT, "run: no memory")
                         : io_write_file(path, buf_view(&text));
    buf_free(&text);
    return rc;
}

/* What an earlier run.json says: 1 read, 0 there is none. */
static int run_json_read(struct run *r, char hash[33], struct str *resolved, uint32_t *shards)
{
    char path[IO_PATH_MAX], *text;
    size_t len;
    struct json *root;
    TRY(io_path(path, "%s/run.json", r->dir));
    if (!io_exists(path))
        return 0;
    TRY(io_read_file(path, RUN_JSON_MAX, &text, &len));
    int rc = json_parse(&r->arena, (struct str){text, len}, &root);
    free(text);
    if (rc < 0)
        return err_in(rc, "%s", path);
    struct str found = json_str(root, "recipe_hash", STR(""));
    snprintf(hash, 33, "%.*s", STR_ARG(found));
    *resolved = json_str(root, "recipe", STR(""));
    *shards = (uint32_t)json_num(root, "shards", 1);
    return 1;
}

/* The first line in which two resolved recipes differ, for the message. */
static void first_difference(struct str a, struct str b, struct str *line_a, struct str *line_b)
{
    while (a.ptr || b.ptr) {
        struct str rest_a, rest_b;
        *line_a = str_cut(a, '\n', &rest_a);
        *line_b = str_cut(b, '\n', &rest_b);
        if (!str_eq(*line_a, *line_b))
            return;
        a = rest_a;
        b = rest_b;
    }
}

/* Fixed costs plus what circulates; the sorts and the tokenizer get what is left. */
static int memory_check(struct run *r)
{
    enum { PER_THREAD = 24 << 20 };
    struct pipe_conf conf = {.threads = r->threads};
    uint64_t need = pipe_memory(&conf) + (uint64_t)r->threads * PER_THREAD;
    if (need > r->recipe->run.memory)
        return err_set(ERR_LIMIT,
                       "run: %d threads with %d batches need %llu MiB, --memory is %llu MiB: raise "
                       "it or lower --threads",
                       r->threads, r->threads + 2, (unsigned long long)(need >> 20),
                       (unsigned long long)(r->recipe->run.memory >> 20));
    if (r->recipe->dedup.memory > r->recipe->run.memory / 2)
        r->recipe->dedup.memory = r->recipe->run.memory / 2;
    return 0;
}

static int run_begin(struct run *r, struct recipe *recipe, const char *dir)
{
    memset(r, 0, sizeof *r);
    r->recipe = recipe;
    r->shards = (uint32_t)recipe->run.shards;
    r->threads =
        recipe->run.threads ? (int)recipe->run.threads : (int)sysconf(_SC_NPROCESSORS_ONLN);
    if (r->threads < 1)
        r->threads = 1;
    if (r->threads > POOL_THREADS_MAX)
        r->threads = POOL_THREADS_MAX;
    TRY(arena_open(&r->arena, RUN_ARENA));
    TRY(io_path(r->dir, "%s", dir));
    TRY(io_path(r->base, "%s", dir));
    return memory_check(r);
}

/* The resolved recipes differ between their first [mixture] and [model]. */
static bool mixture_changed(struct str old, const struct recipe *recipe)
{
    struct str part[2] = {old, buf_view(&recipe->resolved)};
    for (int i = 0; i < 2; i++) {
        size_t from = str_find(part[i], STR("\n[mixture]")),
               to = str_find(part[i], STR("\n[model]"));
        if (from == SIZE_MAX || to == SIZE_MAX || to < from)
            return false;
        part[i] = str_slice(part[i], from, to);
    }
    return !str_eq(part[0], part[1]);
}

int run_create(struct run *r, struct recipe *recipe, const char *dir, const char *command_line)
{
    char path[IO_PATH_MAX], hash[33];
    struct str old = {0}, line_old = {0}, line_new = {0};
    uint32_t shards;
    TRY(run_begin(r, recipe, dir));
    TRY(io_mkdirs(dir));
    TRY(run_lock(dir, &lock_fd));
    TRY(io_sweep_temps(dir));
    int found = run_json_read(r, hash, &old, &shards);
    TRY(found);
    if (found && strcmp(hash, recipe->hash) != 0) {
        first_difference(old, buf_view(&recipe->resolved), &line_old, &line_new);
        return err_set(ERR_USAGE,
                       "run: %s holds a run of another recipe (there `%.*s`, here `%.*s`): choose "
                       "another --run, "
                       "or delete that folder",
                       dir, STR_ARG(line_old), STR_ARG(line_new));
    }
    if (recipe->borrowed)
        TRY(base_freeze(r));
    else
        TRY(inputs_freeze(r));
    TRY(io_path(path, "%s/recipe.toml", dir));
    TRY(io_write_file(path, buf_view(&recipe->resolved)));
    if (found && recipe->has_train && mixture_changed(old, recipe))
        log_info("run: the mixture of %s is changed: phases that its training has not begun are "
                 "read anew from the recipe",
                 dir);
    if (!found || shards != r->shards || !str_eq(old, buf_view(&recipe->resolved)))
        TRY(run_json_write(r, command_line));
    TRY(io_path(path, "%s/metrics.jsonl", dir));
    return metrics_open(path);
}

int run_open(struct run *r, struct recipe *recipe, const char *dir)
{
    char path[IO_PATH_MAX], hash[33];
    struct str old;
    TRY(io_path(path, "%s/run.json", dir));
    if (!io_exists(path))
        return err_set(ERR_USAGE, "%s: no run.json there: name a folder that `sluice run` made",
                       dir);
    TRY(io_path(path, "%s/recipe.toml", dir));
    TRY(recipe_load(recipe, path, NULL, 0));
    TRY(run_begin(r, recipe, dir));
    TRY(run_json_read(r, hash, &old, &r->shards));
    if (strcmp(hash, recipe->hash) != 0)
        return err_set(
            ERR_FORMAT,
            "%s: recipe.toml was changed since the run began (hash %s, was %s): restore it", dir,
            recipe->hash, hash);
    TRY(base_load(r));
    return recipe->borrowed ? 0 : inputs_load(r);
}

void run_close(struct run *r)
{
    metrics_close();
    arena_close(&r->arena);
    if (lock_fd >= 0)
        close(lock_fd);
    lock_fd = -1;
}

int run_output(struct run *r, struct manifest *m, const char *relative, const struct io_info *info)
{
    UNUSED(r);
    return manifest_add_output(m, relative, info);
}

/* rundir - a run's folder: created once for one recipe and one list of inputs, reopened ever after.
 */
#include "command/run.h"
#include "core/err.h"
#include "core/json.h"
#include "core/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

/* RUN_FORMAT: of the folder as a whole; new keys of recipes do not change it. */
enum { RUN_JSON_MAX = 64 << 20, RUN_ARENA = 1 << 30, RUN_FORMAT = 1, WHY_MAX = 512 };
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
static int run_json_write(const struct run *r)
{
    char path[IO_PATH_MAX], when[32];
    struct buf text = {0};
    struct json_writer w;
    time_t now = time(NULL);
    struct tm utc;
    strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &utc));
    json_begin(&w, &text);
    json_open(&w, '{');
    json_field_text(&w, "name", r->recipe->run.name);
    json_field_text(&w, "version", SLUICE_VERSION);
    json_field_u64(&w, "format", RUN_FORMAT);
    json_field_text(&w, "command", r->command_line);
    json_field_text(&w, "created", when);
    json_field_text(&w, "recipe_hash", r->recipe->hash);
    json_field_text(&w, "train_hash", r->recipe->train_hash);
    json_field_str(&w, "recipe", buf_view(&r->recipe->resolved));
    if (r->recipe->borrowed)
        json_field_text(&w, "base", r->base);
    json_field_u64(&w, "inputs", r->input_count);
    json_field_u64(&w, "shards", r->shards);
    json_field_open(&w, "stages", '[');
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

/* What an earlier run.json says; strings in the run's arena. */
struct recorded {
    char hash[33], train_hash[33]; /* train_hash "": the program did not note it yet */
    char version[32];
    struct str recipe; /* resolved, by the program of then */
    uint32_t shards;
};

/* Folders of before train_hash was noted: their training's manifest has it, when it is done. */
static int train_hash_find(struct run *r, char hash[static 33])
{
    char path[IO_PATH_MAX], *text;
    size_t len;
    struct json *root;
    TRY(io_path(path, "%s/done/train/00000.json", r->dir));
    if (hash[0] || !io_exists(path))
        return 0;
    TRY(io_read_file(path, RUN_JSON_MAX, &text, &len));
    int rc = json_parse(&r->arena, (struct str){text, len}, &root);
    free(text);
    if (rc >= 0)
        snprintf(hash, 33, "%.*s", STR_ARG(str_slice(json_str(root, "recipe", STR("")), 0, 32)));
    return rc < 0 ? err_in(rc, "%s", path) : 0;
}

/* 1 read, 0 there is none. */
static int run_json_read(struct run *r, struct recorded *was)
{
    char path[IO_PATH_MAX], *text;
    size_t len;
    struct json *root;
    memset(was, 0, sizeof *was);
    TRY(io_path(path, "%s/run.json", r->dir));
    if (!io_exists(path))
        return 0;
    TRY(io_read_file(path, RUN_JSON_MAX, &text, &len));
    int rc = json_parse(&r->arena, (struct str){text, len}, &root);
    free(text);
    if (rc < 0)
        return err_in(rc, "%s", path);
    const struct {
        const char *key;
        char *to;
        size_t bytes;
    } row[] = {{"recipe_hash", was->hash, sizeof was->hash},
               {"train_hash", was->train_hash, sizeof was->train_hash},
               {"version", was->version, sizeof was->version}};
    for (size_t i = 0; i < COUNT_OF(row); i++)
        snprintf(row[i].to, row[i].bytes, "%.*s",
                 STR_ARG(str_slice(json_str(root, row[i].key, STR("")), 0, row[i].bytes - 1)));
    was->recipe = json_str(root, "recipe", STR(""));
    was->shards = (uint32_t)json_num(root, "shards", 1);
    double format = json_num(root, "format", 1);
    if (format != RUN_FORMAT)
        return err_set(ERR_FORMAT,
                       "run: %s was made by sluice %s in run format %.0f; this is sluice %s, which "
                       "reads format %d: go on with that version, or choose another --run",
                       r->dir, was->version, format, SLUICE_VERSION, RUN_FORMAT);
    TRY(train_hash_find(r, was->train_hash));
    return 1;
}

/* ---- is it the same recipe? ---- */

/* ", made by sluice A, this is B" where versions differ, else "". */
static const char *versions(const struct recorded *was, char *to, size_t bytes)
{
    to[0] = 0;
    if (strcmp(was->version, SLUICE_VERSION) != 0)
        snprintf(to, bytes, ", made by sluice %s, this is %s", was->version, SLUICE_VERSION);
    return to;
}

/* The first line in which two recipes differ, and the table in which it stands. */
static void difference_find(struct str then, struct str now, struct str found[static 3])
{
    found[0] = found[1] = found[2] = STR("");
    while (then.len || now.len) {
        struct str rest_then, rest_now;
        found[1] = str_cut(then, '\n', &rest_then);
        found[2] = str_cut(now, '\n', &rest_now);
        if (!str_eq(found[1], found[2]))
            return;
        if (found[1].len && found[1].ptr[0] == '[')
            found[0] = found[1];
        then = rest_then;
        now = rest_now;
    }
}

/* Does the recipe mean what run.json has? That one is read again by this program, which gives keys
 * it did not know their defaults; so a run goes on with a newer program, and its manifests and
 * checkpoints stay good: the recipe's hashes become those recorded. What differs in the mixture
 * alone is no other recipe: *mixture_same. 1 the same; 0 another, told by *why. */
static int recipe_adopt(struct run *r, const struct recorded *was, bool *mixture_same,
                        char why[static WHY_MAX])
{
    struct recipe *then = calloc(1, sizeof *then), *now = r->recipe;
    char made[96];
    if (!then)
        return err_set(ERR_LIMIT, "run: no memory");
    int rc = recipe_load_text(then, "run.json", was->recipe, NULL, 0);
    *mixture_same = rc >= 0 && strcmp(then->train_hash, now->train_hash) == 0;
    if (rc < 0) {
        rc = err_in(rc,
                    "run: %s was made by sluice %s, whose recipe this sluice %s cannot read: "
                    "go on with that version, or choose another --run",
                    r->dir, was->version, SLUICE_VERSION);
    } else if (strcmp(then->hash, now->hash) == 0) {
        memcpy(now->hash, was->hash, sizeof now->hash);
        if (*mixture_same && was->train_hash[0])
            memcpy(now->train_hash, was->train_hash, sizeof now->train_hash);
        rc = 1;
    } else {
        struct str at[3];
        difference_find(buf_view(&then->decides), buf_view(&now->decides), at);
        snprintf(why, WHY_MAX, "%.*s there `%.*s`, here `%.*s`%s", STR_ARG(at[0]), STR_ARG(at[1]),
                 STR_ARG(at[2]), versions(was, made, sizeof made));
        rc = 0;
    }
    recipe_close(then);
    free(then);
    return rc;
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

/* recipe.toml first: a kill between the two leaves a run.json that makes the next command do both
 * again. */
static int recipe_write(struct run *r, bool run_json)
{
    char path[IO_PATH_MAX];
    TRY(io_path(path, "%s/recipe.toml", r->dir));
    TRY(io_write_file(path, buf_view(&r->recipe->resolved)));
    r->mixture_pending = false;
    return run_json ? run_json_write(r) : 0;
}

int run_accept(struct run *r) { return r->mixture_pending ? recipe_write(r, true) : 0; }

/* Another mixture is of use only while there is training ahead. */
static int mixture_check(const struct run *r)
{
    char path[IO_PATH_MAX];
    TRY(io_path(path, "%s/done/train/00000.json", r->dir));
    if (io_exists(path))
        return err_set(ERR_USAGE,
                       "run: the training of %s is done and was with another mixture: restore "
                       "that, or train on its store in another --run, with --set store.path=%s",
                       r->dir, r->base);
    log_info("run: the mixture of %s is changed: phases that its training has not begun are read "
             "anew from the recipe",
             r->dir);
    return 0;
}

/* A recipe that was put right before anything was finished needs no other folder: 1 when what is
 * there may go. */
static int begin_anew(const struct run *r)
{
    static const char *const kept[] = {"done", "store"}, *const gone[] = {"inputs.json",
                                                                          "base.json"};
    char path[IO_PATH_MAX];
    for (size_t i = 0; i < COUNT_OF(kept); i++) {
        TRY(io_path(path, "%s/%s", r->dir, kept[i]));
        if (io_exists(path))
            return 0;
    }
    for (size_t i = 0; i < COUNT_OF(gone); i++) {
        TRY(io_path(path, "%s/%s", r->dir, gone[i]));
        if (unlink(path) < 0 && errno != ENOENT)
            return err_sys("remove %s", path);
    }
    log_info("run: %s begins anew: it was of another recipe, of which nothing was done", r->dir);
    return 1;
}

int run_create(struct run *r, struct recipe *recipe, const char *dir, const char *command_line)
{
    char path[IO_PATH_MAX], why[WHY_MAX];
    struct recorded was;
    bool mixture_same = true;
    TRY(run_begin(r, recipe, dir));
    r->command_line = command_line;
    TRY(io_mkdirs(dir));
    TRY(run_lock(dir, &lock_fd));
    TRY(io_sweep_temps(dir));
    int found = run_json_read(r, &was);
    TRY(found);
    if (found) {
        int same = recipe_adopt(r, &was, &mixture_same, why);
        TRY(same);
        if (!same) {
            found = 0;
            mixture_same = true;
            same = begin_anew(r);
            TRY(same);
        }
        if (!same)
            return err_set(ERR_USAGE,
                           "run: %s holds a run of another recipe (%s): choose another --run, or "
                           "delete that folder",
                           dir, why);
    }
    if (recipe->borrowed)
        TRY(base_freeze(r));
    else
        TRY(inputs_freeze(r));
    r->mixture_pending = recipe->has_train && !mixture_same;
    if (r->mixture_pending)
        TRY(mixture_check(r));
    else
        TRY(recipe_write(r, !found || was.shards != r->shards ||
                                !str_eq(was.recipe, buf_view(&recipe->resolved))));
    TRY(io_path(path, "%s/metrics.jsonl", dir));
    return metrics_open(path);
}

int run_open(struct run *r, struct recipe *recipe, const char *dir)
{
    char path[IO_PATH_MAX], why[WHY_MAX];
    struct recorded was;
    bool mixture_same;
    TRY(io_path(path, "%s/run.json", dir));
    if (!io_exists(path))
        return err_set(ERR_USAGE, "%s: no run.json there: name a folder that `sluice run` made",
                       dir);
    TRY(io_path(path, "%s/recipe.toml", dir));
    TRY(recipe_load(recipe, path, NULL, 0));
    TRY(run_begin(r, recipe, dir));
    TRY(run_json_read(r, &was));
    r->shards = was.shards;
    int same = recipe_adopt(r, &was, &mixture_same, why);
    TRY(same);
    if (!same)
        return err_set(ERR_FORMAT,
                       "%s: recipe.toml was changed since the run began (%s): restore it", dir,
                       why);
    TRY(base_load(r));
    return recipe->borrowed ? 0 : inputs_load(r);
}

int run_flag_check(const char *command, const char *dir)
{
    return dir && dir[0]
               ? 0
               : err_set(ERR_USAGE,
                         "%s: --run=DIR is missing: name a folder that `sluice run` made", command);
}

int run_of_flag(struct run **out, const char *command, const char *dir, struct arena *a)
{
    struct recipe *recipe = arena_push_zero(a, sizeof *recipe, 16);
    struct run *r = *out = recipe ? arena_push_zero(a, sizeof *r, 16) : NULL;
    if (!r)
        return ERR_LIMIT;
    r->recipe = recipe;
    TRY(run_flag_check(command, dir));
    return run_open(r, recipe, dir);
}

void run_release(struct run *r)
{
    if (!r)
        return;
    struct recipe *recipe = r->recipe;
    run_close(r);
    recipe_close(recipe);
}

void run_close(struct run *r)
{
    metrics_close();
    arena_close(&r->arena);
    if (lock_fd >= 0)
        close(lock_fd);
    lock_fd = -1;
}

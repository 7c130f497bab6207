/* checkpoint - a folder of weights, moments and state that appears whole or not at all.
 *
 *   DIR/step-000120/  weights.safetensors, m.safetensors, v.safetensors: fp32, named and laid out
 *                     as the model's
 *                     state.json     step, counters, loader position, what the logs held
 *                     manifest.json  recipe, size and XXH3-128 of each file
 *
 * The files are written into step-000120.tmp-PID, each synced; the folder is renamed, its parent
 * synced, and only then older folders go. A kill at any moment leaves the last whole checkpoint;
 * rubbish of dead runs is swept at the start. */
#include "train/trainer.h"

#include "core/err.h"
#include "core/json.h"
#include "core/log.h"

#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { STATE_MAX = 1 << 20, CHECKPOINTS_MAX = 100000, FORMAT_VERSION = 2 };
static const char *const files[] = {"weights.safetensors", "m.safetensors", "v.safetensors"};
enum { FILE_WEIGHTS, FILE_M, FILE_V, FILE_COUNT };

/* ---- state.json ---- */

/* Where the data was: the next row, and what decided the rows before it, a string a line. */
static void put_rows(struct json_writer *w, uint64_t row, struct str past)
{
    json_field_open(w, "loader", '{');
    json_field_u64(w, "row", row);
    json_field_open(w, "past", '[');
    while (past.len)
        json_put_str(w, str_cut(past, '\n', &past));
    json_close(w, ']');
    json_close(w, '}');
}

static int state_write(const struct trainer *tr, const char *path, struct io_info *info)
{
    const struct train_state *s = &tr->state;
    struct buf out = {0}, past = {0};
    struct json_writer w;
    struct io_writer *file = NULL;
    int rc;
    json_begin(&w, &out);
    json_open(&w, '{');
    json_field_u64(&w, "format", FORMAT_VERSION);
    json_field_u64(&w, "step", s->step);
    json_field_u64(&w, "updates", s->updates);
    json_field_u64(&w, "tokens", s->tokens);
    json_field_u64(&w, "skipped", s->skipped);
    json_field_u64(&w, "skipped_row", s->skipped_row);
    json_field_u64(&w, "recent_count", s->recent_count);
    json_field_open(&w, "recent", '[');
    for (int i = 0; i < LOSS_WINDOW; i++)
        json_put_num(&w, s->recent[i]);
    json_close(&w, ']');
    json_field_num(&w, "loss_before", s->loss_before);
    json_field_open(&w, "before", '{');
    for (uint32_t i = 0; i < s->before_count; i++)
        json_field_num(&w, s->before[i].domain, s->before[i].bits_per_byte);
    json_close(&w, '}');
    json_field_u64(&w, "log_bytes", s->log_bytes);
    json_field_u64(&w, "log_chain", s->log_chain);
    if (tr->loader)
        loader_past(tr->loader, s->row, &past);
    put_rows(&w, s->row, buf_view(&past));
    json_close(&w, '}');
    buf_char(&out, '\n');
    if (out.failed || past.failed) {
        rc = err_set(ERR_LIMIT, "checkpoint: no memory for state.json");
        goto out;
    }
    TRY_OUT(io_create(&file, path, IO_PLAIN, 0));
    rc = io_write_str(file, buf_view(&out));
    if (rc < 0)
        io_abandon(file);
    else
        rc = io_commit(file, info);
out:
    buf_free(&past);
    buf_free(&out);
    return rc;
}

static bool get_u64(const struct json *object, const char *key, uint64_t *out)
{
    const struct json *value = json_get(object, key);
    return value && json_u64(value, out);
}

/* The lines of `past` into *out, one behind the other, owned by the caller. */
static bool get_rows(const struct json *loader, uint64_t *row, struct buf *out)
{
    const struct json *past = json_get(loader, "past");
    if (!loader || !past || past->type != JSON_ARRAY || !get_u64(loader, "row", row))
        return false;
    for (const struct json *line = past->child; line; line = line->next) {
        if (line->type != JSON_STRING)
            return false;
        buf_str(out, line->string);
        buf_char(out, '\n');
    }
    return !out->failed;
}

static bool state_parse(const struct json *root, struct train_state *s, struct buf *past)
{
    uint64_t format;
    if (root->type != JSON_OBJECT || !get_u64(root, "format", &format) ||
        format != FORMAT_VERSION || !get_u64(root, "step", &s->step) ||
        !get_u64(root, "updates", &s->updates) || !get_u64(root, "tokens", &s->tokens) ||
        !get_u64(root, "skipped", &s->skipped) || !get_u64(root, "skipped_row", &s->skipped_row) ||
        !get_u64(root, "recent_count", &s->recent_count) ||
        !get_u64(root, "log_bytes", &s->log_bytes) ||
        !get_u64(root, "log_chain", &s->log_chain) ||
        !get_rows(json_get(root, "loader"), &s->row, past))
        return false;
    s->loss_before = json_num(root, "loss_before", NAN);
    const struct json *recent = json_get(root, "recent"), *before = json_get(root, "before");
    int count = 0;
    for (const struct json *v = recent ? recent->child : NULL; v && count < LOSS_WINDOW;
         v = v->next)
        s->recent[count++] = v->type == JSON_NUMBER ? v->number : NAN;
    for (const struct json *v = before ? before->child : NULL; v; v = v->next) {
        if (s->before_count == STORE_DOMAINS_MAX || v->key.len >= sizeof s->before[0].domain)
            return false;
        memcpy(s->before[s->before_count].domain, v->key.ptr, v->key.len);
        s->before[s->before_count++].bits_per_byte = v->type == JSON_NUMBER ? v->number : NAN;
    }
    return count == LOSS_WINDOW;
}

static int state_read(const char *path, struct train_state *s, struct buf *past)
{
    struct arena a = {0};
    struct json *root;
    char *text = NULL;
    size_t bytes;
    int rc;
    memset(s, 0, sizeof *s);
    TRY(io_read_file(path, STATE_MAX, &text, &bytes));
    TRY_OUT(arena_open(&a, bytes * 64 + (1 << 20)));
    TRY_OUT(json_parse(&a, (struct str){text, bytes}, &root));
    if (!state_parse(root, s, past))
        rc = err_set(ERR_FORMAT,
                     "checkpoint: %s is not a state of format %d, which this version reads: use "
                     "another output folder, or remove the checkpoints to start anew",
                     path, FORMAT_VERSION);
out:
    arena_close(&a);
    free(text);
    return rc;
}

/* ---- tensors ---- */

static float *tensor_of(struct param *p, int file)
{
    return file == FILE_WEIGHTS ? p->master : file == FILE_M ? p->m : p->v;
}

/* On the CPU the file is written from where the numbers lie; from a GPU they come over first. */
static int tensors_write(struct trainer *tr, int file, const char *path, struct io_info *info)
{
    struct model *m = &tr->model;
    bool on_host = stream_device(tr->stream) == DEV_CPU;
    struct arena a = {0};
    int rc;
    size_t room = (size_t)m->param_count * (sizeof(struct safetensor) + 64) + 4096;
    TRY(arena_open(&a, room + (on_host ? 0 : model_parameters(m) * 4)));
    struct safetensor *tensor = arena_array_zero(&a, struct safetensor, m->param_count);
    rc = tensor ? 0 : ERR_LIMIT;
    for (int i = 0; rc == 0 && i < m->param_count; i++) {
        struct param *p = &m->param[i];
        size_t bytes = (size_t)tensor_count(&p->w) * 4;
        float *from = tensor_of(p, file);
        float *host = on_host ? from : arena_push(&a, bytes, 64);
        if (!host)
            rc = ERR_LIMIT;
        else if (!on_host)
            rc = dev_download(tr->stream, host, from, bytes);
        tensor[i] = (struct safetensor){.name = p->name,
                                        .dtype = DT_F32,
                                        .rank = p->w.rank,
                                        .data = host};
        memcpy(tensor[i].dim, p->w.dim, sizeof tensor[i].dim);
    }
    if (rc == 0)
        rc = safetensors_write(path, tensor, m->param_count, info);
    arena_close(&a);
    return rc;
}

static int tensors_read(struct trainer *tr, int file, const char *path)
{
    struct arena a = {0};
    struct safetensor *tensor;
    uint64_t bytes;
    int count, rc;
    TRY(io_size(path, &bytes));
    TRY(arena_open(&a, bytes * 2 + (1 << 20)));
    TRY_OUT(safetensors_read(path, &a, &tensor, &count));
    for (int i = 0; i < tr->model.param_count; i++) {
        struct param *p = &tr->model.param[i];
        const struct safetensor *t = safetensors_find(tensor, count, p->name);
        if (!t || t->dtype != DT_F32 || memcmp(t->dim, p->w.dim, sizeof t->dim) != 0 ||
            count != tr->model.param_count) {
            rc = err_set(ERR_USAGE, "checkpoint: %s: %s is %s: made with another model", path,
                         p->name, t ? "of another shape" : "missing");
            goto out;
        }
        if (file == FILE_WEIGHTS)
            rc = model_put(&tr->model, i, t->data);
        else
            rc = dev_upload(tr->stream, tensor_of(p, file), t->data,
                            (size_t)tensor_count(&p->w) * 4);
        if (rc < 0)
            goto out;
    }
    rc = dev_sync(tr->stream);
out:
    arena_close(&a);
    return rc;
}

/* ---- folders ---- */

static int by_step_down(const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;
    return left > right ? -1 : left < right;
}

/* Steps of the folders named step-N below dir, newest first; removes what dead or earlier writers
 * left. */
static int list_steps(const char *dir, uint64_t **steps, int *count)
{
    *count = 0;
    *steps = malloc(CHECKPOINTS_MAX * sizeof **steps);
    if (!*steps)
        return err_set(ERR_LIMIT, "checkpoint: no memory");
    DIR *handle = opendir(dir);
    if (!handle)
        return errno == ENOENT ? 0 : err_sys("checkpoint: read %s", dir);
    struct dirent *entry;
    while ((entry = readdir(handle)) && *count < CHECKPOINTS_MAX) {
        struct str name = str_of(entry->d_name);
        if (!str_starts(name, "step-"))
            continue;
        uint64_t step;
        if (str_u64(str_slice(name, 5, name.len), &step))
            (*steps)[(*count)++] = step;
    }
    closedir(handle);
    qsort(*steps, (size_t)*count, sizeof **steps, by_step_down);
    return 0;
}

/* Folders step-N.tmp-PID of processes that no longer run. */
static int sweep(const char *dir)
{
    DIR *handle = opendir(dir);
    if (!handle)
        return errno == ENOENT ? 0 : err_sys("checkpoint: read %s", dir);
    struct dirent *entry;
    int rc = 0;
    while (rc >= 0 && (entry = readdir(handle))) {
        struct str name = str_of(entry->d_name);
        size_t at = str_find(name, STR(".tmp-"));
        int64_t pid;
        char path[IO_PATH_MAX];
        if (!str_starts(name, "step-") || at == SIZE_MAX ||
            !str_i64(str_slice(name, at + 5, name.len), &pid) || pid <= 0 ||
            (pid != getpid() && kill((pid_t)pid, 0) == 0))
            continue;
        rc = io_path(path, "%s/%s", dir, entry->d_name);
        if (rc >= 0)
            rc = io_remove_tree(path);
    }
    closedir(handle);
    return rc;
}

/* Moves a folder out of the way first, so that a kill in the middle leaves no half of it under its
 * name. */
static int remove_step(const char *dir, uint64_t step)
{
    char path[IO_PATH_MAX], gone[IO_PATH_MAX];
    TRY(io_path(path, "%s/step-%06llu", dir, (unsigned long long)step));
    TRY(io_path(gone, "%s/step-%06llu.old.tmp-%d", dir, (unsigned long long)step, (int)getpid()));
    TRY(io_remove_tree(gone));
    if (rename(path, gone) < 0)
        return errno == ENOENT ? 0 : err_sys("checkpoint: rename %s", path);
    return io_remove_tree(gone);
}

/* 1 whole, 0 damaged; ERR_USAGE: of another recipe. */
static int step_check(const char *dir, uint64_t step, const char *recipe_hash, bool verify)
{
    struct manifest m = {0};
    char folder[IO_PATH_MAX], path[IO_PATH_MAX];
    TRY(io_path(folder, "%s/step-%06llu", dir, (unsigned long long)step));
    TRY(io_path(path, "%s/manifest.json", folder));
    int rc = manifest_check(&m, folder, path, recipe_hash, verify);
    manifest_free(&m);
    if (rc == ERR_USAGE)
        return err_in(rc,
                      "checkpoint %s: use another output folder, or remove the checkpoints to "
                      "start "
                      "anew",
                      folder);
    return rc == 1;
}

/* Keeps the newest `keep` whole ones: what is behind them goes. */
static int prune(const char *dir, const char *recipe_hash, int64_t keep)
{
    uint64_t *steps = NULL;
    int count, rc;
    int64_t whole = 0;
    TRY_OUT(list_steps(dir, &steps, &count));
    for (int i = 0; i < count; i++) {
        if (whole >= keep)
            TRY_OUT(remove_step(dir, steps[i]));
        else
            whole += step_check(dir, steps[i], recipe_hash, false) == 1;
    }
out:
    free(steps);
    return rc;
}

static int write_files(struct trainer *tr, const char *folder, struct manifest *m)
{
    char path[IO_PATH_MAX];
    struct io_info info;
    for (int file = 0; file < FILE_COUNT; file++) {
        TRY(io_path(path, "%s/%s", folder, files[file]));
        TRY(tensors_write(tr, file, path, &info));
        TRY(manifest_add_output(m, files[file], &info));
    }
    TRY(io_path(path, "%s/state.json", folder));
    TRY(state_write(tr, path, &info));
    TRY(manifest_add_output(m, "state.json", &info));
    TRY(manifest_add_count(m, "step", tr->state.step));
    TRY(io_path(path, "%s/manifest.json", folder));
    return manifest_write(m, folder, path);
}

int checkpoint_save(struct trainer *tr, const char *dir, const char *recipe_hash)
{
    char folder[IO_PATH_MAX], temp[IO_PATH_MAX];
    struct manifest m = {.task = "checkpoint", .shard_count = 1};
    unsigned long long step = tr->state.step;
    int rc;
    snprintf(m.recipe_hash, sizeof m.recipe_hash, "%s", recipe_hash);
    TRY_OUT(io_path(folder, "%s/step-%06llu", dir, step));
    TRY_OUT(io_path(temp, "%s/step-%06llu.tmp-%d", dir, step, (int)getpid()));
    TRY_OUT(io_remove_tree(temp));
    TRY_OUT(io_mkdirs(temp));
    TRY_OUT(write_files(tr, temp, &m));
    TRY_OUT(io_sync_dir(temp));
    TRY_OUT(remove_step(dir, tr->state.step));
    if (rename(temp, folder) < 0) {
        rc = err_sys("checkpoint: rename %s", temp);
        goto out;
    }
    TRY_OUT(io_sync_dir(dir));
    rc = prune(dir, recipe_hash, tr->conf.keep);
out:
    if (rc < 0)
        io_remove_tree(temp);
    manifest_free(&m);
    return rc;
}

/* ---- loading ---- */

static int load_step(struct trainer *tr, const char *dir, uint64_t step)
{
    char path[IO_PATH_MAX];
    struct train_state state;
    struct buf past = {0};
    int rc;
    TRY_OUT(io_path(path, "%s/step-%06llu/state.json", dir, (unsigned long long)step));
    TRY_OUT(state_read(path, &state, &past));
    for (int file = 0; file < FILE_COUNT; file++) {
        TRY_OUT(io_path(path, "%s/step-%06llu/%s", dir, (unsigned long long)step, files[file]));
        TRY_OUT(tensors_read(tr, file, path));
    }
    free(tr->past);
    tr->past = strdup(buf_cstr(&past));
    tr->state = state;
    rc = tr->past ? 1 : err_set(ERR_LIMIT, "checkpoint: no memory");
out:
    buf_free(&past);
    return rc;
}

int checkpoint_load(struct trainer *tr, const char *dir, const char *recipe_hash)
{
    uint64_t *steps = NULL;
    int count = 0, rc;
    TRY(sweep(dir));
    TRY_OUT(list_steps(dir, &steps, &count));
    for (int i = 0; i < count; i++) {
        TRY_OUT(step_check(dir, steps[i], recipe_hash, true));
        if (rc == 1) {
            rc = load_step(tr, dir, steps[i]);
            goto out;
        }
        log_warn("checkpoint: %s/step-%06llu is damaged or not whole: passed over for the one "
                 "before",
                 dir, (unsigned long long)steps[i]);
    }
    if (count > 0)
        log_warn("checkpoint: none of the %d in %s is whole: training starts at step 0", count,
                 dir);
    rc = 0;
out:
    free(steps);
    return rc;
}

/* inputs - the frozen list of a run's input files, and the remote ones among them on their way. */
#include "command/run.h"
#include "core/err.h"
#include "core/json.h"
#include "crawl/remote.h"

#include <stdlib.h>
#include <unistd.h>

/* The list is made once and never changes: RUN/inputs.json. With source.cache_max the files of a
 * crawl are not fetched first; the list then names what lies at the mirror ("remote"), a task that
 * reads it fetches ahead (crawl/ahead.c), and a file goes when its unit is done. What is fetched
 * twice must be the same: the manifest of the cache has size and hash of the first time. */
enum { INPUTS_JSON_MAX = 64 << 20 };

static int inputs_write(struct run *r)
{
    char path[IO_PATH_MAX];
    struct buf text = {0};
    struct json_writer w;
    json_begin(&w, &text);
    json_open(&w, '[');
    for (uint32_t i = 0; i < r->input_count; i++) {
        json_open(&w, '{');
        json_field_text(&w, "name", r->input[i].name);
        json_field_text(&w, "path", r->input[i].path);
        json_field_u64(&w, "bytes", r->input[i].bytes);
        if (r->input[i].remote)
            json_field_bool(&w, "remote", true);
        json_close(&w, '}');
    }
    json_close(&w, ']');
    buf_char(&text, '\n');
    int rc = io_path(path, "%s/inputs.json", r->dir);
    if (rc >= 0)
        rc = text.failed ? err_set(ERR_LIMIT, "inputs: no memory")
                         : io_write_file(path, buf_view(&text));
    buf_free(&text);
    return rc;
}

static int inputs_read(struct run *r, const char *path)
{
    char *text;
    size_t len;
    struct json *root;
    TRY(io_read_file(path, INPUTS_JSON_MAX, &text, &len));
    int rc = json_parse(&r->arena, (struct str){text, len}, &root);
    if (rc >= 0 && root->type != JSON_ARRAY)
        rc = err_set(ERR_FORMAT, "not a list");
    if (rc >= 0)
        r->input = arena_array_zero(&r->arena, struct input_file, root->count ? root->count : 1);
    for (const struct json *v = rc >= 0 && r->input ? root->child : NULL; v; v = v->next) {
        struct input_file *f = &r->input[r->input_count++];
        f->name = arena_strdup(&r->arena, json_str(v, "name", STR("")));
        f->path = arena_strdup(&r->arena, json_str(v, "path", STR("")));
        if (json_get(v, "bytes"))
            json_u64(json_get(v, "bytes"), &f->bytes);
        f->remote = json_get(v, "remote") != NULL;
        if (rc >= 0 && (!f->name || !f->path))
            rc = ERR_LIMIT;
    }
    free(text);
    return rc < 0 ? err_in(rc, "%s", path) : 0;
}

static int inputs_check(const struct run *r)
{
    for (uint32_t i = 0; i < r->input_count; i++) {
        uint64_t bytes;
        if (r->input[i].remote)
            continue;
        TRY(io_size(r->input[i].path, &bytes));
        if (bytes != r->input[i].bytes)
            return err_set(ERR_USAGE,
                           "%s: %llu bytes now, %llu when the run began: a run keeps its inputs; "
                           "start another --run",
                           r->input[i].path, (unsigned long long)bytes,
                           (unsigned long long)r->input[i].bytes);
    }
    return 0;
}

static int inputs_add(struct run *r, const char *path, const char *strip, uint32_t max)
{
    char full[IO_PATH_MAX];
    if (r->input_count == max)
        return err_set(ERR_LIMIT, "inputs: more than %u files", max);
    struct input_file *f = &r->input[r->input_count++];
    size_t strip_len = strip ? strlen(strip) : 0;
    const char *name = strip && strncmp(path, strip, strip_len) == 0 ? path + strip_len : path;
    while (strip && *name == '/')
        name++;
    if (!realpath(path, full))
        return err_sys("input %s", path);
    f->name = arena_strdup(&r->arena, str_of(name));
    f->path = arena_strdup(&r->arena, str_of(full));
    return f->name && f->path ? io_size(full, &f->bytes) : ERR_LIMIT;
}

/* The files of a crawl, not fetched yet: they will lie in the cache. */
static int inputs_add_remote(struct run *r, const struct crawl_conf *crawl)
{
    char cache[IO_PATH_MAX], path[IO_PATH_MAX];
    struct crawl_file *file;
    size_t count;
    TRY(crawl_list(crawl, &r->arena, &file, &count));
    TRY(io_mkdirs(crawl->cache));
    if (!realpath(crawl->cache, cache))
        return err_sys("cache %s", crawl->cache);
    r->input = arena_array_zero(&r->arena, struct input_file, count);
    for (size_t i = 0; r->input && i < count; i++) {
        TRY(io_path(path, "%s/%s", cache, file[i].name));
        r->input[i].name = file[i].name;
        r->input[i].path = arena_strdup(&r->arena, str_of(path));
        r->input[i].remote = true;
        if (!r->input[i].path)
            return ERR_LIMIT;
    }
    r->input_count = (uint32_t)count;
    return 0;
}

/* A URL in place of a path: fetched into the cache, if it is not there, and read from there. */
static int inputs_add_url(struct run *r, const char *url, uint32_t max)
{
    struct crawl_conf crawl = r->recipe->source.crawl;
    struct crawl_file *file;
    size_t count;
    crawl.base = url;            /* what is said of where from */
    TRY(remote_files(&crawl, url, &r->arena, &file, &count));
    TRY(crawl_fetch(&crawl, file, count, NULL));
    for (size_t i = 0; i < count; i++)
        TRY(inputs_add(r, file[i].path, crawl.cache, max));
    return 0;
}

static int inputs_find(struct run *r)
{
    const struct source_conf *source = &r->recipe->source;
    const char **path;
    size_t count, total = 0;
    if (source->path.count == 0 && source->crawl.cache_max) {
        TRY(inputs_add_remote(r, &source->crawl));
    } else if (source->path.count == 0) {
        TRY(crawl_files(&source->crawl, &r->arena, &path, &count));
        r->input = arena_array_zero(&r->arena, struct input_file, count ? count : 1);
        for (size_t i = 0; r->input && i < count; i++)
            TRY(inputs_add(r, path[i], source->crawl.cache, (uint32_t)count));
    } else {
        enum { INPUTS_MAX = 1 << 20 };
        r->input = arena_array_zero(&r->arena, struct input_file, INPUTS_MAX);
        for (size_t i = 0; r->input && i < source->path.count; i++) {
            if (remote_is_url(source->path.item[i])) {
                TRY(inputs_add_url(r, source->path.item[i], INPUTS_MAX));
                continue;
            }
            TRY(io_glob(source->path.item[i], &r->arena, &path, &count));
            for (size_t k = 0; k < count; k++, total++)
                TRY(inputs_add(r, path[k], NULL, INPUTS_MAX));
        }
    }
    if (!r->input)
        return ERR_LIMIT;
    if (r->input_count == 0)
        return err_set(ERR_USAGE, "inputs: no file: check [source]");
    return inputs_write(r);
}

int inputs_load(struct run *r)
{
    char path[IO_PATH_MAX];
    TRY(io_path(path, "%s/inputs.json", r->dir));
    return inputs_read(r, path);
}

int inputs_freeze(struct run *r)
{
    char path[IO_PATH_MAX];
    TRY(io_path(path, "%s/inputs.json", r->dir));
    if (!io_exists(path))
        return inputs_find(r);
    TRY(inputs_read(r, path));
    return inputs_check(r);
}

/* ---- on their way ---- */
/* A remote input as the crawl room knows it. */
static int remote_file(struct run *r, const struct input_file *input, struct crawl_file *out)
{
    const char *base = r->recipe->source.crawl.base;
    size_t path_len = strlen(input->path), name_len = strlen(input->name), len = strlen(base);
    if (path_len <= name_len || strcmp(input->path + path_len - name_len, input->name) != 0)
        return err_set(ERR_FORMAT, "%s/inputs.json: %s does not lie at its name: restore the file",
                       r->dir, input->path);
    char *url = arena_push(&r->arena, len + name_len + 2, 1);
    if (!url)
        return ERR_LIMIT;
    snprintf(url, len + name_len + 2, "%s%s%s", base, len && base[len - 1] == '/' ? "" : "/",
             input->name);
    *out = (struct crawl_file){
        .name = input->path + path_len - name_len, .path = input->path, .url = url};
    return 0;
}

int inputs_open(struct run *r, const uint32_t *unit, uint32_t count)
{
    struct crawl_conf conf = r->recipe->source.crawl;
    uint32_t remote = 0;
    for (uint32_t i = 0; i < count; i++)
        remote += r->input[unit[i]].remote;
    if (remote == 0)
        return 0;
    r->remote = arena_array_zero(&r->arena, struct crawl_file, r->input_count);
    r->order = arena_array(&r->arena, uint32_t, remote);
    if (!r->remote || !r->order)
        return ERR_LIMIT;
    remote = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (!r->input[unit[i]].remote)
            continue;
        TRY(remote_file(r, &r->input[unit[i]], &r->remote[unit[i]]));
        r->order[remote++] = unit[i];
    }
    const struct crawl_file *first = &r->remote[r->order[0]];
    size_t len = strlen(first->path) - strlen(first->name);
    conf.cache = arena_strdup(&r->arena, (struct str){first->path, len ? len - 1 : 0});
    if (!conf.cache)
        return ERR_LIMIT;
    return crawl_ahead_open(&r->ahead, &conf, r->remote, r->order, remote);
}

int input_get(struct run *r, uint32_t unit, uint64_t *bytes)
{
    if (r->input[unit].remote)
        return crawl_ahead_get(r->ahead, unit, bytes);
    *bytes = r->input[unit].bytes;
    return 0;
}

int input_done(struct run *r, uint32_t unit, bool keep)
{
    return r->input[unit].remote ? crawl_ahead_done(r->ahead, unit, keep) : 0;
}

void input_drop(const struct run *r, uint32_t unit)
{
    if (r->input[unit].remote)
        unlink(r->input[unit].path);
}

void inputs_close(struct run *r)
{
    crawl_ahead_close(r->ahead);
    r->ahead = NULL;
}

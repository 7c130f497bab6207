/* manifest - the file that says a task is done, sealed with a hash of its own text. */
#include "core/io.h"

#include "core/err.h"
#include "core/json.h"
#include "core/log.h"

#include <stdlib.h>

enum { MANIFEST_BYTES_MAX = 8 << 20, MANIFEST_ARENA = 128 << 20 };

/* Outputs lie in the run: a manifest that names /etc/passwd or ../x was not written by us. */
static bool is_inside(struct str path)
{
    if (path.len == 0 || path.ptr[0] == '/' || memchr(path.ptr, 0, path.len))
        return false;
    while (path.ptr)
        if (str_is(str_cut(path, '/', &path), ".."))
            return false;
    return true;
}

static int add_output(struct manifest *m, struct str path, const struct io_info *info)
{
    if (path.len >= sizeof m->output->path || !is_inside(path))
        return err_set(ERR_LIMIT,
                       "manifest: output \"%.*s\" is not a path of at most %zu bytes "
                       "inside the run",
                       STR_ARG(str_slice(path, 0, 300)), sizeof m->output->path - 1);
    if (m->output_count == MANIFEST_OUTPUTS_MAX)
        return err_set(ERR_LIMIT, "manifest: task %s has more than %d outputs: use more shards",
                       m->task, MANIFEST_OUTPUTS_MAX);
    /* Grown at powers of two, so that the count alone tells the capacity. */
    if ((m->output_count & (m->output_count - 1)) == 0) {
        size_t room = m->output_count ? (size_t)m->output_count * 2 : 1;
        struct manifest_output *grown = realloc(m->output, room * sizeof *grown);
        if (!grown)
            return err_set(ERR_LIMIT, "manifest: no memory for %zu outputs", room);
        m->output = grown;
    }
    struct manifest_output *output = &m->output[m->output_count++];
    *output = (struct manifest_output){.info = *info};
    memcpy(output->path, path.ptr, path.len);
    return 0;
}

int manifest_add_output(struct manifest *m, const char *relative_path, const struct io_info *info)
{
    return add_output(m, str_of(relative_path), info);
}

static int add_count(struct manifest *m, struct str name, uint64_t value)
{
    for (uint32_t i = 0; i < m->count_count; i++)
        if (str_is(name, m->count[i].name)) {
            m->count[i].value += value;
            return 0;
        }
    if (name.len >= sizeof m->count->name || memchr(name.ptr, 0, name.len))
        return err_set(ERR_LIMIT, "manifest: the name of count \"%.*s\" has more than %zu bytes",
                       STR_ARG(str_slice(name, 0, 100)), sizeof m->count->name - 1);
    if (m->count_count == MANIFEST_COUNTS_MAX)
        return err_set(ERR_LIMIT, "manifest: task %s has more than %d counts", m->task,
                       MANIFEST_COUNTS_MAX);
    struct manifest_count *count = &m->count[m->count_count++];
    *count = (struct manifest_count){.value = value};
    memcpy(count->name, name.ptr, name.len);
    return 0;
}

int manifest_add_count(struct manifest *m, const char *name, uint64_t value)
{
    return add_count(m, str_of(name), value);
}

uint64_t manifest_get_count(const struct manifest *m, const char *name)
{
    for (uint32_t i = 0; i < m->count_count; i++)
        if (strcmp(m->count[i].name, name) == 0)
            return m->count[i].value;
    return 0;
}

void manifest_free(struct manifest *m)
{
    free(m->output);
    *m = (struct manifest){0};
}

/* ---- the text ---- */

static void put_hash(struct json_writer *w, struct hash128 hash)
{
    char hex[33];
    hash_hex(hash, hex);
    json_put_str(w, str_of(hex));
}

/* Everything but the seal, which is the hash of what stands here. */
static void put_body(struct json_writer *w, const struct manifest *m)
{
    json_open(w, '{');
    json_field_text(w, "task", m->task);
    json_field_u64(w, "shard", m->shard);
    json_field_u64(w, "shards", m->shard_count);
    json_field_text(w, "recipe", m->recipe_hash);
    json_field_open(w, "outputs", '[');
    for (uint32_t i = 0; i < m->output_count; i++) {
        json_open(w, '{');
        json_field_text(w, "path", m->output[i].path);
        json_field_u64(w, "bytes", m->output[i].info.bytes);
        json_key(w, "xxh3");
        put_hash(w, m->output[i].info.hash);
        json_close(w, '}');
    }
    json_close(w, ']');
    json_field_open(w, "counts", '{');
    for (uint32_t i = 0; i < m->count_count; i++)
        json_field_u64(w, m->count[i].name, m->count[i].value);
    json_close(w, '}');
}

static int build_text(const struct manifest *m, struct buf *text)
{
    struct json_writer w;
    json_begin(&w, text);
    put_body(&w, m);
    struct hash128 seal = hash128(text->ptr, text->len);
    json_key(&w, "seal");
    put_hash(&w, seal);
    json_close(&w, '}');
    buf_char(text, '\n');
    return text->failed ? err_set(ERR_LIMIT, "manifest: no memory for task %s", m->task) : 0;
}

int manifest_write(const struct manifest *m, const char *run_dir, const char *path)
{
    struct buf text = {0};
    char at[IO_PATH_MAX];
    int rc = 0;
    /* The manifest is what others believe: it may not promise what is not there. */
    for (uint32_t i = 0; i < m->output_count; i++) {
        uint64_t bytes = 0;
        TRY_OUT(io_path(at, "%s/%s", run_dir, m->output[i].path));
        if (io_size(at, &bytes) < 0 || bytes != m->output[i].info.bytes) {
            rc = err_set(ERR_IO, "%s: has %llu bytes, %llu were written: something changed it", at,
                         (unsigned long long)bytes, (unsigned long long)m->output[i].info.bytes);
            goto out;
        }
    }
    TRY_OUT(build_text(m, &text));
    rc = io_write_file(path, buf_view(&text));
out:
    buf_free(&text);
    return rc;
}

/* ---- reading it back ---- */

static bool read_u32(const struct json *object, const char *key, uint32_t *out)
{
    uint64_t value;
    if (!json_u64(json_get(object, key), &value) || value > UINT32_MAX)
        return false;
    *out = (uint32_t)value;
    return true;
}

static bool copy_text(const struct json *object, const char *key, char *to, size_t to_bytes)
{
    struct str text = json_str(object, key, (struct str){0});
    if (!text.ptr || text.len >= to_bytes)
        return false;
    memcpy(to, text.ptr, text.len);
    to[text.len] = 0;
    return true;
}

static bool read_outputs(struct manifest *m, const struct json *list)
{
    if (!list || list->type != JSON_ARRAY)
        return false;
    for (const struct json *each = list->child; each; each = each->next) {
        struct io_info info;
        if (!json_u64(json_get(each, "bytes"), &info.bytes) ||
            !hash_from_hex(json_str(each, "xxh3", (struct str){0}), &info.hash) ||
            add_output(m, json_str(each, "path", (struct str){0}), &info) < 0)
            return false;
    }
    return true;
}

static bool read_counts(struct manifest *m, const struct json *list)
{
    uint64_t value;
    if (!list || list->type != JSON_OBJECT)
        return false;
    for (const struct json *each = list->child; each; each = each->next)
        if (!json_u64(each, &value) || add_count(m, each->key, value) < 0)
            return false;
    return true;
}

/* True when text is, byte for byte, what build_text makes of its contents, seal included: a flipped
 * bit, an edited number, a cut and a hand-made file all fail. */
static bool read_text(struct manifest *m, struct arena *a, struct str text)
{
    struct json *root;
    struct buf again = {0};
    bool same =
        json_parse(a, text, &root) == 0 && copy_text(root, "task", m->task, sizeof m->task) &&
        copy_text(root, "recipe", m->recipe_hash, sizeof m->recipe_hash) &&
        read_u32(root, "shard", &m->shard) && read_u32(root, "shards", &m->shard_count) &&
        read_outputs(m, json_get(root, "outputs")) && read_counts(m, json_get(root, "counts")) &&
        build_text(m, &again) == 0 && str_eq(buf_view(&again), text);
    buf_free(&again);
    return same;
}

/* 1 when every output is as it was written. */
static int check_outputs(const struct manifest *m, const char *run_dir, bool verify)
{
    char at[IO_PATH_MAX];
    for (uint32_t i = 0; i < m->output_count; i++) {
        const struct io_info *want = &m->output[i].info;
        struct io_info have = {0};
        TRY(io_path(at, "%s/%s", run_dir, m->output[i].path));
        if (!io_exists(at))
            return 0;
        bool hashed = verify && (want->hash.low | want->hash.high);
        TRY(hashed ? io_hash_file(at, &have) : io_size(at, &have.bytes));
        if (have.bytes != want->bytes ||
            (hashed && (have.hash.low != want->hash.low || have.hash.high != want->hash.high))) {
            log_warn("%s: is not what task %s wrote: it will be made again", at, m->task);
            return 0;
        }
    }
    return 1;
}

int manifest_read(struct manifest *m, const char *path)
{
    struct arena a = {0};
    char *bytes = NULL;
    size_t len;
    int rc = 0;
    *m = (struct manifest){0};
    if (!io_exists(path))
        return 0;
    TRY_OUT(io_read_file(path, MANIFEST_BYTES_MAX, &bytes, &len));
    TRY_OUT(arena_open(&a, MANIFEST_ARENA));
    rc = read_text(m, &a, (struct str){bytes, len});
    if (rc == 0)
        log_warn("%s: is damaged or was edited: the task will be done again", path);
out:
    if (rc <= 0)
        manifest_free(m);
    arena_close(&a);
    free(bytes);
    return rc;
}

int manifest_check(struct manifest *m, const char *run_dir, const char *path,
                   const char *recipe_hash, bool verify)
{
    int rc = manifest_read(m, path);
    if (rc <= 0)
        return rc;
    if (strcmp(m->recipe_hash, recipe_hash) != 0)
        rc = err_set(ERR_USAGE,
                     "%s: was made by recipe %.8s, this one is %.8s: use another run "
                     "folder or the recipe as it was",
                     path, m->recipe_hash, recipe_hash);
    else
        rc = check_outputs(m, run_dir, verify);
    if (rc <= 0)
        manifest_free(m);
    return rc;
}

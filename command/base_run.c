/* base_run - [store] path: which run a run borrows store, tokenizer, held-out text and ledger from.
 *
 * RUN/base.json: {"path": its folder, "recipe": hash of its recipe, "tokenizer": hash of its
 * tokenizer, "store": the store's identity when the run began}. Recipe and tokenizer must stay; the
 * folder may move, and documents may come and go: views are then made again, and a training that
 * has begun refuses to go on with another past. */
#include "command/run.h"
#include "core/err.h"
#include "core/json.h"
#include "core/ledger.h"
#include "core/log.h"

#include <limits.h>
#include <stdlib.h>

enum { RUN_JSON_MAX = 64 << 20 };

struct base_facts {
    char recipe[40], tokenizer[33], store[33];
};

static void fact(const struct json *root, const char *key, char *to, size_t to_bytes)
{
    snprintf(to, to_bytes, "%.*s", STR_ARG(str_slice(json_str(root, key, STR("")), 0, 39)));
}

static int read_object(struct run *r, const char *path, struct json **out)
{
    char *text;
    size_t len;
    TRY(io_read_file(path, RUN_JSON_MAX, &text, &len));
    int rc = json_parse(&r->arena, (struct str){text, len}, out);
    free(text);
    return rc < 0 ? err_in(rc, "%s", path) : 0;
}

/* The folder that path means: that run's own, or the one it borrows from itself. */
static int base_find(struct run *r, const char *path)
{
    char at[IO_PATH_MAX], full[PATH_MAX];
    TRY(ledger_base(path, at));
    if (!realpath(at, full))
        return err_set(ERR_USAGE, "[store] path = \"%s\": there is no folder %s", path, at);
    TRY(io_path(r->base, "%s", full));
    TRY(io_path(at, "%s/store/data.mdb", r->base));
    if (!io_exists(at))
        return err_set(ERR_USAGE,
                       "[store] path = \"%s\": there is no store/data.mdb: name a folder of "
                       "`sluice run` whose task store is done, or of `sluice store import`",
                       path);
    return 0;
}

static int base_look(struct run *r, struct base_facts *f)
{
    char path[IO_PATH_MAX];
    struct store *s;
    struct json *root;
    memset(f, 0, sizeof *f);
    TRY(io_path(path, "%s/store", r->base));
    TRY(store_open(&s, path));
    hash_hex(store_meta(s)->tokenizer_hash, f->tokenizer);
    hash_hex(store_identity(s), f->store);
    store_close(s);
    TRY(io_path(path, "%s/run.json", r->base));
    if (!io_exists(path))
        return 0;
    TRY(read_object(r, path, &root));
    fact(root, "recipe_hash", f->recipe, sizeof f->recipe);
    return 0;
}

static int base_write(const struct run *r, const struct base_facts *f, const char *path)
{
    struct buf text = {0};
    struct json_writer w;
    json_begin(&w, &text);
    json_open(&w, '{');
    const struct {
        const char *key, *value;
    } row[] = {
        {"path", r->base}, {"recipe", f->recipe}, {"tokenizer", f->tokenizer}, {"store", f->store}};
    for (size_t i = 0; i < COUNT_OF(row); i++)
        json_field_text(&w, row[i].key, row[i].value);
    json_close(&w, '}');
    buf_char(&text, '\n');
    int rc =
        text.failed ? err_set(ERR_LIMIT, "run: no memory") : io_write_file(path, buf_view(&text));
    buf_free(&text);
    return rc;
}

int base_freeze(struct run *r)
{
    char path[IO_PATH_MAX];
    struct base_facts now, then;
    struct json *root;
    TRY(base_find(r, r->recipe->store.path));
    TRY(base_look(r, &now));
    TRY(io_path(path, "%s/base.json", r->dir));
    if (!io_exists(path))
        return base_write(r, &now, path);
    TRY(read_object(r, path, &root));
    fact(root, "recipe", then.recipe, sizeof then.recipe);
    fact(root, "tokenizer", then.tokenizer, sizeof then.tokenizer);
    fact(root, "store", then.store, sizeof then.store);
    if (strcmp(now.recipe, then.recipe) != 0 || strcmp(now.tokenizer, then.tokenizer) != 0)
        return err_set(ERR_USAGE,
                       "%s was begun on another store than %s's (recipe %.8s, tokenizer %.8s "
                       "there; %.8s, %.8s here): choose another --run",
                       r->dir, r->base, then.recipe, then.tokenizer, now.recipe, now.tokenizer);
    if (str_is(json_str(root, "path", STR("")), r->base))
        return 0;
    log_info("the store of %s lies at %s now", r->dir, r->base);
    return base_write(r, &then, path);
}

int base_store(const char *run_dir, char out[IO_PATH_MAX])
{
    char base[IO_PATH_MAX], path[IO_PATH_MAX];
    TRY(ledger_base(run_dir, base));
    TRY(io_path(path, "%s/store/data.mdb", base));
    if (strcmp(base, run_dir) == 0 && !io_exists(path))
        return err_set(ERR_USAGE,
                       "%s: no store/data.mdb there: name a folder of `sluice run` whose task "
                       "store is done (sluice status), or of `sluice store import`",
                       run_dir);
    if (!io_exists(path))
        return err_set(ERR_USAGE,
                       "%s is on the store of %s, which is not there: when it was moved, run the "
                       "recipe of %s again with --set store.path=WHERE_IT_IS",
                       run_dir, base, run_dir);
    return io_path(out, "%s/store", base);
}

int base_load(struct run *r)
{
    return r->recipe->borrowed ? ledger_base(r->dir, r->base) : io_path(r->base, "%s", r->dir);
}

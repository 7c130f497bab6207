/* store_change - `sluice store append|remove`: another run's documents into a run's store, and
 * documents out of it. */
#include "command/changes.h"
#include "command/store_tool.h"
#include "command/summary.h"
#include "core/err.h"
#include "core/json.h"
#include "core/ledger.h"
#include "core/log.h"

#include <stdlib.h>
#include <unistd.h>

/* ---- what both do ---- */
struct changing {
    char dir[IO_PATH_MAX], store[IO_PATH_MAX];
    struct changes changes;
    struct arena *arena;
    int lock; /* of the run's folder */
};

static void changing_close(struct changing *c)
{
    changes_close(&c->changes);
    if (c->lock >= 0)
        close(c->lock);
    c->lock = -1;
}

/* Brings what knows the file's size up to date: the task's manifest and RUN/store.json. */
static int run_note(struct changing *c)
{
    char path[IO_PATH_MAX];
    struct run *r = arena_push_zero(c->arena, sizeof *r, 16);
    struct recipe *recipe = arena_push_zero(c->arena, sizeof *recipe, 16);
    struct manifest *m = arena_push_zero(c->arena, sizeof *m, 16);
    int rc;
    TRY(io_path(path, "%s/run.json", c->dir));
    if (!io_exists(path))
        return 0; /* made by `store import`: no task wrote it */
    if (!r || !recipe || !m)
        return err_set(ERR_LIMIT, "store: no memory");
    TRY(io_path(path, "%s/done/store/00000.json", c->dir));
    int found = manifest_read(m, path);
    TRY(found);
    for (uint32_t i = 0; found && i < m->output_count; i++) {
        if (strcmp(m->output[i].path, "store/data.mdb") != 0)
            continue;
        char file[IO_PATH_MAX];
        m->output[i].info = (struct io_info){0}; /* its blocks have sums of their own */
        TRY(io_path(file, "%s/store/data.mdb", c->dir));
        TRY(io_size(file, &m->output[i].info.bytes));
    }
    rc = found ? manifest_write(m, c->dir, path) : 0;
    manifest_free(m);
    TRY(rc);
    TRY_OUT(run_open(r, recipe, c->dir));
    rc = summary_store_json(r);
out:
    run_close(r);
    recipe_close(recipe);
    return rc;
}

static int remove_again(struct changing *c, struct change *e, struct store_removal *done)
{
    TRY(store_remove(c->store, c->changes.removed + e->ids_from, e->ids, NULL, done));
    TRY(run_note(c));
    return changes_end(&c->changes, done->documents, done->tokens);
}

/* What an earlier command was killed in is finished, when it was a removal; forgotten, when it was
 * an append that left nothing; noted as done, when all of it was done but the note. */
static int unfinished_end(struct changing *c)
{
    struct change *e = c->changes.count ? &c->changes.entry[c->changes.count - 1] : NULL;
    struct store_removal gone;
    struct store *s;
    uint32_t count;
    bool there = false;
    if (!e || e->done)
        return 0;
    if (!e->append) {
        log_info("store: finishing the removal that was begun at %s", e->time);
        return remove_again(c, e, &gone);
    }
    TRY(store_open(&s, c->store));
    const struct store_origin *origin = store_origins(s, &count);
    for (uint32_t i = 0; i < count; i++)
        there |= origin[i].identity.low == e->identity.low &&
                 origin[i].identity.high == e->identity.high;
    store_close(s);
    if (!there)
        return changes_forget(&c->changes);
    TRY(run_note(c));
    return changes_end(&c->changes, e->documents, e->tokens);
}

static int changing_open(struct changing *c, const struct store_flags *flags, struct arena *a)
{
    char base[IO_PATH_MAX], path[IO_PATH_MAX];
    memset(c, 0, sizeof *c);
    c->arena = a;
    c->lock = -1;
    if (!flags->run || !flags->run[0])
        return err_set(ERR_USAGE, "store: --run=DIR is missing: name a folder that `sluice run` or "
                                  "`sluice store import` made");
    TRY(io_path(c->dir, "%s", flags->run));
    TRY(ledger_base(c->dir, base));
    if (strcmp(base, c->dir) != 0)
        return err_set(ERR_USAGE, "store: %s trains on the store of %s: change that one", c->dir,
                       base);
    TRY(io_path(c->store, "%s/store", c->dir));
    TRY(io_path(path, "%s/data.mdb", c->store));
    if (!io_exists(path))
        return err_set(ERR_USAGE,
                       "store: %s is not there: name the folder of a run that has got as "
                       "far as its store",
                       path);
    TRY(run_lock(c->dir, &c->lock));
    int rc = changes_open(&c->changes, c->dir);
    if (rc >= 0)
        rc = unfinished_end(c);
    if (rc < 0)
        changing_close(c);
    return rc;
}

/* ---- append ---- */

static int from_look(const char *from, struct change *e)
{
    char path[IO_PATH_MAX], data[IO_PATH_MAX], folder[IO_PATH_MAX];
    struct store *s;
    if (!realpath(from, folder))
        return err_sys("store: open %s", from);
    if (strlen(folder) >= sizeof e->from)
        return err_set(ERR_LIMIT, "store: the path %s is longer than %zu bytes: rename a folder",
                       folder, sizeof e->from - 1);
    memcpy(e->from, folder, strlen(folder) + 1);
    TRY(changes_store_path(folder, path));
    TRY(io_path(data, "%s/data.mdb", path));
    if (!io_exists(data))
        return err_set(ERR_USAGE,
                       "store append: %s: no store/data.mdb there: name a folder of `sluice run` "
                       "whose task store is done (sluice status), or of `sluice store import`",
                       from);
    TRY(store_open(&s, path));
    e->identity = store_identity(s);
    store_close(s);
    return 0;
}

int store_append_run(const struct store_flags *flags, struct arena *a)
{
    struct changing c;
    struct appended done;
    struct change e = {.append = true};
    if (!flags->from || !flags->from[0])
        return err_set(ERR_USAGE,
                       "store append: --from=DIR is missing: the run whose documents are "
                       "to be appended");
    TRY(changing_open(&c, flags, a));
    int rc = from_look(flags->from, &e);
    if (rc >= 0)
        rc = changes_begin(&c.changes, &e, NULL, 0);
    if (rc >= 0) {
        rc = changes_append(&c.changes, flags->from, c.changes.removed_count, e.identity, &done);
        if (rc < 0) { /* refused or failed: the store is as it was */
            char why[1024];
            err_copy_to(why, sizeof why);
            changes_forget(&c.changes);
            err_set(rc, "%s", why);
        }
    }
    if (rc >= 0)
        rc = run_note(&c);
    if (rc >= 0)
        rc = changes_end(&c.changes, done.documents, done.tokens);
    changing_close(&c);
    TRY(rc);
    if (flags->json)
        printf("{\"documents\":%llu,\"tokens\":%llu,\"left_out\":%llu}\n",
               (unsigned long long)done.documents, (unsigned long long)done.tokens,
               (unsigned long long)done.left_out);
    else
        printf("%llu documents, %llu tokens of %s stand behind those of %s; %llu were left out, as "
               "they were removed before\n",
               (unsigned long long)done.documents, (unsigned long long)done.tokens, e.from, c.dir,
               (unsigned long long)done.left_out);
    return 0;
}

/* ---- remove ---- */
struct id_list {
    uint64_t *id;
    size_t count, max;
};

static int id_parse(struct str text, uint64_t *id)
{
    *id = 0;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        int digit = c >= '0' && c <= '9'   ? c - '0'
                    : c >= 'a' && c <= 'f' ? c - 'a' + 10
                    : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                           : -1;
        if (digit < 0)
            return -1;
        *id = *id << 4 | (uint64_t)digit;
    }
    return text.len == 16 ? 0 : -1;
}

static int id_add(struct id_list *list, uint64_t id)
{
    if (list->count == list->max) {
        size_t max = list->max ? list->max * 2 : 1024;
        uint64_t *grown = realloc(list->id, max * sizeof *grown);
        if (!grown)
            return err_set(ERR_LIMIT, "no memory for %zu ids", max);
        list->id = grown;
        list->max = max;
    }
    list->id[list->count++] = id;
    return 0;
}

/* An id a line, as `sluice why` and `store trace` print it, or JSON lines with an "id". */
static int ids_read(const char *path, struct id_list *list, struct arena *a)
{
    struct io_reader *in;
    struct str line;
    uint64_t number = 0, id;
    int rc;
    TRY(io_open(&in, path));
    while ((rc = io_read_line(in, &line)) > 0) {
        size_t mark = a->used;
        number++;
        line = str_trim(line);
        if (line.len == 0)
            continue;
        if (line.ptr[0] == '{') {
            struct json *root;
            if ((rc = json_parse(a, line, &root)) < 0)
                break;
            line = json_str(root, "id", STR(""));
        }
        if (id_parse(line, &id) < 0) {
            rc = err_set(ERR_FORMAT,
                         "\"%.*s\" is no id: 16 hexadecimal digits, as `sluice why` "
                         "prints them",
                         (int)(line.len < 40 ? line.len : 40), line.ptr);
            break;
        }
        if ((rc = id_add(list, id)) < 0)
            break;
        arena_reset(a, mark);
    }
    io_close(in);
    return rc < 0 ? err_in(rc, "%s: line %llu", path, (unsigned long long)number) : 0;
}

static void removal_print(const struct changing *c, const struct store_removal *r)
{
    printf("%llu documents, %llu tokens removed from %s\n", (unsigned long long)r->documents,
           (unsigned long long)r->tokens, c->store);
    printf("%llu blocks were written anew, %llu pages that had held old ones overwritten\n",
           (unsigned long long)r->blocks, (unsigned long long)r->pages);
    printf("proof: all %llu documents ever removed read back as <|endoftext|> only; no domain's "
           "view holds a place of theirs; all %llu pages of the file in no tree (of %llu) are "
           "zeros\n",
           (unsigned long long)r->proved, (unsigned long long)r->proved_pages,
           (unsigned long long)r->file_pages);
    printf("Text and tokens of the documents still lie in %s/corpus, tokens and spool, from which "
           "no training reads; the ids are in %s/removed.txt.\n",
           c->dir, c->dir);
}

static int unknown_print(const struct id_list *list, const enum store_fate *fate, int64_t limit)
{
    int64_t shown = 0;
    for (size_t i = 0; i < list->count && shown < limit; i++)
        if (fate[i] == STORE_UNKNOWN) {
            printf("unknown: %016llx\n", (unsigned long long)list->id[i]);
            shown++;
        }
    return 0;
}

int store_remove_ids(const struct store_flags *flags, struct arena *a)
{
    struct changing c;
    struct id_list list = {0};
    struct store_removal done;
    enum store_fate *fate = NULL;
    int rc;
    if (!flags->ids || !flags->ids[0])
        return err_set(ERR_USAGE, "store remove: --ids=FILE is missing: an id a line, as `sluice "
                                  "why` prints them");
    memset(&c, 0, sizeof c);
    c.lock = -1;
    TRY_OUT(ids_read(flags->ids, &list, a));
    TRY_OUT(changing_open(&c, flags, a));
    fate = calloc(list.count + 1, sizeof *fate);
    TRY_OUT(fate ? 0 : err_set(ERR_LIMIT, "store: no memory for %zu ids", list.count));
    TRY_OUT(changes_begin(&c.changes, &(struct change){0}, list.id, list.count));
    TRY_OUT(store_remove(c.store, list.id, list.count, fate, &done));
    TRY_OUT(run_note(&c));
    TRY_OUT(changes_end(&c.changes, done.documents, done.tokens));
    if (flags->json) {
        printf("{\"documents\":%llu,\"tokens\":%llu,\"unknown\":%llu,\"blocks\":%llu,\"pages\":"
               "%llu,\"proved\":%llu}\n",
               (unsigned long long)done.documents, (unsigned long long)done.tokens,
               (unsigned long long)done.unknown, (unsigned long long)done.blocks,
               (unsigned long long)done.pages, (unsigned long long)done.proved);
    } else {
        removal_print(&c, &done);
        if (done.unknown)
            printf("%llu of %zu ids stand for no document here:\n",
                   (unsigned long long)done.unknown, list.count);
        unknown_print(&list, fate, flags->limit);
    }
out:
    changing_close(&c);
    free(list.id);
    free(fate);
    return rc < 0 ? rc : 0;
}

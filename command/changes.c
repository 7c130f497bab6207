/* changes - notes appends and removals before and after they are done, and does them again. */
#include "command/changes.h"
#include "core/err.h"
#include "core/json.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

enum { CHANGES_BYTES_MAX = 256 << 20, RUN_JSON_BYTES_MAX = 64 << 20, ID_DIGITS = 16 };
#define CHANGES_ARENA (4ull << 30)

/* ---- the two files ---- */

static bool id_read(struct str text, uint64_t *id)
{
    *id = 0;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
        if (digit < 0)
            return false;
        *id = *id << 4 | (uint64_t)digit;
    }
    return text.len == ID_DIGITS;
}

static int removed_read(struct changes *c)
{
    char path[IO_PATH_MAX], *text = NULL;
    size_t len;
    int rc = 0;
    TRY(io_path(path, "%s/removed.txt", c->dir));
    if (!io_exists(path))
        return 0;
    TRY(io_read_file(path, (size_t)1 << 40, &text, &len));
    c->removed = malloc((len / (ID_DIGITS + 1) + 1) * sizeof *c->removed);
    if (!c->removed)
        rc = err_set(ERR_LIMIT, "store: no memory for the ids of %s", path);
    if (len % (ID_DIGITS + 1) != 0)
        rc = err_set(ERR_FORMAT, "%s: is no list of ids of %d digits: restore it", path, ID_DIGITS);
    for (size_t at = 0; at < len && rc >= 0; at += ID_DIGITS + 1)
        if (text[at + ID_DIGITS] != '\n' ||
            !id_read((struct str){text + at, ID_DIGITS}, &c->removed[c->removed_count++]))
            rc = err_set(ERR_FORMAT, "%s: line %zu is no id: restore it", path,
                         at / (ID_DIGITS + 1) + 1);
    free(text);
    return rc;
}

static bool number_read(const struct json *root, const char *key, uint64_t *to)
{
    const struct json *value = json_get(root, key);
    *to = 0;
    return !value || json_u64(value, to);
}

static bool change_read(const struct json *root, struct change *e)
{
    struct str kind = json_str(root, "change", STR("")), state = json_str(root, "state", STR(""));
    struct str from = json_str(root, "from", STR("")), when = json_str(root, "time", STR(""));
    struct str identity = json_str(root, "identity", STR(""));
    e->append = str_is(kind, "append");
    e->done = str_is(state, "done");
    if ((!e->append && !str_is(kind, "remove")) || (!e->done && !str_is(state, "begun")) ||
        from.len >= sizeof e->from || when.len >= sizeof e->time ||
        (e->append && !hash_from_hex(identity, &e->identity)))
        return false;
    memcpy(e->from, from.ptr, from.len);
    memcpy(e->time, when.ptr, when.len);
    return number_read(root, "removed_before", &e->removed_before) &&
           number_read(root, "ids_from", &e->ids_from) && number_read(root, "ids", &e->ids) &&
           number_read(root, "documents", &e->documents) && number_read(root, "tokens", &e->tokens);
}

static int entry_add(struct changes *c, const struct change *e)
{
    struct change *grown = realloc(c->entry, (c->count + 1) * sizeof *grown);
    if (!grown)
        return err_set(ERR_LIMIT, "store: no memory for %zu changes", c->count + 1);
    c->entry = grown;
    c->entry[c->count++] = *e;
    return 0;
}

static int entries_read(struct changes *c)
{
    char path[IO_PATH_MAX], *text = NULL;
    size_t len;
    struct arena a = {0};
    int rc = 0;
    TRY(io_path(path, "%s/changes.jsonl", c->dir));
    if (!io_exists(path))
        return 0;
    TRY_OUT(io_read_file(path, CHANGES_BYTES_MAX, &text, &len));
    TRY_OUT(arena_open(&a, CHANGES_ARENA));
    struct str rest = {text, len};
    while (rest.len) {
        struct str line = str_cut(rest, '\n', &rest);
        struct json *root;
        struct change e = {0};
        arena_reset(&a, 0);
        if (line.len == 0)
            continue;
        if (json_parse(&a, line, &root) < 0 || !change_read(root, &e) ||
            e.ids_from > c->removed_count || e.ids > c->removed_count - e.ids_from ||
            e.removed_before > c->removed_count) {
            rc = err_set(ERR_FORMAT, "%s: line %zu is damaged, or removed.txt is: restore them",
                         path, c->count + 1);
            goto out;
        }
        TRY_OUT(entry_add(c, &e));
    }
out:
    arena_close(&a);
    free(text);
    return rc;
}

int changes_open(struct changes *c, const char *run_dir)
{
    memset(c, 0, sizeof *c);
    TRY(io_path(c->dir, "%s", run_dir));
    int rc = removed_read(c);
    if (rc >= 0)
        rc = entries_read(c);
    if (rc < 0) {
        changes_close(c);
        return rc;
    }
    /* Ids that a kill left without the entry they were for. */
    uint64_t noted = 0;
    for (size_t i = 0; i < c->count; i++)
        if (c->entry[i].ids_from + c->entry[i].ids > noted)
            noted = c->entry[i].ids_from + c->entry[i].ids;
    c->removed_count = (size_t)noted;
    return 0;
}

void changes_close(struct changes *c)
{
    free(c->entry);
    free(c->removed);
    memset(c, 0, sizeof *c);
}

static void entry_write(struct buf *to, const struct change *e)
{
    struct json_writer w;
    char hex[33];
    const struct {
        const char *key;
        uint64_t value;
    } number[] = {{"removed_before", e->removed_before},
                  {"ids_from", e->ids_from},
                  {"ids", e->ids},
                  {"documents", e->documents},
                  {"tokens", e->tokens}};
    json_begin(&w, to);
    json_open(&w, '{');
    json_field_text(&w, "change", e->append ? "append" : "remove");
    json_field_text(&w, "state", e->done ? "done" : "begun");
    if (e->append) {
        hash_hex(e->identity, hex);
        json_field_text(&w, "from", e->from);
        json_field_text(&w, "identity", hex);
    }
    for (size_t i = 0; i < COUNT_OF(number); i++) {
        if (i < 3 && (i == 0) != e->append)
            continue;
        json_field_u64(&w, number[i].key, number[i].value);
    }
    json_field_text(&w, "time", e->time);
    json_close(&w, '}');
    buf_char(to, '\n');
}

static int buf_to_file(const char *dir, const char *name, struct buf *text)
{
    char path[IO_PATH_MAX];
    int rc = text->failed ? err_set(ERR_LIMIT, "store: no memory to write %s", name)
                          : io_path(path, "%s/%s", dir, name);
    if (rc >= 0)
        rc = io_write_file(path, buf_view(text));
    buf_free(text);
    return rc;
}

static int entries_write(const struct changes *c)
{
    struct buf text = {0};
    for (size_t i = 0; i < c->count; i++)
        entry_write(&text, &c->entry[i]);
    return buf_to_file(c->dir, "changes.jsonl", &text);
}

static int removed_write(const struct changes *c)
{
    struct buf text = {0};
    char line[ID_DIGITS + 2];
    for (size_t i = 0; i < c->removed_count; i++) {
        snprintf(line, sizeof line, "%016llx\n", (unsigned long long)c->removed[i]);
        buf_text(&text, line);
    }
    return buf_to_file(c->dir, "removed.txt", &text);
}

static int u64_compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

/* A sorted copy of the first count ids of removed.txt; free. */
static uint64_t *removed_sorted(const struct changes *c, uint64_t count)
{
    uint64_t *sorted = malloc((count + 1) * sizeof *sorted);
    if (!sorted)
        return NULL;
    if (count)
        memcpy(sorted, c->removed, count * sizeof *sorted);
    qsort(sorted, count, sizeof *sorted, u64_compare);
    return sorted;
}

int changes_begin(struct changes *c, const struct change *now, const uint64_t *ids, size_t count)
{
    struct change e = *now;
    time_t clock = time(NULL);
    struct tm utc;
    strftime(e.time, sizeof e.time, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&clock, &utc));
    e.ids_from = e.removed_before = c->removed_count;
    uint64_t *have = removed_sorted(c, c->removed_count);
    uint64_t *all = realloc(c->removed, (c->removed_count + count + 1) * sizeof *all);
    if (all)
        c->removed = all;
    if (!have || !all) {
        free(have);
        return err_set(ERR_LIMIT, "store: no memory for %zu ids", count);
    }
    for (size_t i = 0; i < count; i++)
        if (!bsearch(&ids[i], have, (size_t)e.ids_from, sizeof *have, u64_compare))
            c->removed[c->removed_count++] = ids[i];
    free(have);
    e.ids = c->removed_count - e.ids_from;
    TRY(e.ids ? removed_write(c) : 0);
    TRY(entry_add(c, &e));
    return entries_write(c);
}

int changes_end(struct changes *c, uint64_t documents, uint64_t tokens)
{
    struct change *e = &c->entry[c->count - 1];
    e->done = true;
    e->documents = documents;
    e->tokens = tokens;
    return entries_write(c);
}

int changes_forget(struct changes *c)
{
    c->count--;
    return entries_write(c);
}

/* ---- appending ---- */

int changes_store_path(const char *dir, char out[IO_PATH_MAX])
{
    char inside[IO_PATH_MAX];
    TRY(io_path(inside, "%s/data.mdb", dir));
    return io_exists(inside) ? io_path(out, "%s", dir) : io_path(out, "%s/store", dir);
}

/* Inputs and recipe of a run; 0 and "" of a folder that is none. */
static int run_facts(const char *dir, uint32_t *inputs, char recipe[40])
{
    char path[IO_PATH_MAX], *text = NULL;
    size_t len;
    struct arena a = {0};
    struct json *root;
    int rc = 0;
    *inputs = 0;
    recipe[0] = 0;
    TRY(io_path(path, "%s/run.json", dir));
    if (!io_exists(path))
        return 0;
    TRY_OUT(io_read_file(path, RUN_JSON_BYTES_MAX, &text, &len));
    TRY_OUT(arena_open(&a, CHANGES_ARENA));
    TRY_OUT(json_parse(&a, (struct str){text, len}, &root));
    *inputs = (uint32_t)json_num(root, "inputs", 0);
    snprintf(recipe, 40, "%.*s", STR_ARG(json_str(root, "recipe_hash", STR(""))));
out:
    arena_close(&a);
    free(text);
    return rc < 0 ? err_in(rc, "%s", path) : 0;
}

/* Items that a store's own run has (without those of appended runs) and the first that is free. */
static int items_of(struct store *s, uint32_t inputs, uint32_t *own, uint32_t *end)
{
    uint32_t count, last = inputs;
    const struct store_origin *origin = store_origins(s, &count);
    for (uint32_t d = 0; d < store_meta(s)->domain_count; d++) {
        struct store_doc doc;
        if (store_meta(s)->domain[d].documents == 0)
            continue;
        TRY(store_doc_at(s, d, store_meta(s)->domain[d].documents - 1, &doc));
        if (doc.item >= last)
            last = doc.item + 1;
    }
    *own = count ? origin[0].first_item : last;
    *end = count ? origin[count - 1].first_item + origin[count - 1].item_count : last;
    if (last > *end)
        *end = last;
    return 0;
}

struct appending {
    const struct changes *c;
    struct store *from;
    char folder[IO_PATH_MAX]; /* absolute */
    uint32_t shift;
    struct store_origin *origin;
    uint32_t origin_count;
    uint64_t *kept_out, kept_out_count; /* sorted */
    uint32_t *ids, ids_max;
    struct appended *out;
};

/* The rows of origins that the appended store brings: its own run, and those appended to it. */
static int origins_make(struct appending *a, uint32_t own, const char *recipe)
{
    uint32_t count;
    const struct store_origin *theirs = store_origins(a->from, &count);
    a->origin = calloc((size_t)count + 1, sizeof *a->origin);
    if (!a->origin)
        return err_set(ERR_LIMIT, "store: no memory for origins");
    a->origin[0] = (struct store_origin){
        .first_item = a->shift, .item_count = own, .identity = store_identity(a->from)};
    snprintf(a->origin[0].recipe, sizeof a->origin[0].recipe, "%s", recipe);
    if (strlen(a->folder) >= sizeof a->origin[0].run)
        return err_set(ERR_LIMIT, "store: the path %s is longer than %d bytes: rename a folder",
                       a->folder, STORE_ORIGIN_PATH_MAX - 1);
    memcpy(a->origin[0].run, a->folder, strlen(a->folder));
    for (uint32_t i = 0; i < count; i++) {
        a->origin[i + 1] = theirs[i];
        if (theirs[i].first_item > UINT32_MAX - a->shift)
            return err_set(ERR_LIMIT, "store: more than 2^32 inputs");
        a->origin[i + 1].first_item += a->shift;
    }
    a->origin_count = count + 1;
    return 0;
}

static int doc_append(struct appending *a, struct store_writer *w, uint32_t domain, uint64_t index)
{
    struct store_doc doc;
    TRY(store_doc_at(a->from, domain, index, &doc));
    if (bsearch(&doc.id, a->kept_out, a->kept_out_count, sizeof *a->kept_out, u64_compare)) {
        a->out->left_out++;
        return 0;
    }
    if (doc.token_count > a->ids_max) {
        uint32_t *grown = realloc(a->ids, doc.token_count * sizeof *grown);
        if (!grown)
            return err_set(ERR_LIMIT, "store: no memory for a document of %u tokens",
                           doc.token_count);
        a->ids = grown;
        a->ids_max = doc.token_count;
    }
    TRY(store_read(a->from, domain, doc.token_start + 1, doc.token_count - 1, a->ids));
    a->out->documents++;
    a->out->tokens += doc.token_count;
    doc.token_count--;
    doc.item += a->shift;
    return store_append(w, domain, &doc, a->ids);
}

static int documents_append(struct appending *a, struct store_writer *w)
{
    const struct store_meta *meta = store_meta(a->from);
    for (uint32_t d = 0; d < meta->domain_count; d++)
        for (uint64_t i = 0; i < meta->domain[d].documents; i++)
            if (!store_removed(a->from, d, i))
                TRY(doc_append(a, w, d, i));
    return 0;
}

/* Opens both for a moment: what must hold before anything is written. */
static int append_check(struct appending *a, const char *to, struct hash128 identity)
{
    char recipe[40], ours[40];
    struct store *s;
    uint32_t inputs, own, end, their_own, their_end, count;
    TRY(run_facts(a->folder, &inputs, recipe));
    TRY(items_of(a->from, inputs, &their_own, &their_end));
    struct hash128 have = store_identity(a->from);
    if ((identity.low | identity.high) && (have.low != identity.low || have.high != identity.high))
        return err_set(ERR_USAGE,
                       "store: %s is not what it was when it was appended: put it back, "
                       "or delete its line of changes.jsonl",
                       a->folder);
    TRY(run_facts(a->c->dir, &inputs, ours));
    TRY(store_open(&s, to));
    int rc = items_of(s, inputs, &own, &end);
    struct hash128 mine = store_identity(s);
    const struct store_origin *origin = store_origins(s, &count);
    if (rc >= 0 && mine.low == have.low && mine.high == have.high)
        rc = err_set(ERR_USAGE, "store: %s and %s hold the same documents", a->c->dir, a->folder);
    for (uint32_t i = 0; i < count && rc >= 0; i++)
        if (strcmp(origin[i].run, a->folder) == 0)
            rc = err_set(ERR_USAGE, "store: %s was appended to %s before%s", a->folder, a->c->dir,
                         origin[i].identity.low == have.low ? "" : ", and has changed since");
    store_close(s);
    TRY(rc);
    if (their_end > UINT32_MAX - end)
        return err_set(ERR_LIMIT, "store: more than 2^32 inputs");
    a->shift = end;
    return origins_make(a, their_own, recipe);
}

int changes_append(const struct changes *c, const char *from, uint64_t removed_before,
                   struct hash128 identity, struct appended *out)
{
    char path[IO_PATH_MAX], to[IO_PATH_MAX];
    struct appending a = {.c = c, .out = out};
    struct store_writer *w = NULL;
    int rc;
    *out = (struct appended){0};
    if (!realpath(from, a.folder))
        return err_sys("store: open %s", from);
    TRY(changes_store_path(a.folder, path));
    TRY(changes_store_path(c->dir, to));
    a.kept_out_count = removed_before;
    a.kept_out = removed_sorted(c, removed_before);
    TRY_OUT(a.kept_out ? 0 : err_set(ERR_LIMIT, "store: no memory for removed ids"));
    TRY_OUT(store_open(&a.from, path));
    TRY_OUT(append_check(&a, to, identity));
    TRY_OUT(store_extend(&w, to, store_meta(a.from), a.origin, a.origin_count));
    TRY_OUT(documents_append(&a, w));
    rc = store_commit(w, NULL);
    w = NULL;
out:
    store_abandon(w);
    store_close(a.from);
    free(a.kept_out);
    free(a.origin);
    free(a.ids);
    return rc;
}

/* ---- once more ---- */

int changes_replay(const char *run_dir)
{
    struct changes c;
    struct appended added;
    struct store_removal gone;
    char path[IO_PATH_MAX];
    int rc = 0;
    TRY(changes_open(&c, run_dir));
    TRY_OUT(io_path(path, "%s/store", run_dir));
    /* An append that was not finished did not happen; a removal that was asked for has to. */
    if (c.count && c.entry[c.count - 1].append && !c.entry[c.count - 1].done)
        TRY_OUT(changes_forget(&c));
    for (size_t i = 0; i < c.count; i++) {
        const struct change *e = &c.entry[i];
        if (e->append)
            TRY_OUT(changes_append(&c, e->from, e->removed_before, e->identity, &added));
        else
            TRY_OUT(store_remove(path, c.removed + e->ids_from, e->ids, NULL, &gone));
        if (!e->done)
            TRY_OUT(changes_end(&c, gone.documents, gone.tokens));
    }
out:
    changes_close(&c);
    return rc < 0 ? err_in(rc, "changes of %s", run_dir) : 0;
}

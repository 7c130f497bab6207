/* heldout - reads the held-out documents of one domain from their JSON lines. */
#include "eval/eval.h"

#include "core/err.h"
#include "core/json.h"

#include <stdlib.h>

enum { PARSE_ROOM = 32, PARSE_MIN = 1 << 20, CHOSEN_MAX = 1 << 20 };

struct heldout {
    struct io_reader *reader;
    struct arena arena;
    uint64_t line;
    const char *path;
    uint32_t *chosen, chosen_count, next; /* lines from 0; chosen NULL: all */
};

int heldout_room(struct arena *a, size_t bytes)
{
    if (a->size_max < bytes) {
        arena_close(a);
        return arena_open(a, bytes);
    }
    arena_reset(a, 0);
    return 0;
}

/* ---- which documents: the first by id ---- */

struct chosen {
    char *id;
    uint32_t length, line;
};

static int by_id(const void *a, const void *b)
{
    const struct chosen *left = a, *right = b;
    int order =
        str_cmp((struct str){left->id, left->length}, (struct str){right->id, right->length});
    return order ? order : left->line < right->line ? -1 : left->line > right->line;
}

static int by_line(const void *a, const void *b)
{
    uint32_t left = *(const uint32_t *)a, right = *(const uint32_t *)b;
    return left < right ? -1 : left > right;
}

static void chosen_free(struct chosen *list, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        free(list[i].id);
    free(list);
}

static int read_ids(const char *path, struct chosen **list, uint32_t *count)
{
    struct heldout *h = NULL;
    struct str id, text;
    uint32_t room = 0;
    int rc;
    TRY(heldout_open(&h, path, 0));
    while ((rc = heldout_next(h, &id, &text)) > 0) {
        if (*count == CHOSEN_MAX) {
            rc = err_set(ERR_LIMIT, "eval: %s has more than %d documents: set documents to 0", path,
                         CHOSEN_MAX);
            break;
        }
        if (*count == room) {
            room = room ? room * 2 : 256;
            struct chosen *grown = realloc(*list, room * sizeof *grown);
            if (!grown) {
                rc = err_set(ERR_LIMIT, "eval: no memory for %u ids", room);
                break;
            }
            *list = grown;
        }
        struct chosen *c = &(*list)[*count];
        *c = (struct chosen){malloc(id.len + 1), (uint32_t)id.len, *count};
        if (!c->id) {
            rc = err_set(ERR_LIMIT, "eval: no memory for an id of %zu bytes", id.len);
            break;
        }
        memcpy(c->id, id.ptr ? id.ptr : "", id.len);
        (*count)++;
    }
    heldout_close(h);
    return rc;
}

/* Numbers of lines, ascending, of the max documents with the smallest ids. */
static int choose(const char *path, uint32_t max, uint32_t **lines, uint32_t *count)
{
    struct chosen *list = NULL;
    uint32_t total = 0;
    int rc = read_ids(path, &list, &total);
    if (rc < 0)
        goto out;
    qsort(list, total, sizeof *list, by_id);
    *count = total < max ? total : max;
    *lines = malloc((*count + 1) * sizeof **lines);
    if (!*lines) {
        rc = err_set(ERR_LIMIT, "eval: no memory for %u documents", *count);
        goto out;
    }
    for (uint32_t i = 0; i < *count; i++)
        (*lines)[i] = list[i].line;
    qsort(*lines, *count, sizeof **lines, by_line);
out:
    chosen_free(list, total);
    return rc;
}

/* ---- the file ---- */

int heldout_open(struct heldout **out, const char *path, int64_t documents_max)
{
    struct heldout *h;
    if (documents_max < 0 || documents_max > CHOSEN_MAX)
        return err_set(ERR_USAGE, "eval: documents %lld must be 0 to %d", (long long)documents_max,
                       CHOSEN_MAX);
    h = *out = calloc(1, sizeof *h);
    if (!h)
        return err_set(ERR_LIMIT, "eval: no memory");
    h->path = path;
    int rc =
        documents_max ? choose(path, (uint32_t)documents_max, &h->chosen, &h->chosen_count) : 0;
    if (rc >= 0)
        rc = io_open(&h->reader, path);
    if (rc < 0) {
        heldout_close(h);
        *out = NULL;
    }
    return rc;
}

/* The next line that is wanted. */
static int next_line(struct heldout *h, struct str *line)
{
    int rc;
    do {
        if (h->chosen && h->next == h->chosen_count)
            return 0;
        rc = io_read_line(h->reader, line);
        if (rc <= 0)
            return rc;
        h->line++;
    } while (h->chosen && h->chosen[h->next] != h->line - 1);
    h->next++;
    return 1;
}

int heldout_next(struct heldout *h, struct str *id, struct str *text)
{
    struct str line;
    struct json *root;
    int rc = next_line(h, &line);
    if (rc <= 0)
        return rc;
    TRY(heldout_room(&h->arena, line.len * PARSE_ROOM + PARSE_MIN));
    rc = json_parse(&h->arena, line, &root);
    if (rc < 0)
        return err_in(rc, "eval: %s: line %llu", h->path, (unsigned long long)h->line);
    const struct json *name = json_get(root, "id"), *body = json_get(root, "text");
    if (!body || body->type != JSON_STRING)
        return err_set(ERR_FORMAT,
                       "eval: %s: line %llu has no \"text\": want {\"id\",\"url\",\"text\"}",
                       h->path, (unsigned long long)h->line);
    *id = name && (name->type == JSON_STRING || name->type == JSON_NUMBER) ? name->string : STR("");
    *text = body->string;
    return 1;
}

void heldout_close(struct heldout *h)
{
    if (!h)
        return;
    if (h->reader)
        io_close(h->reader);
    arena_close(&h->arena);
    free(h->chosen);
    free(h);
}

void heldout_domain(const char *path, char out[48])
{
    const char *slash = strrchr(path, '/');
    struct str name = str_of(slash ? slash + 1 : path);
    size_t end = str_find(name, STR(".jsonl"));
    name = str_slice(name, 0, end < 47 ? end : 47);
    memcpy(out, name.ptr, name.len);
    out[name.len] = 0;
}

/* heldout - reads the held-out documents of one domain from their JSON lines. */
#include "eval/eval.h"

#include "core/err.h"
#include "core/json.h"

#include <stdlib.h>

enum { PARSE_ROOM = 32, PARSE_MIN = 1 << 20 };

struct heldout {
    struct io_reader *reader;
    struct arena arena;
    uint64_t line;
    const char *path;
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

int heldout_open(struct heldout **out, const char *path)
{
    struct heldout *h = *out = calloc(1, sizeof *h);
    if (!h)
        return err_set(ERR_LIMIT, "eval: no memory");
    h->path = path;
    int rc = io_open(&h->reader, path);
    if (rc < 0) {
        heldout_close(h);
        *out = NULL;
    }
    return rc;
}

int heldout_next(struct heldout *h, struct str *id, struct str *text)
{
    struct str line;
    struct json *root;
    int rc = io_read_line(h->reader, &line);
    if (rc <= 0)
        return rc;
    h->line++;
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

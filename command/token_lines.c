/* token_lines - reads lines in blocks, hands parts of a block to threads, prints what they made in
 * the lines' order. */
#include "command/token_lines.h"

#include "command/json_rows.h"

#include "core/err.h"
#include "core/io.h"
#include "core/pool.h"

#include <stdlib.h>

enum {
    BLOCK_BYTES = 8 << 20,  /* of lines, before the threads go to work */
    PART_BYTES = 256 << 10, /* of lines a thread takes at a time */
    LINE_ARENA = 1 << 30,   /* address space: a line is at most IO_LINE_MAX */
};

struct line_ref {
    size_t start, len;
};
struct part {
    size_t first, end; /* lines */
    struct buf out;
    uint64_t documents, bytes, tokens;
    size_t bad; /* the line that failed */
    int rc;
    char error[512];
};
struct block {
    const struct token_flags *flags;
    const struct tokenizer *tokenizer;
    token_line_fn *fn;
    struct token_worker *worker;
    struct buf bytes;
    struct line_ref *line;
    size_t lines, lines_max;
    struct part *part;
    size_t parts, parts_max;
    uint64_t first_line; /* its number in the file */
    const char *path;
};

static int lines_add(struct block *b, struct str line)
{
    if (b->lines == b->lines_max) {
        size_t max = b->lines_max ? b->lines_max * 2 : 4096;
        struct line_ref *grown = realloc(b->line, sizeof *grown * max);
        if (!grown)
            return err_set(ERR_LIMIT, "no memory for %zu lines", max);
        b->line = grown;
        b->lines_max = max;
    }
    b->line[b->lines++] = (struct line_ref){b->bytes.len, line.len};
    buf_str(&b->bytes, line);
    return b->bytes.failed ? err_set(ERR_LIMIT, "no memory for a block of lines") : 0;
}

static void part_run(void *arg, int index, int thread)
{
    struct block *b = arg;
    struct part *p = &b->part[index];
    struct token_worker *w = &b->worker[thread];
    struct buf spare = w->out;
    w->out = p->out;
    w->documents = w->bytes = w->tokens = 0;
    for (size_t i = p->first; i < p->end && p->rc >= 0; i++) {
        struct str line = {b->bytes.ptr + b->line[i].start, b->line[i].len};
        arena_reset(&w->arena, 0);
        p->rc = b->fn(b->flags, b->tokenizer, w, line);
        p->bad = i;
    }
    if (p->rc < 0) {
        snprintf(p->error, sizeof p->error, "%s", err_text());
        err_clear();
    }
    p->out = w->out;
    w->out = spare;
    p->documents = w->documents;
    p->bytes = w->bytes;
    p->tokens = w->tokens;
}

static int parts_plan(struct block *b)
{
    b->parts = 0;
    for (size_t i = 0; i < b->lines;) {
        if (b->parts == b->parts_max) {
            size_t max = b->parts_max ? b->parts_max * 2 : 64;
            struct part *grown = realloc(b->part, sizeof *grown * max);
            if (!grown)
                return err_set(ERR_LIMIT, "no memory for %zu parts", max);
            memset(grown + b->parts_max, 0, sizeof *grown * (max - b->parts_max));
            b->part = grown;
            b->parts_max = max;
        }
        struct part *p = &b->part[b->parts++];
        size_t from = b->line[i].start;
        p->first = i;
        while (i < b->lines && (i == p->first || b->line[i].start - from < PART_BYTES))
            i++;
        p->end = i;
        p->rc = 0;
        buf_clear(&p->out);
    }
    return 0;
}

static int block_run(struct block *b, struct pool *pool, struct token_totals *totals)
{
    TRY(parts_plan(b));
    pool_each(pool, (int)b->parts, part_run, b);
    for (size_t i = 0; i < b->parts; i++) {
        struct part *p = &b->part[i];
        if (p->rc < 0) {
            err_set(p->rc, "%s", p->error);
            return err_in(p->rc, "%s: line %llu", b->path,
                          (unsigned long long)(b->first_line + p->bad + 1));
        }
        if (p->out.failed)
            return err_set(ERR_LIMIT, "%s: no memory for the output of %zu lines", b->path,
                           p->end - p->first);
        if (p->out.len && fwrite(p->out.ptr, 1, p->out.len, stdout) != p->out.len)
            return err_sys("standard output");
        totals->documents += p->documents;
        totals->bytes += p->bytes;
        totals->tokens += p->tokens;
    }
    b->first_line += b->lines;
    b->lines = 0;
    buf_clear(&b->bytes);
    return 0;
}

static int file_run(struct block *b, struct pool *pool, struct token_totals *totals)
{
    struct json_rows *r;
    struct str line;
    int rc;
    const char *names[] = {b->flags->field, "id"};
    TRY(json_rows_open(&r, b->path, names, COUNT_OF(names)));
    b->first_line = 0;
    while ((rc = json_rows_next(r, &line)) > 0) {
        if ((rc = lines_add(b, line)) < 0)
            break;
        if (b->bytes.len >= BLOCK_BYTES && (rc = block_run(b, pool, totals)) < 0)
            break;
    }
    json_rows_close(r);
    return rc < 0 ? rc : block_run(b, pool, totals);
}

static int workers_open(struct block *b, int threads)
{
    b->worker = calloc((size_t)threads, sizeof *b->worker);
    if (!b->worker)
        return err_set(ERR_LIMIT, "no memory for %d threads", threads);
    for (int i = 0; i < threads; i++) {
        TRY(encoder_open(&b->worker[i].encoder, b->tokenizer));
        TRY(arena_open(&b->worker[i].arena, LINE_ARENA));
    }
    return 0;
}

int token_lines(const struct token_flags *flags, const struct tokenizer *t,
                const char *const *paths, int count, token_line_fn *fn, struct token_totals *totals)
{
    struct block b = {.flags = flags, .tokenizer = t, .fn = fn};
    struct pool *pool = NULL;
    int rc, threads = 0;
    TRY_OUT(pool_open(&pool, (int)flags->threads));
    threads = pool_threads(pool);
    TRY_OUT(workers_open(&b, threads));
    for (int i = 0; i < count; i++) {
        b.path = paths[i];
        TRY_OUT(file_run(&b, pool, totals));
    }
    rc = fflush(stdout) ? err_sys("standard output") : 0;
out:
    for (int i = 0; b.worker && i < threads; i++) {
        encoder_close(b.worker[i].encoder);
        arena_close(&b.worker[i].arena);
    }
    for (size_t i = 0; i < b.parts_max; i++)
        buf_free(&b.part[i].out);
    free(b.worker);
    free(b.part);
    free(b.line);
    buf_free(&b.bytes);
    pool_close(pool);
    return rc < 0 ? rc : 0;
}

int token_pattern(const struct token_flags *flags, int *pretok)
{
    *pretok = -1;
    if (flags->pattern && flags->pattern[0] && (*pretok = pretok_find(flags->pattern)) < 0)
        return err_set(ERR_USAGE,
                       "tokenize: there is no pattern \"%s\": gpt2 (r50k), cl100k (llama3), o200k, "
                       "qwen2 (qwen3), deepseek-v3",
                       flags->pattern);
    return 0;
}

int token_line_text(const struct token_flags *flags, struct str line, struct arena *a,
                    struct json **row, struct str *text)
{
    TRY(json_parse(a, line, row));
    const struct json *v = json_get(*row, flags->field);
    if (!v || v->type != JSON_STRING)
        return err_set(ERR_FORMAT, "no string \"%s\" in this line: --field names another one",
                       flags->field);
    *text = v->string;
    return 0;
}

/* A whole file, however it is packed. */
static int file_text(const char *path, struct buf *text)
{
    struct io_reader *r;
    int64_t got = 0;
    TRY(json_rows_refuse(path));
    TRY(io_open(&r, path));
    for (;;) {
        char *at = buf_room(text, 1 << 18);
        got = at ? io_read(r, at, 1 << 18)
                 : err_set(ERR_LIMIT, "%s: more than 1 GiB: split it, or give JSON lines", path);
        if (got <= 0)
            break;
        buf_grown(text, (size_t)got);
    }
    io_close(r);
    return (int)got;
}

int token_texts(const struct token_flags *flags, const char *const *paths, int count,
                token_text_fn *fn, void *self)
{
    struct arena a = {0};
    struct buf text = {0};
    struct json_rows *r = NULL;
    int rc = 0;
    TRY(arena_open(&a, LINE_ARENA));
    for (int i = 0; i < count; i++) {
        struct str line, found;
        struct json *row;
        uint64_t number = 0;
        if (!flags->jsonl) {
            buf_clear(&text);
            TRY_OUT(file_text(paths[i], &text));
            TRY_OUT(fn(self, buf_view(&text)));
            continue;
        }
        TRY_OUT(json_rows_open(&r, paths[i], &flags->field, 1));
        while ((rc = json_rows_next(r, &line)) > 0) {
            number++;
            arena_reset(&a, 0);
            if (line.len == 0)
                continue;
            rc = token_line_text(flags, line, &a, &row, &found);
            if (rc >= 0)
                rc = fn(self, found);
            if (rc < 0) {
                err_in(rc, "%s: line %llu", paths[i], (unsigned long long)number);
                break;
            }
        }
        json_rows_close(r);
        r = NULL;
        TRY_OUT(rc);
    }
out:
    json_rows_close(r);
    arena_close(&a);
    buf_free(&text);
    return rc < 0 ? rc : 0;
}

/* token_feed - texts out of files, handed to threads: JSON lines whole, plain text in parts.
 *
 * Reading is a turn that threads take: who has nothing to do fills a batch of its own under a lock
 * and then works on it. So there is no thread of the reader's, no queue, and the memory is one
 * batch a thread. */
#include "command/token_feed.h"

#include "command/json_rows.h"

#include "core/err.h"
#include "core/io.h"
#include "core/json.h"
#include "core/pipe.h"
#include "core/pool.h"
#include "core/unicode.h"

#include <pthread.h>
#include <stdlib.h>

enum {
    BATCH_BYTES = 1 << 20,    /* of texts read in one turn */
    PART_BYTES = 64 << 10,    /* least of a part of plain text, but the last */
    PART_BYTES_MAX = 4 << 20, /* most */
    READ_BYTES = 256 << 10,
    LINE_ARENA = 1 << 30, /* address space: a line is at most IO_LINE_MAX */
};

struct batch_text {
    size_t start, len;
    uint64_t number, line;
    const char *path;
};
struct token_feed_worker {
    struct arena arena;
    struct buf bytes;
    struct batch_text *text;
    size_t texts, texts_max;
    uint64_t bad; /* number of the text that failed, when rc < 0 */
    int rc;
    char error[512];
};
struct token_feed {
    struct token_feed_conf conf;
    struct pool *pool;
    struct token_feed_worker *worker;
    int threads;
    pthread_mutex_t turn;
    /* under turn */
    const char *const *path;
    int paths, next_path;
    struct io_reader *reader; /* of plain text; else: */
    struct json_rows *rows;
    struct buf plain; /* of the file at hand, not handed out yet */
    uint64_t number, line;
    bool ended, failed;
    token_feed_fn *fn;
    void *self;
};

int token_feed_open(struct token_feed **out, const struct token_feed_conf *conf, int *threads)
{
    struct token_feed *f = calloc(1, sizeof *f);
    int rc = 0;
    if (!f)
        return err_set(ERR_LIMIT, "no memory to read texts");
    f->conf = *conf;
    pthread_mutex_init(&f->turn, NULL);
    TRY_OUT(pool_open(&f->pool, conf->threads));
    f->threads = pool_threads(f->pool);
    f->worker = calloc((size_t)f->threads, sizeof *f->worker);
    if (!f->worker) {
        rc = err_set(ERR_LIMIT, "no memory for %d threads", f->threads);
        goto out;
    }
    for (int i = 0; i < f->threads; i++)
        TRY_OUT(arena_open(&f->worker[i].arena, LINE_ARENA));
    *threads = f->threads;
    *out = f;
out:
    if (rc < 0)
        token_feed_close(f);
    return rc < 0 ? rc : 0;
}

void token_feed_close(struct token_feed *f)
{
    if (!f)
        return;
    for (int i = 0; f->worker && i < f->threads; i++) {
        arena_close(&f->worker[i].arena);
        buf_free(&f->worker[i].bytes);
        free(f->worker[i].text);
    }
    free(f->worker);
    pool_close(f->pool);
    buf_free(&f->plain);
    pthread_mutex_destroy(&f->turn);
    free(f);
}

/* ---- where plain text may be cut ---- */
static bool is_space_at(const char *at, const char *end)
{
    uint32_t cp;
    utf8_decode(at, end, &cp);
    return uc_is_space(cp);
}

/* The first place at or behind `from` where a part may end; SIZE_MAX: none. */
static size_t part_cut(struct str text, size_t from)
{
    for (size_t at = from ? from - 1 : 0; at + 1 < text.len; at++) {
        const char *newline = memchr(text.ptr + at, '\n', text.len - at);
        if (!newline || (size_t)(newline - text.ptr) + 1 == text.len)
            return SIZE_MAX;
        at = (size_t)(newline - text.ptr);
        /* The character in front: at most four bytes, of which the first is no tail. */
        size_t before = at;
        while (before && at - before < 4 && ((unsigned char)text.ptr[before - 1] & 0xC0) == 0x80)
            before--;
        before -= before > 0;
        /* What follows must be there as a whole to be judged. */
        if (text.len - at < 5)
            return SIZE_MAX;
        if (at && at + 1 >= from && !is_space_at(text.ptr + before, text.ptr + at) &&
            newline[1] != '/' && !is_space_at(newline + 1, text.ptr + text.len))
            return at + 1;
    }
    return SIZE_MAX;
}

/* ---- reading, one thread at a time ---- */
static int turn_add(struct token_feed *f, struct token_feed_worker *w, struct str bytes,
                    const char *path)
{
    if (w->texts == w->texts_max) {
        size_t max = w->texts_max ? w->texts_max * 2 : 256;
        struct batch_text *grown = realloc(w->text, sizeof *grown * max);
        if (!grown)
            return err_set(ERR_LIMIT, "no memory for %zu texts", max);
        w->text = grown;
        w->texts_max = max;
    }
    w->text[w->texts++] = (struct batch_text){w->bytes.len, bytes.len, f->number++, f->line, path};
    buf_str(&w->bytes, bytes);
    return w->bytes.failed ? err_set(ERR_LIMIT, "no memory for a batch of texts") : 0;
}

static int read_lines(struct token_feed *f, struct token_feed_worker *w, const char *path,
                      bool *ended)
{
    struct str line;
    int rc = 0;
    while (w->bytes.len < BATCH_BYTES && (rc = json_rows_next(f->rows, &line)) > 0) {
        f->line++;
        if (line.len)
            TRY(turn_add(f, w, line, path));
    }
    *ended = w->bytes.len < BATCH_BYTES;
    return rc < 0 ? rc : 0;
}

/* The end of the next part of what was read: SIZE_MAX: more must be read to know. */
static size_t part_end(struct str plain, bool all_read)
{
    size_t end = plain.len > PART_BYTES ? part_cut(plain, PART_BYTES) : SIZE_MAX;
    if (end <= PART_BYTES_MAX)
        return end;
    if (plain.len > PART_BYTES_MAX) {
        const char *newline = memrchr(plain.ptr, '\n', PART_BYTES_MAX);
        if (newline)
            return (size_t)(newline - plain.ptr) + 1;
        end = PART_BYTES_MAX;
        for (int i = 0; i < 3 && ((unsigned char)plain.ptr[end] & 0xC0) == 0x80; i++)
            end--;
        return end;
    }
    return all_read ? plain.len : SIZE_MAX;
}

static int read_parts(struct token_feed *f, struct token_feed_worker *w, const char *path,
                      bool *ended)
{
    size_t used = 0;
    bool all_read = false;
    while (w->bytes.len < BATCH_BYTES && !*ended) {
        struct str left = str_slice(buf_view(&f->plain), used, f->plain.len);
        size_t end = left.len ? part_end(left, all_read) : SIZE_MAX;
        if (end != SIZE_MAX) {
            TRY(turn_add(f, w, str_slice(left, 0, end), path));
            used += end;
            continue;
        }
        *ended = all_read;
        char *at = buf_room(&f->plain, READ_BYTES);
        int64_t got = at ? io_read(f->reader, at, READ_BYTES)
                         : err_set(ERR_LIMIT, "no memory for a part of text");
        if (got < 0)
            return (int)got;
        buf_grown(&f->plain, (size_t)got);
        all_read = got == 0;
    }
    if (used)
        memmove(f->plain.ptr, f->plain.ptr + used, f->plain.len - used);
    f->plain.len -= used;
    return 0;
}

static int file_open(struct token_feed *f, const char *path)
{
    const char *names[] = {f->conf.field, f->conf.domain_field, f->conf.lang_field};
    if (f->conf.jsonl)
        return json_rows_open(&f->rows, path, names, COUNT_OF(names));
    TRY(json_rows_refuse(path));
    return io_open(&f->reader, path);
}

static void file_close(struct token_feed *f)
{
    io_close(f->reader);
    json_rows_close(f->rows);
    f->reader = NULL;
    f->rows = NULL;
}

static int turn_read(struct token_feed *f, struct token_feed_worker *w)
{
    w->texts = 0;
    buf_clear(&w->bytes);
    while (!f->ended && w->bytes.len < BATCH_BYTES) {
        bool ended = false;
        if (!f->reader && !f->rows) {
            if (f->next_path == f->paths) {
                f->ended = true;
                break;
            }
            TRY(file_open(f, f->path[f->next_path++]));
            f->line = 0;
        }
        const char *path = f->path[f->next_path - 1];
        int rc = f->conf.jsonl ? read_lines(f, w, path, &ended) : read_parts(f, w, path, &ended);
        if (rc < 0)
            return err_in(rc, "%s", path);
        if (ended) {
            file_close(f);
        }
    }
    return 0;
}

/* ---- at work ---- */
static struct str base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return str_of(slash ? slash + 1 : path);
}

/* The string that a name with dots leads to; of several names with commas the first that leads to
 * one; "" when there is none. */
static struct str member_text(const struct json *row, const char *names)
{
    struct str name, more = str_of(names);
    while (more.len) {
        const struct json *at = row;
        name = str_cut(more, ',', &more);
        while (at && name.len) {
            char key[128];
            struct str part = str_cut(name, '.', &name);
            size_t len = part.len < sizeof key ? part.len : sizeof key - 1;
            memcpy(key, part.ptr, len);
            key[len] = 0;
            at = json_get(at, key);
        }
        if (at && at->type == JSON_STRING && at->string.len)
            return at->string;
    }
    return STR("");
}

static int text_run(struct token_feed *f, int thread, const struct batch_text *b)
{
    struct token_feed_worker *w = &f->worker[thread];
    struct token_feed_text t = {.text = {w->bytes.ptr + b->start, b->len},
                                .domain = base_name(b->path),
                                .lang = STR(""),
                                .path = b->path,
                                .number = b->number};
    if (f->conf.jsonl) {
        struct json *row;
        arena_reset(&w->arena, 0);
        TRY(json_parse(&w->arena, t.text, &row));
        const struct json *text = json_get(row, f->conf.field);
        if (!text || text->type != JSON_STRING)
            return err_set(ERR_FORMAT, "no string \"%s\" in this line: --field names another one",
                           f->conf.field);
        t.text = text->string;
        struct str domain = member_text(row, f->conf.domain_field);
        if (domain.len)
            t.domain = domain;
        t.lang = member_text(row, f->conf.lang_field);
    }
    return f->fn(f->self, thread, &t);
}

static void worker_fail(struct token_feed *f, struct token_feed_worker *w, int rc, uint64_t number)
{
    w->rc = rc;
    w->bad = number;
    snprintf(w->error, sizeof w->error, "%s", err_text());
    err_clear();
    f->failed = true;
}

static void worker_run(void *arg, int index, int thread)
{
    struct token_feed *f = arg;
    struct token_feed_worker *w = &f->worker[thread];
    UNUSED(index);
    for (;;) {
        pthread_mutex_lock(&f->turn);
        w->texts = 0;
        int rc = f->failed   ? 0
                 : pipe_stop ? err_set(ERR_STOP, "stopped by a signal")
                             : turn_read(f, w);
        if (rc < 0)
            worker_fail(f, w, rc, f->number);
        pthread_mutex_unlock(&f->turn);
        if (rc < 0 || w->texts == 0)
            return;
        for (size_t i = 0; i < w->texts; i++) {
            rc = text_run(f, thread, &w->text[i]);
            if (rc >= 0)
                continue;
            if (f->conf.jsonl)
                err_in(rc, "%s: line %llu", w->text[i].path, (unsigned long long)w->text[i].line);
            else
                err_in(rc, "%s", w->text[i].path);
            pthread_mutex_lock(&f->turn);
            worker_fail(f, w, rc, w->text[i].number);
            pthread_mutex_unlock(&f->turn);
            return;
        }
    }
}

int token_feed_run(struct token_feed *f, const char *const *paths, int count, token_feed_fn *fn,
                   void *self)
{
    const struct token_feed_worker *first = NULL;
    f->path = paths;
    f->paths = count;
    f->next_path = 0;
    f->ended = f->failed = false;
    f->number = 0;
    f->plain.len = 0;
    f->fn = fn;
    f->self = self;
    for (int i = 0; i < f->threads; i++) {
        f->worker[i].rc = 0;
        f->worker[i].texts = 0;
    }
    pool_each(f->pool, f->threads, worker_run, f);
    file_close(f);
    for (int i = 0; i < f->threads; i++)
        if (f->worker[i].rc < 0 && (!first || f->worker[i].bad < first->bad))
            first = &f->worker[i];
    return first ? err_set(first->rc, "%s", first->error) : 0;
}

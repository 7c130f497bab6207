/* commoncrawl - which files of a crawl there are, which are wanted, and where they lie here. */
#include "crawl/crawl.h"
#include "crawl/fetched.h"

#include "core/err.h"
#include "core/log.h"

#include <stdlib.h>

enum {
    FILES_MAX = 10000000, /* lines of a list; real ones have 100,000 */
    LIST_BYTES_MAX = 1 << 30,
};

const struct opt crawl_opts[] = {CRAWL_WHAT_ROWS(struct crawl_conf, ), OPT_LAST};
const struct opt crawl_how_opts[] = {
    CRAWL_HOW_ROWS(struct crawl_conf, ),
    CRAWL_ROW(
        struct crawl_conf, , OPT_SIZE, cache_max, "0", 0, 1e15, "bytes",
        "keep at most so much of the crawl in the cache: files are fetched ahead of pass 1 and "
        "removed once their unit is done; 0: all stays"),
    OPT_LAST,
};

/* The paths of the list, in its order. */
struct list {
    char **path;
    size_t count, cap;
};

static void list_free(struct list *l)
{
    for (size_t i = 0; i < l->count; i++)
        free(l->path[i]);
    free(l->path);
}

static bool is_name_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           strchr("._-=+,@:~", c);
}

bool crawl_path_is_safe(struct str path)
{
    if (path.len == 0 || path.len >= IO_PATH_MAX / 2 || memchr(path.ptr, 0, path.len))
        return false;
    struct str rest = path;
    while (rest.ptr) {
        struct str name = str_cut(rest, '/', &rest);
        if (name.len == 0 || str_is(name, ".") || str_is(name, ".."))
            return false;
        for (size_t i = 0; i < name.len; i++)
            if (!is_name_char(name.ptr[i]))
                return false;
    }
    return true;
}

/* Lists are passed on with the place they were read from in front: base itself, or one of Common
 * Crawl's own. */
static struct str below_base(struct str line, const char *base)
{
    static const char *const places[] = {"https://data.commoncrawl.org/", "s3://commoncrawl/"};
    struct str own = str_of(base);
    if (own.len && str_starts(line, base)) {
        line = str_slice(line, own.len, line.len);
        return str_slice(line, own.ptr[own.len - 1] != '/' && str_starts(line, "/"), line.len);
    }
    for (size_t i = 0; i < COUNT_OF(places); i++)
        if (str_starts(line, places[i]))
            return str_slice(line, strlen(places[i]), line.len);
    return line;
}

static int list_add(struct list *l, struct str line, const char *base, const char *file,
                    size_t number)
{
    line = below_base(line, base);
    if (!crawl_path_is_safe(line))
        return err_set(ERR_FORMAT,
                       "crawl: %s line %zu: \"%.*s\" is no plain path below base: give lines like "
                       "crawl-data/CC-MAIN-2024-22/segments/1/warc/a.warc.gz, and URLs of other "
                       "places to sluice crawl itself",
                       file, number, (int)(line.len < 80 ? line.len : 80), line.ptr);
    if (l->count == FILES_MAX)
        return err_set(ERR_FORMAT, "crawl: %s has more than %d lines", file, FILES_MAX);
    if (l->count == l->cap) {
        size_t cap = l->cap ? l->cap * 2 : 1024;
        char **grown = realloc(l->path, cap * sizeof *grown);
        if (!grown)
            return err_set(ERR_LIMIT, "crawl: no memory for the %zu paths of %s", cap, file);
        l->path = grown;
        l->cap = cap;
    }
    l->path[l->count] = strndup(line.ptr, line.len);
    if (!l->path[l->count])
        return err_set(ERR_LIMIT, "crawl: no memory for the paths of %s", file);
    l->count++;
    return 0;
}

/* A path that stands there again would be fetched by two connections into one file. */
static int list_unique(struct list *l, const char *file)
{
    size_t room = 16, kept = 0;
    while (room < l->count * 2)
        room *= 2;
    const char **seen = calloc(room, sizeof *seen);
    if (!seen)
        return err_set(ERR_LIMIT, "crawl: no memory for the %zu paths of %s", l->count, file);
    for (size_t i = 0; i < l->count; i++) {
        size_t at = (size_t)hash_str(str_of(l->path[i]), 0) & (room - 1);
        while (seen[at] && strcmp(seen[at], l->path[i]) != 0)
            at = (at + 1) & (room - 1);
        if (seen[at]) {
            free(l->path[i]);
            continue;
        }
        seen[at] = l->path[kept++] = l->path[i];
    }
    if (kept < l->count)
        log_warn("crawl: %s names %zu paths more than once: each is taken once", file,
                 l->count - kept);
    l->count = kept;
    free(seen);
    return 0;
}

static int list_read(struct list *l, const char *file, const char *base)
{
    struct io_reader *in;
    struct str line;
    size_t number = 0;
    TRY(io_open(&in, file));
    int rc = 0, got = 0;
    while (rc == 0 && (got = io_read_line(in, &line)) > 0) {
        number++;
        line = str_trim(line);
        if (io_offset(in) > LIST_BYTES_MAX)
            rc = err_set(ERR_FORMAT, "crawl: %s is larger than %d bytes", file, LIST_BYTES_MAX);
        else if (line.len && line.ptr[0] != '#')
            rc = list_add(l, line, base, file, number);
    }
    io_close(in);
    if (rc == 0)
        rc = got;
    if (rc == 0 && l->count == 0)
        rc = err_set(ERR_FORMAT, "crawl: %s names no file: put a path on each line", file);
    return rc == 0 ? list_unique(l, file) : rc;
}

/* ---- the draw ---- */
struct ticket {
    uint64_t draw;
    size_t index;
};

static int by_draw(const void *a, const void *b)
{
    const struct ticket *x = a, *y = b;
    if (x->draw != y->draw)
        return x->draw < y->draw ? -1 : 1;
    return x->index < y->index ? -1 : x->index > y->index;
}

static int by_index(const void *a, const void *b)
{
    const struct ticket *x = a, *y = b;
    return x->index < y->index ? -1 : x->index > y->index;
}

/* Keeps the `files` paths with the smallest keyed hashes, in the list's order: which they are
 * depends on seed and path alone, and a larger sample holds every smaller one. */
static int list_sample(struct list *l, int64_t files, int64_t seed)
{
    if (files <= 0 || (uint64_t)files >= l->count)
        return 0;
    struct ticket *ticket = malloc(l->count * sizeof *ticket);
    if (!ticket)
        return err_set(ERR_LIMIT, "crawl: no memory to draw from %zu files", l->count);
    for (size_t i = 0; i < l->count; i++)
        ticket[i] = (struct ticket){
            hash_mix(hash_mix((uint64_t)seed) ^ hash_str(str_of(l->path[i]), 0)), i};
    qsort(ticket, l->count, sizeof *ticket, by_draw);
    size_t kept = (size_t)files;
    qsort(ticket, kept, sizeof *ticket, by_index);
    for (size_t i = 0, next = 0; i < l->count; i++) {
        if (next < kept && ticket[next].index == i)
            l->path[next++] = l->path[i];
        else
            free(l->path[i]);
    }
    l->count = kept;
    free(ticket);
    return 0;
}

/* ---- the list ---- */
static int join_url(const struct crawl_conf *conf, const char *path, struct buf *url)
{
    size_t len = strlen(conf->base);
    buf_clear(url);
    buf_printf(url, "%s%s%s", conf->base, len && conf->base[len - 1] == '/' ? "" : "/", path);
    buf_cstr(url);
    return url->failed ? err_set(ERR_LIMIT, "crawl: no memory for a URL") : 0;
}

static bool has_text(const char *text) { return text && text[0]; }

static int check_conf(const struct crawl_conf *conf)
{
    struct str name = str_of(conf->crawl);
    if (!has_text(conf->base))
        return err_set(ERR_USAGE, "crawl: base is empty: give https://data.commoncrawl.org/ or a "
                                  "mirror's URL");
    if (!strstr(conf->base, "://") || strchr(conf->base, ' '))
        return err_set(ERR_USAGE,
                       "crawl: base \"%s\" is no URL: a folder is file:///path/to/it, a blank in "
                       "it %%20",
                       conf->base);
    if (!has_text(conf->cache))
        return err_set(ERR_USAGE, "crawl: cache is empty: name the folder the files shall land in");
    if (has_text(conf->paths))
        return 0;
    bool news = str_starts(name, "CC-NEWS/"); /* one a month: CC-NEWS/2024/05 */
    if (!crawl_path_is_safe(name) || (memchr(name.ptr, '/', name.len) && !news))
        return err_set(ERR_USAGE,
                       "crawl: \"%s\" is no crawl's name: give one as CC-MAIN-2024-22 or "
                       "CC-NEWS/2024/05",
                       conf->crawl ? conf->crawl : "");
    if (!conf->kind || (strcmp(conf->kind, "warc") != 0 && strcmp(conf->kind, "wet") != 0 &&
                        strcmp(conf->kind, "wat") != 0))
        return err_set(ERR_USAGE, "crawl: kind is \"%s\": give warc, wet or wat",
                       conf->kind ? conf->kind : "");
    return 0;
}

/* The list of the crawl's files, fetched once. */
static int list_load(const struct crawl_conf *conf, struct fetched *table, struct list *l)
{
    char path[IO_PATH_MAX], local[IO_PATH_MAX];
    uint64_t size;
    if (has_text(conf->paths))
        return list_read(l, conf->paths, conf->base);
    TRY(io_path(path, "crawl-data/%s/%s.paths.gz", conf->crawl, conf->kind));
    TRY(io_path(local, "%s/%s", conf->cache, path));
    struct buf url = {0};
    int rc = join_url(conf, path, &url);
    if (rc >= 0 && !fetched_is_here(table, path, local, &size)) {
        rc = fetched_adopt(table, path, local, url.ptr);
        struct fetch_item item = {.url = url.ptr, .path = local};
        if (rc == 0)
            rc = fetch_all(&conf->fetch, &item, 1, NULL);
        if (rc >= 0 && item.bytes)
            rc = fetched_add(table, path, &item);
    }
    buf_free(&url);
    return rc < 0 ? rc : list_read(l, local, conf->base);
}

static int list_files(const struct crawl_conf *conf, const struct fetched *table,
                      const struct list *l, struct arena *a, struct crawl_file *file)
{
    struct buf url = {0};
    char path[IO_PATH_MAX];
    int rc = 0;
    for (size_t i = 0; i < l->count && rc >= 0; i++) {
        rc = io_path(path, "%s/%s", conf->cache, l->path[i]);
        if (rc >= 0)
            rc = join_url(conf, l->path[i], &url);
        if (rc < 0)
            break;
        file[i].path = arena_strdup(a, str_of(path));
        file[i].url = arena_strdup(a, str_of(url.ptr));
        if (!file[i].path || !file[i].url)
            rc = ERR_LIMIT;
        else
            file[i].name = file[i].path + strlen(conf->cache) + 1;
        if (rc >= 0)
            file[i].here = fetched_is_here(table, file[i].name, file[i].path, &file[i].bytes);
    }
    buf_free(&url);
    return rc < 0 ? rc : 0;
}

int crawl_list(const struct crawl_conf *conf, struct arena *a, struct crawl_file **file,
               size_t *count)
{
    struct list l = {0};
    struct fetched *table = NULL;
    int rc = 0;
    *file = NULL;
    *count = 0;
    TRY(check_conf(conf));
    TRY_OUT(fetched_open(&table, conf->cache));
    TRY_OUT(list_load(conf, table, &l));
    TRY_OUT(list_sample(&l, conf->files, conf->seed));
    *file = arena_array_zero(a, struct crawl_file, l.count);
    TRY_OUT(*file ? 0 : ERR_LIMIT);
    TRY_OUT(list_files(conf, table, &l, a, *file));
    *count = l.count;
out:
    fetched_close(table);
    list_free(&l);
    return rc;
}

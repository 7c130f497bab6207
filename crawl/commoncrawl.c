/* commoncrawl - which files of a crawl there are, which are wanted, and where they lie here. */
#include "crawl/crawl.h"

#include "core/err.h"
#include "core/log.h"

#include <stdlib.h>
#include <sys/stat.h>

enum {
    FILES_MAX = 10000000, /* lines of a list; real ones have 100,000 */
    LIST_BYTES_MAX = 1 << 30,
};

const struct opt crawl_opts[] = {
    OPT_ROW(OPT_STR, struct crawl_conf, base, "https://data.commoncrawl.org/", 0, 0, NULL,
            "where the crawls lie: https, http or file URL of any mirror",
            "commoncrawl.org/get-started"),
    OPT_ROW(OPT_STR, struct crawl_conf, crawl, NULL, 0, 0, NULL, "the crawl, as in CC-MAIN-2024-22",
            NULL),
    OPT_ROW(OPT_ENUM, struct crawl_conf, kind, "warc", 0, 0, "warc|wet",
            "web pages as found, or Common Crawl's own text of them", NULL),
    OPT_ROW(OPT_INT, struct crawl_conf, files, "0", 0, FILES_MAX, "files",
            "how many of the crawl's files, drawn by seed; 0: all", NULL),
    OPT_ROW(OPT_INT, struct crawl_conf, seed, "1", 0, 1e15, NULL,
            "of the draw: more files with the same seed keep those drawn before", NULL),
    OPT_ROW(OPT_STR, struct crawl_conf, cache, "crawl-cache", 0, 0, NULL,
            "folder the files land in, by their paths below base", NULL),
    FETCH_ROWS(struct crawl_conf),
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

/* Relative, of plain names joined by single slashes: nothing that leaves the cache or alters URLs.
 */
static bool path_is_safe(struct str path)
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

static int list_add(struct list *l, struct str line, const char *file, size_t number)
{
    if (!path_is_safe(line))
        return err_set(ERR_FORMAT, "crawl: %s line %zu: \"%.*s\" is no plain relative path", file,
                       number, (int)(line.len < 80 ? line.len : 80), line.ptr);
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

static int list_read(struct list *l, const char *file)
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
        else if (line.len)
            rc = list_add(l, line, file, number);
    }
    io_close(in);
    if (rc == 0)
        rc = got;
    if (rc == 0 && l->count == 0)
        rc = err_set(ERR_FORMAT, "crawl: %s names no file", file);
    return rc;
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

/* ---- files ---- */
static char *join_url(const struct crawl_conf *conf, const char *path)
{
    size_t len = strlen(conf->base);
    struct buf url = {0};
    buf_printf(&url, "%s%s%s", conf->base, len && conf->base[len - 1] == '/' ? "" : "/", path);
    buf_cstr(&url);
    if (url.failed) {
        buf_free(&url);
        return NULL;
    }
    return url.ptr;
}

/* Files appear in the cache only when they are whole, so one that is there is finished. */
static bool is_there(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISREG(st.st_mode) && st.st_size > 0;
}

static int fetch_missing(const struct crawl_conf *conf, const struct list *l,
                         const char *const *local)
{
    struct fetch_item *item = calloc(l->count, sizeof *item);
    size_t count = 0;
    int rc = item ? 0 : err_set(ERR_LIMIT, "crawl: no memory for %zu downloads", l->count);
    for (size_t i = 0; i < l->count && rc == 0; i++) {
        if (is_there(local[i]))
            continue;
        item[count] = (struct fetch_item){.url = join_url(conf, l->path[i]), .path = local[i]};
        if (!item[count++].url)
            rc = err_set(ERR_LIMIT, "crawl: no memory for %zu downloads", l->count);
    }
    if (rc == 0 && count) {
        struct progress p;
        log_info("crawl: %zu of %zu files are fetched from %s", count, l->count, conf->base);
        progress_begin(&p, "fetch", "files", count);
        rc = fetch_all(&conf->fetch, item, count, &p);
        progress_end(&p);
    }
    for (size_t i = 0; i < count; i++)
        free((char *)(uintptr_t)item[i].url);
    free(item);
    return rc;
}

static int check_conf(const struct crawl_conf *conf)
{
    struct str name = str_of(conf->crawl);
    if (!conf->base || !conf->base[0])
        return err_set(ERR_USAGE, "crawl: base is empty: give https://data.commoncrawl.org/ or a "
                                  "mirror's URL");
    if (!conf->cache || !conf->cache[0])
        return err_set(ERR_USAGE, "crawl: cache is empty: name the folder the files shall land in");
    if (!path_is_safe(name) || memchr(name.ptr, '/', name.len))
        return err_set(ERR_USAGE, "crawl: \"%s\" is no crawl's name: give one as CC-MAIN-2024-22",
                       conf->crawl ? conf->crawl : "");
    if (!conf->kind || (strcmp(conf->kind, "warc") != 0 && strcmp(conf->kind, "wet") != 0))
        return err_set(ERR_USAGE, "crawl: kind is \"%s\": give warc or wet",
                       conf->kind ? conf->kind : "");
    return 0;
}

/* The list of the crawl's files, fetched once. */
static int list_load(const struct crawl_conf *conf, struct list *l)
{
    char path[IO_PATH_MAX], local[IO_PATH_MAX];
    TRY(io_path(path, "crawl-data/%s/%s.paths.gz", conf->crawl, conf->kind));
    TRY(io_path(local, "%s/%s", conf->cache, path));
    if (!is_there(local)) {
        struct fetch_item item = {.url = join_url(conf, path), .path = local};
        if (!item.url)
            return err_set(ERR_LIMIT, "crawl: no memory for a URL");
        int rc = fetch_all(&conf->fetch, &item, 1, NULL);
        free((char *)(uintptr_t)item.url);
        TRY(rc);
    }
    return list_read(l, local);
}

int crawl_files(const struct crawl_conf *conf, struct arena *a, const char ***paths, size_t *count)
{
    *paths = NULL;
    *count = 0;
    TRY(check_conf(conf));
    struct list l = {0};
    int rc = 0;
    TRY_OUT(list_load(conf, &l));
    TRY_OUT(list_sample(&l, conf->files, conf->seed));
    const char **local = arena_array(a, const char *, l.count);
    rc = local ? 0 : ERR_LIMIT;
    for (size_t i = 0; i < l.count && rc == 0; i++) {
        char path[IO_PATH_MAX];
        TRY_OUT(io_path(path, "%s/%s", conf->cache, l.path[i]));
        local[i] = arena_strdup(a, str_of(path));
        rc = local[i] ? 0 : ERR_LIMIT;
    }
    if (rc == 0)
        rc = fetch_missing(conf, &l, local);
    if (rc == 0) {
        *paths = local;
        *count = l.count;
    }
out:
    list_free(&l);
    return rc;
}

/* cdx_cluster - looks captures up in index files: a CDXJ file, or the blocks a cluster.idx names.
 */
#include "crawl/cdx.h"
#include "crawl/cdx_piece.h"

#include "core/err.h"
#include "core/log.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* How it works. A cluster.idx has one line for every block of 3000 captures of the cdx-NNNNN.gz
 * files beside it: "first key timestamp <tab> file <tab> offset <tab> length <tab> number", sorted.
 * The last line whose key is below what is looked for is found by halving the file, then blocks are
 * read from there until one begins behind it. The index of a whole crawl is 100 MB; one from the
 * web is fetched into the cache once, blocks are fetched by range as they are needed. */
enum {
    BLOCK_STORED_MAX = 16 << 20,
    BLOCK_TEXT_MAX = 64 << 20,
    IDX_LINE_MAX = 64 << 10,
    NAME_MAX_BYTES = 256,
};

/* ---- a plain CDXJ file ---- */
static int scan_file(struct cdx_set *s, const char *path, const struct cdx_pattern *p,
                     const struct cdx_filters *f)
{
    struct io_reader *in;
    struct str line;
    TRY(io_open(&in, path));
    int rc = 0, got = 0;
    while (rc >= 0 && (got = io_read_line(in, &line)) > 0)
        rc = cdx_line(s, line, p, f);
    io_close(in);
    rc = rc < 0 ? rc : got;
    if (rc == 0 && s->seen && s->bad == s->seen)
        rc = err_set(ERR_FORMAT, "crawl: %s is no CDXJ index: none of its %llu lines is a capture",
                     path, (unsigned long long)s->seen);
    return rc;
}

/* ---- cluster.idx ---- */
struct cluster {
    const char *path;   /* of the cluster.idx, here */
    const char *folder; /* of the blocks: a path or a URL, with its slash */
    int fd;
    uint64_t bytes;
};
struct idx_line {
    char key[4096];
    char name[NAME_MAX_BYTES];
    uint64_t offset, length, next;
};

/* The line that starts at `at` (a place behind a line feed, or 0). 1, or 0 at the end. */
static int idx_read(const struct cluster *c, uint64_t at, struct idx_line *out)
{
    char text[IDX_LINE_MAX];
    ssize_t got = pread(c->fd, text, sizeof text, (off_t)at);
    if (got < 0)
        return err_sys("crawl: reading %s", c->path);
    if (got == 0)
        return 0;
    struct str rest, line = str_cut((struct str){text, (size_t)got}, '\n', &rest), field[4];
    bool whole = rest.ptr || at + (uint64_t)got == c->bytes;
    struct str after = line;
    for (size_t i = 0; i < COUNT_OF(field); i++)
        field[i] = str_cut(after, '\t', &after);
    struct str time, key = str_cut(field[0], ' ', &time);
    bool good = whole && key.len && key.len < sizeof out->key && field[1].len &&
                field[1].len < sizeof out->name && str_u64(field[2], &out->offset) &&
                str_u64(field[3], &out->length) && out->length <= BLOCK_STORED_MAX &&
                out->offset <= INT64_MAX && out->length > 0;
    for (size_t i = 0; good && i < field[1].len; i++) /* the name of a file beside it, no path */
        good = field[1].ptr[i] > ' ' && field[1].ptr[i] != '/' && field[1].ptr[i] != '%' &&
               field[1].ptr[i] != '?' && field[1].ptr[i] != '#';
    if (!good || field[1].ptr[0] == '.')
        return err_set(ERR_FORMAT, "crawl: %s: the line at byte %llu is none of a cluster.idx",
                       c->path, (unsigned long long)at);
    memcpy(out->key, key.ptr, key.len);
    out->key[key.len] = 0;
    memcpy(out->name, field[1].ptr, field[1].len);
    out->name[field[1].len] = 0;
    out->next = at + line.len + 1;
    return 1;
}

/* Start of the first line that begins at `at` or behind it. */
static int line_start(const struct cluster *c, uint64_t at, uint64_t *start)
{
    char text[IDX_LINE_MAX];
    if (at == 0) {
        *start = 0;
        return 0;
    }
    ssize_t got = pread(c->fd, text, sizeof text, (off_t)(at - 1));
    if (got < 0)
        return err_sys("crawl: reading %s", c->path);
    const char *feed = memchr(text, '\n', (size_t)got);
    if (!feed && at - 1 + (uint64_t)got < c->bytes)
        return err_set(ERR_FORMAT, "crawl: %s: a line of more than %d bytes at byte %llu", c->path,
                       IDX_LINE_MAX, (unsigned long long)at);
    *start = feed ? at + (uint64_t)(feed - text) : c->bytes;
    return 0;
}

/* Where the last line lies whose key is below `low`: its block may end with what is looked for. The
 * first line when none is. */
static int idx_find(const struct cluster *c, const char *low, uint64_t *found)
{
    uint64_t from = 0,
             to = c->bytes; /* starts of lines below `low` are < to; best is one of them */
    struct idx_line *line = malloc(sizeof *line);
    if (!line)
        return err_set(ERR_LIMIT, "crawl: no memory to look an index up");
    int rc = 0;
    *found = 0;
    while (from < to) {
        uint64_t middle = from + (to - from) / 2, start = 0;
        TRY_OUT(line_start(c, middle, &start));
        if (start >= to) { /* no line begins in [middle, to) */
            to = middle;
            continue;
        }
        TRY_OUT(idx_read(c, start, line));
        if (rc > 0 && strcmp(line->key, low) < 0) {
            *found = start;
            from = line->next;
        } else {
            to = middle;
        }
    }
    rc = 0;
out:
    free(line);
    return rc;
}

/* ---- blocks ---- */
static int block_get(const struct cluster *c, const struct fetch_conf *fetch,
                     const struct idx_line *line, struct buf *stored)
{
    struct buf place = {0};
    int rc = 0;
    buf_clear(stored);
    buf_printf(&place, "%s%s", c->folder, line->name);
    const char *where = buf_cstr(&place), *path = cdx_piece_path(where);
    if (path) {
        rc = cdx_piece_read(path, line->offset, line->length, stored);
    } else {
        struct fetch_item item = {
            .url = where, .memory = stored, .offset = line->offset, .length = line->length};
        rc = fetch_all(fetch, &item, 1, NULL);
    }
    buf_free(&place);
    return rc;
}

static int block_scan(struct cdx_set *s, struct str text, const struct cdx_pattern *p,
                      const struct cdx_filters *f)
{
    while (text.ptr && text.len) {
        int rc = cdx_line(s, str_cut(text, '\n', &text), p, f);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static int cluster_scan(struct cdx_set *s, const struct cluster *c, const struct crawl_conf *crawl,
                        const struct cdx_conf *conf, const struct cdx_pattern *p,
                        const struct cdx_filters *f)
{
    struct buf stored = {.max = BLOCK_STORED_MAX + 1}, text = {.max = BLOCK_TEXT_MAX};
    struct idx_line *line = malloc(sizeof *line);
    uint64_t at = 0;
    int64_t blocks = 0;
    int rc = line ? idx_find(c, p->low, &at) : err_set(ERR_LIMIT, "crawl: no memory for a line");
    while (rc == 0 && (rc = idx_read(c, at, line)) > 0) {
        rc = 0;
        if (strcmp(line->key, p->high) >= 0)
            break;
        if (blocks++ == conf->pages || s->count > (uint64_t)conf->max) {
            s->full = true;
            break;
        }
        at = line->next;
        TRY_OUT(block_get(c, &crawl->fetch, line, &stored));
        buf_clear(&text);
        if (!cdx_piece_inflate(buf_view(&stored), &text)) {
            rc = err_set(ERR_FORMAT,
                         "crawl: the block of %llu bytes at %llu of %s%s is no whole "
                         "gzip member",
                         (unsigned long long)line->length, (unsigned long long)line->offset,
                         c->folder, line->name);
            goto out;
        }
        rc = block_scan(s, buf_view(&text), p, f);
    }
out:
    buf_free(&stored);
    buf_free(&text);
    free(line);
    return rc;
}

/* A cluster.idx of the web lands in the cache, below the name of its server's path. */
static int cluster_land(const struct crawl_conf *crawl, const char *url, char *path)
{
    struct url_parts parts;
    struct stat st;
    if (!url_split(str_of(url), &parts) || parts.path.len < 2 ||
        !crawl_path_is_safe(str_slice(parts.path, 1, parts.path.len)))
        return err_set(ERR_USAGE, "crawl: \"%s\" is no URL of a cluster.idx", url);
    TRY(io_path(path, "%s/index/%.*s%.*s", crawl->cache, STR_ARG(parts.host), STR_ARG(parts.path)));
    if (stat(path, &st) == 0 && S_ISREG(st.st_mode) && st.st_size > 0)
        return 0;
    struct fetch_item item = {.url = url, .path = path};
    log_info("crawl: %s is fetched once, into the cache", url);
    return fetch_all(&crawl->fetch, &item, 1, NULL);
}

int cdx_ask_file(struct cdx_set *s, const struct crawl_conf *crawl, const struct cdx_conf *conf,
                 const struct cdx_pattern *p, const struct cdx_filters *f)
{
    char name[IO_PATH_MAX], path[IO_PATH_MAX];
    bool own = strcmp(conf->file, "cluster") == 0;
    size_t base = strlen(crawl->base);
    if (own && (!crawl->crawl || !crawl->crawl[0]))
        return err_set(ERR_USAGE, "crawl: index_file=cluster is the index of one crawl: give "
                                  "--crawl=CC-MAIN-YYYY-WW");
    if (own)
        TRY(io_path(name, "%s%scc-index/collections/%s/indexes/cluster.idx", crawl->base,
                    base && crawl->base[base - 1] == '/' ? "" : "/", crawl->crawl));
    else
        TRY(io_path(name, "%s", conf->file));
    if (!str_ends(str_of(name), "cluster.idx"))
        return scan_file(s, cdx_piece_path(name) ? cdx_piece_path(name) : name, p, f);
    if (cdx_piece_path(name))
        TRY(io_path(path, "%s", cdx_piece_path(name)));
    else
        TRY(cluster_land(crawl, name, path));
    char *slash = strrchr(name, '/');
    if (slash)
        slash[1] = 0;
    struct cluster c = {.path = path, .folder = slash ? name : "./"};
    c.fd = io_open_file(path, &c.bytes);
    if (c.fd < 0)
        return c.fd;
    int rc = cluster_scan(s, &c, crawl, conf, p, f);
    close(c.fd);
    return rc;
}

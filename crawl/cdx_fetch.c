/* cdx_fetch - single records of far archives, fetched by range, checked, put into one archive. */
#include "crawl/cdx.h"
#include "crawl/cdx_check.h"
#include "crawl/cdx_piece.h"

#include "core/err.h"
#include "core/log.h"
#include "core/pipe.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* How it works. What the index said is written down first (PATH.plan), so that a run that is broken
 * off asks it only once. Records are fetched in the order of their files and offsets, neighbours in
 * one range, a window of ranges at a time. What passed its checks is appended to a spool
 * (PATH.part) and, once it is on disk, noted (PATH.part.log: number, place and length). At the end
 * the spool's pieces are put in order, so that the archive's bytes depend on neither breaks nor
 * failures on the way. */
enum {
    GAP_MAX = 32 << 10, /* bytes between records that are fetched along: a request and a
                         * metadata record are less */
    GROUP_BYTES_MAX = 4 << 20,
    RECORD_STORED_MAX = 64 << 20,
    WINDOW = 64,
    WINDOW_BYTES_MAX = 64 << 20,
    SHOWN_MAX = 5, /* refusals said aloud */
    QUERY_CHARS = 32,
    LOG_BYTES_MAX = 256 << 20,
};

enum piece_state { PIECE_MISSING, PIECE_HERE, PIECE_REFUSED };
struct piece {
    enum piece_state state;
    uint64_t offset, length;
}; /* in the spool */
struct group {
    size_t first, count;
    uint64_t offset, length;
    struct buf memory, url;
};

struct haul {
    const struct crawl_conf *crawl;
    struct cdx_done *done;
    struct cdx_set set;
    const struct cdx_row **order; /* by file and offset; row->place is its number */
    struct piece *piece;          /* of each row, by number */
    struct cdx_check *check;
    char query[QUERY_CHARS + 1];
    char part[IO_PATH_MAX], log[IO_PATH_MAX], plan[IO_PATH_MAX];
    int part_fd, log_fd;
    uint64_t spooled;
    struct buf notes; /* not yet in the log */
    uint64_t shown;
    int rc; /* of the first range that did not come */
    char text[1024];
};

/* ---- the plan ---- */
static int plan_write(struct haul *h)
{
    struct buf text = {0};
    buf_printf(&text, "query %s%s\n", h->query, h->set.full ? " full" : "");
    for (size_t i = 0; i < h->set.count; i++)
        cdx_put_line(&text, &h->set.row[i]);
    int rc = text.failed ? err_set(ERR_LIMIT, "crawl: no memory for the plan")
                         : io_write_file(h->plan, buf_view(&text));
    buf_free(&text);
    return rc;
}

/* 1 read, 0 there is none. */
static int plan_read(struct haul *h)
{
    struct io_reader *in;
    struct str line, rest = {0};
    if (!io_exists(h->plan))
        return 0;
    TRY(io_open(&in, h->plan));
    int rc = 0, got = io_read_line(in, &line);
    struct str query = got > 0 ? str_slice(line, 6, line.len) : (struct str){0};
    query = str_cut(query, ' ', &rest);
    if (got >= 0 && !str_is(query, h->query))
        rc = err_set(ERR_USAGE,
                     "crawl: %s is of another query: give another index_out, or remove "
                     "it and %s",
                     h->plan, h->done->path);
    h->set.full = rest.ptr != NULL;
    while (rc >= 0 && got > 0 && (got = io_read_line(in, &line)) > 0)
        rc = cdx_line(&h->set, line, NULL, NULL);
    io_close(in);
    if (rc < 0 || got < 0)
        return rc < 0 ? rc : got;
    if (h->set.bad)
        return err_set(ERR_FORMAT, "crawl: %s is damaged: remove it", h->plan);
    cdx_settle(&h->set, SIZE_MAX);
    return 1;
}

/* Every line of a list of one's own, as one that was found by SQL. */
static bool takes_all(const struct cdx_conf *conf)
{
    struct str file = str_of(conf->file);
    return strcmp(conf->index, "*") == 0 && file.len && !str_is(file, "cluster") &&
           !str_ends(file, "cluster.idx");
}

int cdx_look(struct cdx_set *s, const struct crawl_conf *crawl, const struct cdx_conf *conf)
{
    bool all = takes_all(conf);
    struct cdx_pattern *p = all ? NULL : malloc(sizeof *p);
    struct cdx_filters *f = NULL;
    int rc = all ? 0
             : p ? cdx_pattern_parse(p, conf->index, conf->match)
                 : err_set(ERR_LIMIT, "crawl: no memory for a pattern");
    bool preset = conf->filter.count == 1 && strcmp(conf->filter.item[0], "=status:200") == 0;
    if (rc == 0 && !(all && preset)) /* a list of one's own need not tell the status */
        rc = cdx_filters_parse(&f, &conf->filter);
    if (rc == 0)
        rc = conf->file && conf->file[0] ? cdx_ask_file(s, crawl, conf, p, f)
                                         : cdx_ask_server(s, crawl, conf, p, f);
    cdx_filters_free(f);
    free(p);
    TRY(rc);
    if (s->bad)
        log_warn("crawl: %llu of %llu lines of the index are no captures and left out",
                 (unsigned long long)s->bad, (unsigned long long)s->seen);
    cdx_settle(s, (size_t)conf->max);
    if (s->count == 0)
        log_warn("crawl: the index has no capture for %s (%llu of %llu lines are of other pages or "
                 "left out by filters)",
                 conf->index, (unsigned long long)s->filtered, (unsigned long long)s->seen);
    if (s->full)
        log_warn("crawl: there are more captures than the %zu taken: raise index_max or "
                 "index_pages for more",
                 s->count);
    return 0;
}

static int by_file(const void *a, const void *b)
{
    const struct cdx_row *x = *(const struct cdx_row *const *)a;
    const struct cdx_row *y = *(const struct cdx_row *const *)b;
    int order = str_cmp(x->filename, y->filename);
    if (order == 0)
        order = x->offset < y->offset ? -1 : x->offset > y->offset;
    return order ? order : x->place < y->place ? -1 : x->place > y->place;
}

static int set_order(struct haul *h)
{
    size_t count = h->set.count ? h->set.count : 1;
    h->order = calloc(count, sizeof *h->order);
    h->piece = calloc(count, sizeof *h->piece);
    if (!h->order || !h->piece)
        return err_set(ERR_LIMIT, "crawl: no memory for %zu captures", count);
    for (size_t i = 0; i < h->set.count; i++)
        h->order[i] = &h->set.row[i];
    qsort(h->order, h->set.count, sizeof *h->order, by_file);
    return 0;
}

/* ---- the spool ---- */
/* "PLACE OFFSET LENGTH" or "PLACE refused"; what stands behind the last line feed was not meant. */
static int log_read(struct haul *h)
{
    char *text;
    size_t len;
    TRY(io_read_file(h->log, LOG_BYTES_MAX, &text, &len));
    struct str rest = {text, len};
    while (rest.ptr) {
        struct str after, line = str_cut(rest, '\n', &rest);
        struct str field[3] = {str_cut(line, ' ', &after)};
        uint64_t place, offset, length;
        field[1] = str_cut(after, ' ', &field[2]);
        if (!rest.ptr || !str_u64(field[0], &place) || place >= h->set.count)
            continue;
        struct piece *p = &h->piece[place];
        if (str_is(field[1], "refused")) {
            p->state = PIECE_REFUSED;
        } else if (str_u64(field[1], &offset) && str_u64(field[2], &length) &&
                   length == h->set.row[place].length && offset == h->spooled) {
            *p = (struct piece){PIECE_HERE, offset, length};
            h->spooled += length;
        }
    }
    free(text);
    return 0;
}

static int spool_open(struct haul *h)
{
    struct stat st;
    h->part_fd = open(h->part, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0666);
    if (h->part_fd < 0)
        return err_sys("crawl: opening %s", h->part);
    if (flock(h->part_fd, LOCK_EX | LOCK_NB) < 0)
        return err_set(ERR_AGAIN, "crawl: %s is being written by another process: wait for it",
                       h->part);
    if (io_exists(h->log))
        TRY(log_read(h));
    if (fstat(h->part_fd, &st) < 0)
        return err_sys("crawl: looking at %s", h->part);
    if ((uint64_t)st.st_size < h->spooled) { /* the log of a spool that is gone */
        memset(h->piece, 0, h->set.count * sizeof *h->piece);
        h->spooled = 0;
    }
    if (ftruncate(h->part_fd, (off_t)h->spooled) < 0)
        return err_sys("crawl: cutting %s", h->part);
    h->log_fd = open(h->log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0666);
    if (h->log_fd < 0)
        return err_sys("crawl: opening %s", h->log);
    if (h->spooled == 0 && ftruncate(h->log_fd, 0) < 0)
        return err_sys("crawl: emptying %s", h->log);
    if (h->spooled)
        log_info("crawl: %llu bytes of records are here from before",
                 (unsigned long long)h->spooled);
    return 0;
}

static int write_all(int fd, const char *path, struct str bytes)
{
    for (size_t done = 0; done < bytes.len;) {
        ssize_t wrote = write(fd, bytes.ptr + done, bytes.len - done);
        if (wrote < 0 && errno != EINTR)
            return err_sys("crawl: writing %s", path);
        done += wrote > 0 ? (size_t)wrote : 0;
    }
    return 0;
}

/* First the records, then the notes that they are there. */
static int spool_sync(struct haul *h)
{
    if (!h->notes.len)
        return 0;
    if (h->notes.failed)
        return err_set(ERR_LIMIT, "crawl: no memory for notes");
    if (fdatasync(h->part_fd) < 0)
        return err_sys("crawl: syncing %s", h->part);
    TRY(write_all(h->log_fd, h->log, buf_view(&h->notes)));
    if (fdatasync(h->log_fd) < 0)
        return err_sys("crawl: syncing %s", h->log);
    buf_clear(&h->notes);
    return 0;
}

static void refuse(struct haul *h, const struct cdx_row *row, const char *why)
{
    h->piece[row->place].state = PIECE_REFUSED;
    buf_printf(&h->notes, "%zu refused\n", row->place);
    if (h->shown++ < SHOWN_MAX)
        log_warn("crawl: %.*s at byte %llu of %.*s is left out: %s",
                 row->url.len < 200 ? (int)row->url.len : 200, row->url.ptr,
                 (unsigned long long)row->offset, STR_ARG(row->filename), why);
}

static int take_record(struct haul *h, const struct cdx_row *row, struct str member)
{
    const char *why;
    int rc = cdx_check_record(h->check, row, member, &why);
    if (rc < 0)
        return rc;
    if (rc == 0) {
        refuse(h, row, why);
        return 0;
    }
    TRY(write_all(h->part_fd, h->part, member));
    h->piece[row->place] = (struct piece){PIECE_HERE, h->spooled, member.len};
    buf_printf(&h->notes, "%zu %llu %zu\n", row->place, (unsigned long long)h->spooled, member.len);
    h->spooled += member.len;
    return 0;
}

/* ---- ranges ---- */
/* An index from elsewhere may name anything. */
static const char *bad_row(const struct cdx_row *row)
{
    if (!crawl_path_is_safe(row->filename))
        return "the file's name is no plain relative path";
    if (!str_ends(row->filename, ".gz"))
        return "records are fetched from .warc.gz files only";
    if (row->length > RECORD_STORED_MAX)
        return "the record is too long";
    return NULL;
}

/* The next range: missing records from order[*at] on that lie close together. */
static bool next_group(struct haul *h, size_t *at, struct group *g)
{
    *g = (struct group){0};
    for (; *at < h->set.count; ++*at) {
        const struct cdx_row *row = h->order[*at];
        if (h->piece[row->place].state != PIECE_MISSING)
            continue;
        const char *why = bad_row(row);
        if (why) {
            refuse(h, row, why);
            continue;
        }
        uint64_t end = row->offset + row->length;
        if (g->count) {
            uint64_t have = g->offset + g->length;
            bool near = str_eq(row->filename, h->order[g->first]->filename) &&
                        row->offset <= have + GAP_MAX && end - g->offset <= GROUP_BYTES_MAX;
            if (!near)
                return true;
            g->length = end > have ? end - g->offset : g->length;
        } else {
            *g = (struct group){.first = *at, .offset = row->offset, .length = row->length};
        }
        g->count = *at + 1 - g->first; /* those between that are here already come along */
    }
    return g->count > 0;
}

static int group_cut(struct haul *h, const struct group *g)
{
    for (size_t i = g->first; i < g->first + g->count; i++) {
        const struct cdx_row *row = h->order[i];
        if (h->piece[row->place].state != PIECE_MISSING)
            continue;
        uint64_t start = row->offset - g->offset;
        TRY(take_record(
            h, row, str_slice(buf_view(&g->memory), (size_t)start, (size_t)(start + row->length))));
    }
    return 0;
}

static void window_free(struct group *g, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        buf_free(&g[i].memory);
        buf_free(&g[i].url);
    }
}

static void note_failure(struct haul *h, int rc)
{
    if (h->rc == 0) {
        h->rc = rc;
        err_copy_to(h->text, sizeof h->text);
    }
}

static int window_items(struct haul *h, struct group *g, size_t count, struct fetch_item *item)
{
    size_t base = strlen(h->crawl->base);
    for (size_t i = 0; i < count; i++) {
        buf_printf(&g[i].url, "%s%s%.*s", h->crawl->base,
                   base && h->crawl->base[base - 1] == '/' ? "" : "/",
                   STR_ARG(h->order[g[i].first]->filename));
        if (g[i].url.failed)
            return err_set(ERR_LIMIT, "crawl: no memory for a URL");
        g[i].memory.max = (size_t)g[i].length;
        item[i] = (struct fetch_item){.url = buf_cstr(&g[i].url),
                                      .memory = &g[i].memory,
                                      .offset = g[i].offset,
                                      .length = g[i].length};
    }
    return 0;
}

/* Returns 0 though some ranges did not come (then h->rc is set), unless none did. */
static int window_fetch(struct haul *h, struct group *g, size_t count, struct progress *p)
{
    struct fetch_item *item = calloc(count, sizeof *item);
    bool local = cdx_piece_path(h->crawl->base) != NULL;
    size_t good = 0;
    int said = 0, rc = item ? window_items(h, g, count, item)
                            : err_set(ERR_LIMIT, "crawl: no memory for %zu ranges", count);
    if (rc < 0)
        goto out;
    if (!local)
        said = fetch_all(&h->crawl->fetch, item, count, p);
    if (said < 0)
        note_failure(h, said);
    for (size_t i = 0; i < count && rc == 0; i++) {
        if (local && (item[i].rc = cdx_piece_read(cdx_piece_path(item[i].url), g[i].offset,
                                                  g[i].length, &g[i].memory)) < 0)
            note_failure(h, item[i].rc);
        h->done->requests += local ? 1 : (uint64_t)item[i].tries;
        if (item[i].rc == 0) {
            rc = group_cut(h, &g[i]);
            good++;
        }
    }
    if (rc == 0)
        rc = spool_sync(h);
    if (rc == 0 && (good == 0 || pipe_stop))
        rc = h->rc; /* nothing came: more will not either */
out:
    free(item);
    return rc;
}

static int fetch_missing(struct haul *h, struct progress *p)
{
    struct group *g = calloc(WINDOW, sizeof *g);
    size_t at = 0, count = 0;
    bool more = true;
    int rc = g ? 0 : err_set(ERR_LIMIT, "crawl: no memory for ranges");
    while (rc == 0 && more) {
        uint64_t bytes = 0;
        for (count = 0; count < WINDOW && bytes < WINDOW_BYTES_MAX; count++) {
            more = next_group(h, &at, &g[count]);
            if (!more)
                break;
            bytes += g[count].length;
        }
        if (count)
            rc = window_fetch(h, g, count, p);
        window_free(g, count);
        if (pipe_stop && rc == 0 && more)
            rc = err_set(ERR_STOP, "crawl: stopped; what was fetched stays");
    }
    if (rc == 0)
        rc = spool_sync(h); /* refusals found by name */
    free(g);
    return rc;
}

/* ---- the archive ---- */
static int copy_piece(struct haul *h, struct io_writer *w, const struct piece *p)
{
    char bytes[64 << 10];
    for (uint64_t done = 0; done < p->length;) {
        uint64_t want = p->length - done < sizeof bytes ? p->length - done : sizeof bytes;
        ssize_t got = pread(h->part_fd, bytes, (size_t)want, (off_t)(p->offset + done));
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return err_sys("crawl: reading %s", h->part);
        TRY(io_write(w, bytes, (size_t)got));
        done += (uint64_t)got;
    }
    return 0;
}

/* The index beside it, in key order: the rows' numbers are in that order. */
static int index_write(struct haul *h, const uint64_t *offset)
{
    char path[IO_PATH_MAX];
    struct buf text = {0};
    const char *slash = strrchr(h->done->path, '/');
    TRY(io_path(path, "%s.cdxj", h->done->path));
    for (size_t i = 0; i < h->set.count; i++) {
        struct cdx_row row = h->set.row[i];
        if (h->piece[i].state != PIECE_HERE)
            continue;
        row.offset = offset[i];
        row.filename = str_of(slash ? slash + 1 : h->done->path);
        cdx_put_line(&text, &row);
    }
    int rc = text.failed ? err_set(ERR_LIMIT, "crawl: no memory for an index")
                         : io_write_file(path, buf_view(&text));
    buf_free(&text);
    return rc;
}

static int archive_write(struct haul *h)
{
    struct io_writer *w = NULL;
    struct io_info info = {0};
    uint64_t *offset = calloc(h->set.count, sizeof *offset);
    int rc = offset ? io_create(&w, h->done->path, IO_PLAIN, 0)
                    : err_set(ERR_LIMIT, "crawl: no memory for an index");
    for (size_t i = 0; rc == 0 && i < h->set.count; i++) {
        const struct piece *p = &h->piece[h->order[i]->place];
        if (p->state != PIECE_HERE)
            continue;
        offset[h->order[i]->place] = io_written(w);
        rc = copy_piece(h, w, p);
    }
    if (rc == 0)
        rc = index_write(h, offset); /* first: whoever finds the archive finds its index */
    if (rc == 0) {
        rc = io_commit(w, &info);
        h->done->bytes = info.bytes;
    } else {
        io_abandon(w);
    }
    free(offset);
    return rc;
}

static void count_pieces(struct haul *h)
{
    h->done->captures = h->set.count;
    h->done->written = h->done->refused = 0;
    h->done->full = h->set.full;
    for (size_t i = 0; i < h->set.count; i++) {
        h->done->written += h->piece[i].state == PIECE_HERE;
        h->done->refused += h->piece[i].state == PIECE_REFUSED;
    }
}

static int haul_run(struct haul *h)
{
    struct progress p;
    TRY(spool_open(h));
    progress_begin(&p, "fetch", "ranges", 0);
    int rc = fetch_missing(h, &p);
    progress_end(&p);
    count_pieces(h);
    if (rc == 0 && h->rc < 0)
        rc = err_set(h->rc, "%s", h->text);
    if (rc < 0)
        return err_in(rc, "crawl: %llu of %zu records are here (run the same command again)",
                      (unsigned long long)h->done->written, h->set.count);
    if (h->done->written == 0)
        return err_set(ERR_FORMAT,
                       "crawl: none of the %zu records is what the index says, see "
                       "above: is base the archive the index is of?",
                       h->set.count);
    TRY(archive_write(h));
    unlink(h->log);
    unlink(h->part);
    if (h->done->refused)
        log_warn("crawl: %llu of %zu records are not what the index says and left out",
                 (unsigned long long)h->done->refused, h->set.count);
    return 0;
}

/* ---- names ---- */
/* What is asked decides the name, so that the same question finds its answer. */
static int make_names(struct haul *h, const struct cdx_conf *conf)
{
    struct buf text = {0};
    char label[48] = "";
    const struct crawl_conf *c = h->crawl;
    bool file = conf->file && conf->file[0];
    buf_printf(&text, "%s\n%s\n%s\n%s\n%s\n%lld\n%lld\n", c->base, c->crawl ? c->crawl : "",
               conf->index, conf->match, file ? conf->file : conf->server, (long long)conf->max,
               (long long)conf->pages);
    for (size_t i = 0; i < conf->filter.count; i++)
        buf_printf(&text, "%s\n", conf->filter.item[i]);
    struct stat list; /* one's own list may have grown since */
    if (takes_all(conf) && stat(conf->file, &list) == 0)
        buf_printf(&text, "%lld %lld\n", (long long)list.st_size, (long long)list.st_mtime);
    hash_hex(hash128(text.ptr, text.len), h->query);
    int rc = text.failed ? err_set(ERR_LIMIT, "crawl: no memory for a name") : 0;
    buf_free(&text);
    TRY(rc);
    for (size_t i = 0, n = 0; conf->index[i] && n + 1 < sizeof label; i++) {
        char ch = conf->index[i];
        bool plain =
            (ch >= 'a' && ch <= 'z') || (ch >= '0' && ch <= '9') || ch == '-' || (ch == '.' && n);
        if (plain)
            label[n++] = ch;
    }
    if (conf->out && conf->out[0])
        TRY(io_path(h->done->path, "%s", conf->out));
    else
        TRY(io_path(h->done->path, "%s/index/%s-%s-%.8s.warc.gz", c->cache,
                    c->crawl && c->crawl[0] ? c->crawl : "file", label[0] ? label : "all",
                    h->query));
    if (!str_ends(str_of(h->done->path), ".warc.gz"))
        return err_set(ERR_USAGE, "crawl: index_out \"%s\" must end in .warc.gz", h->done->path);
    TRY(io_path(h->plan, "%s.plan", h->done->path));
    TRY(io_path(h->part, "%s.part", h->done->path));
    return io_path(h->log, "%s.part.log", h->done->path);
}

static int make_folder(const char *path)
{
    char folder[IO_PATH_MAX];
    snprintf(folder, sizeof folder, "%s", path);
    char *slash = strrchr(folder, '/');
    if (!slash || slash == folder)
        return 0;
    *slash = 0;
    return io_mkdirs(folder);
}

/* Finished before: counted from its index. */
static int count_finished(struct haul *h)
{
    char path[IO_PATH_MAX];
    struct io_reader *in;
    struct str line;
    int rc;
    TRY(io_path(path, "%s.cdxj", h->done->path));
    h->done->captures = h->set.count;
    h->done->full = h->set.full;
    TRY(io_size(h->done->path, &h->done->bytes));
    TRY(io_open(&in, path));
    while ((rc = io_read_line(in, &line)) > 0)
        h->done->written++;
    io_close(in);
    h->done->refused = h->done->captures - h->done->written;
    return rc;
}

static int haul_all(struct haul *h, const struct cdx_conf *conf)
{
    TRY(make_folder(h->done->path));
    int planned = plan_read(h);
    TRY(planned);
    if (io_exists(h->done->path)) {
        if (planned)
            return count_finished(h);
        return err_set(ERR_USAGE,
                       "crawl: %s is there, but not its plan (%s): move it away, or give "
                       "another index_out",
                       h->done->path, h->plan);
    }
    if (!planned)
        TRY(cdx_look(&h->set, h->crawl, conf));
    if (!planned && h->set.count)
        TRY(plan_write(h));
    h->done->full = h->set.full;
    if (h->set.count == 0) {
        h->done->path[0] = 0;
        return 0;
    }
    TRY(set_order(h));
    TRY(cdx_check_open(&h->check));
    return haul_run(h);
}

int cdx_crawl(const struct crawl_conf *crawl, const struct cdx_conf *conf, struct cdx_done *done)
{
    struct haul *h = calloc(1, sizeof *h);
    if (!h)
        return err_set(ERR_LIMIT, "crawl: no memory for an index query");
    *done = (struct cdx_done){0};
    h->crawl = crawl;
    h->done = done;
    h->part_fd = h->log_fd = -1;
    int rc = cdx_set_open(&h->set);
    if (rc == 0)
        rc = make_names(h, conf);
    if (rc == 0)
        rc = haul_all(h, conf);
    if (h->part_fd >= 0)
        close(h->part_fd);
    if (h->log_fd >= 0)
        close(h->log_fd);
    cdx_check_close(h->check);
    cdx_set_close(&h->set);
    buf_free(&h->notes);
    free(h->order);
    free(h->piece);
    free(h);
    return rc;
}

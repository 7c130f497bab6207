/* capture - the archive a crawl leaves: records of each visit, in files of a set size. */
#include "crawl/capture.h"

#include "core/err.h"
#include "core/hash.h"
#include "core/io.h"
#include "crawl/scope.h"
#include "crawl/warc.h"

#include <dirent.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { NAME_BYTES = 256, LEVEL = 6 };

struct capture {
    const struct capture_conf *conf;
    struct warc_writer *writer; /* NULL: the next record opens a file */
    char name[NAME_BYTES], info_id[64];
    bool replayed; /* name is of a file that is not complete */
    char **path;   /* complete files */
    size_t count, room;
    uint64_t bytes;
    struct hash_set digests; /* index + 1 of known */
    struct arena text;
    const char **known; /* "DATE URL" */
    uint32_t known_count, known_room;
    struct buf meta;
};

static int file_path(const struct capture *c, bool hidden, const char *name, char *out)
{
    return io_path(out, "%s/%s%s", c->conf->dir, hidden ? "." : "", name);
}

static int path_add(struct capture *c, const char *name)
{
    char path[IO_PATH_MAX];
    TRY(file_path(c, false, name, path));
    if (c->count == c->room) {
        size_t room = c->room ? c->room * 2 : 16;
        char **grown = realloc(c->path, room * sizeof *grown);
        if (!grown)
            return err_set(ERR_LIMIT, "crawl: no memory for file names");
        c->path = grown;
        c->room = room;
    }
    c->path[c->count] = strdup(path);
    if (!c->path[c->count])
        return err_set(ERR_LIMIT, "crawl: no memory for file names");
    c->count++;
    return 0;
}

/* ---- what was written before ---- */
int capture_replay_file(struct capture *c, struct str name, struct str info_id)
{
    snprintf(c->name, sizeof c->name, "%.*s", STR_ARG(name));
    snprintf(c->info_id, sizeof c->info_id, "%.*s", STR_ARG(info_id));
    c->replayed = true;
    return 0;
}

int capture_replay_complete(struct capture *c, struct str name, uint64_t bytes)
{
    char hidden[IO_PATH_MAX], path[IO_PATH_MAX], text[NAME_BYTES];
    snprintf(text, sizeof text, "%.*s", STR_ARG(name));
    TRY(file_path(c, true, text, hidden));
    TRY(file_path(c, false, text, path));
    c->replayed = false;
    if (access(hidden, F_OK) == 0) { /* killed between the note and the name */
        if (truncate(hidden, (off_t)bytes) < 0 || rename(hidden, path) < 0)
            return err_sys("crawl: completing %s", path);
        TRY(io_sync_dir(c->conf->dir));
    }
    return path_add(c, text);
}

static int known_add(struct capture *c, struct str digest, struct str known)
{
    bool is_new;
    uint32_t *at = hash_set_at(&c->digests, hash_str(digest, 0), &is_new);
    if (!at)
        return ERR_LIMIT;
    if (*at)
        return 0;
    if (c->known_count == c->known_room) {
        uint32_t room = c->known_room ? c->known_room * 2 : 1024;
        const char **grown = realloc(c->known, room * sizeof *grown);
        if (!grown)
            return err_set(ERR_LIMIT, "crawl: no memory for %u digests", room);
        c->known = grown;
        c->known_room = room;
    }
    c->known[c->known_count] = arena_strdup(&c->text, known);
    if (!c->known[c->known_count]) { /* full: later copies are written in whole, which is no loss */
        err_clear();
        return 0;
    }
    *at = ++c->known_count;
    return 0;
}

int capture_replay_digest(struct capture *c, struct str known)
{
    struct str rest, digest = str_cut(known, ' ', &rest);
    return rest.len ? known_add(c, digest, rest) : 0;
}

/* Leftovers of files that the journal does not know: opened, never noted. */
static int sweep(const struct capture *c)
{
    DIR *dir = opendir(c->conf->dir);
    struct dirent *entry;
    if (!dir)
        return err_sys("crawl: reading folder %s", c->conf->dir);
    while ((entry = readdir(dir))) {
        struct str name = str_of(entry->d_name);
        bool ours = name.len > 1 && name.ptr[0] == '.' && str_ends(name, ".warc.gz") &&
                    !(c->replayed && strcmp(entry->d_name + 1, c->name) == 0);
        char path[IO_PATH_MAX];
        if (ours && io_path(path, "%s/%s", c->conf->dir, entry->d_name) == 0)
            unlink(path);
    }
    closedir(dir);
    return 0;
}

int capture_ready(struct capture *c, uint64_t bytes)
{
    TRY(sweep(c));
    if (!c->replayed)
        return 0;
    char path[IO_PATH_MAX];
    TRY(file_path(c, true, c->name, path));
    return warc_writer_resume(&c->writer, path, LEVEL, bytes);
}

/* ---- files ---- */
static void date_text(time_t when, const char *fmt, char *out, size_t room)
{
    struct tm t;
    gmtime_r(&when, &t);
    strftime(out, room, fmt, &t);
}

static int file_begin(struct capture *c, time_t now)
{
    char stamp[32], path[IO_PATH_MAX], date[32];
    date_text(now, "sluice-%Y%m%d%H%M%S", stamp, sizeof stamp);
    date_text(now, "%Y-%m-%dT%H:%M:%SZ", date, sizeof date);
    const char *prefix = c->conf->prefix && c->conf->prefix[0] ? c->conf->prefix : stamp;
    snprintf(c->name, sizeof c->name, "%.200s-%05zu.warc.gz", prefix, c->count);
    TRY(file_path(c, false, c->name, path));
    if (io_exists(path))
        return err_set(ERR_USAGE,
                       "crawl: %s is there already and is not of this crawl: give "
                       "another --out or --prefix",
                       path);
    TRY(file_path(c, true, c->name, path));
    TRY(warc_writer_resume(&c->writer, path, LEVEL, 0));
    struct warc_written written;
    struct warc_field field = {"WARC-Filename", str_of(c->name)};
    struct warc_write info = {.type = "warcinfo",
                              .date = str_of(date),
                              .body = c->conf->info,
                              .field = &field,
                              .field_count = 1};
    TRY(warc_writer_record(c->writer, &info, &written));
    snprintf(c->info_id, sizeof c->info_id, "%s", written.record_id);
    c->bytes += written.length;
    return 0;
}

bool capture_full(const struct capture *c)
{
    return c->writer && warc_writer_bytes(c->writer) >= c->conf->warc_size;
}

int capture_sync(struct capture *c, const char **name, const char **info_id, uint64_t *bytes)
{
    *bytes = 0;
    *name = c->writer ? c->name : "";
    *info_id = c->info_id;
    return c->writer ? warc_writer_sync(c->writer, bytes) : 0;
}

int capture_complete(struct capture *c)
{
    char hidden[IO_PATH_MAX], path[IO_PATH_MAX];
    TRY(file_path(c, true, c->name, hidden));
    TRY(file_path(c, false, c->name, path));
    struct warc_writer *writer = c->writer;
    c->writer = NULL;
    TRY(warc_writer_close(writer));
    if (rename(hidden, path) < 0)
        return err_sys("crawl: renaming %s", hidden);
    TRY(io_sync_dir(c->conf->dir));
    return path_add(c, c->name);
}

size_t capture_files(const struct capture *c, const char *const **path)
{
    *path = (const char *const *)c->path;
    return c->count;
}

uint64_t capture_bytes(const struct capture *c) { return c->bytes; }

/* ---- records ---- */
static struct str cut_name(enum visit_end end)
{
    switch (end) {
    case VISIT_CUT_LENGTH: return STR("length");
    case VISIT_CUT_TIME: return STR("time");
    case VISIT_CUT_LINE: return STR("disconnect");
    default: return STR("");
    }
}

static void meta_line(struct buf *to, const char *name, struct str value)
{
    if (value.len)
        buf_printf(to, "%s: %.*s\r\n", name, STR_ARG(value));
}

static void meta_fill(struct buf *to, const struct capture_page *p)
{
    buf_clear(to);
    meta_line(to, "seed", p->seed);
    meta_line(to, "via", p->via);
    meta_line(to, "hopsFromSeed", str_of(p->path));
    buf_printf(to, "fetchTimeMs: %llu\r\n", (unsigned long long)(p->visit->took_ns / 1000000));
    meta_line(to, "charset-declared", p->charset);
    if (p->outlinks >= 0)
        buf_printf(to, "outlinkCount: %lld\r\n", (long long)p->outlinks);
}

static int record(struct capture *c, const struct warc_write *rec, struct warc_written *out)
{
    struct warc_written unused;
    out = out ? out : &unused;
    TRY(warc_writer_record(c->writer, rec, out));
    c->bytes += out->length;
    return 0;
}

/* What was asked, and what is known of the page: the records that belong to a response. */
static int beside_write(struct capture *c, const struct capture_page *p, const char *date,
                        const char *response_id)
{
    const struct visit *v = p->visit;
    struct warc_field field[3] = {{"WARC-Warcinfo-ID", str_of(c->info_id)},
                                  {"WARC-Concurrent-To", str_of(response_id)},
                                  {"WARC-IP-Address", str_of(v->ip)}};
    struct warc_write request = {.type = "request",
                                 .target_uri = p->url,
                                 .date = str_of(date),
                                 .head = buf_view(&v->request),
                                 .field = field,
                                 .field_count = 3};
    TRY(record(c, &request, NULL));
    meta_fill(&c->meta, p);
    struct warc_write meta = {.type = "metadata",
                              .target_uri = p->url,
                              .date = str_of(date),
                              .body = buf_view(&c->meta),
                              .field = field,
                              .field_count = 2};
    return record(c, &meta, NULL);
}

int capture_write(struct capture *c, const struct capture_page *p, bool *revisit,
                  char known[CAPTURE_KNOWN_MAX])
{
    const struct visit *v = p->visit;
    char date[32], digest[40];
    if (!c->writer)
        TRY(file_begin(c, v->started));
    date_text(v->started, "%Y-%m-%dT%H:%M:%SZ", date, sizeof date);
    warc_digest(buf_view(&v->body), digest);
    bool keyed = c->conf->revisits && v->status == 200 && v->body.len && v->end == VISIT_WHOLE;
    uint32_t before = keyed ? hash_set_get(&c->digests, hash_str(str_of(digest), 0)) : 0;
    struct str original_url = {0}, original_date = {0};
    if (before)
        original_date = str_cut(str_of(c->known[before - 1]), ' ', &original_url);
    struct str cut = cut_name(v->end);
    struct warc_field field[8] = {{"WARC-Warcinfo-ID", str_of(c->info_id)}};
    size_t count = 1;
    if (v->ip[0])
        field[count++] = (struct warc_field){"WARC-IP-Address", str_of(v->ip)};
    if (cut.len)
        field[count++] = (struct warc_field){"WARC-Truncated", cut};
    if (before) {
        field[count++] = (struct warc_field){
            "WARC-Profile",
            STR("http://netpreserve.org/warc/1.1/revisit/identical-payload-digest")};
        field[count++] = (struct warc_field){"WARC-Refers-To-Target-URI", original_url};
        field[count++] = (struct warc_field){"WARC-Refers-To-Date", original_date};
    }
    struct warc_write rec = {.type = before ? "revisit" : "response",
                             .target_uri = p->url,
                             .date = str_of(date),
                             .head = buf_view(&v->header),
                             .body = before ? (struct str){0} : buf_view(&v->body),
                             .payload_digest = str_of(digest),
                             .field = field,
                             .field_count = count};
    struct warc_written written;
    TRY(record(c, &rec, &written));
    TRY(beside_write(c, p, date, written.record_id));
    *revisit = before != 0;
    known[0] = 0;
    if (!keyed || before)
        return 0;
    snprintf(known, CAPTURE_KNOWN_MAX, "%s %s %.*s", digest, date, STR_ARG(p->url));
    return capture_replay_digest(c, str_of(known));
}

/* ---- life ---- */
int capture_open(struct capture **out, const struct capture_conf *conf)
{
    *out = NULL;
    struct capture *c = calloc(1, sizeof *c);
    if (!c)
        return err_set(ERR_LIMIT, "crawl: no memory for an archive");
    c->conf = conf;
    int rc = arena_open(&c->text, (size_t)1 << 30);
    if (rc == 0)
        rc = io_mkdirs(conf->dir);
    if (rc < 0) {
        capture_close(c);
        return rc;
    }
    *out = c;
    return 0;
}

void capture_close(struct capture *c)
{
    if (!c)
        return;
    warc_writer_abandon(c->writer);
    for (size_t i = 0; i < c->count; i++)
        free(c->path[i]);
    free(c->path);
    hash_set_free(&c->digests);
    arena_close(&c->text);
    free(c->known);
    buf_free(&c->meta);
    free(c);
}

/* cmd_warc - `sluice warc ls|cat|check|index|recompress`: looks into web archives and repairs
 * them. */
#include "command/command.h"
#include "command/warc_tool.h"
#include "core/err.h"
#include "core/json.h"
#include "core/log.h"
#include "crawl/fetch.h"
#include "crawl/remote.h"

#include <stdlib.h>
#include <unistd.h>

enum {
    LS_BODY = 64 << 10,   /* bytes of a body held: the status line stands in front */
    CHECK_BODY = 1 << 20, /* what is longer is digested as it streams past */
    PLACES_SHOWN = 3,
    PAYLOAD_ARENA = 3, /* decoded bodies of record_max, a few layers of them */
};

static const struct opt warc_opts[] = {
    OPT_ROW(OPT_BOOL, struct warc_flags, json, "false", 0, 1, NULL,
            "ls, check: JSON, one line each", NULL),
    OPT_ROW(OPT_INT, struct warc_flags, offset, "-1", -1, 9e15, "bytes",
            "cat: the record at this stored offset", NULL),
    OPT_ROW(OPT_STR, struct warc_flags, url, NULL, 0, 0, NULL,
            "ls, cat: records of this URL; * and ? match any", NULL),
    OPT_ROW(OPT_STR, struct warc_flags, record_id, NULL, 0, 0, NULL,
            "cat: the record of this WARC-Record-ID", NULL),
    OPT_ROW(OPT_BOOL, struct warc_flags, payload, "false", 0, 1, NULL,
            "cat: only what the server sent, chunks and encodings undone", NULL),
    OPT_ROW(OPT_BOOL, struct warc_flags, digests, "false", 0, 1, NULL,
            "check: compute block and payload digests, too", NULL),
    OPT_ROW(OPT_BOOL, struct warc_flags, sort, "false", 0, 1, NULL,
            "index: sort the lines of all files, equal ones once", NULL),
    OPT_ROW(OPT_BOOL, struct warc_flags, keep_damaged, "false", 0, 1, NULL,
            "recompress: keep records that end early, with the length they have", NULL),
    OPT_ROW(OPT_INT, struct warc_flags, level, "0", 0, 19, NULL,
            "recompress: 1 to 9 for gzip, to 19 for zstd; 0: the usual one", NULL),
    OPT_ROW(OPT_SIZE, struct warc_flags, record_max, "1G", 1 << 10, 4e9, "bytes",
            "largest record held in memory", NULL),
    OPT_LAST,
};

int warc_tool_open(struct warc_reader **out, const char *path, size_t body_max)
{
    char shown[IO_PATH_MAX];
    if (remote_is_url(path)) {
        fetch_url_shown(path, shown);
        return err_set(ERR_USAGE,
                       "warc: %s is a URL: stream it (sluice crawl URL --stdout | sluice warc "
                       "ls -) or fetch it (sluice crawl URL prints where it lies); single captures "
                       "come by sluice crawl --index",
                       shown);
    }
    return strcmp(path, "-") == 0 ? warc_open_fd(out, STDIN_FILENO, "standard input", body_max)
                                  : warc_open(out, path, body_max);
}

int warc_tool_status(const struct warc_record *rec, struct str *head)
{
    struct str body;
    int status = 0;
    *head = http_header(rec->body, &body);
    size_t blank = str_find_char(str_slice(*head, 0, str_find_char(*head, '\n')), ' ');
    for (size_t i = blank; blank != SIZE_MAX && i < head->len && i < blank + 5; i++)
        if (head->ptr[i] >= '0' && head->ptr[i] <= '9')
            status = status * 10 + head->ptr[i] - '0';
        else if (status)
            break;
    return status < 1000 && !str_eq_nocase(rec->type, STR("request")) ? status : 0;
}

static bool url_matches(const char *pattern, struct str url)
{
    return !pattern || !*pattern || str_is(url, pattern) || str_glob(pattern, url);
}

/* ---- ls ---- */
static void put_clean(struct str s)
{
    for (size_t i = 0; i < s.len; i++)
        putchar((unsigned char)s.ptr[i] < 32 || s.ptr[i] == 127 ? '?' : s.ptr[i]);
}

static void put_str(struct json_writer *w, const char *key, struct str value)
{
    if (!value.len)
        return;
    json_field_str(w, key, value);
}

static void ls_json(const struct warc_record *rec, const char *path, int status, struct str head,
                    struct buf *line)
{
    struct json_writer w;
    struct str rest, mime = head.len ? http_field(head, "Content-Type") : rec->content_type;
    buf_clear(line);
    json_begin(&w, line);
    json_open(&w, '{');
    put_str(&w, "file", str_of(path));
    json_field_u64(&w, "offset", rec->offset);
    json_field_u64(&w, "stored", rec->stored);
    put_str(&w, "type", rec->type);
    if (status)
        json_field_u64(&w, "status", (uint64_t)status);
    json_field_u64(&w, "length", rec->content_length);
    put_str(&w, "mime", mime.len ? str_trim(str_cut(mime, ';', &rest)) : mime);
    put_str(&w, "url", rec->target_uri);
    put_str(&w, "date", rec->date);
    put_str(&w, "record_id", rec->record_id);
    put_str(&w, "payload_digest", rec->payload_digest);
    put_str(&w, "truncated", rec->truncated);
    if (rec->damaged)
        json_field_bool(&w, "damaged", true);
    json_close(&w, '}');
    printf("%s\n", buf_cstr(line));
}

static int ls_file(const struct warc_flags *flags, const char *path, bool named)
{
    struct warc_reader *r;
    struct warc_record rec;
    struct buf line = {0};
    TRY(warc_tool_open(&r, path, LS_BODY));
    int rc;
    while ((rc = warc_next(r, &rec)) > 0) {
        struct str head;
        int status = warc_tool_status(&rec, &head);
        if (!url_matches(flags->url, rec.target_uri))
            continue;
        if (flags->json) {
            ls_json(&rec, path, status, head, &line);
            continue;
        }
        if (named)
            printf("%s ", path);
        printf("%12llu  %-10.*s  %3.0d  %10llu%s  ", (unsigned long long)rec.offset,
               STR_ARG(rec.type), status, (unsigned long long)rec.content_length,
               rec.damaged ? " damaged" : "");
        put_clean(rec.target_uri.len ? rec.target_uri : STR("-"));
        putchar('\n');
    }
    warc_close(r);
    buf_free(&line);
    return rc;
}

/* ---- cat ---- */
static int put_bytes(struct str s)
{
    return fwrite(s.ptr ? s.ptr : "", 1, s.len, stdout) == s.len ? 0 : err_sys("standard output");
}

static int cat_record(const struct warc_flags *flags, const struct warc_record *rec)
{
    if (rec->cut)
        return err_set(ERR_LIMIT,
                       "warc cat: the record at byte %llu has %llu bytes: raise "
                       "--record-max",
                       (unsigned long long)rec->offset, (unsigned long long)rec->content_length);
    if (!flags->payload) {
        TRY(put_bytes(rec->header));
        TRY(put_bytes(rec->body));
        return put_bytes(STR("\r\n\r\n"));
    }
    struct arena a;
    struct http_response http;
    TRY(arena_open(&a, flags->record_max * PAYLOAD_ARENA + (16 << 20)));
    int rc = http_parse(&a, rec->body, flags->record_max, &http);
    if (rc == 0 && http.too_large)
        rc = err_set(ERR_LIMIT,
                     "warc cat: decoded, the record at byte %llu is over %llu bytes: "
                     "raise --record-max",
                     (unsigned long long)rec->offset, (unsigned long long)flags->record_max);
    if (rc == 0)
        rc = put_bytes(http.body);
    arena_close(&a);
    return rc;
}

/* "<urn:uuid:X>", "urn:uuid:X" and "X" are the same record. */
static bool id_matches(const char *want, struct str id)
{
    struct str text = str_of(want);
    for (int i = 0; i < 2; i++) {
        struct str *s = i ? &text : &id;
        *s = str_slice(*s, s->len && s->ptr[0] == '<', s->len);
        s->len -= s->len && s->ptr[s->len - 1] == '>';
        if (str_starts_nocase(*s, "urn:uuid:"))
            *s = str_slice(*s, 9, s->len);
    }
    return str_eq_nocase(text, id);
}

static bool has_text(const char *s) { return s && *s; }

static bool is_wanted(const struct warc_flags *flags, const struct warc_record *rec)
{
    if (flags->offset >= 0 && rec->offset != (uint64_t)flags->offset)
        return false;
    if (has_text(flags->record_id) && !id_matches(flags->record_id, rec->record_id))
        return false;
    if (!url_matches(flags->url, rec->target_uri))
        return false;
    /* A URL alone means what came from there, not what was asked. */
    bool by_url = flags->offset < 0 && !has_text(flags->record_id) && has_text(flags->url);
    return !by_url || str_eq_nocase(rec->type, STR("response")) ||
           str_eq_nocase(rec->type, STR("resource")) || str_eq_nocase(rec->type, STR("conversion"));
}

static int cat_open(struct warc_reader *r, const struct warc_flags *flags, uint64_t *found)
{
    struct warc_record rec;
    int rc;
    if (flags->offset > 0)
        TRY(warc_seek(r, (uint64_t)flags->offset));
    while ((rc = warc_next(r, &rec)) > 0) {
        bool past = flags->offset >= 0 && rec.offset > (uint64_t)flags->offset;
        if (past && !*found)
            return err_set(ERR_USAGE,
                           "warc cat: no record starts at byte %lld: the next one does "
                           "at %llu (sluice warc ls lists them)",
                           (long long)flags->offset, (unsigned long long)rec.offset);
        if (past)
            return 0;
        if (!is_wanted(flags, &rec))
            continue;
        ++*found;
        TRY(cat_record(flags, &rec));
    }
    return rc;
}

static int cat_file(const struct warc_flags *flags, const char *path)
{
    struct warc_reader *r;
    uint64_t found = 0;
    TRY(warc_tool_open(&r, path, flags->record_max));
    int rc = cat_open(r, flags, &found);
    warc_close(r);
    if (rc >= 0 && !found)
        rc = err_set(ERR_USAGE,
                     "warc cat: no record of %s is the one asked for: sluice warc ls %s "
                     "lists them",
                     path, path);
    return rc;
}

/* ---- check ---- */
struct digest_counts {
    uint64_t good, bad, unknown, unchecked, first_bad;
};

static void count_digest(struct digest_counts *d, enum warc_digest found, uint64_t offset)
{
    switch (found) {
    case WARC_DIGEST_NONE: return;
    case WARC_DIGEST_GOOD: d->good++; return;
    case WARC_DIGEST_BAD: d->first_bad = d->bad++ ? d->first_bad : offset; return;
    case WARC_DIGEST_UNKNOWN: d->unknown++; return;
    case WARC_DIGEST_UNCHECKED: d->unchecked++; return;
    }
}

struct checked {
    const char *path;
    int rc;               /* of the file: 0, ERR_FORMAT: no archive, ... */
    uint64_t cut_records; /* that end early */
    struct warc_stats stats;
    const struct warc_damage *damage;
    size_t damages;
    struct digest_counts digests;
};

static bool is_good(const struct checked *c)
{
    return c->rc == 0 && !c->stats.damaged && !c->digests.bad && !c->cut_records;
}

static void check_json(const struct checked *c, bool digests)
{
    struct buf line = {0};
    struct json_writer w;
    json_begin(&w, &line);
    json_open(&w, '{');
    put_str(&w, "file", str_of(c->path));
    json_field_bool(&w, "good", is_good(c));
    json_field_u64(&w, "records", c->stats.records - c->cut_records);
    json_field_u64(&w, "damaged_records", c->cut_records);
    json_field_u64(&w, "damaged_places", c->stats.damaged);
    json_field_u64(&w, "lost_bytes", c->stats.lost_bytes);
    json_field_u64(&w, "stored_bytes", c->stats.compressed_bytes);
    if (digests) {
        json_field_u64(&w, "digests_good", c->digests.good);
        json_field_u64(&w, "digests_bad", c->digests.bad);
        json_field_u64(&w, "digests_unknown", c->digests.unknown);
        json_field_u64(&w, "digests_unchecked", c->digests.unchecked);
    }
    if (c->rc < 0)
        put_str(&w, "error", str_of(err_text()));
    json_field_open(&w, "damage", '[');
    for (size_t i = 0; i < c->damages; i++) {
        json_open(&w, '{');
        json_field_u64(&w, "offset", c->damage[i].offset);
        put_str(&w, "why", str_of(c->damage[i].why));
        json_close(&w, '}');
    }
    json_close(&w, ']');
    json_close(&w, '}');
    printf("%s\n", buf_cstr(&line));
    buf_free(&line);
}

/* An error's text without the file's name, which stands in front of the line. */
static const char *bare_error(const char *path)
{
    const char *text = err_text();
    size_t len = strlen(path);
    if (strncmp(text, "crawl: ", 7) == 0 && strncmp(text + 7, path, len) == 0 && text[7 + len])
        return text + 7 + len + 1;
    return text;
}

static void check_text(const struct checked *c, bool digests)
{
    const struct warc_stats *s = &c->stats;
    const struct digest_counts *d = &c->digests;
    bool none = c->rc < 0 && !s->records;
    printf("%-7s  %s: ", is_good(c) ? "good" : none ? "none" : "damaged", c->path);
    if (none) {
        printf("%s\n", bare_error(c->path));
        return;
    }
    printf("%llu good records", (unsigned long long)(s->records - c->cut_records));
    if (c->cut_records)
        printf(", %llu that end early", (unsigned long long)c->cut_records);
    if (s->damaged)
        printf(", %llu %s damaged, %llu bytes lost", (unsigned long long)s->damaged,
               s->damaged == 1 ? "place" : "places", (unsigned long long)s->lost_bytes);
    if (digests)
        printf(", digests: %llu good, %llu bad, %llu unknown, %llu not comparable",
               (unsigned long long)d->good, (unsigned long long)d->bad,
               (unsigned long long)d->unknown, (unsigned long long)d->unchecked);
    for (size_t i = 0; i < c->damages && i < PLACES_SHOWN; i++)
        printf("%s byte %llu: %s", i ? ";" : ":", (unsigned long long)c->damage[i].offset,
               c->damage[i].why);
    if (s->damaged > PLACES_SHOWN)
        printf("; and %llu more", (unsigned long long)(s->damaged - PLACES_SHOWN));
    if (d->bad)
        printf("; first bad digest at byte %llu", (unsigned long long)d->first_bad);
    printf("%s%s\n", c->rc < 0 ? "; " : "", c->rc < 0 ? bare_error(c->path) : "");
}

/* 1 good, 0 not. */
static int check_file(const struct warc_flags *flags, const char *path)
{
    struct checked c = {.path = path};
    struct warc_reader *r = NULL;
    struct warc_record rec;
    c.rc = warc_tool_open(&r, path, flags->digests ? CHECK_BODY : 0);
    if (c.rc == 0 && flags->digests)
        warc_check_digests(r);
    while (c.rc >= 0 && (c.rc = warc_next(r, &rec)) > 0) {
        c.cut_records += rec.damaged;
        count_digest(&c.digests, flags->digests ? rec.block_check : WARC_DIGEST_NONE, rec.offset);
        count_digest(&c.digests, flags->digests ? rec.payload_check : WARC_DIGEST_NONE, rec.offset);
    }
    if (r) {
        c.stats = *warc_stats(r);
        c.damage = warc_damages(r, &c.damages);
    }
    if (flags->json)
        check_json(&c, flags->digests);
    else
        check_text(&c, flags->digests);
    bool good = is_good(&c);
    warc_close(r);
    if (fflush(stdout) != 0)
        return err_sys("standard output");
    return c.rc == ERR_USAGE || c.rc == ERR_IO ? c.rc : good;
}

static int check_files(const struct warc_flags *flags, int count, char **paths)
{
    int bad = 0, rc = 0;
    log_open(LOG_QUIET); /* the lines say what the warnings would */
    for (int i = 0; i < count; i++) {
        int good = check_file(flags, paths[i]);
        if (good < 0 && ferror(stdout)) {
            log_open(LOG_INFO);
            return good;
        }
        rc = good < 0 ? good : rc;
        bad += good <= 0;
    }
    log_open(LOG_INFO);
    if (rc < 0)
        return err_set(rc, "warc check: %d of %d files could not be read or are damaged", bad,
                       count);
    return bad ? err_set(ERR_FORMAT, "warc check: %d of %d files are damaged or no web archives",
                         bad, count)
               : 0;
}

/* ---- recompress ---- */
static int copy_records(const struct warc_flags *flags, struct warc_reader *r,
                        struct warc_writer *w, uint64_t *left_out)
{
    struct warc_record rec;
    int rc;
    while ((rc = warc_next(r, &rec)) > 0) {
        if (rec.cut)
            return err_set(ERR_LIMIT,
                           "warc recompress: the record at byte %llu has %llu bytes: "
                           "raise --record-max",
                           (unsigned long long)rec.offset, (unsigned long long)rec.content_length);
        if (rec.damaged && !flags->keep_damaged) {
            ++*left_out;
            continue;
        }
        TRY(warc_writer_copy(w, &rec, NULL));
    }
    return rc;
}

static int recompress(const struct warc_flags *flags, int count, char **paths)
{
    struct warc_reader *r;
    struct warc_writer *w = NULL;
    uint64_t left_out = 0;
    if (count != 2)
        return err_set(ERR_USAGE, "warc recompress: name one file in and one out: sluice warc "
                                  "recompress IN OUT.warc.gz");
    TRY(warc_tool_open(&r, paths[0], flags->record_max));
    int rc = warc_writer_open(&w, paths[1], (int)flags->level);
    if (rc == 0)
        rc = copy_records(flags, r, w, &left_out);
    const struct warc_stats *s = warc_stats(r);
    if (rc == 0) {
        uint64_t bytes = warc_writer_bytes(w);
        rc = warc_writer_close(w);
        if (rc == 0)
            log_info("%s: %llu records, %llu bytes; %llu damaged ones left out", paths[1],
                     (unsigned long long)(s->records - left_out), (unsigned long long)bytes,
                     (unsigned long long)left_out);
    } else {
        warc_writer_abandon(w);
    }
    warc_close(r);
    return rc;
}

/* ---- the command ---- */
static int command_warc_main(void *conf, int argc, char **argv, struct arena *a)
{
    const struct warc_flags *flags = conf;
    UNUSED(a);
    if (argc < 2)
        return err_set(ERR_USAGE, "warc: name what to do and the files: sluice warc "
                                  "ls|cat|check|index|recompress FILE...");
    const char *verb = argv[0];
    int rc = 0;
    argc--;
    argv++;
    if (strcmp(verb, "check") == 0)
        return check_files(flags, argc, argv);
    if (strcmp(verb, "index") == 0)
        return warc_index(flags, argc, argv);
    if (strcmp(verb, "recompress") == 0)
        return recompress(flags, argc, argv);
    bool cat = strcmp(verb, "cat") == 0;
    if (!cat && strcmp(verb, "ls") != 0)
        return err_set(ERR_USAGE,
                       "warc: there is no \"%s\": give ls, cat, check, index or "
                       "recompress",
                       verb);
    for (int i = 0; i < argc && rc >= 0; i++)
        rc = cat ? cat_file(flags, argv[i]) : ls_file(flags, argv[i], argc > 1);
    return rc;
}

const struct command command_warc = {
    .name = "warc",
    .group = "files",
    .usage = "warc ls|cat|check|index|recompress FILE... [--flags]",
    .help = "list, print, check, index and repack web archives (WARC 0.x to 1.1, ARC 1)",
    .text =
        "ls prints offset, type, status, length and URL of each record; cat one record or, with\n"
        "--payload, the page in it, by --offset, --record-id or --url; check one line a file:\n"
        "records that are good, what is lost, where and why; index CDXJ lines as cdxj-indexer and\n"
        "pywb have them; recompress writes each record as a member of its own (OUT.warc.gz,\n"
        "OUT.warc.zst or OUT.warc), which readers that go by offset need; ARC becomes WARC. Files\n"
        "are plain, gzip or zstd; - is standard input.\n\n"
        "  sluice warc check --digests *.warc.gz\n"
        "  sluice warc cat --url='https://example.com/*' --payload a.warc.gz | head\n"
        "  sluice warc index --sort *.warc.gz > index.cdxj",
    .opts = warc_opts,
    .conf_size = sizeof(struct warc_flags),
    .run = command_warc_main,
};

/* warc_index - CDXJ lines of web archives: where each capture lies, by sortable URL and time. */
#include "command/warc_tool.h"
#include "core/err.h"

#include <stdio.h>
#include <stdlib.h>

/* The lines are those of cdxj-indexer 1.5 (webrecorder), byte for byte, so that indexes of both can
 * be merged: which records (response, revisit, and resource and metadata that are no list of
 * fields), which members of the object and in which order, and escapes as Python writes them. */
enum { LINES_MAX_BYTES = 1 << 30 }; /* of lines sorted in memory */

struct index {
    const struct warc_flags *flags;
    const char *file;
    struct buf uri;
    struct buf lines; /* with --sort: all of them, else the one in work */
    size_t *start;
    size_t count, room;
};

/* ---- JSON as Python's json.dumps writes it ---- */
static void put_unit(struct buf *to, uint32_t unit) { buf_printf(to, "\\u%04x", unit); }

static void put_text(struct buf *to, struct str s)
{
    static const char plain[] = "\"\\\n\r\t\f\b", letter[] = "\"\\nrtfb";
    bool utf8 = utf8_valid(s); /* else it is taken as Latin-1 */
    buf_char(to, '"');
    for (size_t i = 0; i < s.len;) {
        uint32_t cp = (unsigned char)s.ptr[i];
        int step = utf8 ? utf8_decode(s.ptr + i, s.ptr + s.len, &cp) : 1;
        const char *known = cp && cp < 128 ? strchr(plain, (int)cp) : NULL;
        if (known)
            buf_printf(to, "\\%c", letter[known - plain]);
        else if (cp >= 0x20 && cp < 0x80)
            buf_char(to, (char)cp);
        else if (cp < 0x10000)
            put_unit(to, cp);
        else {
            put_unit(to, 0xd800 + ((cp - 0x10000) >> 10));
            put_unit(to, 0xdc00 + ((cp - 0x10000) & 0x3ff));
        }
        i += (size_t)step;
    }
    buf_char(to, '"');
}

static void put_member(struct buf *to, const char *name, struct str value, bool *first)
{
    if (!value.len)
        return;
    buf_text(to, *first ? "{" : ", ");
    *first = false;
    put_text(to, str_of(name));
    buf_text(to, ": ");
    put_text(to, value);
}

static void put_number(struct buf *to, const char *name, uint64_t value, bool *first)
{
    char text[24];
    snprintf(text, sizeof text, "%llu", (unsigned long long)value);
    put_member(to, name, str_of(text), first);
}

/* A URI as the reference writes it: blanks escaped, the rest as it is. */
static void add_uri(struct buf *to, struct str uri)
{
    for (size_t i = 0; i < uri.len; i++)
        if (uri.ptr[i] == ' ')
            buf_text(to, "%20");
        else
            buf_char(to, uri.ptr[i]);
}

/* ---- one record ---- */
static bool is_type(const struct warc_record *rec, const char *name)
{
    return str_eq_nocase(rec->type, str_of(name));
}

static bool is_indexed(const struct warc_record *rec)
{
    bool fields = str_is(rec->content_type, "application/warc-fields");
    return is_type(rec, "response") || is_type(rec, "revisit") ||
           ((is_type(rec, "resource") || is_type(rec, "metadata")) && !fields);
}

/* Up to the first blank or semicolon. */
static struct str bare_type(struct str type)
{
    size_t i = 0;
    while (i < type.len && !memchr("; \t\r\n\f\v", type.ptr[i], 7))
        i++;
    return str_slice(type, 0, i);
}

static void add_line(struct buf *to, struct buf *uri, const struct warc_record *rec,
                     const char *file)
{
    struct str head, body;
    char date[15], digest[40] = "", status[8] = "";
    int code = warc_tool_status(rec, &head);
    bool http = head.len > 0, revisit = is_type(rec, "revisit"), first = true;
    struct str mime = revisit                    ? STR("warc/revisit")
                      : is_type(rec, "response") ? http_field(head, "Content-Type")
                                                 : rec->content_type;
    if (code)
        snprintf(status, sizeof status, "%d", code);
    body = http ? str_slice(rec->body, head.len, rec->body.len) : rec->body;
    struct str sum = rec->payload_digest;
    if (!sum.len && !rec->cut) {
        warc_digest(body, digest);
        sum = str_of(digest);
    }
    warc_date14(rec->date, date);
    buf_clear(uri);
    add_uri(uri, rec->target_uri);
    url_surt(buf_view(uri), to);
    buf_printf(to, " %s ", date);
    put_member(to, "url", buf_view(uri), &first);
    put_member(to, "mime", revisit ? mime : bare_type(mime), &first);
    put_member(to, "status", str_of(status), &first);
    put_member(to, "digest", sum, &first);
    put_number(to, "length", rec->stored, &first);
    put_number(to, "offset", rec->offset, &first);
    put_member(to, "filename", str_of(file), &first);
    buf_text(to, "}\n");
}

/* ---- lines ---- */
static int keep_line(struct index *x, size_t start)
{
    if (x->count == x->room) {
        size_t room = x->room ? x->room * 2 : 1024;
        size_t *grown = realloc(x->start, room * sizeof *grown);
        if (!grown)
            return err_set(ERR_LIMIT, "warc index: no memory for %zu lines", room);
        x->start = grown;
        x->room = room;
    }
    x->start[x->count++] = start;
    return 0;
}

static int index_record(struct index *x, const struct warc_record *rec)
{
    if (!rec->target_uri.len || !is_indexed(rec))
        return 0;
    size_t start = x->flags->sort ? x->lines.len : 0;
    x->lines.len = start;
    add_line(&x->lines, &x->uri, rec, x->file);
    if (x->lines.failed)
        return err_set(ERR_LIMIT,
                       "warc index: --sort holds at most %d bytes of lines: index fewer "
                       "files at a time and merge with LC_ALL=C sort -m",
                       LINES_MAX_BYTES);
    if (x->flags->sort)
        return keep_line(x, start);
    return fwrite(x->lines.ptr, 1, x->lines.len, stdout) == x->lines.len
               ? 0
               : err_sys("standard output");
}

static int index_file(struct index *x, const char *path)
{
    struct warc_reader *r;
    struct warc_record rec;
    const char *slash = strrchr(path, '/');
    uint64_t unknown = 0;
    x->file = slash ? slash + 1 : path;
    TRY(warc_tool_open(&r, path, x->flags->record_max));
    int rc;
    while ((rc = warc_next(r, &rec)) > 0) {
        unknown += rec.stored == 0;
        rc = index_record(x, &rec);
        if (rc < 0)
            break;
    }
    warc_close(r);
    if (rc == 0 && unknown)
        fprintf(stderr,
                "warning: %s: %llu records share a compressed member or are damaged: they "
                "cannot be read alone (length 0); sluice warc recompress makes them so\n",
                path, (unsigned long long)unknown);
    return rc;
}

static int compare_lines(const void *one, const void *two, void *arg)
{
    const char *text = arg;
    const char *a = text + *(const size_t *)one, *b = text + *(const size_t *)two;
    while (*a == *b && *a != '\n') {
        a++;
        b++;
    }
    return *a == *b ? 0 : *a == '\n' ? -1 : *b == '\n' ? 1 : (unsigned char)*a - (unsigned char)*b;
}

/* In byte order, equal lines once, as cdxj-indexer and LC_ALL=C sort -u do it. */
static int put_sorted(struct index *x)
{
    if (!x->count)
        return 0;
    qsort_r(x->start, x->count, sizeof *x->start, compare_lines, x->lines.ptr);
    for (size_t i = 0; i < x->count; i++) {
        const char *line = x->lines.ptr + x->start[i];
        if (i && compare_lines(&x->start[i - 1], &x->start[i], x->lines.ptr) == 0)
            continue;
        size_t len = (size_t)((char *)rawmemchr(line, '\n') - line) + 1;
        if (fwrite(line, 1, len, stdout) != len)
            return err_sys("standard output");
    }
    return 0;
}

int warc_index(const struct warc_flags *flags, int count, char **paths)
{
    struct index x = {.flags = flags, .lines = {.max = LINES_MAX_BYTES}};
    int rc = 0;
    for (int i = 0; i < count && rc >= 0; i++)
        rc = index_file(&x, paths[i]);
    if (rc >= 0 && flags->sort)
        rc = put_sorted(&x);
    free(x.start);
    buf_free(&x.lines);
    buf_free(&x.uri);
    return rc;
}

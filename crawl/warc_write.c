/* warc_write - WARC/1.1 records, each a gzip member or zstd frame of its own, into one file. */
#include "crawl/warc.h"

#include "core/err.h"
#include "core/io.h"
#include "crawl/digest.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

enum {
    OUT_BYTES = 64 << 10,
    FEED_MAX = 1 << 30, /* zlib counts in 32 bits */
    GZIP_LEVEL = 6,
    ZSTD_LEVEL = 3,
};

struct warc_writer {
    struct io_writer *io; /* NULL when fd is written, which is path itself */
    int fd;
    uint64_t stored; /* bytes of path, by fd */
    enum warc_packing packing;
    struct buf header;
    bool deflating;
    z_stream deflate;
    ZSTD_CCtx *zstd;
    unsigned char out[OUT_BYTES];
    char path[];
};

/* ---- bytes ---- */
static int put_stored(struct warc_writer *w, const void *bytes, size_t len)
{
    const char *at = bytes;
    if (w->io)
        return io_write(w->io, bytes, len);
    while (len) {
        ssize_t got = pwrite(w->fd, at, len, (off_t)w->stored);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return err_sys("crawl: writing %s at byte %llu", w->path,
                           (unsigned long long)w->stored);
        at += got;
        len -= (size_t)got;
        w->stored += (uint64_t)got;
    }
    return 0;
}

static int put_gzip(struct warc_writer *w, struct str part, bool end)
{
    z_stream *z = &w->deflate;
    do {
        size_t step = part.len < FEED_MAX ? part.len : FEED_MAX;
        z->next_in = (Bytef *)(uintptr_t)part.ptr;
        z->avail_in = (uInt)step;
        part = str_slice(part, step, part.len);
        int flush = end && part.len == 0 ? Z_FINISH : Z_NO_FLUSH;
        do {
            z->next_out = w->out;
            z->avail_out = OUT_BYTES;
            int rc = deflate(z, flush);
            assert(rc != Z_STREAM_ERROR);
            TRY(put_stored(w, w->out, OUT_BYTES - z->avail_out));
        } while (z->avail_out == 0);
    } while (part.len);
    return end && deflateReset(z) != Z_OK ? err_set(ERR_LIMIT, "crawl: deflateReset failed") : 0;
}

static int put_zstd(struct warc_writer *w, struct str part, bool end)
{
    ZSTD_inBuffer in = {part.ptr, part.len, 0};
    size_t left = 1;
    while (left || in.pos < in.size) {
        ZSTD_outBuffer out = {w->out, OUT_BYTES, 0};
        left = ZSTD_compressStream2(w->zstd, &out, &in, end ? ZSTD_e_end : ZSTD_e_continue);
        if (ZSTD_isError(left))
            return err_set(ERR_LIMIT, "crawl: zstd: %s", ZSTD_getErrorName(left));
        TRY(put_stored(w, w->out, out.pos));
        if (!end && in.pos == in.size)
            break;
    }
    return 0;
}

static int put(struct warc_writer *w, struct str part, bool end)
{
    switch (w->packing) {
    case WARC_PLAIN: return put_stored(w, part.ptr ? part.ptr : "", part.len);
    case WARC_GZIP: return put_gzip(w, part, end);
    case WARC_ZSTD: return put_zstd(w, part, end);
    }
    return 0;
}

/* Header, block in two parts, the two line ends; then the member ends. */
static int put_record(struct warc_writer *w, struct str head, struct str body,
                      struct warc_written *out)
{
    uint64_t offset = warc_writer_bytes(w);
    if (w->header.failed)
        return err_set(ERR_LIMIT, "crawl: no memory for a WARC header of %zu bytes", w->header.len);
    TRY(put(w, buf_view(&w->header), false));
    TRY(put(w, head, false));
    TRY(put(w, body, false));
    TRY(put(w, STR("\r\n\r\n"), true));
    out->offset = offset;
    out->length = warc_writer_bytes(w) - offset;
    return 0;
}

/* ---- header ---- */
/* A value on one line: control bytes become blanks, and in a URI blanks are escaped. */
static void add_field(struct buf *to, const char *name, struct str value, bool uri)
{
    if (!value.len)
        return;
    buf_text(to, name);
    buf_text(to, ": ");
    for (size_t i = 0; i < value.len; i++) {
        unsigned char c = (unsigned char)value.ptr[i];
        bool control = c < 0x20 || c == 0x7f;
        if (uri && (control || c == ' '))
            buf_printf(to, "%%%02X", c);
        else
            buf_char(to, control ? ' ' : (char)c);
    }
    buf_text(to, "\r\n");
}

static void digest_two(struct str one, struct str two, unsigned char out[DIGEST_BYTES_MAX])
{
    struct digest d;
    digest_begin(&d, DIGEST_SHA1);
    digest_add(&d, one.ptr ? one.ptr : "", one.len);
    digest_add(&d, two.ptr ? two.ptr : "", two.len);
    digest_end(&d, out);
}

void warc_digest(struct str bytes, char out[40])
{
    unsigned char sum[DIGEST_BYTES_MAX];
    digest_two(bytes, STR(""), sum);
    digest_text(sum, out);
}

/* A name-based UUID (RFC 9562, version 5) of the record's place, URL, date and block. */
static void make_id(const struct warc_writer *w, const struct warc_write *rec, struct str date,
                    const char *block_digest, char out[48])
{
    static const char space[] = "sluice warc record";
    unsigned char sum[DIGEST_BYTES_MAX];
    struct digest d;
    digest_begin(&d, DIGEST_SHA1);
    digest_add(&d, space, sizeof space);
    snprintf(out, 48, "%llu", (unsigned long long)warc_writer_bytes(w));
    digest_add(&d, out, strlen(out) + 1);
    digest_add(&d, rec->type, strlen(rec->type) + 1);
    digest_add(&d, rec->target_uri.ptr ? rec->target_uri.ptr : "", rec->target_uri.len);
    digest_add(&d, date.ptr, date.len);
    digest_add(&d, block_digest, strlen(block_digest));
    digest_end(&d, sum);
    sum[6] = (unsigned char)((sum[6] & 0x0f) | 0x50);
    sum[8] = (unsigned char)((sum[8] & 0x3f) | 0x80);
    char *at = out + snprintf(out, 48, "<urn:uuid:");
    for (int i = 0; i < 16; i++)
        at += snprintf(at, 4, i == 4 || i == 6 || i == 8 || i == 10 ? "-%02x" : "%02x", sum[i]);
    snprintf(at, 2, ">");
}

static struct str usual_type(const char *type)
{
    static const struct {
        const char *type;
        struct str content;
    } usual[] = {
        {"warcinfo", {"application/warc-fields", 23}},
        {"metadata", {"application/warc-fields", 23}},
        {"request", {"application/http; msgtype=request", 33}},
        {"response", {"application/http; msgtype=response", 34}},
        {"revisit", {"application/http; msgtype=response", 34}},
        {"conversion", {"text/plain", 10}},
    };
    for (size_t i = 0; i < COUNT_OF(usual); i++)
        if (strcmp(type, usual[i].type) == 0)
            return usual[i].content;
    return STR("application/octet-stream");
}

static struct str now_text(char out[32])
{
    time_t now = time(NULL);
    struct tm t;
    gmtime_r(&now, &t);
    return (struct str){out, strftime(out, 32, "%Y-%m-%dT%H:%M:%SZ", &t)};
}

/* Responses and resources have a payload; a revisit has its original's, which only the caller
 * knows. */
static bool has_payload(const struct warc_write *rec)
{
    return strcmp(rec->type, "response") == 0 || strcmp(rec->type, "resource") == 0;
}

int warc_writer_record(struct warc_writer *w, const struct warc_write *rec,
                       struct warc_written *out)
{
    struct warc_written unused;
    unsigned char sum[DIGEST_BYTES_MAX];
    char clock[32], block_digest[40];
    out = out ? out : &unused;
    memset(out, 0, sizeof *out);
    assert(rec->type);
    assert(rec->field_count <= WARC_WRITE_FIELDS);
    struct str date = rec->date.len ? rec->date : now_text(clock);
    digest_two(rec->head, rec->body, sum);
    digest_text(sum, block_digest);
    if (rec->payload_digest.len) {
        snprintf(out->payload_digest, sizeof out->payload_digest, "%.*s",
                 STR_ARG(rec->payload_digest));
    } else if (has_payload(rec)) {
        digest_two(rec->body, STR(""), sum);
        digest_text(sum, out->payload_digest);
    }
    if (rec->record_id.len)
        snprintf(out->record_id, sizeof out->record_id, "%.*s", STR_ARG(rec->record_id));
    else
        make_id(w, rec, date, block_digest, out->record_id);
    struct buf *to = &w->header;
    buf_clear(to);
    buf_printf(to, "WARC/1.1\r\nWARC-Type: %s\r\n", rec->type);
    add_field(to, "WARC-Record-ID", str_of(out->record_id), false);
    add_field(to, "WARC-Date", date, false);
    add_field(to, "WARC-Target-URI", rec->target_uri, true);
    for (size_t i = 0; i < rec->field_count; i++)
        add_field(to, rec->field[i].name, rec->field[i].value, false);
    add_field(to, "WARC-Payload-Digest",
              rec->payload_digest.len ? rec->payload_digest : str_of(out->payload_digest), false);
    add_field(to, "WARC-Block-Digest", str_of(block_digest), false);
    add_field(to, "Content-Type", rec->content_type.len ? rec->content_type : usual_type(rec->type),
              false);
    buf_printf(to, "Content-Length: %zu\r\n\r\n", rec->head.len + rec->body.len);
    return put_record(w, rec->head, rec->body, out);
}

/* ---- copies ---- */
static bool is_length(struct str line)
{
    struct str value;
    return str_eq_nocase(str_trim(str_cut(line, ':', &value)), STR("Content-Length")) && value.ptr;
}

/* The header as read, byte for byte; another Content-Length only where the block is not that
 * long. */
static void copy_header(struct buf *to, const struct warc_record *rec)
{
    struct str rest = rec->header;
    struct str length = warc_record_field(rec, "Content-Length");
    uint64_t declared;
    buf_clear(to);
    if (str_u64(length, &declared) && declared == rec->body.len) {
        buf_str(to, rest);
        return;
    }
    while (rest.len) {
        struct str next, line = str_cut(rest, '\n', &next);
        if (str_trim(line).len == 0)
            break;
        if (!is_length(line)) {
            buf_str(to, line);
            buf_char(to, '\n');
        }
        rest = next;
    }
    buf_printf(to, "Content-Length: %zu\r\n\r\n", rec->body.len);
}

/* An ARC record as the WARC record that says the same. */
static int copy_arc(struct warc_writer *w, const struct warc_record *rec, struct warc_written *out)
{
    char type[16];
    struct str ip = warc_record_field(rec, "WARC-IP-Address");
    struct warc_field field = {"WARC-IP-Address", ip};
    snprintf(type, sizeof type, "%.*s", STR_ARG(rec->type));
    bool about = strcmp(type, "warcinfo") == 0;
    struct warc_write copy = {
        .type = type,
        .target_uri = about ? STR("") : rec->target_uri,
        .date = rec->date,
        .content_type = about ? STR("text/plain") : rec->content_type,
        .body = rec->body,
        .field = &field,
        .field_count = ip.len > 0 && !about,
    };
    if (strcmp(type, "response") == 0)
        copy.head = http_header(rec->body, &copy.body);
    return warc_writer_record(w, &copy, out);
}

int warc_writer_copy(struct warc_writer *w, const struct warc_record *rec, struct warc_written *out)
{
    struct warc_written unused;
    out = out ? out : &unused;
    memset(out, 0, sizeof *out);
    assert(!rec->cut);
    if (rec->arc)
        return copy_arc(w, rec, out);
    copy_header(&w->header, rec);
    snprintf(out->record_id, sizeof out->record_id, "%.*s", STR_ARG(rec->record_id));
    snprintf(out->payload_digest, sizeof out->payload_digest, "%.*s", STR_ARG(rec->payload_digest));
    return put_record(w, rec->body, STR(""), out);
}

/* ---- the file ---- */
static void writer_free(struct warc_writer *w)
{
    if (w->deflating)
        deflateEnd(&w->deflate);
    if (w->fd >= 0)
        close(w->fd);
    ZSTD_freeCCtx(w->zstd);
    buf_free(&w->header);
    free(w);
}

static int packer_open(struct warc_writer *w, const char *path, int level)
{
    if (str_ends(str_of(path), ".gz"))
        w->packing = WARC_GZIP;
    else if (str_ends(str_of(path), ".zst"))
        w->packing = WARC_ZSTD;
    bool good = true;
    if (w->packing == WARC_GZIP)
        good = w->deflating = deflateInit2(&w->deflate, level ? level : GZIP_LEVEL, Z_DEFLATED, 31,
                                           9, Z_DEFAULT_STRATEGY) == Z_OK;
    if (w->packing == WARC_ZSTD) {
        w->zstd = ZSTD_createCCtx();
        good = w->zstd &&
               !ZSTD_isError(ZSTD_CCtx_setParameter(w->zstd, ZSTD_c_compressionLevel,
                                                    level ? level : ZSTD_LEVEL)) &&
               !ZSTD_isError(ZSTD_CCtx_setParameter(w->zstd, ZSTD_c_checksumFlag, 1));
    }
    return good ? 0 : err_set(ERR_LIMIT, "crawl: no packer of level %d for %s", level, path);
}

static int writer_new(struct warc_writer **out, const char *path, int level)
{
    struct warc_writer *w = *out = calloc(1, sizeof *w + strlen(path) + 1);
    if (!w)
        return err_set(ERR_LIMIT, "crawl: no memory to write %s", path);
    memcpy(w->path, path, strlen(path) + 1);
    w->fd = -1;
    return packer_open(w, path, level);
}

static int writer_done(struct warc_writer **out, int rc)
{
    if (rc < 0 && *out) {
        writer_free(*out);
        *out = NULL;
    }
    return rc;
}

int warc_writer_open(struct warc_writer **out, const char *path, int level)
{
    int rc = writer_new(out, path, level);
    return writer_done(out, rc < 0 ? rc : io_create(&(*out)->io, path, IO_PLAIN, 0));
}

static int open_at(struct warc_writer *w, uint64_t offset)
{
    w->fd = open(w->path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    off_t size = w->fd < 0 ? -1 : lseek(w->fd, 0, SEEK_END);
    if (size < 0)
        return err_sys("crawl: opening %s to write on", w->path);
    if ((uint64_t)size < offset)
        return err_set(ERR_FORMAT,
                       "crawl: %s has %lld bytes, but %llu were written: it was "
                       "changed; remove it and start anew",
                       w->path, (long long)size, (unsigned long long)offset);
    if (ftruncate(w->fd, (off_t)offset) < 0)
        return err_sys("crawl: cutting %s to %llu bytes", w->path, (unsigned long long)offset);
    w->stored = offset;
    return 0;
}

int warc_writer_resume(struct warc_writer **out, const char *path, int level, uint64_t offset)
{
    int rc = writer_new(out, path, level);
    return writer_done(out, rc < 0 ? rc : open_at(*out, offset));
}

int warc_writer_sync(struct warc_writer *w, uint64_t *offset)
{
    assert(w->fd >= 0);
    *offset = w->stored;
    return fdatasync(w->fd) < 0 ? err_sys("crawl: syncing %s", w->path) : 0;
}

uint64_t warc_writer_bytes(const struct warc_writer *w)
{
    return w->io ? io_written(w->io) : w->stored;
}

int warc_writer_close(struct warc_writer *w)
{
    uint64_t offset;
    int rc = w->io ? io_commit(w->io, NULL) : warc_writer_sync(w, &offset);
    writer_free(w);
    return rc;
}

void warc_writer_abandon(struct warc_writer *w)
{
    if (!w)
        return;
    io_abandon(w->io);
    writer_free(w);
}

/* io_read - plain, gzip and zstd files as one stream of bytes or lines, in fixed memory.
 *
 * Stored bytes arrive in `in`; a decoder turns them into plain bytes, straight into the caller's
 * memory when io_read asks and into `out` when lines are cut. A line that lies whole in `out` is
 * lent from there; only one that crosses a refill is pieced together in `line`. */
#include "core/io.h"

#include "core/err.h"

#include <errno.h>
#include <fcntl.h>
#include <isa-l.h>
#include <stdlib.h>
#include <unistd.h>
#include <zstd.h>

enum {
    IN_BYTES = 256 << 10,
    OUT_BYTES = 256 << 10,
    DECODE_MAX = 1 << 30,     /* bytes asked of a decoder at once: its counters have 32 bits */
    MAGIC_BYTES = 10,         /* the longest signature looked for */
};
enum coding { CODING_PLAIN, CODING_GZIP, CODING_ZSTD };

struct io_reader {
    char *path;
    int fd;
    enum coding coding;
    unsigned char *in;
    size_t in_at, in_len;             /* what is left of in: [in_at, in_len) */
    uint64_t in_base;                 /* offset in the file of in[0] */
    bool in_end;                      /* the file has no more */
    bool inside;                      /* a gzip member or zstd frame has begun and not ended */
    bool any;                         /* one has ended before */
    struct inflate_state *gzip;
    ZSTD_DCtx *zstd;
    char *out;
    size_t out_at, out_len;
    struct buf line;
    bool line_lent;                   /* line holds what the last io_read_line returned */
    uint64_t handed;
};

static uint64_t place(const struct io_reader *r) { return r->in_base + r->in_at; }

static int damaged(const struct io_reader *r, const char *what)
{
    return err_set(ERR_FORMAT, "%s: %s at byte %llu of the file: fetch or make it again", r->path,
                   what, (unsigned long long)place(r));
}

/* Reads more stored bytes behind those left over. */
static int refill(struct io_reader *r)
{
    if (r->in_at > 0) {
        memmove(r->in, r->in + r->in_at, r->in_len - r->in_at);
        r->in_base += r->in_at;
        r->in_len -= r->in_at;
        r->in_at = 0;
    }
    while (!r->in_end && r->in_len < IN_BYTES) {
        ssize_t got = read(r->fd, r->in + r->in_len, IN_BYTES - r->in_len);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return err_sys("read %s at byte %llu", r->path,
                           (unsigned long long)(r->in_base + r->in_len));
        if (got == 0)
            r->in_end = true;
        r->in_len += (size_t)got;
        break;
    }
    return 0;
}

static bool starts(const struct io_reader *r, const char *magic, size_t len)
{
    return r->in_len - r->in_at >= len && memcmp(r->in + r->in_at, magic, len) == 0;
}

/* A frame, or one of the sixteen kinds of skippable frames that may come first. */
static bool is_zstd(const struct io_reader *r)
{
    if (r->in_len < 4)
        return false;
    return memcmp(r->in, "\x28\xB5\x2F\xFD", 4) == 0 ||
           ((r->in[0] & 0xF0) == 0x50 && memcmp(r->in + 1, "\x2A\x4D\x18", 3) == 0);
}

static int tell_coding(struct io_reader *r)
{
    while (r->in_len < MAGIC_BYTES && !r->in_end)
        TRY(refill(r));
    struct str name = str_of(r->path);
    if (starts(r, "\x1F\x8B", 2))
        r->coding = CODING_GZIP;
    else if (is_zstd(r))
        r->coding = CODING_ZSTD;
    else if (starts(r, "\xFD" "7zXZ\0", 6))
        return err_set(ERR_FORMAT, "%s: is xz-compressed: give it plain, gzip or zstd", r->path);
    else if (starts(r, "BZh", 3) && r->in_len >= 10 && memcmp(r->in + 4, "1AY&SY", 6) == 0)
        return err_set(ERR_FORMAT, "%s: is bzip2-compressed: give it plain, gzip or zstd", r->path);
    else if (r->in_len < 4 && (str_ends(name, ".gz") || str_ends(name, ".zst")))
        /* Too short for a signature: the name alone tells that this is no empty text. */
        return err_set(ERR_FORMAT, "%s: has only %zu bytes, cut before its signature: fetch or "
                       "make it again", r->path, r->in_len);
    return 0;
}

static int open_decoder(struct io_reader *r)
{
    if (r->coding == CODING_GZIP) {
        r->gzip = calloc(1, sizeof *r->gzip);
        if (!r->gzip)
            return err_set(ERR_LIMIT, "%s: no memory to read gzip", r->path);
    }
    if (r->coding == CODING_ZSTD) {
        /* The library's own window limit (128 MiB) stays: a frame that asks for more is refused. */
        r->zstd = ZSTD_createDCtx();
        if (!r->zstd)
            return err_set(ERR_LIMIT, "%s: no memory to read zstd", r->path);
    }
    return 0;
}

int io_open(struct io_reader **out, const char *path)
{
    int rc = 0;
    uint64_t size;
    struct io_reader *r = calloc(1, sizeof *r);
    if (!r)
        return err_set(ERR_LIMIT, "%s: no memory to open it", path);
    bool standard = strcmp(path, "-") == 0;
    r->fd = -1;
    r->line.max = IO_LINE_MAX;
    r->path = strdup(standard ? "standard input" : path);
    r->in = malloc(IN_BYTES);
    if (!r->path || !r->in) {
        rc = err_set(ERR_LIMIT, "%s: no memory to open it", path);
        goto out;
    }
    r->fd = standard ? STDIN_FILENO : io_open_file(path, &size);
    if (r->fd < 0) {
        rc = r->fd;
        goto out;
    }
    posix_fadvise(r->fd, 0, 0, POSIX_FADV_SEQUENTIAL);
    TRY_OUT(tell_coding(r));
    TRY_OUT(open_decoder(r));
    *out = r;
    r = NULL;
out:
    io_close(r);
    return rc;
}

static int64_t read_plain(struct io_reader *r, void *to, size_t len)
{
    if (r->in_at == r->in_len)
        TRY(refill(r));
    size_t have = r->in_len - r->in_at, take = have < len ? have : len;
    if (take)
        memcpy(to, r->in + r->in_at, take);
    r->in_at += take;
    return (int64_t)take;
}

/* Length of the gzip header at bytes (RFC 1952, 2.3): 0 when len bytes do not hold all of it, -1
 * when it is damaged. ISA-L reads headers too, but loses the header's checksum where its input is
 * cut. */
static int64_t gzip_header(const unsigned char *bytes, size_t len)
{
    enum { HCRC = 2, EXTRA = 4, NAME = 8, COMMENT = 16, RESERVED = 0xE0 };
    size_t at = 10;
    if (len < at)
        return 0;
    unsigned flags = bytes[3];
    if (bytes[2] != 8 || flags & RESERVED)
        return -1;
    if (flags & EXTRA) {
        if (len < at + 2)
            return 0;
        at += 2 + (size_t)(bytes[at] | bytes[at + 1] << 8);
    }
    for (unsigned text = NAME; text <= COMMENT; text <<= 1) {
        if (!(flags & text))
            continue;
        const unsigned char *end = at < len ? memchr(bytes + at, 0, len - at) : NULL;
        if (!end)
            return 0;
        at = (size_t)(end - bytes) + 1;
    }
    if (flags & HCRC) {
        if (len < at + 2)
            return 0;
        uint32_t crc = crc32_gzip_refl(0, bytes, at) & 0xFFFF;
        if (crc != (uint32_t)(bytes[at] | bytes[at + 1] << 8))
            return -1;
        at += 2;
    }
    return at <= len ? (int64_t)at : 0;
}

/* Between gzip members: 1 when another has begun, 0 at the end. Zeros are padding (tapes, tar). */
static int next_member(struct io_reader *r)
{
    for (;;) {
        while (r->any && r->in_at < r->in_len && r->in[r->in_at] == 0)
            r->in_at++;
        if (r->in_len - r->in_at >= 2 || r->in_end)
            break;
        TRY(refill(r));
    }
    if (r->in_at == r->in_len)
        return 0;
    if (!starts(r, "\x1F\x8B", 2))
        return damaged(r, "what follows a gzip member is neither another nor the end,");
    int64_t len;
    while ((len = gzip_header(r->in + r->in_at, r->in_len - r->in_at)) == 0) {
        if (r->in_end || r->in_len - r->in_at == IN_BYTES) {
            r->in_at = r->in_len;
            return damaged(r, "the gzip header is cut off");
        }
        TRY(refill(r));
    }
    if (len < 0)
        return damaged(r, "damaged gzip header");
    r->in_at += (size_t)len;
    isal_inflate_init(r->gzip);
    r->gzip->crc_flag = ISAL_GZIP_NO_HDR_VER;
    r->inside = true;
    return 1;
}

static int64_t read_gzip(struct io_reader *r, void *to, size_t len)
{
    struct inflate_state *gzip = r->gzip;
    for (;;) {
        if (!r->inside) {
            int more = next_member(r);
            if (more <= 0)
                return more;
        }
        size_t before = r->in_at;
        gzip->next_in = r->in + r->in_at;
        gzip->avail_in = (uint32_t)(r->in_len - r->in_at);
        gzip->next_out = to;
        gzip->avail_out = (uint32_t)len;
        int code = isal_inflate(gzip);
        size_t made = len - gzip->avail_out;
        r->in_at = r->in_len - gzip->avail_in;
        if (code < 0 || code == ISAL_NEED_DICT)
            return damaged(r, code == ISAL_INCORRECT_CHECKSUM
                                  ? "gzip checksum or length does not match"
                                  : "damaged gzip data");
        if (gzip->block_state == ISAL_BLOCK_FINISH) {
            r->inside = false;
            r->any = true;
        }
        if (made)
            return (int64_t)made;
        if (r->inside && (r->in_at == r->in_len || r->in_at == before)) {
            if (r->in_end || r->in_len - r->in_at == IN_BYTES)
                return damaged(r, "the gzip data is cut off");
            TRY(refill(r));
        }
    }
}

static int64_t read_zstd(struct io_reader *r, void *to, size_t len)
{
    for (;;) {
        if (r->in_at == r->in_len) {
            TRY(refill(r));
            if (r->in_at == r->in_len && !r->inside)
                return 0;
        }
        bool starved = r->in_at == r->in_len;
        ZSTD_inBuffer in = {r->in, r->in_len, r->in_at};
        ZSTD_outBuffer out = {to, len, 0};
        size_t left = ZSTD_decompressStream(r->zstd, &out, &in);
        r->in_at = in.pos;
        if (ZSTD_isError(left)) {
            char what[160];
            snprintf(what, sizeof what, "damaged zstd data (%s)", ZSTD_getErrorName(left));
            return damaged(r, what);
        }
        r->inside = left != 0;
        if (out.pos)
            return (int64_t)out.pos;
        if (starved && r->in_end && r->inside)
            return damaged(r, "the zstd data is cut off");
    }
}

/* At least one byte, or 0 at the end. */
static int64_t decode(struct io_reader *r, void *to, size_t len)
{
    if (len > DECODE_MAX)
        len = DECODE_MAX;
    switch (r->coding) {
    case CODING_GZIP: return read_gzip(r, to, len);
    case CODING_ZSTD: return read_zstd(r, to, len);
    default: return read_plain(r, to, len);
    }
}

int64_t io_read(struct io_reader *r, void *to, size_t len)
{
    size_t have = r->out_len - r->out_at;
    int64_t got;
    if (len == 0)
        return 0;
    if (have) {
        got = (int64_t)(have < len ? have : len);
        memcpy(to, r->out + r->out_at, (size_t)got);
        r->out_at += (size_t)got;
    } else {
        got = decode(r, to, len);
    }
    if (got > 0)
        r->handed += (uint64_t)got;
    return got;
}

static int refill_out(struct io_reader *r)
{
    if (!r->out) {
        r->out = malloc(OUT_BYTES);
        if (!r->out)
            return err_set(ERR_LIMIT, "%s: no memory to read lines", r->path);
    }
    int64_t got = decode(r, r->out, OUT_BYTES);
    if (got < 0)
        return (int)got;
    r->out_at = 0;
    r->out_len = (size_t)got;
    return got > 0;
}

static int keep_part(struct io_reader *r, size_t len)
{
    buf_add(&r->line, r->out + r->out_at, len);
    if (r->line.failed)
        return err_set(ERR_FORMAT, "%s: the line at byte %llu (decompressed) is longer than %d "
                       "bytes: is this a file of lines?", r->path, (unsigned long long)r->handed,
                       IO_LINE_MAX);
    r->out_at += len;
    return 0;
}

int io_read_line(struct io_reader *r, struct str *line)
{
    uint64_t before = r->handed;
    if (r->line_lent)
        buf_clear(&r->line);
    r->line_lent = false;
    for (;;) {
        if (r->out_at == r->out_len) {
            int more = refill_out(r);
            TRY(more);
            if (more == 0) {
                if (r->line.len == 0)
                    return 0;
                *line = buf_view(&r->line);
                r->handed = before + line->len;
                break;
            }
        }
        char *from = r->out + r->out_at;
        size_t have = r->out_len - r->out_at;
        char *end = memchr(from, '\n', have);
        if (end && r->line.len == 0) {
            *line = (struct str){from, (size_t)(end - from)};
            r->out_at += line->len + 1;
            r->handed = before + line->len + 1;
            break;
        }
        TRY(keep_part(r, end ? (size_t)(end - from) : have));
        if (end) {
            r->out_at++;
            *line = buf_view(&r->line);
            r->handed = before + line->len + 1;
            break;
        }
    }
    r->line_lent = true;
    if (line->len && line->ptr[line->len - 1] == '\r')
        line->len--;
    return 1;
}

uint64_t io_offset(const struct io_reader *r) { return r->handed; }

void io_close(struct io_reader *r)
{
    if (!r)
        return;
    if (r->fd > STDIN_FILENO)
        close(r->fd);
    buf_free(&r->line);
    free(r->out);
    ZSTD_freeDCtx(r->zstd);
    free(r->gzip);
    free(r->in);
    free(r->path);
    free(r);
}

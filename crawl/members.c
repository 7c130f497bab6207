/* members - decodes stored files with ISA-L and zstd and finds the next member behind damage. */
#include "crawl/members.h"

#include "core/err.h"
#include "core/str.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <isa-l/igzip_lib.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

/* Behind damage the search for the next member starts at the damaged member's own start, not where
 * decoding failed: corrupt data may have swallowed whole good members. So bytes are walked twice;
 * `again` counts them, and once they exceed the size of the file plus this the search starts at the
 * point of failure instead, or a file of overlapping members would cost quadratic time. */
enum { AGAIN_SLACK = 1 << 20 };
enum {
    TRIAL_IN = 1024,      /* stored bytes a candidate gzip member gets to show "WARC/" */
    TRIAL_OUT = 64,
    HEAD_BYTES = 32,      /* looked at to tell the format */
    IN_MIN = 4096,
    DECODE_MAX = 1 << 30, /* ISA-L counts in 32 bits */
    ZSTD_WINDOW_LOG = 25, /* 32 MiB of memory: what zstd -20 needs */
};

struct members {
    int fd;
    enum members_format format;
    enum members_edge edge;
    unsigned char *in;
    size_t in_pos, in_len, in_cap, read_max;
    uint64_t in_end;      /* stored offset behind in[in_len] */
    uint64_t size, start, bad_from, lost, again;
    struct inflate_state *gz;
    bool headed;          /* the gzip member's header is behind us */
    ZSTD_DStream *zstd;
    char path[];
};

enum members_edge members_edge(const struct members *m) { return m->edge; }
enum members_format members_format(const struct members *m) { return m->format; }
uint64_t members_start(const struct members *m) { return m->start; }
uint64_t members_stored(const struct members *m) { return m->in_end - (m->in_len - m->in_pos); }
uint64_t members_size(const struct members *m) { return m->size; }
uint64_t members_lost(const struct members *m) { return m->lost; }
const char *members_path(const struct members *m) { return m->path; }

int64_t members_peek(const struct members *m, uint64_t at, void *to, size_t len)
{
    size_t done = 0;
    while (done < len) {
        if (at > INT64_MAX - len)
            break;
        ssize_t got = pread(m->fd, (char *)to + done, len - done, (off_t)(at + done));
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return err_sys("crawl: reading %s at byte %llu", m->path, (unsigned long long)at);
        if (got == 0)
            break;
        done += (size_t)got;
    }
    return (int64_t)done;
}

/* ---- stored bytes ---- */
static void input_seek(struct members *m, uint64_t at)
{
    m->in_pos = m->in_len = 0;
    m->in_end = at;
}

/* Makes at least want bytes available unless the file ends before. */
static int input_need(struct members *m, size_t want)
{
    if (m->in_len - m->in_pos >= want)
        return 0;
    if (want > m->in_cap) {
        size_t cap = want > m->in_cap * 2 ? want : m->in_cap * 2;
        unsigned char *grown = realloc(m->in, cap);
        if (!grown)
            return err_set(ERR_LIMIT, "crawl: %s: no memory for %zu bytes of input", m->path, cap);
        m->in = grown;
        m->in_cap = cap;
    }
    memmove(m->in, m->in + m->in_pos, m->in_len - m->in_pos);
    m->in_len -= m->in_pos;
    m->in_pos = 0;
    while (m->in_len < want) {
        size_t room = m->in_cap - m->in_len;
        if (room > m->read_max)
            room = m->read_max;
        int64_t got = members_peek(m, m->in_end, m->in + m->in_len, room);
        if (got < 0)
            return (int)got;
        if (got == 0)
            break;
        m->in_len += (size_t)got;
        m->in_end += (uint64_t)got;
    }
    return 0;
}

static size_t input_left(const struct members *m) { return m->in_len - m->in_pos; }

/* ---- members ---- */
size_t members_gzip_header(const unsigned char *at, size_t len, size_t *want)
{
    if (len < 10) {
        *want = 10;
        return 0;
    }
    int flags = at[3];
    size_t end = 10;
    if (flags & 4) {
        *want = end + 2;
        if (len < *want)
            return 0;
        end += 2 + (size_t)at[10] + 256 * (size_t)at[11];
    }
    for (int text = 8; text <= 16; text *= 2) { /* name, comment */
        if (!(flags & text))
            continue;
        const unsigned char *nul = end < len ? memchr(at + end, 0, len - end) : NULL;
        *want = end < len ? len + 1 : end + 1;
        if (!nul)
            return 0;
        end = (size_t)(nul - at) + 1;
    }
    *want = end += flags & 2 ? 2 : 0;
    return end <= len ? end : 0;
}

static bool is_gzip(const unsigned char *at)
{
    return at[0] == 0x1f && at[1] == 0x8b && at[2] == 8 && !(at[3] & 0xe0);
}

static bool is_zstd(const unsigned char *at)
{
    return (at[0] == 0x28 && at[1] == 0xb5 && at[2] == 0x2f && at[3] == 0xfd)
           || ((at[0] & 0xf0) == 0x50 && at[1] == 0x2a && at[2] == 0x4d && at[3] == 0x18);
}

static bool is_member(const struct members *m, const unsigned char *at)
{
    return m->format == MEMBERS_GZIP ? is_gzip(at) : is_zstd(at);
}

static void member_begin(struct members *m)
{
    m->start = members_stored(m);
    m->edge = MEMBERS_INSIDE;
    if (m->format == MEMBERS_GZIP) {
        isal_inflate_reset(m->gz);
        m->gz->crc_flag = ISAL_GZIP_NO_HDR_VER;
        m->headed = false;
    } else if (m->format == MEMBERS_ZSTD) {
        ZSTD_DCtx_reset(m->zstd, ZSTD_reset_session_only);
    }
}

/* What stands behind a member that ended whole. */
static int member_end(struct members *m)
{
    TRY(input_need(m, 4));
    size_t left = input_left(m);
    m->bad_from = members_stored(m);
    if (left == 0)
        m->edge = MEMBERS_END;
    else
        m->edge = left >= 4 && is_member(m, m->in + m->in_pos) ? MEMBERS_NEXT : MEMBERS_GARBAGE;
    return 0;
}

static int64_t member_damaged(struct members *m, size_t produced)
{
    m->edge = MEMBERS_DAMAGED;
    m->bad_from = m->start;
    return (int64_t)produced;
}

/* Steps over the gzip header: ISA-L 2.30 would read it too, but gets optional fields wrong that
 * arrive in two pieces. */
static int gzip_enter(struct members *m)
{
    size_t want = 10;
    for (size_t len = 0; len == 0;) {
        TRY(input_need(m, want));
        size_t left = input_left(m);
        bool dry = left < want;
        len = members_gzip_header(m->in + m->in_pos, left, &want);
        m->in_pos += len;
        if (!len && (dry || want > MEMBERS_GZIP_HEADER_MAX)) {
            m->edge = MEMBERS_DAMAGED;
            return 0;
        }
    }
    m->headed = true;
    return 0;
}

static int64_t gzip_read(struct members *m, void *to, size_t len)
{
    struct inflate_state *gz = m->gz;
    if (!m->headed)
        TRY(gzip_enter(m));
    if (!m->headed)
        return 0;
    gz->next_out = to;
    gz->avail_out = (uint32_t)len;
    for (;;) {
        TRY(input_need(m, 1));
        bool dry = input_left(m) == 0;
        gz->next_in = m->in + m->in_pos;
        gz->avail_in = (uint32_t)input_left(m);
        int rc = isal_inflate(gz);
        bool moved = gz->next_in != m->in + m->in_pos;
        m->in_pos = (size_t)(gz->next_in - m->in);
        size_t produced = len - gz->avail_out;
        if (rc < 0)
            return member_damaged(m, produced);
        if (gz->block_state == ISAL_BLOCK_FINISH) {
            TRY(member_end(m));
            return (int64_t)produced;
        }
        if (produced)
            return (int64_t)produced;
        if (dry || !moved) /* cut, or a state that would never move again */
            return member_damaged(m, 0);
    }
}

static int64_t zstd_read(struct members *m, void *to, size_t len)
{
    ZSTD_outBuffer out = {to, len, 0};
    for (;;) {
        TRY(input_need(m, 1));
        bool dry = input_left(m) == 0;
        ZSTD_inBuffer in = {m->in + m->in_pos, input_left(m), 0};
        size_t rc = ZSTD_decompressStream(m->zstd, &out, &in);
        m->in_pos += in.pos;
        if (ZSTD_isError(rc))
            return member_damaged(m, out.pos);
        if (rc == 0) {
            TRY(member_end(m));
            return (int64_t)out.pos;
        }
        if (out.pos)
            return (int64_t)out.pos;
        if (dry)
            return member_damaged(m, 0);
    }
}

static int64_t plain_read(struct members *m, void *to, size_t len)
{
    if (input_left(m)) { /* only what telling the format left behind */
        size_t step = input_left(m) < len ? input_left(m) : len;
        memcpy(to, m->in + m->in_pos, step);
        m->in_pos += step;
        return (int64_t)step;
    }
    int64_t got = members_peek(m, m->in_end, to, len);
    if (got == 0)
        m->edge = MEMBERS_END;
    if (got > 0)
        m->in_end += (uint64_t)got;
    return got;
}

int64_t members_read(struct members *m, void *to, size_t len)
{
    assert(len > 0);
    if (m->edge != MEMBERS_INSIDE)
        return 0;
    if (len > DECODE_MAX)
        len = DECODE_MAX;
    if (m->format == MEMBERS_PLAIN)
        return plain_read(m, to, len);
    return m->format == MEMBERS_GZIP ? gzip_read(m, to, len) : zstd_read(m, to, len);
}

/* ---- behind damage ---- */
/* True when the gzip header at stored offset `at` opens data that start as a WARC record does. */
static int gzip_trial(struct members *m, uint64_t at)
{
    unsigned char in[TRIAL_IN], text[TRIAL_OUT];
    int64_t got = members_peek(m, at, in, sizeof in);
    if (got < 0)
        return (int)got;
    size_t want, header = members_gzip_header(in, (size_t)got, &want);
    if (!header)
        return 0;
    isal_inflate_reset(m->gz);
    m->gz->crc_flag = ISAL_GZIP_NO_HDR_VER;
    m->gz->next_in = in + header;
    m->gz->avail_in = (uint32_t)((size_t)got - header);
    m->gz->next_out = text;
    m->gz->avail_out = sizeof text;
    int rc = isal_inflate(m->gz);
    struct str head = {(const char *)text, sizeof text - m->gz->avail_out};
    if (rc < 0 && rc != ISAL_INCORRECT_CHECKSUM)
        return 0;
    return str_starts(str_trim(head), "WARC/");
}

/* Walks from stored offset `from` to the next member that can be trusted to be one. */
static int find_member(struct members *m, uint64_t from)
{
    input_seek(m, from);
    for (;;) {
        TRY(input_need(m, 4));
        if (input_left(m) < 4) {
            m->in_pos = m->in_len;
            m->lost += members_stored(m) - m->bad_from;
            m->edge = MEMBERS_END;
            return 0;
        }
        const unsigned char *at = m->in + m->in_pos;
        int first = m->format == MEMBERS_GZIP ? 0x1f : 0x28;
        const unsigned char *hit = memchr(at, first, input_left(m) - 3);
        if (!hit) {
            m->in_pos = m->in_len - 3;
            continue;
        }
        m->in_pos += (size_t)(hit - at);
        int good = is_member(m, hit);
        if (good && m->format == MEMBERS_GZIP)
            TRY(good = gzip_trial(m, members_stored(m)));
        if (good)
            break;
        m->in_pos++;
    }
    m->lost += members_stored(m) - m->bad_from;
    member_begin(m);
    return 0;
}

int members_step(struct members *m)
{
    switch (m->edge) {
    case MEMBERS_NEXT:
        member_begin(m);
        return 0;
    case MEMBERS_GARBAGE:
        return find_member(m, members_stored(m));
    case MEMBERS_DAMAGED: {
        uint64_t here = members_stored(m);
        bool back = m->again <= m->size + AGAIN_SLACK;
        if (back && here > m->start + 1)
            m->again += here - m->start - 1;
        return find_member(m, back || here <= m->start ? m->start + 1 : here);
    }
    default:
        return 0;
    }
}

/* ---- opening ---- */
static const char *unread_format(const unsigned char *head, size_t len)
{
    static const struct { const char *magic; size_t len; const char *name; } known[] = {
        {"BZh", 3, "bzip2"}, {"\xfd" "7zXZ", 5, "xz"}, {"\x04\x22\x4d\x18", 4, "lz4"},
        {"PK\x03\x04", 4, "zip"}, {"PAR1", 4, "Parquet"}, {"7z\xbc\xaf", 4, "7-Zip"},
    };
    for (size_t i = 0; i < COUNT_OF(known); i++)
        if (len >= known[i].len && memcmp(head, known[i].magic, known[i].len) == 0)
            return known[i].name;
    return NULL;
}

/* A .gz whose first bytes are damaged is still a .gz: its first member is lost, not the file. */
static enum members_format tell_format(const char *path, const unsigned char *head, size_t len)
{
    if (len >= 4 && is_gzip(head))
        return MEMBERS_GZIP;
    if (len >= 4 && is_zstd(head))
        return MEMBERS_ZSTD;
    bool binary = false;
    for (size_t i = 0; i < len; i++)
        binary |= head[i] >= 0x7f || (head[i] < 0x20 && !strchr("\t\n\r", head[i])) || head[i] == 0;
    if (binary && str_ends(str_of(path), ".gz"))
        return MEMBERS_GZIP;
    return binary && str_ends(str_of(path), ".zst") ? MEMBERS_ZSTD : MEMBERS_PLAIN;
}

static int decoder_open(struct members *m)
{
    unsigned char head[HEAD_BYTES];
    int64_t got = members_peek(m, 0, head, sizeof head);
    if (got < 0)
        return (int)got;
    const char *unread = unread_format(head, (size_t)got);
    if (unread)
        return err_set(ERR_FORMAT, "crawl: %s is %s, which is not read: give it as .warc, .warc.gz "
                       "or .warc.zst", m->path, unread);
    m->format = tell_format(m->path, head, (size_t)got);
    if (m->format == MEMBERS_GZIP) {
        m->gz = malloc(sizeof *m->gz);
        if (m->gz)
            isal_inflate_init(m->gz);
    } else if (m->format == MEMBERS_ZSTD) {
        m->zstd = ZSTD_createDStream();
        if (m->zstd)
            ZSTD_DCtx_setParameter(m->zstd, ZSTD_d_windowLogMax, ZSTD_WINDOW_LOG);
    }
    m->in = malloc(m->in_cap);
    if (!m->in || (m->format == MEMBERS_GZIP && !m->gz) || (m->format == MEMBERS_ZSTD && !m->zstd))
        return err_set(ERR_LIMIT, "crawl: no memory to decode %s", m->path);
    if (m->format == MEMBERS_PLAIN) {
        m->edge = MEMBERS_INSIDE;
        return 0;
    }
    TRY(member_end(m));
    return members_step(m);
}

int members_open(struct members **out, const char *path, size_t buffer_bytes)
{
    *out = NULL;
    struct members *m = calloc(1, sizeof *m + strlen(path) + 1);
    if (!m)
        return err_set(ERR_LIMIT, "crawl: no memory to open %s", path);
    memcpy(m->path, path, strlen(path) + 1);
    m->read_max = buffer_bytes ? buffer_bytes : 1;
    m->in_cap = m->read_max < IN_MIN ? IN_MIN : m->read_max;
    struct stat st;
    int rc = 0;
    m->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a FIFO must not hang us */
    if (m->fd < 0 && errno == ENOENT)
        rc = err_set(ERR_USAGE, "crawl: there is no file %s: check the input path", path);
    else if (m->fd < 0 || fstat(m->fd, &st) < 0)
        rc = err_sys("crawl: opening %s", path);
    else if (S_ISDIR(st.st_mode))
        rc = err_set(ERR_USAGE, "crawl: %s is a folder: give its files (%s/*.warc.gz)", path, path);
    else if (!S_ISREG(st.st_mode))
        rc = err_set(ERR_USAGE, "crawl: %s is no regular file: inputs are read by offset, so store "
                     "it as a file first", path);
    if (rc == 0) {
        m->size = (uint64_t)st.st_size;
        posix_fadvise(m->fd, 0, 0, POSIX_FADV_SEQUENTIAL);
        rc = decoder_open(m);
    }
    if (rc < 0) {
        members_close(m);
        return rc;
    }
    *out = m;
    return 0;
}

void members_close(struct members *m)
{
    if (!m)
        return;
    if (m->fd >= 0)
        close(m->fd);
    free(m->in);
    free(m->gz);
    ZSTD_freeDStream(m->zstd);
    free(m);
}

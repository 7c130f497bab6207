/* members - decodes stored files with ISA-L and zstd and finds the next member behind damage. */
#include "crawl/members.h"

#include "core/err.h"
#include "core/str.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <isa-l/crc.h>
#include <isa-l/igzip_lib.h>
#include <libdeflate.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>
#include <zstd_errors.h>

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
    WHOLE_IN = 512 << 10, /* stored bytes looked for before a member is decoded in one go */
    STREAM_OUT = 256 << 10, /* decoded at a time else: what stays in the cache */
    WHOLE_OUT = 64 << 10, /* room that makes it worth a try */
    SKIP_MAX = 6,         /* after failures in a row, 2^6 members are not tried */
    GZIP_TRAILER = 8,
    HOLD_MAX = 16 << 20,  /* bytes of a stream's start kept until it is rewound */
    DICT_MAX = 8 << 20,   /* bytes of a zstd dictionary, also once unpacked */
    HUGE_PAGE = 2 << 20,
};

struct members {
    int fd;
    bool own_fd, seekable, arc;
    bool hold;            /* a stream keeps all it read, to be rewound */
    enum members_format format;
    enum members_edge edge;
    const char *why;
    unsigned char *in;
    size_t in_pos, in_len, in_cap, read_max;
    uint64_t in_end;      /* stored offset behind in[in_len] */
    uint64_t size, start, bad_from, lost, again;
    struct inflate_state *gz;
    bool headed;          /* the gzip member's header is behind us */
    struct libdeflate_decompressor *whole;
    unsigned whole_skip, whole_failed; /* members not to try; tries that failed in a row */
    ZSTD_DStream *zstd;
    char path[];
};

enum members_edge members_edge(const struct members *m) { return m->edge; }
enum members_format members_format(const struct members *m) { return m->format; }
uint64_t members_start(const struct members *m) { return m->start; }
uint64_t members_stored(const struct members *m) { return m->in_end - (m->in_len - m->in_pos); }
uint64_t members_size(const struct members *m) { return m->seekable ? m->size : m->in_end; }
bool members_seekable(const struct members *m) { return m->seekable; }
const char *members_why(const struct members *m) { return m->why ? m->why : "damaged"; }
void members_expect_arc(struct members *m) { m->arc = true; }
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
/* Up to len bytes of the stream; 0 at its end. */
static int64_t stream_read(const struct members *m, void *to, size_t len)
{
    for (;;) {
        ssize_t got = read(m->fd, to, len);
        if (got >= 0)
            return got;
        struct pollfd ready = {.fd = m->fd, .events = POLLIN};
        if (errno == EAGAIN || errno == EWOULDBLOCK)
            poll(&ready, 1, -1);
        else if (errno != EINTR)
            return err_sys("crawl: reading %s", m->path);
    }
}

static int64_t stored_read(const struct members *m, void *to, size_t len)
{
    return m->seekable ? members_peek(m, m->in_end, to, len) : stream_read(m, to, len);
}

/* A stream can only go back to what it still holds. */
static void input_seek(struct members *m, uint64_t at)
{
    if (m->seekable) {
        m->in_pos = m->in_len = 0;
        m->in_end = at;
        return;
    }
    uint64_t first = m->in_end - m->in_len;
    m->in_pos = at > first ? (size_t)(at - first) : 0;
    assert(m->in_pos <= m->in_len);
}

/* Bytes in front of in_pos that a stream keeps: this member's, in case it is damaged. */
static size_t input_back(const struct members *m)
{
    if (m->hold && m->in_pos <= HOLD_MAX)
        return m->in_pos;
    if (m->seekable || m->format == MEMBERS_PLAIN)
        return 0;
    uint64_t back = members_stored(m) - m->start;
    back = back < m->in_pos ? back : m->in_pos;
    return back < MEMBERS_BACK_MAX ? (size_t)back : MEMBERS_BACK_MAX;
}

/* Room for want bytes behind in_pos, moved to the front of the buffer. */
static int input_room(struct members *m, size_t want)
{
    size_t back = input_back(m), first = m->in_pos - back;
    if (!m->seekable && m->in_cap - m->in_len >= want)
        return 0;
    memmove(m->in, m->in + first, m->in_len - first);
    m->in_pos = back;
    m->in_len -= first;
    if (m->in_cap - back >= want && (back < m->in_cap / 2))
        return 0;
    size_t cap = back + want > m->in_cap * 2 ? back + want : m->in_cap * 2;
    unsigned char *grown = realloc(m->in, cap);
    if (!grown)
        return err_set(ERR_LIMIT, "crawl: %s: no memory for %zu bytes of input", m->path, cap);
    m->in = grown;
    m->in_cap = cap;
    return 0;
}

/* Makes at least want bytes available unless the file ends before. */
static int input_need(struct members *m, size_t want)
{
    if (m->in_len - m->in_pos >= want)
        return 0;
    TRY(input_room(m, want));
    while (m->in_len - m->in_pos < want) {
        size_t room = m->in_cap - m->in_len;
        if (room > m->read_max)
            room = m->read_max;
        int64_t got = stored_read(m, m->in + m->in_len, room);
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

/* A .warc.zst may open with its dictionary, plain or packed, in a skippable frame of this kind
 * (IIPC's WARC zstd specification 1.0); what cannot be loaded leaves frames that do not decode. */
static int zstd_dictionary(struct members *m)
{
    enum { HEAD = 8 };
    TRY(input_need(m, HEAD));
    const unsigned char *at = m->in + m->in_pos;
    if (input_left(m) < HEAD || memcmp(at, "\x5d\x2a\x4d\x18", 4) != 0)
        return 0;
    size_t len = at[4] | (size_t)at[5] << 8 | (size_t)at[6] << 16 | (size_t)at[7] << 24;
    if (len > DICT_MAX)
        return 0;
    TRY(input_need(m, HEAD + len));
    if (input_left(m) < HEAD + len)
        return 0;
    at = m->in + m->in_pos + HEAD;
    if (len < 4 || memcmp(at, "\x28\xb5\x2f\xfd", 4) != 0) {
        ZSTD_DCtx_loadDictionary(m->zstd, at, len);
        return 0;
    }
    unsigned long long size = ZSTD_getFrameContentSize(at, len);
    size_t room = size <= DICT_MAX ? (size_t)size : DICT_MAX;
    void *plain = malloc(room ? room : 1);
    if (!plain)
        return err_set(ERR_LIMIT, "crawl: %s: no memory for a dictionary", m->path);
    size_t got = ZSTD_decompress(plain, room, at, len);
    if (!ZSTD_isError(got))
        ZSTD_DCtx_loadDictionary(m->zstd, plain, got);
    free(plain);
    return 0;
}

static int member_begin(struct members *m)
{
    m->start = members_stored(m);
    m->edge = MEMBERS_INSIDE;
    if (m->format == MEMBERS_GZIP) {
        isal_inflate_reset(m->gz);
        m->gz->crc_flag = ISAL_GZIP_NO_HDR_VER;
        m->headed = false;
    } else if (m->format == MEMBERS_ZSTD) {
        ZSTD_DCtx_reset(m->zstd, ZSTD_reset_session_only);
        TRY(zstd_dictionary(m));
    }
    return 0;
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

static int64_t member_damaged(struct members *m, size_t produced, const char *why)
{
    m->why = why;
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
            m->why = "a gzip header that does not end";
            return 0;
        }
    }
    m->headed = true;
    return 0;
}

/* A member decoded in one go, when it is in the buffer from end to end, fits and is good: its
 * bytes, which may be none; -1 when it was not, and nothing has happened. */
static int64_t gzip_whole(struct members *m, void *to, size_t len)
{
    size_t left = input_left(m), used, made;
    const unsigned char *in = m->in + m->in_pos;
    if (len < WHOLE_OUT || left < GZIP_TRAILER)
        return -1;
    if (m->whole_skip) {
        m->whole_skip--;
        return -1;
    }
    left -= GZIP_TRAILER;
    if (libdeflate_deflate_decompress_ex(m->whole, in, left, to, len, &used, &made) ==
        LIBDEFLATE_SUCCESS) {
        uint32_t want[2], crc = crc32_gzip_refl(0, to, made);
        memcpy(want, in + used, sizeof want);
        if (want[0] == crc && want[1] == (uint32_t)made) {
            m->whole_failed = 0;
            m->in_pos += used + GZIP_TRAILER;
            return (int64_t)made;
        }
    }
    /* Too large for the buffers, or damaged: ISA-L goes over it. */
    m->whole_failed += m->whole_failed < SKIP_MAX;
    m->whole_skip = (1u << m->whole_failed) - 1;
    return -1;
}

static int64_t gzip_read(struct members *m, void *to, size_t len)
{
    struct inflate_state *gz = m->gz;
    if (!m->headed) {
        if (m->seekable && len >= WHOLE_OUT)
            TRY(input_need(m, WHOLE_IN));
        TRY(gzip_enter(m));
        if (!m->headed)
            return 0;
        int64_t made = gzip_whole(m, to, len);
        if (made >= 0) {
            TRY(member_end(m));
            return made;
        }
    }
    len = len < STREAM_OUT ? len : STREAM_OUT;
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
            return member_damaged(m, produced, rc == ISAL_INCORRECT_CHECKSUM
                                                   ? "wrong checksum or length of a gzip member"
                                                   : "corrupt gzip data");
        if (gz->block_state == ISAL_BLOCK_FINISH) {
            TRY(member_end(m));
            return (int64_t)produced;
        }
        if (produced)
            return (int64_t)produced;
        if (dry || !moved) /* or a state that would never move again */
            return member_damaged(m, 0, dry ? "the file ends inside a gzip member"
                                            : "corrupt gzip data");
    }
}

static const char *zstd_why(ZSTD_ErrorCode code)
{
    switch (code) {
    case ZSTD_error_frameParameter_windowTooLarge:
        return "a zstd frame that needs a window over 32 MiB: compress it again without --long";
    case ZSTD_error_dictionary_wrong: return "a zstd frame whose dictionary is not in the file";
    case ZSTD_error_checksum_wrong: return "wrong checksum of a zstd frame";
    default: return "corrupt zstd data";
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
            return member_damaged(m, out.pos, zstd_why(ZSTD_getErrorCode(rc)));
        if (rc == 0) {
            TRY(member_end(m));
            return (int64_t)out.pos;
        }
        if (out.pos)
            return (int64_t)out.pos;
        if (dry)
            return member_damaged(m, 0, "the file ends inside a zstd frame");
    }
}

static int64_t plain_read(struct members *m, void *to, size_t len)
{
    if (m->hold && input_left(m) == 0)
        TRY(input_need(m, 1));
    if (input_left(m)) { /* what telling the format left behind, or all of a held start */
        size_t step = input_left(m) < len ? input_left(m) : len;
        memcpy(to, m->in + m->in_pos, step);
        m->in_pos += step;
        return (int64_t)step;
    }
    int64_t got = stored_read(m, to, len < m->read_max ? len : m->read_max);
    if (got == 0)
        m->edge = MEMBERS_END;
    if (got > 0)
        m->in_end += (uint64_t)got;
    return got;
}

void members_skip(struct members *m, uint64_t n)
{
    assert(m->seekable && m->format == MEMBERS_PLAIN);
    size_t held = input_left(m) < n ? input_left(m) : (size_t)n;
    m->in_pos += held;
    m->in_end += n - held;
    assert(m->in_end <= m->size);
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
/* True when decoded bytes start as a record does. */
static bool record_start(const struct members *m, struct str head)
{
    head = str_trim(head);
    if (str_starts(head, "WARC/"))
        return true;
    size_t i = 0;
    while (m->arc && i < head.len && (head.ptr[i] | 0x20) >= 'a' && (head.ptr[i] | 0x20) <= 'z')
        i++;
    return i > 1 && i < head.len && head.ptr[i] == ':';
}

/* True when the gzip header at in_pos opens data that start as a record does. */
static int gzip_trial(struct members *m)
{
    unsigned char text[TRIAL_OUT];
    TRY(input_need(m, TRIAL_IN));
    size_t got = input_left(m) < TRIAL_IN ? input_left(m) : TRIAL_IN, want;
    unsigned char *in = m->in + m->in_pos;
    size_t header = members_gzip_header(in, got, &want);
    if (!header)
        return 0;
    isal_inflate_reset(m->gz);
    m->gz->crc_flag = ISAL_GZIP_NO_HDR_VER;
    m->gz->next_in = in + header;
    m->gz->avail_in = (uint32_t)(got - header);
    m->gz->next_out = text;
    m->gz->avail_out = sizeof text;
    int rc = isal_inflate(m->gz);
    struct str head = {(const char *)text, sizeof text - m->gz->avail_out};
    if (rc < 0 && rc != ISAL_INCORRECT_CHECKSUM)
        return 0;
    return record_start(m, head);
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
            TRY(good = gzip_trial(m));
        if (good)
            break;
        m->in_pos++;
    }
    m->lost += members_stored(m) - m->bad_from;
    return member_begin(m);
}

int members_step(struct members *m)
{
    switch (m->edge) {
    case MEMBERS_NEXT: return member_begin(m);
    case MEMBERS_GARBAGE:
        return find_member(m, members_stored(m));
    case MEMBERS_DAMAGED: {
        uint64_t here = members_stored(m);
        bool back = m->again <= members_size(m) + AGAIN_SLACK;
        if (back && here > m->start + 1)
            m->again += here - m->start - 1;
        return find_member(m, back || here <= m->start ? m->start + 1 : here);
    }
    default:
        return 0;
    }
}

static int read_from(struct members *m, uint64_t at)
{
    input_seek(m, at);
    m->edge = MEMBERS_INSIDE;
    m->start = at;
    if (m->format == MEMBERS_PLAIN)
        return 0;
    TRY(member_end(m));
    return members_step(m);
}

int members_seek(struct members *m, uint64_t at)
{
    assert(m->seekable);
    return read_from(m, at < m->size ? at : m->size);
}

void members_go_on(struct members *m) { m->hold = false; }

int members_rewind(struct members *m)
{
    if (!m->seekable && (!m->hold || m->in_end != m->in_len))
        return err_set(ERR_LIMIT, "crawl: the first %d bytes of %s do not tell what it is: give it "
                       "as a file", HOLD_MAX, m->path);
    m->hold = false;
    m->lost = m->again = 0;
    return read_from(m, 0);
}

/* ---- opening ---- */
void *members_buffer(size_t *bytes)
{
    if (*bytes < HUGE_PAGE)
        return malloc(*bytes);
    *bytes = (*bytes + HUGE_PAGE - 1) & ~(size_t)(HUGE_PAGE - 1);
    void *memory = aligned_alloc(HUGE_PAGE, *bytes);
    if (memory)
        madvise(memory, *bytes, MADV_HUGEPAGE); /* a wish: pages of 4 KiB do as well */
    return memory;
}

/* What a file is that is not read, and what to do; NULL: nothing of the kind. */
static const char *unread_format(const unsigned char *head, size_t len)
{
#define REPACK ", which is not read: pack it with gzip or zstd instead"
#define UNPACK ", which is not read: unpack it"
#define ROWS ", which is no archive, and as a source of documents must be a file, not a pipe"
    static const struct { const char *magic; size_t len; const char *what; } known[] = {
        {"BZh", 3, "bzip2" REPACK}, {"\xfd" "7zXZ", 5, "xz" REPACK},
        {"\x04\x22\x4d\x18", 4, "lz4" REPACK}, {"PK\x03\x04", 4, "zip" UNPACK},
        {"PAR1", 4, "Parquet" ROWS}, {"7z\xbc\xaf", 4, "7-Zip" UNPACK},
    };
#undef REPACK
#undef UNPACK
#undef ROWS
    for (size_t i = 0; i < COUNT_OF(known); i++)
        if (len >= known[i].len && memcmp(head, known[i].magic, known[i].len) == 0)
            return known[i].what;
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
    m->in = members_buffer(&m->in_cap);
    if (!m->in)
        return err_set(ERR_LIMIT, "crawl: no memory to decode %s", m->path);
    TRY(input_need(m, HEAD_BYTES));
    size_t head = input_left(m) < HEAD_BYTES ? input_left(m) : HEAD_BYTES;
    const char *unread = unread_format(m->in, head);
    if (unread)
        return err_set(ERR_FORMAT, "crawl: %s is %s", m->path, unread);
    m->format = tell_format(m->path, m->in, head);
    if (m->format == MEMBERS_GZIP) {
        m->gz = malloc(sizeof *m->gz);
        m->whole = libdeflate_alloc_decompressor();
        if (m->gz)
            isal_inflate_init(m->gz);
    } else if (m->format == MEMBERS_ZSTD) {
        m->zstd = ZSTD_createDStream();
        if (m->zstd)
            ZSTD_DCtx_setParameter(m->zstd, ZSTD_d_windowLogMax, ZSTD_WINDOW_LOG);
    }
    if ((m->format == MEMBERS_GZIP && (!m->gz || !m->whole))
        || (m->format == MEMBERS_ZSTD && !m->zstd))
        return err_set(ERR_LIMIT, "crawl: no memory to decode %s", m->path);
    if (m->format == MEMBERS_PLAIN) {
        m->edge = MEMBERS_INSIDE;
        return 0;
    }
    TRY(member_end(m));
    return members_step(m);
}

static int members_new(struct members **out, const char *path, size_t buffer_bytes)
{
    struct members *m = *out = calloc(1, sizeof *m + strlen(path) + 1);
    if (!m)
        return err_set(ERR_LIMIT, "crawl: no memory to open %s", path);
    memcpy(m->path, path, strlen(path) + 1);
    m->fd = -1;
    m->read_max = buffer_bytes ? buffer_bytes : 1;
    m->in_cap = m->read_max < IN_MIN ? IN_MIN : m->read_max;
    return 0;
}

static int members_start_reading(struct members **out, int rc)
{
    struct members *m = *out;
    if (rc == 0 && m->seekable)
        posix_fadvise(m->fd, 0, 0, POSIX_FADV_SEQUENTIAL);
    if (rc == 0)
        rc = decoder_open(m);
    if (rc < 0) {
        members_close(m);
        *out = NULL;
    }
    return rc;
}

int members_open(struct members **out, const char *path, size_t buffer_bytes)
{
    TRY(members_new(out, path, buffer_bytes));
    struct members *m = *out;
    struct stat st;
    int rc = 0;
    m->own_fd = true;
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
    else
        m->size = (uint64_t)st.st_size;
    m->seekable = true;
    return members_start_reading(out, rc);
}

int members_open_fd(struct members **out, int fd, const char *name, size_t buffer_bytes)
{
    TRY(members_new(out, name, buffer_bytes));
    struct members *m = *out;
    struct stat st;
    int rc = fstat(fd, &st) < 0 ? err_sys("crawl: reading %s", name) : 0;
    m->fd = fd;
    m->seekable = rc == 0 && S_ISREG(st.st_mode);
    m->hold = !m->seekable;
    m->size = m->seekable ? (uint64_t)st.st_size : 0;
    return members_start_reading(out, rc);
}

void members_close(struct members *m)
{
    if (!m)
        return;
    if (m->fd >= 0 && m->own_fd)
        close(m->fd);
    free(m->in);
    free(m->gz);
    libdeflate_free_decompressor(m->whole);
    ZSTD_freeDStream(m->zstd);
    free(m);
}

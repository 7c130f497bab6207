/* warc - finds the records of a web archive, good ones whatever stands between them. */
#include "crawl/warc.h"
#include "crawl/arc.h"
#include "crawl/members.h"
#include "crawl/warc_check.h"
#include "crawl/warc_header.h"

#include "core/err.h"
#include "core/log.h"

#include <assert.h>
#include <stdlib.h>

/* How it works. Decoded bytes flow into one window; a record's header and body are handed out where
 * they lie, so nothing is copied but what is left over when the window is shifted.
 *
 *      0       start             pos                  wall           len       cap
 *      | spent | header | body.. | bytes not looked at | next record | (room)  |
 *
 * A wall is a place no record reaches across: the end of the file, damage, or a gzip member that
 * begins with "WARC/" (then the record before it is over, whatever its Content-Length says). The
 * bytes up to the wall are an island; records are parsed inside it. In a plain file the whole file
 * is one island, so there a length is believed only when a record or the end really follows: one
 * pread tells, before the body is read. In a gzip member of many records that cannot be asked in
 * advance: when nothing follows, the reader walks back to the first "WARC/" line inside the body it
 * holds. What it walks twice is bounded by what it decoded, so time stays linear.
 *
 * An ARC file differs only in where a record starts (a line of its own form instead of "WARC/") and
 * in what stands between two of them (one line end). */
enum {
    CHUNK = 8 << 20,          /* bytes decoded at a time: nearly all gzip members as a whole */
    ROOM = 256 << 10,         /* the least room worth a read */
    INPUT = 2 << 20,          /* stored bytes read at a time */
    HEADER_MAX = 1 << 20,     /* bytes of one WARC header block */
    NEWLINES_MAX = 64 << 10,  /* line ends looked at behind a record */
    AGAIN_SLACK = 16 << 20,
    LINE_MIN = 8,             /* "\nWARC/1" and one more */
    CAP_MIN = 4096,
    DAMAGES_MAX = 64,         /* places of damage that are remembered */
};
enum wall { WALL_NONE, WALL_MEMBER, WALL_GARBAGE, WALL_DAMAGE, WALL_END };

struct warc_reader {
    struct members *members;
    size_t body_max, chunk;
    char *win;
    size_t cap, start, pos, len, wall;   /* see the drawing */
    enum wall wall_kind;
    uint64_t base;                       /* decoded position of win[pos] is base + pos */
    uint64_t member_at[2], member_offset[2]; /* decoded position, stored offset of the last two */
    uint64_t last_offset, lost, again;
    bool ended, told_shared, arc;
    char arc_date[ARC_DATE_BYTES];
    struct warc_check check;
    struct warc_stats stats;
    struct warc_damage damage[DAMAGES_MAX];
    size_t damages;
};

static void note_damage(struct warc_reader *r, uint64_t offset, const char *why)
{
    r->stats.damaged++;
    if (r->damages < DAMAGES_MAX)
        r->damage[r->damages++] = (struct warc_damage){offset, why};
}

/* ---- the window ---- */
static size_t left_of(const struct warc_reader *r)
{
    return (r->wall_kind && r->wall < r->len ? r->wall : r->len) - r->pos;
}

static int window_room(struct warc_reader *r)
{
    if (r->start == r->len && r->len) { /* from the front again: it is still in the cache */
        r->base += r->start;
        r->start = r->pos = r->len = 0;
        r->wall = 0;
    }
    size_t need = r->chunk < ROOM ? r->chunk : ROOM;
    if (r->cap - r->len >= need)
        return 0;
    if (r->start >= r->cap / 2 || r->start == r->len) {
        memmove(r->win, r->win + r->start, r->len - r->start);
        r->base += r->start;
        r->pos -= r->start;
        r->len -= r->start;
        r->wall -= r->wall_kind ? r->start : 0;
        r->start = 0;
    }
    size_t cap = r->cap;
    while (cap - r->len < need)
        cap *= 2;
    if (cap == r->cap)
        return 0;
    char *grown = realloc(r->win, cap);
    if (!grown)
        return err_set(ERR_LIMIT, "crawl: %s: no memory for a window of %zu bytes: lower "
                       "record_max", members_path(r->members), cap);
    r->win = grown;
    r->cap = cap;
    return 0;
}

static int window_read(struct warc_reader *r)
{
    TRY(window_room(r));
    size_t room = r->cap - r->len;
    int64_t got = members_read(r->members, r->win + r->len, room < r->chunk ? room : r->chunk);
    if (got > 0)
        r->len += (size_t)got;
    return got < 0 ? (int)got : 0;
}

/* Removes n unread bytes at pos, so that what is read past does not fill the window. */
static void window_drop(struct warc_reader *r, size_t n)
{
    assert(n <= left_of(r));
    memmove(r->win + r->pos, r->win + r->pos + n, r->len - r->pos - n);
    r->len -= n;
    r->base += n;
    r->wall -= r->wall_kind ? n : 0;
}

static void mark_member(struct warc_reader *r)
{
    if (r->member_at[1] != r->base + r->len) {
        r->member_at[0] = r->member_at[1];
        r->member_offset[0] = r->member_offset[1];
    }
    r->member_at[1] = r->base + r->len;
    r->member_offset[1] = members_start(r->members);
}

static void wall_set(struct warc_reader *r, size_t at, enum wall kind)
{
    r->wall = at;
    r->wall_kind = kind;
}

static bool at_record(const struct warc_reader *r, const char *at, size_t len);

/* True when the first bytes of a member decide whether a record starts there. */
static bool start_known(const struct warc_reader *r, const char *at, size_t got)
{
    if (!r->arc)
        return got >= 5;
    return got >= ARC_LINE_MAX || memchr(at, '\n', got);
}

/* Steps into the next member; a wall goes up when a record starts there. */
static int member_cross(struct warc_reader *r)
{
    TRY(members_step(r->members));
    mark_member(r);
    uint64_t at = r->base + r->len;
    size_t got = 0;
    while (members_edge(r->members) == MEMBERS_INSIDE
           && !start_known(r, r->win + r->len - got, got)) {
        TRY(window_read(r));
        got = (size_t)(r->base + r->len - at);
    }
    const char *head = r->win + r->len - got;
    size_t same = got < 5 ? got : 5;
    bool whole = same == 5 || members_edge(r->members) == MEMBERS_DAMAGED;
    if ((whole && memcmp(head, "WARC/", same) == 0) || (r->arc && at_record(r, head, got)))
        wall_set(r, r->len - got, WALL_MEMBER);
    return 0;
}

/* Makes want bytes available at pos; there are fewer only in front of a wall. */
static int island_fill(struct warc_reader *r, size_t want)
{
    while (!r->wall_kind && r->len - r->pos < want) {
        size_t before = r->len - r->pos;
        TRY(window_read(r));
        if (r->len - r->pos > before)
            continue;
        switch (members_edge(r->members)) {
        case MEMBERS_NEXT: TRY(member_cross(r)); break;
        case MEMBERS_GARBAGE: wall_set(r, r->len, WALL_GARBAGE); break;
        case MEMBERS_DAMAGED: wall_set(r, r->len, WALL_DAMAGE); break;
        case MEMBERS_END: wall_set(r, r->len, WALL_END); break;
        case MEMBERS_INSIDE: break;
        }
    }
    return 0;
}

/* Goes on behind the wall. */
static int island_next(struct warc_reader *r)
{
    assert(r->wall_kind);
    r->pos = r->start = r->wall;
    enum wall kind = r->wall_kind;
    r->wall_kind = WALL_NONE;
    if (kind == WALL_END)
        r->ended = true;
    if (kind == WALL_MEMBER || kind == WALL_END)
        return 0;
    if (kind == WALL_GARBAGE)
        note_damage(r, members_stored(r->members), "bytes that are no record and no member");
    else
        note_damage(r, members_start(r->members), members_why(r->members));
    TRY(members_step(r->members));
    mark_member(r);
    return 0;
}

/* Stored offset of the member that decoded position `at` is in, or of the bytes themselves. */
static uint64_t stored_offset(const struct warc_reader *r, uint64_t at)
{
    if (members_format(r->members) == MEMBERS_PLAIN)
        return at;
    return at >= r->member_at[1] ? r->member_offset[1] : r->member_offset[0];
}

/* Counts damage of a record, unless it runs into damaged bytes, which island_next counts. */
static void count_damage(struct warc_reader *r, const char *why)
{
    if (r->wall_kind != WALL_DAMAGE || left_of(r) > 0)
        note_damage(r, stored_offset(r, r->base + r->start), why);
}

/* ---- where records start ---- */
static bool is_digit(char c) { return c >= '0' && c <= '9'; }

static bool at_record(const struct warc_reader *r, const char *at, size_t len)
{
    struct arc_line line;
    if (len > 5 && (*at | 0x20) == 'w')
        return strncasecmp(at, "WARC/", 5) == 0 && is_digit(at[5]);
    return r->arc && arc_line((struct str){at, len}, &line) > 0;
}

/* Bytes that must be seen to tell whether a record starts. */
static size_t start_bytes(const struct warc_reader *r) { return r->arc ? ARC_LINE_MAX : LINE_MIN; }

/* Index of the first record behind a line end, or SIZE_MAX. */
static size_t find_record(const struct warc_reader *r, const char *at, size_t len)
{
    for (size_t i = 0; i < len;) {
        const char *hit = r->arc ? memchr(at + i, '\n', len - i)
                                 : memmem(at + i, len - i, "\nWARC/", 6);
        if (!hit)
            break;
        i = (size_t)(hit - at) + 1;
        if (at_record(r, at + i, len - i))
            return i;
    }
    return SIZE_MAX;
}

/* Skips junk up to the next record's line or the wall. */
static int skip_junk(struct warc_reader *r)
{
    for (;;) {
        size_t left = left_of(r), at = find_record(r, r->win + r->pos, left);
        size_t slack = start_bytes(r);
        bool done = at != SIZE_MAX || r->wall_kind;
        if (at == SIZE_MAX)
            at = r->wall_kind ? left : left > slack ? left - slack : 0;
        r->lost += at;
        r->pos += at;
        r->start = r->pos;
        if (done)
            return 0;
        TRY(island_fill(r, left - at + 1));
    }
}

/* Moves to the next place where a record starts: 1, or 0 at the end of the file. */
static int record_begin(struct warc_reader *r)
{
    while (left_of(r) && (r->win[r->pos] == '\r' || r->win[r->pos] == '\n'))
        r->start = ++r->pos;
    for (;;) {
        TRY(island_fill(r, r->arc ? ARC_LINE_MAX : 16));
        size_t left = left_of(r);
        const char *at = r->win + r->pos;
        if (left && (*at == '\r' || *at == '\n')) {
            r->start = ++r->pos;
            continue;
        }
        if (at_record(r, at, left))
            return 1;
        if (left == 0) {
            TRY(island_next(r));
            if (r->ended)
                return 0;
            continue;
        }
        if (!r->arc && left >= 9 && memcmp(at, "filedesc:", 9) == 0) {
            r->arc = true;
            members_expect_arc(r->members);
            continue;
        }
        TRY(skip_junk(r));
        count_damage(r, "bytes between records that are none");
    }
}

/* ---- header ---- */
/* Finds the header block at pos: its length, or 0 when it is no header and pos moved behind it. */
static int64_t record_header(struct warc_reader *r)
{
    struct arc_line line;
    size_t seen = 0, len = 0;
    if (r->arc) /* record_begin saw the whole line; a WARC record in an ARC file has none */
        len = arc_line((struct str){r->win + r->pos, left_of(r)}, &line);
    if (len)
        return (int64_t)len;
    for (;;) {
        size_t left = left_of(r);
        len = header_end(r->win + r->pos, left < HEADER_MAX ? left : HEADER_MAX, seen);
        if (len || r->wall_kind || left >= HEADER_MAX)
            break;
        seen = left > 3 ? left - 3 : 0;
        TRY(island_fill(r, left + 1));
    }
    size_t inner = len ? find_record(r, r->win + r->pos, len) : 5;
    if (len && inner == SIZE_MAX) {
        header_unfold(r->win + r->pos, len);
        return (int64_t)len;
    }
    bool endless = !len && left_of(r) >= HEADER_MAX;
    r->lost += inner;
    r->pos += inner;
    if (!len)
        TRY(skip_junk(r));
    count_damage(r, endless ? "a record header over 1 MiB"
                    : len   ? "a record header that another record begins in"
                            : "a record header that does not end");
    return 0;
}

/* ---- body ---- */
enum { HEAD = 5, TAIL = 4 };
struct body {
    size_t at;           /* from start */
    size_t held;         /* bytes in the window */
    uint64_t total;      /* bytes walked over, held or not */
    char head[HEAD], tail[TAIL]; /* the first and the last of them */
};

static void add_edges(struct body *b, const char *bytes, size_t len)
{
    for (size_t i = 0; i < len && b->total + i < HEAD; i++)
        b->head[b->total + i] = bytes[i];
    size_t add = len < TAIL ? len : TAIL;
    memmove(b->tail, b->tail + add, TAIL - add);
    memcpy(b->tail + TAIL - add, bytes + len - add, add);
}

/* Steps over n bytes of a plain file that no one wants, less a chunk, without reading them. */
static uint64_t plain_skip(struct warc_reader *r, struct body *b, uint64_t n)
{
    uint64_t at = r->base + r->pos, step = n - r->chunk, size = members_size(r->members);
    if (r->check.on || members_format(r->members) != MEMBERS_PLAIN || left_of(r) || r->wall_kind
        || !members_seekable(r->members) || at > size || n > size - at)
        return 0;
    members_skip(r->members, step);
    r->base += step;
    b->total += step;
    return step;
}

/* Walks over up to n bytes of the body, dropping those beyond body_max; stops short at a wall. */
static int body_walk(struct warc_reader *r, struct body *b, uint64_t n)
{
    while (n) {
        if (left_of(r) == 0)
            TRY(island_fill(r, 1));
        size_t step = left_of(r);
        if (step == 0)
            return 0;
        step = step < n ? step : (size_t)n;
        size_t room = r->body_max - b->held, keep = step < room ? step : room;
        const char *body = r->win + r->start + b->at;
        b->held += keep;
        if (step > keep)
            check_stream(&r->check, (struct str){body, b->held},
                         (struct str){r->win + r->pos + keep, step - keep});
        add_edges(b, r->win + r->pos, step);
        b->total += step;
        r->pos += keep;
        n -= step;
        if (step > keep && n == 0) /* the body ends inside the window: nothing need move */
            r->pos += step - keep;
        else if (step > keep)
            window_drop(r, step - keep);
        if (n > r->chunk && b->held == r->body_max)
            n -= plain_skip(r, b, n);
    }
    return 0;
}

/* Walks to the next record's line or the wall. */
static int body_search(struct warc_reader *r, struct body *b)
{
    size_t slack = start_bytes(r);
    TRY(island_fill(r, slack));
    bool fresh = b->total == 0 || r->win[r->pos - 1] == '\n';
    if (fresh && at_record(r, r->win + r->pos, left_of(r)))
        return 0;
    for (;;) {
        size_t left = left_of(r), at = find_record(r, r->win + r->pos, left);
        if (at != SIZE_MAX || r->wall_kind)
            return body_walk(r, b, at != SIZE_MAX ? at : left);
        size_t step = left > slack ? left - slack : 0;
        TRY(body_walk(r, b, step));
        TRY(island_fill(r, left - step + 1));
    }
}

enum follows {
    FOLLOWS_RECORD,
    FOLLOWS_END,    /* the wall, or so little in front of it that it may be a record's start */
    FOLLOWS_BLANK,  /* CRLF CRLF, then junk */
    FOLLOWS_JUNK,
};

static enum follows what_follows(const struct warc_reader *r, const char *at, size_t len, bool end)
{
    size_t lines = 0;
    while (lines < len && (at[lines] == '\r' || at[lines] == '\n'))
        lines++;
    size_t rest = len - lines < 5 ? len - lines : 5;
    if (strncasecmp(at + lines, "WARC/", rest) == 0 && (rest == 5 || rest == 0 || end))
        return rest == 5 ? FOLLOWS_RECORD : FOLLOWS_END;
    if (r->arc && at_record(r, at + lines, len - lines))
        return FOLLOWS_RECORD;
    return lines >= 4 && memcmp(at, "\r\n\r\n", 4) == 0 ? FOLLOWS_BLANK : FOLLOWS_JUNK;
}

/* Looks ahead, in a plain file, at what stands where the body should end. */
static int plain_follows(struct warc_reader *r, uint64_t length, enum follows *out)
{
    char tail[ARC_LINE_MAX + 64];
    size_t want = r->arc ? sizeof tail : 64;
    uint64_t at = r->base + r->pos, size = members_size(r->members);
    *out = FOLLOWS_JUNK;
    if (at > size || length > size - at)
        return 0;
    if (length + want <= left_of(r)) { /* it is in the window already */
        *out = what_follows(r, r->win + r->pos + length, want, false);
        return 0;
    }
    int64_t got = members_peek(r->members, at + length, tail, want);
    if (got < 0)
        return (int)got;
    *out = what_follows(r, tail, (size_t)got, got < (int64_t)want);
    return 0;
}

/* True when nothing but line ends stands between here and the whole end of the member: the record
 * is over, and the next member need not be decoded beside it to know that. */
static int member_over(struct warc_reader *r)
{
    while (!r->wall_kind && members_edge(r->members) == MEMBERS_INSIDE && left_of(r) <= LINE_MIN)
        TRY(window_read(r));
    if (r->wall_kind || members_edge(r->members) != MEMBERS_NEXT || left_of(r) > LINE_MIN)
        return false;
    for (size_t i = r->pos; i < r->len; i++)
        if (r->win[i] != '\r' && r->win[i] != '\n')
            return false;
    return true;
}

/* The same behind a body just read: the bytes stay unread. */
static int stream_follows(struct warc_reader *r, enum follows *out)
{
    size_t slack = start_bytes(r), want = slack + 8;
    int over = member_over(r);
    if (over != 0) {
        *out = FOLLOWS_RECORD;
        return over < 0 ? over : 0;
    }
    for (;;) {
        TRY(island_fill(r, want));
        size_t left = left_of(r), lines = 0;
        while (lines < left && (r->win[r->pos + lines] == '\r' || r->win[r->pos + lines] == '\n'))
            lines++;
        if (left < want || lines + slack <= left || lines > NEWLINES_MAX) {
            *out = what_follows(r, r->win + r->pos, left, left < want);
            return 0;
        }
        want = lines + slack + 8;
    }
}

/* A body of wrong length in a stream: back to the first record inside it, when it is all held. */
static bool body_rewind(struct warc_reader *r, struct body *b)
{
    const char *body = r->win + r->start + b->at;
    if (b->total != b->held)
        return false;
    size_t left = left_of(r), slack = start_bytes(r), len = b->held + (left < slack ? left : slack);
    size_t at = at_record(r, body, len) ? 0 : find_record(r, body, len);
    if (at >= b->held || r->again > r->base + r->len + AGAIN_SLACK)
        return false;
    r->again += b->held - at;
    r->pos = r->start + b->at + at;
    b->held = at;
    b->total = 0;
    memset(b->tail, 0, TAIL);
    add_edges(b, body, at);
    b->total = at;
    return true;
}

/* Takes the two line ends behind a record off the body: how many there were. */
static int trim_end(struct body *b)
{
    int lines = 0;
    size_t at = TAIL;
    for (; lines < 2 && at > 0 && b->total && b->tail[at - 1] == '\n'; lines++) {
        at--;
        b->total--;
        if (at > 0 && b->total && b->tail[at - 1] == '\r') {
            at--;
            b->total--;
        }
    }
    b->held = b->held < b->total ? b->held : (size_t)b->total;
    return lines;
}

/* True when the wall ahead is damage of the member that holds the bytes before position end. */
static bool in_bad_member(const struct warc_reader *r, uint64_t end)
{
    return r->wall_kind == WALL_DAMAGE && end > r->member_at[1];
}

/* Reads the block behind the header; *damaged when it does not end where its length says. */
static int record_body(struct warc_reader *r, struct body *b, const uint64_t *length, bool *damaged)
{
    bool plain = members_format(r->members) == MEMBERS_PLAIN && members_seekable(r->members);
    enum follows follows = FOLLOWS_JUNK;
    uint64_t end = 0;
    if (length && plain)
        TRY(plain_follows(r, *length, &follows));
    if (length && (!plain || follows <= FOLLOWS_END)) {
        TRY(body_walk(r, b, *length));
        if (b->total == *length) {
            end = r->base + r->pos;
            TRY(stream_follows(r, &follows));
            *damaged = follows == FOLLOWS_END && in_bad_member(r, end);
            if (follows <= FOLLOWS_END)
                return 0;
        }
        bool inside = r->wall_kind != WALL_MEMBER && body_rewind(r, b);
        if (inside || b->total < *length) {
            count_damage(r, "a record that ends before its Content-Length");
            trim_end(b);
            *damaged = true;
            return 0;
        }
    }
    TRY(body_search(r, b));
    if (length && follows == FOLLOWS_BLANK && b->total >= *length) {
        r->lost += b->total - *length; /* junk between two records: the body itself is whole */
        b->held = b->held < *length ? b->held : (size_t)*length;
        b->total = *length;
        *damaged = left_of(r) == 0 && in_bad_member(r, end);
        count_damage(r, "junk behind a record");
        return 0;
    }
    count_damage(r, length ? "a record longer or shorter than its Content-Length"
                           : "a record without a Content-Length");
    /* No length, or one too small, and a clean end: the body is whole. Bytes lost from a file look
     * different: they leave a length too large. */
    bool cut = left_of(r) == 0 && r->wall_kind == WALL_DAMAGE;
    int lines = trim_end(b);
    *damaged = (lines < 2 && !(r->arc && lines)) || cut || (length && b->total < *length);
    return 0;
}

/* ---- records ---- */
static uint64_t record_offset(struct warc_reader *r)
{
    uint64_t offset = stored_offset(r, r->base + r->pos);
    if (members_format(r->members) == MEMBERS_PLAIN)
        return offset;
    if (r->stats.records && offset == r->last_offset && !r->told_shared) {
        r->told_shared = true;
        log_warn("%s: one compressed member holds several records: it is read through, but no "
                 "record can be read alone by its offset; recompress it record by record (sluice "
                 "warc recompress)", members_path(r->members));
    }
    return offset;
}

/* Stored bytes of the record that ends at pos: up to there in a plain file, all of its member else;
 * 0 when it cannot be read alone. Between two members stands a wall, so the next one's start is
 * known as soon as the line ends behind the body are. */
static uint64_t record_stored(struct warc_reader *r, uint64_t offset, bool shared)
{
    size_t left = left_of(r), lines = 0;
    if (members_format(r->members) == MEMBERS_PLAIN)
        return r->base + r->pos - offset;
    while (lines < left && (r->win[r->pos + lines] == '\r' || r->win[r->pos + lines] == '\n'))
        lines++;
    if (shared || lines < left)
        return 0;
    if (!r->wall_kind && members_edge(r->members) == MEMBERS_NEXT)
        return members_stored(r->members) - offset;
    switch (r->wall_kind) {
    case WALL_MEMBER: return r->member_offset[1] - offset;
    case WALL_GARBAGE:
    case WALL_END: return members_stored(r->members) - offset;
    default: return 0;
    }
}

static void count_bytes(struct warc_reader *r)
{
    r->stats.lost_bytes = r->lost + members_lost(r->members);
    r->stats.compressed_bytes = members_stored(r->members);
}

static void count_record(struct warc_reader *r, const struct warc_record *rec)
{
    r->stats.records++;
    bool response = str_eq_nocase(rec->type, STR("response"));
    r->stats.responses += response;
    r->stats.skipped += !response && !str_eq_nocase(rec->type, STR("resource"))
                        && !str_eq_nocase(rec->type, STR("conversion"));
    count_bytes(r);
}

static int file_end(struct warc_reader *r)
{
    const struct warc_stats *s = &r->stats;
    count_bytes(r);
    const char *path = members_path(r->members);
    if (s->records == 0)
        return err_set(ERR_FORMAT, "crawl: %s holds no WARC record in its %llu bytes: %s", path,
                       (unsigned long long)members_size(r->members),
                       str_find(str_of(path), STR(".paths")) != SIZE_MAX
                           ? "a list of paths is for `sluice crawl --paths` or source.paths"
                           : "check that it is a web archive and was downloaded whole");
    if (s->damaged)
        log_warn("%s: damaged in %llu places, %llu bytes lost; %llu records were read", path,
                 (unsigned long long)s->damaged, (unsigned long long)s->lost_bytes,
                 (unsigned long long)s->records);
    return 0;
}

/* The header at pos, read: true when the record says how long its body is. */
static bool read_header(struct warc_reader *r, struct str header, struct warc_record *rec,
                        uint64_t *length)
{
    memset(rec, 0, sizeof *rec);
    rec->header = header;
    if (r->arc && (*header.ptr | 0x20) != 'w')
        return header_read_arc(header, r->arc_date, rec, length);
    return header_read(header, rec, length);
}

static int read_record(struct warc_reader *r, size_t header, struct warc_record *rec)
{
    uint64_t offset = record_offset(r), length = 0;
    bool shared = r->stats.records && offset == r->last_offset, damaged = false;
    bool known = read_header(r, (struct str){r->win + r->pos, header}, rec, &length);
    struct body b = {.at = header};
    check_begin(&r->check, rec);
    r->pos += header;
    TRY(record_body(r, &b, known ? &length : NULL, &damaged));
    if (rec->header.ptr != r->win + r->start) /* the window moved */
        read_header(r, (struct str){r->win + r->start, b.at}, rec, &length);
    rec->offset = offset;
    rec->stored = damaged ? 0 : record_stored(r, offset, shared);
    rec->body = (struct str){r->win + r->start + b.at, b.held};
    rec->content_length = known ? length : b.total;
    rec->cut = b.total > b.held;
    rec->damaged = damaged;
    if (rec->arc)
        header_finish_arc(rec, (struct str){b.head, b.total < HEAD ? (size_t)b.total : HEAD});
    check_end(&r->check, rec, b.total);
    r->last_offset = offset;
    count_record(r, rec);
    return 1;
}

static int next_record(struct warc_reader *r, struct warc_record *rec)
{
    for (;;) {
        memset(rec, 0, sizeof *rec);
        r->start = r->pos;
        int found = record_begin(r);
        if (found < 0)
            return found;
        if (!found)
            return file_end(r);
        r->start = r->pos;
        int64_t header = record_header(r);
        if (header < 0)
            return (int)header;
        if (header > 0)
            return read_record(r, (size_t)header, rec);
    }
}

int warc_next(struct warc_reader *r, struct warc_record *rec)
{
    if (r->ended)
        return 0;
    int rc = next_record(r, rec);
    if (rc < 0)
        r->ended = true;
    return rc;
}

static int reader_new(struct warc_reader **out, const char *path, size_t body_max,
                      size_t buffer_bytes)
{
    struct warc_reader *r = *out = calloc(1, sizeof *r);
    if (!r)
        return err_set(ERR_LIMIT, "crawl: no memory to open %s", path);
    r->body_max = body_max;
    r->chunk = buffer_bytes ? buffer_bytes : 1;
    r->cap = r->chunk + CAP_MIN;
    r->win = members_buffer(&r->cap);
    return r->win ? 0 : err_set(ERR_LIMIT, "crawl: no memory to open %s", path);
}

static bool named_arc(const char *path)
{
    const char *slash = strrchr(path, '/');
    struct str name = str_of(slash ? slash + 1 : path);
    return str_ends(name, ".arc") || str_find(name, STR(".arc.")) != SIZE_MAX;
}

/* The reader's first steps, or its end. */
static int reader_start(struct warc_reader **out, int rc)
{
    struct warc_reader *r = *out;
    if (rc < 0) {
        warc_close(r);
        *out = NULL;
        return rc;
    }
    if (named_arc(members_path(r->members))) { /* in case the line that says so is damaged */
        members_expect_arc(r->members);
        r->arc = true;
    }
    mark_member(r);
    return 0;
}

int warc_open_buffer(struct warc_reader **out, const char *path, size_t body_max,
                     size_t buffer_bytes)
{
    int rc = reader_new(out, path, body_max, buffer_bytes);
    size_t input = buffer_bytes < INPUT ? buffer_bytes : INPUT;
    return reader_start(out, rc < 0 ? rc : members_open(&(*out)->members, path, input));
}

int warc_open(struct warc_reader **out, const char *path, size_t body_max)
{
    return warc_open_buffer(out, path, body_max, CHUNK);
}

int warc_open_fd(struct warc_reader **out, int fd, const char *name, size_t body_max)
{
    int rc = reader_new(out, name, body_max, CHUNK);
    if (rc >= 0)
        rc = members_open_fd(&(*out)->members, fd, name, INPUT);
    if (rc >= 0)
        members_go_on((*out)->members);
    return reader_start(out, rc);
}

int warc_open_members(struct warc_reader **out, struct members *members, size_t body_max)
{
    int rc = reader_new(out, members_path(members), body_max, CHUNK);
    if (rc < 0) {
        members_close(members);
        return reader_start(out, rc);
    }
    (*out)->members = members;
    return reader_start(out, members_rewind(members));
}

void warc_check_digests(struct warc_reader *r) { r->check.on = true; }

int warc_seek(struct warc_reader *r, uint64_t offset)
{
    if (!members_seekable(r->members))
        return err_set(ERR_USAGE, "crawl: %s is no regular file: it has no record at byte %llu to "
                       "go to", members_path(r->members), (unsigned long long)offset);
    if (r->stats.records == 0) { /* the file's first record tells whether it is an ARC file */
        struct warc_record first;
        struct warc_stats stats = r->stats;
        size_t damages = r->damages;
        if (warc_next(r, &first) < 0)
            err_clear();
        r->stats = stats;
        r->damages = damages;
    }
    TRY(members_seek(r->members, offset));
    r->start = r->pos = r->len = 0;
    r->wall_kind = WALL_NONE;
    r->ended = false;
    r->base = members_format(r->members) == MEMBERS_PLAIN ? offset : 0;
    r->member_at[1] = UINT64_MAX;
    r->last_offset = UINT64_MAX;
    mark_member(r);
    return 0;
}

const struct warc_damage *warc_damages(const struct warc_reader *r, size_t *count)
{
    *count = r->damages;
    return r->damage;
}

const struct warc_stats *warc_stats(const struct warc_reader *r) { return &r->stats; }

void warc_close(struct warc_reader *r)
{
    if (!r)
        return;
    members_close(r->members);
    free(r->win);
    free(r);
}

/* warc - finds the records of a web archive, good ones whatever stands between them. */
#include "crawl/crawl.h"
#include "crawl/members.h"

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
 * holds. What it walks twice is bounded by what it decoded, so time stays linear. */
enum {
    CHUNK = 256 << 10,        /* bytes decoded at a time */
    HEADER_MAX = 1 << 20,     /* bytes of one WARC header block */
    NEWLINES_MAX = 64 << 10,  /* line ends looked at behind a record */
    AGAIN_SLACK = 16 << 20,
    LINE_MIN = 8,             /* "\nWARC/1" and one more */
    CAP_MIN = 4096,
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
    bool ended, told_shared;
    struct warc_stats stats;
};

/* ---- the window ---- */
static size_t left_of(const struct warc_reader *r)
{
    return (r->wall_kind && r->wall < r->len ? r->wall : r->len) - r->pos;
}

static int window_room(struct warc_reader *r)
{
    if (r->cap - r->len >= r->chunk)
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
    while (cap - r->len < r->chunk)
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
    int64_t got = members_read(r->members, r->win + r->len, r->chunk);
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

/* Steps into the next member; a wall goes up when a record starts there. */
static int member_cross(struct warc_reader *r)
{
    static const char word[] = "WARC/";
    TRY(members_step(r->members));
    mark_member(r);
    uint64_t at = r->base + r->len;
    size_t got = 0;
    while (got < sizeof word - 1 && members_edge(r->members) == MEMBERS_INSIDE) {
        TRY(window_read(r));
        got = (size_t)(r->base + r->len - at);
    }
    enum members_edge edge = members_edge(r->members);
    size_t same = got < sizeof word - 1 ? got : sizeof word - 1;
    bool whole = same == sizeof word - 1 || edge == MEMBERS_DAMAGED;
    if (whole && memcmp(r->win + r->len - got, word, same) == 0)
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
    r->stats.damaged++;
    TRY(members_step(r->members));
    mark_member(r);
    return 0;
}

/* Counts damage of a record, unless it runs into damaged bytes, which island_next counts. */
static void count_damage(struct warc_reader *r)
{
    if (r->wall_kind != WALL_DAMAGE || left_of(r) > 0)
        r->stats.damaged++;
}

/* ---- where records start ---- */
static bool is_digit(char c) { return c >= '0' && c <= '9'; }

static bool at_record(const char *at, size_t len)
{
    return len > 5 && strncasecmp(at, "WARC/", 5) == 0 && is_digit(at[5]);
}

/* Index of the first "WARC/<digit>" behind a line end, or SIZE_MAX. */
static size_t find_record(const char *at, size_t len)
{
    for (size_t i = 0; i < len;) {
        const char *hit = memmem(at + i, len - i, "\nWARC/", 6);
        if (!hit)
            break;
        i = (size_t)(hit - at) + 1;
        if (at_record(at + i, len - i))
            return i;
    }
    return SIZE_MAX;
}

/* Skips junk up to the next record's line or the wall. */
static int skip_junk(struct warc_reader *r)
{
    for (;;) {
        size_t left = left_of(r), at = find_record(r->win + r->pos, left);
        bool done = at != SIZE_MAX || r->wall_kind;
        if (at == SIZE_MAX)
            at = r->wall_kind ? left : left > LINE_MIN ? left - LINE_MIN : 0;
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
    for (;;) {
        TRY(island_fill(r, 16));
        size_t left = left_of(r);
        const char *at = r->win + r->pos;
        if (left && (*at == '\r' || *at == '\n')) {
            r->start = ++r->pos;
            continue;
        }
        if (at_record(at, left))
            return 1;
        if (left == 0) {
            TRY(island_next(r));
            if (r->ended)
                return 0;
            continue;
        }
        if (r->stats.records == 0 && left >= 9 && memcmp(at, "filedesc:", 9) == 0)
            return err_set(ERR_FORMAT, "crawl: %s is an ARC file, the format before WARC, which is "
                           "not read: convert it (warcio recompress)", members_path(r->members));
        TRY(skip_junk(r));
        count_damage(r);
    }
}

/* ---- header ---- */
/* Length of the block up to and with its blank line, looking from `from` on; 0: not there yet. */
static size_t header_end(const char *at, size_t len, size_t from)
{
    for (size_t i = from; i < len;) {
        const char *line = memchr(at + i, '\n', len - i);
        if (!line)
            return 0;
        i = (size_t)(line - at) + 1;
        if (i < len && at[i] == '\n')
            return i + 1;
        if (i + 1 < len && at[i] == '\r' && at[i + 1] == '\n')
            return i + 2;
    }
    return 0;
}

static void unfold(char *at, size_t len)
{
    for (size_t i = 1; i + 1 < len; i++) {
        if (at[i] != '\n' || (at[i + 1] != ' ' && at[i + 1] != '\t'))
            continue;
        at[i] = ' ';
        if (at[i - 1] == '\r')
            at[i - 1] = ' ';
    }
}

/* Finds the header block at pos: its length, or 0 when it is no header and pos moved behind it. */
static int64_t record_header(struct warc_reader *r)
{
    size_t seen = 0, len = 0;
    for (;;) {
        size_t left = left_of(r);
        len = header_end(r->win + r->pos, left < HEADER_MAX ? left : HEADER_MAX, seen);
        if (len || r->wall_kind || left >= HEADER_MAX)
            break;
        seen = left > 3 ? left - 3 : 0;
        TRY(island_fill(r, left + 1));
    }
    size_t inner = len ? find_record(r->win + r->pos, len) : 5;
    if (len && inner == SIZE_MAX) {
        unfold(r->win + r->pos, len);
        return (int64_t)len;
    }
    /* Cut, endless, or another record begins inside it. */
    r->lost += inner;
    r->pos += inner;
    if (!len)
        TRY(skip_junk(r));
    count_damage(r);
    return 0;
}

static struct str next_line(struct str *block)
{
    struct str rest, line = str_cut(*block, '\n', &rest);
    *block = rest;
    return line;
}

/* First value wins; names in any case; blanks around both are dropped. */
static void parse_fields(struct str block, struct warc_record *rec, struct str *length)
{
    const struct { const char *name; struct str *to; } field[] = {
        {"WARC-Type", &rec->type}, {"WARC-Target-URI", &rec->target_uri}, {"WARC-Date", &rec->date},
        {"WARC-Record-ID", &rec->record_id}, {"Content-Type", &rec->content_type},
        {"WARC-Truncated", &rec->truncated}, {"WARC-Identified-Payload-Type", &rec->payload_type},
        {"WARC-Segment-Number", &rec->segment}, {"Content-Length", length},
    };
    next_line(&block);
    while (block.len) {
        struct str value, line = next_line(&block), name = str_trim(str_cut(line, ':', &value));
        for (size_t i = 0; value.ptr && i < COUNT_OF(field); i++)
            if (!field[i].to->ptr && str_eq_nocase(name, str_of(field[i].name)))
                *field[i].to = str_trim(value);
    }
    struct str uri = rec->target_uri; /* Wget writes <http://...> */
    if (uri.len >= 2 && uri.ptr[0] == '<' && uri.ptr[uri.len - 1] == '>')
        rec->target_uri = str_slice(uri, 1, uri.len - 1);
}

/* ---- body ---- */
struct body {
    size_t at;           /* from start */
    size_t held;         /* bytes in the window */
    uint64_t total;      /* bytes walked over, held or not */
};

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
        b->held += keep;
        b->total += step;
        r->pos += keep;
        if (step > keep)
            window_drop(r, step - keep);
        n -= step;
    }
    return 0;
}

/* Walks to the next record's line or the wall. */
static int body_search(struct warc_reader *r, struct body *b)
{
    TRY(island_fill(r, LINE_MIN));
    bool fresh = b->total == 0 || r->win[r->pos - 1] == '\n';
    if (fresh && at_record(r->win + r->pos, left_of(r)))
        return 0;
    for (;;) {
        size_t left = left_of(r), at = find_record(r->win + r->pos, left);
        if (at != SIZE_MAX || r->wall_kind)
            return body_walk(r, b, at != SIZE_MAX ? at : left);
        size_t step = left > LINE_MIN ? left - LINE_MIN : 0;
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

static enum follows what_follows(const char *at, size_t len, bool end)
{
    size_t lines = 0;
    while (lines < len && (at[lines] == '\r' || at[lines] == '\n'))
        lines++;
    size_t rest = len - lines < 5 ? len - lines : 5;
    if (strncasecmp(at + lines, "WARC/", rest) == 0 && (rest == 5 || rest == 0 || end))
        return rest == 5 ? FOLLOWS_RECORD : FOLLOWS_END;
    return lines >= 4 && memcmp(at, "\r\n\r\n", 4) == 0 ? FOLLOWS_BLANK : FOLLOWS_JUNK;
}

/* Looks ahead, in a plain file, at what stands where the body should end. */
static int plain_follows(struct warc_reader *r, uint64_t length, enum follows *out)
{
    char tail[64];
    uint64_t at = r->base + r->pos, size = members_size(r->members);
    *out = FOLLOWS_JUNK;
    if (at > size || length > size - at)
        return 0;
    int64_t got = members_peek(r->members, at + length, tail, sizeof tail);
    if (got < 0)
        return (int)got;
    *out = what_follows(tail, (size_t)got, got < (int64_t)sizeof tail);
    return 0;
}

/* The same behind a body just read: the bytes stay unread. */
static int stream_follows(struct warc_reader *r, enum follows *out)
{
    size_t want = 16;
    for (;;) {
        TRY(island_fill(r, want));
        size_t left = left_of(r), lines = 0;
        while (lines < left && (r->win[r->pos + lines] == '\r' || r->win[r->pos + lines] == '\n'))
            lines++;
        if (left < want || lines + 8 <= left || lines > NEWLINES_MAX) {
            *out = what_follows(r->win + r->pos, left, left < want);
            return 0;
        }
        want = lines + 16;
    }
}

/* A body of wrong length in a stream: back to the first record inside it, when it is all held. */
static bool body_rewind(struct warc_reader *r, struct body *b)
{
    const char *body = r->win + r->start + b->at;
    if (b->total != b->held)
        return false;
    size_t left = left_of(r), len = b->held + (left < LINE_MIN ? left : LINE_MIN);
    size_t at = at_record(body, len) ? 0 : find_record(body, len);
    if (at >= b->held || r->again > r->base + r->len + AGAIN_SLACK)
        return false;
    r->again += b->held - at;
    r->pos = r->start + b->at + at;
    b->held = at;
    b->total = at;
    return true;
}

/* Takes the two line ends behind a record off the body: how many there were. */
static int trim_end(const struct warc_reader *r, struct body *b)
{
    const char *body = r->win + r->start + b->at;
    int lines = 0;
    for (; lines < 2 && b->held == b->total && b->held && body[b->held - 1] == '\n'; lines++) {
        b->held--;
        b->held -= b->held && body[b->held - 1] == '\r';
        b->total = b->held;
    }
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
    bool plain = members_format(r->members) == MEMBERS_PLAIN;
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
            count_damage(r);
            trim_end(r, b);
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
        count_damage(r);
        return 0;
    }
    count_damage(r);
    /* No length, or one too small, and a clean end: the body is whole. Bytes lost from a file look
     * different: they leave a length too large. */
    bool cut = left_of(r) == 0 && r->wall_kind == WALL_DAMAGE;
    *damaged = trim_end(r, b) < 2 || cut || (length && b->total < *length);
    return 0;
}

/* ---- records ---- */
static uint64_t record_offset(struct warc_reader *r)
{
    uint64_t at = r->base + r->pos;
    if (members_format(r->members) == MEMBERS_PLAIN)
        return at;
    uint64_t offset = at >= r->member_at[1] ? r->member_offset[1] : r->member_offset[0];
    if (r->stats.records && offset == r->last_offset && !r->told_shared) {
        r->told_shared = true;
        log_warn("%s: one compressed member holds several records: it is read through, but no "
                 "record can be read alone by its offset; recompress it record by record",
                 members_path(r->members));
    }
    r->last_offset = offset;
    return offset;
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
        return err_set(ERR_FORMAT, "crawl: %s holds no WARC record in its %llu bytes: check that "
                       "it is a web archive and was downloaded whole", path,
                       (unsigned long long)members_size(r->members));
    if (s->damaged)
        log_warn("%s: damaged in %llu places, %llu bytes lost; %llu records were read", path,
                 (unsigned long long)s->damaged, (unsigned long long)s->lost_bytes,
                 (unsigned long long)s->records);
    return 0;
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
        uint64_t offset = record_offset(r), length = 0;
        int64_t header = record_header(r);
        if (header < 0)
            return (int)header;
        if (header == 0)
            continue;
        struct str declared = {0};
        parse_fields((struct str){r->win + r->pos, (size_t)header}, rec, &declared);
        bool known = str_u64(declared, &length), damaged = false;
        struct body b = {.at = (size_t)header};
        r->pos += (size_t)header;
        TRY(record_body(r, &b, known ? &length : NULL, &damaged));
        memset(rec, 0, sizeof *rec); /* the window may have moved */
        declared = (struct str){0};
        rec->header = (struct str){r->win + r->start, b.at};
        parse_fields(rec->header, rec, &declared);
        rec->offset = offset;
        rec->body = (struct str){r->win + r->start + b.at, b.held};
        rec->content_length = known ? length : b.total;
        rec->cut = b.total > b.held;
        rec->damaged = damaged;
        count_record(r, rec);
        return 1;
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

int warc_open_buffer(struct warc_reader **out, const char *path, size_t body_max,
                     size_t buffer_bytes)
{
    *out = NULL;
    struct warc_reader *r = calloc(1, sizeof *r);
    if (!r)
        return err_set(ERR_LIMIT, "crawl: no memory to open %s", path);
    r->body_max = body_max;
    r->chunk = buffer_bytes ? buffer_bytes : 1;
    r->cap = r->chunk * 2 > CAP_MIN ? r->chunk * 2 : CAP_MIN;
    r->win = malloc(r->cap);
    int rc = r->win ? members_open(&r->members, path, buffer_bytes)
                    : err_set(ERR_LIMIT, "crawl: no memory to open %s", path);
    if (rc < 0) {
        warc_close(r);
        return rc;
    }
    mark_member(r);
    *out = r;
    return 0;
}

int warc_open(struct warc_reader **out, const char *path, size_t body_max)
{
    return warc_open_buffer(out, path, body_max, CHUNK);
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

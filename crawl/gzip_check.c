/* gzip_check - inflates gzip members into nothing to verify their lengths and CRCs. */
#include "crawl/gzip_check.h"
#include "crawl/members.h"

#include "core/err.h"
#include "core/str.h"

#include <isa-l/igzip_lib.h>
#include <stdlib.h>
#include <zlib.h>

enum { SCRATCH_BYTES = 64 << 10, FEED_MAX = 1 << 30 };
enum part { PART_HEADER, PART_DATA, PART_ZEROS, PART_BAD };

struct gzip_check {
    enum part part;
    uint64_t members;
    uint64_t open_bytes; /* fed since the last member ended */
    struct buf header;   /* of the member that begins, until it is whole */
    struct inflate_state state;
    uint8_t scratch[SCRATCH_BYTES];
};

struct gzip_check *gzip_check_open(void)
{
    struct gzip_check *g = malloc(sizeof *g);
    if (!g) {
        err_set(ERR_LIMIT, "crawl: no memory to check gzip files");
        return NULL;
    }
    isal_inflate_init(&g->state);
    g->header = (struct buf){.max = MEMBERS_GZIP_HEADER_MAX};
    gzip_check_reset(g, false);
    return g;
}

void gzip_check_reset(struct gzip_check *g, bool behind_member)
{
    g->part = PART_HEADER;
    g->members = behind_member;
    g->open_bytes = 0;
    buf_clear(&g->header);
}

/* No flag that RFC 1952 reserves, and its own checksum right, where it has one (FHCRC). */
static bool header_is_good(const struct buf *header)
{
    enum { FLAGS = 3, FHCRC = 2, RESERVED = 0xe0 };
    const unsigned char *at = (const unsigned char *)header->ptr;
    size_t end = header->len - 2;
    if ((at[FLAGS] & RESERVED) || !(at[FLAGS] & FHCRC))
        return !(at[FLAGS] & RESERVED);
    unsigned sum = crc32(0, at, (unsigned)end) & 0xffff;
    return sum == (at[end] | (unsigned)at[end + 1] << 8);
}

/* Takes bytes of a header; all that is behind it stays. */
static size_t feed_header(struct gzip_check *g, const char *at, size_t len)
{
    static const char magic[] = "\x1f\x8b\x08";
    if (g->header.len == 0 && g->members && *at == 0) {
        g->part = PART_ZEROS;
        return 0;
    }
    size_t want = 10, took = 0;
    while (took < len) {
        size_t step = want > g->header.len ? want - g->header.len : 1;
        step = step < len - took ? step : len - took;
        buf_add(&g->header, at + took, step);
        took += step;
        size_t head = g->header.len < 3 ? g->header.len : 3;
        if (g->header.failed || memcmp(g->header.ptr, magic, head) != 0) {
            g->part = PART_BAD;
            break;
        }
        if (members_gzip_header((const unsigned char *)g->header.ptr, g->header.len, &want)) {
            g->part = header_is_good(&g->header) ? PART_DATA : PART_BAD;
            buf_clear(&g->header);
            isal_inflate_reset(&g->state);
            g->state.crc_flag = ISAL_GZIP_NO_HDR_VER;
            break;
        }
    }
    return took;
}

static size_t feed_data(struct gzip_check *g, const char *at, size_t len)
{
    struct inflate_state *s = &g->state;
    uint32_t feed = len < FEED_MAX ? (uint32_t)len : FEED_MAX;
    s->next_in = (uint8_t *)(uintptr_t)at;
    s->avail_in = feed;
    for (;;) {
        uint32_t before = s->avail_in;
        s->next_out = g->scratch;
        s->avail_out = SCRATCH_BYTES;
        if (isal_inflate(s) < 0) {
            g->part = PART_BAD;
            break;
        }
        if (s->block_state == ISAL_BLOCK_FINISH) {
            g->part = PART_HEADER;
            g->members++;
            break;
        }
        if (s->avail_out == SCRATCH_BYTES && s->avail_in == before)
            break;
    }
    return feed - s->avail_in;
}

/* Padding behind the last member is nobody's, and goes with it. */
static bool between_members(const struct gzip_check *g)
{
    bool next = g->part == PART_HEADER && g->header.len == 0;
    return g->members > 0 && (next || g->part == PART_ZEROS);
}

bool gzip_check_feed(struct gzip_check *g, const void *bytes, size_t len)
{
    const char *at = bytes;
    for (size_t done = 0; done < len && g->part != PART_BAD;) {
        size_t took = 0;
        if (g->part == PART_HEADER) {
            took = feed_header(g, at + done, len - done);
        } else if (g->part == PART_DATA) {
            took = feed_data(g, at + done, len - done);
            if (took == 0 && g->part == PART_DATA)
                g->part = PART_BAD; /* it would never move again */
        } else {
            for (; done + took < len && at[done + took] == 0;)
                took++;
            if (done + took < len)
                g->part = PART_BAD;
        }
        if (g->part == PART_BAD)
            break; /* ISA-L does not say how much of what was bad it has read */
        done += took;
        g->open_bytes = between_members(g) ? 0 : g->open_bytes + took;
    }
    return g->part != PART_BAD;
}

bool gzip_check_whole(const struct gzip_check *g) { return between_members(g); }

uint64_t gzip_check_open_bytes(const struct gzip_check *g) { return g->open_bytes; }

void gzip_check_close(struct gzip_check *g)
{
    if (!g)
        return;
    buf_free(&g->header);
    free(g);
}

/* test_tokenize_cache - the tables of pieces against what was put into them, over all their sizes.
 *
 * The oracle is arithmetic: piece number n has bytes and ids that follow from n. What a look finds
 * must be exactly those; it may find nothing only where more was put than there are places for. */
#include "core/hash.h"
#include "tests/test.h"
#include "tokenize/piece_cache.h"

static struct piece_key short_key_of(uint64_t n)
{
    return (struct piece_key){hash_mix(n), (hash_mix(n + 7) >> 16 << 8 >> 8) | (uint64_t)15 << 56};
}

static uint32_t short_count_of(uint64_t n) { return (uint32_t)(n % (SHORT_IDS + 1)); }

static void short_check(const struct short_entry *s, uint64_t n)
{
    uint32_t id[SHORT_IDS];
    CHECK_INT(short_copy(s, id), short_count_of(n));
    for (uint32_t i = 0; i < short_count_of(n); i++)
        CHECK_INT(id[i], (n * 5 + i) & 0x1FFFFF);
}

static void short_fill(struct piece_cache *c, uint64_t from, uint64_t to)
{
    for (uint64_t n = from; n < to; n++) {
        uint32_t id[SHORT_IDS];
        for (uint32_t i = 0; i < SHORT_IDS; i++)
            id[i] = (n * 5 + i) & 0x1FFFFF;
        struct piece_key k = short_key_of(n);
        short_set(short_put(c, k, short_place(c, k)), id, short_count_of(n));
        if (n % 256 == 0)
            piece_cache_grow(c);
    }
}

/* How many of the pieces are found, each with its own ids. */
static uint64_t short_found(const struct piece_cache *c, uint64_t from, uint64_t to)
{
    uint64_t found = 0;
    for (uint64_t n = from; n < to; n++) {
        struct piece_key k = short_key_of(n);
        const struct short_entry *s = short_find(c, k, short_place(c, k));
        if (s)
            short_check(s, n);
        found += s != NULL;
    }
    return found;
}

TEST(tokenize_cache_short_pieces_outlive_growth)
{
    enum { FULL = 1 << (LINE_BITS_MAX + 1) };
    struct piece_cache c;
    uint64_t places = 1 << LINE_BITS;
    CHECK_OK(piece_cache_open(&c));
    CHECK_INT(short_found(&c, 0, 1000), 0);
    for (uint64_t done = 0; done < FULL / 2;) {
        uint64_t to = done + places / 8; /* a sixteenth of the entries there is room for */
        short_fill(&c, done, to);
        done = to;
        CHECK(c.line_mask + 1 >= places);
        places = c.line_mask + 1;
        CHECK(c.shorts <= done);
        CHECK(c.shorts <= places + 257 || places == 1 << LINE_BITS_MAX);
    }
    CHECK_INT(c.line_mask + 1, 1 << LINE_BITS_MAX);
    /* Half full: four places and a fifth piece for them is rare. */
    CHECK(short_found(&c, 0, FULL / 2) > FULL / 2 * 93 / 100);
    /* Overfilled, half of what came first stays; nothing is found that is not so. */
    uint64_t first = short_found(&c, 0, FULL / 4);
    short_fill(&c, FULL / 2, FULL / 2 * 3);
    CHECK(c.shorts <= FULL);
    CHECK(c.shorts > FULL * 90 / 100);
    CHECK(short_found(&c, 0, FULL / 4) > first * 45 / 100);
    CHECK(short_found(&c, FULL / 4, FULL / 2 * 3) <= FULL);
    piece_cache_close(&c);
}

static struct long_key long_key_of(uint64_t n, uint32_t mark)
{
    char bytes[LONG_BYTES + 1];
    uint32_t len = 16 + (uint32_t)(n % 16);
    snprintf(bytes, sizeof bytes, "%031llu", (unsigned long long)hash_mix(n));
    return long_key(bytes + LONG_BYTES - len, len, bytes + LONG_BYTES, mark);
}

TEST(tokenize_cache_long_pieces_outlive_growth)
{
    enum { FULL = 1 << LONG_BITS_MAX };
    struct piece_cache c;
    uint64_t found = 0;
    CHECK_OK(piece_cache_open(&c));
    for (uint64_t n = 0; n < FULL; n++) {
        uint32_t id[LONG_IDS];
        for (uint32_t i = 0; i < LONG_IDS; i++)
            id[i] = (uint32_t)(n + i);
        struct long_key k = long_key_of(n, n & 1 ? LONG_MARK : 0);
        long_put(&c, &k, long_place(&c, &k), id, 1 + (uint32_t)(n % LONG_IDS));
        piece_cache_grow(&c);
    }
    CHECK_INT(c.longer_mask + 1, FULL);
    for (uint64_t n = 0; n < FULL; n++) {
        struct long_key k = long_key_of(n, n & 1 ? LONG_MARK : 0);
        struct long_key other = long_key_of(n, n & 1 ? 0 : LONG_MARK);
        const struct long_entry *l = long_find(&c, &k, long_place(&c, &k));
        uint32_t id[LONG_IDS];
        CHECK(!long_find(&c, &other, long_place(&c, &other)));
        if (!l)
            continue;
        found++;
        CHECK_INT(long_copy(l, id), 1 + n % LONG_IDS);
        CHECK_INT(id[0], n);
        CHECK_INT(id[n % LONG_IDS], n + n % LONG_IDS);
    }
    CHECK(found > FULL * 60 / 100);
    piece_cache_close(&c);
}

/* A key must not hold what stands behind the piece, whether or not it may be read. */
TEST(tokenize_cache_long_key_is_of_the_piece_alone)
{
    char bytes[2 * LONG_BYTES + 2];
    for (uint32_t len = 1; len <= LONG_BYTES; len++) {
        for (size_t i = 0; i < sizeof bytes; i++)
            bytes[i] = (char)('a' + i);
        struct long_key apart = long_key(bytes, len, bytes + len, 0);
        struct long_key inside = long_key(bytes, len, bytes + sizeof bytes, 0);
        CHECK(long_equal(&apart, &inside));
        bytes[len - 1] ^= 1;
        struct long_key other = long_key(bytes, len, bytes + sizeof bytes, 0);
        CHECK(!long_equal(&apart, &other));
    }
}

TEST(tokenize_cache_wide_pieces)
{
    struct piece_cache c;
    char bytes[WIDE_BYTES];
    uint32_t id[WIDE_IDS], got[WIDE_IDS], kept = 0;
    CHECK_OK(piece_cache_open(&c));
    for (int turn = 0; turn < 2; turn++) {
        for (uint32_t n = 0; n < 2000; n++) {
            struct str piece = {bytes, LONG_BYTES + 1 + n % (WIDE_BYTES - LONG_BYTES)};
            memset(bytes, 'a' + (int)(n % 26), sizeof bytes);
            bytes[n % piece.len] = (char)('A' + n / 100);
            struct wide_entry *w = wide_at(&c, piece);
            for (uint32_t i = 0; i < WIDE_IDS; i++)
                id[i] = n * 3 + i;
            uint32_t count = 1 + n % WIDE_IDS, mark = n % 2 ? LONG_MARK : 0;
            if (turn == 0) {
                CHECK_INT(wide_copy(w, piece, mark, got), 0);
                wide_put(w, piece, mark, id, count);
            } else if (wide_copy(w, piece, mark, got)) {
                kept++;
                CHECK_INT(w->count, count);
                CHECK(memcmp(got, id, count * sizeof *id) == 0);
                CHECK_INT(wide_copy(w, piece, mark ^ LONG_MARK, got), 0);
            }
        }
    }
    CHECK(kept > 1600);
    piece_cache_close(&c);
}

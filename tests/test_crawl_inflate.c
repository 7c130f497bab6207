/* test_crawl_inflate - the decoder for whole members against zlib, on data of every kind, whole,
 * cut and changed. */
#include "tests/test.h"

#include "crawl/inflate.h"

#include <zlib.h>

enum { SOURCE_MAX = 200000, PACKED_MAX = SOURCE_MAX + 4096 };

static size_t make_source(uint64_t *seed, unsigned char *to)
{
    static const char words[] = "the quick brown fox <p class=\"x\"> jumps over</p>\n";
    size_t len = test_random(seed) % (test_random(seed) % 40 ? 3000 : SOURCE_MAX);
    uint64_t kind = test_random(seed) % 6;
    for (size_t i = 0; i < len; i++) {
        uint64_t r = test_random(seed);
        switch (kind) {
        case 0: to[i] = (unsigned char)r; break;
        case 1: to[i] = (unsigned char)('a' + r % 3); break;
        case 2: to[i] = 'x'; break;
        case 3: to[i] = i > 20 && r % 8 ? to[i - 1 - r / 8 % 20] : (unsigned char)(r >> 32); break;
        case 4: to[i] = (unsigned char)words[(i + (r % 50 == 0)) % (sizeof words - 1)]; break;
        default: to[i] = (unsigned char)(i * i >> 7);
        }
    }
    return len;
}

static size_t pack(uint64_t *seed, unsigned char *from, size_t len, unsigned char *to)
{
    z_stream z = {.next_in = from, .avail_in = (uInt)len, .next_out = to, .avail_out = PACKED_MAX};
    int bits = -9 - (int)(test_random(seed) % 7);
    CHECK(deflateInit2(&z, (int)(test_random(seed) % 10), Z_DEFLATED, bits,
                       1 + (int)(test_random(seed) % 9), (int)(test_random(seed) % 5)) == Z_OK);
    CHECK(deflate(&z, Z_FINISH) == Z_STREAM_END);
    size_t made = z.total_out;
    deflateEnd(&z);
    return made;
}

/* Buffers of exactly the sizes told, so that a sanitizer sees every byte too many. DONE must mean
 * what zlib means by it, bit for bit; and what zlib can do is never refused. */
static void compare(struct inflate_tables *t, const unsigned char *bytes, size_t len, size_t room,
                    unsigned char *by_zlib)
{
    unsigned char *in = malloc(len + 1), *to = malloc(room + 1);
    CHECK(in && to);
    memcpy(in + 1, bytes, len);
    size_t used = 0, made = 0;
    enum inflate_result rc = inflate_whole(t, in + 1, len, to + 1, room, &used, &made);
    z_stream z = {
        .next_in = in + 1, .avail_in = (uInt)len, .next_out = by_zlib, .avail_out = SOURCE_MAX};
    CHECK(inflateInit2(&z, -15) == Z_OK);
    bool good = inflate(&z, Z_FINISH) == Z_STREAM_END;
    if (rc == INFLATE_DONE) {
        CHECK(good);
        CHECK_INT(made, z.total_out);
        CHECK_INT(used, z.total_in);
        CHECK(memcmp(to + 1, by_zlib, made) == 0);
    } else {
        CHECK(!good || z.total_out > room);
    }
    inflateEnd(&z);
    free(in);
    free(to);
}

TEST(crawl_inflate_agrees_with_zlib)
{
    struct inflate_tables *t = inflate_tables_new();
    unsigned char *source = malloc(SOURCE_MAX), *packed = malloc(PACKED_MAX),
                  *out = malloc(SOURCE_MAX);
    CHECK(t && source && packed && out);
    uint64_t seed = 20;
    for (int round = 0; round < 6000; round++) {
        size_t len = make_source(&seed, source), bytes = pack(&seed, source, len, packed);
        size_t room = test_random(&seed) % 4 ? len + test_random(&seed) % 600
                                             : test_random(&seed) % (len + 1);
        size_t feed = bytes;
        uint64_t harm = test_random(&seed) % 3;
        for (uint64_t i = 0; harm == 1 && i <= test_random(&seed) % 3; i++)
            packed[test_random(&seed) % bytes] ^= (unsigned char)(1 << test_random(&seed) % 8);
        if (harm == 2)
            feed = test_random(&seed) % bytes;
        else if (test_random(&seed) % 2 && bytes + 60 < PACKED_MAX)
            feed += test_random(&seed) % 60; /* what stands behind is left alone */
        compare(t, packed, feed, room, out);
    }
    free(t);
    free(source);
    free(packed);
    free(out);
}

/* Blocks zlib never writes: none or one distance, codes left incomplete, symbols that are none. */
TEST(crawl_inflate_odd_blocks)
{
    static const struct {
        const char *bytes;
        size_t len;
    } odd[] = {
        {"\x03\x00", 2},             /* fixed codes, empty */
        {"\x01\x00\x00\xff\xff", 5}, /* stored, empty */
        {"\x01\x01\x00\xfe\xff"
         "A",
         6}, /* stored, one byte */
        {"\x01\x01\x00\xfe\xfe"
         "A",
         6},                 /* its length lies */
        {"\x07", 1},         /* a kind of block that is none */
        {"\x63\x00", 2},     /* cut */
        {"\x1b\x03\x00", 3}, /* a length without a distance */
        {"\x05\xe0\x81\x08\x00\x00\x00\x00\x20\x7f\xeb\x0b\x00\x00", 14}, /* one distance code */
        {"\x0c\xc0\x81\x00\x00\x00\x00\x00\x90\xff\x6b\x04", 12},         /* degenerate literals */
        {"\xfc\x00\x00", 3}, /* too many literals or distances */
        {"\x04\x80\x49\x92\x24\x49\x92\x24\x0f\xb4\xff\xff\xc3\x04", 14}, /* over-subscribed */
        {"\x04\xc0\xb1\x0d\x00", 5},
    };
    struct inflate_tables *t = inflate_tables_new();
    unsigned char *out = malloc(SOURCE_MAX);
    CHECK(t && out);
    for (size_t i = 0; i < COUNT_OF(odd); i++)
        for (size_t room = 0; room < 400; room += 133) {
            size_t used, made;
            unsigned char to[512];
            const unsigned char *in = (const unsigned char *)odd[i].bytes;
            enum inflate_result rc = inflate_whole(t, in, odd[i].len, to, room, &used, &made);
            z_stream z = {.next_in = (Bytef *)(uintptr_t)in,
                          .avail_in = (uInt)odd[i].len,
                          .next_out = out,
                          .avail_out = SOURCE_MAX};
            CHECK(inflateInit2(&z, -15) == Z_OK);
            bool good = inflate(&z, Z_FINISH) == Z_STREAM_END;
            CHECK(rc != INFLATE_DONE || good);
            inflateEnd(&z);
        }
    free(t);
    free(out);
}

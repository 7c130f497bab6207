/* gzip_made - gzip members for tests, made by zlib: another program than the readers under test. */
#ifndef SLUICE_TESTS_GZIP_MADE_H
#define SLUICE_TESTS_GZIP_MADE_H
#include "tests/test.h"

#include <zlib.h>

/* Appends bytes as one stream. window_bits 31: gzip, 15: zlib, -15: bare deflate. head: optional
 * fields of a gzip header, or NULL. */
static inline void deflate_add(struct buf *to, struct str bytes, int level, int window_bits,
                               gz_header *head)
{
    z_stream z = {0};
    CHECK(deflateInit2(&z, level, Z_DEFLATED, window_bits, 9, Z_DEFAULT_STRATEGY) == Z_OK);
    if (head)
        CHECK(deflateSetHeader(&z, head) == Z_OK);
    size_t bound = deflateBound(&z, (uLong)bytes.len) + 4096;
    char *at = buf_room(to, bound);
    CHECK(at);
    z.next_in = (Bytef *)(uintptr_t)bytes.ptr;
    z.avail_in = (uInt)bytes.len;
    z.next_out = (Bytef *)at;
    z.avail_out = (uInt)bound;
    CHECK(deflate(&z, Z_FINISH) == Z_STREAM_END);
    buf_grown(to, z.total_out);
    deflateEnd(&z);
}

static inline void gzip_add(struct buf *to, struct str bytes, int level)
{
    deflate_add(to, bytes, level, 31, NULL);
}
#endif

/* fuzz_warc - any bytes as a web archive: read to the end with every way of buffering, the same
 * records each time. */
#include "crawl/warc.h"
#include "core/hash.h"
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>

enum { BODY_MAX = 1 << 20, SMALL_BUFFER = 7, SMALL_INPUT = 64 << 10, RECORDS_MAX = 100000 };

struct reading {
    /* Over whole records. Of a corrupt member more or less is decoded before it shows, as the
     * buffers fall, so only sound archives must read the same. */
    uint64_t sum, whole;
    struct warc_stats stats;
    int end;
};

static uint64_t mix(uint64_t sum, struct str bytes) { return hash_str(bytes, sum); }

static struct reading read_all(struct arena *a, const char *path, size_t buffer, size_t body_max,
                               bool http)
{
    struct reading got = {0};
    struct warc_reader *r;
    struct warc_record rec;
    struct http_response response;
    got.end = buffer ? warc_open_buffer(&r, path, body_max, buffer) : warc_open(&r, path, body_max);
    if (got.end < 0)
        return got;
    if (buffer)
        warc_check_digests(r);
    while ((got.end = warc_next(r, &rec)) > 0) {
        if (rec.body.len > body_max)
            abort();
        if (!rec.damaged) {
            got.whole++;
            got.sum = mix(mix(mix(got.sum, rec.header), rec.body), rec.target_uri);
            got.sum = hash_mix(got.sum + rec.offset * 2 + rec.cut);
        }
        if (http) {
            http_parse(a, rec.body, BODY_MAX, &response);
            arena_reset(a, 0);
        }
        if (warc_stats(r)->records > RECORDS_MAX)
            abort(); /* it cannot hold that many: the reader stands still */
    }
    got.stats = *warc_stats(r);
    warc_close(r);
    return got;
}

static bool same(const struct reading *one, const struct reading *two)
{
    if (one->stats.damaged || two->stats.damaged)
        return one->stats.damaged && two->stats.damaged;
    return one->sum == two->sum && one->whole == two->whole && one->end == two->end;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct arena a; /* its pages are kept: mapping them anew took half the time */
    if (!a.base && arena_open(&a, 64 << 20) < 0)
        return 0;
    const char *path = fuzz_file(data, size);
    struct reading one = read_all(&a, path, 0, BODY_MAX, true);
    if (size < SMALL_INPUT) {
        struct reading two = read_all(&a, path, SMALL_BUFFER, BODY_MAX, false);
        if (!same(&one, &two))
            abort();
    }
    /* Without bodies: the same records, whatever way the reader takes over them. */
    struct reading bare = read_all(&a, path, 0, 0, false);
    if (one.stats.damaged == 0 && (bare.whole != one.whole || bare.stats.damaged))
        abort();
    arena_reset(&a, 0);
    return 0;
}

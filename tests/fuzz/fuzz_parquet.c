/* fuzz_parquet - any bytes as a Parquet file, every column read by row groups and by pages. */
#include "core/parquet.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct pq_reader *r;
    struct arena a;
    if (arena_open(&a, 256 << 20) < 0)
        return 0;
    if (pq_open(&r, fuzz_file(data, size)) >= 0) {
        for (int group = 0; group < pq_groups(r); group++)
            for (int column = 0; column < pq_column_count(r); column++) {
                struct pq_data d;
                pq_read(r, group, column, &a, &d);
                arena_reset(&a, 0);
            }
        for (int column = 0; column < pq_column_count(r); column++) {
            struct pq_stream *s;
            struct pq_value v;
            if (pq_stream_open(&s, r, column) < 0)
                continue;
            while (pq_stream_next(s, &v) > 0)
                ;
            pq_stream_close(s);
        }
        pq_close(r);
    }
    arena_close(&a);
    return 0;
}

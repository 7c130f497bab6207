/* parquet_reader - what parquet_footer.c, which opens a file, leaves for parquet_read.c. */
#ifndef SLUICE_CORE_PARQUET_READER_H
#define SLUICE_CORE_PARQUET_READER_H
#include "core/parquet.h"
#include "core/parquet_format.h"

#include <zstd.h>

struct pq_leaf {
    struct pq_column spec;
    int leaf; /* its place among the columns of a row group, nested ones counted */
    enum pq_physical physical;
    bool is_signed;
};

/* Of a column in a row group, as the footer says; the place was checked against the file's size. */
struct pq_chunk {
    int64_t start, bytes, values, data_at, dictionary_at;
    int64_t physical, codec;
    bool elsewhere; /* in another file */
};

struct pq_reader {
    int fd;
    char *path;
    uint64_t body_end; /* where the footer starts */
    char *footer;
    size_t footer_bytes;
    struct pq_leaf column[PQ_COLUMNS_MAX];
    int column_count, leaf_count, group_count;
    uint64_t rows;
    int64_t *group_rows;
    struct pq_chunk *chunk; /* [group * leaf_count + leaf] */
    size_t chunk_count, chunk_room;
    struct buf stored, page; /* a column chunk as stored; one unpacked page */
    ZSTD_DCtx *zstd;
};

/* Exactly bytes from offset at; ERR_FORMAT when the file ends before. */
int pq_read_at(const struct pq_reader *r, void *to, size_t bytes, uint64_t at);
#endif

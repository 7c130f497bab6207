/* parquet - columnar files that pyarrow, DuckDB and the Hugging Face viewer open: flat schemas. */
#ifndef SLUICE_CORE_PARQUET_H
#define SLUICE_CORE_PARQUET_H
#include "core/arena.h"
#include "core/io.h"

enum pq_type { PQ_STRING, PQ_U64, PQ_U32, PQ_F32, PQ_BOOL };
enum { PQ_COLUMNS_MAX = 160, PQ_GROUP_ROWS = 65536 };
struct pq_column {
    char name[64];
    enum pq_type type;
    bool optional;   /* may be null */
    bool dictionary; /* few distinct strings */
};
/* Writes one file atomically: row groups of PQ_GROUP_ROWS rows (fewer when values pass 64 MiB,
 * so memory is bounded), zstd pages with CRC-32, PLAIN or dictionary encoding, min/max statistics.
 * The same rows give the same bytes. */
struct pq_writer;
int pq_create(struct pq_writer **out, const char *path, const struct pq_column *columns, int count);
/* One row: a value for every column in order, then pq_end_row. NaN in an optional F32 column is
 * null; so is a string with ptr NULL in an optional column. What is not UTF-8 becomes U+FFFD; a
 * string over 64 MiB is ERR_LIMIT from pq_end_row. */
void pq_put_str(struct pq_writer *w, struct str v);
void pq_put_u64(struct pq_writer *w, uint64_t v); /* U64 and U32 columns */
void pq_put_f32(struct pq_writer *w, float v);
void pq_put_bool(struct pq_writer *w, bool v);
void pq_put_null(struct pq_writer *w);
int pq_end_row(struct pq_writer *w);
/* Key and value of the file's metadata (before commit). */
int pq_meta(struct pq_writer *w, const char *key, struct str value);
int pq_commit(struct pq_writer *w, struct io_info *info);
void pq_abandon(struct pq_writer *w);

/* Reads files of this writer and of other programs: data pages v1 and v2; zstd, snappy, gzip
 * or none; PLAIN, dictionaries, the delta encodings. What it does not know is ERR_FORMAT naming
 * column and encoding. Columns inside lists, maps or structs and of other types are passed over:
 * pq_find does not know them. Signed integers come as U64 in two's complement, doubles as F32;
 * strings are the bytes as stored. Every size is checked before it is used. One thread at a time.
 */
struct pq_reader;
bool pq_is(const char *path); /* a regular file that begins as Parquet does */
int pq_open(struct pq_reader **out, const char *path);
int pq_column_count(const struct pq_reader *r);
const struct pq_column *pq_column(const struct pq_reader *r, int index);
int pq_find(const struct pq_reader *r, const char *name); /* -1 when absent */
/* The columns' names with commas, for messages: "nested ones" when there is none. */
void pq_names(const struct pq_reader *r, struct buf *to);
uint64_t pq_rows(const struct pq_reader *r);
int pq_groups(const struct pq_reader *r);
struct str pq_get_meta(const struct pq_reader *r, const char *key); /* ptr NULL when absent */
/* One column of one row group, decoded into the arena: array of rows values. valid[i] 0 = null;
 * bools come as u64. On failure the arena is as it was. */
struct pq_data {
    uint32_t rows;
    const uint8_t *valid;
    const struct str *str;
    const uint64_t *u64;
    const float *f32;
};
int pq_read(struct pq_reader *r, int group, int column, struct arena *a, struct pq_data *out);

/* One column from the first row to the last, a page at a time: row groups of any size in the memory
 * of a page and a dictionary. Any number of streams over one reader, on its thread. */
struct pq_stream;
int pq_stream_open(struct pq_stream **out, struct pq_reader *r, int column);
/* Of columns of strings and integers (bools as u64); floats have no value here. */
struct pq_value {
    bool valid; /* not null */
    struct str str;
    uint64_t u64;
    uint64_t at; /* place in the file of the page it stands in */
};
/* 1: a value, whose bytes live until the next call; 0: there are no more rows. After an error only
 * closing helps. */
int pq_stream_next(struct pq_stream *s, struct pq_value *v);
uint64_t pq_stream_at(const struct pq_stream *s); /* place in the file up to which was read */
void pq_stream_close(struct pq_stream *s);        /* before its reader; NULL is fine */
void pq_close(struct pq_reader *r);
#endif

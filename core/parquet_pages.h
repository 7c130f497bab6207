/* parquet_pages - inside core: the pages of a column chunk, one at a time, for parquet_read.c. */
#ifndef SLUICE_CORE_PARQUET_PAGES_H
#define SLUICE_CORE_PARQUET_PAGES_H
#include "core/parquet_reader.h"
#include "core/thrift.h"

struct pq_page {
    int64_t kind, plain, stored, values, encoding, level_encoding, level_bytes, repeat_bytes;
    bool has_crc, unpacked;
    uint32_t crc;
};

/* Values of a column as they are made: the dictionary and the output have this one shape. */
struct pq_values {
    struct str *str;
    uint64_t *u64;
    float *f32;
    uint32_t count;
};

/* What pages of one chunk are decoded with. Strings point into their page or the dictionary's, both
 * of which lie in the arena of their time. */
struct pq_decoder {
    struct pq_reader *r;
    const struct pq_leaf *column;
    int64_t codec;
    struct arena *arena;
    uint32_t rows, done; /* room in out; taken so far */
    bool has_dictionary;
    uint8_t *valid; /* [rows] */
    struct pq_values out, dictionary;
};

/* Reads a header off in, behind which its page stands within left bytes (the header's included);
 * in->end may come before the page's. in->bad tells a header that in cuts short from others. */
int pq_page_header(struct thrift_in *in, int64_t left, struct pq_page *p);
/* Room for count values of the column's type, in the arena. */
int pq_values_open(struct pq_decoder *d, struct pq_values *v, uint32_t count);
/* Decodes a page of p->stored bytes: the dictionary, or p->values rows behind the done ones. Pages
 * of other kinds are passed over. */
int pq_page_take(struct pq_decoder *d, const struct pq_page *p, const uint8_t *from);
/* Values of one of the three delta encodings (core/parquet_delta.c): count rows behind the done
 * ones, whose valid[] is known. */
int pq_delta_take(struct pq_decoder *d, int64_t encoding, uint32_t count, struct str body);
#endif

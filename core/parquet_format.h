/* parquet_format - the numbers of parquet.thrift that the writer and the reader share. */
#ifndef SLUICE_CORE_PARQUET_FORMAT_H
#define SLUICE_CORE_PARQUET_FORMAT_H

#define PQ_MAGIC "PAR1"
enum pq_physical {
    PHYSICAL_BOOLEAN,
    PHYSICAL_INT32,
    PHYSICAL_INT64,
    PHYSICAL_INT96,
    PHYSICAL_FLOAT,
    PHYSICAL_DOUBLE,
    PHYSICAL_BYTE_ARRAY,
    PHYSICAL_FIXED,
};
enum { REPEAT_REQUIRED, REPEAT_OPTIONAL, REPEAT_REPEATED };
enum { CONVERTED_UTF8 = 0, CONVERTED_UINT_32 = 13, CONVERTED_UINT_64 = 14 };
enum {
    ENCODING_PLAIN = 0,
    ENCODING_PLAIN_DICTIONARY = 2,
    ENCODING_RLE = 3,
    ENCODING_DELTA_BINARY_PACKED = 5,
    ENCODING_DELTA_LENGTH_BYTE_ARRAY = 6,
    ENCODING_DELTA_BYTE_ARRAY = 7,
    ENCODING_RLE_DICTIONARY = 8
};
enum { CODEC_NONE = 0, CODEC_SNAPPY = 1, CODEC_GZIP = 2, CODEC_ZSTD = 6 };
enum { PAGE_DATA = 0, PAGE_INDEX = 1, PAGE_DICTIONARY = 2, PAGE_DATA_V2 = 3 };
enum {
    PQ_STRING_MAX = 64 << 20,    /* bytes of one string */
    PQ_PAGE_BYTES = 1 << 20,     /* a page is closed once its values reach this */
    PQ_PAGE_MAX = 256 << 20,     /* bytes of an uncompressed page that the reader takes */
    PQ_GROUP_BYTES = 64 << 20,   /* a row group is closed early once its values pass this */
    PQ_GROUP_ROWS_MAX = 1 << 24, /* rows of a row group that the reader takes */
    PQ_FOOTER_MAX = 64 << 20,    /* bytes */
};
#endif

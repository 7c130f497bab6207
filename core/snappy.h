/* snappy - decodes the raw Snappy format, which other programs' Parquet files are packed with. */
#ifndef SLUICE_CORE_SNAPPY_H
#define SLUICE_CORE_SNAPPY_H
#include "core/base.h"

/* Unpacks all of from into exactly to_len bytes; false when the input is damaged or makes any other
 * number. Reads and writes nothing outside both. */
bool snappy_decode(struct str from, unsigned char *to, size_t to_len);
#endif

/* json_rows - texts a line: JSON lines as they stand, or rows of a Parquet file written as such. */
#ifndef SLUICE_COMMAND_JSON_ROWS_H
#define SLUICE_COMMAND_JSON_ROWS_H
#include "core/str.h"

enum { JSON_ROWS_NAMES_MAX = 16 };
struct json_rows;
/* path: "-" is standard input (JSON lines only); gzip, zstd and Parquet are told by content. names:
 * count lists with commas, of members that will be looked for; of a Parquet file the columns with
 * these names are read, strings and (but for the first list, which is the text's) integers, and no
 * others. ERR_FORMAT when it has no column of texts. */
int json_rows_open(struct json_rows **out, const char *path, const char *const *names, int count);
/* 1: a line without its end, which lives until the next call; 0: no more. */
int json_rows_next(struct json_rows *r, struct str *line);
void json_rows_close(struct json_rows *r); /* NULL is fine */
/* For who reads a file as one text: ERR_FORMAT when it is Parquet. */
int json_rows_refuse(const char *path);
#endif

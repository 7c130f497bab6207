/* doc_table - a Parquet file whose rows are documents: their texts and what names them. */
#ifndef SLUICE_CRAWL_DOC_TABLE_H
#define SLUICE_CRAWL_DOC_TABLE_H
#include "core/str.h"

/* Columns by name, as data sets have them (FineWeb, Wikipedia, C4, DCLM as Parquet): the text is
 * `html`, else `text`, else `content`, a column of strings; `url`; `id`, strings or integers;
 * `date` or `timestamp`, strings. All but the text may be missing, and any value may be null: then
 * it is empty. Other columns are not read. */
struct doc_table_row {
    struct str body, url, id, date; /* live until the next call */
    bool html;                      /* body came from `html` */
    uint64_t at;                    /* place in the file of the page that the body stands in */
};
struct doc_table;
/* ERR_FORMAT when there is no text column, naming those there are. Memory: a page and a dictionary
 * of each column read, whatever the row groups' size. */
int doc_table_open(struct doc_table **out, const char *path);
int doc_table_next(struct doc_table *t, struct doc_table_row *row); /* 1 a row, 0 the end */
uint64_t doc_table_bytes(const struct doc_table *t);                /* of the file, read so far */
void doc_table_close(struct doc_table *t);                          /* NULL is fine */
#endif

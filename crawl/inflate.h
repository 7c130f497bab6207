/* inflate - undoes DEFLATE (RFC 1951) of data that lie in memory as a whole, in one go. */
#ifndef SLUICE_CRAWL_INFLATE_H
#define SLUICE_CRAWL_INFLATE_H
#include "core/base.h"

/* Inside crawl/ only. ISA-L reads archives and says what is damaged in them; this decoder goes
 * ahead of it where a gzip member is in memory from end to end, as nearly all of Common Crawl's
 * are: it builds smaller tables and copies nothing twice. What it does not finish, ISA-L does
 * again. */
enum inflate_result {
    INFLATE_DONE,
    INFLATE_SHORT,   /* the input ends first */
    INFLATE_FULL,    /* the output would be longer than room */
    INFLATE_BAD,     /* it is no DEFLATE data, or of a kind left to ISA-L (incomplete codes) */
};
struct inflate_tables;                        /* scratch, some 12 KB */
struct inflate_tables *inflate_tables_new(void); /* NULL: no memory; free() it */
/* Decodes [in, in + len) to `to`, of which room bytes may be written, also behind *made. *used:
 * bytes of input taken, up to the end of the last block. */
enum inflate_result inflate_whole(struct inflate_tables *t, const unsigned char *in, size_t len,
                                  unsigned char *to, size_t room, size_t *used, size_t *made);
#endif

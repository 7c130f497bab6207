/* warc_header - a record's header block: where it ends, its folded lines, its fields. */
#ifndef SLUICE_CRAWL_WARC_HEADER_H
#define SLUICE_CRAWL_WARC_HEADER_H
#include "crawl/arc.h"
#include "crawl/warc.h"

/* Inside crawl/ only: the reader's own. Nothing is copied: fields are parts of the block. */
/* Length of the block at `at` up to and with its blank line, looking from `from` on; 0: the blank
 * line is not among the len bytes. */
size_t header_end(const char *at, size_t len, size_t from);
/* Joins folded lines in place: the line ends in front of blanks become blanks. */
void header_unfold(char *at, size_t len);
/* Sets rec's fields. The first value of a name wins; names in any case; blanks around both are
 * dropped. True when Content-Length is a number: *length. */
bool header_read(struct str block, struct warc_record *rec, uint64_t *length);
/* The same of an ARC line, whose date as WARC has it goes into date (rec points there). */
bool header_read_arc(struct str line, char date[ARC_DATE_BYTES], struct warc_record *rec,
                     uint64_t *length);
/* An ARC line does not say whether HTTP follows: the first bytes of the body, head, do. */
void header_finish_arc(struct warc_record *rec, struct str head);
#endif

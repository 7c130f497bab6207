/* arc - the one-line headers of ARC 1, the archive format before WARC. */
#ifndef SLUICE_CRAWL_ARC_H
#define SLUICE_CRAWL_ARC_H
#include "core/base.h"

/* Inside crawl/ only. A record of version 1 starts "URL IP-address date content-type length", one
 * of version 2 "URL IP-address date content-type result-code checksum location offset filename
 * length" (Internet Archive, "Arc File Format", 1996). URLs with blanks in them are found in the
 * wild, so the line is read from its end. */
enum { ARC_LINE_MAX = 8 << 10, ARC_DATE_BYTES = 24 };
struct arc_line {
    struct str url, ip, date, type;
    uint64_t length;
    bool known; /* length is a number; some writers leave -1 or a word */
    bool about; /* filedesc: the file's own record */
};
/* Reads the line at the front of text (its line end may be \r\n); the bytes it takes, or 0 when no
 * whole record line stands there. */
size_t arc_line(struct str text, struct arc_line *out);
/* "20080430204825" as "2008-04-30T20:48:25Z"; digits that are missing become those of a start. */
void arc_date(struct str date, char out[ARC_DATE_BYTES]);
#endif

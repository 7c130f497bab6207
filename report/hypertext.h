/* hypertext - the page's frame and its figures as people write them. */
#ifndef SLUICE_REPORT_HYPERTEXT_H
#define SLUICE_REPORT_HYPERTEXT_H
#include "core/str.h"

void html_head(struct buf *to, struct str title);
void html_foot(struct buf *to);
void html_text(struct buf *to, const char *text); /* html_escape of a C string */
void html_clip(struct buf *to, struct str s,
               size_t max);                      /* at most max code points, then an ellipsis */
void html_count(struct buf *to, uint64_t value); /* 12,345 */
void html_big(struct buf *to, double value);     /* 12,345 or 12.3 M */
void html_bytes(struct buf *to, double value);   /* 12.3 GB */
void html_num(struct buf *to, double value);     /* up to 4 digits that count; - for NaN */
void html_rough(struct buf *to, double value);   /* two digits that count, or whole */
void html_share(struct buf *to, uint64_t part, uint64_t whole); /* 12.3 % */
void html_count_cell(struct buf *to, uint64_t value);           /* in <td class=n> */
void html_num_cell(struct buf *to, double value);
#endif

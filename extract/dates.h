/* dates - reads the dates that pages carry, in the forms of machines and of people. */
#ifndef SLUICE_EXTRACT_DATES_H
#define SLUICE_EXTRACT_DATES_H
#include "core/str.h"

enum {
    DATE_TEXT_MAX = 26,       /* "2024-05-18T10:20:30+02:00" and a NUL */
    DATE_YEAR_MIN = 1970, DATE_YEAR_MAX = 2099,
};
/* month and day are 0 where only the year, or year and month, are known. zone is minutes east of
 * UTC. */
struct date { int year, month, day, hour, minute, second, zone; bool timed, zoned; };
/* Which of 04/05/2024's numbers is the month where the numbers do not tell. */
enum date_order { DATE_ORDER_UNKNOWN, DATE_DAY_FIRST, DATE_MONTH_FIRST };

/* The whole of s as a program writes it: ISO 8601 (extended or basic, cut at any part, blank for
 * T), RFC 822/1123 and asctime's forms. False when it is none or no such day exists. */
bool date_read(struct str s, struct date *out);
/* The first full date (day, month, year) in running text: ISO, d.m.Y, Y/m/d, d/m/Y by order,
 * Y年m月d日, and names of months in 24 languages before or behind the day. *at (may be NULL) is
 * where it starts. Linear. */
bool date_find(struct str text, enum date_order order, struct date *out, size_t *at);
/* /2024/05/18/ or /2024-05-18- in the path of an address. */
bool date_in_url(struct str url, struct date *out);
/* ISO 8601 as precise as the date is; returns to. */
const char *date_print(const struct date *d, char to[DATE_TEXT_MAX]);
#endif

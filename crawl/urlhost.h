/* urlhost - host names brought to one form: A-labels, IP addresses, and who owns which name. */
#ifndef SLUICE_CRAWL_URLHOST_H
#define SLUICE_CRAWL_URLHOST_H
#include "core/str.h"

enum { HOST_BYTES_MAX = 253, HOST_LABEL_MAX = 63 };

/* Appends the one form of a host as it stands in a URL (IPv6 in brackets): lower case, %XX undone,
 * letters beyond ASCII as IDNA A-labels (simple lower-case mapping, then RFC 3492: what is stored
 * decomposed or as a compatibility form is refused or comes out as another name than IDNA's full
 * mapping gives), legacy numbers ("0x7f.1") as dotted IPv4, IPv6 in its shortest form, no final
 * dot. false: no host can be called that. */
bool url_host_add(struct str host, struct buf *to);
/* The part of a host that one owner has: "a.b.example.co.uk" gives "example.co.uk", "a.b.github.io"
 * "b.github.io", an IP address or a single label itself. By 15 second-level names under two-letter
 * domains (co.uk, com.au, ...) and 42 hosters of sites, not by the Public Suffix List, which has
 * ten thousand and changes weekly: under a suffix that is missing here (city.kawasaki.jp, an odd
 * hoster) two owners count as one, so --scope=domain goes further than was meant; --scope=host and
 * --include bound it. Borrowed. */
struct str url_domain(struct str host);
#endif

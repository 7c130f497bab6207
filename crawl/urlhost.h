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
/* The part of a host that one owner registers, by a short list of suffixes under which people
 * register ("co.uk", "com.au", ...: not the whole Public Suffix List). "a.b.example.co.uk" gives
 * "example.co.uk", an IP address or a single label itself. Borrowed. */
struct str url_domain(struct str host);
#endif

/* urljoin - a link as it stands in a page made absolute, and URLs brought to one form each. */
#ifndef SLUICE_CRAWL_URLJOIN_H
#define SLUICE_CRAWL_URLJOIN_H
#include "core/str.h"

enum { URL_BYTES_MAX = 2048 }; /* a longer URL is refused: servers' own limits are about there */

/* Resolves ref against an absolute base by RFC 3986 5.2 (not strict: "http:g" is relative, as
 * browsers have it), after what browsers do to text first: blanks and control characters around it
 * and tabs and line ends inside are gone, \ is / in http and https URLs. The result, with its
 * fragment, replaces *to. false: base is no absolute URL, or the result is over 4 times
 * URL_BYTES_MAX. */
bool url_join(struct str base, struct str ref, struct buf *to);

enum url_strip {
    URL_STRIP_SESSION = 1,  /* ;jsessionid=, PHPSESSID=, sid= with 32 digits and the like */
    URL_STRIP_TRACKING = 2, /* utm_*, gclid, fbclid and the like */
};
/* The one form of an absolute http or https URL, into *to: scheme and host in lower case, host in
 * IDNA's A-form (letters mapped to lower case, then RFC 3492), numbers that are IPv4 addresses as
 * such, no user, default port, dot segments, empty query nor fragment; unreserved characters bare,
 * what may not stand in a URL as upper-case %XX. false: another scheme, no host or one that cannot
 * be, a port beyond 65535, or over URL_BYTES_MAX. The same form comes out of itself again. */
bool url_normalise(struct str url, unsigned strip, struct buf *to);
/* Both steps. *to is clobbered on failure as well. */
bool url_resolve(struct str base, struct str ref, unsigned strip, struct buf *to);

/* Of a normalised URL: "http://host:port" (no port when it is the default), the host, and path with
 * query. Borrowed. */
struct str url_origin(struct str url);
struct str url_host(struct str url);
struct str url_target(struct str url);
#endif

/* s3 - the scheme s3://bucket/key: where it is asked for, how it is signed, what refusals mean. */
#ifndef SLUICE_CRAWL_S3_H
#define SLUICE_CRAWL_S3_H
#include "crawl/fetch.h"

/* Everything behind s3://bucket/ is the key as it is: blanks, + % ? # and dots included; nothing is
 * decoded or normalised. Settings are the s3_ fields of struct fetch_conf, then the environment
 * (AWS_REGION, AWS_DEFAULT_REGION, AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL), then the profile's
 * region and endpoint_url in ~/.aws/config.
 *
 * Requests go to https://BUCKET.s3.REGION.amazonaws.com/KEY, or to
 * https://s3.REGION.amazonaws.com/BUCKET/KEY when the bucket's name is no host label (dots, capital
 * letters), or below the endpoint given (path style unless s3_style says otherwise).
 *
 * What one request learns is kept for the process, under a lock: the bucket's true region (once a
 * bucket), the difference between our clock and the server's, and, when keys turn out expired, the
 * keys as they are now in the file they came from. */
struct transfer_scheme;
extern const struct transfer_scheme scheme_s3, scheme_s3_list;

bool s3_is_url(const char *url);

enum { S3_LIST_MAX = 10000000 };
struct s3_object {
    const char *url; /* s3://bucket/key, in the arena */
    uint64_t bytes;
};
/* Every object whose key starts as the URL's does ("s3://bucket/dir/"), sorted by URL; those that
 * stand for folders (empty, ending in a slash) are left out. Page by page, at most S3_LIST_MAX.
 * None at all is no error. */
int s3_list(const struct fetch_conf *conf, const char *url, struct arena *a,
            struct s3_object **objects, size_t *count);
/* Wipes the keys and forgets what was learned; the next request starts afresh. */
void s3_forget(void);
#endif

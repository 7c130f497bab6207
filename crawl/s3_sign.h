/* s3_sign - AWS Signature Version 4 as S3 reads it: every byte encoded once, no path normalised. */
#ifndef SLUICE_CRAWL_S3_SIGN_H
#define SLUICE_CRAWL_S3_SIGN_H
#include "core/str.h"

/* Inside crawl/ only; no state, any thread. Source: "Signature Calculations for the Authorization
 * Header" of the S3 API reference. libcurl's own signer (7.88) signs keys with + or =, unsorted
 * queries and empty values wrongly and leaves x-amz-content-sha256 out, so it is not used. */
#define SIGN_EMPTY "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

enum { SIGN_PAIRS_MAX = 32 };
/* Of a query: raw bytes, not encoded. Of a header: as sent; the name in any case. */
struct sign_pair {
    struct str name, value;
};
struct sign_request {
    const char *method;
    struct str path;               /* raw: '/' and the key as it is, dots and slashes included */
    const struct sign_pair *query; /* in any order; at most SIGN_PAIRS_MAX */
    size_t query_count;
    const struct sign_pair *header; /* all that are signed, host and x-amz-date among them; several
                                     * of one name are joined in the order given */
    size_t header_count;
    const char *payload; /* SHA-256 of the body in hex, or UNSIGNED-PAYLOAD */
};
struct sign_scope {
    const char *time; /* 20150830T123600Z, as in x-amz-date */
    const char *region, *service;
};

/* Percent-encodes every byte but A-Z a-z 0-9 - . _ ~ (and '/' when asked to keep it). */
void sign_encode(struct buf *to, struct str raw, bool keep_slash);
/* The query as it must stand in the URL: encoded, sorted, every name with its '='. */
int sign_query(struct buf *to, const struct sign_pair *query, size_t count);
/* The canonical request, and the ;-joined names of its headers. */
int sign_canonical(struct buf *to, struct buf *names, const struct sign_request *r);
void sign_string(struct buf *to, const struct sign_scope *scope, struct str canonical);
/* Signature of string (from sign_string) in hex. Nothing of the secret stays in memory. */
int sign_signature(char out[65], const struct sign_scope *scope, struct str secret,
                   struct str string);
/* All of it: the value of the Authorization header is added to `to`. */
int sign_authorize(struct buf *to, const struct sign_request *r, const struct sign_scope *scope,
                   struct str key_id, struct str secret);
#endif

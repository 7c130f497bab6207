/* digest - MD5, SHA-1 and SHA-256 of bytes that come in pieces, and the texts archives write them
 * as. */
#ifndef SLUICE_CRAWL_DIGEST_H
#define SLUICE_CRAWL_DIGEST_H
#include "core/base.h"

enum digest_kind { DIGEST_UNKNOWN, DIGEST_MD5, DIGEST_SHA1, DIGEST_SHA256 };
enum { DIGEST_BYTES_MAX = 32 };

/* Plain memory; begin before use, end once: begin again afterwards. */
struct digest {
    enum digest_kind kind;
    uint32_t state[8];
    uint64_t bytes;
    unsigned char tail[64];
};
void digest_begin(struct digest *d, enum digest_kind kind);
void digest_add(struct digest *d, const void *bytes, size_t len);
/* Writes digest_bytes(kind) bytes. */
void digest_end(struct digest *d, unsigned char out[DIGEST_BYTES_MAX]);
size_t digest_bytes(enum digest_kind kind);

/* "sha1:" and 32 letters of base32 (RFC 4648, upper case): how archives write SHA-1. */
void digest_text(const unsigned char sha1[20], char out[40]);
/* Reads "sha1:...", "SHA-256:...", "md5:..." in base32 or hexadecimal of either case: the kind and
 * its bytes; DIGEST_UNKNOWN for another algorithm or a value that is none. */
enum digest_kind digest_parse(struct str text, unsigned char out[DIGEST_BYTES_MAX]);
#endif

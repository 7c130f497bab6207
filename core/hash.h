/* hash - XXH3 for integrity and ids, SHA-256 for pinned downloads and signed requests. */
#ifndef SLUICE_CORE_HASH_H
#define SLUICE_CORE_HASH_H
#include "core/base.h"

struct hash128 { uint64_t low, high; };
uint64_t hash64(const void *bytes, size_t len, uint64_t seed);        /* XXH3-64 */
struct hash128 hash128(const void *bytes, size_t len);                /* XXH3-128, seed 0 */
static inline uint64_t hash_str(struct str s, uint64_t seed) { return hash64(s.ptr, s.len, seed); }
/* A bijective mix of 64 bits (splitmix64's finaliser): cheap keyed draws from (seed, id). */
static inline uint64_t hash_mix(uint64_t x)
{
    x += 0x9E3779B97F4A7C15u;
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
    x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
    return x ^ (x >> 31);
}
/* Uniform in [0, 1) with 53 bits, from (seed, id): the only way random decisions are drawn. */
static inline double hash_unit(uint64_t seed, uint64_t id)
{
    return (double)(hash_mix(seed ^ hash_mix(id)) >> 11) * 0x1p-53;
}
/* Streaming XXH3-128. Zero allocation on the caller's side; hash_end frees. */
struct hash_stream;
int hash_begin(struct hash_stream **out);
void hash_add(struct hash_stream *h, const void *bytes, size_t len);
struct hash128 hash_end(struct hash_stream *h);
void hash_hex(struct hash128 h, char out[33]);     /* 32 hex digits (high first) and a NUL */
bool hash_from_hex(struct str text, struct hash128 *out);
/* For bytes that come in pieces (crawl/digest.c): the state to begin with, and one block's work. */
extern const uint32_t sha256_start[8];
void sha256_block(uint32_t state[8], const unsigned char block[64]);
void sha256_hex(const void *bytes, size_t len, char out[65]);
/* RFC 2104 over SHA-256. What it held of key and message is wiped. ERR_LIMIT without memory. */
int hmac_sha256(struct str key, struct str message, unsigned char out[32]);
#endif

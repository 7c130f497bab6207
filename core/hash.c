/* hash - XXH3 by the system's xxhash, SHA-256 after FIPS 180-4, HMAC after RFC 2104. */
#include "core/hash.h"

#include "core/err.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* XXH3 never reads a NULL pointer of length 0, but the language frowns on passing one around. */
static const void *readable(const void *bytes) { return bytes ? bytes : ""; }

uint64_t hash64(const void *bytes, size_t len, uint64_t seed)
{
    return XXH3_64bits_withSeed(readable(bytes), len, seed);
}

struct hash128 hash128(const void *bytes, size_t len)
{
    XXH128_hash_t h = XXH3_128bits(readable(bytes), len);
    return (struct hash128){h.low64, h.high64};
}

struct hash_stream { XXH3_state_t state; };

int hash_begin(struct hash_stream **out)
{
    /* The state must be aligned to 64 bytes; XXH3_createState sees to that. */
    XXH3_state_t *state = XXH3_createState();
    if (!state)
        return err_set(ERR_LIMIT, "hash: no memory for a hash state of %zu bytes", sizeof *state);
    XXH3_128bits_reset(state);
    *out = (struct hash_stream *)(void *)state;
    return 0;
}

void hash_add(struct hash_stream *h, const void *bytes, size_t len)
{
    if (len)
        XXH3_128bits_update(&h->state, bytes, len);
}

struct hash128 hash_end(struct hash_stream *h)
{
    XXH128_hash_t value = XXH3_128bits_digest(&h->state);
    XXH3_freeState(&h->state);
    return (struct hash128){value.low64, value.high64};
}

void hash_hex(struct hash128 h, char out[33])
{
    snprintf(out, 33, "%016llx%016llx", (unsigned long long)h.high, (unsigned long long)h.low);
}

bool hash_from_hex(struct str text, struct hash128 *out)
{
    uint64_t half[2] = {0, 0};
    if (text.len != 32)
        return false;
    for (size_t i = 0; i < 32; i++) {
        char c = text.ptr[i];
        int digit = c >= '0' && c <= '9' ? c - '0'
                  : c >= 'a' && c <= 'f' ? c - 'a' + 10
                  : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
        if (digit < 0)
            return false;
        half[i / 16] = half[i / 16] << 4 | (uint64_t)digit;
    }
    *out = (struct hash128){.low = half[1], .high = half[0]};
    return true;
}

/* ---- SHA-256 (FIPS 180-4, section 6.2) ---- */

/* The first 32 bits of the fractional parts of the cube roots of the first 64 primes (4.2.2). */
static const uint32_t sha_k[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

const uint32_t sha256_start[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                  0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};

static uint32_t turn(uint32_t x, int bits) { return x >> bits | x << (32 - bits); }

void sha256_block(uint32_t state[8], const unsigned char block[64])
{
    uint32_t word[64], v[8];
    for (int i = 0; i < 16; i++)
        word[i] = (uint32_t)block[i * 4] << 24 | (uint32_t)block[i * 4 + 1] << 16 |
                  (uint32_t)block[i * 4 + 2] << 8 | block[i * 4 + 3];
    for (int i = 16; i < 64; i++) {
        uint32_t low = turn(word[i - 15], 7) ^ turn(word[i - 15], 18) ^ word[i - 15] >> 3;
        uint32_t high = turn(word[i - 2], 17) ^ turn(word[i - 2], 19) ^ word[i - 2] >> 10;
        word[i] = word[i - 16] + low + word[i - 7] + high;
    }
    memcpy(v, state, sizeof v);
    for (int i = 0; i < 64; i++) {
        uint32_t choice = (v[4] & v[5]) ^ (~v[4] & v[6]);
        uint32_t majority = (v[0] & v[1]) ^ (v[0] & v[2]) ^ (v[1] & v[2]);
        uint32_t first = v[7] + (turn(v[4], 6) ^ turn(v[4], 11) ^ turn(v[4], 25));
        first += choice + sha_k[i] + word[i];
        uint32_t second = (turn(v[0], 2) ^ turn(v[0], 13) ^ turn(v[0], 22)) + majority;
        memmove(v + 1, v, 7 * sizeof v[0]);
        v[4] += first;
        v[0] = first + second;
    }
    for (int i = 0; i < 8; i++)
        state[i] += v[i];
    explicit_bzero(word, sizeof word); /* they may hold a key */
}

static void sha256(const void *bytes, size_t len, unsigned char out[32])
{
    const unsigned char *at = bytes;
    size_t left = len;
    uint32_t state[8];
    memcpy(state, sha256_start, sizeof state);
    for (; left >= 64; left -= 64, at += 64)
        sha256_block(state, at);
    unsigned char tail[128] = {0};
    if (left)
        memcpy(tail, at, left);
    tail[left] = 0x80;
    size_t tail_len = left < 56 ? 64 : 128;
    uint64_t bits = (uint64_t)len * 8;
    for (int i = 0; i < 8; i++)
        tail[tail_len - 1 - (size_t)i] = (unsigned char)(bits >> (8 * i));
    for (size_t i = 0; i < tail_len; i += 64)
        sha256_block(state, tail + i);
    for (int i = 0; i < 32; i++)
        out[i] = (unsigned char)(state[i / 4] >> (24 - 8 * (i % 4)));
    explicit_bzero(tail, sizeof tail);
}

void sha256_hex(const void *bytes, size_t len, char out[65])
{
    unsigned char digest[32];
    sha256(bytes, len, digest);
    for (int i = 0; i < 32; i++)
        snprintf(out + i * 2, 3, "%02x", digest[i]);
}

int hmac_sha256(struct str key, struct str message, unsigned char out[32])
{
    enum { BLOCK = 64, DIGEST = 32 };
    unsigned char outer[BLOCK + DIGEST], *inner = malloc(BLOCK + message.len);
    if (!inner)
        return err_set(ERR_LIMIT, "hash: no memory to sign %zu bytes", message.len);
    unsigned char block[BLOCK] = {0};
    if (key.len > BLOCK)
        sha256(key.ptr, key.len, block);
    else if (key.len)
        memcpy(block, key.ptr, key.len);
    for (int i = 0; i < BLOCK; i++) {
        inner[i] = block[i] ^ 0x36;
        outer[i] = block[i] ^ 0x5c;
    }
    if (message.len)
        memcpy(inner + BLOCK, message.ptr, message.len);
    sha256(inner, BLOCK + message.len, outer + BLOCK);
    sha256(outer, sizeof outer, out);
    explicit_bzero(inner, BLOCK + message.len);
    explicit_bzero(outer, sizeof outer);
    explicit_bzero(block, sizeof block);
    free(inner);
    return 0;
}

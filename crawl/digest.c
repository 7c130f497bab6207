/* digest - MD5 (RFC 1321), SHA-1 and, with core/hash's blocks, SHA-256 (FIPS 180-4), piece by
 * piece. */
#include "crawl/digest.h"

#include "core/hash.h"
#include "core/str.h"

#include <assert.h>

static uint32_t turn_left(uint32_t x, int bits) { return x << bits | x >> (32 - bits); }

static uint32_t load_big(const unsigned char *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static uint32_t load_little(const unsigned char *at)
{
    return (uint32_t)at[3] << 24 | (uint32_t)at[2] << 16 | (uint32_t)at[1] << 8 | at[0];
}

/* ---- MD5 ---- */
/* floor(2^32 * |sin(i + 1)|): RFC 1321, section 3.4. */
static const uint32_t md5_k[64] = {
    0xd76aa478, 0xe8c7b756, 0x242070db, 0xc1bdceee, 0xf57c0faf, 0x4787c62a, 0xa8304613, 0xfd469501,
    0x698098d8, 0x8b44f7af, 0xffff5bb1, 0x895cd7be, 0x6b901122, 0xfd987193, 0xa679438e, 0x49b40821,
    0xf61e2562, 0xc040b340, 0x265e5a51, 0xe9b6c7aa, 0xd62f105d, 0x02441453, 0xd8a1e681, 0xe7d3fbc8,
    0x21e1cde6, 0xc33707d6, 0xf4d50d87, 0x455a14ed, 0xa9e3e905, 0xfcefa3f8, 0x676f02d9, 0x8d2a4c8a,
    0xfffa3942, 0x8771f681, 0x6d9d6122, 0xfde5380c, 0xa4beea44, 0x4bdecfa9, 0xf6bb4b60, 0xbebfbc70,
    0x289b7ec6, 0xeaa127fa, 0xd4ef3085, 0x04881d05, 0xd9d4d039, 0xe6db99e5, 0x1fa27cf8, 0xc4ac5665,
    0xf4292244, 0x432aff97, 0xab9423a7, 0xfc93a039, 0x655b59c3, 0x8f0ccc92, 0xffeff47d, 0x85845dd1,
    0x6fa87e4f, 0xfe2ce6e0, 0xa3014314, 0x4e0811a1, 0xf7537e82, 0xbd3af235, 0x2ad7d2bb, 0xeb86d391,
};

static void md5_block(uint32_t state[8], const unsigned char *block)
{
    static const int turns[4][4] = {
        {7, 12, 17, 22}, {5, 9, 14, 20}, {4, 11, 16, 23}, {6, 10, 15, 21}};
    uint32_t a = state[0], b = state[1], c = state[2], d = state[3];
    for (int i = 0; i < 64; i++) {
        uint32_t mix;
        int word;
        switch (i / 16) {
        case 0:
            mix = (b & c) | (~b & d);
            word = i;
            break;
        case 1:
            mix = (d & b) | (~d & c);
            word = (5 * i + 1) % 16;
            break;
        case 2:
            mix = b ^ c ^ d;
            word = (3 * i + 5) % 16;
            break;
        default:
            mix = c ^ (b | ~d);
            word = 7 * i % 16;
            break;
        }
        mix += a + md5_k[i] + load_little(block + word * 4);
        a = d;
        d = c;
        c = b;
        b += turn_left(mix, turns[i / 16][i % 4]);
    }
    state[0] += a;
    state[1] += b;
    state[2] += c;
    state[3] += d;
}

/* ---- SHA-1 ---- */
/* One round; the roles of the five words go round by renaming, so that nothing is moved. */
#define SHA1_ROUND(f, k, v, w, x, y, z, i)                                                         \
    do {                                                                                           \
        if ((i) >= 16)                                                                             \
            word[(i)&15] = turn_left(word[((i) + 13) & 15] ^ word[((i) + 8) & 15] ^                \
                                         word[((i) + 2) & 15] ^ word[(i)&15],                      \
                                     1);                                                           \
        z += turn_left(v, 5) + (f(w, x, y)) + (k) + word[(i)&15];                                  \
        w = turn_left(w, 30);                                                                      \
    } while (0)
#define SHA1_FIVE(f, k, i)                                                                         \
    do {                                                                                           \
        SHA1_ROUND(f, k, a, b, c, d, e, i);                                                        \
        SHA1_ROUND(f, k, e, a, b, c, d, (i) + 1);                                                  \
        SHA1_ROUND(f, k, d, e, a, b, c, (i) + 2);                                                  \
        SHA1_ROUND(f, k, c, d, e, a, b, (i) + 3);                                                  \
        SHA1_ROUND(f, k, b, c, d, e, a, (i) + 4);                                                  \
    } while (0)
#define SHA1_CHOICE(x, y, z) (((y ^ z) & x) ^ z)
#define SHA1_PARITY(x, y, z) (x ^ y ^ z)
#define SHA1_MAJORITY(x, y, z) ((x & y) | (z & (x | y)))

static void sha1_block(uint32_t state[8], const unsigned char *block)
{
    uint32_t word[16], a = state[0], b = state[1], c = state[2], d = state[3], e = state[4];
    for (int i = 0; i < 16; i++)
        word[i] = load_big(block + i * 4);
    for (int i = 0; i < 20; i += 5)
        SHA1_FIVE(SHA1_CHOICE, 0x5a827999u, i);
    for (int i = 20; i < 40; i += 5)
        SHA1_FIVE(SHA1_PARITY, 0x6ed9eba1u, i);
    for (int i = 40; i < 60; i += 5)
        SHA1_FIVE(SHA1_MAJORITY, 0x8f1bbcdcu, i);
    for (int i = 60; i < 80; i += 5)
        SHA1_FIVE(SHA1_PARITY, 0xca62c1d6u, i);
    state[0] += a;
    state[1] += b;
    state[2] += c;
    state[3] += d;
    state[4] += e;
}

/* ---- pieces ---- */
size_t digest_bytes(enum digest_kind kind)
{
    static const size_t bytes[] = {[DIGEST_MD5] = 16, [DIGEST_SHA1] = 20, [DIGEST_SHA256] = 32};
    return bytes[kind];
}

void digest_begin(struct digest *d, enum digest_kind kind)
{
    static const uint32_t start[] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0};
    assert(kind != DIGEST_UNKNOWN);
    memset(d, 0, sizeof *d);
    d->kind = kind;
    if (kind == DIGEST_SHA256)
        memcpy(d->state, sha256_start, sizeof sha256_start);
    else
        memcpy(d->state, start, sizeof start);
}

static void add_block(struct digest *d, const unsigned char *block)
{
    switch (d->kind) {
    case DIGEST_MD5: md5_block(d->state, block); break;
    case DIGEST_SHA1: sha1_block(d->state, block); break;
    case DIGEST_SHA256: sha256_block(d->state, block); break;
    case DIGEST_UNKNOWN: break;
    }
}

void digest_add(struct digest *d, const void *bytes, size_t len)
{
    const unsigned char *at = bytes;
    size_t held = (size_t)(d->bytes % 64);
    d->bytes += len;
    if (held) {
        size_t step = 64 - held < len ? 64 - held : len;
        memcpy(d->tail + held, at, step);
        at += step;
        len -= step;
        if (held + step < 64)
            return;
        add_block(d, d->tail);
    }
    for (; len >= 64; len -= 64, at += 64)
        add_block(d, at);
    if (len)
        memcpy(d->tail, at, len);
}

void digest_end(struct digest *d, unsigned char out[DIGEST_BYTES_MAX])
{
    bool little = d->kind == DIGEST_MD5;
    uint64_t bits = d->bytes * 8;
    unsigned char length[8];
    for (int i = 0; i < 8; i++)
        length[i] = (unsigned char)(bits >> (little ? 8 * i : 56 - 8 * i));
    static const unsigned char pad[64] = {0x80};
    size_t held = (size_t)(d->bytes % 64);
    digest_add(d, pad, held < 56 ? 56 - held : 120 - held);
    digest_add(d, length, sizeof length);
    for (size_t i = 0; i < digest_bytes(d->kind); i++)
        out[i] = (unsigned char)(d->state[i / 4] >> (little ? 8 * (i % 4) : 24 - 8 * (i % 4)));
}

/* ---- texts ---- */
void digest_text(const unsigned char sha1[20], char out[40])
{
    static const char letter[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    memcpy(out, "sha1:", 5);
    for (size_t i = 0; i < 32; i++) { /* 5 bits a letter; 20 bytes are 32 of them exactly */
        size_t bit = i * 5;
        unsigned two = (unsigned)sha1[bit / 8] << 8 | (bit / 8 + 1 < 20 ? sha1[bit / 8 + 1] : 0);
        out[5 + i] = letter[two >> (11 - bit % 8) & 31];
    }
    out[37] = 0;
}

static int value_of(char c, int base_bits)
{
    char low = c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
    if (base_bits == 4)
        return c >= '0' && c <= '9' ? c - '0' : low >= 'a' && low <= 'f' ? low - 'a' + 10 : -1;
    return low >= 'a' && low <= 'z' ? low - 'a' : c >= '2' && c <= '7' ? c - '2' + 26 : -1;
}

/* `bytes` bytes from digits of base_bits bits each. */
static bool read_digits(struct str text, int base_bits, size_t bytes, unsigned char *out)
{
    if (text.len != (bytes * 8 + (size_t)base_bits - 1) / (size_t)base_bits)
        return false;
    unsigned held = 0;
    int bits = 0;
    size_t made = 0;
    for (size_t i = 0; i < text.len; i++) {
        int value = value_of(text.ptr[i], base_bits);
        if (value < 0)
            return false;
        held = (held << base_bits | (unsigned)value) & 0xffff;
        bits += base_bits;
        if (bits >= 8 && made < bytes) {
            bits -= 8;
            out[made++] = (unsigned char)(held >> bits);
        }
    }
    return made == bytes;
}

enum digest_kind digest_parse(struct str text, unsigned char out[DIGEST_BYTES_MAX])
{
    static const struct {
        const char *name;
        enum digest_kind kind;
    } known[] = {
        {"sha1", DIGEST_SHA1},      {"sha-1", DIGEST_SHA1}, {"sha256", DIGEST_SHA256},
        {"sha-256", DIGEST_SHA256}, {"md5", DIGEST_MD5},
    };
    struct str value, name = str_trim(str_cut(text, ':', &value));
    value = str_trim(value);
    while (value.len && value.ptr[value.len - 1] == '=')
        value.len--;
    for (size_t i = 0; i < COUNT_OF(known); i++) {
        size_t bytes = digest_bytes(known[i].kind);
        if (str_eq_nocase(name, str_of(known[i].name)) &&
            (read_digits(value, 4, bytes, out) || read_digits(value, 5, bytes, out)))
            return known[i].kind;
    }
    return DIGEST_UNKNOWN;
}

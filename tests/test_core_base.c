/* test_core_base - hashes against published vectors, strings and buffers against slow twins. */
#include "core/arena.h"
#include "core/hash.h"
#include "tests/test.h"

/* Made with the shared library of xxhash 0.8.1 over bytes i * 31 + i / 256; the first line is also
 * published in its test suite. */
static const struct { size_t len; const char *h64, *h128; } vectors[] = {
    {0, "2d06800538d394c2", "99aa06d3014798d86001c324468d497f"},
    {1, "c44bdff4074eecdb", "a6cd5e9392000f6ac44bdff4074eecdb"},
    {9, "9c88fc32c37b56cb", "22775b5e55c2ace94557529981ebbef0"},
    {30, "f654e85575abd0db", "7cee8c2bb3f0ad9a429a744089a3dfaa"},
    {90, "7b579778cfd156c2", "7f904121d8a82cc7ed6e06f89afd7050"},
    {270, "9e6c5554bcfefd7e", "85f7ef7ede5091259e6c5554bcfefd7e"},
    {2430, "87aab76ad1cfdac2", "d40b0e8d514784e087aab76ad1cfdac2"},
};

static void fill(unsigned char *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++)
        bytes[i] = (unsigned char)(i * 31 + i / 256);
}

TEST(core_hash_vectors)
{
    unsigned char bytes[2430];
    char hex[33];
    fill(bytes, sizeof bytes);
    for (size_t i = 0; i < COUNT_OF(vectors); i++) {
        snprintf(hex, sizeof hex, "%016llx", (unsigned long long)hash64(bytes, vectors[i].len, 0));
        CHECK_STR(str_of(hex), vectors[i].h64);
        hash_hex(hash128(bytes, vectors[i].len), hex);
        CHECK_STR(str_of(hex), vectors[i].h128);
    }
    CHECK(hash64(NULL, 0, 0) == 0x2d06800538d394c2u);
    CHECK(hash64(bytes, 2430, 42) == 0xc5bc93e0f601c259u);
}

TEST(core_hash_stream)
{
    unsigned char bytes[2430];
    uint64_t seed = 1;
    fill(bytes, sizeof bytes);
    for (int round = 0; round < 50; round++) {
        struct hash_stream *h;
        CHECK_OK(hash_begin(&h));
        for (size_t at = 0; at < sizeof bytes;) {
            size_t len = test_random(&seed) % 700;
            len = len < sizeof bytes - at ? len : sizeof bytes - at;
            hash_add(h, bytes + at, len);
            at += len;
        }
        struct hash128 got = hash_end(h), want = hash128(bytes, sizeof bytes);
        CHECK(got.low == want.low);
        CHECK(got.high == want.high);
    }
}

TEST(core_hash_hex)
{
    struct hash128 h = {.low = 0x0123456789abcdef, .high = 0xfedcba9876543210}, back;
    char hex[33];
    hash_hex(h, hex);
    CHECK_STR(str_of(hex), "fedcba98765432100123456789abcdef");
    CHECK(hash_from_hex(str_of("FEDCBA98765432100123456789abcdef"), &back));
    CHECK(back.low == h.low && back.high == h.high);
    CHECK(!hash_from_hex(str_of("fedcba98765432100123456789abcde"), &back));
    CHECK(!hash_from_hex(str_of("fedcba98765432100123456789abcdef0"), &back));
    CHECK(!hash_from_hex(str_of("fedcba98765432100123456789abcdeg"), &back));
}

/* FIPS 180-4 examples; the last line is Python's hashlib over all lengths 0..199, hashed again. */
TEST(core_hash_sha256)
{
    char hex[65], all[200 * 64 + 1];
    unsigned char bytes[200];
    sha256_hex("", 0, hex);
    CHECK_STR(str_of(hex), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    sha256_hex("abc", 3, hex);
    CHECK_STR(str_of(hex), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    sha256_hex("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 56, hex);
    CHECK_STR(str_of(hex), "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
    for (size_t len = 0; len < 200; len++) {
        for (size_t i = 0; i < len; i++)
            bytes[i] = (unsigned char)(i * 7 + len);
        sha256_hex(bytes, len, all + len * 64);
    }
    sha256_hex(all, 200 * 64, hex);
    CHECK_STR(str_of(hex), "b8f5d54cfd1cbbcae2003d1365d9fab7e5bc61813fa3486ee6a6a6bf38db4745");
}

/* The test cases of RFC 4231, section 4. */
TEST(core_hash_hmac_vectors)
{
    static const struct {
        unsigned char byte;
        int count;
        const char *key, *message, *hex;
    } rfc[] = {
        {0x0b, 20, NULL, "Hi There",
         "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"},
        {0, 0, "Jefe", "what do ya want for nothing?",
         "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"},
        {0xaa, 20, NULL, NULL, "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"},
        {0xaa, 131, NULL, "Test Using Larger Than Block-Size Key - Hash Key First",
         "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"},
        {0xaa, 131, NULL,
         "This is a test using a larger than block-size key and a larger than block-size data. The "
         "key needs to be hashed before being used by the HMAC algorithm.",
         "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2"},
    };
    for (size_t i = 0; i < COUNT_OF(rfc); i++) {
        char key[131], message[50], hex[65];
        unsigned char mac[32];
        memset(key, rfc[i].byte, sizeof key);
        memset(message, 0xdd, sizeof message);
        struct str k = rfc[i].key ? str_of(rfc[i].key) : (struct str){key, (size_t)rfc[i].count};
        struct str m = rfc[i].message ? str_of(rfc[i].message)
                                      : (struct str){message, sizeof message};
        CHECK_OK(hmac_sha256(k, m, mac));
        for (int j = 0; j < 32; j++)
            snprintf(hex + j * 2, 3, "%02x", mac[j]);
        CHECK_STR(str_of(hex), rfc[i].hex);
    }
}

TEST(core_hash_unit_is_uniform)
{
    int bin[16] = {0};
    for (uint64_t id = 0; id < 160000; id++) {
        double u = hash_unit(7, id);
        CHECK(u >= 0 && u < 1);
        bin[(int)(u * 16)]++;
    }
    /* 10,000 each; the standard deviation is 97. */
    for (int i = 0; i < 16; i++)
        CHECK_NUM(bin[i], 10000, 500);
}

TEST(core_arena_limits)
{
    struct arena a;
    CHECK_OK(arena_open(&a, 10000));
    size_t mark = arena_mark(&a);
    char *first = arena_push(&a, 3, 1);
    CHECK(first);
    uint64_t *word = arena_array(&a, uint64_t, 4);
    CHECK(((uintptr_t)word & 7) == 0);
    CHECK(!arena_push(&a, SIZE_MAX, 1));
    CHECK(!arena_push(&a, SIZE_MAX - 2, 8));
    CHECK(strstr(err_text(), "arena"));
    CHECK(!arena_push(&a, a.size_max, 1));
    memcpy(first, "abc", 3);
    arena_reset(&a, mark);
    CHECK(arena_push(&a, a.size_max, 1));
    CHECK(!arena_push(&a, 1, 1));
    arena_trim(&a, 0);
    char *zero = arena_push_zero(&a, 100, 1);
    for (int i = 0; i < 100; i++)
        CHECK_INT(zero[i], 0);
    arena_close(&a);
    arena_close(&a);
}

TEST(core_str_numbers)
{
    uint64_t u;
    int64_t i;
    double f;
    CHECK(str_u64(STR("18446744073709551615"), &u) && u == UINT64_MAX);
    CHECK(!str_u64(STR("18446744073709551616"), &u));
    CHECK(!str_u64(STR(""), &u) && !str_u64(STR("-1"), &u) && !str_u64(STR("1 "), &u));
    CHECK(str_i64(STR("-9223372036854775808"), &i) && i == INT64_MIN);
    CHECK(!str_i64(STR("-9223372036854775809"), &i) && !str_i64(STR("9223372036854775808"), &i));
    CHECK(!str_i64(STR("-"), &i) && !str_i64(STR("+-1"), &i));
    CHECK(str_f64(STR("-1.5e3"), &f) && f == -1500);
    CHECK(!str_f64(STR("1e999"), &f) && !str_f64(STR("1x"), &f) && !str_f64(STR(" 1"), &f));
}

static bool glob_slow(const char *pattern, const char *s)
{
    if (!*pattern)
        return !*s;
    if (*pattern == '*')
        return glob_slow(pattern + 1, s) || (*s && glob_slow(pattern, s + 1));
    return *s && (*pattern == '?' || *pattern == *s) && glob_slow(pattern + 1, s + 1);
}

TEST(core_str_glob_twin)
{
    uint64_t seed = 3;
    for (int round = 0; round < 20000; round++) {
        char pattern[9] = {0}, text[9] = {0};
        size_t pattern_len = test_random(&seed) % 9, text_len = test_random(&seed) % 9;
        for (size_t i = 0; i < pattern_len; i++)
            pattern[i] = "ab*?"[test_random(&seed) % 4];
        for (size_t i = 0; i < text_len; i++)
            text[i] = "ab"[test_random(&seed) % 2];
        CHECK(str_glob(pattern, str_of(text)) == glob_slow(pattern, text));
    }
}

TEST(core_str_cut_and_trim)
{
    struct str rest;
    CHECK_STR(str_cut(STR("a=b=c"), '=', &rest), "a");
    CHECK_STR(rest, "b=c");
    CHECK_STR(str_cut(STR("abc"), '=', &rest), "abc");
    CHECK(rest.ptr == NULL);
    CHECK_STR(str_cut(STR("abc="), '=', &rest), "abc");
    CHECK(rest.ptr && rest.len == 0);
    CHECK_STR(str_trim(STR(" \t a b\r\n")), "a b");
    CHECK_STR(str_trim(STR(" \t")), "");
    CHECK_INT(str_count(STR("aaaa"), STR("aa")), 2);
    CHECK(str_find(STR("abc"), STR("d")) == SIZE_MAX);
    CHECK_INT(str_distance(STR("kitten"), STR("sitting")), 3);
    CHECK_INT(str_distance(STR(""), STR("abc")), 3);
}

/* Every code point there and back; the Unicode standard's table 3-7 says what is valid. */
TEST(core_str_utf8)
{
    for (uint32_t cp = 0; cp <= 0x10FFFF; cp++) {
        char bytes[4];
        uint32_t back;
        if (cp >= 0xD800 && cp <= 0xDFFF)
            continue;
        int len = utf8_encode(cp, bytes);
        CHECK_INT(utf8_decode(bytes, bytes + len, &back), len);
        CHECK(back == cp);
        if (len > 1 && cp != 0xFFFD) {
            CHECK_INT(utf8_decode(bytes, bytes + len - 1, &back), 1);
            CHECK(back == 0xFFFD);
        }
    }
    CHECK(!utf8_valid(STR("\xC0\x80")) && !utf8_valid(STR("\xED\xA0\x80")));
    CHECK(!utf8_valid(STR("\xF4\x90\x80\x80")) && !utf8_valid(STR("\xF0\x80\x80\x80")));
    CHECK(utf8_valid(STR("\xEF\xBF\xBD")));
    CHECK(!utf8_valid(STR("abcdefgh\x80")) && utf8_valid(STR("abcdefgh\xC3\xA9")));
}

TEST(core_buf_limit)
{
    struct buf b = {.max = 10};
    buf_text(&b, "0123456789");
    CHECK(!b.failed);
    buf_char(&b, 'x');
    CHECK(b.failed);
    buf_text(&b, "y");
    CHECK_STR(buf_view(&b), "0123456789");
    buf_free(&b);
    buf_printf(&b, "%d-%s", 42, "abc");
    CHECK_STR(str_of(buf_cstr(&b)), "42-abc");
    buf_free(&b);
}

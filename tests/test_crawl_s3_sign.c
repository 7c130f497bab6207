/* test_crawl_s3_sign - Signature Version 4: AWS's own vectors, S3's documented examples, botocore.
 */
#include "tests/test.h"

#include "core/hash.h"
#include "crawl/s3_sign.h"

/* AWS's test suite for Signature Version 4 (20150830T123600Z, us-east-1, "service"), its cases as
 * S3 reads them: paths are not normalised. Signatures as published with it. */
struct suite_case {
    const char *name, *method, *path;
    const char *query[2][2]; /* name, value */
    const char *header[4][2];
    const char *payload; /* NULL: of an empty body */
    const char *signature;
};
#define UNRESERVED "-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
#define FORM_HASH "9095672bbd1f56dfc5b65f3e153adc8731a4a654192329106275f4c7b24d0b6e"
#define TOKEN                                                                                      \
    "AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAeMicRXmxfpSP" \
    "fIeoIYRqTflfKD8YUuwthAx7mSEI/qkPpKPi/kMcGdQrmGdeehM4IC1NtBmUpp2wUE8phUZampKsburEDy0KPkyQDYwT" \
    "7WZ0wq5VSXDvp75YU9HFvlRd8Tx6q6fE8YQcHNVXAkiY9q6d+xo0rKwT38xVqr7ZD0u0iPPkUL64lIZbqBAz+scqKmlz" \
    "m8FDrypNC9Yjc8fPOLn9FX9KSYvKTr4rvx3iSIlTJabIQwj2ICCR/oLxBA=="
static const struct suite_case suite[] = {
    {"get-vanilla", "GET", "/",
     .signature = "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
    {"post-vanilla", "POST", "/",
     .signature = "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"},
    {"get-vanilla-query-order-key-case",
     "GET",
     "/",
     {{"Param2", "value2"}, {"Param1", "value1"}},
     .signature = "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500"},
    {"get-vanilla-empty-query-key",
     "GET",
     "/",
     {{"Param1", "value1"}},
     .signature = "a67d582fa61cc504c4bae71f336f98b97f1ea3c7a6bfe1b6e45aec72011b9aeb"},
    {"post-vanilla-query",
     "POST",
     "/",
     {{"Param1", "value1"}},
     .signature = "28038455d6de14eafc1f9222cf5aa6f1a96197d7deb8263271d420d138af7f11"},
    {"get-unreserved", "GET", "/" UNRESERVED,
     .signature = "07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f"},
    {"get-vanilla-query-unreserved",
     "GET",
     "/",
     {{UNRESERVED, UNRESERVED}},
     .signature = "9c3e54bfcdf0b19771a7f523ee5669cdf59bc7cc0884027167c21bb143a40197"},
    {"get-utf8", "GET", "/\341\210\264",
     .signature = "8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85"},
    {"get-vanilla-utf8-query",
     "GET",
     "/",
     {{"\341\210\264", "bar"}},
     .signature = "2cdec8eed098649ff3a119c94853b13c643bcf08f8b0a1d91e12c9027818dd04"},
    {"get-space-unnormalized", "GET", "/example space/",
     .signature = "652487583200325589f1fba4c7e578f72c47cb61beeca81406b39ddec1366741"},
    {"get-relative-unnormalized", "GET", "/example/..",
     .signature = "eca7ead57bb5aa5c8e28007acd4ff04e1ff9a0ff3b237ec1554a184887ff9282"},
    {"get-relative-relative-unnormalized", "GET", "/example1/example2/../..",
     .signature = "dc33e0856fd4baca4d7aa2146c38958283844764f38c74252a333df5e613003b"},
    {"get-slash-unnormalized", "GET", "//",
     .signature = "c88bcd3d312d75078c0cd961d6deae3f4c754924b01669efcfcb439fd5e5b76e"},
    {"get-slashes-unnormalized", "GET", "//example//",
     .signature = "87cca117541a147f6df867677d98a7d80dff226d2bfca9e4ffa899665623c7e5"},
    {"get-slash-dot-slash-unnormalized", "GET", "/./",
     .signature = "68714168e6557f8f2de0ef956fc24dc2593a4bd2961f8df51898d8a134695145"},
    {"get-slash-pointless-dot-unnormalized", "GET", "/./example",
     .signature = "beb03f223f7deae4146464f06e29eebbee9c8afbe15c290cf07aa8b119e14cff"},
    {"get-header-value-trim", "GET", "/",
     .header = {{"My-Header1", " value1"}, {"My-Header2", "\"a   b   c\""}},
     .signature = "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736"},
    {"get-header-value-multiline (folds are blanks, as in the suite's first edition)", "GET", "/",
     .header = {{"My-Header1", "value1\n  value2\n     value3"}},
     .signature = "cfd34249e4b1c8d6b91ef74165d41a32e5fab3306300901bb65a51a73575eefd"},
    {"get-header-value-multiline (as three headers)", "GET", "/",
     .header = {{"My-Header1", "value1"}, {"my-header1", "value2"}, {"My-Header1", "value3"}},
     .signature = "ba17b383a53190154eb5fa66a1b836cc297cc0a3d70a5d00705980573d8ff790"},
    {"get-header-key-duplicate", "GET", "/",
     .header = {{"My-Header1", "value2"}, {"My-Header1", "value2"}, {"My-Header1", "value1"}},
     .signature = "c9d5ea9f3f72853aea855b47ea873832890dbdd183b4468f858259531a5138ea"},
    {"get-header-value-order", "GET", "/",
     .header = {{"My-Header1", "value4"},
                {"My-Header1", "value1"},
                {"My-Header1", "value3"},
                {"My-Header1", "value2"}},
     .signature = "08c7e5a9acfcfeb3ab6b2185e75ce8b1deb5e634ec47601a50643f830c755c01"},
    {"post-header-key-sort", "POST", "/", .header = {{"My-Header1", "value1"}},
     .signature = "c5410059b04c1ee005303aed430f6e6645f61f4dc9e1461ec8f8916fdf18852c"},
    {"post-header-value-case", "POST", "/", .header = {{"My-Header1", "VALUE1"}},
     .signature = "cdbc9802e29d2942e5e10b5bccfdd67c5f22c7c4e8ae67b53629efa58b974b7d"},
    {"post-sts-header-before", "POST", "/", .header = {{"X-Amz-Security-Token", TOKEN}},
     .signature = "85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead"},
    {"get-vanilla-with-session-token", "GET", "/",
     .header = {{"X-Amz-Security-Token",
                 "6e86291e8372ff2a2260956d9b8aae1d763fbf315fa00fa31553b73ebf194267"}},
     .signature = "07ec1639c89043aa0e3e2de82b96708f198cceab042d4a97044c66dd9f74e7f8"},
    {"post-x-www-form-urlencoded", "POST", "/",
     .header = {{"Content-Type", "application/x-www-form-urlencoded"},
                {"Content-Length", "13"},
                {"x-amz-content-sha256", FORM_HASH}},
     .payload = FORM_HASH,
     .signature = "d3875051da38690788ef43de4db0d8f280229d82040bfac253562e56c3f20e0b"},
    {"post-x-www-form-urlencoded-parameters", "POST", "/",
     .header = {{"Content-Type", "application/x-www-form-urlencoded; charset=utf-8"},
                {"Content-Length", "13"},
                {"x-amz-content-sha256", FORM_HASH}},
     .payload = FORM_HASH,
     .signature = "328d1b9eaadca9f5818ef05e8392801e091653bafec24fcab71e7344e7f51422"},
};

static size_t fill_pairs(struct sign_pair *to, const char *const (*pair)[2], size_t max)
{
    size_t count = 0;
    while (count < max && pair[count][0]) {
        to[count] = (struct sign_pair){str_of(pair[count][0]), str_of(pair[count][1])};
        count++;
    }
    return count;
}

TEST(crawl_s3_sign_aws_suite)
{
    static const struct sign_scope scope = {"20150830T123600Z", "us-east-1", "service"};
    for (size_t i = 0; i < COUNT_OF(suite); i++) {
        const struct suite_case *c = &suite[i];
        struct sign_pair query[2], header[6];
        struct sign_request r = {.method = c->method,
                                 .path = str_of(c->path),
                                 .query = query,
                                 .header = header,
                                 .payload = c->payload ? c->payload : SIGN_EMPTY};
        r.query_count = fill_pairs(query, c->query, 2);
        r.header_count = fill_pairs(header, c->header, 4);
        header[r.header_count++] = (struct sign_pair){STR("Host"), STR("example.amazonaws.com")};
        header[r.header_count++] = (struct sign_pair){STR("X-Amz-Date"), STR("20150830T123600Z")};
        struct buf line = {0};
        CHECK_OK(sign_authorize(&line, &r, &scope, STR("AKIDEXAMPLE"),
                                STR("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")));
        if (!str_ends(buf_view(&line), c->signature))
            test_fail(__FILE__, __LINE__, "%s: %s", c->name, buf_cstr(&line));
        buf_free(&line);
    }
}

/* The suite's texts, byte for byte: get-vanilla, and a case with everything in it. */
TEST(crawl_s3_sign_texts)
{
    struct sign_pair header[] = {{STR("X-Amz-Date"), STR("20150830T123600Z")},
                                 {STR("My-Header1"), STR(" a   b ")},
                                 {STR("Host"), STR("example.amazonaws.com")}};
    struct sign_pair query[] = {{STR("b"), STR("")}, {STR("a b"), STR("/=+")}};
    struct sign_request r = {.method = "GET",
                             .path = STR("/a b//../\303\274"),
                             .query = query,
                             .query_count = 2,
                             .header = header,
                             .header_count = 3,
                             .payload = "UNSIGNED-PAYLOAD"};
    static const struct sign_scope scope = {"20150830T123600Z", "us-east-1", "service"};
    struct buf text = {0}, names = {0};
    CHECK_OK(sign_canonical(&text, &names, &r));
    CHECK_STR(buf_view(&names), "host;my-header1;x-amz-date");
    CHECK_STR(buf_view(&text), "GET\n/a%20b//../%C3%BC\na%20b=%2F%3D%2B&b=\n"
                               "host:example.amazonaws.com\nmy-header1:a b\n"
                               "x-amz-date:20150830T123600Z\n\nhost;my-header1;x-amz-date\n"
                               "UNSIGNED-PAYLOAD");
    buf_clear(&text);
    buf_clear(&names);
    r = (struct sign_request){.method = "GET",
                              .path = STR("/"),
                              .header = header,
                              .header_count = 3,
                              .payload = SIGN_EMPTY};
    header[1] = (struct sign_pair){0};
    header[1] = header[2];
    r.header_count = 2;
    CHECK_OK(sign_canonical(&text, &names, &r));
    CHECK_STR(buf_view(&text), "GET\n/\n\nhost:example.amazonaws.com\nx-amz-date:20150830T123600Z\n"
                               "\nhost;x-amz-date\n" SIGN_EMPTY);
    struct buf string = {0};
    sign_string(&string, &scope, buf_view(&text));
    CHECK_STR(buf_view(&string),
              "AWS4-HMAC-SHA256\n20150830T123600Z\n20150830/us-east-1/service/aws4_request\n"
              "bb579772317eb040ac9ed261061d46c1f17a8133879d6129b6e1c25292927e63");
    buf_free(&string);
    buf_free(&text);
    buf_free(&names);
}

/* "Examples: Signature Calculations" of the S3 API reference: hash of the canonical request as
 * printed in each string to sign, and the signature. */
TEST(crawl_s3_sign_documented_examples)
{
    static const struct {
        const char *method, *path, *query[2][2], *header[2][2], *payload, *canonical, *signature;
    } example[] = {
        {"GET",
         "/test.txt",
         {{0}},
         {{"Range", "bytes=0-9"}},
         SIGN_EMPTY,
         "7344ae5b7ee6c3e7e6b0fe0640412a37625d1fbfff95c48bbb2dc43964946972",
         "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"},
        {"PUT",
         "/test$file.text",
         {{0}},
         {{"Date", "Fri, 24 May 2013 00:00:00 GMT"}, {"x-amz-storage-class", "REDUCED_REDUNDANCY"}},
         "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072",
         "9e0e90d9c76de8fa5b200d8c849cd5b8dc7a3be3951ddb7f6a76b4158342019d",
         "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd"},
        {"GET",
         "/",
         {{"lifecycle", ""}},
         {{0}},
         SIGN_EMPTY,
         "9766c798316ff2757b517bc739a67f6213b4ab36dd5da2f94eaebf79c77395ca",
         "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"},
        {"GET",
         "/",
         {{"prefix", "J"}, {"max-keys", "2"}},
         {{0}},
         SIGN_EMPTY,
         "df57d21db20da04d7fa30298dd4488ba3a2b47ca3a489c74750e0f1e7df1b9b7",
         "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"},
    };
    static const struct sign_scope scope = {"20130524T000000Z", "us-east-1", "s3"};
    for (size_t i = 0; i < COUNT_OF(example); i++) {
        struct sign_pair query[2], header[5];
        struct sign_request r = {.method = example[i].method,
                                 .path = str_of(example[i].path),
                                 .query = query,
                                 .header = header,
                                 .payload = example[i].payload};
        r.query_count = fill_pairs(query, example[i].query, 2);
        r.header_count = fill_pairs(header, example[i].header, 2);
        header[r.header_count++] =
            (struct sign_pair){STR("Host"), STR("examplebucket.s3.amazonaws.com")};
        header[r.header_count++] = (struct sign_pair){STR("x-amz-date"), str_of(scope.time)};
        header[r.header_count++] =
            (struct sign_pair){STR("x-amz-content-sha256"), str_of(r.payload)};
        struct buf text = {0}, names = {0}, string = {0}, line = {0};
        char hash[65], signature[65];
        CHECK_OK(sign_canonical(&text, &names, &r));
        sha256_hex(text.ptr, text.len, hash);
        CHECK_STR(str_of(hash), example[i].canonical);
        sign_string(&string, &scope, buf_view(&text));
        struct str secret = STR("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY");
        CHECK_OK(sign_signature(signature, &scope, secret, buf_view(&string)));
        CHECK_STR(str_of(signature), example[i].signature);
        CHECK_OK(sign_authorize(&line, &r, &scope, STR("AKIAIOSFODNN7EXAMPLE"), secret));
        CHECK(i != 0 ||
              str_is(buf_view(&line),
                     "AWS4-HMAC-SHA256 "
                     "Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,"
                     " SignedHeaders=host;range;x-amz-content-sha256;x-amz-date, Signature="
                     "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"));
        buf_free(&text);
        buf_free(&names);
        buf_free(&string);
        buf_free(&line);
    }
}

/* Keys that other signers get wrong, below /examplebucket/; from botocore 1.43.11's S3SigV4Auth,
 * whose answers were the same for 20,000 random paths and queries besides. */
static const struct {
    const char *key, *signature;
} keys[] = {
    {"plain.txt", "1e8d881e75c07a0859c1004a3c6488122e5396e7e231d81933dee2ea4c205c1f"},
    {"crawl=CC-MAIN-2024-22/part+1.warc.gz",
     "583b1307e08e5bf2c39f0f649eb80a9d0cff30e3476ff46cff11ced74e8534b1"},
    {"a b", "287cafdb1fc34a10f5c6f1e8c60bb89cc5fda7af2a962d5f3b936a879a9c6efc"},
    {"a+b", "eff1c97d77908e6f3f037dd3417729afdd7bac3a0a28dbc4494a93fecd2d0986"},
    {"a%20b", "2bbf52b773a8ae80e3859d89681bf9aaae6f684e84a88ab39304717a3afa35d3"},
    {"%", "ddc71b0c2752a58ad8acac854caebda5a0851b128aa8e8fdcf1bdf96c9f61207"},
    {"%2F%2f", "f858a25b8ad615f0a0f20f4a6f46c2ef1e2fff51d1fab2c2ca6c6e8e3a1de72e"},
    {"a//b", "139830289b80b06eb637fb6fd9f8a7d658139c9dacc298e67e66e34ddbdbffe7"},
    {"/lead", "22384b1b6a963201bf13632218d6f84191b17a5975b2870dac8c056c614c6d12"},
    {"trail/", "4a191bb16a22875381e9aa01b8c76efc90b2970497e494f99485584e6cba77be"},
    {"a/./b", "63df36b92e3e9513528aa7c0242290dc515a8617abb1fb108790c794e13c7512"},
    {"a/../b", "72c9a65dcb9468fc3908fa3f3f281996f76aa13a08a2943a3857f921db4e5a8d"},
    {"./a", "85962a71621872d2a2505cc59d3a62767d8572fabf69bc4d65025a0358282b10"},
    {"..", "a50e8431911e7b8432325b554dad38028f0fc40da84346d49eb9e4116a658e96"},
    {"~user/-._~", "1510c17443c0eb65b6dfcabc2664ee892c335d681d81c298f24530c579910e4a"},
    {"\303\274ber/\346\227\245\346\234\254\350\252\236.html",
     "e9503f5ab58ea14b03cad98cb4f4c4db5a03e6e9c6a41d9ac16dc86cdb604ad7"},
    {"\360\237\230\200", "2f8a4d023dae49a61b6ebc28138bcf437eecd58f334887036507fc1404d71c48"},
    {"?versionId=1&x=y#frag", "47f3b22463eb5597d60064833cc43e63d394a7f718ee2c060fff1347d74b3d29"},
    {"!*'()", "6b8be176ab060f01c2311864b4e7689839b80c020ce392b80b069bedbad7e5af"},
    {"a&b=c;d:e@f,g$h", "277402d47aa16ffdc259c7a1401a2564fa501720ecaf7bdfe22dbfa461e649ad"},
    {"\"<>\\^`{|}[]", "0155614d9cfce391cba0851ca5255030ddedab4ad5d21dffe80a9a5194d0bd14"},
    {"\001\011\177", "4bf4f7450b51b4f433f53b0a5585af6832da27f97397c4be209bda9561d7baab"},
    {"\377\376", "a331816e974b53317a17edbe0a99e42c207587cbb5a141a0e358d9a88a5fdf35"},
    {NULL, "f4106725a144d76a1d233aded82e77e70b3d09116fdf61b7e867c2b7cb87c67f"},
    {"////////////////////////////////////////",
     "c123bd8b2d8ca1daa7844238cc3301220af9461080fbecb0c26f3213cc053dbd"},
};

static void sign_simple(struct buf *line, const struct sign_request *given)
{
    static const struct sign_scope scope = {"20150830T123600Z", "us-east-1", "s3"};
    struct sign_pair header[] = {{STR("Host"), STR("s3.us-east-1.amazonaws.com")},
                                 {STR("X-Amz-Date"), STR("20150830T123600Z")},
                                 {STR("x-amz-content-sha256"), STR(SIGN_EMPTY)}};
    struct sign_request r = *given;
    r.header = header;
    r.header_count = COUNT_OF(header);
    CHECK_OK(sign_authorize(line, &r, &scope, STR("AKIDEXAMPLE"),
                            STR("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")));
}

TEST(crawl_s3_sign_awkward_keys)
{
    for (size_t i = 0; i < COUNT_OF(keys); i++) {
        struct buf path = {0}, line = {0};
        buf_text(&path, "/examplebucket/");
        if (keys[i].key)
            buf_text(&path, keys[i].key);
        else
            for (int j = 0; j < 1024; j++) /* the longest key there is */
                buf_char(&path, 'k');
        sign_simple(&line, &(struct sign_request){
                               .method = "GET", .path = buf_view(&path), .payload = SIGN_EMPTY});
        if (!str_ends(buf_view(&line), keys[i].signature))
            test_fail(__FILE__, __LINE__, "key %zu, \"%.40s\": %s", i,
                      keys[i].key ? keys[i].key : "kkk...", buf_cstr(&line));
        buf_free(&path);
        buf_free(&line);
    }
}

/* Encoded names decide the order ('%' stands before letters, '~' behind them). botocore again. */
TEST(crawl_s3_sign_awkward_queries)
{
    static const struct {
        const char *pair[4][2], *signature;
    } given[] = {
        {{{"prefix", "crawl-data/CC-MAIN-2024-22/"},
          {"list-type", "2"},
          {"continuation-token", "1/a+b=="}},
         "39ae23be63077b8c018756efa7376a8f7f7f15f82f2c6611f773ad74bdd07935"},
        {{{"uploads", ""}}, "f7b406b93d1f76edd2f1715eaafb2a3f701e4f92f267bf741de5d060691f1542"},
        {{{"b", "2"}, {"a", "2"}, {"a", "1"}, {"A", "3"}},
         "187a9d4d90912488cb9cd3e8848c05c5b9fe8ba2e5da76e811706004ad8c4e46"},
        {{{"~", "~"}, {"\341\210\264", "bar"}, {"%", "100%"}},
         "52fc0c9f8853789413405a8ef067261444d5e1b3d3b4d0ffbfcdf86de0a10bd6"},
        {{{"a-", "1"}, {"a", "1"}, {"a.b", "1"}, {"a%", "1"}},
         "b9c2f01b3c5111ad62d4c30dd708e4b53e97bf2592c9b4d809e374ee44adb20c"},
    };
    for (size_t i = 0; i < COUNT_OF(given); i++) {
        struct sign_pair query[4];
        struct buf line = {0};
        struct sign_request r = {
            .method = "GET", .path = STR("/examplebucket"), .query = query, .payload = SIGN_EMPTY};
        r.query_count = fill_pairs(query, given[i].pair, 4);
        sign_simple(&line, &r);
        if (!str_ends(buf_view(&line), given[i].signature))
            test_fail(__FILE__, __LINE__, "query %zu: %s", i, buf_cstr(&line));
        buf_free(&line);
    }
}

TEST(crawl_s3_sign_limits)
{
    struct sign_pair many[SIGN_PAIRS_MAX + 1];
    struct buf out = {0}, names = {0};
    for (size_t i = 0; i < COUNT_OF(many); i++)
        many[i] = (struct sign_pair){STR("n"), STR("v")};
    CHECK_OK(sign_query(&out, many, SIGN_PAIRS_MAX));
    CHECK_INT(out.len, SIGN_PAIRS_MAX * 4 - 1);
    CHECK_ERR(sign_query(&out, many, SIGN_PAIRS_MAX + 1), ERR_LIMIT);
    struct sign_request r = {.method = "GET",
                             .path = STR("/"),
                             .header = many,
                             .header_count = SIGN_PAIRS_MAX + 1,
                             .payload = SIGN_EMPTY};
    CHECK_ERR(sign_canonical(&out, &names, &r), ERR_LIMIT);
    char long_secret[1025] = {0}, signature[65];
    static const struct sign_scope scope = {"20150830T123600Z", "r", "s3"};
    memset(long_secret, 'x', 1024);
    CHECK_OK(sign_signature(signature, &scope, (struct str){long_secret, 1024}, STR("x")));
    CHECK_ERR(sign_signature(signature, &scope, (struct str){long_secret, 1025}, STR("x")),
              ERR_USAGE);
    CHECK(!strstr(err_text(), "xxx"));
    struct buf small = {.max = 10};
    r.header_count = 2;
    CHECK_ERR(sign_authorize(&small, &r, &scope, STR("id"), STR("secret")), ERR_LIMIT);
    buf_free(&small);
    buf_free(&out);
    buf_free(&names);
}

/* test_model_safetensors - the reader against files that lie, and against every cut and flip of a
 * true one. */
#include "tests/test.h"

#include "model/model.h"

static struct arena arena_of(size_t bytes)
{
    struct arena a;
    CHECK_OK(arena_open(&a, bytes));
    return a;
}

/* A file of this header and data_bytes zero bytes behind it. */
static const char *file_of(struct str header, uint64_t length, size_t data_bytes)
{
    static char path[IO_PATH_MAX];
    struct buf out = {0};
    for (int i = 0; i < 8; i++)
        buf_char(&out, (char)(unsigned char)(length >> (8 * i)));
    buf_str(&out, header);
    for (size_t i = 0; i < data_bytes; i++)
        buf_char(&out, 0);
    CHECK_OK(io_path(path, "%s/x.safetensors", test_dir()));
    CHECK_OK(io_write_file(path, buf_view(&out)));
    buf_free(&out);
    return path;
}

TEST(model_safetensors_round_trip)
{
    float f32[6] = {1, -2, 3.5f, 0, 1e30f, -0.0f};
    uint16_t bf16[3] = {0x3F80, 0xFF80, 1};
    int32_t i32[1] = {-7};
    uint8_t u8[5] = {0, 1, 2, 254, 255};
    struct safetensor in[] = {
        {"a.weight", DT_F32, 2, {2, 3, 1, 1}, f32},
        {"b \"quoted\" \xC3\xA9", DT_BF16, 1, {3, 1, 1, 1}, bf16},
        {"scalar", DT_I32, 0, {1, 1, 1, 1}, i32},
        {"empty", DT_F32, 2, {0, 4, 1, 1}, f32},
        {"u", DT_U8, 4, {1, 5, 1, 1}, u8},
    };
    char path[IO_PATH_MAX];
    struct io_info info;
    struct arena a = arena_of(1 << 20);
    struct safetensor *out;
    int count;
    CHECK_OK(io_path(path, "%s/t.safetensors", test_dir()));
    CHECK_OK(safetensors_write(path, in, COUNT_OF(in), &info));
    CHECK_OK(safetensors_read(path, &a, &out, &count));
    CHECK_INT(count, COUNT_OF(in));
    for (size_t i = 0; i < COUNT_OF(in); i++) {
        const struct safetensor *t = safetensors_find(out, count, in[i].name);
        CHECK(t);
        CHECK_INT(t->dtype, in[i].dtype);
        CHECK_INT(t->rank, in[i].rank);
        CHECK(memcmp(t->dim, in[i].dim, sizeof t->dim) == 0);
        size_t bytes = (size_t)(t->dim[0] * t->dim[1] * t->dim[2] * t->dim[3]) *
                       dtype_bytes((int)t->dtype);
        CHECK(memcmp(t->data, in[i].data, bytes) == 0);
    }
    CHECK(!safetensors_find(out, count, "a.weigh"));
    /* The format, byte by byte: length, padded header, data at a multiple of 64. */
    char *raw;
    size_t bytes;
    CHECK_OK(io_read_file(path, 1 << 20, &raw, &bytes));
    CHECK_INT(bytes, info.bytes);
    uint64_t length = 0;
    memcpy(&length, raw, 8);
    CHECK_INT((8 + length) % 64, 0);
    CHECK_INT(8 + length + 24 + 6 + 4 + 5, bytes);
    CHECK(memcmp(raw + 8 + length, f32, sizeof f32) == 0);
    CHECK(str_starts((struct str){raw + 8, length}, "{\"__metadata__\":{\"format\":\"pt\"},\"a."
                                                    "weight\":{\"dtype\":"
                                                    "\"F32\",\"shape\":[2,3],\"data_offsets\":[0,"
                                                    "24]}"));
    free(raw);
    arena_close(&a);
}

#define T1 "\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]"

TEST(model_safetensors_refuses_lies)
{
    static const struct { const char *header; size_t data; const char *what;
    } cases[] = {
        {"{\"a\":{" T1 "}}", 7, "outside"},
        {"{\"a\":{" T1 "}}", 9, "cut or padded"},
        {"{\"a\":{" T1 "},\"b\":{" T1 "}}", 8, "overlaps"},
        {"{\"a\":{" T1 "},\"b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}", 8,
         "overlaps"},
        {"{\"a\":{" T1 "},\"b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[12,16]}}", 16,
         "hole"},
        {"{\"b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}", 8, "hole"},
        {"{\"a\":{" T1 "},\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[8,12]}}", 12,
         "twice"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[0,8]}}", 8, "disagree"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[4611686018427387906],\"data_offsets\":[0,8]}}", 8,
         "overflows"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[4294967296,4294967296],\"data_offsets\":[0,0]}}", 0,
         "overflows"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[18446744073709551615],\"data_offsets\":[0,8]}}", 8,
         "whole number"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[-2],\"data_offsets\":[0,8]}}", 8, "whole number"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2.5],\"data_offsets\":[0,8]}}", 8, "whole number"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[\"2\"],\"data_offsets\":[0,8]}}", 8, "whole number"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2,1,1,1,1],\"data_offsets\":[0,8]}}", 8,
         "4 dimensions"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":2,\"data_offsets\":[0,8]}}", 8, "no shape"},
        {"{\"a\":{\"dtype\":\"F32\",\"data_offsets\":[0,8]}}", 8, "no shape"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[8,0]}}", 8, "outside"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,18446744073709551615]}}", 8,
         "outside"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,18446744073709551616]}}", 8,
         "offsets"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0]}}", 8, "offsets"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8,8]}}", 8, "offsets"},
        {"{\"a\":{\"dtype\":\"F64\",\"shape\":[1],\"data_offsets\":[0,8]}}", 8, "convert"},
        {"{\"a\":{\"shape\":[2],\"data_offsets\":[0,8]}}", 8, "convert"},
        {"{\"a\":[]}", 0, "no object"},
        {"{\"\":{" T1 "}}", 8, "name"},
        {"{\"a\\u0000b\":{" T1 "}}", 8, "name"},
        {"[]", 0, "no JSON object"},
        {" {}", 0, "no JSON object"},
        {"{\"a\":{" T1 "}", 8, "header"},
        {"nonsense", 0, "header"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct arena a = arena_of(1 << 20);
        struct safetensor *t;
        int count;
        struct str header = str_of(cases[i].header);
        int rc = safetensors_read(file_of(header, header.len, cases[i].data), &a, &t, &count);
        if (rc != ERR_FORMAT || !strstr(err_text(), cases[i].what))
            test_fail(__FILE__, __LINE__, "%s: got %d \"%s\", want \"%s\"", cases[i].header, rc,
                      err_text(), cases[i].what);
        arena_close(&a);
    }
}

TEST(model_safetensors_refuses_lengths)
{
    static const struct { uint64_t length; size_t data;
    } cases[] = {
        {0, 100},
        {1, 100},
        {3, 0},
        {101, 98},
        {1ull << 32, 100},
        {UINT64_MAX, 100},
        {UINT64_MAX - 7, 100},
        {100000001, 100},
        {1ull << 63, 100},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct arena a = arena_of(1 << 20);
        struct safetensor *t;
        int count;
        CHECK_ERR(safetensors_read(file_of(STR("{}"), cases[i].length, cases[i].data), &a, &t,
                                   &count),
                  ERR_FORMAT);
        arena_close(&a);
    }
    struct arena a = arena_of(1 << 20);
    struct safetensor *t;
    int count = -1;
    CHECK_OK(safetensors_read(file_of(STR("{}"), 2, 0), &a, &t, &count));    /* empty but true */
    CHECK_INT(count, 0);
    CHECK_ERR(safetensors_read(test_dir(), &a, &t, &count), ERR_FORMAT);    /* a folder */
    CHECK_ERR(safetensors_read("/nonexistent/x", &a, &t, &count), ERR_IO);
    arena_close(&a);
}

/* A header of a million nested or tiny values costs memory in proportion and no recursion. */
TEST(model_safetensors_refuses_bombs)
{
    struct buf bomb = {0};
    struct arena a = arena_of(1 << 20);
    struct safetensor *t;
    int count;
    for (int i = 0; i < 1000000; i++)
        buf_char(&bomb, '[');
    CHECK(safetensors_read(file_of(buf_view(&bomb), bomb.len, 0), &a, &t, &count) < 0);
    buf_clear(&bomb);
    buf_text(&bomb, "{\"a\":[0");
    for (int i = 0; i < 1000000; i++)
        buf_text(&bomb, ",0");
    buf_text(&bomb, "]}");
    CHECK(safetensors_read(file_of(buf_view(&bomb), bomb.len, 0), &a, &t, &count) < 0);
    buf_free(&bomb);
    arena_close(&a);
}

TEST(model_safetensors_needs_room_for_the_data)
{
    float zeros[2000] = {0};
    struct safetensor in = {"big", DT_F32, 1, {2000, 1, 1, 1}, zeros}, *t;
    struct arena a = arena_of(4096);
    char path[IO_PATH_MAX];
    int count;
    CHECK_OK(io_path(path, "%s/t.safetensors", test_dir()));
    CHECK_OK(safetensors_write(path, &in, 1, NULL));
    CHECK_ERR(safetensors_read(path, &a, &t, &count), ERR_LIMIT);
    arena_close(&a);
}

/* Every cut is refused; every flipped byte is refused or leaves a file that still keeps its
 * promises. */
TEST(model_safetensors_bears_cuts_and_flips)
{
    float data[3] = {1, 2, 3};
    struct safetensor in[] = {{"ab", DT_F32, 1, {2, 1, 1, 1}, data},
                              {"c", DT_F32, 1, {1, 1, 1, 1}, data + 2}};
    char path[IO_PATH_MAX], *raw;
    size_t bytes;
    CHECK_OK(io_path(path, "%s/t.safetensors", test_dir()));
    CHECK_OK(safetensors_write(path, in, 2, NULL));
    CHECK_OK(io_read_file(path, 1 << 20, &raw, &bytes));
    struct safetensor *t;
    int count, accepted = 0;
    for (size_t cut = 0; cut < bytes; cut++) {
        struct arena a = arena_of(1 << 20);
        FILE *file = fopen(path, "wb");
        CHECK(file && fwrite(raw, 1, cut, file) == cut && fclose(file) == 0);
        CHECK_ERR(safetensors_read(path, &a, &t, &count), ERR_FORMAT);
        arena_close(&a);
    }
    for (size_t at = 0; at < bytes; at++)
        for (int bit = 0; bit < 8; bit++) {
            struct arena a = arena_of(1 << 20);
            FILE *file = fopen(path, "wb");
            raw[at] ^= (char)(1 << bit);
            CHECK(file && fwrite(raw, 1, bytes, file) == bytes && fclose(file) == 0);
            raw[at] ^= (char)(1 << bit);
            if (safetensors_read(path, &a, &t, &count) >= 0) {
                uint64_t total = 0, sum = 0;
                for (int i = 0; i < count; i++) {
                    uint64_t size = (uint64_t)(t[i].dim[0] * t[i].dim[1] * t[i].dim[2] *
                                               t[i].dim[3]) *
                                    dtype_bytes((int)t[i].dtype);
                    for (uint64_t k = 0; k < size; k++)     /* ASan sees every byte read */
                        sum += ((const unsigned char *)t[i].data)[k];
                    total += size;
                }
                CHECK_INT(total, 12);
                CHECK(sum < 12 * 256);
                accepted++;
            }
            arena_close(&a);
        }
    CHECK(accepted >= 12 * 8); /* at least the flips in the data itself */
    free(raw);
}

/* test_core_json - the parser against RFC 8259's corners and a storm of mutations; the writer. */
#include "core/json.h"
#include "tests/test.h"

#include <math.h>
#include <time.h>

static struct arena arena;

static int parse(struct str text, struct json **out)
{
    if (!arena.base)
        CHECK_OK(arena_open(&arena, 64 << 20));
    arena_reset(&arena, 0);
    /* A copy of the exact size: ASan then sees a byte read too many. */
    char *copy = malloc(text.len ? text.len : 1);
    if (text.len)
        memcpy(copy, text.ptr, text.len);
    int rc = json_parse(&arena, (struct str){copy, text.len}, out);
    free(copy);
    return rc;
}

static struct json *parsed(const char *text)
{
    struct json *value;
    CHECK_OK(parse(str_of(text), &value));
    return value;
}

TEST(core_json_values)
{
    struct json *v = parsed(" {\"a\": [1, -2.5e3, true, false, null, \"x\"], \"b\" :{},"
                            "\"c\":[]} ");
    CHECK(v->type == JSON_OBJECT && v->count == 3);
    const struct json *a = json_get(v, "a"), *item = a->child;
    CHECK(a->type == JSON_ARRAY && a->count == 6);
    CHECK(item->type == JSON_NUMBER && item->number == 1);
    CHECK_STR(item->string, "1");
    item = item->next;
    CHECK(item->number == -2500);
    CHECK_STR(item->string, "-2.5e3");
    item = item->next;
    CHECK(item->type == JSON_BOOL && item->boolean);
    item = item->next;
    CHECK(item->type == JSON_BOOL && !item->boolean);
    item = item->next;
    CHECK(item->type == JSON_NULL);
    CHECK_STR(item->next->string, "x");
    CHECK(item->next->next == NULL);
    CHECK(json_get(v, "b")->count == 0 && json_get(v, "c")->child == NULL);
    CHECK(json_get(v, "d") == NULL && json_get(a, "a") == NULL && json_get(NULL, "a") == NULL);
    CHECK_STR(json_str(v, "a", STR("preset")), "preset");
    CHECK_NUM(json_num(v, "b", 7), 7, 0);
    CHECK(parsed("\xEF\xBB\xBF" "12")->number == 12);
}

TEST(core_json_strings)
{
    CHECK_STR(parsed("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"")->string, "\"\\/\b\f\n\r\t");
    CHECK_STR(parsed("\"\\u00e9\\u20AC\\ud83d\\uDE00\"")->string,
              "\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80");
    /* Lone and swapped surrogates and broken UTF-8: U+FFFD, one for each that is broken. */
    CHECK_STR(parsed("\"\\ud83dx\"")->string, "\xEF\xBF\xBDx");
    CHECK_STR(parsed("\"\\ude00\\ud83d\"")->string, "\xEF\xBF\xBD\xEF\xBF\xBD");
    CHECK_STR(parsed("\"\\ud83d\\u0041\"")->string, "\xEF\xBF\xBD" "A");
    CHECK_STR(parsed("\"\\ud83d\\ud83d\\ude00\"")->string, "\xEF\xBF\xBD\xF0\x9F\x98\x80");
    CHECK_STR(parsed("\"a\xFF\xC3\\n\xC3\xA9\"")->string, "a\xEF\xBF\xBD\xEF\xBF\xBD\n\xC3\xA9");
    struct str zero = parsed("\"a\\u0000b\"")->string;
    CHECK(zero.len == 3 && memcmp(zero.ptr, "a\0b", 3) == 0);
    CHECK_STR(json_str(parsed("{\"k\":\"first\",\"k\":\"last\"}"), "k", STR("")), "last");
}

TEST(core_json_refuses)
{
    static const struct { const char *text; int at; } bad[] = {
        {"", 0}, {"  ", 2}, {"{", 1}, {"[", 1}, {"[1", 2}, {"[1,", 3}, {"[1,]", 3}, {"[,1]", 1},
        {"[1 2]", 3}, {"{\"a\"}", 4}, {"{\"a\":}", 5}, {"{\"a\":1,}", 7}, {"{a:1}", 1},
        {"{1:1}", 1}, {"[1}", 2}, {"{\"a\":1]", 6}, {"1 2", 2}, {"nul", 0}, {"nulll", 4},
        {"True", 0}, {"NaN", 0},
        {"-Infinity", 1}, {"01", 1}, {"-", 1}, {"1.", 2}, {".5", 0}, {"1e", 2}, {"1e+", 3},
        {"+1", 0}, {"0x10", 1}, {"1e999", 0}, {"[-1e999]", 1}, {"\"", 1}, {"\"a", 1}, {"\"\\", 1},
        {"\"\\\"", 1}, {"\"\\x\"", 2}, {"\"\\u12\"", 3}, {"\"\\u12g4\"", 3}, {"\"a\nb\"", 2},
        {"'a'", 0},
        {"// x\n1", 0}, {"\x00", 0}, {"[1]]", 3}, {"\"\x1F\"", 1},
    };
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        struct json *value;
        char at[32];
        CHECK_ERR(parse(str_of(bad[i].text), &value), ERR_FORMAT);
        snprintf(at, sizeof at, "byte %d:", bad[i].at);
        if (!strstr(err_text(), at))
            test_fail(__FILE__, __LINE__, "%s: want %s, got %s", bad[i].text, at, err_text());
    }
    CHECK(parsed("1e-999")->number == 0);
}

TEST(core_json_depth)
{
    char text[2 * JSON_DEPTH_MAX + 3] = {0};
    struct json *value;
    memset(text, '[', JSON_DEPTH_MAX);
    memset(text + JSON_DEPTH_MAX, ']', JSON_DEPTH_MAX);
    CHECK_OK(parse(str_of(text), &value));
    memset(text, '[', JSON_DEPTH_MAX + 1);
    memset(text + JSON_DEPTH_MAX + 1, ']', JSON_DEPTH_MAX + 1);
    CHECK_ERR(parse(str_of(text), &value), ERR_FORMAT);
    CHECK(strstr(err_text(), "64 levels"));
    char *deep = malloc(10 << 20);
    memset(deep, '{', 10 << 20);
    CHECK_ERR(parse((struct str){deep, 10 << 20}, &value), ERR_FORMAT);
    free(deep);
}

TEST(core_json_arena_full)
{
    struct arena small;
    struct json *value;
    struct buf text = {0};
    buf_char(&text, '[');
    for (int i = 0; i < 1000; i++)
        buf_text(&text, "0,");
    buf_text(&text, "0]");
    CHECK_OK(arena_open(&small, 50000));
    CHECK_ERR(json_parse(&small, buf_view(&text), &value), ERR_LIMIT);
    arena_close(&small);
    buf_free(&text);
}

/* 2 MB each of what makes naive parsers quadratic. */
TEST_LIMIT(core_json_linear, 20)
{
    static const char *const unit[] = {"\\u0041", "\\ud83d", "\xFF", "\\\\", "x", "\xC3\xA9",
                                       "\\n\xFF"};
    for (size_t i = 0; i < COUNT_OF(unit); i++) {
        struct buf text = {0};
        struct json *value;
        buf_char(&text, '"');
        while (text.len < 2000000)
            buf_text(&text, unit[i]);
        buf_char(&text, '"');
        CHECK_OK(parse(buf_view(&text), &value));
        buf_free(&text);
    }
    struct buf digits = {0};
    struct json *value;
    for (int i = 0; i < 2000000; i++)
        buf_char(&digits, '1');
    CHECK_ERR(parse(buf_view(&digits), &value), ERR_FORMAT);
    buf_text(&digits, "e-1999999");
    CHECK_OK(parse(buf_view(&digits), &value));
    CHECK_NUM(value->number, 1.1111111111111111, 1e-15);
    buf_free(&digits);
}

TEST(core_json_u64)
{
    uint64_t u = 0;
    CHECK(json_u64(parsed("18446744073709551615"), &u) && u == UINT64_MAX);
    CHECK(json_u64(parsed("9007199254740993"), &u) && u == 9007199254740993u);
    CHECK(!json_u64(parsed("18446744073709551616"), &u));
    CHECK(!json_u64(parsed("-1"), &u) && !json_u64(parsed("1.0"), &u));
    CHECK(!json_u64(parsed("\"1\""), &u));
    CHECK(!json_u64(NULL, &u));
}

TEST(core_json_writer)
{
    struct buf text = {0};
    struct json_writer w;
    json_begin(&w, &text);
    json_open(&w, '{');
    json_field_open(&w, "a<b", '[');
    json_put_u64(&w, UINT64_MAX);
    json_put_i64(&w, INT64_MIN);
    json_put_bool(&w, true);
    json_put_null(&w);
    json_open(&w, '{');
    json_close(&w, '}');
    json_put_num(&w, NAN);
    json_put_num(&w, -INFINITY);
    json_close(&w, ']');
    json_field_str(&w, "s", STR("</script>&\"\\\n\x01\x7F\xE2\x80\xA8\xE2\x80\xA9\xFF\xC3\xA9"));
    json_close(&w, '}');
    CHECK_STR(buf_view(&text),
              "{\"a\\u003cb\":[18446744073709551615,-9223372036854775808,true,null,{},null,null],"
              "\"s\":\"\\u003c/script\\u003e\\u0026\\\"\\\\\\n\\u0001\\u007f\\u2028\\u2029"
              "\xEF\xBF\xBD\xC3\xA9\"}");
    buf_free(&text);
}

TEST(core_json_fields)
{
    struct buf text = {0};
    struct json_writer w;
    json_begin(&w, &text);
    json_open(&w, '{');
    json_field_u64(&w, "u", UINT64_MAX);
    json_field_i64(&w, "i", INT64_MIN);
    json_field_num(&w, "n", 0.5);
    json_field_num(&w, "inf", INFINITY);
    json_field_bool(&w, "b", false);
    json_field_text(&w, "t", "a<b");
    json_field_str(&w, "s", (struct str){"a\0b", 3});
    json_field_raw(&w, "r", STR("[1]"));
    json_field_open(&w, "o", '{');
    json_close(&w, '}');
    json_close(&w, '}');
    CHECK_STR(buf_view(&text),
              "{\"u\":18446744073709551615,\"i\":-9223372036854775808,\"n\":0.5,\"inf\":null,"
              "\"b\":false,\"t\":\"a\\u003cb\",\"s\":\"a\\u0000b\",\"r\":[1],\"o\":{}}");
    buf_free(&text);
}

/* Shortest: one digit less does not read back; the same number always does. */
TEST(core_json_numbers_round_trip)
{
    uint64_t seed = 4;
    struct buf text = {0};
    struct json_writer w;
    static const struct { double v; const char *text; } known[] = {
        {0, "0"}, {-0.0, "-0"}, {1, "1"}, {0.1, "0.1"}, {1e21, "1e+21"},
        {1.0 / 3, "0.3333333333333333"}, {5e-324, "5e-324"}, {1.5e-320, "1.5e-320"},
        {1.7976931348623157e308, "1.7976931348623157e+308"},
        {123456789012345680.0, "1.2345678901234568e+17"}};
    for (size_t i = 0; i < COUNT_OF(known); i++) {
        buf_clear(&text);
        json_begin(&w, &text);
        json_put_num(&w, known[i].v);
        CHECK_STR(buf_view(&text), known[i].text);
    }
    for (int i = 0; i < 100000; i++) {
        uint64_t bits = test_random(&seed);
        double v;
        memcpy(&v, &bits, sizeof v);
        if (!isfinite(v))
            continue;
        buf_clear(&text);
        json_begin(&w, &text);
        json_put_num(&w, v);
        CHECK(parsed(buf_cstr(&text))->number == v);
    }
    buf_free(&text);
}

/* What was written reads back as it was: strings of any bytes that are UTF-8. */
TEST(core_json_strings_round_trip)
{
    uint64_t seed = 5;
    for (int i = 0; i < 3000; i++) {
        struct buf bytes = {0}, text = {0};
        struct json_writer w;
        size_t count = test_random(&seed) % 40;
        for (size_t k = 0; k < count; k++) {
            char utf8[4];
            uint64_t draw = test_random(&seed);
            uint32_t range = draw % 3 == 0 ? 0x110000 : draw % 3 == 1 ? 0x80 : 0x2100;
            buf_add(&bytes, utf8, (size_t)utf8_encode((uint32_t)(draw >> 8) % range, utf8));
        }
        json_begin(&w, &text);
        json_put_str(&w, buf_view(&bytes));
        CHECK(!strpbrk(buf_cstr(&text), "<>&\n"));
        CHECK(str_eq(parsed(buf_cstr(&text))->string, buf_view(&bytes)));
        buf_free(&bytes);
        buf_free(&text);
    }
}

static void write_value(struct json_writer *w, const struct json *v)
{
    switch (v->type) {
    case JSON_NULL: json_put_null(w); break;
    case JSON_BOOL: json_put_bool(w, v->boolean); break;
    case JSON_NUMBER: json_put_num(w, v->number); break;
    case JSON_STRING: json_put_str(w, v->string); break;
    default:
        json_open(w, v->type == JSON_ARRAY ? '[' : '{');
        for (const struct json *child = v->child; child; child = child->next) {
            char key[300];
            snprintf(key, sizeof key, "%.*s", STR_ARG(child->key));
            if (v->type == JSON_OBJECT)
                json_key(w, key);
            write_value(w, child);
        }
        json_close(w, v->type == JSON_ARRAY ? ']' : '}');
    }
}

/* Mutations: whatever is accepted writes to a form that is a fixed point of parse and write. */
TEST(core_json_mutations)
{
    static const char base[] = "{\"a\":[1,-2.5e3,true,null,\"x\\u00e9\\n\"],"
                               "\"b\":{\"c\":\"\xC3\xA9\"},\"d\":0}";
    uint64_t seed = 6;
    int accepted = 0;
    for (int i = 0; i < 60000; i++) {
        char text[sizeof base];
        struct buf once = {0}, twice = {0};
        struct json_writer w;
        struct json *value;
        memcpy(text, base, sizeof base);
        for (uint64_t k = test_random(&seed) % 3; k < 3; k++) {
            uint64_t draw = test_random(&seed);
            char other = draw >> 32 & 1 ? "[]{}\",:\\0e-"[(draw >> 40) % 11] : (char)(draw >> 40);
            text[draw % (sizeof base - 1)] = other;
        }
        int rc = parse((struct str){text, sizeof base - 1 - test_random(&seed) % 3}, &value);
        CHECK(rc == 0 || rc == ERR_FORMAT);
        if (rc < 0)
            continue;
        accepted++;
        json_begin(&w, &once);
        write_value(&w, value);
        CHECK_OK(parse(buf_view(&once), &value));
        json_begin(&w, &twice);
        write_value(&w, value);
        CHECK(str_eq(buf_view(&once), buf_view(&twice)));
        buf_free(&once);
        buf_free(&twice);
    }
    CHECK(accepted > 1000);
}

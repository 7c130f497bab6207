/* test_core_parquet - round trips, other programs' files, damaged and hostile ones. */
#include "core/parquet.h"
#include "core/parquet_format.h"
#include "core/snappy.h"
#include "core/thrift.h"
#include "tests/test.h"

#include <math.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

/* The rows of tests/oracle/parquet_check.py. */
static const struct pq_column columns[] = {
    {"id", PQ_U64, false, false},    {"count", PQ_U32, false, false},
    {"score", PQ_F32, true, false},  {"url", PQ_STRING, false, false},
    {"lang", PQ_STRING, true, true}, {"flag", PQ_BOOL, true, false},
};
enum { ID, COUNT, SCORE, URL, LANG, FLAG, COLUMNS };

static struct str url_of(uint32_t i)
{
    static char url[64];
    return (struct str){url, (size_t)snprintf(url, sizeof url, "https://example.com/é/%u", i)};
}

static struct str lang_of(uint32_t i)
{
    static const char *const name[] = {"en", "de", "中文", ""};
    return i % 11 == 5 ? (struct str){0} : str_of(name[i / 100 % 4]);
}

static float score_of(uint32_t i) { return i % 7 == 3 ? NAN : (float)(i % 1000) / 8 - 50; }

static void write_rows(const char *path, uint32_t count, struct io_info *info)
{
    struct pq_writer *w;
    CHECK_OK(pq_create(&w, path, columns, COLUMNS));
    CHECK_OK(pq_meta(w, "key", STR("value é")));
    for (uint32_t i = 0; i < count; i++) {
        pq_put_u64(w, i * 0x9E3779B97F4A7C15u);
        pq_put_u64(w, i * 2654435761u);
        pq_put_f32(w, score_of(i));
        pq_put_str(w, url_of(i));
        pq_put_str(w, lang_of(i));
        if (i % 5 == 0)
            pq_put_null(w);
        else
            pq_put_bool(w, i % 3 == 0);
        CHECK_OK(pq_end_row(w));
    }
    CHECK_OK(pq_commit(w, info));
}

static void check_row(const struct pq_data *d, uint32_t at, uint32_t i)
{
    CHECK(d[ID].valid[at] && d[ID].u64[at] == i * 0x9E3779B97F4A7C15u);
    CHECK(d[COUNT].valid[at] && d[COUNT].u64[at] == i * 2654435761u);
    CHECK_INT(d[SCORE].valid[at], i % 7 != 3);
    CHECK(i % 7 == 3 ? isnan(d[SCORE].f32[at]) : d[SCORE].f32[at] == score_of(i));
    CHECK(d[URL].valid[at] && str_eq(d[URL].str[at], url_of(i)));
    CHECK_INT(d[LANG].valid[at], i % 11 != 5);
    CHECK(str_eq(d[LANG].str[at], lang_of(i)));
    CHECK_INT(d[LANG].str[at].ptr == NULL, i % 11 == 5);
    CHECK_INT(d[FLAG].valid[at], i % 5 != 0);
    CHECK_INT(d[FLAG].u64[at], i % 5 != 0 && i % 3 == 0);
}

/* A column page by page, beside pq_read's of whole row groups: the same values. Where those
 * failed it only has to come to an end. */
static void check_stream(struct pq_reader *r, int column, struct arena *a, bool sound)
{
    struct pq_stream *s;
    struct pq_value v;
    int rc = 0;
    CHECK_OK(pq_stream_open(&s, r, column));
    for (int group = 0; group < pq_groups(r) && rc >= 0; group++) {
        struct pq_data d;
        arena_reset(a, 0);
        if ((rc = pq_read(r, group, column, a, &d)) < 0)
            break;
        for (uint32_t i = 0; i < d.rows; i++) {
            CHECK_INT(pq_stream_next(s, &v), 1);
            CHECK(v.valid == d.valid[i]);
            CHECK(!d.str || (str_eq(v.str, d.str[i]) && !v.str.ptr == !d.str[i].ptr));
            CHECK(!d.u64 || v.u64 == d.u64[i]);
        }
    }
    CHECK(rc >= 0 || !sound);
    if (rc >= 0)
        CHECK_INT(pq_stream_next(s, &v), 0);
    while (rc < 0 && (rc = pq_stream_next(s, &v)) > 0)
        ; /* rows of the group's pages in front of the damage */
    pq_stream_close(s);
}

/* Reads all; the first error ends it. rows_seen counts rows whose six columns were read. */
static int read_rows(const char *path, bool check, uint32_t *rows_seen)
{
    static struct arena a;
    struct pq_reader *r = NULL;
    *rows_seen = 0;
    TRY(pq_open(&r, path));
    if (!a.base)
        CHECK_OK(arena_open(&a, (size_t)1 << 30));
    int rc = 0;
    for (int group = 0; group < pq_groups(r) && rc == 0; group++) {
        struct pq_data d[PQ_COLUMNS_MAX];
        for (int c = 0; c < pq_column_count(r) && rc == 0; c++)
            rc = pq_read(r, group, c, &a, &d[c]);
        for (uint32_t i = 0; check && rc == 0 && i < d[0].rows; i++)
            check_row(d, i, *rows_seen + i);
        *rows_seen += rc == 0 && pq_column_count(r) ? d[0].rows : 0;
        arena_reset(&a, 0);
    }
    if (rc == 0 && check)
        CHECK_INT(pq_rows(r), *rows_seen);
    static uint32_t files; /* of thousands that are damaged a few are enough */
    for (int c = 0; (check || files++ % 4 == 0) && c < pq_column_count(r); c++)
        check_stream(r, c, &a, rc == 0);
    arena_reset(&a, 0);
    pq_close(r);
    return rc;
}

/* A file in memory that is written thousands of times: a disk would make these tests slow. */
static const char *write_raw(struct str bytes)
{
    static char path[64];
    static int fd = -1;
    if (fd < 0)
        fd = memfd_create("parquet", 0);
    CHECK(fd >= 0 && ftruncate(fd, 0) == 0);
    CHECK(pwrite(fd, bytes.ptr, bytes.len, 0) == (ssize_t)bytes.len);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    return path;
}

TEST(core_parquet_round_trip)
{
    static const uint32_t counts[] = {0,     1, 7, 8, 9, 1000, PQ_GROUP_ROWS, PQ_GROUP_ROWS + 1,
                                      150000};
    const char *path = test_path("a.parquet");
    for (size_t i = 0; i < COUNT_OF(counts); i++) {
        uint32_t seen;
        write_rows(path, counts[i], NULL);
        CHECK_OK(read_rows(path, true, &seen));
        CHECK_INT(seen, counts[i]);
    }
}

TEST(core_parquet_schema_and_meta)
{
    struct pq_reader *r;
    write_rows(test_path("a.parquet"), 10, NULL);
    CHECK_OK(pq_open(&r, test_path("a.parquet")));
    CHECK_INT(pq_column_count(r), COLUMNS);
    for (int i = 0; i < COLUMNS; i++) {
        CHECK_STR(str_of(pq_column(r, i)->name), columns[i].name);
        CHECK_INT(pq_column(r, i)->type, columns[i].type);
        CHECK_INT(pq_column(r, i)->optional, columns[i].optional);
        CHECK_INT(pq_find(r, columns[i].name), i);
    }
    CHECK_INT(pq_find(r, "none"), -1);
    CHECK_STR(pq_get_meta(r, "key"), "value é");
    CHECK(pq_get_meta(r, "ke").ptr == NULL);
    pq_close(r);
}

TEST(core_parquet_same_bytes)
{
    struct io_info first, second;
    write_rows(test_path("a.parquet"), 70000, &first);
    write_rows(test_path("b.parquet"), 70000, &second);
    CHECK(first.bytes == second.bytes && first.hash.low == second.hash.low);
    CHECK_INT(first.hash.high == second.hash.high, 1);
}

/* Texts far above a page and a group, none, and bytes that are not UTF-8. */
TEST(core_parquet_long_strings)
{
    static const struct pq_column one[] = {{"text", PQ_STRING, false, true}};
    const char *path = test_path("a.parquet");
    struct pq_writer *w;
    struct pq_reader *r;
    struct arena a;
    struct pq_data d;
    struct buf text = {0};
    uint64_t seed = 7;
    while (text.len < 3 << 20)
        buf_char(&text, (char)('a' + test_random(&seed) % 26));
    CHECK_OK(pq_create(&w, path, one, 1));
    for (uint32_t i = 0; i < 50; i++) {
        pq_put_str(w, str_slice(buf_view(&text), i, i % 3 == 0 ? i : text.len));
        CHECK_OK(pq_end_row(w));
    }
    pq_put_str(w, STR("a\xFFz\xE4"));
    CHECK_OK(pq_end_row(w));
    CHECK_OK(pq_commit(w, NULL));
    CHECK_OK(pq_open(&r, path));
    CHECK_OK(arena_open(&a, (size_t)1 << 30));
    CHECK_INT(pq_rows(r), 51);
    CHECK(pq_groups(r) > 1);
    uint32_t i = 0;
    for (int group = 0; group < pq_groups(r); group++) {
        CHECK_OK(pq_read(r, group, 0, &a, &d));
        for (uint32_t k = 0; k < d.rows; k++, i++)
            if (i < 50)
                CHECK(str_eq(d.str[k], str_slice(buf_view(&text), i, i % 3 == 0 ? i : text.len)));
    }
    CHECK_STR(d.str[d.rows - 1], "a\uFFFDz\uFFFD");
    pq_close(r);
    struct buf huge = {.max = SIZE_MAX / 2};
    CHECK(buf_room(&huge, PQ_STRING_MAX + 1) != NULL);
    memset(huge.ptr, 'x', PQ_STRING_MAX + 1);
    CHECK_OK(pq_create(&w, path, one, 1));
    pq_put_str(w, (struct str){huge.ptr, PQ_STRING_MAX + 1});
    CHECK_ERR(pq_end_row(w), ERR_LIMIT);
    pq_abandon(w);
    CHECK_OK(pq_open(&r, path)); /* the file of before is untouched */
    pq_close(r);
    buf_free(&huge);
    buf_free(&text);
}

/* Dictionaries that do not pay, of one entry, and of every index width. */
TEST(core_parquet_dictionaries)
{
    static const struct pq_column one[] = {{"s", PQ_STRING, true, true}};
    static const uint32_t distinct[] = {1, 2, 3, 255, 257, 4097, 65536};
    for (size_t n = 0; n < COUNT_OF(distinct); n++) {
        const char *path = test_path("a.parquet");
        struct pq_writer *w;
        struct pq_reader *r;
        struct arena a;
        struct pq_data d;
        char text[64];
        CHECK_OK(pq_create(&w, path, one, 1));
        for (uint32_t i = 0; i < PQ_GROUP_ROWS; i++) {
            snprintf(text, sizeof text, "value %u", (uint32_t)hash_mix(i) % distinct[n]);
            pq_put_str(w, i % 100 == 99 ? (struct str){0} : str_of(text));
            CHECK_OK(pq_end_row(w));
        }
        CHECK_OK(pq_commit(w, NULL));
        CHECK_OK(pq_open(&r, path));
        CHECK_OK(arena_open(&a, 64 << 20));
        CHECK_OK(pq_read(r, 0, 0, &a, &d));
        for (uint32_t i = 0; i < PQ_GROUP_ROWS; i++) {
            snprintf(text, sizeof text, "value %u", (uint32_t)hash_mix(i) % distinct[n]);
            CHECK(i % 100 == 99 ? !d.valid[i] : str_is(d.str[i], text));
        }
        arena_close(&a);
        pq_close(r);
    }
}

TEST(core_parquet_special_floats)
{
    static const struct pq_column two[] = {{"may", PQ_F32, true, false},
                                           {"must", PQ_F32, false, false}};
    static const float values[] = {NAN, INFINITY, -INFINITY, 0.0f, -0.0f, 1e-45f, 3.4e38f};
    const char *path = test_path("a.parquet");
    struct pq_writer *w;
    struct pq_reader *r;
    struct arena a;
    struct pq_data d;
    CHECK_OK(pq_create(&w, path, two, 2));
    for (size_t i = 0; i < COUNT_OF(values); i++) {
        pq_put_f32(w, values[i]);
        pq_put_f32(w, values[i]);
        CHECK_OK(pq_end_row(w));
    }
    CHECK_OK(pq_commit(w, NULL));
    CHECK_OK(pq_open(&r, path));
    CHECK_OK(arena_open(&a, 1 << 20));
    for (int c = 0; c < 2; c++) {
        CHECK_OK(pq_read(r, 0, c, &a, &d));
        CHECK_INT(d.valid[0], c == 1);
        CHECK(memcmp(d.f32 + 1, values + 1, sizeof values - sizeof *values) == 0 &&
              isnan(d.f32[0]));
    }
    pq_close(r);
}

/* ---- other programs ---- */
static int run_oracle(const char *what, const char *path, uint32_t rows)
{
    const char *python = getenv("SLUICE_PYTHON");
    char count[16];
    int status = 0;
    snprintf(count, sizeof count, "%u", rows);
    pid_t pid = fork();
    if (pid == 0) {
        execlp(python ? python : "python3", python ? python : "python3",
               "tests/oracle/parquet_check.py", what, path, count, (char *)NULL);
        _exit(77);
    }
    waitpid(pid, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

TEST(core_parquet_read_by_others)
{
    const char *path = test_path("a.parquet");
    write_rows(path, 70000, NULL);
    int status = run_oracle("check", path, 70000);
    if (status == 77)
        test_skip("python3 with pyarrow and duckdb is not here (SLUICE_PYTHON names another)");
    CHECK_INT(status, 0);
}

static void check_nested(const char *path, uint32_t rows)
{
    struct pq_reader *r;
    struct arena a;
    struct pq_data d;
    CHECK_OK(pq_open(&r, path));
    CHECK_OK(arena_open(&a, 64 << 20));
    CHECK(pq_find(r, "list") < 0 && pq_find(r, "struct") < 0 && pq_find(r, "a") < 0);
    CHECK_OK(pq_read(r, 0, pq_find(r, "double"), &a, &d));
    CHECK_NUM(d.f32[5], 1.25, 0);
    CHECK_OK(pq_read(r, 0, pq_find(r, "signed"), &a, &d));
    CHECK_INT(d.u64[5], -5);
    CHECK_OK(pq_read(r, 0, pq_find(r, "url"), &a, &d));
    CHECK_INT(d.rows, rows);
    CHECK(str_eq(d.str[rows - 1], url_of(rows - 1)));
    arena_close(&a);
    pq_close(r);
}

static void check_split(const char *path)
{
    struct pq_reader *r;
    struct arena a;
    struct pq_data d;
    CHECK_OK(pq_open(&r, path));
    CHECK_OK(arena_open(&a, 1 << 20));
    CHECK_ERR(pq_read(r, 0, 0, &a, &d), ERR_FORMAT);
    CHECK(strstr(err_text(), "BYTE_STREAM_SPLIT") && strstr(err_text(), "column score"));
    arena_close(&a);
    pq_close(r);
}

static void check_dialects(const char *dir, uint32_t rows)
{
    static const char *const name[] = {"snappy", "gzip",   "zstd_v2", "none_small",
                                       "crc",    "duckdb", "delta"};
    char path[IO_PATH_MAX];
    for (size_t i = 0; i < COUNT_OF(name); i++) {
        uint32_t seen;
        CHECK_OK(io_path(path, "%s/%s.parquet", dir, name[i]));
        CHECK_OK(read_rows(path, true, &seen));
        CHECK_INT(seen, rows);
    }
    CHECK_OK(io_path(path, "%s/nested.parquet", dir));
    check_nested(path, rows);
    CHECK_OK(io_path(path, "%s/split.parquet", dir));
    check_split(path);
}

/* Files kept from pyarrow 26 and DuckDB 2.0: `parquet_check.py make tests/golden/parquet 300`. */
TEST(core_parquet_golden_dialects) { check_dialects("tests/golden/parquet", 300); }

TEST(core_parquet_written_by_others)
{
    int status = run_oracle("make", test_dir(), 20000);
    if (status == 77)
        test_skip("python3 with pyarrow and duckdb is not here (SLUICE_PYTHON names another)");
    CHECK_INT(status, 0);
    check_dialects(test_dir(), 20000);
}

/* ---- damage ---- */
TEST(core_parquet_truncated)
{
    const char *path = test_path("a.parquet");
    char *bytes;
    size_t size;
    uint32_t seen;
    write_rows(path, 500, NULL);
    CHECK_OK(io_read_file(path, 1 << 20, &bytes, &size));
    for (size_t len = 0; len < size; len += len < 64 || size - len < 1200 ? 1 : 37) {
        const char *cut = write_raw((struct str){bytes, len});
        CHECK_ERR(read_rows(cut, false, &seen), ERR_FORMAT);
    }
    free(bytes);
    CHECK_ERR(read_rows(test_path("none.parquet"), false, &seen), ERR_IO);
    CHECK_ERR(read_rows(test_dir(), false, &seen), ERR_FORMAT);
}

/* Every bit of a file of ours flipped in turn: no crash, and no wrong row passes for a right one
 * when the flip is in a page (they carry a CRC-32). */
TEST(core_parquet_bit_flips)
{
    const char *path = test_path("a.parquet");
    char *bytes;
    size_t size;
    uint32_t seen, len;
    write_rows(path, 40, NULL);
    CHECK_OK(io_read_file(path, 1 << 20, &bytes, &size));
    memcpy(&len, bytes + size - 8, 4);
    size_t footer = size - 8 - len, errors = 0;
    for (size_t bit = 0; bit < size * 8; bit++) {
        bytes[bit / 8] ^= (char)(1 << bit % 8);
        int rc = read_rows(write_raw((struct str){bytes, size}), false, &seen);
        CHECK(rc == 0 || rc == ERR_FORMAT || rc == ERR_LIMIT);
        errors += rc < 0 && bit / 8 < footer;
        bytes[bit / 8] ^= (char)(1 << bit % 8);
    }
    /* what may pass: bits of page headers that say nothing the reader needs */
    CHECK(errors * 10 > footer * 8 * 9);
    free(bytes);
}

/* The other programs' files take other paths through the reader; random damage, several bytes a
 * time. */
TEST(core_parquet_random_damage)
{
    static const char *const name[] = {"snappy", "gzip",   "zstd_v2", "none_small",
                                       "nested", "duckdb", "delta"};
    char from[IO_PATH_MAX];
    uint64_t seed = 3;
    for (size_t i = 0; i < COUNT_OF(name); i++) {
        char *bytes;
        size_t size;
        CHECK_OK(io_path(from, "tests/golden/parquet/%s.parquet", name[i]));
        CHECK_OK(io_read_file(from, 1 << 20, &bytes, &size));
        char *damaged = malloc(size);
        CHECK(damaged != NULL);
        for (int round = 0; round < 1500; round++) {
            uint32_t seen;
            memcpy(damaged, bytes, size);
            for (uint64_t k = test_random(&seed) % 4 + 1; k; k--)
                damaged[test_random(&seed) % size] = (char)test_random(&seed);
            int rc = read_rows(write_raw((struct str){damaged, size}), false, &seen);
            CHECK(rc == 0 || rc == ERR_FORMAT || rc == ERR_LIMIT);
        }
        free(damaged);
        free(bytes);
    }
}

/* A file of one u64 column with the numbers given: what a liar would write. */
static int read_forged(int64_t rows, int64_t plain, int64_t values, struct str page)
{
    struct buf file = {0};
    struct thrift_out t;
    buf_text(&file, PQ_MAGIC);
    thrift_start(&t, &file);
    thrift_put_int(&t, 1, THRIFT_I32, PAGE_DATA);
    thrift_put_int(&t, 2, THRIFT_I32, plain);
    thrift_put_int(&t, 3, THRIFT_I32, (int64_t)page.len);
    thrift_open(&t, 5);
    thrift_put_int(&t, 1, THRIFT_I32, values);
    thrift_put_int(&t, 2, THRIFT_I32, ENCODING_PLAIN);
    thrift_close(&t);
    thrift_close(&t);
    buf_str(&file, page);
    size_t footer = file.len;
    thrift_start(&t, &file);
    thrift_put_list(&t, 2, THRIFT_STRUCT, 2);
    thrift_open(&t, 0);
    thrift_put_str(&t, 4, STR("root"));
    thrift_put_int(&t, 5, THRIFT_I32, 1);
    thrift_close(&t);
    thrift_open(&t, 0);
    thrift_put_int(&t, 1, THRIFT_I32, PHYSICAL_INT64);
    thrift_put_int(&t, 3, THRIFT_I32, REPEAT_REQUIRED);
    thrift_put_str(&t, 4, STR("n"));
    thrift_close(&t);
    thrift_put_int(&t, 3, THRIFT_I64, rows);
    thrift_put_list(&t, 4, THRIFT_STRUCT, 1);
    thrift_open(&t, 0);
    thrift_put_list(&t, 1, THRIFT_STRUCT, 1);
    thrift_open(&t, 0);
    thrift_open(&t, 3);
    thrift_put_int(&t, 1, THRIFT_I32, PHYSICAL_INT64);
    thrift_put_int(&t, 4, THRIFT_I32, CODEC_NONE);
    thrift_put_int(&t, 5, THRIFT_I64, rows);
    thrift_put_int(&t, 7, THRIFT_I64, (int64_t)footer - 4);
    thrift_put_int(&t, 9, THRIFT_I64, 4);
    thrift_close(&t);
    thrift_close(&t);
    thrift_put_int(&t, 3, THRIFT_I64, rows);
    thrift_close(&t);
    thrift_close(&t);
    uint32_t len = (uint32_t)(file.len - footer), seen;
    buf_add(&file, &len, 4);
    buf_text(&file, PQ_MAGIC);
    const char *path = write_raw(buf_view(&file));
    buf_free(&file);
    return read_rows(path, false, &seen);
}

TEST(core_parquet_forged_numbers)
{
    struct str sixteen = STR("0123456789abcdef");
    CHECK_OK(read_forged(2, 16, 2, sixteen));
    CHECK_ERR(read_forged(3, 16, 3, sixteen), ERR_FORMAT); /* values it does not have */
    CHECK_ERR(read_forged(1, 16, 2, sixteen), ERR_FORMAT); /* more than the group */
    CHECK_ERR(read_forged(3, 16, 2, sixteen), ERR_FORMAT); /* fewer */
    CHECK_ERR(read_forged(2, 17, 2, sixteen), ERR_FORMAT);
    CHECK_ERR(read_forged(2, INT32_MAX, 2, sixteen), ERR_FORMAT);
    CHECK_ERR(read_forged(2, -1, 2, sixteen), ERR_FORMAT);
    CHECK_ERR(read_forged(2, 16, -1, sixteen), ERR_FORMAT);
    CHECK_ERR(read_forged(-1, 16, 2, sixteen), ERR_FORMAT);
    CHECK_ERR(read_forged(INT64_MAX, 16, 2, sixteen), ERR_FORMAT);
    CHECK_ERR(read_forged(PQ_GROUP_ROWS_MAX + 1, 16, 2, sixteen), ERR_FORMAT);
}

/* ---- thrift and snappy ---- */
TEST(core_thrift_skip_hostile)
{
    struct buf deep = {0};
    for (int i = 0; i < 100000; i++)
        buf_char(&deep, (char)(1 << 4 | THRIFT_STRUCT));
    struct thrift_in in = {(uint8_t *)deep.ptr, (uint8_t *)deep.ptr + deep.len, false};
    thrift_skip(&in, THRIFT_STRUCT);
    CHECK(in.bad);
    uint64_t seed = 11;
    for (int round = 0; round < 200000; round++) {
        uint8_t bytes[24];
        struct thrift_field f = {0};
        for (size_t i = 0; i < sizeof bytes; i++)
            bytes[i] = (uint8_t)test_random(&seed);
        in = (struct thrift_in){bytes, bytes + sizeof bytes, false};
        while (thrift_next(&in, &f))
            thrift_skip(&in, f.type);
        CHECK(in.at >= bytes && in.at <= bytes + sizeof bytes);
    }
    buf_free(&deep);
}

TEST(core_thrift_round_trip)
{
    static const int64_t number[] = {0, 1, -1, 63, -64, 64, INT32_MAX, INT64_MIN, INT64_MAX};
    struct buf bytes = {0};
    struct thrift_out t;
    thrift_start(&t, &bytes);
    thrift_put_list(&t, 1, THRIFT_I64, COUNT_OF(number));
    for (size_t i = 0; i < COUNT_OF(number); i++)
        thrift_put_int(&t, 0, THRIFT_I64, number[i]);
    thrift_put_bool(&t, 2, true);
    thrift_open(&t, 9);
    thrift_put_str(&t, 15, STR("inside"));
    thrift_close(&t);
    thrift_put_int(&t, 10, THRIFT_I8, -5);
    thrift_close(&t);
    for (int skipped = 0; skipped < 2; skipped++) {
        struct thrift_in in = {(uint8_t *)bytes.ptr, (uint8_t *)bytes.ptr + bytes.len, false};
        struct thrift_field f = {0};
        CHECK(thrift_next(&in, &f) && f.id == 1);
        if (skipped)
            thrift_skip(&in, f.type);
        else
            CHECK_INT(thrift_list(&in, f.type, THRIFT_I64), COUNT_OF(number));
        for (size_t i = 0; i < COUNT_OF(number) && !skipped; i++)
            CHECK_INT(thrift_int(&in, THRIFT_I64), number[i]);
        CHECK(thrift_next(&in, &f) && f.id == 2 && thrift_int(&in, f.type) == 1);
        CHECK(thrift_next(&in, &f) && f.id == 9 && f.type == THRIFT_STRUCT);
        thrift_skip(&in, f.type);
        CHECK(thrift_next(&in, &f) && f.id == 10);
        CHECK_INT(thrift_int(&in, f.type), -5);
        CHECK(!thrift_next(&in, &f) && !in.bad && in.at == in.end);
    }
    buf_free(&bytes);
}

/* Encoded by hand after snappy's format_description.txt. */
TEST(core_snappy_examples)
{
    static const struct {
        struct str from;
        const char *want;
    } rows[] = {
        {STR("\x00"), ""},
        {STR("\x03\x08"
             "abc"),
         "abc"},
        {STR("\x0A\x00"
             "x"
             "\x22\x01\x00"),
         "xxxxxxxxxx"}, /* 2-byte copy over itself */
        {STR("\x08\x0C"
             "abcd"
             "\x01\x04"),
         "abcdabcd"}, /* 1-byte copy, length 4 */
        {STR("\x08\x0C"
             "abcd"
             "\x0F\x04\x00\x00\x00"),
         "abcdabcd"}, /* 4-byte offset */
    };
    static const struct str bad[] = {
        STR(""),
        STR("\x03"),
        STR("\x03\x08"
            "ab"),
        STR("\x02\x08"
            "abc"),
        STR("\x04\x08"
            "abc"),
        STR("\x08\x0C"
            "abcd"
            "\x01\x05"),
        STR("\x08\x0C"
            "abcd"
            "\x01\x00"),
        STR("\x08\x0C"
            "abcd"
            "\x01"),
        STR("\x09\x0C"
            "abcd"
            "\x01\x04"),
        STR("\xFF\xFF\xFF\xFF\xFF\xFF"),
        STR("\x03\xFC\xFF\xFF\xFF\xFF"),
    };
    unsigned char out[16];
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        size_t len = strlen(rows[i].want);
        CHECK(snappy_decode(rows[i].from, out, len));
        CHECK(memcmp(out, rows[i].want, len) == 0);
    }
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        for (size_t len = 0; len <= sizeof out; len++)
            CHECK(!snappy_decode(bad[i], out, len));
}

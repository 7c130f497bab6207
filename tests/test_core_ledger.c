/* test_core_ledger - reading of chosen columns, and the pointer to another run's ledger. */
#include "core/ledger.h"

#include "tests/test.h"

#include <math.h>

enum { ROWS = 70000 }; /* two row groups */

static struct schema *made_schema(void)
{
    struct schema *schema = calloc(1, sizeof *schema);
    CHECK(schema != NULL);
    schema_init(schema);
    CHECK_OK(schema_signal(schema, "test.a", "words"));
    CHECK_OK(schema_signal(schema, "test.b", ""));
    return schema;
}

static void made_ledger(const char *path)
{
    struct schema *schema = made_schema();
    struct ledger_writer *w;
    CHECK_OK(ledger_create(&w, path, "in/a.warc.gz", schema));
    for (uint32_t i = 0; i < ROWS; i++) {
        float signal[2] = {(float)i, 0.5f};
        struct ledger_row row = {.id = i * 3,
                                 .record = i,
                                 .url = STR("http://a/b"),
                                 .lang = i % 2 ? STR("de") : STR("en"),
                                 .verdict = STR("kept"),
                                 .tokens = i % 100,
                                 .value = NAN,
                                 .threshold = NAN,
                                 .signal = signal};
        CHECK_OK(ledger_add(w, &row));
    }
    CHECK_OK(ledger_commit(w, NULL));
    free(schema);
}

static int some_columns(void *arg, const struct ledger_row *row, struct str source,
                        const struct schema *schema)
{
    uint32_t *rows = arg;
    CHECK_INT(schema->signal_count, 2);
    CHECK_INT(row->record, *rows);
    CHECK_STR(row->lang, *rows % 2 ? "de" : "en");
    CHECK_NUM((double)row->signal[0], (double)*rows, 0);
    /* What was not asked for. */
    CHECK(isnan(row->signal[1]));
    CHECK_INT(row->id, 0);
    CHECK_INT(row->tokens, 0);
    CHECK_INT(row->url.len + row->verdict.len + source.len, 0);
    ++*rows;
    return *rows == ROWS - 5;
}

TEST(core_ledger_reads_the_columns_that_are_needed)
{
    char path[IO_PATH_MAX];
    struct ledger_reader *r;
    struct ledger_need need = {.column[LEDGER_LANG] = true, .signal[0] = true};
    uint32_t rows = 0;
    CHECK_OK(io_path(path, "%s/a.parquet", test_dir()));
    made_ledger(path);
    CHECK_OK(ledger_open(&r, path));
    CHECK_INT(schema_find_signal(ledger_schema(r), "test.b"), 1);
    CHECK_INT(ledger_rows(r, &need, some_columns, &rows), 1);
    CHECK_INT(rows, ROWS - 5); /* where it was told to stop */
    ledger_close(r);
}

static int count_row(void *arg, const struct ledger_row *row, struct str source,
                     const struct schema *schema)
{
    UNUSED(schema);
    CHECK_STR(source, "in/a.warc.gz");
    CHECK_INT(row->id, row->record * 3);
    ++*(uint32_t *)arg;
    return 0;
}

TEST(core_ledger_of_a_run_on_another_runs_store)
{
    char path[IO_PATH_MAX], base[IO_PATH_MAX], text[IO_PATH_MAX + 64];
    uint32_t rows = 0;
    CHECK_OK(io_path(path, "%s/first/ledger/00000.parquet", test_dir()));
    made_ledger(path);
    CHECK_OK(ledger_base(test_dir(), base));
    CHECK_STR(str_of(base), test_dir());
    CHECK_OK(io_path(path, "%s/second/base.json", test_dir()));
    snprintf(text, sizeof text, "{\"path\":\"%s/first\"}", test_dir());
    CHECK_OK(io_write_file(path, str_of(text)));
    CHECK_OK(io_path(path, "%s/second", test_dir()));
    CHECK_OK(ledger_walk(path, count_row, &rows));
    CHECK_INT(rows, ROWS);
    static const char *const bad[] = {
        "", "{", "[]", "{\"path\":\"\"}", "{\"path\":\"a\\u0000b\"}", "{\"path\":3}"};
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        CHECK_OK(io_path(path, "%s/second/base.json", test_dir()));
        CHECK_OK(io_write_file(path, str_of(bad[i])));
        CHECK_OK(io_path(path, "%s/second", test_dir()));
        CHECK_ERR(ledger_base(path, base), ERR_FORMAT);
    }
}

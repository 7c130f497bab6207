/* test_core_pipe - batches, verdicts, the fused runner and the ledger. */
#include "core/ledger.h"
#include "core/pipe.h"
#include "tests/test.h"

#include <math.h>
#include <unistd.h>

/* A source of `total` documents whose record numbers count up; a stage that works unevenly long and
 * drops every third; a sink that hashes what it gets, in the order it gets it. */
struct numbers {
    uint32_t next, total;
    int per_batch;
};
struct collected {
    uint64_t hash;
    uint32_t seen, dropped;
    int fail_at;
};

static int numbers_fill(void *self, struct batch *b)
{
    struct numbers *n = self;
    for (int i = 0; i < n->per_batch && n->next < n->total; i++) {
        struct doc *d = batch_add(b);
        d->record = n->next++;
        d->raw = arena_str(&b->arena, STR("some bytes"));
        b->raw_bytes += d->raw.len;
    }
    return n->next < n->total;
}

static int uneven_open(struct stage *s, struct schema *schema)
{
    s->shared = schema;
    int signal = schema_signal(schema, "test.number", "records");
    CHECK_OK(schema_rule(schema, "test", "test.third", signal, 0, 1));
    return 0;
}

static int uneven_run(struct stage *s, void *local, struct batch *b)
{
    const int *fail_at = s->conf;
    int *count = local;
    ++*count;
    usleep((useconds_t)(hash_mix(b->seq) % 700));
    for (int i = 0; i < b->live_count; i++) {
        struct doc *d = &b->doc[b->live[i]];
        if (*fail_at && (int)d->record == *fail_at)
            return err_set(ERR_IO, "record %u burnt", d->record);
        d->signal[0] = (float)d->record;
        if (d->record % 3 == 0)
            doc_drop(d, 1, d->record, 0);
    }
    return 0;
}

static int collect(void *self, struct batch *b)
{
    struct collected *c = self;
    for (int i = 0; i < b->doc_count; i++) {
        CHECK_INT(b->doc[i].record, c->seen);
        c->hash = hash_mix(c->hash ^ b->doc[i].record ^ (uint64_t)b->doc[i].rule << 40);
        c->seen++;
        c->dropped += b->doc[i].rule != 0;
    }
    if (c->fail_at && (int)c->seen > c->fail_at)
        return err_set(ERR_AGAIN, "the disk is full");
    return 0;
}

static int run_pipe(int threads, int stage_fails, int sink_fails, struct collected *c)
{
    static const struct stage_type type = {
        .name = "uneven", .open = uneven_open, .run = uneven_run, .local_size = sizeof(int)};
    struct schema *schema = calloc(1, sizeof *schema);
    struct numbers n = {.total = 5000, .per_batch = 37};
    struct stage stage = {.type = &type, .name = "uneven", .conf = &stage_fails};
    schema_init(schema);
    CHECK_OK(type.open(&stage, schema));
    *c = (struct collected){.fail_at = sink_fails};
    struct pipe_conf conf = {.threads = threads};
    int rc =
        pipe_run(&stage, 1, (struct source){numbers_fill, &n}, (struct sink){collect, c}, &conf);
    free(schema);
    return rc;
}

TEST(core_pipe_order_for_any_threads)
{
    struct collected one, many;
    CHECK_OK(run_pipe(1, 0, 0, &one));
    CHECK_INT(one.seen, 5000);
    CHECK_INT(one.dropped, 1667);
    for (int threads = 2; threads <= 9; threads++) {
        CHECK_OK(run_pipe(threads, 0, 0, &many));
        CHECK_INT(many.seen, 5000);
        CHECK(many.hash == one.hash);
    }
}

TEST(core_pipe_errors_come_back_and_nothing_hangs)
{
    struct collected c;
    for (int threads = 1; threads <= 4; threads++) {
        CHECK_ERR(run_pipe(threads, 2500, 0, &c), ERR_IO);
        CHECK(strstr(err_text(), "record 2500 burnt") != NULL);
        CHECK(strstr(err_text(), "stage uneven") != NULL);
        CHECK_ERR(run_pipe(threads, 0, 1000, &c), ERR_AGAIN);
    }
    pipe_stop = 1;
    CHECK_ERR(run_pipe(2, 0, 0, &c), ERR_STOP);
}

TEST(core_pipe_first_verdict_stays)
{
    struct batch *b;
    CHECK_OK(batch_open(&b));
    struct doc *d = batch_add(b);
    doc_drop(d, 7, 1.5, 2.5);
    doc_drop(d, 70, 9, 9);
    CHECK_INT(d->rule, 7);
    CHECK_NUM(d->value, 1.5, 0);
    CHECK(d->also[0] == (uint64_t)1 << 7 && d->also[1] == (uint64_t)1 << 6);
    CHECK(isnan(d->signal[0]) && isnan(d->signal[SIGNALS_MAX - 1]));
    for (int i = 1; i < BATCH_DOCS_MAX; i++)
        CHECK(batch_add(b) != NULL);
    CHECK(batch_add(b) == NULL);
    CHECK(batch_full(b));
    batch_sweep(b);
    CHECK_INT(b->live_count, BATCH_DOCS_MAX - 1);
    CHECK_INT(b->live[0], 1);
    batch_clear(b);
    CHECK_INT(b->doc_count, 0);
    batch_close(b);
}

/* ---- ledger ---- */
static int count_rows(void *arg, const struct ledger_row *row, struct str source,
                      const struct schema *schema)
{
    uint32_t *rows = arg;
    CHECK_STR(source, "in/file.warc.gz");
    CHECK_INT(schema->signal_count, 2);
    CHECK_INT(schema_find_rule(schema, "test.rule"), 1);
    CHECK_NUM(schema->rule[1].threshold, 0.25, 0);
    CHECK_INT(row->record, *rows);
    CHECK_INT(row->id, hash_mix(*rows));
    bool dropped = *rows % 4 == 0;
    CHECK_STR(row->verdict, dropped ? "dropped" : "kept");
    CHECK_STR(row->rule, dropped ? "test.rule" : "");
    CHECK(dropped ? row->value == 0.5f : isnan(row->value));
    CHECK(isnan(row->signal[0]) == (*rows % 7 == 0));
    CHECK_NUM(row->signal[1], (double)*rows, 0);
    if (*rows == 3)
        CHECK_STR(row->url, "http://a/%FF");
    ++*rows;
    return 0;
}

TEST(core_ledger_round_trip)
{
    enum { ROWS = 70000 };
    struct schema *schema = calloc(1, sizeof *schema);
    struct ledger_writer *w;
    char path[300];
    uint32_t rows = 0;
    schema_init(schema);
    CHECK_OK(schema_signal(schema, "test.a", "words"));
    CHECK_OK(schema_signal(schema, "test.b", ""));
    CHECK_OK(schema_rule(schema, "test", "test.rule", 0, 0.25, 1));
    snprintf(path, sizeof path, "%s/ledger/00000.parquet", test_dir());
    CHECK_OK(ledger_create(&w, path, "in/file.warc.gz", schema));
    for (uint32_t i = 0; i < ROWS; i++) {
        float signal[2] = {i % 7 ? 1.5f : NAN, (float)i};
        bool dropped = i % 4 == 0;
        struct ledger_row row = {.id = hash_mix(i),
                                 .record = i,
                                 .url = i == 3 ? STR("http://a/\xFF") : STR("http://a/b"),
                                 .verdict = dropped ? STR("dropped") : STR("kept"),
                                 .rule = dropped ? STR("test.rule") : STR(""),
                                 .value = dropped ? 0.5f : NAN,
                                 .threshold = NAN,
                                 .signal = signal};
        CHECK_OK(ledger_add(w, &row));
    }
    CHECK_OK(ledger_commit(w, NULL));
    CHECK_OK(ledger_walk(test_dir(), count_rows, &rows));
    CHECK_INT(rows, ROWS);
    free(schema);
}

TEST(core_ledger_damage_is_an_error)
{
    struct schema *schema = calloc(1, sizeof *schema);
    struct ledger_writer *w;
    char path[300], *bytes;
    size_t len;
    uint32_t rows = 0;
    float signal[2] = {1.5f, 0};
    schema_init(schema);
    CHECK_OK(schema_signal(schema, "test.a", "words"));
    snprintf(path, sizeof path, "%s/ledger/00000.parquet", test_dir());
    CHECK_OK(ledger_create(&w, path, "x", schema));
    CHECK_OK(ledger_add(w, &(struct ledger_row){.verdict = STR("kept"), .signal = signal}));
    CHECK_OK(ledger_commit(w, NULL));
    CHECK_OK(io_read_file(path, 1 << 20, &bytes, &len));
    for (size_t cut = 0; cut < len; cut += 13) {
        CHECK_OK(io_write_file(path, (struct str){bytes, cut}));
        CHECK_ERR(ledger_walk(test_dir(), count_rows, &rows), ERR_FORMAT);
    }
    free(bytes);
    free(schema);
}

/* test_classify_stage - the stages language and quality over batches, and the model cache. */
#include "classify/classify.h"
#include "core/io.h"
#include "tests/test.h"

#include <math.h>
#include <sys/stat.h>
#include <unistd.h>

#define LID "models/lid.176.ftz"

struct run {
    struct stage stage;
    struct schema schema;
    struct arena arena;
    struct batch *batch;
    void *local;
};

static void run_open(struct run *r, const struct stage_type *type)
{
    memset(r, 0, sizeof *r);
    CHECK_OK(arena_open(&r->arena, 1 << 24));
    CHECK_OK(batch_open(&r->batch));
    schema_init(&r->schema);
    r->stage = (struct stage){.type = type, .name = type->name, .arena = &r->arena};
    r->stage.conf = calloc(1, type->conf_size);
    r->local = calloc(1, type->local_size + 1);
    CHECK_OK(opt_defaults(type->opts, r->stage.conf, &r->arena));
}

static void run_set(struct run *r, const char *name, const char *value)
{
    const struct opt *row = r->stage.type->opts;
    while (row->type != OPT_END && strcmp(row->name, name) != 0)
        row++;
    CHECK(row->type != OPT_END);
    CHECK_OK(opt_set(row, r->stage.conf, value, "test", &r->arena));
}

static struct doc *run_text(struct run *r, struct str text)
{
    batch_clear(r->batch);
    struct doc *d = batch_add(r->batch);
    doc_set_text(d, text);
    CHECK_OK(r->stage.type->run(&r->stage, r->local, r->batch));
    return d;
}

static void run_close(struct run *r)
{
    if (r->stage.type->local_close)
        r->stage.type->local_close(&r->stage, r->local);
    r->stage.type->close(&r->stage);
    r->stage.type->close(&r->stage); /* bears a second call */
    free(r->stage.conf);
    free(r->local);
    batch_close(r->batch);
    arena_close(&r->arena);
}

static const char *rule_name(const struct run *r, const struct doc *d)
{
    return r->schema.rule[d->rule].name;
}

#define ENGLISH                                                                                    \
    "All we have to decide is what to do with the time that is given us, said the wizard.\n"
#define FRENCH                                                                                     \
    "Un magicien n'est jamais en retard, pas plus qu'il est en avance, il arrive à l'heure "      \
    "prévue.\n"

TEST(classify_stage_language)
{
    struct run r;
    run_open(&r, &stage_language);
    run_set(&r, "model", test_data(LID));
    CHECK_OK(stage_language.open(&r.stage, &r.schema));
    int column = schema_find_signal(&r.schema, "language.score");
    CHECK(column >= 0);
    struct doc *d = run_text(&r, STR(ENGLISH));
    CHECK_STR(str_of(d->lang), "en");
    CHECK_INT(d->rule, 0);
    CHECK(d->signal[column] > 0.65f && d->signal[column] <= 1);
    d = run_text(&r, STR(FRENCH));
    CHECK_STR(str_of(d->lang), "fr");
    CHECK_INT(d->rule, 0);
    d = run_text(&r, STR("qzx 123 !!"));
    CHECK_STR(str_of(rule_name(&r, d)), "language.uncertain");
    CHECK_NUM(d->threshold, 0.65, 1e-6);
    d = run_text(&r, STR(""));
    CHECK_STR(str_of(d->lang), "");
    CHECK_STR(str_of(rule_name(&r, d)), "language.uncertain");
    CHECK_NUM(d->signal[column], 0, 0);
    run_close(&r);
}

/* "fr,it" keeps French and drops the rest, noting both rules. */
TEST(classify_stage_language_keep)
{
    struct run r;
    run_open(&r, &stage_language);
    run_set(&r, "model", test_data(LID));
    run_set(&r, "keep", "fr,it");
    CHECK_OK(stage_language.open(&r.stage, &r.schema));
    CHECK_INT(run_text(&r, STR(FRENCH))->rule, 0);
    struct doc *d = run_text(&r, STR(ENGLISH));
    CHECK_STR(str_of(rule_name(&r, d)), "language.other");
    CHECK_INT(d->also[0], 1 << schema_find_rule(&r.schema, "language.other"));
    d = run_text(&r, STR("hello"));
    CHECK_STR(str_of(rule_name(&r, d)), "language.other");
    CHECK_INT(d->also[0], 1 << schema_find_rule(&r.schema, "language.other") |
                              1 << schema_find_rule(&r.schema, "language.uncertain"));
    run_close(&r);
}

/* A code that the model never answers would drop every page: "eng" is refused where it says "en",
 * with what it does say. */
TEST(classify_stage_language_keep_unknown)
{
    static const char *const bad[] = {"eng", "en,xx", "e", "english", "en_US"};
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        struct run r;
        run_open(&r, &stage_language);
        run_set(&r, "model", test_data(LID));
        run_set(&r, "keep", bad[i]);
        CHECK_ERR(stage_language.open(&r.stage, &r.schema), ERR_USAGE);
        CHECK(strstr(err_text(), i == 4 ? "no language code" : "none of the 176 languages") ||
              i == 3);
        run_close(&r);
    }
}

/* A page of 8 MB is judged by its front, cut between code points, in bounded time. */
TEST(classify_stage_language_long)
{
    struct run r;
    run_open(&r, &stage_language);
    run_set(&r, "model", test_data(LID));
    CHECK_OK(stage_language.open(&r.stage, &r.schema));
    struct buf text = {0};
    while (text.len < 200000)
        buf_text(&text, "Быть может, старый волшебник знает. ");
    while (text.len < 8 << 20)
        buf_text(&text, ENGLISH);
    struct doc *d = run_text(&r, buf_view(&text));
    CHECK_STR(str_of(d->lang), "ru");
    buf_free(&text);
    run_close(&r);
}

TEST(classify_stage_language_without_model)
{
    struct run r;
    CHECK(setenv("SLUICE_MODELS", test_dir(), 1) == 0);
    run_open(&r, &stage_language);
    CHECK_ERR(stage_language.open(&r.stage, &r.schema), ERR_USAGE);
    CHECK(strstr(err_text(), "lid.176.ftz not found") &&
          strstr(err_text(), "sluice model get lid176"));
    run_close(&r);
    char path[IO_PATH_MAX];
    CHECK_OK(io_path(path, "%s/lid.176.ftz", test_dir()));
    CHECK_OK(io_write_file(path, STR("not the model")));
    run_open(&r, &stage_language);
    CHECK_ERR(stage_language.open(&r.stage, &r.schema), ERR_FORMAT);
    run_close(&r);
    char *bytes;
    size_t len;
    CHECK_OK(io_read_file(test_data(LID), 1 << 24, &bytes, &len));
    bytes[len - 5] ^= 1; /* a weight: the layout check could not see it, the pin does */
    CHECK_OK(io_write_file(path, (struct str){bytes, len}));
    run_open(&r, &stage_language);
    CHECK_ERR(stage_language.open(&r.stage, &r.schema), ERR_FORMAT);
    CHECK(strstr(err_text(), "SHA-256"));
    run_close(&r);
    bytes[len - 5] ^= 1;
    CHECK_OK(io_write_file(path, (struct str){bytes, len}));
    free(bytes);
    run_open(&r, &stage_language);
    CHECK_OK(stage_language.open(&r.stage, &r.schema));
    run_close(&r);
}

TEST(classify_model_cache_path)
{
    char path[256], tiny[8];
    CHECK(setenv("SLUICE_MODELS", "/m", 1) == 0 && setenv("XDG_CACHE_HOME", "/c", 1) == 0 &&
          setenv("HOME", "/h", 1) == 0);
    CHECK_OK(model_cache_path("x.bin", path, sizeof path));
    CHECK_STR(str_of(path), "/m/x.bin");
    CHECK(setenv("SLUICE_MODELS", "", 1) == 0);
    CHECK_OK(model_cache_path("x.bin", path, sizeof path));
    CHECK_STR(str_of(path), "/c/sluice/models/x.bin");
    CHECK(unsetenv("XDG_CACHE_HOME") == 0);
    CHECK_OK(model_cache_path("x.bin", path, sizeof path));
    CHECK_STR(str_of(path), "/h/.cache/sluice/models/x.bin");
    CHECK_ERR(model_cache_path("x.bin", tiny, sizeof tiny), ERR_LIMIT);
    CHECK(unsetenv("HOME") == 0);
    CHECK_ERR(model_cache_path("x.bin", path, sizeof path), ERR_USAGE);
    CHECK(pinned_model("nothing") == NULL);
    const struct pinned_model *pin = pinned_model("lid176");
    CHECK(pin && pin->bytes == 938013 && strlen(pin->sha256) == 64);
    CHECK_OK(pinned_model_check(pin, test_data(LID)));
}

TEST(classify_stage_quality)
{
    char path[IO_PATH_MAX], model[IO_PATH_MAX];
    struct buf lines = {0};
    static const struct fasttext_train conf = {.lr = 0.5,
                                               .epoch = 10,
                                               .word_ngrams = 2,
                                               .dim = 16,
                                               .bucket = 5000,
                                               .min_count = 1,
                                               .seed = 1};
    for (int i = 0; i < 200; i++) {
        struct buf text = {0};
        buf_printf(&text, "The theorem %d describes\nthe energy of the field", i % 7);
        CHECK_OK(quality_sample_line(&lines, "hq", buf_view(&text)));
        buf_clear(&text);
        buf_printf(&text, "Click here to buy %d offers\nadd to cart login", i % 7);
        CHECK_OK(quality_sample_line(&lines, "lq", buf_view(&text)));
        buf_free(&text);
    }
    CHECK_OK(io_path(path, "%s/models", test_dir()));
    CHECK_OK(io_mkdirs(path));
    CHECK_OK(io_path(path, "%s/samples", test_dir()));
    CHECK_OK(io_path(model, "%s/models/quality.bin", test_dir()));
    CHECK_OK(io_write_file(path, buf_view(&lines)));
    buf_free(&lines);

    struct run r;
    run_open(&r, &stage_quality);
    CHECK_ERR(stage_quality.open(&r.stage, &r.schema), ERR_USAGE); /* no run, no model */
    stage_quality.close(&r.stage);
    r.stage.run_dir = test_dir();
    CHECK_ERR(stage_quality.open(&r.stage, &r.schema), ERR_USAGE); /* not trained yet */
    CHECK(strstr(err_text(), model));
    stage_quality.close(&r.stage);
    CHECK_OK(fasttext_train(&conf, path, model));
    run_set(&r, "label", "zz");
    CHECK_ERR(stage_quality.open(&r.stage, &r.schema), ERR_USAGE);
    stage_quality.close(&r.stage);
    run_set(&r, "label", "hq");
    run_set(&r, "min_score", "0.5");
    CHECK_OK(stage_quality.open(&r.stage, &r.schema));
    int column = schema_find_signal(&r.schema, "quality.score");
    struct doc *d = run_text(&r, STR("This theorem describes\n\n the energy"));
    CHECK(d->rule == 0 && d->signal[column] > 0.9f);
    d = run_text(&r, STR("__label__hq Click to buy offers, add to cart"));
    CHECK_STR(str_of(rule_name(&r, d)), "quality.min_score");
    CHECK(d->signal[column] < 0.1f);
    d = run_text(&r, STR(""));
    CHECK_NUM(d->signal[column], 0, 0);
    CHECK_STR(str_of(rule_name(&r, d)), "quality.min_score");
    run_close(&r);
}

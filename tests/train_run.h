/* train_run - what the tests of training share: a store that can be learnt, a small run over it,
 * files compared. */
#ifndef SLUICE_TESTS_TRAIN_RUN_H
#define SLUICE_TESTS_TRAIN_RUN_H
#include "tests/test.h"

#include "core/io.h"
#include "core/log.h"
#include "train/trainer.h"

enum { RUN_VOCAB = 40, RUN_EOT = 39 };

/* Two domains: "web" counts up by 1 or 2, "gold" by 3; which step a document takes is drawn, so it
 * can be learnt. */
static inline void make_store(const char *dir)
{
    struct store_meta meta = {.vocab_size = RUN_VOCAB, .eot = RUN_EOT, .domain_count = 2};
    struct store_writer *w;
    uint64_t state = 17;
    snprintf(meta.domain[0].name, sizeof meta.domain[0].name, "web");
    snprintf(meta.domain[1].name, sizeof meta.domain[1].name, "gold");
    CHECK_OK(store_create(&w, dir, &meta));
    for (uint32_t i = 0; i < 400; i++) {
        uint32_t ids[64], domain = i % 2, count = 5 + (uint32_t)(test_random(&state) % 50);
        uint32_t step = domain ? 3 : 1 + (uint32_t)(test_random(&state) % 2);
        ids[0] = (uint32_t)(test_random(&state) % RUN_EOT);
        for (uint32_t k = 1; k < count; k++)
            ids[k] = (ids[k - 1] + step) % RUN_EOT;
        struct store_doc doc = {
            .id = i, .item = 0, .record = i, .token_count = count, .text_bytes = count};
        CHECK_OK(store_append(w, domain, &doc, ids));
    }
    CHECK_OK(store_commit(w, NULL));
}

/* Opens a store of two domains and makes its views the sources of a plan; all stays open, and
 * known here, until the test's process ends. */
static inline void use_store(struct train_run *run, const char *dir)
{
    static struct {
        struct store *store;
        struct token_view view[2];
    } held[32];
    static size_t next;
    CHECK(next < COUNT_OF(held));
    CHECK_OK(store_open(&held[next].store, dir));
    run->store = held[next].store;
    run->plan.source_count = store_meta(run->store)->domain_count;
    CHECK(run->plan.source_count <= 2);
    for (uint32_t d = 0; d < run->plan.source_count; d++) {
        CHECK_OK(token_view_domain(&held[next].view[d], run->store, d));
        run->plan.source[d].view = &held[next].view[d];
    }
    next++;
}

static inline struct train_run small_run(struct arena *a, const char *out_dir)
{
    char store_dir[IO_PATH_MAX];
    struct train_run run = {.threads = 2, .recipe_hash = "0123456789abcdef0123456789abcdef"};
    log_open(LOG_QUIET);
    CHECK_OK(opt_defaults(train_opts, &run.train, a));
    CHECK_OK(opt_defaults(model_opts, &run.model, a));
    run.model.layers = 2;
    run.model.heads = 2;
    run.model.kv_heads = 1;
    run.model.width = 32;
    run.model.context = 32;
    run.train.steps = 20;
    run.train.warmup_steps = 3;
    run.train.anneal_steps = 6;
    run.train.lr = 1e-2;
    run.train.batch = 8;
    run.train.micro_batch = 4;
    run.train.checkpoint_steps = 5;
    run.train.device = "cpu";
    run.plan.phase_count = 2;
    run.plan.phase[0] = (struct train_phase){.name = "stable", .steps = 14, .weight = {3, 1}};
    run.plan.phase[1] = (struct train_phase){.name = "anneal", .steps = 6, .weight = {0, 1}};
    CHECK_OK(io_path(store_dir, "%s/store", test_dir()));
    if (!io_exists(store_dir))
        make_store(store_dir);
    use_store(&run, store_dir);
    run.out_dir = out_dir;
    return run;
}

static inline const char *dir_of(const char *name)
{
    static char path[32][IO_PATH_MAX];
    static int next;
    char *out = path[next++ % 32];
    CHECK_OK(io_path(out, "%s/%s", test_dir(), name));
    return out;
}

static inline void check_same_file(const char *left_dir, const char *right_dir, const char *file)
{
    char left[IO_PATH_MAX], right[IO_PATH_MAX], *a, *b;
    size_t a_len, b_len;
    CHECK_OK(io_path(left, "%s/%s", left_dir, file));
    CHECK_OK(io_path(right, "%s/%s", right_dir, file));
    CHECK_OK(io_read_file(left, 64 << 20, &a, &a_len));
    CHECK_OK(io_read_file(right, 64 << 20, &b, &b_len));
    if (a_len != b_len || memcmp(a, b, a_len) != 0)
        test_fail(__FILE__, __LINE__, "%s and %s differ (%zu and %zu bytes)", left, right, a_len,
                  b_len);
    free(a);
    free(b);
}

/* Everything a finished run of 20 steps leaves that does not hold clock times. */
static inline void check_same_run(const char *left, const char *right)
{
    static const char *const file[] = {
        "train.jsonl",
        "eval.json",
        "model/model.safetensors",
        "model/config.json",
        "checkpoints/step-000020/weights.safetensors",
        "checkpoints/step-000020/m.safetensors",
        "checkpoints/step-000020/v.safetensors",
        "checkpoints/step-000020/state.json",
        "checkpoints/step-000020/manifest.json",
    };
    for (size_t i = 0; i < COUNT_OF(file); i++)
        check_same_file(left, right, file[i]);
}

/* Whole lines of a file so far; 0 while it is missing. */
static inline int count_lines(const char *dir, const char *file)
{
    char path[IO_PATH_MAX], *text;
    size_t bytes;
    int lines = 0;
    CHECK_OK(io_path(path, "%s/%s", dir, file));
    if (!io_exists(path) || io_read_file(path, 64 << 20, &text, &bytes) < 0)
        return 0;
    for (size_t i = 0; i < bytes; i++)
        lines += text[i] == '\n';
    free(text);
    return lines;
}
#endif

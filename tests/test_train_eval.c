/* test_train_eval - bits per byte measured during training: where, what is written, and the same
 * after a kill. */
#include "tests/train_run.h"

#include "core/json.h"

#include <math.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

static struct tokenizer *tok;

/* "one two three ..." counted upwards from a start, so that there is something to learn. */
static void write_text(struct buf *to, uint64_t seed, int words)
{
    static const char *const word[] = {"one",  "two", "three", "four",
                                       "five", "six", "seven", "eight"};
    uint64_t state = seed, at = test_random(&state) % 8;
    buf_clear(to);
    for (int i = 0; i < words; i++)
        buf_printf(to, "%s%s", i ? " " : "", word[at++ % 8]);
}

static void make_tokenizer(void)
{
    struct bpe_trainer *trainer;
    struct bpe_train_conf conf = {.vocab_size = 300,
                                  .pretok = PRETOK_GPT2,
                                  .piece_bytes_max = 256,
                                  .memory = 1 << 26};
    struct buf text = {0};
    CHECK_OK(bpe_trainer_open(&trainer, &conf));
    for (uint64_t i = 0; i < 50; i++) {
        write_text(&text, i, 40);
        CHECK_OK(bpe_trainer_add(trainer, buf_view(&text), 1));
    }
    CHECK_OK(bpe_trainer_finish(trainer, dir_of("tokenizer"), NULL, NULL));
    bpe_trainer_close(trainer);
    CHECK_OK(tokenizer_open(&tok, dir_of("tokenizer")));
    buf_free(&text);
}

static void make_words_store(const char *dir, bool other_tokenizer)
{
    struct store_meta meta = {.vocab_size = tokenizer_vocab(tok),
                              .eot = tokenizer_eot(tok),
                              .domain_count = 2};
    struct store_writer *w;
    struct encoder *e;
    struct arena a;
    struct buf text = {0};
    meta.tokenizer_hash = tokenizer_hash(tok);
    meta.tokenizer_hash.low ^= other_tokenizer;
    snprintf(meta.domain[0].name, sizeof meta.domain[0].name, "web");
    snprintf(meta.domain[1].name, sizeof meta.domain[1].name, "gold");
    CHECK_OK(arena_open(&a, 1 << 26));
    CHECK_OK(encoder_open(&e, tok));
    CHECK_OK(store_create(&w, dir, &meta));
    for (uint32_t i = 0; i < 200; i++) {
        const uint32_t *ids;
        uint32_t count;
        write_text(&text, i, 40);
        CHECK_OK(encoder_encode(e, buf_view(&text), &a, &ids, &count));
        struct store_doc doc = {.id = i,
                                .record = i,
                                .token_count = count,
                                .text_bytes = (uint32_t)text.len};
        CHECK_OK(store_append(w, i % 2, &doc, ids));
    }
    CHECK_OK(store_commit(w, NULL));
    encoder_close(e);
    arena_close(&a);
    buf_free(&text);
}

static void make_heldout(const char *name, uint64_t seed)
{
    struct io_writer *w;
    struct buf text = {0};
    char path[IO_PATH_MAX];
    CHECK_OK(io_path(path, "%s/heldout/%s.jsonl.zst", test_dir(), name));
    CHECK_OK(io_create(&w, path, IO_ZSTD, 3));
    for (uint64_t i = 0; i < 5; i++) {
        char line[1024];
        write_text(&text, seed + i, 30);
        snprintf(line, sizeof line, "{\"id\":\"%d\",\"url\":\"\",\"text\":\"%s\"}\n", (int)i,
                 buf_cstr(&text));
        CHECK_OK(io_write_str(w, str_of(line)));
    }
    CHECK_OK(io_commit(w, NULL));
    buf_free(&text);
}

static struct train_run eval_run(struct arena *a, const char *out_dir)
{
    if (!tok) {
        make_tokenizer();
        make_words_store(dir_of("words"), false);
        make_heldout("gold", 1000);
        make_heldout("web", 2000);
    }
    struct train_run run = small_run(a, out_dir);
    use_store(&run, dir_of("words"));
    run.tokenizer_dir = dir_of("tokenizer");
    run.heldout_dir = dir_of("heldout");
    run.train.eval_steps = 5;
    return run;
}

static struct json *read_json_file(struct arena *a, const char *path)
{
    char *text;
    size_t bytes;
    struct json *root;
    CHECK_OK(io_read_file(path, 1 << 20, &text, &bytes));
    CHECK_OK(json_parse(a, (struct str){text, bytes}, &root));
    free(text);
    return root;
}

TEST(train_eval_rows_stand_where_they_should)
{
    struct arena a;
    CHECK_OK(arena_open(&a, 1 << 24));
    struct train_run run = eval_run(&a, dir_of("run"));
    CHECK_OK(train(&run));
    char *text;
    size_t bytes;
    CHECK_OK(io_read_file(dir_of("run/train.jsonl"), 1 << 20, &text, &bytes));
    struct str rest = {text, bytes};
    static const int want[] = {5, 10, 14, 15, 20}; /* every 5, where the anneal begins, the end */
    size_t found = 0;
    double before = NAN, after = NAN, first = NAN;
    while (rest.ptr && rest.len) {
        struct json *row;
        CHECK_OK(json_parse(&a, str_cut(rest, '\n', &rest), &row));
        const struct json *eval = json_get(row, "eval");
        if (!eval)
            continue;
        CHECK(found < COUNT_OF(want));
        CHECK_NUM(json_num(row, "step", 0), want[found], 0);
        CHECK_INT(eval->count, 2);
        CHECK_STR(eval->child->key, "gold");                /* in the order of names */
        double bits = json_num(eval, "web", NAN);
        CHECK(bits > 0 && bits < 20);
        first = found == 0 ? bits : first;
        before = want[found] == 14 ? bits : before;
        after = bits;
        found++;
    }
    CHECK_INT(found, COUNT_OF(want));
    CHECK(after < before && before < first);
    const struct json *eval = read_json_file(&a, dir_of("run/eval.json"));
    const struct json *web = json_get(json_get(eval, "domains"), "web");
    CHECK_NUM(json_num(web, "before", NAN), before, 1e-12);
    CHECK_NUM(json_num(web, "after", NAN), after, 1e-12);
    CHECK_NUM(json_num(web, "documents", 0), 5, 0);
    CHECK_NUM(json_num(eval, "anneal_start", 0), 14, 0);
    CHECK(io_exists(dir_of("run/model/tokenizer.json")));
    free(text);
    arena_close(&a);
}

TEST(train_eval_survives_a_kill)
{
    struct arena a;
    CHECK_OK(arena_open(&a, 1 << 24));
    struct train_run run = eval_run(&a, dir_of("whole"));
    CHECK_OK(train(&run));
    run.out_dir = dir_of("killed");
    for (int lines = 7; lines <= 19; lines += 6) { /* the second time behind the anneal's start */
        pid_t pid = fork();
        if (pid == 0)
            _exit(train(&run) < 0);
        int status;
        while (count_lines(run.out_dir, "train.jsonl") < lines &&
               waitpid(pid, &status, WNOHANG) == 0)
            usleep(200);
        kill(pid, SIGKILL);
        waitpid(pid, &status, 0);
    }
    CHECK_OK(train(&run));
    check_same_run(dir_of("whole"), run.out_dir);
    arena_close(&a);
}

TEST(train_eval_refuses_what_does_not_fit)
{
    struct arena a;
    CHECK_OK(arena_open(&a, 1 << 24));
    struct train_run run = eval_run(&a, dir_of("run"));
    make_words_store(dir_of("foreign"), true);
    use_store(&run, dir_of("foreign"));
    CHECK_ERR(train(&run), ERR_USAGE);
    CHECK(strstr(err_text(), "another tokenizer"));
    run = eval_run(&a, dir_of("run"));
    run.tokenizer_dir = NULL;
    CHECK_ERR(train(&run), ERR_USAGE);
    CHECK(strstr(err_text(), "needs a tokenizer"));
    run = eval_run(&a, dir_of("run"));
    run.heldout_dir = dir_of("tokenizer"); /* no held-out text there: said, not fatal */
    run.train.steps = 9;
    run.plan.phase[0].steps = 3;
    CHECK_OK(train(&run));
    CHECK_INT(count_lines(run.out_dir, "train.jsonl"), 9 + 2);
    arena_close(&a);
}

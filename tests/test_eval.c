/* test_eval - bits per byte against what they must be by arithmetic, and against windows scored one
 * by one. */
#include "tests/test.h"

#include "core/log.h"
#include "core/pipe.h"
#include "eval/eval.h"

#include <math.h>
#include <unistd.h>

static const char *const texts[] = {
    "The first document is short.",
    "A second one, with caf\xC3\xA9 and \"quotes\" and a \\ in it.\nTwo lines.",
    "",
    "the cat sat on the mat and the dog sat on the log and the cat saw the dog and the dog saw the "
    "cat and "
    "the cat sat on the log and the dog sat on the mat and all was well in the land of the cat and "
    "the dog",
};

/* TEST_DIR/NAME.jsonl.zst with the texts in this order of indices; ids are "c", "a", "d", "b" by
 * index. */
static const char *heldout_file(const char *name, const int *order, int count)
{
    static const char *const id[] = {"c", "a", "d", "b"};
    static char path[IO_PATH_MAX];
    struct io_writer *w;
    struct buf line = {0};
    CHECK_OK(io_path(path, "%s/%s.jsonl.zst", test_dir(), name));
    CHECK_OK(io_create(&w, path, IO_ZSTD, 3));
    for (int i = 0; i < count; i++) {
        buf_clear(&line);
        buf_printf(&line, "{\"id\":\"%s\",\"url\":\"http://x/%d\",\"text\":\"", id[order[i]], i);
        for (const char *c = texts[order[i]]; *c; c++) {
            if (*c == '"' || *c == '\\')
                buf_char(&line, '\\');
            if (*c == '\n')
                buf_text(&line, "\\n");
            else
                buf_char(&line, *c);
        }
        buf_text(&line, "\"}\n");
        CHECK_OK(io_write_str(w, buf_view(&line)));
    }
    CHECK_OK(io_commit(w, NULL));
    buf_free(&line);
    return path;
}

static const int in_order[] = {0, 1, 2, 3};

static struct tokenizer *make_tokenizer(void)
{
    struct bpe_trainer *trainer;
    struct bpe_train_conf conf = {.vocab_size = 270,
                                  .pretok = PRETOK_GPT2,
                                  .piece_bytes_max = 256,
                                  .memory = 1 << 26};
    struct tokenizer *tok;
    CHECK_OK(bpe_trainer_open(&trainer, &conf));
    for (size_t i = 0; i < COUNT_OF(texts); i++)
        CHECK_OK(bpe_trainer_add(trainer, str_of(texts[i]), 1));
    CHECK_OK(bpe_trainer_finish(trainer, test_dir(), NULL, NULL));
    bpe_trainer_close(trainer);
    CHECK_OK(tokenizer_open(&tok, test_dir()));
    return tok;
}

struct rig { struct stream *s; struct model m; struct tokenizer *tok; };

static void rig_open(struct rig *r, int64_t context)
{
    struct arena a;
    struct model_conf c;
    log_open(LOG_QUIET);
    CHECK_OK(arena_open(&a, 1 << 20));
    CHECK_OK(opt_defaults(model_opts, &c, &a));
    r->tok = make_tokenizer();
    c.layers = 2;
    c.heads = 2;
    c.width = 16;
    c.context = context;
    c.vocab = tokenizer_vocab(r->tok) + 3;
    CHECK_OK(device_open(&r->s, DEV_CPU, 2));
    CHECK_OK(model_open(&r->m, &c, r->s, false));
}

static void rig_close(struct rig *r)
{
    model_close(&r->m);
    device_close(r->s);
    tokenizer_close(r->tok);
}

/* Weights of a size that makes the model opinionated: its bits differ clearly from token to token.
 */
static void make_opinionated(struct model *m)
{
    uint64_t state = 9;
    for (int i = 0; i < m->param_count; i++) {
        size_t count = (size_t)tensor_count(&m->param[i].w);
        float *host = malloc(count * sizeof *host);
        for (size_t k = 0; k < count; k++)
            host[k] = 2 * ((float)(test_random(&state) >> 40) / (float)(1 << 24) - 0.5f);
        CHECK_OK(model_put(m, i, host));
        free(host);
    }
}

TEST(eval_uniform_model_costs_log2_vocab)
{
    struct rig r;
    struct bpb_row row = {.unigram_bits_per_byte = 5};
    struct bpb_conf conf = {.batch = 3};
    rig_open(&r, 32);
    float *zero = calloc((size_t)(r.m.conf.vocab * r.m.conf.width), sizeof *zero);
    CHECK_OK(model_put(&r.m, 0, zero)); /* embedding and head: all logits are 0 */
    free(zero);
    CHECK_OK(eval_bpb(&r.m, r.tok, heldout_file("web", in_order, 4), &conf, &row));
    uint64_t bytes = 0, tokens = 0;
    struct encoder *e;
    struct arena a;
    CHECK_OK(encoder_open(&e, r.tok));
    CHECK_OK(arena_open(&a, 1 << 24));
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        const uint32_t *ids;
        uint32_t count;
        CHECK_OK(encoder_encode(e, str_of(texts[i]), &a, &ids, &count));
        bytes += strlen(texts[i]);
        tokens += count + 1;
    }
    CHECK_INT(row.documents, 4);
    CHECK_INT(row.bytes, bytes);
    CHECK_INT(row.tokens, tokens);
    CHECK_NUM(row.bits_per_byte, log2((double)r.m.conf.vocab) * (double)tokens / (double)bytes,
              1e-6);
    CHECK(row.unigram_bits_per_byte == 5);                  /* left alone */
    CHECK_STR(str_of(row.domain), "web");
    encoder_close(e);
    arena_close(&a);
    rig_close(&r);
}

/* -log2 p of token[at] behind token[from .. at), by one forward pass of its own. */
static double bits_of(struct model *m, const uint32_t *token, int64_t from, int64_t at)
{
    struct dev_arena arena;
    struct tape t;
    int64_t count = at - from, V = m->conf.vocab;
    CHECK_OK(dev_arena_open(&arena, m->stream, 16 << 20));
    CHECK_OK(tape_open(&t, &arena, false, DT_F32));
    struct tensor *ids = tape_tensor(&t, DT_I32, 1, &count, false);
    CHECK(ids);
    CHECK_OK(dev_upload(m->stream, ids->data, token + from, (size_t)count * 4));
    struct tensor *logits = m->type->forward(m, &t, ids, NULL, (int32_t)count, NULL);
    CHECK(logits);
    const float *last = (float *)logits->data + (count - 1) * V;
    double sum = 0;
    for (int64_t i = 0; i < V; i++)
        sum += exp((double)last[i]);
    double bits = (log(sum) - (double)last[token[at]]) / log(2);
    tape_close(&t);
    dev_arena_close(&arena);
    return bits;
}

/* The slow twin: every target alone, with the context that the windows promise it. */
static double slow_bits(struct model *m, const uint32_t *ids, int64_t count, uint32_t eot)
{
    uint32_t token[512];
    int64_t context = m->conf.context, start = 0;
    double bits = 0;
    token[0] = token[count + 1] = eot;
    memcpy(token + 1, ids, (size_t)count * sizeof *ids);
    for (int64_t at = 1; at <= count + 1; at++) {
        if (at - start > context)
            start += context / 2;
        bits += bits_of(m, token, start, at);
    }
    return bits;
}

TEST(eval_windows_score_every_token_once)
{
    static const int64_t lengths[] = {0, 1, 14, 15, 16, 17, 23, 24, 25, 31, 32, 33, 100};
    struct rig r;
    uint32_t ids[512];
    uint64_t state = 4;
    rig_open(&r, 16);
    make_opinionated(&r.m);
    for (int i = 0; i < 512; i++)
        ids[i] = (uint32_t)(test_random(&state) % 250);
    for (int64_t batch = 1; batch <= 4; batch += 3) {
        struct model_scorer *all;
        double want = 0, got;
        CHECK_OK(model_scorer_open(&all, &r.m, batch, 256));
        for (size_t i = 0; i < COUNT_OF(lengths); i++) {
            struct model_scorer *one;
            double alone = slow_bits(&r.m, ids + i, lengths[i], 256);
            CHECK_OK(model_scorer_open(&one, &r.m, batch, 256));
            CHECK_OK(model_scorer_add(one, ids + i, (uint32_t)lengths[i]));
            CHECK_OK(model_scorer_finish(one, &got));
            CHECK_NUM(got, alone, 1e-4 * alone);
            model_scorer_close(one);
            CHECK_OK(model_scorer_add(all, ids + i, (uint32_t)lengths[i]));
            want += alone;
        }
        CHECK_OK(model_scorer_finish(all, &got));
        CHECK_NUM(got, want, 1e-5 * want);
        model_scorer_close(all);
    }
    rig_close(&r);
}

/* More windows than fit at a time: the sum is that of the parts. */
TEST(eval_windows_run_in_pieces)
{
    struct rig r;
    struct model_scorer *s;
    enum { COUNT = 9000 };
    uint32_t *ids = malloc(COUNT * sizeof *ids);
    double whole, twice;
    rig_open(&r, 4);
    make_opinionated(&r.m);
    for (uint32_t i = 0; i < COUNT; i++)
        ids[i] = i * 7 % 250;
    CHECK_OK(model_scorer_open(&s, &r.m, 64, 256));
    CHECK_OK(model_scorer_add(s, ids, COUNT));              /* 4500 windows of 4 tokens */
    CHECK_OK(model_scorer_finish(s, &whole));
    CHECK_OK(model_scorer_add(s, ids, COUNT));
    CHECK_OK(model_scorer_finish(s, &twice));
    CHECK_NUM(twice, 2 * whole, 1e-6 * whole);
    double part = slow_bits(&r.m, ids, 50, 256);            /* 51 of 9001 targets */
    CHECK_NUM(whole / 9001, part / 51, 0.2 * part / 51);
    uint32_t strange = (uint32_t)r.m.conf.vocab;
    CHECK_ERR(model_scorer_add(s, &strange, 1), ERR_USAGE);
    model_scorer_close(s);
    pipe_stop = 1;
    CHECK_OK(model_scorer_open(&s, &r.m, 64, 256));
    CHECK_OK(model_scorer_add(s, ids, 10));
    CHECK_ERR(model_scorer_finish(s, &whole), ERR_STOP);
    model_scorer_close(s);
    free(ids);
    rig_close(&r);
}

TEST(eval_documents_max_takes_the_first_by_id)
{
    static const int shuffled[] = {3, 2, 0, 1}, first_two[] = {1, 3};   /* ids a and b */
    struct rig r;
    struct bpb_row few, same, all, other;
    struct bpb_conf conf = {.batch = 2};
    rig_open(&r, 64);
    make_opinionated(&r.m);
    CHECK_OK(eval_bpb(&r.m, r.tok, heldout_file("same", first_two, 2), &conf, &same));
    CHECK_OK(eval_bpb(&r.m, r.tok, heldout_file("all", in_order, 4), &conf, &all));
    CHECK_OK(eval_bpb(&r.m, r.tok, heldout_file("other", shuffled, 4), &conf, &other));
    CHECK_NUM(all.bits_per_byte, other.bits_per_byte, 1e-9);
    conf.documents_max = 2;
    CHECK_OK(eval_bpb(&r.m, r.tok, heldout_file("few", in_order, 4), &conf, &few));
    CHECK_INT(few.documents, 2);
    CHECK_INT(few.bytes, same.bytes);
    CHECK_NUM(few.bits_per_byte, same.bits_per_byte, 1e-9);
    uint64_t *counts = calloc(tokenizer_vocab(r.tok), sizeof *counts);
    CHECK_OK(eval_unigram(r.tok, heldout_file("few", in_order, 4), 2, counts, &few));
    CHECK_OK(eval_unigram(r.tok, heldout_file("same", first_two, 2), 0, counts, &other));
    CHECK_NUM(few.unigram_bits_per_byte, other.unigram_bits_per_byte, 1e-9);
    free(counts);
    CHECK_OK(eval_xz(heldout_file("few", in_order, 4), 2, &few));
    CHECK_INT(few.documents, 2);
    CHECK_INT(few.bytes, same.bytes);
    CHECK_OK(eval_bpb(&r.m, r.tok, heldout_file("few", shuffled, 4), &conf, &few));
    CHECK_INT(few.bytes, same.bytes);
    conf.documents_max = 100;
    CHECK_OK(eval_bpb(&r.m, r.tok, heldout_file("few", shuffled, 4), &conf, &few));
    CHECK_INT(few.documents, 4);
    rig_close(&r);
}

/* What is announced is what is scored, and what the progress line counts. */
TEST(eval_progress_counts_every_token)
{
    struct rig r;
    struct bpb_row row;
    struct progress progress = {.unit = ""};
    struct bpb_conf conf = {.batch = 2, .progress = &progress};
    uint64_t tokens;
    rig_open(&r, 16); /* windows overlap: no token is counted twice */
    make_opinionated(&r.m);
    for (conf.documents_max = 0; conf.documents_max < 3; conf.documents_max++) {
        progress_begin(&progress, "score", "tokens", 0);
        CHECK_OK(eval_tokens(r.tok, heldout_file("p", in_order, 4), &conf, &tokens));
        CHECK_OK(eval_bpb(&r.m, r.tok, heldout_file("p", in_order, 4), &conf, &row));
        CHECK(tokens > 0);
        CHECK_INT(tokens, row.tokens);
        CHECK_INT(progress.done, tokens);
    }
    rig_close(&r);
}

TEST(eval_unigram_is_counted)
{
    struct rig r;
    struct bpb_row row;
    static const int only_first[] = {0};
    rig_open(&r, 32);
    uint32_t vocab = tokenizer_vocab(r.tok), eot = tokenizer_eot(r.tok), count;
    uint64_t *counts = calloc(vocab, sizeof *counts), total = vocab;
    for (uint32_t i = 0; i < vocab; i++) {
        counts[i] = i * i % 17;
        total += counts[i];
    }
    struct encoder *e;
    struct arena a;
    const uint32_t *ids;
    CHECK_OK(encoder_open(&e, r.tok));
    CHECK_OK(arena_open(&a, 1 << 24));
    CHECK_OK(encoder_encode(e, str_of(texts[0]), &a, &ids, &count));
    double bits = -log2((double)(counts[eot] + 1) / (double)total);
    for (uint32_t i = 0; i < count; i++)
        bits -= log2((double)(counts[ids[i]] + 1) / (double)total);
    CHECK_OK(eval_unigram(r.tok, heldout_file("uni", only_first, 1), 0, counts, &row));
    CHECK_INT(row.tokens, count + 1);
    CHECK_NUM(row.unigram_bits_per_byte, bits / (double)strlen(texts[0]), 1e-9);
    free(counts);
    encoder_close(e);
    arena_close(&a);
    rig_close(&r);
}

TEST(eval_xz_is_what_xz_says)
{
    struct bpb_row row = {.tokens = 77};
    char path[IO_PATH_MAX], command[2 * IO_PATH_MAX], number[64] = "";
    struct buf joined = {0};
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        buf_text(&joined, i ? "\n" : "");
        buf_text(&joined, texts[i]);
    }
    CHECK_OK(io_path(path, "%s/joined", test_dir()));
    CHECK_OK(io_write_file(path, buf_view(&joined)));
    snprintf(command, sizeof command, "xz -9 --stdout %s 2>/dev/null | wc -c", path);
    FILE *pipe = popen(command, "r");
    CHECK(pipe && fgets(number, sizeof number, pipe));
    pclose(pipe);
    const char *file = heldout_file("web", in_order, 4);
    CHECK_OK(eval_xz(file, 0, &row));
    CHECK_INT(row.bytes, joined.len - 3);
    CHECK_INT(row.tokens, 77);
    uint64_t size = strtoull(number, NULL, 10);
    if (size == 0)
        test_skip("xz is not installed");
    CHECK_NUM(row.xz_bits_per_byte, 8 * (double)size / (double)row.bytes, 1e-9);
    CHECK(setenv("PATH", "/nonexistent", 1) == 0);
    CHECK_OK(eval_xz(file, 0, &row));
    CHECK(isnan(row.xz_bits_per_byte));
    buf_free(&joined);
}

TEST(eval_refuses_damaged_files)
{
    static const struct { const char *text; int want; const char *what; } cases[] = {
        {"", ERR_FORMAT, "no text"},
        {"{\"id\":\"a\",\"text\":\"\"}\n", ERR_FORMAT, "no text"},
        {"{\"id\":\"a\"}\n", ERR_FORMAT, "line 1"},
        {"{\"id\":\"a\",\"text\":\"x\"}\n{\"id\":\"b\",\"text\":7}\n", ERR_FORMAT, "line 2"},
        {"{\"id\":\"a\",\"text\":\"x\"}\n[\n", ERR_FORMAT, "line 2"},
        {"[1]\n", ERR_FORMAT, "line 1"},
    };
    struct rig r;
    struct bpb_row row;
    struct bpb_conf conf = {.batch = 2};
    char path[IO_PATH_MAX];
    uint64_t counts[512] = {0};
    rig_open(&r, 32);
    CHECK_OK(io_path(path, "%s/bad.jsonl", test_dir()));
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        CHECK_OK(io_write_file(path, str_of(cases[i].text)));
        conf.documents_max = (int64_t)i % 2;
        CHECK_ERR(eval_bpb(&r.m, r.tok, path, &conf, &row), cases[i].want);
        CHECK(strstr(err_text(), cases[i].what));
        CHECK_ERR(eval_unigram(r.tok, path, (int64_t)i % 2, counts, &row), cases[i].want);
        CHECK_ERR(eval_xz(path, (int64_t)i % 2, &row), cases[i].want);
    }
    CHECK(eval_bpb(&r.m, r.tok, "/nonexistent.jsonl.zst", &conf, &row) < 0);
    CHECK(eval_xz("/nonexistent.jsonl.zst", 0, &row) < 0);
    conf.batch = 0;
    CHECK_ERR(eval_bpb(&r.m, r.tok, path, &conf, &row), ERR_USAGE);
    rig_close(&r);
}

TEST(eval_domain_is_the_file_name)
{
    static const struct { const char *path, *want;
    } cases[] = {
        {"/a/b/web.jsonl.zst", "web"},
        {"gold.jsonl", "gold"},
        {"x/high-quality.v2.jsonl.gz", "high-quality.v2"},
        {"plain", "plain"},
        {"0123456789012345678901234567890123456789012345678901234567890.jsonl", "012345678901234567"
                                                                                "890123456789012345"
                                                                                "67890123456"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char domain[48];
        heldout_domain(cases[i].path, domain);
        CHECK_STR(str_of(domain), cases[i].want);
    }
}

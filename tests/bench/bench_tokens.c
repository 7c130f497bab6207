/* bench_tokens - measures what happens to text behind the filters: tokens, products of matrices. */
#include "tests/bench/bench.h"

#include "kernels/gemm.h"
#include "tokenize/tokenize.h"

#include <stdlib.h>

enum { GEMM_SIDE = 768, GEMM_TIMES = 20 };

static void *memory(size_t count, size_t bytes)
{
    void *at = calloc(count + 1, bytes);
    need(at ? 0 : err_set(ERR_LIMIT, "no memory for %zu x %zu bytes", count, bytes));
    return at;
}

/* ---- tokenizer ---- */

void bench_encode(char **argv)
{
    struct tokenizer *t;
    struct encoder *e;
    struct docs d;
    struct arena a;
    uint64_t tokens = 0;
    FILE *ids_to = argv[2] ? fopen(argv[2], "wb") : NULL;
    need(argv[2] && !ids_to ? err_sys("open %s", argv[2]) : 0);
    need(tokenizer_open(&t, argv[0]));
    docs_read(&d, argv[1]);
    need(arena_open(&a, d.bytes * sizeof(uint32_t) + 4096));
    need(encoder_open(&e, t));
    struct lap lap = lap_begin();
    for (uint32_t i = 0; i < d.count; i++) {
        const uint32_t *ids;
        uint32_t count;
        arena_reset(&a, 0);
        need(encoder_encode(e, d.text[i], &a, &ids, &count));
        tokens += count;
        if (ids_to)
            need(fwrite(ids, sizeof *ids, count, ids_to) == count ? 0
                                                                  : err_sys("write %s", argv[2]));
    }
    lap_row(lap, "tokenizer.encode", tokens, "tokens", d.bytes);
    if (ids_to)
        need(fclose(ids_to) == 0 ? 0 : err_sys("write %s", argv[2]));
    encoder_close(e);
    arena_close(&a);
    docs_free(&d);
    tokenizer_close(t);
}

/* One pass over all texts; ids_to: where each text's go behind their count, NULL: nowhere. */
static uint64_t encode_pass(struct encoder *e, const struct docs *d, struct arena *a, FILE *ids_to)
{
    uint64_t tokens = 0;
    for (uint32_t i = 0; i < d->count; i++) {
        const uint32_t *ids;
        uint32_t count;
        arena_reset(a, 0);
        need(encoder_encode(e, d->text[i], a, &ids, &count));
        tokens += count;
        if (ids_to)
            need(fwrite(&count, sizeof count, 1, ids_to) == 1 &&
                         fwrite(ids, sizeof *ids, count, ids_to) == count
                     ? 0
                     : err_sys("write ids"));
    }
    return tokens;
}

/* The first pass of a new encoder over all texts and some more, three unless said, and one that
 * nobody times, whose ids go to a file. */
void bench_passes(char **argv)
{
    struct tokenizer *t;
    struct encoder *e;
    struct docs d;
    struct arena a;
    int64_t warm = 3;
    FILE *ids_to = fopen(argv[2], "wb");
    need(ids_to ? 0 : err_sys("open %s", argv[2]));
    need(!argv[3] || str_i64(str_of(argv[3]), &warm)
             ? 0
             : err_set(ERR_USAGE, "passes: TOKENIZER DOCS IDS [WARM]"));
    need(tokenizer_open(&t, argv[0]));
    docs_read(&d, argv[1]);
    need(arena_open(&a, d.bytes * sizeof(uint32_t) + 4096));
    need(encoder_open(&e, t));
    for (int64_t pass = 0; pass <= warm; pass++) {
        struct lap lap = lap_begin();
        uint64_t tokens = encode_pass(e, &d, &a, NULL);
        lap_row(lap, pass ? "encode.warm" : "encode.cold", tokens, "tokens", d.bytes);
    }
    encode_pass(e, &d, &a, ids_to);
    need(fclose(ids_to) == 0 ? 0 : err_sys("write %s", argv[2]));
    encoder_close(e);
    arena_close(&a);
    docs_free(&d);
    tokenizer_close(t);
}

void bench_bpe(char **argv)
{
    struct bpe_train_conf conf = {.piece_bytes_max = 256, .memory = (uint64_t)2 << 30};
    struct bpe_trainer *t;
    struct docs d;
    int pretok = pretok_find(argv[2]);
    need(str_i64(str_of(argv[1]), &conf.vocab_size) && pretok >= 0
             ? 0
             : err_set(ERR_USAGE, "bpe: DOCS VOCAB gpt2|cl100k DIR"));
    conf.pretok = (enum pretok)pretok;
    docs_read(&d, argv[0]);
    struct lap lap = lap_begin();
    need(bpe_trainer_open(&t, &conf));
    for (uint32_t i = 0; i < d.count; i++)
        need(bpe_trainer_add(t, d.text[i], 1));
    row("tokenizer.count", d.count, "docs", d.bytes, cpu_now() - lap.cpu, wall_now() - lap.wall);
    need(bpe_trainer_finish(t, argv[3], NULL, NULL));
    lap_row(lap, "tokenizer.train", d.count, "docs", d.bytes);
    bpe_trainer_close(t);
    docs_free(&d);
}

/* ---- products ---- */

/* y = x w^T, square, as a linear layer's forward pass; count is in thousands of operations. */
static void gemm_measure(struct stream *s, bool bf16)
{
    const size_t side = GEMM_SIDE, cells = side * side;
    float *c = memory(cells, sizeof *c);
    unsigned char *a = memory(cells, 4), *b = memory(cells, 4);
    for (size_t i = 0; i < cells; i++) {
        float x = (float)(hash_unit(1, i) - 0.5), y = (float)(hash_unit(2, i) - 0.5);
        size_t bytes = bf16 ? 2 : 4, skip = 4 - bytes; /* bf16 is a float's upper half */
        memcpy(a + i * bytes, (unsigned char *)&x + skip, bytes);
        memcpy(b + i * bytes, (unsigned char *)&y + skip, bytes);
    }
    struct gemm g = {.m = GEMM_SIDE,
                     .n = GEMM_SIDE,
                     .k = GEMM_SIDE,
                     .a = a,
                     .lda = GEMM_SIDE,
                     .a_bf16 = bf16,
                     .b = b,
                     .ldb = GEMM_SIDE,
                     .b_turned = true,
                     .b_bf16 = bf16,
                     .c = c,
                     .ldc = GEMM_SIDE,
                     .alpha = 1};
    need(gemm_run(s, &g));
    struct lap lap = lap_begin();
    for (int i = 0; i < GEMM_TIMES; i++)
        need(gemm_run(s, &g));
    lap_row(lap, bf16 ? "gemm.bf16" : "gemm.f32", 2 * GEMM_TIMES * cells * side / 1000, "kflop", 0);
    free(a);
    free(b);
    free(c);
}

void bench_gemm(char **argv)
{
    struct stream *s;
    UNUSED(argv);
    need(device_open(&s, DEV_CPU, 1));
    gemm_measure(s, false);
    gemm_measure(s, true);
    device_close(s);
}

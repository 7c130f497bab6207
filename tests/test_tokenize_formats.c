/* test_tokenize_formats - GGUF, encoder.json with vocab.bpe and sentencepiece files read, written,
 * converted into each other, damaged. */
#include "core/err.h"
#include "core/json.h"
#include "tests/test.h"
#include "tokenize/bpe.h"

#include <time.h>

/* A small vocabulary, learned: tokenizer.json and tokenizer.tiktoken in the test's folder. */
static void make_small(void)
{
    struct bpe_train_conf conf = {.vocab_size = 300, .pretok = PRETOK_CL100K};
    struct bpe_trainer *trainer;
    CHECK_OK(bpe_trainer_open(&trainer, &conf));
    for (int i = 0; i < 3; i++)
        CHECK_OK(bpe_trainer_add(
            trainer, STR("the web keeps the keeper of the web; caf\xC3\xA9 caf\xC3\xA9 1234 there"),
            1));
    CHECK_OK(bpe_trainer_finish(trainer, test_dir(), NULL, NULL));
    bpe_trainer_close(trainer);
}

static struct tokenizer *open_named(const char *name)
{
    struct tokenizer *t = NULL;
    CHECK_OK(tokenizer_open(&t, test_path(name)));
    return t;
}

/* Every id means the same in both, and a text gets the same ids. */
static void check_same(const struct tokenizer *a, const struct tokenizer *b)
{
    static const char text[] = "the keeper's caf\xC3\xA9, 12345 webs <|endoftext|> there\n\n end  ";
    struct encoder *left, *right;
    struct arena arena;
    const uint32_t *x, *y;
    uint32_t x_count, y_count;
    CHECK_INT(tokenizer_vocab(a), tokenizer_vocab(b));
    CHECK_INT(tokenizer_eot(a), tokenizer_eot(b));
    CHECK_INT(tokenizer_added_count(a), tokenizer_added_count(b));
    for (uint32_t id = 0; id < tokenizer_vocab(a); id++)
        CHECK(str_eq(tokenizer_text(a, id), tokenizer_text(b, id)));
    CHECK_OK(arena_open(&arena, 1 << 20));
    CHECK_OK(encoder_open(&left, a));
    CHECK_OK(encoder_open(&right, b));
    CHECK_OK(encoder_encode_special(left, STR(text), &arena, &x, &x_count));
    CHECK_OK(encoder_encode_special(right, STR(text), &arena, &y, &y_count));
    CHECK_INT(x_count, y_count);
    CHECK(x_count == y_count && memcmp(x, y, x_count * sizeof *x) == 0);
    encoder_close(left);
    encoder_close(right);
    arena_close(&arena);
}

TEST(tokenize_formats_every_way_round)
{
    static const char *const names[] = {"tokenizer.json", "tokenizer.tiktoken", "a.gguf"};
    char out[4096];
    make_small();
    struct tokenizer *first = open_named("tokenizer.json");
    CHECK_OK(tokenizer_convert(first, test_path("a.gguf")));
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        struct tokenizer *from = NULL;
        CHECK_OK(tokenizer_open_as(&from, test_path(names[i]), i == 1 ? PRETOK_CL100K : -1));
        check_same(first, from);
        for (size_t k = 0; k < COUNT_OF(names); k++) {
            static const char *const ends[] = {"json", "tiktoken", "gguf"};
            struct tokenizer *to = NULL;
            snprintf(out, sizeof out, "%s/x%zu%zu.%s", test_dir(), i, k, ends[k]);
            CHECK_OK(tokenizer_convert(from, out));
            CHECK_OK(tokenizer_open_as(&to, out, k == 1 ? PRETOK_CL100K : -1));
            check_same(first, to);
            tokenizer_close(to);
        }
        tokenizer_close(from);
    }
    tokenizer_close(first);
}

/* Added tokens of every kind, a gap in the ids, NFC, a template, first and last tokens. */
static struct tokenizer *make_rich(const char *flags)
{
    struct buf text = {0};
    struct json_writer w;
    struct tokenizer *t = NULL;
    json_begin(&w, &text);
    buf_printf(&text,
               "{\"added_tokens\":[{\"id\":258,\"content\":\"<|endoftext|>\",\"special\":true},"
               "{\"id\":260,\"content\":\"<tool>\",\"special\":false},"
               "{\"id\":263,\"content\":\"<|im_end|>\",\"special\":true%s}],"
               "\"normalizer\":{\"type\":\"NFC\"},\"pre_tokenizer\":{\"type\":\"ByteLevel\","
               "\"add_prefix_space\":false,\"use_regex\":true},\"model\":{\"type\":\"BPE\","
               "\"vocab\":{\"the\":257,\"th\":256",
               flags);
    for (int b = 0; b < 256; b++) {
        char utf8[5] = {0};
        utf8_encode(byte_char((unsigned char)b), utf8);
        buf_char(&text, ',');
        json_put_str(&w, str_of(utf8));
        buf_printf(&text, ":%d", b);
    }
    buf_text(&text, "},\"merges\":[\"t h\",[\"th\",\"e\"]]}}");
    CHECK_OK(io_write_file(test_path("rich/tokenizer.json"), buf_view(&text)));
    CHECK_OK(io_write_file(test_path("rich/tokenizer_config.json"),
                           STR("{\"bos_token\":null,\"eos_token\":{\"content\":\"<|im_end|>\"},"
                               "\"chat_template\":[{\"name\":\"rag\",\"template\":\"no\"},"
                               "{\"name\":\"default\",\"template\":\"{{ messages }}\"}]}")));
    buf_free(&text);
    CHECK_OK(tokenizer_open(&t, test_path("rich")));
    return t;
}

TEST(tokenize_formats_keep_what_they_can_hold)
{
    CHECK_OK(io_mkdirs(test_path("rich")));
    struct tokenizer *t = make_rich(""), *back = NULL;
    CHECK_INT(tokenizer_eos(t), 263);
    CHECK_INT(tokenizer_bos(t), NO_TOKEN);
    CHECK_STR(tokenizer_chat_template(t), "{{ messages }}");
    const char *outs[] = {"rich.gguf", "again/tokenizer.json", "folder"};
    CHECK_OK(io_mkdirs(test_path("again")));
    for (size_t i = 0; i < COUNT_OF(outs); i++) {
        CHECK_OK(tokenizer_convert(t, test_path(outs[i])));
        CHECK_OK(tokenizer_open(&back, test_path(outs[i])));
        check_same(t, back);
        CHECK_INT(tokenizer_nfc(back), true);
        CHECK_INT(tokenizer_eos(back), 263);
        CHECK_STR(tokenizer_chat_template(back), "{{ messages }}");
        CHECK_INT(tokenizer_hash(back).low, tokenizer_hash(t).low);
        tokenizer_close(back);
    }
    CHECK_ERR(tokenizer_convert(t, test_path("rich.tiktoken")), ERR_FORMAT);
    CHECK(strstr(err_text(), "NFC") != NULL);
    CHECK(!io_exists(test_path("rich.tiktoken")));
    tokenizer_close(t);
    t = make_rich(",\"lstrip\":true");
    CHECK_ERR(tokenizer_convert(t, test_path("strip.gguf")), ERR_FORMAT);
    CHECK(strstr(err_text(), "263") != NULL);
    CHECK_OK(tokenizer_convert(t, test_path("strip.json")));
    tokenizer_close(t);
}

/* OpenAI's own pair and rank file of the same vocabulary. */
TEST(tokenize_formats_published_pair)
{
    char data[3][4096];
    const char *names[] = {"vocab/encoder.json", "vocab/vocab.bpe", "vocab/r50k_base.tiktoken"};
    struct tokenizer *t[3];
    for (int i = 0; i < 3; i++)
        snprintf(data[i], sizeof data[i], "%s", test_data(names[i]));
    for (int i = 0; i < 3; i++)
        CHECK_OK(tokenizer_open(&t[i], data[i]));
    for (int i = 0; i < 2; i++) {
        CHECK_INT(tokenizer_merges(t[i]), 50000);
        check_same(t[2], t[i]);
        CHECK_OK(tokenizer_convert(t[i], test_path("gpt2.gguf")));
        struct tokenizer *back = open_named("gpt2.gguf");
        check_same(t[2], back);
        tokenizer_close(back);
    }
    for (int i = 0; i < 3; i++)
        tokenizer_close(t[i]);
    /* Half a pair. */
    char *bytes;
    size_t len;
    struct tokenizer *none;
    CHECK_OK(io_read_file(data[1], 1 << 20, &bytes, &len));
    CHECK_OK(io_write_file(test_path("vocab.bpe"), (struct str){bytes, len}));
    free(bytes);
    CHECK_ERR(tokenizer_open(&none, test_path("vocab.bpe")), ERR_FORMAT);
    CHECK(strstr(err_text(), "encoder.json") != NULL);
}

/* The first bytes of Llama 2's tokenizer.model, as protobuf's encoding has them. */
TEST(tokenize_formats_sentencepiece_refused)
{
    static const char model[] = "\x0A\x0E\x0A\x05<unk>\x15\0\0\0\0\x18\x02"
                                "\x0A\x0C\x0A\x03<s>\x15\0\0\0\0\x18\x03"
                                "\x0A\x0D\x0A\x04</s>\x15\0\0\0\0\x18\x03";
    struct tokenizer *t;
    CHECK_OK(io_write_file(test_path("tokenizer.model"), (struct str){model, sizeof model - 1}));
    CHECK_ERR(tokenizer_open(&t, test_path("tokenizer.model")), ERR_FORMAT);
    CHECK(strstr(err_text(), "sentencepiece") != NULL);
    /* Found by fuzzing: an empty piece at the end was looked into. */
    for (size_t cut = 0; cut < sizeof model - 1; cut++) {
        char *exact = malloc(cut ? cut : 1);
        memcpy(exact, model, cut);
        CHECK_INT(is_sentencepiece((struct str){exact, cut}), false);
        free(exact);
    }
    char *empty = malloc(2);
    memcpy(empty, "\n\0", 2);
    CHECK(!is_sentencepiece((struct str){empty, 2}));
    free(empty);
}

/* ---- damage ---- */
static void use_if_open(struct str bytes, int pretok)
{
    struct tokenizer *t = NULL;
    if (tokenizer_open_bytes(&t, NULL, bytes, pretok) < 0) {
        CHECK(err_text()[0] != 0);
        err_clear();
        return;
    }
    struct encoder *e;
    struct arena a;
    const uint32_t *ids;
    uint32_t count;
    CHECK_OK(arena_open(&a, 1 << 20));
    CHECK_OK(encoder_open(&e, t));
    CHECK_OK(encoder_encode(e, STR("the web keeps caf\xC3\xA9"), &a, &ids, &count));
    for (uint32_t i = 0; i < count; i++)
        CHECK(ids[i] < tokenizer_vocab(t));
    encoder_close(e);
    arena_close(&a);
    tokenizer_close(t);
}

static void damage(const char *name, int pretok)
{
    char *bytes;
    size_t len;
    CHECK_OK(io_read_file(test_path(name), 1 << 20, &bytes, &len));
    char *copy = malloc(len);
    for (size_t cut = 0; cut < len; cut += cut < 600 ? 1 : 23) {
        memcpy(copy, bytes, cut); /* not behind the end of what is allocated: ASan would see it */
        char *exact = malloc(cut ? cut : 1);
        memcpy(exact, bytes, cut);
        use_if_open((struct str){exact, cut}, pretok);
        free(exact);
    }
    uint64_t state = 11;
    for (int i = 0; i < 2000; i++) {
        memcpy(copy, bytes, len);
        for (uint64_t k = test_random(&state) % 3 + 1; k; k--)
            copy[test_random(&state) % len] ^= (char)(1 << test_random(&state) % 8);
        use_if_open((struct str){copy, len}, pretok);
    }
    free(copy);
    free(bytes);
}

TEST(tokenize_formats_damaged)
{
    make_small();
    struct tokenizer *t = open_named("tokenizer.json");
    CHECK_OK(tokenizer_convert(t, test_path("a.gguf")));
    tokenizer_close(t);
    damage("a.gguf", -1);
    damage("tokenizer.json", -1);
    damage("tokenizer.tiktoken", PRETOK_CL100K);
}

/* ---- hostile GGUF: each lie is refused by name and byte ---- */
static void put_u(struct buf *to, uint64_t number, int width)
{
    for (int i = 0; i < width; i++)
        buf_char(to, (char)(number >> 8 * i));
}

static void put_s(struct buf *to, const char *text)
{
    put_u(to, strlen(text), 8);
    buf_text(to, text);
}

static void gguf_head(struct buf *to, uint64_t pairs)
{
    buf_clear(to);
    buf_text(to, "GGUF");
    put_u(to, 3, 4);
    put_u(to, 0, 8);
    put_u(to, pairs, 8);
}

static void check_refused(struct buf *to, const char *why)
{
    struct tokenizer *t = NULL;
    CHECK_ERR(tokenizer_open_bytes(&t, NULL, buf_view(to), -1), ERR_FORMAT);
    if (!strstr(err_text(), why))
        CHECK_STR(str_of(err_text()), why);
    err_clear();
}

TEST(tokenize_formats_gguf_lies)
{
    struct buf to = {0};
    gguf_head(&to, UINT64_MAX);
    check_refused(&to, "byte 16: 18446744073709551615 pairs");
    gguf_head(&to, 1);
    put_u(&to, UINT64_MAX - 3, 8); /* a name's length */
    buf_text(&to, "0123456789abcdef");
    check_refused(&to, "byte 32: a text of 18446744073709551612 bytes, but 16 are left");
    gguf_head(&to, 1);
    put_s(&to, "tokenizer.ggml.tokens");
    put_u(&to, 9, 4);
    put_u(&to, 8, 4);
    put_u(&to, (uint64_t)1 << 61, 8); /* times 8 bytes: 0 */
    check_refused(&to, "a list of 2305843009213693952 elements");
    gguf_head(&to, 1);
    put_s(&to, "tokenizer.ggml.tokens"); /* a list of numbers where texts belong */
    put_u(&to, 9, 4);
    put_u(&to, 5, 4);
    put_u(&to, 1, 8);
    put_u(&to, 7, 4);
    check_refused(&to, "byte 24: tokenizer.ggml.tokens has type 9 of 5, expected 9 of 8");
    gguf_head(&to, 1);
    put_s(&to, "x");
    put_u(&to, 9, 4); /* a list of lists of lists .. */
    for (int i = 0; i < 1000; i++) {
        put_u(&to, 9, 4);
        put_u(&to, 1, 8);
    }
    check_refused(&to, "byte 37: a list of type 9");
    gguf_head(&to, 2);
    for (int i = 0; i < 2; i++) {
        put_s(&to, "tokenizer.ggml.model");
        put_u(&to, 8, 4);
        put_s(&to, "gpt2");
    }
    check_refused(&to, "tokenizer.ggml.model stands a second time");
    gguf_head(&to, 1);
    put_s(&to, "tokenizer.ggml.model");
    put_u(&to, 8, 4);
    put_s(&to, "llama");
    check_refused(&to, "sentencepiece pieces with scores");
    to.ptr[4] = 0;
    to.ptr[7] = 3; /* written by a big-endian machine */
    check_refused(&to, "byte 4: GGUF version 50331648");
    buf_free(&to);
}

/* A whole one with a part exchanged. */
static void gguf_small(struct buf *to, const char *merge, uint32_t merges, const char *last,
                       uint32_t last_type, uint32_t eos)
{
    gguf_head(to, 6);
    put_s(to, "tokenizer.ggml.model");
    put_u(to, 8, 4);
    put_s(to, "gpt2");
    put_s(to, "tokenizer.ggml.pre");
    put_u(to, 8, 4);
    put_s(to, "gpt-2");
    put_s(to, "tokenizer.ggml.tokens");
    put_u(to, 9, 4);
    put_u(to, 8, 4);
    put_u(to, 259, 8);
    for (int b = 0; b < 256; b++) {
        char utf8[5] = {0};
        utf8_encode(byte_char((unsigned char)b), utf8);
        put_s(to, utf8);
    }
    put_s(to, "th");
    put_s(to, "<|endoftext|>");
    put_s(to, last);
    put_s(to, "tokenizer.ggml.token_type");
    put_u(to, 9, 4);
    put_u(to, 5, 4);
    put_u(to, 259, 8);
    for (int i = 0; i < 257; i++)
        put_u(to, 1, 4);
    put_u(to, 1, 4); /* ordinary, as old files have it: eos makes it special */
    put_u(to, last_type, 4);
    put_s(to, "tokenizer.ggml.merges");
    put_u(to, 9, 4);
    put_u(to, 8, 4);
    put_u(to, merges, 8);
    for (uint32_t i = 0; i < merges; i++)
        put_s(to, merge);
    put_s(to, "tokenizer.ggml.eos_token_id");
    put_u(to, 4, 4);
    put_u(to, eos, 4);
}

TEST(tokenize_formats_gguf_by_hand)
{
    struct buf to = {0};
    struct tokenizer *t = NULL;
    gguf_small(&to, "t h", 1, "[PAD258]", 5, 257);
    CHECK_OK(tokenizer_open_bytes(&t, NULL, buf_view(&to), -1));
    CHECK_INT(tokenizer_vocab(t), 259);
    CHECK_INT(tokenizer_eot(t), 257);
    CHECK_INT(tokenizer_pretok(t), PRETOK_GPT2);
    CHECK_STR(tokenizer_bytes(t, 256), "th");
    CHECK_STR(tokenizer_text(t, 258), "");
    tokenizer_close(t);
    gguf_small(&to, "t h", 1, "th", 1, 257);
    check_refused(&to, "have the same bytes");
    gguf_small(&to, "t h", 1, "<|endoftext|>", 3, 257);
    check_refused(&to, "the same text");
    gguf_small(&to, "th th", 1, "x", 4, 257);
    check_refused(&to, "merge 0 names a token the vocabulary does not have");
    gguf_small(&to, "th", 1, "x", 4, 257);
    check_refused(&to, "merge 0 is not of two tokens");
    gguf_small(&to, "t h", 1, "<0x41>", 6, 257);
    check_refused(&to, "token 258 has type 6");
    gguf_small(&to, "t h", 1, "x", 0xFFFFFFFF, 257);
    check_refused(&to, "token 258 has type 4294967295");
    gguf_small(&to, "t h", 1, "\xE4\xB8\xAD", 1, 257);
    check_refused(&to, "holds U+4E2D");
    gguf_small(&to, "t h", 1, "x", 4, 0xFFFFFFFF); /* no end of text: 257 stays ordinary */
    check_refused(&to, "no <|endoftext|>");
    buf_free(&to);
}

TEST(tokenize_formats_millions_of_merges)
{
    struct buf to = {0};
    struct timespec begin, end;
    gguf_small(&to, "t h", 5 * 1000 * 1000, "x", 4, 257);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &begin);
    check_refused(&to, "5000000 merges: at most 4194304");
    buf_clear(&to);
    buf_text(&to, "{\"model\":{\"vocab\":{\"a,\\\",\":0},\"merges\":[\"a b\"");
    size_t first = to.len;
    for (int i = 1; i < 5 * 1000 * 1000; i++)
        buf_text(&to, ",\"a b\"");
    buf_text(&to, "]}}");
    char want[64]; /* the comma before one too many */
    snprintf(want, sizeof want, "byte %zu: a list of more than 4194304", first + 6 * 4194303);
    check_refused(&to, want);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &end);
    CHECK(end.tv_sec - begin.tv_sec < 2);
    buf_free(&to);
}

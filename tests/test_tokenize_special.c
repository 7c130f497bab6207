/* test_tokenize_special - added tokens in text and out of it, and decoding as ids arrive. */
#include "core/json.h"
#include "tests/test.h"
#include "tokenize/bpe.h"

/* A vocabulary of bytes and a few added tokens, as tokenizer.json has it. */
static struct tokenizer *small(const char *added)
{
    struct buf text = {0};
    struct json_writer w;
    struct tokenizer *t;
    static char path[4096];
    json_begin(&w, &text);
    buf_text(&text,
             "{\"added_tokens\":[{\"id\":256,\"content\":\"<|endoftext|>\",\"special\":true}");
    buf_text(&text, added);
    buf_text(&text, "],\"normalizer\":null,\"pre_tokenizer\":{\"type\":\"ByteLevel\","
                    "\"add_prefix_space\":false,\"use_regex\":true},"
                    "\"model\":{\"type\":\"BPE\",\"vocab\":{");
    for (int b = 0; b < 256; b++) {
        char utf8[5] = {0};
        utf8_encode(byte_char((unsigned char)b), utf8);
        buf_printf(&text, "%s", b ? "," : "");
        json_put_str(&w, str_of(utf8));
        buf_printf(&text, ":%d", b);
    }
    buf_text(&text, "},\"merges\":[]}}");
    CHECK(!text.failed);
    snprintf(path, sizeof path, "%s/tokenizer.json", test_dir());
    CHECK_OK(io_write_file(path, buf_view(&text)));
    buf_free(&text);
    CHECK_OK(tokenizer_open(&t, path));
    return t;
}

static void check_special(const struct tokenizer *t, const char *text, const char *want)
{
    struct encoder *e;
    struct arena a;
    struct buf got = {0};
    const uint32_t *ids;
    uint32_t count;
    CHECK_OK(arena_open(&a, 1 << 20));
    CHECK_OK(encoder_open(&e, t));
    CHECK_OK(encoder_encode_special(e, str_of(text), &a, &ids, &count));
    for (uint32_t i = 0; i < count; i++)
        ids[i] < 256 ? buf_char(&got, (char)ids[i]) : buf_printf(&got, "{%u}", ids[i]);
    CHECK_STR(buf_view(&got), want);
    buf_free(&got);
    encoder_close(e);
    arena_close(&a);
}

/* Leftmost, then longest; what only begins like one is text. As tokenizers' added tokens. */
TEST(tokenize_special_leftmost_longest)
{
    struct tokenizer *t = small(",{\"id\":257,\"content\":\"<a>\",\"special\":true}"
                                ",{\"id\":258,\"content\":\"<a><b>\",\"special\":true}"
                                ",{\"id\":259,\"content\":\"<ab\",\"special\":false}");
    check_special(t, "x<a>y", "x{257}y");
    check_special(t, "<a><b><a><c>", "{258}{257}<c>");
    check_special(t, "<<<ab>", "<<{259}>");
    check_special(t, "<|endoftext|", "<|endoftext|");
    check_special(t, "<|endoftext|><|endoftext|>", "{256}{256}");
    check_special(t, "", "");
    tokenizer_close(t);
}

TEST(tokenize_special_strips_and_words)
{
    struct tokenizer *t =
        small(",{\"id\":257,\"content\":\"[L]\",\"special\":true,\"lstrip\":true}"
              ",{\"id\":258,\"content\":\"[R]\",\"special\":true,\"rstrip\":true}"
              ",{\"id\":259,\"content\":\"cat\",\"special\":true,\"single_word\":true}");
    check_special(t, "a \n [L] b", "a{257} b");
    check_special(t, "a [R] \n b", "a {258}b");
    check_special(t, "cat concat cats cat.", "{259} concat cats {259}.");
    tokenizer_close(t);
}

TEST(tokenize_special_decode)
{
    struct tokenizer *t = small(",{\"id\":257,\"content\":\"<think>\",\"special\":false}");
    struct buf text = {0};
    uint32_t ids[] = {'a', 256, 257, 'b'};
    CHECK_OK(tokenizer_decode(t, ids, 4, &text));
    CHECK_STR(buf_view(&text), "a<think>b");
    buf_clear(&text);
    CHECK_OK(tokenizer_decode_special(t, ids, 4, &text));
    CHECK_STR(buf_view(&text), "a<|endoftext|><think>b");
    ids[0] = 258;
    CHECK_ERR(tokenizer_decode(t, ids, 4, &text), ERR_FORMAT);
    buf_free(&text);
    tokenizer_close(t);
}

/* Each push prints whole characters only; in the end nothing is missing. */
TEST(tokenize_decoder_holds_half_characters)
{
    static const char text[] = "a\xC3\xA9\xE6\x97\xA5\xF0\x9F\x98\x80z\xE6\x97";
    struct tokenizer *t = small("");
    struct decoder d = {0};
    struct buf out = {0};
    size_t whole[] = {1, 1, 3, 3, 3, 6, 6, 6, 6, 10, 11, 11, 11};
    for (size_t i = 0; i + 1 < sizeof text; i++) {
        CHECK_OK(decoder_push(&d, t, (unsigned char)text[i], &out));
        CHECK_INT(out.len, whole[i]);
    }
    decoder_finish(&d, &out);
    CHECK_STR(buf_view(&out), text);
    buf_free(&out);
    tokenizer_close(t);
}

/* 800 tokens that begin alike, and a text that always nearly is one. */
TEST_LIMIT(tokenize_special_stays_linear, 20)
{
    struct buf added = {0}, text = {0};
    for (int i = 0; i < 800; i++)
        buf_printf(&added, ",{\"id\":%d,\"content\":\"<|x%d|>\",\"special\":true}", 257 + i, i);
    struct tokenizer *t = small(buf_cstr(&added));
    struct encoder *e;
    struct arena a;
    const uint32_t *ids;
    uint32_t count;
    for (int i = 0; i < 300000; i++)
        buf_text(&text, "<|x7");
    CHECK_OK(arena_open(&a, (size_t)1 << 30));
    CHECK_OK(encoder_open(&e, t));
    CHECK_OK(encoder_encode_special(e, buf_view(&text), &a, &ids, &count));
    CHECK_INT(count, text.len);
    encoder_close(e);
    arena_close(&a);
    tokenizer_close(t);
    buf_free(&added);
    buf_free(&text);
}

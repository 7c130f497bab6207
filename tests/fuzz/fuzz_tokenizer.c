/* fuzz_tokenizer - any bytes as a tokenizer.json, a rank file, a GGUF or, cut at a line "--", as
 * encoder.json and vocab.bpe: refused, or text survives it. */
#include "tokenize/bpe.h"
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>

/* What a loaded file makes of a text must be ids below its vocabulary, and bytes again. */
static void use(const struct tokenizer *t, struct arena *a)
{
    static const char text[] =
        "The web's 1234 pages:\n\n  caf\xc3\xa9 \xe4\xb8\xad\xff <|endoftext|>";
    struct encoder *e;
    struct buf back = {0};
    const uint32_t *ids;
    uint32_t count;
    if (encoder_open(&e, t) < 0)
        return;
    if (encoder_encode(e, (struct str){text, sizeof text - 1}, a, &ids, &count) >= 0) {
        for (uint32_t i = 0; i < count; i++)
            if (ids[i] >= tokenizer_vocab(t))
                abort();
        if (tokenizer_decode(t, ids, count, &back) < 0)
            abort();
    }
    buf_free(&back);
    encoder_close(e);
}

/* encoder.json, a line "--", vocab.bpe. */
static void use_halves(struct str bytes, struct arena *a)
{
    struct str cut = STR("\n--\n");
    struct tokenizer *t;
    size_t at = 0;
    while (at + cut.len <= bytes.len && memcmp(bytes.ptr + at, cut.ptr, cut.len) != 0)
        at++;
    if (at + cut.len > bytes.len || !(t = calloc(1, sizeof *t)))
        return;
    if (arena_open(&t->arena, 16 << 20) >= 0 &&
        tokenizer_read_halves(t, str_slice(bytes, 0, at),
                              str_slice(bytes, at + cut.len, bytes.len)) >= 0 &&
        tokenizer_seal(t) >= 0)
        use(t, a);
    tokenizer_close(t);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tokenizer *t;
    struct arena a;
    if (arena_open(&a, 64 << 20) < 0)
        return 0;
    struct str bytes = {(const char *)data, size};
    if (tokenizer_open_bytes(&t, NULL, bytes, -1) >= 0) {
        use(t, &a);
        tokenizer_close(t);
    }
    arena_reset(&a, 0);
    use_halves(bytes, &a);
    arena_close(&a);
    return 0;
}

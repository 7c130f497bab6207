/* fuzz_encode - any bytes as text under small vocabularies of every splitter: the ids must be those
 * of a slow twin (pieces one by one, merged straight from the definition), also from the cache. */
#include "core/err.h"
#include "tests/fuzz/fuzz.h"
#include "tokenize/bpe.h"
#include "tokenize/nfc.h"

#include <stdlib.h>

enum { TEXT_MAX = 1 << 16, VOCAB = 700, KINDS = 2 * PRETOK_COUNT, ARENA = 64 << 20 };

/* What the vocabularies are learnt from: tokens that end inside characters, of white space with
 * newlines, of more than 15 and 31 bytes. */
static const char *const learn[] = {
    "The quick brown fox doesn't jump over the lazy dog's 12345 bones; internationalization, "
    "internationalization of incomprehensibilities\n\n  \n        \n        \n    return 0;\n",
    "\xD0\xBF\xD1\x80\xD0\xB8\xD0\xB2\xD0\xB5\xD1\x82 \xD0\xBC\xD0\xB8\xD1\x80 "
    "\xD0\xBF\xD1\x80\xD0\xB8\xD0\xB2\xD0\xB5\xD1\x82 \xE6\x97\xA5\xE6\x9C\xAC\xE8\xAA\x9E"
    "\xE3\x81\xAE\xE6\x96\x87\xE7\xAB\xA0\xE3\x80\x82\xE6\x97\xA5\xE6\x9C\xAC\xE8\xAA\x9E",
    "\xE0\xA4\xB9\xE0\xA4\xBF\xE0\xA4\xA8\xE0\xA5\x8D\xE0\xA4\xA6\xE0\xA5\x80 "
    "\xE0\xB8\xA0\xE0\xB8\xB2\xE0\xB8\xA9\xE0\xB8\xB2\xE0\xB9\x84\xE0\xB8\x97\xE0\xB8\xA2 "
    "\xF0\x9F\x98\x80\xF0\x9F\x98\x80 caf\xC3\xA9 \xE2\x80\x99s -------- ======== ________________",
};

static struct tokenizer *tokenizer[KINDS];
static struct encoder *encoder[KINDS];

static void need(int rc)
{
    if (rc >= 0)
        return;
    fprintf(stderr, "fuzz_encode: %s\n", err_text());
    abort();
}

/* For each splitter a vocabulary as tokenizer.json (by merges alone) and as ranks (a piece that is
 * a token is that token). */
static void learn_all(void)
{
    char dir[] = "/tmp/fuzz_encode.XXXXXX", path[64];
    if (!mkdtemp(dir))
        abort();
    for (int p = 0; p < PRETOK_COUNT; p++) {
        static const char *const names[] = {"tokenizer.json", "tokenizer.tiktoken",
                                            "tokenizer_config.json", "special_tokens_map.json"};
        struct bpe_train_conf conf = {.vocab_size = VOCAB, .pretok = (enum pretok)p};
        struct bpe_trainer *trainer;
        need(bpe_trainer_open(&trainer, &conf));
        for (size_t i = 0; i < COUNT_OF(learn); i++)
            need(bpe_trainer_add(trainer, str_of(learn[i]), 1));
        need(bpe_trainer_finish(trainer, dir, NULL, NULL));
        bpe_trainer_close(trainer);
        for (int kind = 0; kind < 2; kind++) {
            snprintf(path, sizeof path, "%s/%s", dir, names[kind]);
            need(tokenizer_open_as(&tokenizer[2 * p + kind], path, kind ? p : -1));
            need(encoder_open(&encoder[2 * p + kind], tokenizer[2 * p + kind]));
        }
        for (size_t i = 0; i < COUNT_OF(names); i++) {
            snprintf(path, sizeof path, "%s/%s", dir, names[i]);
            unlink(path);
        }
    }
    rmdir(dir);
}

/* ---- the slow twin ---- */
static uint32_t slow_merge(const struct tokenizer *t, uint32_t *symbol, uint32_t count)
{
    for (;;) {
        const struct pair_slot *lowest = NULL;
        uint32_t best = 0;
        for (uint32_t i = 0; i + 1 < count; i++) {
            const struct pair_slot *s = pair_find(&t->merges, symbol[i], symbol[i + 1]);
            if (s && (!lowest || s->rank < lowest->rank)) {
                lowest = s;
                best = i;
            }
        }
        if (!lowest)
            return count;
        symbol[best] = lowest->id;
        count--;
        memmove(symbol + best + 1, symbol + best + 2, sizeof *symbol * (count - best - 1));
    }
}

static uint32_t slow_piece(const struct tokenizer *t, struct str piece, uint32_t *symbol)
{
    for (uint32_t id = 0; id < t->vocab && t->whole_piece_first; id++)
        if (t->token[id].ptr && str_eq(t->token[id], piece)) {
            symbol[0] = id;
            return 1;
        }
    for (size_t i = 0; i < piece.len; i++)
        symbol[i] = t->byte_id[(unsigned char)piece.ptr[i]];
    return slow_merge(t, symbol, (uint32_t)piece.len);
}

static uint32_t slow_encode(const struct tokenizer *t, struct str text, uint32_t *out)
{
    uint32_t count = 0;
    for (size_t pos = 0; pos < text.len;) {
        size_t end = pretok_next(t->pretok, text, pos);
        if (end <= pos || end > text.len)
            abort();
        count += slow_piece(t, str_slice(text, pos, end), out + count);
        pos = end;
    }
    return count;
}

/* ---- the target ---- */
static void compare(int kind, struct str text, struct arena *a)
{
    static uint32_t want[3 * TEXT_MAX]; /* NFC may make a text three times as long */
    static struct nfc_work normal;
    const struct tokenizer *t = tokenizer[kind];
    const uint32_t *ids;
    struct str plain = text;
    uint32_t count;
    if (t->nfc)
        need(nfc_normalize(text, &normal, &plain));
    if (plain.len > COUNT_OF(want))
        return;
    uint32_t wanted = slow_encode(t, plain, want);
    for (int turn = 0; turn < 2; turn++) { /* new pieces; the same from the cache */
        arena_reset(a, 0);
        need(encoder_encode(encoder[kind], text, a, &ids, &count));
        if (count != wanted || memcmp(ids, want, sizeof *ids * count) != 0) {
            fprintf(stderr, "fuzz_encode: %s%s, turn %d: %u ids, the slow twin has %u\n",
                    pretok_name(t->pretok), t->whole_piece_first ? ", ranks" : "", turn, count,
                    wanted);
            abort();
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct arena a;
    if (!tokenizer[0]) {
        learn_all();
        need(arena_open(&a, ARENA));
    }
    if (size == 0 || size > TEXT_MAX)
        return 0;
    /* A copy of its own: what is read past the end is found. */
    char *text = malloc(size);
    if (!text)
        return 0;
    memcpy(text, data, size);
    for (int kind = 0; kind < KINDS; kind++)
        compare(kind, (struct str){text, size}, &a);
    free(text);
    return 0;
}

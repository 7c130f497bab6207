/* formats_write - a vocabulary as Hugging Face tokenizer.json with its configuration, and as
 * tiktoken ranks. */
#include "core/err.h"
#include "core/json.h"
#include "core/unicode.h"
#include "tokenize/bpe.h"

#include <stdlib.h>

#define CL100K_WORDS "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|"
#define O200K_CONTRACTION "(?i:'s|'t|'re|'ve|'m|'ll|'d)?|"
#define SPACES "\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
/* The splitters as tokenizer.json states them. deepseek-v3's is the last of its three. */
static const char *const patterns[PRETOK_COUNT] = {
    [PRETOK_GPT2] =
        "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+",
    [PRETOK_CL100K] = CL100K_WORDS "\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|" SPACES,
    [PRETOK_CL100K_TT] = "'(?i:[sdmt]|ll|ve|re)|[^\\r\\n\\p{L}\\p{N}]?+\\p{L}++|\\p{N}{1,3}| "
                         "?[^\\s\\p{L}\\p{N}]++[\\r\\n]*+|\\s++$|\\s*[\\r\\n]|\\s+(?!\\S)|\\s",
    [PRETOK_O200K] = "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*"
                     "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]+" O200K_CONTRACTION
                     "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]+"
                     "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]*" O200K_CONTRACTION
                     "\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|" SPACES,
    [PRETOK_QWEN2] = CL100K_WORDS "\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|" SPACES,
    [PRETOK_DEEPSEEK3] =
        "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\r\n\\p{L}\\p{P}\\p{S}]?"
        "[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\r\n]*|\\s*[\r\n]+|\\s+(?!\\S)|\\s+",
};

int pretok_splits(enum pretok p) { return p == PRETOK_DEEPSEEK3 ? 3 : 1; }

const char *pretok_pattern(enum pretok p, int number)
{
    static const char *const outer[2] = {"\\p{N}{1,3}", "[\xE4\xB8\x80-\xE9\xBE\xA5\xE3\x81\x80-"
                                                        "\xE3\x82\x9F\xE3\x82\xA0-\xE3\x83\xBF]+"};
    return p == PRETOK_DEEPSEEK3 && number < 2 ? outer[number] : patterns[p];
}

/* GPT-2 writes bytes as printable characters: 188 keep their code, the other 68 become U+0100 on.
 */
uint32_t byte_char(unsigned char byte)
{
    if ((byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174)
        return byte;
    if (byte <= 32)
        return 256u + byte;
    if (byte <= 160)
        return 256u + 33 + (byte - 127u);
    return 256 + 67; /* 173 */
}

void put_token(struct buf *to, struct str token)
{
    for (size_t i = 0; i < token.len; i++) {
        char utf8[4];
        int len = utf8_encode(byte_char((unsigned char)token.ptr[i]), utf8);
        buf_add(to, utf8, (size_t)len);
    }
}

static void put_byte_level(struct json_writer *w)
{
    json_open(w, '{');
    json_field_text(w, "type", "ByteLevel");
    json_field_bool(w, "add_prefix_space", false);
    json_field_bool(w, "trim_offsets", true);
    json_field_bool(w, "use_regex", false);
    json_close(w, '}');
}

static void put_pre_tokenizer(struct json_writer *w, enum pretok p)
{
    json_field_open(w, "pre_tokenizer", '{');
    json_field_text(w, "type", "Sequence");
    json_field_open(w, "pretokenizers", '[');
    for (int i = 0; i < pretok_splits(p); i++) {
        json_open(w, '{');
        json_field_text(w, "type", "Split");
        json_field_open(w, "pattern", '{');
        json_field_text(w, "Regex", pretok_pattern(p, i));
        json_close(w, '}');
        json_field_text(w, "behavior", "Isolated");
        json_field_bool(w, "invert", false);
        json_close(w, '}');
    }
    put_byte_level(w);
    json_close(w, ']');
    json_close(w, '}');
}

static void put_flags(struct json_writer *w, const struct added_token *token)
{
    json_field_bool(w, "single_word", token->single_word);
    json_field_bool(w, "lstrip", token->lstrip);
    json_field_bool(w, "rstrip", token->rstrip);
    json_field_bool(w, "normalized", false);
    json_field_bool(w, "special", token->special);
}

static void put_added(struct json_writer *w, const struct vocab_parts *v)
{
    json_field_open(w, "added_tokens", '[');
    for (uint32_t i = 0; i < v->added_count; i++) {
        json_open(w, '{');
        json_field_u64(w, "id", v->added[i].id);
        json_field_str(w, "content", v->added[i].text);
        put_flags(w, &v->added[i]);
        json_close(w, '}');
    }
    json_close(w, ']');
}

static void put_normalizer(struct json_writer *w, bool nfc)
{
    json_key(w, "normalizer");
    if (!nfc) {
        json_put_null(w);
        return;
    }
    json_open(w, '{');
    json_field_text(w, "type", "NFC");
    json_close(w, '}');
}

/* tokenizers numbers added tokens by itself, from the vocabulary's size on, unless they stand in
 * the vocabulary too: so they do where there is a gap. */
static bool added_follow(const struct vocab_parts *v)
{
    uint32_t count = 0;
    for (uint32_t id = 0; id < v->tokens; id++)
        count += v->token[id].ptr != NULL;
    for (uint32_t i = 0; i < v->added_count; i++)
        if (v->added[i].id != count + i)
            return false;
    return true;
}

static void put_vocab(struct json_writer *w, const struct vocab_parts *v, struct buf *text)
{
    bool all = !added_follow(v);
    uint32_t next = 0;
    json_field_open(w, "vocab", '{');
    for (uint32_t id = 0; id < v->vocab; id++) {
        bool added = next < v->added_count && v->added[next].id == id;
        buf_clear(text);
        if (added && all)
            buf_str(text, v->added[next].text);
        else if (!added && id < v->tokens && v->token[id].ptr)
            put_token(text, v->token[id]);
        if (text->len)
            json_field_u64(w, buf_cstr(text), id);
        next += added;
    }
    json_close(w, '}');
}

static void put_model(struct json_writer *w, const struct vocab_parts *v)
{
    static const char *const none[] = {"dropout", "unk_token", "continuing_subword_prefix",
                                       "end_of_word_suffix"};
    static const char *const off[] = {"fuse_unk", "byte_fallback"};
    struct buf text = {0};
    json_field_open(w, "model", '{');
    json_field_text(w, "type", "BPE");
    for (size_t i = 0; i < COUNT_OF(none); i++) {
        json_key(w, none[i]);
        json_put_null(w);
    }
    for (size_t i = 0; i < COUNT_OF(off); i++)
        json_field_bool(w, off[i], false);
    json_field_bool(w, "ignore_merges", v->whole_piece_first);
    put_vocab(w, v, &text);
    json_field_open(w, "merges", '[');
    for (uint32_t i = 0; i < v->pairs; i++) {
        buf_clear(&text);
        put_token(&text, v->token[v->pair[i].left]);
        buf_char(&text, ' ');
        put_token(&text, v->token[v->pair[i].right]);
        json_put_str(w, buf_view(&text));
    }
    json_close(w, ']');
    json_close(w, '}');
    if (text.failed)
        w->to->failed = true;
    buf_free(&text);
}

void put_tokenizer_json(struct buf *to, const struct vocab_parts *v)
{
    struct json_writer w;
    json_begin(&w, to);
    json_open(&w, '{');
    json_field_text(&w, "version", "1.0");
    json_key(&w, "truncation");
    json_put_null(&w);
    json_key(&w, "padding");
    json_put_null(&w);
    put_added(&w, v);
    put_normalizer(&w, v->nfc);
    put_pre_tokenizer(&w, v->pretok);
    json_key(&w, "post_processor");
    json_put_null(&w);
    json_key(&w, "decoder");
    put_byte_level(&w);
    put_model(&w, v);
    json_close(&w, '}');
    buf_char(to, '\n');
}

/* The name of an added token under a key; nothing when there is none. */
static void put_named(struct json_writer *w, const char *key, const struct vocab_parts *v,
                      uint32_t id)
{
    for (uint32_t i = 0; id != NO_ID && i < v->added_count; i++)
        if (v->added[i].id == id)
            json_field_str(w, key, v->added[i].text);
}

void put_tokenizer_config(struct buf *to, const struct vocab_parts *v)
{
    struct json_writer w;
    json_begin(&w, to);
    json_open(&w, '{');
    json_field_text(&w, "tokenizer_class", "PreTrainedTokenizerFast");
    json_field_bool(&w, "clean_up_tokenization_spaces", false);
    put_named(&w, "bos_token", v, v->bos);
    put_named(&w, "eos_token", v, v->eos != NO_ID ? v->eos : v->eot);
    json_field_open(&w, "added_tokens_decoder", '{');
    for (uint32_t i = 0; i < v->added_count; i++) {
        char id[16];
        snprintf(id, sizeof id, "%u", v->added[i].id);
        json_field_open(&w, id, '{');
        json_field_str(&w, "content", v->added[i].text);
        put_flags(&w, &v->added[i]);
        json_close(&w, '}');
    }
    json_close(&w, '}');
    if (v->chat_template.len)
        json_field_str(&w, "chat_template", v->chat_template);
    json_close(&w, '}');
    buf_char(to, '\n');
}

void put_special_tokens_map(struct buf *to, const struct vocab_parts *v)
{
    struct json_writer w;
    json_begin(&w, to);
    json_open(&w, '{');
    put_named(&w, "bos_token", v, v->bos);
    put_named(&w, "eos_token", v, v->eos != NO_ID ? v->eos : v->eot);
    json_close(&w, '}');
    buf_char(to, '\n');
}

static void put_base64(struct buf *to, struct str bytes)
{
    static const char digit[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < bytes.len; i += 3) {
        uint32_t group = 0;
        size_t have = bytes.len - i < 3 ? bytes.len - i : 3;
        for (size_t k = 0; k < 3; k++)
            group = group << 8 | (k < have ? (unsigned char)bytes.ptr[i + k] : 0);
        for (size_t k = 0; k < 4; k++)
            buf_char(to, k <= have ? digit[group >> (18 - 6 * k) & 63] : '=');
    }
}

void put_ranks(struct buf *to, const struct vocab_parts *v)
{
    for (uint32_t id = 0; id < v->tokens; id++)
        if (v->token[id].ptr) {
            put_base64(to, v->token[id]);
            buf_printf(to, " %u\n", id);
        }
}

int write_vocab_file(const char *dir, const char *name, const struct buf *text,
                     struct io_info *info)
{
    char path[IO_PATH_MAX];
    struct io_writer *w;
    if (text->failed)
        return err_set(ERR_LIMIT, "%s/%s: no memory", dir, name);
    TRY(io_path(path, "%s/%s", dir, name));
    TRY(io_create(&w, path, IO_PLAIN, 0));
    int rc = io_write_str(w, buf_view(text));
    if (rc < 0) {
        io_abandon(w);
        return rc;
    }
    return io_commit(w, info);
}

int tokenizer_write(const char *dir, enum pretok p, const struct str *token,
                    const struct bpe_pair *pair, uint32_t merges, const char *const *special,
                    size_t special_count, struct io_info *json_info, struct io_info *ranks_info)
{
    uint32_t eot = 256 + merges;
    struct added_token *added = calloc(special_count + 1, sizeof *added);
    if (!added)
        return err_set(ERR_LIMIT, "tokenizer: no memory for %zu special tokens", special_count);
    added[0] = (struct added_token){.text = STR(TRAINED_EOT), .id = eot, .special = true};
    for (uint32_t i = 0; i < special_count; i++)
        added[i + 1] =
            (struct added_token){.text = str_of(special[i]), .id = eot + 1 + i, .special = true};
    struct vocab_parts v = {
        .pretok = p,
        .vocab = eot + 1 + (uint32_t)special_count,
        .eot = eot,
        .bos = NO_ID,
        .eos = NO_ID,
        .token = token,
        .tokens = eot,
        .added = added,
        .added_count = (uint32_t)special_count + 1,
        .pair = pair,
        .pairs = merges,
    };
    const struct {
        const char *name;
        void (*put)(struct buf *to, const struct vocab_parts *v);
        struct io_info *info;
    } files[] = {
        {"tokenizer_config.json", put_tokenizer_config, NULL},
        {"special_tokens_map.json", put_special_tokens_map, NULL},
        {"tokenizer.json", put_tokenizer_json, json_info},
        {"tokenizer.tiktoken", put_ranks, ranks_info},
    };
    struct buf text = {0};
    int rc = 0;
    for (size_t i = 0; i < COUNT_OF(files) && rc >= 0; i++) {
        buf_clear(&text);
        files[i].put(&text, &v);
        rc = write_vocab_file(dir, files[i].name, &text, files[i].info);
    }
    buf_free(&text);
    free(added);
    return rc;
}

/* formats - reads tokenizers: Hugging Face tokenizer.json (byte-level BPE) and tiktoken rank files,
 * and tells by content which of the formats a file has. */
#include "core/err.h"
#include "core/json.h"
#include "tokenize/bpe.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

enum {
    FILE_MAX = 256 << 20,
    ARENA_MAX = 1 << 30,
    JSON_PER_BYTE = 64, /* "1," is a value of 80 bytes and more */
    BYTES_PER_BYTE = 8,
    CHARS = 512,
    JSON_IS_PAIR = 1, /* not a tokenizer.json but an encoder.json */
};

/* Address space for what a text of len bytes becomes. */
static size_t arena_size(size_t len, size_t times)
{
    return len < ARENA_MAX / times / 2 ? len * times + (1 << 20) : ARENA_MAX;
}

int tokens_alloc(struct tokenizer *t, uint64_t count)
{
    if (count > VOCAB_MAX)
        return err_set(ERR_FORMAT, "%llu tokens: at most %d are read", (unsigned long long)count,
                       VOCAB_MAX);
    t->vocab = (uint32_t)count;
    t->token = calloc(count ? count : 1, sizeof *t->token);
    return t->token ? 0 : err_set(ERR_LIMIT, "no memory for %u tokens", t->vocab);
}

/* ---- tokenizer.json ---- */
static int16_t char_byte[CHARS]; /* inverse of byte_char, filled once for all threads */
static pthread_once_t char_byte_once = PTHREAD_ONCE_INIT;

static void char_byte_fill(void)
{
    for (int i = 0; i < CHARS; i++)
        char_byte[i] = -1;
    for (int b = 0; b < 256; b++)
        char_byte[byte_char((unsigned char)b)] = (int16_t)b;
}

int token_bytes(struct tokenizer *t, struct str text, struct str *out)
{
    pthread_once(&char_byte_once, char_byte_fill);
    if (text.len == 0 || text.len > 2 * TOKEN_BYTES_MAX)
        return err_set(ERR_FORMAT, "a token of %zu bytes: 1 to %d are read", text.len,
                       2 * TOKEN_BYTES_MAX);
    char *bytes = arena_push(&t->arena, text.len + 1, 1);
    size_t len = 0;
    if (!bytes)
        return ERR_LIMIT;
    for (size_t at = 0; at < text.len;) {
        uint32_t cp;
        at += (size_t)utf8_decode(text.ptr + at, text.ptr + text.len, &cp);
        if (cp >= CHARS || char_byte[cp] < 0)
            return err_set(
                ERR_FORMAT,
                "token \"%.*s\" holds U+%04X, which stands for no byte: not a byte-level BPE",
                STR_ARG(str_slice(text, 0, text.len < 60 ? text.len : 60)), cp);
        bytes[len++] = (char)char_byte[cp];
    }
    *out = (struct str){bytes, len};
    return 0;
}

int tokenizer_add(struct tokenizer *t, const struct added_token *token)
{
    char *text = arena_push(&t->arena, token->text.len + 1, 1);
    struct added_token *grown = realloc(t->added, sizeof *grown * ((size_t)t->added_count + 1));
    if (grown)
        t->added = grown;
    if (!text || !grown)
        return err_set(ERR_LIMIT, "no memory for added token %u", token->id);
    memcpy(text, token->text.ptr, token->text.len);
    t->added[t->added_count] = *token;
    t->added[t->added_count++].text.ptr = text;
    return 0;
}

/* ---- pre_tokenizer and normalizer: the splitters this program has, as others write them ---- */
static bool json_is_true(const struct json *parent, const char *key, bool preset)
{
    const struct json *v = json_get(parent, key);
    return v && v->type == JSON_BOOL ? v->boolean : preset;
}

static struct str split_regex(const struct json *v)
{
    const struct json *pattern = json_get(v, "pattern");
    bool isolated = str_is(json_str(v, "behavior", STR("")), "Isolated");
    return pattern && isolated && !json_is_true(v, "invert", false)
               ? json_str(pattern, "Regex", STR(""))
               : STR("");
}

/* One character of a pattern; \r and \n are written as such or as an escape. */
static char pattern_char(struct str regex, size_t *at)
{
    char c = regex.ptr[(*at)++];
    if (c == '\\' && *at < regex.len && (regex.ptr[*at] == 'r' || regex.ptr[*at] == 'n'))
        c = regex.ptr[(*at)++] == 'r' ? '\r' : '\n';
    return c;
}

static bool pattern_is(struct str regex, struct str known)
{
    size_t i = 0, k = 0;
    while (i < regex.len && k < known.len)
        if (pattern_char(regex, &i) != pattern_char(known, &k))
            return false;
    return i == regex.len && k == known.len;
}

static bool is_plain_byte_level(const struct json *v)
{
    return str_is(json_str(v, "type", STR("")), "ByteLevel") &&
           !json_is_true(v, "add_prefix_space", true);
}

/* A list of splits and a ByteLevel at its end. */
static int pretok_of_list(const struct json *list)
{
    struct str regex[3] = {{0}};
    int splits = 0;
    const struct json *v = list->child;
    for (; v && v->next; v = v->next, splits++) {
        if (splits == 3)
            return -1;
        regex[splits] = split_regex(v);
    }
    if (!v || !is_plain_byte_level(v))
        return -1;
    if (json_is_true(v, "use_regex", true))
        return splits == 0 ? PRETOK_GPT2 : -1;
    for (int p = 0; p < PRETOK_COUNT; p++) {
        bool same = splits == pretok_splits((enum pretok)p);
        for (int i = 0; same && i < splits; i++)
            same = pattern_is(regex[i], str_of(pretok_pattern((enum pretok)p, i)));
        if (same)
            return p;
    }
    return -1;
}

static int pretok_of_json(const struct json *root)
{
    const struct json *pre = json_get(root, "pre_tokenizer");
    const struct json *list = pre ? json_get(pre, "pretokenizers") : NULL;
    if (list && list->type == JSON_ARRAY)
        return pretok_of_list(list);
    return pre && is_plain_byte_level(pre) && json_is_true(pre, "use_regex", true) ? PRETOK_GPT2
                                                                                   : -1;
}

static int read_normalizer(struct tokenizer *t, const struct json *v)
{
    struct str type = v ? json_str(v, "type", STR("")) : STR("");
    const struct json *list = v ? json_get(v, "normalizers") : NULL;
    if (!v || v->type == JSON_NULL)
        return 0;
    if (str_is(type, "Sequence") && list && list->count <= 1)
        return list->count ? read_normalizer(t, list->child) : 0;
    if (!str_is(type, "NFC"))
        return err_set(ERR_FORMAT, "its normalizer \"%.*s\" is not one sluice has (NFC or none)",
                       STR_ARG(type));
    t->nfc = true;
    return 0;
}

/* ---- vocabulary ---- */
static int highest_id(const struct json *vocab, const struct json *added, uint64_t *highest)
{
    uint64_t id;
    *highest = 0;
    for (const struct json *v = vocab->child; v; v = v->next) {
        if (!json_u64(v, &id) || id >= VOCAB_MAX)
            return err_set(ERR_FORMAT, "token \"%.*s\" has no id below %d", STR_ARG(v->key),
                           VOCAB_MAX);
        *highest = id > *highest ? id : *highest;
    }
    for (const struct json *v = added ? added->child : NULL; v; v = v->next) {
        if (!json_get(v, "id") || !json_u64(json_get(v, "id"), &id) || id >= VOCAB_MAX)
            return err_set(ERR_FORMAT, "an added token has no id below %d", VOCAB_MAX);
        *highest = id > *highest ? id : *highest;
    }
    return 0;
}

static int read_vocab(struct tokenizer *t, const struct json *vocab, const struct json *added)
{
    uint64_t highest, id = 0;
    TRY(highest_id(vocab, added, &highest));
    TRY(tokens_alloc(t, highest + 1));
    static char is_added[1]; /* marks a token as not of the vocabulary while this is read */
    for (const struct json *v = added ? added->child : NULL; v; v = v->next) {
        json_u64(json_get(v, "id"), &id);
        struct added_token token = {
            .text = json_str(v, "content", STR("")),
            .id = (uint32_t)id,
            .special = json_is_true(v, "special", false),
            .lstrip = json_is_true(v, "lstrip", false),
            .rstrip = json_is_true(v, "rstrip", false),
            .single_word = json_is_true(v, "single_word", false),
        };
        if (token.text.len == 0 || t->token[id].ptr)
            return err_set(ERR_FORMAT, "added token %u has no content or another one's id",
                           token.id);
        TRY(tokenizer_add(t, &token));
        t->token[id].ptr = is_added;
    }
    for (const struct json *v = vocab->child; v; v = v->next) {
        json_u64(v, &id);
        if (t->token[id].ptr == is_added)
            continue;
        if (t->token[id].ptr)
            return err_set(ERR_FORMAT, "token \"%.*s\" has the id %u of another one",
                           STR_ARG(v->key), (unsigned)id);
        TRY(token_bytes(t, v->key, &t->token[id]));
    }
    for (uint32_t i = 0; i < t->vocab; i++)
        if (t->token[i].ptr == is_added)
            t->token[i].ptr = NULL;
    return 0;
}

uint32_t added_find(const struct tokenizer *t, struct str text)
{
    for (uint32_t k = 0; k < t->added_count; k++)
        if (str_eq(t->added[k].text, text))
            return t->added[k].id;
    return NO_ID;
}

int find_eot(struct tokenizer *t, uint32_t other)
{
    static const char *const names[] = {
        "<|endoftext|>",
        "<|end_of_text|>",
        "<\xEF\xBD\x9C"
        "end\xE2\x96\x81of\xE2\x96\x81sentence\xEF\xBD\x9C>",
        "</s>",
        "<|im_end|>",
        "<|return|>",
        "<eos>",
    };
    for (size_t i = 0; i < COUNT_OF(names); i++)
        if ((t->eot = added_find(t, str_of(names[i]))) != NO_ID)
            return 0;
    if ((t->eot = other) != NO_ID)
        return 0;
    return err_set(ERR_FORMAT,
                   "no <|endoftext|> among the added tokens: documents could not be told apart");
}

/* ---- merges ---- */
int merges_begin(struct tokenizer *t, uint64_t count)
{
    if (count > MERGES_MAX)
        return err_set(ERR_FORMAT, "%llu merges: at most %d are read", (unsigned long long)count,
                       MERGES_MAX);
    TRY(pair_table_open(&t->merges, count));
    TRY(token_map_open(&t->map, t->token, t->vocab));
    for (uint32_t id = 0; id < t->vocab; id++) {
        uint32_t first = t->token[id].ptr ? token_map_find(&t->map, t->token, t->token[id]) : id;
        if (first != id)
            return err_set(ERR_FORMAT, "the ids %u and %u have the same bytes", first, id);
    }
    return 0;
}

int merges_add(struct tokenizer *t, struct str left, struct str right, uint32_t rank)
{
    size_t mark = arena_mark(&t->arena);
    TRY(token_bytes(t, left, &left));
    TRY(token_bytes(t, right, &right));
    char *both = arena_push(&t->arena, left.len + right.len + 1, 1);
    if (!both)
        return ERR_LIMIT;
    memcpy(both, left.ptr, left.len);
    memcpy(both + left.len, right.ptr, right.len);
    struct str joined = {both, left.len + right.len};
    uint32_t a = token_map_find(&t->map, t->token, left),
             b = token_map_find(&t->map, t->token, right);
    uint32_t id = token_map_find(&t->map, t->token, joined);
    arena_reset(&t->arena, mark);
    if (a == NO_ID || b == NO_ID || id == NO_ID)
        return err_set(ERR_FORMAT, "merge %u names a token the vocabulary does not have", rank);
    return pair_table_put(&t->merges, a, b, rank, id);
}

void merges_end(struct tokenizer *t) { token_map_close(&t->map); }

static int read_merges(struct tokenizer *t, const struct json *merges)
{
    uint32_t rank = 0;
    TRY(merges_begin(t, merges->count));
    for (const struct json *v = merges->child; v; v = v->next, rank++) {
        struct str left, right;
        if (v->type == JSON_ARRAY && v->count == 2) {
            left = v->child->string;
            right = v->child->next->string;
        } else {
            left = str_cut(v->string, ' ', &right);
        }
        if (left.len == 0 || right.len == 0)
            return err_set(ERR_FORMAT, "merge %u is not of two tokens", rank);
        TRY(merges_add(t, left, right, rank));
    }
    merges_end(t);
    return 0;
}

/* encoder.json is nothing but tokens and their ids; "model" is one. */
static bool pair_like(const struct json *root)
{
    return root->type == JSON_OBJECT && root->count >= 256 && root->child->type == JSON_NUMBER;
}

static int read_json_tree(struct tokenizer *t, const struct json *root)
{
    const struct json *model = json_get(root, "model"), *added = json_get(root, "added_tokens");
    const struct json *vocab = model ? json_get(model, "vocab") : NULL,
                      *merges = model ? json_get(model, "merges") : NULL;
    if ((!model || model->type == JSON_NUMBER) && pair_like(root))
        return JSON_IS_PAIR;
    if (!vocab || !merges || vocab->type != JSON_OBJECT || merges->type != JSON_ARRAY)
        return err_set(ERR_FORMAT, "no BPE model with vocab and merges in it");
    if (json_str(model, "continuing_subword_prefix", STR("")).len ||
        json_str(model, "end_of_word_suffix", STR("")).len ||
        json_is_true(model, "byte_fallback", false))
        return err_set(ERR_FORMAT, "it marks the parts of words (WordPiece, sentencepiece): sluice "
                                   "reads byte-level BPE");
    TRY(read_normalizer(t, json_get(root, "normalizer")));
    int pretok = pretok_of_json(root);
    if (pretok < 0)
        return err_set(ERR_FORMAT, "its pre_tokenizer is not one sluice has (gpt2, cl100k or "
                                   "llama3, o200k, qwen2, deepseek-v3)");
    t->pretok = (enum pretok)pretok;
    t->whole_piece_first = json_is_true(model, "ignore_merges", false);
    TRY(read_vocab(t, vocab, added));
    TRY(find_eot(t, NO_ID));
    return read_merges(t, merges);
}

/* Refuses lists longer than any tokenizer has before memory is spent on them. */
static int check_counts(struct str text)
{
    uint32_t commas[JSON_DEPTH_MAX + 1] = {0};
    int depth = 0;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        if (c == '"') {
            for (i++; i < text.len && text.ptr[i] != '"'; i++)
                i += text.ptr[i] == '\\';
        } else if (c == '[' || c == '{') {
            if (depth == JSON_DEPTH_MAX)
                return 0; /* too deep: the parser says so */
            commas[++depth] = 0;
        } else if (c == ']' || c == '}') {
            depth -= depth > 0;
        } else if (c == ',' && ++commas[depth] >= MERGES_MAX) {
            return err_set(ERR_FORMAT, "byte %zu: a list of more than %d merges or tokens", i,
                           MERGES_MAX);
        }
    }
    return 0;
}

/* 1: an encoder.json. */
static int tokenizer_read_json(struct tokenizer *t, struct str text)
{
    struct arena a;
    struct json *root;
    TRY(check_counts(text));
    TRY(arena_open(&a, arena_size(text.len, JSON_PER_BYTE)));
    int rc = json_parse(&a, text, &root);
    if (rc >= 0)
        rc = read_json_tree(t, root);
    arena_close(&a);
    return rc;
}

/* ---- tiktoken ---- */
static int base64_value(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

static bool base64_bytes(struct tokenizer *t, struct str text, struct str *out)
{
    char *bytes = arena_push(&t->arena, text.len + 1, 1);
    size_t len = 0;
    uint32_t bits = 0, have = 0;
    if (!bytes)
        return false;
    while (text.len && text.ptr[text.len - 1] == '=')
        text.len--;
    for (size_t i = 0; i < text.len; i++) {
        int value = base64_value(text.ptr[i]);
        if (value < 0)
            return false;
        bits = bits << 6 | (uint32_t)value;
        if ((have += 6) >= 8)
            bytes[len++] = (char)(bits >> (have -= 8));
    }
    *out = (struct str){bytes, len};
    return len > 0 && len <= TOKEN_BYTES_MAX;
}

/* Special tokens are not in the file; the published ones are told by how many ranks they have.
 * Source: tiktoken's openai_public. */
static const struct known_ranks {
    uint32_t ranks;
    enum pretok pretok;
    struct {
        const char *text;
        uint32_t id;
    } special[5]; /* the first ends a document */
} known_ranks[] = {
    {50256, PRETOK_GPT2, {{"<|endoftext|>", 50256}}},
    {50280, PRETOK_GPT2, {{"<|endoftext|>", 50256}}},
    {100256,
     PRETOK_CL100K_TT,
     {{"<|endoftext|>", 100257},
      {"<|fim_prefix|>", 100258},
      {"<|fim_middle|>", 100259},
      {"<|fim_suffix|>", 100260},
      {"<|endofprompt|>", 100276}}},
    {199998, PRETOK_O200K, {{"<|endoftext|>", 199999}, {"<|endofprompt|>", 200018}}},
};

/* Ids go up to the highest special; of a vocabulary nobody knows, the one behind its ranks ends a
 * document. */
static int ranks_special(struct tokenizer *t, uint32_t ranks, int pretok, uint32_t *vocab)
{
    static const struct known_ranks unknown = {0, PRETOK_CL100K_TT, {{"<|endoftext|>", 0}}};
    const struct known_ranks *known = &unknown;
    for (size_t i = 0; i < COUNT_OF(known_ranks); i++)
        if (known_ranks[i].ranks == ranks)
            known = &known_ranks[i];
    t->pretok = pretok < 0 ? known->pretok : (enum pretok)pretok;
    if (t->pretok == PRETOK_CL100K)
        t->pretok = PRETOK_CL100K_TT; /* as tiktoken runs it */
    *vocab = ranks + 1;
    for (size_t i = 0; i < COUNT_OF(known->special) && known->special[i].text; i++) {
        struct added_token token = {.text = str_of(known->special[i].text),
                                    .id = known == &unknown ? ranks : known->special[i].id,
                                    .special = true};
        TRY(tokenizer_add(t, &token));
        *vocab = token.id >= *vocab ? token.id + 1 : *vocab;
    }
    t->eot = t->added[0].id;
    return 0;
}

/* tiktoken merges any two neighbours whose joined bytes are a token, by that token's rank: so every
 * way to cut a token into two tokens becomes a merge of that rank. */
static int ranks_all_cuts(struct tokenizer *t)
{
    TRY(token_map_open(&t->map, t->token, t->vocab));
    for (uint32_t id = 0; id < t->vocab; id++)
        for (size_t cut = 1; cut < t->token[id].len; cut++) {
            uint32_t left = token_map_find(&t->map, t->token, str_slice(t->token[id], 0, cut));
            if (left == NO_ID)
                continue;
            uint32_t right =
                token_map_find(&t->map, t->token, str_slice(t->token[id], cut, t->token[id].len));
            if (right != NO_ID)
                TRY(pair_table_put(&t->merges, left, right, id, id));
        }
    token_map_close(&t->map);
    return 0;
}

/* In an orderly vocabulary each token is made of two tokens of lower rank in one way only: the way
 * its own bytes go when they are merged by the ranks below it. Whatever text these bytes stand in,
 * they meet as those two, so one merge a token is enough. 1: it is so, 0: it is not. */
static int ranks_one_cut(struct tokenizer *t)
{
    uint32_t symbol[TOKEN_BYTES_MAX / 64];
    struct merge_work work = {0};
    for (uint32_t id = 0; id < t->vocab; id++) {
        struct str token = t->token[id];
        if (!token.ptr || token.len == 1)
            continue;
        if (token.len > BPE_SCAN_MAX * 4)
            return 0;
        int rc = merge_work_grow(&work, (uint32_t)token.len);
        for (size_t i = 0; i < token.len; i++)
            symbol[i] = t->byte_id[(unsigned char)token.ptr[i]];
        uint32_t parts = rc < 0 ? 0 : bpe_merge(&t->merges, symbol, (uint32_t)token.len, &work);
        if (rc >= 0 && parts == 2)
            rc = pair_table_put(&t->merges, symbol[0], symbol[1], id, id);
        if (rc < 0 || parts != 2) {
            merge_work_free(&work);
            return rc < 0 ? rc : 0;
        }
    }
    merge_work_free(&work);
    return 1;
}

static int ranks_merges(struct tokenizer *t)
{
    TRY(tokenizer_bytes_known(t));
    TRY(pair_table_open(&t->merges, t->vocab));
    int one = ranks_one_cut(t);
    TRY(one);
    if (one)
        return 0;
    pair_table_close(&t->merges);
    TRY(pair_table_open(&t->merges, (uint64_t)t->vocab * 4));
    return ranks_all_cuts(t);
}

/* pretok: -1 by the number of ranks. */
static int tokenizer_read_ranks(struct tokenizer *t, struct str text, int pretok)
{
    uint32_t ranks = 0, vocab = 0, line_number = 0;
    struct str rest = text;
    while (rest.len) {
        struct str line = str_trim(str_cut(rest, '\n', &rest));
        ranks += line.len > 0;
    }
    if (ranks < 256 || ranks > VOCAB_MAX)
        return err_set(ERR_FORMAT, "%u ranks: a byte-level vocabulary has 256 to %d", ranks,
                       VOCAB_MAX);
    TRY(ranks_special(t, ranks, pretok, &vocab));
    TRY(tokens_alloc(t, vocab));
    for (rest = text; rest.len;) {
        struct str line = str_trim(str_cut(rest, '\n', &rest)), number, bytes;
        uint64_t id;
        line_number++;
        if (line.len == 0)
            continue;
        line = str_cut(line, ' ', &number);
        if (!base64_bytes(t, line, &bytes) || !str_u64(number, &id) || id > ranks || id >= vocab ||
            t->token[id].ptr)
            return err_set(ERR_FORMAT, "line %u: not BASE64 SPACE RANK with a new rank up to %u",
                           line_number, ranks);
        t->token[id] = bytes;
    }
    t->whole_piece_first = true;
    return ranks_merges(t);
}

/* ---- opening ---- */
/* Told by content. A model's GGUF may be long; its vocabulary is at its front. */
static int read_bytes(struct tokenizer *t, const char *path, struct str bytes, int pretok)
{
    struct str start = str_trim(str_slice(bytes, 0, 64));
    if (is_gguf(bytes))
        return tokenizer_read_gguf(t, bytes, pretok);
    if (is_sentencepiece(bytes))
        return err_set(ERR_FORMAT,
                       "a sentencepiece model: its pieces are characters with scores, and text is "
                       "normalised by its own tables; sluice reads byte-level BPE (tokenizer.json, "
                       ".tiktoken, .gguf, encoder.json with vocab.bpe)");
    if (str_starts(start, "#version"))
        return tokenizer_read_pair(t, path, bytes, pretok);
    if (start.len == 0 || start.ptr[0] != '{')
        return tokenizer_read_ranks(t, bytes, pretok);
    int rc = tokenizer_read_json(t, bytes);
    if (rc == JSON_IS_PAIR)
        return tokenizer_read_pair(t, path, bytes, pretok);
    TRY(rc);
    return path ? tokenizer_read_config(t, path) : 0;
}

int tokenizer_open_bytes(struct tokenizer **out, const char *path, struct str bytes, int pretok)
{
    struct tokenizer *t = calloc(1, sizeof *t);
    if (!t)
        return err_set(ERR_LIMIT, "tokenizer: no memory");
    t->bos = t->eos = NO_ID;
    /* Files beside this one may be larger than it. */
    int rc = arena_open(&t->arena, path ? ARENA_MAX : arena_size(bytes.len, BYTES_PER_BYTE));
    if (rc >= 0)
        rc = read_bytes(t, path, bytes, pretok);
    if (rc >= 0)
        rc = tokenizer_seal(t);
    if (rc < 0) {
        tokenizer_close(t);
        return rc;
    }
    *out = t;
    return 0;
}

/* The file, or as much of it as is read of a model. */
static int read_front(const char *path, struct buf *to)
{
    uint64_t size;
    int fd = io_open_file(path, &size), rc = 0;
    if (fd < 0)
        return fd;
    for (;;) {
        size_t want = to->len == 0 && size && size < FILE_MAX ? (size_t)size + 1 : 1 << 20;
        want = want > FILE_MAX - to->len ? FILE_MAX - to->len : want;
        char *room = want ? buf_room(to, want) : NULL;
        ssize_t got = room ? read(fd, room, want) : 0;
        if (want && !room)
            rc = err_set(ERR_LIMIT, "no memory for its %zu bytes", to->len + want);
        else if (got < 0 && errno != EINTR)
            rc = err_sys("read at byte %zu", to->len);
        else if (got > 0)
            buf_grown(to, (size_t)got);
        if (rc < 0 || (got == 0 && want) || !want)
            break;
    }
    if (rc >= 0 && to->len == FILE_MAX && !is_gguf(buf_view(to)))
        rc = err_set(ERR_LIMIT, "has more than the %d bytes that are read at most", FILE_MAX - 1);
    close(fd);
    return rc;
}

int tokenizer_open(struct tokenizer **out, const char *path)
{
    return tokenizer_open_as(out, path, -1);
}

int tokenizer_open_as(struct tokenizer **out, const char *path, int pretok)
{
    static const char *const inside[] = {"tokenizer.json", "tokenizer.tiktoken", "encoder.json",
                                         "vocab.json", "tokenizer.gguf"};
    char file[IO_PATH_MAX];
    struct buf bytes = {.max = FILE_MAX};
    int rc = 0;
    for (size_t i = 0; i < COUNT_OF(inside) && rc >= 0; i++) {
        rc = io_path(file, "%s/%s", path, inside[i]);
        if (rc >= 0 && io_exists(file)) {
            path = file;
            break;
        }
    }
    if (rc >= 0)
        rc = read_front(path, &bytes);
    if (rc >= 0)
        rc = tokenizer_open_bytes(out, path, buf_view(&bytes), pretok);
    buf_free(&bytes);
    return rc < 0 ? err_in(rc, "tokenizer %s", path) : 0;
}

/* formats - reads tokenizers: Hugging Face tokenizer.json (byte-level BPE) and tiktoken rank files.
 */
#include "core/err.h"
#include "core/json.h"
#include "tokenize/bpe.h"

#include <pthread.h>
#include <stdlib.h>

enum { FILE_MAX = 256 << 20, JSON_ARENA = 1 << 30, CHARS = 512 };

static int tokens_alloc(struct tokenizer *t, uint32_t count)
{
    t->vocab = count;
    t->token = calloc(count ? count : 1, sizeof *t->token);
    return t->token ? 0 : err_set(ERR_LIMIT, "no memory for %u tokens", count);
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

/* Printable characters back to bytes, into the tokenizer's arena. */
static int to_bytes(struct tokenizer *t, struct str text, struct str *out)
{
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
                STR_ARG(text), cp);
        bytes[len++] = (char)char_byte[cp];
    }
    *out = (struct str){bytes, len};
    return 0;
}

/* The splitters this program has, as others write them. */
static int pretok_of_json(const struct json *root)
{
    const struct json *pre = json_get(root, "pre_tokenizer");
    const struct json *list = pre ? json_get(pre, "pretokenizers") : NULL;
    if (pre && str_is(json_str(pre, "type", STR("")), "ByteLevel")) {
        const struct json *regex = json_get(pre, "use_regex"),
                          *space = json_get(pre, "add_prefix_space");
        if ((!regex || regex->boolean) && (!space || !space->boolean))
            return PRETOK_GPT2;
    }
    for (const struct json *v = list ? list->child : NULL; v; v = v->next) {
        const struct json *pattern = json_get(v, "pattern");
        struct str regex = pattern ? json_str(pattern, "Regex", STR("")) : (struct str){0};
        for (int p = 0; regex.len && p < PRETOK_COUNT; p++)
            if (str_is(regex, pretok_pattern((enum pretok)p)))
                return p;
    }
    return -1;
}

static int read_vocab(struct tokenizer *t, const struct json *vocab, const struct json *added)
{
    uint64_t highest = 0, id;
    for (const struct json *v = vocab->child; v; v = v->next) {
        if (!json_u64(v, &id) || id >= VOCAB_MAX)
            return err_set(ERR_FORMAT, "token \"%.*s\" has no id below %d", STR_ARG(v->key),
                           VOCAB_MAX);
        highest = id > highest ? id : highest;
    }
    for (const struct json *v = added ? added->child : NULL; v; v = v->next) {
        if (!json_get(v, "id") || !json_u64(json_get(v, "id"), &id) || id >= VOCAB_MAX)
            return err_set(ERR_FORMAT, "an added token has no id below %d", VOCAB_MAX);
        highest = id > highest ? id : highest;
    }
    TRY(tokens_alloc(t, (uint32_t)highest + 1));
    for (const struct json *v = vocab->child; v; v = v->next) {
        json_u64(v, &id);
        bool special = false;
        for (const struct json *s = added ? added->child : NULL; s && !special; s = s->next)
            special = json_num(s, "id", -1) == (double)id;
        if (!special)
            TRY(to_bytes(t, v->key, &t->token[id]));
    }
    return 0;
}

static int read_eot(struct tokenizer *t, const struct json *added)
{
    static const char *const names[] = {"<|endoftext|>", "<|end_of_text|>", "</s>", "<|im_end|>"};
    for (size_t i = 0; i < COUNT_OF(names); i++)
        for (const struct json *v = added ? added->child : NULL; v; v = v->next)
            if (str_is(json_str(v, "content", STR("")), names[i])) {
                t->eot = (uint32_t)json_num(v, "id", 0);
                return 0;
            }
    return err_set(ERR_FORMAT,
                   "no <|endoftext|> among the added tokens: documents could not be told apart");
}

static int read_merges(struct tokenizer *t, const struct json *merges)
{
    uint32_t rank = 0;
    TRY(pair_table_open(&t->merges, merges->count));
    TRY(token_map_open(&t->map, t->token, t->vocab));
    for (const struct json *v = merges->child; v; v = v->next, rank++) {
        struct str left, right, joined;
        if (v->type == JSON_ARRAY && v->count == 2) {
            left = v->child->string;
            right = v->child->next->string;
        } else {
            left = str_cut(v->string, ' ', &right);
        }
        TRY(to_bytes(t, left, &left));
        TRY(to_bytes(t, right, &right));
        char *both = arena_push(&t->arena, left.len + right.len + 1, 1);
        if (!both)
            return ERR_LIMIT;
        memcpy(both, left.ptr, left.len);
        memcpy(both + left.len, right.ptr, right.len);
        joined = (struct str){both, left.len + right.len};
        uint32_t a = token_map_find(&t->map, t->token, left),
                 b = token_map_find(&t->map, t->token, right);
        uint32_t id = token_map_find(&t->map, t->token, joined);
        if (a == NO_ID || b == NO_ID || id == NO_ID)
            return err_set(ERR_FORMAT, "merge %u names a token the vocabulary does not have", rank);
        TRY(pair_table_put(&t->merges, a, b, rank, id));
    }
    token_map_close(&t->map);
    return 0;
}

static int read_json_tree(struct tokenizer *t, const struct json *root)
{
    const struct json *model = json_get(root, "model"), *added = json_get(root, "added_tokens");
    const struct json *vocab = model ? json_get(model, "vocab") : NULL,
                      *merges = model ? json_get(model, "merges") : NULL;
    const struct json *normalizer = json_get(root, "normalizer");
    if (!vocab || !merges || vocab->type != JSON_OBJECT || merges->type != JSON_ARRAY)
        return err_set(ERR_FORMAT, "no BPE model with vocab and merges in it");
    if (normalizer && normalizer->type != JSON_NULL)
        return err_set(ERR_FORMAT, "its normalizer \"%.*s\" is not one sluice has",
                       STR_ARG(json_str(normalizer, "type", STR("?"))));
    int pretok = pretok_of_json(root);
    if (pretok < 0)
        return err_set(ERR_FORMAT, "its pre_tokenizer is not one sluice has (gpt2, cl100k/llama3)");
    t->pretok = (enum pretok)pretok;
    t->whole_piece_first =
        json_get(model, "ignore_merges") && json_get(model, "ignore_merges")->boolean;
    pthread_once(&char_byte_once, char_byte_fill);
    TRY(read_vocab(t, vocab, added));
    TRY(read_eot(t, added));
    return read_merges(t, merges);
}

int tokenizer_read_json(struct tokenizer *t, struct str text)
{
    struct arena a;
    struct json *root;
    TRY(arena_open(&a, JSON_ARENA));
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

/* Special ids are not in the file; these files are told by how many ranks they have. */
static void ranks_kind(struct tokenizer *t, uint32_t ranks)
{
    t->pretok = ranks == 50256 ? PRETOK_GPT2 : PRETOK_CL100K;
    t->eot = ranks == 100256 ? 100257 : ranks;
}

/* tiktoken merges any two neighbours whose joined bytes are a token, by that token's rank: so every
 * way to cut a token into two tokens becomes a merge of that rank. */
static int ranks_merges(struct tokenizer *t)
{
    TRY(pair_table_open(&t->merges, (uint64_t)t->vocab * 4));
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

int tokenizer_read_ranks(struct tokenizer *t, struct str text)
{
    uint32_t ranks = 0, line_number = 0;
    struct str rest = text;
    while (rest.len) {
        struct str line = str_trim(str_cut(rest, '\n', &rest));
        ranks += line.len > 0;
    }
    if (ranks < 256 || ranks > VOCAB_MAX)
        return err_set(ERR_FORMAT, "%u ranks: a byte-level vocabulary has 256 to %d", ranks,
                       VOCAB_MAX);
    if (ranks == 199998)
        return err_set(ERR_FORMAT, "o200k's splitter is not one sluice has (gpt2, cl100k)");
    ranks_kind(t, ranks);
    TRY(tokens_alloc(t, (t->eot > ranks ? t->eot : ranks) + 1));
    for (rest = text; rest.len;) {
        struct str line = str_trim(str_cut(rest, '\n', &rest)), number, bytes;
        uint64_t id;
        line_number++;
        if (line.len == 0)
            continue;
        line = str_cut(line, ' ', &number);
        if (!base64_bytes(t, line, &bytes) || !str_u64(number, &id) || id >= ranks ||
            t->token[id].ptr)
            return err_set(ERR_FORMAT, "line %u: not BASE64 SPACE RANK with a new rank below %u",
                           line_number, ranks);
        t->token[id] = bytes;
    }
    t->whole_piece_first = true;
    return ranks_merges(t);
}

/* ---- opening ---- */
static int read_any(struct tokenizer *t, const char *path)
{
    char *bytes;
    size_t len;
    TRY(arena_open(&t->arena, (size_t)1 << 30));
    TRY(io_read_file(path, FILE_MAX, &bytes, &len));
    struct str text = {bytes, len}, start = str_trim(str_slice(text, 0, 64));
    int rc = start.len && start.ptr[0] == '{' ? tokenizer_read_json(t, text)
                                              : tokenizer_read_ranks(t, text);
    free(bytes);
    TRY(rc);
    return tokenizer_seal(t);
}

int tokenizer_open(struct tokenizer **out, const char *path)
{
    char json[IO_PATH_MAX], ranks[IO_PATH_MAX];
    struct tokenizer *t = calloc(1, sizeof *t);
    if (!t)
        return err_set(ERR_LIMIT, "tokenizer: no memory");
    int rc = io_path(json, "%s/tokenizer.json", path);
    if (rc >= 0)
        rc = io_path(ranks, "%s/tokenizer.tiktoken", path);
    if (rc >= 0) {
        path = io_exists(json) ? json : io_exists(ranks) ? ranks : path;
        rc = read_any(t, path);
    }
    if (rc < 0) {
        err_in(rc, "tokenizer %s", path);
        tokenizer_close(t);
        return rc;
    }
    *out = t;
    return 0;
}

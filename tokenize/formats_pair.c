/* formats_pair - tokenizers in more than one file: GPT-2's encoder.json with vocab.bpe, and what
 * tokenizer_config.json adds to a tokenizer.json; also what a sentencepiece model looks like. */
#include "core/err.h"
#include "core/json.h"
#include "tokenize/bpe.h"

#include <stdlib.h>

enum { BESIDE_MAX = 64 << 20, PAIR_ARENA = 1 << 30 };

/* The path of a file beside path; false: it is not there. */
static bool find_beside(const char *path, const char *name, char *out)
{
    const char *slash = strrchr(path, '/');
    int folder = slash ? (int)(slash - path) + 1 : 0;
    return io_path(out, "%.*s%s", folder, path, name) >= 0 && io_exists(out);
}

/* Reads a file beside path to the heap: 1, or 0 when it is not there. */
static int read_beside(const char *path, const char *name, char **bytes, struct str *text)
{
    char file[IO_PATH_MAX];
    size_t len;
    if (!find_beside(path, name, file))
        return 0;
    TRY(io_read_file(file, BESIDE_MAX, bytes, &len));
    *text = (struct str){*bytes, len};
    return 1;
}

/* ---- encoder.json with vocab.bpe ---- */
/* What the merges cannot make stands in the list as it is: <|endoftext|>. */
static bool looks_added(struct str text)
{
    return text.len > 2 && text.ptr[0] == '<' && text.ptr[text.len - 1] == '>' &&
           !str_is(text, "</>") &&
           (text.ptr[1] == '|' || str_is(text, "</s>") || str_is(text, "<s>") ||
            str_is(text, "<unk>"));
}

static int pair_vocab(struct tokenizer *t, const struct json *root)
{
    uint64_t id = 0;
    TRY(tokens_alloc(t, root->count));
    for (const struct json *v = root->child; v; v = v->next) {
        if (!json_u64(v, &id) || id >= t->vocab)
            return err_set(ERR_FORMAT, "token \"%.*s\" has no id below %u, as many as there are",
                           STR_ARG(str_slice(v->key, 0, 60)), t->vocab);
        if (t->token[id].ptr)
            return err_set(ERR_FORMAT, "token \"%.*s\" has the id %u of another one",
                           STR_ARG(str_slice(v->key, 0, 60)), (unsigned)id);
        TRY(token_bytes(t, v->key, &t->token[id]));
        if (looks_added(v->key)) {
            struct added_token added = {.text = v->key, .id = (uint32_t)id, .special = true};
            TRY(tokenizer_add(t, &added));
        }
    }
    for (uint32_t i = 0; i < t->added_count; i++)
        t->token[t->added[i].id] = (struct str){0};
    return find_eot(t, NO_ID);
}

static int pair_merges(struct tokenizer *t, struct str text)
{
    struct str rest = text;
    uint64_t lines = 0;
    uint32_t rank = 0;
    while (rest.len) {
        str_cut(rest, '\n', &rest);
        lines++;
    }
    TRY(merges_begin(t, lines));
    for (rest = text; rest.len;) {
        size_t at = text.len - rest.len;
        struct str right, left = str_cut(rest, '\n', &rest);
        if (left.len && left.ptr[left.len - 1] == '\r')
            left.len--;
        if (left.len == 0 || (at == 0 && str_starts(left, "#version")))
            continue;
        left = str_cut(left, ' ', &right);
        int rc = left.len && right.len ? merges_add(t, left, right, rank++)
                                       : err_set(ERR_FORMAT, "merge %u is not of two tokens", rank);
        if (rc < 0)
            return err_in(rc, "byte %zu of the merges", at);
    }
    merges_end(t);
    return 0;
}

int tokenizer_read_halves(struct tokenizer *t, struct str vocab, struct str merges)
{
    struct arena a;
    struct json *root;
    TRY(arena_open(&a, PAIR_ARENA));
    int rc = json_parse(&a, vocab, &root);
    if (rc >= 0 && root->type != JSON_OBJECT)
        rc = err_set(ERR_FORMAT, "the vocabulary is no JSON object");
    if (rc >= 0)
        rc = pair_vocab(t, root);
    if (rc >= 0)
        rc = pair_merges(t, merges);
    arena_close(&a);
    return rc;
}

int tokenizer_read_pair(struct tokenizer *t, const char *path, struct str text, int pretok)
{
    static const char *const names[2][2] = {{"vocab.bpe", "merges.txt"},
                                            {"encoder.json", "vocab.json"}};
    bool merges = str_starts(str_trim(str_slice(text, 0, 64)), "#version");
    char *bytes = NULL;
    struct str other;
    int rc = 0;
    for (int i = 0; path && rc == 0 && i < 2; i++)
        rc = read_beside(path, names[merges][i], &bytes, &other);
    if (rc == 0)
        rc = err_set(ERR_FORMAT, "one half of a pair, and there is no %s or %s beside it",
                     names[merges][0], names[merges][1]);
    t->pretok = pretok < 0 ? PRETOK_GPT2 : (enum pretok)pretok;
    if (rc > 0)
        rc = merges ? tokenizer_read_halves(t, other, text) : tokenizer_read_halves(t, text, other);
    free(bytes);
    return rc < 0 ? rc : 0;
}

/* ---- sentencepiece ---- */
/* A base-128 number at *at; false: none. */
static bool read_varint(struct str s, size_t *at, uint64_t *out)
{
    *out = 0;
    for (int bits = 0; bits < 35 && *at < s.len; bits += 7) {
        unsigned char byte = (unsigned char)s.ptr[(*at)++];
        *out |= (uint64_t)(byte & 127) << bits;
        if (byte < 128)
            return true;
    }
    return false;
}

/* A piece is a text (field 1), then a score (field 2, four bytes). */
bool is_sentencepiece(struct str s)
{
    size_t at = 0;
    for (int pieces = 0; pieces < 3; pieces++) {
        uint64_t len, text;
        if (at >= s.len || s.ptr[at++] != 0x0A || !read_varint(s, &at, &len) || len > s.len - at)
            return false;
        size_t inner = at;
        if (len == 0 || s.ptr[inner++] != 0x0A || !read_varint(s, &inner, &text) ||
            text + 5 > len || inner + text >= s.len || s.ptr[inner + text] != 0x15)
            return false;
        at += (size_t)len;
    }
    return true;
}

/* ---- tokenizer_config.json ---- */
/* The id of a token that is named as a text or as {"content": text}. */
static uint32_t named_token(const struct tokenizer *t, const struct json *root, const char *key)
{
    const struct json *v = json_get(root, key);
    struct str text = v ? json_str(v, "content", STR("")) : STR("");
    if (v && v->type == JSON_STRING)
        text = v->string;
    return text.len ? added_find(t, text) : NO_ID;
}

/* One template, or a list of named ones, of which the default counts. */
static struct str named_template(const struct json *root)
{
    const struct json *v = json_get(root, "chat_template");
    if (v && v->type == JSON_STRING)
        return v->string;
    for (v = v && v->type == JSON_ARRAY ? v->child : NULL; v; v = v->next)
        if (str_is(json_str(v, "name", STR("")), "default"))
            return json_str(v, "template", STR(""));
    return STR("");
}

static int config_read(struct tokenizer *t, struct str text)
{
    struct arena a;
    struct json *root;
    TRY(arena_open(&a, PAIR_ARENA));
    int rc = json_parse(&a, text, &root);
    if (rc >= 0) {
        t->bos = named_token(t, root, "bos_token");
        t->eos = named_token(t, root, "eos_token");
        t->chat_template = arena_str(&t->arena, named_template(root));
        rc = t->chat_template.ptr ? 0 : ERR_LIMIT;
    }
    arena_close(&a);
    return rc;
}

int tokenizer_read_config(struct tokenizer *t, const char *path)
{
    const char *slash = strrchr(path, '/');
    char *bytes = NULL;
    struct str text;
    if (strcmp(slash ? slash + 1 : path, "tokenizer.json") != 0)
        return 0;
    int rc = read_beside(path, "tokenizer_config.json", &bytes, &text);
    if (rc > 0)
        rc = config_read(t, text);
    free(bytes);
    if (rc < 0)
        return err_in(rc, "tokenizer_config.json beside it");
    bytes = NULL;
    rc = read_beside(path, "chat_template.jinja", &bytes, &text);
    if (rc > 0) {
        t->chat_template = arena_str(&t->arena, text);
        rc = t->chat_template.ptr ? 0 : ERR_LIMIT;
    }
    free(bytes);
    return rc < 0 ? rc : 0;
}

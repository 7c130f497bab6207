/* convert - a loaded tokenizer as a file of another format, written only when that file, read back,
 * gives the same ids. */
#include "core/err.h"
#include "tokenize/bpe.h"

#include <stdlib.h>

enum { CONVERT_BYTES_MAX = 1 << 30 };

struct ordered {
    uint32_t rank, left, right;
};

static int ordered_compare(const void *a, const void *b)
{
    const struct ordered *left = a, *right = b;
    if (left->rank != right->rank)
        return left->rank < right->rank ? -1 : 1;
    uint64_t x = pair_key(left->left, left->right), y = pair_key(right->left, right->right);
    return x < y ? -1 : x > y;
}

static int by_id(const void *a, const void *b)
{
    uint32_t left = ((const struct added_token *)a)->id,
             right = ((const struct added_token *)b)->id;
    return left < right ? -1 : left > right;
}

/* What parts_of allocates; free with owned_free. */
struct owned {
    struct bpe_pair *pair;
    struct added_token *added;
};

static void owned_free(struct owned *o)
{
    free(o->pair);
    free(o->added);
}

/* All of a tokenizer as writers want it; *ties: two merges share a rank. */
static int parts_of(const struct tokenizer *t, struct vocab_parts *v, struct owned *o, bool *ties)
{
    uint32_t count = (uint32_t)t->merges.count, at = 0;
    struct ordered *list = malloc(((size_t)count + 1) * sizeof *list);
    o->pair = malloc(((size_t)count + 1) * sizeof *o->pair);
    o->added = malloc(((size_t)t->added_count + 1) * sizeof *o->added);
    if (!list || !o->pair || !o->added) {
        free(list);
        owned_free(o);
        return err_set(ERR_LIMIT, "no memory for %u merges", count);
    }
    for (uint64_t i = 0; i <= t->merges.mask; i++) {
        const struct pair_slot *s = &t->merges.slot[i];
        if (s->key != ~(uint64_t)0)
            list[at++] = (struct ordered){s->rank, (uint32_t)(s->key >> 32), (uint32_t)s->key};
    }
    qsort(list, count, sizeof *list, ordered_compare);
    *ties = false;
    for (uint32_t i = 0; i < count; i++) {
        *ties |= i && list[i].rank == list[i - 1].rank;
        o->pair[i] = (struct bpe_pair){list[i].left, list[i].right};
    }
    free(list);
    if (t->added_count)
        memcpy(o->added, t->added, t->added_count * sizeof *o->added);
    qsort(o->added, t->added_count, sizeof *o->added, by_id);
    *v = (struct vocab_parts){
        .pretok = t->pretok,
        .nfc = t->nfc,
        .whole_piece_first = t->whole_piece_first,
        .vocab = t->vocab,
        .eot = t->eot,
        .bos = t->bos,
        .eos = t->eos,
        .token = t->token,
        .tokens = t->vocab,
        .added = o->added,
        .added_count = t->added_count,
        .pair = o->pair,
        .pairs = count,
        .chat_template = t->chat_template,
    };
    return 0;
}

/* A token of white space with a blank behind a line's end: tiktoken's own cl100k keeps such an end
 * of a text together, the one of tokenizer.json does not. */
static bool ends_of_text_differ(const struct tokenizer *t)
{
    for (uint32_t id = 0; id < t->vocab; id++) {
        struct str s = t->token[id];
        bool line = false, both = false;
        size_t i = 0;
        for (; i < s.len && (unsigned char)s.ptr[i] <= ' '; i++) {
            line |= s.ptr[i] == '\n' || s.ptr[i] == '\r';
            both |= line && s.ptr[i] != '\n' && s.ptr[i] != '\r';
        }
        if (both && i == s.len)
            return true;
    }
    return false;
}

static int parts_added_same(const struct vocab_parts *a, const struct vocab_parts *b)
{
    if (a->added_count != b->added_count)
        return err_set(ERR_FORMAT, "it has %u added tokens, and this format would make them %u",
                       a->added_count, b->added_count);
    for (uint32_t i = 0; i < a->added_count; i++) {
        const struct added_token *x = &a->added[i], *y = &b->added[i];
        if (x->id != y->id || !str_eq(x->text, y->text) || x->special != y->special)
            return err_set(ERR_FORMAT, "this format cannot hold the added token %u (%.*s)", x->id,
                           STR_ARG(x->text));
        if (x->lstrip != y->lstrip || x->rstrip != y->rstrip || x->single_word != y->single_word)
            return err_set(ERR_FORMAT,
                           "this format cannot say that the added token %u (%.*s) takes the "
                           "space beside it or must be a whole word",
                           x->id, STR_ARG(x->text));
    }
    return 0;
}

/* a as it is, b as it was read back. */
static int parts_same(const struct vocab_parts *a, const struct vocab_parts *b)
{
    if (a->nfc != b->nfc)
        return err_set(ERR_FORMAT, "this format cannot say that text is normalised (NFC) first");
    TRY(parts_added_same(a, b));
    if (a->vocab != b->vocab || a->eot != b->eot)
        return err_set(ERR_FORMAT,
                       "this format would make it %u ids with the end of text at %u, "
                       "instead of %u and %u",
                       b->vocab, b->eot, a->vocab, a->eot);
    for (uint32_t id = 0; id < a->vocab; id++)
        if (!str_eq(a->token[id], b->token[id]) || !a->token[id].ptr != !b->token[id].ptr)
            return err_set(ERR_FORMAT, "this format cannot hold token %u", id);
    for (uint32_t i = 0; i < a->pairs || i < b->pairs; i++)
        if (i >= a->pairs || i >= b->pairs || a->pair[i].left != b->pair[i].left ||
            a->pair[i].right != b->pair[i].right)
            return err_set(ERR_FORMAT,
                           "this format would change merge %u of %u: a rank file holds one merge a "
                           "token, in the order of the ids",
                           i, a->pairs);
    return 0;
}

/* Lines of bytes and rank have room for nothing else, and ranks have no gaps. */
static int ranks_can_hold(const struct vocab_parts *v)
{
    uint32_t count = 0;
    if (v->nfc)
        return err_set(ERR_FORMAT,
                       "a .tiktoken file cannot say that text is normalised first (NFC)");
    for (uint32_t id = 0; id < v->tokens; id++)
        if (v->token[id].ptr && id != count++)
            return err_set(ERR_FORMAT,
                           "a .tiktoken file has ids from 0 without gaps: %u is no token of bytes "
                           "here",
                           count - 1);
    return 0;
}

enum target { TARGET_JSON, TARGET_RANKS, TARGET_GGUF };

static int check_back(const struct tokenizer *t, const struct vocab_parts *v, enum target target,
                      struct str bytes)
{
    struct tokenizer *back;
    struct vocab_parts b;
    struct owned owned;
    bool ties;
    TRY(tokenizer_open_bytes(&back, NULL, bytes, target == TARGET_RANKS ? (int)v->pretok : -1));
    int rc = parts_of(back, &b, &owned, &ties);
    if (rc >= 0) {
        rc = parts_same(v, &b);
        if (rc >= 0 && b.pretok != v->pretok && ends_of_text_differ(t))
            rc = err_set(ERR_FORMAT, "white space at the end of a text would get other ids");
        if (rc >= 0 && target != TARGET_RANKS && b.whole_piece_first != v->whole_piece_first)
            rc = err_set(ERR_FORMAT, "this format cannot say that whole pieces come first");
        owned_free(&owned);
    }
    tokenizer_close(back);
    return rc;
}

/* OUT as a folder and a name; the target by the name's end, a folder means tokenizer.json. */
static int split_target(const char *out, char *dir, char *name, enum target *target)
{
    static const struct {
        const char *end;
        enum target target;
    } ends[] = {
        {".json", TARGET_JSON},
        {".tiktoken", TARGET_RANKS},
        {".gguf", TARGET_GGUF},
    };
    struct str path = str_of(out);
    const char *slash = strrchr(out, '/');
    for (size_t i = 0; i < COUNT_OF(ends); i++) {
        size_t len = strlen(ends[i].end);
        if (path.len <= len || !str_is(str_slice(path, path.len - len, path.len), ends[i].end))
            continue;
        *target = ends[i].target;
        TRY(io_path(name, "%s", slash ? slash + 1 : out));
        return slash ? io_path(dir, "%.*s", (int)(slash - out) + !(slash - out), out)
                     : io_path(dir, ".");
    }
    *target = TARGET_JSON;
    TRY(io_path(name, "tokenizer.json"));
    return io_path(dir, "%s", out);
}

static int write_config(const char *dir, const struct vocab_parts *v)
{
    struct buf text = {0};
    put_tokenizer_config(&text, v);
    int rc = write_vocab_file(dir, "tokenizer_config.json", &text, NULL);
    buf_clear(&text);
    put_special_tokens_map(&text, v);
    if (rc >= 0)
        rc = write_vocab_file(dir, "special_tokens_map.json", &text, NULL);
    buf_free(&text);
    return rc;
}

int tokenizer_convert(const struct tokenizer *t, const char *out)
{
    static void (*const put[])(struct buf * to, const struct vocab_parts *v) = {
        [TARGET_JSON] = put_tokenizer_json, [TARGET_RANKS] = put_ranks, [TARGET_GGUF] = put_gguf};
    char dir[IO_PATH_MAX], name[IO_PATH_MAX];
    struct buf text = {.max = CONVERT_BYTES_MAX};
    struct vocab_parts v;
    struct owned owned;
    enum target target;
    bool ties;
    TRY(split_target(out, dir, name, &target));
    TRY(parts_of(t, &v, &owned, &ties));
    int rc = ties && target != TARGET_RANKS
                 ? err_set(ERR_FORMAT, "some of its tokens come about in several ways of one rank, "
                                       "which only a .tiktoken file can say")
                 : 0;
    if (rc >= 0 && target == TARGET_RANKS)
        rc = ranks_can_hold(&v);
    if (rc >= 0) {
        put[target](&text, &v);
        rc = text.failed ? err_set(ERR_LIMIT, "no memory") : 0;
    }
    if (rc >= 0)
        rc = check_back(t, &v, target, buf_view(&text));
    if (rc >= 0 && strcmp(name, "tokenizer.json") == 0)
        rc = write_config(dir, &v);
    if (rc >= 0)
        rc = write_vocab_file(dir, name, &text, NULL);
    owned_free(&owned);
    buf_free(&text);
    return rc < 0 ? err_in(rc, "convert to %s", out) : 0;
}

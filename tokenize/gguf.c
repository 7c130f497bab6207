/* gguf - a vocabulary as llama.cpp's files have it: read from the front of a model or alone, and
 * written alone.
 *
 * Layout: "GGUF", u32 version, u64 tensors, u64 pairs, then pairs of a name, a u32 type and a
 * value, little-endian. Every count is compared with the bytes that are left before it is believed,
 * and every complaint names the byte. What this program must know and the published keys do not say
 * (NFC, tiktoken's own form of a pattern) stands under tokenizer.sluice.*; other readers pass over
 * it. Source: the GGUF specification, version 3. */
#include "core/err.h"
#include "tokenize/bpe.h"

enum {
    GGUF_VERSION = 3,
    GGUF_NAME_MAX = 65535,
    GGUF_PAIR_MIN = 13, /* bytes: an empty name, a type, one byte */
};
enum gguf_type {
    GGUF_U32 = 4,
    GGUF_I32 = 5,
    GGUF_BOOL = 7,
    GGUF_STRING = 8,
    GGUF_ARRAY = 9,
    GGUF_TYPES = 13,
};
enum token_type {
    TOKEN_NORMAL = 1,
    TOKEN_UNKNOWN = 2,
    TOKEN_CONTROL = 3,
    TOKEN_USER = 4,
    TOKEN_UNUSED = 5,
};

enum gguf_key {
    KEY_MODEL,
    KEY_PRE,
    KEY_TOKENS,
    KEY_TYPES,
    KEY_MERGES,
    KEY_BOS,
    KEY_EOS,
    KEY_TEMPLATE,
    KEY_PATTERN,
    KEY_NFC,
    KEY_WHOLE,
    KEY_DOCUMENT,
    KEYS,
};
static const struct {
    const char *name;
    uint32_t type, element;
} keys[KEYS] = {
    [KEY_MODEL] = {"tokenizer.ggml.model", GGUF_STRING, 0},
    [KEY_PRE] = {"tokenizer.ggml.pre", GGUF_STRING, 0},
    [KEY_TOKENS] = {"tokenizer.ggml.tokens", GGUF_ARRAY, GGUF_STRING},
    [KEY_TYPES] = {"tokenizer.ggml.token_type", GGUF_ARRAY, GGUF_I32},
    [KEY_MERGES] = {"tokenizer.ggml.merges", GGUF_ARRAY, GGUF_STRING},
    [KEY_BOS] = {"tokenizer.ggml.bos_token_id", GGUF_U32, 0},
    [KEY_EOS] = {"tokenizer.ggml.eos_token_id", GGUF_U32, 0},
    [KEY_TEMPLATE] = {"tokenizer.chat_template", GGUF_STRING, 0},
    [KEY_PATTERN] = {"tokenizer.sluice.pattern", GGUF_STRING, 0},
    [KEY_NFC] = {"tokenizer.sluice.nfc", GGUF_BOOL, 0},
    [KEY_WHOLE] = {"tokenizer.sluice.whole_piece_first", GGUF_BOOL, 0},
    [KEY_DOCUMENT] = {"tokenizer.sluice.end_of_document_id", GGUF_U32, 0},
};

/* llama.cpp's names of the splitters that this program has; the first of a kind is written. Whole
 * pieces come first under Llama 3's only. */
static const struct {
    const char *name;
    enum pretok pretok;
    bool whole_piece_first;
} pre_names[] = {
    {"gpt-2", PRETOK_GPT2, false},
    {"phi-2", PRETOK_GPT2, false},
    {"roberta-bpe", PRETOK_GPT2, false},
    {"dbrx", PRETOK_CL100K, false},
    {"smaug-bpe", PRETOK_CL100K, false},
    {"llama-bpe", PRETOK_CL100K, true},
    {"llama3", PRETOK_CL100K, true},
    {"llama-v3", PRETOK_CL100K, true},
    {"falcon3", PRETOK_CL100K, true},
    {"gpt-4o", PRETOK_O200K, false},
    {"llama4", PRETOK_O200K, false},
    {"qwen2", PRETOK_QWEN2, false},
    {"deepseek-r1-qwen", PRETOK_QWEN2, false},
    {"deepseek-v3", PRETOK_DEEPSEEK3, false},
};

/* ---- reading: a cursor that cannot leave the bytes ---- */
struct gguf {
    struct str bytes;
    size_t at;
    struct gguf_value {
        size_t at;      /* of the value; 0: the key is not there */
        uint64_t count; /* elements of a list, bytes of a string */
    } value[KEYS];
};

bool is_gguf(struct str bytes) { return str_starts(bytes, "GGUF"); }

static int gguf_need(const struct gguf *g, uint64_t bytes, const char *what)
{
    uint64_t left = g->bytes.len - g->at;
    return bytes <= left
               ? 0
               : err_set(ERR_FORMAT,
                         "byte %zu: %s of %llu bytes, but %llu are left: cut short or "
                         "damaged",
                         g->at, what, (unsigned long long)bytes, (unsigned long long)left);
}

static int gguf_number(struct gguf *g, size_t width, uint64_t *out)
{
    TRY(gguf_need(g, width, "a number"));
    *out = 0;
    for (size_t i = 0; i < width; i++)
        *out |= (uint64_t)(unsigned char)g->bytes.ptr[g->at + i] << 8 * i;
    g->at += width;
    return 0;
}

static int gguf_string(struct gguf *g, struct str *out)
{
    uint64_t len;
    TRY(gguf_number(g, 8, &len));
    TRY(gguf_need(g, len, "a text"));
    *out = (struct str){g->bytes.ptr + g->at, (size_t)len};
    g->at += (size_t)len;
    return 0;
}

static int at_byte(int rc, size_t at) { return rc < 0 ? err_in(rc, "byte %zu", at) : rc; }

/* Behind a value; *count: of a list's elements or a string's bytes, *element: a list's type. */
static int gguf_pass(struct gguf *g, uint64_t type, uint64_t *element, uint64_t *count)
{
    static const unsigned char width[GGUF_TYPES] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
    struct str text;
    *element = *count = 0;
    if (type >= GGUF_TYPES)
        return err_set(ERR_FORMAT, "byte %zu: there is no type %llu", g->at,
                       (unsigned long long)type);
    if (type == GGUF_STRING) {
        TRY(gguf_string(g, &text));
        *count = text.len;
        return 0;
    }
    if (type != GGUF_ARRAY) {
        TRY(gguf_need(g, width[type], "a value"));
        g->at += width[type];
        return 0;
    }
    size_t start = g->at;
    TRY(gguf_number(g, 4, element));
    TRY(gguf_number(g, 8, count));
    if (*element >= GGUF_TYPES || *element == GGUF_ARRAY)
        return err_set(ERR_FORMAT, "byte %zu: a list of type %llu", start,
                       (unsigned long long)*element);
    uint64_t least = *element == GGUF_STRING ? 8 : width[*element];
    if (*count > (g->bytes.len - g->at) / least)
        return err_set(ERR_FORMAT,
                       "byte %zu: a list of %llu elements, but %zu bytes are left: cut short or "
                       "damaged",
                       start, (unsigned long long)*count, g->bytes.len - g->at);
    if (*element != GGUF_STRING)
        g->at += (size_t)(*count * least);
    for (uint64_t i = 0; *element == GGUF_STRING && i < *count; i++)
        TRY(gguf_string(g, &text));
    return 0;
}

static int gguf_pair(struct gguf *g)
{
    struct str name;
    uint64_t type, element, count;
    size_t start = g->at;
    TRY(gguf_string(g, &name));
    if (name.len > GGUF_NAME_MAX)
        return err_set(ERR_FORMAT, "byte %zu: a name of %zu bytes", start, name.len);
    TRY(gguf_number(g, 4, &type));
    size_t value = g->at;
    TRY(gguf_pass(g, type, &element, &count));
    for (int k = 0; k < KEYS; k++) {
        if (!str_is(name, keys[k].name))
            continue;
        if (g->value[k].at)
            return err_set(ERR_FORMAT, "byte %zu: %s stands a second time", start, keys[k].name);
        /* Some writers give ids as signed numbers. */
        bool same = type == keys[k].type || (keys[k].type == GGUF_U32 && type == GGUF_I32);
        if (!same || element != keys[k].element)
            return err_set(ERR_FORMAT, "byte %zu: %s has type %llu of %llu, expected %u of %u",
                           start, keys[k].name, (unsigned long long)type,
                           (unsigned long long)element, keys[k].type, keys[k].element);
        g->value[k] = (struct gguf_value){value, count};
    }
    return 0;
}

static int gguf_pairs(struct gguf *g)
{
    uint64_t version, tensors, pairs;
    g->at = 4;
    TRY(gguf_number(g, 4, &version));
    if (version != 2 && version != GGUF_VERSION)
        return err_set(ERR_FORMAT,
                       "byte 4: GGUF version %llu: 2 and 3 in little-endian order are read",
                       (unsigned long long)version);
    TRY(gguf_number(g, 8, &tensors));
    TRY(gguf_number(g, 8, &pairs));
    if (pairs > (g->bytes.len - g->at) / GGUF_PAIR_MIN)
        return err_set(ERR_FORMAT, "byte 16: %llu pairs, but %zu bytes are left",
                       (unsigned long long)pairs, g->bytes.len - g->at);
    for (uint64_t i = 0; i < pairs; i++)
        TRY(gguf_pair(g));
    return 0;
}

static struct str gguf_text(struct gguf *g, enum gguf_key key)
{
    struct gguf_value v = g->value[key];
    return v.at ? (struct str){g->bytes.ptr + v.at + 8, (size_t)v.count} : STR("");
}

/* A number of `width` bytes; preset when the key is not there. */
static uint32_t gguf_value_of(const struct gguf *g, enum gguf_key key, size_t width,
                              uint32_t preset)
{
    struct gguf at = *g;
    uint64_t number = preset;
    at.at = g->value[key].at;
    return at.at && gguf_number(&at, width, &number) >= 0 ? (uint32_t)number : preset;
}

/* An id of the vocabulary or none: both "not there" and "no such token" (some files have -1). */
static uint32_t gguf_id(const struct gguf *g, const struct tokenizer *t, enum gguf_key key)
{
    uint32_t id = gguf_value_of(g, key, 4, NO_ID);
    return id < t->vocab ? id : NO_ID;
}

static int gguf_pattern(struct tokenizer *t, struct gguf *g, int pretok)
{
    struct str pre = gguf_text(g, KEY_PRE), own = gguf_text(g, KEY_PATTERN);
    int found = -1;
    for (int p = 0; p < PRETOK_COUNT; p++)
        if (str_is(own, pretok_name((enum pretok)p)))
            found = p;
    for (size_t i = 0; i < COUNT_OF(pre_names); i++)
        if (str_is(pre, pre_names[i].name)) {
            found = found < 0 ? (int)pre_names[i].pretok : found;
            t->whole_piece_first = pre_names[i].whole_piece_first;
        }
    found = pretok < 0 ? found : pretok;
    if (found < 0)
        return err_set(ERR_FORMAT,
                       "its tokenizer.ggml.pre \"%.*s\" is not a splitter sluice has: if it is one "
                       "under another name, give --pattern",
                       STR_ARG(str_slice(pre, 0, 60)));
    t->pretok = (enum pretok)found;
    t->nfc = gguf_value_of(g, KEY_NFC, 1, false);
    t->whole_piece_first = gguf_value_of(g, KEY_WHOLE, 1, t->whole_piece_first);
    return 0;
}

/* Token number id, whose text is at g->at. */
static int gguf_token(struct tokenizer *t, struct gguf *g, uint32_t id, uint32_t type)
{
    size_t start = g->at;
    struct str text;
    TRY(gguf_string(g, &text));
    bool special = type == TOKEN_CONTROL || type == TOKEN_UNKNOWN;
    if (type == TOKEN_UNUSED)
        return 0;
    if (type == TOKEN_NORMAL)
        return at_byte(token_bytes(t, text, &t->token[id]), start);
    if (!special && type != TOKEN_USER)
        return err_set(ERR_FORMAT, "byte %zu: token %u has type %u, which a byte-level BPE has not",
                       start, id, type);
    if (text.len == 0)
        return err_set(ERR_FORMAT, "byte %zu: added token %u is empty", start, id);
    struct added_token added = {.text = text, .id = id, .special = special};
    return tokenizer_add(t, &added);
}

/* Ordinary types in the file, but what begins or ends a text is never ordinary. */
static int gguf_tokens(struct tokenizer *t, struct gguf *g)
{
    struct gguf_value tokens = g->value[KEY_TOKENS], types = g->value[KEY_TYPES];
    if (!tokens.at || !g->value[KEY_MERGES].at)
        return err_set(ERR_FORMAT, "it has no tokenizer.ggml.tokens and .merges");
    if (types.at && types.count != tokens.count)
        return err_set(ERR_FORMAT, "byte %zu: %llu token types for %llu tokens", types.at,
                       (unsigned long long)types.count, (unsigned long long)tokens.count);
    TRY(at_byte(tokens_alloc(t, tokens.count), tokens.at));
    t->bos = gguf_id(g, t, KEY_BOS);
    t->eos = gguf_id(g, t, KEY_EOS);
    struct gguf type_at = *g;
    type_at.at = types.at + 12;
    g->at = tokens.at + 12;
    for (uint32_t id = 0; id < t->vocab; id++) {
        uint64_t type = TOKEN_NORMAL;
        if (types.at)
            TRY(gguf_number(&type_at, 4, &type));
        if (type == TOKEN_NORMAL && (id == t->bos || id == t->eos))
            type = TOKEN_CONTROL;
        TRY(gguf_token(t, g, id, (uint32_t)type));
    }
    uint32_t document = gguf_id(g, t, KEY_DOCUMENT);
    if (document == NO_ID)
        return find_eot(t, t->eos);
    t->eot = document;
    for (uint32_t i = 0; i < t->added_count; i++)
        if (t->added[i].id == document)
            return 0;
    return err_set(ERR_FORMAT, "byte %zu: the end of a document, %u, is no added token",
                   g->value[KEY_DOCUMENT].at, document);
}

static int gguf_merges(struct tokenizer *t, struct gguf *g)
{
    struct gguf_value v = g->value[KEY_MERGES];
    TRY(at_byte(merges_begin(t, v.count), v.at));
    g->at = v.at + 12;
    for (uint32_t rank = 0; rank < v.count; rank++) {
        size_t start = g->at;
        struct str left, right;
        TRY(gguf_string(g, &left));
        left = str_cut(left, ' ', &right);
        if (left.len == 0 || right.len == 0)
            return err_set(ERR_FORMAT, "byte %zu: merge %u is not of two tokens", start, rank);
        TRY(at_byte(merges_add(t, left, right, rank), start));
    }
    merges_end(t);
    return 0;
}

int tokenizer_read_gguf(struct tokenizer *t, struct str bytes, int pretok)
{
    struct gguf g = {.bytes = bytes};
    TRY(gguf_pairs(&g));
    struct str model = gguf_text(&g, KEY_MODEL);
    if (!str_is(model, "gpt2"))
        return err_set(ERR_FORMAT,
                       "its tokenizer.ggml.model is \"%.*s\"%s: sluice reads byte-level BPE (gpt2)",
                       STR_ARG(str_slice(model, 0, 60)),
                       str_is(model, "llama") ? ", sentencepiece pieces with scores" : "");
    TRY(gguf_pattern(t, &g, pretok));
    TRY(gguf_tokens(t, &g));
    t->chat_template = arena_str(&t->arena, gguf_text(&g, KEY_TEMPLATE));
    return gguf_merges(t, &g);
}

/* ---- writing ---- */
static void put_little(struct buf *to, uint64_t number, size_t width)
{
    for (size_t i = 0; i < width; i++)
        buf_char(to, (char)(number >> 8 * i));
}

static void put_string(struct buf *to, struct str text)
{
    put_little(to, text.len, 8);
    buf_str(to, text);
}

static void put_name(struct buf *to, const char *name, uint32_t type)
{
    put_string(to, str_of(name));
    put_little(to, type, 4);
}

static void put_text_pair(struct buf *to, const char *name, struct str text)
{
    put_name(to, name, GGUF_STRING);
    put_string(to, text);
}

static void put_list(struct buf *to, enum gguf_key key, uint64_t count)
{
    put_name(to, keys[key].name, GGUF_ARRAY);
    put_little(to, keys[key].element, 4);
    put_little(to, count, 8);
}

/* A text whose length is known only once it is there: `start` is where its length stands. */
static void put_length(struct buf *to, size_t start)
{
    uint64_t len = to->len - start - 8;
    for (size_t i = 0; !to->failed && i < 8; i++)
        to->ptr[start + i] = (char)(len >> 8 * i);
}

static void put_tokens(struct buf *to, const struct vocab_parts *v, bool types)
{
    uint32_t next = 0; /* added token */
    put_list(to, types ? KEY_TYPES : KEY_TOKENS, v->vocab);
    for (uint32_t id = 0; id < v->vocab; id++) {
        bool normal = id < v->tokens && v->token[id].ptr;
        bool added = !normal && next < v->added_count && v->added[next].id == id;
        size_t start = to->len;
        if (types) {
            put_little(to,
                       normal                   ? TOKEN_NORMAL
                       : !added                 ? TOKEN_UNUSED
                       : v->added[next].special ? TOKEN_CONTROL
                                                : TOKEN_USER,
                       4);
        } else {
            put_little(to, 0, 8);
            if (normal)
                put_token(to, v->token[id]);
            else if (added)
                buf_str(to, v->added[next].text);
            else
                buf_printf(to, "[PAD%u]", id);
            put_length(to, start);
        }
        next += added;
    }
}

static void put_merges(struct buf *to, const struct vocab_parts *v)
{
    put_list(to, KEY_MERGES, v->pairs);
    for (uint32_t i = 0; i < v->pairs; i++) {
        size_t start = to->len;
        put_little(to, 0, 8);
        put_token(to, v->token[v->pair[i].left]);
        buf_char(to, ' ');
        put_token(to, v->token[v->pair[i].right]);
        put_length(to, start);
    }
}

/* The first name of this splitter that agrees about whole pieces, else the first. */
static const char *pre_name(const struct vocab_parts *v)
{
    enum pretok p = v->pretok == PRETOK_CL100K_TT ? PRETOK_CL100K : v->pretok;
    const char *name = NULL;
    for (size_t i = 0; i < COUNT_OF(pre_names); i++) {
        if (pre_names[i].pretok != p)
            continue;
        if (pre_names[i].whole_piece_first == v->whole_piece_first)
            return pre_names[i].name;
        name = name ? name : pre_names[i].name;
    }
    return name;
}

static void put_number_pair(struct buf *to, const char *name, uint32_t type, uint32_t number,
                            uint64_t *pairs)
{
    if (number == NO_ID)
        return;
    put_name(to, name, type);
    put_little(to, number, type == GGUF_BOOL ? 1 : 4);
    ++*pairs;
}

void put_gguf(struct buf *to, const struct vocab_parts *v)
{
    uint64_t pairs = 7;
    size_t start = to->len;
    buf_text(to, "GGUF");
    put_little(to, GGUF_VERSION, 4);
    put_little(to, 0, 8); /* tensors */
    put_little(to, 0, 8); /* pairs: below */
    put_text_pair(to, "general.architecture", STR("gpt2"));
    put_text_pair(to, keys[KEY_MODEL].name, STR("gpt2"));
    put_text_pair(to, keys[KEY_PRE].name, str_of(pre_name(v)));
    put_tokens(to, v, false);
    put_tokens(to, v, true);
    put_merges(to, v);
    put_text_pair(to, keys[KEY_PATTERN].name, str_of(pretok_name(v->pretok)));
    put_number_pair(to, keys[KEY_BOS].name, GGUF_U32, v->bos, &pairs);
    put_number_pair(to, keys[KEY_EOS].name, GGUF_U32, v->eos != NO_ID ? v->eos : v->eot, &pairs);
    put_number_pair(to, "tokenizer.ggml.add_bos_token", GGUF_BOOL, false, &pairs);
    put_number_pair(to, keys[KEY_NFC].name, GGUF_BOOL, v->nfc, &pairs);
    put_number_pair(to, keys[KEY_WHOLE].name, GGUF_BOOL, v->whole_piece_first, &pairs);
    put_number_pair(to, keys[KEY_DOCUMENT].name, GGUF_U32, v->eot, &pairs);
    if (v->chat_template.len) {
        put_text_pair(to, keys[KEY_TEMPLATE].name, v->chat_template);
        pairs++;
    }
    for (size_t i = 0; !to->failed && i < 8; i++)
        to->ptr[start + 16 + i] = (char)(pairs >> 8 * i);
}

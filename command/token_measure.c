/* token_measure - how well vocabularies fit texts: bytes per token and tokens per word, by domain
 * and language. */
#include "command/token_measure.h"

#include "core/doc.h"
#include "core/err.h"

#include <assert.h>
#include <math.h>
#include <pthread.h>
#include <stdlib.h>

enum {
    TEXT_ARENA = 2047 << 20, /* address space */
    NAME_BYTES_MAX = 96,
};

/* Texts of one domain and language. */
struct measure_group {
    char domain[NAME_BYTES_MAX], lang[16];
    uint64_t documents, bytes, characters, words;
    uint64_t tokens[MEASURE_TOKENIZERS_MAX];
};
struct measure_worker {
    struct encoder *encoder[MEASURE_TOKENIZERS_MAX];
    struct arena arena;
    struct buf clean;
};
struct measure {
    struct {
        struct tokenizer *tokenizer;
        char path[IO_PATH_MAX];
    } used[MEASURE_TOKENIZERS_MAX];
    int tokenizers, threads;
    struct measure_worker *worker;
    pthread_mutex_t lock;
    struct measure_group *group; /* in order; behind them room for one more */
    uint32_t groups, groups_max;
};

int measure_open(struct measure **out, int threads)
{
    struct measure *m = calloc(1, sizeof *m);
    if (!m)
        return err_set(ERR_LIMIT, "no memory to measure with");
    pthread_mutex_init(&m->lock, NULL);
    m->worker = calloc((size_t)threads, sizeof *m->worker);
    m->threads = threads;
    for (int i = 0; m->worker && i < threads; i++)
        if (arena_open(&m->worker[i].arena, TEXT_ARENA) < 0) {
            measure_close(m);
            return ERR_LIMIT;
        }
    if (!m->worker) {
        measure_close(m);
        return err_set(ERR_LIMIT, "no memory for %d threads", threads);
    }
    *out = m;
    return 0;
}

int measure_tokenizer(struct measure *m, const char *path, int pretok)
{
    return measure_tokenizer_named(m, path, path, pretok);
}

int measure_tokenizer_named(struct measure *m, const char *path, const char *name, int pretok)
{
    if (m->tokenizers == MEASURE_TOKENIZERS_MAX)
        return err_set(ERR_USAGE, "compare: %d tokenizers are the most", MEASURE_TOKENIZERS_MAX);
    TRY(io_path(m->used[m->tokenizers].path, "%s", name));
    TRY(tokenizer_open_as(&m->used[m->tokenizers].tokenizer, path, pretok));
    int number = m->tokenizers++;
    for (int i = 0; i < m->threads; i++)
        TRY(encoder_open(&m->worker[i].encoder[number], m->used[number].tokenizer));
    return 0;
}

void measure_close(struct measure *m)
{
    if (!m)
        return;
    for (int i = 0; m->worker && i < m->threads; i++) {
        for (int k = 0; k < m->tokenizers; k++)
            encoder_close(m->worker[i].encoder[k]);
        arena_close(&m->worker[i].arena);
        buf_free(&m->worker[i].clean);
    }
    for (int k = 0; k < MEASURE_TOKENIZERS_MAX; k++)
        if (m->used[k].tokenizer)
            tokenizer_close(m->used[k].tokenizer);
    free(m->worker);
    free(m->group);
    pthread_mutex_destroy(&m->lock);
    free(m);
}

/* ---- one text ---- */
/* text with U+FFFD for what is no UTF-8: words are defined on characters. */
static struct str clean_text(struct buf *to, struct str text)
{
    if (utf8_valid(text))
        return text;
    buf_clear(to);
    for (size_t at = 0; at < text.len;) {
        uint32_t cp;
        char utf8[4];
        at += (size_t)utf8_decode(text.ptr + at, text.ptr + text.len, &cp);
        buf_add(to, utf8, (size_t)utf8_encode(cp, utf8));
    }
    return buf_view(to);
}

static int count_words(struct measure_worker *w, struct str text, struct measure_group *to)
{
    struct view words;
    text = clean_text(&w->clean, text);
    if (w->clean.failed)
        return err_set(ERR_LIMIT, "no memory to measure a text");
    TRY(text_words(&w->arena, text, &words));
    to->characters = utf8_count(text);
    for (uint32_t i = 0; i < words.count; i++)
        to->words += word_is_alnum((struct str){text.ptr + words.span[i].start, words.span[i].len});
    return 0;
}

static void name_copy(char *to, size_t size, struct str name)
{
    size_t len = name.len < size ? name.len : size - 1;
    while (len && len < name.len && ((unsigned char)name.ptr[len] & 0xC0) == 0x80)
        len--;
    memcpy(to, name.ptr, len);
    to[len] = 0;
}

static int group_compare(const void *a, const void *b)
{
    const struct measure_group *x = a, *y = b;
    int by_domain = strcmp(x->domain, y->domain);
    return by_domain ? by_domain : strcmp(x->lang, y->lang);
}

/* The group's entry, made when it is new: they stand in order. */
static struct measure_group *group_find(struct measure *m, const struct measure_group *like)
{
    uint32_t low = 0, high = m->groups;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        int order = group_compare(&m->group[middle], like);
        if (order == 0)
            return &m->group[middle];
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    if (m->groups + 1 >= m->groups_max) { /* one behind them is kept free: all together */
        uint32_t max = m->groups_max ? m->groups_max * 2 : 64;
        struct measure_group *grown = realloc(m->group, sizeof *grown * max);
        if (!grown)
            return NULL;
        m->group = grown;
        m->groups_max = max;
    }
    memmove(&m->group[low + 1], &m->group[low], sizeof *m->group * (m->groups - low));
    m->group[low] = (struct measure_group){0};
    memcpy(m->group[low].domain, like->domain, sizeof like->domain);
    memcpy(m->group[low].lang, like->lang, sizeof like->lang);
    m->groups++;
    return &m->group[low];
}

static void group_add(struct measure_group *to, const struct measure_group *from)
{
    to->documents += from->documents;
    to->bytes += from->bytes;
    to->characters += from->characters;
    to->words += from->words;
    for (int k = 0; k < MEASURE_TOKENIZERS_MAX; k++)
        to->tokens[k] += from->tokens[k];
}

int measure_text(struct measure *m, int thread, struct str text, struct str domain, struct str lang)
{
    struct measure_worker *w = &m->worker[thread];
    struct measure_group one = {.documents = 1, .bytes = text.len};
    const uint32_t *ids;
    uint32_t count;
    assert(thread >= 0 && thread < m->threads);
    name_copy(one.domain, sizeof one.domain, domain);
    name_copy(one.lang, sizeof one.lang, lang);
    arena_reset(&w->arena, 0);
    TRY(count_words(w, text, &one));
    for (int k = 0; k < m->tokenizers; k++) {
        arena_reset(&w->arena, 0);
        TRY(encoder_encode(w->encoder[k], text, &w->arena, &ids, &count));
        one.tokens[k] = count;
    }
    pthread_mutex_lock(&m->lock);
    struct measure_group *group = group_find(m, &one);
    if (group)
        group_add(group, &one);
    pthread_mutex_unlock(&m->lock);
    return group ? 0 : err_set(ERR_LIMIT, "no memory for %u groups of texts", m->groups);
}

/* The groups in order, behind them (at [count]) all together; live with m. */
static const struct measure_group *measure_groups(struct measure *m, uint32_t *count)
{
    static const struct measure_group none = {0};
    *count = m->groups;
    if (!m->groups)
        return &none;
    struct measure_group *all = &m->group[m->groups];
    *all = none;
    for (uint32_t i = 0; i < m->groups; i++)
        group_add(all, &m->group[i]);
    return m->group;
}

/* ---- what came of it ---- */
static double ratio(uint64_t of, uint64_t by) { return by ? (double)of / (double)by : NAN; }

static void json_group(const struct measure *m, const struct measure_group *g,
                       struct json_writer *w, bool named)
{
    json_open(w, '{');
    if (named) {
        json_field_text(w, "domain", g->domain);
        json_field_text(w, "lang", g->lang);
    }
    json_field_u64(w, "documents", g->documents);
    json_field_u64(w, "bytes", g->bytes);
    json_field_u64(w, "characters", g->characters);
    json_field_u64(w, "words", g->words);
    json_field_open(w, "tokens", '[');
    for (int k = 0; k < m->tokenizers; k++)
        json_put_u64(w, g->tokens[k]);
    json_close(w, ']');
    json_field_open(w, "bytes_per_token", '[');
    for (int k = 0; k < m->tokenizers; k++)
        json_put_num(w, ratio(g->bytes, g->tokens[k]));
    json_close(w, ']');
    json_field_open(w, "tokens_per_word", '[');
    for (int k = 0; k < m->tokenizers; k++)
        json_put_num(w, ratio(g->tokens[k], g->words));
    json_close(w, ']');
    json_close(w, '}');
}

void measure_json(struct measure *m, struct json_writer *w)
{
    uint32_t count;
    const struct measure_group *group = measure_groups(m, &count);
    json_open(w, '{');
    json_field_open(w, "tokenizers", '[');
    for (int k = 0; k < m->tokenizers; k++) {
        json_open(w, '{');
        json_field_text(w, "path", m->used[k].path);
        json_field_u64(w, "vocab", tokenizer_vocab(m->used[k].tokenizer));
        json_close(w, '}');
    }
    json_close(w, ']');
    json_field_open(w, "groups", '[');
    for (uint32_t i = 0; i < count; i++)
        json_group(m, &group[i], w, true);
    json_close(w, ']');
    json_key(w, "all");
    json_group(m, &group[count], w, false);
    json_close(w, '}');
}

/* A vocabulary's column: the end of its path that fits, without what all paths end in. */
static void print_heads(const struct measure *m, FILE *to)
{
    enum { WIDTH = 12 };
    for (int k = 0; k < m->tokenizers; k++) {
        struct str name = str_of(m->used[k].path);
        static const char *const ends[] = {"/tokenizer.json", ".tokenizer.json", ".tiktoken",
                                           ".json", "/"};
        for (size_t i = 0; i < COUNT_OF(ends); i++)
            if (str_ends(name, ends[i]) && name.len > strlen(ends[i]))
                name.len -= strlen(ends[i]);
        for (size_t slash; (slash = str_find_char(name, '/')) != SIZE_MAX;)
            name = str_slice(name, slash + 1, name.len);
        name = str_slice(name, name.len > WIDTH ? name.len - WIDTH : 0, name.len);
        fprintf(to, " %12.*s", STR_ARG(name));
    }
    fputc('\n', to);
}

static void print_row(const struct measure *m, const struct measure_group *g, const char *name,
                      bool by_words, FILE *to)
{
    enum { WIDTH = 32 }; /* of a path, the end tells more */
    size_t len = strlen(name);
    fprintf(to, "%-32s %-8.8s %9.2f", name + (len > WIDTH ? len - WIDTH : 0), g->lang,
            (double)g->bytes / 1e6);
    for (int k = 0; k < m->tokenizers; k++) {
        double value = by_words ? ratio(g->tokens[k], g->words) : ratio(g->bytes, g->tokens[k]);
        if (isnan(value))
            fprintf(to, " %12s", "-");
        else
            fprintf(to, " %12.4f", value);
    }
    fputc('\n', to);
}

void measure_print(struct measure *m, FILE *to)
{
    enum { ROWS_MAX = 200 };
    uint32_t count;
    const struct measure_group *group = measure_groups(m, &count);
    for (int by_words = 0; by_words < 2; by_words++) {
        fprintf(to, "%s\n%-32s %-8s %9s", by_words ? "tokens per word" : "bytes per token",
                "domain", "lang", "MB");
        print_heads(m, to);
        for (uint32_t i = 0; i < count && i < ROWS_MAX; i++)
            print_row(m, &group[i], group[i].domain, by_words, to);
        if (count > ROWS_MAX)
            fprintf(to, "and %u more\n", count - ROWS_MAX);
        if (count != 1)
            print_row(m, &group[count], "all", by_words, to);
    }
}

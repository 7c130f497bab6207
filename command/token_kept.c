/* token_kept - texts kept apart in bounded memory, to measure vocabularies on. */
#include "command/token_kept.h"

#include "core/err.h"
#include "core/heap.h"

#include <pthread.h>
#include <stdlib.h>

struct kept_text {
    uint64_t order;
    char *bytes; /* domain, lang, text behind each other, each with its length in front */
    size_t size; /* of text */
};
struct kept_texts {
    pthread_mutex_t lock;
    struct kept_text *text; /* a heap: the greatest order first */
    size_t texts, texts_max;
    uint64_t bytes, bytes_max, came;
    uint64_t limit; /* nothing of this order or above is kept any more */
};

int kept_open(struct kept_texts **out, uint64_t bytes_max)
{
    struct kept_texts *k = calloc(1, sizeof *k);
    if (!k)
        return err_set(ERR_LIMIT, "no memory to keep texts");
    pthread_mutex_init(&k->lock, NULL);
    k->bytes_max = bytes_max;
    k->limit = UINT64_MAX;
    *out = k;
    return 0;
}

/* The greatest goes, with all that has the same order (the same text, come twice). */
static void heap_drop(struct kept_texts *k)
{
    k->limit = k->text[0].order;
    while (k->texts && k->text[0].order == k->limit) {
        k->bytes -= k->text[0].size;
        free(k->text[0].bytes);
        k->text[0] = k->text[--k->texts];
        if (k->texts)
            heap_down(k->text, sizeof *k->text, k->texts);
    }
}

static int heap_add(struct kept_texts *k, struct kept_text fresh)
{
    if (k->texts == k->texts_max) {
        size_t max = k->texts_max ? k->texts_max * 2 : 256;
        struct kept_text *grown = realloc(k->text, sizeof *grown * max);
        if (!grown)
            return err_set(ERR_LIMIT, "no memory to keep %zu texts", max);
        k->text = grown;
        k->texts_max = max;
    }
    k->text[k->texts++] = fresh;
    heap_up(k->text, sizeof *k->text, k->texts);
    k->bytes += fresh.size;
    while (k->bytes > k->bytes_max)
        heap_drop(k);
    return 0;
}

static char *put_field(char *at, struct str field)
{
    memcpy(at, &field.len, sizeof field.len);
    if (field.len)
        memcpy(at + sizeof field.len, field.ptr, field.len);
    return at + sizeof field.len + field.len;
}

static struct str get_field(const char **at)
{
    struct str field;
    memcpy(&field.len, *at, sizeof field.len);
    field.ptr = *at + sizeof field.len;
    *at = field.ptr + field.len;
    return field;
}

int kept_add(struct kept_texts *k, uint64_t order, struct str text, struct str domain,
             struct str lang)
{
    struct kept_text fresh = {.order = order, .size = text.len};
    int rc = 0;
    pthread_mutex_lock(&k->lock);
    k->came++;
    if (order < k->limit) {
        fresh.bytes = malloc(text.len + domain.len + lang.len + 3 * sizeof text.len);
        if (fresh.bytes) {
            put_field(put_field(put_field(fresh.bytes, domain), lang), text);
            rc = heap_add(k, fresh);
            if (rc < 0)
                free(fresh.bytes);
        } else {
            rc = err_set(ERR_LIMIT, "no memory to keep a text of %zu bytes", text.len);
        }
    }
    pthread_mutex_unlock(&k->lock);
    return rc;
}

void kept_counts(const struct kept_texts *k, uint64_t *came, uint64_t *kept)
{
    *came = k->came;
    *kept = k->texts;
}

struct measuring {
    const struct kept_texts *kept;
    struct measure *measure;
};

static int measure_kept(void *arg, int index, int thread)
{
    struct measuring *g = arg;
    const char *at = g->kept->text[index].bytes;
    struct str domain = get_field(&at), lang = get_field(&at), text = get_field(&at);
    return measure_text(g->measure, thread, text, domain, lang);
}

int kept_measure(const struct kept_texts *k, struct measure *m, struct pool *pool)
{
    struct measuring g = {.kept = k, .measure = m};
    return pool_try(pool, (int)k->texts, measure_kept, &g);
}

void kept_close(struct kept_texts *k)
{
    if (!k)
        return;
    for (size_t i = 0; i < k->texts; i++)
        free(k->text[i].bytes);
    free(k->text);
    pthread_mutex_destroy(&k->lock);
    free(k);
}

/* store_find - `sluice store find TEXT`: every place where exactly these tokens stand in a row.
 *
 * The rarest token of the text is looked for, 64 ids at a time, straight in the map; only where it
 * stands the others are compared. Ranges of tokens are dealt to all threads, a few at a time, and
 * put together in their order. */
#include "command/store_tool.h"
#include "core/err.h"
#include "core/json.h"
#include "core/ledger.h"
#include "core/log.h"
#include "core/pipe.h"
#include "core/pool.h"
#include "store/store.h"
#include "tokenize/tokenize.h"

#include <stdlib.h>

enum {
    FIND_IDS_MAX = 4096,
    FIND_ARENA = 64 << 20,
    FIND_RANGE = 1 << 20,  /* tokens that one call looks at */
    FIND_AHEAD = 1 << 20,  /* tokens that the disk is asked for in front of it */
    FIND_ROUND_MAX = 4096, /* ranges whose finds are kept until they are put together */
    FIND_AROUND = 12,      /* tokens of the document shown before and behind a place */
};

struct hit {
    uint32_t domain;
    uint64_t token, document, id;
};
/* Where the text begins in one range, ascending; the first `limit` of them. */
struct range_finds {
    uint64_t *at;
    uint64_t count, room, found;
};
struct finding {
    const struct store_flags *flags;
    struct store *store;
    struct tokenizer *tokenizer;
    const uint32_t *ids;
    uint32_t count, rarest; /* rarest: place in ids */
    void *wanted;           /* ids as the store has them */
    uint32_t domain;        /* under way */
    uint64_t first_range;
    struct range_finds *range; /* [FIND_ROUND_MAX] */
    struct hit *hit;
    uint64_t hits, shown, room;
};

/* ---- one range ---- */

/* The first place in [from, count) that holds id, or count. The inner loop has a fixed count, so
 * that the compiler makes vectors of it. */
#define NEXT_PLACE(name, type)                                                                     \
    static uint32_t name(const type *restrict ids, uint32_t from, uint32_t count, type id)         \
    {                                                                                              \
        enum { LANES = 64 };                                                                       \
        for (; from + LANES <= count; from += LANES) {                                             \
            type any = 0;                                                                          \
            for (uint32_t k = 0; k < LANES; k++)                                                   \
                any |= (type)(ids[from + k] == id);                                                \
            if (any)                                                                               \
                break;                                                                             \
        }                                                                                          \
        while (from < count && ids[from] != id)                                                    \
            from++;                                                                                \
        return from;                                                                               \
    }
NEXT_PLACE(next_u16, uint16_t)
NEXT_PLACE(next_u32, uint32_t)

static int range_add(const struct finding *f, struct range_finds *r, uint64_t at)
{
    r->found++;
    if (r->count >= (uint64_t)f->flags->limit)
        return 0;
    if (r->count == r->room) {
        uint64_t room = r->room ? r->room * 2 : 64;
        uint64_t *grown = realloc(r->at, (size_t)room * sizeof *grown);
        if (!grown)
            return err_set(ERR_LIMIT, "store find: no memory for %llu places: lower --limit",
                           (unsigned long long)room);
        r->at = grown;
        r->room = room;
    }
    r->at[r->count++] = at;
    return 0;
}

/* 1: all ids stand from token start on. They may lie in several blocks. */
static int stands_at(const struct finding *f, uint64_t start)
{
    const unsigned char *want = f->wanted;
    size_t width = store_meta(f->store)->token_bytes;
    for (uint32_t done = 0, have; done < f->count; done += have) {
        const void *window;
        TRY(store_window(f->store, f->domain, start + done, f->count - done, &window, &have));
        if (memcmp(window, want + done * width, have * width) != 0)
            return 0;
    }
    return 1;
}

static int search_window(const struct finding *f, struct range_finds *r, const void *window,
                         uint64_t first, uint32_t count)
{
    uint64_t tokens = store_meta(f->store)->domain[f->domain].tokens;
    uint32_t id = f->ids[f->rarest];
    bool narrow = store_meta(f->store)->token_bytes == 2;
    for (uint32_t i = 0;; i++) {
        i = narrow ? next_u16(window, i, count, (uint16_t)id) : next_u32(window, i, count, id);
        if (i >= count)
            return 0;
        uint64_t at = first + i;
        if (at < f->rarest || at - f->rarest + f->count > tokens)
            continue;
        int stands = stands_at(f, at - f->rarest);
        TRY(stands);
        if (stands)
            TRY(range_add(f, r, at - f->rarest));
    }
}

static int search_range(void *arg, int index, int thread)
{
    const struct finding *f = arg;
    struct range_finds *r = &f->range[index];
    uint64_t tokens = store_meta(f->store)->domain[f->domain].tokens;
    uint64_t at = (f->first_range + (uint64_t)index) * FIND_RANGE;
    uint64_t end = tokens - at < FIND_RANGE ? tokens : at + FIND_RANGE;
    UNUSED(thread);
    r->count = r->found = 0;
    if (pipe_stop)
        return err_set(ERR_STOP, "stopped by a signal");
    store_prefetch(f->store, f->domain, at, FIND_RANGE + FIND_AHEAD);
    while (at < end) {
        const void *window;
        uint32_t have;
        TRY(store_window(f->store, f->domain, at, (uint32_t)(end - at), &window, &have));
        TRY(search_window(f, r, window, at, have));
        at += have;
    }
    return 0;
}

/* ---- all of them ---- */

static int hits_add(struct finding *f, const struct range_finds *r)
{
    uint64_t limit = (uint64_t)f->flags->limit;
    f->hits += r->found;
    for (uint64_t i = 0; i < r->count && f->shown < limit; i++) {
        struct store_doc doc;
        if (f->shown == f->room) {
            uint64_t room = f->room ? f->room * 2 : 64;
            struct hit *grown = realloc(f->hit, (size_t)room * sizeof *grown);
            if (!grown)
                return err_set(ERR_LIMIT, "store find: no memory for %llu places: lower --limit",
                               (unsigned long long)room);
            f->hit = grown;
            f->room = room;
        }
        struct hit *h = &f->hit[f->shown++];
        h->domain = f->domain;
        h->token = r->at[i];
        TRY(store_doc_of(f->store, f->domain, h->token, &h->document, &doc));
        h->id = doc.id;
    }
    return 0;
}

static int find_in(struct finding *f, uint32_t domain, struct pool *pool)
{
    uint64_t tokens = store_meta(f->store)->domain[domain].tokens;
    uint64_t ranges = (tokens + FIND_RANGE - 1) / FIND_RANGE;
    uint64_t round = 4 * (uint64_t)pool_threads(pool);
    if (round > FIND_ROUND_MAX)
        round = FIND_ROUND_MAX;
    f->domain = domain;
    for (f->first_range = 0; f->first_range < ranges; f->first_range += round) {
        uint64_t left = ranges - f->first_range;
        int now = (int)(left < round ? left : round);
        TRY(pool_try(pool, now, search_range, f));
        for (int i = 0; i < now; i++)
            TRY(hits_add(f, &f->range[i]));
    }
    return 0;
}

/* The ids as the store has them, and the one that stands there least often. */
static int want(struct finding *f)
{
    const struct store_meta *meta = store_meta(f->store);
    uint64_t *counts = calloc(meta->vocab_size, sizeof *counts);
    int rc = 0;
    f->wanted = malloc(f->count * sizeof(uint32_t));
    TRY_OUT(counts && f->wanted ? 0 : err_set(ERR_LIMIT, "store find: no memory"));
    TRY_OUT(store_unigram(f->store, counts));
    for (uint32_t i = 0; i < f->count; i++) {
        if (f->ids[i] >= meta->vocab_size) {
            rc = err_set(ERR_FORMAT,
                         "store find: the tokenizer gives id %u, the store has %u: they are not of "
                         "one run",
                         f->ids[i], meta->vocab_size);
            goto out;
        }
        if (meta->token_bytes == 2)
            ((uint16_t *)f->wanted)[i] = (uint16_t)f->ids[i];
        else
            ((uint32_t *)f->wanted)[i] = f->ids[i];
        if (counts[f->ids[i]] < counts[f->ids[f->rarest]])
            f->rarest = i;
    }
out:
    free(counts);
    return rc;
}

/* Whole characters of some tokens in one line: their ends may cut one. */
static void put_line(struct str bytes, struct buf *to)
{
    for (size_t i = 0; i < bytes.len;) {
        uint32_t cp;
        char out[4];
        int len = utf8_decode(bytes.ptr + i, bytes.ptr + bytes.len, &cp);
        i += (size_t)len;
        if (cp == 0xFFFD && len == 1)
            continue;
        buf_add(to, out, (size_t)utf8_encode(cp < 32 || (cp >= 127 && cp < 160) ? ' ' : cp, out));
    }
}

/* The words around a place, as far as its document goes. */
static int put_around(const struct finding *f, const struct hit *h, struct buf *to)
{
    struct store_doc doc;
    struct buf bytes = {0};
    TRY(store_doc_of(f->store, h->domain, h->token, NULL, &doc));
    uint64_t first =
        h->token - doc.token_start > FIND_AROUND ? h->token - FIND_AROUND : doc.token_start;
    uint64_t end = h->token + f->count + FIND_AROUND, doc_end = doc.token_start + doc.token_count;
    uint32_t count = (uint32_t)((end < doc_end ? end : doc_end) - first);
    uint32_t *ids = malloc(count * sizeof *ids);
    int rc = ids ? store_read(f->store, h->domain, first, count, ids)
                 : err_set(ERR_LIMIT, "store find: no memory for %u tokens", count);
    if (rc >= 0)
        rc = tokenizer_decode(f->tokenizer, ids, count, &bytes);
    if (rc >= 0)
        put_line(buf_view(&bytes), to);
    buf_free(&bytes);
    free(ids);
    return rc;
}

static int print_hit(const struct finding *f, const struct hit *h, struct str url)
{
    const char *domain = store_meta(f->store)->domain[h->domain].name;
    struct buf text = {0}, out = {0};
    struct json_writer w;
    char id[17];
    int rc = put_around(f, h, &text);
    snprintf(id, sizeof id, "%016llx", (unsigned long long)h->id);
    json_begin(&w, &out);
    json_open(&w, '{');
    json_field_text(&w, "domain", domain);
    json_field_u64(&w, "token", h->token);
    json_field_u64(&w, "document", h->document);
    json_field_text(&w, "id", id);
    json_field_str(&w, "url", url);
    json_field_str(&w, "text", buf_view(&text));
    json_close(&w, '}');
    if (rc >= 0 && f->flags->json)
        printf("%s\n", buf_cstr(&out));
    else if (rc >= 0)
        printf("%s token %llu  document %llu  %s  %.*s  | %s\n", domain,
               (unsigned long long)h->token, (unsigned long long)h->document, id,
               STR_ARG(url.len ? url : STR("(no ledger row)")), buf_cstr(&text));
    buf_free(&text);
    buf_free(&out);
    return rc;
}

static int find_print(struct finding *f)
{
    struct origin *origin = calloc(f->shown ? (size_t)f->shown : 1, sizeof *origin);
    if (!origin)
        return err_set(ERR_LIMIT, "store find: no memory");
    for (uint64_t i = 0; i < f->shown; i++)
        origin[i].id = f->hit[i].id;
    int rc = origins_find(f->flags->run, f->store, origin, (size_t)f->shown);
    for (uint64_t i = 0; i < f->shown && rc >= 0; i++) {
        const struct origin *from = origins_at(origin, (size_t)f->shown, f->hit[i].id);
        rc = print_hit(f, &f->hit[i], from && from->found ? str_of(from->url) : STR(""));
    }
    origins_free(origin, (size_t)f->shown);
    return rc;
}

static int find_ids(struct finding *f, const char *text, struct arena *a)
{
    char path[IO_PATH_MAX], base[IO_PATH_MAX];
    struct encoder *e = NULL;
    TRY(ledger_base(f->flags->run, base));
    TRY(io_path(path, "%s/tokenizer", base));
    TRY(tokenizer_open(&f->tokenizer, path));
    int rc = encoder_open(&e, f->tokenizer);
    if (rc >= 0)
        rc = encoder_encode(e, str_of(text), a, &f->ids, &f->count);
    encoder_close(e);
    if (rc >= 0 && (f->count == 0 || f->count > FIND_IDS_MAX))
        return err_set(ERR_USAGE, "store find: the text has %u tokens: 1 to %d are looked for",
                       f->count, FIND_IDS_MAX);
    return rc;
}

int store_find(const struct store_flags *flags, const char *text)
{
    struct finding f = {.flags = flags};
    struct arena a = {0};
    struct pool *pool = NULL;
    int rc, domain = -1;
    TRY_OUT(arena_open(&a, FIND_ARENA));
    TRY_OUT(store_of_run(flags, &f.store));
    TRY_OUT(store_domain_flag(flags, f.store, &domain));
    TRY_OUT(find_ids(&f, text, &a));
    TRY_OUT(want(&f));
    f.range = calloc(FIND_ROUND_MAX, sizeof *f.range);
    TRY_OUT(f.range ? 0 : err_set(ERR_LIMIT, "store find: no memory"));
    TRY_OUT(pool_open(&pool, 0));
    for (uint32_t d = 0; d < store_meta(f.store)->domain_count; d++)
        if (domain < 0 || (uint32_t)domain == d)
            TRY_OUT(find_in(&f, d, pool));
    TRY_OUT(find_print(&f));
    log_info("%llu places hold these %u tokens in a row", (unsigned long long)f.hits, f.count);
out:
    if (pool)
        pool_close(pool);
    for (int i = 0; f.range && i < FIND_ROUND_MAX; i++)
        free(f.range[i].at);
    free(f.range);
    free(f.wanted);
    free(f.hit);
    if (f.tokenizer)
        tokenizer_close(f.tokenizer);
    store_close(f.store);
    arena_close(&a);
    return rc < 0 ? rc : 0;
}

/* token_view - gathers picked documents into runs, reads tokens across them, and keeps the runs as
 * a file. */
#include "store/token_view.h"

#include "core/err.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

enum { VIEW_VERSION = 1 };
static const char view_magic[8] = "SLUVIEW";

/* On disk: head, extent_count extents, where_bytes of the predicate, XXH3-128 of all of it. */
struct view_head {
    char magic[8];
    uint32_t version, where_bytes;
    char name[48];
    struct hash128 store;
    uint64_t tokens, documents, extent_count;
};
struct view_extent {
    uint64_t start, count;
    uint32_t domain, zero;
};

/* Adds a document behind the view's last one. */
static int extent_add(struct token_view *v, uint64_t *cap, uint32_t domain,
                      const struct store_doc *doc)
{
    struct extent *last = v->extent_count ? &v->extent[v->extent_count - 1] : NULL;
    bool touches = last && last->domain == domain && last->start + last->count == doc->token_start;
    if (!touches && v->extent_count == *cap) {
        uint64_t more = *cap ? *cap * 2 : 64;
        struct extent *grown = realloc(v->extent, more * sizeof *grown);
        if (!grown)
            return err_set(ERR_LIMIT, "view %s: no memory for %llu runs of documents", v->name,
                           (unsigned long long)more);
        v->extent = grown;
        *cap = more;
    }
    if (touches)
        last->count += doc->token_count;
    else
        v->extent[v->extent_count++] =
            (struct extent){doc->token_start, doc->token_count, v->tokens, domain};
    v->tokens += doc->token_count;
    v->documents++;
    return 0;
}

static int domain_gather(struct token_view *v, uint64_t *cap, struct store *s, uint32_t domain,
                         token_view_pick *pick, void *arg)
{
    struct store_doc doc;
    for (uint64_t i = 0; i < store_meta(s)->domain[domain].documents; i++) {
        if (store_removed(s, domain, i))
            continue;
        TRY(store_doc_at(s, domain, i, &doc));
        if (!pick || pick(arg, domain, i, &doc))
            TRY(extent_add(v, cap, domain, &doc));
    }
    return 0;
}

int token_view_make(struct token_view *out, struct store *s, const char *name,
                    token_view_pick *pick, void *arg)
{
    uint64_t cap = 0;
    memset(out, 0, sizeof *out);
    snprintf(out->name, sizeof out->name, "%s", name);
    for (uint32_t d = 0; d < store_meta(s)->domain_count; d++) {
        int rc = domain_gather(out, &cap, s, d, pick, arg);
        if (rc < 0) {
            token_view_close(out);
            return rc;
        }
    }
    return 0;
}

int token_view_domain(struct token_view *out, struct store *s, uint32_t domain)
{
    const struct store_meta *meta = store_meta(s);
    uint64_t cap = 0;
    memset(out, 0, sizeof *out);
    memcpy(out->name, meta->domain[domain].name, sizeof out->name);
    if (meta->domain[domain].tokens == 0)
        return 0;
    if (store_removed_count(s, domain)) {
        int rc = domain_gather(out, &cap, s, domain, NULL, NULL);
        if (rc < 0)
            token_view_close(out);
        return rc;
    }
    out->extent = malloc(sizeof *out->extent);
    if (!out->extent)
        return err_set(ERR_LIMIT, "view %s: no memory", out->name);
    out->extent[0] = (struct extent){0, meta->domain[domain].tokens, 0, domain};
    out->extent_count = 1;
    out->tokens = meta->domain[domain].tokens;
    out->documents = meta->domain[domain].documents;
    return 0;
}

uint64_t token_view_find(const struct token_view *v, uint64_t pos)
{
    uint64_t low = 0, high = v->extent_count;
    assert(pos < v->tokens);
    while (high - low > 1) {
        uint64_t middle = low + (high - low) / 2;
        if (v->extent[middle].before <= pos)
            low = middle;
        else
            high = middle;
    }
    return low;
}

int token_view_read(const struct token_view *v, struct store *s, uint64_t start, uint32_t count,
                    uint32_t *ids)
{
    if (start > v->tokens || count > v->tokens - start)
        return err_set(ERR_LIMIT, "view: %u tokens from %llu on of %s, which has %llu", count,
                       (unsigned long long)start, v->name, (unsigned long long)v->tokens);
    for (uint64_t at = count ? token_view_find(v, start) : 0; count; at++) {
        const struct extent *e = &v->extent[at];
        uint64_t skip = start - e->before, left = e->count - skip;
        uint32_t now = left < count ? (uint32_t)left : count;
        TRY(store_read(s, e->domain, e->start + skip, now, ids));
        ids += now;
        start += now;
        count -= now;
    }
    return 0;
}

/* ---- the file ---- */
static int put(struct io_writer *w, struct hash_stream *sum, const void *bytes, size_t len)
{
    hash_add(sum, bytes, len);
    return io_write(w, bytes, len);
}

static int view_put(const struct token_view *v, const struct store *s, const char *where,
                    struct io_writer *w, struct hash_stream *sum)
{
    struct view_head head = {.version = VIEW_VERSION,
                             .where_bytes = (uint32_t)strlen(where),
                             .store = store_identity(s),
                             .tokens = v->tokens,
                             .documents = v->documents,
                             .extent_count = v->extent_count};
    memcpy(head.magic, view_magic, sizeof head.magic);
    memcpy(head.name, v->name, strlen(v->name));
    TRY(put(w, sum, &head, sizeof head));
    for (uint64_t i = 0; i < v->extent_count; i++) {
        struct view_extent e = {v->extent[i].start, v->extent[i].count, v->extent[i].domain, 0};
        TRY(put(w, sum, &e, sizeof e));
    }
    return put(w, sum, where, head.where_bytes);
}

int token_view_write(const struct token_view *v, const struct store *s, const char *where,
                     const char *path, struct io_info *info)
{
    struct io_writer *w;
    struct hash_stream *sum;
    if (strlen(where) > TOKEN_VIEW_WHERE_MAX)
        return err_set(ERR_LIMIT, "view %s: its predicate has %zu bytes, at most %d are kept",
                       v->name, strlen(where), TOKEN_VIEW_WHERE_MAX);
    TRY(hash_begin(&sum));
    int rc = io_create(&w, path, IO_PLAIN, 0);
    if (rc < 0) {
        hash_end(sum);
        return rc;
    }
    rc = view_put(v, s, where, w, sum);
    struct hash128 seal = hash_end(sum);
    if (rc >= 0)
        rc = io_write(w, &seal, sizeof seal);
    if (rc < 0) {
        io_abandon(w);
        return rc;
    }
    return io_commit(w, info);
}

/* Exactly len bytes; sum may be NULL. */
static int take(struct io_reader *in, struct hash_stream *sum, void *to, size_t len)
{
    for (size_t have = 0; have < len;) {
        int64_t got = io_read(in, (char *)to + have, len - have);
        if (got < 0)
            return (int)got;
        if (got == 0)
            return err_set(ERR_FORMAT, "ends in the middle");
        have += (size_t)got;
    }
    if (sum)
        hash_add(sum, to, len);
    return 0;
}

static int head_check(const struct view_head *head, const struct store *s)
{
    struct hash128 want = store_identity(s);
    if (memcmp(head->magic, view_magic, sizeof head->magic) != 0)
        return err_set(ERR_FORMAT, "not a view");
    if (head->version != VIEW_VERSION)
        return err_set(ERR_FORMAT, "version %u, this program reads %d", head->version,
                       VIEW_VERSION);
    if (head->where_bytes > TOKEN_VIEW_WHERE_MAX || head->extent_count > head->documents ||
        head->name[sizeof head->name - 1])
        return err_set(ERR_FORMAT, "its head is damaged");
    if (head->store.low != want.low || head->store.high != want.high)
        return err_set(ERR_USAGE, "it is of another store, or of this one before documents came or "
                                  "went: make it again (sluice run, or sluice store view)");
    return 0;
}

/* The room for the extents grows with what was read: the count in the head is not believed. */
static int extents_take(struct token_view *out, const struct view_head *head, const struct store *s,
                        struct io_reader *in, struct hash_stream *sum)
{
    const struct store_meta *meta = store_meta(s);
    uint64_t cap = 0;
    for (; out->extent_count < head->extent_count; out->extent_count++) {
        const struct extent *last = out->extent_count ? &out->extent[out->extent_count - 1] : NULL;
        struct view_extent e;
        TRY(take(in, sum, &e, sizeof e));
        if (e.domain >= meta->domain_count || e.count == 0 ||
            e.start > meta->domain[e.domain].tokens ||
            e.count > meta->domain[e.domain].tokens - e.start ||
            (last && (e.domain < last->domain ||
                      (e.domain == last->domain && e.start <= last->start + last->count - 1))))
            return err_set(ERR_FORMAT, "run %llu of its documents does not lie in the store",
                           (unsigned long long)out->extent_count);
        if (out->extent_count == cap) {
            cap = cap ? cap * 2 : 64;
            struct extent *grown = realloc(out->extent, cap * sizeof *grown);
            if (!grown)
                return err_set(ERR_LIMIT, "no memory for %llu runs of documents",
                               (unsigned long long)cap);
            out->extent = grown;
        }
        out->extent[out->extent_count] = (struct extent){e.start, e.count, out->tokens, e.domain};
        out->tokens += e.count;
    }
    return 0;
}

static int view_take(struct token_view *out, const struct store *s, struct io_reader *in,
                     struct hash_stream *sum)
{
    struct view_head head;
    TRY(take(in, sum, &head, sizeof head));
    TRY(head_check(&head, s));
    memcpy(out->name, head.name, sizeof out->name);
    TRY(extents_take(out, &head, s, in, sum));
    out->documents = head.documents;
    if (out->tokens != head.tokens)
        return err_set(ERR_FORMAT, "it has %llu tokens, its head says %llu",
                       (unsigned long long)out->tokens, (unsigned long long)head.tokens);
    out->where = calloc(1, head.where_bytes + 1);
    if (!out->where)
        return err_set(ERR_LIMIT, "no memory");
    return take(in, sum, out->where, head.where_bytes);
}

int token_view_open(struct token_view *out, const char *path, const struct store *s)
{
    struct io_reader *in;
    struct hash_stream *sum;
    struct hash128 seal;
    char more;
    memset(out, 0, sizeof *out);
    TRY(io_open(&in, path));
    int rc = hash_begin(&sum);
    if (rc < 0) {
        io_close(in);
        return rc;
    }
    rc = view_take(out, s, in, sum);
    struct hash128 have = hash_end(sum);
    if (rc >= 0)
        rc = take(in, NULL, &seal, sizeof seal);
    if (rc >= 0 && (seal.low != have.low || seal.high != have.high || io_read(in, &more, 1) != 0))
        rc = err_set(ERR_FORMAT, "its checksum is wrong: delete it and make it again");
    io_close(in);
    if (rc < 0)
        token_view_close(out);
    return rc < 0 ? err_in(rc, "view %s", path) : 0;
}

void token_view_close(struct token_view *v)
{
    free(v->extent);
    free(v->where);
    memset(v, 0, sizeof *v);
}

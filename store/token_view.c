/* token_view - gathers picked documents into runs, and reads tokens across them. */
#include "store/token_view.h"

#include "core/err.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

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

void token_view_close(struct token_view *v)
{
    free(v->extent);
    memset(v, 0, sizeof *v);
}

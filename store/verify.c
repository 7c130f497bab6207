/* verify - reads a whole store: every sum, the chain of the document index, the counts of ids. */
#include "store/layout.h"

#include "core/err.h"

#include <stdlib.h>

enum { VERIFY_AHEAD = 32 }; /* blocks that the disk brings meanwhile */

/* Documents must follow one another without a hole, each with <|endoftext|> in front. */
static int index_verify(struct store *s, uint32_t domain)
{
    uint64_t next = 0, bytes = 0, place = 0;
    for (uint64_t i = 0; i < s->meta.domain[domain].documents; i++) {
        struct store_doc doc;
        uint32_t first;
        TRY(store_doc_at(s, domain, i, &doc));
        uint64_t own = (uint64_t)doc.item << 32 | doc.record;
        if (doc.token_start != next || doc.token_count < 1 || (i > 0 && own <= place))
            return store_damaged(s, "the document index is not a chain");
        next += doc.token_count;
        if (next > s->meta.domain[domain].tokens)
            return store_damaged(s, "the document index passes the tokens");
        TRY(store_read(s, domain, doc.token_start, 1, &first));
        if (first != s->meta.eot)
            return store_damaged(s, "a document does not begin with <|endoftext|>");
        bytes += doc.text_bytes;
        place = own;
    }
    if (next != s->meta.domain[domain].tokens || bytes != s->meta.domain[domain].bytes)
        return store_damaged(s, "the document index does not add up");
    return 0;
}

/* Counts the tokens of documents that were not removed; those of the others must be gone, unless
 * that is still under way. */
static int tokens_count(struct store *s, uint32_t domain, uint64_t *counts)
{
    uint32_t ids[4096];
    uint64_t removed_tokens = 0, removed_bytes = 0;
    for (uint64_t i = 0; i < s->meta.domain[domain].documents; i++) {
        struct store_doc doc;
        TRY(store_doc_at(s, domain, i, &doc));
        bool removed = store_removed(s, domain, i);
        removed_tokens += removed ? doc.token_count : 0;
        removed_bytes += removed ? doc.text_bytes : 0;
        for (uint64_t at = doc.token_start, left = doc.token_count; left > 0;) {
            uint32_t now = left < COUNT_OF(ids) ? (uint32_t)left : (uint32_t)COUNT_OF(ids);
            TRY(store_read(s, domain, at, now, ids));
            for (uint32_t k = 0; k < now; k++) {
                if (!removed)
                    counts[ids[k]]++;
                else if (ids[k] != s->meta.eot && s->change != CHANGE_REMOVE)
                    return store_damaged(s, "a removed document still has tokens");
            }
            at += now;
            left -= now;
        }
    }
    if (removed_tokens != s->meta.domain[domain].removed_tokens ||
        removed_bytes != s->meta.domain[domain].removed_bytes)
        return store_damaged(s, "the counts of what was removed do not add up");
    return 0;
}

static int unigram_verify(struct store *s)
{
    int rc = 0;
    uint64_t *counts = calloc(s->meta.vocab_size, sizeof *counts);
    uint64_t *stored = malloc(s->meta.vocab_size * sizeof *stored);
    if (!counts || !stored) {
        rc = err_set(ERR_LIMIT, "store: no memory to count tokens");
        goto out;
    }
    for (uint32_t i = 0; i < s->meta.domain_count; i++)
        TRY_OUT(tokens_count(s, i, counts));
    TRY_OUT(store_unigram(s, stored));
    if (memcmp(counts, stored, s->meta.vocab_size * sizeof *counts) != 0)
        rc = store_damaged(s, "the counts of ids are not those of its tokens");
out:
    free(counts);
    free(stored);
    return rc;
}

int store_verify(struct store *s)
{
    for (uint32_t i = 0; i < s->meta.domain_count; i++)
        for (int kind = 0; kind < KIND_COUNT; kind++)
            for (uint64_t b = 0; b < s->domain[i].table[kind].count; b++) {
                block_ahead(s, i, kind, b + VERIFY_AHEAD);
                TRY(block_check(s, i, kind, b));
            }
    for (uint32_t i = 0; i < s->meta.domain_count; i++)
        TRY(index_verify(s, i));
    return unigram_verify(s);
}

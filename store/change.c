/* change - removes documents from a store where it lies, and proves that they are gone.
 *
 * 1. One transaction notes them as removed, takes them out of the counts of ids, and notes that a
 *    removal is under way. From its commit on nothing draws them.
 * 2. Every block that holds tokens of removed documents is written anew with <|endoftext|> in their
 *    places, 64 MiB a transaction. Doing it twice changes nothing, so a kill costs only time.
 * 3. LMDB writes blocks to new pages and keeps the old ones in a list of free pages: those are
 *    overwritten with zeros.
 *    So are the gaps inside pages of its trees, where small values lay.
 * 4. The note that a removal is under way goes; the pages this frees are overwritten too.
 * 5. Everything removed is read again through the ordinary reader. */
#include "store/token_view.h"
#include "store/writing.h"

#include "core/err.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

struct wanted {
    uint64_t id, index; /* index: of the caller's list */
    enum store_fate fate;
};
struct range {
    uint64_t start, count; /* tokens */
    uint32_t domain;
};
struct removing {
    struct store_writer *w;
    struct store *s;
    struct wanted *wanted;
    uint64_t wanted_count;
    struct range *range; /* of all that was removed, now or before; ascending, joined */
    uint64_t range_count, range_max;
    struct store_removal *out;
};

/* ---- which documents ---- */

static int wanted_compare(const void *a, const void *b)
{
    uint64_t x = ((const struct wanted *)a)->id, y = ((const struct wanted *)b)->id;
    return x < y ? -1 : x > y;
}

static int wanted_open(struct removing *r, const uint64_t *ids, uint64_t count)
{
    r->wanted = malloc((count ? count : 1) * sizeof *r->wanted);
    if (!r->wanted)
        return err_set(ERR_LIMIT, "store: no memory for %llu ids", (unsigned long long)count);
    r->wanted_count = count;
    for (uint64_t i = 0; i < count; i++)
        r->wanted[i] = (struct wanted){ids[i], i, STORE_UNKNOWN};
    qsort(r->wanted, count, sizeof *r->wanted, wanted_compare);
    return 0;
}

/* Number of the first wanted with this id, or wanted_count. */
static uint64_t wanted_find(const struct removing *r, uint64_t id)
{
    uint64_t low = 0, high = r->wanted_count;
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        if (r->wanted[middle].id < id)
            low = middle + 1;
        else
            high = middle;
    }
    return low < r->wanted_count && r->wanted[low].id == id ? low : r->wanted_count;
}

static int range_add(struct removing *r, uint32_t domain, const struct store_doc *doc)
{
    struct range *last = r->range_count ? &r->range[r->range_count - 1] : NULL;
    if (last && last->domain == domain && last->start + last->count == doc->token_start) {
        last->count += doc->token_count;
        return 0;
    }
    if (r->range_count == r->range_max) {
        uint64_t more = r->range_max ? r->range_max * 2 : 256;
        struct range *grown = realloc(r->range, more * sizeof *grown);
        if (!grown)
            return err_set(ERR_LIMIT, "store: no memory for %llu removals",
                           (unsigned long long)more);
        r->range = grown;
        r->range_max = more;
    }
    r->range[r->range_count++] = (struct range){doc->token_start, doc->token_count, domain};
    return 0;
}

/* Sets the bit of a document, and takes its tokens out of the counts of ids. */
static int document_remove(struct removing *r, uint32_t domain, uint64_t index,
                           const struct store_doc *doc)
{
    struct store *s = r->s;
    uint64_t block = index / store_doc_rows(s), bit = index % store_doc_rows(s);
    uint64_t at = doc->token_start, left = doc->token_count;
    uint32_t ids[1024];
    if (!s->domain[domain].removed)
        s->domain[domain].removed = calloc(s->domain[domain].table[KIND_DOCUMENTS].count,
                                           sizeof *s->domain[domain].removed);
    if (s->domain[domain].removed && !s->domain[domain].removed[block])
        s->domain[domain].removed[block] = calloc(1, sizeof **s->domain[domain].removed);
    if (!s->domain[domain].removed || !s->domain[domain].removed[block])
        return err_set(ERR_LIMIT, "store: no memory for removals");
    struct removed_disk *row = s->domain[domain].removed[block];
    for (uint32_t now; left; left -= now, at += now) {
        now = left < COUNT_OF(ids) ? (uint32_t)left : (uint32_t)COUNT_OF(ids);
        TRY(store_read(s, domain, at, now, ids));
        for (uint32_t i = 0; i < now; i++)
            if (r->w->unigram[ids[i]]-- == 0)
                return store_damaged(s, "the counts of ids are not those of its tokens");
    }
    row->bits[bit / 8] |= (unsigned char)(1 << bit % 8);
    row->tokens += doc->token_count;
    row->bytes += doc->text_bytes;
    r->out->documents++;
    r->out->tokens += doc->token_count;
    return 0;
}

/* One walk over all documents: the wanted get their bits, all removed ones their ranges. */
static int documents_walk(struct removing *r)
{
    struct store_doc doc;
    for (uint32_t d = 0; d < r->s->meta.domain_count; d++) {
        for (uint64_t i = 0; i < r->s->meta.domain[d].documents; i++) {
            TRY(store_doc_at(r->s, d, i, &doc));
            uint64_t at = wanted_find(r, doc.id);
            bool before = store_removed(r->s, d, i), now = !before && at < r->wanted_count;
            if (now)
                TRY(document_remove(r, d, i, &doc));
            for (; at < r->wanted_count && r->wanted[at].id == doc.id; at++)
                if (r->wanted[at].fate != STORE_REMOVED_NOW)
                    r->wanted[at].fate = now ? STORE_REMOVED_NOW : STORE_REMOVED_BEFORE;
            if (before || now)
                TRY(range_add(r, d, &doc));
        }
    }
    for (uint64_t i = 0; i < r->wanted_count; i++)
        r->out->unknown += r->wanted[i].fate == STORE_UNKNOWN;
    return 0;
}

/* ---- 1: noting them ---- */

static int removed_put(struct removing *r)
{
    struct {
        struct removed_disk row;
        uint64_t sum;
    } disk;
    for (uint32_t d = 0; d < r->s->meta.domain_count; d++) {
        struct removed_disk *const *removed = r->s->domain[d].removed;
        for (uint64_t b = 0; removed && b < r->s->domain[d].table[KIND_DOCUMENTS].count; b++) {
            if (!removed[b])
                continue;
            struct block_key key = block_key(d, b);
            disk.row = *removed[b];
            disk.sum = hash64(&disk.row, sizeof disk.row, b);
            TRY(writer_put(r->w, r->w->removed, key.bytes, sizeof key.bytes, &disk, sizeof disk));
        }
    }
    return 0;
}

static int removal_note(struct removing *r)
{
    TRY(removed_put(r));
    TRY(writer_put_meta(r->w));
    TRY(writer_put_change(r->w, CHANGE_REMOVE));
    return writer_txn_commit(r->w);
}

/* ---- 2: overwriting their tokens ---- */

static int block_get_now(struct removing *r, uint32_t domain, uint64_t block, unsigned char *to,
                         uint32_t *bytes)
{
    unsigned char at[16];
    uint64_t sum;
    struct block_key key = block_key(domain, block);
    MDB_val k = {sizeof key, key.bytes}, v, sums;
    sum_key(KIND_TOKENS, domain, block, at);
    MDB_TRY(r->w, mdb_get(r->w->txn, r->w->kind[KIND_TOKENS], &k, &v), "read");
    k = (MDB_val){sizeof at, at};
    MDB_TRY(r->w, mdb_get(r->w->txn, r->w->sums, &k, &sums), "read");
    if (v.mv_size > STORE_BLOCK_BYTES || sums.mv_size != sizeof sum)
        return err_set(ERR_FORMAT, "store: %s: a block of an impossible size", r->w->dir);
    memcpy(&sum, sums.mv_data, sizeof sum);
    if (hash64(v.mv_data, v.mv_size, block) != sum)
        return err_set(ERR_FORMAT,
                       "store: %s: block %llu of the tokens of domain %s is not what its sum says: "
                       "it is damaged: " STORE_REBUILD,
                       r->w->dir, (unsigned long long)block, r->w->meta.domain[domain].name);
    memcpy(to, v.mv_data, v.mv_size);
    *bytes = (uint32_t)v.mv_size;
    return 0;
}

/* Puts <|endoftext|> to tokens `from` to `end` of a block; true: that changed something. */
static bool tokens_blank(const struct store_writer *w, unsigned char *block, uint64_t from,
                         uint64_t end)
{
    bool changed = false;
    for (uint64_t i = from; i < end; i++) {
        if (w->meta.token_bytes == 2) {
            uint16_t *id = (uint16_t *)(void *)block + i;
            changed |= *id != (uint16_t)w->meta.eot;
            *id = (uint16_t)w->meta.eot;
        } else {
            uint32_t *id = (uint32_t *)(void *)block + i;
            changed |= *id != w->meta.eot;
            *id = w->meta.eot;
        }
    }
    return changed;
}

static int blocks_blank(struct removing *r, unsigned char *buffer)
{
    struct store_writer *w = r->w;
    uint64_t rows = STORE_BLOCK_BYTES / w->meta.token_bytes;
    for (uint64_t i = 0; i < r->range_count;) {
        uint32_t domain = r->range[i].domain, bytes = 0;
        uint64_t block = r->range[i].start / rows, first = block * rows;
        bool changed = false;
        TRY(block_get_now(r, domain, block, buffer, &bytes));
        /* All ranges that touch this block; the last may go on in the next one. */
        while (i < r->range_count && r->range[i].domain == domain &&
               r->range[i].start < first + rows) {
            struct range *g = &r->range[i];
            uint64_t end = g->start + g->count < first + rows ? g->start + g->count : first + rows;
            if ((end - first) * w->meta.token_bytes > bytes)
                return err_set(ERR_FORMAT, "store: %s: a document passes the tokens", w->dir);
            changed |= tokens_blank(w, buffer, g->start - first, end - first);
            g->count -= end - g->start;
            g->start = end;
            if (g->count)
                break;
            i++;
        }
        if (!changed)
            continue;
        r->out->blocks++;
        TRY(writer_put_block(w, domain, KIND_TOKENS, block, buffer, bytes));
        TRY(writer_txn_turn(w));
    }
    return 0;
}

static int removal_carry_out(struct removing *r)
{
    unsigned char *buffer = malloc(STORE_BLOCK_BYTES);
    if (!buffer)
        return err_set(ERR_LIMIT, "store: no memory for a block");
    int rc = writer_txn_begin(r->w);
    if (rc >= 0)
        rc = blocks_blank(r, buffer);
    if (rc >= 0)
        rc = writer_txn_commit(r->w);
    free(buffer);
    return rc;
}

/* ---- 3 and 4: free pages ---- */

static int pages_blank(struct removing *r)
{
    char path[IO_PATH_MAX];
    struct pages_free pages;
    TRY(io_path(path, "%s/" STORE_FILE, r->w->dir));
    TRY(pages_free(path, r->w->file, PAGES_WIPE, &pages));
    r->out->pages += pages.dirty;
    return 0;
}

static void env_close(struct store_writer *w)
{
    if (w->txn)
        mdb_txn_abort(w->txn);
    if (w->env)
        mdb_env_close(w->env);
    w->txn = NULL;
    w->env = NULL;
}

static int removal_finish(struct removing *r)
{
    env_close(r->w);
    TRY(pages_blank(r));
    TRY(writer_env_open(r->w, 0));
    TRY(writer_put_change(r->w, CHANGE_NONE));
    TRY(writer_txn_commit(r->w));
    env_close(r->w);
    return pages_blank(r);
}

/* ---- 5: proof ---- */

static int no_proof(const struct store *s, uint32_t domain, uint64_t index, const char *what)
{
    return err_set(ERR_FORMAT,
                   "store: %s: removed document %llu of domain %s %s: the removal did not work: "
                   "build the store again without it",
                   s->path, (unsigned long long)index, s->meta.domain[domain].name, what);
}

static int document_prove(struct store *s, const struct token_view *view, uint32_t domain,
                          uint64_t index, uint64_t *extent)
{
    struct store_doc doc;
    uint32_t ids[1024];
    TRY(store_doc_at(s, domain, index, &doc));
    for (uint64_t at = doc.token_start, left = doc.token_count; left;) {
        uint32_t now = left < COUNT_OF(ids) ? (uint32_t)left : (uint32_t)COUNT_OF(ids);
        TRY(store_read(s, domain, at, now, ids));
        for (uint32_t i = 0; i < now; i++)
            if (ids[i] != s->meta.eot)
                return no_proof(s, domain, index, "still has tokens");
        at += now;
        left -= now;
    }
    /* Extents and documents ascend: those that end in front of this document are done with. */
    while (*extent < view->extent_count &&
           view->extent[*extent].start + view->extent[*extent].count <= doc.token_start)
        ++*extent;
    if (*extent < view->extent_count &&
        view->extent[*extent].start < doc.token_start + doc.token_count)
        return no_proof(s, domain, index, "can still be drawn");
    return 0;
}

static int removal_prove(struct removing *r)
{
    char path[IO_PATH_MAX];
    struct pages_free pages;
    struct store *s;
    int rc = 0;
    TRY(store_open_locked(&s, r->w->dir));
    for (uint32_t d = 0; d < s->meta.domain_count && rc >= 0; d++) {
        struct token_view view;
        uint64_t extent = 0;
        if (s->meta.domain[d].removed_documents == 0)
            continue;
        rc = token_view_domain(&view, s, d);
        if (rc < 0)
            break;
        for (uint64_t i = 0; i < s->meta.domain[d].documents && rc >= 0; i++) {
            if (!store_removed(s, d, i))
                continue;
            rc = document_prove(s, &view, d, i, &extent);
            r->out->proved++;
        }
        token_view_close(&view);
    }
    store_close(s);
    TRY(rc);
    TRY(io_path(path, "%s/" STORE_FILE, r->w->dir));
    TRY(pages_free(path, r->w->file, PAGES_LOOK, &pages));
    if (pages.dirty && r->out->proved)
        return err_set(ERR_FORMAT,
                       "store: %s: %llu pages in no tree are not empty: the removal did not "
                       "work: " STORE_REBUILD,
                       path, (unsigned long long)pages.dirty);
    r->out->proved_pages = pages.count;
    r->out->file_pages = pages.pages;
    return 0;
}

/* ---- the whole ---- */

static int removal_run(struct removing *r)
{
    struct store_writer *w = r->w;
    TRY(writer_take(w, &r->s));
    enum change_kind change = r->s->change;
    TRY(documents_walk(r));
    if (r->out->documents || change != CHANGE_NONE) {
        TRY(writer_env_open(w, 0));
        if (change == CHANGE_APPEND)
            TRY(writer_drop_leftovers(w));
        TRY(removal_note(r));
        store_close(r->s);
        r->s = NULL;
        TRY(removal_carry_out(r));
        TRY(removal_finish(r));
    } else {
        TRY(pages_blank(r)); /* what was appended since freed pages too */
    }
    store_close(r->s);
    r->s = NULL;
    return removal_prove(r);
}

int store_remove(const char *dir, const uint64_t *ids, uint64_t count, enum store_fate *fate,
                 struct store_removal *out)
{
    int rc = 0;
    struct removing r = {.out = out};
    *out = (struct store_removal){0};
    TRY(writer_new(&r.w, dir));
    TRY_OUT(wanted_open(&r, ids, count));
    TRY_OUT(removal_run(&r));
    for (uint64_t i = 0; fate && i < count; i++)
        fate[r.wanted[i].index] = r.wanted[i].fate;
out:
    store_close(r.s);
    store_abandon(r.w);
    free(r.wanted);
    free(r.range);
    return rc;
}

/* extend - appends to a store where it lies, at the price of what is new.
 *
 * Full blocks go to the file in transactions of 64 MiB, behind those that meta counts, where no
 * reader looks. The last transaction brings what was waiting (each domain's last block, which was
 * not full, and what came of it), the new counts and origins. So there is no moment at which a kill
 * leaves anything but the old store or the new one, and blocks behind it that the next change
 * removes. LMDB syncs each transaction: a failure of power is no different. */
#include "store/writing.h"

#include "core/err.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

enum { DROPS_MAX = 4096 }; /* keys removed in one transaction */

int writer_take(struct store_writer *w, struct store **s)
{
    char path[IO_PATH_MAX];
    struct pages_free pages;
    TRY(io_path(path, "%s/" STORE_FILE, w->dir));
    w->file = open(path, O_RDWR | O_CLOEXEC);
    if (w->file < 0)
        return err_sys("store: open %s", path);
    TRY(changer_lock(path, w->file));
    TRY(pages_check(path, w->file));
    TRY(pages_free(path, w->file, PAGES_OWNERS, &pages));
    TRY(store_open_locked(s, w->dir));
    memcpy(&w->meta, &(*s)->meta, sizeof w->meta);
    if (w->meta.version < STORE_VERSION_REMOVED)
        w->meta.version = STORE_VERSION_REMOVED; /* the same documents, and place for removals */
    w->unigram = malloc(w->meta.vocab_size * sizeof *w->unigram);
    w->origin = malloc(((*s)->origin_count + 1) * sizeof *w->origin);
    if (!w->unigram || !w->origin)
        return err_set(ERR_LIMIT, "store: no memory to change %s", w->dir);
    w->origin_count = (*s)->origin_count;
    if (w->origin_count)
        memcpy(w->origin, (*s)->origin, w->origin_count * sizeof *w->origin);
    for (uint32_t d = 0; d < w->meta.domain_count; d++) {
        w->number[d] = d;
        for (int kind = 0; kind < KIND_COUNT; kind++)
            w->domain[d].old_blocks[kind] = (*s)->domain[d].table[kind].count;
    }
    return store_unigram(*s, w->unigram);
}

int writer_put_change(struct store_writer *w, enum change_kind change)
{
    struct {
        uint32_t kind;
        unsigned char sum[sizeof(uint64_t)];
    } note = {.kind = (uint32_t)change};
    MDB_val k = {strlen(store_key_change), (void *)(uintptr_t)store_key_change};
    if (change != CHANGE_NONE)
        return writer_put_info(w, store_key_change, &note, sizeof note.kind);
    int rc = mdb_del(w->txn, w->info, &k, NULL);
    return rc == 0 || rc == MDB_NOTFOUND ? 0 : writer_fail(w, rc, "remove from");
}

/* ---- what a killed append left ---- */

/* Removes the keys from `from` up to, and without, `end`. */
static int range_drop(struct store_writer *w, MDB_dbi dbi, const unsigned char *from,
                      const unsigned char *end, size_t key_bytes)
{
    for (int dropped = 0;; dropped++) {
        MDB_val k = {key_bytes, (void *)(uintptr_t)from}, v;
        MDB_cursor *cursor;
        if (dropped == DROPS_MAX) {
            TRY(writer_txn_commit(w));
            TRY(writer_txn_begin(w));
            dropped = 0;
        }
        MDB_TRY(w, mdb_cursor_open(w->txn, dbi, &cursor), "read");
        int rc = mdb_cursor_get(cursor, &k, &v, MDB_SET_RANGE);
        bool done = rc == MDB_NOTFOUND ||
                    (rc == 0 && (k.mv_size != key_bytes || memcmp(k.mv_data, end, key_bytes) >= 0));
        if (rc == 0 && !done)
            rc = mdb_cursor_del(cursor, 0);
        mdb_cursor_close(cursor);
        if (done)
            return 0;
        MDB_TRY(w, rc, "remove from");
    }
}

/* Blocks and sums of a domain from number `first` on. */
static int blocks_drop(struct store_writer *w, uint32_t kind, uint32_t domain, uint64_t first)
{
    unsigned char from[16], end[16];
    struct block_key block_from = block_key(domain, first), block_end = block_key(domain + 1, 0);
    sum_key(kind, domain, first, from);
    sum_key(kind, domain + 1, 0, end);
    TRY(range_drop(w, w->kind[kind], block_from.bytes, block_end.bytes, sizeof block_from));
    return range_drop(w, w->sums, from, end, sizeof from);
}

int writer_drop_leftovers(struct store_writer *w)
{
    for (uint32_t kind = 0; kind < KIND_COUNT; kind++)
        for (uint32_t d = 0; d < STORE_DOMAINS_MAX; d++)
            TRY(blocks_drop(w, kind, d, w->domain[d].old_blocks[kind]));
    return 0;
}

/* ---- beginning ---- */

static int meta_compare(const struct store_writer *w, const struct store_meta *with)
{
    const struct store_meta *own = &w->meta;
    if (with->tokenizer_hash.low != own->tokenizer_hash.low ||
        with->tokenizer_hash.high != own->tokenizer_hash.high)
        return err_set(ERR_USAGE,
                       "store: %s has tokens of tokenizer %016llx%016llx, these are of "
                       "%016llx%016llx: tokenize the text again with the store's tokenizer",
                       w->dir, (unsigned long long)own->tokenizer_hash.high,
                       (unsigned long long)own->tokenizer_hash.low,
                       (unsigned long long)with->tokenizer_hash.high,
                       (unsigned long long)with->tokenizer_hash.low);
    if (with->vocab_size != own->vocab_size || with->eot != own->eot)
        return err_set(ERR_USAGE,
                       "store: %s has a vocabulary of %u with <|endoftext|> at %u, these tokens "
                       "one of %u with %u",
                       w->dir, own->vocab_size, own->eot, with->vocab_size, with->eot);
    return 0;
}

/* Gives each domain of `with` its number in the store, a new one where it has none. */
static int domains_join(struct store_writer *w, const struct store_meta *with)
{
    if (with->domain_count < 1 || with->domain_count > STORE_DOMAINS_MAX)
        return err_set(ERR_USAGE, "store: %u domains: from 1 to %d", with->domain_count,
                       STORE_DOMAINS_MAX);
    for (uint32_t i = 0; i < with->domain_count; i++) {
        const char *name = with->domain[i].name;
        size_t len = strnlen(name, sizeof with->domain[i].name);
        uint32_t d = 0;
        if (len == 0 || len == sizeof with->domain[i].name)
            return err_set(ERR_USAGE, "store: domain %u needs a name of 1 to %zu bytes", i,
                           sizeof with->domain[i].name - 1);
        while (d < w->meta.domain_count && strcmp(w->meta.domain[d].name, name) != 0)
            d++;
        if (d == STORE_DOMAINS_MAX)
            return err_set(ERR_LIMIT,
                           "store: %s would have more than %d domains with \"%s\": give documents "
                           "to domains that it has",
                           w->dir, STORE_DOMAINS_MAX, name);
        if (d == w->meta.domain_count) {
            memcpy(w->meta.domain[d].name, name, len);
            w->meta.domain_count++;
        }
        w->number[i] = d;
    }
    return 0;
}

static int origins_join(struct store_writer *w, const struct store_origin *origin, uint32_t count)
{
    uint64_t end = 0;
    if (count > STORE_ORIGINS_MAX - w->origin_count)
        return err_set(ERR_LIMIT, "store: %s has %u appended runs, %d is the most", w->dir,
                       w->origin_count, STORE_ORIGINS_MAX);
    struct store_origin *all = realloc(w->origin, (w->origin_count + count + 1) * sizeof *all);
    if (!all)
        return err_set(ERR_LIMIT, "store: no memory for origins");
    w->origin = all;
    for (uint32_t i = 0; i < w->origin_count; i++)
        end = (uint64_t)all[i].first_item + all[i].item_count;
    for (uint32_t i = 0; i < count; i++) {
        const struct store_origin *o = &origin[i];
        for (uint32_t k = 0; k < w->origin_count; k++)
            if (all[k].identity.low == o->identity.low && all[k].identity.high == o->identity.high)
                return err_set(ERR_USAGE,
                               "store: %s has these documents already: they were appended from %s",
                               w->dir, all[k].run);
        if (o->first_item < end || o->item_count > UINT32_MAX - o->first_item)
            return err_set(ERR_USAGE, "store: items from %u on were given to %s before",
                           o->first_item, w->dir);
        end = (uint64_t)o->first_item + o->item_count;
    }
    if (count)
        memcpy(all + w->origin_count, origin, count * sizeof *origin);
    w->origin_count += count;
    return 0;
}

/* Bytes of a full block of documents. */
static uint32_t full_documents(const struct store_writer *w)
{
    return docs_per_block(w->meta.version) * doc_bytes(w->meta.version);
}

/* The last block of each domain, where it is not full: what is new goes on in it. */
static int fillings_load(struct store_writer *w, struct store *s)
{
    for (uint32_t d = 0; d < s->meta.domain_count; d++) {
        uint64_t documents = s->meta.domain[d].documents;
        w->domain[d].old_documents = documents;
        if (documents)
            TRY(store_doc_at(s, d, documents - 1, &w->domain[d].last));
        for (int kind = 0; kind < KIND_COUNT; kind++) {
            struct filling *f = &w->domain[d].fill[kind];
            const struct block_table *t = &s->domain[d].table[kind];
            uint64_t last = t->count ? t->count - 1 : 0;
            uint64_t used = t->count ? block_bytes(s, d, kind, last) : 0;
            bool full = kind == KIND_TOKENS ? used == STORE_BLOCK_BYTES : used == full_documents(w);
            f->block = t->count;
            if (t->count == 0 || full)
                continue;
            TRY(block_check(s, d, kind, last));
            f->bytes = malloc(STORE_BLOCK_BYTES);
            if (!f->bytes)
                return err_set(ERR_LIMIT, "store: no memory for a block of domain %s",
                               s->meta.domain[d].name);
            memcpy(f->bytes, t->at[last], used);
            f->used = (uint32_t)used;
            f->block = last;
        }
    }
    return 0;
}

int store_extend(struct store_writer **out, const char *dir, const struct store_meta *meta,
                 const struct store_origin *origin, uint32_t origin_count)
{
    int rc = 0;
    struct store_writer *w;
    struct store *s = NULL;
    TRY(writer_new(&w, dir));
    TRY_OUT(writer_take(w, &s));
    if (s->change == CHANGE_REMOVE) {
        rc = err_set(ERR_AGAIN,
                     "store: a removal from %s was killed: run the same `store remove` "
                     "again before anything is appended",
                     dir);
        goto out;
    }
    TRY_OUT(meta_compare(w, meta));
    TRY_OUT(origins_join(w, origin, origin_count));
    TRY_OUT(fillings_load(w, s));
    TRY_OUT(domains_join(w, meta));
    store_close(s);
    s = NULL;
    TRY_OUT(writer_env_open(w, 0));
    w->appends = true;
    TRY_OUT(writer_drop_leftovers(w));
    TRY_OUT(writer_put_change(w, CHANGE_APPEND));
    TRY_OUT(writer_txn_commit(w));
    TRY_OUT(writer_txn_begin(w));
    *out = w;
    return 0;
out:
    store_close(s);
    store_abandon(w);
    return rc;
}

/* ---- the end ---- */

int extend_finish(struct store_writer *w)
{
    for (uint32_t d = 0; d < w->meta.domain_count; d++) {
        if (w->meta.domain[d].documents == w->domain[d].old_documents)
            continue; /* what it has is as it was */
        for (uint32_t kind = 0; kind < KIND_COUNT; kind++) {
            const struct filling *f = &w->domain[d].fill[kind];
            uint32_t full = kind == KIND_TOKENS ? STORE_BLOCK_BYTES : full_documents(w);
            if (w->domain[d].held[kind])
                TRY(writer_put_block(w, d, kind, w->domain[d].old_blocks[kind] - 1,
                                     w->domain[d].held[kind], full));
            if (f->used)
                TRY(writer_put_block(w, d, kind, f->block, f->bytes, f->used));
        }
    }
    TRY(writer_put_meta(w));
    TRY(writer_put_change(w, CHANGE_NONE));
    TRY(writer_txn_commit(w));
    mdb_env_close(w->env);
    w->env = NULL;
    return 0;
}

void extend_undo(struct store_writer *w)
{
    char text[1024];
    err_copy_to(text, sizeof text); /* of what made this necessary, which is to be told */
    if (writer_txn_begin(w) >= 0 && writer_drop_leftovers(w) >= 0 &&
        writer_put_change(w, CHANGE_NONE) >= 0)
        writer_txn_commit(w);
    if (w->txn)
        mdb_txn_abort(w->txn);
    w->txn = NULL;
    err_set(ERR_IO, "%s", text);
}

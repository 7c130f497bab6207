/* store - reading: checks the file, then keeps a table of the blocks' addresses in LMDB's map.
 *
 * A lookup through LMDB costs a search in a tree; the file does not change while it is open, so all
 * blocks are looked up once (16 bytes each with their sums, 122 MB for 10^12 tokens of two bytes)
 * and reading is arithmetic and a copy. One read transaction stays open for as long as the store,
 * which keeps the addresses valid; a shared lock on the file keeps changes in place away.
 *
 * A bit a block says that its sum was compared. Threads that meet a block for the first time at the
 * same moment may both compare it, which is harmless and needs no lock. */
#include "store/layout.h"

#include "core/err.h"
#include "core/log.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22 /* Linux 5.14; older kernels answer EINVAL */
#endif

int store_damaged(const struct store *s, const char *what)
{
    return err_set(ERR_FORMAT, "store: %s: %s: " STORE_REBUILD, s->path, what);
}

static int mdb_fail(const struct store *s, int rc)
{
    if (rc == MDB_NOTFOUND || rc == MDB_INVALID || rc == MDB_CORRUPTED ||
        rc == MDB_VERSION_MISMATCH || rc == MDB_PAGE_NOTFOUND || rc == MDB_INCOMPATIBLE)
        return err_set(ERR_FORMAT, "store: %s: %s: no store, or a damaged one: build it again",
                       s->path, mdb_strerror(rc));
    return err_set(ERR_IO, "store: open %s: %s", s->path, mdb_strerror(rc));
}

#define MDB_TRY(s, call)                                                                           \
    do {                                                                                           \
        int mdb_rc_ = (call);                                                                      \
        if (mdb_rc_ != 0)                                                                          \
            return mdb_fail(s, mdb_rc_);                                                           \
    } while (0)

/* ---- geometry ---- */

static uint32_t row_bytes(const struct store *s, int kind)
{
    return kind == KIND_TOKENS ? s->meta.token_bytes : doc_bytes(s->meta.version);
}

static uint32_t block_rows(const struct store *s, int kind)
{
    return kind == KIND_TOKENS ? STORE_BLOCK_BYTES / s->meta.token_bytes : store_doc_rows(s);
}

static uint64_t domain_rows(const struct store *s, uint32_t domain, int kind)
{
    return kind == KIND_TOKENS ? s->meta.domain[domain].tokens : s->meta.domain[domain].documents;
}

uint64_t block_bytes(const struct store *s, uint32_t domain, int kind, uint64_t block)
{
    uint64_t rows = block_rows(s, kind), left = domain_rows(s, domain, kind) - block * rows;
    return (left < rows ? left : rows) * row_bytes(s, kind);
}

/* ---- opening ---- */

/* A value of the meta database, checked against the sum behind it; *len without the sum. */
static int info_get(const struct store *s, const char *key, const unsigned char **bytes,
                    size_t *len)
{
    MDB_val k = {.mv_size = strlen(key), .mv_data = (void *)(uintptr_t)key}, v;
    uint64_t sum;
    MDB_TRY(s, mdb_get(s->txn, s->info, &k, &v));
    if (v.mv_size < sizeof sum)
        return store_damaged(s, "a meta record is too short");
    *bytes = v.mv_data;
    *len = v.mv_size - sizeof sum;
    memcpy(&sum, *bytes + *len, sizeof sum);
    return sum == hash64(*bytes, *len, 0) ? 0 : store_damaged(s, "a meta record is damaged");
}

/* Every number is checked before it sizes anything: a sum keeps accidents out, not malice. */
static int meta_check(const struct store *s, const struct meta_disk *m, uint64_t file_bytes)
{
    uint64_t bytes = 0;
    if (m->token_bytes != (m->vocab_size <= 65536 ? 2 : 4) || m->vocab_size < 1 ||
        m->vocab_size > STORE_VOCAB_MAX || m->eot >= m->vocab_size)
        return store_damaged(s, "an impossible vocabulary");
    for (uint32_t i = 0; i < m->domain_count; i++) {
        uint64_t tokens = m->domain[i].tokens, documents = m->domain[i].documents;
        if (!memchr(m->domain[i].name, 0, sizeof m->domain[i].name))
            return store_damaged(s, "a domain's name has no end");
        if (tokens > file_bytes / m->token_bytes || documents > tokens)
            return store_damaged(s, "more tokens than bytes");
        bytes += tokens * m->token_bytes + documents * doc_bytes(m->version);
        if (bytes > file_bytes)
            return store_damaged(s, "more tokens than bytes");
    }
    return 0;
}

static int meta_load(struct store *s, uint64_t file_bytes)
{
    const unsigned char *bytes;
    size_t len;
    struct meta_disk m = {0};
    TRY(info_get(s, store_key_meta, &bytes, &len));
    if (len < offsetof(struct meta_disk, domain) || len > sizeof m)
        return store_damaged(s, "meta of an impossible size");
    memcpy(&m, bytes, len);
    if (memcmp(m.magic, store_magic, sizeof m.magic) != 0)
        return store_damaged(s, "no store");
    if (m.version < STORE_VERSION_OLDEST || m.version > STORE_VERSION)
        return err_set(ERR_FORMAT,
                       "store: %s has version %u, this program reads %d to %d: " STORE_REBUILD
                       ", or use a newer sluice",
                       s->path, m.version, STORE_VERSION_OLDEST, STORE_VERSION);
    if (m.domain_count < 1 || m.domain_count > STORE_DOMAINS_MAX ||
        len != offsetof(struct meta_disk, domain) + m.domain_count * sizeof m.domain[0])
        return store_damaged(s, "an impossible number of domains");
    TRY(meta_check(s, &m, file_bytes));
    s->meta.version = m.version;
    s->meta.token_bytes = m.token_bytes;
    s->meta.vocab_size = m.vocab_size;
    s->meta.domain_count = m.domain_count;
    s->meta.eot = m.eot;
    s->meta.tokenizer_hash = m.tokenizer_hash;
    for (uint32_t i = 0; i < m.domain_count; i++) {
        memcpy(s->meta.domain[i].name, m.domain[i].name, sizeof m.domain[i].name);
        s->meta.domain[i].tokens = m.domain[i].tokens;
        s->meta.domain[i].documents = m.domain[i].documents;
        s->meta.domain[i].bytes = m.domain[i].bytes;
    }
    TRY(info_get(s, store_key_unigram, &bytes, &len));
    return len == m.vocab_size * sizeof(uint64_t)
               ? 0
               : store_damaged(s, "counts of an impossible size");
}

/* What stands in meta only sometimes: 1 and the value, or 0. */
static int info_find(const struct store *s, const char *key, const unsigned char **bytes,
                     size_t *len)
{
    MDB_val k = {.mv_size = strlen(key), .mv_data = (void *)(uintptr_t)key}, v;
    if (mdb_get(s->txn, s->info, &k, &v) == MDB_NOTFOUND)
        return 0;
    TRY(info_get(s, key, bytes, len));
    return 1;
}

static int origins_load(struct store *s)
{
    const unsigned char *bytes;
    size_t len;
    uint64_t next = 0;
    int found = info_find(s, store_key_origins, &bytes, &len);
    if (found <= 0)
        return found;
    if (len % sizeof *s->origin != 0 || len / sizeof *s->origin > STORE_ORIGINS_MAX)
        return store_damaged(s, "origins of an impossible size");
    s->origin = malloc(len ? len : 1);
    if (!s->origin)
        return err_set(ERR_LIMIT, "store: no memory for %zu bytes of origins", len);
    memcpy(s->origin, bytes, len);
    s->origin_count = (uint32_t)(len / sizeof *s->origin);
    for (uint32_t i = 0; i < s->origin_count; i++) {
        const struct store_origin *o = &s->origin[i];
        if (o->first_item < next || o->item_count > UINT32_MAX - o->first_item ||
            !memchr(o->run, 0, sizeof o->run) || !memchr(o->recipe, 0, sizeof o->recipe))
            return store_damaged(s, "a damaged origin");
        next = (uint64_t)o->first_item + o->item_count;
    }
    return 0;
}

static int change_load(struct store *s)
{
    const unsigned char *bytes;
    size_t len;
    uint32_t change;
    int found = info_find(s, store_key_change, &bytes, &len);
    if (found <= 0)
        return found;
    if (len != sizeof change)
        return store_damaged(s, "a damaged note of a change");
    memcpy(&change, bytes, sizeof change);
    if (change >= CHANGE_KINDS)
        return store_damaged(s, "a note of an unknown change");
    s->change = (enum change_kind)change;
    if (s->change == CHANGE_APPEND)
        log_warn("store: %s: an append was killed: the store is as it was before it; append "
                 "again",
                 s->path);
    else if (s->change == CHANGE_REMOVE)
        log_warn("store: %s: a removal was killed: what was removed is not drawn any more, but its "
                 "tokens may still lie in the file: run the same `store remove` again",
                 s->path);
    return 0;
}

static int table_open(struct store *s, uint32_t domain, int kind)
{
    struct block_table *t = &s->domain[domain].table[kind];
    uint64_t rows = block_rows(s, kind);
    t->count = (domain_rows(s, domain, kind) + rows - 1) / rows;
    t->at = calloc(t->count + 1, sizeof *t->at);
    t->sum = calloc(t->count + 1, sizeof *t->sum);
    t->checked = calloc(t->count / 64 + 1, sizeof *t->checked);
    return t->at && t->sum && t->checked ? 0
                                         : err_set(ERR_LIMIT, "store: no memory for %llu blocks",
                                                   (unsigned long long)t->count);
}

/* Walks the blocks of a domain from its first on; keys must come without a gap. */
static int blocks_load(struct store *s, MDB_cursor *cursor, uint32_t domain, int kind)
{
    struct block_table *t = &s->domain[domain].table[kind];
    struct block_key want = block_key(domain, 0);
    MDB_val k = {.mv_size = sizeof want, .mv_data = want.bytes}, v;
    for (uint64_t b = 0; b < t->count; b++) {
        int found = mdb_cursor_get(cursor, &k, &v, b ? MDB_NEXT : MDB_SET_RANGE);
        want = block_key(domain, b);
        if (found != 0 || k.mv_size != sizeof want ||
            memcmp(k.mv_data, want.bytes, sizeof want) != 0)
            return store_damaged(s, "a block is missing");
        if (v.mv_size != block_bytes(s, domain, kind, b))
            return store_damaged(s, "a block of another size than its domain's count asks for");
        t->at[b] = v.mv_data;
        if ((uintptr_t)v.mv_data % sizeof(uint64_t) == 0)
            continue;
        if (t->small)
            return store_damaged(s, "two blocks of a domain that are not at a page's start");
        t->small = malloc(v.mv_size);
        if (!t->small)
            return err_set(ERR_LIMIT, "store: no memory for a block");
        memcpy(t->small, v.mv_data, v.mv_size);
        t->at[b] = t->small;
    }
    return 0;
}

static int sums_load(struct store *s, MDB_cursor *cursor, uint32_t domain, int kind)
{
    struct block_table *t = &s->domain[domain].table[kind];
    unsigned char want[16];
    sum_key((uint32_t)kind, domain, 0, want);
    MDB_val k = {.mv_size = sizeof want, .mv_data = want}, v;
    for (uint64_t b = 0; b < t->count; b++) {
        int found = mdb_cursor_get(cursor, &k, &v, b ? MDB_NEXT : MDB_SET_RANGE);
        sum_key((uint32_t)kind, domain, b, want);
        if (found != 0 || k.mv_size != sizeof want || memcmp(k.mv_data, want, sizeof want) != 0 ||
            v.mv_size != sizeof t->sum[b])
            return store_damaged(s, "the sum of a block is missing");
        memcpy(&t->sum[b], v.mv_data, sizeof t->sum[b]);
    }
    return 0;
}

/* Unless a change is under way, a database holds the blocks that meta counts and no others. */
static int count_check(const struct store *s, MDB_dbi dbi, const int *kinds, int kind_count)
{
    MDB_stat stat;
    uint64_t want = 0;
    MDB_TRY(s, mdb_stat(s->txn, dbi, &stat));
    for (uint32_t i = 0; i < s->meta.domain_count; i++)
        for (int k = 0; k < kind_count; k++)
            want += s->domain[i].table[kinds[k]].count;
    if (stat.ms_entries < want || (s->change == CHANGE_NONE && stat.ms_entries > want))
        return store_damaged(s, "it holds other blocks than its domains' counts ask for");
    return 0;
}

static int tables_load(struct store *s)
{
    static const int kinds[] = {KIND_TOKENS, KIND_DOCUMENTS};
    MDB_cursor *cursor, *sums;
    int rc = 0;
    MDB_TRY(s, mdb_cursor_open(s->txn, s->sums, &sums));
    for (int kind = 0; kind < KIND_COUNT && rc >= 0; kind++) {
        int opened = mdb_cursor_open(s->txn, s->kind[kind], &cursor);
        if (opened != 0) {
            mdb_cursor_close(sums);
            return mdb_fail(s, opened);
        }
        for (uint32_t i = 0; i < s->meta.domain_count && rc >= 0; i++) {
            rc = table_open(s, i, kind);
            if (rc >= 0)
                rc = blocks_load(s, cursor, i, kind);
            if (rc >= 0)
                rc = sums_load(s, sums, i, kind);
        }
        mdb_cursor_close(cursor);
        if (rc >= 0)
            rc = count_check(s, s->kind[kind], &kind, 1);
    }
    mdb_cursor_close(sums);
    return rc < 0 ? rc : count_check(s, s->sums, kinds, KIND_COUNT);
}

/* One row of the removed: the bitmap of a block of documents. */
static int removed_take(struct store *s, const MDB_val *k, const MDB_val *v)
{
    struct removed_disk *r;
    uint64_t sum, block = 0;
    uint32_t domain = 0, bits = 0;
    const unsigned char *key = k->mv_data;
    if (k->mv_size != sizeof(struct block_key) || v->mv_size != sizeof *r + sizeof sum)
        return store_damaged(s, "a removal of an impossible size");
    for (int i = 0; i < 4; i++)
        domain = domain << 8 | key[i];
    for (int i = 4; i < 12; i++)
        block = block << 8 | key[i];
    memcpy(&sum, (const char *)v->mv_data + sizeof *r, sizeof sum);
    if (sum != hash64(v->mv_data, sizeof *r, block) || domain >= s->meta.domain_count ||
        block >= s->domain[domain].table[KIND_DOCUMENTS].count)
        return store_damaged(s, "a removal is damaged");
    if (!s->domain[domain].removed)
        s->domain[domain].removed = calloc(s->domain[domain].table[KIND_DOCUMENTS].count,
                                           sizeof *s->domain[domain].removed);
    r = malloc(sizeof *r);
    if (!s->domain[domain].removed || !r) {
        free(r);
        return err_set(ERR_LIMIT, "store: no memory for removals");
    }
    memcpy(r, v->mv_data, sizeof *r);
    s->domain[domain].removed[block] = r;
    uint64_t rows = block_bytes(s, domain, KIND_DOCUMENTS, block) / doc_bytes(s->meta.version);
    for (uint64_t i = 0; i < 8 * sizeof r->bits; i++) {
        uint32_t bit = r->bits[i / 8] >> i % 8 & 1;
        if (bit && i >= rows)
            return store_damaged(s, "a removal of a document that is not there");
        bits += bit;
    }
    s->meta.domain[domain].removed_documents += bits;
    s->meta.domain[domain].removed_tokens += r->tokens;
    s->meta.domain[domain].removed_bytes += r->bytes;
    if (s->meta.domain[domain].removed_tokens > s->meta.domain[domain].tokens ||
        s->meta.domain[domain].removed_bytes > s->meta.domain[domain].bytes)
        return store_damaged(s, "more was removed than there is");
    return 0;
}

static int removed_load(struct store *s)
{
    MDB_cursor *cursor;
    MDB_val k, v;
    int rc = 0, found = 0;
    if (s->meta.version < STORE_VERSION_REMOVED)
        return 0;
    MDB_TRY(s, mdb_dbi_open(s->txn, store_db_removed, 0, &s->removed));
    MDB_TRY(s, mdb_cursor_open(s->txn, s->removed, &cursor));
    while (rc >= 0 && (found = mdb_cursor_get(cursor, &k, &v, MDB_NEXT)) == 0)
        rc = removed_take(s, &k, &v);
    mdb_cursor_close(cursor);
    return rc < 0 || found == MDB_NOTFOUND ? rc : mdb_fail(s, found);
}

/* Chains the sums of all blocks and the removals behind the meta record: what the blocks hold
 * decides it, not where they lie, nor which version of the file they lie in. */
static void identity_load(struct store *s)
{
    struct store_meta meta;
    memcpy(&meta, &s->meta, sizeof meta); /* with its padding, which is zero */
    meta.version = 0;
    struct hash128 link[3] = {hash128(&meta, sizeof meta)};
    for (uint32_t i = 0; i < s->meta.domain_count; i++) {
        for (int kind = 0; kind < KIND_COUNT; kind++) {
            const struct block_table *t = &s->domain[i].table[kind];
            link[1] = hash128(t->sum, t->count * sizeof *t->sum);
            link[0] = hash128(link, 2 * sizeof *link);
        }
        for (uint64_t b = 0; s->domain[i].removed && b < s->domain[i].table[KIND_DOCUMENTS].count;
             b++) {
            if (!s->domain[i].removed[b])
                continue;
            link[1] = (struct hash128){i, b};
            link[2] = hash128(s->domain[i].removed[b], sizeof **s->domain[i].removed);
            link[0] = hash128(link, 3 * sizeof *link);
        }
    }
    s->identity = link[0];
}

/* *replaced: the file at this path is another one than the file that was checked and locked. */
static int env_load(struct store *s, const char *dir, bool *replaced)
{
    MDB_envinfo info;
    MDB_stat stat;
    struct stat checked, mapped;
    mdb_filehandle_t fd;
    unsigned flags = MDB_RDONLY | MDB_NOLOCK | MDB_NORDAHEAD | MDB_NOTLS;
    MDB_TRY(s, mdb_env_create(&s->env));
    MDB_TRY(s, mdb_env_set_maxdbs(s->env, STORE_DATABASES));
    MDB_TRY(s, mdb_env_open(s->env, dir, flags, 0666));
    MDB_TRY(s, mdb_env_get_fd(s->env, &fd));
    if (fstat(fd, &mapped) != 0 || fstat(s->fd, &checked) != 0)
        return err_sys("store: stat %s", s->path);
    *replaced = mapped.st_dev != checked.st_dev || mapped.st_ino != checked.st_ino;
    if (*replaced)
        return 0;
    /* Once more on what LMDB has mapped: it may have been cut since the check. */
    mdb_env_info(s->env, &info);
    mdb_env_stat(s->env, &stat);
    uint64_t file_bytes = (uint64_t)mapped.st_size;
    if (((uint64_t)info.me_last_pgno + 1) * stat.ms_psize > file_bytes)
        return store_damaged(s, "it is cut short");
    MDB_TRY(s, mdb_txn_begin(s->env, NULL, MDB_RDONLY, &s->txn));
    for (int i = 0; i < KIND_COUNT; i++)
        MDB_TRY(s, mdb_dbi_open(s->txn, store_kind_names[i], 0, &s->kind[i]));
    MDB_TRY(s, mdb_dbi_open(s->txn, "sums", 0, &s->sums));
    MDB_TRY(s, mdb_dbi_open(s->txn, "meta", 0, &s->info));
    TRY(meta_load(s, file_bytes));
    TRY(change_load(s));
    TRY(tables_load(s));
    TRY(removed_load(s));
    TRY(origins_load(s));
    identity_load(s);
    return 0;
}

/* One try; a writer may put another file in this one's place meanwhile. */
static int open_once(struct store *s, const char *dir, bool lock, bool *replaced)
{
    *replaced = false;
    s->fd = open(s->path, O_RDONLY | O_CLOEXEC);
    if (s->fd < 0)
        return err_sys("store: open %s", s->path);
    if (lock)
        TRY(reader_lock(dir, s->path, s->fd));
    TRY(pages_check(s->path, s->fd));
    return env_load(s, dir, replaced);
}

static int open_store(struct store **out, const char *dir, bool lock)
{
    enum { TRIES = 8 };
    int rc = 0;
    bool replaced = true;
    TRY(fs_check(dir, false));
    for (int i = 0; i < TRIES && replaced; i++) {
        struct store *s = calloc(1, sizeof *s);
        if (!s)
            return err_set(ERR_LIMIT, "store: no memory to open %s", dir);
        s->fd = -1;
        rc = io_path(s->path, "%s/" STORE_FILE, dir);
        if (rc >= 0)
            rc = open_once(s, dir, lock, &replaced);
        if (rc >= 0 && !replaced) {
            *out = s;
            return 0;
        }
        store_close(s);
        TRY(rc);
    }
    return err_set(ERR_AGAIN, "store: %s is replaced over and over: wait for who writes it", dir);
}

int store_open(struct store **out, const char *dir) { return open_store(out, dir, true); }

int store_open_locked(struct store **out, const char *dir) { return open_store(out, dir, false); }

static void domain_free(struct store *s, uint32_t domain)
{
    struct block_table *t = s->domain[domain].table;
    struct removed_disk **removed = s->domain[domain].removed;
    for (uint64_t b = 0; removed && b < t[KIND_DOCUMENTS].count; b++)
        free(removed[b]);
    free(removed);
    for (int kind = 0; kind < KIND_COUNT; kind++) {
        free(t[kind].at);
        free(t[kind].sum);
        free(t[kind].checked);
        free(t[kind].small);
    }
}

void store_close(struct store *s)
{
    if (!s)
        return;
    if (s->txn)
        mdb_txn_abort(s->txn);
    if (s->env)
        mdb_env_close(s->env);
    if (s->fd >= 0)
        close(s->fd);
    for (uint32_t i = 0; i < STORE_DOMAINS_MAX; i++)
        domain_free(s, i);
    free(s->origin);
    free(s);
}

/* ---- reading ---- */

const struct store_meta *store_meta(const struct store *s) { return &s->meta; }

bool store_knows_lang(const struct store *s) { return s->meta.version >= STORE_VERSION_LANG; }

int store_domain(const struct store *s, const char *name)
{
    for (uint32_t i = 0; i < s->meta.domain_count; i++)
        if (strcmp(s->meta.domain[i].name, name) == 0)
            return (int)i;
    return -1;
}

/* The greatest of count ids; the inner loop has a fixed count so that the compiler makes vectors of
 * it. */
static uint32_t ids_greatest(const unsigned char *at, uint32_t width, uint64_t count)
{
    enum { LANES = 64 };
    uint32_t greatest = 0, wide[LANES] = {0};
    uint16_t narrow[LANES] = {0};
    uint64_t i = 0;
    if (width == 2) {
        const uint16_t *ids = (const void *)at;
        for (; i + LANES <= count; i += LANES)
            for (int k = 0; k < LANES; k++)
                narrow[k] = ids[i + (uint64_t)k] > narrow[k] ? ids[i + (uint64_t)k] : narrow[k];
        for (; i < count; i++)
            greatest = ids[i] > greatest ? ids[i] : greatest;
    } else {
        const uint32_t *ids = (const void *)at;
        for (; i + LANES <= count; i += LANES)
            for (int k = 0; k < LANES; k++)
                wide[k] = ids[i + (uint64_t)k] > wide[k] ? ids[i + (uint64_t)k] : wide[k];
        for (; i < count; i++)
            greatest = ids[i] > greatest ? ids[i] : greatest;
    }
    for (int k = 0; k < LANES; k++) {
        greatest = narrow[k] > greatest ? narrow[k] : greatest;
        greatest = wide[k] > greatest ? wide[k] : greatest;
    }
    return greatest;
}

static int block_damaged(const struct store *s, uint32_t domain, int kind, uint64_t block,
                         const char *what)
{
    return err_set(ERR_FORMAT,
                   "store: %s: block %llu of the %s of domain %s %s: it is damaged: " STORE_REBUILD,
                   s->path, (unsigned long long)block, store_kind_names[kind],
                   s->meta.domain[domain].name, what);
}

void block_ahead(const struct store *s, uint32_t domain, int kind, uint64_t block)
{
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    if (block >= s->domain[domain].table[kind].count)
        return;
    uintptr_t first = (uintptr_t)s->domain[domain].table[kind].at[block];
    uintptr_t end = first + block_bytes(s, domain, kind, block);
    first &= ~(page - 1);
    madvise((void *)first, end - first, MADV_WILLNEED); /* advice: failing is no error */
}

/* Pages are brought in by one call, which also fails where touching them would be a signal. The map
 * reads nothing ahead by itself (rows are drawn at random), so that without the advice in front of
 * it that call, too, would wait for the disk once a page: 500 MB took ten minutes where they now
 * take seconds. */
static int block_touch(const struct store *s, uint32_t domain, int kind, uint64_t block)
{
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    uintptr_t first = (uintptr_t)s->domain[domain].table[kind].at[block];
    uintptr_t end = first + block_bytes(s, domain, kind, block);
    first &= ~(page - 1);
    block_ahead(s, domain, kind, block);
    if (madvise((void *)first, end - first, MADV_POPULATE_READ) == 0 ||
        (errno != EFAULT && errno != EIO && errno != EHWPOISON))
        return 0;
    return err_set(ERR_IO,
                   "store: %s: block %llu of the %s of domain %s cannot be read: the disk fails: "
                   "copy the store to another one, or build it again",
                   s->path, (unsigned long long)block, store_kind_names[kind],
                   s->meta.domain[domain].name);
}

int block_check(struct store *s, uint32_t domain, int kind, uint64_t block)
{
    struct block_table *t = &s->domain[domain].table[kind];
    uint64_t bytes = block_bytes(s, domain, kind, block);
    TRY(block_touch(s, domain, kind, block));
    if (hash64(t->at[block], bytes, block) != t->sum[block])
        return block_damaged(s, domain, kind, block, "is not what its sum says");
    /* A sum keeps accidents out, not malice; and an id is an index into a model's table. */
    if (kind == KIND_TOKENS && ids_greatest(t->at[block], s->meta.token_bytes,
                                            bytes / s->meta.token_bytes) >= s->meta.vocab_size)
        return block_damaged(s, domain, kind, block, "holds an id outside the vocabulary");
    atomic_fetch_or_explicit(&t->checked[block / 64], (uint64_t)1 << block % 64,
                             memory_order_relaxed);
    return 0;
}

/* The block, checked when this is the first time that it is asked for. */
static inline int block_get(struct store *s, uint32_t domain, int kind, uint64_t block,
                            const unsigned char **at)
{
    struct block_table *t = &s->domain[domain].table[kind];
    *at = t->at[block];
    if (atomic_load_explicit(&t->checked[block / 64], memory_order_relaxed) >> block % 64 & 1)
        return 0;
    return block_check(s, domain, kind, block);
}

int store_window(struct store *s, uint32_t domain, uint64_t start, uint32_t count,
                 const void **window, uint32_t *have)
{
    assert(domain < s->meta.domain_count);
    const unsigned char *at;
    uint64_t tokens = s->meta.domain[domain].tokens;
    *have = 0;
    if (start > tokens || count > tokens - start)
        return err_set(ERR_LIMIT, "store: %u tokens from %llu on of domain %s, which has %llu",
                       count, (unsigned long long)start, s->meta.domain[domain].name,
                       (unsigned long long)tokens);
    if (count == 0)
        return 0;
    uint32_t rows = block_rows(s, KIND_TOKENS), from = (uint32_t)(start % rows);
    TRY(block_get(s, domain, KIND_TOKENS, start / rows, &at));
    *window = at + (size_t)from * s->meta.token_bytes;
    *have = count < rows - from ? count : rows - from;
    return 0;
}

/* The inner loop has a fixed count, so that the compiler makes vectors of it. */
static void ids_widen(const uint16_t *restrict from, size_t count, uint32_t *restrict ids)
{
    enum { LANES = 64 };
    for (; count >= LANES; count -= LANES, from += LANES, ids += LANES)
        for (size_t k = 0; k < LANES; k++)
            ids[k] = from[k];
    for (size_t k = 0; k < count; k++)
        ids[k] = from[k];
}

int store_read(struct store *s, uint32_t domain, uint64_t start, uint32_t count, uint32_t *ids)
{
    const void *window;
    uint32_t have;
    do {
        /* Asked for the whole rest, so that a range past the end fails before anything is read. */
        TRY(store_window(s, domain, start, count, &window, &have));
        if (s->meta.token_bytes == 2)
            ids_widen(window, have, ids);
        else if (have)
            memcpy(ids, window, have * sizeof *ids);
        ids += have;
        start += have;
        count -= have;
    } while (count);
    return 0;
}

void store_prefetch(struct store *s, uint32_t domain, uint64_t start, uint64_t count)
{
    assert(domain < s->meta.domain_count);
    uint64_t tokens = s->meta.domain[domain].tokens, rows = block_rows(s, KIND_TOKENS);
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    if (start >= tokens)
        return;
    if (count > tokens - start)
        count = tokens - start;
    while (count) {
        uint64_t at = start % rows, now = count < rows - at ? count : rows - at;
        const unsigned char *block = s->domain[domain].table[KIND_TOKENS].at[start / rows];
        uintptr_t first = (uintptr_t)(block + at * s->meta.token_bytes);
        uintptr_t end = first + now * s->meta.token_bytes;
        first &= ~(page - 1);
        madvise((void *)first, end - first, MADV_WILLNEED); /* advice: failing is no error */
        start += now;
        count -= now;
    }
}

int store_doc_at(struct store *s, uint32_t domain, uint64_t index, struct store_doc *out)
{
    assert(domain < s->meta.domain_count);
    if (index >= s->meta.domain[domain].documents)
        return err_set(ERR_LIMIT, "store: document %llu of domain %s, which has %llu",
                       (unsigned long long)index, s->meta.domain[domain].name,
                       (unsigned long long)s->meta.domain[domain].documents);
    const unsigned char *block;
    uint32_t rows = store_doc_rows(s), bytes = doc_bytes(s->meta.version);
    TRY(block_get(s, domain, KIND_DOCUMENTS, index / rows, &block));
    *out = (struct store_doc){.lang_score = NAN, .score = NAN};
    memcpy(out, block + index % rows * bytes, bytes);
    return 0;
}

int store_doc_of(struct store *s, uint32_t domain, uint64_t pos, uint64_t *index,
                 struct store_doc *out)
{
    assert(domain < s->meta.domain_count);
    uint64_t low = 0, high = s->meta.domain[domain].documents;
    if (pos >= s->meta.domain[domain].tokens)
        return err_set(ERR_LIMIT, "store: token %llu of domain %s, which has %llu",
                       (unsigned long long)pos, s->meta.domain[domain].name,
                       (unsigned long long)s->meta.domain[domain].tokens);
    /* The last document that starts at or before pos; document 0 starts at 0. */
    while (high - low > 1) {
        uint64_t middle = low + (high - low) / 2;
        TRY(store_doc_at(s, domain, middle, out));
        if (out->token_start <= pos)
            low = middle;
        else
            high = middle;
    }
    if (index)
        *index = low;
    TRY(store_doc_at(s, domain, low, out));
    if (pos < out->token_start || pos - out->token_start >= out->token_count)
        return store_damaged(s, "the document index has a hole");
    return 0;
}

bool store_removed(const struct store *s, uint32_t domain, uint64_t index)
{
    assert(domain < s->meta.domain_count && index < s->meta.domain[domain].documents);
    struct removed_disk *const *removed = s->domain[domain].removed;
    uint32_t rows = store_doc_rows(s);
    if (!removed || !removed[index / rows])
        return false;
    uint64_t bit = index % rows;
    return removed[index / rows]->bits[bit / 8] >> bit % 8 & 1;
}

uint64_t store_removed_count(const struct store *s, uint32_t domain)
{
    assert(domain < s->meta.domain_count);
    return s->meta.domain[domain].removed_documents;
}

const struct store_origin *store_origins(const struct store *s, uint32_t *count)
{
    *count = s->origin_count;
    return s->origin;
}

const struct store_origin *store_origin_of(const struct store *s, uint32_t item)
{
    uint32_t low = 0, high = s->origin_count;
    while (low < high) { /* the first that begins behind item */
        uint32_t middle = low + (high - low) / 2;
        if (s->origin[middle].first_item <= item)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == 0 || item - s->origin[low - 1].first_item >= s->origin[low - 1].item_count)
        return NULL;
    return &s->origin[low - 1];
}

struct hash128 store_identity(const struct store *s) { return s->identity; }

int store_unigram(struct store *s, uint64_t *counts)
{
    const unsigned char *bytes;
    size_t len;
    TRY(info_get(s, store_key_unigram, &bytes, &len));
    memcpy(counts, bytes, len);
    return 0;
}

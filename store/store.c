/* store - reading: checks the file, then keeps a table of the blocks' addresses in LMDB's map.
 *
 * A lookup through LMDB costs a search in a tree; the file never changes, so all blocks are looked
 * up once (8 bytes each, 61 MB for 10^12 tokens of two bytes) and reading is arithmetic and a copy.
 * One read transaction stays open for as long as the store, which keeps the addresses valid. */
#include "store/layout.h"

#include "core/err.h"

#include <assert.h>
#include <lmdb.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

struct store {
    char path[IO_PATH_MAX];
    MDB_env *env;
    MDB_txn *txn;
    MDB_dbi kind[KIND_COUNT], sums, info;
    struct store_meta meta;
    struct hash128 identity;
    struct {
        const unsigned char **block[KIND_COUNT];
        uint64_t blocks[KIND_COUNT];
    } domain[STORE_DOMAINS_MAX];
};

static int damaged(const struct store *s, const char *what)
{
    return err_set(ERR_FORMAT, "store: %s: %s: build the store again", s->path, what);
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
    return kind == KIND_TOKENS ? s->meta.token_bytes : (uint32_t)sizeof(struct store_doc);
}

static uint32_t block_rows(const struct store *s, int kind)
{
    return kind == KIND_TOKENS ? STORE_BLOCK_BYTES / s->meta.token_bytes : DOCS_PER_BLOCK;
}

static uint64_t domain_rows(const struct store *s, uint32_t domain, int kind)
{
    return kind == KIND_TOKENS ? s->meta.domain[domain].tokens : s->meta.domain[domain].documents;
}

static uint64_t block_bytes(const struct store *s, uint32_t domain, int kind, uint64_t block)
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
        return damaged(s, "a meta record is too short");
    *bytes = v.mv_data;
    *len = v.mv_size - sizeof sum;
    memcpy(&sum, *bytes + *len, sizeof sum);
    return sum == hash64(*bytes, *len, 0) ? 0 : damaged(s, "a meta record is damaged");
}

/* Every number is checked before it sizes anything: a sum keeps accidents out, not malice. */
static int meta_check(const struct store *s, const struct meta_disk *m, uint64_t file_bytes)
{
    uint64_t bytes = 0;
    if (m->token_bytes != (m->vocab_size <= 65536 ? 2 : 4) || m->vocab_size < 1 ||
        m->vocab_size > STORE_VOCAB_MAX || m->eot >= m->vocab_size)
        return damaged(s, "an impossible vocabulary");
    for (uint32_t i = 0; i < m->domain_count; i++) {
        uint64_t tokens = m->domain[i].tokens, documents = m->domain[i].documents;
        if (!memchr(m->domain[i].name, 0, sizeof m->domain[i].name))
            return damaged(s, "a domain's name has no end");
        if (tokens > file_bytes / m->token_bytes || documents > tokens)
            return damaged(s, "more tokens than bytes");
        bytes += tokens * m->token_bytes + documents * sizeof(struct store_doc);
        if (bytes > file_bytes)
            return damaged(s, "more tokens than bytes");
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
        return damaged(s, "meta of an impossible size");
    memcpy(&m, bytes, len);
    if (memcmp(m.magic, store_magic, sizeof m.magic) != 0)
        return damaged(s, "no store");
    if (m.version != STORE_VERSION)
        return err_set(ERR_FORMAT,
                       "store: %s has version %u, this program reads %d: build the store again",
                       s->path, m.version, STORE_VERSION);
    if (m.domain_count < 1 || m.domain_count > STORE_DOMAINS_MAX ||
        len != offsetof(struct meta_disk, domain) + m.domain_count * sizeof m.domain[0])
        return damaged(s, "an impossible number of domains");
    TRY(meta_check(s, &m, file_bytes));
    s->meta.version = m.version;
    s->meta.token_bytes = m.token_bytes;
    s->meta.vocab_size = m.vocab_size;
    s->meta.domain_count = m.domain_count;
    s->meta.eot = m.eot;
    s->meta.tokenizer_hash = m.tokenizer_hash;
    memcpy(s->meta.domain, m.domain, sizeof m.domain);
    TRY(info_get(s, store_key_unigram, &bytes, &len));
    return len == m.vocab_size * sizeof(uint64_t) ? 0 : damaged(s, "counts of an impossible size");
}

/* Looks up every block of a kind: keys come domain by domain, block by block. */
static int blocks_load(struct store *s, int kind)
{
    MDB_cursor *cursor;
    MDB_val k, v;
    int rc = 0, found = 0;
    for (uint32_t i = 0; i < s->meta.domain_count; i++) {
        uint64_t rows = block_rows(s, kind);
        uint64_t blocks = (domain_rows(s, i, kind) + rows - 1) / rows;
        s->domain[i].blocks[kind] = blocks;
        s->domain[i].block[kind] = calloc(blocks + 1, sizeof *s->domain[i].block[kind]);
        if (!s->domain[i].block[kind])
            return err_set(ERR_LIMIT, "store: no memory for %llu blocks",
                           (unsigned long long)blocks);
    }
    MDB_TRY(s, mdb_cursor_open(s->txn, s->kind[kind], &cursor));
    for (uint32_t i = 0; i < s->meta.domain_count && rc == 0; i++) {
        for (uint64_t b = 0; b < s->domain[i].blocks[kind] && rc == 0; b++) {
            struct block_key want = block_key(i, b);
            found = mdb_cursor_get(cursor, &k, &v, MDB_NEXT);
            if (found != 0 || k.mv_size != sizeof want ||
                memcmp(k.mv_data, want.bytes, sizeof want) != 0)
                rc = damaged(s, "a block is missing");
            else if (v.mv_size != block_bytes(s, i, kind, b))
                rc = damaged(s, "a block of another size than its domain's count asks for");
            else
                s->domain[i].block[kind][b] = v.mv_data;
        }
    }
    if (rc == 0 && mdb_cursor_get(cursor, &k, &v, MDB_NEXT) != MDB_NOTFOUND)
        rc = damaged(s, "a block too many");
    mdb_cursor_close(cursor);
    return rc;
}

/* Chains the sums of all blocks behind the meta record: what the blocks hold decides it, not where
 * they lie. */
static int identity_load(struct store *s)
{
    MDB_cursor *cursor;
    MDB_val k, v;
    int found;
    struct hash128 chain = hash128(&s->meta, sizeof s->meta);
    MDB_TRY(s, mdb_cursor_open(s->txn, s->sums, &cursor));
    while ((found = mdb_cursor_get(cursor, &k, &v, MDB_NEXT)) == 0) {
        uint64_t link[5] = {chain.low, chain.high};
        if (k.mv_size != 16 || v.mv_size != 8)
            break;
        memcpy(link + 2, k.mv_data, 16);
        memcpy(link + 4, v.mv_data, 8);
        chain = hash128(link, sizeof link);
    }
    mdb_cursor_close(cursor);
    s->identity = chain;
    return found == MDB_NOTFOUND ? 0 : damaged(s, "a sum of an impossible size");
}

static int env_load(struct store *s, const char *dir)
{
    MDB_envinfo info;
    MDB_stat stat;
    uint64_t file_bytes;
    unsigned flags = MDB_RDONLY | MDB_NOLOCK | MDB_NORDAHEAD | MDB_NOTLS;
    MDB_TRY(s, mdb_env_create(&s->env));
    MDB_TRY(s, mdb_env_set_maxdbs(s->env, KIND_COUNT + 2));
    MDB_TRY(s, mdb_env_open(s->env, dir, flags, 0666));
    /* Once more on what LMDB has mapped: the file may have been replaced since the check. */
    mdb_env_info(s->env, &info);
    mdb_env_stat(s->env, &stat);
    TRY(io_size(s->path, &file_bytes));
    if (((uint64_t)info.me_last_pgno + 1) * stat.ms_psize > file_bytes)
        return damaged(s, "it is cut short");
    MDB_TRY(s, mdb_txn_begin(s->env, NULL, MDB_RDONLY, &s->txn));
    for (int i = 0; i < KIND_COUNT; i++)
        MDB_TRY(s, mdb_dbi_open(s->txn, store_kind_names[i], 0, &s->kind[i]));
    MDB_TRY(s, mdb_dbi_open(s->txn, "sums", 0, &s->sums));
    MDB_TRY(s, mdb_dbi_open(s->txn, "meta", 0, &s->info));
    TRY(meta_load(s, file_bytes));
    for (int i = 0; i < KIND_COUNT; i++)
        TRY(blocks_load(s, i));
    return identity_load(s);
}

int store_open(struct store **out, const char *dir)
{
    int rc = 0;
    struct store *s = calloc(1, sizeof *s);
    if (!s)
        return err_set(ERR_LIMIT, "store: no memory to open %s", dir);
    TRY_OUT(io_path(s->path, "%s/" STORE_FILE, dir));
    TRY_OUT(pages_check(s->path));
    TRY_OUT(env_load(s, dir));
    *out = s;
    return 0;
out:
    store_close(s);
    return rc;
}

void store_close(struct store *s)
{
    if (!s)
        return;
    if (s->txn)
        mdb_txn_abort(s->txn);
    if (s->env)
        mdb_env_close(s->env);
    for (uint32_t i = 0; i < STORE_DOMAINS_MAX; i++)
        for (int kind = 0; kind < KIND_COUNT; kind++)
            free(s->domain[i].block[kind]);
    free(s);
}

/* ---- reading ---- */

const struct store_meta *store_meta(const struct store *s) { return &s->meta; }

int store_domain(const struct store *s, const char *name)
{
    for (uint32_t i = 0; i < s->meta.domain_count; i++)
        if (strcmp(s->meta.domain[i].name, name) == 0)
            return (int)i;
    return -1;
}

/* Widens count ids at `from` (which is aligned to their size only) and returns the greatest. The
 * inner loop has a fixed count so that the compiler makes vectors of it. */
static uint32_t ids_widen(const unsigned char *from, uint32_t width, uint32_t count, uint32_t *ids)
{
    enum { CHUNK = 64 };
    uint32_t greatest = 0, i = 0;
    if (width == 4) {
        memcpy(ids, from, (size_t)count * width);
        for (; i < count; i++)
            greatest = ids[i] > greatest ? ids[i] : greatest;
        return greatest;
    }
    uint16_t chunk[CHUNK], most[CHUNK] = {0};
    for (; i + CHUNK <= count; i += CHUNK) {
        memcpy(chunk, from + 2 * (size_t)i, sizeof chunk);
        for (uint32_t k = 0; k < CHUNK; k++) {
            ids[i + k] = chunk[k];
            most[k] = chunk[k] > most[k] ? chunk[k] : most[k];
        }
    }
    for (uint32_t k = 0; k < CHUNK; k++)
        greatest = most[k] > greatest ? most[k] : greatest;
    for (; i < count; i++) {
        uint16_t id;
        memcpy(&id, from + 2 * (size_t)i, sizeof id);
        ids[i] = id;
        greatest = id > greatest ? id : greatest;
    }
    return greatest;
}

int store_read(struct store *s, uint32_t domain, uint64_t start, uint32_t count, uint32_t *ids)
{
    assert(domain < s->meta.domain_count);
    uint64_t tokens = s->meta.domain[domain].tokens;
    uint32_t rows = block_rows(s, KIND_TOKENS), width = s->meta.token_bytes;
    if (start > tokens || count > tokens - start)
        return err_set(ERR_LIMIT, "store: %u tokens from %llu on of domain %s, which has %llu",
                       count, (unsigned long long)start, s->meta.domain[domain].name,
                       (unsigned long long)tokens);
    while (count) {
        uint64_t block = start / rows;
        uint32_t at = (uint32_t)(start % rows), left = rows - at, now = count < left ? count : left;
        const unsigned char *from = s->domain[domain].block[KIND_TOKENS][block];
        if (ids_widen(from + (size_t)at * width, width, now, ids) >= s->meta.vocab_size)
            return err_set(ERR_FORMAT,
                           "store: %s: block %llu of domain %s holds an id outside the vocabulary: "
                           "it is damaged: build the store again",
                           s->path, (unsigned long long)block, s->meta.domain[domain].name);
        ids += now;
        start += now;
        count -= now;
    }
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
        const unsigned char *block = s->domain[domain].block[KIND_TOKENS][start / rows];
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
    const unsigned char *block = s->domain[domain].block[KIND_DOCUMENTS][index / DOCS_PER_BLOCK];
    memcpy(out, block + index % DOCS_PER_BLOCK * sizeof *out, sizeof *out);
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
        return damaged(s, "the document index has a hole");
    return 0;
}

bool store_removed(const struct store *s, uint32_t domain, uint64_t index)
{
    assert(domain < s->meta.domain_count && index < s->meta.domain[domain].documents);
    return false;
}

uint64_t store_removed_count(const struct store *s, uint32_t domain)
{
    assert(domain < s->meta.domain_count);
    return 0;
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

/* ---- verification ---- */

static int block_verify(struct store *s, uint32_t domain, int kind, uint64_t block)
{
    unsigned char at[16];
    uint64_t sum;
    sum_key((uint32_t)kind, domain, block, at);
    MDB_val k = {.mv_size = sizeof at, .mv_data = at}, v;
    int found = mdb_get(s->txn, s->sums, &k, &v);
    if (found != 0 || v.mv_size != sizeof sum)
        return damaged(s, "the sum of a block is missing");
    memcpy(&sum, v.mv_data, sizeof sum);
    uint64_t bytes = block_bytes(s, domain, kind, block);
    if (hash64(s->domain[domain].block[kind][block], bytes, block) == sum)
        return 0;
    return err_set(ERR_FORMAT,
                   "store: %s: block %llu of the %s of domain %s is damaged: build the store again",
                   s->path, (unsigned long long)block, store_kind_names[kind],
                   s->meta.domain[domain].name);
}

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
            return damaged(s, "the document index is not a chain");
        next += doc.token_count;
        if (next > s->meta.domain[domain].tokens)
            return damaged(s, "the document index passes the tokens");
        TRY(store_read(s, domain, doc.token_start, 1, &first));
        if (first != s->meta.eot)
            return damaged(s, "a document does not begin with <|endoftext|>");
        bytes += doc.text_bytes;
        place = own;
    }
    if (next != s->meta.domain[domain].tokens || bytes != s->meta.domain[domain].bytes)
        return damaged(s, "the document index does not add up");
    return 0;
}

static int unigram_verify(struct store *s)
{
    enum { CHUNK = 65536 };
    int rc = 0;
    uint64_t *counts = calloc(s->meta.vocab_size, sizeof *counts);
    uint64_t *stored = malloc(s->meta.vocab_size * sizeof *stored);
    uint32_t *ids = malloc(CHUNK * sizeof *ids);
    if (!counts || !stored || !ids) {
        rc = err_set(ERR_LIMIT, "store: no memory to count tokens");
        goto out;
    }
    for (uint32_t i = 0; i < s->meta.domain_count; i++) {
        for (uint64_t at = 0, left = s->meta.domain[i].tokens; left > 0;) {
            uint32_t now = left < CHUNK ? (uint32_t)left : CHUNK;
            TRY_OUT(store_read(s, i, at, now, ids));
            for (uint32_t k = 0; k < now; k++)
                counts[ids[k]]++;
            at += now;
            left -= now;
        }
    }
    TRY_OUT(store_unigram(s, stored));
    if (memcmp(counts, stored, s->meta.vocab_size * sizeof *counts) != 0)
        rc = damaged(s, "the counts of ids are not those of its tokens");
out:
    free(counts);
    free(stored);
    free(ids);
    return rc;
}

int store_verify(struct store *s)
{
    for (uint32_t i = 0; i < s->meta.domain_count; i++)
        for (int kind = 0; kind < KIND_COUNT; kind++)
            for (uint64_t b = 0; b < s->domain[i].blocks[kind]; b++)
                TRY(block_verify(s, i, kind, b));
    for (uint32_t i = 0; i < s->meta.domain_count; i++)
        TRY(index_verify(s, i));
    return unigram_verify(s);
}

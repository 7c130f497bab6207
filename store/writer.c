/* writer - builds a store: blocks fill per domain and go to LMDB as they are full, by a thread of
 * their own (behind.c), which sums and writes them while the next ones are filled.
 *
 * Pages of the file depend on nothing but the order of operations: blocks are written when they
 * are full, transactions end after a fixed number of bytes, and the map grows by rule. Nothing else
 * gets in: LMDB clears pages that it does not fill (MDB_NOMEMINIT stays off), MDB_NOLOCK keeps
 * process numbers out. MDB_APPEND is of no use here, as interleaved domains do not come in
 * ascending keys; the leaves it would pack tighter are one page in nine thousand. */
#include "store/writing.h"

#include "core/err.h"
#include "store/behind.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define MAP_BYTES (1ull << 30)   /* first size of the map; it grows fourfold */
#define FULL_BYTES (64ull << 20) /* less free space than this, and EIO means a full disk */

uint64_t writer_txn_bytes = TXN_BYTES;
const char store_magic[8] = "SLSTORE", store_key_meta[] = "store", store_key_unigram[] = "unigram",
           store_key_origins[] = "origins", store_key_change[] = "change",
           store_db_removed[] = "removed";
const char *const store_kind_names[KIND_COUNT] = {"tokens", "documents"};

/* LMDB writes by pwrite and reports a write that came out short as EIO, also when the disk is full.
 */
int writer_fail(struct store_writer *w, int rc, const char *what)
{
    struct statvfs fs;
    w->failed = true;
    bool full = statvfs(w->place, &fs) == 0 && (uint64_t)fs.f_bavail * fs.f_frsize < FULL_BYTES;
    if (rc == ENOSPC || rc == EDQUOT || (rc == EIO && full))
        return err_set(ERR_AGAIN, "store: %s %s: disk full: free space, then run the same command",
                       what, w->place);
    return err_set(ERR_IO, "store: %s %s: %s", what, w->place, mdb_strerror(rc));
}

/* ---- opening ---- */

static int meta_check(const struct store_meta *m)
{
    if (m->domain_count < 1 || m->domain_count > STORE_DOMAINS_MAX)
        return err_set(ERR_USAGE, "store: %u domains: from 1 to %d", m->domain_count,
                       STORE_DOMAINS_MAX);
    if (m->vocab_size < 1 || m->vocab_size > STORE_VOCAB_MAX || m->eot >= m->vocab_size)
        return err_set(ERR_USAGE,
                       "store: a vocabulary of %u ids with <|endoftext|> at %u: at most %d, and "
                       "<|endoftext|> inside",
                       m->vocab_size, m->eot, STORE_VOCAB_MAX);
    for (uint32_t i = 0; i < m->domain_count; i++) {
        size_t len = strnlen(m->domain[i].name, sizeof m->domain[i].name);
        if (len == 0 || len == sizeof m->domain[i].name)
            return err_set(ERR_USAGE, "store: domain %u needs a name of 1 to %zu bytes", i,
                           sizeof m->domain[i].name - 1);
        for (uint32_t k = 0; k < i; k++)
            if (strcmp(m->domain[i].name, m->domain[k].name) == 0)
                return err_set(ERR_USAGE, "store: two domains are called %s", m->domain[i].name);
    }
    return 0;
}

/* Splits "a/b" into its folder ("a", or ".") and name. */
static int path_split(const char *path, char folder[IO_PATH_MAX], const char **name)
{
    const char *slash = strrchr(path, '/');
    *name = slash ? slash + 1 : path;
    if (!slash)
        return io_path(folder, ".");
    return io_path(folder, "%.*s", slash == path ? 1 : (int)(slash - path), path);
}

/* Removes what writers of this store left that were killed: DIR.tmp-PID of processes that are gone
 * and of which nobody holds the lock. */
static int sweep(const char *dir)
{
    char folder[IO_PATH_MAX], path[IO_PATH_MAX];
    const char *name;
    struct dirent *entry;
    int rc = 0;
    TRY(path_split(dir, folder, &name));
    DIR *listing = opendir(folder);
    if (!listing)
        return err_sys("store: list %s", folder);
    while ((entry = readdir(listing)) != NULL && rc >= 0) {
        uint64_t pid;
        size_t len = strlen(name);
        if (strncmp(entry->d_name, name, len) != 0 ||
            strncmp(entry->d_name + len, ".tmp-", 5) != 0 || !io_is_temp(entry->d_name, &pid))
            continue;
        if ((pid_t)pid != getpid() && (kill((pid_t)pid, 0) == 0 || errno == EPERM))
            continue;
        TRY_OUT(io_path(path, "%s/%s", folder, entry->d_name));
        int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
            continue;
        if (flock(fd, LOCK_EX | LOCK_NB) == 0)
            rc = io_remove_tree(path);
        close(fd);
    }
out:
    closedir(listing);
    return rc;
}

int writer_txn_begin(struct store_writer *w)
{
    w->txn_bytes = 0;
    MDB_TRY(w, mdb_txn_begin(w->env, NULL, 0, &w->txn), "begin a transaction in");
    return 0;
}

static int databases_open(struct store_writer *w)
{
    TRY(writer_txn_begin(w));
    for (int i = 0; i < KIND_COUNT; i++)
        MDB_TRY(w, mdb_dbi_open(w->txn, store_kind_names[i], MDB_CREATE, &w->kind[i]),
                "make a database in");
    MDB_TRY(w, mdb_dbi_open(w->txn, "sums", MDB_CREATE, &w->sums), "make a database in");
    MDB_TRY(w, mdb_dbi_open(w->txn, "meta", MDB_CREATE, &w->info), "make a database in");
    MDB_TRY(w, mdb_dbi_open(w->txn, store_db_removed, MDB_CREATE, &w->removed),
            "make a database in");
    return 0;
}

static int map_grow(struct store_writer *w)
{
    MDB_envinfo info;
    MDB_stat stat;
    mdb_env_info(w->env, &info);
    mdb_env_stat(w->env, &stat);
    uint64_t used = ((uint64_t)info.me_last_pgno + 1) * stat.ms_psize;
    while (used + 4 * TXN_BYTES > w->map_bytes) {
        w->map_bytes *= 4;
        MDB_TRY(w, mdb_env_set_mapsize(w->env, w->map_bytes), "grow the map of");
    }
    return 0;
}

int writer_env_open(struct store_writer *w, unsigned flags)
{
    MDB_TRY(w, mdb_env_create(&w->env), "open");
    MDB_TRY(w, mdb_env_set_maxdbs(w->env, STORE_DATABASES), "open");
    w->map_bytes = MAP_BYTES;
    MDB_TRY(w, mdb_env_set_mapsize(w->env, w->map_bytes), "set the map's size of");
    MDB_TRY(w, mdb_env_open(w->env, w->place, flags | MDB_NOLOCK | MDB_NOTLS, 0666), "open");
    TRY(map_grow(w));
    return databases_open(w);
}

static int env_create(struct store_writer *w)
{
    if (mkdir(w->temp, 0777) != 0)
        return err_sys("store: make %s", w->temp);
    w->lock = open(w->temp, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (w->lock < 0 || flock(w->lock, LOCK_EX | LOCK_NB) != 0)
        return err_sys("store: lock %s", w->temp);
    return writer_env_open(w, MDB_NOSYNC);
}

static void meta_take(struct store_writer *w, const struct store_meta *from)
{
    w->meta.version = STORE_VERSION;
    w->meta.vocab_size = from->vocab_size;
    w->meta.token_bytes = from->vocab_size <= 65536 ? 2 : 4;
    w->meta.domain_count = from->domain_count;
    w->meta.eot = from->eot;
    w->meta.tokenizer_hash = from->tokenizer_hash;
    for (uint32_t i = 0; i < from->domain_count; i++) {
        w->number[i] = i;
        memcpy(w->meta.domain[i].name, from->domain[i].name,
               strlen(from->domain[i].name)); /* the rest is zero: it goes to the file */
    }
}

int writer_new(struct store_writer **out, const char *dir)
{
    int rc = 0;
    char folder[IO_PATH_MAX];
    const char *name;
    struct store_writer *w = calloc(1, sizeof *w);
    if (!w)
        return err_set(ERR_LIMIT, "store: no memory for a writer");
    w->lock = w->writing = w->file = -1;
    w->place = w->dir;
    size_t len = strlen(dir);
    while (len > 1 && dir[len - 1] == '/')
        len--;
    TRY_OUT(io_path(w->dir, "%.*s", (int)len, dir));
    TRY_OUT(path_split(w->dir, folder, &name));
    TRY_OUT(io_mkdirs(folder));
    TRY_OUT(fs_check(folder, true));
    TRY_OUT(writer_lock(w->dir, &w->writing));
    *out = w;
    return 0;
out:
    store_abandon(w);
    return rc;
}

int store_create(struct store_writer **out, const char *dir, const struct store_meta *meta)
{
    int rc = 0;
    struct store_writer *w;
    TRY(meta_check(meta));
    TRY(writer_new(&w, dir));
    meta_take(w, meta);
    TRY_OUT(sweep(w->dir));
    w->unigram = calloc(meta->vocab_size, sizeof *w->unigram);
    if (!w->unigram) {
        rc = err_set(ERR_LIMIT, "store: no memory to count %u ids", meta->vocab_size);
        goto out;
    }
    TRY_OUT(io_path(w->temp, "%s.tmp-%d", w->dir, (int)getpid()));
    w->place = w->temp;
    TRY_OUT(env_create(w));
    TRY_OUT(behind_open(&w->behind, w));
    *out = w;
    return 0;
out:
    store_abandon(w);
    return rc;
}

/* ---- blocks ---- */

int writer_txn_commit(struct store_writer *w)
{
    MDB_txn *txn = w->txn;
    w->txn = NULL;
    MDB_TRY(w, mdb_txn_commit(txn), "write to");
    return map_grow(w);
}

int writer_txn_turn(struct store_writer *w)
{
    if (w->txn_bytes < writer_txn_bytes)
        return 0;
    TRY(writer_txn_commit(w));
    return writer_txn_begin(w);
}

int writer_put(struct store_writer *w, MDB_dbi to, const void *key, size_t key_bytes,
               const void *bytes, size_t len)
{
    MDB_val k = {.mv_size = key_bytes, .mv_data = (void *)(uintptr_t)key};
    MDB_val v = {.mv_size = len, .mv_data = (void *)(uintptr_t)bytes};
    MDB_TRY(w, mdb_put(w->txn, to, &k, &v, w->file < 0 ? MDB_NOOVERWRITE : 0), "put into");
    w->txn_bytes += len;
    return 0;
}

int writer_put_block(struct store_writer *w, uint32_t domain, uint32_t kind, uint64_t block,
                     const void *bytes, uint32_t len)
{
    unsigned char sum_at[16];
    struct block_key key = block_key(domain, block);
    uint64_t sum = hash64(bytes, len, block);
    sum_key(kind, domain, block, sum_at);
    TRY(writer_put(w, w->kind[kind], key.bytes, sizeof key.bytes, bytes, len));
    return writer_put(w, w->sums, sum_at, sizeof sum_at, &sum, sizeof sum);
}

static int block_flush(struct store_writer *w, uint32_t domain, uint32_t kind)
{
    struct filling *f = &w->domain[domain].fill[kind];
    if (f->used == 0)
        return 0;
    if (f->block < w->domain[domain].old_blocks[kind]) {
        unsigned char *held = malloc(STORE_BLOCK_BYTES);
        if (!held) {
            w->failed = true;
            return err_set(ERR_LIMIT, "store: no memory for a block of domain %s",
                           w->meta.domain[domain].name);
        }
        w->domain[domain].held[kind] = f->bytes;
        f->bytes = held;
        f->used = 0;
        f->block++;
        return 0;
    }
    if (w->behind)
        TRY(behind_put(w->behind, domain, kind, f->block, &f->bytes, f->used));
    else
        TRY(writer_put_block(w, domain, kind, f->block, f->bytes, f->used));
    f->used = 0;
    f->block++;
    return w->behind ? 0 : writer_txn_turn(w);
}

static uint32_t ids_most(const uint32_t *ids, uint32_t count)
{
    uint32_t greatest = 0;
    for (uint32_t i = 0; i < count; i++)
        greatest = ids[i] > greatest ? ids[i] : greatest;
    return greatest;
}

/* Writes count ids in 2 bytes each and returns the greatest. The inner loop has a fixed count, so
 * that the compiler makes vectors of it; it has no instruction for the greater of two u32 in the
 * first x86-64, so that those of 2 bytes are compared, and the others only noticed. */
static uint32_t ids_narrow(const uint32_t *restrict ids, uint32_t count, uint16_t *restrict to)
{
    enum { LANES = 32 };
    uint32_t wide[LANES] = {0}, greatest = 0, any = 0;
    uint16_t most[LANES] = {0};
    size_t i = 0;
    for (; i + LANES <= count; i += LANES)
        for (size_t k = 0; k < LANES; k++) {
            uint16_t id = (uint16_t)ids[i + k];
            wide[k] |= ids[i + k];
            most[k] = id > most[k] ? id : most[k];
            to[i + k] = id;
        }
    for (; i < count; i++) {
        any |= ids[i];
        greatest = ids[i] > greatest ? ids[i] : greatest;
        to[i] = (uint16_t)ids[i];
    }
    for (size_t k = 0; k < LANES; k++) {
        any |= wide[k];
        greatest = most[k] > greatest ? most[k] : greatest;
    }
    return any > UINT16_MAX ? ids_most(ids, count) : greatest;
}

/* Converts count ids into the token block and counts them, unless that is done with the block. */
static int tokens_put(struct store_writer *w, uint32_t domain, const uint32_t *ids, uint32_t count)
{
    struct filling *f = &w->domain[domain].fill[KIND_TOKENS];
    uint32_t width = w->meta.token_bytes, vocab = w->meta.vocab_size;
    while (count) {
        uint32_t room = (STORE_BLOCK_BYTES - f->used) / width, now = count < room ? count : room;
        unsigned char *to = f->bytes + f->used;
        uint32_t greatest =
            width == 2 ? ids_narrow(ids, now, (uint16_t *)(void *)to) : ids_most(ids, now);
        if (width == 4)
            memcpy(to, ids, (size_t)now * sizeof *ids);
        if (greatest >= vocab) {
            w->failed = true;
            return err_set(ERR_FORMAT,
                           "store: token id %u is outside the vocabulary of %u: another tokenizer "
                           "wrote it",
                           greatest, vocab);
        }
        for (uint32_t i = 0; i < now && !w->behind; i++)
            w->unigram[ids[i]]++;
        f->used += now * width;
        ids += now;
        count -= now;
        if (f->used == STORE_BLOCK_BYTES)
            TRY(block_flush(w, domain, KIND_TOKENS));
    }
    return 0;
}

static int append_check(struct store_writer *w, uint32_t domain, const struct store_doc *doc)
{
    const struct store_doc *last = &w->domain[domain].last;
    uint64_t place = (uint64_t)doc->item << 32 | doc->record;
    if (w->meta.domain[domain].documents > 0 &&
        place <= ((uint64_t)last->item << 32 | last->record)) {
        w->failed = true;
        return err_set(ERR_FORMAT,
                       "store: document %u:%u of domain %s comes after %u:%u: documents must come "
                       "in ascending place",
                       doc->item, doc->record, w->meta.domain[domain].name, last->item,
                       last->record);
    }
    if (doc->token_count == UINT32_MAX) {
        w->failed = true;
        return err_set(ERR_LIMIT, "store: document %u:%u has %u tokens, one less is the most",
                       doc->item, doc->record, doc->token_count);
    }
    for (int i = 0; i < KIND_COUNT; i++) {
        if (w->domain[domain].fill[i].bytes)
            continue;
        w->domain[domain].fill[i].bytes = malloc(STORE_BLOCK_BYTES);
        if (!w->domain[domain].fill[i].bytes) {
            w->failed = true;
            return err_set(ERR_LIMIT, "store: no memory for a block of domain %s",
                           w->meta.domain[domain].name);
        }
    }
    return 0;
}

int store_append(struct store_writer *w, uint32_t domain, const struct store_doc *doc,
                 const uint32_t *ids)
{
    assert(domain < w->meta.domain_count);
    assert(!w->failed || w->behind);
    domain = w->number[domain];
    TRY(append_check(w, domain, doc));
    struct store_doc row = *doc;
    row.token_start = w->meta.domain[domain].tokens;
    row.token_count = doc->token_count + 1;
    row.lang_score = isnan(doc->lang_score) ? NAN : doc->lang_score; /* of all NaNs one */
    row.score = isnan(doc->score) ? NAN : doc->score;
    TRY(tokens_put(w, domain, &w->meta.eot, 1));
    TRY(tokens_put(w, domain, ids, doc->token_count));
    struct filling *f = &w->domain[domain].fill[KIND_DOCUMENTS];
    uint32_t bytes = doc_bytes(w->meta.version);
    memcpy(f->bytes + f->used, &row, bytes);
    f->used += bytes;
    if (f->used == docs_per_block(w->meta.version) * bytes)
        TRY(block_flush(w, domain, KIND_DOCUMENTS));
    w->meta.domain[domain].tokens += row.token_count;
    w->meta.domain[domain].documents++;
    w->meta.domain[domain].bytes += row.text_bytes;
    w->domain[domain].last = row;
    return 0;
}

/* ---- the end ---- */

int writer_put_info(struct store_writer *w, const char *key, void *bytes, size_t len)
{
    uint64_t sum = hash64(bytes, len, 0);
    memcpy((char *)bytes + len, &sum, sizeof sum);
    return writer_put(w, w->info, key, strlen(key), bytes, len + sizeof sum);
}

/* A copy of len bytes with a sum behind. */
static int copy_put(struct store_writer *w, const char *key, const void *from, size_t len)
{
    unsigned char *bytes = malloc(len + sizeof(uint64_t));
    if (!bytes)
        return err_set(ERR_LIMIT, "store: no memory for %zu bytes of %s", len, key);
    memcpy(bytes, from, len);
    int rc = writer_put_info(w, key, bytes, len);
    free(bytes);
    return rc;
}

int writer_put_meta(struct store_writer *w)
{
    struct {
        struct meta_disk meta;
        uint64_t sum;
    } disk = {0};
    struct meta_disk *m = &disk.meta;
    memcpy(m->magic, store_magic, sizeof m->magic);
    m->version = w->meta.version;
    m->token_bytes = w->meta.token_bytes;
    m->vocab_size = w->meta.vocab_size;
    m->domain_count = w->meta.domain_count;
    m->eot = w->meta.eot;
    m->tokenizer_hash = w->meta.tokenizer_hash;
    for (uint32_t i = 0; i < w->meta.domain_count; i++) {
        memcpy(m->domain[i].name, w->meta.domain[i].name, sizeof m->domain[i].name);
        m->domain[i].tokens = w->meta.domain[i].tokens;
        m->domain[i].documents = w->meta.domain[i].documents;
        m->domain[i].bytes = w->meta.domain[i].bytes;
    }
    size_t len = offsetof(struct meta_disk, domain) + m->domain_count * sizeof m->domain[0];
    TRY(writer_put_info(w, store_key_meta, &disk, len));
    TRY(copy_put(w, store_key_unigram, w->unigram, w->meta.vocab_size * sizeof *w->unigram));
    return w->origin_count
               ? copy_put(w, store_key_origins, w->origin, w->origin_count * sizeof *w->origin)
               : 0;
}

/* Puts temp in dir's place: swapped in one step where the file system can; else with a moment in
 * which there is nothing at dir. */
static int replace_dir(struct store_writer *w)
{
    char old[IO_PATH_MAX], folder[IO_PATH_MAX];
    const char *name;
    TRY(path_split(w->dir, folder, &name));
    TRY(io_path(old, "%s.old.tmp-%d", w->dir, (int)getpid()));
    bool there = io_exists(w->dir);
    if (there && renameat2(AT_FDCWD, w->temp, AT_FDCWD, w->dir, RENAME_EXCHANGE) == 0) {
        TRY(io_sync_dir(folder));
        return io_remove_tree(w->temp);
    }
    if (there && rename(w->dir, old) != 0)
        return err_sys("store: rename %s to %s", w->dir, old);
    if (rename(w->temp, w->dir) != 0)
        return err_sys("store: rename %s to %s", w->temp, w->dir);
    TRY(io_sync_dir(folder));
    return there ? io_remove_tree(old) : 0;
}

static int create_finish(struct store_writer *w, struct io_info *info)
{
    char path[IO_PATH_MAX];
    for (uint32_t i = 0; i < w->meta.domain_count; i++)
        for (uint32_t kind = 0; kind < KIND_COUNT; kind++)
            TRY(block_flush(w, i, kind));
    struct behind *behind = w->behind;
    w->behind = NULL;
    TRY(behind_end(behind));
    TRY(writer_put_meta(w));
    TRY(writer_txn_commit(w));
    MDB_TRY(w, mdb_env_sync(w->env, 1), "sync");
    mdb_env_close(w->env);
    w->env = NULL;
    TRY(io_sync_dir(w->temp));
    TRY(replace_dir(w));
    w->temp[0] = 0;
    if (!info)
        return 0;
    TRY(io_path(path, "%s/" STORE_FILE, w->dir));
    return io_hash_file(path, info);
}

int store_commit(struct store_writer *w, struct io_info *info)
{
    char path[IO_PATH_MAX];
    int rc;
    assert(!w->failed || w->behind);
    if (w->file < 0) {
        rc = create_finish(w, info);
    } else {
        rc = extend_finish(w);
        if (rc >= 0 && info) {
            *info = (struct io_info){0};
            rc = io_path(path, "%s/" STORE_FILE, w->dir);
            if (rc >= 0)
                rc = io_size(path, &info->bytes);
        }
    }
    store_abandon(w);
    return rc;
}

/* Also frees what a commit left. The pending error stays. */
void store_abandon(struct store_writer *w)
{
    if (!w)
        return;
    behind_abandon(w->behind);
    if (w->txn)
        mdb_txn_abort(w->txn);
    w->txn = NULL;
    if (w->env && w->appends)
        extend_undo(w);
    if (w->env)
        mdb_env_close(w->env);
    if (w->temp[0] && w->lock >= 0)
        io_remove_tree(w->temp);
    if (w->lock >= 0)
        close(w->lock);
    if (w->file >= 0)
        close(w->file);
    writer_unlock(w->dir, w->writing);
    for (uint32_t i = 0; i < STORE_DOMAINS_MAX; i++)
        for (int kind = 0; kind < KIND_COUNT; kind++) {
            free(w->domain[i].fill[kind].bytes);
            free(w->domain[i].held[kind]);
        }
    free(w->origin);
    free(w->unigram);
    free(w);
}

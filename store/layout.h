/* layout - inside store: what lies in which LMDB database, and the check of its pages. */
#ifndef SLUICE_STORE_LAYOUT_H
#define SLUICE_STORE_LAYOUT_H
#include "store/store.h"

#include <lmdb.h>
#include <stdatomic.h>
#include <stddef.h>

/* Named databases of data.mdb; numbers are little-endian but in keys, where they sort big-endian.
 *   meta       "store" -> struct meta_disk, "unigram" -> vocab_size u64, "origins" -> struct
 *              store_origin each (absent: none), "change" -> u32 enum change_kind while a change in
 *              place is under way; an XXH3-64 ends each
 *   tokens     (domain u32, block u64) -> STORE_BLOCK_BYTES of ids, the last of a domain shorter
 *   documents  (domain u32, block u64) -> docs_per_block struct store_doc, the last shorter (in
 *              front of version 3 without what begins at lang)
 *   sums       (kind u32, domain u32, block u64) -> XXH3-64 of that block
 *   removed    (domain u32, block u64 of documents) -> struct removed_disk and its XXH3-64, for
 *              blocks in which a document was removed (since version 2)
 * The values of tokens and documents go to runs of 64 pages of their own. While a change is under
 * way there may be blocks beyond the counts of meta: an append that was killed left them, and they
 * are no part of the store. */
enum {
    STORE_VERSION_OLDEST = 1,
    STORE_VERSION_REMOVED = 2, /* has the database of what was removed */
    STORE_VERSION_LANG = 3,    /* documents have language and scores */
    STORE_VERSION = STORE_VERSION_LANG,
};
static inline uint32_t doc_bytes(uint32_t version)
{
    return version < STORE_VERSION_LANG ? (uint32_t)offsetof(struct store_doc, lang)
                                        : (uint32_t)sizeof(struct store_doc);
}
static inline uint32_t docs_per_block(uint32_t version)
{
    return STORE_BLOCK_BYTES / doc_bytes(version);
}
enum { DOCS_PER_BLOCK_MAX = STORE_BLOCK_BYTES / offsetof(struct store_doc, lang) };
enum block_kind { KIND_TOKENS, KIND_DOCUMENTS, KIND_COUNT };
enum { STORE_DATABASES = KIND_COUNT + 3 };
enum change_kind { CHANGE_NONE, CHANGE_APPEND, CHANGE_REMOVE, CHANGE_KINDS };
#define STORE_FILE "data.mdb"
/* The remedy in messages about damage. */
#define STORE_REBUILD                                                                              \
    "build the store again (a run: delete its done/store and run it again; an import: import "     \
    "again)"

/* In the file only the first domain_count rows are written. */
struct meta_disk {
    char magic[8];
    uint32_t version, token_bytes, vocab_size, domain_count, eot, zero;
    struct hash128 tokenizer_hash;
    struct {
        char name[48];
        uint64_t tokens, documents, bytes;
    } domain[STORE_DOMAINS_MAX];
};
/* Tokens and bytes are those of the documents whose bit is set (document i: byte i / 8, bit i % 8).
 */
struct removed_disk {
    uint64_t tokens, bytes;
    unsigned char bits[(DOCS_PER_BLOCK_MAX + 7) / 8];
};
_Static_assert(sizeof(struct removed_disk) == 2 * 8 + 1024, "no padding on the disk");
_Static_assert(sizeof(struct store_doc) == 48, "no padding on the disk");
extern const char store_magic[8], store_key_meta[], store_key_unigram[], store_key_origins[],
    store_key_change[], store_db_removed[];
extern const char *const store_kind_names[KIND_COUNT];

struct block_key {
    unsigned char bytes[12];
};
static inline void key_put(unsigned char *to, uint64_t value, int bytes)
{
    for (int i = bytes - 1; i >= 0; i--, value >>= 8)
        to[i] = (unsigned char)value;
}
static inline struct block_key block_key(uint32_t domain, uint64_t block)
{
    struct block_key k;
    key_put(k.bytes, domain, 4);
    key_put(k.bytes + 4, block, 8);
    return k;
}
static inline void sum_key(uint32_t kind, uint32_t domain, uint64_t block, unsigned char to[16])
{
    key_put(to, kind, 4);
    key_put(to + 4, domain, 4);
    key_put(to + 8, block, 8);
}

/* ---- the reader (store/store.c), as store/verify.c and those who change a store see it ---- */
struct block_table {
    const unsigned char **at;  /* in the map, but for small */
    uint64_t *sum;             /* XXH3-64 as the file has it */
    _Atomic uint64_t *checked; /* a bit a block: it was compared with its sum */
    uint64_t count;
    unsigned char
        *small; /* copy of a last block that lies inside a leaf, where it is not aligned */
};
struct store {
    char path[IO_PATH_MAX];
    int fd; /* of the file, locked for as long as the store is open */
    MDB_env *env;
    MDB_txn *txn;
    MDB_dbi kind[KIND_COUNT], sums, info, removed;
    struct store_meta meta;
    struct hash128 identity;
    enum change_kind change; /* one that was not finished */
    struct store_origin *origin;
    uint32_t origin_count;
    struct {
        struct block_table table[KIND_COUNT];
        struct removed_disk **removed; /* by block of documents, NULL where none was; or NULL */
    } domain[STORE_DOMAINS_MAX];
};
/* As store_open, for who holds the file's lock already. */
int store_open_locked(struct store **out, const char *dir);
uint64_t block_bytes(const struct store *s, uint32_t domain, int kind, uint64_t block);
/* Of its documents, by its version. */
static inline uint32_t store_doc_rows(const struct store *s)
{
    return docs_per_block(s->meta.version);
}
/* Reads a block and compares it with its sum, whether that was done before or not. */
int block_check(struct store *s, uint32_t domain, int kind, uint64_t block);
/* Asks the disk for a block without waiting; one behind the last is nothing. */
void block_ahead(const struct store *s, uint32_t domain, int kind, uint64_t block);
int store_damaged(const struct store *s, const char *what);

/* ---- locks (store/lock.c) ---- */
/* What reads a store holds a shared lock on its file; flock, as it goes when its process does. */
int reader_lock(const char *dir, const char *path, int fd);
/* Who changes the file in place holds it alone: ERR_AGAIN naming the readers. */
int changer_lock(const char *path, int fd);
/* Who writes a store in any way holds DIR.lock, in which it says who it is; ERR_AGAIN naming who
 * does. */
int writer_lock(const char *dir, int *fd);
void writer_unlock(const char *dir, int fd); /* -1 is fine */
/* ERR_USAGE when path, or the folder it would be in, lies on a network file system, where maps and
 * locks fail in ways that nobody is told of. Reading is let through with SLUICE_NETWORK_STORE=1. */
int fs_check(const char *path, bool writing);
/* statfs's f_type of a path, 0 when unknown; tests put another in its place. */
extern uint64_t (*fs_type)(const char *path);
/* Its name among the mounts, "fuse.sshfs" or ""; tests put another in its place. */
enum { FS_KIND_MAX = 64 };
extern void (*fs_kind)(const char *path, char to[FS_KIND_MAX]);

/* Walks the trees of an LMDB file (format 1 of LMDB 0.9) by reads, not by a map: every page, node,
 * key and value must lie where it may. ERR_FORMAT naming the first page that does not. */
int pages_check(const char *path, int fd);
/* Checks that no page has two owners, or is listed as free and is not, either of which would be the
 * end of the store at its next change. PAGES_LOOK also counts the pages that no tree holds, and how
 * many of them are not zeros, those behind the last page of the trees included; after PAGES_WIPE
 * they are zeros (or cut off), on the disk. The file must be nobody else's. */
enum pages_what { PAGES_OWNERS, PAGES_LOOK, PAGES_WIPE };
struct pages_free {
    uint64_t pages, count, dirty;
};
int pages_free(const char *path, int fd, enum pages_what what, struct pages_free *out);
#endif

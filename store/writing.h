/* writing - inside store: a writer's state, for who builds a store (writer.c), appends to one
 * (extend.c) or removes from one (change.c). */
#ifndef SLUICE_STORE_WRITING_H
#define SLUICE_STORE_WRITING_H
#include "store/layout.h"

#define TXN_BYTES (64ull << 20)    /* of blocks in one transaction: what it holds in memory */
extern uint64_t writer_txn_bytes; /* TXN_BYTES, or what a test put here to have many */

struct filling {
    unsigned char *bytes; /* NULL until the domain's first document */
    uint32_t used;
    uint64_t block; /* number of the one being filled */
};
struct store_writer {
    char dir[IO_PATH_MAX], temp[IO_PATH_MAX];
    const char *place; /* folder of the environment: temp, or dir where it is changed in place */
    int writing;       /* fd of dir.lock */
    int lock;          /* fd of temp, locked: tells sweepers that we live */
    int file;          /* fd of data.mdb while it is changed in place, locked: keeps readers away */
    MDB_env *env;
    MDB_txn *txn;
    MDB_dbi kind[KIND_COUNT], sums, info, removed;
    uint64_t txn_bytes, map_bytes;
    _Atomic bool failed; /* set by the thread of `behind` too; told by its calls */
    bool appends;
    struct behind *behind; /* puts the blocks of a new store; NULL: they are put at once */
    struct store_meta meta;
    struct {
        struct filling fill[KIND_COUNT];
        struct store_doc last;
        /* Appending: blocks and documents that the store has; the last block, once it is full,
         * waits for the last transaction, as meta does not count what it holds before. */
        uint64_t old_blocks[KIND_COUNT], old_documents;
        unsigned char *held[KIND_COUNT];
    } domain[STORE_DOMAINS_MAX];
    uint32_t number[STORE_DOMAINS_MAX]; /* of a domain in the store, by the caller's number */
    struct store_origin *origin;
    uint32_t origin_count;
    uint64_t *unigram;
};

/* A writer of nothing yet for dir, whose folder exists and can be written, under DIR.lock. */
int writer_new(struct store_writer **out, const char *dir);
/* Takes the file of the store at dir for itself, checks it, and opens it for reading. w->env is not
 * open yet; close *s before it changes anything. */
int writer_take(struct store_writer *w, struct store **s);
/* Opens the environment at w->place and begins a transaction with all databases in it. */
int writer_env_open(struct store_writer *w, unsigned flags);
/* Error of a call of LMDB; fails w. */
int writer_fail(struct store_writer *w, int rc, const char *what);
int writer_txn_begin(struct store_writer *w);
/* Ends the transaction; afterwards the map has room for another one. */
int writer_txn_commit(struct store_writer *w);
/* As a transaction that holds enough ends and the next begins. */
int writer_txn_turn(struct store_writer *w);
int writer_put(struct store_writer *w, MDB_dbi to, const void *key, size_t key_bytes,
               const void *bytes, size_t len);
int writer_put_block(struct store_writer *w, uint32_t domain, uint32_t kind, uint64_t block,
                     const void *bytes, uint32_t len);
/* A value of the meta database; bytes has room for the sum behind len. */
int writer_put_info(struct store_writer *w, const char *key, void *bytes, size_t len);
/* meta, counts of ids and origins. */
int writer_put_meta(struct store_writer *w);
int writer_put_change(struct store_writer *w, enum change_kind change); /* CHANGE_NONE: ends it */
/* Blocks beyond the counts of meta, and what notes them. */
int writer_drop_leftovers(struct store_writer *w);
/* Ends what store_extend began: the last transaction. */
int extend_finish(struct store_writer *w);
/* After an error: the store as it was, if that can still be had. */
void extend_undo(struct store_writer *w);

#define MDB_TRY(w, call, what)                                                                     \
    do {                                                                                           \
        int mdb_rc_ = (call);                                                                      \
        if (mdb_rc_ != 0)                                                                          \
            return writer_fail(w, mdb_rc_, what);                                                  \
    } while (0)
#endif

/* behind - a thread that counts and sums full blocks and puts them into LMDB while the next ones
 * are filled. */
#include "store/behind.h"

#include "core/err.h"
#include "core/pool.h"

#include <pthread.h>
#include <stdlib.h>

enum { BEHIND_ERROR_MAX = 1024 };

struct full {
    unsigned char *bytes; /* STORE_BLOCK_BYTES */
    uint64_t number;
    uint32_t domain, kind, len;
};
struct behind {
    struct store_writer *writer;
    struct queue *work, *idle; /* of struct full; all of block[] are in one of them or in a hand */
    struct full block[BEHIND_BLOCKS];
    pthread_t thread;
    _Atomic int rc; /* of the first that failed; written behind error[] */
    char error[BEHIND_ERROR_MAX];
};

static void count_ids(struct store_writer *w, const struct full *f)
{
    const void *ids = f->bytes;
    uint32_t count = f->len / w->meta.token_bytes;
    if (w->meta.token_bytes == 2)
        for (uint32_t i = 0; i < count; i++)
            w->unigram[((const uint16_t *)ids)[i]]++;
    else
        for (uint32_t i = 0; i < count; i++)
            w->unigram[((const uint32_t *)ids)[i]]++;
}

static int put_full(struct store_writer *w, const struct full *f)
{
    if (f->kind == KIND_TOKENS)
        count_ids(w, f);
    TRY(writer_put_block(w, f->domain, f->kind, f->number, f->bytes, f->len));
    return writer_txn_turn(w);
}

/* After an error blocks go back unwritten, so that who fills them never waits in vain. */
static void *put_all(void *arg)
{
    struct behind *b = arg;
    struct full *f;
    while ((f = queue_take(b->work)) != NULL) {
        bool failed = atomic_load_explicit(&b->rc, memory_order_relaxed) != 0;
        int rc = failed ? 0 : put_full(b->writer, f);
        if (rc < 0) {
            err_copy_to(b->error, sizeof b->error);
            atomic_store_explicit(&b->rc, rc, memory_order_release);
        }
        queue_put(b->idle, f);
    }
    return NULL;
}

static void behind_free(struct behind *b)
{
    if (b->work)
        queue_close(b->work);
    if (b->idle)
        queue_close(b->idle);
    for (int i = 0; i < BEHIND_BLOCKS; i++)
        free(b->block[i].bytes);
    free(b);
}

int behind_open(struct behind **out, struct store_writer *w)
{
    int rc = 0;
    struct behind *b = calloc(1, sizeof *b);
    *out = NULL;
    if (!b)
        return err_set(ERR_LIMIT, "store: no memory for a writer");
    b->writer = w;
    TRY_OUT(queue_open(&b->work, BEHIND_BLOCKS));
    TRY_OUT(queue_open(&b->idle, BEHIND_BLOCKS));
    for (int i = 0; i < BEHIND_BLOCKS; i++) {
        b->block[i].bytes = malloc(STORE_BLOCK_BYTES);
        TRY_OUT(b->block[i].bytes ? 0 : err_set(ERR_LIMIT, "store: no memory for blocks"));
        queue_put(b->idle, &b->block[i]);
    }
    if (pthread_create(&b->thread, NULL, put_all, b) == 0) {
        *out = b;
        return 0;
    }
out:
    behind_free(b);
    return rc;
}

static int behind_error(const struct behind *b)
{
    int rc = atomic_load_explicit(&b->rc, memory_order_acquire);
    return rc < 0 ? err_set(rc, "%s", b->error) : 0;
}

int behind_put(struct behind *b, uint32_t domain, uint32_t kind, uint64_t block,
               unsigned char **bytes, uint32_t len)
{
    TRY(behind_error(b));
    struct full *f = queue_take(b->idle);
    unsigned char *empty = f->bytes;
    f->bytes = *bytes;
    *bytes = empty;
    f->domain = domain;
    f->kind = kind;
    f->number = block;
    f->len = len;
    queue_put(b->work, f);
    return 0;
}

static void behind_join(struct behind *b)
{
    queue_shut(b->work);
    pthread_join(b->thread, NULL);
}

int behind_end(struct behind *b)
{
    if (!b)
        return 0;
    behind_join(b);
    int rc = behind_error(b);
    behind_free(b);
    return rc;
}

void behind_abandon(struct behind *b)
{
    if (!b)
        return;
    behind_join(b);
    behind_free(b);
}

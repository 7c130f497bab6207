/* token_file - tokens on their way from pass 2 to the store. */
#include "command/token_file.h"

#include "core/err.h"

#include <math.h>
#include <stddef.h>
#include <stdlib.h>

/* By version, from 1: "STK1", ... and bytes of a document's head. */
enum { MAGIC_BEFORE_1 = 0x304B5453, MAGIC_STEP = 1 << 24, VERSION = 3, VERSION_SUM = 2 };
static const uint32_t head_bytes[VERSION + 1] = {0, offsetof(struct token_head, sum),
                                                 offsetof(struct token_head, lang),
                                                 sizeof(struct token_head)};
_Static_assert(sizeof(struct token_head) == 48, "no padding in the file");

static uint32_t width_of(uint32_t vocab_size) { return vocab_size <= 65536 ? 2 : 4; }

static uint64_t sum_of(const struct token_head *head, uint32_t version, const void *ids, size_t len)
{
    struct token_head bare = *head;
    bare.sum = 0;
    return hash64(ids, len, hash64(&bare, head_bytes[version], 0));
}

int token_file_begin(struct io_writer *w, uint32_t vocab_size)
{
    const uint32_t begin[2] = {MAGIC_BEFORE_1 + VERSION * MAGIC_STEP, width_of(vocab_size)};
    return io_write(w, begin, sizeof begin);
}

int token_file_put(struct io_writer *w, uint32_t vocab_size, struct token_head *head, uint32_t *ids)
{
    uint32_t width = width_of(vocab_size);
    unsigned char *bytes = (unsigned char *)ids;
    for (uint32_t i = 0; width == 2 && i < head->count; i++) {
        uint16_t id = (uint16_t)ids[i];
        memcpy(bytes + 2 * (size_t)i, &id, sizeof id); /* behind it nothing is left unread */
    }
    head->sum = sum_of(head, VERSION, bytes, (size_t)head->count * width);
    TRY(io_write(w, head, sizeof *head));
    return io_write(w, bytes, (size_t)head->count * width);
}

/* ---- reading ---- */
struct token_file {
    char path[IO_PATH_MAX];
    struct io_reader *in;
    uint32_t width, version;
    uint32_t *ids;
    unsigned char *bytes; /* as stored; the ids themselves where they have 4 bytes */
    uint32_t max;         /* ids there is room for */
};

/* 1: len bytes; 0: the file ended in front of them. */
static int read_exact(struct token_file *f, void *to, size_t len)
{
    size_t have = 0;
    while (have < len) {
        int64_t got = io_read(f->in, (char *)to + have, len - have);
        if (got < 0)
            return (int)got;
        if (got == 0)
            return have ? err_set(ERR_FORMAT, "%s ends inside a document: delete it and run again",
                                  f->path)
                        : 0;
        have += (size_t)got;
    }
    return 1;
}

int token_file_open(struct token_file **out, const char *run_dir, uint32_t item)
{
    char old[IO_PATH_MAX];
    uint32_t begin[2] = {0};
    int rc = 0;
    struct token_file *f = calloc(1, sizeof *f);
    if (!f)
        return err_set(ERR_LIMIT, "tokens: no memory");
    TRY_OUT(io_path(f->path, "%s/tokens/%05u.bin", run_dir, item));
    TRY_OUT(io_path(old, "%s/tokens/%05u.zst", run_dir, item));
    if (!io_exists(f->path) && io_exists(old))
        memcpy(f->path, old, sizeof old);
    TRY_OUT(io_open(&f->in, f->path));
    TRY_OUT(read_exact(f, begin, sizeof begin[0]));
    f->version = (begin[0] - MAGIC_BEFORE_1) / MAGIC_STEP;
    f->width = 4;
    if (f->version >= VERSION_SUM && f->version <= VERSION) {
        TRY_OUT(read_exact(f, &begin[1], sizeof begin[1]));
        f->width = begin[1];
    }
    if (f->version < 1 || f->version > VERSION ||
        begin[0] != MAGIC_BEFORE_1 + f->version * MAGIC_STEP || (f->width != 2 && f->width != 4)) {
        rc = err_set(ERR_FORMAT, "%s is no token file: delete it and run again", f->path);
        goto out;
    }
    *out = f;
    return 0;
out:
    token_file_close(f);
    return rc;
}

static int room_for(struct token_file *f, uint32_t count)
{
    if (count <= f->max)
        return 0;
    uint32_t *ids = realloc(f->ids, sizeof *ids * count);
    f->ids = ids ? ids : f->ids;
    unsigned char *bytes = ids && f->width == 2 ? realloc(f->bytes, (size_t)2 * count) : f->bytes;
    f->bytes = bytes ? bytes : f->bytes;
    if (!ids || (f->width == 2 && !bytes))
        return err_set(ERR_LIMIT, "%s: no memory for a document of %u tokens", f->path, count);
    f->max = count;
    return 0;
}

/* The inner loop has a fixed count, so that the compiler makes vectors of it. */
static void ids_widen(const uint16_t *restrict from, size_t count, uint32_t *restrict to)
{
    enum { LANES = 32 };
    for (; count >= LANES; count -= LANES, from += LANES, to += LANES)
        for (size_t k = 0; k < LANES; k++)
            to[k] = from[k];
    for (size_t k = 0; k < count; k++)
        to[k] = from[k];
}

int token_file_next(struct token_file *f, struct token_head *head, const uint32_t **ids)
{
    int rc;
    *head = (struct token_head){.lang_score = NAN, .score = NAN};
    if ((rc = read_exact(f, head, head_bytes[f->version])) <= 0)
        return rc;
    if (head->count > TOKEN_FILE_COUNT_MAX)
        return err_set(ERR_FORMAT, "%s: record %u is damaged: delete the file and run again",
                       f->path, head->record);
    TRY(room_for(f, head->count));
    unsigned char *bytes = f->width == 2 ? f->bytes : (unsigned char *)f->ids;
    size_t len = (size_t)head->count * f->width;
    TRY(rc = len ? read_exact(f, bytes, len) : 1);
    if (rc == 0 || (f->version >= VERSION_SUM && head->sum != sum_of(head, f->version, bytes, len)))
        return err_set(ERR_FORMAT, "%s: record %u is %s: delete the file and run again", f->path,
                       head->record, rc ? "damaged" : "cut");
    if (f->width == 2)
        ids_widen((const void *)bytes, head->count, f->ids);
    *ids = f->ids;
    return 1;
}

void token_file_close(struct token_file *f)
{
    if (!f)
        return;
    io_close(f->in);
    free(f->ids);
    free(f->bytes);
    free(f);
}

/* survivors - the URLs of documents that stand for a cluster, so that a dropped duplicate can name
 * its copy. */
#include "command/run.h"
#include "core/err.h"

#include <stdlib.h>

struct survivor {
    struct dedup_key key;
    uint32_t start, len;
};
struct survivors {
    struct survivor *row;
    uint64_t count;
    char *bytes;
    size_t len;
};
enum { SURVIVORS_MAGIC = 0x31565253 };

static int by_key(const void *a, const void *b)
{
    const struct dedup_key *x = a, *y = b;
    if (x->item != y->item)
        return x->item < y->item ? -1 : 1;
    return x->record < y->record ? -1 : x->record > y->record;
}

bool survivor_is(const struct cluster_row *row) { return by_key(&row->doc, &row->survivor) == 0; }

static int survivor_keys(const struct clusters *c, struct dedup_key **out, uint64_t *count)
{
    uint64_t rows = clusters_count(c), kept = 0;
    struct dedup_key *key = calloc(rows ? rows : 1, sizeof *key);
    if (!key)
        return err_set(ERR_LIMIT, "clusters: no memory for %llu rows", (unsigned long long)rows);
    for (uint64_t i = 0; i < rows; i++) {
        const struct cluster_row *row = clusters_at(c, i);
        if (survivor_is(row))
            key[kept++] = row->doc; /* rows are sorted by place */
    }
    *out = key;
    *count = kept;
    return 0;
}

static int survivors_item(struct run *r, struct io_writer *w, uint32_t item,
                          const struct dedup_key *key, uint64_t count)
{
    char path[IO_PATH_MAX];
    struct spool_reader *spool;
    struct spool_doc d;
    uint64_t next = 0;
    TRY(io_path(path, "%s/spool/%05u.zst", r->dir, item));
    TRY(spool_open(&spool, path, r->recipe->schema.signal_count));
    int rc = 0;
    while (next < count && (rc = spool_next(spool, &d)) > 0) {
        if (d.record != key[next].record)
            continue;
        uint32_t head[3] = {item, d.record, (uint32_t)d.url.len};
        if ((rc = io_write(w, head, sizeof head)) < 0 || (rc = io_write_str(w, d.url)) < 0)
            break;
        next++;
    }
    spool_close(spool);
    if (rc >= 0 && next < count)
        return err_set(ERR_FORMAT, "%s: record %u of the clusters is not in the spool", path,
                       key[next].record);
    return rc < 0 ? rc : 0;
}

int survivors_write(struct run *r, const struct clusters *c, const char *path, struct io_info *info)
{
    struct dedup_key *key = NULL;
    struct io_writer *w = NULL;
    uint64_t count = 0;
    uint32_t magic = SURVIVORS_MAGIC;
    int rc;
    TRY(survivor_keys(c, &key, &count));
    TRY_OUT(io_create(&w, path, IO_ZSTD, 1));
    TRY_OUT(io_write(w, &magic, sizeof magic));
    for (uint64_t from = 0, to; from < count; from = to) {
        for (to = from; to < count && key[to].item == key[from].item; to++)
            ;
        TRY_OUT(survivors_item(r, w, key[from].item, key + from, to - from));
    }
    rc = io_commit(w, info);
    w = NULL;
out:
    io_abandon(w);
    free(key);
    return rc;
}

static int survivors_parse(struct survivors *s, const char *path)
{
    uint32_t head[3], magic;
    if (s->len < 4 || (memcpy(&magic, s->bytes, 4), magic != SURVIVORS_MAGIC))
        return err_set(ERR_FORMAT, "%s: not a list of survivors: delete it and run again", path);
    for (int pass = 0; pass < 2; pass++) {
        uint64_t count = 0;
        for (size_t at = 4; at < s->len; count++) {
            if (s->len - at < sizeof head)
                return err_set(ERR_FORMAT, "%s: cut at byte %zu", path, at);
            memcpy(head, s->bytes + at, sizeof head);
            at += sizeof head;
            if (head[2] > s->len - at)
                return err_set(ERR_FORMAT, "%s: cut at byte %zu", path, at);
            if (pass)
                s->row[count] = (struct survivor){{head[0], head[1]}, (uint32_t)at, head[2]};
            at += head[2];
        }
        if (!pass) {
            s->count = count;
            s->row = calloc(count ? count : 1, sizeof *s->row);
            if (!s->row)
                return err_set(ERR_LIMIT, "%s: no memory for %llu survivors", path,
                               (unsigned long long)count);
        }
    }
    return 0;
}

int survivors_open(struct survivors **out, const char *path)
{
    struct survivors *s = calloc(1, sizeof *s);
    struct io_reader *r = NULL;
    struct buf bytes = {.max = UINT32_MAX};
    int rc;
    if (!s)
        return err_set(ERR_LIMIT, "survivors: no memory");
    TRY_OUT(io_open(&r, path));
    for (;;) {
        char *at = buf_room(&bytes, 1 << 16);
        if (!at) {
            rc = err_set(ERR_LIMIT, "%s: more than 4 GiB of survivors' URLs", path);
            goto out;
        }
        int64_t got = io_read(r, at, 1 << 16);
        if (got < 0) {
            rc = (int)got;
            goto out;
        }
        if (got == 0)
            break;
        buf_grown(&bytes, (size_t)got);
    }
    s->bytes = bytes.ptr;
    s->len = bytes.len;
    bytes = (struct buf){0};
    rc = survivors_parse(s, path);
out:
    buf_free(&bytes);
    if (r)
        io_close(r);
    if (rc < 0)
        survivors_close(s);
    else
        *out = s;
    return rc;
}

struct str survivors_url(const struct survivors *s, struct dedup_key key)
{
    const struct survivor *row = bsearch(&key, s->row, s->count, sizeof *s->row, by_key);
    return row ? (struct str){s->bytes + row->start, row->len} : (struct str){"", 0};
}

void survivors_close(struct survivors *s)
{
    if (!s)
        return;
    free(s->row);
    free(s->bytes);
    free(s);
}

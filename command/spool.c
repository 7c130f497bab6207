/* spool - what pass 1 leaves for pass 2: every record of one input file in order, with its verdict.
 *
 * A zstd stream of records, little-endian: head (struct spool_head), signals f32[signal_count],
 * then url, host, date, title, meta and text bytes. Magic and signal count stand first; the
 * stream's own checksum and the manifest's XXH3 guard it. */
#include "command/run.h"
#include "core/err.h"

#include <assert.h>
#include <stdlib.h>

enum { SPOOL_MAGIC = 0x32505353, SPOOL_STRING_MAX = 128 << 20, SPOOL_LEVEL = 1 };

struct spool_head {
    uint64_t offset, id, also[RULES_MAX / 64];
    uint32_t record, raw_bytes, text_bytes, rule;
    float value, threshold;
    uint32_t url, host, date, title, meta, text; /* bytes of each string */
    char lang[8];
};

struct spool_writer {
    struct io_writer *io;
    int signal_count;
};
struct spool_reader {
    struct io_reader *io;
    int signal_count;
    struct buf bytes;
};

int spool_create(struct spool_writer **out, const char *path, int signal_count)
{
    uint32_t head[2] = {SPOOL_MAGIC, (uint32_t)signal_count};
    struct spool_writer *w = calloc(1, sizeof *w);
    if (!w)
        return err_set(ERR_LIMIT, "spool: no memory");
    w->signal_count = signal_count;
    int rc = io_create(&w->io, path, IO_ZSTD, SPOOL_LEVEL);
    if (rc >= 0)
        rc = io_write(w->io, head, sizeof head);
    if (rc < 0) {
        spool_abandon(w);
        return rc;
    }
    *out = w;
    return 0;
}

int spool_add(struct spool_writer *w, const struct doc *d, struct str text, uint32_t raw_bytes)
{
    struct spool_head h = {
        .offset = d->offset,
        .id = d->id,
        .record = d->record,
        .raw_bytes = raw_bytes,
        .text_bytes = (uint32_t)d->text.len,
        .rule = d->rule,
        .value = d->value,
        .threshold = d->threshold,
        .url = (uint32_t)d->url.len,
        .host = (uint32_t)d->host.len,
        .date = (uint32_t)d->date.len,
        .title = (uint32_t)d->title.len,
        .meta = (uint32_t)d->meta.len,
        .text = (uint32_t)text.len,
    };
    memcpy(h.also, d->also, sizeof h.also);
    memcpy(h.lang, d->lang, sizeof h.lang);
    assert(text.len <= SPOOL_STRING_MAX);
    assert(d->url.len <= SPOOL_STRING_MAX);
    TRY(io_write(w->io, &h, sizeof h));
    TRY(io_write(w->io, d->signal, sizeof(float) * (size_t)w->signal_count));
    TRY(io_write_str(w->io, d->url));
    TRY(io_write_str(w->io, d->host));
    TRY(io_write_str(w->io, d->date));
    TRY(io_write_str(w->io, d->title));
    TRY(io_write_str(w->io, d->meta));
    return io_write_str(w->io, text);
}

int spool_commit(struct spool_writer *w, struct io_info *info)
{
    struct io_writer *io = w->io;
    free(w);
    return io_commit(io, info);
}

void spool_abandon(struct spool_writer *w)
{
    if (!w)
        return;
    io_abandon(w->io);
    free(w);
}

/* Reads exactly len bytes; 0 when the stream ends before the first. */
static int read_all(struct io_reader *io, void *to, size_t len)
{
    size_t have = 0;
    while (have < len) {
        int64_t got = io_read(io, (char *)to + have, len - have);
        if (got < 0)
            return (int)got;
        if (got == 0)
            return have
                       ? err_set(ERR_FORMAT, "spool: ends inside a record: delete it and run again")
                       : 0;
        have += (size_t)got;
    }
    return 1;
}

int spool_open(struct spool_reader **out, const char *path, int signal_count)
{
    uint32_t head[2] = {0};
    struct spool_reader *r = calloc(1, sizeof *r);
    if (!r)
        return err_set(ERR_LIMIT, "spool: no memory");
    r->signal_count = signal_count;
    int rc = io_open(&r->io, path);
    if (rc >= 0)
        rc = read_all(r->io, head, sizeof head);
    if (rc >= 0 && (head[0] != SPOOL_MAGIC || head[1] != (uint32_t)signal_count))
        rc = err_set(ERR_FORMAT,
                     "%s: not a spool of this recipe (magic %08x, %u signals, want %d): delete it "
                     "and run again",
                     path, head[0], head[1], signal_count);
    if (rc < 0) {
        spool_close(r);
        return rc;
    }
    *out = r;
    return 0;
}

int spool_next(struct spool_reader *r, struct spool_doc *d)
{
    struct spool_head h;
    int rc = read_all(r->io, &h, sizeof h);
    if (rc <= 0)
        return rc;
    uint64_t total = (uint64_t)h.url + h.host + h.date + h.title + h.meta + h.text;
    if (total > SPOOL_STRING_MAX || h.rule >= RULES_MAX)
        return err_set(ERR_FORMAT, "spool: record %u is damaged: delete the file and run again",
                       h.record);
    memset(d, 0, sizeof *d);
    if (read_all(r->io, d->signal, sizeof(float) * (size_t)r->signal_count) <
        (r->signal_count ? 1 : 0))
        return err_set(ERR_FORMAT, "spool: record %u is cut", h.record);
    buf_clear(&r->bytes);
    char *at = buf_room(&r->bytes, (size_t)total + 1);
    if (!at)
        return err_set(ERR_LIMIT, "spool: no memory for a record of %llu bytes",
                       (unsigned long long)total);
    if (total && read_all(r->io, at, (size_t)total) <= 0)
        return err_set(ERR_FORMAT, "spool: record %u is cut", h.record);
    d->record = h.record;
    d->raw_bytes = h.raw_bytes;
    d->text_bytes = h.text_bytes;
    d->offset = h.offset;
    d->id = h.id;
    d->rule = (uint16_t)h.rule;
    d->value = h.value;
    d->threshold = h.threshold;
    memcpy(d->also, h.also, sizeof d->also);
    memcpy(d->lang, h.lang, sizeof d->lang);
    struct {
        struct str *to;
        uint32_t len;
    } part[] = {{&d->url, h.url},
                {&d->host, h.host},
                {&d->date, h.date},
                {&d->title, h.title},
                {&d->meta, h.meta},
                {&d->text, h.text}};
    for (size_t i = 0; i < COUNT_OF(part); i++) {
        *part[i].to = (struct str){at, part[i].len};
        at += part[i].len;
    }
    return 1;
}

void spool_close(struct spool_reader *r)
{
    if (!r)
        return;
    if (r->io)
        io_close(r->io);
    buf_free(&r->bytes);
    free(r);
}

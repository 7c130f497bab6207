/* import - reads the token files of other trainers, document by document.
 *
 * A file's bytes come through windows of 256 KiB, so that a file that changes or shrinks under us
 * is a short read and not a signal, as it would be in a map; ids are widened and checked a window
 * at a time. An index is three windows on one file. Compressed files are not unpacked: the first
 * ids of a raw file may spell any magic number. */
#include "store/exchange.h"

#include "core/err.h"
#include "store/file_kind.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    WINDOW_BYTES = 1 << 18,
    LLMC_HEADER = 1024,
    LLMC_MAGIC = 20240520,
    LLMC_MAGIC_U32 = 20240801,
    MEGATRON_HEADER = 34,
    MEGATRON_SEQUENCE = 12, /* bytes of a sequence's length and pointer */
};

/* How an id is stored; the numbers are Megatron's. */
enum id_kind { ID_U8 = 1, ID_I8, ID_I16, ID_I32, ID_I64, ID_F64, ID_F32, ID_U16, ID_U32 };

struct window {
    const char *path;
    int fd;
    uint64_t at, end;    /* bytes of the file not yet in the window */
    uint32_t used, have; /* of the window */
    unsigned char *bytes;
};
/* One open file, or pair of files. */
struct opened {
    int fd, index_fd;
    uint64_t bytes, index_bytes;
    enum id_kind kind;
    uint64_t ids_at;             /* where the ids begin */
    uint64_t sequences, entries; /* megatron: of the index; datatrove: entries are documents */
};
struct import {
    struct import_conf conf;
    const struct import_file *file;
    uint32_t files, current; /* current: the one open; files: none is left */
    bool open_file;
    struct opened now;
    struct window tokens, lengths, pointers, bounds;
    uint32_t *chunk; /* ids of a window */
    uint32_t chunk_used, chunk_have;
    uint64_t ids_read;        /* of this file, with the chunk */
    uint64_t bound, sequence; /* what the last index entry said; sequences read */
    uint64_t left;            /* ids of the indexed document not yet taken */
    bool indexed, front;      /* front: a separator opens a document */
    bool fresh;               /* nothing of the indexed document was taken yet */
    bool begun;               /* a document is open: doc_file and doc_record are its place */
    uint32_t doc_file, doc_record;
    uint64_t records; /* documents begun in this file */
    uint32_t *doc;
    uint64_t doc_count, doc_max;
};

static uint32_t kind_width(enum id_kind kind)
{
    static const uint32_t width[] = {0, 1, 1, 2, 4, 8, 8, 4, 2, 4};
    return width[kind];
}

/* ---- windows ---- */

static int window_fill(struct window *w)
{
    uint64_t left = w->end - w->at;
    size_t want = left < WINDOW_BYTES ? (size_t)left : WINDOW_BYTES, have = 0;
    while (have < want) {
        ssize_t got = pread(w->fd, w->bytes + have, want - have, (off_t)(w->at + have));
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return err_sys("import: read %s", w->path);
        if (got == 0)
            return err_set(ERR_FORMAT, "import: %s became shorter while it was read", w->path);
        have += (size_t)got;
    }
    w->at += want;
    w->used = 0;
    w->have = (uint32_t)want;
    return 0;
}

/* The next number of an index, of `bytes` bytes: a window holds a whole number of them. */
static int window_number(struct window *w, uint32_t bytes, uint64_t *value)
{
    if (w->used == w->have)
        TRY(window_fill(w));
    assert(w->have - w->used >= bytes);
    *value = 0;
    memcpy(value, w->bytes + w->used, bytes);
    w->used += bytes;
    return 0;
}

static void window_set(struct window *w, const char *path, int fd, uint64_t at, uint64_t end)
{
    w->path = path;
    w->fd = fd;
    w->at = at;
    w->end = end;
    w->used = w->have = 0;
}

static int read_at(const char *path, int fd, void *to, size_t len, uint64_t at)
{
    unsigned char bytes[MEGATRON_HEADER];
    struct window w = {.bytes = bytes};
    assert(len <= sizeof bytes);
    window_set(&w, path, fd, at, at + len);
    TRY(window_fill(&w));
    memcpy(to, bytes, len);
    return 0;
}

/* ---- opening: what a file's head and size say ---- */

static int file_open(const char *path, int *fd, uint64_t *bytes)
{
    struct stat st;
    *fd = io_open_file(path, bytes);
    if (*fd < 0)
        return *fd;
    if (fstat(*fd, &st) == 0 && S_ISREG(st.st_mode))
        return 0;
    close(*fd);
    *fd = -1;
    return err_set(ERR_USAGE, "import: %s is no regular file: its size must be known", path);
}

static void opened_close(struct opened *o)
{
    if (o->fd >= 0)
        close(o->fd);
    if (o->index_fd >= 0)
        close(o->index_fd);
    o->fd = o->index_fd = -1;
}

/* Names what a file that is not of its format looks like. */
static int refuse_kind(const char *path, int fd, uint64_t bytes, const char *wanted)
{
    char what[FILE_KIND_MAX];
    file_kind(fd, bytes, what);
    return err_set(ERR_FORMAT, "import: %s is no %s: it looks like %s", path, wanted, what);
}

static int llmc_open(const char *path, struct opened *o)
{
    int32_t head[3] = {0};
    if (o->bytes >= LLMC_HEADER)
        TRY(read_at(path, o->fd, head, sizeof head, 0));
    bool narrow = head[0] == LLMC_MAGIC && head[1] == 1;
    if (!narrow && !(head[0] == LLMC_MAGIC_U32 && head[1] == 7))
        return refuse_kind(path, o->fd, o->bytes, "llm.c token file");
    o->kind = narrow ? ID_U16 : ID_U32;
    o->ids_at = LLMC_HEADER;
    uint64_t body = o->bytes - LLMC_HEADER, width = kind_width(o->kind);
    if (head[2] < 0 || body != (uint64_t)head[2] * width)
        return err_set(ERR_FORMAT,
                       "import: %s: its header counts %d tokens of %llu bytes, behind it stand "
                       "%llu bytes: the file is cut or damaged",
                       path, head[2], (unsigned long long)width, (unsigned long long)body);
    return 0;
}

static int nanogpt_open(const char *path, const struct import_conf *conf, struct opened *o)
{
    assert(conf->width == 2 || conf->width == 4);
    o->kind = conf->width == 2 ? ID_U16 : ID_U32;
    if (file_kind_is_other(o->fd, o->bytes))
        return refuse_kind(path, o->fd, o->bytes, "file of nothing but ids");
    if (o->bytes % conf->width)
        return err_set(ERR_FORMAT, "import: %s: %llu bytes are no whole number of ids of %u bytes",
                       path, (unsigned long long)o->bytes, conf->width);
    if (conf->width == 2 && file_kind_wide_ids(o->fd, o->bytes))
        return err_set(ERR_FORMAT,
                       "import: %s: every second number is all but zero: its ids have 4 bytes: "
                       "--width=4",
                       path);
    return 0;
}

static int megatron_open(const struct import_file *f, struct opened *o)
{
    unsigned char head[MEGATRON_HEADER] = {0};
    uint64_t version, sequences, entries, last;
    uint32_t length;
    if (o->index_bytes >= sizeof head)
        TRY(read_at(f->index, o->index_fd, head, sizeof head, 0));
    if (memcmp(head, "MMIDIDX\0\0", 9) != 0)
        return refuse_kind(f->index, o->index_fd, o->index_bytes, "index of Megatron");
    memcpy(&version, head + 9, 8);
    memcpy(&sequences, head + 18, 8);
    memcpy(&entries, head + 26, 8);
    o->kind = head[17];
    if (version != 1 || o->kind < ID_U8 || o->kind > ID_U16)
        return err_set(ERR_FORMAT,
                       "import: %s: version %llu, type %u: only version 1 is known, "
                       "with types 1 to 8",
                       f->index, (unsigned long long)version, (unsigned)o->kind);
    if (o->kind == ID_F32 || o->kind == ID_F64)
        return err_set(ERR_FORMAT, "import: %s holds floating-point numbers, no token ids",
                       f->index);
    uint64_t body = o->index_bytes - sizeof head;
    uint64_t most = body / MEGATRON_SEQUENCE, rest = body - MEGATRON_SEQUENCE * sequences;
    if (sequences > most || entries < 1 || entries > rest / 8 ||
        (rest - 8 * entries != 0 && rest - 8 * entries != sequences))
        return err_set(ERR_FORMAT,
                       "import: %s: %llu sequences and %llu document bounds do not fill its %llu "
                       "bytes: it is cut or damaged",
                       f->index, (unsigned long long)sequences, (unsigned long long)entries,
                       (unsigned long long)o->index_bytes);
    if (rest - 8 * entries != 0)
        return err_set(ERR_FORMAT, "import: %s is multimodal: it has a mode for every sequence",
                       f->index);
    o->sequences = sequences;
    o->entries = entries;
    uint64_t pointers = sizeof head + 4 * sequences, bounds = pointers + 8 * sequences, end = 0;
    TRY(read_at(f->index, o->index_fd, &last, 8, bounds + 8 * (entries - 1)));
    if (last != sequences)
        return err_set(ERR_FORMAT,
                       "import: %s: its documents end at sequence %llu of %llu: it is damaged",
                       f->index, (unsigned long long)last, (unsigned long long)sequences);
    if (sequences) {
        TRY(read_at(f->index, o->index_fd, &length, 4, pointers - 4));
        TRY(read_at(f->index, o->index_fd, &end, 8, bounds - 8));
        end = end > o->bytes ? UINT64_MAX : end + (uint64_t)length * kind_width(o->kind);
    }
    return end == o->bytes ? 0
                           : err_set(ERR_FORMAT,
                                     "import: %s does not end where %s (%llu bytes) does: they do "
                                     "not belong together, or one is cut",
                                     f->index, f->tokens, (unsigned long long)o->bytes);
}

static int datatrove_open(const struct import_file *f, struct opened *o)
{
    uint64_t last = 0;
    o->entries = o->index_bytes / 8;
    if (o->index_bytes % 8)
        return err_set(ERR_FORMAT,
                       "import: %s: %llu bytes are no whole number of document ends of 8 bytes",
                       f->index, (unsigned long long)o->index_bytes);
    if (o->entries)
        TRY(read_at(f->index, o->index_fd, &last, 8, o->index_bytes - 8));
    if (last > o->bytes || (last * 2 != o->bytes && last * 4 != o->bytes))
        return err_set(ERR_FORMAT,
                       "import: %s ends at token %llu, but %s has %llu bytes, not 2 or 4 for each: "
                       "they do not belong together, or one is cut",
                       f->index, (unsigned long long)last, f->tokens, (unsigned long long)o->bytes);
    o->kind = last * 2 == o->bytes ? ID_U16 : ID_U32;
    return 0;
}

static int pair_open(const struct import_file *f, const struct import_conf *conf, struct opened *o)
{
    int rc;
    *o = (struct opened){.fd = -1, .index_fd = -1};
    TRY_OUT(file_open(f->tokens, &o->fd, &o->bytes));
    if (f->index)
        TRY_OUT(file_open(f->index, &o->index_fd, &o->index_bytes));
    switch (conf->format) {
    case STORE_LLMC: rc = llmc_open(f->tokens, o); break;
    case STORE_NANOGPT: rc = nanogpt_open(f->tokens, conf, o); break;
    case STORE_MEGATRON: rc = megatron_open(f, o); break;
    case STORE_DATATROVE: rc = datatrove_open(f, o); break;
    }
out:
    if (rc < 0)
        opened_close(o);
    return rc;
}

/* Whether the id at one end of a stream's file is the separator. */
static int end_is_separator(const struct import *in, uint32_t file, bool last, bool *is)
{
    struct opened o;
    TRY(pair_open(&in->file[file], &in->conf, &o));
    uint32_t width = kind_width(o.kind), id = 0;
    int rc = 0;
    *is = false;
    if (o.bytes - o.ids_at >= width) {
        rc = read_at(in->file[file].tokens, o.fd, &id, width, last ? o.bytes - width : o.ids_at);
        *is = rc >= 0 && id == in->conf.separator;
    }
    opened_close(&o);
    return rc;
}

static int check_all(struct import *in)
{
    bool first = false, last = false;
    for (uint32_t i = 0; i < in->files; i++) {
        struct opened o;
        TRY(pair_open(&in->file[i], &in->conf, &o));
        opened_close(&o);
    }
    if (in->indexed || in->files == 0)
        return 0;
    TRY(end_is_separator(in, 0, false, &first));
    TRY(end_is_separator(in, in->files - 1, true, &last));
    in->front = first == last ? in->conf.format == STORE_LLMC : first;
    return 0;
}

int import_open(struct import **out, const struct import_conf *conf, const struct import_file *file,
                uint32_t files)
{
    int rc = 0;
    assert(conf->vocab_size >= 1 && conf->vocab_size <= STORE_VOCAB_MAX);
    struct import *in = calloc(1, sizeof *in);
    if (!in)
        return err_set(ERR_LIMIT, "import: no memory");
    in->conf = *conf;
    in->file = file;
    in->files = files;
    in->indexed = conf->format == STORE_MEGATRON || conf->format == STORE_DATATROVE;
    in->now = (struct opened){.fd = -1, .index_fd = -1};
    struct window *windows[] = {&in->tokens, &in->lengths, &in->pointers, &in->bounds};
    for (size_t i = 0; i < COUNT_OF(windows); i++) {
        windows[i]->bytes = malloc(WINDOW_BYTES);
        TRY_OUT(windows[i]->bytes ? 0 : err_set(ERR_LIMIT, "import: no memory"));
    }
    in->chunk = malloc(sizeof *in->chunk * WINDOW_BYTES);
    TRY_OUT(in->chunk ? 0 : err_set(ERR_LIMIT, "import: no memory"));
    TRY_OUT(check_all(in));
    *out = in;
    return 0;
out:
    import_close(in);
    return rc;
}

void import_close(struct import *in)
{
    if (!in)
        return;
    opened_close(&in->now);
    free(in->tokens.bytes);
    free(in->lengths.bytes);
    free(in->pointers.bytes);
    free(in->bounds.bytes);
    free(in->chunk);
    free(in->doc);
    free(in);
}

/* ---- ids ---- */

/* An id of the rarer kinds; what is negative becomes larger than any vocabulary. */
static uint32_t id_widen(const unsigned char *from, enum id_kind kind)
{
    int64_t wide = 0;
    int32_t of4;
    int16_t of2;
    switch (kind_width(kind)) {
    case 1: wide = kind == ID_I8 ? (int8_t)*from : *from; break;
    case 2: memcpy(&of2, from, 2), wide = of2; break;
    case 4: memcpy(&of4, from, 4), wide = of4; break;
    default: memcpy(&wide, from, 8);
    }
    return wide < 0 || wide > UINT32_MAX ? UINT32_MAX : (uint32_t)wide;
}

static void ids_widen(const unsigned char *from, enum id_kind kind, uint32_t count, uint32_t *ids)
{
    size_t width = kind_width(kind);
    if (kind == ID_U32) {
        memcpy(ids, from, count * width);
        return;
    }
    for (uint32_t i = 0; kind == ID_U16 && i < count; i++) {
        uint16_t id;
        memcpy(&id, from + width * i, sizeof id);
        ids[i] = id;
    }
    for (uint32_t i = 0; kind != ID_U16 && i < count; i++)
        ids[i] = id_widen(from + width * i, kind);
}

static int chunk_check(const struct import *in, uint32_t count)
{
    uint32_t vocab = in->conf.vocab_size, over = 0;
    for (uint32_t i = 0; i < count; i++)
        over |= in->chunk[i] >= vocab;
    for (uint32_t i = 0; over && i < count; i++)
        if (in->chunk[i] >= vocab)
            return err_set(
                ERR_FORMAT,
                "import: %s: token %llu has id %u, the tokenizer has %u: another "
                "tokenizer wrote it%s",
                in->file[in->current].tokens, (unsigned long long)(in->ids_read + i), in->chunk[i],
                vocab, in->conf.format == STORE_NANOGPT ? ", or its ids have another --width" : "");
    return 0;
}

/* The next ids of the open file; chunk_have 0: it has no more. */
static int chunk_fill(struct import *in)
{
    struct window *w = &in->tokens;
    in->chunk_used = in->chunk_have = 0;
    if (w->at == w->end)
        return 0;
    TRY(window_fill(w));
    uint32_t count = w->have / kind_width(in->now.kind);
    ids_widen(w->bytes, in->now.kind, count, in->chunk);
    TRY(chunk_check(in, count));
    in->chunk_have = count;
    in->ids_read += count;
    return 0;
}

static int file_begin(struct import *in)
{
    const struct import_file *f = &in->file[in->current];
    TRY(pair_open(f, &in->conf, &in->now));
    const struct opened *o = &in->now;
    in->open_file = true;
    window_set(&in->tokens, f->tokens, o->fd, o->ids_at, o->bytes);
    if (in->conf.format == STORE_DATATROVE)
        window_set(&in->bounds, f->index, o->index_fd, 0, o->index_bytes);
    if (in->conf.format == STORE_MEGATRON) {
        uint64_t pointers = MEGATRON_HEADER + 4 * o->sequences;
        uint64_t bounds = pointers + 8 * o->sequences, end = bounds + 8 * o->entries;
        window_set(&in->lengths, f->index, o->index_fd, MEGATRON_HEADER, pointers);
        window_set(&in->pointers, f->index, o->index_fd, pointers, bounds);
        window_set(&in->bounds, f->index, o->index_fd, bounds, end);
    }
    in->ids_read = in->bound = in->sequence = in->records = 0;
    in->chunk_used = in->chunk_have = 0;
    return 0;
}

static void file_end(struct import *in)
{
    opened_close(&in->now);
    in->open_file = false;
    in->current++;
}

/* ---- documents ---- */

static int doc_begin(struct import *in)
{
    if (in->records > UINT32_MAX)
        return err_set(ERR_LIMIT, "import: %s has more than 2^32 documents: split it",
                       in->file[in->current].tokens);
    in->begun = true;
    in->doc_count = 0;
    in->doc_file = in->current;
    in->doc_record = (uint32_t)in->records++;
    return 0;
}

static int doc_put(struct import *in, const uint32_t *ids, uint32_t count)
{
    if (!in->begun)
        TRY(doc_begin(in));
    if (in->doc_count + count > IMPORT_DOC_TOKENS_MAX)
        return err_set(ERR_LIMIT,
                       "import: %s: %d tokens and no separator (id %u) between them: another "
                       "--separator, or another tokenizer",
                       in->file[in->doc_file].tokens, IMPORT_DOC_TOKENS_MAX, in->conf.separator);
    if (in->doc_count + count > in->doc_max) {
        uint64_t max = in->doc_max ? in->doc_max : 1 << 16;
        while (max < in->doc_count + count)
            max *= 2;
        uint32_t *grown = realloc(in->doc, sizeof *grown * max);
        if (!grown)
            return err_set(ERR_LIMIT, "import: no memory for a document of %llu tokens",
                           (unsigned long long)max);
        in->doc = grown;
        in->doc_max = max;
    }
    memcpy(in->doc + in->doc_count, ids, sizeof *ids * count);
    in->doc_count += count;
    return 0;
}

static int doc_give(struct import *in, struct import_doc *doc)
{
    *doc = (struct import_doc){in->doc_file, in->doc_record, (uint32_t)in->doc_count, in->doc};
    in->begun = false;
    return 1;
}

/* Ids of the chunk up to the next separator, at most max. */
static uint32_t run_length(const struct import *in, uint32_t max)
{
    const uint32_t *ids = in->chunk + in->chunk_used;
    uint32_t count = 0;
    while (count < max && ids[count] != in->conf.separator)
        count++;
    return count;
}

/* Files without an index: one stream, cut at separators. */
static int stream_next(struct import *in, struct import_doc *doc)
{
    for (;;) {
        uint32_t have = in->chunk_have - in->chunk_used;
        if (have == 0 && !in->open_file) {
            if (in->current == in->files)
                return in->begun ? doc_give(in, doc) : 0;
            TRY(file_begin(in));
        }
        if (have == 0) {
            TRY(chunk_fill(in));
            if (in->chunk_have == 0)
                file_end(in);
            continue;
        }
        uint32_t run = run_length(in, have);
        if (run)
            TRY(doc_put(in, in->chunk + in->chunk_used, run));
        in->chunk_used += run;
        if (run == have)
            continue;
        bool done = in->begun;
        if (in->front && done) /* seen again by the next call, which opens its document */
            return doc_give(in, doc);
        in->chunk_used++;
        if (!in->begun)
            TRY(doc_begin(in));
        if (!in->front)
            return doc_give(in, doc);
    }
}

/* Where the index ends the next document: how many ids it has. 0: the file has no more. */
static int datatrove_entry(struct import *in, uint64_t *count)
{
    uint64_t end;
    if (in->bounds.at == in->bounds.end && in->bounds.used == in->bounds.have)
        return 0;
    TRY(window_number(&in->bounds, 8, &end));
    uint64_t total = in->now.bytes / kind_width(in->now.kind);
    if (end < in->bound || end > total)
        return err_set(ERR_FORMAT,
                       "import: %s: a document ends at token %llu, the one before at %llu, the "
                       "file at %llu: it is damaged",
                       in->bounds.path, (unsigned long long)end, (unsigned long long)in->bound,
                       (unsigned long long)total);
    *count = end - in->bound;
    in->bound = end;
    return 1;
}

/* Adds up the sequences of the next document; each must begin where the one before ended. */
static int megatron_entry(struct import *in, uint64_t *count)
{
    uint32_t width = kind_width(in->now.kind);
    uint64_t until, length, pointer;
    if (in->bounds.at == in->bounds.end && in->bounds.used == in->bounds.have)
        return 0;
    TRY(window_number(&in->bounds, 8, &until));
    if (until < in->sequence || until > in->now.sequences)
        return err_set(ERR_FORMAT,
                       "import: %s: document bounds go from sequence %llu to %llu of "
                       "%llu: it is damaged",
                       in->bounds.path, (unsigned long long)in->sequence, (unsigned long long)until,
                       (unsigned long long)in->now.sequences);
    *count = 0;
    for (; in->sequence < until; in->sequence++) {
        TRY(window_number(&in->lengths, 4, &length));
        TRY(window_number(&in->pointers, 8, &pointer));
        uint64_t room = (in->now.bytes - in->bound) / width;
        if (pointer != in->bound || length > INT32_MAX || length > room)
            return err_set(ERR_FORMAT,
                           "import: %s: sequence %llu has %lld tokens from byte %llu on, the one "
                           "before ends at %llu, the file at %llu: it is damaged",
                           in->bounds.path, (unsigned long long)in->sequence,
                           (long long)(int32_t)length, (unsigned long long)pointer,
                           (unsigned long long)in->bound, (unsigned long long)in->now.bytes);
        in->bound += length * width;
        *count += length;
    }
    return 1;
}

/* Goes to the next document of the index: 1, or 0 after the last of all files. */
static int entry_next(struct import *in)
{
    for (;;) {
        if (!in->open_file) {
            if (in->current == in->files)
                return 0;
            TRY(file_begin(in));
            /* Megatron's first bound is where the first document begins. */
            uint64_t zero = 0;
            if (in->conf.format == STORE_MEGATRON)
                TRY(megatron_entry(in, &zero));
            if (in->sequence)
                return err_set(ERR_FORMAT, "import: %s: its documents begin at sequence %llu",
                               in->bounds.path, (unsigned long long)in->sequence);
        }
        int rc = in->conf.format == STORE_MEGATRON ? megatron_entry(in, &in->left)
                                                   : datatrove_entry(in, &in->left);
        if (rc != 0) {
            in->fresh = true;
            return rc;
        }
        file_end(in);
    }
}

/* Files with an index: the separator at a document's ends goes; one inside cuts it. */
static int indexed_next(struct import *in, struct import_doc *doc)
{
    while (in->left == 0) {
        int rc = entry_next(in);
        if (rc <= 0)
            return rc;
        TRY(doc_begin(in));
        if (in->left == 0)
            return doc_give(in, doc);
    }
    while (in->left) {
        if (in->chunk_used == in->chunk_have)
            TRY(chunk_fill(in));
        assert(in->chunk_have > in->chunk_used); /* the index was checked against the size */
        uint32_t have = in->chunk_have - in->chunk_used;
        uint32_t run = run_length(in, have < in->left ? have : (uint32_t)in->left);
        if (run) {
            TRY(doc_put(in, in->chunk + in->chunk_used, run));
            in->fresh = false;
        }
        in->chunk_used += run;
        in->left -= run;
        if (run == have || in->left == 0)
            continue;
        in->chunk_used++;
        in->left--;
        bool opens = in->fresh && in->left;
        in->fresh = false;
        if (opens)
            continue;
        if (!in->begun)
            TRY(doc_begin(in));
        return doc_give(in, doc);
    }
    return doc_give(in, doc);
}

int import_next(struct import *in, struct import_doc *doc)
{
    return in->indexed ? indexed_next(in, doc) : stream_next(in, doc);
}

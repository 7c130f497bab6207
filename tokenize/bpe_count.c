/* bpe_count - how often each piece of a text occurs, counted by many threads in bounded memory.
 *
 * A piece goes through three places:
 *
 *   text -> a thread's cache -> a thread's buffers, one a shard -> the shard (a table, locked)
 *           (most pieces)      (what the cache pushed out)          -> the spill file, when full
 *
 * Text repeats itself: a cache of a few hundred KiB, one place for each key, takes most
 * occurrences, and the shards are filled by the buffer, sorted by place in a way, so that a table
 * much larger than the processor's caches costs little. The first bits of a piece's hash choose the
 * shard. A shard whose table reaches its part of the memory is written out as it is and starts
 * anew; at the end each shard's parts are added up by themselves, so that only one shard's pieces
 * have to fit into memory at a time. All counts are sums of integers: nothing depends on order.
 *
 * Pieces of up to 15 bytes are their own key: two words, the last byte their length. Longer ones
 * are kept behind a 64-bit hash, and compared byte for byte. The hash is keyed by the system's
 * random numbers: no text can be made to collide, and no result depends on it. */
#include "tokenize/bpe_count.h"

#include "core/err.h"

#include <assert.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/random.h>
#include <unistd.h>

enum {
    SHARD_BITS = 6,
    SHARDS = 1 << SHARD_BITS,
    SHORT_MAX = 15,         /* bytes of a piece that is its own key */
    LONG_CACHED_MAX = 44,   /* bytes of a longer one that the cache takes */
    PIECE_BYTES_MAX = 4096, /* at most: a record must fit into a buffer */
    SHORT_CACHE = 1 << 14,  /* cells: 384 KiB */
    LONG_CACHE = 1 << 12,   /* lines: 256 KiB */
    BUFFER_BYTES = 8 << 10,
    CELLS_START = 256,
    SPLIT_MAX = 512,         /* pieces cut at a time */
    AHEAD = 8,               /* records between asking for a place and using it */
    HISTOGRAM_MAX = 1 << 16, /* counts that the choice of what stays tells apart */
};
#define LONG_MARK ((uint64_t)0xFF << 56)
#define SPREAD_BACK 0x9E3779B97F4A7C15u

/* Short piece: its bytes, in the last byte of high its length. Long: low is the hash, high is
 * LONG_MARK and in a buffer the length, in a table the place of its bytes. count 0: free. */
struct cell {
    uint64_t low, high, count;
};
struct long_line {
    uint64_t hash, count;
    uint32_t len;
    char bytes[LONG_CACHED_MAX];
};
struct chunk {
    uint64_t offset, bytes; /* of the spill file */
};
struct shard {
    pthread_mutex_t lock;
    struct cell *cell;
    uint64_t cells, used;
    char *bytes; /* of long pieces: two bytes of length, then themselves */
    uint64_t bytes_used, bytes_max;
    struct chunk *chunk;
    uint32_t chunks, chunks_max;
};
struct piece_counts {
    uint64_t secret[2], memory, spread;
    uint64_t shard_memory; /* a shard that needs more is written out */
    const char *spill_dir;
    pthread_mutex_t spill_lock;
    int spill; /* descriptor, -1: nothing went out yet */
    uint64_t spill_end, least;
    struct shard shard[SHARDS];
};
struct piece_counter {
    struct piece_counts *counts;
    struct cell *cache;
    struct long_line *line;
    struct buffer {
        unsigned char *bytes;
        uint32_t used;
    } buffer[SHARDS];
};

/* ---- keys ---- */
static inline uint64_t key_hash(const struct piece_counts *p, uint64_t low, uint64_t high)
{
    unsigned __int128 product =
        (unsigned __int128)(low ^ p->secret[0]) * (high ^ p->secret[1] ^ low << 32);
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static inline uint64_t record_hash(const struct piece_counts *p, const struct cell *c)
{
    return c->high >= LONG_MARK ? c->low : key_hash(p, c->low, c->high);
}

/* Where the search for a hash begins: its bits behind the shard's as a share of the table, so that
 * tables of any size will do. Records come back from the file in the order of the table that they
 * were in. Put into a table that begins small by the same rule they would all crowd at its front,
 * so then the order is another: spread is 1, and SPREAD_BACK when they come back. */
static inline uint64_t cell_place(const struct piece_counts *p, const struct shard *s,
                                  uint64_t hash)
{
    return (uint64_t)((unsigned __int128)((hash << SHARD_BITS) * p->spread) * s->cells >> 64);
}

static inline size_t padded(size_t len) { return (len + 7) & ~(size_t)7; }

/* ---- the spill file ---- */
static int spill_open(struct piece_counts *p)
{
    char path[IO_PATH_MAX];
    const char *dir = p->spill_dir ? p->spill_dir : getenv("TMPDIR");
    if (!dir || !dir[0])
        dir = "/tmp";
    p->spill = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (p->spill >= 0)
        return 0;
    /* Not every file system has files without a name. */
    TRY(io_path(path, "%s/sluice-pieces-XXXXXX", dir));
    p->spill = mkostemp(path, O_CLOEXEC);
    if (p->spill < 0)
        return err_sys("tokenizer: a file for the counts of pieces in %s", dir);
    unlink(path);
    return 0;
}

/* A place for so many bytes in the file; threads then write at once. */
static int spill_reserve(struct piece_counts *p, uint64_t bytes, uint64_t *offset)
{
    pthread_mutex_lock(&p->spill_lock);
    int rc = p->spill < 0 ? spill_open(p) : 0;
    *offset = p->spill_end;
    p->spill_end += rc < 0 ? 0 : bytes;
    pthread_mutex_unlock(&p->spill_lock);
    return rc;
}

static int spill_write(struct piece_counts *p, const struct buf *from, uint64_t offset)
{
    for (size_t at = 0; at < from->len;) {
        ssize_t wrote = pwrite(p->spill, from->ptr + at, from->len - at, (off_t)(offset + at));
        if (wrote < 0)
            return err_sys("tokenizer: write counts of pieces to a temporary file");
        at += (size_t)wrote;
    }
    return 0;
}

/* Records are in a chunk what they are in a buffer. */
static void put_record(struct buf *to, const struct shard *s, const struct cell *c)
{
    static const char zero[8] = {0};
    struct cell record = *c;
    uint16_t len = 0;
    if (c->high >= LONG_MARK) {
        memcpy(&len, s->bytes + (c->high & ~LONG_MARK), sizeof len);
        record.high = LONG_MARK | len;
    }
    buf_add(to, &record, sizeof record);
    if (len) {
        buf_add(to, s->bytes + (c->high & ~LONG_MARK) + sizeof len, len);
        buf_add(to, zero, padded(len) - len);
    }
}

static void shard_forget(struct shard *s)
{
    free(s->cell);
    free(s->bytes);
    s->cell = NULL;
    s->bytes = NULL;
    s->cells = s->used = s->bytes_used = s->bytes_max = 0;
}

static int shard_spill(struct piece_counts *p, struct shard *s)
{
    struct buf block = {.max = (size_t)8 << 20};
    struct chunk chunk = {.bytes = s->used * sizeof *s->cell};
    int rc = 0;
    if (s->used == 0)
        return 0;
    for (uint64_t i = 0; i < s->cells; i++)
        if (s->cell[i].count && s->cell[i].high >= LONG_MARK) {
            uint16_t len;
            memcpy(&len, s->bytes + (s->cell[i].high & ~LONG_MARK), sizeof len);
            chunk.bytes += padded(len);
        }
    if (s->chunks == s->chunks_max) {
        uint32_t max = s->chunks_max ? s->chunks_max * 2 : 16;
        struct chunk *grown = realloc(s->chunk, max * sizeof *grown);
        if (!grown)
            return err_set(ERR_LIMIT, "tokenizer: no memory for %u parts of counts", max);
        s->chunk = grown;
        s->chunks_max = max;
    }
    TRY(spill_reserve(p, chunk.bytes, &chunk.offset));
    uint64_t at = chunk.offset;
    for (uint64_t i = 0; i < s->cells && rc >= 0; i++) {
        if (s->cell[i].count)
            put_record(&block, s, &s->cell[i]);
        if (block.len >= (size_t)1 << 20 || i + 1 == s->cells) {
            rc = block.failed ? err_set(ERR_LIMIT, "tokenizer: no memory to write counts")
                              : spill_write(p, &block, at);
            at += block.len;
            buf_clear(&block);
        }
    }
    buf_free(&block);
    TRY(rc);
    assert(at == chunk.offset + chunk.bytes);
    s->chunk[s->chunks++] = chunk;
    shard_forget(s);
    return 0;
}

/* ---- a shard ---- */
static int shard_grow(const struct piece_counts *p, struct shard *s)
{
    struct cell *old = s->cell;
    uint64_t cells = s->cells, more = cells ? cells + cells / 2 : CELLS_START;
    struct cell *fresh = calloc(more, sizeof *fresh);
    if (!fresh)
        return err_set(ERR_LIMIT, "tokenizer: no memory to count pieces: train on less text");
    s->cell = fresh;
    s->cells = more;
    for (uint64_t i = 0; i < cells; i++) {
        if (!old[i].count)
            continue;
        uint64_t at = cell_place(p, s, record_hash(p, &old[i]));
        while (fresh[at].count)
            at = at + 1 == more ? 0 : at + 1;
        fresh[at] = old[i];
    }
    free(old);
    return 0;
}

static int long_keep(struct shard *s, const char *bytes, uint16_t len, uint64_t *place)
{
    size_t need = sizeof len + len;
    if (s->bytes_used + need > s->bytes_max) {
        uint64_t max = s->bytes_max + s->bytes_max / 2 + BUFFER_BYTES;
        char *grown = realloc(s->bytes, max);
        if (!grown)
            return err_set(ERR_LIMIT, "tokenizer: no memory to count pieces: train on less text");
        s->bytes = grown;
        s->bytes_max = max;
    }
    *place = s->bytes_used;
    memcpy(s->bytes + *place, &len, sizeof len);
    memcpy(s->bytes + *place + sizeof len, bytes, len);
    s->bytes_used += need;
    return 0;
}

static bool long_equal(const struct shard *s, const struct cell *c, const char *bytes, uint16_t len)
{
    const char *kept = s->bytes + (c->high & ~LONG_MARK);
    return c->high >= LONG_MARK && memcmp(kept, &len, sizeof len) == 0 &&
           memcmp(kept + sizeof len, bytes, len) == 0;
}

/* Adds one record, whose bytes (of a long piece) stand behind it. */
static int shard_put(struct piece_counts *p, struct shard *s, const struct cell *record)
{
    bool is_long = record->high >= LONG_MARK;
    const char *bytes = (const char *)(record + 1);
    uint16_t len = (uint16_t)(is_long ? record->high : 0);
    if (s->used * 4 >= s->cells * 3)
        TRY(shard_grow(p, s));
    uint64_t at = cell_place(p, s, record_hash(p, record));
    for (; s->cell[at].count; at = at + 1 == s->cells ? 0 : at + 1) {
        struct cell *c = &s->cell[at];
        if (c->low == record->low &&
            (is_long ? long_equal(s, c, bytes, len) : c->high == record->high)) {
            c->count += record->count;
            return 0;
        }
    }
    struct cell fresh = *record;
    if (is_long) {
        TRY(long_keep(s, bytes, len, &fresh.high));
        fresh.high |= LONG_MARK;
    }
    s->cell[at] = fresh;
    s->used++;
    return 0;
}

static uint64_t shard_bytes(const struct shard *s)
{
    return s->cells * sizeof *s->cell + s->bytes_max;
}

static size_t record_bytes(const struct cell *record)
{
    return sizeof *record + (record->high >= LONG_MARK ? padded((uint16_t)record->high) : 0);
}

/* Adds the records of a buffer. The place of one is asked for while others before it are looked up:
 * in a table larger than the caches each look costs a wait for memory otherwise. */
static int shard_put_all(struct piece_counts *p, struct shard *s, const unsigned char *from,
                         size_t len)
{
    size_t ahead = 0, asked = 0, done = 0;
    for (size_t at = 0; at < len; done++) {
        for (; ahead < len && asked < done + AHEAD; asked++) {
            const struct cell *next = (const struct cell *)(const void *)(from + ahead);
            if (s->cells)
                __builtin_prefetch(&s->cell[cell_place(p, s, record_hash(p, next))]);
            ahead += record_bytes(next);
        }
        const struct cell *record = (const struct cell *)(const void *)(from + at);
        TRY(shard_put(p, s, record));
        at += record_bytes(record);
    }
    return 0;
}

/* ---- the threads' side ---- */
static int buffer_flush(struct piece_counter *c, uint32_t number)
{
    struct piece_counts *p = c->counts;
    struct shard *s = &p->shard[number];
    struct buffer *b = &c->buffer[number];
    pthread_mutex_lock(&s->lock);
    int rc = shard_put_all(p, s, b->bytes, b->used);
    if (rc >= 0 && shard_bytes(s) > p->shard_memory)
        rc = shard_spill(p, s);
    pthread_mutex_unlock(&s->lock);
    b->used = 0;
    return rc;
}

static int buffer_put(struct piece_counter *c, uint64_t hash, struct cell record, const char *bytes)
{
    uint32_t number = (uint32_t)(hash >> (64 - SHARD_BITS));
    struct buffer *b = &c->buffer[number];
    size_t len = record.high >= LONG_MARK ? (uint16_t)record.high : 0;
    if (b->used + sizeof record + padded(len) > BUFFER_BYTES)
        TRY(buffer_flush(c, number));
    memcpy(b->bytes + b->used, &record, sizeof record);
    if (len)
        memcpy(b->bytes + b->used + sizeof record, bytes, len);
    b->used += (uint32_t)(sizeof record + padded(len));
    return 0;
}

static inline int count_short(struct piece_counter *c, uint64_t low, uint64_t high, uint64_t times)
{
    uint64_t hash = key_hash(c->counts, low, high);
    struct cell *cached = &c->cache[hash & (SHORT_CACHE - 1)];
    if (cached->low == low && cached->high == high) {
        cached->count += times;
        return 0;
    }
    struct cell old = *cached;
    *cached = (struct cell){low, high, times};
    return old.count ? buffer_put(c, key_hash(c->counts, old.low, old.high), old, NULL) : 0;
}

static int count_long(struct piece_counter *c, const char *bytes, uint32_t len, uint64_t times)
{
    uint64_t hash = hash64(bytes, len, c->counts->secret[0]);
    struct long_line *line = &c->line[hash & (LONG_CACHE - 1)];
    if (len > LONG_CACHED_MAX)
        return buffer_put(c, hash, (struct cell){hash, LONG_MARK | len, times}, bytes);
    if (line->hash == hash && line->len == len && memcmp(line->bytes, bytes, len) == 0) {
        line->count += times;
        return 0;
    }
    struct cell old = {line->hash, LONG_MARK | line->len, line->count};
    if (old.count)
        TRY(buffer_put(c, old.low, old, line->bytes));
    line->hash = hash;
    line->count = times;
    line->len = len;
    memcpy(line->bytes, bytes, len);
    return 0;
}

/* The key of a short piece; room: bytes that may be read from it on. */
static inline void short_key(const char *bytes, uint32_t len, size_t room, uint64_t *low,
                             uint64_t *high)
{
    char copy[16];
    if (room < sizeof copy) {
        memset(copy, 0, sizeof copy);
        memcpy(copy, bytes, len);
        bytes = copy;
    }
    memcpy(low, bytes, sizeof *low);
    memcpy(high, bytes + sizeof *low, sizeof *high);
    if (len < 8) {
        *low &= ((uint64_t)1 << len * 8) - 1;
        *high = 0;
    } else {
        *high &= ((uint64_t)1 << (len - 8) * 8) - 1;
    }
    *high |= (uint64_t)len << 56;
}

int piece_counter_add(struct piece_counter *c, enum pretok pretok, struct str text, uint64_t times,
                      uint32_t piece_bytes_max)
{
    uint32_t end[SPLIT_MAX];
    uint32_t longest = piece_bytes_max < PIECE_BYTES_MAX ? piece_bytes_max : PIECE_BYTES_MAX;
    if (times == 0)
        return 0;
    for (size_t pos = 0; pos < text.len;) {
        uint32_t pieces = pretok_split(pretok, text, pos, end, SPLIT_MAX), start = 0;
        for (uint32_t i = 0; i < pieces; i++) {
            const char *bytes = text.ptr + pos + start;
            uint32_t len = end[i] - start;
            start = end[i];
            if (len <= SHORT_MAX) {
                uint64_t low, high;
                short_key(bytes, len, (size_t)(text.ptr + text.len - bytes), &low, &high);
                TRY(count_short(c, low, high, times));
            } else if (len <= longest) {
                TRY(count_long(c, bytes, len, times));
            }
        }
        pos += start;
    }
    return 0;
}

int piece_counter_flush(struct piece_counter *c)
{
    for (uint32_t i = 0; i < SHORT_CACHE; i++) {
        struct cell old = c->cache[i];
        c->cache[i].count = 0;
        if (old.count)
            TRY(buffer_put(c, key_hash(c->counts, old.low, old.high), old, NULL));
        c->cache[i] = (struct cell){0, 0, 0};
    }
    for (uint32_t i = 0; i < LONG_CACHE; i++) {
        struct long_line *line = &c->line[i];
        struct cell old = {line->hash, LONG_MARK | line->len, line->count};
        if (old.count)
            TRY(buffer_put(c, old.low, old, line->bytes));
        line->count = line->len = 0;
    }
    for (uint32_t i = 0; i < SHARDS; i++)
        if (c->buffer[i].used)
            TRY(buffer_flush(c, i));
    return 0;
}

int piece_counter_open(struct piece_counter **out, struct piece_counts *counts)
{
    struct piece_counter *c = calloc(1, sizeof *c);
    if (!c)
        return err_set(ERR_LIMIT, "tokenizer: no memory to count with");
    c->counts = counts;
    c->cache = calloc(SHORT_CACHE, sizeof *c->cache);
    c->line = calloc(LONG_CACHE, sizeof *c->line);
    unsigned char *bytes = malloc((size_t)SHARDS * BUFFER_BYTES);
    c->buffer[0].bytes = bytes;
    if (!c->cache || !c->line || !bytes) {
        piece_counter_close(c);
        return err_set(ERR_LIMIT, "tokenizer: no memory to count with");
    }
    for (size_t i = 1; i < SHARDS; i++)
        c->buffer[i].bytes = bytes + i * BUFFER_BYTES;
    *out = c;
    return 0;
}

void piece_counter_close(struct piece_counter *c)
{
    if (!c)
        return;
    free(c->cache);
    free(c->line);
    free(c->buffer[0].bytes);
    free(c);
}

/* ---- all together ---- */
int piece_counts_open(struct piece_counts **out, uint64_t memory, const char *spill_dir)
{
    struct piece_counts *p = calloc(1, sizeof *p);
    if (!p)
        return err_set(ERR_LIMIT, "tokenizer: no memory to count with");
    p->spill = -1;
    p->spread = 1;
    p->spill_dir = spill_dir;
    p->memory = memory;
    p->shard_memory = memory / SHARDS;
    pthread_mutex_init(&p->spill_lock, NULL);
    for (int i = 0; i < SHARDS; i++)
        pthread_mutex_init(&p->shard[i].lock, NULL);
    if (getrandom(p->secret, sizeof p->secret, 0) != sizeof p->secret) {
        piece_counts_close(p);
        return err_sys("tokenizer: random numbers of the system");
    }
    *out = p;
    return 0;
}

/* Brings back what was written out of one shard. */
static int shard_gather(struct piece_counts *p, struct shard *s)
{
    enum { WINDOW = 1 << 20 };
    int rc = 0;
    if (s->chunks == 0)
        return 0;
    unsigned char *window = malloc(WINDOW);
    if (!window)
        return err_set(ERR_LIMIT, "tokenizer: no memory to read counts back");
    for (uint32_t i = 0; i < s->chunks; i++) {
        uint64_t at = 0;
        while (at < s->chunk[i].bytes) {
            uint64_t left = s->chunk[i].bytes - at;
            size_t want = left < WINDOW ? (size_t)left : WINDOW, whole = 0;
            ssize_t got = pread(p->spill, window, want, (off_t)(s->chunk[i].offset + at));
            if (got <= 0) {
                rc = err_sys("tokenizer: read counts of pieces back from a temporary file");
                goto out;
            }
            while (whole + sizeof(struct cell) <= (size_t)got) {
                const struct cell *record = (const struct cell *)(const void *)(window + whole);
                if (whole + record_bytes(record) > (size_t)got)
                    break;
                whole += record_bytes(record);
            }
            TRY_OUT(shard_put_all(p, s, window, whole));
            at += whole;
            if (shard_bytes(s) > p->memory) {
                rc = err_set(ERR_LIMIT,
                             "tokenizer: a %dth of the different pieces needs more than %llu MiB: "
                             "raise --memory or train on less text",
                             SHARDS, (unsigned long long)(p->memory >> 20));
                goto out;
            }
        }
    }
out:
    free(window);
    return rc;
}

static struct str cell_piece(const struct shard *s, const struct cell *c, char *room)
{
    if (c->high >= LONG_MARK) {
        const char *at = s->bytes + (c->high & ~LONG_MARK);
        uint16_t len;
        memcpy(&len, at, sizeof len);
        return (struct str){at + sizeof len, len};
    }
    memcpy(room, &c->low, sizeof c->low);
    memcpy(room + sizeof c->low, &c->high, sizeof c->high);
    return (struct str){room, (size_t)(c->high >> 56)};
}

/* How many pieces, and bytes of them, were counted so often; at the end: or more often. */
struct histogram {
    uint64_t pieces[HISTOGRAM_MAX], bytes[HISTOGRAM_MAX];
};

static uint64_t histogram_place(uint64_t times)
{
    return times < HISTOGRAM_MAX ? times : HISTOGRAM_MAX - 1;
}

static int histogram_fill(struct piece_counts *p, uint64_t one, struct histogram *h,
                          struct piece_totals *totals)
{
    char room[16];
    for (int i = 0; i < SHARDS; i++) {
        struct shard *s = &p->shard[i];
        TRY(shard_gather(p, s));
        for (uint64_t k = 0; k < s->cells; k++) {
            if (!s->cell[k].count)
                continue;
            struct str piece = cell_piece(s, &s->cell[k], room);
            totals->all_pieces++;
            if (piece.len < 2)
                continue;
            h->pieces[histogram_place(s->cell[k].count / one)]++;
            h->bytes[histogram_place(s->cell[k].count / one)] += piece.len;
        }
        if (s->chunks)
            shard_forget(s);
    }
    return 0;
}

int piece_counts_settle(struct piece_counts *p, uint64_t one, uint64_t least, uint64_t pieces_max,
                        uint64_t bytes_max, struct piece_totals *totals)
{
    struct histogram *h = calloc(1, sizeof *h);
    int rc = 0;
    if (!h)
        return err_set(ERR_LIMIT, "tokenizer: no memory to choose pieces");
    *totals = (struct piece_totals){0};
    /* A shard that was written out in part goes out whole: its parts come back one shard at a
     * time. */
    for (int i = 0; i < SHARDS; i++)
        if (p->shard[i].chunks)
            TRY_OUT(shard_spill(p, &p->shard[i]));
    totals->spilled = p->spill_end;
    p->spread = SPREAD_BACK;
    TRY_OUT(histogram_fill(p, one, h, totals));
    uint64_t from = HISTOGRAM_MAX, floor = histogram_place(least);
    while (from > floor && totals->pieces + h->pieces[from - 1] <= pieces_max &&
           totals->bytes + h->bytes[from - 1] <= bytes_max) {
        from--;
        totals->pieces += h->pieces[from];
        totals->bytes += h->bytes[from];
    }
    if (from == HISTOGRAM_MAX && totals->all_pieces)
        rc = err_set(ERR_LIMIT,
                     "tokenizer: %llu pieces were seen %d times or more often, more than can be "
                     "learned from: train on less text",
                     (unsigned long long)h->pieces[HISTOGRAM_MAX - 1], HISTOGRAM_MAX - 1);
    totals->least = from == floor && least > from ? least : from;
    p->least = totals->least * one;
out:
    free(h);
    return rc;
}

int piece_counts_each(struct piece_counts *p, piece_fn *fn, void *self)
{
    char room[16];
    int rc = 0;
    for (int i = 0; i < SHARDS && rc >= 0; i++) {
        struct shard *s = &p->shard[i];
        rc = shard_gather(p, s);
        for (uint64_t k = 0; k < s->cells && rc >= 0; k++) {
            if (s->cell[k].count < p->least || !s->cell[k].count)
                continue;
            struct str piece = cell_piece(s, &s->cell[k], room);
            if (piece.len >= 2)
                rc = fn(self, piece, s->cell[k].count);
        }
        s->chunks = 0;
        shard_forget(s);
    }
    return rc < 0 ? rc : 0;
}

void piece_counts_close(struct piece_counts *p)
{
    if (!p)
        return;
    for (int i = 0; i < SHARDS; i++) {
        shard_forget(&p->shard[i]);
        free(p->shard[i].chunk);
        pthread_mutex_destroy(&p->shard[i].lock);
    }
    pthread_mutex_destroy(&p->spill_lock);
    if (p->spill >= 0)
        close(p->spill);
    free(p);
}

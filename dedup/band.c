/* band - settling one band: sorts its keys, compares the documents of equal keys, writes the edges.
 *
 * Edge file: header of 32 bytes (magic, version, band, rows and hash of the sketch set), pairs of
 * row numbers (u64 hub, u64 other), trailer of 32 bytes (magic, pairs, XXH3-128 of all before it).
 */
#include "dedup/extsort.h"
#include "dedup/sketch.h"

#include "core/err.h"

#include <stdlib.h>

enum { EDGES_VERSION = 1, EDGES_READ = 4096 };
static const char magic_edges[8] = "SLEDGES\0", magic_end[8] = "SLEDGEND";

struct edges_header {
    char magic[8];
    uint32_t version, band;
    uint64_t rows, set_hash;
};
struct edges_trailer {
    char magic[8];
    uint64_t count;
    struct hash128 sum;
};
_Static_assert(sizeof(struct edges_header) == 32, "no padding");
_Static_assert(sizeof(struct edges_trailer) == 32, "no padding");

/* ---- writing edges ---- */

struct edges_writer {
    struct io_writer *file;
    struct hash_stream *stream;
    uint64_t count;
};

static int edges_put(struct edges_writer *w, const void *bytes, size_t len)
{
    hash_add(w->stream, bytes, len);
    return io_write(w->file, bytes, len);
}

static int edges_pair(struct edges_writer *w, uint64_t hub, uint64_t other)
{
    uint64_t pair[2] = {hub, other};
    w->count++;
    return edges_put(w, pair, sizeof pair);
}

static int edges_create(struct edges_writer *w, const char *path, const struct sketch_set *set,
                        int band)
{
    struct edges_header header = {.version = EDGES_VERSION, .band = (uint32_t)band};
    memcpy(header.magic, magic_edges, sizeof header.magic);
    header.rows = sketch_set_rows(set);
    header.set_hash = sketch_set_hash(set);
    TRY(hash_begin(&w->stream));
    TRY(io_create(&w->file, path, IO_PLAIN, 0));
    return edges_put(w, &header, sizeof header);
}

static int edges_commit(struct edges_writer *w, struct io_info *info)
{
    struct edges_trailer tail = {.count = w->count};
    memcpy(tail.magic, magic_end, sizeof tail.magic);
    tail.sum = hash_end(w->stream);
    w->stream = NULL;
    TRY(io_write(w->file, &tail, sizeof tail));
    struct io_writer *file = w->file;
    w->file = NULL;
    return io_commit(file, info);
}

/* ---- a bucket: documents of one key, smallest row first ---- */

/* The documents others are compared with: the first of the bucket, and those that were unlike all
 * before. */
struct bucket {
    const struct dedup_conf *conf;
    struct sketch_set *set;
    bool exact; /* the check is the other half of the hash: equal or not */
    uint32_t value_count;
    int hub_count;
    struct {
        uint64_t row, check;
        bool loaded;
    } hub[DEDUP_HUBS_MAX];
    uint32_t *values; /* (DEDUP_HUBS_MAX + 1) * value_count; the last one: the newcomer */
};

/* Compares by values; 1 alike, 0 not. */
static int bucket_share(struct bucket *k, int index, uint64_t row, uint64_t check, bool *loaded)
{
    uint32_t *hub = k->values + (size_t)index * k->value_count;
    uint32_t *own = k->values + (size_t)DEDUP_HUBS_MAX * k->value_count;
    if (!k->hub[index].loaded)
        TRY(sketch_set_values(k->set, k->hub[index].row, k->hub[index].check, hub));
    k->hub[index].loaded = true;
    if (!*loaded)
        TRY(sketch_set_values(k->set, row, check, own));
    *loaded = true;
    return sketch_share(hub, own, k->value_count) >= k->conf->verify;
}

/* Index of the hub that (row, check) is like, or hub_count. Equal checks are equal sketches: no
 * values are read for the copies of one page. */
static int bucket_match(struct bucket *k, uint64_t row, uint64_t check)
{
    bool loaded = false;
    for (int i = 0; i < k->hub_count; i++)
        if (k->hub[i].check == check)
            return i;
    if (k->exact)
        return k->hub_count;
    if (k->conf->verify <= 0 && k->hub_count > 0)
        return 0;
    for (int i = 0; i < k->hub_count; i++) {
        int alike = bucket_share(k, i, row, check, &loaded);
        if (alike < 0)
            return alike;
        if (alike)
            return i;
    }
    return k->hub_count;
}

static int bucket_walk(struct bucket *k, struct extsort *sort, struct edges_writer *edges)
{
    const uint64_t *record;
    uint64_t key = 0;
    int more;
    while ((more = extsort_next(sort, &record)) > 0) {
        uint64_t row = record[1], check = record[2];
        if (record[0] != key || k->hub_count == 0) {
            key = record[0];
            k->hub_count = 0;
        }
        int hub = bucket_match(k, row, check);
        if (hub < 0)
            return hub;
        if (hub < k->hub_count) {
            TRY(edges_pair(edges, k->hub[hub].row, row));
        } else if (hub < DEDUP_HUBS_MAX) {
            k->hub[hub].row = row;
            k->hub[hub].check = check;
            k->hub[hub].loaded = false;
            k->hub_count++;
        }
    }
    return more;
}

/* ---- reading the band's column ---- */

static int band_collect(struct sketch_set *set, int band, bool exact, struct extsort *sort)
{
    int rc = 0;
    struct sketch_group group = {0};
    struct sketch_head *head = malloc(SKETCH_GROUP_ROWS * sizeof *head);
    struct hash128 *keys =
        malloc(SKETCH_GROUP_ROWS * sizeof *keys); /* or u64 keys, which need less */
    uint32_t method = exact ? SKETCH_EXACT : SKETCH_MINHASH;
    if (!head || !keys) {
        rc = err_set(ERR_LIMIT, "dedup: no memory to read a column of sketches");
        goto out;
    }
    while (sketch_set_group(set, &group)) {
        TRY_OUT(sketch_set_column(set, &group, COLUMN_HEAD, head));
        TRY_OUT(sketch_set_column(set, &group, exact ? COLUMN_EXACT : COLUMN_KEYS + band, keys));
        const uint64_t *narrow = (const uint64_t *)keys;
        for (uint32_t i = 0; i < group.rows; i++) {
            uint64_t record[3] = {exact ? keys[i].low : narrow[i], group.first + i,
                                  exact ? keys[i].high : head[i].values_hash};
            if (head[i].has & method)
                TRY_OUT(extsort_add(sort, record));
        }
    }
    rc = extsort_finish(sort);
out:
    free(head);
    free(keys);
    return rc;
}

int dedup_settle_band(const struct dedup_conf *conf, const char *const *sketches, uint32_t items,
                      int band, const char *work_dir, const char *edges_path, struct io_info *info)
{
    int rc = 0;
    struct extsort *sort = NULL;
    struct edges_writer edges = {0};
    struct bucket bucket = {.conf = conf, .value_count = sketch_values_count(conf)};
    TRY(dedup_check(conf));
    if (band < 0 || band >= dedup_band_count(conf))
        return err_set(ERR_USAGE, "dedup: band %d: there are %d", band, dedup_band_count(conf));
    bucket.exact = conf->exact && band == dedup_band_count(conf) - 1;
    TRY_OUT(sketch_set_open(&bucket.set, conf, sketches, items));
    bucket.values =
        calloc((size_t)(DEDUP_HUBS_MAX + 1) * bucket.value_count + 1, sizeof *bucket.values);
    if (!bucket.values) {
        rc = err_set(ERR_LIMIT, "dedup: no memory to compare sketches");
        goto out;
    }
    TRY_OUT(extsort_open(&sort, 3, conf->memory, sketch_set_rows(bucket.set), work_dir));
    TRY_OUT(band_collect(bucket.set, band, bucket.exact, sort));
    TRY_OUT(edges_create(&edges, edges_path, bucket.set, band));
    TRY_OUT(bucket_walk(&bucket, sort, &edges));
    rc = edges_commit(&edges, info);
out:
    if (edges.stream)
        hash_end(edges.stream);
    io_abandon(edges.file);
    extsort_close(sort);
    sketch_set_close(bucket.set);
    free(bucket.values);
    return rc < 0 ? err_in(rc, "settle band %d", band) : 0;
}

/* ---- reading edges ---- */

static int edges_damaged(const char *path, const char *what)
{
    return err_set(ERR_FORMAT, "dedup: edge file %s: %s: settle that band again", path, what);
}

static int edges_header_check(const char *path, const struct edges_header *h,
                              const struct sketch_set *set, int bands)
{
    if (memcmp(h->magic, magic_edges, sizeof h->magic) != 0 || h->version != EDGES_VERSION)
        return edges_damaged(path, "no edge file of this version");
    if (h->rows != sketch_set_rows(set) || h->set_hash != sketch_set_hash(set))
        return edges_damaged(path, "made from other sketches");
    if (h->band >= (uint32_t)bands)
        return edges_damaged(path, "of a band these options do not have");
    return 0;
}

static int edges_read(struct io_reader *file, const char *path, const struct sketch_set *set,
                      uint64_t count, struct hash_stream *stream, edge_fn *fn, void *arg)
{
    uint64_t(*pair)[2] = malloc(EDGES_READ * sizeof *pair);
    int rc = pair ? 0 : err_set(ERR_LIMIT, "dedup: no memory to read edges");
    uint64_t rows = sketch_set_rows(set);
    while (rc >= 0 && count > 0) {
        size_t now = count < EDGES_READ ? (size_t)count : EDGES_READ, bytes = now * sizeof *pair,
               filled = 0;
        while (filled < bytes) {
            int64_t got = io_read(file, (char *)pair + filled, bytes - filled);
            if (got <= 0) {
                rc = got < 0 ? (int)got : edges_damaged(path, "cut short");
                goto out;
            }
            filled += (size_t)got;
        }
        hash_add(stream, pair, bytes);
        for (size_t i = 0; i < now && rc >= 0; i++)
            rc = pair[i][0] < pair[i][1] && pair[i][1] < rows
                     ? fn(arg, pair[i][0], pair[i][1])
                     : edges_damaged(path, "an impossible pair");
        count -= now;
    }
out:
    free(pair);
    return rc;
}

int edges_walk(const char *path, const struct sketch_set *set, int bands, int *band, edge_fn *fn,
               void *arg)
{
    int rc = 0;
    uint64_t size = 0;
    struct io_reader *file = NULL;
    struct hash_stream *stream = NULL;
    struct edges_header header;
    struct edges_trailer tail;
    TRY(io_size(path, &size));
    if (size < sizeof header + sizeof tail || (size - sizeof header - sizeof tail) % 16 != 0)
        return edges_damaged(path, "its size is not that of an edge file");
    uint64_t count = (size - sizeof header - sizeof tail) / 16;
    TRY_OUT(io_open(&file, path));
    if (io_read(file, &header, sizeof header) != sizeof header) {
        rc = edges_damaged(path, "cut short");
        goto out;
    }
    TRY_OUT(edges_header_check(path, &header, set, bands));
    TRY_OUT(hash_begin(&stream));
    hash_add(stream, &header, sizeof header);
    TRY_OUT(edges_read(file, path, set, count, stream, fn, arg));
    struct hash128 sum = hash_end(stream);
    stream = NULL;
    if (io_read(file, &tail, sizeof tail) != sizeof tail ||
        memcmp(tail.magic, magic_end, sizeof tail.magic) != 0 || tail.count != count ||
        tail.sum.low != sum.low || tail.sum.high != sum.high) {
        rc = edges_damaged(path, "its checksum is wrong");
        goto out;
    }
    *band = (int)header.band;
out:
    if (stream)
        hash_end(stream);
    io_close(file);
    return rc;
}

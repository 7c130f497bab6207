/* cluster - settling once: edges to components, components to clusters with a survivor, and the
 * file pass 2 asks.
 *
 * Cluster file: header of 32 bytes (magic, version, bytes of a row, rows, hash of the sketch set),
 * rows of struct cluster_row by ascending place, trailer of 32 bytes (magic, rows, XXH3-128 of all
 * before it). */
#include "dedup/component.h"
#include "dedup/extsort.h"

#include "core/err.h"

#include <assert.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { CLUSTERS_VERSION = 1 };
static const char magic_clusters[8] = "SLCLUST", magic_end[8] = "SLCLSEND";

struct clusters_header {
    char magic[8];
    uint32_t version, row_bytes;
    uint64_t count, set_hash;
};
struct clusters_trailer {
    char magic[8];
    uint64_t count;
    struct hash128 sum;
};
_Static_assert(sizeof(struct clusters_header) == 32, "no padding");
_Static_assert(sizeof(struct clusters_trailer) == 32, "no padding");
_Static_assert(sizeof(struct cluster_row) == 40, "as in the file");

enum { MEMBER_WORDS = sizeof(struct member) / 8, ROW_WORDS = 5 };

struct settling {
    const struct dedup_conf *conf;
    struct sketch_set *set;
    uint32_t *parent; /* union-find over rows; a root is its component's smallest row */
    struct extsort *members, *rows;
    uint64_t row_count;
    struct component *component;
};

/* ---- union-find ---- */

static uint32_t find_root(uint32_t *parent, uint32_t row)
{
    while (parent[row] != row) {
        parent[row] = parent[parent[row]];
        row = parent[row];
    }
    return row;
}

/* The smaller row becomes the root, so that the components do not depend on the order of edges. */
static int join_pair(void *arg, uint64_t hub, uint64_t other)
{
    uint32_t *parent = arg;
    uint32_t one = find_root(parent, (uint32_t)hub), two = find_root(parent, (uint32_t)other);
    if (one < two)
        parent[two] = one;
    else
        parent[one] = two;
    return 0;
}

static int join_edges(struct settling *t, const char *const *edges, int bands)
{
    uint64_t rows = sketch_set_rows(t->set);
    bool seen[DEDUP_BANDS_MAX + 1] = {false};
    if (bands != dedup_band_count(t->conf))
        return err_set(ERR_USAGE, "dedup: %d edge files for %d bands: settle every band first",
                       bands, dedup_band_count(t->conf));
    t->parent = malloc((rows + 1) * sizeof *t->parent);
    if (!t->parent)
        return err_set(ERR_LIMIT,
                       "dedup: no %llu bytes to join %llu documents: settle fewer items at a time",
                       (unsigned long long)(rows * sizeof *t->parent), (unsigned long long)rows);
    for (uint64_t i = 0; i < rows; i++)
        t->parent[i] = (uint32_t)i;
    for (int i = 0; i < bands; i++) {
        int band = 0;
        TRY(edges_walk(edges[i], t->set, bands, &band, join_pair, t->parent));
        if (seen[band])
            return err_set(ERR_USAGE, "dedup: edge file %s: band %d was given twice", edges[i],
                           band);
        seen[band] = true;
    }
    return 0;
}

/* ---- facts of every document in a component, sorted by component ---- */

struct columns {
    struct sketch_head *head;
    struct sketch_facts *facts;
    struct hash128 *exact;
    uint8_t *joined;
};

static int collect_group(struct settling *t, const struct sketch_group *g, struct columns *c)
{
    bool loaded = false;
    for (uint32_t i = 0; i < g->rows; i++) {
        uint64_t row = g->first + i;
        uint32_t root = find_root(t->parent, (uint32_t)row);
        if (root == row && !(c->joined[row / 8] & 1u << row % 8))
            continue;
        if (!loaded) {
            TRY(sketch_set_column(t->set, g, COLUMN_HEAD, c->head));
            TRY(sketch_set_column(t->set, g, COLUMN_FACTS, c->facts));
            if (t->conf->exact)
                TRY(sketch_set_column(t->set, g, COLUMN_EXACT, c->exact));
            loaded = true;
        }
        struct member m = {.root = root, .row = row, .item = g->item};
        m.id = c->facts[i].id;
        m.date = c->facts[i].date;
        m.text_bytes = c->facts[i].text_bytes;
        m.quality = c->facts[i].quality;
        m.record = c->head[i].record;
        m.has = c->head[i].has;
        m.values_hash = c->head[i].values_hash;
        if (m.has & SKETCH_EXACT)
            m.exact = c->exact[i];
        uint64_t words[MEMBER_WORDS];
        memcpy(words, &m, sizeof words);
        TRY(extsort_add(t->members, words));
    }
    return 0;
}

static int collect_members(struct settling *t)
{
    int rc = 0;
    uint64_t rows = sketch_set_rows(t->set);
    struct sketch_group group = {0};
    struct columns c = {0};
    c.head = malloc(SKETCH_GROUP_ROWS * sizeof *c.head);
    c.facts = malloc(SKETCH_GROUP_ROWS * sizeof *c.facts);
    c.exact = malloc(SKETCH_GROUP_ROWS * sizeof *c.exact);
    c.joined = calloc(rows / 8 + 1, 1);
    if (!c.head || !c.facts || !c.exact || !c.joined) {
        rc = err_set(ERR_LIMIT, "dedup: no memory to collect clusters");
        goto out;
    }
    for (uint64_t row = 0; row < rows; row++) {
        uint32_t root = find_root(t->parent, (uint32_t)row);
        if (root != row)
            c.joined[root / 8] |= (uint8_t)(1u << root % 8);
    }
    while (sketch_set_group(t->set, &group))
        TRY_OUT(collect_group(t, &group, &c));
    rc = extsort_finish(t->members);
out:
    free(c.head);
    free(c.facts);
    free(c.exact);
    free(c.joined);
    return rc;
}

/* ---- components to rows ---- */

static int row_emit(void *arg, const struct member *survivor, const struct member *m, uint32_t size,
                    bool exact)
{
    struct settling *t = arg;
    uint64_t words[ROW_WORDS] = {
        (uint64_t)m->item << 32 | m->record,
        (uint64_t)survivor->item << 32 | survivor->record,
        m->id,
        survivor->id,
        (uint64_t)exact << 32 | size,
    };
    t->row_count++;
    return extsort_add(t->rows, words);
}

static int components_settle(struct settling *t)
{
    const uint64_t *record;
    uint64_t root = UINT64_MAX;
    int more;
    while ((more = extsort_next(t->members, &record)) > 0) {
        struct member m;
        memcpy(&m, record, sizeof m);
        if (m.root != root)
            TRY(component_settle(t->component));
        root = m.root;
        TRY(component_add(t->component, &m));
    }
    TRY(more);
    TRY(component_settle(t->component));
    return extsort_finish(t->rows);
}

/* ---- the file ---- */

static int rows_write(struct settling *t, struct io_writer *file, struct hash_stream *stream)
{
    struct clusters_header header = {.version = CLUSTERS_VERSION,
                                     .row_bytes = sizeof(struct cluster_row)};
    memcpy(header.magic, magic_clusters, sizeof header.magic);
    header.count = t->row_count;
    header.set_hash = sketch_set_hash(t->set);
    hash_add(stream, &header, sizeof header);
    TRY(io_write(file, &header, sizeof header));
    const uint64_t *record;
    int more;
    while ((more = extsort_next(t->rows, &record)) > 0) {
        struct cluster_row row;
        memset(&row, 0, sizeof row); /* padding is written too */
        row.doc = (struct dedup_key){(uint32_t)(record[0] >> 32), (uint32_t)record[0]};
        row.survivor = (struct dedup_key){(uint32_t)(record[1] >> 32), (uint32_t)record[1]};
        row.id = record[2];
        row.survivor_id = record[3];
        row.size = (uint32_t)record[4];
        row.exact = (uint8_t)(record[4] >> 32);
        hash_add(stream, &row, sizeof row);
        TRY(io_write(file, &row, sizeof row));
    }
    return more;
}

static int clusters_write(struct settling *t, const char *path, struct io_info *info)
{
    int rc = 0;
    struct io_writer *file = NULL;
    struct hash_stream *stream = NULL;
    struct clusters_trailer tail = {.count = t->row_count};
    memcpy(tail.magic, magic_end, sizeof tail.magic);
    TRY_OUT(hash_begin(&stream));
    TRY_OUT(io_create(&file, path, IO_PLAIN, 0));
    TRY_OUT(rows_write(t, file, stream));
    tail.sum = hash_end(stream);
    stream = NULL;
    TRY_OUT(io_write(file, &tail, sizeof tail));
    rc = io_commit(file, info);
    file = NULL;
out:
    if (stream)
        hash_end(stream);
    io_abandon(file);
    return rc;
}

int dedup_settle_clusters(const struct dedup_conf *conf, const char *const *sketches,
                          uint32_t items, const char *const *edges, int bands,
                          const char *clusters_path, struct io_info *info)
{
    int rc = 0;
    char dir[IO_PATH_MAX];
    struct settling t = {.conf = conf};
    TRY(io_path(dir, "%s", clusters_path));
    char *slash = strrchr(dir, '/');
    TRY(slash ? io_path(dir, "%.*s", slash == dir ? 1 : (int)(slash - dir), clusters_path)
              : io_path(dir, "."));
    TRY(sketch_set_open(&t.set, conf, sketches, items));
    TRY_OUT(component_open(&t.component, conf, t.set, row_emit, &t));
    uint64_t rows = sketch_set_rows(t.set);
    TRY_OUT(join_edges(&t, edges, bands));
    TRY_OUT(extsort_open(&t.members, MEMBER_WORDS, conf->memory / 2, rows, dir));
    TRY_OUT(extsort_open(&t.rows, ROW_WORDS, conf->memory / 2, rows, dir));
    TRY_OUT(collect_members(&t));
    TRY_OUT(components_settle(&t));
    rc = clusters_write(&t, clusters_path, info);
out:
    extsort_close(t.members);
    extsort_close(t.rows);
    free(t.parent);
    component_close(t.component);
    sketch_set_close(t.set);
    return rc < 0 ? err_in(rc, "settle clusters") : 0;
}

/* ---- pass 2 ---- */

struct clusters {
    void *map;
    size_t bytes;
    const struct cluster_row *row;
    uint64_t count;
};

static uint64_t place_of(struct dedup_key key) { return (uint64_t)key.item << 32 | key.record; }

static int clusters_damaged(const char *path, const char *what)
{
    return err_set(ERR_FORMAT, "dedup: cluster file %s: %s: settle the clusters again", path, what);
}

static int clusters_check(struct clusters *c, const char *path)
{
    struct clusters_header header;
    struct clusters_trailer tail;
    const char *bytes = c->map;
    memcpy(&header, bytes, sizeof header);
    if (memcmp(header.magic, magic_clusters, sizeof header.magic) != 0 ||
        header.version != CLUSTERS_VERSION || header.row_bytes != sizeof(struct cluster_row))
        return clusters_damaged(path, "no cluster file of this version");
    memcpy(&tail, bytes + c->bytes - sizeof tail, sizeof tail);
    uint64_t rows = (c->bytes - sizeof header - sizeof tail) / sizeof(struct cluster_row);
    if (memcmp(tail.magic, magic_end, sizeof tail.magic) != 0 || header.count != rows ||
        tail.count != rows ||
        c->bytes != sizeof header + rows * sizeof(struct cluster_row) + sizeof tail)
        return clusters_damaged(path, "cut short");
    struct hash128 sum = hash128(bytes, c->bytes - sizeof tail);
    if (sum.low != tail.sum.low || sum.high != tail.sum.high)
        return clusters_damaged(path, "its checksum is wrong");
    c->count = rows;
    c->row = (const struct cluster_row *)(const void *)(bytes + sizeof header);
    for (uint64_t i = 1; i < rows; i++)
        if (place_of(c->row[i - 1].doc) >= place_of(c->row[i].doc))
            return clusters_damaged(path, "its rows are not in order");
    return 0;
}

int clusters_open(struct clusters **out, const char *path)
{
    int rc = 0;
    struct stat st;
    struct clusters *c = calloc(1, sizeof *c);
    if (!c)
        return err_set(ERR_LIMIT, "dedup: no memory to open %s", path);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) != 0) {
        rc = err_sys("dedup: open cluster file %s", path);
        goto out;
    }
    if ((uint64_t)st.st_size < sizeof(struct clusters_header) + sizeof(struct clusters_trailer)) {
        rc = clusters_damaged(path, "too short");
        goto out;
    }
    c->bytes = (size_t)st.st_size;
    c->map = mmap(NULL, c->bytes, PROT_READ, MAP_SHARED, fd, 0);
    if (c->map == MAP_FAILED) {
        c->map = NULL;
        rc = err_sys("dedup: map %s", path);
        goto out;
    }
    TRY_OUT(clusters_check(c, path));
    *out = c;
out:
    if (fd >= 0)
        close(fd);
    if (rc < 0)
        clusters_close(c);
    return rc;
}

const struct cluster_row *clusters_find(const struct clusters *c, struct dedup_key key)
{
    uint64_t low = 0, high = c->count, place = place_of(key);
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        uint64_t at = place_of(c->row[middle].doc);
        if (at == place)
            return &c->row[middle];
        if (at < place)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

uint64_t clusters_count(const struct clusters *c) { return c->count; }

const struct cluster_row *clusters_at(const struct clusters *c, uint64_t row)
{
    assert(row < c->count);
    return &c->row[row];
}

void clusters_close(struct clusters *c)
{
    if (!c)
        return;
    if (c->map)
        munmap(c->map, c->bytes);
    free(c);
}

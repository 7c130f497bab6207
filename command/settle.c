/* settle - between the passes: duplicates become clusters, and the tokenizer is trained on what is
 * kept. */
#include "command/run.h"
#include "core/err.h"

#include <stdlib.h>

/* Paths of one kind of file for every unit, in the run's arena. */
static int list_paths(struct run *r, struct arena *a, const char *format, uint32_t count,
                      const char *const **out)
{
    const char **path = arena_array(a, const char *, count ? count : 1);
    if (!path)
        return ERR_LIMIT;
    for (uint32_t i = 0; i < count; i++) {
        char relative[64], full[IO_PATH_MAX];
        snprintf(relative, sizeof relative, format, i);
        TRY(io_path(full, "%s/%s", r->dir, relative));
        path[i] = arena_strdup(a, str_of(full));
        if (!path[i])
            return ERR_LIMIT;
    }
    *out = path;
    return 0;
}

int task_band(struct run *r, uint32_t unit, struct manifest *m)
{
    struct arena a;
    const char *const *sketch;
    char relative[64], edges[IO_PATH_MAX], work[IO_PATH_MAX];
    struct io_info info;
    int rc;
    TRY(arena_open(&a, 1 << 30));
    TRY_OUT(list_paths(r, &a, "signatures/%05u.sig", r->input_count, &sketch));
    snprintf(relative, sizeof relative, "dedup/edges-%03u.bin", unit);
    TRY_OUT(io_path(edges, "%s/%s", r->dir, relative));
    TRY_OUT(io_path(work, "%s/dedup/work-%03u", r->dir, unit));
    TRY_OUT(io_mkdirs(work));
    TRY_OUT(dedup_settle_band(&r->recipe->dedup, sketch, r->input_count, (int)unit, work, edges,
                              &info));
    TRY_OUT(io_remove_tree(work));
    rc = run_output(r, m, relative, &info);
out:
    arena_close(&a);
    return rc;
}

/* ---- URLs of survivors, so that a dropped duplicate can say which page stands for it ---- */
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

static int survivor_keys(const struct clusters *c, struct dedup_key **out, uint64_t *count)
{
    uint64_t rows = clusters_count(c), kept = 0;
    struct dedup_key *key = calloc(rows ? rows : 1, sizeof *key);
    if (!key)
        return err_set(ERR_LIMIT, "clusters: no memory for %llu rows", (unsigned long long)rows);
    for (uint64_t i = 0; i < rows; i++) {
        const struct cluster_row *row = clusters_at(c, i);
        if (by_key(&row->doc, &row->survivor) == 0)
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

static int survivors_write(struct run *r, const struct clusters *c, const char *path,
                           struct io_info *info)
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

int task_clusters(struct run *r, uint32_t unit, struct manifest *m)
{
    struct arena a;
    const char *const *sketch, *const *edges;
    char path[IO_PATH_MAX];
    struct io_info info;
    struct clusters *c = NULL;
    int bands = dedup_band_count(&r->recipe->dedup), rc;
    UNUSED(unit);
    TRY(recipe_open_stages(r->recipe, r->dir, r->recipe->stage_count));
    TRY(arena_open(&a, 1 << 30));
    TRY_OUT(list_paths(r, &a, "signatures/%05u.sig", r->input_count, &sketch));
    TRY_OUT(list_paths(r, &a, "dedup/edges-%03u.bin", (uint32_t)bands, &edges));
    TRY_OUT(io_path(path, "%s/dedup/clusters.bin", r->dir));
    TRY_OUT(dedup_settle_clusters(&r->recipe->dedup, sketch, r->input_count, edges, bands, path,
                                  &info));
    TRY_OUT(run_output(r, m, "dedup/clusters.bin", &info));
    TRY_OUT(clusters_open(&c, path));
    TRY_OUT(manifest_add_count(m, "clustered", clusters_count(c)));
    TRY_OUT(io_path(path, "%s/dedup/survivors.zst", r->dir));
    TRY_OUT(survivors_write(r, c, path, &info));
    rc = run_output(r, m, "dedup/survivors.zst", &info);
out:
    if (c)
        clusters_close(c);
    arena_close(&a);
    return rc;
}

/* ---- the tokenizer ---- */
static int tokenizer_add_item(struct run *r, struct bpe_trainer *t, const struct clusters *c,
                              uint32_t item, double share, uint64_t *documents, uint64_t *bytes)
{
    char path[IO_PATH_MAX];
    struct spool_reader *spool;
    struct spool_doc d;
    int rc;
    TRY(io_path(path, "%s/spool/%05u.zst", r->dir, item));
    TRY(spool_open(&spool, path, r->recipe->schema.signal_count));
    while ((rc = spool_next(spool, &d)) > 0) {
        if (d.rule || run_is_heldout(r->recipe, d.id))
            continue;
        const struct cluster_row *row =
            c ? clusters_find(c, (struct dedup_key){item, d.record}) : NULL;
        if (row && by_key(&row->doc, &row->survivor) != 0)
            continue;
        if (hash_unit((uint64_t)r->recipe->run.seed ^ 0x70C, d.id) >= share)
            continue;
        ++*documents;
        *bytes += d.text.len;
        rc = bpe_trainer_add(t, d.text, 1);
        if (rc < 0)
            break;
    }
    spool_close(spool);
    return rc < 0 ? rc : 0;
}

static int tokenizer_learn(struct run *r, struct manifest *m)
{
    const struct tokenizer_conf *conf = &r->recipe->tokenizer;
    struct bpe_train_conf train = {.vocab_size = conf->vocab_size,
                                   .pretok = (enum pretok)pretok_find(conf->pretok),
                                   .memory = r->recipe->run.memory};
    char path[IO_PATH_MAX], dir[IO_PATH_MAX];
    struct bpe_trainer *t = NULL;
    struct clusters *c = NULL;
    uint64_t kept_bytes, documents = 0, bytes = 0;
    struct io_info json, ranks;
    int rc;
    TRY(run_count(r, "pass1", "kept_bytes", &kept_bytes));
    double share =
        kept_bytes > conf->sample_bytes ? (double)conf->sample_bytes / (double)kept_bytes : 1;
    TRY(io_path(dir, "%s/tokenizer", r->dir));
    TRY(io_path(path, "%s/dedup/clusters.bin", r->dir));
    if (r->recipe->has_dedup)
        TRY_OUT(clusters_open(&c, path));
    TRY_OUT(bpe_trainer_open(&t, &train));
    for (uint32_t i = 0; i < r->input_count; i++)
        TRY_OUT(tokenizer_add_item(r, t, c, i, share, &documents, &bytes));
    if (documents == 0) {
        rc = err_set(ERR_GATE, "tokenizer: no document was kept, so there is nothing to learn "
                               "from: see `sluice why` and the "
                               "ledger for what dropped them");
        goto out;
    }
    TRY_OUT(bpe_trainer_finish(t, dir, &json, &ranks));
    TRY_OUT(manifest_add_count(m, "documents", documents));
    TRY_OUT(manifest_add_count(m, "bytes", bytes));
    TRY_OUT(run_output(r, m, "tokenizer/tokenizer.json", &json));
    rc = run_output(r, m, "tokenizer/tokenizer.tiktoken", &ranks);
out:
    bpe_trainer_close(t);
    if (c)
        clusters_close(c);
    return rc;
}

/* A given tokenizer is copied into the run, so that the run stands alone. */
static int tokenizer_copy(struct run *r, struct manifest *m, const char *from)
{
    char to[IO_PATH_MAX], relative[64], *bytes;
    size_t len;
    struct io_info info;
    struct tokenizer *t;
    TRY(tokenizer_open(&t, from));
    tokenizer_close(t);
    snprintf(relative, sizeof relative, "tokenizer/tokenizer.%s",
             str_ends(str_of(from), ".json") ? "json" : "tiktoken");
    TRY(io_path(to, "%s/%s", r->dir, relative));
    TRY(io_read_file(from, 256 << 20, &bytes, &len));
    int rc = io_write_file(to, (struct str){bytes, len});
    free(bytes);
    TRY(rc);
    TRY(io_hash_file(to, &info));
    return run_output(r, m, relative, &info);
}

int task_tokenizer(struct run *r, uint32_t unit, struct manifest *m)
{
    UNUSED(unit);
    const char *given = r->recipe->tokenizer.path;
    if (given && given[0])
        return tokenizer_copy(r, m, given);
    TRY(recipe_open_stages(r->recipe, r->dir, r->recipe->stage_count));
    return tokenizer_learn(r, m);
}

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
        if (row && !survivor_is(row))
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

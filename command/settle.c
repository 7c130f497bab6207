/* settle - between the passes: bands become edges, edges become clusters. */
#include "command/run.h"
#include "core/err.h"

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
    rc = manifest_add_output(m, relative, &info);
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
    TRY_OUT(manifest_add_output(m, "dedup/clusters.bin", &info));
    TRY_OUT(clusters_open(&c, path));
    TRY_OUT(manifest_add_count(m, "clustered", clusters_count(c)));
    TRY_OUT(io_path(path, "%s/dedup/survivors.zst", r->dir));
    TRY_OUT(survivors_write(r, c, path, &info));
    rc = manifest_add_output(m, "dedup/survivors.zst", &info);
out:
    if (c)
        clusters_close(c);
    arena_close(&a);
    return rc;
}

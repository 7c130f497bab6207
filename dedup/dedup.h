/* dedup - finds documents that stand in the corpus already: exact text and MinHash near-duplicates. */
#ifndef SLUICE_DEDUP_DEDUP_H
#define SLUICE_DEDUP_DEDUP_H
#include "core/io.h"
#include "core/pipe.h"

/* A method signs in pass 1, settles once, and tells in pass 2. One file and one row of dedups.def each.
 * Everything is keyed by place (item, record); ids are only checks. */
struct dedup_key { uint32_t item, record; };
struct dedup_method {
    const char *name, *help, *source;
    const struct opt *opts; size_t conf_size;
    size_t local_size;
    /* Any thread, live docs only: leaves doc.sketch (sketch_bytes(conf) bytes) in the batch arena, or nothing
     * when the document is too short to be judged. */
    int (*sign)(const void *conf, void *local, struct batch *b, struct doc *d);
    uint32_t (*sketch_bytes)(const void *conf);
    int bands;                                  /* filled by conf: see dedup_bands */
};
#define DEDUP(name) extern const struct dedup_method dedup_##name;
#include "dedup/dedups.def"
#undef DEDUP
extern const struct dedup_method *const dedups[];

/* Stage `dedup_sign` of pass 1: runs every method named in conf and packs their sketches into doc.sketch. */
struct dedup_conf {
    bool exact;                                  /* whole text, normalised white space, XXH3-128 */
    bool minhash;
    int64_t bands, rows, shingle;                /* 14, 8, 5 words: arXiv:2406.17557 */
    double verify;                               /* least share of equal MinHash values of an edge (0: no check) */
    int64_t seed;
    const char *policy;                          /* who stays: longest | first | quality | newest */
    uint64_t memory;                             /* bytes the sorts may use */
};
extern const struct opt dedup_opts[];            /* rows over struct dedup_conf */
extern const struct stage_type stage_dedup;

/* Sketch files: one an input item, written by pass 1's sink: RUN/signatures/NNNNN.sig. A row per signed
 * document: record, id, text bytes, quality, date hash and the sketch. */
struct sketch_writer;
int sketch_create(struct sketch_writer **out, const char *path, uint32_t item, const struct dedup_conf *conf);
int sketch_add(struct sketch_writer *w, const struct doc *d, float quality);
int sketch_commit(struct sketch_writer *w, struct io_info *info);
void sketch_abandon(struct sketch_writer *w);

/* settle, per band (a pure task each; any order): reads all sketch files, sorts the band's keys within the memory
 * budget (spilling sorted runs to work_dir), writes candidate edges that pass verification to edges_path. Band numbers
 * are 0 .. dedup_band_count()-1; exact hashes are one more band. A bucket of n equal keys makes n-1 edges (a star on
 * its smallest place), so that a million identical pages stay linear. */
int dedup_band_count(const struct dedup_conf *conf);
int dedup_settle_band(const struct dedup_conf *conf, const char *const *sketches, uint32_t items, int band,
                      const char *work_dir, const char *edges_path, struct io_info *info);
/* settle, once: union-find over all edges -> clusters -> one survivor by the policy (ties: smallest place). Writes the
 * cluster file: sorted by place, one row for every document in a cluster of two or more. */
int dedup_settle_clusters(const struct dedup_conf *conf, const char *const *sketches, uint32_t items,
                          const char *const *edges, int bands, const char *clusters_path, struct io_info *info);
/* Reading it in pass 2. cluster is the survivor's place packed as item << 32 | record. */
struct cluster_row { struct dedup_key doc, survivor; uint64_t id, survivor_id; uint32_t size; uint8_t exact; };
struct clusters;
int clusters_open(struct clusters **out, const char *path);
const struct cluster_row *clusters_find(const struct clusters *c, struct dedup_key key);  /* NULL: alone */
uint64_t clusters_count(const struct clusters *c);                                          /* rows */
const struct cluster_row *clusters_at(const struct clusters *c, uint64_t row);
void clusters_close(struct clusters *c);
#endif

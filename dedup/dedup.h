/* dedup - finds documents that the corpus has already: exact text and MinHash near-duplicates. */
#ifndef SLUICE_DEDUP_DEDUP_H
#define SLUICE_DEDUP_DEDUP_H
#include "core/io.h"
#include "core/pipe.h"

/* Three steps. Pass 1 signs each kept document (stage `dedup_sign`) and its sink writes one sketch
 * file an input item. Settling sorts one band at a time into edges, then joins the edges to
 * clusters with one survivor each. Pass 2 asks for each place whether it stays.
 *
 * Everything is keyed by place (item, record), which must be unique; ids are carried along as
 * checks and never compared. The results follow from the documents, their order of places and the
 * conf: not from threads, from the order of the sketch files, of the bands or of the edges, nor
 * from the memory that was allowed. */
struct dedup_key {
    uint32_t item, record;
};

enum {
    DEDUP_VALUES_MAX = 1024, /* bands * rows: MinHash values of a document */
    DEDUP_BANDS_MAX = 256,
    DEDUP_HUBS_MAX = 16, /* documents of a bucket that others are compared with */
    DEDUP_SURVIVORS_MAX =
        16, /* survivors of a component that all its documents are compared with */
};
/* Signed documents one settling can hold: 4 bytes of memory each. */
#define DEDUP_DOCS_MAX 0xfffffffeull

/* A method signs in pass 1. One file and one row of dedups.def each. */
struct dedup_conf;
struct dedup_method {
    size_t local_size; /* bytes per thread, zeroed once */
    /* Any thread, live docs only: leaves doc.sketch (sketch_bytes(conf) bytes) in the batch arena,
     * or NULL when there is nothing in the document to be judged. conf is a struct dedup_conf. */
    int (*sign)(const void *conf, void *local, struct batch *b, struct doc *d);
    uint32_t (*sketch_bytes)(const void *conf); /* 0: the method is switched off */
    int bands; /* keys a document; 0: conf says (see dedup_band_count) */
};
#define DEDUP(name) extern const struct dedup_method dedup_##name;
#include "dedup/dedups.def"
#undef DEDUP

/* Stage `dedup` of pass 1: runs every method named in conf and packs their sketches into
 * doc.sketch; a document without a word and without text gets none (sketch NULL) and is never a
 * duplicate.
 *
 * exact: XXH3-128 of the text with runs of white space (Unicode) turned into one space and trimmed.
 *
 * minhash: shingles are `shingle` words in a row, over the lower-cased words that start with a
 * letter, mark or number (symbol words are skipped); a document of fewer words is hashed whole, so
 * that copies of short texts meet. In scripts without spaces a word is one code point: raise
 * `shingle` for such corpora. Value i is the least of lo * a[i] + hi * b[i] (mod 2^32) over the
 * shingles' 64-bit hashes hi:lo. */
struct dedup_conf {
    bool exact; /* whole text, normalised white space, XXH3-128 */
    bool minhash;
    int64_t bands, rows, shingle; /* 14, 8, 5 words: arXiv:2406.17557 */
    double verify;                /* least share of equal MinHash values of an edge (0: no check) */
    int64_t seed;
    const char *policy; /* who stays: longest | first | quality | newest */
    uint64_t memory;    /* bytes the sorts may use */
};
extern const struct opt dedup_opts[]; /* rows over struct dedup_conf */
extern const struct stage_type stage_dedup;
/* ERR_USAGE when the numbers of a conf do not go together; the stage and every step of settling ask
 * it. */
int dedup_check(const struct dedup_conf *conf);

/* Sketch files: one an input item, written by pass 1's sink: RUN/signatures/NNNNN.sig. A row per
 * signed document: record, id, text bytes, quality, date and the sketch. Memory: one group of rows
 * (about 8 MiB). Documents come in ascending record; one without a sketch is skipped. */
struct sketch_writer;
int sketch_create(struct sketch_writer **out, const char *path, uint32_t item,
                  const struct dedup_conf *conf);
int sketch_add(struct sketch_writer *w, const struct doc *d, float quality);
int sketch_commit(struct sketch_writer *w, struct io_info *info); /* frees w, whatever it returns */
void sketch_abandon(struct sketch_writer *w);                     /* NULL is fine */

/* settle, per band (a pure task each; any order): reads the band's column of all sketch files,
 * sorts its keys within the memory budget (spilling sorted runs to work_dir, in files that have no
 * name), writes candidate edges that pass verification to edges_path. Band numbers are 0 ..
 * dedup_band_count()-1; exact hashes are one more band, the last. A bucket of n equal keys makes at
 * most n-1 edges (stars on its smallest places), so that a million identical pages stay linear:
 * each document is compared with the smallest place of the bucket, and where they differ with the
 * next that differed, up to DEDUP_HUBS_MAX. sketches may come in any order. Damaged files are
 * ERR_FORMAT: every byte that is used is checked before. Files signed with another conf are
 * ERR_USAGE. */
int dedup_band_count(const struct dedup_conf *conf);
int dedup_settle_band(const struct dedup_conf *conf, const char *const *sketches, uint32_t items,
                      int band, const char *work_dir, const char *edges_path, struct io_info *info);
/* settle, once: union-find over all edges -> clusters -> one survivor by the policy (ties: smallest
 * place). Writes the cluster file: sorted by place, one row for every document in a cluster of two
 * or more.
 *
 * A chain of edges may join documents that are not alike (A ~ B ~ C). Hence the diameter rule: the
 * documents of a connected component are taken from the best on by the policy; each goes with the
 * first survivor whose text is exactly its own or with which it shares at least `verify` of its
 * MinHash values, or else becomes a survivor. So every dropped document is like the one that stays
 * for it, and exact copies never stay. Where a component has more than DEDUP_SURVIVORS_MAX
 * survivors, the later ones are asked only by documents that share a whole band or the text with
 * them: time is linear in the documents. verify 0: a component is one cluster.
 *
 * Memory: conf->memory for the sorts, 4 bytes a signed document, and for the largest component
 * about 100 bytes a document and 500 a survivor. Spilled runs lie beside clusters_path. `edges`
 * must come from the same sketches (else ERR_FORMAT). */
int dedup_settle_clusters(const struct dedup_conf *conf, const char *const *sketches,
                          uint32_t items, const char *const *edges, int bands,
                          const char *clusters_path, struct io_info *info);
/* Reading it in pass 2. `exact` is 1 for a document whose normalised text equals its survivor's, 0
 * for the survivor itself: the sum over rows is the number of exact duplicates. size counts the
 * survivor too. */
struct cluster_row {
    struct dedup_key doc, survivor;
    uint64_t id, survivor_id;
    uint32_t size;
    uint8_t exact;
};
struct clusters;
/* Maps the file and checks size, order and checksum (a pass over the file). Rows live until
 * clusters_close; any number of threads may ask. */
int clusters_open(struct clusters **out, const char *path);
/* NULL: the document is alone. */
const struct cluster_row *clusters_find(const struct clusters *c, struct dedup_key key);
uint64_t clusters_count(const struct clusters *c); /* rows */
const struct cluster_row *clusters_at(const struct clusters *c, uint64_t row);
void clusters_close(struct clusters *c); /* NULL is fine */
#endif

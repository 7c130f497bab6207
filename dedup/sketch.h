/* sketch - inside dedup: what a document leaves behind, the file of such rows, and reading many
 * files as one table. */
#ifndef SLUICE_DEDUP_SKETCH_H
#define SLUICE_DEDUP_SKETCH_H
#include "dedup/dedup.h"

/* doc.sketch as the stage packs it: `has` (bit i: method i of dedups.def signed), then a slot for
 * each method that is on, in that order, zeroed where it did not sign. */
enum { SKETCH_EXACT = 1, SKETCH_MINHASH = 2 };
struct sketch_pack {
    uint32_t has, bytes;
    unsigned char slot[];
};

/* Columns of a group in a sketch file. KEYS is followed by one column per band. */
struct sketch_head {
    uint32_t record, has;
    uint64_t values_hash;
};
struct sketch_facts {
    uint64_t id, date;
    uint32_t text_bytes;
    float quality;
};
enum sketch_column { COLUMN_HEAD, COLUMN_FACTS, COLUMN_EXACT, COLUMN_KEYS };
enum { SKETCH_GROUP_ROWS = 16384 };

/* All sketch files of a settling as one table: rows numbered in ascending place. */
struct sketch_set;
int sketch_set_open(struct sketch_set **out, const struct dedup_conf *conf,
                    const char *const *paths, uint32_t items);
uint64_t sketch_set_rows(const struct sketch_set *s);
/* Changes with any byte of any file: edges carry it, so that they cannot be joined with other
 * sketches. */
uint64_t sketch_set_hash(const struct sketch_set *s);
/* A group: rows [first, first + rows) of one item, at most SKETCH_GROUP_ROWS. */
struct sketch_group {
    uint32_t file, item, rows;
    uint64_t group, first;
};
bool sketch_set_group(const struct sketch_set *s,
                      struct sketch_group *at); /* the next after *at; zeroed: the first */
/* Reads one column of a group and checks it; `to` holds rows * the column's bytes. */
int sketch_set_column(struct sketch_set *s, const struct sketch_group *g, int column, void *to);
/* MinHash values of one row: must hash to `expect` (from its checked head). */
int sketch_set_values(struct sketch_set *s, uint64_t row, uint64_t expect, uint32_t *values);
void sketch_set_close(struct sketch_set *s);

/* Edges as a band's settling left them: fn gets every pair (hub < other, both < rows of the set).
 * What does not belong to this set or to `conf`, or is damaged, is ERR_FORMAT. *band: the file's
 * band. */
typedef int edge_fn(void *arg, uint64_t hub, uint64_t other);
int edges_walk(const char *path, const struct sketch_set *set, int bands, int *band, edge_fn *fn,
               void *arg);

/* Share of equal values. */
static inline double sketch_share(const uint32_t *a, const uint32_t *b, uint32_t count)
{
    uint32_t same = 0;
    for (uint32_t i = 0; i < count; i++)
        same += a[i] == b[i];
    return (double)same / (double)count;
}
uint32_t sketch_values_count(const struct dedup_conf *conf); /* bands * rows, 0 without minhash */

/* Folds count shingle hashes (low and high halves) into values[lanes], lanes a multiple of 16.
 * level picks the code: 0 plain C, 1 AVX2, 2 AVX-512; all give the same bits. minhash_level() is
 * the best this machine has. */
void minhash_fold(int level, uint32_t *values, const uint32_t *mul_low, const uint32_t *mul_high,
                  uint32_t lanes, const uint32_t *low, const uint32_t *high, uint32_t count);
int minhash_level(void);
/* The multipliers a (odd) and b of value i under a seed. */
void minhash_multipliers(uint64_t seed, uint32_t index, uint32_t *mul_low, uint32_t *mul_high);
/* Hash of one word as shingles use it: lower-cased, alike on every machine. */
uint64_t minhash_word(struct str word);
#endif

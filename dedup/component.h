/* component - inside dedup: the documents that edges join, and their split into clusters with a
 * survivor. */
#ifndef SLUICE_DEDUP_COMPONENT_H
#define SLUICE_DEDUP_COMPONENT_H
#include "dedup/sketch.h"

/* What deciding needs to know of a document. root: smallest row of its component. */
struct member {
    uint64_t root, row, id, date, values_hash;
    struct hash128 exact;
    uint32_t text_bytes, item, record, has;
    float quality;
    uint32_t zero;
};
_Static_assert(sizeof(struct member) == 80, "no padding: it goes through sorts as it lies");

/* Called for every document of a cluster of two or more, in no stated order. */
typedef int member_fn(void *arg, const struct member *survivor, const struct member *m,
                      uint32_t size, bool exact);

/* One component at a time: add its members by ascending row, settle, and it is empty again. The
 * rule stands at dedup_settle_clusters. */
struct component;
int component_open(struct component **out, const struct dedup_conf *conf, struct sketch_set *set,
                   member_fn *fn, void *arg);
int component_add(struct component *c, const struct member *m);
int component_settle(struct component *c);
void component_close(struct component *c); /* NULL is fine */
#endif

/* widen - inside store: ids of the map become a row's inputs, targets and document starts. */
#ifndef SLUICE_STORE_WIDEN_H
#define SLUICE_STORE_WIDEN_H
#include "core/base.h"

/* A piece of a row while it is filled. All three arrays are the whole row's; doc_start may be NULL.
 */
struct widen {
    int32_t *inputs, *targets, *doc_start;
    int32_t eot, start; /* start: where the document of the next token begins */
    uint32_t at;        /* place of the next token */
};
/* Takes n ids of 2 or 4 bytes each in one pass: token i is written as input `at + i` and as the
 * target of the place in front of it, unless it is the first of a piece (first). */
void widen_ids(struct widen *w, const void *ids, uint32_t n, uint32_t token_bytes, bool first);
#endif

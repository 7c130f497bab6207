/* deal - inside store: the closed form by which the rows of a mixture are dealt to its sources. */
#ifndef SLUICE_STORE_DEAL_H
#define SLUICE_STORE_DEAL_H
#include "core/base.h"

enum { DEAL_MAX = 64 };
/* Shares as integers, so that the deal is exact and alike on every machine. */
#define DEAL_UNIT (1ull << 48)

/* A binary tree over the sources that have a weight; see deal.c. */
struct deal {
    uint32_t nodes, root; /* root: a node, or DEAL_LEAF + source where there is only one */
    struct {
        uint64_t left_share;       /* of 2^63 */
        uint32_t child[2], parent; /* child: a node or DEAL_LEAF + source */
        uint32_t side;             /* which child of its parent it is */
    } node[DEAL_MAX];
    struct {
        uint32_t parent, side;
    } leaf[DEAL_MAX];
};
#define DEAL_LEAF 0x80000000u

/* weight[source] <= DEAL_UNIT; at least one is above 0. */
void deal_open(struct deal *d, const uint64_t weight[DEAL_MAX]);
/* Source of row k, and how many rows before it were that source's; k < 2^61. */
uint32_t deal_choose(const struct deal *d, uint64_t k, uint64_t *before);
/* How many of the first k rows are the source's; it must have a weight. */
uint64_t deal_count(const struct deal *d, uint32_t source, uint64_t k);
/* The least k with deal_count(k) >= rows; most where that is less. */
uint64_t deal_when(const struct deal *d, uint32_t source, uint64_t rows, uint64_t most);
#endif

/* deal - deals rows to sources by nested floors, so that row k is found without the rows before it.
 *
 * A node of the tree gets the rows 0, 1, 2, ... of its own; row k goes left if
 * floor((k + 1) p + 1/2) > floor(k p + 1/2), where p is the left child's share of the node. So of
 * the first k rows floor(k p + 1/2) went left, which is within half a row of k p, and as much went
 * right: a row's number in its child is known at once, and a walk from the root to a leaf finds the
 * source and how many rows it gave before.
 *
 * How far a source may be from its share: let q_d be the share of a source in its parent, q_(d-1)
 * that of the parent in the grandparent, and so on. Every node on the way adds at most half a row,
 * times the shares below it:  1/2 (1 + q_d + q_d q_(d-1) + ...).  The tree is Huffman's: two nodes
 * joined were the lightest at that time, so what the joint node u is joined with later weighs at
 * least as much as the heavier child of u, and therefore at least half as much as u: the share of
 * an inner node in its parent is at most 2/3, and a leaf x with sibling y and uncle v >= max(x, y)
 * has q_d q_(d-1) = x / (x + y + v) <= 1/2. The sum is below 1/2 (1 + 1 + 1/2 (1 + 2/3 + 4/9 +
 * ...)) = 1.75 rows. (Shares are rounded to 2^-63, which adds k / 2^63.) Rows of equal weights take
 * turns.
 *
 * Tijdeman's rule ("The chairman assignment problem", 1980), which was here before, stays within
 * one row but has no closed form: finding row 10^9 meant walking there. */
#include "store/deal.h"

#include <assert.h>

/* The lightest two of the nodes that have no parent yet; ties by number, so that the tree follows
 * from the weights. */
static void lightest_two(const uint64_t *weight, const bool *open, uint32_t count, uint32_t out[2])
{
    out[0] = out[1] = UINT32_MAX;
    for (uint32_t i = 0; i < count; i++) {
        if (!open[i])
            continue;
        if (out[0] == UINT32_MAX || weight[i] < weight[out[0]]) {
            out[1] = out[0];
            out[0] = i;
        } else if (out[1] == UINT32_MAX || weight[i] < weight[out[1]]) {
            out[1] = i;
        }
    }
}

void deal_open(struct deal *d, const uint64_t weight[DEAL_MAX])
{
    /* 0 .. DEAL_MAX - 1: sources; behind them nodes. Sums stay below 2^54. */
    uint64_t sum[2 * DEAL_MAX] = {0};
    bool open[2 * DEAL_MAX] = {false};
    uint32_t left = 0, pair[2];
    *d = (struct deal){.nodes = 0};
    for (uint32_t s = 0; s < DEAL_MAX; s++) {
        assert(weight[s] <= DEAL_UNIT);
        sum[s] = weight[s];
        open[s] = weight[s] > 0;
        left += open[s];
        if (open[s])
            d->root = DEAL_LEAF + s;
    }
    assert(left > 0);
    for (; left > 1; left--) {
        uint32_t at = d->nodes++, joint = DEAL_MAX + at;
        lightest_two(sum, open, joint, pair);
        sum[joint] = sum[pair[0]] + sum[pair[1]];
        open[joint] = true;
        d->node[at].left_share = (uint64_t)(((unsigned __int128)sum[pair[0]] << 63) / sum[joint]);
        for (uint32_t side = 0; side < 2; side++) {
            uint32_t child = pair[side];
            open[child] = false;
            if (child < DEAL_MAX) {
                d->node[at].child[side] = DEAL_LEAF + child;
                d->leaf[child].parent = at;
                d->leaf[child].side = side;
            } else {
                d->node[at].child[side] = child - DEAL_MAX;
                d->node[child - DEAL_MAX].parent = at;
                d->node[child - DEAL_MAX].side = side;
            }
        }
        d->root = at;
    }
}

/* Of the first k rows of a node, how many went left: floor(k p + 1/2). */
static uint64_t went_left(uint64_t k, uint64_t share)
{
    return (uint64_t)(((unsigned __int128)k * share + (1ull << 62)) >> 63);
}

uint32_t deal_choose(const struct deal *d, uint64_t k, uint64_t *before)
{
    uint32_t at = d->root;
    while (!(at & DEAL_LEAF)) {
        uint64_t left = went_left(k, d->node[at].left_share);
        bool goes_left = went_left(k + 1, d->node[at].left_share) > left;
        k = goes_left ? left : k - left;
        at = d->node[at].child[goes_left ? 0 : 1];
    }
    *before = k;
    return at & ~DEAL_LEAF;
}

/* The turns from the root down to a source; returns how many. */
static uint32_t find_way(const struct deal *d, uint32_t source, uint64_t share[DEAL_MAX],
                         uint8_t side[DEAL_MAX])
{
    uint32_t count = 0;
    if (d->nodes == 0)
        return 0;
    uint32_t at = d->leaf[source].parent, turn = d->leaf[source].side;
    for (;; turn = d->node[at].side, at = d->node[at].parent) {
        share[count] = d->node[at].left_share;
        side[count++] = (uint8_t)turn;
        if (at == d->root)
            return count;
    }
}

static uint64_t count_way(const uint64_t *share, const uint8_t *side, uint32_t turns, uint64_t k)
{
    while (turns--) {
        uint64_t left = went_left(k, share[turns]);
        k = side[turns] ? k - left : left;
    }
    return k;
}

uint64_t deal_count(const struct deal *d, uint32_t source, uint64_t k)
{
    uint64_t share[DEAL_MAX];
    uint8_t side[DEAL_MAX];
    return count_way(share, side, find_way(d, source, share, side), k);
}

uint64_t deal_when(const struct deal *d, uint32_t source, uint64_t rows, uint64_t most)
{
    uint64_t share[DEAL_MAX], low = 0, high = most;
    uint8_t side[DEAL_MAX];
    uint32_t turns = find_way(d, source, share, side);
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        if (count_way(share, side, turns, middle) >= rows)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

/* test_core_heap - the heap of smallest keys against a sorted copy of the whole stream. */
#include "core/heap.h"
#include "tests/test.h"

#include <stdlib.h>

struct pair {
    uint64_t key;
    uint32_t place;
};

static int by_key(const void *a, const void *b)
{
    const struct pair *left = a, *right = b;
    return left->key < right->key ? -1 : left->key > right->key;
}

/* Keys of a narrow range come many times; every size up to 40 has heaps whose last parent has one
 * child and heaps whose last parent has two. */
TEST(core_heap_keeps_the_smallest)
{
    enum { STREAM = 300, KEEP_MAX = 40 };
    static const uint64_t range[] = {8, UINT64_MAX};
    uint64_t seed = 11;
    for (size_t r = 0; r < COUNT_OF(range); r++)
        for (size_t keep = 1; keep <= KEEP_MAX; keep++) {
            struct pair all[STREAM], heap[KEEP_MAX];
            size_t count = 0;
            for (uint32_t i = 0; i < STREAM; i++) {
                struct pair fresh = all[i] = (struct pair){test_random(&seed) % range[r], i};
                if (count < keep) {
                    heap[count++] = fresh;
                    heap_up(heap, sizeof *heap, count);
                } else if (fresh.key < heap[0].key) {
                    heap[0] = fresh;
                    heap_down(heap, sizeof *heap, count);
                }
                for (size_t k = 1; k < count; k++)
                    CHECK(heap[(k - 1) / 2].key >= heap[k].key);
            }
            for (size_t k = 0; k < count; k++) /* an item moves as a whole */
                CHECK(all[heap[k].place].key == heap[k].key);
            qsort(all, STREAM, sizeof *all, by_key);
            qsort(heap, count, sizeof *heap, by_key);
            for (size_t k = 0; k < count; k++)
                CHECK(heap[k].key == all[k].key);
        }
}

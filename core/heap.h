/* heap - keeps the smallest keys of a stream: a heap of items, the greatest key on top. */
#ifndef SLUICE_CORE_HEAP_H
#define SLUICE_CORE_HEAP_H
#include "core/base.h"

/* The items lie in a caller's array, item_bytes each (at most HEAP_ITEM_MAX); an item begins with
 * its key, a uint64_t. The array [0, count) is a heap but for the one item named. */
enum { HEAP_ITEM_MAX = 64 };
/* The last item was put behind a heap: it moves up to its place. */
void heap_up(void *items, size_t item_bytes, size_t count);
/* The first item was replaced: it moves down to its place. */
void heap_down(void *items, size_t item_bytes, size_t count);
#endif

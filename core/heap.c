/* heap - the two moves of a binary heap over items of any size. */
#include "core/heap.h"

#include <assert.h>
#include <string.h>

static uint64_t key_of(const unsigned char *item)
{
    uint64_t key;
    memcpy(&key, item, sizeof key);
    return key;
}

void heap_up(void *items, size_t item_bytes, size_t count)
{
    unsigned char *item = items, moved[HEAP_ITEM_MAX];
    assert(count > 0);
    assert(item_bytes >= sizeof(uint64_t) && item_bytes <= HEAP_ITEM_MAX);
    size_t at = count - 1;
    memcpy(moved, item + at * item_bytes, item_bytes);
    for (; at && key_of(item + (at - 1) / 2 * item_bytes) < key_of(moved); at = (at - 1) / 2)
        memcpy(item + at * item_bytes, item + (at - 1) / 2 * item_bytes, item_bytes);
    memcpy(item + at * item_bytes, moved, item_bytes);
}

void heap_down(void *items, size_t item_bytes, size_t count)
{
    unsigned char *item = items, moved[HEAP_ITEM_MAX];
    assert(count > 0);
    assert(item_bytes >= sizeof(uint64_t) && item_bytes <= HEAP_ITEM_MAX);
    memcpy(moved, item, item_bytes);
    size_t at = 0;
    for (size_t child = 1; child < count; child = 2 * at + 1) {
        if (child + 1 < count &&
            key_of(item + (child + 1) * item_bytes) > key_of(item + child * item_bytes))
            child++;
        if (key_of(item + child * item_bytes) <= key_of(moved))
            break;
        memcpy(item + at * item_bytes, item + child * item_bytes, item_bytes);
        at = child;
    }
    memcpy(item + at * item_bytes, moved, item_bytes);
}

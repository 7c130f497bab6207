/* arena - one reserved mapping, filled from its start. */
#include "core/arena.h"

#include "core/err.h"

#include <assert.h>
#include <string.h>
#include <sys/mman.h>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#define POISON(ptr, size) ASAN_POISON_MEMORY_REGION(ptr, size)
#define UNPOISON(ptr, size) ASAN_UNPOISON_MEMORY_REGION(ptr, size)
#else
#define POISON(ptr, size) UNUSED(ptr)
#define UNPOISON(ptr, size) UNUSED(ptr)
#endif

enum { PAGE = 4096 };
/* ASan's shadow is an eighth of what is poisoned, and written at once: most of a huge reservation
 * stays as it is until it was used. Behind this and behind the peak nothing is poisoned. */
#define POISON_MAX ((size_t)16 << 20)

int arena_open(struct arena *a, size_t size_max)
{
    size_t size = (size_max + PAGE - 1) / PAGE * PAGE;
    void *base = mmap(NULL, size, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (base == MAP_FAILED)
        return err_sys("arena: reserving %zu bytes of addresses", size);
    *a = (struct arena){.base = base, .size_max = size};
    POISON(base, size < POISON_MAX ? size : POISON_MAX);
    return 0;
}

void *arena_push(struct arena *a, size_t size, size_t align)
{
    assert(align && (align & (align - 1)) == 0);
    size_t start = (a->used + align - 1) & ~(align - 1);
    if (start > a->size_max || size > a->size_max - start) {
        err_set(ERR_LIMIT, "arena: %zu bytes asked, %zu of %zu in use", size, a->used, a->size_max);
        return NULL;
    }
    a->used = start + size;
    if (a->used > a->peak)
        a->peak = a->used;
    UNPOISON(a->base + start, size);
    return a->base + start;
}

void *arena_push_zero(struct arena *a, size_t size, size_t align)
{
    void *at = arena_push(a, size, align);
    if (at && size)
        memset(at, 0, size);
    return at;
}

char *arena_strdup(struct arena *a, struct str s)
{
    char *at = arena_push(a, s.len + 1, 1);
    if (!at)
        return NULL;
    if (s.len)
        memcpy(at, s.ptr, s.len);
    at[s.len] = 0;
    return at;
}

struct str arena_str(struct arena *a, struct str s)
{
    char *at = arena_strdup(a, s);
    return (struct str){at, at ? s.len : 0};
}

size_t arena_mark(const struct arena *a) { return a->used; }

void arena_reset(struct arena *a, size_t mark)
{
    assert(mark <= a->used);
    POISON(a->base + mark, a->used - mark);
    a->used = mark;
}

void arena_trim(struct arena *a, size_t keep)
{
    arena_reset(a, 0);
    size_t from = (keep + PAGE - 1) / PAGE * PAGE;
    if (a->peak > from)
        madvise(a->base + from, a->size_max - from, MADV_DONTNEED);
    if (a->peak > POISON_MAX)
        UNPOISON(a->base + POISON_MAX, a->peak - POISON_MAX);
    a->peak = 0;
}

void arena_close(struct arena *a)
{
    if (!a->base)
        return;
    UNPOISON(a->base, a->peak > POISON_MAX       ? a->peak
                      : a->size_max < POISON_MAX ? a->size_max
                                                 : POISON_MAX);
    munmap(a->base, a->size_max);
    *a = (struct arena){0};
}

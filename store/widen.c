/* widen - copies ids out of the map once, 64 at a time: load, widen, store twice, look for
 * <|endoftext|>. Bound: 2 bytes read and 12 written a token, all in the first cache. */
#include "store/widen.h"

enum { GROUP = 64 };

/* The loops have a fixed length and no exit, so that the compiler turns them into vectors. */
#define WIDEN_GROUP(name, type)                                                                    \
    static bool name(const type *restrict ids, int32_t *restrict in, int32_t *restrict target,     \
                     int32_t eot)                                                                  \
    {                                                                                              \
        int32_t found = 0;                                                                         \
        for (int i = 0; i < GROUP; i++) {                                                          \
            int32_t id = (int32_t)ids[i];                                                          \
            in[i] = id;                                                                            \
            target[i] = id;                                                                        \
            found |= -(id == eot);                                                                 \
        }                                                                                          \
        return found != 0;                                                                         \
    }
WIDEN_GROUP(group_of_2, uint16_t)
WIDEN_GROUP(group_of_4, uint32_t)

static void starts_of(struct widen *w, uint32_t n)
{
    for (uint32_t i = w->at; i < w->at + n; i++) {
        if (w->inputs[i] == w->eot)
            w->start = (int32_t)i;
        w->doc_start[i] = w->start;
    }
}

static void starts_alike(struct widen *w)
{
    int32_t *restrict to = w->doc_start + w->at, start = w->start;
    for (int i = 0; i < GROUP; i++)
        to[i] = start;
}

static int32_t id_at(const void *ids, uint32_t i, uint32_t token_bytes)
{
    return token_bytes == 2 ? ((const uint16_t *)ids)[i] : (int32_t)((const uint32_t *)ids)[i];
}

static void widen_few(struct widen *w, const void *ids, uint32_t n, uint32_t token_bytes,
                      bool first)
{
    for (uint32_t i = 0; i < n; i++) {
        int32_t id = id_at(ids, i, token_bytes);
        w->inputs[w->at + i] = id;
        if (i > 0 || !first)
            w->targets[w->at + i - 1] = id;
    }
    if (w->doc_start)
        starts_of(w, n);
    w->at += n;
}

void widen_ids(struct widen *w, const void *ids, uint32_t n, uint32_t token_bytes, bool first)
{
    uint32_t done = 0;
    if (first && n > 0) { /* there may be no place in front of it, or another piece's */
        widen_few(w, ids, 1, token_bytes, true);
        done = 1;
    }
    for (; n - done >= GROUP; done += GROUP, w->at += GROUP) {
        const unsigned char *from = (const unsigned char *)ids + (size_t)done * token_bytes;
        int32_t *in = w->inputs + w->at, *target = w->targets + w->at - 1;
        bool found = token_bytes == 2
                         ? group_of_2((const uint16_t *)(const void *)from, in, target, w->eot)
                         : group_of_4((const uint32_t *)(const void *)from, in, target, w->eot);
        if (w->doc_start && found)
            starts_of(w, GROUP);
        else if (w->doc_start)
            starts_alike(w);
    }
    widen_few(w, (const unsigned char *)ids + (size_t)done * token_bytes, n - done, token_bytes,
              false);
}

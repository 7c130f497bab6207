/* arena - bump memory over one reserved mapping: pointers never move, one reset frees all. */
#ifndef SLUICE_CORE_ARENA_H
#define SLUICE_CORE_ARENA_H
#include "core/base.h"
#include <stdalign.h>

struct arena { unsigned char *base; size_t size_max, used, peak; }; /* bytes */

/* Reserves size_max bytes of addresses; pages commit on first touch. */
int arena_open(struct arena *a, size_t size_max);
/* size bytes, not zeroed, aligned to align (a power of two). NULL and ERR_LIMIT when full. */
void *arena_push(struct arena *a, size_t size, size_t align);
/* As arena_push, zeroed. */
void *arena_push_zero(struct arena *a, size_t size, size_t align);
/* Copies s behind a NUL (which s.len does not count). NULL when full. */
char *arena_strdup(struct arena *a, struct str s);
struct str arena_str(struct arena *a, struct str s); /* the same as a str; ptr NULL when full */
size_t arena_mark(const struct arena *a);
/* Frees everything pushed after mark; poisons it under ASan. */
void arena_reset(struct arena *a, size_t mark);
/* Resets to empty and gives pages above keep bytes back to the system. */
void arena_trim(struct arena *a, size_t keep);
void arena_close(struct arena *a); /* fine on a zeroed struct */
#define arena_array(a, type, n) ((type *)arena_push((a), sizeof(type) * (size_t)(n), alignof(type)))
#define arena_array_zero(a, type, n) \
    ((type *)arena_push_zero((a), sizeof(type) * (size_t)(n), alignof(type)))
#endif

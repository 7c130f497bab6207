/* base - the few definitions every file shares, plain enough for C++ and CUDA to include. */
#ifndef SLUICE_CORE_BASE_H
#define SLUICE_CORE_BASE_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define SLUICE_VERSION "0.1.0"

#define PRINTF_LIKE(fmt_index, first_arg) __attribute__((format(printf, fmt_index, first_arg)))
#define UNUSED(x) ((void)(x))
#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

/* Borrowed bytes: not NUL-terminated, never freed through this struct. ptr may be NULL when len is
 * 0. */
struct str { const char *ptr; size_t len; };

/* Bytes [start, start + len) of a document's text. */
struct span { uint32_t start, len; };

/* An array of spans; it lives as long as the arena it was built in. */
struct view { const struct span *span; uint32_t count; };

#define STR(literal) ((struct str){(literal), sizeof(literal) - 1})
/* printf("%.*s", STR_ARG(s)): prints a str. */
#define STR_ARG(s) (int)(s).len, (s).ptr

#ifdef __cplusplus
}
#endif
#endif

/* file_kind - inside store: what a file that is not what it should be looks like. */
#ifndef SLUICE_STORE_FILE_KIND_H
#define SLUICE_STORE_FILE_KIND_H
#include "core/base.h"

enum { FILE_KIND_MAX = 160 }; /* bytes of a description, NUL included */

/* Describes a file by its first bytes, for a message: "a numpy .npy file: write its bytes alone
 * (.tofile)"; "something unknown: it begins with 1f 2e ..". */
void file_kind(int fd, uint64_t bytes, char out[FILE_KIND_MAX]);
/* True when it is surely of a known kind. Files of bare ids have no mark of their own, so that only
 * long marks count: one that ids spell by chance less than once in a billion files. */
bool file_kind_is_other(int fd, uint64_t bytes);
/* True when the file, read as 2-byte ids, is surely one of 4-byte ids: every second number is all
 * but zero, and the others are not. */
bool file_kind_wide_ids(int fd, uint64_t bytes);
#endif

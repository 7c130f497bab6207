/* behind - inside store: a thread that puts full blocks into LMDB while the next ones are filled.
 */
#ifndef SLUICE_STORE_BEHIND_H
#define SLUICE_STORE_BEHIND_H
#include "store/writing.h"

enum { BEHIND_BLOCKS = 16 }; /* 4 MiB of blocks on their way */

/* The writer's transaction and its counts of ids, which the thread adds up, are the thread's until
 * behind_end: nobody else may use them. NULL in *out,
 * and no error, where no thread can be had: blocks are then put by who fills them. */
struct behind;
int behind_open(struct behind **out, struct store_writer *w);
/* Hands over a block of STORE_BLOCK_BYTES of memory, of which len count, and puts an empty one in
 * its place; waits while all are on their way. They are put in the order of the calls, so the file
 * is the same as without the thread. Returns the error of an earlier one, once there is any. */
int behind_put(struct behind *b, uint32_t domain, uint32_t kind, uint64_t block,
               unsigned char **bytes, uint32_t len);
/* Waits until all are put, ends the thread and frees b (NULL is fine); the first error. */
int behind_end(struct behind *b);
void behind_abandon(struct behind *b); /* the same, and the pending error stays */
#endif

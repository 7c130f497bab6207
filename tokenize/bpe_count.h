/* bpe_count - how often each piece of a text occurs, counted by many threads in bounded memory. */
#ifndef SLUICE_TOKENIZE_BPE_COUNT_H
#define SLUICE_TOKENIZE_BPE_COUNT_H
#include "tokenize/tokenize.h"

/* The counts of all threads. What does not fit into memory goes to a file without a name in
 * spill_dir (NULL: $TMPDIR, /tmp) and is added up at the end: the counts are exact whatever the
 * memory, and depend neither on the order of the texts nor on who counted them. */
struct piece_counts;
int piece_counts_open(struct piece_counts **out, uint64_t memory, const char *spill_dir);
/* One thread's way in; any number at a time. */
struct piece_counter;
int piece_counter_open(struct piece_counter **out, struct piece_counts *counts);
/* Counts the pieces of text, `times` each. Those of more than piece_bytes_max bytes are left out.
 */
int piece_counter_add(struct piece_counter *c, enum pretok pretok, struct str text, uint64_t times,
                      uint32_t piece_bytes_max);
/* Hands over what the counter still holds; before the first of the calls below, for each. */
int piece_counter_flush(struct piece_counter *c);
void piece_counter_close(struct piece_counter *c);

struct piece_totals {
    uint64_t pieces, bytes; /* different pieces of two bytes and more that stay, and their bytes */
    uint64_t all_pieces;    /* different pieces counted, single bytes included */
    uint64_t least;         /* what was counted less than so many times `one` is left out */
    uint64_t spilled;       /* bytes that went through the file */
};
/* Decides which pieces stay: those counted at least `least` times, or more often when more than
 * pieces_max pieces or bytes_max bytes of them would stay. one: what once is in the counts (1, or
 * more when weights are fractions). Memory for the counts only; not after piece_counts_each. */
int piece_counts_settle(struct piece_counts *p, uint64_t one, uint64_t least, uint64_t pieces_max,
                        uint64_t bytes_max, struct piece_totals *totals);
/* Calls fn for each piece that stays, in no order that means anything, and forgets them all. */
typedef int piece_fn(void *self, struct str piece, uint64_t times);
int piece_counts_each(struct piece_counts *p, piece_fn *fn, void *self);
void piece_counts_close(struct piece_counts *p);
#endif

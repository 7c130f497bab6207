/* pack - inside store: rows of whole documents, by best fit. */
#ifndef SLUICE_STORE_PACK_H
#define SLUICE_STORE_PACK_H
#include "store/loader.h"

/* Documents of a view (each with its <|endoftext|> in front) laid into rows of `sequence` tokens as
 * arXiv:2404.10830 does it: one longer than a row is cut into full rows and a rest, no other is
 * cut; then, longest first, each goes to the row with the least room that holds it, the one used
 * last among equals, or begins a row. The result follows from the view alone. Memory: 40 bytes a
 * document while it is made, then 16 a document and 4 a row; at most 2^32 - 2 documents and rests.
 * Time: one walk of the document index and some tens of nanoseconds a document. */
struct pack;
int pack_open(struct pack **out, struct store *s, const struct token_view *v, uint32_t sequence);
uint64_t pack_rows(const struct pack *p);
/* Piece `index` of a row, in the row's order; false behind the last. */
bool pack_piece(const struct pack *p, uint64_t row, uint32_t index, struct loader_piece *out);
void pack_close(struct pack *p); /* NULL is fine */
#endif

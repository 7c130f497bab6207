/* exchange - token files of other trainers: written from a store, and read into one. */
#ifndef SLUICE_STORE_EXCHANGE_H
#define SLUICE_STORE_EXCHANGE_H
#include "store/token_view.h"

/* The formats, all little-endian:
 *   llmc      NAME.bin           256 int32 {20240520, 1, tokens} and u16; with a vocabulary over
 *                                65536 {20240801, 7, tokens} and u32; below 2^31 tokens
 *   nanogpt   NAME.bin           u16 (u32 with a vocabulary over 65536), nothing else
 *   megatron  NAME.bin, .idx     a sequence a document, <|endoftext|> at its end
 *   datatrove NAME.ds, .ds.index documents one after the other, each with <|endoftext|> at its end;
 *                                index: where each ends, in tokens, u64
 * In the store <|endoftext|> stands in front of a document; in the files it stands where the
 * formats' own tools put it: llmc in front, the others behind. */
enum store_format { STORE_LLMC, STORE_NANOGPT, STORE_MEGATRON, STORE_DATATROVE };

/* ---- out (store/export.c) ---- */
/* Writes the documents of a view into dir, in the view's order, each file whole or not at all,
 * names from prefix. Documents without tokens are left out of megatron and datatrove. */
struct store_exported {
    uint64_t documents, tokens;
    char file[2][IO_PATH_MAX]; /* the second is empty when there is one only */
};
int store_export(struct store *s, const struct token_view *view, enum store_format format,
                 const char *dir, const char *prefix, struct store_exported *out);
#endif

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

/* ---- in (store/import.c) ---- */

/* Reads such files document by document. Nothing in them is trusted: every number is checked
 * against the files' sizes and every id against the vocabulary. Memory: the longest document, at
 * most IMPORT_DOC_TOKENS_MAX ids, and a megabyte. What is refused is ERR_FORMAT, which names file,
 * place and remedy, and what the file looks like when it is of another kind.
 *
 * llmc, nanogpt: the files are one stream in the order given, cut at separators, so that a document
 * may run from one file into the next, as in the shards of others; a separator at the stream's
 * beginning or end opens or closes a document and makes no empty one (where both stand: llmc's
 * opens, nanogpt's closes, and the other bounds an empty document).
 * megatron, datatrove: cut where the index says; the separator that begins or ends a document goes,
 * and documents that hold one inside are cut there too. */
enum { IMPORT_DOC_TOKENS_MAX = 1 << 28 };
struct import_conf {
    enum store_format format;
    uint32_t vocab_size;
    uint32_t separator; /* the id between documents */
    uint32_t width;     /* nanogpt: bytes of an id, 2 or 4; the other formats say it themselves */
};
struct import_file {
    const char *tokens,
        *index; /* index: NULL for llmc and nanogpt; both live as long as the import */
};
struct import_doc {
    uint32_t file, record; /* the file it begins in; its number among the documents of that file */
    uint32_t count;
    const uint32_t *ids; /* without separators; until the next call */
};
struct import;
/* Checks head and sizes of all files before any is read. One thread at a time. */
int import_open(struct import **out, const struct import_conf *conf, const struct import_file *file,
                uint32_t files);
int import_next(struct import *in,
                struct import_doc *doc); /* 1: a document, 0: there are no more */
void import_close(struct import *in);    /* NULL is fine */
#endif

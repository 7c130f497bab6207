/* token_file - RUN/tokens/NNNNN.bin: the tokens of one input's kept documents, from pass 2 to the
 * store. */
#ifndef SLUICE_COMMAND_TOKEN_FILE_H
#define SLUICE_COMMAND_TOKEN_FILE_H
#include "core/io.h"

/* Layout: u32 magic "STK3", u32 bytes of an id (2 with a vocabulary of at most 65536, else 4); then
 * per document struct token_head and its ids. Not compressed: zstd at its fastest took 0.7 of the
 * time of the encoding to save a quarter, of files that live until the store is made. A sum of each
 * document stands in for zstd's. */
struct token_head {
    uint64_t id;
    uint32_t record, domain, count, text_bytes;
    uint64_t sum; /* XXH3-64 of the ids, seeded with that of the head before it was set */
    char lang[8]; /* these three as in struct store_doc */
    float lang_score, score;
};
enum { TOKEN_FILE_COUNT_MAX = 1 << 28 }; /* tokens of a document */

/* Writes the beginning of a file. */
int token_file_begin(struct io_writer *w, uint32_t vocab_size);
/* Adds a document; sets head->sum. ids, which are below vocab_size, are used up: their memory is
 * where they are narrowed. */
int token_file_put(struct io_writer *w, uint32_t vocab_size, struct token_head *head,
                   uint32_t *ids);

/* Reads NNNNN.bin of run_dir, or what an older version left: "STK2", whose heads end behind sum, or
 * NNNNN.zst ("STK1": heads without sum, ids of 4 bytes, all in zstd). Damage is ERR_FORMAT with the
 * record and what to do. */
struct token_file;
int token_file_open(struct token_file **out, const char *run_dir, uint32_t item);
/* 1: a document, whose ids live until the next call; 0: no more. What an older head has not is not
 * known: no lang, NaN. */
int token_file_next(struct token_file *f, struct token_head *head, const uint32_t **ids);
void token_file_close(struct token_file *f); /* NULL is fine */
#endif

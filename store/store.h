/* store - tokens on LMDB by domain, a document index beside them, and the loader that feeds training. */
#ifndef SLUICE_STORE_STORE_H
#define SLUICE_STORE_STORE_H
#include "core/arena.h"
#include "core/hash.h"
#include "core/io.h"

enum {
    STORE_DOMAINS_MAX = 64,
    STORE_BLOCK_BYTES = 262128,      /* 64 * 4096 - 16: fills its LMDB pages exactly */
    STORE_LOOKAHEAD_MAX = 4096,
};
/* One environment DIR/data.mdb: meta; per domain blocks of token ids (u16 when the vocabulary fits, else u32),
 * XXH3 beside each; per domain a document index (place, id, token start, count, bytes of text). */
struct store_meta {
    uint32_t version, token_bytes, vocab_size, domain_count, eot;
    struct hash128 tokenizer_hash;
    struct { char name[48]; uint64_t tokens, documents, bytes; } domain[STORE_DOMAINS_MAX];
};
struct store_doc { uint64_t id, token_start; uint32_t item, record, token_count, text_bytes; };

/* Writing: one writer, documents of a domain in ascending order of place; domains may interleave. Built in DIR.tmp
 * with MDB_APPEND | MDB_NOSYNC, synced once, renamed. The same documents give the same bytes of data.mdb.
 * Every document gets <|endoftext|> in front of it (one token, counted). */
struct store_writer;
int store_create(struct store_writer **out, const char *dir, const struct store_meta *meta);
int store_append(struct store_writer *w, uint32_t domain, const struct store_doc *doc, const uint32_t *ids);
int store_commit(struct store_writer *w, struct io_info *info);
void store_abandon(struct store_writer *w);

/* Reading: any number of processes. Size and meta are checked before the map is touched. */
struct store;
int store_open(struct store **out, const char *dir);
const struct store_meta *store_meta(const struct store *s);
int store_domain(const struct store *s, const char *name);             /* -1: none */
/* count ids from token start of a domain, to u32; short reads past the end are ERR_LIMIT. */
int store_read(struct store *s, uint32_t domain, uint64_t start, uint32_t count, uint32_t *ids);
int store_doc_at(struct store *s, uint32_t domain, uint64_t index, struct store_doc *out);
/* Document that holds the token at pos: provenance of every token. */
int store_doc_of(struct store *s, uint32_t domain, uint64_t pos, uint64_t *index, struct store_doc *out);
int store_verify(struct store *s);                                      /* every block's XXH3 */
void store_close(struct store *s);

/* ---- mixture: what share of the tokens comes from which domain, and how often one may repeat ---- */
struct mixture { int count; struct { uint32_t domain; double weight; double epochs_max; } part[STORE_DOMAINS_MAX]; };

/* ---- loader (store/loader.c) ---- */
/* Row r of the global sequence of rows (r = step * rows_per_step + i) is drawn from a domain by low discrepancy
 * over the weights; within a domain, sequences of length T+1 are visited in a keyed permutation per epoch. All its
 * state is integers; any number of ranks that ask for the same rows get the same tokens. */
struct loader_state { uint64_t rows, phase_rows; uint32_t phase; uint64_t taken[STORE_DOMAINS_MAX]; };
struct loader;
int loader_open(struct loader **out, struct store *s, uint32_t sequence_tokens, uint64_t seed);
/* Starts a phase (0 stable, 1 anneal, ...) with its mixture; a domain that would pass epochs_max yields to others. */
int loader_phase(struct loader *l, uint32_t phase, const struct mixture *m);
/* rows x T inputs and targets; doc_start[i]: index in its row where the document of token i begins (attention may
 * not look before it); target -1 where the next token belongs to another document's start (<|endoftext|> is
 * predicted, what follows it is not masked). domain[row] tells where each row came from. */
int loader_next(struct loader *l, uint32_t rows, int32_t *inputs, int32_t *targets, int32_t *doc_start, uint32_t *domain);
void loader_get_state(const struct loader *l, struct loader_state *out);
int loader_set_state(struct loader *l, const struct loader_state *state);
void loader_close(struct loader *l);
#endif

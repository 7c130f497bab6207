/* store - tokens on LMDB by domain, a document index beside them, and a note of what was removed.
 *
 * Views of it: store/token_view.h; the order in which a training reads it: store/loader.h; token
 * files of other trainers: store/exchange.h. */
#ifndef SLUICE_STORE_STORE_H
#define SLUICE_STORE_STORE_H
#include "core/arena.h"
#include "core/hash.h"
#include "core/io.h"

enum {
    STORE_DOMAINS_MAX = 64,
    STORE_BLOCK_BYTES = 262128, /* 64 * 4096 - 16: fills its LMDB pages exactly */
    STORE_VOCAB_MAX = 1 << 24,
    STORE_SEQUENCE_MAX = 1 << 24, /* tokens of a row */
    STORE_ORIGINS_MAX = 4096,     /* runs whose documents were appended */
    STORE_ORIGIN_PATH_MAX = 1024,
};

/* One environment DIR/data.mdb on a local disk: meta; per domain blocks of token ids (u16 when the
 * vocabulary has at most 65536 entries, else u32), XXH3 beside each; per domain a document index
 * (place, id, token start, count, bytes of text, language, scores); how often each id occurs; what
 * was removed.
 * Databases and keys: see store/layout.h.
 *
 * A domain is one long sequence of tokens: <|endoftext|>, document, <|endoftext|>, document, ...
 * Every document has the token in front of it, and it counts as the document's: token_start points
 * at it, token_count includes it (so it is 1 for an empty document), and domain[].tokens is the sum
 * of the token_counts. Only store_append takes token_count without it. */
struct store_meta {
    uint32_t version, token_bytes, vocab_size, domain_count, eot;
    struct hash128 tokenizer_hash;
    struct {
        char name[48];
        uint64_t tokens, documents, bytes; /* bytes: of text */
        /* How much of these was removed: its places are kept, and read as <|endoftext|>. */
        uint64_t removed_tokens, removed_documents, removed_bytes;
    } domain[STORE_DOMAINS_MAX];
};
/* Its place is (item, record): the number of its input file and of its record in that file. In a
 * domain documents stand by place, and token_start counts the domain's tokens. Language and scores
 * are those of the ledger; a store of an older version (meta's 1 or 2) knows none, whoever appends
 * to it. */
struct store_doc {
    uint64_t id, token_start;
    uint32_t item, record, token_count, text_bytes;
    char lang[8];            /* ISO code, zeros behind it; all zeros: not known */
    float lang_score, score; /* signals language.score and quality.score; NaN: not measured */
};

/* A run whose documents were appended: its input k is item first_item + k here. */
struct store_origin {
    uint32_t first_item, item_count;
    struct hash128 identity;         /* of its store when it was appended */
    char recipe[40];                 /* hash of its recipe in hex; empty: there was none */
    char run[STORE_ORIGIN_PATH_MAX]; /* its folder, an absolute path as it was then */
};

/* ---- writing ---- */

/* One writer, documents of a domain in ascending order of place; domains may interleave. Memory:
 * two blocks a domain, 16 more, and a transaction of 64 MiB. A new store is written by a thread of
 * its own, so that an error may be told by a later call than the one it belongs to. A second writer
 * is ERR_AGAIN naming the first, a network file system ERR_USAGE. Built in DIR.tmp-PID with
 * MDB_NOSYNC, synced once, renamed over what was at DIR; a kill at any moment leaves DIR as it was,
 * and the next store_create removes the leftovers. The same documents in the same order give the
 * same bytes of data.mdb. meta gives names, vocabulary, eot and the tokenizer's hash; the rest of
 * it is ignored. */
struct store_writer;
int store_create(struct store_writer **out, const char *dir, const struct store_meta *meta);
/* Appends to the store at dir, in place, at the price of what is new. Nobody may read it meanwhile:
 * ERR_AGAIN naming who does. meta: the same tokenizer, vocabulary and eot, else ERR_USAGE; domains
 * by name, new ones are added; store_append takes their numbers in meta. origin: the runs that the
 * documents are of, items behind all that the store has; one whose identity it has already is
 * ERR_USAGE. A kill at any moment leaves the store as it was, or with all that was appended; so
 * does abandoning. store_commit leaves *info's hash zero. */
int store_extend(struct store_writer **out, const char *dir, const struct store_meta *meta,
                 const struct store_origin *origin, uint32_t origin_count);
/* doc: id, place, text_bytes, language, scores and token_count = number of ids (none is fine). An
 * id outside the vocabulary or a place out of order is ERR_FORMAT. After any error only abandoning
 * helps. */
int store_append(struct store_writer *w, uint32_t domain, const struct store_doc *doc,
                 const uint32_t *ids);
/* Frees w, whatever it returns. *info (may be NULL): size and hash of data.mdb. A full disk is
 * ERR_AGAIN. */
int store_commit(struct store_writer *w, struct io_info *info);
void store_abandon(struct store_writer *w); /* NULL is fine */

/* ---- removing (store/change.c) ---- */

enum store_fate { STORE_UNKNOWN, STORE_REMOVED_NOW, STORE_REMOVED_BEFORE };
struct store_removal {
    uint64_t documents, tokens, unknown; /* removed now; ids that no document has */
    uint64_t blocks, pages;              /* rewritten; overwritten with zeros */
    /* Proof, over all that was ever removed: documents whose whole range was read back as
     * <|endoftext|> and whose place no view of a domain holds; pages of the file in no tree, all
     * read back as zeros; pages of the file. */
    uint64_t proved, proved_pages, file_pages;
};
/* Removes every document that has one of the ids, in place. Nobody may read the store meanwhile:
 * ERR_AGAIN naming who does. First, in one step, they are noted as removed, and from then on
 * nothing draws them; then their tokens are overwritten in the blocks, and in the pages of the file
 * that held the old blocks. A kill leaves a store that says so when it is opened, and calling this
 * again, with whatever ids, finishes it. A block that is damaged is ERR_FORMAT: it is not given a
 * new sum. fate[count] may be NULL. The identity of the store changes. What lies on the medium
 * below the file system (snapshots, spare blocks of an SSD) is out of reach. */
int store_remove(const char *dir, const uint64_t *ids, uint64_t count, enum store_fate *fate,
                 struct store_removal *out);

/* ---- reading ---- */

/* Any number of processes. Size, meta and every page of the trees are checked before LMDB sees the
 * file, so that what is cut short or damaged is ERR_FORMAT and never a signal. A block is checked
 * against its sum, and its ids against the vocabulary, the first time anything reads of it: damage
 * is ERR_FORMAT naming block, domain and file, a disk that cannot read it ERR_IO. Until
 * store_close nobody changes the file in place: who wants to is refused, and told who reads.
 * Calls below may come from any number of threads. */
struct store;
int store_open(struct store **out, const char *dir);
const struct store_meta *store_meta(const struct store *s);
int store_domain(const struct store *s, const char *name); /* -1: none */
/* It has a place for language and scores: its version is not an older one. */
bool store_knows_lang(const struct store *s);
/* count ids from token start of a domain, to u32; past the end is ERR_LIMIT. */
int store_read(struct store *s, uint32_t domain, uint64_t start, uint32_t count, uint32_t *ids);
/* The same without a copy: *window points at *have ids (1 to count; fewer than count where a block
 * ends; 0 only for a count of 0) of meta's token_bytes each, aligned to them, all below vocab_size,
 * valid until store_close. */
int store_window(struct store *s, uint32_t domain, uint64_t start, uint32_t count,
                 const void **window, uint32_t *have);
/* Asks the disk for these tokens without waiting; what is past the end is left out. */
void store_prefetch(struct store *s, uint32_t domain, uint64_t start, uint64_t count);
/* Document index of a domain, removed or not; ERR_LIMIT behind the last. */
int store_doc_at(struct store *s, uint32_t domain, uint64_t index, struct store_doc *out);
/* Document that holds the token at pos, by bisection: provenance of every token. index may be NULL;
 * ERR_LIMIT past the end. */
int store_doc_of(struct store *s, uint32_t domain, uint64_t pos, uint64_t *index,
                 struct store_doc *out);
/* Document index of a domain was removed: its tokens are gone and nothing may draw its place. */
bool store_removed(const struct store *s, uint32_t domain, uint64_t index);
uint64_t store_removed_count(const struct store *s, uint32_t domain);
/* What the store gives to read, as one value: equal for equal tokens, documents and removals. */
struct hash128 store_identity(const struct store *s);
/* The appended run that an item is of, where it is number item - first_item; NULL: the store's own
 * run. Valid until store_close. */
const struct store_origin *store_origin_of(const struct store *s, uint32_t item);
const struct store_origin *store_origins(const struct store *s, uint32_t *count);
/* counts[vocab_size]: how often each id stands in the documents that were not removed, their
 * <|endoftext|> included. */
int store_unigram(struct store *s, uint64_t *counts);
/* Every block's XXH3 once more, the chain of the document index, the counts. One thread at a time.
 */
int store_verify(struct store *s);
void store_close(struct store *s); /* NULL is fine */
#endif

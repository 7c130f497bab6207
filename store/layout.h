/* layout - inside store: what lies in which LMDB database, and the check of its pages. */
#ifndef SLUICE_STORE_LAYOUT_H
#define SLUICE_STORE_LAYOUT_H
#include "store/store.h"

/* Named databases of data.mdb; numbers are little-endian but in keys, where they sort big-endian.
 *   meta       "store" -> struct meta_disk, "unigram" -> vocab_size u64; an XXH3-64 ends both
 *   tokens     (domain u32, block u64) -> STORE_BLOCK_BYTES of ids, the last of a domain shorter
 *   documents  (domain u32, block u64) -> DOCS_PER_BLOCK struct store_doc, the last shorter
 *   sums       (kind u32, domain u32, block u64) -> XXH3-64 of that block
 * The values of tokens and documents go to runs of 64 pages of their own. */
enum { STORE_VERSION = 1 };
enum { DOCS_PER_BLOCK = (STORE_BLOCK_BYTES / (int)sizeof(struct store_doc)) };
enum block_kind { KIND_TOKENS, KIND_DOCUMENTS, KIND_COUNT };
#define STORE_FILE "data.mdb"

/* In the file only the first domain_count rows are written. */
struct meta_disk {
    char magic[8];
    uint32_t version, token_bytes, vocab_size, domain_count, eot, zero;
    struct hash128 tokenizer_hash;
    struct {
        char name[48];
        uint64_t tokens, documents, bytes;
    } domain[STORE_DOMAINS_MAX];
};
extern const char store_magic[8], store_key_meta[], store_key_unigram[];
extern const char *const store_kind_names[KIND_COUNT];

struct block_key {
    unsigned char bytes[12];
};
static inline void key_put(unsigned char *to, uint64_t value, int bytes)
{
    for (int i = bytes - 1; i >= 0; i--, value >>= 8)
        to[i] = (unsigned char)value;
}
static inline struct block_key block_key(uint32_t domain, uint64_t block)
{
    struct block_key k;
    key_put(k.bytes, domain, 4);
    key_put(k.bytes + 4, block, 8);
    return k;
}
static inline void sum_key(uint32_t kind, uint32_t domain, uint64_t block, unsigned char to[16])
{
    key_put(to, kind, 4);
    key_put(to + 4, domain, 4);
    key_put(to + 8, block, 8);
}

/* Walks the trees of an LMDB file (format 1 of LMDB 0.9) by reads, not by a map: every page, node,
 * key and value must lie where it may. ERR_FORMAT naming the first page that does not. */
int pages_check(const char *path);
#endif

/* export - a view's tokens in the files that other trainers read. */
#include "store/exchange.h"

#include "core/err.h"

#include <stdlib.h>

enum { CHUNK_TOKENS = 1 << 16, LLMC_HEADER = 256, MEGATRON_U16 = 8, MEGATRON_I32 = 4 };

struct exporting {
    struct store *store;
    enum store_format format;
    uint32_t width; /* bytes of a token */
    struct io_writer *tokens, *index;
    uint32_t *ids;
    unsigned char *packed;
    uint64_t written; /* tokens */
    uint32_t *length; /* megatron: of each document, with its <|endoftext|> */
    uint64_t documents, documents_max;
};

static int put_tokens(struct exporting *x, const uint32_t *ids, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        if (x->width == 2)
            memcpy(x->packed + 2 * (size_t)i, &(uint16_t){(uint16_t)ids[i]}, 2);
        else
            memcpy(x->packed + 4 * (size_t)i, &ids[i], 4);
    }
    x->written += count;
    return io_write(x->tokens, x->packed, (size_t)count * x->width);
}

/* Tokens start .. start + count - 1 of a domain, in pieces. */
static int put_range(struct exporting *x, uint32_t domain, uint64_t start, uint64_t count)
{
    while (count) {
        uint32_t now = count < CHUNK_TOKENS ? (uint32_t)count : CHUNK_TOKENS;
        TRY(store_read(x->store, domain, start, now, x->ids));
        TRY(put_tokens(x, x->ids, now));
        start += now;
        count -= now;
    }
    return 0;
}

static int put_u64(struct io_writer *w, uint64_t value)
{
    return io_write(w, &value, sizeof value);
}

static int document_done(struct exporting *x, uint32_t length)
{
    if (x->format == STORE_DATATROVE)
        return put_u64(x->index, x->written);
    if (x->documents == x->documents_max) {
        uint64_t max = x->documents_max ? x->documents_max * 2 : 1 << 16;
        uint32_t *grown = realloc(x->length, sizeof *grown * max);
        if (!grown)
            return err_set(ERR_LIMIT, "export: no memory for %llu documents",
                           (unsigned long long)max);
        x->length = grown;
        x->documents_max = max;
    }
    x->length[x->documents] = length;
    return 0;
}

/* The documents of an extent one by one, each with its <|endoftext|> behind it. */
static int put_documents(struct exporting *x, const struct extent *e)
{
    struct store_doc doc;
    uint64_t index;
    TRY(store_doc_of(x->store, e->domain, e->start, &index, &doc));
    for (uint64_t end = e->start + e->count;; index++) {
        TRY(store_doc_at(x->store, e->domain, index, &doc));
        if (doc.token_count > 1) {
            TRY(put_range(x, e->domain, doc.token_start + 1, doc.token_count - 1));
            TRY(put_tokens(x, &store_meta(x->store)->eot, 1));
            TRY(document_done(x, doc.token_count));
            x->documents++;
        }
        if (doc.token_start + doc.token_count >= end)
            return 0;
    }
}

/* All extents as one stream; where <|endoftext|> belongs behind, the first of all goes to the end.
 */
static int put_stream(struct exporting *x, const struct token_view *v)
{
    uint64_t skip = x->format == STORE_NANOGPT;
    x->documents = v->documents;
    for (uint64_t i = 0; i < v->extent_count; i++) {
        const struct extent *e = &v->extent[i];
        TRY(put_range(x, e->domain, e->start + skip, e->count - skip));
        skip = 0;
    }
    return x->format == STORE_NANOGPT && v->tokens ? put_tokens(x, &store_meta(x->store)->eot, 1)
                                                   : 0;
}

/* Source: Megatron-LM, core/datasets/indexed_dataset.py. */
static int put_megatron_index(struct exporting *x)
{
    uint64_t pointer = 0;
    unsigned char type = x->width == 2 ? MEGATRON_U16 : MEGATRON_I32;
    TRY(io_write(x->index, "MMIDIDX\0\0", 9));
    TRY(put_u64(x->index, 1));
    TRY(io_write(x->index, &type, 1));
    TRY(put_u64(x->index, x->documents));
    TRY(put_u64(x->index, x->documents + 1));
    TRY(io_write(x->index, x->length, sizeof *x->length * x->documents));
    for (uint64_t i = 0; i < x->documents; i++) {
        TRY(put_u64(x->index, pointer));
        pointer += (uint64_t)x->length[i] * x->width;
    }
    for (uint64_t i = 0; i <= x->documents; i++)
        TRY(put_u64(x->index, i));
    return 0;
}

static int put_llmc_header(struct exporting *x, uint64_t tokens)
{
    int32_t header[LLMC_HEADER] = {x->width == 2 ? 20240520 : 20240801, x->width == 2 ? 1 : 7,
                                   (int32_t)tokens};
    if (tokens > INT32_MAX)
        return err_set(ERR_USAGE,
                       "export: %llu tokens: llm.c's files hold at most 2147483647: export domain "
                       "by domain, or views",
                       (unsigned long long)tokens);
    return io_write(x->tokens, header, sizeof header);
}

static int export_all(struct exporting *x, const struct token_view *v)
{
    if (x->format == STORE_LLMC)
        TRY(put_llmc_header(x, v->tokens));
    if (x->format == STORE_LLMC || x->format == STORE_NANOGPT)
        return put_stream(x, v);
    for (uint64_t i = 0; i < v->extent_count; i++)
        TRY(put_documents(x, &v->extent[i]));
    return x->format == STORE_MEGATRON ? put_megatron_index(x) : 0;
}

int store_export(struct store *s, const struct token_view *view, enum store_format format,
                 const char *dir, const char *prefix, struct store_exported *out)
{
    static const char *const ends[][2] = {
        {".bin", ""}, {".bin", ""}, {".bin", ".idx"}, {".ds", ".ds.index"}};
    struct exporting x = {.store = s, .format = format, .width = store_meta(s)->token_bytes};
    int rc;
    memset(out, 0, sizeof *out);
    x.ids = malloc(sizeof *x.ids * CHUNK_TOKENS);
    x.packed = malloc((size_t)4 * CHUNK_TOKENS);
    TRY_OUT(x.ids && x.packed ? 0 : err_set(ERR_LIMIT, "export: no memory"));
    TRY_OUT(io_path(out->file[0], "%s/%s%s", dir, prefix, ends[format][0]));
    TRY_OUT(io_create(&x.tokens, out->file[0], IO_PLAIN, 0));
    if (ends[format][1][0]) {
        TRY_OUT(io_path(out->file[1], "%s/%s%s", dir, prefix, ends[format][1]));
        TRY_OUT(io_create(&x.index, out->file[1], IO_PLAIN, 0));
    }
    TRY_OUT(export_all(&x, view));
    struct io_writer *tokens = x.tokens, *index = x.index;
    x.tokens = NULL;
    TRY_OUT(io_commit(tokens, NULL));
    x.index = NULL;
    rc = index ? io_commit(index, NULL) : 0;
    out->documents = x.documents;
    out->tokens = x.written;
out:
    io_abandon(x.tokens);
    io_abandon(x.index);
    free(x.ids);
    free(x.packed);
    free(x.length);
    return rc < 0 ? rc : 0;
}

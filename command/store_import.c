/* store_import - `sluice store import`: a folder to train on, made from the token files of others.
 *
 * OUT/tokenizer/               the tokenizer given, as a run has it
 * OUT/store/data.mdb           one domain; item: number of the file, record: number of the document
 *                              in it
 * OUT/heldout/NAME.jsonl.zst   the text of --heldout of the documents, which the store then lacks
 * OUT/import.json              what was read: written last */
#include "command/store_tool.h"
#include "core/err.h"
#include "core/json.h"
#include "core/log.h"
#include "store/exchange.h"
#include "tokenize/tokenize.h"

#include <math.h>
#include <stdlib.h>

enum {
    HELDOUT_LEVEL = 3,
    HELDOUT_SEED = 0x4E1D,
    NOTE_MAX = 64 << 20, /* bytes of an import.json: some 500,000 files */
    NOTE_ARENA = 1 << 30,
};

struct importing {
    const struct store_flags *flags;
    struct tokenizer *tokenizer;
    struct import_conf conf;
    struct import_file *file;
    uint32_t files;
    uint64_t *name_hash; /* of each file's name without its folder */
    uint32_t *bytes_of;  /* of text, by id */
    struct import *in;
    struct store_writer *store;
    struct io_writer *heldout;
    struct buf text, line;
    struct progress progress;
    uint64_t documents, tokens, bytes, held;
};

/* ---- flags and paths ---- */

/* PREFIX, PREFIX.bin and PREFIX.idx all mean the pair; so do X.ds and X.ds.index. */
static int file_resolve(struct importing *im, const char *given, struct arena *a)
{
    struct str stem = str_of(given);
    struct import_file *f = &im->file[im->files];
    bool megatron = im->conf.format == STORE_MEGATRON;
    f->tokens = given;
    if (megatron && (str_ends(stem, ".bin") || str_ends(stem, ".idx")))
        stem.len -= 4;
    if (!megatron && str_ends(stem, ".ds.index"))
        stem.len -= 6;
    if (megatron || im->conf.format == STORE_DATATROVE) {
        struct buf path = {0};
        buf_printf(&path, "%.*s%s", STR_ARG(stem), megatron ? ".bin" : "");
        f->tokens = arena_strdup(a, buf_view(&path));
        buf_clear(&path);
        buf_printf(&path, "%.*s%s", STR_ARG(stem), megatron ? ".idx" : ".index");
        f->index = arena_strdup(a, buf_view(&path));
        buf_free(&path);
        if (!f->tokens || !f->index)
            return ERR_LIMIT;
        /* What *.bin and *.idx, or *, came to. */
        for (uint32_t i = 0; i < im->files; i++)
            if (strcmp(im->file[i].tokens, f->tokens) == 0)
                return 0;
    }
    const char *slash = strrchr(f->tokens, '/');
    im->name_hash[im->files++] = hash_str(str_of(slash ? slash + 1 : f->tokens), 0);
    return 0;
}

/* The name becomes a key of recipes and a file's name. */
static int domain_check(const char *name)
{
    if (!name || !name[0])
        return err_set(ERR_USAGE, "store import: --domain=NAME is missing: what mixtures will call "
                                  "these documents");
    for (const char *at = name; *at; at++)
        if (!((*at >= 'a' && *at <= 'z') || (*at >= 'A' && *at <= 'Z') ||
              (*at >= '0' && *at <= '9') || *at == '_' || *at == '-'))
            return err_set(ERR_USAGE, "store import: --domain=%s: letters, digits, _ and -", name);
    return 0;
}

static int conf_resolve(struct importing *im, char **path, int count, struct arena *a)
{
    const struct store_flags *flags = im->flags;
    char inside[IO_PATH_MAX], note[IO_PATH_MAX];
    int format;
    if (strcmp(flags->format, "jsonl") == 0)
        return err_set(ERR_USAGE, "store import: jsonl holds text: sluice run makes a store of it");
    TRY(format = store_format_find(flags->format));
    if (count < 1)
        return err_set(ERR_USAGE, "store import: name the files to read");
    if (!flags->tokenizer || !flags->tokenizer[0])
        return err_set(ERR_USAGE, "store import: --tokenizer=PATH is missing: the one that made "
                                  "the ids");
    if (strcmp(flags->out, ".") == 0 || strcmp(flags->out, "-") == 0)
        return err_set(ERR_USAGE, "store import: --out=DIR is missing: a folder to make");
    TRY(io_path(inside, "%s/store", flags->out));
    TRY(io_path(note, "%s/import.json", flags->out));
    if (io_exists(inside) && !io_exists(note))
        return err_set(
            ERR_USAGE,
            "store import: %s is there without %s: an import was killed at its very end: "
            "delete %s and import again",
            inside, note, inside);
    if (io_exists(inside))
        return err_set(ERR_USAGE,
                       "store import: %s is there already: name another folder with "
                       "--out, or add to it with sluice store append",
                       inside);
    if (flags->width != 0 && flags->width != 2 && flags->width != 4)
        return err_set(ERR_USAGE, "store import: --width=%lld: an id has 2 or 4 bytes",
                       (long long)flags->width);
    TRY(tokenizer_open(&im->tokenizer, flags->tokenizer));
    uint32_t vocab = tokenizer_vocab(im->tokenizer);
    if (flags->separator >= (int64_t)vocab)
        return err_set(ERR_USAGE, "store import: --separator=%lld: the tokenizer has %u ids",
                       (long long)flags->separator, vocab);
    im->conf =
        (struct import_conf){.format = (enum store_format)format,
                             .vocab_size = vocab,
                             .separator = flags->separator >= 0 ? (uint32_t)flags->separator
                                                                : tokenizer_eot(im->tokenizer),
                             .width = flags->width     ? (uint32_t)flags->width
                                      : vocab <= 65536 ? 2
                                                       : 4};
    im->file = arena_array_zero(a, struct import_file, count);
    im->name_hash = arena_array_zero(a, uint64_t, count);
    im->bytes_of = arena_array_zero(a, uint32_t, vocab);
    if (!im->file || !im->name_hash || !im->bytes_of)
        return ERR_LIMIT;
    for (uint32_t id = 0; id < vocab; id++)
        im->bytes_of[id] = (uint32_t)tokenizer_bytes(im->tokenizer, id).len;
    for (int i = 0; i < count; i++)
        TRY(file_resolve(im, path[i], a));
    return 0;
}

/* ---- documents ---- */

static int heldout_put(struct importing *im, const struct import_doc *doc, uint64_t id)
{
    struct json_writer w;
    char name[17];
    snprintf(name, sizeof name, "%016llx", (unsigned long long)id);
    buf_clear(&im->text);
    buf_clear(&im->line);
    TRY(tokenizer_decode(im->tokenizer, doc->ids, doc->count, &im->text));
    json_begin(&w, &im->line);
    json_open(&w, '{');
    json_field_text(&w, "id", name);
    json_field_str(&w, "text", buf_view(&im->text));
    json_field_text(&w, "source", im->flags->domain);
    json_close(&w, '}');
    buf_char(&im->line, '\n');
    if (im->text.failed || im->line.failed)
        return err_set(ERR_LIMIT, "store import: no memory for the text of a document");
    im->held++;
    return io_write_str(im->heldout, buf_view(&im->line));
}

static int doc_put(struct importing *im, const struct import_doc *doc)
{
    const char *path = im->file[doc->file].tokens;
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < doc->count; i++)
        bytes += im->bytes_of[doc->ids[i]];
    if (bytes > UINT32_MAX)
        return err_set(ERR_LIMIT, "store import: %s: document %u has 4 GiB of text or more", path,
                       doc->record);
    /* The same file gives the same ids wherever it lies; places tell equal documents apart. */
    uint64_t id = hash64(doc->ids, sizeof *doc->ids * doc->count,
                         hash_mix(im->name_hash[doc->file] ^ hash_mix(doc->record)));
    progress_add(&im->progress, 1, bytes, 0);
    if (im->heldout && doc->count && hash_unit(HELDOUT_SEED, id) < im->flags->heldout)
        return heldout_put(im, doc, id);
    struct store_doc row = {.id = id,
                            .item = doc->file,
                            .record = doc->record,
                            .token_count = doc->count,
                            .text_bytes = (uint32_t)bytes,
                            .lang_score = NAN,
                            .score = NAN};
    im->documents++;
    im->tokens += doc->count;
    im->bytes += bytes;
    return store_append(im->store, 0, &row, doc->ids);
}

/* Writes OUT/tokenizer and goes on with what it reads back as: the store keeps the hash of the
 * tokenizer beside it, and a rank file and a tokenizer.json of the same ids have two. */
static int tokenizer_settle(struct importing *im)
{
    char path[IO_PATH_MAX];
    struct tokenizer *written;
    TRY(io_path(path, "%s/tokenizer", im->flags->out));
    TRY(tokenizer_convert(im->tokenizer, path));
    TRY(tokenizer_open(&written, path));
    bool same = tokenizer_vocab(written) == tokenizer_vocab(im->tokenizer) &&
                tokenizer_eot(written) == tokenizer_eot(im->tokenizer);
    tokenizer_close(im->tokenizer);
    im->tokenizer = written;
    return same ? 0
                : err_set(ERR_FORMAT, "store import: %s reads back as another tokenizer than %s",
                          path, im->flags->tokenizer);
}

static int store_begin(struct importing *im)
{
    char path[IO_PATH_MAX];
    struct store_meta *meta = calloc(1, sizeof *meta);
    if (!meta)
        return err_set(ERR_LIMIT, "store import: no memory");
    meta->vocab_size = im->conf.vocab_size;
    meta->eot = tokenizer_eot(im->tokenizer);
    meta->tokenizer_hash = tokenizer_hash(im->tokenizer);
    meta->domain_count = 1;
    int len = snprintf(meta->domain[0].name, sizeof meta->domain[0].name, "%s", im->flags->domain);
    int rc = len < (int)sizeof meta->domain[0].name
                 ? io_path(path, "%s/store", im->flags->out)
                 : err_set(ERR_USAGE, "store import: --domain=%s: at most %zu bytes",
                           im->flags->domain, sizeof meta->domain[0].name - 1);
    if (rc >= 0)
        rc = store_create(&im->store, path, meta);
    free(meta);
    return rc;
}

static int store_fill(struct importing *im)
{
    char path[IO_PATH_MAX];
    struct import_doc doc;
    int rc;
    if (im->flags->heldout > 0) {
        TRY(io_path(path, "%s/heldout/%s.jsonl.zst", im->flags->out, im->flags->domain));
        TRY(io_create(&im->heldout, path, IO_ZSTD, HELDOUT_LEVEL));
    }
    progress_begin(&im->progress, "import", "documents", 0);
    while ((rc = import_next(im->in, &doc)) > 0)
        TRY(doc_put(im, &doc));
    TRY(rc);
    progress_end(&im->progress);
    if (im->documents == 0)
        return err_set(ERR_FORMAT, "store import: the files hold no document");
    struct io_writer *heldout = im->heldout;
    im->heldout = NULL;
    if (heldout && im->held)
        TRY(io_commit(heldout, NULL));
    else
        io_abandon(heldout);
    struct store_writer *store = im->store;
    im->store = NULL;
    return store_commit(store, NULL);
}

/* ---- what was read ---- */

static int put_files(struct importing *im, struct json_writer *w)
{
    json_field_open(w, "files", '[');
    for (uint32_t i = 0; i < im->files; i++) {
        struct io_info info;
        char hash[33];
        TRY(io_hash_file(im->file[i].tokens, &info));
        hash_hex(info.hash, hash);
        json_open(w, '{');
        json_field_text(w, "path", im->file[i].tokens);
        json_field_u64(w, "bytes", info.bytes);
        json_field_text(w, "xxh3", hash);
        json_close(w, '}');
    }
    json_close(w, ']');
    return 0;
}

static int note_write(struct importing *im)
{
    char path[IO_PATH_MAX], hash[33];
    struct json_writer w;
    struct buf text = {0};
    int rc;
    hash_hex(tokenizer_hash(im->tokenizer), hash);
    json_begin(&w, &text);
    json_open(&w, '{');
    json_field_text(&w, "format", im->flags->format);
    json_field_text(&w, "domain", im->flags->domain);
    json_field_text(&w, "tokenizer", im->flags->tokenizer);
    json_field_text(&w, "tokenizer_hash", hash);
    json_field_u64(&w, "separator", im->conf.separator);
    json_field_u64(&w, "documents", im->documents);
    json_field_u64(&w, "tokens", im->tokens);
    json_field_u64(&w, "bytes", im->bytes);
    json_field_u64(&w, "heldout_documents", im->held);
    TRY_OUT(put_files(im, &w));
    json_close(&w, '}');
    buf_char(&text, '\n');
    TRY_OUT(text.failed ? err_set(ERR_LIMIT, "store import: no memory") : 0);
    TRY_OUT(io_path(path, "%s/import.json", im->flags->out));
    rc = io_write_file(path, buf_view(&text));
out:
    buf_free(&text);
    return rc;
}

int store_read_files(const struct store_flags *flags, char **path, int count, struct arena *a)
{
    struct importing *im = calloc(1, sizeof *im);
    int rc;
    if (!im)
        return err_set(ERR_LIMIT, "store import: no memory");
    im->flags = flags;
    im->text.max = im->line.max = (size_t)32 << 30;
    TRY_OUT(domain_check(flags->domain));
    TRY_OUT(conf_resolve(im, path, count, a));
    TRY_OUT(import_open(&im->in, &im->conf, im->file, im->files));
    TRY_OUT(tokenizer_settle(im));
    TRY_OUT(store_begin(im));
    TRY_OUT(store_fill(im));
    TRY_OUT(note_write(im));
    printf("%s: %llu documents, %llu tokens of %llu bytes of text in domain %s", flags->out,
           (unsigned long long)im->documents, (unsigned long long)im->tokens,
           (unsigned long long)im->bytes, flags->domain);
    if (im->held)
        printf(", %llu documents held out", (unsigned long long)im->held);
    printf("\n# a recipe trains on it with: [store] path = \"%s\"\n", flags->out);
out:
    io_abandon(im->heldout);
    store_abandon(im->store);
    import_close(im->in);
    tokenizer_close(im->tokenizer);
    buf_free(&im->text);
    buf_free(&im->line);
    free(im);
    return rc < 0 ? rc : 0;
}

/* ---- where an imported document came from ---- */

int import_paths(const char *dir, struct arena *a, struct str **path, uint32_t *count)
{
    char name[IO_PATH_MAX], *text;
    size_t len;
    struct json *root;
    TRY(io_path(name, "%s/import.json", dir));
    TRY(io_read_file(name, NOTE_MAX, &text, &len));
    int rc = json_parse(a, (struct str){text, len}, &root);
    const struct json *files = rc < 0 ? NULL : json_get(root, "files");
    *count = 0;
    *path = files ? arena_array(a, struct str, files->count + 1) : NULL;
    for (const struct json *f = files && *path ? files->child : NULL; f; f = f->next)
        (*path)[(*count)++] = arena_str(a, json_str(f, "path", STR("?")));
    free(text);
    if (rc >= 0 && !*path)
        rc = err_set(ERR_FORMAT, "it names no files");
    return rc < 0 ? err_in(rc, "%s", name) : 0;
}

int import_walk(const char *dir, import_seen *fn, void *arg)
{
    char path[IO_PATH_MAX];
    struct arena a = {0};
    struct store *s = NULL;
    struct str *file;
    uint32_t files;
    int rc;
    TRY_OUT(arena_open(&a, NOTE_ARENA));
    TRY_OUT(import_paths(dir, &a, &file, &files));
    TRY_OUT(io_path(path, "%s/store", dir));
    TRY_OUT(store_open(&s, path));
    for (uint32_t d = 0; d < store_meta(s)->domain_count && rc == 0; d++)
        for (uint64_t i = 0; i < store_meta(s)->domain[d].documents && rc == 0; i++) {
            struct store_doc doc;
            TRY_OUT(store_doc_at(s, d, i, &doc));
            if (!store_origin_of(s, doc.item) && doc.item < files)
                rc = fn(arg, &doc, file[doc.item]);
        }
out:
    store_close(s);
    arena_close(&a);
    return rc < 0 ? rc : 0;
}

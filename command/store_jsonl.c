/* store_jsonl - text back from a store's tokens, as JSON lines in the order of the corpus.
 *
 * A view's documents lie domain by domain; each domain's are in the order of the inputs. One cursor
 * a domain merges them, so that the ledger, which is in the order of the inputs too, is walked
 * along once: memory is one document, whatever the store's size. */
#include "command/store_tool.h"
#include "core/err.h"
#include "core/json.h"
#include "core/ledger.h"
#include "core/log.h"
#include "store/token_view.h"
#include "tokenize/tokenize.h"

#include <stdlib.h>

enum { PIECE = 1 << 16, JSONL_LEVEL = 3 };

/* Where a domain's documents of the view go on. */
struct cursor {
    uint64_t extent, extent_end; /* of the view; equal: no more */
    uint64_t index;              /* of doc in the domain */
    struct store_doc doc;
};
struct jsonl {
    struct store *store;
    const struct token_view *view;
    struct tokenizer *tokenizer;
    struct io_writer *to; /* NULL: standard output */
    struct buf text, line;
    uint32_t *ids;
    struct cursor cursor[STORE_DOMAINS_MAX];
    int next;      /* the domain whose document comes next; -1: none */
    uint32_t item; /* whose ledger is walked */
    uint64_t tokens, lines, no_row;
};

static uint64_t place_of(const struct store_doc *doc)
{
    return (uint64_t)doc->item << 32 | doc->record;
}

/* ---- the documents in the order of their places ---- */
static int extent_enter(struct jsonl *j, struct cursor *c)
{
    if (c->extent == c->extent_end)
        return 0;
    const struct extent *e = &j->view->extent[c->extent];
    return store_doc_of(j->store, e->domain, e->start, &c->index, &c->doc);
}

static void next_pick(struct jsonl *j)
{
    j->next = -1;
    for (int d = 0; d < STORE_DOMAINS_MAX; d++) {
        const struct cursor *c = &j->cursor[d];
        if (c->extent < c->extent_end &&
            (j->next < 0 || place_of(&c->doc) < place_of(&j->cursor[j->next].doc)))
            j->next = d;
    }
}

static int next_step(struct jsonl *j)
{
    struct cursor *c = &j->cursor[j->next];
    const struct extent *e = &j->view->extent[c->extent];
    if (c->doc.token_start + c->doc.token_count < e->start + e->count) {
        TRY(store_doc_at(j->store, e->domain, ++c->index, &c->doc));
    } else {
        c->extent++;
        TRY(extent_enter(j, c));
    }
    next_pick(j);
    return 0;
}

static int cursors_begin(struct jsonl *j)
{
    for (uint64_t i = 0; i < j->view->extent_count; i++) {
        struct cursor *c = &j->cursor[j->view->extent[i].domain];
        if (c->extent == c->extent_end)
            c->extent = i;
        c->extent_end = i + 1;
    }
    for (int d = 0; d < STORE_DOMAINS_MAX; d++)
        TRY(extent_enter(j, &j->cursor[d]));
    next_pick(j);
    return 0;
}

/* ---- one line ---- */
static int text_of(struct jsonl *j, uint32_t domain, const struct store_doc *doc)
{
    uint64_t at = doc->token_start + 1, left = doc->token_count - 1;
    buf_clear(&j->text);
    while (left) {
        uint32_t now = left < PIECE ? (uint32_t)left : PIECE;
        TRY(store_read(j->store, domain, at, now, j->ids));
        TRY(tokenizer_decode(j->tokenizer, j->ids, now, &j->text));
        at += now;
        left -= now;
    }
    return 0;
}

static void put_row(struct json_writer *w, const struct ledger_row *row, struct str source)
{
    json_field_str(w, "url", row->url);
    json_field_open(w, "metadata", '{');
    json_field_str(w, "lang", row->lang);
    json_field_str(w, "file", source);
    json_field_u64(w, "offset", row->offset);
    json_field_u64(w, "record", row->record);
    json_close(w, '}');
}

/* The line of the next document; row: NULL when the ledger does not have it. */
static int line_put(struct jsonl *j, const struct ledger_row *row, struct str source)
{
    struct json_writer w;
    const struct store_doc *doc = &j->cursor[j->next].doc;
    char id[17];
    TRY(text_of(j, (uint32_t)j->next, doc));
    snprintf(id, sizeof id, "%016llx", (unsigned long long)doc->id);
    buf_clear(&j->line);
    json_begin(&w, &j->line);
    json_open(&w, '{');
    json_field_text(&w, "id", id);
    json_field_str(&w, "text", buf_view(&j->text));
    json_field_text(&w, "domain", store_meta(j->store)->domain[j->next].name);
    if (row)
        put_row(&w, row, source);
    json_close(&w, '}');
    buf_char(&j->line, '\n');
    if (j->text.failed || j->line.failed)
        return err_set(ERR_LIMIT, "store export: no memory for the text of document %s", id);
    j->tokens += doc->token_count - 1;
    j->lines++;
    j->no_row += row == NULL;
    if (j->to)
        TRY(io_write_str(j->to, buf_view(&j->line)));
    else if (fwrite(j->line.ptr, 1, j->line.len, stdout) != j->line.len)
        return err_sys("standard output");
    return next_step(j);
}

/* ---- along the ledger, input by input ---- */
static int row_seen(void *arg, const struct ledger_row *row, struct str source,
                    const struct schema *schema)
{
    struct jsonl *j = arg;
    UNUSED(schema);
    if (j->next < 0 || j->cursor[j->next].doc.item != j->item)
        return 1;
    const struct store_doc *doc = &j->cursor[j->next].doc;
    if (row->record != doc->record || row->id != doc->id || !str_is(row->verdict, "kept"))
        return 0;
    return line_put(j, row, source);
}

/* The ledger of an input: of the store's own run, or of the run it was appended from. */
static int ledger_path(const struct jsonl *j, const char *run_dir, char path[IO_PATH_MAX])
{
    char base[IO_PATH_MAX];
    const struct store_origin *from = store_origin_of(j->store, j->item);
    TRY(ledger_base(from ? from->run : run_dir, base));
    return io_path(path, "%s/ledger/%05u.parquet", base, j->item - (from ? from->first_item : 0));
}

static int item_put(struct jsonl *j, const char *run_dir)
{
    static const struct ledger_need need = {.column = {[LEDGER_ID] = true,
                                                       [LEDGER_URL] = true,
                                                       [LEDGER_SOURCE] = true,
                                                       [LEDGER_OFFSET] = true,
                                                       [LEDGER_RECORD] = true,
                                                       [LEDGER_LANG] = true,
                                                       [LEDGER_VERDICT] = true}};
    char path[IO_PATH_MAX];
    j->item = j->cursor[j->next].doc.item;
    TRY(ledger_path(j, run_dir, path));
    if (io_exists(path)) {
        struct ledger_reader *ledger;
        TRY(ledger_open(&ledger, path));
        int rc = ledger_rows(ledger, &need, row_seen, j);
        ledger_close(ledger);
        TRY(rc);
    }
    while (j->next >= 0 && j->cursor[j->next].doc.item == j->item)
        TRY(line_put(j, NULL, STR("")));
    return 0;
}

static int lines_put(struct jsonl *j, const char *run_dir)
{
    while (j->next >= 0)
        TRY(item_put(j, run_dir));
    if (j->no_row && j->no_row < j->lines)
        log_warn("store export: %llu of %llu documents are in no ledger: their lines have no url",
                 (unsigned long long)j->no_row, (unsigned long long)j->lines);
    return 0;
}

static int tokenizer_of_run(const struct store_flags *flags, const struct store *s,
                            struct tokenizer **t)
{
    char path[IO_PATH_MAX], base[IO_PATH_MAX];
    bool named = flags->tokenizer && flags->tokenizer[0];
    TRY(ledger_base(flags->run, base));
    TRY(named ? io_path(path, "%s", flags->tokenizer) : io_path(path, "%s/tokenizer", base));
    TRY(tokenizer_open(t, path));
    struct hash128 hash = tokenizer_hash(*t), want = store_meta(s)->tokenizer_hash;
    if (hash.low == want.low && hash.high == want.high)
        return 0;
    return err_set(ERR_USAGE, "store export: %s is not the tokenizer that the store was made with",
                   path);
}

int store_write_jsonl(const struct store_flags *flags, struct store *s,
                      const struct token_view *view, const char *path, uint64_t *tokens)
{
    struct jsonl *j = calloc(1, sizeof *j);
    int rc;
    if (!j)
        return err_set(ERR_LIMIT, "store export: no memory");
    j->store = s;
    j->view = view;
    j->text.max = j->line.max = (size_t)32 << 30; /* of what a document's tokens may come to */
    j->ids = malloc(sizeof *j->ids * PIECE);
    TRY_OUT(j->ids ? 0 : err_set(ERR_LIMIT, "store export: no memory"));
    TRY_OUT(tokenizer_of_run(flags, s, &j->tokenizer));
    if (strcmp(path, "-") != 0)
        TRY_OUT(io_create(&j->to, path, IO_ZSTD, JSONL_LEVEL));
    TRY_OUT(cursors_begin(j));
    TRY_OUT(lines_put(j, flags->run));
    if (j->to) {
        struct io_writer *to = j->to;
        j->to = NULL;
        rc = io_commit(to, NULL);
    } else {
        rc = fflush(stdout) ? err_sys("standard output") : 0;
    }
    *tokens = j->tokens;
out:
    io_abandon(j->to);
    tokenizer_close(j->tokenizer);
    buf_free(&j->text);
    buf_free(&j->line);
    free(j->ids);
    free(j);
    return rc;
}

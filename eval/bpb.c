/* bpb - bits per byte of a domain's held-out text under a model: comparable across tokenizers. */
#include "eval/eval.h"

#include "core/err.h"
#include "core/pipe.h"

#include <math.h>
#include <stdlib.h>

enum { CHOSEN_MAX = 1 << 20, ENCODE_ROOM = 8 };   /* bytes of arena per byte of text */

/* ---- which documents: the first by id ---- */

struct chosen { char *id; uint32_t length, line; };

static int by_id(const void *a, const void *b)
{
    const struct chosen *left = a, *right = b;
    int order = str_cmp((struct str){left->id, left->length},
                        (struct str){right->id, right->length});
    return order ? order : left->line < right->line ? -1 : left->line > right->line;
}

static int by_line(const void *a, const void *b)
{
    uint32_t left = *(const uint32_t *)a, right = *(const uint32_t *)b;
    return left < right ? -1 : left > right;
}

static void chosen_free(struct chosen *list, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        free(list[i].id);
    free(list);
}

static int read_ids(const char *path, struct chosen **list, uint32_t *count)
{
    struct heldout *h = NULL;
    struct str id, text;
    uint32_t room = 0;
    int rc;
    TRY(heldout_open(&h, path));
    while ((rc = heldout_next(h, &id, &text)) > 0) {
        if (*count == CHOSEN_MAX) {
            rc = err_set(ERR_LIMIT, "eval: %s has more than %d documents: set documents to 0", path,
                         CHOSEN_MAX);
            break;
        }
        if (*count == room) {
            room = room ? room * 2 : 256;
            struct chosen *grown = realloc(*list, room * sizeof *grown);
            if (!grown) {
                rc = err_set(ERR_LIMIT, "eval: no memory for %u ids", room);
                break;
            }
            *list = grown;
        }
        struct chosen *c = &(*list)[*count];
        *c = (struct chosen){malloc(id.len + 1), (uint32_t)id.len, *count};
        if (!c->id) {
            rc = err_set(ERR_LIMIT, "eval: no memory for an id of %zu bytes", id.len);
            break;
        }
        memcpy(c->id, id.ptr ? id.ptr : "", id.len);
        (*count)++;
    }
    heldout_close(h);
    return rc;
}

/* Line numbers, ascending, of the max documents with the smallest ids. */
static int choose(const char *path, uint32_t max, uint32_t **lines, uint32_t *count)
{
    struct chosen *list = NULL;
    uint32_t total = 0;
    int rc = read_ids(path, &list, &total);
    if (rc < 0)
        goto out;
    qsort(list, total, sizeof *list, by_id);
    *count = total < max ? total : max;
    *lines = malloc((*count + 1) * sizeof **lines);
    if (!*lines) {
        rc = err_set(ERR_LIMIT, "eval: no memory for %u documents", *count);
        goto out;
    }
    for (uint32_t i = 0; i < *count; i++)
        (*lines)[i] = list[i].line;
    qsort(*lines, *count, sizeof **lines, by_line);
out:
    chosen_free(list, total);
    return rc;
}

/* ---- scoring ---- */

/* Runs visit over the tokens of every chosen document (lines NULL: all). */
struct visit { int (*tokens)(void *arg, const uint32_t *ids, uint32_t count); void *arg; };

static int walk(const struct tokenizer *tok, const char *path, const uint32_t *lines,
                uint32_t line_count, struct visit visit, struct bpb_row *out)
{
    struct heldout *h = NULL;
    struct encoder *encoder = NULL;
    struct arena a = {0};
    struct str id, text;
    uint32_t line = 0, next = 0;
    int rc;
    TRY_OUT(heldout_open(&h, path));
    TRY_OUT(encoder_open(&encoder, tok));
    while ((rc = heldout_next(h, &id, &text)) > 0) {
        if (lines && (next == line_count || lines[next] != line++))
            continue;
        next++;
        const uint32_t *ids;
        uint32_t count;
        TRY_OUT(heldout_room(&a, text.len * ENCODE_ROOM + (1 << 20)));
        TRY_OUT(encoder_encode(encoder, text, &a, &ids, &count));
        TRY_OUT(visit.tokens(visit.arg, ids, count));
        out->documents++;
        out->bytes += text.len;
        out->tokens += (uint64_t)count + 1;
    }
    if (rc == 0 && out->bytes == 0)
        rc = err_set(ERR_FORMAT, "eval: %s holds no text", path);
out:
    arena_close(&a);
    if (encoder)
        encoder_close(encoder);
    heldout_close(h);
    return rc;
}

static void row_begin(struct bpb_row *row, const char *path)
{
    heldout_domain(path, row->domain);
    row->documents = row->bytes = row->tokens = 0;
}

/* The documents of c; *lines NULL: all. */
static int choose_by(const struct bpb_conf *c, const char *path, uint32_t **lines, uint32_t *count)
{
    if (c->batch < 1 || c->documents_max < 0 || c->documents_max > CHOSEN_MAX)
        return err_set(ERR_USAGE, "eval: batch %lld must be at least 1, documents %lld 0 to %d",
                       (long long)c->batch, (long long)c->documents_max, CHOSEN_MAX);
    return c->documents_max ? choose(path, (uint32_t)c->documents_max, lines, count) : 0;
}

static int to_nobody(void *arg, const uint32_t *ids, uint32_t count)
{
    UNUSED(arg);
    UNUSED(ids);
    UNUSED(count);
    return pipe_stop ? err_set(ERR_STOP, "eval: stopped") : 0;
}

int eval_tokens(const struct tokenizer *tok, const char *heldout_file, const struct bpb_conf *c,
                uint64_t *tokens)
{
    struct bpb_row row = {.tokens = 0};
    uint32_t *lines = NULL, line_count = 0;
    int rc = choose_by(c, heldout_file, &lines, &line_count);
    if (rc >= 0)
        rc = walk(tok, heldout_file, lines, line_count, (struct visit){to_nobody, NULL}, &row);
    *tokens = row.tokens;
    free(lines);
    return rc;
}

static int to_scorer(void *arg, const uint32_t *ids, uint32_t count)
{
    return model_scorer_add(arg, ids, count);
}

int eval_bpb(struct model *m, const struct tokenizer *tok, const char *heldout_file,
             const struct bpb_conf *c, struct bpb_row *out)
{
    struct model_scorer *scorer = NULL;
    uint32_t *lines = NULL, line_count = 0;
    double bits;
    int rc;
    TRY(choose_by(c, heldout_file, &lines, &line_count));
    row_begin(out, heldout_file);
    TRY_OUT(model_scorer_open(&scorer, m, c->batch, tokenizer_eot(tok)));
    model_scorer_show(scorer, c->progress);
    TRY_OUT(walk(tok, heldout_file, lines, line_count, (struct visit){to_scorer, scorer}, out));
    TRY_OUT(model_scorer_finish(scorer, &bits));
    out->bits_per_byte = bits / (double)out->bytes;
out:
    model_scorer_close(scorer);
    free(lines);
    return rc;
}

/* ---- the unigram baseline ---- */

struct unigram { const uint64_t *counts; uint32_t vocab, eot; double log2_total, bits; };

static int to_unigram(void *arg, const uint32_t *ids, uint32_t count)
{
    struct unigram *u = arg;
    for (uint32_t i = 0; i <= count; i++) {
        uint32_t id = i < count ? ids[i] : u->eot;
        u->bits += u->log2_total - log2((double)(u->counts[id] + 1));
    }
    return 0;
}

int eval_unigram(const struct tokenizer *tok, const char *heldout_file, const uint64_t *counts,
                 struct bpb_row *out)
{
    struct unigram u = {.counts = counts, .vocab = tokenizer_vocab(tok), .eot = tokenizer_eot(tok)};
    uint64_t total = u.vocab;                            /* +1 for each id */
    for (uint32_t i = 0; i < u.vocab; i++)
        total += counts[i];
    u.log2_total = log2((double)total);
    row_begin(out, heldout_file);
    TRY(walk(tok, heldout_file, NULL, 0, (struct visit){to_unigram, &u}, out));
    out->unigram_bits_per_byte = u.bits / (double)out->bytes;
    return 0;
}

/* merge - one writer gathers what pass 2 left per file: the token store, held-out text per domain,
 * samples. */
#include "command/changes.h"
#include "command/summary.h"
#include "command/token_file.h"
#include "core/err.h"
#include "core/json.h"

#include <stdlib.h>

enum { SAMPLES_PER_RULE = 4, SAMPLES_KEPT = 16, SAMPLES_MAX = 4096 };

static int store_item(struct run *r, struct store_writer *w, uint32_t item)
{
    struct token_file *in;
    struct token_head head;
    const uint32_t *ids;
    int rc;
    TRY(token_file_open(&in, r->dir, item));
    while ((rc = token_file_next(in, &head, &ids)) > 0) {
        struct store_doc doc = {.id = head.id,
                                .item = item,
                                .record = head.record,
                                .token_count = head.count,
                                .text_bytes = head.text_bytes,
                                .lang_score = head.lang_score,
                                .score = head.score};
        memcpy(doc.lang, head.lang, sizeof doc.lang);
        rc = head.domain < (uint32_t)r->recipe->domain_count
                 ? store_append(w, head.domain, &doc, ids)
                 : err_set(ERR_FORMAT, "domain %u is not in the recipe", head.domain);
        if (rc < 0)
            break;
    }
    token_file_close(in);
    return rc < 0 ? err_in(rc, "tokens of input %u", item) : 0;
}

static int write_store(struct run *r, struct manifest *m)
{
    char path[IO_PATH_MAX];
    struct tokenizer *t = NULL;
    struct store_writer *w = NULL;
    struct store_meta *meta = calloc(1, sizeof *meta);
    struct io_info info;
    int rc;
    if (!meta)
        return err_set(ERR_LIMIT, "store: no memory");
    TRY_OUT(io_path(path, "%s/tokenizer", r->dir));
    TRY_OUT(tokenizer_open(&t, path));
    meta->vocab_size = tokenizer_vocab(t);
    meta->eot = tokenizer_eot(t);
    meta->token_bytes = meta->vocab_size <= 65536 ? 2 : 4;
    meta->tokenizer_hash = tokenizer_hash(t);
    meta->domain_count = (uint32_t)r->recipe->domain_count;
    for (int i = 0; i < r->recipe->domain_count; i++)
        snprintf(meta->domain[i].name, sizeof meta->domain[i].name, "%s",
                 r->recipe->domain[i].name);
    TRY_OUT(io_path(path, "%s/store", r->dir));
    TRY_OUT(store_create(&w, path, meta));
    for (uint32_t item = 0; item < r->input_count; item++)
        TRY_OUT(store_item(r, w, item));
    rc = store_commit(w, NULL);
    w = NULL;
    TRY_OUT(rc);
    TRY_OUT(changes_replay(r->dir));
    TRY_OUT(io_path(path, "%s/store/data.mdb", r->dir));
    TRY_OUT(io_hash_file(path, &info));
    rc = manifest_add_output(m, "store/data.mdb", &info);
out:
    store_abandon(w);
    free(meta);
    if (t)
        tokenizer_close(t);
    return rc;
}

/* ---- held-out text: one file a domain, documents in order of place ---- */
static int heldout_item(struct run *r, struct io_writer **out, uint64_t *count, uint32_t item,
                        struct arena *a)
{
    char path[IO_PATH_MAX];
    struct io_reader *in;
    struct str line;
    int rc;
    TRY(io_path(path, "%s/parts/heldout-%05u.jsonl.zst", r->dir, item));
    TRY(io_open(&in, path));
    while ((rc = io_read_line(in, &line)) > 0) {
        struct json *root;
        arena_reset(a, 0);
        if ((rc = json_parse(a, line, &root)) < 0)
            break;
        struct str name = json_str(root, "source", STR(""));
        int domain = 0;
        while (domain < r->recipe->domain_count && !str_is(name, r->recipe->domain[domain].name))
            domain++;
        if (domain == r->recipe->domain_count) {
            rc = err_set(ERR_FORMAT, "domain %.*s is not in the recipe", STR_ARG(name));
            break;
        }
        if (count[domain]++ >= (uint64_t)r->recipe->heldout.documents_max)
            continue;
        if ((rc = io_write_str(out[domain], line)) < 0 ||
            (rc = io_write_str(out[domain], STR("\n"))) < 0)
            break;
    }
    io_close(in);
    return rc < 0 ? err_in(rc, "%s", path) : 0;
}

static int write_heldout(struct run *r, struct manifest *m)
{
    struct io_writer *out[STORE_DOMAINS_MAX] = {0};
    uint64_t count[STORE_DOMAINS_MAX] = {0};
    char path[IO_PATH_MAX], relative[96];
    struct arena a = {0};
    struct io_info info;
    int rc;
    TRY_OUT(arena_open(&a, 1 << 30));
    for (int i = 0; i < r->recipe->domain_count; i++) {
        TRY_OUT(io_path(path, "%s/heldout/%s.jsonl.zst", r->dir, r->recipe->domain[i].name));
        TRY_OUT(io_create(&out[i], path, IO_ZSTD, 3));
    }
    for (uint32_t item = 0; item < r->input_count; item++)
        TRY_OUT(heldout_item(r, out, count, item, &a));
    for (int i = 0; i < r->recipe->domain_count; i++) {
        if (count[i] == 0)
            continue; /* a domain without held-out text has no file */
        struct io_writer *w = out[i];
        out[i] = NULL;
        TRY_OUT(io_commit(w, &info));
        snprintf(relative, sizeof relative, "heldout/%s.jsonl.zst", r->recipe->domain[i].name);
        TRY_OUT(manifest_add_output(m, relative, &info));
    }
    rc = 0;
out:
    for (int i = 0; i < STORE_DOMAINS_MAX; i++)
        io_abandon(out[i]);
    arena_close(&a);
    return rc;
}

/* ---- samples: of every rule the few with the smallest draws ---- */
struct sample {
    uint64_t order;
    struct str rule, line;
};
struct samples {
    struct sample item[SAMPLES_MAX];
    int count;
    struct arena arena;
};

static int sample_keep(struct samples *s, uint64_t order, struct str rule, struct str line)
{
    int limit = rule.len ? SAMPLES_PER_RULE : SAMPLES_KEPT, have = 0, worst = -1;
    for (int i = 0; i < s->count; i++)
        if (str_eq(s->item[i].rule, rule)) {
            have++;
            if (worst < 0 || s->item[i].order > s->item[worst].order)
                worst = i;
        }
    if (have >= limit && s->item[worst].order <= order)
        return 0;
    int at = have >= limit ? worst : s->count < SAMPLES_MAX ? s->count++ : -1;
    if (at < 0)
        return 0;
    s->item[at] = (struct sample){order, arena_str(&s->arena, rule), arena_str(&s->arena, line)};
    return s->item[at].line.ptr && s->item[at].rule.ptr ? 0 : ERR_LIMIT;
}

static int samples_item(struct run *r, struct samples *s, uint32_t item, struct arena *a)
{
    char path[IO_PATH_MAX];
    struct io_reader *in;
    struct str line;
    int rc;
    TRY(io_path(path, "%s/parts/samples-%05u.jsonl.zst", r->dir, item));
    TRY(io_open(&in, path));
    while ((rc = io_read_line(in, &line)) > 0) {
        struct json *root;
        uint64_t order = 0;
        arena_reset(a, 0);
        if ((rc = json_parse(a, line, &root)) < 0)
            break;
        if (json_get(root, "order"))
            json_u64(json_get(root, "order"), &order);
        if ((rc = sample_keep(s, order, json_str(root, "rule", STR("")), line)) < 0)
            break;
    }
    io_close(in);
    return rc < 0 ? err_in(rc, "%s", path) : 0;
}

static int by_rule(const void *a, const void *b)
{
    const struct sample *x = a, *y = b;
    int order = str_cmp(x->rule, y->rule);
    if (order)
        return order;
    return x->order < y->order ? -1 : x->order > y->order;
}

static int write_samples(struct run *r, struct manifest *m)
{
    struct samples *s = calloc(1, sizeof *s);
    struct arena a = {0};
    struct buf text = {0};
    char path[IO_PATH_MAX];
    struct io_info info;
    int rc;
    if (!s)
        return err_set(ERR_LIMIT, "samples: no memory");
    TRY_OUT(arena_open(&a, 1 << 30));
    TRY_OUT(arena_open(&s->arena, 4UL << 30));
    for (uint32_t item = 0; item < r->input_count; item++)
        TRY_OUT(samples_item(r, s, item, &a));
    qsort(s->item, (size_t)s->count, sizeof s->item[0], by_rule);
    for (int i = 0; i < s->count; i++) {
        buf_str(&text, s->item[i].line);
        buf_char(&text, '\n');
    }
    TRY_OUT(io_path(path, "%s/samples.jsonl", r->dir));
    TRY_OUT(io_write_file(path, buf_view(&text)));
    TRY_OUT(io_hash_file(path, &info));
    rc = manifest_add_output(m, "samples.jsonl", &info);
out:
    buf_free(&text);
    arena_close(&a);
    arena_close(&s->arena);
    free(s);
    return rc;
}

int task_store(struct run *r, uint32_t unit, struct manifest *m)
{
    UNUSED(unit);
    TRY(write_store(r, m));
    TRY(write_heldout(r, m));
    TRY(write_samples(r, m));
    return summary_store_json(r);
}

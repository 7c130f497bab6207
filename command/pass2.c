/* pass2 - over one spooled file: last verdicts, then tokens, corpus lines, held-out text, samples
 * and the ledger. */
#include "command/run.h"
#include "command/token_file.h"
#include "core/err.h"
#include "core/json.h"
#include "core/ledger.h"

#include <math.h>
#include <stdlib.h>

enum { ENCODE_ARENA = 1 << 30, CORPUS_LEVEL = 3, SAMPLE_TEXT = 1200, SAMPLE_KEPT_SHARE = 64 };

struct pass2 {
    struct run *run;
    const struct recipe *recipe;
    uint32_t item;
    struct spool_reader *spool;
    struct clusters *clusters;
    struct survivors *survivors;
    struct tokenizer *tokenizer;
    struct encoder *encoder;
    struct arena arena;
    struct io_writer *tokens, *corpus, *heldout, *samples;
    struct ledger_writer *ledger;
    struct buf line, also;
    int lang_signal, quality_signal; /* -1: the recipe measures none */
    uint64_t in, kept, held, dups, token_count, kept_samples;
};

/* What pass 2 finds out about one record. */
struct fate {
    uint16_t rule;
    float value, threshold;
    const char *verdict;
    int domain;
    uint32_t tokens;
    const struct cluster_row *row;
    struct str dup_of;
};

static void decide(struct pass2 *p, struct spool_doc *d, struct fate *f)
{
    *f = (struct fate){.rule = d->rule,
                       .value = d->value,
                       .threshold = d->threshold,
                       .verdict = "kept",
                       .domain = -1};
    if (!d->rule && p->clusters) {
        f->row = clusters_find(p->clusters, (struct dedup_key){p->item, d->record});
        if (f->row && f->row->id != d->id)
            f->row = NULL; /* never: checked by the caller */
        bool survivor =
            f->row && f->row->survivor.item == p->item && f->row->survivor.record == d->record;
        if (f->row && !survivor) {
            f->rule =
                (uint16_t)(f->row->exact ? p->recipe->rule_dup_exact : p->recipe->rule_dup_near);
            f->value = (float)f->row->size;
            f->threshold = f->row->exact ? NAN : (float)p->recipe->dedup.verify;
            f->dup_of = survivors_url(p->survivors, f->row->survivor);
            d->also[f->rule / 64] |= (uint64_t)1 << (f->rule % 64);
        }
    }
    if (f->rule)
        f->verdict = "dropped";
    else {
        f->domain = run_domain_of(p->recipe, d);
        if (run_is_heldout(p->recipe, d->id))
            f->verdict = "heldout";
    }
}

static float signal_of(const struct spool_doc *d, int signal)
{
    return signal < 0 ? NAN : d->signal[signal];
}

static int write_tokens(struct pass2 *p, const struct spool_doc *d, struct fate *f)
{
    const uint32_t *ids;
    arena_reset(&p->arena, 0);
    TRY(encoder_encode(p->encoder, d->text, &p->arena, &ids, &f->tokens));
    p->token_count += f->tokens;
    struct token_head head = {.id = d->id,
                              .record = d->record,
                              .domain = (uint32_t)f->domain,
                              .count = f->tokens,
                              .text_bytes = (uint32_t)d->text.len,
                              .lang_score = signal_of(d, p->lang_signal),
                              .score = signal_of(d, p->quality_signal)};
    memcpy(head.lang, d->lang, sizeof head.lang);
    /* The ids lie in the arena, and nobody reads them behind this. */
    return token_file_put(p->tokens, tokenizer_vocab(p->tokenizer), &head,
                          (uint32_t *)(uintptr_t)ids);
}

/* When it was captured and when the page says it was published, under Dolma's names. */
static void put_times(struct pass2 *p, struct json_writer *w, const struct spool_doc *d)
{
    struct json *meta = NULL;
    struct str created = {0};
    arena_reset(&p->arena, 0);
    if (d->meta.len && json_parse(&p->arena, d->meta, &meta) >= 0)
        created = json_str(meta, "date", created);
    if (d->date.len)
        json_field_str(w, "added", d->date);
    if (created.len)
        json_field_str(w, "created", created);
}

/* One line in the Dolma/DCLM shape: id, text, source, then metadata. */
static void text_line(struct pass2 *p, const struct spool_doc *d, const struct fate *f,
                      bool with_domain)
{
    struct json_writer w;
    char id[17];
    snprintf(id, sizeof id, "%016llx", (unsigned long long)d->id);
    buf_clear(&p->line);
    json_begin(&w, &p->line);
    json_open(&w, '{');
    json_field_text(&w, "id", id);
    json_field_str(&w, "text", d->text);
    json_field_str(&w, "url", d->url);
    json_field_text(&w, "source",
                    with_domain ? p->recipe->domain[f->domain].name : p->run->input[p->item].name);
    put_times(p, &w, d);
    json_field_open(&w, "metadata", '{');
    json_field_str(&w, "title", d->title);
    json_field_text(&w, "lang", d->lang);
    json_field_str(&w, "date", d->date);
    json_field_text(&w, "file", p->run->input[p->item].name);
    json_field_u64(&w, "offset", d->offset);
    json_field_u64(&w, "record", d->record);
    if (d->meta.len)
        json_field_raw(&w, "page", d->meta);
    json_close(&w, '}');
    json_close(&w, '}');
    buf_char(&p->line, '\n');
}

static int write_sample(struct pass2 *p, const struct spool_doc *d, const struct fate *f)
{
    struct str text = d->text;
    bool chosen = f->rule ? text.len > 0 && (!f->row || (hash_mix(d->id) & 15) == 0)
                          : hash_mix(d->id) % SAMPLE_KEPT_SHARE == 0 || p->kept_samples < 4;
    if (!chosen)
        return 0;
    p->kept_samples += f->rule == 0;
    text = str_slice(text, 0, SAMPLE_TEXT);
    while (text.len && text.len < d->text.len &&
           ((unsigned char)d->text.ptr[text.len] & 0xC0) == 0x80)
        text.len--;
    struct json_writer w;
    buf_clear(&p->line);
    json_begin(&w, &p->line);
    json_open(&w, '{');
    /* Who is shown is drawn by the order, not by place. */
    json_field_u64(&w, "order", hash_mix(d->id) >> 11);
    json_field_str(&w, "url", d->url);
    json_field_text(&w, "verdict", f->verdict);
    json_field_text(&w, "stage", p->recipe->schema.rule[f->rule].stage);
    json_field_text(&w, "rule", p->recipe->schema.rule[f->rule].name);
    json_field_num(&w, "value", (double)f->value);
    json_field_num(&w, "threshold", (double)f->threshold);
    json_field_text(&w, "lang", d->lang);
    json_field_str(&w, "text", text);
    json_close(&w, '}');
    buf_char(&p->line, '\n');
    return io_write_str(p->samples, buf_view(&p->line));
}

static int write_ledger(struct pass2 *p, const struct spool_doc *d, const struct fate *f)
{
    const struct schema *s = &p->recipe->schema;
    buf_clear(&p->also);
    for (int i = 1; i < s->rule_count; i++)
        if (d->also[i / 64] >> (i % 64) & 1) {
            if (p->also.len)
                buf_char(&p->also, ' ');
            buf_text(&p->also, s->rule[i].name);
        }
    struct ledger_row row = {
        .id = d->id,
        .offset = d->offset,
        .record = d->record,
        .raw_bytes = d->raw_bytes,
        .text_bytes = d->text_bytes,
        .url = d->url,
        .host = d->host,
        .lang = str_of(d->lang),
        .verdict = str_of(f->verdict),
        .stage = str_of(s->rule[f->rule].stage),
        .rule = str_of(s->rule[f->rule].name),
        .also = buf_view(&p->also),
        .dup_of = f->dup_of,
        .domain = str_of(f->domain >= 0 ? p->recipe->domain[f->domain].name : ""),
        .value = f->rule ? f->value : NAN,
        .threshold = f->rule ? f->threshold : NAN,
        .signal = d->signal,
        .tokens = f->tokens,
    };
    if (f->row) {
        row.cluster = (uint64_t)f->row->survivor.item << 32 | f->row->survivor.record;
        row.cluster_size = f->row->size;
    }
    return ledger_add(p->ledger, &row);
}

static int pass2_doc(struct pass2 *p, struct spool_doc *d)
{
    struct fate f;
    decide(p, d, &f);
    p->in++;
    p->dups += f.rule && !d->rule;
    bool held = f.rule == 0 && f.verdict[0] == 'h';
    if (f.rule == 0 && !held) {
        p->kept++;
        TRY(write_tokens(p, d, &f));
        if (p->corpus) {
            text_line(p, d, &f, false);
            TRY(io_write_str(p->corpus, buf_view(&p->line)));
        }
    }
    if (held) {
        p->held++;
        text_line(p, d, &f, true);
        TRY(io_write_str(p->heldout, buf_view(&p->line)));
    }
    TRY(write_sample(p, d, &f));
    if (p->line.failed || p->also.failed)
        return err_set(ERR_LIMIT, "pass2: no memory for a line of record %u", d->record);
    return write_ledger(p, d, &f);
}

static int pass2_open(struct pass2 *p)
{
    char path[IO_PATH_MAX];
    const char *dir = p->run->dir;
    TRY(arena_open(&p->arena, ENCODE_ARENA));
    TRY(io_path(path, "%s/spool/%05u.zst", dir, p->item));
    TRY(spool_open(&p->spool, path, p->recipe->schema.signal_count));
    if (p->recipe->has_dedup) {
        TRY(io_path(path, "%s/dedup/clusters.bin", dir));
        TRY(clusters_open(&p->clusters, path));
        TRY(io_path(path, "%s/dedup/survivors.zst", dir));
        TRY(survivors_open(&p->survivors, path));
    }
    TRY(io_path(path, "%s/tokenizer", dir));
    TRY(tokenizer_open(&p->tokenizer, path));
    TRY(encoder_open(&p->encoder, p->tokenizer));
    TRY(io_path(path, "%s/tokens/%05u.bin", dir, p->item));
    TRY(io_create(&p->tokens, path, IO_PLAIN, 0));
    TRY(token_file_begin(p->tokens, tokenizer_vocab(p->tokenizer)));
    TRY(io_path(path, "%s/parts/heldout-%05u.jsonl.zst", dir, p->item));
    TRY(io_create(&p->heldout, path, IO_ZSTD, CORPUS_LEVEL));
    TRY(io_path(path, "%s/parts/samples-%05u.jsonl.zst", dir, p->item));
    TRY(io_create(&p->samples, path, IO_ZSTD, CORPUS_LEVEL));
    if (p->recipe->corpus.write) {
        TRY(io_path(path, "%s/corpus/%05u.jsonl.zst", dir, p->item));
        TRY(io_create(&p->corpus, path, IO_ZSTD, CORPUS_LEVEL));
    }
    TRY(io_path(path, "%s/ledger/%05u.parquet", dir, p->item));
    return ledger_create(&p->ledger, path, p->run->input[p->item].name, &p->recipe->schema);
}

static int commit_one(struct pass2 *p, struct manifest *m, struct io_writer **w, const char *format)
{
    char relative[64];
    struct io_info info;
    struct io_writer *io = *w;
    *w = NULL;
    if (!io)
        return 0;
    TRY(io_commit(io, &info));
    snprintf(relative, sizeof relative, format, p->item);
    return manifest_add_output(m, relative, &info);
}

static int pass2_commit(struct pass2 *p, struct manifest *m)
{
    char relative[64];
    struct io_info info;
    TRY(commit_one(p, m, &p->tokens, "tokens/%05u.bin"));
    TRY(commit_one(p, m, &p->heldout, "parts/heldout-%05u.jsonl.zst"));
    TRY(commit_one(p, m, &p->samples, "parts/samples-%05u.jsonl.zst"));
    TRY(commit_one(p, m, &p->corpus, "corpus/%05u.jsonl.zst"));
    struct ledger_writer *ledger = p->ledger;
    p->ledger = NULL;
    TRY(ledger_commit(ledger, &info));
    snprintf(relative, sizeof relative, "ledger/%05u.parquet", p->item);
    TRY(manifest_add_output(m, relative, &info));
    TRY(manifest_add_count(m, "in", p->in));
    TRY(manifest_add_count(m, "kept", p->kept));
    TRY(manifest_add_count(m, "heldout", p->held));
    TRY(manifest_add_count(m, "duplicates", p->dups));
    return manifest_add_count(m, "tokens", p->token_count);
}

static void pass2_close(struct pass2 *p)
{
    io_abandon(p->tokens);
    io_abandon(p->heldout);
    io_abandon(p->samples);
    io_abandon(p->corpus);
    ledger_abandon(p->ledger);
    spool_close(p->spool);
    if (p->clusters)
        clusters_close(p->clusters);
    survivors_close(p->survivors);
    if (p->encoder)
        encoder_close(p->encoder);
    if (p->tokenizer)
        tokenizer_close(p->tokenizer);
    buf_free(&p->line);
    buf_free(&p->also);
    arena_close(&p->arena);
}

int task_pass2(struct run *r, uint32_t unit, struct manifest *m)
{
    struct pass2 p = {.run = r,
                      .recipe = r->recipe,
                      .item = unit,
                      .lang_signal = schema_find_signal(&r->recipe->schema, "language.score"),
                      .quality_signal = schema_find_signal(&r->recipe->schema, "quality.score")};
    struct spool_doc *d = malloc(sizeof *d);
    int rc = d ? pass2_open(&p) : err_set(ERR_LIMIT, "pass2: no memory");
    while (rc >= 0 && (rc = spool_next(p.spool, d)) > 0) {
        if (pipe_stop)
            rc = err_set(ERR_STOP, "stopped by a signal: run the same command to go on");
        else
            rc = pass2_doc(&p, d);
    }
    if (rc >= 0)
        rc = pass2_commit(&p, m);
    if (rc < 0)
        err_in(rc, "pass2 of %s", r->input[unit].name);
    pass2_close(&p);
    free(d);
    return rc;
}

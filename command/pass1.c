/* pass1 - the fused pass over one input file: records in, spool and signatures out, every record
 * kept track of. */
#include "command/run.h"
#include "core/err.h"
#include "core/log.h"

#include <math.h>
#include <stdlib.h>

enum {
    SNIPPET_BYTES = 1200,  /* of a dropped document's text, for people to look at */
    SNIPPETS_PER_RULE = 3, /* the first so many of each rule in a file, then one of 64 by hash */
};

struct pass1 {
    struct run *run;
    struct spool_writer *spool;
    struct sketch_writer *sketch;
    struct manifest *manifest;
    struct progress progress;
    struct input *input;
    uint64_t shown_bytes;
    int quality_signal, raw_signal;
    uint64_t in, kept, kept_bytes, dropped[RULES_MAX];
};

static struct str snippet_of(struct pass1 *p, const struct doc *d)
{
    struct str text = d->text;
    if (p->dropped[d->rule] > SNIPPETS_PER_RULE && (hash_mix(d->id) & 63) != 0)
        return (struct str){0};
    if (text.len > SNIPPET_BYTES) {
        text.len = SNIPPET_BYTES;
        while (text.len && ((unsigned char)text.ptr[text.len] & 0xC0) == 0x80)
            text.len--; /* never cut inside a character */
    }
    return text;
}

static int pass1_take(void *self, struct batch *b)
{
    struct pass1 *p = self;
    for (int i = 0; i < b->doc_count; i++) {
        struct doc *d = &b->doc[i];
        p->in++;
        p->kept += d->rule == 0;
        p->kept_bytes += d->rule ? 0 : d->text.len;
        p->dropped[d->rule] += d->rule != 0;
        float raw = p->raw_signal >= 0 ? d->signal[p->raw_signal] : NAN;
        uint32_t raw_bytes = d->raw.len || isnan(raw) ? (uint32_t)d->raw.len : (uint32_t)raw;
        TRY(spool_add(p->spool, d, d->rule ? snippet_of(p, d) : d->text, raw_bytes));
        if (!d->rule && p->sketch && d->sketch_bytes) {
            float quality = p->quality_signal >= 0 ? d->signal[p->quality_signal] : 0;
            TRY(sketch_add(p->sketch, d, isnan(quality) ? 0 : quality));
        }
    }
    uint64_t bytes = source_bytes(p->input);
    progress_add(&p->progress, 0, bytes - p->shown_bytes, 0);
    p->shown_bytes = bytes;
    return 0;
}

static int pass1_counts(struct pass1 *p)
{
    struct warc_stats stats;
    source_counts(p->input, &stats);
    if (p->in == 0 && stats.records)
        log_warn("none of the %llu records is a page or a text: a WAT file?",
                 (unsigned long long)stats.records);
    TRY(manifest_add_count(p->manifest, "in", p->in));
    TRY(manifest_add_count(p->manifest, "kept", p->kept));
    TRY(manifest_add_count(p->manifest, "kept_bytes", p->kept_bytes));
    TRY(manifest_add_count(p->manifest, "warc_records", stats.records));
    TRY(manifest_add_count(p->manifest, "warc_damaged", stats.damaged));
    TRY(manifest_add_count(p->manifest, "warc_lost_bytes", stats.lost_bytes));
    for (int i = 1; i < p->run->recipe->schema.rule_count; i++)
        if (p->dropped[i])
            TRY(manifest_add_count(p->manifest, p->run->recipe->schema.rule[i].name,
                                   p->dropped[i]));
    return 0;
}

static int pass1_commit(struct pass1 *p, uint32_t unit)
{
    char relative[64];
    struct io_info info;
    struct spool_writer *spool = p->spool;
    p->spool = NULL;
    TRY(spool_commit(spool, &info));
    snprintf(relative, sizeof relative, "spool/%05u.zst", unit);
    TRY(manifest_add_output(p->manifest, relative, &info));
    if (p->sketch) {
        struct sketch_writer *sketch = p->sketch;
        p->sketch = NULL;
        TRY(sketch_commit(sketch, &info));
        snprintf(relative, sizeof relative, "signatures/%05u.sig", unit);
        TRY(manifest_add_output(p->manifest, relative, &info));
    }
    return pass1_counts(p);
}

int task_pass1(struct run *r, uint32_t unit, struct manifest *m)
{
    struct recipe *recipe = r->recipe;
    const struct input_file *file = &r->input[unit];
    struct pass1 p = {.run = r, .manifest = m};
    char path[IO_PATH_MAX];
    uint64_t bytes;
    int rc;
    TRY(recipe_open_stages(recipe, r->dir, recipe->stage_count));
    TRY(input_get(r, unit, &bytes));
    p.raw_signal = schema_find_signal(&recipe->schema, "source.raw_bytes");
    p.quality_signal = schema_find_signal(&recipe->schema, "quality.score");
    TRY_OUT(source_open(&p.input, file->path, unit, recipe->source.record_max, &recipe->schema));
    TRY_OUT(io_path(path, "%s/spool/%05u.zst", r->dir, unit));
    TRY_OUT(spool_create(&p.spool, path, recipe->schema.signal_count));
    if (recipe->has_dedup) {
        TRY_OUT(io_path(path, "%s/signatures/%05u.sig", r->dir, unit));
        TRY_OUT(sketch_create(&p.sketch, path, unit, &recipe->dedup));
    }
    char what[64];
    snprintf(what, sizeof what, "pass1 %u/%u", unit + 1, r->input_count);
    progress_begin(&p.progress, what, "records", 0);
    p.progress.bytes_total = bytes;
    p.progress.show_kept = true;
    struct pipe_conf conf = {.threads = r->threads, .progress = &p.progress};
    rc = pipe_run(recipe->stage, recipe->stage_count, (struct source){source_fill, p.input},
                  (struct sink){pass1_take, &p}, &conf);
    progress_end(&p.progress);
    if (rc < 0)
        goto out;
    rc = pass1_commit(&p, unit);
out:
    if (rc < 0)
        err_in(rc, "%s", file->name);
    spool_abandon(p.spool);
    sketch_abandon(p.sketch);
    if (p.input)
        source_close(p.input);
    return rc;
}

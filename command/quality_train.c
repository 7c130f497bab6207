/* quality_train - makes the quality classifier before pass 1, from the run's own input: pages that
 * match the recipe's `positive` globs (or text files) against a sample of the rest. */
#include "classify/classify.h"
#include "command/run.h"
#include "core/err.h"
#include "core/heap.h"

#include <stdlib.h>

enum { PICK_BYTES = 8192, TEXT_FILE_MAX = 256 << 20 };

/* The `max` texts with the smallest hashes seen so far, as a heap with the largest on top: which
 * ones they are does not depend on the order they came in. */
struct pick {
    uint64_t hash;
    char *text;
    size_t len;
};
struct picks {
    struct pick *item;
    size_t count, max;
};

static int pick_add(struct picks *p, uint64_t hash, struct str text)
{
    if (p->count == p->max && hash >= p->item[0].hash)
        return 0;
    text = str_slice(text, 0, PICK_BYTES);
    char *copy = malloc(text.len + 1);
    if (!copy)
        return err_set(ERR_LIMIT, "quality_train: no memory: lower quality_train.documents");
    memcpy(copy, text.ptr, text.len);
    if (p->count < p->max) {
        p->item[p->count++] = (struct pick){hash, copy, text.len};
        heap_up(p->item, sizeof *p->item, p->count);
        return 0;
    }
    free(p->item[0].text);
    p->item[0] = (struct pick){hash, copy, text.len};
    heap_down(p->item, sizeof *p->item, p->count);
    return 0;
}

static void picks_free(struct picks *p)
{
    for (size_t i = 0; i < p->count; i++)
        free(p->item[i].text);
    free(p->item);
}

struct sample {
    const struct recipe *recipe;
    struct picks wanted, rest;
    struct progress *progress;
};

static bool is_positive(const struct recipe *r, struct str url)
{
    for (size_t i = 0; i < r->quality.positive.count; i++)
        if (str_glob(r->quality.positive.item[i], url))
            return true;
    return false;
}

static int sample_take(void *self, struct batch *b)
{
    struct sample *s = self;
    for (int i = 0; i < b->doc_count; i++) {
        struct doc *d = &b->doc[i];
        if (d->rule || d->text.len == 0)
            continue;
        uint64_t hash = hash_mix(d->id ^ hash_mix((uint64_t)s->recipe->run.seed ^ 0x51));
        TRY(pick_add(is_positive(s->recipe, d->url) ? &s->wanted : &s->rest, hash, d->text));
    }
    return 0;
}

/* Documents of a text file are parted by blank lines. */
static int add_text_file(struct sample *s, const char *path)
{
    char *bytes;
    size_t len;
    TRY(io_read_file(path, TEXT_FILE_MAX, &bytes, &len));
    struct str rest = {bytes, len};
    int rc = utf8_valid(rest) ? 0 : err_set(ERR_FORMAT, "%s: not UTF-8: convert it", path);
    while (rc >= 0 && rest.len) {
        size_t end = str_find(rest, STR("\n\n"));
        struct str block = str_trim(str_slice(rest, 0, end));
        rest = end == SIZE_MAX ? (struct str){0} : str_slice(rest, end + 2, rest.len);
        if (block.len)
            rc = pick_add(&s->wanted, hash_mix(hash_str(block, (uint64_t)s->recipe->run.seed)),
                          block);
    }
    free(bytes);
    return rc;
}

static int sample_file(struct run *r, struct sample *s, int stages, uint32_t item)
{
    struct input *input;
    uint64_t bytes;
    TRY(input_get(r, item, &bytes));
    TRY(source_open(&input, r->input[item].path, item, r->recipe->source.record_max,
                    &r->recipe->schema));
    struct pipe_conf conf = {.threads = r->threads, .progress = s->progress};
    int rc = pipe_run(r->recipe->stage, stages, (struct source){source_fill, input},
                      (struct sink){sample_take, s}, &conf);
    source_close(input);
    return rc < 0 ? rc : input_done(r, item, true); /* pass 1 comes back for it */
}

static int sample_input(struct run *r, struct sample *s, int stages)
{
    uint32_t *unit = arena_array(&r->arena, uint32_t, r->input_count);
    if (!unit)
        return ERR_LIMIT;
    for (uint32_t item = 0; item < r->input_count; item++)
        unit[item] = item;
    int rc = inputs_open(r, unit, r->input_count);
    for (uint32_t item = 0; item < r->input_count && rc >= 0; item++) {
        rc = sample_file(r, s, stages, item);
        if (rc < 0)
            err_in(rc, "%s", r->input[item].name);
    }
    inputs_close(r);
    return rc;
}

static int by_hash(const void *a, const void *b)
{
    uint64_t x = ((const struct pick *)a)->hash, y = ((const struct pick *)b)->hash;
    return x < y ? -1 : x > y;
}

/* One fastText line a document, classes interleaved: SGD sees them mixed. */
static int write_lines(struct sample *s, const char *path)
{
    struct buf text = {0};
    qsort(s->wanted.item, s->wanted.count, sizeof(struct pick), by_hash);
    qsort(s->rest.item, s->rest.count, sizeof(struct pick), by_hash);
    size_t most = s->wanted.count > s->rest.count ? s->wanted.count : s->rest.count;
    int rc = 0;
    for (size_t i = 0; i < most && rc >= 0; i++) {
        if (i < s->wanted.count)
            rc = quality_sample_line(&text, "hq",
                                     (struct str){s->wanted.item[i].text, s->wanted.item[i].len});
        if (i < s->rest.count && rc >= 0)
            rc = quality_sample_line(&text, "lq",
                                     (struct str){s->rest.item[i].text, s->rest.item[i].len});
    }
    if (rc >= 0)
        rc = text.failed ? err_set(ERR_LIMIT, "quality_train: no memory")
                         : io_write_file(path, buf_view(&text));
    buf_free(&text);
    return rc;
}

static int train_model(struct run *r, struct sample *s, struct manifest *m)
{
    const struct quality_train_conf *conf = &r->recipe->quality;
    char lines[IO_PATH_MAX], model[IO_PATH_MAX];
    struct io_info info;
    if (s->wanted.count < 10 || s->rest.count < 10)
        return err_set(
            ERR_USAGE,
            "quality_train: %zu documents match `positive` and %zu do not; at least 10 of each are "
            "needed: widen quality_train.positive",
            s->wanted.count, s->rest.count);
    TRY(io_path(lines, "%s/models/quality.txt", r->dir));
    TRY(io_path(model, "%s/models/quality.bin", r->dir));
    TRY(write_lines(s, lines));
    struct fasttext_train train = {.lr = conf->lr,
                                   .epoch = (int)conf->epoch,
                                   .word_ngrams = (int)conf->word_ngrams,
                                   .dim = (int)conf->dim,
                                   .bucket = (int)conf->bucket,
                                   .min_count = 1,
                                   .seed = r->recipe->run.seed};
    TRY(fasttext_train(&train, lines, model));
    TRY(io_hash_file(model, &info));
    TRY(manifest_add_count(m, "positive", s->wanted.count));
    TRY(manifest_add_count(m, "negative", s->rest.count));
    return manifest_add_output(m, "models/quality.bin", &info);
}

int task_quality(struct run *r, uint32_t unit, struct manifest *m)
{
    struct recipe *recipe = r->recipe;
    struct progress progress;
    struct sample s = {.recipe = recipe, .progress = &progress};
    int stages = recipe_stage_index(recipe, "quality"), rc;
    UNUSED(unit);
    if (stages < 0)
        return err_set(ERR_USAGE, "recipe: [quality_train] without [[stage]] use = \"quality\": "
                                  "add one or drop the other");
    s.wanted.max = s.rest.max = (size_t)recipe->quality.documents;
    s.wanted.item = calloc(s.wanted.max, sizeof(struct pick));
    s.rest.item = calloc(s.rest.max, sizeof(struct pick));
    progress_begin(&progress, "quality sample", "records", 0);
    if (!s.wanted.item || !s.rest.item) {
        rc = err_set(ERR_LIMIT, "quality_train: no memory: lower quality_train.documents");
        goto out;
    }
    TRY_OUT(recipe_open_stages(recipe, r->dir, stages));
    for (size_t i = 0; i < recipe->quality.positive_text.count; i++)
        TRY_OUT(add_text_file(&s, recipe->quality.positive_text.item[i]));
    TRY_OUT(sample_input(r, &s, stages));
    progress_end(&progress);
    rc = train_model(r, &s, m);
out:
    picks_free(&s.wanted);
    picks_free(&s.rest);
    return rc;
}

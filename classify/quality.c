/* quality - the stage that scores a document with a trained fastText classifier.
 *
 * The recipe of DCLM (arXiv:2406.11794, section 4.4): a linear classifier over words and word
 * pairs tells reference text (label hq) from a sample of the crawl. Training and prediction go
 * through quality_text, so that both see the same characters. Accuracy on held-out lines of the
 * same sources says little: on sources it has not seen the classifier scores style, not worth;
 * look at the histogram per source before setting min_score. */
#include "classify/classify.h"

#include "core/err.h"
#include "core/io.h"

#include <stdlib.h>

enum { LABELS_MAX = 64 };

struct quality_conf {
    const char *model, *label;
    double min_score;
};
struct quality {
    struct fasttext *model;
    int score, min_score; /* signal and rule in the schema */
    int labels;
};
struct quality_local {
    struct buf text;
};

static const struct opt opts[] = {
    OPT_ROW(OPT_STR, struct quality_conf, model, "", 0, 0, "path",
            "fastText classifier; empty: models/quality.bin of the run",
            "arXiv:2406.11794 section 4.4"),
    OPT_ROW(OPT_STR, struct quality_conf, label, "hq", 0, 0, "label",
            "the label whose probability is the score", NULL),
    OPT_ROW(OPT_FLOAT, struct quality_conf, min_score, "0", 0, 1, "probability",
            "a lower score drops the document; 0: only measure (DCLM: 0.018112, the best tenth)",
            "arXiv:2406.11794 section 4.4"),
    OPT_LAST,
};

/* ---- one form of text for training and prediction ---- */

static bool is_reserved(struct str token)
{
    return str_starts(token, "__label__") || str_is(token, "</s>");
}

void quality_text(struct buf *to, struct str text)
{
    size_t start = to->len, limit = text.len < QUALITY_TEXT_MAX ? text.len : QUALITY_TEXT_MAX;
    while (limit < text.len && limit > 0 && ((unsigned char)text.ptr[limit] & 0xC0) == 0x80)
        limit--;
    for (size_t at = 0; at < limit;) {
        size_t from = at;
        while (at < limit && (unsigned char)text.ptr[at] > ' ' && text.ptr[at] != 0x7F)
            at++;
        struct str token = str_slice(text, from, at);
        at += at < limit;
        if (token.len == 0 || is_reserved(token))
            continue;
        if (to->len > start)
            buf_char(to, ' ');
        buf_str(to, token);
    }
}

int quality_sample_line(struct buf *to, const char *label, struct str text)
{
    size_t start = to->len;
    if (!label[0] || strpbrk(label, " \t\r\n\v\f"))
        return err_set(ERR_USAGE, "classifier: \"%s\" is no label: give a word without blanks",
                       label);
    buf_printf(to, "__label__%s ", label);
    size_t front = to->len;
    quality_text(to, text);
    if (to->failed)
        return err_set(ERR_LIMIT, "classifier: no memory for a training line of %zu bytes",
                       text.len);
    if (to->len == front)
        to->len = start;
    else
        buf_char(to, '\n');
    return to->failed ? err_set(ERR_LIMIT, "classifier: no memory for a training line") : 0;
}

/* ---- the stage ---- */

static int model_open(struct fasttext **out, const struct stage *s)
{
    char path[IO_PATH_MAX];
    const struct quality_conf *conf = s->conf;
    if (conf->model && conf->model[0])
        return fasttext_open(out, conf->model);
    if (!s->run_dir)
        return err_set(ERR_USAGE, "quality: no model: set quality.model to a fastText classifier");
    TRY(io_path(path, "%s/models/quality.bin", s->run_dir));
    if (!io_exists(path))
        return err_set(
            ERR_USAGE,
            "quality: %s not found: train a classifier in the recipe, or set quality.model", path);
    return fasttext_open(out, path);
}

static int quality_open(struct stage *s, struct schema *schema)
{
    const struct quality_conf *conf = s->conf;
    struct quality *q = calloc(1, sizeof *q);
    s->shared = q;
    if (!q)
        return err_set(ERR_LIMIT, "quality: no memory for %zu bytes", sizeof *q);
    TRY(model_open(&q->model, s));
    q->labels = fasttext_label_count(q->model);
    if (q->labels > LABELS_MAX)
        return err_set(
            ERR_USAGE,
            "quality: the model has %d labels, at most %d are compared: is it a language "
            "model?",
            q->labels, LABELS_MAX);
    if (!fasttext_has_label(q->model, conf->label))
        return err_set(ERR_USAGE, "quality: the model has no label \"%s\": set quality.label",
                       conf->label);
    q->score = schema_signal(schema, "quality.score", "probability");
    TRY(q->score);
    q->min_score =
        schema_rule(schema, "quality", "quality.min_score", q->score, conf->min_score, -1);
    return q->min_score < 0 ? q->min_score : 0;
}

static void quality_close(struct stage *s)
{
    struct quality *q = s->shared;
    if (!q)
        return;
    fasttext_close(q->model);
    free(q);
    s->shared = NULL;
}

static int doc_quality(const struct quality *q, const struct quality_conf *conf,
                       struct quality_local *local, struct doc *d)
{
    struct score top[LABELS_MAX];
    float score = 0;
    buf_clear(&local->text);
    quality_text(&local->text, d->text);
    if (local->text.failed)
        return err_set(ERR_LIMIT, "quality: no memory for a text of %zu bytes", d->text.len);
    int found =
        local->text.len ? fasttext_predict(q->model, buf_view(&local->text), top, q->labels) : 0;
    TRY(found);
    for (int i = 0; i < found; i++)
        if (strcmp(top[i].label, conf->label) == 0)
            score = top[i].prob;
    d->signal[q->score] = score;
    if (score < (float)conf->min_score)
        doc_drop(d, q->min_score, (double)score, conf->min_score);
    return 0;
}

static int quality_run(struct stage *s, void *local, struct batch *b)
{
    for (int i = 0; i < b->live_count; i++)
        TRY(doc_quality(s->shared, s->conf, local, &b->doc[b->live[i]]));
    return 0;
}

static void quality_local_close(struct stage *s, void *local)
{
    UNUSED(s);
    buf_free(&((struct quality_local *)local)->text);
}

const struct stage_type stage_quality = {
    .name = "quality",
    .help = "score of a trained quality classifier",
    .source = "arXiv:2406.11794 section 4.4",
    .opts = opts,
    .conf_size = sizeof(struct quality_conf),
    .local_size = sizeof(struct quality_local),
    .open = quality_open,
    .run = quality_run,
    .local_close = quality_local_close,
    .close = quality_close,
};

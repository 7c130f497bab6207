/* language - the stage that says in which language a document is written.
 *
 * fastText's lid.176 over the text as one line, as FineWeb uses it: line breaks become blanks,
 * nothing is lower-cased or cleaned. The first TEXT_MAX bytes are looked at; more text does not
 * change the answer and a page of 8 MB would cost a second. Labels of other models are cut at
 * "_" ("eng_Latn" becomes "eng"). A text without a single letter that the model knows still gets
 * a label, from the end-of-line token alone, with a low score: the rule `uncertain` is for that. */
#include "classify/classify.h"

#include "core/err.h"
#include "core/io.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TEXT_MAX = 200000 };

struct language_conf {
    struct opt_list keep;
    double min_score;
    const char *model;
};
struct language {
    struct fasttext *model;
    int score, other, uncertain; /* signal and rules in the schema */
};

static const struct opt opts[] = {
    OPT_ROW(OPT_LIST, struct language_conf, keep, NULL, 0, 0, "ISO codes",
            "languages to keep, as en or pt; empty keeps all", NULL),
    OPT_ROW(OPT_FLOAT, struct language_conf, min_score, "0.65", 0, 1, "probability",
            "a lower score of the best language drops the document",
            "arXiv:2406.17557 section 3.1"),
    OPT_ROW(OPT_STR, struct language_conf, model, "", 0, 0, "path",
            "fastText model; empty: lid.176.ftz of the model cache", "https://fasttext.cc"),
    OPT_LAST,
};

/* The given model, or the pinned one in the cache. */
static int model_open(struct fasttext **out, const char *given)
{
    char path[IO_PATH_MAX];
    const struct pinned_model *pin = pinned_model("lid176");
    if (given && given[0])
        return fasttext_open(out, given);
    TRY(model_cache_path(pin->file, path, sizeof path));
    if (!io_exists(path))
        return err_set(
            ERR_USAGE,
            "language: %s not found: run `sluice model get %s` (%llu bytes from %s), or set "
            "language.model",
            path, pin->name, (unsigned long long)pin->bytes, pin->url);
    TRY(pinned_model_check(pin, path));
    return fasttext_open(out, path);
}

/* "eng" for "en" would drop every page hours later: a code the model never answers is refused. */
static int keep_check(const struct language_conf *conf, const struct fasttext *model)
{
    enum { LABELS_NAMED = 6 };
    int count = fasttext_label_count(model);
    char named[128] = "";
    for (size_t i = 0; i < conf->keep.count; i++) {
        const char *code = conf->keep.item[i];
        size_t len = strlen(code);
        int at = 0;
        if (strchr(code, '_') || len >= sizeof((struct doc *)0)->lang)
            return err_set(ERR_USAGE,
                           "language: keep = \"%s\" is no language code: give codes as en or pt",
                           code);
        while (at < count && (strncmp(fasttext_label(model, at), code, len) != 0 ||
                              strcspn(fasttext_label(model, at), "_") != len))
            at++;
        if (at < count)
            continue;
        for (int k = 0; k < count && k < LABELS_NAMED; k++) {
            size_t used = strlen(named);
            snprintf(named + used, sizeof named - used, "%s%.*s", k ? ", " : "",
                     (int)strcspn(fasttext_label(model, k), "_"), fasttext_label(model, k));
        }
        return err_set(ERR_USAGE,
                       "language: keep = \"%s\" is none of the %d languages this model knows (%s "
                       "...): nothing would be kept by it",
                       code, count, named);
    }
    return 0;
}

static int language_open(struct stage *s, struct schema *schema)
{
    const struct language_conf *conf = s->conf;
    struct language *l = calloc(1, sizeof *l);
    s->shared = l;
    if (!l)
        return err_set(ERR_LIMIT, "language: no memory for %zu bytes", sizeof *l);
    TRY(model_open(&l->model, conf->model));
    TRY(keep_check(conf, l->model));
    l->score = schema_signal(schema, "language.score", "probability");
    TRY(l->score);
    l->other = schema_rule(schema, "language", "language.other", -1, 0, 0);
    TRY(l->other);
    l->uncertain =
        schema_rule(schema, "language", "language.uncertain", l->score, conf->min_score, -1);
    return l->uncertain < 0 ? l->uncertain : 0;
}

static void language_close(struct stage *s)
{
    struct language *l = s->shared;
    if (!l)
        return;
    fasttext_close(l->model);
    free(l);
    s->shared = NULL;
}

/* The first TEXT_MAX bytes, cut between code points. */
static struct str front_of(struct str text)
{
    size_t len = text.len < TEXT_MAX ? text.len : TEXT_MAX;
    while (len < text.len && len > 0 && ((unsigned char)text.ptr[len] & 0xC0) == 0x80)
        len--;
    return str_slice(text, 0, len);
}

static bool is_kept(const struct language_conf *conf, const char *lang)
{
    if (conf->keep.count == 0)
        return true;
    for (size_t i = 0; i < conf->keep.count; i++)
        if (strcmp(conf->keep.item[i], lang) == 0)
            return true;
    return false;
}

static int doc_language(const struct language *l, const struct language_conf *conf, struct doc *d)
{
    struct score best = {.prob = 0};
    int found = d->text.len ? fasttext_predict(l->model, front_of(d->text), &best, 1) : 0;
    TRY(found);
    size_t len = strcspn(best.label, "_");
    if (len >= sizeof d->lang)
        len = sizeof d->lang - 1;
    memcpy(d->lang, best.label, len);
    d->lang[len] = 0;
    d->signal[l->score] = best.prob;
    if (!is_kept(conf, d->lang))
        doc_drop(d, l->other, (double)best.prob, NAN); /* a set, not a limit */
    if (best.prob < (float)conf->min_score)
        doc_drop(d, l->uncertain, (double)best.prob, conf->min_score);
    return 0;
}

static int language_run(struct stage *s, void *local, struct batch *b)
{
    UNUSED(local);
    for (int i = 0; i < b->live_count; i++)
        TRY(doc_language(s->shared, s->conf, &b->doc[b->live[i]]));
    return 0;
}

const struct stage_type stage_language = {
    .name = "language",
    .help = "language identification: sets the language, drops others and doubtful ones",
    .source = "fastText lid.176, arXiv:1607.01759",
    .opts = opts,
    .conf_size = sizeof(struct language_conf),
    .open = language_open,
    .run = language_run,
    .close = language_close,
};

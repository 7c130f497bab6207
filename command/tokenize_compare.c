/* tokenize_compare - `sluice tokenize compare`: bytes per token and tokens per word of several
 * vocabularies, by file, or by domain and language of the lines. */
#include "command/token_feed.h"
#include "command/token_measure.h"
#include "command/tokenize_verbs.h"
#include "core/err.h"

#include <stdlib.h>

struct comparing {
    struct measure *measure;
    bool by_file, by_domain, by_lang;
};

static int compare_text(void *self, int thread, const struct token_feed_text *t)
{
    const struct comparing *c = self;
    struct str domain = c->by_file ? str_of(t->path) : c->by_domain ? t->domain : STR("");
    return measure_text(c->measure, thread, t->text, domain, c->by_lang ? t->lang : STR(""));
}

static int tokenizers_open(const struct token_flags *flags, struct measure *m)
{
    struct str rest = str_of(flags->tokenizer ? flags->tokenizer : ""), name;
    char path[IO_PATH_MAX];
    int pretok = -1;
    if (!rest.len)
        return err_set(ERR_USAGE, "tokenize compare: name tokenizers: --tokenizer=A,B");
    TRY(token_pattern(flags, &pretok));
    while (rest.len) {
        name = str_cut(rest, ',', &rest);
        TRY(io_path(path, "%.*s", STR_ARG(name)));
        TRY(measure_tokenizer(m, path, pretok));
    }
    return 0;
}

static int print_result(struct measure *m, bool json)
{
    struct buf text = {0};
    struct json_writer w;
    int rc = 0;
    if (json) {
        json_begin(&w, &text);
        measure_json(m, &w);
        buf_char(&text, '\n');
        if (text.failed)
            rc = err_set(ERR_LIMIT, "tokenize compare: no memory to print");
        else
            fwrite(text.ptr, 1, text.len, stdout);
        buf_free(&text);
    } else {
        measure_print(m, stdout);
    }
    if (rc >= 0 && fflush(stdout))
        rc = err_sys("standard output");
    return rc;
}

int tokenize_compare(const struct token_flags *flags, const char *const *paths, int count)
{
    struct token_feed_conf conf = {flags->jsonl, flags->field, flags->domain_field,
                                   flags->lang_field, (int)flags->threads};
    struct comparing c = {.by_file = strcmp(flags->by, "file") == 0};
    struct token_feed *f = NULL;
    int rc, threads;
    if (count == 1 && strcmp(paths[0], "-") == 0 && !flags->jsonl)
        return err_set(ERR_USAGE, "tokenize compare: name the files to compare on");
    c.by_domain = strstr(flags->by, "domain") != NULL;
    c.by_lang = strstr(flags->by, "lang") != NULL;
    TRY_OUT(token_feed_open(&f, &conf, &threads));
    TRY_OUT(measure_open(&c.measure, threads));
    TRY_OUT(tokenizers_open(flags, c.measure));
    TRY_OUT(token_feed_run(f, paths, count, compare_text, &c));
    rc = print_result(c.measure, flags->json);
out:
    token_feed_close(f);
    measure_close(c.measure);
    return rc < 0 ? rc : 0;
}

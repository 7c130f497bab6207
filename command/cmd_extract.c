/* cmd_extract - `sluice extract`: pages, archives and JSON lines in, main text and metadata out. */
/* One page is printed as text; anything that may hold many is printed as JSON lines, in input order
 * whatever the number of threads. The stages, the reader and the ordered sink are the pipeline's
 * own, so that what is printed here is what a run would keep. */
#include "command/command.h"
#include "command/extract_feed.h"
#include "command/extract_show.h"
#include "core/err.h"
#include "core/json.h"
#include "core/log.h"
#include "crawl/warc.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

struct extract_flags {
    const char *format, *mode, *url, *user_agent, *wet;
    bool markdown, links, images, explain, whole;
    int64_t threads;
    uint64_t record_max;
};
static const struct opt extract_flag_opts[] = {
    OPT_ROW(OPT_ENUM, struct extract_flags, format, "auto", 0, 0, "auto|text|markdown|json|jsonl",
            "of one page; many are always JSON lines. auto: text for one page", NULL),
    OPT_ROW(OPT_BOOL, struct extract_flags, markdown, "false", 0, 0, NULL,
            "the text inside JSON is Markdown", NULL),
    OPT_ROW(OPT_BOOL, struct extract_flags, links, "false", 0, 0, NULL,
            "Markdown keeps the addresses of links", NULL),
    OPT_ROW(OPT_BOOL, struct extract_flags, images, "false", 0, 0, NULL,
            "Markdown keeps pictures with their alternative text", NULL),
    OPT_ROW(OPT_ENUM, struct extract_flags, mode, "main", 0, 0, "main|precision|recall|all",
            "main text; fewer and surer blocks; more blocks; all visible text", NULL),
    OPT_ROW(OPT_STR, struct extract_flags, url, NULL, 0, 0, NULL,
            "the page's address: its own links are told from others by it", NULL),
    OPT_ROW(OPT_BOOL, struct extract_flags, explain, "false", 0, 0, NULL,
            "show every block with its score and what moved it", NULL),
    OPT_ROW(OPT_BOOL, struct extract_flags, whole, "false", 0, 0, NULL,
            "--explain does not cut blocks to the line", NULL),
    OPT_ROW(OPT_INT, struct extract_flags, threads, "0", 0, POOL_THREADS_MAX, "threads",
            "0: one per core; the output is the same for any number", NULL),
    OPT_ROW(OPT_SIZE, struct extract_flags, record_max, "8M", 1024, BATCH_ARENA_MAX / 4, "bytes",
            "a larger page is dropped", NULL),
    OPT_ROW(OPT_STR, struct extract_flags, wet, NULL, 0, 0, NULL,
            "write what is kept to this archive (.warc.wet.gz) as WET, print nothing", NULL),
    OPT_ROW(OPT_STR, struct extract_flags, user_agent, NULL, 0, 0, NULL,
            "what to tell servers; must hold a contact for public hosts", NULL),
    OPT_LAST,
};

enum output { OUTPUT_TEXT, OUTPUT_JSON };
struct extracting {
    const struct extract_flags *flags;
    const char *const *input;
    struct schema schema;
    struct stage stage;
    struct feed feed;
    enum output output;
    bool one;  /* there is one page and no more */
    bool gone; /* the reader of our output left */
    struct warc_writer *wet; /* NULL: lines or text are printed */
    struct buf line;
    uint64_t pages, kept;
    struct str dropped; /* of the one page: the rule */
    char rule[48];
};

/* ---- the stage ---- */
static int set_flag(struct extracting *x, const char *row, const char *value, struct arena *a)
{
    for (const struct opt *o = stage_extract.opts; o->type != OPT_END; o++)
        if (strcmp(o->name, row) == 0)
            return opt_set(o, x->stage.conf, value, row, a);
    return err_set(ERR_USAGE, "extract: the stage has no option %s", row);
}

static int open_stage(struct extracting *x, struct arena *a)
{
    const struct extract_flags *f = x->flags;
    bool markdown = f->markdown || strcmp(f->format, "markdown") == 0;
    x->stage = (struct stage){.type = &stage_extract,
                              .name = "extract",
                              .arena = a,
                              .conf = arena_push_zero(a, stage_extract.conf_size, 16)};
    if (!x->stage.conf)
        return ERR_LIMIT;
    TRY(opt_defaults(stage_extract.opts, x->stage.conf, a));
    TRY(set_flag(x, "mode", f->mode, a));
    TRY(set_flag(x, "format", markdown ? "markdown" : "text", a));
    TRY(set_flag(x, "links", f->links ? "true" : "false", a));
    TRY(set_flag(x, "images", f->images ? "true" : "false", a));
    schema_init(&x->schema);
    TRY(source_rules(&x->schema, (size_t)f->record_max, true));
    return stage_extract.open(&x->stage, &x->schema);
}

/* ---- output ---- */
static int flush_line(struct extracting *x)
{
    if (x->line.failed)
        return err_set(ERR_LIMIT, "extract: no memory for a line of output");
    if (x->line.len == 0 || fwrite(x->line.ptr, 1, x->line.len, stdout) == x->line.len)
        return 0;
    x->gone = errno == EPIPE; /* `| head` has seen enough */
    return err_sys("standard output");
}

static void put_row(struct extracting *x, const struct doc *d)
{
    struct json_writer w;
    bool kept = d->rule == 0;
    json_begin(&w, &x->line);
    json_open(&w, '{');
    json_field_str(&w, "url", d->url);
    json_field_str(&w, "verdict", kept ? STR("kept") : STR("dropped"));
    if (!kept)
        json_field_text(&w, "rule", x->schema.rule[d->rule].name);
    json_field_str(&w, "title", d->title);
    json_field_str(&w, "text", kept ? d->text : (struct str){0});
    if (d->meta.len)
        json_field_raw(&w, "metadata", d->meta);
    json_field_text(&w, "source", x->input[d->item]);
    if (!x->one) {
        json_field_u64(&w, "record", d->record);
        json_field_u64(&w, "offset", d->offset);
    }
    if (d->date.len)
        json_field_str(&w, "captured", d->date);
    json_close(&w, '}');
    buf_char(&x->line, '\n');
}

/* ---- WET ---- */
/* What the archive is; its date is that of the first page, so that a rerun gives the same bytes. */
static int put_wet_info(struct extracting *x, struct str date)
{
    const char *path = x->flags->wet, *slash = strrchr(path, '/');
    struct warc_field name = {"WARC-Filename", str_of(slash ? slash + 1 : path)};
    struct warc_write info = {.type = "warcinfo",
                              .date = date,
                              .body = STR("software: sluice/" SLUICE_VERSION "\r\n"
                                          "description: main text of web pages\r\n"
                                          "format: WARC File Format 1.1\r\n"),
                              .field = &name,
                              .field_count = 1};
    return warc_writer_bytes(x->wet) ? 0 : warc_writer_record(x->wet, &info, NULL);
}

/* As Common Crawl's: the text, a line end behind it, under the page's address and date. */
static int put_wet(struct extracting *x, const struct doc *d)
{
    TRY(put_wet_info(x, d->date));
    struct buf uri = {0};
    bool name = d->url_is_name || !d->url.len;
    buf_printf(&uri, "%s%.*s", name ? "file:" : "", STR_ARG(d->url));
    if (!d->url.len)
        buf_text(&uri, x->input[d->item]);
    buf_clear(&x->line);
    buf_str(&x->line, d->text);
    buf_char(&x->line, '\n');
    struct warc_write rec = {.type = "conversion",
                             .target_uri = buf_view(&uri),
                             .date = d->date,
                             .body = buf_view(&x->line)};
    int rc = uri.failed || x->line.failed
                 ? err_set(ERR_LIMIT, "extract: no memory for a record of WET")
                 : warc_writer_record(x->wet, &rec, NULL);
    buf_free(&uri);
    return rc;
}

static int close_wet(struct extracting *x, int rc)
{
    struct warc_writer *w = x->wet;
    if (w && rc >= 0)
        rc = put_wet_info(x, (struct str){0});
    x->wet = NULL;
    if (w && rc >= 0)
        return warc_writer_close(w);
    warc_writer_abandon(w);
    return rc;
}

static int take(void *self, struct batch *b)
{
    struct extracting *x = self;
    for (int i = 0; i < b->doc_count; i++) {
        const struct doc *d = &b->doc[i];
        x->pages++;
        x->kept += d->rule == 0;
        memcpy(x->rule, x->schema.rule[d->rule].name, sizeof x->rule);
        if (x->wet) {
            TRY(d->rule ? 0 : put_wet(x, d));
            continue;
        }
        buf_clear(&x->line);
        if (x->output == OUTPUT_JSON) {
            put_row(x, d);
        } else if (!d->rule) {
            buf_str(&x->line, d->text);
            buf_char(&x->line, '\n');
        }
        TRY(flush_line(x));
    }
    if (fflush(stdout) == 0)
        return 0;
    x->gone = errno == EPIPE;
    return err_sys("standard output");
}

/* ---- --explain ---- */
static int explain_doc(struct extracting *x, struct extract_scratch *scratch,
                       const struct show_conf *conf, const struct doc *d, struct arena *a)
{
    struct str html;
    const char *name;
    uint64_t replaced;
    struct extract_out out;
    struct page_meta meta;
    struct explain e = {0};
    arena_reset(a, 0);
    TRY(charset_to_utf8(a, d->raw, d->http_charset, &html, &name, &replaced));
    enum extract_verdict verdict = extract_read(scratch, a, html, d->url, &out, &meta);
    if (verdict == EXTRACT_OK || verdict == EXTRACT_EMPTY)
        extract_explain(scratch, a, html, d->url, &e);
    buf_clear(&x->line);
    show_page(&x->line, conf, d->url, verdict, &e, &out, &meta);
    return flush_line(x);
}

static int explain_all(struct extracting *x)
{
    struct show_conf conf = {.whole = x->flags->whole};
    struct extract_scratch *scratch = NULL;
    struct batch *b = NULL;
    struct arena a = {0};
    int rc = 1;
    show_terminal(&conf);
    TRY(extract_scratch_open(&scratch, x->stage.conf));
    if (batch_open(&b) < 0 || arena_open(&a, BATCH_ARENA_MAX) < 0)
        rc = ERR_LIMIT;
    while (rc > 0 && !pipe_stop) {
        batch_clear(b);
        rc = feed_fill(&x->feed, b);
        for (int i = 0; rc >= 0 && i < b->doc_count; i++) {
            const struct doc *d = &b->doc[i];
            x->pages++;
            x->kept++;
            int shown = d->kind == DOC_HTML && !d->rule ? explain_doc(x, scratch, &conf, d, &a) : 0;
            rc = shown < 0 ? shown : rc;
        }
    }
    extract_scratch_close(scratch);
    batch_close(b);
    arena_close(&a);
    return rc < 0 ? rc : 0;
}

/* ---- the command ---- */
static int run_pipe(struct extracting *x)
{
    struct progress progress;
    int64_t threads = x->flags->threads ? x->flags->threads : sysconf(_SC_NPROCESSORS_ONLN);
    threads = x->one || threads < 1 ? 1 : threads < POOL_THREADS_MAX ? threads : POOL_THREADS_MAX;
    struct pipe_conf conf = {.threads = (int)threads, .batches = x->one ? 1 : 0};
    if (!x->one) {
        progress_begin(&progress, "extract", "records", 0);
        progress.show_kept = true;
        conf.progress = &progress;
    }
    int rc =
        pipe_run(&x->stage, 1, (struct source){feed_fill, &x->feed}, (struct sink){take, x}, &conf);
    if (conf.progress && !x->gone)
        progress_end(&progress);
    return rc;
}

static int choose_output(struct extracting *x, int one)
{
    const char *format = x->flags->format;
    bool text = strcmp(format, "text") == 0 || strcmp(format, "markdown") == 0;
    x->one = one > 0;
    x->output = x->one && (text || strcmp(format, "auto") == 0) ? OUTPUT_TEXT : OUTPUT_JSON;
    if (x->flags->url && x->flags->url[0] && !x->one)
        return err_set(ERR_USAGE,
                       "extract: --url names one page, but %s may hold many: their "
                       "records carry their own addresses",
                       x->input[0]);
    return 0;
}

static int command_extract_main(void *conf, int argc, char **argv, struct arena *a)
{
    struct extracting *x = arena_array_zero(a, struct extracting, 1);
    if (!x)
        return ERR_LIMIT;
    x->flags = conf;
    x->input = (const char *const *)argv;
    if (argc == 0)
        return err_set(ERR_USAGE, "extract: name pages or archives, or - for standard input: "
                                  "sluice extract page.html");
    TRY(open_stage(x, a));
    x->feed = (struct feed){.input = x->input,
                            .count = (size_t)argc,
                            .url = x->flags->url,
                            .user_agent = x->flags->user_agent,
                            .record_max = (size_t)x->flags->record_max,
                            .schema = &x->schema};
    int rc = feed_open(&x->feed);
    if (rc >= 0)
        rc = choose_output(x, rc);
    bool wet = x->flags->wet && x->flags->wet[0];
    if (rc >= 0 && wet && x->flags->explain)
        rc = err_set(ERR_USAGE, "extract: --explain prints, --wet does not: give one");
    if (rc >= 0 && wet)
        rc = warc_writer_open(&x->wet, x->flags->wet, 0);
    if (rc >= 0)
        rc = x->flags->explain ? explain_all(x) : run_pipe(x);
    rc = close_wet(x, rc);
    feed_close(&x->feed);
    buf_free(&x->line);
    if (x->gone) {
        err_clear();
        return 0;
    }
    if (rc >= 0 && x->one && x->kept == 0 && strcmp(x->rule, "source.not_text") == 0)
        return err_set(ERR_FORMAT, "extract: %s is neither HTML nor text", x->input[0]);
    if (rc >= 0 && x->feed.failed)
        return err_set(ERR_FORMAT,
                       "extract: %zu of %d inputs could not be read, see the warnings "
                       "above; the others are done",
                       x->feed.failed, argc);
    if (rc >= 0 && x->one && x->kept == 0 && x->pages > 0)
        log_info("%s: no text: %s", x->input[0], x->rule);
    return rc;
}

const struct command command_extract = {
    .name = "extract",
    .group = "looking",
    .usage = "extract FILE|URL|- ... [--format=text|markdown|json|jsonl] [--mode=MODE] [--url=URL] "
             "[--explain]",
    .help = "the main text and metadata of web pages, archives or JSON lines",
    .text =
        "Reads HTML of any encoding, WARC, WET and ARC files, and JSON lines with url and html or "
        "text;\ngzip and zstd are undone; told by content, not by name. One page gives its text, "
        "many give a\nJSON line each, in order:\n\n"
        "  {\"url\", \"verdict\": \"kept\" or \"dropped\", \"rule\" (why dropped), \"title\", "
        "\"text\",\n"
        "   \"metadata\": {author, date, modified, language, canonical, site, description, "
        "licence\n"
        "   (SPDX), licence_url, licence_from, links_internal, links_external, kind},\n"
        "   \"source\", \"record\", \"offset\", \"captured\"}\n\n"
        "A page without main text is a verdict, not an error. Exit 0 done, 1 the machine failed, "
        "2 misused,\n3 an input cannot be read.\n\n"
        "  sluice extract page.html\n"
        "  sluice extract --format=markdown --links https://example.com/post\n"
        "  sluice extract --explain page.html | less -R\n"
        "  sluice extract CC-MAIN-*.warc.gz | zstd > text.jsonl.zst\n"
        "  sluice extract --wet=main.warc.wet.gz CC-MAIN-*.warc.gz\n"
        "  sluice crawl --crawl=CC-MAIN-2024-22 --stdout | sluice extract -",
    .opts = extract_flag_opts,
    .conf_size = sizeof(struct extract_flags),
    .run = command_extract_main,
};

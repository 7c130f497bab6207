/* extract - the stage that turns the raw bytes of a batch into text, or into a verdict. */
#include "extract/extract.h"

#include "core/err.h"

enum { DOOR_MAX = 192 << 20 }; /* addresses for one page in UTF-8: three times the raw bytes */

struct shared {
    int html_bytes, text_bytes, link_density, blocks, depth, replaced;       /* columns */
    int too_deep, timeout, memory, empty;                                    /* rules */
};
struct local { struct extract_scratch *scratch; struct arena door; struct buf meta; };

static const struct opt opts[] = {
    OPT_ROW(OPT_INT, struct extract_conf, depth_max, "512", 16, 2048, "elements",
            "tags nested deeper are left out and their text kept: parse time grows with it", NULL),
    OPT_ROW(OPT_SIZE, struct extract_conf, memory_max, "64M", 8 << 20, 4294967296.0, "bytes",
            "all that a worker may use for a page; one that needs more is dropped", NULL),
    OPT_ROW(OPT_INT, struct extract_conf, time_max_ms, "10000", 100, 600000, "ms",
            "last resort: a page that parses longer is dropped", NULL),
    OPT_ROW(OPT_ENUM, struct extract_conf, mode, "main", 0, 0, "main|precision|recall|all",
            "main text; fewer and surer blocks; more blocks; all visible text", NULL),
    OPT_ROW(OPT_BOOL, struct extract_conf, drop_deep, "false", 0, 0, NULL,
            "drop pages nested deeper than depth_max instead of flattening them", NULL),
    OPT_ROW(OPT_ENUM, struct extract_conf, format, "text", 0, 0, "text|markdown",
            "a line a block, tables with tabs; or Markdown with headings, lists, tables, code",
            NULL),
    OPT_ROW(OPT_BOOL, struct extract_conf, links, "false", 0, 0, NULL,
            "Markdown keeps the addresses of links", NULL),
    OPT_ROW(OPT_BOOL, struct extract_conf, images, "false", 0, 0, NULL,
            "Markdown keeps pictures with their alternative text", NULL),
    OPT_LAST,
};

static int open_stage(struct stage *s, struct schema *schema)
{
    const struct extract_conf *conf = s->conf;
    struct shared *sh = arena_array_zero(s->arena, struct shared, 1);
    if (!sh)
        return err_in(ERR_LIMIT, "extract");
    sh->html_bytes = schema_signal(schema, "extract.html_bytes", "bytes");
    sh->text_bytes = schema_signal(schema, "extract.text_bytes", "bytes");
    sh->link_density = schema_signal(schema, "extract.link_density", "share");
    sh->blocks = schema_signal(schema, "extract.blocks", "blocks");
    sh->depth = schema_signal(schema, "extract.depth", "elements");
    sh->replaced = schema_signal(schema, "extract.replaced", "bytes");
    sh->too_deep = schema_rule(schema, "extract", "extract.too_deep", sh->depth,
                               (double)conf->depth_max, 1);
    sh->timeout = schema_rule(schema, "extract", "extract.timeout", -1, (double)conf->time_max_ms,
                              1);
    sh->memory = schema_rule(schema, "extract", "extract.memory", -1, (double)conf->memory_max, 1);
    sh->empty = schema_rule(schema, "extract", "extract.empty", sh->text_bytes, 1, -1);
    s->shared = sh;
    return 0;
}

static void local_close(struct stage *s, void *local)
{
    struct local *l = local;
    UNUSED(s);
    extract_scratch_close(l->scratch);
    l->scratch = NULL;
    arena_close(&l->door);
    buf_free(&l->meta);
}

static int local_open(struct stage *s, void *local)
{
    struct local *l = local;
    int rc = arena_open(&l->door, DOOR_MAX);
    if (rc == 0)
        rc = extract_scratch_open(&l->scratch, s->conf);
    if (rc < 0)
        local_close(s, l);
    return rc;
}

static void judge(const struct stage *s, struct doc *d, enum extract_verdict verdict)
{
    const struct shared *sh = s->shared;
    const struct extract_conf *conf = s->conf;
    switch (verdict) {
    case EXTRACT_OK: break;
    case EXTRACT_TOO_DEEP:
        doc_drop(d, sh->too_deep, d->signal[sh->depth], (double)conf->depth_max);
        break;
    case EXTRACT_MEMORY:
        doc_drop(d, sh->memory, (double)d->raw.len, (double)conf->memory_max);
        break;
    case EXTRACT_TIMEOUT:
        doc_drop(d, sh->timeout, (double)conf->time_max_ms, (double)conf->time_max_ms);
        break;
    case EXTRACT_EMPTY: doc_drop(d, sh->empty, 0, 1); break;
    }
}

/* Text is only brought to UTF-8. */
static enum extract_verdict read_text(const struct shared *sh, struct batch *b, struct doc *d)
{
    struct str text;
    const char *name;
    uint64_t replaced;
    if (charset_to_utf8(&b->arena, d->raw, d->http_charset, &text, &name, &replaced) < 0)
        return EXTRACT_MEMORY;
    d->signal[sh->replaced] = (float)replaced;
    doc_set_text(d, text);
    return text.len ? EXTRACT_OK : EXTRACT_EMPTY;
}

/* A full arena only costs the description of a page. */
static void keep_meta(struct local *l, struct batch *b, struct doc *d, const struct page_meta *meta,
                      const struct extract_out *out)
{
    struct json_writer w;
    buf_clear(&l->meta);
    json_begin(&w, &l->meta);
    json_open(&w, '{');
    metadata_write(meta, &w);
    if (out->kind_share > 0)
        json_field_text(&w, "kind", page_kind_name(out->kind));
    json_close(&w, '}');
    if (!l->meta.failed)
        d->meta = arena_str(&b->arena, buf_view(&l->meta));
    if (!d->meta.ptr)
        err_clear();
}

static enum extract_verdict read_html(const struct shared *sh, struct local *l, struct batch *b,
                                      struct doc *d)
{
    struct str utf8;
    const char *name;
    uint64_t replaced;
    struct extract_out out;
    struct page_meta meta;
    arena_trim(&l->door, 16 << 20);
    if (charset_to_utf8(&l->door, d->raw, d->http_charset, &utf8, &name, &replaced) < 0)
        return EXTRACT_MEMORY;
    d->signal[sh->replaced] = (float)replaced;
    enum extract_verdict verdict = extract_read(l->scratch, &b->arena, utf8, d->url, &out, &meta);
    d->signal[sh->depth] = (float)out.depth;
    d->title = meta.title.len ? meta.title : out.title;
    keep_meta(l, b, d, &meta, &out);
    if (verdict != EXTRACT_OK)
        return verdict;
    d->signal[sh->link_density] = out.link_density;
    d->signal[sh->blocks] = (float)out.blocks;
    doc_set_text(d, out.text);
    return EXTRACT_OK;
}

static int run(struct stage *s, void *local, struct batch *b)
{
    const struct shared *sh = s->shared;
    for (int i = 0; i < b->live_count; i++) {
        struct doc *d = &b->doc[b->live[i]];
        d->signal[sh->html_bytes] = (float)d->raw.len;
        enum extract_verdict verdict = EXTRACT_EMPTY;
        if (d->kind == DOC_TEXT)
            verdict = read_text(sh, b, d);
        else if (d->kind == DOC_HTML)
            verdict = read_html(sh, local, b, d);
        if (verdict == EXTRACT_MEMORY)
            err_clear();
        d->signal[sh->text_bytes] = (float)d->text.len;
        judge(s, d, verdict);
    }
    return 0;
}

const struct stage_type stage_extract = {
    .name = "extract",
    .help = "To UTF-8, then the main text of HTML pages without menus, footers and the like.",
    .source = "HTML and Encoding standards of the WHATWG",
    .opts = opts,
    .conf_size = sizeof(struct extract_conf),
    .local_size = sizeof(struct local),
    .open = open_stage,
    .local_open = local_open,
    .run = run,
    .local_close = local_close,
};

/* content - chooses the blocks that are main text; a page with little may say more in JSON. */
#include "core/err.h"
#include "core/json.h"
#include "extract/explain.h"
#include "extract/judge.h"

#include <assert.h>
#include <stdlib.h>

enum {
    SCANT_CHARS = 250,    /* less main text: look whether the page says more in its JSON-LD */
    TITLE_MAX = 512,      /* bytes kept of a title */
    WORK_KEEP = 16 << 20, /* bytes of scratch kept between pages */
};

/* What a mode wants: the weight of recall in the F measure whose expectation is made largest.
 * Source of the measure: van Rijsbergen 1979; beta 1 weighs precision and recall alike. */
struct mode {
    const char *name;
    bool all;
    double beta;
};
static const struct mode modes[] = {
    {"main", false, 1}, {"precision", false, 0.5}, {"recall", false, 2}, {"all", true, 1}};

struct extract_scratch {
    struct extract_conf conf;
    const struct mode *mode;
    struct arena tree, work;
};

const char *page_kind_name(enum page_kind kind)
{
    static const char *const names[PAGE_KIND_COUNT] = {
        "article", "collection", "documentation", "forum", "listing", "product", "service"};
    assert(kind < PAGE_KIND_COUNT);
    return names[kind];
}

static const struct mode *mode_named(const char *name)
{
    for (size_t i = 0; name && i < COUNT_OF(modes); i++)
        if (strcmp(modes[i].name, name) == 0)
            return &modes[i];
    return name ? NULL : &modes[0];
}

int extract_scratch_open(struct extract_scratch **out, const struct extract_conf *conf)
{
    assert(conf->depth_max > 0);
    *out = NULL;
    const struct mode *mode = mode_named(conf->mode);
    if (!mode)
        return err_set(ERR_USAGE, "extract: no mode \"%s\": main, precision, recall or all",
                       conf->mode);
    struct extract_scratch *s = calloc(1, sizeof *s);
    if (!s)
        return err_set(ERR_LIMIT, "extract: no memory for a worker's scratch");
    s->conf = *conf;
    s->conf.mode = mode->name;
    s->mode = mode;
    int rc = arena_open(&s->tree, conf->memory_max / 8 * 3);
    if (rc == 0)
        rc = arena_open(&s->work, conf->memory_max / 8 * 5);
    if (rc < 0) {
        extract_scratch_close(s);
        return rc;
    }
    *out = s;
    return 0;
}

void extract_scratch_close(struct extract_scratch *s)
{
    if (!s)
        return;
    arena_close(&s->tree);
    arena_close(&s->work);
    free(s);
}

/* ---- JSON-LD: what a page drawn by scripts says of itself ---- */
static struct str body_of(const struct json *value)
{
    static const char *const keys[] = {"articleBody", "text", "reviewBody", "description"};
    for (size_t i = 0; i < COUNT_OF(keys); i++) {
        struct str body = json_str(value, keys[i], (struct str){0});
        if (body.len)
            return body;
    }
    return (struct str){0};
}

/* The longest body in the value, its @graph or its mainEntity. */
static struct str longest_body(const struct json *value)
{
    struct str best = value->type == JSON_OBJECT ? body_of(value) : (struct str){0};
    const struct json *inner[2] = {json_get(value, "@graph"), json_get(value, "mainEntity")};
    for (int i = 0; i < 2; i++) {
        const struct json *list = i == 0 && value->type == JSON_ARRAY ? value : inner[i];
        if (list && list->type == JSON_OBJECT && body_of(list).len > best.len)
            best = body_of(list);
        for (const struct json *child = list && list->type == JSON_ARRAY ? list->child : NULL;
             child; child = child->next)
            if (body_of(child).len > best.len)
                best = body_of(child);
    }
    return best;
}

/* Folds white space, drops control characters and tags: bodies hold plain text or HTML. */
static size_t put_plain(char *out, struct str body)
{
    size_t len = 0;
    bool in_tag = false;
    for (size_t i = 0; i < body.len; i++) {
        char c = body.ptr[i];
        if (c == '<' && i + 1 < body.len &&
            ((body.ptr[i + 1] | 32) >= 'a' || body.ptr[i + 1] == '/'))
            in_tag = true;
        if (in_tag) {
            in_tag = c != '>';
            c = ' ';
        }
        bool line = c == '\n';
        if ((unsigned char)c <= ' ' || c == 0x7F)
            c = line ? '\n' : ' ';
        bool blank = c == ' ' || c == '\n';
        if (blank && len > 0 && (out[len - 1] == ' ' || out[len - 1] == '\n')) {
            if (line)
                out[len - 1] = '\n';
            continue;
        }
        if (!blank || len > 0)
            out[len++] = c;
    }
    while (len > 0 && (out[len - 1] == ' ' || out[len - 1] == '\n'))
        len--;
    return len;
}

static bool from_json(struct extract_scratch *s, struct arena *a,
                      const struct skeleton_facts *facts, struct extract_out *out)
{
    struct str best = {0};
    for (uint32_t i = 0; i < facts->json_count; i++) {
        struct json *value;
        if (json_parse(&s->work, facts->json[i], &value) < 0) {
            err_clear();
            continue;
        }
        struct str body = longest_body(value);
        if (body.len > best.len)
            best = body;
    }
    if (best.len <= out->text.len * 2 || best.len < SCANT_CHARS)
        return false;
    char *text = arena_push(a, best.len, 1);
    if (!text)
        return false;
    out->text = (struct str){text, put_plain(text, best)};
    return out->text.len > 0;
}

/* ---- the whole ---- */
static struct str clean_title(struct arena *a, struct str title)
{
    if (title.len == 0)
        return title;
    title = str_slice(title, 0, TITLE_MAX);
    size_t mark = arena_mark(a), len = 0;
    char *out = arena_push(a, title.len * 3 + 3, 1);
    const char *at = title.ptr, *end = at + title.len;
    while (out && at < end) {
        uint32_t cp;
        int step = utf8_decode(at, end, &cp);
        if (cp == 0xFFFD && end - at < 4)
            break; /* cut in the middle of a character */
        at += step;
        bool blank = cp <= ' ' || cp == 0xA0 || (cp >= 0x7F && cp < 0xA0);
        if (!blank)
            len += (size_t)utf8_encode(cp, out + len);
        else if (len > 0 && out[len - 1] != ' ')
            out[len++] = ' ';
    }
    while (len > 0 && out[len - 1] == ' ')
        len--;
    arena_reset(a, mark);
    return (struct str){arena_push(a, len, 1), len};
}

static enum extract_verdict read_blocks(struct extract_scratch *s, struct str html,
                                        struct skeleton *sk, struct page *page)
{
    struct skeleton_limits limits = {(uint32_t)s->conf.depth_max, SKELETON_TAGS_MAX,
                                     s->conf.format && !strcmp(s->conf.format, "markdown")};
    if (skeleton_make(&s->work, html, &limits, sk) < 0)
        return EXTRACT_MEMORY;
    if (s->conf.drop_deep && sk->facts.depth > limits.depth_max)
        return EXTRACT_TOO_DEEP;
    enum extract_verdict verdict;
    const GumboOutput *tree = html_parse(&s->tree, sk->html, s->conf.time_max_ms, &verdict);
    return tree ? page_read(&s->work, tree, sk, page) : verdict;
}

static enum extract_verdict print_chosen(struct extract_scratch *s, struct arena *a,
                                         const struct page *page, const struct asides *asides,
                                         struct str url, struct extract_out *out)
{
    const struct choice_conf conf = {.all = s->mode->all, .beta = s->mode->beta};
    struct choice choice;
    if (!choice_make(&s->work, page, asides, &conf, &choice))
        return EXTRACT_MEMORY;
    const bool *chosen = choice.chosen;
    out->kind = choice.judged.kind;
    out->kind_share = choice.judged.kind_share[choice.judged.kind];
    uint64_t chars = 0, links = 0;
    for (uint32_t i = 0; i < page->block_count; i++) {
        chars += chosen[i] ? page->block[i].chars : 0;
        links += chosen[i] ? page->block[i].link_chars : 0;
        out->blocks += chosen[i];
    }
    out->link_density = chars ? (float)((double)links / (double)chars) : 0;
    struct print_conf print = {.markdown = s->conf.format && !strcmp(s->conf.format, "markdown"),
                               .links = s->conf.links,
                               .images = s->conf.images,
                               .url = url};
    return page_print(a, &s->work, page, chosen, &print, &out->text);
}

enum extract_verdict extract_read(struct extract_scratch *s, struct arena *a, struct str html_utf8,
                                  struct str url, struct extract_out *out, struct page_meta *meta)
{
    struct skeleton sk = {0};
    struct page page = {0};
    *out = (struct extract_out){0};
    if (meta)
        *meta = (struct page_meta){.licence_from = "", .date_from = ""};
    arena_reset(&s->work, 0);
    enum extract_verdict verdict = read_blocks(s, html_utf8, &sk, &page);
    if (verdict == EXTRACT_OK) {
        page.url = url;
        out->title = clean_title(a, page.title);
        if (meta)
            metadata_read(a, &s->work, &sk.facts.asides, url, &page, meta);
        verdict = print_chosen(s, a, &page, &sk.facts.asides, url, out);
    }
    if (verdict == EXTRACT_OK && out->text.len < SCANT_CHARS && !s->mode->all)
        from_json(s, a, &sk.facts, out);
    if (verdict == EXTRACT_OK && out->text.len == 0)
        verdict = EXTRACT_EMPTY;
    out->depth = sk.facts.depth;
    if (verdict != EXTRACT_OK)
        err_clear();
    if (s->work.peak > WORK_KEEP)
        arena_trim(&s->work, WORK_KEEP);
    if (s->tree.peak > WORK_KEEP)
        arena_trim(&s->tree, WORK_KEEP);
    return verdict;
}

enum extract_verdict extract_main(struct extract_scratch *s, struct arena *a, struct str html_utf8,
                                  struct extract_out *out)
{
    return extract_read(s, a, html_utf8, (struct str){0}, out, NULL);
}

/* ---- the same, told ---- */
static void explain_block(const struct page *p, const struct choice *choice, uint32_t index,
                          struct explain_block *out)
{
    enum { COLUMNS = FEATURES_FIRST + FEATURES_SECOND };
    static const char *const decided[] = {"unlikely", "likely", "copy", "hidden", "shell"};
    float weight[COLUMNS], row[COLUMNS];
    const struct block *b = &p->block[index];
    out->tag = gumbo_normalized_tagname((GumboTag)b->tag);
    out->score = choice->judged.keep[index];
    out->kept = choice->chosen[index];
    out->hidden = (b->flags & BLOCK_HIDDEN) != 0;
    out->decided = decided[choice->decision[index]];
    out->reason_count = 0;
    model_reasons(&choice->judged, index, weight, row);
    while (out->reason_count < EXPLAIN_REASONS) {
        int most = -1;
        for (int c = 0; c < COLUMNS; c++)
            if (weight[c] != 0 && (most < 0 || weight[c] * weight[c] > weight[most] * weight[most]))
                most = c;
        if (most < 0)
            break;
        out->reason[out->reason_count++] =
            (struct explain_reason){feature_name(most), row[most], weight[most]};
        weight[most] = 0;
    }
}

static enum extract_verdict explain_page(struct extract_scratch *s, struct arena *a,
                                         const struct page *page, struct skeleton_facts *facts,
                                         struct explain *out)
{
    const struct choice_conf conf = {s->mode->all, true, s->mode->beta};
    struct choice choice;
    if (!choice_make(&s->work, page, &facts->asides, &conf, &choice))
        return EXTRACT_MEMORY;
    char *text = arena_push(a, page->text_len + 1, 1);
    out->block = arena_array(a, struct explain_block, (size_t)page->block_count + 1);
    if (!text || !out->block)
        return EXTRACT_MEMORY;
    memcpy(text, page->text, page->text_len);
    for (uint32_t i = 0; i < page->block_count; i++) {
        out->block[i].text = (struct str){text + page->block[i].start, page->block[i].len};
        explain_block(page, &choice, i, &out->block[i]);
    }
    out->count = page->block_count;
    memcpy(out->kind_share, choice.judged.kind_share, sizeof out->kind_share);
    out->kind = choice.judged.kind;
    out->threshold = choice.threshold;
    struct extract_out printed = {0};
    struct print_conf print = {.markdown = false};
    enum extract_verdict verdict =
        page_print(a, &s->work, page, choice.chosen, &print, &printed.text);
    if (verdict == EXTRACT_OK && printed.text.len < SCANT_CHARS && !s->mode->all &&
        from_json(s, a, facts, &printed))
        out->source = "json-ld";
    return verdict != EXTRACT_OK || printed.text.len ? verdict : EXTRACT_EMPTY;
}

enum extract_verdict extract_explain(struct extract_scratch *s, struct arena *a,
                                     struct str html_utf8, struct str url, struct explain *out)
{
    struct skeleton sk = {0};
    struct page page = {0};
    *out = (struct explain){.threshold = 1, .source = "page"};
    arena_reset(&s->work, 0);
    enum extract_verdict verdict = read_blocks(s, html_utf8, &sk, &page);
    page.url = url;
    if (verdict == EXTRACT_OK)
        verdict = explain_page(s, a, &page, &sk.facts, out);
    if (verdict != EXTRACT_OK && verdict != EXTRACT_EMPTY)
        out->count = 0;
    if (verdict != EXTRACT_OK)
        err_clear();
    return verdict;
}

/* source - one input file, told by its content, as a stream of documents with first verdicts. */
#include "crawl/crawl.h"
#include "crawl/doc_table.h"
#include "crawl/members.h"

#include "core/err.h"
#include "core/hash.h"
#include "core/json.h"
#include "core/parquet.h"

#include <stdlib.h>
#include <unistd.h>

enum {
    SNIFF_BYTES = 1024,         /* of a body, looked at to tell text from binary */
    HEAD_BYTES = 4096,          /* of a file, to tell its format */
    READ_BYTES = 256 << 10,
    LINE_SLACK = 64 << 10,      /* JSON around a text of record_max escaped bytes */
    JSON_SLACK = 1 << 20,
    SCRATCH_KEEP = 1 << 20,
};
enum rule {
    RULE_STATUS, RULE_TOO_LARGE, RULE_DAMAGED, RULE_TRUNCATED, RULE_EMPTY, RULE_NOT_TEXT,
    RULE_BAD_JSON, RULE_COUNT,
};
static const struct { const char *name; double threshold; int sense; } rules[RULE_COUNT] = {
    [RULE_STATUS] = {"source.status", 200, 0},
    [RULE_TOO_LARGE] = {"source.too_large", 0 /* record_max */, 1},
    [RULE_DAMAGED] = {"source.damaged", 0, 0},
    [RULE_TRUNCATED] = {"source.truncated", 0, 0},
    [RULE_EMPTY] = {"source.empty", 1, -1},
    [RULE_NOT_TEXT] = {"source.not_text", 0, 0},
    [RULE_BAD_JSON] = {"source.bad_json", 0, 0},
};
static const char raw_bytes_signal[] = "source.raw_bytes";

struct input {
    int (*next)(struct input *in, struct batch *b);   /* 1 a record, 0 the end */
    uint32_t item, record;
    size_t record_max;
    uint64_t name_hash;
    int rule[RULE_COUNT], raw_bytes;
    bool keep_truncated;
    struct warc_reader *warc;
    struct warc_stats stats;      /* of what is no WARC; for WARC only more `skipped` */
    /* JSON lines and text */
    struct members *members;
    struct doc_table *table;      /* Parquet */
    struct arena scratch;
    char *line;                   /* [line_at, line_len) is unread */
    size_t line_at, line_len, line_cap;
    uint64_t decoded;             /* position of line[line_at] */
    bool ended;
    char name[];
};

/* The rule about cut pages is there either way, so that a ledger tells what was asked for: with a
 * threshold of 1 it drops none. */
int source_rules(struct schema *schema, size_t record_max, bool keep_truncated)
{
    TRY(schema_signal(schema, raw_bytes_signal, "bytes"));
    for (int i = 0; i < RULE_COUNT; i++) {
        bool of_bytes = i == RULE_TOO_LARGE || i == RULE_EMPTY;
        int signal = of_bytes ? schema_find_signal(schema, raw_bytes_signal) : -1;
        double threshold = i == RULE_TOO_LARGE ? (double)record_max
                           : i == RULE_TRUNCATED && keep_truncated ? 1 : rules[i].threshold;
        TRY(schema_rule(schema, "source", rules[i].name, signal, threshold, rules[i].sense));
    }
    return 0;
}

/* ---- one document ---- */
struct found {
    struct str url, date, charset, body;
    uint64_t offset, bytes;      /* bytes: of the body before any cap */
    enum doc_kind kind;
    int status;                  /* 200 where there is none */
    bool too_large, damaged, truncated, bad_json, url_is_name;
};

static void judge(const struct input *in, struct doc *d, const struct found *f)
{
    if (f->bad_json)
        doc_drop(d, in->rule[RULE_BAD_JSON], 0, 0);
    if (f->status != 200)
        doc_drop(d, in->rule[RULE_STATUS], f->status, 200);
    if (f->too_large)
        doc_drop(d, in->rule[RULE_TOO_LARGE], (double)f->bytes, (double)in->record_max);
    if (f->damaged)
        doc_drop(d, in->rule[RULE_DAMAGED], 1, 0);
    if (f->truncated && !in->keep_truncated)
        doc_drop(d, in->rule[RULE_TRUNCATED], 1, 0);
    if (f->bytes == 0 && !f->bad_json)
        doc_drop(d, in->rule[RULE_EMPTY], 0, 1);
    else if (f->kind == DOC_OTHER && !f->too_large && f->status == 200 && !f->bad_json)
        doc_drop(d, in->rule[RULE_NOT_TEXT], (double)f->bytes, 0);
}

static bool in_arena(const struct arena *a, struct str s)
{
    uintptr_t base = (uintptr_t)a->base, at = (uintptr_t)s.ptr;
    return at >= base && at < base + a->size_max;
}

static int keep_str(struct arena *a, struct str *to, struct str from)
{
    *to = from.len ? arena_str(a, from) : (struct str){"", 0};
    return to->ptr ? 0 : err_in(ERR_LIMIT, "crawl: a batch of documents");
}

/* Adds the document; what its body was decoded into above `mark` is given back if it is dropped. */
static int add_doc(struct input *in, struct batch *b, const struct found *f, size_t mark)
{
    struct doc *d = batch_add(b);
    if (!d)
        return err_set(ERR_LIMIT, "crawl: the batch was full before document %u of %s", in->record,
                       in->name);
    d->item = in->item;
    d->record = in->record++;
    d->offset = f->offset;
    d->kind = f->kind;
    d->url_is_name = f->url_is_name;
    judge(in, d, f);
    d->signal[in->raw_bytes] = (float)f->bytes;
    d->raw = (struct str){"", 0};
    if (!d->rule && in_arena(&b->arena, f->body))
        d->raw = f->body;
    else
        arena_reset(&b->arena, mark);
    if (!d->rule && !d->raw.len)
        TRY(keep_str(&b->arena, &d->raw, f->body));
    TRY(keep_str(&b->arena, &d->url, f->url));
    TRY(keep_str(&b->arena, &d->date, f->date));
    TRY(keep_str(&b->arena, &d->http_charset, f->charset));
    d->host = url_host_lower(&b->arena, d->url);
    d->id = hash_str(d->url, hash_mix(in->name_hash ^ hash_mix(d->record)));
    b->raw_bytes += d->raw.len + d->url.len * 2 + d->date.len + d->http_charset.len;
    return 0;
}

/* ---- what a body is ---- */
static bool starts_with(struct str s, const char *bytes, size_t len)
{
    return s.len >= len && memcmp(s.ptr, bytes, len) == 0;
}

static bool binary_magic(struct str body)
{
    static const struct { const char *bytes; size_t len; } magic[] = {
        {"%PDF-", 5}, {"\x89PNG", 4}, {"GIF8", 4}, {"\xff\xd8\xff", 3}, {"PK\x03\x04", 4},
        {"\x1f\x8b\x08", 3}, {"RIFF", 4}, {"OggS", 4}, {"ID3", 3}, {"\x7f" "ELF", 4}, {"BZh", 3},
        {"7z\xbc\xaf", 4}, {"Rar!", 4}, {"\xd0\xcf\x11\xe0", 4}, {"wOFF", 4}, {"wOF2", 4},
        {"\x28\xb5\x2f\xfd", 4}, {"\xfd" "7zXZ", 5}, {"\x00\x00\x01\x00", 4}, {"FLV\x01", 4},
        {"CWS", 3}, {"FWS", 3}, {"%!PS-", 5},
    };
    for (size_t i = 0; i < COUNT_OF(magic); i++)
        if (starts_with(body, magic[i].bytes, magic[i].len))
            return true;
    return false;
}

/* ASCII in two bytes a character from a '<' on, without a mark in front, as the charset's detection
 * reads it: the place of the first low byte, SIZE_MAX: not so. */
static size_t wide_tag(struct str body)
{
    enum { LOOKED_AT = 16 };
    size_t low = body.len > 0 && body.ptr[0] ? 0 : 1;
    if (body.len < 4 || body.ptr[low] != '<')
        return SIZE_MAX;
    for (size_t i = 0; i + 1 < body.len && i < LOOKED_AT; i += 2) {
        char here = body.ptr[i + low], other = body.ptr[i + 1 - low];
        bool printable = (here >= ' ' && here < 127) || memchr("\t\n\r", here, 3);
        if (other || !printable)
            return SIZE_MAX;
    }
    return low;
}

static bool wide_text(struct str body, struct str charset)
{
    return wide_tag(body) != SIZE_MAX || starts_with(body, "\xff\xfe", 2)
           || starts_with(body, "\xfe\xff", 2)
           || str_starts_nocase(charset, "utf-16") || str_starts_nocase(charset, "utf-32")
           || str_starts_nocase(charset, "utf16");
}

/* More than one control byte in ten: no text in any 8-bit encoding (ESC opens ISO-2022). */
static bool mostly_control(struct str body)
{
    size_t n = body.len < SNIFF_BYTES ? body.len : SNIFF_BYTES, control = 0;
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)body.ptr[i];
        control += c < 0x20 && c != '\t' && c != '\n' && c != '\r' && c != '\f' && c != 0x1b;
    }
    return control * 10 > n;
}

static bool has_html_tag(struct str head)
{
    static const char *const tag[] = {"html", "HTML", "Html", "head", "HEAD", "body", "BODY"};
    for (size_t i = 0; i < COUNT_OF(tag); i++) {
        char open[8] = "<";
        memcpy(open + 1, tag[i], strlen(tag[i]) + 1);
        if (str_find(head, str_of(open)) != SIZE_MAX)
            return true;
    }
    return false;
}

/* The tags a browser takes as a sign of HTML when no type was sent (WHATWG MIME sniffing). */
static bool looks_html(struct str body)
{
    static const char *const open[] = {
        "<!doctype html", "<html", "<head", "<script", "<iframe", "<h1", "<div", "<font", "<table",
        "<a", "<style", "<title", "<b", "<body", "<br", "<p", "<!--", "<meta", "<link",
    };
    struct str head = str_slice(body, 0, SNIFF_BYTES);
    if (starts_with(head, "\xef\xbb\xbf", 3))
        head = str_slice(head, 3, head.len);
    while (head.len && memchr(" \t\r\n\f", head.ptr[0], 5))
        head = str_slice(head, 1, head.len);
    for (size_t i = 0; i < COUNT_OF(open); i++) {
        size_t len = strlen(open[i]);
        if (!str_starts_nocase(head, open[i]) || head.len == len)
            continue;
        if (open[i][1] == '!' || memchr(" \t\r\n\f>/", head.ptr[len], 7))
            return true;
    }
    return str_starts(head, "<?xml") && has_html_tag(head);
}

static bool type_is(struct str type, const char *name)
{
    struct str rest;
    return str_eq_nocase(str_trim(str_cut(type, ';', &rest)), str_of(name));
}

/* The crawler's own identification goes before the server's word; the bytes can veto both. */
static enum doc_kind kind_of(struct str identified, struct str declared, struct str charset,
                             struct str body)
{
    static const char *const html[] = {
        "text/html", "application/xhtml+xml", "application/vnd.wap.xhtml+xml",
    };
    static const char *const text[] = {"text/plain", "text/markdown", "text/x-web-markdown"};
    static const char *const vague[] = {
        "", "application/octet-stream", "binary/octet-stream", "application/xml", "text/xml",
        "unknown/unknown", "application/unknown", "application/x-unknown", "*/*", "text",
    };
    struct str type = identified.len ? identified : declared;
    if (binary_magic(body) || (!wide_text(body, charset) && mostly_control(body)))
        return DOC_OTHER;
    for (size_t i = 0; i < COUNT_OF(html); i++)
        if (type_is(type, html[i]))
            return DOC_HTML;
    for (size_t i = 0; i < COUNT_OF(text); i++)
        if (type_is(type, text[i]))
            return looks_html(body) ? DOC_HTML : DOC_TEXT;
    for (size_t i = 0; i < COUNT_OF(vague); i++)
        if (type_is(type, vague[i]))
            return looks_html(body) ? DOC_HTML : DOC_OTHER;
    return DOC_OTHER;
}

/* ---- WARC ---- */
static int take_http(struct input *in, struct batch *b, const struct warc_record *rec,
                     struct found *f)
{
    struct http_response http;
    TRY(http_parse(&b->arena, rec->body, in->record_max, &http));
    f->status = http.status;
    f->charset = http.charset;
    f->body = http.body;
    f->bytes = http.too_large || rec->cut ? rec->content_length : http.body.len;
    f->too_large |= http.too_large;
    f->truncated |= http.partial;
    f->kind = kind_of(rec->payload_type, http.content_type, http.charset, http.body);
    return 0;
}

/* True for records of other protocols that carry no page: look-ups, and what wget archives of
 * itself (metadata://gnu.org/software/wget/warc/wget.log). */
static bool is_lookup(const struct warc_record *rec)
{
    return str_starts_nocase(rec->target_uri, "dns:")
           || str_starts_nocase(rec->target_uri, "whois:")
           || str_starts_nocase(rec->target_uri, "metadata:")
           || type_is(rec->content_type, "text/dns");
}

/* Crawlers archive what a site says to crawlers, too. */
static bool is_robots(struct str url)
{
    struct url_parts parts;
    return str_ends(url, "/robots.txt") && url_split(url, &parts) &&
           str_is(parts.path, "/robots.txt");
}

static int take_record(struct input *in, struct batch *b, const struct warc_record *rec)
{
    struct found f = {
        .url = rec->target_uri, .date = rec->date, .offset = rec->offset, .body = rec->body,
        .bytes = rec->cut ? rec->content_length : rec->body.len, .status = 200,
        .too_large = rec->cut,
        .damaged = rec->damaged,
        .truncated = rec->truncated.len > 0 || rec->segment.len > 0,
    };
    bool response = str_eq_nocase(rec->type, STR("response"));
    bool http = response && (str_starts_nocase(rec->body, "HTTP/") || rec->content_type.len == 0
                             || str_starts_nocase(rec->content_type, "application/http"));
    size_t mark = arena_mark(&b->arena);
    if (http && is_robots(rec->target_uri)) {
        in->stats.skipped++;
        return 1;
    }
    if (http) {
        TRY(take_http(in, b, rec, &f));
    } else if (response || str_eq_nocase(rec->type, STR("resource"))) {
        if (is_lookup(rec)) {
            in->stats.skipped++;
            return 1;
        }
        f.kind = kind_of(rec->payload_type, rec->content_type, f.charset, f.body);
    } else if (str_eq_nocase(rec->type, STR("conversion"))) {
        f.kind = DOC_TEXT;
    } else {
        return 1;
    }
    TRY(add_doc(in, b, &f, mark));
    return 1;
}

static int next_warc(struct input *in, struct batch *b)
{
    struct warc_record rec;
    int rc = warc_next(in->warc, &rec);
    return rc > 0 ? take_record(in, b, &rec) : rc;
}

/* ---- JSON lines and text: decoded bytes, of which a damaged member is an error ---- */
static int more_bytes(struct input *in)
{
    while (!in->ended) {
        size_t room = in->line_cap - in->line_len;
        int64_t got = members_read(in->members, in->line + in->line_len,
                                   room < READ_BYTES ? room : READ_BYTES);
        if (got < 0)
            return (int)got;
        in->line_len += (size_t)got;
        if (got > 0)
            return 0;
        enum members_edge edge = members_edge(in->members);
        if (edge == MEMBERS_DAMAGED)
            return err_set(ERR_FORMAT, "crawl: %s is cut or damaged in the gzip or zstd member at "
                           "byte %llu: fetch or write it again", in->name,
                           (unsigned long long)members_start(in->members));
        if (edge == MEMBERS_GARBAGE)
            log_warn("%s: what stands behind byte %llu is ignored", in->name,
                     (unsigned long long)members_stored(in->members));
        in->ended = edge == MEMBERS_GARBAGE || edge == MEMBERS_END;
        TRY(members_step(in->members));
    }
    return 0;
}

/* The next line, without its line end; *cut when it was longer than the buffer and its rest is
 * skipped. 1 a line, 0 the end. */
static int next_text_line(struct input *in, struct str *line, uint64_t *bytes, bool *cut)
{
    size_t seen = in->line_at;
    uint64_t dropped = 0;
    *cut = false;
    for (;;) {
        char *end = memchr(in->line + seen, '\n', in->line_len - seen);
        if (end || in->ended) {
            size_t stop = end ? (size_t)(end - in->line) : in->line_len;
            *bytes = dropped + (stop - in->line_at);
            *line = (struct str){in->line + in->line_at, *cut ? 0 : stop - in->line_at};
            in->line_at = stop + (end ? 1 : 0);
            in->decoded += *bytes + (end ? 1 : 0);
            return end || *bytes ? 1 : 0;
        }
        if (in->line_at > 0) {
            memmove(in->line, in->line + in->line_at, in->line_len - in->line_at);
            in->line_len -= in->line_at;
            in->line_at = 0;
        } else if (in->line_len == in->line_cap) {
            *cut = true;
            dropped += in->line_len;
            in->line_len = 0;
        }
        seen = in->line_len;
        TRY(more_bytes(in));
    }
}

static struct str first_str(const struct json *object, const char *one, const char *two)
{
    struct str s = json_str(object, one, (struct str){"", 0});
    return s.len ? s : json_str(object, two, (struct str){"", 0});
}

/* What has no address is named by its id, as books and papers are. */
static void name_doc(struct found *f, struct str url, struct str id)
{
    f->url = url.len ? url : id;
    f->url_is_name = !url.len && !str_starts_nocase(id, "http://") &&
                     !str_starts_nocase(id, "https://");
}

static void read_json(struct input *in, struct str line, struct found *f)
{
    struct json *doc = NULL;
    int rc = json_parse(&in->scratch, line, &doc);
    f->too_large = rc == ERR_LIMIT;
    f->bad_json = rc < 0 && !f->too_large;
    const struct json *text = rc < 0 ? NULL : json_get(doc, "html");
    bool html = text && text->type == JSON_STRING;
    if (rc == 0 && !html)
        text = json_get(doc, "text");
    if (rc == 0 && (!text || text->type != JSON_STRING))
        text = json_get(doc, "content");
    if (rc == 0 && (!text || text->type != JSON_STRING))
        f->bad_json = true;
    if (rc < 0 || f->bad_json)
        return;
    const struct json *meta = json_get(doc, "metadata");
    struct str url = json_str(doc, "url", (struct str){"", 0});
    if (!url.len && meta)
        url = first_str(meta, "url", "WARC-Target-URI");
    name_doc(f, url, json_str(doc, "id", (struct str){"", 0}));
    f->date = first_str(doc, "date", "timestamp");
    f->kind = html ? DOC_HTML : DOC_TEXT;
    f->body = text->string;
    f->bytes = text->string.len;
    f->too_large = f->bytes > in->record_max;
}

static int next_json(struct input *in, struct batch *b)
{
    struct found f = {.status = 200, .kind = DOC_TEXT, .offset = in->decoded};
    struct str line;
    uint64_t bytes;
    bool cut;
    int rc = next_text_line(in, &line, &bytes, &cut);
    if (rc <= 0)
        return rc;
    if (!cut && str_trim(line).len == 0)
        return 1;
    in->stats.records++;
    f.bytes = bytes;
    f.too_large = cut;
    if (!cut)
        read_json(in, line, &f);
    in->stats.damaged += f.bad_json;
    rc = add_doc(in, b, &f, arena_mark(&b->arena));
    arena_trim(&in->scratch, SCRATCH_KEEP);
    return rc < 0 ? rc : 1;
}

static int next_row(struct input *in, struct batch *b)
{
    struct doc_table_row row;
    int rc = doc_table_next(in->table, &row);
    if (rc <= 0)
        return rc;
    struct found f = {.status = 200, .kind = row.html ? DOC_HTML : DOC_TEXT, .offset = row.at,
                      .date = row.date, .body = row.body, .bytes = row.body.len};
    name_doc(&f, row.url, row.id);
    f.too_large = f.bytes > in->record_max;
    in->stats.records++;
    rc = add_doc(in, b, &f, arena_mark(&b->arena));
    return rc < 0 ? rc : 1;
}

/* A file that is named as a page, or starts with a tag of whatever name, is one: nobody keeps text
 * that way. UTF-16 is looked at by its low bytes. */
static bool is_page(const struct input *in, struct str body)
{
    static const char *const ends[] = {".html", ".htm", ".xhtml", ".HTML", ".HTM"};
    char low[SNIFF_BYTES / 2];
    struct str head = str_slice(body, 0, SNIFF_BYTES);
    for (size_t i = 0; i < COUNT_OF(ends); i++)
        if (str_ends(str_of(in->name), ends[i]))
            return true;
    if (wide_text(head, STR(""))) {
        size_t len = 0, first = head.ptr[0] == '\xff' ? 2 : head.ptr[0] == '\xfe' ? 3 : 0;
        if (wide_tag(head) != SIZE_MAX)
            first = wide_tag(head);
        for (size_t i = first; i < head.len; i += 2)
            low[len++] = head.ptr[i];
        head = (struct str){low, len};
    }
    if (looks_html(head))
        return true;
    head = str_trim(head);
    return head.len > 1 && head.ptr[0] == '<' && (head.ptr[1] | 32) >= 'a' &&
           (head.ptr[1] | 32) <= 'z';
}

/* A whole file as one document. */
static int next_text(struct input *in, struct batch *b)
{
    if (in->record)
        return 0;
    uint64_t total = in->line_len;
    while (!in->ended) {
        if (in->line_len == in->line_cap)
            in->line_len = in->record_max + 1; /* too large: only counted from here on */
        size_t before = in->line_len;
        TRY(more_bytes(in));
        total += in->line_len - before;
    }
    struct found f = {
        .status = 200, .url = str_of(in->name), .url_is_name = true, .bytes = total};
    f.too_large = total > in->record_max;
    f.body = (struct str){in->line, f.too_large ? 0 : (size_t)total};
    f.kind = is_page(in, f.body) ? DOC_HTML : DOC_TEXT;
    in->stats.records++;
    TRY(add_doc(in, b, &f, arena_mark(&b->arena)));
    return 1;
}

/* ---- opening ---- */
static bool named_warc(const char *name)
{
    struct str s = str_of(name);
    return str_ends(s, ".warc") || str_ends(s, ".wet") || str_find(s, STR(".warc.")) != SIZE_MAX
           || str_find(s, STR(".wet.")) != SIZE_MAX;
}

static bool starts_json(struct str head)
{
    head = str_trim(head);
    if (!head.len || head.ptr[0] != '{')
        return false;
    head = str_trim(str_slice(head, 1, head.len));
    return head.len && (head.ptr[0] == '"' || head.ptr[0] == '}');
}

static int open_lines(struct input *in, bool json, struct str head)
{
    size_t need = in->record_max * (json ? 2 : 1) + LINE_SLACK + READ_BYTES;
    in->line_cap = need;
    in->line = malloc(need);
    if (!in->line)
        return err_set(ERR_LIMIT, "crawl: no memory for a line of %zu bytes: lower record_max",
                       need);
    memcpy(in->line, head.ptr, head.len);
    in->line_len = head.len;
    in->next = json ? next_json : next_text;
    return json ? arena_open(&in->scratch, need * 8 + JSON_SLACK) : 0;
}

/* ---- standard input ---- */
static bool is_stdin(const char *path) { return strcmp(path, "-") == 0; }

/* Behind a look at the head: the reader itself, from the first byte again. */
static int open_warc(struct input *in)
{
    struct members *members = in->members;
    err_clear(); /* damage is the WARC reader's own matter */
    in->members = NULL;
    in->next = next_warc;
    return warc_open_members(&in->warc, members, in->record_max);
}

/* Many documents in one value: as a text it would be one, with its brackets and escapes. */
static bool starts_json_array(struct str head)
{
    head = str_trim(head);
    return head.len && head.ptr[0] == '[' && starts_json(str_slice(head, 1, head.len));
}

static int check_text(const struct input *in, const char *path, struct str head)
{
    if (starts_json_array(head))
        return err_set(ERR_FORMAT, "crawl: %s is a JSON array, which is not read: write a document "
                       "a line (jq -c '.[]' FILE > FILE.jsonl)", path);
    bool named_json = str_find(str_of(in->name), STR(".jsonl")) != SIZE_MAX;
    bool json = starts_json(head) || (!head.len && named_json);
    if (!json && !head.len)
        return err_set(ERR_FORMAT, "crawl: %s is empty: check that it was written or downloaded "
                       "whole", path);
    if (!json && (binary_magic(head) || (!wide_text(head, STR("")) && mostly_control(head))))
        return err_set(ERR_FORMAT, "crawl: %s is neither WARC nor JSON lines nor Parquet nor text: "
                       "give pages, archives, .jsonl, .parquet or .txt", path);
    return json;
}

/* Reads the head into bytes and opens the reader that fits. */
static int open_by_content(struct input *in, const char *path)
{
    char bytes[HEAD_BYTES];
    if (!is_stdin(path) && pq_is(path)) {
        in->next = next_row;
        return doc_table_open(&in->table, path);
    }
    if (is_stdin(path))
        TRY(members_open_fd(&in->members, STDIN_FILENO, "standard input", READ_BYTES));
    else
        TRY(members_open(&in->members, path, READ_BYTES));
    in->line = bytes;
    in->line_cap = sizeof bytes;
    int rc = 0;
    while (in->line_len < sizeof bytes && !in->ended && rc == 0)
        rc = more_bytes(in);
    struct str head = {bytes, in->line_len};
    in->line = NULL;
    in->line_len = in->line_cap = 0;
    if (str_starts(head, "filedesc:") || str_starts(str_trim(head), "WARC/")
        || named_warc(in->name))
        return open_warc(in);
    if (rc < 0)
        return rc;
    int json = check_text(in, members_path(in->members), head);
    if (json < 0)
        return json;
    members_go_on(in->members);
    return open_lines(in, json, head);
}

int source_open(struct input **out, const char *path, uint32_t item, size_t record_max,
                const struct schema *schema)
{
    *out = NULL;
    if (record_max == 0 || record_max > BATCH_ARENA_MAX / 4)
        return err_set(ERR_USAGE, "crawl: record_max is %zu bytes: give 1 to %d", record_max,
                       BATCH_ARENA_MAX / 4);
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    name = is_stdin(path) ? "stdin" : name;
    struct input *in = calloc(1, sizeof *in + strlen(name) + 1);
    if (!in)
        return err_set(ERR_LIMIT, "crawl: no memory to open %s", path);
    memcpy(in->name, name, strlen(name) + 1);
    in->item = item;
    in->record_max = record_max;
    in->name_hash = hash_str(str_of(name), 0);
    in->raw_bytes = schema_find_signal(schema, raw_bytes_signal);
    int rc = in->raw_bytes < 0 ? -1 : 0;
    for (int i = 0; i < RULE_COUNT; i++) {
        in->rule[i] = schema_find_rule(schema, rules[i].name);
        rc = in->rule[i] < 0 ? -1 : rc;
    }
    in->keep_truncated = rc == 0 && schema->rule[in->rule[RULE_TRUNCATED]].threshold >= 1;
    if (rc < 0)
        rc = err_set(ERR_USAGE, "crawl: the schema lacks the source's rules: call source_rules "
                     "first");
    else
        rc = open_by_content(in, path);
    if (rc < 0) {
        source_close(in);
        return rc;
    }
    *out = in;
    return 0;
}

bool source_is_page(const struct input *in) { return in->next == next_text; }

int source_fill(void *self, struct batch *b)
{
    struct input *in = self;
    while (!batch_full(b)) {
        int rc = in->next(in, b);
        if (rc <= 0)
            return rc;
    }
    return 1;
}

uint64_t source_bytes(const struct input *in)
{
    return in->warc    ? warc_stats(in->warc)->compressed_bytes
           : in->table ? doc_table_bytes(in->table) : members_stored(in->members);
}

void source_counts(const struct input *in, struct warc_stats *out)
{
    *out = in->warc ? *warc_stats(in->warc) : in->stats;
    out->compressed_bytes = source_bytes(in);
    if (in->warc)
        out->skipped += in->stats.skipped;
}

void source_close(struct input *in)
{
    if (!in)
        return;
    warc_close(in->warc);
    members_close(in->members);
    doc_table_close(in->table);
    arena_close(&in->scratch);
    free(in->line);
    free(in);
}

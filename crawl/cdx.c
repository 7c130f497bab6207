/* cdx - reads index lines, tells which fit a URL pattern and filters, and puts them in order. */
#include "crawl/cdx.h"

#include "core/err.h"
#include "core/json.h"

#include <regex.h>
#include <stdlib.h>

enum {
    SET_BYTES_MAX = 1 << 30,
    LINE_BYTES_MAX = 64 << 10,
    LINE_ARENA = 8 << 20, /* JSON of a line at its worst: 80 bytes a value */
    FIELD_MAX = 8 << 10,
};

int cdx_set_open(struct cdx_set *s)
{
    *s = (struct cdx_set){0};
    int rc = arena_open(&s->arena, SET_BYTES_MAX);
    if (rc == 0)
        rc = arena_open(&s->scratch, LINE_ARENA);
    if (rc < 0)
        cdx_set_close(s);
    return rc;
}

void cdx_set_close(struct cdx_set *s)
{
    arena_close(&s->arena);
    arena_close(&s->scratch);
    free(s->row);
    *s = (struct cdx_set){0};
}

/* ---- patterns ---- */
static int no_pattern(const char *text)
{
    return err_set(ERR_USAGE,
                   "crawl: index \"%.200s\" is no URL pattern: give example.org/page, "
                   "example.org/dir/* or *.example.org",
                   text);
}

static int pattern_match(struct cdx_pattern *p, const char *text, const char *match)
{
    static const char *const name[] = {"exact", "prefix", "host", "domain"};
    p->url = str_trim(str_of(text));
    bool subdomains = str_starts(p->url, "*."), below = str_ends(p->url, "*");
    if (subdomains)
        p->url = str_slice(p->url, 2, p->url.len);
    if (below && p->url.len)
        p->url.len--;
    if (!p->url.len || memchr(p->url.ptr, '*', p->url.len) || (subdomains && below))
        return no_pattern(text);
    p->match = subdomains ? CDX_DOMAIN : below ? CDX_PREFIX : CDX_EXACT;
    for (size_t i = 0; i < COUNT_OF(name); i++)
        if (match && strcmp(match, name[i]) == 0)
            p->match = (enum cdx_match)i;
    return 0;
}

/* Keys are "org,example)/path": those of a host start with "org,example)", those of a domain with
 * that or with "org,example,"; as in pywb's search ranges. */
static int pattern_range(struct cdx_pattern *p, const char *text)
{
    struct buf key = {.max = sizeof p->low - 8};
    url_surt(p->url, &key);
    struct str k = buf_view(&key);
    size_t paren = k.len ? str_find_char(k, ')') : SIZE_MAX;
    bool whole = p->match == CDX_HOST || p->match == CDX_DOMAIN;
    bool slash = str_ends(p->url, "/"), has = k.len && k.ptr[k.len - 1] == '/';
    int rc = key.failed || paren == SIZE_MAX || paren == 0 ? no_pattern(text) : 0;
    if (rc == 0) {
        if (whole)
            k.len = paren + 1;
        else if (p->match == CDX_PREFIX && has && !slash)
            k.len--; /* of a bare host: the slash is the key's own */
        memcpy(p->low, k.ptr, k.len);
        if (p->match == CDX_PREFIX && slash && !has)
            p->low[k.len++] = '/';
        p->low[k.len] = 0;
        memcpy(p->high, p->low, k.len + 1);
        if (p->match == CDX_EXACT)
            memcpy(p->high + k.len, " ", 2);
        else if (p->match == CDX_DOMAIN)
            p->high[k.len - 1] = '-';
        else
            p->high[k.len - 1]++;
    }
    buf_free(&key);
    return rc;
}

int cdx_pattern_parse(struct cdx_pattern *p, const char *text, const char *match)
{
    *p = (struct cdx_pattern){0};
    if (strlen(text) > sizeof p->low / 2)
        return no_pattern("a very long one");
    TRY(pattern_match(p, text, match));
    return pattern_range(p, text);
}

bool cdx_pattern_fits(const struct cdx_pattern *p, struct str key)
{
    struct str low = str_of(p->low);
    if (p->match == CDX_EXACT)
        return str_eq(key, low);
    if (p->match != CDX_DOMAIN)
        return str_starts(key, p->low);
    low.len--;
    return key.len > low.len && memcmp(key.ptr, low.ptr, low.len) == 0 &&
           (key.ptr[low.len] == ')' || key.ptr[low.len] == ',');
}

/* ---- filters ---- */
static const struct {
    const char *name;
    size_t offset;
} fields[] = {
    {"url", offsetof(struct cdx_row, url)},
    {"mime", offsetof(struct cdx_row, mime)},
    {"mime-detected", offsetof(struct cdx_row, detected)},
    {"status", offsetof(struct cdx_row, status)},
    {"digest", offsetof(struct cdx_row, digest)},
    {"languages", offsetof(struct cdx_row, languages)},
    {"filename", offsetof(struct cdx_row, filename)},
    {"timestamp", offsetof(struct cdx_row, timestamp)},
};
enum filter_how { FILTER_EQUAL, FILTER_PART, FILTER_REGEX };
struct cdx_filters {
    struct filter {
        enum filter_how how;
        bool negated;
        size_t offset;
        struct str value; /* borrowed from the list */
        regex_t regex;
    } filter[CDX_FILTERS_MAX];
    size_t count;
};

static int filter_parse(struct filter *f, const char *text)
{
    struct str rest = str_of(text), name;
    f->negated = str_starts(rest, "!");
    rest = str_slice(rest, f->negated, rest.len);
    f->how = str_starts(rest, "=")   ? FILTER_EQUAL
             : str_starts(rest, "~") ? FILTER_REGEX
                                     : FILTER_PART;
    rest = str_slice(rest, f->how != FILTER_PART, rest.len);
    name = str_cut(rest, ':', &f->value);
    size_t i = 0;
    while (i < COUNT_OF(fields) && !str_is(name, fields[i].name))
        i++;
    if (i == COUNT_OF(fields) || !f->value.ptr)
        return err_set(ERR_USAGE,
                       "crawl: index_filter \"%.100s\": give =field:value, field:part or "
                       "~field:regex, with ! in front for the opposite; fields are url, mime, "
                       "mime-detected, status, digest, languages, filename, timestamp",
                       text);
    f->offset = fields[i].offset;
    if (f->how != FILTER_REGEX)
        return 0;
    char pattern[1024], why[128];
    int len = snprintf(pattern, sizeof pattern, "^(%.*s)", STR_ARG(f->value));
    int bad = len >= (int)sizeof pattern ? REG_ESPACE
                                         : regcomp(&f->regex, pattern, REG_EXTENDED | REG_NOSUB);
    if (!bad)
        return 0;
    regerror(bad, &f->regex, why, sizeof why);
    f->how = FILTER_PART; /* nothing to free */
    return err_set(ERR_USAGE, "crawl: index_filter \"%.100s\": %s", text, why);
}

int cdx_filters_parse(struct cdx_filters **out, const struct opt_list *list)
{
    *out = NULL;
    if (list->count > CDX_FILTERS_MAX)
        return err_set(ERR_USAGE, "crawl: %zu index filters; %d are the most", list->count,
                       CDX_FILTERS_MAX);
    struct cdx_filters *f = calloc(1, sizeof *f);
    int rc = f ? 0 : err_set(ERR_LIMIT, "crawl: no memory for filters");
    for (size_t i = 0; rc == 0 && i < list->count; i++)
        if (list->item[i][0])
            rc = filter_parse(&f->filter[f->count++], list->item[i]);
    if (rc < 0) {
        cdx_filters_free(f);
        return rc;
    }
    *out = f;
    return 0;
}

void cdx_filters_free(struct cdx_filters *f)
{
    for (size_t i = 0; f && i < f->count; i++)
        if (f->filter[i].how == FILTER_REGEX)
            regfree(&f->filter[i].regex);
    free(f);
}

static bool filter_fits(const struct filter *f, struct str value)
{
    if (f->how == FILTER_EQUAL)
        return str_eq(value, f->value);
    if (f->how == FILTER_PART)
        return str_find(value, f->value) != SIZE_MAX;
    char text[FIELD_MAX];
    if (value.len >= sizeof text)
        return false;
    memcpy(text, value.len ? value.ptr : "", value.len);
    text[value.len] = 0;
    return regexec(&f->regex, text, 0, NULL, 0) == 0;
}

bool cdx_filters_fit(const struct cdx_filters *f, const struct cdx_row *row)
{
    for (size_t i = 0; f && i < f->count; i++) {
        struct str value;
        memcpy(&value, (const char *)row + f->filter[i].offset, sizeof value);
        if (filter_fits(&f->filter[i], value) == f->filter[i].negated)
            return false;
    }
    return true;
}

/* ---- lines ---- */
/* Numbers come as strings from servers, and as numbers from some indexers. */
static bool read_number(const struct json *object, const char *name, uint64_t *out)
{
    const struct json *value = json_get(object, name);
    return value && str_u64(value->string, out);
}

static bool is_text(struct str s)
{
    for (size_t i = 0; i < s.len; i++)
        if ((unsigned char)s.ptr[i] < 0x20 || s.ptr[i] == 0x7f)
            return false;
    return s.len < FIELD_MAX;
}

/* A field that is absent is empty; one that is no plain text makes the line unreadable. */
static bool read_text(const struct json *object, const char *name, struct str *out)
{
    const struct json *value = json_get(object, name);
    bool told = value && (value->type == JSON_STRING || value->type == JSON_NUMBER);
    *out = told ? value->string : (struct str){0};
    return is_text(*out);
}

/* Reads what stands in front of the object: "key timestamp ", or nothing. */
static bool read_lead(struct str lead, struct cdx_row *row)
{
    lead = str_trim(lead);
    if (!lead.len)
        return true;
    row->key = str_cut(lead, ' ', &row->timestamp);
    return row->timestamp.ptr && is_text(lead) && str_find_char(row->timestamp, ' ') == SIZE_MAX;
}

/* The name that index lines have for a field, else that of the column in Common Crawl's table. */
static bool read_either(const struct json *o, const char *name, const char *column, struct str *out)
{
    return read_text(o, name, out) && (out->len || read_text(o, column, out));
}

/* A list out of the table may lack key and time: the key is made, the time is zeros. */
static bool complete_row(struct arena *a, const struct json *o, struct cdx_row *row)
{
    struct str fetched;
    char date[15];
    struct buf key = {0};
    if (!row->key.len && !read_either(o, "urlkey", "url_surtkey", &row->key))
        return false;
    if (!row->key.len && row->url.len) {
        url_surt(row->url, &key);
        row->key = key.failed ? row->key : arena_str(a, buf_view(&key));
        buf_free(&key);
    }
    if (row->timestamp.len)
        return true;
    if (!read_text(o, "timestamp", &row->timestamp) || !read_text(o, "fetch_time", &fetched))
        return false;
    warc_date14(fetched, date);
    if (!row->timestamp.len)
        row->timestamp = arena_str(a, date[0] ? str_of(date) : STR("00000000000000"));
    return true;
}

static bool row_read(struct arena *a, struct str line, struct cdx_row *row)
{
    struct json *o;
    size_t brace = str_find_char(line, '{');
    *row = (struct cdx_row){0};
    if (brace == SIZE_MAX || line.len > LINE_BYTES_MAX ||
        !read_lead(str_slice(line, 0, brace), row) ||
        json_parse(a, str_slice(line, brace, line.len), &o) < 0)
        return false;
    bool good = read_text(o, "url", &row->url) &&
                read_either(o, "mime", "content_mime_type", &row->mime) &&
                read_either(o, "mime-detected", "content_mime_detected", &row->detected) &&
                read_either(o, "status", "fetch_status", &row->status) &&
                read_either(o, "digest", "content_digest", &row->digest) &&
                read_either(o, "languages", "content_languages", &row->languages) &&
                read_either(o, "filename", "warc_filename", &row->filename) &&
                complete_row(a, o, row);
    return good && row->key.len && row->timestamp.len && row->url.len && row->filename.len &&
           str_find_char(row->key, ' ') == SIZE_MAX &&
           (read_number(o, "offset", &row->offset) ||
            read_number(o, "warc_record_offset", &row->offset)) &&
           (read_number(o, "length", &row->length) ||
            read_number(o, "warc_record_length", &row->length)) &&
           row->length > 0 && row->offset <= INT64_MAX && row->length <= INT64_MAX;
}

static int row_keep(struct cdx_set *s, const struct cdx_row *row)
{
    if (s->count == s->room) {
        size_t room = s->room ? s->room * 2 : 256;
        struct cdx_row *grown = realloc(s->row, room * sizeof *grown);
        if (!grown)
            return err_set(ERR_LIMIT, "crawl: no memory for %zu captures", room);
        s->row = grown;
        s->room = room;
    }
    struct cdx_row kept = *row;
    struct str *text[] = {&kept.key,    &kept.timestamp, &kept.url,
                          &kept.mime,   &kept.detected,  &kept.status,
                          &kept.digest, &kept.languages, &kept.filename};
    for (size_t i = 0; i < COUNT_OF(text); i++) {
        *text[i] = arena_str(&s->arena, *text[i]);
        if (!text[i]->ptr)
            return ERR_LIMIT;
    }
    s->row[s->count++] = kept;
    return 1;
}

int cdx_line(struct cdx_set *s, struct str line, const struct cdx_pattern *p,
             const struct cdx_filters *f)
{
    struct cdx_row row;
    line = str_trim(line);
    if (!line.len)
        return 0;
    s->seen++;
    /* Most lines of a block are of other URLs: told by the key alone. */
    struct str rest, key = str_cut(line, ' ', &rest);
    if (p && line.ptr[0] != '{' && !cdx_pattern_fits(p, key)) {
        s->filtered++;
        return 0;
    }
    arena_reset(&s->scratch, 0);
    bool good = row_read(&s->scratch, line, &row);
    if (good && (!p || cdx_pattern_fits(p, row.key)) && cdx_filters_fit(f, &row))
        return row_keep(s, &row);
    if (!good)
        err_clear();
    s->bad += !good;
    s->filtered += good;
    return 0;
}

/* ---- order ---- */
static int by_key(const void *a, const void *b)
{
    const struct cdx_row *x = a, *y = b;
    int order = str_cmp(x->key, y->key);
    if (order == 0)
        order = str_cmp(x->timestamp, y->timestamp);
    if (order == 0)
        order = str_cmp(x->filename, y->filename);
    if (order == 0)
        order = x->offset < y->offset ? -1 : x->offset > y->offset;
    if (order == 0)
        order = str_cmp(x->url, y->url);
    return order;
}

void cdx_settle(struct cdx_set *s, size_t max)
{
    size_t kept = 0;
    if (s->count)
        qsort(s->row, s->count, sizeof *s->row, by_key);
    for (size_t i = 0; i < s->count; i++) {
        const struct cdx_row *last = kept ? &s->row[kept - 1] : NULL;
        bool same =
            last && last->offset == s->row[i].offset && str_eq(last->filename, s->row[i].filename);
        if (!same)
            s->row[kept++] = s->row[i];
    }
    s->full |= kept > max;
    s->count = kept > max ? max : kept;
    for (size_t i = 0; i < s->count; i++)
        s->row[i].place = i;
}

void cdx_put_line(struct buf *to, const struct cdx_row *row)
{
    const struct {
        const char *name;
        struct str value;
    } member[] = {
        {"url", row->url},       {"mime", row->mime},     {"mime-detected", row->detected},
        {"status", row->status}, {"digest", row->digest}, {"languages", row->languages}};
    struct json_writer w;
    buf_str(to, row->key);
    buf_char(to, ' ');
    buf_str(to, row->timestamp);
    buf_char(to, ' ');
    json_begin(&w, to);
    json_open(&w, '{');
    for (size_t i = 0; i < COUNT_OF(member); i++)
        if (member[i].value.len)
            json_field_str(&w, member[i].name, member[i].value);
    char number[2][24];
    snprintf(number[0], sizeof number[0], "%llu", (unsigned long long)row->length);
    snprintf(number[1], sizeof number[1], "%llu", (unsigned long long)row->offset);
    json_field_text(&w, "length", number[0]);
    json_field_text(&w, "offset", number[1]);
    json_field_str(&w, "filename", row->filename);
    json_close(&w, '}');
    buf_char(to, '\n');
}

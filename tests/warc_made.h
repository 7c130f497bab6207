/* warc_made - small WARC files for tests, and what the reader under test says of any file. */
#ifndef SLUICE_TESTS_WARC_MADE_H
#define SLUICE_TESTS_WARC_MADE_H
#include "tests/gzip_made.h"

#include "core/hash.h"
#include "crawl/warc.h"

enum { BODY_MAX = 8 << 20 };

/* ---- what the reader under test says ---- */
struct seen {
    char type[32], uri[256];
    uint64_t offset, length, hash;
    size_t body;
    bool cut, damaged;
};
struct result {
    int rc;
    size_t count;
    struct seen *rec;
    struct warc_stats stats;
};

static inline struct result read_all(const char *path, size_t body_max, size_t buffer)
{
    struct result out = {0};
    struct warc_reader *r;
    out.rc = warc_open_buffer(&r, path, body_max, buffer);
    if (out.rc < 0)
        return out;
    struct warc_record rec;
    size_t cap = 0;
    while ((out.rc = warc_next(r, &rec)) > 0) {
        if (out.count == cap) {
            cap = cap ? cap * 2 : 64;
            out.rec = realloc(out.rec, cap * sizeof *out.rec);
            CHECK(out.rec);
        }
        struct seen *s = &out.rec[out.count++];
        memset(s, 0, sizeof *s);
        snprintf(s->type, sizeof s->type, "%.*s", STR_ARG(rec.type));
        snprintf(s->uri, sizeof s->uri, "%.*s", STR_ARG(rec.target_uri));
        s->offset = rec.offset;
        s->length = rec.content_length;
        s->body = rec.body.len;
        s->hash = hash_str(rec.body, rec.header.len);
        s->cut = rec.cut;
        s->damaged = rec.damaged;
    }
    CHECK_INT(warc_next(r, &rec), 0); /* the end stays the end, also behind an error */
    out.stats = *warc_stats(r);
    warc_close(r);
    return out;
}

static inline void result_free(struct result *r) { free(r->rec); }

static inline bool same_seen(const struct seen *a, const struct seen *b)
{
    return strcmp(a->type, b->type) == 0 && strcmp(a->uri, b->uri) == 0 && a->body == b->body &&
           a->hash == b->hash;
}

/* ---- making files ---- */
static inline void add_record(struct buf *to, const char *type, const char *uri, const char *length,
                       struct str body)
{
    buf_printf(to, "WARC/1.0\r\nWARC-Type: %s\r\nWARC-Target-URI: %s\r\n", type, uri);
    if (!length)
        buf_printf(to, "Content-Length: %zu\r\n", body.len);
    else if (*length)
        buf_printf(to, "Content-Length: %s\r\n", length);
    buf_text(to, "\r\n");
    buf_str(to, body);
    buf_text(to, "\r\n\r\n");
}

enum { RECORDS = 6 };
static inline void make_record(struct buf *to, int index)
{
    char uri[64], body[600];
    snprintf(uri, sizeof uri, "http://host%d.example/page", index);
    int len = snprintf(body, sizeof body,
                       "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<html>%d:", index);
    for (int i = 0; i < 40 + 13 * index; i++)
        len += snprintf(body + len, sizeof body - (size_t)len, "%c%d", 'a' + (i * 7 + index) % 26,
                        i % 10);
    add_record(to, "response", uri, NULL, (struct str){body, (size_t)len});
}

/* RECORDS records: plain, or one gzip member each; start[i] is where record i begins,
 * start[RECORDS] the end. */
static inline struct buf make_file(bool gzip, size_t *start)
{
    struct buf out = {0};
    for (int i = 0; i < RECORDS; i++) {
        struct buf one = {0};
        make_record(&one, i);
        start[i] = out.len;
        if (gzip)
            gzip_add(&out, buf_view(&one), 6);
        else
            buf_str(&out, buf_view(&one));
        buf_free(&one);
    }
    start[RECORDS] = out.len;
    return out;
}
#endif

/* extract_pages - the annotated web pages of the shared data, one after the other, for tests. */
#ifndef SLUICE_TESTS_EXTRACT_PAGES_H
#define SLUICE_TESTS_EXTRACT_PAGES_H
#include "core/io.h"
#include "core/json.h"
#include "tests/test.h"

/* Reads whole records of a WARC made of simple response records, as the gold set is. */
struct pages { struct io_reader *in; char *head, *body; size_t body_cap; };

static inline void pages_open(struct pages *p)
{
    memset(p, 0, sizeof *p);
    CHECK_OK(io_open(&p->in, test_data("html/wcxb-dev.warc.gz")));
    p->head = malloc(65536);
    CHECK(p->head != NULL);
}

static inline void pages_read(struct pages *p, char *to, size_t len)
{
    for (size_t done = 0; done < len;) {
        int64_t got = io_read(p->in, to + done, len - done);
        CHECK_OK(got);
        CHECK(got > 0);
        done += (size_t)got;
    }
}

/* The next page: its URL and HTML, valid until the next call; false at the end. */
static inline bool pages_next(struct pages *p, struct str *url, struct str *html)
{
    struct str line;
    size_t length = 0, url_len = 0;
    int rc;
    while ((rc = io_read_line(p->in, &line)) > 0) {
        if (line.len == 0 && length > 0)
            break;
        if (str_starts(line, "WARC-Target-URI: ")) {
            url_len = line.len - 17;
            CHECK(url_len < 65536);
            memcpy(p->head, line.ptr + 17, url_len);
        }
        uint64_t value;
        if (str_starts(line, "Content-Length: ") && str_u64(str_slice(line, 16, line.len), &value))
            length = (size_t)value;
    }
    CHECK_OK(rc);
    if (rc == 0)
        return false;
    if (length > p->body_cap) {
        free(p->body);
        p->body = malloc(p->body_cap = length);
        CHECK(p->body != NULL);
    }
    pages_read(p, p->body, length);
    struct str body = {p->body, length};
    size_t blank = str_find(body, STR("\r\n\r\n"));
    CHECK(blank != SIZE_MAX);
    *html = str_slice(body, blank + 4, length);
    *url = (struct str){p->head, url_len};
    return true;
}

static inline void pages_close(struct pages *p)
{
    io_close(p->in);
    free(p->head);
    free(p->body);
}

/* The annotations: rows of the gold file by URL. */
struct gold { struct arena arena; struct json *row[1024]; size_t count; };

static inline void gold_open(struct gold *g)
{
    struct io_reader *in;
    struct str line;
    memset(g, 0, sizeof *g);
    CHECK_OK(arena_open(&g->arena, 256u << 20));
    CHECK_OK(io_open(&in, test_data("html/wcxb-dev.gold.jsonl.zst")));
    int rc;
    while ((rc = io_read_line(in, &line)) > 0) {
        CHECK(g->count < COUNT_OF(g->row));
        CHECK_OK(json_parse(&g->arena, arena_str(&g->arena, line), &g->row[g->count++]));
    }
    CHECK_OK(rc);
    io_close(in);
}

static inline const struct json *gold_find(const struct gold *g, struct str url)
{
    for (size_t i = 0; i < g->count; i++)
        if (str_eq(json_str(g->row[i], "url", (struct str){0}), url))
            return g->row[i];
    return NULL;
}
#endif

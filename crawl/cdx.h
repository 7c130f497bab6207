/* cdx - the URL index of a crawl: which captures there are, and fetching single records of them. */
#ifndef SLUICE_CRAWL_CDX_H
#define SLUICE_CRAWL_CDX_H
#include "crawl/crawl.h"

/* Common Crawl indexes every capture by URL: a line "SURT-key timestamp {json}" a capture, served
 * by a CDX server (index.commoncrawl.org) and as sorted, block-compressed files with a cluster.idx
 * beside them (ZipNum). Whole files are the better way to much data; this is for a few pages of a
 * few sites, so everything is capped. */
struct cdx_conf {
    const char *index;      /* URL pattern: a page, example.org/dir/ and a star, or
                             * a star, a dot and a domain; a star alone: all of a CDXJ file */
    const char *match;      /* auto (by the stars) | exact | prefix | host | domain */
    const char *server;     /* https://index.commoncrawl.org/ or another with that interface */
    const char *file;       /* look here, not at the server: a CDXJ file, a cluster.idx (path or
                             * URL), or "cluster": that of the crawl below base */
    struct opt_list filter; /* as the server has them, see cdx_filters_parse */
    int64_t max;            /* captures; more are left out */
    int64_t pages;          /* requests to the server, or blocks of a cluster */
    double rate;            /* requests a second to the index server */
    const char *out;        /* the archive to write; empty: <cache>/index/<name>.warc.gz */
};
/* Rows of options; `at` is the way to the struct cdx_conf, as in `index.`. */
#define CDX_ROW(conf, at, kind, name, field, preset, min, max, unit, help)                         \
    { kind, name, offsetof(conf, at field), preset, min, max, unit, help, NULL }
#define CDX_ROWS(conf, at)                                                                         \
    CDX_ROW(conf, at, OPT_STR, "index", index, NULL, 0, 0, NULL,                                   \
            "fetch single captures by URL: example.org/page, example.org/dir/*, *.example.org"),   \
    CDX_ROW(conf, at, OPT_ENUM, "index_match", match, "auto", 0, 0,                                \
            "auto|exact|prefix|host|domain", "what of the URL must agree; auto: by its stars"),    \
    CDX_ROW(conf, at, OPT_STR, "index_server", server, "https://index.commoncrawl.org/", 0, 0,     \
            NULL, "CDX server to ask"),                                                            \
    CDX_ROW(conf, at, OPT_STR, "index_file", file, NULL, 0, 0, NULL,                               \
            "look in this CDXJ file (--index='*' takes all of it) or cluster.idx instead; "        \
            "`cluster`: in the crawl's own"),                                                      \
    CDX_ROW(conf, at, OPT_LIST, "index_filter", filter, "=status:200", 0, 0, NULL,                 \
            "captures to take: =field:value, field:part or ~field:regex; ! in front: not"),        \
    CDX_ROW(conf, at, OPT_INT, "index_max", max, "1000", 1, 1e6, "captures", "at most so many"),   \
    CDX_ROW(conf, at, OPT_INT, "index_pages", pages, "50", 1, 1e5, "pages",                        \
            "requests to the server, or blocks of a cluster, at most"),                            \
    CDX_ROW(conf, at, OPT_FLOAT, "index_rate", rate, "1", 0.01, 1000, "requests/s",                \
            "to the index server, one at a time"),                                                 \
    CDX_ROW(conf, at, OPT_STR, "index_out", out, NULL, 0, 0, NULL,                                 \
            "archive to write (.warc.gz); empty: one in the cache, by what was asked")

/* ---- captures (crawl/cdx.c) ---- */
/* One line of an index. Strings live in the set's arena; absent fields are empty. */
struct cdx_row {
    struct str key, timestamp, url, mime, detected, status, digest, languages, filename;
    uint64_t offset, length;
    size_t place;           /* its number in index order */
};
struct cdx_set {
    struct arena arena, scratch;
    struct cdx_row *row;
    size_t count, room;
    uint64_t seen, filtered, bad; /* lines looked at; of them left out by filters; unreadable */
    bool full;              /* there were more than `max`, or more pages than `pages` */
};
int cdx_set_open(struct cdx_set *s);
void cdx_set_close(struct cdx_set *s);

/* A URL pattern as the servers read it. */
enum cdx_match { CDX_EXACT, CDX_PREFIX, CDX_HOST, CDX_DOMAIN };
struct cdx_pattern {
    enum cdx_match match;
    struct str url;         /* without the stars; borrowed */
    char low[4096], high[4096]; /* keys that match lie in [low, high) */
};
int cdx_pattern_parse(struct cdx_pattern *p, const char *text, const char *match);
bool cdx_pattern_fits(const struct cdx_pattern *p, struct str key);

enum { CDX_FILTERS_MAX = 16 };
struct cdx_filters;
/* "=field:value" equal, "field:part" contains, "~field:regex" (POSIX extended) from its start on; !
 * in front of any of them: not so. Fields: url, mime, mime-detected, status, digest, languages,
 * filename, timestamp. */
int cdx_filters_parse(struct cdx_filters **out, const struct opt_list *list);
bool cdx_filters_fit(const struct cdx_filters *f, const struct cdx_row *row);
void cdx_filters_free(struct cdx_filters *f); /* NULL is fine */

/* Adds the capture of a line ("key timestamp {...}", or the object alone as servers send it) when
 * it fits pattern and filters (either may be NULL). 1 added, 0 not. Lines that are no captures are
 * counted in s->bad. */
int cdx_line(struct cdx_set *s, struct str line, const struct cdx_pattern *p,
             const struct cdx_filters *f);
/* Sorted by key, time, file and offset; the same record only once; cut at max. */
void cdx_settle(struct cdx_set *s, size_t max);
/* A row as a CDXJ line. */
void cdx_put_line(struct buf *to, const struct cdx_row *row);

/* ---- looking up (crawl/cdx_server.c, crawl/cdx_cluster.c) ---- */
/* Asks the server, page by page, one request at a time. No captures is no error. */
int cdx_ask_server(struct cdx_set *s, const struct crawl_conf *crawl, const struct cdx_conf *conf,
                   const struct cdx_pattern *p, const struct cdx_filters *f);
/* Looks in conf->file. */
int cdx_ask_file(struct cdx_set *s, const struct crawl_conf *crawl, const struct cdx_conf *conf,
                 const struct cdx_pattern *p, const struct cdx_filters *f);

/* ---- fetching (crawl/cdx_fetch.c) ---- */
/* The captures that fit index and filters, settled, from the file or the server. */
int cdx_look(struct cdx_set *s, const struct crawl_conf *crawl, const struct cdx_conf *conf);
struct cdx_done {
    char path[IO_PATH_MAX]; /* the archive */
    uint64_t captures;      /* found */
    uint64_t written, bytes;
    uint64_t refused;       /* records that are not what the index says: not written */
    uint64_t requests;
    bool full;
};
/* Looks up conf->index, fetches the records by range and writes them, each gzip member byte for
 * byte as it was, ordered by file and offset, into one archive with a CDXJ index beside it
 * (PATH.cdxj). Neighbours in a file come in one request. Each member must inflate to its end with
 * the right checksum and length and hold the record the index told of (URL, digests). An archive
 * that is there is finished and nothing is asked for; one that was broken off goes on where it
 * stopped, by the list found then (PATH.plan). A record that does not come is an error once the
 * others are here; the same command tries again. */
int cdx_crawl(const struct crawl_conf *crawl, const struct cdx_conf *conf, struct cdx_done *done);
#endif

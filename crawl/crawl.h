/* crawl - gets web archives and reads them: Common Crawl over libcurl, WARC record by record. */
#ifndef SLUICE_CRAWL_CRAWL_H
#define SLUICE_CRAWL_CRAWL_H
#include "core/arena.h"
#include "core/io.h"
#include "core/pipe.h"
#include "crawl/fetch.h"
#include "crawl/warc.h"

/* ---- Common Crawl's layout (crawl/commoncrawl.c) ---- */
struct crawl_conf {
    const char *base;  /* https://data.commoncrawl.org/, http://..., file:///...: any mirror */
    const char *crawl; /* CC-MAIN-2024-22 */
    const char *kind;  /* warc | wet | wat */
    const char *paths; /* a file with the paths to take, instead of the crawl's own list */
    int64_t files;     /* 0: all; else a deterministic sample of so many by seed */
    int64_t seed;
    const char *cache;  /* folder the files land in: <cache>/<path below base> */
    uint64_t cache_max; /* 0: all files stay; else at most so many bytes of them (crawl_ahead) */
    struct fetch_conf fetch;
};
/* Rows of options: what is taken (it decides the bytes of a run), and how (it does not). `at` is
 * the way to the struct crawl_conf, as in `crawl.`; it may be empty. */
#define CRAWL_ROW(conf, at, kind, field, preset, min, max, unit, help)                             \
    {                                                                                              \
        kind, #field, offsetof(conf, at field), preset, min, max, unit, help, NULL                 \
    }
#define CRAWL_WHAT_ROWS(conf, at)                                                                  \
    CRAWL_ROW(conf, at, OPT_STR, base, "https://data.commoncrawl.org/", 0, 0, NULL,                \
              "where the crawls lie: https, http, s3 or file URL of any mirror"),                  \
        CRAWL_ROW(conf, at, OPT_STR, crawl, NULL, 0, 0, NULL, "the crawl, as in CC-MAIN-2024-22"), \
        CRAWL_ROW(conf, at, OPT_ENUM, kind, "warc", 0, 0, "warc|wet|wat",                          \
                  "pages as found, Common Crawl's own text of them, or its metadata"),             \
        CRAWL_ROW(                                                                                 \
            conf, at, OPT_STR, paths, NULL, 0, 0, NULL,                                            \
            "file with the paths below base to take, a line each (plain or .gz), instead of "      \
            "the crawl's own list"),                                                               \
        CRAWL_ROW(conf, at, OPT_INT, files, "0", 0, 1e7, "files",                                  \
                  "how many of the listed files, drawn by seed; 0: all"),                          \
        CRAWL_ROW(conf, at, OPT_INT, seed, "1", 0, 1e15, NULL,                                     \
                  "of the draw: more files with the same seed keep those drawn before")
#define CRAWL_HOW_ROWS(conf, at)                                                                   \
    CRAWL_ROW(conf, at, OPT_STR, cache, "crawl-cache", 0, 0, NULL,                                 \
              "folder the files land in, by their paths below base"),                              \
        FETCH_ROWS(conf, at fetch.)
extern const struct opt crawl_opts[];     /* what, over struct crawl_conf */
extern const struct opt crawl_how_opts[]; /* how, and cache_max */

/* Relative, of plain names joined by single slashes: nothing that leaves the cache or alters a
 * URL. For every path that comes from outside. */
bool crawl_path_is_safe(struct str path);
struct crawl_file {
    const char *name; /* its path below base; the end of path */
    const char *url;
    const char *path; /* where it lies here, or would */
    bool here;        /* it is there, as the manifest has it */
    uint64_t bytes;   /* 0: not known */
};
/* Which files are wanted: reads paths, or <base>/crawl-data/<crawl>/<kind>.paths.gz (fetched into
 * the cache once), and picks. In the list's order; all strings in the arena. */
int crawl_list(const struct crawl_conf *conf, struct arena *a, struct crawl_file **file,
               size_t *count);
struct crawl_done {
    uint64_t fetched, bytes, requests, failed;
};
/* (crawl/haul.c) Downloads those that are not here. A file that is in the cache but not in the
 * cache's manifest is read once, and fetched again when it is damaged. done (may be NULL) counts.
 */
int crawl_fetch(const struct crawl_conf *conf, struct crawl_file *file, size_t count,
                struct crawl_done *done);
/* Both: local paths in the list's order, in the arena. */
int crawl_files(const struct crawl_conf *conf, struct arena *a, const char ***paths, size_t *count);
/* Hands out the files' bytes in list order, those not here as they arrive, without landing them: of
 * a .gz whole and verified members only, resumed by range where a connection broke. The first file
 * that fails ends it. */
int crawl_stream(const struct crawl_conf *conf, const struct crawl_file *file, size_t count,
                 const struct fetch_sink *sink, struct crawl_done *done);
/* Asks (HEAD) for the sizes of the files that are not here, of at most CRAWL_HEADS_MAX spread over
 * the list; *total: of all, as far as known or else by their mean. */
enum { CRAWL_HEADS_MAX = 100 };
int crawl_sizes(const struct crawl_conf *conf, struct crawl_file *file, size_t count,
                uint64_t *total, bool *exact);

/* ---- files fetched ahead of their reader, within a bound on the disk (crawl/ahead.c) ---- */
/* A thread fetches them in the order they will be read. What is refetched must have the size and
 * hash it had the first time, as the cache's manifest says. */
struct crawl_ahead;
/* order: indexes into file, as they will be asked for; all three outlive it. conf->cache_max is the
 * bound on the files and parts of files of this list that lie in the cache. */
int crawl_ahead_open(struct crawl_ahead **out, const struct crawl_conf *conf,
                     const struct crawl_file *file, const uint32_t *order, size_t count);
/* Waits until the file is whole; *bytes: its size. Any thread, one call for each file of the order,
 * in the order. */
int crawl_ahead_get(struct crawl_ahead *h, uint32_t index, uint64_t *bytes);
/* It was read. keep: it may stay until the room is needed; else it is removed. */
int crawl_ahead_done(struct crawl_ahead *h, uint32_t index, bool keep);
void crawl_ahead_close(struct crawl_ahead *h); /* stops the thread; NULL is fine */

/* ---- URLs (crawl/weburl.c) ---- */
struct url_parts {
    struct str scheme, host, port, path, query;
};
/* Absolute URLs (scheme://...); false: not one. Borrowed parts, no unescaping: host without user,
 * port and brackets, in the case found; path from its slash, query behind the ?, no fragment. */
bool url_split(struct str url, struct url_parts *out);
/* The host in lower case, in the arena; empty when there is none. */
struct str url_host_lower(struct arena *a, struct str url);

/* ---- sources for the pipeline (crawl/source.c) ---- */
/* Opens one input file as a source of documents: WARC (response and resource records with HTML or
 * text, conversion records as text), jsonl(.gz/.zst) with text or html and url or id, Parquet with
 * such columns (crawl/doc_table.h), or plain text (one document a file); "-" is standard input,
 * which may be a pipe (of all but Parquet). Told by content, not by name; a name with .warc or .wet
 * decides where damage leaves nothing to tell by. Every record that could hold a document becomes
 * one doc; records that are none by type (warcinfo, request, metadata, revisit) or place
 * (/robots.txt) are only counted. A record whose body is not text (image, PDF, JSON), empty, not
 * 200, over record_max or damaged, and a line that is no JSON with text, still becomes a doc,
 * already dropped by one of the rules source_rules() registered, so that the ledger knows it: its
 * raw is empty, the signal source.raw_bytes has its size. A page its crawler cut short
 * (WARC-Truncated, a segment, a chunk or an encoding that ends early) is kept unless keep_truncated
 * is false: what is there of it is text like any other, and Common Crawl's own WET files hold such
 * pages. */
struct input;
int source_rules(struct schema *schema, size_t record_max, bool keep_truncated);
/* record_max: bytes of one body, also once decoded; at most BATCH_ARENA_MAX / 4. */
int source_open(struct input **out, const char *path, uint32_t item, size_t record_max,
                const struct schema *schema);
bool source_is_page(const struct input *in); /* one document, whose url is only the file's name */
int source_fill(void *self, struct batch *b);  /* struct source.fill */
uint64_t source_bytes(const struct input *in); /* stored bytes read so far */
void source_counts(const struct input *in, struct warc_stats *out);
void source_close(struct input *in); /* NULL is fine */
#endif

/* crawl - gets web archives and reads them: Common Crawl over libcurl, WARC record by record. */
#ifndef SLUICE_CRAWL_CRAWL_H
#define SLUICE_CRAWL_CRAWL_H
#include "core/arena.h"
#include "core/io.h"
#include "core/pipe.h"
#include "crawl/warc.h"

/* ---- fetching files (crawl/fetch.c) ---- */
/* A field that is 0 or NULL takes the value in brackets. */
struct fetch_conf {
    const char *user_agent; /* must hold a contact for public hosts: "sluice/0.1 (+mail)" */
    int64_t connections;    /* at most this many at a time [4] */
    int64_t retries;        /* per file, with back-off and Retry-After [8]; -1: none */
    int64_t connect_ms;     /* give up connecting [10000] */
    int64_t stall_ms;       /* give up on less than 1 KB/s for so long [30000] */
    int64_t backoff_ms; /* wait before the first retry, doubled up to 60 s [1000]; also the least
                         * time between two retries on one host */
    uint64_t file_max;      /* bytes; more is refused [4 GiB] */
};
struct fetch_item {
    const char *url, *path;
    uint64_t bytes;         /* out: of the finished file */
    int rc;                 /* out: 0, its error, or ERR_AGAIN when it was not tried */
};
/* Downloads every item to its path, several at a time; https, http and file URLs. A partial
 * download stays beside it as PATH.part (with PATH.part.meta) and is resumed by range (If-Range)
 * next time. A file appears at its path only after its size matched and, for .gz, every gzip
 * member's CRC. Refused: more than 5 redirects, redirects to file://, from https to http, and from
 * a public to a private address. 403, 408, 429, 5xx, timeouts and broken connections are retried;
 * fewer connections are used while a server asks for patience. The other files go on when one
 * fails, but for what would fail them all (no connection, no such host, full disk). Returns the
 * error of the first item that failed; ERR_STOP soon after pipe_stop. */
int fetch_all(const struct fetch_conf *conf, struct fetch_item *items, size_t count,
              struct progress *p);
/* One small document to memory (free *out; a NUL follows it); more than max bytes is an error. */
int fetch_memory(const struct fetch_conf *conf, const char *url, size_t max, char **out,
                 size_t *len);

/* ---- Common Crawl's layout (crawl/commoncrawl.c) ---- */
struct crawl_conf {
    const char *base;       /* https://data.commoncrawl.org/, http://..., file:///...: any mirror */
    const char *crawl;      /* CC-MAIN-2024-22 */
    const char *kind;       /* warc | wet */
    int64_t files;          /* 0: all; else a deterministic sample of so many by seed */
    int64_t seed;
    const char *cache;      /* folder the files land in: <cache>/<path below base> */
    struct fetch_conf fetch;
};
extern const struct opt crawl_opts[];      /* rows over struct crawl_conf */
/* Fetches <base>/crawl-data/<crawl>/<kind>.paths.gz, picks files, downloads what is missing; out:
 * local paths in the list's order, in the arena. A file that is in the cache is finished and is not
 * asked for again, nor is the list. */
int crawl_files(const struct crawl_conf *conf, struct arena *a, const char ***paths, size_t *count);

/* ---- URLs (crawl/weburl.c) ---- */
struct url_parts { struct str scheme, host, port, path, query; };
/* Absolute URLs (scheme://...); false: not one. Borrowed parts, no unescaping: host without user,
 * port and brackets, in the case found; path from its slash, query behind the ?, no fragment. */
bool url_split(struct str url, struct url_parts *out);
/* The host in lower case, in the arena; empty when there is none. */
struct str url_host_lower(struct arena *a, struct str url);

/* ---- sources for the pipeline (crawl/source.c) ---- */
/* Opens one input file as a source of documents: WARC (response and resource records with HTML or
 * text, conversion records as text), jsonl(.gz/.zst) with text and url or id, or plain text (one
 * document a file). Told by content, not by name; a name with .warc or .wet decides where damage
 * leaves nothing to tell by. Every record that could hold a document becomes one doc; records that
 * are none by type (warcinfo, request, metadata, revisit) are only counted. A record whose body is
 * not text (image, PDF, JSON), empty, not 200, too large, truncated or damaged, and a line that is
 * no JSON with text, still becomes a doc, already dropped by one of the rules source_rules()
 * registered, so that the ledger knows it: its raw is empty, the signal source.raw_bytes has its
 * size. */
struct input;
int source_rules(struct schema *schema);
/* record_max: bytes of one body, also once decoded; at most BATCH_ARENA_MAX / 4. */
int source_open(struct input **out, const char *path, uint32_t item, size_t record_max,
                const struct schema *schema);
int source_fill(void *self, struct batch *b);                /* struct source.fill */
uint64_t source_bytes(const struct input *in);               /* stored bytes read so far */
void source_counts(const struct input *in, struct warc_stats *out);
void source_close(struct input *in);                         /* NULL is fine */
#endif

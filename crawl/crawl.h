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

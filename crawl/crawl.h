/* crawl - gets web archives and reads them: Common Crawl over libcurl, WARC record by record. */
#ifndef SLUICE_CRAWL_CRAWL_H
#define SLUICE_CRAWL_CRAWL_H
#include "core/arena.h"
#include "core/io.h"
#include "core/pipe.h"

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

/* ---- WARC (crawl/warc.c) ---- */
/* Streams a .warc, .warc.gz (per-record or whole-file gzip, ISA-L) or .warc.zst record by record in
 * fixed memory. Good records are found whatever their neighbours look like: after damage it resyncs
 * at the next gzip member or WARC/ line and counts what was lost. */
struct warc_stats {
    uint64_t records;          /* handed out, damaged ones included */
    uint64_t responses;        /* of them, of type response */
    uint64_t skipped;          /* of them, of a type that holds no document (warcinfo, request) */
    uint64_t damaged;          /* places where the file was not what it should be */
    uint64_t lost_bytes;       /* stored bytes around damage, plus decoded bytes no record owned */
    uint64_t compressed_bytes; /* stored bytes gone through */
};
struct warc_record {
    uint64_t offset;           /* in the stored file: of its gzip member, or of the record */
    struct str type, target_uri, date, record_id, content_type; /* header fields */
    struct str truncated, payload_type, segment;                /* WARC-Segment-Number */
    struct str header;         /* the whole block; folded lines are joined by blanks */
    struct str body;           /* block, cut at body_max; valid until the next call */
    uint64_t content_length;   /* as declared; else (absent, no number) of the block as found */
    bool cut;                  /* the body was longer than body_max and is not whole */
    bool damaged; /* it ends before its length is reached, or its checksum is wrong: body
                   * is what was found up to the next record or the damage. A length that
                   * is absent or too small, in front of a clean end, is only counted. */
};
struct warc_reader;
/* ERR_USAGE when path is missing or no regular file; ERR_FORMAT naming what it is (bzip2, lz4). */
int warc_open(struct warc_reader **out, const char *path, size_t body_max);
/* The same, reading buffer_bytes (>= 1) at a time: for tests of every buffer edge. */
int warc_open_buffer(struct warc_reader **out, const char *path, size_t body_max,
                     size_t buffer_bytes);
/* 1 a record, 0 the end, negative: the machine failed, or, as ERR_FORMAT at its end, the file holds
 * no record at all. Damage is a warning with counts, at the end. */
int warc_next(struct warc_reader *r, struct warc_record *rec);
const struct warc_stats *warc_stats(const struct warc_reader *r);
void warc_close(struct warc_reader *r);    /* NULL is fine */

/* Parts of an HTTP response block: status, headers, body with chunked and gzip/deflate/brotli/zstd
 * undone (out buffer from the arena, at most body_max a layer). Lenient as Common Crawl needs it:
 * bytes are trusted, headers are hints; bad chunks -> raw bytes. Returns 0, or ERR_LIMIT when the
 * arena is full. */
struct http_response {
    int status;                /* 0: the block has no status line and is all body */
    struct str content_type;   /* lower-cased type/subtype, no parameters; in the arena */
    struct str charset;        /* as in the header, quotes stripped */
    struct str body;           /* in block when nothing had to be undone, else in the arena */
    bool too_large;            /* a layer passed body_max: body is empty */
    bool partial;              /* an encoding or a chunk ended early: body is what there was */
};
int http_parse(struct arena *a, struct str block, size_t body_max, struct http_response *out);

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

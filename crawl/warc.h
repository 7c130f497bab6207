/* warc - web archives record by record: read whatever their state, checked, indexed, written. */
#ifndef SLUICE_CRAWL_WARC_H
#define SLUICE_CRAWL_WARC_H
#include "core/arena.h"
#include "core/str.h"

/* ---- reading (crawl/warc.c) ---- */
/* Streams WARC 0.x to 1.1 and ARC 1 (both URL-record forms): plain, gzip member by member or as a
 * whole (ISA-L), zstd (a dictionary in a leading skippable frame is used) in fixed memory. Good
 * records are found whatever their neighbours look like: after damage it resyncs at the next gzip
 * member, zstd frame or record line and counts what was lost, and where. */
struct warc_stats {
    uint64_t records;          /* handed out, damaged ones included */
    uint64_t responses;        /* of them, of type response */
    uint64_t skipped;          /* of them, of a type that holds no document (warcinfo, request) */
    uint64_t damaged;          /* places where the file was not what it should be */
    uint64_t lost_bytes;       /* stored bytes around damage, plus decoded bytes no record owned */
    uint64_t compressed_bytes; /* stored bytes gone through */
};
/* What a digest field turned out to be (see warc_check_digests). */
enum warc_digest {
    WARC_DIGEST_NONE,          /* no such field */
    WARC_DIGEST_GOOD,
    WARC_DIGEST_BAD,
    WARC_DIGEST_UNKNOWN,       /* an algorithm or a form that is not known */
    WARC_DIGEST_UNCHECKED,     /* not asked for, or nothing to compare: a revisit, a cut chunk */
};
struct warc_record {
    uint64_t offset;           /* in the stored file: of its gzip member, or of the record */
    uint64_t stored;           /* stored bytes of its member, or, in a plain file, of header and
                                * block: what an index calls length. 0: its member holds other
                                * records too, or the end is damaged */
    struct str type, target_uri, date, record_id, content_type; /* header fields */
    struct str truncated, payload_type, segment;                /* WARC-Segment-Number */
    struct str block_digest, payload_digest;
    struct str header;         /* the whole block; folded lines are joined by blanks */
    struct str body;           /* block, cut at body_max; valid until the next call */
    uint64_t content_length;   /* as declared; else (absent, no number) of the block as found */
    bool cut;                  /* the body was longer than body_max and is not whole */
    bool damaged; /* it ends before its length is reached, or its checksum is wrong: body
                   * is what was found up to the next record or the damage. A length that
                   * is absent or too small, in front of a clean end, is only counted. */
    bool arc;     /* an ARC 1 URL-record: type response, resource (no HTTP header) or warcinfo (the
                   * file's own), date rewritten as WARC has it, header its one line */
    enum warc_digest block_check, payload_check;
};
struct warc_reader;
/* ERR_USAGE when path is missing or no regular file; ERR_FORMAT naming what it is (bzip2, lz4). */
int warc_open(struct warc_reader **out, const char *path, size_t body_max);
/* The same, reading buffer_bytes (>= 1) at a time: for tests of every buffer edge. */
int warc_open_buffer(struct warc_reader **out, const char *path, size_t body_max,
                     size_t buffer_bytes);
/* The same from a descriptor, which may be a pipe and stays the caller's: read from where it stands
 * (a pipe) or from byte 0 (a file). Behind damage a pipe is searched from at most 1 MiB back. name
 * is for messages. */
int warc_open_fd(struct warc_reader **out, int fd, const char *name, size_t body_max);
/* From now on block and payload digests are computed and compared, whatever body_max is. */
void warc_check_digests(struct warc_reader *r);
/* 1 a record, 0 the end, negative: the machine failed, or, as ERR_FORMAT at its end, the file holds
 * no record at all. Damage is a warning with counts, at the end. With a body_max of 0 bodies are
 * stepped over where they lie: nothing is copied. */
int warc_next(struct warc_reader *r, struct warc_record *rec);
/* The next record is the one at this stored offset of a regular file, or the first behind it: the
 * record's own offset tells which. */
int warc_seek(struct warc_reader *r, uint64_t offset);
const struct warc_stats *warc_stats(const struct warc_reader *r);
/* Where the first places of damage are: stored offset (of the gzip member, where there are members)
 * and what was wrong there. *count of them; valid until warc_close. */
struct warc_damage { uint64_t offset; const char *why; };
const struct warc_damage *warc_damages(const struct warc_reader *r, size_t *count);
/* The first value of any header field of a record; ptr NULL when absent. */
struct str warc_record_field(const struct warc_record *rec, const char *name);
void warc_close(struct warc_reader *r);    /* NULL is fine */

/* ---- HTTP (crawl/http.c) ---- */
/* Parts of an HTTP response block: status, headers, body with chunked and gzip/deflate/brotli/zstd
 * undone (out buffer from the arena, at most body_max a layer). Lenient as Common Crawl needs it:
 * bytes are trusted, headers are hints; bad chunks -> raw bytes. Returns 0, or ERR_LIMIT when the
 * arena is full. */
struct http_response {
    int status;                /* 0: the block has no status line and is all body */
    struct str content_type;   /* lower-cased type/subtype, no parameters; in the arena */
    struct str charset;        /* as in the header, quotes stripped */
    struct str header;         /* status line and fields, in block */
    struct str body;           /* in block when nothing had to be undone, else in the arena */
    bool too_large;            /* a layer passed body_max: body is empty */
    bool partial;              /* an encoding or a chunk ended early: body is what there was */
};
int http_parse(struct arena *a, struct str block, size_t body_max, struct http_response *out);
/* Cuts the header off, up to and with its first blank line: *body is the rest. A block that does
 * not start with HTTP/ is all body; one without a blank line all header. */
struct str http_header(struct str block, struct str *body);
/* The first value of a field of an HTTP header block, trimmed; ptr NULL when absent. */
struct str http_field(struct str header, const char *name);

/* ---- writing (crawl/warc_write.c) ---- */
/* WARC/1.1, one gzip member or zstd frame a record, so that each can be read alone by its offset.
 * The file appears under its name, whole and synced, at warc_writer_close. The same records give
 * the same bytes: record ids are made of contents and place, dates are the caller's. One thread. */
enum warc_packing { WARC_PLAIN, WARC_GZIP, WARC_ZSTD };
enum { WARC_WRITE_FIELDS = 24 };
struct warc_field { const char *name; struct str value; };
/* A record to write. Zero-initialise; a field left empty is not written, WARC-Record-ID,
 * Content-Length and the digests are made. Line ends inside a value become blanks. */
struct warc_write {
    const char *type;          /* "warcinfo", "request", "response", "resource", "metadata",
                                * "revisit", "conversion" */
    struct str target_uri;
    struct str date;           /* "2024-05-18T01:58:10Z"; empty: now, which no rerun repeats */
    struct str content_type;   /* of the block; empty: what the type usually has */
    struct str head, body;     /* the block is both in a row: HTTP header with its blank line, then
                                * what the server sent as it came. Either may be empty. */
    struct str payload_digest; /* "sha1:..." of the original, for a revisit; else it is made */
    struct str record_id;      /* "<urn:uuid:...>" kept from elsewhere; empty: made */
    const struct warc_field *field; /* more header fields, in order: WARC-Concurrent-To,
                                     * WARC-IP-Address, WARC-Refers-To, WARC-Truncated, ... */
    size_t field_count;        /* at most WARC_WRITE_FIELDS */
};
/* What was written: for an index, and to name the record from others. */
struct warc_written {
    uint64_t offset, length;   /* stored bytes */
    char record_id[48];        /* "<urn:uuid:...>" */
    char payload_digest[40];   /* "sha1:" and 32 letters; "" when the record has none */
};
struct warc_writer;
/* path ending in .gz, .zst or anything else decides the packing. level 0: the packing's usual
 * (gzip 6 of zlib, zstd 3). */
int warc_writer_open(struct warc_writer **out, const char *path, int level);
/* The same for a file that must survive a kill between records: path itself is opened (made when it
 * is missing), cut to offset bytes (ERR_FORMAT when it has fewer) and written on from there. */
int warc_writer_resume(struct warc_writer **out, const char *path, int level, uint64_t offset);
/* Of such a file: all records so far are on disk; *offset is where the next one will start. */
int warc_writer_sync(struct warc_writer *w, uint64_t *offset);
/* SHA-1 of bytes as archives write it: "sha1:" and 32 letters. */
void warc_digest(struct str bytes, char out[40]);
/* Writes one record. out may be NULL. */
int warc_writer_record(struct warc_writer *w, const struct warc_write *rec,
                       struct warc_written *out);
/* Writes a record as it was read, its header byte for byte (but for folded lines, which were
 * joined, and a Content-Length that was wrong); an ARC record becomes the WARC record that says the
 * same. It must not be cut. */
int warc_writer_copy(struct warc_writer *w, const struct warc_record *rec,
                     struct warc_written *out);
uint64_t warc_writer_bytes(const struct warc_writer *w);   /* stored so far */
/* Ends, syncs, renames (not a resumed file) and frees w, whatever it returns. */
int warc_writer_close(struct warc_writer *w);
void warc_writer_abandon(struct warc_writer *w);           /* nothing appears; NULL is fine; a
                                                            * resumed file stays as it is */

/* ---- index keys (crawl/surt.c) ---- */
/* The URL's sort key as pywb, cdxj-indexer and Common Crawl's index have it:
 * "com,example)/path?b=1&c=2". Host reversed, without "www.", lower case; default ports, fragments
 * and session ids gone, query arguments sorted. What is no URL comes back as it is. Appended to
 * *to. */
void url_surt(struct str url, struct buf *to);
/* "2024-05-18T01:58:10Z" as 20240518015810; digits only, at most 14. */
void warc_date14(struct str date, char out[15]);
#endif

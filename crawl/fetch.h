/* fetch - downloads: many at a time, politely, resumed where they broke, and never a short file. */
#ifndef SLUICE_CRAWL_FETCH_H
#define SLUICE_CRAWL_FETCH_H
#include "core/io.h"
#include "core/log.h"
#include "core/opt.h"

struct sockaddr;

/* A field that is 0 or NULL takes the value in brackets. */
struct fetch_conf {
    const char *user_agent; /* must hold a contact for public hosts: "sluice/0.1 (+mail)" */
    int64_t connections;    /* at most this many at a time [4] */
    double requests_per_s;  /* over any minute, all hosts together [no bound] */
    uint64_t bytes_per_s;   /* over any minute, all hosts together [no bound] */
    int64_t retries;        /* per file, after the first, with back-off and Retry-After */
    int64_t connect_ms;     /* give up connecting [10000] */
    int64_t stall_ms;       /* give up on less than 1 KB/s of body for so long [30000] */
    int64_t backoff_ms;     /* wait before the first retry, doubled up to 60 s [1000]; also the
                             * least time between two retries on one host, if below 1000 */
    uint64_t file_max;      /* bytes; more is refused [4 GiB] */
    const char *ca_file;    /* certificates to trust instead of the system's [NULL] */
    bool public_only;       /* private addresses are refused whatever leads there: for URLs that
                             * come out of pages, not from the user */
    /* What counts as private [loopback, link-local, private and unspecified ranges]: for tests. */
    bool (*is_private)(const struct sockaddr *address);
    const char *const *resolve; /* NULL-ended "host:port:address", instead of DNS: for tests */
    /* of s3:// (crawl/s3.h); "" is NULL. Keys themselves are no options: see s3_credentials.h */
    const char *s3_region;      /* [of the environment, of the profile, us-east-1] */
    const char *s3_endpoint;    /* URL of a server like S3 [of the environment, Amazon's] */
    const char *s3_profile;     /* in ~/.aws/credentials [AWS_PROFILE, default] */
    const char *s3_credentials; /* auto | env | file | container | instance [auto] */
    const char *s3_style;   /* the bucket in the host or in the path: auto | host | path [auto] */
    bool s3_anonymous;      /* requests are not signed: for buckets open to all */
    bool s3_requester_pays; /* says that we pay for what we fetch */
};
/* Rows of options for a conf struct; `at` is the way to its struct fetch_conf, as in `fetch.` */
#define FETCH_ROW(conf, at, kind, field, preset, min, max, unit, help)                             \
    {                                                                                              \
        kind, #field, offsetof(conf, at field), preset, min, max, unit, help, NULL                 \
    }
#define FETCH_ROWS(conf, at)                                                                       \
    FETCH_ROW(conf, at, OPT_STR, user_agent, NULL, 0, 0, NULL,                                     \
              "what to tell servers; must hold a contact, as in \"sluice (you@example.org)\""),    \
        FETCH_ROW(conf, at, OPT_INT, connections, "4", 1, 64, "connections",                       \
                  "downloads at a time"),                                                          \
        FETCH_ROW(conf, at, OPT_FLOAT, requests_per_s, "0", 0, 1e6, "requests/s",                  \
                  "over any minute, all hosts together; 0: no bound"),                             \
        FETCH_ROW(conf, at, OPT_SIZE, bytes_per_s, "0", 0, 1e15, "bytes/s",                        \
                  "over any minute, all hosts together; 0: no bound"),                             \
        FETCH_ROW(conf, at, OPT_INT, retries, "8", 0, 1000, "tries",                               \
                  "of a file after the first"),                                                    \
        FETCH_ROW(conf, at, OPT_INT, connect_ms, "10000", 1, 3600000, "ms", "time to connect"),    \
        FETCH_ROW(conf, at, OPT_INT, stall_ms, "30000", 100, 3600000, "ms",                        \
                  "give up below 1 KB/s for so long"),                                             \
        FETCH_ROW(conf, at, OPT_INT, backoff_ms, "1000", 1, 60000, "ms",                           \
                  "wait before the first retry; doubles"),                                         \
        FETCH_ROW(conf, at, OPT_SIZE, file_max, "4G", 1, 1e15, "bytes",                            \
                  "a larger file is refused"),                                                     \
        FETCH_ROW(conf, at, OPT_STR, ca_file, NULL, 0, 0, NULL,                                    \
                  "PEM file of certificates to trust instead of the system's, for a mirror"),      \
        S3_ROWS(conf, at)
#define S3_ROWS(conf, at)                                                                          \
    FETCH_ROW(conf, at, OPT_STR, s3_region, NULL, 0, 0, NULL,                                      \
              "of s3:// buckets; empty: AWS_REGION, the profile's, us-east-1"),                    \
        FETCH_ROW(conf, at, OPT_STR, s3_endpoint, NULL, 0, 0, NULL,                                \
                  "URL of another S3 server (MinIO, R2, Ceph); empty: AWS_ENDPOINT_URL, Amazon"),  \
        FETCH_ROW(conf, at, OPT_STR, s3_profile, NULL, 0, 0, NULL,                                 \
                  "of ~/.aws/credentials; empty: AWS_PROFILE, default"),                           \
        FETCH_ROW(conf, at, OPT_ENUM, s3_credentials, "auto", 0, 0,                                \
                  "auto|env|file|container|instance", "where keys for s3:// come from"),           \
        FETCH_ROW(conf, at, OPT_ENUM, s3_style, "auto", 0, 0, "auto|host|path",                    \
                  "where an S3 request names its bucket"),                                         \
        FETCH_ROW(conf, at, OPT_BOOL, s3_anonymous, "false", 0, 0, NULL,                           \
                  "do not sign S3 requests: for buckets open to all"),                             \
        FETCH_ROW(conf, at, OPT_BOOL, s3_requester_pays, "false", 0, 0, NULL,                      \
                  "agree to pay for S3 requests where the bucket's owner does not")

/* What the server said last, for those who want to know more than the bytes. Zero-initialise;
 * fetch_answer_free. */
struct fetch_answer {
    long status;         /* HTTP; 0: file:// or nothing came */
    struct buf request;  /* the request as it was sent, headers and the empty line */
    struct buf header;   /* the response's status line and headers, as sent, to the empty line */
    char ip[64];         /* of the peer */
    char location[2048]; /* where a redirect leads, absolute; "" for none */
};
void fetch_answer_free(struct fetch_answer *a);
/* The value of a header of that name in the answer (the last one), or ptr NULL. */
struct str fetch_answer_header(const struct fetch_answer *a, const char *name);

enum fetch_flags {
    FETCH_ANY_STATUS = 1,  /* 404 and the like are results too: rc 0, the page is the body. 429,
                            * 503 and broken lines are still tried again */
    FETCH_NO_REDIRECT = 2, /* a 30x is a result (its body is the bytes), see answer->location */
    FETCH_HEAD = 4,        /* asks for headers only: `bytes` is the length said, UINT64_MAX: none */
    FETCH_CUT = 8, /* of a body that is too long the first memory->max bytes are kept: `cut` */
};
/* Takes bytes of a stream; negative ends the download with that error. */
struct fetch_sink {
    int (*take)(void *self, const void *bytes, size_t len);
    void *self;
};
/* One thing to fetch, to exactly one of path, memory and sink. */
struct fetch_item {
    const char *url;               /* https, http, file, or a scheme of crawl/transfer.h */
    const char *path;              /* the file appears here, whole and checked, or not at all */
    struct buf *memory;            /* or is appended here; at most memory->max bytes */
    const struct fetch_sink *sink; /* or goes there as it arrives, for a .gz in whole, verified
                                    * members of at most FETCH_MEMBER_MAX bytes each */
    uint64_t offset, length;       /* only these bytes (memory); length 0: all */
    const char *const *header;     /* NULL-ended "Name: value" to send besides; may be NULL */
    unsigned flags;
    uint64_t expect_bytes;       /* size and hash it must have, as an earlier fetch found them; */
    struct hash128 expect_hash;  /* expect_bytes 0: not known */
    struct fetch_answer *answer; /* NULL or filled */
    void *user;                  /* the caller's */
    /* out */
    uint64_t bytes;               /* of the finished file */
    struct hash128 hash;          /* XXH3-128 of it (path and sink) */
    char etag[256], modified[64]; /* as the server said; "" when not */
    bool cut;                     /* the body was longer (FETCH_CUT) */
    int tries;                    /* requests made, redirects not counted */
    int rc;                       /* 0, its error, or ERR_AGAIN when it was not tried */
};
enum { FETCH_MEMBER_MAX = 16 << 20 };

/* Downloads every item, several at a time. A partial download stays beside its path as PATH.part
 * (with PATH.part.meta) and is resumed by range (If-Range) next time. A file appears at its path
 * only after its size matched and, for .gz, every gzip member's CRC. Refused: more than 5
 * redirects, redirects to file://, from https to http, and from a public to a private address (the
 * address connected to is looked at, not the name). 403, 408, 429, 5xx, timeouts and broken
 * connections are retried; fewer connections are used and fewer requests made while a server asks
 * for patience or more than one try in twenty fails. The other files go on when one fails, but for
 * what would fail them all (no connection, no such host, full disk). Returns the error of the first
 * item that failed; ERR_STOP soon after pipe_stop. Names and passwords for http and https come from
 * the URL or from ~/.netrc (not with public_only). */
int fetch_all(const struct fetch_conf *conf, struct fetch_item *items, size_t count,
              struct progress *p);
/* One small document to memory (free *out; a NUL follows it); more than max bytes is an error. */
int fetch_memory(const struct fetch_conf *conf, const char *url, size_t max, char **out,
                 size_t *len);

/* The same for items that come one by one, as from a crawler's frontier. All calls come from the
 * thread that called fetch_feed. */
enum fetch_next { FETCH_END = 0, FETCH_ITEM = 1, FETCH_LATER = 2 };
struct fetch_feed {
    /* FETCH_ITEM: *item is to be fetched, and stays the caller's and in place until `done`;
     * FETCH_LATER: none now, ask again (within 100 ms); FETCH_END: none ever, once what runs is
     * done; negative: stop everything. Must not block. */
    int (*next)(void *self, struct fetch_item **item);
    /* Before the first byte of a try is kept: may `total` bytes (UINT64_MAX: not known) come in?
     * 1: yes; 0: not now: the try is given up, and made again when the answer is yes; negative: the
     * item fails. NULL: yes. */
    int (*room)(void *self, struct fetch_item *item, uint64_t total);
    /* item->rc and the rest are set (err_text() holds the reason); negative: stop everything. */
    int (*done)(void *self, struct fetch_item *item);
    void *self;
    const _Atomic bool *stop; /* NULL, or: once true, ERR_STOP soon, as after pipe_stop */
};
int fetch_feed(const struct fetch_conf *conf, const struct fetch_feed *feed, struct progress *p);

/* url with passwords and signatures blanked, for logs and manifests. to holds at least IO_PATH_MAX
 * bytes; returns to. */
const char *fetch_url_shown(const char *url, char *to);
#endif

/* landing - where a download's bytes go: a partial file, memory, or a stream of whole members. */
#ifndef SLUICE_CRAWL_LANDING_H
#define SLUICE_CRAWL_LANDING_H
#include "crawl/fetch.h"
#include "crawl/gzip_check.h"

/* Inside crawl/ only; one thread. Which version of the file the bytes are of, as the server said:
 * the text of PATH.part.meta. */
struct origin {
    char etag[256], modified[64];
    uint64_t total; /* UINT64_MAX: unknown */
};
struct landing {
    const struct fetch_item *item;
    char path[IO_PATH_MAX], part[IO_PATH_MAX], meta[IO_PATH_MAX];
    int fd;
    struct gzip_check *gzip;  /* NULL: the name does not end in .gz */
    struct hash_stream *hash; /* of the partial file, or of what the sink has taken */
    struct buf pending;       /* of a stream: a member that is not whole yet */
    struct origin origin;     /* of the bytes we have */
    uint64_t have, sent;      /* sent: of a stream, what the sink has taken: no way back behind */
    size_t memory_base;       /* what the caller's buffer held before */
    int broken;               /* an errno of our own writing */
    int rc;                   /* an error of the sink, or ERR_LIMIT for a member too large */
    char text[256];           /* and its text */
};
/* Opens and locks item->path.part, and takes up what is there if it is of this URL, still starts as
 * gzip should (.gz) and has a validator to resume by. The item must outlive it. */
int landing_open(struct landing *l, const struct fetch_item *item);
/* Forgets the bytes that can be forgotten: all, or those a sink has not taken. */
void landing_drop(struct landing *l);
/* Bytes of this version follow, at `have`: notes it beside the partial file. */
void landing_begin(struct landing *l, const struct origin *said);
enum landing_said {
    LANDING_TAKEN,
    LANDING_NOT_GZIP, /* what came is no gzip, or damaged */
    LANDING_BROKEN,   /* l->broken or l->rc says why */
};
enum landing_said landing_write(struct landing *l, const void *bytes, size_t len);
bool landing_whole(const struct landing *l); /* as far as gzip can tell */
/* The hash of what is there; the landing takes no more bytes. */
struct hash128 landing_hash(struct landing *l);
int landing_commit(struct landing *l); /* sync and rename */
void landing_close(struct landing *l); /* the partial file stays, unless it is empty */
#endif

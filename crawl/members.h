/* members - a stored file as decoded bytes, member by member, walking around what is damaged. */
#ifndef SLUICE_CRAWL_MEMBERS_H
#define SLUICE_CRAWL_MEMBERS_H
#include "core/base.h"

/* Inside crawl/ only. A plain file is one member, a gzip file has its members, a zstd file frames.
 * Reading stops at the end of every member, and the caller steps over that edge, so it always knows
 * where in the stored file the bytes it holds came from. */
struct members;
enum members_format { MEMBERS_PLAIN, MEMBERS_GZIP, MEMBERS_ZSTD };
enum members_edge {
    MEMBERS_INSIDE,   /* bytes may follow */
    MEMBERS_NEXT,     /* the member ended whole (length and checksum right), another follows */
    MEMBERS_GARBAGE,  /* it ended whole; behind it stand bytes that are no member */
    MEMBERS_DAMAGED,  /* it is cut or corrupt: what was handed out of it is not to be trusted */
    MEMBERS_END,      /* it ended whole and so does the file */
};
/* Opens a regular file and steps into its first member. buffer_bytes (>= 1) are read at a time.
 * ERR_USAGE for what is missing or no file; ERR_FORMAT naming a format that is not read (bzip2, xz,
 * lz4, zip, Parquet). */
int members_open(struct members **out, const char *path, size_t buffer_bytes);
/* The same from a descriptor, which stays the caller's: a regular file from its first byte, any
 * other as a stream from where it stands, of which at most MEMBERS_BACK_MAX bytes are kept to look
 * for members again behind damage. */
enum { MEMBERS_BACK_MAX = 1 << 20 };
int members_open_fd(struct members **out, int fd, const char *name, size_t buffer_bytes);
/* Goes back to the first byte. A stream can do so once, from when it was opened until more than
 * HOLD_MAX (16 MiB) of it was read: ERR_LIMIT after that. */
int members_rewind(struct members *m);
void members_go_on(struct members *m);   /* it will not be rewound: its start need not be kept */
/* Members that start with an ARC 1 line are taken for members behind damage, too. */
void members_expect_arc(struct members *m);
/* Up to len bytes of this member; 0 at its edge. Negative: the machine failed. */
int64_t members_read(struct members *m, void *to, size_t len);
enum members_edge members_edge(const struct members *m);
/* Steps over an edge: into the next member, or, behind damage, to the next gzip header whose data
 * start with "WARC/" (zstd: the next frame header). The edge is then INSIDE, or END. */
int members_step(struct members *m);
/* True when members_peek and members_skip work: a regular file. */
bool members_seekable(const struct members *m);
/* Goes to stored offset `at` of a seekable file, where a member starts (or is looked for). */
int members_seek(struct members *m, uint64_t at);
/* Moves a plain seekable file on by n bytes that no one reads; they must be there. */
void members_skip(struct members *m, uint64_t n);
/* Looks at stored bytes [at, at + len) without moving: how many there are. */
int64_t members_peek(const struct members *m, uint64_t at, void *to, size_t len);
enum members_format members_format(const struct members *m);
uint64_t members_start(const struct members *m);    /* stored offset of this member */
uint64_t members_stored(const struct members *m);   /* stored bytes gone through */
uint64_t members_size(const struct members *m);     /* of the file, when it was opened; of a
                                                     * stream what came of it so far */
uint64_t members_lost(const struct members *m);     /* stored bytes that gave nothing to trust */
const char *members_path(const struct members *m);
const char *members_why(const struct members *m);   /* what was wrong at a damaged edge */
void members_close(struct members *m);              /* NULL is fine */

/* crawl/warc.c: a reader of records over members opened and perhaps looked into; it owns them, and
 * closes them when it fails. */
struct warc_reader;
int warc_open_members(struct warc_reader **out, struct members *m, size_t body_max);

/* Memory of *bytes or a little more (*bytes tells), for free(): a large buffer lies on huge pages
 * where the kernel has some, or page faults are 3 % of reading a file of 20 MB. NULL: no memory. */
void *members_buffer(size_t *bytes);

/* Length of the gzip header at `at` (whose magic was checked), or 0 when len bytes do not hold it
 * all: then *want is the length to ask again with. */
enum { MEMBERS_GZIP_HEADER_MAX = 256 << 10 };
size_t members_gzip_header(const unsigned char *at, size_t len, size_t *want);
#endif

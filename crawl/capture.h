/* capture - visits written into WARC files that roll over, know what they hold and survive a kill.
 */
#ifndef SLUICE_CRAWL_CAPTURE_H
#define SLUICE_CRAWL_CAPTURE_H
#include "crawl/visit.h"

/* Inside crawl/ only; one thread. Files are DIR/NAME-00000.warc.gz and so on. One that is still
 * written to is called DIR/.NAME-00000.warc.gz, so that no pattern finds it; it gets its name once
 * it is complete and never changes again. */
struct capture_conf {
    const char *dir, *prefix; /* prefix "": sluice-YYYYMMDDhhmmss, of the file's first second */
    uint64_t warc_size;       /* a file that has so many bytes is complete */
    struct str info;          /* fields of its warcinfo record */
    bool revisits;            /* a payload seen before is written as a revisit */
};
struct capture_page {
    const struct visit *visit;
    struct str url, via, seed; /* via, seed: empty when there is none */
    const char *path;          /* "LLR", or "P" for what had to be known first (robots.txt) */
    struct str charset;        /* empty: not known */
    int64_t outlinks;          /* -1: not looked for */
};
struct capture;
int capture_open(struct capture **out, const struct capture_conf *conf);
/* What the journal knows, before the first capture_write: files in order (the last one not complete
 * and its length at the checkpoint, or complete), and digests ("sha1:... DATE URL" as capture_write
 * gave them). */
int capture_replay_file(struct capture *c, struct str name, struct str info_id);
int capture_replay_complete(struct capture *c, struct str name, uint64_t bytes);
int capture_replay_digest(struct capture *c, struct str known);
/* Brings the files to that state: what was written behind the checkpoint is cut off, leftovers go.
 */
int capture_ready(struct capture *c, uint64_t bytes);
/* Writes response (or, when the same payload of a 200 was written before, revisit), request and
 * metadata. *revisit says which. known: what capture_replay_digest wants, "" for none. */
enum { CAPTURE_KNOWN_MAX = 96 + URL_BYTES_MAX };
int capture_write(struct capture *c, const struct capture_page *p, bool *revisit,
                  char known[CAPTURE_KNOWN_MAX]);
/* True when the current file is full and capture_complete is due. */
bool capture_full(const struct capture *c);
/* Everything so far is on disk. The current file's name, its warcinfo's id and its bytes, for the
 * journal; name is "" when there is none. */
int capture_sync(struct capture *c, const char **name, const char **info_id, uint64_t *bytes);
/* After the journal noted that it is complete: gives the current file its name. */
int capture_complete(struct capture *c);
/* Paths of the complete files, in order. */
size_t capture_files(const struct capture *c, const char *const **path);
uint64_t capture_bytes(const struct capture *c); /* stored, of all files of this run */
void capture_close(struct capture *c);           /* NULL is fine */
#endif

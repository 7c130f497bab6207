/* fetched - the manifest of a cache: what was downloaded, whence, and what it was. */
#ifndef SLUICE_CRAWL_FETCHED_H
#define SLUICE_CRAWL_FETCHED_H
#include "crawl/fetch.h"

/* <cache>/manifest.jsonl, one line a finished download, the last line of a path counts:
 * {"path","url","bytes","xxh3","etag","last_modified","date","requests"}. Lines are appended under
 * a lock (<cache>/manifest.lock), each by one synced write, so that processes may share a cache; a
 * line that was cut by a crash is passed over. URLs stand there without passwords and signatures.
 * Lines stay when their file is removed: what is fetched again must be the same. */
struct fetched;
struct fetched_file {
    const char *path; /* below the cache; with the next two borrowed from the table */
    uint64_t bytes;
    struct hash128 hash;
};
/* Reads the manifest, when there is one; about 250 bytes of memory for each file in it. One thread
 * at a time. */
int fetched_open(struct fetched **out, const char *cache);
/* What is known of a path; NULL: nothing. */
const struct fetched_file *fetched_find(const struct fetched *t, const char *path);
/* Notes a finished item (with path, below the cache); a line is written unless it says nothing
 * new. */
int fetched_add(struct fetched *t, const char *path, const struct fetch_item *item);
/* Files appear in the cache only when they are whole: one that the manifest knows, and that has the
 * size it had, is finished. *size: as in the manifest, 0 when it is not there. */
bool fetched_is_here(const struct fetched *t, const char *name, const char *path, uint64_t *size);
/* Reads a file that the manifest does not know, as people copy them into a cache: 1 it is whole and
 * noted now, 0 it is not, or not there. */
int fetched_adopt(struct fetched *t, const char *name, const char *path, const char *url);
void fetched_close(struct fetched *t); /* NULL is fine */
#endif

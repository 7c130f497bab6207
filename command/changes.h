/* changes - what was done to a run's store since it was built: RUN/changes.jsonl and
 * RUN/removed.txt.
 *
 * removed.txt has an id a line, in the order in which removals were asked for; it only grows, and
 * no document with one of its ids comes into the store again. changes.jsonl has a line a change, in
 * order, noted before the change begins ("state":"begun") and again when all of it is done:
 *   {"change":"append","state":..,"from":FOLDER,"identity":HEX,"removed_before":lines of
 *    removed.txt then,"documents":..,"tokens":..,"time":..}
 *   {"change":"remove","state":..,"ids_from":line of removed.txt,"ids":lines,..}
 * A store that is built again from RUN/tokens gets all of them again, and has the same identity. */
#ifndef SLUICE_COMMAND_CHANGES_H
#define SLUICE_COMMAND_CHANGES_H
#include "command/run.h"

struct change {
    bool append, done; /* append, or remove */
    char from[STORE_ORIGIN_PATH_MAX];
    struct hash128 identity;
    uint64_t removed_before, ids_from, ids, documents, tokens;
    char time[32];
};
struct changes {
    char dir[IO_PATH_MAX];
    struct change *entry;
    size_t count;
    uint64_t *removed; /* ids in the order of removed.txt */
    size_t removed_count;
};
/* Reads both files; a run without them has none. */
int changes_open(struct changes *c, const char *run_dir);
/* Notes what is about to be done, with the ids of a removal that removed.txt does not have yet. */
int changes_begin(struct changes *c, const struct change *now, const uint64_t *ids, size_t count);
/* The last entry is done, with these numbers; or it is to be forgotten. */
int changes_end(struct changes *c, uint64_t documents, uint64_t tokens);
int changes_forget(struct changes *c);
void changes_close(struct changes *c); /* also of a zeroed one */

/* What an append did. */
struct appended {
    uint64_t documents, tokens, left_out; /* left_out: removed.txt has their id */
};
/* Appends the store of folder `from` to that of `dir`; of removed.txt the first removed_before ids
 * are kept out. *identity, when not zero, is what the store of `from` must have. */
int changes_append(const struct changes *c, const char *from, uint64_t removed_before,
                   struct hash128 identity, struct appended *out);
/* Does all that was noted once more, to a store that was built again. */
int changes_replay(const char *run_dir);
/* DIR/store, or DIR when data.mdb lies in it. */
int changes_store_path(const char *dir, char out[IO_PATH_MAX]);
#endif

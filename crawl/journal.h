/* journal - a log of lines that survives a kill: after it, all is as at the last checkpoint. */
#ifndef SLUICE_CRAWL_JOURNAL_H
#define SLUICE_CRAWL_JOURNAL_H
#include "core/str.h"

/* Inside crawl/ only; one thread. Lines wait in memory until a checkpoint writes and syncs them
 * with a closing line that holds the hash of everything before it; what is behind the last good
 * closing line is cut off when the file is opened again. So whoever syncs another file first and
 * notes its length in the checkpoint can bring both back to the same moment. The file is locked
 * while open. */
struct journal;
struct journal_reader {
    /* Each line of the good part, in order, the checkpoints' own texts included (is_checkpoint);
     * negative ends the opening with that error. */
    int (*line)(void *self, struct str line, bool is_checkpoint);
    void *self;
};
/* Opens or makes path and plays back what is good. ERR_AGAIN when another process has it open. */
int journal_open(struct journal **out, const char *path, const struct journal_reader *reader);
/* Adds a line (its line ends become blanks). Nothing can fail here: memory that runs out is told by
 * the checkpoint. */
void journal_line(struct journal *j, const char *fmt, ...) PRINTF_LIKE(2, 3);
size_t journal_waiting(const struct journal *j); /* bytes not yet on disk */
int journal_checkpoint(struct journal *j, const char *fmt, ...) PRINTF_LIKE(2, 3);
void journal_close(struct journal *j); /* lines behind the last checkpoint are lost */
#endif

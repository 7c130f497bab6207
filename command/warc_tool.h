/* warc_tool - what the verbs of `sluice warc` share: their flags and how a file is opened. */
#ifndef SLUICE_COMMAND_WARC_TOOL_H
#define SLUICE_COMMAND_WARC_TOOL_H
#include "crawl/warc.h"

struct warc_flags {
    bool json, payload, digests, sort, keep_damaged;
    int64_t offset, level;
    const char *url, *record_id;
    uint64_t record_max;
};
/* Opens a file, or standard input for "-". */
int warc_tool_open(struct warc_reader **out, const char *path, size_t body_max);
/* HTTP status of a response or revisit, 0 where there is none; *head is its header. */
int warc_tool_status(const struct warc_record *rec, struct str *head);
/* `sluice warc index`: a CDXJ line for each record of the files that has a page, on stdout. */
int warc_index(const struct warc_flags *flags, int count, char **paths);
#endif

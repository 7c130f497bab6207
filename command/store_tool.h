/* store_tool - what the files of `sluice store` share. */
#ifndef SLUICE_COMMAND_STORE_TOOL_H
#define SLUICE_COMMAND_STORE_TOOL_H
#include "store/store.h"

struct store_flags {
    const char *run, *domain, *format, *out, *prefix;
    bool json, dry_run;
    int64_t step, row, limit;
};
/* Where a document came from, by its id, out of the ledger. */
struct origin {
    uint64_t id, offset;
    uint32_t record;
    bool found;
    char *url, *source; /* owned; NULL until found */
};
/* One read of the ledger fills all of count origins, whose ids are given; they are sorted by id. */
int origins_find(const char *run_dir, struct origin *origin, size_t count);
const struct origin *origins_at(const struct origin *origin, size_t count, uint64_t id);
void origins_free(struct origin *origin, size_t count);

/* ---- what verbs share (command/store_io.c) ---- */
/* Opens the store of --run=DIR: DIR/store, or DIR itself where data.mdb lies in it. */
int store_of_run(const struct store_flags *flags, struct store **s);
/* Number of the domain that --domain names; -1: none was named. */
int store_domain_flag(const struct store_flags *flags, const struct store *s, int *domain);

/* ---- verbs (command/store_rows.c, command/store_io.c) ---- */
int store_trace(const struct store_flags *flags, struct arena *a);
int store_write_files(const struct store_flags *flags); /* export */
int store_mix(const struct store_flags *flags, struct arena *a);
#endif

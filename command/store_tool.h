/* store_tool - what the files of `sluice store` share. */
#ifndef SLUICE_COMMAND_STORE_TOOL_H
#define SLUICE_COMMAND_STORE_TOOL_H
#include "command/mixture.h"

struct store_flags {
    const char *run, *domain, *view, *name, *format, *out, *prefix, *tokenizer, *from, *ids;
    bool json, dry_run;
    int64_t step, row, limit, separator, width;
    double heldout;
};
/* Where a document came from, by its id, out of the ledger. */
struct origin {
    uint64_t id, offset;
    uint32_t record;
    bool found;
    char *url, *source; /* owned; NULL until found */
};
/* One read of the run's ledger, and of the ledgers of the runs whose documents were appended to s,
 * fills all of count origins, whose ids are given; they are sorted by id. */
int origins_find(const char *run_dir, const struct store *s, struct origin *origin, size_t count);
const struct origin *origins_at(const struct origin *origin, size_t count, uint64_t id);
void origins_free(struct origin *origin, size_t count);

/* ---- what verbs share (command/store_io.c) ---- */
/* Opens the store of --run=DIR: DIR/store, that of the run DIR was told to train on, or DIR itself
 * where data.mdb lies in it. */
int store_of_run(const struct store_flags *flags, struct store **s);
int store_format_find(const char *name); /* enum store_format, or ERR_USAGE */
/* Number of the domain that --domain names; -1: none was named. */
int store_domain_flag(const struct store_flags *flags, const struct store *s, int *domain);

/* Calls fn for every document that DIR, a folder made by `sluice store import`, itself holds, with
 * the file it was read from; fn returns 1 to stop, <0 for an error (command/store_import.c). */
typedef int import_seen(void *arg, const struct store_doc *doc, struct str path);
int import_walk(const char *dir, import_seen *fn, void *arg);
/* The files that DIR/import.json names, by number; in a. */
int import_paths(const char *dir, struct arena *a, struct str **path, uint32_t *count);
/* Text of a view's documents as JSON lines, in the order of the corpus (by input and record), to
 * path ("-": standard output): id, text, domain, and from the ledger, where the run has it, url and
 * metadata (command/store_jsonl.c). */
struct token_view;
int store_write_jsonl(const struct store_flags *flags, struct store *s,
                      const struct token_view *view, const char *path, uint64_t *tokens);

/* A run with its store, and the order in which its training reads it. */
struct store_rows {
    struct run run;
    struct recipe *recipe;
    struct store *store;
    struct loader *loader;
    struct mixture mixture;
};
/* partial: a plan that runs out of rows is taken as far as it goes. Closed also after a failure. */
int store_rows_open(struct store_rows *r, const char *dir, bool partial, struct arena *a);
void store_rows_close(struct store_rows *r);

/* ---- verbs (command/store_rows.c, and where it says so) ---- */
int store_trace(const struct store_flags *flags, struct arena *a);
int store_find(const struct store_flags *flags, const char *text); /* command/store_find.c */
/* predicate NULL: lists what may be asked (command/store_view.c). */
int store_view(const struct store_flags *flags, const char *predicate);
/* ls: a line (or with --json an object behind a comma) for each RUN/views/NAME.view. */
int store_list_views(const struct store_flags *flags, struct store *s);
int store_write_files(const struct store_flags *flags); /* export (command/store_io.c) */
/* import (command/store_import.c): paths as given; *a holds what is made of them. */
int store_read_files(const struct store_flags *flags, char **path, int count, struct arena *a);
int store_mix(const struct store_flags *flags, struct arena *a);
/* append and remove (command/store_change.c) */
int store_append_run(const struct store_flags *flags, struct arena *a);
int store_remove_ids(const struct store_flags *flags, struct arena *a);
#endif

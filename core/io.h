/* io - files in and out: streams that decompress, files that appear whole or not at all,
 * manifests. */
#ifndef SLUICE_CORE_IO_H
#define SLUICE_CORE_IO_H
#include "core/arena.h"
#include "core/hash.h"
#include "core/str.h"
#include <stdio.h>

enum {
    IO_PATH_MAX = 4096,          /* bytes of a path, NUL included */
    IO_LINE_MAX = 64 << 20,      /* bytes of one line a reader returns; longer is ERR_FORMAT */
};

/* ---- whole files ---- */
/* Reads a file of at most max bytes to the heap (free *out); a NUL not counted in *out_len stands
 * behind it. A directory or a missing file is ERR_USAGE, one over max ERR_LIMIT, each naming path
 * and remedy. */
int io_read_file(const char *path, size_t max, char **out, size_t *out_len);
/* Writes bytes to path by the atomic way below. */
int io_write_file(const char *path, struct str bytes);
bool io_exists(const char *path);
int io_size(const char *path, uint64_t *bytes);
int io_mkdirs(const char *path);                       /* mkdir -p */
int io_remove_tree(const char *path);              /* rm -r; never follows links; missing is fine */
/* Joins into a caller's buffer of IO_PATH_MAX; ERR_LIMIT when it does not fit. */
int io_path(char *out, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* Sorted list of the files that match a glob, a directory (its own files) or a single path; strings
 * live in the arena. Folders, hidden files and writers' temp files are left out. "-" is itself.
 * ERR_USAGE naming the pattern when nothing matches. */
int io_glob(const char *pattern, struct arena *a, const char ***paths, size_t *count);
/* Opens a file (no directory) for reading: the descriptor, or ERR_USAGE when there is none. *bytes:
 * its size, 0 when it is not a regular file. For readers that need the file itself. */
int io_open_file(const char *path, uint64_t *bytes);

/* ---- reading streams ---- */
/* Plain, gzip (any number of members, ISA-L) or zstd, told by magic bytes, never by name. Memory is
 * fixed whatever the file's size. One thread at a time. "-" is standard input. */
struct io_reader;
int io_open(struct io_reader **out, const char *path);
/* Up to len bytes; 0 at the end. A cut or damaged stream is ERR_FORMAT with file and byte
 * offset. */
int64_t io_read(struct io_reader *r, void *to, size_t len);
/* The next line without its \n (and \r); valid until the next call. 1 a line, 0 end. */
int io_read_line(struct io_reader *r, struct str *line);
uint64_t io_offset(const struct io_reader *r);         /* decompressed bytes handed out so far */
void io_close(struct io_reader *r);

/* ---- writing: temp file in the same folder -> fsync -> rename -> fsync folder ---- */
enum io_format { IO_PLAIN, IO_ZSTD, IO_GZIP };
struct io_writer;
/* Starts PATH.tmp-PID; nothing appears at path before io_commit. Creates missing folders. */
int io_create(struct io_writer **out, const char *path, enum io_format format, int level);
int io_write(struct io_writer *w, const void *bytes, size_t len);
int io_write_str(struct io_writer *w, struct str s);
uint64_t io_written(const struct io_writer *w);        /* uncompressed bytes so far */
/* Ends the stream, syncs, renames and frees w, whatever it returns. *info (may be NULL): the file's
 * size on disk and its XXH3-128. On failure the temp file is gone and path is as it was. */
struct io_info { uint64_t bytes; struct hash128 hash; };
int io_commit(struct io_writer *w, struct io_info *info);
void io_abandon(struct io_writer *w);                  /* removes the temp file; NULL is fine */
/* The folder's entry on disk: after renames done by other means (LMDB). */
int io_sync_dir(const char *dir);
/* Removes leftover files (*.tmp-DIGITS) of dead processes below dir. A live writer holds a lock on
 * its temp file, so that one on another machine of a shared disk is not robbed. */
int io_sweep_temps(const char *dir);
/* True when name is that of a writer's temp file; *pid (may be NULL) is its process. */
bool io_is_temp(const char *name, uint64_t *pid);
int io_hash_file(const char *path, struct io_info *info);

/* ---- manifests: what a task finished ---- */
/* One JSON file a task: {"task","shard","shards","recipe","outputs":[{"path","bytes","xxh3"}],
 * "counts":{...},"seal"}; seal is the XXH3-128 of the text before it. It is written last; its
 * presence with outputs of the right size means the task is done. Zero-initialise, manifest_free at
 * the end. */
enum { MANIFEST_OUTPUTS_MAX = 4096, MANIFEST_COUNTS_MAX = 64 };
struct manifest_count { char name[48]; uint64_t value; };
struct manifest {
    char task[48], recipe_hash[33];
    uint32_t shard, shard_count;
    struct manifest_output {
        char path[256];                 /* relative to the run */
        struct io_info info;
    } *output;
    uint32_t output_count;
    struct manifest_count count[MANIFEST_COUNTS_MAX];
    uint32_t count_count;
};
int manifest_add_output(struct manifest *m, const char *relative_path, const struct io_info *info);
/* Adds to a count of that name. */
int manifest_add_count(struct manifest *m, const char *name, uint64_t value);
uint64_t manifest_get_count(const struct manifest *m, const char *name);      /* 0 when absent */
/* Writes path (run_dir is only where the outputs lie); an output that is not there with the size it
 * was given is ERR_IO. */
int manifest_write(const struct manifest *m, const char *run_dir, const char *path);
/* 1 when path holds a manifest of this recipe hash and every output exists with its size (and, with
 * verify, its hash): *m then is its contents, to be freed. 0, with *m empty, when there is none, it
 * is damaged or edited, or an output is missing or other (then the task must be redone); ERR_USAGE
 * when it was written by another recipe. An output whose hash is zero was changed in place since
 * (the store, whose blocks have sums of their own): of it only the size is checked. */
int manifest_check(struct manifest *m, const char *run_dir, const char *path,
                   const char *recipe_hash, bool verify);
/* 1 and the contents of a manifest that is as it was written, whatever its outputs are by now; 0
 * when there is none or it is damaged. To be freed. */
int manifest_read(struct manifest *m, const char *path);
void manifest_free(struct manifest *m);
#endif

/* pipe - the stage interface, and the runner that carries a batch through every stage. */
#ifndef SLUICE_CORE_PIPE_H
#define SLUICE_CORE_PIPE_H
#include "core/doc.h"
#include "core/log.h"
#include "core/opt.h"
#include "core/pool.h"

/* A stage measures and judges the live documents of a batch. It must not keep pointers into a
 * batch. */
struct stage {
    const struct stage_type *type;
    const char *name;    /* as in the recipe; rules and signals are named after the type */
    void *conf;          /* conf_size bytes filled from the recipe before open */
    void *shared;        /* made by open, freed by close; read-only while running */
    struct arena *arena; /* for strings of conf; lives as long as the stage */
    const char *run_dir; /* where a stage may look for models made before; may be NULL */
};
struct stage_type {
    const char *name, *help, *source;
    const struct opt *opts;       /* rows over conf; may be NULL */
    size_t conf_size, local_size; /* bytes; the runner makes and zeroes both */
    /* Once, on the main thread: load models, register signals and rules. */
    int (*open)(struct stage *s, struct schema *schema);
    /* Once per worker before its first batch; may be NULL. */
    int (*local_open)(struct stage *s, void *local);
    /* Any thread, many batches at a time; walks b->live[]. Errors are the machine's, never a
     * document's. */
    int (*run)(struct stage *s, void *local, struct batch *b);
    void (*local_close)(struct stage *s, void *local); /* may be NULL */
    void (*close)(struct stage *s);                    /* may be NULL; must bear a failed open */
};

/* Where batches come from: fill() adds documents to b until batch_full() or the end.
 * Returns 1 when it filled something and there may be more, 0 at the end (b may hold the last
 * ones). */
struct source {
    int (*fill)(void *self, struct batch *b);
    void *self;
};
/* Where they go: called in reading order, one batch at a time, with dropped documents still inside.
 */
struct sink {
    int (*take)(void *self, struct batch *b);
    void *self;
};

/* progress (may be NULL) is bumped by documents; bytes are the caller's, who knows what its total
 * counts. */
struct pipe_conf {
    int threads;
    int batches; /* 0: threads + 2 */
    struct progress *progress;
};
/* Runs source -> stages -> sink. The same bytes reach the sink for any number of threads. The first
 * error stops everything and is returned (its text in the caller's thread). Polls pipe_stop. */
int pipe_run(struct stage *stages, int stage_count, struct source source, struct sink sink,
             const struct pipe_conf *conf);
/* Bytes of memory pipe_run will hold at most per batch and per thread, for the --memory check. */
uint64_t pipe_memory(const struct pipe_conf *conf);
/* Set by the signal handler: the runner finishes the batches in flight and returns ERR_STOP. */
extern _Atomic int pipe_stop;
#endif

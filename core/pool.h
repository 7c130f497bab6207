/* pool - worker threads, and bounded queues between them. */
#ifndef SLUICE_CORE_POOL_H
#define SLUICE_CORE_POOL_H
#include "core/base.h"

struct pool;
enum { POOL_THREADS_MAX = 256 };
/* threads 0: one per online core. Fewer are started (with a warning) when the system refuses. */
int pool_open(struct pool **out, int threads);
int pool_threads(const struct pool *p);
/* Calls fn(arg, index, thread) for index 0..count-1, each once, on the pool's threads (the caller's
 * is thread 0); returns when all are done. Order is not defined. Not reentrant. */
void pool_each(struct pool *p, int count, void (*fn)(void *arg, int index, int thread), void *arg);
/* The same for work that can fail: once a call has returned less than 0 no further ones begin, and
 * its code and text are the error returned. */
int pool_try(struct pool *p, int count, int (*fn)(void *arg, int index, int thread), void *arg);
void pool_close(struct pool *p);

/* A bounded queue of pointers: any number of producers and consumers. */
struct queue;
int queue_open(struct queue **out, int capacity);
bool queue_put(struct queue *q, void *item); /* blocks while full; false once closed */
void *queue_take(struct queue *q);           /* blocks while empty; NULL once closed and empty */
void queue_shut(struct queue *q);            /* wakes everyone: puts fail, takes drain */
void queue_close(struct queue *q);           /* frees; nobody may be waiting */
#endif

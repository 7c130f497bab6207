/* log - people read stderr, programs read metrics.jsonl; colour and animation only on a
 * terminal. */
#ifndef SLUICE_CORE_LOG_H
#define SLUICE_CORE_LOG_H
#include "core/str.h"
#include <stdatomic.h>

enum log_level { LOG_QUIET, LOG_WARN, LOG_INFO, LOG_DEBUG };
void log_open(enum log_level level);      /* reads NO_COLOR, TERM, isatty(2) */
void log_info(const char *fmt, ...) PRINTF_LIKE(1, 2);   /* one line; control characters stripped */
void log_warn(const char *fmt, ...) PRINTF_LIKE(1, 2);
void log_debug(const char *fmt, ...) PRINTF_LIKE(1, 2);
bool log_is_terminal(void);

/* Progress of one task: "extract 412/1000 records 41% 18.3 MB/s 4.1k docs/s kept 38.2% ETA 1h12m".
 * Redrawn at most 5 times a second on a terminal, a plain line every 30 s elsewhere. Counters may
 * be bumped by any thread. */
struct progress {
    char what[64];
    const char *unit;                /* "records", "steps" */
    uint64_t total, bytes_total;     /* 0: unknown */
    _Atomic uint64_t done, bytes, kept;
    uint64_t start_ns;
    _Atomic uint64_t shown_ns;
    bool show_kept;
};
/* Resets everything; set bytes_total and show_kept behind it. */
void progress_begin(struct progress *p, const char *what, const char *unit, uint64_t total);
void progress_add(struct progress *p, uint64_t done, uint64_t bytes, uint64_t kept);
/* Draws now, with a text behind the line. */
void progress_note(struct progress *p, const char *fmt, ...) PRINTF_LIKE(2, 3);
void progress_end(struct progress *p);   /* final line with totals and rates */
/* The line itself as it stands after elapsed_ns: for status pages and tests. ETA and share come
 * from bytes when bytes_total is known, else from total. */
void progress_text(const struct progress *p, uint64_t elapsed_ns, bool final, struct buf *to);

/* Appends {"time":...,"name":...,"value":...,"unit":...} rows to metrics.jsonl of a run.
 * Thread-safe; does nothing before metrics_open. */
int metrics_open(const char *path);
void metric(const char *name, double value, const char *unit);
void metrics_close(void);
uint64_t clock_ns(void);                 /* monotonic */
#endif

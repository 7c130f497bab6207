/* err - one pending error per thread: set where it happens, printed once, by main(). */
#ifndef SLUICE_CORE_ERR_H
#define SLUICE_CORE_ERR_H
#include "core/base.h"
#ifdef __cplusplus
extern "C" {
#endif

/* Every fallible call returns 0 or more on success and one of these (negative) on failure. The exit
 * code of the program follows from it: see err_exit_code(). A bad document is never an error. */
enum err {
    ERR_OK = 0,
    ERR_USAGE = -1,  /* wrong flag, recipe or argument: exit 2 */
    ERR_IO = -2,     /* disk, permission, network refused for good: exit 1 */
    ERR_FORMAT = -3, /* an input file is damaged or not what it should be: exit 3 */
    ERR_LIMIT = -4,  /* a named limit or the memory budget is too small: exit 1 */
    ERR_GPU = -5,    /* CUDA failed: exit 1 */
    ERR_STOP = -6,   /* stopped by a signal, state saved: exit 130 */
    ERR_GATE = -7,   /* a quality gate failed: exit 4 */
    ERR_AGAIN = -8,  /* temporary (full disk, busy server): free or wait, then run again: exit 75 */
};

/* Sets this thread's error text ("what, where, the number and the remedy") and returns code, so
 * that one writes `return err_set(ERR_IO, "store: open %s: %s", path, strerror(errno));`. */
int err_set(int code, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* As err_set for a failed system call: adds strerror(errno); ENOSPC and EDQUOT become ERR_AGAIN
 * with "free space on the disk, then run the same command". */
int err_sys(const char *fmt, ...) PRINTF_LIKE(1, 2);
/* Adds context in front of the pending text ("shard 3: ...") and returns code unchanged. */
int err_in(int code, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* The pending text of this thread; valid until the next err_* call of this thread. "" when none. */
const char *err_text(void);
void err_clear(void);
/* Carries an error from a worker thread to its caller's thread. */
void err_copy_to(char *to, size_t to_bytes);
int err_exit_code(int code);

#define TRY(call) do { int try_rc_ = (call); if (try_rc_ < 0) return try_rc_; } while (0)
/* The same inside a function with an `out:` label and an `int rc`. */
#define TRY_OUT(call) do { rc = (call); if (rc < 0) goto out; } while (0)

#ifdef __cplusplus
}
#endif
#endif

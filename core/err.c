/* err - the pending error of each thread. */
#include "core/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { ERR_TEXT_MAX = 2048 };
static _Thread_local char text[ERR_TEXT_MAX];

int err_set(int code, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    char fresh[ERR_TEXT_MAX]; /* fmt's arguments may point into text */
    vsnprintf(fresh, sizeof fresh, fmt, args);
    va_end(args);
    memcpy(text, fresh, sizeof text);
    return code;
}

int err_sys(const char *fmt, ...)
{
    int error = errno;
    char what[ERR_TEXT_MAX / 2];
    va_list args;
    va_start(args, fmt);
    vsnprintf(what, sizeof what, fmt, args);
    va_end(args);
    if (error == ENOSPC || error == EDQUOT)
        return err_set(ERR_AGAIN, "%s: %s: free space on the disk, then run the same command", what,
                       strerror(error));
    if (error == EACCES || error == EPERM)
        return err_set(ERR_IO, "%s: %s: check owner and mode of the file and its folder", what,
                       strerror(error));
    return err_set(ERR_IO, "%s: %s", what, strerror(error));
}

int err_in(int code, const char *fmt, ...)
{
    char front[ERR_TEXT_MAX / 2], joined[ERR_TEXT_MAX * 2];
    va_list args;
    va_start(args, fmt);
    vsnprintf(front, sizeof front, fmt, args);
    va_end(args);
    snprintf(joined, sizeof joined, "%s: %s", front, text);
    joined[ERR_TEXT_MAX - 1] = 0;
    memcpy(text, joined, sizeof text);
    return code;
}

const char *err_text(void) { return text; }

void err_clear(void) { text[0] = 0; }

void err_copy_to(char *to, size_t to_bytes) { snprintf(to, to_bytes, "%s", text); }

int err_exit_code(int code)
{
    switch (code) {
    case ERR_USAGE: return 2;
    case ERR_FORMAT: return 3;
    case ERR_GATE: return 4;
    case ERR_AGAIN: return 75;
    case ERR_STOP: return 130;
    default: return code < 0 ? 1 : 0;
    }
}

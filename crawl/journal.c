/* journal - lines, checkpoints, and the way back to the last good one. */
#include "crawl/journal.h"

#include "core/err.h"
#include "core/hash.h"
#include "core/io.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { HASH_DIGITS = 16, LINE_BYTES_MAX = 1 << 16 };

/* A closing line: "! <text> <16 hex digits>"; the hash covers all lines since the last closing
 * line, its own text, and is seeded with the last hash, so that no part can be swapped. */
struct journal {
    int fd;
    char path[IO_PATH_MAX];
    struct buf waiting;
    uint64_t hash, length; /* of the good part */
};

/* ---- reading ---- */
static bool closing_good(struct str line, struct str part, uint64_t seed, uint64_t *hash,
                         struct str *text)
{
    if (!str_starts(line, "! ") || line.len < HASH_DIGITS + 3)
        return false;
    struct str digits = str_slice(line, line.len - HASH_DIGITS, line.len);
    char want[HASH_DIGITS + 1];
    *text = str_slice(line, 2, line.len - HASH_DIGITS - 1);
    *hash = hash_str(part, seed);
    snprintf(want, sizeof want, "%016llx", (unsigned long long)*hash);
    return str_is(digits, want);
}

/* The lines of one part, between two checkpoints, are only told when its closing line is good. */
static int play(struct journal *j, struct str all, const struct journal_reader *reader)
{
    struct str rest = all;
    const char *part = all.ptr;
    while (rest.ptr && rest.len) {
        struct str behind, text, line = str_cut(rest, '\n', &behind);
        if (!behind.ptr)
            return 0;
        rest = behind;
        uint64_t hash;
        size_t part_len = (size_t)(line.ptr + line.len - HASH_DIGITS - part);
        if (!str_starts(line, "! "))
            continue;
        if (line.len < HASH_DIGITS + 3 ||
            !closing_good(line, (struct str){part, part_len}, j->hash, &hash, &text))
            return 0;
        struct str lines = {part, (size_t)(line.ptr - part)};
        while (lines.len) {
            struct str next, one = str_cut(lines, '\n', &next);
            TRY(reader->line(reader->self, one, false));
            lines = next;
        }
        TRY(reader->line(reader->self, text, true));
        j->hash = hash;
        j->length = (uint64_t)(rest.ptr - all.ptr);
        part = rest.ptr;
    }
    return 0;
}

static int journal_read(struct journal *j, const struct journal_reader *reader)
{
    struct stat st;
    if (fstat(j->fd, &st) < 0)
        return err_sys("crawl: looking at %s", j->path);
    char *text = NULL;
    size_t len = 0;
    if (st.st_size > 0)
        TRY(io_read_file(j->path, (size_t)st.st_size, &text, &len));
    int rc = play(j, (struct str){text, len}, reader);
    free(text);
    TRY(rc);
    if (ftruncate(j->fd, (off_t)j->length) < 0)
        return err_sys("crawl: cutting %s to %llu bytes", j->path, (unsigned long long)j->length);
    if (lseek(j->fd, (off_t)j->length, SEEK_SET) < 0)
        return err_sys("crawl: seeking in %s", j->path);
    return 0;
}

int journal_open(struct journal **out, const char *path, const struct journal_reader *reader)
{
    *out = NULL;
    struct journal *j = calloc(1, sizeof *j);
    if (!j)
        return err_set(ERR_LIMIT, "crawl: no memory for a journal");
    j->waiting.max = (size_t)1 << 30;
    j->fd = -1;
    int rc = io_path(j->path, "%s", path);
    if (rc < 0)
        goto out;
    j->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (j->fd < 0)
        rc = err_sys("crawl: opening %s", path);
    else if (flock(j->fd, LOCK_EX | LOCK_NB) < 0)
        rc = err_set(ERR_AGAIN, "crawl: %s is in use by another crawl: wait for it or stop it",
                     path);
    else
        rc = journal_read(j, reader);
out:
    if (rc < 0) {
        journal_close(j);
        return rc;
    }
    *out = j;
    return 0;
}

/* ---- writing ---- */
static void add_line(struct buf *to, const char *fmt, va_list args)
{
    char *at = buf_room(to, LINE_BYTES_MAX);
    if (!at)
        return;
    int len = vsnprintf(at, LINE_BYTES_MAX, fmt, args);
    size_t used = len < 0 ? 0 : len < LINE_BYTES_MAX ? (size_t)len : LINE_BYTES_MAX - 1;
    for (size_t i = 0; i < used; i++)
        if (at[i] == '\n' || at[i] == '\r')
            at[i] = ' ';
    buf_grown(to, used);
}

void journal_line(struct journal *j, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    add_line(&j->waiting, fmt, args);
    va_end(args);
    buf_char(&j->waiting, '\n');
}

size_t journal_waiting(const struct journal *j) { return j->waiting.len; }

int journal_checkpoint(struct journal *j, const char *fmt, ...)
{
    va_list args;
    buf_text(&j->waiting, "! ");
    va_start(args, fmt);
    add_line(&j->waiting, fmt, args);
    va_end(args);
    buf_char(&j->waiting, ' ');
    uint64_t hash = hash_str(buf_view(&j->waiting), j->hash);
    buf_printf(&j->waiting, "%016llx\n", (unsigned long long)hash);
    if (j->waiting.failed)
        return err_set(ERR_LIMIT, "crawl: no memory for the journal's lines");
    for (size_t done = 0; done < j->waiting.len;) {
        ssize_t wrote = write(j->fd, j->waiting.ptr + done, j->waiting.len - done);
        if (wrote < 0 && errno != EINTR)
            return err_sys("crawl: writing %s", j->path);
        done += wrote > 0 ? (size_t)wrote : 0;
    }
    if (fdatasync(j->fd) < 0)
        return err_sys("crawl: syncing %s", j->path);
    j->length += j->waiting.len;
    j->hash = hash;
    buf_clear(&j->waiting);
    return 0;
}

void journal_close(struct journal *j)
{
    if (!j)
        return;
    if (j->fd >= 0)
        close(j->fd);
    buf_free(&j->waiting);
    free(j);
}

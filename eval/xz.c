/* xz - the baseline everyone has: what `xz -9` makes of the same text. */
#include "eval/eval.h"

#include "core/err.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

enum { PIPE_BYTES = 1 << 16 };

/* All documents, joined by a newline, into an unnamed file: xz reads it as standard input. */
static int write_texts(const char *heldout_file, int64_t documents_max, int fd,
                       struct bpb_row *out)
{
    struct heldout *h = NULL;
    struct str id, text;
    int rc;
    FILE *to = fdopen(dup(fd), "wb");
    if (!to)
        return err_sys("eval: temporary file");
    TRY_OUT(heldout_open(&h, heldout_file, documents_max));
    while ((rc = heldout_next(h, &id, &text)) > 0) {
        if (out->documents++ && fputc('\n', to) == EOF)
            break;
        if (fwrite(text.ptr, 1, text.len, to) != text.len)
            break;
        out->bytes += text.len;
    }
    if (rc >= 0 && (rc > 0 || fflush(to) != 0))
        rc = err_sys("eval: write a temporary file");
out:
    heldout_close(h);
    fclose(to);
    return rc;
}

/* Starts xz between two descriptors: 1 started, 0 there is none. */
static int spawn_xz(int in, int to, pid_t *pid)
{
    posix_spawn_file_actions_t actions;
    char *argv[] = {"xz", "-9", "--format=xz", "--threads=1", "--stdout", NULL};
    int error = posix_spawn_file_actions_init(&actions);
    if (error)
        return err_set(ERR_LIMIT, "eval: xz: %s", strerror(error));
    posix_spawn_file_actions_adddup2(&actions, in, STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&actions, to, STDOUT_FILENO);
    posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
    error = posix_spawnp(pid, "xz", &actions, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    if (error == ENOENT || error == EACCES || error == ENOTDIR)
        return 0;
    return error ? err_set(ERR_LIMIT, "eval: starting xz: %s", strerror(error)) : 1;
}

/* Bytes that come out of fd until it closes. */
static int count_bytes(int fd, uint64_t *bytes)
{
    char piece[PIPE_BYTES];
    for (;;) {
        ssize_t got = read(fd, piece, sizeof piece);
        if (got == 0)
            return 0;
        if (got < 0 && errno != EINTR)
            return err_sys("eval: reading from xz");
        *bytes += got > 0 ? (uint64_t)got : 0;
    }
}

/* Size of what xz makes of the file at in; 0 when there is no xz or it fails. */
static int compress(int in, uint64_t *bytes)
{
    int ends[2], status;
    pid_t pid;
    *bytes = 0;
    if (pipe2(ends, O_CLOEXEC) < 0)
        return err_sys("eval: pipe");
    int rc = spawn_xz(in, ends[1], &pid);
    close(ends[1]);
    if (rc == 1) {
        rc = count_bytes(ends[0], bytes);
        while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
            ;
        if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
            *bytes = 0;
    }
    close(ends[0]);
    return rc;
}

int eval_xz(const char *heldout_file, int64_t documents_max, struct bpb_row *out)
{
    const char *folder = getenv("TMPDIR");
    char path[IO_PATH_MAX];
    uint64_t bytes = 0;
    TRY(io_path(path, "%s/sluice-xz-XXXXXX", folder && *folder ? folder : "/tmp"));
    int rc, fd = mkostemp(path, O_CLOEXEC);
    if (fd < 0)
        return err_sys("eval: temporary file %s", path);
    unlink(path);
    heldout_domain(heldout_file, out->domain);
    out->documents = out->bytes = 0;
    TRY_OUT(write_texts(heldout_file, documents_max, fd, out));
    if (out->bytes == 0) {
        rc = err_set(ERR_FORMAT, "eval: %s holds no text", heldout_file);
        goto out;
    }
    if (lseek(fd, 0, SEEK_SET) < 0) {
        rc = err_sys("eval: temporary file");
        goto out;
    }
    TRY_OUT(compress(fd, &bytes));
    out->xz_bits_per_byte = bytes ? 8 * (double)bytes / (double)out->bytes : NAN;
    rc = 0;
out:
    close(fd);
    return rc;
}

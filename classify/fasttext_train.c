/* fasttext_train - trains a classifier into a file that appears whole and checked, or not. */
#include "classify/classify.h"

#include "classify/fasttext_layout.h"
#include "core/err.h"
#include "core/io.h"

#include <fcntl.h>
#include <libgen.h>
#include <math.h>
#include <stdio.h>
#include <unistd.h>

enum { SAMPLE_BYTES = 4096 };
#define AGREES 1e-3f /* probabilities of the library and of our own arithmetic: rounding only */

bool fasttext_should_stop(void) { return pipe_stop != 0; }

static int publish(const char *temp, const char *path)
{
    char folder[IO_PATH_MAX];
    int fd = open(temp, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return err_sys("open %s", temp);
    int rc = fsync(fd) < 0 ? err_sys("fsync %s", temp) : 0;
    close(fd);
    TRY(rc);
    if (rename(temp, path) < 0)
        return err_sys("rename %s to %s", temp, path);
    TRY(io_path(folder, "%s", path));
    return io_sync_dir(dirname(folder));
}

/* The words of the first training line, its label left out, at most SAMPLE_BYTES. */
static int sample_read(const char *input, char *room, struct str *out)
{
    struct io_reader *r = NULL;
    struct str line = {0};
    int rc = io_open(&r, input);
    if (rc >= 0)
        rc = io_read_line(r, &line);
    if (rc > 0) {
        line = str_slice(line, str_find_char(line, ' '), line.len);
        line = str_slice(line, 0, SAMPLE_BYTES);
        memcpy(room, line.ptr, line.len);
    }
    *out = (struct str){room, line.len};
    io_close(r);
    return rc < 0 ? rc : 0;
}

/* saveModel does not look at write errors: reading back is what notices a full disk. And what we
 * read must say what the library says. */
static int model_verify(const char *temp, const char *input)
{
    struct fasttext *m = NULL;
    struct score ours = {.prob = 0};
    char room[SAMPLE_BYTES], label[sizeof ours.label];
    struct str line;
    float theirs = 0;
    int rc;
    TRY_OUT(fasttext_open(&m, temp));
    if (fasttext_label_count(m) < 2) {
        rc =
            err_set(ERR_FORMAT, "classifier: %s holds one label only: give examples of two", input);
        goto out;
    }
    TRY_OUT(sample_read(input, room, &line));
    TRY_OUT(fasttext_predict(m, line, &ours, 1));
    TRY_OUT(fasttext_reference(temp, line, label, &theirs));
    if (fabsf(fminf(theirs, 1) - ours.prob) > AGREES)
        rc = err_set(ERR_FORMAT,
                     "classifier: the first line of %s gives %s %.6f, by libfasttext %s %.6f: "
                     "please report this",
                     input, ours.label, (double)ours.prob, label, (double)theirs);
out:
    fasttext_close(m);
    return rc;
}

int fasttext_train(const struct fasttext_train *conf, const char *input, const char *path)
{
    char temp[IO_PATH_MAX];
    TRY(io_path(temp, "%s.tmp-%d", path, (int)getpid()));
    int rc = fasttext_train_to(conf, input, temp);
    if (rc >= 0)
        rc = model_verify(temp, input);
    if (rc >= 0)
        rc = publish(temp, path);
    if (rc < 0)
        unlink(temp);
    return rc;
}

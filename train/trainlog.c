/* trainlog - train.jsonl: a row a step, and after a resume the same bytes as if nothing had
 * stopped. */
#include "train/trainer.h"

#include "core/err.h"
#include "core/json.h"
#include "core/log.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

/* Every row extends a chained hash, so that a resumed run can tell whether what it finds is what
 * the checkpoint saw. */
static uint64_t chain_next(uint64_t chain, struct str row) { return hash_str(row, chain); }

/* Copies the first state->log_bytes of path to w; false when the file is shorter or differs. */
static int copy_prefix(const char *path, const struct train_state *state, struct io_writer *w,
                       bool *same)
{
    struct io_reader *r = NULL;
    uint64_t bytes = 0, chain = 0;
    struct str row;
    int rc;
    *same = false;
    TRY(io_open(&r, path));
    while (bytes < state->log_bytes && (rc = io_read_line(r, &row)) > 0) {
        bytes += row.len + 1;
        chain = chain_next(chain, row);
        TRY_OUT(io_write_str(w, row));
        TRY_OUT(io_write(w, "\n", 1));
    }
    rc = 0;
    *same = bytes == state->log_bytes && chain == state->log_chain;
out:
    io_close(r);
    return rc;
}

/* The file becomes the rows of the steps before the checkpoint; without them the log begins at this
 * step. */
static int rewrite(struct train_log *log, const char *path, const struct train_state *state)
{
    struct io_writer *w = NULL;
    bool same = state->log_bytes == 0;
    int rc;
    TRY(io_create(&w, path, IO_PLAIN, 0));
    if (!same && io_exists(path) && (rc = copy_prefix(path, state, w, &same)) < 0) {
        io_abandon(w);
        return rc;
    }
    if (same) {
        log->bytes = state->log_bytes;
        log->chain = state->log_chain;
        return io_commit(w, NULL);
    }
    io_abandon(w);
    log_warn("train: %s is not the log of the checkpoint at step %llu: it starts anew there", path,
             (unsigned long long)state->step);
    return io_write_file(path, STR(""));
}

int train_log_open(struct train_log *log, const char *path, const struct train_state *state)
{
    *log = (struct train_log){.fd = -1};
    TRY(rewrite(log, path, state));
    log->fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
    return log->fd < 0 ? err_sys("train: open %s", path) : 0;
}

int train_log_row(struct train_log *log, struct str row)
{
    struct buf line = {0};
    buf_str(&line, row);
    buf_char(&line, '\n');
    int rc = line.failed ? err_set(ERR_LIMIT, "train: no memory for a row of %zu bytes", row.len)
                         : 0;
    for (size_t at = 0; rc == 0 && at < line.len;) {
        ssize_t wrote = write(log->fd, line.ptr + at, line.len - at);
        if (wrote < 0 && errno != EINTR)
            rc = err_sys("train: write train.jsonl");
        at += wrote > 0 ? (size_t)wrote : 0;
    }
    buf_free(&line);
    log->bytes += row.len + 1;
    log->chain = chain_next(log->chain, row);
    return rc;
}

int train_log_sync(struct train_log *log)
{
    return fsync(log->fd) < 0 ? err_sys("train: sync train.jsonl") : 0;
}

void train_log_close(struct train_log *log)
{
    if (log->fd >= 0)
        close(log->fd);
    log->fd = -1;
}

int train_log_step(struct train_log *log, const struct trainer *tr,
                   const struct step_report *report, const char *const *names)
{
    struct buf row = {0};
    struct json_writer w;
    json_begin(&w, &row);
    json_open(&w, '{');
    json_field_u64(&w, "step", tr->state.step);
    json_field_text(&w, "phase", tr->plan.phase[tr->phase].name);
    json_field_num(&w, "loss", report->loss);
    json_field_num(&w, "lr", report->lr);
    json_field_num(&w, "grad_norm", report->grad_norm);
    json_field_u64(&w, "tokens", tr->state.tokens);
    if (report->skipped)
        json_field_bool(&w, "skipped", true);
    json_field_open(&w, "domains", '{');
    for (int i = 0; i < STORE_DOMAINS_MAX; i++) {
        if (!report->domain_tokens[i])
            continue;
        json_field_open(&w, names[i], '{');
        json_field_u64(&w, "tokens", report->domain_tokens[i]);
        json_field_num(&w, "loss", report->domain_loss[i]);
        json_close(&w, '}');
    }
    json_close(&w, '}');
    json_close(&w, '}');
    int rc = row.failed ? err_set(ERR_LIMIT, "train: no memory for a log row")
                        : train_log_row(log, buf_view(&row));
    buf_free(&row);
    return rc;
}

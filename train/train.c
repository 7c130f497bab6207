/* train - a run from its store to a saved model: phases, evaluation, checkpoints, logs.
 *
 * Step s (from 0) belongs to a phase of the plan, which decides mixture and sequence length; the
 * schedule decides the learning rate, which may fall over the last anneal_steps. Before step s the
 * loop does, in this order: stop if asked to, evaluate if s is due (every eval_steps, where a phase
 * or the anneal begins, at the end), switch the phase. After it: log row, then a checkpoint if due.
 * A checkpoint of step s therefore never holds what is measured at s; a resumed run measures it
 * again and gets the same numbers, which is why its train.jsonl equals an uninterrupted one. */
#include "train/batches.h"

#include "core/err.h"
#include "core/json.h"
#include "core/log.h"
#include "core/pipe.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <unistd.h>

enum {
    VOCAB_ROUND = 64,
    EVAL_TOKENS_CPU = 1024,
    EVAL_TOKENS_GPU = 16384,
    SPEED_EVERY_MS = 1000,
    LINE_EVERY_MS = 30000
};
static const char heldout_suffix[] = ".jsonl.zst";

struct session {
    const struct train_run *run;
    struct trainer tr;
    const struct store_meta *meta;
    struct tokenizer *tok;
    struct arena arena; /* names and paths */
    const char *name[LOADER_SOURCES_MAX];
    const char **heldout;
    size_t heldout_count;
    struct bpb_row row[STORE_DOMAINS_MAX];
    uint32_t row_count; /* of the last evaluation */
    struct train_log log;
    int speed_fd;
    struct progress progress;
    uint64_t speed_ns, speed_tokens; /* when the last speed row was made, tokens since */
    uint64_t shown_ns;               /* when the progress line was drawn */
    uint64_t saved_step;             /* of the last checkpoint; UINT64_MAX: none */
    char recipe_hash[33], checkpoints[IO_PATH_MAX];
};

/* ---- opening ---- */

static int open_heldout(struct session *s)
{
    const struct train_run *run = s->run;
    char pattern[IO_PATH_MAX];
    if (!run->heldout_dir)
        return 0;
    if (!s->tok)
        return err_set(ERR_USAGE, "train: held-out text in %s needs a tokenizer to be read",
                       run->heldout_dir);
    TRY(io_path(pattern, "%s/*%s", run->heldout_dir, heldout_suffix));
    int rc = io_glob(pattern, &s->arena, &s->heldout, &s->heldout_count);
    if (rc == ERR_USAGE) {
        log_warn("train: no held-out text matches %s: bits per byte are not measured", pattern);
        err_clear();
        s->heldout_count = 0;
        return 0;
    }
    if (s->heldout_count > STORE_DOMAINS_MAX)
        return err_set(ERR_USAGE, "train: %zu held-out files in %s, at most %d", s->heldout_count,
                       run->heldout_dir, STORE_DOMAINS_MAX);
    return rc;
}

static int open_inputs(struct session *s)
{
    const struct train_run *run = s->run;
    TRY(arena_open(&s->arena, 64 << 20));
    s->meta = store_meta(run->store);
    for (uint32_t i = 0; i < run->plan.source_count; i++)
        s->name[i] = run->plan.source[i].view->name;
    if (run->tokenizer_dir) {
        TRY(tokenizer_open(&s->tok, run->tokenizer_dir));
        struct hash128 have = tokenizer_hash(s->tok), want = s->meta->tokenizer_hash;
        if (have.low != want.low || have.high != want.high)
            return err_set(ERR_USAGE,
                           "train: the store was made with another tokenizer than %s: "
                           "tokenize again",
                           run->tokenizer_dir);
    }
    return open_heldout(s);
}

static int open_trainer(struct session *s)
{
    struct model_conf model = s->run->model;
    if (model.vocab == 0)
        model.vocab = ((int64_t)s->meta->vocab_size + VOCAB_ROUND - 1) / VOCAB_ROUND * VOCAB_ROUND;
    if (model.vocab < (int64_t)s->meta->vocab_size)
        return err_set(ERR_USAGE,
                       "train: model.vocab %lld, the store's tokens go up to %u: raise it or "
                       "set 0",
                       (long long)model.vocab, s->meta->vocab_size);
    TRY(trainer_open(&s->tr, &s->run->train, &s->run->plan, &model, s->run->threads));
    s->tr.model.eot = s->meta->eot;
    return 0;
}

/* The order of all rows: a mixture that is wrong or runs dry is refused before the first step, not
 * hours later. */
static int open_loader(struct session *s)
{
    struct loader_conf *conf = malloc(sizeof *conf);
    if (!conf)
        return err_set(ERR_LIMIT, "train: no memory");
    train_plan_rows(&s->tr.plan, &s->tr.conf, conf);
    int rc = loader_open(&s->tr.loader, s->run->store, conf);
    free(conf);
    return rc < 0 ? err_in(rc, "train") : 0;
}

static int open_logs(struct session *s)
{
    char path[IO_PATH_MAX];
    TRY(io_path(path, "%s/train.jsonl", s->run->out_dir));
    TRY(train_log_open(&s->log, path, &s->tr.state));
    TRY(io_path(path, "%s/speed.jsonl", s->run->out_dir));
    s->speed_fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
    return s->speed_fd < 0 ? err_sys("train: open %s", path) : 0;
}

/* The rows behind the checkpoint must be those that this plan would have drawn. */
static int check_past(struct session *s)
{
    struct buf now = {0};
    struct str then = str_of(s->tr.past), here, rest_then, rest_here;
    loader_past(s->tr.loader, s->tr.state.row, &now);
    int rc = now.failed ? err_set(ERR_LIMIT, "train: no memory") : 0;
    here = buf_view(&now);
    while (rc == 0 && (then.len || here.len)) {
        struct str was = str_cut(then, '\n', &rest_then), is = str_cut(here, '\n', &rest_here);
        if (!str_eq(was, is))
            rc = err_set(
                ERR_USAGE,
                "train: the checkpoint in %s has seen other rows than this plan would have "
                "drawn up to step %llu (there `%.*s`, here `%.*s`): restore what was "
                "changed (only phases ahead may change), or use another folder",
                s->checkpoints, (unsigned long long)s->tr.state.step, STR_ARG(was), STR_ARG(is));
        then = rest_then;
        here = rest_here;
    }
    buf_free(&now);
    return rc;
}

/* Puts weights and counters where the newest whole checkpoint left them, or at the start. */
static int resume(struct session *s)
{
    struct train_state *state = &s->tr.state;
    int rc = checkpoint_load(&s->tr, s->checkpoints, s->recipe_hash);
    if (rc < 0)
        return rc;
    s->saved_step = rc == 1 ? state->step : UINT64_MAX;
    if (rc == 0)
        return 0;
    if (state->step > (uint64_t)s->tr.conf.steps)
        return err_set(ERR_USAGE,
                       "train: the checkpoint in %s is at step %llu, steps is %lld: raise "
                       "steps or use another folder",
                       s->checkpoints, (unsigned long long)state->step,
                       (long long)s->tr.conf.steps);
    TRY(check_past(s));
    struct train_place at = train_place(&s->tr.plan, &s->tr.conf, (int64_t)state->step);
    if (at.row != state->row)
        return err_set(ERR_USAGE,
                       "train: the checkpoint in %s has read %llu rows by step %llu, this plan "
                       "reads %llu: restore the phases behind it, or use another folder",
                       s->checkpoints, (unsigned long long)state->row,
                       (unsigned long long)state->step, (unsigned long long)at.row);
    log_info("train: resumes behind step %llu of %lld", (unsigned long long)state->step,
             (long long)s->tr.conf.steps);
    return 0;
}

/* Makes the batch of a step, and asks the disk for the next one's rows; on the thread that fills.
 */
static int fill_batch(void *arg, uint64_t step, struct train_batch *b)
{
    const struct trainer *tr = arg;
    struct train_place at = train_place(&tr->plan, &tr->conf, (int64_t)step);
    uint64_t end = at.row + 2ull * at.rows, rows = loader_rows(tr->loader);
    for (uint64_t row = at.row + at.rows; row < end && row < rows; row++)
        loader_prefetch(tr->loader, row);
    b->rows = at.rows;
    struct loader_place next = loader_place(tr->loader, at.row), place;
    for (uint32_t i = 0; i < at.rows; i++) {
        size_t to = (size_t)i * at.sequence;
        place = next;
        if (i + 1 < at.rows) {
            next = loader_place(tr->loader, at.row + i + 1);
            loader_touch(tr->loader, &next);
        }
        TRY(loader_read_at(tr->loader, &place, b->inputs + to, b->targets + to,
                           b->doc_start + to));
        b->domain[i] = place.source;
    }
    return 0;
}

static int open_batches(struct session *s)
{
    struct trainer *tr = &s->tr;
    struct batches_conf conf = {.fill = fill_batch,
                                .arg = tr,
                                .first = tr->state.step,
                                .end = (uint64_t)tr->conf.steps,
                                .tokens = (uint64_t)(tr->conf.batch * tr->conf.sequence)};
    for (uint32_t i = 0; i < tr->plan.phase_count; i++) {
        uint32_t rows = (uint32_t)(conf.tokens / (uint64_t)tr->plan.phase[i].sequence);
        conf.rows = rows > conf.rows ? rows : conf.rows;
    }
    return batches_open(&tr->batches, tr->stream, &conf);
}

static void session_close(struct session *s)
{
    if (s->speed_fd >= 0)
        close(s->speed_fd);
    train_log_close(&s->log);
    batches_close(s->tr.batches);
    loader_close(s->tr.loader);
    trainer_close(&s->tr);
    if (s->tok)
        tokenizer_close(s->tok);
    arena_close(&s->arena);
}

static int session_open(struct session *s, const struct train_run *run)
{
    memset(s, 0, sizeof *s);
    s->run = run;
    s->log.fd = s->speed_fd = -1;
    snprintf(s->recipe_hash, sizeof s->recipe_hash, "%s", run->recipe_hash ? run->recipe_hash : "");
    TRY(io_path(s->checkpoints, "%s/checkpoints", run->out_dir));
    TRY(io_mkdirs(s->checkpoints));
    TRY(open_inputs(s));
    TRY(open_trainer(s));
    TRY(open_loader(s));
    TRY(resume(s));
    TRY(open_batches(s));
    TRY(run->accepted ? run->accepted(run->accepted_arg) : 0);
    return open_logs(s);
}

/* ---- evaluation ---- */

static double recent_mean(const struct train_state *state)
{
    uint64_t count = state->recent_count < LOSS_WINDOW ? state->recent_count : LOSS_WINDOW;
    double sum = 0;
    for (uint64_t i = 0; i < count; i++)
        sum += state->recent[i];
    return count ? sum / (double)count : NAN;
}

static int64_t anneal_start(const struct train_conf *c) { return c->steps - c->anneal_steps; }

static bool eval_due(const struct session *s, int64_t step)
{
    const struct train_conf *c = &s->tr.conf;
    if (s->heldout_count == 0 || step == 0)
        return false;
    return step == c->steps || (c->anneal_steps && step == anneal_start(c)) ||
           step == train_place(&s->tr.plan, c, step).phase_step ||
           (c->eval_steps && step % c->eval_steps == 0);
}

static int log_eval(struct session *s)
{
    struct buf out = {0};
    struct json_writer w;
    json_begin(&w, &out);
    json_open(&w, '{');
    json_field_u64(&w, "step", s->tr.state.step);
    json_field_open(&w, "eval", '{');
    for (uint32_t i = 0; i < s->row_count; i++) {
        json_field_num(&w, s->row[i].domain, s->row[i].bits_per_byte);
        log_info("train: step %llu: %s %.4f bits per byte over %llu documents",
                 (unsigned long long)s->tr.state.step, s->row[i].domain, s->row[i].bits_per_byte,
                 (unsigned long long)s->row[i].documents);
    }
    json_close(&w, '}');
    json_close(&w, '}');
    int rc = out.failed ? err_set(ERR_LIMIT, "train: no memory for a log row")
                        : train_log_row(&s->log, buf_view(&out));
    buf_free(&out);
    return rc;
}

/* Every held-out file, with a line of progress: it may take longer than the training. */
static int score_all(struct session *s, struct bpb_conf *conf)
{
    struct progress progress;
    uint64_t tokens, all = 0;
    int rc = 0;
    for (size_t i = 0; i < s->heldout_count; i++) {
        TRY(eval_tokens(s->tok, s->heldout[i], conf, &tokens));
        all += tokens;
    }
    progress_begin(&progress, "score", "tokens", all);
    conf->progress = &progress;
    for (size_t i = 0; rc >= 0 && i < s->heldout_count; i++)
        rc = eval_bpb(&s->tr.model, s->tok, s->heldout[i], conf, &s->row[i]);
    progress_end(&progress);
    return rc;
}

static int evaluate(struct session *s)
{
    struct train_state *state = &s->tr.state;
    struct bpb_conf conf = {.documents_max = s->tr.conf.eval_documents};
    int64_t tokens = stream_device(s->tr.stream) == DEV_CPU ? EVAL_TOKENS_CPU : EVAL_TOKENS_GPU;
    conf.batch = tokens / s->tr.model.conf.context > 1 ? tokens / s->tr.model.conf.context : 1;
    if (s->run->eval_batch && conf.batch > s->run->eval_batch)
        conf.batch = s->run->eval_batch;
    TRY(score_all(s, &conf));
    s->row_count = (uint32_t)s->heldout_count;
    if (s->tr.conf.anneal_steps && (int64_t)state->step == anneal_start(&s->tr.conf)) {
        state->before_count = s->row_count;
        for (uint32_t i = 0; i < s->row_count; i++) {
            memcpy(state->before[i].domain, s->row[i].domain, sizeof state->before[i].domain);
            state->before[i].bits_per_byte = s->row[i].bits_per_byte;
        }
    }
    return log_eval(s);
}

static double before_of(const struct train_state *state, const char *domain)
{
    for (uint32_t i = 0; i < state->before_count; i++)
        if (strcmp(state->before[i].domain, domain) == 0)
            return state->before[i].bits_per_byte;
    return NAN;
}

static int write_eval_json(struct session *s)
{
    const struct train_state *state = &s->tr.state;
    struct buf out = {0};
    struct json_writer w;
    char path[IO_PATH_MAX];
    TRY(io_path(path, "%s/eval.json", s->run->out_dir));
    json_begin(&w, &out);
    json_open(&w, '{');
    json_field_u64(&w, "step", state->step);
    json_field_i64(&w, "anneal_start", anneal_start(&s->tr.conf));
    json_field_num(&w, "loss_before", state->loss_before);
    json_field_num(&w, "loss_after", recent_mean(state));
    json_field_u64(&w, "skipped", state->skipped);
    json_field_open(&w, "domains", '{');
    for (uint32_t i = 0; i < s->row_count; i++) {
        const struct bpb_row *row = &s->row[i];
        json_field_open(&w, row->domain, '{');
        json_field_num(&w, "before", before_of(state, row->domain));
        json_field_num(&w, "after", row->bits_per_byte);
        json_field_u64(&w, "documents", row->documents);
        json_field_u64(&w, "bytes", row->bytes);
        json_field_u64(&w, "tokens", row->tokens);
        json_close(&w, '}');
    }
    json_close(&w, '}');
    json_close(&w, '}');
    buf_char(&out, '\n');
    int rc = out.failed ? err_set(ERR_LIMIT, "train: no memory for eval.json")
                        : io_write_file(path, buf_view(&out));
    buf_free(&out);
    return rc;
}

/* ---- the loop ---- */

static int save(struct session *s)
{
    struct train_state *state = &s->tr.state;
    if (s->saved_step == state->step)
        return 0;
    TRY(train_log_sync(&s->log));
    state->log_bytes = s->log.bytes;
    state->log_chain = s->log.chain;
    TRY(checkpoint_save(&s->tr, s->checkpoints, s->recipe_hash));
    s->saved_step = state->step;
    return 0;
}

/* {"step","phase","store","sequence","rows","rope_theta","mixture":{source: share}}: step is the
 * last before the phase, store the identity of what is read, shares those of its first row. */
static int log_phase(struct session *s, const struct train_place *at)
{
    struct loader_stretch *st = malloc(sizeof *st);
    struct buf out = {0};
    struct json_writer w;
    uint64_t i = 0;
    char store[33];
    if (!st)
        return err_set(ERR_LIMIT, "train: no memory for a log row");
    do
        loader_stretch(s->tr.loader, i++, st);
    while (st->first + st->rows <= at->row);
    hash_hex(store_identity(s->run->store), store);
    json_begin(&w, &out);
    json_open(&w, '{');
    json_field_u64(&w, "step", s->tr.state.step);
    json_field_text(&w, "phase", s->tr.plan.phase[at->phase].name);
    json_field_text(&w, "store", store);
    json_field_u64(&w, "sequence", at->sequence);
    json_field_u64(&w, "rows", at->rows);
    json_field_num(&w, "rope_theta", s->tr.plan.phase[at->phase].rope_theta);
    json_field_open(&w, "mixture", '{');
    for (uint32_t k = 0; k < s->tr.plan.source_count; k++)
        if (st->share[k] > 0)
            json_field_num(&w, s->name[k], st->share[k]);
    json_close(&w, '}');
    json_close(&w, '}');
    int rc = out.failed ? err_set(ERR_LIMIT, "train: no memory for a log row")
                        : train_log_row(&s->log, buf_view(&out));
    buf_free(&out);
    free(st);
    return rc;
}

/* Where the anneal or a phase begins, the window of recent losses begins anew. */
static int enter_phase(struct session *s)
{
    struct train_state *state = &s->tr.state;
    int64_t step = (int64_t)state->step;
    struct train_place at = train_place(&s->tr.plan, &s->tr.conf, step);
    bool anneals = s->tr.conf.anneal_steps && step == anneal_start(&s->tr.conf);
    if (anneals)
        state->loss_before = recent_mean(state);
    if (anneals || at.phase_step == step) {
        state->recent_count = 0;
        memset(state->recent, 0, sizeof state->recent);
    }
    if (s->tr.phase != at.phase)
        trainer_enter(&s->tr, at.phase);
    state->row = at.row + at.rows;
    return at.phase_step == step ? log_phase(s, &at) : 0;
}

/* A row of speed.jsonl about once a second. MFU = tokens/s * flops per token / peak, where flops
 * per token are those of the architecture (6 per weight of a matrix and 6 T C a layer, causal
 * attention counted half: see model/llama.c). */
static void note_speed(struct session *s, const struct step_report *report)
{
    const struct train_conf *c = &s->tr.conf;
    uint64_t now = clock_ns();
    s->speed_tokens += (uint64_t)(s->tr.rows * s->tr.sequence);
    double seconds = (double)(now - s->speed_ns) * 1e-9;
    if (seconds * 1000 < SPEED_EVERY_MS && s->tr.state.step != (uint64_t)c->steps)
        return;
    double rate = (double)s->speed_tokens / seconds;
    double flops = rate * s->tr.model.type->flops_per_token(&s->tr.model.conf, s->tr.sequence);
    char mfu[48] = "";
    if (c->peak_tflops > 0)
        snprintf(mfu, sizeof mfu, ",\"mfu\":%.4f", flops / (c->peak_tflops * 1e12));
    char row[256];
    int length = snprintf(row, sizeof row,
                          "{\"step\":%llu,\"seconds\":%.3f,\"tokens_per_second\":%.1f,"
                          "\"gflops\":%.2f%s}\n",
                          (unsigned long long)s->tr.state.step, seconds, rate, flops * 1e-9, mfu);
    if (write(s->speed_fd, row, (size_t)length) != length)
        log_debug("train: a row of speed.jsonl was not written");
    if (log_is_terminal() || now - s->shown_ns >= LINE_EVERY_MS * 1000000ull) {
        s->shown_ns = now;
        progress_note(&s->progress, "loss %.4f  lr %.2e  %.0f tok/s  %.1f GFLOP/s", report->loss,
                      report->lr, rate, flops * 1e-9);
    }
    s->speed_ns = now;
    s->speed_tokens = 0;
}

static int stop(struct session *s)
{
    TRY(save(s));
    return err_set(ERR_STOP,
                   "train: stopped behind step %llu, which is saved: the same command goes on",
                   (unsigned long long)s->tr.state.step);
}

static int loop(struct session *s)
{
    const struct train_conf *c = &s->tr.conf;
    struct train_state *state = &s->tr.state;
    struct step_report report;
    while ((int64_t)state->step < c->steps) {
        if (pipe_stop)
            return stop(s);
        if (eval_due(s, (int64_t)state->step)) {
            int rc = evaluate(s);
            if (rc == ERR_STOP)
                return stop(s);
            TRY(rc);
            s->speed_ns = clock_ns();
        }
        TRY(enter_phase(s));
        TRY(trainer_step(&s->tr, &report));
        TRY(train_log_step(&s->log, &s->tr, &report, s->name));
        atomic_fetch_add(&s->progress.done, 1);
        note_speed(s, &report);
        if ((int64_t)state->step % c->checkpoint_steps == 0 || (int64_t)state->step == c->steps)
            TRY(save(s));
    }
    return 0;
}

/* The last evaluation, the model for others, and eval.json, which says that all is there. */
static int finish(struct session *s)
{
    char dir[IO_PATH_MAX], tokenizer[IO_PATH_MAX];
    if (eval_due(s, s->tr.conf.steps)) {
        int rc = evaluate(s);
        if (rc == ERR_STOP)
            return stop(s);
        TRY(rc);
    }
    TRY(train_log_sync(&s->log));
    TRY(io_path(dir, "%s/model", s->run->out_dir));
    if (s->run->tokenizer_dir)
        TRY(io_path(tokenizer, "%s/tokenizer.json", s->run->tokenizer_dir));
    TRY(model_save(&s->tr.model, dir, s->run->tokenizer_dir ? tokenizer : NULL));
    return write_eval_json(s);
}

/* Counts from where this process begins, so that its rate and ETA are true after a resume. */
static void begin_progress(struct session *s)
{
    char what[64] = "train";
    uint64_t done = s->tr.state.step;
    if (done)
        snprintf(what, sizeof what, "train from step %llu", (unsigned long long)done);
    progress_begin(&s->progress, what, "steps", (uint64_t)s->tr.conf.steps - done);
    s->speed_ns = s->shown_ns = clock_ns();
}

int train(const struct train_run *run)
{
    struct session *s = calloc(1, sizeof *s);
    int rc;
    if (!s)
        return err_set(ERR_LIMIT, "train: no memory");
    TRY_OUT(session_open(s, run));
    begin_progress(s);
    rc = loop(s);
    progress_end(&s->progress);
    if (rc >= 0)
        rc = finish(s);
out:
    session_close(s);
    free(s);
    return rc;
}

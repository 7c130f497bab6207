/* learn - the training and evaluation tasks of a run: from the store to a model and its figures. */
#include "command/mixture.h"
#include "command/run.h"
#include "core/err.h"
#include "core/json.h"
#include "core/log.h"
#include "eval/eval.h"
#include "train/train.h"

#include <math.h>
#include <stdlib.h>

enum { EVAL_JSON_MAX = 16 << 20 };

static int training_accepted(void *arg) { return run_accept(arg); }

/* How many held-out documents of a domain are scored, by the model and the baselines; 0: all. */
static int64_t eval_documents(const struct recipe *r)
{
    return r->train.eval_documents ? r->train.eval_documents : r->eval.documents_max;
}

/* The training itself, over a store that is open. */
static int train_over(struct run *r, struct store *store, const char *out_dir)
{
    char tokenizer_dir[IO_PATH_MAX], heldout_dir[IO_PATH_MAX];
    struct mixture *mixture = calloc(1, sizeof *mixture);
    struct train_run *run = calloc(1, sizeof *run);
    int rc = mixture && run ? 0 : err_set(ERR_LIMIT, "train: no memory");
    if (rc < 0)
        goto out;
    TRY_OUT(io_path(tokenizer_dir, "%s/tokenizer", r->base));
    TRY_OUT(io_path(heldout_dir, "%s/heldout", r->base));
    TRY_OUT(mixture_open(mixture, r, store));
    for (uint32_t i = 0; i < mixture->plan.source_count; i++)
        if (mixture->view[i].tokens == 0)
            log_warn("mixture: domain %s holds no tokens; its weight goes to the others",
                     mixture->view[i].name);
    *run = (struct train_run){.train = r->recipe->train,
                              .model = r->recipe->model,
                              .plan = mixture->plan,
                              .store = store,
                              .tokenizer_dir = tokenizer_dir,
                              .heldout_dir = heldout_dir,
                              .out_dir = out_dir,
                              .threads = r->threads,
                              .eval_batch = r->recipe->eval.batch,
                              .recipe_hash = r->recipe->hash,
                              .accepted = training_accepted,
                              .accepted_arg = r};
    run->train.eval_documents = eval_documents(r->recipe);
    rc = train(run);
    mixture_close(mixture);
out:
    free(run);
    free(mixture);
    return rc;
}

int task_train(struct run *r, uint32_t unit, struct manifest *m)
{
    char store_dir[IO_PATH_MAX], out_dir[IO_PATH_MAX], path[IO_PATH_MAX];
    struct store *store;
    struct io_info info;
    UNUSED(unit);
    TRY(base_store(r->dir, store_dir));
    TRY(io_path(out_dir, "%s/train", r->dir));
    TRY(store_open(&store, store_dir));
    int rc = train_over(r, store, out_dir);
    store_close(store);
    TRY(rc);
    TRY(io_path(path, "%s/model/model.safetensors", out_dir));
    TRY(io_hash_file(path, &info));
    TRY(manifest_add_output(m, "train/model/model.safetensors", &info));
    TRY(io_path(path, "%s/train.jsonl", out_dir));
    TRY(io_hash_file(path, &info));
    return manifest_add_output(m, "train/train.jsonl", &info);
}

/* ---- eval.json: the trainer's own figures joined with the baselines ---- */
static double domain_value(const struct json *trained, const char *domain, const char *when)
{
    const struct json *domains = json_get(trained, "domains");
    const struct json *row = domains ? json_get(domains, domain) : NULL;
    return row ? json_num(row, when, NAN) : NAN;
}

static int eval_row(struct run *r, struct tokenizer *t, const uint64_t *counts,
                    const struct json *trained, const char *domain, struct json_writer *w)
{
    char path[IO_PATH_MAX];
    struct bpb_row unigram = {0}, xz = {0};
    TRY(io_path(path, "%s/heldout/%s.jsonl.zst", r->base, domain));
    if (!io_exists(path))
        return 0;
    TRY(eval_unigram(t, path, eval_documents(r->recipe), counts, &unigram));
    TRY(eval_xz(path, eval_documents(r->recipe), &xz));
    json_open(w, '{');
    json_field_text(w, "domain", domain);
    json_field_u64(w, "documents", unigram.documents);
    json_field_u64(w, "bytes", unigram.bytes);
    json_field_u64(w, "tokens", unigram.tokens);
    json_field_num(w, "before_anneal_bits_per_byte", domain_value(trained, domain, "before"));
    json_field_num(w, "bits_per_byte", domain_value(trained, domain, "after"));
    json_field_num(w, "unigram", unigram.unigram_bits_per_byte);
    json_field_num(w, "xz", xz.xz_bits_per_byte);
    json_close(w, '}');
    return 0;
}

static int eval_rows(struct run *r, const struct json *trained, struct json_writer *w)
{
    char path[IO_PATH_MAX];
    struct tokenizer *t = NULL;
    struct store *store = NULL;
    uint64_t *counts = NULL;
    int rc;
    TRY_OUT(io_path(path, "%s/tokenizer", r->base));
    TRY_OUT(tokenizer_open(&t, path));
    TRY_OUT(io_path(path, "%s/store", r->base));
    TRY_OUT(store_open(&store, path));
    counts = calloc(tokenizer_vocab(t), sizeof *counts);
    if (!counts) {
        rc = err_set(ERR_LIMIT, "eval: no memory");
        goto out;
    }
    TRY_OUT(store_unigram(store, counts));
    json_field_open(w, "rows", '[');
    for (uint32_t d = 0; d < store_meta(store)->domain_count; d++)
        TRY_OUT(eval_row(r, t, counts, trained, store_meta(store)->domain[d].name, w));
    json_close(w, ']');
out:
    free(counts);
    if (store)
        store_close(store);
    if (t)
        tokenizer_close(t);
    return rc;
}

int task_eval(struct run *r, uint32_t unit, struct manifest *m)
{
    char path[IO_PATH_MAX], *text = NULL;
    size_t len;
    struct json *trained;
    struct buf out = {0};
    struct json_writer w;
    struct io_info info;
    int rc;
    UNUSED(unit);
    TRY(io_path(path, "%s/train/eval.json", r->dir));
    TRY_OUT(io_read_file(path, EVAL_JSON_MAX, &text, &len));
    TRY_OUT(json_parse(&r->arena, (struct str){text, len}, &trained));
    json_begin(&w, &out);
    json_open(&w, '{');
    TRY_OUT(eval_rows(r, trained, &w));
    json_field_num(&w, "loss_before_anneal", json_num(trained, "loss_before", NAN));
    json_field_num(&w, "loss_after_anneal", json_num(trained, "loss_after", NAN));
    json_close(&w, '}');
    buf_char(&out, '\n');
    TRY_OUT(io_path(path, "%s/eval.json", r->dir));
    TRY_OUT(io_write_file(path, buf_view(&out)));
    TRY_OUT(io_hash_file(path, &info));
    rc = manifest_add_output(m, "eval.json", &info);
out:
    buf_free(&out);
    free(text);
    return rc;
}

/* train_gpu - trains a small llama on the GPU and on the CPU from the same tokens and compares the
 * loss curves. */
#include "core/err.h"
#include "core/hash.h"
#include "core/log.h"
#include "train/batches.h"

#include <math.h>
#include <stdio.h>

/* The machine with the GPU has neither LMDB nor xxHash: batches are made here, and so is the one
 * hash that the model asks for (keys of its first values, the same for both devices). They go
 * through train/batches.h, whose memory is pinned there. */
int gpu_train_test(void);
enum { STEPS = 50, SMALL_VOCAB = 256 };

uint64_t hash64(const void *bytes, size_t len, uint64_t seed)
{
    uint64_t hash = hash_mix(seed ^ len);
    for (size_t i = 0; i < len; i++)
        hash = hash_mix(hash ^ ((const unsigned char *)bytes)[i]);
    return hash;
}

static struct {
    uint64_t vocab, length;
} source;

/* Each row walks the vocabulary with a stride of its own and stumbles now and then: learnable, not
 * at once. */
static int fill_made(void *arg, uint64_t step, struct train_batch *b)
{
    b->rows = *(const uint32_t *)arg;
    for (uint32_t r = 0; r < b->rows; r++) {
        uint64_t key = hash_mix(1 + step * b->rows + r), at = key % source.vocab,
                 stride = 1 + key % 3;
        for (uint64_t i = 0; i < source.length; i++) {
            uint64_t place = r * source.length + i, next = (at + stride) % source.vocab;
            if (hash_unit(key, i) < 0.05)
                next = hash_mix(key + i) % source.vocab;
            b->inputs[place] = (int32_t)at;
            b->targets[place] = (int32_t)next;
            b->doc_start[place] = i < source.length / 2 ? 0 : (int32_t)(source.length / 2);
            at = next;
        }
        b->domain[r] = 0;
    }
    return 0;
}

static int open_made(struct trainer *tr, const struct train_conf *conf,
                     const struct model_conf *model)
{
    static uint32_t rows;
    TRY(trainer_open(tr, conf, NULL, model, 0));
    rows = (uint32_t)tr->rows;
    struct batches_conf ahead = {.fill = fill_made,
                                 .arg = &rows,
                                 .end = (uint64_t)conf->steps,
                                 .tokens = (uint64_t)(tr->rows * tr->sequence),
                                 .rows = rows};
    int rc = batches_open(&tr->batches, tr->stream, &ahead);
    if (rc < 0)
        trainer_close(tr);
    return rc;
}

static struct train_conf conf_small(const char *device)
{
    return (struct train_conf){
        .steps = STEPS,
        .warmup_steps = 5,
        .anneal_steps = 10,
        .objective = "pretrain",
        .schedule = "wsd",
        .decay = "sqrt",
        .lr = 3e-3,
        .beta1 = 0.9,
        .beta2 = 0.95,
        .eps = 1e-8,
        .weight_decay = 0.1,
        .clip = 1,
        .batch = 16,
        .micro_batch = 8,
        .sequence = 64,
        .checkpoint_steps = 1,
        .keep = 1,
        .device = device,
        .packing = "concat",
    };
}

static struct model_conf model_small(const char *arch, const char *dtype)
{
    return (struct model_conf){
        .arch = arch,
        .layers = 3,
        .heads = 4,
        .kv_heads = arch[0] == 'l' ? 2 : 4,
        .width = 128,
        .context = 64,
        .vocab = SMALL_VOCAB,
        .tied = true,
        .rope_theta = 10000,
        .norm_eps = 1e-5,
        .dtype = dtype,
        .seed = 1,
    };
}

static int curve(const char *device, const char *arch, const char *dtype, double *loss)
{
    struct train_conf conf = conf_small(device);
    struct model_conf model = model_small(arch, dtype);
    struct trainer tr;
    struct step_report report;
    source.vocab = SMALL_VOCAB;
    source.length = 64;
    TRY(open_made(&tr, &conf, &model));
    int rc = 0;
    for (int step = 0; rc == 0 && step < STEPS; step++) {
        rc = trainer_step(&tr, &report);
        loss[step] = report.loss;
    }
    batches_close(tr.batches);
    trainer_close(&tr);
    return rc;
}

/* fp32 on both: rounding alone, which training amplifies; bf16 on the GPU against fp32 on the CPU:
 * half a percent. */
static int compare(const char *arch, const char *dtype, double first_tol, double tol)
{
    double cpu[STEPS], gpu[STEPS], worst = 0;
    int at = 0;
    if (curve("cpu", arch, "f32", cpu) < 0 || curve("cuda", arch, dtype, gpu) < 0) {
        printf("FAIL train %s %s: %s\n", arch, dtype, err_text());
        return 1;
    }
    for (int i = 0; i < STEPS; i++)
        if (!(fabs(gpu[i] - cpu[i]) <= worst)) {
            worst = fabs(gpu[i] - cpu[i]);
            at = i;
        }
    bool good = fabs(gpu[0] - cpu[0]) <= first_tol && worst <= tol && gpu[STEPS - 1] < gpu[0] - 1;
    printf("%s train %s %s: loss %.4f -> %.4f, CPU %.4f -> %.4f, furthest apart %.2e at step %d\n",
           good ? "ok  " : "FAIL", arch, dtype, gpu[0], gpu[STEPS - 1], cpu[0], cpu[STEPS - 1],
           worst, at + 1);
    return !good;
}

/* Tokens a second at the size everyone quotes: 124 M parameters, 1024 tokens. Printed, never
 * judged. */
static void speed(void)
{
    enum { WARM = 3, TIMED = 10 };
    struct train_conf conf = conf_small("cuda");
    struct model_conf model = {
        .arch = "llama",
        .layers = 12,
        .heads = 12,
        .kv_heads = 12,
        .width = 768,
        .context = 1024,
        .vocab = 50304,
        .tied = true,
        .rope_theta = 10000,
        .norm_eps = 1e-5,
        .dtype = "bf16",
        .seed = 1,
    };
    struct trainer tr;
    struct step_report report;
    conf.sequence = 1024;
    conf.batch = conf.micro_batch = 16;
    conf.lr = 3e-4;
    source.vocab = (uint64_t)model.vocab;
    source.length = 1024;
    if (open_made(&tr, &conf, &model) < 0) {
        printf("     speed: %s\n", err_text());
        return;
    }
    uint64_t start = 0;
    int rc = 0;
    for (int step = 0; rc == 0 && step < WARM + TIMED; step++) {
        if (step == WARM)
            start = clock_ns();
        rc = trainer_step(&tr, &report);
    }
    double seconds = (double)(clock_ns() - start) * 1e-9;
    double rate = (double)(TIMED * conf.batch * conf.sequence) / seconds;
    if (rc < 0)
        printf("     speed: %s\n", err_text());
    else
        printf("     speed: llama of %.0f M parameters, 16 x 1024 tokens: %.0f tok/s, %.1f "
               "TFLOP/s, loss %.3f\n",
               (double)model_parameters(&tr.model) / 1e6, rate,
               rate * tr.model.type->flops_per_token(&tr.model.conf, 1024) * 1e-12, report.loss);
    batches_close(tr.batches);
    trainer_close(&tr);
}

int gpu_train_test(void)
{
    int failed = 0;
    log_open(LOG_WARN);
    failed += compare("llama", "f32", 1e-4, 2e-2);
    failed += compare("gpt2", "f32", 1e-4, 2e-2);
    failed += compare("llama", "bf16", 2e-2, 0.1);
    speed();
    return failed;
}

/* gpu_test - the CUDA kernels against the CPU's, on a machine with a GPU, the toolkit and libc.
 *
 *   gpu_test            every op's cases and larger ones, fp32 and bf16: the worst error of each
 *   gpu_test --bench    and how fast the GPU is at what a training step does
 * Exit code 0 when nothing failed, 77 when there is no GPU. */
#include "tests/kernel_cases.h"

#include <time.h>

enum { EXIT_SKIP = 77 };

static int passed, failed, skipped;

/* train_gpu.c, where the model is linked in: fifty steps on both devices; returns how many runs
 * failed. */
int gpu_train_test(void) __attribute__((weak));

/* Larger than the ops' own cases: many blocks, long rows, cuBLASLt's tensor core paths. */
static const struct {
    const char *op;
    struct op_case row;
} larger[] = {
    {"matmul", {.in = {{512, 768}, {1536, 768}, {1536}}}},
    {"matmul", {.in = {{2048, 256}, {1000, 256}}}},
    {"attention",
     {.in = {{2048, 512}, {2048, 256}, {2048, 256}, {2048}},
      .fill = {0, 0, 0, -1024},
      .i = {1024, 64}}},
    {"attention", {.in = {{600, 512}, {600, 512}, {600, 512}}, .i = {300, 128}}},
    {"attention", {.in = {{200, 512}, {200, 256}, {200, 256}}, .i = {200, 256}}},
    {"cross_entropy", {.in = {{512, 50304}, {512}}, .fill = {0, 50304}}},
    {"embedding", {.in = {{5000, 768}, {8192}}, .fill = {0, 5000}}},
    {"rmsnorm", {.in = {{4096, 1024}, {1024}}, .f = {1e-5f}}},
    {"layernorm", {.in = {{4096, 1024}, {1024}, {1024}}, .f = {1e-5f}}},
    {"swiglu", {.in = {{4096, 2048}, {4096, 2048}}}},
    {"rope", {.in = {{4096, 1024}}, .f = {10000}, .i = {2048, 64, 0}}},
};

static void count(bool good, const char *what, double error)
{
    passed += good;
    failed += !good;
    if (!good)
        printf("FAIL %s: error %g %s\n", what, error, err_text());
}

static void check_op(struct stream *cpu, struct stream *cuda, const struct op *op, enum dtype dtype)
{
    char what[96];
    double worst = 0;
    for (size_t k = 0; k < (size_t)op->case_count + COUNT_OF(larger); k++) {
        size_t extra = k - (size_t)op->case_count;
        bool own = k < (size_t)op->case_count;
        if (!own && strcmp(larger[extra].op, op->name) != 0)
            continue;
        double error = case_compare(cpu, cuda, op, own ? &op->cases[k] : &larger[extra].row, dtype);
        snprintf(what, sizeof what, "%s %s case %zu", op->name, dtype == DT_F32 ? "f32" : "bf16",
                 k);
        count(error >= 0 && error <= case_allowed(dtype), what, error);
        worst = error > worst ? error : worst;
    }
    printf("%-14s %-4s max relative error %.2e\n", op->name, dtype == DT_F32 ? "f32" : "bf16",
           worst);
}

/* The same case twice gives the same bits: no atomics, no order left to chance. */
static void check_repeat(struct stream *cuda, const struct op *op, const struct op_case *row)
{
    struct case_run run[2];
    for (int k = 0; k < 2; k++) {
        if (case_open(&run[k], cuda, op, row, DT_BF16, 7) < 0 || case_forward(&run[k]) < 0 ||
            case_backward(&run[k], 8, NULL) < 0) {
            count(false, op->name, -1);
            return;
        }
    }
    bool same = true;
    for (int k = -1; k < run[0].in_count; k++) {
        if (k >= 0 && (!run[0].given[k] || !run[0].given[k]->grad))
            continue;
        const struct tensor *t = k < 0 ? run[0].out : &run[0].grad[k];
        float *first = case_take(cuda, t),
              *second = case_take(cuda, k < 0 ? run[1].out : &run[1].grad[k]);
        same &= first && second &&
                memcmp(first, second, (size_t)tensor_count(t) * sizeof *first) == 0;
        free(first);
        free(second);
    }
    count(same, op->name, 0);
    case_close(&run[0]);
    case_close(&run[1]);
}

/* AdamW and the norm on both devices. */
static void check_optimizer(struct stream *cpu, struct stream *cuda)
{
    enum { COUNT = 1000003 };
    struct stream *stream[2] = {cpu, cuda};
    float *result[2] = {NULL, NULL};
    double sum[2] = {0};
    struct adamw conf = {.lr = 0.01f,
                         .beta1 = 0.9f,
                         .beta2 = 0.95f,
                         .eps = 1e-8f,
                         .weight_decay = 0.1f,
                         .grad_scale = 1,
                         .step = 2};
    for (int side = 0; side < 2; side++) {
        struct dev_arena arena;
        struct tensor t[4];
        if (dev_arena_open(&arena, stream[side], (size_t)COUNT * 16 + 4096) < 0) {
            count(false, "optimizer memory", -1);
            return;
        }
        for (int k = 0; k < 4; k++) {
            float *values = malloc((size_t)COUNT * sizeof *values);
            for (uint64_t i = 0; i < COUNT; i++)
                values[i] = (float)(k == 3 ? fabs(case_normal(4, i)) : case_normal((uint64_t)k, i));
            t[k] = (struct tensor){.data = dev_push(&arena, (size_t)COUNT * sizeof(float)),
                                   .dim = {COUNT, 1, 1, 1},
                                   .rank = 1};
            case_put(stream[side], &t[k], values);
            dev_sync(stream[side]);
            free(values);
        }
        t[0].grad = &t[1];
        bool good = adamw_step(stream[side], &conf, &t[0], t[0].data, t[2].data, t[3].data) >= 0 &&
                    grad_norm2(stream[side], &t[1], &sum[side]) >= 0;
        result[side] = good ? case_take(stream[side], &t[0]) : NULL;
        dev_arena_close(&arena);
    }
    double error = result[0] && result[1] ? case_error(result[1], result[0], COUNT) : -1;
    count(error >= 0 && error < 1e-6, "adamw", error);
    count(fabs(sum[1] / sum[0] - 1) < 1e-12, "grad_norm", sum[1] / sum[0] - 1);
    printf("%-14s %-4s max relative error %.2e\n", "adamw", "f32", error);
    free(result[0]);
    free(result[1]);
}

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* Forward and backward of one case, the best of ten, in TFLOP/s of the op's own count and in ms. */
static void bench(struct stream *cuda, const struct op *op, const struct op_case *row)
{
    struct case_run run;
    double best[2] = {1e9, 1e9};
    if (case_open(&run, cuda, op, row, DT_BF16, 1) < 0 || case_forward(&run) < 0 ||
        case_backward(&run, 2, NULL) < 0) {
        printf("bench %s: %s\n", op->name, err_text());
        return;
    }
    struct node *n = tape_last(&run.tape);
    for (int k = 0; k < 20; k++) {
        int (*work)(struct stream *, struct node *) = k % 2 ? op->bwd[DEV_CUDA] : op->fwd[DEV_CUDA];
        double start = seconds();
        if (work(cuda, n) < 0 || dev_sync(cuda) < 0)
            return;
        double took = seconds() - start;
        best[k % 2] = took < best[k % 2] ? took : best[k % 2];
    }
    printf("bench %-14s forward %8.3f ms %7.1f TFLOP/s   backward %8.3f ms %7.1f TFLOP/s\n",
           op->name, best[0] * 1e3, op->flops(n) / best[0] * 1e-12, best[1] * 1e3,
           2 * op->flops(n) / best[1] * 1e-12);
    case_close(&run);
}

static void bench_all(struct stream *cuda)
{
    static const struct {
        const char *op;
        struct op_case row;
    } rows[] = {
        {"matmul", {.in = {{8192, 4096}, {4096, 4096}}}},
        {"matmul", {.in = {{16384, 768}, {3072, 768}}}},
        {"attention", {.in = {{16384, 768}, {16384, 768}, {16384, 768}}, .i = {1024, 64}}},
        {"cross_entropy", {.in = {{8192, 50304}, {8192}}, .fill = {0, 50304}}},
        {"rmsnorm", {.in = {{65536, 768}, {768}}, .f = {1e-5f}}},
        {"swiglu", {.in = {{16384, 3072}, {16384, 3072}}}},
        {"embedding", {.in = {{50304, 768}, {16384}}, .fill = {0, 50304}}},
    };
    for (size_t k = 0; k < COUNT_OF(rows); k++)
        for (int i = 0; ops[i]; i++)
            if (strcmp(ops[i]->name, rows[k].op) == 0)
                bench(cuda, ops[i], &rows[k].row);
}

int main(int argc, char **argv)
{
    printf("GPU: %s\n", cuda_describe());
    for (int k = 0; ops[k]; k++)
        skipped += 2 * ops[k]->case_count;
    if (!cuda_available()) {
        printf("0 passed, 0 failed, %d skipped: no GPU\n", skipped);
        return EXIT_SKIP;
    }
    skipped = 0;
    struct stream *cpu, *cuda;
    if (device_open(&cpu, DEV_CPU, 0) < 0 || device_open(&cuda, DEV_CUDA, 0) < 0) {
        printf("%s\n", err_text());
        return 1;
    }
    printf("%s\n", cuda_libraries());
    for (int k = 0; ops[k]; k++)
        for (int dtype = DT_F32; dtype <= DT_BF16; dtype++)
            check_op(cpu, cuda, ops[k], (enum dtype)dtype);
    for (int k = 0; ops[k]; k++)
        check_repeat(cuda, ops[k], &ops[k]->cases[ops[k]->case_count - 1]);
    check_optimizer(cpu, cuda);
    if (argc > 1 && strcmp(argv[1], "--bench") == 0)
        bench_all(cuda);
    if (gpu_train_test) {
        int runs_failed = gpu_train_test();
        failed += runs_failed;
        passed += runs_failed == 0;
    }
    printf("%d passed, %d failed, %d skipped\n", passed, failed, skipped);
    device_close(cuda);
    device_close(cpu);
    return failed ? 1 : 0;
}

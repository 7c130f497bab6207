/* test_kernels_emu - the CUDA kernels, run on the CPU by tests/emu, against the CPU's own code. */
#include "tests/test.h"

#include "tests/kernel_cases.h"

#define OP(name, args)                                    \
    int name##_fwd_emu(struct stream *s, struct node *n); \
    int name##_bwd_emu(struct stream *s, struct node *n);
#include "kernels/ops.def"
#undef OP
int adamw_emu(struct stream *s, const struct adamw *conf, struct tensor *w, float *master, float *m,
              float *v);
int grad_norm_emu(struct stream *s, const struct tensor *grad, double *sum);

void emu_order(int order);
enum { TOGETHER, FIRST_AHEAD, LAST_AHEAD, ORDERS }; /* of tests/emu/cuda_cpu.h */

static const struct {
    const struct op *op;
    int (*forward)(struct stream *s, struct node *n);
    int (*backward)(struct stream *s, struct node *n);
} emulated[] = {
#define OP(name, args) {&op_##name, name##_fwd_emu, name##_bwd_emu},
#include "kernels/ops.def"
#undef OP
};

static void poison(struct tensor *t)
{
    if (t)
        memset(t->data, 0xff, (size_t)tensor_count(t) * dtype_bytes(t->dtype));
}

static void check_close(const float *got, const float *want, int64_t count, double allowed,
                        const char *what)
{
    double error = case_error(got, want, count);
    if (!(error <= allowed))
        test_fail(__FILE__, __LINE__,
                  "%s: the CUDA kernel is off by %g of the CPU's size, %g is allowed", what, error,
                  allowed);
}

/* Forward and backward by the emulated kernels alone: what the CPU's forward left is poisoned. */
static void run_emulated(struct case_run *r, size_t k, const struct op_case *row, enum dtype dtype,
                         struct stream *s)
{
    CHECK_OK(case_open(r, s, emulated[k].op, row, dtype, 2));
    CHECK_OK(case_forward(r));
    struct node *n = tape_last(&r->tape);
    poison(n->out);
    poison(n->aux[0]);
    poison(n->aux[1]);
    CHECK_OK(emulated[k].forward(s, n));
    CHECK_OK(case_backward(r, 3, emulated[k].backward));
}

static bool same_bits(const struct tensor *a, const struct tensor *b)
{
    return memcmp(a->data, b->data, (size_t)tensor_count(a) * dtype_bytes(a->dtype)) == 0;
}

/* Threads of a block in other orders: the same bits, or a barrier is missing. */
static void check_order(const struct case_run *want, size_t k, int order, struct stream *s)
{
    struct case_run got;
    emu_order(order);
    run_emulated(&got, k, want->row, DT_F32, s);
    emu_order(TOGETHER);
    bool same = same_bits(got.out, want->out);
    for (int i = 0; i < got.in_count; i++)
        if (got.given[i] && got.given[i]->grad)
            same &= same_bits(&got.grad[i], &want->grad[i]);
    if (!same)
        test_fail(__FILE__, __LINE__, "%s: other bits when threads run in order %d",
                  emulated[k].op->name, order);
    case_close(&got);
}

static void check_case(size_t k, const struct op_case *row, enum dtype dtype, struct stream *s)
{
    char what[96];
    struct case_run cpu, cuda;
    double allowed = dtype == DT_F32 ? 2e-5 : 5e-3;
    snprintf(what, sizeof what, "%s %s", emulated[k].op->name, dtype == DT_F32 ? "f32" : "bf16");
    CHECK_OK(case_open(&cpu, s, emulated[k].op, row, dtype, 2));
    CHECK_OK(case_forward(&cpu));
    CHECK_OK(case_backward(&cpu, 3, NULL));
    run_emulated(&cuda, k, row, dtype, s);
    float *got = case_take(s, cuda.out), *want = case_take(s, cpu.out);
    check_close(got, want, tensor_count(cpu.out), allowed, what);
    for (int i = 0; i < cpu.in_count; i++)
        if (cpu.given[i] && cpu.given[i]->grad)
            check_close(cuda.grad[i].data, cpu.grad[i].data, tensor_count(&cpu.in[i]), allowed,
                        what);
    for (int order = FIRST_AHEAD; dtype == DT_F32 && order < ORDERS; order++)
        check_order(&cuda, k, order, s);
    free(got), free(want);
    case_close(&cpu);
    case_close(&cuda);
}

/* Fibers and ThreadSanitizer do not know of each other. */
static void skip_under_tsan(void)
{
#if defined(__SANITIZE_THREAD__)
    test_skip("CUDA emulation: ThreadSanitizer does not follow fibers");
#endif
}

TEST_LIMIT(kernels_emulated_cuda_matches_cpu, 240)
{
    skip_under_tsan();
    struct stream *s;
    CHECK_OK(device_open(&s, DEV_CPU, 2));
    for (size_t k = 0; k < COUNT_OF(emulated); k++)
        for (int c = 0; c < emulated[k].op->case_count; c++)
            for (int dtype = DT_F32; dtype <= DT_BF16; dtype++)
                check_case(k, &emulated[k].op->cases[c], (enum dtype)dtype, s);
    device_close(s);
}

/* Heads wider than the first tile size, documents that skip whole tiles, ignored targets. */
TEST(kernels_emulated_cuda_other_shapes)
{
    skip_under_tsan();
    struct stream *s;
    CHECK_OK(device_open(&s, DEV_CPU, 2));
    const struct op_case wide[] = {
        {.in = {{40, 96}, {40, 96}, {40, 96}, {40}}, .fill = {0, 0, 0, -40}, .i = {40, 96}},
        {.in = {{20, 400}, {20, 200}, {20, 200}}, .i = {20, 200}},
        {.in = {{3, 64}, {70, 64}, {70, 64}}, .i = {3, 32}},
        {.in = {{300, 32}, {300, 16}, {300, 16}, {300}}, .fill = {0, 0, 0, -300}, .i = {300, 16}},
    };
    for (size_t k = 0; k < COUNT_OF(emulated); k++)
        for (size_t c = 0; emulated[k].op == &op_attention && c < COUNT_OF(wide); c++)
            check_case(k, &wide[c], DT_F32, s);
    struct op_case row = {.in = {{6, 300}, {6}}, .fill = {0, 300}};
    struct case_run cpu, cuda;
    CHECK_OK(case_open(&cpu, s, &op_cross_entropy, &row, DT_F32, 8));
    CHECK_OK(case_open(&cuda, s, &op_cross_entropy, &row, DT_F32, 8));
    ((int32_t *)cpu.in[1].data)[2] = ((int32_t *)cuda.in[1].data)[2] = -1;
    CHECK_OK(case_forward(&cpu));
    CHECK_OK(case_forward(&cuda));
    CHECK_OK(cross_entropy_fwd_emu(s, tape_last(&cuda.tape)));
    CHECK_NUM(*(float *)cuda.out->data, *(float *)cpu.out->data, 1e-6);
    CHECK_OK(case_backward(&cpu, 1, NULL));
    CHECK_OK(case_backward(&cuda, 1, cross_entropy_bwd_emu));
    check_close(cuda.grad[0].data, cpu.grad[0].data, 1800, 1e-6,
                "cross_entropy with an ignored target");
    /* What the CPU refuses, CUDA shows as NaN: it cannot stop. */
    ((int32_t *)cuda.in[1].data)[1] = 300;
    CHECK_OK(cross_entropy_fwd_emu(s, tape_last(&cuda.tape)));
    CHECK(isnan(*(float *)cuda.out->data));
    case_close(&cpu);
    case_close(&cuda);
    device_close(s);
}

TEST(kernels_emulated_cuda_optimizer)
{
    skip_under_tsan();
    enum { COUNT = 70003 };
    struct stream *s;
    CHECK_OK(device_open(&s, DEV_CPU, 1));
    float *memory[2][4];
    uint16_t *rounded[2];
    for (int side = 0; side < 2; side++) {
        for (int k = 0; k < 4; k++) {
            memory[side][k] = malloc(COUNT * sizeof(float));
            for (uint64_t i = 0; i < COUNT; i++)
                memory[side][k][i] = (float)(k == 3 ? fabs(case_normal(3, i))
                                                    : case_normal((uint64_t)k, i));
        }
        rounded[side] = calloc(COUNT, 2);
        struct tensor grad = {.data = memory[side][1], .dim = {COUNT, 1, 1, 1}, .rank = 1};
        struct tensor w = {.data = rounded[side],
                           .grad = &grad,
                           .dim = {COUNT, 1, 1, 1},
                           .rank = 1,
                           .dtype = DT_BF16};
        struct adamw conf = {.lr = 0.01f,
                             .beta1 = 0.9f,
                             .beta2 = 0.95f,
                             .eps = 1e-8f,
                             .weight_decay = 0.1f,
                             .grad_scale = 0.5f,
                             .step = 5};
        double sum = 1;
        if (side == 0) {
            CHECK_OK(adamw_step(s, &conf, &w, memory[0][0], memory[0][2], memory[0][3]));
            CHECK_OK(grad_norm2(s, &grad, &sum));
        } else {
            CHECK_OK(adamw_emu(s, &conf, &w, memory[1][0], memory[1][2], memory[1][3]));
            CHECK_OK(grad_norm_emu(s, &grad, &sum));
        }
        double want = 1;
        for (int i = 0; i < COUNT; i++)
            want += (double)memory[side][1][i] * (double)memory[side][1][i];
        CHECK_NUM(sum, want, want * 1e-12);
    }
    for (int k = 0; k < 4; k++)
        check_close(memory[1][k], memory[0][k], COUNT, 1e-7, "adamw");
    int differ = 0;
    for (int i = 0; i < COUNT; i++)
        differ += rounded[0][i] != rounded[1][i];
    CHECK(differ < COUNT / 1000);
    for (int side = 0; side < 2; side++) {
        for (int k = 0; k < 4; k++)
            free(memory[side][k]);
        free(rounded[side]);
    }
    device_close(s);
}

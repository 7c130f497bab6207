/* test_kernels - every op of ops.def on the CPU: gradients, threads, bf16, and what is not an op.
 */
#include "tests/test.h"

#include "tests/kernel_cases.h"

enum { CHECK_ELEMENTS_MAX = 600 };

/* ---- generic over ops[] ---- */

/* The case's loss sum(y r), r normal, as a function of one input element; doubles on the outside.
 */
static double case_loss(struct case_run *r, uint64_t seed)
{
    tape_reset(&r->tape);
    CHECK_OK(case_forward(r));
    double loss = 0;
    float *y = case_take(r->stream, r->out);
    for (int64_t k = 0; k < tensor_count(r->out); k++)
        loss += (double)y[k] * (double)(float)case_normal(seed + 77, (uint64_t)k);
    free(y);
    return loss;
}

/* Five-point central difference: truncation h^4, so that float noise / h can stay small. */
static double case_slope(struct case_run *r, uint64_t seed, float *x, double h)
{
    float saved = *x;
    double value[4], at[4] = {-2, -1, 1, 2};
    for (int k = 0; k < 4; k++) {
        *x = saved + (float)(at[k] * h);
        value[k] = case_loss(r, seed);
    }
    *x = saved;
    return (value[0] - 8 * value[1] + 8 * value[2] - value[3]) / (12 * h);
}

static void check_gradients(const struct op *op, const struct op_case *row, struct stream *s)
{
    struct case_run r;
    CHECK_OK(case_open(&r, s, op, row, DT_F32, 5));
    CHECK_OK(case_forward(&r));
    CHECK_OK(case_backward(&r, 9, NULL));
    for (int k = 0; k < r.in_count; k++) {
        if (!r.given[k] || !r.given[k]->grad)
            continue;
        int64_t count = tensor_count(r.given[k]);
        float *slope = malloc((size_t)count * sizeof *slope),
              *grad = case_take(s, r.given[k]->grad);
        for (int64_t i = 0; i < count; i++) {
            slope[i] = (float)case_slope(&r, 9, (float *)r.given[k]->data + i, 0.02);
            grad[i] -= CASE_GRAD_START;
        }
        double error = case_error(grad, slope, count);
        if (!(error < 2e-4))
            test_fail(__FILE__, __LINE__, "%s case %d input %d: gradient is off by %g of its size",
                      op->name, (int)(row - op->cases), k, error);
        free(slope);
        free(grad);
    }
    case_close(&r);
}

TEST(kernels_gradients_match_differences)
{
    struct stream *s;
    CHECK_OK(device_open(&s, DEV_CPU, 2));
    int checked = 0;
    for (int k = 0; ops[k]; k++) {
        int of_op = 0;
        for (int c = 0; c < ops[k]->case_count; c++) {
            const struct op_case *row = &ops[k]->cases[c];
            int64_t elements = 0;
            for (int i = 0; i < OP_IN_MAX; i++)
                elements += case_count(row->in[i]);
            if (elements > CHECK_ELEMENTS_MAX)
                continue;
            check_gradients(ops[k], row, s);
            of_op++;
        }
        if (!of_op)
            test_fail(__FILE__, __LINE__, "%s has no case small enough to check its gradient",
                      ops[k]->name);
        checked += of_op;
    }
    CHECK(checked >= 11);
    device_close(s);
}

/* Output and gradients of a case, one after another. */
static float *case_results(struct stream *s, const struct op *op, const struct op_case *row,
                           enum dtype dtype, int64_t *count)
{
    struct case_run r;
    CHECK_OK(case_open(&r, s, op, row, dtype, 3));
    CHECK_OK(case_forward(&r));
    CHECK_OK(case_backward(&r, 4, NULL));
    *count = tensor_count(r.out);
    for (int k = 0; k < r.in_count; k++)
        *count += r.given[k] && r.given[k]->grad ? tensor_count(r.given[k]) : 0;
    float *all = malloc((size_t)*count * sizeof *all), *part = case_take(s, r.out);
    int64_t at = tensor_count(r.out);
    memcpy(all, part, (size_t)at * sizeof *all);
    free(part);
    for (int k = 0; k < r.in_count; k++) {
        if (!r.given[k] || !r.given[k]->grad)
            continue;
        part = case_take(s, r.given[k]->grad);
        memcpy(all + at, part, (size_t)tensor_count(r.given[k]) * sizeof *all);
        at += tensor_count(r.given[k]);
        free(part);
    }
    case_close(&r);
    return all;
}

TEST(kernels_same_bits_for_any_thread_count)
{
    for (int k = 0; ops[k]; k++) {
        for (int c = 0; c < ops[k]->case_count; c++) {
            for (int dtype = DT_F32; dtype <= DT_BF16; dtype++) {
                float *first = NULL;
                int64_t count = 0;
                for (int threads = 1; threads <= 3; threads++) {
                    struct stream *s;
                    CHECK_OK(device_open(&s, DEV_CPU, threads));
                    float *now = case_results(s, ops[k], &ops[k]->cases[c], (enum dtype)dtype,
                                              &count);
                    if (first && memcmp(first, now, (size_t)count * sizeof *now) != 0)
                        test_fail(__FILE__, __LINE__,
                                  "%s case %d dtype %d: %d threads give other bits than 1",
                                  ops[k]->name, c, dtype, threads);
                    free(first);
                    first = now;
                    device_close(s);
                }
                free(first);
            }
        }
    }
}

/* bf16 inputs against the same inputs in fp32: outputs and gradients stay within a few bf16
 * roundings. */
TEST(kernels_bf16_is_near_f32)
{
    struct stream *s;
    CHECK_OK(device_open(&s, DEV_CPU, 2));
    for (int k = 0; ops[k]; k++) {
        for (int c = 0; c < ops[k]->case_count; c++) {
            int64_t count = 0;
            float *wide = case_results(s, ops[k], &ops[k]->cases[c], DT_F32, &count);
            float *narrow = case_results(s, ops[k], &ops[k]->cases[c], DT_BF16, &count);
            double error = case_error(narrow, wide, count);
            if (!(error < 0.02))
                test_fail(__FILE__, __LINE__, "%s case %d: bf16 is off by %g", ops[k]->name, c,
                          error);
            free(wide);
            free(narrow);
        }
    }
    device_close(s);
}

/* exp_fast against libm over its whole range, and what lies outside. */
TEST(kernels_exp_fast)
{
    double worst = 0;
    for (int k = -870000; k <= 880000; k += 7) {
        float x = (float)k * 1e-4f;
        double want = exp((double)x), error = fabs((double)exp_fast(x) - want) / want;
        worst = error > worst ? error : worst;
    }
    if (!(worst < 1.5e-7))
        test_fail(__FILE__, __LINE__, "relative error %g", worst);
    CHECK(exp_fast(0) == 1.0f);
    CHECK(exp_fast(-1e30f) > 0 && exp_fast(-1e30f) < 1e-37f);
    CHECK(isfinite(exp_fast(1e30f)));
    CHECK(isnan(exp_fast(NAN)));
}

/* All 65536 values survive; halves round to even; large numbers round up to infinity, NaN stays
 * NaN. */
TEST(kernels_bf16_rounding)
{
    for (uint32_t bits = 0; bits < 65536; bits++) {
        float wide = bf16_widen((uint16_t)bits);
        CHECK(isnan(wide) ? isnan(bf16_widen(bf16_round(wide))) : bf16_round(wide) == bits);
    }
    CHECK(bf16_round(1.0f + 0x1p-8f) == 0x3f80);
    CHECK(bf16_round(1.0f + 0x3p-8f) == 0x3f82);
    CHECK(bf16_round(1.0f + 0x1.01p-8f) == 0x3f81);
    CHECK(bf16_round(3.4e38f) == 0x7f80);
}

/* Every index once, whatever the counts, with workers asleep and awake. */
struct visit {
    int *seen;
    _Atomic int outside;
    int threads;
};

static void visit_task(void *arg, int64_t index, int thread)
{
    struct visit *v = arg;
    v->seen[index]++;
    v->outside += thread < 0 || thread >= v->threads;
}

TEST(kernels_stream_each_runs_every_index_once)
{
    for (int threads = 1; threads <= 5; threads++) {
        struct stream *s;
        CHECK_OK(device_open(&s, DEV_CPU, threads));
        CHECK_INT(stream_threads(s), threads);
        for (int round = 0; round < 400; round++) {
            int count = round * 7 % 90, seen[90] = {0};
            struct visit v = {seen, 0, threads};
            stream_each(s, count, visit_task, &v);
            for (int i = 0; i < 90; i++)
                CHECK_INT(seen[i], i < count);
            CHECK_INT(v.outside, 0);
        }
        device_close(s);
    }
}

/* What callers can get wrong comes back as an error with the op's name, never as a crash. */
TEST(kernels_wrong_inputs_are_refused)
{
    struct stream *s;
    struct dev_arena arena;
    struct tape t;
    CHECK_OK(device_open(&s, DEV_CPU, 1));
    CHECK_OK(dev_arena_open(&arena, s, 1 << 20));
    CHECK_OK(tape_open(&t, &arena, true, DT_F32));
    struct tensor *x = tape_tensor(&t, DT_F32, 2, (int64_t[]){4, 6}, true);
    struct tensor *w = tape_tensor(&t, DT_F32, 2, (int64_t[]){5, 7}, true);
    struct tensor *ids = tape_tensor(&t, DT_I32, 1, (int64_t[]){4}, false);
    CHECK(!matmul_op(&t, x, w, NULL) && strstr(err_text(), "matmul"));
    CHECK(!add_op(&t, x, w) && strstr(err_text(), "add"));
    CHECK(!rmsnorm_op(&t, x, w, 1e-5f) && strstr(err_text(), "rmsnorm"));
    CHECK(!rope_op(&t, x, 3, 2, 10000, 0) && strstr(err_text(), "rope"));
    CHECK(!attention_op(&t, x, x, w, NULL, 4, 2) && strstr(err_text(), "attention"));
    CHECK(!swiglu_op(&t, x, w) && !cross_entropy_op(&t, x, x) && !position_op(&t, x, w, 9));
    int32_t bad[4] = {0, 1, 4, 2};
    memcpy(ids->data, bad, sizeof bad);
    struct tensor *table = tape_tensor(&t, DT_F32, 2, (int64_t[]){4, 6}, true);
    CHECK(!embedding_op(&t, table, ids) && strstr(err_text(), "id 4 at 2"));
    bad[2] = -1;
    memcpy(ids->data, bad, sizeof bad);
    CHECK(!embedding_op(&t, table, ids) && strstr(err_text(), "id -1 at 2"));
    ((int32_t *)ids->data)[2] = 6;
    CHECK(!cross_entropy_op(&t, x, ids) && strstr(err_text(), "target 6 at 2"));
    CHECK(!tape_tensor(&t, DT_F32, 2, (int64_t[]){1 << 10, 1 << 10}, false));
    CHECK(strstr(err_text(), "device memory"));
    struct tensor other = *x;
    other.device = DEV_CUDA;
    CHECK(!add_op(&t, &other, x) && strstr(err_text(), "GPU"));
    CHECK_ERR(tape_backward(&t, x, 1), ERR_USAGE);
    tape_close(&t);
    dev_arena_close(&arena);
    device_close(s);
}

/* One step through the tape: d/dw of the mean loss, a tensor used twice, and a second backward
 * that adds. */
TEST(kernels_tape_walks_back)
{
    struct stream *s;
    struct dev_arena arena;
    struct tape t;
    CHECK_OK(device_open(&s, DEV_CPU, 2));
    CHECK_OK(dev_arena_open(&arena, s, 1 << 20));
    CHECK_OK(tape_open(&t, &arena, true, DT_F32));
    float data[6] = {1, -2, 3, 0.5f, 4, -1}, slope[6] = {0};
    int32_t target[2] = {2, 0};
    struct tensor grad = {.data = slope, .dim = {2, 3, 1, 1}, .rank = 2};
    struct tensor x = {.data = data, .grad = &grad, .dim = {2, 3, 1, 1}, .rank = 2};
    struct tensor targets = {.data = target, .dim = {2, 1, 1, 1}, .rank = 1, .dtype = DT_I32};
    for (int round = 1; round <= 2; round++) {
        tape_reset(&t);
        struct tensor *loss = cross_entropy_op(&t, add_op(&t, &x, &x), &targets);
        CHECK(loss && loss->grad);
        CHECK_OK(tape_backward(&t, loss, 1));
        for (int n = 0; n < 2; n++) {
            double sum = 0;
            for (int v = 0; v < 3; v++)
                sum += exp(2.0 * (double)data[n * 3 + v]);
            for (int v = 0; v < 3; v++) {
                double p = exp(2.0 * (double)data[n * 3 + v]) / sum;
                CHECK_NUM(slope[n * 3 + v], round * 2 * (p - (v == target[n])) / 2, 2e-6);
            }
        }
    }
    t.train = false;
    tape_reset(&t);
    struct tensor *loss = cross_entropy_op(&t, add_op(&t, &x, &x), &targets);
    CHECK(loss && !loss->grad);
    CHECK_INT(t.node_count, 1);
    CHECK(tape_last(&t)->aux[0] && tensor_count(tape_last(&t)->aux[0]) == 2);
    tape_close(&t);
    dev_arena_close(&arena);
    device_close(s);
}

TEST(kernels_no_gpu_is_an_error_that_says_so)
{
    if (cuda_available())
        test_skip("a GPU is here");
    struct stream *s;
    CHECK_ERR(device_open(&s, DEV_CUDA, 0), ERR_GPU);
    CHECK(strlen(err_text()) > 10 && strlen(cuda_describe()) > 10);
}

/* The CUDA kernels on a real device; tests/emu checks the same code where there is none. */
TEST(kernels_cuda_matches_cpu)
{
    if (!cuda_available())
        test_skip("CUDA cases: no device (%s)", cuda_describe());
    struct stream *cpu, *cuda;
    CHECK_OK(device_open(&cpu, DEV_CPU, 0));
    CHECK_OK(device_open(&cuda, DEV_CUDA, 0));
    for (int k = 0; ops[k]; k++) {
        for (int c = 0; c < 2 * ops[k]->case_count; c++) {
            enum dtype dtype = c % 2 ? DT_BF16 : DT_F32;
            double error = case_compare(cpu, cuda, ops[k], &ops[k]->cases[c / 2], dtype);
            if (error < 0 || !(error <= case_allowed(dtype)))
                test_fail(__FILE__, __LINE__, "%s case %d dtype %d: off by %g: %s", ops[k]->name,
                          c / 2, dtype, error, err_text());
        }
    }
    device_close(cpu);
    device_close(cuda);
}

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

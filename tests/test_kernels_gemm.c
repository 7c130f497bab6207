/* test_kernels_gemm - matrix products against three plain loops in double, and what no op
 * covers. */
#include "tests/test.h"

#include "kernels/gemm.h"
#include "tests/kernel_cases.h"

static float *normals(int64_t count, uint64_t seed)
{
    float *x = aligned_alloc(64, ((size_t)count * sizeof *x + 127) / 64 * 64);
    for (int64_t i = 0; i < count; i++)
        x[i] = (float)case_normal(seed, (uint64_t)i);
    return x;
}

struct shape {
    int64_t m, n, k;
};
/* Around every edge: blocks of 8 x 32, tiles of 128 x 256, chunks of 256 (512 of bf16), few
 * rows, odd k. */
static const struct shape shapes[] = {
    {1, 1, 1},    {1, 300, 70},   {4, 65, 33},    {5, 31, 7},      {8, 32, 256}, {7, 33, 257},
    {9, 64, 513}, {130, 257, 40}, {129, 31, 515}, {40, 70, 1030}, {300, 70, 9}, {33, 520, 64},
};

static double at(const float *x, bool turned, int64_t ld, int64_t row, int64_t column)
{
    return (double)(turned ? x[column * ld + row] : x[row * ld + column]);
}

static void check_shape(struct stream *s, struct shape z, int turned, int narrow, bool small)
{
    bool a_turned = turned & 1, b_turned = turned & 2, a_bf16 = narrow & 1, b_bf16 = narrow & 2;
    int64_t lda = (a_turned ? z.m : z.k) + 3, ldb = (b_turned ? z.k : z.n) + 2, ldc = z.n + 5;
    int64_t a_count = (a_turned ? z.k : z.m) * lda, b_count = (b_turned ? z.n : z.k) * ldb;
    float *a = normals(a_count, 1), *b = normals(b_count, 2), *c = normals(z.m * ldc, 3),
          *bias = normals(z.n, 4);
    uint16_t *a16 = malloc((size_t)a_count * 2), *b16 = malloc((size_t)b_count * 2);
    bf16_round_row(a16, a, a_count);
    bf16_round_row(b16, b, b_count);
    if (narrow) {
        bf16_widen_row(a, a16, a_count);
        bf16_widen_row(b, b16, b_count);
    }
    double *want = malloc((size_t)(z.m * ldc) * sizeof *want);
    float alpha = 0.5f, beta = turned == 0 ? 0 : 1;
    for (int64_t i = 0; i < z.m; i++) {
        for (int64_t j = 0; j < ldc; j++) {
            double sum = 0;
            for (int64_t k = 0; j < z.n && k < z.k; k++)
                sum += at(a, a_turned, lda, i, k) * at(b, b_turned, ldb, k, j);
            want[i * ldc + j] = j < z.n ? alpha * sum + (double)(beta * c[i * ldc + j]) +
                                              (small ? 0 : (double)bias[j])
                                        : (double)c[i * ldc + j];
        }
    }
    for (int64_t i = 0; beta == 0 && i < z.m; i++)
        for (int64_t j = 0; j < z.n; j++)
            c[i * ldc + j] = NAN; /* with beta 0, c must not be read */
    struct gemm g = {.m = z.m,
                     .n = z.n,
                     .k = z.k,
                     .a = a_bf16 ? (void *)a16 : (void *)a,
                     .b = b_bf16 ? (void *)b16 : (void *)b,
                     .lda = lda,
                     .ldb = ldb,
                     .a_turned = a_turned,
                     .b_turned = b_turned,
                     .a_bf16 = a_bf16,
                     .b_bf16 = b_bf16,
                     .c = c,
                     .ldc = ldc,
                     .alpha = alpha,
                     .beta = beta,
                     .bias = small ? NULL : bias};
    if (small) {
        void *scratch = aligned_alloc(64, gemm_scratch_bytes());
        gemm_small(&g, scratch);
        free(scratch);
    } else {
        CHECK_OK(gemm_run(s, &g));
    }
    for (int64_t i = 0; i < z.m * ldc; i++) {
        double error = fabs((double)c[i] - want[i]), allowed = 4e-7 * (double)z.k + 2e-6;
        if (!(error <= allowed))
            test_fail(__FILE__, __LINE__,
                      "%lldx%lldx%lld turned %d bf16 %d small %d: element %lld is %g, want %g",
                      (long long)z.m, (long long)z.n, (long long)z.k, turned, narrow, small,
                      (long long)i, (double)c[i], want[i]);
    }
    free(a), free(b), free(c), free(bias), free(a16), free(b16), free(want);
}

TEST_LIMIT(kernels_gemm_matches_three_loops, 240)
{
    struct stream *s;
    CHECK_OK(device_open(&s, DEV_CPU, 2));
    for (size_t k = 0; k < COUNT_OF(shapes); k++)
        for (int turned = 0; turned < 4; turned++)
            for (int narrow = 0; narrow < 4; narrow++)
                for (int small = 0; small < (narrow % 3 ? 1 : 2); small++)
                    check_shape(s, shapes[k], turned, narrow, small);
    device_close(s);
}

/* The block kernels this CPU would not choose still have to be right on the CPUs that do. */
TEST(kernels_gemm_every_block_kernel)
{
    enum { STEPS = 37, A_ROW = 41 };
    float *a = normals(GEMM_ROWS * A_ROW, 5), *b = normals(STEPS * GEMM_COLUMNS, 6);
    int checked = 0;
    for (const struct gemm_kernels *k = gemm_kernels_all; k->name; k++) {
        if (!gemm_kernels_usable(k))
            continue;
        float *c = normals(GEMM_ROWS * GEMM_COLUMNS, 7);
        float *before = normals(GEMM_ROWS * GEMM_COLUMNS, 7);
        struct gemm_block x = {.steps = STEPS,
                               .a = a,
                               .a_row = A_ROW,
                               .a_step = 1,
                               .b = b,
                               .c = c,
                               .ldc = GEMM_COLUMNS,
                               .alpha = 2,
                               .beta = -1};
        k->floats(&x);
        for (int i = 0; i < GEMM_ROWS; i++) {
            for (int j = 0; j < GEMM_COLUMNS; j++) {
                double sum = 0;
                for (int step = 0; step < STEPS; step++)
                    sum += (double)a[i * A_ROW + step] * (double)b[step * GEMM_COLUMNS + j];
                CHECK_NUM(c[i * GEMM_COLUMNS + j], 2 * sum - (double)before[i * GEMM_COLUMNS + j],
                          3e-5);
            }
        }
        free(c), free(before);
        checked++;
    }
    CHECK(checked >= 1);
    free(a), free(b);
}

/* PyTorch's AdamW, three steps in double. */
TEST(kernels_adamw_matches_double)
{
    enum { COUNT = 40000 };
    struct stream *s;
    CHECK_OK(device_open(&s, DEV_CPU, 2));
    float *p = normals(COUNT, 1), *m = calloc(COUNT, 4), *v = calloc(COUNT, 4),
          *g = normals(COUNT, 2);
    uint16_t *w16 = calloc(COUNT, 2);
    double *dp = malloc(COUNT * 8), *dm = calloc(COUNT, 8), *dv = calloc(COUNT, 8);
    for (int i = 0; i < COUNT; i++)
        dp[i] = (double)p[i];
    struct tensor grad = {.data = g, .dim = {COUNT, 1, 1, 1}, .rank = 1, .dtype = DT_F32};
    struct tensor w = {
        .data = w16, .grad = &grad, .dim = {COUNT, 1, 1, 1}, .rank = 1, .dtype = DT_BF16};
    for (int step = 1; step <= 3; step++) {
        struct adamw conf = {.lr = 0.01f,
                             .beta1 = 0.9f,
                             .beta2 = 0.95f,
                             .eps = 1e-8f,
                             .weight_decay = 0.1f,
                             .grad_scale = 0.5f,
                             .step = step};
        CHECK_OK(adamw_step(s, &conf, &w, p, m, v));
        for (int i = 0; i < COUNT; i++) {
            double x = (double)g[i] * 0.5, b1 = (double)conf.beta1, b2 = (double)conf.beta2;
            dm[i] = b1 * dm[i] + (1 - b1) * x;
            dv[i] = b2 * dv[i] + (1 - b2) * x * x;
            double move = dm[i] / (1 - pow(b1, step)) / (sqrt(dv[i] / (1 - pow(b2, step))) + 1e-8);
            dp[i] -= (double)conf.lr * (move + (double)conf.weight_decay * dp[i]);
        }
        for (int i = 0; i < COUNT; i++)
            g[i] = (float)case_normal(100 + (uint64_t)step, (uint64_t)i);
    }
    for (int i = 0; i < COUNT; i++) {
        CHECK_NUM(p[i], dp[i], 3e-7 * (1 + fabs(dp[i])));
        CHECK(w16[i] == bf16_round(p[i]));
    }
    struct adamw first = {.lr = 1, .grad_scale = 1, .step = 0};
    CHECK_ERR(adamw_step(s, &first, &w, p, m, v), ERR_USAGE);
    free(p), free(m), free(v), free(g), free(w16), free(dp), free(dm), free(dv);
    device_close(s);
}

TEST(kernels_grad_norm_is_exact_and_same_for_threads)
{
    enum { COUNT = 200001 };
    float *g = normals(COUNT, 9);
    double want = 0, got[3] = {0};
    for (int i = 0; i < COUNT; i++)
        want += (double)g[i] * (double)g[i];
    struct tensor grad = {.data = g, .dim = {COUNT, 1, 1, 1}, .rank = 1, .dtype = DT_F32};
    for (int threads = 1; threads <= 3; threads++) {
        struct stream *s;
        CHECK_OK(device_open(&s, DEV_CPU, threads));
        CHECK_OK(grad_norm2(s, &grad, &got[threads - 1]));
        device_close(s);
    }
    CHECK_NUM(got[0], want, want * 1e-13);
    CHECK(got[0] == got[1] && got[1] == got[2]);
    free(g);
}

/* test_kernels_twin - every op against a slow twin in double, written from its formula. */
#include "tests/test.h"

#include "tests/kernel_cases.h"

/* Inputs of a case as doubles (ids stay integers), and the twin's answer. */
struct twin_case {
    const struct case_run *run;
    const struct op_case *row;
    double *in[OP_IN_MAX];
    int32_t *ids[OP_IN_MAX];
    double *out;
};

static int64_t columns_of(const struct twin_case *c, int k)
{
    return tensor_columns(&c->run->in[k]);
}
static int64_t rows_of(const struct twin_case *c, int k) { return tensor_rows(&c->run->in[k]); }

static void twin_embedding(struct twin_case *c)
{
    int64_t C = columns_of(c, 0);
    for (int64_t n = 0; n < tensor_count(&c->run->in[1]); n++)
        for (int64_t i = 0; i < C; i++)
            c->out[n * C + i] = c->in[0][c->ids[1][n] * C + i];
}

static void twin_position(struct twin_case *c)
{
    int64_t C = columns_of(c, 0);
    for (int64_t n = 0; n < rows_of(c, 0); n++)
        for (int64_t i = 0; i < C; i++)
            c->out[n * C + i] = c->in[0][n * C + i] + c->in[1][n % c->row->i[0] * C + i];
}

static void twin_matmul(struct twin_case *c)
{
    int64_t K = columns_of(c, 0), M = rows_of(c, 1);
    for (int64_t n = 0; n < rows_of(c, 0); n++) {
        for (int64_t m = 0; m < M; m++) {
            double sum = c->in[2] ? c->in[2][m] : 0;
            for (int64_t k = 0; k < K; k++)
                sum += c->in[0][n * K + k] * c->in[1][m * K + k];
            c->out[n * M + m] = sum;
        }
    }
}

static void twin_add(struct twin_case *c)
{
    for (int64_t i = 0; i < tensor_count(&c->run->in[0]); i++)
        c->out[i] = c->in[0][i] + c->in[1][i];
}

static void twin_rmsnorm(struct twin_case *c)
{
    int64_t C = columns_of(c, 0);
    for (int64_t n = 0; n < rows_of(c, 0); n++) {
        double squares = 0;
        for (int64_t i = 0; i < C; i++)
            squares += c->in[0][n * C + i] * c->in[0][n * C + i];
        for (int64_t i = 0; i < C; i++)
            c->out[n * C + i] = c->in[0][n * C + i] /
                                sqrt(squares / (double)C + (double)c->row->f[0]) * c->in[1][i];
    }
}

static void twin_layernorm(struct twin_case *c)
{
    int64_t C = columns_of(c, 0);
    for (int64_t n = 0; n < rows_of(c, 0); n++) {
        const double *x = c->in[0] + n * C;
        double mean = 0, variance = 0;
        for (int64_t i = 0; i < C; i++)
            mean += x[i] / (double)C;
        for (int64_t i = 0; i < C; i++)
            variance += (x[i] - mean) * (x[i] - mean) / (double)C;
        for (int64_t i = 0; i < C; i++)
            c->out[n * C + i] = (x[i] - mean) / sqrt(variance + (double)c->row->f[0]) *
                                    c->in[1][i] +
                                (c->in[2] ? c->in[2][i] : 0);
    }
}

static void twin_rope(struct twin_case *c)
{
    int64_t C = columns_of(c, 0), T = c->row->i[0], D = c->row->i[1], half = D / 2;
    for (int64_t n = 0; n < rows_of(c, 0); n++) {
        for (int64_t i = 0; i < C; i++) {
            int64_t j = i % D % half;
            double angle = (double)(n % T + c->row->i[2]) *
                           pow((double)c->row->f[0], -2.0 * (double)j / (double)D);
            double self = c->in[0][n * C + i];
            double other = i % D < half ? -c->in[0][n * C + i + half] : c->in[0][n * C + i - half];
            c->out[n * C + i] = self * cos(angle) + other * sin(angle);
        }
    }
}

/* One query of one head, all keys looked at: nothing is blocked. */
static void twin_query(struct twin_case *c, int64_t n, int64_t h)
{
    int64_t C = columns_of(c, 0), T = c->row->i[0], D = c->row->i[1], KC = columns_of(c, 1);
    int64_t S = rows_of(c, 1) / (rows_of(c, 0) / T), b = n / T, position = n % T + S - T,
            g = h / (C / KC);
    double *weight = calloc((size_t)S, sizeof *weight), sum = 0;
    for (int64_t j = 0; j < S; j++) {
        double score = 0;
        for (int64_t i = 0; i < D; i++)
            score += c->in[0][n * C + h * D + i] * c->in[1][(b * S + j) * KC + g * D + i];
        bool seen = j <= position && (!c->ids[3] || j >= c->ids[3][n]);
        weight[j] = seen ? exp(score / sqrt((double)D)) : 0;
        sum += weight[j];
    }
    for (int64_t i = 0; i < D; i++) {
        double mix = 0;
        for (int64_t j = 0; j < S; j++)
            mix += weight[j] / sum * c->in[2][(b * S + j) * KC + g * D + i];
        c->out[n * C + h * D + i] = mix;
    }
    free(weight);
}

static void twin_attention(struct twin_case *c)
{
    for (int64_t n = 0; n < rows_of(c, 0); n++)
        for (int64_t h = 0; h < columns_of(c, 0) / c->row->i[1]; h++)
            twin_query(c, n, h);
}

static void twin_swiglu(struct twin_case *c)
{
    for (int64_t i = 0; i < tensor_count(&c->run->in[0]); i++)
        c->out[i] = c->in[0][i] / (1 + exp(-c->in[0][i])) * c->in[1][i];
}

static void twin_gelu(struct twin_case *c)
{
    for (int64_t i = 0; i < tensor_count(&c->run->in[0]); i++) {
        double x = c->in[0][i];
        c->out[i] = 0.5 * x *
                    (1 + tanh(sqrt(2 / 3.14159265358979323846) * (x + 0.044715 * x * x * x)));
    }
}

static void twin_cross_entropy(struct twin_case *c)
{
    int64_t N = rows_of(c, 0), V = columns_of(c, 0), counted = 0;
    c->out[0] = 0;
    for (int64_t n = 0; n < N; n++) {
        if (c->ids[1][n] < 0)
            continue;
        double sum = 0;
        for (int64_t v = 0; v < V; v++)
            sum += exp(c->in[0][n * V + v]);
        c->out[0] += log(sum) - c->in[0][n * V + c->ids[1][n]];
        counted++;
    }
    c->out[0] /= counted ? (double)counted : 1;
}

/* A row missing here fails the test below by name. */
static const struct {
    const char *name;
    void (*forward)(struct twin_case *c);
} twins[] = {
    {"embedding", twin_embedding},
    {"position", twin_position},
    {"matmul", twin_matmul},
    {"add", twin_add},
    {"rmsnorm", twin_rmsnorm},
    {"layernorm", twin_layernorm},
    {"rope", twin_rope},
    {"attention", twin_attention},
    {"swiglu", twin_swiglu},
    {"gelu", twin_gelu},
    {"cross_entropy", twin_cross_entropy},
};

static void (*twin_of(const char *name))(struct twin_case *c)
{
    for (size_t k = 0; k < COUNT_OF(twins); k++)
        if (strcmp(twins[k].name, name) == 0)
            return twins[k].forward;
    test_fail(__FILE__, __LINE__, "%s has no twin: write its formula in double", name);
}

static void twin_open(struct twin_case *c, const struct case_run *r)
{
    *c = (struct twin_case){.run = r, .row = r->row};
    for (int k = 0; k < r->in_count; k++) {
        if (!r->given[k])
            continue;
        int64_t count = tensor_count(r->given[k]);
        if (r->in[k].dtype == DT_I32) {
            c->ids[k] = r->in[k].data;
            continue;
        }
        float *values = case_take(r->stream, r->given[k]);
        c->in[k] = malloc((size_t)count * sizeof(double));
        for (int64_t i = 0; i < count; i++)
            c->in[k][i] = (double)values[i];
        free(values);
    }
    c->out = malloc((size_t)tensor_count(r->out) * sizeof(double));
}

static void twin_close(struct twin_case *c)
{
    for (int k = 0; k < OP_IN_MAX; k++)
        free(c->in[k]);
    free(c->out);
}

static void check_output(const struct op *op, int index, struct stream *s)
{
    struct case_run r;
    struct twin_case c;
    CHECK_OK(case_open(&r, s, op, &op->cases[index], DT_F32, 21));
    CHECK_OK(case_forward(&r));
    twin_open(&c, &r);
    twin_of(op->name)(&c);
    int64_t count = tensor_count(r.out);
    double difference = 0, size = 0;
    for (int64_t i = 0; i < count; i++) {
        double got = (double)((const float *)r.out->data)[i];
        difference += (got - c.out[i]) * (got - c.out[i]);
        size += c.out[i] * c.out[i];
    }
    double error = sqrt(difference / size);
    if (!(error <= (double)op->cases[index].tol))
        test_fail(__FILE__, __LINE__, "%s case %d: off by %g of the twin, %g is allowed", op->name,
                  index, error, (double)op->cases[index].tol);
    twin_close(&c);
    case_close(&r);
}

TEST(kernels_twin_outputs)
{
    struct stream *s;
    CHECK_OK(device_open(&s, DEV_CPU, 2));
    for (int k = 0; ops[k]; k++)
        for (int index = 0; index < ops[k]->case_count; index++)
            check_output(ops[k], index, s);
    device_close(s);
}

/* d/dx of sum(y r) by central differences of the twin: exact to about 1e-9, unlike differences
 * of floats. */
static double twin_slope(struct twin_case *c, const double *r, int64_t count, double *x)
{
    double saved = *x, value[2], h = 1e-5;
    for (int side = 0; side < 2; side++) {
        *x = saved + (side ? h : -h);
        twin_of(c->run->op->name)(c);
        value[side] = 0;
        for (int64_t i = 0; i < count; i++)
            value[side] += c->out[i] * r[i];
    }
    *x = saved;
    return (value[1] - value[0]) / (2 * h);
}

enum { SLOPES_MAX = 40, TWIN_ELEMENTS_MAX = 10000 };

/* A sample of each input's gradient: every element of small inputs, SLOPES_MAX spread over large
 * ones. */
static void check_slopes(const struct op *op, int index, struct stream *s)
{
    struct case_run run;
    struct twin_case c;
    CHECK_OK(case_open(&run, s, op, &op->cases[index], DT_F32, 31));
    CHECK_OK(case_forward(&run));
    CHECK_OK(case_backward(&run, 6, NULL));
    twin_open(&c, &run);
    int64_t count = tensor_count(run.out);
    double *r = malloc((size_t)count * sizeof *r);
    for (int64_t i = 0; i < count; i++)
        r[i] = (double)((const float *)run.out->grad->data)[i];
    for (int k = 0; k < run.in_count; k++) {
        if (!run.given[k] || !run.given[k]->grad)
            continue;
        int64_t elements = tensor_count(run.given[k]), step = elements / SLOPES_MAX + 1;
        double difference = 0, size = 0;
        for (int64_t i = 0; i < elements; i += step) {
            double want = twin_slope(&c, r, count, &c.in[k][i]);
            double got = (double)((const float *)run.grad[k].data)[i] - (double)CASE_GRAD_START;
            difference += (got - want) * (got - want);
            size += want * want;
        }
        double error = sqrt(difference / (size + 1e-12));
        if (!(error <= 2e-5))
            test_fail(__FILE__, __LINE__, "%s case %d input %d: gradient is off by %g", op->name,
                      index, k, error);
    }
    free(r);
    twin_close(&c);
    case_close(&run);
}

TEST_LIMIT(kernels_twin_gradients, 240)
{
    struct stream *s;
    CHECK_OK(device_open(&s, DEV_CPU, 2));
    for (int k = 0; ops[k]; k++)
        for (int index = 0; index < ops[k]->case_count; index++)
            if (case_count(ops[k]->cases[index].in[0]) < TWIN_ELEMENTS_MAX)
                check_slopes(ops[k], index, s);
    device_close(s);
}

/* Targets below 0 count for nothing: neither in the mean nor in the gradient; their row loss is
 * 0. */
TEST(kernels_twin_ignored_targets)
{
    struct stream *s;
    CHECK_OK(device_open(&s, DEV_CPU, 2));
    struct op_case row = {.in = {{6, 11}, {6}}, .fill = {0, 11}};
    struct case_run r;
    CHECK_OK(case_open(&r, s, &op_cross_entropy, &row, DT_F32, 8));
    int32_t *targets = r.in[1].data;
    targets[1] = targets[4] = -1;
    CHECK_OK(case_forward(&r));
    struct twin_case c;
    twin_open(&c, &r);
    twin_cross_entropy(&c);
    CHECK_NUM(*(float *)r.out->data, c.out[0], 1e-6);
    const float *losses = tape_last(&r.tape)->aux[0]->data;
    CHECK(losses[1] == 0 && losses[4] == 0 && losses[0] > 0);
    CHECK_OK(case_backward(&r, 1, NULL));
    const float *grad = r.grad[0].data;
    for (int v = 0; v < 11; v++)
        CHECK(grad[11 + v] == CASE_GRAD_START && grad[0] != CASE_GRAD_START);
    for (int n = 0; n < 6; n++)
        targets[n] = -1;
    CHECK_OK(case_forward(&r));
    CHECK(*(float *)r.out->data == 0);
    CHECK_OK(case_backward(&r, 1, NULL));
    twin_close(&c);
    case_close(&r);
    device_close(s);
}

/* New tokens one at a time over cached keys give what the whole sequence at once gives. */
TEST(kernels_twin_decoding_equals_prefill)
{
    enum { T = 9, H = 4, G = 2, D = 8 };
    struct stream *s;
    CHECK_OK(device_open(&s, DEV_CPU, 2));
    struct op_case row = {.in = {{T, H * D}, {T, G * D}, {T, G * D}}, .i = {T, D}};
    struct case_run whole;
    CHECK_OK(case_open(&whole, s, &op_attention, &row, DT_F32, 12));
    CHECK_OK(case_forward(&whole));
    whole.tape.train = false;
    for (int64_t t = 0; t < T; t++) {
        struct tensor q = whole.in[0], k = whole.in[1], v = whole.in[2];
        q.data = (float *)q.data + t * H * D;
        q.dim[0] = 1;
        k.dim[0] = v.dim[0] = t + 1;
        q.grad = k.grad = v.grad = NULL;
        struct tensor *y = attention_op(&whole.tape, &q, &k, &v, NULL, 1, D);
        CHECK(y != NULL);
        for (int64_t i = 0; i < H * D; i++)
            CHECK_NUM(((float *)y->data)[i], ((float *)whole.out->data)[t * H * D + i], 2e-6);
    }
    case_close(&whole);
    device_close(s);
}

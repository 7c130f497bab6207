/* test_model - both architectures against forward passes written out in double, and what hangs on
 * them. */
#include "tests/test.h"

#include "core/hash.h"
#include "core/json.h"
#include "model/model.h"
#include "model/parts.h"

#include <math.h>
#include <stdarg.h>

/* ---- a tiny model and its oracle ---- */

enum { B = 2, T = 7, N = B * T, PARAMS = 64 };

static struct model_conf tiny_conf(const char *arch)
{
    struct arena a;
    struct model_conf c;
    CHECK_OK(arena_open(&a, 1 << 20));
    CHECK_OK(opt_defaults(model_opts, &c, &a));
    c.arch = arch;
    c.layers = 2;
    c.heads = 4;
    c.kv_heads = strcmp(arch, "llama") == 0 ? 2 : 0;
    c.width = 16;
    c.hidden = 24;
    c.context = 16;
    c.vocab = 19;
    c.dtype = "f32";
    c.seed = 7;
    return c;
}

/* Weights as doubles, found by name; init is scaled up so that every part of the model matters. */
struct net { struct model *m; double *value[PARAMS]; };

static void net_open(struct net *net, struct model *m)
{
    net->m = m;
    CHECK(m->param_count <= PARAMS);
    uint64_t state = 5;
    for (int i = 0; i < m->param_count; i++) {
        size_t count = (size_t)tensor_count(&m->param[i].w);
        float *host = malloc(count * sizeof *host);
        net->value[i] = malloc(count * sizeof(double));
        CHECK_OK(model_get(m, i, host));
        for (size_t k = 0; k < count; k++) {
            host[k] += 0.5f * ((float)(test_random(&state) >> 40) / (float)(1 << 24) - 0.5f);
            net->value[i][k] = (double)host[k];
        }
        CHECK_OK(model_put(m, i, host));
        free(host);
    }
}

static void net_close(struct net *net)
{
    for (int i = 0; i < net->m->param_count; i++)
        free(net->value[i]);
}

PRINTF_LIKE(2, 3) static double *weight(const struct net *net, const char *fmt, ...)
{
    char name[96];
    va_list args;
    va_start(args, fmt);
    vsnprintf(name, sizeof name, fmt, args);
    va_end(args);
    for (int i = 0; i < net->m->param_count; i++)
        if (strcmp(net->m->param[i].name, name) == 0)
            return net->value[i];
    test_fail(__FILE__, __LINE__, "no parameter %s", name);
}

/* y[rows] = W[rows][cols] x + bias */
static void affine(double *y, const double *x, const double *w, const double *bias, int rows,
                   int cols)
{
    for (int r = 0; r < rows; r++) {
        y[r] = bias ? bias[r] : 0;
        for (int c = 0; c < cols; c++)
            y[r] += w[r * cols + c] * x[c];
    }
}

static void norm_rms(double *y, const double *x, const double *w, int C, double eps)
{
    double sum = 0;
    for (int c = 0; c < C; c++)
        sum += x[c] * x[c];
    for (int c = 0; c < C; c++)
        y[c] = x[c] / sqrt(sum / C + eps) * w[c];
}

static void norm_layer(double *y, const double *x, const double *w, const double *b, int C,
                       double eps)
{
    double mean = 0, var = 0;
    for (int c = 0; c < C; c++)
        mean += x[c] / C;
    for (int c = 0; c < C; c++)
        var += (x[c] - mean) * (x[c] - mean) / C;
    for (int c = 0; c < C; c++)
        y[c] = (x[c] - mean) / sqrt(var + eps) * w[c] + b[c];
}

/* transformers' rotate_half: pairs are (j, j + D/2). */
static void rotate(double *x, int heads, int D, int position, double theta)
{
    for (int h = 0; h < heads; h++)
        for (int j = 0; j < D / 2; j++) {
            double angle = position * pow(theta, -2.0 * j / D), *p = x + h * D;
            double first = p[j], second = p[j + D / 2];
            p[j] = first * cos(angle) - second * sin(angle);
            p[j + D / 2] = second * cos(angle) + first * sin(angle);
        }
}

static void attend(double *out, double q[][64], double k[][64], double v[][64],
                   const int32_t *start, int t, int H, int G, int D)
{
    for (int h = 0; h < H; h++) {
        int kv = h / (H / G) * D;
        double score[64], sum = 0, most = -1e300;
        for (int s = start[t]; s <= t; s++) {
            score[s] = 0;
            for (int d = 0; d < D; d++)
                score[s] += q[t][h * D + d] * k[s][kv + d] / sqrt(D);
            most = score[s] > most ? score[s] : most;
        }
        for (int s = start[t]; s <= t; s++)
            sum += score[s] = exp(score[s] - most);
        for (int d = 0; d < D; d++) {
            out[h * D + d] = 0;
            for (int s = start[t]; s <= t; s++)
                out[h * D + d] += score[s] / sum * v[s][kv + d];
        }
    }
}

static void llama_row(const struct net *net, double x[][64], const int32_t *start, int time)
{
    const struct model_conf *c = &net->m->conf;
    int C = (int)c->width, H = (int)c->heads, G = (int)c->kv_heads, D = C / H, F = (int)c->hidden;
    for (int l = 0; l < (int)c->layers; l++) {
        double q[64][64], k[64][64], v[64][64], h[64], y[64], gate[64], up[64];
        for (int t = 0; t < time; t++) {
            norm_rms(h, x[t], weight(net, "model.layers.%d.input_layernorm.weight", l), C,
                     c->norm_eps);
            affine(q[t], h, weight(net, "model.layers.%d.self_attn.q_proj.weight", l), NULL, C, C);
            affine(k[t], h, weight(net, "model.layers.%d.self_attn.k_proj.weight", l), NULL, G * D,
                   C);
            affine(v[t], h, weight(net, "model.layers.%d.self_attn.v_proj.weight", l), NULL, G * D,
                   C);
            rotate(q[t], H, D, t, c->rope_theta);
            rotate(k[t], G, D, t, c->rope_theta);
        }
        for (int t = 0; t < time; t++) {
            attend(h, q, k, v, start, t, H, G, D);
            affine(y, h, weight(net, "model.layers.%d.self_attn.o_proj.weight", l), NULL, C, C);
            for (int i = 0; i < C; i++)
                x[t][i] += y[i];
            norm_rms(h, x[t], weight(net, "model.layers.%d.post_attention_layernorm.weight", l), C,
                     c->norm_eps);
            affine(gate, h, weight(net, "model.layers.%d.mlp.gate_proj.weight", l), NULL, F, C);
            affine(up, h, weight(net, "model.layers.%d.mlp.up_proj.weight", l), NULL, F, C);
            for (int i = 0; i < F; i++)
                gate[i] = gate[i] / (1 + exp(-gate[i])) * up[i];
            affine(y, gate, weight(net, "model.layers.%d.mlp.down_proj.weight", l), NULL, C, F);
            for (int i = 0; i < C; i++)
                x[t][i] += y[i];
        }
    }
    for (int t = 0; t < time; t++) {
        double h[64];
        norm_rms(h, x[t], weight(net, "model.norm.weight"), C, c->norm_eps);
        memcpy(x[t], h, sizeof h);
    }
}

static double gelu(double x)
{
    return 0.5 * x * (1 + tanh(0.7978845608028654 * (x + 0.044715 * x * x * x)));
}

static void gpt2_row(const struct net *net, double x[][64], const int32_t *start, int time)
{
    const struct model_conf *c = &net->m->conf;
    int C = (int)c->width, H = (int)c->heads, F = (int)c->hidden;
    double q[64][64], k[64][64], v[64][64], h[64], y[64], f[64], (*qkv[3])[64] = {q, k, v};
    for (int t = 0; t < time; t++)
        for (int i = 0; i < C; i++)
            x[t][i] += weight(net, "transformer.wpe.weight")[t * C + i];
    for (int l = 0; l < (int)c->layers; l++) {
        for (int t = 0; t < time; t++) {
            norm_layer(h, x[t], weight(net, "transformer.h.%d.ln_1.weight", l),
                       weight(net, "transformer.h.%d.ln_1.bias", l), C, c->norm_eps);
            for (int part = 0; part < 3; part++)
                affine(qkv[part][t], h,
                       weight(net, "transformer.h.%d.attn.c_attn.weight[%d]", l, part),
                       weight(net, "transformer.h.%d.attn.c_attn.bias[%d]", l, part), C, C);
        }
        for (int t = 0; t < time; t++) {
            attend(h, q, k, v, start, t, H, H, C / H);
            affine(y, h, weight(net, "transformer.h.%d.attn.c_proj.weight", l),
                   weight(net, "transformer.h.%d.attn.c_proj.bias", l), C, C);
            for (int i = 0; i < C; i++)
                x[t][i] += y[i];
            norm_layer(h, x[t], weight(net, "transformer.h.%d.ln_2.weight", l),
                       weight(net, "transformer.h.%d.ln_2.bias", l), C, c->norm_eps);
            affine(f, h, weight(net, "transformer.h.%d.mlp.c_fc.weight", l),
                   weight(net, "transformer.h.%d.mlp.c_fc.bias", l), F, C);
            for (int i = 0; i < F; i++)
                f[i] = gelu(f[i]);
            affine(y, f, weight(net, "transformer.h.%d.mlp.c_proj.weight", l),
                   weight(net, "transformer.h.%d.mlp.c_proj.bias", l), C, F);
            for (int i = 0; i < C; i++)
                x[t][i] += y[i];
        }
    }
    for (int t = 0; t < time; t++) {
        norm_layer(h, x[t], weight(net, "transformer.ln_f.weight"),
                   weight(net, "transformer.ln_f.bias"), C, c->norm_eps);
        memcpy(x[t], h, sizeof h);
    }
}

/* Logits of one row of `time` tokens. */
static void oracle_logits(const struct net *net, const int32_t *ids, const int32_t *start, int time,
                          double *logits)
{
    const struct model_conf *c = &net->m->conf;
    bool llama = strcmp(c->arch, "llama") == 0;
    int C = (int)c->width, V = (int)c->vocab;
    const double *embed = weight(net,
                                 llama ? "model.embed_tokens.weight" : "transformer.wte.weight");
    double x[64][64];
    for (int t = 0; t < time; t++)
        memcpy(x[t], embed + ids[t] * C, (size_t)C * sizeof(double));
    if (llama)
        llama_row(net, x, start, time);
    else
        gpt2_row(net, x, start, time);
    const double *head = c->tied ? embed : weight(net, "lm_head.weight");
    for (int t = 0; t < time; t++)
        affine(logits + t * V, x[t], head, NULL, V, C);
}

static double oracle_loss(const struct net *net, const int32_t *ids, const int32_t *targets,
                          const int32_t *start)
{
    int V = (int)net->m->conf.vocab, counted = 0;
    double logits[N * 32], sum = 0;
    for (int b = 0; b < B; b++)
        oracle_logits(net, ids + b * T, start + b * T, T, logits + b * T * V);
    for (int n = 0; n < N; n++) {
        if (targets[n] < 0)
            continue;
        double total = 0;
        for (int i = 0; i < V; i++)
            total += exp(logits[n * V + i]);
        sum += log(total) - logits[n * V + targets[n]];
        counted++;
    }
    return sum / counted;
}

static struct tensor *input(struct tape *t, const int32_t *host, int64_t count)
{
    struct tensor *made = tape_tensor(t, DT_I32, 1, &count, false);
    CHECK(made);
    CHECK_OK(dev_upload(t->stream, made->data, host, (size_t)count * 4));
    return made;
}

struct rig { struct stream *s; struct model m; struct dev_arena arena; struct tape tape; };

static void rig_open(struct rig *r, const struct model_conf *c, bool train, int threads)
{
    CHECK_OK(device_open(&r->s, DEV_CPU, threads));
    CHECK_OK(model_open(&r->m, c, r->s, train));
    CHECK_OK(dev_arena_open(&r->arena, r->s, 64 << 20));
    CHECK_OK(tape_open(&r->tape, &r->arena, train, model_dtype(&r->m)));
}

static void rig_close(struct rig *r)
{
    tape_close(&r->tape);
    dev_arena_close(&r->arena);
    model_close(&r->m);
    device_close(r->s);
}

static void make_batch(int32_t *ids, int32_t *targets, int32_t *start, int V)
{
    uint64_t state = 3;
    for (int n = 0; n < N; n++) {
        ids[n] = (int32_t)(test_random(&state) % (uint64_t)V);
        targets[n] = n % 5 == 4 ? -1 : (int32_t)(test_random(&state) % (uint64_t)V);
        start[n] = n < T ? 0 : n - T < 3 ? 0 : 3;          /* the second row holds two documents */
    }
    ids[0] = 1, ids[T] = 2, ids[T + 3] = 3;                 /* no two documents begin alike: all can be learnt */
}

/* Logits, loss and gradients of the tape in fp32 against the double oracle and its central
 * differences. */
static void check_against_oracle(struct model_conf c)
{
    struct rig r;
    struct net net;
    int32_t ids[N], targets[N], start[N];
    int V = (int)c.vocab;
    double want[N * 32];
    rig_open(&r, &c, true, 2);
    net_open(&net, &r.m);
    make_batch(ids, targets, start, V);
    struct tensor *logits = r.m.type->forward(&r.m, &r.tape, input(&r.tape, ids, N),
                                              input(&r.tape, start, N), T, NULL);
    CHECK(logits);
    struct tensor *loss = cross_entropy_op(&r.tape, logits, input(&r.tape, targets, N));
    CHECK(loss);
    CHECK_OK(tape_backward(&r.tape, loss, 1));
    for (int b = 0; b < B; b++)
        oracle_logits(&net, ids + b * T, start + b * T, T, want + b * T * V);
    for (int i = 0; i < N * V; i++)
        CHECK_NUM(((float *)logits->data)[i], want[i], 2e-5 * (1 + fabs(want[i])));
    CHECK_NUM(*(float *)loss->data, oracle_loss(&net, ids, targets, start), 1e-5);
    uint64_t state = 11;
    double largest = 0;
    for (int p = 0; p < r.m.param_count; p++)
        for (int probe = 0; probe < 6; probe++) {
            uint64_t count = (uint64_t)tensor_count(&r.m.param[p].w),
                     k = test_random(&state) % count;
            double *at = &net.value[p][k], was = *at, h = 1e-5;
            *at = was + h;
            double up = oracle_loss(&net, ids, targets, start);
            *at = was - h;
            double down = oracle_loss(&net, ids, targets, start), slope = (up - down) / (2 * h);
            *at = was;
            double got = (double)((float *)r.m.param[p].w.grad->data)[k];
            if (!(fabs(got - slope) <= 2e-5 + 2e-4 * fabs(slope)))
                test_fail(__FILE__, __LINE__, "gradient of %s[%llu]: got %g, want %g",
                          r.m.param[p].name, (unsigned long long)k, got, slope);
            largest = fabs(slope) > largest ? fabs(slope) : largest;
        }
    CHECK(largest > 1e-2);                                  /* the probes did see gradients */
    net_close(&net);
    rig_close(&r);
}

TEST(model_llama_matches_oracle) { check_against_oracle(tiny_conf("llama")); }
TEST(model_gpt2_matches_oracle) { check_against_oracle(tiny_conf("gpt2")); }

TEST(model_untied_heads_match_oracle)
{
    struct model_conf llama = tiny_conf("llama"), gpt2 = tiny_conf("gpt2");
    llama.tied = gpt2.tied = false;
    llama.kv_heads = 1;
    check_against_oracle(llama);
    check_against_oracle(gpt2);
}

/* ---- first values ---- */

TEST(model_init_follows_seed_name_and_index)
{
    struct model_conf c = tiny_conf("llama");
    struct rig r;
    float got[19 * 16];
    c.layers = 8;
    rig_open(&r, &c, false, 1);
    CHECK_STR(str_of(r.m.param[0].name), "model.embed_tokens.weight");
    CHECK_OK(model_get(&r.m, 0, got));
    uint64_t key = hash_mix(7 ^ hash_str(STR("model.embed_tokens.weight"), 0));
    for (uint64_t i = 0; i < COUNT_OF(got); i += 2) {
        double radius = sqrt(-2 * log(1 - hash_unit(key, i))),
               angle = 2 * M_PI * hash_unit(key, i + 1);
        CHECK_NUM(got[i], 0.02 * radius * cos(angle), 4e-9);
        CHECK_NUM(got[i + 1], 0.02 * radius * sin(angle), 4e-9);
    }
    float norm[16], first[16 * 16], second[16 * 16];
    CHECK_OK(model_get(&r.m, 1, norm));
    CHECK(norm[0] == 1 && norm[15] == 1);
    CHECK_OK(model_get(&r.m, 2, first));                    /* q of layer 0 and of layer 1 */
    CHECK_OK(model_get(&r.m, 11, second));
    CHECK(memcmp(first, second, sizeof first) != 0);
    double sum = 0;
    CHECK_STR(str_of(r.m.param[5].name), "model.layers.0.self_attn.o_proj.weight");
    CHECK_OK(model_get(&r.m, 5, first));
    for (int i = 0; i < 256; i++)
        sum += (double)(first[i] * first[i]);
    CHECK_NUM(sqrt(sum / 256), 0.02 / sqrt(16),
              0.0008); /* residual: / sqrt(2 * 8 layers); 256 draws */
    rig_close(&r);
}

TEST(model_init_is_the_same_for_large_tensors)
{
    /* Above a million numbers the draws run on all cores in chunks; the slow twin is the formula
     * itself. */
    struct model_conf c = tiny_conf("gpt2");
    struct rig r;
    c.vocab = 70001;
    rig_open(&r, &c, false, 2);
    float *got = malloc(70001 * 16 * sizeof *got);
    CHECK_OK(model_get(&r.m, 0, got));
    uint64_t key = hash_mix(7 ^ hash_str(STR("transformer.wte.weight"), 0));
    for (uint64_t i = 0; i < 70001 * 16; i += 65534) {
        double radius = sqrt(-2 * log(1 - hash_unit(key, i))),
               angle = 2 * M_PI * hash_unit(key, i + 1);
        CHECK_NUM(got[i], 0.02 * radius * cos(angle), 4e-9);
    }
    free(got);
    rig_close(&r);
}

TEST(model_conf_check_names_what_is_wrong)
{
    struct model_conf c = tiny_conf("llama");
    CHECK_OK(model_conf_check(&c));
    struct { const char *what; struct model_conf conf; } bad[9];
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        bad[i].conf = tiny_conf("llama");
    bad[0].conf.arch = "rwkv", bad[0].what = "rwkv";
    bad[1].conf.width = 18, bad[1].what = "width";
    bad[2].conf.heads = 16, bad[2].what = "even";
    bad[3].conf.kv_heads = 3, bad[3].what = "kv_heads";
    bad[4].conf.vocab = 0, bad[4].what = "vocab";
    bad[5].conf.dtype = "fp8", bad[5].what = "fp8";
    bad[6].conf.layers = 0, bad[6].what = "layers";
    bad[7].conf.arch = "gpt2", bad[7].conf.kv_heads = 2, bad[7].what = "gpt2";
    bad[8].conf.norm_eps = NAN, bad[8].what = "norm_eps";
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        CHECK_ERR(model_conf_check(&bad[i].conf), ERR_USAGE);
        CHECK(strstr(err_text(), bad[i].what));
    }
    c = tiny_conf("llama");
    c.hidden = 0, c.width = 256, c.kv_heads = 0;
    CHECK_OK(model_conf_check(&c));
    CHECK_INT(c.hidden, 704);                               /* 8/3 * 256 = 682.7, up to 64 */
    CHECK_INT(c.kv_heads, 4);
}

TEST(model_plan_is_what_is_allocated)
{
    static const char *const arch[] = {"llama", "gpt2"}, *const dtype[] = {"f32", "bf16"};
    for (int i = 0; i < 4; i++) {
        struct model_conf c = tiny_conf(arch[i / 2]);
        struct model_plan plan;
        struct rig r;
        c.dtype = dtype[i % 2];
        c.tied = i % 2;
        CHECK_OK(model_plan(&c, DEV_CPU, true, &plan));
        rig_open(&r, &c, true, 1);
        CHECK_INT(r.m.weights.used, plan.total_bytes);
        CHECK_INT(model_parameters(&r.m), plan.parameters);
        rig_close(&r);
    }
}

/* What forward and backward really take: within the plan, and the plan not more than a third above
 * it. */
TEST(model_activation_bytes_hold)
{
    static const char *const arch[] = {"llama", "gpt2"}, *const dtype[] = {"f32", "bf16"};
    for (int i = 0; i < 8; i++) {
        struct model_conf c = tiny_conf(arch[i / 4]);
        struct rig r;
        bool train = i % 2;
        c.width = 128, c.hidden = 0, c.context = 128, c.vocab = 512, c.layers = 3;
        c.dtype = dtype[i / 2 % 2];
        rig_open(&r, &c, train, 2);
        int32_t ids[4 * 128] = {0};
        int64_t count = 4 * 128;
        struct tensor *logits = r.m.type->forward(&r.m, &r.tape, input(&r.tape, ids, count), NULL,
                                                  128, NULL);
        CHECK(logits);
        struct tensor *loss = cross_entropy_op(&r.tape, logits, input(&r.tape, ids, count));
        CHECK(loss);
        if (train)
            CHECK_OK(tape_backward(&r.tape, loss, 1));
        double plan = (double)r.m.type->activation_bytes(&r.m.conf, 4, 128, train,
                                                         i / 2 % 2 ? 2 : 4);
        double share = (double)r.arena.peak / plan;
        if (!(share > 0.75 && share < 1.03))
            test_fail(__FILE__, __LINE__, "%s %s train %d: used %zu, planned %.0f (%.2f)", c.arch,
                      c.dtype, train, r.arena.peak, plan, share);
        rig_close(&r);
    }
}

/* ---- learning ---- */

static double train_steps(struct rig *r, int steps, double lr)
{
    int32_t ids[N], targets[N], start[N];
    double loss = NAN;
    make_batch(ids, targets, start, (int)r->m.conf.vocab);
    for (int step = 1; step <= steps; step++) {
        tape_reset(&r->tape);
        CHECK_OK(dev_zero(r->s, r->m.grad_data, r->m.grad_bytes));
        struct tensor *logits = r->m.type->forward(&r->m, &r->tape, input(&r->tape, ids, N),
                                                   input(&r->tape, start, N), T, NULL);
        CHECK(logits);
        struct tensor *mean = cross_entropy_op(&r->tape, logits, input(&r->tape, targets, N));
        CHECK(mean);
        loss = (double)*(float *)mean->data;
        CHECK_OK(tape_backward(&r->tape, mean, 1));
        struct adamw conf = {(float)lr, 0.9f, 0.99f, 1e-8f, 0, 1, step};
        for (int i = 0; i < r->m.param_count; i++) {
            struct param *p = &r->m.param[i];
            CHECK_OK(adamw_step(r->s, &conf, &p->w, p->master, p->m, p->v));
        }
    }
    return loss;
}

TEST(model_overfits_a_tiny_batch)
{
    static const char *const arch[] = {"llama", "gpt2"}, *const dtype[] = {"f32", "bf16"};
    for (int i = 0; i < 4; i++) {
        struct model_conf c = tiny_conf(arch[i / 2]);
        struct rig r;
        c.dtype = dtype[i % 2];
        rig_open(&r, &c, true, 2);
        double first = train_steps(&r, 1, 0);
        CHECK_NUM(first, log(19), 0.1);                     /* fresh logits are nearly uniform */
        double last = train_steps(&r, 300, 1e-2);
        if (!(last < 0.1))
            test_fail(__FILE__, __LINE__, "%s %s: loss %g after 300 steps", c.arch, c.dtype, last);
        rig_close(&r);
    }
}

/* ---- generation ---- */

struct sink { uint32_t token[256]; int count, stop_after; };

static int collect(void *arg, uint32_t token)
{
    struct sink *sink = arg;
    CHECK(sink->count < 256);
    sink->token[sink->count++] = token;
    return sink->stop_after && sink->count == sink->stop_after ? 1 : 0;
}

/* The most probable next token by a whole forward pass over the text. */
static uint32_t next_greedy(struct rig *r, const uint32_t *text, int length)
{
    int V = (int)r->m.conf.vocab, best = 0;
    tape_reset(&r->tape);
    struct tensor *logits = r->m.type->forward(&r->m, &r->tape,
                                               input(&r->tape, (const int32_t *)text, length), NULL,
                                               length, NULL);
    CHECK(logits);
    const float *last = (float *)logits->data + (length - 1) * V;
    for (int i = 1; i < V; i++)
        best = last[i] > last[best] ? i : best;
    return (uint32_t)best;
}

TEST(model_generate_equals_full_forward)
{
    static const char *const arch[] = {"llama", "gpt2"};
    for (int i = 0; i < 2; i++) {
        struct model_conf c = tiny_conf(arch[i]);
        struct rig r;
        struct net net;
        struct sink sink = {0};
        struct generate_conf g = {.tokens = 40, .temperature = 0, .top_p = 1};
        uint32_t text[64] = {1, 5, 2, 7, 7}, length = 5;
        c.tied = false;                                     /* a tied toy repeats its last token */
        rig_open(&r, &c, false, 2);
        net_open(&net, &r.m); /* enlarged weights: margins well above rounding */
        CHECK_OK(generate(&r.m, text, length, 1000, &g, collect, &sink));
        CHECK_INT(sink.count, 40);
        int distinct = 0;
        for (int k = 0; k < 40; k++) {
            uint32_t want = next_greedy(&r, text, (int)length);
            CHECK_INT(sink.token[k], want);
            distinct += k && sink.token[k] != sink.token[k - 1];
            if (length == 16) {                             /* the context is full: its last half stays */
                memmove(text, text + 8, 8 * sizeof *text);
                length = 8;
            }
            text[length++] = want;
        }
        CHECK(distinct > 3);
        net_close(&net);
        rig_close(&r);
    }
}

TEST(model_generate_long_prompt_goes_in_pieces)
{
    struct model_conf c = tiny_conf("llama");
    struct rig r;
    struct net net;
    struct sink sink = {0};
    struct generate_conf g = {.tokens = 1, .temperature = 0, .top_p = 1};
    uint32_t text[300];
    uint64_t state = 1;
    c.context = 200;                                        /* three pieces of 64 and one of 8 */
    rig_open(&r, &c, false, 1);
    net_open(&net, &r.m);
    for (int i = 0; i < 300; i++)
        text[i] = (uint32_t)(test_random(&state) % 19);
    CHECK_OK(generate(&r.m, text, 200, 1000, &g, collect, &sink));
    CHECK_INT(sink.token[0], next_greedy(&r, text, 200));
    CHECK_OK(generate(&r.m, text, 300, 1000, &g, collect, &sink));
    CHECK_INT(sink.token[1], next_greedy(&r, text + 200, 100));
    net_close(&net);
    rig_close(&r);
}

TEST(model_generate_draws_follow_the_odds)
{
    struct model_conf c = tiny_conf("llama");
    struct rig r;
    struct net net;
    enum { DRAWS = 1500 };
    uint32_t prompt[] = {3, 1, 4}, top = 0;
    int seen[19] = {0}, seen_top[19] = {0};
    double logits[3 * 19], odds[19], sum = 0;
    int32_t ids[3] = {3, 1, 4}, start[3] = {0};
    rig_open(&r, &c, false, 1);
    net_open(&net, &r.m);
    oracle_logits(&net, ids, start, 3, logits);
    for (int i = 0; i < 19; i++)
        sum += odds[i] = exp(logits[2 * 19 + i] / 0.8);
    for (uint32_t i = 0; i < 19; i++)
        top = odds[i] > odds[top] ? i : top;
    for (int seed = 0; seed < DRAWS; seed++) {
        struct sink sink = {0};
        struct generate_conf g = {.tokens = 1, .temperature = 0.8, .top_p = 1, .seed = seed};
        CHECK_OK(generate(&r.m, prompt, 3, 1000, &g, collect, &sink));
        seen[sink.token[0]]++;
        g.top_p = odds[top] / sum * 1.001; /* just more than the first: the first two */
        CHECK_OK(generate(&r.m, prompt, 3, 1000, &g, collect, &sink));
        seen_top[sink.token[1]]++;
    }
    int kinds = 0;
    for (int i = 0; i < 19; i++) {
        double p = odds[i] / sum;
        CHECK_NUM(seen[i], DRAWS * p, 5 * sqrt(DRAWS * p * (1 - p)) + 1);   /* five sigma */
        kinds += seen_top[i] > 0;
    }
    CHECK_INT(kinds, 2);
    net_close(&net);
    rig_close(&r);
}

TEST(model_generate_stops_and_refuses)
{
    struct model_conf c = tiny_conf("gpt2");
    struct rig r;
    struct net net;
    struct sink sink = {0}, again = {0};
    struct generate_conf g = {.tokens = 50, .temperature = 1, .top_p = 0.9, .seed = 4};
    uint32_t prompt[] = {2}, strange[] = {19};
    rig_open(&r, &c, false, 1);
    net_open(&net, &r.m);
    CHECK_OK(generate(&r.m, prompt, 1, 1000, &g, collect, &sink));
    CHECK_OK(generate(&r.m, prompt, 1, 1000, &g, collect, &again));
    CHECK(memcmp(sink.token, again.token, sizeof sink.token) == 0);
    uint32_t eot = sink.token[10];
    int first = 0;
    while (sink.token[first] != eot)
        first++;
    again.count = 0;
    CHECK_OK(generate(&r.m, prompt, 1, eot, &g, collect, &again));
    CHECK_INT(again.count, first + 1);                      /* eot is the last one emitted */
    again = (struct sink){.stop_after = 3};
    CHECK_OK(generate(&r.m, prompt, 1, 1000, &g, collect, &again));
    CHECK_INT(again.count, 3);
    CHECK_ERR(generate(&r.m, prompt, 0, 0, &g, collect, &again), ERR_USAGE);
    CHECK_ERR(generate(&r.m, strange, 1, 0, &g, collect, &again), ERR_USAGE);
    g.temperature = NAN;
    CHECK_ERR(generate(&r.m, prompt, 1, 0, &g, collect, &again), ERR_USAGE);
    net_close(&net);
    rig_close(&r);
}

/* ---- saving ---- */

static void compare_models(const struct model *a, const struct model *b)
{
    CHECK_INT(a->param_count, b->param_count);
    for (int i = 0; i < a->param_count; i++) {
        size_t count = (size_t)tensor_count(&a->param[i].w);
        float *left = malloc(count * 4), *right = malloc(count * 4);
        CHECK_OK(model_get(a, i, left));
        CHECK_OK(model_get(b, i, right));
        if (memcmp(left, right, count * 4) != 0)
            test_fail(__FILE__, __LINE__, "%s differs after loading", a->param[i].name);
        free(left);
        free(right);
    }
}

static const char tokenizer_text[] = "{\"version\":\"1.0\",\"added_tokens\":[{\"id\":18,"
                                     "\"content\":\"<|endoftext|>\",\"special\":true}],"
                                     "\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[]"
                                     "}}";

TEST(model_save_and_load_round_trip)
{
    static const char *const arch[] = {"llama", "gpt2"};
    for (int i = 0; i < 4; i++) {
        struct model_conf c = tiny_conf(arch[i / 2]);
        struct rig r;
        struct model back;
        struct arena a;
        struct json *config;
        char dir[IO_PATH_MAX], path[IO_PATH_MAX], *text;
        size_t bytes;
        c.tied = i % 2;
        rig_open(&r, &c, true, 1);
        CHECK_OK(io_path(path, "%s/tok.json", test_dir()));
        CHECK_OK(io_write_file(path, STR(tokenizer_text)));
        CHECK_OK(io_path(dir, "%s/model%d", test_dir(), i));
        CHECK_OK(model_save(&r.m, dir, path));
        CHECK_OK(model_load(&back, dir, r.s, false));
        compare_models(&r.m, &back);
        CHECK_INT(back.eot, 18);
        CHECK_INT(back.conf.hidden, 24);
        CHECK_INT(back.conf.context, 16);
        CHECK_INT(back.conf.tied, c.tied);
        CHECK_NUM(back.conf.norm_eps, 1e-5, 1e-12);
        CHECK_OK(io_path(path, "%s/config.json", dir));
        CHECK_OK(io_read_file(path, 1 << 20, &text, &bytes));
        CHECK_OK(arena_open(&a, 1 << 20));
        CHECK_OK(json_parse(&a, (struct str){text, bytes}, &config));
        CHECK_STR(json_str(config, "model_type", STR("")), arch[i / 2]);
        CHECK_NUM(json_num(config, "eos_token_id", -1), 18, 0);
        CHECK_STR(json_get(config, "architectures")->child->string,
                  i / 2 ? "GPT2LMHeadModel" : "LlamaForCausalLM");
        static const char *const beside[] = {"generation_config.json", "tokenizer.json",
                                             "tokenizer_config.json", "special_tokens_map.json"};
        for (size_t k = 0; k < COUNT_OF(beside); k++) {
            CHECK_OK(io_path(path, "%s/%s", dir, beside[k]));
            CHECK(io_exists(path));
        }
        free(text);
        arena_close(&a);
        model_close(&back);
        rig_close(&r);
    }
}

TEST(model_gpt2_is_stored_as_conv1d)
{
    struct model_conf c = tiny_conf("gpt2");
    struct rig r;
    struct arena a;
    struct safetensor *t;
    int count;
    char path[IO_PATH_MAX];
    float part[16 * 16], bias[16];
    rig_open(&r, &c, false, 1);
    for (int i = 0; i < r.m.param_count; i++) { /* biases of their own, to see where they land */
        float value[19 * 16 + 24 * 16];
        CHECK_OK(model_get(&r.m, i, value));
        for (int64_t k = 0; k < tensor_count(&r.m.param[i].w); k++)
            value[k] += (float)(i * 1000 + k);
        CHECK_OK(model_put(&r.m, i, value));
    }
    CHECK_OK(model_save(&r.m, test_dir(), NULL));
    CHECK_OK(io_path(path, "%s/model.safetensors", test_dir()));
    CHECK_OK(arena_open(&a, 1 << 24));
    CHECK_OK(safetensors_read(path, &a, &t, &count));
    const struct safetensor *joined = safetensors_find(t, count,
                                                       "transformer.h.1.attn.c_attn.weight");
    const struct safetensor *biases = safetensors_find(t, count,
                                                       "transformer.h.1.attn.c_attn.bias");
    CHECK(joined && biases);
    CHECK_INT(joined->dim[0], 16);
    CHECK_INT(joined->dim[1], 48);
    CHECK_INT(biases->dim[0], 48);
    for (int p = 0; p < 3; p++) {
        int index = 2 + 16 + 2 + 2 * p;
        char name[96];
        snprintf(name, sizeof name, "transformer.h.1.attn.c_attn.weight[%d]", p);
        CHECK_STR(str_of(r.m.param[index].name), name);
        CHECK_OK(model_get(&r.m, index, part));
        CHECK_OK(model_get(&r.m, index + 1, bias));
        for (int out = 0; out < 16; out++) {
            CHECK(((const float *)biases->data)[p * 16 + out] == bias[out]);
            for (int in = 0; in < 16; in++)
                CHECK(((const float *)joined->data)[in * 48 + p * 16 + out] == part[out * 16 + in]);
        }
    }
    const struct safetensor *fc = safetensors_find(t, count, "transformer.h.0.mlp.c_fc.weight");
    CHECK(fc && fc->dim[0] == 16 && fc->dim[1] == 24);
    CHECK(!safetensors_find(t, count, "lm_head.weight"));
    arena_close(&a);
    rig_close(&r);
}

TEST(model_bf16_keeps_a_master_and_saves_halves)
{
    struct model_conf c = tiny_conf("llama");
    struct rig r;
    struct model back;
    float master[19 * 16], loaded[19 * 16];
    c.dtype = "bf16";
    rig_open(&r, &c, true, 1);
    CHECK_OK(model_get(&r.m, 0, master));
    CHECK(master[0] != bf16_to(bf16_of(master[0])) || master[1] != bf16_to(bf16_of(master[1])));
    CHECK_OK(model_save(&r.m, test_dir(), NULL));
    CHECK_OK(model_load_as(&back, test_dir(), r.s, false, "f32"));
    CHECK_OK(model_get(&back, 0, loaded));
    for (size_t i = 0; i < COUNT_OF(master); i++)
        CHECK(loaded[i] == bf16_to(bf16_of(master[i])));
    model_close(&back);
    rig_close(&r);
}

TEST(model_bf16_rounds_to_nearest_even)
{
    /* Bit patterns by hand: halves go to the even neighbour, NaN stays NaN, infinity stays. */
    static const struct { uint32_t bits; uint16_t want; } cases[] = {
        {0x3F800000, 0x3F80}, {0x3F808000, 0x3F80}, {0x3F818000, 0x3F82}, {0x3F808001, 0x3F81},
        {0x7F800000, 0x7F80}, {0xFF800000, 0xFF80}, {0x7F7FFFFF, 0x7F80}, {0x80000000, 0x8000},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        float value;
        memcpy(&value, &cases[i].bits, 4);
        CHECK_INT(bf16_of(value), cases[i].want);
    }
    CHECK(isnan(bf16_to(bf16_of(NAN))));
    uint32_t low_nan = 0x7F800001;
    float value;
    memcpy(&value, &low_nan, 4);
    CHECK(isnan(bf16_to(bf16_of(value))));
}

/* Folders made by numpy and the safetensors library, logits by transformers: see tests/oracle/transformers_logits.py. */
TEST(model_answers_as_transformers)
{
    static const char *const name[] = {"llama", "gpt2"};
    for (int i = 0; i < 2; i++) {
        char path[IO_PATH_MAX];
        struct stream *s;
        struct model m;
        struct kv_cache *cache;
        float logits[19];
        CHECK_OK(io_path(path, "tests/golden/model/%s", name[i]));
        CHECK_OK(device_open(&s, DEV_CPU, 1));
        CHECK_OK(model_load(&m, path, s, false));
        CHECK_OK(kv_cache_open(&cache, &m, 16));
        CHECK_OK(io_path(path, "tests/golden/model/%s/logits.txt", name[i]));
        FILE *file = fopen(path, "r");
        CHECK(file);
        uint32_t token, rows = 0;
        while (fscanf(file, "%u", &token) == 1) {
            CHECK_OK(kv_cache_feed(cache, &m, &token, 1, logits));
            for (int k = 0; k < 19; k++) {
                double want;
                CHECK(fscanf(file, "%lf", &want) == 1);
                CHECK_NUM(logits[k], want, 1e-5);
            }
            rows++;
        }
        CHECK_INT(rows, 10);
        fclose(file);
        kv_cache_close(cache);
        model_close(&m);
        device_close(s);
    }
}

/* Replaces `from` in config.json by `to` and expects a refusal that names `what`. */
static void refuse_config(const char *dir, struct stream *s, const char *from, const char *to,
                          const char *what)
{
    char path[IO_PATH_MAX], *text;
    size_t bytes;
    struct buf changed = {0};
    struct model m;
    CHECK_OK(io_path(path, "%s/config.json", dir));
    CHECK_OK(io_read_file(path, 1 << 20, &text, &bytes));
    struct str whole = {text, bytes};
    size_t at = str_find(whole, str_of(from));
    if (at == SIZE_MAX)
        test_fail(__FILE__, __LINE__, "%s is not in %.*s", from, (int)bytes, text);
    buf_add(&changed, text, at);
    buf_text(&changed, to);
    buf_add(&changed, text + at + strlen(from), bytes - at - strlen(from));
    CHECK_OK(io_write_file(path, buf_view(&changed)));
    int rc = model_load(&m, dir, s, false);
    if (rc >= 0 || !strstr(err_text(), what))
        test_fail(__FILE__, __LINE__, "%s -> %s: got %d \"%s\", want \"%s\"", from, to, rc,
                  err_text(), what);
    CHECK_OK(io_write_file(path, whole));
    buf_free(&changed);
    free(text);
}

TEST(model_load_refuses_what_it_cannot_be)
{
    struct model_conf c = tiny_conf("llama");
    struct rig r;
    struct model back;
    rig_open(&r, &c, false, 1);
    CHECK_OK(model_save(&r.m, test_dir(), NULL));
    static const struct { const char *from, *to, *what;
    } cases[] = {
        {"\"llama\"", "\"mamba\"", "mamba"},
        {"\"attention_bias\":false", "\"attention_bias\":true", "bias"},
        {"\"hidden_act\":\"silu\"", "\"hidden_act\":\"gelu\"", "hidden_act"},
        {"\"head_dim\":4", "\"head_dim\":8", "head_dim"},
        {"\"rope_theta\":10000", "\"rope_theta\":10000,\"rope_scaling\":{\"type\":\"linear\"}",
         "rope_scaling"},
        {"\"vocab_size\":19", "\"vocab_size\":20", "embed_tokens"},
        {"\"vocab_size\":19", "\"vocab_size\":99999999999999", "vocab"},
        {"\"hidden_size\":16", "\"hidden_size\":-16", "head_dim"},
        {"\"num_hidden_layers\":2", "\"num_hidden_layers\":1", "another architecture"},
        {"\"num_hidden_layers\":2", "\"num_hidden_layers\":3", "layers.2"},
        {"\"num_attention_heads\":4", "\"num_attention_heads\":0", "heads"},
        {"{", "[", "config.json"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        refuse_config(test_dir(), r.s, cases[i].from, cases[i].to, cases[i].what);
    CHECK_OK(model_load(&back, test_dir(), r.s, false));
    model_close(&back);
    rig_close(&r);
}

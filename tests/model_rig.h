/* model_rig - a tiny model opened for a test, and both architectures written out in double: the
 * oracle. */
#ifndef SLUICE_TESTS_MODEL_RIG_H
#define SLUICE_TESTS_MODEL_RIG_H
#include "tests/test.h"

#include "core/hash.h"
#include "model/model.h"
#include "model/shared.h"

#include <math.h>
#include <stdarg.h>

enum { B = 2, T = 7, N = B * T, PARAMS = 64 };

static inline struct model_conf tiny_conf(const char *arch)
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
    c.tied = true;
    c.dtype = "f32";
    c.seed = 7;
    return c;
}

/* Weights as doubles, found by name; init is scaled up so that every part of the model matters. */
struct net { struct model *m; double *value[PARAMS]; };

static inline void net_open(struct net *net, struct model *m)
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

static inline void net_close(struct net *net)
{
    for (int i = 0; i < net->m->param_count; i++)
        free(net->value[i]);
}

PRINTF_LIKE(2, 3) static inline double *weight(const struct net *net, const char *fmt, ...)
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
static inline void affine(double *y, const double *x, const double *w, const double *bias, int rows,
                   int cols)
{
    for (int r = 0; r < rows; r++) {
        y[r] = bias ? bias[r] : 0;
        for (int c = 0; c < cols; c++)
            y[r] += w[r * cols + c] * x[c];
    }
}

static inline void norm_rms(double *y, const double *x, const double *w, int C, double eps)
{
    double sum = 0;
    for (int c = 0; c < C; c++)
        sum += x[c] * x[c];
    for (int c = 0; c < C; c++)
        y[c] = x[c] / sqrt(sum / C + eps) * w[c];
}

static inline void norm_layer(double *y, const double *x, const double *w, const double *b, int C,
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
static inline void rotate(double *x, int heads, int D, int position, double theta)
{
    for (int h = 0; h < heads; h++)
        for (int j = 0; j < D / 2; j++) {
            double angle = position * pow(theta, -2.0 * j / D), *p = x + h * D;
            double first = p[j], second = p[j + D / 2];
            p[j] = first * cos(angle) - second * sin(angle);
            p[j + D / 2] = second * cos(angle) + first * sin(angle);
        }
}

static inline void attend(double *out, double q[][64], double k[][64], double v[][64],
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

static inline void llama_row(const struct net *net, double x[][64], const int32_t *start, int time)
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

static inline double gelu(double x)
{
    return 0.5 * x * (1 + tanh(0.7978845608028654 * (x + 0.044715 * x * x * x)));
}

static inline void gpt2_row(const struct net *net, double x[][64], const int32_t *start, int time)
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
static inline void oracle_logits(const struct net *net, const int32_t *ids, const int32_t *start,
                                 int time, double *logits)
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

static inline struct tensor *input(struct tape *t, const int32_t *host, int64_t count)
{
    struct tensor *made = tape_tensor(t, DT_I32, 1, &count, false);
    CHECK(made);
    CHECK_OK(dev_upload(t->stream, made->data, host, (size_t)count * 4));
    return made;
}

struct rig { struct stream *s; struct model m; struct dev_arena arena; struct tape tape; };

static inline void rig_open(struct rig *r, const struct model_conf *c, bool train, int threads)
{
    CHECK_OK(device_open(&r->s, DEV_CPU, threads));
    CHECK_OK(model_open(&r->m, c, r->s, train));
    CHECK_OK(dev_arena_open(&r->arena, r->s, 64 << 20));
    CHECK_OK(tape_open(&r->tape, &r->arena, train, model_dtype(&r->m)));
}

static inline void rig_close(struct rig *r)
{
    tape_close(&r->tape);
    dev_arena_close(&r->arena);
    model_close(&r->m);
    device_close(r->s);
}
#endif

/* gpt2 - learned positions, LayerNorm, GELU and biases, named as Hugging Face's GPT2LMHeadModel. */
#include "model/shared.h"

#include "core/err.h"
#include "core/json.h"

#include <math.h>

enum { WTE, WPE, BLOCK, PER_LAYER = 16 };
/* Within a block; each matrix is followed by its bias. Hugging Face joins q, k and v in c_attn and
 * stores matrices as (in, out); here they are three of (out, in), and model_save puts them
 * together. */
enum { LN_1, Q = 2, K = 4, V_ = 6, PROJ = 8, LN_2 = 10, FC = 12, MLP_PROJ = 14 };

static int build(struct model *m)
{
    const struct model_conf *c = &m->conf;
    int64_t C = c->width, F = c->hidden;
    double std = 0.02, residual = std / sqrt(2.0 * (double)c->layers);
    struct param_shape one = {.rows = C, .mean = 1}, zero = {.rows = C};
    struct param_shape wte = {.rows = c->vocab, .cols = C, .std = std, .decay = true};
    struct param_shape wpe = {.rows = c->context, .cols = C, .std = std, .decay = true};
    struct param_shape proj = {.rows = C,
                               .cols = C,
                               .std = residual,
                               .decay = true,
                               .transposed = true};
    struct param_shape fc = {.rows = F, .cols = C, .std = std, .decay = true, .transposed = true};
    struct param_shape fc_bias = {.rows = F};
    struct param_shape down = {.rows = C,
                               .cols = F,
                               .std = residual,
                               .decay = true,
                               .transposed = true};
    TRY(param_add(m, &wte, "transformer.wte.weight"));
    TRY(param_add(m, &wpe, "transformer.wpe.weight"));
    for (int i = 0; i < (int)c->layers; i++) {
        TRY(param_add(m, &one, "transformer.h.%d.ln_1.weight", i));
        TRY(param_add(m, &zero, "transformer.h.%d.ln_1.bias", i));
        for (int part = 0; part < 3; part++) {
            struct param_shape qkv = {.rows = C,
                                      .cols = C,
                                      .std = std,
                                      .decay = true,
                                      .transposed = true,
                                      .part = part,
                                      .parts = 3};
            struct param_shape bias = {.rows = C, .part = part, .parts = 3};
            TRY(param_add(m, &qkv, "transformer.h.%d.attn.c_attn.weight[%d]", i, part));
            TRY(param_add(m, &bias, "transformer.h.%d.attn.c_attn.bias[%d]", i, part));
        }
        TRY(param_add(m, &proj, "transformer.h.%d.attn.c_proj.weight", i));
        TRY(param_add(m, &zero, "transformer.h.%d.attn.c_proj.bias", i));
        TRY(param_add(m, &one, "transformer.h.%d.ln_2.weight", i));
        TRY(param_add(m, &zero, "transformer.h.%d.ln_2.bias", i));
        TRY(param_add(m, &fc, "transformer.h.%d.mlp.c_fc.weight", i));
        TRY(param_add(m, &fc_bias, "transformer.h.%d.mlp.c_fc.bias", i));
        TRY(param_add(m, &down, "transformer.h.%d.mlp.c_proj.weight", i));
        TRY(param_add(m, &zero, "transformer.h.%d.mlp.c_proj.bias", i));
    }
    TRY(param_add(m, &one, "transformer.ln_f.weight"));
    TRY(param_add(m, &zero, "transformer.ln_f.bias"));
    return c->tied ? 0 : param_add(m, &wte, "lm_head.weight");
}

static struct tensor *linear(struct tape *t, struct tensor *x, struct param *weight)
{
    return matmul_op(t, x, &weight[0].w, &weight[1].w);
}

static struct tensor *block(struct model *m, struct tape *t, struct tensor *x,
                            struct tensor *doc_start, int32_t T, struct kv_cache *cache, int layer)
{
    struct param *p = &m->param[BLOCK + layer * PER_LAYER];
    int32_t D = (int32_t)(m->conf.width / m->conf.heads);
    float eps = (float)m->conf.norm_eps;
    struct tensor *h, *q, *k, *v;
    if (!(h = layernorm_op(t, x, &p[LN_1].w, &p[LN_1 + 1].w, eps)) ||
        !(q = linear(t, h, &p[Q])) || !(k = linear(t, h, &p[K])) || !(v = linear(t, h, &p[V_])))
        return NULL;
    h = cache ? kv_attend(cache, layer, t, q, k, v, D) : attention_op(t, q, k, v, doc_start, T, D);
    if (!h || !(h = linear(t, h, &p[PROJ])) || !(x = add_op(t, x, h)) ||
        !(h = layernorm_op(t, x, &p[LN_2].w, &p[LN_2 + 1].w, eps)) ||
        !(h = linear(t, h, &p[FC])) || !(h = gelu_op(t, h)) || !(h = linear(t, h, &p[MLP_PROJ])))
        return NULL;
    return add_op(t, x, h);
}

static struct tensor *forward(struct model *m, struct tape *t, struct tensor *ids,
                              struct tensor *doc_start, int32_t T, struct kv_cache *cache)
{
    struct tensor *x = embedding_op(t, &m->param[WTE].w, ids), *table = &m->param[WPE].w;
    if (cache)
        table = kv_position_table(cache, table);
    if (x)
        x = position_op(t, x, table, T);
    for (int i = 0; x && i < (int)m->conf.layers; i++)
        x = block(m, t, x, doc_start, T, cache, i);
    struct param *last = &m->param[BLOCK + (int)m->conf.layers * PER_LAYER];
    if (!x || !(x = layernorm_op(t, x, &last[0].w, &last[1].w, (float)m->conf.norm_eps)))
        return NULL;
    return matmul_op(t, x, m->conf.tied ? &m->param[WTE].w : &last[2].w, NULL);
}

/* Six per weight of a matrix and 6 T C a layer for causal attention, as in llama.c. */
static double flops_per_token(const struct model_conf *c, int64_t T)
{
    double C = (double)c->width, layer = 4 * C * C + 2 * C * (double)c->hidden;
    return 6 * ((double)c->layers * layer + C * (double)c->vocab) +
           6 * (double)c->layers * (double)T * C;
}

static uint64_t activation_bytes(const struct model_conf *c, int64_t B, int64_t T, bool train,
                                 size_t elem)
{
    uint64_t C = (uint64_t)c->width;
    /* norm, q, k, v, attention, proj, add, norm, down, add; fc, gelu */
    uint64_t numbers = 3 * C + (uint64_t)c->layers * (10 * C + 2 * (uint64_t)c->hidden) +
                       (uint64_t)c->vocab;
    uint64_t kept = (uint64_t)c->layers * ((uint64_t)c->heads + 4) + 2;
    return (uint64_t)B * (uint64_t)T * (numbers * (elem + (train ? 4 : 0)) + 4 * kept);
}

static int write_config(const struct model *m, struct buf *json)
{
    const struct model_conf *c = &m->conf;
    struct json_writer w;
    json_begin(&w, json);
    json_open(&w, '{');
    json_field_open(&w, "architectures", '[');
    json_put_str(&w, STR("GPT2LMHeadModel"));
    json_close(&w, ']');
    json_field_text(&w, "model_type", "gpt2");
    const struct { const char *key; int64_t value; } number[] = {
        {"n_embd", c->width}, {"n_inner", c->hidden}, {"n_layer", c->layers}, {"n_head", c->heads},
        {"n_positions", c->context}, {"n_ctx", c->context}, {"vocab_size", c->vocab},
    };
    for (size_t i = 0; i < COUNT_OF(number); i++)
        json_field_i64(&w, number[i].key, number[i].value);
    json_field_text(&w, "activation_function", "gelu_new");
    json_field_num(&w, "layer_norm_epsilon", c->norm_eps);
    json_field_bool(&w, "tie_word_embeddings", c->tied);
    /* Nothing is dropped out in training here; transformers' presets are 0.1. */
    const char *const dropout[] = {"attn_pdrop", "embd_pdrop", "resid_pdrop"};
    for (size_t i = 0; i < COUNT_OF(dropout); i++)
        json_field_num(&w, dropout[i], 0);
    json_field_text(&w, "torch_dtype", model_dtype(m) == DT_BF16 ? "bfloat16" : "float32");
    json_field_i64(&w, "bos_token_id", m->eot >= 0 ? m->eot : 0);
    json_field_i64(&w, "eos_token_id", m->eot >= 0 ? m->eot : 0);
    json_close(&w, '}');
    buf_char(json, '\n');
    return json->failed ? err_set(ERR_LIMIT, "model: no memory for config.json") : 0;
}

const struct model_type model_gpt2 = {
    .name = "gpt2",
    .help = "learned positions, LayerNorm, GELU, biases",
    .source = "Radford et al. 2019",
    .build = build,
    .forward = forward,
    .flops_per_token = flops_per_token,
    .write_config = write_config,
    .activation_bytes = activation_bytes,
};

/* llama - RMSNorm, rotary positions, grouped-query attention, SwiGLU: LlamaForCausalLM. */
#include "model/shared.h"

#include "core/err.h"
#include "core/json.h"

#include <math.h>

enum { EMBED = 0, BLOCK = 1, PER_LAYER = 9 };
enum { NORM_IN, Q, K, V_, O, NORM_MID, GATE, UP, DOWN };   /* within a block */

/* Matrices start with 1 / sqrt(fan in), so that what comes out is as large as what goes in; the two
 * that write to the residual stream are divided by sqrt(2 * layers) so that its variance does not
 * grow with depth (GPT-2, section 2.3). An embedding of its own starts at 1 and its head at 0.02; a
 * tied one at 1 / sqrt(width), logits of variance 1. Tried with 2.6 M parameters on 205 k tokens,
 * loss at the end: 0.02 everywhere and tied 6.07; untied as here 5.49; half the size in matrices
 * and embedding 5.78; residual matrices and head near 0 6.12. */
static int build(struct model *m)
{
    const struct model_conf *c = &m->conf;
    int64_t C = c->width, D = C / c->heads, KV = c->kv_heads * D;
    double std = 1 / sqrt((double)C), depth = sqrt(2.0 * (double)c->layers);
    struct param_shape norm = {.rows = C, .mean = 1};
    struct param_shape embed = {.rows = c->vocab,
                                .cols = C,
                                .std = c->tied ? std : 1,
                                .decay = true};
    struct param_shape head = {.rows = c->vocab, .cols = C, .std = 0.02, .decay = true};
    struct param_shape q = {.rows = C, .cols = C, .std = std, .decay = true};
    struct param_shape kv = {.rows = KV, .cols = C, .std = std, .decay = true};
    struct param_shape o = {.rows = C, .cols = C, .std = std / depth, .decay = true};
    struct param_shape in = {.rows = c->hidden, .cols = C, .std = std, .decay = true};
    struct param_shape down = {.rows = C, .cols = c->hidden, .decay = true};
    down.std = 1 / sqrt((double)c->hidden) / depth;
    TRY(param_add(m, &embed, "model.embed_tokens.weight"));
    for (int i = 0; i < (int)c->layers; i++) {
        TRY(param_add(m, &norm, "model.layers.%d.input_layernorm.weight", i));
        TRY(param_add(m, &q, "model.layers.%d.self_attn.q_proj.weight", i));
        TRY(param_add(m, &kv, "model.layers.%d.self_attn.k_proj.weight", i));
        TRY(param_add(m, &kv, "model.layers.%d.self_attn.v_proj.weight", i));
        TRY(param_add(m, &o, "model.layers.%d.self_attn.o_proj.weight", i));
        TRY(param_add(m, &norm, "model.layers.%d.post_attention_layernorm.weight", i));
        TRY(param_add(m, &in, "model.layers.%d.mlp.gate_proj.weight", i));
        TRY(param_add(m, &in, "model.layers.%d.mlp.up_proj.weight", i));
        TRY(param_add(m, &down, "model.layers.%d.mlp.down_proj.weight", i));
    }
    TRY(param_add(m, &norm, "model.norm.weight"));
    return c->tied ? 0 : param_add(m, &head, "lm_head.weight");
}

/* x + attention(norm(x)), then + feed-forward(norm(.)). */
static struct tensor *block(struct model *m, struct tape *t, struct tensor *x,
                            struct tensor *doc_start, int32_t T, struct kv_cache *cache, int layer)
{
    const struct model_conf *c = &m->conf;
    struct param *p = &m->param[BLOCK + layer * PER_LAYER];
    int32_t D = (int32_t)(c->width / c->heads), start = cache ? kv_start(cache) : 0;
    float eps = (float)c->norm_eps, theta = (float)c->rope_theta;
    struct tensor *h, *q, *k, *v, *gate, *up;
    if (!(h = rmsnorm_op(t, x, &p[NORM_IN].w, eps)) ||
        !(q = matmul_op(t, h, &p[Q].w, NULL)) || !(q = rope_op(t, q, T, D, theta, start)) ||
        !(k = matmul_op(t, h, &p[K].w, NULL)) || !(k = rope_op(t, k, T, D, theta, start)) ||
        !(v = matmul_op(t, h, &p[V_].w, NULL)))
        return NULL;
    h = cache ? kv_attend(cache, layer, t, q, k, v, D) : attention_op(t, q, k, v, doc_start, T, D);
    if (!h || !(h = matmul_op(t, h, &p[O].w, NULL)) || !(x = add_op(t, x, h)) ||
        !(h = rmsnorm_op(t, x, &p[NORM_MID].w, eps)) ||
        !(gate = matmul_op(t, h, &p[GATE].w, NULL)) || !(up = matmul_op(t, h, &p[UP].w, NULL)) ||
        !(h = swiglu_op(t, gate, up)) || !(h = matmul_op(t, h, &p[DOWN].w, NULL)))
        return NULL;
    return add_op(t, x, h);
}

static struct tensor *forward(struct model *m, struct tape *t, struct tensor *ids,
                              struct tensor *doc_start, int32_t T, struct kv_cache *cache)
{
    struct tensor *x = embedding_op(t, &m->param[EMBED].w, ids);
    for (int i = 0; x && i < (int)m->conf.layers; i++)
        x = block(m, t, x, doc_start, T, cache, i);
    struct param *last = &m->param[BLOCK + (int)m->conf.layers * PER_LAYER];
    if (!x || !(x = rmsnorm_op(t, x, &last->w, (float)m->conf.norm_eps)))
        return NULL;
    return matmul_op(t, x, m->conf.tied ? &m->param[EMBED].w : &last[1].w, NULL);
}

/* Six per weight of a matrix (the embedding's lookup costs nothing, the head does), and per layer Q
 * K^T and A V: 2 * 2 T C forward, half of it behind the causal mask, backward twice the forward: 6
 * T C. */
static double flops_per_token(const struct model_conf *c, int64_t T)
{
    double C = (double)c->width, KV = C / (double)c->heads * (double)c->kv_heads;
    double layer = 2 * C * C + 2 * C * KV + 3 * C * (double)c->hidden;
    return 6 * ((double)c->layers * layer + C * (double)c->vocab) +
           6 * (double)c->layers * (double)T * C;
}

static uint64_t activation_bytes(const struct model_conf *c, int64_t B, int64_t T, bool train,
                                 size_t elem)
{
    uint64_t C = (uint64_t)c->width, KV = C / (uint64_t)c->heads * (uint64_t)c->kv_heads;
    /* norm, q, rope q, attention, o, add, norm, down, add; k, v, rope k; gate, up, product */
    uint64_t layer = 9 * C + 3 * KV + 3 * (uint64_t)c->hidden;
    uint64_t numbers = 2 * C + (uint64_t)c->layers * layer + (uint64_t)c->vocab;
    uint64_t kept = (uint64_t)c->layers * ((uint64_t)c->heads + 2) +
                    1; /* log-sum-exps and 1/rms, fp32 */
    return (uint64_t)B * (uint64_t)T * (numbers * (elem + (train ? 4 : 0)) + 4 * kept);
}

static int write_config(const struct model *m, struct buf *json)
{
    const struct model_conf *c = &m->conf;
    struct json_writer w;
    json_begin(&w, json);
    json_open(&w, '{');
    json_field_open(&w, "architectures", '[');
    json_put_str(&w, STR("LlamaForCausalLM"));
    json_close(&w, ']');
    json_field_text(&w, "model_type", "llama");
    const struct { const char *key; int64_t value;
    } number[] = {
        {"hidden_size", c->width},
        {"intermediate_size", c->hidden},
        {"num_hidden_layers", c->layers},
        {"num_attention_heads", c->heads},
        {"num_key_value_heads", c->kv_heads},
        {"head_dim", c->width / c->heads},
        {"max_position_embeddings", c->context},
        {"vocab_size", c->vocab},
    };
    for (size_t i = 0; i < COUNT_OF(number); i++)
        json_field_i64(&w, number[i].key, number[i].value);
    json_field_text(&w, "hidden_act", "silu");
    json_field_num(&w, "rms_norm_eps", c->norm_eps);
    json_field_num(&w, "rope_theta", c->rope_theta);
    const struct { const char *key; bool value;
    } flag[] = {
        {"attention_bias", false},
        {"mlp_bias", false},
        {"tie_word_embeddings", c->tied},
        {"use_cache", true},
    };
    for (size_t i = 0; i < COUNT_OF(flag); i++)
        json_field_bool(&w, flag[i].key, flag[i].value);
    json_field_text(&w, "torch_dtype", model_dtype(m) == DT_BF16 ? "bfloat16" : "float32");
    if (m->eot >= 0) {
        json_field_i64(&w, "bos_token_id", m->eot);
        json_field_i64(&w, "eos_token_id", m->eot);
    }
    json_close(&w, '}');
    buf_char(json, '\n');
    return json->failed ? err_set(ERR_LIMIT, "model: no memory for config.json") : 0;
}

const struct model_type model_llama = {
    .name = "llama",
    .help = "RMSNorm, rotary positions, grouped-query attention, SwiGLU",
    .source = "arXiv:2302.13971, arXiv:2307.09288",
    .build = build,
    .forward = forward,
    .flops_per_token = flops_per_token,
    .write_config = write_config,
    .activation_bytes = activation_bytes,
};

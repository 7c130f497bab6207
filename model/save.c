/* save - a model as a folder that transformers loads, and back. */
#include "model/shared.h"

#include "core/err.h"
#include "core/json.h"

#include <assert.h>
#include <stdlib.h>

enum { CONFIG_MAX = 16 << 20, TOKENIZER_MAX = 512 << 20, PARSE_ROOM = 64 };
#define EOT_TEXT "<|endoftext|>"

/* ---- parameters <-> tensors of the file ---- */

/* "a.weight[1]" -> "a.weight": the name in the file. */
static void file_name(const struct param *p, char out[96])
{
    size_t length = strcspn(p->name, "[");
    memcpy(out, p->name, length);
    out[length] = 0;
}

/* The parameter that is part `part` of the same file tensor as param[first]. */
static int part_index(const struct model *m, int first, int part)
{
    char want[96], have[96];
    file_name(&m->param[first], want);
    for (int i = first; i < m->param_count; i++) {
        file_name(&m->param[i], have);
        if (m->param[i].part == part && strcmp(want, have) == 0)
            return i;
    }
    assert(!"every part was declared");
    return -1;
}

static void file_shape(const struct param *p, struct safetensor *t)
{
    int64_t rows = p->w.dim[0] * p->parts, cols = p->w.dim[1];
    assert(p->parts == 1 || p->transposed || p->w.rank == 1);
    t->rank = p->w.rank;
    t->dim[0] = p->transposed ? cols : rows;
    t->dim[1] = p->transposed ? rows : cols;
    t->dim[2] = t->dim[3] = 1;
}

/* Place in the file's tensor of element (r, c) of a parameter. */
static uint64_t file_place(const struct param *p, uint64_t r, uint64_t c)
{
    uint64_t rows = (uint64_t)p->w.dim[0], cols = (uint64_t)p->w.dim[1];
    r += rows * p->part;
    return p->transposed ? c * rows * p->parts + r : r * cols + c;
}

static int gather(const struct model *m, int first, float *scratch, void *out, enum dtype dtype)
{
    for (int part = 0; part < m->param[first].parts; part++) {
        int index = part_index(m, first, part);
        const struct param *p = &m->param[index];
        TRY(model_get(m, index, scratch));
        for (uint64_t r = 0; r < (uint64_t)p->w.dim[0]; r++)
            for (uint64_t c = 0; c < (uint64_t)p->w.dim[1]; c++) {
                float value = scratch[r * (uint64_t)p->w.dim[1] + c];
                if (dtype == DT_BF16)
                    ((uint16_t *)out)[file_place(p, r, c)] = bf16_round(value);
                else
                    ((float *)out)[file_place(p, r, c)] = value;
            }
    }
    return 0;
}

static int scatter(struct model *m, int first, float *scratch, const struct safetensor *t)
{
    for (int part = 0; part < m->param[first].parts; part++) {
        int index = part_index(m, first, part);
        const struct param *p = &m->param[index];
        for (uint64_t r = 0; r < (uint64_t)p->w.dim[0]; r++)
            for (uint64_t c = 0; c < (uint64_t)p->w.dim[1]; c++) {
                uint64_t at = file_place(p, r, c);
                float value = t->dtype == DT_BF16 ? bf16_widen(((const uint16_t *)t->data)[at])
                                                  : ((const float *)t->data)[at];
                scratch[r * (uint64_t)p->w.dim[1] + c] = value;
            }
        TRY(model_put(m, index, scratch));
    }
    return 0;
}

static float *scratch_for(const struct model *m)
{
    int64_t most = 1;
    for (int i = 0; i < m->param_count; i++)
        if (tensor_count(&m->param[i].w) > most)
            most = tensor_count(&m->param[i].w);
    float *scratch = malloc((size_t)most * sizeof *scratch);
    if (!scratch)
        err_set(ERR_LIMIT, "model: no memory for a tensor of %lld numbers", (long long)most);
    return scratch;
}

/* ---- saving ---- */

static int save_weights(const struct model *m, const char *path)
{
    enum dtype dtype = model_dtype(m);
    struct arena a = {0};
    float *scratch = scratch_for(m);
    int rc, count = 0;
    if (!scratch)
        return ERR_LIMIT;
    size_t per_param = sizeof(struct safetensor) + 96 + 64;
    TRY_OUT(arena_open(&a, model_parameters(m) * dtype_bytes((int)dtype) +
                               (size_t)m->param_count * per_param + 4096));
    struct safetensor *tensor = arena_array(&a, struct safetensor, m->param_count);
    rc = tensor ? 0 : ERR_LIMIT;
    for (int i = 0; rc >= 0 && i < m->param_count; i++) {
        const struct param *p = &m->param[i];
        if (p->part != 0)
            continue;
        struct safetensor *t = &tensor[count++];
        char *name = arena_push(&a, 96, 1);
        size_t elements = (size_t)tensor_count(&p->w) * p->parts;
        void *data = arena_push(&a, elements * dtype_bytes((int)dtype), 64);
        if (!name || !data) {
            rc = ERR_LIMIT;
            break;
        }
        file_name(p, name);
        *t = (struct safetensor){.name = name, .dtype = dtype, .data = data};
        file_shape(p, t);
        rc = gather(m, i, scratch, data, dtype);
    }
    if (rc >= 0)
        rc = safetensors_write(path, tensor, count, NULL);
out:
    arena_close(&a);
    free(scratch);
    return rc;
}

/* Id of <|endoftext|> among a tokenizer.json's added tokens; -1 when it has none. */
static int find_eot(struct str text, int64_t *eot)
{
    struct arena a = {0};
    struct json *root;
    int rc;
    *eot = -1;
    TRY_OUT(arena_open(&a, text.len * PARSE_ROOM + (1 << 20)));
    TRY_OUT(json_parse(&a, text, &root));
    const struct json *added = json_get(root, "added_tokens");
    for (const struct json *token = added ? added->child : NULL; token; token = token->next)
        if (token->type == JSON_OBJECT && str_is(json_str(token, "content", STR("")), EOT_TEXT))
            *eot = (int64_t)json_num(token, "id", -1);
out:
    arena_close(&a);
    return rc;
}

static int write_json(const char *dir, const char *file, struct buf *json)
{
    char path[IO_PATH_MAX];
    if (json->failed)
        return err_set(ERR_LIMIT, "model: no memory for %s", file);
    TRY(io_path(path, "%s/%s", dir, file));
    return io_write_file(path, buf_view(json));
}

static int save_tokenizer(const struct model *m, const char *dir, struct str tokenizer)
{
    char path[IO_PATH_MAX];
    struct buf json = {0};
    int rc;
    TRY(io_path(path, "%s/tokenizer.json", dir));
    TRY(io_write_file(path, tokenizer));
    bool eot = m->eot >= 0;
    buf_printf(&json, "{\"tokenizer_class\":\"PreTrainedTokenizerFast\",\"model_max_length\":%lld,"
               "\"clean_up_tokenization_spaces\":false%s}\n", (long long)m->conf.context,
               eot ? ",\"bos_token\":\"" EOT_TEXT "\",\"eos_token\":\"" EOT_TEXT "\"" : "");
    TRY_OUT(write_json(dir, "tokenizer_config.json", &json));
    buf_clear(&json);
    buf_printf(&json, "{%s}\n",
               eot ? "\"bos_token\":\"" EOT_TEXT "\",\"eos_token\":\"" EOT_TEXT "\"" : "");
    rc = write_json(dir, "special_tokens_map.json", &json);
out:
    buf_free(&json);
    return rc;
}

/* config.json comes last: without it nothing takes the folder for a model. */
int model_save(const struct model *m, const char *dir, const char *tokenizer_json)
{
    struct model view = *m;              /* with the eot found */
    char path[IO_PATH_MAX], *tokenizer = NULL;
    size_t tokenizer_bytes;
    struct buf json = {0};
    int rc;
    TRY_OUT(io_mkdirs(dir));
    if (tokenizer_json) {
        TRY_OUT(io_read_file(tokenizer_json, TOKENIZER_MAX, &tokenizer, &tokenizer_bytes));
        struct str text = {tokenizer, tokenizer_bytes};
        rc = find_eot(text, &view.eot);
        if (rc < 0) {
            err_in(rc, "model: %s", tokenizer_json);
            goto out;
        }
        TRY_OUT(save_tokenizer(&view, dir, text));
    }
    TRY_OUT(io_path(path, "%s/model.safetensors", dir));
    TRY_OUT(save_weights(m, path));
    if (view.eot >= 0)
        buf_printf(&json, "{\"bos_token_id\":%lld,\"eos_token_id\":%lld}\n", (long long)view.eot,
                   (long long)view.eot);
    else
        buf_text(&json, "{}\n");
    TRY_OUT(write_json(dir, "generation_config.json", &json));
    buf_clear(&json);
    TRY_OUT(m->type->write_config(&view, &json));
    rc = write_json(dir, "config.json", &json);
out:
    buf_free(&json);
    free(tokenizer);
    return rc;
}

/* ---- loading ---- */

static int64_t config_int(const struct json *config, const char *key, int64_t preset)
{
    const struct json *value = json_get(config, key);
    uint64_t number;
    return value && json_u64(value, &number) && number <= INT32_MAX ? (int64_t)number : preset;
}

static bool config_flag(const struct json *config, const char *key, bool preset)
{
    const struct json *value = json_get(config, key);
    return value && value->type == JSON_BOOL ? value->boolean : preset;
}

static int config_llama(const struct json *config, struct model_conf *c)
{
    c->arch = "llama";
    c->layers = config_int(config, "num_hidden_layers", 0);
    c->heads = config_int(config, "num_attention_heads", 0);
    c->kv_heads = config_int(config, "num_key_value_heads", c->heads);
    c->width = config_int(config, "hidden_size", 0);
    c->hidden = config_int(config, "intermediate_size", 0);
    c->context = config_int(config, "max_position_embeddings", 2048);
    c->tied = config_flag(config, "tie_word_embeddings", false);
    c->norm_eps = json_num(config, "rms_norm_eps", 1e-6);
    c->rope_theta = json_num(config, "rope_theta", 10000);
    const struct json *rope = json_get(config, "rope_parameters");   /* transformers 5 */
    if (rope && rope->type == JSON_OBJECT) {
        c->rope_theta = json_num(rope, "rope_theta", c->rope_theta);
        if (!str_is(json_str(rope, "rope_type", STR("default")), "default"))
            return err_set(ERR_FORMAT, "rope_parameters other than \"default\" are not supported");
    }
    const struct json *scaling = json_get(config, "rope_scaling");
    if (scaling && scaling->type != JSON_NULL)
        return err_set(ERR_FORMAT, "rope_scaling is not supported");
    if (config_flag(config, "attention_bias", false) || config_flag(config, "mlp_bias", false))
        return err_set(ERR_FORMAT, "biases (attention_bias, mlp_bias) are not supported");
    if (!str_is(json_str(config, "hidden_act", STR("silu")), "silu"))
        return err_set(ERR_FORMAT, "hidden_act other than \"silu\" is not supported");
    if (c->heads > 0 && config_int(config, "head_dim", c->width / c->heads) != c->width / c->heads)
        return err_set(ERR_FORMAT, "head_dim other than hidden_size / num_attention_heads is not "
                                   "supported");
    return 0;
}

static int config_gpt2(const struct json *config, struct model_conf *c)
{
    c->arch = "gpt2";
    c->layers = config_int(config, "n_layer", 12);
    c->heads = config_int(config, "n_head", 12);
    c->width = config_int(config, "n_embd", 768);
    c->hidden = config_int(config, "n_inner", 0);
    c->context = config_int(config, "n_positions", 1024);
    c->tied = config_flag(config, "tie_word_embeddings", true);
    c->norm_eps = json_num(config, "layer_norm_epsilon", 1e-5);
    c->rope_theta = 10000;
    struct str act = json_str(config, "activation_function", STR("gelu_new"));
    if (!str_is(act, "gelu_new") && !str_is(act, "gelu_pytorch_tanh"))
        return err_set(ERR_FORMAT, "activation_function other than \"gelu_new\" is not supported");
    if (config_flag(config, "scale_attn_by_inverse_layer_idx", false) ||
        !config_flag(config, "scale_attn_weights", true))
        return err_set(ERR_FORMAT, "attention scaled otherwise than by 1/sqrt(head) is not "
                                   "supported");
    return 0;
}

static int load_config(const char *path, struct model_conf *c, int64_t *eot)
{
    struct arena a = {0};
    char *text = NULL;
    size_t bytes;
    struct json *config;
    int rc;
    memset(c, 0, sizeof *c);
    TRY(io_read_file(path, CONFIG_MAX, &text, &bytes));
    TRY_OUT(arena_open(&a, bytes * PARSE_ROOM + (1 << 20)));
    TRY_OUT(json_parse(&a, (struct str){text, bytes}, &config));
    struct str type = json_str(config, "model_type", STR(""));
    if (str_is(type, "llama"))
        rc = config_llama(config, c);
    else if (str_is(type, "gpt2"))
        rc = config_gpt2(config, c);
    else
        rc = err_set(ERR_FORMAT, "model_type \"%.40s\" is not one of llama, gpt2",
                     type.len ? type.ptr : "");
    c->vocab = config_int(config, "vocab_size", 0);
    *eot = config_int(config, "eos_token_id", -1);
out:
    arena_close(&a);
    free(text);
    return rc < 0 ? err_in(rc, "model: %s", path) : rc;
}

/* Buffers that older files carry, and a head that repeats a tied embedding. */
static bool is_spare(const struct model *m, const char *name)
{
    struct str s = str_of(name);
    return str_ends(s, ".attn.bias") || str_ends(s, ".attn.masked_bias") ||
           str_ends(s, ".rotary_emb.inv_freq") || (m->conf.tied && str_is(s, "lm_head.weight"));
}

/* GPT-2's published files leave "transformer." away. */
static const struct safetensor *find_tensor(const struct safetensor *t, int count, const char *name)
{
    const struct safetensor *found = safetensors_find(t, count, name);
    if (!found && strncmp(name, "transformer.", 12) == 0)
        found = safetensors_find(t, count, name + 12);
    return found;
}

static int load_weights(struct model *m, const char *path)
{
    struct arena a = {0};
    struct safetensor *tensor;
    uint64_t bytes;
    int count, used = 0, rc;
    TRY(io_size(path, &bytes));
    float *scratch = scratch_for(m);
    if (!scratch)
        return ERR_LIMIT;
    TRY_OUT(arena_open(&a, bytes * 4 + (1 << 20)));
    TRY_OUT(safetensors_read(path, &a, &tensor, &count));
    for (int i = 0; i < m->param_count; i++) {
        const struct param *p = &m->param[i];
        struct safetensor want = {0};
        char name[96];
        if (p->part != 0)
            continue;
        file_name(p, name);
        file_shape(p, &want);
        const struct safetensor *t = find_tensor(tensor, count, name);
        if (!t || t->rank != want.rank || memcmp(t->dim, want.dim, sizeof want.dim) != 0 ||
            (t->dtype != DT_F32 && t->dtype != DT_BF16)) {
            rc = err_set(ERR_FORMAT,
                         "model: %s: %s is %s, config.json asks for (%lld, %lld) of F32 or BF16",
                         path, name, t ? "of another shape or type" : "missing",
                         (long long)want.dim[0], (long long)want.dim[1]);
            goto out;
        }
        TRY_OUT(scatter(m, i, scratch, t));
        used++;
    }
    for (int i = 0; i < count && used < count; i++)
        used += is_spare(m, tensor[i].name);
    if (used != count)
        rc = err_set(ERR_FORMAT,
                     "model: %s holds %d tensors that %s does not have: another architecture", path,
                     count - used, m->conf.arch);
out:
    arena_close(&a);
    free(scratch);
    return rc;
}

int model_load_as(struct model *m, const char *dir, struct stream *s, bool train, const char *dtype)
{
    struct model_conf conf;
    char path[IO_PATH_MAX];
    int64_t eot = -1;
    memset(m, 0, sizeof *m);
    TRY(io_path(path, "%s/config.json", dir));
    TRY(load_config(path, &conf, &eot));
    conf.dtype = dtype;
    conf.seed = 1;
    int rc = model_conf_check(&conf);
    if (rc < 0)
        return err_in(rc, "model: %s", path);
    TRY(io_path(path, "%s/model.safetensors", dir));
    if (!io_exists(path))
        return err_set(ERR_IO,
                       "model: %s is not there: a model split into several files must be joined "
                       "first",
                       path);
    TRY(model_open(m, &conf, s, train));
    m->eot = eot;
    rc = load_weights(m, path);
    if (rc < 0)
        model_close(m);
    return rc;
}

int model_load(struct model *m, const char *dir, struct stream *s, bool train)
{
    return model_load_as(m, dir, s, train, "auto");
}

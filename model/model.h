/* model - an architecture declares parameters and a forward pass; the tape does the rest. */
#ifndef SLUICE_MODEL_MODEL_H
#define SLUICE_MODEL_MODEL_H
#include "core/io.h"
#include "core/opt.h"
#include "kernels/tensor.h"

enum { MODEL_PARAMS_MAX = 4096 };
struct model_conf {
    const char *arch;                     /* llama | gpt2 */
    int64_t layers, heads, kv_heads, width, hidden, context,
        vocab;                            /* hidden 0: by architecture; kv_heads 0: heads */
    bool tied;                            /* output head shares the embedding */
    double rope_theta, norm_eps;
    const char *dtype; /* auto | f32 | bf16: type of weights and activations in compute */
    int64_t seed;
};
extern const struct opt model_opts[];     /* rows over struct model_conf */
/* A parameter: its compute copy (w->data in the conf's dtype), gradient F32, and optimizer state.
 * master, m and v exist (device memory, zeroed moments) only in a model opened for training; master
 * is w.data itself when w is F32. */
struct param {
    struct tensor w;
    float *master, *m, *v;
    bool decay;
    float init_std, init_mean;
    /* How Hugging Face stores it: transposed (in, out), and as columns part * out .. of a tensor
     * that joins `parts` parameters (GPT-2's c_attn holds q, k and v). The name of such a part ends
     * in "[part]"; the file's has no bracket. */
    bool transposed;
    uint8_t part, parts;
    char name[96];                        /* as Hugging Face names it */
};
struct model {
    const struct model_type *type; struct model_conf conf;
    struct param *param; int param_count;
    struct stream *stream; struct dev_arena weights;
    struct tensor *grad; /* [param_count], what param[i].w.grad points to; NULL unless training */
    void *grad_data; size_t grad_bytes;   /* all gradients in one piece: one dev_zero clears them */
    bool train;
    int64_t eot;                          /* id of <|endoftext|> for config.json; -1 unknown */
};
/* Keys and values of past positions, for generation: per layer (capacity, G*D). */
struct kv_cache;
struct model_type {
    const char *name, *help, *source;
    int (*build)(struct model *m);        /* declares every param: name, shape, init, decay */
    /* ids I32 (B*T) -> logits (B*T, V). doc_start may be NULL; cache NULL in training. NULL on
     * error. */
    struct tensor *(*forward)(struct model *m, struct tape *t, struct tensor *ids,
                              struct tensor *doc_start, int32_t T, struct kv_cache *cache);
    double (*flops_per_token)(const struct model_conf *c,
                              int64_t T); /* forward + backward, causal half counted */
    int (*write_config)(const struct model *m, struct buf *json); /* config.json of transformers */
    /* Bytes a tape of B x T needs up to the logits; elem is the size of an activation. An upper
     * bound within a quarter. */
    uint64_t (*activation_bytes)(const struct model_conf *c, int64_t B, int64_t T, bool train,
                                 size_t elem);
};
#define MODEL(name) extern const struct model_type model_##name;
#include "model/models.def"
#undef MODEL
const struct model_type *model_find(const char *name);      /* NULL: unknown */
/* Fills what 0 leaves to the architecture and checks every size against the others; ERR_USAGE with
 * the remedy. */
int model_conf_check(struct model_conf *c);
/* What a model takes, before anything is allocated: bytes of device memory. */
struct model_plan {
    uint64_t parameters, weight_bytes, gradient_bytes, optimizer_bytes, total_bytes;
};
int model_plan(const struct model_conf *c, enum device device, bool train, struct model_plan *out);
/* Builds and initialises (normal draws keyed by seed, tensor name and index: the same for any
 * thread count). conf->dtype "auto" is bf16 on CUDA and f32 on the CPU. Strings of conf are
 * borrowed for the model's life. */
int model_open(struct model *m, const struct model_conf *conf, struct stream *s, bool train);
void model_close(struct model *m);                          /* fine on a zeroed struct */
uint64_t model_parameters(const struct model *m); /* without double-counting a tied head */
/* One parameter to and from host memory in fp32: the master when there is one. model_put also sets
 * the rounded copy. */
int model_get(const struct model *m, int index, float *to_host);
int model_put(struct model *m, int index, const float *from_host);
enum dtype model_dtype(const struct model *m);              /* of weights and activations */

/* A folder that transformers loads: config.json, generation_config.json, model.safetensors (fp32 or
 * bf16), tokenizer.json copied beside with tokenizer_config.json and special_tokens_map.json (none
 * when tokenizer_json is NULL). */
int model_save(const struct model *m, const char *dir, const char *tokenizer_json);
/* Reads such a folder, others' too. What the architecture here lacks (biases in llama, scaled RoPE)
 * is ERR_FORMAT. The dtype in compute is the one given ("auto", "f32", "bf16"), whatever the file's
 * is. */
int model_load_as(struct model *m, const char *dir, struct stream *s, bool train,
                  const char *dtype);
int model_load(struct model *m, const char *dir, struct stream *s, bool train);   /* dtype "auto" */

/* safetensors: header and every offset checked before anything is allocated: no overlap, no hole,
 * nothing past the end, the size of the shape. The tensors and their bytes live in the arena. F64,
 * F16 and 64-bit integers are ERR_FORMAT. */
enum { SAFETENSORS_HEADER_MAX = 100000000 };
struct safetensor {
    const char *name;
    enum dtype dtype;
    int rank;
    int64_t dim[DIM_MAX];
    const void *data;
};
int safetensors_write(const char *path, const struct safetensor *t, int count,
                      struct io_info *info);
int safetensors_read(const char *path, struct arena *a, struct safetensor **t, int *count);
/* The tensor of that name, NULL when absent. */
const struct safetensor *safetensors_find(const struct safetensor *t, int count, const char *name);

/* Continues a prompt. temperature 0: greedy. Calls emit with each new token; stops after eot was
 * emitted, or when emit returns non-zero (negative: an error, passed on). A text longer than the
 * context goes on with its last half. The draw for a token depends on (seed, its position) only. */
struct generate_conf { int64_t tokens; double temperature, top_p; int64_t seed; };
int generate(struct model *m, const uint32_t *prompt, uint32_t prompt_count, uint32_t eot,
             const struct generate_conf *c, int (*emit)(void *arg, uint32_t token), void *arg);

/* ---- the cache by hand, for callers that read logits themselves ---- */
int kv_cache_open(struct kv_cache **out, const struct model *m, int64_t capacity);
/* Runs count more tokens through the model and writes the fp32 logits of the last one (V of them).
 * ERR_LIMIT past the capacity. */
int kv_cache_feed(struct kv_cache *cache, struct model *m, const uint32_t *ids, uint32_t count,
                  float *logits);
void kv_cache_clear(struct kv_cache *cache);
void kv_cache_close(struct kv_cache *cache);
#endif

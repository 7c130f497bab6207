/* model - an architecture declares parameters and a forward pass; the tape does the rest. */
#ifndef SLUICE_MODEL_MODEL_H
#define SLUICE_MODEL_MODEL_H
#include "core/io.h"
#include "core/opt.h"
#include "kernels/tensor.h"

enum { MODEL_PARAMS_MAX = 4096 };
struct model_conf {
    const char *arch;                     /* llama | gpt2 */
    int64_t layers, heads, kv_heads, width, hidden, context, vocab;   /* hidden 0: by architecture */
    bool tied;                            /* output head shares the embedding */
    double rope_theta, norm_eps;
    const char *dtype;                    /* f32 | bf16: type of weights and activations in compute */
    int64_t seed;
};
extern const struct opt model_opts[];     /* rows over struct model_conf */
/* A parameter: its compute copy (w->data in the conf's dtype), gradient F32, and optimizer state made by train. */
struct param { struct tensor w; float *master, *m, *v; bool decay; float init_std; char name[96]; /* as Hugging Face names it */ };
struct model {
    const struct model_type *type; struct model_conf conf;
    struct param *param; int param_count;
    struct stream *stream; struct dev_arena weights;
};
/* Keys and values of past positions, for generation: per layer (capacity, G*D). */
struct kv_cache;
struct model_type {
    const char *name, *help, *source;
    int (*build)(struct model *m);        /* declares every param: name, shape, init, decay */
    /* ids I32 (B*T) -> logits (B*T, V). doc_start may be NULL; cache NULL in training. */
    struct tensor *(*forward)(struct model *m, struct tape *t, struct tensor *ids, struct tensor *doc_start, int32_t T, struct kv_cache *cache);
    double (*flops_per_token)(const struct model_conf *c, int64_t T);   /* forward + backward, causal half counted */
    int (*write_config)(const struct model *m, struct buf *json);       /* config.json of transformers */
};
#define MODEL(name) extern const struct model_type model_##name;
#include "model/models.def"
#undef MODEL
/* Builds and initialises (normal draws keyed by seed, tensor name and index: the same for any thread count). */
int model_open(struct model *m, const struct model_conf *conf, struct stream *s, bool train);
void model_close(struct model *m);
uint64_t model_parameters(const struct model *m);          /* without double-counting a tied head */
/* A folder that transformers loads: config.json, model.safetensors (fp32 or bf16), tokenizer.json copied beside. */
int model_save(const struct model *m, const char *dir, const char *tokenizer_json);
int model_load(struct model *m, const char *dir, struct stream *s, bool train);
/* safetensors: header and every offset checked before anything is allocated. */
struct safetensor { const char *name; enum dtype dtype; int rank; int64_t dim[DIM_MAX]; const void *data; };
int safetensors_write(const char *path, const struct safetensor *t, int count, struct io_info *info);
int safetensors_read(const char *path, struct arena *a, struct safetensor **t, int *count);
/* Continues a prompt. temperature 0: greedy. Calls emit with each new token. */
struct generate_conf { int64_t tokens; double temperature, top_p; int64_t seed; };
int generate(struct model *m, const uint32_t *prompt, uint32_t prompt_count, uint32_t eot, const struct generate_conf *c,
             int (*emit)(void *arg, uint32_t token), void *arg);
#endif

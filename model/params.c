/* params - a model's memory and its first values: declared by the architecture, in one arena. */
#include "model/shared.h"

#include "core/err.h"
#include "core/hash.h"
#include "core/pool.h"

#include <assert.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>

enum { PLACE_ALIGN = 256, INIT_CHUNK = 1 << 16 };

#define ROW(kind, field, preset, min, max, unit, help, source) \
    OPT_ROW(kind, struct model_conf, field, preset, min, max, unit, help, source)
const struct opt model_opts[] =
    {ROW(OPT_ENUM, arch, "llama", 0, 0, "llama|gpt2", "architecture of the network", NULL),
     ROW(OPT_INT, layers, "4", 1, 400, "layers", "transformer blocks", NULL),
     ROW(OPT_INT, heads, "4", 1, 1024, "heads", "attention heads; width / heads is the head's size",
         NULL),
     ROW(OPT_INT, kv_heads, "0", 0, 1024, "heads",
         "key-value heads shared by groups of heads; 0: as many as heads", "arXiv:2305.13245"),
     ROW(OPT_INT, width, "256", 2, 65536, "channels", "size of the residual stream", NULL),
     ROW(OPT_INT, hidden, "0", 0, 1048576, "channels",
         "size inside the feed-forward block; 0: 4 width (gpt2) or 8/3 width rounded up to 64 "
         "(llama)",
         NULL),
     ROW(OPT_INT, context, "256", 2, 1048576, "tokens", "longest sequence the model reads", NULL),
     ROW(OPT_INT, vocab, "0", 0, 16777216, "tokens",
         "rows of the embedding; 0: the tokenizer's, rounded up to 64", NULL),
     ROW(OPT_BOOL, tied, "false", 0, 0, NULL,
         "the output head shares the embedding: fewer parameters, slower learning; GPT-2 does",
         "arXiv:1608.05859"),
     ROW(OPT_FLOAT, rope_theta, "10000", 1, 1e9, NULL, "base of the rotary positions (llama)",
         "arXiv:2104.09864"),
     ROW(OPT_FLOAT, norm_eps, "1e-5", 1e-12, 1e-2, NULL, "added to the variance in norms", NULL),
     ROW(OPT_ENUM, dtype, "auto", 0, 0, "auto|f32|bf16",
         "type of weights and activations in compute; auto: bf16 on a GPU, f32 on the CPU", NULL),
     ROW(OPT_INT, seed, "1", 0, 9e15, NULL, "first values of the weights follow from it", NULL),
     OPT_LAST};

const struct model_type *model_find(const char *name)
{
#define MODEL(row) if (strcmp(name, #row) == 0) return &model_##row;
#include "model/models.def"
#undef MODEL
    return NULL;
}

int model_conf_check(struct model_conf *c)
{
    if (!c->arch || !model_find(c->arch))
        return err_set(ERR_USAGE, "model: architecture \"%s\" is unknown: use llama or gpt2",
                       c->arch ? c->arch : "");
    if (c->layers < 1 || c->layers > 400 || c->width < 2 || c->width > 65536 || c->heads < 1 ||
        c->heads > 1024 || c->context < 2 || c->context > 1048576 || c->hidden < 0 ||
        c->hidden > 1048576 || c->kv_heads < 0)
        return err_set(ERR_USAGE,
                       "model: layers %lld, width %lld, heads %lld, kv_heads %lld, hidden %lld or "
                       "context "
                       "%lld is out of range: `--help` lists the ranges",
                       (long long)c->layers, (long long)c->width, (long long)c->heads,
                       (long long)c->kv_heads, (long long)c->hidden, (long long)c->context);
    if (c->vocab < 1 || c->vocab > 16777216)
        return err_set(ERR_USAGE,
                       "model: vocab is %lld, want 1 to 16777216: set it or give a tokenizer",
                       (long long)c->vocab);
    if (!(c->norm_eps > 0) || !(c->rope_theta >= 1))
        return err_set(ERR_USAGE, "model: norm_eps %g must be above 0 and rope_theta %g at least 1",
                       c->norm_eps, c->rope_theta);
    bool llama = strcmp(c->arch, "llama") == 0;
    if (c->kv_heads == 0)
        c->kv_heads = c->heads;
    if (c->hidden == 0)
        c->hidden = llama ? (c->width * 8 / 3 + 63) / 64 * 64 : 4 * c->width;
    if (c->width % c->heads != 0)
        return err_set(ERR_USAGE, "model: width %lld is not a multiple of heads %lld: change one",
                       (long long)c->width, (long long)c->heads);
    if (llama && c->width / c->heads % 2 != 0)
        return err_set(ERR_USAGE,
                       "model: width %lld / heads %lld is odd, rotary positions need an even head",
                       (long long)c->width, (long long)c->heads);
    if (c->heads % c->kv_heads != 0)
        return err_set(ERR_USAGE,
                       "model: heads %lld is not a multiple of kv_heads %lld: change one",
                       (long long)c->heads, (long long)c->kv_heads);
    if (!llama && c->kv_heads != c->heads)
        return err_set(ERR_USAGE,
                       "model: gpt2 has no grouped keys: kv_heads %lld must be heads %lld or 0",
                       (long long)c->kv_heads, (long long)c->heads);
    if (!c->dtype || (strcmp(c->dtype, "auto") != 0 && strcmp(c->dtype, "f32") != 0 &&
                      strcmp(c->dtype, "bf16") != 0))
        return err_set(ERR_USAGE, "model: dtype \"%s\" is unknown: use auto, f32 or bf16",
                       c->dtype ? c->dtype : "");
    return 0;
}

int param_add(struct model *m, const struct param_shape *shape, const char *fmt, ...)
{
    if (m->param_count == MODEL_PARAMS_MAX)
        return err_set(ERR_LIMIT, "model: more than %d parameters: use fewer layers",
                       MODEL_PARAMS_MAX);
    if ((m->param_count & (m->param_count - 1)) == 0) {
        size_t room = m->param_count ? (size_t)m->param_count * 2 : 1;
        struct param *grown = realloc(m->param, room * sizeof *grown);
        if (!grown)
            return err_set(ERR_LIMIT, "model: no memory for %zu parameter rows", room);
        m->param = grown;
    }
    struct param *p = &m->param[m->param_count++];
    memset(p, 0, sizeof *p);
    p->w.rank = shape->cols ? 2 : 1;
    p->w.dim[0] = shape->rows;
    p->w.dim[1] = shape->cols ? shape->cols : 1;
    p->w.dim[2] = p->w.dim[3] = 1;
    p->decay = shape->decay;
    p->init_mean = (float)shape->mean;
    p->init_std = (float)shape->std;
    p->transposed = shape->transposed;
    p->part = (uint8_t)shape->part;
    p->parts = (uint8_t)(shape->parts ? shape->parts : 1);
    va_list args;
    va_start(args, fmt);
    int length = vsnprintf(p->name, sizeof p->name, fmt, args);
    va_end(args);
    assert(length > 0 && (size_t)length < sizeof p->name);
    return 0;
}

static uint64_t placed(uint64_t bytes)
{
    return (bytes + PLACE_ALIGN - 1) / PLACE_ALIGN * PLACE_ALIGN;
}

static enum dtype conf_dtype(const struct model_conf *c, enum device device)
{
    if (strcmp(c->dtype, "auto") == 0)
        return device == DEV_CUDA ? DT_BF16 : DT_F32;
    return strcmp(c->dtype, "bf16") == 0 ? DT_BF16 : DT_F32;
}

static void plan_params(const struct model *m, enum dtype dtype, bool train, struct model_plan *out)
{
    memset(out, 0, sizeof *out);
    for (int i = 0; i < m->param_count; i++) {
        uint64_t count = (uint64_t)tensor_count(&m->param[i].w);
        out->parameters += count;
        out->weight_bytes += placed(count * dtype_bytes(dtype));
        if (!train)
            continue;
        out->gradient_bytes += placed(count * 4);
        out->optimizer_bytes += placed(count * 4) * (dtype == DT_F32 ? 2 : 3);
    }
    out->total_bytes = out->weight_bytes + out->gradient_bytes + out->optimizer_bytes;
}

int model_plan(const struct model_conf *c, enum device device, bool train, struct model_plan *out)
{
    struct model m = {.conf = *c};
    TRY(model_conf_check(&m.conf));
    m.type = model_find(m.conf.arch);
    int rc = m.type->build(&m);
    if (rc >= 0)
        plan_params(&m, conf_dtype(&m.conf, device), train, out);
    free(m.param);
    return rc;
}

/* ---- first values ---- */

struct init_job { float *to; uint64_t key, count; double mean, std; };

/* Draw i is one half of a Box-Muller pair made from two hashes of (key, i / 2): any split gives the
 * same values. */
static void init_chunk(void *arg, int index, int thread)
{
    UNUSED(thread);
    const struct init_job *job = arg;
    uint64_t start = (uint64_t)index * INIT_CHUNK;
    uint64_t end = start + INIT_CHUNK < job->count ? start + INIT_CHUNK : job->count;
    for (uint64_t i = start; i < end; i += 2) {
        double radius = sqrt(-2.0 * log(1.0 - hash_unit(job->key, i)));
        double angle = 2.0 * 3.14159265358979323846 * hash_unit(job->key, i + 1);
        job->to[i] = (float)(job->mean + job->std * radius * cos(angle));
        if (i + 1 < end)
            job->to[i + 1] = (float)(job->mean + job->std * radius * sin(angle));
    }
}

static uint64_t largest_param(const struct model *m)
{
    uint64_t most = 1;
    for (int i = 0; i < m->param_count; i++)
        if ((uint64_t)tensor_count(&m->param[i].w) > most)
            most = (uint64_t)tensor_count(&m->param[i].w);
    return most;
}

static int init_params(struct model *m)
{
    int rc = 0;
    struct pool *pool = NULL;
    float *host = malloc(largest_param(m) * sizeof *host);
    if (!host)
        return err_set(ERR_LIMIT, "model: no memory for a tensor of %llu numbers",
                       (unsigned long long)largest_param(m));
    TRY_OUT(pool_open(&pool, model_parameters(m) > (1u << 20) ? 0 : 1));
    for (int i = 0; i < m->param_count; i++) {
        struct param *p = &m->param[i];
        struct init_job job = {.to = host, .count = (uint64_t)tensor_count(&p->w),
                               .mean = p->init_mean, .std = p->init_std};
        job.key = hash_mix((uint64_t)m->conf.seed ^ hash_str(str_of(p->name), 0));
        if (p->init_std > 0)
            pool_each(pool, (int)((job.count + INIT_CHUNK - 1) / INIT_CHUNK), init_chunk, &job);
        else
            for (uint64_t k = 0; k < job.count; k++)
                host[k] = p->init_mean;
        TRY_OUT(model_put(m, i, host));
    }
out:
    if (pool)
        pool_close(pool);
    free(host);
    return rc;
}

/* ---- memory ---- */

static int place_params(struct model *m, enum dtype dtype)
{
    struct model_plan plan;
    plan_params(m, dtype, m->train, &plan);
    TRY(dev_arena_open(&m->weights, m->stream, plan.total_bytes + PLACE_ALIGN));
    if (m->train) {
        m->grad_bytes = plan.gradient_bytes;
        m->grad_data = dev_push(&m->weights, m->grad_bytes);
        m->grad = calloc((size_t)m->param_count, sizeof *m->grad);
        if (!m->grad || !m->grad_data)
            return err_set(ERR_LIMIT, "model: no memory for %llu bytes of gradients",
                           (unsigned long long)plan.gradient_bytes);
    }
    unsigned char *grad_at = m->grad_data;
    for (int i = 0; i < m->param_count; i++) {
        struct param *p = &m->param[i];
        size_t count = (size_t)tensor_count(&p->w);
        p->w.name = p->name;
        p->w.dtype = (uint8_t)dtype;
        p->w.device = (uint8_t)stream_device(m->stream);
        if (!(p->w.data = dev_push(&m->weights, count * dtype_bytes(dtype))))
            return ERR_LIMIT;
        if (!m->train)
            continue;
        p->master = dtype == DT_F32 ? p->w.data : dev_push(&m->weights, count * 4);
        p->m = dev_push(&m->weights, count * 4);
        p->v = dev_push(&m->weights, count * 4);
        if (!p->master || !p->m || !p->v)
            return ERR_LIMIT;
        m->grad[i] = p->w;
        m->grad[i].dtype = DT_F32;
        m->grad[i].data = grad_at;
        p->w.grad = &m->grad[i];
        grad_at += placed(count * 4);
        TRY(dev_zero(m->stream, p->m, count * 4));
        TRY(dev_zero(m->stream, p->v, count * 4));
    }
    return m->train ? dev_zero(m->stream, m->grad_data, m->grad_bytes) : 0;
}

int model_open(struct model *m, const struct model_conf *conf, struct stream *s, bool train)
{
    memset(m, 0, sizeof *m);
    m->conf = *conf;
    m->stream = s;
    m->train = train;
    m->eot = -1;
    TRY(model_conf_check(&m->conf));
    m->type = model_find(m->conf.arch);
    enum dtype dtype = conf_dtype(&m->conf, stream_device(s));
    m->conf.dtype = dtype == DT_BF16 ? "bf16" : "f32";
    int rc;
    TRY_OUT(m->type->build(m));
    TRY_OUT(place_params(m, dtype));
    TRY_OUT(init_params(m));
out:
    if (rc < 0) {
        err_in(rc, "model %s", m->conf.arch);
        model_close(m);
    }
    return rc;
}

void model_close(struct model *m)
{
    if (m->weights.base)
        dev_arena_close(&m->weights);
    free(m->grad);
    free(m->param);
    memset(m, 0, sizeof *m);
}

uint64_t model_parameters(const struct model *m)
{
    uint64_t sum = 0;
    for (int i = 0; i < m->param_count; i++)
        sum += (uint64_t)tensor_count(&m->param[i].w);
    return sum;
}

enum dtype model_dtype(const struct model *m)
{
    return strcmp(m->conf.dtype, "bf16") == 0 ? DT_BF16 : DT_F32;
}

int model_get(const struct model *m, int index, float *to_host)
{
    assert(index >= 0 && index < m->param_count);
    const struct param *p = &m->param[index];
    size_t count = (size_t)tensor_count(&p->w);
    if (p->master || p->w.dtype == DT_F32)
        return dev_download(m->stream, to_host, p->master ? p->master : p->w.data, count * 4);
    uint16_t *half = malloc(count * 2);
    if (!half)
        return err_set(ERR_LIMIT, "model: no memory to read %s (%zu bytes)", p->name, count * 2);
    int rc = dev_download(m->stream, half, p->w.data, count * 2);
    for (size_t i = 0; rc >= 0 && i < count; i++)
        to_host[i] = bf16_widen(half[i]);
    free(half);
    return rc;
}

int model_put(struct model *m, int index, const float *from_host)
{
    assert(index >= 0 && index < m->param_count);
    struct param *p = &m->param[index];
    size_t count = (size_t)tensor_count(&p->w);
    if (p->master || p->w.dtype == DT_F32)
        TRY(dev_upload(m->stream, p->master ? (void *)p->master : p->w.data, from_host, count * 4));
    if (p->w.dtype == DT_F32)
        return dev_sync(m->stream);
    uint16_t *half = malloc(count * 2);
    if (!half)
        return err_set(ERR_LIMIT, "model: no memory to write %s (%zu bytes)", p->name, count * 2);
    for (size_t i = 0; i < count; i++)
        half[i] = bf16_round(from_host[i]);
    int rc = dev_upload(m->stream, p->w.data, half, count * 2);
    if (rc >= 0)
        rc = dev_sync(m->stream);
    free(half);
    return rc;
}

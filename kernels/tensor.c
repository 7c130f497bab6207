/* tensor - streams, device memory, and the tape that records ops and walks back over them. */
#include "kernels/tensor.h"

#include "core/err.h"
#include "kernels/device.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <math.h>

enum { DEV_ALIGN = 256, ZERO_CHUNK = 1 << 20, ROPE_POSITIONS_MIN = 256 };

#define OP(name, args) &op_##name,
const struct op *const ops[] = {
#include "kernels/ops.def"
    NULL,
};
#undef OP

/* ---- streams ---- */
int device_open(struct stream **out, enum device dev, int threads)
{
    *out = NULL;
    struct stream *s = calloc(1, sizeof *s);
    if (!s)
        return err_set(ERR_LIMIT, "device: no memory for a stream");
    s->device = dev;
    int rc = dev == DEV_CPU ? cpu_open(s, threads) : cuda_open(s);
    if (rc < 0) {
        free(s);
        return rc;
    }
    *out = s;
    return 0;
}

static int block_alloc(struct stream *s, size_t bytes, void **out)
{
    if (s->device == DEV_CUDA)
        return cuda_alloc(s, bytes, out);
    void *base = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (base == MAP_FAILED)
        return err_sys("device: mapping %zu bytes", bytes);
    madvise(base, bytes, MADV_HUGEPAGE); /* fewer TLB misses; refusal does no harm */
    *out = base;
    return 0;
}

static void block_free(struct stream *s, void *ptr, size_t bytes)
{
    if (!ptr)
        return;
    if (s->device == DEV_CUDA)
        cuda_free(s, ptr);
    else
        munmap(ptr, bytes);
}

static size_t rope_bytes(const struct stream *s)
{
    return (size_t)s->rope.positions * (size_t)s->rope.D * sizeof(float);
}

void device_close(struct stream *s)
{
    if (!s)
        return;
    block_free(s, s->scratch, s->scratch_bytes);
    block_free(s, s->rope.table, rope_bytes(s));
    if (s->device == DEV_CUDA)
        cuda_close(s);
    else
        cpu_close(s);
    free(s);
}

enum device stream_device(const struct stream *s) { return s->device; }

void *stream_scratch(struct stream *s, size_t bytes)
{
    if (bytes <= s->scratch_bytes && s->scratch)
        return s->scratch;
    size_t size = s->scratch_bytes * 2 > bytes ? s->scratch_bytes * 2 : bytes;
    size = (size + ZERO_CHUNK - 1) / ZERO_CHUNK * ZERO_CHUNK;
    if (dev_sync(s) < 0) /* queued kernels may still use the old block */
        return NULL;
    block_free(s, s->scratch, s->scratch_bytes);
    s->scratch = NULL;
    s->scratch_bytes = 0;
    if (block_alloc(s, size, &s->scratch) < 0)
        return NULL;
    s->scratch_bytes = size;
    return s->scratch;
}

const float *stream_rope(struct stream *s, int64_t positions, int32_t D, float theta)
{
    bool same = s->rope.table && s->rope.D == D && s->rope.theta == theta;
    if (same && positions <= s->rope.positions)
        return s->rope.table;
    int64_t count = ROPE_POSITIONS_MIN;
    while (count < positions)
        count *= 2;
    size_t bytes = (size_t)count * (size_t)D * sizeof(float);
    float *host = malloc(bytes);
    if (!host || dev_sync(s) < 0)
        goto fail;
    for (int64_t position = 0; position < count; position++) {
        for (int32_t j = 0; j < D / 2; j++) {
            double angle = (double)position * pow((double)theta, -2.0 * j / D);
            host[position * D + 2 * j] = (float)cos(angle);
            host[position * D + 2 * j + 1] = (float)sin(angle);
        }
    }
    block_free(s, s->rope.table, rope_bytes(s));
    s->rope.table = NULL;
    void *table = NULL;
    if (block_alloc(s, bytes, &table) < 0 || dev_upload(s, table, host, bytes) < 0 ||
        dev_sync(s) < 0) {
        block_free(s, table, bytes);
        goto fail;
    }
    s->rope.table = table;
    s->rope.positions = count;
    s->rope.D = D;
    s->rope.theta = theta;
    free(host);
    return s->rope.table;
fail:
    if (!host)
        err_set(ERR_LIMIT, "rope: no memory for a table of %zu bytes", bytes);
    free(host);
    return NULL;
}

/* ---- device memory ---- */
int dev_arena_open(struct dev_arena *a, struct stream *s, size_t size)
{
    *a = (struct dev_arena){.stream = s};
    size = (size + DEV_ALIGN - 1) / DEV_ALIGN * DEV_ALIGN;
    if (size == 0)
        size = DEV_ALIGN;
    void *base = NULL;
    TRY(block_alloc(s, size, &base));
    a->base = base;
    a->size = size;
    return 0;
}

void *dev_push(struct dev_arena *a, size_t bytes)
{
    if (bytes > a->size - a->used) {
        err_set(
            ERR_LIMIT,
            "device memory: %zu bytes asked, %zu of %zu in use: smaller batches or a larger arena",
            bytes, a->used, a->size);
        return NULL;
    }
    void *at = a->base + a->used;
    size_t rounded = (bytes + DEV_ALIGN - 1) / DEV_ALIGN * DEV_ALIGN;
    a->used += rounded <= a->size - a->used ? rounded : a->size - a->used;
    if (a->used > a->peak)
        a->peak = a->used;
    return at;
}

void dev_arena_close(struct dev_arena *a)
{
    if (a->base)
        block_free(a->stream, a->base, a->size);
    *a = (struct dev_arena){0};
}

int dev_upload(struct stream *s, void *to, const void *from_host, size_t bytes)
{
    if (s->device == DEV_CUDA)
        return cuda_upload(s, to, from_host, bytes);
    memcpy(to, from_host, bytes);
    return 0;
}

int dev_download(struct stream *s, void *to_host, const void *from, size_t bytes)
{
    if (s->device == DEV_CUDA)
        return cuda_download(s, to_host, from, bytes);
    memcpy(to_host, from, bytes);
    return 0;
}

struct zero_job {
    unsigned char *to;
    size_t bytes;
};

static void zero_task(void *arg, int64_t index, int thread)
{
    UNUSED(thread);
    const struct zero_job *job = arg;
    size_t start = (size_t)index * ZERO_CHUNK;
    memset(job->to + start, 0, job->bytes - start < ZERO_CHUNK ? job->bytes - start : ZERO_CHUNK);
}

int dev_zero(struct stream *s, void *to, size_t bytes)
{
    if (s->device == DEV_CUDA)
        return cuda_zero(s, to, bytes);
    struct zero_job job = {to, bytes};
    stream_each(s, (int64_t)((bytes + ZERO_CHUNK - 1) / ZERO_CHUNK), zero_task, &job);
    return 0;
}

int dev_host_alloc(struct stream *s, size_t bytes, void **out)
{
    *out = NULL;
    if (s->device == DEV_CPU)
        return block_alloc(s, bytes, out);
    TRY(cuda_host_alloc(s, bytes, out));
    memset(*out, 0, bytes);
    return 0;
}

void dev_host_free(struct stream *s, void *host, size_t bytes)
{
    if (s->device == DEV_CPU)
        block_free(s, host, bytes);
    else if (host)
        cuda_host_free(s, host);
}

int dev_sync(struct stream *s) { return s->device == DEV_CUDA ? cuda_wait(s) : 0; }

/* ---- the tape ---- */
int tape_open(struct tape *t, struct dev_arena *arena, bool train, enum dtype compute)
{
    assert(compute == DT_F32 || compute == DT_BF16);
    *t = (struct tape){
        .arena = arena, .stream = arena->stream, .train = train, .compute = (uint8_t)compute};
    t->node = calloc(TAPE_NODES_MAX, sizeof *t->node);
    t->tensor = calloc(TAPE_TENSORS_MAX, sizeof *t->tensor);
    if (!t->node || !t->tensor) {
        tape_close(t);
        return err_set(ERR_LIMIT, "tape: no memory for %d nodes", TAPE_NODES_MAX);
    }
    return 0;
}

void tape_reset(struct tape *t)
{
    t->node_count = t->tensor_count = 0;
    t->arena->used = 0;
}

void tape_close(struct tape *t)
{
    free(t->node);
    free(t->tensor);
    *t = (struct tape){0};
}

/* A tensor without data. */
static struct tensor *tensor_name(struct tape *t, enum dtype dtype, int rank, const int64_t *dim)
{
    if (t->tensor_count == TAPE_TENSORS_MAX) {
        err_set(ERR_LIMIT, "tape: more than %d tensors between two resets", TAPE_TENSORS_MAX);
        return NULL;
    }
    struct tensor *made = &t->tensor[t->tensor_count];
    *made = (struct tensor){
        .dtype = (uint8_t)dtype, .rank = (uint8_t)rank, .device = (uint8_t)t->stream->device};
    for (int k = 0; k < DIM_MAX; k++)
        made->dim[k] = k < rank ? dim[k] : 1;
    return made;
}

static struct tensor *tensor_new(struct tape *t, enum dtype dtype, int rank, const int64_t *dim)
{
    struct tensor *made = tensor_name(t, dtype, rank, dim);
    if (!made)
        return NULL;
    made->data = dev_push(t->arena, (size_t)tensor_count(made) * dtype_bytes(dtype));
    if (!made->data)
        return NULL;
    t->tensor_count++;
    return made;
}

struct tensor *tape_input(struct tape *t, enum dtype dtype, int64_t count, const void *host)
{
    if (t->stream->device == DEV_CPU) {
        struct tensor *made = tensor_name(t, dtype, 1, &count);
        if (!made)
            return NULL;
        made->data = (void *)(uintptr_t)host; /* no op writes to an input without gradient */
        t->tensor_count++;
        return made;
    }
    struct tensor *made = tensor_new(t, dtype, 1, &count);
    if (!made || dev_upload(t->stream, made->data, host, (size_t)count * dtype_bytes(dtype)) < 0)
        return NULL;
    return made;
}

struct tensor *tape_tensor(struct tape *t, enum dtype dtype, int rank, const int64_t *dim,
                           bool with_grad)
{
    assert(rank >= 1);
    assert(rank <= DIM_MAX);
    struct tensor *made = tensor_new(t, dtype, rank, dim);
    if (!made || !with_grad || !t->train)
        return made;
    made->grad = tensor_new(t, DT_F32, rank, dim);
    if (!made->grad ||
        dev_zero(t->stream, made->grad->data, (size_t)tensor_count(made) * sizeof(float)) < 0)
        return NULL;
    return made;
}

int op_refuse(const struct node *n, const char *fmt, ...)
{
    char what[512];
    va_list args;
    va_start(args, fmt);
    vsnprintf(what, sizeof what, fmt, args);
    va_end(args);
    return err_set(ERR_USAGE, "%s: %s", n->op->name, what);
}

int cuda_failed(const char *what, const char *why)
{
    return err_set(ERR_GPU, "cuda: %s: %s", what, why);
}

bool node_needs_grad(const struct node *n)
{
    for (int k = 0; k < OP_IN_MAX; k++)
        if (n->in[k] && n->in[k]->grad)
            return true;
    return false;
}

static int node_run(struct tape *t, struct node *n)
{
    enum device device = t->stream->device;
    for (int k = 0; k < OP_IN_MAX; k++) {
        if (n->in[k] && n->in[k]->device != device)
            return op_refuse(n, "input %d lies on the %s, the tape runs on the %s", k,
                             n->in[k]->device == DEV_CUDA ? "GPU" : "CPU",
                             device == DEV_CUDA ? "GPU" : "CPU");
    }
    if (!n->op->fwd[device] || (t->train && node_needs_grad(n) && !n->op->bwd[device]))
        return err_set(ERR_GPU, "%s: has no %s code in this build: train with device = cpu",
                       n->op->name, device == DEV_CUDA ? "CUDA" : "CPU");
    TRY(n->op->shape(t, n));
    assert(n->out);
    return n->op->fwd[device](t->stream, n);
}

struct tensor *tape_apply(struct tape *t, const struct op *op, struct tensor *const *in,
                          int in_count, const float *f, const int32_t *i)
{
    assert(in_count <= OP_IN_MAX);
    if (!t->train)
        t->node_count = 0;
    if (t->node_count == TAPE_NODES_MAX) {
        err_set(ERR_LIMIT, "tape: more than %d ops between two resets", TAPE_NODES_MAX);
        return NULL;
    }
    struct node *n = &t->node[t->node_count];
    *n = (struct node){.op = op};
    for (int k = 0; k < in_count; k++)
        n->in[k] = in[k];
    if (f)
        memcpy(n->f, f, sizeof n->f);
    if (i)
        memcpy(n->i, i, sizeof n->i);
    if (node_run(t, n) < 0)
        return NULL;
    t->node_count++;
    return n->out;
}

int tape_backward(struct tape *t, struct tensor *loss, float seed)
{
    if (!t->train || !loss->grad || tensor_count(loss) != 1)
        return err_set(
            ERR_USAGE,
            "tape: backward needs a training tape and a loss of one number with a gradient");
    TRY(dev_upload(t->stream, loss->grad->data, &seed, sizeof seed));
    for (int k = t->node_count - 1; k >= 0; k--) {
        struct node *n = &t->node[k];
        if (n->out->grad)
            TRY(n->op->bwd[t->stream->device](t->stream, n));
    }
    return 0;
}

/* cublas - cuBLASLt behind a table of its functions: descriptors and algorithms are made once a
 * shape.
 *
 * cuBLASLt counts columns first. A row-major m x n c is its n x m matrix, so c = op(a) op(b) is
 * asked for as c' = op(b)' op(a)': b goes in first, and neither is turned when the other layout
 * already is. */
#include "kernels/cublas.h"

#include "kernels/cuda.h"

#include <cublasLt.h>
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PLANS_MAX = 256, ALIGN_MAX = 256, WORKSPACE_BYTES = 32 << 20 };

/* A row is a function taken from the library: its name and its type come from the header. */
#define FUNCTIONS(ROW)                        \
    ROW(cublasLtCreate)                       \
    ROW(cublasLtDestroy)                      \
    ROW(cublasLtGetVersion)                   \
    ROW(cublasLtMatmulDescCreate)             \
    ROW(cublasLtMatmulDescDestroy)            \
    ROW(cublasLtMatmulDescSetAttribute)       \
    ROW(cublasLtMatrixLayoutCreate)           \
    ROW(cublasLtMatrixLayoutDestroy)          \
    ROW(cublasLtMatmulPreferenceCreate)       \
    ROW(cublasLtMatmulPreferenceDestroy)      \
    ROW(cublasLtMatmulPreferenceSetAttribute) \
    ROW(cublasLtMatmulAlgoGetHeuristic)       \
    ROW(cublasLtMatmul)
#define ROW(name) static decltype(&name) call_##name;
FUNCTIONS(ROW)
#undef ROW

struct plan_key {
    int64_t m, n, k, lda, ldb, ldc;
    uint32_t flags, align;
};
struct plan {
    struct plan_key key;
    cublasLtMatmulDesc_t work;
    cublasLtMatrixLayout_t a, b, c;
    cublasLtMatmulAlgo_t algo;
    bool unsupported; /* cuBLASLt has no algorithm for this shape */
};
struct cublas {
    cublasLtHandle_t handle;
    void *workspace;
    struct plan plan[PLANS_MAX];
    int plan_count;
};

static char description[128] = "cuBLASLt not looked for yet";
static bool loaded;

const char *cublas_describe(void) { return description; }

/* Once a process; the library stays open. False when it is not here. */
static bool library_load(void)
{
    static const char *const places[] = {"libcublasLt.so.13",
                                         "/usr/local/cuda/lib64/libcublasLt.so.13"};
    void *library = nullptr;
    for (size_t k = 0; !library && k < COUNT_OF(places); k++)
        library = dlopen(places[k], RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        snprintf(description, sizeof description,
                 "no libcublasLt.so.13: matmul runs its own, slower kernel");
        return false;
    }
#define ROW(name)                                                                    \
    call_##name = (decltype(call_##name))dlsym(library, #name);                      \
    if (!call_##name) {                                                              \
        snprintf(description, sizeof description, "libcublasLt.so.13 lacks " #name); \
        return false;                                                                \
    }
    FUNCTIONS(ROW)
#undef ROW
    size_t version = call_cublasLtGetVersion();
    snprintf(description, sizeof description, "cuBLASLt %zu.%zu.%zu", version / 10000,
             version / 100 % 100, version % 100);
    return true;
}

static int failed(const char *what, cublasStatus_t status)
{
    char why[64];
    snprintf(why, sizeof why, "cuBLASLt status %d", (int)status);
    return cuda_failed(what, why);
}

int cublas_open(struct stream *s)
{
    loaded = loaded || library_load();
    if (!loaded)
        return 0;
    struct cublas *blas = (struct cublas *)calloc(1, sizeof *blas);
    if (!blas)
        return cuda_failed("cublas", "no memory for its plans");
    cublasStatus_t status = call_cublasLtCreate(&blas->handle);
    if (status != CUBLAS_STATUS_SUCCESS) {
        free(blas);
        return failed("cublasLtCreate", status);
    }
    if (cudaMalloc(&blas->workspace, WORKSPACE_BYTES) != cudaSuccess) {
        call_cublasLtDestroy(blas->handle);
        free(blas);
        return cuda_failed("cublas", "no device memory for a workspace of 32 MiB");
    }
    s->blas = blas;
    return 0;
}

static void plan_free(struct plan *p)
{
    if (p->work)
        call_cublasLtMatmulDescDestroy(p->work);
    if (p->a)
        call_cublasLtMatrixLayoutDestroy(p->a);
    if (p->b)
        call_cublasLtMatrixLayoutDestroy(p->b);
    if (p->c)
        call_cublasLtMatrixLayoutDestroy(p->c);
    memset(p, 0, sizeof *p);
}

void cublas_close(struct stream *s)
{
    struct cublas *blas = (struct cublas *)s->blas;
    if (!blas)
        return;
    for (int k = 0; k < blas->plan_count; k++)
        plan_free(&blas->plan[k]);
    cudaFree(blas->workspace);
    call_cublasLtDestroy(blas->handle);
    free(blas);
    s->blas = nullptr;
}

/* The largest power of two up to ALIGN_MAX that divides all three addresses: algorithms depend
 * on it. */
static uint32_t alignment(const struct gemm *g)
{
    uintptr_t all = (uintptr_t)g->a | (uintptr_t)g->b | (uintptr_t)g->c | (uintptr_t)ALIGN_MAX;
    return (uint32_t)(all & (~all + 1));
}

static cublasStatus_t plan_layouts(struct plan *p, const struct gemm *g)
{
    cudaDataType in = g->a_bf16 ? CUDA_R_16BF : CUDA_R_32F,
                 out = g->c_bf16 ? CUDA_R_16BF : CUDA_R_32F;
    uint64_t m = (uint64_t)g->m, n = (uint64_t)g->n, k = (uint64_t)g->k;
    cublasStatus_t status = call_cublasLtMatrixLayoutCreate(&p->a, in, g->a_turned ? m : k,
                                                            g->a_turned ? k : m, g->lda);
    if (status == CUBLAS_STATUS_SUCCESS)
        status = call_cublasLtMatrixLayoutCreate(&p->b, in, g->b_turned ? k : n,
                                                 g->b_turned ? n : k, g->ldb);
    if (status == CUBLAS_STATUS_SUCCESS)
        status = call_cublasLtMatrixLayoutCreate(&p->c, out, n, m, g->ldc);
    return status;
}

static cublasStatus_t plan_work(struct plan *p, const struct gemm *g)
{
    cublasStatus_t status = call_cublasLtMatmulDescCreate(&p->work, CUBLAS_COMPUTE_32F, CUDA_R_32F);
    if (status != CUBLAS_STATUS_SUCCESS)
        return status;
    cublasOperation_t first = g->b_turned ? CUBLAS_OP_T : CUBLAS_OP_N,
                      second = g->a_turned ? CUBLAS_OP_T : CUBLAS_OP_N;
    cublasLtEpilogue_t epilogue = g->bias ? CUBLASLT_EPILOGUE_BIAS : CUBLASLT_EPILOGUE_DEFAULT;
    const struct {
        cublasLtMatmulDescAttributes_t name;
        const void *value;
        size_t bytes;
    } rows[] = {
        {CUBLASLT_MATMUL_DESC_TRANSA, &first, sizeof first},
        {CUBLASLT_MATMUL_DESC_TRANSB, &second, sizeof second},
        {CUBLASLT_MATMUL_DESC_EPILOGUE, &epilogue, sizeof epilogue},
        {CUBLASLT_MATMUL_DESC_BIAS_POINTER, &g->bias, sizeof g->bias},
    };
    for (size_t k = 0; k < COUNT_OF(rows) && status == CUBLAS_STATUS_SUCCESS; k++)
        status = call_cublasLtMatmulDescSetAttribute(p->work, rows[k].name, rows[k].value,
                                                     rows[k].bytes);
    return status;
}

static cublasStatus_t plan_algo(struct cublas *blas, struct plan *p)
{
    cublasLtMatmulPreference_t wish = nullptr;
    cublasStatus_t status = call_cublasLtMatmulPreferenceCreate(&wish);
    if (status != CUBLAS_STATUS_SUCCESS)
        return status;
    uint64_t workspace = WORKSPACE_BYTES;
    status = call_cublasLtMatmulPreferenceSetAttribute(
        wish, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &workspace, sizeof workspace);
    const cublasLtMatmulPreferenceAttributes_t aligned[] = {
        CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
        CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES};
    for (size_t k = 0; k < COUNT_OF(aligned) && status == CUBLAS_STATUS_SUCCESS; k++)
        status = call_cublasLtMatmulPreferenceSetAttribute(wish, aligned[k], &p->key.align,
                                                           sizeof p->key.align);
    cublasLtMatmulHeuristicResult_t best;
    int found = 0;
    if (status == CUBLAS_STATUS_SUCCESS)
        status = call_cublasLtMatmulAlgoGetHeuristic(blas->handle, p->work, p->b, p->a, p->c, p->c,
                                                     wish, 1, &best, &found);
    call_cublasLtMatmulPreferenceDestroy(wish);
    if (status == CUBLAS_STATUS_SUCCESS && found == 0)
        status = CUBLAS_STATUS_NOT_SUPPORTED;
    if (status == CUBLAS_STATUS_SUCCESS)
        p->algo = best.algo;
    return status;
}

static struct plan *plan_find(struct cublas *blas, const struct gemm *g, cublasStatus_t *status)
{
    struct plan_key key;
    memset(&key, 0, sizeof key); /* keys are compared as bytes */
    key.m = g->m, key.n = g->n, key.k = g->k, key.lda = g->lda, key.ldb = g->ldb, key.ldc = g->ldc;
    key.flags = (uint32_t)g->a_turned | (uint32_t)g->b_turned << 1 | (uint32_t)g->a_bf16 << 2 |
                (uint32_t)g->c_bf16 << 3 | (uint32_t)(g->bias != nullptr) << 4 |
                (uint32_t)(g->beta != 0) << 5;
    key.align = alignment(g);
    for (int k = 0; k < blas->plan_count; k++)
        if (memcmp(&blas->plan[k].key, &key, sizeof key) == 0)
            return &blas->plan[k];
    if (blas->plan_count == PLANS_MAX) /* shapes change all the time: begin anew */
        while (blas->plan_count > 0)
            plan_free(&blas->plan[--blas->plan_count]);
    struct plan *p = &blas->plan[blas->plan_count];
    p->key = key;
    *status = plan_layouts(p, g);
    if (*status == CUBLAS_STATUS_SUCCESS)
        *status = plan_work(p, g);
    if (*status == CUBLAS_STATUS_SUCCESS)
        *status = plan_algo(blas, p);
    p->unsupported = *status == CUBLAS_STATUS_NOT_SUPPORTED;
    if (*status != CUBLAS_STATUS_SUCCESS && !p->unsupported) {
        plan_free(p);
        return nullptr;
    }
    blas->plan_count++;
    return p;
}

int cublas_gemm(struct stream *s, const struct gemm *g)
{
    struct cublas *blas = (struct cublas *)s->blas;
    cublasStatus_t status = CUBLAS_STATUS_SUCCESS;
    struct plan *p = plan_find(blas, g, &status);
    if (!p)
        return failed("cublasLt plan", status);
    if (p->unsupported)
        return 0;
    if (g->bias)
        status = call_cublasLtMatmulDescSetAttribute(p->work, CUBLASLT_MATMUL_DESC_BIAS_POINTER,
                                                     &g->bias, sizeof g->bias);
    if (status == CUBLAS_STATUS_SUCCESS)
        status = call_cublasLtMatmul(blas->handle, p->work, &g->alpha, g->b, p->b, g->a, p->a,
                                     &g->beta, g->c, p->c, g->c, p->c, &p->algo, blas->workspace,
                                     WORKSPACE_BYTES, (cudaStream_t)s->cuda);
    return status == CUBLAS_STATUS_SUCCESS ? 1 : failed("cublasLtMatmul", status);
}

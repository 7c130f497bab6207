/* gemm - matrix products from OpenBLAS or from an own micro-kernel, on fixed tiles. */
#include "kernels/gemm.h"

#include "core/err.h"
#include "kernels/rows.h"

#include <assert.h>
#include <pthread.h>

#ifndef HAVE_OPENBLAS
#define HAVE_OPENBLAS 1
#endif
#if HAVE_OPENBLAS
#include <cblas.h>
#endif

enum { TILE_M = 256, TILE_N = 256, BLOCK = 65536 };

static pthread_once_t blas_once = PTHREAD_ONCE_INIT;
static void blas_single(void) { openblas_set_num_threads(1); }

size_t gemm_scratch_bytes(void) { return 64; }

void gemm_small(const struct gemm *g, void *scratch)
{
    UNUSED(scratch);
    assert(!g->a_bf16 && !g->b_bf16 && !g->c_bf16 && !g->bias);
    cblas_sgemm(CblasRowMajor, g->a_turned ? CblasTrans : CblasNoTrans, g->b_turned ? CblasTrans : CblasNoTrans,
                (blasint)g->m, (blasint)g->n, (blasint)g->k, g->alpha, g->a, (blasint)g->lda, g->b, (blasint)g->ldb,
                g->beta, g->c, (blasint)g->ldc);
}

struct job { struct gemm g; int64_t tiles_n; float *scratch; };

static void tile_task(void *arg, int64_t index, int thread)
{
    const struct job *job = arg;
    const struct gemm *g = &job->g;
    int64_t row = index / job->tiles_n * TILE_M, column = index % job->tiles_n * TILE_N;
    struct gemm tile = *g;
    tile.m = g->m - row < TILE_M ? g->m - row : TILE_M;
    tile.n = g->n - column < TILE_N ? g->n - column : TILE_N;
    tile.a = (const float *)g->a + row * (g->a_turned ? 1 : g->lda);
    tile.b = (const float *)g->b + column * (g->b_turned ? g->ldb : 1);
    tile.bias = NULL;
    tile.c_bf16 = false;
    if (g->c_bf16) {
        tile.c = job->scratch + (int64_t)thread * TILE_M * TILE_N;
        tile.ldc = TILE_N;
    } else {
        tile.c = (float *)g->c + row * g->ldc + column;
    }
    gemm_small(&tile, NULL);
    float bias_row[TILE_N];
    const float *bias = g->bias ? (const float *)g->bias + column : NULL;
    if (g->bias && g->bias_bf16) {
        bf16_widen_row(bias_row, (const uint16_t *)g->bias + column, tile.n);
        bias = bias_row;
    }
    for (int64_t i = 0; i < tile.m; i++) {
        float *c = (float *)tile.c + i * tile.ldc;
        if (bias)
            row_add(c, bias, tile.n);
        if (g->c_bf16)
            bf16_round_row((uint16_t *)g->c + (row + i) * g->ldc + column, c, tile.n);
    }
}

struct widen_job { const uint16_t *from; float *to; int64_t count; };

static void widen_task(void *arg, int64_t index, int thread)
{
    UNUSED(thread);
    const struct widen_job *job = arg;
    int64_t start = index * BLOCK, left = job->count - start;
    bf16_widen_row(job->to + start, job->from + start, left < BLOCK ? left : BLOCK);
}

static const float *widen(struct stream *s, const void *from, int64_t count, float **room)
{
    struct widen_job job = {from, *room, count};
    *room += count;
    stream_each(s, count_tasks(count, BLOCK), widen_task, &job);
    return job.to;
}

int gemm_run(struct stream *s, const struct gemm *g)
{
    pthread_once(&blas_once, blas_single);
    struct job job = {.g = *g, .tiles_n = count_tasks(g->n, TILE_N)};
    int64_t a_count = g->a_bf16 ? (g->a_turned ? g->k : g->m) * g->lda : 0;
    int64_t b_count = g->b_bf16 ? (g->b_turned ? g->n : g->k) * g->ldb : 0;
    int64_t c_count = g->c_bf16 ? (int64_t)stream_threads(s) * TILE_M * TILE_N : 0;
    float *room = stream_scratch(s, (size_t)(a_count + b_count + c_count) * sizeof(float) + 64);
    if (!room)
        return ERR_LIMIT;
    if (g->a_bf16)
        job.g.a = widen(s, g->a, a_count, &room);
    if (g->b_bf16)
        job.g.b = widen(s, g->b, b_count, &room);
    job.g.a_bf16 = job.g.b_bf16 = false;
    job.scratch = room;
    stream_each(s, count_tasks(g->m, TILE_M) * job.tiles_n, tile_task, &job);
    return 0;
}

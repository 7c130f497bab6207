/* gemm - matrix products: packing, tiles, and the walk over them around gemm_kernel.c's blocks.
 *
 * c is cut into tiles of tile_m x tile_n, one task each; a task sums all of k, in chunks of
 * CHUNK_STEPS, so an element of c is always summed in the same order. b is packed once into
 * panels of 32 columns: by all threads beforehand when several rows of tiles share it, else by
 * the task that uses it. a is read in place where it lies row by row, else 8 rows of a chunk are
 * packed just before use (they stay in L1):
 *
 *      packed b: chunk 0 [ panel 0: steps x 32 | panel 1 | ... ], chunk 1 [ ... ], ...
 *
 * A step is one k of floats, or two of bf16 (as pairs in 32 bits) where the CPU multiplies
 * those. */
#include "kernels/gemm.h"

#include "core/err.h"
#include "kernels/rows.h"

#include <assert.h>

enum {                    /* sizes, chosen on Zen 4 */
       CHUNK_STEPS = 256, /* 8 x 256 floats of a: 8 KiB, in L1; 256 x 256 of b: 256 KiB, in L2 */
       TILE_M = 128,
       TILE_N = 256,
       TASKS_WANTED = 32, /* tiles shrink until there are so many, for machines with many cores */
       TILE_M_MIN = 32,
       TILE_N_MIN = 64,
       ROWS_DOT = 4, /* so few rows against turned b: dot products, b is read once */
       DOT_COLUMNS = 64,
};

/* A matrix seen by a packer: element (line, k), lines being rows of a or columns of b. */
struct source {
    const void *data;
    int64_t ld, lines, k;
    bool along_k;      /* neighbours in memory are neighbours in k (else in lines) */
    bool bf16, narrow; /* stored as bf16; to be rounded to bf16 */
};

struct plan {
    struct gemm g;
    struct source a, b;
    bool pairs; /* steps of two bf16 */
    void (*block)(const struct gemm_block *x);
    int64_t steps, chunks, panels; /* of all of k; panels of all of n */
    int64_t tile_m, tile_n, tiles_n;
    uint32_t *packed; /* all of b, or NULL: tasks pack what they use */
    char *scratch;    /* per thread: gemm_scratch_bytes(), a tile for a bf16 c */
    size_t thread_bytes;
};

/* ---- packing ---- */
#define FOUR uint32_t __attribute__((vector_size(16)))

/* to[step * width + line] = from[line * stride + step], for 4 x 4 elements of 32 bits. The
 * builtin is of both gcc 12 and clang. */
KERNEL_INLINE void turn_4x4(uint32_t *to, int64_t width, const uint32_t *from, int64_t stride)
{
    FOUR row0, row1, row2, row3;
    memcpy(&row0, from, sizeof row0);
    memcpy(&row1, from + stride, sizeof row1);
    memcpy(&row2, from + 2 * stride, sizeof row2);
    memcpy(&row3, from + 3 * stride, sizeof row3);
    FOUR low01 = __builtin_shufflevector(row0, row1, 0, 4, 1, 5),
         high01 = __builtin_shufflevector(row0, row1, 2, 6, 3, 7);
    FOUR low23 = __builtin_shufflevector(row2, row3, 0, 4, 1, 5),
         high23 = __builtin_shufflevector(row2, row3, 2, 6, 3, 7);
    row0 = __builtin_shufflevector(low01, low23, 0, 1, 4, 5);
    row1 = __builtin_shufflevector(low01, low23, 2, 3, 6, 7);
    row2 = __builtin_shufflevector(high01, high23, 0, 1, 4, 5);
    row3 = __builtin_shufflevector(high01, high23, 2, 3, 6, 7);
    memcpy(to, &row0, sizeof row0);
    memcpy(to + width, &row1, sizeof row1);
    memcpy(to + 2 * width, &row2, sizeof row2);
    memcpy(to + 3 * width, &row3, sizeof row3);
}

static void turn(uint32_t *to, int width, const uint32_t *from, int64_t stride, int64_t lines,
                 int64_t steps)
{
    int64_t whole_steps = steps / 4 * 4, whole_lines = lines / 4 * 4;
    for (int64_t line = 0; line < whole_lines; line += 4)
        for (int64_t step = 0; step < whole_steps; step += 4)
            turn_4x4(to + step * width + line, width, from + line * stride + step, stride);
    for (int64_t line = 0; line < lines; line++)
        for (int64_t step = line < whole_lines ? whole_steps : 0; step < steps; step++)
            to[step * width + line] = from[line * stride + step];
}

/* One line of `count` values from k as floats or bf16. */
static void line_floats(float *to, const struct source *s, int64_t start, int64_t count)
{
    if (s->bf16) {
        bf16_widen_row(to, (const uint16_t *)s->data + start, count);
        return;
    }
    memcpy(to, (const float *)s->data + start, (size_t)count * sizeof *to);
    for (int64_t i = 0; s->narrow && i < count; i++)
        to[i] = bf16_widen(bf16_round(to[i]));
}

static void line_bf16(uint16_t *to, const struct source *s, int64_t start, int64_t count)
{
    if (s->bf16)
        memcpy(to, (const uint16_t *)s->data + start, (size_t)count * sizeof *to);
    else
        bf16_round_row(to, (const float *)s->data + start, count);
}

KERNEL_CLONES static void pair_up(uint32_t *to, const uint16_t *low, const uint16_t *high,
                                  int64_t count)
{
    for (int64_t i = 0; i < count; i++)
        to[i] = (uint32_t)low[i] | (uint32_t)high[i] << 16;
}

/* Whole panels out of lines that lie side by side, the width a constant so that the copies are
 * plain moves. */
KERNEL_INLINE void lines_copy(uint32_t *to, const uint32_t *from, int64_t ld, int64_t steps,
                              int width)
{
    for (int64_t step = 0; step < steps; step++)
        memcpy(to + step * width, from + step * ld, (size_t)width * sizeof *to);
}

KERNEL_INLINE void lines_pair(uint32_t *to, const float *from, int64_t ld, int64_t steps, int width)
{
    for (int64_t step = 0; step < steps; step++)
        for (int j = 0; j < width; j++)
            to[step * width + j] = (uint32_t)bf16_round(from[2 * step * ld + j]) |
                                   (uint32_t)bf16_round(from[(2 * step + 1) * ld + j]) << 16;
}

KERNEL_INLINE void lines_join(uint32_t *to, const uint16_t *from, int64_t ld, int64_t steps,
                              int width)
{
    for (int64_t step = 0; step < steps; step++)
        for (int j = 0; j < width; j++)
            to[step * width + j] =
                (uint32_t)from[2 * step * ld + j] | (uint32_t)from[(2 * step + 1) * ld + j] << 16;
}

KERNEL_CLONES static void rows_lines(uint32_t *to, const struct source *s, int64_t at,
                                     int64_t steps, bool pairs)
{
    if (!pairs)
        lines_copy(to, (const uint32_t *)s->data + at, s->ld, steps, GEMM_ROWS);
    else if (s->bf16)
        lines_join(to, (const uint16_t *)s->data + at, s->ld, steps, GEMM_ROWS);
    else
        lines_pair(to, (const float *)s->data + at, s->ld, steps, GEMM_ROWS);
}

KERNEL_CLONES static void columns_lines(uint32_t *to, const struct source *s, int64_t at,
                                        int64_t steps, bool pairs)
{
    if (!pairs)
        lines_copy(to, (const uint32_t *)s->data + at, s->ld, steps, GEMM_COLUMNS);
    else if (s->bf16)
        lines_join(to, (const uint16_t *)s->data + at, s->ld, steps, GEMM_COLUMNS);
    else
        lines_pair(to, (const float *)s->data + at, s->ld, steps, GEMM_COLUMNS);
}

/* The common shape of pack_floats and pack_pairs: all lines there, nothing to convert but floats
 * to pairs. False: not that shape. */
static bool pack_lines(uint32_t *to, int width, const struct source *s, int64_t line, int64_t k,
                       int64_t steps, bool pairs)
{
    bool plain = pairs ? k + 2 * steps <= s->k : !s->bf16 && !s->narrow;
    if (s->along_k || !plain || s->lines - line < width)
        return false;
    (width == GEMM_ROWS ? rows_lines : columns_lines)(to, s, k * s->ld + line, steps, pairs);
    return true;
}

static void pack_floats(uint32_t *to, int width, const struct source *s, int64_t line, int64_t k,
                        int64_t steps)
{
    int64_t lines = s->lines - line < width ? s->lines - line : width;
    if (!s->along_k) {
        for (int64_t step = 0; step < steps; step++)
            line_floats((float *)(void *)(to + step * width), s, (k + step) * s->ld + line, lines);
        return;
    }
    if (!s->bf16 && !s->narrow) {
        turn(to, width, (const uint32_t *)s->data + line * s->ld + k, s->ld, lines, steps);
        return;
    }
    float wide[GEMM_COLUMNS * CHUNK_STEPS];
    for (int64_t i = 0; i < lines; i++)
        line_floats(wide + i * CHUNK_STEPS, s, (line + i) * s->ld + k, steps);
    turn(to, width, (const uint32_t *)(const void *)wide, CHUNK_STEPS, lines, steps);
}

static void pack_pairs(uint32_t *to, int width, const struct source *s, int64_t line, int64_t k,
                       int64_t steps)
{
    int64_t lines = s->lines - line < width ? s->lines - line : width;
    int64_t values = s->k - k < 2 * steps ? s->k - k : 2 * steps;
    uint16_t narrow[GEMM_COLUMNS * CHUNK_STEPS * 2];
    if (!s->along_k) {
        for (int64_t step = 0; step < steps; step++) {
            line_bf16(narrow, s, (k + 2 * step) * s->ld + line, lines);
            if (2 * step + 1 < values)
                line_bf16(narrow + GEMM_COLUMNS, s, (k + 2 * step + 1) * s->ld + line, lines);
            else
                memset(narrow + GEMM_COLUMNS, 0, sizeof *narrow * GEMM_COLUMNS);
            pair_up(to + step * width, narrow, narrow + GEMM_COLUMNS, lines);
        }
        return;
    }
    for (int64_t i = 0; i < lines; i++) {
        uint16_t *at = narrow + i * CHUNK_STEPS * 2;
        line_bf16(at, s, (line + i) * s->ld + k, values);
        if (values < 2 * steps)
            at[values] = 0;
    }
    turn(to, width, (const uint32_t *)(const void *)narrow, CHUNK_STEPS, lines, steps);
}

/* `width` lines from `line`, `steps` steps from step `first`; lines past the end become 0. */
static void pack(const struct plan *p, const struct source *s, uint32_t *to, int width,
                 int64_t line, int64_t first, int64_t steps)
{
    if (s->lines - line < width)
        memset(to, 0, (size_t)(steps * width) * sizeof *to);
    if (pack_lines(to, width, s, line, p->pairs ? first * 2 : first, steps, p->pairs))
        return;
    if (p->pairs)
        pack_pairs(to, width, s, line, first * 2, steps);
    else
        pack_floats(to, width, s, line, first, steps);
}

static int64_t chunk_steps(const struct plan *p, int64_t chunk)
{
    int64_t left = p->steps - chunk * CHUNK_STEPS;
    return left < CHUNK_STEPS ? left : CHUNK_STEPS;
}

/* Where a panel of a chunk lies in the packed b. */
static uint32_t *packed_at(const struct plan *p, int64_t chunk, int64_t panel)
{
    int64_t before = chunk * CHUNK_STEPS * p->panels + panel * chunk_steps(p, chunk);
    return p->packed + before * GEMM_COLUMNS;
}

/* ---- one task ---- */
/* A tile: rows [row, row + m), columns [column, column + n) of the whole; c is the tile's own. */
struct tile {
    int64_t row, column, m, n;
    float *c;
    int64_t ldc;
    uint32_t *a_panel, *b_chunk;
};

/* The block at (i, j) of the tile; edges go through a buffer so that blocks are always whole. */
static void block_run(const struct plan *p, const struct tile *t, struct gemm_block x, int64_t i,
                      int64_t j)
{
    float *c = t->c + i * t->ldc + j, edge[GEMM_ROWS * GEMM_COLUMNS], beta = x.beta;
    int64_t rows = t->m - i < GEMM_ROWS ? t->m - i : GEMM_ROWS,
            columns = t->n - j < GEMM_COLUMNS ? t->n - j : GEMM_COLUMNS;
    bool whole = rows == GEMM_ROWS && columns == GEMM_COLUMNS;
    x.c = whole ? c : edge;
    x.ldc = whole ? t->ldc : GEMM_COLUMNS;
    x.beta = whole ? beta : 0;
    p->block(&x);
    for (int64_t row = 0; !whole && row < rows; row++)
        for (int64_t column = 0; column < columns; column++)
            c[row * t->ldc + column] = edge[row * GEMM_COLUMNS + column] +
                                       (beta != 0 ? beta * c[row * t->ldc + column] : 0);
}

/* Where the 8 rows from i lie for this chunk: in place, or packed. */
static void rows_place(const struct plan *p, const struct tile *t, int64_t i, int64_t chunk,
                       int64_t steps, struct gemm_block *x)
{
    const struct source *a = &p->a;
    bool readable = p->pairs ? a->bf16 && a->k % 2 == 0 && a->ld % 2 == 0 : !a->narrow;
    if (readable && a->along_k && t->row + i + GEMM_ROWS <= a->lines) {
        int64_t stride = p->pairs ? a->ld / 2 : a->ld;
        x->a = (const uint32_t *)a->data + (t->row + i) * stride + chunk * CHUNK_STEPS;
        x->a_row = stride;
        x->a_step = 1;
        return;
    }
    pack(p, a, t->a_panel, GEMM_ROWS, t->row + i, chunk * CHUNK_STEPS, steps);
    x->a = t->a_panel;
    x->a_row = 1;
    x->a_step = GEMM_ROWS;
}

static void tile_run(const struct plan *p, const struct tile *t)
{
    assert(t->n <= TILE_N);
    for (int64_t chunk = 0; chunk < p->chunks; chunk++) {
        int64_t steps = chunk_steps(p, chunk);
        const uint32_t *b = t->b_chunk;
        if (p->packed)
            b = packed_at(p, chunk, t->column / GEMM_COLUMNS);
        for (int64_t j = 0; !p->packed && j < t->n; j += GEMM_COLUMNS)
            pack(p, &p->b, t->b_chunk + j * steps, GEMM_COLUMNS, t->column + j, chunk * CHUNK_STEPS,
                 steps);
        struct gemm_block x = {.steps = steps, .alpha = p->g.alpha, .beta = chunk ? 1 : p->g.beta};
        for (int64_t i = 0; i < t->m; i += GEMM_ROWS) {
            rows_place(p, t, i, chunk, steps, &x);
            for (int64_t j = 0; j < t->n; j += GEMM_COLUMNS) {
                x.b = b + j * steps;
                block_run(p, t, x, i, j);
            }
        }
    }
}

enum { PANEL_BYTES = GEMM_ROWS * CHUNK_STEPS * 4, CHUNK_BYTES = TILE_N * CHUNK_STEPS * 4 };
size_t gemm_scratch_bytes(void) { return PANEL_BYTES + CHUNK_BYTES; }

static struct plan plan_make(const struct gemm *g)
{
    const struct gemm_kernels *kernels = gemm_kernels();
    bool narrow = g->a_bf16 || g->b_bf16;
    struct plan p = {
        .g = *g, .pairs = narrow && kernels->pairs, .tile_m = TILE_M, .tile_n = TILE_N};
    p.a = (struct source){g->a, g->lda, g->m, g->k, !g->a_turned, g->a_bf16, narrow};
    p.b = (struct source){g->b, g->ldb, g->n, g->k, g->b_turned, g->b_bf16, narrow};
    p.block = p.pairs ? kernels->pairs : kernels->floats;
    p.steps = p.pairs ? (g->k + 1) / 2 : g->k;
    p.chunks = count_tasks(p.steps, CHUNK_STEPS);
    p.panels = count_tasks(g->n, GEMM_COLUMNS);
    return p;
}

void gemm_small(const struct gemm *g, void *scratch)
{
    assert(!g->c_bf16);
    assert(!g->bias);
    struct plan p = plan_make(g);
    for (int64_t column = 0; column < g->n; column += TILE_N) {
        struct tile t = {.column = column,
                         .m = g->m,
                         .c = (float *)g->c + column,
                         .ldc = g->ldc,
                         .a_panel = scratch};
        t.n = g->n - column < TILE_N ? g->n - column : TILE_N;
        t.b_chunk = t.a_panel + PANEL_BYTES / 4;
        tile_run(&p, &t);
    }
}

/* ---- all tasks ---- */
static void pack_task(void *arg, int64_t index, int thread)
{
    UNUSED(thread);
    const struct plan *p = arg;
    int64_t chunk = index / p->panels, panel = index % p->panels, steps = chunk_steps(p, chunk);
    pack(p, &p->b, packed_at(p, chunk, panel), GEMM_COLUMNS, panel * GEMM_COLUMNS,
         chunk * CHUNK_STEPS, steps);
}

/* Adds the bias to one row and rounds it into place if c is bf16. */
static void row_finish(const struct plan *p, float *c, int64_t row, int64_t column, int64_t n)
{
    float wide[TILE_N];
    if (p->g.bias && p->g.bias_bf16)
        bf16_widen_row(wide, (const uint16_t *)p->g.bias + column, n);
    if (p->g.bias)
        row_add(c, p->g.bias_bf16 ? wide : (const float *)p->g.bias + column, n);
    if (p->g.c_bf16)
        bf16_round_row((uint16_t *)p->g.c + row * p->g.ldc + column, c, n);
}

static void tile_task(void *arg, int64_t index, int thread)
{
    const struct plan *p = arg;
    struct tile t = {.row = index / p->tiles_n * p->tile_m,
                     .column = index % p->tiles_n * p->tile_n};
    t.m = p->g.m - t.row < p->tile_m ? p->g.m - t.row : p->tile_m;
    t.n = p->g.n - t.column < p->tile_n ? p->g.n - t.column : p->tile_n;
    t.a_panel = (uint32_t *)(void *)(p->scratch + (size_t)thread * p->thread_bytes);
    t.b_chunk = t.a_panel + PANEL_BYTES / 4;
    t.c = p->g.c_bf16 ? (float *)(void *)t.b_chunk + CHUNK_BYTES / 4
                      : (float *)p->g.c + t.row * p->g.ldc + t.column;
    t.ldc = p->g.c_bf16 ? TILE_N : p->g.ldc;
    tile_run(p, &t);
    if (p->g.bias || p->g.c_bf16)
        for (int64_t i = 0; i < t.m; i++)
            row_finish(p, t.c + i * t.ldc, t.row + i, t.column, t.n);
}

/* Few rows: every column of c is a dot product with a line of b, read once as it lies. */
static void dot_task(void *arg, int64_t index, int thread)
{
    const struct plan *p = arg;
    const struct gemm *g = &p->g;
    float *lines = (float *)(void *)(p->scratch + (size_t)thread * p->thread_bytes),
          out[ROWS_DOT][DOT_COLUMNS];
    int64_t column = index * DOT_COLUMNS,
            count = g->n - column < DOT_COLUMNS ? g->n - column : DOT_COLUMNS;
    for (int64_t row = 0; row < g->m; row++)
        line_floats(lines + (row + 1) * g->k, &p->a, row * g->lda, g->k);
    for (int64_t j = 0; j < count; j++) {
        const float *b = (const float *)g->b + (column + j) * g->ldb;
        if (g->b_bf16 || p->b.narrow) {
            line_floats(lines, &p->b, (column + j) * g->ldb, g->k);
            b = lines;
        }
        for (int64_t row = 0; row < g->m; row++)
            out[row][j] = g->alpha * row_dot(lines + (row + 1) * g->k, b, g->k);
    }
    for (int64_t row = 0; row < g->m; row++) {
        float *c = (float *)g->c + row * g->ldc + column;
        for (int64_t j = 0; j < count && g->beta != 0; j++)
            out[row][j] += g->beta * c[j];
        row_finish(p, out[row], row, column, count);
        if (!g->c_bf16)
            memcpy(c, out[row], (size_t)count * sizeof *c);
    }
}

int gemm_run(struct stream *s, const struct gemm *g)
{
    struct plan p = plan_make(g);
    size_t threads = (size_t)stream_threads(s);
    assert(!g->c_bf16 || g->beta == 0);
    if (g->m <= ROWS_DOT && g->b_turned && !g->a_turned) {
        p.thread_bytes = (size_t)(g->m + 1) * (size_t)g->k * sizeof(float);
        p.scratch = stream_scratch(s, threads * p.thread_bytes);
        if (!p.scratch)
            return ERR_LIMIT;
        stream_each(s, count_tasks(g->n, DOT_COLUMNS), dot_task, &p);
        return 0;
    }
    while (p.tile_m > TILE_M_MIN &&
           count_tasks(g->m, p.tile_m) * count_tasks(g->n, p.tile_n) < TASKS_WANTED)
        p.tile_m /= 2;
    while (p.tile_n > TILE_N_MIN &&
           count_tasks(g->m, p.tile_m) * count_tasks(g->n, p.tile_n) < TASKS_WANTED)
        p.tile_n /= 2;
    p.tiles_n = count_tasks(g->n, p.tile_n);
    bool shared = g->m > p.tile_m;
    p.thread_bytes = gemm_scratch_bytes() + (g->c_bf16 ? TILE_M * TILE_N * sizeof(float) : 0);
    size_t packed_bytes = shared ? (size_t)p.steps * (size_t)p.panels * GEMM_COLUMNS * 4 : 0;
    char *room = stream_scratch(s, threads * p.thread_bytes + packed_bytes);
    if (!room)
        return ERR_LIMIT;
    p.scratch = room;
    if (shared) {
        p.packed = (uint32_t *)(void *)(room + threads * p.thread_bytes);
        stream_each(s, p.chunks * p.panels, pack_task, &p);
    }
    stream_each(s, count_tasks(g->m, p.tile_m) * p.tiles_n, tile_task, &p);
    return 0;
}

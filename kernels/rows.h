/* rows - loops over rows of floats: clones per CPU level, bf16 rows, exp, sums in a fixed order. */
#ifndef SLUICE_KERNELS_ROWS_H
#define SLUICE_KERNELS_ROWS_H
#include "kernels/device.h"
#include <string.h>

/* One function, three machine codes, chosen when the program starts. Sanitizers are not up yet
 * when the resolvers run, so their builds have only the plain one. No fast-math: sums that
 * should vectorise are written over LANES accumulators, which also makes their order, and so
 * their bits, the same at any vector width (-std=c11 fuses no multiply-add). clang, which
 * builds the fuzz targets, has no such attribute for a single function. */
#if defined(__clang__)
#define KERNEL_CLONES
#elif defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || !defined(__x86_64__)
#define KERNEL_CLONES __attribute__((optimize("O3", "no-math-errno", "no-trapping-math")))
#else
#define KERNEL_CLONES                                                            \
    __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default"), \
                   optimize("O3", "no-math-errno", "no-trapping-math")))
#endif
#define KERNEL_INLINE static inline __attribute__((always_inline))

enum { LANES = 64 };

/* Sum of the lanes as a fixed tree; lane[] is spent. */
KERNEL_INLINE float lanes_sum(float lane[LANES])
{
    for (int half = LANES / 2; half > 0; half /= 2)
        for (int j = 0; j < half; j++)
            lane[j] += lane[j + half];
    return lane[0];
}

KERNEL_INLINE float lanes_max(float lane[LANES])
{
    for (int half = LANES / 2; half > 0; half /= 2)
        for (int j = 0; j < half; j++)
            lane[j] = lane[j + half] > lane[j] ? lane[j + half] : lane[j];
    return lane[0];
}

/* exp with a relative error under 1.5e-7 on [-87, 88]; clamped outside, NaN stays NaN. Cody-Waite
 * reduction by ln 2 in two parts, Taylor to the 7th power on [-0.35, 0.35] (next term: 5e-9). */
KERNEL_INLINE float exp_fast(float x)
{
    const float round_magic =
        12582912.0f; /* 1.5 * 2^23: the sum holds an integer in its low bits */
    x = x < -87.0f ? -87.0f : x;
    x = x > 88.0f ? 88.0f : x;
    float shifted = x * 1.44269504f + round_magic;
    float power = shifted - round_magic;
    float rest = x - power * 0.693359375f;
    rest += power * 2.12194440e-4f;
    float poly = 1.0f / 5040;
    poly = poly * rest + 1.0f / 720;
    poly = poly * rest + 1.0f / 120;
    poly = poly * rest + 1.0f / 24;
    poly = poly * rest + 1.0f / 6;
    poly = poly * rest + 0.5f;
    poly = poly * rest * rest + rest + 1.0f;
    uint32_t bits;
    memcpy(&bits, &shifted, sizeof bits);
    bits = (bits << 23) + 0x3f800000u;
    float scale;
    memcpy(&scale, &bits, sizeof scale);
    return poly * scale;
}

KERNEL_INLINE float bf16_widen(uint16_t x)
{
    uint32_t bits = (uint32_t)x << 16;
    float wide;
    memcpy(&wide, &bits, sizeof wide);
    return wide;
}

/* Rounds to nearest, ties to even; NaN stays NaN. */
KERNEL_INLINE uint16_t bf16_round(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    uint32_t rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
    uint32_t quiet = (bits >> 16) | 0x40u;
    return (uint16_t)((bits & 0x7fffffffu) > 0x7f800000u ? quiet : rounded);
}

void bf16_widen_row(float *to, const uint16_t *from, int64_t count);
void bf16_round_row(uint16_t *to, const float *from, int64_t count);
void row_add(float *to, const float *from, int64_t count); /* to += from */
void row_add_scaled(float *to, const float *from, float scale, int64_t count);
float row_dot(const float *a, const float *b, int64_t count);
/* Adds part[0..parts) (each C floats, in this order) to `to`, over columns [from, until). */
void row_add_parts(float *to, const float *part, int64_t parts, int64_t C, int64_t from,
                   int64_t until);

/* Elements [start, start + count) of t as floats: in place for F32, widened into scratch for
 * BF16. */
static inline const float *floats_read(const struct tensor *t, int64_t start, int64_t count,
                                       float *scratch)
{
    if (t->dtype == DT_F32)
        return (const float *)t->data + start;
    bf16_widen_row(scratch, (const uint16_t *)t->data + start, count);
    return scratch;
}
/* Where to write such elements; floats_done rounds them into place if they went to scratch. */
static inline float *floats_write(const struct tensor *t, int64_t start, float *scratch)
{
    return t->dtype == DT_F32 ? (float *)t->data + start : scratch;
}
static inline void floats_done(const struct tensor *t, int64_t start, int64_t count,
                               const float *from)
{
    if (t->dtype == DT_BF16)
        bf16_round_row((uint16_t *)t->data + start, from, count);
}
static inline float *grad_at(const struct tensor *t, int64_t start)
{
    return (float *)t->grad->data + start;
}

/* Ops on each element alone: the elements of n->out are cut into chunks, and every chunk is one
 * call, on any of the stream's threads. */
enum { CHUNK_MAX = 16384 };
struct chunk {
    const struct node *node;
    int64_t start, count; /* elements [start, start + count) */
    float *scratch;       /* as many times CHUNK_MAX floats as were asked for */
    bool back;
};
int chunks_each(struct stream *s, const struct node *n, int scratches, bool back,
                void (*fn)(const struct chunk *c));

/* Column sums of per-row terms with the same bits for any thread count: rows are cut into chunks
 * by shape, each chunk sums its rows in order into its own part, the parts are added in order. */
enum { COLUMN_PARTS_MAX = 32 };
static inline int64_t column_chunk(int64_t rows)
{
    int64_t chunk = (rows + COLUMN_PARTS_MAX - 1) / COLUMN_PARTS_MAX;
    return chunk < 16 ? 16 : chunk;
}
/* to[C] += sum of the parts, on the stream's threads. */
void column_parts_add(struct stream *s, float *to, const float *part, int64_t parts, int64_t C);
#endif

/* rows - the loops over rows that several ops share. */
#include "kernels/rows.h"

#include "core/err.h"

KERNEL_CLONES void bf16_widen_row(float *to, const uint16_t *from, int64_t count)
{
    for (int64_t i = 0; i < count; i++)
        to[i] = bf16_widen(from[i]);
}

KERNEL_CLONES void bf16_round_row(uint16_t *to, const float *from, int64_t count)
{
    for (int64_t i = 0; i < count; i++)
        to[i] = bf16_round(from[i]);
}

KERNEL_CLONES void row_add(float *to, const float *from, int64_t count)
{
    for (int64_t i = 0; i < count; i++)
        to[i] += from[i];
}

KERNEL_CLONES void row_add_scaled(float *to, const float *from, float scale, int64_t count)
{
    for (int64_t i = 0; i < count; i++)
        to[i] += from[i] * scale;
}

KERNEL_CLONES float row_dot(const float *a, const float *b, int64_t count)
{
    float lane[LANES] = {0};
    int64_t i = 0;
    for (; i + LANES <= count; i += LANES)
        for (int j = 0; j < LANES; j++)
            lane[j] += a[i + j] * b[i + j];
    for (int j = 0; i + j < count; j++)
        lane[j] += a[i + j] * b[i + j];
    return lanes_sum(lane);
}

KERNEL_CLONES void row_add_parts(float *to, const float *part, int64_t parts, int64_t C,
                                 int64_t from, int64_t until)
{
    for (int64_t p = 0; p < parts; p++)
        for (int64_t i = from; i < until; i++)
            to[i] += part[p * C + i];
}

enum { PART_COLUMNS = 1024 };
struct parts_job {
    float *to;
    const float *part;
    int64_t parts, C;
};

static void parts_task(void *arg, int64_t index, int thread)
{
    UNUSED(thread);
    const struct parts_job *job = arg;
    int64_t from = index * PART_COLUMNS,
            until = from + PART_COLUMNS < job->C ? from + PART_COLUMNS : job->C;
    row_add_parts(job->to, job->part, job->parts, job->C, from, until);
}

void column_parts_add(struct stream *s, float *to, const float *part, int64_t parts, int64_t C)
{
    struct parts_job job = {to, part, parts, C};
    stream_each(s, count_tasks(C, PART_COLUMNS), parts_task, &job);
}

struct chunks {
    const struct node *node;
    float *scratch;
    int scratches;
    bool back;
    void (*fn)(const struct chunk *c);
};

static void chunk_task(void *arg, int64_t index, int thread)
{
    const struct chunks *all = arg;
    int64_t start = index * CHUNK_MAX, left = tensor_count(all->node->out) - start;
    all->fn(&(struct chunk){.node = all->node,
                            .start = start,
                            .count = left < CHUNK_MAX ? left : CHUNK_MAX,
                            .scratch = all->scratch + (int64_t)thread * all->scratches * CHUNK_MAX,
                            .back = all->back});
}

int chunks_each(struct stream *s, const struct node *n, int scratches, bool back,
                void (*fn)(const struct chunk *c))
{
    size_t floats = (size_t)stream_threads(s) * (size_t)scratches * CHUNK_MAX;
    struct chunks all = {n, stream_scratch(s, floats * sizeof(float)), scratches, back, fn};
    if (!all.scratch)
        return ERR_LIMIT;
    stream_each(s, count_tasks(tensor_count(n->out), CHUNK_MAX), chunk_task, &all);
    return 0;
}

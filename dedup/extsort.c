/* extsort - radix sort in place while memory lasts, sorted runs in a nameless file and a heap merge
 * beyond. */
#include "dedup/extsort.h"

#include "core/err.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

enum { SMALL_SORT = 24, KEY_BYTES = 16, READ_BYTES_MIN = 16 << 10 };

struct run {
    uint64_t at, end;
}; /* bytes of the spill file not yet read */
struct source {
    struct run run;
    uint64_t *buffer;   /* this run's share of the memory */
    size_t next, count; /* records in it */
};
struct extsort {
    uint32_t words;
    size_t record_bytes, capacity, used; /* records */
    uint64_t memory_bytes;
    uint64_t *records;
    char *work_dir;
    int fd;
    uint64_t file_bytes;
    struct run *run;
    uint32_t run_count, run_cap, spilled;
    struct source *source;
    uint32_t source_count;
    uint32_t *heap, heap_count;
    size_t next; /* of the records when nothing was spilled */
    bool finished, popped;
};

/* ---- sorting in memory ---- */

static bool record_less(const uint64_t *a, const uint64_t *b)
{
    return a[0] != b[0] ? a[0] < b[0] : a[1] < b[1];
}

static void record_copy(uint64_t *to, const uint64_t *from, uint32_t words)
{
    for (uint32_t i = 0; i < words; i++)
        to[i] = from[i];
}

static void sort_small(uint64_t *records, size_t count, uint32_t words)
{
    uint64_t held[EXTSORT_WORDS_MAX];
    for (size_t i = 1; i < count; i++) {
        if (!record_less(records + i * words, records + (i - 1) * words))
            continue;
        record_copy(held, records + i * words, words);
        size_t at = i;
        for (; at > 0 && record_less(held, records + (at - 1) * words); at--)
            record_copy(records + at * words, records + (at - 1) * words, words);
        record_copy(records + at * words, held, words);
    }
}

static unsigned key_byte(const uint64_t *record, int level)
{
    return (unsigned)(record[level / 8] >> (56 - 8 * (level % 8))) & 255;
}

/* Most significant byte first, in place (American flag). At most KEY_BYTES levels deep and linear
 * in the records whatever the keys are, which quicksort is not. */
static void sort_radix(uint64_t *records, size_t count, uint32_t words, int level)
{
    size_t start[257], next[256];
    for (;; level++) {
        if (count <= SMALL_SORT) {
            sort_small(records, count, words);
            return;
        }
        if (level == KEY_BYTES)
            return;
        memset(start, 0, sizeof start);
        for (size_t i = 0; i < count; i++)
            start[key_byte(records + i * words, level) + 1]++;
        bool spread = start[key_byte(records, level) + 1] != count;
        if (spread)
            break;
    }
    for (int i = 0; i < 256; i++) {
        start[i + 1] += start[i];
        next[i] = start[i];
    }
    for (unsigned i = 0; i < 256; i++) {
        while (next[i] < start[i + 1]) {
            uint64_t *here = records + next[i] * words;
            unsigned home = key_byte(here, level);
            if (home != i) {
                uint64_t held[EXTSORT_WORDS_MAX];
                uint64_t *there = records + next[home] * words;
                record_copy(held, here, words);
                record_copy(here, there, words);
                record_copy(there, held, words);
            }
            next[home]++;
        }
    }
    for (int i = 0; i < 256; i++)
        sort_radix(records + start[i] * words, start[i + 1] - start[i], words, level + 1);
}

/* ---- spilling ---- */

static int file_nameless(const char *dir, int *out)
{
    char path[IO_PATH_MAX];
    TRY(io_mkdirs(dir));
    int fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd < 0) { /* file systems without O_TMPFILE */
        TRY(io_path(path, "%s/sort.tmp-XXXXXX", dir));
        fd = mkostemp(path, O_CLOEXEC);
        if (fd < 0)
            return err_sys("dedup: make a file for sorting in %s", dir);
        unlink(path);
    }
    *out = fd;
    return 0;
}

static int write_at(int fd, const void *bytes, size_t len, uint64_t at, const char *dir)
{
    const char *from = bytes;
    while (len) {
        ssize_t done = pwrite(fd, from, len, (off_t)at);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return err_sys("dedup: write %zu bytes of sorted keys below %s", len, dir);
        from += done;
        len -= (size_t)done;
        at += (uint64_t)done;
    }
    return 0;
}

static int read_at(int fd, void *to, size_t len, uint64_t at, const char *dir)
{
    char *into = to;
    while (len) {
        ssize_t done = pread(fd, into, len, (off_t)at);
        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0)
            return err_sys("dedup: read sorted keys back from %s", dir);
        if (done == 0)
            return err_set(ERR_IO, "dedup: the file of sorted keys in %s was cut short", dir);
        into += done;
        len -= (size_t)done;
        at += (uint64_t)done;
    }
    return 0;
}

static int run_add(struct extsort *s, struct run run)
{
    if (s->run_count == s->run_cap) {
        uint32_t cap = s->run_cap ? s->run_cap * 2 : 64;
        struct run *grown = realloc(s->run, cap * sizeof *grown);
        if (!grown)
            return err_set(ERR_LIMIT, "dedup: no memory for %u sorted runs: raise memory", cap);
        s->run = grown;
        s->run_cap = cap;
    }
    s->run[s->run_count++] = run;
    return 0;
}

static int spill(struct extsort *s)
{
    if (!s->used)
        return 0;
    if (s->fd < 0)
        TRY(file_nameless(s->work_dir, &s->fd));
    sort_radix(s->records, s->used, s->words, 0);
    uint64_t bytes = (uint64_t)s->used * s->record_bytes;
    TRY(write_at(s->fd, s->records, bytes, s->file_bytes, s->work_dir));
    TRY(run_add(s, (struct run){s->file_bytes, s->file_bytes + bytes}));
    s->file_bytes += bytes;
    s->used = 0;
    s->spilled++;
    return 0;
}

/* ---- merging ---- */

static const uint64_t *source_head(const struct extsort *s, uint32_t index)
{
    const struct source *from = &s->source[index];
    return from->buffer + from->next * s->words;
}

static int source_fill(struct extsort *s, struct source *from, size_t cap)
{
    uint64_t left = (from->run.end - from->run.at) / s->record_bytes;
    from->next = 0;
    from->count = left < cap ? (size_t)left : cap;
    if (!from->count)
        return 0;
    size_t bytes = from->count * s->record_bytes;
    TRY(read_at(s->fd, from->buffer, bytes, from->run.at, s->work_dir));
    from->run.at += bytes;
    return 0;
}

static void heap_sink(struct extsort *s, uint32_t at)
{
    uint32_t moving = s->heap[at];
    for (;;) {
        uint32_t child = 2 * at + 1;
        if (child >= s->heap_count)
            break;
        if (child + 1 < s->heap_count &&
            record_less(source_head(s, s->heap[child + 1]), source_head(s, s->heap[child])))
            child++;
        if (!record_less(source_head(s, s->heap[child]), source_head(s, moving)))
            break;
        s->heap[at] = s->heap[child];
        at = child;
    }
    s->heap[at] = moving;
}

/* Opens count runs from `first` on; each gets `cap` records of the memory. */
static int merge_open(struct extsort *s, uint32_t first, uint32_t count, size_t cap)
{
    s->heap_count = 0;
    s->source_count = count;
    for (uint32_t i = 0; i < count; i++) {
        struct source *from = &s->source[i];
        from->run = s->run[first + i];
        from->buffer = s->records + (size_t)i * cap * s->words;
        TRY(source_fill(s, from, cap));
        if (from->count)
            s->heap[s->heap_count++] = i;
    }
    for (uint32_t i = s->heap_count / 2; i-- > 0;)
        heap_sink(s, i);
    return 0;
}

/* Steps past the smallest record. */
static int merge_pop(struct extsort *s, size_t cap)
{
    struct source *from = &s->source[s->heap[0]];
    if (++from->next == from->count)
        TRY(source_fill(s, from, cap));
    if (from->next == from->count)
        s->heap[0] = s->heap[--s->heap_count];
    if (s->heap_count)
        heap_sink(s, 0);
    return 0;
}

/* Merges count runs from `first` on into one run of `to`. */
static int merge_group(struct extsort *s, uint32_t first, uint32_t count, size_t cap, int to,
                       uint64_t *at, struct run *made)
{
    uint64_t *out = s->records + (size_t)count * cap * s->words;
    size_t filled = 0;
    made->at = *at;
    TRY(merge_open(s, first, count, cap));
    while (s->heap_count) {
        record_copy(out + filled * s->words, source_head(s, s->heap[0]), s->words);
        TRY(merge_pop(s, cap));
        if (++filled == cap || !s->heap_count) {
            TRY(write_at(to, out, filled * s->record_bytes, *at, s->work_dir));
            *at += filled * s->record_bytes;
            filled = 0;
        }
    }
    made->end = *at;
    return 0;
}

static int merge_pass(struct extsort *s, uint32_t fan)
{
    int rc = 0, to = -1;
    uint64_t at = 0;
    uint32_t kept = 0;
    size_t cap = s->capacity / (fan + 1);
    TRY(file_nameless(s->work_dir, &to));
    for (uint32_t first = 0; first < s->run_count; first += fan) {
        uint32_t left = s->run_count - first;
        struct run made;
        TRY_OUT(merge_group(s, first, left < fan ? left : fan, cap, to, &at, &made));
        s->run[kept++] = made;
    }
    s->run_count = kept;
    s->file_bytes = at;
    close(s->fd);
    s->fd = to;
    return 0;
out:
    close(to);
    return rc;
}

/* ---- the face ---- */

int extsort_open(struct extsort **out, uint32_t words, uint64_t memory, uint64_t expect,
                 const char *work_dir)
{
    assert(words >= 2);
    assert(words <= EXTSORT_WORDS_MAX);
    struct extsort *s = calloc(1, sizeof *s);
    if (!s)
        return err_set(ERR_LIMIT, "dedup: no memory for a sort");
    s->words = words;
    s->record_bytes = words * sizeof(uint64_t);
    s->fd = -1;
    s->memory_bytes = memory < EXTSORT_MEMORY_MIN ? EXTSORT_MEMORY_MIN : memory;
    s->capacity = (size_t)(s->memory_bytes / s->record_bytes);
    size_t least = EXTSORT_MEMORY_MIN / s->record_bytes;
    if (expect < s->capacity)
        s->capacity = expect < least ? least : (size_t)expect;
    s->records = malloc(s->capacity * s->record_bytes);
    s->work_dir = strdup(work_dir);
    if (!s->records || !s->work_dir) {
        size_t bytes = s->capacity * s->record_bytes;
        extsort_close(s);
        return err_set(ERR_LIMIT, "dedup: no %zu bytes for sorting: lower memory", bytes);
    }
    *out = s;
    return 0;
}

int extsort_add(struct extsort *s, const uint64_t *record)
{
    assert(!s->finished);
    if (s->used == s->capacity)
        TRY(spill(s));
    record_copy(s->records + s->used * s->words, record, s->words);
    s->used++;
    return 0;
}

int extsort_finish(struct extsort *s)
{
    assert(!s->finished);
    s->finished = true;
    if (!s->run_count) {
        sort_radix(s->records, s->used, s->words, 0);
        return 0;
    }
    TRY(spill(s));
    /* As many runs at a time as can be read in pieces worth a disk access, one piece kept for
     * writing. */
    size_t fan_most = s->capacity * s->record_bytes / READ_BYTES_MIN;
    uint32_t fan = fan_most < 4 ? 3 : fan_most > UINT32_MAX ? UINT32_MAX : (uint32_t)fan_most - 1;
    uint32_t widest = s->run_count < fan ? s->run_count : fan;
    s->source = calloc(widest, sizeof *s->source);
    s->heap = calloc(widest, sizeof *s->heap);
    if (!s->source || !s->heap)
        return err_set(ERR_LIMIT, "dedup: no memory to merge %u sorted runs", widest);
    while (s->run_count > fan)
        TRY(merge_pass(s, fan));
    return merge_open(s, 0, s->run_count, s->capacity / s->run_count);
}

int extsort_next(struct extsort *s, const uint64_t **record)
{
    assert(s->finished);
    if (!s->spilled) {
        if (s->next == s->used)
            return 0;
        *record = s->records + s->next++ * s->words;
        return 1;
    }
    if (s->popped)
        TRY(merge_pop(s, s->capacity / s->run_count));
    s->popped = s->heap_count > 0;
    if (!s->heap_count)
        return 0;
    *record = source_head(s, s->heap[0]);
    return 1;
}

uint32_t extsort_runs(const struct extsort *s) { return s->spilled; }

void extsort_close(struct extsort *s)
{
    if (!s)
        return;
    if (s->fd >= 0)
        close(s->fd);
    free(s->records);
    free(s->work_dir);
    free(s->run);
    free(s->source);
    free(s->heap);
    free(s);
}

/* bench_store - measures the token store: building it, reading it beside a flat file in memory
 * maps, finding rows, checking it. Reading is measured in turns, ours and the flat file's, so that
 * what else the machine does falls on both. */
#include "tests/bench/bench.h"

#include "store/loader.h"
#include "store/widen.h"
#include "tokenize/tokenize.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

enum {
    VOCABULARY = 32768,
    SEQUENCE = 1024,
    WINDOW = 2048, /* tokens: 4 KiB */
    TURNS = 9,
    DOMAINS = 4,
    JUMPS = 200000,
};

static void *memory(size_t count, size_t bytes)
{
    void *at = calloc(count + 1, bytes);
    need(at ? 0 : err_set(ERR_LIMIT, "no memory for %zu x %zu bytes", count, bytes));
    return at;
}

static void check(bool fine, const char *what)
{
    need(fine ? 0 : err_set(ERR_FORMAT, "bench: %s", what));
}

/* ---- a store of made documents, and the same tokens as a flat file ---- */

/* Writes about `tokens` tokens in `domains` domains; flat: all of domain 0's go there too, as u16.
 * Returns how many there are. */
static uint64_t store_write(const char *dir, uint64_t tokens, uint32_t domains, FILE *flat)
{
    struct store_meta *meta = memory(1, sizeof *meta);
    struct store_writer *w;
    uint64_t made = 0;
    uint32_t *ids = memory((size_t)5 * SEQUENCE, sizeof *ids);
    uint16_t *narrow = memory((size_t)5 * SEQUENCE, sizeof *narrow);
    meta->vocab_size = VOCABULARY;
    meta->domain_count = domains;
    meta->eot = VOCABULARY - 1;
    for (uint32_t i = 0; i < 5 * SEQUENCE; i++)
        ids[i] = (uint32_t)(hash_mix(i) % (VOCABULARY - 1));
    for (uint32_t d = 0; d < domains; d++)
        snprintf(meta->domain[d].name, sizeof meta->domain[d].name, "domain%u", d);
    need(store_create(&w, dir, meta));
    for (uint32_t i = 0; made < tokens; i++) {
        uint32_t length = 200 + (uint32_t)(hash_mix(i) % 1000), d = i % domains;
        uint32_t *from = ids + i % (3 * SEQUENCE);
        struct store_doc doc = {
            .id = hash_mix(i), .record = i, .token_count = length, .text_bytes = 4 * length};
        need(store_append(w, d, &doc, from));
        made += length + 1;
        if (!flat || d != 0)
            continue;
        narrow[0] = VOCABULARY - 1;
        for (uint32_t k = 0; k < length; k++)
            narrow[k + 1] = (uint16_t)from[k];
        need(fwrite(narrow, 2, length + 1, flat) == length + 1 ? 0 : err_sys("write %s", dir));
    }
    need(store_commit(w, NULL));
    free(ids);
    free(narrow);
    free(meta);
    return made;
}

/* A plan of `phases` phases over all domains of a store. */
struct plan {
    struct token_view view[DOMAINS];
    struct loader_conf *conf;
    struct loader *loader;
};
static void plan_open(struct plan *p, struct store *s, uint32_t sequence, uint32_t phases,
                      uint64_t rows)
{
    p->conf = memory(1, sizeof *p->conf);
    p->conf->seed = 7;
    p->conf->source_count = store_meta(s)->domain_count;
    p->conf->phase_count = phases;
    for (uint32_t d = 0; d < p->conf->source_count; d++) {
        need(token_view_domain(&p->view[d], s, d));
        p->conf->source[d].view = &p->view[d];
    }
    for (uint32_t i = 0; i < phases; i++) {
        struct loader_phase *phase = &p->conf->phase[i];
        snprintf(phase->name, sizeof phase->name, "phase%u", i);
        phase->rows = rows / phases;
        phase->sequence = sequence;
        for (uint32_t d = 0; d < p->conf->source_count; d++)
            phase->weight[d] = 1 + hash_unit(i, d);
    }
    need(loader_open(&p->loader, s, p->conf));
}
static void plan_close(struct plan *p)
{
    loader_close(p->loader);
    for (uint32_t d = 0; d < DOMAINS; d++)
        token_view_close(&p->view[d]);
    free(p->conf);
}

/* Reads every row of the plan. */
static void plan_read(const struct plan *p, uint64_t rows, uint32_t sequence, bool starts)
{
    int32_t *inputs = memory(sequence, sizeof *inputs),
            *targets = memory(sequence, sizeof *targets);
    int32_t *doc_start = starts ? memory(sequence, sizeof *doc_start) : NULL;
    for (uint64_t row = 0; row < rows; row++)
        need(loader_read(p->loader, row, inputs, targets, doc_start, NULL));
    free(inputs);
    free(targets);
    free(doc_start);
}

void bench_store(char **argv)
{
    uint64_t docs, tokens, rows;
    struct store *s;
    struct plan p = {0};
    char dir[IO_PATH_MAX];
    need(str_u64(str_of(argv[0]), &docs) && docs <= UINT32_MAX
             ? 0
             : err_set(ERR_USAGE, "store: %s documents", argv[0]));
    need(io_path(dir, "%s/store", argv[1]));
    struct lap lap = lap_begin();
    tokens = store_write(dir, docs * 700, 2, NULL);
    lap_row(lap, "store.write", tokens, "tokens", 2 * tokens);
    lap = lap_begin();
    need(store_open(&s, dir));
    need(store_verify(s));
    lap_row(lap, "store.verify", tokens, "tokens", 2 * tokens);
    rows = tokens / SEQUENCE;
    plan_open(&p, s, SEQUENCE, 1, rows);
    lap = lap_begin();
    plan_read(&p, rows, SEQUENCE, true);
    lap_row(lap, "store.loader", rows * SEQUENCE, "tokens", 2 * rows * SEQUENCE);
    plan_close(&p);
    store_close(s);
}

/* ---- windows: the store's map beside a flat map ---- */
struct windows {
    struct store *store;
    struct plan plan;
    const uint16_t *flat;
    uint64_t tokens, rows;
    uint64_t *row, *start; /* the plan's rows, in order, but for the domain's last, short one; where
                              each begins */
    int32_t *inputs, *targets, *doc_start;
    uint16_t *copy;
    uint64_t sum; /* so that nothing is left out */
};

static void copy_flat(struct windows *w)
{
    for (uint64_t i = 0; i < w->rows; i++) {
        memcpy(w->copy, w->flat + w->start[i], sizeof *w->copy * WINDOW);
        w->sum += w->copy[i % WINDOW];
    }
}

static void copy_store(struct windows *w)
{
    for (uint64_t i = 0; i < w->rows; i++) {
        const void *from;
        for (uint32_t at = 0, have; at < WINDOW; at += have) {
            need(store_window(w->store, 0, w->start[i] + at, WINDOW - at, &from, &have));
            memcpy(w->copy + at, from, sizeof *w->copy * have);
        }
        w->sum += w->copy[i % WINDOW];
    }
}

/* What nanoGPT's get_batch does: inputs and targets of a window, widened to 4 bytes. */
static void rows_flat(struct windows *w, bool starts)
{
    for (uint64_t i = 0; i < w->rows; i++) {
        struct widen to = {.inputs = w->inputs,
                           .targets = w->targets,
                           .doc_start = starts ? w->doc_start : NULL,
                           .eot = VOCABULARY - 1};
        widen_ids(&to, w->flat + w->start[i], WINDOW, 2, true);
        w->targets[WINDOW - 1] = w->flat[w->start[i] + WINDOW];
        w->sum += (uint64_t)w->targets[i % WINDOW];
    }
}

/* As the trainer reads: a row's first bytes are on their way while the one before is widened. */
static void rows_store(struct windows *w, bool starts)
{
    const struct loader *l = w->plan.loader;
    struct loader_place place = loader_place(l, w->row[0]);
    for (uint64_t i = 0; i < w->rows; i++) {
        struct loader_place next = place;
        if (i + 1 < w->rows) {
            next = loader_place(l, w->row[i + 1]);
            loader_touch(l, &next);
        }
        need(loader_read_at(l, &place, w->inputs, w->targets, starts ? w->doc_start : NULL));
        w->sum += (uint64_t)w->targets[i % WINDOW];
        place = next;
    }
}
static void rows_flat_plain(struct windows *w) { rows_flat(w, false); }
static void rows_flat_starts(struct windows *w) { rows_flat(w, true); }
static void rows_store_plain(struct windows *w) { rows_store(w, false); }
static void rows_store_starts(struct windows *w) { rows_store(w, true); }

/* Two ways of one work in turns; a row each time, so that the reader can take the best. */
static void in_turns(struct windows *w, const char *name, void (*flat)(struct windows *w),
                     void (*store)(struct windows *w))
{
    char label[64];
    uint64_t bytes = 2 * WINDOW * w->rows;
    for (int turn = 0; turn < TURNS; turn++) {
        uint64_t before = w->sum;
        struct lap lap = lap_begin();
        flat(w);
        snprintf(label, sizeof label, "%s.flat", name);
        lap_row(lap, label, w->rows, "windows", bytes);
        uint64_t of_flat = w->sum - before;
        lap = lap_begin();
        store(w);
        snprintf(label, sizeof label, "%s.store", name);
        lap_row(lap, label, w->rows, "windows", bytes);
        check(w->sum - before == 2 * of_flat, "the flat file gave other tokens");
    }
}

static void flat_map(struct windows *w, const char *path)
{
    uint64_t bytes;
    int fd = io_open_file(path, &bytes);
    need(fd);
    void *map = mmap(NULL, bytes, PROT_READ, MAP_SHARED, fd, 0);
    need(map != MAP_FAILED ? 0 : err_sys("map %s", path));
    madvise(map, bytes, MADV_RANDOM); /* as LMDB's map is */
    close(fd);
    w->flat = map;
    w->tokens = bytes / 2;
    for (uint64_t i = 0; i < bytes; i += 4096)
        w->sum += ((const unsigned char *)map)[i];
}

/* The first reading of every block pays for its checksum; nothing else is different. */
static void first_reading(struct windows *w, const char *dir)
{
    for (int turn = 0; turn < 3; turn++) {
        struct lap lap = lap_begin();
        need(store_open(&w->store, dir));
        lap_row(lap, "open", w->tokens, "tokens", 2 * w->tokens);
        plan_open(&w->plan, w->store, WINDOW, 1, w->rows);
        lap = lap_begin();
        rows_store_starts(w);
        lap_row(lap, "rows.first", w->rows, "windows", 2 * WINDOW * w->rows);
        if (turn == 2)
            return;
        plan_close(&w->plan);
        store_close(w->store);
    }
}

static void rows_list(struct windows *w)
{
    uint64_t listed = 0;
    for (uint64_t i = 0; i < w->rows; i++) {
        struct loader_place place = loader_place(w->plan.loader, i);
        struct loader_piece piece;
        check(loader_piece(w->plan.loader, &place, 0, &piece), "a row without tokens");
        if (piece.start + WINDOW >= w->tokens)
            continue;
        w->row[listed] = i;
        w->start[listed++] = piece.start;
    }
    w->rows = listed;
}

/* What the process holds itself: maps of files are not in it. */
static void memory_row(void)
{
    char line[128];
    uint64_t kib = 0;
    FILE *f = fopen("/proc/self/status", "r");
    while (f && fgets(line, sizeof line, f))
        if (strncmp(line, "RssAnon:", 8) == 0)
            str_u64(str_trim((struct str){line + 8, strcspn(line + 8, "k")}), &kib);
    if (f)
        fclose(f);
    row("memory", kib, "KiB", 0, 0, 0);
}

void bench_windows(char **argv)
{
    uint64_t megabytes;
    struct windows w = {0};
    char dir[IO_PATH_MAX], flat[IO_PATH_MAX];
    need(str_u64(str_of(argv[1]), &megabytes) && megabytes >= 16 && megabytes <= 65536
             ? 0
             : err_set(ERR_USAGE, "windows: DIR MEGABYTES, 16 to 65536"));
    need(io_path(dir, "%s/store", argv[0]));
    need(io_path(flat, "%s/flat.bin", argv[0]));
    FILE *file = fopen(flat, "wb");
    need(file ? 0 : err_sys("open %s", flat));
    struct lap lap = lap_begin();
    uint64_t tokens = store_write(dir, megabytes << 19, 1, file);
    need(fclose(file) == 0 ? 0 : err_sys("write %s", flat));
    lap_row(lap, "write", tokens, "tokens", 2 * tokens);
    flat_map(&w, flat);
    check(w.tokens == tokens, "the flat file has another length");
    w.rows = tokens / WINDOW - 1;
    w.start = memory(w.rows, sizeof *w.start);
    w.inputs = memory(WINDOW, sizeof *w.inputs);
    w.targets = memory(WINDOW, sizeof *w.targets);
    w.doc_start = memory(WINDOW, sizeof *w.doc_start);
    w.copy = memory(WINDOW, sizeof *w.copy);
    w.row = memory(w.rows, sizeof *w.row);
    for (uint64_t i = 0; i < w.rows; i++)
        w.row[i] = i;
    first_reading(&w, dir);
    rows_list(&w);
    in_turns(&w, "copy", copy_flat, copy_store);
    in_turns(&w, "rows", rows_flat_plain, rows_store_plain);
    in_turns(&w, "starts", rows_flat_starts, rows_store_starts);
    lap = lap_begin();
    need(store_verify(w.store));
    lap_row(lap, "verify", tokens, "tokens", 2 * tokens);
    memory_row();
    plan_close(&w.plan);
    store_close(w.store);
    munmap((void *)(uintptr_t)w.flat, 2 * w.tokens);
    free(w.row);
    free(w.start);
    free(w.inputs);
    free(w.targets);
    free(w.doc_start);
    free(w.copy);
}

/* ---- jumps: where any row of a long plan lies ---- */
void bench_jumps(char **argv)
{
    enum { PHASES = 16 };
    const uint64_t rows = 1000000000000;
    struct store *s;
    struct plan p = {0};
    char dir[IO_PATH_MAX];
    uint64_t sum = 0;
    double worst = 0;
    need(io_path(dir, "%s/jumps", argv[0]));
    store_write(dir, 4 << 20, DOMAINS, NULL);
    need(store_open(&s, dir));
    struct lap lap = lap_begin();
    plan_open(&p, s, SEQUENCE, PHASES, rows);
    lap_row(lap, "jump.plan", PHASES, "phases", 0);
    lap = lap_begin();
    for (uint64_t i = 0; i < JUMPS; i++)
        sum += loader_place(p.loader, hash_mix(i) % (rows / PHASES * PHASES)).index;
    lap_row(lap, "jump.mean", JUMPS, "jumps", 0);
    /* One by one, with the row's tokens: the clock itself is in it. */
    int32_t *inputs = memory(SEQUENCE, sizeof *inputs),
            *targets = memory(SEQUENCE, sizeof *targets);
    for (uint64_t i = 0; i < 20000; i++) {
        uint64_t at = hash_mix(i + JUMPS) % (rows / PHASES * PHASES);
        struct lap one = lap_begin();
        need(loader_read(p.loader, at, inputs, targets, NULL, NULL));
        double took = cpu_now() - one.cpu;
        worst = took > worst ? took : worst;
    }
    row("jump.worst", 1, "jump", sum & 1, worst, worst);
    plan_close(&p);
    store_close(s);
    free(inputs);
    free(targets);
}

/* ---- building from text ---- */
struct building {
    struct docs docs;
    struct tokenizer *tokenizer;
    struct encoder *encoder;
    struct arena arena;
    uint64_t tokens;
};

static void build_once(struct building *b, const char *dir, const char *name)
{
    struct store_writer *w = NULL;
    struct lap lap = lap_begin();
    if (dir) {
        struct store_meta *meta = memory(1, sizeof *meta);
        meta->vocab_size = tokenizer_vocab(b->tokenizer);
        meta->eot = tokenizer_eot(b->tokenizer);
        meta->domain_count = 1;
        snprintf(meta->domain[0].name, sizeof meta->domain[0].name, "web");
        need(store_create(&w, dir, meta));
        free(meta);
    }
    b->tokens = 0;
    for (uint32_t i = 0; i < b->docs.count; i++) {
        struct store_doc doc = {.id = i, .record = i, .text_bytes = (uint32_t)b->docs.text[i].len};
        const uint32_t *ids;
        arena_reset(&b->arena, 0);
        need(encoder_encode(b->encoder, b->docs.text[i], &b->arena, &ids, &doc.token_count));
        b->tokens += doc.token_count;
        if (w)
            need(store_append(w, 0, &doc, ids));
    }
    if (w)
        need(store_commit(w, NULL));
    lap_row(lap, name, b->tokens, "tokens", b->docs.bytes);
}

void bench_build(char **argv)
{
    struct building b = {0};
    char dir[IO_PATH_MAX];
    need(io_path(dir, "%s/built", argv[2]));
    need(tokenizer_open(&b.tokenizer, argv[0]));
    docs_read(&b.docs, argv[1]);
    need(arena_open(&b.arena, b.docs.bytes * sizeof(uint32_t) + 4096));
    need(encoder_open(&b.encoder, b.tokenizer));
    build_once(&b, NULL, "build.first"); /* the encoder's cache fills */
    for (int turn = 0; turn < 5; turn++) {
        build_once(&b, NULL, "build.encode");
        build_once(&b, dir, "build.store");
    }
    encoder_close(b.encoder);
    arena_close(&b.arena);
    docs_free(&b.docs);
    tokenizer_close(b.tokenizer);
}

/* bench_extract - measures reading archives against raw inflate, and whole pages to main text. */
#include "tests/bench/bench.h"

#include "core/json.h"
#include "core/opt.h"
#include "crawl/crawl.h"
#include "extract/extract.h"

#include <fcntl.h>
#include <isa-l/igzip_lib.h>
#include <stdlib.h>
#include <unistd.h>

enum {
    INFLATE_OUT = 64 << 10,
    ARENA_BYTES = 256 << 20,
    LOAD_MAX = 2000000000,
    DOOR_KEEP = 16 << 20, /* as the stage keeps between pages */
};

/* ---- WARC: what inflating alone costs ---- */

/* Inflates every gzip member of the file, read a buffer at a time as a reader would, and throws the
 * bytes away: the least any reader has to do. */
void bench_inflate(char **argv)
{
    static unsigned char in[256 << 10], out[INFLATE_OUT];
    static struct inflate_state gz;
    uint64_t members = 0, decoded = 0;
    ssize_t got;
    int file = open(argv[0], O_RDONLY);
    need(file < 0 ? err_sys("%s", argv[0]) : 0);
    struct lap lap = lap_begin();
    isal_inflate_init(&gz);
    gz.crc_flag = ISAL_GZIP;
    while ((got = read(file, in, sizeof in)) > 0) {
        gz.next_in = in;
        gz.avail_in = (uint32_t)got;
        while (gz.avail_in) {
            gz.next_out = out;
            gz.avail_out = sizeof out;
            int rc = isal_inflate(&gz);
            need(rc == ISAL_DECOMP_OK ? 0
                                      : err_set(ERR_FORMAT, "%s: inflate says %d", argv[0], rc));
            decoded += sizeof out - gz.avail_out;
            if (gz.block_state != ISAL_BLOCK_FINISH)
                continue;
            members++;
            isal_inflate_reset(&gz);
            gz.crc_flag = ISAL_GZIP;
        }
    }
    lap_row(lap, "inflate", members, "members", decoded);
    close(file);
    struct warc_reader *r;
    struct warc_record rec;
    lap = lap_begin();
    need(warc_open(&r, argv[0], 0));
    int rc;
    while ((rc = warc_next(r, &rec)) > 0)
        ;
    need(rc);
    lap_row(lap, "warc.iterate", warc_stats(r)->records, "records", decoded);
    warc_close(r);
    lap = lap_begin();
    need(warc_open(&r, argv[0], DOC_RAW_MAX));
    while ((rc = warc_next(r, &rec)) > 0)
        ;
    need(rc);
    lap_row(lap, "warc.bodies", warc_stats(r)->records, "records", decoded);
    warc_close(r);
}

/* ---- pages to text ---- */

struct web_page {
    struct str url, charset, raw;
    double cpu;
    struct str text;
    enum extract_verdict verdict;
};
struct web_pages {
    struct web_page *page;
    size_t count, room;
    uint64_t bytes;
    struct arena memory; /* holds the raw bytes and, later, the texts */
};

static void pages_load(struct web_pages *all, const char *path)
{
    struct warc_reader *r;
    struct warc_record rec;
    struct arena a;
    int rc;
    *all = (struct web_pages){0};
    need(arena_open(&all->memory, LOAD_MAX));
    need(arena_open(&a, ARENA_BYTES));
    need(warc_open(&r, path, DOC_RAW_MAX));
    while ((rc = warc_next(r, &rec)) > 0) {
        struct http_response http;
        arena_reset(&a, 0);
        if (!str_is(rec.type, "response") || http_parse(&a, rec.body, DOC_RAW_MAX, &http) < 0)
            continue;
        if (all->count == all->room) {
            all->room = all->room ? all->room * 2 : 512;
            all->page = realloc(all->page, all->room * sizeof *all->page);
            need(all->page ? 0 : err_set(ERR_LIMIT, "no memory for %zu pages", all->room));
        }
        struct web_page *page = &all->page[all->count++];
        *page = (struct web_page){.url = arena_str(&all->memory, rec.target_uri),
                                  .charset = arena_str(&all->memory, http.charset),
                                  .raw = arena_str(&all->memory, http.body)};
        need(page->raw.ptr ? 0 : err_set(ERR_LIMIT, "%s: more pages than fit", path));
        all->bytes += http.body.len;
    }
    need(rc);
    warc_close(r);
    arena_close(&a);
}

/* Memory of this process in KiB: "VmRSS:" now, "VmHWM:" the most since the last reset. */
static uint64_t memory_kib(const char *field)
{
    char line[256];
    uint64_t kib = 0;
    FILE *status = fopen("/proc/self/status", "r");
    while (status && fgets(line, sizeof line, status)) {
        if (strncmp(line, field, strlen(field)) == 0)
            kib = strtoull(line + strlen(field), NULL, 10);
    }
    if (status)
        fclose(status);
    return kib;
}

static void memory_reset_peak(void)
{
    int file = open("/proc/self/clear_refs", O_WRONLY);
    if (file < 0 || write(file, "5", 1) != 1)
        fprintf(stderr, "bench: skipped memory: the peak cannot be reset\n");
    if (file >= 0)
        close(file);
}

static void pages_extract(struct web_pages *all, struct extract_scratch *scratch)
{
    struct arena door, text;
    need(arena_open(&door, ARENA_BYTES));
    need(arena_open(&text, ARENA_BYTES));
    for (size_t i = 0; i < all->count; i++) {
        struct web_page *page = &all->page[i];
        struct extract_out out = {0};
        struct str utf8;
        const char *name;
        uint64_t replaced;
        double begin = cpu_now();
        arena_trim(&door, DOOR_KEEP);
        arena_trim(&text, DOOR_KEEP);
        page->verdict = EXTRACT_MEMORY;
        if (charset_to_utf8(&door, page->raw, page->charset, &utf8, &name, &replaced) >= 0)
            page->verdict = extract_read(scratch, &text, utf8, page->url, &out, NULL);
        page->cpu = cpu_now() - begin;
        page->text = page->verdict == EXTRACT_OK ? arena_str(&all->memory, out.text) : STR("");
    }
    arena_close(&door);
    arena_close(&text);
}

static void pages_write(const struct web_pages *all, const char *path)
{
    static const char *const verdicts[] = {"ok", "too_deep", "memory", "timeout", "empty"};
    struct buf line = {0};
    FILE *to = fopen(path, "w");
    need(to ? 0 : err_sys("%s", path));
    for (size_t i = 0; i < all->count; i++) {
        const struct web_page *page = &all->page[i];
        struct json_writer json;
        buf_clear(&line);
        json_begin(&json, &line);
        json_open(&json, '{');
        json_field_str(&json, "url", page->url);
        json_field_text(&json, "verdict", verdicts[page->verdict]);
        json_field_num(&json, "ms", page->cpu * 1e3);
        json_field_str(&json, "text", page->text);
        json_close(&json, '}');
        fprintf(to, "%.*s\n", STR_ARG(buf_view(&line)));
    }
    need(fclose(to) == 0 ? 0 : err_sys("%s", path));
    buf_free(&line);
}

void bench_extract(char **argv)
{
    struct web_pages all;
    struct arena a;
    struct extract_scratch *scratch;
    struct extract_conf conf = {0};
    pages_load(&all, argv[0]);
    need(arena_open(&a, 1 << 20));
    need(opt_defaults(stage_extract.opts, &conf, &a));
    if (argv[1] && argv[2])
        conf.mode = argv[2];
    memory_reset_peak();
    uint64_t before = memory_kib("VmRSS:");
    struct lap lap = lap_begin();
    need(extract_scratch_open(&scratch, &conf));
    pages_extract(&all, scratch);
    lap_row(lap, "extract.pages", all.count, "pages", all.bytes);
    uint64_t peak = memory_kib("VmHWM:");
    row("extract.memory", 1, "thread", (peak > before ? peak - before : 0) << 10, 0, 0);
    double slowest = 0;
    for (size_t i = 0; i < all.count; i++)
        slowest = all.page[i].cpu > slowest ? all.page[i].cpu : slowest;
    row("extract.slowest", 1, "page", 0, slowest, slowest);
    if (argv[1])
        pages_write(&all, argv[1]);
    extract_scratch_close(scratch);
    arena_close(&a);
    arena_close(&all.memory);
    free(all.page);
}

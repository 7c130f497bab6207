/* cmd_crawl - `sluice crawl`: files of Common Crawl or a mirror of it, landed or streamed. */
#include "command/command.h"
#include "core/err.h"
#include "core/json.h"
#include "core/log.h"
#include "core/pipe.h"
#include "crawl/cdx.h"
#include "crawl/crawl.h"
#include "crawl/remote.h"
#include "crawl/seeds.h"

#include <errno.h>
#include <unistd.h>

enum { LIST_ARENA = 1 << 30 }; /* address space; what is used is what is paid */

struct crawl_flags {
    struct crawl_conf crawl;
    struct seeds_conf seeds;
    struct cdx_conf index;
    bool to_stdout, json, dry_run;
};
#define FLAG_ROW(kind, name, field, help)                                                          \
    {                                                                                              \
        kind, name, offsetof(struct crawl_flags, field), "false", 0, 1, NULL, help, NULL           \
    }
static const struct opt crawl_flag_opts[] = {
    CRAWL_WHAT_ROWS(struct crawl_flags, crawl.),
    CRAWL_HOW_ROWS(struct crawl_flags, crawl.),
    SEEDS_ROWS(struct crawl_flags, seeds.),
    CDX_ROWS(struct crawl_flags, index.),
    FLAG_ROW(OPT_BOOL, "stdout", to_stdout,
             "write the files' bytes to standard output, in order, and land none"),
    FLAG_ROW(OPT_BOOL, "json", json, "print a summary as JSON instead of the paths"),
    FLAG_ROW(OPT_BOOL, "dry_run", dry_run, "list the files and their sizes, fetch none"),
    OPT_LAST,
};
/* Rows that only some ways of crawling look at. */
static const struct opt of_lists[] = {CRAWL_WHAT_ROWS(struct crawl_flags, crawl.), OPT_LAST};
static const struct opt of_seeds[] = {SEEDS_ROWS(struct crawl_flags, seeds.), OPT_LAST};
static const struct opt of_fetch[] = {CRAWL_HOW_ROWS(struct crawl_flags, crawl.), OPT_LAST};
static const struct opt of_index[] = {CDX_ROWS(struct crawl_flags, index.), OPT_LAST};

/* ---- standard output ---- */
struct out {
    uint64_t bytes;
    bool gone;
};

static int out_take(void *self, const void *bytes, size_t len)
{
    struct out *out = self;
    for (size_t done = 0; done < len;) {
        if (pipe_stop)
            return err_set(ERR_STOP, "stopped");
        ssize_t wrote = write(STDOUT_FILENO, (const char *)bytes + done, len - done);
        if (wrote < 0 && errno == EINTR)
            continue;
        if (wrote < 0) {
            out->gone = errno == EPIPE;
            return err_sys("standard output");
        }
        done += (size_t)wrote;
        out->bytes += (uint64_t)wrote;
    }
    return 0;
}

static int stream_files(const struct crawl_flags *flags, const struct crawl_file *file,
                        size_t count, struct crawl_done *done)
{
    struct out out = {0};
    struct fetch_sink sink = {out_take, &out};
    if (isatty(STDOUT_FILENO))
        return err_set(ERR_USAGE, "crawl: --stdout writes archives, not text: pipe it, as in "
                                  "sluice crawl ... --stdout | sluice extract -");
    int rc = crawl_stream(&flags->crawl, file, count, &sink, done);
    if (rc < 0 && out.gone) { /* `| head` has seen enough */
        log_info("crawl: the reader closed the pipe after %llu bytes",
                 (unsigned long long)out.bytes);
        return 0;
    }
    if (rc < 0)
        return err_in(rc,
                      "crawl: the stream is incomplete (%llu bytes of whole records are out, %llu "
                      "of %zu files fetched)",
                      (unsigned long long)out.bytes, (unsigned long long)done->fetched, count);
    return rc;
}

/* ---- summaries ---- */
static int print_json(const struct crawl_flags *flags, const struct crawl_file *file, size_t count,
                      const struct crawl_done *done, double seconds)
{
    struct buf text = {0};
    struct json_writer w;
    char shown[IO_PATH_MAX];
    const struct {
        const char *key;
        uint64_t value;
    } number[] = {
        {"files", count},       {"fetched", done->fetched},   {"failed", done->failed},
        {"bytes", done->bytes}, {"requests", done->requests},
    };
    json_begin(&w, &text);
    json_open(&w, '{');
    json_field_text(&w, "base", fetch_url_shown(flags->crawl.base, shown));
    for (size_t i = 0; i < COUNT_OF(number); i++)
        json_field_u64(&w, number[i].key, number[i].value);
    json_field_num(&w, "seconds", seconds);
    json_field_open(&w, "paths", '[');
    for (size_t i = 0; i < count; i++)
        if (file[i].here)
            json_put_str(&w, str_of(file[i].path));
    json_close(&w, ']');
    json_close(&w, '}');
    buf_char(&text, '\n');
    int rc = text.failed ? err_set(ERR_LIMIT, "crawl: no memory for the summary") : 0;
    if (rc == 0)
        fwrite(text.ptr, 1, text.len, flags->to_stdout ? stderr : stdout);
    buf_free(&text);
    return rc;
}

/* One line a file: bytes (- where not asked for), here or missing, its URL. */
static int print_plan(const struct crawl_flags *flags, struct crawl_file *file, size_t count)
{
    uint64_t total;
    bool exact;
    char shown[IO_PATH_MAX];
    size_t here = 0;
    TRY(crawl_sizes(&flags->crawl, file, count, &total, &exact));
    for (size_t i = 0; i < count; i++) {
        here += file[i].here;
        char size[32] = "-";
        if (file[i].bytes)
            snprintf(size, sizeof size, "%llu", (unsigned long long)file[i].bytes);
        printf("%12s  %s  %s\n", size, file[i].here ? "here   " : "missing",
               fetch_url_shown(file[i].url, shown));
    }
    log_info("%zu files, %zu of them here, %s%.3f GB in all; nothing was fetched", count, here,
             exact ? "" : "about ", (double)total * 1e-9);
    return 0;
}

/* URLs named one by one, and prefixes of buckets, instead of a crawl's list. */
static int list_urls(const struct crawl_flags *flags, int url_count, char **url, struct arena *a,
                     struct crawl_file **file, size_t *count)
{
    struct crawl_file **part = arena_array(a, struct crawl_file *, url_count);
    size_t *parts = arena_array(a, size_t, url_count), at = 0;
    if (!part || !parts)
        return ERR_LIMIT;
    *count = 0;
    for (int i = 0; i < url_count; i++) {
        if (!remote_is_url(url[i]))
            return err_set(ERR_USAGE, "crawl: \"%s\" is no flag and no https, http or s3 URL: see "
                           "sluice crawl --help", url[i]);
        for (int k = 0; k < i; k++)
            if (strcmp(url[k], url[i]) == 0)
                return err_set(ERR_USAGE, "crawl: %s stands there twice", url[i]);
        TRY(remote_files(&flags->crawl, url[i], a, &part[i], &parts[i]));
        *count += parts[i];
    }
    *file = arena_array(a, struct crawl_file, *count);
    for (int i = 0; *file && i < url_count; at += parts[i++])
        memcpy(*file + at, part[i], parts[i] * sizeof **file);
    return *file ? 0 : ERR_LIMIT;
}

static int crawl_listed(const struct crawl_flags *flags, int argc, char **argv, struct arena *a)
{
    struct crawl_file *file;
    struct crawl_done done = {0};
    size_t count;
    uint64_t start = clock_ns();
    if (argc)
        TRY(list_urls(flags, argc, argv, a, &file, &count));
    else
        TRY(crawl_list(&flags->crawl, a, &file, &count));
    if (flags->dry_run)
        return print_plan(flags, file, count);
    int rc = flags->to_stdout ? stream_files(flags, file, count, &done)
                              : crawl_fetch(&flags->crawl, file, count, &done);
    if (flags->json && rc != ERR_USAGE) {
        char pending[2048];
        err_copy_to(pending, sizeof pending);
        int printed = print_json(flags, file, count, &done, (double)(clock_ns() - start) * 1e-9);
        rc = rc < 0 ? err_set(rc, "%s", pending) : printed;
    }
    if (rc < 0)
        return rc;
    for (size_t i = 0; i < count && !flags->to_stdout && !flags->json; i++)
        printf("%s\n", file[i].path);
    if (!flags->to_stdout)
        log_info("%zu files are here", count);
    return 0;
}

/* A crawl's list has 100,000 paths and URLs, which want an arena of their own. */
static int crawl_files_main(const struct crawl_flags *flags, int argc, char **argv)
{
    struct arena a = {0};
    int rc = arena_open(&a, LIST_ARENA);
    if (rc >= 0)
        rc = crawl_listed(flags, argc, argv, &a);
    arena_close(&a);
    return rc;
}

/* `crawl --seeds`: prints the paths of the WARC files it made, or its summary as JSON. */
static int crawl_seeds_main(const struct crawl_flags *flags)
{
    struct seeds_result result;
    int rc = seeds_crawl(&flags->seeds, &flags->crawl.fetch, &result);
    if (flags->json)
        fwrite(result.json.ptr, 1, result.json.len, stdout);
    for (size_t i = 0; i < result.path_count && !flags->json; i++)
        printf("%s\n", result.path[i]);
    seeds_result_free(&result);
    return rc;
}

/* ---- captures by URL ---- */
/* The index's lines, nothing fetched. */
static int print_captures(const struct crawl_flags *flags)
{
    struct cdx_set set;
    struct buf text = {0};
    TRY(cdx_set_open(&set));
    int rc = cdx_look(&set, &flags->crawl, &flags->index);
    for (size_t i = 0; rc == 0 && i < set.count; i++)
        cdx_put_line(&text, &set.row[i]);
    if (rc == 0 && text.failed)
        rc = err_set(ERR_LIMIT, "crawl: no memory for %zu lines", set.count);
    if (rc == 0 && text.len)
        fwrite(text.ptr, 1, text.len, stdout);
    buf_free(&text);
    cdx_set_close(&set);
    return rc;
}

static int crawl_index_main(const struct crawl_flags *flags)
{
    struct cdx_done done;
    if (flags->dry_run)
        return print_captures(flags);
    TRY(cdx_crawl(&flags->crawl, &flags->index, &done));
    if (flags->json)
        printf("{\"captures\":%llu,\"written\":%llu,\"refused\":%llu,\"bytes\":%llu,"
               "\"requests\":%llu,\"more\":%s}\n",
               (unsigned long long)done.captures, (unsigned long long)done.written,
               (unsigned long long)done.refused, (unsigned long long)done.bytes,
               (unsigned long long)done.requests, done.full ? "true" : "false");
    else if (done.path[0])
        printf("%s\n", done.path);
    log_info("%llu captures, %llu of them are here (%llu bytes, %llu requests)",
             (unsigned long long)done.captures, (unsigned long long)done.written,
             (unsigned long long)done.bytes, (unsigned long long)done.requests);
    return 0;
}

/* ---- flags that would change nothing ---- */
static bool row_differs(const struct opt *row, const struct crawl_flags *a,
                        const struct crawl_flags *b)
{
    const struct opt one[] = {*row, OPT_LAST};
    struct buf left = {0}, right = {0};
    opt_write(one, a, &left);
    opt_write(one, b, &right);
    bool differs = !str_eq(buf_view(&left), buf_view(&right));
    buf_free(&left);
    buf_free(&right);
    return differs;
}

/* A bound or a folder that is not looked at would be found out when the disk is full. but: names
 * that are looked at all the same; NULL-ended. */
static int refuse_unused(const struct opt *rows, const char *const *but,
                         const struct crawl_flags *flags, const char *why, struct arena *a)
{
    struct crawl_flags *preset = arena_push_zero(a, sizeof *preset, 16);
    if (!preset)
        return ERR_LIMIT;
    TRY(opt_defaults(rows, preset, a));
    for (const struct opt *row = rows; row->type != OPT_END; row++) {
        char name[64];
        bool used = false;
        for (size_t i = 0; but[i]; i++)
            used |= strcmp(but[i], row->name) == 0;
        if (used || !row_differs(row, flags, preset))
            continue;
        snprintf(name, sizeof name, "%s", row->name);
        for (char *at = name; *at; at++)
            *at = *at == '_' ? '-' : *at;
        return err_set(ERR_USAGE, "crawl: --%s %s", name, why);
    }
    return 0;
}

static int check_flags(const struct crawl_flags *flags, bool seeds, bool index, bool urls,
                       struct arena *a)
{
    static const char *const none[] = {NULL};
    static const char *const looked_up[] = {"base", "crawl", "paths", NULL};
    static const char *const named[] = {"crawl", "paths", NULL}; /* refused for themselves */
    static const char *const visiting[] = {"user_agent", "connections", "requests_per_s",
                                           "bytes_per_s", "connect_ms", "stall_ms", "backoff_ms",
                                           "ca_file", NULL};
    if (!seeds)
        TRY(refuse_unused(of_seeds, none, flags,
                          "is for --seeds only: fetched files land in --cache, and --files=N says "
                          "how many of a crawl's are taken",
                          a));
    if (!index)
        TRY(refuse_unused(of_index, none, flags, "goes with --index=URL-PATTERN only", a));
    if (seeds)
        TRY(refuse_unused(of_fetch, visiting, flags,
                          "is not looked at with --seeds: see --out, --page-retries, --page-max",
                          a));
    if (seeds)
        return refuse_unused(of_lists, named, flags, "is for a crawl's files, not for --seeds", a);
    if (index)
        return refuse_unused(of_lists, looked_up, flags,
                             "is for whole files, not for --index (--index-max bounds it)", a);
    if (urls)
        return refuse_unused(of_lists, named, flags,
                             "goes with --crawl or --paths, not with URLs: those named are all "
                             "taken",
                             a);
    return 0;
}

static int command_crawl_main(void *conf, int argc, char **argv, struct arena *a)
{
    const struct crawl_flags *flags = conf;
    const struct crawl_conf *crawl = &flags->crawl;
    bool named = (crawl->crawl && crawl->crawl[0]) || (crawl->paths && crawl->paths[0]);
    bool index = flags->index.index && flags->index.index[0];
    bool seeds = flags->seeds.seeds && flags->seeds.seeds[0];
    if (argc && (seeds || index || named))
        return err_set(ERR_USAGE, "crawl: \"%s\" is no flag, and URLs go with none of --crawl, "
                                  "--paths, --seeds and --index", argv[0]);
    if (seeds && (named || flags->to_stdout || flags->dry_run))
        return err_set(ERR_USAGE, "crawl: --seeds crawls sites itself: it goes with none of "
                                  "--crawl, --paths, --stdout and --dry-run");
    if (seeds && index)
        return err_set(ERR_USAGE, "crawl: --seeds crawls sites itself, --index fetches what a "
                                  "crawl holds of them: give one");
    TRY(check_flags(flags, seeds, index, argc > 0, a));
    if (seeds)
        return crawl_seeds_main(flags);
    if (index && (flags->to_stdout || (crawl->paths && crawl->paths[0])))
        return err_set(ERR_USAGE, "crawl: --index fetches single captures: it goes with neither "
                                  "--paths nor --stdout");
    if (index)
        return crawl_index_main(flags);
    struct crawl_flags urls = *flags;
    urls.crawl.base = argc == 1 ? argv[0] : "the URLs given"; /* what is said of where from */
    if (argc)
        return crawl_files_main(&urls, argc, argv);
    if (!named)
        return err_set(ERR_USAGE, "crawl: name a crawl: sluice crawl --crawl=CC-MAIN-2024-22 "
                                  "--files=1 --user-agent='me/1.0 (+me@example.org)'");
    return crawl_files_main(flags, argc, argv);
}

const struct command command_crawl = {
    .name = "crawl",
    .group = "files",
    .usage =
        "crawl --crawl=CC-MAIN-YYYY-WW [--kind=warc|wet|wat] [--files=N --seed=S | "
        "--paths=FILE] [--base=URL] [--cache=DIR] [--stdout] [--dry-run] [--json]\n"
        "       sluice crawl URL|s3://BUCKET/PREFIX/ ... [--cache=DIR] [--stdout] [--dry-run]\n"
        "       sluice crawl --seeds=FILE --out=DIR [--scope=host|domain|prefix|any] [--depth=N] "
        "[--max-pages=N] [--delay=S] [--json]\n"
        "       sluice crawl --index=URL-PATTERN --crawl=CC-MAIN-YYYY-WW "
        "[--index-max=N] [--index-filter=...] [--dry-run] [--json]",
    .help = "fetch a crawl's archives, or crawl sites into WARC files; resumable; prints their "
            "paths",
    .text =
        "What is in the cache is not fetched again; a download that broke goes on where it "
        "stopped. Every file's size and\n"
        "gzip checksums are checked before it appears; CACHE/manifest.jsonl says what each "
        "was. With --stdout nothing lands:\n"
        "  sluice crawl --crawl=CC-MAIN-2024-22 --files=2 --user-agent='me (+me@example.org)' "
        "--stdout | sluice extract -\n\n"
        "With --seeds it is a crawler of its own: robots.txt and the wishes of pages are obeyed, "
        "one request at a time goes\n"
        "to a host, two to an address; answers are archived as WARC/1.1 (request, response or "
        "revisit, "
        "metadata). The same command goes on\n"
        "where a stop or a kill left it; DIR/crawl.json sums up:\n"
        "  echo https://docs.example.org/guide/ | sluice crawl --seeds=- --out=guide "
        "--scope=prefix --max-pages=2000 \\\n"
        "    --user-agent='mybot/1.0 (you@example.org)'\n\n"
        "With --index single captures are looked up by URL and fetched by range into one archive "
        "with a CDXJ index beside it;\n"
        "each is compared with what the index says of it. For more than a few thousand take whole "
        "files. --dry-run lists them:\n"
        "  sluice crawl --crawl=CC-MAIN-2024-22 --index='*.example.org' --index-max=200 "
        "--user-agent='me (+me@example.org)'\n"
        "A list found by other means, as by SQL over the columnar table (JSON lines with url, "
        "warc_filename, warc_record_offset,\nwarc_record_length), is taken whole:\n"
        "  sluice crawl --index='*' --index-file=list.jsonl --user-agent='me (+me@example.org)'",
    .opts = crawl_flag_opts,
    .conf_size = sizeof(struct crawl_flags),
    .run = command_crawl_main,
};

/* seeds - sets a focused crawl up, goes on with an old one, and sums it up. */
#include "crawl/seeds.h"
#include "crawl/crawler.h"

#include "core/err.h"
#include "core/hash.h"
#include "core/json.h"
#include "core/log.h"
#include "core/pipe.h"
#include "crawl/robots.h"

#include <stdlib.h>

/* Lines of crawl.journal besides the frontier's:
 *   h HASH           what defines the crawl
 *   r ORIGIN         its robots.txt is in a WARC
 *   f BYTES NAME     that file is complete
 *   ! BYTES NAME ID  checkpoint: so long is the current file (- for none), ID is its warcinfo's */
enum { SEED_LINES_SHOWN = 10, SCRATCH_BYTES = 1 << 28 };

/* ---- what is meant ---- */
static int flags_of(const struct opt_list *list, const char *what, const char *const *name,
                    size_t count, unsigned *out)
{
    *out = 0;
    for (size_t i = 0; i < list->count; i++) {
        size_t at = 0;
        while (at < count && strcmp(list->item[i], name[at]) != 0)
            at++;
        if (at < count)
            *out |= 1u << at;
        else if (list->item[i][0])
            return err_set(ERR_USAGE, "crawl: --%s has no \"%s\": see sluice crawl --help", what,
                           list->item[i]);
    }
    return 0;
}

static int conf_check(struct crawler *c)
{
    static const char *const wishes[] = {"robots", "noindex", "nofollow", "noarchive", "noai"};
    static const char *const strips[] = {"session", "tracking"};
    const struct seeds_conf *conf = c->conf;
    const char *agent = c->fetch->user_agent ? c->fetch->user_agent : "";
    TRY(flags_of(&conf->respect, "respect", wishes, COUNT_OF(wishes), &c->respect));
    TRY(flags_of(&conf->strip, "strip", strips, COUNT_OF(strips), &c->strip));
    if (!agent[0] && conf->allow_private)
        agent = "sluice/" SLUICE_VERSION;
    if (!conf->allow_private && !strchr(agent, '@') && !strstr(agent, "+http"))
        return err_set(ERR_USAGE, "crawl: sites want to know who asks: put a contact into "
                                  "--user-agent, as in \"mybot/1.0 (+https://example.org/bot)\" or "
                                  "\"mybot/1.0 (you@example.org)\"");
    robots_token(agent, c->agent, sizeof c->agent);
    if (!c->agent[0])
        return err_set(ERR_USAGE,
                       "crawl: --user-agent must begin with a name for robots.txt files "
                       "to speak of: \"mybot/1.0 (you@example.org)\", not \"%s\"",
                       agent);
    if (!conf->out || !conf->out[0])
        return err_set(ERR_USAGE, "crawl: --out is empty: name the folder for WARC files");
    if (conf->prefix && strchr(conf->prefix, '/'))
        return err_set(ERR_USAGE, "crawl: --prefix %s: it begins file names and has no /",
                       conf->prefix);
    for (size_t i = 0; i < conf->connect_to.count; i++)
        if (str_count(str_of(conf->connect_to.item[i]), STR(":")) < 3)
            return err_set(ERR_USAGE,
                           "crawl: --connect-to %s: write HOST:PORT:ADDRESS:PORT, as in "
                           "::127.0.0.1:8080",
                           conf->connect_to.item[i]);
    c->visit_conf.user_agent = agent;
    return 0;
}

static enum scope_kind scope_of(const char *name)
{
    return strcmp(name, "any") == 0      ? SCOPE_ANY
           : strcmp(name, "domain") == 0 ? SCOPE_DOMAIN
           : strcmp(name, "prefix") == 0 ? SCOPE_PREFIX
                                         : SCOPE_HOST;
}

static void conf_spread(struct crawler *c)
{
    const struct seeds_conf *conf = c->conf;
    c->frontier_conf = (struct frontier_conf){
        .scope = {scope_of(conf->scope), conf->include, conf->exclude, conf->skip_types,
                  conf->pattern_max},
        .depth = conf->depth,
        .urls_max = conf->urls_max,
    };
    c->visit_conf.connections = c->fetch->connections > 0 ? c->fetch->connections : 4;
    c->visit_conf.address_connections = conf->address_connections;
    c->visit_conf.connect_ms = c->fetch->connect_ms > 0 ? c->fetch->connect_ms : 10000;
    c->visit_conf.stall_ms = c->fetch->stall_ms > 0 ? c->fetch->stall_ms : 30000;
    c->visit_conf.page_ms = (int64_t)(conf->page_s * 1000);
    c->visit_conf.page_max = conf->page_max;
    c->visit_conf.compressed = conf->compressed;
    c->visit_conf.allow_private = conf->allow_private;
    c->visit_conf.types = conf->types;
    c->visit_conf.connect_to = conf->connect_to;
    c->visit_conf.ca_file = c->fetch->ca_file;
    struct buf *info = &c->info;
    buf_printf(info, "software: sluice/%s\r\nformat: WARC File Format 1.1\r\n", SLUICE_VERSION);
    buf_text(info, "conformsTo: https://iipc.github.io/warc-specifications/specifications/"
                   "warc-format/warc-1.1/\r\n");
    buf_printf(info, "robots: %s\r\n", c->respect & RESPECT_ROBOTS ? "obey (RFC 9309)" : "ignore");
    if (conf->operator_ && conf->operator_[0])
        buf_printf(info, "operator: %s\r\n", conf->operator_);
    buf_printf(info, "http-header-user-agent: %s\r\n", c->visit_conf.user_agent);
    buf_printf(info, "scope: %s, %lld links deep\r\n", conf->scope, (long long)conf->depth);
    c->capture_conf = (struct capture_conf){conf->out, conf->prefix, conf->warc_size,
                                            buf_view(info), conf->revisits};
}

/* ---- seeds ---- */
/* One line: its URL into c->url; false: none is there. */
static bool seed_read(struct crawler *c, struct str line, uint64_t number)
{
    line = str_trim(line);
    if (line.len == 0 || line.ptr[0] == '#')
        return false;
    buf_clear(&c->base);
    bool bare = str_find(line, STR("://")) == SIZE_MAX; /* "example.org/a", but not "mailto:a@b" */
    if (bare)
        buf_text(&c->base, "http://");
    buf_str(&c->base, line);
    if (!(bare && str_find_char(line, '@') != SIZE_MAX) &&
        url_normalise(buf_view(&c->base), c->strip, &c->url))
        return true;
    if (c->seeds_bad++ < SEED_LINES_SHOWN)
        log_warn("crawl: %s:%llu: \"%.*s\" is no http or https URL", c->conf->seeds,
                 (unsigned long long)number, (int)(line.len < 120 ? line.len : 120), line.ptr);
    return false;
}

/* All seeds' normal forms, a line each. */
static int seeds_read(struct crawler *c, struct buf *out)
{
    struct io_reader *r;
    struct str line;
    uint64_t number = 0;
    int rc;
    TRY(io_open(&r, c->conf->seeds));
    while ((rc = io_read_line(r, &line)) > 0)
        if (seed_read(c, line, ++number)) {
            buf_str(out, buf_view(&c->url));
            buf_char(out, '\n');
            c->seeds_good++;
        }
    io_close(r);
    TRY(rc);
    if (out->failed)
        return err_set(ERR_LIMIT, "crawl: no memory for the seeds of %s", c->conf->seeds);
    if (c->seeds_good == 0)
        return err_set(ERR_USAGE,
                       "crawl: %s holds no URL: write one a line, as in "
                       "https://example.org/",
                       c->conf->seeds);
    return 0;
}

static int seeds_add(struct crawler *c, struct str list)
{
    while (list.len) {
        struct str rest, url = str_cut(list, '\n', &rest);
        TRY(frontier_add(c->frontier, url, FRONTIER_NONE, HOP_SEED));
        list = rest;
    }
    return 0;
}

static void hash_list(struct buf *to, const struct opt_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        buf_printf(to, "%s\n", list->item[i]);
    buf_char(to, '\n');
}

/* Of everything that decides which URLs belong to the crawl and what is kept of them. */
static uint64_t definition_hash(const struct crawler *c, struct str seeds)
{
    const struct seeds_conf *conf = c->conf;
    struct buf text = {0};
    buf_printf(&text, "%s %lld %u %u %d %lld\n", conf->scope, (long long)conf->depth, c->respect,
               c->strip, conf->sitemaps, (long long)conf->pattern_max);
    hash_list(&text, &conf->include);
    hash_list(&text, &conf->exclude);
    hash_list(&text, &conf->skip_types);
    hash_list(&text, &conf->types);
    buf_str(&text, seeds);
    uint64_t hash = hash_str(buf_view(&text), 1);
    buf_free(&text);
    return hash;
}

/* ---- going on ---- */
struct replay {
    struct crawler *c;
    uint64_t hash, bytes, lines;
};

static int replay_checkpoint(struct replay *r, struct str text)
{
    struct str rest, number = str_cut(text, ' ', &rest), name = str_cut(rest, ' ', &rest);
    if (!str_u64(number, &r->bytes))
        return ERR_FORMAT;
    return str_is(name, "-") ? 0 : capture_replay_file(r->c->capture, name, rest);
}

static int replay_line(struct replay *r, struct str line)
{
    uint64_t bytes;
    struct str rest = str_slice(line, 2, line.len);
    struct crawler *c = r->c;
    char hash[24];
    if (str_starts(line, "h ")) {
        snprintf(hash, sizeof hash, "%016llx", (unsigned long long)r->hash);
        if (!str_is(rest, hash))
            return err_set(ERR_USAGE,
                           "crawl: %s holds another crawl: the seeds, scope, depth, "
                           "patterns, types or what is respected were others; give them "
                           "again, or another --out",
                           c->conf->out);
        return 0;
    }
    if (str_starts(line, "r ")) {
        uint32_t host = frontier_host_find(c->frontier, rest);
        if (host == FRONTIER_NONE)
            return ERR_LIMIT;
        frontier_host(c->frontier, host)->robots_kept = true;
        return 0;
    }
    if (str_starts(line, "f ")) {
        struct str name, number = str_cut(rest, ' ', &name);
        return str_u64(number, &bytes) ? capture_replay_complete(c->capture, name, bytes)
                                       : ERR_FORMAT;
    }
    if (!frontier_replay(c->frontier, line))
        return ERR_FORMAT;
    size_t digest = str_find(line, STR(" sha1:"));
    return str_starts(line, "d ") && digest != SIZE_MAX
               ? capture_replay_digest(c->capture, str_slice(line, digest + 1, line.len))
               : 0;
}

static int on_replay(void *self, struct str line, bool is_checkpoint)
{
    struct replay *r = self;
    r->lines++;
    int rc = is_checkpoint ? replay_checkpoint(r, line) : replay_line(r, line);
    if (rc == ERR_FORMAT)
        return err_set(ERR_FORMAT,
                       "crawl: %s/crawl.journal: line %llu is not understood: was it "
                       "written by another version? give another --out",
                       r->c->conf->out, (unsigned long long)r->lines);
    return rc;
}

static int resume(struct crawler *c, struct str seeds)
{
    char path[IO_PATH_MAX];
    struct replay r = {.c = c, .hash = definition_hash(c, seeds)};
    struct journal_reader reader = {on_replay, &r};
    TRY(io_path(path, "%s/crawl.journal", c->conf->out));
    TRY(journal_open(&c->journal, path, &reader));
    TRY(capture_ready(c->capture, r.bytes));
    TRY(frontier_ready(c->frontier));
    frontier_journal(c->frontier, c->journal);
    const struct frontier_counts *n = frontier_counts(c->frontier);
    if (r.lines == 0)
        journal_line(c->journal, "h %016llx", (unsigned long long)r.hash);
    else
        log_info("crawl: %s is gone on with: %llu pages are there, %llu URLs wait", c->conf->out,
                 (unsigned long long)(n->end[PAGE_WRITTEN] + n->end[PAGE_REVISIT]),
                 (unsigned long long)n->waiting);
    return seeds_add(c, seeds);
}

/* ---- the sum ---- */
static void put_counts(struct json_writer *w, const struct crawler *c)
{
    static const char *const refused[FRONTIER_VERDICTS] = {
        [SCOPE_OUT] = "out_of_scope", [SCOPE_EXCLUDED] = "pattern", [SCOPE_TYPE] = "ending",
        [SCOPE_TRAP] = "trap",        [FRONTIER_KNOWN] = "known",   [FRONTIER_DEEP] = "too_deep",
        [FRONTIER_FULL] = "urls_max",
    };
    static const char *const classes[STATUS_CLASSES] = {"other", "1xx", "2xx", "3xx", "4xx", "5xx"};
    const struct frontier_counts *n = frontier_counts(c->frontier);
    json_field_open(w, "ends", '{');
    for (int i = 0; i < PAGE_ENDS; i++)
        json_field_u64(w, page_end_name[i], n->end[i]);
    json_close(w, '}');
    json_field_open(w, "this_run", '{');
    json_field_num(w, "seconds", (double)((clock_ns() - c->started_ns) / 1000000) / 1000);
    json_field_u64(w, "body_bytes", c->bytes);
    json_field_u64(w, "warc_bytes", capture_bytes(c->capture));
    json_field_u64(w, "robots_txt", c->robots_read);
    json_field_u64(w, "truncated", c->truncated);
    json_field_u64(w, "tried_again", c->retried);
    json_field_u64(w, "links", c->links);
    json_field_open(w, "status", '{');
    for (int i = 0; i < STATUS_CLASSES; i++)
        json_field_u64(w, classes[i], c->status_count[i]);
    json_close(w, '}');
    json_field_open(w, "links_not_taken", '{');
    for (int i = 0; i < FRONTIER_VERDICTS; i++)
        if (refused[i])
            json_field_u64(w, refused[i], n->refused[i]);
    json_close(w, '}');
    json_close(w, '}');
}

static int summary(struct crawler *c, bool complete, struct seeds_result *out)
{
    const struct frontier_counts *n = frontier_counts(c->frontier);
    const char *const *path;
    char file[IO_PATH_MAX];
    size_t count = capture_files(c->capture, &path);
    struct json_writer w;
    json_begin(&w, &out->json);
    json_open(&w, '{');
    json_field_bool(&w, "complete", complete && n->waiting == 0);
    json_field_u64(&w, "pages", n->end[PAGE_WRITTEN] + n->end[PAGE_REVISIT]);
    json_field_u64(&w, "hosts", frontier_host_count(c->frontier));
    json_field_u64(&w, "waiting", n->waiting);
    put_counts(&w, c);
    json_field_open(&w, "files", '[');
    for (size_t i = 0; i < count; i++)
        json_put_str(&w, str_of(path[i]));
    json_close(&w, ']');
    json_close(&w, '}');
    buf_char(&out->json, '\n');
    out->path = calloc(count + 1, sizeof *out->path);
    for (size_t i = 0; i < count && out->path; i++) {
        out->path[i] = strdup(path[i]);
        out->path_count += out->path[i] != NULL;
    }
    if (out->json.failed || !out->path || out->path_count != count)
        return err_set(ERR_LIMIT, "crawl: no memory for the summary");
    TRY(io_path(file, "%s/crawl.json", c->conf->out));
    return io_write_file(file, buf_view(&out->json));
}

static void tell(const struct crawler *c)
{
    const struct frontier_counts *n = frontier_counts(c->frontier);
    struct buf text = {0};
    buf_printf(&text, "crawl: %llu pages of %u hosts",
               (unsigned long long)(n->end[PAGE_WRITTEN] + n->end[PAGE_REVISIT]),
               frontier_host_count(c->frontier));
    for (int i = PAGE_REVISIT; i < PAGE_ENDS; i++)
        if (n->end[i])
            buf_printf(&text, ", %llu %s", (unsigned long long)n->end[i], page_end_name[i]);
    if (n->waiting)
        buf_printf(&text, ", %llu not asked for", (unsigned long long)n->waiting);
    log_info("%s", buf_cstr(&text));
    buf_free(&text);
}

/* ---- all of it ---- */
static int crawl(struct crawler *c, struct seeds_result *out)
{
    struct buf seeds = {0};
    struct progress progress;
    bool shown = false;
    int rc;
    TRY_OUT(seeds_read(c, &seeds));
    TRY_OUT(capture_open(&c->capture, &c->capture_conf));
    TRY_OUT(frontier_open(&c->frontier, &c->frontier_conf));
    TRY_OUT(resume(c, buf_view(&seeds)));
    TRY_OUT(visits_open(&c->visits, &c->visit_conf));
    TRY_OUT(arena_open(&c->scratch, (size_t)c->conf->page_max * 16 + SCRATCH_BYTES));
    pace_init(&c->pace, c->fetch->requests_per_s, c->fetch->bytes_per_s, clock_ns());
    progress_begin(&progress, "crawl", "pages", (uint64_t)c->conf->max_pages);
    c->progress = &progress;
    c->started_ns = clock_ns();
    shown = true;
    rc = crawler_run(c);
    if (rc >= 0 || rc == ERR_STOP) {
        char text[512];
        err_copy_to(text, sizeof text);
        int told = summary(c, rc >= 0, out);
        rc = told < 0 ? told : rc < 0 ? err_set(rc, "%s", text) : rc;
        tell(c);
    }
out:
    if (shown)
        progress_end(&progress);
    buf_free(&seeds);
    return rc;
}

static void crawler_free(struct crawler *c)
{
    for (uint32_t i = 0; c->frontier && i < frontier_host_count(c->frontier); i++)
        robots_close(frontier_host(c->frontier, i)->robots);
    visits_close(c->visits);
    frontier_close(c->frontier);
    capture_close(c->capture);
    journal_close(c->journal);
    arena_close(&c->scratch);
    buf_free(&c->info);
    buf_free(&c->block);
    buf_free(&c->url);
    buf_free(&c->base);
}

int seeds_crawl(const struct seeds_conf *conf, const struct fetch_conf *fetch,
                struct seeds_result *out)
{
    memset(out, 0, sizeof *out);
    struct crawler c = {.conf = conf, .fetch = fetch};
    int rc = conf_check(&c);
    if (rc >= 0) {
        conf_spread(&c);
        rc = crawl(&c, out);
    }
    if (rc >= 0) {
        const struct frontier_counts *n = frontier_counts(c.frontier);
        if (n->end[PAGE_WRITTEN] + n->end[PAGE_REVISIT] == 0)
            rc = err_set(ERR_IO,
                         "crawl: not one page was written, of %llu seeds: %s; see %s/"
                         "crawl.json",
                         (unsigned long long)c.seeds_good,
                         c.first_failure[0] ? c.first_failure
                                            : "robots.txt or the sites' wishes forbid them all",
                         conf->out);
    }
    crawler_free(&c);
    buf_cstr(&out->json); /* "" where there is no summary */
    return rc;
}

void seeds_result_free(struct seeds_result *r)
{
    for (size_t i = 0; i < r->path_count; i++)
        free(r->path[i]);
    free(r->path);
    buf_free(&r->json);
    memset(r, 0, sizeof *r);
}

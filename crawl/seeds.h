/* seeds - a focused crawler: from a list of URLs, politely, to WARC files that survive a kill. */
#ifndef SLUICE_CRAWL_SEEDS_H
#define SLUICE_CRAWL_SEEDS_H
#include "crawl/fetch.h"

/* What it does. Pages are asked for breadth first, one at a time per host (scheme, name and port),
 * several hosts at once. Between the end of an answer and the next request to its host it waits for
 * the longest of delay, the host's crawl-delay (at most 60 s) and delay_factor times what the
 * answer took (at most delay_max). To one IP address, whatever the hosts there are called, at most
 * address_connections requests are out at a time (not behind a proxy, which hides addresses). 429
 * and 503 quiet the host for as long as Retry-After says, or twice as long each time. robots.txt
 * (RFC 9309, crawl/robots.h) is asked for first, and again after 24 hours: 4xx allows all, 429, 5xx
 * and no answer are tried again, then the host is left alone. A host that fails HOST_FAILURES_MAX
 * times in a row is given up. Redirects are pages of their own, in scope like any link; where a
 * seed redirects to widens the scope. No cookies, no scripts, no forms.
 *
 * What it writes. out/PREFIX-00000.warc.gz and so on (crawl/capture.h), WARC/1.1: warcinfo; for
 * each answer, whatever its status, response (or revisit, for a payload that is there already),
 * request and metadata; robots.txt and sitemaps as well. out/crawl.journal is the crawl's memory:
 * the same command goes on where a kill stopped it, with no page twice and no half record, and asks
 * again for what had no answer.
 * out/crawl.json is the summary. What defines the crawl (seeds, scope, depth, patterns, what is
 * respected) may not change between runs; limits, delays and sizes may.
 *
 * Not followed: /ai.txt (no agreed syntax), /.well-known/tdmrep.json, pay-per-crawl. One host alone
 * with one connection gives the same pages in the same order each time; with several hosts the
 * order depends on how fast they answer. */
struct seeds_conf {
    const char *seeds; /* file of URLs, one a line, # comments; "-": standard input */
    const char *out;   /* folder */
    const char *scope; /* host | domain | prefix | any */
    int64_t depth;
    int64_t max_pages, host_pages; /* written; 0: any number */
    uint64_t max_bytes;            /* of WARC written by this run; 0: any number */
    struct opt_list include, exclude, skip_types, types;
    double delay, delay_max, delay_factor; /* seconds; factor: times the answer's own */
    int64_t address_connections; /* 0: no bound */
    int64_t page_retries;
    double page_s; /* for one page, at most */
    uint64_t page_max, warc_size;
    struct opt_list respect; /* robots noindex nofollow noarchive noai */
    struct opt_list strip;   /* session tracking */
    bool sitemaps, allow_private, compressed, revisits;
    const char *prefix, *operator_;
    struct opt_list connect_to;
    int64_t urls_max, pattern_max;
    double sync_s; /* at most so much is lost by a kill */
};
enum { HOST_FAILURES_MAX = 5 };

#define SEEDS_ROW(conf, at, kind, name, field, preset, min, max, unit, help)                       \
    {                                                                                              \
        kind, name, offsetof(conf, at field), preset, min, max, unit, help, NULL                   \
    }
/* Rows for a conf struct; `at` is the way to its struct seeds_conf, as in `seeds.` */
#define SEEDS_ROWS(conf, at)                                                                       \
    SEEDS_ROW(conf, at, OPT_STR, "seeds", seeds, NULL, 0, 0, NULL,                                 \
              "file of URLs to crawl from, one a line; - for standard input"),                     \
        SEEDS_ROW(conf, at, OPT_STR, "out", out, "crawl", 0, 0, NULL,                              \
                  "folder for WARC files and the crawl's state"),                                  \
        SEEDS_ROW(conf, at, OPT_ENUM, "scope", scope, "host", 0, 0, "host|domain|prefix|any",      \
                  "where links may lead: the seeds' hosts, domains, folders, or anywhere"),        \
        SEEDS_ROW(conf, at, OPT_INT, "depth", depth, "5", 0, 200, "links",                         \
                  "away from a seed; 0: the seeds only"),                                          \
        SEEDS_ROW(conf, at, OPT_INT, "max_pages", max_pages, "0", 0, 1e12, "pages",                \
                  "written in all; 0: any number"),                                                \
        SEEDS_ROW(conf, at, OPT_INT, "host_pages", host_pages, "0", 0, 1e12, "pages",              \
                  "written of one host; 0: any number"),                                           \
        SEEDS_ROW(conf, at, OPT_SIZE, "max_bytes", max_bytes, "0", 0, 1e18, "bytes",               \
                  "of WARC written by this run; 0: any number"),                                   \
        SEEDS_ROW(conf, at, OPT_LIST, "include", include, NULL, 0, 0, NULL,                        \
                  "only URLs that match one of these globs (* and ?); seeds always"),              \
        SEEDS_ROW(conf, at, OPT_LIST, "exclude", exclude, NULL, 0, 0, NULL,                        \
                  "no URLs that match one of these globs"),                                        \
        SEEDS_ROW(conf, at, OPT_LIST, "skip_types", skip_types, SEEDS_SKIPPED, 0, 0, NULL,         \
                  "endings of URLs not asked for"),                                                \
        SEEDS_ROW(conf, at, OPT_LIST, "types", types,                                              \
                  "text/html,application/xhtml+xml,text/plain,application/xml,text/xml", 0, 0,     \
                  NULL, "media types kept, by how they begin; empty: all"),                        \
        SEEDS_ROW(conf, at, OPT_FLOAT, "delay", delay, "1", 0, 3600, "s",                          \
                  "between an answer and the next request to its host, at least"),                 \
        SEEDS_ROW(conf, at, OPT_FLOAT, "delay_factor", delay_factor, "2", 0, 1000, "times",        \
                  "the last answer's time is waited as well"),                                     \
        SEEDS_ROW(conf, at, OPT_FLOAT, "delay_max", delay_max, "30", 0, 3600, "s",                 \
                  "the most that delay_factor may make of it"),                                    \
        SEEDS_ROW(conf, at, OPT_INT, "address_connections", address_connections, "2", 0, 256,      \
                  "requests", "at a time to hosts that share an IP address; 0: no bound"),         \
        SEEDS_ROW(conf, at, OPT_INT, "page_retries", page_retries, "2", 0, 100, "tries",           \
                  "of a page after the first"),                                                    \
        SEEDS_ROW(conf, at, OPT_FLOAT, "page_s", page_s, "120", 0.1, 86400, "s",                   \
                  "for one page; what came by then is kept"),                                      \
        SEEDS_ROW(conf, at, OPT_SIZE, "page_max", page_max, "5M", 1, 1073741824, "bytes",          \
                  "of a page kept; the rest is cut off"),                                          \
        SEEDS_ROW(conf, at, OPT_SIZE, "warc_size", warc_size, "1G", 1, 1e15, "bytes",              \
                  "a WARC file of this size is complete"),                                         \
        SEEDS_ROW(conf, at, OPT_LIST, "respect", respect, "robots,noindex,nofollow,noai", 0, 0,    \
                  "robots|noindex|nofollow|noarchive|noai",                                        \
                  "wishes of sites that are followed (noai: also tdm-reservation, "                \
                  "Content-Signal, Content-Usage)"),                                               \
        SEEDS_ROW(conf, at, OPT_LIST, "strip", strip, "session,tracking", 0, 0,                    \
                  "session|tracking", "kinds of URL arguments taken out"),                         \
        SEEDS_ROW(conf, at, OPT_BOOL, "sitemaps", sitemaps, "true", 0, 0, NULL,                    \
                  "follow Sitemap lines of robots.txt"),                                           \
        SEEDS_ROW(conf, at, OPT_BOOL, "compressed", compressed, "true", 0, 0, NULL,                \
                  "ask for gzip; archived as sent"),                                               \
        SEEDS_ROW(conf, at, OPT_BOOL, "revisits", revisits, "true", 0, 0, NULL,                    \
                  "a payload seen before is a revisit record, not a second copy"),                 \
        SEEDS_ROW(conf, at, OPT_BOOL, "allow_private", allow_private, "false", 0, 0, NULL,         \
                  "ask private and loopback addresses too"),                                       \
        SEEDS_ROW(conf, at, OPT_STR, "prefix", prefix, NULL, 0, 0, NULL,                           \
                  "of WARC names; empty: sluice-YYYYMMDDhhmmss"),                                  \
        SEEDS_ROW(conf, at, OPT_STR, "operator", operator_, NULL, 0, 0, NULL,                      \
                  "who crawls, for the warcinfo record"),                                          \
        SEEDS_ROW(conf, at, OPT_LIST, "connect_to", connect_to, NULL, 0, 0, NULL,                  \
                  "HOST:PORT:ADDRESS:PORT to connect to instead; empty parts match all"),          \
        SEEDS_ROW(conf, at, OPT_INT, "urls_max", urls_max, "1000000", 1, 1e8, "URLs",              \
                  "ever seen; about 150 bytes of memory each"),                                    \
        SEEDS_ROW(conf, at, OPT_INT, "pattern_max", pattern_max, "5000", 0, 1e9, "URLs",           \
                  "of a host that differ in digits and values only; 0: any number"),               \
        SEEDS_ROW(conf, at, OPT_FLOAT, "sync_s", sync_s, "5", 0, 3600, "s",                        \
                  "of work a kill may cost: as often all is synced to disk")
#define SEEDS_SKIPPED                                                                              \
    "jpg,jpeg,png,gif,webp,avif,svg,ico,bmp,tif,tiff,css,js,mjs,json,woff,woff2,ttf,otf,eot,mp3,"  \
    "mp4,m4a,m4v,ogg,ogv,wav,flac,avi,mov,mkv,webm,zip,gz,tgz,bz2,xz,zst,7z,rar,tar,iso,dmg,exe,"  \
    "msi,deb,rpm,apk,jar,bin,pdf,doc,docx,xls,xlsx,ppt,pptx,odt,ods,odp,epub"

/* Crawls. user_agent, connections, requests_per_s, bytes_per_s, connect_ms, stall_ms, backoff_ms
 * and ca_file are fetch's; the other fields of fetch are not looked at. ERR_USAGE for what cannot
 * be meant, ERR_IO when not one page was written, ERR_STOP after a signal with all saved. *summary:
 * the text of crawl.json; paths: see seeds_result. */
struct seeds_result {
    struct buf json; /* the summary; seeds_result_free */
    char **path;     /* complete WARC files, those of earlier runs included */
    size_t path_count;
};
int seeds_crawl(const struct seeds_conf *conf, const struct fetch_conf *fetch,
                struct seeds_result *out);
void seeds_result_free(struct seeds_result *r);
#endif

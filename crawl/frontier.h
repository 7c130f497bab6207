/* frontier - the URLs of a focused crawl: each once, in a queue by host, shallow ones first. */
#ifndef SLUICE_CRAWL_FRONTIER_H
#define SLUICE_CRAWL_FRONTIER_H
#include "core/arena.h"
#include "crawl/journal.h"
#include "crawl/scope.h"

/* Inside crawl/ only; one thread. A host here is a scheme, host and port ("https://a.example"):
 * what one robots.txt is for. At most one page of a host is out at a time; its next one comes up no
 * earlier than the caller says. Within a host pages come by depth, then in the order they were
 * found; hosts come by the time they are due, then in the order they were found. Every URL added
 * and every page finished is a line of the journal, and the same lines played back make the same
 * frontier. Memory: about 60 bytes and the text for each URL ever seen, 300 for each host. */
enum {
    FRONTIER_DEPTH_MAX = 200,
    FRONTIER_REDIRECTS_MAX = 10, /* in a row */
    FRONTIER_PATH_MAX = 64,      /* letters of a hop path shown; longer ones lose their front */
};
enum { FRONTIER_NONE = UINT32_MAX };

/* How a URL was come by: the letters of Heritrix. */
enum hop { HOP_SEED = '-', HOP_LINK = 'L', HOP_REDIRECT = 'R', HOP_FRAME = 'E', HOP_SITEMAP = 'M' };

/* What became of a page. The letter stands in the journal. */
enum page_end {
    PAGE_WRITTEN,     /* response, request and metadata are in the WARC */
    PAGE_REVISIT,     /* written as a revisit: its payload is there already */
    PAGE_EXCLUDED,    /* robots.txt forbids it */
    PAGE_OPTED_OUT,   /* noindex, noarchive, noai and the like: not written */
    PAGE_WRONG_TYPE,  /* the server's media type is not wanted: not written */
    PAGE_FAILED,      /* no answer after all tries */
    PAGE_NO_HOST,     /* its name does not resolve */
    PAGE_UNREACHABLE, /* its host's robots.txt could not be had, or the host was given up */
    PAGE_PRIVATE,     /* it leads to a private address */
    PAGE_OVER_LIMIT,  /* its host had its share already */
    PAGE_ENDS,
};
extern const char *const page_end_name[PAGE_ENDS];

enum frontier_verdict {
    FRONTIER_ADDED = SCOPE_VERDICTS, /* else a scope_verdict says why not */
    FRONTIER_KNOWN,
    FRONTIER_DEEP, /* deeper than allowed, or one redirect too many */
    FRONTIER_FULL, /* urls_max */
    FRONTIER_VERDICTS,
};
struct frontier_conf {
    struct scope_conf scope;
    int64_t depth;    /* links away from a seed */
    int64_t urls_max; /* ever seen */
};
struct page {
    uint64_t text; /* where its URL lies */
    uint32_t via;  /* the page it was found on, FRONTIER_NONE for a seed */
    uint32_t host;
    uint16_t length;
    uint8_t depth, redirects, hop, tries, end /* enum page_end, PAGE_ENDS: still to do */;
};
struct host {
    const char *origin;
    uint32_t *queue; /* a heap of pages */
    uint32_t queued, room;
    uint64_t due_ns;
    bool out; /* one of its pages is with the caller */
    /* the caller's */
    struct robots *robots;
    uint64_t robots_ns; /* when it was read */
    bool robots_kept;   /* it is in a WARC already */
    uint8_t robots_tries;
    uint16_t sitemaps;      /* asked for */
    uint64_t address;       /* hash of its last answer's IP address; 0: not known */
    uint32_t failures;      /* in a row */
    uint64_t pages;         /* written */
    enum page_end given_up; /* how its pages end; PAGE_WRITTEN: it is not given up */
};
struct frontier_counts {
    uint64_t end[PAGE_ENDS];
    uint64_t refused[FRONTIER_VERDICTS]; /* links not added, by why */
    uint64_t waiting;
};
struct frontier;
/* journal may still be unset: lines go to it once it is (frontier_journal). */
int frontier_open(struct frontier **out, const struct frontier_conf *conf);
void frontier_journal(struct frontier *f, struct journal *j);
/* url is normalised. Negative: no memory; else a frontier_verdict (or scope_verdict). A redirect of
 * a seed widens the scope by where it leads. */
int frontier_add(struct frontier *f, struct str url, uint32_t via, enum hop hop);
/* The next page that is due, or FRONTIER_NONE. Its host is out until frontier_done or
 * frontier_later. */
uint32_t frontier_take(struct frontier *f, uint64_t now_ns);
/* ns until the next host is due; UINT64_MAX when all that have pages are out or there are none. */
uint64_t frontier_wait(const struct frontier *f, uint64_t now_ns);
/* The page is finished; status, bytes and digest ("" for none) are for the journal. Its host may be
 * asked again at due_ns. */
int frontier_done(struct frontier *f, uint32_t page, enum page_end end, int status, uint64_t bytes,
                  const char *digest, uint64_t due_ns);
/* The page goes back to its queue. */
int frontier_later(struct frontier *f, uint32_t page, uint64_t due_ns);
/* Plays back a line of the journal; false: not one of the frontier's. */
bool frontier_replay(struct frontier *f, struct str line);
/* Once all lines are played back: pages still to do are put into their queues, and those again that
 * got no answer, whose host was not there or had its share: the line may have been down, the bound
 * may be higher now. */
int frontier_ready(struct frontier *f);

const struct page *frontier_page(const struct frontier *f, uint32_t page);
struct page *frontier_page_of(struct frontier *f, uint32_t page);
struct str frontier_url(const struct frontier *f, uint32_t page); /* valid until frontier_close */
struct host *frontier_host(struct frontier *f, uint32_t host);    /* valid until the next add */
uint32_t frontier_host_count(const struct frontier *f);
/* The host of an origin, made when it is new. FRONTIER_NONE: no memory. */
uint32_t frontier_host_find(struct frontier *f, struct str origin);
/* "LLR": how the page was come by from its seed, "" for a seed; *seed (may be NULL) is that seed.
 */
void frontier_path(const struct frontier *f, uint32_t page, char out[FRONTIER_PATH_MAX + 1],
                   uint32_t *seed);
const struct frontier_counts *frontier_counts(const struct frontier *f);
void frontier_close(struct frontier *f); /* NULL is fine; hosts' robots are the caller's to close */
#endif

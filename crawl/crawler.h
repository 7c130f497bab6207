/* crawler - what the parts of the focused crawler share while it runs. */
#ifndef SLUICE_CRAWL_CRAWLER_H
#define SLUICE_CRAWL_CRAWLER_H
#include "crawl/capture.h"
#include "crawl/frontier.h"
#include "crawl/links.h"
#include "crawl/pace.h"
#include "crawl/seeds.h"

/* Inside crawl/ only: seeds.c sets up and ends, crawler.c runs, answers.c reads what came. */
enum respect {
    RESPECT_ROBOTS = 1,
    RESPECT_NOINDEX = 2,
    RESPECT_NOFOLLOW = 4,
    RESPECT_NOARCHIVE = 8,
    RESPECT_NOAI = 16,
};
enum { STATUS_CLASSES = 6 }; /* none, 1xx .. 5xx */
struct crawler {
    const struct seeds_conf *conf;
    const struct fetch_conf *fetch;
    char agent[64]; /* our product token */
    unsigned respect, strip;
    struct frontier_conf frontier_conf;
    struct visit_conf visit_conf;
    struct capture_conf capture_conf;
    struct buf info; /* of the warcinfo record */
    struct journal *journal;
    struct frontier *frontier;
    struct capture *capture;
    struct visits *visits;
    struct pace pace;
    struct progress *progress;
    struct arena scratch;        /* of one answer */
    struct buf block, url, base; /* of one answer */
    uint64_t checkpoint_ns, started_ns, changes;
    uint64_t robots_read, status_count[STATUS_CLASSES], bytes, truncated, retried, links;
    uint64_t seeds_bad, seeds_good;
    char first_failure[512];
};

/* ---- crawler.c ---- */
int crawler_run(struct crawler *c); /* until nothing is left, a limit, or pipe_stop */
/* ns from the end of an answer to the next request to its host, as politeness asks. */
uint64_t crawler_pause(const struct crawler *c, const struct visit *v);
/* The page of a visit is finished or goes back; its host waits as politeness asks. */
int crawler_end(struct crawler *c, const struct visit *v, enum page_end end, const char *digest);
int crawler_again(struct crawler *c, const struct visit *v);
/* Nothing more is asked of the host: its pages end so. */
void crawler_give_up(struct crawler *c, const struct visit *v, const char *why);

/* ---- answers.c ---- */
int answer_robots(struct crawler *c, struct visit *v); /* an answer to /robots.txt is in */
int answer_page(struct crawler *c, struct visit *v);   /* to a page */
#endif

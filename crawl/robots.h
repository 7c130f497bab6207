/* robots - what a robots.txt lets one crawler fetch, how fast, and what it says of AI training. */
#ifndef SLUICE_CRAWL_ROBOTS_H
#define SLUICE_CRAWL_ROBOTS_H
#include "core/str.h"

/* RFC 9309. What the RFC leaves open is read as google/robotstxt reads it: the colon may be
 * missing, the usual misspellings are known, lines that are neither allow nor disallow do not end a
 * group, groups of one agent are merged. Where the two differ the RFC wins: %62 in a rule is b.
 * Stricter than both: "Disallow: private" is read as "/private". Google's own "/index.html in an
 * allow rule means / too" is not followed. Matching is linear in the URL for each rule. */
enum {
    ROBOTS_MAX = 500 << 10,      /* bytes; the rest of a longer file is not looked at */
    ROBOTS_SITEMAPS_MAX = 64,    /* more Sitemap lines are ignored */
    ROBOTS_DELAY_MAX_MS = 60000, /* a longer crawl-delay counts as this much */
};
struct robots;
/* Reads text for the crawler whose product token is agent ("sluice": letters, - and _; case does
 * not matter). Any bytes are a robots.txt; HTML and other junk have no rules. Only ERR_LIMIT (no
 * memory) can happen. The text is not kept. */
int robots_parse(struct robots **out, struct str text, const char *agent);
/* May this be fetched? target: path and query as they stand in a URL ("/a?b"); /robots.txt always
 * may. */
bool robots_allows(const struct robots *r, struct str target);
/* Crawl-delay or Request-rate of the group that applies, the longer one; 0 when there is none. */
int64_t robots_delay_ms(const struct robots *r);
/* True when the site keeps this target from the training of models: Content-Signal: ai-train=no
 * (contentsignals.org) or Content-Usage: train-ai=n (draft-ietf-aipref-attach, with an optional
 * path) in the group that applies. */
bool robots_no_training(const struct robots *r, struct str target);
/* Sitemap lines, wherever they stood, as written; valid until robots_close. */
size_t robots_sitemaps(const struct robots *r, const char *const **url);
void robots_close(struct robots *r); /* NULL is fine */

/* The product token of a User-Agent: "my-bot" of "my-bot/1.0 (+http://a.example)". to holds room
 * bytes, at least 1; "" when there is none. */
void robots_token(const char *user_agent, char *to, size_t room);

/* What a page says of itself: values of X-Robots-Tag and meta robots. */
enum robots_page {
    ROBOTS_NOINDEX = 1,   /* noindex, none */
    ROBOTS_NOFOLLOW = 2,  /* nofollow, none */
    ROBOTS_NOARCHIVE = 4, /* noarchive, nocache */
    ROBOTS_NOAI = 8,      /* noai; tdm-reservation: 1 (W3C TDMRep), which the caller looks for */
};
/* Flags of a comma-separated value: "noindex, nofollow", "otherbot: noindex, nofollow"
 * (X-Robots-Tag may name an agent: then what follows is for it alone, up to the next name). */
unsigned robots_directives(struct str value, const char *agent);
#endif

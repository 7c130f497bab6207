/* metadata - what a page says of itself: title, authors, dates, language, licence, addresses. */
#ifndef SLUICE_EXTRACT_METADATA_H
#define SLUICE_EXTRACT_METADATA_H
#include "core/arena.h"
#include "core/json.h"
#include "core/str.h"

enum {
    META_TITLE_MAX = 512, META_AUTHOR_MAX = 400, META_TEXT_MAX = 1000, /* bytes */
    META_URL_MAX = 2048,
};
/* All strings are valid UTF-8 without control characters, white space folded, character references
 * decoded; empty where the page says nothing. They live in the arena that was given. */
struct page_meta {
    struct str title;        /* without the site's name */
    struct str author;       /* several are joined by "; " */
    struct str date;         /* published, ISO 8601, as precise as it was given; never a guess from
                              * a year in a footer */
    struct str modified;     /* the same, only when said by JSON-LD, meta or itemprop */
    struct str language;     /* BCP 47 as declared: "en", "pt-BR" */
    struct str canonical;    /* absolute; empty when it could not be resolved */
    struct str site, description;
    struct str licence;      /* SPDX identifier: "CC-BY-SA-4.0", "CC0-1.0", "MIT" */
    struct str licence_url;  /* as linked; stands without `licence` when it is none of the known */
    const char *licence_from; /* "rel", "json-ld", "meta", "link" (one licence, linked without
                               * rel), "" when there is none; static */
    const char *date_from;   /* "json-ld", "meta", "time", "url", "text", ""; static */
    uint32_t links_internal, links_external;  /* to the same host or one below it, and to others;
                              * http(s) only, places on the page itself not counted */
};

struct asides;
struct page;
/* Everything pushed on a; scratch is for what is thrown away. url may be empty; page is what was
 * read from the tree. Never fails: a full arena leaves fields empty. */
void metadata_read(struct arena *a, struct arena *scratch, const struct asides *asides,
                   struct str url, const struct page *page, struct page_meta *out);
/* Members of an open JSON object: author, date, modified, language, canonical, site,
 * description, licence, licence_url, licence_from, links_internal, links_external. Strings that are
 * empty are left out. */
void metadata_write(const struct page_meta *m, struct json_writer *to);

/* ---- addresses.c ---- */
/* RFC 3986, section 5: ref seen from base (absolute), dot segments removed, no fragment; pushed on
 * a. Empty when the result is no http or https address, or is longer than META_URL_MAX. */
struct str link_resolve(struct arena *a, struct str base, struct str ref);
/* The host of an absolute or //host address, without port and "www."; empty when it has none. */
struct str link_host(struct str url);
/* True for the same host and for hosts below one another. Case is ignored. */
bool link_same_site(struct str host, struct str other);

/* ---- licence.c ---- */
enum { LICENCE_MAX = 40 };
/* SPDX identifier of a licence's address ("https://creativecommons.org/licenses/by-sa/4.0/deed.de")
 * or of its name in text ("CC BY-SA 4.0"); "" in to and false when it is none of the known. */
bool licence_of_url(struct str url, char to[LICENCE_MAX]);
bool licence_of_text(struct str text, char to[LICENCE_MAX]);

/* ---- jsonld.c ---- */
/* What JSON-LD says of the page's main thing; strings as in the JSON, in the arena. */
struct jsonld {
    struct str headline, author, published, created, modified, language, site, description, licence;
    int rank;                /* how surely the thing is the page: 0 nothing was found */
    bool article;
};
/* Reads scripts one by one; damaged JSON is repaired where that is safe (raw line ends in strings,
 * trailing commas, wrappers of comments). */
void jsonld_read(struct arena *a, const struct str *script, uint32_t count, struct jsonld *out);
/* The parsed script or NULL; bytes beyond repair are nothing. */
const struct json *jsonld_parse(struct arena *a, struct str script);
#endif

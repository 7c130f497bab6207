/* scope - which URLs a focused crawl asks for at all: place, patterns, types, and no traps. */
#ifndef SLUICE_CRAWL_SCOPE_H
#define SLUICE_CRAWL_SCOPE_H
#include "core/opt.h"

enum {
    SCOPE_SEGMENTS_MAX = 20, /* segments of a path; deeper ones are traps */
    SCOPE_REPEATS_MAX = 3,   /* the same segments so often in a row are a trap (/a/b/a/b/a/b) */
};
enum scope_kind { SCOPE_HOST, SCOPE_DOMAIN, SCOPE_PREFIX, SCOPE_ANY };
enum scope_verdict {
    SCOPE_IN,
    SCOPE_OUT,      /* another place */
    SCOPE_EXCLUDED, /* by a pattern */
    SCOPE_TYPE,     /* its name ends as pictures, archives and the like do */
    SCOPE_TRAP,     /* too deep, repeating, or one of too many of its pattern */
    SCOPE_VERDICTS,
};
struct scope_conf {
    enum scope_kind kind;
    struct opt_list include, exclude; /* globs over the whole URL; include empty: all */
    struct opt_list skip_types;       /* "jpg", "zip": endings of the path */
    int64_t pattern_max;              /* URLs of a host with the same pattern: digits alike, values
                                       * of the query left out; 0: any number */
};
/* Inside crawl/ only; one thread. conf is borrowed. */
struct scope;
int scope_open(struct scope **out, const struct scope_conf *conf);
/* Widens the place by a seed, or by where a seed redirected to: its host (with port, any scheme),
 * its domain, or the folder it lies in. */
int scope_seed(struct scope *s, struct str url);
/* url is normalised. SCOPE_IN is counted against its pattern: ask once a URL. */
enum scope_verdict scope_judge(struct scope *s, struct str url);
/* The same URL taken in without asking, as when a log is played back. */
void scope_count(struct scope *s, struct str url);
void scope_close(struct scope *s); /* NULL is fine */

/* ---- a set of hashes (crawl/scope.c), for URLs, hosts and patterns ---- */
/* 0 and 1 mean the same. Zero-initialise; hash_set_free. */
struct hash_set {
    uint64_t *key;
    uint32_t *value;
    size_t used, room;
};
/* Where the value of key stands, which is 0 when it is new; NULL: no memory. Valid until the next
 * call. */
uint32_t *hash_set_at(struct hash_set *set, uint64_t key, bool *is_new);
/* The value, or 0 when there is none. */
uint32_t hash_set_get(const struct hash_set *set, uint64_t key);
void hash_set_free(struct hash_set *set);
#endif

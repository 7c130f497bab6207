/* nesting - the open elements of a page as the HTML tree builder would hold them, names only. */
#ifndef SLUICE_EXTRACT_NESTING_H
#define SLUICE_EXTRACT_NESTING_H
#include "core/base.h"

#include <gumbo.h>

enum { NESTING_MAX = 4096 }; /* real elements; depth_max is at most this less NESTING_SPARE */
enum { NESTING_SPARE = 8 };  /* room for the tbody and tr that a lone td implies */

/* hash tells unknown tags (custom elements) apart; 0 for the known. */
struct element { uint16_t tag; uint32_t hash; };
/* Elements beyond depth_max are not on the stack but only counted by name (`over`): their tags are
 * left out. */
struct nesting {
    struct element open[NESTING_MAX]; uint32_t count;
    uint32_t named[GUMBO_TAG_LAST];  /* open elements of each name: most searches end here */
    uint32_t over[GUMBO_TAG_LAST], over_count;
    uint32_t depth_max;
    bool form;                       /* a form is open: another inside it is ignored */
};
enum nesting_verdict { NESTING_KEEP, NESTING_FLATTEN, NESTING_IGNORE };

void nesting_init(struct nesting *n, uint32_t depth_max);
/* A start tag that is not void: closes what it implies closed, opens it. KEEP: the tag belongs into
 * the page; FLATTEN: it is beyond the limit (or `full`); IGNORE: the tree builder drops it (a td
 * outside any table). */
enum nesting_verdict nesting_start(struct nesting *n, struct element e, bool full);
/* hr and its like: closes an open paragraph. */
void nesting_void(struct nesting *n, struct element e);
/* An end tag. KEEP: it closes something real; else nothing is to be written. */
enum nesting_verdict nesting_end(struct nesting *n, struct element e);
static inline uint32_t nesting_depth(const struct nesting *n) { return n->count + n->over_count; }
static inline bool nesting_has(const struct nesting *n, GumboTag tag) { return n->named[tag] > 0; }
#endif
